/*  dx_bao.h - v0.3.0 - verified ranges of content with a known BLAKE3-256 (Bao)
                       - MIT-0 or public domain, see end of file

    An id of dx_cas.h is the root of BLAKE3's tree over the content. With that tree, stored next to
    the content (0.39 % of its size), any part can be proven to a reader that knows only the id: it
    verifies a range from an untrusted source before use, and without the rest of the content.

    Do this in ONE C or C++ file:

        #define DX_IMPLEMENTATION             (DX_BAO_IMPLEMENTATION and DX_CAS_IMPLEMENTATION)
        #include "dx_bao.h"

    and include it elsewhere without the define. C99; also builds as C++11. It includes dx_cas.h
    from the folder above, unless that was included before.

    QUICK EXAMPLE

        static unsigned char data[40000], outboard[1024], proof[DX_BAO_PROOF_MAX];
        size_t    group_size = (size_t)1024 << DX_BAO_GROUP;    // 16 KiB
        dx_cas_id id;
        int       size;
        data[20000] = 1;
        // with the whole content
        if (dx_bao_outboard(data, sizeof data, DX_BAO_GROUP, outboard, sizeof outboard, &id) !=
            DX_BAO_OK) return 1;
        size = dx_bao_prove(outboard, sizeof outboard, DX_BAO_GROUP, 1, proof);
        if (size < 0) return 2;
        // with only the id, and group number 1 from an untrusted source
        if (dx_bao_check(&id, sizeof data, DX_BAO_GROUP, 1, data + group_size, group_size, proof,
                         (size_t)size) != DX_BAO_OK) return 3;
        data[20000] = 2;
        if (dx_bao_check(&id, sizeof data, DX_BAO_GROUP, 1, data + group_size, group_size, proof,
                         (size_t)size) != DX_BAO_ECORRUPT) return 4;

    CONTENTS (search for the mark)

        >>config  >>types  >>api        what you may call
        >>platform  >>shared  >>tree  >>outboard  >>proof  >>slices  >>license

    Groups are of 1024 << `group` bytes. With group 0 outboard trees and slices are those of Bao
    (github.com/oconnor663/bao), byte for byte; with DX_BAO_GROUP, 4, those of its successors.

    GUARANTEES
        - dx_bao_open() returns only verified bytes, whose hashes lead to the id.
        - Proofs and slices are untrusted input; time is linear in their size.
        - No allocation, no globals, no recursion, no printing.
    LIMITS      Contents up to 2^48 bytes, group 0..20. Ids must be BLAKE3-256 (no DX_CAS_HASHER).
    SIZE        code: x86-64 4,567, Cortex-M0 4,484; objects: dx_bao_builder 2,720
    THREADS     Functions share nothing; a dx_bao_builder belongs to one thread at a time.
    CONFIG      DX_BAO_STATIC     functions become static
                DX_BAO_API        how functions are declared
                DX_BAO_ASSERT(c)  <assert.h> when hosted
                DX_BAO_MEMCPY, DX_BAO_MEMSET, DX_BAO_MEMCMP
    ERRORS      dx_bao_error: 0 = ok, negative = reason; dx_bao_error_name() returns its name.
    OWNERSHIP   Everything is the caller's and used during the call only, except the outboard tree
                under construction: it is borrowed until dx_bao_end().
    FORMAT      docs/formats/bao.md.
*/
#ifndef DX_BAO_H
#define DX_BAO_H

#define DX_BAO_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_CAS_H
  #include "../dx_cas.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_BAO_API
  #ifndef DX_BAO_STATIC
    #define DX_BAO_API extern
  #elif defined(__GNUC__) || defined(__clang__)
    #define DX_BAO_API static __attribute__((unused))
  #else
    #define DX_BAO_API static
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */
/* value, constant, meaning. */
#define DX_BAO_ERRORS(X)                                                                           \
    X(0, OK)                                                                                       \
    X(-1, EINVAL)      /* an argument breaks its contract */                                       \
    X(-3, ENOSPACE)    /* an output buffer is too small */                                         \
    X(-5, ECORRUPT)    /* does not match the id */                                                 \
    X(-11, ETRUNCATED) /* an outboard tree or a slice ends too early */

typedef enum dx_bao_error {
#define DX_BAO_P_ENUM(value, constant) DX_BAO_##constant = value,
    DX_BAO_ERRORS(DX_BAO_P_ENUM)
#undef DX_BAO_P_ENUM
} dx_bao_error;

enum {
    DX_BAO_GROUP = 4,          /* groups of 16 KiB: the usual choice */
    DX_BAO_GROUP_MAX = 20,
    DX_BAO_PROOF_MAX = 38 * 32 /* bytes of the longest proof */
};

typedef struct dx_bao_subtree_ { /* private */
    uint64_t start;      /* chunks of 1,024 bytes before it */
    uint64_t chunks;     /* and in it */
    uint8_t  value[32];  /* its chaining value; for the whole tree: the id */
} dx_bao_subtree_;

typedef struct dx_bao_builder { /* builds an outboard tree; caller-allocated; fields are private */
    uint8_t *outboard_;
    uint64_t size_; /* bytes of the content */
    uint64_t done_; /* bytes added */
    unsigned group_;
    unsigned count_;            /* subtrees on the stack, */
    dx_bao_subtree_ stack_[56]; /* complete, without a right sibling, largest first */
} dx_bao_builder;

/* >>api ---------------------------------------------------------------- */
/* "DX_BAO_EINVAL" and so on; "unknown error" for anything else. Never NULL. */
DX_BAO_API const char *dx_bao_error_name(int error);

/* --- The outboard tree, made from the content. */
/* Size in bytes: the size of the content (8 bytes), and 64 for each pair of subtrees. */
DX_BAO_API uint64_t dx_bao_outboard_size(uint64_t size, unsigned group);
/* ENOSPACE if capacity is below dx_bao_outboard_size(). */
DX_BAO_API int dx_bao_begin(dx_bao_builder *b, uint64_t size, unsigned group, uint8_t *outboard,
                            size_t capacity);
/* The next group: 1024 << group bytes, the last one the rest (0 for empty content). */
DX_BAO_API int dx_bao_add(dx_bao_builder *b, const void *data, size_t size);
/* EINVAL if groups are missing. *root = BLAKE3-256 of the content. */
DX_BAO_API int dx_bao_end(dx_bao_builder *b, dx_cas_id *root);
/* All three, for content in memory. */
DX_BAO_API int dx_bao_outboard(const void *data, size_t size, unsigned group, uint8_t *outboard,
                               size_t capacity, dx_cas_id *root);

/* --- One group. */
/* The sibling values on the path from a group up to the root, lowest first, into DX_BAO_PROOF_MAX
   bytes. Returns their bytes, 32 for each level of the tree, or an error. */
DX_BAO_API int dx_bao_prove(const uint8_t *outboard, size_t outboard_size, unsigned group,
                            uint64_t index, uint8_t *proof);
/* OK: data is group number index of the content with this id and `size` bytes. The size must be
   trusted, or else be proven by checking the last group. ECORRUPT: any mismatch. */
DX_BAO_API int dx_bao_check(const dx_cas_id *root, uint64_t size, unsigned group, uint64_t index,
                            const void *data, size_t data_size, const uint8_t *proof,
                            size_t proof_size);

/* --- Any range. */
/* A slice: the size of the content, then in pre-order the pairs and groups that a reader needs to
   check the bytes start..start+length (at least one group: a range past the end includes the last
   group, which proves the end). 0..UINT64_MAX: everything, which is Bao's combined encoding.
   *slice_size receives the bytes needed, also with ENOSPACE. */
DX_BAO_API int dx_bao_slice(const void *data, const uint8_t *outboard, size_t outboard_size,
                            unsigned group, uint64_t start, uint64_t length, uint8_t *slice,
                            size_t capacity, size_t *slice_size);
/* Check a slice and copy the bytes start..start+length out of it, up to the end of the content.
   After an error *got counts the bytes verified before it. *size (may be NULL) = that of the
   content, proven only if start + length is past its end or its last group is in the slice. */
DX_BAO_API int dx_bao_open(const dx_cas_id *root, unsigned group, uint64_t start, uint64_t length,
                           const uint8_t *slice, size_t slice_size, uint8_t *out, size_t capacity,
                           size_t *got, uint64_t *size);

#ifdef __cplusplus
}
#endif
#endif /* DX_BAO_H */

#if (defined(DX_BAO_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_BAO_IMPLEMENTED)
#define DX_BAO_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_BAO_ASSERT
  #if (!defined(__STDC_HOSTED__) || __STDC_HOSTED__ == 1) && !defined(NDEBUG)
    #include <assert.h>
    #define DX_BAO_ASSERT(c) assert(c)
  #else
    #define DX_BAO_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_BAO_P_LIBC(name) __builtin_##name
#else
  #include <string.h>
  #define DX_BAO_P_LIBC(name) name
#endif
#ifndef DX_BAO_MEMCPY
  #define DX_BAO_MEMCPY DX_BAO_P_LIBC(memcpy)
#endif
#ifndef DX_BAO_MEMSET
  #define DX_BAO_MEMSET DX_BAO_P_LIBC(memset)
#endif
#ifndef DX_BAO_MEMCMP
  #define DX_BAO_MEMCMP DX_BAO_P_LIBC(memcmp)
#endif

#ifdef DX_CAS_HASHER
  #error "dx_bao.h proves BLAKE3-256: ids must not be another hash"
#endif
#define DX_BAO_P_TRY(call)                                                                         \
    do {                                                                                           \
        int try_ = (call);                                                                         \
        if (try_ != DX_BAO_OK) return try_;                                                        \
    } while (0)

/* >>shared --------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies (a check compares them). */
static uint32_t dx_bao_p_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t dx_bao_p_load64(const uint8_t *p)
{
    return (uint64_t)dx_bao_p_load32(p) | (uint64_t)dx_bao_p_load32(p + 4) << 32;
}

static void dx_bao_p_store32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8 & 0xff);
    p[2] = (uint8_t)(v >> 16 & 0xff);
    p[3] = (uint8_t)(v >> 24);
}

static void dx_bao_p_store64(uint8_t *p, uint64_t v)
{
    dx_bao_p_store32(p, (uint32_t)(v & 0xffffffffu));
    dx_bao_p_store32(p + 4, (uint32_t)(v >> 32));
}
/* <<shared */

DX_BAO_API const char *dx_bao_error_name(int error)
{
    switch (error) {
#define DX_BAO_P_NAME(value, constant)                                                             \
    case value: return "DX_BAO_" #constant;
        DX_BAO_ERRORS(DX_BAO_P_NAME)
#undef DX_BAO_P_NAME
    default: return "unknown error";
    }
}

/* >>tree ----------------------------------------------------------------
   BLAKE3 hashes chunks of 1,024 bytes and joins the values in pairs, up to the root. The left one
   of two subtrees has the largest power of two of chunks that leaves at least one to the right. The
   outboard tree has the pairs above *groups* of 2^g chunks; here 7 groups:

                        pair 0                     The outboard tree is the size of the content and
                   ____/      \____                all pairs in pre-order:
             pair 1              pair 4
            /     \             /     \                [size][pair 0][pair 1][pair 2] .. [pair 5]
        pair 2   pair 3     pair 5     G6               8      64      64
        /    \   /    \     /    \
       G0    G1 G2    G3   G4    G5

   A left subtree of n groups has n - 1 pairs, which a walk to its right skips. */
enum {
    DX_BAO_P_CHUNK = 1024,
    DX_BAO_P_VALUE = 32,        /* bytes of a chaining value */
    DX_BAO_P_PAIR = 64,
    DX_BAO_P_HEAD = 8,          /* the size of the content, at the start of trees and slices */
    DX_BAO_P_LEVELS_MAX = 64    /* of any tree; 38 for 2^48 bytes of content */
};
#define DX_BAO_P_SIZE_MAX ((uint64_t)1 << 48)

static uint64_t dx_bao_p_chunks(uint64_t size)
{
    return size ? (size + DX_BAO_P_CHUNK - 1) / DX_BAO_P_CHUNK : 1;
}

static uint64_t dx_bao_p_groups(uint64_t chunks, unsigned group)
{
    return (chunks + ((uint64_t)1 << group) - 1) >> group;
}

static uint64_t dx_bao_p_group_size(unsigned group)
{
    return (uint64_t)DX_BAO_P_CHUNK << group;
}

/* Chunks of the left subtree: the largest power of two below count. */
static uint64_t dx_bao_p_left(uint64_t count)
{
    uint64_t left = 1;
    DX_BAO_ASSERT(count > 1);
    while (left * 2 < count) left *= 2;
    return left;
}

/* Number of pairs before that of chunks start..start+count: those above it, and all those of the
   subtrees to its left. */
static uint64_t dx_bao_p_index(uint64_t chunks, unsigned group, uint64_t start, uint64_t count)
{
    uint64_t index = 0;
    uint64_t from = 0; /* the first chunk of the current subtree */
    DX_BAO_ASSERT(start < chunks && count <= chunks - start);
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

static size_t dx_bao_p_pair_at(uint64_t index)
{
    return (size_t)(DX_BAO_P_HEAD + DX_BAO_P_PAIR * index);
}

/* The value above a pair; root: it is the id. value may be inside the pair. */
static void dx_bao_p_join(const uint8_t *pair, bool root, uint8_t *value)
{
    dx_cas_blake3 mode;
    dx_cas_blake3_init(&mode);
    dx_cas_blake3_join(&mode, pair, root, value);
}

/* The value of a group that begins with chunk number start; root: it is the only group. */
static int dx_bao_p_leaf(uint64_t start, const void *data, size_t size, bool root, uint8_t *value)
{
    dx_cas_blake3 h;
    DX_BAO_ASSERT(data || size == 0);
    dx_cas_blake3_init(&h);
    if (!root) return dx_cas_blake3_part(&h, start * DX_BAO_P_CHUNK, data, size, value);
    dx_cas_blake3_update(&h, data, size);
    dx_cas_blake3_final(&h, value, DX_BAO_P_VALUE);
    return DX_BAO_OK;
}

DX_BAO_API uint64_t dx_bao_outboard_size(uint64_t size, unsigned group)
{
    uint64_t pairs = dx_bao_p_groups(dx_bao_p_chunks(size), group) - 1;
    return DX_BAO_P_HEAD + DX_BAO_P_PAIR * pairs;
}

/* >>outboard ------------------------------------------------------------
   Groups are added in order. The stack holds the complete subtrees that wait for a right sibling,
   like the 1 bits of the number of groups; two of the same size are joined at once, and their pair
   is written to its place in the tree:

       after G0: [G0]   G1: [pair 2]   G2: [pair 2][G2]   G3: [pair 2][pair 3] -> [pair 1]   ... */
DX_BAO_API int dx_bao_begin(dx_bao_builder *b, uint64_t size, unsigned group, uint8_t *outboard,
                            size_t capacity)
{
    if (!b || !outboard || group > DX_BAO_GROUP_MAX || size > DX_BAO_P_SIZE_MAX) {
        return DX_BAO_EINVAL;
    }
    DX_BAO_MEMSET(b, 0, sizeof *b);
    if (capacity < dx_bao_outboard_size(size, group)) return DX_BAO_ENOSPACE;
    dx_bao_p_store64(outboard, size);
    b->outboard_ = outboard;
    b->size_ = size;
    b->group_ = group;
    return DX_BAO_OK;
}

/* Join the last two subtrees, which are siblings. */
static void dx_bao_p_merge(dx_bao_builder *b)
{
    dx_bao_subtree_ *left, *right;
    uint64_t chunks = dx_bao_p_chunks(b->size_);
    uint8_t *pair;
    uint64_t count;
    DX_BAO_ASSERT(b->count_ >= 2);
    left = &b->stack_[b->count_ - 2];
    right = &b->stack_[b->count_ - 1];
    DX_BAO_ASSERT(left->start + left->chunks == right->start);
    count = left->chunks + right->chunks;
    pair = b->outboard_ + dx_bao_p_pair_at(dx_bao_p_index(chunks, b->group_, left->start, count));
    DX_BAO_MEMCPY(pair, left->value, DX_BAO_P_VALUE);
    DX_BAO_MEMCPY(pair + DX_BAO_P_VALUE, right->value, DX_BAO_P_VALUE);
    left->chunks = count;
    dx_bao_p_join(pair, count == chunks, left->value);
    b->count_--;
}

/* Do the last two subtrees have the same size? */
static bool dx_bao_p_due(const dx_bao_builder *b)
{
    return b->count_ > 1 && b->stack_[b->count_ - 1].chunks == b->stack_[b->count_ - 2].chunks;
}

DX_BAO_API int dx_bao_add(dx_bao_builder *b, const void *data, size_t size)
{
    dx_bao_subtree_ *top;
    uint64_t left, want;
    if (!b || !b->outboard_ || (!data && size)) return DX_BAO_EINVAL;
    if (b->done_ && b->done_ == b->size_) return DX_BAO_EINVAL;
    left = b->size_ - b->done_;
    want = dx_bao_p_group_size(b->group_);
    if (want > left) want = left;
    if (size != want) return DX_BAO_EINVAL;
    DX_BAO_ASSERT(b->count_ < sizeof b->stack_ / sizeof b->stack_[0]);
    top = &b->stack_[b->count_];
    top->start = b->done_ / DX_BAO_P_CHUNK;
    top->chunks = dx_bao_p_chunks(size);
    DX_BAO_P_TRY(dx_bao_p_leaf(top->start, data, size, size == b->size_, top->value));
    b->count_++;
    b->done_ += size;
    while (dx_bao_p_due(b)) dx_bao_p_merge(b);
    return DX_BAO_OK;
}

DX_BAO_API int dx_bao_end(dx_bao_builder *b, dx_cas_id *root)
{
    if (!b || !root || b->count_ == 0 || b->done_ != b->size_) return DX_BAO_EINVAL;
    while (b->count_ > 1) dx_bao_p_merge(b);
    DX_BAO_ASSERT(b->stack_[0].chunks == dx_bao_p_chunks(b->size_));
    DX_BAO_MEMCPY(root->bytes, b->stack_[0].value, DX_BAO_P_VALUE);
    b->outboard_ = NULL;
    b->count_ = 0;
    return DX_BAO_OK;
}

DX_BAO_API int dx_bao_outboard(const void *data, size_t size, unsigned group, uint8_t *outboard,
                               size_t capacity, dx_cas_id *root)
{
    const uint8_t *p = (const uint8_t *)data;
    dx_bao_builder b;
    size_t done = 0;
    if (!data && size) return DX_BAO_EINVAL;
    DX_BAO_P_TRY(dx_bao_begin(&b, size, group, outboard, capacity));
    do {
        uint64_t take = dx_bao_p_group_size(group);
        if (take > size - done) take = size - done;
        DX_BAO_P_TRY(dx_bao_add(&b, take ? p + done : p, (size_t)take));
        done += (size_t)take;
    } while (done < size);
    return dx_bao_end(&b, root);
}

/* >>proof ---------------------------------------------------------------
   To check G4 above, a reader needs the sibling values on its path, lowest first:

       proof  [G5][G6][pair 1]        G4, G5 -> pair 5;  pair 5, G6 -> pair 4;
                                      pair 1, pair 4 -> the root, which must be the id */
typedef struct dx_bao_p_way { /* the path from the root down to a group */
    uint64_t pairs[DX_BAO_P_LEVELS_MAX]; /* number of each pair in the outboard tree, */
    bool     right[DX_BAO_P_LEVELS_MAX]; /* and the half that the path takes */
    unsigned depth;
} dx_bao_p_way;

static void dx_bao_p_find_way(uint64_t chunks, unsigned group, uint64_t index, dx_bao_p_way *way)
{
    uint64_t target = index << group;
    uint64_t from = 0;
    uint64_t pair = 0;
    unsigned depth = 0;
    DX_BAO_ASSERT(target < chunks);
    while (chunks > (uint64_t)1 << group) {
        uint64_t left = dx_bao_p_left(chunks);
        bool right = target >= from + left;
        DX_BAO_ASSERT(depth < DX_BAO_P_LEVELS_MAX);
        way->pairs[depth] = pair++;
        way->right[depth] = right;
        depth++;
        if (right) {
            pair += dx_bao_p_groups(left, group) - 1;
            from += left;
            chunks -= left;
        } else {
            chunks = left;
        }
    }
    way->depth = depth;
}

/* Read and check the size in an outboard tree. */
static int dx_bao_p_read_size(const uint8_t *outboard, size_t outboard_size, unsigned group,
                              uint64_t *size)
{
    if (outboard_size < DX_BAO_P_HEAD) return DX_BAO_ETRUNCATED;
    *size = dx_bao_p_load64(outboard);
    if (*size > DX_BAO_P_SIZE_MAX) return DX_BAO_ECORRUPT;
    return outboard_size < dx_bao_outboard_size(*size, group) ? DX_BAO_ETRUNCATED : DX_BAO_OK;
}

DX_BAO_API int dx_bao_prove(const uint8_t *outboard, size_t outboard_size, unsigned group,
                            uint64_t index, uint8_t *proof)
{
    uint64_t size = 0;
    uint64_t chunks;
    dx_bao_p_way way;
    unsigned i;
    if (!outboard || !proof || group > DX_BAO_GROUP_MAX) return DX_BAO_EINVAL;
    DX_BAO_P_TRY(dx_bao_p_read_size(outboard, outboard_size, group, &size));
    chunks = dx_bao_p_chunks(size);
    if (index >= dx_bao_p_groups(chunks, group)) return DX_BAO_EINVAL;
    dx_bao_p_find_way(chunks, group, index, &way);
    DX_BAO_ASSERT(way.depth * DX_BAO_P_VALUE <= DX_BAO_PROOF_MAX);
    for (i = 0; i < way.depth; i++) {
        unsigned level = way.depth - 1 - i;
        const uint8_t *pair = outboard + dx_bao_p_pair_at(way.pairs[level]);
        const uint8_t *other = way.right[level] ? pair : pair + DX_BAO_P_VALUE;
        DX_BAO_MEMCPY(proof + DX_BAO_P_VALUE * i, other, DX_BAO_P_VALUE);
    }
    return (int)(DX_BAO_P_VALUE * way.depth);
}

DX_BAO_API int dx_bao_check(const dx_cas_id *root, uint64_t size, unsigned group, uint64_t index,
                            const void *data, size_t data_size, const uint8_t *proof,
                            size_t proof_size)
{
    uint64_t chunks, start, want;
    dx_bao_p_way way;
    uint8_t value[DX_BAO_P_VALUE];
    unsigned i;
    if (!root || (!data && data_size) || (!proof && proof_size) || group > DX_BAO_GROUP_MAX) {
        return DX_BAO_EINVAL;
    }
    if (size > DX_BAO_P_SIZE_MAX) return DX_BAO_ECORRUPT;
    chunks = dx_bao_p_chunks(size);
    if (index >= dx_bao_p_groups(chunks, group)) return DX_BAO_ECORRUPT;
    start = index * dx_bao_p_group_size(group);
    want = dx_bao_p_group_size(group);
    if (want > size - start) want = size - start;
    dx_bao_p_find_way(chunks, group, index, &way);
    if (data_size != want || proof_size != DX_BAO_P_VALUE * way.depth) return DX_BAO_ECORRUPT;
    DX_BAO_P_TRY(dx_bao_p_leaf(start / DX_BAO_P_CHUNK, data, data_size, way.depth == 0, value));
    for (i = 0; i < way.depth; i++) {
        bool right = way.right[way.depth - 1 - i];
        uint8_t pair[DX_BAO_P_PAIR];
        DX_BAO_MEMCPY(right ? pair + DX_BAO_P_VALUE : pair, value, DX_BAO_P_VALUE);
        DX_BAO_MEMCPY(right ? pair : pair + DX_BAO_P_VALUE, proof + DX_BAO_P_VALUE * i,
                      DX_BAO_P_VALUE);
        dx_bao_p_join(pair, i + 1 == way.depth, value);
    }
    return DX_BAO_MEMCMP(value, root->bytes, DX_BAO_P_VALUE) == 0 ? DX_BAO_OK : DX_BAO_ECORRUPT;
}

/* >>slices --------------------------------------------------------------
   A slice of bytes in G1 and G2 above:

       [size][pair 0][pair 1][pair 2][G1 ....][pair 3][G2 ....]

   Writer and reader make the same walk: from the root, left before right, only into subtrees that
   touch the range. The reader expects a value for each node (the id for the root), and gets those
   of the children from a pair that it has checked. The stack holds pending right siblings, one for
   each level. */
typedef struct dx_bao_p_node { /* chunks start..start+count; more than a group: a pair */
    uint64_t start;
    uint64_t count;
    uint8_t  value[DX_BAO_P_VALUE]; /* expected; used by readers only */
    bool     root;
} dx_bao_p_node;

typedef struct dx_bao_p_walk {
    uint64_t size;
    uint64_t from; /* the range in bytes, at least one if there is content */
    uint64_t to;
    unsigned group;
    unsigned count; /* nodes on the stack */
    dx_bao_p_node stack[DX_BAO_P_LEVELS_MAX];
} dx_bao_p_walk;

static void dx_bao_p_start(dx_bao_p_walk *w, uint64_t size, unsigned group, uint64_t start,
                           uint64_t length)
{
    w->size = size;
    w->group = group;
    w->from = start;
    if (start >= size) w->from = size ? size - 1 : 0; /* the last group proves the end */
    w->to = length > UINT64_MAX - start ? UINT64_MAX : start + length;
    if (w->to <= w->from) w->to = w->from + 1;
    w->count = 1;
    w->stack[0].start = 0;
    w->stack[0].count = dx_bao_p_chunks(size);
    w->stack[0].root = true;
}

static bool dx_bao_p_touches(const dx_bao_p_walk *w, const dx_bao_p_node *n)
{
    return n->start * DX_BAO_P_CHUNK < w->to && (n->start + n->count) * DX_BAO_P_CHUNK > w->from;
}

/* The next node of the walk; *leaf: a group. False: the walk has ended. */
static bool dx_bao_p_next(dx_bao_p_walk *w, dx_bao_p_node *n, bool *leaf)
{
    while (w->count > 0) {
        *n = w->stack[--w->count];
        *leaf = n->count <= (uint64_t)1 << w->group;
        if (n->root || dx_bao_p_touches(w, n)) return true;
    }
    return false;
}

/* Continue the walk with the two subtrees of n, the left one first. */
static void dx_bao_p_children(dx_bao_p_walk *w, const dx_bao_p_node *n, const uint8_t *pair)
{
    uint64_t left_count = dx_bao_p_left(n->count);
    dx_bao_p_node *left, *right;
    DX_BAO_ASSERT(w->count + 2 <= DX_BAO_P_LEVELS_MAX);
    right = &w->stack[w->count];
    left = &w->stack[w->count + 1];
    w->count += 2;
    left->start = n->start;
    left->count = left_count;
    left->root = false;
    right->start = n->start + left_count;
    right->count = n->count - left_count;
    right->root = false;
    DX_BAO_MEMCPY(left->value, pair, DX_BAO_P_VALUE);
    DX_BAO_MEMCPY(right->value, pair + DX_BAO_P_VALUE, DX_BAO_P_VALUE);
}

/* Bytes of a group: the last one may be shorter. */
static size_t dx_bao_p_bytes(const dx_bao_p_walk *w, const dx_bao_p_node *n)
{
    uint64_t left = w->size - n->start * DX_BAO_P_CHUNK;
    uint64_t all = n->count * DX_BAO_P_CHUNK;
    DX_BAO_ASSERT(n->start * DX_BAO_P_CHUNK <= w->size);
    return (size_t)(left < all ? left : all);
}

DX_BAO_API int dx_bao_slice(const void *data, const uint8_t *outboard, size_t outboard_size,
                            unsigned group, uint64_t start, uint64_t length, uint8_t *slice,
                            size_t capacity, size_t *slice_size)
{
    dx_bao_p_walk w;
    dx_bao_p_node n;
    size_t used = DX_BAO_P_HEAD;
    uint64_t size = 0;
    bool leaf;
    if (!outboard || (!slice && capacity) || !slice_size || group > DX_BAO_GROUP_MAX) {
        return DX_BAO_EINVAL;
    }
    *slice_size = 0;
    DX_BAO_P_TRY(dx_bao_p_read_size(outboard, outboard_size, group, &size));
    if (size > SIZE_MAX) return DX_BAO_ECORRUPT;
    if (!data && size) return DX_BAO_EINVAL;
    if (capacity >= DX_BAO_P_HEAD) dx_bao_p_store64(slice, size);
    dx_bao_p_start(&w, size, group, start, length);
    while (dx_bao_p_next(&w, &n, &leaf)) {
        const uint8_t *from;
        size_t bytes;
        if (leaf) {
            from = (const uint8_t *)data + (size_t)(n.start * DX_BAO_P_CHUNK);
            bytes = dx_bao_p_bytes(&w, &n);
        } else {
            uint64_t chunks = dx_bao_p_chunks(size);
            from = outboard + dx_bao_p_pair_at(dx_bao_p_index(chunks, group, n.start, n.count));
            bytes = DX_BAO_P_PAIR;
            dx_bao_p_children(&w, &n, from);
        }
        if (bytes && used <= capacity && bytes <= capacity - used) {
            DX_BAO_MEMCPY(slice + used, from, bytes);
        }
        used += bytes;
    }
    *slice_size = used;
    return used <= capacity ? DX_BAO_OK : DX_BAO_ENOSPACE;
}

/* Copy the requested bytes of a verified group of `bytes` bytes at p. start + length does not
   overflow. */
static int dx_bao_p_copy(const dx_bao_p_node *n, const uint8_t *p, size_t bytes, uint64_t start,
                         uint64_t length, uint8_t *out, size_t capacity, size_t *got)
{
    uint64_t at = n->start * DX_BAO_P_CHUNK;
    uint64_t skip = start > at ? start - at : 0;
    uint64_t end, take;
    DX_BAO_ASSERT(length <= UINT64_MAX - start && *got <= capacity);
    if (skip >= bytes || at >= start + length) return DX_BAO_OK;
    end = start + length - at < bytes ? start + length - at : bytes;
    take = end - skip;
    if (take > capacity - *got) return DX_BAO_ENOSPACE;
    if (take) DX_BAO_MEMCPY(out + *got, p + (size_t)skip, (size_t)take);
    *got += (size_t)take;
    return DX_BAO_OK;
}

DX_BAO_API int dx_bao_open(const dx_cas_id *root, unsigned group, uint64_t start, uint64_t length,
                           const uint8_t *slice, size_t slice_size, uint8_t *out, size_t capacity,
                           size_t *got, uint64_t *size)
{
    dx_bao_p_walk w;
    dx_bao_p_node n;
    size_t used = DX_BAO_P_HEAD;
    bool leaf;
    if (!root || !slice || (!out && capacity) || !got || group > DX_BAO_GROUP_MAX) {
        return DX_BAO_EINVAL;
    }
    *got = 0;
    if (slice_size < DX_BAO_P_HEAD) return DX_BAO_ETRUNCATED;
    if (dx_bao_p_load64(slice) > DX_BAO_P_SIZE_MAX) return DX_BAO_ECORRUPT;
    if (length > UINT64_MAX - start) length = UINT64_MAX - start;
    dx_bao_p_start(&w, dx_bao_p_load64(slice), group, start, length);
    DX_BAO_MEMCPY(w.stack[0].value, root->bytes, DX_BAO_P_VALUE);
    while (dx_bao_p_next(&w, &n, &leaf)) {
        const uint8_t *from = slice + used;
        size_t bytes = leaf ? dx_bao_p_bytes(&w, &n) : (size_t)DX_BAO_P_PAIR;
        uint8_t value[DX_BAO_P_VALUE];
        if (bytes > slice_size - used) return DX_BAO_ETRUNCATED;
        if (leaf) DX_BAO_P_TRY(dx_bao_p_leaf(n.start, from, bytes, n.root, value));
        else dx_bao_p_join(from, n.root, value);
        if (DX_BAO_MEMCMP(value, n.value, sizeof value) != 0) return DX_BAO_ECORRUPT;
        if (leaf) {
            DX_BAO_P_TRY(dx_bao_p_copy(&n, from, bytes, start, length, out, capacity, got));
        } else {
            dx_bao_p_children(&w, &n, from);
        }
        used += bytes;
    }
    if (size) *size = w.size;
    return used == slice_size ? DX_BAO_OK : DX_BAO_ECORRUPT;
}

#undef DX_BAO_P_TRY
#endif /* DX_BAO_IMPLEMENTATION */

/* >>license -------------------------------------------------------------
   Choose whichever you prefer:

   ALTERNATIVE A - MIT No Attribution (MIT-0)
   Copyright (c) 2026 dx authors
   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
   associated documentation files (the "Software"), to deal in the Software without restriction,
   including without limitation the rights to use, copy, modify, merge, publish, distribute,
   sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
   furnished to do so. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
   IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR
   PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
   CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
   FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

   ALTERNATIVE B - Public domain (Unlicense)
   This is free and unencumbered software released into the public domain. Anyone is free to copy,
   modify, publish, use, compile, sell, or distribute this software, either in source code form or
   as a compiled binary, for any purpose, commercial or non-commercial, and by any means. In
   jurisdictions that recognize copyright laws, the author or authors of this software dedicate any
   and all copyright interest in the software to the public domain. THE SOFTWARE IS PROVIDED "AS
   IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED. IN NO EVENT SHALL THE AUTHORS BE LIABLE
   FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY ARISING FROM THE SOFTWARE OR ITS USE.
   See unlicense.org.
*/
