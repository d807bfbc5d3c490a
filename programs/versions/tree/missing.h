/* Finds the objects of a snapshot that a store lacks, from the root down, while they arrive. */
#ifndef VERSIONS_MISSING_H
#define VERSIONS_MISSING_H

#include "tree.h"

enum { VERSIONS_MISSING_BASES_MAX = 2 }; /* per object */

typedef struct versions_missing versions_missing;

typedef struct versions_missing_object { /* an object that the store lacks */
    uint8_t  id[32];
    uint64_t size;      /* if known; otherwise an estimate */
    bool     content;   /* a part of a file, of exactly that size, which refers to nothing */
    unsigned base_count;
    uint8_t  bases[VERSIONS_MISSING_BASES_MAX][32]; /* objects that the store has, possibly similar ones */
} versions_missing_object;

/* old: a snapshot that s has, for finding bases; NULL: none. A snapshot beyond the limits is
   refused (PROG_REFUSED) when its root arrives; one with more content than its root declares
   (PROG_DAMAGED) when that is detected. */
versions_missing *versions_missing_open(versions_store *s, const uint8_t root[32],
                                        const uint8_t *old, const versions_limits *limits);
/* The same for one file, whose entry has type, level, id and size (not 0). Its lists are those of
   docs/formats/cas.md, whose ids differ from those of objects with the same bytes; they are passed
   to keep instead of being stored in s, and s must find them afterwards
   (versions_store_set_seed()). old: such an entry of a file whose lists s finds; NULL: none. */
typedef struct versions_missing_file {
    dx_tree_entry        entry;
    const dx_tree_entry *old;
    void               (*keep)(void *user, const uint8_t id[32], const void *bytes, size_t size);
    void                *user;
} versions_missing_file;
versions_missing *versions_missing_open_file(versions_store *s, const versions_missing_file *file);
void              versions_missing_close(versions_missing *l);
/* `old` is complete in s: what it has at the same path is not visited, and objects are stored as deltas of
   their bases. */
void              versions_missing_trust_old(versions_missing *l);
/* The next object that is neither present nor requested; *none: there is none now. Pass *ticket to
   versions_missing_store() or versions_missing_return(). */
int versions_missing_next(versions_missing *l, versions_missing_object *out, uint32_t *ticket,
                          bool *none);
/* It has arrived: verify it, store it, and continue with the objects that it refers to. */
int  versions_missing_store(versions_missing *l, uint32_t ticket, const uint8_t *bytes, size_t size);
/* It has not arrived: it is missing again. */
void versions_missing_return(versions_missing *l, uint32_t ticket);
/* Treat it as present. For callers that only count. */
void versions_missing_skip(versions_missing *l, uint32_t ticket);

/* A changed file as a whole, instead of its chunks: for patches of its content. Its chunks are held
   back until all its lists are visited; then it is offered. */
typedef struct versions_missing_whole {
    dx_tree_entry file;    /* type, level, id and size only, */
    dx_tree_entry old;     /* also of the file at the same path in the old snapshot */
    uint64_t      lacking; /* bytes of its missing chunks */
} versions_missing_whole;
enum { VERSIONS_MISSING_WHOLES = 16 }; /* files held back at once */
/* choose: is a patch of this file worth a request? (lacking is not set.) Otherwise its chunks are
   handed out like all others; also if fewer than lacking_min bytes of them are missing. Called by
   versions_missing_next(), once for each file. */
void versions_missing_choose(versions_missing *l,
                             bool (*choose)(void *user, const versions_missing_whole *whole),
                             void *user, uint64_t lacking_min);
/* The next file to request as a whole. False: none now. Pass *ticket to one of the three below. */
bool versions_missing_next_whole(versions_missing *l, versions_missing_whole *out, uint32_t *ticket);
bool versions_missing_has_whole(const versions_missing *l);
/* Its content has arrived, all file.size bytes: verify and store the missing chunks. */
int  versions_missing_store_whole(versions_missing *l, uint32_t ticket, const uint8_t *bytes);
/* It has not arrived. again: offer it once more; a second time its chunks are handed out. */
void versions_missing_return_whole(versions_missing *l, uint32_t ticket, bool again);
void versions_missing_skip_whole(versions_missing *l, uint32_t ticket);
/* Is nothing missing and nothing requested? */
bool versions_missing_is_done(const versions_missing *l);

#endif
