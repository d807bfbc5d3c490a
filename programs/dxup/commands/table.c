/* The commands and options of dxup, with their help texts. See table.h.

   Every line of `examples` is run by tests/programs/test_dxup_commands.sh, from the first command
   to the last, in a folder with ./build, ./next and ./notes.txt, next to a running server. */
#include "table.h"

#include "../../../dx_cas.h"
#include "../../common/backend.h"
#include "../../common/os.h"
#include "../../common/toml.h"
#include "../../sync/address.h"
#include "../net/http_fields.h"
#include "../../sync/silence.h"
#include "../../containers/container.h"

/* Bits for commands, in options and statuses. */
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
    TREES    = PUBLISH | WRITERS /* metadata of directories can be left out */
};

static const prog_command commands[DXUP_COMMANDS] = {
    [DXUP_PUBLISH] =
        {.name = "publish",
         .keys = "store name path",
         .arguments = "STORE NAME PATH",
         .summary = "Add a file or a tree as the next version of NAME",
         .details = "If STORE does not exist, or is an empty directory, a store is created there.\n"
                    "Content that equals the latest version adds no version. A publish that is\n"
                    "killed, or ended by Ctrl-C, leaves the versions as they were; the next one\n"
                    "reuses its space.\n"
                    "\n"
                    "Patterns are a subset of rsync's: `?` matches one character, `*` any number of\n"
                    "characters, neither a slash; `**` matches any text; a backslash quotes the\n"
                    "next character. A leading slash anchors the pattern at the top of the tree;\n"
                    "without it the pattern matches the end of a path. A trailing slash matches\n"
                    "directories only. Excluding a directory excludes everything in it.",
         .examples = "dxup publish store app ./build\n"
                     "dxup publish store app ./next\n"
                     "dxup publish store app ./next --exclude '*.o' --exclude /tmp/ --dry-run\n"
                     "dxup publish store notes notes.txt --quiet"},
    [DXUP_LOG] =
        {.name = "log",
         .arguments = "STORE [NAME]",
         .summary = "List the latest version of each name, or all versions of one",
         .details = "Each line has the name, the version, file or tree, the size in bytes, the time\n"
                    "of publishing (UTC), the hash of the content, and the tags.",
         .examples = "dxup log store\n"
                     "dxup log store app"},
    [DXUP_LS] =
        {.name = "ls",
         .arguments = "STORE [NAME[@VERSION][:PATH]]",
         .summary = "List names and tags, versions of a name, or the entries of a tree",
         .details = "With a version, or a colon, it lists entries as `ls -l` does: mode, size,\n"
                    "modification time (UTC), path; `app:` is the top of the latest version of app.\n"
                    "VERSION is a number or a tag. A path is relative to the top of the tree,\n"
                    "without . and .. in it.\n"
                    "\n"
                    "With HOST:PORT instead of STORE, if no such path exists, it lists the names and\n"
                    "tags of that server, or the versions of NAME there.",
         .examples = "dxup ls store\n"
                     "dxup ls store app\n"
                     "dxup ls store app@1\n"
                     "dxup ls store app:\n"
                     "dxup ls store app:sub --recursive"},
    [DXUP_CAT] =
        {.name = "cat",
         .arguments = "STORE NAME[@VERSION][:PATH]",
         .summary = "Write a file of a version to standard output",
         .details = "Each chunk is verified by its hash before a byte of it is written. If a later\n"
                    "chunk is damaged, the output ends there, with status 4.",
         .examples = "dxup cat store notes\n"
                     "dxup cat store app@1:sub/a.c"},
    [DXUP_CHECKOUT] =
        {.name = "checkout",
         .arguments = "STORE NAME[@VERSION] DEST",
         .summary = "Write a version to DEST, by default the latest",
         .details = "VERSION is a number or a tag. All content is verified by hash, then DEST is\n"
                    "replaced atomically. Ctrl-C leaves DEST as it was.",
         .examples = "dxup checkout store app ./app\n"
                     "dxup checkout store app@1 ./app --force"},
    [DXUP_DIFF] =
        {.name = "diff",
         .arguments = "STORE NAME[@VERSION] NAME[@VERSION]",
         .summary = "Show what changed between two versions, and what a pull would transfer",
         .details = "Prints each entry that was added, removed, changed (type, mode, content,\n"
                    "owner, attributes) or renamed (equal content under another path). Times are\n"
                    "not compared.\n"
                    "To measure a pull, in both directions, it makes what dxup serve would send to a\n"
                    "client that has only the first version: the patch of a file, or the objects of\n"
                    "a tree. That takes as long as on a server; --no-cost skips it.",
         .examples = "dxup diff store app@1 app@2\n"
                     "dxup diff store app@1 app --no-cost --json"},
    [DXUP_TAG] =
        {.name = "tag",
         .arguments = "STORE NAME[@VERSION] TAG",
         .summary = "Make NAME@TAG refer to a version, until the tag is moved",
         .details = "Tags are channels, such as `stable` and `beta`: checkout, ls, cat and pull\n"
                    "accept NAME@TAG. When the tag moves, the next pull follows it, also to an older\n"
                    "version. `dxup gc` keeps tagged versions. A move is one atomic commit.",
         .examples = "dxup tag store app@1 stable\n"
                     "dxup tag store app beta\n"
                     "dxup checkout store app@stable ./app --force\n"
                     "dxup tag store app beta --remove"},
    [DXUP_RM] =
        {.name = "rm",
         .arguments = "STORE NAME[@VERSION]",
         .summary = "Remove a name with all its versions, or its old versions",
         .details = "The latest version can only be removed with the name, and one in the middle\n"
                    "only with all before it (--older). `dxup gc` reclaims the space.",
         .examples = "dxup rm store notes --dry-run\n"
                     "dxup rm store notes"},
    [DXUP_VERIFY] =
        {.name = "verify",
         .arguments = "STORE",
         .summary = "Read a whole store and check every hash",
         .details = "If it finds damage, it lists which versions are whole and which are damaged.",
         .examples = "dxup verify store"},
    [DXUP_GC] =
        {.name = "gc",
         .arguments = "STORE",
         .summary = "Reclaim the space of data that no version needs",
         .details = "It writes a new store and replaces the old one atomically, so the disk needs\n"
                    "space for both. Ctrl-C leaves the old store.",
         .examples = "dxup gc store --keep 5"},
    [DXUP_SERVE] =
        {.name = "serve",
         .keys = "store",
         .arguments = "STORE",
         .summary = "Serve a store to dxup pull, and to browsers with --http",
         .details = "--listen is required. With port 0 the system chooses the port; the first line\n"
                    "of output names it. For clients on the same machine, use unix:PATH instead of\n"
                    "HOST:PORT. Other processes may publish meanwhile. Ctrl-C or SIGTERM ends it;\n"
                    "SIGHUP reopens the log, and the store if it was replaced, without interrupting\n"
                    "transfers. It also reads --config again: allow-origin, connections-per-address,\n"
                    "log and patch-max change at once, other changes are reported and wait for a\n"
                    "restart, and a file with an error changes nothing.\n"
                    "\n"
                    "With --push it writes to the store, and creates it if it is missing. Nothing is\n"
                    "encrypted and there is no password: let only those reach that address who may\n"
                    "add versions, for example with unix:PATH and ssh.",
         .examples = "dxup serve store --listen 127.0.0.1:7000"},
    [DXUP_PULL] =
        {.name = "pull",
         .keys = "address name dest",
         .arguments = "HOST:PORT NAME[@VERSION] DEST",
         .summary = "Update DEST to a version from a server, by default the latest",
         .details = "HOST is a name or an address; unix:PATH may replace HOST:PORT. NAME@TAG follows\n"
                    "a tag. To roll back, name the version, as in the last example: it is pulled\n"
                    "even if DEST is newer. Without a version, an older one replaces DEST only with\n"
                    "--force.\n\n"
                    "If DEST is an older version, only a patch is transferred. The result is\n"
                    "verified by hash, then DEST is replaced atomically. Ctrl-C leaves DEST as it\n"
                    "was. The next pull resumes an interrupted one.",
         .examples = "dxup ls 127.0.0.1:7000\n"
                     "dxup pull 127.0.0.1:7000 app ./app\n"
                     "dxup pull 127.0.0.1:7000 app@1 ./app"},
    [DXUP_WATCH] =
        {.name = "watch",
         .keys = "address name dest",
         .arguments = "HOST:PORT NAME[@TAG] DEST",
         .summary = "Pull now, and again whenever the server has another version",
         .details = "It pulls at once, then polls the server every --interval seconds, plus or minus\n"
                    "10 %; after failures it backs off, up to 16 times the interval. It prints each\n"
                    "update, and nothing while DEST is up to date. A failure prints a message, and\n"
                    "it retries. Ctrl-C or SIGTERM ends it at any moment; DEST is then the old or\n"
                    "the new version.",
         .examples = "dxup watch 127.0.0.1:7000 app ./app --exec 'echo restart for $DXUP_TO'"},
};

#define FIELD(name) PROG_FIELD(dxup_options, name)

static const prog_option options[] = {
    {"--config", PROG_OPTION_TEXT, FIELD(config), .commands = PUBLISH | SERVE | PULL, .value = "FILE",
     .help = "read options and arguments from a table of this\nTOML file, such as [serve] with listen =\n"
             "\"HOST:PORT\" and store = \"DIR\"; the command line\nwins"},
    {"--workers", PROG_OPTION_NUMBER, FIELD(workers), .min = 1, .max = OS_WORKERS_MAX,
     .commands = PUBLISH | CHECKOUT | SERVE, .value = "N",
     .help = "threads (default: one for each processor)"},
    {"--no-owner", PROG_OPTION_FLAG, FIELD(omit.owner), .commands = PUBLISH | CHECKOUT,
     .help = "leave out owners, and with them setuid and\nsetgid bits, capabilities and devices;\n"
             "checkout needs root for owners and devices"},
    {"--owner", PROG_OPTION_FLAG, FIELD(owner), .commands = PULL,
     .help = "restore owners (as root), setuid and\nsetgid bits, capabilities and devices:\n"
             "the publisher can then take over this machine"},
    {"--no-times", PROG_OPTION_FLAG, FIELD(omit.times), .commands = WRITERS,
     .help = "leave out modification times"},
    {"--no-xattrs", PROG_OPTION_FLAG, FIELD(omit.xattrs), .commands = TREES,
     .help = "leave out extended attributes and access\ncontrol lists"},
    {"--no-hard-links", PROG_OPTION_FLAG, FIELD(omit.hard_links), .commands = TREES,
     .help = "store each hard link as a separate file"},
    {"--no-sparse", PROG_OPTION_FLAG, FIELD(omit.sparse), .commands = TREES,
     .help = "fill holes with zeros"},
    {"--no-specials", PROG_OPTION_FLAG, FIELD(omit.specials), .commands = TREES,
     .help = "leave out fifos and devices"},
    {"--numeric-owner", PROG_OPTION_FLAG, FIELD(omit.numeric), .commands = TREES,
     .help = "use numeric owners, whatever names they have\nhere"},
    {"--exclude", PROG_OPTION_LIST, FIELD(rules), .commands = PUBLISH, .value = "PATTERN",
     .help = "leave out paths that match; the first --exclude\nor --include that matches a path decides"},
    {"--include", PROG_OPTION_LIST, FIELD(rules), .commands = PUBLISH, .value = "PATTERN",
     .help = "keep paths that match"},
    {"--force", PROG_OPTION_FLAG, FIELD(force), .commands = CHECKOUT | PULL,
     .help = "discard local changes, and allow an older version\nto replace a newer one"},
    {"--force", PROG_OPTION_FLAG, FIELD(force), .commands = PUBLISH,
     .help = "publish a file where the latest version is a tree,\nor a tree where it is a file"},
    {"--force", PROG_OPTION_FLAG, FIELD(force), .commands = RM,
     .help = "also remove versions that have tags, and the tags"},
    {"--older", PROG_OPTION_FLAG, FIELD(older), .commands = RM,
     .help = "also remove all versions before it"},
    {"--remove", PROG_OPTION_FLAG, FIELD(remove), .commands = TAG, .help = "remove the tag"},
    {"--no-cost", PROG_OPTION_FLAG, FIELD(no_cost), .commands = DIFF,
     .help = "do not measure what a pull would transfer"},
    {"--entries-max", PROG_OPTION_NUMBER, FIELD(limits.entries_max), .min = 1, .max = UINT64_MAX,
     .commands = WRITERS | SERVE, .value = "N",
     .help = "refuse a tree with more entries\n(default 10000000)"},
    {"--size-max", PROG_OPTION_NUMBER, FIELD(limits.size_max), .min = 1, .max = UINT64_MAX,
     .commands = WRITERS | SERVE, .value = "BYTES",
     .help = "refuse a tree with more bytes, holes counted\nas zeros (default 1 TiB)"},
    {"--recursive", PROG_OPTION_FLAG, FIELD(recursive), .commands = LS,
     .help = "list subdirectories, too"},
    {"--dry-run", PROG_OPTION_FLAG, FIELD(dry_run), .commands = PUBLISH | CHECKOUT | RM | GC | ONCE,
     .help = "print what would be done, and change nothing"},
    {"--json", PROG_OPTION_FLAG, FIELD(json),
     .commands = PUBLISH | LOG | LS | CHECKOUT | DIFF | TAG | RM | VERIFY | GC | SERVE |
                 PULL,
     .help = "print JSON, one object per line"},
    {"--keep", PROG_OPTION_NUMBER, FIELD(keep), .min = 1, .max = UINT32_MAX, .commands = GC,
     .value = "N", .help = "keep the last N versions of each name\n(default: all)"},
    {"--pack", PROG_OPTION_FLAG, FIELD(pack), .commands = GC,
     .help = "recompress all remaining data (slow)"},
    {"--listen", PROG_OPTION_TEXT, FIELD(address), .check = dxup_address_check, .commands = SERVE,
     .value = "HOST:PORT",
     .help = "address to serve dxup pull on (required)"},
    {"--push", PROG_OPTION_TEXT, FIELD(push), .check = dxup_address_check, .commands = SERVE,
     .value = "HOST:PORT",
     .help = "also take versions here, from dxkeep --remote, and\nserve pulls; whoever reaches it may add versions"},
    {"--http", PROG_OPTION_TEXT, FIELD(http), .check = dxup_address_check, .commands = SERVE,
     .value = "HOST:PORT",
     .help = "also serve browsers and curl: GET /NAME, files\nand index pages of trees, ranges, ETags, A-IM:\ndx-patch"},
    {"--allow-origin", PROG_OPTION_TEXT, FIELD(allow_origin), .check = dxup_origin_check, .commands = SERVE,
     .value = "ORIGIN",
     .help = "let pages of ORIGIN (https://app.example, or * for\nall) read what --http serves (CORS)"},
    {"--status", PROG_OPTION_TEXT, FIELD(status), .check = dxup_address_check, .commands = SERVE,
     .value = "HOST:PORT",
     .help = "also serve a status page, /status.json, /metrics\n(Prometheus) and /healthz"},
    {"--log", PROG_OPTION_TEXT, FIELD(log), .commands = SERVE, .value = "FILE",
     .help = "append one line of JSON per pull and HTTP request;\n- is standard error; SIGHUP reopens FILE"},
    {"--patch-max", PROG_OPTION_NUMBER, FIELD(patch_max), .max = 1u << 30, .commands = SERVE | DIFF,
     .value = "BYTES", .help = "patch versions larger than this chunk by chunk\n(default 64 MiB)"},
    {"--connections", PROG_OPTION_NUMBER, FIELD(connections), .min = 1, .max = 4096,
     .commands = SERVE | PULL, .value = "N",
     .help = "serve: limit for each worker (default 4096);\n"
             "pull: use N connections for 4 MiB or more (1 to\n256)"},
    {"--connections-per-address", PROG_OPTION_NUMBER, FIELD(network_max), .min = 1, .max = 4096,
     .commands = SERVE, .value = "N",
     .help = "limit for each IPv4 address or IPv6 /64 network,\nfor each worker (default 512)"},
    {"--backend", PROG_OPTION_TEXT, FIELD(backend), .commands = SERVE | PULL, .value = "NAME",
     .choices = PROG_BACKENDS, .help = "event loop: auto, io_uring, epoll, kqueue, iocp"},
    {"--seed", PROG_OPTION_TEXT, FIELD(seed), .commands = PULL, .value = "DIR",
     .help = "also reuse content from DIR for a directory;\nDIR is only read"},
    {"--checksum", PROG_OPTION_FLAG, FIELD(checksum), .commands = PULL,
     .help = "read every file of a directory, also those whose\nsize, times and inode have not changed"},
    {"--limit-rate", PROG_OPTION_NUMBER, FIELD(limit_rate), .min = 10000, .max = UINT32_MAX,
     .commands = PULL, .value = "BYTES",
     .help = "receive at most this many bytes per second (10000\nor more)"},
    {"--timeout", PROG_OPTION_NUMBER, FIELD(timeout_s), .min = 1, .max = DXUP_SILENCE_MAX_S,
     .commands = PULL, .value = "S",
     .help = "give up when the server has sent nothing for S\nseconds (1 to 60, default 60)"},
    {"--exec", PROG_OPTION_TEXT, FIELD(exec), .commands = PULL, .value = "CMD",
     .help = "run CMD with sh after DEST was changed, with\n"
             "$DXUP_NAME, $DXUP_FROM, $DXUP_TO (versions) and\n$DXUP_PATH set; if it fails, the status is 8"},
    {"--interval", PROG_OPTION_NUMBER, FIELD(interval_s), .min = 1, .max = 86400,
     .commands = WATCH, .value = "S", .help = "seconds between polls (default 60)"},
    {"--report", PROG_OPTION_FLAG, FIELD(report), .commands = PULL,
     .help = "print the summary as key=value"},
    {"--quiet", PROG_OPTION_FLAG, FIELD(quiet),
     .commands = PUBLISH | CHECKOUT | TAG | RM | VERIFY | GC | PULL, .help = "print no summary"},
};

static const prog_exit exits[] = {
    {PROG_OK, 0, "done"},
    {PROG_USAGE, 0, "usage error: an invalid option or argument"},
    {PROG_NOT_FOUND, 0, "no such name, version, store or file"},
    {PROG_NETWORK, SERVE | PULL, "network error: unreachable, interrupted, or not a dxup server"},
    {PROG_DAMAGED, 0, "corrupt data: bytes that do not match their hash"},
    {PROG_SYSTEM, 0, "system error: disk full, no permission, out of memory, port in use"},
    {PROG_REFUSED, PUBLISH | CHECKOUT | TAG | RM | GC | PULL,
     "refused: data would be lost, or another process is writing"},
    {PROG_PARTIAL, WRITERS, "done, but the listed entries could not be restored"},
    {PROG_HOOK, PULL, "done, but the command of --exec failed"},
};

const prog_program dxup_program = {
    .name = "dxup",
    .summary = "publish, serve and pull versions of files and directory trees",
    .about = "dxup publishes versions of files and directory trees, serves them, and pulls\n"
             "updates. A pull transfers a patch if the receiver has an older version, verifies\n"
             "every byte by hash, and replaces the destination atomically.",
    .version = DX_CAS_VERSION,
    .libraries = container_libraries,
    .toml = prog_toml_library,
    .commands = commands,
    .command_count = DXUP_COMMANDS,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .exits = exits,
    .exit_count = sizeof exits / sizeof *exits,
};
