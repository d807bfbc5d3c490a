/* Stops the processes that may write to the directory, so that it can be read as it is at one
   instant: a cgroup by its freezer, else a process and all its descendants by SIGSTOP. */
#ifndef DXKEEP_FREEZE_H
#define DXKEEP_FREEZE_H

#include "../common/common.h" /* first: it asks for _GNU_SOURCE */

#include <sys/types.h>

enum { KEEP_FROZEN_MAX = 4096 }; /* processes; with more nothing is stopped for longer than a look */

typedef struct keep_frozen { /* shared with the guard */
    int   count;
    pid_t list[KEEP_FROZEN_MAX];
} keep_frozen;

typedef struct keep_freezer {
    const char  *cgroup; /* its folder; NULL: processes are stopped one by one */
    pid_t        root;   /* this one and its descendants; 0: the descendants of dxkeep */
    keep_frozen *frozen; /* stopped by dxkeep, and not by anybody else before */
    pid_t        guard;  /* continues them should dxkeep be killed; 0: none */
    int          guard_pipe;
    bool         active; /* between freeze and thaw */
    pid_t       *tree;   /* while active: all of them, also those that had stopped before */
    size_t       tree_count;
} keep_freezer;

/* Before the program is started. With root 0, orphans of the program become children of dxkeep, so
   that none escapes. */
int  keep_freezer_open(keep_freezer *f);
/* Thaws. */
void keep_freezer_close(keep_freezer *f);
/* Stop them all. true: every one has stopped, and none can have been missed. false: not by
   until_ns (prog_now_ns()), and all run again. */
bool keep_freeze(keep_freezer *f, int64_t until_ns);
void keep_thaw(keep_freezer *f);
/* Of the descendants of dxkeep: has every one ended? false also where that is not known. */
bool keep_freezer_alone(keep_freezer *f);
/* Call each for every file below the directory that a stopped process has mapped shared and
   writable: stores to it are not notified. path: relative to the directory. false: they cannot be
   listed. */
bool keep_freezer_mapped(keep_freezer *f, const char *directory,
                         void (*each)(void *user, const char *path), void *user);
/* Is the guard's, which is no part of the program. */
bool keep_freezer_owns(const keep_freezer *f, pid_t pid);

#endif
