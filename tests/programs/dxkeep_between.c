/* Preloaded into dxkeep: at each call that opens or reads a file below ./data, a program may act before dxkeep
   goes on. It is asked by a byte through the pipe DX_ASK, and has acted when a byte comes through DX_DONE. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static __thread bool inside;
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER; /* dxkeep has several threads */

static bool is_below(int fd, const char *path)
{
    char link[64], place[4096], top[4096];
    if (path && strstr(path, "data")) return true;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t size = readlink(link, place, sizeof place - 1);
    if (size <= 0 || !getcwd(top, sizeof top - 8)) return false;
    place[size] = 0;
    strcat(top, "/data");
    return !strncmp(place, top, strlen(top));
}

static void called(int fd, const char *path)
{
    char byte = 'x';
    if (inside || !getenv("DX_ASK") || !is_below(fd, path)) return;
    inside = true;
    pthread_mutex_lock(&one);
    const int ask = REAL(open)(getenv("DX_ASK"), O_WRONLY | O_CLOEXEC);
    const int done = REAL(open)(getenv("DX_DONE"), O_RDONLY | O_CLOEXEC);
    if (ask < 0 || done < 0 || write(ask, &byte, 1) != 1 || REAL(read)(done, &byte, 1) != 1) abort();
    close(ask);
    close(done);
    pthread_mutex_unlock(&one);
    inside = false;
}

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    const unsigned mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, unsigned) : 0;
    va_end(more);
    called(-1, path);
    return REAL(open)(path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    const unsigned mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, unsigned) : 0;
    va_end(more);
    called(folder, folder == AT_FDCWD ? path : NULL);
    return REAL(openat)(folder, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    const unsigned mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, unsigned) : 0;
    va_end(more);
    called(-1, path);
    return REAL(open)(path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    const unsigned mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, unsigned) : 0;
    va_end(more);
    called(folder, folder == AT_FDCWD ? path : NULL);
    return REAL(openat)(folder, path, flags, mode);
}

ssize_t pread64(int fd, void *out, size_t size, off64_t at)
{
    called(fd, NULL);
    return REAL(pread64)(fd, out, size, at);
}

ssize_t pread(int fd, void *out, size_t size, off_t at)
{
    called(fd, NULL);
    return REAL(pread)(fd, out, size, at);
}

ssize_t read(int fd, void *out, size_t size)
{
    if (!inside) called(fd, NULL);
    return REAL(read)(fd, out, size);
}
