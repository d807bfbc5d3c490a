/* The chunks of the files of one or two directories where they lie: what a store lacks is read
   from there. */
#ifndef VERSIONS_TREE_SEEDS_H
#define VERSIONS_TREE_SEEDS_H

#include "tree.h"

typedef struct versions_seeds versions_seeds;

/* Look at the directory, and have s read from it what it lacks (versions_store_set_seed). Its
   pieces and lists go into s, which is opened for writing: root is the snapshot of the directory.
   seen: NULL, or what files that did not change are taken from. inventory: NULL, or one that was
   begun, and gets what is there. size: NULL, or gets that of its stream. */
int versions_seeds_open(versions_seeds **out, versions_store *s, const char *path,
                        const versions_omit *omit, versions_stat_cache *seen,
                        versions_inventory *inventory, uint8_t root[32], uint64_t *size);
/* Look at a file instead; NULL: at nothing. file gets type, level, id and size, as the file would
   have them as a version: size 0 where there is none. s finds its lists, too, but does not have
   them. */
int versions_seeds_open_file(versions_seeds **out, versions_store *s, const char *path,
                             dx_tree_entry *file);
/* Add a list: s finds it from now on. */
void versions_seeds_keep_list(void *seeds, const uint8_t id[32], const void *bytes, size_t size);
/* The snapshot of the directory at path as it is now. changed: since root was its snapshot, only
   what is at that path in it has changed, and seen is only read; NULL: all is looked at. false:
   that cannot be said. */
bool versions_seeds_again(versions_store *s, const char *path, const versions_omit *omit,
                          versions_stat_cache *seen, const char *changed, uint8_t root[32]);
/* Has a file of the first directory several names in it? */
bool versions_seeds_linked(const versions_seeds *seeds);
/* Look at another directory as well. */
int versions_seeds_add(versions_seeds *seeds, versions_store *s, const char *path,
                       const versions_omit *omit, uint8_t root[32]);
/* After every handle that reads from them. NULL is fine. */
void versions_seeds_close(versions_seeds *seeds);

#endif
