/* What dxup understands, and says of itself. See table.h.

   Every line of `examples` is run by tests/programs/test_dxup_commands.sh, from the first command
   to the last, in a folder with ./build, ./next and ./notes.txt, beside the server. */
#include "table.h"

#include "../../../dx_cas.h"
#include "../../common/backend.h"
#include "../../common/os.h"

/* Bits of commands, for options and statuses. */
enum {
    PUBLISH  = 1 << DXUP_PUBLISH,
    LOG      = 1 << DXUP_LOG,
    LS       = 1 << DXUP_LS,
    CAT      = 1 << DXUP_CAT,
    CHECKOUT = 1 << DXUP_CHECKOUT,
    DIFF     = 1 << DXUP_DIFF,
    TAG      = 1 << DXUP_TAG,
    RM       = 1 << DXUP_RM,
    VERIFY   = 1 << DXUP_VERIFY,
    GC       = 1 << DXUP_GC,
    SERVE    = 1 << DXUP_SERVE,
    PULL     = 1 << DXUP_PULL | 1 << DXUP_WATCH,
    WATCH    = 1 << DXUP_WATCH,
    ONCE     = 1 << DXUP_PULL,
    WRITERS  = CHECKOUT | PULL,
    TREES    = PUBLISH | WRITERS /* what a directory has besides content can be left out */
};

static const prog_command commands[DXUP_COMMANDS] = {
    [DXUP_PUBLISH] =
        {.name = "publish",
         .arguments = "STORE NAME PATH",
         .summary = "Add a file or a tree as the next version of NAME",
         .details = "The store is made if there is none, in a new or empty directory. Content that\n"
                    "equals the latest version adds no version. A publish that is killed, or ended\n"
                    "by Ctrl-C, leaves the versions as they were; the next one reuses its room.\n"
                    "\n"
                    "Patterns are a subset of rsync's: `?` is one character, `*` any number of\n"
                    "them, both but for a slash; `**` is any text; a backslash takes the next\n"
                    "character as it is. A slash in front anchors the pattern at the top of the\n"
                    "tree, else it matches the end of a path; a slash behind makes it match\n"
                    "directories only. What is in a directory that is left out is left out.",
         .examples = "dxup publish store app ./build\n"
                     "dxup publish store app ./next\n"
                     "dxup publish store app ./next --exclude '*.o' --exclude /tmp/ --dry-run\n"
                     "dxup publish store notes notes.txt --quiet"},
    [DXUP_LOG] =
        {.name = "log",
         .arguments = "STORE [NAME]",
         .summary = "List the latest version of each name, or all versions of one",
         .details = "A line has the name, the version, what it is, its bytes, when it was\n"
                    "published (UTC), the hash of its content, and its tags.",
         .examples = "dxup log store\n"
                     "dxup log store app"},
    [DXUP_LS] =
        {.name = "ls",
         .arguments = "STORE [NAME[@VERSION][:PATH]]",
         .summary = "List names and tags, versions of a name, or the entries of a tree",
         .details = "With a version, or a colon, it lists entries as `ls -l` does: mode, bytes,\n"
                    "modification time (UTC), path; `app:` is the top of the latest version of app.\n"
                    "VERSION is a number or a tag. A path is relative to the top of the tree,\n"
                    "without . and .. in it.\n"
                    "\n"
                    "HOST:PORT in place of STORE, where there is no such path, lists what the server\n"
                    "there has: its names and tags, or the versions of NAME.",
         .examples = "dxup ls store\n"
                     "dxup ls store app\n"
                     "dxup ls store app@1\n"
                     "dxup ls store app:\n"
                     "dxup ls store app:sub --recursive"},
    [DXUP_CAT] =
        {.name = "cat",
         .arguments = "STORE NAME[@VERSION][:PATH]",
         .summary = "Write a file of a version to standard output",
         .details = "Each chunk is verified by its hash before a byte of it is written. Damage\n"
                    "further on ends the output, with status 4.",
         .examples = "dxup cat store notes\n"
                     "dxup cat store app@1:sub/a.c"},
    [DXUP_CHECKOUT] =
        {.name = "checkout",
         .arguments = "STORE NAME[@VERSION] DEST",
         .summary = "Write a version to DEST, by default the latest",
         .details = "VERSION is a number or a tag. DEST is replaced atomically, after everything\n"
                    "was verified by hash. Ctrl-C leaves DEST as it was.",
         .examples = "dxup checkout store app ./app\n"
                     "dxup checkout store app@1 ./app --force"},
    [DXUP_DIFF] =
        {.name = "diff",
         .arguments = "STORE NAME[@VERSION] NAME[@VERSION]",
         .summary = "Say what changed between two versions, and what a pull would transfer",
         .details = "A line for each entry that was added, removed, changed (type, mode, content,\n"
                    "owner, attributes) or renamed (equal content under another path). Times are\n"
                    "not compared.\n"
                    "To say what a pull transfers, both ways, it makes what dxup serve would send:\n"
                    "the patch of a file, or the objects of a tree, for a client that has the first\n"
                    "version and no more. That takes as long as there; --no-cost leaves it out.",
         .examples = "dxup diff store app@1 app@2\n"
                     "dxup diff store app@1 app --no-cost --json"},
    [DXUP_TAG] =
        {.name = "tag",
         .arguments = "STORE NAME[@VERSION] TAG",
         .summary = "Let TAG stand for a version: NAME@TAG is that version, until it is moved",
         .details = "Tags are channels, such as `stable` and `beta`: checkout, ls, cat and pull\n"
                    "take NAME@TAG, and a pull follows where it is moved, back to older versions,\n"
                    "too. A tag keeps the content of its version. It is moved by one commit.",
         .examples = "dxup tag store app@1 stable\n"
                     "dxup tag store app beta\n"
                     "dxup checkout store app@stable ./app --force\n"
                     "dxup tag store app beta --remove"},
    [DXUP_RM] =
        {.name = "rm",
         .arguments = "STORE NAME[@VERSION]",
         .summary = "Remove a name with all its versions, or old versions of it",
         .details = "The latest version cannot be removed alone, and one in the middle only with\n"
                    "those before it (--older). dxup gc reclaims the space.",
         .examples = "dxup rm store notes --dry-run\n"
                     "dxup rm store notes"},
    [DXUP_VERIFY] =
        {.name = "verify",
         .arguments = "STORE",
         .summary = "Read and hash everything in a store again",
         .details = "After damage was found, it says which versions are whole.",
         .examples = "dxup verify store"},
    [DXUP_GC] =
        {.name = "gc",
         .arguments = "STORE",
         .summary = "Reclaim the space of what no version needs any more",
         .details = "The store is written anew beside itself and replaced atomically, so it takes\n"
                    "room for both. Ctrl-C leaves the old store.",
         .examples = "dxup gc store --keep 5"},
    [DXUP_SERVE] =
        {.name = "serve",
         .arguments = "STORE",
         .summary = "Serve a store to dxup pull, and to browsers with --http",
         .details = "--listen is required. Port 0 takes a free one; the first line says which.\n"
                    "unix:PATH in place of HOST:PORT is for clients on the same machine.\n"
                    "Other processes may publish meanwhile. Ctrl-C or SIGTERM ends it. SIGHUP opens\n"
                    "the log and a replaced store again; what is under way goes on.",
         .examples = "dxup serve store --listen 127.0.0.1:7000"},
    [DXUP_PULL] =
        {.name = "pull",
         .arguments = "HOST:PORT NAME[@VERSION] DEST",
         .summary = "Bring DEST to a version that a server has, by default the latest",
         .details = "HOST is a name or an address, or unix:PATH stands in place of HOST:PORT.\n"
                    "NAME@TAG follows a tag. To roll back, name the version, as in the last example:\n"
                    "it is pulled even where DEST is newer. Of a name alone, DEST goes back to an\n"
                    "older one only with --force.\n\n"
                    "It receives a patch where DEST is an older version, verifies all of it by\n"
                    "hash, and replaces DEST atomically. Ctrl-C leaves DEST as it was. The next\n"
                    "pull resumes an interrupted one.",
         .examples = "dxup ls 127.0.0.1:7000\n"
                     "dxup pull 127.0.0.1:7000 app ./app\n"
                     "dxup pull 127.0.0.1:7000 app@1 ./app"},
    [DXUP_WATCH] =
        {.name = "watch",
         .arguments = "HOST:PORT NAME[@TAG] DEST",
         .summary = "Pull, and again whenever the server has another version",
         .details = "It pulls at once, then asks every --interval seconds, give or take a tenth;\n"
                    "after failures less often, up to 16 times the interval. It says what it\n"
                    "pulled, and nothing while that is unchanged. A failure is a message, and does\n"
                    "not end it; Ctrl-C or SIGTERM does, at any moment, and leaves DEST as it was,\n"
                    "or with the new version.",
         .examples = "dxup watch 127.0.0.1:7000 app ./app --exec 'echo restart for $DXUP_TO'"},
};

#define FIELD(name) PROG_FIELD(dxup_options, name)

static const prog_option options[] = {
    {"--workers", PROG_OPTION_NUMBER, FIELD(workers), .min = 1, .max = OS_WORKERS_MAX,
     .commands = PUBLISH | CHECKOUT | SERVE, .value = "N",
     .help = "threads (default: one for each processor)"},
    {"--no-owner", PROG_OPTION_FLAG, FIELD(omit.owner), .commands = PUBLISH | CHECKOUT,
     .help = "leave out owners, and with them setuid and\nsetgid bits, capabilities and devices;\n"
             "checkout needs root for owners and devices"},
    {"--owner", PROG_OPTION_FLAG, FIELD(owner), .commands = PULL,
     .help = "restore owners (as root), setuid and\nsetgid bits, capabilities and devices:\n"
             "whoever publishes can take over this machine"},
    {"--no-times", PROG_OPTION_FLAG, FIELD(omit.times), .commands = WRITERS,
     .help = "leave out modification times"},
    {"--no-xattrs", PROG_OPTION_FLAG, FIELD(omit.xattrs), .commands = TREES,
     .help = "leave out extended attributes and access\ncontrol lists"},
    {"--no-hard-links", PROG_OPTION_FLAG, FIELD(omit.hard_links), .commands = TREES,
     .help = "names of the same file become files of their\nown"},
    {"--no-sparse", PROG_OPTION_FLAG, FIELD(omit.sparse), .commands = TREES,
     .help = "holes become zeros"},
    {"--no-specials", PROG_OPTION_FLAG, FIELD(omit.specials), .commands = TREES,
     .help = "leave out fifos and devices"},
    {"--numeric-owner", PROG_OPTION_FLAG, FIELD(omit.numeric), .commands = TREES,
     .help = "owners are their numbers, whatever their\nnames are here"},
    {"--exclude", PROG_OPTION_LIST, FIELD(rules), .commands = PUBLISH, .value = "PATTERN",
     .help = "leave out paths that match; of all --exclude and\n"
             "--include the first that matches decides"},
    {"--include", PROG_OPTION_LIST, FIELD(rules), .commands = PUBLISH, .value = "PATTERN",
     .help = "take paths that match"},
    {"--force", PROG_OPTION_FLAG, FIELD(force), .commands = CHECKOUT | PULL,
     .help = "replace what was changed locally, or a version\nby an older one"},
    {"--force", PROG_OPTION_FLAG, FIELD(force), .commands = RM,
     .help = "remove versions that have tags, with these"},
    {"--older", PROG_OPTION_FLAG, FIELD(older), .commands = RM,
     .help = "remove the versions before it, too"},
    {"--remove", PROG_OPTION_FLAG, FIELD(remove), .commands = TAG, .help = "take the tag away"},
    {"--no-cost", PROG_OPTION_FLAG, FIELD(no_cost), .commands = DIFF,
     .help = "make no patch to see what a pull would transfer"},
    {"--entries-max", PROG_OPTION_NUMBER, FIELD(limits.entries_max), .min = 1, .max = UINT64_MAX,
     .commands = WRITERS, .value = "N",
     .help = "refuse a tree with more entries\n(default 10000000)"},
    {"--size-max", PROG_OPTION_NUMBER, FIELD(limits.size_max), .min = 1, .max = UINT64_MAX,
     .commands = WRITERS, .value = "BYTES",
     .help = "refuse a tree with more bytes, holes counted\nas zeros (default 1 TiB)"},
    {"--recursive", PROG_OPTION_FLAG, FIELD(recursive), .commands = LS,
     .help = "list what is in directories, too"},
    {"--dry-run", PROG_OPTION_FLAG, FIELD(dry_run), .commands = PUBLISH | CHECKOUT | RM | GC | ONCE,
     .help = "say what would be done, and do nothing"},
    {"--json", PROG_OPTION_FLAG, FIELD(json),
     .commands = PUBLISH | LOG | LS | CHECKOUT | DIFF | TAG | RM | VERIFY | GC | SERVE |
                 PULL,
     .help = "print JSON, one object a line"},
    {"--keep", PROG_OPTION_NUMBER, FIELD(keep), .min = 1, .max = UINT32_MAX, .commands = GC,
     .value = "N", .help = "keep the last N versions of each name\n(default: all)"},
    {"--pack", PROG_OPTION_FLAG, FIELD(pack), .commands = GC,
     .help = "recompress what is left (slow)"},
    {"--listen", PROG_OPTION_TEXT, FIELD(address), .commands = SERVE, .value = "HOST:PORT",
     .help = "where to answer dxup pull"},
    {"--http", PROG_OPTION_TEXT, FIELD(http), .commands = SERVE, .value = "HOST:PORT",
     .help = "also for browsers and curl: GET /NAME, files and\nindex pages of trees, ranges, ETags, A-IM: dx-patch"},
    {"--status", PROG_OPTION_TEXT, FIELD(status), .commands = SERVE, .value = "HOST:PORT",
     .help = "also a page about the server, /status.json,\n/metrics (Prometheus) and /healthz"},
    {"--log", PROG_OPTION_TEXT, FIELD(log), .commands = SERVE, .value = "FILE",
     .help = "append a line of JSON for each pull and request\nof HTTP; - is standard error; SIGHUP opens FILE\nagain"},
    {"--patch-max", PROG_OPTION_NUMBER, FIELD(patch_max), .max = 1u << 30, .commands = SERVE | DIFF,
     .value = "BYTES", .help = "larger versions are patched by chunks\n(default 64 MiB)"},
    {"--connections", PROG_OPTION_NUMBER, FIELD(connections), .min = 1, .max = 4096,
     .commands = SERVE | PULL, .value = "N",
     .help = "serve: limit for each worker (default 4096);\n"
             "pull: transfer 4 MiB or more over N connections\n(1 to 256)"},
    {"--connections-per-address", PROG_OPTION_NUMBER, FIELD(network_max), .min = 1, .max = 4096,
     .commands = SERVE, .value = "N",
     .help = "limit for each worker of one IPv4 address or\nIPv6 network of 64 bits (default 512)"},
    {"--backend", PROG_OPTION_TEXT, FIELD(backend), .commands = SERVE | PULL, .value = "NAME",
     .choices = PROG_BACKENDS, .help = "of the event loop: auto, io_uring, epoll,\nkqueue, iocp"},
    {"--seed", PROG_OPTION_TEXT, FIELD(seed), .commands = PULL, .value = "DIR",
     .help = "also take parts of a directory from DIR, which\nis only read"},
    {"--checksum", PROG_OPTION_FLAG, FIELD(checksum), .commands = PULL,
     .help = "read all files of a directory again, also those\nwhose size, times and inode have not changed"},
    {"--limit-rate", PROG_OPTION_NUMBER, FIELD(limit_rate), .min = 10000, .max = UINT32_MAX,
     .commands = PULL, .value = "BYTES",
     .help = "take at most so many bytes per second from the\nnetwork (10000 or more)"},
    {"--exec", PROG_OPTION_TEXT, FIELD(exec), .commands = PULL, .value = "CMD",
     .help = "after DEST was changed run CMD by sh; $DXUP_NAME,\n"
             "$DXUP_FROM, $DXUP_TO (versions) and $DXUP_PATH\nsay what was; if it fails, the status is 8"},
    {"--interval", PROG_OPTION_NUMBER, FIELD(interval_s), .min = 1, .max = 86400,
     .commands = WATCH, .value = "S", .help = "seconds between two questions (default 60)"},
    {"--report", PROG_OPTION_FLAG, FIELD(report), .commands = PULL,
     .help = "print the summary as key=value"},
    {"--quiet", PROG_OPTION_FLAG, FIELD(quiet),
     .commands = PUBLISH | CHECKOUT | TAG | RM | VERIFY | GC | PULL, .help = "print no summary"},
};

static const prog_exit exits[] = {
    {PROG_OK, 0, "done"},
    {PROG_USAGE, 0, "usage: an option or argument that is not valid"},
    {PROG_NOT_FOUND, 0, "no such name, version, store or file"},
    {PROG_NETWORK, SERVE | PULL, "network: unreachable, interrupted, or not a dxup server"},
    {PROG_DAMAGED, 0, "corrupt data: bytes that do not match their hash"},
    {PROG_SYSTEM, 0, "system error: disk full, permission, memory, port taken"},
    {PROG_REFUSED, PUBLISH | CHECKOUT | TAG | RM | GC | PULL,
     "refused, because data would be lost or another process is writing"},
    {PROG_PARTIAL, WRITERS, "done, but what is listed could not be restored"},
    {PROG_HOOK, PULL, "done, but the command of --exec failed"},
};

const prog_program dxup_program = {
    .name = "dxup",
    .summary = "publish, serve and pull versions of files and directory trees",
    .about = "dxup publishes versions of files and directory trees, serves them, and pulls\n"
             "updates. A pull transfers a patch if the receiver has an older version, verifies\n"
             "every byte by hash, and replaces the destination atomically.",
    .version = DX_CAS_VERSION,
    .zstd = PROG_HAS_ZSTD,
    .commands = commands,
    .command_count = DXUP_COMMANDS,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .exits = exits,
    .exit_count = sizeof exits / sizeof *exits,
};
