/* Scans directories ahead of a walk, on all cores: the names in order, what each is, and what the
   cache knows of it. The walk goes depth first and in order, and helps scanning while it waits. */
#ifndef DXUP_TREE_SCAN_H
#define DXUP_TREE_SCAN_H

#include "../filter.h"
#include "../os.h"
#include "tree.h"

#include <pthread.h>
#include <sys/stat.h>

typedef struct dxup_scan dxup_scan; /* a directory that is looked at, or will be */

typedef struct dxup_found { /* what has a name in a directory */
    const char    *name;
    int            error;  /* errno of the look: then nothing else is known */
    bool           seen;   /* file has the id and level of the last publish */
    mode_t         mode;   /* with its type, as in struct stat */
    uid_t          user;
    gid_t          group;
    uint64_t       device; /* of a device: its number, as in struct stat */
    bool           linked; /* it has other names */
    bool           thin;   /* fewer blocks than its size takes: it may have holes */
    dxup_seen_file file;
    int64_t        now_ns; /* the time, before the look */
    dxup_scan     *dir;    /* of a directory: to be entered */
} dxup_found;

enum { DXUP_SCANNERS_MAX = 8 };

typedef struct dxup_ahead {
    const dxup_seen *seen;
    const prog_list *rules; /* which paths are left out; as if they were not there */
    dxup_scan       *first; /* in the order of the walk, from the root on */
    size_t           open;  /* directories that have a descriptor */
    size_t           open_max;
    size_t           ahead; /* names in memory */
    bool             stopping;
    unsigned         thread_count;
    pthread_t        threads[DXUP_SCANNERS_MAX];
    pthread_mutex_t  lock;
    pthread_cond_t   work, done;
} dxup_ahead;

/* From the directory fd on, which is the root's now. path: of that directory, for the rules; it
   stays as it is. workers 0: one for each core. seen is only read, until dxup_ahead_close(). */
dxup_scan *dxup_ahead_open(dxup_ahead *a, int fd, const char *path, const dxup_seen *seen,
                           const prog_list *rules, unsigned workers);
/* Wait until all that is in the directory was looked at. 0, or errno. */
int        dxup_ahead_enter(dxup_ahead *a, dxup_scan *s);
/* Its descriptor, what it is itself, and what is in it; until it is left. */
int        dxup_scan_fd(const dxup_scan *s);
const dxup_found *dxup_scan_self(const dxup_scan *s);
dxup_found *dxup_scan_list(dxup_scan *s, size_t *count);
/* Free it. All directories in it were entered and left before. */
void       dxup_ahead_leave(dxup_ahead *a, dxup_scan *s);
void       dxup_ahead_close(dxup_ahead *a);

/* In os_posix.c, where os_info has the same of a path. */
bool       os_is_thin(const struct stat *st);
/* Keep what stat has said; name, now_ns and dir stay. */
void       dxup_found_take(dxup_found *f, const struct stat *st);
bool       dxup_found_same(const dxup_found *a, const dxup_found *b);

#endif
