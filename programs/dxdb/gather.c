/* Gathers what transactions have changed. See gather.h.

   What an update or a delete says of the old row depends on the table's replica identity:

       identity     old row of a delete     of an update
       default      its primary key         its primary key if that has changed, else nothing
       index        the columns of it       those if they have changed, else nothing
       full         all columns             all columns
       nothing      the server refuses both, as long as the table is published

   A key column whose old value is not told makes it a change of the whole table. */
#include "gather.h"

#include "../common/common.h"

#include <stdlib.h>
#include <string.h>

enum { SET_FIRST = 8 };

typedef struct column_plan { /* a key column of a relation */
    uint32_t column;
    uint32_t index;   /* in the rows */
    bool     is_told; /* of the replica identity */
} column_plan;

typedef struct dxdb_relation {
    uint32_t oid;
    uint32_t next;       /* 1 + the index of the next one in its bucket */
    char     identity;
    dxdb_pgoutput_part columns;
    uint8_t *bytes;      /* storage of columns; NULL: they are not remembered */
    uint32_t generation; /* of the plan, if there is one */
    bool     is_planned;
    bool     is_whole;   /* changed keys cannot be told */
    bool     is_read;
    uint32_t count;
    column_plan plan[DXDB_GATHER_COLUMNS_MAX];
} dxdb_relation;

typedef struct key_set {
    uint32_t  column;
    uint32_t  count;
    uint32_t  capacity;
    uint64_t *keys;
} key_set;

typedef struct dxdb_gathered { /* a table in a transaction */
    uint32_t oid;
    bool     is_whole;
    bool     is_read;
    uint32_t count;
    key_set  sets[DXDB_GATHER_COLUMNS_MAX];
} dxdb_gathered;

/* >>relations ------------------------------------------------------------------ */
static dxdb_relation *find_relation(dxdb_gather *g, uint32_t oid)
{
    const uint32_t bucket = oid % (sizeof g->buckets / sizeof *g->buckets);
    uint32_t at = g->buckets[bucket];
    while (at && g->relations[at - 1].oid != oid) at = g->relations[at - 1].next;
    return at ? &g->relations[at - 1] : NULL;
}

static dxdb_relation *add_relation(dxdb_gather *g, uint32_t oid)
{
    const uint32_t bucket = oid % (sizeof g->buckets / sizeof *g->buckets);
    if (g->relation_count == DXDB_GATHER_RELATIONS_MAX) return NULL;
    if (g->relation_count == g->relation_capacity) {
        g->relation_capacity = 2 * g->relation_capacity + 16;
        dxdb_relation *grown = prog_alloc(g->relation_capacity * sizeof *grown);
        if (g->relation_count) memcpy(grown, g->relations, g->relation_count * sizeof *grown);
        free(g->relations);
        g->relations = grown;
    }
    dxdb_relation *r = &g->relations[g->relation_count++];
    memset(r, 0, sizeof *r);
    r->oid = oid;
    r->next = g->buckets[bucket];
    g->buckets[bucket] = g->relation_count;
    return r;
}

/* Remember the columns of a table. Without room for them its changes are told as a whole. */
static void describe(dxdb_gather *g, const dxdb_pgoutput *m)
{
    dxdb_relation *r = find_relation(g, m->relation);
    if (!r) r = add_relation(g, m->relation);
    if (!r) return;
    if (r->bytes) g->relation_bytes -= r->columns.size;
    free(r->bytes);
    r->bytes = NULL;
    r->is_planned = false;
    r->identity = m->identity;
    if (m->columns.size > DXDB_GATHER_COLUMNS_BYTES - g->relation_bytes) return;
    r->bytes = prog_alloc(m->columns.size);
    if (m->columns.size) memcpy(r->bytes, m->columns.bytes, m->columns.size);
    g->relation_bytes += m->columns.size;
    r->columns = m->columns;
    r->columns.bytes = r->bytes;
}

/* Find a key column. False: the table has none of this name and kind. */
static bool plan_column(const dxdb_gather *g, const dxdb_relation *r, const dxdb_gather_key *key,
                        column_plan *plan)
{
    dxdb_pgoutput_part columns = r->columns;
    while (columns.count) {
        const uint32_t index = r->columns.count - columns.count;
        const dxdb_pgoutput_column column = dxdb_pgoutput_next_column(&columns);
        if (strcmp(column.name, key->name)) continue;
        plan->column = key->column;
        plan->index = index;
        plan->is_told = column.is_key;
        return g->calls->kind(column.type) == key->kind;
    }
    return false;
}

/* Decide what is taken from the rows of a relation. */
static void plan(dxdb_gather *g, dxdb_relation *r)
{
    dxdb_gather_key keys[DXDB_GATHER_COLUMNS_MAX];
    const int count = g->calls->keys(g->calls->user, r->oid, keys);
    r->is_planned = true;
    r->generation = g->generation;
    r->is_read = count != DXDB_GATHER_NOT_READ;
    r->is_whole = count <= 0 || !r->bytes || !g->is_one_key_text;
    r->count = r->is_whole ? 0 : (uint32_t)count;
    for (uint32_t i = 0; i < r->count; i++)
        if (!plan_column(g, r, &keys[i], &r->plan[i])) r->is_whole = true;
}

/* >>sets of keys --------------------------------------------------------------- */
static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Keep each key once. */
static void compact(dxdb_gather *g, key_set *s)
{
    uint32_t kept = 0;
    if (!s->count) return;
    qsort(s->keys, s->count, sizeof *s->keys, compare);
    for (uint32_t i = 0; i < s->count; i++)
        if (!kept || s->keys[kept - 1] != s->keys[i]) s->keys[kept++] = s->keys[i];
    g->keys -= s->count - kept;
    s->count = kept;
}

static void drop_keys(dxdb_gather *g, dxdb_gathered *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        g->keys -= t->sets[i].count;
        free(t->sets[i].keys);
    }
    t->count = 0;
}

static void tell_whole(dxdb_gather *g, dxdb_gathered *t)
{
    drop_keys(g, t);
    t->is_whole = true;
}

/* Make room for one more key. False: there are too many different ones. */
static bool has_room(dxdb_gather *g, key_set *s)
{
    if (s->count < s->capacity) return true;
    compact(g, s);
    if (s->count >= DXDB_GATHER_KEYS_MAX) return false;
    if (s->capacity && s->count <= s->capacity / 2) return true;
    s->capacity = s->capacity ? 2 * s->capacity : SET_FIRST;
    uint64_t *grown = prog_alloc(s->capacity * sizeof *grown);
    if (s->count) memcpy(grown, s->keys, s->count * sizeof *grown);
    free(s->keys);
    s->keys = grown;
    return true;
}

static void add_key(dxdb_gather *g, dxdb_gathered *t, uint32_t set, const dxdb_pgoutput_value *value)
{
    key_set *s = &t->sets[set];
    const uint64_t hash = g->calls->hash(value->text, value->size);
    if (s->count && s->keys[s->count - 1] == hash) return;
    if (!has_room(g, s) || g->keys >= DXDB_GATHER_ALL_KEYS_MAX) {
        tell_whole(g, t);
        return;
    }
    s->keys[s->count++] = hash;
    g->keys++;
}

/* >>rows ------------------------------------------------------------------------ */
/* The entry of a table in the transaction. NULL: there are too many tables. */
static dxdb_gathered *find_table(dxdb_gather *g, uint32_t oid)
{
    for (uint32_t i = g->table_count; i > 0; i--) /* the last ones are likely */
        if (g->tables[i - 1].oid == oid) return &g->tables[i - 1];
    if (g->table_count == DXDB_GATHER_TABLES_MAX) {
        g->is_all = true;
        return NULL;
    }
    if (!g->tables) g->tables = prog_alloc(DXDB_GATHER_TABLES_MAX * sizeof *g->tables);
    dxdb_gathered *t = &g->tables[g->table_count++];
    memset(t, 0, sizeof *t);
    t->oid = oid;
    t->is_read = true;
    return t;
}

/* The values of the key columns. */
static void find_values(const dxdb_relation *r, dxdb_pgoutput_part row,
                        dxdb_pgoutput_value values[DXDB_GATHER_COLUMNS_MAX])
{
    uint32_t left = r->count;
    memset(values, 0, DXDB_GATHER_COLUMNS_MAX * sizeof *values);
    for (uint32_t at = 0; left && row.count; at++) {
        const dxdb_pgoutput_value value = dxdb_pgoutput_next_value(&row);
        for (uint32_t i = 0; i < r->count; i++) {
            if (r->plan[i].index != at) continue;
            values[i] = value;
            left--;
        }
    }
}

/* Add the keys of a changed row. */
static void add_keys(dxdb_gather *g, const dxdb_relation *r, dxdb_gathered *t, const dxdb_pgoutput *m)
{
    dxdb_pgoutput_value old[DXDB_GATHER_COLUMNS_MAX], fresh[DXDB_GATHER_COLUMNS_MAX];
    find_values(r, m->old, old);
    find_values(r, m->fresh, fresh);
    for (uint32_t i = 0; i < r->count && !t->is_whole; i++) {
        const bool is_told = m->old_kind == 'O' || (m->old_kind == 'K' && r->plan[i].is_told);
        const bool is_same = m->kind == DXDB_PGOUTPUT_INSERT ||
                             (m->kind == DXDB_PGOUTPUT_UPDATE && !m->old_kind &&
                              r->plan[i].is_told && r->identity != 'f');
        if ((!is_told && !is_same) || (fresh[i].kind == 'u' && !is_told) || old[i].kind == 'u') {
            tell_whole(g, t);
            return;
        }
        if (is_told && old[i].kind == 't') add_key(g, t, i, &old[i]);
        if (!t->is_whole && fresh[i].kind == 't') add_key(g, t, i, &fresh[i]);
    }
}

static const char *handle_row(dxdb_gather *g, const dxdb_pgoutput *m)
{
    dxdb_relation *r = find_relation(g, m->relation);
    if (!g->is_open) return "a change is outside of a transaction";
    if (r && r->bytes && ((m->old_kind && m->old.count != r->columns.count) ||
                          (m->kind != DXDB_PGOUTPUT_DELETE && m->fresh.count != r->columns.count)))
        return "a row has another number of columns than its table";
    dxdb_gathered *t = find_table(g, m->relation);
    if (!t || t->is_whole) return NULL;
    if (r && (!r->is_planned || r->generation != g->generation)) plan(g, r);
    if (r && !t->count && !r->is_whole) {
        t->count = r->count;
        for (uint32_t i = 0; i < r->count; i++) t->sets[i].column = r->plan[i].column;
    }
    t->is_read = !r || r->is_read;
    bool is_other = !r || r->is_whole || t->count != r->count; /* it was described again meanwhile */
    for (uint32_t i = 0; !is_other && i < r->count; i++)
        is_other = t->sets[i].column != r->plan[i].column;
    if (is_other) tell_whole(g, t);
    else add_keys(g, r, t, m);
    return NULL;
}

static const char *handle_truncate(dxdb_gather *g, dxdb_pgoutput_part relations)
{
    if (!g->is_open) return "a change is outside of a transaction";
    while (relations.count) {
        dxdb_gathered *t = find_table(g, dxdb_pgoutput_next_relation(&relations));
        if (!t) continue;
        t->is_read = true;
        tell_whole(g, t);
    }
    return NULL;
}

/* >>transactions ------------------------------------------------------------------ */
static void forget_transaction(dxdb_gather *g)
{
    for (uint32_t i = 0; i < g->table_count; i++) drop_keys(g, &g->tables[i]);
    g->table_count = 0;
    g->keys = 0;
    g->is_all = false;
    g->is_open = false;
}

/* The size of a table's payload, at most. */
static size_t payload_size(const dxdb_gathered *t)
{
    size_t size = 16;
    for (uint32_t i = 0; i < t->count; i++) size += 16 + (size_t)12 * t->sets[i].count;
    return size;
}

/* Write a table's payload, and return its size with the terminator. */
static size_t put_payload(char *out, size_t capacity, const dxdb_gathered *t, bool has_keys)
{
    size_t size = (size_t)snprintf(out, capacity, "%u", (unsigned)t->oid);
    for (uint32_t i = 0; has_keys && i < t->count; i++) {
        const key_set *s = &t->sets[i];
        size += (size_t)snprintf(out + size, capacity - size, " %08x:", (unsigned)s->column);
        for (uint32_t k = 0; k < s->count; k++)
            size += (size_t)snprintf(out + size, capacity - size, "%012llx",
                                     (unsigned long long)s->keys[k]);
    }
    return size + 1;
}

/* Put the transaction into the queue, unless it has changed nothing. */
static void enqueue(dxdb_gather *g)
{
    size_t capacity = 0;
    if (!g->table_count && !g->is_all) return;
    for (uint32_t i = 0; i < g->table_count; i++) {
        for (uint32_t k = 0; k < g->tables[i].count; k++) compact(g, &g->tables[i].sets[k]);
        capacity += payload_size(&g->tables[i]);
    }
    const bool has_keys = g->waiting_bytes + capacity <= DXDB_GATHER_QUEUE_BYTES;
    if (!has_keys) capacity = (size_t)16 * g->table_count;
    dxdb_committed *t = prog_alloc(sizeof *t + capacity);
    memset(t, 0, sizeof *t);
    t->xid = g->xid;
    t->position = g->commit;
    t->is_all = t->is_read = g->is_all;
    for (uint32_t i = 0; !g->is_all && i < g->table_count; i++) {
        t->size += put_payload(t->payloads + t->size, capacity - t->size, &g->tables[i], has_keys);
        t->is_read = t->is_read || g->tables[i].is_read;
    }
    if (!g->last) g->last = &g->first;
    *g->last = t;
    g->last = &t->next;
    g->waiting++;
    g->waiting_read += t->is_read;
    g->waiting_bytes += t->size;
    g->transactions++;
}

void dxdb_gather_remove(dxdb_gather *g, dxdb_committed **at)
{
    dxdb_committed *t = *at;
    *at = t->next;
    if (g->last == &t->next) g->last = at;
    g->waiting--;
    g->waiting_read -= t->is_read;
    g->waiting_bytes -= t->size;
    free(t);
}

static const char *handle_begin(dxdb_gather *g, const dxdb_pgoutput *m)
{
    if (g->is_open) return "a transaction begins within another one";
    g->is_open = true;
    g->xid = m->xid;
    g->commit = m->position;
    return NULL;
}

static const char *handle_commit(dxdb_gather *g, const dxdb_pgoutput *m)
{
    if (!g->is_open || m->position != g->commit || m->end < m->position)
        return "a commit is of another transaction";
    enqueue(g);
    forget_transaction(g);
    if (m->end > g->position) g->position = m->end;
    return NULL;
}

const char *dxdb_gather_take(dxdb_gather *g, const dxdb_pgoutput *m)
{
    switch (m->kind) {
    case DXDB_PGOUTPUT_OTHER: break;
    case DXDB_PGOUTPUT_KEEPALIVE:
        if (m->position > g->position) g->position = m->position;
        break;
    case DXDB_PGOUTPUT_BEGIN: return handle_begin(g, m);
    case DXDB_PGOUTPUT_COMMIT: return handle_commit(g, m);
    case DXDB_PGOUTPUT_RELATION: describe(g, m); break;
    case DXDB_PGOUTPUT_INSERT: case DXDB_PGOUTPUT_UPDATE: case DXDB_PGOUTPUT_DELETE:
        return handle_row(g, m);
    case DXDB_PGOUTPUT_TRUNCATE: return handle_truncate(g, m->relations);
    }
    return NULL;
}

uint64_t dxdb_gather_told(const dxdb_gather *g)
{
    uint64_t told = g->position;
    if (g->is_open && g->commit < told) told = g->commit;
    for (const dxdb_committed *t = g->first; t; t = t->next) /* commits are in order: the first one */
        return t->position < told ? t->position : told;
    return told;
}

void dxdb_gather_reset(dxdb_gather *g)
{
    forget_transaction(g);
    while (g->first) dxdb_gather_remove(g, &g->first);
    for (uint32_t i = 0; i < g->relation_count; i++) free(g->relations[i].bytes);
    free(g->relations);
    free(g->tables);
    g->relations = NULL;
    g->tables = NULL;
    g->relation_count = g->relation_capacity = 0;
    g->relation_bytes = 0;
    memset(g->buckets, 0, sizeof g->buckets);
    g->position = 0;
}

/* >>visibility --------------------------------------------------------------------- */
static bool parse_xid(const char **at, uint64_t *xid)
{
    char *end;
    if (**at < '0' || **at > '9') return false;
    *xid = strtoull(*at, &end, 10);
    *at = end;
    return true;
}

/* The snapshot has 64 bits of each xid, the transaction's has 32: the upper half is the one that brings
   it closest to xmax. */
bool dxdb_snapshot_has(const char *snapshot, uint32_t xid)
{
    uint64_t xmin, xmax, running;
    if (!parse_xid(&snapshot, &xmin) || *snapshot++ != ':') return false;
    if (!parse_xid(&snapshot, &xmax) || *snapshot++ != ':') return false;
    const uint64_t full = xmax + (uint64_t)(int64_t)(int32_t)(xid - (uint32_t)xmax);
    if (full >= xmax) return false;
    while (*snapshot) {
        if (!parse_xid(&snapshot, &running) || running == full) return false;
        if (*snapshot && (*snapshot++ != ',' || !*snapshot)) return false;
    }
    return true;
}
