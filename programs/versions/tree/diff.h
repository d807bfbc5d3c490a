/* Prints the differences between two versions, for `diff`, or visits them. */
#ifndef VERSIONS_DIFF_H
#define VERSIONS_DIFF_H

#include "../store/store.h"

typedef struct versions_diff { /* number of entries */
    uint64_t added;
    uint64_t removed;
    uint64_t changed;
    uint64_t renamed;
} versions_diff;

/* Print one line for each entry that was added, removed, changed or renamed, as text or JSON. Times
   are not compared. The memory needed grows with the number of entries of both versions. */
int versions_diff_print(versions_store *s, const versions_version *from, const versions_version *to,
                        bool json, versions_diff *out);

typedef struct versions_difference {
    const char *path; /* "." is the directory itself */
    bool        was;  /* it is in the first version, */
    bool        is;   /* in the second */
    int         was_type; /* DX_TREE_FILE, ... */
    int         type;
    unsigned    mode;     /* in the second, as size */
    uint64_t    size;
    bool        content;  /* type, size or content differ, or it is in one of them only */
    bool        modes;    /* the modes differ */
} versions_difference;
typedef int versions_difference_visit(void *user, const versions_difference *d);
/* Visit them, sorted by path in bytes, instead of printing. A rename is a removal and an addition. A visit that
   does not return PROG_OK ends it, and its result is returned. */
int versions_diff_visit(versions_store *s, const versions_version *from, const versions_version *to,
                        versions_difference_visit *visit, void *user);

#endif
