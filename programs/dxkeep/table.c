/* What dxkeep understands, and says of itself.

   Every line of `examples` is run by tests/programs/test_dxkeep.py, from the first command to the
   last, in a folder with ./data. */
#include "keep.h"

#include "../common/os.h"

#include "../../dx_cas.h"

/* Bits of commands, for options and statuses. */
enum {
    RUN      = 1 << KEEP_RUN,
    DAEMON   = 1 << KEEP_DAEMON,
    CAPTURE  = 1 << KEEP_CAPTURE,
    LOG      = 1 << KEEP_LOG,
    RESTORE  = 1 << KEEP_RESTORE,
    VERIFY   = 1 << KEEP_VERIFY,
    WATCHERS = RUN | DAEMON,
    WRITERS  = WATCHERS | CAPTURE
};

static const prog_command commands[KEEP_COMMANDS] = {
    [KEEP_RUN] =
        {.name = "run",
         .arguments = "STORE DIR -- PROGRAM [ARGUMENT...]",
         .summary = "Run a program and capture DIR whenever something in it changes",
         .details = "If DIR is missing or empty, and the store has versions, the latest one is\n"
                    "restored first. DIR is captured before the program starts, while it runs, and\n"
                    "after it has ended. Changes are captured when a path was quiet for --quiet-ms,\n"
                    "and at the latest --hold-ms after the first. Signals are passed on to the\n"
                    "program, children that it leaves behind are reaped, and its exit status is\n"
                    "that of dxkeep: 128 and the signal's number if it was killed, 126 or 127 if\n"
                    "it could not be started. If it ended with 0 and the last capture failed, the\n"
                    "status is one of those below.\n"
                    "\n"
                    "A version is complete or it is not there, wherever dxkeep is killed. Each file\n"
                    "in it is as it was at one moment, unless it changed during every one of\n"
                    "several reads: then a message names it, and `log` counts it. Different files\n"
                    "may be of different moments between the first and the last read.",
         .examples = "dxkeep run store data -- sh -c 'echo 1 >data/a; sleep 1; echo 2 >data/b'"},
    [KEEP_DAEMON] =
        {.name = "daemon",
         .arguments = "STORE DIR",
         .summary = "Capture DIR whenever something in it changes, until Ctrl-C or SIGTERM",
         .details = "It does the same as run, without a program, and stays in the foreground.",
         .examples = "dxkeep daemon store data --verbose"},
    [KEEP_CAPTURE] =
        {.name = "capture",
         .arguments = "STORE DIR",
         .summary = "Capture DIR once",
         .details = "A directory that equals the latest version adds no version. Files that are as\n"
                    "the last capture saw them are not read.",
         .examples = "dxkeep capture store data"},
    [KEEP_LOG] =
        {.name = "log",
         .arguments = "STORE",
         .summary = "List the versions, newest first",
         .details = "A line has the version, when it was captured (UTC), its bytes, and the first\n"
                    "digits of the hash from which all of it is verified.",
         .examples = "dxkeep log store\n"
                     "dxkeep log store --limit 1 --json"},
    [KEEP_RESTORE] =
        {.name = "restore",
         .arguments = "STORE MOMENT TARGET",
         .summary = "Write the directory as it was at a moment to TARGET",
         .details = "MOMENT is `latest`, the number of a version, a time in UTC as log prints it\n"
                    "('2026-11-23 13:05:00', with or without a fraction), or 90s, 5m, 2h, 3d for so\n"
                    "long ago. A time stands for the latest version at that time. TARGET is replaced\n"
                    "atomically, after everything was verified by hash.",
         .examples = "dxkeep restore store latest ./copy\n"
                     "dxkeep restore store 1 ./copy --force"},
    [KEEP_VERIFY] =
        {.name = "verify",
         .arguments = "STORE",
         .summary = "Read and hash everything in a store again",
         .details = "After damage was found, it says which versions are whole.",
         .examples = "dxkeep verify store"},
};

#define FIELD(name) PROG_FIELD(keep_options, name)

static const prog_option options[] = {
    {"--name", PROG_OPTION_TEXT, FIELD(name), .commands = WRITERS | LOG | RESTORE, .value = "NAME",
     .help = "of the versions in the store (default dir): a\nstore has room for several directories"},
    {"--quiet-ms", PROG_OPTION_NUMBER, FIELD(quiet_ns), .min = 1, .max = 3600000, .unit = 1000000,
     .commands = WATCHERS, .value = "MS", .help = "a changed path is captured when it was quiet for\n"
                                                  "so long (default 100)"},
    {"--hold-ms", PROG_OPTION_NUMBER, FIELD(hold_ns), .min = 1, .max = 3600000, .unit = 1000000,
     .commands = WATCHERS, .value = "MS", .help = "or so long after its first change (default 1000)"},
    {"--scan-s", PROG_OPTION_NUMBER, FIELD(scan_ns), .max = 1000000, .unit = 1000000000,
     .commands = WATCHERS, .value = "S",
     .help = "look at everything so often, for what is not\nnotified, such as stores to mapped files\n"
             "(default 60; 0: only at the end)"},
    {"--pause-max-ms", PROG_OPTION_NUMBER, FIELD(pause_ns), .min = 1, .max = 60000, .unit = 1000000,
     .commands = WATCHERS, .value = "MS",
     .help = "stop the program for at most so long, to read what\nit just changed (default 50)"},
    {"--grace", PROG_OPTION_NUMBER, FIELD(grace_ns), .max = 100000, .unit = 1000000000,
     .commands = WATCHERS, .value = "S",
     .help = "aim to end so long after the program: from a quarter\nof it on chunks are stored whole, not as deltas\n"
             "(default 8)"},
    {"--no-freeze", PROG_OPTION_FLAG, FIELD(no_freeze), .commands = RUN,
     .help = "do not stop the program: no version is consistent\nwhile it runs"},
    {"--freeze-pid", PROG_OPTION_NUMBER, FIELD(freeze_pid), .min = 2, .max = INT32_MAX, .unit = 1,
     .commands = DAEMON, .value = "PID",
     .help = "stop this process and its descendants for each\ncapture"},
    {"--freeze-cgroup", PROG_OPTION_TEXT, FIELD(freeze_cgroup), .commands = DAEMON, .value = "DIR",
     .help = "freeze this cgroup (version 2) for each capture"},
    {"--exclude", PROG_OPTION_LIST, FIELD(rules), .commands = WRITERS, .value = "PATTERN",
     .help = "leave out paths that match; of all --exclude and\n"
             "--include the first that matches decides"},
    {"--include", PROG_OPTION_LIST, FIELD(rules), .commands = WRITERS, .value = "PATTERN",
     .help = "take paths that match"},
    {"--no-owner", PROG_OPTION_FLAG, FIELD(omit.owner), .commands = WRITERS | RESTORE,
     .help = "leave out owners, and with them setuid and\nsetgid bits, capabilities and devices;\n"
             "to restore owners and devices takes root"},
    {"--no-xattrs", PROG_OPTION_FLAG, FIELD(omit.xattrs), .commands = WRITERS | RESTORE,
     .help = "leave out extended attributes and access\ncontrol lists"},
    {"--no-restore", PROG_OPTION_FLAG, FIELD(fresh), .commands = WATCHERS,
     .help = "do not restore an empty directory first"},
    {"--entries-max", PROG_OPTION_NUMBER, FIELD(limits.entries_max), .min = 1, .max = UINT64_MAX,
     .commands = RESTORE | WATCHERS, .value = "N",
     .help = "refuse to restore a directory with more entries\n(default 10000000)"},
    {"--size-max", PROG_OPTION_NUMBER, FIELD(limits.size_max), .min = 1, .max = UINT64_MAX,
     .commands = RESTORE | WATCHERS, .value = "BYTES",
     .help = "refuse to restore a directory with more bytes,\nholes counted as zeros (default 1 TiB)"},
    {"--workers", PROG_OPTION_NUMBER, FIELD(workers), .min = 1, .max = OS_WORKERS_MAX,
     .commands = WRITERS | RESTORE, .value = "N",
     .help = "threads (default: one for each processor)"},
    {"--limit", PROG_OPTION_NUMBER, FIELD(limit), .min = 1, .max = UINT32_MAX, .commands = LOG,
     .value = "N", .help = "the latest N versions (default: all)"},
    {"--force", PROG_OPTION_FLAG, FIELD(force), .commands = RESTORE,
     .help = "replace a directory that is not empty"},
    {"--json", PROG_OPTION_FLAG, FIELD(json), .commands = CAPTURE | LOG | RESTORE | VERIFY,
     .help = "print JSON, one object a line"},
    {"--verbose", PROG_OPTION_FLAG, FIELD(verbose), .commands = WATCHERS,
     .help = "say on standard error what was captured"},
    {"--quiet", PROG_OPTION_FLAG, FIELD(quiet), .commands = WRITERS | RESTORE | VERIFY,
     .help = "print no summary, and do not name files that\nchange while they are read"},
};

static const prog_exit exits[] = {
    {PROG_OK, 0, "done"},
    {PROG_USAGE, 0, "usage: an option or argument that is not valid"},
    {PROG_NOT_FOUND, 0, "no such store, version or directory"},
    {PROG_DAMAGED, 0, "corrupt data: bytes that do not match their hash"},
    {PROG_SYSTEM, 0, "system error: disk full, permission, memory"},
    {PROG_REFUSED, WRITERS | RESTORE,
     "refused, because data would be lost or another process is writing"},
    {PROG_PARTIAL, WATCHERS | RESTORE, "done, but what is listed could not be restored"},
};

const prog_program keep_program = {
    .name = "dxkeep",
    .summary = "capture a directory while a program runs, restore it as it was at any moment",
    .about = "dxkeep captures a directory while a program runs, and restores it as it was at any\n"
             "moment. Versions are in a store of dxup, where they share what is equal; dxup can\n"
             "list, compare, serve and collect them, too.",
    .version = DX_CAS_VERSION,
    .zstd = PROG_HAS_ZSTD,
    .commands = commands,
    .command_count = KEEP_COMMANDS,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .exits = exits,
    .exit_count = sizeof exits / sizeof *exits,
};
