/* dxup pull: the client.

       dxup_pull_stat()      hash the destination
       dxup_pull_ask()       request the version, and receive it unless it is a snapshot
       dxup_pull_fetch()     for a snapshot: fetch the missing objects
       dxup_pull_restore_details()   for a directory received as a stream: times, links, attributes
       dxup_pull_replace()   replace the destination atomically
       dxup_pull_record()    record the version, so that no older one replaces it

   pull.h shows which file has which part. */
#include "pull.h"
#include "names.h"

#include "../../sync/wire.h"
#include "../../common/json.h"
#include "../../common/os.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    CONNECTIONS_MAX = 256,
    REPLY_SIZE      = 200 /* bytes of Hello and the reply to a pull, on the wire */
};

/* Describe the verification: everything that this run has read is verified. */
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

/* For fetched objects: was any content of the destination reused? */
static bool is_update(const pull *p)
{
    if (p->plan.kind == PROG_TREE) return p->plan.have_kind || p->o->seed;
    return p->plan.have_kind && p->transfer.fresh < p->plan.size;
}

/* Print one line with counts. Owners can grant rights, so they are restored only with --owner. */
static void warn_of_owners(const pull *p)
{
    static const char *const kinds[VERSIONS_LEFT_KINDS] = {
        [VERSIONS_LEFT_OWNER] = "owners (of %s)",
        [VERSIONS_LEFT_BITS] = "setuid and setgid bits (of %s)",
        [VERSIONS_LEFT_ATTRIBUTE] = "capabilities and trusted attributes (%s)",
        [VERSIONS_LEFT_DEVICE] = "devices (%s)"};
    char text[256] = "", count[32];
    size_t size = 0;
    for (int i = 0; i < VERSIONS_LEFT_KINDS; i++) {
        char one[80];
        if (!p->install.left_out[i]) continue;
        snprintf(one, sizeof one, kinds[i], prog_count_text(p->install.left_out[i], count));
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%s", size ? ", " : "", one);
        assert(size < sizeof text);
    }
    if (size)
        prog_warn("%s: left out: %s; the contents were verified, owners and rights were not; "
                  "use --owner to restore them",
                  p->o->path, text);
}

static const char *const outcomes[] = {"unchanged", "patch", "full"};

/* The common start of a summary and a plan. */
static void begin_json(prog_json *j, const pull *p, const char *name, int outcome)
{
    prog_json_begin(j);
    prog_json_text(j, "name", name);
    prog_json_number(j, "version", p->plan.version);
    prog_json_text(j, "path", p->o->path);
    prog_json_text(j, "outcome", outcomes[outcome]);
}

static void print_summary(const pull *p)
{
    int outcome = p->plan.outcome;
    char size[32], wire[32], hash[65], verified[65], name[PROG_NAME_SIZE_MAX + 1];
    char check[96];
    uint64_t asked;
    uint64_t bytes = p->transfer.sent + p->transfer.received;
    if (outcome == DXUP_SYNCED) outcome = is_update(p) ? DXUP_PATCHED : DXUP_FULL;
    double ms = (double)(prog_now_ns() - p->started_ns) / 1e6;
    prog_progress(NULL, 0, 0, true);
    prog_hash_text(p->plan.hash, hash);
    /* For a fetched snapshot the server sends the hash of its content, which is not verified;
       the root is. Otherwise the hash of the content was verified, and it is not the one that
       `dxup log` shows. */
    const bool content = p->plan.kind == PROG_TREE && !p->plan.syncs;
    const bool snapshot = p->plan.kind == PROG_TREE && p->plan.syncs;
    prog_hash_text(snapshot ? p->plan.root : p->plan.hash, verified);
    versions_split_version(p->o->name, name, &asked); /* the version is printed separately */
    if (p->o->json) {
        prog_json j;
        begin_json(&j, p, name, outcome);
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
        prog_say("%s@%llu %s: %s bytes on the wire for %s, %.1f ms, %sBLAKE3 %.16s...%s",
                 name, (unsigned long long)p->plan.version, outcomes[outcome],
                 prog_count_text(bytes, wire), prog_count_text(p->plan.size, size), ms,
                 content ? "content's " : "", verified, check);
        if (p->transfer.kept)
            prog_say("; resumed: an earlier pull had left %s",
                     prog_count_text(p->transfer.kept, size));
        prog_say("\n");
    }
}

/* --dry-run. For a patch or the full content the server has sent the size. For objects it has said how
   large its answers would be. A server of an earlier release does not: then the missing content is known,
   which is an upper limit, because objects are sent compressed or as deltas. */
static void print_plan(const pull *p)
{
    char name[PROG_NAME_SIZE_MAX + 1], size[32], wire[32];
    uint64_t asked, most = p->transfer.sent + p->transfer.received;
    const bool limit = p->plan.syncs && !p->transfer.lacking.sizes;
    int outcome = p->plan.outcome;
    if (outcome == DXUP_SYNCED || p->plan.syncs)
        outcome = p->plan.have_kind == p->plan.kind ? DXUP_PATCHED : DXUP_FULL;
    if (limit) most += p->transfer.lacking.bytes;
    else if (p->plan.syncs)
        most = p->transfer.lacking.bytes +
               (p->plan.kind == PROG_FILE && p->plan.have_kind == PROG_FILE ? DXUP_FILE_GREETING : DXUP_GREETING);
    else if (outcome != DXUP_UNCHANGED) /* a part of it may have been received already */
        most = p->transfer.sent + REPLY_SIZE + p->plan.wire_size;
    prog_progress(NULL, 0, 0, true);
    versions_split_version(p->o->name, name, &asked);
    if (p->o->json) {
        prog_json j;
        begin_json(&j, p, name, outcome);
        prog_json_number(&j, limit ? "wire_max" : "wire", most);
        prog_json_number(&j, "size", p->plan.size);
        prog_json_flag(&j, "dry_run", true);
        prog_json_end(&j);
        return;
    }
    if (outcome == DXUP_UNCHANGED)
        prog_say("%s@%llu is in %s already\n", name, (unsigned long long)p->plan.version, p->o->path);
    else
        prog_say("%s@%llu would be pulled to %s: %s%s bytes on the wire for %s\n", name,
                 (unsigned long long)p->plan.version, p->o->path, limit ? "at most " : "",
                 prog_count_text(most, wire), prog_count_text(p->plan.size, size));
}

/* Remove the store that was created to find the missing objects; the remains of an
   interrupted pull stay. */
static int end_dry_run(pull *p)
{
    int status = PROG_OK;
    dxup_pull_close_store(p);
    if (!p->install.left_store) status = versions_dest_remove_beside(&p->install.dest, PULL_STORE);
    if (!status) print_plan(p);
    p->install.dest.keep = p->plan.left_staging && p->plan.kind == PROG_FILE;
    return status;
}

/* The result of a pull, for --exec. */
typedef struct deed {
    bool     changed; /* the destination was modified */
    uint64_t from;    /* version numbers; 0: unknown */
    uint64_t to;
} deed;

/* Note the recorded version of the destination before it is overwritten. */
static void note_from(pull *p)
{
    uint8_t hash[PROG_HASH_SIZE];
    char name[PROG_NAME_SIZE_MAX + 1];
    const size_t length = strcspn(p->o->name, "@"); /* NAME@VERSION and NAME@TAG are NAME, too */
    if (!p->plan.have_kind ||
        !versions_dest_recorded_as(&p->install.dest, name, &p->install.from, hash) ||
        strcspn(name, "@") != length || memcmp(name, p->o->name, length) != 0)
        p->install.from = 0;
}

/* *again: retry, replace the whole destination, and request no patch between containers. Set if the
   remains of an earlier pull may be damaged, which are removed; if a part of the directory cannot
   be replaced separately; or if a patch between containers cannot be applied here. */
static int pull_once(const dxup_options *o, versions_guard *guard, bool whole, bool *again,
                     deed *done)
{
    pull *p = dxup_pull_open(o);
    int status = PROG_OK;
    bool refused = false;
    p->install.guard = guard;
    p->install.replaces_all = whole;
    status = dxup_addresses_find(&p->transfer.addresses, o->address, "the address");
    if (!status) status = dxup_pull_stat(p);
    if (!status)
        status = versions_dest_find_staging(&p->install.dest, o->path, &p->plan.left_staging);
    if (!status) status = dxup_pull_ask(p);
    const bool accepted = !status;
    if (!status && p->o->seed &&
        (p->plan.syncs ? p->plan.kind == PROG_FILE : p->transfer.next > 0))
        prog_warn("--seed is ignored: %s is not pulled as a directory of objects", p->o->name);
    if (!status && p->plan.syncs) status = dxup_pull_fetch(p);
    if (o->dry_run) {
        if (!status) status = end_dry_run(p);
        dxup_pull_close(p);
        return status;
    }
    if (!status && !p->plan.syncs && p->plan.kind == PROG_TREE && !p->plan.asks_sync)
        status = dxup_pull_restore_details(p);
    if (!status && p->install.complete) status = dxup_pull_replace(p, &refused);
    if (!status && p->install.complete && p->plan.syncs) dxup_pull_save_cache(p);
    if (!status) note_from(p);
    if (!status && !p->install.complete && p->plan.asks_sync) dxup_pull_save_unchanged(p);
    if (!status) status = dxup_pull_record(p);
    if (accepted && status && status != PROG_NETWORK && p->plan.syncs &&
        !refused) /* a wrong cache may be the reason */
        (void)versions_dest_remove_beside(&p->install.dest, PULL_CACHE);
    dxup_pull_close_store(p);
    /* The fetched objects are useless now: they are installed, or can never be, or the disk is full. */
    if ((p->plan.asks_sync || !status) && status != PROG_NETWORK && !refused) {
        int forgotten = versions_dest_remove_beside(&p->install.dest, PULL_STORE);
        if (!status) status = forgotten;
    }
    const bool changed = p->install.complete || p->install.settled;
    if (!status && (changed || !o->watching)) print_summary(p);
    if (!status) *done = (deed){changed, p->install.from, p->plan.version};
    if (!status) warn_of_owners(p);
    *again = refused || p->transfer.cannot_pack ||
             (status == PROG_DAMAGED && (p->transfer.kept || p->install.left_store));
    p->install.dest.keep = status == PROG_NETWORK && dxup_pull_can_resume(p) && p->transfer.next;
    if (!status) status = p->install.partial;
    dxup_pull_close(p);
    return status;
}

/* Run --exec. Values are passed in variables, never in the text that the shell parses. */
static int run_command(const dxup_options *o, const deed *done)
{
    char name[PROG_NAME_SIZE_MAX + 1], from[24] = "", to[24];
    uint64_t asked;
    versions_split_version(o->name, name, &asked);
    if (done->from) snprintf(from, sizeof from, "%llu", (unsigned long long)done->from);
    snprintf(to, sizeof to, "%llu", (unsigned long long)done->to);
    if (os_set_variable("DXUP_NAME", name) || os_set_variable("DXUP_FROM", from) ||
        os_set_variable("DXUP_TO", to) || os_set_variable("DXUP_PATH", o->path))
        return prog_fail_errno("--exec cannot be run");
    fflush(stdout); /* so that the summary precedes its output */
    const int status = os_run(o->exec);
    if (status < 0) return prog_fail_errno("--exec cannot be run");
    if (!status) return PROG_OK;
    if (status > 255)
        return prog_fail(PROG_HOOK, "%s is updated; --exec was killed by signal %d: %s", o->path,
                         status - 256, o->exec);
    return prog_fail(PROG_HOOK, "%s is updated; --exec failed with status %d: %s", o->path, status,
                     o->exec);
}

int dxup_pull(const dxup_options *o)
{
    bool again = false;
    os_info seed;
    deed done = {.changed = false};
    int status = dxup_refuse_zero(o->name);
    if (!status && !dxup_is_address(o->address) && versions_store_is_at(o->address))
        status = prog_fail(PROG_USAGE, "%s is a store on this machine, not a server: 'dxup checkout %s %s %s' "
                                       "copies from it", o->address, o->address, o->name, o->path);
    if (status) return status;
    if (o->seed && os_stat(o->seed, true, &seed) < 0) return prog_fail_errno("%s", o->seed);
    if (o->seed && seed.kind != OS_FOLDER)
        return prog_fail(PROG_USAGE, "--seed: %s is not a directory", o->seed);
    if (o->connections > CONNECTIONS_MAX)
        return prog_fail(PROG_USAGE, "--connections: a pull uses at most %d", CONNECTIONS_MAX);
    /* Both attempts compare with the destination from before the first one. */
    versions_guard guard;
    status = versions_guard_lock(&guard, o->path);
    if (!status) status = pull_once(o, &guard, false, &again, &done);
    if (again) status = pull_once(o, &guard, true, &again, &done);
    versions_guard_close(&guard);
    if (!done.changed || !o->exec) return status;
    const int ran = run_command(o, &done);
    return ran ? ran : status;
}
