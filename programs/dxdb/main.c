/* dxdb: the command line. dxdb.h lists the files, from the bottom. */
#include "commands.h"

#include "../common/os.h"

int main(int argc, char **argv)
{
    dxdb_options o = {.config = NULL};
    char *plain[PROG_PLAIN_MAX];
    int command;
    prog_begin("dxdb", &argc, &argv);
    int status = prog_choose(&dxdb_program, argc, argv, &command);
    if (!status && command >= 0)
        status = prog_arguments_parse(&dxdb_program, command, argc - 2, argv + 2, &o, plain);
    if (!status && command >= 0) {
        o.config = os_path(plain[0]);
        status = command == DXDB_SERVE ? dxdb_serve(&o)
               : command == DXDB_INSTALL_TRIGGERS ? dxdb_install_triggers(&o)
               : command == DXDB_INSTALL_PUBLICATION ? dxdb_install_publication(&o)
                                                     : dxdb_uninstall(&o);
    }
    return prog_end(status);
}
