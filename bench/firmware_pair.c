/* A program for a Cortex-M4 with the C library and four of the headers, of which bench/firmware_pair.sh builds two versions:
   a sensor that samples, keeps records, answers commands on a console and takes updates. VERSION 2 has what a later release
   has: a new command, a changed filter, longer messages, a table that grew, a repaired check. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DX_IMPLEMENTATION
#define DX_CAS_NO_FILE
#include "../dx_cas.h"
#include "../dx_hbtp.h"
#include "../dx_patch.h"
#include "../dx_teleport.h"

enum { CHANNELS = VERSION > 1 ? 6 : 4, HISTORY = 256 };

typedef struct sample {
    uint32_t at_ms;
    float value[CHANNELS];
} sample;

typedef struct calibration {
    const char *name, *unit;
    double      offset, gain, curve;
} calibration;

static const calibration calibrations[CHANNELS] = {
    {"temperature", "C", -40.0, 0.0625, 1.2e-6}, {"pressure", "hPa", 300.0, 0.18, 0},
    {"humidity", "%", 0, 0.0015, -2.1e-9},       {"battery", "V", 0, 0.0008, 0},
#if VERSION > 1
    {"light", "lx", 0, 1.2, 3.0e-5},             {"vibration", "m/s2", -19.6, 0.0006, 0},
#endif
};

static sample   history[HISTORY];
static unsigned newest;
static uint8_t  memory[48 << 10], frame[2048];
volatile uint32_t clock_ms;
volatile uint16_t converter[CHANNELS];

/* >>measuring */
static double linearised(unsigned channel, double raw)
{
    const calibration *k = &calibrations[channel];
    return k->offset + raw * k->gain + raw * raw * k->curve;
}

static double smoothed(unsigned channel, double value)
{
    double sum = value, weight = 1;
    for (unsigned i = 1; i < (VERSION > 1 ? 16 : 8); i++) {
        double w = exp(-(double)i / (VERSION > 1 ? 3.5 : 2.0));
        sum += w * (double)history[(newest - i) % HISTORY].value[channel];
        weight += w;
    }
    return sum / weight;
}

static double dew_point(double celsius, double humidity)
{
    double g = log(humidity / 100) + 17.62 * celsius / (243.12 + celsius);
    return 243.12 * g / (17.62 - g);
}

static void take_sample(void)
{
    sample *s = &history[++newest % HISTORY];
    s->at_ms = clock_ms;
    for (unsigned i = 0; i < CHANNELS; i++) s->value[i] = (float)smoothed(i, linearised(i, converter[i]));
}

/* >>console */
static int show(int argc, char **argv)
{
    unsigned count = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 1;
    for (unsigned k = 0; k < count && k < HISTORY; k++) {
        const sample *s = &history[(newest - k) % HISTORY];
        printf("%10lu ms", (unsigned long)s->at_ms);
        for (unsigned i = 0; i < CHANNELS; i++)
            printf("  %s %.3f %s", calibrations[i].name, (double)s->value[i], calibrations[i].unit);
        printf("  dew point %.2f C\n", dew_point((double)s->value[0], (double)s->value[2]));
    }
    return 0;
}

static int statistics(int argc, char **argv)
{
    unsigned channel = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
    double sum = 0, squares = 0, least = HUGE_VAL, most = -HUGE_VAL;
    if (channel >= CHANNELS) return printf("there are %d channels\n", CHANNELS), 1;
    for (unsigned i = 0; i < HISTORY; i++) {
        double v = (double)history[i].value[channel];
        sum += v;
        squares += v * v;
        least = fmin(least, v);
        most = fmax(most, v);
    }
    printf("%s: mean %.4g, deviation %.4g, from %.4g to %.4g\n", calibrations[channel].name, sum / HISTORY,
           sqrt(squares / HISTORY - sum * sum / HISTORY / HISTORY), least, most);
    return 0;
}

static int hash(int argc, char **argv)
{
    uint8_t id[DX_PATCH_HASH_SIZE];
    if (argc < 2) return 1;
    dx_patch_hash(argv[1], strlen(argv[1]), id);
    for (unsigned i = 0; i < sizeof id; i++) printf("%02x", id[i]);
    return printf("\n"), 0;
}

static int update(int argc, char **argv)
{
    dx_patch_header h;
    static uint8_t out[4096];
    size_t size = 0;
    if (argc < 2) return 1;
    int error = dx_patch_info(frame, (size_t)atoi(argv[1]), &h);
    if (!error) error = dx_patch_apply(history, sizeof history, frame, (size_t)atoi(argv[1]), out, sizeof out, &size, memory, sizeof memory);
    printf("%s: %lu bytes%s\n", dx_patch_error_name(error), (unsigned long)size, VERSION > 1 && error ? "; nothing has changed" : "");
    return error != 0;
}

static int difference(int argc, char **argv)
{
    dx_patch_create_desc d;
    size_t size = 0;
    memset(&d, 0, sizeof d);
    d.memory = memory;
    d.memory_size = sizeof memory;
    if (argc > 1) d.kind = !strcmp(argv[1], "flash") ? DX_PATCH_KIND_FLASH : DX_PATCH_KIND_BLOCKS;
    int error = dx_patch_create(&d, history, sizeof history / 2, history + HISTORY / 2, sizeof history / 2, frame, sizeof frame, &size);
    printf("%s: %lu bytes\n", dx_patch_error_name(error), (unsigned long)size);
    return error != 0;
}

static int flash_io(void *user, dx_patch_flash_io what, uint64_t offset, void *data, size_t size)
{
    uint8_t *slot = user;
    if (what == DX_PATCH_FLASH_READ) memcpy(data, slot + offset, size);
    else if (what == DX_PATCH_FLASH_WRITE) memcpy(slot + offset, data, size);
    else memset(slot + offset, 255, size);
    return 0;
}

static int install(int argc, char **argv)
{
    static dx_patch_flash f;
    dx_patch_flash_desc d;
    memset(&d, 0, sizeof d);
    d.user = memory;
    d.io = flash_io;
    d.patch = frame;
    d.patch_size = argc > 1 ? (size_t)atol(argv[1]) : sizeof frame;
    d.slot_size = sizeof memory;
    d.page_size = 2048;
    int error = dx_patch_flash_apply(&f, &d);
    return printf("%s after %s\n", dx_patch_error_name(error), argv[0]), error != 0;
}

static int when(int argc, char **argv)
{
    time_t seconds = argc > 1 ? (time_t)strtoll(argv[1], NULL, 10) : (time_t)(clock_ms / 1000);
    char text[64];
    struct tm *t = gmtime(&seconds);
    if (!t || !strftime(text, sizeof text, VERSION > 1 ? "%A, %d %B %Y, %H:%M:%S" : "%Y-%m-%d %H:%M:%S", t)) return 1;
    return printf("%s: %s\n", argv[0], text), 0;
}

#if VERSION > 1
static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static int median(int argc, char **argv)
{
    static float sorted[HISTORY];
    unsigned channel = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    if (channel >= CHANNELS) return printf("there are %d channels\n", CHANNELS), 1;
    for (unsigned i = 0; i < HISTORY; i++) sorted[i] = history[i].value[channel];
    qsort(sorted, HISTORY, sizeof *sorted, compare_floats);
    printf("%s: median %.4g, quartiles %.4g and %.4g\n", calibrations[channel].name, (double)sorted[HISTORY / 2],
           (double)sorted[HISTORY / 4], (double)sorted[3 * HISTORY / 4]);
    return 0;
}
#endif

static const struct command {
    const char *name, *help;
    int       (*run)(int argc, char **argv);
} commands[] = {
    {"show", "the last samples: show [COUNT]", show},
    {"stat", "mean and deviation of a channel: stat [CHANNEL]", statistics},
#if VERSION > 1
    {"median", "median and quartiles of a channel: median [CHANNEL]", median},
#endif
    {"hash", "BLAKE3 of a word: hash WORD", hash},
    {"update", "apply the patch that was received: update SIZE", update},
    {"diff", "make a patch of the history: diff [flash|blocks]", difference},
    {"install", "put the patch into the slot: install SIZE", install},
    {"time", "a time in words: time [SECONDS]", when},
};

static int execute(char *line)
{
    char *argv[8];
    int argc = 0;
    for (char *p = strtok(line, " \t\r\n"); p && argc < 8; p = strtok(NULL, " \t\r\n")) argv[argc++] = p;
    if (!argc) return 0;
    for (unsigned i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(argv[0], commands[i].name)) return commands[i].run(argc, argv);
    for (unsigned i = 0; i < sizeof commands / sizeof *commands; i++) printf("%-8s %s\n", commands[i].name, commands[i].help);
    return 1;
}

/* >>machine: what the C library asks for, and the vector table */
extern char stack_end[], heap_begin[], heap_end[];
void start(void);
int _read(int fd, char *p, int size);
int _write(int fd, const char *p, int size);
int _close(int fd);
int _fstat(int fd, void *p);
int _isatty(int fd);
int _lseek(int fd, int at, int from);
int _open(const char *path, int how, int mode);
int _stat(const char *path, void *p);
int _getpid(void);
void _init(void);
void _fini(void);
int _kill(int pid, int signal);
void _exit(int status);
void *_sbrk(ptrdiff_t size);
volatile uint32_t uart[4];

void _init(void) {}
void _fini(void) {}

int _read(int fd, char *p, int size)
{
    for (int i = 0; i < size; i++) p[i] = (char)uart[fd & 3];
    return size;
}
int _write(int fd, const char *p, int size)
{
    for (int i = 0; i < size; i++) uart[fd & 3] = (uint8_t)p[i];
    return size;
}
int _close(int fd) { return fd < 3 ? 0 : -1; }
int _fstat(int fd, void *p) { return (void)p, fd < 3 ? 0 : -1; }
int _isatty(int fd) { return fd < 3; }
int _lseek(int fd, int at, int from) { return (void)fd, (void)at, (void)from, 0; }
int _open(const char *path, int how, int mode) { return (void)path, (void)how, (void)mode, -1; }
int _stat(const char *path, void *p) { return (void)path, (void)p, -1; }
int _getpid(void) { return 1; }
int _kill(int pid, int signal) { return (void)pid, (void)signal, -1; }
void _exit(int status) { for (;;) uart[3] = (uint32_t)status; }
void *_sbrk(ptrdiff_t size)
{
    static char *at = heap_begin;
    char *p = at;
    if (size > heap_end - at) return (void *)-1;
    at += size;
    return p;
}

int main(void)
{
    static char line[128];
    while (fgets(line, sizeof line, stdin)) {
        take_sample();
        if (execute(line)) printf(VERSION > 1 ? "failed: %s\n" : "error: %s\n", line);
    }
    return 0;
}

void start(void)
{
    exit(main());
}

__attribute__((section(".vectors"), used)) static void (*const table[64])(void) = {(void (*)(void))(uintptr_t)stack_end, start, abort, abort};
