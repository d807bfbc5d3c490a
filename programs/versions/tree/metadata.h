/* The metadata of an entry besides mode and time (docs/formats/tree.md, section 1.1): read for
   publish*.c (metadata.c), and restored for restore.c (apply.c). POSIX only. */
#ifndef VERSIONS_METADATA_H
#define VERSIONS_METADATA_H

#include "scan.h"
#include "tree.h"

/* >>metadata.c ---- */
typedef struct versions_account { /* a cached name of a user or group */
    bool     known;
    uint32_t id;
    uint8_t  size;
    char     name[DX_TREE_NAME_MAX];
} versions_account;

typedef struct versions_metadata {
    versions_store      *store; /* for data too large for an entry */
    const versions_omit *omit;
    versions_losses     *lost;
    uint8_t              bytes[DX_TREE_EXTRAS_MAX]; /* records of the current entry */
    size_t               size;
    bool                 plain;    /* it has no attributes */
    uint8_t             *map;      /* its holes, in the format of HOLES; DX_TREE_EXTRA_SIZE_MAX bytes */
    size_t               map_size;
    uint8_t             *xattrs;   /* the same size */
    char                *names;    /* VERSIONS_XATTR_NAMES_MAX bytes */
    uint8_t             *value;    /* DX_TREE_XATTR_VALUE_MAX bytes */
    versions_account     user;
    versions_account     group;
} versions_metadata;

enum { VERSIONS_XATTR_NAMES_MAX = 65536 }; /* the limit of Linux for one file */

void versions_metadata_open(versions_metadata *x, versions_store *s, const versions_omit *omit,
                            versions_losses *lost);
void versions_metadata_close(versions_metadata *x);
/* Read the metadata of `f`, a name in the open directory dir (empty: dir itself). folder: the
   parent, or NULL. */
int versions_metadata_read(versions_metadata *x, int dir, const versions_found *f,
                           const versions_found *folder);
/* The same for a further hard link to the file at the path `first`. path: of this name. */
int  versions_metadata_read_link(versions_metadata *x, const char *path, const char *first);

/* >>links.c: files with several names ---- */
typedef struct versions_first { /* the first name of a file */
    uint64_t      device, inode;
    char         *path;
    int           type;
    bool          lost;  /* it was left out after all: the next name becomes the first */
    dx_tree_entry entry; /* as written, once it was; owns its data */
} versions_first;

typedef struct versions_links {
    versions_first *list;
    size_t          count, room;
    uint32_t       *slots; /* index + 1 in the list, 0: free */
    size_t          mask;
} versions_links;

/* The index of the file; *known: there was an earlier name. */
size_t versions_links_find(versions_links *l, const versions_found *f, int type, const char *path,
                           bool *known);
void versions_links_note(versions_links *l, size_t index, const dx_tree_entry *e);
void versions_links_free(versions_links *l);

/* Properties that entries inherit from a restored directory. */
typedef struct versions_belongs {
    bool  known;
    uid_t user;
    gid_t group;
} versions_belongs;

/* >>link_targets.c ---- */
/* Looks up entries of a snapshot by path. For paths in order, no directory is read twice. */
typedef struct versions_finder {
    versions_store  *store;
    dx_tree_entry    root;
    bool             open;    /* listing is open, and of dir */
    bool             has;     /* entry is its next entry */
    versions_listing listing;
    dx_tree_entry    entry;
    char             dir[PROG_PATH_SIZE_MAX + 1];
} versions_finder;

void versions_finder_open(versions_finder *f, versions_store *s, const dx_tree_entry *root);
void versions_finder_close(versions_finder *f);
/* *out is valid until the next call. PROG_DAMAGED: no such entry. */
int  versions_finder_find(versions_finder *f, const char *path, dx_tree_entry *out);
/* The path of the earlier name of e, which has the path `name`. PROG_DAMAGED: invalid. */
int versions_link_path(const dx_tree_entry *e, const char *name, char path[PROG_PATH_SIZE_MAX + 1]);
/* The same, and check that both entries are of the same file. */
int  versions_finder_link(versions_finder *f, const dx_tree_entry *e, const char *name,
                          char path[PROG_PATH_SIZE_MAX + 1]);
/* Are they equal in all properties that hard links share? */
bool versions_link_entries_equal(const dx_tree_entry *a, const dx_tree_entry *b);
/* Make dir/name a hard link to the file at path below the directory root, without following a
   symbolic link. Returns -1 and errno on error. */
int  versions_link_make(int root, const char *path, int dir, const char *name);
/* The current owner of that file. */
void versions_link_owner(int root, const char *path, versions_belongs *out);

/* >>apply.c ---- */
/* Does the publisher's user name exist here? Otherwise its number is used. Not thread-safe. */
void versions_owner_of(const dx_tree_entry *e, bool numeric, versions_belongs *belongs);
/* The target of versions_apply(): an open file or directory fd (dir is ignored), or, with fd -1,
   another kind of entry named in dir. Refused items go to the report. */
typedef struct versions_target {
    int         fd;
    int         dir;
    const char *name;
    const char *path; /* of its directory, for the report */
    const uint8_t *xattrs; /* attributes from an object of the entry; NULL: read them from the store */
} versions_target;
int versions_apply(versions_report *report, versions_store *s, const versions_omit *omit,
                   const versions_target *t, const dx_tree_entry *e,
                   const versions_belongs *belongs);
/* Count the items that omit.owner leaves out, except attributes and devices. versions_apply() does
   this; call it for entries that need nothing else. Thread-safe. */
void versions_apply_count(versions_report *report, const versions_omit *omit,
                          const dx_tree_entry *e, const versions_belongs *belongs);
int versions_apply_time(const versions_omit *omit, const versions_target *t,
                        const dx_tree_entry *e);
/* Create a fifo or a device with its mode. Returns 0 or errno. */
int versions_make_special(int dir, const char *name, const dx_tree_entry *e);
/* Does a file that was created with its mode need versions_apply()? The time is set separately. */
bool versions_apply_needed(const versions_omit *omit, const dx_tree_entry *e,
                           const versions_belongs *belongs);

#endif
