/* The directory that a mirror will replace, in the places of the new image: the table in the partial file says where
   each file lies (docs/formats/directory.md), and what the older copy has under the same path is the content there.

   The table is a stranger's. Of it only a few bytes for each file and directory stay in memory; names are read again
   from the image when a file is opened, and are examined again then. */
#ifndef WAN_FORMER_H
#define WAN_FORMER_H

#include "../../common/common.h"
#include "listing.h"

typedef struct wan_former_file { /* one with content */
    uint64_t at;
    uint64_t size;
    uint32_t entry;  /* its offset in the table */
    uint32_t folder;
} wan_former_file;

typedef struct wan_former_folder { /* the first one is the directory itself */
    uint32_t entry;
    uint32_t above;  /* a directory before it */
} wan_former_folder;

typedef struct wan_former {
    int                root;    /* the older copy; -1: none */
    int                image;   /* the file with the table */
    wan_listing        table;
    wan_former_file   *files;   /* ascending by place, none overlaps */
    wan_former_folder *folders;
    uint32_t           file_count;
    uint32_t           folder_count;
    uint32_t           opens;   /* of files and directories that one read may still do */
    uint32_t           item;    /* whose file is open, */
    int                file;    /* this; -1: none */
    uint32_t           holder;  /* the same for the directory of the last file */
    int                folder;
} wan_former;

enum { WAN_FORMER_ENTRY_COST = sizeof(wan_former_file) }; /* bytes of memory for an entry, at most */

/* root: open, closed with it; -1: none. */
void wan_former_open(wan_former *f, int root);
void wan_former_close(wan_former *f);
/* Take the places of a table, which may be hostile and incomplete. False: it is not valid, and nothing can be read. */
bool wan_former_adopt(wan_former *f, int image, const wan_listing *table);
/* Read bytes of the image: header and table, and what the older copy has of files. All else is zeros,
   and so is a file that is missing there or cannot be read. No link is followed. */
void wan_former_read(wan_former *f, uint64_t at, uint8_t *out, size_t size);

#endif
