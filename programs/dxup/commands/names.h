/* Names and versions on the command line, and their output. */
#ifndef DXUP_NAMES_H
#define DXUP_NAMES_H

#include "../../common/json.h"
#include "../../versions/store/store.h"

/* Find NAME, NAME@VERSION or NAME@TAG; for a tag, *out is the version that it points to.
   PROG_NOT_FOUND: the message lists what exists. */
int dxup_find(versions_store *s, const char *text, versions_version *out);
/* The same with an optional :PATH. *path: the path, or NULL. */
int dxup_find_path(versions_store *s, const char *text, versions_version *out, const char **path);

/* NAME@0 names no version, although elsewhere 0 means the latest one. PROG_USAGE: it is that. */
int dxup_refuse_zero(const char *text);

/* Refuse the address of a server where the path of a store is expected. PROG_USAGE: the
   message names the command for servers. */
int dxup_refuse_address(const char *store);

/* All names and tags of a store, for finding the tags of a version. */
typedef struct dxup_names {
    versions_version *list;
    size_t            count;
} dxup_names;

int  dxup_names_load(dxup_names *n, versions_store *s);
void dxup_names_free(dxup_names *n);
/* Iterate over the tags of NAME that point to a version, or with 0 over all. *at is 0 at the start.
   NULL: no more. */
const char *dxup_names_tag(const dxup_names *n, const char *name, uint64_t version, size_t *at);
/* Print a version as JSON. */
void dxup_print_json(const dxup_names *n, const versions_version *v);

#endif
