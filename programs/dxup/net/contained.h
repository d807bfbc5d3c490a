/* Patches between compressed containers, docs/formats/container.md, within the limits of a server. */
#ifndef DXUP_CONTAINED_H
#define DXUP_CONTAINED_H

#include "../../containers/container.h"

/* What a library may take, here and at the client: it refuses parameters that need more. */
#define DXUP_CONTAINER_MEMORY ((uint64_t)256 << 20)

/* The patch, or NULL if there is none of fewer than size_max bytes, or making it takes too long.
   kinds: those that the client unpacks. The caller frees it. */
uint8_t *dxup_contained_make(const uint8_t *base, size_t base_size, const uint8_t *target,
                             size_t target_size, unsigned kinds, size_t size_max, size_t *size);

#endif
