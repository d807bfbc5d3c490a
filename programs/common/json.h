/* JSON for other programs: one object per line, on standard output.

   Strings are UTF-8. If a name or path is not, each invalid byte becomes U+FFFD, and a second member,
   whose name ends in `_hex`, has all bytes as hexadecimal digits:

       {"path":"caf\ufffd","path_hex":"636166e9","size":12} */
#ifndef JSON_H
#define JSON_H

#include "line.h"

typedef struct prog_json {
    prog_line line;
    bool      any; /* a comma goes before the next member, or element */
} prog_json;

void prog_json_begin(prog_json *j);
void prog_json_text(prog_json *j, const char *name, const char *text);
void prog_json_number(prog_json *j, const char *name, uint64_t number);
void prog_json_flag(prog_json *j, const char *name, bool flag);
/* 64 hexadecimal digits. */
void prog_json_hash(prog_json *j, const char *name, const uint8_t hash[32]);
/* "2026-11-23T00:12:38Z", and a second member, whose name ends in `_ns`: ns since 1970. */
void prog_json_time(prog_json *j, const char *name, int64_t time_ns);
/* Between these two calls, prog_json_text() with name NULL adds an element. */
void prog_json_array_begin(prog_json *j, const char *name);
void prog_json_array_end(prog_json *j);
/* These two calls enclose an element of the array that is an object. */
void prog_json_object_begin(prog_json *j);
void prog_json_object_end(prog_json *j);
/* Print it. */
void prog_json_end(prog_json *j);
/* Append it to a line instead; the caller has called prog_line_begin(). */
void prog_json_end_into(prog_json *j, prog_line *to);

#endif
