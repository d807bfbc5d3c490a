/* Completion for bash, zsh and fish, written from the table of a program. See options.h.

   All three complete the same words: the command, its options, option values with a list of choices or
   hints, what `help` explains, and plain arguments by their names in the table. STORE and DIR complete to
   directories, NAME (and NAME@VERSION etc.) to the output of `dxup ls STORE`, MOMENT to `latest`,
   `consistent` and the newest versions of STORE, PATH behind MOMENT to the entries of that version, all
   others to files. What follows `--` is a program and its arguments. fish has no PATH. */
#include "options.h"

#include <assert.h>
#include <string.h>

/* >>arguments ------------------------------------------------------------ */
typedef enum word_kind {
    WORD_FILE,
    WORD_FOLDER,
    WORD_NAME,
    WORD_MOMENT,
    WORD_INSIDE, /* a path in the version of MOMENT */
    WORD_FREE
} word_kind;

/* The n-th word of the arguments of a command, or NULL; *size without brackets. */
static const char *word(const prog_command *c, int n, size_t *size)
{
    const char *at = c->arguments;
    for (; n && *at; at++) n -= *at == ' ';
    if (!*at) return NULL;
    while (*at == '[') at++;
    *size = strcspn(at, " ]");
    return at;
}

static bool begins(const char *text, size_t size, const char *with)
{
    return size >= strlen(with) && !strncmp(text, with, strlen(with));
}

static word_kind kind_of(const prog_command *c, const char *text, size_t size)
{
    if (begins(text, size, "MOMENT")) return WORD_MOMENT;
    if (begins(text, size, "PATH") && strstr(c->arguments, "MOMENT")) return WORD_INSIDE;
    if (begins(text, size, "STORE") || begins(text, size, "DIR")) return WORD_FOLDER;
    if (begins(text, size, "NAME")) return WORD_NAME;
    if (begins(text, size, "ADDR") || begins(text, size, "TAG") || begins(text, size, "PORT"))
        return WORD_FREE;
    return WORD_FILE;
}

static bool takes(const prog_program *p, word_kind kind)
{
    size_t size;
    const char *text;
    for (size_t i = 0; i < p->command_count; i++)
        for (int n = 0; (text = word(&p->commands[i], n, &size)) != NULL; n++)
            if (kind_of(&p->commands[i], text, size) == kind) return true;
    return false;
}

static bool takes_program(const prog_command *c) { return *prog_plain_end(c) != 0; }

/* The values that an option may have, or that it often has. */
static const char *values_of(const prog_option *o)
{
    if (o->choices || o->hints) return o->choices ? o->choices : o->hints;
    return o->value && !strcmp(o->value, "MOMENT") ? "latest consistent" : NULL;
}

/* Has an option before it the same name? Then a command has its own help for it, not its own values. */
static bool is_repeated(const prog_program *p, size_t option)
{
    for (size_t i = 0; i < option; i++)
        if (!strcmp(p->options[i].name, p->options[option].name)) return true;
    return false;
}

/* What `help` explains, between spaces. */
static void say_helped(const prog_program *p)
{
    for (size_t i = 0; i < p->command_count; i++) prog_say("%s ", p->commands[i].name);
    for (size_t i = 0; i < p->topic_count; i++) prog_say("%s ", p->topics[i].name);
    prog_say("--as");
}

/* The options of a command between quotes, as one word each. */
static void say_options(const prog_program *p, size_t command)
{
    for (size_t i = 0; i < p->option_count; i++) {
        const prog_option *o = &p->options[i];
        if (!prog_knows(o->commands, command) || o->kind == PROG_OPTION_DIGIT) continue;
        prog_say("%s ", o->name);
    }
    prog_say("--help");
}

/* The first line of a help text, for shells that show one next to each word. Quotes are dropped,
   since they would end the string. */
static void say_first_line(const char *text)
{
    for (size_t i = 0; text[i] && text[i] != '\n'; i++) {
        assert(text[i] != '\\');
        if (text[i] == '\'') prog_say("'\\''");
        else prog_say("%c", text[i]);
    }
}

/* >>bash --------------------------------------------------------------- */
/* One arm of `case $plain`: how the plain arguments of a command are completed. */
static void bash_words(const prog_command *c)
{
    size_t size;
    const char *text;
    prog_say("        case $plain in\n");
    for (int n = 0; (text = word(c, n, &size)) != NULL; n++) {
        static const char *const how[] = {
            [WORD_FILE] = "compgen -f -- \"$word\"",
            [WORD_FOLDER] = "compgen -d -- \"$word\"",
            [WORD_NAME] = "_dxup_names \"$store\" \"$word\"",
            [WORD_MOMENT] = "_dxkeep_moments \"$store\" \"$word\"",
            [WORD_INSIDE] = "_dxkeep_paths \"$store\" \"$moment\" \"$word\"",
            [WORD_FREE] = ":",
        };
        prog_say("        %d) mapfile -t COMPREPLY < <(%s) ;;\n", n, how[kind_of(c, text, size)]);
    }
    prog_say("        esac\n");
}

/* What follows `--`: a command, then files. */
static void bash_program(void)
{
    prog_say("        case $program in\n");
    prog_say("        0) ;;\n");
    prog_say("        1) mapfile -t COMPREPLY < <(compgen -c -- \"$word\") ;;\n");
    prog_say("        *) mapfile -t COMPREPLY < <(compgen -f -- \"$word\") ;;\n");
    prog_say("        esac\n");
    prog_say("        ((program == 0)) || return\n");
}

static void bash_commands(const prog_program *p)
{
    for (size_t i = 0; i < p->command_count; i++) {
        prog_say("    %s)\n", p->commands[i].name ? p->commands[i].name : "*");
        prog_say("        options='");
        say_options(p, i);
        prog_say("'\n");
        prog_say("        [[ $word == -* ]] || {\n");
        bash_words(&p->commands[i]);
        prog_say("        }\n");
        if (takes_program(&p->commands[i])) bash_program();
        prog_say("        ;;\n");
    }
}

/* One arm per option with a value. Without choices, the default (files) applies. */
static void bash_values(const prog_program *p)
{
    for (size_t i = 0; i < p->option_count; i++) {
        const prog_option *o = &p->options[i];
        if (!o->value || is_repeated(p, i)) continue;
        prog_say("    %s)\n", o->name);
        prog_say("        mapfile -t COMPREPLY < <(compgen -W '%s' -- \"$word\")\n",
                 values_of(o) ? values_of(o) : "");
        prog_say("        return ;;\n");
    }
}

/* Count the plain arguments before the cursor, without the values of options. */
static void bash_count(const prog_program *p)
{
    prog_say("    for ((i = %d; i < ${#words[@]} - 1; i++)); do\n", p->commands[0].name ? 2 : 1);
    prog_say("        case ${words[i]} in\n");
    prog_say("        ");
    for (size_t i = 0; i < p->option_count; i++)
        if (p->options[i].value && !is_repeated(p, i)) prog_say("%s | ", p->options[i].name);
    prog_say("--as) ((i++)) ;;\n");
    prog_say("        --)\n");
    prog_say("            program=$((${#words[@]} - 1 - i))\n");
    prog_say("            break ;;\n");
    prog_say("        -*) ;;\n");
    prog_say("        *)\n");
    prog_say("            case $((plain++)) in\n");
    prog_say("            0) store=${words[i]} ;;\n");
    prog_say("            1) moment=${words[i]} ;;\n");
    prog_say("            esac ;;\n");
    prog_say("        esac\n");
    prog_say("    done\n");
}

static void bash_first(const prog_program *p)
{
    prog_say("    if ((${#words[@]} == 2)); then\n");
    prog_say("        mapfile -t COMPREPLY < <(compgen -W '");
    for (size_t i = 0; i < p->command_count; i++) prog_say("%s ", p->commands[i].name);
    prog_say("help --version' -- \"$word\")\n");
    prog_say("        return\n");
    prog_say("    fi\n");
    prog_say("    if [[ ${words[1]} == help ]]; then\n");
    prog_say("        ((${#words[@]} > 3)) || mapfile -t COMPREPLY < <(compgen -W '");
    say_helped(p);
    prog_say("' -- \"$word\")\n");
    prog_say("        return\n");
    prog_say("    fi\n");
}

/* The newest versions of a store, and the paths of one. A line of `dxkeep ls` is mode, size, day, time and
   path. */
#define VERSIONS_OF(store) \
    "dxkeep log " store " --limit 20 --json 2>/dev/null | sed -n 's/^{\"version\":\\([0-9]*\\).*/\\1/p'"
#define PATHS_OF(store, moment, folder) \
    "dxkeep ls " store " " moment " " folder " 2>/dev/null | sed 's/^[^ ]* *[^ ]* *[^ ]* *[^ ]*  //'"

static void bash_moments(void)
{
    prog_say("_dxkeep_moments() {\n");
    prog_say("    compgen -W \"latest consistent $(%s)\" -- \"$2\"\n", VERSIONS_OF("\"$1\""));
    prog_say("}\n");
    prog_say("_dxkeep_paths() {\n");
    prog_say("    local path folder=\n");
    prog_say("    [[ $3 != */* ]] || folder=${3%%/*}\n");
    prog_say("    %s |\n", PATHS_OF("\"$1\"", "\"$2\"", "${folder:+\"$folder\"}"));
    prog_say("        while IFS= read -r path; do\n");
    prog_say("            [[ $path != \"$3\"* ]] || printf '%%s\\n' \"$path\"\n");
    prog_say("        done\n");
    prog_say("}\n");
}

/* The names in a store with the prefix typed, for programs whose commands take a name. */
static void bash_names(void)
{
    prog_say("_dxup_names() {\n");
    prog_say("    local name\n");
    prog_say("    dxup ls \"$1\" 2>/dev/null | while IFS= read -r name; do\n");
    prog_say("        [[ $name != \"$2\"* ]] || printf '%%s\\n' \"${name%%%% -> *}\"\n");
    prog_say("    done\n");
    prog_say("}\n");
}

/* bash also breaks words at @ and colons. The script therefore splits the line at spaces again, and
   finally removes from each reply the prefix that bash does not count as part of the word. */
static void bash(const prog_program *p)
{
    prog_say("# Completion of %s for bash: made by `%s help --as bash`.\n", p->name, p->name);
    if (takes(p, WORD_NAME)) bash_names();
    if (takes(p, WORD_MOMENT)) bash_moments();
    prog_say("_%s() {\n", p->name);
    prog_say("    local line=${COMP_LINE:0:COMP_POINT}\n");
    prog_say("    local words word last plain=0 store= moment= program=0 options= i\n");
    prog_say("    read -ra words <<<\"$line\"\n");
    prog_say("    [[ $line != *' ' ]] || words+=('')\n");
    prog_say("    word=${words[${#words[@]} - 1]} last=${words[${#words[@]} - 2]}\n");
    prog_say("    COMPREPLY=()\n");
    if (p->commands[0].name) bash_first(p);
    bash_count(p);
    prog_say("    ((program)) || case $last in\n");
    bash_values(p);
    prog_say("    esac\n");
    prog_say("    case ${words[1]} in\n");
    bash_commands(p);
    prog_say("    esac\n");
    prog_say("    [[ $word != -* ]] ||\n");
    prog_say("        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")\n");
    prog_say("    COMPREPLY=(\"${COMPREPLY[@]#\"${word%%\"$2\"}\"}\")\n");
    prog_say("}\n");
    prog_say("complete -o filenames -F _%s %s\n", p->name, p->name);
}

/* >>zsh ---------------------------------------------------------------- */
/* Brackets and colons are special in _arguments. */
static void zsh_text(const char *text)
{
    for (size_t i = 0; text[i] && text[i] != '\n'; i++) {
        if (text[i] == '\'') prog_say("'\\''");
        else if (strchr("[]:", text[i])) prog_say("\\%c", text[i]);
        else prog_say("%c", text[i]);
    }
}

static void zsh_option(const prog_option *o)
{
    prog_say("            '%s%s[", o->kind == PROG_OPTION_LIST ? "*" : "", o->name);
    zsh_text(o->help);
    prog_say("]");
    if (o->value) {
        prog_say(":");
        zsh_text(o->value);
        prog_say(":");
        if (values_of(o)) prog_say("(%s)", values_of(o));
    }
    prog_say("' \\\n");
}

static void zsh_command(const prog_program *p, size_t command)
{
    static const char *const how[] = {[WORD_FILE] = "_files",
                                      [WORD_FOLDER] = "_files -/",
                                      [WORD_NAME] = "_dxup_names",
                                      [WORD_MOMENT] = "_dxkeep_moments",
                                      [WORD_INSIDE] = "_dxkeep_paths",
                                      [WORD_FREE] = " "};
    const prog_command *c = &p->commands[command];
    const char *text;
    size_t size;
    prog_say("        _arguments%s \\\n", takes_program(c) ? " -S" : "");
    for (size_t i = 0; i < p->option_count; i++)
        if (prog_knows(p->options[i].commands, command) && p->options[i].kind != PROG_OPTION_DIGIT)
            zsh_option(&p->options[i]);
    for (int n = 0; (text = word(c, n, &size)) != NULL; n++)
        prog_say("            '%d:%.*s:%s' \\\n", n + 1, (int)strcspn(text, "@:[] "), text,
                 how[kind_of(c, text, size)]);
    if (takes_program(c)) prog_say("            '*:::program:_normal' \\\n");
    prog_say("            '--help[explain it]'\n");
}

/* The names in a store, for programs whose commands take a name. */
static void zsh_names(void)
{
    prog_say("_dxup_names() {\n");
    prog_say("    local -a names\n");
    prog_say("    names=(${${(f)\"$(dxup ls \"${words[2]}\" 2>/dev/null)\"}%%%% -> *})\n");
    prog_say("    compadd -a names\n");
    prog_say("}\n");
}

static void zsh_moments(void)
{
    prog_say("_dxkeep_moments() {\n");
    prog_say("    local -a versions\n");
    prog_say("    versions=(latest consistent ${(f)\"$(%s)\"})\n", VERSIONS_OF("\"${words[2]}\""));
    prog_say("    compadd -V versions -a versions\n");
    prog_say("}\n");
    prog_say("_dxkeep_paths() {\n");
    prog_say("    local -a paths\n");
    prog_say("    local folder=\n");
    prog_say("    [[ $PREFIX != */* ]] || folder=${PREFIX%%/*}\n");
    prog_say("    paths=(${(f)\"$(%s)\"})\n",
             PATHS_OF("\"${words[2]}\"", "\"${words[3]}\"", "${folder:+\"$folder\"}"));
    prog_say("    compadd -a paths\n");
    prog_say("}\n");
}

static void zsh_first(const prog_program *p)
{
    prog_say("    local -a commands=(\n");
    for (size_t i = 0; i < p->command_count; i++) {
        prog_say("        '%s:", p->commands[i].name);
        zsh_text(p->commands[i].summary);
        prog_say("'\n");
    }
    prog_say("        'help:explain a command'\n");
    prog_say("    )\n");
    prog_say("    if ((CURRENT == 2)); then\n");
    prog_say("        _describe command commands\n");
    prog_say("        return\n");
    prog_say("    fi\n");
    prog_say("    shift words\n");
    prog_say("    ((CURRENT--))\n");
    prog_say("    if [[ ${words[1]} == help ]]; then\n");
    prog_say("        ((CURRENT > 2)) || compadd -- ");
    say_helped(p);
    prog_say("\n");
    prog_say("        return\n");
    prog_say("    fi\n");
}

static void zsh(const prog_program *p)
{
    const bool named = p->commands[0].name != NULL;
    prog_say("#compdef %s\n", p->name);
    prog_say("# Completion of %s for zsh: made by `%s help --as zsh`.\n", p->name, p->name);
    if (takes(p, WORD_NAME)) zsh_names();
    if (takes(p, WORD_MOMENT)) zsh_moments();
    prog_say("_%s() {\n", p->name);
    if (named) zsh_first(p);
    if (named) prog_say("    case ${words[1]} in\n");
    for (size_t i = 0; i < p->command_count; i++) {
        if (named) prog_say("    %s)\n", p->commands[i].name);
        zsh_command(p, i);
        if (named) prog_say("        ;;\n");
    }
    if (named) prog_say("    esac\n");
    prog_say("}\n");
    prog_say("_%s \"$@\"\n", p->name);
}

/* >>fish --------------------------------------------------------------- */
static void fish_condition(const prog_program *p, size_t command)
{
    if (p->commands[command].name)
        prog_say(" -n '__fish_seen_subcommand_from %s'", p->commands[command].name);
}

static void fish_option(const prog_program *p, size_t command, const prog_option *o)
{
    prog_say("complete -c %s", p->name);
    fish_condition(p, command);
    prog_say(" -l %s", o->name + 2);
    if (o->value) prog_say(" -x");
    if (values_of(o)) prog_say(" -a '%s'", values_of(o));
    prog_say(" -d '");
    say_first_line(o->help);
    prog_say("'\n");
}

static void fish(const prog_program *p)
{
    const bool named = p->commands[0].name != NULL;
    prog_say("# Completion of %s for fish: made by `%s help --as fish`.\n", p->name, p->name);
    for (size_t i = 0; named && i < p->command_count; i++) {
        prog_say("complete -c %s -f -n __fish_use_subcommand -a %s -d '", p->name,
                 p->commands[i].name);
        say_first_line(p->commands[i].summary);
        prog_say("'\n");
    }
    for (size_t i = 0; i < p->command_count; i++) {
        size_t size;
        const char *text;
        for (size_t o = 0; o < p->option_count; o++)
            if (prog_knows(p->options[o].commands, i) && p->options[o].kind != PROG_OPTION_DIGIT)
                fish_option(p, i, &p->options[o]);
        for (int n = 0; (text = word(&p->commands[i], n, &size)) != NULL; n++) {
            const word_kind kind = kind_of(&p->commands[i], text, size);
            if (kind != WORD_NAME && kind != WORD_MOMENT) continue;
            prog_say("complete -c %s", p->name);
            fish_condition(p, i);
            if (kind == WORD_MOMENT) prog_say(" -a 'latest consistent'\n");
            else prog_say(" -a '(dxup ls (commandline -opc)[3] 2>/dev/null | "
                          "string replace -r \" -> .*\" \"\")'\n");
        }
    }
    if (!named) return;
    prog_say("complete -c %s -x -n '__fish_seen_subcommand_from help' -a '", p->name);
    say_helped(p);
    prog_say("'\n");
}

bool prog_print_completion(const prog_program *p, const char *shell)
{
    if (!strcmp(shell, "bash")) bash(p);
    else if (!strcmp(shell, "zsh")) zsh(p);
    else if (!strcmp(shell, "fish")) fish(p);
    else return false;
    return true;
}
