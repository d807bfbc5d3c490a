/* Reads files into batches: the bytes are cut into chunks, and events assign the chunks to files. A
   chunk does not cross batches; the one in progress moves to the next batch:

       batch n    | chunk | chunk | chunk | in progress..
       batch n+1                          | in progress ... | chunk | ...

   A file that changes while it is read is read again. In a live tree (desc.torn) it is published as
   it is after some tries. */
#include "tree.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "publish.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TRIES = 3,      /* of a file that changes while it is read */
    LIVE_TRIES = 32 /* after TRIES it only must not be replaced or truncated */
};

/* >>batches, filled ----------------------------------------------------- */
bool versions_publish_is_late(const publisher *p)
{
    return p->live && p->live->read && prog_now_ns() > p->live->until_ns;
}

int versions_publish_cannot_read(const publisher *p)
{
    const int status = prog_fail_errno("%s", *p->path ? p->path : p->top);
    snprintf(p->out->unread, sizeof p->out->unread, "%s", p->path);
    return status;
}

/* Continue in the next batch; the chunk in progress moves there. */
static int switch_batch(publisher *p)
{
    versions_batch *before = p->batch;
    if (versions_publish_is_late(p)) return PROG_REFUSED;
    assert(p->chunk_at <= before->size);
    size_t kept = before->size - p->chunk_at;
    before->size = p->chunk_at;
    int status = versions_ring_submit(&p->ring);
    if (status == PROG_REFUSED) return status; /* nothing was submitted */
    p->batch = versions_ring_fill(&p->ring);
    /* The ring has eight batches, so it never reuses the previous one while this one is filled. */
    assert(p->batch != before && kept <= VERSIONS_BATCH_BYTES);
    memcpy(p->batch->bytes, before->bytes + p->chunk_at, kept);
    p->batch->size = kept;
    p->chunk_at = 0;
    return status;
}

int versions_publish_need(publisher *p, size_t text)
{
    const versions_batch *b = p->batch;
    if (b->event_count < VERSIONS_BATCH_EVENTS && b->chunk_count < VERSIONS_BATCH_CHUNKS &&
        VERSIONS_BATCH_TEXT - b->text_size >= text)
        return PROG_OK;
    return switch_batch(p);
}

versions_event *versions_publish_event(publisher *p, int kind, int type, const char *name,
                                       const void *data, size_t size, const versions_found *f)
{
    versions_batch *b = p->batch;
    assert(b->event_count < VERSIONS_BATCH_EVENTS);
    assert(strlen(name) + size <= VERSIONS_BATCH_TEXT - b->text_size);
    versions_event *e = &b->events[b->event_count++];
    memset(e, 0, sizeof *e);
    e->kind = (uint8_t)kind;
    e->type = (uint8_t)type;
    e->text = (uint32_t)b->text_size;
    e->name_size = (uint16_t)strlen(name);
    memcpy(b->text + b->text_size, name, e->name_size);
    b->text_size += e->name_size;
    if (size) memcpy(b->text + b->text_size, data, size);
    b->text_size += size;
    if (!f) return e;
    e->mode = f->mode & 07777;
    e->size = f->file.size;
    e->device = f->file.device;
    e->inode = f->file.inode;
    e->mtime_ns = f->file.mtime_ns;
    e->ctime_ns = f->file.ctime_ns;
    e->plain = p->extras.plain;
    e->link = p->link;
    p->link_sent = true;
    e->extra = (uint32_t)b->text_size;
    e->extra_size = (uint16_t)p->extras.size;
    assert(p->extras.size <= VERSIONS_BATCH_TEXT - b->text_size);
    memcpy(b->text + b->text_size, p->extras.bytes, p->extras.size);
    b->text_size += p->extras.size;
    return e;
}

int versions_publish_entry(publisher *p, int type, const versions_found *f, const void *data,
                           size_t size, int64_t now_ns)
{
    int status = versions_publish_need(p, DX_TREE_NAME_MAX + size + p->extras.size);
    if (status) return status;
    versions_event *e = versions_publish_event(p, AN_ENTRY, type, f->name, data, size, f);
    e->level = DX_TREE_INLINE;
    e->size = size;
    e->now_ns = now_ns;
    return PROG_OK;
}

static int send_chunk(publisher *p, size_t size)
{
    int status = versions_publish_need(p, 0);
    if (status || !size) return status;
    versions_batch *b = p->batch;
    assert(b->chunk_count < VERSIONS_BATCH_CHUNKS);
    assert(size <= VERSIONS_CHUNK_MAX && p->chunk_at + size <= b->size);
    versions_chunk *c = &b->chunks[b->chunk_count];
    memset(c, 0, sizeof *c);
    c->at = (uint32_t)p->chunk_at;
    c->size = (uint32_t)size;
    c->follows = p->follows;
    versions_publish_event(p, A_CHUNK, 0, "", NULL, 0, NULL)->chunk = (uint32_t)b->chunk_count++;
    p->chunk_at += size;
    return PROG_OK;
}

/* >>files -------------------------------------------------------------- */
/* Cut the new bytes, from scan on; the rest is the chunk in progress. */
static int cut(publisher *p, size_t scan)
{
    int status = PROG_OK;
    while (!status && scan < p->batch->size) {
        bool end = false;
        size_t n = dx_cas_chunker_next(&p->chunker, p->batch->bytes + scan,
                                       p->batch->size - scan, &end);
        scan += n;
        if (!end) continue;
        size_t behind = p->batch->size - scan;
        status = send_chunk(p, scan - p->chunk_at);
        scan = p->batch->size - behind; /* the batch may have changed */
    }
    return status;
}

/* Store the chunk that the chunker cuts from zeros, whatever follows them. */
static int make_zeros(publisher *p)
{
    bool end = false;
    if (p->zeros_size) return PROG_OK;
    uint8_t *zeros = prog_alloc(VERSIONS_CHUNK_MAX);
    memset(zeros, 0, VERSIONS_CHUNK_MAX);
    dx_cas_chunker_reset(&p->chunker);
    p->zeros_size = (uint32_t)dx_cas_chunker_next(&p->chunker, zeros, VERSIONS_CHUNK_MAX, &end);
    assert(end && p->zeros_size > 0);
    int status = versions_object_put(p->store, zeros, p->zeros_size, p->zeros_id);
    free(zeros);
    return status;
}

static int send_zeros(publisher *p, uint64_t count)
{
    int status = versions_publish_need(p, 0);
    if (status) return status;
    versions_event *e = versions_publish_event(p, ZEROS, 0, "", NULL, 0, NULL);
    e->size = count;
    e->chunk = p->zeros_size;
    memcpy(e->id, p->zeros_id, sizeof e->id);
    return PROG_OK;
}

/* Append bytes of a hole of which `left` bytes remain, without reading them: whole chunks at a
   chunk boundary, otherwise zeros for the chunk in progress. *n: how many. */
static int send_hole(publisher *p, uint64_t left, size_t room, bool small, uint64_t *n)
{
    versions_batch *b = p->batch;
    int status = small ? PROG_OK : make_zeros(p);
    if (status) return status;
    if (!small && p->chunk_at == b->size && left >= p->zeros_size) {
        uint64_t count = left / p->zeros_size;
        *n = count * p->zeros_size;
        return send_zeros(p, count);
    }
    size_t at = b->size;
    *n = left < room ? left : room;
    memset(b->bytes + at, 0, (size_t)*n);
    b->size += (size_t)*n;
    return small ? PROG_OK : cut(p, at);
}

/* The chunk of the last version that starts here, if it did not end with the file: at the end of a
   file a chunk ends without a cut. *limit: where the old chunk in progress ends. */
typedef struct old_chunks {
    versions_parts parts;
    bool           known; /* the last version has the file, with its chunks in a list */
    uint64_t       limit;
    const uint8_t *id;    /* of the chunk that starts at the current offset, or NULL */
    uint64_t       size;
    versions_print print;
} old_chunks;

static void old_open(publisher *p, old_chunks *old)
{
    old->known = p->follows && p->live->prints && p->old.level && !p->extras.map_size;
    if (old->known) versions_parts_open(&old->parts, p->store, &p->old);
}

static void old_close(old_chunks *old)
{
    if (old->known) versions_parts_close(&old->parts);
    old->known = false;
}

/* An old version that cannot be read is no failure: the file is then read as a new one. */
static void old_find(publisher *p, old_chunks *old, uint64_t at, uint64_t size)
{
    const uint8_t *id;
    uint64_t start, length;
    old->id = NULL;
    old->limit = UINT64_MAX;
    if (!old->known || at >= p->old.size) return;
    if (versions_parts_find(&old->parts, at, &id, &start, &length)) {
        old_close(old);
        return;
    }
    old->limit = start + length;
    if (start != at || old->limit >= p->old.size || old->limit > size || length > VERSIONS_CHUNK_MAX)
        return;
    old->size = length;
    if (p->chunk_at == p->batch->size && versions_prints_has(p->live->prints, id, &old->print))
        old->id = id;
}

/* Read the bytes of the old chunk at this offset. If they are the same, its id stands for them, and
   they are forgotten: the chunker would cut the same chunk. */
static int read_old(publisher *p, int fd, const old_chunks *old, uint64_t at, uint64_t *total)
{
    const size_t to = p->batch->size;
    versions_print print;
    if (versions_publish_is_late(p)) return PROG_REFUSED;
    assert(VERSIONS_BATCH_BYTES - to >= old->size);
    const int64_t got = os_read_at(fd, at, p->batch->bytes + to, (size_t)old->size);
    if (got < 0) return versions_publish_cannot_read(p);
    *total += (uint64_t)got;
    p->out->taken_bytes += (uint64_t)got;
    if ((uint64_t)got == old->size) {
        versions_print_make(p->live->prints, p->batch->bytes + to, (size_t)old->size, &print);
        if (print.low == old->print.low && print.high == old->print.high) {
            versions_event *e = versions_publish_event(p, A_SAME, 0, "", NULL, 0, NULL);
            e->size = old->size;
            memcpy(e->id, old->id, sizeof e->id);
            return PROG_OK;
        }
    }
    p->batch->size += (size_t)got;
    return cut(p, to);
}

int versions_publish_chunks(publisher *p, int fd, uint64_t size, bool exact, uint64_t *total)
{
    dx_tree_holes holes;
    old_chunks old;
    uint64_t hole = UINT64_MAX, hole_size = 0; /* the next one */
    const uint64_t last = size + !exact;
    int status = PROG_OK;
    bool small = size <= VERSIONS_CHUNK_MIN; /* one chunk, whatever it contains */
    *total = 0;
    dx_tree_holes_begin(&holes, p->extras.map, p->extras.map_size, size);
    if (p->extras.map_size && !small) status = make_zeros(p);
    if (p->extras.map_size) dx_tree_holes_next(&holes, &hole, &hole_size);
    if (!small) dx_cas_chunker_reset(&p->chunker);
    old_open(p, &old);
    while (!status && *total < last) {
        const uint64_t before = *total;
        uint64_t n = 0;
        if (old.known) status = versions_publish_need(p, 0);
        if (status) break;
        size_t room = VERSIONS_BATCH_BYTES - p->batch->size;
        old_find(p, &old, *total, size);
        if (room < (old.id ? old.size : VERSIONS_CHUNK_MIN + 1)) {
            status = switch_batch(p);
            continue;
        }
        if (old.id) {
            status = read_old(p, fd, &old, before, total);
            if (*total - before < old.size) break;
            continue;
        }
        if (*total >= hole && *total - hole < hole_size) {
            status = send_hole(p, hole + hole_size - *total, room, small, &n);
            *total += n;
            if (*total == hole + hole_size &&
                dx_tree_holes_next(&holes, &hole, &hole_size) != 1) hole = UINT64_MAX;
            continue;
        }
        uint64_t end = hole == UINT64_MAX ? last : hole;
        if (end > old.limit) end = old.limit;
        size_t want = end - *total < room ? (size_t)(end - *total) : room, at = p->batch->size;
        int64_t got = os_read_at(fd, *total, p->batch->bytes + at, want);
        if (got < 0) status = versions_publish_cannot_read(p);
        if (status) break;
        *total += (uint64_t)got;
        p->out->taken_bytes += (uint64_t)got;
        p->batch->size += (size_t)got;
        if (!small) status = cut(p, at);
        if (!got || ((size_t)got < want && *total == size)) break;
    }
    old_close(&old);
    if (!status && *total == size) status = send_chunk(p, p->batch->size - p->chunk_at);
    return status;
}

static int read_inline(publisher *p, int fd, const versions_found *f, bool exact, uint64_t *total,
                       int64_t now_ns)
{
    uint8_t bytes[DX_TREE_INLINE_MAX + 1];
    const size_t last = exact ? (size_t)f->file.size : sizeof bytes;
    size_t have = 0;
    int64_t n = 0;
    while (have < last && (n = os_read(fd, bytes + have, last - have)) > 0)
        have += (size_t)n;
    if (n < 0) return versions_publish_cannot_read(p);
    *total = have;
    p->out->taken_bytes += have;
    if (have != f->file.size) return PROG_OK;
    int status = versions_publish_entry(p, DX_TREE_FILE, f, bytes, have, now_ns);
    if (!status) p->batch->events[p->batch->event_count - 1].fresh = true;
    return status;
}

/* Discard the begun file, which changed meanwhile. */
static int drop(publisher *p)
{
    assert(p->chunk_at <= p->batch->size);
    p->batch->size = p->chunk_at;
    int status = versions_publish_need(p, 0);
    if (!status) versions_publish_event(p, A_DROP, 0, "", NULL, 0, NULL);
    return status;
}

/* >>live: the published directory changes meanwhile ------------------------- */
bool versions_publish_leaves_out(publisher *p, int error)
{
    versions_losses *lost = &p->out->lost;
    if (!p->live) return false;
    if (error == ENOENT) return true; /* it was removed */
    if (error == EACCES || error == EPERM) {
        if (!lost->closed++) snprintf(lost->shut, sizeof lost->shut, "%s", p->path);
        return true;
    }
    /* it was replaced after its directory was listed */
    const bool other = error == ELOOP || error == ENOTDIR || error == EINVAL || error == ESTALE;
    p->out->missed += other;
    return other;
}

/* A store to a mapped file updates the file's time only when it dirties a clean page. So pages are
   cleaned before they are read, and no later store is missed. If the system lacks this call, or the
   file system ignores it, such stores are found after write-back. */
static void clean_pages(const publisher *p, int fd)
{
#if defined(SYNC_FILE_RANGE_WRITE)
    const unsigned how = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE;
    if (p->live && !p->live->read) sync_file_range(fd, 0, 0, how);
#else
    (void)p;
    (void)fd;
#endif
}

/* A file that changed during every read is published as the last read found it, if it is still the
   same file, and not shorter. *f: its current state. */
static bool is_torn(publisher *p, const versions_found *before, versions_found *f, uint64_t total)
{
    if (total != before->file.size || f->file.device != before->file.device ||
        f->file.inode != before->file.inode)
        return false;
    *f = *before;
    if (p->prefix) return true;
    p->out->torn++;
    p->live->torn(p->live->torn_user, p->path);
    return true;
}

/* Clone it, or read it. */
static int read_content(publisher *p, int fd, uint64_t size, bool exact, uint64_t *total)
{
    const int64_t clone = versions_publish_clone(p, fd, size);
    if (clone >= 0) {
        int status = versions_publish_need(p, 0);
        if (status) return status;
        versions_publish_event(p, A_LATER, 0, "", NULL, 0, NULL)->chunk = (uint32_t)clone;
        *total = size; /* whether it has another size is found out next */
        return PROG_OK;
    }
    return versions_publish_chunks(p, fd, size, exact, total);
}

/* Read a file once. *changed: it was replaced before, or changed while it was read. last: publish
   it anyway, if possible. */
static int read_file(publisher *p, int dir, versions_found *f, bool last, bool *changed)
{
    struct stat st;
    versions_found before = *f;
    uint64_t total = 0;
    int64_t now_ns = prog_time_ns();
    *changed = false;
    int fd = openat(dir, f->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && versions_publish_leaves_out(p, errno)) return PROG_OK;
    if (fd < 0) return versions_publish_cannot_read(p);
    clean_pages(p, fd);
    bool in_line = f->file.size <= DX_TREE_INLINE_MAX;
    int status = versions_publish_need(p, DX_TREE_NAME_MAX + DX_TREE_INLINE_MAX + p->extras.size);
    if (!status && !in_line && p->sends_open)
        versions_publish_event(p, AN_OPEN, DX_TREE_FILE, f->name, NULL, 0, NULL);
    size_t events = p->batch->event_count;
    if (!status && in_line) status = read_inline(p, fd, f, last, &total, now_ns);
    else if (!status) status = read_content(p, fd, f->file.size, last, &total);
    if (!status && fstat(fd, &st) < 0) status = prog_fail_errno("%s", p->path);
    close(fd);
    if (status) return status;
    versions_found_move(f, &st);
    *changed = total != before.file.size || !versions_found_same(&before, f);
    if (last && *changed && is_torn(p, &before, f, total)) {
        *changed = false;
        now_ns = INT64_MIN / 2; /* no cache may consider it unchanged */
        if (in_line) p->batch->events[p->batch->event_count - 1].now_ns = now_ns;
    }
    if (*changed && !in_line) return drop(p);
    if (*changed) {
        p->batch->event_count = events;
        p->link_sent = false;
    }
    if (in_line) return PROG_OK;
    status = versions_publish_need(p, DX_TREE_NAME_MAX + p->extras.size);
    if (status) return status;
    versions_event *e = versions_publish_event(p, A_FILE, DX_TREE_FILE, f->name, NULL, 0, f);
    e->now_ns = now_ns;
    e->fresh = true;
    return PROG_OK;
}

/* Store a list of the cache after the lists below it, so that it is complete. A list that does not
   match its id is ignored. Recursion is limited by the number of levels. */
static bool claim_list(publisher *p, const uint8_t id[32], uint32_t level, uint64_t size)
{
    dx_tree_list_view v;
    uint8_t made[32];
    size_t bytes = 0;
    assert(level && level <= DX_TREE_LEVELS_MAX);
    const void *list = versions_stat_cache_list(p->seen, id, &bytes);
    if (!list || dx_tree_list_open(&v, list, bytes, level, size)) return false;
    for (uint32_t i = 0; level > 1 && i < v.count; i++) {
        uint64_t under;
        const uint8_t *child = dx_tree_list_child(&v, i, &under);
        if (!claim_list(p, child, level - 1, under)) return false;
    }
    return !versions_object_put(p->store, list, bytes, made) && !memcmp(made, id, sizeof made);
}

/* If chunks are only located, the lists that lead to them suffice. */
static bool has_lists(publisher *p, const versions_stat_file *f)
{
    return versions_object_has(p->store, f->id, 0) || claim_list(p, f->id, f->level, f->size);
}

/* Does the store have the object with all its parts, and of the file's size? */
static bool is_stored(publisher *p, const versions_stat_file *f)
{
    dx_tree_entry e = {0};
    versions_parts parts;
    const uint8_t *id;
    uint64_t start, size;
    bool good;
    if (p->all_stored) return true;
    if (f->level == DX_TREE_INLINE) return f->size <= DX_TREE_INLINE_MAX;
    if (!f->level) return p->locates || versions_object_has(p->store, f->id, f->size);
    if (p->locates && !has_lists(p, f)) return false;
    e.type = DX_TREE_FILE;
    e.level = f->level;
    e.size = f->size;
    memcpy(e.id, f->id, 32);
    versions_parts_open(&parts, p->store, &e);
    good = versions_object_has(p->store, parts.id, 0);
    for (uint64_t at = 0; good && at < f->size; at = start + size)
        good = !versions_parts_find(&parts, at, &id, &start, &size) &&
               (p->locates || versions_object_has(p->store, id, size));
    versions_parts_close(&parts);
    return good;
}

/* Send the file from the stat cache. */
static int send_seen(publisher *p, const versions_found *f)
{
    if (f->file.level == DX_TREE_INLINE)
        return versions_publish_entry(p, DX_TREE_FILE, f, f->file.id, (size_t)f->file.size,
                                      f->now_ns);
    int status = versions_publish_need(p, DX_TREE_NAME_MAX + p->extras.size);
    if (status) return status;
    versions_event *e = versions_publish_event(p, AN_ENTRY, DX_TREE_FILE, f->name, NULL, 0, f);
    memcpy(e->id, f->file.id, 32);
    e->level = f->file.level;
    e->now_ns = f->now_ns;
    return PROG_OK;
}

static const versions_prefix *find_prefix(const publisher *p, const versions_stat_file *f)
{
    for (size_t i = 0; p->live && i < p->live->prefix_count; i++) {
        const versions_prefix *x = &p->live->prefixes[i];
        if (x->device == f->device && x->inode == f->inode && x->size <= f->size &&
            !strcmp(x->path, p->path)) return x;
    }
    return NULL;
}

/* One read is enough. If bytes follow the prefix, the file does not enter the cache. */
static int publish_prefix(publisher *p, int dir, versions_found *f, const versions_found *folder,
                          uint64_t size)
{
    bool changed;
    assert(size <= f->file.size);
    f->thin = false; /* what follows the prefix may be one */
    f->file.size = size;
    p->prefix = true;
    int status = versions_metadata_read(&p->extras, dir, f, folder);
    if (!status) status = read_file(p, dir, f, true, &changed);
    p->prefix = false;
    if (!status) p->out->missed += changed;
    return status;
}

int versions_publish_file(publisher *p, int dir, versions_found *f, const versions_found *folder)
{
    const versions_prefix *prefix = find_prefix(p, &f->file);
    if (prefix && !(f->seen && prefix->size == f->file.size))
        return publish_prefix(p, dir, f, folder, prefix->size);
    const int tries_max = p->live ? LIVE_TRIES : TRIES;
    bool changed = false;
    int status = versions_metadata_read(&p->extras, dir, f, folder);
    if (status) return status;
    if (f->seen && is_stored(p, &f->file)) return send_seen(p, f);
    for (int tries = 0; tries < tries_max; tries++) {
        if (tries)
            status = versions_metadata_read(&p->extras, dir, f, folder); /* they may have changed, too */
        if (!status) status = read_file(p, dir, f, tries >= TRIES, &changed);
        if (status || !changed) return status;
        if (!S_ISREG(f->mode)) break;
    }
    p->out->missed++;
    if (p->live) return PROG_OK;
    return prog_fail(PROG_REFUSED, "%s changed while it was read; try again", p->path);
}
#endif
