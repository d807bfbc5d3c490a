/* The chunks of the files of one or two directories where they lie: what a store lacks is read
   from there. */
#ifndef DXUP_TREE_SEEDS_H
#define DXUP_TREE_SEEDS_H

#include "tree.h"

typedef struct dxup_seeds dxup_seeds;

/* Look at the directory, and have s read from it what it lacks (dxup_store_set_seed). Its pieces
   and lists go into s, which is opened for writing: root is the snapshot of the directory. seen:
   NULL, or what files that did not change are taken from. size: NULL, or gets that of its stream. */
int  dxup_seeds_open(dxup_seeds **out, dxup_store *s, const char *path, const dxup_leave *leave,
                     dxup_seen *seen, uint8_t root[32], uint64_t *size);
/* The snapshot of the first directory after only what is at that path in it has changed. false: that
   cannot be said. */
bool dxup_seeds_again(const dxup_seeds *seeds, dxup_store *s, const char *path,
                      const dxup_leave *leave, dxup_seen *seen, const char *changed,
                      uint8_t root[32]);
/* Has a file of the first directory several names in it? */
bool dxup_seeds_linked(const dxup_seeds *seeds);
/* Look at another directory as well. */
int  dxup_seeds_add(dxup_seeds *seeds, dxup_store *s, const char *path, const dxup_leave *leave,
                    uint8_t root[32]);
/* After every handle that reads from them. NULL is fine. */
void dxup_seeds_close(dxup_seeds *seeds);

#endif
