/* A destination that is replaced atomically. New content goes to a staging file or directory in the
   same parent directory, which is locked, checked, synced and renamed:

       DIR/NAME                the destination
       DIR/.NAME.dxup-part     the staging file or directory
       DIR/.NAME.dxup-lock     held while a process inspects and replaces the destination
       DIR/.NAME.dxup-old      the inventory of the old destination, until that is removed
       DIR/NAME.dxup-kept      the old destination, if it was changed while it was being replaced
       DIR/.NAME.dxup-part-of  the hash of the complete file whose beginning the staging file holds
       DIR/.NAME.dxup          the version that was pulled last
       DIR/.NAME.dxup-sync     the objects that a pull of a snapshot has fetched
       DIR/.NAME.dxup-seen     sizes, times, hashes and chunks of its files after the last pull
                               (stat_cache.c)

   A staging file of a killed process is resumed if it belongs to the same content, and emptied
   otherwise, so nothing accumulates. */
#ifndef VERSIONS_DEST_H
#define VERSIONS_DEST_H

#include "inventory.h"

#include "../common/common.h"

typedef struct versions_dest {
    int      kind;                   /* PROG_FILE, PROG_TREE */
    int      fd;                     /* of the staging file or directory; -1: closed */
    int      entry_fd;               /* tree: the file being written, or -1 */
    int      state;                  /* tree: the meaning of the next bytes of the stream */
    unsigned mode;
    char     path[PROG_PATH_SIZE_MAX + 1];
    char     staging[PROG_PATH_SIZE_MAX + 64]; /* in the same directory as path, locked while open */
    uint8_t  head[16];               /* tree: of the entry */
    char     entry[PROG_PATH_SIZE_MAX + 1]; /* tree: path of the entry being read */
    char     target[PROG_PATH_SIZE_MAX + 1]; /* tree: a link's target */
    char     last[PROG_PATH_SIZE_MAX + 1];  /* tree: the previous entry; the order is strict */
    char     dir[PROG_PATH_SIZE_MAX + 1];   /* tree: the directory that is open for entries */
    uint16_t dir_mode[PROG_DEPTH_MAX + 1];  /* tree: applied when the directory is left */
    size_t   have;                   /* tree: bytes received of head, path or target */
    size_t   entry_size;             /* tree: bytes of the path */
    size_t   depth;                  /* tree: of dir; 0: before the root */
    struct versions_modes *modes;  /* tree: modes that the system cannot store */
    uint64_t left;                   /* tree: bytes of content still to come */
    uint64_t entries, bytes;         /* tree: entries, and the bytes that their heads declare */
    uint64_t entries_max, bytes_max; /* tree: set by the caller after versions_dest_open(): a stream with
                                        more is refused (PROG_REFUSED); 0: no limit */
    uint64_t kept; /* bytes in the staging file already; read d->fd to its end before writing */
    versions_removal removal; /* of the old directory; set by the caller after versions_dest_open() */
    bool     keep; /* versions_dest_abandon() keeps it, so that it can be resumed */
} versions_dest;

/* Held from the first inspection of a destination until it is replaced: other processes are refused,
   and changes in between are detected. */
typedef struct versions_guard {
    int                 lock; /* -1: none, the parent directory is not writable */
    versions_inventory *before;
    char                lock_path[PROG_PATH_SIZE_MAX + 64];
} versions_guard;
/* PROG_REFUSED: another process holds it. Close it in any case. */
int  versions_guard_open(versions_guard *g, const char *path);
/* The same in two steps. In between the caller may set `before` to its own inventory of the destination
   as it is after the first step. With lock -1 the second step makes an empty inventory. */
int  versions_guard_lock(versions_guard *g, const char *path);
int  versions_guard_check(versions_guard *g, const char *path);
void versions_guard_close(versions_guard *g);

/* Did an interrupted process leave a staging file for path that can be resumed? */
int versions_dest_find_staging(versions_dest *d, const char *path, bool *there);
/* Could a staging directory be opened now, or does another process hold one? */
bool versions_dest_is_free(const versions_dest *d);
/* Refuse to replace a directory by a file, or a file by a directory. */
int versions_dest_check(const char *path, int kind);
/* Open the staging file or directory for path. path does not change before commit. content: NULL, or
   the hash of the file to be written; a staging file of the same content is then resumed (d->kept),
   and this one can be resumed later. */
int versions_dest_open(versions_dest *d, const char *path, int kind, unsigned mode,
                       const uint8_t *content);
/* Write or read the record of the version that was pulled last, for the path given to
   versions_dest_find_staging(). Reading with name NULL accepts any name. owner: owners, and the rights
   that depend on them, were restored. */
int versions_dest_record(const versions_dest *d, const char *name, uint64_t version,
                         const uint8_t *hash, bool owner);
bool versions_dest_recorded_owner(const versions_dest *d);
bool versions_dest_recorded(const versions_dest *d, const char *name, uint64_t *version,
                            uint8_t *hash);
/* The same, and the name that it was pulled under: NAME, NAME@VERSION or NAME@TAG. */
bool versions_dest_recorded_as(const versions_dest *d, char name[PROG_NAME_SIZE_MAX + 1],
                               uint64_t *version, uint8_t *hash);
/* Another name in the directory of the destination: DIR/.NAME.dxup plus the suffix. */
void versions_dest_beside(const versions_dest *d, const char *suffix,
                          char out[PROG_PATH_SIZE_MAX + 64]);
/* Remove the file or directory of that name, unless another process is replacing the destination. */
int  versions_dest_remove_beside(const versions_dest *d, const char *suffix);
/* Do not resume: empty the staging file. */
int  versions_dest_restart(versions_dest *d);
/* Write the next bytes: content of a file, or the stream of a tree, which is checked and unpacked. */
int  versions_dest_write(versions_dest *d, const void *bytes, size_t size);
/* The order of a depth-first walk, sorted by name: '/' sorts before every other byte, so the entries of
   a directory follow it. */
int  versions_compare_paths(const char *a, const char *b);
/* Tell it that the caller itself has created the tree below d->fd completely. */
int  versions_dest_filled(versions_dest *d, unsigned mode);
/* Sync a file and replace path atomically, without checking for changes. After an error path is
   unchanged. */
int  versions_dest_commit(versions_dest *d);
/* The same for a file or directory that others may write to. PROG_REFUSED: it differs from `before`,
   and the changes have been printed. Then either it is unchanged, or it has the new content and the
   old one was kept under another name. */
int  versions_dest_replace(versions_dest *d, const versions_inventory *before);
/* Sync it and replace one directory of the old tree, `name` in the open folder; the rest of that tree
   stays. mtime_ns: the time to restore on the folder; NULL: let it change. *refused: the system does
   not allow it there; nothing was changed or printed, and the caller can still replace the whole tree.
   before, at: as for versions_dest_replace(), and the path of the old directory in it. POSIX only. */
int versions_dest_replace_in(versions_dest *d, int folder, const char *name,
                             const int64_t *mtime_ns, const versions_inventory *before,
                             const char *at, bool *refused);
/* Remove the staging file or directory, unless d->keep. Safe after commit. */
void versions_dest_abandon(versions_dest *d);

#endif
