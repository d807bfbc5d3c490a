/* Values of a configuration, checked. See toml.h. */
#include "toml.h"

#include "common.h"
#include "os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int prog_toml_load(const char *before, const char *path, char **out, size_t *size)
{
    return prog_load(before, path, PROG_TOML_SIZE_MAX, true, out, size);
}

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
