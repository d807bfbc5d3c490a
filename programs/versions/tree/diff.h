/* Prints the differences between two versions, for `diff`. */
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

#endif
