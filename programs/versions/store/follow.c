/* Finds the place of a new chunk in the previous version. Both are sequences of parts; the new one is
   mostly the old one, shifted by the insertions and removals so far:

       before  |  a  |   b   |  c  |    d    |
       now     |  a  |  new  |   b   |  c  |    d    |
                             |<---- shift = -size of `new`

   A part that both have sets the shift. The base of a new part is the old part at its place, plus the
   shift. */
#include "follow.h"

#include <assert.h>
#include <string.h>

/* How far from the expected place a chunk is searched. */
enum { AHEAD = 3, TRIES = 8 };

/* The part that holds the byte at offset, or the last one. */
static const uint8_t *part(const versions_follow *f, int64_t offset, uint64_t *start,
                           uint64_t *size)
{
    const uint8_t *id = NULL;
    uint64_t at = offset < 0 ? 0 : (uint64_t)offset;
    if (!f->whole) return NULL;
    if (at >= f->whole) at = f->whole - 1;
    assert(at < f->whole);
    if (f->find(f->user, at, &id, start, size)) return NULL;
    if (!*size) *size = f->whole;
    return id;
}

const uint8_t *versions_follow_base(const versions_follow *f, uint64_t at, uint64_t size)
{
    uint64_t start = 0, was = 0;
    return part(f, (int64_t)(at + size / 2) + f->shift, &start, &was);
}

void versions_follow_note(versions_follow *f, const uint8_t id[PROG_HASH_SIZE], uint64_t at,
                          uint64_t size)
{
    uint64_t start = 0, was = 0;
    int64_t middle = (int64_t)(at + size / 2) + f->shift, look = middle;
    for (int tries = 0; tries < TRIES; tries++) { /* there, then after it, then before it */
        const uint8_t *is = part(f, look, &start, &was);
        if (!is) return;
        if (!memcmp(is, id, PROG_HASH_SIZE)) {
            f->shift = (int64_t)start - (int64_t)at;
            return;
        }
        if (tries < AHEAD) {
            look = (int64_t)(start + was);
        } else {
            if (tries == AHEAD) look = middle;
            look = look < (int64_t)start ? look - 1 : (int64_t)start - 1;
        }
        if (look < 0) return;
    }
}
