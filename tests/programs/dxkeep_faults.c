/* Preloaded into dxkeep: a system with one fault, which DX_FAULT names by the reason that dxkeep must give
   for it. So that each stop has something to read, two files in ./data are written just before it, data/f
   and data/g:

       write f, g   SIGSTOP   the calls of the capture, one of them with the fault   SIGCONT

       slow-stop              SIGSTOP has no effect yet, as for a process that waits for a disk
       processes-started      the kernel counts another start at each look, and ids wrap around
       unstoppable            SIGSTOP is not permitted, as for a process of another user
       slow-read              the first file is opened only after DX_DELAY_MS
       too-much-changed       data/big gets 72 MB just before the stop, more than may be held in memory
       polled                 the directory is on an overlay file system
       events-lost            the queue of notifications overflows during the stop
       events-always-lost     it overflows at every second read, whether something is stopped or not
       mappings-unknown       the mapped files of a process may not be listed
       owner-changed          the directory has another owner during the stop, without a notification
       replaced               f is a symbolic link whenever it is opened
       written-while-stopped  something else writes to f after it was read, before g is
       changed-during-reads   f grows after each read of it
       slow-disk              while the program is stopped, each read of data/big takes DX_DELAY_MS, unless ./fast
                              exists; ./stops gets a byte for each stop that reads it */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static bool stopped, inside, done; /* done: the fault has occurred during this stop */
static int queue = -1, number;
static unsigned reads; /* of the queue */

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static bool fault(const char *name)
{
    const char *asked = getenv("DX_FAULT");
    return !inside && asked && !strcmp(asked, name);
}

static bool once(const char *name)
{
    if (!stopped || done || !fault(name)) return false;
    done = true;
    return true;
}

static void append(const char *path)
{
    char text[16];
    inside = true;
    const int fd = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    const int size = snprintf(text, sizeof text, "%d\n", ++number);
    if (fd < 0 || REAL(write)(fd, text, (size_t)size) != size) abort();
    close(fd);
    inside = false;
}

/* Not before the files that wake dxkeep: it shall meet this one during the stop. */
static void write_big(void)
{
    static char bytes[1 << 20];
    const int fd = REAL(open)("data/big", O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    number++;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(number + (int)(i * i >> 7));
    for (int at = 0; at < 72; at++)
        if (fd < 0 || REAL(write)(fd, bytes, sizeof bytes) != (ssize_t)sizeof bytes) abort();
    close(fd);
}

static bool is_file(int fd, const char *path)
{
    char link[64], place[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t size = readlink(link, place, sizeof place), end = (ssize_t)strlen(path);
    return size > end && !memcmp(place + size - end, path, (size_t)end);
}

static bool is_f(int fd) { return is_file(fd, "/data/f"); }

static void wait_for_disk(int fd)
{
    if (!stopped || !fault("slow-disk") || !is_file(fd, "/data/big")) return;
    if (once("slow-disk")) {
        const int count = REAL(open)("stops", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (count < 0 || REAL(write)(count, ".", 1) != 1) abort();
        close(count);
    }
    if (access("fast", F_OK) < 0) usleep((unsigned)atoi(getenv("DX_DELAY_MS")) * 1000);
}

/* >>processes ---------------------------------------------------------- */
int kill(pid_t pid, int signal)
{
    if (signal == SIGSTOP) {
        if (!stopped) {
            append("data/f");
            append("data/g");
            if (fault("too-much-changed")) write_big();
        }
        stopped = true;
        done = false;
        if (fault("slow-stop")) return 0;
        if (fault("unstoppable")) {
            errno = EPERM;
            return -1;
        }
    }
    if (signal == SIGCONT) stopped = false;
    return REAL(kill)(pid, signal);
}

/* A file of /proc with this text. */
static int text_file(const char *text)
{
    const int fd = memfd_create("proc", MFD_CLOEXEC);
    if (fd < 0 || REAL(write)(fd, text, strlen(text)) < 0 || lseek(fd, 0, SEEK_SET) < 0) abort();
    return fd;
}

static int opens(int folder, const char *path)
{
    static int started = 1000000, last = 1000000;
    char text[64];
    (void)folder;
    if (fault("processes-started") && !strcmp(path, "/proc/stat")) {
        snprintf(text, sizeof text, "cpu 0\nprocesses %d\n", ++started);
        return text_file(text);
    }
    if (fault("processes-started") && !strcmp(path, "/proc/loadavg")) {
        snprintf(text, sizeof text, "0 0 0 1/1 %d\n", --last);
        return text_file(text);
    }
    if (!strcmp(path, "f") && fault("replaced")) {
        errno = ELOOP;
        return -1;
    }
    if (!strcmp(path, "f") && once("slow-read")) usleep((unsigned)atoi(getenv("DX_DELAY_MS")) * 1000);
    if (!strcmp(path, "g") && once("written-while-stopped")) append("data/f");
    return -2; /* no fault */
}

#define OPEN(name, folder, parameters, arguments)                         \
    int name parameters                                                   \
    {                                                                     \
        va_list more;                                                     \
        va_start(more, flags);                                            \
        const mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;   \
        va_end(more);                                                     \
        const int fd = opens(folder, path);                               \
        return fd != -2 ? fd : REAL(name) arguments;                      \
    }

OPEN(open, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, folder, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))
OPEN(openat64, folder, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))

static bool hides(const char *path)
{
    const size_t size = strlen(path);
    if (!fault("mappings-unknown") || size < 5 || strcmp(path + size - 5, "/maps") != 0) return false;
    errno = EACCES;
    return true;
}

FILE *fopen(const char *path, const char *mode) { return hides(path) ? NULL : REAL(fopen)(path, mode); }
FILE *fopen64(const char *path, const char *mode) { return hides(path) ? NULL : REAL(fopen64)(path, mode); }

/* >>notifications ------------------------------------------------------ */
int inotify_init1(int flags) { return queue = REAL(inotify_init1)(flags); }

static void set_kind(long *kind)
{
    if (fault("polled")) *kind = 0x794c7630; /* overlay */
}

int fstatfs(int fd, struct statfs *out)
{
    const int result = REAL(fstatfs)(fd, out);
    if (!result) set_kind(&out->f_type);
    return result;
}

int fstatfs64(int fd, struct statfs64 *out)
{
    const int result = REAL(fstatfs64)(fd, out);
    if (!result) set_kind(&out->f_type);
    return result;
}

/* >>files -------------------------------------------------------------- */
ssize_t read(int fd, void *out, size_t size)
{
    if (fd == queue && once("events-lost")) {
        const struct inotify_event lost = {.wd = -1, .mask = IN_Q_OVERFLOW};
        if (size < sizeof lost) abort();
        memcpy(out, &lost, sizeof lost);
        return sizeof lost;
    }
    if (fd == queue && fault("events-always-lost") && ++reads % 2 == 0) {
        const struct inotify_event lost = {.wd = -1, .mask = IN_Q_OVERFLOW};
        if (size < sizeof lost) abort();
        memcpy(out, &lost, sizeof lost);
        return sizeof lost;
    }
    const ssize_t n = REAL(read)(fd, out, size);
    if (n > 0 && fault("changed-during-reads") && is_f(fd)) append("data/f");
    return n;
}

#define PREAD(name, offset)                                                             \
    ssize_t name(int fd, void *out, size_t size, offset at)                             \
    {                                                                                   \
        wait_for_disk(fd);                                                              \
        const ssize_t n = REAL(name)(fd, out, size, at);                                \
        if (n > 0 && fault("changed-during-reads") && is_f(fd)) append("data/f");       \
        return n;                                                                       \
    }

PREAD(pread, off_t)
PREAD(pread64, off64_t)

#define FSTAT(name, type)                                                                       \
    int name(int fd, type *out)                                                                 \
    {                                                                                           \
        const int result = REAL(name)(fd, out);                                                 \
        if (!result && stopped && S_ISDIR(out->st_mode) && fault("owner-changed")) out->st_uid++; \
        return result;                                                                          \
    }

FSTAT(fstat, struct stat)
FSTAT(fstat64, struct stat64)
