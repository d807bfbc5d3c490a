/* Sends versions to a `dxup serve --push` elsewhere while they are captured: docs/formats/push.md. */
#ifndef DXKEEP_SHIP_H
#define DXKEEP_SHIP_H

#include "keep.h"

typedef enum keep_ship_state {
    KEEP_SHIP_AWAY,    /* the remote does not answer, or not in time */
    KEEP_SHIP_WAITS,   /* another dxkeep has the lease */
    KEEP_SHIP_READY,
    KEEP_SHIP_REFUSED, /* the remote refused a version; it is offered again later */
    KEEP_SHIP_OTHER,   /* the remote has other versions under this name */
    KEEP_SHIP_FENCED,  /* another dxkeep has taken over: nothing more is sent */
    KEEP_SHIP_STATES
} keep_ship_state;

enum { KEEP_SHIP_HOLDER = 16, KEEP_SHIP_WHY = 160 };

typedef struct keep_ship_record { /* also in the store, for status and the next start */
    keep_ship_state state;
    uint64_t version;    /* the latest one that the remote has; 0: none */
    int64_t  time_ns;    /* of that version */
    uint64_t log_size;   /* of the store when it was added, as far as that is known */
    uint64_t behind;     /* later versions, which the remote lacks */
    uint64_t bytes;      /* by which the store has grown since; not in the record */
    int64_t  since_ns;   /* time of the oldest of these versions; 0: none */
    uint64_t skipped;    /* versions left out since the start, because too many waited */
    uint64_t sent;       /* bytes on the wire since the start */
    uint64_t epoch;      /* of the lease */
    uint8_t  holder[KEEP_SHIP_HOLDER];
    uint8_t  root[PROG_HASH_SIZE]; /* of that version */
    char     remote[PROG_PATH_SIZE_MAX + 1]; /* as given */
    char     why[KEEP_SHIP_WHY];   /* in what is wrong; or "" */
} keep_ship_record;

/* "away", "ready" ... */
const char *keep_ship_state_name(keep_ship_state state);

typedef struct keep_ship keep_ship;
/* Start the thread. It holds the lease, and sends once keep_ship_begin() was called: the store has its first
   versions then. NULL without --remote. */
int  keep_ship_open(keep_ship **out, const keep_options *o);
void keep_ship_begin(keep_ship *s); /* s may be NULL */
/* Is the lease held? *failed: it never will be. */
bool keep_ship_leads(keep_ship *s, bool *failed);
/* Has the remote accepted that this store continues its versions? *why: it never will. */
bool keep_ship_agrees(keep_ship *s, char why[KEEP_SHIP_WHY]);
/* From now on write to *end_ns when the lease ends unless it is renewed, as early as the remote may see it
   (prog_now_ns(); 1: another dxkeep has it). Atomic, and readable by other processes. */
void keep_ship_tell_lease(keep_ship *s, int64_t *end_ns);
/* A version was added, or is the latest one at the start; the store has this size now. s may be NULL. */
void keep_ship_added(keep_ship *s, const versions_version *v, uint64_t store_size);
/* Wait until all is sent, at most until this time (prog_now_ns()), while something goes on. */
void keep_ship_finish(keep_ship *s, int64_t until_ns);
void keep_ship_now(keep_ship *s, keep_ship_record *out);
void keep_ship_close(keep_ship *s);
/* False: the store's versions of that name were never sent. */
bool keep_ship_read(const char *store, const char *name, keep_ship_record *out);

#endif
