/* Describes the queries, and watches for changes of the tables that they read. See catalog.h.

       AWAY --opened--> SETUP --> QUERIES --> TYPES --> LOOK --> WRITES --> UP --heartbeat--> (LOOK's answer)
        ^                            ^                                      |
        '------------ lost           '-------- the schema changed ----------'

   With replication, PUBLICATION and STREAM are between SETUP and QUERIES: the publication is looked at,
   then the stream begins. If that is lost, so is the connection of the catalog: all begins again.

   If LOOK finds something else than before, the queries are described again. WRITES only says which
   writes the database would refuse.

   LISTEN comes before the descriptions, so that no change is missed in between. The server's lock
   table says which tables a query reads: within a transaction the parser locks each of them, also
   those in views and subqueries. */
#include "catalog.h"

#include "health.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { AWAY, SETUP, PUBLICATION, STREAM, QUERIES, TYPES, LOOK, WRITES, UP };

enum { TEXT_OID = 25 };

enum {
    STUCK_MAX        = 3,  /* heartbeats without an answer: the connection is dropped */
    SETUP_ANSWERS    = 3,  /* settings, LISTEN, sync */
    QUERY_ANSWERS    = 10, /* see ask_query() */
    PLAN_ANSWER      = 5,
    KEYS_ANSWERS     = 2,
    LOOK_ANSWERS     = 2,
    LOADING_MS       = 10000, /* without an answer while it describes: a lock may block it */
    WAIT_MS          = 20,   /* between looks at the waits */
    SEE_MS           = 1,    /* between looks at transactions, the first of them */
    SEE_FAST         = 20,
    PASSES_MAX       = 3,    /* descriptions again because something has changed meanwhile */
    UNREAD_MAX       = 256   /* transactions that no query reads wait for this many */
};

/* Compiling a query that runs for a millisecond takes PostgreSQL half a second. */
static const char settings[] =
    "SELECT set_config('application_name', 'dxdb catalog', false),"
    " set_config('client_encoding', 'UTF8', false), set_config('statement_timeout', '0', false),"
    " set_config('plan_cache_mode', 'force_generic_plan', false),"
    " (SELECT set_config('jit', 'off', false) FROM pg_catalog.pg_settings WHERE name = 'jit')";

const char dxdb_tables_sql[] =
    "WITH RECURSIVE used AS ("
    "  SELECT l.relation AS oid, c.oid::regclass::text AS name"
    "  FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation"
    "  WHERE $1::text[] IS NULL AND l.pid = pg_backend_pid() AND l.locktype = 'relation'"
    "    AND c.relkind IN ('r', 'p', 'm', 'f')"
    "    AND c.relnamespace <> 'pg_catalog'::regnamespace"
    "  UNION SELECT to_regclass(n)::oid, n FROM unnest($1::text[]) AS n"
    "), up AS ("
    "  SELECT oid, oid AS root FROM used"
    "  UNION SELECT up.oid, i.inhparent FROM up"
    "    JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.root"
    "), roots AS ("
    "  SELECT DISTINCT root FROM up WHERE NOT EXISTS"
    "    (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = up.root)"
    "), down AS ("
    "  SELECT root, root AS member FROM roots"
    "  UNION SELECT down.root, i.inhrelid FROM down"
    "    JOIN pg_catalog.pg_inherits i ON i.inhparent = down.member"
    ") SELECT d.root, d.member, coalesce(d.member::regclass::text, (SELECT name FROM used"
    "    WHERE oid IS NULL LIMIT 1)),"
    "  CASE WHEN $2::text IS NOT NULL THEN EXISTS (SELECT FROM pg_catalog.pg_class c"
    "    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = d.member"
    "    AND (c.relkind = 'p' OR EXISTS (SELECT FROM pg_catalog.pg_publication_tables v"
    "      WHERE v.pubname = $2 AND v.schemaname = n.nspname AND v.tablename = c.relname"
    "      AND to_jsonb(v)->>'rowfilter' IS NULL))) ELSE"
    "  coalesce((SELECT bit_or(t.tgtype) & 60 = 60"
    "    FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid"
    "    WHERE t.tgrelid = d.member AND c.relkind IN ('r', 'p')"
    "    AND t.tgfoid = (SELECT p.oid FROM pg_catalog.pg_proc p WHERE p.proname = 'changed'"
    "      AND p.pronargs = 0 AND p.pronamespace = (SELECT n.oid FROM pg_catalog.pg_namespace n"
    "        WHERE n.nspname = 'dxdb'))"
    "    AND t.tgtype & 1 = 0"
    "    AND t.tgattr::text = '' AND t.tgqual IS NULL AND t.tgenabled IN ('O', 'A')), false) END"
    " FROM down d ORDER BY 1, 2";

/* Selects the views that this transaction has locked by preparing the query. */
static const char views_sql[] =
    "SELECT l.relation FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation"
    " WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND c.relkind = 'v'"
    "   AND c.relnamespace <> 'pg_catalog'::regnamespace";

static const char type_names[] =
    "SELECT t.oid, format_type(t.oid, NULL), coalesce(e.oid, 0),"
    "  CASE WHEN k.typnamespace = 'pg_catalog'::regnamespace THEN k.typname ELSE '' END"
    " FROM pg_catalog.pg_type t"
    " LEFT JOIN pg_catalog.pg_type e ON e.typarray = t.oid AND e.typdelim = ','"
    " JOIN pg_catalog.pg_type k ON k.oid = coalesce(nullif(e.typbasetype, 0), e.oid, t.oid)"
    " WHERE t.oid = ANY ($1::oid[])";

/* What a publication publishes: tables and their filters. Without those if it has all tables. */
#define PUBLISHED(name)                                                                          \
    "(SELECT md5(concat_ws('|', b::text, CASE WHEN NOT b.puballtables THEN"                      \
    "  (SELECT string_agg(concat_ws(':', k.oid, to_jsonb(v)->>'rowfilter'), ','"                 \
    "    ORDER BY v.schemaname, v.tablename) FROM pg_catalog.pg_publication_tables v"            \
    "   JOIN pg_catalog.pg_namespace n ON n.nspname = v.schemaname"                              \
    "   JOIN pg_catalog.pg_class k ON k.relnamespace = n.oid AND k.relname = v.tablename"        \
    "   WHERE v.pubname = b.pubname) END))"                                                      \
    " FROM pg_catalog.pg_publication b WHERE b.pubname = " name "::text)"

/* Selects whether replication can be, and what is published. */
static const char publication_sql[] =
    "SELECT current_setting('wal_level') = 'logical', (SELECT rolreplication OR rolsuper"
    "  FROM pg_catalog.pg_roles WHERE rolname = current_user),"
    "  (SELECT pubinsert AND pubupdate AND pubdelete AND coalesce((to_jsonb(b)->>'pubtruncate')::bool, false)"
    "   FROM pg_catalog.pg_publication b WHERE pubname = $1::text),"
    "  (SELECT coalesce((to_jsonb(b)->>'pubviaroot')::bool, false)"
    "   FROM pg_catalog.pg_publication b WHERE pubname = $1::text), " PUBLISHED("$1");

/* A snapshot; and if $1 was written to the log, but is not flushed, a record that has it flushed: a
   walsender sends nothing else. */
static const char see_sql[] =
    "SELECT txid_current_snapshot()::text, CASE WHEN NOT pg_is_in_recovery() AND"
    " pg_current_wal_flush_lsn() < $1::pg_lsn AND $1::pg_lsn <= pg_current_wal_insert_lsn()"
    " THEN pg_logical_emit_message(true, 'dxdb', '')::text END";

/* The rows of a catalogue, as far as they do not come with PostgreSQL: each change gives a row another
   xmin. Temporary objects belong to other sessions. */
#define ROWS_OF(catalogue, condition)                                                            \
    "(SELECT md5(string_agg(concat_ws(':', x.oid, x.xmin), ',' ORDER BY x.oid))"                 \
    " FROM pg_catalog." catalogue " x WHERE " condition ")"
#define OWN_ROWS_OF(catalogue) ROWS_OF(catalogue, "x.oid >= 16384")

/* Those of a relation. */
#define ROWS_ON(catalogue, column, condition)                                                    \
    "(SELECT md5(string_agg(concat_ws('/', x.oid, x.xmin), '-' ORDER BY x.oid))"                 \
    " FROM pg_catalog." catalogue " x WHERE x." column " = m.oid" condition ")"

/* Selects everything that must not change while results are cached. Of the relations that the queries
   read: themselves (their rights and row security are in pg_class), their files (a rewrite or TRUNCATE
   replaces these), columns, triggers, constraints and unique indexes; others of their names; and what
   a query may use anywhere: views, functions, operators, types and the rights of the role. */
static const char look[] =
    "WITH RECURSIVE named AS ("
    "  SELECT unnest($1::oid[]) AS oid"
    "), m AS ("
    "  SELECT oid FROM named"
    "  UNION SELECT i.inhrelid FROM m JOIN pg_catalog.pg_inherits i ON i.inhparent = m.oid"
    "), passing AS ("
    "  SELECT oid FROM pg_catalog.pg_namespace WHERE nspname ~ '^pg_(toast_)?temp_'"
    "), role AS ("
    "  SELECT oid, NULL::xid AS given FROM pg_catalog.pg_roles WHERE rolname = current_user"
    "  UNION SELECT a.roleid, a.xmin FROM role JOIN pg_catalog.pg_auth_members a ON a.member = role.oid"
    ") SELECT md5(concat_ws(';', (SELECT string_agg(concat_ws(':', m.oid,"
    "  (SELECT c.xmin FROM pg_catalog.pg_class c WHERE c.oid = m.oid),"
    "  pg_relation_filenode(m.oid), (SELECT string_agg(concat_ws('/', t.tgfoid, t.tgtype,"
    "    t.tgenabled), '-' ORDER BY t.oid) FROM pg_catalog.pg_trigger t WHERE t.tgrelid = m.oid),"
    "  (SELECT md5(string_agg(a.xmin::text, '-' ORDER BY a.attnum))"
    "    FROM pg_catalog.pg_attribute a WHERE a.attrelid = m.oid),"
    "  (SELECT md5(string_agg(concat_ws('/', i.indexrelid, i.xmin), '-' ORDER BY i.indexrelid))"
    "    FROM pg_catalog.pg_index i WHERE i.indrelid = m.oid AND i.indisunique),"
    "  " ROWS_ON("pg_constraint", "conrelid", "") ", " ROWS_ON("pg_policy", "polrelid", "") ","
    "  " ROWS_ON("pg_attrdef", "adrelid", "") ", " ROWS_ON("pg_rewrite", "ev_class", "") "), ','"
    "  ORDER BY m.oid) FROM m),"
    "  (SELECT string_agg(concat_ws(':', x.oid, x.relnamespace), ',' ORDER BY x.oid)"
    "    FROM pg_catalog.pg_class x WHERE x.relname = ANY (ARRAY(SELECT"
    "      (SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid = named.oid) FROM named))"
    "    AND x.relnamespace NOT IN (SELECT oid FROM passing)),"
    "  " ROWS_OF("pg_rewrite", "x.oid >= 16384 AND (SELECT c.relpersistence <> 't'"
    "    FROM pg_catalog.pg_class c WHERE c.oid = x.ev_class)") ","
    "  " ROWS_OF("pg_proc", "x.oid >= 16384 AND x.pronamespace NOT IN (SELECT oid FROM passing)") ","
    "  " ROWS_OF("pg_namespace", "x.oid NOT IN (SELECT oid FROM passing)") ","
    "  " ROWS_OF("pg_type", "x.oid >= 16384 AND x.typrelid = 0 AND x.typcategory <> 'A'"
    "    AND x.typnamespace NOT IN (SELECT oid FROM passing)") ","
    "  " ROWS_OF("pg_constraint", "x.contypid <> 0") ", " OWN_ROWS_OF("pg_enum") ","
    "  " OWN_ROWS_OF("pg_operator") ", " OWN_ROWS_OF("pg_cast") ", " OWN_ROWS_OF("pg_collation") ","
    "  " OWN_ROWS_OF("pg_ts_config") ", " OWN_ROWS_OF("pg_ts_dict") ","
    "  (SELECT string_agg(concat_ws(':', r.oid, r.rolname, r.rolsuper, r.rolinherit, r.rolbypassrls,"
    "    role.given), ',' ORDER BY r.oid, role.given::text)"
    "    FROM role JOIN pg_catalog.pg_roles r USING (oid)),"
    "  current_schemas(true), current_setting('search_path'), current_setting('row_security'),"
    "  current_setting('default_text_search_config'), current_setting('transform_null_equals'),"
    "  current_setting('lc_monetary'), current_setting('lc_numeric'), current_setting('lc_time'))),"
    "  " PUBLISHED("$2") ","
    "  CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END"
    "    - '0/0'";

const char dxdb_position_sql[] = "SELECT (pg_current_wal_insert_lsn() - '0/0')::text";

static Oid to_oid(const char *text) { return (Oid)strtoul(text, NULL, 10); }

/* >>asking ------------------------------------------------------------------ */
static void ask_settings(dxdb_catalog *c)
{
    c->phase = SETUP;
    c->answer = 0;
    (void)(dxdb_connection_run(&c->connection, settings, 0, NULL) &&
           dxdb_connection_run(&c->connection, "LISTEN " DXDB_CHANNEL, 0, NULL) &&
           dxdb_connection_sync(&c->connection));
}

void dxdb_put_table_names(dxdb_text *t, const dxdb_query_config *q)
{
    for (uint32_t i = 0; i < q->table_count; i++) {
        dxdb_text_add(t, i ? ",\"" : "{\"");
        for (const char *p = q->tables[i]; *p; p++) {
            if (*p == '"' || *p == '\\') dxdb_text_add(t, "\\");
            dxdb_text_put(t, p, 1);
        }
        dxdb_text_add(t, "\"");
    }
    dxdb_text_put(t, "}", 2); /* includes the terminator */
}

/* Send BEGIN, prepare, describe, tables, views, plan, sync; ROLLBACK, DEALLOCATE ALL, sync. The second sync is
   needed because an error skips all commands up to the first one. */
static void ask_query(dxdb_catalog *c)
{
    const dxdb_query_config *q = &c->config->queries[c->query];
    dxdb_connection *to = &c->connection;
    dxdb_text names = {0}, explain = {0};
    const char *values[2] = {NULL, c->config->publication};
    if (q->table_count) dxdb_put_table_names(&names, q);
    dxdb_keys_put_explain(&explain, q->parameter_count);
    values[0] = names.bytes;
    c->answer = 0;
    c->asks_keys = false;
    (void)(dxdb_connection_run(to, "BEGIN READ ONLY", 0, NULL) &&
           dxdb_connection_prepare(to, "described", q->sql, 0, NULL) &&
           dxdb_connection_describe(to, "described") &&
           dxdb_connection_run(to, dxdb_tables_sql, 2, values) &&
           dxdb_connection_run(to, views_sql, 0, NULL) &&
           dxdb_connection_run(to, explain.bytes, 0, NULL) && dxdb_connection_sync(to) &&
           dxdb_connection_run(to, "ROLLBACK", 0, NULL) &&
           dxdb_connection_run(to, "DEALLOCATE ALL", 0, NULL) && dxdb_connection_sync(to));
    dxdb_text_free(&names);
    dxdb_text_free(&explain);
}

/* Ask for the scans of its plan. */
static void ask_keys(dxdb_catalog *c)
{
    const char *values[1] = {c->plan};
    c->answer = 0;
    c->asks_keys = true;
    (void)(dxdb_connection_run(&c->connection, dxdb_keys_sql, 1, values) &&
           dxdb_connection_sync(&c->connection));
    free(c->plan);
    c->plan = NULL;
}

/* Append an OID to a list {1,2,3}, which end_oids() completes. */
static void put_oid(dxdb_text *t, Oid oid)
{
    dxdb_text_format(t, t->size ? ",%u" : "{%u", (unsigned)oid);
}

static const char *end_oids(dxdb_text *t)
{
    dxdb_text_put(t, t->size ? "}" : "{}", t->size ? 2 : 3);
    return t->bytes;
}

static void ask_types(dxdb_catalog *c)
{
    dxdb_text list = {0};
    c->phase = TYPES;
    for (uint32_t i = 0; i < c->config->query_count; i++) {
        const dxdb_described *d = &c->queries[i];
        for (int k = 0; d->columns && k < PQnfields(d->columns); k++)
            put_oid(&list, PQftype(d->columns, k));
        for (uint32_t k = 0; k < c->config->queries[i].parameter_count; k++)
            put_oid(&list, d->parameters[k].oid);
    }
    const char *values[1] = {end_oids(&list)};
    c->answer = 0;
    (void)(dxdb_connection_run(&c->connection, type_names, 1, values) &&
           dxdb_connection_sync(&c->connection));
    dxdb_text_free(&list);
}

/* Does a statement mention $number? In a string, too: then the database has to find out the type of
   the parameter, and says if it cannot. */
static bool mentions(const char *sql, int number)
{
    char name[16];
    const int size = snprintf(name, sizeof name, "$%d", number);
    for (const char *at = strstr(sql, name); at; at = strstr(at + 1, name))
        if (!isdigit((unsigned char)at[size])) return true;
    return false;
}

void dxdb_parameter_types(const char *sql, uint32_t count, Oid types[DXDB_PARAMETERS_MAX])
{
    assert(count <= DXDB_PARAMETERS_MAX);
    for (uint32_t i = 0; i < count; i++) types[i] = mentions(sql, (int)i + 1) ? 0 : TEXT_OID;
}

/* Have a statement of a write prepared, which is never executed here. */
static void ask_write(dxdb_catalog *c)
{
    const dxdb_write_config *w = &c->config->writes[c->query];
    const char *sql = w->statements[c->answer];
    Oid types[DXDB_PARAMETERS_MAX];
    dxdb_parameter_types(sql, w->parameter_count, types);
    (void)(dxdb_connection_prepare(&c->connection, "", sql, (int)w->parameter_count, types) &&
           dxdb_connection_sync(&c->connection));
}

static void ask_check(dxdb_catalog *c)
{
    dxdb_text list = {0};
    for (uint32_t i = 0; i < c->member_count; i++)
        if (c->members[i].member == c->members[i].root) put_oid(&list, c->members[i].root);
    const char *values[2] = {end_oids(&list), c->config->publication};
    c->answer = 0;
    if (!c->has_look) /* to plan it takes longer than to run it */
        c->has_look = dxdb_connection_prepare(&c->connection, "look", look, 0, NULL);
    (void)(dxdb_connection_execute(&c->connection, "look", 2, values) &&
           dxdb_connection_sync(&c->connection));
    dxdb_text_free(&list);
}

static void ask_publication(dxdb_catalog *c)
{
    const char *values[1] = {c->config->publication};
    c->phase = PUBLICATION;
    c->answer = 0;
    (void)(dxdb_connection_run(&c->connection, publication_sql, 1, values) &&
           dxdb_connection_sync(&c->connection));
}

/* Ask again about the next query that was refused, if there is one. */
static void ask_probe(dxdb_catalog *c)
{
    const uint32_t count = c->config->query_count;
    for (uint32_t i = 1; i <= count; i++) {
        const uint32_t query = (c->query + i) % count;
        if (!c->queries[query].is_refused) continue;
        c->query = query;
        c->probes = dxdb_connection_prepare(&c->connection, "", c->config->queries[query].sql, 0,
                                            NULL) &&
                    dxdb_connection_sync(&c->connection);
        return;
    }
}

/* >>positions -------------------------------------------------------------------
   The server queues the notifications of a transaction, and tells each listening connection, before
   it answers the COMMIT. A listening connection delivers what it was told before it ends the next
   command. So whoever has the answer of a COMMIT, or a position from after it, only needs one more
   command on this connection. A position that is greater than that of the answer belongs to another
   database, or to changes that this one has lost: it is asked for again until the deadline. */
bool dxdb_position_parse(const char *text, size_t size, uint64_t *position)
{
    uint64_t halves[2] = {0, 0};
    size_t digits[2] = {0, 0};
    int half = 0;
    for (size_t i = 0; i < size; i++) {
        const char ch = text[i];
        const int digit = ch >= '0' && ch <= '9' ? ch - '0'
                        : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10
                        : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
        if (ch == '/' && !half) {
            half = 1;
            continue;
        }
        if (digit < 0 || ++digits[half] > 8) return false;
        halves[half] = halves[half] << 4 | (uint64_t)digit;
    }
    *position = halves[0] << 32 | halves[1];
    return digits[0] > 0 && digits[1] > 0;
}

/* By replication, a position is reached when the stream was there, and what it brought was told. The end
   of the log lies behind the head of a page where the last record ends before it. */
static uint64_t end_of_record(uint64_t position)
{
    enum { PAGE = 8192, HEAD = 24, FIRST_HEAD = 40 };
    const uint64_t in_page = position % PAGE;
    return in_page == HEAD || in_page == FIRST_HEAD ? position - in_page : position;
}

/* Ask which transactions of the stream are visible; and have the log flushed up to the lowest position
   that somebody waits for, if there is another reason than the stream's way that it is not reached. */
static void ask_snapshot(dxdb_catalog *c)
{
    char text[32];
    const char *values[1] = {NULL};
    uint64_t lowest = UINT64_MAX;
    for (const dxdb_wait *w = c->waits; w; w = w->next)
        if (w->asked + 1 < c->asked && w->position < lowest) lowest = w->position;
    if (lowest != UINT64_MAX && !c->cannot_flush) {
        snprintf(text, sizeof text, "%X/%X", (unsigned)(lowest >> 32), (unsigned)lowest);
        values[0] = text;
    }
    c->asks_flush = values[0] != NULL;
    c->asks_position = dxdb_connection_run(&c->connection, see_sql, 1, values) &&
                       dxdb_connection_sync(&c->connection);
}

static void ask_position(dxdb_catalog *c)
{
    if (!c->is_up || c->phase != UP || c->connection.unanswered || c->reload) return;
    c->asked++;
    if (c->config->replicates) {
        ask_snapshot(c);
        return;
    }
    c->asks_position = dxdb_connection_run(&c->connection, dxdb_position_sql, 0, NULL) &&
                       dxdb_connection_sync(&c->connection);
}

static void end_wait(dxdb_catalog *c, dxdb_wait *w)
{
    if (w->prev) w->prev->next = w->next;
    else c->waits = w->next;
    if (w->next) w->next->prev = w->prev;
    w->waits = false;
}

/* End the waits that were begun before the last answered question, and whose position it reached.
   `reached` may begin and forget waits, so the search begins again after each. */
static void end_reached(dxdb_catalog *c)
{
    dxdb_wait *w = c->waits;
    while (w) {
        const bool is_asked = c->config->replicates || w->asked < c->asked;
        if (!is_asked || end_of_record(w->position) > c->position) {
            w = w->next;
            continue;
        }
        end_wait(c, w);
        w->reached(w, DXDB_OK, NULL);
        w = c->waits;
    }
}

static void end_late(dxdb_catalog *c)
{
    const uint64_t now = dx_reactor_now_ns(c->reactor);
    char why[DXDB_TEXT_SIZE];
    dxdb_wait *w = c->waits;
    while (w) {
        if (w->until_ns > now) {
            w = w->next;
            continue;
        }
        end_wait(c, w);
        if (c->is_up)
            snprintf(why, sizeof why, "the database is at position %X/%X and did not reach %X/%X "
                     "in time", (unsigned)(c->position >> 32), (unsigned)c->position,
                     (unsigned)(w->position >> 32), (unsigned)w->position);
        else snprintf(why, sizeof why, "the database could not be reached in time");
        w->reached(w, DXDB_UNAVAILABLE, why);
        w = c->waits;
    }
}

static void on_wait(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dxdb_catalog *c = dx_reactor_op_user(op);
    (void)flags;
    if (result < 0) return;
    end_late(c);
    if (!c->waits) return;
    ask_position(c);
    (void)dx_reactor_timer(r, op, (uint64_t)WAIT_MS * 1000000);
}

void dxdb_catalog_wait(dxdb_catalog *c, dxdb_wait *w, uint64_t position, uint64_t within_ns)
{
    w->waits = false;
    if (c->is_up && (position < c->position ||
                     (c->config->replicates && end_of_record(position) <= c->position))) {
        w->reached(w, DXDB_OK, NULL);
        return;
    }
    w->waits = true;
    w->position = position;
    w->asked = c->asked;
    w->until_ns = dx_reactor_now_ns(c->reactor) + within_ns;
    w->prev = NULL;
    w->next = c->waits;
    if (w->next) w->next->prev = w;
    c->waits = w;
    ask_position(c);
    if (!dx_reactor_op_pending(&c->wait_op))
        (void)dx_reactor_timer(c->reactor, &c->wait_op, (uint64_t)WAIT_MS * 1000000);
}

void dxdb_catalog_forget(dxdb_catalog *c, dxdb_wait *w)
{
    if (w->waits) end_wait(c, w);
}

/* >>state -------------------------------------------------------------------------- */
static void forget(dxdb_catalog *c)
{
    for (uint32_t i = 0; i < c->config->query_count; i++) {
        dxdb_described *d = &c->queries[i];
        dxdb_rows_free(&d->rows);
        if (d->columns) PQclear(d->columns);
        memset(d, 0, sizeof *d);
    }
    c->member_count = 0;
}

static void describe(dxdb_catalog *c)
{
    forget(c);
    c->reload = false;
    c->has_look = false;
    c->phase = QUERIES;
    c->query = 0;
    ask_query(c);
}

static void begin_queries(dxdb_catalog *c)
{
    c->passes = 0;
    describe(c);
}

/* From here on cached results may be outdated. */
static void go_down_for(dxdb_catalog *c, const char *why, const char *reason)
{
    if (!c->is_up) return;
    c->is_up = false;
    c->calls->down(c, why, reason);
}

static void go_down(dxdb_catalog *c, const char *why) { go_down_for(c, why, why); }

void dxdb_catalog_reload(dxdb_catalog *c, const char *why)
{
    if (c->phase != UP) return; /* a reload is already under way */
    go_down(c, why);
    c->reload = true;
    if (!c->connection.unanswered) begin_queries(c);
}

static void add_member(dxdb_catalog *c, Oid member, Oid root)
{
    for (uint32_t i = 0; i < c->member_count; i++)
        if (c->members[i].member == member && c->members[i].root == root) return;
    if (c->member_count == c->member_capacity) {
        c->member_capacity = 2 * c->member_capacity + 16;
        void *members = prog_alloc(c->member_capacity * sizeof *c->members);
        if (c->member_count) memcpy(members, c->members, c->member_count * sizeof *c->members);
        free(c->members);
        c->members = members;
    }
    c->members[c->member_count].member = member;
    c->members[c->member_count++].root = root;
}

/* >>answers -------------------------------------------------------------------- */
/* Keep the first error of a query. */
static void blame(dxdb_described *d, const char *why)
{
    if (!d->why[0]) dxdb_first_line(d->why, sizeof d->why, why);
    d->is_ready = false;
}

static void handle_description(dxdb_catalog *c, dxdb_described *d, PGresult *result)
{
    const dxdb_query_config *q = &c->config->queries[c->query];
    char why[DXDB_TEXT_SIZE];
    if (PQnparams(result) != (int)q->parameter_count) {
        snprintf(why, sizeof why, "the SQL has %d parameters, the configuration names %u",
                 PQnparams(result), (unsigned)q->parameter_count);
        blame(d, why);
        return;
    }
    for (int i = 0; i < PQnparams(result); i++)
        d->parameters[i].oid = PQparamtype(result, i);
    d->columns = PQcopyResult(result, PG_COPYRES_ATTRS);
    if (!d->columns) blame(d, "no memory");
}

static void handle_tables(dxdb_catalog *c, dxdb_described *d, const PGresult *result)
{
    char why[DXDB_TEXT_SIZE];
    d->is_tracked = PQntuples(result) > 0;
    for (int i = 0; i < PQntuples(result); i++) {
        const Oid root = to_oid(PQgetvalue(result, i, 0));
        const char *name = PQgetvalue(result, i, 2);
        if (PQgetisnull(result, i, 0)) {
            snprintf(why, sizeof why, "there is no table %.100s", name);
            blame(d, why);
            return;
        }
        if (d->is_tracked && strcmp(PQgetvalue(result, i, 3), "t")) {
            d->is_tracked = false;
            if (!d->is_timed)
                snprintf(d->note, sizeof d->note, c->config->replicates
                         ? "table %.100s is not published; 'dxdb install-publication' adds it"
                         : "table %.100s has no trigger; 'dxdb install-triggers' creates it", name);
        }
        add_member(c, to_oid(PQgetvalue(result, i, 1)), root);
        if (d->root_count && d->roots[d->root_count - 1] == root) continue;
        if (d->root_count == DXDB_TABLES_MAX) {
            blame(d, "it reads too many tables");
            return;
        }
        d->roots[d->root_count++] = root;
    }
}

/* Their changes are looked for as those of tables. */
static void handle_views(dxdb_catalog *c, const PGresult *result)
{
    for (int i = 0; i < PQntuples(result); i++) {
        const Oid view = to_oid(PQgetvalue(result, i, 0));
        add_member(c, view, view);
    }
}

static void keep_plan(dxdb_catalog *c, const dxdb_described *d, const PGresult *result)
{
    const uint32_t count = c->config->queries[c->query].parameter_count;
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1) return;
    if (!d->is_ready || !d->is_tracked || !count) return;
    const char *plan = PQgetvalue(result, 0, 0);
    free(c->plan);
    c->plan = prog_copy_text(plan);
}

static void ask_next_query(dxdb_catalog *c)
{
    if (++c->query < c->config->query_count) ask_query(c);
    else ask_types(c);
}

/* Handle an answer to ask_keys(). */
static void handle_keys(dxdb_catalog *c, const PGresult *result)
{
    dxdb_described *d = &c->queries[c->query];
    const uint32_t count = c->config->queries[c->query].parameter_count;
    Oid types[DXDB_PARAMETERS_MAX];
    for (uint32_t i = 0; i < count; i++) types[i] = d->parameters[i].oid;
    for (uint32_t i = 0; PQresultStatus(result) == PGRES_TUPLES_OK && i < d->root_count; i++)
        dxdb_keys_find(result, d->roots[i], types, count, &d->keys[i]);
    if (++c->answer == KEYS_ANSWERS) ask_next_query(c);
}

/* Handle an answer to ask_query(). */
static void handle_query(dxdb_catalog *c, PGresult *result)
{
    dxdb_described *d = &c->queries[c->query];
    const ExecStatusType status = PQresultStatus(result);
    const uint32_t place = c->answer++;
    if (place == 0) {
        d->is_ready = true;
        d->is_timed = c->config->queries[c->query].ttl_ms > 0;
    }
    if (place == PLAN_ANSWER) {
        keep_plan(c, d, result); /* a query without a plan has no keys */
    } else if (status == PGRES_FATAL_ERROR) {
        blame(d, PQresultErrorMessage(result));
        d->is_refused = place == 1;
    } else if (status == PGRES_COMMAND_OK && place == 2) {
        handle_description(c, d, result);
    } else if (status == PGRES_TUPLES_OK && place == 3) {
        handle_tables(c, d, result);
    } else if (status == PGRES_TUPLES_OK && place == 4) {
        handle_views(c, result);
    }
    if (c->answer < QUERY_ANSWERS) return;
    if (c->plan) ask_keys(c);
    else ask_next_query(c);
}

/* The type of a row of type_names; text for types that are missing there. */
static dxdb_pg_type type_of(const PGresult *types, Oid oid)
{
    dxdb_pg_type type = {.oid = oid, .kind = DXDB_TEXT, .name = "unknown"};
    for (int i = 0; i < PQntuples(types); i++) {
        if (to_oid(PQgetvalue(types, i, 0)) != oid) continue;
        snprintf(type.name, sizeof type.name, "%s", PQgetvalue(types, i, 1));
        type.element = to_oid(PQgetvalue(types, i, 2));
        type.kind = dxdb_kind_of(PQgetvalue(types, i, 3));
    }
    return type;
}

static void handle_columns(dxdb_catalog *c, uint32_t query, const PGresult *types)
{
    dxdb_described *d = &c->queries[query];
    const dxdb_query_config *q = &c->config->queries[query];
    char why[DXDB_TEXT_SIZE];
    for (uint32_t i = 0; i < q->parameter_count; i++)
        d->parameters[i] = type_of(types, d->parameters[i].oid);
    if (!d->is_ready || !d->columns) return;
    const uint32_t count = (uint32_t)PQnfields(d->columns);
    const char **names = prog_alloc((count + 1) * sizeof *names);
    dxdb_pg_type *column_types = prog_alloc((count + 1) * sizeof *column_types);
    for (uint32_t i = 0; i < count; i++) {
        names[i] = PQfname(d->columns, (int)i);
        column_types[i] = type_of(types, PQftype(d->columns, (int)i));
    }
    if (!dxdb_rows_begin(&d->rows, q->name, count, names, column_types, why, sizeof why))
        blame(d, why);
    free(names);
    free(column_types);
    PQclear(d->columns);
    d->columns = NULL;
}

/* The descriptions hold. */
static void go_up(dxdb_catalog *c)
{
    for (uint32_t i = 0; i < c->config->query_count && !c->is_quiet; i++) {
        const dxdb_described *d = &c->queries[i];
        const char *name = c->config->queries[i].name;
        if (d->note[0]) prog_warn("query %s is not cached: %s", name, d->note);
        if (!d->is_ready) prog_warn("query %s cannot be answered: %s", name, d->why);
    }
    c->phase = UP;
    c->is_up = true;
    c->generation++;
    c->stream.gather.generation = c->generation;
    c->sees_all = true;
    dxdb_health_set(c->index, NULL, NULL, NULL);
    c->calls->up(c);
}

/* The descriptions hold: say which writes the database would refuse, then go up. */
static void ask_next_write(dxdb_catalog *c)
{
    c->answer = 0;
    if (c->query < c->config->write_count) {
        ask_write(c);
        return;
    }
    go_up(c);
}

static void handle_types(dxdb_catalog *c, const PGresult *result)
{
    if (c->answer++ == 0) {
        if (PQresultStatus(result) != PGRES_TUPLES_OK) {
            dxdb_connection_fail(&c->connection, PQresultErrorMessage(result));
            return;
        }
        for (uint32_t i = 0; i < c->config->query_count; i++) handle_columns(c, i, result);
        return;
    }
    c->phase = LOOK;
    ask_check(c);
}

/* Handle an answer to ask_write(): say what is wrong with this write, and go on. */
static void handle_write(dxdb_catalog *c, const PGresult *result)
{
    const dxdb_write_config *w = &c->config->writes[c->query];
    char why[DXDB_TEXT_SIZE];
    if (PQresultStatus(result) == PGRES_FATAL_ERROR && !c->is_quiet) {
        dxdb_first_line(why, sizeof why, PQresultErrorMessage(result));
        prog_warn("write %s: statement %u cannot be prepared now: %s", w->name, (unsigned)c->answer + 1, why);
    }
    if (PQresultStatus(result) != PGRES_PIPELINE_SYNC) return;
    if (++c->answer == w->statement_count) {
        c->query++;
        ask_next_write(c);
    } else {
        ask_write(c);
    }
}

/* Begin again, with another stream. */
static void restart(dxdb_catalog *c, const char *why, const char *reason)
{
    dxdb_connection_drop_for(&c->connection, why, reason);
    dxdb_stream_stop(&c->stream, why);
    go_down_for(c, why, reason);
}

/* Say why replication does not start. PostgreSQL does not say how many slots and walsenders it needs. */
static void say(dxdb_catalog *c, const char *why, const char *reason)
{
    char text[DXDB_TEXT_SIZE + 160];
    const unsigned workers = dxdb_health_workers();
    const bool is_full = strstr(why, "max_wal_senders") || strstr(why, "replication slots are in use");
    snprintf(text, sizeof text, is_full ? "%s. Each worker needs one: set max_wal_senders and "
             "max_replication_slots of the database to %u more than others use, and restart it" : "%s",
             why, workers);
    if (is_full) reason = "no replication slot is free: max_wal_senders and max_replication_slots";
    dxdb_health_set(c->index, "changes cannot be received", text, reason);
}

/* Handle an answer to ask_publication(). If replication cannot be, the next heartbeat asks again. */
static void handle_publication(dxdb_catalog *c, const PGresult *result)
{
    const char *name = c->config->publication;
    const char *reason = NULL;
    char why[DXDB_TEXT_SIZE] = "";
    if (c->answer++ > 0) { /* the sync */
        if (!c->publication[0]) return;
        c->phase = STREAM;
        dxdb_stream_start(&c->stream);
        return;
    }
    c->publication[0] = 0;
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        reason = "the publication cannot be read";
        dxdb_first_line(why, sizeof why, PQresultErrorMessage(result));
    } else if (strcmp(PQgetvalue(result, 0, 0), "t")) {
        reason = "wal_level is not logical";
        snprintf(why, sizeof why, "%s: set it in postgresql.conf, and restart the database", reason);
    } else if (strcmp(PQgetvalue(result, 0, 1), "t")) {
        reason = "the role may not replicate";
        snprintf(why, sizeof why, "%s: ALTER ROLE ... REPLICATION", reason);
    } else if (PQgetisnull(result, 0, 4)) {
        reason = "there is no publication";
        snprintf(why, sizeof why, "%s %s: 'dxdb install-publication' creates it", reason, name);
    } else if (strcmp(PQgetvalue(result, 0, 2), "t")) {
        reason = "the publication leaves out changes";
        snprintf(why, sizeof why, "publication %s leaves out some of insert, update, delete and truncate",
                 name);
    } else if (!strcmp(PQgetvalue(result, 0, 3), "t")) {
        reason = "the publication leaves out changes";
        snprintf(why, sizeof why, "publication %s has publish_via_partition_root, which leaves out a "
                 "TRUNCATE of a partition", name);
    } else {
        snprintf(c->publication, sizeof c->publication, "%s", PQgetvalue(result, 0, 4));
    }
    if (reason) say(c, why, reason);
}

/* Is there a reason to ask which transactions are visible? */
static bool has_unseen(const dxdb_catalog *c)
{
    const dxdb_gather *g = &c->stream.gather;
    return g->waiting && (g->waiting_read || g->waiting > UNREAD_MAX || c->waits || c->sees_all);
}

/* All answers of an exchange have arrived: begin the one that is due. */
static void begin_next(dxdb_catalog *c)
{
    if (c->reload) {
        begin_queries(c);
    } else if (c->is_check_due) {
        c->is_check_due = false;
        ask_probe(c);
        ask_check(c);
    } else if (c->config->replicates && has_unseen(c) && !dx_reactor_op_pending(&c->see_op)) {
        ask_position(c);
    } else if (c->waits && !c->config->replicates) {
        for (const dxdb_wait *w = c->waits; w; w = w->next) {
            if (w->asked < c->asked) continue; /* its position was not reached: asked for later */
            ask_position(c);
            break;
        }
    }
}

/* Are the changed keys of a table known for every query that has a key for it? */
static bool has_all_keys(const dxdb_catalog *c, Oid root, const dxdb_change *change)
{
    for (uint32_t i = 0; i < c->config->query_count; i++) {
        const dxdb_described *d = &c->queries[i];
        for (uint32_t k = 0; k < d->root_count; k++)
            if (d->roots[k] == root && d->keys[k].kind &&
                !dxdb_change_has_column(change, d->keys[k].column))
                return false;
    }
    return true;
}

/* Tell of a change. A payload is described in keys.h. */
static void tell(dxdb_catalog *c, const char *payload)
{
    dxdb_change told;
    dxdb_change_parse(&told, payload);
    for (uint32_t i = 0; c->is_up && i < c->member_count; i++) {
        dxdb_change change = told;
        if (c->members[i].member != told.member) continue;
        if (!has_all_keys(c, c->members[i].root, &told)) change.is_whole = true;
        c->calls->changed(c, c->members[i].root, &change);
    }
}

/* Tell what a transaction has changed, which is visible now. */
static void tell_committed(void *user, const dxdb_committed *t)
{
    dxdb_catalog *c = user;
    char member[16];
    c->notifications++;
    c->unseen = 0;
    for (size_t at = 0; at < t->size; at += strlen(t->payloads + at) + 1) tell(c, t->payloads + at);
    for (uint32_t i = 0; t->is_all && i < c->member_count; i++) {
        snprintf(member, sizeof member, "%u", (unsigned)c->members[i].member);
        tell(c, member);
    }
}

/* Look again soon, if some transaction is not visible yet. */
static void see_later(dxdb_catalog *c)
{
    if (!c->stream.gather.waiting) c->sees_all = false;
    if (!c->is_up || !has_unseen(c) || dx_reactor_op_pending(&c->see_op)) return;
    const uint64_t wait_ms = c->unseen < SEE_FAST ? SEE_MS : WAIT_MS;
    c->unseen++;
    (void)dx_reactor_timer(c->reactor, &c->see_op, wait_ms * 1000000);
}

static void on_see(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dxdb_catalog *c = dx_reactor_op_user(op);
    (void)r;
    (void)flags;
    if (result >= 0 && has_unseen(c)) ask_position(c);
}

/* Handle an answer to ask_snapshot(). */
static void handle_snapshot(dxdb_catalog *c, const PGresult *result)
{
    const ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK && PQntuples(result) == 1) {
        dxdb_stream_see(&c->stream, PQgetvalue(result, 0, 0), tell_committed, c);
    } else if (status == PGRES_PIPELINE_SYNC) {
        c->asks_position = false;
        c->position = dxdb_gather_told(&c->stream.gather);
        if (!c->reload) end_reached(c);
        see_later(c);
        if (!c->connection.unanswered) begin_next(c);
    } else if (c->asks_flush) {
        c->cannot_flush = true;
    } else {
        dxdb_connection_fail(&c->connection, PQresultErrorMessage(result));
    }
}

static void handle_position(dxdb_catalog *c, const PGresult *result)
{
    if (c->config->replicates) {
        handle_snapshot(c, result);
        return;
    }
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1) {
        c->reached = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
    } else if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
        c->asks_position = false;
        c->position = c->reached;
        if (!c->reload) end_reached(c);
        if (!c->connection.unanswered) begin_next(c);
    } else {
        dxdb_connection_fail(&c->connection, PQresultErrorMessage(result));
    }
}

/* Everything was looked at after the queries were described. What changed in between may be missing in
   a description: they are described again until two looks find the same; if something changes all the
   time, the next heartbeat sees to it. */
static void settle(dxdb_catalog *c)
{
    if (!c->is_settled && c->passes < PASSES_MAX) {
        c->passes++;
        describe(c);
        return;
    }
    if (!c->is_settled) c->fingerprint[0] = 0;
    c->phase = WRITES;
    c->query = 0;
    ask_next_write(c);
}

static void handle_check(dxdb_catalog *c, const PGresult *result)
{
    const char *now;
    if (c->asks_position) {
        handle_position(c, result);
        return;
    }
    if (c->probes) {
        if (PQresultStatus(result) == PGRES_COMMAND_OK) {
            go_down(c, "a query that was refused before is valid now");
            c->reload = true;
        }
        c->probes = PQresultStatus(result) != PGRES_PIPELINE_SYNC;
        return;
    }
    if (PQresultStatus(result) == PGRES_COMMAND_OK) return; /* the look was prepared */
    if (c->answer++ > 0) { /* the sync */
        if (c->phase == LOOK) settle(c);
        if (!c->connection.unanswered) begin_next(c);
        return;
    }
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1) {
        dxdb_connection_fail(&c->connection, PQresultErrorMessage(result));
        return;
    }
    now = PQgetvalue(result, 0, 0);
    c->log_end = strtoull(PQgetvalue(result, 0, 2), NULL, 10);
    if (c->config->replicates && strcmp(PQgetvalue(result, 0, 1), c->publication)) {
        restart(c, "the publication has changed", "the publication has changed");
        return;
    }
    if (c->phase == UP && strcmp(now, c->fingerprint)) {
        go_down(c, "the schema has changed");
        c->reload = true;
    }
    c->is_settled = !strcmp(now, c->fingerprint);
    snprintf(c->fingerprint, sizeof c->fingerprint, "%s", now);
}

/* >>calls of the connection ------------------------------------------------------ */
static void on_opened(dxdb_connection *connection) { ask_settings(connection->user); }

static void on_answered(dxdb_connection *connection, PGresult *result)
{
    dxdb_catalog *c = connection->user;
    c->stuck = 0;
    switch (c->phase) {
    case SETUP:
        if (PQresultStatus(result) == PGRES_FATAL_ERROR)
            dxdb_connection_fail(connection, PQresultErrorMessage(result));
        else if (++c->answer < SETUP_ANSWERS) break;
        else if (c->config->replicates) ask_publication(c);
        else begin_queries(c);
        break;
    case PUBLICATION: handle_publication(c, result); break;
    case QUERIES:
        if (c->asks_keys) handle_keys(c, result);
        else handle_query(c, result);
        break;
    case TYPES: handle_types(c, result); break;
    case WRITES:
        handle_write(c, result);
        if (!c->connection.unanswered) begin_next(c);
        break;
    default: handle_check(c, result); break;
    }
}

/* The payload of a trigger; "*": the schema has changed. */
static void on_notified(dxdb_connection *connection, const char *channel, const char *payload)
{
    dxdb_catalog *c = connection->user;
    if (strcmp(channel, DXDB_CHANNEL)) return;
    if (!c->config->replicates) c->notifications++;
    if (!strcmp(payload, "*")) {
        dxdb_catalog_reload(c, "the schema has changed");
        return;
    }
    if (!c->config->replicates) tell(c, payload);
}

static void on_lost(dxdb_connection *connection, const char *why)
{
    dxdb_catalog *c = connection->user;
    c->phase = AWAY;
    c->stuck = 0;
    c->probes = false;
    c->asks_position = false;
    c->is_check_due = false;
    c->reload = false;
    if (c->config->replicates) dxdb_stream_stop(&c->stream, why);
    go_down_for(c, why, connection->reason);
    dxdb_health_set(c->index, "the database cannot be reached", why, connection->reason);
}

static const dxdb_connection_calls calls = {on_opened, on_answered, on_notified, on_lost, NULL, NULL};

/* >>calls of the stream --------------------------------------------------------- */
static void on_started(dxdb_stream *s)
{
    dxdb_catalog *c = s->user;
    if (c->phase == STREAM) begin_queries(c);
}

static void on_moved(dxdb_stream *s)
{
    dxdb_catalog *c = s->user;
    c->position = dxdb_gather_told(&s->gather);
    if (!c->is_up || c->reload) return;
    end_reached(c);
    if (has_unseen(c)) ask_position(c);
}

static void on_stream_lost(dxdb_stream *s, const char *why)
{
    dxdb_catalog *c = s->user;
    char text[DXDB_TEXT_SIZE + 32];
    if (c->phase == STREAM) {
        say(c, why, s->connection.reason);
    } else if (c->phase > STREAM) {
        snprintf(text, sizeof text, "the replication was lost: %s", why);
        restart(c, text, "the replication was lost");
    }
}

static const dxdb_stream_calls stream_calls = {on_started, on_moved, on_stream_lost};

/* The columns of a table that are the key of a query, whichever table it belongs to. */
static int on_keys(void *user, uint32_t relation, dxdb_gather_key *keys)
{
    const dxdb_catalog *c = user;
    int count = DXDB_GATHER_NOT_READ;
    if (!c->is_up) return DXDB_GATHER_NOT_KNOWN;
    for (uint32_t i = 0; i < c->member_count; i++) {
        if (c->members[i].member != relation) continue;
        if (count < 0) count = 0;
        for (uint32_t q = 0; q < c->config->query_count; q++) {
            const dxdb_described *d = &c->queries[q];
            for (uint32_t k = 0; k < d->root_count; k++) {
                const dxdb_gather_key key = {d->keys[k].column, d->keys[k].kind, d->keys[k].name};
                bool is_new = d->roots[k] == c->members[i].root && key.kind;
                for (int n = 0; n < count; n++) is_new = is_new && keys[n].column != key.column;
                if (!is_new) continue;
                if (count == DXDB_GATHER_COLUMNS_MAX) return 0;
                keys[count++] = key;
            }
        }
    }
    return count;
}

static void on_heartbeat(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dxdb_catalog *c = dx_reactor_op_user(op);
    const uint64_t every_ms = c->config->heartbeat_ms;
    uint32_t stuck_max = STUCK_MAX;
    (void)flags;
    if (result < 0) return;
    (void)dx_reactor_timer(r, op, every_ms * 1000000);
    if (c->config->replicates) dxdb_stream_beat(&c->stream);
    if (!c->connection.is_open) return;
    if (c->phase != UP && stuck_max < LOADING_MS / every_ms) stuck_max = LOADING_MS / every_ms;
    if (c->connection.unanswered) {
        c->is_check_due = c->phase == UP;
        if (++c->stuck < stuck_max) return;
        dxdb_connection_drop(&c->connection, "the database does not answer");
        go_down(c, "the database does not answer");
    } else if (c->phase == PUBLICATION) {
        ask_publication(c);
    } else if (c->phase == UP) {
        ask_probe(c);
        ask_check(c);
    }
}

void dxdb_catalog_begin(dxdb_catalog *c, dx_reactor *r, const dxdb_config *config,
                        const dxdb_catalog_calls *catalog_calls, void *user, uint64_t seed)
{
    memset(c, 0, sizeof *c);
    c->user = user;
    c->config = config;
    c->calls = catalog_calls;
    c->reactor = r;
    c->queries = prog_alloc(config->query_count * sizeof *c->queries);
    memset(c->queries, 0, config->query_count * sizeof *c->queries);
    dx_reactor_op_init(&c->timer_op, on_heartbeat, c);
    dx_reactor_op_init(&c->wait_op, on_wait, c);
    (void)dx_reactor_timer(r, &c->timer_op, config->heartbeat_ms * 1000000);
    dx_reactor_op_init(&c->see_op, on_see, c);
    c->keys = (dxdb_gather_calls){on_keys, dxdb_key_kind, dxdb_key_hash_text, c};
    dxdb_connection_begin(&c->connection, r, config->url, &calls, c, seed);
    if (config->replicates) dxdb_stream_begin(&c->stream, r, config, &stream_calls, c, &c->keys, ~seed);
}

void dxdb_catalog_end(dxdb_catalog *c)
{
    (void)dx_reactor_cancel(c->reactor, &c->timer_op);
    (void)dx_reactor_cancel(c->reactor, &c->wait_op);
    while (c->waits) {
        dxdb_wait *w = c->waits;
        end_wait(c, w);
        w->reached(w, DXDB_UNAVAILABLE, "the server is shutting down");
    }
    (void)dx_reactor_cancel(c->reactor, &c->see_op);
    dxdb_connection_end(&c->connection);
    if (c->config->replicates) dxdb_stream_end(&c->stream);
}

bool dxdb_catalog_is_ended(const dxdb_catalog *c)
{
    return dxdb_connection_is_ended(&c->connection) && !dx_reactor_op_pending(&c->timer_op) &&
           !dx_reactor_op_pending(&c->wait_op) && !dx_reactor_op_pending(&c->see_op) &&
           (!c->config->replicates || dxdb_stream_is_ended(&c->stream));
}

void dxdb_catalog_free(dxdb_catalog *c)
{
    if (c->queries) forget(c);
    dxdb_stream_free(&c->stream);
    free(c->plan);
    free(c->queries);
    free(c->members);
    c->queries = NULL;
    c->members = NULL;
}
