/* Patches between compressed containers, docs/formats/container.md, within the limits of a server. */
#ifndef DXUP_CONTAINED_H
#define DXUP_CONTAINED_H

#include "../containers/container.h"

/* Memory limit of a library, here and at the client, which refuses parameters that need more. */
#define DXUP_CONTAINER_MEMORY ((uint64_t)256 << 20)

/* Bytes that a patch of dx_patch.h may need for being applied: servers make no patch that needs more, and
   clients refuse one. */
enum { DXUP_APPLYING_MAX = 40 << 20 };

/* Make the patch. NULL: it would have size_max bytes or more, or take too long. kinds: those that
   the client supports. The caller frees the result. */
uint8_t *dxup_contained_make(const uint8_t *base, size_t base_size, const uint8_t *target,
                             size_t target_size, unsigned kinds, size_t size_max, size_t *size);

#endif
