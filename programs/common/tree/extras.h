/* What an entry has besides content, mode and time (docs/formats/tree.md, section 1.1): read from
   the system for publish.c (extras.c), given back by restore.c (apply.c). For POSIX only. */
#ifndef DXUP_TREE_EXTRAS_H
#define DXUP_TREE_EXTRAS_H

#include "scan.h"
#include "tree.h"

/* >>extras.c ---- */
typedef struct dxup_account { /* the name of a user or group, looked up once */
    bool     known;
    uint32_t id;
    uint8_t  size;
    char     name[DX_TREE_NAME_MAX];
} dxup_account;

typedef struct dxup_extras {
    dxup_store       *store; /* for what is too large for an entry */
    const dxup_leave *leave;
    dxup_losses      *lost;
    uint8_t           bytes[DX_TREE_EXTRAS_MAX]; /* records of the entry at hand */
    size_t            size;
    bool              plain;    /* it has no attributes */
    uint8_t          *map;      /* its holes, as HOLES has them; DX_TREE_EXTRA_SIZE_MAX bytes */
    size_t            map_size;
    uint8_t          *xattrs;   /* of the same size */
    char             *names;    /* DXUP_XATTR_NAMES_MAX bytes */
    uint8_t          *value;    /* DX_TREE_XATTR_VALUE_MAX bytes */
    dxup_account      user;
    dxup_account      group;
} dxup_extras;

enum { DXUP_XATTR_NAMES_MAX = 65536 }; /* the limit of Linux for one file */

void dxup_extras_open(dxup_extras *x, dxup_store *s, const dxup_leave *leave, dxup_losses *lost);
void dxup_extras_close(dxup_extras *x);
/* Those of what `f` says, which is named in the open directory dir (an empty name: it is that one).
   folder: what holds it, or NULL. */
int  dxup_extras_take(dxup_extras *x, int dir, const dxup_found *f, const dxup_found *folder);
/* Instead: another name of the file at the path `first`. path: of this name. */
int  dxup_extras_take_same(dxup_extras *x, const char *path, const char *first);

/* >>links.c: files with several names ---- */
typedef struct dxup_first { /* the name that came first */
    uint64_t      device, inode;
    char         *path;
    int           type;
    bool          lost;  /* it was left out after all: the next name is the first */
    dx_tree_entry entry; /* as it was written, when it was; data is its own */
} dxup_first;

typedef struct dxup_links {
    dxup_first *list;
    size_t      count, room;
    uint32_t   *slots; /* index + 1 in the list, 0: free */
    size_t      mask;
} dxup_links;

/* The index of the file; *known: another name came before. */
size_t dxup_links_find(dxup_links *l, const dxup_found *f, int type, const char *path,
                       bool *known);
void   dxup_links_note(dxup_links *l, size_t index, const dx_tree_entry *e);
void   dxup_links_free(dxup_links *l);

/* What a directory that is restored hands down to its entries. */
typedef struct dxup_belongs {
    bool  known;
    uid_t user;
    gid_t group;
} dxup_belongs;

/* >>same.c ---- */
/* The entry at a path of a snapshot. Paths that come in order are found without reading a directory
   twice. */
typedef struct dxup_finder {
    dxup_store    *store;
    dx_tree_entry  root;
    bool           open;    /* listing is that of dir */
    bool           has;     /* entry is its entry that comes next */
    dxup_listing   listing;
    dx_tree_entry  entry;
    char           dir[PROG_PATH_SIZE_MAX + 1];
} dxup_finder;

void dxup_finder_open(dxup_finder *f, dxup_store *s, const dx_tree_entry *root);
void dxup_finder_close(dxup_finder *f);
/* *out holds until the next call. PROG_DAMAGED: there is none. */
int  dxup_finder_find(dxup_finder *f, const char *path, dx_tree_entry *out);
/* The path of the earlier name of e, which has the path `name`. PROG_DAMAGED: there can be none. */
int  dxup_same_path(const dx_tree_entry *e, const char *name, char path[PROG_PATH_SIZE_MAX + 1]);
/* The same, checked to be the same file. */
int  dxup_finder_same(dxup_finder *f, const dx_tree_entry *e, const char *name,
                      char path[PROG_PATH_SIZE_MAX + 1]);
/* The same in all that names of one file share. */
bool dxup_same_entry(const dx_tree_entry *a, const dx_tree_entry *b);
/* Make dir/name another name of the file at path below the directory root, without following a
   link. -1 and errno. */
int  dxup_same_link(int root, const char *path, int dir, const char *name);
/* Whom that file belongs to now. */
void dxup_same_owner(int root, const char *path, dxup_belongs *out);

/* >>apply.c ---- */
/* Has the publisher's name an account here? Else the number counts. Not for several threads. */
void dxup_owner_of(const dx_tree_entry *e, bool numeric, dxup_belongs *belongs);
/* Owner, attributes, mode and time of a file or directory that is open as fd (dir does not count),
   or with fd -1 of what is named in dir and is neither. Whatever is refused goes to the report. */
typedef struct dxup_target {
    int         fd;
    int         dir;
    const char *name;
    const char *path; /* of the directory, for the report */
    const uint8_t *xattrs; /* those that the entry has in an object; NULL: in the store */
} dxup_target;
int dxup_apply(dxup_report *report, dxup_store *s, const dxup_leave *leave, const dxup_target *t,
               const dx_tree_entry *e, const dxup_belongs *belongs);
int dxup_apply_time(const dxup_leave *leave, const dxup_target *t, const dx_tree_entry *e);
/* Make a fifo or a device, with its mode: 0, or errno. */
int dxup_make_special(int dir, const char *name, const dx_tree_entry *e);
/* Is there something to apply to a file that was made with its mode? Its time comes besides. */
bool dxup_apply_needed(const dxup_leave *leave, const dx_tree_entry *e,
                       const dxup_belongs *belongs);

#endif
