/* cc -O2 -o dxflash examples/firmware/dxflash.c

   The host's side: brings a board (updater.c) to a version of its application.

     dxflash PORT info
     dxflash PORT update NEW OLD...     NEW and some earlier versions, one of which the board has
     dxflash PORT run                   start the application and print what it says
     dxflash - patch PAGE SLOT OLD NEW PATCH    only make the patch; PAGE, SLOT: their sizes in bytes

   PORT is a serial line that stty has set up, or the Unix socket of an emulator. Status 0: done,
   1: it failed, and why is printed. */
#define DX_HBTP_IMPLEMENTATION
#include "../../dx_hbtp.h"
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_MS = 5000, APPLY_MS = 120000, TRIES = 4, IMAGE_MAX = 64 << 20 };

typedef struct bytes {
    uint8_t *data;
    size_t size;
} bytes;

typedef struct board {
    int fd;
    uint16_t sequence;
    uint8_t in[4096];
    size_t in_size;
} board;

typedef struct info {
    uint32_t page_size, slot_size, patch_max, version, size;
    int32_t result;
    uint8_t hash[DX_PATCH_HASH_SIZE];
} info;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "dxflash: %s: %s\n", what, why);
    exit(1);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bytes read_file(const char *path)
{
    bytes b = {NULL, 0};
    FILE *f = fopen(path, "rb");
    size_t part = 1, room = 0;
    if (!f) fail(path, strerror(errno));
    while (part && b.size <= IMAGE_MAX) {
        if (b.size == room) {
            room = room ? 2 * room : 65536;
            b.data = realloc(b.data, room);
            if (!b.data) fail(path, "no memory");
        }
        part = fread(b.data + b.size, 1, room - b.size, f);
        b.size += part;
    }
    if (ferror(f) || b.size > IMAGE_MAX) fail(path, ferror(f) ? strerror(errno) : "too large");
    fclose(f);
    return b;
}

/* >>line ------------------------------------------------------------------- */
static int open_port(const char *path)
{
    struct sockaddr_un address;
    int fd = open(path, O_RDWR | O_NOCTTY);
    if (fd >= 0) return fd;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address.sun_path) fail(path, "too long");
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) fail(path, strerror(errno));
    return fd;
}

static void send_all(board *b, const dx_hbtp_out *out)
{
    size_t size;
    const uint8_t *p = dx_hbtp_out_data(out, &size);
    while (size) {
        ssize_t n = write(b->fd, p, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) fail("the line", n ? strerror(errno) : "closed");
        p += n;
        size -= (size_t)n;
    }
}

/* One whole frame into *f, which points into b->in until the next call. 0: nothing came in time. */
static int receive(board *b, dx_hbtp_frame *f, int timeout_ms)
{
    struct pollfd p = {b->fd, POLLIN, 0};
    b->in_size = 0;
    for (;;) {
        int64_t used = dx_hbtp_parse(b->in, b->in_size, sizeof b->in - DX_HBTP_HEADER_SIZE, f);
        ssize_t n;
        if (used > 0) return 1;
        if (used < 0) fail("the board", dx_hbtp_error_name((int)used));
        n = poll(&p, 1, timeout_ms);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return 0;
        n = read(b->fd, b->in + b->in_size, sizeof b->in - b->in_size);
        if (n <= 0) fail("the line", n ? strerror(errno) : "closed");
        b->in_size += (size_t)n;
    }
}

/* Send a request and wait for its answer, again when a frame was lost. *f borrows from b. */
static void ask(board *b, dx_hbtp_out *out, int timeout_ms, dx_hbtp_frame *f)
{
    uint16_t status = 0;
    const char *text;
    size_t size;
    for (int try = 0; try < TRIES; try++) {
        send_all(b, out);
        do {
            if (!receive(b, f, timeout_ms)) break;
            if (f->sequence == b->sequence && f->opcode == DX_HBTP_OP_RPC_RESPONSE) return;
            if (f->opcode == DX_HBTP_OP_RPC_ERROR && f->sequence == b->sequence) {
                (void)dx_hbtp_parse_rpc_error(f, &status, &text, &size);
                fail("the board refuses", dx_hbtp_status_text(status));
            }
        } while (f->opcode != DX_HBTP_OP_RPC_ERROR); /* of no frame: what it got was damaged */
    }
    fail("the board", "does not answer");
}

static void call(board *b, uint8_t method, const void *arguments, size_t size, dx_hbtp_frame *f)
{
    uint8_t memory[64];
    dx_hbtp_out out;
    (void)dx_hbtp_out_init(&out, memory, sizeof memory);
    (void)dx_hbtp_write_rpc_call(&out, ++b->sequence, method, arguments, size);
    ask(b, &out, ANSWER_MS, f);
}

/* >>commands --------------------------------------------------------------- */
static info parse_info(const dx_hbtp_frame *f)
{
    info i;
    const uint8_t *p = f->payload;
    if (f->payload_size != PROTOCOL_INFO_SIZE) fail("the board", "does not say who it is");
    i.page_size = get32(p);
    i.slot_size = get32(p + 4);
    i.patch_max = get32(p + 8);
    i.result = (int32_t)get32(p + 12);
    i.version = get32(p + 16);
    i.size = get32(p + 20);
    memcpy(i.hash, p + 24, sizeof i.hash);
    return i;
}

static info ask_info(board *b)
{
    dx_hbtp_frame f;
    call(b, PROTOCOL_INFO, NULL, 0, &f);
    return parse_info(&f);
}

static void print_info(const info *i)
{
    if (i->size) printf("application %u, %u bytes, BLAKE3 ", (unsigned)i->version, (unsigned)i->size);
    else printf("no application, BLAKE3 ");
    for (size_t k = 0; k < sizeof i->hash; k++) printf("%02x", i->hash[k]);
    printf("%s%s\n", i->result ? ", last patch: " : "", i->result ? dx_patch_error_name(i->result) : "");
}

static int has(const info *i, const bytes *image)
{
    uint8_t hash[DX_PATCH_HASH_SIZE];
    dx_patch_hash(image->data, image->size, hash);
    return image->size == i->size && memcmp(hash, i->hash, sizeof hash) == 0;
}

static bytes make_patch(const info *i, const bytes *old, const bytes *new)
{
    dx_patch_create_desc d;
    bytes patch;
    int error;
    memset(&d, 0, sizeof d);
    d.kind = DX_PATCH_KIND_FLASH;
    d.block_size = i->page_size;
    d.slot_size = i->slot_size;
    d.memory_size = dx_patch_create_memory_size(&d, old->size, new->size);
    d.memory = malloc(d.memory_size);
    patch.size = dx_patch_bound(&d, old->size, new->size);
    patch.data = malloc(patch.size);
    if (!d.memory || !patch.data) fail("patch", "no memory");
    error = dx_patch_create(&d, old->data, old->size, new->data, new->size, patch.data, patch.size, &patch.size);
    if (error) fail("patch", dx_patch_error_name(error));
    free(d.memory);
    return patch;
}

/* The patch in chunks, one at a time; the answer to the last one tells what the board has then. */
static info send_patch(board *b, const bytes *patch)
{
    uint8_t memory[PROTOCOL_FRAME_MAX], size[4];
    dx_hbtp_frame f;
    for (int k = 0; k < 4; k++) size[k] = (uint8_t)(patch->size >> 8 * k);
    call(b, PROTOCOL_BEGIN, size, sizeof size, &f);
    for (size_t at = 0; at < patch->size; at += PROTOCOL_CHUNK) {
        size_t left = patch->size - at;
        dx_hbtp_file_chunk chunk = {1, at, patch->data + at, PROTOCOL_CHUNK, false};
        dx_hbtp_out out;
        chunk.final = left <= PROTOCOL_CHUNK;
        if (chunk.final) chunk.data_size = (uint32_t)left;
        (void)dx_hbtp_out_init(&out, memory, sizeof memory);
        if (dx_hbtp_write_file_chunk(&out, ++b->sequence, &chunk)) fail("patch", "a chunk is too long");
        ask(b, &out, chunk.final ? APPLY_MS : ANSWER_MS, &f);
    }
    return parse_info(&f);
}

static int update(board *b, const char *new_path, char **old_paths, int olds)
{
    bytes new = read_file(new_path), old = {NULL, 0}, patch;
    info i = ask_info(b);
    print_info(&i);
    if (has(&i, &new)) {
        printf("nothing to do\n");
        return 0;
    }
    for (int k = 0; k < olds && !has(&i, &old); k++) old = read_file(old_paths[k]);
    if (!has(&i, &old)) fail("the board", "has none of the versions that were given");
    patch = make_patch(&i, &old, &new);
    printf("patch of %zu bytes for an image of %zu (%.2f %%)\n", patch.size, new.size,
           100.0 * (double)patch.size / (double)new.size);
    if (patch.size > i.patch_max) fail("patch", "larger than the board's stage");
    i = send_patch(b, &patch);
    print_info(&i);
    if (!has(&i, &new)) fail("the board", i.result ? dx_patch_error_name(i.result) : "has something else now");
    return 0;
}

static int write_patch(char **arguments)
{
    info i;
    bytes old = read_file(arguments[2]), new = read_file(arguments[3]), patch;
    FILE *f = fopen(arguments[4], "wb");
    memset(&i, 0, sizeof i);
    i.page_size = (uint32_t)strtoul(arguments[0], NULL, 0);
    i.slot_size = (uint32_t)strtoul(arguments[1], NULL, 0);
    patch = make_patch(&i, &old, &new);
    if (!f || fwrite(patch.data, 1, patch.size, f) != patch.size || fclose(f)) fail(arguments[4], strerror(errno));
    return 0;
}

static int run(board *b)
{
    dx_hbtp_frame f;
    ssize_t n;
    call(b, PROTOCOL_RUN, NULL, 0, &f);
    fwrite(b->in + f.frame_size, 1, b->in_size - (size_t)f.frame_size, stdout);
    while ((n = read(b->fd, b->in, sizeof b->in)) > 0) fwrite(b->in, 1, (size_t)n, stdout);
    return 0;
}

int main(int argc, char **argv)
{
    static board b;
    info i;
    if (argc < 3) fail("usage", "dxflash PORT info | update NEW OLD... | run");
    if (strcmp(argv[2], "patch") == 0 && argc == 8) return write_patch(argv + 3);
    b.fd = open_port(argv[1]);
    if (strcmp(argv[2], "update") == 0 && argc >= 4) return update(&b, argv[3], argv + 4, argc - 4);
    if (strcmp(argv[2], "run") == 0) return run(&b);
    if (strcmp(argv[2], "info")) fail(argv[2], "not a command");
    i = ask_info(&b);
    print_info(&i);
    return 0;
}
