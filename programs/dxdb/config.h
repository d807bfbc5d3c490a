/* The configuration, a TOML file; README.md lists its keys. */
#ifndef DXDB_CONFIG_H
#define DXDB_CONFIG_H

#include "dxdb.h"

typedef struct dxdb_config_lines { /* of the file, for messages; 0: not there */
    uint32_t first; /* of its first key */
    uint32_t name;
    uint32_t method;
    uint32_t parameters;
} dxdb_config_lines;

typedef struct dxdb_query_config {
    char    *name;
    char    *sql;
    char    *parameters[DXDB_PARAMETERS_MAX]; /* names of $1, $2, ... */
    char    *tables[DXDB_TABLES_MAX];         /* as written; none: the database determines them */
    uint32_t parameter_count;
    uint32_t table_count;
    uint64_t ttl_ms; /* 0: not set */
    uint8_t  method; /* HBTP method; 0: its index, counted from 1 */
    dxdb_config_lines lines;
} dxdb_query_config;

typedef struct dxdb_write_config { /* a transaction that an RPC runs */
    char    *name;
    char    *statements[DXDB_STATEMENTS_MAX];
    char    *parameters[DXDB_PARAMETERS_MAX]; /* names of $1, $2, ..., the same in all statements */
    uint32_t statement_count;
    uint32_t parameter_count;
    uint8_t  method; /* HBTP method; 0: its index, counted on from the last query's */
    dxdb_config_lines lines;
    uint32_t statement_lines[DXDB_STATEMENTS_MAX];
} dxdb_write_config;

enum { DXDB_ORIGINS_MAX = 16 };

typedef struct dxdb_config {
    /* [server] */
    char    *hbtp;           /* HOST:PORT; NULL: not served */
    char    *http;
    uint32_t connections;    /* limit per protocol and worker */
    uint32_t result_max;     /* bytes per record */
    uint64_t request_ms;     /* from a request to its answer, or to the refusal */
    char    *tls_cert;       /* a file in PEM, with its chain; NULL: no TLS */
    char    *tls_key;
    uint32_t workers;        /* 0: one per processor */
    char    *origins[DXDB_ORIGINS_MAX]; /* origins that may read HTTP answers; "*": all */
    uint32_t origin_count;
    /* [auth] */
    char    *secret_file;    /* NULL: no token is needed */
    char    *issuer;         /* NULL: any */
    char    *audience;
    /* [limit] */
    uint32_t rate;           /* requests per second and subject; 0: unlimited */
    uint32_t burst;          /* 0: rate */
    /* [database] */
    char    *url;            /* a connection string of libpq */
    bool     replicates;     /* source = "replication": changes come from it, and not from triggers */
    char    *publication;
    uint32_t pool;           /* connections that run queries, per worker */
    uint32_t waiting_max;    /* requests that may wait for one of them */
    uint64_t heartbeat_ms;   /* interval of checks of the schema and of the listening connection */
    /* [cache] */
    uint64_t cache_bytes;
    uint32_t cache_entries;
    uint64_t ttl_ms;
    /* [subscribe] */
    uint32_t states;         /* results that are kept up to date, per worker */
    uint64_t states_bytes;   /* their total size */
    uint64_t lag_ms;         /* a subscriber that has read nothing for this time is closed */
    /* [[query]] */
    dxdb_query_config queries[DXDB_QUERIES_MAX];
    uint32_t query_count;
    /* [[write]] */
    dxdb_write_config writes[DXDB_WRITES_MAX];
    uint32_t write_count;
} dxdb_config;

/* Read and check a file. PROG_NOT_FOUND, PROG_USAGE: a message gives the error and its line. Free
   *c also after an error. */
int  dxdb_config_read(dxdb_config *c, const char *path);
void dxdb_config_free(dxdb_config *c);
/* The index of a query; -1: not found. */
int  dxdb_config_find(const dxdb_config *c, const char *name, size_t size);
int  dxdb_config_find_write(const dxdb_config *c, const char *name, size_t size);

#endif
