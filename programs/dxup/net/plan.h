/* A patch between versions of any size, made of the chunks that both share, without loading
   either. */
#ifndef DXUP_PLAN_H
#define DXUP_PLAN_H

#include "../../common/common.h"
#include "../../versions/tree/content.h"

typedef struct dxup_plan dxup_plan; /* immutable once made: shared by threads */

typedef struct dxup_plan_cursor { /* where one receiver is; all zero at the start */
    uint64_t step;         /* the next match */
    uint64_t target_at;    /* in the target */
    uint64_t literal_left; /* bytes of the target to copy before it */
    uint8_t  pending[256]; /* bytes of the patch that are made but not yet read */
    size_t   pending_size;
    size_t   pending_at;
} dxup_plan_cursor;

/* NULL when nothing is gained, or after a failure that was reported. */
dxup_plan *dxup_plan_make(versions_store *s, const versions_version *base,
                          const versions_version *target);
void       dxup_plan_free(dxup_plan *p);
/* Bytes of the patch, and of memory that the plan takes. */
uint64_t   dxup_plan_size(const dxup_plan *p);
size_t     dxup_plan_memory(const dxup_plan *p);
/* The next size bytes of the patch; target is the content of the target version. */
int        dxup_plan_read(const dxup_plan *p, dxup_plan_cursor *cursor, versions_content *target,
                          void *out, size_t size);

#endif
