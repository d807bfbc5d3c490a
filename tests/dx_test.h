/*  dx_test.h - the test kit: unit tests, properties, small-scope exhaustion and fuzz targets from one body

    #define DX_TEST_MAIN          in the one file of the program that gets main()
    #include "dx_test.h"

    DX_TEST(name) { ... }                 runs once
    DX_PROPERTY(name, runs) { ... }       runs with that many random sequences of choices
    DX_EXHAUSTIVE(name, most) { ... }     runs with every sequence of choices; more than `most` is a failure

    A body draws all that varies from `c`:   uint64_t n = dx_choose(c, 5);      0..5, smaller is simpler
    Where the choices come from is not the body's business: a seeded generator, an odometer, a fuzzer's
    bytes or a stored file. A failing sequence is shrunk, printed and kept in tests/corpus/NAME-*.txt;
    every stored sequence of a property, and every input of a fuzzer in NAME-*.fuzz (tests/fuzz.sh),
    is replayed before new ones are drawn.

    program [FILTER]      runs the tests whose name contains FILTER
    DX_TEST_SEED=n        another seed; DX_TEST_RUNS=n multiplies the number of runs
    DX_TEST_SHARE=n       divides that number, which is still one at least: where the same body runs in full elsewhere
    DX_TEST_FAST=1        a failing sequence is neither shrunk nor kept
    -DDX_TEST_FUZZ=name   builds LLVMFuzzerTestOneInput for that property in place of main()

    The last line is `PROGRAM: N passed, N failed, N skipped`; status 0 only when none failed.
*/
#ifndef DX_TEST_H
#define DX_TEST_H

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* >>choices ------------------------------------------------------------ */
enum { DX_TEST_CHOICES_MAX = 65536 };

typedef struct dx_choice {
    uint64_t value, limit;
} dx_choice;

typedef struct dx_choices {
    dx_choice     *drawn;       /* the choices drawn in this run */
    size_t         drawn_count;
    size_t         fixed_count; /* drawn[0..fixed_count) is replayed, then: */
    bool           random;      /*   true: seeded generator, false: zeros */
    uint64_t       state;
    const uint8_t *bytes;       /* a fuzzer's input, or NULL */
    size_t         bytes_size;
} dx_choices;

typedef void dx_test_fn(dx_choices *c);

typedef struct dx_test {
    const char     *name;
    dx_test_fn     *fn;
    size_t          runs; /* 0: a plain test */
    bool            exhaustive;
    struct dx_test *next;
} dx_test;

void     dx_test_register(dx_test *t);
void     dx_test_fail(const char *file, int line, const char *text);
void     dx_test_fail_u64(const char *file, int line, const char *text, uint64_t a, uint64_t b);
void     dx_test_skip(const char *why);
/* A number from 0 to limit, inclusive. */
uint64_t dx_choose(dx_choices *c, uint64_t limit);
/* The bytes of the fenced block "hex NAME" in a document; fails the test if it is missing. */
size_t   dx_test_vector(const char *document, const char *name, uint8_t *out, size_t capacity);
/* A whole file in malloc'ed memory, with one zero byte appended, or NULL. */
void    *dx_test_file(const char *path, size_t *size);

/* The random generator of all tests (splitmix64), for bulk data that need not shrink. Any state is
   valid. */
static inline uint64_t dx_test_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* A number below `limit`, from the upper half of a draw. */
static inline uint32_t dx_test_below(uint64_t *state, uint32_t limit)
{
    return (uint32_t)((dx_test_random(state) >> 32) * limit >> 32);
}

static inline uint64_t dx_choose_range(dx_choices *c, uint64_t least, uint64_t most)
{
    return least + dx_choose(c, most - least);
}

/* Random bytes; half of the time from a small alphabet, so that repetitions occur. */
static inline void dx_choose_bytes(dx_choices *c, void *out, size_t size)
{
    uint8_t *p = (uint8_t *)out;
    uint64_t most = dx_choose(c, 1) ? 255 : 3;
    for (size_t i = 0; i < size; i++) p[i] = (uint8_t)dx_choose(c, most);
}

/* >>macros ------------------------------------------------------------- */
#define DX_TEST_ENTRY(name_, runs_, exhaustive_)                                             \
    static void dx_test_body_##name_(dx_choices *c);                                         \
    static dx_test dx_test_entry_##name_ = {#name_, dx_test_body_##name_, runs_,             \
                                            exhaustive_, NULL};                              \
    __attribute__((constructor)) static void dx_test_add_##name_(void)                       \
    {                                                                                        \
        dx_test_register(&dx_test_entry_##name_);                                            \
    }                                                                                        \
    static void dx_test_body_##name_(dx_choices *c __attribute__((unused)))

#define DX_TEST(name)             DX_TEST_ENTRY(name, 0, false)
#define DX_PROPERTY(name, runs)   DX_TEST_ENTRY(name, runs, false)
#define DX_EXHAUSTIVE(name, most) DX_TEST_ENTRY(name, most, true)

#define DX_CHECK(condition)                                                                  \
    do {                                                                                     \
        if (!(condition)) dx_test_fail(__FILE__, __LINE__, #condition);                      \
    } while (0)
#define DX_CHECK_EQ(a, b)                                                                    \
    do {                                                                                     \
        uint64_t dx_a_ = (uint64_t)(a), dx_b_ = (uint64_t)(b);                               \
        if (dx_a_ != dx_b_)                                                                  \
            dx_test_fail_u64(__FILE__, __LINE__, #a " == " #b, dx_a_, dx_b_);                \
    } while (0)
#define DX_CHECK_MEM(a, b, size)                                                             \
    do {                                                                                     \
        size_t dx_n_ = (size_t)(size);                                                       \
        if (dx_n_ && memcmp((a), (b), dx_n_) != 0)                                           \
            dx_test_fail(__FILE__, __LINE__, "the bytes of " #a " and " #b " differ");       \
    } while (0)
#define DX_CHECK_STR(a, b)                                                                   \
    do {                                                                                     \
        if (strcmp((a), (b)) != 0)                                                           \
            dx_test_fail(__FILE__, __LINE__, "the strings " #a " and " #b " differ");        \
    } while (0)
#define DX_SKIP(why) dx_test_skip(why)

#endif /* DX_TEST_H */

#if defined(DX_TEST_MAIN) && !defined(DX_TEST_MAIN_DONE)
#define DX_TEST_MAIN_DONE

#include <dirent.h>

#define DX_TEST_TEXT(x)  #x
#define DX_TEST_TEXT2(x) DX_TEST_TEXT(x)

static dx_test    *dx_test_first, **dx_test_last = &dx_test_first;
static jmp_buf     dx_test_escape;
static char        dx_test_message[1024];
static const char *dx_test_running;
static bool        dx_test_skipped, dx_test_crashing;
static dx_choice   dx_test_drawn[DX_TEST_CHOICES_MAX];
static dx_choices  dx_test_choices;

/* >>sanitizers: abort, so that the handler below can print the choices ---- */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "abort_on_error=1:detect_leaks=0"; }
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) { return "abort_on_error=1:print_stacktrace=1"; }

void dx_test_register(dx_test *t)
{
    *dx_test_last = t;
    dx_test_last = &t->next;
}

void dx_test_fail(const char *file, int line, const char *text)
{
    snprintf(dx_test_message, sizeof dx_test_message, "%s:%d: %s", file, line, text);
    longjmp(dx_test_escape, 1);
}

void dx_test_fail_u64(const char *file, int line, const char *text, uint64_t a, uint64_t b)
{
    snprintf(dx_test_message, sizeof dx_test_message, "%s:%d: %s: %lld (0x%llx), %lld (0x%llx)",
             file, line, text, (long long)a, (unsigned long long)a, (long long)b,
             (unsigned long long)b);
    longjmp(dx_test_escape, 1);
}

void dx_test_skip(const char *why)
{
    snprintf(dx_test_message, sizeof dx_test_message, "%s", why);
    dx_test_skipped = true;
    longjmp(dx_test_escape, 1);
}

/* >>source ------------------------------------------------------------- */
static uint64_t dx_test_limited(uint64_t value, uint64_t limit)
{
    return limit == UINT64_MAX ? value : value % (limit + 1);
}

uint64_t dx_choose(dx_choices *c, uint64_t limit)
{
    uint64_t value = 0;
    size_t i = c->drawn_count;
    if (i >= DX_TEST_CHOICES_MAX) return 0; /* long runs end in zeros: simple and bounded */
    if (c->bytes) {
        for (uint64_t room = limit; room && c->bytes_size; room >>= 8, c->bytes_size--)
            value = value << 8 | *c->bytes++;
        value = dx_test_limited(value, limit);
    } else if (i < c->fixed_count) {
        value = c->drawn[i].value <= limit ? c->drawn[i].value : limit;
    } else if (c->random) {
        uint64_t draw = dx_test_random(&c->state);
        /* One draw in eight is a boundary value, because defects gather at boundaries. */
        value = (draw & 7) ? dx_test_limited(dx_test_random(&c->state), limit)
              : (draw & 8) ? limit : (draw & 16) ? 0 : limit / 2;
    }
    c->drawn[i].value = value;
    c->drawn[i].limit = limit;
    c->drawn_count = i + 1;
    return value;
}

/* >>running ------------------------------------------------------------ */
static bool dx_test_once(const dx_test *t) /* false: failed; dx_test_message has the reason */
{
    dx_test_choices.drawn = dx_test_drawn;
    dx_test_choices.drawn_count = 0;
    if (setjmp(dx_test_escape)) return dx_test_skipped;
    t->fn(&dx_test_choices);
    return true;
}

static void dx_test_print_choices(FILE *f, const dx_choice *v, size_t count)
{
    for (size_t i = 0; i < count; i++) fprintf(f, "%llu\n", (unsigned long long)v[i].value);
}

static void dx_test_crash(int number)
{
    signal(number, SIG_DFL);
    if (!dx_test_crashing) {
        dx_test_crashing = true;
        fflush(stdout);
        fprintf(stderr, "signal %d in %s after %lu choices:", number,
                dx_test_running ? dx_test_running : "?",
                (unsigned long)dx_test_choices.drawn_count);
        for (size_t i = 0; i < dx_test_choices.drawn_count && i < 400; i++)
            fprintf(stderr, " %llu", (unsigned long long)dx_test_drawn[i].value);
        fprintf(stderr, "\n");
    }
    raise(number);
}

/* Does the run with these choices still fail? If so they become the best known. */
static bool dx_test_still_fails(const dx_test *t, const dx_choice *v, size_t count,
                                dx_choice *best, size_t *best_count)
{
    static char first[sizeof dx_test_message];
    memcpy(first, dx_test_message, sizeof first);
    memcpy(dx_test_drawn, v, count * sizeof *v);
    dx_test_choices.fixed_count = count;
    dx_test_choices.random = false;
    dx_test_skipped = false;
    if (dx_test_once(t)) {
        memcpy(dx_test_message, first, sizeof first);
        return false;
    }
    *best_count = dx_test_choices.drawn_count < count ? dx_test_choices.drawn_count : count;
    memcpy(best, dx_test_drawn, *best_count * sizeof *best);
    return true;
}

/* Remove spans, then reduce single choices, while the property still fails. */
static size_t dx_test_shrink(const dx_test *t, dx_choice *best, size_t count)
{
    static dx_choice trial[DX_TEST_CHOICES_MAX];
    size_t budget = 4000;
    bool progress = true;
    while (progress && budget) {
        progress = false;
        for (size_t span = count / 2 ? count / 2 : 1; span && budget; span /= 2)
            for (size_t at = 0; at + span <= count && budget;) {
                memcpy(trial, best, at * sizeof *best);
                memcpy(trial + at, best + at + span, (count - at - span) * sizeof *best);
                budget--;
                if (dx_test_still_fails(t, trial, count - span, best, &count)) progress = true;
                else at += span;
            }
        for (size_t i = 0; i < count && budget; i++)
            for (uint64_t v = 0; i < count && v < best[i].value && budget;) {
                memcpy(trial, best, count * sizeof *best);
                trial[i].value = v;
                budget--;
                if (dx_test_still_fails(t, trial, count, best, &count)) progress = true;
                else v += (best[i].value - v + 1) / 2;
            }
    }
    return count;
}

static void dx_test_keep(const dx_test *t, const dx_choice *v, size_t count)
{
    char path[512];
    uint64_t hash = count;
    for (size_t i = 0; i < count; i++) {
        hash ^= v[i].value;
        hash = dx_test_random(&hash);
    }
    snprintf(path, sizeof path, "tests/corpus/%s-%08lx.txt", t->name,
             (unsigned long)(hash & 0xffffffffu));
    FILE *f = fopen(path, "w");
    if (!f) return;
    dx_test_print_choices(f, v, count);
    fclose(f);
    printf("     kept in %s\n", path);
}

/* Replay a fuzzer's input: its bytes are the choices, as in LLVMFuzzerTestOneInput. */
static bool dx_test_replay_bytes(const dx_test *t, const char *path)
{
    size_t size = 0;
    uint8_t *bytes = (uint8_t *)dx_test_file(path, &size);
    if (!bytes) return true;
    dx_test_choices.bytes = bytes;
    dx_test_choices.bytes_size = size;
    dx_test_choices.fixed_count = 0;
    bool good = dx_test_once(t);
    dx_test_choices.bytes = NULL;
    free(bytes);
    if (!good) printf("     stored input %s\n", path);
    return good;
}

static bool dx_test_replay_file(const dx_test *t, const char *path)
{
    FILE *f = fopen(path, "r");
    unsigned long long value;
    size_t count = 0;
    if (!f) return true;
    while (count < DX_TEST_CHOICES_MAX && fscanf(f, "%llu", &value) == 1)
        dx_test_drawn[count++].value = value;
    fclose(f);
    dx_test_choices.fixed_count = count;
    dx_test_choices.random = false;
    if (dx_test_once(t)) return true;
    printf("     stored sequence %s\n", path);
    return false;
}

static bool dx_test_replay(const dx_test *t)
{
    bool good = true;
    size_t length = strlen(t->name);
    DIR *d = opendir("tests/corpus");
    if (!d) return true;
    for (struct dirent *e; good && (e = readdir(d)) != NULL;) {
        char path[512];
        if (strncmp(e->d_name, t->name, length) != 0 || e->d_name[length] != '-') continue;
        snprintf(path, sizeof path, "tests/corpus/%.400s", e->d_name);
        size_t end = strlen(path);
        bool fuzz = end > 5 && strcmp(path + end - 5, ".fuzz") == 0;
        good = fuzz ? dx_test_replay_bytes(t, path) : dx_test_replay_file(t, path);
    }
    closedir(d);
    return good;
}

static bool dx_test_run_property(const dx_test *t, uint64_t seed, size_t runs)
{
    static dx_choice best[DX_TEST_CHOICES_MAX];
    if (!dx_test_replay(t)) return false;
    for (size_t run = 0; run < runs && !dx_test_skipped; run++) {
        dx_test_choices.fixed_count = 0;
        dx_test_choices.random = true;
        dx_test_choices.state = seed + run * 0x632be59bd9b4e019u;
        if (dx_test_once(t)) continue;
        if (getenv("DX_TEST_FAST")) return false;
        size_t count = dx_test_choices.drawn_count;
        memcpy(best, dx_test_drawn, count * sizeof *best);
        count = dx_test_shrink(t, best, count);
        printf("     run %lu of seed %llu, %lu choices after shrinking:", (unsigned long)run,
               (unsigned long long)seed, (unsigned long)count);
        for (size_t i = 0; i < count && i < 60; i++)
            printf(" %llu", (unsigned long long)best[i].value);
        printf("\n");
        dx_test_keep(t, best, count);
        return false;
    }
    return true;
}

static bool dx_test_run_exhaustive(const dx_test *t)
{
    dx_test_choices.fixed_count = 0;
    dx_test_choices.random = false;
    for (size_t run = 0; run < t->runs; run++) {
        if (!dx_test_once(t)) {
            printf("     choices:");
            for (size_t i = 0; i < dx_test_choices.drawn_count && i < 60; i++)
                printf(" %llu", (unsigned long long)dx_test_drawn[i].value);
            printf("\n");
            return false;
        }
        size_t n = dx_test_choices.drawn_count;
        while (n && dx_test_drawn[n - 1].value >= dx_test_drawn[n - 1].limit) n--;
        if (!n || dx_test_skipped) return true;
        dx_test_drawn[n - 1].value++;
        dx_test_choices.fixed_count = n;
    }
    snprintf(dx_test_message, sizeof dx_test_message, "more than %lu combinations",
             (unsigned long)t->runs);
    return false;
}

/* >>files -------------------------------------------------------------- */
void *dx_test_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    char *data = NULL;
    size_t used = 0, room = 0, got;
    if (!f) return NULL;
    do {
        if (used + 65536 + 1 > room) {
            room = room * 2 + 131072;
            data = (char *)realloc(data, room);
            if (!data) abort();
        }
        got = fread(data + used, 1, 65536, f);
        used += got;
    } while (got);
    fclose(f);
    data[used] = 0;
    if (size) *size = used;
    return data;
}

static int dx_test_hex(int ch)
{
    if (ch >= '0' && ch <= '9') return ch - '0';
    if (ch >= 'a' && ch <= 'f') return ch - 'a' + 10;
    if (ch >= 'A' && ch <= 'F') return ch - 'A' + 10;
    return -1;
}

size_t dx_test_vector(const char *document, const char *name, uint8_t *out, size_t capacity)
{
    char head[256];
    char *text = (char *)dx_test_file(document, NULL);
    size_t used = 0;
    if (!text) dx_test_fail(document, 0, "the document is not there");
    snprintf(head, sizeof head, "```hex %s\n", name);
    char *p = strstr(text, head);
    if (!p) dx_test_fail(document, 0, head);
    for (p += strlen(head); *p && *p != '`';) {
        if (*p == '#') {
            while (*p && *p != '\n') p++;
        } else if (dx_test_hex(p[0]) >= 0 && dx_test_hex(p[1]) >= 0) {
            if (used >= capacity) dx_test_fail(document, 0, "the vector is longer than expected");
            out[used++] = (uint8_t)(dx_test_hex(p[0]) * 16 + dx_test_hex(p[1]));
            p += 2;
        } else if (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r') {
            p++;
        } else {
            dx_test_fail(document, 0, "a hex vector has a stray character");
        }
    }
    free(text);
    return used;
}

/* >>main --------------------------------------------------------------- */
#ifdef DX_TEST_FUZZ
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t none = 0;
    for (dx_test *t = dx_test_first; t; t = t->next) {
        if (strcmp(t->name, DX_TEST_TEXT2(DX_TEST_FUZZ)) != 0) continue;
        dx_test_choices.bytes = data ? data : &none;
        dx_test_choices.bytes_size = size;
        if (!dx_test_once(t)) {
            fprintf(stderr, "%s\n", dx_test_message);
            abort();
        }
    }
    return 0;
}
#else
/* A number from the environment; 1 if unset. */
static size_t dx_test_count(const char *name)
{
    const char *text = getenv(name);
    size_t count = text ? (size_t)strtoull(text, NULL, 0) : 1;
    return count ? count : 1;
}

int main(int argc, char **argv)
{
    const char *seed_text = getenv("DX_TEST_SEED");
    uint64_t seed = seed_text ? strtoull(seed_text, NULL, 0) : 1;
    size_t factor = dx_test_count("DX_TEST_RUNS"), share = dx_test_count("DX_TEST_SHARE");
    size_t passed = 0, failed = 0, skipped = 0;
    const char *program = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    const int fatal[] = {SIGSEGV, SIGABRT, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) signal(fatal[i], dx_test_crash);
    for (dx_test *t = dx_test_first; t; t = t->next) {
        if (argc > 1 && !strstr(t->name, argv[1])) continue;
        dx_test_running = t->name;
        dx_test_skipped = false;
        dx_test_choices.fixed_count = 0;
        dx_test_choices.random = false;
        bool good = t->exhaustive ? dx_test_run_exhaustive(t)
                  : t->runs       ? dx_test_run_property(t, seed, (t->runs * factor + share - 1) / share)
                                  : dx_test_once(t);
        if (dx_test_skipped) {
            printf("skip %s: %s\n", t->name, dx_test_message);
            skipped++;
        } else if (good) {
            printf("ok   %s\n", t->name);
            passed++;
        } else {
            printf("FAIL %s: %s\n", t->name, dx_test_message);
            failed++;
        }
        fflush(stdout);
    }
    printf("%s: %lu passed, %lu failed, %lu skipped\n", program, (unsigned long)passed,
           (unsigned long)failed, (unsigned long)skipped);
    return failed || !(passed || skipped);
}
#endif
#endif /* DX_TEST_MAIN */
