/* Messages and progress. A message is assembled in a buffer (struct line) and written with one
   call.

   It may quote the name of a file or of a version, or the reply of a server: bytes that others
   chose and that could drive the terminal. Everything that the programs print goes through
   put_visible(). */
#include "common.h"

#include "os.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CLEAR_LINE "\r\033[K"

enum { PROGRESS_INTERVAL_NS = 100000000 };

static const char *program_name = "?";

/* >>visible ------------------------------------------------------------ */
/* Bytes of the UTF-8 character that begins with this byte; 0: none does. */
static size_t size_by_lead(unsigned char lead)
{
    if (lead < 0x80) return 1;
    if (lead < 0xc2) return 0; /* a byte from the middle, or longer than needed */
    if (lead < 0xe0) return 2;
    if (lead < 0xf0) return 3;
    return lead < 0xf5 ? 4 : 0;
}

/* Would a terminal obey it instead of showing it? */
static bool is_command(uint32_t c)
{
    bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
    bool line_break = c == 0x2028 || c == 0x2029;
    bool direction = c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
                     (c >= 0x2066 && c <= 0x2069);
    return control || line_break || direction;
}

/* Bytes of the visible character at text; 0: a control character, or not UTF-8. */
static size_t visible(const unsigned char *text, size_t size)
{
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
    if (longer_than_needed || half_a_pair || c > 0x10ffff || is_command(c)) return 0;
    return count;
}

/* >>line --------------------------------------------------------------- */
typedef struct line {
    char  *bytes; /* small, or of malloc */
    size_t size;
    size_t room;
    char   small[1024];
} line;

static void line_begin(line *l)
{
    l->bytes = l->small;
    l->size = 0;
    l->room = sizeof l->small;
}

static void line_free(line *l)
{
    assert(l->bytes && (l->bytes == l->small) == (l->room == sizeof l->small));
    if (l->bytes != l->small) free(l->bytes);
}

/* Append. Without memory the line is truncated, rather than lost. */
static void put(line *l, const char *text, size_t size)
{
    assert(l->size <= l->room);
    if (size > l->room - l->size) {
        size_t room = (l->size + size) * 2;
        char *bytes = malloc(room);
        if (bytes) {
            memcpy(bytes, l->bytes, l->size);
            line_free(l);
            l->bytes = bytes;
            l->room = room;
        }
    }
    if (size > l->room - l->size) size = l->room - l->size;
    memcpy(l->bytes + l->size, text, size);
    l->size += size;
    assert(l->size <= l->room);
}

static void put_text(line *l, const char *text) { put(l, text, strlen(text)); }

/* Append text with control characters as \x1b. */
static void put_visible(line *l, const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t count = visible((const unsigned char *)text + at, size - at);
        char code[8];
        if (count) {
            put(l, text + at, count);
            at += count;
        } else {
            snprintf(code, sizeof code, "\\x%02x", (unsigned)(unsigned char)text[at]);
            put_text(l, code);
            at++;
        }
    }
}

/* Append a formatted text. Newlines at the end of the format stay; all other control characters
   came with an argument. */
static void put_format(line *l, const char *format, va_list args)
{
    char small[1024] = "", *text = small;
    size_t size = strlen(format), newlines = 0;
    va_list again;
    while (newlines < size && format[size - 1 - newlines] == '\n') newlines++;
    va_copy(again, args);
    int needed = vsnprintf(small, sizeof small, format, args);
    bool whole = needed >= 0 && needed < (int)sizeof small;
    if (needed >= (int)sizeof small && (text = malloc((size_t)needed + 1)) != NULL)
        whole = vsnprintf(text, (size_t)needed + 1, format, again) == needed;
    if (!text) text = small; /* no memory: truncated */
    va_end(again);
    assert(!whole || strlen(text) >= newlines);
    put_visible(l, text, strlen(text) - (whole ? newlines : 0));
    while (newlines-- > 0) put(l, "\n", 1);
    if (text != small) free(text);
}

/* >>standard error ------------------------------------------------------- */
/* Held while a line is written, so that no progress comes between a line and its removal. */
static struct {
    pthread_mutex_t lock;
    bool            shown;   /* the terminal shows a line of progress */
    int64_t         next_ns; /* when the next one is due; INT64_MAX: no terminal */
} progress = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Print a message, followed by the text of error (of errno) if it is not 0. */
static void complain(const char *format, va_list args, int error)
{
    line l;
    line_begin(&l);
    pthread_mutex_lock(&progress.lock);
    if (progress.shown) put_text(&l, CLEAR_LINE);
    progress.shown = false;
    put_text(&l, program_name);
    put_text(&l, ": ");
    put_format(&l, format, args);
    if (error) {
        const char *text = os_error_text(error);
        put_text(&l, ": ");
        put_visible(&l, text, strlen(text));
    }
    put(&l, "\n", 1);
    os_write_error(l.bytes, l.size);
    pthread_mutex_unlock(&progress.lock);
    line_free(&l);
}

void prog_warn(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(format, args, 0);
    va_end(args);
}

int prog_fail(int status, const char *format, ...)
{
    va_list args;
    assert(status != PROG_OK);
    va_start(args, format);
    complain(format, args, 0);
    va_end(args);
    return status;
}

int prog_fail_errno(const char *format, ...)
{
    int error = errno;
    va_list args;
    va_start(args, format);
    complain(format, args, error);
    va_end(args);
    return error == ENOENT ? PROG_NOT_FOUND : PROG_SYSTEM;
}

/* Write the line of progress. The lock is held. */
static void show(const char *what, uint64_t done, uint64_t total)
{
    char numbers[96];
    line l;
    double mb = (double)done / 1e6;
    assert(progress.next_ns != INT64_MAX); /* there is a terminal */
    line_begin(&l);
    put_text(&l, CLEAR_LINE);
    put_visible(&l, what, strlen(what));
    if (total)
        snprintf(numbers, sizeof numbers, "  %.1f of %.1f MB  %.0f %%", mb, (double)total / 1e6,
                 100.0 * (double)done / (double)total);
    else
        snprintf(numbers, sizeof numbers, "  %.1f MB", mb);
    put_text(&l, numbers);
    os_write_error(l.bytes, l.size);
    line_free(&l);
}

void prog_progress(const char *what, uint64_t done, uint64_t total, bool last)
{
    pthread_mutex_lock(&progress.lock);
    if (last) {
        if (progress.shown) os_write_error(CLEAR_LINE, strlen(CLEAR_LINE));
        progress.shown = false;
    } else {
        int64_t now_ns = os_now_ns();
        bool due = now_ns >= progress.next_ns;
        if (due) progress.next_ns = os_is_terminal() ? now_ns + PROGRESS_INTERVAL_NS : INT64_MAX;
        if (due && progress.next_ns != INT64_MAX) {
            show(what, done, total);
            progress.shown = true;
        }
    }
    pthread_mutex_unlock(&progress.lock);
}

/* >>standard output ------------------------------------------------------ */
void prog_say(const char *format, ...)
{
    line l;
    va_list args;
    line_begin(&l);
    va_start(args, format);
    put_format(&l, format, args);
    va_end(args);
    fwrite(l.bytes, 1, l.size, stdout);
    line_free(&l);
}

/* >>program -------------------------------------------------------------- */
void prog_begin(const char *name, int *argc, char ***argv)
{
    assert(name && *name);
    program_name = name;
    os_begin(argc, argv);
}

int prog_end(int status)
{
    bool written = fflush(stdout) == 0 && !ferror(stdout);
    return status || written ? status : prog_fail_errno("standard output");
}
