/* See whole.h. All sizes in a patch are untrusted: each is compared with the entry of the file and with
   DXUP_CONTAINER_MAX before memory is allocated for it. */
#include "whole.h"

#include "contained.h"
#include "wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* >>messages ----------------------------------------------------------- */
size_t dxup_whole_write_request(const dxup_whole_request *r, uint8_t out[DXUP_WHOLE_REQUEST_MAX])
{
    whole_request_writer w;
    size_t size = 0;
    whole_request_begin(&w, out, DXUP_WHOLE_REQUEST_MAX, DX_TELEPORT_BARE);
    whole_request_set_old_size(&w, r->old.size);
    whole_request_set_size(&w, r->file.size);
    whole_request_set_limit(&w, r->limit);
    whole_request_set_transfer(&w, r->transfer);
    whole_request_set_flags(&w, DXUP_CONTAINERS | r->kinds << DXUP_KINDS_SHIFT |
                                    (r->size_only ? DXUP_SIZE_ONLY : 0u));
    whole_request_set_old(&w, r->old.id);
    whole_request_set_file(&w, r->file.id);
    whole_request_set_old_level(&w, r->old.level);
    whole_request_set_level(&w, r->file.level);
    const int error = whole_request_finish(&w, &size);
    assert(!error);
    (void)error;
    return size;
}

bool dxup_whole_read_request(dxup_whole_request *r, const uint8_t *bytes, size_t size)
{
    whole_request_view v;
    if (whole_request_open_bare(&v, bytes, size, DXUP_WIRE_VERSION)) return false;
    memset(r, 0, sizeof *r);
    r->old.type = r->file.type = DX_TREE_FILE;
    r->old.size = whole_request_get_old_size(&v);
    r->file.size = whole_request_get_size(&v);
    r->old.level = whole_request_get_old_level(&v);
    r->file.level = whole_request_get_level(&v);
    whole_request_copy_old(&v, 0, r->old.id, sizeof r->old.id);
    whole_request_copy_file(&v, 0, r->file.id, sizeof r->file.id);
    r->limit = whole_request_get_limit(&v);
    r->transfer = whole_request_get_transfer(&v);
    const uint32_t flags = whole_request_get_flags(&v);
    r->kinds = flags & DXUP_CONTAINERS ? flags >> DXUP_KINDS_SHIFT & 0xff : 0;
    r->size_only = flags & DXUP_SIZE_ONLY;
    return r->old.size && r->file.size && r->old.level <= DX_TREE_LEVELS_MAX &&
           r->file.level <= DX_TREE_LEVELS_MAX;
}

size_t dxup_whole_write_reply(uint64_t patch_size, uint8_t out[DXUP_WHOLE_REPLY_MAX])
{
    whole_reply_writer w;
    size_t size = 0;
    whole_reply_begin(&w, out, DXUP_WHOLE_REPLY_MAX, DX_TELEPORT_BARE);
    whole_reply_set_size(&w, patch_size);
    const int error = whole_reply_finish(&w, &size);
    assert(!error);
    (void)error;
    return size;
}

bool dxup_whole_read_reply(const uint8_t *bytes, size_t size, uint64_t *patch_size)
{
    whole_reply_view v;
    if (whole_reply_open_bare(&v, bytes, size, DXUP_WIRE_VERSION)) return false;
    *patch_size = whole_reply_get_size(&v);
    return true;
}

/* >>content ------------------------------------------------------------ */
static bool read_parts(versions_store *s, const dx_tree_entry *file, container_bytes *bytes)
{
    versions_parts parts;
    const uint8_t *id;
    uint64_t at = 0, start, size;
    int status = PROG_OK;
    versions_parts_open(&parts, s, file);
    while (!status && at < file->size) {
        status = versions_parts_find(&parts, at, &id, &start, &size);
        if (!status && (start != at || size > file->size - at)) status = PROG_DAMAGED;
        if (!status) status = versions_parts_read(s, id, size, bytes->bytes + at, (size_t)size);
        at += size;
        bytes->size = (size_t)(status ? 0 : at);
        container_pass(bytes, (size_t)size);
    }
    versions_parts_close(&parts);
    return !status;
}

bool dxup_whole_read(versions_store *s, const dx_tree_entry *file, container_bytes *bytes)
{
    if (!file->size || file->size > DXUP_CONTAINER_MAX || file->level > DX_TREE_LEVELS_MAX)
        return false;
    if (!container_reserve(bytes, (size_t)file->size)) return false;
    prog_mute(true);
    const bool done = read_parts(s, file, bytes);
    prog_mute(false);
    if (!done) container_drop(bytes);
    return done;
}

bool dxup_whole_is_container(void *user, const versions_missing_whole *w)
{
    if (!container_kinds() || w->file.size > DXUP_CONTAINER_MAX) return false;
    container_bytes old = {0};
    const bool is = dxup_whole_read(user, &w->old, &old) && container_may_have(&old);
    container_drop(&old);
    return is;
}

/* >>apply -------------------------------------------------------------- */
static enum dxup_whole_result wrong(const char *why)
{
    prog_fail(PROG_DAMAGED, "the server's patch of a file cannot be applied: %s", why);
    return DXUP_WHOLE_WRONG;
}

/* A patch between containers. */
static enum dxup_whole_result apply_container(const container_bytes *old, const versions_missing_whole *w,
                                              const container_bytes *patch, container_bytes *made)
{
    container_patch p;
    int error = container_open(patch->bytes, patch->size, &p);
    if (error) return wrong(dx_patch_error_name(error));
    if (p.base_size != w->old.size || p.target_size != w->file.size)
        return wrong("it is for other files");
    if (p.form_max > DXUP_CONTAINER_MAX) return wrong("it needs too much memory");
    made->source = old;
    error = container_run(&p, old->bytes, old->size, DXUP_CONTAINER_MEMORY,
                          DXUP_APPLYING_MAX, made);
    if (!error) return DXUP_WHOLE_MADE;
    /* Other libraries may compress to other bytes, even those with the same version. */
    if (error == DX_PATCH_ENOMEM || error == DX_PATCH_ETARGET || error == DX_PATCH_ETOOBIG ||
        (error == DX_PATCH_ECORRUPT && strcmp(p.libraries, container_libraries()) != 0))
        return DXUP_WHOLE_CANNOT;
    return wrong(dx_patch_error_name(error));
}

/* A patch of dx_patch.h. */
static enum dxup_whole_result apply_plain(const uint8_t *old, const versions_missing_whole *w,
                                          const container_bytes *patch, container_bytes *made)
{
    dx_patch_header header;
    size_t size = 0;
    int error = dx_patch_info(patch->bytes, patch->size, &header);
    if (error) return wrong(dx_patch_error_name(error));
    if (header.kind != DX_PATCH_KIND_DELTA || header.base_size != w->old.size ||
        header.target_size != w->file.size)
        return wrong("it is for other files");
    if (header.memory_size > DXUP_APPLYING_MAX) return DXUP_WHOLE_CANNOT; /* earlier servers made such */
    void *memory = malloc(header.memory_size ? (size_t)header.memory_size : 1);
    error = DX_PATCH_ENOMEM;
    if (memory && container_reserve(made, (size_t)w->file.size))
        error = dx_patch_apply(old, (size_t)w->old.size, patch->bytes, patch->size, made->bytes,
                               (size_t)w->file.size, &size, memory, (size_t)header.memory_size);
    free(memory);
    made->size = size;
    if (!error) return DXUP_WHOLE_MADE;
    return error == DX_PATCH_ENOMEM ? DXUP_WHOLE_CANNOT : wrong(dx_patch_error_name(error));
}

enum dxup_whole_result dxup_whole_apply(versions_store *s, const versions_missing_whole *w,
                                        const container_bytes *patch, container_bytes *made)
{
    container_bytes old = {0};
    if (!dxup_whole_read(s, &w->old, &old)) return DXUP_WHOLE_STALE;
    enum dxup_whole_result result = container_is(patch->bytes, patch->size)
                                        ? apply_container(&old, w, patch, made)
                                        : apply_plain(old.bytes, w, patch, made);
    container_drop(&old);
    if (result == DXUP_WHOLE_MADE && made->size != w->file.size) result = wrong("wrong size");
    return result;
}
