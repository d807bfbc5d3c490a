/* Measures for bench_bulk.sh: bytes over TCP by a transfer as dxwan makes it, and by a plain copy loop.

       bench_bulk HOST PORT HOW CONNECTIONS BYTES [CONGESTION] [RECEIVER]

   HOW: plain (one connection, send() and recv() in a loop), or bulk (programs/dxwan/net/ on files in memory; dxwan itself
   hashes them, too). Both ends are here, in two processes; RECEIVER is a prefix for the receiving one ("ip netns exec b"),
   which then is this program once more. Prints: seconds from before the first connect until the sender knows that all has
   arrived, megabytes a second, connections, resent chunks, congestion control in use. Status 0 only when the bytes are right. */
#define _GNU_SOURCE
#include "../programs/dxwan/net/address.h"
#include "../programs/dxwan/net/bulk.h"
#include "../programs/dxwan/net/path.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK_SIZE = 65536, SECOND_NS = 1000000000 };

static uint8_t *object;
static uint64_t object_size;
static int object_file;

static void fail(const char *what)
{
    fprintf(stderr, "bench_bulk: %s\n", what);
    exit(1);
}

static uint64_t word_at(uint64_t i) /* the object's bytes, eight at a time */
{
    i = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    return i ^ i >> 29;
}

static void allocate(bool fill)
{
    object_file = memfd_create("object", MFD_CLOEXEC);
    if (object_file < 0 || ftruncate(object_file, (off_t)object_size + 8)) fail("out of memory");
    object = (uint8_t *)mmap(NULL, object_size + 8, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, object_file, 0);
    if (object == MAP_FAILED) fail("out of memory");
    for (uint64_t i = 0; i < object_size / 8; i++) {
        uint64_t w = fill ? word_at(i) : 0; /* the pages are there before the clock starts */
        memcpy(object + i * 8, &w, 8);
    }
}

static bool is_right(void)
{
    for (uint64_t i = 0; i < object_size / 8; i++) {
        uint64_t w = word_at(i);
        if (memcmp(object + i * 8, &w, 8)) return false;
    }
    return true;
}

/* >>plain -------------------------------------------------------------- */
static void plain_receive(int listener)
{
    int fd = accept(listener, NULL, NULL);
    uint64_t at = 0;
    while (at < object_size) {
        uint64_t left = object_size - at;
        ssize_t got = recv(fd, object + at, left < 262144 ? left : 262144, 0);
        if (got <= 0) fail("recv");
        at += (uint64_t)got;
    }
    if (send(fd, "k", 1, 0) != 1) fail("send");
    close(fd);
}

static void plain_send(uint32_t host, uint16_t port, const char *congestion)
{
    struct sockaddr_in a;
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(host);
    a.sin_port = htons(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    char byte;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (congestion && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, (socklen_t)strlen(congestion)))
        fail("congestion control");
    if (connect(fd, (struct sockaddr *)&a, sizeof a)) fail("connect");
    for (uint64_t at = 0; at < object_size;) {
        uint64_t left = object_size - at;
        ssize_t got = send(fd, object + at, left < 262144 ? left : 262144, MSG_NOSIGNAL);
        if (got <= 0) fail("send");
        at += (uint64_t)got;
    }
    if (recv(fd, &byte, 1, 0) != 1) fail("no acknowledgement");
    close(fd);
}

/* >>bulk --------------------------------------------------------------- */
typedef struct side {
    wan_loop    loop;
    wan_options options;
    wan_bulk    bulk;
    wan_ender   ender; /* never asked: no signals */
    const char *congestion;
    char        used[16];
} side;

static void on_opened(dx_link *l, dx_link_id id)
{
    side *s = l->desc.user;
    if (!wan_path_set_up(dx_link_fd(l, id), s->congestion, s->used) || !wan_bulk_add(&s->bulk, id))
        fail("congestion control");
}

static void on_writable(dx_link *l, dx_link_id id)
{
    wan_stream *stream = dx_link_session(l, id)->desc.user;
    if (stream) wan_bulk_pump(stream);
}

static void on_closed(dx_link *l, dx_link_id id, int32_t reason)
{
    side *s = l->desc.user;
    (void)reason;
    wan_bulk_remove(&s->bulk, id);
}

static int on_frame(const dx_hbtp_context *context)
{
    wan_stream *stream = context->session->desc.user;
    return stream ? wan_bulk_handle(stream, context) : (int)DX_HBTP_ENOTFOUND;
}

static void bulk_begin(side *s, uint32_t links_max, const dx_bulk_desc *bulk)
{
    dx_link_desc links = {0};
    links.links_max = links_max;
    links.block_size = bulk->object ? CHUNK_SIZE + 4096 : 0;
    links.user = s;
    links.opened = on_opened;
    links.writable = on_writable;
    links.closed = on_closed;
    s->options = (wan_options){.timeout_ns = 60 * (uint64_t)SECOND_NS, .ender = &s->ender};
    if (wan_loop_open(&s->loop, &links, &s->options, false)) exit(1);
    dx_hbtp_router_set(&s->loop.router, DX_HBTP_OP_EXTENDED, on_frame, NULL);
    dx_hbtp_router_set(&s->loop.router, DX_HBTP_OP_FILE_CHUNK, on_frame, NULL);
    wan_bulk_begin(&s->bulk, &s->loop.links, object_file, bulk);
}

static void bulk_run(side *s, dx_bulk_state until)
{
    uint64_t wake = 0;
    while (s->bulk.bulk.state < until) {
        const uint64_t now = (uint64_t)prog_now_ns();
        if (s->bulk.stale || now >= wake) {
            wan_bulk_pump_all(&s->bulk);
            wake = dx_bulk_wake(&s->bulk.bulk, now);
        }
        const uint64_t sooner = dx_bulk_wake(&s->bulk.bulk, now);
        if (wan_loop_turn(&s->loop, sooner < wake ? sooner : wake)) exit(1);
    }
    if (s->bulk.bulk.state != until) fail("the transfer failed");
}

static void bulk_end(side *s)
{
    wan_bulk_pump_all(&s->bulk);
    wan_loop_drain(&s->loop);
    wan_loop_close(&s->loop);
    wan_bulk_end(&s->bulk);
}

static int accept_object(void *user, const dx_bulk_object *o)
{
    (void)user;
    return o->size == object_size ? 0 : 413;
}

static void bulk_receive_all(int listener)
{
    static side s;
    dx_bulk_desc d = {0};
    d.accept = accept_object;
    bulk_begin(&s, WAN_STREAMS_MAX, &d);
    if (wan_loop_accept(&s.loop, listener)) exit(1);
    bulk_run(&s, DX_BULK_WHOLE);
    dx_bulk_verify(&s.bulk.bulk, true); /* is_right() compares every byte, when the clock has stopped */
    const uint64_t until = (uint64_t)prog_now_ns() + 30 * (uint64_t)SECOND_NS;
    wan_bulk_pump_all(&s.bulk);
    while (s.loop.links.count && (uint64_t)prog_now_ns() < until) /* until the sender has heard it */
        if (wan_loop_turn(&s.loop, until)) exit(1);
    bulk_end(&s);
}

static uint64_t bulk_send_all(const char *to, const char *congestion, uint32_t connections, char used[16],
                              uint64_t *resent)
{
    static side s;
    static dx_link_dialer dialers[WAN_STREAMS_MAX];
    static dx_bulk_object o;
    dx_reactor_address at;
    dx_bulk_desc d = {0};
    o.size = object_size;
    o.chunk_size = CHUNK_SIZE;
    o.transfer = 1;
    d.object = &o;
    d.patient = true;
    s.congestion = congestion;
    bulk_begin(&s, connections, &d);
    if (wan_address_find(&at, to)) exit(1);
    for (uint32_t i = 0; i < connections; i++)
        if (dx_link_dial(&s.loop.links, &dialers[i], &at, i)) fail("connect");
    bulk_run(&s, DX_BULK_DONE);
    const uint64_t end_ns = (uint64_t)prog_now_ns();
    *resent = s.bulk.bulk.metrics.chunks_resent;
    memcpy(used, s.used, sizeof s.used);
    for (uint32_t i = 0; i < connections; i++) dx_link_dial_end(&dialers[i]);
    bulk_end(&s);
    return end_ns;
}

/* >>main --------------------------------------------------------------- */
static int listen_plain(uint32_t host, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(host)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 1)) fail("cannot listen");
    return fd;
}

static int receive(const char *at, uint32_t host, uint16_t port, bool plain)
{
    char text[DX_REACTOR_ADDRESS_TEXT_SIZE];
    int listener;
    if (plain) listener = listen_plain(host, port);
    else if (wan_listen(at, &listener, text)) return 1;
    allocate(false);
    if (write(1, "r", 1) != 1) return 1; /* ready */
    if (plain) plain_receive(listener);
    else bulk_receive_all(listener);
    return is_right() ? 0 : 3;
}

static pid_t start_receiver(char **argv, const char *prefix, int *ready)
{
    int ends[2];
    char command[1024];
    if (pipe(ends)) fail("pipe");
    snprintf(command, sizeof command, "exec %s %s %s %s %s-receive %s %s", prefix, argv[0], argv[1], argv[2], argv[3],
             argv[4], argv[5]);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *ready = ends[0];
    return child;
}

int main(int argc, char **argv)
{
    if (argc < 6) fail("usage: HOST PORT plain|bulk CONNECTIONS BYTES [CONGESTION] [RECEIVER]");
    const uint32_t host = ntohl(inet_addr(argv[1])), connections = (uint32_t)atoi(argv[4]);
    const uint16_t port = (uint16_t)atoi(argv[2]);
    const char *congestion = argc > 6 && *argv[6] ? argv[6] : NULL, *how = argv[3];
    const bool plain = !strncmp(how, "plain", 5);
    char at[64], used[16] = "", byte;
    int ready, status;
    uint64_t resent = 0, end_ns;
    if (!connections || connections > WAN_STREAMS_MAX) fail("1 to 256 connections");
    snprintf(at, sizeof at, "%s:%s", argv[1], argv[2]);
    object_size = strtoull(argv[5], NULL, 10) / 8 * 8;
    signal(SIGPIPE, SIG_IGN);
    if (strstr(how, "-receive")) return receive(at, host, port, plain);
    pid_t child = start_receiver(argv, argc > 7 ? argv[7] : "", &ready);
    allocate(true);
    if (read(ready, &byte, 1) != 1) fail("the receiver does not start");
    const uint64_t began_ns = (uint64_t)prog_now_ns();
    if (plain) {
        plain_send(host, port, congestion);
        end_ns = (uint64_t)prog_now_ns();
    } else {
        end_ns = bulk_send_all(at, congestion, connections, used, &resent);
    }
    const double seconds = (double)(end_ns - began_ns) / 1e9;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status))
        fail("the receiver has other bytes");
    printf("%.6f %.3f %u %llu %s\n", seconds, (double)object_size / 1e6 / seconds, connections,
           (unsigned long long)resent, plain ? congestion ? congestion : "-" : used);
    return 0;
}
