/* layers/dx_hde.h with malicious records. Real records of every kind are modified and sealed again, and, if the result
   has another hash than promised, sealed with that one. What must hold: result and state do not depend on the decoder's
   own limits, an accepted state has the promised hash, a refused record changes no stored state, and composing two
   records equals decoding both. With -DDX_HDE_ZSTD -lzstd the same with zstd. The properties are targets of
   tests/fuzz.sh; DX_TEST_RUNS=100 makes 10^5 runs. */
#define DX_IMPLEMENTATION
#include "../../dx_patch.h"
#include "../../layers/dx_hde.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { STATE_MAX = 6000, RECORD_MAX = 3 * STATE_MAX, SIDES = 3 };

typedef struct side {
    dx_hde h;
    dx_hde_desc desc;
    uint8_t *memory;
} side;

/* A sender, a receiver with just enough room for such states, and one with room for much larger ones. */
static side sides[SIDES];
static uint8_t old[STATE_MAX], now[STATE_MAX], record[RECORD_MAX], second[RECORD_MAX];
static size_t record_size;
#ifdef DX_HDE_ZSTD
static dx_hde_zstd zstd;
#endif

static void open_sides(int level)
{
    static const uint32_t states[SIDES] = {STATE_MAX, STATE_MAX, 1 << 18};
    for (int i = 0; i < SIDES; i++) {
        side *s = sides + i;
        memset(&s->desc, 0, sizeof s->desc);
        s->desc.state_max = states[i];
        s->desc.baselines_max = 4;
        s->desc.level = level;
#ifdef DX_HDE_ZSTD
        if (!zstd.cctx) zstd.cctx = ZSTD_createCCtx(), zstd.dctx = ZSTD_createDCtx();
        s->desc.zstd = &zstd;
#endif
        s->desc.memory_size = dx_hde_memory_size(&s->desc);
        if (!s->memory) s->memory = (uint8_t *)malloc(s->desc.memory_size); /* the same in each run */
        s->desc.memory = s->memory;
        DX_CHECK_EQ(dx_hde_init(&s->h, &s->desc), 0);
    }
}

static uint8_t *exactly(const void *bytes, size_t size)
{
    uint8_t *p = (uint8_t *)malloc(size + !size);
    if (size && bytes) memcpy(p, bytes, size);
    return p;
}

/* A baseline and its next state: bytes changed, moved, inserted. */
static void draw_states(dx_choices *c, size_t *old_size, size_t *now_size)
{
    size_t n = (size_t)dx_choose(c, dx_choose(c, 3) ? 255 : STATE_MAX / 2), used = 0;
    uint64_t sort = dx_choose(c, 2), seed = dx_choose(c, 255);
    for (size_t i = 0; i < n; i++) {
        const uint64_t r = dx_test_random(&seed);
        old[i] = (uint8_t)(sort == 0 ? r >> 56 : sort == 1 ? i / 4 % 4 ? 0 : r >> 60 : i * i >> 3);
    }
    for (uint64_t parts = 1 + dx_choose(c, 5); parts && used < STATE_MAX / 2; parts--) {
        size_t from = (size_t)dx_choose(c, n), size = (size_t)dx_choose(c, n - from), room = STATE_MAX - used;
        if (size > room) size = room;
        memcpy(now + used, old + from, size);
        for (uint64_t edits = dx_choose(c, 7); edits && size; edits--) now[used + dx_choose(c, size - 1)] ^= (uint8_t)(1 + dx_choose(c, 254));
        used += size;
        for (uint64_t more = dx_choose(c, 15); more && used < STATE_MAX; more--) now[used++] = (uint8_t)dx_choose(c, 255);
    }
    *old_size = n;
    *now_size = used;
}

static void seal(uint8_t *p, size_t size)
{
    dx_hde_p_store32(p + 8, dx_hde_p_crc32c(dx_hde_p_crc32c(0, p, 8), p + 12, size - 12));
}

/* Changes, mostly in the body; varint lengths stay valid only by luck. */
static void change(dx_choices *c)
{
    dx_hde_record r;
    for (uint64_t n = dx_choose(c, 4); n; n--) {
        uint64_t what = dx_choose(c, 5);
        DX_CHECK(record_size >= 12);
        if (dx_hde_info(record, record_size, &r) != 0) return;
        size_t body = record_size - r.head_size, at = r.head_size + (size_t)dx_choose(c, body ? body - 1 : 0);
        if (what <= 2 && body) {
            record[at] = (uint8_t)(record[at] ^ (1 + dx_choose(c, 254)));
        } else if (what == 3) { /* another header for the same body */
            uint8_t head[DX_HDE_HEAD_MAX];
            uint64_t field = dx_choose(c, 5);
            if (field == 0) r.state_size = dx_choose(c, STATE_MAX + 10);
            if (field == 1) r.kind = (uint8_t)(1 + dx_choose(c, 3));
            if (field == 2) r.coding = (uint8_t)dx_choose(c, 2);
            if (field == 3) r.stride_log = (uint8_t)dx_choose(c, 3), r.literal_bits = (uint8_t)dx_choose(c, 8);
            if (field == 4) r.subtract = !r.subtract;
            if (field == 5) r.keep = !r.keep;
            uint32_t size = dx_hde_p_put_head(&r, head);
            memmove(record + size, record + r.head_size, body);
            memcpy(record, head, size);
            record_size = size + body;
        } else if (what == 4 && body) { /* a shorter or longer body, as the header says */
            uint8_t head[DX_HDE_HEAD_MAX];
            r.body_size = dx_choose(c, 1) ? body - 1 - dx_choose(c, body < 8 ? body - 1 : 7) : body + 1 + dx_choose(c, 7);
            uint32_t size = dx_hde_p_put_head(&r, head);
            if (size + r.body_size > sizeof record) return;
            memmove(record + size, record + r.head_size, body);
            memcpy(record, head, size);
            for (size_t i = body; i < r.body_size; i++) record[size + i] = (uint8_t)dx_choose(c, 255);
            record_size = size + (size_t)r.body_size;
        } else if (what == 5 && r.kind == DX_HDE_PATCH && body > 128) { /* the patch inside, sealed again */
            uint8_t *p = record + r.head_size;
            p[128 + dx_choose(c, body - 129)] ^= (uint8_t)(1 + dx_choose(c, 254));
            if (dx_choose(c, 1)) dx_patch_p_store64(p + 40, 300000 + dx_choose(c, 300000)); /* its stated memory */
            dx_patch_p_store32(p + 112, dx_patch_p_crc32c(0, p + 128, body - 128));
            dx_patch_p_store32(p + 124, dx_patch_p_crc32c(0, p, 124));
        }
        seal(record, record_size);
    }
}

/* A record whose body is a patch from old to now, with another memory size unless that is 0. Encoders write one only if
   it is smaller than their own coding. */
static void forge_patch(size_t old_size, size_t now_size, uint64_t memory_size)
{
    static uint8_t memory[200000];
    dx_patch_create_desc d;
    dx_hde_record r;
    size_t size;
    memset(&d, 0, sizeof d);
    d.memory = memory;
    d.memory_size = sizeof memory;
    DX_CHECK_EQ(dx_patch_create(&d, old, old_size, now, now_size, second, sizeof second, &size), 0);
    if (memory_size) dx_patch_p_store64(second + 40, memory_size);
    dx_patch_p_store32(second + 124, dx_patch_p_crc32c(0, second, 124));
    memset(&r, 0, sizeof r);
    r.kind = DX_HDE_PATCH;
    r.hash_size = 32;
    r.state_size = now_size;
    r.body_size = size;
    dx_patch_hash(old, old_size, r.baseline);
    dx_patch_hash(now, now_size, r.hash);
    uint32_t head = dx_hde_p_put_head(&r, record);
    memcpy(record + head, second, size);
    record_size = head + size;
    seal(record, record_size);
}

/* Decode with the small and the large receiver: same result, same state. The caller frees the state. */
static int decode_at_both(uint64_t key, uint8_t **state, size_t *size)
{
    uint8_t *out[SIDES] = {NULL, NULL, NULL};
    size_t got[SIDES] = {0, 0, 0};
    int error[SIDES] = {0, 0, 0};
    for (int i = 1; i < SIDES; i++) {
        dx_hde *h = &sides[i].h;
        uint8_t *copy = exactly(record, record_size);
        uint32_t kept = h->stats_.baselines;
        out[i] = exactly(NULL, STATE_MAX + 8);
        error[i] = dx_hde_decode(h, key, 0, copy, record_size, out[i], STATE_MAX, &got[i]);
        DX_CHECK(!error[i] || (!got[i] && h->stats_.baselines == kept));
        free(copy);
    }
    if (error[1] == DX_HDE_ETOOBIG) DX_CHECK(error[2] == DX_HDE_ENOSPACE || error[2] == DX_HDE_ETOOBIG);
    else DX_CHECK_EQ(error[2], error[1]);
    DX_CHECK_EQ(got[2], got[1]);
    if (!error[1]) DX_CHECK_MEM(out[2], out[1], got[1]);
    free(out[2]);
    *state = out[1];
    *size = got[1];
    return error[1];
}

DX_PROPERTY(fuzz_hde, 300)
{
    size_t old_size, now_size, size;
    dx_hde_record r;
    uint8_t *state;
    open_sides((int)dx_choose(c, 3) * 3);
    draw_states(c, &old_size, &now_size);
    uint64_t kind = dx_choose(c, 3); /* as encoded, whole, or a patch */
    for (int i = 0; i < SIDES; i++) DX_CHECK_EQ(dx_hde_keep(&sides[i].h, 1, 0, old, old_size), 0);
    if (kind == 3) forge_patch(old_size, now_size, 0);
    else DX_CHECK_EQ(dx_hde_encode(&sides[0].h, kind == 2 ? 2 : 1, 0, now, now_size, record, sizeof record, &record_size), 0);
    change(c);
    int error = decode_at_both(1, &state, &size);
    if (!error && dx_hde_info(record, record_size, &r) == 0) {
        uint8_t hash[32];
        dx_patch_hash(state, size, hash);
        DX_CHECK_EQ(size, r.state_size);
        DX_CHECK_MEM(hash, r.hash, r.hash_size);
    }
    free(state);
}

/* A body of arbitrary bytes, as each kind in each coding. */
DX_PROPERTY(fuzz_hde_body, 300)
{
    size_t body, size;
    uint8_t *state;
    dx_hde_record r;
    open_sides(3);
    for (size_t i = 0; i < 600; i++) old[i] = (uint8_t)(i * i >> 4);
    for (int i = 0; i < SIDES; i++) DX_CHECK_EQ(dx_hde_keep(&sides[i].h, 1, 0, old, 600), 0);
    memset(&r, 0, sizeof r);
    r.kind = (uint8_t)(1 + dx_choose(c, 2));
    r.coding = (uint8_t)dx_choose(c, 2);
    r.stride_log = (uint8_t)dx_choose(c, 3);
    r.literal_bits = (uint8_t)dx_choose(c, 8);
    r.subtract = dx_choose(c, 1) != 0;
    r.hash_size = 32;
    r.state_size = dx_choose(c, 2047);
    r.body_size = body = (size_t)dx_choose(c, 255);
    dx_patch_hash(old, 600, r.baseline);
    uint32_t head = dx_hde_p_put_head(&r, record);
    for (size_t i = 0; i < body; i++) record[head + i] = (uint8_t)dx_choose(c, 255);
    record_size = head + body;
    seal(record, record_size);
    int error = decode_at_both(1, &state, &size);
    free(state);
    if (error != DX_HDE_ETARGET) return;
    /* All but the hash is valid: with the hash of the result it is accepted. */
    uint8_t *out = exactly(NULL, (size_t)r.state_size);
    const dx_hde_p_baseline *b = dx_hde_p_find(&sides[1].h, 1, r.baseline, 32);
    (void)dx_hde_p_state(&sides[1].h, &r, (const dx_hde_p_baseline *)(r.kind == DX_HDE_WHOLE ? NULL : b), record + head, out);
    dx_patch_hash(out, (size_t)r.state_size, r.hash);
    DX_CHECK_EQ(dx_hde_p_put_head(&r, record), head);
    seal(record, record_size);
    DX_CHECK_EQ(decode_at_both(1, &state, &size), 0);
    DX_CHECK_MEM(state, out, size);
    free(state);
    free(out);
}

/* Compose two records into one: the result equals that of both, or is an error; the second may be modified. */
DX_PROPERTY(fuzz_hde_compose, 300)
{
    size_t old_size, middle_size, now_size, size, second_size, got = 0;
    uint8_t *middle, *state, *work = exactly(NULL, 2 * STATE_MAX), *out = exactly(NULL, RECORD_MAX);
    open_sides((int)dx_choose(c, 3) * 3);
    draw_states(c, &old_size, &middle_size);
    for (int i = 0; i < SIDES; i++) DX_CHECK_EQ(dx_hde_keep(&sides[i].h, 1, 0, old, old_size), 0);
    DX_CHECK_EQ(dx_hde_encode(&sides[0].h, 1, 0, now, middle_size, second, sizeof second, &second_size), 0);
    middle = exactly(now, middle_size);
    now_size = middle_size;
    for (uint64_t edits = dx_choose(c, 9); edits && now_size; edits--) now[dx_choose(c, now_size - 1)] = (uint8_t)dx_choose(c, 255);
    (void)dx_hde_drop(&sides[0].h, 1);
    DX_CHECK_EQ(dx_hde_keep(&sides[0].h, 1, 0, middle, middle_size), 0);
    DX_CHECK_EQ(dx_hde_encode(&sides[0].h, 1, 0, now, now_size, record, sizeof record, &record_size), 0);
    change(c);
    int error = dx_hde_compose(&sides[1].h, 1, second, second_size, record, record_size, work, 2 * STATE_MAX, out, RECORD_MAX, &size);
    if (!error) {
        dx_hde_record r;
        uint8_t hash[32];
        memcpy(record, out, size);
        record_size = size;
        DX_CHECK_EQ(dx_hde_info(record, record_size, &r), 0);
        DX_CHECK_EQ(decode_at_both(1, &state, &got), 0);
        dx_patch_hash(state, got, hash);
        DX_CHECK_MEM(hash, r.hash, r.hash_size);
        free(state);
    }
    free(middle);
    free(work);
    free(out);
}

/* A patch in a record that needs more memory than every decoder has is refused, even where more is available. */
DX_TEST(the_patch_in_a_record_gets_what_every_decoder_has)
{
    static const uint64_t memory[] = {323472, 323473, 400000, 1000000};
    uint8_t *state;
    size_t size;
    open_sides(9);
    for (size_t i = 0; i < STATE_MAX; i++) old[i] = (uint8_t)(i * i >> 5);
    memcpy(now, old + 3, STATE_MAX - 3);
    memcpy(now + STATE_MAX - 3, "end", 3);
    for (int i = 0; i < SIDES; i++) DX_CHECK_EQ(dx_hde_keep(&sides[i].h, 1, 0, old, STATE_MAX), 0);
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) {
        forge_patch(STATE_MAX, STATE_MAX, memory[i]);
        DX_CHECK_EQ(decode_at_both(1, &state, &size), i ? DX_HDE_EHEADER : DX_HDE_OK);
        if (!i) DX_CHECK_MEM(state, now, STATE_MAX);
        free(state);
    }
}
