/* Copies objects from one store into another, for compaction. With `repack` an object is stored as
   a delta of the most similar object, however it was stored before. Candidates are its former base,
   a former delta of it, and the results of similar.c. */
#include "copy.h"

#include "inside.h"
#include "similar.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAIRS      = 1 << 14, /* deltas of the old store that are indexed by their base */
    DEPTH_MAX  = 16,      /* maximum length of a chain of deltas */
    RELATIVES  = 2        /* candidates besides the similar ones */
};

/* In the old store, `of` is a delta of `base`. */
typedef struct pair {
    uint8_t base[PROG_HASH_SIZE];
    uint8_t of[PROG_HASH_SIZE];
} pair;

struct versions_copier {
    versions_store   *from, *to;
    versions_similar *similar;                     /* NULL: objects are copied as they are */
    uint8_t           bytes[VERSIONS_OBJECT_MAX];  /* the object in progress, */
    uint8_t           packed[VERSIONS_OBJECT_MAX]; /* compressed by itself, */
    uint8_t           base[VERSIONS_OBJECT_MAX];   /* a candidate for its base, */
    uint8_t           delta[VERSIONS_OBJECT_MAX];  /* and the delta between both */
    /* Indexed by the base. A later pair overwrites an earlier one: collisions cost only
       space in the store. */
    pair          pairs[PAIRS];
};

/* The depth of an object in its chain of deltas. Long chains are reserved for small deltas: one
   that saves little would use up the depth for later versions. */
static size_t depth_of(versions_store *s, const uint8_t id[32])
{
    dx_cas_id wanted, base;
    uint32_t depth;
    memcpy(wanted.bytes, id, 32);
    return dx_cas_delta_base(&s->delta, &wanted, &base, &depth) ? 0 : depth;
}

/* Find the former base of an object, and a former delta of it. New versions are copied first, so
   the latter is more often in the new store. */
static unsigned find_relatives(versions_copier *c, const uint8_t id[32],
                               uint8_t ids[][PROG_HASH_SIZE])
{
    dx_cas_id wanted, base;
    uint32_t depth, at = (id[0] | (uint32_t)id[1] << 8) % PAIRS;
    unsigned count = 0;
    if (!memcmp(c->pairs[at].base, id, 32)) memcpy(ids[count++], c->pairs[at].of, 32);
    memcpy(wanted.bytes, id, 32);
    if (dx_cas_delta_base(&c->from->delta, &wanted, &base, &depth)) return count;
    memcpy(ids[count++], base.bytes, 32);
    at = (base.bytes[0] | (uint32_t)base.bytes[1] << 8) % PAIRS;
    memcpy(c->pairs[at].base, base.bytes, 32);
    memcpy(c->pairs[at].of, id, 32);
    return count;
}

/* The candidate with the smallest delta to the object; NULL: none. */
static const uint8_t *best_base(versions_copier *c, const uint8_t of[32], size_t size,
                                size_t packed_size, uint8_t ids[][PROG_HASH_SIZE])
{
    size_t base_size, whole = packed_size ? packed_size : size, best = whole;
    assert(size <= sizeof c->bytes);
    unsigned count = find_relatives(c, of, ids);
    count += versions_similar_find(c->similar, c->bytes, size, ids + count);
    assert(count <= VERSIONS_SIMILAR_MAX + RELATIVES);
    const uint8_t *id = NULL;
    for (unsigned i = 0; i < count; i++) {
        if (!versions_object_has(c->to, ids[i], 0)) continue;
        /* without zstd there are no estimates */
        if (!c->to->packer && depth_of(c->to, ids[i]) < DEPTH_MAX) return ids[i];
        if (versions_object_get(c->to, ids[i], c->base, sizeof c->base, &base_size)) continue;
        size_t guess = versions_differ_guess(c->to->differ, c->delta, best, c->base, base_size,
                                             c->bytes, size);
        if (!guess || guess >= best || guess > whole - whole * depth_of(c->to, ids[i]) / DEPTH_MAX)
            continue;
        best = guess;
        id = ids[i];
    }
    return id;
}

/* Store an object as a delta of a similar one, however it was stored before. */
static int repack_object(versions_copier *c, const uint8_t id[32], size_t size)
{
    uint8_t ids[VERSIONS_SIMILAR_MAX + RELATIVES][PROG_HASH_SIZE], made[PROG_HASH_SIZE];
    int status = versions_object_get(c->from, id, c->bytes, sizeof c->bytes, &size);
    if (status) return status;
    size_t packed = c->to->packer && size > 1
                        ? versions_pack(c->to->packer, c->packed, size - 1, c->bytes, size)
                        : 0;
    assert(packed < size || !packed);
    const uint8_t *base = best_base(c, id, size, packed, ids);
    status = versions_object_put_packed(c->to, c->bytes, size, c->packed, packed, base, made);
    if (!status) versions_similar_add(c->similar, id);
    return status;
}

int versions_copier_copy(versions_copier *c, const uint8_t id[PROG_HASH_SIZE])
{
    dx_cas_id wanted;
    uint64_t size = 0;
    if (versions_object_has(c->to, id, 0)) return PROG_OK;
    memcpy(wanted.bytes, id, sizeof wanted.bytes);
    if (c->similar && !dx_cas_object_size(&c->from->cas, &wanted, &size) && size <= sizeof c->bytes)
        return repack_object(c, id, (size_t)size);
    int error = dx_cas_delta_copy(&c->from->delta, &wanted, &c->to->cas);
    if (error == DX_CAS_ENOTFOUND) error = DX_CAS_ECORRUPT;
    if (!error) return PROG_OK;
    return versions_store_fail(error == DX_CAS_ENOSPACE ? c->to : c->from, error, c->from->path);
}

versions_copier *versions_copier_open(versions_store *from, versions_store *to, bool repack)
{
    versions_copier *c = prog_alloc(sizeof *c);
    memset(c->pairs, 0, sizeof c->pairs);
    c->from = from;
    c->to = to;
    c->similar = repack ? versions_similar_open() : NULL;
    if (repack) {
        versions_packer_try_hard(to->packer);
        versions_differ_try_hard(to->differ);
    }
    return c;
}

void versions_copier_close(versions_copier *c)
{
    versions_similar_close(c->similar);
    free(c);
}
