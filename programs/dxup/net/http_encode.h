/* HTTP bodies in zstd or gzip, if built with these libraries. Only small bodies are encoded:
   completely in memory, and cached for other clients up to a limit. Single-threaded. */
#ifndef DXUP_HTTP_ENCODE_H
#define DXUP_HTTP_ENCODE_H

#include "../../common/common.h"

enum {
    DXUP_ENCODED_FROM = 1024,    /* smaller bodies fit into one packet anyway */
    DXUP_ENCODED_MAX  = 1 << 20, /* larger bodies are sent unencoded */
    DXUP_ENCODED_KEPT = 16 << 20 /* total size of bodies that are cached or being sent */
};

typedef enum dxup_encoding { DXUP_IDENTITY, DXUP_ZSTD, DXUP_GZIP } dxup_encoding;

typedef struct dxup_encodings dxup_encodings;

typedef struct dxup_encoded {
    const uint8_t *bytes;
    size_t         size;
} dxup_encoded;

dxup_encodings *dxup_encodings_open(void);
void            dxup_encodings_close(dxup_encodings *e);
/* The encoding that the request prefers (Accept-Encoding); of equal weights zstd, then gzip. */
dxup_encoding dxup_encoding_of(const uint8_t *request, size_t size);
/* As in Content-Encoding, and as the suffix of an ETag. */
const char *dxup_encoding_name(dxup_encoding encoding);
/* Get the encoded body for a strong tag (64 hex digits); read() supplies the plain body. Valid until
   released. NULL: encoding does not pay, the body cannot be read, or the cache has no room. */
const dxup_encoded *dxup_encodings_get(dxup_encodings *e, dxup_encoding encoding, const char *tag,
                                       size_t size, bool (*read)(void *user, void *out, size_t size),
                                       void *user);
/* encoded may be NULL. */
void dxup_encodings_release(dxup_encodings *e, const dxup_encoded *encoded);

#endif
