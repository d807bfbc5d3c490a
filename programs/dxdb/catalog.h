/* What the database says of the queries, and when what they read changes: one connection that
   describes each query, hears the notifications of the triggers (triggers.c), and looks every
   heartbeat whether tables and triggers are still those that it knows, and whether a query that was
   refused is a good one now. */
#ifndef DXDB_CATALOG_H
#define DXDB_CATALOG_H

#include "config.h"
#include "connection.h"
#include "rows.h"
#include "text.h"

#define DXDB_CHANNEL "dxdb"

typedef struct dxdb_described { /* a query */
    bool      is_refused;    /* by the database: looked at again every heartbeat */
    bool      is_ready;      /* else why says what is wrong */
    bool      is_tracked;    /* every table that it reads tells of its changes */
    bool      is_timed;      /* it may be kept for its ttl, whether they do or not */
    dxdb_rows rows;
    dxdb_pg_type parameters[DXDB_PARAMETERS_MAX];
    Oid       roots[DXDB_TABLES_MAX]; /* what it reads; of partitions the table on top */
    uint32_t  root_count;
    PGresult *columns;       /* their names and types, until the types are known */
    char      why[DXDB_TEXT_SIZE];
} dxdb_described;

typedef struct dxdb_catalog dxdb_catalog;

/* What it calls. */
typedef struct dxdb_catalog_calls {
    /* The queries are described, anew after each `down`. From here on every change is told. */
    void (*up)(dxdb_catalog *c);
    /* Changes may be missed from here on, until `up`; also when the schema has changed. */
    void (*down)(dxdb_catalog *c, const char *why);
    /* What stands in a table has changed. */
    void (*changed)(dxdb_catalog *c, Oid root);
} dxdb_catalog_calls;

struct dxdb_catalog { /* the first fields may be read */
    bool            is_up;
    uint32_t        generation; /* how often it was up */
    dxdb_described *queries;
    uint64_t        notifications;
    bool            is_quiet;   /* set it: another catalog says the same */
    void           *user;

    const dxdb_config        *config;
    const dxdb_catalog_calls *calls;
    dx_reactor               *reactor;
    dxdb_connection connection;
    dx_op           timer_op;
    int             phase;      /* see catalog.c */
    uint32_t        query;      /* whose answers come next */
    uint32_t        answer;     /* the place of the next one in its phase */
    struct {
        Oid member;
        Oid root;
    }              *members;    /* tables that tell of changes, and what they belong to */
    uint32_t        member_count;
    uint32_t        member_capacity;
    uint32_t        stuck;      /* heartbeats in a row without an answer that is due */
    bool            probes;     /* the next answers are those of a query that was refused */
    bool            reload;     /* wanted, when what was asked is answered */
    char            fingerprint[64];
};

/* Every table that belongs to what a query reads, one a row: the number of the table on top of it,
   its own, its name, and whether it tells of its changes. $1: names of tables; NULL: those that this
   transaction has locked, as it has prepared the query. */
extern const char dxdb_tables_sql[];
/* The names in the configuration, for $1, with a zero at the end. */
void dxdb_put_table_names(dxdb_text *t, const dxdb_query_config *q);

void dxdb_catalog_begin(dxdb_catalog *c, dx_reactor *r, const dxdb_config *config,
                        const dxdb_catalog_calls *calls, void *user, uint64_t seed);
/* Describe everything again: a result was not what the catalog says. */
void dxdb_catalog_reload(dxdb_catalog *c, const char *why);
void dxdb_catalog_end(dxdb_catalog *c);
bool dxdb_catalog_is_ended(const dxdb_catalog *c);

#endif
