/* The supervisor. See supervise.h. All signals are blocked in it: it takes them one by one. */
#include "supervise.h"

#include "child.h"
#include "hook.h"
#include "processes.h"
#include "stop_signal.h"
#include "../common/os.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

enum { KILLED = 128, FAILURES_MAX = 10 /* in a row, without a capture */ };
#define PAUSE_MIN_NS INT64_C(100000000) /* before dxkeep is started again; doubled by each failure in a row */
#define PAUSE_MAX_NS INT64_C(5000000000)
#define END_NS INT64_C(10000000000) /* for processes that were killed */

typedef struct supervisor {
    keep_guard  *guard; /* of each dxkeep, with the shared memory */
    char       **program;
    uint64_t     grace_ns; /* for the program to end by SIGTERM */
    sigset_t     all;
    sigset_t     before;   /* the signal mask of the caller */
    pid_t        dxkeep;   /* 0: it does not run */
    int          ended;    /* of waitpid(), if it does not */
    int64_t      again_ns; /* then: when to start it again */
    int          failures; /* in a row */
} supervisor;

static bool has_started(const supervisor *v) { return v->guard->shared->started != 0; }

static bool program_runs(const supervisor *v) { return has_started(v) && !v->guard->shared->ended; }

/* >>dxkeep ------------------------------------------------------------- */
/* True: this is the new process. SIGCHLD tells it that the supervisor was killed. */
static bool start_dxkeep(supervisor *v)
{
    const pid_t self = getpid();
    assert(!v->dxkeep);
    v->guard->shared->captured = 0;
    v->dxkeep = fork();
    if (v->dxkeep < 0) {
        v->dxkeep = 0;
        v->again_ns = prog_now_ns() + PAUSE_MAX_NS;
    }
    if (v->dxkeep || getpid() == self) return false;
#if defined(PR_SET_PDEATHSIG)
    (void)prctl(PR_SET_PDEATHSIG, SIGCHLD);
#endif
    if (getppid() != self) _exit(KILLED + SIGKILL);
    v->guard->pid = self;
    v->guard->above = true;
    keep_hook_tell(&v->guard->shared->hook);
    v->guard->before = v->before;
    /* As long as there is no program, a signal ends dxkeep. Later it forwards them: keep_guard_listen(). */
    if (!has_started(v)) sigprocmask(SIG_SETMASK, &v->before, NULL);
    return true;
}

static void say_failure(const supervisor *v)
{
    const char *next = program_runs(v) ? "it is started again, and the program runs on" : "it is started again";
    if (WIFSIGNALED(v->ended)) prog_warn("dxkeep was killed by signal %d: %s", WTERMSIG(v->ended), next);
    else prog_warn("dxkeep ended with status %d: %s", WEXITSTATUS(v->ended), next);
}

static int give_up(supervisor *v)
{
    const bool runs = program_runs(v);
    const int64_t until_ns = prog_now_ns() + (int64_t)v->grace_ns;
    const int status = prog_fail(PROG_SYSTEM, "dxkeep ended %d times in a row before it had captured anything: %s",
                                 v->failures, runs ? "the program is ended" : "the last changes are not captured");
    if (runs) kill(v->guard->shared->pid, keep_signal_for_program(SIGTERM));
    while (runs && prog_now_ns() < until_ns && waitpid(v->guard->shared->pid, NULL, WNOHANG) == 0)
        os_sleep_ns(PAUSE_MIN_NS / 10);
    keep_processes_end(prog_now_ns() + END_NS, 0);
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
    return status;
}

static bool ends_dxkeep(int number)
{
    return number == SIGHUP || number == SIGINT || number == SIGQUIT || number == SIGTERM;
}

/* dxkeep has ended. True: so does the supervisor, with this status. */
static bool consider(supervisor *v, int *status)
{
    keep_shared *shared = v->guard->shared;
    keep_guard_continue(&shared->frozen);
    if (shared->hook > 0) kill(-shared->hook, SIGKILL);
    shared->hook = 0;
    if (WIFEXITED(v->ended) && !program_runs(v)) {
        *status = WEXITSTATUS(v->ended);
        return true;
    }
    if (!has_started(v) && WIFSIGNALED(v->ended) && ends_dxkeep(WTERMSIG(v->ended))) {
        *status = KILLED + WTERMSIG(v->ended);
        return true;
    }
    v->failures = shared->captured ? 1 : v->failures + 1;
    if (v->failures >= FAILURES_MAX) {
        *status = give_up(v);
        return true;
    }
    say_failure(v);
    int64_t pause_ns = PAUSE_MIN_NS << (v->failures - 1);
    if (pause_ns > PAUSE_MAX_NS) pause_ns = PAUSE_MAX_NS;
    v->again_ns = prog_now_ns() + pause_ns;
    return false;
}

/* >>signals ------------------------------------------------------------ */
/* To the program, or before it has started to dxkeep, which gets those of the terminal anyway. */
static void forward(const supervisor *v, const siginfo_t *info)
{
    const int number = info->si_signo;
    const bool terminal = keep_signal_is_from_terminal(info);
    const pid_t to = has_started(v) ? v->guard->shared->pid : v->dxkeep;
    if (!keep_signal_is_forwarded(number)) return;
    if (!terminal && to > 0 && (!has_started(v) || program_runs(v)))
        kill(to, has_started(v) ? keep_signal_for_program(number) : number);
    if (terminal && number == SIGTSTP) raise(SIGSTOP); /* Ctrl-Z: the shell waits for this process */
}

/* True: dxkeep has ended. */
static bool reap(supervisor *v)
{
    keep_shared *shared = v->guard->shared;
    const unsigned asked = keep_guard_count_begin(shared);
    unsigned reaped = 0;
    bool left = false;
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        reaped++;
        if (pid == v->dxkeep) {
            v->ended = status;
            v->dxkeep = 0;
            left = true;
        }
        if (!shared->started || pid != shared->pid) continue;
        keep_guard_end_rest(shared, v->dxkeep);
        shared->status = status;
        __atomic_store_n(&shared->ended, 1, __ATOMIC_RELEASE);
        if (v->dxkeep) kill(v->dxkeep, SIGCHLD);
    }
    keep_guard_count_end(shared, asked, reaped);
    return left;
}

static void wait_for_signal(supervisor *v)
{
    siginfo_t info;
    const int64_t now = prog_now_ns(), fence_ns = keep_guard_fence_ns(v->guard->shared);
    int64_t until_ns = v->dxkeep ? now + PAUSE_MAX_NS : v->again_ns;
    if (fence_ns < until_ns) until_ns = fence_ns;
    const int64_t wait = until_ns > now ? until_ns - now : 0;
    const struct timespec timeout = {.tv_sec = (time_t)(wait / 1000000000), .tv_nsec = (long)(wait % 1000000000)};
    if (sigtimedwait(&v->all, &info, &timeout) > 0) forward(v, &info);
}

/* dxkeep asks for the program when it has captured the directory. */
static void start_if_asked(supervisor *v)
{
    keep_shared *shared = v->guard->shared;
    if (shared->started || !__atomic_load_n(&shared->asked, __ATOMIC_ACQUIRE)) return;
    keep_guard_execute(shared, v->program, &v->before);
    __atomic_store_n(&shared->started, 1, __ATOMIC_RELEASE);
}

/* >>public ------------------------------------------------------------- */
bool keep_supervise(keep_guard *g, char **program, uint64_t grace_ns, int *status)
{
    supervisor v = {.guard = g, .program = program, .grace_ns = grace_ns};
    bool ends = false;
    *status = keep_guard_share(g);
    if (*status) return false;
    sigfillset(&v.all);
    sigprocmask(SIG_BLOCK, &v.all, &v.before);
    while (!ends) {
        if (!v.dxkeep && prog_now_ns() >= v.again_ns && start_dxkeep(&v)) return true;
        wait_for_signal(&v);
        const bool left = reap(&v);
        keep_guard_fence(v.guard->shared, v.dxkeep);
        start_if_asked(&v);
        ends = left && consider(&v, status);
    }
    keep_guard_close(g);
    return false;
}
