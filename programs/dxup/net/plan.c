/* Chunks that both versions share become matches of a delta in plain coding (docs/formats/patch.md,
   section 3), so the receiver applies it like any other patch. The sender walks the chunk lists and
   reads only new chunks. */
#include "plan.h"
#include "../../versions/store/slots.h"

#include "../../../dx_patch.h"
#include "../../../layers/dx_crc32c.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { PARAMETERS = 5, APPLY_MEMORY = 65536 };

typedef struct cover {
    uint64_t target, base, size;
} cover;

struct dxup_plan {
    uint8_t  head[DX_PATCH_HEADER_SIZE + PARAMETERS];
    cover   *covers;
    size_t   count, room;
    uint64_t target_size, size; /* of the target; of the patch */
};

/* >>table: chunk id to offset in the base -------------------------------- */
typedef struct slot {
    uint8_t  id[PROG_HASH_SIZE];
    uint64_t offset, size; /* size 0: free */
} slot;

typedef struct table {
    slot  *slots;
    size_t mask, used;
    versions_slots_key key;
} table;

static slot *find_slot(const table *t, const uint8_t *id)
{
    for (size_t at = versions_slot_of(&t->key, id, t->mask);; at = (at + 1) & t->mask) {
        assert(t->used <= t->mask /* one slot is free */);
        slot *s = &t->slots[at];
        if (!s->size || !memcmp(s->id, id, PROG_HASH_SIZE)) return s;
    }
}

static void grow(table *t)
{
    table old = *t;
    t->mask = old.slots ? old.mask * 2 + 1 : 1023;
    t->slots = prog_alloc((t->mask + 1) * sizeof *t->slots);
    memset(t->slots, 0, (t->mask + 1) * sizeof *t->slots);
    for (size_t i = 0; old.slots && i <= old.mask; i++)
        if (old.slots[i].size) *find_slot(t, old.slots[i].id) = old.slots[i];
    free(old.slots);
}

static int fill_table(table *t, versions_content *base, uint64_t base_size)
{
    for (uint64_t at = 0; at < base_size;) {
        slot s;
        int status = versions_content_chunk(base, at, s.id, &s.offset, &s.size);
        if (status) return status;
        if (t->used * 4 >= t->mask * 3) grow(t);
        slot *place = find_slot(t, s.id);
        if (!place->size) {
            *place = s;
            t->used++;
        }
        at = s.offset + s.size;
    }
    return PROG_OK;
}

/* >>plan --------------------------------------------------------------- */
static void add_cover(dxup_plan *p, uint64_t target, const slot *s)
{
    assert(s->size > 0);
    cover *last = p->count ? &p->covers[p->count - 1] : NULL;
    assert(!last || last->target + last->size <= target);
    if (last && last->target + last->size == target && last->base + last->size == s->offset) {
        last->size += s->size;
        return;
    }
    if (p->count == p->room) {
        p->room = p->room * 2 + 64;
        p->covers = realloc(p->covers, p->room * sizeof *p->covers);
        if (!p->covers) abort();
    }
    assert(p->count < p->room);
    p->covers[p->count++] = (cover){target, s->offset, s->size};
}

static int find_covers(dxup_plan *p, const table *t, versions_content *target)
{
    for (uint64_t at = 0; at < p->target_size;) {
        uint8_t id[PROG_HASH_SIZE];
        uint64_t start, size;
        int status = versions_content_chunk(target, at, id, &start, &size);
        if (status) return status;
        const slot *s = find_slot(t, id);
        if (s->size) add_cover(p, start, s);
        at = start + size;
    }
    return PROG_OK;
}

static size_t put_number(uint8_t *out, uint64_t v) /* LEB128; at most ten bytes */
{
    size_t n = 0;
    for (; v >= 128; v >>= 7) out[n++] = (uint8_t)(v & 127) | 128;
    out[n++] = (uint8_t)v;
    return n;
}

static uint64_t fold(int64_t v) { return v < 0 ? (uint64_t)~v * 2 + 1 : (uint64_t)v * 2; }

/* Encode the numbers before the literals of step n: a match, or after the last one the
   final literals. */
static void begin_step(const dxup_plan *p, dxup_plan_cursor *c)
{
    assert(c->step <= p->count);
    size_t i = (size_t)c->step;
    if (i) c->target_at = p->covers[i - 1].target + p->covers[i - 1].size;
    c->pending_at = c->pending_size = 0;
    if (i < p->count) {
        const cover *k = &p->covers[i];
        uint64_t base_end = i ? p->covers[i - 1].base + p->covers[i - 1].size : 0;
        assert(k->target >= c->target_at && k->size > 0);
        uint64_t gap = k->target - c->target_at;
        c->pending_size = put_number(c->pending, gap);
        c->pending_size += put_number(c->pending + c->pending_size, k->size - 1);
        c->pending_size += put_number(c->pending + c->pending_size,
                                      fold((int64_t)(k->base - (base_end + gap))));
        c->literal_left = gap;
    } else {
        assert(c->target_at <= p->target_size);
        c->literal_left = p->target_size - c->target_at;
        c->pending_size = c->literal_left ? put_number(c->pending, c->literal_left) : 0;
    }
    c->step++;
    assert(c->pending_size <= sizeof c->pending);
}

int dxup_plan_read(const dxup_plan *p, dxup_plan_cursor *c, versions_content *target, void *out,
                   size_t size)
{
    uint8_t *at = out;
    if (!c->step && !c->pending_size) {
        memcpy(c->pending, p->head, sizeof p->head);
        c->pending_size = sizeof p->head;
    }
    while (size) {
        size_t n;
        if (c->pending_at < c->pending_size) {
            n = c->pending_size - c->pending_at < size ? c->pending_size - c->pending_at : size;
            if (at) memcpy(at, c->pending + c->pending_at, n);
            c->pending_at += n;
        } else if (c->literal_left) {
            n = c->literal_left < size ? (size_t)c->literal_left : size;
            int status = at ? versions_content_read(target, c->target_at, at, n) : PROG_OK;
            if (status) return status;
            c->literal_left -= n;
            c->target_at += n;
        } else if (c->step > p->count) {
            return prog_fail(PROG_DAMAGED, "the plan of a patch is truncated");
        } else {
            begin_step(p, c);
            n = 0;
        }
        if (at) at += n;
        size -= n;
    }
    return PROG_OK;
}

/* >>container ---------------------------------------------------------- */
static void store_number(uint8_t *p, uint64_t v, int size)
{
    for (int i = 0; i < size; i++) p[i] = (uint8_t)(v >> (8 * i) & 0xff);
}

/* Calculate the size of the patch from its numbers alone. */
static uint64_t measure(const dxup_plan *p)
{
    dxup_plan_cursor c = {0};
    uint64_t size = sizeof p->head;
    while (c.step <= p->count) {
        begin_step(p, &c);
        size += c.pending_size + c.literal_left;
    }
    return size;
}

/* Fill in the header. The checksum of the body requires one pass over it. */
static int seal(dxup_plan *p, const versions_version *base, const versions_version *target,
                versions_content *content)
{
    dxup_plan_cursor c = {0};
    uint8_t *buffer = prog_alloc(PROG_IO_SIZE), *h = p->head;
    uint32_t crc = 0;
    int status = dxup_plan_read(p, &c, content, buffer, DX_PATCH_HEADER_SIZE); /* not known yet */
    for (uint64_t at = DX_PATCH_HEADER_SIZE; !status && at < p->size;) {
        size_t n = p->size - at < PROG_IO_SIZE ? (size_t)(p->size - at) : PROG_IO_SIZE;
        status = dxup_plan_read(p, &c, content, buffer, n);
        crc = dx_crc32c_update(crc, buffer, n);
        at += n;
    }
    free(buffer);
    memcpy(h, "DXP1", 4);
    h[4] = 3; /* a delta */
    h[5] = DX_PATCH_KIND_DELTA;
    h[6] = 1; /* BLAKE3-256 */
    h[7] = DX_PATCH_CODING_PLAIN;
    store_number(h + 8, base->size, 8);
    store_number(h + 16, target->size, 8);
    store_number(h + 24, p->size - DX_PATCH_HEADER_SIZE, 8);
    store_number(h + 40, APPLY_MEMORY, 8);
    memcpy(h + 48, base->hash, PROG_HASH_SIZE);
    memcpy(h + 80, target->hash, PROG_HASH_SIZE);
    store_number(h + 112, crc, 4);
    store_number(h + 124, dx_crc32c_update(0, h, 124), 4);
    return status;
}

dxup_plan *dxup_plan_make(versions_store *s, const versions_version *base,
                          const versions_version *target)
{
    versions_content *from = NULL, *to = NULL;
    table t = {0};
    dxup_plan *p = prog_alloc(sizeof *p);
    memset(p, 0, sizeof *p);
    p->target_size = target->size;
    p->head[DX_PATCH_HEADER_SIZE + 1] = 34; /* layout of the parameters: no map, no mixing */
    versions_slots_key_make(&t.key);
    grow(&t);
    int status = versions_content_open(&from, s, base);
    if (!status) status = versions_content_open(&to, s, target);
    if (!status) status = fill_table(&t, from, base->size);
    if (!status) status = find_covers(p, &t, to);
    p->size = status ? 0 : measure(p);
    if (!status && p->count && p->size < target->size) status = seal(p, base, target, to);
    else status = PROG_NOT_FOUND; /* no bytes are saved */
    free(t.slots);
    versions_content_close(from);
    versions_content_close(to);
    if (!status) return p;
    dxup_plan_free(p);
    return NULL;
}

void dxup_plan_free(dxup_plan *p)
{
    if (!p) return;
    free(p->covers);
    free(p);
}

uint64_t dxup_plan_size(const dxup_plan *p) { return p->size; }

size_t dxup_plan_memory(const dxup_plan *p) { return sizeof *p + p->room * sizeof *p->covers; }
