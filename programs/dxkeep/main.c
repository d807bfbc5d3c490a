/* dxkeep: the command line. keep.h lists the files. */
#include "keep.h"

#include "stop_signal.h"
#include "diffkeeper.h"
#include "gc.h"
#include "in_place.h"
#include "pins.h"
#include "remote.h"
#include "../versions/filter.h"
#include "../common/os.h"

#include <string.h>

static int verify(const keep_options *o)
{
    keep_pins pins;
    const int pinned = versions_store_is_at(o->store) ? keep_pins_load(&pins, o->store, o->name) : PROG_NOT_FOUND;
    if (!pinned) keep_pins_free(&pins);
    const bool damaged = pinned && pinned != PROG_NOT_FOUND;
    const int status = versions_store_check(o->store, o->json, o->quiet || damaged);
    return status || !damaged ? status : pinned;
}

static int restore(const keep_options *o)
{
    return o->remote ? keep_remote_restore(o) : keep_restore(o);
}

static int (*const runs[KEEP_COMMANDS])(const keep_options *o) = {
    [KEEP_RUN] = keep_run, [KEEP_DAEMON] = keep_run,      [KEEP_CAPTURE] = keep_capture_once,
    [KEEP_LOG] = keep_log, [KEEP_LS] = keep_ls,           [KEEP_CAT] = keep_cat,
    [KEEP_DIFF] = keep_diff, [KEEP_RESTORE] = restore, [KEEP_VERIFY] = verify,
    [KEEP_GC] = keep_collect, [KEEP_PIN] = keep_pin, [KEEP_STATUS] = keep_status,
    [KEEP_TIMELINE] = keep_timeline, [KEEP_EXPORT] = keep_export, [KEEP_MOUNT] = keep_mount,
    [KEEP_RECORD] = keep_record, [KEEP_REPLAY] = keep_replay,
};

/* Take the program to run, which follows "--". Returns the number of arguments before it. */
static int parse_program(keep_options *o, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--") != 0) continue;
        if (i + 1 < argc) o->program = argv + i + 1;
        return i;
    }
    return argc;
}

/* Put the rules first, because the first rule that matches decides. */
static int leave_out_journal(prog_list *rules)
{
    int status = versions_filter_check(rules);
    if (!status && rules->count > PROG_LIST_MAX - 2)
        status = prog_fail(PROG_USAGE, "--exclude and --include: more than %d of them",
                           PROG_LIST_MAX - 2);
    if (status) return status;
    memmove(rules->items + 2, rules->items, rules->count * sizeof *rules->items);
    rules->items[0].option = "--exclude";
    rules->items[0].value = "/" KEEP_IN_PLACE_NAME;
    rules->items[1].option = "--exclude";
    rules->items[1].value = "/" KEEP_REPLAY_NAME;
    rules->count += 2;
    return PROG_OK;
}

/* Bytes held in memory while the locks are held. Databases under load change more than what a short stop
   of a program leaves to read. */
enum { APP_HELD_MAX = 256 << 20 };

static int leave_out(prog_list *rules, const char *const *patterns)
{
    for (; *patterns; patterns++) {
        if (rules->count == PROG_LIST_MAX)
            return prog_fail(PROG_USAGE, "--exclude and --include: too many of them, with --app");
        rules->items[rules->count].option = "--exclude";
        rules->items[rules->count++].value = *patterns;
    }
    return PROG_OK;
}

/* STORE MOMENT TARGET, or with --remote only TARGET. */
static int parse_restore(keep_options *o, char **plain)
{
    if (o->remote && plain[1])
        return prog_fail(PROG_USAGE, "with --remote there is no STORE: dxkeep restore --remote "
                                     "ADDR:PORT[/NAME] TARGET [--time MOMENT]");
    if (!o->remote && (!plain[2] || o->moment))
        return prog_fail(PROG_USAGE, "usage: dxkeep restore STORE MOMENT TARGET; --time is for --remote");
    if (o->remote && o->path)
        return prog_fail(PROG_USAGE, "--path is not for --remote: restore all of it");
    o->store = o->remote ? "" : os_path(plain[0]);
    if (!o->remote) o->moment = plain[1];
    o->target = os_path(plain[o->remote ? 0 : 2]);
    return PROG_OK;
}

/* Fill *o. argv begins after the command, and is NULL-terminated. */
static int parse(keep_options *o, int command, int argc, char **argv)
{
    char *plain[PROG_PLAIN_MAX];
    if (command == KEEP_RUN || command == KEEP_RECORD) argc = parse_program(o, argc, argv);
    if (command == KEEP_RECORD || command == KEEP_REPLAY) o->name = "record";
    if (command == KEEP_RECORD) o->directory = ".";
    int status = prog_arguments_parse(&keep_program, command, argc, argv, o, plain);
    if (status) return status;
    if (command == KEEP_RUN && !o->program)
        return prog_fail(PROG_USAGE, "'run' needs a program; usage: dxkeep run STORE DIR -- "
                                     "PROGRAM [ARGUMENT...]");
    if (command == KEEP_RECORD && !o->program)
        return prog_fail(PROG_USAGE, "'record' needs a command; usage: dxkeep record STORE -- COMMAND "
                                     "[ARGUMENT...]");
    if (command == KEEP_RESTORE) return parse_restore(o, plain);
    o->store = os_path(plain[0]);
    if (command == KEEP_EXPORT) {
        o->target = strcmp(plain[1], "-") ? os_path(plain[1]) : plain[1];
        if (!o->moment) o->moment = "latest";
    } else if (command == KEEP_MOUNT) {
        o->target = os_path(plain[1]);
    } else if (command == KEEP_LS || command == KEEP_CAT) {
        o->moment = plain[1];
        o->path = plain[2] ? plain[2] : "";
    } else if (command == KEEP_REPLAY) {
        o->moment = plain[1];
        o->target = os_path(plain[2]);
    } else if (command == KEEP_PIN) {
        o->moment = plain[1];
    } else if (command == KEEP_DIFF) {
        o->moment = plain[1];
        o->second = plain[2];
    } else if (command != KEEP_RECORD) {
        o->directory = os_path(plain[1]);
    }
    return PROG_OK;
}

static int check(keep_options *o, int command)
{
    uint64_t version;
    char name[PROG_NAME_SIZE_MAX + 1];
    if (strlen(o->name) <= PROG_NAME_SIZE_MAX) versions_split_version(o->name, name, &version);
    else version = 1;
    if (version || !*o->name || versions_tag_in(o->name))
        return prog_fail(PROG_USAGE, "'%s' is not a valid name: %s, without @VERSION or @TAG",
                                     o->name, PROG_NAME_RULE);
    if (command == KEEP_RUN || command == KEEP_DAEMON || command == KEEP_RECORD || o->quiet || o->json) prog_progress_off();
    /* Each version would contain all earlier ones. */
    if (o->directory && prog_lies_in(o->store, o->directory))
        return prog_fail(PROG_REFUSED, "%s contains the store %s; keep the store outside of it",
                                       o->directory, o->store);
    int status = keep_rule_check(o->keep);
    if (!status) status = keep_app_check(o->app);
    const int ways = (o->app != NULL) + (o->freeze_pid != 0) + (o->freeze_pidfile != NULL) +
                     (o->freeze_cgroup != NULL);
    if (!status && ways > 1)
        status = prog_fail(PROG_USAGE, "--app, --freeze-pid, --freeze-pidfile and --freeze-cgroup: one of them");
    if (!status && !keep_stop_signal_set(o->stop_signal))
        status = prog_fail(PROG_USAGE, "--stop-signal: '%s' is not TERM, INT, QUIT, HUP, USR1, USR2 or KILL",
                           o->stop_signal);
    if (!status && o->app_connect && !keep_app_is_backup(o->app))
        status = prog_fail(PROG_USAGE, "--app-connect is for --app postgres");
    if (!status) status = leave_out_journal(&o->rules);
    if (keep_app_is_backup(o->app)) return status ? status : keep_backup_leave_out(&o->rules);
    if (o->app) o->held_max = APP_HELD_MAX;
    return status ? status : leave_out(&o->rules, keep_app_left_out(o->app));
}

int main(int argc, char **argv)
{
    keep_options o = {.name = "dir", .quiet_ns = 100000000, .hold_ns = 1000000000,
                      .pause_ns = 50000000, .held_max = 64 << 20, .grace_ns = 8000000000,
                      .hook_ns = 10000000000, .app_ns = 5000000000, .behind_max = 256, .lease_ns = 10000000000,
                      .scan_ns = 60000000000, .lag_max_ns = UINT64_MAX,
                      .limits = {VERSIONS_ENTRIES_MAX, VERSIONS_SIZE_MAX}};
    int command;
    prog_begin("dxkeep", &argc, &argv);
    int status;
    if (keep_is_diffkeeper(argc - 1, argv + 1)) {
        status = keep_diffkeeper_parse(argc - 1, argv + 1, &o, &command);
    } else {
        status = prog_choose(&keep_program, argc, argv, &command);
        if (!status && command >= 0) status = parse(&o, command, argc - 2, argv + 2);
    }
    if (!status && command >= 0) status = check(&o, command);
    if (!status && command >= 0) status = runs[command](&o);
    return prog_end(status);
}
