/* The command line: options, their values, and plain arguments, parsed by a table. Everything that
   begins with '-' is an option, until `--`. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "common.h"

typedef enum prog_option_kind {
    PROG_OPTION_FLAG,   /* to: bool, set */
    PROG_OPTION_TEXT,   /* to: const char *, the value as it is */
    PROG_OPTION_NUMBER, /* to: uint64_t, min to max, then multiplied by unit (0: by 1) */
    PROG_OPTION_DIGIT   /* to: uint64_t; name is "-", and the option -1 to -9 */
} prog_option_kind;

typedef struct prog_option {
    const char      *name;
    prog_option_kind kind;
    void            *to;       /* where the value goes, see prog_option_kind */
    uint64_t         min;
    uint64_t         max;
    uint64_t         unit;
    unsigned         commands; /* a bit for each command that knows it; 0: all do */
} prog_option;

typedef struct prog_arguments {
    const char        *command;      /* for messages */
    const char        *help;         /* the command that prints the help: "dxup help" */
    const prog_option *options;
    size_t             option_count;
    unsigned           commands;     /* the bit of the command; 0: there is one only */
    char             **plain;        /* plain_max places; unused ones are left as they are */
    int                plain_min;
    int                plain_max;
} prog_arguments;

/* Parse decimal digits and nothing else, min to max. The message names `what`. */
int prog_parse_number(const char *what, const char *text, uint64_t min, uint64_t max,
                      uint64_t *out);
/* Parse argv, which begins with the first argument. PROG_USAGE, with a message, if it does not
   match *a: an unknown option, or one that this command does not know, a bad value, too many or
   too few plain arguments. */
int prog_arguments_parse(const prog_arguments *a, int argc, char **argv);

#endif
