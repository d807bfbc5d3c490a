/* A TOML parser that reports one value after the other; see toml.cpp, which is linked where the build
   found toml++ (PROG_TOML). */
#ifndef PROG_TOML_H
#define PROG_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum prog_toml_kind {
    PROG_TOML_TEXT,
    PROG_TOML_INTEGER,
    PROG_TOML_BOOL,
    PROG_TOML_FRACTION,
    PROG_TOML_OTHER, /* a date */
    PROG_TOML_EMPTY  /* a table or an array with nothing in it */
} prog_toml_kind;

enum { PROG_TOML_DEPTH_MAX = 4 };

typedef struct prog_toml_value {
    const char    *keys[PROG_TOML_DEPTH_MAX];   /* "query", "parameters" for query[2].parameters[0] */
    uint32_t       places[PROG_TOML_DEPTH_MAX]; /* 2, 0: index in the array of that name; 0: no array */
    bool           listed[PROG_TOML_DEPTH_MAX]; /* it is in such an array */
    uint32_t       depth;                       /* number of keys */
    prog_toml_kind kind;
    const char    *text; /* terminated, without zero bytes inside */
    int64_t        number;
    double         fraction; /* INTEGER: the same number */
    uint32_t       line;
} prog_toml_value;

/* Call each() for every value of a document: those of a table in the order of the document. A result
   that is not 0 ends the loop and is returned. -1: it is not TOML, or nested too deep; *line and
   message give line and reason. */
int prog_toml_read(const char *document, size_t size,
                   int (*each)(void *user, const prog_toml_value *value), void *user,
                   uint32_t *line, char *message, size_t message_size);

/* "toml++ 3.3.0", or "no toml++". */
#ifdef PROG_TOML
const char *prog_toml_library(void);
#else
static inline const char *prog_toml_library(void) { return "no toml++"; }
#endif

/* >>toml_values.c ---- */
enum { PROG_TOML_SIZE_MAX = 1 << 20 };
/* prog_load() a configuration of at most that size, which a pipe of this process may have. before: the
   beginning of messages, or "". The caller frees *out. */
int prog_toml_load(const char *before, const char *path, char **out, size_t *size);
enum { PROG_TOML_WHY_SIZE = 100 };
/* Both return NULL, or why the value is refused; then *out stays as it was.
   A string that is not empty, as an allocated copy; frees the text that was in *out. */
const char *prog_toml_text(const prog_toml_value *value, char **out);
/* An integer from min to max. why: holds the returned reason. */
const char *prog_toml_number(const prog_toml_value *value, uint64_t min, uint64_t max, uint64_t *out,
                             char why[PROG_TOML_WHY_SIZE]);

#ifdef __cplusplus
}
#endif
#endif
