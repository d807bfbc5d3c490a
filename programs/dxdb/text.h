/* A growing text buffer. */
#ifndef DXDB_TEXT_H
#define DXDB_TEXT_H

#include "dxdb.h"

typedef struct dxdb_text { /* {0} is empty */
    char  *bytes; /* not terminated */
    size_t size;
    size_t capacity;
} dxdb_text;

void dxdb_text_put(dxdb_text *t, const void *bytes, size_t size);
void dxdb_text_add(dxdb_text *t, const char *text);
void dxdb_text_number(dxdb_text *t, uint64_t number);
/* Appends at most 1,024 bytes. */
void dxdb_text_format(dxdb_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Append a JSON string of UTF-8, with its quotes. */
void dxdb_text_quote(dxdb_text *t, const char *text, size_t size);
void dxdb_text_free(dxdb_text *t);

#endif
