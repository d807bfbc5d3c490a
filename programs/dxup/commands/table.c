/* What dxup understands, and says of itself. See table.h.

   Every line of `examples` is run by tests/programs/test_dxup_commands.sh, from the first command
   to the last, in a folder with ./build, ./notes.txt and the server that the table shows. */
#include "table.h"

#include "../../../dx_cas.h"
#include "../../common/os.h"

/* Bits of commands, for options and statuses. */
enum {
    PUBLISH  = 1 << DXUP_PUBLISH,
    LOG      = 1 << DXUP_LOG,
    CHECKOUT = 1 << DXUP_CHECKOUT,
    VERIFY   = 1 << DXUP_VERIFY,
    GC       = 1 << DXUP_GC,
    SERVE    = 1 << DXUP_SERVE,
    PULL     = 1 << DXUP_PULL
};

static const prog_command commands[DXUP_COMMANDS] = {
    [DXUP_PUBLISH] =
        {.name = "publish",
         .arguments = "STORE NAME PATH",
         .summary = "Add a file or a tree as the next version of NAME",
         .details = "The store is made if there is none. Content that equals the latest version\n"
                    "adds no version. A publish that is killed leaves the store as it was.",
         .examples = "dxup publish store app ./build\n"
                     "dxup publish store notes notes.txt --quiet"},
    [DXUP_LOG] =
        {.name = "log",
         .arguments = "STORE [NAME]",
         .summary = "List the latest version of each name, or all versions of one",
         .details = "A line has the name, the version, what it is, its bytes, when it was\n"
                    "published (UTC), and the hash of its content.",
         .examples = "dxup log store\n"
                     "dxup log store app"},
    [DXUP_CHECKOUT] =
        {.name = "checkout",
         .arguments = "STORE NAME[@VERSION] DEST",
         .summary = "Write a version to DEST, by default the latest",
         .details = "DEST is replaced atomically, after everything was verified by hash.",
         .examples = "dxup checkout store app ./app\n"
                     "dxup checkout store app@1 ./app --force"},
    [DXUP_VERIFY] =
        {.name = "verify",
         .arguments = "STORE",
         .summary = "Read and hash everything in a store again",
         .details = "After damage was found, it says which versions are whole.",
         .examples = "dxup verify store"},
    [DXUP_GC] =
        {.name = "gc",
         .arguments = "STORE",
         .summary = "Reclaim the space of what no version needs any more",
         .details = "The store is written anew beside itself and replaced atomically, so it takes\n"
                    "room for both.",
         .examples = "dxup gc store --keep 5"},
    [DXUP_SERVE] =
        {.name = "serve",
         .arguments = "STORE",
         .summary = "Serve a store to dxup pull, and to browsers with --http",
         .details = "--listen is required. Port 0 takes a free one; the first line says which.\n"
                    "Other processes may publish meanwhile. Ctrl-C or SIGTERM ends it.",
         .examples = "dxup serve store --listen 127.0.0.1:7000"},
    [DXUP_PULL] =
        {.name = "pull",
         .arguments = "ADDR:PORT NAME DEST",
         .summary = "Bring DEST to the latest version that a server has",
         .details = "It receives a patch where DEST is an older version, verifies all of it by\n"
                    "hash, and replaces DEST atomically. The next pull resumes an interrupted one.",
         .examples = "dxup pull 127.0.0.1:7000 app ./app"},
};

#define FIELD(name) PROG_FIELD(dxup_options, name)
#define BACKENDS "auto io_uring epoll kqueue iocp"

static const prog_option options[] = {
    {"--workers", PROG_OPTION_NUMBER, FIELD(workers), .min = 1, .max = OS_WORKERS_MAX,
     .commands = PUBLISH | CHECKOUT | SERVE, .value = "N",
     .help = "threads (default: one for each processor)"},
    {"--force", PROG_OPTION_FLAG, FIELD(force), .commands = CHECKOUT | PULL,
     .help = "replace a locally changed directory, or a\nversion by an older one"},
    {"--keep", PROG_OPTION_NUMBER, FIELD(keep), .min = 1, .max = UINT32_MAX, .commands = GC,
     .value = "N", .help = "keep the last N versions of each name\n(default: all)"},
    {"--pack", PROG_OPTION_FLAG, FIELD(pack), .commands = GC,
     .help = "recompress what is left (slow)"},
    {"--listen", PROG_OPTION_TEXT, FIELD(address), .commands = SERVE, .value = "ADDR:PORT",
     .help = "where to answer dxup pull"},
    {"--http", PROG_OPTION_TEXT, FIELD(http), .commands = SERVE, .value = "ADDR:PORT",
     .help = "also for browsers and curl: GET /NAME, ETags,\nA-IM: dx-patch"},
    {"--patch-max", PROG_OPTION_NUMBER, FIELD(patch_max), .max = 1u << 30, .commands = SERVE,
     .value = "BYTES", .help = "larger versions are patched by chunks\n(default 64 MiB)"},
    {"--connections", PROG_OPTION_NUMBER, FIELD(connections), .min = 1, .max = 4096,
     .commands = SERVE | PULL, .value = "N",
     .help = "serve: limit for each worker (default 4096);\n"
             "pull: transfer 4 MiB or more over N connections\n(1 to 256)"},
    {"--backend", PROG_OPTION_TEXT, FIELD(backend), .commands = SERVE | PULL, .value = "NAME",
     .choices = BACKENDS, .help = "of the event loop: auto, io_uring, epoll,\nkqueue, iocp"},
    {"--report", PROG_OPTION_FLAG, FIELD(report), .commands = PULL,
     .help = "print the summary as key=value"},
    {"--quiet", PROG_OPTION_FLAG, FIELD(quiet),
     .commands = PUBLISH | CHECKOUT | VERIFY | GC | PULL, .help = "print no summary"},
};

static const prog_exit exits[] = {
    {PROG_OK, 0, "done"},
    {PROG_USAGE, 0, "usage: an option or argument that is not valid"},
    {PROG_NOT_FOUND, 0, "no such name, version, store or file"},
    {PROG_NETWORK, SERVE | PULL, "network: unreachable, interrupted, or not a dxup server"},
    {PROG_DAMAGED, 0, "corrupt data: bytes that do not match their hash"},
    {PROG_SYSTEM, 0, "system error: disk full, permission, memory, port taken"},
    {PROG_REFUSED, PUBLISH | CHECKOUT | GC | PULL,
     "refused, because data would be lost or another process is writing"},
};

const prog_program dxup_program = {
    .name = "dxup",
    .summary = "publish, serve and pull versions of files and directory trees",
    .about = "dxup publishes versions of files and directory trees, serves them, and pulls\n"
             "updates. A pull transfers a patch if the receiver has an older version, verifies every\n"
             "byte by hash, and replaces the destination atomically.",
    .version = DX_CAS_VERSION,
    .zstd = PROG_HAS_ZSTD,
    .commands = commands,
    .command_count = DXUP_COMMANDS,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .exits = exits,
    .exit_count = sizeof exits / sizeof *exits,
};
