/* A destination that is replaced atomically. The new content goes to a staging file or directory
   beside it, which is locked, checked, synced and renamed:

       DIR/NAME                the destination
       DIR/.NAME.dxup-part     the staging file or directory
       DIR/.NAME.dxup-lock     while a process looks at the destination and replaces it
       DIR/.NAME.dxup-old      what the old one was, until it is removed
       DIR/NAME.dxup-kept      the old one, if it was changed while it was being replaced
       DIR/.NAME.dxup-part-of  the hash of the file that the staging file is the front of
       DIR/.NAME.dxup          which version was pulled last
       DIR/.NAME.dxup-sync     what a pull of a snapshot has fetched so far
       DIR/.NAME.dxup-seen     sizes, times, hashes and chunks of its files after the last pull
                               (stat_cache.c)

   A staging file that a killed process left is resumed if it is of the same content, and emptied
   otherwise, so nothing piles up. */
#ifndef VERSIONS_DEST_H
#define VERSIONS_DEST_H

#include "inventory.h"

#include "../common/common.h"

typedef struct versions_dest {
    int      kind;                   /* PROG_FILE, PROG_TREE */
    int      fd;                     /* of the staging file or directory; -1: closed */
    int      entry_fd;               /* tree: the file being written, or -1 */
    int      state;                  /* tree: what the next bytes of the stream are */
    unsigned mode;
    char     path[PROG_PATH_SIZE_MAX + 1];
    char     staging[PROG_PATH_SIZE_MAX + 64]; /* beside path, locked while open */
    uint8_t  head[16];               /* tree: of the entry */
    char     entry[PROG_PATH_SIZE_MAX + 1]; /* tree: path of the entry being read */
    char     target[PROG_PATH_SIZE_MAX + 1]; /* tree: a link's target */
    char     last[PROG_PATH_SIZE_MAX + 1];  /* tree: the previous entry; order is strict */
    char     dir[PROG_PATH_SIZE_MAX + 1];   /* tree: the directory that is open for entries */
    uint16_t dir_mode[PROG_DEPTH_MAX + 1];  /* tree: set when the directory is left */
    size_t   have;                   /* tree: bytes of head, entry or target so far */
    size_t   entry_size;             /* tree: bytes of the path */
    size_t   depth;                  /* tree: of dir; 0: before the root */
    struct versions_modes *modes;  /* tree: those that the system does not keep */
    uint64_t left;                   /* tree: bytes of content still to come */
    uint64_t entries, bytes;         /* tree: so far, the bytes as their heads declare them */
    uint64_t entries_max, bytes_max; /* tree: the caller's, after versions_dest_open(): a stream with
                                        more is refused (PROG_REFUSED); 0: no limit */
    uint64_t kept; /* bytes in the staging file already; read d->fd to its end before writing */
    versions_removal removal; /* of the old directory; the caller's, after versions_dest_open() */
    bool     keep; /* versions_dest_abandon() leaves it to the next one with the same content */
} versions_dest;

/* Held from the first look at a destination until it is replaced: other processes are refused, and
   what changes meanwhile is noticed. */
typedef struct versions_guard {
    int                 lock; /* -1: none, as nothing can be written beside the destination */
    versions_inventory *before;
    char                lock_path[PROG_PATH_SIZE_MAX + 64];
} versions_guard;
/* PROG_REFUSED: another process is at work. Close it in any case. */
int  versions_guard_open(versions_guard *g, const char *path);
/* The same in two steps: the caller may set `before` to an inventory of its own in between, of the
   destination as it is after the first. Where lock is -1 the second makes an empty one. */
int  versions_guard_lock(versions_guard *g, const char *path);
int  versions_guard_look(versions_guard *g, const char *path);
void versions_guard_close(versions_guard *g);

/* Did an interrupted process leave a staging file beside path that can be resumed? */
int versions_dest_find_staging(versions_dest *d, const char *path, bool *there);
/* Could a staging directory be opened now, or has another process one there? */
bool versions_dest_is_free(const versions_dest *d);
/* Refuse a path where something of another kind is: a directory is not replaced by a file, nor a
   file by a directory. */
int versions_dest_check(const char *path, int kind);
/* Open the staging file or directory beside path. path does not change before commit. content:
   NULL, or the hash of the file to be written; a staging file of the same content is resumed
   (d->kept), and this one can be. */
int versions_dest_open(versions_dest *d, const char *path, int kind, unsigned mode,
                       const uint8_t *content);
/* Write, or read, the record of the version that was pulled last to the path given to
   versions_dest_find_staging(). */
int versions_dest_record(const versions_dest *d, const char *name, uint64_t version,
                         const uint8_t *hash);
bool versions_dest_recorded(const versions_dest *d, const char *name, uint64_t *version,
                            uint8_t *hash);
/* Another name beside the destination: DIR/.NAME.dxup and the suffix. */
void versions_dest_beside(const versions_dest *d, const char *suffix,
                          char out[PROG_PATH_SIZE_MAX + 64]);
/* Remove what has that name, unless another process is about to replace the destination. */
int  versions_dest_remove_beside(const versions_dest *d, const char *suffix);
/* Do not resume: empty the staging file. */
int  versions_dest_restart(versions_dest *d);
/* The next bytes: content of a file, or stream of a tree, which is checked and unpacked. */
int  versions_dest_write(versions_dest *d, const void *bytes, size_t size);
/* The order of a walk, depth first and sorted by name: '/' is below every other byte, so that a
   directory's entries follow it. */
int  versions_compare_paths(const char *a, const char *b);
/* The caller has made the tree below d->fd by itself, and it is complete. */
int  versions_dest_filled(versions_dest *d, unsigned mode);
/* Sync a file and replace path atomically, whatever is there. After an error path is as before. */
int  versions_dest_commit(versions_dest *d);
/* The same of a file or directory that others may write to. PROG_REFUSED: it is not as it was in `before`
   (which has said how); then it is as it is, or the new content is there, and the old one was kept
   beside it. */
int  versions_dest_replace(versions_dest *d, const versions_inventory *before);
/* Sync it and put it in the place of a directory of the old tree, `name` in the open folder: all
   else of that tree stays. mtime_ns: the time of the folder, which does not change; NULL: it does.
   *refused: the system does not allow that there, so nothing has changed and nothing was said; the
   whole tree may still be replaced. before, at: as of versions_dest_replace(), and the path of the
   old one in it. POSIX only. */
int versions_dest_replace_in(versions_dest *d, int folder, const char *name,
                             const int64_t *mtime_ns, const versions_inventory *before,
                             const char *at, bool *refused);
/* Remove the staging file or directory, unless d->keep. Safe after commit. */
void versions_dest_abandon(versions_dest *d);

#endif
