/* Errors, files and numbers as text. Another program may compile this under its own name. */
#include "dxup.h"

#ifndef DXUP_PROGRAM
#define DXUP_PROGRAM "dxup"
#endif

#include "os.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int dxup_fail(int status, const char *format, ...)
{
    va_list args;
    dxup_progress(NULL, 0, 0, true);
    fputs(DXUP_PROGRAM ": ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return status;
}

int dxup_fail_errno(const char *format, ...)
{
    int error = errno;
    va_list args;
    dxup_progress(NULL, 0, 0, true);
    fputs(DXUP_PROGRAM ": ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, ": %s\n", os_error_text(error));
    return error == ENOENT ? DXUP_NOT_FOUND : DXUP_SYSTEM;
}

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
    if (total)
        fprintf(stderr, "\r\033[K%s  %.1f of %.1f MB  %.0f %%", what, mb, (double)total / 1e6,
                100.0 * (double)done / (double)total);
    else
        fprintf(stderr, "\r\033[K%s  %.1f MB", what, mb);
    fflush(stderr);
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
