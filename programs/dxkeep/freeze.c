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

#include "guard.h"
#include "processes.h"
#include "../common/os.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* >>tree --------------------------------------------------------------- */
/* Mark the processes of the tree. False: the parent of a process has ended, so it is unknown
   whether the process belongs to the tree. */
static bool mark_tree(const keep_freezer *f, keep_processes *all)
{
    const pid_t self = getpid(), top = f->root ? f->root : self;
    bool known = !f->root || keep_processes_find(all, f->root), more = true;
    for (size_t i = 0; i < all->count; i++) {
        const keep_process *p = &all->list[i];
        known &= !p->parent || keep_processes_find(all, p->parent) != NULL;
        all->list[i].ours = f->root && p->pid == top;
    }
    while (more) {
        more = false;
        for (size_t i = 0; i < all->count; i++) {
            keep_process *p = &all->list[i];
            const keep_process *parent = keep_processes_find(all, p->parent);
            if (p->ours || p->pid == self || p->pid == f->guard->pid) continue;
            if (p->parent != top && !(parent && parent->ours) && (f->root || p->parent != f->guard->pid))
                continue;
            p->ours = true;
            more = true;
        }
    }
    return known;
}

static bool is_still(char state) { return state && strchr("TtZXx", state) != NULL; }

/* Have all its threads stopped? */
static bool is_stopped(const keep_process *p)
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
        still = !keep_process_read(task, &state, &parent) || is_still(state);
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
static bool stop_one(keep_freezer *f, const keep_process *p)
{
    keep_frozen *frozen = f->frozen;
    if (is_still(p->state) || is_ours_already(frozen, p->pid)) return true;
    if (frozen->count == KEEP_FROZEN_MAX) return false;
    frozen->list[frozen->count] = p->pid;
    __atomic_store_n(&frozen->count, frozen->count + 1, __ATOMIC_RELEASE);
    return kill(p->pid, SIGSTOP) == 0 || errno == ESRCH;
}

/* *done: this pass found all of them stopped. False: they cannot be stopped. */
static bool stop_pass(keep_freezer *f, keep_processes *all, bool *done)
{
    const uint64_t before = keep_processes_started();
    *done = false;
    if (!before || !keep_processes_list(all)) return false;
    *done = mark_tree(f, all);
    for (size_t i = 0; i < all->count; i++) {
        const keep_process *p = &all->list[i];
        if (!p->ours || is_stopped(p)) continue;
        *done = false;
        if (!stop_one(f, p)) return false;
    }
    *done = *done && keep_processes_started() == before;
    return true;
}

static bool stop_tree(keep_freezer *f, int64_t until_ns)
{
    keep_processes all = {.count = 0};
    bool done = false, able = true;
    while (able && !done && prog_now_ns() < until_ns) able = stop_pass(f, &all, &done);
    f->tree = prog_alloc((all.count + 1) * sizeof *f->tree);
    for (size_t i = 0; i < all.count; i++)
        if (all.list[i].ours) f->tree[f->tree_count++] = all.list[i].pid;
    free(all.list);
    return done;
}

/* >>cgroup ------------------------------------------------------------- */
/* cgroup.events says when all processes have stopped. */
static bool freeze_cgroup(keep_freezer *f, int64_t until_ns)
{
    char path[PROG_PATH_SIZE_MAX + 32], text[256];
    snprintf(path, sizeof path, "%s/cgroup.events", f->cgroup);
    if (!keep_cgroup_write(f->cgroup, "1")) return false;
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

/* >>public ------------------------------------------------------------- */
void keep_freezer_open(keep_freezer *f, keep_guard *guard)
{
    assert(guard->pid);
    f->guard = guard;
    f->frozen = &guard->shared->frozen;
}

void keep_freezer_close(keep_freezer *f)
{
    if (f->frozen) keep_thaw(f);
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
    if (f->cgroup) (void)keep_cgroup_write(f->cgroup, "0");
    keep_guard_continue(f->frozen);
    free(f->tree);
    f->tree = NULL;
    f->tree_count = 0;
    f->active = false;
}

bool keep_freezer_alone(keep_freezer *f)
{
    keep_processes all = {.count = 0};
    const uint64_t before = keep_processes_started();
    bool alone = !f->cgroup && !f->root && before && keep_processes_list(&all) && mark_tree(f, &all);
    for (size_t i = 0; alone && i < all.count; i++)
        alone = !all.list[i].ours || (all.list[i].state && strchr("ZXx", all.list[i].state));
    free(all.list);
    return alone && keep_processes_started() == before;
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
