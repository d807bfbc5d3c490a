/* STORE/torn-HASH is a sequence of records, oldest first; HASH is that of the versions' name:

       VERSION ' ' PATH NUL

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
}

static void notes_path(const char *store, const char *name, char out[PROG_PATH_SIZE_MAX + 64])
{
    dx_cas_id id;
    dx_cas_hash(name, strlen(name), &id);
    snprintf(out, PROG_PATH_SIZE_MAX + 64, "%s/torn-%02x%02x%02x%02x%02x%02x%02x%02x", store,
             id.bytes[0], id.bytes[1], id.bytes[2], id.bytes[3], id.bytes[4], id.bytes[5],
             id.bytes[6], id.bytes[7]);
}

char *keep_torn_open(const char *store, const char *name, size_t *size)
{
    char path[PROG_PATH_SIZE_MAX + 64];
    *size = 0;
    notes_path(store, name, path);
    const int file = os_open(path);
    if (file < 0) return NULL;
    char *notes = prog_alloc(SIZE_LIMIT);
    const int64_t n = os_read(file, notes, SIZE_LIMIT);
    os_close(file);
    while (n > 0 && *size < (size_t)n) { /* whole records only */
        const char *end = memchr(notes + *size, 0, (size_t)n - *size);
        if (!end) break;
        *size = (size_t)(end - notes) + 1;
    }
    return notes;
}

void keep_torn_load(keep_torn *t, const char *notes, size_t size, uint64_t version)
{
    keep_torn_clear(t);
    for (size_t at = 0; at < size; at += strlen(notes + at) + 1) {
        char *path;
        if (strtoull(notes + at, &path, 10) == version && *path == ' ') keep_torn_add(t, path + 1);
    }
}

static size_t append(const keep_torn *t, char *out, size_t size, uint64_t version)
{
    for (size_t i = 0; i < t->count; i++) {
        char record[RECORD_SIZE_MAX];
        const int length = snprintf(record, sizeof record, "%llu %s", (unsigned long long)version,
                                    t->names[i]);
        const size_t need = (size_t)length + 1;
        assert(length > 0 && need <= sizeof record);
        size_t drop = 0;
        while (size - drop > SIZE_LIMIT - need) drop += strlen(out + drop) + 1;
        memmove(out, out + drop, size - drop);
        size -= drop;
        memcpy(out + size, record, need);
        size += need;
    }
    return size;
}

int keep_torn_save(const keep_torn *t, const char *store, const char *name, uint64_t version)
{
    char path[PROG_PATH_SIZE_MAX + 64], made[PROG_PATH_SIZE_MAX + 72];
    size_t size;
    if (!t->count) return PROG_OK;
    char *notes = keep_torn_open(store, name, &size);
    if (!notes) notes = prog_alloc(SIZE_LIMIT);
    size = append(t, notes, size, version);
    notes_path(store, name, path);
    snprintf(made, sizeof made, "%s-new", path);
    const int file = os_open_staging(made, false);
    const bool good = file >= 0 && os_empty(file) == 0 && os_write(file, notes, size) == 0 &&
                      os_replace(file, made, path, false) == 0;
    const int status = good ? PROG_OK : prog_fail_errno("%s", path);
    if (good) os_close(file);
    else if (file >= 0) os_drop_staging(file, made);
    free(notes);
    return status;
}
