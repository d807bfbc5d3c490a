/* Errors, files and numbers as text. Another program may compile this under its own name. */
#include "dxup.h"

#ifndef DXUP_PROGRAM
#define DXUP_PROGRAM "dxup"
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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
    fprintf(stderr, ": %s\n", strerror(error));
    return error == ENOENT ? DXUP_NOT_FOUND : DXUP_SYSTEM;
}

void *dxup_alloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (p) return p;
    dxup_fail(DXUP_SYSTEM, "out of memory");
    exit(DXUP_SYSTEM);
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t dxup_now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

int64_t dxup_time_ns(void) { return clock_ns(CLOCK_REALTIME); }

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
    if (now_ns < next_ns || !isatty(STDERR_FILENO)) return;
    next_ns = now_ns + 100000000;
    shown = true;
    double mb = (double)done / 1e6;
    if (total)
        fprintf(stderr, "\r\033[K%s  %.1f of %.1f MB  %.0f %%", what, mb, (double)total / 1e6,
                100.0 * (double)done / (double)total);
    else
        fprintf(stderr, "\r\033[K%s  %.1f MB", what, mb);
    fflush(stderr);
}

bool dxup_write_all(int fd, const void *bytes, size_t size)
{
    const char *p = bytes;
    while (size) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

int dxup_sync_parent(const char *path)
{
    char dir[DXUP_PATH_SIZE_MAX + 64];
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash - path) : 0;
    if (slash == path) size = 1;
    if (size >= sizeof dir) return dxup_fail(DXUP_USAGE, "%s: the path is too long", path);
    memcpy(dir, slash ? path : ".", slash ? size : 1);
    dir[slash ? size : 1] = 0;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return dxup_fail_errno("%s", dir);
    int status = fsync(fd) < 0 && errno != EINVAL ? dxup_fail_errno("%s: sync", dir) : DXUP_OK;
    close(fd);
    return status;
}

bool dxup_has_entries(const char *path)
{
    bool found = false;
    DIR *d = opendir(path);
    if (!d) return false;
    for (struct dirent *e; !found && (e = readdir(d)) != NULL;)
        found = strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return found;
}

/* Empty the directory fd (closed here). Depth is bounded by the tree that this program or a
   user made; each level holds one descriptor, so the system's limit ends a hostile one. */
static bool remove_children(int fd)
{
    bool good = true;
    DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return false;
    }
    fchmod(fd, 0700);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        if (unlinkat(fd, e->d_name, 0) == 0) continue;
        int child = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (child < 0 || !remove_children(child) || unlinkat(fd, e->d_name, AT_REMOVEDIR) < 0)
            good = false;
    }
    closedir(d);
    return good;
}

int dxup_remove_all(const char *path)
{
    if (unlink(path) == 0 || errno == ENOENT) return DXUP_OK;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || !remove_children(fd) || rmdir(path) < 0)
        return dxup_fail_errno("%s: cannot be removed", path);
    return DXUP_OK;
}
