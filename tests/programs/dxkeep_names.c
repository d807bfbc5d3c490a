/* Preloaded into dxkeep: its call DX_NAMES_AT of readdir(), those in /proc not counted, fails with EIO, once, as on a disk that cannot be read at
   that moment. DX_NAMES_OUT: a file that then gets a byte. New threads run before the one that made them goes on, so that
   these list directories, too. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

static long calls;

static int fails(DIR *d)
{
    struct statfs fs;
    if (fstatfs(dirfd(d), &fs) == 0 && fs.f_type == 0x9fa0 /* /proc */) return 0;
    const char *at = getenv("DX_NAMES_AT"), *out = getenv("DX_NAMES_OUT");
    if (!at || __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) != atol(at)) return 0;
    const int fd = out ? open(out, O_WRONLY | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (fd >= 0 && write(fd, "1", 1) != 1) abort();
    if (fd >= 0) close(fd);
    errno = EIO;
    return 1;
}

struct dirent *readdir(DIR *d)
{
    static struct dirent *(*real)(DIR *);
    if (!real) real = (struct dirent * (*)(DIR *))dlsym(RTLD_NEXT, "readdir");
    return fails(d) ? NULL : real(d);
}

struct dirent64 *readdir64(DIR *d)
{
    static struct dirent64 *(*real)(DIR *);
    if (!real) real = (struct dirent64 * (*)(DIR *))dlsym(RTLD_NEXT, "readdir64");
    return fails(d) ? NULL : real(d);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *user)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, "pthread_create");
    const int error = real(thread, attributes, run, user);
    usleep(2000);
    return error;
}
