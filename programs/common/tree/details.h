/* What a snapshot has besides the stream of its content: made for pull (details.c), and given to a
   directory (settle.c). */
#ifndef DXUP_DETAILS_H
#define DXUP_DETAILS_H

#include "tree.h"

enum { DXUP_DETAILS_MAX = 256 << 20 };

/* The caller frees *out. */
int dxup_details_make(dxup_store *s, const uint8_t root[PROG_HASH_SIZE], uint8_t **out,
                      size_t *size);

typedef struct dxup_settle_desc {
    const uint8_t *bytes;  /* of dxup_details_make(), from anywhere */
    size_t         size;
    int            folder; /* an open directory with the content; it stays open */
    bool           live;   /* it is in use: nothing is made, linked or punched */
    dxup_leave     leave;
    dxup_report   *report;
    unsigned       mode;   /* out: of the directory */
} dxup_settle_desc;
int dxup_settle(dxup_settle_desc *desc);

#endif
