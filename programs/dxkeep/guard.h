/* The guard: a process between dxkeep and the program. It starts the program, and learns from a pipe
   when dxkeep has been killed. Then it continues the stopped processes, and kills the program and
   all its descendants, because nobody would capture what they write.

       dxkeep --pipe--> guard ----> program ----> its children

   The guard is a subreaper: no descendant leaves it, whatever it detaches from. */
#ifndef DXKEEP_GUARD_H
#define DXKEEP_GUARD_H

#include "../common/common.h" /* first: it defines _GNU_SOURCE */

#include <sys/types.h>

enum { KEEP_FROZEN_MAX = 4096 }; /* processes; with more, a freeze fails */

typedef struct keep_frozen {
    int   count;
    pid_t list[KEEP_FROZEN_MAX];
} keep_frozen;

typedef struct keep_shared { /* by dxkeep and the guard */
    keep_frozen frozen; /* the processes that dxkeep stopped */
    pid_t       pid;    /* of the program */
    int         error;  /* errno, if it could not be executed */
    int         status; /* of waitpid(), once it has */
    int         ended;
} keep_shared;

typedef struct keep_guard {
    keep_shared *shared;
    pid_t        pid;    /* 0: none */
    int          ask;    /* pipes to it, and from it */
    int          answer;
} keep_guard;

/* cgroup: to be thawed; program: to be started; either may be NULL. */
int  keep_guard_open(keep_guard *g, const char *cgroup, char **program);
/* A guard that is not open is ignored. Processes that outlive the program continue to run. */
void keep_guard_close(keep_guard *g);
/* Start the program. *error: errno, if it cannot be executed. */
int  keep_guard_start(keep_guard *g, int *error);
/* Has the program ended? The guard then sends SIGCHLD to dxkeep. */
bool keep_guard_ended(const keep_guard *g, int *status);

/* SIGCONT to all of them. */
void keep_guard_continue(keep_frozen *frozen);
/* Write to the freezer of a cgroup: "1" or "0". */
bool keep_cgroup_write(const char *cgroup, const char *text);

#endif
