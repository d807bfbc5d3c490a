/* dxup: the command line. The floors below, from the top:

       commands/   publish log checkout verify gc serve pull
          |
         net/      wire, event loop, ranges of a transfer, HTTP, patches made for clients
          |
         tree/     directories as snapshots; the content of any version
          |
         store/    versions of names, objects by their hash

   Nothing calls or includes what stands above it. All stand on ../common/. */
#include "commands/commands.h"
#include "net/loop.h"

#include "../common/message.h"
#include "../common/options.h"
#include "../common/os.h"

#include <string.h>

static const char usage[] =
    "dxup publishes versions of files and directory trees, serves them, and pulls updates. A pull\n"
    "transfers a patch if the receiver has an older version, verifies every byte by hash, and\n"
    "replaces the destination atomically.\n"
    "\n"
    "  dxup publish STORE NAME PATH [--workers N]\n"
    "                                 add PATH (a file or a tree) as the next version of NAME\n"
    "  dxup log STORE [NAME]          list the names, or the versions of NAME\n"
    "  dxup checkout STORE NAME[@VERSION] DEST [--force] [--workers N]\n"
    "                                 write a version (default: the latest) to DEST\n"
    "  dxup verify STORE              re-read and re-hash everything\n"
    "  dxup gc STORE [--keep N] [--pack]\n"
    "                                 keep the last N versions of each name (default: all) and\n"
    "                                 reclaim space; --pack recompresses what is left (slow)\n"
    "  dxup serve STORE --listen ADDR:PORT [--workers N] [--backend NAME]\n"
    "             [--http ADDR:PORT]  for browsers and curl: GET /NAME, ETags, A-IM: dx-patch\n"
    "             [--patch-max BYTES] larger versions are patched by chunks (default 64 MiB)\n"
    "             [--connections N]   connection limit of each worker (default 4096)\n"
    "  dxup pull ADDR:PORT NAME DEST [--force] [--backend NAME] [--report]\n"
    "             [--connections N]   transfer 4 MiB or more over N connections (1 to 256)\n"
    "\n"
    "  --workers N  threads (default: one per processor)\n"
    "  --force      replace a locally changed directory, or a version by an older one\n"
    "  --quiet      print no summary (publish, checkout, verify, gc, pull)\n"
    "  --report     print the summary as key=value\n"
    "\n"
    "Exit status: 0 done, 1 usage, 2 no such name, version or store, 3 network, 4 corrupt data,\n"
    "5 system error (disk full, permission, memory), 6 refused because data would be lost.\n";

/* A bit for each command, with which an option says who knows it. */
enum {
    PUBLISH  = 1 << 0,
    LOG      = 1 << 1,
    CHECKOUT = 1 << 2,
    VERIFY   = 1 << 3,
    GC       = 1 << 4,
    SERVE    = 1 << 5,
    PULL     = 1 << 6
};

typedef struct command {
    const char *name;
    unsigned    bit;
    int         plain_min; /* plain arguments */
    int         plain_max;
    int       (*run)(const dxup_options *o);
} command;

static const command commands[] = {
    {"publish", PUBLISH, 3, 3, dxup_publish},
    {"log", LOG, 1, 2, dxup_log},
    {"checkout", CHECKOUT, 3, 3, dxup_checkout},
    {"verify", VERIFY, 1, 1, dxup_verify},
    {"gc", GC, 1, 1, dxup_gc},
    {"serve", SERVE, 1, 1, dxup_serve},
    {"pull", PULL, 3, 3, dxup_pull},
};

enum { PLAIN_MAX = 3 };

static const command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(name, commands[i].name)) return &commands[i];
    return NULL;
}

/* Fill *o. argv begins after the command. */
static int parse(dxup_options *o, const command *chosen, int argc, char **argv)
{
    char *plain[PLAIN_MAX] = {NULL};
    uint64_t workers = 0, connections = 0;
    const prog_option options[] = {
        {.name = "--force", .kind = PROG_OPTION_FLAG, .to = &o->force, .commands = CHECKOUT | PULL},
        {.name = "--quiet",
         .kind = PROG_OPTION_FLAG,
         .to = &o->quiet,
         .commands = PUBLISH | CHECKOUT | VERIFY | GC | PULL},
        {.name = "--report", .kind = PROG_OPTION_FLAG, .to = &o->report, .commands = PULL},
        {.name = "--pack", .kind = PROG_OPTION_FLAG, .to = &o->pack, .commands = GC},
        {.name = "--listen", .kind = PROG_OPTION_TEXT, .to = &o->address, .commands = SERVE},
        {.name = "--http", .kind = PROG_OPTION_TEXT, .to = &o->http, .commands = SERVE},
        {.name = "--backend",
         .kind = PROG_OPTION_TEXT,
         .to = &o->backend,
         .commands = SERVE | PULL},
        {.name = "--keep",
         .kind = PROG_OPTION_NUMBER,
         .to = &o->keep,
         .min = 1,
         .max = UINT32_MAX,
         .commands = GC},
        {.name = "--patch-max",
         .kind = PROG_OPTION_NUMBER,
         .to = &o->patch_max,
         .max = 1u << 30,
         .commands = SERVE},
        {.name = "--workers",
         .kind = PROG_OPTION_NUMBER,
         .to = &workers,
         .min = 1,
         .max = OS_WORKERS_MAX,
         .commands = PUBLISH | CHECKOUT | SERVE},
        {.name = "--connections",
         .kind = PROG_OPTION_NUMBER,
         .to = &connections,
         .min = 1,
         .max = 4096,
         .commands = SERVE | PULL},
    };
    const prog_arguments arguments = {
        .command = chosen->name,
        .help = "dxup help",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .commands = chosen->bit,
        .plain = plain,
        .plain_min = chosen->plain_min,
        .plain_max = chosen->plain_max,
    };
    int status = prog_arguments_parse(&arguments, argc, argv);
    if (status) return status;
    if (o->backend && !dxup_loop_knows(o->backend))
        return prog_fail(PROG_USAGE, "unknown backend: %s (auto, io_uring, epoll, kqueue, iocp)",
                         o->backend);
    o->workers = (unsigned)workers;
    o->connections = (unsigned)connections;
    if (chosen->run == dxup_pull) o->address = plain[0];
    else o->store = os_path(plain[0]);
    o->name = plain[1];
    o->path = os_path(plain[2]);
    return PROG_OK;
}

int main(int argc, char **argv)
{
    dxup_options o = {.patch_max = 64u << 20};
    prog_begin("dxup", &argc, &argv);
    const char *name = argc >= 2 ? argv[1] : NULL;
    if (name && (!strcmp(name, "help") || !strcmp(name, "--help"))) {
        fputs(usage, stdout);
        return prog_end(PROG_OK);
    }
    if (!name) {
        fputs(usage, stderr);
        return PROG_USAGE;
    }
    const command *chosen = find_command(name);
    if (!chosen)
        return prog_fail(PROG_USAGE, "there is no command '%s'; see dxup help", name);
    int status = parse(&o, chosen, argc - 2, argv + 2);
    return prog_end(status ? status : chosen->run(&o));
}
