/* See places.h. A table of 16 bytes per slot, at most two thirds full: 32 KiB of content take up to 48
   bytes of it. */
#include "places.h"

#include "../store/slots.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS_MIN = 64, SLOTS_MAX = 1 << 21 }; /* 32 MiB: a file of some 40 GB */

typedef struct place {
    uint64_t id;    /* the first 8 bytes */
    uint64_t start; /* plus 1; 0: the slot is free; TWICE */
} place;

#define TWICE UINT64_MAX

struct versions_places {
    place             *slots;
    size_t             mask, used;
    versions_slots_key key;
};

static uint64_t head_of(const uint8_t id[32])
{
    uint64_t head;
    memcpy(&head, id, sizeof head);
    return head;
}

static place *find(const versions_places *p, const uint8_t id[32])
{
    const uint64_t head = head_of(id);
    size_t at = versions_slot_of(&p->key, id, p->mask);
    while (p->slots[at].start && p->slots[at].id != head) at = (at + 1) & p->mask;
    return &p->slots[at];
}

static void put(versions_places *p, const uint8_t id[32], uint64_t start)
{
    assert((p->used + 1) * 3 <= (p->mask + 1) * 2);
    place *at = find(p, id);
    p->used += !at->start;
    at->start = at->start ? TWICE : start + 1;
    at->id = head_of(id);
}

/* Visit all chunks: count them, or put them into the table. False: a list cannot be read. */
static bool walk(versions_store *s, const dx_tree_entry *file, versions_places *p, size_t *count)
{
    versions_parts parts;
    const uint8_t *id;
    uint64_t start, size;
    int status = PROG_OK;
    *count = 0;
    versions_parts_open(&parts, s, file);
    for (uint64_t at = 0; !status && at < file->size; at += size) {
        status = versions_parts_find(&parts, at, &id, &start, &size);
        if (!status && !size) status = PROG_DAMAGED;
        if (!status && p) put(p, id, start);
        *count += !status;
    }
    versions_parts_close(&parts);
    return !status;
}

versions_places *versions_places_open(versions_store *s, const dx_tree_entry *file)
{
    size_t count = 0, slots = SLOTS_MIN;
    prog_mute(true);
    bool good = walk(s, file, NULL, &count);
    while (slots < SLOTS_MAX && slots * 2 < count * 3 + 3) slots *= 2;
    good = good && slots * 2 >= count * 3 + 3;
    versions_places *p = good ? prog_alloc(sizeof *p) : NULL;
    if (p) {
        *p = (versions_places){.mask = slots - 1, .slots = prog_alloc(slots * sizeof *p->slots)};
        memset(p->slots, 0, slots * sizeof *p->slots);
        versions_slots_key_make(&p->key);
        good = walk(s, file, p, &count);
    }
    prog_mute(false);
    if (good) return p;
    versions_places_close(p);
    return NULL;
}

void versions_places_close(versions_places *p)
{
    if (!p) return;
    free(p->slots);
    free(p);
}

bool versions_places_find(const versions_places *p, const uint8_t id[32], uint64_t *start)
{
    const place *at = find(p, id);
    if (!at->start || at->start == TWICE) return false;
    *start = at->start - 1;
    return true;
}
