/* Bodies of HTTP in zstd or gzip, as far as this build has their libraries. Small ones only: made
   whole in memory, and kept for the next client as long as there is room. One thread. */
#ifndef DXUP_HTTP_ENCODE_H
#define DXUP_HTTP_ENCODE_H

#include "../../common/common.h"

enum {
    DXUP_ENCODED_FROM = 1024,    /* a smaller body fits into one packet anyway */
    DXUP_ENCODED_MAX  = 1 << 20, /* a larger one is sent as it is */
    DXUP_ENCODED_KEPT = 16 << 20 /* bytes of all that are kept, or on their way */
};

typedef enum dxup_encoding { DXUP_IDENTITY, DXUP_ZSTD, DXUP_GZIP } dxup_encoding;

typedef struct dxup_encodings dxup_encodings;

typedef struct dxup_encoded {
    const uint8_t *bytes;
    size_t         size;
} dxup_encoded;

dxup_encodings *dxup_encodings_open(void);
void            dxup_encodings_close(dxup_encodings *e);
/* The best that the request accepts (Accept-Encoding). */
dxup_encoding dxup_encoding_of(const uint8_t *request, size_t size);
/* As in Content-Encoding, and behind the dash of an ETag. */
const char *dxup_encoding_name(dxup_encoding encoding);
/* The body with that strong tag (64 hex digits), encoded; read() gives it whole. It stays until it
   is released. NULL: it does not pay, cannot be read, or there is no room. */
const dxup_encoded *dxup_encodings_get(dxup_encodings *e, dxup_encoding encoding, const char *tag,
                                       size_t size, bool (*read)(void *user, void *out, size_t size),
                                       void *user);
/* NULL is fine. */
void dxup_encodings_release(dxup_encodings *e, const dxup_encoded *encoded);

#endif
