/* Starts the process that holds the locks (app.h), and asks it:

       dxkeep    find | fork ......... | 'h' | find again | read all | find again | ask | close
       process          | lock, lock | 'h' ............................................. | ends */
#include "app.h"

#include "processes.h"
#include "../common/os.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

enum { HELD = 'h', NOT_HELD = 'n', ASK = 'a' };
#define ANSWER_NS INT64_C(500000000) /* for the answer of a process that has the time limit itself */

bool keep_app_is_backup(const char *app) { return app && !strcmp(app, "postgres"); }

bool keep_app_is_aof(const char *app) { return app && !strcmp(app, "redis"); }

int keep_app_check(const char *app)
{
    if (!app || keep_app_is_backup(app) || keep_app_is_aof(app)) return PROG_OK;
    if (strcmp(app, "sqlite") != 0)
        return prog_fail(PROG_USAGE, "--app %s: there are sqlite, postgres and redis", app);
    if (!keep_sqlite_is_there())
        return prog_fail(PROG_USAGE, "--app sqlite: this dxkeep was built without libsqlite3");
    return PROG_OK;
}

const char *const *keep_app_left_out(const char *app)
{
    /* SQLite makes the index of a WAL again, and readers write to it at any time. */
    static const char *const sqlite[] = {"*-shm", NULL};
    static const char *const redis[] = {"temp-*.rdb", "temp-*.aof", "temp-*.manifest", "temp-*.incr", NULL};
    static const char *const none[] = {NULL};
    if (!app) return none;
    return strcmp(app, "redis") ? sqlite : redis;
}

static void forget(keep_databases *d)
{
    for (size_t i = 0; i < d->count; i++) free(d->list[i].path);
    free(d->list);
    *d = (keep_databases){.list = NULL};
}

/* Returns false, for the caller to return it. */
static bool fail(keep_holder *h, keep_torn *t, const char *path, const char *why)
{
    char text[sizeof h->said];
    snprintf(text, sizeof text, "%s%s%.200s: %.200s", h->directory, *path ? "/" : "", path, why);
    keep_torn_because(t, KEEP_TORN_APP);
    if (*path) keep_torn_add(t, path);
    if (!h->quiet && strcmp(text, h->said) != 0) prog_warn("--app: %s", text);
    snprintf(h->said, sizeof h->said, "%s", text);
    return false;
}

static bool fail_to_hold(keep_holder *h, keep_torn *t, const char *why)
{
    forget(&h->held);
    return fail(h, t, "", why);
}

/* >>process ------------------------------------------------------------ */
/* In the process: lock, then answer until dxkeep closes its end. It holds no descriptor of the store, so
   that a later dxkeep can write to it, whatever happens to this one. */
static void serve(const keep_holder *h, int64_t until_ns)
{
    size_t failed = 0;
    char text[512], asked;
#if defined(PR_SET_PDEATHSIG)
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    signal(SIGINT, SIG_IGN); /* of the terminal: dxkeep decides */
    signal(SIGTERM, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    keep_process_close_files(h->fd);
    const char *why = keep_sqlite_lock(&h->held, h->directory, until_ns, &failed);
    const int n = why ? snprintf(text, sizeof text, "%c%zu %.400s", NOT_HELD, failed, why)
                      : snprintf(text, sizeof text, "%c", HELD);
    if (!prog_write_all(h->fd, text, (size_t)n + 1) || why) _exit(1);
    while (read(h->fd, &asked, 1) == 1 && asked == ASK)
        if (!prog_write_all(h->fd, text, 2)) break;
    _exit(0);
}

static bool start(keep_holder *h, int64_t until_ns)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return false;
    h->pid = fork();
    h->fd = pair[h->pid == 0];
    if (h->pid == 0) serve(h, until_ns);
    close(pair[1]);
    if (h->pid > 0) return true;
    close(pair[0]);
    h->pid = 0;
    return false;
}

static void stop(keep_holder *h)
{
    int status;
    if (!h->pid) return;
    close(h->fd);
    kill(h->pid, SIGKILL); /* the locks end with it, and nothing of it needs an end */
    while (waitpid(h->pid, &status, 0) < 0 && errno == EINTR) continue;
    h->pid = 0;
    forget(&h->held);
}

/* Read until NUL. False: it has ended, or did not answer before until_ns. */
static bool read_answer(const keep_holder *h, char *out, size_t size, int64_t until_ns)
{
    size_t have = 0;
    for (;;) {
        struct pollfd ready = {.fd = h->fd, .events = POLLIN};
        const int64_t left_ns = until_ns - prog_now_ns();
        if (left_ns <= 0) return false;
        const int n = poll(&ready, 1, (int)(left_ns / 1000000) + 1);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        const ssize_t got = recv(h->fd, out + have, size - have, 0);
        if (got <= 0) return false;
        have += (size_t)got;
        if (!out[have - 1]) return true;
        if (have == size) return false;
    }
}

/* >>hold --------------------------------------------------------------- */
/* A database that was made or replaced after the first search is not locked. */
static bool is_same(keep_holder *h, keep_torn *t, const char *when)
{
    keep_databases now = {.list = NULL};
    char text[80];
    const char *path = "";
    bool same = keep_sqlite_find(&now, h->directory, h->rules, &h->plain) && now.count == h->held.count;
    for (size_t i = 0; i < now.count && i < h->held.count; i++) {
        const keep_database *a = &now.list[i], *b = &h->held.list[i];
        if (!strcmp(a->path, b->path) && a->device == b->device && a->inode == b->inode) continue;
        path = a->path;
        same = false;
        break;
    }
    if (!same && !*path && now.count > h->held.count) path = now.list[h->held.count].path;
    snprintf(text, sizeof text, "a database was made, replaced or removed %s", when);
    if (!same) fail(h, t, path, text);
    forget(&now);
    return same;
}

bool keep_hold(keep_holder *h, int64_t until_ns, keep_torn *t)
{
    char text[512];
    assert(!h->pid && !h->held.count);
    if (!keep_sqlite_find(&h->held, h->directory, h->rules, &h->plain))
        return fail_to_hold(h, t, "it cannot be searched for databases");
    if (!h->held.count) return fail_to_hold(h, t, "there is no SQLite database in it");
    if (!start(h, until_ns)) return fail_to_hold(h, t, "no process can be started");
    if (!read_answer(h, text, sizeof text, until_ns + ANSWER_NS)) {
        stop(h);
        return fail(h, t, "", "the databases could not be locked in time");
    }
    if (*text != HELD) {
        char *why;
        const size_t at = strtoul(text + 1, &why, 10);
        char *path = prog_copy_text(at < h->held.count ? h->held.list[at].path : "");
        stop(h);
        (void)fail(h, t, path, why + (*why == ' '));
        free(path);
        return false;
    }
    if (!is_same(h, t, "while they were locked")) {
        stop(h);
        return false;
    }
    return true;
}

void keep_hold_files(const keep_holder *h, void (*each)(void *user, const char *path), void *user)
{
    static const char *const suffixes[] = {"", "-journal", "-wal"};
    char path[PROG_PATH_SIZE_MAX + 1];
    for (size_t i = 0; i < h->held.count; i++)
        for (size_t k = 0; k < sizeof suffixes / sizeof *suffixes; k++) {
            const int n = snprintf(path, sizeof path, "%s%s", h->held.list[i].path, suffixes[k]);
            if (n > 0 && (size_t)n < sizeof path) each(user, path);
        }
}

bool keep_release(keep_holder *h, keep_torn *t)
{
    char text[8];
    const char ask = ASK;
    if (!h->pid) return false;
    bool held = is_same(h, t, "during the capture");
    if (held && (send(h->fd, &ask, 1, MSG_NOSIGNAL) != 1 ||
                 !read_answer(h, text, sizeof text, prog_now_ns() + ANSWER_NS)))
        held = fail(h, t, "", "the process with the locks has ended");
    if (held) *h->said = 0;
    stop(h);
    return held;
}

void keep_holder_close(keep_holder *h)
{
    stop(h);
    keep_sqlite_forget(&h->plain);
}
