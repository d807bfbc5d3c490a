/* A directory that is mirrored, as one image (listing.h).

   A file keeps its place in the image while it exists, also under another name or replaced by another file of
   its name, so that a round differs from the one before only where files do. */
#ifndef WAN_FOLDER_H
#define WAN_FOLDER_H

#include "../../common/common.h"
#include "listing.h"

typedef struct wan_item { /* an entry; the first is the directory itself, whose content is the table */
    uint64_t path;     /* a hash */
    uint64_t identity; /* a hash of what the system knows the file by */
    uint64_t size;
    uint64_t at;
    uint64_t room;     /* bytes for it in the image; 0: it has no place */
    uint32_t parent;   /* an item */
    uint32_t entry;    /* its offset in the table */
} wan_item;

typedef struct wan_spot { /* an item by a key */
    uint64_t key;
    uint32_t item;
} wan_spot;

typedef struct wan_list { /* of all entries, at one time */
    wan_item *items;
    uint32_t  count, room;
    uint8_t  *table;
    size_t    table_size, table_room;
    uint8_t   digest[PROG_HASH_SIZE]; /* of all that the system says about them */
    int64_t   newest_ns; /* the last change of any kind */
    uint64_t  left_out;  /* entries of other kinds */
} wan_list;

typedef struct wan_folder {
    const char *path;
    int         root;     /* -1: none */
    wan_list    list;     /* of this round */
    wan_spot   *places;   /* of items that have one, ascending */
    uint32_t    place_count;
    uint64_t    size;     /* of the image */
    uint32_t    item;     /* whose file is open, */
    int         file;     /* this; -1: none */
    uint32_t    holder;   /* the same for the directory of the last file */
    int         folder;
    uint32_t    bad;      /* the item that could not be read */
    bool        torn;     /* a file has changed or gone since the round began */
    uint64_t    seen_ns;  /* since when the digest is known */
    bool        settled;  /* a change during the round would change the times of a file */
    bool        told;     /* that entries are left out */
    bool      (*serve)(void *user); /* called now and then while entries are listed. False: give up */
    void       *user;
} wan_folder;

/* A status with a message. */
int  wan_folder_open(wan_folder *f, const char *path);
void wan_folder_close(wan_folder *f);
/* A round begins: list all entries. A status with a message, unless f->serve gave up. */
int  wan_folder_begin(wan_folder *f);
/* Is the directory as it was then? */
bool wan_folder_is_same(wan_folder *f);
/* Read bytes of the image. A file that was removed reads as zeros and sets f->torn. Fewer bytes: the image ends.
   -1: errno, and wan_folder_fail() says which file. */
int64_t wan_folder_read(wan_folder *f, uint64_t at, uint8_t *out, size_t size);
int  wan_folder_fail(const wan_folder *f);
/* Where the table is in the image. */
void wan_folder_find_table(const wan_folder *f, uint64_t *at, uint64_t *size);

#endif
