/* A `dxup serve --push` elsewhere: its address, and the versions that are fetched from it. */
#ifndef DXKEEP_REMOTE_H
#define DXKEEP_REMOTE_H

#include "keep.h"

typedef struct keep_remote {
    char address[PROG_PATH_SIZE_MAX + 1]; /* HOST:PORT or unix:PATH */
    char name[PROG_NAME_SIZE_MAX + 1];    /* of the versions there */
} keep_remote;

/* Parse ADDR:PORT[/NAME]; a unix:PATH has no NAME. Without it, it is name. PROG_USAGE with a message. */
int keep_remote_parse(keep_remote *r, const char *text, const char *name);
/* The command `restore --remote`. */
int keep_remote_restore(const keep_options *o);
/* Before the first capture of an empty store: fetch the latest version, if there is one, so that the history
   goes on. */
int keep_remote_continue(const keep_options *o);

#endif
