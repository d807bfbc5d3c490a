/* Values of a configuration, checked. See toml.h. */
#include "toml.h"

#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *prog_toml_text(const prog_toml_value *v, char **out)
{
    if (v->kind != PROG_TOML_TEXT) return "must be a string";
    if (!*v->text) return "must not be empty";
    free(*out);
    *out = prog_copy_text(v->text);
    return NULL;
}

const char *prog_toml_number(const prog_toml_value *v, uint64_t min, uint64_t max, uint64_t *out,
                             char why[PROG_TOML_WHY_SIZE])
{
    if (v->kind == PROG_TOML_INTEGER && v->number >= 0 && (uint64_t)v->number >= min &&
        (uint64_t)v->number <= max) {
        *out = (uint64_t)v->number;
        return NULL;
    }
    (void)snprintf(why, PROG_TOML_WHY_SIZE, "must be a number from %llu to %llu",
                   (unsigned long long)min, (unsigned long long)max);
    return why;
}
