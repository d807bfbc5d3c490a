/* Preloaded into dxkeep: an external writer that acts between two calls of one capture.

   It counts the calls by which dxkeep opens, lists, examines and reads files below ./data while
   the program is stopped, and acts after one of them: after the first in the first capture, after
   the second in the next, and so on. To act is to write the next number to data/d0/a, then to
   data/d1/b. So that both files are read during the stop, it acts before the stop, too.

       SIGSTOP   call 1   call 2   call 3 ...   SIGCONT
       ^ acts             ^ acts, in the second capture

   With DX_DELAY_MS it only waits that long before each stop, so that the program can write to
   files that the capture has already read.

   DX_WRITER is a file that gets a line per stop: the call after which it acted (0: there were
   fewer calls, so that all have been tested), and the last number written. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int stops, calls, acted, number = 1000000000;
static bool stopped, inside;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void write_number(const char *path)
{
    char text[2000], digits[16];
    const int fd = REAL(open)(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    snprintf(digits, sizeof digits, "%010d", number);
    for (size_t i = 0; i < sizeof text; i += 10) memcpy(text + i, digits, 10);
    if (fd < 0 || REAL(pwrite)(fd, text, sizeof text, 0) != (ssize_t)sizeof text) abort();
    REAL(close)(fd);
}

static void act(void)
{
    const char *delay = getenv("DX_DELAY_MS");
    if (delay) {
        usleep((unsigned)atoi(delay) * 1000);
        return;
    }
    inside = true;
    number++;
    write_number("data/d0/a");
    write_number("data/d1/b");
    inside = false;
}

static bool is_below(int folder, const char *path)
{
    char link[64], place[4096], top[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    if (path && (folder == AT_FDCWD || *path == '/')) return strstr(path, "data") != NULL;
    const ssize_t size = readlink(link, place, sizeof place - 1);
    if (size <= 0 || !getcwd(top, sizeof top - 8)) return false;
    place[size] = 0;
    strcat(top, "/data");
    return !strncmp(place, top, strlen(top));
}

static void called(int folder, const char *path)
{
    if (!stopped || inside || getenv("DX_DELAY_MS") || !is_below(folder, path)) return;
    if (++calls != stops) return;
    acted = calls;
    act();
}

int kill(pid_t pid, int signal)
{
    if (signal == SIGSTOP && !stopped) {
        act();
        stopped = true;
        stops++;
        calls = acted = 0;
    }
    if (signal == SIGCONT && stopped) {
        const char *record = getenv("DX_WRITER");
        FILE *f = fopen(record ? record : "/dev/null", "a");
        if (!f || fprintf(f, "%d %d\n", acted, number) < 0 || fclose(f) != 0) abort();
        stopped = false;
    }
    return REAL(kill)(pid, signal);
}

#define OPEN(name, folder, parameters, arguments)          \
    int name parameters                                    \
    {                                                      \
        va_list more;                                      \
        va_start(more, flags);                             \
        const int mode = flags & O_CREAT ? va_arg(more, int) : 0; \
        va_end(more);                                      \
        const int fd = REAL(name) arguments;               \
        called(folder, path);                              \
        return fd;                                         \
    }

OPEN(open, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, folder, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))
OPEN(openat64, folder, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))

ssize_t read(int fd, void *out, size_t size)
{
    const ssize_t n = REAL(read)(fd, out, size);
    called(fd, NULL);
    return n;
}

ssize_t pread(int fd, void *out, size_t size, off_t at)
{
    const ssize_t n = REAL(pread)(fd, out, size, at);
    called(fd, NULL);
    return n;
}

ssize_t pread64(int fd, void *out, size_t size, off64_t at)
{
    const ssize_t n = REAL(pread64)(fd, out, size, at);
    called(fd, NULL);
    return n;
}

#define FSTAT(name, type)                       \
    int name(int fd, type *out)                 \
    {                                           \
        const int result = REAL(name)(fd, out); \
        called(fd, NULL);                       \
        return result;                          \
    }

FSTAT(fstat, struct stat)
FSTAT(fstat64, struct stat64)

#define FSTATAT(name, type)                                         \
    int name(int folder, const char *path, type *out, int flags)    \
    {                                                               \
        const int result = REAL(name)(folder, path, out, flags);    \
        called(folder, path);                                       \
        return result;                                              \
    }

FSTATAT(fstatat, struct stat)
FSTATAT(fstatat64, struct stat64)

#define READDIR(name, type)            \
    type *name(DIR *d)                 \
    {                                  \
        type *entry = REAL(name)(d);   \
        called(dirfd(d), NULL);        \
        return entry;                  \
    }

READDIR(readdir, struct dirent)
READDIR(readdir64, struct dirent64)
