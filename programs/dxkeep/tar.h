/* Writes tar archives: ustar headers (POSIX.1-1988), and pax records (POSIX.1-2001) for what these
   cannot hold. GNU tar, libarchive and busybox read them. */
#ifndef DXKEEP_TAR_H
#define DXKEEP_TAR_H

#include "../common/common.h"

typedef int keep_tar_sink(void *user, const void *bytes, size_t size);

typedef struct keep_tar {
    keep_tar_sink *sink;
    void          *user;
    uint64_t       size;    /* bytes written */
    char          *records; /* for the next entry */
    size_t         records_size, records_room;
} keep_tar;

typedef struct keep_tar_entry {
    const char *path;        /* a directory's ends in '/' */
    char        type;        /* 0 file, 1 hard link, 2 symbolic link, 3 and 4 devices, 5 directory, 6 fifo */
    unsigned    mode;
    int64_t     mtime_ns;
    uint64_t    size;        /* of the content that follows */
    uint32_t    user, group;
    const char *user_name, *group_name; /* or "" */
    const char *target;      /* of a link, otherwise "" */
    uint32_t    major_number, minor_number;
} keep_tar_entry;

void keep_tar_open(keep_tar *t, keep_tar_sink *sink, void *user);
void keep_tar_close(keep_tar *t);
/* Add a record to the next entry. '=' and '%' in the part of its name after `prefix` are escaped, as GNU
   tar does it. */
void keep_tar_record(keep_tar *t, const char *prefix, const void *name, size_t name_size,
                     const void *value, size_t value_size);
void keep_tar_number(keep_tar *t, const char *name, uint64_t value);
int  keep_tar_add(keep_tar *t, const keep_tar_entry *e);
/* The content of the last entry, in pieces, then keep_tar_pad(). */
int  keep_tar_write(keep_tar *t, const void *bytes, size_t size);
int  keep_tar_pad(keep_tar *t);
int  keep_tar_end(keep_tar *t);

#endif
