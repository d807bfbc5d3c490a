/* The commands of dxdb, and their options. */
#ifndef DXDB_COMMANDS_H
#define DXDB_COMMANDS_H

#include "../common/options.h"
#include "dxdb.h"

enum { DXDB_SERVE, DXDB_INSTALL_TRIGGERS, DXDB_INSTALL_PUBLICATION, DXDB_UNINSTALL, DXDB_COMMANDS };

typedef struct dxdb_options {
    const char *config;
    const char *backend; /* of the event loop; NULL: automatic */
    bool        print;
} dxdb_options;

extern const prog_program dxdb_program;

/* Serve until SIGTERM or SIGINT. */
int dxdb_serve(const dxdb_options *o);
/* Create the triggers in the database, or print what would. */
int dxdb_install_triggers(const dxdb_options *o);
/* The same for the publication that replication needs. */
int dxdb_install_publication(const dxdb_options *o);
/* Remove from the database what both have created. */
int dxdb_uninstall(const dxdb_options *o);

#endif
