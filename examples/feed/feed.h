/* The file that producer and consumer map: a ring of dx_ring.h, and the positions from which each
   side resumes after it was killed. */
#ifndef FEED_H
#define FEED_H

/* The project's own assertion and copy, in place of the headers'. */
void acme_broken(const char *what);
#define ACME_TELEPORT_ASSERT(c) ((c) ? (void)0 : acme_broken(#c))
#define ACME_TELEPORT_MEMCPY(to, from, size) __builtin_memcpy(to, from, size)
#define ACME_RING_ASSERT(c) ACME_TELEPORT_ASSERT(c)
#define ACME_RING_MEMCPY(to, from, size) ACME_TELEPORT_MEMCPY(to, from, size)
#include "acme_ring.h"
#include "acme_teleport.h"

#define TICK(F, S, ...) F(u64, number) F(f64, price) S(symbol)
ACME_TELEPORT_DEFINE(tick, TICK)

enum { FEED_RING_SIZE = 1 << 16, FEED_RECORD_MAX = 128, FEED_PRICE_MAX = 1 << 20 };

typedef struct feed_side { /* stored whole before `which` names it: a kill leaves the one or the other */
    uint64_t count, sum;
} feed_side;

typedef struct feed {
    /* Number of the next tick (high half) and the ring's write index before it is committed, in one
       word: after a kill the index tells whether the tick was committed. */
    uint64_t next;
    uint8_t  gap_[56];
    uint64_t which;    /* of consumed[] */
    feed_side consumed[2];
    uint8_t  gap_2_[24];
    uint8_t  ring[FEED_RING_SIZE];
} feed;

static inline uint64_t feed_symbol_length(uint64_t number) { return 3 + number % 5; }
#endif
