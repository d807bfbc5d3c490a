/* layers/dx_cache.h step by step, for tests/ports/update.mjs, whose cache must do the same.
   usage: update_rules BYTES_MAX ENTRIES_MAX TTL_MS DROP_EXPIRED <steps
       p KEY SIZE NOW TTL    put          g KEY NOW    get
       r KEY NOW TTL         revalidate   d KEY        remove
   A step prints its result, the statistics and the keys that are there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define DX_IMPLEMENTATION
#include "../../layers/dx_cache.h"

static dx_cache cache;
static char     value[1 << 20];

static int put(const char *key, size_t size, uint64_t now_ms, uint64_t ttl_ms)
{
    dx_cache_item item;
    memset(&item, 0, sizeof item);
    item.key = key;
    item.key_size = strlen(key);
    item.value = value;
    item.value_size = size;
    item.ttl_ms = ttl_ms;
    return dx_cache_put(&cache, NULL, &item, now_ms, NULL);
}

static int get(const char *key, uint64_t now_ms)
{
    dx_cache_view view;
    const int result = dx_cache_get(&cache, key, strlen(key), now_ms, &view);
    dx_cache_release(&cache, &view);
    return result;
}

static int revalidate(const char *key, uint64_t now_ms, uint64_t ttl_ms)
{
    dx_cache_view view;
    dx_cache_ticket ticket;
    int result = dx_cache_begin(&cache, key, strlen(key), now_ms, &view, &ticket);
    if (result == DX_CACHE_COMPUTE) {
        const bool has = view.value != NULL;
        result = has ? dx_cache_renew(&cache, &ticket, &view, now_ms, ttl_ms)
                     : dx_cache_fail(&cache, &ticket, -100, now_ms);
        if (result == DX_CACHE_OK) result = has ? DX_CACHE_ESTALE : DX_CACHE_ENOTFOUND;
    }
    dx_cache_release(&cache, &view);
    return result;
}

static int compare(const void *a, const void *b) { return strcmp(a, b); }

static void show(int result)
{
    static char keys[4096][32];
    dx_cache_stats s;
    dx_cache_view view;
    uint32_t cursor = 0, count = 0, i;
    dx_cache_get_stats(&cache, &s);
    printf("%d %llu %llu %llu %llu %llu %llu %llu %llu %llu:", result, (unsigned long long)s.entries,
           (unsigned long long)s.bytes, (unsigned long long)s.hits, (unsigned long long)s.stale,
           (unsigned long long)s.misses, (unsigned long long)s.puts, (unsigned long long)s.renewals,
           (unsigned long long)s.evicted, (unsigned long long)s.removed);
    while (count < 4096 && dx_cache_next(&cache, &cursor, &view) == DX_CACHE_OK) {
        snprintf(keys[count++], sizeof keys[0], "%.*s", (int)view.key_size, (const char *)view.key);
        dx_cache_release(&cache, &view);
    }
    qsort(keys, count, sizeof keys[0], compare);
    for (i = 0; i < count; i++) printf(" %s", keys[i]);
    printf("\n");
}

int main(int argc, char **argv)
{
    dx_cache_desc desc;
    char step, key[32];
    if (argc != 5) return 2;
    memset(&desc, 0, sizeof desc);
    desc.bytes_max = strtoull(argv[1], NULL, 10);
    desc.entries_max = (uint32_t)strtoul(argv[2], NULL, 10);
    desc.ttl_ms = strtoull(argv[3], NULL, 10);
    desc.drop_expired = argv[4][0] == '1';
    desc.memory_size = dx_cache_memory_size(&desc) * 4 + (1 << 20); /* nothing is evicted for fragmentation */
    desc.memory = malloc(desc.memory_size);
    if (!desc.memory || dx_cache_init(&cache, &desc) != DX_CACHE_OK) return 2;
    while (scanf(" %c %31s", &step, key) == 2) {
        unsigned long long size = 0, now_ms = 0, ttl_ms = 0;
        if (step == 'p' && scanf("%llu %llu %llu", &size, &now_ms, &ttl_ms) == 3 && size <= sizeof value)
            show(put(key, (size_t)size, now_ms, ttl_ms));
        else if (step == 'g' && scanf("%llu", &now_ms) == 1) show(get(key, now_ms));
        else if (step == 'r' && scanf("%llu %llu", &now_ms, &ttl_ms) == 2) show(revalidate(key, now_ms, ttl_ms));
        else if (step == 'd') show(dx_cache_remove(&cache, key, strlen(key)));
        else return 2;
    }
    free(desc.memory);
    return 0;
}
