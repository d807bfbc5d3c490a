/* Freezing: stop a tree of processes that changes while it is read. The tree is stopped once a pass
   over /proc finds that

       every process of the tree is stopped, with all its threads,
       the parent of every process is in the list, and
       no process was started on this machine during the pass (the kernel counts them).

   Then no process was missed: a stopped process starts none, a running one would be in the list, and
   a new one would have been counted. Otherwise another pass follows, until the time limit.

       pass 1   A runs, B runs        SIGSTOP to both; B has started C meanwhile
       pass 2   A, B stopped, C runs  SIGSTOP to C
       pass 3   all stopped, no start since its beginning: frozen */
#include "freeze.h"

#include "../common/os.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

typedef struct process {
    pid_t pid, parent;
    char  state;
    bool  ours; /* it belongs to the tree */
} process;

typedef struct processes {
    process *list;
    size_t   count, room;
} processes;

/* >>proc --------------------------------------------------------------- */
/* Read a small file as text. False: it cannot be read. */
static bool read_text(const char *path, char *out, size_t size)
{
    const int fd = os_open(path);
    if (fd < 0) return false;
    const int64_t n = os_read(fd, out, size - 1);
    os_close(fd);
    out[n > 0 ? n : 0] = 0;
    return n > 0;
}

/* Processes and threads started since boot; 0: unknown. */
static uint64_t starts_so_far(void)
{
    char text[65536];
    if (!read_text("/proc/stat", text, sizeof text)) return 0;
    const char *at = strstr(text, "\nprocesses ");
    return at ? strtoull(at + strlen("\nprocesses "), NULL, 10) : 0;
}

/* Parse state and parent from "PID (NAME) STATE PARENT ..."; the name may contain any byte. */
static bool read_stat(const char *path, char *state, pid_t *parent)
{
    char text[512];
    if (!read_text(path, text, sizeof text)) return false;
    const char *end = strrchr(text, ')');
    if (!end || strlen(end) < 5) return false;
    *state = end[2];
    *parent = (pid_t)atol(end + 4);
    return true;
}

static void add_process(processes *all, const process *p)
{
    if (all->count == all->room) {
        all->room = all->room * 2 + 256;
        all->list = realloc(all->list, all->room * sizeof *all->list);
        if (!all->list) abort();
    }
    all->list[all->count++] = *p;
}

static bool list_processes(processes *all)
{
    char path[64];
    struct dirent *e;
    DIR *d = opendir("/proc");
    all->count = 0;
    if (!d) return false;
    while ((e = readdir(d))) {
        process p = {.pid = (pid_t)atol(e->d_name)};
        if (p.pid <= 0) continue;
        snprintf(path, sizeof path, "/proc/%ld/stat", (long)p.pid);
        if (read_stat(path, &p.state, &p.parent)) add_process(all, &p);
    }
    closedir(d);
    return true;
}

static process *find_process(const processes *all, pid_t pid)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->list[i].pid == pid) return &all->list[i];
    return NULL;
}

/* Mark the processes of the tree. False: the parent of a process has ended, so it is unknown
   whether the process belongs to the tree. */
static bool mark_tree(const keep_freezer *f, processes *all)
{
    const pid_t self = getpid(), top = f->root ? f->root : self;
    bool known = !f->root || find_process(all, f->root), more = true;
    for (size_t i = 0; i < all->count; i++) {
        const process *p = &all->list[i];
        known &= !p->parent || find_process(all, p->parent) != NULL;
        all->list[i].ours = f->root && p->pid == top;
    }
    while (more) {
        more = false;
        for (size_t i = 0; i < all->count; i++) {
            process *p = &all->list[i];
            const process *parent = find_process(all, p->parent);
            if (p->ours || p->pid == self || keep_freezer_owns(f, p->pid)) continue;
            if (p->parent != top && !(parent && parent->ours)) continue;
            p->ours = true;
            more = true;
        }
    }
    return known;
}

static bool is_still(char state) { return state && strchr("TtZXx", state) != NULL; }

/* Have all its threads stopped? */
static bool is_stopped(const process *p)
{
    char path[64], task[PROG_PATH_SIZE_MAX];
    struct dirent *e;
    bool still = true;
    if (!is_still(p->state)) return false;
    if (p->state == 'X' || p->state == 'x') return true;
    snprintf(path, sizeof path, "/proc/%ld/task", (long)p->pid);
    DIR *d = opendir(path);
    while (d && still && (e = readdir(d))) {
        char state = 0;
        pid_t parent;
        if (e->d_name[0] == '.') continue;
        snprintf(task, sizeof task, "%s/%s/stat", path, e->d_name);
        still = !read_stat(task, &state, &parent) || is_still(state);
    }
    if (d) closedir(d);
    return still && (d || errno == ENOENT);
}

/* >>stop --------------------------------------------------------------- */
static bool is_ours_already(const keep_frozen *frozen, pid_t pid)
{
    for (int i = 0; i < frozen->count; i++)
        if (frozen->list[i] == pid) return true;
    return false;
}

/* A process that was stopped by somebody else is left alone, and stays stopped after the thaw. The
   guard can see the process in the list before it is stopped. */
static bool stop_one(keep_freezer *f, const process *p)
{
    keep_frozen *frozen = f->frozen;
    if (is_still(p->state) || is_ours_already(frozen, p->pid)) return true;
    if (frozen->count == KEEP_FROZEN_MAX) return false;
    frozen->list[frozen->count] = p->pid;
    __atomic_store_n(&frozen->count, frozen->count + 1, __ATOMIC_RELEASE);
    return kill(p->pid, SIGSTOP) == 0 || errno == ESRCH;
}

/* *done: this pass found all of them stopped. False: they cannot be stopped. */
static bool stop_pass(keep_freezer *f, processes *all, bool *done)
{
    const uint64_t before = starts_so_far();
    *done = false;
    if (!before || !list_processes(all)) return false;
    *done = mark_tree(f, all);
    for (size_t i = 0; i < all->count; i++) {
        const process *p = &all->list[i];
        if (!p->ours || is_stopped(p)) continue;
        *done = false;
        if (!stop_one(f, p)) return false;
    }
    *done = *done && starts_so_far() == before;
    return true;
}

static bool stop_tree(keep_freezer *f, int64_t until_ns)
{
    processes all = {.count = 0};
    bool done = false, able = true;
    while (able && !done && prog_now_ns() < until_ns) able = stop_pass(f, &all, &done);
    f->tree = prog_alloc((all.count + 1) * sizeof *f->tree);
    for (size_t i = 0; i < all.count; i++)
        if (all.list[i].ours) f->tree[f->tree_count++] = all.list[i].pid;
    free(all.list);
    return done;
}

static void continue_all(keep_frozen *frozen)
{
    const int count = __atomic_load_n(&frozen->count, __ATOMIC_ACQUIRE);
    for (int i = 0; i < count; i++) kill(frozen->list[i], SIGCONT);
    __atomic_store_n(&frozen->count, 0, __ATOMIC_RELEASE);
}

/* >>cgroup ------------------------------------------------------------- */
static bool write_cgroup(const keep_freezer *f, const char *text)
{
    char path[PROG_PATH_SIZE_MAX + 32];
    snprintf(path, sizeof path, "%s/cgroup.freeze", f->cgroup);
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const bool good = prog_write_all(fd, text, strlen(text));
    close(fd);
    return good;
}

/* cgroup.events says when all processes have stopped. */
static bool freeze_cgroup(keep_freezer *f, int64_t until_ns)
{
    char path[PROG_PATH_SIZE_MAX + 32], text[256];
    snprintf(path, sizeof path, "%s/cgroup.events", f->cgroup);
    if (!write_cgroup(f, "1")) return false;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool frozen = false;
    while (fd >= 0 && !frozen) {
        const int64_t left = until_ns - prog_now_ns();
        const int64_t n = os_read_at(fd, 0, text, sizeof text - 1);
        if (n <= 0 || left <= 0) break;
        text[n] = 0;
        frozen = strstr(text, "frozen 1") != NULL;
        struct pollfd wait = {.fd = fd, .events = POLLPRI};
        if (!frozen) poll(&wait, 1, (int)(left / 1000000) + 1);
    }
    if (fd >= 0) close(fd);
    return frozen;
}

/* >>guard --------------------------------------------------------------
   A separate process that thaws the others if dxkeep is killed. It waits on a pipe, whose other end
   closes when dxkeep ends. */
static void guard(keep_freezer *f, int pipe_end)
{
    char byte;
    for (int n = 1; n < 65; n++)
        if (n != SIGKILL && n != SIGSTOP) signal(n, SIG_IGN);
    ssize_t got;
    do {
        got = read(pipe_end, &byte, 1);
    } while (got < 0 && errno == EINTR);
    if (!got && f->cgroup) (void)write_cgroup(f, "0");
    if (!got) continue_all(f->frozen);
    _exit(0);
}

static int start_guard(keep_freezer *f)
{
    int ends[2];
    if (pipe(ends) < 0) return prog_fail_errno("the guard process cannot be started");
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    f->guard = fork();
    if (f->guard == 0) {
        close(ends[1]);
        guard(f, ends[0]);
    }
    close(ends[0]);
    if (f->guard < 0) {
        f->guard = 0;
        close(ends[1]);
        return prog_fail_errno("the guard process cannot be started");
    }
    f->guard_pipe = ends[1];
    return PROG_OK;
}

bool keep_freezer_owns(const keep_freezer *f, pid_t pid) { return f->guard && pid == f->guard; }

/* >>public ------------------------------------------------------------- */
int keep_freezer_open(keep_freezer *f)
{
    void *shared = mmap(NULL, sizeof *f->frozen, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return prog_fail_errno("the list of stopped processes cannot be "
                                                     "allocated");
    f->frozen = shared;
#if defined(PR_SET_CHILD_SUBREAPER)
    if (!f->root && !f->cgroup && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return prog_fail_errno("the program's orphans cannot be adopted");
#endif
    return start_guard(f);
}

void keep_freezer_close(keep_freezer *f)
{
    if (!f->frozen) return;
    keep_thaw(f);
    if (f->guard) {
        kill(f->guard, SIGKILL);
        while (waitpid(f->guard, NULL, 0) < 0 && errno == EINTR) continue;
        close(f->guard_pipe);
    }
    munmap(f->frozen, sizeof *f->frozen);
    memset(f, 0, sizeof *f);
}

bool keep_freeze(keep_freezer *f, int64_t until_ns)
{
    assert(f->frozen && !f->active);
    f->active = true;
    if (f->cgroup ? freeze_cgroup(f, until_ns) : stop_tree(f, until_ns)) return true;
    keep_thaw(f);
    return false;
}

void keep_thaw(keep_freezer *f)
{
    if (!f->active) return;
    if (f->cgroup) (void)write_cgroup(f, "0");
    continue_all(f->frozen);
    free(f->tree);
    f->tree = NULL;
    f->tree_count = 0;
    f->active = false;
}

bool keep_freezer_alone(keep_freezer *f)
{
    processes all = {.count = 0};
    const uint64_t before = starts_so_far();
    bool alone = !f->cgroup && !f->root && before && list_processes(&all) && mark_tree(f, &all);
    for (size_t i = 0; alone && i < all.count; i++)
        alone = !all.list[i].ours || (all.list[i].state && strchr("ZXx", all.list[i].state));
    free(all.list);
    return alone && starts_so_far() == before;
}

/* >>mappings ----------------------------------------------------------- */
typedef struct mappings {
    const char *top; /* the directory, as an absolute path */
    void      (*each)(void *user, const char *path);
    void       *user;
} mappings;

/* Parse "START-END rw-s OFFSET DEVICE INODE      PATH". */
static void parse_mapping(const mappings *m, char *line)
{
    const char *flags = strchr(line, ' ');
    const char *path = strchr(line, '/');
    const size_t size = strlen(m->top);
    if (!flags || !path || strlen(flags) < 5 || flags[2] != 'w' || flags[4] != 's') return;
    if (!strncmp(path, m->top, size) && path[size] == '/') m->each(m->user, path + size + 1);
}

static bool list_mappings(const mappings *m, pid_t pid)
{
    char path[64], line[PROG_PATH_SIZE_MAX + 256];
    snprintf(path, sizeof path, "/proc/%ld/maps", (long)pid);
    FILE *file = fopen(path, "re");
    if (!file) return errno == ENOENT;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        parse_mapping(m, line);
    }
    const bool good = !ferror(file);
    fclose(file);
    return good || errno == ESRCH;
}

static bool list_cgroup(const keep_freezer *f, const mappings *m)
{
    char path[PROG_PATH_SIZE_MAX + 32], line[64];
    bool good = true;
    snprintf(path, sizeof path, "%s/cgroup.procs", f->cgroup);
    FILE *file = fopen(path, "re");
    if (!file) return false;
    while (good && fgets(line, sizeof line, file)) good = list_mappings(m, (pid_t)atol(line));
    fclose(file);
    return good;
}

bool keep_freezer_mapped(keep_freezer *f, const char *directory,
                         void (*each)(void *user, const char *path), void *user)
{
    char top[PROG_PATH_SIZE_MAX + 1];
    const mappings m = {top, each, user};
    bool good = os_real_path(directory, top, sizeof top) == 0;
    assert(f->active);
    if (good && f->cgroup) return list_cgroup(f, &m);
    for (size_t i = 0; good && i < f->tree_count; i++) good = list_mappings(&m, f->tree[i]);
    return good;
}
