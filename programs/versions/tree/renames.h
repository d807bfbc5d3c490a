/* Finds bases for added files: files of the old snapshot that the new one no longer has, under a
   similar name. */
#ifndef VERSIONS_RENAMES_H
#define VERSIONS_RENAMES_H

#include "tree.h"

typedef struct versions_renames versions_renames;

/* Compare two snapshots whose directories are in s, and pair their files of at least size_min bytes.
   Unreadable files, and those beyond the limits of renames.c, are not paired. */
versions_renames *versions_renames_open(versions_store *s, const uint8_t old[32],
                                        const uint8_t fresh[32], uint64_t size_min);
/* r may be NULL. */
void versions_renames_close(versions_renames *r);
/* Set type, level, id and size of the old file that an added file with this id probably was. False:
   no file is likely, or the one found has the same content. */
bool versions_renames_find(const versions_renames *r, const uint8_t id[32], dx_tree_entry *old);

#endif
