/* A transfer of dx_bulk.h on links of dx_link.h: each link that joined is a connection of it.

       dx_link --frames--> wan_bulk_handle() --> dx_bulk_frame()
       dx_link <--blocks-- wan_bulk_pump()   <-- dx_bulk_next(), which reads the file into the block

   A frame that breaks a rule ends its link, with the reason in `fault`. The session's user pointer of
   a link that takes part is its wan_stream. */
#ifndef WAN_BULK_H
#define WAN_BULK_H

#include "../wan.h"
#include "loop.h"
#include "path.h"
#include "region.h"

#include "../../../layers/dx_bulk.h"

typedef struct wan_bulk wan_bulk;

typedef struct wan_stream {
    wan_bulk  *all;
    dx_link_id id;     /* 0: none */
    uint64_t   frames; /* of its session when it was last heard */
    uint32_t   owner;  /* the caller's */
    bool       useful; /* it has moved the transfer forward */
    int        error;  /* of its last frame: it is closed after what it still has to send */
    bool       expelled; /* it is being closed */
    bool       retired; /* it gets no more chunks, and is closed after those that it has */
} wan_stream;

struct wan_bulk {
    dx_bulk    bulk;
    dx_link   *links;
    int        file;         /* read or written at the offsets of chunks */
    int        system_error; /* errno with which that failed; 0: none */
    bool       sends;
    bool       stale;        /* every stream must be asked for frames */
    uint32_t   faults;       /* links that broke a rule, since the last new chunk */
    int        fault;        /* the last one's error */
    uint64_t   checked;      /* bytes that the receiver has hashed, as it says, and then signs of life */
    wan_signs  far;          /* of a sender that hashes */
    uint64_t   far_done;     /* bytes that were here at the last one */
    void     (*arrived)(void *user, uint64_t offset, const uint8_t *bytes, size_t size);
    void      *user;         /* of a receiver, which is told each new chunk; NULL: it is not */
    dx_bulk_desc desc;
    void      *memory;
    uint8_t   *place;       /* where the next chunk is read to */
    uint32_t   reserve;     /* bytes of a block for the largest frame */
    wan_stream streams[WAN_STREAMS_MAX];
};

/* Begin on a file. desc: without memory, read and write; a sender sets desc->object, a receiver
   desc->accept. */
void wan_bulk_begin(wan_bulk *b, dx_link *links, int file, const dx_bulk_desc *desc);
/* Forget everything, as the receiver did that was killed: abort all links, begin again. */
void wan_bulk_restart(wan_bulk *b);
/* For a receiver: abort all links, and begin again with the chunks that are here; dx_bulk_forget() may then drop some.
   The next join must be answered with another process number. False: no object is known. */
bool wan_bulk_begin_again(wan_bulk *b);
/* Free the memory. */
void wan_bulk_end(wan_bulk *b);
/* A link takes part from now on. False: 256 do already. */
bool wan_bulk_add(wan_bulk *b, dx_link_id id);
/* A link gets no more chunks. It is closed once those that it has are confirmed. */
void wan_bulk_retire(wan_bulk *b, dx_link_id id);
/* A link was closed. */
void wan_bulk_remove(wan_bulk *b, dx_link_id id);
/* A frame of a link that takes part: FileChunk, or any extended one. */
int  wan_bulk_handle(wan_stream *s, const dx_hbtp_context *context);
/* Send as much as the link takes. Its `writable` callback. */
void wan_bulk_pump(wan_stream *s);
/* The time of dx_bulk_wake() has come, or b->stale is set: pump all. */
void wan_bulk_pump_all(wan_bulk *b);
/* Tell the sender how many bytes are hashed, and then one more for each sign of life while the file is made
   durable. */
void wan_bulk_tell_hashed(wan_bulk *b, uint64_t bytes);
/* Statistics of all its connections. */
wan_paths wan_bulk_paths(const wan_bulk *b);
/* The meaning of an error of dx_bulk.h: the end of a sentence. */
const char *wan_bulk_fault_text(int error);

#endif
