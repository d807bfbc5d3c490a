/* Finds compressed members by their signatures at any offset, without trusting directories. So
   truncated and nested archives, data before or after an archive, and wrong directories need no
   special case. A member is anything that unpacks to its end. */
#include "container.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONTENT_MIN  = 32, /* bytes; a smaller content is not worth a recipe line */
    WORK_TIMES   = 4,  /* work limit of the search, in multiples of form_max */
    WORK_SETUP   = 4096, /* cost of setting up a library, in bytes examined */
    ZIP_HEAD     = 30, /* bytes of a local header, without name and extra field */
    GZIP_HEAD    = 10,
    PNG_TYPE_AT  = 4   /* of IDAT in its chunk */
};

/* A possible start of a member. */
typedef struct candidate {
    size_t   at;
    unsigned kind; /* 0: none */
} candidate;

static unsigned load16(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

/* >>signatures ----------------------------------------------------------- */
/* Recognize a local header of a zip file, "PK" 3 4. */
static candidate parse_zip(const uint8_t *p, size_t at, size_t size)
{
    candidate none = {0, 0};
    enum { ENCRYPTED = 1, DEFLATE = 8, ZSTD = 93, XZ = 95 };
    if (size - at < ZIP_HEAD || load16(p + 6) & ENCRYPTED) return none;
    candidate c = {at + ZIP_HEAD + load16(p + 26) + load16(p + 28), 0};
    switch (load16(p + 8)) {
    case DEFLATE: c.kind = CONTAINER_DEFLATE; break;
    case ZSTD: c.kind = CONTAINER_ZSTD; break;
    case XZ: c.kind = CONTAINER_XZ; break;
    default: break;
    }
    return c;
}

/* Skip a zero-terminated string. */
static size_t skip_text(const uint8_t *bytes, size_t at, size_t size)
{
    while (at < size && bytes[at]) at++;
    return at < size ? at + 1 : size;
}

/* Recognize the header of gzip (RFC 1952), 0x1f 0x8b 8; optional fields follow its ten bytes. */
static candidate parse_gzip(const uint8_t *bytes, size_t at, size_t size)
{
    enum { HAS_CRC = 2, HAS_EXTRA = 4, HAS_NAME = 8, HAS_COMMENT = 16, RESERVED = 224 };
    candidate none = {0, 0};
    if (size - at < GZIP_HEAD + 2) return none;
    unsigned flags = bytes[at + 3];
    if (flags & RESERVED) return none;
    candidate c = {at + GZIP_HEAD, CONTAINER_DEFLATE};
    if (flags & HAS_EXTRA) c.at += 2 + load16(bytes + c.at);
    if (flags & HAS_NAME) c.at = skip_text(bytes, c.at, size);
    if (flags & HAS_COMMENT) c.at = skip_text(bytes, c.at, size);
    if (flags & HAS_CRC) c.at += 2;
    return c;
}

static candidate parse_candidate(const uint8_t *bytes, size_t at, size_t size)
{
    const uint8_t *p = bytes + at;
    size_t left = size - at;
    candidate c = {at, 0};
    assert(at < size);
    if (left < 8) return c;
    switch (p[0]) {
    case 'P':
        if (!memcmp(p, "PK\3\4", 4)) return parse_zip(p, at, size);
        break;
    case 0x1f:
        if (p[1] == 0x8b && p[2] == 8) return parse_gzip(bytes, at, size);
        break;
    case 'I':
        if (at < PNG_TYPE_AT || memcmp(p, "IDAT", 4) != 0) break;
        c.at -= PNG_TYPE_AT;
        c.kind = CONTAINER_PNG;
        break;
    case 0x28:
        if (!memcmp(p, "\x28\xb5\x2f\xfd", 4)) c.kind = CONTAINER_ZSTD;
        break;
    case 0xfd:
        if (!memcmp(p, "\xfd" "7zXZ", 6)) c.kind = CONTAINER_XZ;
        break;
    default: break;
    }
    return c;
}

/* >>search --------------------------------------------------------------- */
static int keep(container_members *found, const uint8_t *bytes, const candidate *c, size_t taken)
{
    uint8_t hash[DX_PATCH_HASH_SIZE];
    if (found->count == found->capacity) {
        size_t capacity = found->capacity ? 2 * found->capacity : 64;
        container_member *moved = realloc(found->items, capacity * sizeof *moved);
        if (!moved) return DX_PATCH_ENOMEM;
        found->items = moved;
        found->capacity = capacity;
    }
    container_member *m = &found->items[found->count++];
    dx_patch_hash(bytes + c->at, taken, hash);
    m->at = c->at;
    m->size = taken;
    m->kind = c->kind;
    m->packed = false;
    memcpy(&m->print, hash, sizeof m->print);
    return DX_PATCH_OK;
}

/* The work for the chunk after a png, or after a look-alike: its checksum was
   calculated, and is wrong. */
static size_t chunk_work(const uint8_t *p, size_t left)
{
    if (left < 8 || memcmp(p + PNG_TYPE_AT, "IDAT", 4) != 0) return 0;
    uint32_t count = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    return count < left ? count : left;
}

bool container_may_have(container_bytes *b)
{
    enum { STEP = 65536 };
    for (size_t at = 0; at < b->size; at++) {
        const candidate c = parse_candidate(b->bytes, at, b->size);
        if (c.kind && c.at < b->size && container_has(c.kind)) return true;
        if (at % STEP == STEP - 1) container_pass(b, STEP);
    }
    return false;
}

int container_find(const uint8_t *bytes, size_t size, size_t form_max, uint64_t memory_max,
                   const container_cancel *cancel, container_members *found)
{
    uint64_t work = 0, work_max = (uint64_t)form_max * WORK_TIMES;
    size_t at = 0, end = 0; /* end: of the last member */
    int error = DX_PATCH_OK;
    container_bytes content = {0};
    while (!error && at < size && work < work_max) {
        candidate c = parse_candidate(bytes, at, size);
        at++;
        if (!c.kind) continue;
        work += WORK_SETUP + (c.at > at ? c.at - at : 0); /* gzip names have no size limit */
        if (c.at < end || c.at >= size || !container_has(c.kind)) continue;
        if (container_is_cancelled(cancel)) error = DX_PATCH_ECANCELED;
        if (error) break;
        size_t taken;
        content.size = 0;
        content.error = DX_PATCH_OK;
        content.max = form_max;
        int failed = container_inflate(c.kind, bytes + c.at, size - c.at, memory_max, &content,
                                       &taken, NULL);
        size_t behind = c.at + taken;
        work += content.size + taken;
        if (c.kind == CONTAINER_PNG) work += chunk_work(bytes + behind, size - behind);
        if (failed == DX_PATCH_ENOMEM) error = failed;
        if (failed || content.size < CONTENT_MIN) continue;
        form_max -= content.size;
        error = keep(found, bytes, &c, taken);
        at = end = behind;
    }
    container_drop(&content);
    return error;
}
