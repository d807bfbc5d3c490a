/* Moments, as the command line gives them:

       latest                        the latest version
       consistent                    the latest one that is of one instant
       17                            version 17
       90s  5m  2h  3d  1w           the version that was the latest this long ago
       2026-11-23 13:05:00           the version that was the latest at that time (UTC), inclusive: a
       2026-11-23T13:05:00.250Z      second includes all its fractions, a minute its seconds, a day its hours
       2026-11-23 14:05+01:00        another zone
       2026-11-23
       @1763903100                   seconds since 1970, as `date +%s` prints them */
#include "keep.h"

#include "../common/os.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS INT64_C(1000000000)
#define DAY_S INT64_C(86400)
#define SECONDS_MAX INT64_C(7289654399) /* the end of 2200 */

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

static int days_in(int64_t year, int64_t month)
{
    return (int)(month == 12 ? 31 : days_to(year, month + 1, 1) - days_to(year, month, 1));
}

/* A time, and how much of it the text leaves open. */
typedef struct span {
    int64_t time_ns, unit_ns;
} span;

/* "Z", "+01:00", "-0530" or nothing. */
static bool parse_zone(const char *at, span *out)
{
    int64_t hours, minutes;
    if (*at == 'Z') at++;
    if (!*at) return true;
    const int64_t sign = *at == '+' ? 1 : *at == '-' ? -1 : 0;
    if (!sign) return false;
    at++;
    if (!parse_number(&at, 2, "", &hours)) return false;
    if (*at == ':') at++;
    if (!parse_number(&at, 2, "", &minutes) || *at || hours > 14 || minutes > 59) return false;
    out->time_ns -= sign * (hours * 60 + minutes) * 60 * SECOND_NS;
    return true;
}

/* Digits after a point, if there is one. */
static const char *parse_fraction(const char *at, span *out)
{
    out->unit_ns = SECOND_NS;
    if (*at != '.') return at;
    for (at++; *at >= '0' && *at <= '9' && out->unit_ns > 1; at++) {
        out->unit_ns /= 10;
        out->time_ns += (*at - '0') * out->unit_ns;
    }
    return at;
}

static bool parse_time(const char *at, span *out)
{
    int64_t year, month, day, hour, minute, second;
    if (!parse_number(&at, 4, "-", &year) || !parse_number(&at, 2, "-", &month) ||
        !parse_number(&at, 2, "", &day))
        return false;
    if (year < 1970 || year > 2200 || month < 1 || month > 12 || day < 1 || day > days_in(year, month))
        return false;
    *out = (span){days_to(year, month, day) * DAY_S * SECOND_NS, DAY_S * SECOND_NS};
    if (!*at) return true;
    if (*at != ' ' && *at != 'T') return false;
    at++;
    if (!parse_number(&at, 2, ":", &hour) || !parse_number(&at, 2, "", &minute) || hour > 23 || minute > 59)
        return false;
    out->time_ns += (hour * 60 + minute) * 60 * SECOND_NS;
    out->unit_ns = 60 * SECOND_NS;
    if (*at == ':') {
        at++;
        if (!parse_number(&at, 2, "", &second) || second > 60) return false;
        out->time_ns += second * SECOND_NS;
        at = parse_fraction(at, out);
    }
    return parse_zone(at, out);
}

/* Parse "@1763903100" and "@1763903100.25". */
static bool parse_seconds(const char *text, span *out)
{
    const size_t digits = *text == '@' ? strspn(text + 1, "0123456789") : 0;
    if (!digits || digits > 10 || atoll(text + 1) > SECONDS_MAX) return false;
    *out = (span){atoll(text + 1) * SECOND_NS, SECOND_NS};
    return !*parse_fraction(text + 1 + digits, out);
}

bool keep_age_parse(const char *text, int64_t *out)
{
    static const char units[] = "smhdw";
    static const int64_t seconds[] = {1, 60, 3600, DAY_S, 7 * DAY_S};
    const size_t digits = strspn(text, "0123456789");
    if (!digits || digits > 8 || !text[digits] || text[digits + 1]) return false;
    const char *unit = strchr(units, text[digits]);
    if (!unit) return false;
    *out = atoll(text) * seconds[unit - units];
    return true;
}

/* Parse "90s" and so on. */
static bool parse_ago(const char *text, span *out)
{
    const int64_t now = prog_time_ns();
    int64_t ago;
    if (!keep_age_parse(text, &ago)) return false;
    *out = (span){ago < now / SECOND_NS ? now - ago * SECOND_NS : 0, 1};
    return true;
}

/* *timed: the text is a time or an age, which lies before *end_ns. PROG_USAGE: it has not begun. */
static int parse(const char *text, bool *timed, int64_t *end_ns)
{
    char now[40];
    span s;
    *timed = parse_time(text, &s) || parse_seconds(text, &s) || parse_ago(text, &s);
    if (!*timed) return PROG_OK;
    *end_ns = s.time_ns + s.unit_ns - 1;
    if (s.time_ns <= prog_time_ns()) return PROG_OK;
    keep_moment_text(prog_time_ns(), now);
    return prog_fail(PROG_USAGE, "'%s' has not come yet: it is %s UTC now; another zone is given as in "
                                 "'2026-11-23 14:05+01:00', a version of a wrong clock by its number", text, now);
}

/* The text is no time and no age: then it must be the number of a version. */
static int parse_version(const char *text, uint64_t *version)
{
    if (!*text || strspn(text, "0123456789") != strlen(text))
        return prog_fail(PROG_USAGE, "'%s' is not a moment; use latest, consistent, a version number, a time in UTC "
                                     "such as '2026-11-23 13:05:00' or 2026-11-23, with a zone "
                                     "'2026-11-23 14:05+01:00', @SECONDS since 1970, or an age: 90s, 5m, 2h, 3d, 1w",
                         text);
    return prog_parse_number("the version", text, 1, UINT64_MAX, version);
}

int keep_fail_no_versions(versions_store *s, const keep_options *o)
{
    enum { NAMES_MAX = 8 };
    char names[NAMES_MAX * (PROG_NAME_SIZE_MAX + 2) + 8] = "";
    versions_version *list;
    size_t count, size = 0, named = 0;
    if (versions_version_list(s, &list, &count)) count = 0;
    for (size_t i = 0; i < count; i++) {
        if (list[i].tagged || named == NAMES_MAX) continue;
        size += (size_t)snprintf(names + size, sizeof names - size, "%s%s", named++ ? ", " : "", list[i].name);
    }
    free(list);
    if (!named) return prog_fail(PROG_NOT_FOUND, "%s has no versions", o->store);
    return prog_fail(PROG_NOT_FOUND, "%s has no versions named %s; it has %s (--name)", o->store, o->name, names);
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
    bool timed;
    int status = parse(text, &timed, &time_ns);
    if (!status && !latest && !consistent && !timed)
        status = parse_version(text, &version);
    if (status) return status;
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
    bool timed;
    assert(text);
    int status = versions_version_find(s, o->name, 0, out);
    if (status == PROG_NOT_FOUND)
        return keep_fail_no_versions(s, o);
    if (status || !strcmp(text, "latest")) return status;
    if (!strcmp(text, "consistent")) return find_consistent(s, o, out);
    status = parse(text, &timed, &time_ns);
    if (status) return status;
    if (timed) return find_at(s, o, text, time_ns, out);
    status = parse_version(text, &version);
    if (!status) status = versions_version_find(s, o->name, version, out);
    if (status == PROG_NOT_FOUND)
        return prog_fail(status, "%s has no version %s; 'dxkeep log %s' lists them", o->store, text,
                         o->store);
    return status;
}
