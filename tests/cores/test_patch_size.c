/* How small the patches of dx_patch.h are. Each pair of files mimics how one kind of program or data changes between two
   versions; its patch is no larger than when its bound was written here. A maker decision that gets worse shows only
   here, because the patch would still be valid. A bound may be lowered freely, but raised only for a reason. */
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { ROOM = 1 << 17, FUNCTIONS = 40, ADDRESS = 0x08004000 };

static uint8_t base[ROOM], target[ROOM], patch[2 * ROOM], again[ROOM];
static size_t base_size, target_size;
static uint64_t maker_memory[(16 << 20) / 8];

/* >>pairs -------------------------------------------------------------- */
typedef enum pair {
    PAIR_X86, PAIR_I386, PAIR_THUMB, PAIR_ARM64, PAIR_RISCV, PAIR_WASM, PAIR_POINTERS, PAIR_TABLE, PAIR_NEAR, PAIR_BASED,
    PAIR_SINGLES, PAIR_DOUBLES, PAIR_ELF, PAIR_FRAMES, PAIR_PE, PAIR_TEXT, PAIR_MOVED, PAIR_WRONG, PAIR_MIXED
} pair;

static void put(uint8_t *p, uint64_t v, int size)
{
    for (int i = 0; i < size; i++) p[i] = (uint8_t)(v >> 8 * i & 0xff);
}

/* One eight-byte unit of a program at `at` that calls or points to `to`. */
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

/* A program of functions; later: two of them have grown, so that everything after them has moved. */
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

enum { TEXT_SIZE = 0x1800, DATA_SIZE = 0x1000, INSERTED_AT = 0x800, INSERTED = 0x140 };

/* Code without internal references, later with insertions, and the addresses of functions in it; where it and its data
   are in the file and in memory. */
typedef struct image {
    uint64_t text_at, text, text_size, data_at, data;
    bool     later;
} image;

static uint64_t address_of(const image *m, uint64_t drawn) /* the address of a place in text or data, the same in both versions */
{
    const uint64_t to = drawn % (TEXT_SIZE + DATA_SIZE) & ~(uint64_t)7;
    if (to >= TEXT_SIZE) return m->data + to - TEXT_SIZE;
    return m->text + to + (m->later && to >= INSERTED_AT ? INSERTED : 0);
}

static image make_image(uint8_t *p, uint64_t address, bool later)
{
    image m;
    uint64_t state = 9;
    m.later = later;
    m.text_at = 0x200;
    m.text_size = TEXT_SIZE + (later ? INSERTED : 0);
    m.data_at = m.text_at + m.text_size;
    m.text = address + 0x1000;
    m.data = address + 0x10000 + (later ? 0x2000u : 0u);
    memset(p, 0, (size_t)m.data_at + DATA_SIZE);
    for (uint64_t at = 0; at < m.text_size; at += 8) {
        if (later && at == INSERTED_AT) at += INSERTED; /* the insertion stays zero */
        put(p + m.text_at + at, dx_test_random(&state), 8);
    }
    return m;
}

/* 64-bit ELF with two segments, the second of which has moved, and pointers into both. With frames: half of the data is a
   table of 32-bit offsets relative to itself, as .eh_frame_hdr. */
static size_t make_elf(uint8_t *p, bool later, bool frames)
{
    const image m = make_image(p, 0x400000, later);
    const uint64_t table = DATA_SIZE / 2;
    uint64_t state = 10;
    memcpy(p, "\177ELF\2\1\1", 7);
    put(p + 16, 2, 2);
    put(p + 18, 62, 2);
    put(p + 32, 64, 8); /* the offset of the segment table, */
    put(p + 54, 56, 2); /* an entry's size, */
    put(p + 56, frames ? 3 : 2, 2); /* and their number */
    for (int i = 0; i < 3; i++) {
        uint8_t *const h = p + 64 + 56 * i;
        put(h, i < 2 ? 1 : 0x6474e550, 4);
        put(h + 8, i == 0 ? m.text_at : m.data_at + (i == 2 ? table : 0), 8);
        put(h + 16, i == 0 ? m.text : m.data + (i == 2 ? table : 0), 8);
        put(h + 32, i == 0 ? m.text_size : DATA_SIZE, 8);
        put(h + 40, i == 0 ? m.text_size : DATA_SIZE, 8);
    }
    for (uint64_t at = 0; at < DATA_SIZE; at += 8) {
        const uint64_t drawn = dx_test_random(&state), to = address_of(&m, drawn);
        if (frames && at >= table) {
            put(p + m.data_at + at, to - (m.data + table), 4);
            put(p + m.data_at + at + 4, drawn >> 40, 4);
        } else {
            put(p + m.data_at + at, at % 24 ? to : drawn, 8);
        }
    }
    return (size_t)m.data_at + DATA_SIZE;
}

/* 64-bit PE: sections, and 32-bit addresses relative to the image base. */
static size_t make_pe(uint8_t *p, bool later)
{
    const uint64_t base_address = UINT64_C(0x140000000);
    const image m = make_image(p, base_address, later);
    uint64_t state = 12;
    memcpy(p, "MZ", 2);
    put(p + 60, 0x40, 4);
    memcpy(p + 0x40, "PE\0\0\x64\x86", 6);
    put(p + 0x40 + 6, 2, 2);
    put(p + 0x40 + 20, 0x70, 2);
    put(p + 0x40 + 24, 0x20b, 2);
    put(p + 0x40 + 48, base_address, 8);
    for (int i = 0; i < 2; i++) {
        uint8_t *const h = p + 0x40 + 24 + 0x70 + 40 * i;
        put(h + 8, i ? DATA_SIZE : m.text_size, 4);
        put(h + 12, (i ? m.data : m.text) - base_address, 4);
        put(h + 16, i ? DATA_SIZE : m.text_size, 4);
        put(h + 20, i ? m.data_at : m.text_at, 4);
    }
    for (uint64_t at = 0; at < DATA_SIZE; at += 8) {
        const uint64_t drawn = dx_test_random(&state), to = address_of(&m, drawn);
        if (at < DATA_SIZE / 2) put(p + m.data_at + at, (to - base_address) | (drawn >> 20) << 32, 8);
        else put(p + m.data_at + at, at % 24 ? to : drawn, 8);
    }
    return (size_t)m.data_at + DATA_SIZE;
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
        if (later && i % 23 == 5) { /* a word that the base does not have */
            uint64_t letters = drawn >> 8;
            for (int k = 0; k < 4 + i % 5; k++, letters /= 20) p[at++] = (uint8_t)"etaonirshdlucmfwypvg"[letters % 20];
            p[at++] = ' ';
        }
        if (later && i > 700 && i < 730) continue; /* a part was removed */
        memcpy(p + at, word, strlen(word));
        at += strlen(word);
        if (drawn >> 40 & 1) p[at++] = ' ';
    }
    return at;
}

/* Blocks of noise: later in another order, some new, some duplicated. */
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

/* Noise with wrong bytes, first few, then many. */
static size_t make_wrong(uint8_t *p, bool later)
{
    uint64_t state = 77, other = 78;
    for (size_t at = 0; at < 12000; at++) {
        p[at] = (uint8_t)(dx_test_random(&state) & 0xff);
        if (later && dx_test_random(&other) % (3 + (12000 - at) / 100) == 0) p[at] ^= (uint8_t)(1 + at % 5);
    }
    return 12000;
}

static size_t make_side(pair kind, uint8_t *p, bool later);

/* Enough blocks in a row of one kind, then of alternating kinds, that the maker has to adapt again and again. */
static size_t make_mixed(uint8_t *p, bool later)
{
    static const pair order[] = {PAIR_TEXT, PAIR_X86, PAIR_POINTERS, PAIR_ARM64, PAIR_SINGLES, PAIR_I386, PAIR_TABLE,
                                 PAIR_THUMB, PAIR_WRONG, PAIR_DOUBLES, PAIR_NEAR, PAIR_RISCV, PAIR_WASM};
    size_t at = 0;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        at += make_side(order[i], p + at, later);
        while (at % 16) p[at++] = 0;
    }
    return at;
}

static size_t make_side(pair kind, uint8_t *p, bool later)
{
    switch (kind) {
    case PAIR_SINGLES:
    case PAIR_DOUBLES: return make_numbers(kind, p, later);
    case PAIR_ELF: return make_elf(p, later, false);
    case PAIR_FRAMES: return make_elf(p, later, true);
    case PAIR_PE: return make_pe(p, later);
    case PAIR_MIXED: return make_mixed(p, later);
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
    if (size > bound) DX_CHECK_EQ(size, bound); /* prints both */
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
        if (way == DELTA_1) { /* fast to apply: without a mixer, which would take longer */
            dx_patch_header h;
            DX_CHECK_EQ(dx_patch_info(patch, 128, &h), 0);
            DX_CHECK(h.memory_size < 40000);
        }
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
SIZES(elf, PAIR_ELF, 244, 243, 240, 237, 464, 751, 8364)
SIZES(frames, PAIR_FRAMES, 251, 251, 247, 244, 597, 881, 8649)
SIZES(pe, PAIR_PE, 206, 205, 205, 205, 464, 793, 8666)
SIZES(text, PAIR_TEXT, 684, 627, 599, 592, 585, 804, 7617)
SIZES(moved, PAIR_MOVED, 1751, 1751, 1751, 1751, 1739, 4206, 5871)
SIZES(wrong, PAIR_WRONG, 706, 700, 700, 700, 670, 1038, 1015)
SIZES(mixed, PAIR_MIXED, 4724, 4434, 4407, 3549, 5603, 7918, 86434)

static uint64_t noise_state;

static void put_noise(size_t size)
{
    while (size--) target[target_size++] = (uint8_t)(dx_test_random(&noise_state) & 0xff);
}

/* A noise target with one piece of the base, at any place, including the very end, and with memory for few seeds. */
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
        for (size_t i = 0; i < 4; i++) { /* 345 bytes if the piece is not found */
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
