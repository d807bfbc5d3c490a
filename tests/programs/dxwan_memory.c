/* A process whose memory is mirrored. What it has in memory follows from two numbers that it counts, so a
   copy that mixes two moments shows it.
   usage: dxwan_memory count|touch [SEED]

   count: two threads each add their next number to a random cell; a third one maps, moves and unmaps memory.
   touch: writes into each of 100 regions, again and again. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { CELLS = 1 << 17, MAPPINGS = 64, PAGE = 4096, REGION = 262144, REGIONS = 100 };
enum { FREE, LIVE, CHANGING };

static struct state {
    volatile uint64_t steps[2];
    volatile struct mapping {
        uint64_t address, size, id, state;
    } mappings[MAPPINGS];
} state;
static uint64_t *cells[2];
static uint64_t seed;

static void rest(void) { nanosleep(&(struct timespec){0, 1000000}, NULL); }
static uint64_t next(uint64_t *x) { return (*x = *x * 6364136223846793005u + 1442695040888963407u) >> 33; }
static void barrier(void) { __asm__ volatile("" ::: "memory"); }

static void *count(void *user)
{
    const int i = user != NULL;
    uint64_t x = seed + (uint64_t)i;
    for (uint64_t step = 1;; step++) {
        cells[i][next(&x) % CELLS] = step;
        barrier();
        state.steps[i] = step;
        if (step % 16 == 0) rest();
    }
}

static void fill(char *p, uint64_t size, uint64_t id)
{
    for (uint64_t at = 0; at < size; at += PAGE) memcpy(p + at, &(uint64_t){id * 1000 + at / PAGE}, 8);
}

static void *map(void *user)
{
    uint64_t x = seed + 2;
    (void)user;
    for (uint64_t id = 1;; id++, rest()) {
        volatile struct mapping *m = &state.mappings[next(&x) % MAPPINGS];
        const uint64_t size = (next(&x) % 60 + 1) * PAGE, was = m->state;
        m->state = CHANGING;
        barrier();
        if (was == LIVE && id % 3) {
            munmap((void *)m->address, m->size);
            barrier();
            m->state = FREE;
            continue;
        }
        void *p = was == LIVE ? mremap((void *)m->address, m->size, size, MREMAP_MAYMOVE)
                              : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) abort();
        fill(p, size, id);
        m->address = (uint64_t)p;
        m->size = size;
        m->id = id;
        barrier();
        m->state = LIVE;
    }
}

static void touch(void)
{
    char *p = mmap(NULL, REGION * REGIONS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) abort();
    for (uint64_t x = seed;; rest())
        for (int i = 0; i < REGIONS; i++)
            for (int k = 0; k < 256; k++) memcpy(p + i * REGION + k * 4, &(uint32_t){(uint32_t)next(&x)}, 4);
}

int main(int argc, char **argv)
{
    pthread_t threads[3];
    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    for (int i = 0; i < 2; i++) cells[i] = calloc(CELLS, sizeof **cells);
    printf("%llu %llu %llu\n", (unsigned long long)(uintptr_t)&state, (unsigned long long)(uintptr_t)cells[0],
           (unsigned long long)(uintptr_t)cells[1]);
    fflush(stdout);
    if (argc > 1 && !strcmp(argv[1], "touch")) touch();
    pthread_create(&threads[0], NULL, count, NULL);
    pthread_create(&threads[1], NULL, count, &seed);
    pthread_create(&threads[2], NULL, map, NULL);
    pthread_join(threads[0], NULL);
}
