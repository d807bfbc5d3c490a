/* Why a version is torn, and the names of files that changed meanwhile, for `log`. They are hints: the
   store's versions have the flag and the number of such files. Reasons and names are written before the
   version is committed, so that a kill loses none; after a power cut they may be missing. */
#ifndef DXKEEP_TORN_H
#define DXKEEP_TORN_H

#include "../common/common.h"
#include "../common/json.h"

/* In the order in which they are printed: those that names explain come last. */
typedef enum keep_torn_reason {
    KEEP_TORN_NOT_STOPPED,
    KEEP_TORN_HOOK,
    KEEP_TORN_APP,
    KEEP_TORN_ENDED,
    KEEP_TORN_SLOW_STOP,
    KEEP_TORN_STARTS,
    KEEP_TORN_UNSTOPPABLE,
    KEEP_TORN_PAUSE,
    KEEP_TORN_HELD,
    KEEP_TORN_MOVED,
    KEEP_TORN_POLLED,
    KEEP_TORN_EVENTS,
    KEEP_TORN_MAPPINGS,
    KEEP_TORN_LINKED,
    KEEP_TORN_OWNER,
    KEEP_TORN_REPLACED,
    KEEP_TORN_WRITTEN,
    KEEP_TORN_CHANGED,
    KEEP_TORN_REASONS
} keep_torn_reason;

enum { KEEP_TORN_MAX = 16 }; /* names per version; further ones are not stored */

typedef struct keep_torn {
    char  *names[KEEP_TORN_MAX];
    size_t count;
    uint32_t reasons; /* one bit each */
} keep_torn;

/* Duplicates are ignored. */
void keep_torn_add(keep_torn *t, const char *path);
void keep_torn_because(keep_torn *t, keep_torn_reason why);
void keep_torn_clear(keep_torn *t);
const char *keep_torn_key(keep_torn_reason why);
const char *keep_torn_text(keep_torn_reason why);
/* "torn", or "torn: REASON; REASON". files: how many changed during every read. */
enum { KEEP_TORN_LINE_SIZE = 1600 };
const char *keep_torn_line(const keep_torn *t, uint32_t files, char out[KEEP_TORN_LINE_SIZE]);
/* "consistent", or the line of a version that is torn. */
const char *keep_torn_or_consistent(bool consistent, const keep_torn *t, uint32_t files,
                                    char out[KEEP_TORN_LINE_SIZE]);
/* Add a member "torn_reasons", an array of keys. */
void keep_torn_json(const keep_torn *t, prog_json *j);
/* Store the reasons and names for the version that is about to be committed: those of this number and
   later ones are replaced. */
int  keep_torn_save(const keep_torn *t, const char *store, const char *name, uint64_t version);

/* Read all stored records. NULL: there are none, or they cannot be read, which a warning says. The caller
   frees them. */
char *keep_torn_open(const char *store, const char *name, size_t *size);
/* Replace *t by the reasons and names for one version. */
void keep_torn_load(keep_torn *t, const char *notes, size_t size, uint64_t version);

#endif
