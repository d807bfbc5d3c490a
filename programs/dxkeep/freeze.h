/* Stops the processes that may write to the directory, so that it can be read as of one instant: a
   cgroup through the cgroup freezer, otherwise a process and all its descendants with SIGSTOP. */
#ifndef DXKEEP_FREEZE_H
#define DXKEEP_FREEZE_H

#include "guard.h"
#include "torn.h"

#include <sys/types.h>

typedef struct keep_freezer {
    const char  *cgroup; /* its folder; NULL: processes are stopped one by one */
    const char  *pidfile; /* root is read from it before each stop; NULL: it stays */
    pid_t        root;   /* this process and its descendants; 0: the descendants of dxkeep */
    bool         complained; /* that there is nothing to stop */
    keep_frozen *frozen; /* the processes that dxkeep stopped */
    keep_guard  *guard;  /* continues them if dxkeep is killed */
    bool         active; /* between freeze and thaw */
    int64_t      since_ns; /* when the last freeze stopped the first process; 0: there was nothing to stop */
    keep_torn_reason why;  /* the last freeze failed */
    int          nice;   /* of this thread before the freeze */
    pid_t       *tree;   /* while active: all processes, including those stopped before */
    size_t       tree_count;
} keep_freezer;

/* The guard must be open, and stay open until the close; it may have been killed. */
void keep_freezer_open(keep_freezer *f, keep_guard *guard);
/* Say so if the cgroup or the process is not there now; once, until it is back. */
void keep_freezer_check(keep_freezer *f);
/* Also thaws. */
void keep_freezer_close(keep_freezer *f);
/* Stop all processes. True: all have stopped, and none can have been missed. False: not before
   until_ns (prog_now_ns()), or not at all, see why; all run again. */
bool keep_freeze(keep_freezer *f, int64_t until_ns);
void keep_thaw(keep_freezer *f);
/* Have all descendants of dxkeep ended? False also if that is unknown. */
bool keep_freezer_alone(keep_freezer *f);
/* Call each() for every file below the directory that a stopped process has mapped shared and
   writable: stores through a mapping send no notification. path: relative to the directory. False:
   the mappings cannot be listed. */
bool keep_freezer_mapped(keep_freezer *f, const char *directory,
                         void (*each)(void *user, const char *path), void *user);

#endif
