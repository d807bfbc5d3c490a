/* The chunks of the files of one or two directories, read in place: a store reads missing
   objects from there. */
#ifndef VERSIONS_TREE_SEEDS_H
#define VERSIONS_TREE_SEEDS_H

#include "tree.h"

typedef struct versions_seeds versions_seeds;

/* Index the directory, and make s read missing objects from it (versions_store_set_seed). Its
   pieces and lists go into s, which must be open for writing: root is the snapshot of the
   directory. seen: NULL, or a cache of unchanged files. inventory: NULL, or one that was begun; the
   entries are added. size: NULL, or set to the size of the stream. */
int versions_seeds_open(versions_seeds **out, versions_store *s, const char *path,
                        const versions_omit *omit, versions_stat_cache *seen,
                        versions_inventory *inventory, uint8_t root[32], uint64_t *size);
/* Index a file instead; NULL: nothing. file gets the type, level, id and size that it would have as
   a version; size 0 if there is none. s finds its lists, too, without storing them. */
int versions_seeds_open_file(versions_seeds **out, versions_store *s, const char *path,
                             dx_tree_entry *file);
/* Add a list, which s finds from now on. */
void versions_seeds_keep_list(void *seeds, const uint8_t id[32], const void *bytes, size_t size);
/* The snapshot of the directory at path now. changed: only this path in it has changed since
   the snapshot root, and seen is only read; NULL: look at everything. False: the snapshot
   cannot be made. */
bool versions_seeds_again(versions_store *s, const char *path, const versions_omit *omit,
                          versions_stat_cache *seen, const char *changed, uint8_t root[32]);
/* Does a file of the first directory have several hard links in it? */
bool versions_seeds_linked(const versions_seeds *seeds);
/* Index another directory as well. */
int versions_seeds_add(versions_seeds *seeds, versions_store *s, const char *path,
                       const versions_omit *omit, uint8_t root[32]);
/* Call it after closing every handle that reads from them. seeds may be NULL. */
void versions_seeds_close(versions_seeds *seeds);

#endif
