/* STORE/torn-HASH is a sequence of records, oldest first; HASH is that of the versions' name:

       VERSION '!' KEY NUL      a reason; readers ignore keys that they do not know
       VERSION ' ' PATH NUL     a file

   Each change replaces the file by a rename. Beyond SIZE_LIMIT bytes the oldest records are dropped. */
#include "torn.h"

#include "../common/os.h"

#include "../../dx_cas.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE_LIMIT = 65536, RECORD_SIZE_MAX = PROG_PATH_SIZE_MAX + 24 };

void keep_torn_add(keep_torn *t, const char *path)
{
    for (size_t i = 0; i < t->count; i++)
        if (!strcmp(t->names[i], path)) return;
    if (t->count == KEEP_TORN_MAX || strlen(path) > PROG_PATH_SIZE_MAX) return;
    const size_t size = strlen(path) + 1;
    t->names[t->count] = prog_alloc(size);
    memcpy(t->names[t->count++], path, size);
}

void keep_torn_clear(keep_torn *t)
{
    while (t->count) free(t->names[--t->count]);
    t->reasons = 0;
}

/* >>reasons ------------------------------------------------------------ */
static const struct {
    const char *key, *text;
} reasons[KEEP_TORN_REASONS] = {
    [KEEP_TORN_NOT_STOPPED] = {"not-stopped", "no process was stopped during the capture"},
    [KEEP_TORN_HOOK] = {"hook-failed", "the command of --before-capture failed"},
    [KEEP_TORN_APP] = {"app-failed", "the data of --app could not be held still"},
    [KEEP_TORN_ENDED] = {"process-ended", "the process of --freeze-pid or --freeze-pidfile had ended"},
    [KEEP_TORN_SLOW_STOP] = {"slow-stop", "a process did not stop within --pause-max-ms"},
    [KEEP_TORN_STARTS] = {"processes-started",
                          "processes kept starting, so that one may not have been stopped"},
    [KEEP_TORN_UNSTOPPABLE] = {"unstoppable", "a process could not be stopped"},
    [KEEP_TORN_PAUSE] = {"slow-read", "the changes could not be read within --pause-max-ms"},
    [KEEP_TORN_HELD] = {"too-much-changed", "more changed than the memory for a stop holds"},
    [KEEP_TORN_MOVED] = {"directory-replaced", "the directory was removed or replaced, by a restore for example"},
    [KEEP_TORN_POLLED] = {"polled", "a directory is polled, because its file system or the number of "
                                    "directories does not permit notifications"},
    [KEEP_TORN_EVENTS] = {"events-lost", "notifications were lost, or were too many"},
    [KEEP_TORN_MAPPINGS] = {"mappings-unknown", "the mapped files of a process could not be listed"},
    [KEEP_TORN_LINKED] = {"hard-links", "a file has several names"},
    [KEEP_TORN_OWNER] = {"owner-changed", "the owner of a directory changed during the capture"},
    [KEEP_TORN_REPLACED] = {"replaced", "an entry was replaced during every read, and is missing"},
    [KEEP_TORN_WRITTEN] = {"written-while-stopped", "written to while the program was stopped"},
    [KEEP_TORN_CHANGED] = {"changed-during-reads", "files changed during every read"},
};

const char *keep_torn_key(keep_torn_reason why) { return reasons[why].key; }

const char *keep_torn_text(keep_torn_reason why) { return reasons[why].text; }

void keep_torn_because(keep_torn *t, keep_torn_reason why) { t->reasons |= UINT32_C(1) << why; }

static bool has(const keep_torn *t, int why) { return (t->reasons >> why & 1) != 0; }

const char *keep_torn_line(const keep_torn *t, uint32_t files, char out[KEEP_TORN_LINE_SIZE])
{
    size_t at = (size_t)snprintf(out, KEEP_TORN_LINE_SIZE, "torn");
    const char *before = ": ";
    for (int why = 0; why < KEEP_TORN_REASONS; why++) {
        const bool counted = why == KEEP_TORN_CHANGED && files;
        /* Before reasons were stored, names without a count had this one. */
        const bool old = why == KEEP_TORN_WRITTEN && !t->reasons && t->count && !files;
        if (!has(t, why) && !counted && !old) continue;
        const size_t room = KEEP_TORN_LINE_SIZE - at;
        const int n = counted ? snprintf(out + at, room, "%s%u %s", before, files, reasons[why].text)
                              : snprintf(out + at, room, "%s%s", before, reasons[why].text);
        assert(n > 0 && (size_t)n < room);
        at += (size_t)n;
        before = "; ";
    }
    return out;
}

const char *keep_torn_or_consistent(bool consistent, const keep_torn *t, uint32_t files,
                                    char out[KEEP_TORN_LINE_SIZE])
{
    return consistent ? "consistent" : keep_torn_line(t, files, out);
}

void keep_torn_json(const keep_torn *t, prog_json *j)
{
    prog_json_array_begin(j, "torn_reasons");
    for (int why = 0; why < KEEP_TORN_REASONS; why++)
        if (has(t, why)) prog_json_text(j, NULL, reasons[why].key);
    prog_json_array_end(j);
}

/* >>records ------------------------------------------------------------ */

static void notes_path(const char *store, const char *name, char out[PROG_PATH_SIZE_MAX + 64])
{
    dx_cas_id id;
    dx_cas_hash(name, strlen(name), &id);
    snprintf(out, PROG_PATH_SIZE_MAX + 64, "%s/torn-%02x%02x%02x%02x%02x%02x%02x%02x", store,
             id.bytes[0], id.bytes[1], id.bytes[2], id.bytes[3], id.bytes[4], id.bytes[5],
             id.bytes[6], id.bytes[7]);
}

/* Read all records. *out NULL: there are none. PROG_SYSTEM with a warning: they cannot be read. */
static int read_notes(const char *store, const char *name, char **out, size_t *size)
{
    char path[PROG_PATH_SIZE_MAX + 64];
    *size = 0;
    *out = NULL;
    notes_path(store, name, path);
    const int file = os_open(path);
    if (file < 0 && errno == ENOENT) return PROG_OK;
    char *notes = prog_alloc(SIZE_LIMIT);
    const int64_t n = file < 0 ? -1 : os_read(file, notes, SIZE_LIMIT);
    const int error = errno;
    if (file >= 0) os_close(file);
    if (n < 0) {
        free(notes);
        prog_warn("%s: %s; the reasons why versions are torn are missing", path, os_error_text(error));
        return PROG_SYSTEM;
    }
    while (n > 0 && *size < (size_t)n) { /* whole records only */
        const char *end = memchr(notes + *size, 0, (size_t)n - *size);
        if (!end) break;
        *size = (size_t)(end - notes) + 1;
    }
    *out = notes;
    return PROG_OK;
}

char *keep_torn_open(const char *store, const char *name, size_t *size)
{
    char *notes;
    (void)read_notes(store, name, &notes, size); /* it has warned */
    return notes;
}

void keep_torn_load(keep_torn *t, const char *notes, size_t size, uint64_t version)
{
    keep_torn_clear(t);
    for (size_t at = 0; at < size; at += strlen(notes + at) + 1) {
        char *path;
        if (strtoull(notes + at, &path, 10) != version) continue;
        if (*path == ' ') keep_torn_add(t, path + 1);
        for (int why = 0; *path == '!' && why < KEEP_TORN_REASONS; why++)
            if (!strcmp(path + 1, reasons[why].key)) keep_torn_because(t, (keep_torn_reason)why);
    }
}

static size_t append(char *out, size_t size, uint64_t version, char kind, const char *text)
{
    char record[RECORD_SIZE_MAX];
    const int length = snprintf(record, sizeof record, "%llu%c%s", (unsigned long long)version, kind, text);
    const size_t need = (size_t)length + 1;
    assert(length > 0 && need <= sizeof record);
    size_t drop = 0;
    while (size - drop > SIZE_LIMIT - need) drop += strlen(out + drop) + 1;
    memmove(out, out + drop, size - drop);
    size -= drop;
    memcpy(out + size, record, need);
    return size + need;
}

/* Drop the records of this version and later ones, which a crash before a commit left. */
static size_t drop_uncommitted(char *out, size_t size, uint64_t version)
{
    size_t kept = 0;
    for (size_t at = 0, record; at < size; at += record) {
        record = strlen(out + at) + 1;
        if (strtoull(out + at, NULL, 10) >= version) continue;
        memmove(out + kept, out + at, record);
        kept += record;
    }
    return kept;
}

static size_t append_all(const keep_torn *t, char *out, size_t size, uint64_t version)
{
    size = drop_uncommitted(out, size, version);
    for (int why = 0; why < KEEP_TORN_REASONS; why++)
        if (has(t, why)) size = append(out, size, version, '!', reasons[why].key);
    for (size_t i = 0; i < t->count; i++) size = append(out, size, version, ' ', t->names[i]);
    return size;
}

int keep_torn_save(const keep_torn *t, const char *store, const char *name, uint64_t version)
{
    char path[PROG_PATH_SIZE_MAX + 64], made[PROG_PATH_SIZE_MAX + 72];
    size_t size;
    if (!t->count && !t->reasons) return PROG_OK;
    char *notes;
    int status = read_notes(store, name, &notes, &size);
    if (status) return status; /* what it has is not replaced */
    if (!notes) notes = prog_alloc(SIZE_LIMIT);
    size = append_all(t, notes, size, version);
    notes_path(store, name, path);
    snprintf(made, sizeof made, "%s-new", path);
    const int file = os_open_staging(made, false);
    const bool good = file >= 0 && os_empty(file) == 0 && os_write(file, notes, size) == 0 &&
                      os_replace(file, made, path, false) == 0;
    status = good ? PROG_OK : prog_fail_errno("%s", path);
    if (good) os_close(file);
    else if (file >= 0) os_drop_staging(file, made);
    free(notes);
    return status;
}
