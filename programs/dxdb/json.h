/* Results of queries, and their types, as JSON. */
#ifndef DXDB_JSON_H
#define DXDB_JSON_H

#include "rows.h"
#include "text.h"

/* Append the rows of a record of dxdb_rows_write(), as an array of objects. Numbers are numbers;
   NaN, infinities, numerics, dates, times, uuids and bytea ("\x0a") are strings; json is
   embedded as it is. */
void dxdb_json_rows(dxdb_text *t, const dxdb_rows *rows, const uint8_t *record, size_t size);
/* Append the type in the form of docs/formats/teleport.md, section 8. */
void dxdb_json_type(dxdb_text *t, const dxdb_type *type);
/* Append the columns, each as {"name":...,"type":...}. */
void dxdb_json_columns(dxdb_text *t, const dxdb_rows *rows);

#endif
