/*  dx_merkle.h - a Merkle tree over ordered leaves, with proofs, beside dx_cas.h

    Include it behind dx_cas.h; where DX_CAS_IMPLEMENTATION or DX_IMPLEMENTATION is defined the
    functions are here, too (they use helpers of that implementation, so both belong in the same
    file). MIT-0 or public domain, as dx_cas.h.

    The tree of RFC 6962 / RFC 9162 section 2.1 with the hash of dx_cas.h: leaf = H(0x00 || data),
    inner node = H(0x01 || left || right), no leaf = H(""). So a leaf can never pass for a node, and
    no leaf is ever doubled. docs/formats/cas.md, section 3, has a vector.

        dx_merkle_leaf(entry, size, &leaves[n++]);              // who has all leaves
        dx_merkle_root_of(leaves, n, &root);
        dx_merkle_prove(leaves, n, index, proof, 64, &count);   // at most 64 ids
        if (dx_merkle_check(entry, size, index, n, proof, count, &root)) ...    // the root only

    Nothing here is allocated, and nothing recurses. EINVAL: an argument breaks its contract;
    ECORRUPT: the proof does not lead to the root; ENOSPACE: the output is too small.
*/
#ifndef DX_MERKLE_H
#define DX_MERKLE_H

#include "../dx_cas.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dx_merkle { /* a tree that grows: the roots of its perfect subtrees; private */
    dx_cas_id stack_[64];
    uint64_t  count_;
} dx_merkle;

DX_CAS_API void dx_merkle_leaf(const void *data, size_t size, dx_cas_id *leaf);
DX_CAS_API void dx_merkle_init(dx_merkle *m);
DX_CAS_API void dx_merkle_add(dx_merkle *m, const dx_cas_id *leaf); /* amortised O(1) */
DX_CAS_API void dx_merkle_root(const dx_merkle *m, dx_cas_id *root);
/* Root of an array of leaf hashes. O(count), no memory. */
DX_CAS_API void dx_merkle_root_of(const dx_cas_id *leaves, uint64_t count, dx_cas_id *root);
/* Inclusion proof of leaves[index], at most 64 ids, lowest sibling first. DX_CAS_ENOSPACE when
   there are more than capacity. */
DX_CAS_API int dx_merkle_prove(const dx_cas_id *leaves, uint64_t count, uint64_t index,
                                   dx_cas_id *proof, size_t capacity, size_t *proof_count);
/* DX_CAS_OK: data is leaf number index of the tree of count leaves with that root (RFC 9162,
   2.1.3.2); else DX_CAS_ECORRUPT. */
DX_CAS_API int dx_merkle_check(const void *data, size_t size, uint64_t index, uint64_t count,
                                   const dx_cas_id *proof, size_t proof_count,
                                   const dx_cas_id *root);
/* A leaf changes, O(log n): *root was that of the tree with old_leaf at index, and becomes that with
   new_leaf there. proof is that of dx_merkle_prove() for either, since it does not hold the leaf
   itself. DX_CAS_ECORRUPT, and *root unchanged, when the old tree did not hold old_leaf there. */
DX_CAS_API int dx_merkle_replace(const dx_cas_id *old_leaf, const dx_cas_id *new_leaf,
                                     uint64_t index, uint64_t count, const dx_cas_id *proof,
                                     size_t proof_count, dx_cas_id *root);
/* Proof that the tree of the first old_count leaves is a prefix of this one (RFC 9162, 2.1.4.1). */
DX_CAS_API int dx_merkle_prove_growth(const dx_cas_id *leaves, uint64_t count,
                                          uint64_t old_count, dx_cas_id *proof, size_t capacity,
                                          size_t *proof_count);
/* DX_CAS_OK when the tree only appended to the old one, else DX_CAS_ECORRUPT. */
DX_CAS_API int dx_merkle_check_growth(uint64_t old_count, const dx_cas_id *old_root,
                                          uint64_t count, const dx_cas_id *root,
                                          const dx_cas_id *proof, size_t proof_count);

#ifdef __cplusplus
}
#endif
#endif /* DX_MERKLE_H */

#if (defined(DX_CAS_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_MERKLE_IMPLEMENTED)
#define DX_MERKLE_IMPLEMENTED

static void dx_merkle_p_hash(uint8_t tag, const void *a, size_t a_size, const void *b,
                                 size_t b_size, dx_cas_id *out)
{
    dx_cas_hasher h;
    DX_CAS_P_HASH(init)(&h);
    DX_CAS_P_HASH(update)(&h, &tag, 1);
    DX_CAS_P_HASH(update)(&h, a, a_size);
    DX_CAS_P_HASH(update)(&h, b, b_size);
    DX_CAS_P_HASH(final)(&h, out->bytes, sizeof out->bytes);
}

DX_CAS_API void dx_merkle_leaf(const void *data, size_t size, dx_cas_id *leaf)
{
    dx_merkle_p_hash(0, data, size, NULL, 0, leaf);
}

static void dx_merkle_p_node(const dx_cas_id *left, const dx_cas_id *right, dx_cas_id *out)
{
    dx_merkle_p_hash(1, left->bytes, 32, right->bytes, 32, out);
}

DX_CAS_API void dx_merkle_init(dx_merkle *m) { m->count_ = 0; }

DX_CAS_API void dx_merkle_add(dx_merkle *m, const dx_cas_id *leaf)
{
    unsigned k;
    dx_cas_id node = *leaf;
    for (k = 0; m->count_ >> k & 1; k++) dx_merkle_p_node(&m->stack_[k], &node, &node);
    m->stack_[k] = node;
    m->count_++;
}

DX_CAS_API void dx_merkle_root(const dx_merkle *m, dx_cas_id *root)
{
    unsigned k, found = 0;
    dx_cas_hash(NULL, 0, root);
    for (k = 0; k < 64; k++) {
        if (!(m->count_ >> k & 1)) continue;
        if (found++ == 0) *root = m->stack_[k];
        else dx_merkle_p_node(&m->stack_[k], root, root);
    }
}

DX_CAS_API void dx_merkle_root_of(const dx_cas_id *leaves, uint64_t count, dx_cas_id *root)
{
    dx_merkle m;
    uint64_t i;
    dx_merkle_init(&m);
    for (i = 0; i < count; i++) dx_merkle_add(&m, &leaves[i]);
    dx_merkle_root(&m, root);
}

/* Both proofs: walk down to where the first `target` leaves end, noting the root of the other side,
   until `target` leaves are left (growth) or one. Found from the root down, handed out upwards. */
static int dx_merkle_p_path(const dx_cas_id *leaves, uint64_t count, uint64_t target,
                                bool growth, dx_cas_id *proof, size_t capacity,
                                size_t *proof_count)
{
    dx_cas_id found[66];
    size_t n = 0, i;
    bool whole = true; /* the subtree at hand is the whole old tree: its root needs no proof */
    if (!proof_count || (!proof && capacity)) return DX_CAS_EINVAL;
    while (target != 0 && (growth ? target != count : count > 1)) {
        uint64_t k = 1;
        while (k < count - k) k <<= 1; /* the largest power of two below count: RFC 6962's split */
        if (target <= k) {
            dx_merkle_root_of(leaves + k, count - k, &found[n++]);
            count = k;
        } else {
            dx_merkle_root_of(leaves, k, &found[n++]);
            leaves += k;
            count -= k;
            target -= k;
            whole = false;
        }
    }
    if (growth && !whole) dx_merkle_root_of(leaves, count, &found[n++]);
    *proof_count = n;
    if (n > capacity) return DX_CAS_ENOSPACE;
    for (i = 0; i < n; i++) proof[i] = found[n - 1 - i];
    return DX_CAS_OK;
}

DX_CAS_API int dx_merkle_prove(const dx_cas_id *leaves, uint64_t count, uint64_t index,
                                   dx_cas_id *proof, size_t capacity, size_t *proof_count)
{
    if (!leaves || index >= count) return DX_CAS_EINVAL;
    return dx_merkle_p_path(leaves, count, index + 1, false, proof, capacity, proof_count);
}

DX_CAS_API int dx_merkle_prove_growth(const dx_cas_id *leaves, uint64_t count,
                                          uint64_t old_count, dx_cas_id *proof, size_t capacity,
                                          size_t *proof_count)
{
    if (old_count > count || (!leaves && count)) return DX_CAS_EINVAL;
    return dx_merkle_p_path(leaves, count, old_count, true, proof, capacity, proof_count);
}

/* Climb from node number `index` of a level whose last is `last` to the root, *is, and for growth
   to the root of the tree that ended here, *was. False: the proof is too long or too short. */
static bool dx_merkle_p_climb(uint64_t index, uint64_t last, const dx_cas_id *proof,
                                  size_t proof_count, dx_cas_id *was, dx_cas_id *is)
{
    size_t i;
    for (i = 0; i < proof_count; i++, index >>= 1, last >>= 1) {
        if (last == 0) return false;
        if ((index & 1) || index == last) {
            if (was) dx_merkle_p_node(&proof[i], was, was);
            dx_merkle_p_node(&proof[i], is, is);
            for (; !(index & 1) && index != 0; index >>= 1) last >>= 1;
        } else {
            dx_merkle_p_node(is, &proof[i], is);
        }
    }
    return last == 0;
}

DX_CAS_API int dx_merkle_check(const void *data, size_t size, uint64_t index, uint64_t count,
                                   const dx_cas_id *proof, size_t proof_count,
                                   const dx_cas_id *root)
{
    dx_cas_id is;
    if ((!data && size) || !root || (!proof && proof_count)) return DX_CAS_EINVAL;
    dx_merkle_leaf(data, size, &is);
    return dx_cas_p_sound(index < count &&
                          dx_merkle_p_climb(index, count - 1, proof, proof_count, NULL, &is) &&
                          dx_cas_id_equal(&is, root));
}

DX_CAS_API int dx_merkle_replace(const dx_cas_id *old_leaf, const dx_cas_id *new_leaf,
                                     uint64_t index, uint64_t count, const dx_cas_id *proof,
                                     size_t proof_count, dx_cas_id *root)
{
    dx_cas_id was, is;
    if (!old_leaf || !new_leaf || !root || (!proof && proof_count)) return DX_CAS_EINVAL;
    was = *old_leaf;
    is = *new_leaf;
    if (index >= count ||
        !dx_merkle_p_climb(index, count - 1, proof, proof_count, NULL, &was) ||
        !dx_cas_id_equal(&was, root)) {
        return DX_CAS_ECORRUPT;
    }
    (void)dx_merkle_p_climb(index, count - 1, proof, proof_count, NULL, &is);
    *root = is;
    return DX_CAS_OK;
}

DX_CAS_API int dx_merkle_check_growth(uint64_t old_count, const dx_cas_id *old_root,
                                          uint64_t count, const dx_cas_id *root,
                                          const dx_cas_id *proof, size_t proof_count)
{
    uint64_t index = old_count - 1, last = count - 1;
    dx_cas_id was, is;
    if (!old_root || !root || (!proof && proof_count)) return DX_CAS_EINVAL;
    if (old_count == 0 || old_count == count) {
        if (old_count) was = *root;
        else dx_cas_hash(NULL, 0, &was);
        return dx_cas_p_sound(proof_count == 0 && dx_cas_id_equal(&was, old_root));
    }
    if (old_count > count) return DX_CAS_ECORRUPT;
    for (; index & 1; index >>= 1) last >>= 1;
    was = is = *old_root; /* a perfect old tree begins the proof by itself */
    if (index != 0) {
        if (proof_count-- == 0) return DX_CAS_ECORRUPT;
        was = is = *proof++;
    }
    return dx_cas_p_sound(dx_merkle_p_climb(index, last, proof, proof_count, &was, &is) &&
                          dx_cas_id_equal(&was, old_root) && dx_cas_id_equal(&is, root));
}
#endif /* DX_CAS_IMPLEMENTATION */
