/* Parse the command line by the table of a program. See options.h. */
#include "options.h"

#include "common.h"

#include <assert.h>
#include <string.h>

/* Parse digits only, no sign or spaces. False also if the value overflows. */
static bool read_digits(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    if (!*text) return false;
    for (; *text; text++) {
        unsigned digit = (unsigned)(unsigned char)*text - '0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10) return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

int prog_parse_number(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    assert(min <= max);
    if (read_digits(text, out) && *out >= min && *out <= max) return PROG_OK;
    return prog_fail(PROG_USAGE, "%s: '%s' is not a number from %llu to %llu", what, text,
                     (unsigned long long)min, (unsigned long long)max);
}

/* Parse digits and one of the suffixes K, M, G, T, or KiB to TiB: powers of 1024. */
static bool read_size(const char *text, uint64_t *out)
{
    char digits[32];
    static const char suffixes[] = "KMGT";
    const size_t length = strspn(text, "0123456789");
    const char *suffix = text[length] ? strchr(suffixes, text[length]) : NULL;
    if (length >= sizeof digits) return false;
    memcpy(digits, text, length);
    digits[length] = 0;
    if (!read_digits(digits, out)) return false;
    if (!text[length]) return true;
    if (!suffix || (text[length + 1] && strcmp(text + length + 1, "iB") != 0)) return false;
    const unsigned bits = 10 * (unsigned)(suffix - suffixes + 1);
    if (*out > UINT64_MAX >> bits) return false;
    *out <<= bits;
    return true;
}

int prog_parse_size(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    assert(min <= max);
    if (read_size(text, out) && *out >= min && *out <= max) return PROG_OK;
    return prog_fail(PROG_USAGE, "%s: '%s' is not a size from %llu to %llu bytes, such as 64M", what,
                     text, (unsigned long long)min, (unsigned long long)max);
}

/* >>table -------------------------------------------------------------- */
bool prog_knows(unsigned commands, size_t command)
{
    assert(command < 32);
    return !commands || commands >> command & 1;
}

const char *prog_plain_end(const prog_command *c)
{
    const char *end = strstr(c->arguments, " -- ");
    return end ? end : c->arguments + strlen(c->arguments);
}

int prog_plain_max(const prog_command *c)
{
    int count = *c->arguments != 0;
    for (const char *at = c->arguments; at < prog_plain_end(c); at++) count += *at == ' ';
    assert(count <= PROG_PLAIN_MAX);
    return count;
}

int prog_plain_min(const prog_command *c)
{
    int optional = 0;
    for (const char *at = c->arguments; at < prog_plain_end(c); at++)
        optional += *at == '[' && (at == c->arguments || at[-1] == ' ');
    return prog_plain_max(c) - optional;
}

/* >>options ------------------------------------------------------------ */
/* The option of this command for an argument "--name" or "--name=value", or NULL. */
static const prog_option *find(const prog_program *p, int command, const char *text)
{
    assert(text[0] == '-');
    bool   digit = text[1] >= '1' && text[1] <= '9' && !text[2];
    size_t size = strcspn(text, "=");
    for (size_t i = 0; i < p->option_count; i++) {
        const prog_option *o = &p->options[i];
        if (!prog_knows(o->commands, (size_t)command)) continue;
        if (o->kind == PROG_OPTION_DIGIT) {
            if (digit) return o;
        } else if (strlen(o->name) == size && memcmp(o->name, text, size) == 0) {
            return o;
        }
    }
    return NULL;
}

static int no_option(const prog_program *p, int command, const char *text)
{
    const prog_command *c = &p->commands[command];
    prog_nearest near;
    prog_nearest_begin(&near, text, strcspn(text, "="));
    for (size_t i = 0; i < p->option_count; i++)
        if (prog_knows(p->options[i].commands, (size_t)command))
            prog_nearest_offer(&near, p->options[i].name);
    return prog_fail(PROG_USAGE, "%s has no option %s; see '%s help%s%s'%s%s%s",
                     c->name ? c->name : p->name, text, p->name, c->name ? " " : "",
                     c->name ? c->name : "", near.found ? "; did you mean " : "",
                     near.found ? near.found : "", near.found ? "?" : "");
}

static void store_number(const prog_option *o, void *field, uint64_t value)
{
    assert(o->size == sizeof(uint32_t) || o->size == sizeof(uint64_t));
    if (o->size == sizeof(uint64_t)) {
        *(uint64_t *)field = value;
    } else {
        assert(value <= UINT32_MAX);
        *(uint32_t *)field = (uint32_t)value;
    }
}

/* Append to a list. */
static int append(const char *name, const char *value, prog_list *list)
{
    assert(list->count <= PROG_LIST_MAX);
    if (list->count == PROG_LIST_MAX)
        return prog_fail(PROG_USAGE, "%s is given more than %d times", name, PROG_LIST_MAX);
    list->items[list->count].option = name;
    list->items[list->count].value = value;
    list->count++;
    return PROG_OK;
}

bool prog_is_choice(const char *choices, const char *text)
{
    const size_t size = strlen(text);
    for (const char *at = choices; *at; at += strspn(at, " ")) {
        const size_t n = strcspn(at, " ");
        if (n == size && !memcmp(at, text, n)) return true;
        at += n;
    }
    return false;
}

static int not_a_choice(const char *what, const char *text, const char *choices)
{
    char list[128];
    size_t size = 0;
    for (const char *at = choices; *at && size + 3 < sizeof list; at++) {
        if (*at == ' ') list[size++] = ',';
        list[size++] = *at;
    }
    list[size] = 0;
    return prog_fail(PROG_USAGE, "%s: '%s' is not one of %s", what, text, list);
}

int prog_option_set(const prog_option *o, void *options, const char *what, const char *value)
{
    uint64_t number = 0, unit = o->unit ? o->unit : 1;
    void *field = (char *)options + o->at;
    if (o->kind == PROG_OPTION_LIST) return append(o->name, value, field);
    if (o->kind == PROG_OPTION_TEXT) {
        if (o->choices && !prog_is_choice(o->choices, value)) return not_a_choice(what, value, o->choices);
        const int status = o->check ? o->check(what, value) : PROG_OK;
        if (!status) *(const char **)field = value;
        return status;
    }
    assert(o->kind == PROG_OPTION_NUMBER && o->max <= UINT64_MAX / unit);
    int status = (prog_option_is_size(o) ? prog_parse_size : prog_parse_number)(what, value, o->min,
                                                                                o->max, &number);
    if (!status) store_number(o, field, number * unit);
    return status;
}

bool prog_option_is_size(const prog_option *o) { return o->value && !strcmp(o->value, "BYTES"); }

bool prog_option_same(const prog_option *o, const void *a, const void *b)
{
    const void *x = (const char *)a + o->at, *y = (const char *)b + o->at;
    if (o->kind != PROG_OPTION_TEXT) return !memcmp(x, y, o->size);
    const char *s = *(const char *const *)x, *t = *(const char *const *)y;
    return s && t ? !strcmp(s, t) : s == t;
}

/* Store the value of an option. text: the argument; next: the argument after it, or NULL; *used:
   the number of arguments consumed, 1 or 2. */
static int parse_value(const prog_option *o, void *options, const char *text, const char *next,
                       int *used)
{
    void *field = (char *)options + o->at;
    *used = 1;
    if (o->kind == PROG_OPTION_DIGIT) {
        store_number(o, field, (uint64_t)(text[1] - '0'));
        return PROG_OK;
    }
    const char *joined = strchr(text, '=');
    if (o->kind == PROG_OPTION_FLAG) {
        if (joined) return prog_fail(PROG_USAGE, "%s takes no value", o->name);
        *(bool *)field = true;
        return PROG_OK;
    }
    const char *value = joined ? joined + 1 : next;
    *used = joined ? 1 : 2;
    if (!value) return prog_fail(PROG_USAGE, "%s needs a value", o->name);
    return prog_option_set(o, options, o->name, value);
}

int prog_arguments_read(const prog_program *p, int command, int argc, char **argv, void *options,
                        char *plain[PROG_PLAIN_MAX], prog_given *given)
{
    const prog_command *c = &p->commands[command];
    bool is_option = true; /* until -- */
    assert(p->option_count <= 64);
    memset(given, 0, sizeof *given);
    for (int i = 0; i < PROG_PLAIN_MAX; i++) plain[i] = NULL;
    for (int i = 0, used; i < argc; i += used) {
        used = 1;
        if (is_option && !strcmp(argv[i], "--")) {
            is_option = false;
        } else if (is_option && argv[i][0] == '-' && argv[i][1]) {
            const prog_option *o = find(p, command, argv[i]);
            if (!o) return no_option(p, command, argv[i]);
            given->options |= (uint64_t)1 << (o - p->options);
            int status = parse_value(o, options, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used);
            if (status) return status;
        } else if (given->plain == prog_plain_max(c)) {
            return prog_fail(PROG_USAGE, "unexpected argument '%s'; usage: %s%s%s %s", argv[i],
                             p->name, c->name ? " " : "", c->name ? c->name : "", c->arguments);
        } else {
            plain[given->plain++] = argv[i];
        }
    }
    return PROG_OK;
}

int prog_arguments_check(const prog_program *p, int command, char *const plain[PROG_PLAIN_MAX])
{
    const prog_command *c = &p->commands[command];
    for (int i = 0; i < prog_plain_min(c); i++)
        if (!plain[i])
            return prog_fail(PROG_USAGE, "%s needs more arguments; usage: %s%s%s %s",
                             c->name ? c->name : p->name, p->name, c->name ? " " : "",
                             c->name ? c->name : "", c->arguments);
    return PROG_OK;
}

int prog_arguments_parse(const prog_program *p, int command, int argc, char **argv, void *options,
                         char *plain[PROG_PLAIN_MAX])
{
    prog_given given;
    int status = prog_arguments_read(p, command, argc, argv, options, plain, &given);
    return status ? status : prog_arguments_check(p, command, plain);
}
