/* Patch files and their errors: opens a patch and reads its header, loads and saves whole files,
   and turns error codes into messages and exit statuses. The lowest file of dxpatch; stands on
   ../common/. */
#include "dxpatch.h"

#include "../versions/dest.h"
#include "vcdiff.h"

#include <assert.h>
#include <stdlib.h>

/* >>errors ------------------------------------------------------------- */
typedef struct reason {
    int         error;  /* of dx_patch.h */
    int         status; /* the exit status */
    const char *text;
} reason;

static const reason reasons[] = {
    {DX_PATCH_EHEADER, PROG_DAMAGED, "this is not a patch, or its header is damaged"},
    {DX_PATCH_ENOPATCH, PROG_DAMAGED, "this is not a patch: it is empty"},
    {DX_PATCH_ETRUNCATED, PROG_DAMAGED, "the patch is truncated: shorter than its header says"},
    {DX_PATCH_ECORRUPT, PROG_DAMAGED, "the patch is damaged, or has bytes after its end"},
    {DX_PATCH_EBLOCK, PROG_DAMAGED, "the patch is damaged: a malformed block"},
    {DX_PATCH_EBOUNDS, PROG_DAMAGED, "the patch is damaged: it reads outside the file"},
    {DX_PATCH_ETARGET, PROG_DAMAGED, "the result does not match the hash in the patch"},
    {DX_PATCH_EVERSION, PROG_SYSTEM, "this dxpatch does not support this version of the format; "
                                     "use a newer one"},
    {DX_PATCH_ENOTSUP, PROG_SYSTEM, "this dxpatch does not support the coding of the patch"},
    {DX_PATCH_ENOMEM, PROG_SYSTEM, "not enough memory"},
    {DX_PATCH_ETOOBIG, PROG_SYSTEM, "too large for a patch of this kind"},
    {DX_PATCH_EBASE, PROG_REFUSED, "this is not the file that the patch was made for"},
    {DX_PATCH_EAPPLIED, PROG_REFUSED, "the patch is already applied to this file"},
};

int dxpatch_fail(int error, const char *path)
{
    assert(error);
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].error == error)
            return prog_fail(reasons[i].status, "%s: %s", path, reasons[i].text);
    return prog_fail(PROG_SYSTEM, "%s: %s", path, dx_patch_error_name(error));
}

uint64_t dxpatch_target_max(const dxpatch_options *o, uint64_t old_size, uint64_t patch_size)
{
    uint64_t given = old_size > UINT64_MAX - patch_size ? UINT64_MAX : old_size + patch_size;
    if (o->target_max) return o->target_max;
    if (given > UINT64_MAX / DXPATCH_TARGET_TIMES) return UINT64_MAX;
    given *= DXPATCH_TARGET_TIMES;
    return given > DXPATCH_TARGET_MAX ? given : DXPATCH_TARGET_MAX;
}

uint64_t dxpatch_memory_max(const dxpatch_options *o)
{
    return o->memory_max ? o->memory_max : DXPATCH_MEMORY_MAX;
}

int dxpatch_fail_target(const char *path, uint64_t limit)
{
    return prog_fail(
        PROG_SYSTEM,
        "%s: the result is larger than the limit of %llu MiB; raise it with --target-max", path,
        (unsigned long long)(limit >> 20));
}

int dxpatch_fail_memory(const char *path, uint64_t limit)
{
    return prog_fail(PROG_SYSTEM,
                     "%s: the patch needs more memory than the system has, or than the limit of "
                     "%llu MiB; raise it with --memory-max",
                     path, (unsigned long long)(limit >> 20));
}

int dxpatch_fail_vcdiff(int error, const char *path)
{
    assert(error != VCDIFF_OK);
    switch (error) {
    case VCDIFF_EHEADER: return dxpatch_fail(DX_PATCH_EHEADER, path);
    case VCDIFF_ETRUNCATED: return dxpatch_fail(DX_PATCH_ETRUNCATED, path);
    case VCDIFF_ECORRUPT: return dxpatch_fail(DX_PATCH_ECORRUPT, path);
    case VCDIFF_ENOMEM: return dxpatch_fail(DX_PATCH_ENOMEM, path);
    case VCDIFF_ETOOBIG: return dxpatch_fail(DX_PATCH_ETOOBIG, path);
    case VCDIFF_ENOTSUP:
        return prog_fail(PROG_SYSTEM,
                         "%s uses secondary compression (avoid it with xdelta3 -S none) or a "
                         "custom code table, which dxpatch cannot read",
                         path);
    default:
        return prog_fail(PROG_DAMAGED,
                         "%s: wrong checksum: the patch is for another file, or damaged",
                         path);
    }
}

/* >>files -------------------------------------------------------------- */
int dxpatch_open(const char *path, int *fd, os_info *st)
{
    *fd = os_open(path);
    if (*fd < 0) return prog_fail_errno("%s", path);
    int status = PROG_OK;
    if (os_info_of(*fd, st) < 0) status = prog_fail_errno("%s", path);
    else if (st->kind != OS_FILE) status = prog_fail(PROG_REFUSED, "%s is not a regular file", path);
    if (status) os_close(*fd);
    return status;
}

int dxpatch_read(int fd, const char *path, uint64_t offset, void *out, size_t size)
{
    assert(fd >= 0);
    const int64_t got = prog_read_at(fd, offset, out, size);
    if (got < 0) return prog_fail_errno("%s", path);
    if ((size_t)got < size) return prog_fail(PROG_SYSTEM, "%s was truncated while it was read", path);
    return PROG_OK;
}

bool dxpatch_is_same(const char *path, const os_info *st)
{
    os_info there;
    return os_stat(path, true, &there) == 0 && there.volume == st->volume &&
           there.number == st->number;
}

/* Does the size of the file match its header? */
static int check_size(const dx_patch_header *h, uint64_t file_size)
{
    assert(h->body_size < (uint64_t)1 << 62);
    uint64_t size = DX_PATCH_HEADER_SIZE + h->body_size + h->trailer_size;
    if (file_size < size) return DX_PATCH_ETRUNCATED;
    return file_size > size ? DX_PATCH_ECORRUPT : DX_PATCH_OK;
}

int dxpatch_open_patch(const char *path, int *fd, os_info *st, dx_patch_header *header)
{
    uint8_t bytes[DX_PATCH_HEADER_SIZE];
    int status = dxpatch_open(path, fd, st);
    if (status) return status;
    uint64_t size = st->size;
    size_t part = size < sizeof bytes ? (size_t)size : sizeof bytes;
    status = dxpatch_read(*fd, path, 0, bytes, part);
    if (!status) {
        int error = size ? dx_patch_info(bytes, part, header) : DX_PATCH_ENOPATCH;
        if (!error) error = check_size(header, size);
        if (error) status = dxpatch_fail(error, path);
    }
    if (status) os_close(*fd);
    return status;
}

int dxpatch_load(dxpatch_content *c, const char *path)
{
    int fd, status;
    assert(!c->bytes && !c->mapped);
    status = dxpatch_open(path, &fd, &c->st);
    if (status) return status;
    c->size = (size_t)c->st.size;
    if (c->st.size > DXPATCH_MAP_FROM && c->st.size <= SIZE_MAX / 2)
        c->bytes = (uint8_t *)(uintptr_t)os_map(fd, c->size);
    c->mapped = c->bytes != NULL;
    if (c->mapped) {
        os_close(fd);
        return PROG_OK;
    }
    if (c->st.size <= SIZE_MAX / 2) c->bytes = malloc(c->size + !c->size);
    if (!c->bytes) status = prog_fail(PROG_SYSTEM, "%s does not fit into memory", path);
    for (size_t at = 0; !status && at < c->size;) {
        size_t part = c->size - at < 1 << 20 ? c->size - at : 1 << 20;
        status = dxpatch_read(fd, path, at, c->bytes + at, part);
        at += part;
        prog_progress("reading", at, c->size, false);
    }
    os_close(fd);
    return status;
}

void dxpatch_drop(dxpatch_content *c)
{
    if (c->mapped) os_unmap(c->bytes, c->size);
    else free(c->bytes);
    c->bytes = NULL;
    c->mapped = false;
}

int dxpatch_save(const char *path, const uint8_t *bytes, size_t size, unsigned mode)
{
    versions_dest dest;
    int status = versions_dest_open(&dest, path, PROG_FILE, mode, NULL);
    if (status) return status;
    status = versions_dest_write(&dest, bytes, size);
    if (!status) status = versions_dest_commit(&dest);
    versions_dest_abandon(&dest);
    return status;
}
