/* A query's results, and what they consist of, as JSON. */
#ifndef DXDB_JSON_H
#define DXDB_JSON_H

#include "rows.h"
#include "text.h"

/* The rows of a record that dxdb_rows_write() made: an array of objects. Numbers are numbers; NaN
   and infinities, numerics, dates, times, uuids and bytea ("\x0a") are strings; json is itself. */
void dxdb_json_rows(dxdb_text *t, const dxdb_rows *rows, const uint8_t *record, size_t size);
/* The type, as docs/formats/teleport.md, section 8, describes it. */
void dxdb_json_type(dxdb_text *t, const dxdb_type *type);
/* The columns: {"name":...,"type":...} each. */
void dxdb_json_columns(dxdb_text *t, const dxdb_rows *rows);

#endif
