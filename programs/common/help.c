/* Help for the terminal: the version, the list of commands, one command, one topic. See options.h. */
#include "options.h"

#include <assert.h>
#include <string.h>

#ifdef VERSIONS_ZSTD_LIBRARY
#include <zstd.h>
#define ZSTD_BUILT_IN "zstd " ZSTD_VERSION_STRING
#else
#define ZSTD_BUILT_IN "no zstd"
#endif

enum { COLUMN = 22 }; /* the column where descriptions of options begin */

void prog_print_version(const prog_program *p)
{
    char line[512];
    const char *parts[] = {p->libraries ? p->libraries() : NULL, p->zstd ? ZSTD_BUILT_IN : NULL, p->tls,
                           p->toml ? p->toml() : NULL};
    const char *between = " (";
    size_t size = (size_t)snprintf(line, sizeof line, "%s %u.%u.%u", p->name, p->version >> 16, p->version >> 8 & 0xff,
                                   p->version & 0xff);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (!parts[i]) continue;
        assert(size + strlen(parts[i]) + 4 < sizeof line);
        size += (size_t)snprintf(line + size, sizeof line - size, "%s%s", between, parts[i]);
        between = ", ";
    }
    prog_say("%s%s\n", line, *between == ' ' ? "" : ")");
}

/* Print the lines of a text, each indented. at: columns already printed of the first line. */
static void say_lines(const char *text, size_t at, int indent)
{
    while (*text) {
        size_t size = strcspn(text, "\n");
        int spaces = at < (size_t)indent ? indent - (int)at : 0;
        prog_say("%*s%.*s\n", size ? spaces : 0, "", (int)size, text);
        text += size + (text[size] != 0);
        at = 0;
    }
}

static void say_option(const prog_option *o)
{
    char head[64];
    int size;
    if (o->kind == PROG_OPTION_DIGIT) size = snprintf(head, sizeof head, "  -1 .. -9");
    else size = snprintf(head, sizeof head, "  %s%s%s", o->name, o->value ? " " : "",
                         o->value ? o->value : "");
    assert(size > 0 && size < (int)sizeof head);
    prog_say("%s", head);
    if (size >= COLUMN - 1) {
        prog_say("\n");
        size = 0;
    }
    say_lines(o->help, (size_t)size, COLUMN);
}

static void say_title(const char *title)
{
    prog_say("\n");
    prog_say("%s:\n", title);
}

/* The options that a command knows. */
static void say_options(const prog_program *p, size_t command)
{
    bool any = false;
    for (size_t i = 0; i < p->option_count; i++) {
        if (!prog_knows(p->options[i].commands, command)) continue;
        if (!any) say_title("Options");
        any = true;
        say_option(&p->options[i]);
    }
}

/* command -1: those of all commands */
static void say_exits(const prog_program *p, int command)
{
    say_title("Exit status");
    for (size_t i = 0; i < p->exit_count; i++) {
        if (command < 0 || prog_knows(p->exits[i].commands, (size_t)command)) {
            prog_say("  %d", p->exits[i].status);
            say_lines(p->exits[i].meaning, 3, 5);
        }
    }
}

static void say_usage(const prog_program *p, const prog_command *c, const char *before,
                      const char *options)
{
    const char *end = prog_plain_end(c);
    prog_say("%s%s%s%s%s%.*s%s%s", before, p->name, c->name ? " " : "", c->name ? c->name : "",
             *c->arguments ? " " : "", (int)(end - c->arguments), c->arguments, options, end);
}

static void say_command(const prog_program *p, size_t command)
{
    const prog_command *c = &p->commands[command];
    say_usage(p, c, "usage: ", " [OPTION ...]");
    prog_say("\n\n");
    prog_say("%s.\n", c->summary);
    if (c->details) {
        prog_say("\n");
        say_lines(c->details, 0, 0);
    }
    say_options(p, command);
    say_title("Examples");
    say_lines(c->examples, 0, 2);
    say_exits(p, (int)command);
}

void prog_print_help(const prog_program *p, int command)
{
    if (command >= 0 || !p->commands[0].name) {
        say_command(p, command >= 0 ? (size_t)command : 0);
        return;
    }
    say_lines(p->about, 0, 0);
    prog_say("\n");
    for (size_t i = 0; i < p->command_count; i++) {
        say_usage(p, &p->commands[i], "  ", "");
        prog_say("\n");
        prog_say("      %s\n", p->commands[i].summary);
    }
    for (size_t i = 0; i < p->topic_count; i++) {
        if (!i) say_title("Topics");
        prog_say("  %-12s%s\n", p->topics[i].name, p->topics[i].summary);
    }
    say_exits(p, -1);
    prog_say("\n");
    prog_say("'%s help COMMAND' explains a command and its options%s,\n", p->name,
             p->topics ? ", 'help TOPIC' a topic" : "");
    prog_say("'%s -V' prints the version.\n", p->name);
}

void prog_print_topic(const prog_topic *t)
{
    prog_say("%s.\n", t->summary);
    prog_say("\n");
    say_lines(t->text, 0, 0);
}
