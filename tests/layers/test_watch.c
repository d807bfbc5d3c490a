/* Tests of layers/dx_watch.h: its reports suffice to know a directory's contents. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "../dx_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A hostile kernel: requests go to the real one, except for injected faults. */
static struct {
    dx_choices *choices;      /* NULL: no random faults */
    bool        no_watches;   /* ENOSPC */
    bool        remote;       /* every file system is NFS */
    bool        ignored_late; /* of the last watch that was removed */
    bool        interrupted;  /* the next read */
    bool        no_list;      /* EIO */
    int         ignored;      /* a watch that the kernel drops; 0: none */
    int         same_watch;   /* the number of the next one; 0: its own */
    bool        same_always;  /* and all following ones, until this is false */
    int         last_watch;
    int         removed_watch;
    int         queue;        /* the descriptor of the queue; closed: -1 */
} kernel;

static bool at_times(unsigned of)
{
    return kernel.choices && dx_choose(kernel.choices, of - 1) == of - 1;
}

static int fails(int error)
{
    errno = error;
    return -1;
}

static int kernel_open(int at, const char *name, int flags)
{
    if (at_times(24)) return fails(EMFILE);
    if (at_times(24)) return fails(EACCES);
    return (int)syscall(SYS_openat, (long)at, name, (long)flags);
}

static int kernel_close(int fd)
{
    if (fd == kernel.queue) kernel.queue = -1;
    return close(fd);
}

static long kernel_fake(void *out, int watch, uint32_t mask, const char *name)
{
    struct inotify_event e;
    memset(&e, 0, sizeof e);
    e.wd = watch;
    e.mask = mask;
    e.len = *name ? 16 : 0;
    memcpy(out, &e, sizeof e);
    memset((char *)out + sizeof e, 0, e.len);
    memcpy((char *)out + sizeof e, name, strlen(name));
    return (long)(sizeof e + e.len);
}

static long kernel_read(int fd, void *out, size_t size)
{
    if (kernel.interrupted || at_times(8)) {
        kernel.interrupted = false;
        return fails(EINTR);
    }
    if (kernel.ignored) {
        const int watch = kernel.ignored;
        kernel.ignored = 0;
        inotify_rm_watch(fd, watch);
        return kernel_fake(out, watch, IN_IGNORED, "");
    }
    if (at_times(16)) return kernel_fake(out, 1 << 30, IN_CREATE | IN_ISDIR, "ghost");
    if (kernel.ignored_late && at_times(4)) {
        kernel.ignored_late = false;
        return kernel_fake(out, kernel.removed_watch, IN_IGNORED, "");
    }
    if (at_times(32)) { /* its queue was full */
        while (read(fd, out, size) > 0) continue;
        return kernel_fake(out, -1, IN_Q_OVERFLOW, "");
    }
    return read(fd, out, at_times(4) ? sizeof(struct inotify_event) + 256 : size);
}

static long kernel_list(int fd, void *out, size_t size)
{
    if (kernel.no_list || at_times(24)) return fails(EIO);
    return syscall(SYS_getdents64, (long)fd, out, at_times(3) ? (size_t)300 : size);
}

static int kernel_kind(int fd, struct statfs *st)
{
    const int result = fstatfs(fd, st);
    if (kernel.remote || at_times(24)) st->f_type = 0x6969;
    else st->f_type = 0xef53; /* whatever the tests run on */
    return result;
}

static int kernel_init(int flags)
{
    kernel.queue = inotify_init1(flags);
    return kernel.queue;
}

static int kernel_add(int fd, const char *path, uint32_t mask)
{
    const int same = kernel.same_watch;
    if (kernel.no_watches || at_times(6)) return fails(ENOSPC);
    if (!kernel.same_always) kernel.same_watch = 0;
    if (same) return same;
    kernel.last_watch = inotify_add_watch(fd, path, mask);
    return kernel.last_watch;
}

static int kernel_remove(int fd, int watch)
{
    kernel.removed_watch = watch;
    kernel.ignored_late = true;
    return inotify_rm_watch(fd, watch);
}

/* How many names were compared in look-ups. */
static unsigned compared;
static int compare(const void *a, const void *b, size_t size)
{
    compared++;
    return memcmp(a, b, size);
}

#define DX_WATCH_MEMCMP     compare
#define DX_WATCH_SYS_OPEN   kernel_open
#define DX_WATCH_SYS_CLOSE  kernel_close
#define DX_WATCH_SYS_READ   kernel_read
#define DX_WATCH_SYS_LIST   kernel_list
#define DX_WATCH_SYS_KIND   kernel_kind
#define DX_WATCH_SYS_INIT   kernel_init
#define DX_WATCH_SYS_ADD    kernel_add
#define DX_WATCH_SYS_REMOVE kernel_remove
#define DX_IMPLEMENTATION
#include "../../layers/dx_watch.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#include <dirent.h>
#include <ftw.h>
#include <sys/stat.h>
#include <stdlib.h>

/* The knowledge of an observer that inspects only what is reported: paths below the directory and
   their lstat. The oracle is the same, read from the directory. */
enum { KNOWN_MAX = 512, PATH_MAX_HERE = 2048 };
typedef struct known {
    char     path[KNOWN_MAX][PATH_MAX_HERE];
    uint64_t what[KNOWN_MAX];
    unsigned count;
} known;

static char     top[64]; /* the directory, a new one per run */
static unsigned tops;
static known seen;

static uint64_t look(const char *path)
{
    char full[2 * PATH_MAX_HERE];
    struct stat st;
    snprintf(full, sizeof full, "%s/%s", top, path);
    if (lstat(full, &st)) return 0;
    const uint64_t mode = (uint64_t)(st.st_mode & 07777) << 52;
    if (S_ISDIR(st.st_mode)) return mode + 1 + ((uint64_t)st.st_ino << 8);
    return mode + 2 + ((uint64_t)st.st_ino << 8) + ((uint64_t)(st.st_size & 4095) << 40);
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

static unsigned named, gone, everything;
static char order[64]; /* one-letter names */
static bool closes, flushes; /* what the next call does */
static char last_scan[DX_WATCH_PATH_SIZE_MAX];
static void named_one(void *user, dx_watch *w, dx_watch_kind kind, const char *path)
{
    (void)user;
    named++;
    if (flushes) dx_watch_flush(w);
    flushes = false;
    if (closes) {
        dx_watch_close(w);
        DX_CHECK(!dx_watch_is_closed(w));
    }
    if (kind == DX_WATCH_GONE) gone++;
    if (kind == DX_WATCH_GONE) return;
    if (kind == DX_WATCH_SCAN) snprintf(last_scan, sizeof last_scan, "%s", path);
    if (!*path) everything++;
    if (strlen(path) == 1 && strlen(order) + 1 < sizeof order) strcat(order, path);
    if (strlen(path) >= PATH_MAX_HERE) return;
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
    char here[4096];
    dx_reactor_desc rd;
    dx_watch_desc d = *wanted;
    memset(&rd, 0, sizeof rd);
    rd.memory = reactor_memory;
    rd.memory_size = sizeof reactor_memory;
    DX_CHECK_EQ(dx_reactor_open(&reactor, &rd), 0);
    snprintf(top, sizeof top, "/tmp/dx_watch.%ld.%u", (long)getpid(), ++tops);
    DX_CHECK_EQ(mkdir(top, 0700), 0);
    memset(&seen, 0, sizeof seen);
    memset(&kernel, 0, sizeof kernel);
    named = gone = everything = 0;
    closes = flushes = false;
    *order = 0;
    d.reactor = &reactor;
    d.path = top + sizeof "/tmp";
    d.memory = watch_memory;
    d.memory_size = memory_size;
    d.fn = named_one;
    DX_CHECK(getcwd(here, sizeof here) != NULL);
    DX_CHECK_EQ(chdir("/tmp"), 0); /* desc.path is relative to this, and only while it is opened */
    DX_CHECK_EQ(dx_watch_open(&watch, &d), 0);
    DX_CHECK_EQ(chdir(here), 0);
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
    kernel.choices = NULL;
    dx_watch_close(&watch);
    DX_CHECK_EQ(dx_reactor_close(&reactor), 0);
    DX_CHECK(dx_watch_is_closed(&watch));
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
    if (!f) return; /* its directory is missing: this step of the model does nothing */
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
    DX_CHECK(stats.polled);
    end();
}

static void change_mode(const char *path, unsigned mode)
{
    char full[2 * PATH_MAX_HERE];
    snprintf(full, sizeof full, "%s/%s", top, path);
    (void)chmod(full, mode);
}

static void exchange(const char *a, const char *b)
{
    char from[2 * PATH_MAX_HERE], to[2 * PATH_MAX_HERE];
    snprintf(from, sizeof from, "%s/%s", top, a);
    snprintf(to, sizeof to, "%s/%s", top, b);
    (void)renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE);
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

static uint32_t polled_now(void)
{
    dx_watch_stats stats;
    dx_watch_get_stats(&watch, &stats);
    return stats.polled;
}

/* Repeat until nothing is polled any more. */
static void recover(void)
{
    for (int i = 0; i < 2000 && polled_now(); i++) dx_reactor_run_once(&reactor, 1000000);
    DX_CHECK_EQ(polled_now(), 0);
}

static void random_steps(dx_choices *c, int steps)
{
    for (int i = 0; i < steps; i++) {
        char a[PATH_MAX_HERE], b[PATH_MAX_HERE];
        pick(c, a);
        pick(c, b);
        switch (dx_choose(c, 9)) {
        case 0: make(a); break;
        case 1: put(a, "data"); break;
        case 2: drop(a); break;
        case 3:
        case 4: rename_to(a, b); break;
        case 5: make(a); drop(a); put(a, "now a file"); break;
        case 6: change_mode(a, dx_choose(c, 1) ? 0700 : 0755); break;
        case 7: exchange(a, b); break;
        case 8: drop(a); break;
        default: dx_watch_flush(&watch); break;
        }
    }
}

DX_PROPERTY(cl_4_dk_4_after_quiet_what_was_named_equals_a_scan, 150)
{
    dx_watch_desc d;
    const int steps = (int)dx_choose_range(c, 1, 120);
    memset(&d, 0, sizeof d);
    d.pending_max = dx_choose(c, 3) ? 0 : 2; /* sometimes it overflows */
    d.poll_ns = 1000000u;
    begin(&d, dx_choose(c, 3) ? sizeof watch_memory : DX_WATCH_MEMORY_MIN);
    random_steps(c, steps);
    dx_watch_flush(&watch);
    dx_watch_flush(&watch); /* changes found by the first rescan */
    recover();              /* renames during the rescan */
    check_knows_all();
    end();
}

/* Moments: each flush reports everything, but not before it was polled. Directories are renamed and
   exchanged next to changes below them. */
DX_PROPERTY(cl_4_dk_4_every_flush_knows_all_that_has_happened, 300)
{
    dx_watch_desc d;
    const int moments = (int)dx_choose_range(c, 1, 12);
    memset(&d, 0, sizeof d);
    begin(&d, sizeof watch_memory);
    for (int i = 0; i < moments; i++) {
        random_steps(c, (int)dx_choose_range(c, 1, 20));
        dx_watch_flush(&watch);
        check_knows_all();
    }
    end();
}

DX_PROPERTY(cl_4_a_kernel_with_any_faults_costs_time_but_no_change, 150)
{
    dx_watch_desc d;
    const int steps = (int)dx_choose_range(c, 1, 120);
    memset(&d, 0, sizeof d);
    d.pending_max = dx_choose(c, 3) ? 0 : 2;
    d.poll_ns = 1000000u;
    begin(&d, sizeof watch_memory);
    kernel.choices = c;
    for (int i = 0; i < 4; i++) {
        random_steps(c, steps / 4);
        dx_reactor_run_once(&reactor, 1000000);
    }
    kernel.choices = NULL;
    recover();
    dx_watch_flush(&watch);
    dx_watch_flush(&watch);
    recover();
    check_knows_all();
    end();
}

DX_TEST(cl_4_a_refused_watch_polls_its_directory_alone_until_it_is_given)
{
    dx_watch_desc d;
    memset(&d, 0, sizeof d);
    d.poll_ns = 1000000u;
    begin(&d, sizeof watch_memory);
    make("a");
    dx_watch_flush(&watch);
    kernel.no_watches = true;
    make("b");
    dx_watch_flush(&watch);
    DX_CHECK_EQ(polled_now(), 1);
    put("b/f", "1");
    *last_scan = 0;
    for (int i = 0; i < 20; i++) dx_reactor_run_once(&reactor, 1000000);
    DX_CHECK_STR(last_scan, "b");
    DX_CHECK_EQ(everything, 0);
    check_knows_all();
    kernel.no_watches = false;
    recover();
    put("b/g", "2");
    dx_watch_flush(&watch);
    check_knows_all();
    DX_CHECK_EQ(everything, 0);
    end();
}

DX_TEST(cl_4_a_file_system_that_others_change_is_polled_too)
{
    dx_watch_desc d;
    memset(&d, 0, sizeof d);
    d.poll_ns = 1000000u;
    begin(&d, sizeof watch_memory);
    kernel.remote = true;
    make("a");
    make("a/b");
    dx_watch_flush(&watch);
    DX_CHECK_EQ(polled_now(), 1); /* with everything below it */
    put("a/b/f", "1");
    dx_watch_flush(&watch); /* and what this kernel knows is reported at once */
    check_knows_all();
    end();
}

DX_TEST(cl_4_one_inode_at_two_places_is_named_at_both)
{
    dx_watch_desc d;
    memset(&d, 0, sizeof d);
    d.poll_ns = 1000000u;
    begin(&d, sizeof watch_memory);
    make("a");
    dx_watch_flush(&watch);
    kernel.same_watch = kernel.last_watch; /* as if it were mounted there */
    make("b");
    dx_watch_flush(&watch);
    DX_CHECK_EQ(polled_now(), 1);
    put("a/f", "1");
    named = 0;
    dx_watch_flush(&watch);
    DX_CHECK_EQ(named, 2); /* a/f, and b with everything below it: the kernel may mean either */
    recover();
    check_knows_all();
    end();
}

DX_TEST(cl_4_a_directory_that_is_mounted_below_itself_is_no_circle)
{
    dx_watch_desc d;
    dx_watch_stats stats;
    memset(&d, 0, sizeof d);
    begin(&d, sizeof watch_memory);
    kernel.same_watch = kernel.last_watch;
    kernel.same_always = true;
    make("a");
    dx_watch_flush(&watch);
    kernel.same_always = false;
    kernel.same_watch = 0;
    dx_watch_get_stats(&watch, &stats);
    DX_CHECK_EQ(stats.directories, 1);
    DX_CHECK_EQ(stats.polled, 1);
    put("f", "1");
    dx_watch_flush(&watch);
    check_knows_all();
    end();
}

DX_TEST(cl_4_a_list_that_fails_is_read_again)
{
    dx_watch_desc d;
    memset(&d, 0, sizeof d);
    d.poll_ns = 1000000u;
    begin(&d, sizeof watch_memory);
    make("a");
    make("a/b");
    kernel.no_list = true;
    dx_watch_flush(&watch);
    DX_CHECK_EQ(polled_now(), 1);
    kernel.no_list = false;
    recover();
    put("a/b/f", "1");
    kernel.interrupted = true;
    dx_watch_flush(&watch);
    check_knows_all();
    end();
}

DX_TEST(cl_4_a_watch_that_the_system_gives_up_is_asked_for_again)
{
    dx_watch_desc d;
    memset(&d, 0, sizeof d);
    d.poll_ns = 1000000u;
    begin(&d, sizeof watch_memory);
    make("a");
    dx_watch_flush(&watch);
    kernel.ignored = kernel.last_watch; /* its file system was unmounted */
    dx_watch_flush(&watch);
    DX_CHECK_EQ(polled_now(), 1);
    put("a/f", "1");
    recover();
    check_knows_all();
    put("a/g", "2");
    dx_watch_flush(&watch);
    check_knows_all();
    end();
}

DX_TEST(cl_4_what_was_quiet_longest_is_named_first)
{
    static const char writes[] = "abcdefghijklmnopadkbcz";
    char name[2] = "";
    dx_watch_desc d;
    memset(&d, 0, sizeof d);
    d.debounce_ns = 3600000000000u;
    d.hold_ns = 2 * d.debounce_ns;
    begin(&d, sizeof watch_memory);
    for (unsigned i = 0; writes[i]; i++) {
        *name = writes[i];
        put(name, "1");
        dx_reactor_run_once(&reactor, 1000000); /* another callback takes the event */
    }
    dx_watch_flush(&watch);
    DX_CHECK_STR(order, "efghijlmnopadkbcz");
    end();
}

DX_TEST(cl_4_what_is_polled_does_not_wait_behind_what_is_busy)
{
    char name[2] = "a";
    dx_watch_desc d;
    memset(&d, 0, sizeof d);
    d.debounce_ns = 3600000000000u;
    d.hold_ns = 2 * d.debounce_ns;
    d.poll_ns = 1000000u;
    begin(&d, sizeof watch_memory);
    for (; *name < 'k'; ++*name) put(name, "1");
    dx_reactor_run_once(&reactor, 1000000);
    kernel.no_watches = true;
    make("q");
    for (int i = 0; i < 1000 && !*order; i++) dx_reactor_run_once(&reactor, 1000000);
    DX_CHECK(*order && strspn(order, "q") == strlen(order));
    end();
}

DX_TEST(cl_4_more_directories_than_memory_are_polled_until_there_is_room)
{
    char path[256];
    dx_watch_desc d;
    memset(&d, 0, sizeof d);
    d.poll_ns = 1000000u;
    begin(&d, DX_WATCH_MEMORY_MIN);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 300; i++) {
            snprintf(path, sizeof path, "%0200d", i);
            if (round && i > 3) drop(path);
            else make(path);
        }
        dx_watch_flush(&watch);
        for (int i = 0; i < 20; i++) dx_reactor_run_once(&reactor, 1000000);
        check_knows_all();
        DX_CHECK_EQ(polled_now(), round ? 0 : 1);
    }
    end();
}

DX_TEST(cl_4_what_is_named_may_close_and_flush)
{
    dx_watch_desc d;
    memset(&d, 0, sizeof d);
    begin(&d, sizeof watch_memory);
    put("f", "1");
    put("g", "2");
    flushes = true;
    dx_watch_flush(&watch);
    DX_CHECK_EQ(named, 2);
    put("f", "3");
    put("g", "4");
    closes = true;
    dx_watch_flush(&watch);
    DX_CHECK_EQ(named, 3);
    DX_CHECK(kernel.queue >= 0); /* the reactor still has it */
    for (int i = 0; i < 10 && !dx_watch_is_closed(&watch); i++)
        dx_reactor_run_once(&reactor, 1000000);
    DX_CHECK(dx_watch_is_closed(&watch));
    DX_CHECK_EQ(kernel.queue, -1);
    dx_watch_flush(&watch);
    DX_CHECK_EQ(named, 3);
    end();
}

DX_TEST(cl_4_a_directory_that_goes_and_comes_back_is_watched_again)
{
    char away[80];
    dx_watch_desc d;
    memset(&d, 0, sizeof d);
    d.poll_ns = 1000000u;
    begin(&d, sizeof watch_memory);
    make("a");
    dx_watch_flush(&watch);
    snprintf(away, sizeof away, "%s.away", top);
    for (unsigned round = 1; round <= 2; round++) {
        DX_CHECK_EQ(rename(top, away), 0);
        for (int i = 0; i < 20; i++) dx_reactor_run_once(&reactor, 1000000);
        DX_CHECK_EQ(gone, round); /* once per round */
        DX_CHECK_EQ(rename(away, top), 0);
        recover();
    }
    put("a/f", "1");
    dx_watch_flush(&watch);
    check_knows_all();
    end();
}

DX_TEST(cl_4_neither_chdir_nor_the_length_of_a_path_matters)
{
    char name[201], here[4096];
    dx_watch_desc d;
    dx_watch_stats stats;
    int fd;
    memset(&d, 0, sizeof d);
    begin(&d, sizeof watch_memory);
    DX_CHECK(getcwd(here, sizeof here) != NULL);
    DX_CHECK_EQ(chdir("/"), 0);
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    DX_CHECK_EQ(chdir(top), 0);
    for (int i = 0; i < 30; i++) { /* 6000 bytes */
        DX_CHECK_EQ(mkdir(name, 0755), 0);
        DX_CHECK_EQ(chdir(name), 0);
    }
    dx_watch_flush(&watch);
    dx_watch_get_stats(&watch, &stats);
    DX_CHECK_EQ(stats.directories, 31);
    *last_scan = 0;
    fd = open("f", O_CREAT | O_WRONLY, 0600);
    DX_CHECK(fd >= 0);
    close(fd);
    dx_watch_flush(&watch);
    DX_CHECK_EQ(strlen(last_scan), 20 * 201 - 1); /* the deepest directory above it that has a path */
    for (int i = 0; i < 30; i++) {
        unlink("f");
        DX_CHECK_EQ(chdir(".."), 0);
        DX_CHECK_EQ(rmdir(name), 0);
    }
    DX_CHECK_EQ(chdir(here), 0);
    end();
}

/* Names that an unkeyed hash (FNV-1a, as used before) puts in one slot of its table, each with a
   change: finding them must not walk through all. */
enum { MET = 400, MET_PLACES = 4096 };
static void name_that_meets(char name[9], unsigned *from)
{
    uint32_t h;
    do {
        snprintf(name, 9, "%08x", (*from)++);
        h = 2166136261u ^ 0x9e3779b1u ^ 77u;
        for (unsigned i = 0; i < 8; i++) h = (h ^ (uint8_t)name[i]) * 16777619u;
    } while (((h ^ (h >> 15)) & (MET_PLACES - 1)) != 5);
}

DX_TEST(cl_4_names_that_were_made_to_meet_are_found_at_once)
{
    dx_watch_desc d;
    char name[9];
    unsigned from = 0;
    memset(&d, 0, sizeof d);
    d.seed[0] = 0x0123456789abcdefu; /* a secret */
    d.hold_ns = d.debounce_ns = 3600 * (uint64_t)1000000000;
    begin(&d, sizeof watch_memory);
    compared = 0;
    for (unsigned i = 0; i < MET; i++) {
        name_that_meets(name, &from);
        put(name, "x");
        if (i % 64 == 63) dx_reactor_run_once(&reactor, 0);
    }
    dx_reactor_run_once(&reactor, 0);
    DX_CHECK(compared > 0);
    DX_CHECK(compared < 8 * MET);
    dx_watch_flush(&watch);
    DX_CHECK(named >= MET);
    check_knows_all();
    end();
}

DX_TEST(cl_4_an_overflow_of_the_systems_queue_means_a_scan)
{
    dx_watch_desc d;
    dx_watch_stats stats;
    memset(&d, 0, sizeof d);
    begin(&d, sizeof watch_memory);
    for (int i = 0; i < 9000; i++) { /* equal consecutive events would be merged */
        put("one", "1");
        put("two", "2");
    }
    make("late");
    put("late/file", "3"); /* the system reports none of these */
    dx_watch_flush(&watch);
    dx_watch_get_stats(&watch, &stats);
    DX_CHECK_EQ(stats.overflows, 1);
    check_knows_all();
    put("late/after", "4"); /* it is watched again */
    dx_watch_flush(&watch);
    check_knows_all();
    end();
}
