/* dxup: the command line. */
#include "commands/commands.h"
#include "net/loop.h"

#include "../common/os.h"

#include <errno.h>
#include <stdlib.h>
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
    int         least, most; /* plain arguments */
    int       (*run)(const dxup_options *o);
} command;

static const command commands[] = {
    {"publish", 3, 3, dxup_publish}, {"log", 1, 2, dxup_log},
    {"checkout", 3, 3, dxup_checkout}, {"verify", 1, 1, dxup_verify},
    {"gc", 1, 1, dxup_gc}, {"serve", 1, 1, dxup_serve}, {"pull", 3, 3, dxup_pull},
};

static int parse_number(const char *text, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno || *end || end == text || *text == '-' || v > most)
        return dxup_fail(DXUP_USAGE, "'%s' is not a number up to %llu", text,
                         (unsigned long long)most);
    *out = v;
    return DXUP_OK;
}

/* An option and its value; *used becomes how many arguments it took. */
static int parse_option(dxup_options *o, const char *option, const char *value, int *used)
{
    uint64_t n = 0;
    *used = 1;
    if (!strcmp(option, "--force")) return o->force = true, DXUP_OK;
    if (!strcmp(option, "--quiet")) return o->quiet = true, DXUP_OK;
    if (!strcmp(option, "--pack")) return o->pack = true, DXUP_OK;
    if (!strcmp(option, "--report")) return o->report = true, DXUP_OK;
    *used = 2;
    if (!value) return dxup_fail(DXUP_USAGE, "unknown option or missing value: %s", option);
    if (!strcmp(option, "--listen")) return o->address = value, DXUP_OK;
    if (!strcmp(option, "--http")) return o->http = value, DXUP_OK;
    if (!strcmp(option, "--backend")) {
        o->backend = value;
        return dxup_loop_knows(value) ? DXUP_OK
                                      : dxup_fail(DXUP_USAGE, "unknown backend: %s", value);
    }
    if (!strcmp(option, "--keep")) return parse_number(value, UINT32_MAX, &o->keep);
    if (!strcmp(option, "--patch-max")) return parse_number(value, 1u << 30, &o->patch_max);
    if (!strcmp(option, "--workers")) {
        int status = parse_number(value, OS_WORKERS_MAX, &n);
        if (!status && !n) status = dxup_fail(DXUP_USAGE, "--workers starts at 1");
        o->workers = (unsigned)n;
        return status;
    }
    if (!strcmp(option, "--connections")) {
        int status = parse_number(value, 4096, &n);
        if (!status && !n) status = dxup_fail(DXUP_USAGE, "--connections starts at 1");
        o->connections = (unsigned)n;
        return status;
    }
    return dxup_fail(DXUP_USAGE, "unknown option: %s", option);
}

static void place_arguments(dxup_options *o, const char *name, char **plain)
{
    if (!strcmp(name, "pull")) o->address = plain[0];
    else o->store = os_path(plain[0]);
    o->name = plain[1];
    o->path = os_path(plain[2]);
}

int main(int argc, char **argv)
{
    dxup_options o = {.patch_max = 64u << 20};
    char *plain[3] = {NULL, NULL, NULL};
    const command *chosen = NULL;
    int count = 0, status, used;
    dxup_begin("dxup", &argc, &argv);
    if (argc >= 2 && (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help"))) {
        fputs(usage, stdout);
        return DXUP_OK;
    }
    for (size_t i = 0; argc >= 2 && i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(argv[1], commands[i].name)) chosen = &commands[i];
    if (!chosen) {
        fputs(usage, stderr);
        return DXUP_USAGE;
    }
    for (int i = 2; i < argc; i += used) {
        used = 1;
        if (!strncmp(argv[i], "--", 2)) {
            status = parse_option(&o, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used);
            if (status) return status;
        } else if (count >= chosen->most) {
            return dxup_fail(DXUP_USAGE, "one argument too many: %s", argv[i]);
        } else {
            plain[count++] = argv[i];
        }
    }
    if (count < chosen->least)
        return dxup_fail(DXUP_USAGE, "%s needs more arguments; see dxup help", chosen->name);
    place_arguments(&o, chosen->name, plain);
    status = chosen->run(&o);
    if (!status && (fflush(stdout) != 0 || ferror(stdout)))
        status = dxup_fail_errno("standard output");
    return status;
}
