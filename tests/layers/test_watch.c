/* Tests of layers/dx_watch.h: what it names is enough to know what is in a directory. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define DX_IMPLEMENTATION
#include "../../layers/dx_watch.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#include <ftw.h>
#include <stdlib.h>

/* What somebody knows who looks only at what is named: paths below the directory and what lstat
   says of them. The oracle is the same, read from the directory. */
enum { KNOWN_MAX = 512, PATH_MAX_HERE = 2048 };
typedef struct known {
    char     path[KNOWN_MAX][PATH_MAX_HERE];
    uint64_t what[KNOWN_MAX];
    unsigned count;
} known;

static char  top[64];
static known seen;

static uint64_t look(const char *path)
{
    char full[2 * PATH_MAX_HERE];
    struct stat st;
    snprintf(full, sizeof full, "%s/%s", top, path);
    if (lstat(full, &st)) return 0;
    if (S_ISDIR(st.st_mode)) return 1 + ((uint64_t)st.st_ino << 8);
    return 2 + ((uint64_t)st.st_ino << 8) + ((uint64_t)st.st_size << 40);
}

static void set(known *k, const char *path, uint64_t what)
{
    unsigned i = 0;
    while (i < k->count && strcmp(k->path[i], path) != 0) i++;
    if (i == k->count) {
        if (!what) return;
        DX_CHECK(k->count < KNOWN_MAX);
        snprintf(k->path[k->count++], sizeof k->path[0], "%s", path);
    }
    k->what[i] = what;
    if (what) return;
    k->count--;
    memmove(k->path[i], k->path[i + 1], (k->count - i) * sizeof k->path[0]);
    memmove(&k->what[i], &k->what[i + 1], (k->count - i) * sizeof k->what[0]);
}

static void forget_below(known *k, const char *path)
{
    const size_t size = strlen(path);
    for (unsigned i = k->count; i-- > 0;)
        if (!size || (!strncmp(k->path[i], path, size) && k->path[i][size] == '/')) {
            char own[PATH_MAX_HERE];
            snprintf(own, sizeof own, "%s", k->path[i]);
            set(k, own, 0);
        }
}

static void scan(known *k, const char *path)
{
    char full[2 * PATH_MAX_HERE];
    DIR *dir;
    const struct dirent *e;
    snprintf(full, sizeof full, "%s/%s", top, path);
    dir = opendir(full);
    if (!dir) return;
    while ((e = readdir(dir)) != NULL) {
        char below[PATH_MAX_HERE];
        uint64_t what;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        what = (uint64_t)snprintf(below, sizeof below, "%s%s%s", path, *path ? "/" : "", e->d_name);
        if (what >= sizeof below) continue;
        what = look(below);
        set(k, below, what);
        if ((what & 255) == 1) scan(k, below);
    }
    closedir(dir);
}

static unsigned named;
static void named_one(void *user, dx_watch *w, dx_watch_kind kind, const char *path)
{
    (void)user;
    (void)w;
    named++;
    if (kind == DX_WATCH_GONE) return;
    if (*path) set(&seen, path, look(path));
    if (kind != DX_WATCH_SCAN && (look(path) & 255) == 1) return;
    forget_below(&seen, path);
    if (kind == DX_WATCH_SCAN) scan(&seen, path);
}

static uint64_t   reactor_memory[16384], watch_memory[64 << 10];
static dx_reactor reactor;
static dx_watch   watch;

static void begin(const dx_watch_desc *wanted, size_t memory_size)
{
    dx_reactor_desc rd;
    dx_watch_desc d = *wanted;
    memset(&rd, 0, sizeof rd);
    rd.memory = reactor_memory;
    rd.memory_size = sizeof reactor_memory;
    DX_CHECK_EQ(dx_reactor_open(&reactor, &rd), 0);
    snprintf(top, sizeof top, "/tmp/dx_watch.XXXXXX");
    DX_CHECK(mkdtemp(top) != NULL);
    memset(&seen, 0, sizeof seen);
    named = 0;
    d.reactor = &reactor;
    d.path = top;
    d.memory = watch_memory;
    d.memory_size = memory_size;
    d.fn = named_one;
    DX_CHECK_EQ(dx_watch_open(&watch, &d), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static void end(void)
{
    dx_watch_close(&watch);
    DX_CHECK_EQ(dx_reactor_close(&reactor), 0);
    nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void check_knows_all(void)
{
    static known now;
    memset(&now, 0, sizeof now);
    scan(&now, "");
    for (unsigned i = 0; i < now.count; i++) {
        unsigned at = 0;
        while (at < seen.count && strcmp(seen.path[at], now.path[i]) != 0) at++;
        if (at == seen.count) fprintf(stderr, "never named: %s\n", now.path[i]);
        DX_CHECK(at < seen.count);
        DX_CHECK_EQ(seen.what[at], now.what[i]);
    }
    DX_CHECK_EQ(seen.count, now.count);
}

static void put(const char *path, const char *text)
{
    char full[2 * PATH_MAX_HERE];
    FILE *f;
    snprintf(full, sizeof full, "%s/%s", top, path);
    f = fopen(full, "a");
    if (!f) return; /* its directory is not there: a step of a model that does nothing */
    fputs(text, f);
    fclose(f);
}

static void make(const char *path)
{
    char full[2 * PATH_MAX_HERE];
    snprintf(full, sizeof full, "%s/%s", top, path);
    (void)mkdir(full, 0755);
}

static void drop(const char *path)
{
    char full[2 * PATH_MAX_HERE];
    snprintf(full, sizeof full, "%s/%s", top, path);
    (void)nftw(full, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void rename_to(const char *a, const char *b)
{
    char from[2 * PATH_MAX_HERE], to[2 * PATH_MAX_HERE];
    snprintf(from, sizeof from, "%s/%s", top, a);
    snprintf(to, sizeof to, "%s/%s", top, b);
    (void)rename(from, to);
}

DX_TEST(cl_4_w_81_first_files_of_new_directories_are_named)
{
    dx_watch_desc d;
    memset(&d, 0, sizeof d);
    begin(&d, sizeof watch_memory);
    make("a");
    make("a/b");
    make("a/b/c");
    put("a/b/c/first", "1");
    dx_watch_flush(&watch);
    put("a/b/c/second", "2");
    dx_watch_flush(&watch);
    check_knows_all();
    end();
}

DX_TEST(cl_4_w_81_a_busy_file_holds_nobody_back_and_is_named_itself)
{
    dx_watch_desc d;
    memset(&d, 0, sizeof d);
    d.debounce_ns = 20000000u;
    d.hold_ns = 100000000u;
    begin(&d, sizeof watch_memory);
    const uint64_t start = dx_reactor_refresh_now_ns(&reactor);
    uint64_t other = 0, busy = 0;
    put("other", "1");
    while (dx_reactor_refresh_now_ns(&reactor) - start < 300000000u && !(other && busy)) {
        put("busy", "x");
        dx_reactor_run_once(&reactor, 5000000);
        for (unsigned i = 0; i < seen.count; i++) {
            const uint64_t took = dx_reactor_refresh_now_ns(&reactor) - start;
            if (!other && !strcmp(seen.path[i], "other")) other = took;
            if (!busy && !strcmp(seen.path[i], "busy")) busy = took;
        }
    }
    DX_CHECK(other && busy && other < busy);
    DX_CHECK(busy >= 90000000u);
    end();
}

DX_TEST(cl_4_what_is_polled_is_named_every_time)
{
    dx_watch_desc d;
    dx_watch_stats stats;
    memset(&d, 0, sizeof d);
    d.poll = true;
    d.poll_ns = 1000000u;
    begin(&d, sizeof watch_memory);
    make("a");
    put("a/f", "1");
    while (named < 3) dx_reactor_run_once(&reactor, 10000000);
    check_knows_all();
    dx_watch_get_stats(&watch, &stats);
    DX_CHECK(stats.polls);
    end();
}

static void pick(dx_choices *c, char path[PATH_MAX_HERE])
{
    const unsigned depth = (unsigned)dx_choose(c, 3);
    *path = 0;
    for (unsigned i = 0; i <= depth; i++) {
        const bool is_long = dx_choose(c, 7) == 7;
        const unsigned n = (unsigned)dx_choose(c, 2);
        sprintf(path + strlen(path), "%s%s%u", i ? "/" : "",
                is_long ? "a_name_that_goes_on_beyond_the_first_cell_of_its_entry" : "n", n);
    }
}

DX_PROPERTY(cl_4_dk_4_after_quiet_what_was_named_equals_a_scan, 150)
{
    dx_watch_desc d;
    const int steps = (int)dx_choose_range(c, 1, 120);
    memset(&d, 0, sizeof d);
    d.pending_max = dx_choose(c, 3) ? 0 : 2; /* now and then it overflows */
    begin(&d, dx_choose(c, 3) ? sizeof watch_memory : DX_WATCH_MEMORY_MIN);
    for (int i = 0; i < steps; i++) {
        char a[PATH_MAX_HERE], b[PATH_MAX_HERE];
        pick(c, a);
        pick(c, b);
        switch (dx_choose(c, 6)) {
        case 0: make(a); break;
        case 1: put(a, "data"); break;
        case 2: drop(a); break;
        case 3:
        case 4: rename_to(a, b); break;
        case 5: make(a); drop(a); put(a, "now a file"); break;
        default: dx_watch_flush(&watch); break;
        }
    }
    dx_watch_flush(&watch);
    dx_watch_flush(&watch); /* what the first one found anew */
    check_knows_all();
    end();
}

DX_TEST(cl_4_an_overflow_of_the_systems_queue_means_a_scan)
{
    dx_watch_desc d;
    dx_watch_stats stats;
    memset(&d, 0, sizeof d);
    begin(&d, sizeof watch_memory);
    for (int i = 0; i < 9000; i++) { /* equal events that follow each other would be one */
        put("one", "1");
        put("two", "2");
    }
    make("late");
    put("late/file", "3"); /* of these the system tells nothing */
    dx_watch_flush(&watch);
    dx_watch_get_stats(&watch, &stats);
    DX_CHECK_EQ(stats.overflows, 1);
    check_knows_all();
    put("late/after", "4"); /* it is watched again */
    dx_watch_flush(&watch);
    check_knows_all();
    end();
}
