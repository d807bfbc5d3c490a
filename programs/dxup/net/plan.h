/* A patch between versions of any size from the chunks that both have, without loading either. */
#ifndef DXUP_PLAN_H
#define DXUP_PLAN_H

#include "../../common/common.h"
#include "../tree/content.h"

typedef struct dxup_plan dxup_plan; /* immutable once made: shared by threads */

typedef struct dxup_plan_cursor { /* where one receiver is; all zero at the start */
    uint64_t step, target_at, literal_left;
    uint8_t  pending[256];
    size_t   pending_size, pending_at;
} dxup_plan_cursor;

/* NULL when nothing is gained, or after a failure that was reported. */
dxup_plan *dxup_plan_make(dxup_store *s, const dxup_version *base, const dxup_version *target);
void       dxup_plan_free(dxup_plan *p);
/* Bytes of the patch, and of memory that the plan takes. */
uint64_t   dxup_plan_size(const dxup_plan *p);
size_t     dxup_plan_memory(const dxup_plan *p);
/* The next size bytes of the patch; target is the content of the target version. */
int        dxup_plan_read(const dxup_plan *p, dxup_plan_cursor *cursor, dxup_content *target,
                          void *out, size_t size);

#endif
