/* The configuration. See config.h. */
#include "config.h"

#include "../common/options.h"
#include "../common/os.h"
#include "../common/toml.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { KEYS_MAX = 32 };

typedef struct reading {
    dxdb_config *config;
    const char  *path;
    uint32_t     lines[KEYS_MAX]; /* of each of `keys`; 0: not there */
} reading;

/* A key of a table, and its field. */
typedef struct key {
    const char *table;
    const char *name;
    size_t      at;
    size_t      size; /* 0: a text; 4, 8: an integer of this many bytes */
    uint64_t    min;
    uint64_t    max;
    uint64_t    unit;
} key;

#define TEXT(table, name, field) {table, name, offsetof(dxdb_config, field), 0, 0, 0, 0}
#define NUMBER(table, name, field, min, max, unit) \
    {table, name, offsetof(dxdb_config, field), sizeof(((dxdb_config *)0)->field), min, max, unit}

static const key keys[] = {
    TEXT("server", "hbtp", hbtp),
    TEXT("server", "http", http),
    TEXT("server", "tls_cert", tls_cert),
    TEXT("server", "tls_key", tls_key),
    NUMBER("server", "connections", connections, 1, 1u << 20, 1),
    NUMBER("server", "result_max", result_max, 1024, 64u << 20, 1),
    NUMBER("server", "request_ms", request_ms, 10, 600000, 1),
    NUMBER("server", "workers", workers, 0, 256, 1),
    TEXT("auth", "secret_file", secret_file),
    TEXT("auth", "issuer", issuer),
    TEXT("auth", "audience", audience),
    NUMBER("limit", "rate", rate, 1, 1000000, 1),
    NUMBER("limit", "burst", burst, 1, 1000000, 1),
    TEXT("database", "url", url),
    TEXT("database", "publication", publication),
    NUMBER("database", "pool", pool, 1, 256, 1),
    NUMBER("database", "waiting_max", waiting_max, 1, 1u << 20, 1),
    NUMBER("database", "heartbeat_ms", heartbeat_ms, 50, 60000, 1),
    NUMBER("cache", "bytes", cache_bytes, 1u << 16, (uint64_t)8 << 30, 1),
    NUMBER("cache", "entries", cache_entries, 1, 1u << 26, 1),
    NUMBER("cache", "ttl_s", ttl_ms, 1, 31536000, 1000),
    NUMBER("subscribe", "states", states, 1, 1u << 20, 1),
    NUMBER("subscribe", "bytes", states_bytes, 1u << 16, (uint64_t)8 << 30, 1),
    NUMBER("subscribe", "lag_ms", lag_ms, 1000, 3600000, 1),
};

/* The line of a key of a table; 0: it is not there. */
static uint32_t line_of(const reading *r, const char *table, const char *name)
{
    enum { COUNT = sizeof keys / sizeof *keys };
    static_assert((int)COUNT <= (int)KEYS_MAX, "a line for each key");
    for (size_t i = 0; i < COUNT; i++)
        if (!strcmp(keys[i].table, table) && !strcmp(keys[i].name, name)) return r->lines[i];
    assert(!"no such key");
    return 0;
}

/* Keep where a key of a query or write is. */
static void keep_line(dxdb_config_lines *lines, const prog_toml_value *v)
{
    const char *name = v->keys[1];
    if (!lines->first) lines->first = v->line;
    if (!strcmp(name, "name")) lines->name = v->line;
    if (!strcmp(name, "method")) lines->method = v->line;
    if (!strcmp(name, "parameters") && !lines->parameters) lines->parameters = v->line;
}

static int refuse(const reading *r, const prog_toml_value *v, const char *why)
{
    const char *last = v->keys[v->depth - 1];
    return prog_fail(PROG_USAGE, "%s:%u: %s: %s", r->path, (unsigned)v->line, last, why);
}

static const char *const query_keys[] = {"name", "sql", "parameters", "tables", "ttl_s", "method", NULL};
static const char *const write_keys[] = {"name", "sql", "parameters", "method", NULL};

static bool is_one_of(const char *const *names, const char *name)
{
    while (*names && strcmp(*names, name)) names++;
    return *names != NULL;
}

/* Refuse a key that there is not, and name the one that was meant. where: the table, with " in ". names:
   its keys; NULL: those of `keys` that are in a table of this name, and lists. */
static int refuse_unknown(const reading *r, const prog_toml_value *v, const char *where,
                          const char *const *names)
{
    const char *last = v->keys[v->depth - 1];
    char why[160];
    prog_nearest near;
    prog_nearest_begin(&near, last, strlen(last));
    while (names && *names) prog_nearest_offer(&near, *names++);
    for (size_t i = 0; !names && v->depth == 2 && i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(keys[i].table, v->keys[0])) prog_nearest_offer(&near, keys[i].name);
    if (!names && !strcmp(v->keys[0], "server")) prog_nearest_offer(&near, "origins");
    if (!names && !strcmp(v->keys[0], "database")) prog_nearest_offer(&near, "source");
    if (near.found) snprintf(why, sizeof why, "no such key%s; did you mean '%s'?", where, near.found);
    else snprintf(why, sizeof why, "no such key%s", where);
    return refuse(r, v, why);
}

static int parse_text(const reading *r, const prog_toml_value *v, char **out)
{
    const char *reason = prog_toml_text(v, out);
    return reason ? refuse(r, v, reason) : PROG_OK;
}

static int parse_number(const reading *r, const prog_toml_value *v, uint64_t min, uint64_t max,
                        uint64_t *out)
{
    char why[PROG_TOML_WHY_SIZE];
    const char *reason = prog_toml_number(v, min, max, out, why);
    return reason ? refuse(r, v, reason) : PROG_OK;
}

static int parse_key(const reading *r, const prog_toml_value *v, const key *k)
{
    char *field = (char *)r->config + k->at;
    uint64_t number = 0;
    if (v->listed[0] || v->listed[1]) return refuse(r, v, "must not be a list");
    if (!k->size) return parse_text(r, v, (char **)(void *)field);
    int status = parse_number(r, v, k->min, k->max, &number);
    if (status) return status;
    number *= k->unit;
    assert(k->size == 4 || k->size == 8);
    if (k->size == 4) *(uint32_t *)(void *)field = (uint32_t)number;
    else *(uint64_t *)(void *)field = number;
    return PROG_OK;
}

/* Take one element of a list of names. */
static int parse_item(const reading *r, const prog_toml_value *v, char **list, uint32_t max,
                      uint32_t *count)
{
    const uint32_t place = v->places[v->depth - 1];
    char why[40];
    snprintf(why, sizeof why, "too many: at most %u", (unsigned)max);
    if (place >= max) return refuse(r, v, why);
    if (place >= *count) *count = place + 1;
    return parse_text(r, v, &list[place]);
}

static int parse_query(const reading *r, const prog_toml_value *v)
{
    dxdb_config *c = r->config;
    const uint32_t place = v->places[0];
    const char *name = v->keys[1];
    uint64_t number = 0;
    int status = PROG_OK;
    if (place >= DXDB_QUERIES_MAX)
        return prog_fail(PROG_USAGE, "%s:%u: more than %d queries", r->path, (unsigned)v->line,
                         DXDB_QUERIES_MAX);
    dxdb_query_config *q = &c->queries[place];
    if (place >= c->query_count) c->query_count = place + 1;
    keep_line(&q->lines, v);
    const bool list = !strcmp(name, "parameters") || !strcmp(name, "tables");
    if (!is_one_of(query_keys, name)) return refuse_unknown(r, v, " in [[query]]", query_keys);
    if (v->listed[1] && !list) return refuse(r, v, "must not be a list");
    if (!strcmp(name, "name")) return parse_text(r, v, &q->name);
    if (!strcmp(name, "sql")) return parse_text(r, v, &q->sql);
    if (!strcmp(name, "parameters"))
        return parse_item(r, v, q->parameters, DXDB_PARAMETERS_MAX, &q->parameter_count);
    if (!strcmp(name, "tables")) return parse_item(r, v, q->tables, DXDB_TABLES_MAX,
                                                  &q->table_count);
    if (!strcmp(name, "ttl_s")) {
        status = parse_number(r, v, 1, 31536000, &number);
        q->ttl_ms = number * 1000;
    } else {
        assert(!strcmp(name, "method"));
        status = parse_number(r, v, 1, 254, &number);
        q->method = (uint8_t)number;
    }
    return status;
}

static int parse_write(const reading *r, const prog_toml_value *v)
{
    dxdb_config *c = r->config;
    const uint32_t place = v->places[0];
    const char *name = v->keys[1];
    uint64_t number = 0;
    if (place >= DXDB_WRITES_MAX)
        return prog_fail(PROG_USAGE, "%s:%u: more than %d writes", r->path, (unsigned)v->line,
                         DXDB_WRITES_MAX);
    dxdb_write_config *w = &c->writes[place];
    if (place >= c->write_count) c->write_count = place + 1;
    keep_line(&w->lines, v);
    if (!strcmp(name, "sql") && v->places[1] < DXDB_STATEMENTS_MAX) w->statement_lines[v->places[1]] = v->line;
    const bool list = !strcmp(name, "parameters") || !strcmp(name, "sql");
    if (!is_one_of(write_keys, name)) return refuse_unknown(r, v, " in [[write]]", write_keys);
    if (v->listed[1] && !list) return refuse(r, v, "must not be a list");
    if (!strcmp(name, "name")) return parse_text(r, v, &w->name);
    if (!strcmp(name, "sql"))
        return parse_item(r, v, w->statements, DXDB_STATEMENTS_MAX, &w->statement_count);
    if (!strcmp(name, "parameters"))
        return parse_item(r, v, w->parameters, DXDB_PARAMETERS_MAX, &w->parameter_count);
    assert(!strcmp(name, "method"));
    const int status = parse_number(r, v, 1, 254, &number);
    w->method = (uint8_t)number;
    return status;
}

static int parse_source(const reading *r, const prog_toml_value *v)
{
    char *source = NULL;
    if (v->listed[0] || v->listed[1]) return refuse(r, v, "must not be a list");
    int status = parse_text(r, v, &source);
    if (!status) {
        r->config->replicates = !strcmp(source, "replication");
        if (!r->config->replicates && strcmp(source, "triggers"))
            status = refuse(r, v, "must be \"triggers\" or \"replication\"");
    }
    free(source);
    return status;
}

/* An empty list or table: where a list may be, nothing is set. */
static int parse_empty(const reading *r, const prog_toml_value *v)
{
    const char *table = v->keys[0], *name = v->depth == 2 ? v->keys[1] : "";
    const bool query = !strcmp(table, "query") && (!strcmp(name, "parameters") || !strcmp(name, "tables"));
    const bool write = !strcmp(table, "write") && (!strcmp(name, "parameters") || !strcmp(name, "sql"));
    const bool server = !strcmp(table, "server") && !strcmp(name, "origins");
    if (v->depth == 1 || query || write || server) return PROG_OK;
    return refuse(r, v, "must not be empty");
}

static int parse_value(void *user, const prog_toml_value *v)
{
    reading *r = user;
    if (v->kind == PROG_TOML_EMPTY) return parse_empty(r, v);
    if (v->kind == PROG_TOML_OTHER || v->kind == PROG_TOML_FRACTION)
        return refuse(r, v, "must be a string or an integer");
    if (v->depth == 2 && !strcmp(v->keys[0], "query")) return parse_query(r, v);
    if (v->depth == 2 && !strcmp(v->keys[0], "write")) return parse_write(r, v);
    if (v->depth == 2 && !strcmp(v->keys[0], "server") && !strcmp(v->keys[1], "origins"))
        return parse_item(r, v, r->config->origins, DXDB_ORIGINS_MAX, &r->config->origin_count);
    if (v->depth == 2 && !strcmp(v->keys[0], "database") && !strcmp(v->keys[1], "source"))
        return parse_source(r, v);
    for (size_t i = 0; v->depth == 2 && i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(keys[i].table, v->keys[0]) && !strcmp(keys[i].name, v->keys[1])) {
            r->lines[i] = v->line;
            return parse_key(r, v, &keys[i]);
        }
    return refuse_unknown(r, v, "", NULL);
}

static bool is_name(const char *name)
{
    const size_t size = strlen(name);
    for (size_t i = 0; i < size; i++) {
        const char ch = name[i];
        const bool letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_';
        if (!letter && (i == 0 || !((ch >= '0' && ch <= '9') || ch == '-'))) return false;
    }
    return size > 0 && size <= DXDB_NAME_SIZE_MAX;
}

static int check_parameters(const char *kind, const char *name, char *const *parameters,
                            uint32_t count, uint32_t line, const char *path)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!is_name(parameters[i]))
            return prog_fail(PROG_USAGE, "%s:%u: %s %s: parameter name '%s' has other characters "
                                         "than letters, digits, _ and -", path, (unsigned)line, kind, name,
                             parameters[i]);
        for (uint32_t k = 0; k < i; k++)
            if (!strcmp(parameters[i], parameters[k]))
                return prog_fail(PROG_USAGE, "%s:%u: %s %s lists parameter %s twice", path,
                                 (unsigned)line, kind, name,
                                 parameters[i]);
    }
    return PROG_OK;
}

/* Does a statement begin or end a transaction? A write is one transaction, as a whole. */
static bool controls_transaction(const char *sql)
{
    static const char *const words[] = {"ABORT", "BEGIN", "COMMIT", "COPY", "END", "PREPARE",
                                        "RELEASE", "ROLLBACK", "SAVEPOINT", "START"};
    while (isspace((unsigned char)*sql)) sql++;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const size_t size = strlen(words[i]);
        if (!strncasecmp(sql, words[i], size) && !isalnum((unsigned char)sql[size]) &&
            sql[size] != '_')
            return true;
    }
    return false;
}

/* A method that is not set is that of its place. */
static uint32_t line_of_method(const dxdb_config_lines *lines)
{
    return lines->method ? lines->method : lines->name;
}

static int check_write(dxdb_config *c, uint32_t place, const char *path)
{
    dxdb_write_config *w = &c->writes[place];
    if (!w->name || !is_name(w->name))
        return prog_fail(PROG_USAGE, "%s:%u: write %u needs a name of at most %d letters, digits, _ "
                                     "and -", path, (unsigned)w->lines.first, (unsigned)place + 1,
                         DXDB_NAME_SIZE_MAX);
    if (!w->statement_count)
        return prog_fail(PROG_USAGE, "%s:%u: write %s has no sql", path, (unsigned)w->lines.first, w->name);
    for (uint32_t i = 0; i < w->statement_count; i++)
        if (controls_transaction(w->statements[i]))
            return prog_fail(PROG_USAGE, "%s:%u: write %s: statement %u: a write is one transaction, "
                                         "so it has no such statements", path,
                             (unsigned)w->statement_lines[i], w->name, (unsigned)i + 1);
    if (!w->method) w->method = (uint8_t)(c->query_count + place + 1);
    if (dxdb_config_find(c, w->name, strlen(w->name)) >= 0)
        return prog_fail(PROG_USAGE, "%s:%u: a query and a write are named %s", path,
                         (unsigned)w->lines.name, w->name);
    for (uint32_t i = 0; i < c->query_count; i++)
        if (c->queries[i].method == w->method)
            return prog_fail(PROG_USAGE, "%s:%u: query %s and write %s have the same method, %u", path,
                             (unsigned)line_of_method(&w->lines),
                             c->queries[i].name, w->name, (unsigned)w->method);
    for (uint32_t i = 0; i < place; i++) {
        if (!strcmp(c->writes[i].name, w->name))
            return prog_fail(PROG_USAGE, "%s:%u: two writes are named %s", path, (unsigned)w->lines.name,
                             w->name);
        if (c->writes[i].method == w->method)
            return prog_fail(PROG_USAGE, "%s:%u: writes %s and %s have the same method, %u", path,
                             (unsigned)line_of_method(&w->lines),
                             c->writes[i].name, w->name, (unsigned)w->method);
    }
    return check_parameters("write", w->name, w->parameters, w->parameter_count, w->lines.parameters, path);
}

static int check_query(dxdb_config *c, uint32_t place, const char *path)
{
    dxdb_query_config *q = &c->queries[place];
    if (!q->name || !is_name(q->name))
        return prog_fail(PROG_USAGE, "%s:%u: query %u needs a name of at most %d letters, digits, _ "
                                     "and -", path, (unsigned)q->lines.first, (unsigned)place + 1,
                         DXDB_NAME_SIZE_MAX);
    if (!q->sql) return prog_fail(PROG_USAGE, "%s:%u: query %s has no sql", path, (unsigned)q->lines.first, q->name);
    if (!q->method) q->method = (uint8_t)(place + 1);
    for (uint32_t i = 0; i < place; i++) {
        if (!strcmp(c->queries[i].name, q->name))
            return prog_fail(PROG_USAGE, "%s:%u: two queries are named %s", path, (unsigned)q->lines.name,
                             q->name);
        if (c->queries[i].method == q->method)
            return prog_fail(PROG_USAGE, "%s:%u: queries %s and %s have the same method, %u", path,
                             (unsigned)line_of_method(&q->lines),
                             c->queries[i].name, q->name, (unsigned)q->method);
    }
    return check_parameters("query", q->name, q->parameters, q->parameter_count, q->lines.parameters, path);
}

/* libpq would refuse it with each attempt to connect. */
static int check_url(const reading *r, const char *url)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &why);
    const int status = options ? PROG_OK
        : prog_fail(PROG_USAGE, "%s:%u: [database] url: %.*s", r->path,
                    (unsigned)line_of(r, "database", "url"),
                    (int)strcspn(why ? why : "no memory", "\n"), why ? why : "no memory");
    PQconninfoFree(options);
    PQfreemem(why);
    return status;
}

static int check(reading *r)
{
    dxdb_config *c = r->config;
    const char *path = r->path;
    if (!c->url) return prog_fail(PROG_USAGE, "%s: [database] has no url", path);
    if (c->publication && !c->replicates)
        return prog_fail(PROG_USAGE, "%s:%u: [database] has a publication, but not source = "
                                     "\"replication\"", path, (unsigned)line_of(r, "database", "publication"));
    if (c->publication && !is_name(c->publication))
        return prog_fail(PROG_USAGE, "%s:%u: publication: must be a name of at most %d letters, digits, "
                                     "_ and -", path, (unsigned)line_of(r, "database", "publication"),
                         DXDB_NAME_SIZE_MAX);
    if (c->replicates && !c->publication) c->publication = prog_copy_text("dxdb");
    if (!c->hbtp && !c->http)
        return prog_fail(PROG_USAGE, "%s: [server] has neither hbtp nor http", path);
    if (!c->tls_cert != !c->tls_key)
        return prog_fail(PROG_USAGE, "%s:%u: [server] has tls_cert or tls_key, but not both", path,
                         (unsigned)line_of(r, "server", c->tls_cert ? "tls_cert" : "tls_key"));
    if ((c->issuer || c->audience) && !c->secret_file)
        return prog_fail(PROG_USAGE, "%s:%u: [auth] has no secret_file", path,
                         (unsigned)line_of(r, "auth", c->issuer ? "issuer" : "audience"));
    if (c->burst && !c->rate)
        return prog_fail(PROG_USAGE, "%s:%u: [limit] has no rate", path, (unsigned)line_of(r, "limit", "burst"));
    if (!c->query_count) return prog_fail(PROG_USAGE, "%s: there is no [[query]]", path);
    for (uint32_t i = 0; i < c->query_count; i++) {
        int status = check_query(c, i, path);
        if (status) return status;
    }
    for (uint32_t i = 0; i < c->write_count; i++) {
        int status = check_write(c, i, path);
        if (status) return status;
    }
    return check_url(r, c->url);
}

int dxdb_config_read(dxdb_config *c, const char *path)
{
    reading r = {.config = c, .path = path};
    char message[DXDB_TEXT_SIZE];
    uint32_t line = 0;
    char *document;
    size_t size;
    memset(c, 0, sizeof *c);
    c->connections = 1024;
    c->workers = 1;
    c->result_max = 1u << 20;
    c->request_ms = 5000;
    c->pool = 4;
    c->waiting_max = 1024;
    c->heartbeat_ms = 1000;
    c->cache_bytes = 64u << 20;
    c->cache_entries = 10000;
    c->ttl_ms = 300000;
    c->states = 1000;
    c->states_bytes = 64u << 20;
    c->lag_ms = 30000;
    int status = prog_toml_load("", path, &document, &size);
    if (!status) {
        status = prog_toml_read(document, size, parse_value, &r, &line, message, sizeof message);
        if (status == -1)
            status = prog_fail(PROG_USAGE, "%s:%u: %s", path, (unsigned)line, message);
    }
    free(document);
    return status ? status : check(&r);
}

void dxdb_config_free(dxdb_config *c)
{
    for (uint32_t i = 0; i < c->query_count; i++) {
        dxdb_query_config *q = &c->queries[i];
        for (uint32_t k = 0; k < q->parameter_count; k++) free(q->parameters[k]);
        for (uint32_t k = 0; k < q->table_count; k++) free(q->tables[k]);
        free(q->name);
        free(q->sql);
    }
    for (uint32_t i = 0; i < c->write_count; i++) {
        dxdb_write_config *w = &c->writes[i];
        for (uint32_t k = 0; k < w->statement_count; k++) free(w->statements[k]);
        for (uint32_t k = 0; k < w->parameter_count; k++) free(w->parameters[k]);
        free(w->name);
    }
    for (uint32_t i = 0; i < c->origin_count; i++) free(c->origins[i]);
    free(c->secret_file);
    free(c->tls_cert);
    free(c->tls_key);
    free(c->issuer);
    free(c->audience);
    free(c->hbtp);
    free(c->http);
    free(c->url);
    free(c->publication);
    memset(c, 0, sizeof *c);
}

int dxdb_config_find(const dxdb_config *c, const char *name, size_t size)
{
    for (uint32_t i = 0; i < c->query_count; i++)
        if (strlen(c->queries[i].name) == size && !memcmp(c->queries[i].name, name, size))
            return (int)i;
    return -1;
}

int dxdb_config_find_write(const dxdb_config *c, const char *name, size_t size)
{
    for (uint32_t i = 0; i < c->write_count; i++)
        if (strlen(c->writes[i].name) == size && !memcmp(c->writes[i].name, name, size))
            return (int)i;
    return -1;
}
