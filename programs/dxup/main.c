/* dxup: the command line. The floors below, from the top:

       commands/          publish log ls cat checkout diff tag rm verify gc serve
                          pull watch; the table of all
          |
         net/             wire, event loop, ranges of a transfer, HTTP, patches made for clients
          |
       ../versions/tree/    directories as snapshots; the content of any version
          |
       ../versions/store/   versions of names, objects by their hash

   Nothing calls or includes what stands above it. All stand on ../common/. */
#include "commands/commands.h"
#include "commands/names.h"
#include "commands/table.h"
#include "../common/backend.h"
#include "../common/os.h"

static int (*const runs[DXUP_COMMANDS])(const dxup_options *o) = {
    [DXUP_PUBLISH] = dxup_publish, [DXUP_LOG] = dxup_log,       [DXUP_LS] = dxup_ls,
    [DXUP_CAT] = dxup_cat,         [DXUP_CHECKOUT] = dxup_checkout, [DXUP_TAG] = dxup_tag,
    [DXUP_DIFF] = dxup_diff,       [DXUP_RM] = dxup_rm,         [DXUP_VERIFY] = dxup_verify,
    [DXUP_GC] = dxup_gc,           [DXUP_SERVE] = dxup_serve,   [DXUP_PULL] = dxup_pull,
    [DXUP_WATCH] = dxup_watch,
};

/* Fill *o. argv begins after the command. */
static int parse(dxup_options *o, int command, int argc, char **argv)
{
    char *plain[PROG_PLAIN_MAX];
    int status = prog_arguments_parse(&dxup_program, command, argc, argv, o, plain);
    if (status) return status;
    int backend;
    status = prog_backend(o->backend, &backend);
    if (status) return status;
    if (command == DXUP_PULL || command == DXUP_WATCH) o->address = plain[0];
    else o->store = os_path(plain[0]);
    if (o->store && command != DXUP_LS) status = dxup_refuse_address(o->store);
    if (status) return status;
    o->name = plain[1];
    if (command == DXUP_TAG || command == DXUP_DIFF) o->third = plain[2];
    else o->path = os_path(plain[2]);
    o->log = os_path((char *)(uintptr_t)o->log);
    if (o->quiet || o->json) prog_progress_off();
    return PROG_OK;
}

int main(int argc, char **argv)
{
    dxup_options o = {.patch_max = 64u << 20, .interval_s = 60, .limits = {VERSIONS_ENTRIES_MAX, VERSIONS_SIZE_MAX}};
    int command;
    prog_begin("dxup", &argc, &argv);
    int status = prog_choose(&dxup_program, argc, argv, &command);
    if (!status && command >= 0) status = parse(&o, command, argc - 2, argv + 2);
    if (!status && command >= 0) status = runs[command](&o);
    return prog_end(status);
}
