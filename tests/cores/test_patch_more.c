/* Tests of dx_patch.h that mutants asked for: the fields of machine code against the encodings of their manuals. */
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

static uint32_t bits(uint32_t v, int high, int low) { return v >> low & ((2u << (high - low)) - 1); }

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}

/* What is loaded has these low bits, and storing it gives the bytes back. */
static void check_field(const uint8_t *bytes, uint32_t form, uint32_t size, uint64_t value, int count)
{
    uint8_t back[16];
    const uint64_t mask = count < 64 ? ((uint64_t)1 << count) - 1 : UINT64_MAX;
    const uint64_t v = dx_patch_p_load_field(bytes, form, size);
    DX_CHECK_EQ(v & mask, value & mask);
    memset(back, 0xee, sizeof back);
    dx_patch_p_store_field(back, form, size, v);
    DX_CHECK_MEM(back, bytes, size);
    DX_CHECK_EQ(back[size], 0xee);
    /* Another number in the same field: only its own bits change. */
    dx_patch_p_store_field(back, form, size, v ^ mask);
    DX_CHECK_EQ(dx_patch_p_load_field(back, form, size), v ^ mask);
}

DX_PROPERTY(pt_field_of_thumb_bl, 500) /* ARM ARM, A7.7.18, encoding T1 */
{
    const uint32_t distance = (uint32_t)dx_choose(c, 0xffffff) << 1; /* 25 bits, signed */
    const uint32_t s = bits(distance, 24, 24), i1 = bits(distance, 23, 23), i2 = bits(distance, 22, 22);
    const uint32_t j1 = (i1 ^ 1) ^ s, j2 = (i2 ^ 1) ^ s;
    const uint32_t first = 0xf000u | s << 10 | bits(distance, 21, 12);
    const uint32_t second = 0xd000u | j1 << 13 | j2 << 11 | bits(distance, 11, 1);
    uint8_t bytes[4];
    put32(bytes, first | second << 16);
    check_field(bytes, DX_PATCH_P_FORM_BL, 4, distance >> 1, 24);
}

DX_PROPERTY(pt_field_of_riscv_jal, 500) /* RISC-V unprivileged ISA, 2.5.1 */
{
    const uint32_t distance = (uint32_t)dx_choose(c, 0xfffff) << 1, low = (uint32_t)dx_choose(c, 31) << 7 | 0x6f;
    uint8_t bytes[4];
    put32(bytes, bits(distance, 20, 20) << 31 | bits(distance, 10, 1) << 21 | bits(distance, 11, 11) << 20 |
                     bits(distance, 19, 12) << 12 | low);
    check_field(bytes, DX_PATCH_P_FORM_JAL, 4, distance >> 1, 20);
}

DX_PROPERTY(pt_field_of_arm64_adrp, 500) /* Arm A64, C6.2.12 */
{
    const uint32_t pages = (uint32_t)dx_choose(c, 0x1fffff), rd = (uint32_t)dx_choose(c, 31);
    uint8_t bytes[4];
    put32(bytes, 0x90000000u | bits(pages, 1, 0) << 29 | bits(pages, 20, 2) << 5 | rd);
    check_field(bytes, DX_PATCH_P_FORM_ADRP, 4, pages, 21);
}

DX_PROPERTY(pt_field_of_arm64_add, 500)
{
    const uint32_t low = (uint32_t)dx_choose(c, 0xfff), rest = (uint32_t)dx_choose(c, 0x3ff);
    uint8_t bytes[4];
    put32(bytes, 0x91000000u | low << 10 | rest);
    check_field(bytes, DX_PATCH_P_FORM_LOW, 4, low, 12);
}

/* AUIPC and an instruction that adds the low 12 bits, signed: a load or ADDI, or one of the two stores. */
DX_PROPERTY(pt_field_of_riscv_auipc_pairs, 2000)
{
    static const uint32_t opcodes[5] = {0x13, 0x03, 0x67, 0x23, 0x27};
    const uint32_t distance = (uint32_t)dx_choose(c, UINT32_MAX), opcode = opcodes[dx_choose(c, 4)];
    const uint32_t low = distance & 0xfff, high = (distance + 0x800) & 0xfffff000u;
    const uint32_t rd = (uint32_t)dx_choose(c, 31), rs2 = (uint32_t)dx_choose(c, 31), width = (uint32_t)dx_choose(c, 7);
    const bool store = (opcode & 0x7b) == 0x23;
    uint8_t bytes[8];
    put32(bytes, high | rd << 7 | 0x17);
    put32(bytes + 4, store ? bits(low, 11, 5) << 25 | rs2 << 20 | rd << 15 | width << 12 | bits(low, 4, 0) << 7 | opcode
                           : low << 20 | rd << 15 | width << 12 | rs2 << 7 | opcode);
    check_field(bytes, DX_PATCH_P_FORM_AUIPC, 8, distance, 32);
}

DX_PROPERTY(pt_field_of_leb128, 500)
{
    const uint32_t size = (uint32_t)dx_choose_range(c, 1, 5);
    const uint64_t number = dx_choose(c, ((uint64_t)1 << 7 * size) - 1);
    uint8_t bytes[8];
    for (uint32_t i = 0; i < size; i++) bytes[i] = (uint8_t)((number >> 7 * i & 127) | (dx_choose(c, 1) << 7));
    check_field(bytes, DX_PATCH_P_FORM_LEB, size, number, 7 * (int)size);
}

DX_PROPERTY(pt_field_of_plain_bytes, 500)
{
    const uint32_t size = (uint32_t)dx_choose_range(c, 1, 8);
    uint64_t number = 0;
    uint8_t bytes[8];
    for (uint32_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)dx_choose(c, 255);
        number |= (uint64_t)bytes[i] << 8 * i;
    }
    check_field(bytes, DX_PATCH_P_FORM_PLAIN, size, number, 8 * (int)size);
}

/* 0, -1, 1, -2, 2 .. are 0, 1, 2, 3, 4 .., also where 64 bits end. */
DX_PROPERTY(pt_signed_numbers_fold_and_unfold, 500)
{
    static const int64_t edges[8] = {0, -1, 1, -2, INT64_MAX, INT64_MIN, INT64_MAX / 2 + 1, INT64_MIN / 2 - 1};
    const int64_t v = dx_choose(c, 1) ? edges[dx_choose(c, 7)] : (int64_t)dx_choose(c, UINT64_MAX);
    const uint64_t want = v < 0 ? (uint64_t)-(v + 1) * 2 + 1 : (uint64_t)v * 2;
    DX_CHECK_EQ(dx_patch_p_fold((uint64_t)v), want);
    DX_CHECK_EQ(dx_patch_p_unfold(want), v);
}

/* >>segments: headers of executables as their manuals lay them out ------- */
typedef struct segment {
    uint64_t offset, address, file_size, memory_size;
    bool     loaded; /* else an entry of another type, to be passed over */
} segment;

typedef enum format { ELF64, ELF32, PE32, PE64, MACHO, FORMATS } format;

static void put(uint8_t *p, uint64_t v, int size)
{
    for (int i = 0; i < size; i++) p[i] = (uint8_t)(v >> 8 * i);
}

/* Writes headers with these segments; returns where they end. */
static size_t put_headers(uint8_t *p, format f, const segment *s, size_t count, size_t gap, uint64_t image)
{
    size_t at = 64 + gap;
    if (f == ELF64 || f == ELF32) {
        const int word = f == ELF64 ? 8 : 4;
        memcpy(p, f == ELF64 ? "\177ELF\2\1" : "\177ELF\1\1", 6);
        put(p + (f == ELF64 ? 32 : 28), at, word);
        put(p + (f == ELF64 ? 56 : 44), count, 2);
        for (size_t i = 0; i < count; i++, at += f == ELF64 ? 56 : 32) {
            uint8_t *e = p + at, *q = e + (f == ELF64 ? 8 : 4);
            put(e, s[i].loaded ? 1 : 6, 4);
            put(q, s[i].offset, word);
            put(q + word, s[i].address, word);
            put(q + 2 * word, 0x77777777, 4); /* the physical address is not looked at */
            put(q + 3 * word, s[i].file_size, word);
            put(q + 4 * word, s[i].memory_size, word);
        }
    } else if (f == PE32 || f == PE64) {
        uint8_t *pe = p + at;
        const size_t optional = 96 + gap;
        memcpy(p, "MZ", 2);
        put(p + 60, at, 4);
        memcpy(pe, "PE\0\0", 4);
        put(pe + 6, count, 2);
        put(pe + 20, optional, 2);
        put(pe + 24, f == PE32 ? 0x10b : 0x20b, 2);
        put(pe + (f == PE32 ? 52 : 48), image, f == PE32 ? 4 : 8);
        at += 24 + optional;
        for (size_t i = 0; i < count; i++, at += 40) {
            put(p + at, 0x1111, 8); /* a name */
            put(p + at + 8, s[i].memory_size, 4);
            put(p + at + 12, s[i].address, 4);
            put(p + at + 16, s[i].file_size, 4);
            put(p + at + 20, s[i].offset, 4);
        }
    } else {
        put(p, 0xfeedfacf, 4);
        put(p + 16, count, 4);
        at = 32;
        for (size_t i = 0; i < count; i++) {
            const size_t size = s[i].loaded ? 72 + 80 * (i % 3) : 24;
            put(p + at, s[i].loaded ? 25 : 2, 4);
            put(p + at + 4, size, 4);
            if (s[i].loaded) {
                put(p + at + 24, s[i].address, 8);
                put(p + at + 32, s[i].memory_size, 8);
                put(p + at + 40, s[i].offset, 8);
                put(p + at + 48, s[i].file_size, 8);
            }
            at += size;
        }
    }
    return at;
}

/* Entries are read while 56 bytes are left, the longest entry's size: shorter tables have something behind them. */
DX_PROPERTY(pt_segments_of_every_format, 3000)
{
    static uint8_t bytes[4096];
    uint64_t setup[2 + 4 * (DX_PATCH_P_SEGMENTS + 1)], want[2 + 4 * (DX_PATCH_P_SEGMENTS + 1)];
    segment s[DX_PATCH_P_SEGMENTS];
    const format f = (format)dx_choose(c, FORMATS - 1);
    const bool is_pe = f == PE32 || f == PE64, wide = f == ELF64 || f == MACHO;
    const size_t count = (size_t)dx_choose(c, DX_PATCH_P_SEGMENTS < 6 ? DX_PATCH_P_SEGMENTS : 6);
    const uint64_t image = is_pe ? dx_choose(c, f == PE32 ? 0xffffffffu : UINT64_MAX >> 8) : 0;
    size_t loaded = 0;
    memset(s, 0, sizeof s);
    memset(bytes, 0, sizeof bytes);
    memset(want, 0, sizeof want);
    for (size_t i = 0; i < count; i++) {
        s[i].loaded = is_pe || dx_choose(c, 3) != 0;
        s[i].offset = dx_choose(c, 0xffffff);
        /* Each lies elsewhere relative to its offset, so that no two become one. */
        s[i].address = s[i].offset + ((i + 1) << 25) + (wide ? dx_choose(c, 0xffff) << 40 : 0);
        s[i].file_size = dx_choose(c, 0xffffff);
        s[i].memory_size = s[i].file_size + dx_choose(c, 0xffff);
        if (!s[i].loaded) continue;
        uint64_t *w = want + 2 + 4 * loaded++;
        w[0] = s[i].offset;
        w[1] = s[i].address + image;
        w[2] = s[i].file_size;
        w[3] = s[i].memory_size;
    }
    size_t end = put_headers(bytes, f, s, count, 8 * (size_t)dx_choose(c, 4), image);
    if (f == ELF32) end += 56 - 32;
    if (is_pe) end += 56 - 40;
    if (f == MACHO && end < 32 + 64) end = 32 + 64;
    if (end < 128) end = 128;
    want[0] = loaded;
    want[1] = image;
    if (!loaded) {
        want[0] = 1;
        want[4] = want[5] = end;
    }
    memset(setup, 0, sizeof setup);
    DX_CHECK_EQ(dx_patch_p_find_segments(bytes, end, setup), loaded != 0);
    for (size_t i = 0; i < 2 + 4 * want[0]; i++) {
        if (!loaded && (i == 2 || i == 3)) continue;
        DX_CHECK_EQ(setup[i], want[i]);
    }
    /* Without its last byte the last entry is not read, or lies in the file no more. */
    if (f == ELF64 && count && s[count - 1].loaded && end == 64 + 56 * count) {
        memset(setup, 0, sizeof setup);
        DX_CHECK_EQ(dx_patch_p_find_segments(bytes, end - 1, setup), loaded > 1);
        DX_CHECK_EQ(setup[0], loaded > 1 ? loaded - 1 : 1);
    }
}

/* A segment that continues the one before, in the file and in memory, is one with it; behind zeros that are only in
   memory it is not. */
DX_TEST(pt_segments_that_continue_are_one)
{
    static uint8_t bytes[1024];
    uint64_t setup[2 + 4 * (DX_PATCH_P_SEGMENTS + 1)];
    segment s[3] = {{0x1000, 0x401000, 0x500, 0x500, true},
                    {0x1800, 0x401800, 0x300, 0x400, true},
                    {0x2000, 0x402000, 0x100, 0x100, true}};
    size_t end = put_headers(bytes, ELF64, s, 3, 0, 0);
    DX_CHECK(dx_patch_p_find_segments(bytes, end, setup));
    DX_CHECK_EQ(setup[0], 2);
    DX_CHECK_EQ(setup[2], 0x1000);
    DX_CHECK_EQ(setup[3], 0x401000);
    DX_CHECK_EQ(setup[4], 0x800 + 0x300);
    DX_CHECK_EQ(setup[5], 0x800 + 0x400);
    DX_CHECK_EQ(setup[6], 0x2000);
    DX_CHECK_EQ(setup[7], 0x402000);
    DX_CHECK_EQ(setup[8], 0x100);
    DX_CHECK_EQ(setup[9], 0x100);
    s[1].offset = 0xfff; /* it goes back in the file */
    s[1].address = 0x400fff;
    end = put_headers(bytes, ELF64, s, 2, 0, 0);
    DX_CHECK(dx_patch_p_find_segments(bytes, end, setup));
    DX_CHECK_EQ(setup[0], 2);
}

/* PT_GNU_EH_FRAME says where .eh_frame_hdr is: what is relative to the base there is relative to it. */
DX_TEST(pt_segments_with_an_eh_frame)
{
    static uint8_t bytes[512];
    uint64_t setup[2 + 4 * (DX_PATCH_P_SEGMENTS + 1)];
    segment s[2] = {{0x1000, 0x401000, 0x500, 0x500, true}, {0x1400, 0x7654321, 0x30, 0x30, false}};
    size_t end = put_headers(bytes, ELF64, s, 2, 0, 0);
    put(bytes + 64 + 56, 0x6474e550, 4);
    DX_CHECK(dx_patch_p_find_segments(bytes, end, setup));
    DX_CHECK_EQ(setup[0], 1);
    DX_CHECK_EQ(setup[1], 0x7654321);
}
