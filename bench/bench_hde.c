/* layers/dx_hde.h: states against baselines, compared with a compare loop and plain zstd. One CSV row a line: what, size of the state,
   bytes of the record, seconds to encode, GB/s, seconds to decode, what it is beside.
   Seconds are of the processor, medians of nine. usage: bench_hde [ID OLD NEW]...      ID names the pair in the output */
#define _GNU_SOURCE
#define DX_IMPLEMENTATION
#include "../dx_patch.h"
#include "../layers/dx_hde.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 9 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *s)
{
    qsort(s, ROUNDS, sizeof *s, by_value);
    return s[ROUNDS / 2];
}

static void row(const char *what, size_t state, size_t record, double encode_s, double decode_s, const char *beside)
{
    printf("%s,%zu,%zu,%.9f,%.2f,%.9f,%s\n", what, state, record, encode_s, encode_s > 0 ? (double)state / encode_s / 1e9 : 0, decode_s, beside);
    fflush(stdout);
}

static uint8_t *load(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    long n = -1;
    uint8_t *p = NULL;
    if (f && fseek(f, 0, SEEK_END) == 0) n = ftell(f);
    if (n >= 0 && (p = malloc((size_t)n + 1)) != NULL && (fseek(f, 0, SEEK_SET) || fread(p, 1, (size_t)n, f) != (size_t)n)) n = -1;
    if (f) fclose(f);
    if (!p || n < 0) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(1);
    }
    *size = (size_t)n;
    return p;
}

typedef struct end { /* an encoder or decoder with its memory */
    dx_hde h;
    dx_hde_desc desc;
    dx_hde_zstd zstd;
} end;

static void open_end(end *e, size_t state_max, int level, bool with_zstd)
{
    e->desc.state_max = (uint32_t)state_max;
    if (!e->desc.baselines_max) e->desc.baselines_max = 2;
    e->desc.chain_max = 1000;
    e->desc.level = level;
#ifdef DX_HDE_ZSTD
    e->zstd.cctx = ZSTD_createCCtx();
    e->zstd.dctx = ZSTD_createDCtx();
    if (with_zstd) e->desc.zstd = &e->zstd;
#else
    (void)with_zstd;
#endif
    e->desc.memory_size = dx_hde_memory_size(&e->desc);
    e->desc.memory = malloc(e->desc.memory_size);
    if (!e->desc.memory || dx_hde_init(&e->h, &e->desc)) exit(1);
    memset(e->desc.memory, 0, 0);
}

static void close_end(end *e)
{
    free(e->desc.memory);
#ifdef DX_HDE_ZSTD
    ZSTD_freeCCtx((ZSTD_CCtx *)e->zstd.cctx);
    ZSTD_freeDCtx((ZSTD_DCtx *)e->zstd.dctx);
#endif
    memset(e, 0, sizeof *e);
}

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

/* The least that any encoder must do: read every block of both. */
static size_t compare_blocks(const uint8_t *a, const uint8_t *b, size_t size)
{
    size_t at, same = 0;
    for (at = 0; size - at >= 4096; at += 4096) same += memcmp(a + at, b + at, 4096) == 0;
    return same;
}

static void pair(const char *id, const uint8_t *old, size_t old_size, const uint8_t *new, size_t new_size, int level, bool with_zstd)
{
    static end a, b;
    char what[100];
    size_t most = old_size > new_size ? old_size : new_size, size = 0, got;
    uint8_t *record = malloc(most + DX_HDE_HEAD_MAX), *out = malloc(most + 1);
    double encode_s[ROUNDS], compare_s[ROUNDS], decode_s[ROUNDS], t;
    volatile size_t sink = 0;
    if (!record || !out) fail("no memory");
    open_end(&a, most, level, with_zstd);
    open_end(&b, most, level, with_zstd);
    if (dx_hde_keep(&a.h, 1, 0, old, old_size) || dx_hde_keep(&b.h, 1, 0, old, old_size)) fail("keep");
    for (int i = 0; i < ROUNDS; i++) {
        t = now_s();
        sink += compare_blocks(old, new, old_size < new_size ? old_size : new_size);
        compare_s[i] = now_s() - t;
        t = now_s();
        if (dx_hde_encode(&a.h, 1, 0, new, new_size, record, most + DX_HDE_HEAD_MAX, &size)) fail("encode");
        encode_s[i] = now_s() - t;
        if (i == 0) t = encode_s[0];
        double d = now_s();
        if (dx_hde_decode(&b.h, 1, 0, record, size, out, most, &got) || got != new_size || memcmp(out, new, got) != 0) fail("decode");
        decode_s[i] = now_s() - d;
    }
    (void)sink;
    double compare = median(compare_s), encode = median(encode_s);
    snprintf(what, sizeof what, "%s level %d%s", id, level, with_zstd ? "" : " without zstd");
    char beside[100];
    snprintf(beside, sizeof beside, "compare loop of 4 KiB blocks %.2f GB/s; encode takes %.2f of it", (double)new_size / compare / 1e9, encode / compare);
    row(what, new_size, size, encode, median(decode_s), beside);
    close_end(&a);
    close_end(&b);
    free(record);
    free(out);
}

static size_t zstd_size(const uint8_t *p, size_t size, int level)
{
#ifdef DX_HDE_ZSTD
    size_t bound = ZSTD_compressBound(size), n;
    void *out = malloc(bound);
    n = ZSTD_compress(out, bound, p, size, level);
    free(out);
    return n;
#else
    (void)p, (void)level;
    return size;
#endif
}

static void pattern(bool with_zstd)
{
    static end a;
    size_t size = 8 << 20, n = 0;
    uint8_t *p = malloc(size), *record = malloc(size + DX_HDE_HEAD_MAX);
    double s[ROUNDS], t;
    char beside[100];
    for (size_t i = 0; i < size; i++) p[i] = (uint8_t)"one pattern of 23 bytes"[i % 23];
    open_end(&a, size, 0, with_zstd);
    for (int i = 0; i < ROUNDS; i++) {
        dx_hde_drop(&a.h, 1);
        t = now_s();
        if (dx_hde_encode(&a.h, 1, 0, p, size, record, size + DX_HDE_HEAD_MAX, &n)) fail("encode");
        s[i] = now_s() - t;
    }
    snprintf(beside, sizeof beside, "plain zstd -3 %zu bytes, -19 %zu", zstd_size(p, size, 3), zstd_size(p, size, 19));
    row(with_zstd ? "8 MiB of a pattern" : "8 MiB of a pattern without zstd", size, n, median(s), 0, beside);
    close_end(&a);
    free(p);
    free(record);
}

/* A game's or a sensor hub's state: 64 things of 32 bytes, position and speed as floats, counters, flags; 30 times a second a
   quarter of them moves and a few change otherwise. */
static void step(uint8_t *state, uint32_t frame, uint64_t *seed)
{
    for (unsigned i = 0; i < 64; i++) {
        float f[4];
        uint8_t *thing = state + 32 * i;
        uint32_t count;
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        memcpy(f, thing, sizeof f);
        if (i % 4 == 1) f[0] += f[2] / 30, f[1] += f[3] / 30;
        if (*seed >> 60 == 0) f[2] = -f[2];
        memcpy(thing, f, sizeof f);
        memcpy(&count, thing + 16, 4);
        count += i % 8 == 0;
        memcpy(thing + 16, &count, 4);
        if (*seed >> 58 == 5) thing[20] = (uint8_t)(*seed >> 40);
    }
    memcpy(state + 28, &frame, 4);
}

static void stream(uint32_t hash_size, bool rolling)
{
    enum { FRAMES = 900, STATE = 2048 };
    static end a, b;
    static uint8_t state[STATE], out[STATE], record[STATE + DX_HDE_HEAD_MAX];
    uint64_t seed = 7;
    size_t n, got, bytes = 0, zstd = 0;
    double encode = 0, decode = 0, t;
    char what[100], beside[100];
    for (unsigned i = 0; i < 64; i++) {
        float f[4] = {(float)i * 3.7f, (float)i * 1.3f, 1.5f + (float)(i % 7), -2.25f + (float)(i % 5)};
        memset(state + 32 * i, 0, 32);
        memcpy(state + 32 * i, f, sizeof f);
    }
    a.desc.hash_size = b.desc.hash_size = hash_size;
    a.desc.rolling = rolling;
    open_end(&a, STATE, 0, true);
    open_end(&b, STATE, 0, true);
    for (uint32_t frame = 0; frame < FRAMES; frame++) {
        step(state, frame, &seed);
        t = now_s();
        if (dx_hde_encode(&a.h, 1, frame * 100 / 3, state, STATE, record, sizeof record, &n)) fail("encode");
        encode += now_s() - t;
        t = now_s();
        if (dx_hde_decode(&b.h, 1, frame * 100 / 3, record, n, out, STATE, &got) || memcmp(out, state, STATE) != 0) fail("decode");
        decode += now_s() - t;
        bytes += n;
        zstd += zstd_size(state, STATE, 3);
    }
    snprintf(what, sizeof what, "2 KiB 30 times a second; hashes of %u%s", hash_size, rolling ? "; rolling" : "");
    snprintf(beside, sizeof beside, "%zu bytes/s; each state by zstd -3: %zu bytes", bytes * 30 / FRAMES, zstd / FRAMES);
    row(what, STATE, bytes / FRAMES, encode / FRAMES, decode / FRAMES, beside);
    close_end(&a);
    close_end(&b);
}

int main(int argc, char **argv)
{
    puts("what,state_bytes,record_bytes,encode_s,GB/s,decode_s,beside");
    for (int i = 1; i + 2 < argc; i += 3) {
        size_t old_size, new_size;
        uint8_t *old = load(argv[i + 1], &old_size), *new = load(argv[i + 2], &new_size);
        pair(argv[i], old, old_size, new, new_size, 3, false);
#ifdef DX_HDE_ZSTD
        pair(argv[i], old, old_size, new, new_size, 3, true);
#endif
        free(old);
        free(new);
    }
    pattern(false);
#ifdef DX_HDE_ZSTD
    pattern(true);
#endif
    for (uint32_t k = 0; k < 4; k++) stream(k & 1 ? 8 : 32, k > 1);
    return 0;
}
