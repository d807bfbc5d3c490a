/* Tests of dx_patch.h that mutants asked for: the fields of machine code against the encodings of their manuals. */
#define DX_PATCH_IMPLEMENTATION
#include "../dx_patch.h"
#define DX_TEST_MAIN
#include "dx_test.h"

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
