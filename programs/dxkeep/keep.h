/* dxkeep keeps the history of a directory: versions in a store of dxup, one for each state that was
   captured. From the top:

   main.c     the command line               table.c   its commands and options
   run.c      runs a program, or waits for a signal, and captures the directory meanwhile
   restore.c  writes the directory as it was
   log.c      lists versions
   freeze.c   stops and continues the processes that write
   moment.c   which version a moment of the command line is
   capture.c  one capture: the directory as it is becomes the next version

   All stand on ../common/, where the store and the snapshots are (store/, tree/). */
#ifndef DXKEEP_H
#define DXKEEP_H

#include "../common/common.h"
#include "../common/options.h"
#include "../versions/store/store.h"
#include "../versions/tree/tree.h"
#include "freeze.h"

typedef struct keep_options {
    const char   *store;     /* the folder of the store */
    const char   *directory; /* that is captured */
    const char   *moment;    /* restore: which version */
    const char   *target;    /* restore: where to */
    char        **program;   /* run: with its arguments, NULL behind them */
    const char   *name;      /* of the versions in the store */
    uint64_t      quiet_ns;  /* a changed file is captured when it was left alone for so long, */
    uint64_t      hold_ns;   /* or when so much time has passed since its first change */
    uint64_t      scan_ns;   /* everything is looked at so often, whatever was notified; 0: never */
    uint64_t      pause_ns;  /* the program is stopped for so long at most; 0: never */
    uint64_t      grace_ns;  /* the time that the last capture has */
    uint64_t      held_max;  /* bytes that are read meanwhile */
    uint64_t      freeze_pid;    /* daemon: this process and its descendants are stopped; 0: none */
    const char   *freeze_cgroup; /* daemon: this cgroup is frozen; NULL: none */
    bool          no_freeze; /* run: do not stop the program for a capture */
    uint64_t      limit;     /* log: so many versions; 0: all */
    unsigned      workers;   /* threads; 0: one per processor */
    bool          force;     /* restore: replace a directory that is not empty */
    bool          fresh;     /* run: do not restore an empty directory */
    bool          verbose;   /* run: say what was captured */
    bool          quiet;     /* no summary */
    bool          json;      /* print JSON, one object a line */
    prog_list     rules;     /* --include and --exclude, in their order */
    versions_omit omit;      /* what is left out of the directory */
    versions_limits limits;  /* restore, and run before its start: of a version */
} keep_options;

/* >>capture.c ---- */
/* Captures one after another. Zero it, set o and all; the store is opened when it is needed, and
   again after a failure. */
typedef struct keep_capture {
    const keep_options  *o;
    versions_store      *store;
    int                  mark;  /* by which the store is recognized when it is opened again, or 0 */
    bool                 lost;  /* its path does not lead to it any more: nothing is captured */
    versions_version     last;  /* the latest version, if has_last */
    bool                 has_last;
    bool                 added;    /* it was added by the last call */
    bool                 warned;   /* of what versions do not keep */
    bool                 linked;   /* a file has several names: everything is looked at each time */
    bool                 all;      /* the next one has to look at everything, not only at: */
    char               **changed;  /* paths, in no order */
    size_t               changed_count, changed_room;
    versions_stat_cache *seen;     /* by the last one that has looked at everything */
    uint64_t             grown;    /* bytes by which that made the store larger */
    int64_t              began_ns; /* when the last call began to read: the time of its version */
    keep_freezer        *freezer;  /* NULL: nothing is stopped, no version is of one instant */
    bool                 still;    /* nothing runs that writes: no need to stop it */
    /* Note what has changed so far; false: that is not known. */
    bool               (*flush)(void *user);
    void                *flush_user;
    int64_t              whole_from_ns; /* from then on chunks are stored whole; 0: never */
    bool                 stray;    /* something else has written while the program was stopped */
    bool                 gave_up;  /* the program could not be stopped, or not read in time */
    uint64_t             paused_ns; /* how long it was stopped by the last call */
    versions_published   found;    /* by the last call */
} keep_capture;

/* Make the directory as it is the next version, unless it equals the latest one. Killed at any
   moment, the store has all versions up to the one before or up to this one. PROG_NOT_FOUND: there
   is no such directory now. */
int  keep_capture_now(keep_capture *c);
void keep_capture_close(keep_capture *c);
/* The next capture has to look at this path of the directory, and below it; "": at everything. */
void keep_capture_note(keep_capture *c, const char *path);
/* Has something been noted since the last successful one? */
bool keep_capture_is_due(const keep_capture *c);
/* The line, or the object, that says what the last call has done. */
void keep_capture_print(const keep_capture *c);
/* The command. */
int  keep_capture_once(const keep_options *o);

/* >>moment.c ---- */
/* The version that was the latest at a moment: `latest`, a version's number, a time (UTC), or how
   long ago. A message says why there is none. */
int  keep_moment_find(versions_store *s, const keep_options *o, versions_version *out);
/* YYYY-MM-DD HH:MM:SS.mmm in UTC, which keep_moment_find() reads. */
void keep_moment_text(int64_t time_ns, char out[40]);

/* >>log.c, restore.c, run.c: the commands ---- */
int  keep_log(const keep_options *o);
int  keep_restore(const keep_options *o);
/* Write a version to a directory that is missing or empty, or with o->force not. *partial:
   PROG_PARTIAL where it could not take all of it. */
int keep_restore_to(versions_store *s, const versions_version *v, const char *target,
                    const keep_options *o, int *partial);
int  keep_run(const keep_options *o);

/* >>table.c ---- */
enum {
    KEEP_RUN,
    KEEP_DAEMON,
    KEEP_CAPTURE,
    KEEP_LOG,
    KEEP_RESTORE,
    KEEP_VERIFY,
    KEEP_COMMANDS
};

extern const prog_program keep_program;

#endif
