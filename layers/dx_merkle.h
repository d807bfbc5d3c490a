/*  dx_merkle.h - v0.3.0 - append-only Merkle trees over ordered leaves, with proofs
                          - MIT-0 or public domain, see end of file

    With all leaves of a log, a few hashes prove to a reader that knows only the root that an entry
    is in the log at a given place, and that a later log only appended to an earlier one.

    Do this in ONE C or C++ file:

        #define DX_IMPLEMENTATION             (DX_MERKLE_IMPLEMENTATION and DX_CAS_IMPLEMENTATION)
        #include "dx_merkle.h"

    and include it elsewhere without the define. C99; also builds as C++11. It includes dx_cas.h
    from the folder above, unless that was included before.

    QUICK EXAMPLE

        static const char *const entries[3] = {"one", "two", "three"};
        dx_cas_id leaves[3], root, proof[64];   // a proof has at most 64 ids
        size_t    i, count = 0;
        for (i = 0; i < 3; i++) dx_merkle_leaf(entries[i], strlen(entries[i]), &leaves[i]);
        dx_merkle_root_of(leaves, 3, &root);
        if (dx_merkle_prove(leaves, 3, 1, proof, 64, &count) != DX_MERKLE_OK) return 1;
        // the root alone verifies: entry number 1 of 3 is "two"
        if (dx_merkle_check("two", 3, 1, 3, proof, count, &root) != DX_MERKLE_OK) return 2;
        if (dx_merkle_check("six", 3, 1, 3, proof, count, &root) != DX_MERKLE_ECORRUPT) return 3;

    CONTENTS (search for the mark)

        >>config  >>types  >>api        what you may call
        >>platform  >>tree  >>prove  >>check  >>license

    GUARANTEES
        - The tree of RFC 6962 and RFC 9162, section 2.1, with the hash of ids of dx_cas.h: BLAKE3,
          or SHA-256 if DX_CAS_HASHER selects it; then it is that of the RFCs itself.
        - A leaf cannot pass for a node, and no leaf is duplicated to fill a level.
        - Proofs are untrusted input: any number of ids is checked in time linear in that number.
        - No allocation, no globals, no recursion, no printing.
    LIMITS      2^64 - 1 leaves. dx_merkle_prove() hashes up to all other leaves once.
    SIZE        code: x86-64 2,722, Cortex-M0 1,778; objects: dx_merkle 2,056
    THREADS     Functions share nothing; a dx_merkle belongs to one thread at a time.
    CONFIG      DX_MERKLE_STATIC     functions become static
                DX_MERKLE_API        how functions are declared
                DX_MERKLE_ASSERT(c)  <assert.h> when hosted
    ERRORS      dx_merkle_error: 0 = ok, negative = reason; dx_merkle_error_name() returns its name.
    OWNERSHIP   Everything is the caller's and used during the call only.
    FORMAT      docs/formats/merkle.md, with a vector.
*/
#ifndef DX_MERKLE_H
#define DX_MERKLE_H

#define DX_MERKLE_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_CAS_H
  #include "../dx_cas.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_MERKLE_API
  #ifndef DX_MERKLE_STATIC
    #define DX_MERKLE_API extern
  #elif defined(__GNUC__) || defined(__clang__)
    #define DX_MERKLE_API static __attribute__((unused))
  #else
    #define DX_MERKLE_API static
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */
/* value, constant, meaning. */
#define DX_MERKLE_ERRORS(X)                                                                        \
    X(0, OK)                                                                                       \
    X(-1, EINVAL)   /* an argument breaks its contract */                                          \
    X(-3, ENOSPACE) /* the proof has more ids than capacity */                                     \
    X(-5, ECORRUPT) /* the proof does not match the root */

typedef enum dx_merkle_error {
#define DX_MERKLE_P_ENUM(value, constant) DX_MERKLE_##constant = value,
    DX_MERKLE_ERRORS(DX_MERKLE_P_ENUM)
#undef DX_MERKLE_P_ENUM
} dx_merkle_error;

typedef struct dx_merkle { /* a tree that grows; caller-allocated; fields are private */
    dx_cas_id stack_[64]; /* [k]: root of its perfect subtree of 2^k leaves, if any */
    uint64_t  count_;     /* leaves; bit k is set if stack_[k] is valid */
} dx_merkle;

/* >>api ---------------------------------------------------------------- */
/* "DX_MERKLE_EINVAL" and so on; "unknown error" for anything else. Never NULL. */
DX_MERKLE_API const char *dx_merkle_error_name(int error);

/* The hash of an entry: a leaf in all other functions. */
DX_MERKLE_API void dx_merkle_leaf(const void *data, size_t size, dx_cas_id *leaf);

/* --- A tree that grows, in 2 KB: amortised O(1) a leaf, O(log n) for a root. */
DX_MERKLE_API void dx_merkle_init(dx_merkle *m);
DX_MERKLE_API void dx_merkle_add(dx_merkle *m, const dx_cas_id *leaf);
DX_MERKLE_API void dx_merkle_root(const dx_merkle *m, dx_cas_id *root);
/* The root of an array of leaves. O(count). */
DX_MERKLE_API void dx_merkle_root_of(const dx_cas_id *leaves, uint64_t count, dx_cas_id *root);

/* --- Inclusion: leaves[index] is in the tree. At most 64 ids, lowest sibling first. ENOSPACE: more
   than capacity; *proof_count is the number needed. */
DX_MERKLE_API int dx_merkle_prove(const dx_cas_id *leaves, uint64_t count, uint64_t index,
                                  dx_cas_id *proof, size_t capacity, size_t *proof_count);
/* OK: data is leaf number index of the tree of count leaves with that root (RFC 9162, 2.1.3.2).
   ECORRUPT otherwise. */
DX_MERKLE_API int dx_merkle_check(const void *data, size_t size, uint64_t index, uint64_t count,
                                  const dx_cas_id *proof, size_t proof_count,
                                  const dx_cas_id *root);
/* Replace one leaf in O(log n): *root is that of the tree with old_leaf at index, and becomes that
   with new_leaf. One proof serves both, because it does not contain the leaf itself. ECORRUPT, and
   *root unchanged: old_leaf is not at index. */
DX_MERKLE_API int dx_merkle_replace(const dx_cas_id *old_leaf, const dx_cas_id *new_leaf,
                                    uint64_t index, uint64_t count, const dx_cas_id *proof,
                                    size_t proof_count, dx_cas_id *root);

/* --- Consistency: the tree of the first old_count leaves is a prefix of this one (RFC 9162,
   2.1.4.1). Errors as above. */
DX_MERKLE_API int dx_merkle_prove_growth(const dx_cas_id *leaves, uint64_t count,
                                         uint64_t old_count, dx_cas_id *proof, size_t capacity,
                                         size_t *proof_count);
DX_MERKLE_API int dx_merkle_check_growth(uint64_t old_count, const dx_cas_id *old_root,
                                         uint64_t count, const dx_cas_id *root,
                                         const dx_cas_id *proof, size_t proof_count);

#ifdef __cplusplus
}
#endif
#endif /* DX_MERKLE_H */

#if (defined(DX_MERKLE_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_MERKLE_IMPLEMENTED)
#define DX_MERKLE_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_MERKLE_ASSERT
  #if (!defined(__STDC_HOSTED__) || __STDC_HOSTED__ == 1) && !defined(NDEBUG)
    #include <assert.h>
    #define DX_MERKLE_ASSERT(c) assert(c)
  #else
    #define DX_MERKLE_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif

DX_MERKLE_API const char *dx_merkle_error_name(int error)
{
    switch (error) {
#define DX_MERKLE_P_NAME(value, constant)                                                          \
    case value: return "DX_MERKLE_" #constant;
        DX_MERKLE_ERRORS(DX_MERKLE_P_NAME)
#undef DX_MERKLE_P_NAME
    default: return "unknown error";
    }
}

/* >>tree ----------------------------------------------------------------
   leaf = H(00 | data), node = H(01 | left | right), root of no leaf = H(nothing). The left side of
   n leaves has the largest power of two below n:

                       root
                  ____/    \____
                 *              *            5 = 4 + 1. A growing tree keeps the roots of its
               /   \            |            perfect subtrees, one for each 1 bit of n:
              *     *           |                stack_[2]  of leaves 0..3
             / \   / \          |                stack_[0]  of leaf 4
            0   1 2   3         4            Adding a leaf is adding 1 in binary: a carry out of
                                             bit k is a node over two subtrees of 2^k leaves. */
enum {
    DX_MERKLE_P_LEAF = 0,        /* the first byte that is hashed for a leaf, */
    DX_MERKLE_P_NODE = 1,        /* and for a node */
    DX_MERKLE_P_PROOF_MAX = 66   /* growth: a sibling a level, and the subtree where it starts */
};

static void dx_merkle_p_hash(uint8_t tag, const void *a, size_t a_size, const void *b,
                             size_t b_size, dx_cas_id *out)
{
    dx_cas_hasher h;
    DX_MERKLE_ASSERT((a || a_size == 0) && (b || b_size == 0));
    dx_cas_ext_id_start(&h, DX_CAS_EXT_BLOB);
    dx_cas_ext_id_update(&h, &tag, 1);
    dx_cas_ext_id_update(&h, a, a_size);
    dx_cas_ext_id_update(&h, b, b_size);
    dx_cas_ext_id_final(&h, out);
}

DX_MERKLE_API void dx_merkle_leaf(const void *data, size_t size, dx_cas_id *leaf)
{
    dx_merkle_p_hash(DX_MERKLE_P_LEAF, data, size, NULL, 0, leaf);
}

/* out may be left or right. */
static void dx_merkle_p_node(const dx_cas_id *left, const dx_cas_id *right, dx_cas_id *out)
{
    dx_merkle_p_hash(DX_MERKLE_P_NODE, left->bytes, sizeof left->bytes, right->bytes,
                     sizeof right->bytes, out);
}

DX_MERKLE_API void dx_merkle_init(dx_merkle *m)
{
    DX_MERKLE_ASSERT(m);
    m->count_ = 0;
}

DX_MERKLE_API void dx_merkle_add(dx_merkle *m, const dx_cas_id *leaf)
{
    unsigned k;
    dx_cas_id node = *leaf;
    DX_MERKLE_ASSERT(m->count_ < UINT64_MAX);
    for (k = 0; m->count_ >> k & 1; k++) dx_merkle_p_node(&m->stack_[k], &node, &node);
    m->stack_[k] = node;
    m->count_++;
}

/* From the smallest perfect subtree, which is the rightmost, to the largest. */
DX_MERKLE_API void dx_merkle_root(const dx_merkle *m, dx_cas_id *root)
{
    unsigned k;
    bool found = false;
    for (k = 0; k < 64; k++) {
        if (!(m->count_ >> k & 1)) continue;
        if (found) dx_merkle_p_node(&m->stack_[k], root, root);
        else *root = m->stack_[k];
        found = true;
    }
    if (!found) dx_cas_hash(NULL, 0, root);
}

DX_MERKLE_API void dx_merkle_root_of(const dx_cas_id *leaves, uint64_t count, dx_cas_id *root)
{
    dx_merkle m;
    uint64_t i;
    DX_MERKLE_ASSERT(leaves || count == 0);
    dx_merkle_init(&m);
    for (i = 0; i < count; i++) dx_merkle_add(&m, &leaves[i]);
    dx_merkle_root(&m, root);
}

/* >>prove ---------------------------------------------------------------
   Both proofs walk from the root down to where the first `target` leaves end, and record at each
   fork the root of the other side:

       inclusion of leaf 2 of 5           growth from 3 to 5 leaves
       (target 3, down to one leaf)       (target 3, until exactly the old leaves are left)

             R                                  R
          *     [4]   <- third               *     [4]   <- fourth
       [01] *         <- second           [01] *         <- third
           2 [3]      <- first               [2] [3]     <- first, second

   They are found from the root down and stored from the leaves up. */

/* The split of RFC 6962: the largest power of two below count. */
static uint64_t dx_merkle_p_left(uint64_t count)
{
    uint64_t left = 1;
    DX_MERKLE_ASSERT(count > 1);
    while (left < count - left) left <<= 1;
    return left;
}

static int dx_merkle_p_path(const dx_cas_id *leaves, uint64_t count, uint64_t target, bool growth,
                            dx_cas_id *proof, size_t capacity, size_t *proof_count)
{
    dx_cas_id found[DX_MERKLE_P_PROOF_MAX];
    size_t n = 0;
    size_t i;
    bool whole = true; /* the current subtree is the whole old tree: its root is known */
    if (!proof_count || (!proof && capacity)) return DX_MERKLE_EINVAL;
    while (target != 0 && (growth ? target != count : count > 1)) {
        uint64_t left = dx_merkle_p_left(count);
        DX_MERKLE_ASSERT(n < DX_MERKLE_P_PROOF_MAX - 1 && target <= count);
        if (target <= left) {
            dx_merkle_root_of(leaves + left, count - left, &found[n]);
            count = left;
        } else {
            dx_merkle_root_of(leaves, left, &found[n]);
            leaves += left;
            count -= left;
            target -= left;
            whole = false;
        }
        n++;
    }
    if (growth && !whole) dx_merkle_root_of(leaves, count, &found[n++]);
    *proof_count = n;
    if (n > capacity) return DX_MERKLE_ENOSPACE;
    for (i = 0; i < n; i++) proof[i] = found[n - 1 - i];
    return DX_MERKLE_OK;
}

DX_MERKLE_API int dx_merkle_prove(const dx_cas_id *leaves, uint64_t count, uint64_t index,
                                  dx_cas_id *proof, size_t capacity, size_t *proof_count)
{
    if (!leaves || index >= count) return DX_MERKLE_EINVAL;
    return dx_merkle_p_path(leaves, count, index + 1, false, proof, capacity, proof_count);
}

DX_MERKLE_API int dx_merkle_prove_growth(const dx_cas_id *leaves, uint64_t count,
                                         uint64_t old_count, dx_cas_id *proof, size_t capacity,
                                         size_t *proof_count)
{
    if (old_count > count || (!leaves && count)) return DX_MERKLE_EINVAL;
    return dx_merkle_p_path(leaves, count, old_count, true, proof, capacity, proof_count);
}

/* >>check ---------------------------------------------------------------
   The path back: from node number `index` of a level, whose last node is `last`, up to the root. On
   each level the node is a right one (odd), a left one whose sibling is next in the proof, or the
   last one without a sibling, which moves up unchanged until it is a right one. For growth two
   roots are computed in parallel: that of the old tree only takes siblings on its left. */

/* Move *is up to the root, and *was (may be NULL) to that of the tree that ended here. False: too
   many or too few ids in the proof. */
static bool dx_merkle_p_climb(uint64_t index, uint64_t last, const dx_cas_id *proof,
                              size_t proof_count, dx_cas_id *was, dx_cas_id *is)
{
    size_t i;
    DX_MERKLE_ASSERT(index <= last);
    for (i = 0; i < proof_count; i++) {
        if (last == 0) return false;
        if ((index & 1) || index == last) {
            if (was) dx_merkle_p_node(&proof[i], was, was);
            dx_merkle_p_node(&proof[i], is, is);
            for (; !(index & 1) && index != 0; index >>= 1) last >>= 1;
        } else {
            dx_merkle_p_node(is, &proof[i], is);
        }
        index >>= 1;
        last >>= 1;
    }
    return last == 0;
}

DX_MERKLE_API int dx_merkle_check(const void *data, size_t size, uint64_t index, uint64_t count,
                                  const dx_cas_id *proof, size_t proof_count,
                                  const dx_cas_id *root)
{
    dx_cas_id is;
    if ((!data && size) || !root || (!proof && proof_count)) return DX_MERKLE_EINVAL;
    if (index >= count) return DX_MERKLE_ECORRUPT;
    dx_merkle_leaf(data, size, &is);
    if (!dx_merkle_p_climb(index, count - 1, proof, proof_count, NULL, &is) ||
        !dx_cas_id_equal(&is, root)) {
        return DX_MERKLE_ECORRUPT;
    }
    return DX_MERKLE_OK;
}

DX_MERKLE_API int dx_merkle_replace(const dx_cas_id *old_leaf, const dx_cas_id *new_leaf,
                                    uint64_t index, uint64_t count, const dx_cas_id *proof,
                                    size_t proof_count, dx_cas_id *root)
{
    dx_cas_id was, is;
    bool climbed;
    if (!old_leaf || !new_leaf || !root || (!proof && proof_count)) return DX_MERKLE_EINVAL;
    if (index >= count) return DX_MERKLE_ECORRUPT;
    was = *old_leaf;
    is = *new_leaf;
    if (!dx_merkle_p_climb(index, count - 1, proof, proof_count, NULL, &was) ||
        !dx_cas_id_equal(&was, root)) {
        return DX_MERKLE_ECORRUPT;
    }
    climbed = dx_merkle_p_climb(index, count - 1, proof, proof_count, NULL, &is);
    DX_MERKLE_ASSERT(climbed); /* the path depends on numbers only */
    (void)climbed;
    *root = is;
    return DX_MERKLE_OK;
}

DX_MERKLE_API int dx_merkle_check_growth(uint64_t old_count, const dx_cas_id *old_root,
                                         uint64_t count, const dx_cas_id *root,
                                         const dx_cas_id *proof, size_t proof_count)
{
    uint64_t index, last;
    dx_cas_id was, is;
    if (!old_root || !root || (!proof && proof_count)) return DX_MERKLE_EINVAL;
    if (old_count > count) return DX_MERKLE_ECORRUPT;
    if (old_count == 0 || old_count == count) { /* just compare the roots */
        if (old_count) was = *root;
        else dx_cas_hash(NULL, 0, &was);
        if (proof_count != 0 || !dx_cas_id_equal(&was, old_root)) return DX_MERKLE_ECORRUPT;
        return DX_MERKLE_OK;
    }
    index = old_count - 1;
    last = count - 1;
    for (; index & 1; index >>= 1) last >>= 1; /* up to the subtree that the old tree ends with */
    was = *old_root; /* a perfect old tree is that subtree, and not in the proof */
    if (index != 0) {
        if (proof_count == 0) return DX_MERKLE_ECORRUPT;
        was = *proof++;
        proof_count--;
    }
    is = was;
    if (!dx_merkle_p_climb(index, last, proof, proof_count, &was, &is) ||
        !dx_cas_id_equal(&was, old_root) || !dx_cas_id_equal(&is, root)) {
        return DX_MERKLE_ECORRUPT;
    }
    return DX_MERKLE_OK;
}

#endif /* DX_MERKLE_IMPLEMENTATION */

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
