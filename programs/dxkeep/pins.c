/* STORE/pins has a line for each pinned version, of all names:

       VERSION ' ' NAME '\n'

   Each change replaces the file by a rename, while STORE/pins-lock is held. A collection holds that
   lock from the time it reads the pins until it has replaced the log. */
#include "pins.h"

#include "../common/os.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE_LIMIT = 4 << 20, LINE_MAX_SIZE = PROG_NAME_SIZE_MAX + 32 };
#define WAIT_NS INT64_C(1000000000)
#define POLL_NS INT64_C(5000000)

static void path_of(const char *store, const char *suffix, char out[PROG_PATH_SIZE_MAX + 32])
{
    snprintf(out, PROG_PATH_SIZE_MAX + 32, "%s/pins%s", store, suffix);
}

int keep_pins_lock(const char *store)
{
    char path[PROG_PATH_SIZE_MAX + 32];
    const int64_t until_ns = prog_now_ns() + WAIT_NS;
    path_of(store, "-lock", path);
    for (;;) {
        const int lock = os_open_lock(path);
        if (lock >= 0) return lock;
        if (errno != EWOULDBLOCK) {
            (void)prog_fail_errno("%s", path);
            return -1;
        }
        if (prog_now_ns() >= until_ns)
            return prog_fail(-1, "%s: another process holds its pins; try again", store);
        os_sleep_ns(POLL_NS);
    }
}

/* Set *text to the content, with a zero byte at its end; NULL if there is no file. */
static int load(const char *store, char **text, size_t *size)
{
    char path[PROG_PATH_SIZE_MAX + 32];
    path_of(store, "", path);
    *text = NULL;
    *size = 0;
    const int file = os_open(path);
    if (file < 0) return errno == ENOENT ? PROG_OK : prog_fail_errno("%s", path);
    char *bytes = prog_alloc(SIZE_LIMIT + 1);
    int64_t n;
    while ((n = os_read(file, bytes + *size, SIZE_LIMIT - *size)) > 0) *size += (size_t)n;
    const int status = n < 0 ? prog_fail_errno("%s", path) : PROG_OK;
    os_close(file);
    bytes[*size] = 0;
    if (status) free(bytes);
    else *text = bytes;
    return status;
}

/* The next line: its version, and its name with a zero byte in place of the line feed. *at advances. */
static bool next_line(char **at, uint64_t *version, const char **name)
{
    char *end = strchr(*at, '\n'), *after;
    if (!end || end - *at > LINE_MAX_SIZE || **at < '1' || **at > '9') return false;
    errno = 0;
    *version = strtoull(*at, &after, 10);
    if (errno || *after != ' ' || after + 1 == end) return false;
    *end = 0;
    *name = after + 1;
    *at = end + 1;
    return true;
}

static int damaged(const char *store)
{
    return prog_fail(PROG_DAMAGED, "%s/pins is damaged; each of its lines is a version, a space and "
                                   "a name. If it is removed, no version is pinned", store);
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int keep_pins_load(keep_pins *p, const char *store, const char *name)
{
    char *text;
    size_t size, room = 0;
    *p = (keep_pins){.count = 0};
    int status = load(store, &text, &size);
    if (status || !text) return status;
    char *at = text;
    while (*at) {
        uint64_t version;
        const char *of;
        if (!next_line(&at, &version, &of)) break;
        if (strcmp(of, name) != 0) continue;
        if (p->count == room) {
            room = room * 2 + 16;
            p->versions = realloc(p->versions, room * sizeof *p->versions);
            if (!p->versions) abort();
        }
        p->versions[p->count++] = version;
    }
    if ((size_t)(at - text) != size) status = damaged(store);
    free(text);
    if (status) keep_pins_free(p);
    else if (p->count) qsort(p->versions, p->count, sizeof *p->versions, compare);
    return status;
}

void keep_pins_free(keep_pins *p)
{
    free(p->versions);
    *p = (keep_pins){.count = 0};
}

bool keep_pins_have(const keep_pins *p, uint64_t version)
{
    return p->count && bsearch(&version, p->versions, p->count, sizeof version, compare) != NULL;
}

static int replace(const char *store, const char *text, size_t size)
{
    char path[PROG_PATH_SIZE_MAX + 32], made[PROG_PATH_SIZE_MAX + 32];
    path_of(store, "", path);
    path_of(store, "-new", made);
    const int file = os_open_staging(made, false);
    const bool good = file >= 0 && os_empty(file) == 0 && os_write(file, text, size) == 0 &&
                      os_sync(file) == 0 && os_replace(file, made, path, false) == 0;
    const int status = good ? prog_sync_parent(path) : prog_fail_errno("%s", path);
    if (good) os_close(file);
    else if (file >= 0) os_drop_staging(file, made);
    return status;
}

int keep_pins_set(const char *store, const char *name, uint64_t version, bool pinned, bool *changed)
{
    char *text, line[LINE_MAX_SIZE];
    size_t size;
    assert(version && strlen(name) <= PROG_NAME_SIZE_MAX);
    int status = load(store, &text, &size);
    if (status) return status;
    char *out = prog_alloc(size + LINE_MAX_SIZE), *at = text;
    size_t kept = 0;
    bool had = false;
    while (text && *at) {
        uint64_t one;
        const char *of;
        if (!next_line(&at, &one, &of)) break;
        if (one == version && !strcmp(of, name)) had = true;
        else kept += (size_t)sprintf(out + kept, "%" PRIu64 " %s\n", one, of);
    }
    if (text && (size_t)(at - text) != size) status = damaged(store);
    const size_t more = (size_t)snprintf(line, sizeof line, "%" PRIu64 " %s\n", version, name);
    *changed = had != pinned;
    if (!status && pinned && !had && kept + more > SIZE_LIMIT)
        status = prog_fail(PROG_REFUSED, "%s: too many pinned versions", store);
    if (pinned) {
        memcpy(out + kept, line, more);
        kept += more;
    }
    if (!status && *changed) status = replace(store, out, kept);
    free(out);
    free(text);
    return status;
}
