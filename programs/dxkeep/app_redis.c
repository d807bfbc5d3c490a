/* The append-only files (AOF) of Redis, without a connection to it (app.h). Redis 7 has a manifest, which names
   the base and the increments; only the last increment grows:

       appendonly.aof.manifest       replaced by a rename, never written to again
       appendonly.aof.1.base.rdb     complete when the manifest names it
       appendonly.aof.1.incr.aof     complete when the manifest names a later one
       appendonly.aof.2.incr.aof     commands are appended

   So a version that has the files of one manifest, and of the last increment the commands until a moment, is as
   of that moment, if the manifest was the same before and after the read. Numbers are never used twice, and the
   manifest stays open, so that its inode is not, either. Redis 6 and before have one file, which grows, and
   which a rewrite replaces by a rename; it may begin with a dump (RDB). Dumps are replaced by a rename.

   The end of the last whole command outside of a transaction is found before the read. Redis never changes what
   lies before it: after a crash it truncates the file there, or later. If it does so while that end is searched,
   a wrong one may be found, so the commands are looked at again after the read. */
#include "app.h"

#include "../common/os.h"
#include "../versions/filter.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LEVELS_MAX        = 64, /* of directories; each takes a descriptor */
    MANIFEST_SIZE_MAX = 1 << 20,
    WINDOW_SIZE       = 64 << 10,
    CHECKSUM_SIZE     = 8,
    RDB_END           = 0xff /* the checksum of all before it follows */
};

typedef struct keep_aof_log {
    char    *path;    /* of the manifest, or of the only file */
    char    *text;    /* of the manifest, NULL: the only file */
    int      fd;      /* keeps the inode of path until the end */
    char   **files;   /* that the manifest names, in its order: the last one grows, if grows */
    size_t   count;
    bool     grows;
    int      grown_fd;
    uint64_t device, inode; /* of the file that grows */
    int64_t  born_ns;       /* 0: unknown */
    uint64_t from, to;      /* of its commands, these were looked at last, and are whole */
    bool     settled; /* the last consistent version has the files that do not grow */
} keep_aof_log;

/* Returns false, for the caller to return it. */
static bool fail(keep_aof *a, const char *path, const char *why)
{
    free(a->path);
    a->path = prog_copy_text(path);
    snprintf(a->why, sizeof a->why, "%.200s", why);
    return false;
}

static bool fail_errno(keep_aof *a, const char *path)
{
    a->passing = errno == ENOENT; /* a rewrite removes files */
    return fail(a, path, os_error_text(errno));
}

/* >>reader -------------------------------------------------------------- */
typedef struct reader {
    int      fd;
    uint64_t at, end;  /* the next byte, and where the file is taken to end */
    uint64_t start;    /* of the window, in the file */
    size_t   size;     /* of the window */
    uint8_t  window[WINDOW_SIZE];
} reader;

/* The window has the next byte, and up to size of them. Returns how many, or 0: there is none. */
static size_t look_ahead(reader *r, size_t size)
{
    assert(size <= WINDOW_SIZE);
    if (r->at >= r->end) return 0;
    const bool has = r->at >= r->start && r->at - r->start < r->size;
    size_t have = has ? (size_t)(r->start + r->size - r->at) : 0;
    if (have < size && r->end - r->at > have) {
        const uint64_t left = r->end - r->at;
        const int64_t got = os_read_at(r->fd, r->at, r->window, left < WINDOW_SIZE ? (size_t)left : WINDOW_SIZE);
        r->start = r->at;
        r->size = have = got > 0 ? (size_t)got : 0;
    }
    return have < size ? have : size;
}

static int next_byte(reader *r)
{
    if (!look_ahead(r, 1)) return -1;
    return r->window[r->at++ - r->start];
}

/* >>commands ------------------------------------------------------------ */
typedef enum parsed { WHOLE, CUT_OFF, INVALID } parsed;

static parsed read_line_end(reader *r)
{
    const int first = next_byte(r);
    if (first < 0) return CUT_OFF;
    if (first != '\r') return INVALID;
    const int second = next_byte(r);
    if (second < 0) return CUT_OFF;
    return second == '\n' ? WHOLE : INVALID;
}

/* MARK DIGITS CR LF */
static parsed read_number(reader *r, int mark, uint64_t *out)
{
    enum { DIGITS_MAX = 10 };
    const int first = next_byte(r);
    int digits = 0;
    *out = 0;
    if (first < 0) return CUT_OFF;
    if (first != mark) return INVALID;
    while (look_ahead(r, 1)) {
        const int c = r->window[r->at - r->start];
        if (c < '0' || c > '9') break;
        if (++digits > DIGITS_MAX) return INVALID;
        *out = *out * 10 + (uint64_t)(c - '0');
        r->at++;
    }
    if (r->at >= r->end) return CUT_OFF;
    return digits ? read_line_end(r) : INVALID;
}

/* $SIZE CR LF BYTES CR LF. word gets the bytes if they are few, otherwise "". */
static parsed read_word(reader *r, char word[8])
{
    uint64_t size;
    size_t at = 0;
    parsed result = read_number(r, '$', &size);
    word[0] = 0;
    if (result != WHOLE) return result;
    if (size > r->end - r->at) return CUT_OFF;
    if (size < 8) {
        while (at < size) word[at++] = (char)next_byte(r);
        word[at] = 0;
    } else {
        r->at += size;
    }
    return read_line_end(r);
}

/* A line that begins with '#' is an annotation, and belongs to the command after it. */
static parsed skip_annotations(reader *r)
{
    while (look_ahead(r, 1) && r->window[r->at - r->start] == '#') {
        int c;
        do {
            c = next_byte(r);
        } while (c >= 0 && c != '\n');
        if (c < 0) return CUT_OFF;
    }
    return WHOLE;
}

static parsed read_command(reader *r, bool *inside)
{
    uint64_t words;
    char name[8], word[8];
    parsed result = skip_annotations(r);
    if (result == WHOLE) result = read_number(r, '*', &words);
    if (result == WHOLE && !words) return INVALID;
    if (result == WHOLE) result = read_word(r, name);
    for (uint64_t i = 1; result == WHOLE && i < words; i++) result = read_word(r, word);
    if (result != WHOLE) return result;
    if (!strcmp(name, "MULTI") || !strcmp(name, "multi")) *inside = true;
    if (!strcmp(name, "EXEC") || !strcmp(name, "exec")) *inside = false;
    return WHOLE;
}

/* Read commands from *at until the end. *at: the end of the last one outside of a transaction. False: there
   is something else, at *at. */
static bool read_commands(int fd, uint64_t *at, uint64_t end)
{
    reader *r = prog_alloc(sizeof *r);
    bool inside = false;
    parsed result = WHOLE;
    r->fd = fd;
    r->at = *at;
    r->end = end;
    r->start = r->size = 0;
    while (result == WHOLE && r->at < end) {
        const uint64_t begin = r->at;
        result = read_command(r, &inside);
        if (result == INVALID) *at = begin;
        if (result == WHOLE && !inside) *at = r->at;
    }
    free(r);
    return result != INVALID;
}

/* >>preamble ------------------------------------------------------------ */
/* CRC-64 as in a dump: reflected, without inversions. */
static void make_table(uint64_t table[256])
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t v = i;
        for (int bit = 0; bit < 8; bit++) v = v & 1 ? v >> 1 ^ UINT64_C(0x95ac9329ac4bc9b5) : v >> 1;
        table[i] = v;
    }
}

static uint64_t load_checksum(const uint8_t *bytes)
{
    uint64_t v = 0;
    for (int i = CHECKSUM_SIZE; i-- > 0;) v = v << 8 | bytes[i];
    return v;
}

/* Where the dump ends with which the file begins: 0, there is none, or UINT64_MAX, its end is not known. It
   is the first place whose checksum is that of all before. */
static uint64_t find_preamble_end(int fd, uint64_t size)
{
    uint64_t table[256], sum = 0, found = UINT64_MAX;
    reader *r = prog_alloc(sizeof *r);
    *r = (reader){.fd = fd, .end = size};
    if (look_ahead(r, 5) < 5 || memcmp(r->window, "REDIS", 5) != 0) found = 0;
    else make_table(table);
    for (int c; found == UINT64_MAX && (c = next_byte(r)) >= 0;) {
        sum = table[(uint8_t)sum ^ (uint8_t)c] ^ sum >> 8;
        if (c != RDB_END || look_ahead(r, CHECKSUM_SIZE) < CHECKSUM_SIZE) continue;
        if (load_checksum(r->window + (r->at - r->start)) == sum) found = r->at + CHECKSUM_SIZE;
    }
    free(r);
    return found;
}

/* >>manifest ------------------------------------------------------------ */
static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* A name, in quotes if it has unusual bytes. Returns where it ends, or NULL. */
static const char *read_name(const char *at, char *out, size_t size)
{
    const bool quoted = *at == '"';
    size_t n = 0;
    at += quoted;
    while (*at && *at != (quoted ? '"' : ' ')) {
        char c = *at++;
        if (quoted && c == '\\') {
            c = *at++;
            if (c == 'x' && hex_digit(at[0]) >= 0 && hex_digit(at[1]) >= 0) {
                c = (char)(hex_digit(at[0]) << 4 | hex_digit(at[1]));
                at += 2;
            } else if (c != '\\' && c != '"') {
                return NULL;
            }
        }
        if (n + 1 >= size || c == '/' || !c || c == '\n') return NULL;
        out[n++] = c;
    }
    out[n] = 0;
    if (quoted && *at++ != '"') return NULL;
    return n ? at : NULL;
}

static void add_file(keep_aof_log *log, const char *name)
{
    const char *slash = strrchr(log->path, '/');
    const size_t size = slash ? (size_t)(slash - log->path) + 1 : 0;
    char *path = prog_alloc(size + strlen(name) + 1);
    memcpy(path, log->path, size);
    memcpy(path + size, name, strlen(name) + 1);
    char **larger = realloc(log->files, (log->count + 1) * sizeof *larger);
    if (!larger) abort();
    log->files = larger;
    log->files[log->count++] = path;
}

/* file NAME seq NUMBER type b|h|i: the base, a former file, an increment. */
static bool read_manifest_line(keep_aof_log *log, const char *line)
{
    char name[256], type, rest;
    unsigned long long number;
    if (!*line || *line == '#') return true;
    if (strncmp(line, "file ", 5) != 0) return false;
    const char *at = read_name(line + 5, name, sizeof name);
    if (!at || sscanf(at, " seq %llu type %c%c", &number, &type, &rest) != 2) return false;
    if (!strchr("bhi", type)) return false;
    if (type == 'h') return true;
    add_file(log, name);
    log->grows = type == 'i';
    return true;
}

static bool read_manifest(keep_aof_log *log)
{
    char line[1024];
    for (const char *at = log->text; *at;) {
        const size_t size = strcspn(at, "\n");
        if (size >= sizeof line) return false;
        memcpy(line, at, size);
        line[size] = 0;
        if (!read_manifest_line(log, line)) return false;
        at += size + (at[size] == '\n');
    }
    return log->count > 0;
}

/* >>find ---------------------------------------------------------------- */
static void full_path(const keep_aof *a, const char *path, char out[2 * PROG_PATH_SIZE_MAX + 2])
{
    snprintf(out, 2 * PROG_PATH_SIZE_MAX + 2, "%s/%s", a->directory, path);
}

static bool ends_with(const char *text, const char *end)
{
    const size_t size = strlen(text), end_size = strlen(end);
    return size > end_size && !strcmp(text + size - end_size, end);
}

static void add_log(keep_aof *a, const char *path)
{
    if (a->count == a->room) {
        a->room = a->room * 2 + 4;
        keep_aof_log *larger = realloc(a->logs, a->room * sizeof *larger);
        if (!larger) abort();
        a->logs = larger;
    }
    a->logs[a->count++] = (keep_aof_log){.path = prog_copy_text(path), .fd = -1, .grown_fd = -1};
}

static void find(keep_aof *a, int fd, const char *path, int level);

static void look(keep_aof *a, int folder, const struct dirent *e, const char *path, int level)
{
    struct stat info;
    bool is_folder = e->d_type == DT_DIR, is_file = e->d_type == DT_REG;
    if (e->d_type == DT_UNKNOWN && fstatat(folder, e->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0) {
        is_folder = S_ISDIR(info.st_mode);
        is_file = S_ISREG(info.st_mode);
    }
    if (is_folder && versions_filter_takes(a->rules, path, true)) {
        const int fd = openat(folder, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0) find(a, fd, path, level + 1);
    }
    if (!is_file || !versions_filter_takes(a->rules, path, false)) return;
    if (ends_with(e->d_name, ".manifest") || ends_with(e->d_name, ".aof")) add_log(a, path);
    a->dumps += ends_with(e->d_name, ".rdb");
}

/* Closes fd. */
static void find(keep_aof *a, int fd, const char *path, int level)
{
    char inner[PROG_PATH_SIZE_MAX + 1];
    DIR *entries = level < LEVELS_MAX ? fdopendir(fd) : NULL;
    if (!entries) {
        close(fd);
        return;
    }
    for (struct dirent *e; (e = readdir(entries)) != NULL;) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        const int n = snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "/" : "", e->d_name);
        if (n > 0 && (size_t)n < sizeof inner) look(a, fd, e, inner, level);
    }
    closedir(entries);
}

static void close_log(keep_aof_log *log)
{
    if (log->fd >= 0) close(log->fd);
    if (log->grown_fd >= 0) close(log->grown_fd);
    log->fd = log->grown_fd = -1;
}

static void free_log(keep_aof_log *log)
{
    close_log(log);
    for (size_t i = 0; i < log->count; i++) free(log->files[i]);
    free(log->files);
    free(log->path);
    free(log->text);
}

static void free_logs(keep_aof_log *logs, size_t count)
{
    for (size_t i = 0; i < count; i++) free_log(&logs[i]);
    free(logs);
}

static size_t folder_size(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) : 0;
}

/* Open it, and read the manifest. *is: it is one, or a file of its own that may be an AOF. */
static bool open_log(keep_aof *a, keep_aof_log *log, bool *is)
{
    char path[2 * PROG_PATH_SIZE_MAX + 2];
    struct stat info;
    *is = true;
    full_path(a, log->path, path);
    log->fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (log->fd < 0 || fstat(log->fd, &info) < 0) return fail_errno(a, log->path);
    if (!ends_with(path, ".manifest")) return true;
    *is = false;
    if (info.st_size > MANIFEST_SIZE_MAX) return true;
    log->text = prog_alloc((size_t)info.st_size + 1);
    const int64_t got = prog_read_at(log->fd, 0, log->text, (size_t)info.st_size);
    log->text[got > 0 ? got : 0] = 0;
    *is = !strncmp(log->text, "file ", 5);
    if (*is && !read_manifest(log)) return fail(a, log->path, "it is no manifest of Redis");
    return true;
}

/* A file beside a manifest belongs to it, or is left from before. */
static bool has_manifest(const keep_aof *a, const keep_aof_log *of)
{
    const size_t size = folder_size(of->path);
    for (size_t i = 0; i < a->count; i++) {
        const keep_aof_log *log = &a->logs[i];
        if (log->text && folder_size(log->path) == size && !memcmp(log->path, of->path, size)) return true;
    }
    return false;
}

static void remove_log(keep_aof *a, size_t i)
{
    free_log(&a->logs[i]);
    memmove(a->logs + i, a->logs + i + 1, (--a->count - i) * sizeof *a->logs);
}

static int compare_logs(const void *x, const void *y)
{
    return strcmp(((const keep_aof_log *)x)->path, ((const keep_aof_log *)y)->path);
}

/* Find all logs below the directory, in the order of their paths. */
static bool find_all(keep_aof *a)
{
    a->logs = NULL;
    a->count = a->room = a->dumps = 0;
    const int fd = open(a->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fail_errno(a, "");
    find(a, fd, "", 0);
    for (size_t i = 0; i < a->count;) {
        bool is;
        if (!open_log(a, &a->logs[i], &is)) return false;
        if (is) i++;
        else remove_log(a, i);
    }
    for (size_t i = 0; i < a->count;) {
        if (a->logs[i].text || !has_manifest(a, &a->logs[i])) i++;
        else remove_log(a, i);
    }
    if (a->count) qsort(a->logs, a->count, sizeof *a->logs, compare_logs);
    if (a->count || a->dumps) return true;
    return fail(a, "", "there is no append-only file and no dump of Redis in it");
}

/* >>begin --------------------------------------------------------------- */
static int64_t birth_ns(int fd)
{
#if defined(STATX_BTIME)
    struct statx info;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &info) == 0 && (info.stx_mask & STATX_BTIME))
        return (int64_t)info.stx_btime.tv_sec * 1000000000 + info.stx_btime.tv_nsec;
#else
    (void)fd;
#endif
    return 0;
}

/* Find the end of the whole commands, after those that were found by an earlier capture. */
static bool measure(keep_aof *a, keep_aof_log *log, const char *path, const keep_aof_log *before)
{
    struct stat info;
    char why[80];
    if (fstat(log->grown_fd, &info) < 0) return fail_errno(a, path);
    const uint64_t size = (uint64_t)info.st_size;
    log->device = (uint64_t)info.st_dev;
    log->inode = (uint64_t)info.st_ino;
    log->born_ns = birth_ns(log->grown_fd);
    const bool same = before && log->born_ns && before->born_ns == log->born_ns && before->device == log->device &&
                      before->inode == log->inode && before->to <= size;
    log->from = same ? before->to : find_preamble_end(log->grown_fd, size);
    if (log->from == UINT64_MAX)
        return fail(a, path, "it begins with a dump whose end is not known (rdbchecksum no)");
    log->to = log->from;
    if (read_commands(log->grown_fd, &log->to, size)) return true;
    snprintf(why, sizeof why, "there is no command at byte %llu", (unsigned long long)log->to);
    return fail(a, path, why);
}

/* Is no directory of the path left out, nor the file itself? */
static bool is_taken(const prog_list *rules, const char *path)
{
    char part[PROG_PATH_SIZE_MAX + 1];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        if (!versions_filter_takes(rules, part, true)) return false;
    }
    return versions_filter_takes(rules, path, false);
}

static bool open_files(keep_aof *a, keep_aof_log *log, const keep_aof_log *before)
{
    char path[2 * PROG_PATH_SIZE_MAX + 2];
    if (!log->text) {
        log->grown_fd = dup(log->fd);
        return log->grown_fd < 0 ? fail_errno(a, log->path) : measure(a, log, log->path, before);
    }
    for (size_t i = 0; i < log->count; i++) {
        if (!is_taken(a->rules, log->files[i])) return fail(a, log->files[i], "it is left out by --exclude");
        full_path(a, log->files[i], path);
        const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0) return fail_errno(a, log->files[i]);
        if (log->grows && i + 1 == log->count) log->grown_fd = fd;
        else close(fd);
    }
    return !log->grows || measure(a, log, log->files[log->count - 1], before);
}

static const keep_aof_log *find_log(const keep_aof_log *logs, size_t count, const char *path)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(logs[i].path, path)) return &logs[i];
    return NULL;
}

static const char *grown_path(const keep_aof_log *log)
{
    return log->text ? log->files[log->count - 1] : log->path;
}

static void list_prefixes(keep_aof *a)
{
    free(a->prefixes);
    a->prefixes = prog_alloc((a->count + 1) * sizeof *a->prefixes);
    a->prefix_count = 0;
    for (size_t i = 0; i < a->count; i++) {
        const keep_aof_log *log = &a->logs[i];
        if (log->grown_fd < 0) continue;
        a->prefixes[a->prefix_count++] = (versions_prefix){.path = grown_path(log), .device = log->device,
                                                           .inode = log->inode, .size = log->to};
    }
}

bool keep_aof_begin(keep_aof *a)
{
    keep_aof_log *before = a->logs;
    const size_t before_count = a->count;
    a->prefix_count = 0;
    a->passing = false;
    bool good = find_all(a);
    for (size_t i = 0; good && i < a->count; i++) {
        keep_aof_log *log = &a->logs[i];
        const keep_aof_log *old = find_log(before, before_count, log->path);
        good = open_files(a, log, old);
        log->settled = old && old->settled && old->text && log->text && !strcmp(old->text, log->text);
    }
    free_logs(before, before_count);
    if (good) list_prefixes(a);
    for (size_t i = 0; !good && i < a->count; i++) close_log(&a->logs[i]);
    return good;
}

void keep_aof_files(const keep_aof *a, void (*each)(void *user, const char *path), void *user)
{
    for (size_t i = 0; i < a->count; i++) {
        const keep_aof_log *log = &a->logs[i];
        each(user, log->path);
        for (size_t k = log->settled ? log->count - 1 : 0; k < log->count; k++) each(user, log->files[k]);
    }
}

/* >>end ----------------------------------------------------------------- */
static bool leads_to(const keep_aof *a, const char *path, int fd)
{
    char full[2 * PROG_PATH_SIZE_MAX + 2];
    struct stat now, then;
    full_path(a, path, full);
    return lstat(full, &now) == 0 && fstat(fd, &then) == 0 && now.st_dev == then.st_dev && now.st_ino == then.st_ino;
}

static bool is_unchanged(keep_aof *a, const keep_aof_log *log)
{
    uint64_t to = log->from;
    if (!leads_to(a, log->path, log->fd)) return fail(a, log->path, "it was replaced during the capture");
    if (log->grown_fd < 0) return true;
    if (!leads_to(a, grown_path(log), log->grown_fd))
        return fail(a, grown_path(log), "it was replaced during the capture");
    if (read_commands(log->grown_fd, &to, log->to) && to == log->to) return true;
    return fail(a, grown_path(log), "it was truncated during the capture");
}

bool keep_aof_end(keep_aof *a)
{
    keep_aof now = {.directory = a->directory, .rules = a->rules};
    bool good = find_all(&now);
    if (!good) fail(a, now.path, now.why);
    for (size_t i = 0; good && i < now.count; i++)
        if (!find_log(a->logs, a->count, now.logs[i].path))
            good = fail(a, now.logs[i].path, "it was made during the capture");
    for (size_t i = 0; good && i < a->count; i++) good = is_unchanged(a, &a->logs[i]);
    for (size_t i = 0; i < a->count; i++) close_log(&a->logs[i]);
    keep_aof_close(&now);
    return good;
}

void keep_aof_settle(keep_aof *a)
{
    for (size_t i = 0; i < a->count; i++) a->logs[i].settled = true;
    *a->said = 0;
}

void keep_aof_report(keep_aof *a, keep_torn *t)
{
    char text[sizeof a->said];
    const char *path = a->path ? a->path : "";
    snprintf(text, sizeof text, "%s%s%.200s: %s", a->directory, *path ? "/" : "", path, a->why);
    keep_torn_because(t, KEEP_TORN_APP);
    if (*path) keep_torn_add(t, path);
    if (!a->quiet && strcmp(text, a->said) != 0) prog_warn("--app: %s", text);
    snprintf(a->said, sizeof a->said, "%s", text);
}

void keep_aof_close(keep_aof *a)
{
    free_logs(a->logs, a->count);
    free(a->prefixes);
    free(a->path);
    a->logs = NULL;
    a->prefixes = NULL;
    a->path = NULL;
    a->count = a->room = a->prefix_count = 0;
}
