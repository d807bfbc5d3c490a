/* Decide what a command line asks for: a command, one form of help, or the version. See
   options.h. */
#include "options.h"

#include <string.h>

static bool is_help_option(const char *text)
{
    return strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0;
}

/* The index of a command, or -1. */
static int find_command(const prog_program *p, const char *name)
{
    for (size_t i = 0; i < p->command_count; i++)
        if (p->commands[i].name && !strcmp(name, p->commands[i].name)) return (int)i;
    return -1;
}

static const prog_topic *find_topic(const prog_program *p, const char *name)
{
    for (size_t i = 0; i < p->topic_count; i++)
        if (!strcmp(name, p->topics[i].name)) return &p->topics[i];
    return NULL;
}

/* helped: topics are offered, too */
static int no_command(const prog_program *p, const char *name, bool helped)
{
    prog_nearest near;
    prog_nearest_begin(&near, name, strlen(name));
    for (size_t i = 0; helped && i < p->topic_count; i++) prog_nearest_offer(&near, p->topics[i].name);
    for (size_t i = 0; i < p->command_count; i++)
        if (p->commands[i].name) prog_nearest_offer(&near, p->commands[i].name);
    return prog_fail(PROG_USAGE, "there is no command '%s'; '%s help' lists them%s%s%s", name,
                     p->name, near.found ? "; did you mean '" : "", near.found ? near.found : "",
                     near.found ? "'?" : "");
}

/* "help", "help COMMAND", "help TOPIC", "help --as FORM" */
static int help(const prog_program *p, int argc, char **argv)
{
    if (argc == 0) {
        prog_print_help(p, -1);
        return PROG_OK;
    }
    if (argc == 2 && !strcmp(argv[0], "--as")) {
        if (!strcmp(argv[1], "man")) prog_print_manual(p);
        else if (!prog_print_completion(p, argv[1]))
            return prog_fail(PROG_USAGE, "--as: '%s' is not one of man, bash, zsh, fish", argv[1]);
        return PROG_OK;
    }
    int command = argc == 1 ? find_command(p, argv[0]) : -1;
    const prog_topic *topic = argc == 1 ? find_topic(p, argv[0]) : NULL;
    if (command < 0 && !topic) return no_command(p, argv[0], true);
    if (topic) prog_print_topic(topic);
    else prog_print_help(p, command);
    return PROG_OK;
}

int prog_choose(const prog_program *p, int argc, char **argv, int *command)
{
    const bool named = p->commands[0].name != NULL;
    *command = -1;
    if (argc < 2) {
        prog_print_help(p, -1);
        return PROG_USAGE;
    }
    if (strcmp(argv[1], "help") == 0 || is_help_option(argv[1]))
        return help(p, argc - 2, argv + 2);
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
        prog_print_version(p);
        return PROG_OK;
    }
    int chosen = named ? find_command(p, argv[1]) : 0;
    if (chosen < 0) return no_command(p, argv[1], false);
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (!is_help_option(argv[i])) continue;
        prog_print_help(p, chosen);
        return PROG_OK;
    }
    *command = chosen;
    return PROG_OK;
}
