/* The guard. See guard.h. */
#include "guard.h"

#include "processes.h"
#include "stop_signal.h"
#include "../common/os.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

enum { NO_PROGRAM = 127, KILLED = 128, SIGNALS = 65 };
#define END_NS INT64_C(60000000000) /* a process that waits for a disk ends late */
#define KILL_NS INT64_C(100000000) /* between two looks at signals meanwhile */
#define WAIT_NS INT64_C(3600000000000)
#define ASK_NS INT64_C(1000000) /* between two questions to the supervisor */
#define COUNT_NS INT64_C(100000) /* and to the guard, how many of its children have ended; */
#define COUNT_MAX_NS INT64_C(10000000000) /* all of them: it may have been stopped */

void keep_guard_continue(keep_frozen *frozen)
{
    const int count = __atomic_load_n(&frozen->count, __ATOMIC_ACQUIRE);
    for (int i = 0; i < count; i++) kill(frozen->list[i], SIGCONT);
    __atomic_store_n(&frozen->count, 0, __ATOMIC_RELEASE);
}

bool keep_cgroup_write(const char *cgroup, const char *text)
{
    char path[PROG_PATH_SIZE_MAX + 32];
    snprintf(path, sizeof path, "%s/cgroup.freeze", cgroup);
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const bool good = prog_write_all(fd, text, strlen(text));
    close(fd);
    return good;
}

static bool adopt_orphans(void)
{
#if defined(PR_SET_CHILD_SUBREAPER)
    return prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
#else
    return true;
#endif
}

/* >>fence -------------------------------------------------------------- */
/* Of the lease's time, a third is left for SIGTERM, and a tenth for SIGKILL. */
enum { TERM_PART = 3, KILL_PART = 10 };

int64_t keep_guard_fence_ns(const keep_shared *s)
{
    const int64_t end = __atomic_load_n(&s->lease_end_ns, __ATOMIC_ACQUIRE);
    if (!s->lease_ns || !end || !s->pid || s->ended) return INT64_MAX;
    return end - s->lease_ns / (s->fenced ? KILL_PART : TERM_PART);
}

void keep_guard_fence(keep_shared *s, pid_t except)
{
    const int64_t now = prog_now_ns();
    if (now < keep_guard_fence_ns(s)) return;
    if (s->fenced) {
        keep_processes_end(now + KILL_NS, except);
        return;
    }
    s->fenced = 1;
    prog_warn("the lease could not be renewed: the program is ended before another dxkeep may begin");
    kill(s->pid, keep_signal_for_program(SIGTERM));
}

void keep_guard_end_rest(const keep_shared *s, pid_t except)
{
    if (s->fenced) keep_processes_end(prog_now_ns() + END_NS, except);
}

/* >>program ------------------------------------------------------------ */
/* In the program's process. Every signal has its default again. */
static void execute(char **program, int tell, pid_t parent, const sigset_t *mask)
{
#if defined(PR_SET_PDEATHSIG)
    /* If dxkeep and the guard are killed, the program dies too. The kernel drops this when a program
       changes its user; the guard does not need it. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(KILLED + SIGKILL);
#else
    (void)parent;
#endif
    for (int n = 1; n < SIGNALS; n++) signal(n, SIG_DFL);
    sigprocmask(SIG_SETMASK, mask, NULL);
    execvp(program[0], program);
    const int error = errno;
    ssize_t n = write(tell, &error, sizeof error);
    _exit(n < 0 ? NO_PROGRAM : NO_PROGRAM - 1);
}

/* Returns the errno of exec(), or 0: a successful exec() closes the pipe. */
static int wait_for_exec(int pipe_end)
{
    int error = 0;
    ssize_t n;
    do {
        n = read(pipe_end, &error, sizeof error);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof error ? error : 0;
}

static bool open_pipe(int ends[2])
{
    if (pipe(ends) < 0) return false;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return true;
}

void keep_guard_execute(keep_shared *shared, char **program, const sigset_t *mask)
{
    int ends[2];
    if (!open_pipe(ends)) {
        shared->error = errno;
        return;
    }
    const pid_t self = getpid(), pid = fork();
    if (pid == 0) execute(program, ends[1], self, mask);
    shared->error = pid < 0 ? errno : 0;
    close(ends[1]);
    if (pid > 0) shared->error = wait_for_exec(ends[0]);
    if (pid > 0) shared->pid = pid;
    close(ends[0]);
}

unsigned keep_guard_count_begin(const keep_shared *shared)
{
    return __atomic_load_n(&shared->counts_asked, __ATOMIC_ACQUIRE);
}

void keep_guard_count_end(keep_shared *shared, unsigned asked, unsigned reaped)
{
    shared->reaped += reaped;
    __atomic_store_n(&shared->counts_done, asked, __ATOMIC_RELEASE);
}

/* >>guard -------------------------------------------------------------- */
typedef struct guarding {
    keep_shared *shared;
    const char  *cgroup;
    char       **program;
    pid_t        dxkeep;
    int          ask;    /* its ends of the pipes */
    int          answer;
    sigset_t     before; /* the signal mask of dxkeep */
} guarding;

static void on_child(int number) { (void)number; }

/* Until the next step of the fence, or longer than anybody waits. */
static struct timespec time_left(const keep_shared *shared)
{
    const int64_t at = keep_guard_fence_ns(shared), now = prog_now_ns();
    const int64_t left = at <= now ? 0 : at - now < WAIT_NS ? at - now : WAIT_NS;
    return (struct timespec){.tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000)};
}

static void reap(const guarding *g)
{
    const unsigned asked = keep_guard_count_begin(g->shared);
    unsigned reaped = 0;
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        reaped++;
        if (pid != g->shared->pid) continue;
        keep_guard_end_rest(g->shared, 0);
        g->shared->status = status;
        __atomic_store_n(&g->shared->ended, 1, __ATOMIC_RELEASE);
        if (getppid() == g->dxkeep) kill(g->dxkeep, SIGCHLD);
    }
    keep_guard_count_end(g->shared, asked, reaped);
}

/* dxkeep was killed. Processes that outlive a program that has ended keep running, as without dxkeep. */
static void abandon(const guarding *g)
{
    const bool runs = g->shared->pid && !g->shared->ended;
    if (g->cgroup) (void)keep_cgroup_write(g->cgroup, "0");
    keep_guard_continue(&g->shared->frozen);
    if (runs) keep_processes_end(prog_now_ns() + END_NS, 0);
    while (waitpid(-1, NULL, WNOHANG) > 0) continue; /* else their numbers are taken until others reap them */
    _exit(0);
}

/* SIGCHLD is blocked except while it waits, so that none is missed. */
static void guard(guarding *g)
{
    sigset_t children, waiting;
    for (int n = 1; n < SIGNALS; n++)
        if (n != SIGKILL && n != SIGSTOP) signal(n, SIG_IGN);
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_SETMASK, &children, NULL);
    sigemptyset(&waiting);
    signal(SIGCHLD, on_child);
    if (g->program) (void)adopt_orphans();
    for (;;) {
        char byte = 0;
        fd_set set;
        FD_ZERO(&set);
        FD_SET(g->ask, &set);
        const struct timespec timeout = time_left(g->shared);
        const int ready = pselect(g->ask + 1, &set, NULL, NULL, &timeout, &waiting);
        reap(g);
        keep_guard_fence(g->shared, 0);
        if (ready <= 0) continue;
        const ssize_t n = read(g->ask, &byte, 1);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) abandon(g);
        keep_guard_execute(g->shared, g->program, &g->before);
        if (write(g->answer, &byte, 1) != 1) abandon(g);
    }
}

/* >>public ------------------------------------------------------------- */
static int fork_guard(keep_guard *g, guarding *own)
{
    int ask[2], answer[2];
    if (!open_pipe(ask)) return prog_fail_errno("the guard process cannot be started");
    if (!open_pipe(answer)) {
        close(ask[0]);
        close(ask[1]);
        return prog_fail_errno("the guard process cannot be started");
    }
    own->ask = ask[0];
    own->answer = answer[1];
    g->pid = fork();
    if (g->pid == 0) {
        close(ask[1]);
        close(answer[0]);
        guard(own);
    }
    const int error = errno;
    close(ask[0]);
    close(answer[1]);
    g->ask = ask[1];
    g->answer = answer[0];
    if (g->pid > 0) return PROG_OK;
    g->pid = 0;
    close(g->ask);
    close(g->answer);
    errno = error;
    return prog_fail_errno("the guard process cannot be started");
}

void keep_guard_close(keep_guard *g)
{
    if (!g->shared) return;
    if (g->pid && !g->above) {
        kill(g->pid, SIGKILL);
        while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR) continue;
    }
    if (!g->above) {
        close(g->ask);
        close(g->answer);
    }
    munmap(g->shared, sizeof *g->shared);
    memset(g, 0, sizeof *g);
}

static int share(keep_guard *g, bool adopts)
{
    void *shared = mmap(NULL, sizeof *g->shared, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return prog_fail_errno("the memory shared with the guard process cannot be allocated");
    g->shared = shared;
    if (!adopts || adopt_orphans()) return PROG_OK;
    const int status = prog_fail_errno("the program's orphans cannot be adopted");
    keep_guard_close(g);
    return status;
}

int keep_guard_open(keep_guard *g, const char *cgroup, char **program)
{
    guarding own = {.cgroup = cgroup, .program = program, .dxkeep = getpid()};
    int status = share(g, program != NULL);
    if (status) return status;
    own.shared = g->shared;
    sigprocmask(SIG_BLOCK, NULL, &own.before);
    status = fork_guard(g, &own);
    if (!status) return PROG_OK;
    munmap(g->shared, sizeof *g->shared);
    g->shared = NULL;
    return status;
}

int keep_guard_share(keep_guard *g)
{
    g->above = true;
    return share(g, true);
}

/* Ask until it has answered: a signal wakes it. */
static int ask_supervisor(keep_guard *g, int *error)
{
    __atomic_store_n(&g->shared->asked, 1, __ATOMIC_RELEASE);
    while (getppid() == g->pid && !keep_guard_has_started(g)) {
        kill(g->pid, SIGCHLD);
        os_sleep_ns(ASK_NS);
    }
    if (getppid() != g->pid) return prog_fail(PROG_SYSTEM, "the supervisor was killed");
    *error = g->shared->error;
    return PROG_OK;
}

int keep_guard_start(keep_guard *g, int *error)
{
    char byte = 's';
    ssize_t n;
    assert(g->pid);
    if (g->above) return ask_supervisor(g, error);
    do {
        n = write(g->ask, &byte, 1);
    } while (n < 0 && errno == EINTR);
    if (n != 1) return prog_fail(PROG_SYSTEM, "the guard process has ended: the program is not started");
    do {
        n = read(g->answer, &byte, 1);
    } while (n < 0 && errno == EINTR);
    /* Without an answer it has ended since then, killed by its program perhaps, which counts as started. */
    *error = n == 1 ? g->shared->error : 0;
    return PROG_OK;
}

bool keep_guard_has_started(const keep_guard *g)
{
    return g->shared && __atomic_load_n(&g->shared->started, __ATOMIC_ACQUIRE);
}

void keep_guard_listen(const keep_guard *g)
{
    if (g->above) sigprocmask(SIG_SETMASK, &g->before, NULL);
}

void keep_guard_note_capture(const keep_guard *g)
{
    if (g->shared) __atomic_store_n(&g->shared->captured, 1, __ATOMIC_RELEASE);
}

bool keep_guard_ended(const keep_guard *g, int *status)
{
    if (!__atomic_load_n(&g->shared->ended, __ATOMIC_ACQUIRE)) return false;
    *status = g->shared->status;
    return true;
}

static bool is_gone(const keep_guard *g)
{
    siginfo_t info = {.si_pid = 0};
    if (g->above) return getppid() != g->pid;
    return waitid(P_PID, (id_t)g->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid != 0;
}

bool keep_guard_count_ended(const keep_guard *g, unsigned *count)
{
    const int64_t until_ns = prog_now_ns() + COUNT_MAX_NS;
    assert(g->pid > 0);
    const unsigned asked = __atomic_add_fetch(&g->shared->counts_asked, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&g->shared->counts_done, __ATOMIC_ACQUIRE) != asked) {
        if (is_gone(g) || prog_now_ns() >= until_ns) return false;
        kill(g->pid, SIGCHLD);
        os_sleep_ns(COUNT_NS);
    }
    *count = g->shared->reaped;
    return true;
}
