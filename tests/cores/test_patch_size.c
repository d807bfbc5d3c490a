/* How small the patches of dx_patch.h are. Each pair of files is made of what one kind of program or data changes like
   between two versions; its patch is no larger than it was when the bound was written here. A choice of the maker that
   gets worse shows only here: the patch would still be right. A bound may be lowered, and raised for a reason. */
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { ROOM = 1 << 16, FUNCTIONS = 40, ADDRESS = 0x08004000 };

static uint8_t base[ROOM], target[ROOM], patch[2 * ROOM], again[ROOM];
static size_t base_size, target_size;
static uint64_t maker_memory[(16 << 20) / 8];

/* >>pairs -------------------------------------------------------------- */
typedef enum pair {
    PAIR_X86, PAIR_I386, PAIR_THUMB, PAIR_ARM64, PAIR_RISCV, PAIR_WASM, PAIR_POINTERS, PAIR_TABLE, PAIR_NEAR, PAIR_BASED,
    PAIR_SINGLES, PAIR_DOUBLES, PAIR_ELF, PAIR_TEXT, PAIR_MOVED, PAIR_WRONG, PAIR_COUNT
} pair;

static void put(uint8_t *p, uint64_t v, int size)
{
    for (int i = 0; i < size; i++) p[i] = (uint8_t)(v >> 8 * i & 0xff);
}

/* One unit of eight bytes of a program at `at`, which calls or names what is at `to`. */
static void put_reference(pair kind, uint8_t *p, uint32_t at, uint32_t to, uint32_t index)
{
    const uint32_t distance = to - at;
    switch (kind) {
    case PAIR_X86:
        put(p, 0x48, 1);
        put(p + 1, 0xe8, 1);
        put(p + 2, to - (at + 6), 4);
        put(p + 6, 0xc389, 2);
        break;
    case PAIR_I386:
        put(p, 0xe8, 1);
        put(p + 1, to - (at + 5), 4);
        put(p + 5, 0x04c483, 3);
        break;
    case PAIR_THUMB: {
        const uint32_t d = distance - 4, s = d >> 24 & 1, i1 = d >> 23 & 1, i2 = d >> 22 & 1;
        put(p, 0xf000u | s << 10 | (d >> 12 & 0x3ff), 2);
        put(p + 2, 0xd000u | ((i1 ^ 1) ^ s) << 13 | ((i2 ^ 1) ^ s) << 11 | (d >> 1 & 0x7ff), 2);
        put(p + 4, 0xbf004620, 4);
        break;
    }
    case PAIR_ARM64:
        if (index & 1) {
            const uint32_t pages = (to >> 12) - (at >> 12);
            put(p, 0x90000000u | (pages & 3) << 29 | (pages >> 2 & 0x7ffff) << 5 | 3, 4);
            put(p + 4, 0x91000063u | (to & 0xfff) << 10, 4);
        } else {
            put(p, 0x94000000u | (distance >> 2 & 0x3ffffff), 4);
            put(p + 4, 0xaa0003e1, 4);
        }
        break;
    case PAIR_RISCV:
        if (index & 1) {
            put(p, ((distance + 0x800) & 0xfffff000u) | 0x97, 4);
            put(p + 4, (distance & 0xfff) << 20 | 0x000080e7, 4);
        } else {
            put(p, (distance >> 20 & 1) << 31 | (distance >> 1 & 0x3ff) << 21 | (distance >> 11 & 1) << 20 |
                       (distance >> 12 & 0xff) << 12 | 0xef, 4);
            put(p + 4, 0x00a00533, 4);
        }
        break;
    case PAIR_WASM:
        put(p, 0x10, 1);
        put(p + 1, (index & 0x7f) | 0x80, 1);
        put(p + 2, index >> 7, 1);
        put(p + 3, 0x6a04200220, 5);
        break;
    case PAIR_POINTERS: put(p, (uint64_t)ADDRESS + to, 8); break;
    case PAIR_TABLE:
        put(p, ADDRESS + to, 4);
        put(p + 4, index, 4);
        break;
    case PAIR_NEAR:
        put(p, distance, 4);
        put(p + 4, index, 4);
        break;
    default: /* PAIR_BASED */
        put(p, to, 4);
        put(p + 4, index, 4);
        break;
    }
}

/* A program of functions; later: with more in two of them, so that all behind these has moved. */
static size_t make_program(pair kind, uint8_t *p, bool later)
{
    uint32_t begin[FUNCTIONS + 1];
    uint64_t state = 17 + (uint64_t)kind;
    size_t at = 0;
    begin[0] = 0;
    for (uint32_t i = 0; i < FUNCTIONS; i++) {
        uint32_t units = 8 + (uint32_t)(dx_test_random(&state) % 24);
        if (later && i == 5) units += 5;
        if (later && i == 21) units += 2;
        begin[i + 1] = begin[i] + 8 * units;
    }
    for (uint32_t i = 0; i < FUNCTIONS; i++) {
        uint64_t own = i * 1000 + (uint64_t)kind;
        for (; at < begin[i + 1]; at += 8) {
            const uint64_t drawn = dx_test_random(&own);
            const uint32_t callee = (uint32_t)(drawn >> 8) % FUNCTIONS;
            if (drawn % 3) put_reference(kind, p + at, (uint32_t)at, begin[callee], callee * 5 + (later && kind == PAIR_WASM ? 3 : 0));
            else put(p + at, dx_test_random(&own) & UINT64_C(0x7f7f3f7f7f7f3f7f), 8);
        }
    }
    return at;
}

static size_t make_numbers(pair kind, uint8_t *p, bool later)
{
    const int size = kind == PAIR_SINGLES ? 4 : 8;
    uint64_t state = 5;
    size_t at = 0;
    for (int i = 0; i < 1200; i++, at += (size_t)size) {
        uint64_t v = dx_test_random(&state) >> (size == 4 ? 34 : 3);
        if (dx_test_random(&state) % 4 == 0 && later) v += 3 + (uint64_t)i % 7;
        put(p + at, v, size);
    }
    return at;
}

/* ELF of 64 bits with two segments, of which the second has moved; a table in it points into both. */
static size_t make_elf(uint8_t *p, bool later)
{
    const uint64_t text_at = 0x200, text_size = 0x1800 + (later ? 0x140u : 0u), data_at = text_at + text_size, data_size = 0x1000;
    const uint64_t text = 0x400000 + text_at, data = 0x600000 + data_at + (later ? 0x2000u : 0u);
    const size_t size = (size_t)(data_at + data_size);
    uint64_t state = 9;
    memset(p, 0, size);
    memcpy(p, "\177ELF\2\1\1", 7);
    put(p + 16, 2, 2);
    put(p + 18, 62, 2);
    put(p + 32, 64, 8);   /* of the table of segments, */
    put(p + 54, 56, 2);   /* an entry's size, */
    put(p + 56, 2, 2);    /* and their number */
    for (int i = 0; i < 2; i++) {
        uint8_t *const h = p + 64 + 56 * i;
        put(h, 1, 4);
        put(h + 8, i ? data_at : text_at, 8);
        put(h + 16, i ? data : text, 8);
        put(h + 32, i ? data_size : text_size, 8);
        put(h + 40, i ? data_size : text_size, 8);
    }
    for (uint64_t at = 0; at < text_size; at += 8) {
        if (later && at == 0x800) at += 0x140; /* what was inserted stays zero */
        put(p + text_at + at, dx_test_random(&state), 8);
    }
    state = 10;
    for (uint64_t at = 0; at < data_size; at += 8) {
        uint64_t to = dx_test_random(&state) % 0x2800 & ~(uint64_t)7;
        if (to < 0x1800) to += text + (later && to >= 0x800 ? 0x140 : 0);
        else to += data - 0x1800;
        put(p + data_at + at, at % 24 ? to : dx_test_random(&state), 8);
    }
    return size;
}

static size_t make_text(uint8_t *p, bool later)
{
    static const char *const words[] = {"return", "if (", "size", "uint32_t", "bytes", ");\n", "at", " = ", "->", "0", "error", "while ("};
    uint64_t state = 3;
    size_t at = 0;
    for (int i = 0; i < 1500; i++) {
        const uint64_t drawn = dx_test_random(&state);
        const char *word = words[drawn % 12];
        if (later && i % 211 == 50) word = "another_name";
        if (later && i % 23 == 5) { /* a word that is not in the base */
            uint64_t letters = drawn >> 8;
            for (int k = 0; k < 4 + i % 5; k++, letters /= 20) p[at++] = (uint8_t)"etaonirshdlucmfwypvg"[letters % 20];
            p[at++] = ' ';
        }
        if (later && i > 700 && i < 730) continue; /* a part is gone */
        memcpy(p + at, word, strlen(word));
        at += strlen(word);
        if (drawn >> 40 & 1) p[at++] = ' ';
    }
    return at;
}

/* Blocks of noise: later in another order, some are new, some are there twice. */
static size_t make_moved(uint8_t *p, bool later)
{
    static const uint8_t order[2][16] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                                         {12, 13, 2, 20, 4, 5, 0, 1, 15, 9, 21, 9, 8, 3, 14, 7}};
    size_t at = 0;
    for (int i = 0; i < 16; i++) {
        const size_t which = order[later][i];
        uint64_t state = 100 + which;
        for (size_t k = 0; k < 20 + which * 37; k++) p[at++] = (uint8_t)(dx_test_random(&state) & 0xff);
    }
    return at;
}

/* Noise with wrong bytes, at first few, then many. */
static size_t make_wrong(uint8_t *p, bool later)
{
    uint64_t state = 77, other = 78;
    for (size_t at = 0; at < 12000; at++) {
        p[at] = (uint8_t)(dx_test_random(&state) & 0xff);
        if (later && dx_test_random(&other) % (3 + (12000 - at) / 100) == 0) p[at] ^= (uint8_t)(1 + at % 5);
    }
    return 12000;
}

static size_t make_side(pair kind, uint8_t *p, bool later)
{
    switch (kind) {
    case PAIR_SINGLES:
    case PAIR_DOUBLES: return make_numbers(kind, p, later);
    case PAIR_ELF: return make_elf(p, later);
    case PAIR_TEXT: return make_text(p, later);
    case PAIR_MOVED: return make_moved(p, later);
    case PAIR_WRONG: return make_wrong(p, later);
    default: return make_program(kind, p, later);
    }
}

/* >>bounds ------------------------------------------------------------- */
static size_t size_of_patch(const dx_patch_create_desc *wanted)
{
    dx_patch_create_desc d = *wanted;
    size_t size = 0;
    d.memory = maker_memory;
    if (!d.memory_size) d.memory_size = sizeof maker_memory;
    DX_CHECK_EQ(dx_patch_create(&d, base, base_size, target, target_size, patch, sizeof patch, &size), 0);
    if (d.kind == DX_PATCH_KIND_FLASH) return size;
    if (d.kind == DX_PATCH_KIND_BLOCKS) {
        memcpy(again, base, base_size);
        size_t got;
        DX_CHECK_EQ(dx_patch_apply_in_place(again, base_size, sizeof again, patch, size, &got), 0);
        DX_CHECK_MEM(again, target, target_size);
    }
    return size;
}

static void check_bound(size_t size, size_t bound)
{
    if (size > bound) DX_CHECK_EQ(size, bound); /* shows both */
}

static void make_pair(pair kind)
{
    base_size = make_side(kind, base, false);
    target_size = make_side(kind, target, true);
    DX_CHECK(base_size <= ROOM && target_size <= ROOM);
}

enum { DELTA_1, DELTA_3, DELTA_6, DELTA_9, DELTA_TIGHT, FLASH, BLOCKS, WAYS };

static void check_sizes(pair kind, const uint32_t bounds[WAYS])
{
    make_pair(kind);
    for (int way = 0; way < WAYS; way++) {
        static const uint32_t levels[] = {1, 3, 6, 9, 6};
        dx_patch_create_desc d;
        memset(&d, 0, sizeof d);
        d.kind = way == FLASH ? DX_PATCH_KIND_FLASH : way == BLOCKS ? DX_PATCH_KIND_BLOCKS : DX_PATCH_KIND_DELTA;
        if (way < FLASH) d.level = levels[way];
        if (way == DELTA_TIGHT) {
            d.memory_size = 100000;
            d.apply_memory_max = 20000;
        }
        if (way >= FLASH) d.block_size = 256;
        check_bound(size_of_patch(&d), bounds[way]);
    }
}

#define SIZES(name, kind, ...)                              \
    DX_TEST(pt_size_of_##name)                              \
    {                                                       \
        static const uint32_t bounds[WAYS] = {__VA_ARGS__}; \
        check_sizes(kind, bounds);                          \
    }

/*                               delta 1,    3,    6,    9, tight, flash, blocks */
SIZES(x86, PAIR_X86, 204, 203, 203, 202, 463, 652, 5313)
SIZES(i386, PAIR_I386, 263, 222, 222, 222, 466, 641, 4859)
SIZES(thumb, PAIR_THUMB, 226, 218, 218, 218, 431, 615, 4898)
SIZES(arm64, PAIR_ARM64, 238, 237, 237, 236, 617, 791, 5239)
SIZES(riscv, PAIR_RISCV, 216, 210, 210, 210, 666, 874, 6043)
SIZES(wasm, PAIR_WASM, 196, 208, 208, 208, 378, 578, 5023)
SIZES(pointers, PAIR_POINTERS, 455, 460, 460, 460, 481, 669, 4498)
SIZES(table, PAIR_TABLE, 476, 473, 473, 473, 459, 633, 5127)
SIZES(near, PAIR_NEAR, 384, 383, 383, 382, 470, 665, 5796)
SIZES(based, PAIR_BASED, 241, 241, 241, 241, 462, 637, 5327)
SIZES(singles, PAIR_SINGLES, 387, 387, 387, 387, 415, 563, 756)
SIZES(doubles, PAIR_DOUBLES, 388, 388, 388, 388, 446, 743, 808)
SIZES(elf, PAIR_ELF, 239, 238, 236, 233, 411, 709, 8363)
SIZES(text, PAIR_TEXT, 684, 627, 599, 592, 585, 804, 7617)
SIZES(moved, PAIR_MOVED, 1751, 1751, 1751, 1751, 1739, 4206, 5871)
SIZES(wrong, PAIR_WRONG, 706, 700, 700, 700, 670, 1038, 1015)

static uint64_t noise_state;

static void put_noise(size_t size)
{
    while (size--) target[target_size++] = (uint8_t)(dx_test_random(&noise_state) & 0xff);
}

/* A target of noise with one piece of the base in it, wherever that is: at the very end, too, and however few seeds there
   is memory for. */
static size_t size_with_piece(size_t from, size_t size, size_t memory, uint32_t level)
{
    dx_patch_create_desc d;
    memset(&d, 0, sizeof d);
    d.level = level;
    d.memory_size = memory;
    noise_state = 4711;
    target_size = 0;
    put_noise(100);
    memcpy(target + target_size, base + from, size);
    target_size += size;
    put_noise(50);
    return size_of_patch(&d);
}

DX_TEST(pt_size_of_pieces_at_both_ends)
{
    uint64_t state = 99;
    for (size_t i = 0; i < ROOM; i++) base[i] = (uint8_t)(dx_test_random(&state) & 0xff);
    for (size_t more = 0; more < 20; more++) {
        const size_t places[] = {0, 1 + more, 20000 + more, 40000 + more - 60};
        base_size = 40000 + more;
        for (size_t i = 0; i < 4; i++) { /* 345 bytes where the piece is not found */
            for (uint32_t level = 1; level < 10; level += 4)
                check_bound(size_with_piece(places[i], 60, 0, level), 334);
            check_bound(size_with_piece(places[i], 60, 100000, 6), 334);
        }
    }
    for (base_size = 60; base_size < 100; base_size++) { /* small bases, whole and in part */
        check_bound(size_with_piece(0, base_size, 0, 6), 334);
        check_bound(size_with_piece(base_size - 60, 60, 0, 6), 334);
    }
}
