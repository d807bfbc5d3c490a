/* Tests of dx_patch.h that mutants called for: the fields of machine code against the encodings in the manuals. */
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#define DX_TEST_MAIN
#include "../dx_test.h"
#include "../patch_pairs.h"

static uint32_t bits(uint32_t v, int high, int low) { return v >> low & ((2u << (high - low)) - 1); }

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}

/* A load yields these low bits, and storing them restores the bytes. */
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
    /* Another number in the same field changes only its own bits. */
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

/* The target of ADRP and ADD: the page of the instruction's address (not its offset), moved by a number of pages, plus the rest.
   Both instructions give the same target. */
DX_PROPERTY(pt_target_of_arm64_adrp_and_add, 2000)
{
    const uint32_t pages = (uint32_t)dx_choose(c, 0xfffff), low = (uint32_t)dx_choose(c, 0xfff), reg = (uint32_t)dx_choose(c, 30);
    const uint32_t before = 4 * (uint32_t)dx_choose(c, 5), between = 4 * (uint32_t)dx_choose(c, 3);
    uint8_t bytes[64] = {0};
    dx_patch_p_block b;
    memset(&b, 0, sizeof b);
    b.old_bytes = bytes;
    b.old_at = 4 * dx_choose(c, 1 << 20);
    b.bias[0] = 4 * dx_choose(c, 1 << 28);
    b.size = b.limit = sizeof bytes;
    put32(bytes + before, 0x90000000u | bits(pages, 1, 0) << 29 | bits(pages, 20, 2) << 5 | reg);
    put32(bytes + before + 4 + between, 0x91000000u | low << 10 | reg << 5 | reg);
    const uint64_t here = (b.old_at + b.bias[0] + before) & ~(uint64_t)4095;
    for (int second = 0; second < 2; second++) {
        dx_patch_p_field f;
        memset(&f, 0, sizeof f);
        dx_patch_p_locate_arm64(&f, &b, second ? before + 4 + between : before);
        DX_CHECK_EQ(f.form, second ? DX_PATCH_P_FORM_LOW : DX_PATCH_P_FORM_ADRP);
        DX_CHECK_EQ(f.target, here + ((uint64_t)pages << 12) + low);
    }
}

/* AUIPC and an instruction that adds the signed low 12 bits: a load or ADDI, or one of the two stores. */
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

/* Zigzag: 0, -1, 1, -2, 2 .. become 0, 1, 2, 3, 4 .., up to the ends of the 64-bit range. */
DX_PROPERTY(pt_signed_numbers_fold_and_unfold, 500)
{
    static const int64_t edges[8] = {0, -1, 1, -2, INT64_MAX, INT64_MIN, INT64_MAX / 2 + 1, INT64_MIN / 2 - 1};
    const int64_t v = dx_choose(c, 1) ? edges[dx_choose(c, 7)] : (int64_t)dx_choose(c, UINT64_MAX);
    const uint64_t want = v < 0 ? (uint64_t)-(v + 1) * 2 + 1 : (uint64_t)v * 2;
    DX_CHECK_EQ(dx_patch_p_zigzag((uint64_t)v), want);
    DX_CHECK_EQ(dx_patch_p_unzigzag(want), v);
}

/* >>segments: headers of executables as their manuals lay them out ------- */
typedef struct segment {
    uint64_t offset, address, file_size, memory_size;
    bool     loaded; /* else an entry of another type, to be skipped */
} segment;

typedef enum format { ELF64, ELF32, PE32, PE64, MACHO, FORMATS } format;

static void put(uint8_t *p, uint64_t v, int size)
{
    for (int i = 0; i < size; i++) p[i] = (uint8_t)(v >> 8 * i);
}

/* Write headers with these segments; returns the end offset. */
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
            put(q + 2 * word, 0x77777777, 4); /* the physical address is ignored */
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

/* Entries are read while 56 bytes remain, the size of the longest entry: shorter tables have data after them. */
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
        /* Each at another address relative to its offset, so that no two merge. */
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
    /* Without its last byte, the last entry is not read, or is no longer inside the file. */
    if (f == ELF64 && count && s[count - 1].loaded && end == 64 + 56 * count) {
        memset(setup, 0, sizeof setup);
        DX_CHECK_EQ(dx_patch_p_find_segments(bytes, end - 1, setup), loaded > 1);
        DX_CHECK_EQ(setup[0], loaded > 1 ? loaded - 1 : 1);
    }
}

/* A segment that continues the previous one, in the file and in memory, merges with it; after zeros that are only in memory it
   does not. */
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
    s[1].offset = 0xfff; /* a lower offset in the file */
    s[1].address = 0x400fff;
    end = put_headers(bytes, ELF64, s, 2, 0, 0);
    DX_CHECK(dx_patch_p_find_segments(bytes, end, setup));
    DX_CHECK_EQ(setup[0], 2);
}

/* PT_GNU_EH_FRAME locates .eh_frame_hdr: fields relative to the base are relative to it there. */
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

/* >>patches by hand: a writer of patches that dx_patch_create() never makes --------- */
enum { BY_HAND_MEMORY = 1 << 20 };

typedef struct by_hand {
    dx_patch_header header;
    dx_patch_p_coder coder; /* writes the stream after the parameters or tables */
    dx_patch_p_delta delta; /* for its rows */
    size_t front;           /* bytes of parameters or tables */
    size_t size;            /* of the finished patch */
    uint8_t bytes[4096];
} by_hand;

static by_hand hand;
static uint8_t hand_memory[BY_HAND_MEMORY], apply_memory[BY_HAND_MEMORY];
static uint8_t hand_base[4096], hand_target[4096], hand_out[4096];

static void hand_start(int kind, size_t base_size, size_t target_size)
{
    memset(&hand, 0, sizeof hand);
    hand.header.kind = (uint8_t)kind;
    hand.header.hash_kind = 1;
    hand.header.coding = DX_PATCH_CODING_RANGE;
    hand.header.base_size = base_size;
    hand.header.target_size = target_size;
    hand.header.memory_size = kind == DX_PATCH_KIND_FLASH ? 5696 : 17044;
}

/* A range-coded delta without a map, all other parameters 0. */
static void hand_delta(size_t base_size, size_t target_size)
{
    uint8_t *at = hand_memory;
    size_t left = sizeof hand_memory;
    hand_start(DX_PATCH_KIND_DELTA, base_size, target_size);
    DX_CHECK(dx_patch_p_delta_start(&hand.delta, &at, &left));
    hand.front = 5;
    hand.bytes[128 + 1] = 34;
    hand.coder.rows_ = hand.delta.coder_.rows_;
    dx_patch_p_start_writing(&hand.coder, hand.bytes + 128 + 5, sizeof hand.bytes - 128 - 5);
}

static void hand_seal(size_t body_size)
{
    hand.header.body_size = body_size;
    hand.header.body_crc = dx_patch_p_crc32c(0, hand.bytes + 128, body_size);
    dx_patch_hash(hand_base, (size_t)hand.header.base_size, hand.header.base_hash);
    dx_patch_hash(hand_target, (size_t)hand.header.target_size, hand.header.target_hash);
    dx_patch_p_store_header(hand.bytes, &hand.header);
    hand.size = 128 + body_size;
}

static void hand_finish(void)
{
    dx_patch_p_finish_writing(&hand.coder);
    DX_CHECK(!hand.coder.overrun_);
    hand_seal(hand.front + hand.coder.at_);
}

static void hand_number(uint32_t which, uint64_t v) { (void)dx_patch_p_number(&hand.coder, which, v); }

/* 2^63 or more in this coding: a first symbol of 15, a second one of 15, and a length of 64 bits. */
static void hand_number_beyond(uint32_t which)
{
    (void)dx_patch_p_symbol(&hand.coder, which * DX_PATCH_P_NUMBER, 15);
    (void)dx_patch_p_symbol(&hand.coder, which * DX_PATCH_P_NUMBER + 15, 15);
    (void)dx_patch_p_even(&hand.coder, 6, 64 - 23);
}

static int hand_apply(void)
{
    size_t got = 0;
    int error = dx_patch_apply(hand_base, (size_t)hand.header.base_size, hand.bytes, hand.size, hand_out,
                               sizeof hand_out, &got, apply_memory, sizeof apply_memory);
    if (error) return error;
    DX_CHECK_EQ(got, hand.header.target_size);
    DX_CHECK_MEM(hand_out, hand_target, got);
    return 0;
}

/* A patch from nothing to nothing with these parameters. With the memory they need it is valid; any error is a parameter error. */
static int with_parameters(int p0, int p1, int p2, int p3, int p4, uint64_t memory_size)
{
    hand_delta(0, 0);
    hand.bytes[128] = (uint8_t)p0;
    hand.bytes[129] = (uint8_t)p1;
    hand.bytes[130] = (uint8_t)p2;
    hand.bytes[131] = (uint8_t)p3;
    hand.bytes[132] = (uint8_t)p4;
    if (p1 == 35) /* the setup: no covers, no segments */
        for (int i = 0; i < 5; i++) hand_number(DX_PATCH_P_N_SETUP, 0);
    hand.header.memory_size = memory_size;
    hand_finish();
    return hand_apply();
}

static int parameters(int p0, int p1, int p2, int p3, int p4)
{
    return with_parameters(p0, p1, p2, p3, p4, sizeof apply_memory);
}

/* Each parameter of a delta at its limits and beyond: docs/PATCH.md, section 3. */
DX_TEST(pt_limits_of_parameters)
{
    DX_CHECK_EQ(parameters(0, 34, 0, 0, 0), 0);
    for (int l = 0; l < 16; l++) DX_CHECK_EQ(parameters(l, 34, 0, 0, 0), l <= 8 ? 0 : DX_PATCH_EVERSION);
    for (int w = 0; w < 4; w++) DX_CHECK_EQ(parameters(w << 4, 34, 0, 0, 0), 0);
    DX_CHECK_EQ(parameters(64, 34, 0, 0, 0), 0);
    DX_CHECK_EQ(parameters(128, 34, 0, 0, 0), DX_PATCH_EVERSION);
    for (int layout = 0; layout < 256; layout++)
        if (layout != 35) DX_CHECK_EQ(parameters(0, layout, 0, 0, 0), layout == 34 ? 0 : DX_PATCH_EVERSION);
    for (int region = 0; region < 256; region++)
        DX_CHECK_EQ(parameters(0, 34, region, 0, 0), region <= 32 ? 0 : DX_PATCH_EVERSION);
    for (int h = 1; h < 8; h++) DX_CHECK_EQ(parameters(0, 34, 0, h, 5), DX_PATCH_EVERSION);
    for (int h = 8; h < 18; h++) DX_CHECK_EQ(parameters(0, 34, 0, h, 5), 0);
    for (int h = 29; h < 256; h++) DX_CHECK_EQ(parameters(0, 34, 0, h, 5), DX_PATCH_EVERSION);
    for (int g = 1; g < 256; g++) DX_CHECK_EQ(parameters(0, 34, 0, 0, g), DX_PATCH_EVERSION);
    for (int g = 0; g < 5; g++) DX_CHECK_EQ(parameters(0, 34, 0, 8, g), DX_PATCH_EVERSION);
    for (int g = 5; g < 14; g++) DX_CHECK_EQ(parameters(0, 34, 0, 8, g), 0);
    for (int g = 29; g < 256; g++) DX_CHECK_EQ(parameters(0, 34, 0, 8, g), DX_PATCH_EVERSION);
    /* Valid, but needs more memory than the header states. */
    DX_CHECK_EQ(parameters(0, 34, 0, 28, 5), DX_PATCH_EHEADER);
    DX_CHECK_EQ(parameters(0, 34, 0, 8, 28), DX_PATCH_EHEADER);
    DX_CHECK_EQ(parameters(0, 34, 0, 28, 28), DX_PATCH_EHEADER);
}

/* The memory for a body by the formula of section 3.6: one byte less in the header is an error. */
DX_PROPERTY(pt_memory_that_a_body_needs, 300)
{
    const int l = (int)dx_choose(c, 8), w = (int)dx_choose(c, 3), rich = (int)dx_choose(c, 1);
    const int h = dx_choose(c, 1) ? (int)dx_choose_range(c, 8, 17) : 0, g = h ? (int)dx_choose_range(c, 5, 13) : 0;
    const int map = (int)dx_choose(c, 1);
    uint64_t need = 2164 + 32 * (431 + (UINT64_C(17) << l) + (UINT64_C(17) << w));
    if (h) need += 6784 + (UINT64_C(2) << h) + (UINT64_C(32) << g);
    if (map) need += 4096;
    DX_CHECK_EQ(with_parameters(l | w << 4 | rich << 6, 34 + map, 12, h, g, need), 0);
    if (need == 17044) return; /* a header with less is refused because of that */
    DX_CHECK_EQ(with_parameters(l | w << 4 | rich << 6, 34 + map, 12, h, g, need - 1), DX_PATCH_EHEADER);
}

/* Plain coding has no use for a parameter. */
DX_TEST(pt_parameters_of_plain_coding)
{
    hand_start(DX_PATCH_KIND_DELTA, 0, 0);
    hand.header.coding = DX_PATCH_CODING_PLAIN;
    hand.header.memory_size = sizeof apply_memory;
    hand.bytes[129] = 34;
    hand_seal(5);
    DX_CHECK_EQ(hand_apply(), 0);
    for (int i = 0; i < 5; i++) {
        static const uint8_t values[5] = {1, 35, 12, 8, 5};
        const uint8_t was = hand.bytes[128 + i];
        hand.bytes[128 + i] = values[i];
        hand_seal(5);
        DX_CHECK_EQ(hand_apply(), DX_PATCH_EVERSION);
        hand.bytes[128 + i] = was;
    }
    hand.bytes[131] = 8; /* mixing as in range coding */
    hand.bytes[132] = 5;
    hand_seal(5);
    DX_CHECK_EQ(hand_apply(), DX_PATCH_EVERSION);
}

/* The base again as one match of one block, coded byte by byte up to its first run. */
static void hand_one_block(size_t size)
{
    for (size_t i = 0; i < size; i++) hand_base[i] = hand_target[i] = (uint8_t)(i * 7);
    hand_delta(size, size);
    hand_number(DX_PATCH_P_N_GAP, 0);
    hand_number(DX_PATCH_P_N_LENGTH, size - 1);
    hand_number(DX_PATCH_P_N_JUMP, 0);
    hand_number(DX_PATCH_P_N_EQUAL, 0);
    (void)dx_patch_p_symbol(&hand.coder, DX_PATCH_P_M_ID, 0);
}

/* Runs in a block: to its end, up to its last byte, and beyond. A wrong byte does not become right later. */
DX_TEST(pt_runs_end_in_their_block)
{
    const uint32_t wrong = DX_PATCH_P_M_BYTE; /* zero context bits: only one model */
    for (size_t size = 2; size <= 1024; size += size < 70 ? 1 : 53) {
        hand_one_block(size);
        hand_number(DX_PATCH_P_N_RUN, 0);
        hand_finish();
        DX_CHECK_EQ(hand_apply(), 0);
        hand_one_block(size); /* the last byte is wrong, by 0 */
        hand_number(DX_PATCH_P_N_RUN, size);
        (void)dx_patch_p_byte(&hand.coder, wrong, 0);
        hand_finish();
        DX_CHECK_EQ(hand_apply(), 0);
        hand_one_block(size);
        hand_number(DX_PATCH_P_N_RUN, size + 1);
        hand_finish();
        DX_CHECK_EQ(hand_apply(), DX_PATCH_ECORRUPT);
        hand_one_block(size);
        hand_number(DX_PATCH_P_N_RUN, 1); /* the first byte, then one more than remain */
        (void)dx_patch_p_byte(&hand.coder, wrong, 0);
        hand_number(DX_PATCH_P_N_RUN, size);
        hand_finish();
        DX_CHECK_EQ(hand_apply(), DX_PATCH_ECORRUPT);
        hand_one_block(size);
        hand_number_beyond(DX_PATCH_P_N_RUN); /* reads as 0, which would be valid */
        hand_finish();
        DX_CHECK_EQ(hand_apply(), DX_PATCH_ECORRUPT);
    }
}

/* A match exceeds neither file, not even by one byte. */
DX_TEST(pt_matches_stay_in_both_files)
{
    static const struct {
        uint64_t gap, length;
        int64_t jump;
        int error;
    } covers[] = {
        {0, 100, 0, 0},
        {0, 100, 100, 0},
        {0, 100, 101, DX_PATCH_EBOUNDS},
        {0, 100, -1, DX_PATCH_EBOUNDS},
        {0, 100, INT64_MAX, DX_PATCH_EBOUNDS},
        {0, 101, 0, DX_PATCH_EBOUNDS},
        {1, 99, -1, 0},
        {1, 99, -2, DX_PATCH_EBOUNDS},
        {1, 99, 100, 0},
        {1, 99, 101, DX_PATCH_EBOUNDS},
        {1, 100, 0, DX_PATCH_EBOUNDS},
        {99, 1, 0, 0},
        {99, 2, 0, DX_PATCH_EBOUNDS},
        {101, 1, 0, DX_PATCH_EBOUNDS},
        {0, UINT64_C(1) << 62, 0, DX_PATCH_EBOUNDS},
    };
    memset(hand_base, 'x', 200);
    memset(hand_target, 'x', 100);
    for (size_t i = 0; i < sizeof covers / sizeof *covers; i++) {
        uint8_t *at = hand_memory;
        size_t left = sizeof hand_memory;
        hand_start(DX_PATCH_KIND_DELTA, 200, 100);
        hand.header.coding = DX_PATCH_CODING_PLAIN;
        DX_CHECK(dx_patch_p_delta_start(&hand.delta, &at, &left));
        memset(&hand.coder, 0, sizeof hand.coder);
        hand.bytes[129] = 34;
        hand.coder.out_ = hand.bytes + 133;
        hand.coder.size_ = 1000;
        dx_patch_p_put_varint(&hand.coder, covers[i].gap);
        dx_patch_p_put_varint(&hand.coder, covers[i].length - 1);
        dx_patch_p_put_varint(&hand.coder, dx_patch_p_zigzag((uint64_t)covers[i].jump));
        for (uint64_t n = 0; n < covers[i].gap; n++) dx_patch_p_put_raw(&hand.coder, 'x');
        hand_seal(5 + hand.coder.at_);
        DX_CHECK_EQ(hand_apply(), covers[i].error);
    }
}

/* >>flash by hand -------------------------------------------------------- */
static uint8_t hand_slot[4096];
static size_t hand_slot_size, hand_changes;

static int hand_io(void *user, dx_patch_flash_io what, uint64_t at, void *p, size_t size)
{
    (void)user;
    DX_CHECK(at <= hand_slot_size && size <= hand_slot_size - at);
    hand_changes += what != DX_PATCH_FLASH_READ;
    if (what == DX_PATCH_FLASH_READ) memcpy(p, hand_slot + at, size);
    else if (what == DX_PATCH_FLASH_WRITE) memcpy(hand_slot + at, p, size);
    else memset(hand_slot + at, 255, size);
    return 0;
}

/* A flash patch of pages of 256 bytes, up to the stream. */
static void hand_flash(uint32_t gap, size_t base_size, size_t target_size)
{
    hand_start(DX_PATCH_KIND_FLASH, base_size, target_size);
    hand.header.block_size = 256;
    dx_patch_p_store32(hand.bytes + 128, gap);
    hand.front = 4;
    for (int side = 0; side < 2; side++) {
        const uint8_t *p = side ? hand_target : hand_base;
        const size_t size = side ? target_size : base_size;
        for (size_t n = 0; n < size; n += 256, hand.front += 4) {
            const size_t part = size - n < 256 ? size - n : 256;
            dx_patch_p_store32(hand.bytes + 128 + hand.front, dx_patch_p_crc32c(0, p + n, part));
        }
    }
    hand.coder.rows_ = (uint16_t *)(void *)hand_memory;
    dx_patch_p_rows_start(hand.coder.rows_, DX_PATCH_P_F_ROWS);
    dx_patch_p_start_writing(&hand.coder, hand.bytes + 128 + hand.front, sizeof hand.bytes - 128 - hand.front);
}

/* The result; an error in the patch has changed nothing. */
static int hand_flash_apply(size_t slot_size)
{
    static dx_patch_flash f;
    dx_patch_flash_desc d;
    int error;
    memset(&d, 0, sizeof d);
    d.io = hand_io;
    d.patch = hand.bytes;
    d.patch_size = hand.size;
    d.slot_size = hand_slot_size = slot_size;
    d.page_size = 256;
    hand_changes = 0;
    memset(hand_slot, 255, sizeof hand_slot);
    memcpy(hand_slot, hand_base, (size_t)hand.header.base_size);
    error = dx_patch_flash_apply(&f, &d);
    if (error) DX_CHECK_EQ(hand_changes, 0);
    if (error == DX_PATCH_EAPPLIED) error = 0; /* the base begins with the target; the patch was checked before */
    if (!error) DX_CHECK_MEM(hand_slot, hand_target, (size_t)hand.header.target_size);
    return error;
}

/* A match after `gap` literals: length, jump and one run to its end. */
static void hand_flash_cover(uint64_t gap, uint64_t length, int64_t jump)
{
    hand_number(0, gap);
    for (uint64_t n = 0; n < gap && n < 600; n++)
        (void)dx_patch_p_byte(&hand.coder, DX_PATCH_P_F_LITERAL, hand_target[n]);
    if (gap >= hand.header.target_size) return;
    hand_number(1, length - 1);
    hand_number(2, dx_patch_p_zigzag((uint64_t)jump));
    hand_number(3, 0);
}

/* Each bound of a flash patch alone: the match's end in the target, its start and end in the base, the page rule, the run, the
   gap. */
DX_TEST(pt_flash_matches_stay_in_both_files)
{
    static const struct {
        uint64_t gap, length;
        int64_t jump;
        int error;
    } covers[] = {
        {0, 300, 0, 0},
        {0, 300, 200, 0},                              /* the base's last byte */
        {0, 300, 201, DX_PATCH_EBOUNDS},
        {0, 300, -1, DX_PATCH_EBOUNDS},                /* before the base */
        {0, 300, 500, DX_PATCH_EBOUNDS},               /* right after it */
        {0, 300, INT64_MAX, DX_PATCH_EBOUNDS},
        {0, 301, 0, DX_PATCH_EBOUNDS},                 /* beyond the target's end */
        {0, UINT64_C(1) << 32, 0, DX_PATCH_EBOUNDS},
        {0, (UINT64_C(1) << 32) + 300, 0, DX_PATCH_EBOUNDS},
        {299, 1, 200, 0},
        {299, 1, 201, DX_PATCH_EBOUNDS},
        {299, 2, 0, DX_PATCH_EBOUNDS},
        {299, 1, -299, DX_PATCH_OK},
        {299, 1, -300, DX_PATCH_EBOUNDS},
        {300, 0, 0, 0},                                /* literals only */
        {301, 0, 0, DX_PATCH_EBOUNDS},
    };
    for (size_t i = 0; i < 500; i++) hand_base[i] = (uint8_t)(i * 5 + i / 256);
    for (size_t i = 0; i < sizeof covers / sizeof *covers; i++) {
        for (size_t n = 0; n < 300; n++) {
            const size_t old = n + (size_t)covers[i].jump;
            hand_target[n] = n < covers[i].gap || old >= 500 ? 'l' : hand_base[old];
        }
        hand_flash(2, 500, 300);
        hand_flash_cover(covers[i].gap, covers[i].length, covers[i].jump);
        hand_finish();
        DX_CHECK_EQ(hand_flash_apply(1024), covers[i].error);
    }
}

DX_TEST(pt_flash_runs_end_in_their_cover)
{
    memset(hand_base, 'y', 500);
    memset(hand_target, 'y', 300);
    for (uint64_t run = 299; run < 304; run++) {
        hand_flash(2, 500, 300);
        hand_number(0, 0);
        hand_number(1, 299);
        hand_number(2, 0);
        hand_number(3, run);
        if (run <= 300) (void)dx_patch_p_byte(&hand.coder, DX_PATCH_P_F_WRONG, 0);
        if (run < 300) hand_number(5, 0);
        hand_finish();
        DX_CHECK_EQ(hand_flash_apply(1024), run <= 300 ? 0 : DX_PATCH_ECORRUPT);
    }
    for (int which = 0; which < 4; which++) { /* a number that is too large, at each place */
        hand_flash(2, 500, 300);
        for (int i = 0; i < 4; i++) {
            if (i == which) hand_number_beyond((uint32_t)i);
            else hand_number((uint32_t)i, i == 1 ? 299 : 0);
        }
        hand_finish();
        DX_CHECK_EQ(hand_flash_apply(1024), DX_PATCH_ECORRUPT);
    }
}

/* A match may only read pages of the base that still exist: base page o is at o + gap, above the page being written. */
DX_TEST(pt_flash_matches_read_what_is_still_there)
{
    for (size_t i = 0; i < 2048; i++) hand_base[i] = (uint8_t)(i / 256 * 31 + i);
    for (uint32_t gap = 1; gap < 4; gap++)
        for (size_t page = 0; page < 8; page++)
            for (size_t from = 0; from < 8; from++) {
                const size_t size = 256 * (page + 1);
                memset(hand_target, 0, size);
                memcpy(hand_target + 256 * page, hand_base + 256 * from, 256);
                hand_flash(gap, 2048, size);
                hand_number(0, 256 * page);
                for (size_t n = 0; n < 256 * page; n++) (void)dx_patch_p_byte(&hand.coder, DX_PATCH_P_F_LITERAL, 0);
                hand_number(1, 255);
                hand_number(2, dx_patch_p_zigzag(256 * (uint64_t)from - 256 * (uint64_t)page));
                hand_number(3, 0);
                hand_finish();
                DX_CHECK_EQ(hand_flash_apply(4096), from + gap > page ? 0 : DX_PATCH_EBOUNDS);
            }
}

/* The gap of pages, the tables, the slot and the page size of the device. */
DX_TEST(pt_flash_headers)
{
    memset(hand_base, 'z', 500);
    memset(hand_target, 'z', 300);
    for (uint32_t gap = 0; gap < 5; gap++) {
        hand_flash(gap, 500, 300);
        hand_flash_cover(0, 300, 0);
        hand_finish();
        DX_CHECK_EQ(hand_flash_apply(256 * 6), gap ? 0 : DX_PATCH_ECORRUPT);
        if (!gap) continue;
        DX_CHECK_EQ(hand_flash_apply(256 * (2 + gap)), 0);
        DX_CHECK_EQ(hand_flash_apply(256 * (2 + gap) - 1), DX_PATCH_ENOSPACE);
    }
    hand_flash(UINT32_C(1) << 30, 500, 300);
    hand_flash_cover(0, 300, 0);
    hand_finish();
    DX_CHECK_EQ(hand_flash_apply(4096), DX_PATCH_ECORRUPT);
    hand_flash(UINT32_C(1) << 24, 500, 300); /* pages of 256 bytes: 4 GiB and more */
    hand_flash_cover(0, 300, 0);
    hand_finish();
    DX_CHECK_EQ(hand_flash_apply(4096), DX_PATCH_ECORRUPT);
    hand_flash((UINT32_C(1) << 24) - 8, 500, 300);
    hand_flash_cover(0, 300, 0);
    hand_finish();
    DX_CHECK_EQ(hand_flash_apply(4096), DX_PATCH_ENOSPACE);
    hand_flash(2, 500, 300);
    hand_finish();
    for (size_t body = 0; body < 4 * 5; body++) { /* gap and four pages' sums */
        hand_seal(body);
        DX_CHECK_EQ(hand_flash_apply(1024), DX_PATCH_ECORRUPT);
    }
}

/* >>places: which bytes are a field, by section 3.4 ------------------------ */
static bool is_branch(uint32_t w) { return (w & 0xf800) == 0xf000 && ((w >> 28 & 13) == 9 || (w >> 28 & 13) == 13); }

DX_PROPERTY(pt_places_of_words, 20000)
{
    enum { AT = 12, LIMIT = 64 };
    uint8_t bytes[LIMIT];
    dx_patch_p_block b;
    dx_patch_p_field f;
    const uint32_t id = (uint32_t)dx_choose_range(c, DX_PATCH_P_ID_NEAR, DX_PATCH_P_ID_THUMB);
    const uint32_t at = AT + (id == DX_PATCH_P_ID_THUMB ? 2 * (uint32_t)dx_choose(c, 1) : 0);
    const uint32_t behind = (uint32_t)dx_choose(c, 3); /* bytes since the last field */
    uint32_t w = (uint32_t)dx_choose(c, UINT32_MAX);
    int64_t d;
    bool call, small, wanted, relative;
    memset(&b, 0, sizeof b);
    memset(bytes, 0x33, sizeof bytes);
    switch (dx_choose(c, 3)) { /* near the limits of a kind */
    case 0: w = (w & 0x6fff07ff) | 0x9000f000; break;
    case 1: w = ((w & 0x6fff07ff) | 0x9000f000) ^ (uint32_t)1 << dx_choose(c, 31); break;
    case 2: w = (uint32_t)dx_choose_range(c, 65530, 65540) * (dx_choose(c, 1) ? 1 : UINT32_MAX); break;
    default: w = (uint32_t)dx_choose_range(c, 250, 260); break;
    }
    put32(bytes + at, w);
    bytes[at - 1] = dx_choose(c, 1) ? (uint8_t)dx_choose_range(c, 0xe6, 0xeb) : (uint8_t)dx_choose_range(c, 0x7e, 0x91);
    bytes[at - 2] = (uint8_t)dx_choose_range(c, 0x0e, 0x10);
    b.old_bytes = bytes;
    b.size = b.limit = LIMIT;
    b.old_at = 0x1000;
    b.bias[0] = 0x400000;
    b.origin[0] = 0x7770000;
    f = dx_patch_p_locate(id, &b, at, (int32_t)(at - behind));
    d = (int32_t)w;
    small = d >= -65536 && d <= 65535;
    call = (behind >= 1 && (bytes[at - 1] == 0xe8 || bytes[at - 1] == 0xe9)) ||
           (behind >= 2 && bytes[at - 2] == 0x0f && bytes[at - 1] >= 0x80 && bytes[at - 1] <= 0x8f);
    wanted = id == DX_PATCH_P_ID_NEAR    ? !small
             : id == DX_PATCH_P_ID_BASED ? true
             : id == DX_PATCH_P_ID_TABLE ? w >= 256
             : id == DX_PATCH_P_ID_I386  ? call || !small
                                         : is_branch(w) || (at % 4 == 0 && w >= 256);
    DX_CHECK_EQ(f.size, wanted ? 4 : 0);
    if (!wanted) return;
    relative = id == DX_PATCH_P_ID_I386 && call;
    if (id == DX_PATCH_P_ID_THUMB && is_branch(w)) {
        const uint64_t number = dx_patch_p_load_field(bytes + at, DX_PATCH_P_FORM_BL, 4) & 0xffffff;
        const uint64_t offset = number < 0x800000 ? number : number - 0x1000000;
        DX_CHECK_EQ(f.form, DX_PATCH_P_FORM_BL);
        DX_CHECK_EQ(f.target, 0x401000 + at + 4 + 2 * offset);
        return;
    }
    DX_CHECK_EQ(f.form, DX_PATCH_P_FORM_PLAIN);
    if (id == DX_PATCH_P_ID_NEAR) DX_CHECK_EQ(f.target, 0x401000 + at + (uint64_t)d);
    else if (relative) DX_CHECK_EQ(f.target, 0x401000 + at + 4 + (uint64_t)d);
    else if (id == DX_PATCH_P_ID_BASED) DX_CHECK_EQ(f.target, 0x7770000 + (uint64_t)d);
    else DX_CHECK_EQ(f.target, w);
}

DX_PROPERTY(pt_places_of_riscv, 10000)
{
    static const uint32_t second[] = {0x13, 0x67, 0x03, 0x07, 0x23, 0x27, 0x33, 0x0f, 0x63, 0x37};
    uint8_t bytes[24];
    dx_patch_p_block b;
    dx_patch_p_field f;
    const uint32_t limit = 4 + 4 + (uint32_t)dx_choose(c, 8), rd = (uint32_t)dx_choose(c, 3), rs = (uint32_t)dx_choose(c, 3);
    const uint32_t opcode = (uint32_t)dx_choose(c, 3), rest = (uint32_t)dx_choose(c, 0xfffff), which = (uint32_t)dx_choose(c, 9);
    const uint32_t w = rest << 12 | rd << 7 | (opcode == 0 ? 0x6f : opcode == 1 ? 0x17 : opcode == 2 ? 0x67 : 0x37);
    const uint32_t next = (uint32_t)dx_choose(c, 0xfff) << 20 | rs << 15 | second[which];
    const bool jump = opcode == 0 && rd < 2, two = opcode == 1 && limit - 4 >= 8 && rs == rd && which < 6;
    memset(&b, 0, sizeof b);
    memset(bytes, 0, sizeof bytes);
    put32(bytes + 4, w);
    put32(bytes + 8, next);
    b.old_bytes = bytes;
    b.size = b.limit = limit;
    b.old_at = 0x1000;
    b.bias[0] = 0x400000;
    f = dx_patch_p_locate(DX_PATCH_P_ID_RISCV, &b, 4, 0);
    DX_CHECK_EQ(f.size, jump ? 4 : two ? 8 : 0);
    if (jump) {
        const int64_t offset = (int64_t)(bits(w, 31, 31) << 20 | bits(w, 19, 12) << 12 | bits(w, 20, 20) << 11 |
                                         bits(w, 30, 21) << 1) - (w >> 31 ? 1 << 21 : 0);
        DX_CHECK_EQ(f.form, DX_PATCH_P_FORM_JAL);
        DX_CHECK_EQ(f.target, 0x401004 + (uint64_t)offset);
    }
    if (two) {
        const uint32_t low = which >= 4 ? bits(next, 31, 25) << 5 | bits(next, 11, 7) : next >> 20;
        const int32_t offset = (int32_t)((w & 0xfffff000u) + low - (next >> 31 ? 4096u : 0u));
        DX_CHECK_EQ(f.form, DX_PATCH_P_FORM_AUIPC);
        DX_CHECK_EQ(f.target, 0x401004 + (uint64_t)(int64_t)offset);
    }
}

/* >>create with minimum memory ------------------------------------------------ */
static void draw_files(dx_choices *c, size_t *base_size, size_t *target_size)
{
    *base_size = (size_t)dx_choose(c, 1200);
    *target_size = (size_t)dx_choose(c, 1200);
    for (size_t i = 0; i < 1200; i++) hand_base[i] = (uint8_t)(i * i * 13 >> 3);
    memcpy(hand_target, hand_base, 1200);
    for (uint64_t n = dx_choose(c, 30); n; n--) hand_target[dx_choose(c, 1199)] = (uint8_t)dx_choose(c, 255);
}

/* Output of every capacity, and memory, have exactly that size, so that the sanitizers detect each byte beyond. If the whole patch
   has room, it is made; with less there is ENOSPACE, or a patch that fits. */
DX_PROPERTY(pt_create_with_every_capacity, 40)
{
    static const dx_patch_kind kinds[3] = {DX_PATCH_KIND_DELTA, DX_PATCH_KIND_BLOCKS, DX_PATCH_KIND_FLASH};
    size_t base_size, target_size, need = 0, got, step;
    dx_patch_create_desc d;
    uint8_t *whole, *memory;
    draw_files(c, &base_size, &target_size);
    memset(&d, 0, sizeof d);
    d.kind = kinds[dx_choose(c, 2)];
    if (d.kind != DX_PATCH_KIND_DELTA) d.block_size = 256;
    else if (dx_choose(c, 1)) d.codings = 1;
    if (d.kind == DX_PATCH_KIND_BLOCKS && dx_choose(c, 1)) d.codings = 1;
    d.memory_size = d.kind == DX_PATCH_KIND_BLOCKS ? 2048 : (size_t)dx_choose_range(c, 68 << 10, 100 << 10);
    d.memory = memory = (uint8_t *)malloc(d.memory_size);
    whole = (uint8_t *)malloc(dx_patch_bound(&d, base_size, target_size));
    DX_CHECK_EQ(dx_patch_create(&d, hand_base, base_size, hand_target, target_size, whole,
                                dx_patch_bound(&d, base_size, target_size), &need), 0);
    DX_CHECK(need <= dx_patch_bound(&d, base_size, target_size));
    step = need > 400 ? 7 : 1;
    for (size_t capacity = need % step; capacity <= need; capacity += step) {
        uint8_t *tight = (uint8_t *)malloc(capacity ? capacity : 1);
        int error = dx_patch_create(&d, hand_base, base_size, hand_target, target_size, tight, capacity, &got);
        if (capacity == need) {
            DX_CHECK_EQ(error, 0);
            DX_CHECK_EQ(got, need);
            DX_CHECK_MEM(tight, whole, need);
        } else if (error) {
            DX_CHECK_EQ(error, DX_PATCH_ENOSPACE);
            DX_CHECK_EQ(got, 0);
        } else {
            DX_CHECK(got <= capacity);
        }
        if (capacity < 128 + 5) DX_CHECK_EQ(error, capacity == need ? 0 : DX_PATCH_ENOSPACE);
        free(tight);
    }
    free(whole);
    free(memory);
}

/* The shortest flash patches, in output of exactly their size: an empty target takes four bytes of stream. */
DX_TEST(pt_create_of_short_flash_patches)
{
    static uint8_t memory[100 << 10];
    uint8_t made[256];
    dx_patch_create_desc d;
    memset(&d, 0, sizeof d);
    memset(hand_base, 'y', 700);
    d.kind = DX_PATCH_KIND_FLASH;
    d.block_size = 256;
    d.memory = memory;
    d.memory_size = sizeof memory;
    for (size_t base_size = 0; base_size <= 700; base_size += 100) {
        const size_t pages = (base_size + 255) / 256, need = 128 + 4 + 4 * pages + 4;
        size_t got;
        DX_CHECK_EQ(dx_patch_create(&d, hand_base, base_size, NULL, 0, made, need, &got), 0);
        DX_CHECK_EQ(got, need);
        DX_CHECK_EQ(dx_patch_create(&d, hand_base, base_size, NULL, 0, made, need - 1, &got), DX_PATCH_ENOSPACE);
    }
}

/* Each missing or too small argument has its own error. */
DX_TEST(pt_apply_names_what_is_missing)
{
    size_t got;
    hand_one_block(100);
    hand_number(DX_PATCH_P_N_RUN, 0);
    hand_finish();
    for (size_t room = 0; room < 100; room++) {
        uint8_t *tight = (uint8_t *)malloc(room ? room : 1);
        DX_CHECK_EQ(dx_patch_apply(hand_base, 100, hand.bytes, hand.size, tight, room, &got, apply_memory,
                                   sizeof apply_memory), DX_PATCH_ENOSPACE);
        DX_CHECK_EQ(got, 0);
        free(tight);
    }
    DX_CHECK_EQ(dx_patch_apply(hand_base, 100, NULL, 0, hand_out, 100, &got, apply_memory, sizeof apply_memory),
                DX_PATCH_ENOPATCH);
    DX_CHECK_EQ(dx_patch_apply(hand_base, 100, hand.bytes, hand.size, hand_out, 100, NULL, apply_memory,
                               sizeof apply_memory), DX_PATCH_EINVAL);
    DX_CHECK_EQ(dx_patch_apply(hand_base, 100, hand.bytes, hand.size, hand_out, 100, &got, NULL, 0), DX_PATCH_EINVAL);
    DX_CHECK_EQ(dx_patch_apply(hand_base, 100, hand.bytes, hand.size, NULL, 100, &got, apply_memory,
                               sizeof apply_memory), DX_PATCH_EINVAL);
    DX_CHECK_EQ(dx_patch_apply_in_place(hand_out, 100, 100, NULL, 0, &got), DX_PATCH_ENOPATCH);
    DX_CHECK_EQ(dx_patch_undo(hand_out, 100, 100, NULL, 0, &got), DX_PATCH_ENOPATCH);
    DX_CHECK_EQ(dx_patch_apply_in_place(NULL, 0, 100, hand.bytes, hand.size, &got), DX_PATCH_ENOBASE);
    DX_CHECK_EQ(dx_patch_apply_in_place(hand_out, 100, 100, hand.bytes, hand.size, &got), DX_PATCH_ENOTSUP);
}

/* Any memory from 68 KB on makes a valid patch; with less there is ENOMEM. */
DX_PROPERTY(pt_create_with_little_memory, 150)
{
    static uint8_t made[8192];
    size_t base_size, target_size, got, result;
    dx_patch_create_desc d;
    const bool flash = dx_choose(c, 1) != 0;
    draw_files(c, &base_size, &target_size);
    memset(&d, 0, sizeof d);
    d.level = flash ? 0 : (uint32_t)dx_choose(c, 9);
    d.kind = flash ? DX_PATCH_KIND_FLASH : DX_PATCH_KIND_DELTA;
    if (flash) d.block_size = 256;
    d.memory_size = 65536 + 2048 - 2 + (size_t)(dx_choose(c, 1) ? dx_choose(c, 4) : dx_choose(c, 6000));
    d.memory = malloc(d.memory_size);
    int error = dx_patch_create(&d, hand_base, base_size, hand_target, target_size, made, sizeof made, &got);
    free(d.memory);
    if (d.memory_size < 65536 + 2048) DX_CHECK_EQ(error, DX_PATCH_ENOMEM);
    if (d.memory_size >= 68 << 10) DX_CHECK_EQ(error, 0);
    if (error || flash) return;
    DX_CHECK_EQ(dx_patch_apply(hand_base, base_size, made, got, hand_out, sizeof hand_out, &result, apply_memory,
                               sizeof apply_memory), 0);
    DX_CHECK_EQ(result, target_size);
    DX_CHECK_MEM(hand_out, hand_target, target_size);
}

/* 68 KB suffice for files of any size. */
DX_TEST(pt_create_of_large_files_with_little_memory)
{
    enum { SIZE = 200000 };
    uint8_t *from = (uint8_t *)malloc(SIZE), *made = (uint8_t *)malloc(SIZE + 1000);
    for (size_t i = 0; i < SIZE; i++) from[i] = (uint8_t)(i * i >> 7);
    for (size_t extra = 0; extra < 4096; extra += 511) {
        dx_patch_create_desc d;
        size_t got;
        memset(&d, 0, sizeof d);
        d.memory_size = (68 << 10) + extra;
        d.memory = malloc(d.memory_size);
        DX_CHECK_EQ(dx_patch_create(&d, from, SIZE, from, SIZE, made, SIZE + 1000, &got), 0);
        DX_CHECK(got < 300);
        free(d.memory);
    }
    free(from);
    free(made);
}

/* The seed table has memory for all of its lines, however many seeds a base has and however much is left after the last one
   (asserted where the table is made). */
DX_TEST(pt_create_of_bases_of_any_size)
{
    enum { SIZE = 20000, MORE = 800 };
    static uint8_t from[SIZE + MORE], made[1000];
    for (size_t i = 0; i < sizeof from; i++) from[i] = (uint8_t)(i * i >> 7);
    for (size_t more = 0; more <= MORE; more++) {
        dx_patch_create_desc d;
        size_t got;
        memset(&d, 0, sizeof d);
        d.codings = 1u << DX_PATCH_CODING_RANGE;
        d.memory_size = 68 << 10;
        d.memory = malloc(d.memory_size);
        DX_CHECK_EQ(dx_patch_create(&d, from, SIZE + more, from + more, 200, made, sizeof made, &got), 0);
        free(d.memory);
    }
}

/* Hashing in pieces, each in memory of exactly its size. */
DX_PROPERTY(pt_hash_reads_no_further, 60)
{
    const size_t first = 1024 * (size_t)dx_choose(c, 17);
    const size_t size = 8192 * (size_t)dx_choose_range(c, 1, 3) - 3 + (size_t)dx_choose(c, 5);
    uint8_t *bytes = (uint8_t *)malloc(first + size), *front = (uint8_t *)malloc(first ? first : 1);
    uint8_t *rest = (uint8_t *)malloc(size), whole[32], parts[32];
    dx_patch_p_blake3 h;
    for (size_t i = 0; i < first + size; i++) bytes[i] = (uint8_t)(i * 251 >> 4);
    memcpy(front, bytes, first);
    memcpy(rest, bytes + first, size);
    dx_patch_hash(bytes, first + size, whole);
    dx_patch_p_hash_start(&h);
    dx_patch_p_hash_update(&h, front, first);
    dx_patch_p_hash_update(&h, rest, size);
    dx_patch_p_hash_finish(&h, parts);
    DX_CHECK_MEM(parts, whole, 32);
    free(bytes);
    free(front);
    free(rest);
}

/* >>create: what it finds ---------------------------------------------------- */
/* Patches do not grow: searching, prediction and mixing keep their value. Each bound is the size reached, plus 1 %. */
DX_TEST(pt_patches_stay_as_small_as_they_are)
{
    static const struct {
        int sort;
        uint32_t level;
        size_t size, memory; /* memory: 0 = all that is useful */
        size_t most;
    } cases[] = {
        {SORT_NUMBERS, 0, 40960, 0, 1490},
        {SORT_CALLS, 0, 40960, 0, 162},
        {SORT_PIECES, 0, 40960, 0, 348},
        {SORT_EDITS, 0, 40960, 0, 364},
        {SORT_TEXT, 0, 40960, 0, 373},
        {SORT_TABLE, 0, 40960, 0, 372},
        {SORT_NUMBERS, 2, 40960, 0, 1490},
        {SORT_TEXT, 9, 16384, 0, 242},
        {SORT_EDITS, 1, 16384, 0, 254},
        {SORT_PIECES, 6, 131072, 81920, 788},
        {SORT_EDITS, 6, 65536, 69632, 26757},
        {SORT_CALLS, 6, 131072, 122880, 175},
        {SORT_TEXT, 6, 131072, 0, 809},
        {SORT_NUMBERS, 9, 16384, 0, 692},
        {SORT_TABLE, 9, 16384, 0, 235},
        {SORT_EDITS, 6, 1048576, 0, 5094},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t size = cases[i].size;
        uint8_t *from = (uint8_t *)malloc(size), *to = (uint8_t *)malloc(size), *back = (uint8_t *)malloc(size);
        dx_patch_create_desc d;
        size_t bound, got, result;
        uint8_t *made;
        memset(&d, 0, sizeof d);
        d.level = cases[i].level;
        d.memory_size = cases[i].memory ? cases[i].memory : dx_patch_create_memory_size(&d, size, size);
        d.memory = malloc(d.memory_size);
        memset(d.memory, i & 1 ? 255 : 0x5a, d.memory_size);
        bound = dx_patch_bound(&d, size, size);
        made = (uint8_t *)malloc(bound);
        fill_pair(cases[i].sort, from, to, size);
        DX_CHECK_EQ(dx_patch_create(&d, from, size, to, size, made, bound, &got), 0);
        if (getenv("DX_TEST_SHOW"))
            printf("     %lu: %lu bytes, %lu at most\n", (unsigned long)i, (unsigned long)got, (unsigned long)cases[i].most);
        DX_CHECK(got <= cases[i].most);
        free(d.memory);
        d.memory = malloc((size_t)64 << 20);
        DX_CHECK_EQ(dx_patch_apply(from, size, made, got, back, size, &result, d.memory, (size_t)64 << 20), 0);
        DX_CHECK_EQ(result, size);
        DX_CHECK_MEM(back, to, size);
        free(d.memory);
        free(made);
        free(from);
        free(to);
        free(back);
    }
}

/* The same files and memory size give the same patch, whatever the memory contained. */
DX_TEST(pt_what_memory_held_does_not_matter)
{
    enum { SIZE = 1100 << 10 };
    static const size_t sizes[2] = {40960, SIZE};
    for (int k = 0; k < 2; k++)
        for (int sort = 0; sort < (k ? 1 : SORTS); sort++) {
            const size_t size = sizes[k];
            uint8_t *from = (uint8_t *)malloc(size), *to = (uint8_t *)malloc(size), *made[2];
            size_t got[2], bound;
            dx_patch_create_desc d;
            memset(&d, 0, sizeof d);
            d.memory_size = dx_patch_create_memory_size(&d, size, size);
            bound = dx_patch_bound(&d, size, size);
            fill_pair(k ? SORT_EDITS : sort, from, to, size);
            if (k) memcpy(to + 4096, from + 4096, size - 4096);
            for (int i = 0; i < 2; i++) {
                d.memory = malloc(d.memory_size);
                memset(d.memory, i ? 0xff : 0, d.memory_size);
                made[i] = (uint8_t *)malloc(bound);
                DX_CHECK_EQ(dx_patch_create(&d, from, size, to, size, made[i], bound, &got[i]), 0);
                free(d.memory);
            }
            DX_CHECK_EQ(got[0], got[1]);
            DX_CHECK_MEM(made[0], made[1], got[0]);
            for (int i = 0; i < 2; i++) free(made[i]);
            free(from);
            free(to);
        }
}

/* Making a block patch takes the same small memory for all sizes. */
DX_TEST(pt_blocks_take_little_memory)
{
    dx_patch_create_desc d;
    memset(&d, 0, sizeof d);
    d.kind = DX_PATCH_KIND_BLOCKS;
    DX_CHECK_EQ(dx_patch_create_memory_size(&d, 0, 0), 2048);
    DX_CHECK_EQ(dx_patch_create_memory_size(&d, 100 << 20, 200 << 20), 2048);
}

/* >>addresses: A and M of section 3.4 ------------------------------------------ */
static uint64_t address_of(const uint64_t *setup, uint64_t offset)
{
    for (uint64_t i = 0; i < setup[0]; i++) {
        const uint64_t *s = setup + 2 + 4 * i; /* offset, address, bytes in the file, in memory */
        if (offset >= s[0] && offset - s[0] < s[2]) return s[1] + (offset - s[0]);
    }
    return offset;
}

/* Where an offset of the base moved: according to the match that ends last among those that start at or before it. */
static uint64_t moved(const uint32_t *covers, uint32_t count, uint64_t offset, uint32_t *sure)
{
    uint32_t best = 0;
    bool any = false;
    if (!count) return offset;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t *v = covers + 3 * i, *b = covers + 3 * best;
        if (v[1] > offset) continue;
        if (!any || v[1] + v[2] > b[1] + b[2] || (v[1] + v[2] == b[1] + b[2] && v[1] < b[1])) best = i;
        any = true;
    }
    for (uint32_t i = 0; !any && i < count; i++) /* none starts that early: the first one */
        if (covers[3 * i + 1] < covers[3 * best + 1]) best = i;
    *sure = offset - covers[3 * best + 1] < covers[3 * best + 2];
    return offset - covers[3 * best + 1] + covers[3 * best];
}

DX_PROPERTY(pt_addresses_of_segments, 5000)
{
    dx_patch_p_predictor x;
    uint32_t covers[5 * 8], list[3 * 8];
    uint64_t offset, address, got = 0;
    memset(&x, 0, sizeof x);
    for (int side = 0; side < 2; side++) {
        x.setup_[side][0] = dx_choose(c, 3);
        for (uint64_t i = 0; i < x.setup_[side][0]; i++) {
            uint64_t *s = x.setup_[side] + 2 + 4 * i;
            s[0] = dx_choose(c, 900);
            s[1] = 0x10000 * (i + 1) + dx_choose(c, 900);
            s[2] = dx_choose(c, 400);
            s[3] = s[2] + dx_choose(c, 100);
        }
    }
    x.count_ = (uint32_t)dx_choose(c, 7);
    for (uint32_t i = 0; i < x.count_; i++) {
        list[3 * i] = covers[3 * i] = 2000 * i + (uint32_t)dx_choose(c, 900);
        list[3 * i + 1] = covers[3 * i + 1] = (uint32_t)dx_choose(c, 900);
        list[3 * i + 2] = covers[3 * i + 2] = 1 + (uint32_t)dx_choose(c, 300);
    }
    x.matches_ = covers;
    dx_patch_p_sort_map(&x);
    offset = dx_choose(c, 1500);
    for (int side = 0; side < 2; side++) DX_CHECK_EQ(dx_patch_p_address(&x, side, offset), address_of(x.setup_[side], offset));
    address = 0x10000 * dx_choose(c, 4) + dx_choose(c, 1500);
    uint32_t sure = 2, sure_wanted = 0;
    for (uint64_t i = 0; i < x.setup_[0][0]; i++) {
        const uint64_t *s = x.setup_[0] + 2 + 4 * i, *t = x.setup_[1] + 2 + 4 * i;
        uint64_t wanted = address;
        if (address < s[1] || address - s[1] >= s[3]) continue;
        DX_CHECK(dx_patch_p_map_address(&x, address, &got, &sure));
        if (address - s[1] < s[2])
            wanted = address_of(x.setup_[1], moved(list, x.count_, s[0] + address - s[1], &sure_wanted));
        else if (i < x.setup_[1][0]) wanted = t[1] + t[2] + (address - s[1] - s[2]);
        DX_CHECK_EQ(got, wanted);
        DX_CHECK_EQ(sure, sure_wanted);
        return;
    }
    DX_CHECK(!dx_patch_p_map_address(&x, address, &got, &sure));
}

/* Patches made by earlier versions, with rich and plain mixing, still turn the same base into the same target: their meaning does
   not depend on the maker. */
DX_TEST(pt_patches_of_before_still_apply)
{
    static const struct {
        int sort;
        const char *hex;
    } made[2] = {
        {SORT_TEXT,
        "44585031030201010020000000000000002000000000000052000000000000000000000000000000141f010000000000"
        "560ca0e96497a3c494cf2f9aca872b1725d169da43e61c2eb5a7e8f3a59bc880db36efa2fcc2c7b995451dadb2b7494b"
        "1d71e577e9e3ecd12be373abccc52722db23a41b00000000000000002941d69d742308080a710fccb4fd06b6b77ceaec"
        "5be08bc9550d4e6d0df98fb0f6ac4e711bcc29c6cc1d5a69922a5449ecaeda350946be8b25f56df0ddbe7b4d11c1aa1b"
        "ed0ec97b76be5bc29c02dcaf03238a795678"},
        {SORT_TABLE,
        "4458503103020101002000000000000000200000000000004c000000000000000000000000000000641f010000000000"
        "1cb773c2f218c2168e47164ed6b2e4b525a8a7a0f923d029e190cc42639b0ba1bc3f9c5614acb2049352ee3d178a8882"
        "b69ff23edc0cbd58212214af2e361972c28f962e00000000000000000ba5d009742308080a750facb4fd06b6b77ceaec"
        "5bde7c076b4e2b37f426144422b9f52203288151d3abd4ac8455e926eba3dccad9b1a019fb00e107e2f5a5c2f22de833"
        "46c7a868f7af54c4a251f4f4"},
    };
    enum { SIZE = 8192, ROOM = 64 << 20 };
    static uint8_t from[SIZE], to[SIZE], back[SIZE], bytes[512];
    void *memory = malloc(ROOM);
    for (int i = 0; i < 2; i++) {
        const size_t size = strlen(made[i].hex) / 2;
        size_t got;
        DX_CHECK(size <= sizeof bytes);
        for (size_t n = 0; n < size; n++) {
            const char digits[3] = {made[i].hex[2 * n], made[i].hex[2 * n + 1], 0};
            bytes[n] = (uint8_t)strtoul(digits, NULL, 16);
        }
        DX_CHECK(bytes[128 + 3] >= 8); /* it is mixed */
        fill_pair(made[i].sort, from, to, SIZE);
        DX_CHECK_EQ(dx_patch_apply(from, SIZE, bytes, size, back, SIZE, &got, memory, ROOM), 0);
        DX_CHECK_EQ(got, SIZE);
        DX_CHECK_MEM(back, to, SIZE);
    }
    free(memory);
}

/* Eight-byte pointers and numbers; pointers are at least 256. */
DX_PROPERTY(pt_places_of_double_words, 1000)
{
    uint8_t bytes[16] = {0};
    dx_patch_p_block b;
    const uint64_t v = dx_choose(c, 1) ? dx_choose_range(c, 250, 260) : dx_choose(c, UINT64_MAX);
    const uint32_t limit = (uint32_t)dx_choose_range(c, 7, 9);
    put(bytes, v, 8);
    memset(&b, 0, sizeof b);
    b.old_bytes = bytes;
    b.size = b.limit = limit;
    DX_CHECK_EQ(dx_patch_p_locate(DX_PATCH_P_ID_POINTER, &b, 0, 0).size, limit >= 8 && v >= 256 ? 8 : 0);
    DX_CHECK_EQ(dx_patch_p_locate(DX_PATCH_P_ID_DOUBLES, &b, 0, 0).size, limit >= 8 ? 8 : 0);
    DX_CHECK_EQ(dx_patch_p_locate(DX_PATCH_P_ID_SINGLES, &b, 0, 0).size, 4);
}

/* Memory may have any address. */
DX_TEST(pt_memory_at_any_address)
{
    uint8_t *memory = (uint8_t *)malloc((100 << 10) + 8), made[1024];
    memset(hand_base, 'y', 1000);
    memcpy(hand_target, hand_base, 1000);
    hand_target[500] = 'z';
    for (size_t skip = 0; skip < 8; skip++) {
        dx_patch_create_desc d;
        size_t got, result;
        memset(&d, 0, sizeof d);
        d.memory = memory + skip;
        d.memory_size = 100 << 10;
        DX_CHECK_EQ(dx_patch_create(&d, hand_base, 1000, hand_target, 1000, made, sizeof made, &got), 0);
        DX_CHECK_EQ(dx_patch_apply(hand_base, 1000, made, got, hand_out, 1000, &result, memory + skip, 100 << 10), 0);
        DX_CHECK_MEM(hand_out, hand_target, 1000);
    }
    free(memory);
    DX_CHECK_EQ(dx_patch_applier_finish(NULL), DX_PATCH_EINVAL);
}

#define REFUSED(call) DX_CHECK_EQ((call), DX_PATCH_EINVAL)

static int no_io(void *user, dx_patch_flash_io what, uint64_t offset, void *data, size_t size)
{
    (void)user; (void)what; (void)offset; (void)data; (void)size;
    return 1;
}

/* Each argument alone. */
DX_TEST(pt_functions_refuse_null)
{
    static uint64_t memory[(80 << 10) / 8];
    uint8_t bytes[512] = {0};
    dx_patch_header header;
    dx_patch_applier applier;
    dx_patch_applier_desc applier_desc;
    static dx_patch_flash flash;
    dx_patch_flash_desc flash_desc;
    dx_patch_create_desc desc;
    size_t size;
    memset(&desc, 0, sizeof desc);
    memset(&applier_desc, 0, sizeof applier_desc);
    memset(&flash_desc, 0, sizeof flash_desc);
    REFUSED(dx_patch_info(bytes, 128, NULL));
    REFUSED(dx_patch_info(NULL, 128, &header));
    REFUSED(dx_patch_create(&desc, bytes, 1, bytes, 1, bytes + 100, 400, &size)); /* no memory */
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    REFUSED(dx_patch_create(NULL, bytes, 1, bytes, 1, bytes + 100, 400, &size));
    REFUSED(dx_patch_create(&desc, NULL, 1, bytes, 1, bytes + 100, 400, &size));
    REFUSED(dx_patch_create(&desc, bytes, 1, NULL, 1, bytes + 100, 400, &size));
    REFUSED(dx_patch_create(&desc, bytes, 1, bytes, 1, NULL, 400, &size));
    REFUSED(dx_patch_create(&desc, bytes, 1, bytes, 1, bytes + 100, 400, NULL));
    desc.level = 10;
    REFUSED(dx_patch_create(&desc, bytes, 1, bytes, 1, bytes + 100, 400, &size));
    desc.level = 9;
    DX_CHECK_EQ(dx_patch_create(&desc, bytes, 1, bytes, 1, bytes + 100, 400, &size), 0);
    REFUSED(dx_patch_apply_in_place(bytes, 10, 9, bytes, 128, &size));
    REFUSED(dx_patch_apply_in_place(bytes, 10, 10, bytes, 128, NULL));
    REFUSED(dx_patch_applier_init(NULL, &applier_desc));
    REFUSED(dx_patch_applier_init(&applier, NULL));
    REFUSED(dx_patch_applier_init(&applier, &applier_desc)); /* nowhere to write */
    applier_desc.out = bytes;
    REFUSED(dx_patch_applier_init(&applier, &applier_desc)); /* no memory */
    REFUSED(dx_patch_applier_finish(&applier));
    REFUSED(dx_patch_applier_feed(&applier, NULL, 1));
    REFUSED(dx_patch_applier_feed(NULL, bytes, 1));
    REFUSED(dx_patch_applier_finish(NULL));
    REFUSED(dx_patch_flash_apply(&flash, &flash_desc)); /* neither of the two */
    flash_desc.io = no_io;
    REFUSED(dx_patch_flash_apply(&flash, &flash_desc)); /* no page size */
    flash_desc.page_size = 256;
    REFUSED(dx_patch_flash_apply(NULL, &flash_desc));
    REFUSED(dx_patch_flash_apply(&flash, NULL));
    DX_CHECK_EQ(dx_patch_flash_apply(&flash, &flash_desc), DX_PATCH_ENOPATCH);
    flash_desc.io = NULL;
    REFUSED(dx_patch_flash_apply(&flash, &flash_desc));
}
