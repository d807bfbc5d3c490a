/* Patches between published versions: made on one thread, cached in memory, shared by all workers. */
#ifndef DXUP_PATCHES_H
#define DXUP_PATCHES_H

#include "plan.h"
#include "../../common/common.h"
#include "../../versions/tree/content.h"
#include "../../versions/tree/tree.h"

typedef struct dxup_patches dxup_patches;

typedef struct dxup_patch { /* a finished patch; valid until released */
    const uint8_t   *bytes; /* either in memory */
    const dxup_plan *plan;  /* or to be read from the store */
    uint64_t         size;
    void            *entry;
} dxup_patch;

enum dxup_patch_answer {
    DXUP_PATCH_READY,   /* *patch is set; release it */
    DXUP_PATCH_PENDING, /* ask again after the next call of `ready` */
    DXUP_PATCH_NONE     /* no patch is smaller than the full content */
};

/* ready(user) is called on the patch thread whenever a result becomes available. */
/* Versions of up to size_max bytes get the smallest patch possible, larger ones a patch of whole
   chunks. Making one allocates up to 64 MB; packing xz again up to 256 MB more. */
int  dxup_patches_start(dxup_patches **p, const char *store_path, uint64_t size_max,
                        void (*ready)(void *user), void *user);
/* Change size_max; patches that are made stay. Any thread. */
void dxup_patches_limit(dxup_patches *p, uint64_t size_max);
void dxup_patches_stop(dxup_patches *p);
/* The kinds of containers that both the client, by its request, and this server support. */
unsigned dxup_patches_kinds(uint32_t flags);
/* Get the patch between two versions for a client that supports these kinds of containers; 0: none. */
enum dxup_patch_answer dxup_patches_get(dxup_patches *p, const versions_version *base,
                                        const versions_version *target, unsigned kinds,
                                        dxup_patch *patch);
/* The same between two files of snapshots, which s has. NONE: also if one is larger than the limits,
   or missing. */
enum dxup_patch_answer dxup_patches_get_file(dxup_patches *p, versions_store *s,
                                             const dx_tree_entry *base, const dx_tree_entry *target,
                                             unsigned kinds, dxup_patch *patch);
/* Make such a patch now. NULL: none. The caller frees it. */
uint8_t *dxup_patches_make_file(versions_store *s, uint64_t size_max, const dx_tree_entry *base,
                                const dx_tree_entry *target, unsigned kinds, size_t *size);
void dxup_patches_release(dxup_patches *p, dxup_patch *patch);

#endif
