/* How long gets of layers/dx_cache.h take while tags are invalidated: 50th, 99th and 99.9th percentile and maximum of a
   million, beside those of doing nothing in the same loop (what the machine itself adds). The thread stays on one processor,
   before others where the system allows it (SCHED_FIFO); what took place while the kernel gave the processor to somebody
   else is counted apart: "switched" samples are not among the percentiles, nor in the maximum. Writes bench/results/cache.csv
   when that folder is there.
   cc -O2 -DNDEBUG bench/bench_cache.c -o build/bench_cache -lpthread     bench_cache [GETS] */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#define DX_IMPLEMENTATION
#include "../dx_cas.h"
#include "../layers/dx_cache.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

typedef struct bench {
    dx_cache  *cache;
    unsigned   entries, tables;
    size_t     size;
    uint8_t   *value;
    int        lock; /* 0 or 1: a spinning lock is enough for steps this short */
    int        stop;
    uint64_t   invalidations;
} bench;

static FILE *csv;
static bool fifo;

/* The calling thread stays on the nth processor that it may use; true: and goes before others. */
static bool stay(int nth, bool before_others)
{
    cpu_set_t may, one;
    struct sched_param p;
    CPU_ZERO(&one);
    memset(&p, 0, sizeof p);
    p.sched_priority = 1;
    if (sched_getaffinity(0, sizeof may, &may) != 0) return false;
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &may) && nth-- == 0) CPU_SET(i, &one);
    }
    if (CPU_COUNT(&one) == 1) (void)pthread_setaffinity_np(pthread_self(), sizeof one, &one);
    return before_others && pthread_setschedparam(pthread_self(), SCHED_FIFO, &p) == 0;
}

/* How often this thread has lost its processor. */
static long switches(void)
{
    struct rusage use;
    return getrusage(RUSAGE_THREAD, &use) == 0 ? use.ru_nivcsw + use.ru_nvcsw : 0;
}

static void pause_(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void lock(void *user)
{
    bench *b = (bench *)user;
    while (__atomic_exchange_n(&b->lock, 1, __ATOMIC_ACQUIRE)) {
        for (int i = 0; i < 1000 && __atomic_load_n(&b->lock, __ATOMIC_RELAXED); i++) pause_();
    }
}

static void unlock(void *user)
{
    __atomic_store_n(&((bench *)user)->lock, 0, __ATOMIC_RELEASE);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Entry number n: a key of 16 bytes, one tag. */
static void store(bench *b, unsigned n)
{
    uint64_t key[2] = {n, 0x1234567890abcdefu};
    char table[16];
    static const uint8_t hash[32] = {1}; /* known: hashing is not measured */
    dx_cache_tag tag = {table, (size_t)snprintf(table, sizeof table, "t%u", n % b->tables)};
    dx_cache_item item;
    memset(&item, 0, sizeof item);
    item.key = key;
    item.key_size = sizeof key;
    item.value = b->value;
    item.value_size = b->size;
    item.tags = &tag;
    item.tag_count = 1;
    item.hash = hash;
    if (dx_cache_put(b->cache, NULL, &item, 0, NULL) != DX_CACHE_OK) {
        fprintf(stderr, "an entry cannot be stored\n");
        exit(1);
    }
}

static void invalidate(bench *b, uint64_t random)
{
    char table[16];
    int n = snprintf(table, sizeof table, "t%u", (unsigned)(random % b->tables));
    dx_cache_invalidate(b->cache, table, (size_t)n);
    b->invalidations++;
}

/* The other thread: invalidates a tag and stores entries of it again, 20,000 times a second. */
static void *disturber(void *user)
{
    bench *b = (bench *)user;
    uint64_t seed = 7, due = now_ns();
    (void)stay(0, false);
    while (!__atomic_load_n(&b->stop, __ATOMIC_RELAXED)) {
        uint64_t r = next(&seed);
        invalidate(b, r);
        for (unsigned i = 0; i < 4; i++) store(b, (unsigned)((r % b->tables + b->tables * (next(&seed) >> 32)) % b->entries));
        for (due += 50000; now_ns() < due && !__atomic_load_n(&b->stop, __ATOMIC_RELAXED);) pause_();
    }
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void report(const bench *b, const char *how, uint32_t *ns, unsigned count, unsigned switched, uint32_t worst)
{
    unsigned over = 0;
    qsort(ns, count, sizeof *ns, by_value);
    for (unsigned i = count; i-- > 0 && ns[i] > 100000;) over++;
    printf("%8u x %7zu B: %-22s %6u %7u %7u %9u %6u %8u %9u", b->entries, b->size, how, ns[count / 2], ns[count - count / 100],
           ns[count - count / 1000], ns[count - 1], over, switched, worst);
    if (!csv) return;
    fprintf(csv, "%u,%zu,%s,%u,%u,%u,%u,%u,%u,%u,", b->entries, b->size, how, ns[count / 2], ns[count - count / 100],
            ns[count - count / 1000], ns[count - 1], over, switched, worst);
    if (strcmp(how, "nothing") == 0) fprintf(csv, ",\n");
    else fprintf(csv, "%s,%s\n", ns[count - count / 1000] < 1000 ? "ok" : "missed", over == 0 ? "ok" : "missed");
}

/* Time of one get, less than 4 s. what: 0 nothing, 1 gets with invalidations between them, 2 beside another thread. Whether the
   thread was switched is asked after slow samples, and now and then: outside of what is measured. */
static void run(bench *b, const char *how, int what, unsigned count, uint32_t *ns)
{
    uint64_t seed = 42, hits = 0;
    unsigned kept = 0, switched = 0;
    uint32_t worst = 0;
    long before;
    pthread_t other;
    if (what == 2) pthread_create(&other, NULL, disturber, b);
    before = switches();
    for (unsigned i = 0; i < count; i++) {
        uint64_t r = next(&seed), key[2], start, end;
        dx_cache_view v;
        bool hit = false;
        uint32_t took;
        key[0] = (r >> 32) % b->entries;
        key[1] = 0x1234567890abcdefu;
        if (what == 1 && i % 100 == 0) invalidate(b, r);
        memset(&v, 0, sizeof v);
        start = now_ns();
        if (what) {
            hit = dx_cache_get(b->cache, key, sizeof key, 0, &v) == DX_CACHE_OK;
            dx_cache_release(b->cache, &v);
        }
        end = now_ns();
        hits += hit;
        took = end - start > UINT32_MAX ? UINT32_MAX : (uint32_t)(end - start);
        if (took > 20000) {
            long now = switches();
            if (now != before) {
                switched++;
                if (worst < took) worst = took;
            } else {
                ns[kept++] = took;
            }
            before = now;
        } else {
            ns[kept++] = took;
            if (i % 64 == 0) before = switches();
        }
        if (what == 1 && !hit && (b->size < 65536 || i % 1000 == 0)) store(b, (unsigned)key[0]);
    }
    if (what == 2) {
        __atomic_store_n(&b->stop, 1, __ATOMIC_RELAXED);
        pthread_join(other, NULL);
        b->stop = 0;
    }
    report(b, how, ns, kept, switched, worst);
    if (what) printf("   %3.0f %% hits, %llu invalidations\n", 100.0 * (double)hits / count, (unsigned long long)b->invalidations);
    else printf("\n");
}

static void rounds(unsigned entries, size_t size, unsigned count, uint32_t *ns)
{
    dx_cache_desc desc;
    bench b;
    memset(&desc, 0, sizeof desc);
    memset(&b, 0, sizeof b);
    b.entries = entries;
    b.tables = entries < 100 ? 1 : entries / 100 + 50; /* an invalidation hits about a hundred entries */
    desc.tags_max = b.tables + 10;
    b.size = size;
    b.value = (uint8_t *)calloc(1, size);
    b.cache = (dx_cache *)malloc(sizeof *b.cache);
    desc.entries_max = entries + 1;
    desc.bytes_max = (uint64_t)(entries + 1) * (size + 32) * 5 / 4;
    desc.entries_max = desc.entries_max * 5 / 4 + 1;
    desc.entry_tags_max = 2;
    desc.lock = lock;
    desc.unlock = unlock;
    desc.user = &b;
    desc.memory_size = dx_cache_memory_size(&desc);
    desc.memory = mmap(NULL, desc.memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(desc.memory, desc.memory_size, MADV_HUGEPAGE); /* as who has a million entries would */
    memset(desc.memory, 0, desc.memory_size);              /* no page fault in the loop */
    if (desc.memory == MAP_FAILED || dx_cache_init(b.cache, &desc) != DX_CACHE_OK) {
        fprintf(stderr, "no memory for %u entries of %zu bytes\n", entries, size);
        exit(1);
    }
    for (unsigned i = 0; i < entries; i++) store(&b, i);
    for (int what = 0; what < 3; what++) {
        static const char *const how[] = {"nothing", "invalidations between", "invalidating thread"};
        run(&b, how[what], what, count, ns);
    }
    munmap(desc.memory, desc.memory_size);
    free(b.cache);
    free(b.value);
}

int main(int argc, char **argv)
{
    unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 1000000;
    uint32_t *ns = (uint32_t *)malloc(sizeof *ns * (count + 1));
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!ns || count < 1000) return 1;
    memset(ns, 0, sizeof *ns * (count + 1)); /* no page fault in the loop */
    fifo = stay(1, sysconf(_SC_NPROCESSORS_ONLN) > 1); /* with one processor the other thread would wait for ever */
    csv = fopen("bench/results/cache.csv", "w");
    if (csv) fprintf(csv, "# %u gets each, ns; %s\nentries,value_bytes,load,p50,p99,p99.9,max,over_100us,switched,worst_switched,"
                     "p99.9 < 1 us,never over 100 us\n", count, fifo ? "pinned, SCHED_FIFO" : "pinned");
    printf("%u gets (hash, look-up, touch, pin and release), nanoseconds; %s\n", count, fifo ? "pinned, SCHED_FIFO" : "pinned");
    printf("%-44s %6s %7s %7s %9s %6s %8s %9s\n", "entries x value", "p50", "p99", "p99.9", "max", ">100us", "switched", "worst");
    rounds(1, 10, count, ns);
    rounds(1000, 1024, count, ns);
    rounds(64, 1 << 20, count, ns);
    rounds(100000, 100, count, ns);
    rounds(1000000, 10, count, ns);
    if (csv && fclose(csv) != 0) return 1;
    return 0;
}
