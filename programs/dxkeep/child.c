/* Run a program as a child process. See child.h. */
#include "child.h"

#include "processes.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CANNOT_EXECUTE = 126, NO_PROGRAM = 127, KILLED = 128 };
#define END_NS INT64_C(10000000000) /* for the rest of a killed program */

/* >>signals ------------------------------------------------------------
   All signals that a program may use are forwarded, real-time signals as often as they arrived. Not
   forwarded: SIGKILL and SIGSTOP, which cannot be caught; signals that the kernel raises for a fault
   of dxkeep itself; SIGCHLD; and the signals that os_begin() ignores. */
static const int passed_on[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,   SIGUSR1, SIGUSR2, SIGWINCH,
                                SIGALRM, SIGCONT, SIGTSTP, SIGVTALRM, SIGPROF, SIGURG,
#if defined(SIGPWR)
                                SIGPWR,
#endif
#if defined(SIGIO)
                                SIGIO,
#endif
};
enum { PASSED_ON = sizeof passed_on / sizeof *passed_on, SIGNALS = 128 };

static dx_reactor *volatile waked;
/* The handler may run on any thread, so the counters are atomic. */
static int pending[SIGNALS]; /* how often to forward each */
static int came[SIGNALS];    /* also signals that the program received directly */
static volatile sig_atomic_t child_ended;

#if defined(SIGRTMIN)
static int first_real_time(void) { return SIGRTMIN; }
static int last_real_time(void) { return SIGRTMAX < SIGNALS ? SIGRTMAX : SIGNALS - 1; }
#else
static int first_real_time(void) { return 1; }
static int last_real_time(void) { return 0; }
#endif

bool keep_signal_is_forwarded(int number)
{
    bool listed = number >= first_real_time() && number <= last_real_time();
    for (int i = 0; i < PASSED_ON; i++) listed |= passed_on[i] == number;
    return listed;
}

bool keep_signal_is_from_terminal(const siginfo_t *info)
{
#if defined(SI_KERNEL)
    return info->si_code == SI_KERNEL;
#else
    return info->si_pid == 0;
#endif
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    const int saved = errno;
    (void)context;
    if (number == SIGCHLD) child_ended = 1;
    if (number != SIGCHLD && number > 0 && number < SIGNALS) {
        if (!keep_signal_is_from_terminal(info)) __atomic_add_fetch(&pending[number], 1, __ATOMIC_RELAXED);
        __atomic_store_n(&came[number], 1, __ATOMIC_RELEASE);
    }
    dx_reactor *r = waked;
    if (r) dx_reactor_wake(r);
    errno = saved;
}

static void handle(int number)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigfillset(&action.sa_mask); /* one at a time: each is counted */
    sigaction(number, &action, NULL);
}

void keep_signals_begin(dx_reactor *r)
{
    assert(!waked);
    waked = r;
    for (int i = 0; i < PASSED_ON; i++) handle(passed_on[i]);
    for (int n = first_real_time(); n <= last_real_time(); n++) handle(n);
    handle(SIGCHLD);
}

void keep_signals_end(void) { waked = NULL; }

/* >>start -------------------------------------------------------------- */
int keep_child_start(keep_child *c, keep_guard *guard, char **program)
{
    int error = 0;
    int status = keep_guard_start(guard, &error);
    if (status) return status;
    c->guard = guard;
    c->pid = (int)guard->shared->pid;
    child_ended = 1; /* it may have ended before there was a handler */
    if (!error) return PROG_OK;
    c->ended = true;
    c->status = error == ENOENT ? NO_PROGRAM : CANNOT_EXECUTE;
    prog_warn("%s: cannot be started: %s", program[0], strerror(error));
    return PROG_OK;
}

/* >>tend --------------------------------------------------------------- */
/* The guard reaps the program. If the guard is killed, the kernel kills the program; the rest of
   its processes become children of dxkeep, and are ended here. */
static void lose_guard(keep_child *c)
{
    keep_processes_end(prog_now_ns() + END_NS, 0);
    c->ended = true;
    c->status = KILLED + SIGKILL;
}

/* The kernel kills the program also if the supervisor is killed, unless the program has changed its user. */
static void lose_supervisor(keep_child *c)
{
    if (c->pid > 0) kill((pid_t)c->pid, SIGKILL);
    c->ended = true;
    c->status = KILLED + SIGKILL;
}

static void reap(keep_child *c)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (!c->guard || pid != c->guard->pid) continue;
        c->guard->pid = 0;
        if (!c->ended) lose_guard(c);
    }
    if (c->ended || !c->guard) return;
    if (keep_guard_ended(c->guard, &status)) {
        c->ended = true;
        c->status = WIFSIGNALED(status) ? KILLED + WTERMSIG(status) : WEXITSTATUS(status);
    } else if (c->guard->above && getppid() != c->guard->pid) {
        lose_supervisor(c);
    }
}

static bool ends_dxkeep(int number)
{
    return number == SIGHUP || number == SIGINT || number == SIGQUIT || number == SIGTERM;
}

/* Ctrl-Z: the shell waits until dxkeep has stopped, too. */
static void stop_with_terminal(int number, bool passed)
{
    if (number == SIGTSTP && !passed) raise(SIGSTOP);
}

static bool tend_signal(keep_child *c, int number)
{
    if (!__atomic_exchange_n(&came[number], 0, __ATOMIC_ACQUIRE)) return false;
    const int count = __atomic_exchange_n(&pending[number], 0, __ATOMIC_RELAXED);
    for (int i = 0; i < count; i++)
        if (c->pid && !c->ended) kill((pid_t)c->pid, keep_signal_for_program(number));
    stop_with_terminal(number, count > 0);
    return !c->pid && ends_dxkeep(number);
}

bool keep_child_tend(keep_child *c)
{
    bool end = false;
    if (child_ended) {
        child_ended = 0;
        reap(c);
    }
    for (int i = 0; i < PASSED_ON; i++) end |= tend_signal(c, passed_on[i]);
    for (int n = first_real_time(); n <= last_real_time(); n++) (void)tend_signal(c, n);
    return end;
}
