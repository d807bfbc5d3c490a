/* Run a hook in a process group of its own, so that all its processes can be killed. See hook.h. */
#include "hook.h"

#include "../common/os.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

enum { NO_SHELL = 127 };
#define POLL_NS INT64_C(1000000) /* for its end */

static void execute(const char *command, uint64_t version, bool consistent)
{
    char number[32];
    setpgid(0, 0);
#if defined(PR_SET_PDEATHSIG)
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    signal(SIGPIPE, SIG_DFL);
#if defined(SIGXFSZ)
    signal(SIGXFSZ, SIG_DFL);
#endif
    snprintf(number, sizeof number, "%llu", (unsigned long long)version);
    if (version) setenv("DXKEEP_VERSION", number, 1);
    if (version) setenv("DXKEEP_CONSISTENT", consistent ? "1" : "0", 1);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(NO_SHELL);
}

static int *group_of_running; /* NULL: nobody wants to know */

void keep_hook_tell(int *group) { group_of_running = group; }

static void tell(int group)
{
    if (group_of_running) __atomic_store_n(group_of_running, group, __ATOMIC_RELEASE);
}

/* False: not before until_ns. */
static bool wait_for(pid_t pid, int64_t until_ns, int *status)
{
    for (;;) {
        const pid_t ended = waitpid(pid, status, WNOHANG);
        if (ended == pid) return true;
        if (ended < 0 && errno != EINTR) return false;
        if (prog_now_ns() >= until_ns) return false;
        os_sleep_ns(POLL_NS);
    }
}

bool keep_hook(const char *command, uint64_t limit_ns, uint64_t version, bool consistent)
{
    int status = 0;
    assert(command && limit_ns);
    const pid_t pid = fork();
    if (pid == 0) execute(command, version, consistent);
    if (pid < 0) {
        prog_fail_errno("'%s' cannot be started", command);
        return false;
    }
    tell(pid);
    setpgid(pid, pid); /* parent and child both call it: either may run first */
    if (!wait_for(pid, prog_now_ns() + (int64_t)limit_ns, &status)) {
        kill(-pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
        tell(0);
        prog_warn("'%s' did not end within %.3g s and was killed", command, (double)limit_ns / 1e9);
        return false;
    }
    tell(0);
    if (WIFEXITED(status) && !WEXITSTATUS(status)) return true;
    if (WIFSIGNALED(status)) prog_warn("'%s' was killed by signal %d", command, WTERMSIG(status));
    else prog_warn("'%s' ended with status %d", command, WEXITSTATUS(status));
    return false;
}
