/* Teleport types that are made at run time: docs/formats/teleport.md, sections 1 and 3. dx_teleport.h
   makes types at compile time, but the columns of a query are known only to the database. */
#ifndef DXDB_TYPE_H
#define DXDB_TYPE_H

#include "dxdb.h"

enum {
    DXDB_FIELD_NAME_MAX = 48,
    DXDB_FIELDS_MAX     = 1024
};

typedef struct dxdb_type dxdb_type;

typedef struct dxdb_field {
    char             name[DXDB_FIELD_NAME_MAX + 1];
    uint8_t          code;   /* kind and scalar, as in dx_teleport.h */
    uint32_t         count;  /* elements of an array, version of a list's record type, otherwise 1 */
    uint32_t         offset;
    const dxdb_type *type;   /* of a list of records; otherwise NULL */
} dxdb_field;

struct dxdb_type { /* caller-allocated */
    char       name[DXDB_NAME_SIZE_MAX + 1];
    dxdb_field *fields; /* allocated; freed by dxdb_type_free() */
    uint32_t   count;
    uint32_t   capacity;
    uint32_t   end;     /* offset after the last field */
    uint32_t   align;
    uint64_t   layout;  /* the checksum */
};

void dxdb_type_begin(dxdb_type *t, const char *name);
/* Append a field. Returns its index; -1: the name is too long or taken, or there are
   DXDB_FIELDS_MAX fields. code: DX_TELEPORT_KIND_ << 4 | DX_TELEPORT_TYPE_, without enumerations
   and nested records. count and type as in dxdb_field; type must be complete, and is borrowed. */
int  dxdb_type_add(dxdb_type *t, const char *name, unsigned code, uint32_t count,
                   const dxdb_type *type);
/* The size of a record of this type. */
uint32_t dxdb_type_size(const dxdb_type *t);
void dxdb_type_free(dxdb_type *t);

/* Builds a record in memory of its own, which grows up to size_max. */
typedef struct dxdb_writer {
    uint8_t *bytes;
    size_t   size;
    size_t   capacity;
    size_t   size_max;
    bool     failed;   /* size_max exceeded, or out of memory */
} dxdb_writer;

/* Start with the header and the fixed part, all zeros. Offsets are in the encoded bytes: a field is
   at dxdb_writer_root() + its offset. */
void dxdb_writer_begin(dxdb_writer *w, const dxdb_type *t, size_t size_max);
enum { DXDB_WRITER_ROOT = DX_TELEPORT_HEADER_SIZE };
/* Store `size` little-endian bytes of a number at an offset. */
void dxdb_writer_set(dxdb_writer *w, size_t at, uint64_t value, uint32_t size);
/* Append `count` elements of `unit` bytes, aligned to `align`, and point the reference at an offset
   to them. data NULL: zeros. Returns the offset where they begin. Call it in the schema's order. */
size_t dxdb_writer_put(dxdb_writer *w, size_t at, const void *data, uint32_t count, uint32_t unit,
                       uint32_t align);
/* Store the record's size in the header. False: failed. */
bool dxdb_writer_finish(dxdb_writer *w);
void dxdb_writer_free(dxdb_writer *w);

#endif
