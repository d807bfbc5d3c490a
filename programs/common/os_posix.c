/* os.h for POSIX: Linux, BSD, macOS. Most functions are one system call; the others retry after EINTR
   and keep errno of the first failure. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os.h"

#if !defined(_WIN32)
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os_network.h"

#ifdef __linux__
#include <sys/syscall.h>
#include <sys/vfs.h>
#endif

/* >>program ------------------------------------------------------------ */
void os_begin(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* exceeding a file size limit is then an error, like a full disk */
}

char *os_path(char *argument) { return argument; }

const char *os_error_text(int error) { return strerror(error); }

const char *os_cas_error_text(int error) { return strerror(error); }

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t os_now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

int64_t os_time_ns(void) { return clock_ns(CLOCK_REALTIME); }

int64_t os_used_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

void os_time_text(int64_t time_ns, char out[32])
{
    time_t seconds = (time_t)(time_ns / 1000000000);
    struct tm tm;
    strftime(out, 32, "%Y-%m-%d %H:%M:%S", gmtime_r(&seconds, &tm));
}

void os_write_error(const void *bytes, size_t size) { (void)os_write(STDERR_FILENO, bytes, size); }

/* TERM=dumb: it shows escape sequences instead of interpreting them. */
static bool is_terminal(int file)
{
    const char *term = getenv("TERM");
    return isatty(file) && (!term || strcmp(term, "dumb") != 0);
}

bool os_is_terminal(void) { return is_terminal(STDERR_FILENO); }

bool os_output_is_terminal(void) { return is_terminal(STDOUT_FILENO); }

uint64_t os_memory_peak(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
    return (uint64_t)usage.ru_maxrss;
#else
    return (uint64_t)usage.ru_maxrss * 1024;
#endif
}

#ifdef __linux__
enum { CPUS_MAX = 1 << 20 };

/* Processors in the affinity mask of this thread; 0: unknown. The buffer grows until the kernel's
   mask fits: some machines have more than the 1024 processors of a cpu_set_t. */
static unsigned affinity_count(void)
{
    for (unsigned cpus = 1024; cpus <= CPUS_MAX; cpus *= 2) {
        cpu_set_t *mask = CPU_ALLOC(cpus);
        size_t size = CPU_ALLOC_SIZE(cpus);
        if (!mask) return 0;
        int result = sched_getaffinity(0, size, mask);
        int error = errno;
        unsigned count = result == 0 ? (unsigned)CPU_COUNT_S(size, mask) : 0;
        CPU_FREE(mask);
        if (result == 0 || error != EINVAL) return count;
    }
    return 0;
}
#else
static unsigned affinity_count(void) { return 0; }
#endif

unsigned os_cpu_count(void)
{
    unsigned count = affinity_count();
    if (count) return count;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online <= INT_MAX ? (unsigned)online : 1;
}

void os_sleep_ns(int64_t ns)
{
    struct timespec left = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    while (nanosleep(&left, &left) < 0 && errno == EINTR) continue;
}

int os_make_temporary_folder(char *path, size_t size)
{
    const char *base = getenv("TMPDIR");
    enum { CHANCE = 6 }; /* mkdtemp() replaces each X */
    int length = snprintf(path, size, "%s/dxup-", base && *base ? base : "/tmp");
    if (length > 0 && (size_t)length + CHANCE < size) {
        memset(path + length, 'X', CHANCE);
        path[length + CHANCE] = 0;
        return mkdtemp(path) ? 0 : -1;
    }
    errno = ENAMETOOLONG;
    return -1;
}

void os_limit_receive(int socket, int size)
{
    (void)setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

int os_set_variable(const char *name, const char *value) { return setenv(name, value, 1); }

int os_run(const char *command)
{
    int status;
    pid_t pid = fork();
    if (pid < 0) return -1;
    if (pid == 0) {
        signal(SIGPIPE, SIG_DFL); /* children must not inherit the signals that os_begin() ignores */
        signal(SIGXFSZ, SIG_DFL);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

bool os_random(void *out, size_t size) { return getentropy(out, size) == 0; }

unsigned os_new_mode(void)
{
    mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

static sigset_t ends;

static void on_hangup(int number) { (void)number; }

void os_end_prepare(void)
{
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    signal(SIGHUP, on_hangup); /* nohup ignores it, and some systems then drop it */
    pthread_sigmask(SIG_BLOCK, &ends, NULL); /* blocked in all threads: the main thread waits for them */
}

int os_end_wait(void)
{
    int number = SIGTERM;
    sigwait(&ends, &number);
    return number == SIGHUP ? OS_HANGUP : OS_END;
}

/* >>paths -------------------------------------------------------------- */
bool os_is_thin(const struct stat *st)
{
    const int64_t block = 4096; /* a small file can have no blocks, yet no hole */
    return (int64_t)st->st_blocks * 512 + block <= (int64_t)st->st_size;
}

/* Convert struct stat to os_info. */
static void fill_info(const struct stat *st, os_info *out)
{
    out->kind = OS_OTHER;
    if (S_ISREG(st->st_mode)) out->kind = OS_FILE;
    if (S_ISDIR(st->st_mode)) out->kind = OS_FOLDER;
    if (S_ISLNK(st->st_mode)) out->kind = OS_LINK;
    out->mode = st->st_mode & 0777;
    out->size = (uint64_t)st->st_size;
    out->volume = (uint64_t)st->st_dev;
    out->number = (uint64_t)st->st_ino;
    out->names = (uint64_t)st->st_nlink;
    out->user = st->st_uid;
    out->group = st->st_gid;
    out->mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    out->ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
    out->special = (st->st_mode & 07000) != 0;
    out->thin = S_ISREG(st->st_mode) && os_is_thin(st);
}

int os_stat(const char *path, bool follow, os_info *out)
{
    struct stat st;
    assert(path && out);
    if ((follow ? stat(path, &st) : lstat(path, &st)) < 0) return -1;
    fill_info(&st, out);
    return 0;
}

int os_real_path(const char *path, char *out, size_t size)
{
    char real[PATH_MAX];
    if (realpath(path, real)) path = real;
    if (strlen(path) < size) {
        strcpy(out, path);
        return 0;
    }
    errno = ENAMETOOLONG;
    return -1;
}

const char *os_name_fault(const char *name)
{
    (void)name;
    return NULL;
}

int os_make_folder(const char *path, unsigned mode) { return mkdir(path, (mode_t)mode); }

int os_set_mode(const char *path, unsigned mode) { return chmod(path, (mode_t)mode); }

int os_remove(const char *path) { return unlink(path); }

static bool remove_children(int fd);

/* Open a folder to empty it, also one that its owner may not read. */
static int open_to_empty(int fd, const char *name)
{
    const int child = os_open_in(fd, name, OS_FOLDER);
    if (child >= 0 || errno != EACCES) return child;
    if (fchmodat(fd, name, 0700, AT_SYMLINK_NOFOLLOW) < 0) return -1;
    return os_open_in(fd, name, OS_FOLDER);
}

static bool remove_child(int fd, const char *name)
{
    if (unlinkat(fd, name, 0) == 0) return true;
    const int child = open_to_empty(fd, name);
    return child >= 0 && remove_children(child) && unlinkat(fd, name, AT_REMOVEDIR) == 0;
}

/* Empty the folder fd and close it. Each level of recursion holds one descriptor, so the limit of open
   files bounds the depth. */
static bool remove_children(int fd)
{
    int error = 0;
    assert(fd >= 0);
    DIR *d = fdopendir(fd);
    if (!d) {
        error = errno;
        close(fd);
        errno = error;
        return false;
    }
    fchmod(fd, 0700);
    /* Some systems skip entries while others are removed: repeat until a pass removes nothing. */
    for (bool removed = true; removed; rewinddir(d)) {
        removed = false;
        error = 0;
        for (;;) {
            errno = 0;
            const struct dirent *e = readdir(d);
            if (!e && errno) error = errno;
            if (!e) break;
            if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
            if (remove_child(fd, e->d_name)) removed = true;
            else error = errno;
        }
    }
    closedir(d);
    errno = error;
    return !error;
}

int os_remove_tree(const char *path)
{
    if (unlink(path) == 0 || errno == ENOENT) return 0;
    const int fd = open_to_empty(AT_FDCWD, path);
    return fd < 0 || !remove_children(fd) ? -1 : rmdir(path);
}

int os_replace_in(int folder, const char *name, const char *from)
{
    char old[PATH_MAX + 128];
    assert(strcmp(from, name) != 0);
#ifdef SYS_renameat2
    if (syscall(SYS_renameat2, AT_FDCWD, from, folder, name, 2u /* EXCHANGE */) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return -1;
#endif
    snprintf(old, sizeof old, "%s-old", from); /* kept until the second rename has succeeded */
    if (os_remove_tree(old) < 0 || renameat(folder, name, AT_FDCWD, old) < 0) return -1;
    if (renameat(AT_FDCWD, from, folder, name) < 0) {
        int error = errno;
        renameat(AT_FDCWD, old, folder, name);
        errno = error;
        return -1;
    }
    return rename(old, from);
}

int os_replace(int file, const char *from, const char *to, bool folder)
{
    struct stat st;
    (void)file;
    if (!folder || lstat(to, &st) < 0) return rename(from, to);
    return os_replace_in(AT_FDCWD, to, from);
}

int os_exchange(const char *a, const char *b)
{
#ifdef SYS_renameat2
    return (int)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2u /* EXCHANGE */);
#else
    (void)a;
    (void)b;
    errno = ENOSYS;
    return -1;
#endif
}

int os_place(int file, const char *from, const char *to)
{
    struct stat st;
    (void)file;
#ifdef SYS_renameat2
    if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 1u /* NOREPLACE */) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return -1;
#endif
    if (lstat(to, &st) == 0) {
        errno = EEXIST;
        return -1;
    }
    return rename(from, to);
}

int os_remove_folder(const char *path) { return rmdir(path); }

void os_replace_recover(const char *path) { (void)path; }

int os_sync_parent(const char *path)
{
    char folder[PATH_MAX + 128];
    const char *slash = strrchr(path, '/');
    size_t size = slash && slash != path ? (size_t)(slash - path) : 1;
    if (size >= sizeof folder) {
        errno = ENAMETOOLONG;
        return -1;
    }
    assert(size > 0);
    memcpy(folder, slash ? path : ".", size);
    folder[size] = 0;
    int fd = os_open_folder(folder);
    if (fd < 0) return -1;
    int result = fsync(fd) < 0 && errno != EINVAL ? -1 : 0;
    close(fd);
    return result;
}

/* >>open files --------------------------------------------------------- */
int os_open(const char *path) { return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); }

int os_open_folder(const char *path) { return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); }

/* Opening a fifo without a reader would wait for one. */
int os_open_append(const char *path, unsigned mode)
{
    const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY;
    int fd = open(path, flags | O_NONBLOCK, mode);
    if (fd >= 0) (void)fcntl(fd, F_SETFL, flags & O_APPEND);
    return fd;
}

int os_open_unnamed(const char *path)
{
#if defined(O_TMPFILE)
    char folder[PATH_MAX + 1]; /* a file that never has a name is not left by a failure or a kill */
    const char *slash = strrchr(path, '/');
    const size_t size = slash ? (size_t)(slash - path) + 1 : 0;
    if (size <= PATH_MAX) {
        memcpy(folder, size ? path : ".", size ? size : 1);
        folder[size ? size : 1] = 0;
        const int unnamed = open(folder, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
        if (unnamed >= 0) return unnamed;
    }
#endif
    unlink(path); /* left by a process killed between the next two lines */
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) unlink(path);
    return fd;
}

/* Store and write back a byte, reset the time, store another byte: did the time change? On tmpfs the
   page stays writable, so the kernel does not notice the second store. */
static bool map_updates_times(int fd)
{
    struct stat st;
    const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    if (ftruncate(fd, 4096) < 0) return false;
    volatile char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) return false;
    map[0] = 1;
    bool updates = msync((void *)(uintptr_t)map, 4096, MS_SYNC) == 0 && futimens(fd, old) == 0;
    map[0] = 2;
    updates = updates && fstat(fd, &st) == 0 && st.st_mtim.tv_sec != old[1].tv_sec;
    munmap((void *)(uintptr_t)map, 4096);
    return updates;
}

/* A temporary file in path's folder. */
static int open_probe(const char *path)
{
    char name[PATH_MAX + 64];
    const size_t size = strlen(path);
    const char *slash = strrchr(path, '/');
    if (size > PATH_MAX) return -1;
    int front = slash ? (int)(slash + 1 - path) : 0;
    snprintf(name, sizeof name, "%.*s.dxup-times-%ld", front, path, (long)getpid());
    return os_open_unnamed(name);
}

int64_t os_file_time_ns(const char *path)
{
    os_info info = {0};
    int fd = open_probe(path);
    if (fd < 0) return 0;
    const bool good = os_info_of(fd, &info) == 0;
    close(fd);
    return good ? info.mtime_ns : 0;
}

bool os_maps_update_times(const char *path)
{
    int fd = open_probe(path);
    if (fd < 0) return false;
    bool updates = map_updates_times(fd);
    close(fd);
    return updates;
}

/* Lock without waiting; closes fd after a failure. */
static int lock(int fd)
{
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Between open and lock, another process may have renamed its staging file or removed its lock file.
   So check that the name still refers to the locked file, and retry if not. */
static int open_locked(const char *path, int flags, mode_t mode)
{
    for (int tries = 0; tries < 100; tries++) {
        struct stat mine, named;
        if (flags & O_DIRECTORY && mkdir(path, 0700) < 0 && errno != EEXIST) return -1;
        int fd = lock(open(path, flags | O_CLOEXEC, mode));
        if (fd < 0) return -1;
        int found = flags & O_NOFOLLOW ? lstat(path, &named) : stat(path, &named);
        if (fstat(fd, &mine) == 0 && found == 0 && mine.st_ino == named.st_ino &&
            mine.st_dev == named.st_dev)
            return fd;
        close(fd);
    }
    errno = EWOULDBLOCK;
    return -1;
}

int os_open_lock(const char *path) { return open_locked(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0666); }

int os_open_staging(const char *path, bool folder)
{
    int flags = folder ? O_RDONLY | O_DIRECTORY : O_RDWR | O_CREAT;
    return open_locked(path, flags | O_NOFOLLOW, 0600);
}

int os_lock_folder_in(int folder, const char *name)
{
    return lock(openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

int os_lock_folder(const char *path) { return os_lock_folder_in(AT_FDCWD, path); }

int os_drop_staging(int file, const char *path)
{
    assert(file >= 0);
    int result = os_remove_tree(path); /* while it is locked */
    int error = errno;
    close(file);
    errno = error;
    return result;
}

int os_close(int file) { return close(file); }

int os_close_socket(int socket) { return close(socket); }

void os_memory_unused(void *memory, size_t size)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t skip = (0 - (uintptr_t)memory) % page; /* only pages that lie entirely inside */
    if (size <= skip) return;
    (void)madvise((char *)memory + skip, (size - skip) / page * page, MADV_DONTNEED);
}

void os_heap_unused(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}

bool os_peer_network(int socket, uint8_t network[16])
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getpeername(socket, (struct sockaddr *)&address, &size) < 0) return false;
    return network_of((const struct sockaddr *)&address, network);
}

bool os_peer_address(int socket, void *address, size_t room, uint32_t *size)
{
    socklen_t length = (socklen_t)room;
    if (getpeername(socket, address, &length) < 0 || length > room) return false;
    *size = (uint32_t)length;
    return true;
}

bool os_socket_unread(int socket)
{
    int size = 0;
    return ioctl(socket, FIONREAD, &size) < 0 || size > 0;
}

int os_share_port(int socket)
{
    int on = 1;
    return setsockopt(socket, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
}

/* Probe with a datagram socket: a live stream listener refuses it, and no connection is left in its
   queue. */
void os_remove_left_socket(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat info;
    if (strlen(path) >= sizeof a.sun_path || lstat(path, &info) || !S_ISSOCK(info.st_mode)) return;
    strcpy(a.sun_path, path);
    int probe = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (probe < 0) return;
    if (connect(probe, (struct sockaddr *)&a, sizeof a) && errno == ECONNREFUSED) unlink(path);
    close(probe);
}

int os_socket_errno(void) { return errno; }

const char *os_resolve(const char *host, const char *port,
                       void (*each)(void *user, const void *address, size_t size), void *user)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    const int error = getaddrinfo(host, port, &hints, &list);
    if (error) return error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error);
    for (const struct addrinfo *at = list; at; at = at->ai_next)
        each(user, at->ai_addr, at->ai_addrlen);
    freeaddrinfo(list);
    return NULL;
}

int os_info_of(int file, os_info *out)
{
    struct stat st;
    if (fstat(file, &st) < 0) return -1;
    fill_info(&st, out);
    return 0;
}

int64_t os_read(int file, void *out, size_t size)
{
    ssize_t n;
    assert(file >= 0 && out);
    while ((n = read(file, out, size)) < 0 && errno == EINTR) {}
    return n;
}

int64_t os_read_at(int file, uint64_t offset, void *out, size_t size)
{
    ssize_t n;
    assert(file >= 0 && (int64_t)offset >= 0);
    while ((n = pread(file, out, size, (off_t)offset)) < 0 && errno == EINTR) {}
    return n;
}

const void *os_map(int file, size_t size)
{
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
    return p == MAP_FAILED ? NULL : p;
}

void os_unmap(const void *bytes, size_t size) { munmap((void *)(uintptr_t)bytes, size); }

/* The mapping begins with this header; the bytes follow it. */
typedef struct scratch {
    size_t size; /* of the whole mapping */
    int    file;
    char   unused[64 - sizeof(size_t) - sizeof(int)]; /* keeps the bytes aligned to a cache line */
} scratch;

static int open_scratch(void)
{
    char folder[PATH_MAX], path[PATH_MAX + 16];
    if (os_make_temporary_folder(folder, sizeof folder) < 0) return -1;
    snprintf(path, sizeof path, "%s/scratch", folder);
    const int file = os_open_unnamed(path);
    (void)rmdir(folder);
    return file;
}

uint8_t *os_scratch_resize(uint8_t *old, size_t size)
{
    scratch *from = old ? (scratch *)(void *)(old - sizeof *from) : NULL, *to;
    const size_t whole = size + sizeof *to;
    const int file = from ? from->file : open_scratch();
    if (file < 0) return NULL;
    /* Without reserved space a write to the mapping ends the process when the disk is full. */
    const bool reserved = posix_fallocate(file, 0, (off_t)whole) == 0;
    to = reserved ? mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
    if (to == MAP_FAILED) {
        if (!from) close(file);
        return NULL;
    }
    if (from) munmap(from, from->size);
    to->size = whole;
    to->file = file;
    return (uint8_t *)(to + 1);
}

void os_scratch_free(uint8_t *bytes)
{
    if (!bytes) return;
    scratch *s = (scratch *)(void *)(bytes - sizeof *s);
    const int file = s->file;
    munmap(s, s->size);
    close(file);
}

void os_release(const void *bytes, size_t size)
{
    const size_t before = (uintptr_t)bytes % (size_t)sysconf(_SC_PAGESIZE);
    (void)madvise((void *)((uintptr_t)bytes - before), size + before, MADV_DONTNEED);
}

int os_write_at(int file, uint64_t offset, const void *bytes, size_t size)
{
    const char *p = bytes;
    assert(file >= 0 && (int64_t)(offset + size) >= 0);
    while (size) {
        ssize_t n = pwrite(file, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        p += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int os_write(int file, const void *bytes, size_t size)
{
    const char *p = bytes;
    assert(file >= 0 && (bytes || !size));
    while (size) {
        ssize_t n = write(file, p, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

int os_empty(int file) { return ftruncate(file, 0); }

int os_set_open_mode(int file, unsigned mode) { return fchmod(file, (mode_t)mode); }

int os_set_rights(int file, const os_info *of)
{
    struct stat st;
    if (fstat(file, &st) < 0) return -1;
    const bool belongs = st.st_uid == of->user && st.st_gid == of->group;
    if (!belongs && fchown(file, (uid_t)of->user, (gid_t)of->group) < 0) return -1;
    return fchmod(file, (mode_t)of->mode);
}

int os_sync(int file) { return fsync(file); }

static struct timespec timespec_of(int64_t time_ns)
{
    const int64_t second_ns = 1000000000, rest = time_ns % second_ns;
    return (struct timespec){.tv_sec = (time_t)(time_ns / second_ns - (rest < 0)),
                             .tv_nsec = (long)(rest + (rest < 0 ? second_ns : 0))};
}

int os_set_time(int file, int64_t mtime_ns)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, timespec_of(mtime_ns)};
    return futimens(file, times);
}

int os_set_time_in(int folder, const char *name, int64_t mtime_ns)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, timespec_of(mtime_ns)};
    return utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW);
}

int os_sync_tree(int folder)
{
#ifdef __linux__
    return syncfs(folder);
#else
    (void)folder;
    sync();
    return 0;
#endif
}

/* >>in an open folder -------------------------------------------------- */
int os_list(int folder, int (*each)(void *user, const char *name), void *user)
{
    int fd = fcntl(folder, F_DUPFD_CLOEXEC, 0), result = 0;
    assert(each && folder >= 0);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        const int error = errno;
        if (fd >= 0) close(fd);
        errno = error;
        return -1;
    }
    rewinddir(d); /* the offset is that of folder, which may have been read before */
    while (!result) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e && errno) result = -1;
        if (!e) break;
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            result = each(user, e->d_name);
    }
    const int error = errno;
    closedir(d);
    errno = error;
    return result;
}

int os_stat_in(int folder, const char *name, os_info *out)
{
    struct stat st;
    assert(name && out);
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return -1;
    fill_info(&st, out);
    return 0;
}

int os_open_in(int folder, const char *name, int kind)
{
    return openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC |
                                    (kind == OS_FOLDER ? O_DIRECTORY : O_NONBLOCK));
}

int os_make_file_in(int folder, const char *path, unsigned mode)
{
    int fd = openat(folder, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || fchmod(fd, (mode_t)mode) == 0) return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int os_make_folder_in(int folder, const char *path) { return mkdirat(folder, path, 0700); }

int os_make_link_in(int folder, const char *path, const char *target)
{
    return symlinkat(target, folder, path);
}

int64_t os_read_link_in(int folder, const char *name, char *out, size_t size)
{
    return readlinkat(folder, name, out, size);
}

bool os_has_holes_in(int folder, const char *name)
{
#if defined(SEEK_HOLE)
    struct stat st;
    const int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC;
    int fd = folder < 0 ? open(name, flags) : openat(folder, name, flags | O_NOFOLLOW);
    if (fd < 0) return false;
    bool holes = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && lseek(fd, 0, SEEK_HOLE) < st.st_size;
    close(fd);
    return holes;
#else
    (void)folder;
    (void)name;
    return true; /* judged by its blocks */
#endif
}

int os_rename_in(int folder, const char *from, const char *to)
{
    struct stat st;
#ifdef SYS_renameat2
    if (syscall(SYS_renameat2, folder, from, folder, to, 1u /* NOREPLACE */) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return -1;
#endif
    if (fstatat(folder, to, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return renameat(folder, from, folder, to);
}

int os_rename_over_in(int folder, const char *from, const char *to)
{
    return renameat(folder, from, folder, to);
}

int os_hold(int file)
{
#ifdef __linux__
    struct statfs fs;
    /* Network file systems refuse leases for other reasons, too. */
    const unsigned nfs = 0x6969, smb = 0x517b, cifs = 0xff534d42, smb2 = 0xfe534d42;
    if (fstatfs(file, &fs) < 0) return OS_UNKNOWN;
    const unsigned kind = (unsigned)fs.f_type;
    if (kind == nfs || kind == smb || kind == cifs || kind == smb2) return OS_UNKNOWN;
    /* The kernel signals this process when another one waits for the lease; choose an ignored signal. */
    if (fcntl(file, F_SETSIG, SIGURG) < 0) return OS_UNKNOWN;
    if (fcntl(file, F_SETLEASE, F_RDLCK) == 0) return OS_UNUSED;
    return errno == EAGAIN ? OS_IN_USE : OS_UNKNOWN;
#else
    (void)file;
    return OS_UNKNOWN;
#endif
}

int os_remove_in(int folder, const char *name, int kind)
{
    return unlinkat(folder, name, kind == OS_FOLDER ? AT_REMOVEDIR : 0);
}

int os_set_mode_in(int folder, const char *path, unsigned mode)
{
    return fchmodat(folder, path, (mode_t)mode, 0);
}

int os_close_made(int file) { return close(file); }
#endif
