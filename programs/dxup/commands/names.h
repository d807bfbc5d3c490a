/* Names and versions as the command line gives them, and as the commands print them. */
#ifndef DXUP_NAMES_H
#define DXUP_NAMES_H

#include "../../common/json.h"
#include "../../versions/store/store.h"

/* Find NAME, NAME@VERSION or NAME@TAG; of a tag *out is the version that it stands for.
   PROG_NOT_FOUND comes with a message that says what there is. */
int dxup_find(versions_store *s, const char *text, versions_version *out);
/* The same with :PATH behind it. *path: the path, or NULL where there is none. */
int dxup_find_path(versions_store *s, const char *text, versions_version *out, const char **path);

/* All names of a store and its tags, to say which tags a version has. */
typedef struct dxup_names {
    versions_version *list;
    size_t            count;
} dxup_names;

int  dxup_names_load(dxup_names *n, versions_store *s);
void dxup_names_free(dxup_names *n);
/* The next tag of NAME after *at (which is 0 at first), of a version or with 0 of any; NULL: there
   is no more. */
const char *dxup_names_tag(const dxup_names *n, const char *name, uint64_t version, size_t *at);
/* "file", "directory" and so on, of an entry of a tree. */
const char *dxup_type_name(int type);
/* Print a version as JSON. */
void dxup_print_json(const dxup_names *n, const versions_version *v);

#endif
