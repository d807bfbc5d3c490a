/* Messages, numbers as text, memory, and small things about files: what every file of every program may call. Stands on
   os.h only. */
#include "common.h"

#include "os.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *program_name = "?";

void dxup_begin(const char *name, int *argc, char ***argv)
{
    program_name = name;
    os_begin(argc, argv);
}

/* >>messages ----------------------------------------------------------- */
/* A message may quote a file's name, a version's, or what a server says: bytes that others chose and that a terminal would
   obey. Everything that the programs print goes through put_visible(). */

/* How many bytes at text are one character that a terminal shows; 0: a control character, or not UTF-8. */
static size_t visible(const unsigned char *text, size_t size)
{
    uint32_t c = text[0];
    size_t count = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
    if (!count || count > size) return 0;
    if (count > 1) c &= 0x7fu >> count;
    for (size_t i = 1; i < count; i++) {
        if ((text[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (text[i] & 0x3fu);
    }
    bool longer_than_needed = (count == 3 && c < 0x800) || (count == 4 && c < 0x10000);
    bool half_a_pair = c >= 0xd800 && c < 0xe000;
    bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
    bool line_break = c == 0x2028 || c == 0x2029;
    bool direction = c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
    bool bad = longer_than_needed || half_a_pair || c > 0x10ffff || control || line_break || direction;
    return bad ? 0 : count;
}

static void put_visible(FILE *out, const char *text, size_t size)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t shown = 0; /* of at, that were not printed yet: they go out in one piece */
    while (shown < size) {
        size_t count = visible(at + shown, size - shown);
        shown += count;
        if (count) continue;
        fwrite(at, 1, shown, out);
        fprintf(out, "\\x%02x", (unsigned)at[shown]);
        at += shown + 1;
        size -= shown + 1;
        shown = 0;
    }
    fwrite(at, 1, shown, out);
}

/* Newlines that end the format stay; all other control characters came with an argument. */
static void say(FILE *out, const char *format, va_list args)
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
    if (!text) text = small; /* no memory: shortened, rather than not said */
    va_end(again);
    put_visible(out, text, strlen(text) - (whole ? newlines : 0));
    while (newlines-- > 0) fputc('\n', out);
    if (text != small) free(text);
}

static void complain(const char *format, va_list args)
{
    dxup_progress(NULL, 0, 0, true);
    fprintf(stderr, "%s: ", program_name);
    say(stderr, format, args);
}

void dxup_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(stdout, format, args);
    va_end(args);
}

void dxup_warn(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(format, args);
    va_end(args);
    fputc('\n', stderr);
}

int dxup_fail(int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(format, args);
    va_end(args);
    fputc('\n', stderr);
    return status;
}

int dxup_fail_errno(const char *format, ...)
{
    int error = errno;
    va_list args;
    va_start(args, format);
    complain(format, args);
    va_end(args);
    fprintf(stderr, ": %s\n", os_error_text(error));
    return error == ENOENT ? DXUP_NOT_FOUND : DXUP_SYSTEM;
}

/* >>the rest ----------------------------------------------------------- */

void *dxup_alloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (p) return p;
    dxup_fail(DXUP_SYSTEM, "out of memory");
    exit(DXUP_SYSTEM);
}

int64_t dxup_now_ns(void) { return os_now_ns(); }

int64_t dxup_time_ns(void) { return os_time_ns(); }

char *dxup_count_text(uint64_t count, char out[32])
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count), used = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = 0;
    return out;
}

char *dxup_hash_text(const uint8_t hash[DXUP_HASH_SIZE], char out[65])
{
    for (int i = 0; i < DXUP_HASH_SIZE; i++) snprintf(out + 2 * i, 3, "%02x", hash[i]);
    return out;
}

bool dxup_hash_parse(const char *text, uint8_t hash[DXUP_HASH_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 2 * DXUP_HASH_SIZE; i++) {
        const char *digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit) return false;
        hash[i / 2] = (uint8_t)(i % 2 ? hash[i / 2] << 4 | (digit - digits) : digit - digits);
    }
    return true;
}

void dxup_progress(const char *what, uint64_t done, uint64_t total, bool last)
{
    static int64_t next_ns;
    static bool shown;
    if (last) {
        if (shown) fputs("\r\033[K", stderr);
        shown = false;
        return;
    }
    int64_t now_ns = dxup_now_ns();
    if (now_ns < next_ns) return;
    next_ns = os_is_terminal() ? now_ns + 100000000 : INT64_MAX;
    if (next_ns == INT64_MAX) return;
    shown = true;
    double mb = (double)done / 1e6;
    fputs("\r\033[K", stderr);
    put_visible(stderr, what, strlen(what));
    if (total)
        fprintf(stderr, "  %.1f of %.1f MB  %.0f %%", mb, (double)total / 1e6, 100.0 * (double)done / (double)total);
    else
        fprintf(stderr, "  %.1f MB", mb);
    fflush(stderr);
}

unsigned dxup_thread_count(unsigned workers, unsigned max)
{
    if (!workers) workers = os_cpu_count();
    return workers < max ? workers : max;
}

bool dxup_write_all(int fd, const void *bytes, size_t size) { return os_write(fd, bytes, size) == 0; }

int dxup_sync_parent(const char *path)
{
    return os_sync_parent(path) < 0 ? dxup_fail_errno("%s: sync of its folder", path) : DXUP_OK;
}

static int found(void *user, const char *name)
{
    (void)user;
    (void)name;
    return 1;
}

bool dxup_has_entries(const char *path)
{
    int folder = os_open_folder(path);
    if (folder < 0) return false;
    bool has = os_list(folder, found, NULL) == 1;
    os_close(folder);
    return has;
}

int dxup_remove_all(const char *path)
{
    return os_remove_tree(path) < 0 ? dxup_fail_errno("%s: cannot be removed", path) : DXUP_OK;
}
