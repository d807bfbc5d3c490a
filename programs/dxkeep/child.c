/* Run a program as a child process. See child.h. */
#include "child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

enum { CANNOT_EXECUTE = 126, NO_PROGRAM = 127, KILLED = 128 };

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

/* A signal from the terminal (Ctrl-C) reaches the program directly as well as dxkeep. */
static bool is_from_terminal(const siginfo_t *info)
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
        if (!is_from_terminal(info)) __atomic_add_fetch(&pending[number], 1, __ATOMIC_RELAXED);
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
/* Runs in the child. exec() resets handled signals to their defaults, but the ones that os_begin()
   ignores would stay ignored. */
static void execute(char **program, int tell, pid_t parent)
{
#if defined(PR_SET_PDEATHSIG)
    /* If dxkeep is killed, the program dies too: it would run without being captured. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(KILLED + SIGKILL);
#else
    (void)parent;
#endif
    signal(SIGPIPE, SIG_DFL);
#if defined(SIGXFSZ)
    signal(SIGXFSZ, SIG_DFL);
#endif
    execvp(program[0], program);
    const int error = errno;
    ssize_t n = write(tell, &error, sizeof error);
    _exit(n < 0 ? NO_PROGRAM : CANNOT_EXECUTE);
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

int keep_child_start(keep_child *c, char **program)
{
    int ends[2];
    if (pipe(ends) < 0) return prog_fail_errno("%s: cannot be started", program[0]);
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid == 0) execute(program, ends[1], parent);
    const int fork_error = errno;
    close(ends[1]);
    const int error = pid < 0 ? 0 : wait_for_exec(ends[0]);
    close(ends[0]);
    if (pid < 0) {
        errno = fork_error;
        return prog_fail_errno("%s: cannot be started", program[0]);
    }
    c->pid = (int)pid;
    if (!error) return PROG_OK;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
    c->ended = true;
    c->status = error == ENOENT ? NO_PROGRAM : CANNOT_EXECUTE;
    prog_warn("%s: cannot be started: %s", program[0], strerror(error));
    return PROG_OK;
}

/* >>tend --------------------------------------------------------------- */
static void reap(keep_child *c)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != c->pid || c->ended) continue;
        c->ended = true;
        c->status = WIFSIGNALED(status) ? KILLED + WTERMSIG(status) : WEXITSTATUS(status);
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
        if (c->pid && !c->ended) kill((pid_t)c->pid, number);
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
