/* dxwan replicates a file over long or lossy links, over many connections at once. From the top:

   main.c       the command line              table.c   its commands and options
   commands/    send.c    sends a file        recv.c    receives it
                mirror.c  sends a file that changes, in rounds
                probe.c   measures a path
                daemon.c  many mirrors and receivers, by a configuration
   daemon/      config.c  the configuration   jobs.c    its mirrors and receivers, on threads
                check.c   what it names: files, directories, TLS, addresses
                breaker.c whom to connect to after failures   metrics.c
   files/       hash.c    the hash of a file, a part at a time
                sums.c    checksums of the chunks of a file that is received
                source.c  what a mirror reads: a file, a block device, or
                memory.c  the memory of a process, while
                freeze.c  stops it, or
                folder.c  a directory as one image
                listing.c the table in that image
                unpack.c  makes a directory of the image
                unnamed.c a temporary file without a name
                target.c  the received file: partial file, note of what is durable, rename
                image.c   the received file of a mirror
                copies.c  pages that the receiver has elsewhere
                coder.c   a region of a file as a record of dx_hde.h
   net/         join.c    the first message of each connection
                bulk.c    a transfer of dx_bulk.h on links of dx_link.h
                thin.c    writes into a file with holes
                tls.c     TLS between a link and its connection
                region.c  the messages of a mirror
                path.c    socket options, congestion control, statistics of the kernel
                loop.c    the event loop and the connections
                address.c addresses of the command line
                refusals.c what is said of senders that are refused
                figures.c counters of a mirror, for the daemon

   docs/formats/hbtp.md, section 10, has the frames of a transfer; README.md those of dxwan's own. */
#ifndef WAN_H
#define WAN_H

#include "../common/common.h"
#include "../common/options.h"

struct wan_ender;
struct wan_figures;
struct wan_refusals;

enum { WAN_STREAMS_MAX = 256 };

typedef struct wan_options {
    const char *file;       /* send: its path; "-": standard input */
    const char *address;
    const char *out;        /* recv: a file or a directory */
    const char *name;       /* send: the name that the receiver is told; NULL: of the file */
    const char *congestion; /* NULL: the system's default */
    uint32_t    streams;
    uint32_t    send_streams; /* 0: as many as the path needs */
    uint32_t    probe_streams; /* 0: as long as more are better */
    uint64_t    rate;        /* bytes a second, all streams together; 0: unlimited */
    uint64_t    timeout_ns;  /* without progress for this time a transfer has failed */
    uint64_t    wait_ns;     /* recv: for the first sender; 0: forever */
    uint64_t    size_max;    /* recv: bytes of a file */
    bool        force;       /* recv: replace a file in a directory */
    uint64_t    every_ns;    /* mirror: between two rounds */
    uint64_t    seconds_ns;  /* probe: of each measurement */
    uint64_t    pause_ns;    /* mirror: a process is stopped for at most this time; 0: never */
    const char *like;        /* mirror: a second image, of which the receiver has a copy; NULL: none */
    bool        once;        /* mirror: end when nothing changes any more */
    bool        quiet;
    bool        json;
    const char *tls_cert;    /* PEM files; NULL: none. Without any of these there is no TLS */
    const char *tls_key;
    const char *tls_ca;      /* who signs the other side's certificate */
    const char *tls_name;    /* that it has; NULL: the host of address (of a receiver: any) */
    /* The daemon's; zero for a command, and listener -1 */
    const char *config;      /* its file; of a job: what precedes a message about its keys */
    const char *metrics;     /* HOST:PORT */
    bool        check;       /* only read the file */
    struct wan_ender *ender; /* asks a run to end */
    struct wan_figures *figures; /* filled while it runs */
    struct wan_refusals *refusals; /* recv: of one run after the other; NULL: of this run */
    int         listener;    /* recv: it listens here already */
    uint32_t    streams_min; /* mirror: the controller's limits */
    uint32_t    streams_max; /* 0: no controller, always `streams` */
    uint32_t    grow_percent;
    bool        plain;       /* mirror: whole regions as they are */
    bool        no_delta;    /* mirror: whole regions, compressed */
    int32_t     level;       /* mirror: of dx_hde.h; 0: its default */
    bool        adaptive;    /* mirror: the level is lower while the processor is the limit, */
    uint32_t    ratio_wanted; /* or while regions have this many bytes for 100 of a record */
    uint64_t    health_ns;   /* between two checks of a quiet connection; 0: a quarter of timeout_ns */
    uint64_t    connect_ns;  /* to establish a connection; 0: 10 s */
    uint64_t    send_buffer; /* bytes in the kernel for each connection; 0: the system's choice */
    uint64_t    recv_buffer;
} wan_options;

/* >>commands/ ---- */
int wan_send(const wan_options *o);
int wan_recv(const wan_options *o);
int wan_mirror(const wan_options *o);
int wan_probe(const wan_options *o);
int wan_daemon(const wan_options *o);

/* >>table.c ---- */
enum { WAN_SEND, WAN_RECV, WAN_MIRROR_FILE, WAN_PROBE_PATH, WAN_DAEMON, WAN_COMMANDS };

extern const prog_program wan_program;

#endif
