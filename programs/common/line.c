/* A line of output as it is assembled, without control characters of arguments. See line.h. */
#include "line.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* >>visible ------------------------------------------------------------ */
/* The size of the UTF-8 character that begins with this byte; 0: no character begins with it. */
static size_t size_by_lead(unsigned char lead)
{
    if (lead < 0x80) return 1;
    if (lead < 0xc2) return 0; /* a continuation byte, or an overlong encoding */
    if (lead < 0xe0) return 2;
    if (lead < 0xf0) return 3;
    return lead < 0xf5 ? 4 : 0;
}

/* Would a terminal interpret it instead of showing it? */
static bool is_command(uint32_t c)
{
    bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
    bool line_break = c == 0x2028 || c == 0x2029;
    bool direction = c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
                     (c >= 0x2066 && c <= 0x2069);
    return control || line_break || direction;
}

size_t prog_utf8(const void *bytes, size_t size, uint32_t *out)
{
    const unsigned char *text = bytes;
    assert(size > 0);
    uint32_t c = text[0];
    size_t count = size_by_lead(text[0]);
    if (!count || count > size) return 0;
    if (count > 1) c &= 0x7fu >> count;
    for (size_t i = 1; i < count; i++) {
        if ((text[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (text[i] & 0x3fu);
    }
    bool longer_than_needed = (count == 3 && c < 0x800) || (count == 4 && c < 0x10000);
    bool half_a_pair = c >= 0xd800 && c < 0xe000;
    if (longer_than_needed || half_a_pair || c > 0x10ffff) return 0;
    *out = c;
    return count;
}

/* The size of the visible character at text; 0: a control character, or not UTF-8. */
static size_t visible(const char *text, size_t size)
{
    uint32_t c = 0;
    size_t count = prog_utf8(text, size, &c);
    return count && !is_command(c) ? count : 0;
}

/* >>line --------------------------------------------------------------- */
void prog_line_begin(prog_line *l)
{
    l->bytes = l->small;
    l->size = 0;
    l->room = sizeof l->small;
}

void prog_line_free(prog_line *l)
{
    assert(l->bytes && (l->bytes == l->small) == (l->room == sizeof l->small));
    if (l->bytes != l->small) free(l->bytes);
}

void prog_line_put(prog_line *l, const char *text, size_t size)
{
    assert(l->size <= l->room);
    if (size > l->room - l->size) {
        size_t room = (l->size + size) * 2;
        char *bytes = malloc(room);
        if (bytes) {
            memcpy(bytes, l->bytes, l->size);
            prog_line_free(l);
            l->bytes = bytes;
            l->room = room;
        }
    }
    if (size > l->room - l->size) size = l->room - l->size;
    memcpy(l->bytes + l->size, text, size);
    l->size += size;
    assert(l->size <= l->room);
}

void prog_line_put_text(prog_line *l, const char *text) { prog_line_put(l, text, strlen(text)); }

void prog_line_put_visible(prog_line *l, const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t count = visible(text + at, size - at);
        char code[8];
        if (count) {
            prog_line_put(l, text + at, count);
            at += count;
        } else {
            snprintf(code, sizeof code, "\\x%02x", (unsigned)(unsigned char)text[at]);
            prog_line_put_text(l, code);
            at++;
        }
    }
}
