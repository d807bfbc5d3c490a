/* The rows of the dashboard as a live feed: changes travel as HTIP in HBTP frames (docs/formats/htip.md), which a browser receives over
   WebSocket (live.js; ws_bridge.mjs between both). Who was cut off resumes at the version that it has (layers/dx_states.h), also after
   this program was killed and started again: every version is in a journal before it is sent.

   usage: live JOURNAL      Prints the ports of subscribers and of the publisher, both of 127.0.0.1. The publisher calls method 1 with all
   quotes, as feed.c reads them; the answer is the epoch and the version.

   Journal, little-endian: magic 8 bytes, epoch u64, CRC-32C of both u32, then records: size of the rows u32, CRC-32C of the rows u32,
   version u64, CRC-32C of these 16 bytes u32, rows: 16 bytes of a quote, place u32 each. A last record that the file ends in was never
   sent, and is cut off. Anything else that is wrong means that versions which subscribers have are lost: then another epoch begins,
   with the rows of the last good version, subscribers get all of it, and the old file is kept as JOURNAL.damaged.

   At most 64 subscribers. A connection that has not subscribed after 3 s is closed, and the oldest such one earlier if there is no room
   for the next. */
#define FEED_NO_MAIN
#include "feed.c"
#include "../../layers/dx_link.h"
#include "../../layers/dx_states.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    SUBSCRIBERS_MAX = 64,
    PUBLISHERS_MAX = 4,
    SPARE         = 8,       /* connections above these, while one of them closes for the next */
    SILENT_S      = 3,       /* for a connection to say what it wants */
    LIVE_ROWS_MAX = 1600,    /* as many as the page's core (core.c) has nodes for */
    LIVE_STATE    = 1,
    LIVE_PUBLISH  = 1,       /* a method */
    NODES_A_ROW   = 5,       /* a row and its slots: name, price, change, hits */
    ROW_SIZE      = QUOTE_SIZE + 4,
    RECORD_HEAD   = 20,
    JOURNAL_HEAD  = 20,
    JOURNAL_MAX   = 4 << 20, /* bytes; then a new one begins with the last version */
    FRAME_MAX     = 384 << 10,
    HISTORY_MAX   = 1024,    /* versions, */
    HISTORY_SIZE  = 1 << 20  /* and the bytes of their frames */
};

typedef struct live_row {
    uint32_t place; /* its node is 1 + NODES_A_ROW * place */
    quote    q;
} live_row;

/* Connections that have not said what they want, the oldest first. */
typedef struct gate {
    uint32_t   links_max, count;
    dx_link_id ids[SUBSCRIBERS_MAX + SPARE];
    uint64_t   until_ns[SUBSCRIBERS_MAX + SPARE];
    dx_op      timer; /* for the first one */
} gate;

typedef struct live {
    dx_states       states;
    dx_states_state state;
    dx_reactor      reactor;
    dx_link         subscribers, publishers;
    gate            subscribers_gate, publishers_gate;
    dx_op           send_op;
    const char     *journal_name;
    int             journal; /* descriptor */
    off_t           journal_size;
    live_row        rows[LIVE_ROWS_MAX], next[LIVE_ROWS_MAX]; /* in the order of their numbers */
    uint32_t        count, next_count;
    dx_htip_writer  writer;
    uint32_t        operations, last_op;
    uint64_t        writer_memory[(2 << 20) / 8];
    uint8_t         frame[FRAME_MAX];
    size_t          frame_size;
    uint8_t         record[RECORD_HEAD + LIVE_ROWS_MAX * ROW_SIZE];
    /* Frames of the versions (oldest, state.version], one after the other from history[0] on. */
    uint64_t        oldest;
    uint32_t        ends[HISTORY_MAX];
    uint8_t         history[HISTORY_SIZE];
    size_t          history_size;
} live;

static live server;

static uint64_t load64(const uint8_t *p) { return load32(p) | (uint64_t)load32(p + 4) << 32; }

static void store(uint8_t *p, uint64_t value, int size)
{
    for (int i = 0; i < size; i++) p[i] = (uint8_t)(value >> 8 * i);
}

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "live: %s: %s\n", what, why);
    exit(1);
}

/* >>stream ----------------------------------------------------------------- */
/* Begin a stream in l->writer. */
static void begin_stream(live *l, bool has_template)
{
    dx_htip_writer_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.memory = l->writer_memory;
    desc.memory_size = sizeof l->writer_memory;
    desc.strings_max = 4 * LIVE_ROWS_MAX + 16;
    desc.ops_size_max = 256 << 10;
    if (dx_htip_writer_init(&l->writer, &desc)) fail("HTIP", "too little memory");
    if (has_template) (void)dx_htip_add_template(&l->writer, QUOTE_ID, quote_markup, sizeof quote_markup - 1);
    l->operations = 0;
}

static void count_op(live *l, uint32_t op)
{
    l->operations++;
    l->last_op = op;
}

static uint16_t node_of(const live_row *row, uint32_t slot) { return (uint16_t)(1 + NODES_A_ROW * row->place + slot); }

static void put_text(live *l, const live_row *row, uint32_t slot, uint32_t (*format)(const quote *, uint8_t *, uint32_t))
{
    uint8_t      text[32];
    dx_htip_text t = {text, 0};
    t.size = format(&row->q, text, sizeof text);
    (void)dx_htip_set_text(&l->writer, node_of(row, slot), t);
    count_op(l, DX_HTIP_TEXT);
}

static uint32_t quote_hits(const quote *q, uint8_t *out, uint32_t capacity)
{
    return put_number(out, 0, capacity, (uint32_t)q->hits, 1);
}

static void put_class(live *l, const live_row *row, const char *name, bool on)
{
    (void)dx_htip_set_class(&l->writer, node_of(row, 3), dx_htip_text_of(name), on);
    count_op(l, DX_HTIP_CLASS);
}

/* Operations for the fields that `was` has otherwise; NULL: for all of a new row. */
static void put_row(live *l, const live_row *row, const quote *was)
{
    const quote *q = &row->q;
    if (!was) put_text(l, row, 1, quote_name);
    if (!was || q->price != was->price) put_text(l, row, 2, quote_price);
    if (!was || q->change != was->change) put_text(l, row, 3, quote_change);
    if (!was || q->hits != was->hits) put_text(l, row, 4, quote_hits);
    if (quote_rises(q) != (was && quote_rises(was))) put_class(l, row, "up", quote_rises(q));
    if (quote_falls(q) != (was && quote_falls(was))) put_class(l, row, "down", quote_falls(q));
}

static void put_clone(live *l, const live_row *row, const live_row *before)
{
    (void)dx_htip_clone(&l->writer, node_of(row, 0), QUOTE_ID, 0);
    count_op(l, DX_HTIP_CLONE);
    if (before) {
        (void)dx_htip_move(&l->writer, node_of(row, 0), node_of(before, 0));
        count_op(l, DX_HTIP_MOVE);
    }
    put_row(l, row, NULL);
}

/* End the stream, as a frame that is named after its only operation, or HtipBatch. The sequence is the version's low half. */
static int end_stream(live *l, uint64_t version, uint8_t *to, size_t capacity, size_t *size)
{
    uint8_t op = DX_HBTP_OP_HTIP_BATCH;
    int     error;
    if (capacity < DX_HBTP_HEADER_SIZE) return DX_STATES_ENOSPACE;
    if (l->operations == 1 && l->last_op == DX_HTIP_TEXT) op = DX_HBTP_OP_HTIP_PATCH_TEXT;
    if (l->operations == 1 && l->last_op == DX_HTIP_REMOVE) op = DX_HBTP_OP_HTIP_REMOVE;
    error = dx_htip_finish(&l->writer, to + DX_HBTP_HEADER_SIZE, capacity - DX_HBTP_HEADER_SIZE, size);
    if (error) return DX_STATES_ENOSPACE;
    store(to, op, 2); /* opcode, no flags */
    store(to + 2, version & 0xffff, 2);
    store(to + 4, *size, 4);
    *size += DX_HBTP_HEADER_SIZE;
    return 0;
}

/* From l->rows to l->next, into l->frame. */
static int write_change(live *l, uint64_t version)
{
    uint32_t i = 0, k;
    bool     is_new = false;
    for (k = 0; k < l->next_count; k++) {
        while (i < l->count && l->rows[i].q.number < l->next[k].q.number) i++;
        if (i == l->count || l->rows[i].q.number != l->next[k].q.number) is_new = true;
    }
    begin_stream(l, is_new);
    for (i = 0, k = 0; i < l->count; i++) {
        while (k < l->next_count && l->next[k].q.number < l->rows[i].q.number) k++;
        if (k < l->next_count && l->next[k].q.number == l->rows[i].q.number) continue;
        (void)dx_htip_remove(&l->writer, node_of(&l->rows[i], 0));
        count_op(l, DX_HTIP_REMOVE);
    }
    for (i = l->count, k = l->next_count; k; k--) { /* the last first: what a new row precedes is there */
        const live_row *row = &l->next[k - 1];
        while (i && l->rows[i - 1].q.number > row->q.number) i--;
        if (i && l->rows[i - 1].q.number == row->q.number) put_row(l, row, &l->rows[i - 1].q);
        else put_clone(l, row, k < l->next_count ? row + 1 : NULL);
    }
    return end_stream(l, version, l->frame, sizeof l->frame, &l->frame_size);
}

/* >>history ---------------------------------------------------------------- */
static void forget_history(live *l, uint64_t version)
{
    l->oldest = version;
    l->history_size = 0;
}

/* Append l->frame; the oldest frames make room for it. */
static void remember(live *l, uint64_t version)
{
    uint32_t count = (uint32_t)(version - 1 - l->oldest), gone = 0;
    if (l->frame_size > HISTORY_SIZE / 4) {
        forget_history(l, version);
        return;
    }
    if (count == HISTORY_MAX || l->history_size + l->frame_size > HISTORY_SIZE) {
        while (gone < count && (count - gone > HISTORY_MAX / 2 || l->history_size - l->ends[gone] > HISTORY_SIZE / 2)) gone++;
        const uint32_t cut = gone ? l->ends[gone - 1] : 0;
        memmove(l->history, l->history + cut, l->history_size - cut);
        for (uint32_t i = gone; i < count; i++) l->ends[i - gone] = l->ends[i] - cut;
        l->history_size -= cut;
        l->oldest += gone;
        count -= gone;
    }
    memcpy(l->history + l->history_size, l->frame, l->frame_size);
    l->history_size += l->frame_size;
    l->ends[count] = (uint32_t)l->history_size;
}

/* >>journal ---------------------------------------------------------------- */
static bool write_all(int fd, const uint8_t *bytes, size_t size, off_t at)
{
    while (size) {
        const ssize_t n = pwrite(fd, bytes, size, at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        bytes += n;
        size -= (size_t)n;
        at += n;
    }
    return true;
}

/* l->next as a record in l->record; returns its size. */
static size_t make_record(live *l, uint64_t version)
{
    uint8_t *p = l->record + RECORD_HEAD;
    for (uint32_t i = 0; i < l->next_count; i++, p += ROW_SIZE) {
        store(p, l->next[i].q.number, 4);
        store(p + 4, (uint32_t)l->next[i].q.price, 4);
        store(p + 8, (uint32_t)l->next[i].q.change, 4);
        store(p + 12, (uint32_t)l->next[i].q.hits, 4);
        store(p + 16, l->next[i].place, 4);
    }
    const size_t size = (size_t)(p - l->record);
    store(l->record, size - RECORD_HEAD, 4);
    store(l->record + 4, DX_HBTP_CRC32C(0, l->record + RECORD_HEAD, size - RECORD_HEAD), 4);
    store(l->record + 8, version, 8);
    store(l->record + 16, DX_HBTP_CRC32C(0, l->record, 16), 4);
    return size;
}

/* A journal with only the record in l->record replaces the one that there is, or both stay as they are. */
static bool begin_journal(live *l, size_t record_size)
{
    char    name[4096];
    uint8_t head[JOURNAL_HEAD] = "DXLIVE2\n";
    if (snprintf(name, sizeof name, "%s.new", l->journal_name) >= (int)sizeof name) return false;
    const int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return false;
    store(head + 8, l->state.epoch, 8);
    store(head + 16, DX_HBTP_CRC32C(0, head, 16), 4);
    if (!write_all(fd, head, sizeof head, 0) || !write_all(fd, l->record, record_size, sizeof head) || fsync(fd) ||
        rename(name, l->journal_name)) {
        close(fd);
        (void)unlink(name);
        return false;
    }
    if (l->journal >= 0) close(l->journal);
    l->journal = fd;
    l->journal_size = (off_t)(sizeof head + record_size);
    return true;
}

static bool append_journal(live *l, size_t record_size)
{
    if (l->journal < 0 || l->journal_size > JOURNAL_MAX) return begin_journal(l, record_size);
    if (write_all(l->journal, l->record, record_size, l->journal_size) && !fdatasync(l->journal)) {
        l->journal_size += (off_t)record_size;
        return true;
    }
    (void)!ftruncate(l->journal, l->journal_size); /* if this fails, too, the next record overwrites it */
    return false;
}

/* Read a record's rows into l->next. False: not a record. */
static bool read_rows(live *l, const uint8_t *p, uint32_t size)
{
    uint32_t last = 0;
    if (size % ROW_SIZE || size > LIVE_ROWS_MAX * ROW_SIZE) return false;
    for (l->next_count = 0; size; size -= ROW_SIZE, p += ROW_SIZE) {
        live_row *row = &l->next[l->next_count++];
        memset(row, 0, sizeof *row);
        row->q.number = load32(p);
        take(&row->q, p);
        row->place = load32(p + 16);
        if (row->q.number <= last || row->place >= LIVE_ROWS_MAX) return false;
        last = row->q.number;
    }
    return true;
}

static void adopt_next(live *l)
{
    memcpy(l->rows, l->next, l->next_count * sizeof *l->next);
    l->count = l->next_count;
}

/* Read bytes that the file has. */
static void read_journal(const live *l, uint8_t *out, size_t size, off_t at)
{
    const ssize_t n = pread(l->journal, out, size, at);
    if (n != (ssize_t)size) fail(l->journal_name, n < 0 ? strerror(errno) : "it became shorter");
}

typedef enum record_is { RECORD_GOOD, RECORD_TORN, RECORD_DAMAGED } record_is;

/* Read the record after l->journal_size into l->record and l->next. TORN: the file ends in it, and its head, as far as it is there, is as
   it was written: a damaged size cannot make it look like that. */
static record_is read_record(live *l, off_t end, uint64_t before, size_t *record_size)
{
    const off_t left = end - l->journal_size;
    if (left < RECORD_HEAD) return RECORD_TORN;
    read_journal(l, l->record, RECORD_HEAD, l->journal_size);
    const uint32_t size = load32(l->record);
    const uint64_t version = load64(l->record + 8);
    if (DX_HBTP_CRC32C(0, l->record, 16) != load32(l->record + 16)) return RECORD_DAMAGED;
    if (size > sizeof l->record - RECORD_HEAD || !version || (before && version != before + 1)) return RECORD_DAMAGED;
    if (size > left - RECORD_HEAD) return RECORD_TORN;
    read_journal(l, l->record + RECORD_HEAD, size, l->journal_size + RECORD_HEAD);
    if (DX_HBTP_CRC32C(0, l->record + RECORD_HEAD, size) != load32(l->record + 4)) return RECORD_DAMAGED;
    *record_size = RECORD_HEAD + size;
    return read_rows(l, l->record + RECORD_HEAD, size) ? RECORD_GOOD : RECORD_DAMAGED;
}

/* Another history begins, with the rows that there are: its epoch is one that no subscriber has. */
static void begin_epoch(live *l, uint64_t before)
{
    struct timespec now;
    uint64_t        epoch;
    clock_gettime(CLOCK_REALTIME, &now);
    epoch = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    if (epoch == before) epoch++;
    dx_states_begin(&l->state, LIVE_STATE, epoch, 1);
    forget_history(l, 1);
    memcpy(l->next, l->rows, l->count * sizeof *l->rows);
    l->next_count = l->count;
    if (!begin_journal(l, make_record(l, 1))) fail(l->journal_name, strerror(errno));
}

/* Versions that subscribers have cannot be read: keep the file for whoever looks into it, and say so. */
static void replace_journal(live *l, uint64_t epoch, uint64_t version)
{
    char name[4096];
    if (snprintf(name, sizeof name, "%s.damaged", l->journal_name) >= (int)sizeof name) fail(l->journal_name, "its name is too long");
    if (rename(l->journal_name, name)) fail(l->journal_name, strerror(errno));
    fprintf(stderr, "live: %s is damaged at byte %lld, after version %llu: a new history begins, and subscribers get everything once; the "
                    "old file is %s\n", l->journal_name, (long long)l->journal_size, (unsigned long long)version, name);
    begin_epoch(l, epoch);
}

/* Bring back rows, version and history from the journal. */
static void open_journal(live *l)
{
    uint8_t     head[JOURNAL_HEAD];
    struct stat st;
    uint64_t    epoch, version = 0;
    size_t      size;
    record_is   found = RECORD_GOOD;
    l->journal = open(l->journal_name, O_RDWR | O_CLOEXEC);
    if (l->journal < 0 && errno != ENOENT) fail(l->journal_name, strerror(errno));
    if (l->journal < 0) {
        begin_epoch(l, 0);
        return;
    }
    if (fstat(l->journal, &st)) fail(l->journal_name, strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_size < JOURNAL_HEAD || pread(l->journal, head, sizeof head, 0) != (ssize_t)sizeof head ||
        memcmp(head, "DXLIVE2\n", 8))
        fail(l->journal_name, "this is not a journal; remove it, and subscribers get everything once");
    epoch = load64(head + 8);
    for (l->journal_size = JOURNAL_HEAD; l->journal_size < st.st_size; l->journal_size += (off_t)size) {
        found = read_record(l, st.st_size, version, &size);
        if (found != RECORD_GOOD) break;
        if (!version) forget_history(l, load64(l->record + 8));
        else if (write_change(l, version + 1)) forget_history(l, version + 1);
        else remember(l, version + 1);
        version = load64(l->record + 8);
        adopt_next(l);
    }
    if (found == RECORD_DAMAGED || !version || DX_HBTP_CRC32C(0, head, 16) != load32(head + 16)) { /* a journal begins with a version */
        replace_journal(l, epoch, version);
        return;
    }
    dx_states_begin(&l->state, LIVE_STATE, epoch, version);
    if (ftruncate(l->journal, l->journal_size)) fail(l->journal_name, strerror(errno));
}

/* >>gates ------------------------------------------------------------------
   Who connects and says nothing does not keep others out: such a connection is closed after SILENT_S, and the oldest of them at once if
   there is no room for the next one. */
static gate *gate_of(const dx_link *links) { return links == &server.subscribers ? &server.subscribers_gate : &server.publishers_gate; }

/* This connection has said what it wants, or has ended. */
static void gate_pass(const dx_link *links, dx_link_id id)
{
    gate    *g = gate_of(links);
    uint32_t i = 0;
    while (i < g->count && g->ids[i] != id) i++;
    if (i == g->count) return;
    g->count--;
    memmove(g->ids + i, g->ids + i + 1, (g->count - i) * sizeof *g->ids);
    memmove(g->until_ns + i, g->until_ns + i + 1, (g->count - i) * sizeof *g->until_ns);
}

static void gate_close_first(dx_link *links)
{
    const dx_link_id id = gate_of(links)->ids[0];
    gate_pass(links, id);
    (void)dx_link_abort(links, id);
}

static void gate_set_timer(dx_link *links)
{
    gate *g = gate_of(links);
    if (g->count && !dx_reactor_op_pending(&g->timer)) (void)dx_reactor_timer_at(links->reactor, &g->timer, g->until_ns[0]);
}

static void on_gate_timer(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dx_link *links = (dx_link *)dx_reactor_op_user(op);
    gate    *g = gate_of(links);
    (void)flags;
    if (result < 0) return;
    while (g->count && g->until_ns[0] <= dx_reactor_now_ns(r)) gate_close_first(links);
    gate_set_timer(links);
}

static void on_opened(dx_link *links, dx_link_id id)
{
    gate *g = gate_of(links);
    g->ids[g->count] = id;
    g->until_ns[g->count++] = dx_reactor_now_ns(links->reactor) + SILENT_S * UINT64_C(1000000000);
    if (links->count > g->links_max) gate_close_first(links);
    gate_set_timer(links);
}

/* >>publisher -------------------------------------------------------------- */
/* A publisher may be silent for long after its Hello. */
static int on_admit(void *user, dx_hbtp_session *session, const dx_hbtp_offer *offer)
{
    (void)user, (void)offer;
    gate_pass(dx_link_of(session), dx_link_id_of(session));
    return 0;
}

/* Places for new rows, those of rows that went included: HTIP lets numbers be used again. */
static void give_places(live *l)
{
    static bool taken[LIVE_ROWS_MAX];
    uint32_t    i = 0, free_place = 0;
    memset(taken, 0, sizeof taken);
    for (uint32_t k = 0; k < l->next_count; k++) {
        l->next[k].place = LIVE_ROWS_MAX;
        while (i < l->count && l->rows[i].q.number < l->next[k].q.number) i++;
        if (i == l->count || l->rows[i].q.number != l->next[k].q.number) continue;
        l->next[k].place = l->rows[i].place;
        taken[l->rows[i].place] = true;
    }
    for (uint32_t k = 0; k < l->next_count; k++) {
        if (l->next[k].place != LIVE_ROWS_MAX) continue;
        while (taken[free_place]) free_place++;
        taken[free_place] = true;
        l->next[k].place = free_place;
    }
}

/* Method LIVE_PUBLISH: all quotes become the next version, or nothing changes. */
static int on_publish(const dx_hbtp_context *c)
{
    live          *l = (live *)c->user;
    const uint64_t version = l->state.version + 1;
    const uint8_t *p = c->payload;
    uint32_t       last = 0;
    uint8_t        answer[16];
    gate_pass(dx_link_of(c->session), dx_link_id_of(c->session));
    if (c->payload_size % QUOTE_SIZE || c->payload_size / QUOTE_SIZE > LIVE_ROWS_MAX) return DX_HBTP_STATUS_BAD_REQUEST;
    l->next_count = (uint32_t)c->payload_size / QUOTE_SIZE;
    for (uint32_t i = 0; i < l->next_count; i++, p += QUOTE_SIZE) {
        memset(&l->next[i], 0, sizeof l->next[i]);
        l->next[i].q.number = load32(p);
        take(&l->next[i].q, p);
        if (l->next[i].q.number <= last) return DX_HBTP_STATUS_BAD_REQUEST;
        last = l->next[i].q.number;
    }
    give_places(l);
    if (write_change(l, version)) return DX_HBTP_STATUS_TOO_BIG;
    if (l->operations && !append_journal(l, make_record(l, version))) return DX_HBTP_STATUS_INTERNAL;
    if (l->operations) {
        remember(l, version);
        adopt_next(l);
        dx_states_change(&l->states, &l->state);
        if (!dx_reactor_op_pending(&l->send_op)) (void)dx_reactor_timer(&l->reactor, &l->send_op, 0);
    }
    store(answer, l->state.epoch, 8);
    store(answer + 8, l->state.version, 8);
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, answer, sizeof answer);
}

/* >>subscribers ------------------------------------------------------------ */
static int on_find(void *user, dx_hbtp_session *session, uint32_t number, dx_states_state **state)
{
    if (number == LIVE_STATE) gate_pass(dx_link_of(session), dx_link_id_of(session));
    *state = &((live *)user)->state;
    return number == LIVE_STATE ? 0 : DX_HBTP_STATUS_NOT_FOUND;
}

static int on_write(void *user, dx_states_state *state, uint64_t from, uint8_t *out, size_t capacity, size_t *size)
{
    live *l = (live *)user;
    if (from && from >= l->oldest) { /* frames of the versions after it */
        const uint32_t begin = from > l->oldest ? l->ends[from - l->oldest - 1] : 0;
        *size = l->history_size - begin;
        if (*size > capacity) return DX_STATES_ENOSPACE;
        memcpy(out, l->history + begin, *size);
        return 0;
    }
    begin_stream(l, l->count != 0);
    for (uint32_t i = 0; i < l->count; i++) put_clone(l, &l->rows[i], NULL);
    const int error = end_stream(l, state->version, out, capacity, size);
    return error ? error : DX_STATES_WHOLE;
}

static void on_wake(void *user, dx_hbtp_session *session)
{
    (void)user;
    (void)dx_link_call_writable(dx_link_of(session), dx_link_id_of(session));
}

static void on_writable(dx_link *links, dx_link_id id)
{
    dx_hbtp_session *session = dx_link_session(links, id);
    if (session) (void)dx_states_send(&server.states, session);
}

static void on_closed(dx_link *links, dx_link_id id, int32_t reason)
{
    const dx_hbtp_session *session = dx_link_session(links, id);
    (void)reason;
    gate_pass(links, id);
    if (session) dx_states_leave(&server.states, session);
}

static void on_send(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)r, (void)op, (void)flags;
    if (result >= 0) (void)dx_states_send(&server.states, NULL);
}

/* >>main ------------------------------------------------------------------- */
static void *memory_of(size_t size)
{
    void *p = calloc(1, size + !size);
    if (!p || !size) fail("memory", "there is too little");
    return p;
}

static int listen_on(live *l, dx_link *links, dx_link_desc *desc)
{
    dx_reactor_address at;
    int                fd;
    gate_of(links)->links_max = desc->links_max;
    dx_reactor_op_init(&gate_of(links)->timer, on_gate_timer, links);
    desc->links_max += SPARE;
    desc->opened = on_opened;
    desc->closed = on_closed;
    desc->memory_size = dx_link_memory_size(desc);
    desc->memory = memory_of(desc->memory_size);
    (void)dx_reactor_address_parse(&at, "127.0.0.1:0");
    if (dx_reactor_listen(&l->reactor, &at, 0, 0, &fd, &at)) fail("127.0.0.1", "cannot listen");
    if (dx_link_open(links, &l->reactor, desc) || dx_link_listen(links, fd)) fail("HBTP", "cannot start");
    return dx_reactor_address_port(&at);
}

int main(int argc, char **argv)
{
    static dx_hbtp_hello  hello, publisher_hello;
    static dx_hbtp_router subscribers, publishers;
    live           *l = &server;
    dx_reactor_desc reactor;
    dx_states_desc  states;
    dx_link_desc    link;
    if (argc != 2) {
        fprintf(stderr, "usage: live JOURNAL\n");
        return 2;
    }
    l->journal_name = argv[1];
    open_journal(l);
    memset(&reactor, 0, sizeof reactor);
    reactor.buffer_count = 32;
    reactor.memory_size = dx_reactor_memory_size(&reactor);
    reactor.memory = memory_of(reactor.memory_size);
    if (dx_reactor_open(&l->reactor, &reactor)) fail("event loop", "cannot start");
    memset(&states, 0, sizeof states);
    states.memory_size = 56 * (SUBSCRIBERS_MAX + SPARE + 1);
    states.memory = memory_of(states.memory_size);
    states.scratch_size = FRAME_MAX > HISTORY_SIZE ? FRAME_MAX : HISTORY_SIZE;
    states.scratch = memory_of(states.scratch_size);
    states.find = on_find;
    states.write = on_write;
    states.wake = on_wake;
    states.user = l;
    if (dx_states_init(&l->states, &states)) fail("subscriptions", "cannot start");
    dx_reactor_op_init(&l->send_op, on_send, l);
    hello.features = DX_HBTP_FEATURE_RESUME;
    dx_hbtp_router_init(&subscribers);
    dx_hbtp_router_set(&subscribers, DX_HBTP_OP_HELLO, dx_hbtp_hello_handler, &hello);
    dx_hbtp_router_set(&subscribers, DX_HBTP_OP_STATE_SUBSCRIBE, dx_states_handler, &l->states);
    dx_hbtp_router_set(&subscribers, DX_HBTP_OP_STATE_UNSUBSCRIBE, dx_states_handler, &l->states);
    dx_hbtp_router_init(&publishers);
    publisher_hello = hello;
    publisher_hello.admit = on_admit;
    dx_hbtp_router_set(&publishers, DX_HBTP_OP_HELLO, dx_hbtp_hello_handler, &publisher_hello);
    dx_hbtp_router_set_method(&publishers, LIVE_PUBLISH, on_publish, l);
    memset(&link, 0, sizeof link);
    link.links_max = SUBSCRIBERS_MAX;
    link.hello = &hello;
    link.out_size = HISTORY_SIZE + 4096;
    link.session.router = &subscribers;
    link.session.payload_max = 4096;
    link.writable = on_writable;
    const int port = listen_on(l, &l->subscribers, &link);
    memset(&link, 0, sizeof link);
    link.links_max = PUBLISHERS_MAX;
    link.hello = &publisher_hello;
    link.block_size = 64 << 10;
    link.session.router = &publishers;
    link.session.payload_max = 32 << 10;
    printf("%d %d\n", port, listen_on(l, &l->publishers, &link));
    fflush(stdout);
    dx_reactor_run(&l->reactor);
    return dx_reactor_close(&l->reactor) != 0;
}
