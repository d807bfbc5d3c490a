/* A growing text buffer. See text.h. */
#include "text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void dxdb_text_put(dxdb_text *t, const void *bytes, size_t size)
{
    if (size > t->capacity - t->size) {
        const size_t capacity = 2 * (t->size + size) + 256;
        char *grown = prog_alloc(capacity);
        if (t->size) memcpy(grown, t->bytes, t->size);
        free(t->bytes);
        t->bytes = grown;
        t->capacity = capacity;
    }
    if (size) memcpy(t->bytes + t->size, bytes, size);
    t->size += size;
}

void dxdb_text_add(dxdb_text *t, const char *text) { dxdb_text_put(t, text, strlen(text)); }

void dxdb_text_format(dxdb_text *t, const char *format, ...)
{
    char text[1025];
    va_list arguments;
    va_start(arguments, format);
    const int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    assert(size >= 0 && size < (int)sizeof text);
    dxdb_text_put(t, text, (size_t)size);
}

/* In decimal. Every answer of HTTP has several, and formatting them takes longer than the rest of it. */
void dxdb_text_number(dxdb_text *t, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    dxdb_text_put(t, digits + at, sizeof digits - at);
}

void dxdb_text_quote(dxdb_text *t, const char *text, size_t size)
{
    size_t begin = 0;
    dxdb_text_put(t, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) continue;
        dxdb_text_put(t, text + begin, i - begin);
        begin = i + 1;
        if (c == '"' || c == '\\') dxdb_text_format(t, "\\%c", c);
        else dxdb_text_format(t, "\\u%04x", c);
    }
    dxdb_text_put(t, text + begin, size - begin);
    dxdb_text_put(t, "\"", 1);
}

void dxdb_text_free(dxdb_text *t)
{
    free(t->bytes);
    memset(t, 0, sizeof *t);
}
