/* Patches between published versions: made on one thread of their own, kept in memory, shared by
   all workers. */
#ifndef DXUP_PATCHES_H
#define DXUP_PATCHES_H

#include "plan.h"
#include "../../common/common.h"
#include "../../versions/tree/content.h"

typedef struct dxup_patches dxup_patches;

typedef struct dxup_patch { /* a finished patch; it stays until released */
    const uint8_t   *bytes; /* either in memory */
    const dxup_plan *plan;  /* or to be read from the store */
    uint64_t         size;
    void            *entry;
} dxup_patch;

enum dxup_patch_answer {
    DXUP_PATCH_READY,   /* *patch is filled in; release it */
    DXUP_PATCH_PENDING, /* ask again after the next call of `ready` */
    DXUP_PATCH_NONE     /* there is none that is smaller than the whole */
};

/* ready(user) is called on the patch thread whenever one more answer is known. */
/* Versions of up to size_max bytes get the smallest patch there is, larger ones one of whole
   chunks. Where containers are unpacked, making one takes up to 1.2 GB. */
int  dxup_patches_start(dxup_patches **p, const char *store_path, uint64_t size_max,
                        void (*ready)(void *user), void *user);
void dxup_patches_stop(dxup_patches *p);
/* The kinds of containers that a request says its client unpacks, and that are unpacked here. */
unsigned dxup_patches_kinds(uint32_t flags);
/* The patch from one version to another, for a client that unpacks these kinds; 0: none. */
enum dxup_patch_answer dxup_patches_get(dxup_patches *p, const versions_version *base,
                                        const versions_version *target, unsigned kinds,
                                        dxup_patch *patch);
void dxup_patches_release(dxup_patches *p, dxup_patch *patch);

#endif
