/* zstd for objects, if built with it. One packer per thread. */
#ifndef VERSIONS_CODEC_H
#define VERSIONS_CODEC_H

#include "../../../dx_cas.h"

#include <stddef.h>

typedef struct versions_packer versions_packer;

enum { VERSIONS_CODERS_MAX = 3 };
enum { VERSIONS_CODEC_ZSTD = 1 }; /* its codec number in records */

/* NULL: built without zstd. */
versions_packer *versions_packer_open(void);
void             versions_packer_close(versions_packer *p);
/* Compress better, but slower. p may be NULL. */
void             versions_packer_try_hard(versions_packer *p);
/* Compress. Returns the size; 0: it would not be below capacity. */
size_t versions_pack(versions_packer *p, void *out, size_t capacity, const void *in, size_t size);
/* Decompress. Returns the size; 0: damaged, or larger than capacity. */
size_t versions_unpack(versions_packer *p, void *out, size_t capacity, const void *in, size_t size);
/* The same for content that follows a prefix which the other side also has; both within 2 MiB. */
size_t versions_pack_behind(versions_packer *p, void *out, size_t capacity, const void *prefix,
                            size_t prefix_size, const void *in, size_t size);
size_t versions_unpack_behind(versions_packer *p, void *out, size_t capacity, const void *prefix,
                              size_t prefix_size, const void *in, size_t size);

/* Coders of deltas for the store: zstd, if built with it, and dx_patch. */
typedef struct versions_differ versions_differ;
versions_differ *versions_differ_open(void);
/* From now on try only the fastest coder, or all again. */
void versions_differ_hurry(versions_differ *d, bool hurry);
void             versions_differ_close(versions_differ *d);
void             versions_differ_try_hard(versions_differ *d);
/* Quickly estimate the size of a delta; 0: not below capacity, or built without zstd. */
size_t versions_differ_guess(versions_differ *d, void *out, size_t capacity, const void *base,
                             size_t base_size, const void *in, size_t n);
size_t versions_differ_coders(versions_differ *d, dx_cas_delta_coder coders[VERSIONS_CODERS_MAX]);

#endif
