/* Senders that a receiver refuses: what is said of them, and how often each kind happened. A sender with many
   connections that tries again and again is one line in a period of 60 s, and one with the count at its end:

       dxwan: 192.0.2.7: TLS: it has no certificate
       dxwan: 192.0.2.7: TLS: it has no certificate: 37 more in 60 s

   A hostile crowd costs no more memory and no more lines than the table has places: all others are counted together.
   Called on one thread; only `counts` may be read by others. */
#ifndef WAN_REFUSALS_H
#define WAN_REFUSALS_H

#include "../../common/common.h"

#include <stdatomic.h>

typedef enum wan_refusal {
    WAN_REFUSED_TLS,  /* the handshake failed, or the certificate is refused */
    WAN_REFUSED_JOIN, /* another version, or a name that is not allowed */
    WAN_REFUSED_BUSY, /* another file is being received, or all connections are in use */
    WAN_REFUSED_FILE, /* it exists, is too large, or cannot be stored */
    WAN_REFUSALS
} wan_refusal;

enum { WAN_REFUSERS_MAX = 64, WAN_FROM_SIZE = 64, WAN_REASON_SIZE = 200 };

typedef struct wan_refused {
    wan_refusal kind;
    char        from[WAN_FROM_SIZE]; /* empty: a free place */
    char        reason[WAN_REASON_SIZE];
    uint64_t    since_ns;
    uint64_t    more; /* after the one that was said */
} wan_refused;

typedef struct wan_refusals {
    wan_refused    places[WAN_REFUSERS_MAX];
    wan_refused    others; /* without a place of their own */
    bool           was_said, was_known; /* a WAN_REFUSED_FILE, since the caller cleared these */
    atomic_ullong  counts[WAN_REFUSALS]; /* each of them */
} wan_refusals;

/* "tls" and so on, for metrics. */
const char *wan_refusal_name(wan_refusal kind);
/* The sender on this connection, as "192.0.2.7": without its port, which differs with each connection. */
void wan_refusals_from(int fd, char from[WAN_FROM_SIZE]);
/* Was a refusal of this kind said in this period? For a caller that has more to say of it. */
bool wan_refusals_is_known(const wan_refusals *r, wan_refusal kind, const char *from);
/* Count a refusal, and say it unless it was said in this period. said: the caller has done so. Of WAN_REFUSED_FILE
   all reasons are one. */
void wan_refusals_note(wan_refusals *r, wan_refusal kind, const char *from, const char *reason, bool said);
/* Say the counts of the periods that are over; all: of all of them, at the end. */
void wan_refusals_tick(wan_refusals *r, bool all);

#endif
