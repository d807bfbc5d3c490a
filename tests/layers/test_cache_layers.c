/* Tests of layers/dx_edge.h and layers/dx_queries.h.
   cc -std=c11 -g -O1 -fsanitize=address,undefined tests/layers/test_cache_layers.c -o build/test_cache_layers -lpthread */
#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#include "../../dx_patch.h"
#include "../../layers/dx_edge.h"
#include "../../layers/dx_queries.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

/* >>helpers ------------------------------------------------------------ */
#define OK(call) DX_CHECK_EQ(call, DX_CACHE_OK)

static dx_cache *make(uint64_t bytes, uint64_t ttl_ms)
{
    dx_cache *k = (dx_cache *)malloc(sizeof *k);
    dx_cache_desc desc = {0};
    desc.bytes_max = bytes;
    desc.ttl_ms = ttl_ms;
    desc.memory_size = dx_cache_memory_size(&desc);
    desc.memory = malloc(desc.memory_size);
    OK(dx_cache_init(k, &desc));
    return k;
}

static void drop(dx_cache *k)
{
    free(k->desc_.memory);
    free(k);
}

static dx_cache_stats stats(dx_cache *k)
{
    dx_cache_stats s;
    dx_cache_get_stats(k, &s);
    return s;
}

/* The bytes of a version, mostly the same in all versions. */
enum { BODY = 5000, PATCH_MAX = 4096, BODY_MAX = 8192 };
static void body_of(unsigned version, uint8_t out[BODY])
{
    size_t i;
    uint32_t state = 1;
    for (i = 0; i < BODY; i++) {
        state = state * 1664525 + 1013904223;
        out[i] = (uint8_t)(state >> 24);
    }
    for (i = 0; i < 40; i++) out[100 * (version % 50) + i] = (uint8_t)(version + i);
}

static dx_edge_version version_of(unsigned number)
{
    dx_edge_version v;
    dx_cas_id id;
    uint8_t body[BODY];
    body_of(number, body);
    dx_cas_hash(body, BODY, &id);
    memcpy(v.hash, id.bytes, 32);
    v.number = number;
    return v;
}

static size_t patch_of(unsigned from, unsigned to, uint8_t *out)
{
    static uint8_t memory[1 << 20], base[BODY], target[BODY];
    dx_patch_create_desc desc = {0};
    size_t size = 0;
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    body_of(from, base);
    body_of(to, target);
    DX_CHECK_EQ(dx_patch_create(&desc, base, BODY, target, BODY, out, PATCH_MAX, &size), DX_PATCH_OK);
    return size;
}

/* >>server -------------------------------------------------------------- */
/* Versions 1 to 9 are known; 3 has no patch. */
static bool known(void *user, const uint8_t *hash, size_t size, uint64_t number, dx_edge_version *out)
{
    unsigned i;
    ++*(unsigned *)user;
    for (i = 1; i < 10; i++) {
        *out = version_of(i);
        if (i != 3 && memcmp(out->hash, hash, size) == 0 && (size == 32 || out->number == number)) return true;
    }
    return false;
}

static dx_edge_server server_of(unsigned now, unsigned *asked)
{
    dx_edge_server s;
    memset(&s, 0, sizeof s);
    s.now = version_of(now);
    s.known = known;
    s.user = asked;
    return s;
}

static char *strong(unsigned number, char *out)
{
    dx_edge_version v = version_of(number);
    size_t i;
    out[0] = '"';
    for (i = 0; i < 32; i++) snprintf(out + 1 + 2 * i, 4, "%02x\"", v.hash[i]);
    return out;
}

static char *weak(unsigned number, uint64_t says, char *out)
{
    dx_edge_version v = version_of(number);
    v.number = says;
    DX_CHECK_EQ(dx_edge_weak_etag(&v, out), strlen(out));
    return out;
}

static dx_edge_outcome negotiate(const char *field, bool patches, unsigned *base)
{
    unsigned asked = 0, i;
    dx_edge_server s = server_of(10, &asked);
    dx_edge_version from;
    char *exact = field ? (char *)malloc(strlen(field) + 1) : NULL; /* so that reads beyond it are detected */
    dx_edge_outcome outcome;
    if (exact) memcpy(exact, field, strlen(field));
    outcome = dx_edge_negotiate(&s, exact, field ? strlen(field) : 0, patches, &from);
    free(exact);
    DX_CHECK(asked <= DX_EDGE_TAGS_MAX);
    *base = 0;
    for (i = 1; i < 10 && outcome == DX_EDGE_PATCH; i++) {
        if (version_of(i).number == from.number) *base = i;
    }
    return outcome;
}

DX_TEST(ec_12_outcomes_are_fresh_patch_and_stale)
{
    char a[80], b[80], field[400];
    unsigned base;
    DX_CHECK_EQ(negotiate(NULL, true, &base), DX_EDGE_STALE);
    DX_CHECK_EQ(negotiate(strong(10, a), true, &base), DX_EDGE_FRESH);
    DX_CHECK_EQ(negotiate(strong(10, a), false, &base), DX_EDGE_FRESH);
    DX_CHECK_EQ(negotiate(strong(4, a), true, &base), DX_EDGE_PATCH);
    DX_CHECK_EQ(base, 4);
    DX_CHECK_EQ(negotiate(strong(4, a), false, &base), DX_EDGE_STALE); /* a client that cannot apply patches gets none */
    DX_CHECK_EQ(negotiate(strong(3, a), true, &base), DX_EDGE_STALE);  /* it has no patch */
    DX_CHECK_EQ(negotiate(strong(77, a), true, &base), DX_EDGE_STALE);
    DX_CHECK_EQ(negotiate(" *", true, &base), DX_EDGE_FRESH);
    snprintf(field, sizeof field, " W/\"other\",%s , %s", strong(77, a), strong(5, b));
    DX_CHECK_EQ(negotiate(field, true, &base), DX_EDGE_PATCH);
    DX_CHECK_EQ(base, 5);
    snprintf(field, sizeof field, "%s, %s", strong(5, a), strong(10, b)); /* of several, the valid one */
    DX_CHECK_EQ(negotiate(field, true, &base), DX_EDGE_FRESH);
}

/* What a server that encodes a body appends to its tag; anything else makes the tag a foreign one. */
DX_TEST(ec_11_a_tag_with_an_encoding_names_its_version)
{
    static const struct { const char *text; bool is; } ends[] = {
        {"-gzip\"", true}, {"-z\"", true}, {"-zstd\"", true}, {"\"", true}, {"-\"", false}, {"-GZIP\"", false},
        {"-gzip2\"", false}, {"--gzip\"", false}, {"gzip\"", false}, {":10\"", false}, {"0\"", false}, {"- \"", false}};
    char a[80], b[80], field[240];
    unsigned base;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(a, sizeof a, "%.65s%s", strong(10, b), ends[i].text);
        DX_CHECK_EQ(negotiate(a, true, &base), ends[i].is ? DX_EDGE_FRESH : DX_EDGE_STALE);
        snprintf(a, sizeof a, "%.65s%s", strong(4, b), ends[i].text);
        DX_CHECK_EQ(negotiate(a, true, &base), ends[i].is ? DX_EDGE_PATCH : DX_EDGE_STALE);
        snprintf(field, sizeof field, "%s, W/%s", a, strong(5, b));
        DX_CHECK_EQ(negotiate(field, true, &base), DX_EDGE_PATCH);
        DX_CHECK_EQ(base, ends[i].is ? 4 : 5);
    }
}

DX_TEST(ec_11_strong_and_weak_tags_name_versions)
{
    char a[80];
    unsigned base;
    dx_edge_version v = version_of(10);
    DX_CHECK_EQ(strlen(weak(10, 10, a)), 2 + 1 + 32 + 1 + 2 + 1);
    DX_CHECK_EQ(negotiate(weak(10, 10, a), true, &base), DX_EDGE_FRESH);
    DX_CHECK_EQ(negotiate(weak(10, 11, a), true, &base), DX_EDGE_STALE); /* the number counts, too */
    DX_CHECK_EQ(negotiate(weak(6, 6, a), true, &base), DX_EDGE_PATCH);
    DX_CHECK_EQ(base, 6);
    DX_CHECK_EQ(negotiate(weak(6, 7, a), true, &base), DX_EDGE_STALE);
    DX_CHECK_EQ(negotiate(weak(10, 10, a) + 2, true, &base), DX_EDGE_STALE); /* strong ETags have no number */
    v.number = UINT64_MAX;
    dx_edge_weak_etag(&v, a);
    DX_CHECK(strstr(a, ":18446744073709551615\"") != NULL);
    a[strlen(a) - 2] = '6'; /* one more than fits */
    DX_CHECK_EQ(negotiate(a, true, &base), DX_EDGE_STALE);
}

DX_TEST(ec_11_fields_of_the_answers)
{
    unsigned asked;
    dx_edge_server s = server_of(10, &asked);
    dx_edge_version base = version_of(4);
    char out[DX_EDGE_FIELDS_MAX], wanted[400], tag[80], from[80];
    DX_CHECK_EQ(dx_edge_fields(&s, DX_EDGE_STALE, NULL, out), strlen(out));
    snprintf(wanted, sizeof wanted, "ETag: %s\r\nCache-Control: public, max-age=31536000\r\nVary: A-IM\r\n", strong(10, tag));
    DX_CHECK_STR(out, wanted);
    dx_edge_fields(&s, DX_EDGE_FRESH, NULL, out);
    DX_CHECK_STR(out, wanted);
    DX_CHECK_EQ(dx_edge_fields(&s, DX_EDGE_PATCH, &base, out), strlen(out));
    snprintf(wanted, sizeof wanted, "ETag: %s\r\nCache-Control: no-store\r\nIM: dx-patch\r\nDelta-Base: %s\r\nVary: A-IM\r\n",
             tag, strong(4, from));
    DX_CHECK_STR(out, wanted);
    s.max_age_s = UINT64_MAX - 1;
    dx_edge_fields(&s, DX_EDGE_STALE, NULL, out);
    DX_CHECK(strstr(out, "max-age=18446744073709551614\r\n") != NULL);
    s.max_age_s = 0;
    s.immutable = true;
    DX_CHECK_EQ(dx_edge_fields(&s, DX_EDGE_FRESH, NULL, out), strlen(out));
    DX_CHECK(strstr(out, "public, max-age=31536000, immutable\r\n") != NULL);
    s.max_age_s = UINT64_MAX;
    dx_edge_fields(&s, DX_EDGE_STALE, NULL, out);
    DX_CHECK(strstr(out, "Cache-Control: no-cache\r\n") != NULL);
}

DX_TEST(ec_11_an_encoded_body_has_a_tag_of_its_own)
{
    unsigned asked;
    dx_edge_server s = server_of(10, &asked);
    dx_edge_version base = version_of(4);
    unsigned found;
    char out[DX_EDGE_FIELDS_MAX], wanted[400], tag[80], from[80];
    s.encoding = "abcdefghijklmnop"; /* as long as one may be */
    s.immutable = true;
    s.max_age_s = UINT64_MAX - 1;
    strong(10, tag);
    snprintf(wanted, sizeof wanted, "ETag: %.65s-%s\"\r\nContent-Encoding: %s\r\n"
             "Cache-Control: public, max-age=18446744073709551614, immutable\r\nVary: A-IM\r\n", tag, s.encoding, s.encoding);
    DX_CHECK_EQ(dx_edge_fields(&s, DX_EDGE_STALE, NULL, out), strlen(wanted));
    DX_CHECK_STR(out, wanted);
    snprintf(wanted, sizeof wanted, "%.65s-%s\"", tag, s.encoding); /* the client's next request has it */
    DX_CHECK_EQ(negotiate(wanted, true, &found), DX_EDGE_FRESH);
    dx_edge_fields(&s, DX_EDGE_PATCH, &base, out); /* a patch is not encoded, and is of the body without encoding */
    snprintf(wanted, sizeof wanted, "ETag: %s\r\nCache-Control: no-store\r\nIM: dx-patch\r\nDelta-Base: %s\r\nVary: A-IM\r\n",
             tag, strong(4, from));
    DX_CHECK_STR(out, wanted);
}

DX_PROPERTY(ec_11_any_field_is_answered, 3000)
{
    static const char *const parts[] = {"\"", "W/", ",", " ", "*", ":", "1", "W/\"", "\0x", "0123456789abcdef0123456789abcdef"};
    char field[3000], tag[80];
    size_t size = 0, n, count = dx_choose(c, 60);
    unsigned asked = 0;
    dx_edge_server s = server_of(10, &asked);
    dx_edge_version base;
    char *exact;
    while (count-- > 0) {
        const char *part = parts[dx_choose(c, 9)];
        unsigned which = (unsigned)dx_choose(c, 12);
        if (which >= 10) part = which == 10 ? strong(2, tag) : weak(2, 2, tag);
        n = strlen(part);
        if (n > sizeof field - size) break;
        memcpy(field + size, part, n);
        size += n;
    }
    exact = (char *)malloc(size + 1);
    memcpy(exact, field, size);
    dx_edge_negotiate(&s, exact, size, true, &base);
    DX_CHECK(asked <= DX_EDGE_TAGS_MAX);
    free(exact);
}

/* >>client -------------------------------------------------------------- */
static int apply(void *user, const void *base, size_t base_size, const void *patch, size_t patch_size, void *out, size_t capacity,
                 size_t *got)
{
    ++*(unsigned *)user;
    static uint8_t memory[1 << 18];
    return dx_patch_apply(base, base_size, patch, patch_size, out, capacity, got, memory, sizeof memory);
}

typedef struct edge { /* one end, and the other's answers */
    dx_cache       *cache;
    dx_edge_client  client;
    dx_edge_call    call;
    dx_edge_answer  answer;
    unsigned        applied;
    uint8_t         memory[BODY_MAX], body[BODY], patch[PATCH_MAX];
    char            tag[80], base[80];
} edge;

static edge *edge_make(void)
{
    edge *e = (edge *)calloc(1, sizeof *e);
    e->cache = make(0, 100);
    e->client.cache = e->cache;
    e->client.apply = apply;
    e->client.user = &e->applied;
    e->client.memory = e->memory;
    e->client.memory_size = sizeof e->memory;
    return e;
}

static void edge_drop(edge *e)
{
    drop(e->cache);
    free(e);
}

static dx_edge_answer *whole(edge *e, unsigned version)
{
    memset(&e->answer, 0, sizeof e->answer);
    body_of(version, e->body);
    e->answer.status = 200;
    e->answer.body = e->body;
    e->answer.body_size = BODY;
    e->answer.etag = strong(version, e->tag);
    e->answer.etag_size = strlen(e->tag);
    return &e->answer;
}

static dx_edge_answer *patched(edge *e, unsigned from, unsigned to)
{
    whole(e, to);
    e->answer.status = 226;
    e->answer.body_size = patch_of(from, to, e->patch);
    e->answer.body = e->patch;
    e->answer.delta_base = strong(from, e->base);
    e->answer.delta_base_size = strlen(e->base);
    return &e->answer;
}

static int edge_begin(edge *e, uint64_t now) { return dx_edge_begin(&e->client, "/", 1, now, &e->call); }
static int edge_reply(edge *e, const dx_edge_answer *a, uint64_t now) { return dx_edge_reply(&e->client, &e->call, a, now); }
static void edge_end(edge *e) { dx_edge_end(&e->client, &e->call); }

static void check_view(edge *e, unsigned version)
{
    uint8_t body[BODY];
    body_of(version, body);
    DX_CHECK_EQ(e->call.view.value_size, BODY);
    DX_CHECK_MEM(e->call.view.value, body, BODY);
    DX_CHECK_MEM(e->call.view.hash, version_of(version).hash, 32);
}

/* Version 1, valid from time 0 to 100. */
static void edge_fill(edge *e)
{
    char fields[DX_EDGE_FIELDS_MAX];
    DX_CHECK_EQ(edge_begin(e, 0), DX_CACHE_COMPUTE);
    DX_CHECK_EQ(dx_edge_request(&e->call, fields), 0); /* nothing to revalidate */
    OK(edge_reply(e, whole(e, 1), 0));
    check_view(e, 1);
    edge_end(e);
    OK(edge_begin(e, 50));
    check_view(e, 1);
    edge_end(e);
}

DX_TEST(ec_4_ec_6_a_patch_makes_the_new_entry_of_the_cached_one)
{
    edge *e = edge_make();
    char fields[DX_EDGE_FIELDS_MAX], wanted[200];
    size_t size;
    edge_fill(e);
    DX_CHECK_EQ(edge_begin(e, 100), DX_CACHE_COMPUTE);
    DX_CHECK_EQ(dx_edge_request(&e->call, fields), strlen(fields));
    snprintf(wanted, sizeof wanted, "If-None-Match: %s\r\nA-IM: dx-patch\r\n", strong(1, e->tag));
    DX_CHECK_STR(fields, wanted);
    OK(edge_reply(e, patched(e, 1, 2), 110));
    size = e->answer.body_size;
    check_view(e, 2);
    edge_end(e);
    DX_CHECK_EQ(stats(e->cache).patches, 1);
    DX_CHECK_EQ(stats(e->cache).saved_bytes, BODY - size);
    OK(edge_begin(e, 209));
    check_view(e, 2);
    edge_end(e);
    DX_CHECK_EQ(edge_begin(e, 210), DX_CACHE_COMPUTE); /* the new one is requested with its own tag */
    dx_edge_request(&e->call, fields);
    DX_CHECK(strstr(fields, strong(2, e->tag)) != NULL);
    patched(e, 2, 3);
    e->answer.status = 200; /* marked by its content type, without Delta-Base */
    e->answer.patch = true;
    e->answer.delta_base = NULL;
    OK(edge_reply(e, &e->answer, 211));
    check_view(e, 3);
    edge_end(e);
    edge_drop(e);
}

DX_TEST(ec_5_ec_12_not_modified_makes_the_entry_fresh)
{
    edge *e = edge_make();
    dx_edge_answer *a;
    edge_fill(e);
    DX_CHECK_EQ(edge_begin(e, 100), DX_CACHE_COMPUTE);
    a = whole(e, 1);
    a->status = 304;
    OK(edge_reply(e, a, 120));
    check_view(e, 1);
    edge_end(e);
    OK(edge_begin(e, 219));
    edge_end(e);
    DX_CHECK_EQ(stats(e->cache).saved_bytes, BODY);
    DX_CHECK_EQ(edge_begin(e, 220), DX_CACHE_COMPUTE); /* of a tag that was not requested: fetch all of it */
    a = whole(e, 2);
    a->status = 304;
    DX_CHECK_EQ(edge_reply(e, a, 221), DX_EDGE_REFETCH);
    a->status = 304;
    DX_CHECK_EQ(edge_reply(e, a, 222), DX_EDGE_EPROTOCOL);
    edge_end(e);
    DX_CHECK_EQ(dx_edge_begin(&e->client, "/x", 2, 0, &e->call), DX_CACHE_COMPUTE);
    DX_CHECK_EQ(edge_reply(e, a, 1), DX_EDGE_EPROTOCOL); /* to an unconditional request */
    edge_end(e);
    DX_CHECK_EQ(stats(e->cache).failed, 2);
    edge_drop(e);
}

/* Whatever is wrong with a patch: the whole is fetched under the same ticket, and nothing else was stored. */
DX_TEST(ec_6_any_failure_of_a_patch_fetches_the_whole)
{
    unsigned how;
    for (how = 0; how < 10; how++) {
        edge *e = edge_make();
        char fields[DX_EDGE_FIELDS_MAX];
        edge_fill(e);
        DX_CHECK_EQ(edge_begin(e, 100), DX_CACHE_COMPUTE);
        patched(e, how == 0 ? 4 : 1, 2);
        switch (how) {
        case 1: e->patch[200] ^= 1; break;
        case 2: e->answer.body_size--; break;
        case 3: e->answer.body_size = 0; break;
        case 4: strong(3, e->tag); break; /* its result is not the promised one */
        case 5: e->answer.etag = NULL; break;
        case 6: weak(2, 2, e->tag), e->answer.etag_size = strlen(e->tag); break;
        case 7: strong(5, e->base); break;
        case 8: e->client.memory_size = BODY - 1; break;
        case 9: e->client.apply = NULL; break;
        default: break;
        }
        DX_CHECK_EQ(edge_reply(e, &e->answer, 101), DX_EDGE_REFETCH);
        DX_CHECK_EQ(stats(e->cache).puts, 1);
        DX_CHECK_EQ(dx_edge_request(&e->call, fields), 0);
        OK(edge_reply(e, whole(e, 2), 102));
        check_view(e, 2);
        edge_end(e);
        DX_CHECK_EQ(stats(e->cache).patches, 0);
        DX_CHECK_EQ(stats(e->cache).failed, 0);
        edge_drop(e);
    }
}

DX_TEST(ec_6_ec_7_a_patch_to_nothing_and_a_damaged_whole_end_it)
{
    edge *e = edge_make();
    DX_CHECK_EQ(edge_begin(e, 0), DX_CACHE_COMPUTE);
    DX_CHECK_EQ(edge_reply(e, patched(e, 1, 2), 1), DX_EDGE_EPROTOCOL); /* there is no base */
    edge_end(e);
    DX_CHECK_EQ(e->applied, 0);
    DX_CHECK_EQ(edge_begin(e, 2), DX_CACHE_COMPUTE);
    whole(e, 1);
    e->body[17] ^= 4;
    DX_CHECK_EQ(edge_reply(e, &e->answer, 3), DX_CACHE_ECORRUPT);
    edge_end(e);
    DX_CHECK_EQ(edge_begin(e, 4), DX_CACHE_COMPUTE);
    whole(e, 1);
    e->answer.etag = "\"somebody else's\"";
    e->answer.etag_size = strlen(e->answer.etag);
    OK(edge_reply(e, &e->answer, 5));
    check_view(e, 1);
    edge_end(e);
    DX_CHECK_EQ(edge_begin(e, 105), DX_CACHE_COMPUTE); /* damaged twice */
    whole(e, 2);
    e->body[17] ^= 4;
    DX_CHECK_EQ(edge_reply(e, &e->answer, 106), DX_EDGE_REFETCH);
    DX_CHECK_EQ(edge_reply(e, &e->answer, 107), DX_CACHE_ECORRUPT);
    edge_end(e);
    DX_CHECK_EQ(stats(e->cache).puts, 1);
    edge_drop(e);
}

DX_TEST(ec_10_without_an_answer_the_last_good_one_is_there)
{
    edge *e = edge_make();
    dx_edge_answer *a;
    DX_CHECK_EQ(edge_begin(e, 0), DX_CACHE_COMPUTE);
    DX_CHECK_EQ(dx_edge_offline(&e->client, &e->call, 0), DX_CACHE_ESYS);
    edge_end(e);
    edge_fill(e);
    DX_CHECK_EQ(edge_begin(e, 1000), DX_CACHE_COMPUTE);
    DX_CHECK_EQ(dx_edge_offline(&e->client, &e->call, 1000), DX_CACHE_ESTALE);
    check_view(e, 1);
    edge_end(e);
    DX_CHECK_EQ(edge_begin(e, 1001), DX_CACHE_COMPUTE);
    a = whole(e, 2);
    a->status = 503;
    DX_CHECK_EQ(edge_reply(e, a, 1002), DX_CACHE_ESTALE);
    check_view(e, 1);
    edge_end(e);
    edge_drop(e);
}

DX_TEST(ec_6_dt_5_an_invalidation_meanwhile_is_not_overtaken_and_others_wait)
{
    edge *e = edge_make();
    dx_edge_call other;
    edge_fill(e);
    DX_CHECK_EQ(edge_begin(e, 100), DX_CACHE_COMPUTE);
    DX_CHECK_EQ(dx_edge_begin(&e->client, "/", 1, 100, &other), DX_CACHE_WAIT);
    dx_cache_remove(e->cache, "/", 1);
    DX_CHECK_EQ(edge_reply(e, patched(e, 1, 2), 101), DX_CACHE_EOUTDATED);
    edge_end(e);
    DX_CHECK_EQ(dx_edge_poll(&e->client, 102, &other), DX_CACHE_COMPUTE);
    OK(dx_edge_reply(&e->client, &other, whole(e, 3), 103));
    DX_CHECK_EQ(other.view.value_size, BODY);
    dx_edge_end(&e->client, &other);
    edge_drop(e);
}

/* >>queries ------------------------------------------------------------- */
typedef struct database { /* found by load() */
    unsigned    runs;
    int         error;
    char        text[100];
    const char *invalidates; /* during the load */
    dx_queries *registers;
    char        rows[300];
} database;

static dx_cache_tag part(const char *text)
{
    dx_cache_tag t;
    t.data = text;
    t.size = strlen(text);
    return t;
}

static int load(void *user, const dx_queries_call *call, const dx_cache_tag *params, uint32_t param_count, const void **value,
                size_t *size)
{
    database *d = (database *)user;
    d->runs++;
    snprintf(d->text, sizeof d->text, "%.*s", (int)call->text_size, (const char *)call->text);
    snprintf(d->rows, sizeof d->rows, "%s:%.*s:%u", d->text, param_count ? (int)params[0].size : 0,
             param_count ? (const char *)params[0].data : "", d->runs);
    if (d->invalidates) dx_cache_notify(d->registers->cache_, d->invalidates, strlen(d->invalidates));
    if (d->registers && !d->invalidates) OK(dx_queries_register(d->registers, "q", 1, "newer", 5, NULL, 0));
    *value = d->rows;
    *size = strlen(d->rows);
    return d->error;
}

static int query(dx_queries *q, const char *id, const char *param, uint32_t count, database *d, const char *rows)
{
    dx_queries_call *call = (dx_queries_call *)malloc(sizeof *call);
    dx_cache_tag p = part(param);
    int result = dx_queries_run(q, id, strlen(id), &p, count, 5, load, d, call);
    if (result == DX_CACHE_OK) {
        DX_CHECK_EQ(call->view.value_size, strlen(rows));
        DX_CHECK_MEM(call->view.value, rows, call->view.value_size);
    }
    dx_queries_end(q, call);
    free(call);
    return result;
}

static dx_queries *queries_make(dx_cache **k)
{
    static const char *const tables[] = {"users", "orders"};
    dx_queries *q = (dx_queries *)malloc(sizeof *q);
    dx_cache_tag t[2];
    *k = make(1 << 16, 0);
    dx_queries_init(q, *k);
    t[0] = part(tables[0]);
    t[1] = part(tables[1]);
    OK(dx_queries_register(q, "q", 1, "text", 4, t, 1));
    OK(dx_queries_register(q, "both", 4, "join", 4, t, 2));
    OK(dx_queries_register(q, "o", 1, "other", 5, t + 1, 1));
    return q;
}

DX_TEST(dt_1_dt_3_a_registered_query_runs_once_for_each_list_of_parameters)
{
    dx_cache *k;
    dx_queries *q = queries_make(&k);
    database d = {0};
    OK(query(q, "q", "a", 1, &d, "text:a:1"));
    OK(query(q, "q", "a", 1, &d, "text:a:1"));
    OK(query(q, "q", "b", 1, &d, "text:b:2"));
    OK(query(q, "q", "", 1, &d, "text::3"));
    OK(query(q, "q", "", 0, &d, "text::4")); /* no parameter differs from an empty one */
    OK(query(q, "q", "", 1, &d, "text::3"));
    DX_CHECK_EQ(d.runs, 4);
    DX_CHECK_EQ(query(q, "none", "a", 1, &d, ""), DX_QUERIES_EUNKNOWN);
    DX_CHECK_EQ(query(q, "qq", "a", 1, &d, ""), DX_QUERIES_EUNKNOWN);
    free(q);
    drop(k);
}

DX_TEST(dt_1_registering_again_replaces_and_its_results_go)
{
    dx_cache *k;
    dx_queries *q = queries_make(&k);
    database d = {0};
    dx_cache_tag t = part("things");
    char text[8] = "second";
    OK(query(q, "q", "a", 1, &d, "text:a:1"));
    OK(query(q, "o", "a", 1, &d, "other:a:2"));
    OK(dx_queries_register(q, "q", 1, text, 6, &t, 1));
    memset(text, 'x', sizeof text); /* it was copied */
    OK(query(q, "q", "a", 1, &d, "second:a:3"));
    OK(query(q, "o", "a", 1, &d, "other:a:2"));
    dx_cache_invalidate(k, "users", 5); /* no longer one of its tables */
    OK(query(q, "q", "a", 1, &d, "second:a:3"));
    dx_cache_notify(k, "things:INSERT", 13);
    OK(query(q, "q", "a", 1, &d, "second:a:4"));
    OK(dx_queries_remove(q, "q", 1));
    DX_CHECK_EQ(dx_queries_remove(q, "q", 1), DX_QUERIES_EUNKNOWN);
    DX_CHECK_EQ(query(q, "q", "a", 1, &d, ""), DX_QUERIES_EUNKNOWN);
    free(q);
    drop(k);
}

DX_TEST(dt_1_dt_5_registered_anew_while_it_runs)
{
    dx_cache *k;
    dx_queries *q = queries_make(&k);
    database d = {0};
    dx_queries_call *old = (dx_queries_call *)malloc(sizeof *old), *fresh = (dx_queries_call *)malloc(sizeof *fresh);
    d.registers = q;
    OK(query(q, "q", "", 0, &d, "text::1")); /* its text was replaced: the result is returned, but not stored */
    d.registers = NULL;
    OK(query(q, "q", "", 0, &d, "newer::2"));
    /* A query that asked before and computes only afterwards: its text still exists, its result is not
       stored. */
    dx_cache_invalidate_all(k);
    DX_CHECK_EQ(dx_queries_begin(q, "q", 1, NULL, 0, 5, old), DX_CACHE_COMPUTE);
    OK(dx_queries_register(q, "q", 1, "newest", 6, NULL, 0));
    DX_CHECK_MEM(old->text, "newer", 5);
    DX_CHECK_EQ(dx_queries_begin(q, "q", 1, NULL, 0, 5, fresh), DX_CACHE_WAIT);
    DX_CHECK_EQ(dx_queries_put(q, old, "rows", 4, 0, 5), DX_CACHE_EOUTDATED);
    DX_CHECK_EQ(dx_queries_poll(q, 5, fresh), DX_CACHE_COMPUTE);
    OK(dx_queries_put(q, fresh, "new rows", 8, 0, 5));
    dx_queries_end(q, old);
    DX_CHECK_MEM(fresh->view.value, "new rows", 8);
    dx_queries_end(q, fresh);
    /* A query that gets its ticket only afterwards: nothing was invalidated since, but its text is old. */
    dx_cache_invalidate_all(k);
    OK(dx_queries_p_open(q, "q", 1, NULL, 0, old));
    OK(dx_queries_register(q, "q", 1, "last", 4, NULL, 0));
    DX_CHECK_EQ(dx_queries_poll(q, 5, old), DX_CACHE_COMPUTE);
    DX_CHECK_EQ(dx_queries_put(q, old, "rows", 4, 0, 5), DX_CACHE_EOUTDATED);
    dx_queries_end(q, old);
    OK(query(q, "q", "", 0, &d, "last::3"));
    free(old);
    free(fresh);
    free(q);
    drop(k);
}

DX_TEST(dt_4_exactly_the_dependent_results_go)
{
    dx_cache *k;
    dx_queries *q = queries_make(&k);
    database d = {0};
    OK(query(q, "q", "a", 1, &d, "text:a:1"));
    OK(query(q, "q", "b", 1, &d, "text:b:2"));
    OK(query(q, "both", "a", 1, &d, "join:a:3"));
    OK(query(q, "o", "a", 1, &d, "other:a:4"));
    dx_cache_notify(k, "users:update", 12);
    OK(query(q, "o", "a", 1, &d, "other:a:4"));
    OK(query(q, "q", "a", 1, &d, "text:a:5"));
    OK(query(q, "both", "a", 1, &d, "join:a:6"));
    dx_cache_notify(k, "orders", 6);
    OK(query(q, "q", "a", 1, &d, "text:a:5"));
    OK(query(q, "q", "b", 1, &d, "text:b:7"));
    OK(query(q, "both", "a", 1, &d, "join:a:8"));
    OK(query(q, "o", "a", 1, &d, "other:a:9"));
    free(q);
    drop(k);
}

DX_TEST(dt_5_a_result_loaded_before_an_invalidation_is_returned_but_not_kept)
{
    dx_cache *k;
    dx_queries *q = queries_make(&k);
    database d = {0};
    d.registers = q;
    d.invalidates = "users";
    OK(query(q, "q", "a", 1, &d, "text:a:1"));
    d.invalidates = "orders";
    OK(query(q, "q", "a", 1, &d, "text:a:2"));
    OK(query(q, "q", "a", 1, &d, "text:a:2"));
    free(q);
    drop(k);
}

DX_TEST(dt_2_dt_9_misses_and_failures_have_their_own_errors_and_are_not_kept)
{
    static const int errors[] = {DX_QUERIES_ESERIAL, DX_QUERIES_EDATABASE, DX_QUERIES_EPOOL, DX_QUERIES_EINTERNAL};
    dx_cache *k;
    dx_queries *q = queries_make(&k);
    dx_queries_call *call = (dx_queries_call *)malloc(sizeof *call), *other = (dx_queries_call *)malloc(sizeof *other);
    database d = {0};
    dx_cache_tag big = {d.rows, DX_QUERIES_KEY_MAX};
    unsigned i;
    DX_CHECK_EQ(dx_queries_get(q, "q", 1, NULL, 0, 5, call), DX_QUERIES_EMISS);
    dx_queries_end(q, call);
    for (i = 0; i < 4; i++) {
        d.error = errors[i];
        DX_CHECK_EQ(query(q, "q", "a", 1, &d, ""), errors[i]);
    }
    DX_CHECK_EQ(dx_queries_begin(q, "q", 1, NULL, 0, 5, call), DX_CACHE_COMPUTE);
    DX_CHECK_EQ(dx_queries_begin(q, "q", 1, NULL, 0, 5, other), DX_CACHE_WAIT);
    OK(dx_queries_fail(q, call, DX_QUERIES_EDATABASE, 5));
    DX_CHECK_EQ(dx_queries_poll(q, 5, other), DX_QUERIES_EDATABASE); /* a waiting caller is told */
    dx_queries_end(q, call);
    dx_queries_end(q, other);
    DX_CHECK_EQ(dx_queries_get(q, "q", 1, &big, 1, 5, call), DX_CACHE_ETOOBIG);
    dx_queries_end(q, call);
    d.error = 0;
    OK(query(q, "q", "a", 1, &d, "text:a:5"));
    free(call);
    free(other);
    free(q);
    drop(k);
}

DX_TEST(dt_1_bad_registrations_are_refused_and_many_fill_the_memory)
{
    dx_cache *k;
    dx_queries *q = queries_make(&k);
    dx_cache_tag t[8], bad = {"\0x", 2};
    char id[16], *text = (char *)calloc(1, 5000);
    unsigned i, count = 0;
    int error = DX_CACHE_OK;
    for (i = 0; i < 8; i++) t[i] = part("t");
    OK(dx_queries_register(q, "seven", 5, "", 0, t, 7));
    DX_CHECK_EQ(dx_queries_register(q, "eight", 5, "", 0, t, 8), DX_CACHE_ETOOBIG);
    DX_CHECK_EQ(dx_queries_register(q, "bad", 3, "", 0, &bad, 1), DX_CACHE_EINVAL);
    DX_CHECK_EQ(dx_queries_register(q, "", 0, "", 0, NULL, 0), DX_CACHE_EINVAL);
    DX_CHECK_EQ(dx_queries_register(q, text, DX_QUERIES_ID_MAX + 1, "", 0, NULL, 0), DX_CACHE_EINVAL);
    OK(dx_queries_register(q, text, DX_QUERIES_ID_MAX, "", 0, NULL, 0));
    while (count < 1000 && error == DX_CACHE_OK) {
        snprintf(id, sizeof id, "%u", count++);
        error = dx_queries_register(q, id, strlen(id), text, 5000, NULL, 0);
    }
    DX_CHECK_EQ(error, DX_CACHE_ENOMEM);
    for (i = 0; i + 1 < count; i++) {
        snprintf(id, sizeof id, "%u", i);
        OK(dx_queries_remove(q, id, strlen(id)));
    }
    OK(dx_queries_register(q, "again", 5, text, 5000, NULL, 0));
    free(text);
    free(q);
    drop(k);
}
