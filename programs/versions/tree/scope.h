/* A part of a tree: the smallest directory that contains all changes of an update, or the directory or
   file at a path. */
#ifndef VERSIONS_SCOPE_H
#define VERSIONS_SCOPE_H

#include "tree.h"
#include "metadata.h"

typedef struct versions_scope {
    char             path[PROG_PATH_SIZE_MAX + 1]; /* "": the whole tree */
    dx_tree_entry old, entry; /* the directory before and after; without a name */
    versions_belongs belongs;         /* inherited from its parents */
    uint8_t          data[DX_TREE_INLINE_MAX]; /* of a small file */
    int64_t          folder_mtime_ns; /* of its parent */
    uint8_t          old_extras[DX_TREE_EXTRAS_MAX], extras[DX_TREE_EXTRAS_MAX];
    /* private: one level further down */
    dx_tree_entry    next_old, next;
    uint8_t          next_old_extras[DX_TREE_EXTRAS_MAX], next_extras[DX_TREE_EXTRAS_MAX];
    char             next_name[DX_TREE_NAME_MAX + 1];
} versions_scope;

/* old_root: a snapshot of the directory, without hard links. root: of its new state. The store
   has both trees. */
int versions_scope_find(versions_scope *p, versions_store *s, const uint8_t old_root[32],
                        const uint8_t root[32], const versions_omit *omit);
/* The part of one snapshot at a path: a directory or another entry; `old` stays empty. If the entry is a
   later hard link, p->entry is the first one. PROG_NOT_FOUND, without a message: no such path. */
int versions_scope_at(versions_scope *p, versions_store *s, const uint8_t root[32], const char *path,
                      const versions_omit *omit);
/* Do two snapshots in the store have the same content: names, kinds, modes, bytes and targets?
   Owners, attributes, fifos and devices are ignored; times also, if omit says so. */
bool versions_scope_same(versions_store *s, const uint8_t a[32], const uint8_t b[32],
                         const versions_omit *omit);
/* Open the parent of the part, below the directory `top`; links are not followed. *name: of the
   part in it. Returns -1 and errno on error. */
int versions_scope_open(const versions_scope *p, const char *top, const char **name);
/* Replace the part by the staging directory, as versions_dest_replace_in() does. */
int versions_scope_replace(const versions_scope *p, versions_dest *d, const versions_omit *omit,
                           const versions_inventory *before, bool *refused);

#endif
