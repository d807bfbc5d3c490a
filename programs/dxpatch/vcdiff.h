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
    VCDIFF_ENOTSUP    = -2, /* secondary compression, a code table of its own, or an unknown flag */
    VCDIFF_ETRUNCATED = -3,
    VCDIFF_ECORRUPT   = -4, /* an instruction, address or size that cannot be */
    VCDIFF_ETOOBIG    = -5, /* the target is larger than the limit */
    VCDIFF_EBASE      = -6, /* a window has another checksum than it should: usually a wrong base */
    VCDIFF_ENOMEM     = -7
};

typedef struct vcdiff_info {
    size_t windows, target_size;
    bool   checked; /* every window has a checksum */
} vcdiff_info;

/* Do these first bytes, four or more, say VCDIFF? */
bool vcdiff_is(const uint8_t *bytes, size_t size);

/* Sizes, from the windows' headers; nothing else is looked at. */
int vcdiff_look(const uint8_t *patch, size_t patch_size, vcdiff_info *info);

/* The target, in memory that the caller frees; at most target_size_max bytes. */
int vcdiff_decode(const uint8_t *base, size_t base_size, const uint8_t *patch, size_t patch_size,
                  size_t target_size_max, uint8_t **target, size_t *target_size);

/* The patch, in memory that the caller frees. ENOMEM, ETOOBIG (a base of 4 GiB or more). */
int vcdiff_encode(const uint8_t *base, size_t base_size, const uint8_t *target, size_t target_size,
                  uint8_t **patch, size_t *patch_size);

#endif
