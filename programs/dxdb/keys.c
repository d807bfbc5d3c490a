/* Keys. See keys.h. */
#include "keys.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { CANDIDATES_MAX = 8, COLUMN_DIGITS = 8, KEY_DIGITS = 12 };

/* Types whose equality is that of the texts that dxdb_key_hash() makes. An InitPlan or SubPlan has
   numbers of its own. A plan does not print everything that decides about equality and rows, so there
   are no keys where one of these might be in it:
   - `=` of somebody else for such types: it is printed like the built-in one if it comes first
   - a collation under which different texts are equal: of a text, it is printed as a cast, but not by
     an Index Only Scan; of a varchar, which is compared as a text, it is not printed
   - a function that may read rows of its own. What is IMMUTABLE does not; what was inlined is a scan
   - a scan of a table that was renamed or dropped since */
const char dxdb_keys_sql[] =
    "WITH RECURSIVE node AS ("
    "  SELECT n FROM jsonb_path_query($1::jsonb, 'strict $.** ? (exists (@.\"Node Type\"))') AS n"
    "), scan AS ("
    "  SELECT n, c.oid FROM node"
    "  LEFT JOIN pg_catalog.pg_namespace s ON s.nspname = n->>'Schema'"
    "  LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid AND c.relname = n->>'Relation Name'"
    "  WHERE n ? 'Relation Name'"
    "), up AS ("
    "  SELECT DISTINCT oid, oid AS root FROM scan"
    "  UNION SELECT up.oid, i.inhparent FROM up"
    "    JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.root"
    "), own AS (" /* functions that may read rows */
    "  SELECT p.oid, p.proname FROM pg_catalog.pg_proc p"
    "  WHERE p.oid >= 16384 AND p.prorettype <> 'trigger'::regtype"
    "    AND (p.provolatile <> 'i' OR p.prokind IN ('a', 'w'))"
    "), whole AS ("
    "  SELECT replace(replace($1::jsonb::text, '\\\"', '\"'), '\\\\', '\\') AS plan,"
    "    EXISTS (SELECT FROM pg_catalog.pg_collation WHERE NOT collisdeterministic) AS folds"
    ") SELECT up.root, n->>'Node Type', n->>'Index Cond', n->>'Recheck Cond', n->>'Filter',"
    "  (SELECT string_agg(CASE WHEN a.atttypid IN (20, 21, 23) THEN 'i' WHEN a.atttypid = 2950"
    "     THEN 'u' WHEN a.atttypid = 1043 THEN 'v' ELSE 't' END || quote_ident(a.attname)"
    "     || E'\\t' || a.attname || E'\\n', '')"
    "   FROM pg_catalog.pg_attribute a"
    "   LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation"
    "   WHERE a.attrelid = up.root AND a.attnum > 0 AND NOT a.attisdropped"
    "     AND a.attname !~ '[[:cntrl:]]' AND (a.atttypid IN (20, 21, 23, 2950)"
    "       OR (a.atttypid = 25 AND l.collisdeterministic"
    "         AND NOT (whole.folds AND n->>'Node Type' = 'Index Only Scan'))"
    "       OR (a.atttypid = 1043 AND NOT whole.folds)))"
    " FROM whole, scan JOIN up USING (oid)"
    " WHERE NOT EXISTS (SELECT FROM node WHERE n ? 'Subplan Name'"
    "   OR n->>'Parent Relationship' IN ('InitPlan', 'SubPlan'))"
    " AND NOT EXISTS (SELECT FROM scan WHERE scan.oid IS NULL)"
    " AND to_regtype('text')::oid = 25"
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_operator o"
    "   JOIN pg_catalog.pg_type l ON l.oid = o.oprleft JOIN pg_catalog.pg_type r ON r.oid = o.oprright"
    "   WHERE o.oprname = '=' AND o.oid >= 16384"
    "     AND (o.oprleft IN (20, 21, 23, 25, 1043, 2950) OR l.typtype = 'p')"
    "     AND (o.oprright IN (20, 21, 23, 25, 1043, 2950) OR r.typtype = 'p'))"
    " AND NOT EXISTS (SELECT FROM own WHERE position(quote_ident(proname) || '(' IN whole.plan) > 0)"
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_operator o JOIN own ON own.oid = o.oprcode"
    "   WHERE position(o.oprname IN whole.plan) > 0)"
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_cast k JOIN own ON own.oid = k.castfunc"
    "   WHERE position('::' IN whole.plan) > 0)"
    " AND whole.plan !~ '(_to_xml|_to_xmlschema|_to_xml_and_xmlschema|ts_stat|ts_rewrite)\\('";

static uint64_t hash_text(const char *text, size_t size, int digits)
{
    uint8_t hash[DX_SHA256_SIZE];
    uint64_t value = 0;
    dx_sha256_hash(text, size, hash);
    for (int i = 0; i < digits / 2; i++) value = value << 8 | hash[i];
    return value;
}

void dxdb_keys_put_explain(dxdb_text *t, uint32_t parameter_count)
{
    dxdb_text_add(t, "EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) EXECUTE described");
    for (uint32_t i = 0; i < parameter_count; i++) dxdb_text_add(t, i ? ", NULL" : "(NULL");
    dxdb_text_put(t, ")", parameter_count ? 1 : 0);
    dxdb_text_put(t, "", 1);
}

/* >>conditions --------------------------------------------------------------------
   The text of a condition, as PostgreSQL prints it: `(u.id = $1)`, `((u.id = $1) AND (u.v > 5))`,
   `((u.name)::text = $2)`. Whatever has another form is no key. */
typedef struct condition {
    const char *text;
    size_t      size;
} condition;

/* The end of the quoted text or identifier at the begin of c. A quote in it is doubled. */
static size_t skip_quoted(condition c)
{
    const char quote = c.text[0];
    size_t at = 1;
    while (at < c.size) {
        if (c.text[at++] != quote) continue;
        if (at == c.size || c.text[at] != quote) return at;
        at++;
    }
    return at;
}

/* The end of the first part of a conjunction: the position of " AND " outside of parentheses and
   quotes, or the size. */
static size_t skip_conjunct(condition c)
{
    static const char word[] = " AND ";
    int depth = 0;
    for (size_t at = 0; at < c.size;) {
        const condition rest = {c.text + at, c.size - at};
        const char ch = *rest.text;
        if (ch == '\'' || ch == '"') {
            at += skip_quoted(rest);
            continue;
        }
        if (!depth && rest.size >= sizeof word - 1 && !memcmp(rest.text, word, sizeof word - 1))
            return at;
        depth += (ch == '(') - (ch == ')');
        at++;
    }
    return c.size;
}

/* Remove parentheses around the whole. */
static bool unwrap(condition *c)
{
    int depth = 0;
    if (c->size < 2 || c->text[0] != '(') return false;
    for (size_t at = 0; at < c->size;) {
        const char ch = c->text[at];
        if (ch == '\'' || ch == '"') {
            const condition rest = {c->text + at, c->size - at};
            at += skip_quoted(rest);
            continue;
        }
        depth += (ch == '(') - (ch == ')');
        at++;
        if (!depth && at < c->size) return false;
    }
    c->text++;
    c->size -= 2;
    return true;
}

/* The size of the identifier at the begin of c; 0: it does not begin with one. */
static size_t skip_name(condition c)
{
    size_t at = 0;
    if (c.size && c.text[0] == '"') return skip_quoted(c);
    while (at < c.size && (isalnum((unsigned char)c.text[at]) || c.text[at] == '_' || c.text[at] == '$'))
        at++;
    return at;
}

/* Is it a column, with or without the name of its table? Then *name is that of the column. */
static bool is_column(condition c, condition *name)
{
    size_t size = skip_name(c);
    if (size && size < c.size && c.text[size] == '.') {
        c.text += size + 1;
        c.size -= size + 1;
        size = skip_name(c);
    }
    *name = c;
    return size > 0 && size == c.size;
}

typedef struct candidate {
    condition column; /* as it is quoted */
    bool      is_cast; /* to text */
    uint32_t  parameter;
} candidate;

/* Is it COLUMN = PARAMETER? */
static bool parse_equation(condition c, candidate *found)
{
    static const char equals[] = " = $", cast[] = "::text";
    const size_t cast_size = sizeof cast - 1;
    size_t digits = 0;
    (void)unwrap(&c);
    while (digits < c.size && isdigit((unsigned char)c.text[c.size - 1 - digits])) digits++;
    if (!digits || digits > 3 || c.size < digits + sizeof equals - 1) return false;
    found->parameter = (uint32_t)strtoul(c.text + c.size - digits, NULL, 10) - 1;
    c.size -= digits + sizeof equals - 1;
    if (memcmp(c.text + c.size, equals, sizeof equals - 1)) return false;
    found->is_cast = c.size > cast_size && !memcmp(c.text + c.size - cast_size, cast, cast_size);
    if (found->is_cast) {
        c.size -= cast_size;
        if (!unwrap(&c)) return false;
    }
    return is_column(c, &found->column);
}

/* >>finding a key ------------------------------------------------------------------ */
char dxdb_key_kind(uint32_t type)
{
    switch (type) {
    case 20: case 21: case 23: return 'i';
    case 25: case 1043: return 't';
    case 2950: return 'u';
    default: return 0;
    }
}

/* The name and kind of a column that may be a key, from the list of dxdb_keys_sql. */
static bool find_column(const char *columns, const candidate *c, dxdb_key *key)
{
    while (*columns) {
        const char *quoted = columns + 1, *tab = strchr(columns, '\t');
        const char *end = tab ? strchr(tab, '\n') : NULL;
        if (!end) return false;
        if ((size_t)(tab - quoted) == c->column.size && !memcmp(quoted, c->column.text, c->column.size)) {
            key->kind = *columns;
            snprintf(key->name, sizeof key->name, "%.*s", (int)(end - tab - 1), tab + 1);
            if (*columns == 'v') key->kind = 't';
            return !c->is_cast || *columns == 'v'; /* the cast of a text is a collation */
        }
        columns = end + 1;
    }
    return false;
}

/* Append the keys that a condition has. */
static void add_keys(const char *text, const char *columns, const Oid *types,
                     uint32_t parameter_count, dxdb_key *keys, uint32_t *count)
{
    condition c = {text, strlen(text)};
    (void)unwrap(&c);
    while (c.size && *count < CANDIDATES_MAX) {
        const size_t size = skip_conjunct(c);
        const condition one = {c.text, size};
        dxdb_key *key = &keys[*count];
        candidate found;
        if (parse_equation(one, &found) && found.parameter < parameter_count &&
            find_column(columns, &found, key) && key->kind == dxdb_key_kind(types[found.parameter])) {
            key->parameter = found.parameter;
            key->column = (uint32_t)hash_text(key->name, strlen(key->name), COLUMN_DIGITS);
            ++*count;
        }
        const size_t used = size < c.size ? size + strlen(" AND ") : size;
        c.text += used;
        c.size -= used;
    }
}

/* The keys that one scan has. */
static uint32_t find_scan_keys(const PGresult *scans, int row, const Oid *types,
                               uint32_t parameter_count, dxdb_key *keys)
{
    static const char *const kinds[] = {"Seq Scan", "Index Scan", "Index Only Scan",
                                        "Bitmap Heap Scan"};
    uint32_t count = 0;
    bool is_known = false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        is_known = is_known || !strcmp(PQgetvalue(scans, row, 1), kinds[i]);
    for (int i = 2; is_known && i <= 4; i++)
        add_keys(PQgetvalue(scans, row, i), PQgetvalue(scans, row, 5), types, parameter_count, keys,
                 &count);
    return count;
}

static bool is_among(const dxdb_key *keys, uint32_t count, const dxdb_key *key)
{
    for (uint32_t i = 0; i < count; i++)
        if (keys[i].parameter == key->parameter && !strcmp(keys[i].name, key->name)) return true;
    return false;
}

void dxdb_keys_find(const PGresult *scans, Oid root, const Oid *types, uint32_t parameter_count,
                    dxdb_key *key)
{
    dxdb_key keys[CANDIDATES_MAX], others[CANDIDATES_MAX];
    uint32_t count = 0;
    bool is_first = true;
    memset(key, 0, sizeof *key);
    for (int row = 0; row < PQntuples(scans); row++) {
        if ((Oid)strtoul(PQgetvalue(scans, row, 0), NULL, 10) != root) continue;
        const uint32_t found = find_scan_keys(scans, row, types, parameter_count,
                                              is_first ? keys : others);
        uint32_t kept = 0;
        for (uint32_t i = 0; !is_first && i < count; i++)
            if (is_among(others, found, &keys[i])) keys[kept++] = keys[i];
        count = is_first ? found : kept;
        is_first = false;
    }
    if (count) *key = keys[0];
}

/* >>values -------------------------------------------------------------------------- */
/* An integer without zeros and signs that mean nothing. False: in another form. */
static bool write_integer(const char *value, char *out, size_t capacity)
{
    const bool is_negative = *value == '-';
    if (*value == '-' || *value == '+') value++;
    while (value[0] == '0' && isdigit((unsigned char)value[1])) value++;
    const size_t size = strlen(value);
    if (!size || size + 2 > capacity) return false;
    for (size_t i = 0; i < size; i++)
        if (!isdigit((unsigned char)value[i])) return false;
    snprintf(out, capacity, "%s%s", is_negative && strcmp(value, "0") ? "-" : "", value);
    return true;
}

/* A uuid in its usual form, in lower case. False: in another form. */
static bool write_uuid(const char *value, char *out, size_t capacity)
{
    const size_t size = strlen(value);
    if (size != 36 || size >= capacity) return false;
    for (size_t i = 0; i < size; i++) {
        const bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_dash ? value[i] != '-' : !isxdigit((unsigned char)value[i])) return false;
        out[i] = (char)tolower((unsigned char)value[i]);
    }
    out[size] = 0;
    return true;
}

uint64_t dxdb_key_hash_text(const char *text, size_t size) { return hash_text(text, size, KEY_DIGITS); }

bool dxdb_key_hash(const dxdb_key *key, const char *const *values, uint64_t *hash)
{
    const char *value = key->kind ? values[key->parameter] : NULL;
    char text[64];
    if (!value) return false;
    if (key->kind == 'i' && !write_integer(value, text, sizeof text)) return false;
    if (key->kind == 'u' && !write_uuid(value, text, sizeof text)) return false;
    if (key->kind != 't') value = text;
    *hash = hash_text(value, strlen(value), KEY_DIGITS) + 1;
    return true;
}

/* >>changes ------------------------------------------------------------------------- */
static bool parse_digits(const char *text, int digits, uint64_t *value)
{
    *value = 0;
    for (int i = 0; i < digits; i++) {
        const char ch = text[i];
        if (!((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'f'))) return false;
        *value = *value << 4 | (uint64_t)(ch <= '9' ? ch - '0' : ch - 'a' + 10);
    }
    return true;
}

/* Is it a list of columns with their keys? */
static bool has_keys(const char *text)
{
    uint64_t value;
    if (*text != ' ') return false;
    while (*text == ' ') {
        if (!parse_digits(text + 1, COLUMN_DIGITS, &value) || text[1 + COLUMN_DIGITS] != ':') return false;
        text += 2 + COLUMN_DIGITS;
        while (parse_digits(text, KEY_DIGITS, &value)) text += KEY_DIGITS;
    }
    return !*text;
}

void dxdb_change_parse(dxdb_change *change, const char *payload)
{
    char *end;
    change->member = (Oid)strtoul(payload, &end, 10);
    change->keys = end;
    change->is_whole = !has_keys(end);
}

bool dxdb_change_has_column(const dxdb_change *change, uint32_t column)
{
    uint64_t value = 0;
    const char *at = change->is_whole ? NULL : change->keys;
    while (at && *at && parse_digits(at + 1, COLUMN_DIGITS, &value) && value != column)
        at = strchr(at + 1, ' ');
    return at && *at && value == column;
}

bool dxdb_change_next(const dxdb_change *change, const char **at, uint32_t *column, uint64_t *hash)
{
    uint64_t value;
    if (change->is_whole) return false;
    if (!*at) *at = change->keys;
    while (**at == ' ') {
        (void)parse_digits(*at + 1, COLUMN_DIGITS, &value);
        *column = (uint32_t)value;
        *at += 2 + COLUMN_DIGITS;
    }
    if (!**at) return false;
    (void)parse_digits(*at, KEY_DIGITS, &value);
    *at += KEY_DIGITS;
    *hash = value + 1;
    return true;
}
