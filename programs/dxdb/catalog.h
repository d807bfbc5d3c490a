/* The descriptions of the queries, and notifications of changes of the tables that they read. One
   connection describes each query and receives the notifications of the triggers (triggers.c); or
   another one receives changes by logical replication (stream.h). At every heartbeat it checks whether
   tables, triggers and all else that decides about a result are unchanged, and whether a refused query
   has become valid. */
#ifndef DXDB_CATALOG_H
#define DXDB_CATALOG_H

#include "config.h"
#include "connection.h"
#include "keys.h"
#include "stream.h"
#include "rows.h"
#include "text.h"

#define DXDB_CHANNEL "dxdb"

typedef struct dxdb_described { /* a query */
    bool      is_refused;    /* by the database: checked again at every heartbeat */
    bool      is_ready;      /* if not, why has the reason */
    bool      is_tracked;    /* every table that it reads notifies of changes */
    bool      is_timed;      /* its ttl allows caching even if they do not */
    dxdb_rows rows;
    dxdb_pg_type parameters[DXDB_PARAMETERS_MAX];
    Oid       roots[DXDB_TABLES_MAX]; /* the tables that it reads; for a partition its topmost table */
    uint32_t  root_count;
    dxdb_key  keys[DXDB_TABLES_MAX];  /* of each of them, see keys.h */
    PGresult *columns;       /* names and types, until the types are resolved */
    char      why[DXDB_TEXT_SIZE];
    char      note[DXDB_TEXT_SIZE]; /* why it is not cached, if it should be */
} dxdb_described;

typedef struct dxdb_catalog dxdb_catalog;

/* Waits until every change up to a position of the database's log was reported. Owned by the caller;
   not to be moved until `reached` was called or dxdb_catalog_forget(). */
typedef struct dxdb_wait dxdb_wait;
struct dxdb_wait {
    /* Once: DXDB_OK, or the status and reason of a failure. May begin other waits. */
    void (*reached)(dxdb_wait *w, uint16_t status, const char *why);
    uint64_t   position;

    uint64_t   until_ns; /* private */
    uint64_t   asked;    /* the last question that was sent before it began */
    dxdb_wait *next;
    dxdb_wait *prev;
    bool       waits;
};

/* The callbacks. */
typedef struct dxdb_catalog_calls {
    /* The queries are described, again after each `down`. From here on every change is reported. */
    void (*up)(dxdb_catalog *c);
    /* Changes may be missed from here on, until `up`; also called when the schema has changed.
       why: for the log; reason: the same without names. */
    void (*down)(dxdb_catalog *c, const char *why, const char *reason);
    /* The content of a table has changed. If it is not whole, it lists the keys of every column that
       is the key of a query for this table. */
    void (*changed)(dxdb_catalog *c, Oid root, const dxdb_change *change);
} dxdb_catalog_calls;

struct dxdb_catalog { /* the first fields may be read */
    bool            is_up;
    uint32_t        generation; /* counts calls of `up` */
    dxdb_described *queries;
    uint64_t        notifications; /* of changes; by replication, transactions with changes */
    uint64_t        position;   /* of the log: changes of all smaller ones were reported */
    uint32_t        index;      /* set it: of the worker */
    bool            is_quiet;   /* set it: print no messages, another catalog prints them */
    void           *user;

    const dxdb_config        *config;
    const dxdb_catalog_calls *calls;
    dx_reactor               *reactor;
    dxdb_connection connection;
    dx_op           timer_op;
    int             phase;      /* see catalog.c */
    uint32_t        query;      /* whose answers come next */
    uint32_t        answer;     /* index of the next one in its phase */
    char           *plan;       /* of this query, until its scans are asked for */
    bool            asks_keys;  /* the next answers are these */
    struct {
        Oid member;
        Oid root;
    }              *members;    /* tables that send notifications, and the table each belongs to */
    uint32_t        member_count;
    uint32_t        member_capacity;
    uint32_t        stuck;      /* heartbeats in a row whose answer is overdue */
    bool            probes;     /* the next answers belong to a refused query */
    bool            reload;     /* reload once all answers have arrived */
    bool            asks_position; /* the next answers are a position and a sync */
    bool            is_check_due;   /* a heartbeat found the connection busy */
    uint64_t        asked;      /* questions for the position that were sent */
    uint64_t        reached;    /* its answer, until the notifications before the sync are read */
    dxdb_wait      *waits;
    dx_op           wait_op;    /* while there are waits: looks at their deadlines, and asks again */
    bool            has_look;   /* the statement that looks is prepared */
    bool            is_settled; /* the last two looks found the same */
    uint32_t        passes;     /* descriptions during which something has changed */
    char            fingerprint[64];
    dxdb_stream     stream;     /* of replication, as is all below */
    dxdb_gather_calls keys;
    dx_op           see_op;     /* looks again at transactions that were not visible */
    bool            cannot_flush; /* the role may not write to the log */
    bool            asks_flush;   /* the question has a position to be flushed */
    bool            sees_all;     /* of a new description: also what no query read before */
    uint32_t        unseen;     /* looks in a row that found none visible */
    uint64_t        log_end;    /* at the last heartbeat */
    char            publication[64]; /* what it publishes; before the slot was created */
};

/* Selects all tables that a query reads or that belong to these, one per row: OID of the topmost
   table, its own OID, its name, and whether it notifies of changes. $1: names of tables; NULL: the
   tables that this transaction has locked by preparing the query. $2: the publication that has to
   have them; NULL: triggers are to notify. */
extern const char dxdb_tables_sql[];
/* The types to prepare a statement of a write with. The statements share the list of parameters; those
   that one does not use have type text, because the server cannot infer their type. */
void dxdb_parameter_types(const char *sql, uint32_t count, Oid types[DXDB_PARAMETERS_MAX]);
/* Selects the end of the log, as a number. */
extern const char dxdb_position_sql[];
/* A position in PostgreSQL's notation, such as 0/16B3748. False: malformed. */
bool dxdb_position_parse(const char *text, size_t size, uint64_t *position);
/* Append the names in the configuration, for $1, terminated. */
void dxdb_put_table_names(dxdb_text *t, const dxdb_query_config *q);

void dxdb_catalog_begin(dxdb_catalog *c, dx_reactor *r, const dxdb_config *config,
                        const dxdb_catalog_calls *calls, void *user, uint64_t seed);
/* Describe everything again: a result did not match the catalog. */
void dxdb_catalog_reload(dxdb_catalog *c, const char *why);
/* Wait for a position, at most for the given time. `reached` may be called inside. */
void dxdb_catalog_wait(dxdb_catalog *c, dxdb_wait *w, uint64_t position, uint64_t within_ns);
/* Allowed also after the end of the wait. */
void dxdb_catalog_forget(dxdb_catalog *c, dxdb_wait *w);
void dxdb_catalog_end(dxdb_catalog *c);
bool dxdb_catalog_is_ended(const dxdb_catalog *c);
/* After the event loop was closed. */
void dxdb_catalog_free(dxdb_catalog *c);

#endif
