/* The entries of a version that is a tree, by their paths, whether it is stored as a snapshot or as
   a stream. */
#ifndef VERSIONS_ENTRIES_H
#define VERSIONS_ENTRIES_H

#include "../image.h"
#include "../store/store.h"

#include "../../../layers/dx_tree.h"

typedef struct versions_entry {
    const char *path;     /* relative to the top, with '/' between names; holds while visited */
    int         type;     /* DX_TREE_FILE, ... */
    unsigned    mode;     /* 0 to 07777 */
    bool        has_time; /* a stream keeps none */
    int64_t     mtime_ns;
    uint64_t    size;     /* of a file's content, or of a link's target; of a directory 0 */
    const dx_tree_entry *node; /* of a snapshot: what stands in it; else NULL */
    uint64_t    offset;        /* of a stream: where the content is */
} versions_entry;

typedef int versions_entry_visit(void *user, const versions_entry *e);

enum { VERSIONS_ENTRIES_ALL = 1 << 30 }; /* depth: everything below */

/* Is it a path of an entry: relative, and no name in it empty, "." or ".."? "" is the top. */
bool versions_entry_path_is_valid(const char *path);
/* Visit what is at path: a file, a link, or what is in that directory, to a depth; 1: its entries
   alone. Directories come before what is in them. A visit that does not return PROG_OK ends it, and
   is what is returned. PROG_NOT_FOUND, without a message: there is nothing at path. */
int versions_entries_visit(versions_store *s, const versions_version *v, const char *path,
                           unsigned depth, versions_entry_visit *visit, void *user);
/* The content of a file or the target of a link, while it is visited; every object is verified
   before a byte of it goes to the sink. */
int versions_entry_stream(versions_store *s, const versions_version *v, const versions_entry *e,
                          versions_sink *sink, void *user);

#endif
