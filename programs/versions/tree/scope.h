/* The smallest directory of a tree that contains all that an update changes. */
#ifndef VERSIONS_SCOPE_H
#define VERSIONS_SCOPE_H

#include "tree.h"
#include "metadata.h"

typedef struct versions_scope {
    char             path[PROG_PATH_SIZE_MAX + 1]; /* "": the whole tree */
    dx_tree_entry old, entry; /* the directory as it is, and as it shall be; without a name */
    versions_belongs belongs;         /* what it has from the directories above it */
    int64_t          folder_mtime_ns; /* of the directory that it is in */
    uint8_t          old_extras[DX_TREE_EXTRAS_MAX], extras[DX_TREE_EXTRAS_MAX];
    /* private: one level further down */
    dx_tree_entry    next_old, next;
    uint8_t          next_old_extras[DX_TREE_EXTRAS_MAX], next_extras[DX_TREE_EXTRAS_MAX];
    char             next_name[DX_TREE_NAME_MAX + 1];
} versions_scope;

/* old_root: a snapshot of the directory in which no file has several names. root: of what it shall
   become. Both trees are in the store. */
int versions_scope_find(versions_scope *p, versions_store *s, const uint8_t old_root[32],
                        const uint8_t root[32], const versions_omit *omit);
/* Do two snapshots in the store have the same content: names, kinds, modes, bytes and targets?
   Whom it belongs to, attributes, fifos and devices do not count, nor, if omit says so, times. */
bool versions_scope_same(versions_store *s, const uint8_t a[32], const uint8_t b[32],
                         const versions_omit *omit);
/* Open the directory that the part is in, below the directory `top`; links are not followed. *name:
   that of the part in it. -1 and errno. */
int versions_scope_open(const versions_scope *p, const char *top, const char **name);
/* Put what is in the staging directory in the place of the part, as versions_dest_replace_in()
   does. */
int versions_scope_replace(const versions_scope *p, versions_dest *d, const versions_omit *omit,
                           const versions_inventory *before, bool *refused);

#endif
