/* Writes one file, whose chunks a store has, into the staging file of a destination. Blocks of
   zeros become holes, because a version of a single file does not record holes. */
#include "tree.h"

#include "../../common/os.h"

#include "../../../dx_cas.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef struct writing {
    versions_dest *dest;
    bool           sparse;
    bool           ends_in_hole; /* the bytes written so far end in a hole */
} writing;

/* Write size bytes at `at`, in as few pieces as the holes allow. */
static int write_part(writing *w, const uint8_t *bytes, uint64_t at, size_t size)
{
    while (size) {
        bool hole = false;
        const size_t n = w->sparse ? prog_run_of_blocks(at, bytes, size, &hole) : size;
        if (!hole && os_write_at(w->dest->fd, at, bytes, n) < 0)
            return prog_fail_errno("%s", w->dest->staging);
        w->ends_in_hole = hole;
        bytes += n;
        at += n;
        size -= n;
    }
    return PROG_OK;
}

int versions_file_restore(versions_store *s, const dx_tree_entry *e, versions_dest *dest,
                          bool sparse, uint8_t hash[PROG_HASH_SIZE])
{
    versions_parts parts;
    dx_cas_blake3 hasher;
    const uint8_t *found;
    uint64_t start, size;
    writing w = {dest, sparse, false};
    assert(e->type == DX_TREE_FILE && dest->kind == PROG_FILE && dest->fd >= 0);
    uint8_t *buffer = prog_alloc(VERSIONS_OBJECT_MAX), id[PROG_HASH_SIZE];
    int status = PROG_OK;
    dx_cas_blake3_init(&hasher);
    versions_parts_open(&parts, s, e);
    for (uint64_t at = 0; !status && at < e->size; at += size) {
        status = versions_parts_find(&parts, at, &found, &start, &size);
        if (status) break;
        assert(start == at);
        memcpy(id, found, sizeof id);
        status = versions_parts_read(s, id, size, buffer, VERSIONS_OBJECT_MAX);
        if (status) break;
        dx_cas_blake3_update(&hasher, buffer, (size_t)size);
        status = write_part(&w, buffer, at, (size_t)size);
        prog_progress("writing", at, e->size, false);
    }
    /* writing the last byte sets the file's size */
    if (!status && w.ends_in_hole && os_write_at(dest->fd, e->size - 1, "", 1) < 0)
        status = prog_fail_errno("%s", dest->staging);
    prog_progress(NULL, 0, 0, true);
    dx_cas_blake3_final(&hasher, hash, PROG_HASH_SIZE);
    versions_parts_close(&parts);
    free(buffer);
    return status;
}
