/*  dx_bao.h - verified ranges of a content whose BLAKE3-256 is known, beside dx_cas.h

    Include it behind dx_cas.h; where DX_CAS_IMPLEMENTATION or DX_IMPLEMENTATION is defined the functions are here, too (they use
    helpers of that implementation, so both belong in the same file). MIT-0 or public domain, as dx_cas.h.

    An id of dx_cas.h is the root of BLAKE3's tree over the content, so any range of the content can be checked alone:

        static uint8_t outboard[1 << 20], proof[DX_BAO_PROOF_MAX];
        dx_bao_outboard(data, size, DX_BAO_GROUP, outboard, sizeof outboard, &id);           // who has all of it
        n = dx_bao_prove(outboard, DX_BAO_GROUP, index, proof);                              // 512 bytes for 1 GB
        if (dx_bao_check(&id, size, DX_BAO_GROUP, index, group, group_size, proof, n)) ...   // who has only the id

    Groups are of 1024 << `group` bytes: DX_BAO_GROUP makes them 16 KiB and the outboard tree 0.39 % of the content. With
    group 0 outboard trees and slices are those of Bao (github.com/oconnor663/bao), byte for byte; with 4 those of its
    successors. docs/formats/cas.md, section "Verified ranges", has the format.

    Nothing here is allocated, and no recursion depends on what is read. Sizes are at most 2^48. EINVAL: an argument breaks its
    contract; ECORRUPT: not what the id says; ETRUNCATED: a slice ends too early; ENOSPACE: an output buffer is too small.
*/
#ifndef DX_BAO_H
#define DX_BAO_H

#include "../dx_cas.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DX_BAO_GROUP = 4, DX_BAO_PROOF_MAX = 38 * 32 };

/* Bytes of the outboard tree: the size of the content (8 bytes), and 64 for each pair of subtrees. */
DX_CAS_API uint64_t dx_bao_outboard_size(uint64_t size, unsigned group);

typedef struct dx_bao_builder { /* makes an outboard tree out of groups in their order; private */
    uint8_t *outboard_;
    uint64_t size_, done_;
    unsigned group_, count_;
    struct { uint64_t start, chunks; uint8_t value[32]; } stack_[56];
} dx_bao_builder;

/* ENOSPACE when capacity is below dx_bao_outboard_size(). outboard is borrowed until the end. */
DX_CAS_API int dx_bao_begin(dx_bao_builder *b, uint64_t size, unsigned group, uint8_t *outboard, size_t capacity);
/* The next group: 1024 << group bytes, the last one what is left (of an empty content 0). */
DX_CAS_API int dx_bao_add(dx_bao_builder *b, const void *data, size_t size);
/* EINVAL unless all groups were added. *root = BLAKE3-256 of the content. */
DX_CAS_API int dx_bao_end(dx_bao_builder *b, dx_cas_id *root);
/* All three, of a content in memory. */
DX_CAS_API int dx_bao_outboard(const void *data, size_t size, unsigned group, uint8_t *outboard, size_t capacity,
                                   dx_cas_id *root);

/* The values beside the way from a group up to the root, lowest first, into DX_BAO_PROOF_MAX bytes. Returns their bytes,
   32 for each level of the tree, or an error. */
DX_CAS_API int dx_bao_prove(const uint8_t *outboard, size_t outboard_size, unsigned group, uint64_t index, uint8_t *proof);
/* DX_CAS_OK: data is group number index of the content of `size` bytes that has this id. `size` must be known to be right, or
   else be checked by the last group. ECORRUPT when not. */
DX_CAS_API int dx_bao_check(const dx_cas_id *root, uint64_t size, unsigned group, uint64_t index, const void *data,
                                size_t data_size, const uint8_t *proof, size_t proof_size);

/* A slice: the size of the content, then in the order of a walk from the root the pairs and groups that a reader needs to check
   the bytes start..start+length (at least one group: what is behind the end proves the end). 0..UINT64_MAX: all of it, which is
   Bao's combined encoding. *slice_size receives the bytes needed, also with ENOSPACE. */
DX_CAS_API int dx_bao_slice(const void *data, const uint8_t *outboard, size_t outboard_size, unsigned group, uint64_t start,
                                uint64_t length, uint8_t *slice, size_t capacity, size_t *slice_size);
/* Check a slice and copy the bytes start..start+length out of it, as far as the content has them. Nothing unchecked leaves:
   after an error *got is what was checked before. *size (may be NULL) = that of the content, proven only when start + length is
   behind its end or its last group is in the slice. */
DX_CAS_API int dx_bao_open(const dx_cas_id *root, unsigned group, uint64_t start, uint64_t length, const uint8_t *slice,
                               size_t slice_size, uint8_t *out, size_t capacity, size_t *got, uint64_t *size);

#ifdef __cplusplus
}
#endif
#endif /* DX_BAO_H */

#if (defined(DX_CAS_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && !defined(DX_BAO_IMPLEMENTED)
#define DX_BAO_IMPLEMENTED

/* >>tree --------------------------------------------------------------- */
#define DX_BAO_P_MAX ((uint64_t)1 << 48)

/* Chunks start..start+count of the content; more than a group: a pair of subtrees. */
typedef struct dx_bao_p_node {
    uint64_t start, count;
    uint8_t  value[32];
    bool     root;
} dx_bao_p_node;

static uint64_t dx_bao_p_chunks(uint64_t size)
{
    return size ? (size + 1023) / 1024 : 1;
}

static uint64_t dx_bao_p_groups(uint64_t chunks, unsigned group)
{
    return (chunks + ((uint64_t)1 << group) - 1) >> group;
}

/* Chunks of the left one of two subtrees: the largest power of two below count. */
static uint64_t dx_bao_p_left(uint64_t count)
{
    uint64_t left = 1;
    while (left * 2 < count) left *= 2;
    return left;
}

/* How many pairs stand before that of chunks start..start+count: those above it, and those of subtrees to its left. */
static uint64_t dx_bao_p_index(uint64_t chunks, unsigned group, uint64_t start, uint64_t count)
{
    uint64_t index = 0, from = 0;
    while (from != start || chunks != count) {
        uint64_t left = dx_bao_p_left(chunks);
        index++;
        if (start < from + left) {
            chunks = left;
        } else {
            index += dx_bao_p_groups(left, group) - 1;
            from += left;
            chunks -= left;
        }
    }
    return index;
}

static void dx_bao_p_join(const uint8_t *pair, bool root, uint8_t *value)
{
    dx_cas_blake3 mode;
    dx_cas_blake3_init(&mode);
    dx_cas_blake3_join(&mode, pair, root, value);
}

static int dx_bao_p_leaf(uint64_t start, const void *data, size_t size, bool root, uint8_t *value)
{
    dx_cas_blake3 mode;
    dx_cas_id id;
    dx_cas_blake3_init(&mode);
    if (!root) return dx_cas_blake3_part(&mode, start * 1024, data, size, value);
    dx_cas_hash(data, size, &id);
    DX_CAS_MEMCPY(value, id.bytes, 32);
    return DX_CAS_OK;
}

DX_CAS_API uint64_t dx_bao_outboard_size(uint64_t size, unsigned group)
{
    return 8 + 64 * (dx_bao_p_groups(dx_bao_p_chunks(size), group) - 1);
}

/* >>outboard ----------------------------------------------------------- */
DX_CAS_API int dx_bao_begin(dx_bao_builder *b, uint64_t size, unsigned group, uint8_t *outboard, size_t capacity)
{
    if (!b || !outboard || group > 20 || size > DX_BAO_P_MAX) return DX_CAS_EINVAL;
    DX_CAS_MEMSET(b, 0, sizeof *b);
    if (capacity < dx_bao_outboard_size(size, group)) return DX_CAS_ENOSPACE;
    dx_cas_p_store64(outboard, size);
    b->outboard_ = outboard;
    b->size_ = size;
    b->group_ = group;
    return DX_CAS_OK;
}

/* Make one of the last two subtrees, which are a pair. */
static void dx_bao_p_merge(dx_bao_builder *b)
{
    uint64_t start = b->stack_[b->count_ - 2].start;
    uint64_t count = b->stack_[b->count_ - 2].chunks + b->stack_[b->count_ - 1].chunks;
    uint64_t chunks = dx_bao_p_chunks(b->size_);
    uint8_t *pair = b->outboard_ + (size_t)(8 + 64 * dx_bao_p_index(chunks, b->group_, start, count));
    DX_CAS_MEMCPY(pair, b->stack_[b->count_ - 2].value, 32);
    DX_CAS_MEMCPY(pair + 32, b->stack_[b->count_ - 1].value, 32);
    b->count_--;
    b->stack_[b->count_ - 1].chunks = count;
    dx_bao_p_join(pair, count == chunks, b->stack_[b->count_ - 1].value);
}

DX_CAS_API int dx_bao_add(dx_bao_builder *b, const void *data, size_t size)
{
    uint64_t most = (uint64_t)1024 << (b ? b->group_ : 0);
    if (!b || !b->outboard_ || (!data && size) || (b->done_ && b->done_ == b->size_)) return DX_CAS_EINVAL;
    if (size != (b->size_ - b->done_ < most ? b->size_ - b->done_ : most)) return DX_CAS_EINVAL;
    b->stack_[b->count_].start = b->done_ / 1024;
    b->stack_[b->count_].chunks = dx_bao_p_chunks(size);
    DX_CAS_P_TRY(dx_bao_p_leaf(b->done_ / 1024, data, size, size == b->size_, b->stack_[b->count_].value));
    b->count_++;
    b->done_ += size;
    while (b->count_ > 1 && b->stack_[b->count_ - 1].chunks == b->stack_[b->count_ - 2].chunks) dx_bao_p_merge(b);
    return DX_CAS_OK;
}

DX_CAS_API int dx_bao_end(dx_bao_builder *b, dx_cas_id *root)
{
    if (!b || !root || b->count_ == 0 || b->done_ != b->size_) return DX_CAS_EINVAL;
    while (b->count_ > 1) dx_bao_p_merge(b);
    DX_CAS_MEMCPY(root->bytes, b->stack_[0].value, 32);
    b->outboard_ = NULL;
    b->count_ = 0;
    return DX_CAS_OK;
}

DX_CAS_API int dx_bao_outboard(const void *data, size_t size, unsigned group, uint8_t *outboard, size_t capacity,
                                   dx_cas_id *root)
{
    const uint8_t *p = (const uint8_t *)data;
    dx_bao_builder b;
    size_t done = 0, n;
    if (!data && size) return DX_CAS_EINVAL;
    DX_CAS_P_TRY(dx_bao_begin(&b, size, group, outboard, capacity));
    do {
        n = size - done < (size_t)1024 << group ? size - done : (size_t)1024 << group;
        DX_CAS_P_TRY(dx_bao_add(&b, n ? p + done : p, n));
        done += n;
    } while (done < size);
    return dx_bao_end(&b, root);
}

/* >>proof -------------------------------------------------------------- */
/* The way from the root down to a group: which of each pair, and how large the other is. */
static unsigned dx_bao_p_way(uint64_t chunks, unsigned group, uint64_t index, uint64_t *way, bool *right)
{
    uint64_t target = index << group, from = 0, place = 0;
    unsigned depth = 0;
    while (chunks > (uint64_t)1 << group) {
        uint64_t left = dx_bao_p_left(chunks);
        way[depth] = place++;
        right[depth] = target >= from + left;
        if (right[depth++]) {
            place += dx_bao_p_groups(left, group) - 1;
            from += left;
            chunks -= left;
        } else {
            chunks = left;
        }
    }
    return depth;
}

DX_CAS_API int dx_bao_prove(const uint8_t *outboard, size_t outboard_size, unsigned group, uint64_t index, uint8_t *proof)
{
    uint64_t size, way[64];
    bool right[64];
    unsigned depth, i;
    if (!outboard || !proof || group > 20) return DX_CAS_EINVAL;
    if (outboard_size < 8) return DX_CAS_ETRUNCATED;
    size = dx_cas_p_load64(outboard);
    if (size > DX_BAO_P_MAX) return DX_CAS_ECORRUPT;
    if (outboard_size < dx_bao_outboard_size(size, group)) return DX_CAS_ETRUNCATED;
    if (index >= dx_bao_p_groups(dx_bao_p_chunks(size), group)) return DX_CAS_EINVAL;
    depth = dx_bao_p_way(dx_bao_p_chunks(size), group, index, way, right);
    for (i = 0; i < depth; i++) {
        const uint8_t *pair = outboard + (size_t)(8 + 64 * way[depth - 1 - i]);
        DX_CAS_MEMCPY(proof + 32 * i, right[depth - 1 - i] ? pair : pair + 32, 32);
    }
    return (int)(32 * depth);
}

DX_CAS_API int dx_bao_check(const dx_cas_id *root, uint64_t size, unsigned group, uint64_t index, const void *data,
                                size_t data_size, const uint8_t *proof, size_t proof_size)
{
    uint64_t chunks = dx_bao_p_chunks(size), start, want, way[64];
    bool right[64];
    uint8_t pair[64], value[32];
    unsigned depth, i;
    if (!root || (!data && data_size) || (!proof && proof_size) || group > 20) return DX_CAS_EINVAL;
    if (size > DX_BAO_P_MAX || index >= dx_bao_p_groups(chunks, group)) return DX_CAS_ECORRUPT;
    start = index * ((uint64_t)1024 << group);
    want = size - start < (uint64_t)1024 << group ? size - start : (uint64_t)1024 << group;
    depth = dx_bao_p_way(chunks, group, index, way, right);
    if (data_size != want || proof_size != 32 * depth) return DX_CAS_ECORRUPT;
    DX_CAS_P_TRY(dx_bao_p_leaf(start / 1024, data, data_size, depth == 0, value));
    for (i = 0; i < depth; i++) {
        bool is_right = right[depth - 1 - i];
        DX_CAS_MEMCPY(is_right ? pair + 32 : pair, value, 32);
        DX_CAS_MEMCPY(is_right ? pair : pair + 32, proof + 32 * i, 32);
        dx_bao_p_join(pair, i + 1 == depth, value);
    }
    return DX_CAS_MEMCMP(value, root->bytes, 32) == 0 ? DX_CAS_OK : DX_CAS_ECORRUPT;
}

/* >>slices ------------------------------------------------------------- */
/* A walk from the root over what touches bytes from..to of the content. */
typedef struct dx_bao_p_walk {
    uint64_t size, from, to;
    unsigned group, count;
    dx_bao_p_node stack[64];
} dx_bao_p_walk;

static void dx_bao_p_start(dx_bao_p_walk *w, uint64_t size, unsigned group, uint64_t start, uint64_t length)
{
    w->size = size;
    w->group = group;
    w->from = start < size ? start : size ? size - 1 : 0; /* behind the end: the last group shows where it is */
    w->to = length > UINT64_MAX - start ? UINT64_MAX : start + length;
    if (w->to <= w->from) w->to = w->from + 1;
    w->count = 1;
    w->stack[0].start = 0;
    w->stack[0].count = dx_bao_p_chunks(size);
    w->stack[0].root = true;
}

/* The next node that is wanted; a leaf is at most a group. */
static bool dx_bao_p_next(dx_bao_p_walk *w, dx_bao_p_node *n, bool *leaf)
{
    while (w->count > 0) {
        *n = w->stack[--w->count];
        *leaf = n->count <= (uint64_t)1 << w->group;
        if (n->root || (n->start * 1024 < w->to && (n->start + n->count) * 1024 > w->from)) return true;
    }
    return false;
}

static void dx_bao_p_children(dx_bao_p_walk *w, const dx_bao_p_node *n, const uint8_t *pair)
{
    uint64_t left = dx_bao_p_left(n->count);
    dx_bao_p_node *right = &w->stack[w->count++], *first = &w->stack[w->count++];
    right->start = n->start + left;
    right->count = n->count - left;
    first->start = n->start;
    first->count = left;
    first->root = right->root = false;
    DX_CAS_MEMCPY(first->value, pair, 32);
    DX_CAS_MEMCPY(right->value, pair + 32, 32);
}

static size_t dx_bao_p_bytes(const dx_bao_p_walk *w, const dx_bao_p_node *n)
{
    uint64_t left = w->size - n->start * 1024;
    return (size_t)(left < n->count * 1024 ? left : n->count * 1024);
}

DX_CAS_API int dx_bao_slice(const void *data, const uint8_t *outboard, size_t outboard_size, unsigned group, uint64_t start,
                                uint64_t length, uint8_t *slice, size_t capacity, size_t *slice_size)
{
    dx_bao_p_walk w;
    dx_bao_p_node n;
    size_t used = 8;
    uint64_t size;
    bool leaf;
    if (!outboard || (!slice && capacity) || !slice_size || group > 20) return DX_CAS_EINVAL;
    *slice_size = 0;
    if (outboard_size < 8) return DX_CAS_ETRUNCATED;
    size = dx_cas_p_load64(outboard);
    if (size > DX_BAO_P_MAX || size > SIZE_MAX) return DX_CAS_ECORRUPT;
    if (outboard_size < dx_bao_outboard_size(size, group)) return DX_CAS_ETRUNCATED;
    if (!data && size) return DX_CAS_EINVAL;
    if (capacity >= 8) dx_cas_p_store64(slice, size);
    dx_bao_p_start(&w, size, group, start, length);
    while (dx_bao_p_next(&w, &n, &leaf)) {
        size_t bytes = leaf ? dx_bao_p_bytes(&w, &n) : 64;
        const uint8_t *from = (const uint8_t *)data + (size_t)(n.start * 1024);
        if (!leaf) {
            from = outboard + 8 + 64 * (size_t)dx_bao_p_index(dx_bao_p_chunks(size), group, n.start, n.count);
            dx_bao_p_children(&w, &n, from);
        }
        if (bytes && used <= capacity && bytes <= capacity - used) DX_CAS_MEMCPY(slice + used, from, bytes);
        used += bytes;
    }
    *slice_size = used;
    return used <= capacity ? DX_CAS_OK : DX_CAS_ENOSPACE;
}

/* Copy what is wanted of a group that was checked. */
static int dx_bao_p_copy(const dx_bao_p_node *n, const uint8_t *p, size_t bytes, uint64_t start, uint64_t length,
                             uint8_t *out, size_t capacity, size_t *got)
{
    uint64_t at = n->start * 1024, skip = start > at ? start - at : 0, take;
    if (skip >= bytes || at >= start + length) return DX_CAS_OK;
    take = start + length - at < bytes ? start + length - at - skip : bytes - skip;
    if (take > capacity - *got) return DX_CAS_ENOSPACE;
    if (take) DX_CAS_MEMCPY(out + *got, p + (size_t)skip, (size_t)take);
    *got += (size_t)take;
    return DX_CAS_OK;
}

DX_CAS_API int dx_bao_open(const dx_cas_id *root, unsigned group, uint64_t start, uint64_t length, const uint8_t *slice,
                               size_t slice_size, uint8_t *out, size_t capacity, size_t *got, uint64_t *size)
{
    dx_bao_p_walk w;
    dx_bao_p_node n;
    size_t used = 8;
    uint8_t value[32];
    bool leaf;
    if (!root || !slice || (!out && capacity) || !got || group > 20) return DX_CAS_EINVAL;
    *got = 0;
    if (slice_size < 8) return DX_CAS_ETRUNCATED;
    if (dx_cas_p_load64(slice) > DX_BAO_P_MAX) return DX_CAS_ECORRUPT;
    if (length > UINT64_MAX - start) length = UINT64_MAX - start;
    dx_bao_p_start(&w, dx_cas_p_load64(slice), group, start, length);
    DX_CAS_MEMCPY(w.stack[0].value, root->bytes, 32);
    while (dx_bao_p_next(&w, &n, &leaf)) {
        size_t bytes = leaf ? dx_bao_p_bytes(&w, &n) : 64;
        if (bytes > slice_size - used) return DX_CAS_ETRUNCATED;
        if (leaf) DX_CAS_P_TRY(dx_bao_p_leaf(n.start, slice + used, bytes, n.root, value));
        else dx_bao_p_join(slice + used, n.root, value);
        if (DX_CAS_MEMCMP(value, n.value, 32) != 0) return DX_CAS_ECORRUPT;
        if (leaf) DX_CAS_P_TRY(dx_bao_p_copy(&n, slice + used, bytes, start, length, out, capacity, got));
        else dx_bao_p_children(&w, &n, slice + used);
        used += bytes;
    }
    if (size) *size = w.size;
    return used == slice_size ? DX_CAS_OK : DX_CAS_ECORRUPT;
}
#endif /* DX_CAS_IMPLEMENTATION */
