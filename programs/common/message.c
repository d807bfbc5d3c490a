/* Messages and progress. A message is assembled in a buffer (line.h) and written with one call.

   It may quote the name of a file or of a version, or the reply of a server: bytes that others
   chose and that could drive the terminal. Everything that the programs print goes through
   prog_line_put_visible(). */
#include "common.h"

#include "line.h"
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
static _Thread_local bool muted;

/* >>format -------------------------------------------------------------- */
/* Append a formatted text. Newlines at the end of the format are kept; every other control character
   must come from an argument, so it is escaped. */
static void put_format(prog_line *l, const char *format, va_list args)
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
    if (!text) text = small; /* out of memory: truncated */
    va_end(again);
    assert(!whole || strlen(text) >= newlines);
    prog_line_put_visible(l, text, strlen(text) - (whole ? newlines : 0));
    while (newlines-- > 0) prog_line_put(l, "\n", 1);
    if (text != small) free(text);
}

/* >>standard error ------------------------------------------------------- */
/* The lock is held while a line is written, so that a message first removes the line of progress. */
static struct {
    pthread_mutex_t lock;
    bool            shown;   /* the terminal shows a line of progress */
    int64_t         next_ns; /* when the next update is due; INT64_MAX: never, no terminal */
    int64_t         begun_ns; /* the time of the first report of this task; 0: no task */
    uint64_t        begun_at; /* the bytes done by then */
} progress = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Print a message, followed by the text of error (of errno) if it is not 0. */
static void complain(const char *format, va_list args, int error)
{
    prog_line l;
    if (muted) return;
    prog_line_begin(&l);
    pthread_mutex_lock(&progress.lock);
    if (progress.shown) prog_line_put_text(&l, CLEAR_LINE);
    progress.shown = false;
    prog_line_put_text(&l, program_name);
    prog_line_put_text(&l, ": ");
    put_format(&l, format, args);
    if (error) {
        const char *text = os_error_text(error);
        prog_line_put_text(&l, ": ");
        prog_line_put_visible(&l, text, strlen(text));
    }
    prog_line_put(&l, "\n", 1);
    os_write_error(l.bytes, l.size);
    pthread_mutex_unlock(&progress.lock);
    prog_line_free(&l);
}

void prog_mute(bool on) { muted = on; }

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

/* Append the rate since the task began, and the time left at that rate. In the first second the
   rate is not reliable, so nothing is shown. */
static void put_rate(prog_line *l, uint64_t done, uint64_t total)
{
    char text[64];
    const double seconds = (double)(os_now_ns() - progress.begun_ns) / 1e9;
    if (seconds < 1 || done <= progress.begun_at) return;
    const double rate = (double)(done - progress.begun_at) / seconds;
    snprintf(text, sizeof text, "  %.1f MB/s", rate / 1e6);
    prog_line_put_text(l, text);
    if (total <= done) return;
    const unsigned long left = (unsigned long)((double)(total - done) / rate) + 1;
    snprintf(text, sizeof text, "  %lu:%02lu left", left / 60, left % 60);
    prog_line_put_text(l, text);
}

/* Write the line of progress. The lock is held. */
static void show(const char *what, uint64_t done, uint64_t total)
{
    char numbers[96];
    prog_line l;
    double mb = (double)done / 1e6;
    assert(progress.next_ns != INT64_MAX); /* standard error is a terminal */
    prog_line_begin(&l);
    prog_line_put_text(&l, CLEAR_LINE);
    prog_line_put_visible(&l, what, strlen(what));
    if (total)
        snprintf(numbers, sizeof numbers, "  %.1f of %.1f MB  %.0f %%", mb, (double)total / 1e6,
                 100.0 * (double)done / (double)total);
    else
        snprintf(numbers, sizeof numbers, "  %.1f MB", mb);
    prog_line_put_text(&l, numbers);
    put_rate(&l, done, total);
    os_write_error(l.bytes, l.size);
    prog_line_free(&l);
}

void prog_progress(const char *what, uint64_t done, uint64_t total, bool last)
{
    pthread_mutex_lock(&progress.lock);
    if (last) {
        if (progress.shown) os_write_error(CLEAR_LINE, strlen(CLEAR_LINE));
        progress.shown = false;
        progress.begun_ns = 0;
    } else {
        int64_t now_ns = os_now_ns();
        bool due = now_ns >= progress.next_ns;
        if (!progress.begun_ns) {
            progress.begun_ns = now_ns;
            progress.begun_at = done;
        }
        if (due) progress.next_ns = os_is_terminal() ? now_ns + PROGRESS_INTERVAL_NS : INT64_MAX;
        if (due && progress.next_ns != INT64_MAX) {
            show(what, done, total);
            progress.shown = true;
        }
    }
    pthread_mutex_unlock(&progress.lock);
}

void prog_progress_off(void)
{
    pthread_mutex_lock(&progress.lock);
    progress.next_ns = INT64_MAX;
    pthread_mutex_unlock(&progress.lock);
}

/* >>standard output ------------------------------------------------------ */
void prog_say(const char *format, ...)
{
    prog_line l;
    va_list args;
    prog_line_begin(&l);
    va_start(args, format);
    put_format(&l, format, args);
    va_end(args);
    fwrite(l.bytes, 1, l.size, stdout);
    prog_line_free(&l);
}

void prog_colour(prog_hue hue)
{
    static const char *const codes[] = {"\033[0m", "\033[31m", "\033[32m", "\033[33m"};
    const char *no = getenv("NO_COLOR");
    if ((!no || !*no) && os_output_is_terminal())
        fwrite(codes[hue], 1, strlen(codes[hue]), stdout);
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
