/* The details of a snapshot: everything except the stream of its content (stream.c), as bytes for
   pull:

       the snapshot, as in docs/formats/tree.md, section 5
       for each entry, depth first and in order:
           u16      the number of directories above it, 1 in the root
           entry    as in section 1
           bytes    of the objects of HOLES_ID and XATTRS_ID, if it has these

   details_apply.c applies them to a directory that has the content. */
#include "details.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef struct details {
    versions_store *store;
    uint8_t        *bytes;
    size_t          size, room;
    uint8_t         object[DX_TREE_EXTRA_SIZE_MAX];
} details;

static int append(details *d, const void *bytes, size_t size)
{
    assert(d->size <= d->room);
    if (d->room - d->size < size) {
        d->room = d->room * 2 + size + 4096;
        d->bytes = realloc(d->bytes, d->room);
        if (!d->bytes) abort();
    }
    memcpy(d->bytes + d->size, bytes, size);
    d->size += size;
    return d->size > VERSIONS_DETAILS_MAX
               ? prog_fail(PROG_REFUSED, "the tree has too many entries with attributes to be sent")
               : PROG_OK;
}

/* Append the objects of an entry, if it has any. */
static int append_objects(details *d, const dx_tree_entry *e)
{
    static const int kinds[] = {DX_TREE_HOLES, DX_TREE_XATTRS};
    int status = PROG_OK;
    for (int i = 0; !status && i < 2; i++) {
        const uint8_t *bytes;
        size_t size;
        uint32_t large;
        if (!dx_tree_read_object(e, kinds[i], &large)) continue;
        status = versions_extra_read(d->store, e, kinds[i], d->object, &bytes, &size);
        if (!status) status = append(d, bytes, size);
    }
    return status;
}

static int append_entry(details *d, const dx_tree_entry *e, unsigned depth)
{
    uint8_t bytes[2 + DX_TREE_ENTRY_MAX] = {(uint8_t)(depth & 0xff), (uint8_t)(depth >> 8)};
    size_t size = 0;
    int error = dx_tree_write_entry(e, bytes + 2, sizeof bytes - 2, &size);
    if (error)
        return prog_fail(PROG_DAMAGED, "an entry in the store is malformed: %s",
                                       dx_tree_error_name(error));
    int status = append(d, bytes, 2 + size);
    return status ? status : append_objects(d, e);
}

/* Recursion is limited by PROG_DEPTH_MAX. */
static int append_dir(details *d, const dx_tree_entry *dir, unsigned depth)
{
    dx_tree_entry e;
    versions_listing l;
    bool end = false;
    int status;
    if (depth > PROG_DEPTH_MAX) return prog_fail(PROG_DAMAGED, "the snapshot is nested too deep");
    versions_listing_open(&l, d->store, dir);
    while (!(status = versions_listing_next(&l, &e, &end)) && !end) {
        status = append_entry(d, &e, depth);
        if (!status && e.type == DX_TREE_DIR) status = append_dir(d, &e, depth + 1);
        if (status) break;
    }
    versions_listing_close(&l);
    return status;
}

int versions_details_make(versions_store *s, const uint8_t root[PROG_HASH_SIZE], uint8_t **out,
                          size_t *size)
{
    dx_tree_entry e;
    uint8_t extras[DX_TREE_EXTRAS_MAX], snapshot[DX_TREE_SNAPSHOT_SIZE_MAX];
    size_t snapshot_size = 0;
    details *d = prog_alloc(sizeof *d);
    d->store = s;
    d->bytes = NULL;
    d->size = d->room = 0;
    int status = versions_object_get(s, root, snapshot, sizeof snapshot, &snapshot_size);
    if (!status) status = versions_snapshot_root(s, root, &e, extras);
    if (!status) status = append(d, snapshot, snapshot_size);
    if (!status) status = append_objects(d, &e);
    if (!status) status = append_dir(d, &e, 1);
    if (status) free(d->bytes);
    *out = status ? NULL : d->bytes;
    *size = d->size;
    free(d);
    return status;
}
