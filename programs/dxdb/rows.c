/* Maps a query's columns to fields, and rows to records. See rows.h. */
#include "rows.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define US_PER_SECOND ((int64_t)1000000)
#define US_PER_DAY    (86400 * US_PER_SECOND)

dxdb_kind dxdb_kind_of(const char *name)
{
    static const struct {
        const char *name;
        dxdb_kind   kind;
    } kinds[] = {
        {"bool", DXDB_BOOL},           {"int2", DXDB_I16},   {"int4", DXDB_I32},
        {"int8", DXDB_I64},            {"oid", DXDB_U32},    {"float4", DXDB_F32},
        {"float8", DXDB_F64},          {"date", DXDB_DATE},  {"time", DXDB_TIME},
        {"timestamp", DXDB_TIMESTAMP}, {"uuid", DXDB_UUID},  {"bytea", DXDB_BYTEA},
        {"timestamptz", DXDB_TIMESTAMPTZ}, {"json", DXDB_JSON}, {"jsonb", DXDB_JSON},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i].name, name)) return kinds[i].kind;
    return DXDB_TEXT;
}

/* >>layout ---------------------------------------------------------------- */
/* The field code of a kind, and its count. */
static unsigned code_of(dxdb_kind kind, uint32_t *count)
{
    const unsigned optional = DX_TELEPORT_KIND_OPTIONAL << 4;
    *count = 1;
    switch (kind) {
    case DXDB_BOOL: return optional | DX_TELEPORT_TYPE_BOOL;
    case DXDB_I16: return optional | DX_TELEPORT_TYPE_I16;
    case DXDB_I32:
    case DXDB_DATE: return optional | DX_TELEPORT_TYPE_I32;
    case DXDB_I64:
    case DXDB_TIMESTAMP:
    case DXDB_TIMESTAMPTZ:
    case DXDB_TIME: return optional | DX_TELEPORT_TYPE_I64;
    case DXDB_U32: return optional | DX_TELEPORT_TYPE_U32;
    case DXDB_F32: return optional | DX_TELEPORT_TYPE_F32;
    case DXDB_F64: return optional | DX_TELEPORT_TYPE_F64;
    case DXDB_UUID:
        *count = 16;
        return DX_TELEPORT_KIND_ARRAY << 4 | DX_TELEPORT_TYPE_U8;
    case DXDB_BYTEA: return DX_TELEPORT_KIND_LIST << 4 | DX_TELEPORT_TYPE_U8;
    case DXDB_TEXT:
    case DXDB_JSON: break;
    }
    return DX_TELEPORT_KIND_STRING << 4;
}

bool dxdb_kind_has_flag(dxdb_kind kind, bool array)
{
    uint32_t count;
    return array || code_of(kind, &count) >> 4 != DX_TELEPORT_KIND_OPTIONAL;
}

/* Add a value of this kind, and its NAME_null. Returns the index of its field; -1: as
   dxdb_type_add(). */
static int add_value(dxdb_type *t, const char *name, dxdb_kind kind, const dxdb_type *element)
{
    char flag[DXDB_FIELD_NAME_MAX + 8];
    uint32_t count = 1;
    const unsigned code = element ? DX_TELEPORT_KIND_RECORDS << 4 : code_of(kind, &count);
    const int place = dxdb_type_add(t, name, code, count, element);
    if (place < 0 || !dxdb_kind_has_flag(kind, element != NULL)) return place;
    snprintf(flag, sizeof flag, "%s_null", name);
    return dxdb_type_add(t, flag, DX_TELEPORT_TYPE_BOOL, 1, NULL) < 0 ? -1 : place;
}

bool dxdb_rows_begin(dxdb_rows *rows, const char *query, uint32_t count, const char *const *names,
                     const dxdb_pg_type *types, char *why, size_t why_size)
{
    memset(rows, 0, sizeof *rows);
    dxdb_type_begin(&rows->type, query);
    dxdb_type_begin(&rows->row, "row");
    if (!count) {
        snprintf(why, why_size, "it has no columns");
        return false;
    }
    rows->columns = prog_alloc(count * sizeof *rows->columns);
    memset(rows->columns, 0, count * sizeof *rows->columns);
    for (uint32_t i = 0; i < count; i++) {
        dxdb_column *c = &rows->columns[i];
        rows->count++;
        c->pg = types[i];
        if (c->pg.element) {
            c->element = prog_alloc(sizeof *c->element);
            dxdb_type_begin(c->element, "element");
            (void)add_value(c->element, "value", c->pg.kind, NULL);
        }
        const int place = add_value(&rows->row, names[i], c->pg.kind, c->element);
        if (place < 0 && rows->row.count == DXDB_FIELDS_MAX) {
            snprintf(why, why_size, "it has %u columns: a row has at most %d fields, one for each column "
                     "and one more for each text, list and uuid", (unsigned)count, DXDB_FIELDS_MAX);
            return false;
        }
        if (place < 0) {
            snprintf(why, why_size, "column %u: %.64s: needs a name of its own (AS), of at most %d "
                     "bytes with _null", (unsigned)i + 1, names[i], DXDB_FIELD_NAME_MAX);
            return false;
        }
        snprintf(c->name, sizeof c->name, "%s", names[i]);
        c->field = (uint32_t)place;
    }
    return dxdb_type_add(&rows->type, "rows", DX_TELEPORT_KIND_RECORDS << 4, 1, &rows->row) == 0;
}

void dxdb_rows_free(dxdb_rows *rows)
{
    for (uint32_t i = 0; i < rows->count; i++) {
        if (rows->columns[i].element) dxdb_type_free(rows->columns[i].element);
        free(rows->columns[i].element);
    }
    free(rows->columns);
    dxdb_type_free(&rows->row);
    dxdb_type_free(&rows->type);
    memset(rows, 0, sizeof *rows);
}

/* >>values ----------------------------------------------------------------
   PostgreSQL's text formats, with the settings of pool.c. Each parser consumes the whole text, or
   returns false. */
static bool parse_whole(const char *text, int64_t min, int64_t max, int64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return !errno && end != text && !*end && *out >= min && *out <= max;
}

/* Parse exactly `digits` digits; with `more`, at least that many. NULL: there are fewer. */
static const char *parse_digits(const char *text, int digits, bool more, int64_t *out)
{
    int n = 0;
    for (*out = 0; isdigit((unsigned char)text[n]) && (n < digits || more) && n < 9; n++)
        *out = *out * 10 + (text[n] - '0');
    return n >= digits ? text + n : NULL;
}

/* Days from 1970-01-01 to a day of the proleptic Gregorian calendar. */
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    const int64_t era = (year >= 0 ? year : year - 399) / 400;
    const int64_t of_era = year - era * 400;
    const int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    const int64_t days = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    return era * 146097 + days - 719468;
}

/* Parse "2026-11-24" into days; the caller has recognized a year BC. */
static const char *parse_day(const char *text, bool before_christ, int64_t *days)
{
    int64_t year, month, day;
    const char *p = parse_digits(text, 4, true, &year);
    if (!p || *p != '-' || !(p = parse_digits(p + 1, 2, false, &month))) return NULL;
    if (*p != '-' || !(p = parse_digits(p + 1, 2, false, &day))) return NULL;
    *days = days_from_civil(before_christ ? 1 - year : year, month, day);
    return p;
}

/* Parse "12:34:56.789" into microseconds. */
static const char *parse_clock(const char *text, int64_t *us)
{
    int64_t hour, minute, second, fraction = 0;
    const char *p = parse_digits(text, 2, false, &hour);
    if (!p || *p != ':' || !(p = parse_digits(p + 1, 2, false, &minute))) return NULL;
    if (*p != ':' || !(p = parse_digits(p + 1, 2, false, &second))) return NULL;
    if (*p == '.') {
        const char *begin = ++p;
        p = parse_digits(p, 1, true, &fraction);
        if (!p || p - begin > 6) return NULL;
        for (int n = (int)(p - begin); n < 6; n++) fraction *= 10;
    }
    *us = ((hour * 60 + minute) * 60 + second) * US_PER_SECOND + fraction;
    return p;
}

static bool parse_infinity(const char *text, int64_t min, int64_t max, int64_t *out)
{
    if (!strcmp(text, "infinity")) *out = max;
    else if (!strcmp(text, "-infinity")) *out = min;
    else return false;
    return true;
}

/* Does the text end in " BC"? Then *size excludes that. */
static bool ends_bc(const char *text, size_t *size)
{
    *size = strlen(text);
    if (*size < 3 || strcmp(text + *size - 3, " BC")) return false;
    *size -= 3;
    return true;
}

static bool parse_date(const char *text, int64_t *out)
{
    size_t size;
    if (parse_infinity(text, INT32_MIN, INT32_MAX, out)) return true;
    const bool bc = ends_bc(text, &size);
    return parse_day(text, bc, out) == text + size && *out > INT32_MIN && *out < INT32_MAX;
}

static bool parse_timestamp(const char *text, bool zone, int64_t *out)
{
    int64_t days, us;
    size_t size;
    if (parse_infinity(text, INT64_MIN, INT64_MAX, out)) return true;
    const bool bc = ends_bc(text, &size);
    const char *p = parse_day(text, bc, &days);
    if (!p || *p != ' ' || !(p = parse_clock(p + 1, &us))) return false;
    if (zone) {
        if (strncmp(p, "+00", 3)) return false; /* the session's time zone is UTC */
        p += 3;
    }
    *out = days * US_PER_DAY + us;
    return p == text + size;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

/* Parse pairs of hexadecimal digits to the end, skipping '-' between them. Returns the number of
   bytes; -1: malformed. */
static int64_t parse_hex(const char *text, uint8_t *out)
{
    int64_t count = 0;
    for (; *text; text++) {
        if (*text == '-') continue;
        const int high = digit_of(text[0]);
        const int low = high < 0 ? -1 : digit_of(text[1]);
        if (low < 0) return -1;
        out[count++] = (uint8_t)(high << 4 | low);
        text++;
    }
    return count;
}

static bool parse_float(const char *text, bool is_double, uint64_t *bits)
{
    char *end;
    *bits = 0;
    if (is_double) {
        const double value = strtod(text, &end);
        memcpy(bits, &value, sizeof value);
    } else {
        const float value = strtof(text, &end);
        uint32_t bits32;
        memcpy(&bits32, &value, sizeof value);
        *bits = bits32;
    }
    return end != text && !*end;
}

/* Parse a number of this kind into the bits of its scalar. */
static bool parse_scalar(dxdb_kind kind, const char *text, uint64_t *bits)
{
    int64_t value = 0;
    bool good = false;
    switch (kind) {
    case DXDB_BOOL:
        value = *text == 't';
        good = (*text == 't' || *text == 'f') && !text[1];
        break;
    case DXDB_I16: good = parse_whole(text, INT16_MIN, INT16_MAX, &value); break;
    case DXDB_I32: good = parse_whole(text, INT32_MIN, INT32_MAX, &value); break;
    case DXDB_I64: good = parse_whole(text, INT64_MIN, INT64_MAX, &value); break;
    case DXDB_U32: good = parse_whole(text, 0, UINT32_MAX, &value); break;
    case DXDB_DATE: good = parse_date(text, &value); break;
    case DXDB_TIMESTAMP: good = parse_timestamp(text, false, &value); break;
    case DXDB_TIMESTAMPTZ: good = parse_timestamp(text, true, &value); break;
    case DXDB_TIME: {
        const char *end = parse_clock(text, &value);
        good = end && !*end;
        break;
    }
    case DXDB_F32:
    case DXDB_F64: return parse_float(text, kind == DXDB_F64, bits);
    case DXDB_TEXT:
    case DXDB_JSON:
    case DXDB_UUID:
    case DXDB_BYTEA: break;
    }
    *bits = (uint64_t)value;
    return good;
}

/* >>writing ---------------------------------------------------------------- */
/* Write a list of bytes, from hexadecimal digits after "\x". */
static bool write_bytea(dxdb_writer *w, size_t at, const char *text)
{
    if (text[0] != '\\' || text[1] != 'x') return false;
    text += 2;
    const size_t digits = strlen(text);
    if (!digits) return true;
    if (digits % 2 || digits / 2 > UINT32_MAX) return false;
    const size_t begin = dxdb_writer_put(w, at, NULL, (uint32_t)(digits / 2), 1, 1);
    if (w->failed) return true;
    return parse_hex(text, w->bytes + begin) == (int64_t)(digits / 2);
}

static bool write_uuid(dxdb_writer *w, size_t at, const char *text)
{
    uint8_t bytes[32];
    if (strlen(text) != 36 || parse_hex(text, bytes) != 16) return false;
    if (!w->failed) memcpy(w->bytes + at, bytes, 16);
    return true;
}

/* Write a value that is not an array into the field of a record at `record`. NULL: text. */
static bool write_value(dxdb_writer *w, size_t record, const dxdb_type *t, uint32_t field,
                        dxdb_kind kind, const char *text)
{
    const dxdb_field *f = &t->fields[field];
    const size_t at = record + f->offset;
    uint64_t bits;
    if (!text) {
        if (dxdb_kind_has_flag(kind, false)) dxdb_writer_set(w, record + f[1].offset, 1, 1);
        return true;
    }
    switch (kind) {
    case DXDB_TEXT:
    case DXDB_JSON:
        if (strlen(text) > UINT32_MAX) return false;
        if (dx_teleport_check_utf8(text, strlen(text)) != strlen(text)) return false;
        dxdb_writer_put(w, at, text, (uint32_t)strlen(text), 1, 1);
        return true;
    case DXDB_UUID: return write_uuid(w, at, text);
    case DXDB_BYTEA: return write_bytea(w, at, text);
    default: break;
    }
    if (!parse_scalar(kind, text, &bits)) return false;
    const uint32_t unit = dx_teleport_ext_scalar_size(f->code);
    dxdb_writer_set(w, at, 1, 1);
    dxdb_writer_set(w, at + unit, bits, unit);
    return true;
}

/* >>arrays: {1,NULL,"a \"quoted\" one"}, with a prefix [2:4]= if the first index is not 1 ---------
   The text is split in place into adjacent terminated elements. */
typedef struct elements {
    char    *memory;
    char    *first;  /* the others follow it */
    bool    *nulls;
    uint32_t count;
} elements;

/* Unescape one element from *p to *out, and advance both. Returns the character after
   it; 0: malformed. */
static char parse_element(char **p, char **out, bool *null)
{
    char *from = *p, *to = *out;
    const bool quoted = *from == '"';
    if (quoted) from++;
    while (*from && (quoted ? *from != '"' : *from != ',' && *from != '}')) {
        if (*from == '{' && !quoted) return 0; /* a second dimension */
        if (*from == '\\' && from[1]) from++;
        *to++ = *from++;
    }
    if (quoted && *from++ != '"') return 0;
    const char behind = *from;
    *null = !quoted && to - *out == 4 && !memcmp(*out, "NULL", 4);
    *p = from + (behind != 0);
    *to++ = 0;
    *out = to;
    return behind;
}

/* False: not a one-dimensional array. */
static bool split_array(const char *text, elements *e)
{
    memset(e, 0, sizeof *e);
    if (*text == '[') text = strchr(text, '=') ? strchr(text, '=') + 1 : "";
    if (*text != '{') return false;
    if (!strcmp(text, "{}")) return true;
    const size_t size = strlen(text);
    char *copy = prog_alloc(2 * size + 2); /* the input, followed by the output */
    char *p = strcpy(copy, text + 1), *out = copy + size + 1;
    char behind = ',';
    e->memory = copy;
    e->first = out;
    e->nulls = prog_alloc(size);
    while (behind == ',') behind = parse_element(&p, &out, &e->nulls[e->count++]);
    return behind == '}' && !*p;
}

static bool write_array(dxdb_writer *w, size_t record, const dxdb_type *row, const dxdb_column *c,
                        const char *text)
{
    const dxdb_field *f = &row->fields[c->field];
    const uint32_t size = dxdb_type_size(c->element);
    elements e;
    bool good = true;
    if (!text) {
        dxdb_writer_set(w, record + f[1].offset, 1, 1);
        return true;
    }
    good = split_array(text, &e);
    if (good) {
        const size_t begin = dxdb_writer_put(w, record + f->offset, NULL, e.count, size,
                                             c->element->align);
        const char *one = e.first;
        for (uint32_t i = 0; good && i < e.count && !w->failed; i++) {
            good = write_value(w, begin + (size_t)i * size, c->element, 0, c->pg.kind,
                               e.nulls[i] ? NULL : one);
            one += strlen(one) + 1;
        }
    }
    free(e.memory);
    free(e.nulls);
    return good;
}

static bool is_as_described(const dxdb_rows *rows, const PGresult *result)
{
    if (PQnfields(result) != (int)rows->count) return false;
    for (uint32_t i = 0; i < rows->count; i++)
        if (PQftype(result, (int)i) != rows->columns[i].pg.oid ||
            strcmp(PQfname(result, (int)i), rows->columns[i].name))
            return false;
    return true;
}

dxdb_rows_status dxdb_rows_write(const dxdb_rows *rows, const PGresult *result, size_t size_max,
                                 dxdb_writer *w, char *why, size_t why_size)
{
    const uint32_t count = (uint32_t)PQntuples(result);
    const uint32_t size = dxdb_type_size(&rows->row);
    dxdb_writer_begin(w, &rows->type, size_max);
    if (!is_as_described(rows, result)) return DXDB_ROWS_CHANGED;
    const size_t begin = dxdb_writer_put(w, DXDB_WRITER_ROOT, NULL, count, size, rows->row.align);
    for (uint32_t r = 0; r < count && !w->failed; r++) {
        const size_t record = begin + (size_t)r * size;
        for (uint32_t i = 0; i < rows->count; i++) {
            const dxdb_column *c = &rows->columns[i];
            const bool null = PQgetisnull(result, (int)r, (int)i);
            const char *text = null ? NULL : PQgetvalue(result, (int)r, (int)i);
            const bool good = c->element ? write_array(w, record, &rows->row, c, text)
                                         : write_value(w, record, &rows->row, c->field, c->pg.kind,
                                                       text);
            if (good) continue;
            snprintf(why, why_size, "row %u, column %s: a value of type %s that a record cannot "
                     "hold%s", (unsigned)r + 1, c->name, c->pg.name,
                     c->element ? ": arrays have one dimension" : "");
            return DXDB_ROWS_BAD;
        }
    }
    return dxdb_writer_finish(w) ? DXDB_ROWS_OK : DXDB_ROWS_TOO_BIG;
}
