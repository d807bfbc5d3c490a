/* See prints.h. The fingerprint is the function NH of VMAC with 64-bit words: the sum of
   (m0 + k0) * (m1 + k1) modulo 2^128 over the pairs of words m of the input and k of the key, the
   inner sums modulo 2^64. It is almost universal: inputs of one size collide with a probability of
   2^-64. The key is as long as the longest chunk, so that one pass suffices.

   The table has sets of WAYS slots: an id is in one of those of its set, or not in the table. */
#include "prints.h"

#include "tree.h"

#include "../../common/os.h"

#include <stdlib.h>
#include <string.h>

enum {
    WAYS = 4,
    RANDOM_MAX = 256, /* bytes that the system gives at once */
    KEY_WORDS = VERSIONS_CHUNK_MAX / 8
};

typedef struct slot { /* an empty one has an id of zeros */
    uint8_t        id[PROG_HASH_SIZE];
    versions_print print;
} slot;

enum { SETS = VERSIONS_PRINTS_MEMORY / (WAYS * (int)sizeof(slot)) };

struct versions_prints {
    slot    *slots;
    unsigned next; /* the way that is replaced next */
    uint64_t key[KEY_WORDS];
};

#if defined(__SIZEOF_INT128__)
__extension__ typedef unsigned __int128 wide;

versions_prints *versions_prints_open(void)
{
    versions_prints *t = prog_alloc(sizeof *t);
    t->next = 0;
    for (size_t at = 0; at < sizeof t->key; at += RANDOM_MAX) {
        if (os_random((uint8_t *)t->key + at, RANDOM_MAX)) continue;
        free(t);
        return NULL;
    }
    t->slots = calloc((size_t)SETS * WAYS, sizeof *t->slots); /* pages are used as chunks come */
    if (t->slots) return t;
    free(t);
    return NULL;
}

void versions_print_make(const versions_prints *t, const void *data, size_t size, versions_print *out)
{
    const uint8_t *at = data;
    const uint64_t *k = t->key;
    uint64_t m[2];
    wide sum = 0;
    for (; size >= sizeof m; size -= sizeof m, at += sizeof m, k += 2) {
        memcpy(m, at, sizeof m);
        sum += (wide)(m[0] + k[0]) * (m[1] + k[1]);
    }
    if (size) {
        memset(m, 0, sizeof m);
        memcpy(m, at, size);
        sum += (wide)(m[0] + k[0]) * (m[1] + k[1]);
    }
    out->low = (uint64_t)sum;
    out->high = (uint64_t)(sum >> 64);
}
#else
versions_prints *versions_prints_open(void) { return NULL; }

void versions_print_make(const versions_prints *t, const void *data, size_t size, versions_print *out)
{
    (void)t;
    (void)data;
    (void)size;
    memset(out, 0, sizeof *out);
}
#endif

void versions_prints_close(versions_prints *t)
{
    if (t) free(t->slots);
    free(t);
}

static slot *set_of(const versions_prints *t, const uint8_t *id)
{
    uint32_t n;
    memcpy(&n, id, sizeof n);
    return t->slots + (size_t)(n % SETS) * WAYS;
}

void versions_prints_note(versions_prints *t, const uint8_t id[PROG_HASH_SIZE],
                          const versions_print *print)
{
    static const uint8_t none[PROG_HASH_SIZE];
    slot *set = set_of(t, id), *to = NULL;
    for (int i = 0; i < WAYS && !to; i++)
        if (!memcmp(set[i].id, id, sizeof set[i].id) || !memcmp(set[i].id, none, sizeof none))
            to = &set[i];
    if (!to) to = &set[t->next++ % WAYS];
    memcpy(to->id, id, sizeof to->id);
    to->print = *print;
}

bool versions_prints_has(const versions_prints *t, const uint8_t id[PROG_HASH_SIZE],
                         versions_print *out)
{
    const slot *set = set_of(t, id);
    for (int i = 0; i < WAYS; i++) {
        if (memcmp(set[i].id, id, sizeof set[i].id) != 0) continue;
        *out = set[i].print;
        return true;
    }
    return false;
}
