/* The command line, parsed by a table of options. See options.h. */
#include "options.h"

#include "common.h"

#include <assert.h>
#include <string.h>

/* Digits only, without a sign or spaces; false also where it does not fit. */
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

/* The option of that name that this command knows, or NULL. */
static const prog_option *find(const prog_arguments *a, const char *name)
{
    assert(name[0] == '-');
    bool digit = name[1] >= '1' && name[1] <= '9' && !name[2];
    for (size_t i = 0; i < a->option_count; i++) {
        const prog_option *o = &a->options[i];
        if (o->commands && !(o->commands & a->commands)) continue;
        if (o->kind == PROG_OPTION_DIGIT ? digit : !strcmp(o->name, name)) return o;
    }
    return NULL;
}

/* Store the value of an option. value: the next argument, or NULL; *used: arguments consumed, 1 or
   2. */
static int take(const prog_option *o, const char *name, const char *value, int *used)
{
    assert(o->to);
    *used = 1;
    if (o->kind == PROG_OPTION_FLAG) {
        *(bool *)o->to = true;
        return PROG_OK;
    }
    if (o->kind == PROG_OPTION_DIGIT) {
        *(uint64_t *)o->to = (uint64_t)(name[1] - '0');
        return PROG_OK;
    }
    *used = 2;
    if (!value) return prog_fail(PROG_USAGE, "%s needs a value", name);
    if (o->kind == PROG_OPTION_TEXT) {
        *(const char **)o->to = value;
        return PROG_OK;
    }
    uint64_t unit = o->unit ? o->unit : 1;
    int status = prog_parse_number(name, value, o->min, o->max, o->to);
    assert(o->max <= UINT64_MAX / unit);
    *(uint64_t *)o->to *= unit;
    return status;
}

int prog_arguments_parse(const prog_arguments *a, int argc, char **argv)
{
    bool options = true; /* until -- */
    int count = 0;
    assert(a->plain_min <= a->plain_max);
    for (int i = 0, used; i < argc; i += used) {
        used = 1;
        if (options && !strcmp(argv[i], "--")) {
            options = false;
        } else if (options && argv[i][0] == '-' && argv[i][1]) {
            const prog_option *o = find(a, argv[i]);
            if (!o)
                return prog_fail(PROG_USAGE, "%s has no option %s; see %s", a->command, argv[i],
                                 a->help);
            int status = take(o, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used);
            if (status) return status;
        } else if (count == a->plain_max) {
            return prog_fail(PROG_USAGE, "one argument too many: %s", argv[i]);
        } else {
            a->plain[count++] = argv[i];
        }
    }
    if (count < a->plain_min)
        return prog_fail(PROG_USAGE, "%s needs more arguments; see %s", a->command, a->help);
    return PROG_OK;
}
