/* In place of publish.c, restore.c and seen.c where DXUP_HAS_SNAPSHOTS is 0: the callers ask
   that first. */
#include "tree.h"

#ifdef DXUP_NO_SNAPSHOTS
#include <stdlib.h>

int dxup_tree_publish(dxup_store *s, const dxup_tree_publish_desc *desc, dxup_published *out)
{
    (void)s;
    (void)desc;
    (void)out;
    abort();
}

int dxup_tree_restore(dxup_store *s, const dxup_tree_restore_desc *desc)
{
    (void)s;
    (void)desc;
    abort();
}

dxup_seen *dxup_seen_open(const char *store, const char *name)
{
    (void)store;
    (void)name;
    abort();
}

dxup_seen *dxup_seen_open_at(const char *path)
{
    (void)path;
    abort();
}

void dxup_seen_save(dxup_seen *seen, const uint8_t root[32])
{
    (void)seen;
    (void)root;
    abort();
}

void dxup_seen_close(dxup_seen *seen)
{
    (void)seen;
    abort();
}
#endif
