/* dxkeep run, dxkeep daemon: one thread waits for changes of the directory (dx_watch.h), for the end
   of the program and for signals; in between it captures. During a capture, changes collect in the
   kernel's queue; after an overflow everything is looked at, so no change is lost.

       directory --events--> dx_watch (waits until a path is quiet) --> capture --> store */
#include "child.h"
#include "gc.h"
#include "in_place.h"
#include "keep.h"
#include "keeper.h"
#include "metrics.h"
#include "remote.h"
#include "ship.h"
#include "supervise.h"

#include "../../layers/dx_watch.h"
#include "../common/os.h"
#include "../versions/filter.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    REACTOR_PENDING = 16,
    WATCH_MEMORY = 16 << 20 /* 100,000 directories and more; the others are polled */
};
#define RETRY_MIN_NS INT64_C(1000000000)
#define RETRY_MAX_NS INT64_C(30000000000)
#define AGREE_NS INT64_C(50000000) /* between two looks whether the remote has accepted the directory */
#define PLACE_NS INT64_C(50000000) /* between two looks for a missing directory */

typedef struct keeper {
    const keep_options *o;
    keep_capture capture;
    keep_child   child;
    keep_guard   guard;
    keep_freezer freezer;
    keep_apps    apps;
    keep_metrics *metrics; /* NULL: not served */
    keep_gc     *gc;      /* NULL: no version is removed */
    keep_ship   *ship;    /* NULL: there is no remote */
    dx_reactor   reactor;
    dx_watch     watch;
    void        *reactor_memory;
    void        *watch_memory;
    keep_keeper  told;     /* in the store, for status, through: */
    int          told_fd;  /* -1: not yet */
    bool         open;     /* reactor and watch are open */
    bool         lacking;  /* an entry that versions lack was reported */
    bool         moved;    /* the directory was removed or replaced, and may not be watched yet */
    bool         gone;     /* the directory is missing, which was reported */
    int64_t      due_ns;   /* after a failure: not earlier */
    int64_t      retry_ns; /* the pause after the next failure */
    uint64_t     added;    /* versions */
    bool         failing;  /* the last capture failed, which was said */
    bool         ending;   /* the program has ended, and what is said now is the last */
    bool         watching; /* a capture that fails is tried again */
    bool         again;    /* dxkeep was started again by its supervisor: earlier versions are not counted */
    bool         shown;    /* the thread that sends knows the latest version */
    int64_t      scan_ns;  /* time of the next full scan */
    int          status;   /* of the last capture */
} keeper;

/* >>status ------------------------------------------------------------- */
/* Tell `status` what the last capture did, and whether changes wait. */
static void tell(keeper *k, bool captured)
{
    const bool due = keep_capture_is_due(&k->capture);
    if (!captured && due == (k->told.waiting_ns != 0)) return;
    if (captured && !k->status) k->told.captured_ns = prog_time_ns();
    if (captured) k->told.failed = k->status != PROG_OK;
    if (!due) k->told.waiting_ns = 0;
    else if (!k->told.waiting_ns || (captured && !k->status)) k->told.waiting_ns = prog_time_ns();
    keep_metrics_wait(k->metrics, k->told.waiting_ns);
    if (k->capture.lost && k->told_fd >= 0) { /* the record is in a store that is gone */
        os_close(k->told_fd);
        k->told_fd = -1;
    }
    if (k->told_fd < 0 && k->capture.store && !k->capture.lost) k->told_fd = keep_keeper_open(k->o->store);
    keep_keeper_write(k->told_fd, &k->told);
}

/* >>capture ------------------------------------------------------------ */
static void say_version(const keep_capture *c)
{
    char when[40], size[32], read[32], grown[32], torn[KEEP_TORN_LINE_SIZE];
    keep_moment_text(c->last.time_ns, when);
    char pause[48] = "";
    if (c->paused_ns)
        snprintf(pause, sizeof pause, ", %s for %.1f ms", c->holder ? "locked" : "stopped",
                 (double)c->paused_ns / 1e6);
    prog_warn("version %llu at %s: %s bytes, %s %s read, the store grew by %s; %s%s",
              (unsigned long long)c->last.version, when, prog_count_text(c->last.size, size),
              prog_count_text(c->found.read_files, read), c->found.read_files == 1 ? "file" : "files",
              prog_count_text(c->grown, grown),
              keep_torn_or_consistent(c->last.consistent, &c->torn, c->last.torn, torn), pause);
}

/* Captures use at most a tenth of one processor, stop the program for at most a tenth of the time, and
   take half of the time, when the disk is slow. Full scans take at most a hundredth. */
static void pace(keeper *k, int64_t began, int64_t began_used, bool all)
{
    const int64_t now = prog_now_ns(), taken = now - began;
    const int64_t by_use = began + 10 * (os_used_ns() - began_used);
    const int64_t by_pause = began + 10 * (int64_t)(k->capture.paused_ns + k->apps.backup.waited_ns);
    k->due_ns = now + taken;
    if (k->due_ns < by_use) k->due_ns = by_use;
    if (k->due_ns < by_pause) k->due_ns = by_pause;
    if (!all) return;
    k->scan_ns = now + (int64_t)k->o->scan_ns;
    if (k->scan_ns < now + 99 * taken) k->scan_ns = now + 99 * taken;
}

/* A message with the cause came before. */
static void say_failure(keeper *k)
{
    if (k->failing || !k->watching || k->capture.lost) return;
    k->failing = true;
    if (k->ending || k->o->quiet) return;
    prog_warn("%s could not be captured%s; it is tried again in %d s, then at most every %d s", k->o->directory,
              k->o->program ? ", and the program runs on" : "", (int)(k->retry_ns / 1000000000),
              (int)(RETRY_MAX_NS / 1000000000));
}

/* After a failure the capture stays due and is retried later: space may be freed on a full disk. */
static void capture(keeper *k)
{
    const int64_t now = prog_now_ns(), used = os_used_ns();
    if (k->open) dx_watch_flush(&k->watch); /* include all changes until now */
    const bool all = k->capture.all;
    prog_mute(k->failing && !k->o->verbose); /* the same every few seconds */
    k->status = keep_capture_now(&k->capture);
    prog_mute(false);
    if (k->status) keep_gc_stop(k->gc);
    keep_metrics_captured(k->metrics, &k->capture, now, k->status != PROG_OK);
    pace(k, now, used, all);
    tell(k, true);
    if (k->status && k->capture.absent) { /* dx_watch reports when it exists again */
        if (!k->gone) prog_warn("%s is gone: it is not captured until it is back", k->o->directory);
        k->gone = true;
        return;
    }
    k->gone = false;
    if (k->status) {
        say_failure(k);
        k->due_ns = prog_now_ns() + k->retry_ns;
        k->retry_ns = k->retry_ns * 2 < RETRY_MAX_NS ? k->retry_ns * 2 : RETRY_MAX_NS;
        return;
    }
    if (k->failing && !k->ending && !k->o->quiet) prog_warn("%s is captured again", k->o->directory);
    k->failing = false;
    k->retry_ns = RETRY_MIN_NS;
    keep_guard_note_capture(&k->guard);
    k->added += k->capture.added;
    if (k->capture.added || (!k->shown && k->capture.has_last)) /* without a change: the remote may lack earlier versions */
        keep_ship_added(k->ship, &k->capture.last, versions_store_size(k->capture.store));
    k->shown = true;
    if (keep_capture_lacking(&k->capture) && !k->lacking && !k->o->quiet) {
        char text[KEEP_LACKING_SIZE];
        prog_warn("not captured: %s", keep_capture_lacking_text(&k->capture, text));
        k->lacking = true;
    }
    if (k->capture.added && k->o->verbose) say_version(&k->capture);
}

/* >>watch -------------------------------------------------------------- */
static void changed(void *user, dx_watch *w, dx_watch_kind kind, const char *path)
{
    keeper *k = user;
    (void)w;
    /* What --app leaves out is its own doing: such a change would cause a capture after each capture. */
    if (k->o->app && kind != DX_WATCH_GONE && !versions_filter_takes(&k->o->rules, path, false)) return;
    if (k->capture.backup && keep_backup_ignores(path)) return;
    k->moved |= kind == DX_WATCH_GONE;
    keep_capture_note(&k->capture, kind == DX_WATCH_GONE ? "" : path);
}

/* For a capture that stops the program: note all changes so far. */
static bool flush(void *user, keep_torn_reason *why)
{
    keeper *k = user;
    dx_watch_stats stats;
    *why = KEEP_TORN_EVENTS;
    if (!k->open) return false;
    dx_watch_flush(&k->watch);
    dx_watch_get_stats(&k->watch, &stats);
    k->moved &= stats.polled > 0;
    if (stats.polled) *why = k->moved ? KEEP_TORN_MOVED : KEEP_TORN_POLLED;
    return !stats.polled && !stats.pending; /* polled directories send no events */
}

/* Called before the store is opened, because the guard must not inherit it. */
static int open_guard(keeper *k)
{
    const keep_options *o = k->o;
    const bool stops = o->program ? !o->no_freeze : o->freeze_pid || o->freeze_pidfile || o->freeze_cgroup;
    if (o->app) {
        keep_apps_open(&k->apps, &k->capture);
        k->capture.flush = flush;
        k->capture.flush_user = k;
    }
    if (!o->program && !stops) return PROG_OK;
    if (o->freeze_pid && kill((pid_t)o->freeze_pid, 0) < 0 && errno == ESRCH)
        return prog_fail(PROG_NOT_FOUND, "--freeze-pid %llu: there is no such process",
                         (unsigned long long)o->freeze_pid);
    int status = k->guard.above ? PROG_OK : keep_guard_open(&k->guard, o->freeze_cgroup, o->program);
    if (status || !stops) return status;
    k->freezer.cgroup = o->freeze_cgroup;
    k->freezer.root = (pid_t)o->freeze_pid;
    k->freezer.pidfile = o->freeze_pidfile;
    keep_freezer_open(&k->freezer, &k->guard);
    keep_freezer_check(&k->freezer);
    k->capture.freezer = &k->freezer;
    k->capture.flush = flush;
    k->capture.flush_user = k;
    k->capture.still = o->program != NULL && !keep_guard_has_started(&k->guard); /* until it starts */
    return PROG_OK;
}

static int open_reactor(keeper *k)
{
    dx_reactor_desc desc = {.pending_max = REACTOR_PENDING, .descriptors_max = REACTOR_PENDING,
                            .queue_entries = REACTOR_PENDING, .posts_max = REACTOR_PENDING,
                            .file_threads = DX_REACTOR_NO_THREADS};
    desc.memory_size = dx_reactor_memory_size(&desc);
    k->reactor_memory = prog_alloc(desc.memory_size);
    desc.memory = k->reactor_memory;
    int error = dx_reactor_open(&k->reactor, &desc);
    if (error)
        return prog_fail(PROG_SYSTEM, "cannot open the event loop: %s", dx_reactor_error_name(error));
    return PROG_OK;
}

static int open_watch(keeper *k)
{
    dx_watch_desc desc = {.reactor = &k->reactor, .path = k->o->directory, .fn = changed, .user = k,
                          .debounce_ns = k->o->quiet_ns, .hold_ns = k->o->hold_ns,
                          .memory_size = WATCH_MEMORY};
    if (!os_random(desc.seed, sizeof desc.seed))
        return prog_fail(PROG_SYSTEM, "the system's random numbers are not available");
    k->watch_memory = prog_alloc(WATCH_MEMORY);
    desc.memory = k->watch_memory;
    int error = dx_watch_open(&k->watch, &desc);
    if (!error) return PROG_OK;
    return prog_fail(error == DX_WATCH_ESYS ? PROG_NOT_FOUND : PROG_SYSTEM,
                     "%s cannot be watched: %s", k->o->directory,
                     error == DX_WATCH_ESYS ? os_error_text(dx_watch_sys_errno(&k->watch))
                                            : dx_watch_error_name(error));
}

static int open_all(keeper *k)
{
    int status = open_reactor(k);
    if (status) return status;
    keep_signals_begin(&k->reactor);
    keep_guard_listen(&k->guard);
    status = open_watch(k);
    if (status) {
        keep_signals_end();
        dx_reactor_close(&k->reactor);
    }
    k->open = !status;
    return status;
}

static void close_all(keeper *k)
{
    if (k->open) {
        dx_watch_close(&k->watch);
        while (!dx_watch_is_closed(&k->watch)) dx_reactor_run_once(&k->reactor, 1000000);
        keep_signals_end();
        dx_reactor_close(&k->reactor);
    }
    keep_gc_close(k->gc);
    if (k->told_fd >= 0) os_close(k->told_fd);
    keep_metrics_close(k->metrics);
    keep_ship_close(k->ship);
    keep_freezer_close(&k->freezer);
    keep_guard_close(&k->guard);
    free(k->watch_memory);
    free(k->reactor_memory);
    keep_capture_close(&k->capture);
    keep_apps_close(&k->apps);
}

/* >>loop --------------------------------------------------------------- */
/* Restore the latest version to a missing or empty directory. */
static int restore_latest(const keeper *k)
{
    const keep_options *o = k->o;
    const int64_t began_ns = prog_now_ns();
    versions_store *s;
    versions_version v;
    os_info info;
    int partial = PROG_OK;
    bool filled;
    if (o->fresh || os_stat(o->store, true, &info) < 0) return PROG_OK;
    int status = keep_is_filled(o->directory, &filled);
    if (status || filled) return status;
    versions_store_wait(o->store, prog_now_ns() + KEEP_LOCK_NS);
    status = versions_store_open(&s, o->store, VERSIONS_WRITE);
    if (status) return status == PROG_NOT_FOUND ? PROG_OK : status;
    status = versions_version_find(s, o->name, 0, &v);
    if (!status) status = keep_restore_to(s, &v, o->directory, o, &partial);
    versions_store_close(s);
    if (status == PROG_NOT_FOUND) return PROG_OK; /* no version so far */
    keep_metrics_restored(k->metrics, began_ns, status != PROG_OK);
    if (!status && !v.consistent)
        prog_warn("%s: version %llu, which was restored, is torn: its files may be of different "
                  "moments; 'dxkeep restore %s consistent %s --force' restores the latest one that "
                  "is not", o->directory, (unsigned long long)v.version, o->store, o->directory);
    if (!status && o->verbose)
        prog_warn("%s: restored version %llu", o->directory, (unsigned long long)v.version);
    return status;
}

/* Store and directory may not exist yet: then the program gets an empty directory. */
static int make_directory(const keep_options *o)
{
    os_info info;
    if (os_stat(o->directory, true, &info) == 0) return PROG_OK;
    if (os_make_folder(o->directory, 0777) == 0 || errno == EEXIST) return PROG_OK;
    return prog_fail_errno("%s", o->directory);
}

/* The timeout for events; DX_REACTOR_FOREVER: none. */
static int64_t wait_ns(const keeper *k, int64_t now)
{
    int64_t until = k->o->scan_ns ? k->scan_ns : INT64_MAX;
    if (keep_capture_is_due(&k->capture)) until = k->due_ns;
    if (keep_gc_due_ns(k->gc) < until) until = keep_gc_due_ns(k->gc);
    if (until == INT64_MAX) return DX_REACTOR_FOREVER;
    return until > now ? until - now : 0;
}

/* Run until the program has ended, or without a program until a signal asks to end. Tending first: it
   finds that the program has ended, after which no signal may come to end a sleep. */
static void watch(keeper *k)
{
    while (!keep_child_tend(&k->child) && !k->child.ended) {
        if (k->capture.lost && !k->child.pid) return; /* return, so that dxkeep's caller learns it */
        dx_reactor_run_once(&k->reactor, wait_ns(k, prog_now_ns()));
        const int64_t now = prog_now_ns();
        const bool scan = k->o->scan_ns && now >= k->scan_ns;
        if (scan) keep_capture_note(&k->capture, "");
        tell(k, false);
        if (k->child.ended) continue;
        if (now >= k->due_ns && keep_capture_is_due(&k->capture)) capture(k);
        else keep_gc_tick(k->gc, &k->capture);
    }
}

/* Look at everything once more, so that the last version has the final state of the program's files. */
static void finish(keeper *k)
{
    /* Leave most of the time for reading: storing whole chunks, without deltas, is as
       fast as the disk. */
    k->capture.whole_from_ns = prog_now_ns() + (int64_t)k->o->grace_ns / 4;
    k->ending = true;
    k->failing = false; /* say once more why */
    for (int tries = 0; tries < 3; tries++) {
        if (k->capture.freezer && k->o->program) k->capture.still = keep_freezer_alone(&k->freezer);
        keep_capture_note(&k->capture, "");
        capture(k);
        if (!k->status && !k->capture.all) break;
    }
    if (k->status && k->capture.absent)
        prog_fail(k->status, "%s is gone: the last changes in it were not captured", k->o->directory);
    if (k->status && k->capture.lost)
        prog_fail(k->status, "the store %s has not come back: the last changes in %s were not captured",
                  k->o->store, k->o->directory);
    if (!k->status) versions_store_save_index(k->capture.store);
    if (!k->status && keep_capture_lacking(&k->capture)) {
        char text[KEEP_LACKING_SIZE];
        prog_warn("the last version lacks %s", keep_capture_lacking_text(&k->capture, text));
    }
}

/* On standard error: standard output is the program's. */
static void say_summary(const keeper *k)
{
    const keep_capture *c = &k->capture;
    const char *since = k->again ? " since dxkeep was started again" : "";
    char count[32], size[32];
    if (k->status || !c->has_last || k->o->quiet) {
        if (k->status && !c->absent && !k->o->quiet)
            prog_warn("%s: the last changes were not captured; %s %s captured%s before", k->o->directory,
                      prog_count_text(k->added, count), k->added == 1 ? "version was" : "versions were", since);
        return;
    }
    prog_warn("%s: %s %s captured%s; the latest, %llu, has %s bytes and is %s", k->o->directory,
              prog_count_text(k->added, count), k->added == 1 ? "version" : "versions", since,
              (unsigned long long)c->last.version, prog_count_text(c->last.size, size),
              c->last.consistent ? "consistent" : "torn");
}

/* Open the connection to the remote, and let the guard know when the lease ends. */
static int open_ship(keeper *k)
{
    const keep_options *o = k->o;
    if (o->standby && !o->remote) return prog_fail(PROG_USAGE, "--standby needs --remote");
    if (o->fence && !o->remote) return prog_fail(PROG_USAGE, "--fence needs --remote");
    int status = keep_ship_open(&k->ship, o);
    if (status) return status;
    keep_metrics_ships(k->metrics, k->ship);
    if (!o->fence) return PROG_OK;
    k->guard.shared->lease_ns = (int64_t)o->lease_ns;
    keep_ship_tell_lease(k->ship, &k->guard.shared->lease_end_ns);
    return PROG_OK;
}

/* --standby, --fence: wait for the lease. A signal ends dxkeep. */
static int wait_for_lease(keeper *k)
{
    const keep_options *o = k->o;
    bool failed = false, filled = false;
    if (!o->standby && !o->fence) return PROG_OK;
    const int status = o->standby ? keep_is_filled(o->directory, &filled) : PROG_OK;
    if (status) return status;
    if (filled)
        return prog_fail(PROG_REFUSED, "%s is not empty, and --standby restores it: move it away first",
                         o->directory);
    if (o->verbose) prog_warn("waiting for the lease of %s", o->remote);
    while (!keep_ship_leads(k->ship, &failed)) {
        if (failed) return prog_fail(PROG_REFUSED, "remote %s: another dxkeep has taken over", o->remote);
        os_sleep_ns(50000000);
    }
    if (o->verbose) prog_warn("this dxkeep has the lease of %s now", o->remote);
    return PROG_OK;
}

/* --fence: the directory may be what an earlier run has left. Wait until the remote has accepted its
   versions, or has others. */
static int wait_until_agreed(keeper *k)
{
    const keep_options *o = k->o;
    char why[KEEP_SHIP_WHY];
    while (!keep_ship_agrees(k->ship, why)) {
        if (*why)
            return prog_fail(PROG_REFUSED, "the program was not started: remote %s: %s", o->remote, why);
        dx_reactor_run_once(&k->reactor, AGREE_NS);
        if (keep_child_tend(&k->child))
            return prog_fail(PROG_REFUSED, "the program was not started: a signal came before remote %s had "
                                           "accepted %s", o->remote, o->directory);
    }
    return PROG_OK;
}

/* The program is to be started: restore its directory. */
static int begin(keeper *k)
{
    const keep_options *o = k->o;
    int status = keep_store_check(o, o->program ? "the program was not started" : "nothing is captured");
    if (!status) status = keep_in_place_recover(o->directory);
    if (!status) status = open_guard(k);
    if (!status && o->metrics) status = keep_metrics_open(&k->metrics, o);
    if (!status) status = open_ship(k);
    if (!status) status = wait_for_lease(k);
    if (!status) status = keep_remote_continue(o);
    if (!status) status = restore_latest(k);
    if (!status) status = make_directory(o);
    return status;
}

/* --supervise, and the program runs already: nothing is restored. What is missing may come back. */
static int go_on(keeper *k)
{
    const keep_options *o = k->o;
    os_info info;
    int ended;
    int status = open_guard(k);
    while (!status && !keep_guard_ended(&k->guard, &ended) &&
           (os_stat(o->directory, true, &info) < 0 || !versions_store_is_at(o->store)))
        os_sleep_ns(PLACE_NS);
    if (!status && o->metrics) status = keep_metrics_open(&k->metrics, o);
    if (!status) status = open_ship(k);
    return status;
}

static int run(keeper *k)
{
    const keep_options *o = k->o;
    const bool goes_on = keep_guard_has_started(&k->guard);
    k->again = goes_on;
    int status = goes_on ? go_on(k) : begin(k);
    if (!status) status = open_all(k);
    if (status) return status;
    keep_ship_begin(k->ship);
    capture(k);
    if (k->status && o->program && !goes_on)
        return prog_fail(k->status, "the program was not started: %s could not be captured", o->directory);
    if (k->status && !goes_on) return k->status;
    if (o->verbose) prog_warn("watching %s", o->directory);
    k->capture.still = false;
    k->watching = true;
    if (o->fence && !goes_on) status = wait_until_agreed(k);
    if (!status && o->program) status = keep_child_start(&k->child, &k->guard, o->program);
    if (status) return status;
    watch(k);
    keep_gc_stop(k->gc);
    finish(k);
    keep_ship_finish(k->ship, prog_now_ns() + (int64_t)o->grace_ns);
    say_summary(k);
    if (o->fence && k->guard.shared->fenced) return PROG_REFUSED;
    return k->child.status ? k->child.status : k->status;
}

int keep_run(const keep_options *o)
{
    keep_guard guard = {.shared = NULL};
    int status = PROG_OK;
    if (o->supervise && !keep_supervise(&guard, o->program, o->grace_ns, &status)) return status;
    keeper *k = prog_alloc(sizeof *k);
    memset(k, 0, sizeof *k);
    k->guard = guard;
    k->o = o;
    k->capture.o = o;
    k->capture.all = true;
    k->gc = keep_gc_open(o);
    k->told = (keep_keeper){.pid = (uint64_t)getpid(), .began_ns = prog_time_ns()};
    k->told_fd = -1;
    if (os_real_path(o->directory, k->told.directory, sizeof k->told.directory) < 0)
        snprintf(k->told.directory, sizeof k->told.directory, "%.*s", PROG_PATH_SIZE_MAX, o->directory);
    k->retry_ns = RETRY_MIN_NS;
    status = run(k);
    close_all(k);
    free(k);
    return status;
}
