/* A line of output as it is assembled, in a buffer that grows. */
#ifndef LINE_H
#define LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct prog_line {
    char  *bytes; /* small, or allocated */
    size_t size;
    size_t room;
    char   small[1024];
} prog_line;

void prog_line_begin(prog_line *l);
void prog_line_free(prog_line *l);
/* Append. When memory runs out the line is truncated, not lost. */
void prog_line_put(prog_line *l, const char *bytes, size_t size);
void prog_line_put_text(prog_line *l, const char *text);
/* Append text; control characters, and bytes that are not UTF-8, are shown as \x1b. */
void prog_line_put_visible(prog_line *l, const char *text, size_t size);
/* Decode the UTF-8 character at the start of bytes. Returns its size; 0: invalid. */
size_t prog_utf8(const void *bytes, size_t size, uint32_t *character);

#endif
