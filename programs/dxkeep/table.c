/* The commands and options of dxkeep, with their help texts.

   Every line of `examples` is run by tests/programs/test_dxkeep.py, from the first command to the
   last, in a folder with ./data. */
#include "keep.h"

#include "app.h"
#include "../containers/container.h"
#include "../common/os.h"

#include "../../dx_cas.h"

/* Bits for commands, in options and statuses. */
enum {
    RUN      = 1 << KEEP_RUN,
    DAEMON   = 1 << KEEP_DAEMON,
    CAPTURE  = 1 << KEEP_CAPTURE,
    LOG      = 1 << KEEP_LOG,
    LS       = 1 << KEEP_LS,
    CAT      = 1 << KEEP_CAT,
    DIFF     = 1 << KEEP_DIFF,
    RESTORE  = 1 << KEEP_RESTORE,
    EXPORT   = 1 << KEEP_EXPORT,
    MOUNT    = 1 << KEEP_MOUNT,
    VERIFY   = 1 << KEEP_VERIFY,
    GC       = 1 << KEEP_GC,
    PIN      = 1 << KEEP_PIN,
    STATUS   = 1 << KEEP_STATUS,
    TIMELINE = 1 << KEEP_TIMELINE,
    RECORD   = 1 << KEEP_RECORD,
    REPLAY   = 1 << KEEP_REPLAY,
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
                    "after it has ended. A change is captured once its path was quiet for --quiet-ms,\n"
                    "at the latest --hold-ms after the first change.\n"
                    "\n"
                    "Signals are forwarded to the program, and orphaned children are reaped. dxkeep\n"
                    "exits with the program's status: 128 plus the signal's number if it was killed,\n"
                    "126 or 127 if it could not be started. If the program ended with 0 and the last\n"
                    "capture failed, the status is one of those below.\n"
                    "\n"
                    "Captures are atomic: if dxkeep is killed, a version is complete or does not\n"
                    "exist. For each capture the program is stopped for at most --pause-max-ms, to\n"
                    "read its latest changes: then all files of the version are of one instant, and\n"
                    "`log` calls it consistent. Otherwise it is torn; `dxkeep help consistent` says\n"
                    "what that means.\n"
                    "\n"
                    "If dxkeep is killed, the program is, too. With --supervise a small process above\n"
                    "both starts dxkeep again instead, and the program runs on. After ten failures in\n"
                    "a row without a capture it ends the program, with status 5.\n"
                    "\n"
                    "With --remote each version also goes to a server elsewhere, beside the captures.\n"
                    "If that is away, slow or full, capturing continues, and the versions follow\n"
                    "later. If STORE has no versions, it continues with the latest one of the remote.\n"
                    "\n"
                    "`dxkeep --state-dir=DIR --store=STORE [FLAG...] -- PROGRAM [ARGUMENT...]` does\n"
                    "the same; docs/dxkeep-diffkeeper.md lists the flags, those of DiffKeeper.",
         .examples = "dxkeep run store data -- sh -c 'echo 1 >data/a; sleep 1; echo 2 >data/b'"},
    [KEEP_DAEMON] =
        {.name = "daemon",
         .arguments = "STORE DIR",
         .summary = "Capture DIR whenever something in it changes, until Ctrl-C or SIGTERM",
         .details = "It captures as `run` does, without a program, and stays in the foreground.\n"
                    "Versions are torn without --freeze-pid, --freeze-cgroup or --app: `dxkeep help\n"
                    "consistent`.\n"
                    "\n"
                    "--app sqlite is for programs that dxkeep neither starts nor stops. Each capture\n"
                    "first reads what changed, then locks all SQLite databases in DIR, which it finds\n"
                    "by their first bytes, reads what changed meanwhile, and ends the locks. Programs\n"
                    "read on; transactions that write wait, or fail at once without a busy timeout.\n"
                    "`log` calls a version consistent if all databases were locked during all of the\n"
                    "last read: each is as of that moment, after a commit. Other files may be of\n"
                    "moments before it.\n"
                    "\n"
                    "--app postgres is for a server with the data directory DIR. Each capture is an\n"
                    "online backup: it costs a checkpoint and the rest of a file of the server's log,\n"
                    "so give it a long --hold-ms and --quiet-ms. A server that starts on a restored\n"
                    "version recovers everything that was committed before the version's time. psql\n"
                    "must be installed; passwords come from PGPASSFILE or PGPASSWORD.\n"
                    "\n"
                    "--app redis waits for nothing and connects to nothing: it reads the append-only\n"
                    "file again until Redis has not begun a new one meanwhile. A version has all\n"
                    "commands that were in it when the capture began, and ends after a whole one or\n"
                    "a transaction.",
         .examples = "dxkeep daemon store data --verbose"},
    [KEEP_CAPTURE] =
        {.name = "capture",
         .arguments = "STORE DIR",
         .summary = "Capture DIR once",
         .details = "If DIR equals the latest version, no version is added. Files that have not\n"
                    "changed since the last capture are not read again. If an entry cannot be read,\n"
                    "the rest is captured, and the status is 5.\n"
                    "\n"
                    "Nothing keeps programs from writing meanwhile: without --app the version is torn\n"
                    "(`dxkeep help consistent`), and `export` takes it only with --torn.",
         .examples = "dxkeep capture store data"},
    [KEEP_LOG] =
        {.name = "log",
         .arguments = "STORE",
         .summary = "List the versions, newest first",
         .details = "Each line has the version, the time of capture (UTC), the size in bytes, and the\n"
                    "first digits of the root hash, which covers all of it. For a torn version, the\n"
                    "reasons and up to 16 names that changed during the capture follow.",
         .examples = "dxkeep log store\n"
                     "dxkeep log store --limit 1 --json"},
    [KEEP_LS] =
        {.name = "ls",
         .arguments = "STORE MOMENT [PATH]",
         .summary = "List a version's entries, or those of a directory in it",
         .details = "`dxkeep help moment` explains MOMENT. Each line has the mode, the size, the time\n"
                    "of the last change and the name, as `ls -l` has them.",
         .examples = "dxkeep ls store latest\n"
                     "dxkeep ls store 1 --recursive --json"},
    [KEEP_CAT] =
        {.name = "cat",
         .arguments = "STORE MOMENT PATH",
         .summary = "Write a file of a version to standard output",
         .details = "`dxkeep help moment` explains MOMENT. Each chunk is verified by its hash before\n"
                    "it is written.",
         .examples = "dxkeep cat store latest a"},
    [KEEP_DIFF] =
        {.name = "diff",
         .arguments = "STORE MOMENT MOMENT",
         .summary = "Show what changed between two versions",
         .details = "`dxkeep help moment` explains MOMENT. Prints each entry that was added, removed,\n"
                    "changed (type, mode, content, owner, attributes) or renamed (equal content under\n"
                    "another path). Times are not compared.",
         .examples = "dxkeep diff store 1 latest\n"
                     "dxkeep diff store 1 consistent --json"},
    [KEEP_RESTORE] =
        {.name = "restore",
         .arguments = "[STORE] [MOMENT] TARGET",
         .summary = "Write the directory as it was at a moment to TARGET",
         .details = "MOMENT is latest, consistent, a version's number, a time, or an age such as 5m:\n"
                    "`dxkeep help moment`.\n"
                    "\n"
                    "All content is verified by hash, then TARGET is replaced atomically. If TARGET\n"
                    "is a mount point, it is replaced entry by entry, with a journal in it: after a\n"
                    "crash the next run or restore completes it. If a program wrote to the old TARGET\n"
                    "meanwhile, that is kept as TARGET.dxup-kept, and the status is 6. A program that\n"
                    "has files of TARGET open keeps using the old ones: end it first.\n"
                    "\n"
                    "With --path only that directory or file is restored, and TARGET becomes it: for\n"
                    "a database with a log, such as SQLite's -wal, restore all of its files. A file\n"
                    "in it whose first name is outside becomes a file of its own.\n"
                    "\n"
                    "With --remote there is no STORE and no MOMENT: the version of --time is fetched\n"
                    "from that server alone. Until TARGET is replaced, what was fetched is beside it,\n"
                    "so an interrupted restore continues.",
         .examples = "dxkeep restore store latest ./copy\n"
                     "dxkeep restore store 1 ./copy --force\n"
                     "dxkeep restore store latest ./a --path a"},
    [KEEP_EXPORT] =
        {.name = "export",
         .arguments = "STORE FILE",
         .summary = "Write the directory as it was at a moment to FILE, a tar archive",
         .details = "The newest consistent version at or before the moment is exported; if a torn one\n"
                    "is newer, a message says so. FILE - is standard output. The archive has times to\n"
                    "the nanosecond, owners, hard links, holes, devices and extended attributes, the\n"
                    "access control lists among them; GNU tar extracts these with `tar --xattrs\n"
                    "--xattrs-include='*' -xpf FILE`.\n"
                    "\n"
                    "All content is verified by hash. FILE appears when it is complete; an archive on\n"
                    "standard output is complete if the status is 0.",
         .examples = "dxkeep export store data.tar\n"
                     "dxkeep export store - --time latest --torn | tar -tf -"},
    [KEEP_MOUNT] =
        {.name = "mount",
         .arguments = "STORE POINT",
         .summary = "Show the versions as folders below POINT, read-only, until Ctrl-C",
         .details = "POINT is a directory, which must exist; what it contains is hidden meanwhile.\n"
                    "POINT/46 is version 46, as the directory was; POINT/latest and POINT/consistent\n"
                    "are links to such a version, and so is the name of any other moment, such as\n"
                    "POINT/2h or 'POINT/2026-11-23 13:05:00'. Content is verified by its hash. New\n"
                    "versions appear while it runs. It needs a build with libfuse3, and /dev/fuse.\n"
                    "Only the user that runs it has access.",
         .examples = "dxkeep mount store history"},
    [KEEP_VERIFY] =
        {.name = "verify",
         .arguments = "STORE",
         .summary = "Read a whole store and check every hash",
         .details = "If it finds damage, it lists which versions are whole and which are damaged.",
         .examples = "dxkeep verify store"},
    [KEEP_GC] =
        {.name = "gc",
         .arguments = "STORE",
         .summary = "Remove old versions by a rule, and give back their space",
         .details = "--keep RULE is a list such as hourly=24,daily=30: of each of the last 24 hours\n"
                    "that have versions, and of each of the last 30 such days, one stays, if possible\n"
                    "a consistent one. There are last, minutely, hourly, daily and weekly, and\n"
                    "within=24h (or 90s, 5m, 3d, 1w): all versions not older than that. The latest\n"
                    "version, the latest consistent one, and pinned and tagged versions stay, too.\n"
                    "Without --keep all stay, and only what none of them needs is removed.\n"
                    "\n"
                    "The store is replaced atomically: after a crash it is as before, or as after.\n"
                    "`run` and `daemon` with --keep do the same beside their captures.",
         .examples = "dxkeep gc store --keep hourly=24,daily=30 --dry-run\n"
                     "dxkeep gc store --keep last=10"},
    [KEEP_PIN] =
        {.name = "pin",
         .arguments = "STORE MOMENT",
         .summary = "Keep a version, whatever rule `gc` and --keep have",
         .details = "`dxkeep help moment` explains MOMENT. It works while another process writes to\n"
                    "the store. `dxup gc --keep` does not know these pins.",
         .examples = "dxkeep pin store latest\n"
                     "dxkeep pin store latest --remove"},
    [KEEP_STATUS] =
        {.name = "status",
         .arguments = "STORE",
         .summary = "Show whether a dxkeep runs, its last version and lag, and the store's size",
         .details = "The lag is how long changes have been waiting that no version has. Counting what\n"
                    "no version needs reads the directories of all versions.",
         .examples = "dxkeep status store\n"
                     "dxkeep status store --json"},
    [KEEP_TIMELINE] =
        {.name = "timeline",
         .arguments = "STORE",
         .summary = "Show how many versions there are of each minute, hour or day, as bars",
         .details = "The newest come first. `...` stands for periods without a version.",
         .examples = "dxkeep timeline store\n"
                     "dxkeep timeline store --by hour --limit 24 --json"},
    [KEEP_RECORD] =
        {.name = "record",
         .arguments = "STORE -- COMMAND [ARGUMENT...]",
         .summary = "Run a command, and keep what it changes in a directory",
         .details = "The current directory, or --dir, is captured before the command starts and after\n"
                    "it has ended, as two versions in a row of the name `record`, or --name, even if\n"
                    "nothing changed. `diff`, `cat`, `restore` and `export` with that --name show\n"
                    "them. The store must be outside of the directory, and no other process can write\n"
                    "to it meanwhile.\n"
                    "\n"
                    "The status is the command's, as for `run`. If processes of the command still run\n"
                    "3 s after it has ended, the version after it is torn.\n"
                    "\n"
                    "The summary counts entries, and the bytes of files that were added or changed.\n"
                    "It goes to standard error, with --json to standard output, after all that the\n"
                    "command prints.",
         .examples = "dxkeep record store --dir data -- sh -c 'echo 3 >data/c'\n"
                     "dxkeep diff store 1 2 --name record"},
    [KEEP_REPLAY] =
        {.name = "replay",
         .arguments = "STORE MOMENT DIR",
         .summary = "Apply what a recorded command changed to another copy of its directory",
         .details = "MOMENT (`dxkeep help moment`) is the version after the command; the one before\n"
                    "it is that before in the store, or --from. If one of the entries that changed is\n"
                    "in DIR not as it was before (type, content, mode), DIR is not changed, and the\n"
                    "status is 6. Other entries of DIR are not looked at. DIR must be at rest.\n"
                    "\n"
                    "All new files are written to DIR/.dxkeep-replay and verified, before anything\n"
                    "changes. After a kill the same command continues. Times, owners and attributes\n"
                    "of directories stay as they are.",
         .examples = "dxkeep restore store 1 ./again --name record\n"
                     "dxkeep replay store 2 ./again"},
};

#define FIELD(name) PROG_FIELD(keep_options, name)

static const prog_option options[] = {
    {"--name", PROG_OPTION_TEXT, FIELD(name), .commands = WRITERS | LOG | LS | CAT | DIFF | RESTORE | EXPORT | MOUNT | GC | PIN | STATUS | TIMELINE,
     .value = "NAME",
     .help = "name of the versions in the store, which can hold\nseveral directories (default dir; those of `record`:\nrecord)"},
    {"--name", PROG_OPTION_TEXT, FIELD(name), .commands = RECORD | REPLAY, .value = "NAME",
     .help = "name of the versions in the store (default record)"},
    {"--dir", PROG_OPTION_TEXT, FIELD(directory), .commands = RECORD, .value = "DIR",
     .help = "the directory (default: the current one)"},
    {"--quiet-ms", PROG_OPTION_NUMBER, FIELD(quiet_ns), .min = 1, .max = 3600000, .unit = 1000000,
     .commands = WATCHERS, .value = "MS", .help = "capture a changed path once it was quiet for this\n"
                                                  "long (default 100)"},
    {"--hold-ms", PROG_OPTION_NUMBER, FIELD(hold_ns), .min = 1, .max = 3600000, .unit = 1000000,
     .commands = WATCHERS, .value = "MS", .help = "capture it at the latest this long after its first\nchange (default 1000)"},
    {"--scan-s", PROG_OPTION_NUMBER, FIELD(scan_ns), .max = 1000000, .unit = 1000000000,
     .commands = WATCHERS, .value = "S",
     .help = "scan all of DIR at this interval, for changes that\nare not notified, such as stores to mapped files\n"
             "(default 60; 0: only at the end)"},
    {"--pause-max-ms", PROG_OPTION_NUMBER, FIELD(pause_ns), .min = 1, .max = 60000, .unit = 1000000,
     .commands = WATCHERS, .value = "MS",
     .help = "stop the program for at most this long, to read\nits latest changes (default 50)"},
    {"--grace", PROG_OPTION_NUMBER, FIELD(grace_ns), .max = 100000, .unit = 1000000000,
     .commands = WATCHERS, .value = "S",
     .help = "aim to end within S seconds of the program; after a\nquarter of that, chunks are stored without deltas\n"
             "(default 8)"},
    {"--no-freeze", PROG_OPTION_FLAG, FIELD(no_freeze), .commands = RUN,
     .help = "do not stop the program; versions captured while it\nruns are not marked consistent"},
    {"--supervise", PROG_OPTION_FLAG, FIELD(supervise), .commands = RUN,
     .help = "start dxkeep again if it is killed; the program runs\non meanwhile, without captures"},
    {"--freeze-pid", PROG_OPTION_NUMBER, FIELD(freeze_pid), .min = 2, .max = INT32_MAX, .unit = 1,
     .commands = DAEMON, .value = "PID",
     .help = "stop this process and its descendants for each\ncapture"},
    {"--freeze-pidfile", PROG_OPTION_TEXT, FIELD(freeze_pidfile), .commands = DAEMON, .value = "FILE",
     .help = "the same; the PID is the first line of FILE, read\nagain for each capture"},
    {"--stop-signal", PROG_OPTION_TEXT, FIELD(stop_signal), .commands = RUN, .value = "NAME",
     .help = "end the program with this signal, such as INT, when\ndxkeep gets SIGTERM (default TERM)"},
    {"--freeze-cgroup", PROG_OPTION_TEXT, FIELD(freeze_cgroup), .commands = DAEMON, .value = "DIR",
     .help = "freeze this cgroup (version 2) for each capture"},
    {"--before-capture", PROG_OPTION_TEXT, FIELD(before_capture), .commands = WRITERS,
     .value = "CMD", .help = "run CMD with sh before each capture; if it fails,\n"
                             "the version is torn. CMD must not write to DIR"},
    {"--after-capture", PROG_OPTION_TEXT, FIELD(after_capture), .commands = WRITERS, .value = "CMD",
     .help = "run CMD with sh after each capture, also after one\n"
             "that failed; $DXKEEP_VERSION is the latest version,\n"
             "$DXKEEP_CONSISTENT is 1 if that is consistent"},
    {"--hook-max-s", PROG_OPTION_NUMBER, FIELD(hook_ns), .min = 1, .max = 3600, .unit = 1000000000,
     .commands = WRITERS, .value = "S",
     .help = "kill a CMD that runs longer than this (default 10)"},
    {"--app", PROG_OPTION_TEXT, FIELD(app), .commands = DAEMON | CAPTURE, .value = "NAME",
     .help = "sqlite: lock every SQLite database in DIR for each\ncapture, so that it is of one moment; postgres: make\n"
             "an online backup of the server whose data DIR is;\nredis: its append-only files, as of one moment"},
    {"--app-connect", PROG_OPTION_TEXT, FIELD(app_connect), .commands = DAEMON | CAPTURE, .value = "STRING",
     .help = "postgres: how psql connects, such as\n'user=admin port=5433' (default: as DIR's owner, to\n"
             "the port and socket of postmaster.pid)"},
    {"--app-max-s", PROG_OPTION_NUMBER, FIELD(app_ns), .min = 1, .max = 3600, .unit = 1000000000,
     .commands = DAEMON | CAPTURE, .value = "S",
     .help = "wait at most this long for the locks, then hold them\nat most this long; postgres: to begin the backup, and\nto end it; redis: read again for this long; else the\nversion is torn (default 5)"},
    {"--exclude", PROG_OPTION_LIST, FIELD(rules), .commands = WRITERS | RECORD, .value = "PATTERN",
     .help = "leave out paths that match; the first --exclude or\n--include that matches a path decides: 'dxkeep help\npattern'"},
    {"--include", PROG_OPTION_LIST, FIELD(rules), .commands = WRITERS | RECORD, .value = "PATTERN",
     .help = "keep paths that match"},
    {"--no-owner", PROG_OPTION_FLAG, FIELD(omit.owner), .commands = WRITERS | RECORD | REPLAY | RESTORE,
     .help = "leave out owners, and with them setuid and\nsetgid bits, capabilities and devices;\n"
             "restoring owners and devices needs root"},
    {"--no-xattrs", PROG_OPTION_FLAG, FIELD(omit.xattrs), .commands = WRITERS | RECORD | REPLAY | RESTORE,
     .help = "leave out extended attributes and access\ncontrol lists"},
    {"--no-restore", PROG_OPTION_FLAG, FIELD(fresh), .commands = WATCHERS,
     .help = "do not restore the latest version into an empty DIR"},
    {"--remote", PROG_OPTION_TEXT, FIELD(remote), .commands = WATCHERS,
     .value = "ADDR", .help = "send every version to the `dxup serve --push` at\nADDR: HOST:PORT[/NAME] or unix:PATH"},
    {"--remote", PROG_OPTION_TEXT, FIELD(remote), .commands = RESTORE,
     .value = "ADDR", .help = "restore from the `dxup serve --push` at ADDR:\nHOST:PORT[/NAME] or unix:PATH"},
    {"--remote-behind", PROG_OPTION_NUMBER, FIELD(behind_max), .min = 1, .max = 100000, .unit = 1,
     .commands = WATCHERS, .value = "N",
     .help = "leave out older versions when more than N wait for\nthe remote (default 256)"},
    {"--remote-lease", PROG_OPTION_NUMBER, FIELD(lease_ns), .min = 1, .max = 3600, .unit = 1000000000,
     .commands = WATCHERS, .value = "S",
     .help = "another dxkeep may take over when the remote has not\nheard this one for S seconds (default 10)"},
    {"--standby", PROG_OPTION_FLAG, FIELD(standby), .commands = WATCHERS,
     .help = "wait until no other dxkeep sends to the remote, then\nrestore its latest version and begin"},
    {"--fence", PROG_OPTION_FLAG, FIELD(fence), .commands = RUN,
     .help = "start the program only with the lease, and end it\nbefore another dxkeep may have it"},
    {"--metrics-addr", PROG_OPTION_TEXT, FIELD(metrics), .commands = WATCHERS, .value = "ADDR",
     .help = "serve metrics for Prometheus over HTTP, without\nencryption, at HOST:PORT or :PORT, path /metrics"},
    {"--entries-max", PROG_OPTION_NUMBER, FIELD(limits.entries_max), .min = 1, .max = UINT64_MAX,
     .commands = RESTORE | EXPORT | WATCHERS, .value = "N",
     .help = "refuse to restore a directory with more entries\n(default 10000000)"},
    {"--size-max", PROG_OPTION_NUMBER, FIELD(limits.size_max), .min = 1, .max = UINT64_MAX,
     .commands = RESTORE | EXPORT | WATCHERS, .value = "BYTES",
     .help = "refuse to restore a directory with more bytes,\nholes counted as zeros (default 1 TiB)"},
    {"--paranoid", PROG_OPTION_FLAG, FIELD(paranoid), .commands = WRITERS | RECORD,
     .help = "compare content that is read with what the store\nhas under the same hash, byte by byte"},
    {"--workers", PROG_OPTION_NUMBER, FIELD(workers), .min = 1, .max = OS_WORKERS_MAX,
     .commands = WRITERS | RECORD | RESTORE, .value = "N",
     .help = "threads (default: one for each processor)"},
    {"--keep", PROG_OPTION_TEXT, FIELD(keep), .commands = WATCHERS | GC, .value = "RULE",
     .hints = "hourly=24,daily=30 within=24h last=10 minutely=60 weekly=52",
     .help = "remove versions, except those that RULE keeps, such\nas hourly=24,daily=30; 'dxkeep help gc' explains it"},
    {"--max-lag", PROG_OPTION_NUMBER, FIELD(lag_max_ns), .max = 1000000000, .unit = 1000000000,
     .commands = STATUS, .value = "S",
     .help = "status 6 if no dxkeep runs, the last capture failed,\nor changes or versions for the remote wait longer"},
    {"--dry-run", PROG_OPTION_FLAG, FIELD(dry_run), .commands = GC,
     .help = "only print what would be removed"},
    {"--remove", PROG_OPTION_FLAG, FIELD(remove), .commands = PIN,
     .help = "remove the pin"},
    {"--limit", PROG_OPTION_NUMBER, FIELD(limit), .min = 1, .max = UINT32_MAX, .commands = LOG | TIMELINE,
     .value = "N", .help = "list only the latest N versions, or periods\n(default: all)"},
    {"--from", PROG_OPTION_TEXT, FIELD(second), .commands = REPLAY, .value = "MOMENT",
     .help = "the version before (default: the one with the number\nbefore)"},
    {"--by", PROG_OPTION_TEXT, FIELD(by), .commands = TIMELINE, .value = "UNIT",
     .hints = "minute hour day",
     .help = "minute, hour or day (default: the finest that fits)"},
    {"--recursive", PROG_OPTION_FLAG, FIELD(recursive), .commands = LS,
     .help = "also list subdirectories"},
    {"--path", PROG_OPTION_TEXT, FIELD(path), .commands = RESTORE, .value = "PATH",
     .help = "restore only this directory or file"},
    {"--time", PROG_OPTION_TEXT, FIELD(moment), .commands = EXPORT | RESTORE, .value = "MOMENT",
     .help = "as of this moment, which 'dxkeep help moment'\nexplains (default latest)"},
    {"--torn", PROG_OPTION_FLAG, FIELD(torn), .commands = EXPORT,
     .help = "export the latest version of that moment, also if\nit is torn"},
    {"--force", PROG_OPTION_FLAG, FIELD(force), .commands = RESTORE,
     .help = "replace a directory that is not empty, or a file by\na file"},
    {"--force", PROG_OPTION_FLAG, FIELD(force), .commands = EXPORT, .help = "replace FILE"},
    {"--json", PROG_OPTION_FLAG, FIELD(json), .commands = CAPTURE | RECORD | REPLAY | LOG | LS | DIFF | RESTORE | EXPORT | VERIFY | GC | PIN | STATUS | TIMELINE,
     .help = "print JSON, one object per line"},
    {"--verbose", PROG_OPTION_FLAG, FIELD(verbose), .commands = WATCHERS,
     .help = "report each capture on standard error"},
    {"--quiet", PROG_OPTION_FLAG, FIELD(quiet), .commands = WRITERS | RECORD,
     .help = "print no summary, and do not name files that\nchange while they are read"},
    {"--quiet", PROG_OPTION_FLAG, FIELD(quiet), .commands = REPLAY | RESTORE | EXPORT | MOUNT | VERIFY | GC | PIN,
     .help = "print no summary"},
};

static const prog_exit exits[] = {
    {PROG_OK, 0, "done"},
    {PROG_USAGE, 0, "usage error: an invalid option or argument"},
    {PROG_NOT_FOUND, 0, "no such store, version or directory"},
    {PROG_NETWORK, WATCHERS | RESTORE, "network error: the remote is unreachable, or did not send all"},
    {PROG_DAMAGED, 0, "corrupt data: bytes that do not match their hash"},
    {PROG_SYSTEM, 0, "system error: disk full, no permission, out of memory"},
    {PROG_REFUSED, WRITERS | RECORD | REPLAY | RESTORE | EXPORT | GC | PIN,
     "refused: data would be lost, or another process is writing"},
    {PROG_REFUSED, STATUS, "behind: more than --max-lag allows"},
    {PROG_PARTIAL, WATCHERS | REPLAY | RESTORE, "done, but the listed entries could not be restored"},
};

/* What is built in, for -V. */
static const char *libraries(void)
{
    static char text[256];
    snprintf(text, sizeof text, "%s, %s, %s", container_libraries(), keep_mount_library(),
             keep_sqlite_library());
    return text;
}

const prog_program keep_program = {
    .name = "dxkeep",
    .summary = "capture a directory while a program runs, restore it as it was at any moment",
    .about = "dxkeep captures a directory while a program runs, and restores it as it was at\n"
             "any moment. Versions are kept in a dxup store, which deduplicates them; dxup can\n"
             "list, compare, serve and garbage-collect them, too.",
    .version = DX_CAS_VERSION,
    .libraries = libraries,
    .commands = commands,
    .command_count = KEEP_COMMANDS,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .exits = exits,
    .exit_count = sizeof exits / sizeof *exits,
    .topics = keep_topics,
    .topic_count = KEEP_TOPICS,
};
