/* Stops all threads of another process, and resumes them. The process is traced (ptrace): unlike after
   SIGSTOP, it resumes by itself if this program is killed, its parent is not told, and SIGCONT of
   somebody else does not wake it. A thread of its own traces: when it ends, the system releases what it
   still has. That thread also keeps the time, because the one that reads may wait for a page that only
   the stopped process provides (a file of its own FUSE), or for a disk. Linux. */
#ifndef WAN_FREEZE_H
#define WAN_FREEZE_H

#include "../../common/common.h"

#include <pthread.h>

typedef struct wan_frozen_thread {
    int  id;
    int  signal;  /* it was about to get it; 0: none */
    bool stopped;
} wan_frozen_thread;

typedef struct wan_freeze {
    wan_frozen_thread *threads;
    uint32_t           count;
    uint32_t           room;
    int                folder;   /* of the process, in /proc */
    uint64_t           end_ns;   /* all must have stopped */
    uint64_t           hold_ns;  /* how long they stay stopped at most, */
    uint64_t           over_ns;  /* and until when */
    pthread_t          tracer;
    pthread_mutex_t    lock;
    pthread_cond_t     changed;
    bool               started;  /* the tracer */
    bool               ready;    /* with this result, an errno; 0: all have stopped */
    int                error;
    bool               ending;
} wan_freeze;

/* Stop the process with this folder in /proc, for hold_ns at most. 0, or an errno, and then all of it
   runs: ESRCH it has ended, EPERM not permitted, or it is traced already; ETIMEDOUT a thread did not
   stop within timeout_ns. */
int  wan_freeze_stop(wan_freeze *f, int folder, uint64_t timeout_ns, uint64_t hold_ns);
/* Resume it. True: it was stopped until now. */
bool wan_freeze_release(wan_freeze *f);

#endif
