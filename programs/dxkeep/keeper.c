/* STORE/keeper is text, locked by the process, and written in place by one call:

       PID BEGAN CAPTURED WAITING FAILED '\n' DIRECTORY '\n' zeros to the end

   All numbers have a fixed width, so the size never changes. A reader reads twice until both are
   alike. */
#include "keeper.h"

#include "../common/os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD = 128 + PROG_PATH_SIZE_MAX, TRIES_MAX = 100 };

static void path_of(const char *store, char out[PROG_PATH_SIZE_MAX + 16])
{
    snprintf(out, PROG_PATH_SIZE_MAX + 16, "%.*s/keeper", PROG_PATH_SIZE_MAX, store);
}

int keep_keeper_open(const char *store)
{
    char path[PROG_PATH_SIZE_MAX + 16];
    path_of(store, path);
    return os_open_lock(path);
}

void keep_keeper_write(int lock, const keep_keeper *k)
{
    char record[RECORD] = {0};
    if (lock < 0) return;
    snprintf(record, sizeof record, "%020llu %020lld %020lld %020lld %d\n%s\n",
             (unsigned long long)k->pid, (long long)k->began_ns, (long long)k->captured_ns,
             (long long)k->waiting_ns, k->failed, k->directory);
    (void)os_write_at(lock, 0, record, sizeof record); /* only status misses it */
}

static bool read_record(const char *path, char record[RECORD])
{
    size_t size = 0;
    int64_t n = 1;
    const int file = os_open(path);
    if (file < 0) return false;
    while (size < RECORD && (n = os_read(file, record + size, RECORD - size)) > 0) size += (size_t)n;
    os_close(file);
    return size == RECORD && record[RECORD - 1] == 0;
}

static bool parse(const char *record, keep_keeper *out)
{
    unsigned long long pid;
    long long began, captured, waiting;
    int failed, used = 0;
    if (sscanf(record, "%20llu %20lld %20lld %20lld %1d%n", &pid, &began, &captured, &waiting, &failed,
               &used) != 5 || record[used] != '\n')
        return false;
    const char *directory = record + used + 1;
    const size_t size = strcspn(directory, "\n");
    if (!directory[size] || size > PROG_PATH_SIZE_MAX) return false;
    *out = (keep_keeper){.pid = pid, .began_ns = began, .captured_ns = captured,
                         .waiting_ns = waiting, .failed = failed != 0};
    memcpy(out->directory, directory, size);
    return true;
}

bool keep_keeper_read(const char *store, keep_keeper *out)
{
    char path[PROG_PATH_SIZE_MAX + 16], one[RECORD], two[RECORD];
    os_info info;
    path_of(store, path);
    if (os_stat(path, true, &info) < 0 || info.kind != OS_FILE) return false;
    const int lock = os_open_lock(path);
    if (lock >= 0) os_close(lock);
    if (lock >= 0 || errno != EWOULDBLOCK) return false;
    for (int tries = 0; tries < TRIES_MAX; tries++)
        if (read_record(path, one) && read_record(path, two) && !memcmp(one, two, sizeof one))
            return parse(one, out);
    return false;
}
