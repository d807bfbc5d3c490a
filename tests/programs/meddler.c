/* A writer that acts between two system calls of a program.

       meddler ACTION N FROM DIRECTORY COMMAND...

   runs the command under ptrace. Counting starts at the first call that names DIRECTORY (FROM is "look") or creates the new
   one next to it (FROM is "make"): its file system calls are counted, and before the N-th, the writer does ACTION in
   DIRECTORY. Files that it holds open were opened before the command began. It writes the bytes "WRITER". The last line of
   standard output is "CALLS ACTED": the number of calls, and whether the writer has written anything. The status is that of
   the command. ACTION "kill" kills the command before the N-th call instead. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char mark[] = "WRITER\n";
enum { MARK = sizeof mark - 1 };

static const char *dir, *action;
static int   open_dir = -1, open_changed = -1, open_same = -1;
static char *mapped;

static const char *in(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s%s%s", dir, *name ? "/" : "", name);
    return path;
}

/* >>writer --------------------------------------------------------------- */
static bool put(int fd)
{
    bool good = fd >= 0 && write(fd, mark, MARK) == MARK;
    if (fd >= 0) close(fd);
    return good;
}
static bool create_in(const char *name) { return put(open(in(name), O_WRONLY | O_CREAT | O_EXCL, 0644)); }
/* Not while a lease is held, because its holder is stopped: without O_NONBLOCK this would wait 45 s, until the lease is
   broken. */
static bool append_to(const char *name) { return put(open(in(name), O_WRONLY | O_APPEND | O_NONBLOCK)); }

static bool rename_over(const char *name)
{
    char made[4096];
    snprintf(made, sizeof made, "%s.writer", dir); /* next to it */
    if (!put(open(made, O_WRONLY | O_CREAT | O_TRUNC, 0644))) return false;
    bool good = rename(made, in(name)) == 0;
    unlink(made);
    return good;
}

static bool same_size(const char *name) /* and the same times, as copying tools set them */
{
    struct stat st;
    int fd = open(in(name), O_WRONLY | O_NONBLOCK);
    bool good = fd >= 0 && fstat(fd, &st) == 0 && pwrite(fd, mark, MARK, 0) == MARK;
    if (good) futimens(fd, (struct timespec[2]){st.st_atim, st.st_mtim});
    if (fd >= 0) close(fd);
    return good;
}

static bool act(void)
{
    const char *a = action;
    if (!strcmp(a, "create")) return create_in("new");
    if (!strcmp(a, "create_below")) return create_in("sub/new");
    if (!strcmp(a, "create_in_removed")) return create_in("gone/new");
    if (!strcmp(a, "create_in_open")) return put(openat(open_dir, "new", O_WRONLY | O_CREAT | O_EXCL, 0644));
    if (!strcmp(a, "rename_in_open")) {
        if (!put(openat(open_dir, "next", O_WRONLY | O_CREAT | O_TRUNC, 0644))) return false;
        bool good = renameat(open_dir, "next", open_dir, "changed") == 0;
        if (!good) unlinkat(open_dir, "next", 0);
        return good;
    }
    if (!strcmp(a, "append")) return append_to("sub/changed");
    if (!strcmp(a, "append_same")) return append_to("sub/same");
    if (!strcmp(a, "append_removed")) return append_to("gone/file");
    if (!strcmp(a, "same_size")) return same_size("sub/changed");
    if (!strcmp(a, "rename")) return rename_over("sub/changed");
    if (!strcmp(a, "rename_same")) return rename_over("sub/same");
    if (!strcmp(a, "unlink")) return unlink(in("sub/changed")) == 0 && false; /* nothing to lose */
    if (!strcmp(a, "mkdir")) return mkdir(in("sub/made"), 0755) == 0 && create_in("sub/made/new");
    if (!strcmp(a, "write_open")) return pwrite(open_changed, mark, MARK, 0) == MARK;
    if (!strcmp(a, "write_open_same")) return pwrite(open_same, mark, MARK, 0) == MARK;
    if (!strcmp(a, "write_close")) {
        bool good = put(open_changed);
        open_changed = -1;
        return good;
    }
    if (!strcmp(a, "map")) {
        memcpy(mapped, mark, MARK);
        return true;
    }
    if (!strcmp(a, "appear")) return mkdir(dir, 0755) == 0 && create_in("new");
    if (!strcmp(a, "none")) return false;
    if (!strcmp(a, "file")) return append_to("");
    if (!strcmp(a, "file_open")) return pwrite(open_changed, mark, MARK, 0) == MARK;
    if (!strcmp(a, "file_rename")) return rename_over("");
    fprintf(stderr, "meddler: no action %s\n", a);
    exit(98);
}

static void prepare(void)
{
    const bool file = !strncmp(action, "file", 4);
    if (strstr(action, "in_open")) open_dir = open(in("sub"), O_RDONLY | O_DIRECTORY);
    if (!strcmp(action, "write_open") || !strcmp(action, "write_close") || !strcmp(action, "file_open"))
        open_changed = open(in(file ? "" : "sub/changed"), O_WRONLY);
    if (!strcmp(action, "write_open_same")) open_same = open(in("sub/same"), O_WRONLY);
    if (!strcmp(action, "map")) {
        int fd = open(in("sub/changed"), O_RDWR);
        mapped = mmap(NULL, 64, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        if (mapped == MAP_FAILED) exit(98);
    }
}

/* >>calls ---------------------------------------------------------------- */
/* Which file system calls read or change it. -1: none; else the index of the path argument, or 6. */
static int path_at(uint64_t nr)
{
    switch (nr) {
#ifdef SYS_open
    case SYS_open: case SYS_stat: case SYS_lstat: case SYS_unlink: case SYS_rmdir: case SYS_mkdir: case SYS_rename: case SYS_link:
    case SYS_symlink: case SYS_chmod: case SYS_readlink: case SYS_access:
        return 0;
#endif
    case SYS_openat: case SYS_newfstatat: case SYS_statx: case SYS_unlinkat: case SYS_mkdirat: case SYS_renameat2: case SYS_linkat:
    case SYS_symlinkat: case SYS_fchmodat: case SYS_readlinkat: case SYS_utimensat: case SYS_faccessat:
#ifdef SYS_renameat
    case SYS_renameat:
#endif
        return 1;
    case SYS_getdents64: case SYS_read: case SYS_pread64: case SYS_write: case SYS_pwrite64: case SYS_fstat: case SYS_fchmod:
    case SYS_fsync: case SYS_fdatasync: case SYS_ftruncate: case SYS_fcntl: case SYS_flock: case SYS_fgetxattr: case SYS_flistxattr:
    case SYS_sync_file_range: case SYS_syncfs:
        return 6;
    default: return -1;
    }
}

static bool makes_one(uint64_t nr)
{
#ifdef SYS_mkdir
    if (nr == SYS_mkdir || nr == SYS_open) return true;
#endif
    return nr == SYS_mkdirat || nr == SYS_openat;
}

static bool names_it(pid_t task, const struct __ptrace_syscall_info *info, int at, const char *part)
{
    char text[4096] = "";
    struct iovec here = {text, sizeof text - 1}, there = {(void *)(uintptr_t)info->entry.args[at], sizeof text - 1};
    if (process_vm_readv(task, &here, 1, &there, 1, 0) < 0) { /* the end of a mapping: read the rest of its page */
        there.iov_len = 4096 - (info->entry.args[at] & 4095);
        if (process_vm_readv(task, &here, 1, &there, 1, 0) < 0) return false;
    }
    return strstr(text, part) != NULL;
}

int main(int argc, char **argv)
{
    if (argc < 6) return 99;
    action = argv[1];
    const long n = atol(argv[2]);
    const bool makes = !strcmp(argv[3], "make");
    dir = argv[4];
    long calls = 0;
    bool acted = false, begun = false;
    if (!strchr(dir, '/')) return 99;
    prepare();
    pid_t child = fork();
    if (!child) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        execvp(argv[5], argv + 5);
        _exit(99);
    }
    int status, result = 99;
    waitpid(child, &status, 0);
    ptrace(PTRACE_SETOPTIONS, child, 0,
           PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC);
    ptrace(PTRACE_SYSCALL, child, 0, 0);
    for (pid_t task; (task = waitpid(-1, &status, __WALL)) > 0;) {
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (task == child) result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            continue;
        }
        int give = 0;
        struct __ptrace_syscall_info info;
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            if (ptrace(PTRACE_GET_SYSCALL_INFO, task, sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY) {
                int at = path_at(info.entry.nr);
                if (!begun && at >= 0 && at < 6 && (!makes || makes_one(info.entry.nr)))
                    begun = names_it(task, &info, at, makes ? ".dxup-part" : strrchr(dir, '/'));
                if (begun && at >= 0 && ++calls == n) {
                    if (!strcmp(action, "kill")) kill(child, SIGKILL);
                    else acted = act();
                }
            }
        } else if (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP) {
            give = WSTOPSIG(status);
        }
        ptrace(PTRACE_SYSCALL, task, 0, give);
    }
    printf("%ld %d\n", calls, acted);
    return result;
}
