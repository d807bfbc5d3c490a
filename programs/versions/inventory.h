/* The state of a destination when an update began. It is compared before the destination is replaced,
   and again before the old directory is removed, so concurrent changes are never lost. */
#ifndef VERSIONS_INVENTORY_H
#define VERSIONS_INVENTORY_H

#include "../common/common.h"
#include "../common/os.h"

typedef struct versions_inventory versions_inventory;

/* The number of changed paths, and the first of them by name. */
enum { VERSIONS_CHANGES_NAMED = 4 };
typedef struct versions_changes {
    uint64_t count;
    struct {
        const char *what; /* "new", "changed", "gone", "open for writing" */
        char        path[PROG_PATH_SIZE_MAX + 1];
    } named[VERSIONS_CHANGES_NAMED];
} versions_changes;

/* Record every entry of path: kind, mode, owner, size, times and inode number. path may be missing, or
   a file; NULL: treated as missing. A link is followed. A file is also hashed if its times cannot
   reveal a change: it was written within the last two seconds, or the file system does not update
   times for shared mappings. */
int  versions_inventory_read(versions_inventory **out, const char *path);
/* The same for a directory that the caller walks: add the directory itself at depth 0, its entries at
   depth 1, and so on, depth first, the names of a directory sorted by bytes. Add an entry before
   reading it. folder: the open parent directory; now_ns: prog_time_ns() before info was obtained. */
void versions_inventory_begin(versions_inventory **out, const char *path);
void versions_inventory_add(versions_inventory *v, unsigned depth, int folder, const char *name,
                            const os_info *info, int64_t now_ns);
void versions_inventory_end(versions_inventory *v);
bool versions_inventory_is_empty(const versions_inventory *v); /* the path was missing */
void versions_inventory_free(versions_inventory *v); /* NULL is fine */
/* Save the rows at the relative path `at` ("": all) to a file and sync it. */
int  versions_inventory_save(const versions_inventory *v, const char *at, const char *path);
/* Load such a file. NULL: it is missing or damaged. The path that it was saved from becomes "". Missing
   entries do not count as changes, since a removal may have been interrupted. */
versions_inventory *versions_inventory_load(const char *path, bool *damaged);
/* Is the file or directory at path the recorded one? */
bool versions_inventory_is_of(const versions_inventory *v, const char *path);
/* Compare the current entries at path with the rows at the relative path `at` ("": all), and add to
   changes. moved: it was renamed since. */
int versions_inventory_compare(const versions_inventory *v, const char *at, const char *path,
                               bool moved, versions_changes *changes);
/* Called for a file with another hard link right after this link is removed. before: its state, from
   a lookup between from_ns (prog_time_ns()) and the removal. NULL: not called. */
typedef struct versions_removal {
    void (*unlinked)(void *user, const os_info *before, int64_t from_ns);
    void  *user;
} versions_removal;
/* Remove the entries at path that were recorded at `at`, one by one. New or changed entries stay, with
   their directories, and are added to changes. */
int versions_inventory_remove(const versions_inventory *v, const char *at, const char *path,
                              const versions_removal *removal, versions_changes *changes);
/* Print one line for each change, "WHERE/PATH is new", and the number of those not listed. */
void versions_changes_print(const versions_changes *changes, const char *where);

#endif
