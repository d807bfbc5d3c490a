/* The guard: a process between dxkeep and the program. It starts the program, and learns from a pipe
   when dxkeep has been killed. Then it continues the stopped processes, and kills the program and
   all its descendants, because nobody would capture what they write. With --fence it also ends them before
   the lease does: it never waits for a disk or a network, and lives when dxkeep is stopped or stuck.

       renewed |---------- lease_ns ----------|  another dxkeep may begin
                               ^ SIGTERM   ^ SIGKILL

       dxkeep --pipe--> guard ----> program ----> its children

   The guard is a subreaper: no descendant leaves it, whatever it detaches from. */
#ifndef DXKEEP_GUARD_H
#define DXKEEP_GUARD_H

#include "../common/common.h" /* first: it defines _GNU_SOURCE */

#include <signal.h>
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
    int         asked;    /* --supervise: dxkeep asks for the program, */
    int         started;  /* and that was done, or error has the reason */
    int         hook;     /* the process group of the hook that dxkeep runs; 0: none */
    int         captured; /* dxkeep has captured something since its start */
    int64_t     lease_ns;     /* --fence: how long the lease is; 0: none is needed */
    int64_t     lease_end_ns; /* of prog_now_ns(), written by ship.c; 0: it was never held */
    int         fenced;       /* the program was sent SIGTERM because of it */
    unsigned    reaped;   /* children of the guard that have ended; up to date once */
    unsigned    counts_asked, counts_done; /* are equal */
} keep_shared;

typedef struct keep_guard {
    keep_shared *shared;
    pid_t        pid;    /* 0: none */
    int          ask;    /* pipes to it, and from it */
    int          answer;
    bool         above;  /* it is the supervisor, dxkeep's parent (supervise.h): there are no pipes */
    sigset_t     before; /* then: the signal mask to restore */
} keep_guard;

/* cgroup: to be thawed; program: to be started; either may be NULL. */
int  keep_guard_open(keep_guard *g, const char *cgroup, char **program);
/* A guard that is not open is ignored. Processes that outlive the program continue to run. */
void keep_guard_close(keep_guard *g);
/* Start the program. *error: errno, if it cannot be executed. */
int  keep_guard_start(keep_guard *g, int *error);
/* Has the program ended? The guard then sends SIGCHLD to dxkeep. */
bool keep_guard_ended(const keep_guard *g, int *status);

/* How many children of the guard have ended: all that had before the call are counted. False: it is gone,
   or does not answer. */
bool keep_guard_count_ended(const keep_guard *g, unsigned *count);

/* --supervise: was the program started, by an earlier dxkeep? */
bool keep_guard_has_started(const keep_guard *g);
/* --supervise: the handlers of signals are there now. */
void keep_guard_listen(const keep_guard *g);
/* --supervise: something was captured. */
void keep_guard_note_capture(const keep_guard *g);

/* For the supervisor: the shared memory, and that orphans become children of this process. */
int  keep_guard_share(keep_guard *g);
/* In the guard or the supervisor, before and after it reaps its children. */
unsigned keep_guard_count_begin(const keep_shared *shared);
void keep_guard_count_end(keep_shared *shared, unsigned asked, unsigned reaped);
/* In the process that becomes the parent of the program: start it, with this signal mask. */
void keep_guard_execute(keep_shared *shared, char **program, const sigset_t *mask);

/* --fence, for the parent of the program: the time of the next step; INT64_MAX: there is none. */
int64_t keep_guard_fence_ns(const keep_shared *shared);
/* Do that step if it is time: SIGTERM to the program, SIGKILL to all descendants but this one (0: all). */
void keep_guard_fence(keep_shared *shared, pid_t except);
/* The program has ended. If the fence ended it, kill what it has left behind, too. */
void keep_guard_end_rest(const keep_shared *shared, pid_t except);

/* SIGCONT to all of them. */
void keep_guard_continue(keep_frozen *frozen);
/* Write to the freezer of a cgroup: "1" or "0". */
bool keep_cgroup_write(const char *cgroup, const char *text);

/* The program shall get this signal (INT, SIGINT) in place of SIGTERM. NULL: SIGTERM. False: there is none of
   that name. Before any process is started. */
bool keep_stop_signal_set(const char *name);
/* What the program gets for a signal that dxkeep got. */
int  keep_signal_for_program(int number);

#endif
