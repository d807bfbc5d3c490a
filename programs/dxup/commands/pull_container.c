/* A patch between compressed containers (docs/formats/container.md). It cannot stream: it is
   collected, and applied in memory when it is complete. All sizes in it are untrusted, so each one
   is checked against the reply and DXUP_CONTAINER_MAX before memory is allocated for it. */
#include "pull.h"

#include "../../sync/contained.h"
#include "../../sync/wire.h"

#include <assert.h>
#include <string.h>

/* The second attempt of a pull requests none, because such a patch may be why the first one failed. */
uint32_t dxup_pull_container_flags(const pull *p)
{
    const uint32_t kinds = container_kinds();
    if (!kinds || p->install.replaces_all || p->plan.details_of) return 0;
    return DXUP_CONTAINERS | kinds << DXUP_KINDS_SHIFT;
}

bool dxup_pull_begins_container(const pull *p)
{
    return dxup_pull_container_flags(p) && container_is(p->transfer.head, sizeof p->transfer.head);
}

int dxup_pull_start_container(pull *p)
{
    assert(!p->transfer.contained && !p->transfer.container.bytes);
    if (p->plan.wire_size > p->plan.size || p->plan.size > DXUP_CONTAINER_MAX ||
        p->plan.have_size > DXUP_CONTAINER_MAX)
        return prog_fail(PROG_REFUSED, "the patch needs too much memory");
    p->transfer.contained = true;
    p->transfer.container.max = (size_t)p->plan.wire_size;
    return dxup_pull_receive_container(p, p->transfer.head, sizeof p->transfer.head);
}

int dxup_pull_receive_container(pull *p, const uint8_t *bytes, size_t size)
{
    assert(p->transfer.contained);
    if (container_add(&p->transfer.container, bytes, size)) return PROG_OK;
    return prog_fail(PROG_SYSTEM, "the patch does not fit into memory");
}

/* Check the header of the patch against the reply. */
static int check_container(const pull *p, const container_patch *patch)
{
    if (patch->target_size != p->plan.size ||
        memcmp(patch->target_hash, p->plan.hash, PROG_HASH_SIZE) != 0)
        return prog_fail(PROG_DAMAGED, "the patch makes another version than the server announced");
    if (patch->base_size != p->plan.have_size ||
        memcmp(patch->base_hash, p->plan.have, PROG_HASH_SIZE) != 0)
        return prog_fail(PROG_DAMAGED, "the patch is for other content than what is there");
    if (patch->form_max > DXUP_CONTAINER_MAX)
        return prog_fail(PROG_REFUSED, "the patch needs too much memory");
    return PROG_OK;
}

/* Handle errors that no server can predict: this machine packs the same content to other bytes, or memory
   is short. The pull is repeated without such patches, so this is no failure yet. */
static int run_failed(pull *p, const container_patch *patch, int error)
{
    /* Other output may be larger, or too small for its correction; also of libraries that name the
       same version. */
    const bool others = error == DX_PATCH_ETARGET || error == DX_PATCH_ETOOBIG ||
                        (error == DX_PATCH_ECORRUPT &&
                         strcmp(patch->libraries, container_libraries()) != 0);
    if (error == DX_PATCH_EBASE) /* the hash was right before */
        return prog_fail(PROG_REFUSED, "%s changed while it was read; try again", p->o->path);
    p->transfer.cannot_pack = error == DX_PATCH_ENOMEM || others;
    if (others)
        prog_warn("%s: a patch of its unpacked contents gives another file here (libraries here: %s; "
                  "the server's: %s); fetching it another way",
                  p->o->path, container_libraries(), patch->libraries);
    else if (error == DX_PATCH_ENOMEM)
        prog_warn("%s: not enough memory to apply a patch of its contents; fetching it another way",
                  p->o->path);
    else
        return prog_fail(PROG_DAMAGED, "the patch cannot be applied: %s", dx_patch_error_name(error));
    return PROG_DAMAGED;
}

int dxup_pull_run_container(pull *p, const container_bytes *base, container_bytes *made)
{
    const container_bytes *all = &p->transfer.container;
    container_patch patch;
    int error = container_open(all->bytes, all->size, &patch);
    if (error) return prog_fail(PROG_DAMAGED, "not a patch: %s", dx_patch_error_name(error));
    int status = check_container(p, &patch);
    if (status) return status;
    made->source = base;
    error = container_run(&patch, base->bytes, base->size, DXUP_CONTAINER_MEMORY,
                          DXUP_APPLYING_MAX, made);
    return error ? run_failed(p, &patch, error) : PROG_OK;
}
