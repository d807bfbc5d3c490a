/* dxkeep keeps the history of a directory: versions in a dxup store, one for each captured state. From
   the top:

   main.c     the command line               table.c   its commands and options
   run.c      runs a program, or waits for a signal, and captures the directory meanwhile
   diffkeeper.c  the same by the flags and variables of DiffKeeper
   restore.c  restores the directory
   record.c   what a command changes         replay.c   applies that to another copy
   export.c   writes a version as a tar archive     tar.c  its format
   in_place.c restores a mount point
   log.c      lists versions                 timeline.c  counts them by hours or days
   status.c   summarizes store and daemon    keeper.c    what the daemon tells about itself
   show.c     lists the entries of a version, writes one of its files, compares two versions
   mount.c    shows the versions as folders (FUSE)
   gc.c       removes old versions by a rule     pins.c  versions that stay
   clone.c    where large files are cloned during a stop
   torn.c     why versions are torn, and which files changed meanwhile
   freeze.c   stops and continues the processes that write
   child.c    the program, and the signals that are forwarded to it
   stop_signal.c  which signal ends it
   guard.c    a process between dxkeep and the program, which outlives a kill of dxkeep
   supervise.c  starts dxkeep again when it was killed
   processes.c  lists and ends processes
   hook.c     runs a command before and after a capture
   app.c      --app: a process that holds the locks     app_sqlite.c  those of SQLite databases
   app_postgres.c  online backups of a PostgreSQL server
   app_redis.c  the append-only files of Redis
   ship.c     sends versions to another machine     remote.c  fetches them from there
   metrics.c  counts captures, and serves the counts over HTTP
   table.c    the commands and options           topics.c  what several of them refer to: help
   moment.c   finds the version of a moment that the command line names
   capture.c  one capture: the directory becomes the next version

   All stand on ../common/, on ../versions/ with the store and the snapshots (store/, tree/), and ship.c and
   remote.c on ../sync/. */
#ifndef DXKEEP_H
#define DXKEEP_H

#include "../common/common.h"
#include "../common/options.h"
#include "../versions/store/store.h"
#include "../versions/tree/tree.h"
#include "app.h"
#include "app_postgres.h"
#include "clone.h"
#include "freeze.h"
#include "torn.h"

typedef struct keep_options {
    const char   *store;     /* its folder */
    const char   *directory; /* to capture */
    const char   *moment;    /* restore, export, ls, cat, diff: which version */
    bool          torn;      /* export: also a version that is torn */
    const char   *second;    /* diff: the other version; replay: that before; NULL: the one before */
    const char   *path;      /* ls, cat, restore: in the version; NULL: all of it */
    const char   *target;    /* restore, export, mount: the destination */
    char        **program;   /* run, record: with its arguments, NULL-terminated */
    const char   *name;      /* of the versions in the store */
    uint64_t      quiet_ns;  /* a changed file is captured once it was unchanged for this time, */
    uint64_t      hold_ns;   /* or this long after its first change */
    uint64_t      scan_ns;   /* interval of full scans, which need no notifications; 0: never */
    uint64_t      pause_ns;  /* limit for stopping the program; 0: never stop it */
    uint64_t      grace_ns;  /* time limit of the last capture */
    uint64_t      held_max;  /* bytes that may be held in memory while it is stopped */
    uint64_t      freeze_pid;    /* daemon: stop this process and its descendants; 0: none */
    const char   *freeze_pidfile; /* daemon: the same, and its PID is read from this file; NULL: none */
    const char   *stop_signal;   /* run: that the program gets instead of SIGTERM; NULL: SIGTERM */
    const char   *freeze_cgroup; /* daemon: freeze this cgroup; NULL: none */
    const char   *before_capture; /* a command; NULL: none */
    const char   *after_capture;
    uint64_t      hook_ns;   /* time limit of each hook */
    const char   *app;       /* daemon, capture: a program that holds its data still; NULL: none */
    uint64_t      app_ns;    /* time limit for that, and then for the read */
    const char   *app_connect; /* --app postgres: how psql connects; NULL: as postmaster.pid says */
    bool          supervise; /* run: a process above starts dxkeep again when it was killed */
    bool          no_freeze; /* run: do not stop the program for a capture */
    const char   *keep;      /* gc, run: a rule, which versions stay; NULL: all */
    bool          dry_run;   /* gc */
    bool          remove;    /* pin: end it */
    uint64_t      lag_max_ns; /* status: PROG_REFUSED with more, or without a dxkeep; UINT64_MAX: no limit */
    const char   *by;        /* timeline: minute, hour, day; NULL: what fits */
    uint64_t      limit;     /* log, timeline: number of lines; 0: all */
    unsigned      workers;   /* threads; 0: one per processor */
    bool          whole;     /* no deltas: chunks are stored whole, compressed */
    bool          paranoid;  /* compare content that the store has already */
    bool          smallest;  /* deltas take as much time as they need */
    uint32_t      interval;  /* of interval states of a chunk in a row, one is stored whole; 0: the default */
    const char   *remote;    /* ADDR:PORT[/NAME] of a dxup serve --push; NULL: none */
    uint64_t      behind_max; /* versions that may wait for it; older ones are left out */
    uint64_t      lease_ns;  /* how long the remote waits for this dxkeep before another may take over */
    bool          standby;   /* run, daemon: wait until no other dxkeep has the lease */
    bool          fence;     /* run: the program runs only while this dxkeep has it */
    const char   *metrics;   /* serve metrics at this address; NULL: nowhere */
    bool          force;     /* restore: replace a directory that is not empty */
    bool          fresh;     /* run: do not restore an empty directory */
    bool          verbose;   /* run: report captures */
    bool          quiet;     /* no summary */
    bool          recursive; /* ls: also list subdirectories */
    bool          json;      /* print JSON, one object per line */
    prog_list     rules;     /* --include and --exclude, in order */
    versions_omit omit;      /* kinds of entries and attributes to leave out */
    versions_limits limits;  /* restore, and run before its start: limits for a version */
} keep_options;

#define KEEP_REPLAY_NAME ".dxkeep-replay" /* staging folder of a replay; captures leave it out */
#define KEEP_LOCK_NS INT64_C(1000000000) /* for another dxkeep, which may be about to end */

/* >>capture.c ---- */
/* The state of repeated captures. Zero it, set o and all. The store is opened when it is needed,
   and again after a failure. */
enum { KEEP_AGAIN_MAX = 256, KEEP_RATES = 4 };

/* A histogram of pauses: those up to each limit, and longer ones. */
#define KEEP_PAUSE_LIMITS_MS {1, 2, 5, 10, 20, 30, 50, 100, 200, 500, 1000}
enum { KEEP_PAUSES = 12 };

typedef struct keep_counted { /* since the start, by all reads of captures */
    uint64_t reads, taken_ns; /* how many, and their duration */
    uint64_t bytes, large_files, chunks, known_chunks, deltas;
    uint64_t pauses[KEEP_PAUSES], paused_ns; /* of the program */
} keep_counted;

typedef struct keep_capture {
    const keep_options  *o;
    versions_store      *store;
    int                  mark;  /* identifies the store when it is opened again; 0: none */
    bool                 lost;  /* the path no longer leads to the store: nothing is captured */
    versions_version     last;  /* the latest version, if has_last */
    bool                 has_last;
    uint64_t             own;      /* the latest version that this process added; 0: none */
    bool                 absent;   /* the directory did not exist at the last call */
    bool                 always;   /* add a version also if it equals the latest one */
    bool                 added;    /* the last call added it */
    bool                 warned;   /* about metadata that versions do not keep */
    uint64_t             closed;   /* entries without read permission, which the last version lacks; */
    char                 shut[PROG_PATH_SIZE_MAX + 1]; /* the first of them */
    uint64_t             far;      /* entries beyond the limits of paths, which it lacks, too; */
    char                 farthest[VERSIONS_FAR_SIZE]; /* the first of them */
    bool                 linked;   /* a file has several hard links: each capture looks at everything */
    bool                 all;      /* the next capture looks at everything, otherwise only at: */
    char               **changed;  /* paths, unordered */
    size_t               changed_count, changed_room;
    versions_stat_cache *seen;     /* by the last full capture */
    struct versions_prints *prints; /* of chunks that were read; NULL: none are made */
    uint64_t             grown;    /* bytes by which the store grew then */
    int64_t              began_ns; /* when the last call began to read: the time of its version */
    keep_freezer        *freezer;  /* NULL: nothing is stopped, no version is consistent */
    keep_holder         *holder;   /* --app: holds the data still instead; NULL: none */
    keep_backup         *backup;   /* --app postgres: each capture is an online backup; NULL: none */
    bool                 skipped;  /* changes were noted, and not read: the next capture looks at everything */
    bool                 repaired; /* files that change during this read are, by that backup's log; */
    uint64_t             repaired_count; /* how many */
    keep_aof            *aof;      /* --app redis: finds out if a read saw one moment; NULL: not asked */
    bool                 still;    /* no process writes: no need to stop one */
    /* Note all changes until now. False: they are not completely known; *why has the reason. NULL, with
       a holder: only its files are noted. */
    bool               (*flush)(void *user, keep_torn_reason *why);
    void                *flush_user;
    int64_t              whole_from_ns; /* from then on store chunks whole, not as deltas; 0: never */
    bool                 hooked;   /* the hook before the last call succeeded, or there is none */
    bool                 stray;    /* something else wrote while the program was stopped */
    bool                 gave_up;  /* the program could not be stopped, or not be read in time */
    uint64_t             paused_ns; /* how long the last call stopped it */
    uint64_t             direct_max;   /* up to this many bytes are read at once, see capture.c */
    unsigned             direct_count; /* captures since that was measured */
    uint64_t             held_soon;    /* bytes that the next stop will probably hold */
    uint64_t             rates[KEEP_RATES]; /* bytes a second, which the latest stops read */
    unsigned             rate_count;
    keep_clones          clones;       /* while it stops the program; count 0: files are read */
    unsigned             skip_left, skip_next; /* stops to leave out now, and after the next late one */
    uint64_t             late_bytes; /* read by the latest stop that was too late */
    versions_published   found;    /* by the last call */
    keep_counted         counted;
    uint64_t             files;    /* found by the last full capture */
    bool                 gathers;  /* files that change during every read go to this list: */
    char                *again[KEEP_AGAIN_MAX];
    size_t               again_count;
    keep_torn            torn;     /* why the last version is torn, and files that changed meanwhile */
} keep_capture;

/* Capture the directory as the next version, unless it equals the latest one. After a crash at any
   moment the store has all versions up to the previous one or up to this one. PROG_NOT_FOUND: the
   directory does not exist now. */
int  keep_capture_now(keep_capture *c);
void keep_capture_close(keep_capture *c);
/* The next capture must look at this path of the directory and below it; "": at everything. */
void keep_capture_note(keep_capture *c, const char *path);
/* Was anything noted since the last successful capture? */
bool keep_capture_is_due(const keep_capture *c);
/* Print the result of the last call, as a line or as a JSON object. */
void keep_capture_print(const keep_capture *c);
/* How many entries the last version lacks. As text: "1 entry without read permission (the first is NAME)" */
enum { KEEP_LACKING_SIZE = PROG_PATH_SIZE_MAX + VERSIONS_FAR_SIZE + 200 };
uint64_t keep_capture_lacking(const keep_capture *c);
char *keep_capture_lacking_text(const keep_capture *c, char out[KEEP_LACKING_SIZE]);
/* Fail if the store can neither be there nor be made, or is there and cannot be written; the message ends
   with the consequence. */
int  keep_store_check(const keep_options *o, const char *consequence);
/* --app: the three ways, of which a capture uses the one of its program, or none. */
typedef struct keep_apps {
    keep_holder holder;
    keep_backup backup;
    keep_aof    aof;
} keep_apps;
/* Set them up, and the one of c->o->app in c. */
void keep_apps_open(keep_apps *a, keep_capture *c);
void keep_apps_close(keep_apps *a);
/* The command. */
int  keep_capture_once(const keep_options *o);

/* >>moment.c ---- */
/* Find the version that was the latest at a moment: `latest`, `consistent`, a version's number, a
   time (UTC), or a duration before now. If there is none, a message gives the reason. */
int  keep_moment_find(versions_store *s, const keep_options *o, const char *text,
                      versions_version *out);
/* The same in a list, newest first. */
int  keep_moment_choose(const versions_version *list, size_t count, const char *text,
                        versions_version *out);
/* Parse an age, 90s, 5m, 2h, 3d or 1w, as seconds. False: it is none. */
bool keep_age_parse(const char *text, int64_t *out);
/* PROG_NOT_FOUND: the store has no versions of o->name; the message has the names that it has. */
int  keep_fail_no_versions(versions_store *s, const keep_options *o);
/* Format as YYYY-MM-DD HH:MM:SS.mmm in UTC, which keep_moment_find() parses. */
void keep_moment_text(int64_t time_ns, char out[40]);

/* >>log.c, show.c, restore.c, export.c, mount.c, gc.c, run.c, record.c, replay.c: the commands ---- */
int  keep_log(const keep_options *o);
int  keep_ls(const keep_options *o);
int  keep_cat(const keep_options *o);
int  keep_diff(const keep_options *o);
int  keep_restore(const keep_options *o);
/* Write a version, or o->path of it, to a directory that is missing or empty, or with o->force to any
   directory or file. *partial:
   PROG_PARTIAL if the file system could not store all of it. */
int keep_restore_to(versions_store *s, const versions_version *v, const char *target,
                    const keep_options *o, int *partial);
int  keep_export(const keep_options *o);
int  keep_mount(const keep_options *o);
/* "fuse 3.14.0", or "no fuse". */
const char *keep_mount_library(void);
int  keep_status(const keep_options *o);
int  keep_timeline(const keep_options *o);
int  keep_collect(const keep_options *o);
int  keep_pin(const keep_options *o);
int  keep_run(const keep_options *o);
int  keep_record(const keep_options *o);
int  keep_replay(const keep_options *o);

/* >>table.c ---- */
enum {
    KEEP_RUN,
    KEEP_DAEMON,
    KEEP_CAPTURE,
    KEEP_LOG,
    KEEP_LS,
    KEEP_CAT,
    KEEP_DIFF,
    KEEP_RESTORE,
    KEEP_EXPORT,
    KEEP_MOUNT,
    KEEP_VERIFY,
    KEEP_GC,
    KEEP_PIN,
    KEEP_STATUS,
    KEEP_TIMELINE,
    KEEP_RECORD,
    KEEP_REPLAY,
    KEEP_COMMANDS
};

/* >>topics.c ---- */
enum { KEEP_TOPICS = 5 };
extern const prog_topic keep_topics[KEEP_TOPICS];

extern const prog_program keep_program;

#endif
