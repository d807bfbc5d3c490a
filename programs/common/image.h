/* A file or a directory tree as one deterministic stream of bytes, read. dest.c writes what is
   read here; the stream of a tree is specified in programs/dxup/README.md. */
#ifndef IMAGE_H
#define IMAGE_H

#include "common.h"

typedef int dxup_sink(void *user, const void *bytes, size_t size);

/* The kind and mode of what is at path (links are followed at this first step only).
   DXUP_NOT_FOUND without a message when there is nothing. */
int dxup_image_stat(const char *path, int *kind, unsigned *mode);
/* Stream what is at path into sink. A file that changes its size meanwhile is an error. */
int dxup_image_read(const char *path, int kind, dxup_sink *sink, void *user);

#endif
