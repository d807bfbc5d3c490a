/* A directory as one image, and the table in it (docs/formats/directory.md).

       header | contents of files, each at a place of its own | the table, at a place, too

   The table lists a directory before its entries, so that an entry names only the last component of
   its path. Integers are little-endian. */
#ifndef WAN_LISTING_H
#define WAN_LISTING_H

#include "../../common/common.h"

enum {
    WAN_LISTING_HEAD    = 64, /* bytes of the header */
    WAN_ENTRY_HEAD      = 40, /* of an entry, before its name */
    WAN_TARGET_MAX      = 4095, /* of a symbolic link */
    WAN_ENTRY_SIZE_MAX  = WAN_ENTRY_HEAD + PROG_NAME_SIZE_MAX + WAN_TARGET_MAX,
    WAN_ENTRIES_MAX     = 1 << 20,
    WAN_TABLE_SIZE_MAX  = 1 << 28
};

typedef struct wan_listing { /* the header */
    uint64_t at;    /* of the table */
    uint64_t size;
    uint64_t count; /* its entries */
} wan_listing;

typedef struct wan_entry {
    int         kind;  /* OS_FILE, OS_FOLDER, OS_LINK */
    unsigned    depth; /* 0: the directory itself, which has no name */
    unsigned    mode;  /* permission bits */
    int64_t     mtime_ns;
    uint64_t    size;  /* of a file, */
    uint64_t    at;    /* and its place */
    const char *name;  /* without a zero at its end */
    size_t      name_size;
    const char *target; /* of a link, the same */
    size_t      target_size;
} wan_entry;

void wan_listing_write(const wan_listing *l, uint8_t out[WAN_LISTING_HEAD]);
/* Returns NULL, or the error as the end of a sentence. */
const char *wan_listing_read(wan_listing *l, const uint8_t *bytes, size_t size, uint64_t image_size);
/* Returns the size of the entry. */
size_t wan_entry_write(const wan_entry *e, uint8_t out[WAN_ENTRY_SIZE_MAX]);
/* Change the place of an entry that is written. */
void wan_entry_set_place(uint8_t *entry, uint64_t at);
/* Read the entry at the beginning of these bytes: e->name and e->target lie in them, *used is its size.
   Returns NULL, or the error as the end of a sentence. */
const char *wan_entry_read(wan_entry *e, const uint8_t *bytes, size_t size, size_t *used);

#endif
