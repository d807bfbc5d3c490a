/* What an entry has besides content, mode and time (docs/formats/tree.md, section 1.1): read from
   the system for publish*.c (metadata.c), given back by restore.c (apply.c). For POSIX only. */
#ifndef VERSIONS_METADATA_H
#define VERSIONS_METADATA_H

#include "scan.h"
#include "tree.h"

/* >>metadata.c ---- */
typedef struct versions_account { /* the name of a user or group, looked up once */
    bool     known;
    uint32_t id;
    uint8_t  size;
    char     name[DX_TREE_NAME_MAX];
} versions_account;

typedef struct versions_metadata {
    versions_store      *store; /* for what is too large for an entry */
    const versions_omit *omit;
    versions_losses     *lost;
    uint8_t              bytes[DX_TREE_EXTRAS_MAX]; /* records of the entry at hand */
    size_t               size;
    bool                 plain;    /* it has no attributes */
    uint8_t             *map;      /* its holes, as HOLES has them; DX_TREE_EXTRA_SIZE_MAX bytes */
    size_t               map_size;
    uint8_t             *xattrs;   /* of the same size */
    char                *names;    /* VERSIONS_XATTR_NAMES_MAX bytes */
    uint8_t             *value;    /* DX_TREE_XATTR_VALUE_MAX bytes */
    versions_account     user;
    versions_account     group;
} versions_metadata;

enum { VERSIONS_XATTR_NAMES_MAX = 65536 }; /* the limit of Linux for one file */

void versions_metadata_open(versions_metadata *x, versions_store *s, const versions_omit *omit,
                            versions_losses *lost);
void versions_metadata_close(versions_metadata *x);
/* Those of what `f` says, which is named in the open directory dir (an empty name: it is that one).
   folder: what holds it, or NULL. */
int versions_metadata_read(versions_metadata *x, int dir, const versions_found *f,
                           const versions_found *folder);
/* Instead: another name of the file at the path `first`. path: of this name. */
int  versions_metadata_read_link(versions_metadata *x, const char *path, const char *first);

/* >>links.c: files with several names ---- */
typedef struct versions_first { /* the name that came first */
    uint64_t      device, inode;
    char         *path;
    int           type;
    bool          lost;  /* it was left out after all: the next name is the first */
    dx_tree_entry entry; /* as it was written, when it was; data is its own */
} versions_first;

typedef struct versions_links {
    versions_first *list;
    size_t          count, room;
    uint32_t       *slots; /* index + 1 in the list, 0: free */
    size_t          mask;
} versions_links;

/* The index of the file; *known: another name came before. */
size_t versions_links_find(versions_links *l, const versions_found *f, int type, const char *path,
                           bool *known);
void versions_links_note(versions_links *l, size_t index, const dx_tree_entry *e);
void versions_links_free(versions_links *l);

/* What a directory that is restored hands down to its entries. */
typedef struct versions_belongs {
    bool  known;
    uid_t user;
    gid_t group;
} versions_belongs;

/* >>link_targets.c ---- */
/* The entry at a path of a snapshot. Paths that come in order are found without reading a directory
   twice. */
typedef struct versions_finder {
    versions_store  *store;
    dx_tree_entry    root;
    bool             open;    /* listing is that of dir */
    bool             has;     /* entry is its entry that comes next */
    versions_listing listing;
    dx_tree_entry    entry;
    char             dir[PROG_PATH_SIZE_MAX + 1];
} versions_finder;

void versions_finder_open(versions_finder *f, versions_store *s, const dx_tree_entry *root);
void versions_finder_close(versions_finder *f);
/* *out holds until the next call. PROG_DAMAGED: there is none. */
int  versions_finder_find(versions_finder *f, const char *path, dx_tree_entry *out);
/* The path of the earlier name of e, which has the path `name`. PROG_DAMAGED: there can be none. */
int versions_link_path(const dx_tree_entry *e, const char *name, char path[PROG_PATH_SIZE_MAX + 1]);
/* The same, checked to be the same file. */
int  versions_finder_link(versions_finder *f, const dx_tree_entry *e, const char *name,
                          char path[PROG_PATH_SIZE_MAX + 1]);
/* The same in all that names of one file share. */
bool versions_link_entries_equal(const dx_tree_entry *a, const dx_tree_entry *b);
/* Make dir/name another name of the file at path below the directory root, without following a
   link. -1 and errno. */
int  versions_link_make(int root, const char *path, int dir, const char *name);
/* Whom that file belongs to now. */
void versions_link_owner(int root, const char *path, versions_belongs *out);

/* >>apply.c ---- */
/* Has the publisher's name an account here? Else the number counts. Not for several threads. */
void versions_owner_of(const dx_tree_entry *e, bool numeric, versions_belongs *belongs);
/* Owner, attributes, mode and time of a file or directory that is open as fd (dir does not count),
   or with fd -1 of what is named in dir and is neither. Whatever is refused goes to the report. */
typedef struct versions_target {
    int         fd;
    int         dir;
    const char *name;
    const char *path; /* of the directory, for the report */
    const uint8_t *xattrs; /* those that the entry has in an object; NULL: in the store */
} versions_target;
int versions_apply(versions_report *report, versions_store *s, const versions_omit *omit,
                   const versions_target *t, const dx_tree_entry *e,
                   const versions_belongs *belongs);
/* Count what omit.owner keeps from the entry, but for attributes and devices. versions_apply() does;
   it is for entries that need nothing else. Safe on any thread. */
void versions_apply_count(versions_report *report, const versions_omit *omit,
                          const dx_tree_entry *e, const versions_belongs *belongs);
int versions_apply_time(const versions_omit *omit, const versions_target *t,
                        const dx_tree_entry *e);
/* Make a fifo or a device, with its mode: 0, or errno. */
int versions_make_special(int dir, const char *name, const dx_tree_entry *e);
/* Is there something to apply to a file that was made with its mode? Its time comes besides. */
bool versions_apply_needed(const versions_omit *omit, const dx_tree_entry *e,
                           const versions_belongs *belongs);

#endif
