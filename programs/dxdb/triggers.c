/* `dxdb install-triggers` and `dxdb install-publication`: make the database tell dxdb of changes.
   `dxdb uninstall` removes what they have created.

   Every table that a query reads, and each of its partitions and children, gets statement-level
   triggers. The notification is sent when the transaction commits, and equal ones are sent once,
   however many statements there were. For a table that some query reads by a key (keys.h) it has the
   keys of the rows that have changed, as far as they fit.

   A publication needs no triggers. It tells old keys as far as the replica identity of the table has
   them, and the database refuses an UPDATE of a published table without one. */
#include "commands.h"

#include "catalog.h"

#include <stdlib.h>
#include <string.h>

/* Its arguments are names of columns. A payload has less than 8,000 bytes. In other encodings than
   UTF-8 the text of a key may have no form that dxdb knows. */
static const char function_sql[] =
    "CREATE SCHEMA IF NOT EXISTS dxdb;\n"
    "CREATE OR REPLACE FUNCTION dxdb.changed() RETURNS trigger LANGUAGE plpgsql\n"
    "    SET search_path = pg_catalog, pg_temp AS $$\n"
    "DECLARE\n"
    "    told text := TG_RELID::text;\n"
    "    rows text := CASE TG_OP WHEN 'INSERT' THEN 'SELECT %1$I::text AS k FROM dxdb_new'\n"
    "        WHEN 'DELETE' THEN 'SELECT %1$I::text AS k FROM dxdb_old'\n"
    "        ELSE 'SELECT %1$I::text AS k FROM dxdb_new UNION ALL'\n"
    "             ' SELECT %1$I::text FROM dxdb_old' END;\n"
    "    keys text;\n"
    "BEGIN\n"
    "    IF TG_NARGS > 0 AND TG_OP <> 'TRUNCATE' AND getdatabaseencoding() = 'UTF8' THEN\n"
    "        FOR i IN 0 .. TG_NARGS - 1 LOOP\n"
    "            EXECUTE format('SELECT string_agg(left(encode(sha256(convert_to(k, ''UTF8'')),'\n"
    "                ' ''hex''), 12), '''') FROM (SELECT DISTINCT k FROM (' || rows ||\n"
    "                ') a WHERE k IS NOT NULL LIMIT 660) b', TG_ARGV[i]) INTO keys;\n"
    "            told := told || ' ' || left(encode(sha256(convert_to(TG_ARGV[i], 'UTF8')), 'hex'), 8)\n"
    "                || ':' || coalesce(keys, '');\n"
    "        END LOOP;\n"
    "        IF length(told) > 7900 THEN\n"
    "            told := TG_RELID::text;\n"
    "        END IF;\n"
    "    END IF;\n"
    "    PERFORM pg_notify('" DXDB_CHANNEL "', told);\n"
    "    RETURN NULL;\n"
    "END $$;\n";

/* Select the tables that may have a trigger, each with its quoted name and OID. */
static const char names_sql[] =
    "SELECT format('%I.%I', n.nspname, c.relname), c.relkind IN ('r', 'p'), c.oid"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.oid = ANY ($1::oid[]) ORDER BY 1";

/* The result, if the statement succeeded. NULL: it failed, and a message was printed. */
static PGresult *check(PGconn *pg, const char *what, PGresult *result)
{
    char why[DXDB_TEXT_SIZE];
    const ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return result;
    dxdb_first_line(why, sizeof why, PQerrorMessage(pg));
    PQclear(result);
    (void)prog_fail(PROG_REFUSED, "%s: %s", what, why);
    return NULL;
}

/* Run a statement with $1 and, if it has one, $2. */
static PGresult *run(PGconn *pg, const char *what, const char *sql, const char *value, const char *other)
{
    const char *values[2] = {value, other};
    return check(pg, what, PQexecParams(pg, sql, strstr(sql, "$2") ? 2 : 1, NULL, values, NULL, NULL, 0));
}

static bool do_sql(PGconn *pg, const char *what, const char *sql)
{
    PGresult *result = check(pg, what, PQexec(pg, sql));
    PQclear(result);
    return result != NULL;
}

/* A column that is the key of some query for a table. */
typedef struct key_column {
    Oid  root;
    char name[DXDB_NAME_SIZE_MAX + 1];
} key_column;

typedef struct table_member {
    Oid root;
    Oid member;
} table_member;

typedef struct found_tables {
    dxdb_text oids;    /* a list "{1,2" */
    dxdb_text members; /* of table_member */
    dxdb_text columns; /* of key_column */
} found_tables;

static Oid oid_at(const PGresult *result, int row, int column)
{
    return (Oid)strtoul(PQgetvalue(result, row, column), NULL, 10);
}

/* The types of the parameters of the prepared query. False: their number is another. */
static bool find_types(PGconn *pg, const dxdb_query_config *q, Oid *types)
{
    PGresult *described = PQdescribePrepared(pg, "described");
    const bool fits = PQnparams(described) == (int)q->parameter_count;
    for (uint32_t i = 0; fits && i < q->parameter_count; i++)
        types[i] = PQparamtype(described, (int)i);
    PQclear(described);
    return fits;
}

/* Add the keys that the prepared query has for its tables. One without a plan has none. */
static bool find_keys(PGconn *pg, const dxdb_query_config *q, const PGresult *tables, found_tables *f)
{
    Oid types[DXDB_PARAMETERS_MAX];
    dxdb_text explain = {0};
    if (!q->parameter_count || !find_types(pg, q, types)) return true; /* serve refuses the latter */
    dxdb_keys_put_explain(&explain, q->parameter_count);
    PGresult *plan = PQexec(pg, explain.bytes);
    const bool is_planned = PQresultStatus(plan) == PGRES_TUPLES_OK && PQntuples(plan) == 1;
    dxdb_text_free(&explain);
    PGresult *scans = is_planned ? run(pg, q->name, dxdb_keys_sql, PQgetvalue(plan, 0, 0), NULL)
                                 : NULL;
    for (int i = 0; scans && i < PQntuples(tables); i++) {
        key_column column = {.root = oid_at(tables, i, 0)};
        dxdb_key key;
        if (i && oid_at(tables, i - 1, 0) == column.root) continue;
        dxdb_keys_find(scans, column.root, types, q->parameter_count, &key);
        if (!key.kind) continue;
        memcpy(column.name, key.name, sizeof column.name);
        dxdb_text_put(&f->columns, &column, sizeof column);
    }
    PQclear(plan);
    PQclear(scans);
    return scans || !is_planned;
}

/* Add the tables of a query: see catalog.h. */
static bool find_tables(PGconn *pg, const dxdb_query_config *q, found_tables *f)
{
    char why[DXDB_TEXT_SIZE];
    dxdb_text names = {0};
    if (!do_sql(pg, q->name, "BEGIN READ ONLY")) return false;
    PGresult *prepared = PQprepare(pg, "described", q->sql, 0, NULL);
    bool good = PQresultStatus(prepared) == PGRES_COMMAND_OK;
    if (!good) {
        dxdb_first_line(why, sizeof why, PQerrorMessage(pg));
        (void)prog_fail(PROG_REFUSED, "query %s: %s", q->name, why);
    }
    PQclear(prepared);
    if (q->table_count) dxdb_put_table_names(&names, q);
    PGresult *found = good ? run(pg, q->name, dxdb_tables_sql, names.bytes, NULL) : NULL;
    for (int i = 0; found && i < PQntuples(found); i++) {
        const table_member one = {oid_at(found, i, 0), oid_at(found, i, 1)};
        if (PQgetisnull(found, i, 1)) {
            (void)prog_fail(PROG_REFUSED, "query %s: there is no table %s", q->name,
                            PQgetvalue(found, i, 2));
            good = false;
            break;
        }
        dxdb_text_add(&f->oids, f->oids.size ? "," : "{");
        dxdb_text_add(&f->oids, PQgetvalue(found, i, 1));
        dxdb_text_put(&f->members, &one, sizeof one);
    }
    good = good && found && find_keys(pg, q, found, f);
    PQclear(found);
    dxdb_text_free(&names);
    return do_sql(pg, q->name, "ROLLBACK") && do_sql(pg, q->name, "DEALLOCATE ALL") && good;
}

static bool is_key_of(const found_tables *f, const key_column *column, Oid member)
{
    const table_member *members = (const void *)f->members.bytes;
    for (size_t i = 0; i < f->members.size / sizeof *members; i++)
        if (members[i].member == member && members[i].root == column->root) return true;
    return false;
}

/* Append the names of a table's key columns, quoted, each once. Returns their number. */
static int put_columns(PGconn *pg, dxdb_text *t, Oid member, const found_tables *f)
{
    const key_column *columns = (const void *)f->columns.bytes;
    int count = 0;
    for (size_t i = 0; i < f->columns.size / sizeof *columns; i++) {
        bool is_new = is_key_of(f, &columns[i], member);
        for (size_t k = 0; is_new && k < i; k++)
            is_new = strcmp(columns[k].name, columns[i].name) || !is_key_of(f, &columns[k], member);
        if (!is_new) continue;
        char *quoted = PQescapeLiteral(pg, columns[i].name, strlen(columns[i].name));
        dxdb_text_add(t, count++ ? ", " : "");
        dxdb_text_add(t, quoted ? quoted : "''");
        PQfreemem(quoted);
    }
    return count;
}

static void put_trigger(dxdb_text *t, const char *name, const char *events, const char *table,
                        const char *rows, const dxdb_text *columns)
{
    dxdb_text_add(t, "CREATE TRIGGER ");
    dxdb_text_add(t, name);
    dxdb_text_add(t, " AFTER ");
    dxdb_text_add(t, events);
    dxdb_text_add(t, " ON ");
    dxdb_text_add(t, table);
    dxdb_text_add(t, rows);
    dxdb_text_add(t, "\n    FOR EACH STATEMENT EXECUTE FUNCTION dxdb.changed(");
    dxdb_text_put(t, columns->bytes, columns->size);
    dxdb_text_add(t, ");\nALTER TABLE ");
    dxdb_text_add(t, table);
    dxdb_text_add(t, " ENABLE ALWAYS TRIGGER ");
    dxdb_text_add(t, name);
    dxdb_text_add(t, ";\n");
}

/* Append the statements for one table. A trigger that sees the changed rows is for one event. */
static void put_triggers(PGconn *pg, dxdb_text *t, const char *table, Oid oid, const found_tables *f)
{
    static const char *const names[] = {"dxdb_changed", "dxdb_inserted", "dxdb_updated",
                                        "dxdb_deleted"};
    static const char new_rows[] = "\n    REFERENCING NEW TABLE AS dxdb_new";
    static const char old_rows[] = "\n    REFERENCING OLD TABLE AS dxdb_old";
    static const char both[] = "\n    REFERENCING OLD TABLE AS dxdb_old NEW TABLE AS dxdb_new";
    dxdb_text columns = {0};
    const dxdb_text none = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        dxdb_text_add(t, "DROP TRIGGER IF EXISTS ");
        dxdb_text_add(t, names[i]);
        dxdb_text_add(t, " ON ");
        dxdb_text_add(t, table);
        dxdb_text_add(t, ";\n");
    }
    if (!put_columns(pg, &columns, oid, f)) {
        put_trigger(t, names[0], "INSERT OR UPDATE OR DELETE OR TRUNCATE", table, "", &none);
        return;
    }
    put_trigger(t, names[0], "TRUNCATE", table, "", &none);
    put_trigger(t, names[1], "INSERT", table, new_rows, &columns);
    put_trigger(t, names[2], "UPDATE", table, both, &columns);
    put_trigger(t, names[3], "DELETE", table, old_rows, &columns);
    dxdb_text_free(&columns);
}

static bool find_all(PGconn *pg, const dxdb_config *config, found_tables *f)
{
    bool good = do_sql(pg, "cannot set up the session",
                       "SET client_min_messages = warning; SET client_encoding = 'UTF8';"
                       "SET plan_cache_mode = force_generic_plan;" /* no JIT: see catalog.c */
                       "SELECT set_config(name, 'off', false) FROM pg_catalog.pg_settings"
                       " WHERE name = 'jit'");
    for (uint32_t i = 0; good && i < config->query_count; i++)
        good = find_tables(pg, &config->queries[i], f);
    dxdb_text_put(&f->oids, f->oids.size ? "}" : "{}", f->oids.size ? 2 : 3);
    return good;
}

/* Append all statements, for the tables of all queries. Returns the number of tables; -1: failed. */
static int make_script(PGconn *pg, const dxdb_config *config, dxdb_text *script, found_tables *f)
{
    int count = 0;
    PGresult *names = find_all(pg, config, f) ? run(pg, "cannot look up the tables", names_sql,
                                                    f->oids.bytes, NULL) : NULL;
    if (!names) return -1;
    dxdb_text_add(script, "BEGIN;\n");
    dxdb_text_add(script, function_sql);
    for (int i = 0; i < PQntuples(names); i++) {
        const char *table = PQgetvalue(names, i, 0);
        if (!strcmp(PQgetvalue(names, i, 1), "t")) {
            put_triggers(pg, script, table, oid_at(names, i, 2), f);
            count++;
        } else {
            prog_warn("%s is not a table, so changes to it are not noticed", table);
        }
    }
    dxdb_text_add(script, "COMMIT;\n");
    dxdb_text_put(script, "", 1);
    PQclear(names);
    return count;
}

/* Selects for a publication $2 the tables that it can have: quoted name, whether it is one, OID, whether
   it is published already, whether it needs an identity; the columns of that, each followed by a line
   feed; whether it may be added: partitions are published with their table. */
static const char published_sql[] =
    "SELECT format('%I.%I', n.nspname, c.relname), c.relkind IN ('r', 'p') AND c.relpersistence = 'p',"
    "  c.oid, EXISTS (SELECT FROM pg_catalog.pg_publication b WHERE b.pubname = $2 AND (b.puballtables"
    "    OR EXISTS (SELECT FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = b.oid"
    "      AND r.prrelid = c.oid) OR EXISTS (SELECT FROM pg_catalog.pg_publication_tables v"
    "      WHERE v.pubname = b.pubname AND v.schemaname = n.nspname AND v.tablename = c.relname))),"
    "  c.relkind = 'r' AND (c.relreplident = 'n' OR (c.relreplident = 'd' AND NOT EXISTS"
    "    (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary))),"
    "  CASE WHEN c.relkind = 'r' AND c.relreplident = 'd' THEN"
    "    (SELECT string_agg(a.attname || E'\\n', '') FROM pg_catalog.pg_index i"
    "     JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)"
    "     WHERE i.indrelid = c.oid AND i.indisprimary) END, NOT c.relispartition"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.oid = ANY ($1::oid[]) ORDER BY 1";

/* Is some key of the table outside of these columns? */
static bool lacks_key(const found_tables *f, Oid member, const char *identity)
{
    const key_column *columns = (const void *)f->columns.bytes;
    char line[DXDB_NAME_SIZE_MAX + 2];
    for (size_t i = 0; i < f->columns.size / sizeof *columns; i++) {
        if (!is_key_of(f, &columns[i], member)) continue;
        const int size = snprintf(line, sizeof line, "%s\n", columns[i].name);
        const char *at = strstr(identity, line);
        while (at && at > identity && at[-1] != '\n') at = strstr(at + size, line);
        if (!at) return true;
    }
    return false;
}

static void put_published(dxdb_text *t, const PGresult *names, int i, const char *publication,
                          const found_tables *f)
{
    const char *table = PQgetvalue(names, i, 0);
    const bool needs = !strcmp(PQgetvalue(names, i, 4), "t");
    if (needs || (!PQgetisnull(names, i, 5) && lacks_key(f, oid_at(names, i, 2), PQgetvalue(names, i, 5)))) {
        dxdb_text_add(t, "ALTER TABLE ");
        dxdb_text_add(t, table);
        dxdb_text_add(t, " REPLICA IDENTITY FULL;\n");
    }
    if (!strcmp(PQgetvalue(names, i, 3), "t") || strcmp(PQgetvalue(names, i, 6), "t")) return;
    dxdb_text_format(t, "ALTER PUBLICATION \"%s\" ADD TABLE ONLY ", publication);
    dxdb_text_add(t, table);
    dxdb_text_add(t, ";\n");
}

/* Like make_script(), for a publication. */
static int make_publication(PGconn *pg, const dxdb_config *config, dxdb_text *script, found_tables *f)
{
    static const char exists_sql[] = "SELECT FROM pg_catalog.pg_publication WHERE pubname = $1";
    const char *name = config->publication;
    int count = 0;
    PGresult *names = find_all(pg, config, f) ? run(pg, "cannot look up the tables", published_sql,
                                                    f->oids.bytes, name) : NULL;
    PGresult *there = names ? run(pg, "cannot look up the publication", exists_sql, name, NULL) : NULL;
    if (there) {
        dxdb_text_add(script, "BEGIN;\n");
        if (!PQntuples(there)) dxdb_text_format(script, "CREATE PUBLICATION \"%s\";\n", name);
        for (int i = 0; i < PQntuples(names); i++) {
            if (!strcmp(PQgetvalue(names, i, 1), "t")) {
                put_published(script, names, i, name, f);
                count++;
            } else {
                prog_warn("%s is not a table with a log, so changes to it are not noticed",
                          PQgetvalue(names, i, 0));
            }
        }
        dxdb_text_add(script, "COMMIT;\n");
        dxdb_text_put(script, "", 1);
    }
    const bool good = there != NULL;
    PQclear(there);
    PQclear(names);
    return good ? count : -1;
}

/* The function that triggers call. By the catalogues: names need rights on the schema. */
#define FUNCTION_SQL                                                              \
    "(SELECT p.oid FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace f"      \
    " ON f.oid = p.pronamespace WHERE f.nspname = 'dxdb' AND p.proname = 'changed' AND p.pronargs = 0)"

/* Selects what make_removal() removes, besides triggers: whether there are the function, the schema, in
   the schema something else, and the publication $1. */
static const char installed_sql[] =
    "SELECT EXISTS " FUNCTION_SQL ", EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'dxdb'),"
    "  EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_namespace n ON n.oid = d.refobjid"
    "    WHERE n.nspname = 'dxdb' AND d.refclassid = 'pg_catalog.pg_namespace'::regclass"
    "    AND NOT (d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid IN " FUNCTION_SQL ")),"
    "  EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = $1)";

/* Every trigger that notifies dxdb, and its table; whatever the configuration is now. */
static const char triggers_sql[] =
    "SELECT format('%I', t.tgname), format('%I.%I', n.nspname, c.relname)"
    " FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE NOT t.tgisinternal AND t.tgfoid IN " FUNCTION_SQL " ORDER BY 2, 1";

static bool is_true(const PGresult *result, int column)
{
    return !strcmp(PQgetvalue(result, 0, column), "t");
}

static int put_removed_triggers(dxdb_text *t, const PGresult *triggers)
{
    int tables = 0;
    for (int i = 0; i < PQntuples(triggers); i++) {
        const char *table = PQgetvalue(triggers, i, 1);
        dxdb_text_add(t, "DROP TRIGGER ");
        dxdb_text_add(t, PQgetvalue(triggers, i, 0));
        dxdb_text_add(t, " ON ");
        dxdb_text_add(t, table);
        dxdb_text_add(t, ";\n");
        tables += !i || strcmp(PQgetvalue(triggers, i - 1, 1), table);
    }
    return tables;
}

/* Append the statements that remove everything. Returns the number of tables with triggers; -1: failed. */
static int make_removal(PGconn *pg, const dxdb_config *config, dxdb_text *script)
{
    const char *publication = config->publication ? config->publication : "dxdb";
    int count = -1;
    PGresult *triggers = check(pg, "cannot look up the triggers", PQexec(pg, triggers_sql));
    PGresult *found = triggers ? run(pg, "cannot look up the schema", installed_sql,
                                     publication, NULL) : NULL;
    if (found) {
        dxdb_text_add(script, "BEGIN;\n");
        count = put_removed_triggers(script, triggers);
        if (is_true(found, 0)) dxdb_text_add(script, "DROP FUNCTION dxdb.changed();\n");
        if (is_true(found, 2)) prog_warn("the schema dxdb stays: there is more in it");
        else if (is_true(found, 1)) dxdb_text_add(script, "DROP SCHEMA dxdb;\n");
        if (is_true(found, 3)) dxdb_text_format(script, "DROP PUBLICATION \"%s\";\n", publication);
        dxdb_text_add(script, "COMMIT;\n");
        dxdb_text_put(script, "", 1);
    }
    PQclear(found);
    PQclear(triggers);
    return count;
}

static void print_lines(const char *text)
{
    while (*text) {
        const size_t size = strcspn(text, "\n");
        prog_say("%.*s\n", (int)size, text);
        text += size + (text[size] != 0);
    }
}

typedef enum script_kind { TRIGGERS, PUBLICATION, REMOVAL } script_kind;

static int make(script_kind kind, PGconn *pg, const dxdb_config *config, dxdb_text *script)
{
    found_tables found;
    int count = -1;
    memset(&found, 0, sizeof found);
    switch (kind) {
    case TRIGGERS: count = make_script(pg, config, script, &found); break;
    case PUBLICATION: count = make_publication(pg, config, script, &found); break;
    case REMOVAL: count = make_removal(pg, config, script); break;
    }
    dxdb_text_free(&found.oids);
    dxdb_text_free(&found.members);
    dxdb_text_free(&found.columns);
    return count;
}

static void say_done(script_kind kind, const dxdb_config *config, const char *script, int count)
{
    const char *s = count == 1 ? "" : "s";
    switch (kind) {
    case TRIGGERS: prog_say("triggers on %d table%s\n", count, s); break;
    case PUBLICATION: prog_say("publication %s has %d table%s\n", config->publication, count, s); break;
    case REMOVAL:
        if (!strstr(script, "DROP ")) prog_say("there is nothing to remove\n");
        else prog_say("removed the triggers of %d table%s%s\n", count, s,
                      strstr(script, "DROP PUBLICATION ") ? ", and the publication" : "");
        break;
    }
}

static int run_script(const dxdb_options *o, script_kind kind)
{
    static const char *const failed[] = {"cannot create the triggers", "cannot create the publication",
                                         "cannot remove what was installed"};
    dxdb_config config;
    dxdb_text script = {0};
    char why[DXDB_TEXT_SIZE];
    int status = dxdb_config_read(&config, o->config);
    if (!status && kind == PUBLICATION && !config.replicates)
        status = prog_fail(PROG_USAGE, "%s: [database] has no source = \"replication\"", o->config);
    if (status) {
        dxdb_config_free(&config);
        return status;
    }
    PGconn *pg = PQconnectdb(config.url);
    (void)PQsetNoticeReceiver(pg, dxdb_notice, NULL);
    if (PQstatus(pg) != CONNECTION_OK) {
        dxdb_first_line(why, sizeof why, PQerrorMessage(pg));
        status = prog_fail(PROG_NETWORK, "cannot connect to the database: %s", why);
    } else {
        const int count = make(kind, pg, &config, &script);
        if (count < 0) status = PROG_REFUSED;
        else if (o->print) print_lines(script.bytes);
        else if (!do_sql(pg, failed[kind], script.bytes)) status = PROG_REFUSED;
        else say_done(kind, &config, script.bytes, count);
    }
    PQfinish(pg);
    dxdb_text_free(&script);
    dxdb_config_free(&config);
    return status;
}

int dxdb_install_triggers(const dxdb_options *o) { return run_script(o, TRIGGERS); }

int dxdb_install_publication(const dxdb_options *o) { return run_script(o, PUBLICATION); }

int dxdb_uninstall(const dxdb_options *o) { return run_script(o, REMOVAL); }
