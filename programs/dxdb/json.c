/* Results of queries, and their types, as JSON. See json.h. */
#include "json.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define US_PER_SECOND ((int64_t)1000000)
#define US_PER_DAY    (86400 * US_PER_SECOND)

/* A record. Its references are trusted, because rows.c wrote them. */
typedef struct source {
    const uint8_t *bytes;
    size_t         size;
} source;

static uint64_t load(const source *s, size_t at, unsigned size)
{
    uint64_t value = 0;
    assert(at <= s->size && size <= s->size - at);
    for (unsigned i = 0; i < size; i++) value |= (uint64_t)s->bytes[at + i] << 8 * i;
    return value;
}

static const uint8_t *follow(const source *s, size_t at, uint32_t unit, uint32_t *count)
{
    const size_t offset = (size_t)load(s, at, 4);
    *count = (uint32_t)load(s, at + 4, 4);
    assert(offset <= s->size && *count <= (s->size - offset) / unit);
    return s->bytes + offset;
}

/* Append the shortest digits that parse back to the same number. */
static void put_float(dxdb_text *t, double value, bool is_double)
{
    char text[40];
    if (isnan(value) || isinf(value)) {
        dxdb_text_add(t, isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    for (int digits = is_double ? 15 : 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (is_double ? strtod(text, NULL) == value : strtof(text, NULL) == (float)value) break;
    }
    dxdb_text_add(t, text);
}

/* Append "2026-11-24"; years before 1 and after 9999 have a sign and six digits, as in ISO 8601. */
static void put_day(dxdb_text *t, int64_t days)
{
    days += 719468;
    const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    const int64_t of_era = days - era * 146097;
    const int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t month_from_march = (5 * of_year + 2) / 153;
    const int64_t day = of_year - (153 * month_from_march + 2) / 5 + 1;
    const int64_t month = month_from_march + (month_from_march < 10 ? 3 : -9);
    const int64_t year = year_of_era + era * 400 + (month <= 2);
    dxdb_text_format(t, year >= 0 && year <= 9999 ? "%04lld-%02d-%02d" : "%+07lld-%02d-%02d",
                     (long long)year, (int)month, (int)day);
}

static void put_clock(dxdb_text *t, int64_t us)
{
    const int64_t seconds = us / US_PER_SECOND, fraction = us % US_PER_SECOND;
    dxdb_text_format(t, "%02d:%02d:%02d", (int)(seconds / 3600), (int)(seconds / 60 % 60),
                     (int)(seconds % 60));
    if (fraction) dxdb_text_format(t, ".%06d", (int)fraction);
}

static void put_time(dxdb_text *t, dxdb_kind kind, int64_t value)
{
    const bool is_date = kind == DXDB_DATE;
    dxdb_text_add(t, "\"");
    if (value == (is_date ? INT32_MAX : INT64_MAX)) {
        dxdb_text_add(t, "infinity");
    } else if (value == (is_date ? INT32_MIN : INT64_MIN)) {
        dxdb_text_add(t, "-infinity");
    } else if (is_date) {
        put_day(t, value);
    } else if (kind == DXDB_TIME) {
        put_clock(t, value);
    } else {
        int64_t days = value / US_PER_DAY;
        if (value % US_PER_DAY < 0) days--;
        put_day(t, days);
        dxdb_text_add(t, "T");
        put_clock(t, value - days * US_PER_DAY);
        if (kind == DXDB_TIMESTAMPTZ) dxdb_text_add(t, "Z");
    }
    dxdb_text_add(t, "\"");
}

static void put_hex(dxdb_text *t, const uint8_t *bytes, uint32_t count, bool dashes)
{
    static const char digits[] = "0123456789abcdef";
    for (uint32_t i = 0; i < count; i++) {
        const char pair[2] = {digits[bytes[i] >> 4], digits[bytes[i] & 15]};
        if (dashes && (i == 4 || i == 6 || i == 8 || i == 10)) dxdb_text_put(t, "-", 1);
        dxdb_text_put(t, pair, 2);
    }
}

/* Append an optional scalar that is present; at: its value. */
static void put_scalar(dxdb_text *t, const source *s, size_t at, const dxdb_field *f,
                       dxdb_kind kind)
{
    const uint32_t unit = dx_teleport_ext_scalar_size(f->code);
    const uint64_t bits = load(s, at, unit);
    const unsigned drop = 64 - 8 * unit;
    const int64_t number = (int64_t)(bits << drop) >> drop;
    double value;
    float small;
    switch (kind) {
    case DXDB_BOOL: dxdb_text_add(t, bits ? "true" : "false"); break;
    case DXDB_U32: dxdb_text_format(t, "%llu", (unsigned long long)bits); break;
    case DXDB_F32:
        memcpy(&small, s->bytes + at, sizeof small);
        put_float(t, (double)small, false);
        break;
    case DXDB_F64:
        memcpy(&value, s->bytes + at, sizeof value);
        put_float(t, value, true);
        break;
    case DXDB_DATE:
    case DXDB_TIME:
    case DXDB_TIMESTAMP:
    case DXDB_TIMESTAMPTZ: put_time(t, kind, number); break;
    default: dxdb_text_format(t, "%lld", (long long)number); break;
    }
}

/* Append a value that is not an array. */
static void put_value(dxdb_text *t, const source *s, size_t record, const dxdb_field *f,
                      dxdb_kind kind)
{
    const size_t at = record + f->offset;
    const bool flagged = dxdb_kind_has_flag(kind, false);
    uint32_t count;
    if (flagged ? load(s, record + f[1].offset, 1) != 0 : load(s, at, 1) == 0) {
        dxdb_text_add(t, "null");
    } else if (kind == DXDB_UUID) {
        dxdb_text_add(t, "\"");
        put_hex(t, s->bytes + at, 16, true);
        dxdb_text_add(t, "\"");
    } else if (kind == DXDB_BYTEA) {
        const uint8_t *bytes = follow(s, at, 1, &count);
        dxdb_text_add(t, "\"\\\\x");
        put_hex(t, bytes, count, false);
        dxdb_text_add(t, "\"");
    } else if (kind == DXDB_TEXT || kind == DXDB_JSON) {
        const uint8_t *bytes = follow(s, at, 1, &count);
        if (kind == DXDB_JSON) dxdb_text_put(t, bytes, count);
        else dxdb_text_quote(t, (const char *)bytes, count);
    } else {
        put_scalar(t, s, at + dx_teleport_ext_scalar_size(f->code), f, kind);
    }
}

static void put_array(dxdb_text *t, const source *s, size_t record, const dxdb_field *f,
                      const dxdb_column *c)
{
    const uint32_t size = dxdb_type_size(c->element);
    uint32_t count;
    if (load(s, record + f[1].offset, 1)) {
        dxdb_text_add(t, "null");
        return;
    }
    const size_t begin = (size_t)(follow(s, record + f->offset, size, &count) - s->bytes);
    dxdb_text_add(t, "[");
    for (uint32_t i = 0; i < count; i++) {
        if (i) dxdb_text_add(t, ",");
        put_value(t, s, begin + (size_t)i * size, &c->element->fields[0], c->pg.kind);
    }
    dxdb_text_add(t, "]");
}

void dxdb_json_rows(dxdb_text *t, const dxdb_rows *rows, const uint8_t *record, size_t size)
{
    const source s = {record, size};
    const uint32_t row_size = dxdb_type_size(&rows->row);
    uint32_t count;
    const size_t begin = (size_t)(follow(&s, DXDB_WRITER_ROOT, row_size, &count) - record);
    dxdb_text_add(t, "[");
    for (uint32_t r = 0; r < count; r++) {
        const size_t row = begin + (size_t)r * row_size;
        dxdb_text_add(t, r ? ",\n{" : "{");
        for (uint32_t i = 0; i < rows->count; i++) {
            const dxdb_column *c = &rows->columns[i];
            const dxdb_field *f = &rows->row.fields[c->field];
            if (i) dxdb_text_add(t, ",");
            dxdb_text_quote(t, c->name, strlen(c->name));
            dxdb_text_add(t, ":");
            if (c->element) put_array(t, &s, row, f, c);
            else put_value(t, &s, row, f, c->pg.kind);
        }
        dxdb_text_add(t, "}");
    }
    dxdb_text_add(t, "]");
}

/* Types are nested three deep: query, row, element. */
void dxdb_json_type(dxdb_text *t, const dxdb_type *type)
{
    dxdb_text_add(t, "{\"name\":");
    dxdb_text_quote(t, type->name, strlen(type->name));
    dxdb_text_format(t, ",\"size\":%u,\"align\":%u,\"layouts\":[\"%016llx\"],\"fields\":[",
                     (unsigned)dxdb_type_size(type), (unsigned)type->align,
                     (unsigned long long)type->layout);
    for (uint32_t i = 0; i < type->count; i++) {
        const dxdb_field *f = &type->fields[i];
        dxdb_text_add(t, i ? ",{\"name\":" : "{\"name\":");
        dxdb_text_quote(t, f->name, strlen(f->name));
        dxdb_text_format(t, ",\"code\":%u,\"offset\":%u,\"count\":%u,\"range\":0,\"since\":1",
                         (unsigned)f->code, (unsigned)f->offset, (unsigned)f->count);
        if (f->type) {
            dxdb_text_add(t, ",\"type\":");
            dxdb_json_type(t, f->type);
        }
        dxdb_text_add(t, "}");
    }
    dxdb_text_add(t, "]}");
}

void dxdb_json_columns(dxdb_text *t, const dxdb_rows *rows)
{
    dxdb_text_add(t, "[");
    for (uint32_t i = 0; i < rows->count; i++) {
        const dxdb_column *c = &rows->columns[i];
        dxdb_text_add(t, i ? ",{\"name\":" : "{\"name\":");
        dxdb_text_quote(t, c->name, strlen(c->name));
        dxdb_text_add(t, ",\"type\":");
        dxdb_text_quote(t, c->pg.name, strlen(c->pg.name));
        dxdb_text_add(t, "}");
    }
    dxdb_text_add(t, "]");
}
