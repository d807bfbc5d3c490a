/* A TOML parser that reports one value after the other; see toml.cpp. */
#ifndef DXDB_TOML_H
#define DXDB_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dxdb_toml_kind {
    DXDB_TOML_TEXT,
    DXDB_TOML_INTEGER,
    DXDB_TOML_BOOL,
    DXDB_TOML_OTHER /* a date, a fraction; an empty array or table */
} dxdb_toml_kind;

enum { DXDB_TOML_DEPTH_MAX = 4 };

typedef struct dxdb_toml_value {
    const char    *keys[DXDB_TOML_DEPTH_MAX];   /* "query", "parameters" for query[2].parameters[0] */
    uint32_t       places[DXDB_TOML_DEPTH_MAX]; /* 2, 0: index in the array of that name; 0: no array */
    uint32_t       depth;                       /* number of keys */
    dxdb_toml_kind kind;
    const char    *text; /* terminated, without zero bytes inside */
    int64_t        number;
    uint32_t       line;
} dxdb_toml_value;

/* Call each() for every value of a document, in any order. A result that is not 0 ends the loop and
   is returned. -1: it is not TOML, or nested too deep; *line and message give line and reason. */
int dxdb_toml_read(const char *document, size_t size,
                   int (*each)(void *user, const dxdb_toml_value *value), void *user,
                   uint32_t *line, char *message, size_t message_size);

#ifdef __cplusplus
}
#endif
#endif
