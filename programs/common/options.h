/* The command line: options, their values, and plain arguments. Everything that begins with '-'
   is an option, until `--`. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "common.h"

typedef enum dxup_option_kind {
    DXUP_OPTION_FLAG,   /* to: bool, set */
    DXUP_OPTION_TEXT,   /* to: const char *, the value as it is */
    DXUP_OPTION_NUMBER, /* to: uint64_t, min to max, then multiplied by unit (0: by 1) */
    DXUP_OPTION_DIGIT   /* to: uint64_t; name is "-", and the option -1 to -9 */
} dxup_option_kind;

typedef struct dxup_option {
    const char      *name;
    dxup_option_kind kind;
    void            *to;
    uint64_t         min, max, unit;
    unsigned         commands; /* a bit for each command that knows it; 0: all do */
} dxup_option;

typedef struct dxup_arguments {
    const char        *command;      /* for messages */
    const char        *help;         /* what tells more, for messages: "dxup help" */
    const dxup_option *options;
    size_t             option_count;
    unsigned           commands;     /* the bit of the command; 0: there is one only */
    char             **plain;        /* plain_max places, or more */
    int                plain_min, plain_max;
} dxup_arguments;

/* Decimal digits and nothing else, min to max. `what` is named in the message. */
int dxup_parse_number(const char *what, const char *text, uint64_t min, uint64_t max,
                      uint64_t *out);
/* argv[0] is the first argument. DXUP_USAGE, with a message, where it is not as *a says. */
int dxup_arguments_parse(const dxup_arguments *a, int argc, char **argv);

#endif
