/* The details of a snapshot, which are everything except the stream of its content: made for pull
   (details.c), and applied to a directory (details_apply.c). */
#ifndef VERSIONS_DETAILS_H
#define VERSIONS_DETAILS_H

#include "tree.h"

enum { VERSIONS_DETAILS_MAX = 256 << 20 };

/* The caller frees *out. */
int versions_details_make(versions_store *s, const uint8_t root[PROG_HASH_SIZE], uint8_t **out,
                          size_t *size);

typedef struct versions_details_apply_desc {
    const uint8_t   *bytes;  /* from versions_details_make(); untrusted */
    size_t           size;
    int              folder; /* an open directory with the content; not closed */
    bool             live;   /* it is in use: create, link and punch nothing */
    versions_omit    omit;
    versions_report *report;
    unsigned         mode;  /* out: the mode of the directory */
} versions_details_apply_desc;
int versions_details_apply(versions_details_apply_desc *desc);

#endif
