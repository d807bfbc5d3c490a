/* A server that answers one `dxup pull` wrongly, to see that the client notices and changes nothing.
   usage: dxup_evil HOW OLD NEW [PATCH]        prints "listening on ADDR:PORT" */
#define _GNU_SOURCE
#include "../../dx_cas.h"
#include "../../dx_hbtp.h"
#include "../../dx_patch.h"
#include "../../programs/sync/wire.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRANSFER = 1 };

typedef struct file {
    uint8_t *bytes;
    size_t   size;
} file;

static int connection, listener;
static uint16_t sequence;
static uint32_t transfer = TRANSFER;
static file old_file, new_file, patch_file;

static file load(const char *path)
{
    file f = {malloc(1 << 24), 0};
    FILE *in = fopen(path, "rb");
    if (!in || !f.bytes) exit(2);
    f.size = fread(f.bytes, 1, 1 << 24, in);
    fclose(in);
    return f;
}

static file make_patch(file base, file target)
{
    file patch = {malloc(1 << 24), 0};
    dx_patch_create_desc desc = {0};
    desc.memory_size = dx_patch_create_memory_size(&desc, base.size, target.size);
    desc.memory = malloc(desc.memory_size);
    if (dx_patch_create(&desc, base.bytes, base.size, target.bytes, target.size, patch.bytes,
                        1 << 24, &patch.size))
        exit(2);
    free(desc.memory);
    return patch;
}

static void send_out(const void *bytes, size_t size)
{
    const char *p = bytes;
    while (size) {
        ssize_t n = send(connection, p, size, MSG_NOSIGNAL);
        if (n <= 0) return;
        p += n;
        size -= (size_t)n;
    }
}

static void send_frames(dx_hbtp_out *out)
{
    size_t size;
    const uint8_t *bytes = dx_hbtp_out_data(out, &size);
    send_out(bytes, size);
    dx_hbtp_out_consume(out, size);
}

/* As a server of version 1: 404. */
static void refuse_hello(uint16_t hello, uint16_t status)
{
    static uint8_t memory[256];
    dx_hbtp_out out;
    dx_hbtp_out_init(&out, memory, sizeof memory);
    dx_hbtp_write_rpc_error(&out, hello, status, NULL);
    send_frames(&out);
}

/* A Hello from a server that supports only versions from 3 on. */
static void say_hello_of_version_3(void)
{
    static const uint8_t fields[] = {1, 2, 0, 3, 4};
    static uint8_t memory[256];
    dx_hbtp_out out;
    dx_hbtp_out_init(&out, memory, sizeof memory);
    dx_hbtp_write_rpc_response(&out, sequence, fields, sizeof fields);
    send_frames(&out);
}

/* As a server without object requests: 404, and the pull follows. */
static void refuse_sync(uint16_t sync) { refuse_hello(sync, DX_HBTP_STATUS_NOT_FOUND); }

static void reply(int outcome, uint64_t size, uint64_t wire_size, const uint8_t hash[32])
{
    static uint8_t memory[4096];
    uint8_t bytes[256];
    size_t used;
    dx_hbtp_out out;
    pull_reply_writer w;
    pull_reply_begin(&w, bytes, sizeof bytes, DX_TELEPORT_BARE);
    pull_reply_set_version(&w, 2);
    pull_reply_set_size(&w, size);
    pull_reply_set_wire_size(&w, wire_size);
    pull_reply_set_mode(&w, 0644);
    pull_reply_set_transfer(&w, transfer);
    pull_reply_set_kind(&w, PROG_FILE);
    pull_reply_set_outcome(&w, (uint8_t)outcome);
    pull_reply_set_known_base(&w, true);
    pull_reply_set_hash(&w, hash);
    if (pull_reply_finish(&w, &used)) exit(2);
    dx_hbtp_out_init(&out, memory, sizeof memory);
    dx_hbtp_write_rpc_response(&out, sequence, bytes, used);
    send_frames(&out);
}

/* Pieces of 10,000 bytes; skip is added to every offset but the first. */
static void pieces(file f, size_t most, uint64_t skip, int spoil_crc)
{
    static uint8_t memory[16384];
    dx_hbtp_out out;
    dx_hbtp_out_init(&out, memory, sizeof memory);
    for (size_t at = 0; at < most;) {
        size_t n = most - at < 10000 ? most - at : 10000, size;
        dx_hbtp_file_chunk chunk = {TRANSFER, at + (at ? skip : 0), f.bytes + at, (uint32_t)n,
                                    at + n == f.size};
        dx_hbtp_write_file_chunk(&out, sequence, &chunk);
        if (spoil_crc) ((uint8_t *)(uintptr_t)dx_hbtp_out_data(&out, &size))[40] ^= 1;
        send_frames(&out);
        at += n;
    }
}

/* Correct, but all frames in a single send. */
static void all_at_once(file f, size_t piece)
{
    static uint8_t memory[1 << 19];
    dx_hbtp_out out;
    dx_hbtp_out_init(&out, memory, sizeof memory);
    for (size_t at = 0; at < f.size; at += piece) {
        const size_t n = f.size - at < piece ? f.size - at : piece;
        dx_hbtp_file_chunk chunk = {TRANSFER, at, f.bytes + at, (uint32_t)n, at + n == f.size};
        if (dx_hbtp_write_file_chunk(&out, sequence, &chunk)) exit(2);
    }
    send_frames(&out);
}

/* Pings for as long as the client accepts them, without reading an answer meanwhile. */
static void ping_flood(void)
{
    static uint8_t memory[8192], payload[2000];
    dx_hbtp_out out;
    const uint8_t *bytes;
    size_t size;
    struct timeval patience = {0, 300000};
    setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    dx_hbtp_out_init(&out, memory, sizeof memory);
    dx_hbtp_write_frame(&out, DX_HBTP_OP_PING, DX_HBTP_FLAG_EXPECTS_RESPONSE, 5, payload, sizeof payload);
    bytes = dx_hbtp_out_data(&out, &size);
    while (send(connection, bytes, size, MSG_NOSIGNAL) == (ssize_t)size) {}
}

/* Answer the range requests on one connection honestly. Ends when the client does. */
static void answer_ranges(void)
{
    static uint8_t request[4096], memory[80000];
    size_t used = 0;
    for (;;) {
        dx_hbtp_frame frame;
        dx_hbtp_out out;
        range_request_view v;
        int64_t size = dx_hbtp_parse(request, used, sizeof request, &frame);
        if (size < 0) exit(2);
        if (!size) {
            ssize_t n = recv(connection, request + used, sizeof request - used, 0);
            if (n <= 0) return;
            used += (size_t)n;
            continue;
        }
        if (frame.opcode == DX_HBTP_OP_RPC_CALL) { /* after the method number */
            if (range_request_open_bare(&v, frame.payload + 1, frame.payload_size - 1, DXUP_WIRE_VERSION)) exit(2);
            const uint64_t from = range_request_get_offset(&v), end = from + range_request_get_size(&v);
            if (end > new_file.size || end < from) exit(2);
            dx_hbtp_out_init(&out, memory, sizeof memory);
            dx_hbtp_write_rpc_response(&out, frame.sequence, NULL, 0);
            for (uint64_t at = from; at < end;) {
                const size_t n = end - at < 60000 ? (size_t)(end - at) : 60000;
                dx_hbtp_file_chunk chunk = {range_request_get_transfer(&v), at, new_file.bytes + at, (uint32_t)n, at + n == end};
                if (dx_hbtp_write_file_chunk(&out, frame.sequence, &chunk)) exit(2);
                send_frames(&out);
                at += n;
            }
        }
        used -= (size_t)size;
        memmove(request, request + size, used);
    }
}

/* Two connections for ranges, each with 400 KB of Pings before an honest answer; further ones are refused. */
static void flood_ranges(void)
{
    static uint8_t memory[8192], payload[2000];
    for (int i = 0; i < 2; i++) {
        connection = accept(listener, NULL, NULL);
        if (connection < 0) exit(2);
        if (fork()) {
            close(connection);
            continue;
        }
        for (int pings = 0; pings < 200; pings++) {
            dx_hbtp_out out;
            dx_hbtp_out_init(&out, memory, sizeof memory);
            dx_hbtp_write_frame(&out, DX_HBTP_OP_PING, DX_HBTP_FLAG_EXPECTS_RESPONSE, 5, payload, sizeof payload);
            send_frames(&out);
        }
        answer_ranges();
        exit(0);
    }
    close(listener);
    while (wait(NULL) > 0) {}
    exit(0);
}

static void misbehave(const char *how)
{
    dx_cas_id hash, other;
    file patch;
    dx_cas_hash(new_file.bytes, new_file.size, &hash);
    dx_cas_hash("other", 5, &other);
    if (!strcmp(how, "garbage")) {
        send_out("HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    } else if (!strcmp(how, "silent-close")) {
        return;
    } else if (!strcmp(how, "half-frame")) {
        send_out("\x31\x00\x01", 3);
    } else if (!strcmp(how, "huge-frame")) {
        send_out("\x31\x00\x01\x00\xff\xff\xff\xff", 8);
    } else if (!strcmp(how, "unchanged-lie")) {
        reply(DXUP_UNCHANGED, new_file.size, 0, hash.bytes);
    } else if (!strcmp(how, "truncate")) {
        reply(DXUP_FULL, new_file.size, new_file.size, hash.bytes);
        pieces(new_file, new_file.size / 2, 0, 0);
    } else if (!strcmp(how, "wrong-hash")) {
        reply(DXUP_FULL, new_file.size, new_file.size, other.bytes);
        pieces(new_file, new_file.size, 0, 0);
    } else if (!strcmp(how, "wrong-size")) {
        reply(DXUP_FULL, new_file.size + 1, new_file.size + 1, hash.bytes);
        pieces(new_file, new_file.size, 0, 0);
    } else if (!strcmp(how, "too-much")) {
        reply(DXUP_FULL, new_file.size - 1, new_file.size - 1, hash.bytes);
        pieces(new_file, new_file.size, 0, 0);
    } else if (!strcmp(how, "bad-offset")) {
        reply(DXUP_FULL, new_file.size, new_file.size, hash.bytes);
        pieces(new_file, new_file.size, 5, 0);
    } else if (!strcmp(how, "bad-crc")) {
        reply(DXUP_FULL, new_file.size, new_file.size, hash.bytes);
        pieces(new_file, new_file.size, 0, 1);
    } else if (!strcmp(how, "wrong-base")) {
        patch = make_patch((file){old_file.bytes, old_file.size / 2}, new_file);
        reply(DXUP_PATCHED, new_file.size, patch.size, hash.bytes);
        pieces(patch, patch.size, 0, 0);
    } else if (!strcmp(how, "patch-for-nothing")) {
        patch = make_patch(old_file, new_file);
        reply(DXUP_PATCHED, new_file.size, patch.size, hash.bytes);
        pieces(patch, patch.size, 0, 0);
    } else if (!strcmp(how, "this-patch")) {
        reply(DXUP_PATCHED, new_file.size, patch_file.size, hash.bytes);
        pieces(patch_file, patch_file.size, 0, 0);
    } else if (!strcmp(how, "small-pieces")) {
        reply(DXUP_FULL, new_file.size, new_file.size, hash.bytes);
        all_at_once(new_file, new_file.size / 4000 + 1);
    } else if (!strcmp(how, "empty-pieces")) {
        reply(DXUP_FULL, new_file.size, new_file.size, hash.bytes);
        for (int i = 0; i < 100; i++) {
            static uint8_t memory[64];
            dx_hbtp_out out;
            dx_hbtp_file_chunk chunk = {TRANSFER, 0, new_file.bytes, 0, false};
            dx_hbtp_out_init(&out, memory, sizeof memory);
            dx_hbtp_write_file_chunk(&out, sequence, &chunk);
            send_frames(&out);
        }
    } else if (!strcmp(how, "ping-flood")) {
        ping_flood();
    } else if (!strcmp(how, "ping-ranges")) {
        transfer = 0;
        reply(DXUP_FULL, new_file.size, new_file.size, hash.bytes);
        flood_ranges();
    } else if (!strcmp(how, "escapes")) {
        static uint8_t memory[64];
        dx_hbtp_out out;
        dx_hbtp_out_init(&out, memory, sizeof memory);
        dx_hbtp_write_rpc_error(&out, sequence, 500, "\033[2Jred");
        send_frames(&out);
    } else if (!strcmp(how, "hello-refused")) {
        refuse_hello(sequence, DX_HBTP_STATUS_OTHER_VERSION);
    } else if (!strcmp(how, "hello-of-3")) {
        say_hello_of_version_3();
    } else if (!strcmp(how, "bad-tree")) { /* announces a patch, sends something else */
        reply(DXUP_PATCHED, new_file.size, new_file.size, hash.bytes);
        pieces(new_file, new_file.size, 0, 0);
    } else {
        fprintf(stderr, "dxup_evil: unknown: %s\n", how);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    static uint8_t request[4096];
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    size_t used = 0;
    dx_hbtp_frame frame;
    if (argc < 4 || argc > 5) return 2;
    signal(SIGPIPE, SIG_IGN);
    old_file = load(argv[2]);
    new_file = load(argv[3]);
    if (argc == 5) patch_file = load(argv[4]);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) ||
        listen(listener, 4) || getsockname(listener, (struct sockaddr *)&address, &size))
        return 2;
    printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
    fflush(stdout);
    connection = accept(listener, NULL, NULL);
    for (int frames = 0;; frames++) { /* a Hello, then the request */
        int64_t whole;
        while ((whole = dx_hbtp_parse(request, used, 4096, &frame)) <= 0) {
            ssize_t n = recv(connection, request + used, sizeof request - used, 0);
            if (n <= 0) return 2;
            used += (size_t)n;
        }
        if (frame.opcode == DX_HBTP_OP_RPC_CALL && frame.payload[0] == DXUP_RPC_SYNC) {
            refuse_sync(frame.sequence);
            used -= (size_t)whole;
            memmove(request, request + whole, used);
            continue;
        }
        if (frame.opcode != DX_HBTP_OP_HELLO) break;
        if (frames || !strncmp(argv[1], "hello-", 6)) break;
        refuse_hello(frame.sequence, DX_HBTP_STATUS_NOT_FOUND);
        used -= (size_t)whole;
        memmove(request, request + whole, used);
    }
    sequence = frame.sequence;
    misbehave(argv[1]);
    shutdown(connection, SHUT_WR);
    while (recv(connection, request, sizeof request, 0) > 0) {}
    return 0;
}
