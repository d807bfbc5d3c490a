/* Finds similar objects by min-hashing (Broder, "On the resemblance and containment of documents",
   1997). The features of an object are the 16 smallest hashes of all its 32-byte windows. The
   fraction of features that two objects share estimates the fraction of content that they share, at
   any position. A table maps each feature to the last objects that had it. */
#include "similar.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    FEATURES = 16,
    WAYS     = 4,       /* objects per feature: the newest ones */
    SETS     = 1 << 18,
    OBJECTS  = 1 << 17,
    STRETCH  = 32
};

struct versions_similar {
    uint32_t gear[256];
    uint32_t features[FEATURES]; /* of the object searched last, ascending */
    unsigned count;
    uint64_t objects;            /* added so far; the last OBJECTS of them are kept */
    uint8_t  ids[OBJECTS][PROG_HASH_SIZE];
    uint32_t sets[SETS][WAYS];   /* number of the object + 1 */
};

versions_similar *versions_similar_open(void)
{
    versions_similar *s = prog_alloc(sizeof *s);
    uint64_t x = 0;
    memset(s, 0, sizeof *s);
    for (int i = 0; i < 256; i++) { /* splitmix64 */
        uint64_t z = x += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        s->gear[i] = (uint32_t)(z >> 32);
    }
    return s;
}

void versions_similar_close(versions_similar *s) { free(s); }

/* Insert a feature into the FEATURES smallest, ascending, without duplicates. */
static void add_feature(versions_similar *s, uint32_t feature)
{
    unsigned at = s->count;
    assert(at <= FEATURES);
    while (at && s->features[at - 1] > feature) at--;
    if (at && s->features[at - 1] == feature) return;
    if (s->count < FEATURES) s->count++;
    memmove(s->features + at + 1, s->features + at, (s->count - 1 - at) * sizeof *s->features);
    s->features[at] = feature;
    assert(s->count <= FEATURES);
}

/* A rolling hash: the sum of shifted gear values forgets a byte after 32 more. The multiplication
   mixes its bits. */
static void find_features(versions_similar *s, const uint8_t *bytes, size_t size)
{
    uint32_t sum = 0, worst = UINT32_MAX;
    s->count = 0;
    for (size_t i = 0; i < size; i++) {
        sum = (sum << 1) + s->gear[bytes[i]];
        uint32_t feature = (sum ^ sum >> 15) * 0x9e3779b1u;
        feature ^= feature >> 16;
        if (feature >= worst || i + 1 < STRETCH) continue;
        add_feature(s, feature);
        if (s->count == FEATURES) worst = s->features[FEATURES - 1];
    }
}

static uint32_t *set_of(versions_similar *s, uint32_t feature)
{
    return s->sets[feature * 0x85ebca6bu >> 14];
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

unsigned versions_similar_find(versions_similar *s, const void *bytes, size_t size,
                               uint8_t ids[VERSIONS_SIMILAR_MAX][PROG_HASH_SIZE])
{
    uint32_t found[FEATURES * WAYS], best[VERSIONS_SIMILAR_MAX], shared[VERSIONS_SIMILAR_MAX];
    size_t n = 0;
    unsigned count = 0;
    assert(bytes || !size);
    find_features(s, bytes, size);
    for (unsigned f = 0; f < s->count; f++) {
        const uint32_t *set = set_of(s, s->features[f]);
        for (int i = 0; i < WAYS; i++)
            if (set[i] && s->objects - (set[i] - 1) <= OBJECTS) found[n++] = set[i] - 1;
    }
    if (n) qsort(found, n, sizeof *found, compare_numbers);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && found[end] == found[i]; end++) {}
        unsigned at = count < VERSIONS_SIMILAR_MAX ? count++ : VERSIONS_SIMILAR_MAX;
        for (; at && shared[at - 1] <= end - i; at--) { /* among equals, the newest first */
            if (at == VERSIONS_SIMILAR_MAX) continue;
            shared[at] = shared[at - 1];
            best[at] = best[at - 1];
        }
        if (at == VERSIONS_SIMILAR_MAX) continue;
        shared[at] = (uint32_t)(end - i);
        best[at] = found[i];
    }
    assert(count <= VERSIONS_SIMILAR_MAX);
    for (unsigned i = 0; i < count; i++) memcpy(ids[i], s->ids[best[i] % OBJECTS], PROG_HASH_SIZE);
    return count;
}

void versions_similar_add(versions_similar *s, const uint8_t id[PROG_HASH_SIZE])
{
    if (!s->count || s->objects >= UINT32_MAX - 1) return;
    uint32_t number = (uint32_t)s->objects++;
    memcpy(s->ids[number % OBJECTS], id, PROG_HASH_SIZE);
    for (unsigned f = 0; f < s->count; f++) {
        uint32_t *set = set_of(s, s->features[f]);
        memmove(set + 1, set, (WAYS - 1) * sizeof *set);
        set[0] = number + 1;
    }
}
