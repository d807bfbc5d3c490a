/* A ring of batches: one thread reads, all cores hash and compress, and the results are delivered in
   order. There are two passes, because only chunks that the store lacks are compressed:

       fill -> hash (all cores) -> look_up (known?) -> compress (all cores) -> retire, in order */
#ifndef VERSIONS_TREE_BATCH_H
#define VERSIONS_TREE_BATCH_H

#include "../store/store.h"
#include "prints.h"

#include <pthread.h>

enum {
    VERSIONS_BATCHES = 8,
    VERSIONS_BATCH_BYTES = 384 << 10,
    VERSIONS_BATCH_CHUNKS = 1024,
    VERSIONS_BATCH_EVENTS = 2048,
    VERSIONS_BATCH_TEXT = 64 << 10,
    VERSIONS_WORKERS_MAX = 16
};

typedef struct versions_chunk {
    uint32_t at, size;               /* in bytes */
    uint32_t packed_at, packed_size; /* in packed; size 0: not compressed */
    uint8_t  id[PROG_HASH_SIZE];
    versions_print print;            /* if the ring has prints */
    bool     known;                  /* the store has it */
    bool     follows;                /* probably a delta: compressed only if it does not become one */
} versions_chunk;

typedef struct versions_event { /* an element of the published directory, in order */
    uint8_t  kind, type, level;
    bool     fresh;              /* it was read */
    bool     plain;              /* it has no attributes */
    uint16_t mode, name_size;
    uint16_t extra_size;
    uint32_t text, chunk;        /* name and data in text; or an index into chunks */
    uint32_t extra;              /* extras in text */
    uint32_t link;               /* for a file with several hard links: index + 1 in versions_links */
    uint64_t size, device, inode;
    int64_t  mtime_ns, ctime_ns, now_ns;
    uint8_t  id[PROG_HASH_SIZE];
} versions_event;

typedef struct versions_batch {
    int             state;
    size_t          size, text_size, chunk_count, event_count;
    versions_chunk *chunks;
    versions_event *events;
    uint8_t        *bytes, *packed, *text;
} versions_batch;

typedef struct versions_ring {
    versions_batch *batches;
    unsigned        batch_count;
    bool            hold;             /* nothing is retired until versions_ring_drain() */
    unsigned        head;             /* the oldest submitted batch */
    unsigned        count;            /* of submitted batches */
    bool            stopping;
    const versions_prints *prints;    /* make fingerprints of chunks; NULL: none */
    unsigned        thread_count;
    pthread_t       threads[VERSIONS_WORKERS_MAX];
    pthread_mutex_t lock;
    pthread_cond_t  work, done;
    void          (*look_up)(void *user, versions_batch *b); /* sets known for each chunk */
    int           (*retire)(void *user, versions_batch *b);
    void           *user;
} versions_ring;

/* workers 0: one per online core. held_bytes: hold this many bytes; 0: do not hold. */
void versions_ring_open(versions_ring *r, unsigned workers, uint64_t held_bytes);
void versions_ring_close(versions_ring *r);
/* Touch the memory of the first batches, for `bytes` bytes, so that filling them causes no page faults. */
void versions_ring_prepare(versions_ring *r, uint64_t bytes);
/* The batch to fill next, which is empty. */
versions_batch *versions_ring_fill(versions_ring *r);
/* Submit it, and make room for another. look_up and retire are called on this thread only.
   PROG_REFUSED, without a message: the limit of held bytes is reached. */
int versions_ring_submit(versions_ring *r);
/* Complete all submitted batches. */
int versions_ring_drain(versions_ring *r);

#endif
