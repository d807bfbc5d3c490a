/* --app postgres: a capture of a server that runs is an online backup. The server writes all that is needed
   to repair the files that change while they are read to its log (WAL), which is read last:

       server    | start: checkpoint ................................. stop | log is kept ...
       dxkeep                         | read all that changed, pg_control |      | read the log, add the label

   The label names the checkpoint at which recovery begins. It is only in the version, not in the directory. */
#ifndef DXKEEP_APP_POSTGRES_H
#define DXKEEP_APP_POSTGRES_H

#include "../common/common.h"
#include "../common/options.h"
#include "../versions/store/store.h"
#include "torn.h"

#include <sys/types.h>

enum { KEEP_ANSWER_MAX = 65536 };

typedef struct keep_backup {
    const char *directory, *store;
    const char *connect;   /* for psql; NULL: what postmaster.pid says */
    uint64_t    limit_ns;  /* for the server to begin, and again to end */
    bool        quiet;
    pid_t       pid;       /* of psql; 0: none */
    int         fd;        /* to psql, and from it */
    unsigned    version;   /* of the server: 150004 is 15.4 */
    uint64_t    start, stop; /* positions in the log: the log between them is needed */
    uint32_t    timeline, segment_size;
    uint64_t    waited_ns; /* for the server, by the last capture */
    char       *state;     /* of all transactions, at the begin of this capture */
    char       *kept;      /* the same, of the last consistent version; NULL: none */
    char        staging[PROG_PATH_SIZE_MAX + 32]; /* a folder with the files that are only in the version */
    char        why[400];  /* the reason for a failure */
    char        said[512]; /* the last warning: it is not repeated */
    char        answer[KEEP_ANSWER_MAX];
} keep_backup;

typedef enum keep_backup_state {
    KEEP_BACKUP_BEGUN,   /* the files may be read now */
    KEEP_BACKUP_SAME,    /* nothing was committed since the last consistent version */
    KEEP_BACKUP_AT_REST, /* no server runs */
    KEEP_BACKUP_FAILED,  /* a message says why, and *t has the reason: the version is torn */
    KEEP_BACKUP_REFUSED  /* a message says why: nothing can be captured like this */
} keep_backup_state;

/* Put the rules first that leave out what belongs to one run of a server. PROG_USAGE: there are too many. */
int  keep_backup_leave_out(prog_list *rules);
/* Is this a file that the server writes about its work, so that it must not cause a capture? */
bool keep_backup_ignores(const char *path);
keep_backup_state keep_backup_begin(keep_backup *b, keep_torn *t);
/* The files whose content in the version comes from the staging folder, not from the directory. */
void keep_backup_own_files(void (*each)(void *user, const char *path), void *user);
/* Everything was read: end the backup, and fill the staging folder. False: it does not count. */
bool keep_backup_end(keep_backup *b, keep_torn *t);
/* The files of the log that the version needs. */
void keep_backup_log_files(const keep_backup *b, void (*each)(void *user, const char *path), void *user);
/* Does this snapshot have the log, pg_control and the label? Then the next capture is compared with it. */
bool keep_backup_is_whole(keep_backup *b, versions_store *s, const uint8_t root[32], keep_torn *t);
/* Is there no server, still? */
bool keep_backup_is_at_rest(keep_backup *b, keep_torn *t);
/* Note that the version is torn because of this. Returns false. */
bool keep_backup_fail(keep_backup *b, keep_torn *t, const char *why);
/* End psql, and with it a backup that has not ended; remove the staging folder. */
void keep_backup_clean(keep_backup *b);
/* And forget the last version. */
void keep_backup_close(keep_backup *b);

#endif
