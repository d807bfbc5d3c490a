/* Reads a file or a directory tree as one deterministic stream of bytes. dest.c writes such a
   stream; programs/dxup/README.md specifies that of a tree. */
#ifndef IMAGE_H
#define IMAGE_H

#include "common.h"

/* Receives the stream in pieces. A status that is not PROG_OK ends it. */
typedef int prog_sink(void *user, const void *bytes, size_t size);

/* The kind and mode of path. A symbolic link is followed here, and nowhere below. PROG_NOT_FOUND
   comes without a message. */
int prog_image_stat(const char *path, int *kind, unsigned *mode);
/* Stream the content of path into sink. A file whose size changes meanwhile is an error. */
int prog_image_read(const char *path, int kind, prog_sink *sink, void *user);

#endif
