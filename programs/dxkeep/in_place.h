/* Restores a mount point, which a rename cannot replace: its entries are replaced one by one, and
   after a crash keep_in_place_recover() completes the restore. */
#ifndef DXKEEP_IN_PLACE_H
#define DXKEEP_IN_PLACE_H

#include "../versions/dest.h"

/* The journal, in the directory itself. Captures leave it out. */
#define KEEP_IN_PLACE_NAME ".dxkeep-restore"

bool keep_is_mount_point(const char *path);
/* Does it have entries other than a journal and, at a mount point, an empty lost+found? */
int  keep_is_filled(const char *path, bool *filled);
/* Complete an interrupted restore that had begun to replace entries, or remove the staged files of
   an earlier one. Returns PROG_OK if there is nothing to do; PROG_REFUSED: another process is
   restoring. Call it only while nothing can write to the directory. */
int  keep_in_place_recover(const char *path);
/* Open the staging directory, which lies in path; commit replaces the entries of path by those in
   it. If open fails, path is unchanged; if commit fails too, unless the message says that the next
   run resumes. *partial: PROG_PARTIAL if the system refused to set the owner or an attribute of
   path itself. Call versions_dest_abandon() as for any destination, then keep_in_place_close(). */
int  keep_in_place_open(versions_dest *d, const char *path, int *journal);
int  keep_in_place_commit(versions_dest *d, int *partial);
/* done: commit returned PROG_OK. */
void keep_in_place_close(const char *path, int journal, bool done);

#endif
