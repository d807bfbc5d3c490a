/* Makes and reads the answers of docs/formats/sync.md, section 4:

       head | sizes of the objects | object | object | ...
              '-------- compressed together, after the bases --------'

   Related objects are compressed together: content that the small files of a directory share is sent
   once, and content that an object shares with a base named by the client is not sent at all. */
#include "bundle.h"

#include "../../dx_patch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { REQUEST_HEAD = 12, CODING_PLAIN = 0, CODING_ZSTD = 1, CODING_PATCH = 2,
       BODY_MAX = DXUP_BUNDLE_ANSWER_MAX, PATCH_FROM = 4096, APPLY_MEMORY_MAX = 16 << 20 };

struct dxup_bundler {
    versions_packer *packer; /* NULL: built without zstd */
    uint8_t         *body;   /* BODY_MAX bytes */
    uint8_t         *bases;  /* DXUP_BUNDLE_BYTES_MAX bytes */
};

static void store_number(uint8_t *p, uint64_t v, int size)
{
    for (int i = 0; i < size; i++) p[i] = (uint8_t)(v >> (8 * i) & 0xff);
}

static uint32_t load_number(const uint8_t *p, int size)
{
    uint32_t v = 0;
    assert(size >= 1 && size <= 4);
    while (size--) v = v << 8 | p[size];
    return v;
}

/* >>request ------------------------------------------------------------ */
size_t dxup_bundle_write_request(const dxup_bundle_request *r, uint8_t out[DXUP_BUNDLE_REQUEST_MAX])
{
    size_t ids = ((size_t)r->want_count + r->base_count) * PROG_HASH_SIZE;
    assert(r->want_count && ids <= sizeof r->ids);
    memset(out, 0, REQUEST_HEAD);
    store_number(out, r->transfer, 4);
    out[4] = r->zstd ? 1 + r->patches : 0;
    out[5] = r->size_only;
    store_number(out + 6, r->want_count, 2);
    store_number(out + 8, r->base_count, 2);
    memcpy(out + REQUEST_HEAD, r->ids, ids);
    return REQUEST_HEAD + ids;
}

bool dxup_bundle_read_request(dxup_bundle_request *r, const uint8_t *bytes, size_t size)
{
    if (size < REQUEST_HEAD || bytes[4] > 2 || bytes[5] > 1 || bytes[10] || bytes[11]) return false;
    r->transfer = load_number(bytes, 4);
    r->zstd = bytes[4] > 0;
    r->patches = bytes[4] > 1;
    r->size_only = bytes[5] > 0;
    r->want_count = load_number(bytes + 6, 2);
    r->base_count = load_number(bytes + 8, 2);
    size_t count = (size_t)r->want_count + r->base_count;
    if (!r->want_count || count > DXUP_BUNDLE_IDS_MAX ||
        size != REQUEST_HEAD + count * PROG_HASH_SIZE)
        return false;
    memcpy(r->ids, bytes + REQUEST_HEAD, count * PROG_HASH_SIZE);
    return true;
}

/* >>sizes -------------------------------------------------------------- */
void dxup_bundle_reduce(uint8_t *answer, size_t *size)
{
    assert(*size >= DXUP_BUNDLE_HEAD);
    store_number(answer, load_number(answer + 2, 2), 4);
    store_number(answer + 4, (uint32_t)*size, 4);
    *size = DXUP_BUNDLE_SIZE;
}

bool dxup_bundle_read_size(const uint8_t *answer, size_t size, uint32_t want_count, uint32_t *count,
                           size_t *whole)
{
    if (size != DXUP_BUNDLE_SIZE) return false;
    *count = load_number(answer, 4);
    *whole = load_number(answer + 4, 4);
    return *count && *count <= want_count && *whole <= DXUP_BUNDLE_ANSWER_MAX;
}

/* >>bundler ------------------------------------------------------------ */
dxup_bundler *dxup_bundler_open(void)
{
    dxup_bundler *b = prog_alloc(sizeof *b);
    b->packer = versions_packer_open();
    b->body = prog_alloc(BODY_MAX);
    b->bases = prog_alloc(DXUP_BUNDLE_BYTES_MAX);
    return b;
}

void dxup_bundler_close(dxup_bundler *b)
{
    if (!b) return;
    versions_packer_close(b->packer);
    free(b->body);
    free(b->bases);
    free(b);
}

bool dxup_bundler_has_zstd(const dxup_bundler *b) { return b->packer != NULL; }

/* Read the bases that exist, as far as they fit. mask: in, the bases to use; out, those
   that were read. */
static int read_bases(dxup_bundler *b, versions_store *s, const dxup_bundle_request *r,
                      uint8_t mask[DXUP_BUNDLE_MASK], size_t *size)
{
    *size = 0;
    for (uint32_t i = 0; i < r->base_count; i++) {
        const uint8_t *id = r->ids[r->want_count + i], bit = (uint8_t)(1u << (i & 7));
        uint64_t is = 0;
        if (!(mask[i / 8] & bit)) continue;
        if (!versions_object_size(s, id, &is) || is > DXUP_BUNDLE_BYTES_MAX - *size) {
            mask[i / 8] &= (uint8_t)~bit;
            continue;
        }
        size_t got = 0;
        int status = versions_object_get(s, id, b->bases + *size, (size_t)is, &got);
        if (status) return status;
        *size += got;
    }
    return PROG_OK;
}

/* Read as many of the objects as fit, at least one, after their sizes. */
static int read_wanted(dxup_bundler *b, versions_store *s, const dxup_bundle_request *r,
                       uint32_t *count, size_t *body_size)
{
    uint64_t sizes[DXUP_BUNDLE_IDS_MAX], sum = 0;
    uint32_t n = 0;
    for (; n < r->want_count; n++) {
        if (!versions_object_size(s, r->ids[n], &sizes[n])) sizes[n] = DXUP_BUNDLE_MISSING;
        else if (sizes[n] > DXUP_BUNDLE_BYTES_MAX - sum) break;
        else sum += sizes[n];
    }
    if (!n) { /* it is larger than any object of a snapshot */
        sizes[0] = DXUP_BUNDLE_MISSING;
        n = 1;
    }
    size_t at = 4 * (size_t)n;
    for (uint32_t i = 0; i < n; i++) {
        size_t got = 0;
        store_number(b->body + 4 * (size_t)i, sizes[i], 4);
        if (sizes[i] == DXUP_BUNDLE_MISSING) continue;
        int status = versions_object_get(s, r->ids[i], b->body + at, (size_t)sizes[i], &got);
        if (status) return status;
        assert(got == sizes[i]);
        at += got;
    }
    *count = n;
    *body_size = at;
    return PROG_OK;
}

/* Make the body as a patch from the bases, if that takes fewer than `most` bytes; otherwise *size
   is 0. The caller frees *patch. */
static void make_patch(const dxup_bundler *b, size_t bases, size_t body, size_t most,
                       uint8_t **patch, size_t *size)
{
    dx_patch_create_desc desc = {.codings = 1u << DX_PATCH_CODING_RANGE,
                                 .apply_memory_max = APPLY_MEMORY_MAX, .skip_check = true};
    desc.memory_size = dx_patch_create_memory_size(&desc, bases, body);
    desc.memory = malloc(desc.memory_size);
    *patch = malloc(most);
    *size = 0;
    if (!desc.memory || !*patch ||
        dx_patch_create(&desc, b->bases, bases, b->body, body, *patch, most, size))
        *size = 0;
    free(desc.memory);
}

static bool apply_patch(dxup_bundler *b, size_t bases, size_t body, const uint8_t *patch,
                        size_t size)
{
    dx_patch_header header;
    dx_patch_applier applier;
    dx_patch_applier_desc desc = {.base = b->bases, .base_size = bases, .out = b->body,
                                  .out_capacity = body, .target_size_max = body,
                                  .skip_target_hash = true}; /* each object is verified */
    if (dx_patch_info(patch, size, &header) || header.memory_size > APPLY_MEMORY_MAX ||
        header.base_size != bases || header.target_size != body)
        return false;
    desc.memory_size = (size_t)header.memory_size;
    desc.memory = prog_alloc(desc.memory_size ? desc.memory_size : 1);
    int error = dx_patch_applier_init(&applier, &desc);
    if (!error) error = dx_patch_applier_feed(&applier, patch, size);
    if (!error) error = dx_patch_applier_finish(&applier);
    free(desc.memory);
    return !error;
}

int dxup_bundle_make(dxup_bundler *b, versions_store *s, const dxup_bundle_request *r,
                     uint8_t **answer, size_t *size)
{
    uint8_t mask[DXUP_BUNDLE_MASK];
    uint32_t count;
    size_t bases = 0, body = 0, packed = 0;
    bool zstd = r->zstd && b->packer;
    memset(mask, zstd ? 0xff : 0, sizeof mask);
    int status = read_bases(b, s, r, mask, &bases);
    if (!status) status = read_wanted(b, s, r, &count, &body);
    if (status) return status;
    uint8_t *out = prog_alloc(DXUP_BUNDLE_HEAD + body);
    memset(out, 0, DXUP_BUNDLE_HEAD);
    if (zstd && body > 1)
        packed = versions_pack_behind(b->packer, out + DXUP_BUNDLE_HEAD, body - 1, b->bases, bases,
                                      b->body, body);
    out[0] = packed ? CODING_ZSTD : CODING_PLAIN;
    if (packed > PATCH_FROM && bases && r->patches) {
        uint8_t *patch;
        size_t patched;
        make_patch(b, bases, body, packed, &patch, &patched);
        if (patched) {
            memcpy(out + DXUP_BUNDLE_HEAD, patch, patched);
            packed = patched;
            out[0] = CODING_PATCH;
        }
        free(patch);
    }
    if (!packed) memcpy(out + DXUP_BUNDLE_HEAD, b->body, body);
    store_number(out + 2, count, 2);
    store_number(out + 4, body, 4);
    for (uint32_t i = 0; packed && i < r->base_count; i++)
        out[8 + i / 8] |= mask[i / 8] & (uint8_t)(1u << (i & 7));
    *answer = out;
    *size = DXUP_BUNDLE_HEAD + (packed ? packed : body);
    return PROG_OK;
}

/* >>answer ------------------------------------------------------------- */
static int bad_answer(void) { return prog_fail(PROG_DAMAGED, "the server's answer does not match "
                                                             "the request"); }

/* Read the sizes of the objects. Their sum must equal the rest of the body. */
static bool read_sizes(const uint8_t *body, size_t size, dxup_bundle *out)
{
    uint64_t sum = 4 * (uint64_t)out->count;
    if (sum > size) return false;
    for (uint32_t i = 0; i < out->count; i++) {
        out->sizes[i] = load_number(body + 4 * (size_t)i, 4);
        if (out->sizes[i] != DXUP_BUNDLE_MISSING) sum += out->sizes[i];
    }
    out->bytes = body + 4 * (size_t)out->count;
    return sum == size;
}

int dxup_bundle_open(dxup_bundler *b, versions_store *s, const dxup_bundle_request *r,
                     const uint8_t *answer, size_t size, dxup_bundle *out)
{
    uint8_t mask[DXUP_BUNDLE_MASK], said[DXUP_BUNDLE_MASK];
    if (size < DXUP_BUNDLE_HEAD || answer[1] || answer[0] > CODING_PATCH) return bad_answer();
    size_t body = load_number(answer + 4, 4), bases = 0, left = size - DXUP_BUNDLE_HEAD;
    out->count = load_number(answer + 2, 2);
    if (!out->count || out->count > r->want_count || body > BODY_MAX) return bad_answer();
    memcpy(mask, answer + 8, sizeof mask);
    memcpy(said, mask, sizeof said);
    out->based = false;
    for (uint32_t i = 0; i < sizeof mask; i++) out->based |= mask[i] != 0;
    for (uint32_t i = r->base_count; i < 8 * sizeof mask; i++)
        if (mask[i / 8] >> (i & 7) & 1) return bad_answer();
    if (answer[0] == CODING_PLAIN) {
        if (left != body) return bad_answer();
        memcpy(b->body, answer + DXUP_BUNDLE_HEAD, body);
    } else {
        int status = b->packer ? read_bases(b, s, r, mask, &bases) : bad_answer();
        if (status) return status;
        if (memcmp(mask, said, sizeof mask) != 0) return bad_answer();
        if (answer[0] == CODING_PATCH) {
            if (!r->patches || !bases ||
                !apply_patch(b, bases, body, answer + DXUP_BUNDLE_HEAD, left))
                return bad_answer();
            return read_sizes(b->body, body, out) ? PROG_OK : bad_answer();
        }
        size_t got = versions_unpack_behind(b->packer, b->body, body, b->bases, bases,
                                            answer + DXUP_BUNDLE_HEAD, left);
        if (!got || got != body) return bad_answer();
    }
    return read_sizes(b->body, body, out) ? PROG_OK : bad_answer();
}
