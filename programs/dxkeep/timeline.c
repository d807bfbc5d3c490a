/* dxkeep timeline: how many versions there are of each minute, hour or day, as bars. */
#include "keep.h"

#include "../common/json.h"
#include "../common/os.h"

#include <stdlib.h>
#include <string.h>

enum { WIDTH = 50, FINE_MAX = 48 /* periods, for a choice without --by */ };
#define SECOND_NS INT64_C(1000000000)

typedef struct period {
    int64_t  number; /* since 1970 */
    uint64_t consistent;
    uint64_t torn;
    uint64_t why[KEEP_TORN_REASONS]; /* how many of the torn ones have this reason */
} period;

static const struct {
    const char *name;
    int64_t     seconds;
} units[] = {{"minute", 60}, {"hour", 3600}, {"day", 86400}};
enum { UNITS = sizeof units / sizeof *units };

static int64_t number_of(int64_t time_ns, int64_t seconds)
{
    const int64_t length = seconds * SECOND_NS;
    return time_ns / length - (time_ns % length < 0);
}

typedef struct moments {
    struct moment {
        int64_t time_ns;
        bool    consistent;
        uint32_t reasons; /* of a torn one, one bit each (torn.h) */
    }     *list;
    size_t count, room;
} moments;

static int compare(const void *a, const void *b)
{
    const int64_t x = ((const struct moment *)a)->time_ns, y = ((const struct moment *)b)->time_ns;
    return (x < y) - (x > y);
}

static int read_moments(versions_store *s, const keep_options *o, moments *m)
{
    versions_history history = {.begun = false};
    versions_version v;
    keep_torn torn = {.count = 0};
    size_t size;
    int status;
    char *notes = keep_torn_open(o->store, o->name, &size);
    while (!(status = versions_history_next(&history, s, o->name, &v))) {
        keep_torn_clear(&torn);
        if (!v.consistent) keep_torn_load(&torn, notes, size, v.version);
        if (m->count == m->room) {
            m->room = m->room * 2 + 256;
            m->list = realloc(m->list, m->room * sizeof *m->list);
            if (!m->list) abort();
        }
        m->list[m->count++] = (struct moment){v.time_ns, v.consistent, torn.reasons};
    }
    keep_torn_clear(&torn);
    free(notes);
    if (status != PROG_NOT_FOUND) return status;
    if (!m->count)
        return keep_fail_no_versions(s, o);
    qsort(m->list, m->count, sizeof *m->list, compare); /* a clock may have been set back */
    return PROG_OK;
}

/* The unit that was asked for, or the finest one with few periods. */
static int choose_unit(const keep_options *o, const moments *m, size_t *unit)
{
    for (*unit = 0; o->by && *unit < UNITS; (*unit)++)
        if (!strcmp(o->by, units[*unit].name)) return PROG_OK;
    if (o->by)
        return prog_fail(PROG_USAGE, "--by: '%s' is not a unit; use minute, hour or day", o->by);
    for (*unit = 0; *unit + 1 < UNITS; (*unit)++) {
        const int64_t seconds = units[*unit].seconds;
        if (number_of(m->list[0].time_ns, seconds) -
            number_of(m->list[m->count - 1].time_ns, seconds) < FINE_MAX)
            break;
    }
    return PROG_OK;
}

/* Count versions by periods, newest first. The caller frees *out. */
static size_t count_periods(const moments *m, int64_t seconds, period **out)
{
    period *list = prog_alloc(m->count * sizeof *list);
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++) {
        const int64_t number = number_of(m->list[i].time_ns, seconds);
        if (!count || list[count - 1].number != number) list[count++] = (period){.number = number};
        if (m->list[i].consistent) list[count - 1].consistent++;
        else list[count - 1].torn++;
        for (int why = 0; why < KEEP_TORN_REASONS; why++)
            list[count - 1].why[why] += m->list[i].reasons >> why & 1;
    }
    *out = list;
    return count;
}

/* Cells of a bar; a value above zero gets at least one. */
static int cells(uint64_t part, uint64_t most)
{
    const int n = (int)((part * WIDTH + most / 2) / most);
    return part && !n ? 1 : n;
}

static void put_bar(char mark, prog_hue hue, int count)
{
    char bar[WIDTH + 1];
    memset(bar, mark, sizeof bar);
    prog_colour(hue);
    prog_say("%.*s", count, bar);
    prog_colour(PROG_PLAIN);
}

static void print_period(const period *p, size_t unit, uint64_t most)
{
    char when[32], numbers[2][32];
    os_time_text(p->number * units[unit].seconds * SECOND_NS, when);
    if (unit + 1 == UNITS) when[10] = 0;
    else when[16] = 0;
    const int good = cells(p->consistent, most);
    int bad = cells(p->torn, most);
    if (good + bad > WIDTH) bad = WIDTH - good > 0 ? WIDTH - good : 1;
    prog_say("%s  ", when);
    put_bar('#', PROG_GREEN, good + bad > WIDTH ? WIDTH - bad : good);
    put_bar('-', PROG_YELLOW, bad);
    prog_say("  %s", prog_count_text(p->consistent + p->torn, numbers[0]));
    if (p->torn) prog_say(", %s torn", prog_count_text(p->torn, numbers[1]));
    prog_say("\n");
}

static void print_json(const period *p, size_t unit)
{
    prog_json j;
    prog_json_begin(&j);
    prog_json_time(&j, "time", p->number * units[unit].seconds * SECOND_NS);
    prog_json_text(&j, "period", units[unit].name);
    prog_json_number(&j, "versions", p->consistent + p->torn);
    prog_json_number(&j, "consistent", p->consistent);
    prog_json_number(&j, "torn", p->torn);
    prog_json_array_begin(&j, "torn_reasons");
    for (int why = 0; why < KEEP_TORN_REASONS; why++) {
        if (!p->why[why]) continue;
        prog_json_object_begin(&j);
        prog_json_text(&j, "reason", keep_torn_key((keep_torn_reason)why));
        prog_json_number(&j, "versions", p->why[why]);
        prog_json_object_end(&j);
    }
    prog_json_array_end(&j);
    prog_json_end(&j);
}

/* Below the bars: why versions in them are torn. */
static void print_reasons(const period *list, size_t count)
{
    char number[32];
    for (int why = 0; why < KEEP_TORN_REASONS; why++) {
        uint64_t versions = 0;
        for (size_t i = 0; i < count; i++) versions += list[i].why[why];
        if (versions)
            prog_say("torn, %s: %s\n", prog_count_text(versions, number),
                     keep_torn_text((keep_torn_reason)why));
    }
}

static void print_periods(const keep_options *o, const period *list, size_t count, size_t unit)
{
    uint64_t most = 1;
    if (o->limit && o->limit < count) count = (size_t)o->limit;
    for (size_t i = 0; i < count; i++)
        if (list[i].consistent + list[i].torn > most) most = list[i].consistent + list[i].torn;
    for (size_t i = 0; i < count; i++) {
        if (o->json) {
            print_json(&list[i], unit);
            continue;
        }
        if (i && list[i].number + 1 != list[i - 1].number) prog_say("...\n");
        print_period(&list[i], unit, most);
    }
    if (o->json) return;
    prog_say("versions of each %s (UTC): # consistent, - torn\n", units[unit].name);
    print_reasons(list, count);
}

int keep_timeline(const keep_options *o)
{
    versions_store *s;
    moments m = {.count = 0};
    period *list;
    size_t unit = 0;
    int status = versions_store_open(&s, o->store, VERSIONS_READ);
    if (status) return status;
    status = read_moments(s, o, &m);
    if (!status) status = choose_unit(o, &m, &unit);
    if (!status) {
        const size_t count = count_periods(&m, units[unit].seconds, &list);
        print_periods(o, list, count, unit);
        free(list);
    }
    free(m.list);
    versions_store_close(s);
    return status;
}
