/* dxup: the command line. The floors below, from the top:

       commands/          publish log ls cat checkout diff tag rm verify gc serve
                          pull watch; the table of all
          |
         net/             ranges of a transfer, HTTP, patches made for clients
          |
       ../sync/           messages, event loop, objects of a snapshot between two machines
          |
       ../versions/tree/    directories as snapshots; the content of any version
          |
       ../versions/store/   versions of names, objects by their hash

   Nothing calls or includes what stands above it. All stand on ../common/. */
#include "commands/commands.h"
#include "commands/table.h"

static int (*const runs[DXUP_COMMANDS])(const dxup_options *o) = {
    [DXUP_PUBLISH] = dxup_publish, [DXUP_LOG] = dxup_log,       [DXUP_LS] = dxup_ls,
    [DXUP_CAT] = dxup_cat,         [DXUP_CHECKOUT] = dxup_checkout, [DXUP_TAG] = dxup_tag,
    [DXUP_DIFF] = dxup_diff,       [DXUP_RM] = dxup_rm,         [DXUP_VERIFY] = dxup_verify,
    [DXUP_GC] = dxup_gc,           [DXUP_SERVE] = dxup_serve,   [DXUP_PULL] = dxup_pull,
    [DXUP_WATCH] = dxup_watch,
};

int main(int argc, char **argv)
{
    dxup_options o = {0};
    int command;
    prog_begin("dxup", &argc, &argv);
    int status = prog_choose(&dxup_program, argc, argv, &command);
    if (!status && command >= 0) status = dxup_arguments(&o, command, argc - 2, argv + 2);
    if (o.quiet || o.json) prog_progress_off();
    if (!status && command >= 0) status = runs[command](&o);
    dxup_arguments_free(&o);
    return prog_end(status);
}
