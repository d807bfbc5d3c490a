/* What a store lacks of a snapshot, found from its root down while it comes. */
#ifndef VERSIONS_MISSING_H
#define VERSIONS_MISSING_H

#include "tree.h"

enum { VERSIONS_MISSING_BASES_MAX = 2 }; /* of one object */

typedef struct versions_missing versions_missing;

typedef struct versions_missing_object { /* an object that is not there */
    uint8_t  id[32];
    uint64_t size;      /* as far as it is known; else about */
    bool     content;   /* it is a part of a file, of exactly that size, and leads to nothing */
    unsigned base_count;
    uint8_t  bases[VERSIONS_MISSING_BASES_MAX][32]; /* which are there, and may be like it */
} versions_missing_object;

/* old: a snapshot that s has, where bases come from; NULL: there is none. A snapshot beyond the
   limits is refused (PROG_REFUSED) when its root has come, one with more than its root declares
   (PROG_DAMAGED) when that is found. */
versions_missing *versions_missing_open(versions_store *s, const uint8_t root[32],
                                        const uint8_t *old, const versions_limits *limits);
/* The same of one file: its entry has type, level, id and size, which is not 0. Its lists are those
   of docs/formats/cas.md, whose ids are not those of their bytes; they do not go into s, but to
   keep, and s finds them from then on (versions_store_set_seed()). old: another such entry, of a
   file whose lists s finds; NULL: there is none. */
typedef struct versions_missing_file {
    dx_tree_entry        entry;
    const dx_tree_entry *old;
    void               (*keep)(void *user, const uint8_t id[32], const void *bytes, size_t size);
    void                *user;
} versions_missing_file;
versions_missing *versions_missing_open_file(versions_store *s, const versions_missing_file *file);
void              versions_missing_close(versions_missing *l);
/* The next object that is neither there nor asked for; *none: there is none now. *ticket is for
   versions_missing_take() or versions_missing_return(). */
int versions_missing_next(versions_missing *l, versions_missing_object *out, uint32_t *ticket,
                          bool *none);
/* It has come: it is verified, put into the store, and what it leads to is looked for next. */
int  versions_missing_take(versions_missing *l, uint32_t ticket, const uint8_t *bytes, size_t size);
/* It has not: it is lacking as before. */
void versions_missing_return(versions_missing *l, uint32_t ticket);
/* It is not to come: it lacks no more. For who only counts. */
void versions_missing_skip(versions_missing *l, uint32_t ticket);
/* Nothing is lacking, nothing is asked for. */
bool versions_missing_is_done(const versions_missing *l);

#endif
