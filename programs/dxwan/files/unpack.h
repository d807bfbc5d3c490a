/* The image of a directory (listing.h) becomes a directory, a part at a time. The image is a stranger's:
   every entry is created in an open directory, under a name without a slash, and no link is followed, so
   nothing outside is touched. */
#ifndef WAN_UNPACK_H
#define WAN_UNPACK_H

#include "../../common/common.h"
#include "listing.h"

typedef struct wan_level { /* a directory whose entries are created */
    int      folder;
    unsigned mode;     /* that it gets at its end */
    int64_t  mtime_ns;
    char     last[PROG_NAME_SIZE_MAX + 1]; /* the entry before: names ascend */
} wan_level;

typedef struct wan_unpack {
    int         image;
    uint64_t    image_size;
    wan_listing listing;
    uint64_t    table_done;
    uint64_t    count;    /* entries that were read */
    uint64_t    files;    /* bytes of files that were announced */
    uint64_t    done;     /* bytes of the image that were used */
    int         file;     /* the one that is written; -1: none */
    wan_entry   entry;    /* its entry */
    uint64_t    written;
    unsigned    depth;    /* open levels */
    wan_level  *levels;
    const char *path;     /* of the directory */
    const char *why;      /* the image breaks a rule: the end of a sentence */
    bool        made;     /* the directory is there */
} wan_unpack;

/* Begin to make the directory `path`, which must not exist. wan_unpack_end() is called in any case. */
bool wan_unpack_begin(wan_unpack *u, int image, uint64_t image_size, const char *path);
/* Do some of it. 1: more is to do; 0: all is there; -1: u->why, or errno if that is NULL. */
int  wan_unpack_step(wan_unpack *u);
void wan_unpack_end(wan_unpack *u);

#endif
