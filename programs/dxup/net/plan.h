/* A patch between versions of any size, made of the chunks that both share; neither is
   loaded into memory. */
#ifndef DXUP_PLAN_H
#define DXUP_PLAN_H

#include "../../common/common.h"
#include "../../versions/tree/content.h"

typedef struct dxup_plan dxup_plan; /* immutable once made, so threads can share it */

typedef struct dxup_plan_cursor { /* position of one receiver; all zero at the start */
    uint64_t step;         /* the next match */
    uint64_t target_at;    /* in the target */
    uint64_t literal_left; /* bytes of the target to copy before it */
    uint8_t  pending[256]; /* bytes of the patch that were made but not read yet */
    size_t   pending_size;
    size_t   pending_at;
} dxup_plan_cursor;

/* NULL: the patch would save nothing, or an error was reported. */
dxup_plan *dxup_plan_make(versions_store *s, const versions_version *base,
                          const versions_version *target);
void       dxup_plan_free(dxup_plan *p);
/* The size of the patch, and the memory of the plan, in bytes. */
uint64_t   dxup_plan_size(const dxup_plan *p);
size_t     dxup_plan_memory(const dxup_plan *p);
/* Read the next size bytes of the patch; target is the content of the target version. */
int        dxup_plan_read(const dxup_plan *p, dxup_plan_cursor *cursor, versions_content *target,
                          void *out, size_t size);

#endif
