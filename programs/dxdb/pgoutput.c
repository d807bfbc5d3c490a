/* Decodes PostgreSQL's logical replication. See pgoutput.h. */
#include "pgoutput.h"

#include <string.h>

enum { COLUMNS_MAX = 1664 }; /* more than a table can have: MaxTupleAttributeNumber */

/* What is left of a message. `why` is the first error; after it everything reads as 0. */
typedef struct reading {
    const uint8_t *at;
    size_t         left;
    const char    *why;
} reading;

static void fail(reading *r, const char *why)
{
    if (!r->why) r->why = why;
    r->left = 0;
}

static const uint8_t *take(reading *r, size_t size)
{
    const uint8_t *at = r->at;
    if (r->why || size > r->left) {
        fail(r, "a message ends too early");
        return NULL;
    }
    r->at += size;
    r->left -= size;
    return at;
}

static uint64_t take_number(reading *r, size_t size)
{
    const uint8_t *at = take(r, size);
    uint64_t value = 0;
    for (size_t i = 0; at && i < size; i++) value = value << 8 | at[i];
    return value;
}

static uint32_t take_u32(reading *r) { return (uint32_t)take_number(r, 4); }

static char take_char(reading *r) { return (char)take_number(r, 1); }

static const char *take_text(reading *r)
{
    const uint8_t *end = r->left ? memchr(r->at, 0, r->left) : NULL;
    const char *text = (const char *)r->at;
    if (!end) {
        fail(r, "a text has no end");
        return NULL;
    }
    (void)take(r, (size_t)(end - r->at) + 1);
    return text;
}

/* >>parts --------------------------------------------------------------------- */
static dxdb_pgoutput_column take_column(reading *r)
{
    dxdb_pgoutput_column column = {0};
    column.is_key = take_number(r, 1) & 1;
    column.name = take_text(r);
    column.type = take_u32(r);
    (void)take(r, 4); /* its modifier */
    return column;
}

static dxdb_pgoutput_value take_value(reading *r)
{
    dxdb_pgoutput_value value = {.kind = take_char(r)};
    switch (value.kind) {
    case 'n': case 'u': break;
    case 't':
        value.size = take_u32(r);
        value.text = (const char *)take(r, value.size);
        break;
    default: fail(r, "a value has an unknown kind"); break;
    }
    return value;
}

/* The end of a part that began at `at`. */
static dxdb_pgoutput_part end_part(const reading *r, const uint8_t *at, uint32_t count)
{
    dxdb_pgoutput_part part = {0};
    if (r->why) return part;
    part.bytes = at;
    part.size = (size_t)(r->at - at);
    part.count = count;
    return part;
}

static uint32_t take_count(reading *r)
{
    const uint32_t count = (uint32_t)take_number(r, 2);
    if (count > COLUMNS_MAX) fail(r, "a row has too many columns");
    return count;
}

static dxdb_pgoutput_part take_columns(reading *r)
{
    const uint32_t count = take_count(r);
    const uint8_t *at = r->at;
    for (uint32_t i = 0; !r->why && i < count; i++) (void)take_column(r);
    return end_part(r, at, count);
}

static dxdb_pgoutput_part take_row(reading *r)
{
    const uint32_t count = take_count(r);
    const uint8_t *at = r->at;
    for (uint32_t i = 0; !r->why && i < count; i++) (void)take_value(r);
    return end_part(r, at, count);
}

static dxdb_pgoutput_part take_relations(reading *r, uint32_t count)
{
    const uint8_t *at = r->at;
    if (count > r->left / 4) fail(r, "a message ends too early");
    (void)take(r, (size_t)4 * count);
    return end_part(r, at, count);
}

static reading begin_part(const dxdb_pgoutput_part *part)
{
    const reading r = {.at = part->bytes, .left = part->size};
    return r;
}

static void go_on(dxdb_pgoutput_part *part, const reading *r)
{
    part->bytes = r->at;
    part->size = r->left;
    part->count--;
}

dxdb_pgoutput_column dxdb_pgoutput_next_column(dxdb_pgoutput_part *columns)
{
    reading r = begin_part(columns);
    const dxdb_pgoutput_column column = take_column(&r);
    go_on(columns, &r);
    return column;
}

dxdb_pgoutput_value dxdb_pgoutput_next_value(dxdb_pgoutput_part *values)
{
    reading r = begin_part(values);
    const dxdb_pgoutput_value value = take_value(&r);
    go_on(values, &r);
    return value;
}

uint32_t dxdb_pgoutput_next_relation(dxdb_pgoutput_part *relations)
{
    reading r = begin_part(relations);
    const uint32_t relation = take_u32(&r);
    go_on(relations, &r);
    return relation;
}

/* >>messages -------------------------------------------------------------------- */
static void read_relation(reading *r, dxdb_pgoutput *m)
{
    m->kind = DXDB_PGOUTPUT_RELATION;
    m->relation = take_u32(r);
    (void)take_text(r); /* its schema */
    (void)take_text(r);
    m->identity = take_char(r);
    if (!r->why && (!m->identity || !strchr("dnfi", m->identity)))
        fail(r, "a table has an unknown replica identity");
    m->columns = take_columns(r);
}

/* An insert has N; a delete K or O; an update K or O, or neither of them, then N. */
static void read_rows(reading *r, dxdb_pgoutput *m, char type)
{
    m->kind = type == 'I' ? DXDB_PGOUTPUT_INSERT : type == 'U' ? DXDB_PGOUTPUT_UPDATE
                                                               : DXDB_PGOUTPUT_DELETE;
    m->relation = take_u32(r);
    char kind = take_char(r);
    if (type != 'I' && (kind == 'K' || kind == 'O')) {
        m->old_kind = kind;
        m->old = take_row(r);
        if (type == 'D') return;
        kind = take_char(r);
    }
    if (kind != 'N' || type == 'D') {
        fail(r, "a change has another row than its type says");
        return;
    }
    m->fresh = take_row(r);
}

static void read_truncate(reading *r, dxdb_pgoutput *m)
{
    m->kind = DXDB_PGOUTPUT_TRUNCATE;
    const uint32_t count = take_u32(r);
    (void)take(r, 1); /* CASCADE, RESTART IDENTITY */
    m->relations = take_relations(r, count);
}

static void read_begin(reading *r, dxdb_pgoutput *m)
{
    m->kind = DXDB_PGOUTPUT_BEGIN;
    m->position = take_number(r, 8);
    (void)take(r, 8); /* the time */
    m->xid = take_u32(r);
}

static void read_commit(reading *r, dxdb_pgoutput *m)
{
    m->kind = DXDB_PGOUTPUT_COMMIT;
    (void)take(r, 1);
    m->position = take_number(r, 8);
    m->end = take_number(r, 8);
    (void)take(r, 8); /* the time */
}

static void read_data(reading *r, dxdb_pgoutput *m)
{
    (void)take(r, 24); /* positions, whose meaning differs between versions, and the time */
    const char type = take_char(r);
    switch (type) {
    case 'B': read_begin(r, m); break;
    case 'C': read_commit(r, m); break;
    case 'R': read_relation(r, m); break;
    case 'I': case 'U': case 'D': read_rows(r, m, type); break;
    case 'T': read_truncate(r, m); break;
    case 'Y': /* a type */
        (void)take(r, 4);
        (void)take_text(r);
        (void)take_text(r);
        break;
    case 'O': /* the origin */
        (void)take(r, 8);
        (void)take_text(r);
        break;
    default: fail(r, "a message has an unknown type"); break;
    }
}

const char *dxdb_pgoutput_read(dxdb_pgoutput *m, const void *bytes, size_t size)
{
    reading r = {.at = bytes, .left = size};
    memset(m, 0, sizeof *m);
    switch (take_char(&r)) {
    case 'w': read_data(&r, m); break;
    case 'k':
        m->kind = DXDB_PGOUTPUT_KEEPALIVE;
        m->position = take_number(&r, 8);
        (void)take(&r, 8);
        m->wants_reply = take_number(&r, 1) != 0;
        break;
    default: fail(&r, "it sends what is neither a change nor a keepalive"); break;
    }
    if (!r.why && r.left) fail(&r, "a message is longer than its fields");
    return r.why;
}

static void put_u64(uint8_t *out, uint64_t value)
{
    for (int i = 0; i < 8; i++) out[i] = (uint8_t)(value >> (56 - 8 * i));
}

void dxdb_pgoutput_write_status(uint8_t out[DXDB_PGOUTPUT_STATUS_SIZE], uint64_t position,
                                int64_t clock_us, bool wants_reply)
{
    out[0] = 'r';
    put_u64(out + 1, position);  /* written, */
    put_u64(out + 9, position);  /* flushed, */
    put_u64(out + 17, position); /* and applied */
    put_u64(out + 25, (uint64_t)clock_us);
    out[33] = wants_reply;
}
