/* A temporary file without a name: it goes with its descriptor, however the program ends. */
#ifndef WAN_UNNAMED_H
#define WAN_UNNAMED_H

#include "../../common/common.h"

/* name: of the file in messages; what: what its folder is for, the end of "the folder for". *file is
   the caller's to close; -1 after a failure. */
int wan_unnamed_open(int *file, const char *name, const char *what);

#endif
