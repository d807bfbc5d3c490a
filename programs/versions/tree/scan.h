/* Scans directories ahead of a walk, on all cores: sorted names, the type of each, and the stat cache's
   knowledge of it. The walk goes depth first and in order, and helps with scanning while it waits. */
#ifndef VERSIONS_TREE_SCAN_H
#define VERSIONS_TREE_SCAN_H

#include "../filter.h"
#include "../../common/os.h"
#include "tree.h"

#include <pthread.h>
#include <sys/stat.h>

typedef struct versions_scan versions_scan; /* a directory, scanned or to be scanned */

typedef struct versions_found { /* a name in a directory */
    const char        *name;
    int                error;  /* errno of stat; if set, nothing else is valid */
    bool               seen;   /* file has the id and level of the last publish */
    mode_t             mode;   /* with its type, as in struct stat */
    uid_t              user;
    gid_t              group;
    uint64_t           device; /* device number, as in struct stat */
    uint64_t           names;  /* hard links, as in struct stat */
    bool               thin;   /* fewer blocks than its size needs: it may have holes */
    versions_stat_file file;
    int64_t            now_ns; /* clock before the stat */
    versions_scan     *dir;    /* of a directory: to enter it; NULL: beyond the limits of paths */
} versions_found;

enum { VERSIONS_SCANNERS_MAX = 8 };

typedef struct versions_ahead {
    versions_stat_cache       *seen;
    const prog_list           *rules; /* paths to leave out, as if they did not exist */
    versions_scan             *first; /* in the order of the walk, from the root */
    size_t                     open;  /* directories with an open descriptor */
    size_t                     open_max;
    size_t                     ahead; /* names in memory */
    bool                       stopping;
    unsigned                   thread_count;
    pthread_t                  threads[VERSIONS_SCANNERS_MAX];
    pthread_mutex_t            lock;
    pthread_cond_t             work, done;
} versions_ahead;

/* Start at the directory fd, which the root then owns. path: of that directory, for the rules; it
   must stay valid, and has depth names. workers 0: one per core. seen: only queried, until versions_ahead_close(). */
versions_scan *versions_ahead_open(versions_ahead *a, int fd, const char *path, size_t depth,
                                   versions_stat_cache *seen, const prog_list *rules, unsigned workers);
/* Wait until the directory was scanned. Returns 0 or errno. */
int versions_ahead_enter(versions_ahead *a, versions_scan *s);
/* The descriptor of a directory, its own stat result, and its entries; valid until it is left. */
int versions_scan_fd(const versions_scan *s);
const versions_found *versions_scan_self(const versions_scan *s);
versions_found *versions_scan_list(versions_scan *s, size_t *count);
/* Free it. All directories in it must have been entered and left. */
void versions_ahead_leave(versions_ahead *a, versions_scan *s);
void versions_ahead_close(versions_ahead *a);

/* In os_posix.c, where os_info has the same flag for a path. */
bool os_is_thin(const struct stat *st);
/* Store the result of stat; name, now_ns and dir are unchanged. */
void versions_found_move(versions_found *f, const struct stat *st);
bool versions_found_same(const versions_found *a, const versions_found *b);

#endif
