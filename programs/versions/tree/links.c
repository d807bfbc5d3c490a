/* Hard links, while a directory is published: a table from device and inode to the first name, and
   to the entry that it got. */
#include "tree.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "metadata.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static size_t slot_of(const versions_links *l, uint64_t device, uint64_t inode)
{
    uint64_t hash = (inode ^ device << 32) * 0x9e3779b97f4a7c15u;
    size_t at = (size_t)(hash >> 32) & l->mask;
    assert(l->count <= l->mask /* one slot is free */);
    for (; l->slots[at]; at = (at + 1) & l->mask) {
        const versions_first *f = &l->list[l->slots[at] - 1];
        if (f->inode == inode && f->device == device) break;
    }
    return at;
}

static void grow(versions_links *l)
{
    l->room = l->room ? l->room * 2 : 256;
    l->mask = l->room * 2 - 1;
    l->list = realloc(l->list, l->room * sizeof *l->list);
    free(l->slots);
    l->slots = calloc(l->mask + 1, sizeof *l->slots);
    if (!l->list || !l->slots) abort();
    for (size_t i = 0; i < l->count; i++)
        l->slots[slot_of(l, l->list[i].device, l->list[i].inode)] = (uint32_t)i + 1;
}

static char *copy_of(const char *path)
{
    return prog_copy_text(path);
}

size_t versions_links_find(versions_links *l, const versions_found *f, int type, const char *path,
                           bool *known)
{
    if (l->count == l->room) grow(l);
    size_t at = slot_of(l, f->file.device, f->file.inode);
    versions_first *first = l->slots[at] ? &l->list[l->slots[at] - 1] : &l->list[l->count];
    *known = l->slots[at] && !first->lost;
    if (*known) return l->slots[at] - 1;
    if (l->slots[at]) free(first->path);
    else l->slots[at] = (uint32_t)++l->count;
    memset(first, 0, sizeof *first);
    first->device = f->file.device;
    first->inode = f->file.inode;
    first->type = type;
    first->path = copy_of(path);
    return l->slots[at] - 1;
}

void versions_links_note(versions_links *l, size_t index, const dx_tree_entry *e)
{
    assert(index < l->count && !l->list[index].entry.type);
    versions_first *first = &l->list[index];
    first->entry = *e;
    first->entry.name = NULL;
    first->entry.extra = NULL;
    first->entry.data = NULL;
    if (e->level != DX_TREE_INLINE || !e->size) return;
    void *data = prog_alloc((size_t)e->size);
    memcpy(data, e->data, (size_t)e->size);
    first->entry.data = data;
}

void versions_links_free(versions_links *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->list[i].path);
        free((void *)(uintptr_t)l->list[i].entry.data);
    }
    free(l->list);
    free(l->slots);
}
#endif
