/*  dx_delta.h - objects of a dx_cas.h store as deltas of others: a new version as what changed

    Include it behind dx_cas.h; where DX_CAS_IMPLEMENTATION or DX_IMPLEMENTATION is defined the
    functions are here, too (they use helpers of that implementation, so both belong in the same
    file). MIT-0 or public domain, as dx_cas.h. docs/formats/cas.md, section 16, is the format.

        const dx_cas_delta_coder coders[] = {{2, make, apply, &tools}};  // dx_patch, zstd
        dx_cas_delta_desc how = {&store, coders, 1, memory, memory_size, 1 << 20, 0};
        dx_cas_delta_init(&delta, &how);
        codecs[1] = dx_cas_delta_codec(&delta);                  // of dx_cas_desc, then open
        dx_cas_delta_put(&delta, data, size, &old_id, 0, &id);   // like a put; old_id is a hint
        dx_cas_get(&store, &id, buffer, sizeof buffer, &size);   // as ever: rebuilt, and checked

    The smallest of what the coders make is stored, if it is smaller than the object (or the limit),
    and only after it was applied once and gave the object. Its base may be a delta, too: depth_max
    of them in a row, then an older base is taken. Collection keeps bases. Nothing is allocated,
    nothing recurses.
    A base that is missing or damaged: DX_CAS_EBASE, and dx_cas_verify() names it.
*/
#ifndef DX_CAS_DELTA_H
#define DX_CAS_DELTA_H

#include "../dx_cas.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DX_CAS_DELTA_CODEC = 2, DX_CAS_DELTA_HEAD = 38, DX_CAS_DELTA_DEPTH_MAX = 31 };

/* Makes and applies deltas. Both write at most capacity bytes and return 0 or an error; encode may
   answer DX_CAS_ENOSPACE for "not worth it" (its capacity is less than what those before made). */
typedef struct dx_cas_delta_coder {
    uint8_t number; /* stands in each delta: 1 = zstd with a prefix, 2 = dx_patch, 128..: yours */
    int (*encode)(void *user, void *out, size_t capacity, const void *base, size_t base_size,
                  const void *in, size_t n, size_t *got);
    int (*decode)(void *user, void *out, size_t capacity, const void *base, size_t base_size,
                  const void *in, size_t n, size_t *got);
    void *user;
} dx_cas_delta_coder;

typedef struct dx_cas_delta_desc {
    dx_cas_store *store;              /* required; may be opened later */
    const dx_cas_delta_coder *coders; /* all are tried; borrowed */
    size_t        coder_count;
    void         *memory;             /* dx_cas_delta_memory_size() bytes; borrowed */
    size_t        memory_size;
    uint32_t      object_size_max;    /* of bases and deltas: that of the store; 0 = 1 MiB */
    uint32_t      depth_max;          /* deltas in a row that are written; 0 = 15, at most 31 */
} dx_cas_delta_desc;

typedef struct dx_cas_delta { /* caller-allocated, stays where it is; fields are private */
    dx_cas_delta_desc desc_;
    const dx_cas_id  *hint_;
    size_t            limit_;
} dx_cas_delta;

DX_CAS_API size_t dx_cas_delta_memory_size(const dx_cas_delta_desc *desc);
/* DX_CAS_EINVAL, DX_CAS_ENOMEM. One for each store, as for its thread. */
DX_CAS_API int dx_cas_delta_init(dx_cas_delta *d, const dx_cas_delta_desc *desc);
/* For dx_cas_desc.codecs, behind the one that compresses. */
DX_CAS_API dx_cas_codec dx_cas_delta_codec(dx_cas_delta *d);
/* dx_cas_put(), if possible as a delta of that base in at most limit bytes (0: fewer than size).
   What cannot be one is stored as ever: the base is not there, too large, or not like it. */
DX_CAS_API int dx_cas_delta_put(dx_cas_delta *d, const void *data, size_t size,
                                const dx_cas_id *base, size_t limit, dx_cas_id *id);
/* Of what the object is stored as a delta, and how many follow each other down from it.
   DX_CAS_ENOTFOUND: of nothing, or it is not there. */
DX_CAS_API int dx_cas_delta_base(dx_cas_delta *d, const dx_cas_id *id, dx_cas_id *base,
                                 uint32_t *depth);
/* Copy an object (no list node) as it is stored into another store, its bases first. */
DX_CAS_API int dx_cas_delta_copy(dx_cas_delta *d, const dx_cas_id *id, dx_cas_store *dst);

#ifdef __cplusplus
}
#endif
#endif /* DX_CAS_DELTA_H */

#if (defined(DX_CAS_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_CAS_DELTA_IMPLEMENTED)
#define DX_CAS_DELTA_IMPLEMENTED

/* Memory: two objects, of which one becomes the other, and two stored deltas. */
enum { DX_CAS_P_DELTA_ONE, DX_CAS_P_DELTA_OTHER, DX_CAS_P_DELTA_IN, DX_CAS_P_DELTA_STEP };

typedef struct dx_cas_p_delta_chain { /* from an object down to one that is no delta */
    dx_cas_p_record records[DX_CAS_DELTA_DEPTH_MAX + 1];
    uint32_t        count;
} dx_cas_p_delta_chain;

static uint8_t *dx_cas_p_delta_memory(const dx_cas_delta *d, uint32_t which)
{
    return (uint8_t *)d->desc_.memory + (size_t)which * d->desc_.object_size_max;
}

static const dx_cas_delta_coder *dx_cas_p_delta_coder(const dx_cas_delta *d, uint8_t number)
{
    size_t i;
    for (i = 0; i < d->desc_.coder_count; i++) {
        if (d->desc_.coders[i].number == number) return &d->desc_.coders[i];
    }
    return NULL;
}

/* What is stored of a delta: base, depth, coder, CRC-32C of these and of the delta, which follows.
   The CRC tells a torn delta from one whose base or coder is not there. */
static uint32_t dx_cas_p_delta_crc(const uint8_t *stored, size_t size)
{
    return dx_cas_p_crc32c(dx_cas_p_crc32c(0, stored, DX_CAS_DELTA_HEAD - 4),
                           stored + DX_CAS_DELTA_HEAD, size - DX_CAS_DELTA_HEAD);
}

static bool dx_cas_p_delta_whole(const uint8_t *stored, size_t size)
{
    return size >= DX_CAS_DELTA_HEAD && stored[32] > 0 && stored[32] <= DX_CAS_DELTA_DEPTH_MAX &&
           dx_cas_p_load32(stored + DX_CAS_DELTA_HEAD - 4) == dx_cas_p_delta_crc(stored, size);
}

static int dx_cas_p_delta_read_base(dx_cas_store *s, const dx_cas_p_record *r, dx_cas_id *base)
{
    if (r->stored < DX_CAS_DELTA_HEAD) return DX_CAS_ECORRUPT;
    return dx_cas_p_read(s, r->place + DX_CAS_P_HEAD, base->bytes, sizeof base->bytes);
}

/* The records from id on. Their number is limited, whatever they say of their depth. */
static int dx_cas_p_delta_chain_of(const dx_cas_delta *d, dx_cas_store *s, const dx_cas_id *id,
                                   dx_cas_p_delta_chain *chain)
{
    dx_cas_id next = *id;
    chain->count = 0;
    while (chain->count <= DX_CAS_DELTA_DEPTH_MAX) {
        dx_cas_p_record *r = &chain->records[chain->count++];
        DX_CAS_P_TRY(dx_cas_p_find(s, &next, r, NULL));
        if (r->type != DX_CAS_P_BLOB) return DX_CAS_ECORRUPT;
        if (r->logical > d->desc_.object_size_max || r->stored > d->desc_.object_size_max) {
            return DX_CAS_ETOOBIG;
        }
        if (r->codec != DX_CAS_DELTA_CODEC) return DX_CAS_OK;
        DX_CAS_P_TRY(dx_cas_p_delta_read_base(s, r, &next));
    }
    return DX_CAS_ECORRUPT;
}

static int dx_cas_p_delta_apply(dx_cas_delta *d, const uint8_t *stored, size_t stored_size,
                                const uint8_t *base, size_t base_size, void *out, size_t size)
{
    const dx_cas_delta_coder *coder = dx_cas_p_delta_coder(d, stored[33]);
    size_t got = 0;
    if (!dx_cas_p_delta_whole(stored, stored_size)) return DX_CAS_ECORRUPT;
    if (!coder) return DX_CAS_ENOTSUP;
    DX_CAS_P_TRY(coder->decode(coder->user, out, size, base, base_size, stored + DX_CAS_DELTA_HEAD,
                               stored_size - DX_CAS_DELTA_HEAD, &got));
    return dx_cas_p_sound(got == size);
}

/* Object number `which` of a chain; *out is in the memory. Each step is checked by its id. */
static int dx_cas_p_delta_build(dx_cas_delta *d, const dx_cas_p_delta_chain *chain, uint32_t which,
                                const uint8_t **out, size_t *size)
{
    dx_cas_store *s = d->desc_.store;
    uint8_t *is = dx_cas_p_delta_memory(d, DX_CAS_P_DELTA_ONE);
    uint8_t *next = dx_cas_p_delta_memory(d, DX_CAS_P_DELTA_OTHER);
    uint8_t *step = dx_cas_p_delta_memory(d, DX_CAS_P_DELTA_STEP), *was;
    uint32_t i = chain->count - 1;
    DX_CAS_P_TRY(dx_cas_p_get(s, &chain->records[i], is));
    while (i-- > which) {
        const dx_cas_p_record *r = &chain->records[i];
        dx_cas_id id;
        DX_CAS_P_TRY(dx_cas_p_read(s, r->place + DX_CAS_P_HEAD, step, (size_t)r->stored));
        DX_CAS_P_TRY(dx_cas_p_delta_apply(d, step, (size_t)r->stored, is,
                                          (size_t)chain->records[i + 1].logical, next,
                                          (size_t)r->logical));
        dx_cas_p_id_of(DX_CAS_P_BLOB, next, (size_t)r->logical, &id);
        if (!dx_cas_id_equal(&id, &r->id)) return DX_CAS_ECORRUPT;
        was = is;
        is = next;
        next = was;
    }
    *out = is;
    *size = (size_t)chain->records[which].logical;
    return DX_CAS_OK;
}

/* Bases are bytes of others: what is wrong with them is said as such. */
static int dx_cas_p_delta_blame(int error)
{
    if (error == DX_CAS_OK || error == DX_CAS_ESYS || error == DX_CAS_ENOTSUP) return error;
    return DX_CAS_EBASE;
}

static int dx_cas_p_delta_decompress(void *user, void *out, size_t capacity, const void *in,
                                     size_t n, size_t *got)
{
    dx_cas_delta *d = (dx_cas_delta *)user;
    uint8_t *stored = dx_cas_p_delta_memory(d, DX_CAS_P_DELTA_IN);
    const uint8_t *base = NULL;
    dx_cas_p_delta_chain chain;
    dx_cas_id id;
    size_t base_size = 0;
    int error;
    if (n > d->desc_.object_size_max) return DX_CAS_ECORRUPT;
    if (!dx_cas_p_delta_whole((const uint8_t *)in, n)) return DX_CAS_ECORRUPT;
    DX_CAS_MEMCPY(id.bytes, in, 32);
    DX_CAS_MEMCPY(stored, in, n); /* the base is decompressed where this stands */
    error = dx_cas_p_delta_chain_of(d, d->desc_.store, &id, &chain);
    if (error == DX_CAS_OK) error = dx_cas_p_delta_build(d, &chain, 0, &base, &base_size);
    if (error != DX_CAS_OK) return dx_cas_p_delta_blame(error);
    *got = capacity;
    return dx_cas_p_delta_apply(d, stored, n, base, base_size, out, capacity);
}

/* A base that may have one more delta on it: the hint, or what that is a delta of. */
static int dx_cas_p_delta_choose(dx_cas_delta *d, dx_cas_p_delta_chain *chain)
{
    dx_cas_id id = *d->hint_;
    for (;;) { /* each chain is one shorter than the one before */
        DX_CAS_P_TRY(dx_cas_p_delta_chain_of(d, d->desc_.store, &id, chain));
        if (chain->count <= d->desc_.depth_max) return DX_CAS_OK;
        DX_CAS_P_TRY(dx_cas_p_delta_read_base(d->desc_.store, &chain->records[0], &id));
    }
}

/* The smallest of what the coders make, behind the head in out; returns its size with the head, 0:
   none is small enough. The memory for a stored delta is free meanwhile. */
static size_t dx_cas_p_delta_encode(dx_cas_delta *d, const uint8_t *base, size_t base_size,
                                    const void *in, size_t n, uint8_t *out, size_t capacity)
{
    uint8_t *other = dx_cas_p_delta_memory(d, DX_CAS_P_DELTA_STEP);
    size_t best = capacity - DX_CAS_DELTA_HEAD + 1, size, i;
    bool found = false;
    for (i = 0; i < d->desc_.coder_count && best > 0; i++) {
        const dx_cas_delta_coder *coder = &d->desc_.coders[i];
        uint8_t *to = found ? other : out + DX_CAS_DELTA_HEAD;
        if (coder->encode(coder->user, to, best - 1, base, base_size, in, n, &size) != DX_CAS_OK) {
            continue;
        }
        if (found) DX_CAS_MEMCPY(out + DX_CAS_DELTA_HEAD, other, size);
        out[33] = coder->number;
        best = size;
        found = true;
    }
    return found ? best + DX_CAS_DELTA_HEAD : 0;
}

/* In place of a codec's compress: of what it cannot do, and does not do better, it says so. */
static int dx_cas_p_delta_compress(void *user, void *out, size_t capacity, const void *in,
                                   size_t n, size_t *got)
{
    dx_cas_delta *d = (dx_cas_delta *)user;
    uint8_t *to = (uint8_t *)out, *back;
    const uint8_t *base = NULL;
    dx_cas_p_delta_chain chain;
    size_t base_size = 0;
    int error;
    if (d->limit_ && d->limit_ < capacity) capacity = d->limit_;
    if (capacity > d->desc_.object_size_max) capacity = d->desc_.object_size_max;
    if (!d->hint_ || capacity <= DX_CAS_DELTA_HEAD || n > d->desc_.object_size_max) {
        return DX_CAS_ENOSPACE;
    }
    error = dx_cas_p_delta_choose(d, &chain);
    if (error == DX_CAS_OK) error = dx_cas_p_delta_build(d, &chain, 0, &base, &base_size);
    if (error != DX_CAS_OK) return error == DX_CAS_ESYS ? error : DX_CAS_ENOSPACE;
    *got = dx_cas_p_delta_encode(d, base, base_size, in, n, to, capacity);
    if (*got == 0) return DX_CAS_ENOSPACE;
    DX_CAS_MEMCPY(to, chain.records[0].id.bytes, 32);
    to[32] = (uint8_t)chain.count;
    dx_cas_p_store32(to + 34, dx_cas_p_delta_crc(to, *got));
    back = dx_cas_p_delta_memory(d, DX_CAS_P_DELTA_ONE); /* whichever does not hold the base */
    if (back == base) back = dx_cas_p_delta_memory(d, DX_CAS_P_DELTA_OTHER);
    error = dx_cas_p_delta_apply(d, to, *got, base, base_size, back, n);
    return error || DX_CAS_MEMCMP(back, in, n) != 0 ? DX_CAS_ENOSPACE : DX_CAS_OK;
}

static bool dx_cas_p_delta_needs(void *user, const void *in, size_t n, dx_cas_id *other)
{
    (void)user;
    if (!dx_cas_p_delta_whole((const uint8_t *)in, n)) return false;
    DX_CAS_MEMCPY(other->bytes, in, 32);
    return true;
}

DX_CAS_API size_t dx_cas_delta_memory_size(const dx_cas_delta_desc *desc)
{
    uint64_t size = desc && desc->object_size_max ? desc->object_size_max : (uint32_t)1 << 20;
    return 4 * size > SIZE_MAX ? 0 : (size_t)(4 * size);
}

DX_CAS_API int dx_cas_delta_init(dx_cas_delta *d, const dx_cas_delta_desc *desc)
{
    size_t i, need = dx_cas_delta_memory_size(desc);
    if (!d || !desc || !desc->store || !desc->coders || desc->coder_count == 0 || !desc->memory ||
        desc->depth_max > DX_CAS_DELTA_DEPTH_MAX) {
        return DX_CAS_EINVAL;
    }
    for (i = 0; i < desc->coder_count; i++) {
        uint8_t number = desc->coders[i].number;
        if (!desc->coders[i].encode || !desc->coders[i].decode) return DX_CAS_EINVAL;
        if (number == 0 || (number > 2 && number < 128)) return DX_CAS_EINVAL; /* reserved */
    }
    if (need == 0 || desc->memory_size < need) return DX_CAS_ENOMEM;
    DX_CAS_MEMSET(d, 0, sizeof *d);
    d->desc_ = *desc;
    if (d->desc_.object_size_max == 0) d->desc_.object_size_max = (uint32_t)1 << 20;
    if (d->desc_.depth_max == 0) d->desc_.depth_max = 15;
    return DX_CAS_OK;
}

DX_CAS_API dx_cas_codec dx_cas_delta_codec(dx_cas_delta *d)
{
    dx_cas_codec codec = {DX_CAS_DELTA_CODEC, dx_cas_p_delta_compress, dx_cas_p_delta_decompress,
                          d, dx_cas_p_delta_needs};
    return codec;
}

DX_CAS_API int dx_cas_delta_put(dx_cas_delta *d, const void *data, size_t size,
                                const dx_cas_id *base, size_t limit, dx_cas_id *id)
{
    int error;
    if (!d || !base) return DX_CAS_EINVAL;
    d->hint_ = base;
    d->limit_ = limit;
    error = dx_cas_put_with(d->desc_.store, DX_CAS_DELTA_CODEC, data, size, id);
    d->hint_ = NULL;
    return error;
}

DX_CAS_API int dx_cas_delta_base(dx_cas_delta *d, const dx_cas_id *id, dx_cas_id *base,
                                 uint32_t *depth)
{
    dx_cas_p_delta_chain chain;
    if (!d || !id || !base || !depth || !d->desc_.store->open_) return DX_CAS_EINVAL;
    DX_CAS_P_TRY(dx_cas_p_delta_chain_of(d, d->desc_.store, id, &chain));
    if (chain.count == 1) return DX_CAS_ENOTFOUND;
    *base = chain.records[1].id;
    *depth = chain.count - 1;
    return DX_CAS_OK;
}

DX_CAS_API int dx_cas_delta_copy(dx_cas_delta *d, const dx_cas_id *id, dx_cas_store *dst)
{
    dx_cas_p_delta_chain chain, there;
    dx_cas_store *s;
    const uint8_t *bytes = NULL;
    size_t size = 0;
    uint32_t i;
    if (!d || !id || !dst || dst == d->desc_.store) return DX_CAS_EINVAL;
    s = d->desc_.store;
    if (!s->open_) return DX_CAS_EINVAL;
    DX_CAS_P_TRY(dx_cas_p_may_write(dst));
    DX_CAS_P_TRY(dx_cas_p_delta_chain_of(d, s, id, &chain));
    for (i = chain.count; i-- > 0;) {
        if (i + 1 == chain.count ||
            (dx_cas_p_delta_chain_of(d, dst, &chain.records[i + 1].id, &there) == DX_CAS_OK &&
             there.count <= DX_CAS_DELTA_DEPTH_MAX)) {
            DX_CAS_P_TRY(dx_cas_p_copy_object(s, &chain.records[i], dst));
        } else { /* dst has the base as a longer chain */
            DX_CAS_P_TRY(dx_cas_p_delta_build(d, &chain, i, &bytes, &size));
            DX_CAS_P_TRY(dx_cas_put(dst, bytes, size, NULL));
        }
    }
    return DX_CAS_OK;
}

#endif /* DX_CAS_IMPLEMENTATION */
