/* Tests of programs/common/: messages of several threads, the command line, processors, windows of a file. */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/wait.h>

/* A machine with as many processors as a test wants. */
static unsigned fake_cpus;
static int fake_affinity(pid_t pid, size_t size, cpu_set_t *mask);
#define sched_getaffinity fake_affinity
#include "../../programs/common/os_posix.c"
#undef sched_getaffinity
#include "../../programs/common/base.c"
#include "../../programs/common/line.c"
#include "../../programs/common/message.c"
#include "../../programs/common/json.c"
#include "../../programs/common/nearest.c"
#include "../../programs/common/options.c"
#include "../../programs/versions/filter.c"
#define find find_window
#include "../../programs/common/window.c"
#undef find

#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

/* Like the kernel: EINVAL for a mask smaller than its own. */
static int fake_affinity(pid_t pid, size_t size, cpu_set_t *mask)
{
    (void)pid;
    if (size * 8 < fake_cpus) {
        errno = EINVAL;
        return -1;
    }
    CPU_ZERO_S(size, mask);
    for (unsigned i = 0; i < fake_cpus; i++) CPU_SET_S(i, size, mask);
    return 0;
}

DX_TEST(processors_of_large_machines)
{
    static const unsigned counts[] = {1, 2, 255, 256, 257, 1024, 1025, 4096, 5000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        fake_cpus = counts[i];
        DX_CHECK_EQ(os_cpu_count(), counts[i]);
        DX_CHECK_EQ(prog_thread_count(0, 256), counts[i] < 256 ? counts[i] : 256);
    }
    DX_CHECK_EQ(prog_thread_count(3, 256), 3);
    DX_CHECK_EQ(prog_thread_count(300, 256), 256);
    fake_cpus = 2 * CPUS_MAX; /* no mask is large enough: fall back to sysconf() */
    DX_CHECK(os_cpu_count() >= 1);
    (void)c;
}

/* Make folders in each other, the last one with a file, with the modes that are given. A link leads out of them. */
static void make_folders(const char *top, const unsigned *modes, size_t count)
{
    char path[256], at[264];
    size_t size = (size_t)snprintf(path, sizeof path, "%s/tree", top);
    DX_CHECK_EQ(mkdir(path, 0700), 0);
    for (size_t i = 0; i < count; i++) {
        snprintf(at, sizeof at, "%s/link", path);
        DX_CHECK_EQ(symlink(top, at), 0);
        size += (size_t)snprintf(path + size, sizeof path - size, "/d");
        DX_CHECK_EQ(mkdir(path, 0700), 0);
    }
    snprintf(at, sizeof at, "%s/file", path);
    const int file = open(at, O_CREAT | O_WRONLY, 0600);
    DX_CHECK(file >= 0 && close(file) == 0);
    for (size_t i = count; i > 0; i--) {
        DX_CHECK_EQ(chmod(path, (mode_t)modes[i - 1]), 0);
        *strrchr(path, '/') = 0;
    }
    DX_CHECK_EQ(chmod(path, (mode_t)modes[0]), 0);
}

/* The owner of folders without permission to read or enter them removes them; what links lead to stays. Not as root, who may do all. */
DX_TEST(folders_that_nobody_may_read_are_removed)
{
    static const unsigned modes[][3] = {{0, 0, 0}, {0311, 0700, 0}, {0700, 0, 0444}, {0500, 0311, 0555}, {0700, 0700, 0700}};
    char top[64], path[256];
    snprintf(top, sizeof top, "/tmp/dx-folders-%ld", (long)getpid());
    DX_CHECK_EQ(mkdir(top, 0700), 0);
    DX_CHECK_EQ(chmod(top, 0777), 0);
    const pid_t child = fork();
    if (!child) {
        if (geteuid() == 0 && setuid(65534) < 0) _exit(2);
        snprintf(path, sizeof path, "%s/tree", top);
        for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
            make_folders(top, modes[i], 3);
            if (os_remove_tree(path) < 0 || access(path, F_OK) == 0) _exit(1);
        }
        _exit(0);
    }
    int status = 0;
    DX_CHECK_EQ(waitpid(child, &status, 0), child);
    DX_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct stat st;
    DX_CHECK(stat(top, &st) == 0 && (st.st_mode & 0777) == 0777);
    DX_CHECK_EQ(rmdir(top), 0);
    (void)c;
}

/* >>messages ----------------------------------------------------------- */
enum { THREADS = 8, LINES = 400 };

static void *complain_much(void *user)
{
    char filler[2000];
    const int number = (int)(intptr_t)user;
    memset(filler, 'a' + number, sizeof filler);
    for (int i = 0; i < LINES; i++) {
        const int size = (i * 37 + number) % (int)sizeof filler;
        errno = ENOENT;
        if (i % 3 == 0) prog_warn("%d %d %.*s end", number, size, size, filler);
        else if (i % 3 == 1) prog_fail(PROG_SYSTEM, "%d %d %.*s end", number, size, size, filler);
        else prog_fail_errno("%d %d %.*s end", number, size, size, filler);
        prog_progress("never shown: no terminal", (uint64_t)i, 0, false);
    }
    return NULL;
}

/* One complete message: its beginning, a run of its letter, its end. */
static bool is_whole(const char *line)
{
    int number, size, used;
    if (sscanf(line, "test: %d %d %n", &number, &size, &used) != 2) return false;
    line += used;
    for (int i = 0; i < size; i++)
        if (*line++ != 'a' + number) return false;
    if (size) line++; /* the space written by %n where nothing else was */
    return !strcmp(line, "end") || !strcmp(line, "end: No such file or directory");
}

DX_TEST(messages_of_threads_do_not_mix)
{
    pthread_t threads[THREADS];
    char *line = NULL;
    size_t room = 0, lines = 0;
    FILE *out = tmpfile();
    int error = dup(STDERR_FILENO);
    DX_CHECK(out && error >= 0);
    dup2(fileno(out), STDERR_FILENO);
    program_name = "test";
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, complain_much, (void *)(intptr_t)i);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    dup2(error, STDERR_FILENO);
    close(error);
    rewind(out);
    for (ssize_t size; (size = getline(&line, &room, out)) > 0; lines++) {
        line[size - 1] = 0;
        DX_CHECK(is_whole(line));
    }
    free(line);
    fclose(out);
    DX_CHECK_EQ(lines, THREADS * LINES);
    (void)c;
}

/* The text of a message that has an argument. */
static void check_shown(const char *argument, const char *shown)
{
    char got[64];
    prog_line l;
    prog_line_begin(&l);
    prog_line_put_visible(&l, argument, strlen(argument));
    DX_CHECK(l.size < sizeof got);
    memcpy(got, l.bytes, l.size);
    got[l.size] = 0;
    prog_line_free(&l);
    DX_CHECK_STR(got, shown);
}

DX_TEST(control_characters_are_shown)
{
    check_shown("a\033[2Jb", "a\\x1b[2Jb");
    check_shown("a\nb\r", "a\\x0ab\\x0d");
    check_shown("gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f");
    check_shown("\xc3", "\\xc3");             /* a truncated character */
    check_shown("\xc0\xaf", "\\xc0\\xaf");    /* an overlong encoding */
    check_shown("\xed\xa0\x80", "\\xed\\xa0\\x80");
    check_shown("\xe2\x80\xae", "\\xe2\\x80\\xae"); /* right-to-left override */
    (void)c;
}

/* >>command line --------------------------------------------------------- */
static void quiet(bool on)
{
    static int error = -1;
    if (on) {
        int null = open("/dev/null", O_WRONLY);
        error = dup(STDERR_FILENO);
        dup2(null, STDERR_FILENO);
        close(null);
    } else {
        dup2(error, STDERR_FILENO);
        close(error);
    }
}

DX_TEST(numbers_of_the_command_line)
{
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x10", "1e3", "18446744073709551616", "9", "101", "ten"};
    uint64_t n = 0;
    DX_CHECK_EQ(prog_parse_number("n", "10", 10, 100, &n), PROG_OK);
    DX_CHECK_EQ(n, 10);
    DX_CHECK_EQ(prog_parse_number("n", "18446744073709551615", 0, UINT64_MAX, &n), PROG_OK);
    DX_CHECK_EQ(n, UINT64_MAX);
    quiet(true);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        DX_CHECK_EQ(prog_parse_number("n", bad[i], 10, 100, &n), PROG_USAGE);
    quiet(false);
    (void)c;
}

DX_TEST(sizes_of_the_command_line)
{
    static const struct { const char *text; uint64_t size; } good[] = {
        {"10", 10}, {"1K", 1024}, {"64M", 64u << 20}, {"3GiB", 3ull << 30}, {"16777215T", 16777215ull << 40}};
    static const char *const bad[] = {"", "K", "1k", "1KB", "1Ki", "1KiBs", "M1", "1.5M", "-1K", "16777216T",
                                      "99999999999999999999999999999999999K", "9"};
    uint64_t n = 0;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        DX_CHECK_EQ(prog_parse_size("n", good[i].text, 10, UINT64_MAX, &n), PROG_OK);
        DX_CHECK_EQ(n, good[i].size);
    }
    quiet(true);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        DX_CHECK_EQ(prog_parse_size("n", bad[i], 10, UINT64_MAX, &n), PROG_USAGE);
    quiet(false);
    (void)c;
}

typedef struct settings {
    bool        force;
    uint32_t    workers;
    uint64_t    memory, level;
    const char *kind;
    prog_list   rules;
} settings;

#define FIELD(name) PROG_FIELD(settings, name)

DX_TEST(options_and_plain_arguments)
{
    const prog_option options[] = {
        {"--force", PROG_OPTION_FLAG, FIELD(force), .help = ""},
        {"--workers", PROG_OPTION_NUMBER, FIELD(workers), .min = 1, .max = 256},
        {"--memory", PROG_OPTION_NUMBER, FIELD(memory), .min = 1, .max = 4096, .unit = 1 << 20},
        {"--kind", PROG_OPTION_TEXT, FIELD(kind)},
        {"--in", PROG_OPTION_LIST, FIELD(rules)},
        {"--out", PROG_OPTION_LIST, FIELD(rules)},
        {"-", PROG_OPTION_DIGIT, FIELD(level), .commands = 1},
    };
    const prog_command commands[] = {{.name = "try", .arguments = "X [Y]"}, {.name = "other", .arguments = "X [Y]"}};
    const prog_program p = {.name = "test", .commands = commands, .command_count = 2, .options = options, .option_count = 7};
    settings o = {0};
    char *plain[PROG_PLAIN_MAX];
    char *good[] = {"x", "--force", "--memory", "3", "-7", "--kind", "--odd", "--out", "b", "--in", "a", "--", "--y"};
    DX_CHECK_EQ(prog_plain_min(commands), 1);
    DX_CHECK_EQ(prog_plain_max(commands), 2);
    DX_CHECK_EQ(prog_arguments_parse(&p, 0, 13, good, &o, plain), PROG_OK);
    DX_CHECK(o.force);
    DX_CHECK_EQ(o.workers, 0);
    DX_CHECK_EQ(o.memory, 3 << 20);
    DX_CHECK_EQ(o.level, 7);
    DX_CHECK_STR(o.kind, "--odd");
    DX_CHECK_EQ(o.rules.count, 2);
    DX_CHECK_STR(o.rules.items[0].option, "--out");
    DX_CHECK_STR(o.rules.items[1].value, "a");
    DX_CHECK_STR(plain[0], "x");
    DX_CHECK_STR(plain[1], "--y");
    DX_CHECK(!plain[2]);
    char *joined[] = {"--memory=4", "x", "--kind=a=b", "--out=", "--force"};
    memset(&o, 0, sizeof o);
    DX_CHECK_EQ(prog_arguments_parse(&p, 0, 5, joined, &o, plain), PROG_OK);
    DX_CHECK(o.force);
    DX_CHECK_EQ(o.memory, 4 << 20);
    DX_CHECK_STR(o.kind, "a=b");
    DX_CHECK_STR(o.rules.items[0].option, "--out");
    DX_CHECK_STR(o.rules.items[0].value, "");
    DX_CHECK_STR(plain[0], "x");
    char *bad[][3] = {{"--none", "x", ""}, {"x", "--workers", "0"}, {"x", "--workers", "257"}, {"x", "y", "z"},
                      {"x", "y", "--kind"}, {"x", "y", "-0"}, {"x", "y", "-x"}, {"--force", "--force", "--force"},
                      {"x", "--force=1", "y"}, {"x", "--workers=", "3"}, {"x", "--workers=0", "3"}, {"x", "--work=3", "y"},
                      {"x", "-7=7", "y"}, {"x", "-=7", "y"}, {"x", "--=7", "y"}};
    quiet(true);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        DX_CHECK_EQ(prog_arguments_parse(&p, 0, 3, bad[i], &o, plain), PROG_USAGE);
    DX_CHECK_EQ(prog_arguments_parse(&p, 1, 13, good, &o, plain), PROG_USAGE); /* it has no levels */
    char *many[2 * PROG_LIST_MAX + 3] = {"x"};
    for (int i = 1; i < 2 * PROG_LIST_MAX + 3; i += 2) {
        many[i] = "--in";
        many[i + 1] = "a";
    }
    o.rules.count = 0;
    DX_CHECK_EQ(prog_arguments_parse(&p, 0, 2 * PROG_LIST_MAX + 1, many, &o, plain), PROG_OK);
    o.rules.count = 0;
    DX_CHECK_EQ(prog_arguments_parse(&p, 0, 2 * PROG_LIST_MAX + 3, many, &o, plain), PROG_USAGE);
    quiet(false);
    (void)c;
}

/* >>patterns -------------------------------------------------------------- */
/* The rules of filter.h, by exhaustive search. */
static bool model_matches(const char *p, const char *text)
{
    if (!*p) return !*text;
    if (p[0] == '*' && p[1] == '*') return model_matches(p + 2, text) || (*text && model_matches(p, text + 1));
    if (*p == '*') return model_matches(p + 1, text) || (*text && *text != '/' && model_matches(p, text + 1));
    if (!*text) return false;
    if (*p == '?') return *text != '/' && model_matches(p + 1, text + 1);
    if (*p == '\\' && p[1]) p++;
    return *p == *text && model_matches(p + 1, text + 1);
}

static bool model_takes(const char *rule, const char *path, bool folder)
{
    char text[32];
    const bool anchored = *rule == '/';
    snprintf(text, sizeof text, "%s", rule + anchored);
    const size_t size = strlen(text);
    const bool behind_backslash = size > 1 && text[size - 2] == '\\' && !(size > 2 && text[size - 3] == '\\');
    if (size && text[size - 1] == '/' && !behind_backslash) {
        if (!folder) return true;
        text[size - 1] = 0;
    }
    bool match = model_matches(text, path);
    for (const char *at = path; !anchored && (at = strchr(at, '/')) != NULL;) match |= model_matches(text, ++at);
    return !match;
}

DX_PROPERTY(patterns_match_as_described, 3000)
{
    static const char letters[] = "ab/**?";
    char rule[10], path[12];
    size_t size = 1 + (size_t)dx_choose(c, 7), i;
    for (i = 0; i < size; i++) rule[i] = letters[dx_choose(c, sizeof letters - 2)];
    rule[i] = 0;
    size = 1 + (size_t)dx_choose(c, 9);
    for (i = 0; i < size; i++) path[i] = letters[dx_choose(c, 2)];
    path[i] = 0;
    if (!strcmp(rule, "/")) return;
    prog_list rules = {.items = {{"--exclude", rule}}, .count = 1};
    bool folder = dx_choose(c, 1);
    if (versions_filter_takes(&rules, path, folder) != model_takes(rule, path, folder))
        printf("     '%s' for '%s'%s\n", rule, path, folder ? ", a folder" : "");
    DX_CHECK_EQ(versions_filter_takes(&rules, path, folder), model_takes(rule, path, folder));
}

DX_TEST(patterns_take_bounded_time)
{
    char pattern[VERSIONS_PATTERN_MAX + 1], path[PROG_PATH_SIZE_MAX + 1];
    prog_list rules = {.items = {{"--exclude", pattern}}, .count = 1};
    for (size_t i = 0; i + 1 < VERSIONS_PATTERN_MAX; i += 2) memcpy(pattern + i, i % 4 ? "*a" : "**", 2);
    pattern[VERSIONS_PATTERN_MAX - 1] = 'b';
    pattern[VERSIONS_PATTERN_MAX] = 0;
    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 1] = 0;
    int64_t begun = os_now_ns();
    DX_CHECK(versions_filter_takes(&rules, path, false)); /* exhaustive search would take years */
    DX_CHECK(os_now_ns() - begun < 10000000000);
    DX_CHECK_EQ(versions_filter_check(&rules), PROG_OK);
    (void)c;
}

/* >>windows --------------------------------------------------------------- */
typedef struct source {
    const uint8_t *bytes;
    size_t         size;
    unsigned       calls, fail_at;
} source;

static int read_source(void *user, uint64_t offset, void *out, size_t size)
{
    source *s = user;
    DX_CHECK(offset <= s->size && size <= s->size - offset && size > 0);
    if (++s->calls == s->fail_at) return PROG_SYSTEM;
    memcpy(out, s->bytes + offset, size);
    return PROG_OK;
}

DX_PROPERTY(windows_give_what_the_file_has, 100)
{
    static uint8_t bytes[600000], out[200000];
    source s = {bytes, 0, 0, 0};
    prog_windows w;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    s.size = (size_t)dx_choose(c, sizeof bytes);
    s.fail_at = (unsigned)dx_choose(c, 20);
    prog_windows_open(&w, s.size, read_source, &s);
    for (int i = 0; i < 40; i++) {
        size_t at = (size_t)dx_choose(c, s.size), left = s.size - at;
        size_t size = (size_t)dx_choose(c, left < sizeof out ? left : sizeof out);
        int status = prog_windows_read(&w, at, out, size);
        DX_CHECK(status == PROG_OK || s.calls == s.fail_at);
        if (status) s.fail_at = 0; /* a failed read must not leave wrong data */
        else DX_CHECK(!memcmp(out, bytes + at, size));
    }
    prog_windows_close(&w);
}

static int read_windows(void *user, uint64_t offset, void *out, size_t size)
{
    return prog_windows_read(user, offset, out, size);
}

static int ignore(void *user, const void *bytes, size_t size)
{
    (void)user;
    (void)bytes;
    (void)size;
    return 0;
}

/* A program of 300 KB with a small change in every kilobyte, patched as dxup and dxpatch do. */
DX_TEST(a_base_is_read_in_windows)
{
    enum { SIZE = 300000 };
    uint8_t *base = malloc(SIZE), *target = malloc(SIZE), *patch = malloc(SIZE);
    dx_patch_create_desc make = {0};
    dx_patch_applier_desc desc = {0};
    dx_patch_applier a;
    dx_patch_header header;
    prog_windows w;
    source s = {base, SIZE, 0, 0};
    size_t size = 0;
    uint64_t random = 1;
    for (size_t i = 0; i < SIZE; i++) base[i] = (uint8_t)dx_test_random(&random);
    memcpy(target, base, SIZE);
    for (size_t i = 500; i < SIZE; i += 1000) target[i] ^= 1;
    make.memory_size = dx_patch_create_memory_size(&make, SIZE, SIZE);
    make.memory = malloc(make.memory_size);
    DX_CHECK_EQ(dx_patch_create(&make, base, SIZE, target, SIZE, patch, SIZE, &size), 0);
    DX_CHECK_EQ(dx_patch_info(patch, size, &header), 0);
    desc.user = &w;
    desc.read = read_windows;
    desc.write = ignore;
    desc.base_size = SIZE;
    desc.memory_size = (size_t)header.memory_size + PROG_IO_SIZE + 4096;
    desc.memory = malloc(desc.memory_size);
    desc.skip_base_hash = true; /* verified before */
    prog_windows_open(&w, SIZE, read_source, &s);
    DX_CHECK_EQ(dx_patch_applier_init(&a, &desc), 0);
    DX_CHECK_EQ(dx_patch_applier_feed(&a, patch, size), 0);
    DX_CHECK_EQ(dx_patch_applier_finish(&a), 0);
    prog_windows_close(&w);
    DX_CHECK(s.calls > 0 && s.calls <= SIZE / PROG_WINDOW_SIZE + 1);
    free(make.memory);
    free(desc.memory);
    free(base);
    free(target);
    free(patch);
    (void)c;
}
