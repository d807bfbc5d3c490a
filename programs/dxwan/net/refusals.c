/* Refused senders. See refusals.h. */
#include "refusals.h"

#include "../../../dx_reactor.h"
#include "../../common/os.h"

#include <assert.h>
#include <string.h>

enum { PERIOD_S = 60 };
#define SECOND ((uint64_t)1000000000)

const char *wan_refusal_name(wan_refusal kind)
{
    static const char *const names[WAN_REFUSALS] = {"tls", "join", "busy", "file"};
    assert(kind < WAN_REFUSALS);
    return names[kind];
}

void wan_refusals_from(int fd, char from[WAN_FROM_SIZE])
{
    dx_reactor_address a;
    char text[DX_REACTOR_ADDRESS_TEXT_SIZE];
    memset(&a, 0, sizeof a);
    (void)snprintf(from, WAN_FROM_SIZE, "a sender");
    if (!os_peer_address(fd, a.bytes, sizeof a.bytes, &a.size) || dx_reactor_address_format(&a, text, sizeof text)) return;
    char *colon = strrchr(text, ':');
    if (colon && colon > text) *colon = 0;
    (void)snprintf(from, WAN_FROM_SIZE, "%.*s", WAN_FROM_SIZE - 1, text);
}

static bool is_same(const wan_refused *p, wan_refusal kind, const char *from, const char *reason)
{
    return *p->from && p->kind == kind && !strcmp(p->from, from) &&
           (kind == WAN_REFUSED_FILE || !strncmp(p->reason, reason, WAN_REASON_SIZE - 1));
}

bool wan_refusals_is_known(const wan_refusals *r, wan_refusal kind, const char *from)
{
    if (*r->others.from) return true; /* nothing new is said now */
    for (int i = 0; i < WAN_REFUSERS_MAX; i++)
        if (r->places[i].kind == kind && !strcmp(r->places[i].from, from)) return true;
    return false;
}

static const char *before(wan_refusal kind) { return kind == WAN_REFUSED_TLS ? "TLS" : "refused"; }

void wan_refusals_note(wan_refusals *r, wan_refusal kind, const char *from, const char *reason, bool said)
{
    wan_refused *place = NULL;
    assert(kind < WAN_REFUSALS && *from);
    wan_refusals_tick(r, false);
    atomic_fetch_add(&r->counts[kind], 1);
    for (int i = WAN_REFUSERS_MAX - 1; i >= 0; i--) {
        if (is_same(&r->places[i], kind, from, reason)) {
            r->places[i].more++;
            if (kind == WAN_REFUSED_FILE) r->was_known = true;
            return;
        }
        if (!*r->places[i].from) place = &r->places[i];
    }
    const bool says = place || !*r->others.from;
    if (kind == WAN_REFUSED_FILE && says) r->was_said = true;
    if (kind == WAN_REFUSED_FILE && !says) r->was_known = true;
    if (!place) place = &r->others;
    if (!says) {
        place->more++;
        return;
    }
    place->kind = kind;
    place->since_ns = (uint64_t)prog_now_ns();
    place->more = 0;
    (void)snprintf(place->from, sizeof place->from, "%s", from);
    (void)snprintf(place->reason, sizeof place->reason, "%s", reason);
    if (!said) prog_warn("%s: %s: %s", from, before(kind), reason);
    if (place == &r->others)
        prog_warn("%d senders were refused within %d s; others are counted together", WAN_REFUSERS_MAX, PERIOD_S);
}

/* The period of a place is over, or all are. A sender that is still there keeps it, and is not named first again. */
static void end_period(wan_refused *p, uint64_t now, bool is_others, bool all)
{
    const uint64_t ns = now - p->since_ns;
    if (!*p->from || (!all && ns < PERIOD_S * SECOND)) return;
    const unsigned long long more = p->more;
    const unsigned long long seconds = (ns + SECOND / 2) / SECOND;
    if (more && is_others) prog_warn("other senders: refused: %llu more in %llu s", more, seconds);
    else if (more) prog_warn("%s: %s: %s: %llu more in %llu s", p->from, before(p->kind), p->reason, more, seconds);
    if (!more || all) p->from[0] = 0;
    p->more = 0;
    p->since_ns = now;
}

void wan_refusals_tick(wan_refusals *r, bool all)
{
    const uint64_t now = (uint64_t)prog_now_ns();
    for (int i = 0; i < WAN_REFUSERS_MAX; i++) end_period(&r->places[i], now, false, all);
    end_period(&r->others, now, true, all);
}
