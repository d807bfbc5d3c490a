/* The table of commands and options. The command-line parser, the help, the manual page and the
   completions are made from it. */
#ifndef DXUP_TABLE_H
#define DXUP_TABLE_H

#include "commands.h"

#include "../../common/options.h"

/* Indexes in the table. */
enum {
    DXUP_PUBLISH,
    DXUP_LOG,
    DXUP_LS,
    DXUP_CAT,
    DXUP_CHECKOUT,
    DXUP_DIFF,
    DXUP_TAG,
    DXUP_RM,
    DXUP_VERIFY,
    DXUP_GC,
    DXUP_SERVE,
    DXUP_PULL,
    DXUP_WATCH,
    DXUP_COMMANDS
};

extern const prog_program dxup_program;

#endif
