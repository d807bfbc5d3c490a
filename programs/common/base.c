/* Memory, numbers and hashes as text, and small helpers for files. See common.h. */
#include "common.h"
#include "os.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOAD_NS ((int64_t)10000000000) /* until a pipe must have ended, */
#define LOAD_LOOK_NS ((int64_t)5000000) /* and between two looks at it */

void *prog_alloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (p) return p;
    prog_fail(PROG_SYSTEM, "out of memory");
    exit(PROG_SYSTEM);
}

char *prog_copy_text(const char *text)
{
    return text ? strcpy(prog_alloc(strlen(text) + 1), text) : NULL;
}

int64_t prog_now_ns(void) { return os_now_ns(); }

int64_t prog_time_ns(void) { return os_time_ns(); }

char *prog_count_text(uint64_t count, char out[32])
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count), used = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) out[used++] = ',';
        out[used++] = digits[i];
    }
    assert(n > 0 && used < 32);
    out[used] = 0;
    return out;
}

char *prog_hash_text(const uint8_t hash[PROG_HASH_SIZE], char out[65])
{
    for (int i = 0; i < PROG_HASH_SIZE; i++) snprintf(out + 2 * i, 3, "%02x", hash[i]);
    assert(!out[2 * PROG_HASH_SIZE]);
    return out;
}

bool prog_hash_parse(const char *text, uint8_t hash[PROG_HASH_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 2 * PROG_HASH_SIZE; i++) {
        const char *digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit) return false;
        hash[i / 2] = (uint8_t)(i % 2 ? hash[i / 2] << 4 | (digit - digits) : digit - digits);
    }
    return true;
}

unsigned prog_thread_count(unsigned workers, unsigned max)
{
    assert(max > 0);
    if (!workers) workers = os_cpu_count();
    assert(workers > 0);
    return workers < max ? workers : max;
}

bool prog_write_all(int fd, const void *bytes, size_t size)
{
    return os_write(fd, bytes, size) == 0;
}

int64_t prog_read_at(int fd, uint64_t at, void *out, size_t size)
{
    size_t done = 0;
    while (done < size) {
        const int64_t got = os_read_at(fd, at + done, (uint8_t *)out + done, size - done);
        if (got < 0) return -1;
        if (!got) break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

bool prog_is_zero(const uint8_t *bytes, size_t size)
{
    return !size || (!bytes[0] && !memcmp(bytes, bytes + 1, size - 1));
}

static size_t block_of(uint64_t at, size_t size)
{
    const size_t left = PROG_BLOCK_SIZE - (size_t)(at % PROG_BLOCK_SIZE);
    return left < size ? left : size;
}

size_t prog_run_of_blocks(uint64_t at, const uint8_t *bytes, size_t size, bool *is_zero)
{
    size_t run = block_of(at, size);
    *is_zero = prog_is_zero(bytes, run);
    while (run < size) {
        const size_t more = block_of(at + run, size - run);
        if (prog_is_zero(bytes + run, more) != *is_zero) break;
        run += more;
    }
    return run;
}

/* Is this the name of a descriptor that the process was started with? */
static bool is_given(const char *path)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (!strncmp(path, folders[i], strlen(folders[i]))) return true;
    return !strcmp(path, "/dev/stdin");
}

/* Read up to room bytes until the end. False: errno; ETIMEDOUT: a pipe does not end. */
static bool read_to_end(int file, char *out, size_t room, size_t *size)
{
    const int64_t end_ns = prog_now_ns() + LOAD_NS;
    while (*size < room) {
        const int64_t got = os_read(file, out + *size, room - *size);
        if (!got) return true;
        if (got > 0) *size += (size_t)got;
        if (got < 0 && errno != EAGAIN) return false;
        if (prog_now_ns() >= end_ns) {
            errno = ETIMEDOUT;
            return false;
        }
        if (got < 0) os_sleep_ns(LOAD_LOOK_NS);
    }
    return true;
}

int prog_load(const char *before, const char *path, size_t size_max, bool pipes, char **out, size_t *size)
{
    os_info info;
    int status = PROG_OK;
    *out = NULL;
    *size = 0;
    const int file = os_open(path);
    if (file < 0 || os_info_of(file, &info) < 0) status = prog_fail_errno("%s%s", before, path);
    else if (info.kind == OS_FOLDER) status = prog_fail(PROG_USAGE, "%s%s: is a directory", before, path);
    else if (info.kind != OS_FILE && !(pipes && info.kind == OS_OTHER && is_given(path)))
        status = prog_fail(PROG_USAGE, "%s%s: is not a regular file", before, path);
    if (!status) {
        *out = prog_alloc(size_max + 1);
        if (read_to_end(file, *out, size_max + 1, size)) errno = 0;
        if (errno == ETIMEDOUT) status = prog_fail(PROG_USAGE, "%s%s: does not end within 10 s", before, path);
        else if (errno) status = prog_fail_errno("%s%s", before, path);
        else if (*size > size_max)
            status = prog_fail(PROG_USAGE, "%s%s: larger than %llu bytes", before, path,
                               (unsigned long long)size_max);
    }
    if (file >= 0) os_close(file);
    if (!status) {
        (*out)[*size] = 0;
        return PROG_OK;
    }
    free(*out);
    *out = NULL;
    return status;
}

uint64_t prog_fnv(uint64_t hash, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < size; i++) hash = (hash ^ p[i]) * (uint64_t)0x100000001b3;
    return hash;
}

int prog_sync_parent(const char *path)
{
    if (os_sync_parent(path) == 0) return PROG_OK;
    return prog_fail_errno("%s: cannot sync its directory", path);
}

/* For os_list(): stop at the first name. */
static int found(void *user, const char *name)
{
    (void)user;
    (void)name;
    return 1;
}

bool prog_has_entries(const char *path)
{
    int folder = os_open_folder(path);
    if (folder < 0) return errno != ENOENT && errno != ENOTDIR;
    bool has = os_list(folder, found, NULL) != 0;
    os_close(folder);
    return has;
}

/* Cut the last name off a path: "a/b" becomes "a", "/a" "/", "C:/a" "C:/", and "a" ".". False at a
   root and at ".", which have no parent. Each step shortens the path or makes it ".", so a loop ends. */
static bool climb(char *path)
{
    const bool drive = path[0] && path[1] == ':'; /* on other systems a real path begins with a slash */
    char *slash = strrchr(path, '/');
    if (!slash) {
        const bool held = !drive && path[0] && strcmp(path, ".") != 0;
        if (held) strcpy(path, ".");
        return held;
    }
    const bool root = slash == path + (drive ? 2 : 0);
    if (root && !slash[1]) return false;
    slash[root] = 0; /* a root keeps its slash */
    return true;
}

bool prog_lies_in(const char *inner, const char *outer)
{
    char given[PROG_PATH_SIZE_MAX + 1], path[PROG_PATH_SIZE_MAX + 1];
    os_info is, wanted;
    if (os_stat(outer, true, &wanted) < 0 || os_real_path(inner, given, sizeof given) < 0)
        return false;
    while (os_stat(given, true, &is) < 0) { /* it does not exist yet: resolve its parent */
        if (!climb(given)) return false;
    }
    if (os_real_path(given, path, sizeof path) < 0) return false;
    do {
        if (os_stat(path, true, &is) == 0 && is.volume == wanted.volume &&
            is.number == wanted.number)
            return true;
    } while (climb(path));
    return false;
}

int prog_remove_all(const char *path)
{
    return os_remove_tree(path) < 0 ? prog_fail_errno("%s: cannot be removed", path) : PROG_OK;
}
