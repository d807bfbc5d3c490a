/* The Merkle tree of layers/dx_merkle.h with SHA-256 (layers/dx_sha256.h) is that of RFC 6962: the vectors of Certificate Transparency
   (cpp/merkletree/merkle_tree_test.cc of github.com/google/certificate-transparency). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define DX_CAS_NO_FILE
#define DX_IMPLEMENTATION
#include "../../../layers/dx_sha256.h"
#define DX_CAS_HASHER dx_sha256
#define DX_CAS_HASHER_NUMBER 2
#include "../../../dx_cas.h"
#include "../../../layers/dx_merkle.h"

static int failed;
static void expect(bool good, const char *what, unsigned a, unsigned b)
{
    if (good) return;
    printf("%s %u %u\n", what, a, b);
    failed = 1;
}

static bool is(const dx_cas_id *id, const char *hex)
{
    char text[65];
    dx_cas_id_to_hex(id, text);
    return strcmp(text, hex) == 0;
}

int main(void)
{
    static const char *const leaves[8] = {"", "\0", "\x10", "\x20\x21", "\x30\x31", "\x40\x41\x42\x43", "\x50\x51\x52\x53\x54\x55\x56\x57",
                                          "\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f"};
    static const size_t sizes[8] = {0, 1, 1, 2, 2, 4, 8, 16};
    static const char *const roots[8] = {
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
    /* Inclusion of leaf 0 of 8, 5 of 8, 2 of 3, 1 of 5; growth from 1 to 8, 6 to 8, 2 to 5: as published. */
    static const struct { unsigned index, count, n; const char *path[3]; } included[] = {
        {0, 8, 3, {"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7", "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                   "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"}},
        {5, 8, 3, {"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b", "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                   "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
        {2, 3, 1, {"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"}},
        {1, 5, 3, {"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                   "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"}}};
    static const struct { unsigned old, count, n; const char *path[3]; } grown[] = {
        {1, 8, 3, {"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7", "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                   "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"}},
        {6, 8, 3, {"0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a", "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                   "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
        {2, 5, 2, {"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e", "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"}}};
    dx_cas_id ids[8], root[9], proof[64];
    dx_merkle tree;
    size_t n = 0;
    dx_merkle_init(&tree);
    dx_merkle_root(&tree, &root[0]);
    expect(is(&root[0], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), "no leaf", 0, 0);
    for (unsigned i = 0; i < 8; i++) {
        dx_merkle_leaf(leaves[i], sizes[i], &ids[i]);
        dx_merkle_add(&tree, &ids[i]);
        dx_merkle_root(&tree, &root[i + 1]);
        expect(is(&root[i + 1], roots[i]), "root", i + 1, 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        unsigned at = included[i].index, count = included[i].count;
        expect(dx_merkle_prove(ids, count, at, proof, 64, &n) == 0 && n == included[i].n, "length of inclusion", at, count);
        for (unsigned k = 0; k < n; k++) expect(is(&proof[k], included[i].path[k]), "inclusion", at, count);
    }
    for (unsigned i = 0; i < 3; i++) {
        expect(dx_merkle_prove_growth(ids, grown[i].count, grown[i].old, proof, 64, &n) == 0 && n == grown[i].n, "length of growth",
               grown[i].old, grown[i].count);
        for (unsigned k = 0; k < n; k++) expect(is(&proof[k], grown[i].path[k]), "growth", grown[i].old, grown[i].count);
    }
    for (unsigned count = 1; count <= 8; count++) { /* and every proof is accepted, for this root only */
        for (unsigned at = 0; at < count; at++) {
            expect(dx_merkle_prove(ids, count, at, proof, 64, &n) == 0, "prove", at, count);
            expect(dx_merkle_check(leaves[at], sizes[at], at, count, proof, n, &root[count]) == DX_CAS_OK, "check", at, count);
            expect(dx_merkle_check(leaves[at], sizes[at], at, count, proof, n, &root[count - 1]) == DX_CAS_ECORRUPT, "refuse", at, count);
        }
        for (unsigned old = 0; old <= count; old++) {
            expect(dx_merkle_prove_growth(ids, count, old, proof, 64, &n) == 0, "prove growth", old, count);
            expect(dx_merkle_check_growth(old, &root[old], count, &root[count], proof, n) == DX_CAS_OK, "check growth", old, count);
        }
    }
    return failed;
}
