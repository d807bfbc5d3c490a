/* dxup: the command line. The rooms below, from the top:

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
    "dxup publishes versions of files and directories, serves them, and pulls updates:\n"
    "verified by hash, a patch where the receiver has an old version, old or new, never half.\n"
    "\n"
    "  dxup publish STORE NAME PATH           add PATH (a file or a tree) as the next version of NAME\n"
    "  dxup log STORE [NAME]                  the names, or the versions of NAME\n"
    "  dxup checkout STORE NAME[@VERSION] DEST\n"
    "  dxup verify STORE                      re-read and re-hash everything\n"
    "  dxup gc STORE [--keep N] [--pack]      drop all but the last N versions; give space back;\n"
    "                                         --pack takes time to make the rest small\n"
    "  dxup serve STORE --listen ADDR:PORT [--workers N] [--backend NAME]\n"
    "                   [--http ADDR:PORT]    for browsers and curl: GET /NAME, ETags, A-IM: dx-patch\n"
    "                   [--patch-max BYTES]   larger versions are patched by chunks (default 64 MiB)\n"
    "                   [--connections N]     at most N at a time for each worker (default 4096)\n"
    "  dxup pull ADDR:PORT NAME DEST [--force] [--backend B]\n"
    "                   [--connections N]     4 MiB or more come over N connections (1 to 256)\n"
    "\n"
    "  --force   replace a directory although it was changed locally, and a version by an older one\n"
    "  --quiet   no summary; --report  the summary as key=value\n"
    "\n"
    "Exit status: 0 done, 1 usage, 2 no such name, version or store, 3 network,\n"
    "4 damaged bytes, 5 the local system refused, 6 refused because something would be lost.\n";

typedef struct command {
    const char *name;
    int         plain_min, plain_max; /* plain arguments */
    int       (*run)(const dxup_options *o);
} command;

static const command commands[] = {
    {"publish", 3, 3, dxup_publish},
    {"log", 1, 2, dxup_log},
    {"checkout", 3, 3, dxup_checkout},
    {"verify", 1, 1, dxup_verify},
    {"gc", 1, 1, dxup_gc},
    {"serve", 1, 1, dxup_serve},
    {"pull", 3, 3, dxup_pull},
};

enum { PLAIN_MAX = 3 };

static const command *find_command(const char *name)
{
    for (size_t i = 0; name && i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(name, commands[i].name)) return &commands[i];
    return NULL;
}

/* argv: what is behind the command. */
static int parse(dxup_options *o, const command *chosen, int argc, char **argv)
{
    char *plain[PLAIN_MAX] = {NULL};
    uint64_t workers = 0, connections = 0;
    const dxup_option options[] = {
        {.name = "--force", .kind = DXUP_OPTION_FLAG, .to = &o->force},
        {.name = "--quiet", .kind = DXUP_OPTION_FLAG, .to = &o->quiet},
        {.name = "--report", .kind = DXUP_OPTION_FLAG, .to = &o->report},
        {.name = "--pack", .kind = DXUP_OPTION_FLAG, .to = &o->pack},
        {.name = "--listen", .kind = DXUP_OPTION_TEXT, .to = &o->address},
        {.name = "--http", .kind = DXUP_OPTION_TEXT, .to = &o->http},
        {.name = "--backend", .kind = DXUP_OPTION_TEXT, .to = &o->backend},
        {.name = "--keep", .kind = DXUP_OPTION_NUMBER, .to = &o->keep, .max = UINT32_MAX},
        {.name = "--patch-max", .kind = DXUP_OPTION_NUMBER, .to = &o->patch_max, .max = 1u << 30},
        {.name = "--workers",
         .kind = DXUP_OPTION_NUMBER,
         .to = &workers,
         .min = 1,
         .max = OS_WORKERS_MAX},
        {.name = "--connections",
         .kind = DXUP_OPTION_NUMBER,
         .to = &connections,
         .min = 1,
         .max = 4096},
    };
    const dxup_arguments arguments = {
        .command = chosen->name,
        .help = "dxup help",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .plain = plain,
        .plain_min = chosen->plain_min,
        .plain_max = chosen->plain_max,
    };
    int status = dxup_arguments_parse(&arguments, argc, argv);
    if (status) return status;
    if (o->backend && !dxup_loop_knows(o->backend))
        return dxup_fail(DXUP_USAGE, "unknown backend: %s", o->backend);
    o->workers = (unsigned)workers;
    o->connections = (unsigned)connections;
    if (chosen->run == dxup_pull) o->address = plain[0];
    else o->store = os_path(plain[0]);
    o->name = plain[1];
    o->path = os_path(plain[2]);
    return DXUP_OK;
}

int main(int argc, char **argv)
{
    dxup_options o = {.patch_max = 64u << 20};
    dxup_begin("dxup", &argc, &argv);
    const char *name = argc >= 2 ? argv[1] : NULL;
    if (name && (!strcmp(name, "help") || !strcmp(name, "--help"))) {
        fputs(usage, stdout);
        return dxup_end(DXUP_OK);
    }
    const command *chosen = find_command(name);
    if (!chosen) {
        fputs(usage, stderr);
        return DXUP_USAGE;
    }
    int status = parse(&o, chosen, argc - 2, argv + 2);
    return dxup_end(status ? status : chosen->run(&o));
}
