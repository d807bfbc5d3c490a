/* The writable memory of a running process as one image: an ELF core file (docs/formats/memory.md).

       ELF header | pages of the mappings, each at the place that it got when first seen | table

   A mapping keeps its place in the image while it exists, so that a round differs from the one before
   only where the memory does. Linux. */
#ifndef WAN_MEMORY_H
#define WAN_MEMORY_H

#include "../../common/common.h"

enum { WAN_MEMORY_BLOCK = 262144 }; /* of the image: a region of a mirror */

typedef struct wan_piece { /* of a mapping */
    uint64_t address;
    uint64_t size;
    uint64_t at;     /* in the image */
    uint32_t flags;  /* PF_R, PF_W, PF_X */
    bool     sparse; /* private and without a file: a page that was never touched is zero */
} wan_piece;

typedef struct wan_place { /* of a piece in the image */
    uint64_t at;
    uint32_t piece;
} wan_place;

typedef struct wan_memory {
    int        folder;  /* the process, in /proc; -1: none */
    int        bytes;   /* its memory */
    int        pages;   /* its page map; -1: not readable */
    uint16_t   machine; /* of its program, as in an ELF header */
    wan_piece *pieces;  /* by address */
    uint32_t   count;
    wan_place *places;  /* of them, ascending */
    uint8_t   *table;   /* the end of the image */
    uint64_t   table_at;
    size_t     table_size;
    uint64_t   size;    /* of the image */
    uint8_t   *untouched; /* for each block of the image: no page of it had been touched when it was read last */
    uint64_t   untouched_count;
    uint64_t   lost;    /* pages of this round that cannot be read */
} wan_memory;

/* Is this the path of the memory of a process? Then *process gets its number. */
bool wan_memory_is_path(const char *path, int *process);
/* Open it. A status with a message. */
int  wan_memory_open(wan_memory *m, const char *path, int process);
void wan_memory_close(wan_memory *m);
/* A round begins: read the table of mappings. A status with a message. */
int  wan_memory_begin(wan_memory *m, const char *path);
/* Are the mappings still those of this round? */
bool wan_memory_is_same(const wan_memory *m);
/* Read bytes of the image. Pages that have gone, or cannot be read, are zero, and counted in `lost`.
   Fewer bytes: the image ends there. -1: errno, ESRCH if the process has ended. */
int64_t wan_memory_read(wan_memory *m, uint64_t at, uint8_t *out, size_t size);
/* Does the block at this offset still hold what wan_memory_read() of the whole block gave last? It is known, without
   reading it, of memory that was never touched. False: perhaps. */
bool    wan_memory_is_as_read(const wan_memory *m, uint64_t at);

#endif
