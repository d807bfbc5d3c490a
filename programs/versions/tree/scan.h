/* Scans directories ahead of a walk, on all cores: the names in order, what each is, and what the
   cache knows of it. The walk goes depth first and in order, and helps scanning while it waits. */
#ifndef VERSIONS_TREE_SCAN_H
#define VERSIONS_TREE_SCAN_H

#include "../filter.h"
#include "../../common/os.h"
#include "tree.h"

#include <pthread.h>
#include <sys/stat.h>

typedef struct versions_scan versions_scan; /* a directory that is looked at, or will be */

typedef struct versions_found { /* what has a name in a directory */
    const char        *name;
    int                error;  /* errno of the look: then nothing else is known */
    bool               seen;   /* file has the id and level of the last publish */
    mode_t             mode;   /* with its type, as in struct stat */
    uid_t              user;
    gid_t              group;
    uint64_t           device; /* of a device: its number, as in struct stat */
    uint64_t           names;  /* how many, as struct stat has it */
    bool               thin;   /* fewer blocks than its size takes: it may have holes */
    versions_stat_file file;
    int64_t            now_ns; /* the time, before the look */
    versions_scan     *dir;    /* of a directory: to be entered */
} versions_found;

enum { VERSIONS_SCANNERS_MAX = 8 };

typedef struct versions_ahead {
    versions_stat_cache       *seen;
    const prog_list           *rules; /* which paths are left out; as if they were not there */
    versions_scan             *first; /* in the order of the walk, from the root on */
    size_t                     open;  /* directories that have a descriptor */
    size_t                     open_max;
    size_t                     ahead; /* names in memory */
    bool                       stopping;
    unsigned                   thread_count;
    pthread_t                  threads[VERSIONS_SCANNERS_MAX];
    pthread_mutex_t            lock;
    pthread_cond_t             work, done;
} versions_ahead;

/* From the directory fd on, which is the root's now. path: of that directory, for the rules; it
   stays as it is. workers 0: one for each core. seen: only asked, until versions_ahead_close(). */
versions_scan *versions_ahead_open(versions_ahead *a, int fd, const char *path, versions_stat_cache *seen,
                                   const prog_list *rules, unsigned workers);
/* Wait until all that is in the directory was looked at. 0, or errno. */
int versions_ahead_enter(versions_ahead *a, versions_scan *s);
/* Its descriptor, what it is itself, and what is in it; until it is left. */
int versions_scan_fd(const versions_scan *s);
const versions_found *versions_scan_self(const versions_scan *s);
versions_found *versions_scan_list(versions_scan *s, size_t *count);
/* Free it. All directories in it were entered and left before. */
void versions_ahead_leave(versions_ahead *a, versions_scan *s);
void versions_ahead_close(versions_ahead *a);

/* In os_posix.c, where os_info has the same of a path. */
bool os_is_thin(const struct stat *st);
/* Keep what stat has said; name, now_ns and dir stay. */
void versions_found_take(versions_found *f, const struct stat *st);
bool versions_found_same(const versions_found *a, const versions_found *b);

#endif
