/* The place that an image is written to: a staging file or directory beside it, put there in one
   step. */
#ifndef DEST_H
#define DEST_H

#include "common.h"

typedef struct dxup_dest {
    int      kind, fd;               /* of the part file, or of the part directory */
    int      entry_fd;               /* tree: the file being written, or -1 */
    int      state;
    unsigned mode;
    char     path[DXUP_PATH_SIZE_MAX + 1];
    char     part[DXUP_PATH_SIZE_MAX + 64]; /* beside path, locked while open */
    uint8_t  head[16];
    char     entry[DXUP_PATH_SIZE_MAX + 1]; /* tree: path of the entry being read */
    char     target[DXUP_PATH_SIZE_MAX + 1]; /* tree: a link's target */
    char     last[DXUP_PATH_SIZE_MAX + 1];  /* tree: the entry before; order is strict */
    char     dir[DXUP_PATH_SIZE_MAX + 1];   /* tree: the directory that is open for entries */
    uint16_t dir_mode[DXUP_DEPTH_MAX + 1];  /* tree: set when the directory is left */
    size_t   have, entry_size, depth;
    struct dxup_modes *modes;         /* tree: those that the system does not keep */
    uint64_t left;
    uint64_t kept; /* bytes that are in the part already; read d->fd to their end before writing */
    bool     keep; /* abandoning leaves the part for the next who wants the same content */
} dxup_dest;

/* Is there a part of a file beside path that somebody who was cut off has left? */
int  dxup_dest_find_part(dxup_dest *d, const char *path, bool *there);
/* Prepare the part file or directory beside path. Nothing at path changes before commit.
   content: NULL, or the hash of the file that is to be written: a part of it that is there is
   kept, and what is written can be. */
int dxup_dest_open(dxup_dest *d, const char *path, int kind, unsigned mode, const uint8_t *content);
/* Which version of which name was pulled to the path that dxup_dest_find_part() was given: to be
   remembered; remembered. */
int  dxup_dest_record(const dxup_dest *d, const char *name, uint64_t version, const uint8_t *hash);
bool dxup_dest_recorded(const dxup_dest *d, const char *name, uint64_t *version, uint8_t *hash);
/* Forget what was kept: the part is empty. */
int  dxup_dest_restart(dxup_dest *d);
int  dxup_dest_write(dxup_dest *d, const void *bytes, size_t size);
/* A tree was made in d->fd by other means and is complete. */
int  dxup_dest_filled(dxup_dest *d, unsigned mode);
/* Make it durable and put it at path in one step: what was there is whole until then. */
int  dxup_dest_commit(dxup_dest *d);
/* Remove the part, unless d->keep. Also safe after commit. */
void dxup_dest_abandon(dxup_dest *d);

#endif
