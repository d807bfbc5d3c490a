/* Freezing: stop a tree of processes that changes while it is read. A pass over /proc is still if

       every process of the tree is stopped, with all its threads, and
       the parent of every process is in the list.

   The tree is stopped once a pass is still, and no process was started on this machine meanwhile (the
   kernel counts them): a stopped process starts none, a running one would be in the list, and a
   new one would have been counted. If no process was started since the beginning of a pass that found
   the parent of every process, its list has all of the tree, and only these processes are looked at
   again. On a busy machine somebody always starts a process. There the tree is stopped after two still
   passes in a row with the same processes of the tree, if during both no process ended between being
   found and being read, and the ids of new processes only ascended:

       Assume that X runs after both. If it was there when the second began, it was found by that. So it
       is new, of a parent that is new, and so on, up to one that was there when the second began and
       ran. That one was not found by the first, or it would have been running or would now be
       missing; so it was started during the first. Its id and those of all after it ascend, as the
       pass does, and one of them lives at any time: the pass cannot overtake the chain unseen.

   Otherwise another pass follows, until the time limit.

       pass 1   A runs, B runs        SIGSTOP to both; B has started C meanwhile
       pass 2   A, B stopped, C runs  SIGSTOP to C
                A, B and C again: all stopped, no start since the beginning of pass 2: frozen */
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
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NICE_MIN = -20 };
#define WAIT_NS INT64_C(50000) /* between two looks at a process that has not stopped yet */

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
    while (d && still) {
        char state = 0;
        pid_t parent;
        errno = 0;
        if (!(e = readdir(d))) {
            still = !errno || errno == ENOENT || errno == ESRCH; /* it has ended meanwhile */
            break;
        }
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
    if (!f->since_ns) f->since_ns = prog_now_ns();
    return kill(p->pid, SIGSTOP) == 0 || errno == ESRCH;
}

typedef struct pass {
    keep_processes all;
    bool           still;    /* every process of the tree is stopped */
    bool           alone;    /* and no process was started meanwhile */
    bool           known;    /* it found the parent of every process, and none ended meanwhile */
    uint64_t       started;  /* keep_processes_started() at its beginning */
    uint64_t       from, to; /* the last id at its beginning and at its end */
} pass;

/* Wait until a process that was sent SIGSTOP has stopped: one that waits for a disk stops late. */
static void wait_stopped(keep_process *p, int64_t until_ns)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)p->pid);
    while (prog_now_ns() < until_ns) {
        if (!keep_process_read(path, &p->state, &p->parent) || is_stopped(p)) return;
        os_sleep_ns(WAIT_NS);
    }
}

/* False: they cannot be stopped. */
static bool stop_pass(keep_freezer *f, pass *now, int64_t until_ns)
{
    keep_processes *all = &now->all;
    const uint64_t before = keep_processes_started();
    now->from = keep_processes_last_id();
    if (!before || !keep_processes_list(all)) return false;
    now->started = before;
    now->still = mark_tree(f, all);
    now->known = now->still && !all->vanished;
    bool sent = false;
    for (size_t i = 0; i < all->count; i++) {
        const keep_process *p = &all->list[i];
        if (!p->ours || is_stopped(p)) continue;
        now->still = false;
        sent = true;
        if (!stop_one(f, p)) return false;
    }
    now->to = keep_processes_last_id();
    now->alone = now->still && keep_processes_started() == before;
    for (size_t i = 0; sent && i < all->count; i++)
        if (all->list[i].ours && !is_still(all->list[i].state)) wait_stopped(&all->list[i], until_ns);
    return true;
}

static bool same_tree(const pass *a, const pass *b)
{
    size_t i = 0, j = 0;
    for (;; i++, j++) {
        while (i < a->all.count && !a->all.list[i].ours) i++;
        while (j < b->all.count && !b->all.list[j].ours) j++;
        if (i == a->all.count || j == b->all.count) return i == a->all.count && j == b->all.count;
        if (a->all.list[i].pid != b->all.list[j].pid) return false;
    }
}

/* Both passes are still, and nothing can have been missed. */
static bool agree(const pass *a, const pass *b)
{
    return a->still && b->still && !a->all.vanished && !b->all.vanished && a->from && a->from <= a->to &&
           a->to <= b->from && b->from <= b->to && same_tree(a, b);
}

/* Have all processes of the tree stopped, and was none started since the pass began? Then the tree had no
   others. One that has ended meanwhile needs no stop. */
static bool has_settled(pass *now)
{
    char path[64];
    if (!now->known) return false;
    for (size_t i = 0; i < now->all.count; i++) {
        keep_process *p = &now->all.list[i];
        if (!p->ours) continue;
        snprintf(path, sizeof path, "/proc/%ld/stat", (long)p->pid);
        if (keep_process_read(path, &p->state, &p->parent) && !is_stopped(p)) return false;
    }
    return keep_processes_started() == now->started;
}

static bool stop_tree(keep_freezer *f, int64_t until_ns)
{
    pass passes[2] = {{.still = false}, {.still = false}};
    pass *now = &passes[0], *last = &passes[1];
    bool done = false, able = true;
    while (able && !done && prog_now_ns() < until_ns) {
        pass *other = last;
        last = now;
        now = other;
        able = stop_pass(f, now, until_ns);
        done = able && (now->alone || agree(last, now) || has_settled(now));
    }
    f->why = !able ? KEEP_TORN_UNSTOPPABLE : now->still ? KEEP_TORN_STARTS : KEEP_TORN_SLOW_STOP;
    const keep_processes *all = &now->all;
    f->tree = prog_alloc((all->count + 1) * sizeof *f->tree);
    for (size_t i = 0; i < all->count; i++)
        if (all->list[i].ours) f->tree[f->tree_count++] = all->list[i].pid;
    free(passes[0].all.list);
    free(passes[1].all.list);
    return done;
}

/* >>cgroup ------------------------------------------------------------- */
/* cgroup.events says when all processes have stopped. */
static bool freeze_cgroup(keep_freezer *f, int64_t until_ns)
{
    char path[PROG_PATH_SIZE_MAX + 32], text[256];
    snprintf(path, sizeof path, "%s/cgroup.events", f->cgroup);
    f->since_ns = prog_now_ns();
    f->why = KEEP_TORN_UNSTOPPABLE;
    if (!keep_cgroup_write(f->cgroup, "1")) return false;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool frozen = false;
    if (fd >= 0) f->why = KEEP_TORN_SLOW_STOP;
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
    assert(guard->shared);
    f->guard = guard;
    f->frozen = &guard->shared->frozen;
}

void keep_freezer_close(keep_freezer *f)
{
    if (f->frozen) keep_thaw(f);
    memset(f, 0, sizeof *f);
}

/* The first line of the file is the PID. False: it has none. */
static bool read_pidfile(keep_freezer *f)
{
    char text[32] = "", *end;
    const int file = os_open(f->pidfile);
    const int64_t n = file < 0 ? -1 : os_read(file, text, sizeof text - 1);
    if (file >= 0) os_close(file);
    text[n > 0 ? n : 0] = 0;
    const unsigned long long pid = strtoull(text, &end, 10);
    const bool good = pid > 1 && pid <= INT32_MAX && end > text && strchr(" \t\r\n", *end);
    f->root = good ? (pid_t)pid : 0;
    return good;
}

static bool lives(pid_t pid)
{
    char path[64], state = 0;
    pid_t parent;
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    return keep_process_read(path, &state, &parent) && !strchr("ZXx", state);
}

static bool complain(keep_freezer *f, const char *what, const char *why)
{
    if (!f->complained)
        prog_warn("%s: %s; nothing is stopped, so versions are torn", what, why);
    f->complained = true;
    return false;
}

/* Is there something to stop? */
static bool is_there(keep_freezer *f)
{
    char path[PROG_PATH_SIZE_MAX + 32], what[PROG_PATH_SIZE_MAX + 32], why[160];
    if (f->cgroup) {
        os_info info;
        snprintf(path, sizeof path, "%s/cgroup.freeze", f->cgroup);
        snprintf(what, sizeof what, "--freeze-cgroup %s", f->cgroup);
        if (os_stat(f->cgroup, true, &info) < 0) return complain(f, what, "there is no such directory now");
        if (access(path, W_OK) < 0 && errno == ENOENT)
            return complain(f, what, "it has no cgroup.freeze, so it is no cgroup, one of version 1, or the root");
        if (access(path, W_OK) < 0) return complain(f, what, "this user may not write to its cgroup.freeze");
    } else if (f->pidfile) {
        snprintf(what, sizeof what, "--freeze-pidfile %s", f->pidfile);
        if (!read_pidfile(f)) return complain(f, what, "it is not there or has no PID now");
        snprintf(why, sizeof why, "its process, %ld, has ended", (long)f->root);
        if (!lives(f->root)) return complain(f, what, why);
    } else if (f->root && !lives(f->root)) {
        snprintf(what, sizeof what, "--freeze-pid %ld", (long)f->root);
        return complain(f, what, "this process has ended");
    }
    if (f->complained) prog_warn("%s is there again", f->cgroup ? f->cgroup : f->pidfile ? f->pidfile : "it");
    f->complained = false;
    return true;
}

void keep_freezer_check(keep_freezer *f) { (void)is_there(f); }

bool keep_freeze(keep_freezer *f, int64_t until_ns)
{
    assert(f->frozen && !f->active);
    if (!is_there(f)) {
        f->since_ns = 0;
        f->why = f->cgroup ? KEEP_TORN_UNSTOPPABLE : KEEP_TORN_ENDED;
        return false;
    }
    f->active = true;
    f->since_ns = 0;
    /* While the program waits for this thread, the thread waits for nobody, where that is permitted. */
    f->nice = getpriority(PRIO_PROCESS, 0);
    (void)setpriority(PRIO_PROCESS, 0, NICE_MIN);
    const bool good = f->cgroup ? freeze_cgroup(f, until_ns) : stop_tree(f, until_ns);
    if (!f->since_ns) f->since_ns = prog_now_ns(); /* none ran */
    if (!good) keep_thaw(f);
    return good;
}

void keep_thaw(keep_freezer *f)
{
    if (!f->active) return;
    if (f->cgroup) (void)keep_cgroup_write(f->cgroup, "0");
    keep_guard_continue(f->frozen);
    (void)setpriority(PRIO_PROCESS, 0, f->nice);
    free(f->tree);
    f->tree = NULL;
    f->tree_count = 0;
    f->active = false;
}

/* >>alone --------------------------------------------------------------
   Is nothing left of the tree? The guard and dxkeep adopt orphans, so each process of the tree that lives
   has an ancestor, or is one, that is a child of one of the two and lives. If none of their children ends
   during a look at all processes, that child was there all the time, so the look has found it. What else
   starts or ends on this machine does not matter. */
enum { LOOKS_MAX = 8 };

/* How many children of dxkeep and of the guard have ended. False: that is unknown. */
static bool count_ended(keep_freezer *f, unsigned *own, unsigned *count)
{
    unsigned below = 0;
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
        ++*own;
        if (pid == f->guard->pid) f->guard->pid = 0; /* its children are dxkeep's now */
    }
    if (f->guard->pid && !keep_guard_count_ended(f->guard, &below)) return false;
    *count = *own + below;
    return true;
}

/* A child of the two in the list? */
static bool has_child(const keep_freezer *f, const keep_processes *all)
{
    const pid_t self = getpid(), guard = f->guard->pid;
    for (size_t i = 0; i < all->count; i++) {
        const keep_process *p = &all->list[i];
        if (p->pid == self || p->pid == guard) continue;
        if (p->parent == self || (guard && p->parent == guard)) return true;
    }
    return false;
}

bool keep_freezer_alone(keep_freezer *f)
{
    keep_processes all = {.count = 0};
    unsigned own = 0, before = 0, after = 1;
    bool known = !f->cgroup && !f->root, alone = false;
    for (int look = 0; known && before != after && look < LOOKS_MAX; look++) {
        const pid_t guard = f->guard->pid;
        known = count_ended(f, &own, &before) && keep_processes_list(&all);
        alone = known && !has_child(f, &all);
        known = known && count_ended(f, &own, &after) && f->guard->pid == guard;
    }
    free(all.list);
    return known && alone && before == after;
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
