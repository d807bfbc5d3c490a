#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
/* Tests of layers/dx_cache.h.
   cc -std=c11 -g -O1 -fsanitize=address,undefined tests/layers/test_cache.c -o build/test_cache -lpthread */
#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#include "../../layers/dx_cache.h"
#include "../../layers/dx_devices.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#include <pthread.h>
#include <sched.h>

/* >>helpers ------------------------------------------------------------ */
#define OK(call) DX_CHECK_EQ(call, DX_CACHE_OK)

static dx_cache *make(dx_cache_desc *desc)
{
    dx_cache *k = (dx_cache *)malloc(sizeof *k);
    desc->memory_size = dx_cache_memory_size(desc);
    DX_CHECK(desc->memory_size > 0);
    desc->memory = malloc(desc->memory_size);
    OK(dx_cache_init(k, desc));
    return k;
}

static void drop(dx_cache *k)
{
    free(k->desc_.memory);
    free(k);
}

static dx_cache *make_small(uint64_t bytes, uint32_t entries)
{
    dx_cache_desc desc = {0};
    desc.bytes_max = bytes;
    desc.entries_max = entries;
    desc.tags_max = 64;
    return make(&desc);
}

static dx_cache_item item_of(const char *key, const void *value, size_t size)
{
    dx_cache_item item = {0};
    item.key = key;
    item.key_size = strlen(key);
    item.value = value;
    item.value_size = size;
    return item;
}

/* Put text under a key, with up to two tags. */
static int put(dx_cache *k, const char *key, const char *text, const char *tag1, const char *tag2, uint64_t now)
{
    dx_cache_item item = item_of(key, text, strlen(text));
    dx_cache_tag tags[2];
    item.tags = tags;
    if (tag1) tags[item.tag_count].data = tag1, tags[item.tag_count++].size = strlen(tag1);
    if (tag2) tags[item.tag_count].data = tag2, tags[item.tag_count++].size = strlen(tag2);
    return dx_cache_put(k, NULL, &item, now, NULL);
}

/* The result of get for a key, whose value must be this text if it is there. */
static int get(dx_cache *k, const char *key, const char *text, uint64_t now)
{
    dx_cache_view v;
    int result = dx_cache_get(k, key, strlen(key), now, &v);
    if (result == DX_CACHE_OK || result == DX_CACHE_ESTALE) {
        DX_CHECK_EQ(v.value_size, strlen(text));
        DX_CHECK_MEM(v.value, text, v.value_size);
        DX_CHECK_EQ((uintptr_t)v.value % 16, 0);
    }
    dx_cache_release(k, &v);
    return result;
}

static int begin(dx_cache *k, const char *key, uint64_t now, dx_cache_ticket *t)
{
    dx_cache_view v;
    int result = dx_cache_begin(k, key, strlen(key), now, &v, t);
    dx_cache_release(k, &v);
    return result;
}

static int poll_(dx_cache *k, const char *key, uint64_t now, dx_cache_ticket *t)
{
    dx_cache_view v;
    int result = dx_cache_poll(k, key, strlen(key), now, &v, t);
    dx_cache_release(k, &v);
    return result;
}

static int answer(dx_cache *k, dx_cache_ticket *t, const char *key, const char *text, const char *tag, uint64_t now)
{
    dx_cache_item item = item_of(key, text, strlen(text));
    dx_cache_tag one = {tag, tag ? strlen(tag) : 0};
    item.tags = &one;
    item.tag_count = tag != NULL;
    return dx_cache_put(k, t, &item, now, NULL);
}

static dx_cache_stats stats(dx_cache *k)
{
    dx_cache_stats s;
    dx_cache_get_stats(k, &s);
    return s;
}

/* Check the arena: blocks are contiguous, no two free ones adjacent, and only entries hold memory. */
static void check_arena(dx_cache *k)
{
    uint32_t at = 0, before = 0;
    bool was_free = false;
    while (k->arena_[at].units) {
        bool is_free = (k->arena_[at].before & DX_CACHE_P_IS_FREE) != 0;
        DX_CHECK_EQ(k->arena_[at].before & ~DX_CACHE_P_IS_FREE, before);
        DX_CHECK(!is_free || !was_free);
        was_free = is_free;
        before = k->arena_[at].units;
        at += before;
    }
    DX_CHECK_EQ(k->arena_[at].before, before);
}

/* >>eternal cache ------------------------------------------------------ */
DX_TEST(ec_1_ec_3_a_record_has_etag_time_size_hits_and_is_found_by_walking)
{
    dx_cache *k = make_small(0, 0);
    dx_cache_view v;
    dx_cache_stats s;
    uint32_t cursor = 0, seen = 0;
    uint8_t hash[32];
    OK(put(k, "/a", "first", NULL, NULL, 1000));
    OK(put(k, "/b", "second!", NULL, NULL, 2000));
    OK(get(k, "/a", "first", 2500));
    OK(get(k, "/a", "first", 2501));
    DX_CHECK_EQ(get(k, "/c", "", 2501), DX_CACHE_ENOTFOUND);
    while (dx_cache_next(k, &cursor, &v) == DX_CACHE_OK) {
        bool is_a = v.key_size == 2 && memcmp(v.key, "/a", 2) == 0;
        dx_cas_hash(v.value, v.value_size, (dx_cas_id *)(void *)hash);
        DX_CHECK_MEM(v.hash, hash, 32);
        DX_CHECK_EQ(v.time_ms, is_a ? 1000 : 2000);
        DX_CHECK_EQ(v.expires_ms, v.time_ms + 604800000);
        DX_CHECK_EQ(v.hits, is_a ? 2 : 0);
        DX_CHECK_EQ(v.value_size, is_a ? 5 : 7);
        seen++;
        dx_cache_release(k, &v);
    }
    DX_CHECK_EQ(seen, 2);
    s = stats(k);
    DX_CHECK_EQ(s.entries, 2);
    DX_CHECK_EQ(s.bytes, 2 + 5 + 2 + 7);
    DX_CHECK_EQ(s.hits, 2);
    DX_CHECK_EQ(s.misses, 1);
    DX_CHECK_EQ(s.puts, 2);
    OK(dx_cache_remove(k, "/a", 2));
    DX_CHECK_EQ(dx_cache_remove(k, "/a", 2), DX_CACHE_ENOTFOUND);
    DX_CHECK_EQ(get(k, "/a", "", 3000), DX_CACHE_ENOTFOUND);
    dx_cache_invalidate_all(k);
    DX_CHECK_EQ(get(k, "/b", "", 3000), DX_CACHE_ENOTFOUND);
    drop(k);
}

DX_TEST(ec_2_w_16_defaults_and_options_are_honoured)
{
    dx_cache_desc desc = {0};
    dx_cache *k = make(&desc);
    DX_CHECK_EQ(k->desc_.bytes_max, 52428800);
    DX_CHECK_EQ(k->desc_.entries_max, 100);
    DX_CHECK_EQ(k->desc_.ttl_ms, 604800000);
    drop(k);
    memset(&desc, 0, sizeof desc);
    desc.ttl_ms = 10;
    desc.entries_max = 3;
    desc.bytes_max = 100;
    k = make(&desc);
    OK(put(k, "a", "1", NULL, NULL, 5));
    OK(get(k, "a", "1", 14));
    DX_CHECK_EQ(get(k, "a", "1", 15), DX_CACHE_ESTALE);
    drop(k);
}

DX_TEST(ec_4_ec_11_etags_are_strong_and_compared_as_http_does)
{
    dx_cache *k = make_small(0, 0);
    dx_cache_view v, other;
    char tag[67], field[300];
    size_t i;
    OK(put(k, "/", "body", NULL, NULL, 1));
    OK(put(k, "/2", "body", NULL, NULL, 1));
    OK(dx_cache_get(k, "/", 1, 1, &v));
    OK(dx_cache_get(k, "/2", 2, 1, &other));
    dx_cache_etag(&v, tag);
    DX_CHECK_EQ(strlen(tag), 66);
    DX_CHECK(tag[0] == '"' && tag[65] == '"');
    DX_CHECK_MEM(v.hash, other.hash, 32); /* equal content, equal ETag */
    DX_CHECK(dx_cache_etag_matches(&v, tag, 66));
    DX_CHECK(dx_cache_etag_matches(&v, "*", 1));
    snprintf(field, sizeof field, "W/%s", tag);
    DX_CHECK(dx_cache_etag_matches(&v, field, strlen(field)));
    snprintf(field, sizeof field, "\"x\", \"\" ,W/\"y,\\z\",\t%s", tag);
    DX_CHECK(dx_cache_etag_matches(&v, field, strlen(field)));
    for (i = 0; i < strlen(field); i++) DX_CHECK(!dx_cache_etag_matches(&v, field, i)); /* truncated anywhere: no match */
    tag[5] ^= 1;
    DX_CHECK(!dx_cache_etag_matches(&v, tag, 66));
    DX_CHECK(!dx_cache_etag_matches(&v, tag + 1, 64)); /* without quotes */
    DX_CHECK(!dx_cache_etag_matches(&v, "", 0));
    dx_cache_release(k, &v);
    dx_cache_release(k, &other);
    DX_CHECK(!dx_cache_etag_matches(&v, "*", 1)); /* an empty field */
    drop(k);
}

DX_TEST(ec_5_w_16_not_modified_renews_and_without_an_entry_is_an_error)
{
    dx_cache_desc desc = {0};
    dx_cache_ticket t;
    dx_cache_view v;
    desc.ttl_ms = 100;
    dx_cache *k = make(&desc);
    OK(put(k, "/", "0123456789", NULL, NULL, 0));
    DX_CHECK_EQ(dx_cache_begin(k, "/", 1, 100, &v, &t), DX_CACHE_COMPUTE);
    DX_CHECK_EQ(v.value_size, 10); /* to revalidate, or to show offline */
    OK(dx_cache_renew(k, &t, &v, 150, 0));
    dx_cache_release(k, &v);
    OK(get(k, "/", "0123456789", 249));
    DX_CHECK_EQ(stats(k).saved_bytes, 10);
    DX_CHECK_EQ(stats(k).renewals, 1);
    DX_CHECK_EQ(dx_cache_begin(k, "/x", 2, 100, &v, &t), DX_CACHE_COMPUTE);
    DX_CHECK(!v.value);
    DX_CHECK_EQ(dx_cache_renew(k, &t, &v, 150, 0), DX_CACHE_ENOTFOUND); /* a 304 to a request that was not made */
    DX_CHECK_EQ(begin(k, "/x", 150, &t), DX_CACHE_COMPUTE);             /* fetch all of it */
    OK(answer(k, &t, "/x", "new", NULL, 151));
    /* The entry was replaced or removed during the request. */
    DX_CHECK_EQ(dx_cache_begin(k, "/", 1, 260, &v, &t), DX_CACHE_COMPUTE);
    OK(put(k, "/", "newer", NULL, NULL, 261));
    DX_CHECK_EQ(dx_cache_renew(k, &t, &v, 262, 0), DX_CACHE_EOUTDATED);
    DX_CHECK_MEM(v.value, "0123456789", 10);
    dx_cache_release(k, &v);
    OK(get(k, "/", "newer", 300));
    drop(k);
}

DX_TEST(ec_6_ec_7_patches_and_full_answers_are_counted)
{
    dx_cache *k = make_small(0, 0);
    dx_cache_item item = item_of("/", "0123456789", 10);
    item.patch_size = 3;
    OK(dx_cache_put(k, NULL, &item, 1, NULL));
    item.patch_size = 30; /* larger than the content: nothing saved */
    OK(dx_cache_put(k, NULL, &item, 2, NULL));
    OK(put(k, "/", "full", NULL, NULL, 3));
    DX_CHECK_EQ(stats(k).puts, 3);
    DX_CHECK_EQ(stats(k).patches, 2);
    DX_CHECK_EQ(stats(k).saved_bytes, 7);
    drop(k);
}

DX_TEST(ec_8_ec_10_expired_is_stale_not_deleted_and_serves_offline)
{
    dx_cache_desc desc = {0};
    dx_cache_ticket t;
    desc.ttl_ms = 10;
    dx_cache *k = make(&desc);
    OK(put(k, "/", "good", NULL, NULL, 0));
    DX_CHECK_EQ(get(k, "/", "good", 10), DX_CACHE_ESTALE);
    DX_CHECK_EQ(begin(k, "/", 10, &t), DX_CACHE_COMPUTE);
    OK(dx_cache_fail(k, &t, DX_CACHE_ESYS, 11)); /* the network is down */
    DX_CHECK_EQ(get(k, "/", "good", 1000000), DX_CACHE_ESTALE);
    drop(k);
    desc.drop_expired = true;
    k = make(&desc);
    OK(put(k, "/", "good", NULL, NULL, 0));
    OK(get(k, "/", "good", 9));
    DX_CHECK_EQ(get(k, "/", "good", 10), DX_CACHE_ENOTFOUND);
    DX_CHECK_EQ(stats(k).entries, 0);
    drop(k);
}

DX_TEST(ec_9_w_16_quota_evicts_the_least_recently_used_to_80_percent_with_the_new_one_counted_in)
{
    dx_cache *k = make_small(0, 10);
    char key[8];
    unsigned i;
    for (i = 0; i < 10; i++) {
        snprintf(key, sizeof key, "k%u", i);
        OK(put(k, key, "v", NULL, NULL, i));
    }
    OK(get(k, "k0", "v", 20)); /* used: stays */
    OK(put(k, "new", "v", NULL, NULL, 21));
    DX_CHECK_EQ(stats(k).entries, 8);
    DX_CHECK_EQ(stats(k).evicted, 3);
    OK(get(k, "k0", "v", 22));
    OK(get(k, "new", "v", 22)); /* no hits, but new */
    for (i = 1; i < 4; i++) {
        snprintf(key, sizeof key, "k%u", i);
        DX_CHECK_EQ(get(k, key, "v", 22), DX_CACHE_ENOTFOUND);
    }
    drop(k);
    k = make_small(1000, 100);
    static char big[1001];
    memset(big, 'x', 1000);
    big[298] = 0;
    OK(put(k, "a1", big, NULL, NULL, 1));
    OK(put(k, "b1", big, NULL, NULL, 1));
    OK(put(k, "c1", big, NULL, NULL, 1)); /* 900 */
    big[298] = 'x';
    big[198] = 0;
    OK(put(k, "d1", big, NULL, NULL, 1)); /* 1,100: down to 800 */
    DX_CHECK_EQ(stats(k).bytes, 800);
    DX_CHECK_EQ(get(k, "a1", "", 2), DX_CACHE_ENOTFOUND);
    big[198] = 'x';
    big[998] = 0;
    OK(put(k, "e1", big, NULL, NULL, 1)); /* as large as the quota: alone */
    DX_CHECK_EQ(stats(k).bytes, 1000);
    DX_CHECK_EQ(stats(k).entries, 1);
    OK(put(k, "e1", "small", NULL, NULL, 1)); /* the entry it replaces does not count */
    DX_CHECK_EQ(stats(k).evicted, 4);
    big[998] = 'x';
    big[999] = 0;
    DX_CHECK_EQ(put(k, "f1", big, NULL, NULL, 1), DX_CACHE_ETOOBIG);
    OK(get(k, "e1", "small", 2)); /* and nothing was evicted for it */
    check_arena(k);
    drop(k);
}

DX_TEST(w_15_a_hit_never_brings_back_what_was_replaced_or_removed)
{
    dx_cache *k = make_small(0, 0);
    dx_cache_view old, again;
    OK(put(k, "/", "old", NULL, NULL, 1));
    OK(dx_cache_get(k, "/", 1, 2, &old)); /* the reader holds it ... */
    OK(put(k, "/", "new", NULL, NULL, 3));
    DX_CHECK_MEM(old.value, "old", 3);
    dx_cache_release(k, &old); /* ... and releases it after the update */
    OK(get(k, "/", "new", 4));
    OK(dx_cache_get(k, "/", 1, 2, &again));
    OK(dx_cache_remove(k, "/", 1));
    DX_CHECK_MEM(again.value, "new", 3);
    dx_cache_release(k, &again);
    DX_CHECK_EQ(get(k, "/", "", 5), DX_CACHE_ENOTFOUND);
    DX_CHECK_EQ(stats(k).entries, 0);
    DX_CHECK_EQ(stats(k).bytes, 0);
    check_arena(k);
    drop(k);
}

/* >>database cache ----------------------------------------------------- */
DX_TEST(dt_2_a_view_is_shared_immutable_and_lives_until_it_is_released)
{
    dx_cache *k = make_small(4096, 4);
    dx_cache_view a, b;
    char key[8];
    OK(put(k, "q", "rows", "t", NULL, 1));
    OK(dx_cache_get(k, "q", 1, 2, &a));
    OK(dx_cache_get(k, "q", 1, 2, &b));
    DX_CHECK(a.value == b.value);
    dx_cache_invalidate(k, "t", 1);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "%u", i);
        OK(put(k, key, "other rows", NULL, NULL, 3));
    }
    DX_CHECK_MEM(a.value, "rows", 4);
    DX_CHECK_MEM(a.key, "q", 1);
    dx_cache_release(k, &a);
    DX_CHECK_MEM(b.value, "rows", 4);
    dx_cache_release(k, &b);
    dx_cache_release(k, &b); /* once more: no effect */
    check_arena(k);
    drop(k);
}

DX_TEST(dt_3_p18_the_same_key_returns_the_same_bytes_and_a_miss_is_cached)
{
    dx_cache *k = make_small(0, 0);
    dx_cache_ticket t;
    dx_cache_item item = item_of("q", "answer", 6);
    dx_cache_view v, w;
    DX_CHECK_EQ(begin(k, "q", 1, &t), DX_CACHE_COMPUTE);
    OK(dx_cache_put(k, &t, &item, 2, &v)); /* the computing caller gets the stored bytes */
    OK(dx_cache_begin(k, "q", 1, 3, &w, &t));
    DX_CHECK(v.value == w.value && v.value_size == 6);
    DX_CHECK_MEM(v.value, "answer", 6);
    dx_cache_release(k, &v);
    dx_cache_release(k, &w);
    DX_CHECK_EQ(stats(k).misses, 1);
    DX_CHECK_EQ(stats(k).hits, 1);
    drop(k);
}

static int wakes;
static void count_wake(void *user)
{
    (void)user;
    wakes++;
}

DX_TEST(dt_3_single_flight_one_computes_the_others_wait)
{
    dx_cache_desc desc = {0};
    dx_cache_ticket t, w[3], late;
    desc.wake = count_wake;
    desc.flight_ms = 100;
    dx_cache *k = make(&desc);
    wakes = 0;
    DX_CHECK_EQ(begin(k, "q", 0, &t), DX_CACHE_COMPUTE);
    for (int i = 0; i < 3; i++) DX_CHECK_EQ(begin(k, "q", 1, &w[i]), DX_CACHE_WAIT);
    DX_CHECK_EQ(poll_(k, "q", 2, &w[0]), DX_CACHE_WAIT);
    DX_CHECK_EQ(begin(k, "other", 2, &late), DX_CACHE_COMPUTE); /* another key does not wait */
    OK(answer(k, &t, "q", "rows", NULL, 3));
    DX_CHECK_EQ(wakes, 1);
    for (int i = 0; i < 3; i++) OK(poll_(k, "q", 4, &w[i]));
    DX_CHECK_EQ(answer(k, &t, "q", "again", NULL, 5), DX_CACHE_EOUTDATED); /* a ticket is valid once */
    /* The computation fails: waiting callers get the error, later ones start again. */
    DX_CHECK_EQ(begin(k, "r", 5, &t), DX_CACHE_COMPUTE);
    DX_CHECK_EQ(begin(k, "r", 5, &w[0]), DX_CACHE_WAIT);
    OK(dx_cache_fail(k, &t, -77, 6));
    DX_CHECK_EQ(poll_(k, "r", 7, &w[0]), -77);
    DX_CHECK_EQ(begin(k, "r", 7, &w[1]), DX_CACHE_COMPUTE);
    DX_CHECK_EQ(poll_(k, "r", 7, &w[0]), -77); /* the ticket still belongs to the failed computation */
    OK(answer(k, &w[1], "r", "good", NULL, 8));
    /* It dies: after flight_ms the next caller computes, and a late result of the dead one is refused. */
    DX_CHECK_EQ(begin(k, "s", 10, &t), DX_CACHE_COMPUTE);
    DX_CHECK_EQ(begin(k, "s", 109, &w[0]), DX_CACHE_WAIT);
    DX_CHECK_EQ(poll_(k, "s", 110, &w[0]), DX_CACHE_COMPUTE);
    DX_CHECK_EQ(begin(k, "s", 111, &w[1]), DX_CACHE_WAIT);
    DX_CHECK_EQ(answer(k, &t, "s", "from the dead", NULL, 112), DX_CACHE_EOUTDATED);
    DX_CHECK_EQ(get(k, "s", "", 112), DX_CACHE_ENOTFOUND);
    DX_CHECK_EQ(poll_(k, "s", 112, &w[1]), DX_CACHE_WAIT); /* it did not end the new computation */
    OK(answer(k, &w[0], "s", "alive", NULL, 113));
    OK(poll_(k, "s", 114, &w[1]));
    drop(k);
}

DX_TEST(dt_3_too_many_flights_and_what_is_too_large)
{
    dx_cache_desc desc = {0};
    dx_cache_ticket t[3], w;
    desc.flights_max = 2;
    desc.bytes_max = 64;
    desc.flight_ms = 50;
    dx_cache *k = make(&desc);
    DX_CHECK_EQ(begin(k, "a", 0, &t[0]), DX_CACHE_COMPUTE);
    DX_CHECK_EQ(begin(k, "b", 0, &t[1]), DX_CACHE_COMPUTE);
    DX_CHECK_EQ(begin(k, "c", 0, &t[2]), DX_CACHE_EAGAIN);
    DX_CHECK_EQ(begin(k, "b", 0, &w), DX_CACHE_WAIT);
    DX_CHECK_EQ(answer(k, &t[1], "b", "0123456789012345678901234567890123456789012345678901234567890123", NULL, 1),
                DX_CACHE_ETOOBIG);
    DX_CHECK_EQ(poll_(k, "b", 1, &w), DX_CACHE_ETOOBIG); /* compute it without caching: it is not stored */
    DX_CHECK_EQ(begin(k, "c", 1, &t[2]), DX_CACHE_COMPUTE);
    DX_CHECK_EQ(begin(k, "d", 40, &w), DX_CACHE_EAGAIN);
    DX_CHECK_EQ(begin(k, "d", 50, &w), DX_CACHE_COMPUTE); /* "a" counts as dead now */
    DX_CHECK_EQ(answer(k, &t[0], "a", "x", NULL, 50), DX_CACHE_EOUTDATED);
    check_arena(k);
    drop(k);
}

DX_TEST(dt_4_p19_w_44_an_invalidation_removes_exactly_the_dependent_entries)
{
    dx_cache *k = make_small(0, 0);
    OK(put(k, "q1", "1", "a", NULL, 0));
    OK(put(k, "q2", "2", "a:b", NULL, 0));
    OK(put(k, "q3", "3", "ab", "a", 0));
    OK(put(k, "q4", "4", "b", NULL, 0));
    OK(put(k, "q5", "5", NULL, NULL, 0));
    dx_cache_invalidate(k, "a", 1);
    DX_CHECK_EQ(get(k, "q1", "1", 1), DX_CACHE_ENOTFOUND);
    OK(get(k, "q2", "2", 1));
    DX_CHECK_EQ(get(k, "q3", "3", 1), DX_CACHE_ENOTFOUND);
    OK(get(k, "q4", "4", 1));
    OK(get(k, "q5", "5", 1));
    dx_cache_notify(k, "b:UPDATE", 8);
    DX_CHECK_EQ(get(k, "q4", "4", 1), DX_CACHE_ENOTFOUND);
    dx_cache_notify(k, "a:b", 3); /* a table with that name, not an operation */
    DX_CHECK_EQ(get(k, "q2", "2", 1), DX_CACHE_ENOTFOUND);
    OK(put(k, "q4", "4", "b", NULL, 2));
    dx_cache_notify(k, ":insert", 7); /* no table */
    dx_cache_notify(k, "", 0);
    OK(get(k, "q4", "4", 2));
    dx_cache_notify(k, "b:truncate", 10);
    DX_CHECK_EQ(get(k, "q4", "4", 2), DX_CACHE_ENOTFOUND);
    OK(get(k, "q5", "5", 2));
    while (dx_cache_sweep(k, 1)) {}
    DX_CHECK_EQ(stats(k).entries, 1);
    check_arena(k);
    drop(k);
}

DX_TEST(dt_5_p19_w_44_what_was_loaded_before_an_invalidation_is_not_stored_after_it)
{
    dx_cache_desc desc = {0};
    dx_cache_ticket t, u;
    desc.tags_max = 2;
    dx_cache *k = make(&desc);
    DX_CHECK_EQ(begin(k, "q", 0, &t), DX_CACHE_COMPUTE);
    dx_cache_invalidate(k, "rows", 4); /* of a tag never seen before */
    DX_CHECK_EQ(answer(k, &t, "q", "old rows", "rows", 1), DX_CACHE_EOUTDATED);
    DX_CHECK_EQ(get(k, "q", "", 1), DX_CACHE_ENOTFOUND);
    DX_CHECK_EQ(begin(k, "q", 1, &t), DX_CACHE_COMPUTE);
    dx_cache_invalidate(k, "users", 5); /* another tag: no effect */
    OK(answer(k, &t, "q", "rows", "rows", 1));
    DX_CHECK_EQ(begin(k, "p", 1, &t), DX_CACHE_COMPUTE);
    OK(dx_cache_remove(k, "q", 1));
    DX_CHECK_EQ(dx_cache_remove(k, "p", 1), DX_CACHE_ENOTFOUND); /* the key itself, during its computation */
    DX_CHECK_EQ(begin(k, "p", 1, &u), DX_CACHE_COMPUTE);         /* and no caller waits for a result that will be refused */
    DX_CHECK_EQ(answer(k, &t, "p", "old", NULL, 1), DX_CACHE_EOUTDATED);
    OK(answer(k, &u, "p", "new", NULL, 1));
    DX_CHECK_EQ(begin(k, "x", 1, &t), DX_CACHE_COMPUTE);
    dx_cache_invalidate_all(k);
    DX_CHECK_EQ(begin(k, "x", 1, &u), DX_CACHE_COMPUTE);
    DX_CHECK_EQ(answer(k, &t, "x", "old", NULL, 1), DX_CACHE_EOUTDATED);
    /* More invalidated tags than the table holds: refused too often rather than too rarely. */
    DX_CHECK_EQ(begin(k, "y", 1, &t), DX_CACHE_COMPUTE);
    dx_cache_invalidate(k, "1", 1);
    dx_cache_invalidate(k, "2", 1);
    dx_cache_invalidate(k, "3", 1);
    DX_CHECK_EQ(answer(k, &t, "y", "old", "1", 1), DX_CACHE_EOUTDATED);
    DX_CHECK_EQ(begin(k, "y", 1, &t), DX_CACHE_COMPUTE);
    OK(answer(k, &t, "y", "new", "1", 1));
    /* A put without a ticket is newer than the current computation. */
    DX_CHECK_EQ(begin(k, "z", 1, &t), DX_CACHE_COMPUTE);
    OK(put(k, "z", "newer", NULL, NULL, 1));
    DX_CHECK_EQ(answer(k, &t, "z", "older", NULL, 1), DX_CACHE_EOUTDATED);
    OK(get(k, "z", "newer", 1));
    DX_CHECK(stats(k).outdated >= 5);
    drop(k);
}

DX_TEST(dt_5_all_tags_in_use)
{
    dx_cache_desc desc = {0};
    dx_cache_ticket t;
    desc.tags_max = 2;
    dx_cache *k = make(&desc);
    OK(put(k, "a", "1", "x", "y", 0));
    DX_CHECK_EQ(put(k, "b", "1", "z", NULL, 0), DX_CACHE_ENOMEM);
    DX_CHECK_EQ(begin(k, "c", 0, &t), DX_CACHE_COMPUTE);
    dx_cache_invalidate(k, "z", 1); /* it has no slot in the table, and still counts */
    DX_CHECK_EQ(answer(k, &t, "c", "1", "x", 0), DX_CACHE_EOUTDATED);
    OK(get(k, "a", "1", 0));
    dx_cache_invalidate(k, "x", 1);
    OK(put(k, "b", "1", "z", NULL, 0)); /* evicts "a", which had the tags */
    OK(get(k, "b", "1", 0));
    drop(k);
}

DX_TEST(dt_6_bounded_by_entries_and_bytes)
{
    dx_cache *k = make_small(100000, 1000);
    uint64_t seed = 1;
    static char text[3000];
    memset(text, 'v', sizeof text - 1);
    for (unsigned i = 0; i < 20000; i++) {
        char key[16];
        size_t n;
        n = dx_test_below(&seed, i % 10 ? 40 : 2900);
        snprintf(key, sizeof key, "%u", i);
        text[n] = 0;
        OK(put(k, key, text, "t", NULL, i));
        text[n] = 'v';
        DX_CHECK(stats(k).bytes <= 100000 && stats(k).entries <= 1000);
    }
    check_arena(k);
    drop(k);
}

DX_TEST(dt_7_w_44_keys_of_different_parts_are_different)
{
    uint8_t a[64], b[64];
    size_t na = 0, nb = 0;
    OK(dx_cache_key_add(a, sizeof a, &na, "a\0", 2));
    OK(dx_cache_key_add(b, sizeof b, &nb, "a", 1));
    OK(dx_cache_key_add(b, sizeof b, &nb, "", 0));
    DX_CHECK(na != nb || memcmp(a, b, na) != 0);
    DX_CHECK_EQ(na, 6);
    DX_CHECK_EQ(nb, 9);
    DX_CHECK_EQ(dx_cache_key_add(a, 9, &na, "", 0), DX_CACHE_ENOSPACE);
    OK(dx_cache_key_add(a, 10, &na, "", 0));
    DX_CHECK_EQ(dx_cache_key_add(a, 10, &na, "", 0), DX_CACHE_ENOSPACE);
}

DX_TEST(dt_7_keys_with_the_same_hash_are_compared)
{
    dx_cache *k = make_small(0, 0);
    OK(put(k, "aa", "1", NULL, NULL, 0));
    OK(put(k, "bb", "2", NULL, NULL, 0));
    /* Forge a collision: move "bb" to the hash of "aa". */
    uint32_t i = dx_cache_p_find(k, dx_cache_p_hash(k, "aa", 2), "aa", 2);
    DX_CHECK(i != UINT32_MAX);
    DX_CHECK_EQ(dx_cache_p_find(k, k->entries_[i].hash, "bb", 2), UINT32_MAX);
    DX_CHECK_EQ(dx_cache_p_find(k, k->entries_[i].hash, "a", 1), UINT32_MAX);
    drop(k);
}

DX_TEST(dt_8_after_a_reconnect_everything_is_invalid)
{
    dx_cache *k = make_small(0, 1000);
    char key[16];
    for (unsigned i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "%u", i);
        OK(put(k, key, "v", i % 2 ? "t" : NULL, NULL, 0));
    }
    dx_cache_invalidate_all(k);
    for (unsigned i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "%u", i);
        DX_CHECK_EQ(get(k, key, "v", 1), DX_CACHE_ENOTFOUND);
    }
    OK(put(k, "1", "new", NULL, NULL, 2));
    while (dx_cache_sweep(k, 100)) {}
    DX_CHECK_EQ(stats(k).entries, 1);
    OK(get(k, "1", "new", 3));
    check_arena(k);
    drop(k);
}

DX_TEST(dt_9_p18_a_failure_is_not_cached)
{
    dx_cache *k = make_small(0, 0);
    dx_cache_ticket t;
    for (int i = 0; i < 10; i++) {
        DX_CHECK_EQ(begin(k, "q", i, &t), DX_CACHE_COMPUTE);
        DX_CHECK_EQ(dx_cache_fail(k, &t, 0, i), DX_CACHE_EINVAL); /* no error */
        OK(dx_cache_fail(k, &t, -1, i));
        DX_CHECK_EQ(get(k, "q", "", i), DX_CACHE_ENOTFOUND);
    }
    DX_CHECK_EQ(stats(k).failed, 10);
    DX_CHECK_EQ(stats(k).entries, 0);
    drop(k);
}

DX_TEST(dt_bad_arguments)
{
    dx_cache_desc desc = {0};
    dx_cache_view v;
    dx_cache_ticket t = {0, 0};
    static char long_key[65537];
    dx_cache *k = make_small(1 << 20, 10);
    dx_cache_item item = item_of("k", "v", 1);
    dx_cache_tag tags[9];
    DX_CHECK_EQ(dx_cache_get(k, "", 0, 0, &v), DX_CACHE_EINVAL);
    DX_CHECK_EQ(dx_cache_get(k, NULL, 1, 0, &v), DX_CACHE_EINVAL);
    DX_CHECK_EQ(dx_cache_get(k, long_key, 65536, 0, &v), DX_CACHE_EINVAL);
    DX_CHECK_EQ(dx_cache_get(k, long_key, 65535, 0, &v), DX_CACHE_ENOTFOUND);
    DX_CHECK_EQ(dx_cache_put(k, &t, &item, 0, NULL), DX_CACHE_EINVAL); /* an empty ticket */
    for (int i = 0; i < 9; i++) tags[i].data = "t", tags[i].size = 1;
    item.tags = tags;
    item.tag_count = 9;
    DX_CHECK_EQ(dx_cache_put(k, NULL, &item, 0, NULL), DX_CACHE_EINVAL);
    item.tag_count = 8; /* eight times the same one: allowed */
    OK(dx_cache_put(k, NULL, &item, 0, NULL));
    dx_cache_invalidate(k, "t", 1);
    DX_CHECK_EQ(get(k, "k", "v", 0), DX_CACHE_ENOTFOUND);
    DX_CHECK_EQ(dx_cache_sweep(k, 10), 1);
    tags[0].size = DX_CACHE_TAG_MAX + 1;
    DX_CHECK_EQ(dx_cache_put(k, NULL, &item, 0, NULL), DX_CACHE_EINVAL);
    DX_CHECK_EQ(begin(k, "k", 0, &t), DX_CACHE_COMPUTE);
    item.key = "other";
    item.key_size = 5;
    item.tag_count = 0;
    DX_CHECK_EQ(dx_cache_put(k, &t, &item, 0, NULL), DX_CACHE_EINVAL); /* another key's ticket */
    drop(k);
    desc.entry_tags_max = 33;
    DX_CHECK_EQ(dx_cache_memory_size(&desc), 0);
    desc.entry_tags_max = 0;
    desc.name = "a name of more than thirty-two bytes";
    DX_CHECK_EQ(dx_cache_memory_size(&desc), 0);
    desc.name = NULL;
    desc.memory = long_key;
    desc.memory_size = sizeof long_key;
    dx_cache small;
    DX_CHECK_EQ(dx_cache_init(&small, &desc), DX_CACHE_ENOMEM);
}

DX_TEST(dt_2_views_that_are_never_released_fill_the_memory_and_say_so)
{
    dx_cache_desc desc = {0};
    desc.entries_max = 4;
    desc.held_max = 4;
    dx_cache *k = make(&desc);
    dx_cache_view held[8];
    unsigned n = 0;
    int error = DX_CACHE_OK;
    for (; n < 8 && error == DX_CACHE_OK; n++) {
        dx_cache_item item = item_of("k", "v", 1);
        error = dx_cache_put(k, NULL, &item, 0, &held[n]);
    }
    DX_CHECK_EQ(n, 8);
    OK(error);
    DX_CHECK_EQ(put(k, "k", "w", NULL, NULL, 0), DX_CACHE_ENOMEM);
    for (n = 0; n < 8; n++) dx_cache_release(k, &held[n]);
    OK(put(k, "k", "w", NULL, NULL, 0));
    OK(get(k, "k", "w", 0));
    check_arena(k);
    drop(k);
}

/* >>model --------------------------------------------------------------- */
/* A straightforward cache: a list, most recently used last. */
enum { MODEL_KEYS = 12, MODEL_TAGS = 4 };
typedef struct model_entry {
    int      key;
    uint8_t  value[64];
    size_t   size;
    unsigned tags; /* one bit each */
    uint64_t expires;
} model_entry;
typedef struct model {
    model_entry e[64];
    int         count, entries_max;
    uint64_t    bytes_max, epoch, tag_epoch[MODEL_TAGS], key_epoch[MODEL_KEYS], all_epoch;
    struct { bool on; uint64_t epoch, deadline; dx_cache_ticket ticket; } flight[MODEL_KEYS];
} model;

static size_t model_bytes(const model_entry *e)
{
    return e->size + 2 + 2 * (size_t)__builtin_popcount(e->tags); /* key "kX"; a tag "X" and its length */
}

static int model_find(const model *m, int key)
{
    for (int i = 0; i < m->count; i++) {
        if (m->e[i].key == key) return i;
    }
    return -1;
}

static void model_remove(model *m, int i)
{
    memmove(&m->e[i], &m->e[i + 1], sizeof m->e[0] * (size_t)(m->count - i - 1));
    m->count--;
}

static void model_touch(model *m, int i)
{
    model_entry e = m->e[i];
    model_remove(m, i);
    m->e[m->count++] = e;
}

static void model_put(model *m, const model_entry *fresh)
{
    uint64_t bytes = model_bytes(fresh), bytes_goal = m->bytes_max;
    int old = model_find(m, fresh->key), goal = m->entries_max;
    if (old >= 0) model_remove(m, old);
    for (int i = 0; i < m->count; i++) bytes += model_bytes(&m->e[i]);
    if (bytes > bytes_goal) bytes_goal = bytes_goal * 4 / 5;
    if (m->count + 1 > goal) goal = goal * 4 / 5;
    while (m->count && (bytes > bytes_goal || m->count + 1 > goal)) {
        bytes -= model_bytes(&m->e[0]);
        model_remove(m, 0);
    }
    m->e[m->count++] = *fresh;
}

static void model_compare(dx_cache *k, const model *m, uint64_t now)
{
    dx_cache_view v;
    uint32_t cursor = 0;
    uint64_t bytes = 0;
    int seen = 0;
    while (dx_cache_sweep(k, 3)) {}
    while (dx_cache_next(k, &cursor, &v) == DX_CACHE_OK) {
        int i = model_find(m, ((const char *)v.key)[1] - 'a');
        DX_CHECK(i >= 0);
        DX_CHECK_EQ(v.value_size, m->e[i].size);
        DX_CHECK_MEM(v.value, m->e[i].value, v.value_size);
        DX_CHECK_EQ(v.expires_ms, m->e[i].expires);
        bytes += model_bytes(&m->e[i]);
        seen++;
        dx_cache_release(k, &v);
    }
    (void)now;
    DX_CHECK_EQ(seen, m->count);
    DX_CHECK_EQ(stats(k).entries, m->count);
    DX_CHECK_EQ(stats(k).bytes, bytes);
    uint32_t i = k->entries_[k->slots_].newer; /* the order of use */
    for (int n = 0; n < m->count; n++, i = k->entries_[i].newer) {
        DX_CHECK_EQ(k->entries_[i].block[DX_CACHE_P_HEAD + 1] - 'a', m->e[n].key);
    }
    check_arena(k);
}

static void model_answer(dx_choices *c, dx_cache *k, model *m, int key, bool with_ticket, uint64_t now)
{
    static const char names[MODEL_TAGS] = {'p', 'q', 'r', 's'};
    char text[2] = {'k', (char)('a' + key)};
    dx_cache_item item = {0};
    dx_cache_tag tags[MODEL_TAGS];
    model_entry fresh;
    uint64_t epoch = with_ticket ? m->flight[key].epoch : m->epoch;
    bool outdated = with_ticket && (epoch < m->all_epoch || epoch < m->key_epoch[key]);
    memset(&fresh, 0, sizeof fresh);
    fresh.key = key;
    fresh.size = (size_t)dx_choose(c, 60);
    fresh.tags = (unsigned)dx_choose(c, 15);
    fresh.expires = now + 1 + dx_choose(c, 20);
    for (size_t i = 0; i < fresh.size; i++) fresh.value[i] = (uint8_t)(now + i * 7 + (unsigned)key);
    for (unsigned i = 0; i < MODEL_TAGS; i++) {
        if (!(fresh.tags >> i & 1)) continue;
        tags[item.tag_count].data = &names[i];
        tags[item.tag_count++].size = 1;
        if (m->tag_epoch[i] > epoch) outdated = true;
    }
    item.key = text;
    item.key_size = 2;
    item.value = fresh.value;
    item.value_size = fresh.size;
    item.tags = tags;
    item.ttl_ms = fresh.expires - now;
    int result = dx_cache_put(k, with_ticket ? &m->flight[key].ticket : NULL, &item, now, NULL);
    m->flight[key].on = false;
    DX_CHECK_EQ(result, outdated ? DX_CACHE_EOUTDATED : DX_CACHE_OK);
    if (!outdated) model_put(m, &fresh);
}

static void model_ask(dx_cache *k, model *m, int key, uint64_t now)
{
    char text[2] = {'k', (char)('a' + key)};
    dx_cache_ticket t;
    dx_cache_view v;
    int i = model_find(m, key);
    int result = dx_cache_begin(k, text, 2, now, &v, &t);
    bool on = m->flight[key].on && now < m->flight[key].deadline && m->flight[key].epoch >= m->all_epoch &&
              m->flight[key].epoch >= m->key_epoch[key];
    DX_CHECK_EQ(result, i >= 0 && now < m->e[i].expires ? DX_CACHE_OK : on ? DX_CACHE_WAIT : DX_CACHE_COMPUTE);
    DX_CHECK_EQ(v.value != NULL, i >= 0);
    if (i >= 0) {
        DX_CHECK_EQ(v.value_size, m->e[i].size);
        DX_CHECK_MEM(v.value, m->e[i].value, v.value_size);
        model_touch(m, i);
    }
    if (result == DX_CACHE_COMPUTE) {
        m->flight[key].on = true;
        m->flight[key].epoch = m->epoch;
        m->flight[key].deadline = now + 25;
        m->flight[key].ticket = t;
    }
    dx_cache_release(k, &v);
}

DX_PROPERTY(p18_p19_any_sequence_of_operations_equals_a_naive_model, 1500)
{
    dx_cache_desc desc = {0};
    model m;
    uint64_t now = 1000, runs = dx_choose(c, 200);
    char text[2] = {'k', 'a'};
    memset(&m, 0, sizeof m);
    desc.entries_max = (uint32_t)dx_choose_range(c, 1, 9);
    desc.bytes_max = dx_choose_range(c, 80, 500);
    desc.flight_ms = 25;
    m.entries_max = (int)desc.entries_max;
    m.bytes_max = desc.bytes_max;
    dx_cache *k = make(&desc);
    while (runs-- > 0) {
        int key = (int)dx_choose(c, MODEL_KEYS - 1), i = model_find(&m, key);
        unsigned tag = (unsigned)dx_choose(c, MODEL_TAGS - 1);
        text[1] = (char)('a' + key);
        switch (dx_choose(c, 8)) {
        case 0: case 1: case 2: model_ask(k, &m, key, now); break;
        case 3: if (m.flight[key].on) model_answer(c, k, &m, key, true, now); break;
        case 4: model_answer(c, k, &m, key, false, now); break;
        case 5:
            dx_cache_invalidate(k, &"pqrs"[tag], 1);
            m.tag_epoch[tag] = ++m.epoch;
            for (int n = m.count; n-- > 0;) {
                if (m.e[n].tags >> tag & 1) model_remove(&m, n);
            }
            break;
        case 6:
            DX_CHECK_EQ(dx_cache_remove(k, text, 2), i >= 0 ? DX_CACHE_OK : DX_CACHE_ENOTFOUND);
            if (i >= 0) model_remove(&m, i);
            m.key_epoch[key] = ++m.epoch;
            k->epoch_++; /* the model counts this one, too */
            break;
        case 7: now += dx_choose(c, 12); break;
        default:
            if (dx_choose(c, 9)) break;
            dx_cache_invalidate_all(k);
            m.all_epoch = ++m.epoch;
            m.count = 0;
        }
        if (dx_choose(c, 7) == 0) model_compare(k, &m, now);
    }
    model_compare(k, &m, now);
    drop(k);
}

/* >>threads ------------------------------------------------------------ */
typedef struct shared {
    pthread_mutex_t mutex;
    dx_cache       *cache;
    unsigned        versions[8], notified[8]; /* per table: the current version; the version that caches were told */
    unsigned        rounds;
} shared;

static void shared_lock(void *user) { pthread_mutex_lock(&((shared *)user)->mutex); }
static void shared_unlock(void *user) { pthread_mutex_unlock(&((shared *)user)->mutex); }

static shared *shared_make(uint32_t entries, uint64_t bytes)
{
    shared *s = (shared *)calloc(1, sizeof *s);
    dx_cache_desc desc = {0};
    pthread_mutex_init(&s->mutex, NULL);
    desc.lock = shared_lock;
    desc.unlock = shared_unlock;
    desc.user = s;
    desc.entries_max = entries;
    desc.bytes_max = bytes;
    s->cache = make(&desc);
    return s;
}

static unsigned read_of(const unsigned *version) { return __atomic_load_n(version, __ATOMIC_SEQ_CST); }

/* Request query number q, which depends on table q % 8 and whose answer has that table's version. It must be at least as new
   as the last invalidation that had returned before. */
static void ask(shared *s, unsigned q)
{
    char key[16], text[64], table[4];
    dx_cache_tag tag = {table, 1};
    dx_cache_ticket t;
    dx_cache_view v;
    dx_cache_item item;
    unsigned least = read_of(&s->notified[q % 8]), got, of;
    int result;
    snprintf(table, sizeof table, "%u", q % 8);
    snprintf(key, sizeof key, "q%u", q);
    result = dx_cache_begin(s->cache, key, strlen(key), 0, &v, &t);
    while (result == DX_CACHE_WAIT) {
        sched_yield();
        result = dx_cache_poll(s->cache, key, strlen(key), 0, &v, &t);
    }
    if (result == DX_CACHE_COMPUTE) {
        memset(text, '.', sizeof text);
        snprintf(text, sizeof text, "%u %u", read_of(&s->versions[q % 8]), q);
        if (q % 4 == 0) sched_yield(); /* computing takes time */
        item = item_of(key, text, sizeof text);
        item.tags = &tag;
        item.tag_count = 1;
        result = dx_cache_put(s->cache, &t, &item, 0, &v);
        if (result == DX_CACHE_EOUTDATED) return;
    }
    DX_CHECK_EQ(result, DX_CACHE_OK);
    DX_CHECK_EQ(sscanf((const char *)v.value, "%u %u", &got, &of), 2);
    DX_CHECK_EQ(of, q);
    DX_CHECK(got >= least);
    dx_cache_release(s->cache, &v);
}

static void *asker(void *user)
{
    shared *s = (shared *)user;
    for (unsigned i = 0; i < s->rounds; i++) ask(s, (i * 7 + (unsigned)(uintptr_t)&i / 64) % 64);
    return NULL;
}

static void *changer(void *user)
{
    shared *s = (shared *)user;
    for (unsigned i = 0; i < s->rounds / 4; i++) {
        char table[4];
        snprintf(table, sizeof table, "%u", i % 8);
        __atomic_add_fetch(&s->versions[i % 8], 1, __ATOMIC_SEQ_CST); /* the row changes, then the notification comes */
        dx_cache_invalidate(s->cache, table, 1);
        __atomic_add_fetch(&s->notified[i % 8], 1, __ATOMIC_SEQ_CST);
        if (i % 50 == 49) dx_cache_invalidate_all(s->cache);
        if (i % 16 == 0) sched_yield();
    }
    return NULL;
}


DX_TEST(p18_p19_threads_that_ask_and_one_that_invalidates)
{
    for (unsigned round = 0; round < 3; round++) {
        shared *s = shared_make(round == 1 ? 20 : 1000, round == 2 ? 2000 : 1 << 20);
        pthread_t t[4];
        s->rounds = 20000;
        for (int i = 0; i < 3; i++) pthread_create(&t[i], NULL, asker, s);
        pthread_create(&t[3], NULL, changer, s);
        for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
        dx_cache_stats all = stats(s->cache);
        DX_CHECK(all.hits > 0 && all.puts > 0);
        while (dx_cache_sweep(s->cache, 100)) {}
        check_arena(s->cache);
        DX_CHECK_EQ(s->cache->reserved_bytes_, 0);
        drop(s->cache);
        pthread_mutex_destroy(&s->mutex);
        free(s);
    }
}

/* 10^6 gets under invalidation load, each answer checked; bench/bench_cache.c measures their latency. */
DX_TEST(p20_a_million_gets_under_invalidation_load_are_right)
{
    enum { KEYS = 4096, TABLES = 64 };
    dx_cache *k = make_small(1 << 20, KEYS);
    uint64_t seed = 1, versions[TABLES] = {0}, hits = 0, stored[KEYS] = {0};
    for (unsigned n = 0; n < 1000000; n++) {
        char key[16], table[4];
        dx_cache_view v;
        uint64_t value[2];
        unsigned q;
        q = dx_test_below(&seed, KEYS);
        size_t size = (size_t)snprintf(key, sizeof key, "q%u", q);
        size_t tag_size = (size_t)snprintf(table, sizeof table, "%u", q % TABLES);
        int result = dx_cache_get(k, key, size, n, &v);
        DX_CHECK_EQ(result, stored[q] == versions[q % TABLES] + 1 ? DX_CACHE_OK : DX_CACHE_ENOTFOUND);
        if (result == DX_CACHE_OK) {
            memcpy(value, v.value, sizeof value);
            DX_CHECK_EQ(value[0], q);
            DX_CHECK_EQ(value[1], versions[q % TABLES]);
            hits++;
            dx_cache_release(k, &v);
        } else {
            dx_cache_tag tag = {table, tag_size};
            dx_cache_item item = {0};
            value[0] = q;
            value[1] = versions[q % TABLES];
            item.key = key;
            item.key_size = size;
            item.value = value;
            item.value_size = sizeof value;
            item.tags = &tag;
            item.tag_count = 1;
            OK(dx_cache_put(k, NULL, &item, n, NULL));
            stored[q] = versions[q % TABLES] + 1;
        }
        if (n % 200 == 0) {
            unsigned t = (unsigned)(seed >> 20) % TABLES;
            versions[t]++;
            tag_size = (size_t)snprintf(table, sizeof table, "%u", t);
            dx_cache_invalidate(k, table, tag_size);
        }
    }
    DX_CHECK(hits > 300000);
    check_arena(k);
    drop(k);
}

/* >>store -------------------------------------------------------------- */
typedef struct disk { /* an in-memory device whose power fails before call number cut_at */
    dx_devices_memory memory;
    dx_cas_device inner;
    long          calls, cut_at;
    long          reads, fail_at; /* this read fails; 0 = none */
    uint8_t       bytes[1 << 18];
} disk;

static bool disk_is_off(disk *d) { return d->cut_at && ++d->calls >= d->cut_at; }
static int disk_read(void *user, uint64_t at, void *out, size_t size, size_t *got)
{
    disk *d = (disk *)user;
    if (++d->reads == d->fail_at) return DX_CAS_ESYS;
    return d->inner.read(d->inner.user, at, out, size, got);
}
static int disk_write(void *user, uint64_t at, const void *data, size_t size)
{
    disk *d = (disk *)user;
    return disk_is_off(d) ? DX_CAS_ESYS : d->inner.write(d->inner.user, at, data, size);
}
static int disk_sync(void *user) { return disk_is_off((disk *)user) ? DX_CAS_ESYS : DX_CAS_OK; }
static int disk_size(void *user, uint64_t *size)
{
    disk *d = (disk *)user;
    return d->inner.size(d->inner.user, size);
}
static int disk_truncate(void *user, uint64_t size)
{
    disk *d = (disk *)user;
    return disk_is_off(d) ? DX_CAS_ESYS : d->inner.truncate(d->inner.user, size);
}

static uint64_t store_memory[(1 << 20) / 8];

static int open_disk(dx_cas_store *s, disk *d)
{
    dx_cas_desc desc = {0};
    dx_cas_device device = {disk_read, disk_write, disk_sync, disk_size, disk_truncate, d, NULL};
    d->memory.data = d->bytes;
    d->memory.capacity = sizeof d->bytes;
    d->inner = dx_devices_memory_device(&d->memory);
    desc.device = device;
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    desc.memory = store_memory;
    desc.memory_size = 40 * 1024; /* small: clearing it takes most of the time */
    return dx_cas_open(s, &desc);
}

DX_TEST(ec_1_dt_5_entries_epochs_and_order_survive_a_restart)
{
    static disk d;
    dx_cas_store s;
    dx_cache_ticket t;
    dx_cache *k = make_small(0, 4);
    dx_cache_view v;
    memset(&d, 0, sizeof d);
    OK(open_disk(&s, &d));
    OK(dx_cache_load(k, &s)); /* nothing yet */
    OK(put(k, "a", "1", "t", "u", 10));
    OK(put(k, "b", "2", "u", NULL, 11));
    OK(put(k, "c", "3", NULL, NULL, 12));
    OK(get(k, "b", "2", 12));
    dx_cache_invalidate(k, "t", 1); /* "a" is gone, and never returns */
    OK(dx_cache_save(k, &s));
    OK(put(k, "d", "4", NULL, NULL, 13)); /* not saved */
    DX_CHECK_EQ(begin(k, "e", 13, &t), DX_CACHE_COMPUTE);
    drop(k);
    dx_cas_close(&s);
    OK(open_disk(&s, &d));
    k = make_small(0, 4);
    OK(dx_cache_load(k, &s));
    DX_CHECK_EQ(dx_cache_load(k, &s), DX_CACHE_EINVAL); /* no longer empty */
    DX_CHECK_EQ(get(k, "a", "1", 20), DX_CACHE_ENOTFOUND);
    DX_CHECK_EQ(get(k, "d", "4", 20), DX_CACHE_ENOTFOUND);
    OK(dx_cache_get(k, "b", 1, 20, &v));
    DX_CHECK_EQ(v.hits, 2);
    DX_CHECK_EQ(v.time_ms, 11);
    dx_cache_release(k, &v);
    OK(get(k, "c", "3", 20));
    DX_CHECK_EQ(stats(k).entries, 2);
    DX_CHECK_EQ(answer(k, &t, "e", "old", NULL, 20), DX_CACHE_EOUTDATED); /* an old ticket */
    DX_CHECK_EQ(begin(k, "e", 20, &t), DX_CACHE_COMPUTE);
    dx_cache_invalidate(k, "u", 1); /* tags of loaded entries work */
    DX_CHECK_EQ(get(k, "b", "2", 20), DX_CACHE_ENOTFOUND);
    OK(dx_cache_remove(k, "c", 1));
    OK(answer(k, &t, "e", "5", NULL, 21));
    OK(dx_cache_save(k, &s));
    uint64_t commits = s.tip_.sequence;
    drop(k);
    k = make_small(0, 4);
    OK(dx_cache_load(k, &s));
    DX_CHECK_EQ(stats(k).entries, 1);
    OK(get(k, "e", "5", 30));
    OK(dx_cache_save(k, &s));
    DX_CHECK_EQ(s.tip_.sequence, commits + 1);
    /* The order: first stored, first evicted. */
    OK(put(k, "f", "6", NULL, NULL, 31));
    OK(put(k, "g", "7", NULL, NULL, 32));
    OK(put(k, "f", "8", NULL, NULL, 33));
    OK(dx_cache_save(k, &s));
    drop(k);
    k = make_small(0, 4);
    OK(dx_cache_load(k, &s));
    OK(put(k, "h", "9", NULL, NULL, 34));
    OK(put(k, "i", "9", NULL, NULL, 34)); /* five: down to three, e and g go */
    DX_CHECK_EQ(get(k, "e", "5", 35), DX_CACHE_ENOTFOUND);
    DX_CHECK_EQ(get(k, "g", "7", 35), DX_CACHE_ENOTFOUND);
    OK(get(k, "f", "8", 35));
    drop(k);
    OK(dx_cas_verify(&s, NULL, NULL, NULL));
    dx_cas_close(&s);
}

DX_TEST(ec_1_document_entry_and_epochs)
{
    static disk d;
    uint8_t expected[256], record[256];
    dx_cas_store s;
    dx_cas_ref ref;
    dx_cache_desc desc = {0};
    size_t size, n;
    memset(&d, 0, sizeof d);
    desc.ttl_ms = 500;
    OK(open_disk(&s, &d));
    dx_cache *k = make(&desc);
    OK(put(k, "k", "value", "a", "bc", 1000));
    OK(dx_cache_save(k, &s));
    OK(dx_cas_ref_get(&s, "cache/0", 0, &ref));
    OK(dx_cas_get(&s, &ref.root, record, sizeof record, &size));
    n = dx_test_vector("docs/formats/cache.md", "entry", expected, sizeof expected);
    DX_CHECK_EQ(size, n);
    DX_CHECK_MEM(record, expected, n);
    dx_cache_invalidate(k, "a", 1);
    OK(dx_cache_save(k, &s));
    DX_CHECK_EQ(dx_cas_ref_get(&s, "cache/0", 0, &ref), DX_CAS_ENOTFOUND);
    OK(dx_cas_ref_get(&s, "cache/epochs", 0, &ref));
    OK(dx_cas_get(&s, &ref.root, record, sizeof record, &size));
    n = dx_test_vector("docs/formats/cache.md", "epochs", expected, sizeof expected);
    DX_CHECK_EQ(size, n);
    DX_CHECK_MEM(record, expected, n);
    drop(k);
    dx_cas_close(&s);
}

DX_TEST(ec_1_a_smaller_cache_loads_what_fits_and_forgets_the_rest)
{
    static disk d;
    dx_cas_store s;
    dx_cas_ref ref;
    uint64_t cursor = 0;
    char key[8];
    unsigned names = 0;
    memset(&d, 0, sizeof d);
    OK(open_disk(&s, &d));
    dx_cache *k = make_small(0, 100);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "%u", i);
        OK(put(k, key, key, NULL, NULL, 0));
    }
    OK(dx_cache_save(k, &s));
    drop(k);
    dx_cache_desc desc = {0};
    desc.entries_max = 10;
    desc.held_max = 1;
    k = make(&desc);
    OK(dx_cache_load(k, &s));
    DX_CHECK_EQ(stats(k).entries, 10);
    OK(dx_cache_save(k, &s));
    while (dx_cas_ref_next(&s, &cursor, &ref) == DX_CAS_OK) names++;
    DX_CHECK_EQ(names, 11); /* ten and the epochs */
    drop(k);
    dx_cas_close(&s);
}

DX_TEST(ec_13_damaged_records_are_dropped_never_served)
{
    static disk d, copy;
    static uint8_t big[600];
    dx_cas_store s;
    char key[8];
    unsigned dropped = 0, loads = 0;
    memset(&d, 0, sizeof d);
    OK(open_disk(&s, &d));
    dx_cache *k = make_small(0, 8);
    for (unsigned i = 0; i < 4; i++) {
        snprintf(key, sizeof key, "%u", i);
        dx_cache_item item = item_of(key, big, sizeof big);
        memset(big, (int)i, sizeof big);
        OK(dx_cache_put(k, NULL, &item, 0, NULL));
    }
    OK(dx_cache_save(k, &s));
    drop(k);
    dx_cas_close(&s);
    for (size_t at = 0; at < d.memory.size; at++) {
        memcpy(&copy, &d, sizeof d);
        copy.bytes[at] ^= 0x10;
        dx_cas_desc desc = {0};
        desc.device = dx_devices_memory_device(&copy.memory);
        copy.memory.data = copy.bytes;
        desc.mode = DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE;
        desc.memory = store_memory;
        desc.memory_size = 40 * 1024;
        if (dx_cas_open(&s, &desc) != DX_CAS_OK) continue;
        k = make_small(1 << 16, 8);
        if (dx_cache_load(k, &s) == DX_CACHE_OK) {
            dx_cache_view v;
            uint32_t cursor = 0;
            loads++;
            dropped += stats(k).damaged > 0;
            while (dx_cache_next(k, &cursor, &v) == DX_CACHE_OK) {
                DX_CHECK_EQ(v.value_size, sizeof big);
                memset(big, *(const char *)v.key - '0', sizeof big);
                DX_CHECK_MEM(v.value, big, sizeof big);
                dx_cache_release(k, &v);
            }
        }
        check_arena(k);
        drop(k);
        dx_cas_close(&s);
    }
    DX_CHECK(loads > 1000 && dropped > 4 * sizeof big);
}

/* Records and epochs that match their id, but that no cache has written. */
DX_PROPERTY(ec_13_hostile_records_never_harm, 1000)
{
    static disk d;
    static uint8_t record[512];
    dx_cas_store s;
    dx_cas_ref ref;
    dx_cache_view v;
    uint32_t cursor = 0;
    size_t size;
    memset(&d.memory, 0, sizeof d.memory);
    OK(open_disk(&s, &d));
    dx_cache *k = make_small(1 << 16, 4);
    OK(put(k, "key", "some value", "tag", "other", 5));
    dx_cache_invalidate(k, "third", 5);
    OK(dx_cache_save(k, &s));
    drop(k);
    for (unsigned which = 0; which < 2; which++) {
        OK(dx_cas_ref_get(&s, which ? "cache/epochs" : "cache/0", 0, &ref));
        OK(dx_cas_get(&s, &ref.root, record, sizeof record, &size));
        for (uint64_t n = dx_choose(c, 4); n > 0; n--) record[dx_choose(c, size - 1)] = (uint8_t)dx_choose(c, 255);
        if (dx_choose(c, 3) == 0) size = (size_t)dx_choose(c, size);
        OK(dx_cas_put(&s, record, size, &ref.root));
        OK(dx_cas_ref_set(&s, &ref, DX_CAS_ANY_VERSION, NULL));
    }
    k = make_small(1 << 16, 4);
    if (dx_cache_load(k, &s) == DX_CACHE_OK) {
        while (dx_cache_next(k, &cursor, &v) == DX_CACHE_OK) {
            uint8_t hash[32];
            dx_cache_p_default_hash(NULL, v.value, v.value_size, hash);
            DX_CHECK_MEM(hash, v.hash, 32);
            dx_cache_release(k, &v);
        }
    } else {
        DX_CHECK_EQ(stats(k).entries, 0);
    }
    OK(put(k, "key", "new", "tag", NULL, 6));
    OK(get(k, "key", "new", 6));
    OK(dx_cache_save(k, &s));
    check_arena(k);
    drop(k);
    k = make_small(1 << 16, 4);
    OK(dx_cache_load(k, &s)); /* nothing hostile is left */
    OK(get(k, "key", "new", 6));
    check_arena(k);
    drop(k);
    dx_cas_close(&s);
}

/* A load that fails at any read leaves an empty cache, and the next load gets everything. If the program continues without a
   load, nothing from the store returns: the store does not know later invalidations. */
DX_TEST(ec_1_dt_5_a_load_that_fails_leaves_an_empty_cache)
{
    static disk d, whole;
    char key[8];
    unsigned failures = 0;
    for (long at = 1, over = 0; !over; at++) {
        for (unsigned again = 0; again < 2; again++) {
            dx_cas_store s;
            if (at == 1) {
                memset(&d, 0, sizeof d);
                OK(open_disk(&s, &d));
                dx_cache *k = make_small(0, 12);
                dx_cache_invalidate(k, "other", 5);
                for (unsigned i = 0; i < 8; i++) {
                    snprintf(key, sizeof key, "%u", i);
                    OK(put(k, key, key, "tag", NULL, 0));
                }
                OK(dx_cache_save(k, &s));
                drop(k);
                dx_cas_close(&s);
                memcpy(&whole, &d, sizeof d);
            }
            memcpy(&d, &whole, sizeof d);
            OK(open_disk(&s, &d));
            dx_cache *k = make_small(0, again ? 12 : 4);
            d.reads = 0;
            d.fail_at = at;
            int error = dx_cache_load(k, &s);
            d.fail_at = 0;
            over = error == DX_CACHE_OK;
            if (!over) {
                DX_CHECK_EQ(error, DX_CAS_ESYS);
                DX_CHECK_EQ(stats(k).entries, 0);
                check_arena(k);
                failures++;
            }
            if (!over && again) {
                OK(dx_cache_load(k, &s));
                for (unsigned i = 0; i < 8; i++) {
                    snprintf(key, sizeof key, "%u", i);
                    OK(get(k, key, key, 1));
                }
            } else if (!over) {
                for (unsigned i = 0; i < 6; i++) {
                    snprintf(key, sizeof key, "n%u", i);
                    OK(put(k, key, key, "tag", NULL, 0));
                }
                DX_CHECK_EQ(stats(k).entries, 4);
                dx_cache_invalidate(k, "tag", 3);
                OK(put(k, "last", "x", NULL, NULL, 0));
                OK(dx_cache_save(k, &s));
                drop(k);
                k = make_small(0, 12);
                OK(dx_cache_load(k, &s));
                DX_CHECK_EQ(stats(k).entries, 1);
                OK(get(k, "last", "x", 1));
            }
            check_arena(k);
            drop(k);
            dx_cas_close(&s);
        }
    }
    DX_CHECK(failures > 16);
}

/* The cache's content as a number: a sum over its entries. */
static uint64_t sum_of(dx_cache *k)
{
    dx_cache_view v;
    uint32_t cursor = 0;
    uint64_t sum = 0;
    while (dx_cache_next(k, &cursor, &v) == DX_CACHE_OK) {
        uint64_t one = v.time_ms * 31 + v.value_size;
        for (size_t i = 0; i < v.key_size; i++) one = one * 131 + ((const uint8_t *)v.key)[i];
        for (size_t i = 0; i < v.value_size; i++) one = one * 131 + ((const uint8_t *)v.value)[i];
        sum += one * one;
        dx_cache_release(k, &v);
    }
    return sum;
}

DX_TEST(ec_1_a_power_cut_at_every_device_call_leaves_the_cache_of_one_save)
{
    static disk d;
    unsigned cuts = 0, before = 0, after = 0;
    for (long cut = 1;; cut++) {
        dx_cas_store s;
        uint64_t saved = 0, next;
        bool over = true;
        memset(&d, 0, sizeof d);
        OK(open_disk(&s, &d));
        dx_cache *k = make_small(0, 6);
        d.cut_at = cut;
        for (unsigned round = 0; round < 6; round++) {
            char key[4] = {'k', (char)('0' + round % 4), 0}, text[8];
            snprintf(text, sizeof text, "v%u", round);
            OK(put(k, key, text, round % 2 ? "odd" : "even", NULL, round));
            if (round == 3) dx_cache_invalidate(k, "even", 4);
            if (round == 4) OK(dx_cache_remove(k, "k1", 2));
            if (dx_cache_save(k, &s) != DX_CAS_OK) {
                over = false;
                break;
            }
            saved = sum_of(k);
        }
        next = sum_of(k);
        drop(k);
        dx_cas_close(&s);
        d.cut_at = d.calls = 0;
        OK(open_disk(&s, &d));
        k = make_small(0, 6);
        OK(dx_cache_load(k, &s));
        uint64_t is = sum_of(k);
        DX_CHECK(is == saved || is == next);
        before += is == saved;
        after += is != saved;
        cuts++;
        OK(put(k, "more", "x", NULL, NULL, 9)); /* and it continues */
        OK(dx_cache_save(k, &s));
        dx_cas_close(&s);
        drop(k);
        if (over) break;
    }
    DX_CHECK(cuts > 30 && before > 20);
    printf("     %u cuts: %u leave the save before, %u the one that was being written\n", cuts, before, after);
}

static void *saver(void *user)
{
    shared *s = (shared *)user;
    static disk d;
    dx_cas_store store;
    memset(&d, 0, sizeof d);
    if (open_disk(&store, &d) != DX_CAS_OK) return NULL;
    for (unsigned i = 0; i < 40; i++) {
        if (dx_cache_save(s->cache, &store) != DX_CAS_OK) return NULL; /* the device is full */
    }
    dx_cas_close(&store);
    return NULL;
}

DX_TEST(p18_threads_ask_while_one_saves)
{
    shared *s = shared_make(40, 1 << 20);
    pthread_t t[4];
    s->rounds = 5000;
    pthread_create(&t[0], NULL, asker, s);
    pthread_create(&t[1], NULL, asker, s);
    pthread_create(&t[2], NULL, changer, s);
    pthread_create(&t[3], NULL, saver, s);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    check_arena(s->cache);
    drop(s->cache);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}
