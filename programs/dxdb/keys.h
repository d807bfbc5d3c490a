/* Keys: which rows of a table a query depends on, and which have changed.

   A query has the key COLUMN = PARAMETER for a table if every scan of this table in its plan has
   that condition. Then its result does not depend on other rows, whatever plan is chosen. The plan is
   the generic one, in which parameters are still $1, $2 ...

   The payload of a trigger names the table, and for each of its key columns the keys of the rows
   that have changed, old and new ones:

       16402                                     any row may have changed
       16402 5a09c8bf:6b86b273ff34d4735e3a2e6f   column 5a09c8bf: the keys 6b86b273ff34, d4735e3a2e6f

   A column is the first 8 hexadecimal digits of the SHA-256 of its name, a key the first 12 of that
   of its text. So they need no quoting, and two keys that collide are only read once too often. */
#ifndef DXDB_KEYS_H
#define DXDB_KEYS_H

#include "config.h"
#include "text.h"

#include <libpq-fe.h>

typedef struct dxdb_key {  /* of a query, for one of its tables */
    char     kind;         /* 'i': an integer, 't': a text, 'u': a uuid; 0: there is no key */
    uint32_t parameter;    /* index of the parameter */
    uint32_t column;       /* hash of the column's name */
    char     name[DXDB_NAME_SIZE_MAX + 1];
} dxdb_key;

typedef struct dxdb_change { /* a payload */
    Oid         member;    /* the table */
    bool        is_whole;  /* any row may have changed */
    const char *keys;      /* what follows the table */
} dxdb_change;

/* The statement whose result is the plan of the prepared statement `described`, terminated. */
void dxdb_keys_put_explain(dxdb_text *t, uint32_t parameter_count);
/* Selects the scans of a plan, $1: root of the table, kind of node, conditions, columns that may be
   keys. Nothing if the plan has parts in which $1 may be something else than a parameter. */
extern const char dxdb_keys_sql[];
/* Find the key for a table. types: of the parameters. */
void dxdb_keys_find(const PGresult *scans, Oid root, const Oid *types, uint32_t parameter_count,
                    dxdb_key *key);
/* The hash of a parameter's value; never 0. False: there is no key, or it is not in a form whose
   equality is known, so any change may concern it. */
bool dxdb_key_hash(const dxdb_key *key, const char *const *values, uint64_t *hash);

/* The kind of a column's type, or 0; and the hash of a key's text as payloads have it. */
char dxdb_key_kind(uint32_t type);
uint64_t dxdb_key_hash_text(const char *text, size_t size);

/* Parse a payload, which is borrowed. What is malformed is a change of the whole table. */
void dxdb_change_parse(dxdb_change *change, const char *payload);
/* Does it list the changed keys of this column? */
bool dxdb_change_has_column(const dxdb_change *change, uint32_t column);
/* The next changed key; *at is NULL at first. False: there are no more. */
bool dxdb_change_next(const dxdb_change *change, const char **at, uint32_t *column, uint64_t *hash);

#endif
