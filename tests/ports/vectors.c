/* The codecs' output as digests that must be equal on every machine (tests/checks/portable.sh).
   usage: vectors OLD NEW      two versions of an executable, for the patches

   Everything written is read back here, so a machine that writes correctly but reads wrongly fails,
   too. */
#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#include "../../layers/dx_devices.h"
#include "../../dx_hbtp.h"
#include "../../layers/dx_chunks.h"
#include "../../dx_patch.h"
#include "../../dx_teleport.h"
#include "../../layers/dx_merkle.h"
#include "../../layers/dx_nor.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(c) ((c) ? (void)0 : fail(__LINE__, #c))

static void fail(int line, const char *text)
{
    printf("line %d: not so: %s\n", line, text);
    exit(1);
}

static void *memory(size_t size)
{
    void *p = calloc(1, size);
    MUST(p);
    return p;
}

/* NAME SIZE BLAKE3, and the bytes themselves if they are few. */
static void show(const char *name, const void *data, size_t size)
{
    const uint8_t *p = (const uint8_t *)data;
    char           hex[65];
    dx_cas_id      id;
    dx_cas_hash(data, size, &id);
    dx_cas_id_to_hex(&id, hex);
    printf("%-28s %8lu %s", name, (unsigned long)size, hex);
    if (size <= 64) printf(" ");
    for (size_t i = 0; i < size && size <= 64; i++) printf("%02x", p[i]);
    printf("\n");
}

static void show_number(const char *name, uint64_t value)
{
    printf("%-28s %016" PRIx64 "\n", name, value);
}

/* The same bytes everywhere: xorshift64, one byte of each number; few different values where asked for. */
static void fill(void *out, size_t size, uint64_t seed, uint8_t mask)
{
    uint8_t *p = (uint8_t *)out;
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i < size; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        p[i] = (uint8_t)((x >> 24) & mask);
    }
}

/* ---------------------------------------------------------------- dx_hbtp.h */
static void hbtp_frames(void)
{
    static uint8_t room[1 << 16], payload[5000];
    dx_hbtp_out    out;
    fill(payload, sizeof payload, 1, 0xff);
    MUST(dx_hbtp_out_init(&out, room, sizeof room) == DX_HBTP_OK);
    for (int checksum = 0; checksum < 2; checksum++) {
        dx_hbtp_out_set_checksum(&out, checksum);
        MUST(dx_hbtp_write_frame(&out, DX_HBTP_OP_PING, DX_HBTP_FLAG_EXPECTS_RESPONSE, 1, payload, 8) == 0);
        MUST(dx_hbtp_write_pong(&out, 1, payload, 0) == 0);
        MUST(dx_hbtp_write_rpc_call(&out, 0x1234, 7, payload, 300) == 0);
        MUST(dx_hbtp_write_rpc_response(&out, 0x1234, payload, 4999) == 0);
        MUST(dx_hbtp_write_rpc_error(&out, 0xfffe, 404, "not here") == 0);
        MUST(dx_hbtp_write_state_sync(&out, 77, true, payload, 1000) == 0);
        MUST(dx_hbtp_write_frame(&out, 0x1234, DX_HBTP_FLAG_FINAL, 9, payload, 33) == 0);
        MUST(dx_hbtp_write_close(&out, 503, "bye") == 0);
    }
    size_t         size;
    const uint8_t *bytes = dx_hbtp_out_data(&out, &size);
    show("hbtp frames", bytes, size);
    uint64_t sum = 0;
    for (size_t at = 0; at < size;) {
        dx_hbtp_frame frame;
        int64_t       n = dx_hbtp_parse(bytes + at, size - at, 65536, &frame);
        MUST(n > 0);
        MUST(dx_hbtp_resolve_extended(&frame) == 0);
        sum = sum * 31 + frame.opcode + frame.sequence + frame.flags + frame.payload_size;
        at += (size_t)n;
    }
    show_number("hbtp frames read", sum);
}

static int echo(const dx_hbtp_context *c)
{
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, c->payload, c->payload_size);
}

/* A server answers what comes in pieces of all sizes. */
static void hbtp_session(void)
{
    static dx_hbtp_router router;
    static uint8_t        in_room[1 << 14], out_room[1 << 14], payload[700];
    dx_hbtp_out           in, out;
    dx_hbtp_session       session;
    dx_hbtp_session_desc  desc = {0};
    fill(payload, sizeof payload, 2, 0xff);
    dx_hbtp_router_init(&router);
    MUST(dx_hbtp_router_set_method(&router, 9, echo, NULL) == 0);
    dx_hbtp_out_init(&in, in_room, sizeof in_room);
    dx_hbtp_out_init(&out, out_room, sizeof out_room);
    desc.out = &out;
    desc.router = &router;
    desc.payload_max = 1024;
    desc.memory_size = dx_hbtp_session_memory_size(&desc);
    desc.memory = memory(desc.memory_size);
    MUST(dx_hbtp_session_init(&session, &desc) == 0);
    for (uint16_t i = 1; i < 12; i++) {
        dx_hbtp_out_set_checksum(&in, i % 2);
        MUST(dx_hbtp_write_frame(&in, DX_HBTP_OP_PING, DX_HBTP_FLAG_EXPECTS_RESPONSE, i, payload, i) == 0);
        MUST(dx_hbtp_write_rpc_call(&in, (uint16_t)(i + 100), 9, payload, (size_t)i * 60) == 0);
        MUST(dx_hbtp_write_rpc_call(&in, (uint16_t)(i + 200), 8, payload, 3) == 0);
    }
    size_t         size, taken = 0, step = 1;
    const uint8_t *bytes = dx_hbtp_out_data(&in, &size);
    while (taken < size) {
        size_t  part = size - taken < step ? size - taken : step;
        int64_t n = dx_hbtp_feed(&session, bytes + taken, part, 1000);
        MUST(n > 0);
        taken += (size_t)n;
        step = step % 97 + 1;
    }
    MUST(dx_hbtp_call(&session, 3, "question", 8, UINT64_MAX, NULL, NULL) == 0);
    MUST(dx_hbtp_close(&session, 0, NULL) == 0);
    bytes = dx_hbtp_out_data(&out, &size);
    show("hbtp session answers", bytes, size);
    free(desc.memory);
}

static void hbtp_stream(void)
{
    static uint8_t          room[1 << 14], body[3000], chunk_memory[4096];
    dx_chunks_buffer        out = {room, 0, sizeof room};
    dx_chunks_parts         parts;
    dx_chunks_reader        reader;
    dx_chunks_reader_desc   desc = {0};
    dx_chunks_dispatcher    dispatcher;
    memset(&dispatcher, 0, sizeof dispatcher);
    fill(body, sizeof body, 3, 0xff);
    memset(&parts, 0, sizeof parts);
    memcpy(parts.target_hash, body, sizeof parts.target_hash);
    parts.layout = body;
    parts.layout_size = 1000;
    parts.state = body + 1000;
    parts.state_size = 258;
    parts.wasm = body + 1500;
    parts.wasm_size = 1500;
    MUST(dx_chunks_write_stream(&out, &parts) == 0);
    const size_t         size = out.size;
    const uint8_t *const bytes = room;
    show("hbtp chunk stream", bytes, size);
    desc.memory = chunk_memory;
    desc.memory_size = sizeof chunk_memory;
    desc.on_chunk = dx_chunks_dispatch;
    desc.user = &dispatcher;
    MUST(dx_chunks_reader_init(&reader, &desc) == 0);
    for (size_t i = 0; i < size; i++) MUST(dx_chunks_feed(&reader, bytes + i, 1) >= 0);
    MUST(dx_chunks_finish(&reader) == 0);
    MUST(dx_chunks_finish_dispatch(&dispatcher) == 0);
    MUST(dispatcher.header.total_size == size);
}

/* ---------------------------------------------------------------- dx_patch.h */
typedef struct bytes {
    uint8_t *data;
    size_t   size;
} bytes;

/* Always the same memory: with other memory another patch would be made. */
static void patch_one(const char *name, bytes old, bytes now, dx_patch_kind kind, uint32_t codings)
{
    dx_patch_create_desc desc = {0};
    dx_patch_header      header;
    size_t               size = 0, got = 0;
    desc.kind = kind;
    desc.codings = codings;
    desc.memory_size = (size_t)32 << 20;
    desc.memory = memory(desc.memory_size);
    size_t   most = dx_patch_bound(&desc, old.size, now.size);
    uint8_t *patch = (uint8_t *)memory(most), *result = (uint8_t *)memory(now.size + old.size);
    MUST(dx_patch_create(&desc, old.data, old.size, now.data, now.size, patch, most, &size) == 0);
    show(name, patch, size);
    MUST(dx_patch_info(patch, size, &header) == 0);
    MUST(header.target_size == now.size);
    MUST(dx_patch_apply(old.data, old.size, patch, size, result, now.size, &got, desc.memory, desc.memory_size) == 0);
    MUST(got == now.size && memcmp(result, now.data, now.size) == 0);
    if (kind == DX_PATCH_KIND_BLOCKS) {
        MUST(dx_patch_undo(result, now.size, now.size + old.size, patch, size, &got) == 0);
        MUST(got == old.size && memcmp(result, old.data, old.size) == 0);
    }
    free(desc.memory);
    free(patch);
    free(result);
}

static void patch_all(const char *name, bytes old, bytes now)
{
    char text[40];
    sprintf(text, "patch %s blocks", name);
    patch_one(text, old, now, DX_PATCH_KIND_BLOCKS, 0);
    sprintf(text, "patch %s plain", name);
    patch_one(text, old, now, DX_PATCH_KIND_DELTA, 1u << DX_PATCH_CODING_PLAIN);
    sprintf(text, "patch %s coded", name);
    patch_one(text, old, now, DX_PATCH_KIND_DELTA, 1u << DX_PATCH_CODING_RANGE);
}

/* A table of numbers that all moved up, with a part taken out and another put in. */
static void patch_tables(void)
{
    bytes old = {(uint8_t *)memory(200000), 200000}, now = {(uint8_t *)memory(220000), 0};
    fill(old.data, old.size, 4, 0x3f);
    memcpy(now.data, old.data, 50000);
    fill(now.data + 50000, 9000, 5, 0xff);
    memcpy(now.data + 59000, old.data + 61000, 139000);
    now.size = 198000;
    for (size_t i = 70000; i < now.size; i += 16) now.data[i] = (uint8_t)(now.data[i] + 4);
    patch_all("table", old, now);
    patch_all("table back", now, old);
    now.size = 0;
    patch_all("to nothing", old, now);
    free(old.data);
    free(now.data);
}

static bytes load(const char *path)
{
    bytes b = {(uint8_t *)memory((size_t)4 << 20), 0};
    FILE *f = fopen(path, "rb");
    MUST(f);
    b.size = fread(b.data, 1, (size_t)4 << 20, f);
    MUST(b.size > 0 && b.size < (size_t)4 << 20);
    fclose(f);
    return b;
}

static void patch_files(const char *old_path, const char *new_path)
{
    bytes old = load(old_path), now = load(new_path);
    patch_all("program", old, now);
    free(old.data);
    free(now.data);
}

/* ---------------------------------------------------------------- dx_teleport.h */
#define READING_1(F, S, A, L, E, V, ...) F(u64, id) S(name) F(u8, age) E(u8, colour, 3) A(u16, series, 5)
#define READING(F, S, A, L, E, V, ...)                                                                    \
    F(u64, id) S(name) F(u8, age) E(u8, colour, 3) A(u16, series, 5)                                      \
    V(2) F(i16, offset) F(f64, mean) L(f32, values) L(i64, counts) F(bool, valid) F(f32, last) F(i32, n) S(note) \
    V(3) E(u16, unit, 900) F(i8, small) L(u8, raw) F(u32, tail)
DX_TELEPORT_DEFINE(reading, READING)
DX_TELEPORT_FROZEN(reading, READING, 1, READING_1)

/* i386 compares in more bits than a double has. */
static int same_double(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static void teleport_write(const char *name, uint32_t flags)
{
    static uint8_t buffer[1024];
    const uint16_t series[5] = {1, 2, 300, 40000, 65535};
    const float    values[3] = {1.5f, -0.0f, 3.25e-12f};
    const int64_t  counts[2] = {-1, INT64_MAX};
    const double   mean = 1e300;
    reading_writer w;
    reading_view   v;
    size_t         size = 0;
    MUST(reading_begin(&w, buffer, sizeof buffer, flags) == 0);
    MUST(reading_set_id(&w, 0x0123456789abcdefu) == 0);
    MUST(reading_put_name(&w, "Z\xc3\xbcrich", 7) == 0);
    MUST(reading_set_age(&w, 41) == 0 && reading_set_colour(&w, 2) == 0 && reading_set_series(&w, series) == 0);
    MUST(reading_set_offset(&w, -2) == 0 && reading_set_mean(&w, mean) == 0);
    MUST(reading_put_values(&w, values, 3) == 0 && reading_put_counts(&w, counts, 2) == 0);
    MUST(reading_set_valid(&w, true) == 0 && reading_set_last(&w, 0.1f) == 0 && reading_set_n(&w, INT32_MIN) == 0);
    MUST(reading_put_note(&w, "", 0) == 0 && reading_set_unit(&w, 899) == 0 && reading_set_small(&w, -128) == 0);
    MUST(reading_put_raw(&w, (const uint8_t *)"\0\1\2", 3) == 0 && reading_set_tail(&w, 0xdeadbeefu) == 0);
    MUST(reading_finish(&w, &size) == 0);
    show(name, buffer, size);
    MUST((flags & DX_TELEPORT_BARE ? reading_open_bare(&v, buffer, size, 0) : reading_open(&v, buffer, size)) == 0);
    MUST(reading_get_id(&v) == 0x0123456789abcdefu && same_double(reading_get_mean(&v), mean) && reading_get_offset(&v) == -2);
    MUST(reading_at_series(&v, 3) == 40000 && reading_at_counts(&v, 1) == INT64_MAX && reading_get_n(&v) == INT32_MIN);
    MUST(reading_at_values(&v, 0) == 1.5f && reading_count_raw(&v) == 3 && reading_get_tail(&v) == 0xdeadbeefu);
}

static void teleport_records(void)
{
    show_number("teleport layout 1", reading_layout(1));
    show_number("teleport layout 3", reading_layout(3));
    teleport_write("teleport record", 0);
    teleport_write("teleport record crc", DX_TELEPORT_CRC);
    teleport_write("teleport record bare", DX_TELEPORT_BARE);
}

/* ---------------------------------------------------------------- dx_cas.h */
static void cas_hashes(void)
{
    static uint8_t data[40000];
    uint8_t        out[100];
    dx_cas_blake3  h;
    fill(data, sizeof data, 6, 0xff);
    dx_cas_blake3_init_keyed(&h, data);
    dx_cas_blake3_update(&h, data, 3);
    dx_cas_blake3_update(&h, data + 3, sizeof data - 3);
    dx_cas_blake3_final(&h, out, sizeof out);
    show("cas blake3 keyed", out, sizeof out);
    dx_cas_blake3_init_derive(&h, "dx vectors", 10);
    dx_cas_blake3_update(&h, data, 1025);
    dx_cas_blake3_final(&h, out, 32);
    show("cas blake3 derived", out, 32);
}

static void cas_merkle(void)
{
    static dx_cas_id leaves[1000];
    dx_cas_id        proof[64], root;
    uint8_t          text[4];
    size_t           count = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        fill(text, sizeof text, i, 0xff);
        dx_merkle_leaf(text, sizeof text, &leaves[i]);
    }
    dx_merkle_root_of(leaves, 1000, &root);
    show("cas merkle root", root.bytes, sizeof root.bytes);
    MUST(dx_merkle_prove(leaves, 1000, 333, proof, 64, &count) == 0);
    show("cas merkle inclusion", proof, count * sizeof *proof);
    fill(text, sizeof text, 333, 0xff);
    MUST(dx_merkle_check(text, sizeof text, 333, 1000, proof, count, &root) == 0);
    MUST(dx_merkle_prove_growth(leaves, 1000, 517, proof, 64, &count) == 0);
    show("cas merkle growth", proof, count * sizeof *proof);
}

static void cas_cuts(const uint8_t *data, size_t size)
{
    dx_cas_chunker      c;
    dx_cas_chunker_desc desc = {0};
    uint64_t            sum = 0;
    desc.size_avg = 4096;
    desc.key = data;
    MUST(dx_cas_chunker_init(&c, &desc) == 0);
    for (size_t at = 0; at < size;) {
        bool cut = false;
        at += dx_cas_chunker_next(&c, data + at, size - at, &cut);
        if (cut) sum = sum * 1000003 + at;
    }
    show_number("cas keyed cuts", sum);
}

static void cas_add(dx_cas_store *store, const char *name, const uint8_t *data, size_t size)
{
    dx_cas_writer_desc desc = {0};
    dx_cas_writer      writer;
    dx_cas_content     content;
    dx_cas_ref         ref;
    memset(&ref, 0, sizeof ref);
    desc.store = store;
    desc.chunker.size_avg = 4096;
    desc.memory_size = dx_cas_writer_memory_size(&desc);
    desc.memory = memory(desc.memory_size);
    MUST(dx_cas_writer_begin(&writer, &desc) == 0);
    for (size_t at = 0; at < size; at += 10007) {
        size_t part = size - at < 10007 ? size - at : 10007;
        MUST(dx_cas_writer_write(&writer, data + at, part, NULL) == 0);
    }
    MUST(dx_cas_writer_finish(&writer, &content) == 0);
    strcpy(ref.name, name);
    ref.root = content.root;
    ref.content = content.content;
    ref.size = content.size;
    ref.time_ns = 1700000000000000000u + size;
    ref.kind = 7;
    ref.info_size = 5;
    memcpy(ref.info, "info!", 5);
    MUST(dx_cas_ref_set(store, &ref, DX_CAS_ANY_VERSION, NULL) == 0);
    MUST(dx_cas_commit(store) == 0);
    free(desc.memory);
}

static void cas_get(dx_cas_store *store, const char *name, const uint8_t *data, size_t size)
{
    dx_cas_reader reader;
    dx_cas_ref    ref;
    size_t        got = 0, room = dx_cas_reader_memory_size(0);
    void         *space = memory(room);
    uint8_t      *back = (uint8_t *)memory(size);
    MUST(dx_cas_ref_get(store, name, 0, &ref) == 0);
    MUST(dx_cas_reader_open(&reader, store, &ref.root, space, room) == 0);
    MUST(dx_cas_reader_read(&reader, 0, back, size, &got) == 0);
    MUST(got == size && memcmp(back, data, size) == 0);
    free(space);
    free(back);
}

static void cas_begin(dx_cas_store *store, dx_devices_memory *disk, uint8_t id)
{
    dx_cas_desc desc = {0};
    disk->capacity = (size_t)4 << 20;
    disk->data = memory(disk->capacity);
    disk->size = 0;
    desc.device = dx_devices_memory_device(disk);
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    memset(desc.store_id, id, sizeof desc.store_id);
    desc.memory_size = dx_cas_memory_size(&desc);
    desc.memory = memory(desc.memory_size);
    MUST(dx_cas_open(store, &desc) == 0);
}

static int area_read(void *user, uint32_t offset, void *out, size_t size)
{
    memcpy(out, (const uint8_t *)user + offset, size);
    return 0;
}

static int area_program(void *user, uint32_t offset, const void *data, size_t size)
{
    memcpy((uint8_t *)user + offset, data, size);
    return 0;
}

static int area_erase(void *user, uint32_t offset)
{
    memset((uint8_t *)user + offset, 0xff, 65536);
    return 0;
}

/* The store, taken over into flash, collected and added to there, and read from there by dx_cas.h. */
static void cas_flash(dx_devices_memory *disk, const uint8_t *data)
{
    static uint8_t  work[DX_NOR_MEMORY_SIZE(16)];
    size_t          size = 48 * 65536;
    dx_cas_device   from = dx_devices_memory_device(disk);
    dx_cas_desc     desc = {0};
    dx_nor_desc how = {0};
    dx_nor_ref  ref = {0};
    dx_nor      nor;
    dx_cas_store    store;
    uint8_t        *area = (uint8_t *)memory(size);
    memset(area, 0, size);
    how.flash.read = area_read;
    how.flash.program = area_program;
    how.flash.erase = area_erase;
    how.flash.user = area;
    how.flash.block_size = 65536;
    how.flash.block_count = 48;
    how.flash.unit = 16;
    how.mode = DX_CAS_WRITE;
    how.memory = work;
    how.memory_size = sizeof work;
    MUST(dx_nor_create(&nor, &how) == 0);
    MUST(dx_nor_import(&nor, &from, (uint32_t)disk->size) == 0);
    MUST(dx_nor_collect(&nor) == 0);
    MUST(dx_nor_put(&nor, "flash", 5, &ref.root) == 0);
    MUST(dx_nor_ref_set(&nor, "flash", &ref) == 0);
    MUST(dx_nor_commit(&nor) == 0);
    MUST(dx_nor_open(&nor, &how) == 0);
    MUST(dx_nor_verify(&nor, NULL, NULL, NULL) == 0);
    show("cas store on flash", area, size);
    desc.device = dx_nor_device(&nor);
    desc.memory_size = dx_cas_memory_size(&desc);
    desc.memory = memory(desc.memory_size);
    MUST(dx_cas_open(&store, &desc) == 0);
    cas_get(&store, "second/thing", data + 5, 100);
    cas_get(&store, "first", data, 600000);
    free(area);
}

static void cas_store(void)
{
    static uint8_t data[600000];
    dx_devices_memory  disk, other_disk;
    dx_cas_store   store, other;
    dx_cas_report  report;
    fill(data, sizeof data, 7, 0xff);
    cas_cuts(data, sizeof data);
    cas_begin(&store, &disk, 0x5a);
    MUST(dx_cas_put(&store, "small", 5, NULL) == 0);
    cas_add(&store, "first", data, 500000);
    memset(data + 100000, 'x', 70);
    cas_add(&store, "first", data, 600000);
    cas_add(&store, "second/thing", data + 5, 100);
    cas_add(&store, "gone", data + 6, 10000);
    MUST(dx_cas_ref_delete(&store, "gone", DX_CAS_ANY_VERSION) == 0);
    MUST(dx_cas_ref_trim(&store, "first", 2) == 0);
    MUST(dx_cas_commit(&store) == 0);
    cas_get(&store, "first", data, 600000);
    MUST(dx_cas_verify(&store, NULL, NULL, &report) == 0);
    show("cas store", disk.data, disk.size);
    cas_flash(&disk, data);
    cas_begin(&other, &other_disk, 0xa5);
    MUST(dx_cas_compact_into(&store, &other) == 0);
    cas_get(&other, "second/thing", data + 5, 100);
    show("cas store collected", other_disk.data, other_disk.size);
}

int main(int argc, char **argv)
{
    MUST(argc == 3);
    hbtp_frames();
    hbtp_session();
    hbtp_stream();
    patch_tables();
    patch_files(argv[1], argv[2]);
    teleport_records();
    cas_hashes();
    cas_merkle();
    cas_store();
    return 0;
}
