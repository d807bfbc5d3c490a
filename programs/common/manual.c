/* The manual page of a program, in the language of man(7). See options.h. */
#include "options.h"

#include <assert.h>
#include <string.h>

/* >>roff ---------------------------------------------------------------
   A line that begins with a dot or an apostrophe is a request, a backslash begins an escape, and a
   minus may become a hyphen that nobody can search for or paste. So text goes through say_text(),
   and requests are written by the functions below alone. */
enum { TEXT_MAX = 512 };

static void say_text(const char *text, size_t size)
{
    char line[TEXT_MAX];
    size_t used = 0;
    assert(size * 2 + 3 < sizeof line);
    if (size && (*text == '.' || *text == '\'')) {
        memcpy(line, "\\&", 2);
        used = 2;
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\\' || text[i] == '-') line[used++] = '\\';
        line[used++] = text[i] == '\\' ? 'e' : text[i];
    }
    prog_say("%.*s", (int)used, line);
}

/* Keep the line breaks of the table, or with fill let man break lines. */
static void say_lines(const char *text, bool fill)
{
    if (!fill) prog_say(".nf\n");
    while (*text) {
        size_t size = strcspn(text, "\n");
        if (size) {
            say_text(text, size);
            prog_say("\n");
        } else {
            prog_say(".PP\n");
        }
        text += size + (text[size] != 0);
    }
    if (!fill) prog_say(".fi\n");
}

/* Let man break lines, except those that begin with a space. */
static void say_topic_lines(const char *text)
{
    bool kept = false;
    while (*text) {
        const size_t size = strcspn(text, "\n");
        if (size && kept != (*text == ' ')) {
            kept = !kept;
            prog_say(kept ? ".nf\n" : ".fi\n");
        }
        if (size) {
            say_text(text, size);
            prog_say("\n");
        } else {
            prog_say(".PP\n");
        }
        text += size + (text[size] != 0);
    }
    if (kept) prog_say(".fi\n");
}

static void say_section(const char *title) { prog_say(".SH %s\n", title); }

/* A paragraph with a hanging head: a bold word and the name of its value. */
static void say_item(const char *head, const char *value)
{
    prog_say(".TP\n");
    prog_say("\\fB");
    say_text(head, strlen(head));
    prog_say("\\fR");
    if (value) {
        prog_say(" \\fI");
        say_text(value, strlen(value));
        prog_say("\\fR");
    }
    prog_say("\n");
}

/* >>page --------------------------------------------------------------- */
static void say_usage(const prog_program *p, const prog_command *c)
{
    prog_say("\\fB%s%s%s\\fR ", p->name, c->name ? " " : "", c->name ? c->name : "");
    const char *end = prog_plain_end(c);
    say_text(c->arguments, (size_t)(end - c->arguments));
    prog_say(" [\\fIoption\\fR ...]");
    say_text(end, strlen(end));
    prog_say("\n");
}

static void say_options(const prog_program *p, size_t command)
{
    for (size_t i = 0; i < p->option_count; i++) {
        const prog_option *o = &p->options[i];
        if (!prog_knows(o->commands, command)) continue;
        say_item(o->kind == PROG_OPTION_DIGIT ? "-1 .. -9" : o->name, o->value);
        say_lines(o->help, true);
    }
}

static void say_command(const prog_program *p, size_t command)
{
    const prog_command *c = &p->commands[command];
    if (c->name) {
        prog_say(".SS ");
        say_usage(p, c);
    }
    say_text(c->summary, strlen(c->summary));
    prog_say(".\n");
    if (c->details) {
        prog_say(".PP\n");
        say_lines(c->details, true);
    }
    say_options(p, command);
}

/* The commands and options that choose.c adds to the table. */
static void say_help(const prog_program *p)
{
    if (p->commands[0].name) {
        prog_say(".SS \\fB%s help\\fR [%s]\n", p->name, p->topics ? "COMMAND | TOPIC" : "COMMAND");
        prog_say("Explain all commands, or one with its options.\n");
    }
    say_item("-h, --help", NULL);
    prog_say(p->commands[0].name ? "the same; after a command, about that command\n"
                                 : "explain the options and exit\n");
    say_item("-V, --version", NULL);
    prog_say("print the version and exit\n");
}

/* Exit statuses and their meanings, over all commands. */
static void say_exits(const prog_program *p)
{
    say_section("EXIT STATUS");
    for (size_t i = 0; i < p->exit_count; i++) {
        char status[16];
        snprintf(status, sizeof status, "%d", p->exits[i].status);
        say_item(status, NULL);
        say_lines(p->exits[i].meaning, true);
    }
}

static void upper(const char *text, char *out, size_t room)
{
    const size_t size = strlen(text);
    assert(size < room);
    for (size_t i = 0; i <= size; i++)
        out[i] = text[i] >= 'a' && text[i] <= 'z' ? (char)(text[i] - 32) : text[i];
    (void)room;
}

static void say_topics(const prog_program *p)
{
    char title[32];
    for (size_t i = 0; i < p->topic_count; i++) {
        upper(p->topics[i].name, title, sizeof title);
        say_section(title);
        say_topic_lines(p->topics[i].text);
    }
}

void prog_print_manual(const prog_program *p)
{
    char name[32];
    upper(p->name, name, sizeof name);
    prog_say(".TH %s 1 \"\" \"dx %u.%u.%u\" \"User Commands\"\n", name, p->version >> 16,
             p->version >> 8 & 0xff, p->version & 0xff);
    say_section("NAME");
    prog_say("%s \\- %s\n", p->name, p->summary);
    say_section("SYNOPSIS");
    for (size_t i = 0; i < p->command_count; i++) {
        if (i) prog_say(".br\n");
        say_usage(p, &p->commands[i]);
    }
    say_section("DESCRIPTION");
    say_lines(p->about, true);
    if (p->commands[0].name) say_section("COMMANDS");
    else say_section("OPTIONS");
    for (size_t i = 0; i < p->command_count; i++) say_command(p, i);
    say_help(p);
    say_topics(p);
    say_exits(p);
    say_section("EXAMPLES");
    for (size_t i = 0; i < p->command_count; i++) {
        if (i) prog_say(".PP\n");
        say_lines(p->commands[i].examples, false);
    }
}
