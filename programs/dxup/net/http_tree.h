/* Files and directories of published trees for HTTP. A path is looked up in the snapshot, component
   by component, never in a file system, so path traversal is impossible.

       /NAME/a/file      the file of the latest version; /NAME@3/..., /NAME@stable/...: of that one
       /NAME/a/          an index page; /NAME/a redirects to it
       /                 the list of names, unless index.html is published

   A name may contain slashes: the longest one that names a tree is used. %2F equals a slash. Links are
   listed but not followed: 404. */
#ifndef DXUP_HTTP_TREE_H
#define DXUP_HTTP_TREE_H

#include "../../common/line.h"
#include "../../versions/tree/entry_reader.h"

enum {
    DXUP_TARGET_MAX        = PROG_NAME_SIZE_MAX + 1 + PROG_PATH_SIZE_MAX + 1,
    DXUP_INDEX_ENTRIES_MAX = 1000,      /* per page; a link leads to the next page, */
    DXUP_INDEX_SIZE_MAX    = 128 << 10, /* also when a page reaches this size */
    DXUP_LOCATION_MAX      = 3 * (PROG_NAME_SIZE_MAX + 2)
};

typedef struct dxup_found {
    versions_version       version;
    bool                   fixed;     /* requested by its number */
    bool                   directory;
    const char            *path;      /* within the tree; points into the request's text */
    uint64_t               size;
    versions_entry_reader *reader;    /* for a file; the caller closes it */
    char                   tag[2 * PROG_HASH_SIZE + 1];
    char                   location[DXUP_LOCATION_MAX + 1]; /* of a directory without its slash */
} dxup_found;

/* Resolve a decoded target, and modify asked. Returns an HTTP status: 200, 302, 404 or 500. */
int dxup_tree_find(versions_store *s, char *asked, dxup_found *out);
/* Append the page of a directory that begins with the first entry not below `from`. The link to the
   next page is of this kind, too: a number would have to be counted up to. */
int dxup_tree_index(versions_store *s, const dxup_found *found, const char *from, prog_line *page);
/* Append the page of names, likewise. */
int dxup_names_index(versions_store *s, const char *from, prog_line *page);

#endif
