/* The commands and options of dxwan, with their help texts. */
#include "wan.h"

#include "../../layers/dx_bulk.h"

#ifdef WAN_TLS
#define PROG_HAS_TLS
#endif
#include "../common/tls_text.h"
#include "../common/toml.h"

/* Bits for commands, in options and statuses. */
enum { SEND = 1 << WAN_SEND, RECV = 1 << WAN_RECV, MIRROR = 1 << WAN_MIRROR_FILE,
       PROBE = 1 << WAN_PROBE_PATH, DAEMON = 1 << WAN_DAEMON };
enum { TRANSFER = SEND | RECV | MIRROR | PROBE };

static const prog_command commands[WAN_COMMANDS] = {
    [WAN_SEND] =
        {.name = "send",
         .arguments = "FILE ADDRESS",
         .summary = "Send a file, or standard input, to a receiver",
         .details = "FILE is read twice: for its hash, and to be sent. `-` is standard input, which is\n"
                    "stored in a temporary file first. ADDRESS is HOST:PORT.\n"
                    "\n"
                    "The file goes in chunks over --streams connections at once, so that a lost\n"
                    "packet slows down one of them only. A connection that is lost is opened again.\n"
                    "If dxwan or the receiver was ended, the same command resumes.",
         .examples = "dxwan send FILE 192.0.2.1:7100\n"
                     "dxwan send FILE 192.0.2.1:7100 --streams 64 --rate 12M --congestion bbr"},
    [WAN_RECV] =
        {.name = "recv",
         .arguments = "ADDRESS",
         .summary = "Wait for a sender and store its file",
         .details = "ADDRESS is HOST:PORT of this machine; with port 0 the system chooses the port, and\n"
                    "the first line of output has it. Anybody who can connect can send: use TLS with\n"
                    "--tls-ca, or a network or a tunnel that keeps others out.\n"
                    "\n"
                    "The file is stored under the name that the sender gives, in the directory --out,\n"
                    "or as the file --out. A hidden partial file in the same directory is renamed once it\n"
                    "is complete and has the announced hash. If dxwan is ended before, the partial file\n"
                    "stays, and the same command resumes.",
         .examples = "dxwan recv 192.0.2.1:7100\n"
                     "dxwan recv 192.0.2.1:7100 --out FILE --wait 60"},
    [WAN_MIRROR_FILE] =
        {.name = "mirror",
         .arguments = "FILE ADDRESS",
         .summary = "Keep a receiver's copy like a file that changes",
         .details = "In rounds, what has changed in FILE goes to `dxwan recv` at ADDRESS, HOST:PORT, as\n"
                    "differences. At the end of a round the receiver verifies size and hash. After\n"
                    "SIGTERM or Ctrl-C, or with --once, rounds follow each other until one finds\n"
                    "nothing changed; then the copy gets its name. A second signal ends at once, and\n"
                    "the same command resumes.\n"
                    "\n"
                    "FILE may be a directory. Its copy has the same files, directories and symbolic links,\n"
                    "with their permission bits and times, and appears as a whole.\n"
                    "\n"
                    "FILE may be a block device, which is read as the file of its content: what a mounted\n"
                    "file system has not written yet is not seen.\n"
                    "\n"
                    "/proc/PID/mem is the writable memory of a process, and its copy an ELF core file. The\n"
                    "process is stopped while the last round reads it, and always resumed.\n"
                    "\n"
                    "A temporary file as large as FILE holds what the receiver has.",
         .examples = "dxwan mirror FILE 192.0.2.1:7100 --every 5\n"
                     "dxwan mirror FILE 192.0.2.1:7100 --once"},
    [WAN_PROBE_PATH] =
        {.name = "probe",
         .arguments = "ADDRESS",
         .summary = "Measure what the path to a receiver carries",
         .details = "ADDRESS is that of a `dxwan recv`, which stores nothing of it. Prints the round trip\n"
                    "and the bytes a second that arrive over 1, 4, 16 and so on up to --streams\n"
                    "connections, or as long as more gain 10 %, and advises the fewest that come\n"
                    "within 10 % of the best. Tells the tier of the path, from 1, a local network, to\n"
                    "4, the world.\n"
                    "The path is filled for --seconds each time.",
         .examples = "dxwan probe 192.0.2.1:7100\n"
                     "dxwan probe 192.0.2.1:7100 --streams 64 --seconds 10"},
    [WAN_DAEMON] =
        {.name = "daemon",
         .arguments = "",
         .summary = "Run the mirrors and receivers of a configuration",
         .details = "Each mirror and receiver of the TOML file --config runs until SIGTERM or Ctrl-C: then\n"
                    "mirrors make their last round, and receivers complete what has begun. A second\n"
                    "signal ends at once. SIGHUP reads the file again.\n"
                    "\n"
                    "All of them start, or none. A mirror that fails is tried again after 1, 2 and 4 s; a\n"
                    "destination that failed five times in a row is left alone for 30 s.",
         .examples = "dxwan daemon --config FILE --check-config\n"
                     "dxwan daemon --config FILE"},
};

#define FIELD(field) PROG_FIELD(wan_options, field)

static const prog_option options[] = {
    {"--streams", PROG_OPTION_NUMBER, FIELD(streams), .min = 1, .max = WAN_STREAMS_MAX,
     .commands = MIRROR, .value = "N", .help = "connections at once (default 16)"},
    {"--streams", PROG_OPTION_NUMBER, FIELD(send_streams), .min = 1, .max = WAN_STREAMS_MAX,
     .commands = SEND, .value = "N", .help = "connections at once (default: 16 to 256, as many as\nthe path needs)"},
    {"--streams", PROG_OPTION_NUMBER, FIELD(probe_streams), .min = 1, .max = WAN_STREAMS_MAX,
     .commands = PROBE, .value = "N", .help = "try up to N connections (default: up to 256, as\nlong as more gain 10 %)"},
    {"--rate", PROG_OPTION_NUMBER, FIELD(rate), .min = 1000, .max = (uint64_t)1 << 40,
     .commands = SEND | MIRROR, .value = "BYTES", .help = "send at most BYTES a second, all connections\n"
                                                 "together"},
    {"--congestion", PROG_OPTION_TEXT, FIELD(congestion), .value = "NAME",
     .commands = TRANSFER, .help = "congestion control of the connections, such as\nbbr or cubic"},
    {"--name", PROG_OPTION_TEXT, FIELD(name), .commands = SEND | MIRROR, .value = "NAME",
     .help = "the name that the receiver is told (default: that\nof FILE)"},
    {"--like", PROG_OPTION_TEXT, FIELD(like), .commands = MIRROR, .value = "FILE",
     .help = "pages that FILE has, too, are copied from the\nreceiver's file of that name"},
    {"--every", PROG_OPTION_NUMBER, FIELD(every_ns), .min = 1, .max = 86400,
     .unit = 1000000000, .commands = MIRROR, .value = "SECONDS",
     .help = "time between two rounds (default 1)"},
    {"--pause", PROG_OPTION_NUMBER, FIELD(pause_ns), .min = 0, .max = 3600,
     .unit = 1000000000, .commands = MIRROR, .value = "SECONDS",
     .help = "stop a process for at most this time in the last\nround (default 10); 0: not at all"},
    {"--seconds", PROG_OPTION_NUMBER, FIELD(seconds_ns), .min = 1, .max = 600,
     .unit = 1000000000, .commands = PROBE, .value = "SECONDS",
     .help = "time of each measurement (default 3)"},
    {"--once", PROG_OPTION_FLAG, FIELD(once), .commands = MIRROR,
     .help = "end when a round finds nothing changed"},
    {"--timeout", PROG_OPTION_NUMBER, FIELD(timeout_ns), .min = 1, .max = 86400,
     .unit = 1000000000, .commands = TRANSFER, .value = "SECONDS",
     .help = "give up when nothing moves for this time (default\n60)"},
    {"--out", PROG_OPTION_TEXT, FIELD(out), .commands = RECV, .value = "PATH",
     .help = "the file, or the directory for it (default: the\ncurrent one)"},
    {"--force", PROG_OPTION_FLAG, FIELD(force), .commands = RECV,
     .help = "replace a file or directory of the same name in\nthe directory"},
    {"--size-max", PROG_OPTION_NUMBER, FIELD(size_max), .min = 1, .max = (uint64_t)1 << 43,
     .commands = RECV, .value = "BYTES", .help = "refuse a larger file (default 1T)"},
    {"--wait", PROG_OPTION_NUMBER, FIELD(wait_ns), .min = 1, .max = 86400 * 365,
     .unit = 1000000000, .commands = RECV, .value = "SECONDS",
     .help = "give up when no sender comes within this time\n(default: never)"},
    {"--config", PROG_OPTION_TEXT, FIELD(config), .commands = DAEMON, .value = "FILE",
     .help = "the configuration; docs/wan-daemon.md lists its keys"},
    {"--metrics-addr", PROG_OPTION_TEXT, FIELD(metrics), .commands = DAEMON, .value = "ADDR",
     .help = "serve metrics on HOST:PORT or :PORT, GET /metrics\n(default: [metrics] address of the configuration)"},
    {"--check-config", PROG_OPTION_FLAG, FIELD(check), .commands = DAEMON,
     .help = "only check it, and the files, directories, TLS and\naddresses that it names, as a start does"},
    {"--tls-cert", PROG_OPTION_TEXT, FIELD(tls_cert), .commands = TRANSFER, .value = "FILE",
     .help = "TLS with this certificate, and those that signed\nit (PEM); recv needs one"},
    {"--tls-key", PROG_OPTION_TEXT, FIELD(tls_key), .commands = TRANSFER, .value = "FILE",
     .help = "its private key (PEM, without a passphrase)"},
    {"--tls-ca", PROG_OPTION_TEXT, FIELD(tls_ca), .commands = TRANSFER, .value = "FILE",
     .help = "TLS, and only with a certificate that one of these\nCAs signed (PEM); recv asks for one only then"},
    {"--tls-name", PROG_OPTION_TEXT, FIELD(tls_name), .commands = TRANSFER, .value = "NAME",
     .help = "the name in the certificate of the other side\n(default: the host of ADDRESS; recv: any)"},
    {"--json", PROG_OPTION_FLAG, FIELD(json), .commands = TRANSFER, .help = "print the summary as a JSON object"},
    {"--quiet", PROG_OPTION_FLAG, FIELD(quiet), .commands = TRANSFER, .help = "print no summary and no progress"},
};

static const prog_exit exits[] = {
    {PROG_OK, 0, "done: all has arrived, and was verified"},
    {PROG_USAGE, 0, "usage error: an invalid option or argument"},
    {PROG_NOT_FOUND, 0, "no such file or process, or the process has ended"},
    {PROG_NETWORK, 0, "network error: unreachable, interrupted, or not the protocol of dxwan"},
    {PROG_DAMAGED, 0, "corrupt data: what arrived does not have the announced hash"},
    {PROG_SYSTEM, 0, "system error: disk full, no permission, port in use, out of memory"},
    {PROG_REFUSED, 0, "refused: a file exists or is too big, or another dxwan receives it"},
};

const prog_program wan_program = {
    .name = "dxwan",
    .summary = "replicate a file over long or lossy links",
    .about = "dxwan replicates a file over long or lossy links, over many connections at once.",
    .version = DX_BULK_VERSION,
    .zstd = true,
    .tls = PROG_TLS_TEXT,
    .toml = prog_toml_library,
    .commands = commands,
    .command_count = WAN_COMMANDS,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .exits = exits,
    .exit_count = sizeof exits / sizeof *exits,
};
