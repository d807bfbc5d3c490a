/* How fast `dxwan mirror` finds and encodes what changed in memory: an image in which 1 % of the pages of 4 KiB got 64 random bytes,
   compared and encoded in regions by one core. Prints GB of image a second, median of nine, and the bytes of the records.
   usage: bench_memory FILE      its bytes, repeated, are the image */
#define _GNU_SOURCE
#include "../programs/dxwan/files/coder.h"
#include "../programs/dxwan/net/region.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { IMAGE_SIZE = 64 << 20, PAGE_SIZE_BYTES = 4096, CHANGED_BYTES = 64, ROUNDS = 9 };

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

static uint64_t next(uint64_t *seed) { return *seed = *seed * 6364136223846793005u + 1442695040888963407u; }

static void change(uint8_t *image)
{
    uint64_t seed = 7;
    for (int i = 0; i < IMAGE_SIZE / PAGE_SIZE_BYTES / 100 + 1; i++) {
        uint8_t *page = image + (next(&seed) >> 33) % (IMAGE_SIZE / PAGE_SIZE_BYTES) * PAGE_SIZE_BYTES;
        uint8_t *at = page + (next(&seed) >> 20) % (PAGE_SIZE_BYTES - CHANGED_BYTES);
        for (int k = 0; k < CHANGED_BYTES; k++) at[k] = (uint8_t)(next(&seed) >> 56);
    }
}

int main(int argc, char **argv)
{
    wan_coder coder;
    double seconds[ROUNDS];
    size_t sent = 0, regions = 0;
    FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;
    uint8_t *old = malloc(IMAGE_SIZE), *new = malloc(IMAGE_SIZE), *out = malloc(WAN_REGION_SIZE + DX_HDE_HEAD_MAX);
    size_t got = f && old ? fread(old, 1, IMAGE_SIZE, f) : 0;
    if (!got || !new || !out) {
        fprintf(stderr, "usage: bench_memory FILE\n");
        return 1;
    }
    fclose(f);
    for (size_t at = got; at < IMAGE_SIZE; at++) old[at] = old[at - got];
    memcpy(new, old, IMAGE_SIZE);
    change(new);
    if (!wan_coder_open(&coder, true, NULL)) return 1;
    for (int i = 0; i < ROUNDS; i++) {
        const double began_s = now_s();
        sent = regions = 0;
        for (size_t at = 0; at < IMAGE_SIZE; at += WAN_REGION_SIZE) {
            if (!memcmp(old + at, new + at, WAN_REGION_SIZE)) continue;
            sent += wan_coder_encode(&coder, old + at, WAN_REGION_SIZE, new + at, WAN_REGION_SIZE, out);
            regions++;
        }
        seconds[i] = now_s() - began_s;
    }
    wan_coder_close(&coder);
    qsort(seconds, ROUNDS, sizeof *seconds, by_value);
    printf("%.3f %zu %zu\n", IMAGE_SIZE / seconds[ROUNDS / 2] / 1e9, sent, regions);
    free(old);
    free(new);
    free(out);
    return 0;
}
