/* The entries of a version that is a tree, by their paths, for snapshots and streams. */
#ifndef VERSIONS_ENTRIES_H
#define VERSIONS_ENTRIES_H

#include "../image.h"
#include "../store/store.h"

#include "../../../layers/dx_tree.h"

typedef struct versions_entry {
    const char *path;     /* relative to the top, separated by '/'; valid during the visit */
    int         type;     /* DX_TREE_FILE, ... */
    unsigned    mode;     /* 0 to 07777 */
    bool        has_time; /* false for streams */
    int64_t     mtime_ns;
    uint64_t    size;     /* of a file's content or a link's target; 0 for a directory */
    const dx_tree_entry *node; /* its entry in a snapshot; otherwise NULL */
    uint64_t    offset;        /* of the content in a stream */
} versions_entry;

typedef int versions_entry_visit(void *user, const versions_entry *e);

enum { VERSIONS_ENTRIES_ALL = 1 << 30 }; /* depth: unlimited */

/* Is it a valid path of an entry: relative, without components that are empty, "." or ".."?
   "" is the top. */
bool versions_entry_path_is_valid(const char *path);
/* Visit the entry at path: a file or a link; or the content of a directory, to a depth; 1: only its
   entries. Directories come before their entries. A visit that does not return PROG_OK ends the
   walk, and its result is returned. PROG_NOT_FOUND, without a message: no such path. */
int versions_entries_visit(versions_store *s, const versions_version *v, const char *path,
                           unsigned depth, versions_entry_visit *visit, void *user);
/* The same, from an entry of the directory at path on: the first whose name is not below `from`. In a
   snapshot this costs as much as the visited entries, however many come before them. */
int versions_entries_visit_from(versions_store *s, const versions_version *v, const char *path,
                                unsigned depth, const char *from, versions_entry_visit *visit,
                                void *user);
/* The content of a file, or the target of a link, during its visit. Every object is verified before
   any byte of it goes to the sink. */
int versions_entry_stream(versions_store *s, const versions_version *v, const versions_entry *e,
                          versions_sink *sink, void *user);

#endif
