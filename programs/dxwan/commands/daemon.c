/* dxwan daemon: the mirrors and receivers of a configuration, in one process.

       read and check --> lock --> open everything --> start threads --> wait for signals
       SIGHUP: read again, start new jobs, end removed ones
       SIGTERM: mirrors make their last round, then receivers complete the transfers in progress */
#include "../wan.h"

#include "../../common/os.h"
#include "../../common/scrape.h"
#include "../daemon/check.h"
#include "../daemon/config.h"
#include "../daemon/jobs.h"
#include "../daemon/metrics.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

/* Jobs that end send SIGUSR1. All threads block these signals, and the main one waits for them. */
static void prepare_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGUSR1);
    signal(SIGHUP, SIG_DFL); /* nohup ignores it, and some systems then drop it */
    pthread_sigmask(SIG_BLOCK, set, NULL);
}

/* Lock the configuration: a second daemon would receive the same files. */
static int lock(const char *path, int *file)
{
    *file = os_open(path);
    if (*file < 0) return prog_fail_errno("%s", path);
    if (!flock(*file, LOCK_EX | LOCK_NB)) return PROG_OK;
    const int error = errno;
    os_close(*file);
    *file = -1;
    errno = error;
    return error == EWOULDBLOCK
               ? prog_fail(PROG_REFUSED, "ALREADY_STARTED: another daemon runs with %s", path)
               : prog_fail_errno("%s", path);
}

static void report(const wan_jobs *j, const char *what)
{
    uint32_t mirrors = 0;
    for (uint32_t i = 0; i < j->count; i++) mirrors += j->jobs[i]->mirror.name != NULL;
    const uint32_t receivers = j->count - mirrors;
    prog_say("%s: %u mirror%s, %u receiver%s%s\n", what, (unsigned)mirrors, prog_plural(mirrors),
             (unsigned)receivers, prog_plural(receivers), j->config.enabled ? "" : "; plain copies");
    fflush(stdout);
}

/* An editor may have replaced the file: the new one is locked, too. */
static void reload(wan_jobs *j, const char *path, int *locked)
{
    wan_config *config = prog_alloc(sizeof *config);
    os_info now, old;
    int fresh = -1;
    int status = wan_config_read(config, path);
    if (!status && (os_stat(path, true, &now) < 0 || os_info_of(*locked, &old) < 0 ||
                    now.number != old.number || now.volume != old.volume))
        status = lock(path, &fresh);
    if (!status) status = wan_check_tls(config);
    if (!status) status = wan_jobs_reload(j, config);
    if (!status && fresh >= 0) {
        os_close(*locked);
        *locked = fresh;
    } else if (fresh >= 0) {
        os_close(fresh);
    }
    wan_config_free(config);
    free(config);
    if (status) prog_warn("%s is not in force", path);
    else report(j, "reloaded");
}

static void serve(wan_jobs *j, const char *path, int *locked, const sigset_t *set)
{
    int asked = 0;
    bool receivers = false; /* they were asked, too */
    for (;;) {
        int number = SIGTERM;
        sigwait(set, &number);
        if (number == SIGHUP && !asked) reload(j, path, locked);
        if (number == SIGTERM || number == SIGINT) {
            asked++;
            wan_jobs_ask(j, false, asked > 1);
            if (asked > 1) wan_jobs_ask(j, true, true);
        }
        const uint32_t mirrors = wan_jobs_reap(j, false);
        if (!asked || mirrors) continue;
        if (!receivers) wan_jobs_ask(j, true, asked > 1);
        receivers = true;
        if (!wan_jobs_reap(j, true)) return;
    }
}

/* Serve until the end. Metrics are the first to start and the last to end. */
static int run(wan_jobs *j, wan_config *config, const wan_options *o, int *locked)
{
    prog_scrape *scrape = NULL;
    sigset_t set;
    prepare_signals(&set);
    prog_progress_off();
    const char *what = o->metrics ? "--metrics-addr" : "[metrics] address";
    const char *address = o->metrics ? o->metrics : config->metrics_address;
    wan_jobs_open(j, config, wan_mirror, wan_recv);
    int status = address ? prog_scrape_open(&scrape, what, address, wan_metrics_put, j) : PROG_OK;
    if (!status) status = wan_jobs_start(j);
    if (!status) {
        report(j, "started");
        serve(j, o->config, locked, &set);
        status = j->status;
    }
    prog_scrape_close(scrape);
    wan_jobs_free(j);
    return status;
}

int wan_daemon(const wan_options *o)
{
    wan_config *config = prog_alloc(sizeof *config);
    wan_jobs *j = prog_alloc(sizeof *j);
    int locked = -1;
    if (!o->config) {
        free(config);
        free(j);
        return prog_fail(PROG_USAGE, "--config FILE is missing");
    }
    int status = wan_config_read(config, o->config);
    if (!status) status = wan_check(config, o->metrics);
    if (!status && o->check) prog_say("%s: correct\n", o->config);
    if (!status && !o->check) status = lock(o->config, &locked);
    if (!status && !o->check) status = run(j, config, o, &locked);
    if (locked >= 0) os_close(locked);
    wan_config_free(config);
    free(config);
    free(j);
    return status;
}
