/* What is done with whole files in memory: patches of VCDIFF applied, two patches made into one. */
#include "dxpatch.h"

#include "vcdiff.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Nothing that a damaged patch says makes us take more memory than this. */
#define TARGET_SIZE_MAX ((size_t)4 << 30)

bool dxpatch_is_vcdiff(const char *path)
{
    uint8_t bytes[4];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    bool is = pread(fd, bytes, sizeof bytes, 0) == sizeof bytes && vcdiff_is(bytes, sizeof bytes);
    close(fd);
    return is;
}

/* What a patch of either format makes of a content; to->bytes is the caller's to free, also after an error. */
static int patch_content(const dxpatch_content *from, const char *from_path, const dxpatch_content *patch,
                         const char *patch_path, dxpatch_content *to)
{
    dx_patch_header h;
    if (vcdiff_is(patch->bytes, patch->size)) {
        int error = vcdiff_decode(from->bytes, from->size, patch->bytes, patch->size, TARGET_SIZE_MAX, &to->bytes,
                                  &to->size);
        return error ? dxpatch_fail_vcdiff(error, patch_path) : DXUP_OK;
    }
    int error = patch->size ? dx_patch_info(patch->bytes, patch->size, &h) : DX_PATCH_ENOPATCH;
    if (!error && h.memory_size > DXPATCH_MEMORY_MAX) error = DX_PATCH_ENOMEM;
    if (!error && h.target_size > TARGET_SIZE_MAX) error = DX_PATCH_ETOOBIG;
    if (error) return dxpatch_fail(error, patch_path);
    void *memory = dxup_alloc((size_t)h.memory_size);
    size_t capacity = (size_t)h.target_size;
    to->bytes = malloc(capacity + 1);
    error = DX_PATCH_ENOMEM;
    if (to->bytes)
        error = dx_patch_apply(from->bytes, from->size, patch->bytes, patch->size, to->bytes, capacity, &to->size,
                               memory, (size_t)h.memory_size);
    free(memory);
    bool base = error == DX_PATCH_EBASE || error == DX_PATCH_EAPPLIED;
    return error ? dxpatch_fail(error, base ? from_path : patch_path) : DXUP_OK;
}

int dxpatch_apply_vcdiff(const dxpatch_options *o, const char *new_path)
{
    dxpatch_content from = {0}, patch = {0}, to = {0};
    char text[32];
    int status = dxpatch_load(&from, o->old_path);
    if (!status) status = dxpatch_load(&patch, o->patch_path);
    if (!status && dxpatch_is_same(new_path, &patch.st))
        status = dxup_fail(DXUP_REFUSED, "%s is the patch itself", new_path);
    if (!status) status = patch_content(&from, o->old_path, &patch, o->patch_path, &to);
    if (!status) status = dxpatch_save(new_path, to.bytes, to.size, from.st.st_mode);
    dxup_progress(NULL, 0, 0, true);
    if (!status && !o->quiet) printf("%s: %s bytes\n", new_path, dxup_count_text(to.size, text));
    free(from.bytes);
    free(patch.bytes);
    free(to.bytes);
    return status;
}

/* OLD is needed: what the first patch predicts, or leaves alone, stands in no patch. */
int dxpatch_compose(const dxpatch_options *o)
{
    dxpatch_content from = {0}, first = {0}, second = {0}, between = {0}, to = {0};
    uint8_t *patch = NULL;
    size_t size = 0;
    char text[32];
    int status = dxpatch_load(&from, o->old_path);
    if (!status) status = dxpatch_load(&first, o->patch_path);
    if (!status) status = dxpatch_load(&second, o->second_path);
    if (!status && (dxpatch_is_same(o->new_path, &from.st) || dxpatch_is_same(o->new_path, &first.st) ||
                    dxpatch_is_same(o->new_path, &second.st)))
        status = dxup_fail(DXUP_REFUSED, "%s would be overwritten by the patch made of it", o->new_path);
    if (!status) status = patch_content(&from, o->old_path, &first, o->patch_path, &between);
    if (!status) status = patch_content(&between, o->patch_path, &second, o->second_path, &to);
    if (!status) status = dxpatch_make(o, &from, &to, &patch, &size);
    if (!status) status = dxpatch_save(o->new_path, patch, size, dxpatch_new_mode());
    dxup_progress(NULL, 0, 0, true);
    if (!status && !o->quiet) printf("%s: %s bytes\n", o->new_path, dxup_count_text(size, text));
    free(from.bytes);
    free(first.bytes);
    free(second.bytes);
    free(between.bytes);
    free(to.bytes);
    free(patch);
    return status;
}
