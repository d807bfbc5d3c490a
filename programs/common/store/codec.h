/* zstd for objects, where this dxup is built with it. One packer for each thread. */
#ifndef DXUP_CODEC_H
#define DXUP_CODEC_H

#include "../../../dx_cas.h"

#include <stddef.h>

typedef struct dxup_packer dxup_packer;

enum { DXUP_CODERS_MAX = 3 };
enum { DXUP_CODEC_ZSTD = 1 }; /* its number in records */

/* NULL where there is no zstd. */
dxup_packer *dxup_packer_open(void);
void         dxup_packer_close(dxup_packer *p);
/* Take more time for fewer bytes. p may be NULL. */
void         dxup_packer_try_hard(dxup_packer *p);
/* How many bytes of out it takes; 0: it does not shrink below capacity. */
size_t       dxup_pack(dxup_packer *p, void *out, size_t capacity, const void *in, size_t size);
/* The size of what the frame holds; 0: damaged, or larger than capacity. */
size_t       dxup_unpack(dxup_packer *p, void *out, size_t capacity, const void *in, size_t size);
/* The same for what stands behind a prefix that the other side has too: both within 2 MiB. */
size_t       dxup_pack_behind(dxup_packer *p, void *out, size_t capacity, const void *prefix,
                              size_t prefix_size, const void *in, size_t size);
size_t       dxup_unpack_behind(dxup_packer *p, void *out, size_t capacity, const void *prefix,
                                size_t prefix_size, const void *in, size_t size);

/* Coders of deltas for the store: zstd where there is one, and dx_patch. */
typedef struct dxup_differ dxup_differ;
dxup_differ *dxup_differ_open(void);
void         dxup_differ_close(dxup_differ *d);
void         dxup_differ_try_hard(dxup_differ *d);
/* About how many bytes a delta takes, quickly; 0: not below capacity, or there is no zstd. */
size_t       dxup_differ_guess(dxup_differ *d, void *out, size_t capacity, const void *base,
                               size_t base_size, const void *in, size_t n);
size_t       dxup_differ_coders(dxup_differ *d, dx_cas_delta_coder coders[DXUP_CODERS_MAX]);

#endif
