/* A lease is a line of text, written to a new file that replaces the old one:

       EPOCH LEASE_MS HOLDER '\n'

   The time at which it ends is known to this process only. Another process that serves the same store
   counts from its own start, so a lease ends later, never earlier. */
#include "leases.h"

#include "../../common/os.h"

#include "../../../dx_cas.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_SIZE = 64 + 2 * DXUP_HOLDER_SIZE };

typedef struct clock_of { /* when a lease ends */
    dx_cas_id name;
    uint64_t  epoch;
    int64_t   until_ns;
} clock_of;

struct dxup_leases {
    char     store[PROG_PATH_SIZE_MAX + 1];
    size_t   count, next;
    clock_of clocks[DXUP_LEASES_MAX]; /* the oldest is overwritten: that lease then begins anew */
};

dxup_leases *dxup_leases_open(const char *store)
{
    dxup_leases *l = prog_alloc(sizeof *l);
    memset(l, 0, sizeof *l);
    snprintf(l->store, sizeof l->store, "%s", store);
    return l;
}

void dxup_leases_close(dxup_leases *l) { free(l); }

/* >>file --------------------------------------------------------------- */
static void path_of(const dxup_leases *l, const char *name, const char *end,
                    char out[PROG_PATH_SIZE_MAX + 96])
{
    dx_cas_id id;
    char hash[65];
    dx_cas_hash(name, strlen(name), &id);
    snprintf(out, PROG_PATH_SIZE_MAX + 96, "%s/lease-%.32s%s", l->store,
             prog_hash_text(id.bytes, hash), end);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse(const char *text, size_t size, dxup_lease *out)
{
    unsigned long long epoch;
    unsigned ms;
    int used = 0;
    if (sscanf(text, "%20llu %10u %n", &epoch, &ms, &used) != 2 || !epoch || !used) return false;
    if (size != (size_t)used + 2 * DXUP_HOLDER_SIZE + 1 || text[size - 1] != '\n') return false;
    for (size_t i = 0; i < DXUP_HOLDER_SIZE; i++) {
        const int high = hex_digit(text[used + 2 * (int)i]), low = hex_digit(text[used + 2 * (int)i + 1]);
        if (high < 0 || low < 0) return false;
        out->holder[i] = (uint8_t)(high << 4 | low);
    }
    out->epoch = epoch;
    out->lease_ms = ms;
    return true;
}

int dxup_leases_read(const dxup_leases *l, const char *name, dxup_lease *out)
{
    char path[PROG_PATH_SIZE_MAX + 96], text[LINE_SIZE + 1];
    size_t size = 0;
    int64_t n = 0;
    memset(out, 0, sizeof *out);
    path_of(l, name, "", path);
    const int file = os_open(path);
    if (file < 0) return errno == ENOENT ? PROG_OK : prog_fail_errno("%s", path);
    while (size < LINE_SIZE && (n = os_read(file, text + size, LINE_SIZE - size)) > 0) size += (size_t)n;
    os_close(file);
    if (n < 0) return prog_fail_errno("%s", path);
    text[size] = 0;
    return parse(text, size, out) ? PROG_OK
                                  : prog_fail(PROG_DAMAGED, "%s is damaged: it has no lease", path);
}

int dxup_leases_write(const dxup_leases *l, const char *name, const dxup_lease *lease)
{
    char path[PROG_PATH_SIZE_MAX + 96], made[PROG_PATH_SIZE_MAX + 96], text[LINE_SIZE];
    int size = snprintf(text, sizeof text, "%llu %u ", (unsigned long long)lease->epoch,
                        (unsigned)lease->lease_ms);
    for (size_t i = 0; i < DXUP_HOLDER_SIZE; i++)
        size += snprintf(text + size, sizeof text - (size_t)size, "%02x", lease->holder[i]);
    text[size++] = '\n';
    path_of(l, name, "", path);
    path_of(l, name, "-new", made);
    const int file = os_open_staging(made, false);
    const bool good = file >= 0 && os_empty(file) == 0 && os_write(file, text, (size_t)size) == 0 &&
                      os_sync(file) == 0 && os_replace(file, made, path, false) == 0;
    const int status = good ? prog_sync_parent(path) : prog_fail_errno("%s", path);
    if (good) os_close(file);
    else if (file >= 0) os_drop_staging(file, made);
    return status;
}

/* >>time --------------------------------------------------------------- */
static clock_of *find_clock(dxup_leases *l, const char *name, const dxup_lease *now)
{
    dx_cas_id id;
    dx_cas_hash(name, strlen(name), &id);
    for (size_t i = 0; i < l->count; i++)
        if (!memcmp(&l->clocks[i].name, &id, sizeof id)) return &l->clocks[i];
    clock_of *c = &l->clocks[l->next++ % DXUP_LEASES_MAX];
    if (l->count < DXUP_LEASES_MAX) l->count++;
    *c = (clock_of){.name = id, .epoch = now->epoch};
    c->until_ns = prog_now_ns() + (int64_t)now->lease_ms * 1000000;
    return c;
}

void dxup_leases_renew(dxup_leases *l, const char *name, const dxup_lease *now)
{
    clock_of *c = find_clock(l, name, now);
    c->epoch = now->epoch;
    c->until_ns = prog_now_ns() + (int64_t)now->lease_ms * 1000000;
}

void dxup_leases_end(dxup_leases *l, const char *name, const dxup_lease *now)
{
    clock_of *c = find_clock(l, name, now);
    c->epoch = now->epoch;
    c->until_ns = prog_now_ns();
}

bool dxup_leases_free(dxup_leases *l, const char *name, const dxup_lease *now,
                      const uint8_t holder[DXUP_HOLDER_SIZE], const uint8_t before[DXUP_HOLDER_SIZE],
                      bool *renews, uint32_t *left_ms)
{
    *left_ms = 0;
    *renews = now->epoch && !memcmp(holder, now->holder, sizeof now->holder);
    if (!now->epoch || *renews || !memcmp(before, now->holder, sizeof now->holder)) return true;
    clock_of *c = find_clock(l, name, now);
    if (c->epoch != now->epoch) dxup_leases_renew(l, name, now); /* another server granted it */
    const int64_t left_ns = c->until_ns - prog_now_ns();
    if (left_ns <= 0) return true;
    *left_ms = (uint32_t)(left_ns / 1000000) + 1;
    return false;
}
