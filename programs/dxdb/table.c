/* The commands and options of dxdb, with their help texts. Every line of `examples` is run by
   tests/programs/test_dxdb.py, in a folder with a dxdb.toml. */
#include "commands.h"

#define PROG_HAS_TLS
#include "../common/tls_text.h"
#include "../common/toml.h"
#include "ws.h"

enum {
    SERVE   = 1 << DXDB_SERVE,
    INSTALL = 1 << DXDB_INSTALL_TRIGGERS | 1 << DXDB_INSTALL_PUBLICATION | 1 << DXDB_UNINSTALL
};

static const prog_command commands[DXDB_COMMANDS] = {
    [DXDB_SERVE] =
        {.name = "serve",
         .arguments = "CONFIG",
         .summary = "Answer the queries of CONFIG, from memory while nothing has changed",
         .details = "A result is cached until a table that it was read from changes. That needs the\n"
                    "triggers of `dxdb install-triggers`, or with `source = \"replication\"` in CONFIG\n"
                    "the publication of `dxdb install-publication`; queries of other tables go to the\n"
                    "database each time. While the database cannot be reached, nothing is answered\n"
                    "from memory. After SIGTERM or Ctrl-C it answers pending requests and exits; after\n"
                    "SIGHUP it does so too, then begins again with what CONFIG has now, if it is valid.",
         .examples = "dxdb serve dxdb.toml"},
    [DXDB_INSTALL_TRIGGERS] =
        {.name = "install-triggers",
         .arguments = "CONFIG",
         .summary = "Create the triggers that notify dxdb of changes, on every table it reads",
         .details = "In one transaction, it creates the schema dxdb, a function in it, and a trigger\n"
                    "on each table, and replaces existing ones. You must own the tables.",
         .examples = "dxdb install-triggers dxdb.toml --print\n"
                     "dxdb install-triggers dxdb.toml"},
    [DXDB_INSTALL_PUBLICATION] =
        {.name = "install-publication",
         .arguments = "CONFIG",
         .summary = "Create the publication for source = \"replication\", with every table dxdb reads",
         .details = "In one transaction, it creates the publication, or adds the tables that it lacks.\n"
                    "A table whose replica identity does not have the keys of all queries gets REPLICA\n"
                    "IDENTITY FULL. You must own the tables, and may create in the database.",
         .examples = "dxdb install-publication replicated.toml --print\n"
                     "dxdb install-publication replicated.toml"},
    [DXDB_UNINSTALL] =
        {.name = "uninstall",
         .arguments = "CONFIG",
         .summary = "Remove what install-triggers and install-publication created",
         .details = "In one transaction, it drops every trigger that notifies dxdb, the function, the\n"
                    "schema dxdb, and the publication that CONFIG names (dxdb): those of all servers of\n"
                    "the database. A replica identity stays as it is. You must own the tables. A dxdb\n"
                    "that runs keeps no results of these tables any longer.",
         .examples = "dxdb uninstall dxdb.toml --print\n"
                     "dxdb uninstall dxdb.toml"},
};

#define FIELD(name) PROG_FIELD(dxdb_options, name)

static const prog_option options[] = {
    {"--print", PROG_OPTION_FLAG, FIELD(print), .commands = INSTALL,
     .help = "print the SQL, and change nothing"},
    {"--backend", PROG_OPTION_TEXT, FIELD(backend), .commands = SERVE, .value = "NAME",
     .choices = "auto io_uring epoll", .help = "event loop: auto, io_uring, epoll"},
};

static const prog_exit exits[] = {
    {PROG_OK, 0, "done"},
    {PROG_USAGE, 0, "usage error: an invalid option or line of CONFIG"},
    {PROG_NOT_FOUND, 0, "no such file"},
    {PROG_NETWORK, INSTALL, "network error: the database cannot be reached"},
    {PROG_SYSTEM, 0, "system error: no permission, out of memory, port in use"},
    {PROG_REFUSED, INSTALL, "refused by the database"},
};

const prog_program dxdb_program = {
    .name = "dxdb",
    .summary = "serve results of PostgreSQL queries from memory, never stale",
    .about = "dxdb runs the queries of a configuration file against PostgreSQL, keeps their results\n"
             "as teleport records, and serves them over HBTP and HTTP from memory until a table\n"
             "that they were read from changes.",
    .version = DX_CAS_VERSION,
    .libraries = dxdb_ws_library,
    .tls = PROG_TLS_TEXT,
    .toml = prog_toml_library,
    .commands = commands,
    .command_count = DXDB_COMMANDS,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .exits = exits,
    .exit_count = sizeof exits / sizeof *exits,
};
