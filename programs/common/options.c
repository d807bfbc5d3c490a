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

int dxup_parse_number(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    assert(min <= max);
    if (read_digits(text, out) && *out >= min && *out <= max) return DXUP_OK;
    return dxup_fail(DXUP_USAGE, "%s: '%s' is not a number from %llu to %llu", what, text,
                     (unsigned long long)min, (unsigned long long)max);
}

/* The option of that name that this command knows, or NULL. */
static const dxup_option *find(const dxup_arguments *a, const char *name)
{
    assert(name[0] == '-');
    bool digit = name[1] >= '1' && name[1] <= '9' && !name[2];
    for (size_t i = 0; i < a->option_count; i++) {
        const dxup_option *o = &a->options[i];
        if (o->commands && !(o->commands & a->commands)) continue;
        if (o->kind == DXUP_OPTION_DIGIT ? digit : !strcmp(o->name, name)) return o;
    }
    return NULL;
}

/* Store the value of an option. value: the next argument, or NULL; *used: arguments consumed, 1 or
   2. */
static int take(const dxup_option *o, const char *name, const char *value, int *used)
{
    assert(o->to);
    *used = 1;
    if (o->kind == DXUP_OPTION_FLAG) {
        *(bool *)o->to = true;
        return DXUP_OK;
    }
    if (o->kind == DXUP_OPTION_DIGIT) {
        *(uint64_t *)o->to = (uint64_t)(name[1] - '0');
        return DXUP_OK;
    }
    *used = 2;
    if (!value) return dxup_fail(DXUP_USAGE, "%s needs a value", name);
    if (o->kind == DXUP_OPTION_TEXT) {
        *(const char **)o->to = value;
        return DXUP_OK;
    }
    uint64_t unit = o->unit ? o->unit : 1;
    int status = dxup_parse_number(name, value, o->min, o->max, o->to);
    assert(o->max <= UINT64_MAX / unit);
    *(uint64_t *)o->to *= unit;
    return status;
}

int dxup_arguments_parse(const dxup_arguments *a, int argc, char **argv)
{
    bool options = true; /* until -- */
    int count = 0;
    assert(a->plain_min <= a->plain_max);
    for (int i = 0, used; i < argc; i += used) {
        used = 1;
        if (options && !strcmp(argv[i], "--")) {
            options = false;
        } else if (options && argv[i][0] == '-' && argv[i][1]) {
            const dxup_option *o = find(a, argv[i]);
            if (!o)
                return dxup_fail(DXUP_USAGE, "%s has no option %s; see %s", a->command, argv[i],
                                 a->help);
            int status = take(o, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used);
            if (status) return status;
        } else if (count == a->plain_max) {
            return dxup_fail(DXUP_USAGE, "one argument too many: %s", argv[i]);
        } else {
            a->plain[count++] = argv[i];
        }
    }
    if (count < a->plain_min)
        return dxup_fail(DXUP_USAGE, "%s needs more arguments; see %s", a->command, a->help);
    return DXUP_OK;
}
