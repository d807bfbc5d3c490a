/* dxup pull: the client.

       dxup_pull_look()      hash what is there
       dxup_pull_ask()       ask for the version, and receive it unless it is a snapshot
       dxup_pull_fetch()     of a snapshot: fetch what is lacking
       dxup_pull_restore_details()   of a directory that came otherwise: times, links, attributes
       dxup_pull_replace()   replace the destination atomically
       dxup_pull_record()    remember the version, so that no older one replaces it

   pull.h draws which file has what. */
#include "pull.h"

#include "../net/wire.h"
#include "../../common/json.h"
#include "../../common/os.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { CONNECTIONS_MAX = 256 };

/* What was read in this run is verified. */
static void describe_check(const pull *p, char out[96])
{
    char date[32];
    const time_t since = (time_t)(p->plan.trusted_since_ns / 1000000000);
    const struct tm *parts = gmtime(&since);
    if (!p->plan.trusted_since_ns || !parts) {
        snprintf(out, 96, " verified");
        return;
    }
    strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S UTC", parts);
    snprintf(out, 96, p->plan.outcome == DXUP_UNCHANGED
                 ? ", unchanged since %s by size and time"
                 : " verified but for what is unchanged since %s by size and time", date);
}

/* Of objects that were fetched: was something that is here of use? */
static bool is_update(const pull *p)
{
    if (p->plan.kind == PROG_TREE) return p->plan.have_kind || p->o->seed;
    return p->plan.have_kind && p->transfer.fresh < p->plan.size;
}

static void print_summary(const pull *p)
{
    static const char *const outcomes[] = {"unchanged", "patch", "full"};
    int outcome = p->plan.outcome;
    char size[32], wire[32], hash[65], verified[65], name[PROG_NAME_SIZE_MAX + 1];
    char check[96];
    uint64_t asked;
    uint64_t bytes = p->transfer.sent + p->transfer.received;
    if (outcome == DXUP_SYNCED) outcome = is_update(p) ? DXUP_PATCHED : DXUP_FULL;
    double ms = (double)(prog_now_ns() - p->started_ns) / 1e6;
    prog_progress(NULL, 0, 0, true);
    prog_hash_text(p->plan.hash, hash);
    /* Of a snapshot that was fetched the server only says the content's hash; where none was, the
       content's is what was verified, and it is not the one that `dxup log` shows. */
    const bool content = p->plan.kind == PROG_TREE && !p->plan.syncs;
    const bool snapshot = p->plan.kind == PROG_TREE && p->plan.syncs;
    prog_hash_text(snapshot ? p->plan.root : p->plan.hash, verified);
    versions_split_version(p->o->name, name, &asked); /* the version is said in any case */
    if (p->o->json) {
        prog_json j;
        prog_json_begin(&j);
        prog_json_text(&j, "name", name);
        prog_json_number(&j, "version", p->plan.version);
        prog_json_text(&j, "path", p->o->path);
        prog_json_text(&j, "outcome", outcomes[outcome]);
        prog_json_number(&j, "sent", p->transfer.sent);
        prog_json_number(&j, "received", p->transfer.received);
        prog_json_number(&j, "kept", p->transfer.kept);
        prog_json_number(&j, "size", p->plan.size);
        prog_json_hash(&j, "hash", p->plan.hash);
        if (p->plan.trusted_since_ns)
            prog_json_number(&j, "trusted_since_ns", (uint64_t)p->plan.trusted_since_ns);
        prog_json_number(&j, "time_us", (uint64_t)(ms * 1000));
        prog_json_end(&j);
    } else if (p->o->report) {
        prog_say("name=%s version=%llu outcome=%s wire=%llu size=%llu ms=%.1f rss_kb=%llu "
                 "kept=%llu hash=%s\n",
                 name, (unsigned long long)p->plan.version, outcomes[outcome],
                 (unsigned long long)bytes, (unsigned long long)p->plan.size, ms,
                 (unsigned long long)os_memory_peak() / 1024, (unsigned long long)p->transfer.kept,
                 hash);
    } else if (!p->o->quiet) {
        describe_check(p, check);
        prog_say("%s@%llu %s: %s bytes on the wire for %s, %.1f ms, %sBLAKE3 %.16s...%s\n",
                 name, (unsigned long long)p->plan.version, outcomes[outcome],
                 prog_count_text(bytes, wire), prog_count_text(p->plan.size, size), ms,
                 content ? "content's " : "", verified, check);
    }
}

/* *again: what an earlier pull left was damaged, perhaps, and is removed; or a part of the
   directory cannot be replaced by itself. So try once more, and replace the whole. */
static int pull_once(const dxup_options *o, versions_guard *guard, bool whole, bool *again)
{
    pull *p = dxup_pull_open(o);
    int status = PROG_OK;
    bool refused = false;
    p->install.guard = guard;
    p->install.replaces_all = whole;
    status = dxup_addresses_find(&p->transfer.addresses, o->address, "the address");
    if (!status) status = dxup_pull_look(p);
    if (!status)
        status = versions_dest_find_staging(&p->install.dest, o->path, &p->plan.left_staging);
    if (!status) status = dxup_pull_ask(p);
    const bool accepted = !status;
    if (!status && p->o->seed &&
        (p->plan.syncs ? p->plan.kind == PROG_FILE : p->transfer.next > 0))
        prog_warn("--seed is of no use for what is not pulled as a directory over one connection");
    if (!status && p->plan.syncs) status = dxup_pull_fetch(p);
    else if (!status && p->plan.kind == PROG_TREE && !p->plan.asks_sync)
        status = dxup_pull_restore_details(p);
    if (!status && p->install.complete) status = dxup_pull_replace(p, &refused);
    if (!status && p->install.complete && p->plan.syncs) dxup_pull_save_cache(p);
    if (!status && !p->install.complete && p->plan.asks_sync) dxup_pull_save_unchanged(p);
    if (!status) status = dxup_pull_record(p);
    if (accepted && status && status != PROG_NETWORK && p->plan.syncs &&
        !refused) /* the cache may be the reason */
        (void)versions_dest_remove_beside(&p->install.dest, PULL_CACHE);
    dxup_pull_close_store(p);
    /* What was fetched is of no use: it is there, or can never be, or the disk is full. */
    if ((p->plan.asks_sync || !status) && status != PROG_NETWORK && !refused) {
        int forgotten = versions_dest_remove_beside(&p->install.dest, PULL_STORE);
        if (!status) status = forgotten;
    }
    if (!status) print_summary(p);
    *again = refused || (status == PROG_DAMAGED && (p->transfer.kept || p->install.left_store));
    p->install.dest.keep = status == PROG_NETWORK && dxup_pull_can_resume(p) && p->transfer.next;
    if (!status) status = p->install.partial;
    dxup_pull_close(p);
    return status;
}

int dxup_pull(const dxup_options *o)
{
    bool again = false;
    os_info seed;
    if (o->seed && os_look(o->seed, true, &seed) < 0) return prog_fail_errno("%s", o->seed);
    if (o->seed && seed.kind != OS_FOLDER)
        return prog_fail(PROG_USAGE, "--seed %s: not a directory", o->seed);
    if (o->connections > CONNECTIONS_MAX)
        return prog_fail(PROG_USAGE, "pull uses at most %d connections", CONNECTIONS_MAX);
    /* Both tries compare with what was there before the first. */
    versions_guard guard;
    int status = versions_guard_lock(&guard, o->path);
    if (!status) status = pull_once(o, &guard, false, &again);
    if (again) status = pull_once(o, &guard, true, &again);
    versions_guard_close(&guard);
    return status;
}
