/* dxup watch: repeats a pull. An unchanged pull costs about 250 bytes on the wire and a scan of the
   destination. Intervals vary by up to a tenth, so that many machines do not pull at the same moment;
   after failures they grow, up to BACKOFF_MAX times. A signal ends it at any moment, like a pull. */
#include "commands.h"

#include "../../common/os.h"
#include "../../versions/store/store.h"

#include <assert.h>
#include <stdio.h>

enum { BACKOFF_MAX = 16 };

/* The interval with a jitter of up to a tenth. */
static int64_t jittered_ns(uint64_t interval_s, unsigned factor)
{
    uint16_t chance = 1 << 15;
    (void)os_random(&chance, sizeof chance); /* without random bytes there is no jitter */
    const double share = 0.9 + 0.2 * (double)chance / 65536;
    assert(factor >= 1 && factor <= BACKOFF_MAX);
    return (int64_t)((double)interval_s * factor * share * 1e9);
}

int dxup_watch(const dxup_options *given)
{
    dxup_options o = *given;
    unsigned factor = 1;
    char name[PROG_NAME_SIZE_MAX + 1];
    uint64_t version;
    versions_split_version(o.name, name, &version);
    if (version)
        return prog_fail(PROG_USAGE, "'%s' never changes, so there is nothing to watch: watch '%s' or a "
                                     "tag of it, or use 'dxup pull'", o.name, name);
    o.watching = true;
    for (;;) {
        const int status = dxup_pull(&o);
        if (status == PROG_USAGE) return status;
        const bool pulled = !status || status == PROG_PARTIAL || status == PROG_HOOK;
        if (ferror(stdout) || fflush(stdout)) return prog_fail_errno("standard output");
        os_sleep_ns(jittered_ns(o.interval_s, pulled ? 1 : factor));
        factor = pulled ? 1 : factor * 2;
        if (factor > BACKOFF_MAX) factor = BACKOFF_MAX;
    }
}
