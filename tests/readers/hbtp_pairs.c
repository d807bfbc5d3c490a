/* Counterpart of tests/readers/hbtp_reader.py: pairs of a description and its bytes, written and checked with dx_hbtp.h.
   usage: hbtp_pairs write COUNT SEED | check <pairs */
#define DX_IMPLEMENTATION
#include "../../dx_hbtp.h"
#include "../dx_test.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;
static uint8_t  bytes[65536];

static uint32_t choose(uint32_t limit) /* 0..limit-1 */
{
    return dx_test_below(&state, limit);
}

static char *hex(char *to, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++) to += sprintf(to, "%02x", ((const uint8_t *)data)[i]);
    *to = 0;
    return to;
}

static uint32_t number(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }

/* The frame as text, through the header's parsers. False: they refuse it. */
static bool describe(const uint8_t *p, size_t size, char *to)
{
    dx_hbtp_frame f;
    dx_hbtp_file_chunk k;
    uint16_t status;
    const char *text;
    size_t n;
    if (dx_hbtp_parse(p, size, UINT32_MAX, &f) != (int64_t)size) return false;
    to += sprintf(to, "%s flags=%u sequence=%u", dx_hbtp_opcode_name(f.opcode), f.flags, f.sequence);
    const bool opaque = (f.flags & 3) != 0;
    if (dx_hbtp_resolve_extended(&f)) return false;
    const uint8_t *rest = f.payload;
    size_t rest_size = f.payload_size;
    if (f.opcode > 0xff) {
        to += sprintf(to, " opcode=%u", f.opcode);
    } else if (opaque || (!f.payload_size && (f.opcode == 0x02 || f.opcode == 0x35))) {
    } else if (f.opcode == 0x02 || f.opcode == 0x32 || f.opcode == 0x35) {
        if (dx_hbtp_parse_rpc_error(&f, &status, &text, &n)) return false;
        to += sprintf(to, " status=%u", status);
        rest = (const uint8_t *)text;
        rest_size = n;
    } else if (f.opcode == 0x51) {
        if (dx_hbtp_parse_file_chunk(&f, &k)) return false;
        to += sprintf(to, " transfer=%" PRIu32 " offset=%" PRIu64, k.transfer, k.offset);
        rest = k.data;
        rest_size = k.data_size;
    } else if (f.opcode == 0x30) {
        to += sprintf(to, " method=%u", rest[0]);
        rest++;
        rest_size--;
    } else if (f.opcode == 0x12 || f.opcode == 0x13) {
        if (rest_size != 4) return false;
        to += sprintf(to, " state=%" PRIu32, number(rest));
        return true;
    } else if (f.opcode == 0x33) {
        to += sprintf(to, " method=%u credit=%" PRIu32, rest[0], number(rest + 4));
        rest += 8;
        rest_size -= 8;
    } else if (f.opcode == 0x34) {
        to += sprintf(to, " credit=%" PRIu32, number(rest));
        rest += 4;
        rest_size -= 4;
    }
    hex(to + sprintf(to, " rest="), rest, rest_size);
    return true;
}

/* A frame of any kind, made by a writer if there is one for it. */
static int invent(dx_hbtp_out *out)
{
    static const uint8_t kinds[] = {0x00, 0x01, 0x10, 0x11, 0x20, 0x40, 0x50, 0x63};
    uint8_t data[400], head[8] = {0};
    const size_t size = choose(3) ? choose(40) : choose(sizeof data);
    const uint16_t sequence = (uint16_t)choose(65536);
    const uint8_t flags = (uint8_t)(choose(2) ? 0 : choose(256) & (choose(8) ? 0xfcu : 0xffu));
    dx_hbtp_file_chunk k = {choose(1u << 31), (uint64_t)choose(1u << 31) << 31, data, (uint32_t)size, choose(2) != 0};
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)choose(256);
    switch (choose(12)) {
    case 0: return dx_hbtp_write_frame(out, DX_HBTP_OP_PING, DX_HBTP_FLAG_EXPECTS_RESPONSE, sequence, data, size);
    case 1: return dx_hbtp_write_rpc_call(out, sequence, data[0], data, size);
    case 2: return dx_hbtp_write_rpc_error(out, sequence, (uint16_t)(400 + choose(200)), choose(2) ? NULL : "why");
    case 3: return dx_hbtp_write_close(out, (uint16_t)(choose(2) ? 0 : 408), NULL);
    case 4: return dx_hbtp_write_file_chunk(out, sequence, &k);
    case 5: return dx_hbtp_write_frame(out, (uint16_t)(256 + choose(65280)), flags, sequence, data, size);
    case 6: return dx_hbtp_write_frame(out, (uint16_t)(0x12 + choose(2)), flags & 0xfcu, sequence, data, 4);
    case 7:
        head[0] = data[0];
        memcpy(head + 4, data + 1, 4);
        memmove(data + 8, data, sizeof data - 8);
        memcpy(data, head, 8);
        return dx_hbtp_write_frame(out, 0x33, flags & 0xfcu, sequence, data, size < 8 ? 8 : size);
    case 8: return dx_hbtp_write_frame(out, 0x34, flags & 0xfcu, sequence, data, size < 4 ? 4 : size);
    case 9: return dx_hbtp_write_frame(out, 0x35, flags & 0xfcu, sequence, "\x94\1\0\0no", choose(2) ? 6 : 0);
    case 10: return dx_hbtp_write_state_sync(out, sequence, choose(2) != 0, data, size);
    default: return dx_hbtp_write_frame(out, kinds[choose(8)], flags, sequence, data, size);
    }
}

int main(int argc, char **argv)
{
    static char line[300000], text[200000];
    static uint8_t memory[4096];
    unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, checked = 0;
    dx_hbtp_out out;
    if (argc > 3 && !strcmp(argv[1], "write")) {
        for (state = strtoul(argv[3], NULL, 10); count; count--) {
            size_t size;
            dx_hbtp_out_init(&out, memory, sizeof memory);
            dx_hbtp_out_set_checksum(&out, choose(4) == 0);
            if (invent(&out)) return 1;
            const uint8_t *p = dx_hbtp_out_data(&out, &size);
            if (!describe(p, size, text)) return 2;
            hex(line, p, size);
            printf("%s\t%s\n", text, line);
        }
        return 0;
    }
    for (; fgets(line, sizeof line, stdin); checked++) {
        char *tab = strchr(line, '\t'), *p = tab ? tab + 1 : line;
        size_t size = 0, again;
        dx_hbtp_frame f;
        for (unsigned v; sscanf(p, "%2x", &v) == 1; p += 2) bytes[size++] = (uint8_t)v;
        if (!tab || !describe(bytes, size, text)) return printf("refused: %s", line), 1;
        *tab = 0;
        if (strcmp(text, line)) return printf("%s\nis read as\n%s\n", line, text), 1;
        dx_hbtp_parse(bytes, size, UINT32_MAX, &f);
        dx_hbtp_out_init(&out, memory, sizeof memory);
        if (dx_hbtp_write_frame(&out, f.opcode, f.flags, f.sequence, f.payload, f.payload_size)) return 3;
        const uint8_t *q = dx_hbtp_out_data(&out, &again);
        if (again != size || memcmp(q, bytes, size)) return printf("written differently: %s\n", line), 1;
    }
    printf("%lu\n", checked);
    return 0;
}
