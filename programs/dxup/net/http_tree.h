/* Files and directories of published trees for HTTP. A path is looked up in the snapshot, name by
   name, and never in a file system: there is nothing that it could leave.

       /NAME/a/file      the file of the latest version; /NAME@3/..., /NAME@stable/... of that one
       /NAME/a/          an index page; /NAME/a leads there
       /                 the names, where none is index.html

   A name may have slashes, too: the longest one that is a tree counts. %2F is a slash. Links are
   listed and not followed: 404. */
#ifndef DXUP_HTTP_TREE_H
#define DXUP_HTTP_TREE_H

#include "../../common/line.h"
#include "../../versions/tree/entry_reader.h"

enum {
    DXUP_TARGET_MAX        = PROG_NAME_SIZE_MAX + 1 + PROG_PATH_SIZE_MAX + 1,
    DXUP_INDEX_ENTRIES_MAX = 1000,      /* of a page; a link leads to the next one, */
    DXUP_INDEX_SIZE_MAX    = 128 << 10, /* also where it has so many bytes */
    DXUP_LOCATION_MAX      = 3 * (PROG_NAME_SIZE_MAX + 2)
};

typedef struct dxup_found {
    versions_version       version;
    bool                   fixed;     /* it was asked for by its number */
    bool                   directory;
    const char            *path;      /* in the tree, of the text that was asked for */
    uint64_t               size;
    versions_entry_reader *reader;    /* of a file; the caller closes it */
    char                   tag[2 * PROG_HASH_SIZE + 1];
    char                   location[DXUP_LOCATION_MAX + 1]; /* of a directory without its slash */
} dxup_found;

/* What a decoded target names; asked is changed. A status of HTTP: 200, 302, 404, 500. */
int dxup_tree_find(versions_store *s, char *asked, dxup_found *out);
/* The page of a directory that was found, without its first `skip` entries. */
int dxup_tree_index(versions_store *s, const dxup_found *found, uint64_t skip, prog_line *page);
/* The page of all names. */
int dxup_names_index(versions_store *s, uint64_t skip, prog_line *page);

#endif
