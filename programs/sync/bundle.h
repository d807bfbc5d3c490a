/* Objects of a store, requested by id and sent in one answer: docs/formats/sync.md,
   sections 3 and 4. */
#ifndef DXUP_BUNDLE_H
#define DXUP_BUNDLE_H

#include "../common/common.h"
#include "../versions/store/codec.h"
#include "../versions/store/store.h"

enum {
    DXUP_BUNDLE_IDS_MAX     = 248, /* wanted and bases, per request */
    DXUP_BUNDLE_REQUEST_MAX = 12 + DXUP_BUNDLE_IDS_MAX * PROG_HASH_SIZE,
    DXUP_BUNDLE_BYTES_MAX   = 960 << 10, /* of the objects of an answer, and of its bases */
    DXUP_BUNDLE_MASK        = 32, /* bytes: a bit for each base */
    DXUP_BUNDLE_HEAD        = 8 + DXUP_BUNDLE_MASK,
    DXUP_BUNDLE_ANSWER_MAX  = DXUP_BUNDLE_HEAD + 4 * DXUP_BUNDLE_IDS_MAX + DXUP_BUNDLE_BYTES_MAX
};

typedef struct dxup_bundle_request {
    uint32_t transfer;   /* number of the answer's FileChunks */
    bool     zstd;       /* the client can decompress it, */
    bool     patches;    /* and can apply patches of dx_patch.h */
    bool     size_only;  /* the answer is that of dxup_bundle_reduce() */
    uint32_t want_count; /* at least 1 */
    uint32_t base_count;
    uint8_t  ids[DXUP_BUNDLE_IDS_MAX][PROG_HASH_SIZE]; /* wanted, then bases */
} dxup_bundle_request;

/* Returns the size. */
size_t dxup_bundle_write_request(const dxup_bundle_request *r,
                                 uint8_t out[DXUP_BUNDLE_REQUEST_MAX]);
bool   dxup_bundle_read_request(dxup_bundle_request *r, const uint8_t *bytes, size_t size);

/* Makes and reads answers. One per thread. */
typedef struct dxup_bundler dxup_bundler;
dxup_bundler *dxup_bundler_open(void);
/* b may be NULL. */
void dxup_bundler_close(dxup_bundler *b);
/* Can it decompress zstd? */
bool dxup_bundler_has_zstd(const dxup_bundler *b);
/* Make an answer. The caller frees *answer. */
int  dxup_bundle_make(dxup_bundler *b, versions_store *s, const dxup_bundle_request *r,
                      uint8_t **answer, size_t *size);

enum { DXUP_BUNDLE_SIZE = 8 };
/* Replace an answer by its description: the number of its objects, and its bytes. */
void dxup_bundle_reduce(uint8_t *answer, size_t *size);
/* False: it is not such an answer to a request for this number of objects. */
bool dxup_bundle_read_size(const uint8_t *answer, size_t size, uint32_t want_count, uint32_t *count,
                           size_t *whole);

/* The content of an answer: the first `count` wanted objects, concatenated. */
typedef struct dxup_bundle {
    uint32_t       count;
    bool           based; /* the answer depends on bases */
    uint32_t       sizes[DXUP_BUNDLE_IDS_MAX]; /* DXUP_BUNDLE_MISSING: the server does not have it */
    const uint8_t *bytes;                      /* valid until the bundler is used again */
} dxup_bundle;
#define DXUP_BUNDLE_MISSING UINT32_MAX
/* Open an answer. s has the bases. The objects are not verified yet. */
int dxup_bundle_open(dxup_bundler *b, versions_store *s, const dxup_bundle_request *r,
                     const uint8_t *answer, size_t size, dxup_bundle *out);

#endif
