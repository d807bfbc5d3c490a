/* Applies a patch of any kind to a whole file in memory: identifies the kind, checks its sizes
   against the limits, and runs it. Stands on flash.c, records.c, vcdiff.c and ../containers/. */
#include "dxpatch.h"

#include "../containers/container.h"
#include "vcdiff.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool dxpatch_is_vcdiff(const char *path)
{
    uint8_t bytes[4];
    int fd = os_open(path);
    if (fd < 0) return false;
    bool is = os_read_at(fd, 0, bytes, sizeof bytes) == sizeof bytes &&
              vcdiff_is(bytes, sizeof bytes);
    os_close(fd);
    return is;
}

bool dxpatch_is_container(const char *path)
{
    uint8_t bytes[4];
    int fd = os_open(path);
    if (fd < 0) return false;
    bool is = os_read_at(fd, 0, bytes, sizeof bytes) == sizeof bytes &&
              container_is(bytes, sizeof bytes);
    os_close(fd);
    return is;
}

bool dxpatch_is_whole(const char *path)
{
    uint8_t bytes[8];
    int fd = os_open(path);
    if (fd < 0) return false;
    /* "DXP1", version, kind: docs/formats/patch.md, the header */
    bool flash = os_read_at(fd, 0, bytes, sizeof bytes) == sizeof bytes &&
                 memcmp(bytes, "DXP1", 4) == 0 && bytes[5] == DX_PATCH_KIND_FLASH;
    os_close(fd);
    return flash || dxpatch_is_vcdiff(path) || dxpatch_is_record_file(path) ||
           dxpatch_is_container(path);
}

/* Run a patch of dx_patch.h in memory. ETOOBIG: above target_max; ENOMEM: above memory_max, or
   out of memory. */
static int run_patch(const dxpatch_content *from, const dxpatch_content *patch, uint64_t memory_max,
                     uint64_t target_max, dxpatch_content *to)
{
    dx_patch_header h;
    assert(!to->bytes);
    int error = patch->size ? dx_patch_info(patch->bytes, patch->size, &h) : DX_PATCH_ENOPATCH;
    if (error) return error;
    if (h.memory_size > memory_max) return DX_PATCH_ENOMEM;
    if (h.target_size > target_max) return DX_PATCH_ETOOBIG;
    if (h.kind == DX_PATCH_KIND_FLASH)
        return dxpatch_run_flash(from, patch->bytes, patch->size, memory_max, to);
    void *memory = malloc((size_t)h.memory_size);
    size_t capacity = (size_t)h.target_size;
    to->bytes = malloc(capacity + 1);
    error = DX_PATCH_ENOMEM;
    if (to->bytes && memory)
        error = dx_patch_apply(from->bytes, from->size, patch->bytes, patch->size, to->bytes,
                               capacity, &to->size, memory, (size_t)h.memory_size);
    free(memory);
    return error;
}

/* Check early whether this build has the libraries that a patch between containers needs. */
static int check_libraries(const container_patch *p, const char *path)
{
    for (unsigned kind = 1; kind < CONTAINER_KINDS; kind++)
        if (p->kinds >> kind & 1 && !container_has(kind))
            return prog_fail(PROG_SYSTEM, "%s: this dxpatch was built without %s", path,
                             container_library(kind));
    return PROG_OK;
}

/* Print an error of a patch between containers. A likely cause is another version of a library. */
static int fail_container(int error, const container_patch *p, const char *from_path,
                          const char *path, uint64_t memory_max, uint64_t target_max)
{
    if (error == DX_PATCH_ETARGET && strcmp(p->libraries, container_libraries()) != 0)
        return prog_fail(PROG_SYSTEM,
                         "%s: the compression libraries of this dxpatch (%s) write other bytes "
                         "than those that made the patch (%s)",
                         path, container_libraries(), p->libraries);
    if (error == DX_PATCH_ETOOBIG) return dxpatch_fail_target(path, target_max);
    if (error == DX_PATCH_ENOMEM) return dxpatch_fail_memory(path, memory_max);
    bool base = error == DX_PATCH_EBASE || error == DX_PATCH_EAPPLIED;
    return dxpatch_fail(error, base ? from_path : path);
}

static int run_container(const dxpatch_content *from, const char *from_path,
                         const dxpatch_content *patch, const char *path, uint64_t memory_max,
                         uint64_t target_max, dxpatch_content *to)
{
    container_patch p;
    const container_bytes source = {.bytes = from->bytes, .size = from->size, .in_file = from->mapped};
    container_bytes made = {.source = from->size ? &source : NULL};
    int error = container_open(patch->bytes, patch->size, &p);
    if (error) return dxpatch_fail(error, path);
    int status = check_libraries(&p, path);
    if (status) return status;
    if (p.form_max > target_max || p.target_size > target_max)
        return dxpatch_fail_target(path, target_max);
    error = container_run(&p, from->bytes, from->size, memory_max, memory_max, &made);
    to->size = made.size;
    to->bytes = container_take(&made); /* the caller frees it, also after an error */
    if (!error && !to->bytes) error = DX_PATCH_ENOMEM;
    return error ? fail_container(error, &p, from_path, path, memory_max, target_max) : PROG_OK;
}

int dxpatch_run(const dxpatch_options *o, const dxpatch_content *from, const char *from_path,
                const dxpatch_content *patch, const char *patch_path, dxpatch_content *to)
{
    assert(!to->bytes && !to->mapped);
    uint64_t target_max = dxpatch_target_max(o, from->size, patch->size);
    uint64_t memory_max = dxpatch_memory_max(o);
    if (target_max > SIZE_MAX / 2) target_max = SIZE_MAX / 2;
    if (memory_max > SIZE_MAX / 2) memory_max = SIZE_MAX / 2;
    if (vcdiff_is(patch->bytes, patch->size)) {
        int failed = vcdiff_decode(from->bytes, from->size, patch->bytes, patch->size,
                                   (size_t)target_max, &to->bytes, &to->size);
        if (failed == VCDIFF_ETOOBIG) return dxpatch_fail_target(patch_path, target_max);
        return failed ? dxpatch_fail_vcdiff(failed, patch_path) : PROG_OK;
    }
    if (container_is(patch->bytes, patch->size))
        return run_container(from, from_path, patch, patch_path, memory_max, target_max, to);
    int error = dxpatch_is_record(patch->bytes, patch->size)
                    ? dxpatch_run_record(from, patch->bytes, patch->size, target_max, to)
                    : run_patch(from, patch, memory_max, target_max, to);
    bool base = error == DX_PATCH_EBASE || error == DX_PATCH_EAPPLIED;
    if (error == DX_PATCH_ETOOBIG) return dxpatch_fail_target(patch_path, target_max);
    if (error == DX_PATCH_ENOMEM) return dxpatch_fail_memory(patch_path, memory_max);
    return error ? dxpatch_fail(error, base ? from_path : patch_path) : PROG_OK;
}
