/* Subscriptions. A followed result is the result of a query with certain parameters, which is read
   again after each change of a table, once for all subscribers. Those of HBTP get a patch of it
   (layers/dx_states.h), others are called.

   The content of its state, after the head of a StateSync or StateDelta:

       0  position u64   of the database's log: all changes whose position is smaller are in it
       8  status   u16   200: it is up to date. 503: the database is away; the record is the last
                         one. Others: the subscription has ended
       10 0        u16
       12 size     u32   of the record, or of the text
       16                StateSync: the record; or the reason of the end, a text
                         StateDelta: a patch of the record (docs/formats/patch.md); none: unchanged

   An epoch is one followed result of one run of dxdb. A subscriber that comes back later names the
   checksum of its record instead: if it matches the current record, no record is sent. */
#ifndef DXDB_FOLLOW_H
#define DXDB_FOLLOW_H

#include "patcher.h"
#include "results.h"

typedef struct dxdb_follow dxdb_follow;
typedef struct dxdb_followed dxdb_followed;

/* Asks for a followed result. Owned by the caller; not to be moved until ready or forgotten. */
typedef struct dxdb_watch dxdb_watch;
struct dxdb_watch {
    /* Once. DXDB_OK: `followed` is up to date, and stays for a while. May be called inside. */
    void (*ready)(dxdb_watch *w, uint16_t status, const char *why);
    dxdb_followed *followed;

    dxdb_watch *next;     /* private */
    dxdb_watch *prev;
    uint64_t    need;     /* the first query whose result it takes */
    uint64_t    until_ns;
    bool        waits;
};

/* A subscriber in this program. Owned by the caller; not to be moved until the end. */
typedef struct dxdb_listener dxdb_listener;
struct dxdb_listener {
    /* The record or the status has changed. After the call for the end, *l is the caller's again. */
    void (*changed)(dxdb_listener *l);
    dxdb_followed *followed; /* NULL: it does not listen */

    dxdb_listener *next;
    dxdb_listener *prev;
};

struct dxdb_followed { /* fields before the line may be read */
    dx_states_state state;
    uint32_t   query;
    uint16_t   status;
    bool       is_ended;
    char       why[DXDB_TEXT_SIZE]; /* if the status is not 200 */
    uint64_t   position;
    uint8_t   *record;
    size_t     record_size;
    /* ---- */
    dxdb_follow  *follow;
    dxdb_request  request;
    bool          is_loading;
    bool          is_dirty;     /* a table has changed since its query began */
    dxdb_patching *patching;    /* its next record, whose patch is being made: is_loading too */
    bool          is_shared;    /* its first query may use the cache, and join another */
    uint64_t      loads;        /* queries that were begun */
    uint64_t      layout;       /* of the record's type */
    uint8_t      *patch;        /* from patch_from to the current version */
    size_t        patch_size;   /* 0: the record is the same */
    uint64_t      patch_from;   /* 0: none */
    uint64_t      due_ns;       /* of the next attempt after a failure; the end of an ended one */
    uint32_t      failures;
    uint64_t      used_ns;      /* when somebody was interested last, */
    uint64_t      wanted_ns;    /* and in patches */
    dxdb_watch    *watches;
    dxdb_listener *listeners;
    dxdb_followed *next;
    dxdb_followed *prev;
    dxdb_followed *key_next;    /* in the bucket of its query and parameters */
    dxdb_followed *number_next; /* in the bucket of its number */
    uint32_t      key;
    struct dxdb_place *places;  /* where changes look for it: one for each table that it reads */
    uint32_t      place_count;
    const char   *values[DXDB_PARAMETERS_MAX];
    char          texts[];
};

/* A followed result in the bucket of a table, or of a key of it. */
typedef struct dxdb_place {
    dxdb_followed     *followed;
    Oid                root;
    uint32_t           column; /* 0: any change of the table concerns it */
    uint64_t           hash;   /* of the key */
    uint32_t           bucket;
    struct dxdb_place *next;
    struct dxdb_place *prev;
} dxdb_place;

enum {
    DXDB_FOLLOW_BUCKETS    = 4096,
    DXDB_FOLLOW_PLACES     = 16384,
    DXDB_SUBSCRIPTIONS_MAX = 64 /* of a connection */
};

struct dxdb_follow { /* private, except states and check */
    dx_states      states;
    /* May this session subscribe? 0, or the status of the refusal. */
    uint16_t     (*check)(const dx_hbtp_session *session);
    dxdb_results  *results;
    dx_reactor    *reactor;
    const dxdb_config *config;
    dxdb_followed *all;
    dxdb_followed *by_key[DXDB_FOLLOW_BUCKETS];
    dxdb_followed *by_number[DXDB_FOLLOW_BUCKETS];
    dxdb_place    *by_change[DXDB_FOLLOW_PLACES];
    uint32_t       count;
    uint32_t       numbers;  /* given out */
    uint64_t       bytes;    /* of all records and patches */
    uint64_t       seed;     /* of the hash of parameters */
    uint64_t       epochs;   /* epochs are this and the number of a result */
    void          *memory;
    uint8_t       *scratch;
    dx_op          tick_op;
    dx_op          send_op;
    dx_op          patch_op;
    dxdb_patching *patchings; /* that were submitted, and not freed */
    bool           is_over;
};

/* Subscriptions of all connections of a worker. */
uint32_t dxdb_follow_capacity(const dxdb_config *config);
/* Returns PROG_OK, or prints a message. */
int  dxdb_follow_begin(dxdb_follow *f, dx_reactor *r, dxdb_results *results);
/* fresh: the result of a query that begins after this call, whatever is in memory. */
void dxdb_follow_watch(dxdb_follow *f, uint32_t query, const char *const *values, bool fresh,
                       dxdb_watch *w);
void dxdb_follow_forget(dxdb_watch *w);
/* Is it the epoch of a result that is followed here? */
bool dxdb_follow_has_epoch(const dxdb_follow *f, uint64_t epoch);
/* Write an integer as subscribers and callers get it: little-endian. */
void dxdb_put_number(uint8_t *out, uint64_t value, int size);
/* The first 16 bytes of the SHA-256 of its record. */
void dxdb_follow_checksum(const dxdb_followed *f, uint8_t out[16]);
/* Be called for changes of w->followed, which was just ready. */
void dxdb_follow_listen(dxdb_followed *f, dxdb_listener *l);
void dxdb_follow_leave(dxdb_listener *l);
void dxdb_follow_measure(dxdb_follow *f);
/* No more queries. */
void dxdb_follow_end(dxdb_follow *f);
bool dxdb_follow_is_ended(const dxdb_follow *f);
/* After the event loop was closed. */
void dxdb_follow_free(dxdb_follow *f);

#endif
