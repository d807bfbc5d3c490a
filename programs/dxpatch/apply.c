/* dxpatch apply, apply-in-place and undo.

       PATCH --read--> dx_patch_applier --write--> staging file --commit--> NEW
                             ^
                             | read_base()
                            OLD, in memory; above BASE_MEMORY_MAX in windows of 64 KiB

   The patch streams through in pieces. A large OLD is read twice: once as a whole for its hash,
   then wherever the patch asks for bytes. Patches that cannot stream (VCDIFF, hde, flash,
   containers) run in memory: apply_whole(). */
#include "dxpatch.h"

#include "../versions/dest.h"
#include "../common/window.h"
#include "vcdiff.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BASE_MEMORY_MAX ((uint64_t)96 << 20) /* bytes of OLD that are held in memory */

/* One application of a streamed patch. */
typedef struct job {
    const char     *old_path;
    const char     *patch_path;
    int             old_fd;     /* -1: closed */
    int             patch_fd;
    int             status;     /* of the callback that failed */
    bool            undo;
    uint64_t        memory_max; /* memory limit of the applier */
    uint64_t        target_max; /* size limit of its output */
    os_info         old_st;
    os_info         patch_st;
    dx_patch_header header;
    versions_dest   dest;
    prog_windows    base;       /* of the old file, if it is not in memory */
    uint8_t         in[PROG_IO_SIZE];
} job;

/* >>callbacks ---------------------------------------------------------- */
/* A window of the old file. */
static int read_old(void *user, uint64_t offset, void *out, size_t size)
{
    job *j = user;
    assert(j->old_fd >= 0);
    j->status = dxpatch_read(j->old_fd, j->old_path, offset, out, size);
    return j->status;
}

/* The applier asks for bytes of the old file. */
static int read_base(void *user, uint64_t offset, void *out, size_t size)
{
    job *j = user;
    return prog_windows_read(&j->base, offset, out, size);
}

static int write_new(void *user, const void *bytes, size_t size)
{
    job *j = user;
    assert(j->dest.fd >= 0);
    j->status = versions_dest_write(&j->dest, bytes, size);
    return j->status;
}

static int show(void *user, uint64_t done, uint64_t total)
{
    job *j = user;
    prog_progress(j->undo ? "undoing" : "applying", done, total, false);
    return 0;
}

/* >>steps -------------------------------------------------------------- */
/* Feed the whole patch. An error of a callback has been printed already. */
static int stream(job *j, dx_patch_applier *a)
{
    uint64_t size = j->patch_st.size, at = 0;
    assert(j->patch_fd >= 0);
    int error = DX_PATCH_OK;
    while (!error && at < size) {
        size_t part = size - at < sizeof j->in ? (size_t)(size - at) : sizeof j->in;
        int status = dxpatch_read(j->patch_fd, j->patch_path, at, j->in, part);
        if (status) return status;
        error = dx_patch_applier_feed(a, j->in, part);
        at += part;
    }
    if (!error) error = dx_patch_applier_finish(a);
    if (error == DX_PATCH_ESYS) return j->status;
    if (error == DX_PATCH_ETOOBIG) return dxpatch_fail_target(j->patch_path, j->target_max);
    if (error == DX_PATCH_EAPPLIED && j->undo)
        return prog_fail(PROG_REFUSED, "%s is not the result of this patch, so there is nothing "
                                       "to undo", j->old_path);
    bool base = error == DX_PATCH_EBASE || error == DX_PATCH_EAPPLIED;
    return error ? dxpatch_fail(error, base ? j->old_path : j->patch_path) : PROG_OK;
}

/* Set up the applier, and OLD in memory or in windows, and stream the patch. */
static int run(job *j)
{
    assert(j->old_fd >= 0 && j->patch_fd >= 0);
    dx_patch_applier a;
    dx_patch_applier_desc desc = {0};
    if (j->header.memory_size > j->memory_max)
        return dxpatch_fail_memory(j->patch_path, j->memory_max);
    /* more than the minimum, so that the applier reads and writes in larger pieces */
    desc.memory_size = (size_t)j->header.memory_size + PROG_IO_SIZE + 4096;
    desc.memory = prog_alloc(desc.memory_size);
    desc.user = j;
    desc.read = read_base;
    desc.write = write_new;
    desc.progress = show;
    desc.base_size = j->old_st.size;
    desc.target_size_max = j->target_max;
    desc.undo = j->undo;
    void *base = NULL;
    int status = PROG_OK;
    if (desc.base_size <= BASE_MEMORY_MAX) base = malloc((size_t)desc.base_size + 1);
    desc.base = base; /* NULL: the applier calls read_base() */
    if (!base) prog_windows_open(&j->base, j->old_st.size, read_old, j);
    if (base) status = dxpatch_read(j->old_fd, j->old_path, 0, base, (size_t)desc.base_size);
    int error = status ? 0 : dx_patch_applier_init(&a, &desc);
    if (!status) status = error ? dxpatch_fail(error, j->patch_path) : stream(j, &a);
    prog_windows_close(&j->base);
    free(base);
    free(desc.memory);
    return status;
}

/* Write the result to a staging file next to new_path, then replace new_path atomically. */
static int produce(job *j, const char *new_path)
{
    assert(j->old_fd >= 0 && j->patch_fd >= 0);
    if (dxpatch_is_same(new_path, &j->patch_st))
        return prog_fail(PROG_REFUSED, "%s is the patch itself", new_path);
    if (j->undo && (j->header.kind != DX_PATCH_KIND_BLOCKS || !j->header.reversible))
        return prog_fail(PROG_REFUSED, "%s cannot be undone: %s", j->patch_path,
                         j->header.kind == DX_PATCH_KIND_BLOCKS ? "it was made with --one-way"
                                                                : "only patches of kind blocks can be");
    int status = versions_dest_open(&j->dest, new_path, PROG_FILE, j->old_st.mode, NULL);
    if (status) return status;
    status = run(j);
    os_close(j->old_fd); /* it may be the file that is replaced */
    j->old_fd = -1;
    if (!status) status = versions_dest_commit(&j->dest);
    versions_dest_abandon(&j->dest);
    return status;
}

/* Apply a streamed patch, from the paths to the summary. */
static int work(const dxpatch_options *o, const char *new_path, bool undo)
{
    char text[32];
    job *j = prog_alloc(sizeof *j);
    memset(j, 0, offsetof(job, in));
    j->old_path = o->old_path;
    j->patch_path = o->patch_path;
    j->undo = undo;
    int status = dxpatch_open(j->old_path, &j->old_fd, &j->old_st);
    if (status) {
        free(j);
        return status;
    }
    status = dxpatch_open_patch(j->patch_path, &j->patch_fd, &j->patch_st, &j->header);
    if (!status) {
        j->memory_max = dxpatch_memory_max(o);
        j->target_max = dxpatch_target_max(o, j->old_st.size, j->patch_st.size);
        status = produce(j, new_path);
        os_close(j->patch_fd);
    }
    prog_progress(NULL, 0, 0, true);
    if (!status && !o->quiet)
        prog_say("%s: %s bytes, verified\n", new_path,
                 prog_count_text(undo ? j->header.base_size : j->header.target_size, text));
    if (j->old_fd >= 0) os_close(j->old_fd);
    free(j);
    return status;
}

/* >>whole files in memory ------------------------------------------------ */
static int apply_whole(const dxpatch_options *o, const char *new_path)
{
    dxpatch_content from = {0}, patch = {0}, to = {0};
    char text[32];
    int status = dxpatch_load(&from, o->old_path);
    if (!status) status = dxpatch_load(&patch, o->patch_path);
    if (!status && dxpatch_is_same(new_path, &patch.st))
        status = prog_fail(PROG_REFUSED, "%s is the patch itself", new_path);
    if (!status) status = dxpatch_run(o, &from, o->old_path, &patch, o->patch_path, &to);
    dxpatch_drop(&from); /* new_path may be the same file */
    if (!status) status = dxpatch_save(new_path, to.bytes, to.size, from.st.mode);
    prog_progress(NULL, 0, 0, true);
    if (!status && !o->quiet) /* VCDIFF has no hash, and need not have checksums */
        prog_say("%s: %s bytes%s\n", new_path, prog_count_text(to.size, text),
                 vcdiff_is(patch.bytes, patch.size) ? "" : ", verified");
    dxpatch_drop(&from);
    dxpatch_drop(&patch);
    dxpatch_drop(&to);
    return status;
}

/* >>commands ----------------------------------------------------------- */
int dxpatch_apply(const dxpatch_options *o)
{
    return dxpatch_is_whole(o->patch_path) ? apply_whole(o, o->new_path)
                                           : work(o, o->new_path, false);
}

int dxpatch_undo(const dxpatch_options *o)
{
    if (!dxpatch_is_vcdiff(o->patch_path) && !dxpatch_is_record_file(o->patch_path) &&
        !dxpatch_is_container(o->patch_path))
        return work(o, o->old_path, true);
    return prog_fail(PROG_REFUSED, "%s cannot be undone: only patches of kind blocks can be",
                     o->patch_path);
}
