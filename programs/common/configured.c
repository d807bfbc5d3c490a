/* Options and plain arguments from a TOML file. See options.h.

   Every value goes through the check that the same option has on the command line; only the beginning
   of the message differs: FILE:LINE: KEY. */
#include "options.h"

#include "toml.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef struct prog_text {
    struct prog_text *next;
    char              bytes[];
} prog_text;

void prog_texts_free(prog_texts *t)
{
    while (t->first) {
        prog_text *text = t->first;
        t->first = text->next;
        free(text);
    }
}

static char *keep(prog_texts *t, const char *bytes)
{
    const size_t size = strlen(bytes) + 1;
    prog_text *text = prog_alloc(sizeof *text + size);
    memcpy(text->bytes, bytes, size);
    text->next = t->first;
    t->first = text;
    return text->bytes;
}

#ifdef PROG_TOML

enum { PLACE_SIZE = 512 };

typedef struct reading {
    const prog_program *program;
    int                 command;
    const char         *path;
    const prog_given   *given;
    void               *options;
    void               *scratch; /* takes the values that count for nothing */
    prog_texts         *texts;
    char               *plain[PROG_PLAIN_MAX]; /* of the file */
} reading;

/* >>messages ------------------------------------------------------------- */
static char *place_of(const reading *r, const prog_toml_value *v, char out[PLACE_SIZE])
{
    (void)snprintf(out, PLACE_SIZE, "%s:%u: %s", r->path, (unsigned)v->line, v->keys[v->depth - 1]);
    return out;
}

static int refuse(const reading *r, const prog_toml_value *v, const char *why)
{
    char place[PLACE_SIZE];
    return prog_fail(PROG_USAGE, "%s: %s", place_of(r, v, place), why);
}

/* The n-th word of a list of words, or NULL. */
static const char *word(const char *words, int n, size_t *size)
{
    for (; n && *words; words++) n -= *words == ' ';
    *size = strcspn(words, " ");
    return *size ? words : NULL;
}

static int no_table(const reading *r, const prog_toml_value *v)
{
    char list[200];
    size_t used = 0;
    for (size_t i = 0; i < r->program->command_count; i++) {
        const prog_command *c = &r->program->commands[i];
        if (!c->keys) continue;
        const int size = snprintf(list + used, sizeof list - used, "%s[%s]", used ? ", " : "", c->name);
        assert(size > 0 && used + (size_t)size < sizeof list);
        used += (size_t)size;
    }
    return prog_fail(PROG_USAGE, "%s:%u: %s: %s; the tables are %s", r->path, (unsigned)v->line,
                     v->keys[0], v->depth == 1 && v->kind != PROG_TOML_EMPTY
                                     ? "a key must be in the table of a command" : "no such table", list);
}

static int no_key(const reading *r, const prog_toml_value *v, size_t command)
{
    const prog_program *p = r->program;
    const prog_command *c = &p->commands[command];
    char place[PLACE_SIZE], plain[PROG_PLAIN_MAX][32];
    const char *text;
    size_t size;
    prog_nearest near;
    prog_nearest_begin(&near, v->keys[1], strlen(v->keys[1]));
    for (size_t i = 0; i < p->option_count; i++)
        if (prog_knows(p->options[i].commands, command)) prog_nearest_offer(&near, p->options[i].name + 2);
    for (int n = 0; n < PROG_PLAIN_MAX && (text = word(c->keys, n, &size)) != NULL; n++) {
        (void)snprintf(plain[n], sizeof plain[n], "%.*s", (int)size, text);
        prog_nearest_offer(&near, plain[n]);
    }
    return prog_fail(PROG_USAGE, "%s: no such key in [%s]; the keys are the options of '%s help %s' without "
                                 "--, and: %s%s%s%s", place_of(r, v, place), c->name, p->name, c->name,
                     c->keys, near.found ? "; did you mean " : "", near.found ? near.found : "",
                     near.found ? "?" : "");
}

/* >>values --------------------------------------------------------------- */
static int parse_flag(const reading *r, const prog_toml_value *v, const prog_option *o, void *options)
{
    if (v->kind != PROG_TOML_BOOL) return refuse(r, v, "must be true or false");
    *(bool *)((char *)options + o->at) = v->number != 0;
    return PROG_OK;
}

static int parse_option(const reading *r, const prog_toml_value *v, const prog_option *o, void *options)
{
    char number[32], place[PLACE_SIZE];
    const bool is_number = o->kind == PROG_OPTION_NUMBER;
    if (!strcmp(o->name, "--config")) return refuse(r, v, "must be on the command line");
    if (v->kind == PROG_TOML_EMPTY && o->kind == PROG_OPTION_LIST) return PROG_OK;
    if (v->listed[1] && o->kind != PROG_OPTION_LIST) return refuse(r, v, "must not be a list");
    if (o->kind == PROG_OPTION_FLAG) return parse_flag(r, v, o, options);
    const bool size_text = is_number && prog_option_is_size(o) && v->kind == PROG_TOML_TEXT;
    if (is_number && !size_text && v->kind != PROG_TOML_INTEGER)
        return refuse(r, v, prog_option_is_size(o) ? "must be an integer, or a string such as \"64M\""
                                                   : "must be an integer");
    if (!is_number && v->kind != PROG_TOML_TEXT)
        return refuse(r, v, o->kind == PROG_OPTION_LIST ? "must be a list of strings" : "must be a string");
    if (!is_number && !*v->text) return refuse(r, v, "must not be empty");
    (void)snprintf(number, sizeof number, "%lld", (long long)v->number);
    const char *text = v->kind == PROG_TOML_TEXT ? keep(r->texts, v->text) : number;
    return prog_option_set(o, options, place_of(r, v, place), text);
}

static int parse_plain(reading *r, const prog_toml_value *v, bool counts, int n)
{
    if (v->kind != PROG_TOML_TEXT || v->listed[1]) return refuse(r, v, "must be a string");
    if (!*v->text) return refuse(r, v, "must not be empty");
    if (counts) r->plain[n] = keep(r->texts, v->text);
    return PROG_OK;
}

static int parse_value(void *user, const prog_toml_value *v)
{
    reading *r = user;
    const prog_program *p = r->program;
    const char *text;
    size_t command = 0, size;
    while (command < p->command_count &&
           (!p->commands[command].keys || strcmp(p->commands[command].name, v->keys[0]) != 0))
        command++;
    if (command == p->command_count) return no_table(r, v);
    if (v->listed[0]) return refuse(r, v, "must be in one table, not in a list of tables");
    if (v->depth == 1)
        return v->kind == PROG_TOML_EMPTY ? PROG_OK : refuse(r, v, "must be a table");
    const bool counts = command == (size_t)r->command;
    for (size_t i = 0; i < p->option_count; i++) {
        const prog_option *o = &p->options[i];
        if (!prog_knows(o->commands, command) || strcmp(o->name + 2, v->keys[1]) != 0) continue;
        if (v->depth > 2) return refuse(r, v, "must not be a table");
        const bool given = o->kind != PROG_OPTION_LIST && r->given->options >> i & 1;
        return parse_option(r, v, o, counts && !given ? r->options : r->scratch);
    }
    for (int n = 0; (text = word(p->commands[command].keys, n, &size)) != NULL; n++)
        if (strlen(v->keys[1]) == size && !memcmp(v->keys[1], text, size))
            return v->depth > 2 ? refuse(r, v, "must not be a table") : parse_plain(r, v, counts, n);
    return no_key(r, v, command);
}

/* >>plain arguments -------------------------------------------------------- */
/* Those of the command line win; if they are fewer than the command takes, they are those that the file
   does not set. */
static int merge_plain(const reading *r, char *plain[PROG_PLAIN_MAX])
{
    const prog_command *c = &r->program->commands[r->command];
    const int most = prog_plain_max(c);
    int used = 0;
    if (r->given->plain == most) return PROG_OK;
    char *given[PROG_PLAIN_MAX];
    memcpy(given, plain, sizeof given);
    for (int i = 0; i < most; i++) plain[i] = r->plain[i] ? r->plain[i] : given[used++];
    if (used >= r->given->plain) return PROG_OK;
    return prog_fail(PROG_USAGE, "unexpected argument '%s': %s sets the others; give all of %s, or those "
                                 "that it does not set", given[used], r->path, c->arguments);
}

int prog_configured(const prog_program *p, int command, const char *path, const prog_given *given,
                    void *options, char *plain[PROG_PLAIN_MAX], prog_texts *texts)
{
    reading r = {.program = p, .command = command, .path = path, .given = given, .options = options,
                 .texts = texts};
    char message[256] = "";
    uint32_t line = 0;
    char *document;
    size_t size, end = 0;
    for (size_t i = 0; i < p->option_count; i++)
        if (p->options[i].at + p->options[i].size > end) end = p->options[i].at + p->options[i].size;
    int status = prog_toml_load("", path, &document, &size);
    if (!status) {
        r.scratch = prog_alloc(end + sizeof(prog_list));
        memset(r.scratch, 0, end + sizeof(prog_list));
        status = prog_toml_read(document, size, parse_value, &r, &line, message, sizeof message);
        if (status == -1) status = prog_fail(PROG_USAGE, "%s:%u: %s", path, (unsigned)line, message);
        free(r.scratch);
    }
    free(document);
    return status ? status : merge_plain(&r, plain);
}

#else

int prog_configured(const prog_program *p, int command, const char *path, const prog_given *given,
                    void *options, char *plain[PROG_PLAIN_MAX], prog_texts *texts)
{
    (void)command;
    (void)given;
    (void)options;
    (void)plain;
    (void)texts;
    (void)keep;
    return prog_fail(PROG_SYSTEM, "%s cannot be read: this %s was built without toml++", path, p->name);
}

#endif
