/* The configuration. See config.h. */
#include "config.h"

#include "../../common/toml.h"
#include "../net/address.h"
#include "../net/join.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INVALID "INVALID_CONFIG: "

typedef enum kind { TEXT, NUMBER, FRACTION, SWITCH } kind;

/* A key of a table, and its field. */
typedef struct key {
    const char *table; /* "": above all tables */
    const char *name;
    kind        kind;
    size_t      at;
    uint64_t    min;
    uint64_t    max;
    double      above;   /* FRACTION: greater than this, at most `most` */
    double      most;
    const char *choices; /* TEXT: separated by spaces; the first one is what this version does */
    const char *later;   /* SWITCH: the reason why true is refused; NULL: it is not */
    const char *text;    /* the defaults */
    uint64_t    number;
    double      fraction;
} key;

#define AT(field) offsetof(wan_config, field)
#define IS_NUMBER(table, name, field, min, max, number) \
    {table, name, NUMBER, AT(field), min, max, 0, 0, NULL, NULL, NULL, number, 0}
#define IS_FRACTION(table, name, field, above, most, fraction) \
    {table, name, FRACTION, AT(field), 0, 0, above, most, NULL, NULL, NULL, 0, fraction}
#define IS_SWITCH(table, name, field, number, later) \
    {table, name, SWITCH, AT(field), 0, 0, 0, 0, NULL, later, NULL, number, 0}
#define IS_TEXT(table, name, field, choices, text) \
    {table, name, TEXT, AT(field), 0, 0, 0, 0, choices, NULL, text, 0, 0}

static const char no_phase[] = "unsupported: it belongs to a later phase";
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

static const key keys[] = {
    IS_SWITCH("", "enabled", enabled, 1, NULL),
    IS_NUMBER("", "drain_s", drain_s, 1, 3600, 30),
    IS_TEXT("transport", "mode", mode, "tcp rdma hybrid", "tcp"),
    IS_NUMBER("transport", "min_streams", min_streams, 1, WAN_STREAMS_MAX, 16),
    IS_NUMBER("transport", "max_streams", max_streams, 1, WAN_STREAMS_MAX, WAN_STREAMS_MAX),
    IS_NUMBER("transport", "initial_streams", initial_streams, 1, WAN_STREAMS_MAX, 32),
    IS_FRACTION("transport", "stream_scaling_factor", stream_scaling_factor, 1, 10, 1.5),
    IS_NUMBER("transport", "connect_timeout_ms", connect_timeout_ms, 1000, 300000, 30000),
    IS_NUMBER("transport", "timeout_ms", timeout_ms, 1000, 3600000, 60000),
    IS_NUMBER("transport", "send_buffer_bytes", send_buffer_bytes, 1024, GIB, 16 * MIB),
    IS_NUMBER("transport", "recv_buffer_bytes", recv_buffer_bytes, 1024, GIB, 16 * MIB),
    IS_SWITCH("transport", "pacing", pacing, 1, NULL),
    IS_NUMBER("transport", "pacing_rate", pacing_rate, MIB, 100 * GIB, 1000 * MIB),
    IS_TEXT("transport", "congestion_control", congestion_control, NULL, NULL),
    IS_TEXT("transport", "tls_cert", tls_cert, NULL, NULL),
    IS_TEXT("transport", "tls_key", tls_key, NULL, NULL),
    IS_TEXT("transport", "tls_ca", tls_ca, NULL, NULL),
    IS_SWITCH("transport", "rdma", rdma, 0, "unsupported: this version has TCP only"),
    IS_TEXT("compression", "algorithm", algorithm, "zstd lz4 snappy", "zstd"),
    IS_NUMBER("compression", "level", level, 0, 3, 2),
    IS_SWITCH("compression", "delta", delta, 1, NULL),
    IS_TEXT("compression", "delta_algorithm", delta_algorithm, "auto xor rsync bsdiff", "auto"),
    IS_SWITCH("compression", "dictionary", dictionary, 0, "unsupported: mirrors train no dictionaries"),
    IS_NUMBER("compression", "dictionary_update_s", dictionary_update_s, 60, 604800, 86400),
    IS_SWITCH("compression", "adaptive", adaptive, 0, NULL),
    IS_FRACTION("compression", "adaptive_threshold", adaptive_threshold, 1, 100, 15),
    IS_FRACTION("compression", "min_ratio", min_ratio, 1, 100, 1.1),
    IS_SWITCH("compression", "baseline_sync", baseline_sync, 0,
              "unsupported: a mirror compares its regions with the receiver's when it connects"),
    IS_NUMBER("compression", "baseline_sync_ms", baseline_sync_ms, 100, 60000, 5000),
    IS_NUMBER("compression", "pruning_s", pruning_s, 60, 86400, 600),
    IS_NUMBER("health", "interval_ms", health_ms, 100, 3600000, 10000),
    IS_NUMBER("metrics", "interval_ms", metrics_ms, 100, 3600000, 5000),
    IS_TEXT("metrics", "address", metrics_address, NULL, NULL),
    IS_NUMBER("recovery", "tries", tries, 0, 100, 3),
    IS_NUMBER("recovery", "backoff_ms", backoff_ms, 10, 60000, 1000),
    IS_NUMBER("breaker", "failures", failures, 1, 1000, 5),
    IS_NUMBER("breaker", "open_ms", open_ms, 100, 3600000, 30000),
    IS_SWITCH("prediction", "enabled", prediction, 0, no_phase),
    IS_TEXT("prediction", "model", model, "lstm", "lstm"),
    IS_NUMBER("prediction", "update_interval_s", model_update_s, 1, 86400, 300),
    IS_NUMBER("prediction", "horizon_s", horizon_s, 1, 3600, 30),
    IS_NUMBER("prediction", "history_s", history_s, 1, 604800, 3600),
    IS_FRACTION("prediction", "confidence", confidence, 0, 1, 0.95),
    IS_SWITCH("partitioner", "enabled", partitioner, 0, no_phase),
    IS_SWITCH("sync", "enabled", sync, 0, no_phase),
    IS_TEXT("sync", "conflict", conflict, "lww", "lww"),
    IS_NUMBER("sync", "interval_ms", sync_interval_ms, 10, 3600000, 1000),
    IS_NUMBER("sync", "timeout_ms", sync_timeout_ms, 10, 3600000, 5000),
    IS_SWITCH("consensus", "enabled", consensus, 0, no_phase),
    IS_TEXT("consensus", "algorithm", consensus_algorithm, "raft", "raft"),
    IS_NUMBER("consensus", "min_nodes", nodes_min, 1, 1000, 3),
    IS_NUMBER("consensus", "election_timeout_ms", election_ms, 10, 60000, 150),
    IS_NUMBER("consensus", "heartbeat_ms", heartbeat_ms, 1, 60000, 50),
    IS_SWITCH("resilience", "enabled", resilience, 0, no_phase),
};

enum { KEY_COUNT = sizeof keys / sizeof *keys };

enum { FAULTS_MAX = 20 }; /* that are said */

typedef struct reading {
    wan_config *config;
    const char *path;
    unsigned    faults;
    uint32_t    line;   /* of the last one: the values of a list have one */
} reading;

static void *field_of(wan_config *c, const key *k) { return (char *)c + k->at; }
static char **text_of(wan_config *c, const key *k) { return field_of(c, k); }

static void set_defaults(wan_config *c)
{
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const key *k = &keys[i];
        switch (k->kind) {
        case TEXT: *text_of(c, k) = prog_copy_text(k->text); break;
        case NUMBER: *(uint64_t *)field_of(c, k) = k->number; break;
        case FRACTION: *(double *)field_of(c, k) = k->fraction; break;
        default: *(bool *)field_of(c, k) = k->number != 0; break;
        }
    }
}

/* >>values --------------------------------------------------------------- */
/* Reading goes on after a fault, so that all of them are said, and ends after FAULTS_MAX. */
static int refuse(reading *r, const prog_toml_value *v, const char *why)
{
    if (r->faults && r->line == v->line) return PROG_OK;
    r->line = v->line;
    const int status = prog_fail(PROG_USAGE, INVALID "%s:%u: %s: %s", r->path, (unsigned)v->line,
                                 v->keys[v->depth - 1], why);
    return ++r->faults < FAULTS_MAX ? PROG_OK : status;
}

static int parse_text(reading *r, const prog_toml_value *v, const char *choices, char **out)
{
    char why[160];
    if (choices && v->kind == PROG_TOML_TEXT && *v->text) {
        const size_t size = strlen(v->text);
        const char *at = strchr(v->text, ' ') ? NULL : strstr(choices, v->text);
        while (at && ((at > choices && at[-1] != ' ') || (at[size] && at[size] != ' ')))
            at = strstr(at + 1, v->text);
        (void)snprintf(why, sizeof why, at ? "unsupported: '%s'; this version has '%.*s'"
                                           : "'%s' is unknown; give '%.*s'",
                       v->text, (int)strcspn(choices, " "), choices);
        if (at != choices) return refuse(r, v, why);
    }
    const char *reason = prog_toml_text(v, out);
    return reason ? refuse(r, v, reason) : PROG_OK;
}

static int parse_number(reading *r, const prog_toml_value *v, uint64_t min, uint64_t max,
                        uint64_t *out)
{
    char why[PROG_TOML_WHY_SIZE];
    const char *reason = prog_toml_number(v, min, max, out, why);
    return reason ? refuse(r, v, reason) : PROG_OK;
}

static int parse_switch(reading *r, const prog_toml_value *v, const char *later, bool *out)
{
    if (v->kind != PROG_TOML_BOOL) return refuse(r, v, "must be true or false");
    if (later && v->number) return refuse(r, v, later);
    *out = v->number != 0;
    return PROG_OK;
}

static int parse_fraction(reading *r, const prog_toml_value *v, const key *k, double *out)
{
    char why[100];
    const bool is_number = v->kind == PROG_TOML_INTEGER || v->kind == PROG_TOML_FRACTION;
    if (is_number && v->fraction > k->above && v->fraction <= k->most) { /* NaN is refused, too */
        *out = v->fraction;
        return PROG_OK;
    }
    (void)snprintf(why, sizeof why, "must be a number above %g and at most %g", k->above, k->most);
    return refuse(r, v, why);
}

static int parse_key(reading *r, const prog_toml_value *v, const key *k)
{
    void *field = field_of(r->config, k);
    switch (k->kind) {
    case TEXT: return parse_text(r, v, k->choices, field);
    case NUMBER: return parse_number(r, v, k->min, k->max, field);
    case FRACTION: return parse_fraction(r, v, k, field);
    default: return parse_switch(r, v, k->later, field);
    }
}

static int parse_mirror(reading *r, const prog_toml_value *v)
{
    wan_config *c = r->config;
    const uint32_t place = v->places[0];
    const char *name = v->keys[1];
    if (place >= WAN_MIRRORS_MAX) return refuse(r, v, "more than 64 mirrors");
    wan_mirror_config *m = &c->mirrors[place];
    if (place >= c->mirror_count) {
        c->mirror_count = place + 1;
        m->every_s = 1;
    }
    if (!strcmp(name, "name")) return parse_text(r, v, NULL, &m->name);
    if (!strcmp(name, "file")) return parse_text(r, v, NULL, &m->file);
    if (!strcmp(name, "address")) return parse_text(r, v, NULL, &m->address);
    if (!strcmp(name, "as")) return parse_text(r, v, NULL, &m->as);
    if (!strcmp(name, "like")) return parse_text(r, v, NULL, &m->like);
    if (!strcmp(name, "every_s")) return parse_number(r, v, 1, 86400, &m->every_s);
    if (!strcmp(name, "tls_name")) return parse_text(r, v, NULL, &m->tls_name);
    return refuse(r, v, "no such key in [[mirror]]");
}

static int parse_receiver(reading *r, const prog_toml_value *v)
{
    wan_config *c = r->config;
    const uint32_t place = v->places[0];
    const char *name = v->keys[1];
    if (place >= WAN_RECEIVERS_MAX) return refuse(r, v, "more than 64 receivers");
    wan_receiver_config *q = &c->receivers[place];
    if (place >= c->receiver_count) {
        c->receiver_count = place + 1;
        q->size_max = (uint64_t)1 << 40;
    }
    if (!strcmp(name, "name")) return parse_text(r, v, NULL, &q->name);
    if (!strcmp(name, "address")) return parse_text(r, v, NULL, &q->address);
    if (!strcmp(name, "out")) return parse_text(r, v, NULL, &q->out);
    if (!strcmp(name, "force")) return parse_switch(r, v, NULL, &q->force);
    if (!strcmp(name, "size_max")) return parse_number(r, v, 1, (uint64_t)1 << 43, &q->size_max);
    if (!strcmp(name, "tls_name")) return parse_text(r, v, NULL, &q->tls_name);
    return refuse(r, v, "no such key in [[receiver]]");
}

static bool is_table(const char *name)
{
    bool is = !strcmp(name, "mirror") || !strcmp(name, "receiver");
    for (size_t i = 0; i < KEY_COUNT && !is; i++) is = *name && !strcmp(keys[i].table, name);
    return is;
}

static int parse_value(void *user, const prog_toml_value *v)
{
    reading *r = user;
    const char *table = v->depth == 2 ? v->keys[0] : "";
    const char *name = v->keys[v->depth - 1];
    if (v->kind == PROG_TOML_EMPTY && v->depth == 1 && !v->listed[0] && is_table(name))
        return PROG_OK; /* nothing is set */
    if (v->kind == PROG_TOML_EMPTY && v->depth == 1 && is_table(name)) return refuse(r, v, "has no keys");
    const bool many = v->depth == 2 && (!strcmp(table, "mirror") || !strcmp(table, "receiver"));
    if (v->depth > 2) return refuse(r, v, "no such key");
    if (v->listed[v->depth - 1]) return refuse(r, v, "must not be a list");
    if (many && !v->listed[0]) return refuse(r, v, "must be in [[mirror]] or [[receiver]]");
    if (v->depth == 2 && !many && v->listed[0]) return refuse(r, v, "must be in a table, not in a list");
    if (many) return *table == 'm' ? parse_mirror(r, v) : parse_receiver(r, v);
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (!strcmp(keys[i].table, table) && !strcmp(keys[i].name, name)) return parse_key(r, v, &keys[i]);
    return refuse(r, v, "no such key");
}

/* >>checks --------------------------------------------------------------- */
static int check_label(const wan_config *c, const char *path, const char *kind, uint32_t place,
                       const char *name)
{
    size_t size = name ? strlen(name) : 0;
    uint32_t same = 0;
    for (size_t i = 0; i < size; i++) {
        const char ch = name[i];
        const bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                           (ch >= '0' && ch <= '9') || ch == '_' || ch == '-' || ch == '.';
        if (!plain) size = 0;
    }
    if (!size || size > WAN_LABEL_MAX)
        return prog_fail(PROG_USAGE, INVALID "%s: %s %u needs a name of at most %d letters, digits, "
                                             "_, - and .", path, kind, (unsigned)place + 1, WAN_LABEL_MAX);
    for (uint32_t i = 0; i < c->mirror_count; i++)
        same += c->mirrors[i].name && !strcmp(c->mirrors[i].name, name);
    for (uint32_t i = 0; i < c->receiver_count; i++)
        same += c->receivers[i].name && !strcmp(c->receivers[i].name, name);
    if (same == 1) return PROG_OK;
    return prog_fail(PROG_USAGE, INVALID "%s: the name %s is given twice", path, name);
}

/* What can be said of a mirror or receiver before it starts. as: NULL: the name of the file. */
static int check_names(const char *path, const char *section, const char *name, const char *address, const char *as)
{
    const char *fault = wan_address_fault(address);
    if (fault) return prog_fail(PROG_USAGE, INVALID "%s: %s %s: address: '%s' %s", path, section, name, address, fault);
    fault = as ? wan_name_fault(as, strlen(as)) : NULL;
    if (fault) return prog_fail(PROG_USAGE, INVALID "%s: %s %s: as: %s", path, section, name, fault);
    return PROG_OK;
}

static int check_mirror(const wan_config *c, const char *path, uint32_t i)
{
    const wan_mirror_config *m = &c->mirrors[i];
    const int status = check_label(c, path, "mirror", i, m->name);
    if (status) return status;
    if (m->file && m->address) return check_names(path, "[[mirror]]", m->name, m->address, m->as);
    return prog_fail(PROG_USAGE, INVALID "%s: mirror %s has no %s", path, m->name, m->file ? "address" : "file");
}

static int check_receiver(const wan_config *c, const char *path, uint32_t i)
{
    const wan_receiver_config *q = &c->receivers[i];
    const int status = check_label(c, path, "receiver", i, q->name);
    if (status) return status;
    if (q->out && q->address) return check_names(path, "[[receiver]]", q->name, q->address, NULL);
    return prog_fail(PROG_USAGE, INVALID "%s: receiver %s has no %s", path, q->name, q->out ? "address" : "out");
}

/* Values that belong together. All faults are said. */
static int check(const wan_config *c, const char *path)
{
    int status = PROG_OK;
    if (c->min_streams > c->max_streams)
        status = prog_fail(PROG_USAGE, INVALID "%s: [transport] min_streams is above max_streams", path);
    else if (c->initial_streams < c->min_streams || c->initial_streams > c->max_streams)
        status = prog_fail(PROG_USAGE, INVALID "%s: [transport] initial_streams is not between min_streams "
                                               "and max_streams", path);
    if (c->heartbeat_ms >= c->election_ms)
        status = prog_fail(PROG_USAGE, INVALID "%s: [consensus] heartbeat_ms is not below "
                                               "election_timeout_ms", path);
    for (uint32_t i = 0; i < c->mirror_count; i++)
        if (check_mirror(c, path, i)) status = PROG_USAGE;
    for (uint32_t i = 0; i < c->receiver_count; i++)
        if (check_receiver(c, path, i)) status = PROG_USAGE;
    if (!c->mirror_count && !c->receiver_count)
        status = prog_fail(PROG_USAGE, INVALID "%s: there is neither a [[mirror]] nor a [[receiver]]", path);
    return status;
}

/* >>file ----------------------------------------------------------------- */
int wan_config_read(wan_config *c, const char *path)
{
    set_defaults(c);
    c->path = path;
#ifdef PROG_TOML
    reading r = {.config = c, .path = path};
    char message[256] = "";
    uint32_t line = 0;
    char *document;
    size_t size;
    int status = prog_toml_load(INVALID, path, &document, &size);
    if (!status) {
        status = prog_toml_read(document, size, parse_value, &r, &line, message, sizeof message);
        if (status == -1)
            status = prog_fail(PROG_USAGE, INVALID "%s:%u: %s", path, (unsigned)line, message);
    }
    free(document);
    if (!status && r.faults) status = PROG_USAGE;
    return status ? status : check(c, path);
#else
    (void)parse_value;
    (void)check;
    return prog_fail(PROG_SYSTEM, "%s cannot be read: this dxwan was built without toml++", path);
#endif
}

void wan_config_free(wan_config *c)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (keys[i].kind == TEXT) free(*text_of(c, &keys[i]));
    for (uint32_t i = 0; i < c->mirror_count; i++) {
        free(c->mirrors[i].name);
        free(c->mirrors[i].file);
        free(c->mirrors[i].address);
        free(c->mirrors[i].as);
        free(c->mirrors[i].tls_name);
        free(c->mirrors[i].like);
    }
    for (uint32_t i = 0; i < c->receiver_count; i++) {
        free(c->receivers[i].name);
        free(c->receivers[i].address);
        free(c->receivers[i].out);
        free(c->receivers[i].tls_name);
    }
    memset(c, 0, sizeof *c);
}

void wan_config_tls(const wan_config *c, wan_options *o)
{
    o->tls_cert = c->tls_cert;
    o->tls_key = c->tls_key;
    o->tls_ca = c->tls_ca;
}

/* >>comparison ----------------------------------------------------------- */
static bool same_text(const char *a, const char *b) { return a && b ? !strcmp(a, b) : a == b; }

static bool same_value(const key *k, wan_config *a, wan_config *b)
{
    switch (k->kind) {
    case TEXT: return same_text(*text_of(a, k), *text_of(b, k));
    case NUMBER: return *(uint64_t *)field_of(a, k) == *(uint64_t *)field_of(b, k);
    case FRACTION: return !memcmp(field_of(a, k), field_of(b, k), sizeof(double));
    default: return *(bool *)field_of(a, k) == *(bool *)field_of(b, k);
    }
}

const char *wan_config_differs(const wan_config *a, const wan_config *b)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (!same_value(&keys[i], (wan_config *)(uintptr_t)a, (wan_config *)(uintptr_t)b))
            return *keys[i].table ? keys[i].table : keys[i].name;
    return NULL;
}

bool wan_mirror_same(const wan_mirror_config *a, const wan_mirror_config *b)
{
    return same_text(a->name, b->name) && same_text(a->file, b->file) && same_text(a->as, b->as) &&
           same_text(a->address, b->address) && same_text(a->tls_name, b->tls_name) &&
           same_text(a->like, b->like) && a->every_s == b->every_s;
}

bool wan_receiver_same(const wan_receiver_config *a, const wan_receiver_config *b)
{
    return same_text(a->name, b->name) && same_text(a->address, b->address) &&
           same_text(a->out, b->out) && same_text(a->tls_name, b->tls_name) && a->size_max == b->size_max && a->force == b->force;
}
