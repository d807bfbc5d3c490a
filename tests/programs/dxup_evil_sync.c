/* A server of snapshots that misbehaves in one of many ways, to show that a pull results in the old or
   the new directory, whatever it receives. docs/formats/sync.md defines the right behaviour.
   usage: dxup_evil_sync STORE NAME SEED       prints "listening on ADDR:PORT"
          dxup_evil_sync STORE NAME SEED ends  many parallel connections, honest ones, each of which
                                               ends after some answers, in one of many ways
          dxup_evil_sync STORE NAME SEED wholes [FILE]   honest but for patches of files; the way W_MEDDLE
                                               changes FILE first */
#define _GNU_SOURCE
#include "../../dx_hbtp.h"
#include "../../layers/dx_crc32c.h"
#include "../../programs/sync/contained.h"
#include "../../programs/sync/bundle.h"
#include "../../programs/dxup/net/patches.h"
#include "../../programs/sync/whole.h"
#include "../../programs/sync/wire.h"
#include "../../programs/versions/tree/content.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum way {
    FLIP_A_BIT, OTHER_OBJECTS, MISSING, CUT_SHORT, ENDLESS, COUNT_LIES, SIZE_LIES, OTHER_BASES,
    OTHER_TRANSFER, OTHER_OFFSET, CLOSE_ONCE, OTHER_ROOT, UNCHANGED_LIE, NOISE, REFUSE_ONCE,
    ONE_BY_ONE, TWICE, DRIBBLE, HONEST, BOMB, BOMB_LIES, WAYS
};

/* The ways to answer a request for a patch of a file. */
enum whole_way {
    W_HONEST, W_NONE, W_CLOSE, W_REFUSE, W_MEDDLE, /* the pull succeeds, or finds the change */
    W_FLIP, W_NOISE, W_SHORT, W_ENDLESS, W_LARGE, W_BACKWARDS, W_BOMB_FORM, W_BOMB_TARGET, W_EARLY,
    W_OFFSET, W_TRANSFER, W_TWO_REPLIES, W_CUT, W_MEMORY, W_WAYS
};

static enum way way;
static enum whole_way whole_way;
static bool wholes;          /* patches of files are offered */
static const char *meddled;  /* the file to change */
static uint64_t chance;
static unsigned turn;  /* the number of the wrong answer */
static unsigned answers;
static unsigned answers_max = 1u << 31; /* then the connection ends: */
static bool at_once;                    /* right after the last one, or instead of another */
static int connection;
static versions_store *store;
static versions_version version;
static dxup_bundler *bundler;

static uint32_t below(uint32_t limit)
{
    chance = chance * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(chance >> 33) % limit;
}

static bool send_out(const void *bytes, size_t size)
{
    const char *p = bytes;
    while (size) {
        ssize_t n = send(connection, p, size, MSG_NOSIGNAL);
        if (n <= 0) return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

static bool send_frames(dx_hbtp_out *out)
{
    size_t size;
    const uint8_t *bytes = dx_hbtp_out_data(out, &size);
    bool sent = send_out(bytes, size);
    dx_hbtp_out_consume(out, size);
    return sent;
}

static bool respond(uint16_t sequence, uint16_t status, const void *bytes, size_t size)
{
    static uint8_t memory[1024];
    dx_hbtp_out out;
    dx_hbtp_out_init(&out, memory, sizeof memory);
    if (status) dx_hbtp_write_rpc_error(&out, sequence, status, NULL);
    else dx_hbtp_write_rpc_response(&out, sequence, bytes, size);
    return send_frames(&out);
}

static bool answer_sync(uint16_t sequence)
{
    uint8_t bytes[256], root[32];
    sync_reply_writer w;
    size_t size = 0;
    memcpy(root, version.root, sizeof root);
    if (way == BOMB || way == BOMB_LIES) { /* of dxup_craft: 2^31 directories */
        versions_version bomb;
        if (versions_content_find(store, way == BOMB ? "bomb" : "bomb-lies", 0, &bomb)) exit(2);
        memcpy(root, bomb.root, sizeof root);
    }
    if (way == OTHER_ROOT) root[below(32)] ^= (uint8_t)(1 + below(255));
    sync_reply_begin(&w, bytes, sizeof bytes, DX_TELEPORT_BARE);
    sync_reply_set_version(&w, version.version);
    sync_reply_set_size(&w, version.size);
    sync_reply_set_mode(&w, (uint16_t)version.mode);
    sync_reply_set_outcome(&w, way == UNCHANGED_LIE ? DXUP_UNCHANGED : DXUP_SYNCED);
    sync_reply_set_known_base(&w, true);
    sync_reply_set_hash(&w, version.hash);
    sync_reply_set_root(&w, root);
    if (wholes) {
        sync_reply_set_kind(&w, PROG_TREE);
        sync_reply_set_features(&w, DXUP_WHOLES);
    }
    if (sync_reply_finish(&w, &size)) exit(2);
    return respond(sequence, 0, bytes, size);
}

/* Modify the request before it is answered. */
static void spoil_request(dxup_bundle_request *r)
{
    uint32_t i = below(r->want_count);
    if (way == MISSING) r->ids[i][below(32)] ^= 1;
    if (way == OTHER_OBJECTS) memcpy(r->ids[i], version.root, 32);
    if (way == OTHER_TRANSFER) r->transfer += 1 + below(9);
}

/* Modify the answer before it is split into frames. */
static void spoil_answer(uint8_t *bytes, size_t *size)
{
    if (way == FLIP_A_BIT) bytes[below((uint32_t)*size)] ^= (uint8_t)(1 << below(8));
    if (way == CUT_SHORT) *size = 1 + below((uint32_t)*size);
    if (way == COUNT_LIES) bytes[2 + below(2)] = (uint8_t)below(256);
    if (way == SIZE_LIES) bytes[4 + below(4)] ^= (uint8_t)(1 + below(255));
    if (way == OTHER_BASES) bytes[8 + below(16)] ^= (uint8_t)(1 + below(255));
    if (way == NOISE)
        for (size_t i = 0; i < *size; i++) bytes[i] = (uint8_t)below(256);
}

static bool send_answer(uint16_t sequence, uint32_t transfer, const uint8_t *bytes, size_t size,
                        bool wrong)
{
    static uint8_t memory[80000];
    dx_hbtp_out out;
    size_t stop = wrong && way == CLOSE_ONCE ? below((uint32_t)size) : size;
    dx_hbtp_out_init(&out, memory, sizeof memory);
    for (size_t at = 0, sent = 0; sent < (way == ENDLESS && wrong ? 2u << 20 : stop);) {
        const size_t most = wrong && way == DRIBBLE ? 1 + below(40) : 60000;
        size_t n = size - at < most ? size - at : most;
        if (stop - at < n && stop > at) n = stop - at;
        uint64_t offset = sent + (wrong && way == OTHER_OFFSET ? 1 + below(99) : 0);
        dx_hbtp_file_chunk chunk = {transfer, offset, bytes + at, (uint32_t)n, at + n == size};
        if (wrong && way == ENDLESS) chunk.final = false;
        if (dx_hbtp_write_file_chunk(&out, sequence, &chunk) || !send_frames(&out)) return false;
        sent += n;
        at = at + n == size ? 0 : at + n;
    }
    return stop == size;
}

static bool answer_objects(const dx_hbtp_frame *frame)
{
    dxup_bundle_request r;
    uint8_t *bytes = NULL;
    size_t size = 0;
    bool wrong = answers++ == turn;
    if (answers > answers_max) return false;
    if (!dxup_bundle_read_request(&r, frame->payload + 1, frame->payload_size - 1)) exit(2);
    if (wrong && way == REFUSE_ONCE)
        return respond(frame->sequence, DX_HBTP_STATUS_UNAVAILABLE, NULL, 0);
    if (wrong) spoil_request(&r);
    if (way == ONE_BY_ONE && r.want_count > 1) { /* valid: the client requests the rest again */
        memmove(r.ids[1], r.ids[r.want_count], r.base_count * sizeof *r.ids);
        r.want_count = 1;
    }
    if (dxup_bundle_make(bundler, store, &r, &bytes, &size)) exit(2);
    if (wrong) spoil_answer(bytes, &size);
    bool good = respond(frame->sequence, 0, NULL, 0) &&
                send_answer(frame->sequence, r.transfer, bytes, size, wrong);
    if (good && wrong && way == TWICE)
        good = send_answer(frame->sequence, r.transfer, bytes, size, false);
    free(bytes);
    return good;
}

/* Write a number into the header of a patch between containers, and make its check right again. */
static void claim(uint8_t *patch, size_t size, size_t at, uint64_t number)
{
    container_patch p;
    uint8_t hash[DX_PATCH_HASH_SIZE];
    if (container_open(patch, size, &p)) return; /* another patch */
    const size_t checked = (size_t)(p.lists + p.lists_size - patch);
    for (int i = 0; i < 8; i++) patch[at + i] = (uint8_t)(number >> (8 * i));
    dx_patch_hash(patch, checked, hash);
    memcpy(patch + checked, hash, CONTAINER_CHECK_SIZE);
}

/* Have a patch, or the one inside of a patch between containers, ask for this memory to be applied. It is
   right otherwise. */
static void claim_memory(uint8_t *patch, size_t size, uint64_t number)
{
    enum { MEMORY_SIZE_AT = 40, CRC_AT = 124 };
    container_patch p;
    uint8_t *header = container_open(patch, size, &p) ? patch : patch + (p.inner - patch);
    for (int i = 0; i < 8; i++) header[MEMORY_SIZE_AT + i] = (uint8_t)(number >> (8 * i));
    const uint32_t crc = dx_crc32c_update(0, header, CRC_AT);
    for (int i = 0; i < 4; i++) header[CRC_AT + i] = (uint8_t)(crc >> (8 * i));
}

static void spoil_patch(uint8_t *patch, size_t *size)
{
    enum { TARGET_SIZE_AT = 16, FORM_MAX_AT = 24 };
    const uint64_t much = UINT64_C(1) << (28 + below(30));
    if (whole_way == W_FLIP) patch[below((uint32_t)*size)] ^= (uint8_t)(1 << below(8));
    if (whole_way == W_CUT) *size = 1 + below((uint32_t)*size - 1);
    if (whole_way == W_BOMB_FORM) claim(patch, *size, FORM_MAX_AT, much);
    if (whole_way == W_BOMB_TARGET) claim(patch, *size, TARGET_SIZE_AT, much);
    if (whole_way == W_MEMORY) claim_memory(patch, *size, DXUP_APPLYING_MAX + 1);
    for (size_t i = 0; whole_way == W_NOISE && i < *size; i++) patch[i] = (uint8_t)below(256);
}

static bool send_patch(uint16_t sequence, const dxup_whole_request *r, const uint8_t *patch, size_t size)
{
    static uint8_t memory[80000];
    dx_hbtp_out out;
    const uint32_t transfer = r->transfer + (whole_way == W_TRANSFER);
    dx_hbtp_out_init(&out, memory, sizeof memory);
    for (size_t at = 0, sent = 0; sent < (whole_way == W_ENDLESS ? 64u << 20 : size);) {
        size_t n = size - at < 300 ? size - at : 300;
        dx_hbtp_file_chunk chunk = {transfer, sent + (whole_way == W_OFFSET), patch + at, (uint32_t)n,
                                    at + n == size && whole_way != W_ENDLESS};
        if (whole_way == W_SHORT) chunk.final = true;
        if (whole_way == W_CLOSE && sent) return false;
        if (dx_hbtp_write_file_chunk(&out, sequence, &chunk) || !send_frames(&out)) return false;
        sent += n;
        at = at + n == size ? 0 : at + n;
    }
    return whole_way != W_CLOSE;
}

static bool answer_whole(const dx_hbtp_frame *frame)
{
    dxup_whole_request r;
    uint8_t reply[DXUP_WHOLE_REPLY_MAX];
    size_t size = 0;
    if (!dxup_whole_read_request(&r, frame->payload + 1, frame->payload_size - 1)) exit(2);
    if (whole_way == W_REFUSE)
        return respond(frame->sequence, DX_HBTP_STATUS_UNAVAILABLE, NULL, 0);
    const bool backwards = whole_way == W_BACKWARDS;
    uint8_t *patch = dxup_patches_make_file(store, 64 << 20, backwards ? &r.file : &r.old,
                                            backwards ? &r.old : &r.file, r.kinds, &size);
    if (!patch || size >= r.limit) exit(2); /* the test has files whose patches are small */
    FILE *f = whole_way == W_MEDDLE ? fopen(meddled, "r+b") : NULL;
    if (f) {
        fseek(f, 100, SEEK_SET);
        fputs("a writer", f);
        fclose(f);
    }
    spoil_patch(patch, &size);
    const uint64_t said = whole_way == W_NONE ? 0 : whole_way == W_LARGE ? r.limit : size;
    const size_t reply_size = dxup_whole_write_reply(said, reply);
    bool good = true;
    if (whole_way == W_EARLY) good = send_patch(frame->sequence, &r, patch, size);
    good = good && respond(frame->sequence, 0, reply, reply_size);
    if (good && whole_way == W_TWO_REPLIES) good = respond(frame->sequence, 0, reply, reply_size);
    if (good && said && whole_way != W_EARLY) good = send_patch(frame->sequence, &r, patch, size);
    free(patch);
    return good;
}

static bool answer(const dx_hbtp_frame *frame)
{
    if (frame->opcode == DX_HBTP_OP_HELLO) return respond(frame->sequence, 404, NULL, 0);
    if (frame->opcode != DX_HBTP_OP_RPC_CALL) return true;
    if (frame->payload[0] == DXUP_RPC_SYNC) return answer_sync(frame->sequence);
    if (frame->payload[0] == DXUP_RPC_OBJECTS) return answer_objects(frame);
    if (wholes && frame->payload[0] == DXUP_RPC_WHOLE) return answer_whole(frame);
    return respond(frame->sequence, 404, NULL, 0);
}

static void serve(void)
{
    static uint8_t input[16384];
    size_t used = 0;
    for (;;) {
        dx_hbtp_frame frame;
        int64_t whole = dx_hbtp_parse(input, used, sizeof input, &frame);
        if (whole < 0) return;
        if (!whole) {
            ssize_t n = recv(connection, input + used, sizeof input - used, 0);
            if (n <= 0) return;
            used += (size_t)n;
            continue;
        }
        if (!answer(&frame) || (at_once && answers == answers_max)) return;
        used -= (size_t)whole;
        memmove(input, input + whole, used);
    }
}

/* >>ends --------------------------------------------------------------- */
enum end { SHUT, CLOSE, CLOSE_AND_STAY, HALF_CLOSE, RESET, ENDS };

/* The connection, a process of its own, ends: properly, without notice, or it announces the end and
   stays. */
static void end_connection(enum end how)
{
    static uint8_t memory[1024];
    char rest[4096];
    const struct linger at_once = {1, 0};
    dx_hbtp_out out;
    dx_hbtp_out_init(&out, memory, sizeof memory);
    if (how == CLOSE || how == CLOSE_AND_STAY) {
        dx_hbtp_write_close(&out, DX_HBTP_STATUS_UNAVAILABLE, NULL);
        send_frames(&out);
    }
    if (how == HALF_CLOSE) shutdown(connection, SHUT_WR);
    if (how == RESET) setsockopt(connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    if (how == CLOSE_AND_STAY || how == HALF_CLOSE)
        while (recv(connection, rest, sizeof rest, 0) > 0) continue;
    _exit(0);
}

/* Connection number k of this server. Most deliver nothing; one in three does. */
static void serve_some(unsigned k)
{
    chance += k * 7919u;
    below(2);
    const enum end how = (enum end)below(ENDS);
    at_once = below(2);
    answers_max = k % 3 && below(8) ? 0 : 1 + below(4);
    serve();
    end_connection(how);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    const bool ends = argc == 5 && !strcmp(argv[4], "ends");
    wholes = argc >= 5 && !strcmp(argv[4], "wholes");
    meddled = argc == 6 ? argv[5] : NULL;
    if (argc != 4 && !ends && !wholes) return 2;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    chance = strtoull(argv[3], NULL, 10);
    way = ends || wholes ? HONEST : (enum way)(chance % WAYS);
    whole_way = (enum whole_way)(chance % W_WAYS);
    turn = (unsigned)(chance / WAYS % 4);
    below(2);
    if (versions_store_open(&store, argv[1], VERSIONS_READ) ||
        versions_content_find(store, argv[2], 0, &version))
        return 2;
    bundler = dxup_bundler_open();
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) ||
        listen(listener, 64) || getsockname(listener, (struct sockaddr *)&address, &size))
        return 2;
    printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
    fflush(stdout);
    for (unsigned k = 0; (connection = accept(listener, NULL, NULL)) >= 0; k++) {
        if (ends && !fork()) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            close(listener);
            serve_some(k);
        }
        if (!ends) serve();
        close(connection);
    }
    return 0;
}
