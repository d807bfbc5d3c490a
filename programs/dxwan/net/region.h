/* The messages of a mirror: program opcodes of HBTP, integers little-endian.

       sender                                        receiver
       REGION  era, tag, number, base size, prefix, copies, record   --> ANSWER  tag, what became of it
       CHECK   era, tag, number, size, hash          --> ANSWER  tag, same or different
       ROUND   era, round, final, size, hash         --> ROUND_ANSWER
       HASHED  bytes that were read for this, and steps of listing, as a sign of life; no answer

   A record is one of dx_hde.h, and its baseline are the first `base size` bytes that the receiver
   has of the region. A whole region may refer to earlier regions that the receiver has: its prefix
   are `count` of them, the last one `back` before it. Without one, its baseline may be the prefix of a whole
   region. Copies change the baseline: runs of pages in it
   are those at another place of the file, or of a second image, which has a name in the receiver's
   directory (the sender's join has it). Before them the baseline is the region with zeros behind its
   end, or, if it is fresh, all zeros. A region has a prefix or copies. Each tag is used once. The era grows when a connection with
   unanswered messages is lost, so that a late message of that connection is not stored over a newer
   one. A region that differs from the one that was checked is what the sums in the answer say, if it has some:
   copies of its own pages make the baseline of what follows. */
#ifndef WAN_REGION_H
#define WAN_REGION_H

#include "../../common/common.h"

enum {
    WAN_REGION_SIZE = 262144,
    WAN_REGIONS_MAX = 1 << 25, /* of a file: 8 TiB */

    WAN_OP_HASHED       = 0x8000, /* of either side of a transfer or a mirror: a sign of life; u64 */
    WAN_OP_REGION       = 0x8001,
    WAN_OP_CHECK        = 0x8002,
    WAN_OP_ANSWER       = 0x8003,
    WAN_OP_ROUND        = 0x8004,
    WAN_OP_ROUND_ANSWER = 0x8005,
    WAN_OP_SINK         = 0x8006, /* dxwan probe: a tag and padding, answered by WAN_STORED */
    WAN_SINK_SIZE       = 65536,

    WAN_PAGE_SIZE    = 4096,
    WAN_REGION_PAGES = WAN_REGION_SIZE / WAN_PAGE_SIZE,
    WAN_COPIES_MAX   = WAN_REGION_PAGES,
    WAN_COPY_SIZE    = 6, /* page u32 (bit 31: of the second image), at u8, pages u8 */

    WAN_SUM_SIZE     = 3, /* of a page, in the answer to a check */
    WAN_SUMS_SIZE    = WAN_REGION_PAGES * WAN_SUM_SIZE,
    WAN_REGION_HEAD  = 20, /* era u32, tag u32, number u32, back u8, count u8, copies u16 (bit 15: fresh), size u32 */
    WAN_PREFIX_MAX   = 4,  /* regions of a prefix, */
    WAN_BACK_MAX     = 64, /* and how far back they may be */
    WAN_CHECK_SIZE   = WAN_REGION_HEAD + 32,
    WAN_ROUND_SIZE   = 49,
    WAN_ANSWER_MAX   = 5 + 250, /* bytes */
    WAN_SIGNS_MAX    = 10000, /* of life, while a file or directory is made durable: more than an hour */
    WAN_SIGN_SIZE    = 16 << 20 /* bytes that a sender has read for each further one */
};
#define WAN_IMAGE_MAX ((uint64_t)WAN_REGIONS_MAX * WAN_REGION_SIZE)
/* Between two signs of life of a receiver that works: less than any --timeout. */
#define WAN_TELL_NS ((uint64_t)400000000)

typedef enum wan_answer {
    WAN_STORED    = 0, /* or the same as announced; of a round: it is complete and verified */
    WAN_DIFFERENT = 1, /* of a region: sums of the pages that the receiver has in its place may follow */
    WAN_NACK      = 2, /* the receiver has another baseline */
    WAN_AGAIN     = 3, /* the message is of an older era */
    WAN_NO_ZSTD   = 4, /* the receiver is built without it */
    WAN_FAILED    = 5, /* a text follows */
    WAN_HASHING   = 6  /* of a round: bytes that are hashed, u64; of a directory, those that are
                          unpacked are added; then one for each sign of life */
} wan_answer;

typedef struct wan_region {
    uint32_t era;
    uint32_t tag;
    uint64_t number;
    uint8_t  back;  /* regions from the last one of the prefix, */
    uint8_t  count; /* which has this many; 0: none */
    uint8_t  copies; /* that follow, of WAN_COPY_SIZE each */
    bool     fresh;  /* they are laid over zeros */
    uint32_t size; /* of the baseline; CHECK: of the region */
} wan_region;

typedef struct wan_copy {
    uint32_t page;  /* the first one of the file or the second image, */
    bool     like;  /* which has it; */
    uint8_t  at;    /* of the region */
    uint8_t  pages;
} wan_copy;

/* Signs of life of a sender that reads and hashes, at the receiver. They are limited: WAN_SIGNS_MAX, and one
   more for each WAN_SIGN_SIZE bytes that it says it has read. */
typedef struct wan_signs {
    uint64_t bytes; /* as the last one says */
    uint64_t count; /* all that arrived while nothing else did */
    uint64_t valid; /* those that count as progress */
} wan_signs;

typedef struct wan_round {
    uint32_t era;
    uint32_t number;
    uint64_t size;
    uint8_t  hash[PROG_HASH_SIZE];
    bool     final; /* rename the file */
} wan_round;

/* Count one. idle: nothing else has moved since the last one. False: it breaks the rules. */
bool     wan_signs_add(wan_signs *s, const uint8_t *bytes, size_t size, bool idle);
uint64_t wan_load(const uint8_t *p, int bytes);
void     wan_store(uint8_t *p, uint64_t value, int bytes);
void     wan_region_write(const wan_region *r, uint8_t out[WAN_REGION_HEAD]);
/* False: not the head of a region. */
bool     wan_region_read(wan_region *r, const uint8_t *bytes, size_t size);
void     wan_copy_write(const wan_copy *c, uint8_t out[WAN_COPY_SIZE]);
/* False: not a copy into the baseline of this region. */
bool     wan_copy_read(wan_copy *c, const wan_region *r, const uint8_t bytes[WAN_COPY_SIZE]);
/* Write the sums of a region's whole pages: the low 24 bits of their CRC-32C. They are hints, as a record has the
   hash of its baseline. Returns their bytes. */
size_t   wan_sums_write(const uint8_t *region, size_t size, uint8_t out[WAN_SUMS_SIZE]);
bool     wan_sum_is_of(const uint8_t *sums, uint32_t page, const uint8_t bytes[WAN_PAGE_SIZE]);
void     wan_round_write(const wan_round *r, uint8_t out[WAN_ROUND_SIZE]);
bool     wan_round_read(wan_round *r, const uint8_t *bytes, size_t size);

#endif
