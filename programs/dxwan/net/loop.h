/* The event loop and its connections, as all commands use them. */
#ifndef WAN_LOOP_H
#define WAN_LOOP_H

#include "../wan.h"
#include "tls.h"

#include "../../../layers/dx_link.h"

#include <stdatomic.h>

enum {
    WAN_CHUNK_MAX   = 262144, /* bytes of a chunk, */
    WAN_PAYLOAD_MAX = WAN_CHUNK_MAX + 1024 /* and of a frame */
};

/* How a loop is asked to end: by signals, or by the thread that started it. */
typedef struct wan_ender {
    atomic_int  count;    /* times it was asked; 2: at once */
    atomic_llong since_ns; /* the first time; 0: not known */
    uint64_t    drain_ns; /* after it, it counts as the second time; 0: never */
} wan_ender;

typedef struct wan_loop {
    wan_ender     *ender;
    dx_reactor     reactor;
    dx_link        links;
    dx_hbtp_router router;
    wan_tls       *tls; /* NULL: none */
    void          *reactor_memory;
    void          *links_memory;
} wan_loop;

/* Open both. desc: the callbacks, links_max, user; block_size of the frames that are sent;
   connect_ns and session.keepalive_ns may be set. The
   router is initialised, and gets its routes afterwards. o: timeout_ns, TLS, and who asks it to end;
   without an ender SIGTERM and SIGINT do, from now on. serves: it accepts connections. After an
   error wan_loop_close() is called, too. */
int  wan_loop_open(wan_loop *l, dx_link_desc *desc, const wan_options *o, bool serves);
/* Listen, and print the address. *fd is closed by the caller. */
int  wan_loop_listen(wan_loop *l, const char *text, int *fd);
/* Accept on a socket that listens already. */
int  wan_loop_accept(wan_loop *l, int fd);
/* Open such a socket. *text gets its address. */
int  wan_listen(const char *address, int *fd, char text[DX_REACTOR_ADDRESS_TEXT_SIZE]);
/* Wait for events until a time of prog_now_ns(), and handle them. */
int  wan_loop_turn(wan_loop *l, uint64_t until_ns);
/* The descriptor of a link's connection, for socket options and statistics; -1: none. */
int  wan_loop_fd(const dx_link *links, dx_link_id id);
/* Why there is no connection: the end of a sentence. reason: -errno; 0: it is not known. */
const char *wan_loop_reason(const wan_loop *l, int32_t reason);
/* NULL, or why no attempt to connect will succeed. */
const char *wan_loop_hopeless(const wan_loop *l);
/* No connection came about, for this -errno: say so once for each reason; *told has the last one. left_ns:
   for how long it is tried again. */
void wan_loop_say_unconnected(const wan_loop *l, const char *address, int32_t reason, int32_t *told,
                              uint64_t left_ns);
/* Close all connections after what they still have to send, within a second. */
void wan_loop_drain(wan_loop *l);
/* Close all connections, and wait for nothing: the other side needs no more. */
void wan_loop_leave(wan_loop *l);
void wan_loop_close(wan_loop *l);
/* Was it asked to end? */
bool wan_loop_is_ended(const wan_loop *l);
int  wan_loop_ends(const wan_loop *l); /* how often; 2: at least that */
/* Has SIGTERM or SIGINT arrived, since a loop was opened without an ender? */
bool wan_signals_end(void);
/* The time of the connections' callbacks. */
static inline uint64_t wan_loop_now_ns(const wan_loop *l) { return dx_reactor_now_ns(&l->reactor); }

#endif
