/* The configuration, a TOML file; README.md lists its keys. */
#ifndef DXDB_CONFIG_H
#define DXDB_CONFIG_H

#include "dxdb.h"

typedef struct dxdb_query_config {
    char    *name;
    char    *sql;
    char    *parameters[DXDB_PARAMETERS_MAX]; /* names, of $1, $2, ... */
    char    *tables[DXDB_TABLES_MAX];         /* as written; none: the database says which */
    uint32_t parameter_count;
    uint32_t table_count;
    uint64_t ttl_ms; /* 0: not said */
    uint8_t  method; /* of HBTP; 0: its place, from 1 on */
} dxdb_query_config;

enum { DXDB_ORIGINS_MAX = 16 };

typedef struct dxdb_config {
    /* [server] */
    char    *hbtp;           /* HOST:PORT; NULL: not served */
    char    *http;
    uint32_t connections;    /* of each protocol and worker */
    uint32_t result_max;     /* bytes of a record */
    uint64_t request_ms;     /* from a request to its answer, or the refusal */
    uint32_t workers;        /* 0: one for each processor */
    char    *origins[DXDB_ORIGINS_MAX]; /* whose pages may read answers of HTTP; "*": all */
    uint32_t origin_count;
    /* [auth] */
    char    *secret_file;    /* NULL: nobody needs a token */
    char    *issuer;         /* NULL: any */
    char    *audience;
    /* [limit] */
    uint32_t rate;           /* requests a second of a subject; 0: any number */
    uint32_t burst;          /* 0: rate */
    /* [database] */
    char    *url;            /* what libpq takes */
    uint32_t pool;           /* connections of a worker that run queries */
    uint32_t waiting_max;    /* requests that may wait for one */
    uint64_t heartbeat_ms;   /* between looks at the schema and the connection that hears changes */
    /* [cache] */
    uint64_t cache_bytes;
    uint32_t cache_entries;
    uint64_t ttl_ms;
    /* [[query]] */
    dxdb_query_config queries[DXDB_QUERIES_MAX];
    uint32_t query_count;
} dxdb_config;

/* Read and check a file. PROG_NOT_FOUND, PROG_USAGE: a message says what and where. *c is to be
   freed also after an error. */
int  dxdb_config_read(dxdb_config *c, const char *path);
void dxdb_config_free(dxdb_config *c);
/* The place of a query; -1: there is none. */
int  dxdb_config_find(const dxdb_config *c, const char *name, size_t size);

#endif
