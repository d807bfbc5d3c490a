/* Teleport types that are made at run time, and records of them. See type.h. */
#include "type.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_number(uint64_t hash, uint64_t value, unsigned size)
{
    uint8_t bytes[8]; /* little-endian */
    for (unsigned i = 0; i < size; i++) bytes[i] = (uint8_t)(value >> 8 * i);
    return prog_fnv(hash, bytes, size);
}

static uint32_t align_up(uint32_t n, uint32_t align) { return (n + align - 1) / align * align; }

void dxdb_type_begin(dxdb_type *t, const char *name)
{
    memset(t, 0, sizeof *t);
    snprintf(t->name, sizeof t->name, "%s", name);
    t->align = 1;
    t->layout = PROG_FNV_START;
}

/* The size of a field in the record, and its alignment: section 1 of the format. */
static uint32_t width(unsigned code, uint32_t count, uint32_t *align)
{
    const uint32_t unit = dx_teleport_ext_scalar_size(code);
    switch (code >> 4) {
    case DX_TELEPORT_KIND_SCALAR: *align = unit; return unit;
    case DX_TELEPORT_KIND_ARRAY: *align = unit; return unit * count;
    case DX_TELEPORT_KIND_OPTIONAL: *align = unit; return 2 * unit;
    default: *align = 4; return 8; /* a reference */
    }
}

int dxdb_type_add(dxdb_type *t, const char *name, unsigned code, uint32_t count,
                  const dxdb_type *type)
{
    uint32_t align;
    const uint32_t size = width(code, count, &align);
    assert((code >> 4 == DX_TELEPORT_KIND_RECORDS) == (type != NULL));
    if (!*name || strlen(name) > DXDB_FIELD_NAME_MAX || t->count == DXDB_FIELDS_MAX) return -1;
    for (uint32_t i = 0; i < t->count; i++)
        if (!strcmp(t->fields[i].name, name)) return -1;
    if (t->count == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 16;
        dxdb_field *fields = prog_alloc(t->capacity * sizeof *fields);
        if (t->count) memcpy(fields, t->fields, t->count * sizeof *fields);
        free(t->fields);
        t->fields = fields;
    }
    dxdb_field *f = &t->fields[t->count];
    memset(f, 0, sizeof *f);
    strcpy(f->name, name);
    f->code = (uint8_t)code;
    f->count = count;
    f->type = type;
    f->offset = align_up(t->end, align);
    t->end = f->offset + size;
    if (align > t->align) t->align = align;
    t->layout = prog_fnv(t->layout, name, strlen(name) + 1);
    t->layout = hash_number(t->layout, code, 1);
    t->layout = hash_number(t->layout, count, 4);
    t->layout = hash_number(t->layout, f->offset, 4);
    if (type) t->layout = hash_number(t->layout, type->layout, 8);
    return (int)t->count++;
}

uint32_t dxdb_type_size(const dxdb_type *t) { return align_up(t->end, t->align); }

void dxdb_type_free(dxdb_type *t)
{
    free(t->fields);
    memset(t, 0, sizeof *t);
}

/* Append `size` zero bytes. False: the limit would be exceeded. */
static bool grow(dxdb_writer *w, size_t size)
{
    if (w->failed || size > w->size_max - w->size) {
        w->failed = true;
        return false;
    }
    if (size > w->capacity - w->size) {
        size_t capacity = 2 * (w->size + size);
        if (capacity > w->size_max) capacity = w->size_max;
        uint8_t *bytes = realloc(w->bytes, capacity);
        w->failed = !bytes;
        if (!bytes) return false;
        w->bytes = bytes;
        w->capacity = capacity;
    }
    memset(w->bytes + w->size, 0, size);
    w->size += size;
    return true;
}

void dxdb_writer_set(dxdb_writer *w, size_t at, uint64_t value, uint32_t size)
{
    if (w->failed) return;
    assert(size <= 8 && at <= w->size && size <= w->size - at);
    for (uint32_t i = 0; i < size; i++) w->bytes[at + i] = (uint8_t)(value >> 8 * i & 0xff);
}

void dxdb_writer_begin(dxdb_writer *w, const dxdb_type *t, size_t size_max)
{
    memset(w, 0, sizeof *w);
    assert(size_max <= UINT32_MAX);
    w->size_max = size_max;
    if (!grow(w, DXDB_WRITER_ROOT + dxdb_type_size(t))) return;
    dxdb_writer_set(w, 0, DX_TELEPORT_MAGIC, 4);
    dxdb_writer_set(w, 8, t->layout, 8);
    dxdb_writer_set(w, 16, dxdb_type_size(t), 4);
    dxdb_writer_set(w, 20, 1, 2);
}

size_t dxdb_writer_put(dxdb_writer *w, size_t at, const void *data, uint32_t count, uint32_t unit,
                       uint32_t align)
{
    const size_t skip = (align - w->size % align) % align;
    if (!count || w->failed) return 0;
    if (!grow(w, skip)) return 0;
    const size_t begin = w->size;
    if (unit > (w->size_max - begin) / count) w->failed = true;
    if (!grow(w, (size_t)count * unit)) return 0;
    if (data) memcpy(w->bytes + begin, data, (size_t)count * unit);
    dxdb_writer_set(w, at, begin, 4);
    dxdb_writer_set(w, at + 4, count, 4);
    return begin;
}

bool dxdb_writer_finish(dxdb_writer *w)
{
    dxdb_writer_set(w, 4, w->size, 4);
    return !w->failed;
}

void dxdb_writer_free(dxdb_writer *w)
{
    free(w->bytes);
    memset(w, 0, sizeof *w);
}
