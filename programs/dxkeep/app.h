/* --app NAME: a program that dxkeep did not start and does not stop holds its own data still for a capture,
   or makes it restorable, by means that are the program's own. */
#ifndef DXKEEP_APP_H
#define DXKEEP_APP_H

#include "../common/common.h"
#include "../common/options.h"
#include "../versions/tree/tree.h"
#include "torn.h"

#include <sys/types.h>

/* >>app.c ---- */
/* PROG_USAGE, with a message: app is not the name of one, or this build lacks it. NULL: none. */
int keep_app_check(const char *app);
/* Is it postgres, which is captured by app_postgres.c, without locks? */
bool keep_app_is_backup(const char *app);
/* Is it redis, whose files app_redis.c compares before and after a read? */
bool keep_app_is_aof(const char *app);
/* Patterns of what is left out of versions, NULL at the end: it is made again, or is not complete yet. */
const char *const *keep_app_left_out(const char *app);

typedef struct keep_database {
    char *path; /* relative to the directory */
    dev_t device;
    ino_t inode;
} keep_database;

/* Files that are no databases, by inode and time of the last change: they are not opened again. */
typedef struct keep_plain_files {
    uint64_t *slots; /* fingerprints, 0: empty; a power of two of them */
    size_t    count, room;
} keep_plain_files;

typedef struct keep_databases {
    keep_database   *list;
    size_t           count, room;
    const prog_list *rules;
    bool             missed; /* a directory could not be looked at */
    keep_plain_files *plain; /* or NULL */
    size_t           looked; /* number of files */
} keep_databases;

/* A process that holds the locks of all SQLite databases below a directory: POSIX locks end when their
   process closes any descriptor of the file, as one that reads all files does. */
typedef struct keep_holder {
    const char      *directory;
    const prog_list *rules; /* paths that are left out */
    bool             quiet;
    pid_t            pid;   /* 0: nothing is held */
    int              fd;    /* to the process, and from it */
    keep_databases   held;
    keep_plain_files plain;
    char             said[512]; /* the last warning: it is not repeated */
} keep_holder;

/* Lock all databases: until the release no transaction begins, and nothing is written to them. False: not
   all, or not before until_ns (prog_now_ns()), and nothing is held; a message names the database, and *t
   gets it. */
bool keep_hold(keep_holder *h, int64_t until_ns, keep_torn *t);
/* The files that belong to the locked databases, whether they exist or not. */
void keep_hold_files(const keep_holder *h, void (*each)(void *user, const char *path), void *user);
/* End the locks. False: since the call a database came or was replaced, or the locks had ended before: what
   was read meanwhile may be of several moments. */
bool keep_release(keep_holder *h, keep_torn *t);
void keep_holder_close(keep_holder *h);

/* >>app_sqlite.c ---- */
/* Is the library linked? */
bool keep_sqlite_is_there(void);
/* "sqlite 3.40.1", or "no sqlite". */
const char *keep_sqlite_library(void);
/* Add all databases below a directory, in the order of their paths. False: it cannot be searched. It opens
   and closes all files that are not in `plain`, and adds them. */
bool keep_sqlite_find(keep_databases *h, const char *directory, const prog_list *rules, keep_plain_files *plain);
void keep_sqlite_forget(keep_plain_files *plain);
/* Lock them, until this process ends. Returns the reason why one is not, or NULL. */
const char *keep_sqlite_lock(const keep_databases *h, const char *directory, int64_t until_ns,
                             size_t *failed);

/* >>app_redis.c ---- */
/* The append-only files below a directory. Nothing is held: it is found out whether a read saw one moment. */
typedef struct keep_aof {
    const char          *directory;
    const prog_list     *rules;    /* paths that are left out */
    bool                 quiet;
    struct keep_aof_log *logs;
    size_t               count, room;
    size_t               dumps;    /* RDB files */
    versions_prefix     *prefixes; /* what is complete of the files that grow */
    size_t               prefix_count;
    bool                 passing;  /* the failure may be over at the next attempt */
    char                *path;     /* of the failure, relative to the directory */
    char                 why[224];
    char                 said[512]; /* the last warning: it is not repeated */
} keep_aof;

/* Find the files, and what is complete of them. False: they cannot be read as of one moment. */
bool keep_aof_begin(keep_aof *a);
/* The files that the read must look at. */
void keep_aof_files(const keep_aof *a, void (*each)(void *user, const char *path), void *user);
/* Did a read since then see one moment? */
bool keep_aof_end(keep_aof *a);
/* That read became a consistent version. */
void keep_aof_settle(keep_aof *a);
/* Warn about the failure, and note it. */
void keep_aof_report(keep_aof *a, keep_torn *t);
void keep_aof_close(keep_aof *a);

#endif
