/* Prints entries and files of a version that is a tree, for `ls` and `cat`. */
#ifndef VERSIONS_SHOW_H
#define VERSIONS_SHOW_H

#include "entries.h"

/* "file", "directory" and so on, for an entry of a tree. */
const char *versions_type_name(int type);
/* Print an entry like `ls -l`, or as JSON. leads_to: the target of a link, or NULL. */
void versions_show_entry(const versions_entry *e, const char *name, const char *leads_to, bool json);
/* Print the entries at path, which may end with '/'. PROG_USAGE, with a message: it is not a path in a tree.
   PROG_NOT_FOUND, without a message: no such path. */
int versions_show_list(versions_store *s, const versions_version *v, const char *path, bool recursive,
                       bool json);
/* Write a file to standard output. Each chunk is verified before a byte of it is written. ls: the
   command that messages recommend. PROG_NOT_FOUND, without a message: no such path. */
int versions_show_content(versions_store *s, const versions_version *v, const char *path, const char *ls);
/* A sink: standard output. */
int versions_show_bytes(void *user, const void *bytes, size_t size);

#endif
