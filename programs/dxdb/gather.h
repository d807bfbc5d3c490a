/* Gathers what each transaction of a logical replication has changed: for every table the changed keys,
   as payloads of the form that triggers send (keys.h). Committed transactions wait in a queue until
   they are seen to be visible (stream.h). It does no input or output.

   Memory is bounded, however large a transaction is: a table with too many changed keys is told as a
   whole, a transaction with too many tables as a change of all of them. */
#ifndef DXDB_GATHER_H
#define DXDB_GATHER_H

#include "pgoutput.h"

enum {
    DXDB_GATHER_COLUMNS_MAX   = 8,       /* that are keys, per table */
    DXDB_GATHER_TABLES_MAX    = 256,     /* per transaction */
    DXDB_GATHER_KEYS_MAX      = 4096,    /* different ones, per table and column */
    DXDB_GATHER_ALL_KEYS_MAX  = 32768,   /* per transaction */
    DXDB_GATHER_RELATIONS_MAX = 4096,    /* whose columns are remembered, */
    DXDB_GATHER_COLUMNS_BYTES = 4 << 20, /* in this many bytes */
    DXDB_GATHER_QUEUE_MAX     = 4096,    /* transactions that wait: then read no more, */
    DXDB_GATHER_QUEUE_BYTES   = 8 << 20  /* with their keys. Beyond that, tables are told as a whole */
};

/* What dxdb_gather_calls.keys returns instead of a number of keys. */
enum { DXDB_GATHER_NOT_READ = -1, DXDB_GATHER_NOT_KNOWN = -2 };

typedef struct dxdb_gather_key { /* a column that is the key of some query */
    uint32_t    column; /* the hash of its name */
    char        kind;   /* see keys.h */
    const char *name;
} dxdb_gather_key;

typedef struct dxdb_gather_calls {
    /* The key columns of a table, at most DXDB_GATHER_COLUMNS_MAX, each once. NOT_READ: no query reads
       the table. NOT_KNOWN: that, or what its keys are, cannot be said now. */
    int (*keys)(void *user, uint32_t relation, dxdb_gather_key *keys);
    char (*kind)(uint32_t type);                       /* of a column's type; 0: it is no key */
    uint64_t (*hash)(const char *text, size_t size);   /* of a key, 48 bits */
    void *user;
} dxdb_gather_calls;

/* A transaction that was committed. */
typedef struct dxdb_committed {
    struct dxdb_committed *next;
    uint32_t xid;
    uint64_t position;   /* of its commit */
    bool     is_all;     /* any table may have changed */
    bool     is_read;    /* some table of it is, or may be, read by a query */
    size_t   size;       /* of the payloads, */
    char     payloads[]; /* each terminated */
} dxdb_committed;

typedef struct dxdb_gather { /* {0} with calls and generation is empty; the first fields may be read */
    const dxdb_gather_calls *calls;
    uint32_t generation;    /* set it to another value when `keys` gives other answers */
    bool     is_one_key_text; /* set it: equal keys have equal texts in this database */
    uint64_t position;      /* everything before it has been received */
    uint64_t transactions;  /* committed, that changed something */
    dxdb_committed *first;
    uint32_t waiting;       /* transactions in the queue, */
    uint32_t waiting_read;  /* and those with is_read */
    size_t   waiting_bytes;

    dxdb_committed **last;
    struct dxdb_relation *relations; /* an array */
    uint32_t relation_count;
    uint32_t relation_capacity;
    size_t   relation_bytes;
    uint32_t buckets[1024];          /* 1 + the index of a relation */
    struct dxdb_gathered *tables;    /* of the transaction that is being received */
    uint32_t table_count;
    uint32_t keys;
    bool     is_all;
    bool     is_open;                /* it began, and has not ended */
    uint32_t xid;
    uint64_t commit;
} dxdb_gather;

/* Take a message. NULL, or the reason why it cannot be: the connection is to be given up. */
const char *dxdb_gather_take(dxdb_gather *g, const dxdb_pgoutput *m);
/* All changes before this position have left the queue. */
uint64_t dxdb_gather_told(const dxdb_gather *g);
/* Remove the transaction *at of the queue, and free it. */
void dxdb_gather_remove(dxdb_gather *g, dxdb_committed **at);
/* Forget everything: of another connection nothing continues. */
void dxdb_gather_reset(dxdb_gather *g);

/* Is a transaction visible in a snapshot, as text: `xmin:xmax:xid,xid`? False also if it is
   malformed. */
bool dxdb_snapshot_has(const char *snapshot, uint32_t xid);

#endif
