/* The command line of a program: one table of its commands and options, from which it is parsed
   (options.c), explained (help.c), and given to shells and to man (manual.c, complete.c); choose.c
   finds out which of these is asked for.
   Everything that begins with '-' is an option, until `--`. Its value is the next argument, or
   follows a '=': `--kind blocks`, `--kind=blocks`. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "common.h"

typedef enum prog_option_kind {
    PROG_OPTION_FLAG,   /* bool, set */
    PROG_OPTION_TEXT,   /* const char *, the value as it is */
    PROG_OPTION_NUMBER, /* uint32_t or uint64_t, min to max, then multiplied by unit (0: by 1) */
    PROG_OPTION_DIGIT,  /* the same; name is "-", and the option -1 to -9 */
    PROG_OPTION_LIST    /* prog_list: each use appends the option and its value */
} prog_option_kind;

typedef struct prog_option {
    const char      *name;
    prog_option_kind kind;
    size_t           at;       /* its field in the options of the program: PROG_FIELD */
    size_t           size;
    uint64_t         min;
    uint64_t         max;
    uint64_t         unit;
    unsigned         commands; /* a bit (1 << its place) for each command that knows it; 0: all */
    const char      *value;    /* what the help calls its value: "N" */
    const char      *choices;  /* all values that there are, with spaces between; NULL: any */
    const char      *help;     /* lines, without a full stop at the end */
} prog_option;

#define PROG_FIELD(type, field) .at = offsetof(type, field), .size = sizeof(((type *)0)->field)

/* What the uses of an option of kind LIST have said, in their order. */
enum { PROG_LIST_MAX = 64 };
typedef struct prog_list {
    struct {
        const char *option;
        const char *value;
    } items[PROG_LIST_MAX];
    size_t count;
} prog_list;

typedef struct prog_command {
    const char *name;      /* NULL: the program has only this one, which has no name */
    /* "STORE [NAME]": those in brackets may be left out; what follows " -- " is for another program,
       and the caller takes it off before it parses the rest */
    const char *arguments;
    const char *summary;   /* a line without a full stop */
    const char *details;   /* lines; NULL: the summary says all */
    const char *examples;  /* command lines, one a line, which a test runs in their order */
} prog_command;

typedef struct prog_exit {
    int         status;
    unsigned    commands; /* which may end so, as in prog_option; 0: all */
    const char *meaning;
} prog_exit;

typedef struct prog_program {
    const char         *name;
    const char         *summary; /* a line without a full stop */
    const char         *about;   /* lines */
    uint32_t            version; /* 0xMMmmpp */
    bool                zstd;    /* it uses zstd where that was found: PROG_HAS_ZSTD */
    const prog_command *commands;
    size_t              command_count;
    const prog_option  *options;
    size_t              option_count;
    const prog_exit    *exits;
    size_t              exit_count;
} prog_program;

#ifdef VERSIONS_ZSTD_LIBRARY
enum { PROG_HAS_ZSTD = 1 };
#else
enum { PROG_HAS_ZSTD = 0 };
#endif

/* >>options.c ---- */
enum { PROG_PLAIN_MAX = 4 };

/* Parse decimal digits and nothing else, min to max. The message names `what`. */
int  prog_parse_number(const char *what, const char *text, uint64_t min, uint64_t max,
                       uint64_t *out);
/* Parse the arguments of a command into the program's options, and plain ones into plain, as they
   are; those that are missing are NULL. argv begins with the first argument. PROG_USAGE, with a
   message: an option that the command does not know, a bad value, too many or too few plain
   arguments. */
int  prog_arguments_parse(const prog_program *p, int command, int argc, char **argv, void *options,
                          char *plain[PROG_PLAIN_MAX]);
/* Where they end in the text of a command's arguments: at its end, or at " -- ". */
const char *prog_plain_end(const prog_command *c);
/* Plain arguments of a command: how many there may be, and must be. */
int  prog_plain_max(const prog_command *c);
int  prog_plain_min(const prog_command *c);
/* Does the command know what has these bits? */
bool prog_knows(unsigned commands, size_t command);

/* >>choose.c ---- */
/* What the command line asks for: *command is the place of a command in the table. When it was help
   or the version, that is printed, *command is -1, and PROG_OK says that it worked. */
int  prog_choose(const prog_program *p, int argc, char **argv, int *command);

/* >>nearest.c ---- */
/* Begin with a word that is not known, offer those that are: found is the one that was meant, the
   first of several, or NULL where none is like it. */
typedef struct prog_nearest {
    const char *word;
    size_t      size;
    size_t      distance; /* of found; while it is NULL: as far as one may be */
    const char *found;
} prog_nearest;
void prog_nearest_begin(prog_nearest *n, const char *word, size_t size);
void prog_nearest_offer(prog_nearest *n, const char *candidate);

/* >>help.c, manual.c, complete.c ---- */
/* "dxup 0.3.0 (zstd 1.5.4, no TLS)" */
void prog_print_version(const prog_program *p);
/* All commands, or with a place in the table one. */
void prog_print_help(const prog_program *p, int command);
/* The manual page, for man. */
void prog_print_manual(const prog_program *p);
/* What makes a shell complete the command line. False: there is none for that shell. */
bool prog_print_completion(const prog_program *p, const char *shell);

#endif
