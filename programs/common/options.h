/* The command line of a program. One table of commands and options drives the parser (options.c), the
   help (help.c), and the manual page and shell completion (manual.c, complete.c); choose.c selects
   among them.
   Arguments that begin with '-' are options, up to `--`. The value of an option is the next argument
   or follows a '=': `--kind blocks`, `--kind=blocks`. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "common.h"

typedef enum prog_option_kind {
    PROG_OPTION_FLAG,   /* bool, set */
    PROG_OPTION_TEXT,   /* const char *, the value verbatim */
    PROG_OPTION_NUMBER, /* uint32_t or uint64_t, min to max, then multiplied by unit (0: by 1); with
                           the value's name "BYTES" also as 64M, see prog_parse_size() */
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
    unsigned         commands; /* a bit (1 << index) for each command that accepts it; 0: all */
    const char      *value;    /* the name of the value in the help: "N" */
    const char      *choices;  /* the allowed values, separated by spaces; NULL: any */
    const char      *hints;    /* without choices: values that completion offers, among others; NULL: none */
    /* of TEXT: a status, after a message that begins with `what`; NULL: any text */
    int            (*check)(const char *what, const char *text);
    const char      *help;     /* lines, without a period at the end */
} prog_option;

#define PROG_FIELD(type, field) .at = offsetof(type, field), .size = sizeof(((type *)0)->field)

/* The values of an option of kind LIST, in the order of the command line. */
enum { PROG_LIST_MAX = 64 };
typedef struct prog_list {
    struct {
        const char *option;
        const char *value;
    } items[PROG_LIST_MAX];
    size_t count;
} prog_list;

typedef struct prog_command {
    const char *name;      /* NULL: the only command of the program, without a name */
    /* "STORE [NAME]": those in brackets are optional; the arguments after " -- " are for another
       program, and the caller removes them before parsing */
    const char *arguments;
    const char *summary;   /* a line without a full stop */
    const char *details;   /* lines; NULL: the summary is enough */
    const char *examples;  /* one command per line; a test runs them in this order */
    /* the plain arguments by their keys in a configuration (configured.c), in order: "address name
       dest"; NULL: the command takes none */
    const char *keys;
} prog_command;

typedef struct prog_exit {
    int         status;
    unsigned    commands; /* the commands with this status, as in prog_option; 0: all */
    const char *meaning;
} prog_exit;

/* A text that several commands refer to: `dxkeep help moment`, and a section of the manual page. Lines that
   begin with a space keep their breaks. */
typedef struct prog_topic {
    const char *name;
    const char *summary; /* a line without a full stop */
    const char *text;    /* lines */
} prog_topic;

typedef struct prog_program {
    const char         *name;
    const char         *summary; /* a line without a full stop */
    const char         *about;   /* lines */
    uint32_t            version; /* 0xMMmmpp */
    /* Optional parts, which --version names with their versions, or as "no zstd" where the build lacks them. A program
       that has no use for a part does not set its field. */
    const char       *(*libraries)(void); /* other libraries, zstd perhaps among them */
    bool              zstd;
    const char       *tls;            /* PROG_TLS_TEXT */
    const char       *(*toml)(void);  /* prog_toml_library() */
    const prog_command *commands;
    size_t              command_count;
    const prog_option  *options;
    size_t              option_count;
    const prog_exit    *exits;
    size_t              exit_count;
    const prog_topic   *topics; /* NULL: none */
    size_t              topic_count;
} prog_program;

#ifdef VERSIONS_ZSTD_LIBRARY
enum { PROG_HAS_ZSTD = 1 };
#else
enum { PROG_HAS_ZSTD = 0 };
#endif

/* >>options.c ---- */
enum { PROG_PLAIN_MAX = 4 };

/* Parse decimal digits and nothing else, min to max. The error message names `what`. */
int  prog_parse_number(const char *what, const char *text, uint64_t min, uint64_t max,
                       uint64_t *out);
/* The same with a suffix: K, M, G, T, or KiB to TiB, powers of 1024. */
int  prog_parse_size(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *out);
/* Parse the arguments of a command: options into the struct of the program, plain arguments verbatim
   into plain; missing ones are NULL. argv begins with the first argument. PROG_USAGE, with a message:
   an unknown option, an invalid value, too many or too few plain arguments. */
int  prog_arguments_parse(const prog_program *p, int command, int argc, char **argv, void *options,
                          char *plain[PROG_PLAIN_MAX]);
/* The contents of the command line: a bit for each option of the table, and the number of plain
   arguments. */
typedef struct prog_given {
    uint64_t options;
    int      plain;
} prog_given;
/* The two steps of prog_arguments_parse(): read, which may leave plain arguments NULL, and check
   that all are there. A configuration may set some in between. */
int  prog_arguments_read(const prog_program *p, int command, int argc, char **argv, void *options,
                         char *plain[PROG_PLAIN_MAX], prog_given *given);
int  prog_arguments_check(const prog_program *p, int command, char *const plain[PROG_PLAIN_MAX]);
/* Check a value and store it; not for flags and digits. what: the beginning of messages. */
int  prog_option_set(const prog_option *o, void *options, const char *what, const char *value);
bool prog_option_is_size(const prog_option *o);
/* Is the text one of these words, which are separated by spaces? */
bool prog_is_choice(const char *choices, const char *text);
/* Do both structs have the same value of an option? */
bool prog_option_same(const prog_option *o, const void *a, const void *b);
/* Where plain arguments end in the text of a command's arguments: at " -- ", or at its end. */
const char *prog_plain_end(const prog_command *c);
/* The maximum and minimum number of plain arguments of a command. */
int  prog_plain_max(const prog_command *c);
int  prog_plain_min(const prog_command *c);
/* Do these bits include the command? */
bool prog_knows(unsigned commands, size_t command);

/* >>configured.c: only in programs that link toml.cpp ---- */
/* The texts of a configuration, to which options and plain arguments point. Zero: none. */
typedef struct prog_texts {
    struct prog_text *first;
} prog_texts;
void prog_texts_free(prog_texts *t);
/* Read a TOML file with a table for each command that has keys: the long options without "--", and
   the plain arguments. The whole file is checked; values of this command that the command line did
   not give are set. Lists are appended to those of the command line. Plain arguments of the command
   line, if there are fewer than the command takes, fill those that the file does not set, in order. */
int  prog_configured(const prog_program *p, int command, const char *path, const prog_given *given,
                     void *options, char *plain[PROG_PLAIN_MAX], prog_texts *texts);

/* >>choose.c ---- */
/* Decide what the command line asks for. *command gets the index of the command in the table. Help
   and version are printed here: then *command is -1, and PROG_OK means that printing succeeded. */
int  prog_choose(const prog_program *p, int argc, char **argv, int *command);

/* >>nearest.c ---- */
/* Begin with an unknown word and offer each known one. Afterwards `found` is the closest, the first
   of several, or NULL if no known word is close enough. */
typedef struct prog_nearest {
    const char *word;
    size_t      size;
    size_t      distance; /* of found; while found is NULL: the maximum accepted */
    const char *found;
} prog_nearest;
void prog_nearest_begin(prog_nearest *n, const char *word, size_t size);
void prog_nearest_offer(prog_nearest *n, const char *candidate);

/* >>help.c, manual.c, complete.c ---- */
/* "dxup 0.3.0 (zlib 1.2.13, zstd 1.5.4, liblzma 5.4.1, no toml++)" */
void prog_print_version(const prog_program *p);
/* Help on all commands (-1), or on the command with this index. */
void prog_print_help(const prog_program *p, int command);
void prog_print_topic(const prog_topic *t);
/* The manual page, for man. */
void prog_print_manual(const prog_program *p);
/* The completion script for a shell. False: this shell is not supported. */
bool prog_print_completion(const prog_program *p, const char *shell);

#endif
