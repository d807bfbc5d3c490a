/* Find the known word that is closest to an unknown one. See options.h.

   The distance is the minimum number of insertions, deletions, substitutions and swaps of adjacent
   letters (Damerau-Levenshtein). It is computed row by row; a row needs the two before it:

              p  u  b  l  i  s  h
           0  1  2  3  4  5  6  7
        p  1  0  1  2  3  4  5  6
        u  2  1  0  1  2  3  4  5
        ...                              the last number of the last row is the distance */
#include "options.h"

#include <assert.h>
#include <string.h>

enum { WORD_MAX = 40 }; /* longer words match no other */

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Both have at most WORD_MAX letters. */
static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t rows[3][WORD_MAX + 1];
    assert(a_size <= WORD_MAX && b_size <= WORD_MAX);
    for (size_t k = 0; k <= b_size; k++) rows[0][k] = k;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3], *second = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t k = 1; k <= b_size; k++) {
            row[k] = least(above[k - 1] + (a[i - 1] != b[k - 1]),
                           least(above[k], row[k - 1]) + 1);
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
                row[k] = least(row[k], second[k - 2] + 1);
        }
    }
    return rows[a_size % 3][b_size];
}

void prog_nearest_begin(prog_nearest *n, const char *word, size_t size)
{
    *n = (prog_nearest){.word = word, .size = size, .distance = 1 + least(size / 4, 2)};
}

void prog_nearest_offer(prog_nearest *n, const char *candidate)
{
    const size_t size = strlen(candidate);
    if (n->size < 2 || n->size > WORD_MAX || size > WORD_MAX) return;
    const bool begins = n->size >= 4 && size > n->size && !memcmp(candidate, n->word, n->size);
    const size_t far = begins ? 1 : distance(n->word, n->size, candidate, size);
    if (far > n->distance || far >= size || (far == n->distance && n->found)) return;
    n->distance = far;
    n->found = candidate;
}
