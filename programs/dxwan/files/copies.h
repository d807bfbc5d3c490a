/* Pages of a region that the receiver has elsewhere: because they moved, or another image has them.

       state of region 7        | same | a | b | other |
       shadow                   ... | a | b | ...         pages that the receiver has, by their content
       copies                   pages 1 and 2 of the region are 2,051 and 2,052 of the file
       baseline of the record   | old  | a | b | old   |  so only `other` has to travel

   A table has a page number for each hash. It may be wrong or out of date, so a page is compared before
   it is used. The second image is one that both sides have under the same name; whether they are the
   same is told by the record, which has the hash of its baseline. */
#ifndef WAN_COPIES_H
#define WAN_COPIES_H

#include "../net/region.h"

typedef struct wan_page_entry {
    uint32_t hash;
    uint32_t page; /* of the shadow, or, with bit 31, of the second image; UINT32_MAX: none */
} wan_page_entry;

typedef struct wan_copies {
    wan_page_entry *entries; /* 1 << log of them, in groups */
    uint32_t        log;     /* 0: there is no table */
    int             shadow;  /* borrowed */
    int             like;    /* the second image; -1: there is none */
    uint64_t        like_size; /* bytes of it that both sides have, */
    uint64_t        like_at;   /* and that are in the table */
    uint32_t        refusals;  /* records that the receiver could not read because of it */
    uint64_t        bytes;     /* found, since the beginning */
    bool          (*is_usable)(const void *user, uint64_t region); /* has the receiver this region? */
    const void     *user;
} wan_copies;

/* is_usable and user are set, like is -1, all else is zero. like: the path of a second image; NULL: none.
   Returns a status with a message. */
int      wan_copies_open(wan_copies *c, int shadow, const char *like);
void     wan_copies_close(wan_copies *c);
/* The table is for a file of this size. It grows only, up to 16 MiB. */
void     wan_copies_grow(wan_copies *c, uint64_t size);
/* The receiver has so many bytes under the name of the second image; 0: it does not have it. */
void     wan_copies_set_like(wan_copies *c, uint64_t far_size);
/* Read some of the second image. Returns the bytes read; 0: all of it is in the table. */
uint64_t wan_copies_step(wan_copies *c);
/* The shadow has this region from now on. */
void     wan_copies_add(wan_copies *c, uint64_t region, const uint8_t *bytes, size_t size);
/* Find pages of a state of `size` bytes that differ from the baseline's. Returns how many copies are
   in `out`. */
uint32_t wan_copies_find(wan_copies *c, uint64_t region, const uint8_t *state, size_t size, const uint8_t *base,
                         size_t base_size, wan_copy out[WAN_COPIES_MAX]);
/* The receiver had other bytes. like: some of the second image were among them; it is left alone soon. */
void     wan_copies_refused(wan_copies *c, bool like);

#endif
