/* Over-the-air update of an application in one slot of flash.

   The host sends a patch in HBTP FileChunk frames over the UART. It is kept in a stage of flash, and
   a record after it marks it as complete; then the slot is patched in place. After a power cut the
   next start resumes the patch where it stopped. No heap, no C library.

   The stage:  the patch | the last page: record of 256 bytes "this many bytes are staged",
   record of 256 bytes "done, with this result". A record is believed when it is whole. */
#include "board.h"
#include "protocol.h"

#define DX_HBTP_STATIC
#define DX_HBTP_SMALL
#define DX_HBTP_IMPLEMENTATION
#include "../../dx_hbtp.h"
#define DX_PATCH_NO_CREATE
#define DX_PATCH_STATIC
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#define DX_CAS_STATIC
#define DX_CAS_IMPLEMENTATION
#include "../../dx_cas.h"

enum {
    STAGE = BOARD_SLOT_SIZE,
    RECORD = BOARD_SLOT_SIZE + BOARD_STAGE_SIZE - BOARD_PAGE_SIZE,
    PATCH_MAX = BOARD_STAGE_SIZE - BOARD_PAGE_SIZE,
    UNIT = BOARD_UNIT,
    QUIET = 200000     /* looks at a silent UART after which a new frame begins */
};
#define RECORD_STAGED 0x44475453u /* "STGD" */
#define RECORD_DONE   0x454e4f44u /* "DONE" */

static struct {
    uint32_t expected, received; /* bytes of the patch that is coming in; 0: none */
    int32_t result;              /* of the last patch */
    size_t in_size;
    uint8_t out[128];
} device;

/* A frame comes in, or a patch is applied: never both. */
static union {
    uint8_t in[PROTOCOL_FRAME_MAX];
    dx_patch_flash patcher;
} memory;

/* >>records ---------------------------------------------------------------- */
static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}

static uint32_t get32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int write_record(uint32_t offset, uint32_t magic, uint32_t value)
{
    uint8_t unit[UNIT];
    memset(unit, 0xff, sizeof unit);
    put32(unit, magic);
    put32(unit + 4, value);
    put32(unit + 8, ~value);
    return board_write(offset, unit);
}

static int read_record(uint32_t offset, uint32_t magic, uint32_t *value)
{
    const uint8_t *p = board_flash + offset;
    *value = get32(p + 4);
    return get32(p) == magic && get32(p + 8) == ~*value;
}

/* >>image ------------------------------------------------------------------ */
/* Size of the application in the slot, in bytes; 0: the slot has no application. */
static uint32_t image(uint32_t *version)
{
    uint32_t size = get32(board_flash + offsetof(app_header, size));
    *version = get32(board_flash + offsetof(app_header, version));
    if (get32(board_flash) != APP_MAGIC || size < sizeof(app_header) || size > BOARD_SLOT_SIZE) return 0;
    return size;
}

static int flash_io(void *user, dx_patch_flash_io what, uint64_t offset, void *data, size_t size)
{
    (void)user;
    if (what == DX_PATCH_FLASH_ERASE) return board_erase((uint32_t)offset);
    if (what == DX_PATCH_FLASH_WRITE) return board_write((uint32_t)offset, data);
    memcpy(data, board_flash + offset, size);
    return 0;
}

/* Does the slot hold the target of the patch? Hashed by dx_cas.h, independently of dx_patch.h. */
static int is_target(uint32_t patch_size)
{
    dx_patch_header header;
    dx_cas_id id;
    if (dx_patch_info(board_flash + STAGE, patch_size, &header)) return 0;
    dx_cas_hash(board_flash, (size_t)header.target_size, &id);
    return memcmp(&id, header.target_hash, sizeof header.target_hash) == 0;
}

/* Apply the staged patch, or resume it. If flash failed, the next start retries. */
static void patch(uint32_t patch_size)
{
    dx_patch_flash_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.io = flash_io;
    desc.patch = board_flash + STAGE;
    desc.patch_size = patch_size;
    desc.slot_size = BOARD_SLOT_SIZE;
    desc.page_size = BOARD_PAGE_SIZE;
    device.result = dx_patch_flash_apply(&memory.patcher, &desc);
    if (device.result == DX_PATCH_EAPPLIED) device.result = DX_PATCH_OK;
    if (device.result == DX_PATCH_OK && !is_target(patch_size)) device.result = DX_PATCH_ETARGET;
    if (device.result != DX_PATCH_ESYS) (void)write_record(RECORD + UNIT, RECORD_DONE, (uint32_t)device.result);
}

/* After a start: is there a patch that was staged, and not done? */
static void resume(void)
{
    uint32_t size, result;
    if (!read_record(RECORD, RECORD_STAGED, &size) || size > PATCH_MAX) return;
    if (read_record(RECORD + UNIT, RECORD_DONE, &result)) device.result = (int32_t)result;
    else patch(size);
}

/* >>protocol --------------------------------------------------------------- */
static void send(const dx_hbtp_out *out)
{
    size_t size;
    const uint8_t *bytes = dx_hbtp_out_data(out, &size);
    board_put(bytes, size);
}

static void refuse(uint16_t sequence, uint16_t status)
{
    dx_hbtp_out out;
    (void)dx_hbtp_out_init(&out, device.out, sizeof device.out);
    (void)dx_hbtp_write_rpc_error(&out, sequence, status, "");
    send(&out);
}

static void answer(uint16_t sequence, const void *result, size_t size)
{
    dx_hbtp_out out;
    (void)dx_hbtp_out_init(&out, device.out, sizeof device.out);
    (void)dx_hbtp_write_rpc_response(&out, sequence, result, size);
    send(&out);
}

static void answer_info(uint16_t sequence)
{
    uint8_t info[PROTOCOL_INFO_SIZE];
    uint32_t version, size = image(&version);
    dx_cas_id id;
    dx_cas_hash(board_flash, size, &id);
    put32(info, BOARD_PAGE_SIZE);
    put32(info + 4, BOARD_SLOT_SIZE);
    put32(info + 8, PATCH_MAX);
    put32(info + 12, (uint32_t)device.result);
    put32(info + 16, size ? version : 0);
    put32(info + 20, size);
    memcpy(info + 24, &id, 32);
    answer(sequence, info, sizeof info);
}

/* A patch of this many bytes will come. What was staged before is void from the first erase on. */
static void begin(uint16_t sequence, uint32_t size)
{
    int failed = 0;
    if (size < DX_PATCH_HEADER_SIZE || size > PATCH_MAX) {
        refuse(sequence, 413);
        return;
    }
    failed = board_erase(RECORD);
    for (uint32_t at = 0; at < size && !failed; at += BOARD_PAGE_SIZE) failed = board_erase(STAGE + at);
    device.expected = failed ? 0 : size;
    device.received = 0;
    if (failed) refuse(sequence, 500);
    else answer(sequence, "", 0);
}

/* The last chunk was stored: from here on the update happens, now or after a power cut. */
static void complete(uint16_t sequence)
{
    uint32_t size = device.expected;
    device.expected = 0;
    if (write_record(RECORD, RECORD_STAGED, size)) {
        refuse(sequence, 500);
        return;
    }
    patch(size);
    answer_info(sequence);
}

static void store(uint16_t sequence, const dx_hbtp_file_chunk *chunk)
{
    uint8_t unit[UNIT], next[4];
    uint32_t at = device.received, end;
    int failed = 0;
    put32(next, at);
    if (chunk->offset < at && chunk->data_size <= at - chunk->offset) { /* again: the answer was lost */
        answer(sequence, next, sizeof next);
        return;
    }
    end = at + chunk->data_size;
    if (chunk->offset != at || chunk->data_size > device.expected - at ||
        (end % UNIT && end != device.expected) || chunk->final != (end == device.expected)) {
        refuse(sequence, 409);
        return;
    }
    for (uint32_t i = 0; i < chunk->data_size && !failed; i += UNIT) {
        uint32_t size = chunk->data_size - i < UNIT ? chunk->data_size - i : UNIT;
        memset(unit, 0xff, sizeof unit);
        memcpy(unit, chunk->data + i, size);
        failed = board_write(STAGE + at + i, unit);
    }
    device.received = end;
    put32(next, end);
    if (failed) device.expected = 0;
    if (failed) refuse(sequence, 500);
    else if (chunk->final) complete(sequence);
    else answer(sequence, next, sizeof next);
}

static void run(uint16_t sequence)
{
    uint32_t version, size = image(&version), entry = get32(board_flash + offsetof(app_header, entry));
    if (!size || entry >= size) {
        refuse(sequence, 404);
        return;
    }
    answer(sequence, "", 0);
    board_jump(board_flash + entry);
}

static void call(const dx_hbtp_frame *f)
{
    uint8_t method = f->payload_size ? f->payload[0] : 0;
    if (method == PROTOCOL_INFO) answer_info(f->sequence);
    else if (method == PROTOCOL_BEGIN && f->payload_size == 5) begin(f->sequence, get32(f->payload + 1));
    else if (method == PROTOCOL_RUN) run(f->sequence);
    else refuse(f->sequence, 404);
}

static void handle(const dx_hbtp_frame *f)
{
    dx_hbtp_file_chunk chunk;
    if (f->opcode == DX_HBTP_OP_RPC_CALL) call(f);
    else if (f->opcode != DX_HBTP_OP_FILE_CHUNK) refuse(f->sequence, 404);
    else if (dx_hbtp_parse_file_chunk(f, &chunk)) refuse(f->sequence, 400);
    else store(f->sequence, &chunk);
}

/* Bytes that are no frame are thrown away, with all that follow until the line is quiet. */
static void resynchronise(uint16_t sequence)
{
    uint32_t quiet = 0;
    while (quiet++ < QUIET)
        if (board_get() >= 0) quiet = 0;
    refuse(sequence, 400);
}

int main(void)
{
    resume();
    for (;;) {
        dx_hbtp_frame frame;
        int64_t used;
        int byte;
        while ((byte = board_get()) < 0) { }
        memory.in[device.in_size++] = (uint8_t)byte;
        used = dx_hbtp_parse(memory.in, device.in_size, sizeof memory.in - DX_HBTP_HEADER_SIZE, &frame);
        if (!used) continue;
        if (used > 0) handle(&frame);
        else resynchronise(0);
        device.in_size = 0;
    }
}
