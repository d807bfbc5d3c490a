/* Conditional requests of HTTP. See http_conditions.h. A condition that is malformed is ignored,
   except for If-Match: there the client did not name the current content, so it fails. */
#include "http_conditions.h"

#include "../../common/http.h"
#include "http_fields.h"

#include <assert.h>
#include <string.h>
#include <time.h>

enum { TAG_SIZE = 64, DAY_S = 86400, CENTURY = 100 };

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char days[][10] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                "Thursday", "Friday", "Saturday"};

/* >>dates ------------------------------------------------------------------ */
/* Days since 1970 of the first day of March of a year: with the leap day as the last of its year, a
   day is at the same place in every year. */
static int64_t days_to_march(int64_t year)
{
    return 365 * year + year / 4 - year / 100 + year / 400 - 719468;
}

/* Days from the first of March to the first of a month, 0 for March to 11 for February. */
static int days_in_year(int month) { return (153 * month + 2) / 5; }

void dxup_date_text(int64_t seconds, char out[DXUP_DATE_SIZE])
{
    int64_t day = seconds / DAY_S - (seconds % DAY_S < 0);
    const unsigned second = (unsigned)(seconds - day * DAY_S);
    const int weekday = (int)(((day + 4) % 7 + 7) % 7); /* 1970 began with a Thursday */
    int64_t year = 1970 + day / 366 - (day < 0); /* a guess, at most few years off */
    while (days_to_march(year + 1) <= day) year++;
    while (days_to_march(year) > day) year--;
    day -= days_to_march(year);
    int month = 11;
    while (days_in_year(month) > day) month--;
    day -= days_in_year(month);
    const int name = (month + 2) % 12;
    if (name < 2) year++;
    assert(year >= 0 && year <= 9999 && day >= 0 && day < 31);
    snprintf(out, DXUP_DATE_SIZE, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days[weekday],
             (unsigned)(day + 1) % 100, months + 3 * name, (unsigned)year % 10000, second / 3600 % 24,
             second / 60 % 60, second % 60);
}

/* A date being parsed; good is false after the first mistake. */
typedef struct parser {
    const uint8_t *at, *end;
    bool           good;
} parser;

static void expect_text(parser *p, const char *text)
{
    for (; p->good && *text; text++) p->good = p->at < p->end && *p->at++ == (uint8_t)*text;
}

/* Exactly this many digits. spaced: the first may be a space. */
static int parse_digits(parser *p, int count, bool spaced)
{
    int number = 0;
    for (int i = 0; p->good && i < count; i++) {
        const bool space = spaced && !i && p->at < p->end && *p->at == ' ';
        p->good = p->at < p->end && (space || (*p->at >= '0' && *p->at <= '9'));
        if (p->good) number = number * 10 + (space ? 0 : *p->at - '0');
        p->at++;
    }
    return number;
}

/* The index of a month; names are case-sensitive. */
static int parse_month(parser *p)
{
    for (int i = 0; p->good && p->end - p->at >= 3 && i < 12; i++)
        if (!memcmp(p->at, months + 3 * i, 3)) {
            p->at += 3;
            return i;
        }
    p->good = false;
    return 0;
}

/* The name of a day, which may contradict the date. Returns its size. */
static size_t parse_day(parser *p)
{
    for (int i = 0; i < 7; i++)
        for (size_t size = strlen(days[i]); size; size = size > 3 ? 3 : 0)
            if ((size_t)(p->end - p->at) >= size && !memcmp(p->at, days[i], size)) {
                p->at += size;
                return size;
            }
    p->good = false;
    return 0;
}

/* "08:49:37", in seconds; 60 is a leap second. */
static int parse_time(parser *p)
{
    const int hour = parse_digits(p, 2, false);
    expect_text(p, ":");
    const int minute = parse_digits(p, 2, false);
    expect_text(p, ":");
    const int second = parse_digits(p, 2, false);
    p->good = p->good && hour < 24 && minute < 60 && second <= 60;
    return hour * 3600 + minute * 60 + second;
}

/* A year of two digits, which is at most 50 years ahead. */
static int parse_short_year(parser *p, int64_t now_s)
{
    const int now = 1970 + (int)(now_s / (DAY_S * INT64_C(1461) / 4));
    const int year = now - now % CENTURY + parse_digits(p, 2, false);
    return year > now + 50 ? year - CENTURY : year;
}

bool dxup_date_parse(const uint8_t *text, size_t size, int64_t now_s, int64_t *seconds)
{
    parser p = {text, text + size, true};
    int day, month, year, second;
    const bool longer = parse_day(&p) > 3;
    if (p.good && p.at < p.end && *p.at == ',') { /* Sun, 06 Nov 1994 or Sunday, 06-Nov-94 */
        expect_text(&p, ", ");
        day = parse_digits(&p, 2, false);
        expect_text(&p, longer ? "-" : " ");
        month = parse_month(&p);
        expect_text(&p, longer ? "-" : " ");
        year = longer ? parse_short_year(&p, now_s) : parse_digits(&p, 4, false);
        expect_text(&p, " ");
        second = parse_time(&p);
        expect_text(&p, " GMT");
    } else { /* Sun Nov  6 08:49:37 1994 */
        p.good = p.good && !longer;
        expect_text(&p, " ");
        month = parse_month(&p);
        expect_text(&p, " ");
        day = parse_digits(&p, 2, true);
        expect_text(&p, " ");
        second = parse_time(&p);
        expect_text(&p, " ");
        year = parse_digits(&p, 4, false);
    }
    if (!p.good || p.at != p.end || day < 1) return false;
    const int place = (month + 10) % 12; /* from March on */
    const int64_t start = days_to_march(year - (month < 2)) + days_in_year(place);
    const int64_t next = place == 11 ? days_to_march(year) /* of February */
                                     : days_to_march(year - (month < 2)) + days_in_year(place + 1);
    if (day > next - start) return false;
    *seconds = (start + day - 1) * DAY_S + second;
    return true;
}

/* >>conditions ------------------------------------------------------------- */
/* The date in a field. False: there is none, or several, or it is malformed. */
static bool find_date(const uint8_t *request, size_t size, const char *name, int64_t *seconds)
{
    const uint8_t *value, *another;
    size_t at = 0, value_size, another_size;
    if (!dxup_field_next(request, size, name, &at, &value, &value_size)) return false;
    if (dxup_field_next(request, size, name, &at, &another, &another_size)) return false;
    const uint8_t *end = value + value_size;
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
    return dxup_date_parse(value, (size_t)(end - value), (int64_t)time(NULL), seconds);
}

static bool has_field(const uint8_t *request, size_t size, const char *name)
{
    const uint8_t *value;
    size_t at = 0, value_size;
    return dxup_field_next(request, size, name, &at, &value, &value_size);
}

bool dxup_conditions_hold(const uint8_t *request, size_t size, const char *tag, bool coded,
                          int64_t modified_s)
{
    int64_t since;
    assert(strlen(tag) == TAG_SIZE);
    if (has_field(request, size, "if-match"))
        return dxup_tag_matches(request, size, "if-match", tag, coded, true);
    if (modified_s == DXUP_NO_DATE || !find_date(request, size, "if-unmodified-since", &since))
        return true;
    return modified_s <= since;
}

bool dxup_is_unmodified(const uint8_t *request, size_t size, int64_t modified_s, bool exact)
{
    int64_t since;
    if (modified_s == DXUP_NO_DATE || has_field(request, size, "if-none-match")) return false;
    if (!find_date(request, size, "if-modified-since", &since)) return false;
    return exact ? modified_s == since : modified_s <= since;
}
