/* `dxdb install-triggers`: makes the database notify dxdb of changes.

   Every table that a query reads, and each of its partitions and children, gets a statement-level
   trigger. The notification has the OID of the table; it is sent when the transaction commits, once
   however many statements there were. */
#include "commands.h"

#include "catalog.h"

#include <stdlib.h>
#include <string.h>

static const char function_sql[] =
    "CREATE SCHEMA IF NOT EXISTS dxdb;\n"
    "CREATE OR REPLACE FUNCTION dxdb.changed() RETURNS trigger LANGUAGE plpgsql AS $$\n"
    "BEGIN\n"
    "    PERFORM pg_catalog.pg_notify('" DXDB_CHANNEL "', TG_RELID::text);\n"
    "    RETURN NULL;\n"
    "END $$;\n";

/* Select the tables that may have a trigger, each with its quoted name. */
static const char names_sql[] =
    "SELECT format('%I.%I', n.nspname, c.relname), c.relkind IN ('r', 'p')"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.oid = ANY ($1::oid[]) ORDER BY 1";

/* Run a statement. NULL: it failed, and a message was printed. */
static PGresult *run(PGconn *pg, const char *what, const char *sql, const char *value, bool bare)
{
    char why[DXDB_TEXT_SIZE];
    PGresult *result = bare ? PQexec(pg, sql) : PQexecParams(pg, sql, 1, NULL, &value, NULL, NULL, 0);
    const ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return result;
    dxdb_first_line(why, sizeof why, PQerrorMessage(pg));
    PQclear(result);
    (void)prog_fail(PROG_REFUSED, "%s: %s", what, why);
    return NULL;
}

static bool do_sql(PGconn *pg, const char *what, const char *sql)
{
    PGresult *result = run(pg, what, sql, NULL, true);
    PQclear(result);
    return result != NULL;
}

/* Append the OIDs of the tables of a query to the list "{1,2": see catalog.h. */
static bool find_tables(PGconn *pg, const dxdb_query_config *q, dxdb_text *oids)
{
    char why[DXDB_TEXT_SIZE];
    dxdb_text names = {0};
    if (!do_sql(pg, q->name, "BEGIN READ ONLY")) return false;
    PGresult *prepared = PQprepare(pg, "", q->sql, 0, NULL);
    bool good = PQresultStatus(prepared) == PGRES_COMMAND_OK;
    if (!good) {
        dxdb_first_line(why, sizeof why, PQerrorMessage(pg));
        (void)prog_fail(PROG_REFUSED, "query %s: %s", q->name, why);
    }
    PQclear(prepared);
    if (q->table_count) dxdb_put_table_names(&names, q);
    PGresult *found = good ? run(pg, q->name, dxdb_tables_sql, names.bytes, false) : NULL;
    for (int i = 0; found && i < PQntuples(found); i++) {
        if (PQgetisnull(found, i, 1)) {
            (void)prog_fail(PROG_REFUSED, "query %s: there is no table %s", q->name,
                            PQgetvalue(found, i, 2));
            good = false;
            break;
        }
        dxdb_text_add(oids, oids->size ? "," : "{");
        dxdb_text_add(oids, PQgetvalue(found, i, 1));
    }
    good = good && found;
    PQclear(found);
    dxdb_text_free(&names);
    return do_sql(pg, q->name, "ROLLBACK") && good;
}

/* Append the statements for one table. */
static void put_trigger(dxdb_text *t, const char *table)
{
    dxdb_text_add(t, "DROP TRIGGER IF EXISTS dxdb_changed ON ");
    dxdb_text_add(t, table);
    dxdb_text_add(t, ";\nCREATE TRIGGER dxdb_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE "
                     "ON ");
    dxdb_text_add(t, table);
    dxdb_text_add(t, "\n    FOR EACH STATEMENT EXECUTE FUNCTION dxdb.changed();\nALTER TABLE ");
    dxdb_text_add(t, table);
    dxdb_text_add(t, " ENABLE ALWAYS TRIGGER dxdb_changed;\n");
}

/* Append all statements, for the tables of all queries. Returns the number of tables; -1: failed. */
static int make_script(PGconn *pg, const dxdb_config *config, dxdb_text *script)
{
    dxdb_text oids = {0};
    int count = 0;
    bool good = do_sql(pg, "cannot set up the session", "SET client_min_messages = warning");
    for (uint32_t i = 0; good && i < config->query_count; i++)
        good = find_tables(pg, &config->queries[i], &oids);
    dxdb_text_put(&oids, oids.size ? "}" : "{}", oids.size ? 2 : 3);
    PGresult *names = good ? run(pg, "cannot look up the tables", names_sql, oids.bytes, false) : NULL;
    dxdb_text_free(&oids);
    if (!names) return -1;
    dxdb_text_add(script, "BEGIN;\n");
    dxdb_text_add(script, function_sql);
    for (int i = 0; i < PQntuples(names); i++) {
        const char *table = PQgetvalue(names, i, 0);
        if (!strcmp(PQgetvalue(names, i, 1), "t")) {
            put_trigger(script, table);
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

static void print_lines(const char *text)
{
    while (*text) {
        const size_t size = strcspn(text, "\n");
        prog_say("%.*s\n", (int)size, text);
        text += size + (text[size] != 0);
    }
}

int dxdb_install_triggers(const dxdb_options *o)
{
    dxdb_config config;
    dxdb_text script = {0};
    char why[DXDB_TEXT_SIZE];
    int status = dxdb_config_read(&config, o->config);
    if (status) {
        dxdb_config_free(&config);
        return status;
    }
    PGconn *pg = PQconnectdb(config.url);
    if (PQstatus(pg) != CONNECTION_OK) {
        dxdb_first_line(why, sizeof why, PQerrorMessage(pg));
        status = prog_fail(PROG_NETWORK, "cannot connect to the database: %s", why);
    } else {
        const int count = make_script(pg, &config, &script);
        if (count < 0) status = PROG_REFUSED;
        else if (o->print) print_lines(script.bytes);
        else if (!do_sql(pg, "cannot create the triggers", script.bytes)) status = PROG_REFUSED;
        else prog_say("triggers on %d table%s\n", count, count == 1 ? "" : "s");
    }
    PQfinish(pg);
    dxdb_text_free(&script);
    dxdb_config_free(&config);
    return status;
}
