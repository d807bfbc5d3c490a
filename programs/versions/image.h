/* Reads a file or a directory tree as one deterministic stream of bytes. dest.c writes such a
   stream; docs/formats/pull.md, section 8, specifies that of a tree. */
#ifndef VERSIONS_IMAGE_H
#define VERSIONS_IMAGE_H

#include "../common/common.h"

/* Receives the stream in pieces. Any status but PROG_OK ends it. */
typedef int versions_sink(void *user, const void *bytes, size_t size);

/* The kind and mode of path. A symbolic link is followed here, but not below. PROG_NOT_FOUND prints no
   message. */
int versions_image_stat(const char *path, int *kind, unsigned *mode);
/* Stream the content of path into sink. Fails if the size of a file changes during the read. */
int versions_image_read(const char *path, int kind, versions_sink *sink, void *user);

#endif
