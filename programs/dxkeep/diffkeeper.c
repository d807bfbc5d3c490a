/* DiffKeeper's flags. See diffkeeper.h. Each is mapped to an option of `run` or `daemon`, or accepted
   because the store does the same by itself, or refused with the reason. */
#include "diffkeeper.h"

#include "../common/os.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef enum value_kind { BOOLEAN, NUMBER, TEXT } value_kind;

enum {
    STATE_DIR, STORE, DEBUG, NO_EXEC, METRICS_ADDR, ENABLE_DIFF, DIFF_LIBRARY, SNAPSHOT_INTERVAL,
    HASH_ALGO, DEDUP_SCOPE, ENABLE_CHUNKING, CHUNK_SIZE, CHUNK_MIN, CHUNK_AVG, CHUNK_MAX, CHUNK_WINDOW,
    CHUNK_THRESHOLD, FLAGS
};

typedef struct flag {
    const char *name;     /* without "--"; NULL: only a variable */
    const char *variable; /* NULL: only a flag */
    value_kind  kind;
    uint64_t    min, max;
    const char *choices;
} flag;

/* A chain of deltas has at most 31 in a row, docs/formats/cas.md, section 16. */
enum { INTERVAL_MAX = 32 };

static const flag flags[FLAGS] = {
    [STATE_DIR] = {"state-dir", NULL, TEXT, 0, 0, NULL},
    [STORE] = {"store", NULL, TEXT, 0, 0, NULL},
    [DEBUG] = {"debug", NULL, BOOLEAN, 0, 0, NULL},
    [NO_EXEC] = {"no-exec", NULL, BOOLEAN, 0, 0, NULL},
    [METRICS_ADDR] = {"metrics-addr", NULL, TEXT, 0, 0, NULL},
    [ENABLE_DIFF] = {"enable-diff", "DIFFKEEPER_ENABLE_DIFF", BOOLEAN, 0, 0, NULL},
    [DIFF_LIBRARY] = {"diff-library", "DIFFKEEPER_DIFF_LIBRARY", TEXT, 0, 0, "bsdiff xdelta"},
    [SNAPSHOT_INTERVAL] = {"snapshot-interval", "DIFFKEEPER_SNAPSHOT_INTERVAL", NUMBER, 1, INTERVAL_MAX,
                           NULL},
    [HASH_ALGO] = {"hash-algo", "DIFFKEEPER_HASH_ALGO", TEXT, 0, 0, "sha256 blake3"},
    [DEDUP_SCOPE] = {"dedup-scope", "DIFFKEEPER_DEDUP_SCOPE", TEXT, 0, 0, "container cluster"},
    [ENABLE_CHUNKING] = {"enable-chunking", "DIFFKEEPER_ENABLE_CHUNKING", BOOLEAN, 0, 0, NULL},
    [CHUNK_SIZE] = {"chunk-size", "DIFFKEEPER_CHUNK_SIZE_MB", NUMBER, 1, 1024, NULL},
    [CHUNK_MIN] = {"chunk-min", "DIFFKEEPER_CHUNK_MIN_BYTES", NUMBER, 1, 1 << 30, NULL},
    [CHUNK_AVG] = {"chunk-avg", "DIFFKEEPER_CHUNK_AVG_BYTES", NUMBER, 1, 1 << 30, NULL},
    [CHUNK_MAX] = {"chunk-max", "DIFFKEEPER_CHUNK_MAX_BYTES", NUMBER, 1, 1 << 30, NULL},
    [CHUNK_WINDOW] = {"chunk-hash-window", "DIFFKEEPER_CHUNK_HASH_WINDOW", NUMBER, 1, 1 << 20, NULL},
    [CHUNK_THRESHOLD] = {NULL, "DIFFKEEPER_CHUNK_THRESHOLD_MB", NUMBER, 1, 1 << 20, NULL},
};

typedef struct setting {
    const char *text;   /* NULL: neither the flag nor the variable is given */
    uint64_t    number; /* of a boolean: 0 or 1 */
    char        from[64]; /* "--store" or "DIFFKEEPER_...", for messages */
} setting;

/* >>values ------------------------------------------------------------- */
/* As Go's package flag has them, which DiffKeeper uses. */
static bool parse_boolean(const char *text, uint64_t *out)
{
    static const char *const words[2][6] = {{"0", "f", "F", "false", "FALSE", "False"},
                                            {"1", "t", "T", "true", "TRUE", "True"}};
    for (unsigned value = 0; value < 2; value++)
        for (size_t i = 0; i < 6; i++) {
            if (strcmp(text, words[value][i]) != 0) continue;
            *out = value;
            return true;
        }
    return false;
}

static int set(setting *s, const flag *f, const char *from, const char *text)
{
    snprintf(s->from, sizeof s->from, "%s", from);
    s->text = text;
    if (!*text) return prog_fail(PROG_USAGE, "%s needs a value", from);
    if (f->kind == NUMBER) return prog_parse_number(from, text, f->min, f->max, &s->number);
    if (f->kind == BOOLEAN && !parse_boolean(text, &s->number))
        return prog_fail(PROG_USAGE, "%s: '%s' is neither true nor false", from, text);
    if (f->choices && !prog_is_choice(f->choices, text))
        return prog_fail(PROG_USAGE, "%s: '%s' is not one of: %s", from, text, f->choices);
    return PROG_OK;
}

/* Flags begin with one or two hyphens. Returns FLAGS for an unknown one. */
static int find_flag(const char *argument, size_t *size)
{
    const char *name = argument;
    if (*name == '-') name++;
    if (name > argument && *name == '-') name++;
    const size_t n = strcspn(name, "=");
    *size = (size_t)(name - argument) + n;
    for (int i = 0; name > argument && i < FLAGS; i++)
        if (flags[i].name && strlen(flags[i].name) == n && !memcmp(flags[i].name, name, n)) return i;
    return FLAGS;
}

static int parse_flags(int argc, char **argv, setting *settings)
{
    for (int i = 0; i < argc; i++) {
        size_t size;
        char from[64];
        const int which = find_flag(argv[i], &size);
        if (which == FLAGS)
            return prog_fail(PROG_USAGE, "'%s' is not a flag of 'dxkeep --state-dir=DIR --store=STORE'; "
                                         "a program follows after '--'", argv[i]);
        const flag *f = &flags[which];
        const char *value = argv[i][size] ? argv[i] + size + 1 : NULL;
        snprintf(from, sizeof from, "--%s", f->name);
        if (!value && f->kind == BOOLEAN) value = "true";
        if (!value && ++i < argc) value = argv[i];
        if (!value) return prog_fail(PROG_USAGE, "%s needs a value", from);
        int status = set(&settings[which], f, from, value);
        if (status) return status;
    }
    return PROG_OK;
}

static int parse_variables(setting *settings)
{
    for (int i = 0; i < FLAGS; i++) {
        const char *value = flags[i].variable ? getenv(flags[i].variable) : NULL;
        if (!value) continue;
        int status = set(&settings[i], &flags[i], flags[i].variable, value);
        if (status) return status;
    }
    return PROG_OK;
}

/* >>meaning ------------------------------------------------------------ */
static bool is(const setting *s, const char *text) { return s->text && !strcmp(s->text, text); }

/* Refuse settings that a dxup store does not support. */
static int refuse(const setting *s)
{
    if (is(&s[HASH_ALGO], "sha256"))
        return prog_fail(PROG_USAGE, "%s: the ids of a store are BLAKE3 hashes; use blake3",
                         s[HASH_ALGO].from);
    if (is(&s[DEDUP_SCOPE], "cluster"))
        return prog_fail(PROG_USAGE, "%s: a store belongs to one machine; use container",
                         s[DEDUP_SCOPE].from);
    if (s[ENABLE_CHUNKING].text && !s[ENABLE_CHUNKING].number)
        return prog_fail(PROG_USAGE, "%s: files larger than a chunk are always cut into chunks; use true",
                         s[ENABLE_CHUNKING].from);
    for (int small = CHUNK_MIN; small < CHUNK_MAX; small++)
        for (int large = small + 1; large <= CHUNK_MAX; large++)
            if (s[small].text && s[large].text && s[small].number > s[large].number)
                return prog_fail(PROG_USAGE, "%s is more than %s", s[small].from, s[large].from);
    return PROG_OK;
}

static int apply(const setting *s, keep_options *o, int *command)
{
    o->directory = os_path((char *)(s[STATE_DIR].text ? s[STATE_DIR].text : "/data"));
    o->store = os_path((char *)s[STORE].text);
    o->metrics = s[METRICS_ADDR].text;
    o->verbose = s[DEBUG].number != 0;
    o->whole = s[ENABLE_DIFF].text && !s[ENABLE_DIFF].number;
    o->smallest = is(&s[DIFF_LIBRARY], "bsdiff");
    o->interval = (uint32_t)s[SNAPSHOT_INTERVAL].number;
    *command = o->program ? KEEP_RUN : KEEP_DAEMON;
    if (o->program && s[NO_EXEC].number)
        return prog_fail(PROG_USAGE, "--no-exec: no program is started, and one follows '--'");
    if (!o->program && !s[NO_EXEC].number)
        return prog_fail(PROG_USAGE, "no program: write it after '--', or give --no-exec to capture "
                                     "until a signal");
    return PROG_OK;
}

bool keep_is_diffkeeper(int argc, char **argv)
{
    size_t size;
    return argc > 0 && find_flag(argv[0], &size) < FLAGS;
}

int keep_diffkeeper_parse(int argc, char **argv, keep_options *o, int *command)
{
    setting settings[FLAGS];
    memset(settings, 0, sizeof settings);
    int count = 0;
    while (count < argc && strcmp(argv[count], "--") != 0) count++;
    if (count + 1 < argc) o->program = argv + count + 1;
    int status = parse_variables(settings);
    if (!status) status = parse_flags(count, argv, settings);
    if (!status && !settings[STORE].text)
        status = prog_fail(PROG_USAGE, "--store is missing: the directory of the store");
    if (!status) status = refuse(settings);
    return status ? status : apply(settings, o, command);
}
