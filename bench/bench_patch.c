/* Measures for bench_patch.sh and bench_levels.sh.

       bench_patch run COMMAND ARGS...    prints: median seconds, largest resident KiB
       bench_patch cpu COMMAND ARGS...    prints: least processor seconds of the command, largest resident KiB
       bench_patch memory OLD NEW KIND [LEVEL]    prints: patch bytes, create s, create bytes of memory, apply s,
                                                  memcpy s in this process; KIND: delta (as dxpatch makes
                                                  it), streams, range or blocks
       bench_patch levels PAIR OLD NEW    prints lines of bench/results/levels.csv: each level, with the codings that
                                          dx_patch_create() tries by itself (range), and with streams, too (all);
                                          least processor seconds

   Medians are of five runs; of three when the first took more than half a second, one when more than two. For processor time
   it is the least of as many: other programs on the machine can only add to it. */
#define _GNU_SOURCE
#define DX_CRC32C_STATIC
#define DX_CRC32C_IMPLEMENTATION
#include "../layers/dx_crc32c.h"
#define DX_PATCH_CRC32C dx_crc32c_update
#define DX_PATCH_IMPLEMENTATION
#include "../dx_patch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RUNS_MAX = 5 };

typedef struct job {
    uint8_t *old_bytes, *new_bytes, *patch, *out;
    size_t old_size, new_size, patch_size, patch_capacity;
    dx_patch_create_desc desc;
    char **command;
    long peak_kib;
    clockid_t clock;
} job;

static void fail(const char *what)
{
    fprintf(stderr, "bench_patch: %s\n", what);
    exit(1);
}

static void *allocate(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (!p) fail("out of memory");
    memset(p, 1, size); /* the pages are there before the clock starts */
    return p;
}

static uint8_t *load(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) fail(path);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = allocate(*size);
    if (fread(bytes, 1, *size, file) != *size) fail(path);
    fclose(file);
    return bytes;
}

static double now_s(const job *j)
{
    struct timespec t;
    struct rusage usage;
    if (j->clock == CLOCK_PROCESS_CPUTIME_ID && j->command) { /* of the children that have ended */
        getrusage(RUSAGE_CHILDREN, &usage);
        return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    }
    clock_gettime(j->clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double measured_s(void (*step)(job *j), job *j)
{
    double seconds[RUNS_MAX];
    int runs = RUNS_MAX;
    for (int i = 0; i < runs; i++) {
        double began_s = now_s(j);
        step(j);
        seconds[i] = now_s(j) - began_s;
        if (i == 0 && seconds[0] > 0.5) runs = seconds[0] > 2 ? 1 : 3;
    }
    qsort(seconds, (size_t)runs, sizeof *seconds, compare);
    return seconds[j->clock == CLOCK_MONOTONIC ? runs / 2 : 0];
}

/* >>steps -------------------------------------------------------------- */
static void run_command(job *j)
{
    struct rusage usage;
    int status;
    pid_t child = fork();
    if (child == 0) {
        execvp(j->command[0], j->command);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child) fail("cannot start a process");
    if (!WIFEXITED(status) || WEXITSTATUS(status)) fail(j->command[0]);
    if (usage.ru_maxrss > j->peak_kib) j->peak_kib = usage.ru_maxrss;
}

static void create(job *j)
{
    int error = dx_patch_create(&j->desc, j->old_bytes, j->old_size, j->new_bytes, j->new_size,
                                j->patch, j->patch_capacity, &j->patch_size);
    if (error) fail(dx_patch_error_name(error));
}

static void apply(job *j)
{
    size_t size = 0;
    int error = dx_patch_apply(j->old_bytes, j->old_size, j->patch, j->patch_size, j->out,
                               j->new_size, &size, j->desc.memory, j->desc.memory_size);
    if (error) fail(dx_patch_error_name(error));
    if (size != j->new_size) fail("the result has another size");
}

static void copy(job *j)
{
    memcpy(j->out, j->new_bytes, j->new_size);
    __asm__ volatile("" : : "r"(j->out) : "memory");
}

static void load_pair(job *j, const char *old_path, const char *new_path)
{
    j->old_bytes = load(old_path, &j->old_size);
    j->new_bytes = load(new_path, &j->new_size);
    j->out = allocate(j->new_size);
}

static const uint32_t streams = 1u << DX_PATCH_CODING_STREAMS, range = 1u << DX_PATCH_CODING_RANGE;

static void measure_memory(job *j, char **argv)
{
    load_pair(j, argv[2], argv[3]);
    if (!strcmp(argv[4], "blocks")) j->desc.kind = DX_PATCH_KIND_BLOCKS;
    if (!strcmp(argv[4], "delta")) j->desc.codings = streams | range;
    if (!strcmp(argv[4], "streams")) j->desc.codings = streams;
    if (!strcmp(argv[4], "range")) j->desc.codings = range;
    if (argv[5]) j->desc.level = (uint32_t)atoi(argv[5]);
    j->patch_capacity = dx_patch_bound(&j->desc, j->old_size, j->new_size);
    j->desc.memory_size = dx_patch_create_memory_size(&j->desc, j->old_size, j->new_size);
    j->patch = allocate(j->patch_capacity);
    j->desc.memory = allocate(j->desc.memory_size);
    double create_s = measured_s(create, j), apply_s = measured_s(apply, j);
    if (memcmp(j->out, j->new_bytes, j->new_size)) fail("the result is another");
    double copy_s = measured_s(copy, j);
    printf("%zu %.6f %zu %.6f %.6f\n", j->patch_size, create_s, j->desc.memory_size, apply_s, copy_s);
}

static void measure_levels(job *j, char **argv)
{
    load_pair(j, argv[3], argv[4]);
    j->clock = CLOCK_PROCESS_CPUTIME_ID;
    for (int all = 0; all < 2; all++) {
        j->desc.codings = all ? streams | range : range;
        j->patch_capacity = dx_patch_bound(&j->desc, j->old_size, j->new_size);
        j->desc.memory_size = dx_patch_create_memory_size(&j->desc, j->old_size, j->new_size);
        j->patch = allocate(j->patch_capacity);
        j->desc.memory = allocate(j->desc.memory_size);
        for (j->desc.level = 1; j->desc.level <= 9; j->desc.level++) {
            double create_s = measured_s(create, j), apply_s = measured_s(apply, j);
            dx_patch_header header;
            if (memcmp(j->out, j->new_bytes, j->new_size)) fail("the result is another");
            if (dx_patch_info(j->patch, j->patch_size, &header)) fail("the patch has no header");
            printf("%s,%zu,%zu,%s,%u,%zu,%zu,%llu,%.6f,%.6f\n", argv[2], j->old_size, j->new_size, all ? "all" : "range",
                   j->desc.level, j->patch_size, j->desc.memory_size, (unsigned long long)header.memory_size, create_s, apply_s);
            fflush(stdout);
        }
        free(j->patch);
        free(j->desc.memory);
    }
}

int main(int argc, char **argv)
{
    static job j;
    j.clock = CLOCK_MONOTONIC;
    if (argc >= 3 && (!strcmp(argv[1], "run") || !strcmp(argv[1], "cpu"))) {
        j.command = argv + 2;
        if (argv[1][0] == 'c') j.clock = CLOCK_PROCESS_CPUTIME_ID;
        double seconds = measured_s(run_command, &j);
        printf("%.6f %ld\n", seconds, j.peak_kib);
    } else if ((argc == 5 || argc == 6) && !strcmp(argv[1], "memory")) {
        measure_memory(&j, argv);
    } else if (argc == 5 && !strcmp(argv[1], "levels")) {
        measure_levels(&j, argv);
    } else {
        fail("usage: run|cpu COMMAND ARGS... | memory OLD NEW KIND [LEVEL] | levels PAIR OLD NEW");
    }
    return 0;
}
