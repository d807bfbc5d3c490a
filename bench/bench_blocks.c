/* Block patches of dx_patch.h: size and speed for scattered changes; the XOR of runs and a plain loop over the
   same bytes. Flash patches of pairs given as OLD NEW: size, and that of a sequential delta of the same applier memory.
   usage: bench_blocks [OLD NEW]...        prints CSV */
#define NDEBUG
#define DX_PATCH_IMPLEMENTATION
#include "../dx_patch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { IMAGE = 8 << 20, SMALL = 20480, ROUNDS = 9 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t mix(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = (*state ^ *state >> 30) * 0xbf58476d1ce4e5b9u;
    return z ^ z >> 31;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *times)
{
    qsort(times, ROUNDS, sizeof *times, compare);
    return times[ROUNDS / 2];
}

static size_t create(const uint8_t *a, const uint8_t *b, size_t size, uint8_t *patch, size_t capacity)
{
    static uint8_t memory[8192];
    dx_patch_create_desc d;
    size_t got = 0;
    memset(&d, 0, sizeof d);
    d.kind = DX_PATCH_KIND_BLOCKS;
    d.memory = memory;
    d.memory_size = sizeof memory;
    d.skip_check = true;
    if (dx_patch_create(&d, a, size, b, size, patch, capacity, &got)) exit(1);
    return got;
}

static void scattered(uint8_t *a, uint8_t *b, uint8_t *patch)
{
    double with[ROUNDS], without[ROUNDS], same[ROUNDS];
    uint8_t hash[DX_PATCH_HASH_SIZE];
    uint64_t seed = 1;
    size_t size = 0;
    for (size_t i = 0; i < IMAGE; i++) a[i] = (uint8_t)mix(&seed);
    memcpy(b, a, IMAGE);
    for (size_t i = 0; i < IMAGE / 100; i++) b[mix(&seed) % IMAGE] ^= (uint8_t)(1 + mix(&seed) % 255);
    for (int i = 0; i < ROUNDS; i++) {
        double t = now();
        size = create(a, b, IMAGE, patch, IMAGE);
        with[i] = now() - t;
        t = now();
        dx_patch_hash(a, IMAGE, hash);
        dx_patch_hash(b, IMAGE, hash);
        double hashing = now() - t;
        without[i] = with[i] - hashing;
        t = now();
        create(a, a, IMAGE, patch, IMAGE);
        same[i] = now() - t - hashing;
    }
    printf("1 %% changed of 8 MiB,bytes,%zu\n", size);
    printf("1 %% changed of 8 MiB,create GB/s,%.2f\n", IMAGE / median(with) * 1e-9);
    printf("1 %% changed of 8 MiB,create less the time of hashing both, GB/s,%.2f\n", IMAGE / median(without) * 1e-9);
    printf("nothing changed of 8 MiB,create less the time of hashing both, GB/s,%.2f\n", IMAGE / median(same) * 1e-9);
}

static void five_blocks(uint8_t *a, uint8_t *b, uint8_t *patch)
{
    double runs[ROUNDS], plain[ROUNDS];
    uint64_t seed = 2;
    dx_patch_header h;
    for (size_t i = 0; i < SMALL; i++) b[i] = (uint8_t)(a[i] ^ (1 + mix(&seed) % 255));
    if (dx_patch_info(patch, create(a, b, SMALL, patch, IMAGE), &h)) exit(1);
    for (int i = 0; i < ROUNDS; i++) {
        double t = now();
        for (int k = 0; k < 20000; k++) dx_patch_p_xor_runs(&h, patch, a);
        runs[i] = (now() - t) / 20000;
        t = now();
        for (int k = 0; k < 20000; k++) {
            for (size_t q = 0; q < SMALL; q += 8) {
                uint64_t x, y;
                memcpy(&x, a + q, 8);
                memcpy(&y, b + q, 8);
                x ^= y;
                memcpy(a + q, &x, 8);
            }
            __asm__ volatile("" ::"r"(a) : "memory");
        }
        plain[i] = (now() - t) / 20000;
    }
    printf("20 KB five blocks,xor with bounds checked us,%.3f\n", median(runs) * 1e6);
    printf("20 KB five blocks,plain loop of 64-bit words us,%.3f\n", median(plain) * 1e6);
}

static uint8_t *load(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END)) return NULL;
    *size = (size_t)ftell(f);
    rewind(f);
    uint8_t *p = malloc(*size + 1);
    if (p && fread(p, 1, *size, f) != *size) p = NULL;
    fclose(f);
    return p;
}

static size_t make(dx_patch_create_desc d, const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    size_t capacity = dx_patch_bound(&d, a_size, b_size), size = 0;
    uint8_t *out = malloc(capacity);
    d.memory_size = dx_patch_create_memory_size(&d, a_size, b_size);
    d.memory = malloc(d.memory_size);
    d.skip_check = true;
    if (!out || !d.memory || dx_patch_create(&d, a, a_size, b, b_size, out, capacity, &size)) size = 0;
    free(out);
    free(d.memory);
    return size;
}

static void flash(const char *old_path, const char *new_path)
{
    size_t a_size, b_size;
    uint8_t *a = load(old_path, &a_size), *b = load(new_path, &b_size);
    dx_patch_create_desc d;
    if (!a || !b) exit(2);
    memset(&d, 0, sizeof d);
    d.codings = 1u << DX_PATCH_CODING_RANGE;
    d.apply_memory_max = 18000;
    printf("%s,sequential with 18 KB,%zu\n", old_path, make(d, a, a_size, b, b_size));
    d.apply_memory_max = 0;
    printf("%s,sequential,%zu\n", old_path, make(d, a, a_size, b, b_size));
    d.kind = DX_PATCH_KIND_FLASH;
    printf("%s,flash two pages of 4096 to spare,%zu\n", old_path, make(d, a, a_size, b, b_size));
    free(a);
    free(b);
}

int main(int argc, char **argv)
{
    uint8_t *a = malloc(IMAGE), *b = malloc(IMAGE), *patch = malloc(IMAGE);
    if (!a || !b || !patch) return 1;
    printf("case,what,value\n");
    scattered(a, b, patch);
    five_blocks(a, b, patch);
    for (int i = 1; i + 1 < argc; i += 2) flash(argv[i], argv[i + 1]);
    return 0;
}
