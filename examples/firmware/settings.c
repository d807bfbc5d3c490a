/* Settings in flash that a power cut cannot hurt: names and values in a store of layers/dx_nor.h, set and
   read in HBTP frames over the UART. An acknowledged value survives a power cut; every read is checked
   by its hash. When all blocks are full, live values move to the next block, so that all wear equally.
   No heap, no C library. */
#include "board.h"
#include "protocol.h"

#define DX_HBTP_STATIC
#define DX_HBTP_SMALL
#define DX_HBTP_IMPLEMENTATION
#include "../../dx_hbtp.h"
#define DX_CAS_STATIC
#define DX_NOR_STATIC
#define DX_CAS_SMALL
#define DX_CAS_IMPLEMENTATION
#define DX_NOR_IMPLEMENTATION
#include "../../dx_cas.h"
#include "../../layers/dx_nor.h"

enum {
    STORE = SETTINGS_OFFSET, BLOCKS = SETTINGS_BLOCKS,
    QUIET = 200000 /* looks at a silent UART after which a new frame begins */
};

static struct {
    dx_nor store;
    uint8_t memory[DX_NOR_MEMORY_SIZE(BOARD_UNIT)];
    size_t in_size;
    uint8_t in[8 + 2 + SETTINGS_NAME_MAX + SETTINGS_VALUE_MAX];
    uint8_t out[16 + SETTINGS_VALUE_MAX];
} device;

/* >>flash ------------------------------------------------------------------ */
static int flash_read(void *user, uint32_t offset, void *out, size_t size)
{
    (void)user;
    memcpy(out, board_flash + STORE + offset, size);
    return 0;
}

static int flash_program(void *user, uint32_t offset, const void *data, size_t size)
{
    const uint8_t *from = data;
    (void)user;
    for (; size; size -= BOARD_UNIT, offset += BOARD_UNIT, from += BOARD_UNIT)
        if (board_write(STORE + offset, from)) return DX_CAS_ESYS;
    return 0;
}

static int flash_erase(void *user, uint32_t offset)
{
    (void)user;
    return board_erase(STORE + offset) ? DX_CAS_ESYS : 0;
}

static int open_store(void)
{
    dx_nor_desc desc;
    int error;
    memset(&desc, 0, sizeof desc);
    desc.flash.read = flash_read;
    desc.flash.program = flash_program;
    desc.flash.erase = flash_erase;
    desc.flash.block_size = BOARD_PAGE_SIZE;
    desc.flash.block_count = BLOCKS;
    desc.flash.unit = BOARD_UNIT;
    desc.mode = DX_CAS_WRITE;
    desc.memory = device.memory;
    desc.memory_size = sizeof device.memory;
    error = dx_nor_open(&device.store, &desc);
    return error == DX_CAS_ENOTFOUND ? dx_nor_create(&device.store, &desc) : error;
}

/* >>settings --------------------------------------------------------------- */
static int set_once(const char *name, const void *value, uint32_t size)
{
    dx_nor_ref ref;
    int error;
    memset(&ref, 0, sizeof ref);
    error = dx_nor_put(&device.store, value, size, &ref.root);
    if (!error) error = dx_nor_ref_set(&device.store, name, &ref);
    return error ? error : dx_nor_commit(&device.store);
}

/* If the store is full, reclaim the space of deleted values and retry once. If flash failed, reopen the store. */
static int set(const char *name, const void *value, uint32_t size)
{
    int error = set_once(name, value, size);
    if (error == DX_CAS_ENOSPACE || error == DX_CAS_ENOMEM) {
        error = dx_nor_collect(&device.store);
        if (!error) error = set_once(name, value, size);
    }
    if (error == DX_CAS_ESYS) (void)open_store();
    return error;
}

static int get(const char *name, void *out, uint32_t capacity, uint32_t *size)
{
    dx_nor_ref ref;
    int error = dx_nor_ref_get(&device.store, name, &ref);
    return error ? error : dx_nor_get(&device.store, &ref.root, out, capacity, size);
}

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}

/* A start is one more. */
static int count_start(void)
{
    uint8_t count[4] = {0};
    uint32_t size = 0;
    int error = get("starts", count, sizeof count, &size);
    if (error && error != DX_CAS_ENOTFOUND) return error;
    put32(count, (count[0] | (uint32_t)count[1] << 8 | (uint32_t)count[2] << 16 | (uint32_t)count[3] << 24) + 1);
    return set("starts", count, sizeof count);
}

/* >>protocol --------------------------------------------------------------- */
static void answer(uint16_t sequence, int error, const void *result, size_t size)
{
    dx_hbtp_out out;
    const uint8_t *bytes;
    uint16_t status = error == DX_CAS_ENOTFOUND ? 404 : error == DX_CAS_ENOSPACE ? 413 : error == DX_CAS_EINVAL ? 400 : 500;
    (void)dx_hbtp_out_init(&out, device.out, sizeof device.out);
    if (error) (void)dx_hbtp_write_rpc_error(&out, sequence, status, "");
    else (void)dx_hbtp_write_rpc_response(&out, sequence, result, size);
    bytes = dx_hbtp_out_data(&out, &size);
    board_put(bytes, size);
}

static void answer_stats(uint16_t sequence)
{
    uint8_t stats[SETTINGS_STATS_SIZE];
    dx_cas_report report;
    dx_nor_stats s;
    int error = dx_nor_get_stats(&device.store, &s);
    memset(&report, 0, sizeof report);
    if (!error) error = dx_nor_verify(&device.store, NULL, NULL, &report);
    put32(stats, (uint32_t)report.damaged);
    put32(stats + 4, s.generation);
    put32(stats + 8, s.erases_max);
    put32(stats + 12, s.erases_mean);
    put32(stats + 16, s.records);
    answer(sequence, error == DX_CAS_ECORRUPT ? DX_CAS_OK : error, stats, sizeof stats);
}

static void call(const dx_hbtp_frame *f)
{
    const uint8_t *p = f->payload;
    char name[SETTINGS_NAME_MAX + 1];
    uint8_t value[SETTINGS_VALUE_MAX];
    uint32_t size = 0, name_size = f->payload_size > 1 ? p[1] : 0, rest;
    int error;
    if (f->payload_size && p[0] == SETTINGS_STATS) {
        answer_stats(f->sequence);
        return;
    }
    if (!name_size || name_size > SETTINGS_NAME_MAX || f->payload_size - 2 < name_size) {
        answer(f->sequence, DX_CAS_EINVAL, NULL, 0);
        return;
    }
    memcpy(name, p + 2, name_size);
    name[name_size] = 0;
    rest = (uint32_t)f->payload_size - 2 - name_size;
    if (p[0] == SETTINGS_SET) error = set(name, p + 2 + name_size, rest);
    else if (p[0] == SETTINGS_GET) error = get(name, value, sizeof value, &size);
    else error = DX_CAS_ENOTFOUND;
    answer(f->sequence, error, value, size);
}

int main(void)
{
    if (open_store() || count_start()) return 3;
    for (;;) {
        dx_hbtp_frame frame;
        int64_t used;
        int byte;
        while ((byte = board_get()) < 0) { }
        device.in[device.in_size++] = (uint8_t)byte;
        used = dx_hbtp_parse(device.in, device.in_size, sizeof device.in - DX_HBTP_HEADER_SIZE, &frame);
        if (!used) continue;
        if (used > 0 && frame.opcode == DX_HBTP_OP_RPC_CALL) {
            call(&frame);
        } else { /* no frame: all is thrown away until the line is quiet */
            for (uint32_t quiet = 0; quiet++ < QUIET;)
                if (board_get() >= 0) quiet = 0;
            answer(0, DX_CAS_EINVAL, NULL, 0);
        }
        device.in_size = 0;
    }
}
