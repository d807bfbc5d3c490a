/* JSON output, one object per line. See json.h. */
#include "json.h"

#include "common.h"
#include "os.h"

#include <assert.h>
#include <string.h>

static void begin_member(prog_json *j, const char *name, const char *suffix)
{
    if (j->any) prog_line_put_text(&j->line, ",");
    j->any = true;
    if (!name) return;
    prog_line_put_text(&j->line, "\"");
    prog_line_put_text(&j->line, name); /* a constant: it needs no escape */
    prog_line_put_text(&j->line, suffix);
    prog_line_put_text(&j->line, "\":");
}

/* Append one character of a string. Beyond what JSON requires, it escapes characters that a
   terminal would interpret or a script would take for a line break. */
static void put_character(prog_line *l, const char *text, size_t size, uint32_t c)
{
    char code[8];
    const bool obeyed = c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029;
    if (c == '"' || c == '\\') prog_line_put_text(l, "\\");
    if (!obeyed) {
        prog_line_put(l, text, size);
        return;
    }
    snprintf(code, sizeof code, "\\u%04x", (unsigned)c);
    prog_line_put_text(l, code);
}

/* Append a string; false: some bytes are not UTF-8. */
static bool put_string(prog_line *l, const char *text)
{
    bool whole = true;
    prog_line_put_text(l, "\"");
    for (size_t at = 0, size = strlen(text); at < size;) {
        uint32_t c = 0;
        size_t count = prog_utf8(text + at, size - at, &c);
        if (count) {
            put_character(l, text + at, count, c);
        } else {
            prog_line_put_text(l, "\\ufffd");
            whole = false;
            count = 1;
        }
        at += count;
    }
    prog_line_put_text(l, "\"");
    return whole;
}

void prog_json_begin(prog_json *j)
{
    prog_line_begin(&j->line);
    prog_line_put_text(&j->line, "{");
    j->any = false;
}

void prog_json_text(prog_json *j, const char *name, const char *text)
{
    begin_member(j, name, "");
    if (put_string(&j->line, text) || !name) return;
    begin_member(j, name, "_hex");
    prog_line_put_text(&j->line, "\"");
    for (; *text; text++) {
        char digits[4];
        snprintf(digits, sizeof digits, "%02x", (unsigned)(unsigned char)*text);
        prog_line_put_text(&j->line, digits);
    }
    prog_line_put_text(&j->line, "\"");
}

void prog_json_number(prog_json *j, const char *name, uint64_t number)
{
    char digits[24];
    begin_member(j, name, "");
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    prog_line_put_text(&j->line, digits);
}

void prog_json_flag(prog_json *j, const char *name, bool flag)
{
    begin_member(j, name, "");
    prog_line_put_text(&j->line, flag ? "true" : "false");
}

void prog_json_hash(prog_json *j, const char *name, const uint8_t hash[32])
{
    char text[65];
    prog_json_text(j, name, prog_hash_text(hash, text));
}

void prog_json_time(prog_json *j, const char *name, int64_t time_ns)
{
    char text[34], digits[24];
    os_time_text(time_ns, text);
    char *space = strchr(text, ' ');
    if (space) *space = 'T';
    strcat(text, "Z");
    prog_json_text(j, name, text);
    begin_member(j, name, "_ns");
    snprintf(digits, sizeof digits, "%lld", (long long)time_ns);
    prog_line_put_text(&j->line, digits);
}

void prog_json_array_begin(prog_json *j, const char *name)
{
    begin_member(j, name, "");
    prog_line_put_text(&j->line, "[");
    j->any = false;
}

void prog_json_array_end(prog_json *j)
{
    prog_line_put_text(&j->line, "]");
    j->any = true;
}

void prog_json_object_begin(prog_json *j)
{
    begin_member(j, NULL, "");
    prog_line_put_text(&j->line, "{");
    j->any = false;
}

void prog_json_object_end(prog_json *j)
{
    prog_line_put_text(&j->line, "}");
    j->any = true;
}

void prog_json_end_into(prog_json *j, prog_line *to)
{
    prog_line_put_text(&j->line, "}\n");
    prog_line_put(to, j->line.bytes, j->line.size);
    prog_line_free(&j->line);
}

void prog_json_end(prog_json *j)
{
    prog_line_put_text(&j->line, "}\n");
    fwrite(j->line.bytes, 1, j->line.size, stdout);
    prog_line_free(&j->line);
}
