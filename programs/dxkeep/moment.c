/* Moments, as the command line gives them:

       latest                        the latest version
       consistent                    the latest one that is of one instant
       17                            version 17
       90s  5m  2h  3d               the version that was the latest this long ago
       2026-11-23 13:05:00           the version that was the latest at that time (UTC), inclusive: a
       2026-11-23T13:05:00.250Z      second includes all its fractions, a millisecond too */
#include "keep.h"

#include "../common/os.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS INT64_C(1000000000)

void keep_moment_text(int64_t time_ns, char out[40])
{
    char seconds[32];
    const int64_t part = (time_ns % SECOND_NS + SECOND_NS) % SECOND_NS;
    os_time_text(time_ns - part, seconds);
    snprintf(out, 40, "%s.%03d", seconds, (int)(part / 1000000));
}

/* >>parse -------------------------------------------------------------- */
/* Parse a number of exactly this many digits and one byte of `behind`, or the end if that is
   "". Advances *at. */
static bool parse_number(const char **at, int digits, const char *behind, int64_t *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++, ++*at) {
        if (**at < '0' || **at > '9') return false;
        *out = *out * 10 + (**at - '0');
    }
    if (!*behind) return true;
    if (!**at || !strchr(behind, **at)) return false;
    ++*at;
    return true;
}

/* Days from 1970-01-01 to a day of the Gregorian calendar. */
static int64_t days_to(int64_t year, int64_t month, int64_t day)
{
    static const int16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    assert(year >= 1 && month >= 1 && month <= 12);
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    const int64_t y = year - 1;
    return y * 365 + y / 4 - y / 100 + y / 400 - 719162 + before[month - 1] +
           (leap && month > 2) + day - 1;
}

/* Returns the last nanosecond that the text covers. */
static bool parse_time(const char *at, int64_t *time_ns)
{
    int64_t year, month, day, hour, minute, second, unit = SECOND_NS, part = 0;
    if (!parse_number(&at, 4, "-", &year) || !parse_number(&at, 2, "-", &month) ||
        !parse_number(&at, 2, " T", &day) || !parse_number(&at, 2, ":", &hour) ||
        !parse_number(&at, 2, ":", &minute) || !parse_number(&at, 2, "", &second))
        return false;
    if (year < 1970 || year > 2200 || month < 1 || month > 12 || day < 1 || day > 31 ||
        hour > 23 || minute > 59 || second > 60)
        return false;
    if (*at == '.') {
        for (at++; *at >= '0' && *at <= '9' && unit > 1; at++) {
            unit /= 10;
            part += (*at - '0') * unit;
        }
    }
    if (*at == 'Z') at++;
    *time_ns = ((days_to(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    *time_ns = *time_ns * SECOND_NS + part + unit - 1;
    return !*at;
}

/* Parse "90s" and so on. */
static bool parse_ago(const char *text, int64_t *time_ns)
{
    static const char units[] = "smhd";
    static const int64_t seconds[] = {1, 60, 3600, 86400};
    const size_t digits = strspn(text, "0123456789");
    if (!digits || digits > 8 || !text[digits] || text[digits + 1]) return false;
    const char *unit = strchr(units, text[digits]);
    if (!unit) return false;
    *time_ns = prog_time_ns() - atoll(text) * seconds[unit - units] * SECOND_NS;
    return true;
}

/* >>find --------------------------------------------------------------- */
static int find_at(versions_store *s, const keep_options *o, const char *text, int64_t time_ns,
                   versions_version *out)
{
    versions_history history = {.begun = false};
    int status;
    while (!(status = versions_history_next(&history, s, o->name, out)))
        if (out->time_ns <= time_ns) return PROG_OK;
    if (status != PROG_NOT_FOUND) return status;
    return prog_fail(status, "%s has no version at or before '%s'; 'dxkeep log %s' lists them",
                     o->store, text, o->store);
}

static int find_consistent(versions_store *s, const keep_options *o, versions_version *out)
{
    versions_history history = {.begun = false};
    int status;
    while (!(status = versions_history_next(&history, s, o->name, out)))
        if (out->consistent) return PROG_OK;
    if (status != PROG_NOT_FOUND) return status;
    return prog_fail(status, "%s has no consistent version named %s; 'dxkeep log %s' lists all",
                     o->store, o->name, o->store);
}

int keep_moment_choose(const versions_version *list, size_t count, const char *text,
                       versions_version *out)
{
    int64_t time_ns = 0;
    uint64_t version = 0;
    const bool latest = !strcmp(text, "latest"), consistent = !strcmp(text, "consistent");
    const bool timed = parse_time(text, &time_ns) || parse_ago(text, &time_ns);
    if (!latest && !consistent && !timed) {
        int status = prog_parse_number("--time", text, 1, UINT64_MAX, &version);
        if (status) return status;
    }
    for (size_t i = 0; i < count; i++) {
        const versions_version *v = &list[i];
        if (latest || (consistent && v->consistent) || (timed && v->time_ns <= time_ns) ||
            (version && v->version == version)) {
            *out = *v;
            return PROG_OK;
        }
    }
    return prog_fail(PROG_NOT_FOUND, "the remote has no version of the moment '%s'", text);
}

int keep_moment_find(versions_store *s, const keep_options *o, const char *text,
                     versions_version *out)
{
    int64_t time_ns = 0;
    uint64_t version = 0;
    assert(text);
    int status = versions_version_find(s, o->name, 0, out);
    if (status == PROG_NOT_FOUND)
        return prog_fail(status, "%s has no versions named %s", o->store, o->name);
    if (status || !strcmp(text, "latest")) return status;
    if (!strcmp(text, "consistent")) return find_consistent(s, o, out);
    if (parse_time(text, &time_ns) || parse_ago(text, &time_ns)) return find_at(s, o, text, time_ns, out);
    if (!*text || strspn(text, "0123456789") != strlen(text))
        return prog_fail(PROG_USAGE, "'%s' is not a moment; use latest, consistent, a version number, a "
                                     "UTC time such as '2026-11-23 13:05:00', or an age such as "
                                     "90s, 5m, 2h, 3d", text);
    status = prog_parse_number("the version", text, 1, UINT64_MAX, &version);
    if (!status) status = versions_version_find(s, o->name, version, out);
    if (status == PROG_NOT_FOUND)
        return prog_fail(status, "%s has no version %s; 'dxkeep log %s' lists them", o->store, text,
                         o->store);
    return status;
}
