/* Restores a mount point, which cannot be replaced by a rename: its entries are replaced one by
   one, so that a kill at any moment leaves what keep_in_place_recover() completes. */
#ifndef DXKEEP_IN_PLACE_H
#define DXKEEP_IN_PLACE_H

#include "../versions/dest.h"

/* The journal, in the directory itself. It is never captured. */
#define KEEP_IN_PLACE_NAME ".dxkeep-restore"

bool keep_is_mount_point(const char *path);
/* Has it entries other than a journal and, at a mount point, an empty lost+found? */
bool keep_is_filled(const char *path);
/* Complete a restore that was killed once it had begun to replace entries, or remove what it had
   staged before. PROG_OK also where there is nothing to do. PROG_REFUSED: another process is at
   work. Not called while something may write to the directory. */
int  keep_in_place_recover(const char *path);
/* Open the staging directory, which lies in path, and replace the entries of path by those in it.
   After an error of open, path is as before; after one of commit too, unless the message says that
   the next run resumes. *partial: PROG_PARTIAL where the system refused path itself its owner or an
   attribute. versions_dest_abandon() as for any destination, then keep_in_place_close(). */
int  keep_in_place_open(versions_dest *d, const char *path, int *journal);
int  keep_in_place_commit(versions_dest *d, int *partial);
/* done: commit returned PROG_OK. */
void keep_in_place_close(const char *path, int journal, bool done);

#endif
