/* Parsers for fields of an HTTP request. See http_fields.h. */
#include "http_fields.h"

#include "../../common/common.h"
#include "../../common/http.h"

#include <assert.h>
#include <string.h>

enum { TAG_SIZE = 64 };

/* >>values ----------------------------------------------------------------- */
bool dxup_field_next(const uint8_t *request, size_t size, const char *name, size_t *at,
                     const uint8_t **value, size_t *value_size)
{
    while (*at < size) {
        const uint8_t *line = request + *at, *end = memchr(line, '\r', size - *at), *colon;
        if (!end) return false;
        *at += (size_t)(end - line) + 2;
        colon = memchr(line, ':', (size_t)(end - line));
        if (!colon || !http_is(line, (size_t)(colon - line), name)) continue;
        *value = colon + 1;
        *value_size = (size_t)(end - colon - 1);
        return true;
    }
    return false;
}

/* Remove spaces and tabs from both ends. */
static void trim(const uint8_t **at, const uint8_t **end)
{
    while (*at < *end && (**at == ' ' || **at == '\t')) ++*at;
    while (*at < *end && ((*end)[-1] == ' ' || (*end)[-1] == '\t')) --*end;
}

/* >>lists ------------------------------------------------------------------ */
/* An element of a list: word *( OWS ";" OWS [ name "=" ( token / quoted-string ) ] ). */
typedef struct element {
    const uint8_t *word;
    size_t         size;
    int            weight; /* 1000 without a parameter q */
} element;

static void skip_spaces(const uint8_t **at, const uint8_t *end)
{
    while (*at < end && (**at == ' ' || **at == '\t')) ++*at;
}

static size_t parse_token(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *begin = *at;
    while (*at < end && http_token(**at)) ++*at;
    return (size_t)(*at - begin);
}

/* Parse a string in quotes, in which a backslash quotes the next byte. False: it does not end. */
static bool parse_quoted(const uint8_t **at, const uint8_t *end)
{
    assert(*at < end && **at == '"');
    for (++*at; *at < end && **at != '"'; ++*at)
        if (**at == '\\') ++*at;
    if (*at >= end) {
        *at = end;
        return false;
    }
    ++*at;
    return true;
}

/* The weight that a text means, in thousandths: 0 to 1 with up to three decimals. -1: malformed. */
static int weight_of(const uint8_t *text, size_t size)
{
    int weight = 0;
    if (!size || size > 5 || (text[0] != '0' && text[0] != '1') || (size > 1 && text[1] != '.'))
        return -1;
    for (size_t i = 2; i < 5; i++) {
        const uint8_t c = i < size ? text[i] : '0';
        if (c < '0' || c > '9') return -1;
        weight = weight * 10 + (c - '0');
    }
    weight += text[0] == '1' ? 1000 : 0;
    return weight <= 1000 ? weight : -1;
}

/* Parse the parameters of an element. False: malformed. */
static bool parse_parameters(const uint8_t **at, const uint8_t *end, element *e)
{
    for (;;) {
        skip_spaces(at, end);
        if (*at == end || **at == ',') return true;
        if (**at != ';') return false;
        ++*at;
        skip_spaces(at, end);
        const uint8_t *name = *at;
        const size_t name_size = parse_token(at, end);
        if (!name_size) continue; /* an empty parameter */
        if (*at == end || **at != '=') return false;
        const uint8_t *value = ++*at;
        const bool quoted = value < end && *value == '"';
        if (quoted ? !parse_quoted(at, end) : !parse_token(at, end)) return false;
        if (!http_is(name, name_size, "q")) continue;
        const int weight = quoted ? -1 : weight_of(value, (size_t)(*at - value));
        if (weight < 0) return false;
        if (weight < e->weight) e->weight = weight;
    }
}

/* Parse the next element of a list. False: there are no more. */
static bool parse_element(const uint8_t **at, const uint8_t *end, element *e)
{
    while (*at < end && (**at == ' ' || **at == '\t' || **at == ',')) ++*at;
    if (*at == end) return false;
    *e = (element){*at, 0, 1000};
    e->size = parse_token(at, end);
    if (e->size && parse_parameters(at, end, e)) return true;
    e->weight = 0;
    while (*at < end && **at != ',') {
        if (**at == '"') (void)parse_quoted(at, end);
        else ++*at;
    }
    return true;
}

int dxup_field_weight(const uint8_t *request, size_t size, const char *name, const char *word)
{
    const uint8_t *value;
    size_t at = 0, value_size;
    int weight = -1;
    while (dxup_field_next(request, size, name, &at, &value, &value_size)) {
        const uint8_t *end = value + value_size;
        for (element e; parse_element(&value, end, &e);)
            if (http_is(e.word, e.size, word) && (weight < 0 || e.weight < weight))
                weight = e.weight;
    }
    return weight;
}

bool dxup_field_has(const uint8_t *request, size_t size, const char *name, const char *word)
{
    return dxup_field_weight(request, size, name, word) > 0;
}

/* >>target ----------------------------------------------------------------- */
/* The value of a hexadecimal digit; -1: not one. */
static int digit(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Percent-decode until one of these bytes. False: see dxup_target_parse(). */
static bool decode(const uint8_t *p, const uint8_t *end, const char *ends, char *out,
                   size_t capacity)
{
    size_t n = 0;
    for (; p < end && *p && !strchr(ends, *p); p++) {
        int c = *p;
        if (c == '%') {
            if (end - p <= 2) return false;
            int high = digit(p[1]);
            int low = digit(p[2]);
            if (high < 0 || low < 0) return false;
            c = high << 4 | low;
            p += 2;
        }
        if (!c || n == capacity - 1) return false;
        out[n++] = (char)c;
    }
    out[n] = 0;
    return true;
}

bool dxup_target_parse(const uint8_t *request, size_t size, char *out, size_t capacity)
{
    const uint8_t *p = memchr(request, ' ', size), *end = request + size;
    assert(p && p + 1 < end && p[1] == '/'); /* http_parse() has checked it */
    return decode(p + 2, end, " ?#", out, capacity);
}

bool dxup_target_query(const uint8_t *request, size_t size, const char *name, char *out,
                       size_t capacity)
{
    const size_t name_size = strlen(name);
    const uint8_t *at = memchr(request, ' ', size);
    assert(at && capacity);
    const uint8_t *end = memchr(at + 1, ' ', size - (size_t)(at + 1 - request));
    out[0] = 0;
    if (!end) return true;
    for (at = memchr(at, '?', (size_t)(end - at)); at; at = memchr(at, '&', (size_t)(end - at))) {
        at++;
        if ((size_t)(end - at) > name_size && !memcmp(at, name, name_size) && at[name_size] == '=')
            return decode(at + name_size + 1, end, "&#", out, capacity);
    }
    return true;
}

/* Parse digits, and advance *at. Returns UINT64_MAX on overflow. */
static uint64_t parse_number(const uint8_t **at, const uint8_t *end)
{
    uint64_t number = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; ++*at) {
        const uint64_t one = (uint64_t)(**at - '0');
        number = number > (UINT64_MAX - one) / 10 ? UINT64_MAX : number * 10 + one;
    }
    return number;
}

/* >>tags, ranges ----------------------------------------------------------- */
bool dxup_tag_matches(const uint8_t *request, size_t size, const char *name, const char *tag,
                      bool coded, bool strong)
{
    const uint8_t *value;
    size_t at = 0, value_size;
    assert(strlen(tag) == TAG_SIZE);
    while (dxup_field_next(request, size, name, &at, &value, &value_size)) {
        const uint8_t *end = value + value_size, *p = value;
        trim(&p, &end);
        if (p < end && *p == '*') return true;
        while ((p = memchr(p, '"', (size_t)(end - p))) != NULL) {
            const uint8_t *closed = memchr(p + 1, '"', (size_t)(end - p - 1));
            if (!closed) break;
            const size_t length = (size_t)(closed - p - 1);
            const bool weak = p > value && p[-1] == '/';
            if (length >= TAG_SIZE && !memcmp(p + 1, tag, TAG_SIZE) && !(weak && strong) &&
                (length == TAG_SIZE || (coded && p[1 + TAG_SIZE] == '-')))
                return true;
            p = closed + 1;
        }
    }
    return false;
}

/* Does If-Range allow a range? It must equal the strong tag; dates never match. */
static bool is_of_tag(const uint8_t *request, size_t size, const char *tag)
{
    const uint8_t *value;
    size_t at = 0, value_size;
    if (!dxup_field_next(request, size, "if-range", &at, &value, &value_size)) return true;
    const uint8_t *end = value + value_size;
    trim(&value, &end);
    return end - value == TAG_SIZE + 2 && value[0] == '"' && value[TAG_SIZE + 1] == '"' &&
           !memcmp(value + 1, tag, TAG_SIZE);
}

dxup_range dxup_range_parse(const uint8_t *request, size_t size, const char *tag, uint64_t total,
                            uint64_t *from, uint64_t *count)
{
    const uint8_t *p, *end, *digits;
    size_t at = 0, value_size;
    if (!dxup_field_next(request, size, "range", &at, &p, &value_size)) return DXUP_RANGE_NONE;
    end = p + value_size;
    trim(&p, &end);
    if (end - p < 7 || !http_is(p, 6, "bytes=") || !is_of_tag(request, size, tag))
        return DXUP_RANGE_NONE;
    p += 6;
    digits = p;
    uint64_t first = parse_number(&p, end), last = UINT64_MAX;
    const bool has_first = p > digits;
    if (p == end || *p++ != '-') return DXUP_RANGE_NONE;
    digits = p;
    if (p < end) last = parse_number(&p, end);
    const bool has_last = p > digits;
    if (p != end || (!has_first && !has_last) || (has_first && last < first))
        return DXUP_RANGE_NONE;
    if (!has_first) { /* the last bytes of the file */
        if (!last || !total) return DXUP_RANGE_UNSATISFIABLE;
        first = last < total ? total - last : 0;
        last = UINT64_MAX;
    }
    if (first >= total) return DXUP_RANGE_UNSATISFIABLE;
    *from = first;
    *count = last < total ? last - first + 1 : total - first;
    return DXUP_RANGE_PART;
}

bool dxup_is_origin(const char *text)
{
#define SMALL "abcdefghijklmnopqrstuvwxyz"
#define SCHEME SMALL "0123456789.-"
    if (!strcmp(text, "*")) return true;
    const size_t at = strspn(text, SCHEME);
    if (strlen(text) > DXUP_ORIGIN_MAX || !at || !strchr(SMALL, text[0])) return false;
    if (strncmp(text + at, "://", 3) != 0 || !text[at + 3] || text[at + 3] == ':') return false;
    return !text[at + 3 + strspn(text + at + 3, SCHEME ":[]_")];
#undef SCHEME
#undef SMALL
}

int dxup_origin_check(const char *what, const char *text)
{
    if (dxup_is_origin(text)) return PROG_OK;
    return prog_fail(PROG_USAGE, "%s: '%s' is not an origin as browsers send it: lower case, no path and no "
                                 "slash at its end, such as https://app.example; or *", what, text);
}
