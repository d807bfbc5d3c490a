/* Directories as snapshots in the store (docs/formats/tree.md, through layers/dx_tree.h). Stands
   on store/.

   objects.c       reads parts of files and directories; walks all objects of a snapshot
   entries.c       the entries of any version that is a tree, by their paths (entries.h)
   show.c          prints entries and files, for `ls` and `cat` (show.h)
   entry_reader.c  reads a file of such a version at any offset (entry_reader.h)
   stream.c        a snapshot as the stream of bytes that README.md specifies, at any offset
   content.c       the content of any version, file or directory, as one stream (content.h)
   publish*.c      make a snapshot of a directory (publish.h), with
       scan.c          directories, scanned ahead of the walk
       stat_cache.c    the files that the last publish saw
       metadata.c      owners, holes, attributes     links.c   hard links
       batch.c         hashes and compresses on all cores
   restore.c       writes a snapshot as a directory
       apply.c         owners, attributes, modes, times
       link_targets.c  finds the first name of a hard link
       restore_file.c  writes one file
       report.c        lists items that could not be restored
   missing.c       finds the missing objects of a snapshot
   seeds.c         chunks read from a directory's files
   scope.c         finds the part that has to be replaced (scope.h)
   verify.c        checks a store with all its content
   no_snapshots.c  replaces these where they are impossible

   Publishing and restoring need POSIX directory descriptors. Without them (VERSIONS_NO_SNAPSHOTS)
   directories are published as streams, and snapshots can still be read. */
#ifndef VERSIONS_TREE_H
#define VERSIONS_TREE_H

#include "../../common/common.h" /* first: it defines _GNU_SOURCE */
#include "../dest.h"
#include "../../common/options.h"
#include "../../common/os.h"
#include "../store/slots.h"
#include "../store/store.h"

#include "../../../layers/dx_tree.h"

#if defined(_WIN32) && !defined(VERSIONS_NO_SNAPSHOTS)
#define VERSIONS_NO_SNAPSHOTS
#endif
#ifdef VERSIONS_NO_SNAPSHOTS
enum {
    VERSIONS_HAS_SNAPSHOTS = 0
}; /* 0: do not call functions of publish*.c, restore.c and stat_cache.c */
#else
enum { VERSIONS_HAS_SNAPSHOTS = 1 };
#endif

enum {
    VERSIONS_CHUNK_MIN = 8 << 10,
    VERSIONS_CHUNK_AVG = 32 << 10,
    VERSIONS_CHUNK_MAX = 128 << 10, /* of files */
    VERSIONS_STREAM_EXTRA = 8 + 16 + 16, /* of the stream: its magic, the root's head, the end */
    VERSIONS_EAGER_MAX = 64 << 20 /* a smaller stream is hashed when it is published */
};

/* Items that a publish or a restore leaves out. */
typedef struct versions_omit {
    bool owner;      /* and the rights that depend on it: setuid, setgid, capabilities, devices */
    bool times;
    bool xattrs;
    bool hard_links;
    bool sparse;
    bool specials;   /* fifos and devices */
    bool numeric;    /* names of owners: only their numbers are used */
} versions_omit;

/* Limits for untrusted snapshots. 32 small objects can name 2^31 directories, so the sums that the
   root declares are checked before anything is written, and everything below must stay within them.
   0: only these sums limit it. */
typedef struct versions_limits {
    uint64_t entries_max; /* below the root, at any depth */
    uint64_t size_max;    /* bytes of its files and names; holes count as zeros */
} versions_limits;

enum { VERSIONS_ENTRIES_MAX = 10000000 };           /* default of --entries-max, */
#define VERSIONS_SIZE_MAX (UINT64_C(1) << 40)       /* and of --size-max: 1 TiB */

/* >>objects.c ---- */
/* PROG_REFUSED: the root declares more than the limits. */
int versions_limits_check(const versions_limits *limits, const dx_tree_entry *root);
/* The content of an entry in parts: chunks of a file, pieces of a directory. Up to
   DX_TREE_LEVELS_MAX levels of id lists lead to them; the last list of each level is cached. */
typedef struct versions_parts {
    versions_store *store;
    uint8_t         id[32];
    unsigned        level;
    uint64_t        size; /* total bytes; DX_TREE_ANY_SIZE until the first part was found */
    struct {
        uint8_t          *bytes;
        dx_tree_list_view view;
        uint64_t          start;
        uint32_t          child; /* the last one found, and where it starts: */
        uint64_t          child_start;
        bool              loaded;
    } nodes[DX_TREE_LEVELS_MAX];
} versions_parts;

void versions_parts_open(versions_parts *p, versions_store *s, const dx_tree_entry *e);
void versions_parts_close(versions_parts *p);
/* Find the part that holds the byte at offset: id points into p. size 0: unknown
   (there is only one). */
int  versions_parts_find(versions_parts *p, uint64_t offset, const uint8_t **id, uint64_t *start,
                         uint64_t *size);

/* Iterates over the entries of a directory. */
typedef struct versions_listing {
    versions_parts parts;
    dx_tree_reader reader;
    dx_tree_entry  sum;   /* of the entries so far */
    dx_tree_entry  dir;
    uint8_t       *piece; /* DX_TREE_PIECE_SIZE_MAX bytes */
    uint64_t       at;    /* bytes of the directory so far */
    bool           begun;
    bool           sought; /* entries were skipped, so the sum of the others is less */
} versions_listing;

void versions_listing_open(versions_listing *l, versions_store *s, const dx_tree_entry *dir);
void versions_listing_close(versions_listing *l);
/* PROG_OK and an entry, or *end. The entry's name and data are valid until the next call. An entry
   that makes the directory larger than declared is an error, and not returned. */
int  versions_listing_next(versions_listing *l, dx_tree_entry *out, bool *end);
/* At the start of a listing: the first entry whose name is not below this one, or *end. Reads as few
   pieces as a binary search does, so sums and order of the entries before it are not checked. */
int  versions_listing_seek(versions_listing *l, const void *name, size_t name_size,
                           dx_tree_entry *out, bool *end);
/* A directory's entry, without the name and data that point into its listing: it stays valid. */
dx_tree_entry versions_listing_detach(const dx_tree_entry *dir);
/* Advance to the entry with the name of e; names must be requested in order. *at is the current
   entry, zero at first. False: not found, or it cannot be read. */
bool versions_listing_find(versions_listing *l, dx_tree_entry *at, bool *end,
                           const dx_tree_entry *e);
/* Read and check the root of a snapshot. extras: DX_TREE_EXTRAS_MAX bytes for those of the root;
   NULL: drop them. */
int versions_snapshot_root(versions_store *s, const uint8_t id[32], dx_tree_entry *out,
                           uint8_t *extras);
/* Get the holes (kind DX_TREE_HOLES) or attributes (DX_TREE_XATTRS) of an entry: *bytes points into
   the entry or into buffer, which has DX_TREE_EXTRA_SIZE_MAX bytes. *size 0: none. */
int versions_extra_read(versions_store *s, const dx_tree_entry *e, int kind, uint8_t *buffer,
                        const uint8_t **bytes, size_t *size);
/* Read a part of a file into bytes[capacity], and check its size. */
int versions_parts_read(versions_store *s, const uint8_t id[32], uint64_t size, uint8_t *bytes,
                        size_t capacity);
/* Call visit for every object of the snapshot, children before parents. Known directories are not
   entered again. Zero *known at first; free it with versions_known_free(). */
typedef struct versions_known {
    uint8_t (*ids)[32];
    size_t    mask, used;
    versions_slots_key key;
} versions_known;
typedef int versions_visit(void *user, const uint8_t id[32]);
int versions_snapshot_visit(versions_store *s, const uint8_t root[32], versions_known *known,
                            versions_visit *visit, void *user);
void versions_known_free(versions_known *known);
bool versions_known_has(const versions_known *known, const uint8_t id[32]);
/* False: it was in the set already. */
bool versions_known_put(versions_known *known, const uint8_t id[32]);

/* >>stream.c ---- */
typedef struct versions_stream versions_stream;
int versions_stream_open(versions_stream **out, versions_store *s, const uint8_t root[32],
                         uint64_t *size);
int versions_stream_read(versions_stream *t, uint64_t offset, void *out, size_t size);
/* Find the chunk of a file, or the head of an entry, that holds the byte at offset. */
int versions_stream_chunk(versions_stream *t, uint64_t offset, uint8_t id[32], uint64_t *start,
                          uint64_t *size);
void versions_stream_close(versions_stream *t);

/* >>stat_cache.c ---- */
typedef struct versions_stat_file {
    uint64_t device, inode, size;
    int64_t  mtime_ns, ctime_ns;
    uint8_t  id[32]; /* level DX_TREE_INLINE: the bytes themselves */
    uint8_t  level;
    bool     plain;  /* it has no attributes */
} versions_stat_file;
typedef struct versions_stat_cache versions_stat_cache;
/* Open the cache of the last publish of name into the store; empty if it cannot be read. */
versions_stat_cache *versions_stat_cache_open(const char *store, const char *name);
/* The same, for the file at path. */
versions_stat_cache *versions_stat_cache_open_at(const char *path);
/* Does it have any entries? */
bool                 versions_stat_cache_any(const versions_stat_cache *seen);
/* Fill in id and level of a file that is unchanged. Thread-safe. */
bool versions_stat_cache_find(versions_stat_cache *seen, versions_stat_file *file);
/* Add a file in its current state; fresh: it was read. Files that could still change within the
   same time stamp are skipped. */
void versions_stat_cache_add(versions_stat_cache *seen, const versions_stat_file *file,
                             int64_t now_ns, bool fresh);
/* For a pull: this file was made in the staging directory. Thread-safe. */
void versions_stat_cache_made(versions_stat_cache *seen, const versions_stat_file *file);
/* A file got another name, or lost one, which changed its ctime. file, before: the result of stat
   between from_ns (prog_time_ns()) and that change. Thread-safe. */
void versions_stat_cache_link(versions_stat_cache *seen, const versions_stat_file *file,
                              int64_t from_ns);
void versions_stat_cache_unlinked(void *seen, const os_info *before, int64_t from_ns);
/* Call it before files from `made` become accessible to other writers: waits, for milliseconds,
   until the clock of the file system of path has passed their times. */
void versions_stat_cache_pass(versions_stat_cache *seen, const char *path);
/* Call it after the exchange: from now on find() knows the files that were added, made and moved,
   and the list of added files is empty again. */
void versions_stat_cache_settle(versions_stat_cache *seen);
/* Use all settled entries as the added ones, for saving. Nothing may have been added since. */
void versions_stat_cache_take_settled(versions_stat_cache *seen);
/* A list of chunks that was saved with the cache. The caller must verify its id. NULL: none. */
const void *versions_stat_cache_list(const versions_stat_cache *seen, const uint8_t id[32],
                                     size_t *size);
/* Also save the lists of the added files, as far as s has them: at most 64 MiB. */
void versions_stat_cache_keep_lists(versions_stat_cache *seen, versions_store *s);
/* Does it have anything that is not saved yet? */
bool versions_stat_cache_is_news(const versions_stat_cache *seen);
/* Save it for the next publish. A failure only makes that one slower. */
void versions_stat_cache_save(versions_stat_cache *seen, const uint8_t root[32]);
/* Was it saved with this snapshot? Then the snapshot has every object that it names. (A pull saves
   a hash of further data instead.) */
bool versions_stat_cache_is_of(const versions_stat_cache *seen, const uint8_t root[32]);
void versions_stat_cache_close(versions_stat_cache *seen);

/* >>publish.c ---- */
/* No version has an entry with a path of more than PROG_PATH_SIZE_MAX bytes, or below PROG_DEPTH_MAX directories
   and more, the top included. */
enum { VERSIONS_FAR_SIZE = 128 };
/* Counts of metadata that a version does not keep; publish reports them. */
typedef struct versions_losses {
    uint64_t bits;    /* single files with a setuid, setgid or sticky bit */
    uint64_t holes;   /* files with too many holes, and single files with any: filled with zeros */
    uint64_t xattrs;  /* attributes that are too large or cannot be read */
    uint64_t sockets; /* the first one: */
    char     socket[PROG_PATH_SIZE_MAX + 1];
    uint64_t closed;  /* live: entries without read permission; the first one: */
    char     shut[PROG_PATH_SIZE_MAX + 1];
    uint64_t far;     /* live: entries beyond the limits of paths; the first one, shortened: */
    char     farthest[VERSIONS_FAR_SIZE];
} versions_losses;

typedef struct versions_published {
    uint8_t  root[32];
    uint64_t size;                  /* of the stream */
    uint64_t files, read_files, read_bytes;
    uint64_t large_files;           /* read, and larger than a chunk */
    uint64_t taken_bytes;           /* read from files, also by reads that did not end in a file */
    uint64_t chunks, known_chunks;  /* of the files that were read; those that the store had */
    uint64_t same_bytes;            /* of read_bytes: of chunks with the fingerprint of the last version */
    uint64_t cloned;                /* files that were cloned before they were read */
    uint64_t torn;   /* live: files that changed during every read */
    uint64_t missed; /* live: entries that were replaced meanwhile, and are left out */
    bool     linked; /* a file has several hard links in it */
    /* not live: the entry that cannot be read, which was the reason for a failure with a
       message; else "" */
    char     unread[PROG_PATH_SIZE_MAX + 1];
    bool     needs_all; /* with `changed`: a full scan is required, and this must not become a version */
    versions_losses lost;
} versions_published;
/* A file that only grows: its first bytes do not change. */
typedef struct versions_prefix {
    const char *path; /* relative to the directory */
    uint64_t    device, inode;
    uint64_t    size; /* of these bytes */
} versions_prefix;

typedef struct versions_tree_publish_desc {
    const char          *path;    /* of the directory */
    const char          *name;    /* of the version, for the progress display */
    /* the root of the last version of that name if it is a snapshot, otherwise NULL */
    const uint8_t       *last;
    versions_stat_cache *seen;
    versions_inventory  *inventory; /* gets every entry before it is read; not with `changed`. Or NULL */
    const prog_list *rules; /* paths to leave out */
    unsigned      workers;  /* threads; 0: one per core */
    versions_omit omit;
    /* Do not store the chunks of files; report their locations, in the order of the walk. NULL:
       store them. path: of the file, relative to the directory. */
    void         (*locate)(void *user, const char *path, const uint8_t id[32], uint64_t at,
                           uint32_t size);
    void          *locate_user;
    /* Live: the directory may change meanwhile. Entries that vanish are left out. A file that
       changes during each of several reads is published as the last read found it (its size and
       time are those from before, its content may mix several moments), and its path is reported
       here. NULL: both are errors. */
    void         (*torn)(void *user, const char *path);
    void          *torn_user;
    /* Live: publish only the first bytes of these files, as if each ended there, whatever is appended
       meanwhile. A path that leads to another file is published whole. */
    const versions_prefix *prefixes;
    size_t         prefix_count;
    /* Live: look only at these paths and below them; take everything else from `last`, which must
       have no hard links. Sorted by versions_compare_paths(), without duplicates or empty paths.
       seen is only read. NULL: look at everything. */
    const char *const *changed;
    size_t         changed_count;
    /* Live, with `changed`: first read everything, regardless of `seen`, and hold it in memory.
       Then this is called once, with the status so far, before anything is stored. If it is more
       than held_max bytes, or not read by until_ns (prog_now_ns()): PROG_REFUSED, without a
       message. NULL: read and store concurrently. */
    void         (*read)(void *user, int status);
    void          *read_user;
    /* Then, instead of `changed`: called before the first read, once all threads and memory are there.
       It sets changed, changed_count and until_ns, or returns a status that ends the call. Or NULL. */
    int          (*begin)(void *user, struct versions_tree_publish_desc *desc);
    uint64_t       held_soon; /* estimate of the held bytes, whose memory is made ready */
    uint64_t       held_max;
    int64_t        until_ns;
    /* With `read`: open folders outside of `path`, in which unnamed files can be made. Files of
       VERSIONS_CLONE_MIN bytes and more are cloned there instead of being read before `read` is called, where
       the file system can, and read after. */
    const int     *clone_folders;
    size_t         clone_count;
    /* Of chunks of earlier calls: a chunk of a changed file that still has its fingerprint is neither
       cut nor hashed again. Chunks that are hashed are added. NULL: none. */
    struct versions_prints *prints;
} versions_tree_publish_desc;
#define VERSIONS_CLONE_MIN (UINT64_C(1) << 20)
/* A clone of an open file, as an unnamed file in this folder; -1 and errno: the file system cannot. */
int versions_clone(int folder, int fd);
int versions_tree_publish(versions_store *s, const versions_tree_publish_desc *desc,
                          versions_published *out);

/* >>report.c ---- */
/* Items of a tree that could not be restored. Thread-safe. */
typedef struct versions_report versions_report;
versions_report *versions_report_open(void);
/* of: the directory's path, or ""; what: such as "its owner"; error: errno, or 0. */
void versions_report_add(versions_report *r, const char *of, const char *name, const char *what,
                         int error);
/* Items that omit.owner leaves out. They are counted, and are no failure. */
typedef enum versions_left {
    VERSIONS_LEFT_OWNER,     /* as root: an owner other than this process */
    VERSIONS_LEFT_BITS,      /* setuid, setgid */
    VERSIONS_LEFT_ATTRIBUTE, /* security.capability, trusted.* */
    VERSIONS_LEFT_DEVICE,
    VERSIONS_LEFT_KINDS
} versions_left;
void versions_report_leave_out(versions_report *r, versions_left kind);
void versions_report_left_out(versions_report *r, uint64_t counts[VERSIONS_LEFT_KINDS]);
/* Print it, one line per item, and free it. Returns PROG_OK; PROG_PARTIAL if there was an item. */
int  versions_report_close(versions_report *r, const char *destination);

/* >>restore.c ---- */
typedef struct versions_tree_restore_desc {
    const uint8_t   *root;
    versions_dest   *dest;    /* open and empty */
    unsigned         workers; /* threads; 0: one per core */
    versions_omit    omit;
    versions_limits  limits;
    versions_report *report;
    /* A directory, and a snapshot of it: files that are equal in that snapshot are hard-linked
       instead of being written. NULL: none. */
    const char    *old_path;
    const uint8_t *old_root;
    /* Write only this part of it (scope.h); a hard link to a file outside of it becomes a file of
       its own. NULL, or an empty path: all of it. */
    const struct versions_scope *part;
    versions_stat_cache *seen; /* files that are written or linked are added. May be NULL */
} versions_tree_restore_desc;
int versions_tree_restore(versions_store *s, const versions_tree_restore_desc *desc);
/* The same for a part that is a file: dest is a staging file. */
int versions_tree_restore_file(versions_store *s, const versions_tree_restore_desc *desc);

/* >>restore_file.c ---- */
/* Write the file of an entry (its level, id and size) into the open staging file, which must be
   empty. sparse: blocks of zeros become holes. hash: of the bytes written. */
int versions_file_restore(versions_store *s, const dx_tree_entry *e, versions_dest *dest,
                          bool sparse, uint8_t hash[PROG_HASH_SIZE]);

/* >>verify.c ---- */
/* Re-read and re-hash everything in the store at path, and print any damage. */
int versions_store_check(const char *path, bool json, bool quiet);

#endif
