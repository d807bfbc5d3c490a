/* The log of a server. See log.h. Double buffering: the workers fill one page while the thread
   writes the other, then the pages are swapped. */
#include "log.h"

#include "../../common/json.h"
#include "../../common/os.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    PAGE_SIZE     = 1 << 20, /* about 3,000 lines */
    FILE_MODE     = 0640,    /* not world-readable: it has addresses and names */
    END_TIMEOUT_S = 3
};

struct dxup_logger {
    char           *path;    /* of the thread; NULL: standard error */
    char           *named;   /* of the caller: the path of the last opening or move */
    dxup_metrics   *metrics;
    int             file;
    pthread_t       thread;
    bool            failing; /* of the thread: the last write failed, and a message was printed */
    bool            cut;     /* of the thread: the file ends with a partial line */
    uint64_t        missing; /* of the thread: lines that are missing at the end of the file */
    pthread_mutex_t lock;    /* guards everything below */
    pthread_cond_t  work;    /* wakes the thread */
    pthread_cond_t  over;    /* the thread has ended */
    char           *page;    /* being filled, PAGE_SIZE bytes */
    size_t          used;
    char           *other;   /* being written */
    uint64_t        dropped; /* lines that found no room in the page */
    bool            reopen, ending, done;
    bool            moves;   /* with reopen: to this file instead */
    char           *next_path;
    int             next_file;
};

/* >>thread ----------------------------------------------------------------- */
static uint64_t count_lines(const char *bytes, size_t size)
{
    uint64_t count = 0;
    for (size_t i = 0; i < size; i++) count += bytes[i] == '\n';
    return count;
}

/* After a failed write of size bytes at offset start: how many of them are in the file? */
static size_t written_of(const dxup_logger *l, uint64_t start, size_t size)
{
    os_info now;
    if (os_info_of(l->file, &now) < 0 || now.kind != OS_FILE) return 0;
    if (now.size < start || now.size - start > size) return 0; /* another process truncated it */
    return (size_t)(now.size - start);
}

/* Write lines, and return how many of them are lost. A message is printed once per failure. */
static uint64_t write_lines(dxup_logger *l, const char *bytes, size_t size)
{
    os_info before = {0};
    if (!l->path) {
        os_write_error(bytes, size);
        return 0;
    }
    const bool known = os_info_of(l->file, &before) == 0 && before.kind == OS_FILE;
    bool good = true;
    if (l->cut && (!known || before.size)) { /* complete the partial line, unless it was removed */
        good = !os_write(l->file, "\n", 1);
        if (good) before.size++;
    }
    if (good) l->cut = false;
    if (good && !os_write(l->file, bytes, size)) {
        l->failing = false;
        return 0;
    }
    if (!l->failing) prog_fail_errno("%s: cannot write the log; lines are lost", l->path);
    l->failing = true;
    const size_t written = good ? written_of(l, before.size, size) : 0;
    if (written) l->cut = bytes[written - 1] != '\n';
    return count_lines(bytes, size) - count_lines(bytes, written);
}

/* The lines that follow go to another file, which is open. */
static void move(dxup_logger *l, char *path, int file)
{
    if (l->file >= 0) os_close(l->file);
    free(l->path);
    l->path = path;
    l->file = file;
    l->failing = l->cut = false;
}

/* Reopen the file. If that fails, the old one stays open: it may have been renamed, and
   still takes lines. */
static void open_again(dxup_logger *l)
{
    if (!l->path) return;
    int file = os_open_append(l->path, FILE_MODE);
    if (file < 0) {
        prog_fail_errno("%s: cannot open the log again", l->path);
        return;
    }
    os_close(l->file);
    l->file = file;
    l->failing = false;
}

/* Write a line with the number of lines that are missing at this place. Until it can be written the
   number is kept. */
static void write_missing(dxup_logger *l)
{
    prog_json j;
    prog_line line;
    if (!l->missing) return;
    prog_line_begin(&line);
    prog_json_begin(&j);
    prog_json_time(&j, "time", os_time_ns());
    prog_json_text(&j, "request", "log");
    prog_json_number(&j, "dropped", l->missing);
    prog_json_end_into(&j, &line);
    if (!write_lines(l, line.bytes, line.size)) l->missing = 0;
    prog_line_free(&line);
}

/* Write a page. dropped: lines that came after it, and found no room. */
static void write_page(dxup_logger *l, const char *bytes, size_t size, uint64_t dropped)
{
    write_missing(l);
    const uint64_t lost = size ? write_lines(l, bytes, size) : 0;
    if (lost) dxup_count(&l->metrics->log_dropped, lost);
    l->missing += lost + dropped;
    if (!lost) write_missing(l);
}

/* Only lines and requests wake it. A file that takes nothing is tried again with the next line. */
static void *run(void *user)
{
    dxup_logger *l = user;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!l->used && !l->reopen && !l->ending) pthread_cond_wait(&l->work, &l->lock);
        const bool again = l->reopen, moves = l->moves;
        char *path = l->next_path;
        const int file = l->next_file;
        const size_t size = l->used;
        const uint64_t dropped = l->dropped;
        char *full = l->page;
        if (!size && !again) break;
        l->page = l->other;
        l->other = full;
        l->used = 0;
        l->dropped = 0;
        l->reopen = l->moves = false;
        l->next_path = NULL;
        pthread_mutex_unlock(&l->lock);
        write_page(l, full, size, dropped);
        if (moves) move(l, path, file);
        else if (again) open_again(l);
        pthread_mutex_lock(&l->lock);
    }
    l->done = true;
    pthread_cond_signal(&l->over);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* >>open, close ------------------------------------------------------------ */
static void free_logger(dxup_logger *l)
{
    if (l->file >= 0) os_close(l->file);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->over);
    free(l->path);
    free(l->named);
    free(l->page);
    free(l->other);
    free(l);
}

int dxup_log_open(dxup_logger **out, const char *path, dxup_metrics *m)
{
    dxup_logger *l = prog_alloc(sizeof *l);
    memset(l, 0, sizeof *l);
    l->path = strcmp(path, "-") != 0 ? prog_copy_text(path) : NULL;
    l->named = prog_copy_text(path);
    l->metrics = m;
    l->file = l->path ? os_open_append(l->path, FILE_MODE) : -1;
    l->page = prog_alloc(PAGE_SIZE);
    l->other = prog_alloc(PAGE_SIZE);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->over, NULL);
    int status = PROG_OK;
    if (l->path && l->file < 0) {
        prog_fail_errno("%s: cannot open the log", path);
        status = PROG_SYSTEM;
    } else if (pthread_create(&l->thread, NULL, run, l)) {
        status = prog_fail(PROG_SYSTEM, "%s: cannot start the log's thread", path);
    }
    if (status) free_logger(l);
    else *out = l;
    return status;
}

void dxup_log_reopen(dxup_logger *l)
{
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->reopen = true;
    pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->lock);
}

int dxup_log_move(dxup_logger *l, const char *path)
{
    const bool to_file = strcmp(path, "-") != 0;
    if (!strcmp(path, l->named)) {
        dxup_log_reopen(l);
        return PROG_OK;
    }
    const int file = to_file ? os_open_append(path, FILE_MODE) : -1;
    if (to_file && file < 0) {
        prog_fail_errno("%s: cannot open the log", path);
        return PROG_SYSTEM;
    }
    free(l->named);
    l->named = prog_copy_text(path);
    pthread_mutex_lock(&l->lock);
    if (l->moves && l->next_file >= 0) os_close(l->next_file); /* the thread did not get to it */
    free(l->next_path);
    l->next_path = to_file ? prog_copy_text(path) : NULL;
    l->next_file = file;
    l->moves = l->reopen = true;
    pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->lock);
    return PROG_OK;
}

void dxup_log_close(dxup_logger *l)
{
    if (!l) return;
    const int64_t until_ns = os_time_ns() + (int64_t)END_TIMEOUT_S * 1000000000;
    const struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000),
                                   .tv_nsec = (long)(until_ns % 1000000000)};
    int error = 0;
    pthread_mutex_lock(&l->lock);
    l->ending = true;
    pthread_cond_signal(&l->work);
    while (!l->done && !error) error = pthread_cond_timedwait(&l->over, &l->lock, &until);
    const bool done = l->done;
    pthread_mutex_unlock(&l->lock);
    if (!done) { /* it hangs in a write; the end of the process ends it */
        pthread_detach(l->thread);
        return;
    }
    pthread_join(l->thread, NULL);
    free_logger(l);
}

/* >>entry ------------------------------------------------------------------ */
dxup_log_entry *dxup_log_entry_open(const dxup_logger *l, int socket)
{
    dx_reactor_address address;
    if (!l) return NULL;
    dxup_log_entry *e = malloc(sizeof *e);
    if (!e) return NULL;
    memset(e, 0, sizeof *e);
    if (!os_peer_address(socket, address.bytes, sizeof address.bytes, &address.size) ||
        dx_reactor_address_format(&address, e->peer, sizeof e->peer))
        strcpy(e->peer, "unix"); /* such peers have no address */
    return e;
}

void dxup_log_begin(dxup_logger *l, dxup_log_entry *e, const char *request, bool several)
{
    if (!e) return;
    if (several && e->open && e->several && !strcmp(e->request, request)) return;
    dxup_log_end(l, e, NULL, 0);
    e->open = true;
    e->several = several;
    e->request = request;
    e->result = "sent";
    e->time_ns = os_time_ns();
    e->began_ns = os_now_ns();
    e->from = e->to = e->sent = 0;
    e->status = 0;
    memset(e->from_hash, 0, sizeof e->from_hash);
    memset(e->to_hash, 0, sizeof e->to_hash);
    e->name[0] = e->path[0] = 0;
}

void dxup_log_name(dxup_log_entry *e, const char *name, uint64_t version)
{
    if (!e) return;
    snprintf(e->name, sizeof e->name, "%s", name);
    e->to = version;
}

void dxup_log_unknown(dxup_log_entry *e, const uint8_t hash[PROG_HASH_SIZE])
{
    if (e) memcpy(e->from_hash, hash, sizeof e->from_hash);
}

void dxup_log_path(dxup_log_entry *e, const void *path, size_t size)
{
    if (!e) return;
    if (size > DXUP_LOG_PATH_MAX) size = DXUP_LOG_PATH_MAX;
    memcpy(e->path, path, size);
    e->path[size] = 0;
}

/* The hash in the form that `dxup log` prints. */
static const uint8_t *hash_of(const versions_version *v) { return v->snapshot ? v->root : v->hash; }

void dxup_log_versions(dxup_log_entry *e, const versions_version *from, const versions_version *to)
{
    if (!e) return;
    if (from) {
        e->from = from->version;
        memcpy(e->from_hash, hash_of(from), sizeof e->from_hash);
    }
    if (to) {
        dxup_log_name(e, to->name, to->version);
        memcpy(e->to_hash, hash_of(to), sizeof e->to_hash);
    }
}

void dxup_log_result(dxup_log_entry *e, const char *result)
{
    if (e) e->result = result;
}

void dxup_log_sent(dxup_log_entry *e, uint64_t size)
{
    if (e) e->sent += size;
}

void dxup_log_drop(dxup_log_entry *e)
{
    if (e) e->open = false;
}

static void put_version(prog_json *j, const char *number_name, uint64_t number,
                        const char *hash_name, const uint8_t hash[PROG_HASH_SIZE])
{
    static const uint8_t none[PROG_HASH_SIZE];
    if (number) prog_json_number(j, number_name, number);
    if (memcmp(hash, none, sizeof none) != 0) prog_json_hash(j, hash_name, hash);
}

static void put_entry(prog_line *line, const dxup_log_entry *e)
{
    prog_json j;
    prog_json_begin(&j);
    prog_json_time(&j, "time", e->time_ns);
    prog_json_text(&j, "peer", e->peer);
    prog_json_text(&j, "request", e->request);
    if (e->path[0]) prog_json_text(&j, "path", e->path);
    if (e->name[0]) prog_json_text(&j, "name", e->name);
    put_version(&j, "from", e->from, "from_hash", e->from_hash);
    put_version(&j, "to", e->to, "to_hash", e->to_hash);
    prog_json_number(&j, "sent", e->sent);
    prog_json_number(&j, "ms", (uint64_t)(os_now_ns() - e->began_ns) / 1000000);
    prog_json_text(&j, "result", e->result);
    if (e->status) prog_json_number(&j, "status", (uint64_t)e->status);
    prog_json_end_into(&j, line);
}

void dxup_log_end(dxup_logger *l, dxup_log_entry *e, const char *result, int status)
{
    prog_line line;
    if (!e || !e->open) return;
    assert(l && e->request);
    if (result) e->result = result;
    if (status) e->status = status;
    prog_line_begin(&line);
    put_entry(&line, e);
    pthread_mutex_lock(&l->lock);
    const bool room = line.size <= PAGE_SIZE - l->used;
    if (room) {
        memcpy(l->page + l->used, line.bytes, line.size);
        if (!l->used) pthread_cond_signal(&l->work);
        l->used += line.size;
    } else {
        l->dropped++;
    }
    pthread_mutex_unlock(&l->lock);
    if (!room) dxup_count(&l->metrics->log_dropped, 1);
    prog_line_free(&line);
    e->open = false;
}
