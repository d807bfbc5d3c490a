/* Maps the columns of a query to fields, and its rows to one record:

       QUERY:  rows   list of records ROW
       ROW:    for each column, in order, a field of its name; if that field cannot represent NULL, a
               bool NAME_null follows it

   | PostgreSQL                     | field         | value                                        |
   |--------------------------------|---------------|----------------------------------------------|
   | bool                           | optional bool |                                              |
   | smallint, integer, bigint, oid | optional i16, i32, i64, u32                                  |
   | real, double precision         | optional f32, f64                                            |
   | timestamp, timestamptz         | optional i64  | us since 1970 (UTC); the largest and the     |
   |                                |               | smallest number: infinity and -infinity      |
   | date                           | optional i32  | days since 1970, infinities likewise         |
   | time                           | optional i64  | us since midnight                            |
   | uuid                           | array of 16 u8, NAME_null                                    |
   | bytea                          | list of u8, NAME_null                                        |
   | array of one of these, or text | list of records `value`, NAME_null; one dimension only       |
   | everything else: text, numeric, json, jsonb, enums, intervals ...                             |
   |                                | string, NAME_null: PostgreSQL's text format                  | */
#ifndef DXDB_ROWS_H
#define DXDB_ROWS_H

#include "type.h"

#include <libpq-fe.h>

typedef enum dxdb_kind {
    DXDB_TEXT, /* all other types */
    DXDB_JSON,
    DXDB_BOOL,
    DXDB_I16,
    DXDB_I32,
    DXDB_I64,
    DXDB_U32,
    DXDB_F32,
    DXDB_F64,
    DXDB_TIMESTAMP,
    DXDB_TIMESTAMPTZ,
    DXDB_DATE,
    DXDB_TIME,
    DXDB_UUID,
    DXDB_BYTEA
} dxdb_kind;

/* A type of the database. */
typedef struct dxdb_pg_type {
    Oid       oid;
    Oid       element; /* element type of an array; 0: not an array */
    dxdb_kind kind;    /* of the type, or of its elements */
    char      name[DXDB_NAME_SIZE_MAX + 1];
} dxdb_pg_type;

/* The kind of a type by its name in pg_catalog; otherwise DXDB_TEXT. */
dxdb_kind dxdb_kind_of(const char *name);

typedef struct dxdb_column {
    dxdb_pg_type pg;
    char         name[DXDB_FIELD_NAME_MAX + 1];
    uint32_t     field; /* index in the row; NAME_null is the next one */
    dxdb_type   *element; /* for arrays */
} dxdb_column;

typedef struct dxdb_rows { /* the layout of a query's results */
    dxdb_type    type; /* QUERY */
    dxdb_type    row;
    dxdb_column *columns;
    uint32_t     count;
} dxdb_rows;

/* Does the kind need a NAME_null, because its field cannot represent NULL? */
bool dxdb_kind_has_flag(dxdb_kind kind, bool array);

/* Make the layout for columns of these names and types. False: why names the column and the error.
   Free *rows in both cases. */
bool dxdb_rows_begin(dxdb_rows *rows, const char *query, uint32_t count, const char *const *names,
                     const dxdb_pg_type *types, char *why, size_t why_size);
void dxdb_rows_free(dxdb_rows *rows);

typedef enum dxdb_rows_status {
    DXDB_ROWS_OK,
    DXDB_ROWS_CHANGED, /* the columns of the result do not match the layout */
    DXDB_ROWS_TOO_BIG,
    DXDB_ROWS_BAD      /* a value that the layout cannot represent: see why */
} dxdb_rows_status;

/* Write the record of a result in text format. Free *w in every case. */
dxdb_rows_status dxdb_rows_write(const dxdb_rows *rows, const PGresult *result, size_t size_max,
                                 dxdb_writer *w, char *why, size_t why_size);

#endif
