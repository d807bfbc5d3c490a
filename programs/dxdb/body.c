/* The parameters of a write, from the JSON body of a request. See body.h.

   The strict reader of dx_token.h checks the whole text first, so this file only walks over an object
   that is known to be well-formed: it ends with its bracket, and every string has its quotes. */
#include "body.h"

#include <string.h>

static const char *skip_spaces(const char *p)
{
    while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r') p++;
    return p;
}

/* p: its first quote. Returns the byte after its last quote. */
static const char *skip_string(const char *p)
{
    for (p++; *p != '"'; p++)
        if (*p == '\\') p++;
    return p + 1;
}

/* Any value. */
static const char *skip_value(const char *p)
{
    int depth = 0;
    do {
        if (*p == '"') {
            p = skip_string(p);
        } else if (*p == '{' || *p == '[') {
            depth++;
            p++;
        } else if (*p == '}' || *p == ']') {
            depth--;
            p++;
        } else if (depth) {
            p++;
        } else {
            p += strcspn(p, " \t\n\r,}");
        }
    } while (depth);
    return p;
}

static uint32_t read_hex(const char *p)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        const char c = p[i];
        value = value << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

static char *put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    }
    return out;
}

/* *p: after "\u". Half of a surrogate pair, and the character 0, which no text of PostgreSQL has,
   return false. */
static bool decode_unicode(const char **p, char **out)
{
    uint32_t c = read_hex(*p);
    *p += 4;
    if (c >= 0xd800 && c < 0xdc00) {
        const uint32_t low = (*p)[0] == '\\' && (*p)[1] == 'u' ? read_hex(*p + 2) : 0;
        if (low < 0xdc00 || low > 0xdfff) return false;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        *p += 6;
    } else if (!c || (c >= 0xdc00 && c < 0xe000)) {
        return false;
    }
    *out = put_utf8(*out, c);
    return true;
}

/* Decode a string to *out, terminated, and advance *out. A character is never longer than its escape. */
static bool decode_string(const char *p, char **out)
{
    static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
    for (p++; *p != '"';) {
        if (*p != '\\') {
            *(*out)++ = *p++;
            continue;
        }
        p++;
        const char *letter = strchr(letters, *p);
        if (*p == 'u') {
            p++;
            if (!decode_unicode(&p, out)) return false;
            continue;
        }
        *(*out)++ = letter ? meanings[letter - letters] : *p;
        p++;
    }
    *(*out)++ = 0;
    return true;
}

/* Take the value at p as that of a parameter. */
static const char *take_value(const char *p, const char *end, char **texts, const char **value)
{
    *value = NULL;
    if (*p == 'n') return NULL;
    *value = *texts;
    if (*p == '"')
        return decode_string(p, texts) ? NULL : "a string has a character that is not allowed";
    memcpy(*texts, p, (size_t)(end - p));
    *texts += end - p;
    *(*texts)++ = 0;
    return NULL;
}

const char *dxdb_body_parse(const char *json, size_t size, char *const *names, uint32_t count,
                            char *texts, const char **values)
{
    bool given[DXDB_PARAMETERS_MAX] = {false};
    if (dx_token_json_find_members(json, size, NULL, 0, NULL)) return "the body is not a JSON object";
    const char *p = skip_spaces(skip_spaces(json) + 1);
    while (*p != '}') {
        char *name = texts;
        uint32_t i = 0;
        if (!decode_string(p, &texts)) return "there is no such parameter";
        while (i < count && strcmp(names[i], name)) i++;
        if (i == count) return "there is no such parameter";
        if (given[i]) return "a parameter is given twice";
        given[i] = true;
        p = skip_spaces(skip_spaces(skip_string(p)) + 1);
        const char *end = skip_value(p);
        const char *why = take_value(p, end, &texts, &values[i]);
        if (why) return why;
        p = skip_spaces(end);
        if (*p == ',') p = skip_spaces(p + 1);
    }
    for (uint32_t i = 0; i < count; i++)
        if (!given[i]) return "a parameter is missing";
    return NULL;
}
