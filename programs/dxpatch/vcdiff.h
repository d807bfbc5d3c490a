/* VCDIFF (RFC 3284), which xdelta3 and others write and read, memory to memory. Not supported:
   secondary compression and custom code tables. Supported: xdelta3's two extensions, application
   header and Adler-32. The format identifies neither base nor target. Only the optional Adler-32
   of each window reveals a wrong base; vcdiff_encode() writes one in every window. */
#ifndef DXPATCH_VCDIFF_H
#define DXPATCH_VCDIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vcdiff_error {
    VCDIFF_OK         = 0,
    VCDIFF_EHEADER    = -1, /* not VCDIFF */
    VCDIFF_ENOTSUP    = -2, /* secondary compression, a custom code table, or an unknown flag */
    VCDIFF_ETRUNCATED = -3,
    VCDIFF_ECORRUPT   = -4, /* an invalid instruction, address or size */
    VCDIFF_ETOOBIG    = -5, /* the target is larger than the limit */
    VCDIFF_EBASE      = -6, /* the checksum of a window does not match: usually a wrong base */
    VCDIFF_ENOMEM     = -7
};

typedef struct vcdiff_info {
    size_t windows, target_size;
    bool   checked; /* every window has a checksum */
} vcdiff_info;

/* Is it VCDIFF? Needs the first four bytes. */
bool vcdiff_is(const uint8_t *bytes, size_t size);

/* Sum up the sizes in the headers of the windows; the rest is not checked. */
int vcdiff_peek(const uint8_t *patch, size_t patch_size, vcdiff_info *info);

/* Decode the target, of at most target_size_max bytes. The caller frees it. */
int vcdiff_decode(const uint8_t *base, size_t base_size, const uint8_t *patch, size_t patch_size,
                  size_t target_size_max, uint8_t **target, size_t *target_size);

/* Make a patch. The caller frees it. ENOMEM, ETOOBIG (a base of 4 GiB or more). */
int vcdiff_encode(const uint8_t *base, size_t base_size, const uint8_t *target, size_t target_size,
                  uint8_t **patch, size_t *patch_size);

#endif
