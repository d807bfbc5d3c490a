/* dxpatch diff: makes the patch between two files and saves it. Stands on make.c. */
#include "dxpatch.h"

#include <stdlib.h>

int dxpatch_diff(const dxpatch_options *o)
{
    dxpatch_content from = {0}, to = {0};
    uint8_t *patch = NULL;
    size_t size = 0;
    char text[32];
    int status = dxpatch_load(&from, o->old_path);
    if (!status) status = dxpatch_load(&to, o->new_path);
    if (!status &&
        (dxpatch_is_same(o->patch_path, &from.st) || dxpatch_is_same(o->patch_path, &to.st)))
        status = prog_fail(PROG_REFUSED, "%s would be overwritten by its own patch", o->patch_path);
    if (!status) status = dxpatch_make(o, &from, &to, &patch, &size);
    if (!status) status = dxpatch_save(o->patch_path, patch, size, os_new_mode());
    prog_progress(NULL, 0, 0, true);
    if (!status && !o->quiet) {
        prog_say("%s: %s bytes", o->patch_path, prog_count_text(size, text));
        if (to.size)
            prog_say(", %.2f %% of %s", 100.0 * (double)size / (double)to.size, o->new_path);
        prog_say("\n");
    }
    free(patch);
    dxpatch_drop(&from);
    dxpatch_drop(&to);
    return status;
}
