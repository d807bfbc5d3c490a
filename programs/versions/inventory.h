/* What a destination held when an update began. Before it is replaced, and again before the old
   directory is removed, it is compared: what somebody has written meanwhile is never removed. */
#ifndef VERSIONS_INVENTORY_H
#define VERSIONS_INVENTORY_H

#include "../common/common.h"
#include "../common/os.h"

typedef struct versions_inventory versions_inventory;

/* Paths that are not as they were; the first of them with their names. */
enum { VERSIONS_CHANGES_NAMED = 4 };
typedef struct versions_changes {
    uint64_t count;
    struct {
        const char *what; /* "new", "changed", "gone", "open for writing" */
        char        path[PROG_PATH_SIZE_MAX + 1];
    } named[VERSIONS_CHANGES_NAMED];
} versions_changes;

/* Look at every entry of path: kind, mode, owner, size, times and number. Nothing there, or a file,
   is fine; NULL: as if nothing were there. A link is followed. A file is hashed, too, where its times cannot tell whether it
   changes: it was written within the last two seconds, or the file system does not update times
   for shared mappings. */
int  versions_inventory_take(versions_inventory **out, const char *path);
/* The same of a directory that the caller lists: add the directory itself at depth 0, what is in it
   at depth 1, and so on, depth first and the names of a directory sorted by their bytes; now_ns: the
   time (prog_time_ns()) before info was looked up. An entry is added before it is read. folder: the
   open directory that it is in. */
void versions_inventory_begin(versions_inventory **out, const char *path);
void versions_inventory_add(versions_inventory *v, unsigned depth, int folder, const char *name,
                            const os_info *info, int64_t now_ns);
void versions_inventory_end(versions_inventory *v);
bool versions_inventory_is_empty(const versions_inventory *v); /* nothing was there */
void versions_inventory_free(versions_inventory *v); /* NULL is fine */
/* Save what was at the relative path `at` ("": all) into a file, synced. */
int  versions_inventory_save(const versions_inventory *v, const char *at, const char *path);
/* NULL: there is no such file, or it is damaged. What it was of is its "" now; that part of it is
   missing is no change, as its removal was interrupted, perhaps. */
versions_inventory *versions_inventory_load(const char *path, bool *damaged);
/* Is the file or directory at path the one that it is of? */
bool versions_inventory_is_of(const versions_inventory *v, const char *path);
/* Compare what is at path now with what was at the relative path `at` ("": all). Adds to changes.
   moved: it got another name since.
 */
int versions_inventory_compare(const versions_inventory *v, const char *at, const char *path,
                               bool moved, versions_changes *changes);
/* Is told of a file that has another name, too, what it was before this one was removed and after,
   where nobody has written to it in between. The call is NULL: nobody is told. */
typedef struct versions_removal {
    void (*unlinked)(void *user, const os_info *before, const os_info *after);
    void  *user;
} versions_removal;
/* Remove what is at path, and was at `at`, entry by entry. What is new or changed is left there,
   with the directories that it is in, and added to changes. */
int versions_inventory_remove(const versions_inventory *v, const char *at, const char *path,
                              const versions_removal *removal, versions_changes *changes);
/* Print each change, one line each: "WHERE/PATH is new", and how many more there are. */
void versions_changes_print(const versions_changes *changes, const char *where);

#endif
