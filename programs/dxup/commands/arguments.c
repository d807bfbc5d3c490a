/* The options of a command: defaults, then a configuration, then the command line, which wins. */
#include "commands.h"
#include "names.h"
#include "table.h"

#include "../../common/backend.h"
#include "../../common/os.h"
#include "../../sync/silence.h"

static void set_defaults(dxup_options *o)
{
    *o = (dxup_options){.patch_max = 64u << 20, .interval_s = 60, .timeout_s = DXUP_SILENCE_MAX_S,
                        .limits = {VERSIONS_ENTRIES_MAX, VERSIONS_SIZE_MAX}};
}

static void set_plain(dxup_options *o, char *plain[PROG_PLAIN_MAX])
{
    if (o->command == DXUP_PULL || o->command == DXUP_WATCH) o->address = plain[0];
    else o->store = os_path(plain[0]);
    o->name = plain[1];
    if (o->command == DXUP_TAG || o->command == DXUP_DIFF) o->third = plain[2];
    else o->path = os_path(plain[2]);
    o->log = os_path((char *)(uintptr_t)o->log);
}

int dxup_arguments(dxup_options *o, int command, int argc, char **argv)
{
    char *plain[PROG_PLAIN_MAX];
    prog_given given;
    int backend;
    set_defaults(o);
    o->command = command;
    o->argc = argc;
    o->argv = argv;
    int status = prog_arguments_read(&dxup_program, command, argc, argv, o, plain, &given);
    if (!status && o->config)
        status = prog_configured(&dxup_program, command, o->config, &given, o, plain, &o->texts);
    if (!status) status = prog_arguments_check(&dxup_program, command, plain);
    if (!status) status = prog_backend(o->backend, &backend);
    if (status) return status;
    set_plain(o, plain);
    return o->store && command != DXUP_LS ? dxup_refuse_address(o->store) : PROG_OK;
}

int dxup_arguments_again(const dxup_options *o, dxup_options *fresh)
{
    return dxup_arguments(fresh, o->command, o->argc, o->argv);
}

void dxup_arguments_free(dxup_options *o) { prog_texts_free(&o->texts); }
