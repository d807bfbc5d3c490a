/* Compaction of a store, in steps: everything that the kept versions need is copied into a new log,
   which then replaces the old one. Between two steps the caller may add versions. */
#ifndef VERSIONS_COLLECT_H
#define VERSIONS_COLLECT_H

#include "../store/store.h"

typedef struct versions_collector versions_collector;

/* s is open for writing; it is held until finish or drop. pack: compress again, as deltas of similar
   objects. keep is copied; what its user points to must stay. */
int  versions_collector_open(versions_collector **c, versions_store *s, bool pack,
                             const versions_keep *keep);
/* Copy until until_ns (prog_now_ns()), at least one object. *done: nothing is left for finish but
   versions that are added from now on. */
int  versions_collector_step(versions_collector *c, int64_t until_ns, bool *done);
/* Copy the rest and replace the log, atomically. *size: bytes of the new log. Close s afterwards and
   open the store again. Closes c, as drop does, which leaves the store as it was. */
int  versions_collector_finish(versions_collector *c, uint64_t *size);
void versions_collector_drop(versions_collector *c);
/* The bytes, before compression, of objects that no version needs. *counted: false if a version is not
   a snapshot, whose objects are not listed. */
int  versions_unused(versions_store *s, uint64_t *bytes, bool *counted);

#endif
