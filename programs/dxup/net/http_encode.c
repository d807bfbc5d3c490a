/* HTTP bodies in zstd or gzip. See http_encode.h. Bodies that did not shrink are remembered, so
   that they are not tried again. */
#include "http_encode.h"

#include "http_fields.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#ifdef VERSIONS_ZSTD_LIBRARY
#include <zstd.h>
#endif
#ifdef DXUP_ZLIB
#include <zlib.h>
#endif

enum {
    SLOTS       = 256,
    TAG_SIZE    = 64,
    PROBE_SIZE  = 64 << 10, /* start of a body: if it does not shrink, the rest is not tried */
    PAYS_FROM   = 8,        /* the body must shrink by 1/8 */
    ZSTD_LEVEL  = 3,
    GZIP_LEVEL  = 6,
    GZIP_WINDOW = 15 + 16   /* 32 KiB, with a gzip header */
};

typedef struct slot {
    dxup_encoded  is;      /* bytes NULL: encoding does not pay */
    dxup_encoding encoding; /* DXUP_IDENTITY: a free slot */
    unsigned      users;
    uint64_t      used;    /* clock of the last use */
    char          tag[TAG_SIZE];
} slot;

struct dxup_encodings {
    slot     slots[SLOTS];
    size_t   kept;  /* total size of cached bodies */
    uint64_t calls;
};

/* >>coders ----------------------------------------------------------------- */
#ifdef DXUP_ZLIB
static size_t encode_gzip(const void *in, size_t size, uint8_t *out, size_t capacity)
{
    z_stream z;
    memset(&z, 0, sizeof z);
    if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    z.next_in = (Bytef *)(uintptr_t)in;
    z.avail_in = (uInt)size;
    z.next_out = out;
    z.avail_out = (uInt)capacity;
    const bool whole = deflate(&z, Z_FINISH) == Z_STREAM_END;
    const size_t got = capacity - z.avail_out;
    deflateEnd(&z);
    return whole ? got : 0;
}
#endif

/* Encode. Returns the size; 0: it exceeds capacity. */
static size_t encode(dxup_encoding encoding, const void *in, size_t size, uint8_t *out,
                     size_t capacity)
{
#ifdef VERSIONS_ZSTD_LIBRARY
    if (encoding == DXUP_ZSTD) {
        const size_t got = ZSTD_compress(out, capacity, in, size, ZSTD_LEVEL);
        return ZSTD_isError(got) ? 0 : got;
    }
#endif
#ifdef DXUP_ZLIB
    if (encoding == DXUP_GZIP) return encode_gzip(in, size, out, capacity);
#endif
    (void)encoding, (void)in, (void)size, (void)out, (void)capacity;
    return 0;
}

/* Encode a body. NULL: it does not pay. */
static uint8_t *encode_whole(dxup_encoding encoding, const void *in, size_t size, size_t *got)
{
    const size_t probe = size < PROBE_SIZE ? size : PROBE_SIZE;
    const size_t capacity = size - size / PAYS_FROM;
    uint8_t *out = malloc(capacity);
    *got = 0;
    if (out && probe < size && !encode(encoding, in, probe, out, probe - probe / PAYS_FROM)) {
        free(out);
        return NULL;
    }
    if (out) *got = encode(encoding, in, size, out, capacity);
    uint8_t *fitting = *got ? realloc(out, *got) : NULL;
    if (fitting) return fitting;
    if (!*got) {
        free(out);
        return NULL;
    }
    return out;
}

/* >>choice ----------------------------------------------------------------- */
/* The weight of an encoding; "*" stands for those that are not listed. */
static int weight_of(const uint8_t *request, size_t size, const char *name)
{
    const int weight = dxup_field_weight(request, size, "accept-encoding", name);
    return weight >= 0 ? weight : dxup_field_weight(request, size, "accept-encoding", "*");
}

dxup_encoding dxup_encoding_of(const uint8_t *request, size_t size)
{
    dxup_encoding best = DXUP_IDENTITY;
    int most = dxup_field_weight(request, size, "accept-encoding", "identity");
    if (most < 1) most = 1;
#ifdef DXUP_ZLIB
    const int gzip = weight_of(request, size, dxup_encoding_name(DXUP_GZIP));
    if (gzip >= most) best = DXUP_GZIP;
    if (gzip >= most) most = gzip;
#endif
#ifdef VERSIONS_ZSTD_LIBRARY
    if (weight_of(request, size, dxup_encoding_name(DXUP_ZSTD)) >= most) best = DXUP_ZSTD;
#endif
    (void)weight_of, (void)most;
    return best;
}

const char *dxup_encoding_name(dxup_encoding encoding)
{
    return encoding == DXUP_ZSTD ? "zstd" : encoding == DXUP_GZIP ? "gzip" : "identity";
}

/* >>kept ------------------------------------------------------------------- */
dxup_encodings *dxup_encodings_open(void)
{
    dxup_encodings *e = prog_alloc(sizeof *e);
    memset(e, 0, sizeof *e);
    return e;
}

static void empty(dxup_encodings *e, slot *s)
{
    assert(!s->users && s->is.size <= e->kept);
    e->kept -= s->is.size;
    free((void *)(uintptr_t)s->is.bytes);
    memset(s, 0, sizeof *s);
}

void dxup_encodings_close(dxup_encodings *e)
{
    if (!e) return;
    for (unsigned i = 0; i < SLOTS; i++) {
        e->slots[i].users = 0;
        empty(e, &e->slots[i]);
    }
    free(e);
}

static slot *find(dxup_encodings *e, dxup_encoding encoding, const char *tag)
{
    for (unsigned i = 0; i < SLOTS; i++)
        if (e->slots[i].encoding == encoding && !memcmp(e->slots[i].tag, tag, TAG_SIZE))
            return &e->slots[i];
    return NULL;
}

/* Find a free slot and room for a body: evicts the least recently used ones. NULL: all are in use. */
static slot *make_room(dxup_encodings *e, size_t size)
{
    for (;;) {
        slot *free_one = NULL, *oldest = NULL;
        for (unsigned i = 0; i < SLOTS; i++) {
            slot *s = &e->slots[i];
            if (!s->encoding) free_one = s;
            else if (!s->users && (!oldest || s->used < oldest->used)) oldest = s;
        }
        if (free_one && size <= DXUP_ENCODED_KEPT - e->kept) return free_one;
        if (!oldest) return NULL;
        empty(e, oldest);
    }
}

const dxup_encoded *dxup_encodings_get(dxup_encodings *e, dxup_encoding encoding, const char *tag,
                                       size_t size, bool (*read)(void *user, void *out, size_t size),
                                       void *user)
{
    if (encoding == DXUP_IDENTITY || size < DXUP_ENCODED_FROM || size > DXUP_ENCODED_MAX) return NULL;
    slot *s = find(e, encoding, tag);
    if (!s) {
        dxup_encoded is = {NULL, 0};
        uint8_t *whole = malloc(size);
        const bool good = whole && read(user, whole, size);
        if (good) is.bytes = encode_whole(encoding, whole, size, &is.size);
        free(whole);
        s = good ? make_room(e, is.size) : NULL;
        if (!s) {
            free((void *)(uintptr_t)is.bytes);
            return NULL;
        }
        s->is = is;
        s->encoding = encoding;
        memcpy(s->tag, tag, TAG_SIZE);
        e->kept += is.size;
    }
    s->used = ++e->calls;
    if (!s->is.bytes) return NULL;
    s->users++;
    return &s->is;
}

void dxup_encodings_release(dxup_encodings *e, const dxup_encoded *encoded)
{
    if (!encoded) return;
    slot *s = (slot *)(void *)((char *)(uintptr_t)encoded - offsetof(slot, is));
    assert(s->users > 0 && e->kept >= s->is.size);
    (void)e;
    s->users--;
}
