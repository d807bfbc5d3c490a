/* Tests of programs/dxdb/pgoutput.c and gather.c: what a walsender sends, and what it says of changes. The
   other side is a model of one: tables with rows, whose changes it encodes as each replica identity has it. */
#define _GNU_SOURCE
#include "../../programs/common/os_posix.c"
#include "../../programs/common/base.c"
#include "../../programs/common/line.c"
#include "../../programs/common/message.c"
#include "../../programs/dxdb/pgoutput.c"
#include "../../programs/dxdb/gather.c"

#define DX_TEST_MAIN
#include "../dx_test.h"

enum { CAPACITY = 1 << 16, TABLES = 4, COLUMNS = 4, ROWS = 8, VALUES = 6, NO_VALUE = 0, INT4 = 23, TEXT = 25 };

/* >>the other side ----------------------------------------------------------------- */
typedef struct message {
    uint8_t bytes[CAPACITY];
    size_t  size;
} message;

static void put(message *m, uint64_t value, size_t size)
{
    DX_CHECK(m->size + size <= CAPACITY);
    while (size > 0) m->bytes[m->size++] = (uint8_t)(value >> 8 * --size);
}

static void put_name(message *m, const char *text)
{
    for (; *text; text++) put(m, (uint8_t)*text, 1);
    put(m, 0, 1);
}

static void start(message *m, char type)
{
    m->size = 0;
    put(m, 'w', 1);
    for (int i = 0; i < 3; i++) put(m, 77, 8);
    put(m, (uint8_t)type, 1);
}

/* A table. A value is 1 to VALUES, or NO_VALUE for NULL. The primary key is column 0. */
typedef struct table {
    uint32_t oid;
    char     identity;
    uint32_t columns;
    uint8_t  rows[ROWS][COLUMNS];
    bool     there[ROWS];
    bool     is_described; /* in this connection */
} table;

static bool is_identity(const table *t, uint32_t column)
{
    return t->identity == 'f' || (t->identity == 'd' && column == 0);
}

static void put_relation(message *m, const table *t)
{
    start(m, 'R');
    put(m, t->oid, 4);
    put_name(m, "public");
    put_name(m, "t");
    put(m, (uint8_t)t->identity, 1);
    put(m, t->columns, 2);
    for (uint32_t i = 0; i < t->columns; i++) {
        const char name[3] = {'c', (char)('0' + i), 0};
        put(m, is_identity(t, i), 1);
        put_name(m, name);
        put(m, i % 2 ? TEXT : INT4, 4);
        put(m, UINT32_MAX, 4);
    }
}

/* hidden: bits of the columns that were not changed, whose values are large and not sent. */
static void put_row(message *m, const table *t, char kind, const uint8_t *row, uint32_t hidden)
{
    put(m, (uint8_t)kind, 1);
    put(m, t->columns, 2);
    for (uint32_t i = 0; i < t->columns; i++) {
        if (row[i] == NO_VALUE || (kind == 'K' && !is_identity(t, i))) {
            put(m, 'n', 1);
        } else if (hidden >> i & 1) {
            put(m, 'u', 1);
        } else {
            put(m, 't', 1);
            put(m, row[i], 4); /* as long as the value */
            for (int k = 0; k < row[i]; k++) put(m, (uint64_t)'a' + i, 1);
        }
    }
}

/* >>what the catalog would say ------------------------------------------------------- */
typedef struct model {
    dxdb_gather gather;
    table       tables[TABLES];
    uint32_t    keyed[TABLES]; /* bits of the columns that some query has as a key */
    bool        is_known;
    bool        is_read[TABLES];
    bool        is_whole[TABLES]; /* expected of the open transaction */
    bool        changed[TABLES];
    uint8_t     keys[TABLES][COLUMNS][VALUES + 1];
    uint64_t    position;
} model;

static const char *const names[COLUMNS] = {"c0", "c1", "c2", "c3"};

static int on_keys(void *user, uint32_t relation, dxdb_gather_key *keys)
{
    const model *m = user;
    const uint32_t place = relation - 100;
    int count = 0;
    if (!m->is_known) return DXDB_GATHER_NOT_KNOWN;
    if (place >= TABLES || !m->is_read[place]) return DXDB_GATHER_NOT_READ;
    for (uint32_t i = 0; i < COLUMNS; i++) {
        if (!(m->keyed[place] >> i & 1)) continue;
        keys[count].column = i + 1;
        keys[count].kind = i % 2 ? 't' : 'i';
        keys[count++].name = names[i];
    }
    return count;
}

static char on_kind(uint32_t type) { return type == TEXT ? 't' : type == INT4 ? 'i' : 0; }

/* The length of the model's values is the value. */
static uint64_t on_hash(const char *text, size_t size)
{
    DX_CHECK(size > 0 && text[0] == text[size - 1]);
    return size;
}

static void take_ok(model *m, const message *bytes)
{
    dxdb_pgoutput read;
    const char *why = dxdb_pgoutput_read(&read, bytes->bytes, bytes->size);
    if (!why) why = dxdb_gather_take(&m->gather, &read);
    if (why) fprintf(stderr, "%s\n", why);
    DX_CHECK(!why);
}

static void expect_row(model *m, uint32_t place, const uint8_t *row)
{
    for (uint32_t i = 0; i < m->tables[place].columns; i++)
        if (m->keyed[place] >> i & 1 && row[i]) m->keys[place][i][row[i]] = 1;
}

/* May the keys of the old row be told? Of columns that are in the identity. */
static bool tells_old(const model *m, uint32_t place)
{
    for (uint32_t i = 0; i < m->tables[place].columns; i++)
        if (m->keyed[place] >> i & 1 && !is_identity(&m->tables[place], i)) return false;
    return true;
}

static void change_row(dx_choices *c, model *m, uint32_t place)
{
    static message bytes;
    table *t = &m->tables[place];
    const size_t at = (size_t)dx_choose(c, ROWS - 1);
    uint8_t fresh[COLUMNS];
    uint32_t hidden = 0;
    const bool deletes = t->there[at] && dx_choose(c, 2) == 0;
    if (!t->is_described) {
        put_relation(&bytes, t);
        take_ok(m, &bytes);
        t->is_described = true;
    }
    for (uint32_t i = 0; i < COLUMNS; i++)
        fresh[i] = i && dx_choose(c, 3) == 0 ? NO_VALUE : (uint8_t)dx_choose_range(c, 1, VALUES);
    for (uint32_t i = 0; t->there[at] && i < t->columns; i++)
        if (dx_choose(c, 1)) fresh[i] = t->rows[at][i];
    for (uint32_t i = 0; t->there[at] && i < t->columns; i++)
        if (fresh[i] == t->rows[at][i] && dx_choose(c, 3) == 0) hidden |= 1u << i;
    m->changed[place] = true;
    if (t->there[at]) expect_row(m, place, t->rows[at]);
    if (!deletes) expect_row(m, place, fresh);
    if (t->there[at] && !tells_old(m, place)) m->is_whole[place] = true;
    start(&bytes, !t->there[at] ? 'I' : deletes ? 'D' : 'U');
    put(&bytes, t->oid, 4);
    if (t->there[at] && t->identity == 'f') put_row(&bytes, t, 'O', t->rows[at], 0);
    else if (t->there[at] && t->identity == 'd' && (deletes || fresh[0] != t->rows[at][0]))
        put_row(&bytes, t, 'K', t->rows[at], 0);
    else if (deletes) put_row(&bytes, t, 'K', t->rows[at], 0); /* no server does this */
    if (!deletes) put_row(&bytes, t, 'N', fresh, hidden);
    for (uint32_t i = 0; i < t->columns && !deletes; i++)
        if (hidden >> i & 1 && m->keyed[place] >> i & 1 && t->identity != 'f') m->is_whole[place] = true;
    take_ok(m, &bytes);
    t->there[at] = !deletes;
    if (!deletes) memcpy(t->rows[at], fresh, sizeof fresh);
}

/* The payload of a table in the last transaction. NULL: it has none. */
static const char *payload_of(const dxdb_committed *t, uint32_t oid)
{
    for (size_t at = 0; at < t->size; at += strlen(t->payloads + at) + 1)
        if ((uint32_t)strtoul(t->payloads + at, NULL, 10) == oid) return t->payloads + at;
    return NULL;
}

static bool has_key(const char *payload, uint32_t column, uint32_t value)
{
    char name[16], key[16];
    snprintf(name, sizeof name, " %08x:", (unsigned)column);
    snprintf(key, sizeof key, "%012x", (unsigned)value);
    const char *at = strstr(payload, name);
    DX_CHECK(at != NULL);
    for (at += 10; *at && *at != ' '; at += 12)
        if (!memcmp(at, key, 12)) return true;
    return false;
}

/* Just the keys of the old and the new rows, or the whole table where one of them cannot be known. */
static void check_table(const model *m, const dxdb_committed *t, uint32_t place)
{
    const char *payload = payload_of(t, m->tables[place].oid);
    DX_CHECK_EQ(payload != NULL, m->changed[place]);
    if (!payload) return;
    const bool is_whole = !strchr(payload, ' ');
    if (!m->is_known || !m->is_read[place] || !m->keyed[place]) {
        DX_CHECK(is_whole);
        return;
    }
    DX_CHECK_EQ(is_whole, m->is_whole[place]);
    for (uint32_t i = 0; !is_whole && i < COLUMNS; i++)
        for (uint32_t v = 1; m->keyed[place] >> i & 1 && v <= VALUES; v++)
            DX_CHECK_EQ(has_key(payload, i + 1, v), m->keys[place][i][v]);
}

static const dxdb_gather_calls *calls_of(model *m)
{
    static dxdb_gather_calls calls = {on_keys, on_kind, on_hash, NULL};
    calls.user = m;
    return &calls;
}

static void begin_model(dx_choices *c, model *m)
{
    memset(m, 0, sizeof *m);
    m->gather.calls = calls_of(m);
    m->gather.is_one_key_text = true;
    m->position = 1000;
    for (uint32_t i = 0; i < TABLES; i++) {
        m->tables[i].oid = 100 + i;
        m->tables[i].columns = (uint32_t)dx_choose_range(c, 1, COLUMNS);
        m->tables[i].identity = "dfn"[dx_choose(c, 2)];
        m->keyed[i] = (uint32_t)dx_choose(c, 15) & ((1u << m->tables[i].columns) - 1);
        m->is_read[i] = dx_choose(c, 3) != 0;
    }
}

static void begin_transaction(model *m, uint32_t xid)
{
    static message bytes;
    memset(m->changed, 0, sizeof m->changed);
    memset(m->is_whole, 0, sizeof m->is_whole);
    memset(m->keys, 0, sizeof m->keys);
    start(&bytes, 'B');
    put(&bytes, m->position, 8);
    put(&bytes, 0, 8);
    put(&bytes, xid, 4);
    take_ok(m, &bytes);
}

static void end_transaction(model *m)
{
    static message bytes;
    start(&bytes, 'C');
    put(&bytes, 0, 1);
    put(&bytes, m->position, 8);
    put(&bytes, m->position + 48, 8);
    put(&bytes, 0, 8);
    take_ok(m, &bytes);
    m->position += 100;
}

static void truncate_table(model *m, uint32_t place)
{
    static message bytes;
    start(&bytes, 'T');
    put(&bytes, 2, 4);
    put(&bytes, 0, 1);
    put(&bytes, m->tables[place].oid, 4);
    put(&bytes, m->tables[0].oid, 4);
    take_ok(m, &bytes);
    m->changed[place] = m->is_whole[place] = m->changed[0] = m->is_whole[0] = true;
    memset(m->tables[place].there, 0, sizeof m->tables[place].there);
    memset(m->tables[0].there, 0, sizeof m->tables[0].there);
}

/* >>properties ------------------------------------------------------------------------ */
DX_PROPERTY(a_transaction_tells_the_keys_of_its_rows, 400)
{
    static model m;
    begin_model(c, &m);
    const uint32_t count = (uint32_t)dx_choose(c, 6);
    for (uint32_t xid = 1; xid <= count; xid++) {
        m.is_known = dx_choose(c, 5) != 0;
        m.gather.generation++;
        begin_transaction(&m, xid);
        const uint32_t changes = (uint32_t)dx_choose(c, 8);
        for (uint32_t i = 0; i < changes; i++) {
            const uint32_t place = (uint32_t)dx_choose(c, TABLES - 1);
            if (dx_choose(c, 9) == 0) truncate_table(&m, place);
            else change_row(c, &m, place);
        }
        const uint64_t commit = m.position;
        end_transaction(&m);
        dxdb_committed *t = m.gather.first;
        DX_CHECK_EQ(t != NULL, changes > 0);
        DX_CHECK_EQ(dxdb_gather_told(&m.gather), changes ? commit : commit + 48);
        if (!t) continue;
        DX_CHECK_EQ(t->xid, xid);
        for (uint32_t i = 0; i < TABLES; i++) check_table(&m, t, i);
        dxdb_gather_remove(&m.gather, &m.gather.first);
        DX_CHECK_EQ(dxdb_gather_told(&m.gather), commit + 48);
        DX_CHECK_EQ(m.gather.waiting_bytes + m.gather.waiting + m.gather.waiting_read, 0);
    }
    dxdb_gather_reset(&m.gather);
    DX_CHECK_EQ(m.gather.relation_bytes, 0);
}

/* One message of each kind, cut off at each place, longer, or with another byte: either it is refused,
   or its parts lie inside of it. */
static void check_parts(const dxdb_pgoutput *m, const uint8_t *bytes, size_t size)
{
    const dxdb_pgoutput_part parts[] = {m->columns, m->old, m->fresh, m->relations};
    for (size_t i = 0; i < 4; i++) {
        dxdb_pgoutput_part part = parts[i];
        DX_CHECK(!part.size || (part.bytes >= bytes && part.bytes + part.size <= bytes + size));
        while (part.count) {
            if (i == 0) DX_CHECK(strlen(dxdb_pgoutput_next_column(&part).name) < size);
            else if (i == 3) (void)dxdb_pgoutput_next_relation(&part);
            else DX_CHECK(dxdb_pgoutput_next_value(&part).size < size);
        }
        DX_CHECK(!part.size);
    }
}

static uint32_t make_sample(uint32_t number, message *m)
{
    static const table t = {.oid = 100, .identity = 'd', .columns = 3, .rows = {{1, 2, 0}}};
    static const char types[] = "BCIUDTRYOk";
    const char type = types[number % 10];
    start(m, type);
    if (type == 'R') put_relation(m, &t);
    else if (strchr("IUD", type)) put(m, t.oid, 4);
    if (type == 'U' || type == 'D') put_row(m, &t, 'K', t.rows[0], 0);
    if (type == 'U' || type == 'I') put_row(m, &t, 'N', t.rows[0], 2);
    if (type == 'B') put(m, 1, 8), put(m, 2, 8), put(m, 3, 4);
    if (type == 'C') put(m, 0, 1), put(m, 1, 8), put(m, 2, 8), put(m, 3, 8);
    if (type == 'T') put(m, 2, 4), put(m, 1, 1), put(m, 5, 4), put(m, 6, 4);
    if (type == 'Y') put(m, 7, 4), put_name(m, "public"), put_name(m, "mood");
    if (type == 'O') put(m, 7, 8), put_name(m, "elsewhere");
    if (type != 'k') return 10;
    m->size = 0;
    put(m, 'k', 1), put(m, 5, 8), put(m, 6, 8), put(m, 1, 1);
    return 10;
}

DX_TEST(a_message_ends_where_its_fields_end)
{
    static message m;
    dxdb_pgoutput read;
    const uint32_t count = make_sample(0, &m);
    for (uint32_t number = 0; number < count; number++) {
        (void)make_sample(number, &m);
        DX_CHECK(!dxdb_pgoutput_read(&read, m.bytes, m.size));
        check_parts(&read, m.bytes, m.size);
        for (size_t size = 0; size < m.size; size++) {
            uint8_t *cut = malloc(size + 1); /* of its size: the sanitizer sees a read behind it */
            memcpy(cut, m.bytes, size);
            DX_CHECK(dxdb_pgoutput_read(&read, size ? cut : NULL, size) != NULL);
            free(cut);
        }
        put(&m, 0, 1);
        DX_CHECK(dxdb_pgoutput_read(&read, m.bytes, m.size) != NULL);
        m.size--;
        for (size_t at = 0; at < m.size; at++) {
            const uint8_t kept = m.bytes[at];
            for (int bit = 0; bit < 8; bit++) {
                m.bytes[at] = (uint8_t)(kept ^ 1u << bit);
                if (!dxdb_pgoutput_read(&read, m.bytes, m.size)) check_parts(&read, m.bytes, m.size);
            }
            m.bytes[at] = kept;
        }
    }
    m.size = 0;
    put(&m, 'w', 1), put(&m, 0, 8), put(&m, 0, 8), put(&m, 0, 8), put(&m, 'S', 1);
    DX_CHECK(strstr(dxdb_pgoutput_read(&read, m.bytes, m.size), "unknown type") != NULL);
}

/* Whatever arrives, in whatever order, memory keeps to its limits. */
DX_PROPERTY(fuzz_pgoutput, 300)
{
    static model m;
    static message bytes;
    begin_model(c, &m);
    m.is_known = true;
    const uint32_t count = (uint32_t)dx_choose(c, 30);
    for (uint32_t i = 0; i < count; i++) {
        dxdb_pgoutput read;
        (void)make_sample((uint32_t)dx_choose(c, 9), &bytes);
        const uint32_t changes = (uint32_t)dx_choose(c, 3);
        for (uint32_t k = 0; k < changes; k++)
            bytes.bytes[dx_choose(c, bytes.size - 1)] = (uint8_t)dx_choose(c, 255);
        if (dx_choose(c, 7) == 0) bytes.size = (size_t)dx_choose(c, bytes.size);
        if (dxdb_pgoutput_read(&read, bytes.bytes, bytes.size)) continue;
        check_parts(&read, bytes.bytes, bytes.size);
        m.tables[0].oid = read.relation;
        (void)dxdb_gather_take(&m.gather, &read);
        DX_CHECK(m.gather.table_count <= DXDB_GATHER_TABLES_MAX && m.gather.waiting <= count);
    }
    dxdb_gather_reset(&m.gather);
}

/* >>limits ------------------------------------------------------------------------------- */
static void insert_numbered(model *m, uint32_t oid, uint64_t number)
{
    static message bytes;
    char text[32];
    const int size = snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    start(&bytes, 'I');
    put(&bytes, oid, 4);
    put(&bytes, 'N', 1);
    put(&bytes, 1, 2);
    put(&bytes, 't', 1);
    put(&bytes, (uint64_t)size, 4);
    for (int i = 0; i < size; i++) put(&bytes, (uint8_t)text[i], 1);
    take_ok(m, &bytes);
}

static uint64_t hash_number(const char *text, size_t size)
{
    char copy[32] = {0};
    memcpy(copy, text, size);
    return strtoull(copy, NULL, 10);
}

DX_TEST(memory_is_bounded_whatever_a_transaction_has)
{
    static model m;
    static message bytes;
    static dxdb_gather_calls numbered = {on_keys, on_kind, hash_number, &m};
    begin_model(c, &m);
    m.gather.calls = &numbered;
    m.is_known = true;
    for (uint32_t i = 0; i < TABLES; i++) {
        m.tables[i].columns = 1;
        m.keyed[i] = 1;
        m.is_read[i] = true;
        put_relation(&bytes, &m.tables[i]);
        take_ok(&m, &bytes);
    }
    begin_transaction(&m, 1); /* the same keys again and again are few */
    for (uint64_t i = 0; i < 20000; i++) insert_numbered(&m, 100, i % 3000);
    for (uint64_t i = 0; i < 20000; i++) insert_numbered(&m, 101, i);
    DX_CHECK(m.gather.keys <= 2 * DXDB_GATHER_KEYS_MAX);
    for (uint32_t oid = 5000; oid < 5000 + DXDB_GATHER_TABLES_MAX - 2; oid++) insert_numbered(&m, oid, 1);
    end_transaction(&m);
    DX_CHECK_EQ(strlen(payload_of(m.gather.first, 100)), strlen("100 00000001:") + 12 * 3000);
    DX_CHECK_EQ(strlen(payload_of(m.gather.first, 101)), 3);
    DX_CHECK(!m.gather.first->is_all && payload_of(m.gather.first, 5253) != NULL);
    dxdb_gather_remove(&m.gather, &m.gather.first);
    begin_transaction(&m, 2);
    for (uint32_t oid = 5000; oid < 5000 + DXDB_GATHER_TABLES_MAX + 1; oid++) insert_numbered(&m, oid, 1);
    end_transaction(&m);
    DX_CHECK(m.gather.first->is_all && m.gather.first->is_read && !m.gather.first->size);
    dxdb_gather_remove(&m.gather, &m.gather.first);
    for (uint32_t xid = 3; m.gather.waiting_bytes < DXDB_GATHER_QUEUE_BYTES - 40000; xid++) {
        begin_transaction(&m, xid);
        for (uint64_t i = 0; i < 3000; i++) insert_numbered(&m, 100, i);
        end_transaction(&m);
    }
    begin_transaction(&m, 1000);
    for (uint64_t i = 0; i < 4000; i++) insert_numbered(&m, 100, i);
    end_transaction(&m);
    DX_CHECK(m.gather.waiting_bytes <= DXDB_GATHER_QUEUE_BYTES + 16);
    while (m.gather.waiting > 1) dxdb_gather_remove(&m.gather, &m.gather.first);
    DX_CHECK_EQ(m.gather.first->size, 4);
    for (uint32_t oid = 9000; oid < 9000 + 2 * DXDB_GATHER_RELATIONS_MAX; oid++) {
        m.tables[0].oid = oid;
        put_relation(&bytes, &m.tables[0]);
        take_ok(&m, &bytes);
    }
    DX_CHECK_EQ(m.gather.relation_count, DXDB_GATHER_RELATIONS_MAX);
    dxdb_gather_reset(&m.gather);
    DX_CHECK_EQ(m.gather.waiting + m.gather.waiting_bytes + m.gather.keys, 0);
}

/* >>order --------------------------------------------------------------------------------- */
DX_TEST(what_is_out_of_order_is_refused)
{
    static model m;
    static message bytes;
    static const uint32_t outside[] = {1, 2, 3, 4, 5}; /* COMMIT, rows, TRUNCATE */
    dxdb_pgoutput read;
    begin_model(c, &m);
    for (size_t i = 0; i < 5; i++) {
        (void)make_sample(outside[i], &bytes);
        DX_CHECK(!dxdb_pgoutput_read(&read, bytes.bytes, bytes.size));
        DX_CHECK(dxdb_gather_take(&m.gather, &read) != NULL);
    }
    (void)make_sample(0, &bytes);
    take_ok(&m, &bytes);
    DX_CHECK(!dxdb_pgoutput_read(&read, bytes.bytes, bytes.size));
    DX_CHECK(dxdb_gather_take(&m.gather, &read) != NULL);
    read.kind = DXDB_PGOUTPUT_COMMIT;
    read.position = 9;
    DX_CHECK(strstr(dxdb_gather_take(&m.gather, &read), "another transaction") != NULL);
    m.tables[0].columns = 2;
    put_relation(&bytes, &m.tables[0]);
    take_ok(&m, &bytes);
    (void)make_sample(2, &bytes);
    DX_CHECK(!dxdb_pgoutput_read(&read, bytes.bytes, bytes.size));
    DX_CHECK(strstr(dxdb_gather_take(&m.gather, &read), "number of columns") != NULL);
    dxdb_gather_reset(&m.gather);
}

DX_TEST(a_snapshot_has_the_transactions_that_ended)
{
    DX_CHECK(dxdb_snapshot_has("10:20:12,15", 9) && dxdb_snapshot_has("10:20:12,15", 13));
    DX_CHECK(dxdb_snapshot_has("10:20:", 19) && !dxdb_snapshot_has("10:20:", 20));
    DX_CHECK(!dxdb_snapshot_has("10:20:12,15", 12) && !dxdb_snapshot_has("10:20:12,15", 15));
    DX_CHECK(!dxdb_snapshot_has("10:20:12,15", 25)); /* it is being committed, and not seen yet */
    DX_CHECK(dxdb_snapshot_has("4294967300:4294967310:4294967301", 4294967295u));
    DX_CHECK(dxdb_snapshot_has("4294967300:4294967310:4294967301", 2));
    DX_CHECK(!dxdb_snapshot_has("4294967300:4294967310:4294967301", 5));
    DX_CHECK(dxdb_snapshot_has("4294967300:4294967310:4294967301", 6));
    DX_CHECK(!dxdb_snapshot_has("4294967290:4294967290:", 3)); /* after the wrap */
    static const char *const bad[] = {"", "1", "1:", "1:2", "x:2:", "1:9:x", "1:9:3,", "1:9:3;4", "-1:9:"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) DX_CHECK(!dxdb_snapshot_has(bad[i], 2));
}

DX_TEST(a_status_is_what_the_server_reads)
{
    uint8_t out[DXDB_PGOUTPUT_STATUS_SIZE];
    dxdb_pgoutput_write_status(out, UINT64_C(0x0102030405060708), 9, true);
    DX_CHECK(out[0] == 'r' && out[1] == 1 && out[8] == 8 && out[16] == 8 && out[24] == 8 && out[32] == 9);
    DX_CHECK(out[25] == 0 && out[33] == 1);
}
