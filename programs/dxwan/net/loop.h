/* The event loop and its connections, as all commands use them. */
#ifndef WAN_LOOP_H
#define WAN_LOOP_H

#include "../../common/common.h"

#include "../../../layers/dx_link.h"

enum {
    WAN_CHUNK_MAX   = 262144, /* bytes of a chunk, */
    WAN_PAYLOAD_MAX = WAN_CHUNK_MAX + 1024 /* and of a frame */
};

typedef struct wan_loop {
    dx_reactor     reactor;
    dx_link        links;
    dx_hbtp_router router;
    void          *reactor_memory;
    void          *links_memory;
} wan_loop;

/* Open both. desc: the callbacks, links_max, user; block_size of the frames that are sent. The
   router is initialised, and gets its routes afterwards. SIGTERM and SIGINT set a flag from now on.
   After an error wan_loop_close() is called, too. */
int  wan_loop_open(wan_loop *l, dx_link_desc *desc, uint64_t timeout_ns);
/* Listen, and print the address. *fd is closed by the caller. */
int  wan_loop_listen(wan_loop *l, const char *text, int *fd);
/* Wait for events until a time of prog_now_ns(), and handle them. */
int  wan_loop_turn(wan_loop *l, uint64_t until_ns);
/* Close all connections after what they still have to send, within a second. */
void wan_loop_drain(wan_loop *l);
void wan_loop_close(wan_loop *l);
/* Has SIGTERM or SIGINT arrived? */
bool wan_loop_is_ended(void);
int  wan_loop_ends(void); /* how often; 2: at least that */
/* The time of the connections' callbacks. */
static inline uint64_t wan_loop_now_ns(const wan_loop *l) { return dx_reactor_now_ns(&l->reactor); }

#endif
