/* dxpatch compose: merges two consecutive patches into one. It applies both in memory and makes the
   patch between OLD and the result. OLD is needed because a patch does not contain the bytes that
   it copies or predicts. Stands on whole.c and make.c. */
#include "dxpatch.h"

#include <stdlib.h>

int dxpatch_compose(const dxpatch_options *o)
{
    dxpatch_content from = {0}, first = {0}, second = {0}, between = {0}, to = {0};
    uint8_t *patch = NULL;
    size_t size = 0;
    char text[32], made[PROG_PATH_SIZE_MAX + 32];
    int status = dxpatch_load(&from, o->old_path);
    if (!status) status = dxpatch_load(&first, o->patch_path);
    if (!status) status = dxpatch_load(&second, o->second_path);
    if (!status &&
        (dxpatch_is_same(o->new_path, &from.st) || dxpatch_is_same(o->new_path, &first.st) ||
         dxpatch_is_same(o->new_path, &second.st)))
        status = prog_fail(PROG_REFUSED, "%s would be overwritten by the merged patch",
                           o->new_path);
    if (!status) status = dxpatch_run(o, &from, o->old_path, &first, o->patch_path, &between);
    snprintf(made, sizeof made, "the result of %s", o->patch_path);
    if (!status) status = dxpatch_run(o, &between, made, &second, o->second_path, &to);
    if (!status) status = dxpatch_make(o, &from, &to, &patch, &size);
    if (!status) status = dxpatch_save(o->new_path, patch, size, os_new_mode());
    prog_progress(NULL, 0, 0, true);
    if (!status && !o->quiet) prog_say("%s: %s bytes\n", o->new_path, prog_count_text(size, text));
    dxpatch_drop(&from);
    dxpatch_drop(&first);
    dxpatch_drop(&second);
    dxpatch_drop(&between);
    dxpatch_drop(&to);
    free(patch);
    return status;
}
