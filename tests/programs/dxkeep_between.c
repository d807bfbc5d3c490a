/* Preloaded into dxkeep: at each call that opens or reads a file below ./data, a program may act before dxkeep
   goes on. It is asked by a byte through the socket DX_ASK, and has acted when it answers with one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* In the process that takes the locks only so often: a commit between each of its reads would keep it from
   beginning a transaction. */
static int left = 10;
static pid_t first;
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
    if (!first) first = getpid();
    if (getpid() != first && left-- <= 0) return;
    inside = true;
    pthread_mutex_lock(&one);
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", getenv("DX_ASK"));
    const int ask = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(ask, (struct sockaddr *)&to, sizeof to) || send(ask, &byte, 1, 0) != 1 ||
        recv(ask, &byte, 1, 0) != 1)
        abort();
    close(ask);
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
