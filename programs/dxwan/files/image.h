/* The receiver's side of a mirror: regions are decoded into the partial file as they arrive, and at
   the end of a round its hash is compared.

       CHECK  --> in the partial file? --no--> in the copy that it will replace? --yes--> copy it
                                               --no--> tell the sums of the pages there, to which a record refers
       REGION --> read the baseline from the file --> decode --> write    wan_image_handle()
       ROUND  --> set the size --> hash, a part at a time --> answer      wan_image_step() */
#ifndef WAN_IMAGE_H
#define WAN_IMAGE_H

#include "../net/loop.h"
#include "../net/region.h"
#include "coder.h"
#include "former.h"
#include "hash.h"

typedef enum wan_adoption { WAN_DUE, WAN_DONE, WAN_IN_VAIN } wan_adoption; /* the last two: until the table changes */

typedef struct wan_image {
    wan_coder  coder;
    dx_link   *links;
    int        file;
    int        old;      /* the copy that this one will replace; -1: none */
    wan_former former;   /* the directory that this one will replace, in the places of the image; no root: none */
    wan_adoption adoption; /* of its places from the table in the file, */
    wan_listing table;    /* where it is; size 0: unknown */
    uint32_t   adoptions; /* tried since the last verified round */
    int        like;     /* a second image, whose pages regions may copy; -1: none */
    uint64_t   size_max;
    uint8_t   *base;     /* a region each */
    uint8_t   *state;
    uint8_t   *prefix;   /* WAN_PREFIX_MAX regions */
    uint32_t   era;
    uint64_t   front;    /* regions up to the last one that was heard of in this round */
    uint64_t   rounds;   /* complete and verified */
    uint32_t   rounds_bad; /* announced since */
    uint64_t   regions;  /* stored */
    uint64_t   nacks;
    uint64_t   record_bytes;
    wan_round  round;    /* the last one that was announced */
    dx_link_id from;     /* by this connection */
    bool       checking; /* it is being hashed */
    bool       verified; /* the file has round.hash, and nothing was stored since */
    bool       finished; /* the final round is verified: nothing is stored any more, */
    bool       comparing; /* it is hashed once more, */
    bool       decided;  /* and the file has its name, or cannot get it */
    uint64_t   unpacked; /* bytes of the image of a directory, before that */
    uint64_t   signs;    /* of life, while it is made durable */
    wan_signs  far;      /* those of the sender, since the last round that was verified, */
    uint64_t   far_moved; /* and how far everything else was at the last one */
    bool       answered; /* the sender was told about the round, */
    wan_answer result;   /* this */
    const char *text;
    uint64_t   told_ns;
    wan_hash   hash;
    wan_hash   again;    /* of the comparison, which the sender hears of as signs of life */
    uint32_t   faults;   /* connections that broke a rule, since the last region */
    int        system_error; /* errno with which the file failed; 0: none */
    const char *why;     /* the mirror is refused: the end of a sentence */
} wan_image;

/* old: a file or directory open for reading, or -1; it is closed with the image. */
void wan_image_open(wan_image *i, dx_link *links, int file, int old, uint64_t size_max);
/* The second image, open for reading, or -1; it is closed with this one. */
void wan_image_set_like(wan_image *i, int like);
void wan_image_close(wan_image *i);
/* Bytes of which regions may be there already: in the partial file, or in the copy that it will replace. */
uint64_t wan_image_far_size(const wan_image *i);
/* A message of a mirror, of any connection that has joined. */
int  wan_image_handle(wan_image *i, const dx_hbtp_context *context);
/* Hash some of the file, and answer. A final round that is verified sets `finished`, and is answered
   by wan_image_answer() once the file has its name. */
void wan_image_step(wan_image *i, uint64_t now_ns);
/* Answer the last round: WAN_STORED, or WAN_FAILED with a text in static storage. */
void wan_image_answer(wan_image *i, wan_answer answer, const char *text);
/* A final round is verified, and all is durable. Hash the file once more, a part at a time: another program may have
   written to it meanwhile. 1: call again; 0: it is the same; -1: errno, 0 where the content differs. */
int  wan_image_compare(wan_image *i, uint64_t now_ns);
/* Tell the sender how much is hashed and unpacked, now and then. waits: for something else; that is a sign
   of life. */
void wan_image_tell(wan_image *i, uint64_t now_ns, bool waits);
/* The sum that shows that the sender makes progress. */
uint64_t wan_image_moved(const wan_image *i);

#endif
