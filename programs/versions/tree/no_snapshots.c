/* Replaces publish*.c, restore.c and stat_cache.c if VERSIONS_HAS_SNAPSHOTS is 0, which
   callers check first. */
#include "tree.h"

#ifdef VERSIONS_NO_SNAPSHOTS
#include <stdlib.h>

int versions_tree_publish(versions_store *s, const versions_tree_publish_desc *desc,
                          versions_published *out)
{
    (void)s;
    (void)desc;
    (void)out;
    abort();
}

int versions_tree_restore(versions_store *s, const versions_tree_restore_desc *desc)
{
    (void)s;
    (void)desc;
    abort();
}

versions_stat_cache *versions_stat_cache_open(const char *store, const char *name)
{
    (void)store;
    (void)name;
    abort();
}

versions_stat_cache *versions_stat_cache_open_at(const char *path)
{
    (void)path;
    abort();
}

void versions_stat_cache_save(versions_stat_cache *seen, const uint8_t root[32])
{
    (void)seen;
    (void)root;
    abort();
}

void versions_stat_cache_close(versions_stat_cache *seen)
{
    (void)seen;
    abort();
}
#endif
