/* dxwan mirror: keep a receiver's copy like a file that changes, in rounds.

       read a region --> same as in the shadow file?  --yes--> next
                     --> record against the shadow --> sent --> stored there: into the shadow
       all regions, all answered --> size and hash --> verified there: the round is complete
       the last round found nothing changed --> the copy gets its name

   While a process is stopped, what differs is only stored here, in the capture file: all is sent after
   it runs again, so that neither encoding nor the link makes it wait.

   The shadow file holds what the receiver is known to have. After a restart of either side that is
   not known: then a region is first compared by hash. */
#include "../wan.h"

#include "../../common/json.h"
#include "../../common/os.h"
#include "../files/coder.h"
#include "../files/copies.h"
#include "../files/hash.h"
#include "../files/source.h"
#include "../files/unnamed.h"
#include "../net/address.h"
#include "../net/figures.h"
#include "../net/join.h"
#include "../net/loop.h"
#include "../net/path.h"
#include "../net/region.h"
#include "../net/streams.h"

#include "../../../layers/dx_bulk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SLOTS          = 64,  /* regions on their way, each with its content */
    SCAN_MAX       = 64,  /* regions read in a turn */
    PRESSED_MAX    = 4,   /* turns that encoding takes, until the level is lower */
    PRESSED_SLOTS  = 8,   /* it is not the limit while more are on their way */
    LAST_ROUNDS    = 20,  /* that may find changes, once the end was asked for */
    PAUSES_MAX     = 3,   /* of a process, that were too short */
    MISMATCHES_MAX = 3,   /* rounds in a row with another hash at the receiver */
    RESTARTS_MAX   = 64,  /* of the receiver without a complete round */
    COPIED_MIN     = WAN_REGION_PAGES / 4, /* pages of a region that is new, for which copies are better than a prefix */
    BLOCK_SIZE     = WAN_REGION_SIZE + DX_HDE_HEAD_MAX + WAN_REGION_HEAD + WAN_COPIES_MAX * WAN_COPY_SIZE + 64
};
#define SECOND ((uint64_t)1000000000)
#define CONTROL_NS ((uint64_t)400000000) /* an interval of the controller: it settles within 5 s */
#define LOOK_NS ((uint64_t)100000000) /* between two questions to the kernel */
#define WORK_NS ((uint64_t)20000000) /* of encoding in a turn: connections are served between two turns */
#define SPARE_NS ((uint64_t)3000000000) /* a stream that is not wanted stays open */

/* What is known of a region at the receiver. */
enum { BLANK, /* nothing */ STALE, /* perhaps the shadow's */ KNOWN /* the shadow's */ };

typedef enum slot_state { FREE, READY, CHECKING, SENT } slot_state;

typedef struct slot {
    slot_state state;
    uint64_t   region;
    uint32_t   tag;
    uint32_t   size;
    bool       checked; /* it was compared by hash */
    bool       whole;   /* it was sent without a baseline, */
    bool       prefixed; /* and refers to earlier regions, */
    bool       alone;   /* which it may not, as the receiver has others */
    bool       like;    /* or to the second image, */
    uint32_t   uses[WAN_COPIES_MAX]; /* or to these other regions */
    uint32_t   use_count;
    bool       summed;  /* sums has those of the pages that the receiver has in its place */
    uint8_t    sums[WAN_SUMS_SIZE];
    dx_link_id link;    /* that it was sent on */
    uint64_t   sent_ns; /* when, */
    uint64_t   sent_size; /* and how many bytes */
    uint8_t   *bytes;
} slot;

typedef struct stream {
    dx_link_dialer dialer;
    dx_link_id     id;     /* 0: not connected */
    bool           joined; /* the receiver has accepted it */
    bool           useful; /* it has brought answers, */
    bool           again;  /* so after its end the next one is opened at once */
    bool           dialed; /* the dialer is at work */
    uint64_t       spare_ns; /* since when it is not wanted; 0: it is */
    bool           full;   /* it has taken no more at least once since the last report */
    wan_paths      last;   /* of this connection, at the last look */
    uint64_t       bytes;  /* sent, over all its connections */
} stream;

typedef enum phase { BEGINNING, CAPTURING, SCANNING, HASHING, TELLING, TOLD, RESTING } phase;

typedef struct mirror {
    const wan_options *o;
    wan_loop           loop;
    wan_join           join;
    wan_coder          coder;
    wan_copies         copies;
    dx_reactor_address at;
    stream             streams[WAN_STREAMS_MAX];
    wan_choice         choices[WAN_STREAMS_MAX]; /* which of them are in use */
    uint32_t           limit;    /* of streams */
    uint32_t           wanted;   /* streams now; the others finish */
    dx_bulk_control    control;
    uint64_t           looked_ns; /* when it was asked last */
    bool               idle;     /* since then, the connections were not always the limit, */
    bool               filled;   /* or at least once all of them were full */
    uint32_t           pressed;  /* turns in a row that encoding took, while little was on its way */
    uint64_t           work_ns;  /* when the turn began */
    uint64_t           read_bytes; /* in this round, for regions and the hash */
    uint64_t           told_ns;  /* when the receiver was told that */
    uint64_t           full_ns;  /* time that they were: the controller's clock, */
    uint64_t           delivered; /* and the bytes of it */
    uint64_t           answered; /* bytes, where the kernel does not count them */
    bool               asks_kernel;
    uint32_t           turn;     /* the stream that is asked first */
    slot               slots[SLOTS];
    uint32_t           busy;     /* slots that are not free */
    uint32_t           tags;     /* used */
    uint32_t           era;
    wan_source         source;
    int                shadow;
    uint64_t           shadow_size;
    int                capture;  /* a file with pages of a stopped process; -1: none yet */
    uint64_t          *captured; /* of each region: a bit for each page that is in there. NULL: this round reads the
                                    source */
    uint8_t           *known;    /* of each region */
    uint64_t           known_count;
    uint8_t           *old;      /* a region of the shadow */
    uint8_t           *prefix;   /* WAN_PREFIX_MAX of them */
    uint64_t           far_size; /* bytes that the receiver had when it was joined */
    phase              phase;
    uint64_t           at_region;
    bool               leads;    /* a directory's header and table are sent first, and at_region counts their regions */
    uint64_t           changes;  /* regions that this round has sent, */
    uint64_t           changes_before; /* and the one before; UINT64_MAX: there was none */
    bool               rest_small; /* the next round may be the last one */
    bool               last;     /* the end was asked for when the round began */
    wan_round          round;
    bool               hashed;   /* round.hash is that of the shadow */
    wan_hash           hash;
    dx_link_id         told_on;
    uint64_t           next_ns;  /* RESTING: the next round begins */
    uint64_t           sent_ns;  /* --rate: nothing is sent before */
    uint64_t           far_hashed;
    uint32_t           mismatches;
    uint32_t           restarts; /* of the receiver, since the last complete round */
    uint32_t           last_rounds;
    uint64_t           regions, whole, checked, record_bytes, rounds; /* since the beginning */
    wan_totals         now, told; /* the same and more, for the daemon */
    uint64_t           report_ns; /* when it is told */
    uint64_t           bytes_told[WAN_STREAMS_MAX];
    wan_error          error;     /* why it has failed */
    uint64_t           seed;
    uint64_t           began_ns, moved_ns, moved, steps;
    char               congestion[16];
    int32_t            reason;    /* why there is no connection */
    bool               warned, plain, joined;
    uint8_t            number[WAN_NUMBER_SIZE];
    char               refusal[256];
    bool               over;
    int                status;
} mirror;

static void finish(mirror *m, int status)
{
    if (m->over) return;
    m->over = true;
    m->status = status;
}

/* The same, with the reason for the daemon. */
static void finish_as(mirror *m, wan_error error, int status)
{
    if (!m->over) m->error = error;
    finish(m, status);
}

static void broke(mirror *m)
{
    finish(m, prog_fail(PROG_NETWORK, "%s breaks the protocol", m->o->address));
}

/* >>file ----------------------------------------------------------------- */
static int open_file(mirror *m)
{
    int process;
    char image[32];
    const bool memory = wan_memory_is_path(m->o->file, &process);
    if (memory) (void)snprintf(image, sizeof image, "%d.core", process);
    const int status = wan_join_name(&m->join, m->o->file, memory && !m->o->name ? image : m->o->name);
    if (status) return status;
    const int opened = wan_source_open(&m->source, m->o);
    if (opened) return opened;
    m->join.kind = m->source.kind == WAN_FOLDER ? WAN_TREE : WAN_MIRROR;
    const int shadowed = wan_unnamed_open(&m->shadow, "shadow", "the shadow file");
    if (shadowed) return shadowed;
    const int liked = m->o->like ? wan_join_like(&m->join, m->o->like) : PROG_OK;
    return liked ? liked : wan_copies_open(&m->copies, m->shadow, m->o->like);
}

/* Read a region of the shadow, or less where it ends. -1: the transfer is over. */
static int64_t read_shadow(mirror *m, uint64_t number, uint8_t *out, size_t size)
{
    const int64_t got = prog_read_at(m->shadow, number * WAN_REGION_SIZE, out, size);
    if (got < 0) finish(m, prog_fail_errno("the shadow file"));
    return got;
}

/* Bytes of a region in a file of this size. */
static uint32_t part_of(uint64_t size, uint64_t number)
{
    const uint64_t at = number * WAN_REGION_SIZE;
    if (at >= size) return 0;
    return size - at < WAN_REGION_SIZE ? (uint32_t)(size - at) : (uint32_t)WAN_REGION_SIZE;
}

/* Does the receiver have this region, in this size, as it is in the shadow? */
static bool is_known(const mirror *m, uint64_t number, uint64_t size)
{
    return m->known[number] == KNOWN && part_of(m->shadow_size, number) == size;
}

/* May records refer to what the receiver has? */
static bool may_refer(const mirror *m) { return !m->o->plain && !m->o->no_delta; }

/* >>rounds --------------------------------------------------------------- */
/* A process is stopped: its round is captured. */
static void begin_capture(mirror *m)
{
    const int status = m->capture < 0 ? wan_unnamed_open(&m->capture, "capture", "the file of a stopped process") : PROG_OK;
    if (status) {
        finish(m, status);
        return;
    }
    (void)ftruncate(m->capture, 0); /* room for others; what is in there is overwritten else */
    m->captured = prog_alloc((size_t)m->known_count * sizeof *m->captured);
    memset(m->captured, 0, (size_t)m->known_count * sizeof *m->captured);
}

/* A directory is listed, and meanwhile the connections are served. */
static void begin_round(mirror *m)
{
    m->phase = BEGINNING;
    free(m->captured);
    m->captured = NULL;
    m->read_bytes = 0;
    m->last = m->o->once || wan_loop_is_ended(&m->loop);
    const int status = wan_source_begin(&m->source, m->last && m->rest_small);
    if (status) {
        finish(m, status);
        return;
    }
    const uint64_t count = m->source.size / WAN_REGION_SIZE + 1;
    if (count > WAN_REGIONS_MAX) {
        finish(m, prog_fail(PROG_REFUSED, "%s is larger than 8 TiB", m->o->file));
        return;
    }
    if (count > m->known_count) {
        uint8_t *more = prog_alloc((size_t)count);
        memset(more, BLANK, (size_t)count);
        if (m->known_count) memcpy(more, m->known, (size_t)m->known_count);
        free(m->known);
        m->known = more;
        m->known_count = count;
    }
    if (may_refer(m)) wan_copies_grow(&m->copies, m->source.size);
    if (wan_source_is_stopped(&m->source)) begin_capture(m);
    m->phase = m->captured ? CAPTURING : SCANNING;
    m->at_region = 0;
    m->leads = m->source.kind == WAN_FOLDER && m->far_size;
    m->changes = 0;
    m->round.number++;
    m->far_hashed = 0;
    m->round.size = m->source.size;
    m->round.final = false;
}

/* All regions are stored: hash the shadow, unless nothing has changed. */
static void end_scan(mirror *m)
{
    if (m->shadow_size != m->round.size) {
        if (ftruncate(m->shadow, (off_t)m->round.size) < 0) {
            finish(m, prog_fail_errno("the shadow file"));
            return;
        }
        for (uint64_t i = m->round.size / WAN_REGION_SIZE + 1; i < m->known_count; i++) m->known[i] = BLANK;
        m->shadow_size = m->round.size;
        m->hashed = false;
    }
    m->round.final = m->last && m->round.size == m->source.size &&
                     wan_source_is_final(&m->source, m->changes);
    if (m->over || m->phase != SCANNING) return; /* a directory was listed, and meanwhile all was doubted */
    m->phase = m->hashed ? TELLING : HASHING;
    if (!m->hashed) wan_hash_begin(&m->hash);
}

static void step_hash(mirror *m)
{
    const uint64_t before = m->hash.bytes;
    if (wan_hash_step(&m->hash, m->shadow, m->round.size) < 0) {
        finish(m, prog_fail_errno("the shadow file"));
        return;
    }
    m->steps++;
    m->read_bytes += m->hash.bytes - before;
    if (m->hash.bytes < m->round.size) return;
    wan_hash_end(&m->hash, m->round.hash);
    m->hashed = true;
    m->phase = TELLING;
}

/* A process is stopped for a round once the rounds before leave little to send, or do not get smaller
   any more. */
static void look_at_rest(mirror *m)
{
    const bool shrinks = m->changes < m->changes_before / 4 * 3;
    m->rest_small = m->last && (m->changes <= SLOTS / 2 || !shrinks || m->last_rounds >= LAST_ROUNDS / 2);
    m->changes_before = m->changes;
}

static void complete_round(mirror *m)
{
    const uint64_t now = (uint64_t)prog_now_ns();
    m->mismatches = m->restarts = 0;
    m->rounds++;
    m->now.rounds++;
    m->steps++;
    if (m->o->figures && m->o->figures->verified) m->o->figures->verified(m->o->figures->user);
    if (m->round.final) {
        finish(m, PROG_OK);
        return;
    }
    look_at_rest(m);
    if (m->source.cut > PAUSES_MAX) {
        finish(m, prog_fail(PROG_REFUSED, "%s: the process was stopped %d times, and its memory could "
                            "not be read within --pause each time", m->o->file, PAUSES_MAX));
        return;
    }
    if (m->last && ++m->last_rounds > LAST_ROUNDS) {
        finish(m, prog_fail(PROG_REFUSED, "%s changed during each of %d rounds; stop what writes it, "
                            "and mirror again to resume", m->o->file, LAST_ROUNDS));
        return;
    }
    m->phase = RESTING;
    m->next_ns = m->last ? now + (m->changes ? 0 : (uint64_t)WAN_SETTLE_NS) : now + m->o->every_ns;
}

/* The receiver may have other content than the shadow: compare everything by hash. */
static void doubt_all(mirror *m)
{
    for (uint64_t i = 0; i < m->known_count; i++)
        if (m->known[i] == KNOWN) m->known[i] = STALE;
    for (int i = 0; i < SLOTS; i++) {
        slot *s = &m->slots[i];
        if (s->state == FREE) continue;
        s->state = FREE;
        m->busy--;
    }
    m->era++;
    m->phase = BEGINNING; /* not here: this may be a callback, which cannot serve the connections */
}

/* >>slots ---------------------------------------------------------------- */
/* A receiver may have the files of a directory already, and finds them by the table: the regions of header and
   table are the first ones then. Returns their number, *first is the first one that is not that of the header. */
static uint64_t count_leading(const mirror *m, uint64_t *first)
{
    uint64_t at, size;
    wan_folder_find_table(&m->source.folder, &at, &size);
    const uint64_t last = (at + size - 1) / WAN_REGION_SIZE;
    *first = at / WAN_REGION_SIZE ? at / WAN_REGION_SIZE : 1;
    return last < *first ? 1 : 1 + last - *first + 1;
}

/* The region that is scanned next. */
static uint64_t next_region(const mirror *m)
{
    uint64_t first = 0;
    if (!m->leads || !m->at_region) return m->at_region;
    (void)count_leading(m, &first);
    return first + m->at_region - 1;
}

static bool is_scanned(const mirror *m)
{
    uint64_t first;
    if (m->leads) return m->at_region >= count_leading(m, &first);
    return m->at_region * WAN_REGION_SIZE >= m->round.size;
}

/* Read the next region of the source. Returns its bytes, if the receiver lacks it; 0: it does not. */
static uint32_t read_changed(mirror *m, uint8_t *out)
{
    const uint64_t number = next_region(m);
    const uint32_t want = part_of(m->round.size, number);
    if (want == WAN_REGION_SIZE && is_known(m, number, want) &&
        wan_source_is_as_read(&m->source, number * WAN_REGION_SIZE)) { /* and that is in the shadow */
        m->at_region++;
        m->read_bytes += want;
        return 0;
    }
    const int64_t got = wan_source_read(&m->source, number * WAN_REGION_SIZE, out, want);
    if (got < 0) {
        finish(m, wan_source_fail(&m->source));
        return 0;
    }
    m->at_region++;
    m->read_bytes += (uint64_t)got;
    if (got < (int64_t)want) m->round.size = number * WAN_REGION_SIZE + (uint64_t)got; /* it was truncated */
    if (got && is_known(m, number, (uint64_t)got)) {
        if (read_shadow(m, number, m->old, (size_t)got) < got) return 0;
        if (!memcmp(m->old, out, (size_t)got)) return 0;
    }
    return (uint32_t)got;
}

/* Header and table are stored: all regions follow. */
static void end_leading(mirror *m)
{
    assert(m->leads && !m->busy);
    m->leads = false;
    m->at_region = 0;
}

/* The next run of pages of a region that were captured: bytes from *at on, or 0. */
static size_t next_run(uint64_t pages, uint32_t size, size_t *at)
{
    size_t page = (*at + WAN_PAGE_SIZE - 1) / WAN_PAGE_SIZE; /* the end of a region may lie in a page */
    while (page < WAN_REGION_PAGES && !(pages >> page & 1)) page++;
    size_t end = page;
    while (end < WAN_REGION_PAGES && (pages >> end & 1)) end++;
    *at = page * WAN_PAGE_SIZE;
    const size_t stop = end * WAN_PAGE_SIZE < size ? end * WAN_PAGE_SIZE : size;
    return stop > *at ? stop - *at : 0;
}

/* The next region that was captured, or 0. Its other pages are those of the shadow. */
static uint32_t read_captured(mirror *m, uint8_t *out)
{
    const uint64_t number = m->at_region++, pages = m->captured[number];
    const uint32_t size = part_of(m->round.size, number);
    size_t run;
    if (!pages) return 0;
    if (pages != UINT64_MAX && read_shadow(m, number, out, size) < (int64_t)size) return 0;
    for (size_t at = 0; (run = next_run(pages, size, &at)) != 0; at += run) {
        if (prog_read_at(m->capture, number * WAN_REGION_SIZE + at, out + at, run) == (int64_t)run) continue;
        finish(m, prog_fail_errno("the file of a stopped process"));
        return 0;
    }
    return size;
}

/* The pages of a region that differ from the shadow, as read_changed() has left it in m->old. */
static uint64_t changed_pages(const mirror *m, uint64_t number, const uint8_t *bytes, uint32_t size)
{
    uint64_t pages = 0;
    if (!is_known(m, number, size)) return UINT64_MAX;
    for (size_t at = 0; at < size; at += WAN_PAGE_SIZE) {
        const size_t part = size - at < WAN_PAGE_SIZE ? size - at : (size_t)WAN_PAGE_SIZE;
        if (memcmp(m->old + at, bytes + at, part) != 0) pages |= (uint64_t)1 << at / WAN_PAGE_SIZE;
    }
    assert(pages);
    return pages;
}

/* Store what differs. The process is resumed at the end, or when it was stopped for too long. */
static void capture_some(mirror *m)
{
    uint8_t *bytes = m->slots[0].bytes;
    assert(m->phase == CAPTURING && !m->busy);
    while (!m->over && !is_scanned(m) && (uint64_t)prog_now_ns() - m->work_ns < WORK_NS) {
        const uint64_t number = m->at_region;
        size_t run;
        m->steps++;
        const uint32_t size = read_changed(m, bytes);
        if (!size) continue;
        m->captured[number] = changed_pages(m, number, bytes, size);
        for (size_t at = 0; (run = next_run(m->captured[number], size, &at)) != 0; at += run)
            if (os_write_at(m->capture, number * WAN_REGION_SIZE + at, bytes + at, run) < 0)
                finish(m, prog_fail_errno("the file of a stopped process"));
    }
    if (m->over || !is_scanned(m)) return;
    wan_source_end_reading(&m->source);
    m->phase = SCANNING;
    m->at_region = 0;
}

/* Look at the next region. If the receiver lacks it, it is in a slot now. */
static slot *scan_region(mirror *m, slot *s)
{
    const uint64_t number = next_region(m);
    const uint32_t size = m->captured ? read_captured(m, s->bytes) : read_changed(m, s->bytes);
    if (!size) return NULL;
    s->state = READY;
    s->region = number;
    s->size = size;
    s->checked = s->whole = s->prefixed = s->alone = s->summed = false;
    s->link = 0;
    m->busy++;
    m->changes++;
    return s;
}

/* Does a record on its way copy pages of this region as it is now? Then it has to arrive first. */
static bool is_used(const mirror *m, uint64_t region)
{
    for (int i = 0; i < SLOTS; i++) {
        const slot *s = &m->slots[i];
        for (uint32_t n = 0; s->state == SENT && n < s->use_count; n++)
            if (s->uses[n] == region) return true;
    }
    return false;
}

static slot *free_slot(mirror *m)
{
    for (int i = 0; i < SLOTS; i++)
        if (m->slots[i].state == FREE) return &m->slots[i];
    return NULL;
}

/* A slot that is to be sent; NULL: none now. */
static slot *next_slot(mirror *m, int *budget)
{
    for (int i = 0; i < SLOTS; i++) {
        slot *s = &m->slots[i];
        if (s->state == READY && !is_used(m, s->region)) return s;
    }
    slot *open = free_slot(m);
    while (open && m->phase == SCANNING && !is_scanned(m) && *budget > 0 && !m->over) {
        --*budget;
        m->steps++;
        if (scan_region(m, open)) {
            if (!is_used(m, open->region)) return open;
            open = free_slot(m);
        }
        if ((uint64_t)prog_now_ns() - m->work_ns >= WORK_NS) *budget = 0; /* a slow disk */
    }
    return NULL;
}

/* Write the record of a slot. Returns its size. */
static size_t encode(mirror *m, const slot *s, const uint8_t *base, size_t base_size, uint8_t *out)
{
    const int64_t began_ns = prog_now_ns();
    const size_t size = wan_coder_encode(&m->coder, base, base_size, s->bytes, s->size, out);
    const bool busy = m->pressed >= PRESSED_MAX;
    if (m->o->adaptive) wan_coder_adapt(&m->coder, (uint64_t)(prog_now_ns() - began_ns) / 1000000, busy);
    if (busy) m->pressed = 0;
    return size;
}

/* Does the receiver have this region as the shadow has it, now and when the next message arrives? */
static bool is_settled(const mirror *m, uint64_t number)
{
    if (number >= m->known_count || !is_known(m, number, WAN_REGION_SIZE)) return false;
    for (int i = 0; i < SLOTS; i++)
        if (m->slots[i].state != FREE && m->slots[i].region == number) return false;
    return true;
}

/* wan_copies.is_usable */
static bool is_usable(const void *user, uint64_t region) { return is_settled(user, region); }

/* Remember what the record of a slot depends on. */
static void note_uses(slot *s, const wan_copy *copies, uint32_t count)
{
    s->use_count = 0;
    s->like = false;
    for (uint32_t i = 0; i < count; i++) {
        s->like = s->like || copies[i].like;
        const uint32_t last = (copies[i].page + copies[i].pages - 1) / WAN_REGION_PAGES;
        for (uint32_t region = copies[i].page / WAN_REGION_PAGES; !copies[i].like && region <= last; region++) {
            if (s->use_count && s->uses[s->use_count - 1] == region) continue;
            assert(s->use_count < WAN_COPIES_MAX);
            s->uses[s->use_count++] = region;
        }
    }
}

/* Find pages that the receiver has elsewhere, and change the baseline (NULL: none) by them. Returns the
   bytes of copies in `out`. */
static size_t find_copies(mirror *m, slot *s, const uint8_t **base, wan_region *r, uint8_t *out)
{
    wan_copy copies[WAN_COPIES_MAX];
    uint64_t pages = 0;
    note_uses(s, copies, 0);
    if (s->alone) return 0;
    const uint32_t count = wan_copies_find(&m->copies, s->region, s->bytes, s->size, *base, r->size, copies);
    for (uint32_t i = 0; i < count; i++) pages += copies[i].pages;
    if (!count || (!*base && pages < COPIED_MIN)) return 0;
    r->fresh = !*base;
    r->copies = (uint8_t)count;
    const uint32_t old_size = r->size;
    if (r->size < s->size) r->size = s->size;
    memset(m->old + old_size, 0, r->size - old_size);
    for (uint32_t i = 0; i < count; i++) {
        const size_t at = (size_t)copies[i].at * WAN_PAGE_SIZE;
        memcpy(m->old + at, s->bytes + at, (size_t)copies[i].pages * WAN_PAGE_SIZE);
        wan_copy_write(&copies[i], out + (size_t)i * WAN_COPY_SIZE);
    }
    *base = m->old;
    m->copies.bytes += pages * WAN_PAGE_SIZE;
    note_uses(s, copies, count);
    return (size_t)count * WAN_COPY_SIZE;
}

/* Read what the receiver has of a region by the shadow, perhaps, into m->old. False: there is nothing. */
static bool read_guess(mirror *m, uint64_t number)
{
    const uint32_t size = part_of(m->shadow_size, number);
    if (m->known[number] == BLANK || !size || !may_refer(m)) return false;
    return read_shadow(m, number, m->old, size) == (int64_t)size;
}

/* Make the baseline of the pages that the receiver has in the region's place, in m->old: their sums say whether they
   are those of the region or of the shadow. Returns the bytes of copies in `out`; 0: too little is known. */
static size_t find_own_pages(mirror *m, slot *s, const uint8_t **base, wan_region *r, uint8_t *out)
{
    wan_copy copies[WAN_COPIES_MAX];
    uint32_t count = 0, known = 0;
    if (!s->summed || s->alone || !may_refer(m)) return 0;
    const uint32_t pages = s->size / WAN_PAGE_SIZE;
    const uint32_t old_size = read_guess(m, s->region) ? part_of(m->shadow_size, s->region) : 0;
    memset(m->old + old_size, 0, WAN_REGION_SIZE - old_size);
    for (uint32_t at = 0; at < pages; at++) {
        uint8_t *old = m->old + (size_t)at * WAN_PAGE_SIZE;
        const uint8_t *page = s->bytes + (size_t)at * WAN_PAGE_SIZE;
        if (wan_sum_is_of(s->sums, at, page)) memcpy(old, page, WAN_PAGE_SIZE);
        else if (!wan_sum_is_of(s->sums, at, old)) memset(old, 0, WAN_PAGE_SIZE);
        if (prog_is_zero(old, WAN_PAGE_SIZE)) continue;
        wan_copy *last = count ? &copies[count - 1] : NULL;
        known++;
        if (last && last->at + last->pages == at) last->pages++;
        else copies[count++] = (wan_copy){.page = (uint32_t)(s->region * WAN_REGION_PAGES) + at, .at = (uint8_t)at, .pages = 1};
    }
    if (!known || known * WAN_REGION_PAGES < pages * COPIED_MIN) return 0;
    memset(m->old + (size_t)pages * WAN_PAGE_SIZE, 0, WAN_REGION_SIZE - (size_t)pages * WAN_PAGE_SIZE);
    for (uint32_t i = 0; i < count; i++) wan_copy_write(&copies[i], out + (size_t)i * WAN_COPY_SIZE);
    r->fresh = true;
    r->copies = (uint8_t)count;
    r->size = s->size;
    *base = m->old;
    m->copies.bytes += (uint64_t)known * WAN_PAGE_SIZE;
    note_uses(s, copies, count);
    return (size_t)count * WAN_COPY_SIZE;
}

/* Find the nearest earlier regions that the receiver has, for a region that is sent whole. */
static void find_prefix(mirror *m, const slot *s, wan_region *r)
{
    wan_coder_set_prefix(&m->coder, NULL, 0);
    if (!m->coder.desc.zstd || !may_refer(m) || s->alone) return;
    const uint64_t back_max = s->region < WAN_BACK_MAX ? s->region : WAN_BACK_MAX;
    uint64_t back = 1, count = 0;
    while (back <= back_max && !is_settled(m, s->region - back)) back++;
    if (back > back_max) return;
    while (count < WAN_PREFIX_MAX && back + count <= s->region && is_settled(m, s->region - back - count))
        count++;
    assert(count);
    const size_t size = (size_t)count * WAN_REGION_SIZE;
    if (read_shadow(m, s->region + 1 - back - count, m->prefix, size) < (int64_t)size) return;
    wan_coder_set_prefix(&m->coder, m->prefix, size);
    r->back = (uint8_t)back;
    r->count = (uint8_t)count;
}

/* Write the message of a slot. Returns its opcode and size. */
static uint16_t compose(mirror *m, slot *s, uint8_t *out, size_t *size)
{
    wan_region r = {.era = m->era, .tag = ++m->tags, .number = s->region, .size = s->size};
    const uint32_t old_size = part_of(m->shadow_size, s->region);
    const bool far = s->region * WAN_REGION_SIZE < m->far_size;
    const uint8_t *base = NULL;
    s->tag = r.tag;
    if (m->known[s->region] != KNOWN && far && !s->checked) {
        dx_cas_blake3 hash;
        dx_cas_blake3_init(&hash);
        dx_cas_blake3_update(&hash, s->bytes, s->size);
        wan_region_write(&r, out);
        dx_cas_blake3_final(&hash, out + WAN_REGION_HEAD, PROG_HASH_SIZE);
        *size = WAN_CHECK_SIZE;
        s->state = CHECKING;
        m->checked++;
        m->now.compared++;
        return WAN_OP_CHECK;
    }
    size_t copies_size = find_own_pages(m, s, &base, &r, out + WAN_REGION_HEAD);
    if (!copies_size) {
        base = read_guess(m, s->region) ? m->old : NULL;
        r.size = base ? old_size : 0;
    }
    if (!copies_size) copies_size = find_copies(m, s, &base, &r, out + WAN_REGION_HEAD);
    if (base) wan_coder_set_prefix(&m->coder, NULL, 0);
    else find_prefix(m, s, &r);
    s->prefixed = r.count != 0;
    wan_region_write(&r, out);
    *size = WAN_REGION_HEAD + copies_size;
    *size += encode(m, s, base, r.size, out + *size);
    s->whole = !base;
    s->state = SENT;
    m->regions++;
    m->whole += !base;
    m->record_bytes += *size;
    m->now.regions++;
    m->now.deltas += base != NULL;
    m->now.state_bytes += s->size;
    m->now.record_bytes += *size;
    return WAN_OP_REGION;
}

/* The slot's region is stored at the receiver. */
static void settle(mirror *m, slot *s)
{
    const uint64_t at = s->region * WAN_REGION_SIZE;
    if (os_write_at(m->shadow, at, s->bytes, s->size) < 0) {
        finish(m, prog_fail_errno("the shadow file"));
        return;
    }
    if (at + s->size > m->shadow_size) m->shadow_size = at + s->size;
    wan_copies_add(&m->copies, s->region, s->bytes, s->size);
    m->known[s->region] = KNOWN;
    m->hashed = false;
    m->steps++;
    s->state = FREE;
    m->busy--;
}

/* >>output --------------------------------------------------------------- */
static stream *stream_of(mirror *m, dx_link_id id)
{
    for (uint32_t i = 0; i < m->limit; i++)
        if (m->streams[i].id == id) return &m->streams[i];
    return NULL;
}

/* A connection that takes a message now; *out is reserved. */
static dx_link_id reserve(mirror *m, uint32_t size, dx_hbtp_out *out)
{
    for (uint32_t n = 0; n < m->limit; n++) {
        stream *s = &m->streams[m->turn];
        m->turn = (m->turn + 1) % m->limit;
        if (!s->id || !s->joined || s->spare_ns) continue;
        if (!dx_link_reserve(&m->loop.links, s->id, size, out)) return s->id;
        s->full = true;
    }
    return 0;
}

/* Send a slot. False: no connection takes it now. */
static bool send_slot(mirror *m, slot *s, uint64_t now)
{
    dx_hbtp_out out;
    size_t size = 0;
    const dx_link_id id = reserve(m, BLOCK_SIZE, &out);
    if (!id) return false;
    uint8_t *place = dx_hbtp_out_next(&out) + 2;
    const uint16_t opcode = compose(m, s, place, &size);
    const int error = dx_hbtp_write_frame(&out, opcode, 0, 0, place, size);
    (void)dx_link_commit(&m->loop.links, id, &out);
    s->link = id;
    s->sent_ns = now;
    s->sent_size = size;
    stream *st = stream_of(m, id);
    if (st) st->bytes += size;
    if (error) {
        s->state = READY;
        (void)dx_link_abort(&m->loop.links, id); /* it takes no such frame */
        return false;
    }
    if (m->o->rate) {
        if (m->sent_ns + SECOND / 10 < now) m->sent_ns = now - SECOND / 10;
        m->sent_ns += size * SECOND / m->o->rate;
    }
    return true;
}

static void send_round(mirror *m)
{
    uint8_t bytes[WAN_ROUND_SIZE];
    dx_hbtp_out out;
    const dx_link_id id = reserve(m, WAN_ROUND_SIZE + 32, &out);
    if (!id) return;
    m->round.era = m->era;
    wan_round_write(&m->round, bytes);
    const int error = dx_hbtp_write_frame(&out, WAN_OP_ROUND, 0, 0, bytes, sizeof bytes);
    (void)dx_link_commit(&m->loop.links, id, &out);
    if (error) return;
    m->told_on = id;
    m->phase = TOLD;
}

/* >>streams -------------------------------------------------------------- */
/* Open the streams that are wanted. One that is not any more takes no new message, and is closed when all
   its messages are answered, after a while: most trials with fewer streams end with more again. */
static void adjust(mirror *m, uint64_t now)
{
    bool pending[WAN_STREAMS_MAX] = {false};
    for (int i = 0; i < SLOTS; i++) {
        const stream *st = m->slots[i].state >= CHECKING ? stream_of(m, m->slots[i].link) : NULL;
        if (st) pending[st - m->streams] = true;
    }
    for (uint32_t i = 0; i < m->limit; i++) m->choices[i].open = m->streams[i].id != 0;
    wan_choose(m->choices, m->limit, m->wanted);
    for (uint32_t i = 0; i < m->limit; i++) {
        stream *st = &m->streams[i];
        if (m->choices[i].wanted) st->spare_ns = 0;
        else if (!st->spare_ns) st->spare_ns = now;
        if (!st->spare_ns && !st->dialed && !st->id)
            st->dialed = !dx_link_dial(&m->loop.links, &st->dialer, &m->at, m->seed++);
        if (!st->spare_ns || now - st->spare_ns < SPARE_NS || pending[i]) continue;
        if (!st->dialed || (m->phase == TOLD && m->told_on == st->id)) continue;
        const dx_link_id id = st->dialer.id;
        st->dialed = st->again = false;
        dx_link_dial_end(&st->dialer);
        if (id) (void)dx_link_close(&m->loop.links, id, DX_HBTP_STATUS_NONE, "");
    }
}

/* Bytes that the wanted streams have delivered since the last time. Messages are large, and their answers
   come in steps, where the kernel counts each segment. */
static uint64_t delivered(mirror *m)
{
    uint64_t bytes = m->answered;
    m->answered = 0;
    for (uint32_t i = 0; i < m->limit; i++) {
        stream *st = &m->streams[i];
        if (!st->id || !st->joined) continue;
        const wan_paths grown = wan_path_look(&st->last, wan_loop_fd(&m->loop.links, st->id));
        m->asks_kernel = m->asks_kernel || st->last.delivered;
        wan_choice_add(&m->choices[i], grown.delivered);
        if (!st->spare_ns) bytes += grown.delivered;
    }
    return bytes;
}

/* Only the time counts in which the connections were the limit, not the file, the rate or the processor.
   starved: there was nothing to send. Between full and starved, a turn was too short to fill them. */
static void control(mirror *m, bool full, bool starved)
{
    const uint64_t now = (uint64_t)prog_now_ns(); /* encoding took time since the turn began */
    if (!m->o->streams_max) return;
    m->idle = m->idle || starved;
    m->filled = m->filled || full;
    if (now - m->looked_ns < LOOK_NS) return;
    const uint64_t bytes = delivered(m);
    if (!m->idle && m->filled) {
        m->full_ns += now - m->looked_ns;
        m->delivered += bytes;
        m->wanted = dx_bulk_control_update(&m->control, m->delivered, m->full_ns);
    }
    m->looked_ns = now;
    m->idle = starved;
    m->filled = full;
}

/* Send what can be sent now. Returns true if there is more work at once. */
static bool pump(mirror *m, uint64_t now)
{
    int budget = SCAN_MAX;
    if (!m->joined || m->over) return false;
    const uint64_t read_bytes = wan_copies_step(&m->copies);
    m->read_bytes += read_bytes;
    m->steps += read_bytes != 0;
    if (read_bytes) return true;
    const bool asked = !m->last && wan_loop_is_ended(&m->loop);
    if (m->phase == BEGINNING || (m->phase == RESTING && (now >= m->next_ns || asked))) begin_round(m);
    if (m->over) return false;
    now = (uint64_t)prog_now_ns();
    const uint64_t began = m->work_ns = now;
    if (m->phase == CAPTURING) {
        capture_some(m);
        return true;
    }
    bool full = false, cut = false;
    while (!m->over && !full && !cut && (!m->o->rate || now >= m->sent_ns)) {
        slot *s = next_slot(m, &budget);
        if (!s) break;
        full = !send_slot(m, s, now);
        now = (uint64_t)prog_now_ns();
        cut = now - began >= WORK_NS;
    }
    if (m->over) return false;
    full = full || m->busy == SLOTS;
    const bool paced = m->o->rate && now < m->sent_ns;
    m->pressed = cut && !full && !paced && m->busy <= PRESSED_SLOTS ? m->pressed + 1 : 0;
    control(m, full, !full && !cut);
    const bool scanned = m->phase == SCANNING && is_scanned(m);
    if (scanned && m->leads && !m->busy) {
        end_leading(m);
        return true;
    }
    if (scanned && !m->leads) {
        wan_source_end_reading(&m->source);
        if (!m->busy) end_scan(m);
    }
    if (m->phase == HASHING && !m->over) step_hash(m);
    if (m->phase == TELLING) send_round(m);
    return m->phase == BEGINNING || m->phase == HASHING || (cut && !full) || (m->phase == SCANNING && budget <= 0);
}

/* >>input ---------------------------------------------------------------- */
static void fail_far(mirror *m, const uint8_t *text, size_t size)
{
    finish(m, prog_fail(PROG_REFUSED, "%s gave up: %.*s", m->o->address, (int)size, (const char *)text));
}

static void handle_answer(mirror *m, const uint8_t *p, size_t size)
{
    slot *s = NULL;
    const uint32_t tag = (uint32_t)wan_load(p, 4);
    for (int i = 0; i < SLOTS; i++)
        if (m->slots[i].tag == tag && m->slots[i].state >= CHECKING) s = &m->slots[i];
    if (p[4] == WAN_FAILED) {
        fail_far(m, p + 5, size - 5);
        return;
    }
    if (!s) return; /* of a slot that was given up */
    const uint64_t us = ((uint64_t)prog_now_ns() - s->sent_ns) / 1000;
    m->now.latency[wan_latency_class(us)]++;
    m->now.latency_us += us;
    if (!m->asks_kernel) m->answered += s->sent_size;
    const bool checking = s->state == CHECKING;
    s->state = READY;
    if (p[4] == WAN_STORED) {
        settle(m, s);
    } else if (p[4] == WAN_DIFFERENT && checking) {
        s->checked = true;
        s->summed = size - 5 == s->size / WAN_PAGE_SIZE * WAN_SUM_SIZE;
        if (s->summed) memcpy(s->sums, p + 5, size - 5);
    } else if (p[4] == WAN_NACK && !checking && (s->prefixed || s->use_count || s->like) && !s->alone) {
        s->alone = true;
        wan_copies_refused(&m->copies, s->like);
    } else if (p[4] == WAN_NACK && !checking && !s->whole) {
        m->known[s->region] = BLANK;
        s->checked = true;
    } else if (p[4] == WAN_NO_ZSTD && !checking && m->coder.desc.zstd) {
        wan_coder_close(&m->coder);
        (void)wan_coder_open(&m->coder, false, m->o);
    } else if (p[4] != WAN_AGAIN && p[4] != WAN_NO_ZSTD) {
        broke(m);
    }
}

static void handle_round_answer(mirror *m, const uint8_t *p, size_t size)
{
    if (p[4] == WAN_FAILED) {
        fail_far(m, p + 5, size - 5);
        return;
    }
    if (m->phase != TOLD || (uint32_t)wan_load(p, 4) != m->round.number) return;
    if (p[4] == WAN_HASHING && size == 13) {
        const uint64_t bytes = wan_load(p + 5, 8);
        const uint64_t passes = m->join.kind == WAN_TREE ? 2 : 1;
        const uint64_t most = passes * m->round.size + WAN_SIGNS_MAX;
        if (bytes > m->far_hashed && bytes <= most) {
            m->far_hashed = bytes;
            m->steps++;
        }
    } else if (p[4] == WAN_STORED) {
        complete_round(m);
    } else if (p[4] == WAN_DIFFERENT) {
        if (++m->mismatches >= MISMATCHES_MAX) {
            finish_as(m, WAN_DECOMPRESSION_FAILED,
                      prog_fail(PROG_DAMAGED, "%s has another content after each of %d rounds; its "
                                "disk is damaged", m->o->address, MISMATCHES_MAX));
            return;
        }
        m->far_size = UINT64_MAX;
        doubt_all(m);
    } else {
        broke(m);
    }
}

static int on_frame(const dx_hbtp_context *c)
{
    mirror *m = dx_link_of(c->session)->desc.user;
    stream *st = stream_of(m, dx_link_id_of(c->session));
    const uint16_t opcode = c->frame->opcode;
    if (m->over || !st) return DX_HBTP_OK;
    st->useful = true;
    if (c->payload_size < 5 || c->payload_size > WAN_ANSWER_MAX) broke(m);
    else if (opcode == WAN_OP_ANSWER) handle_answer(m, c->payload, c->payload_size);
    else if (opcode == WAN_OP_ROUND_ANSWER) handle_round_answer(m, c->payload, c->payload_size);
    else broke(m);
    return DX_HBTP_OK;
}

/* >>links ---------------------------------------------------------------- */
static void on_opened(dx_link *l, dx_link_id id)
{
    mirror *m = l->desc.user;
    uint8_t arguments[WAN_JOIN_SIZE_MAX];
    if (m->over) return;
    wan_path_set_up_or_warn(wan_loop_fd(l, id), m->o->congestion, m->congestion, &m->warned);
    wan_path_set_buffers(wan_loop_fd(l, id), m->o->send_buffer, m->o->recv_buffer);
    const size_t size = wan_join_write(&m->join, arguments);
    if (dx_hbtp_call(dx_link_session(l, id), WAN_RPC_JOIN, arguments, size,
                     wan_loop_now_ns(&m->loop) + m->o->timeout_ns, NULL, NULL)) {
        (void)dx_link_abort(l, id);
        return;
    }
    for (uint32_t i = 0; i < m->limit; i++)
        if (m->streams[i].dialer.id == id) {
            m->streams[i].id = id;
            m->streams[i].joined = m->streams[i].useful = false;
            memset(&m->streams[i].last, 0, sizeof m->streams[i].last);
            m->choices[i].lately = 0;
        }
}

/* A connection did not come about. The daemon says it once for all mirrors of a destination. */
static void say_unconnected(mirror *m, int32_t reason)
{
    const uint64_t end_ns = m->moved_ns + m->o->timeout_ns, now = (uint64_t)prog_now_ns();
    const wan_figures *f = m->o->figures;
    if (!f) wan_loop_say_unconnected(&m->loop, m->o->address, reason, &m->reason, end_ns > now ? end_ns - now : 0);
    else if (f->connected && reason < 0) f->connected(f->user, reason);
}

/* What was sent on this link and not answered is sent again, in a new era. */
static void on_closed(dx_link *l, dx_link_id id, int32_t reason)
{
    mirror *m = l->desc.user;
    bool lost = m->phase == TOLD && m->told_on == id;
    stream *st = stream_of(m, id);
    if (!m->joined && !m->over && wan_loop_hopeless(&m->loop))
        finish(m, wan_join_hopeless(m->o->address, wan_loop_hopeless(&m->loop)));
    if (!st && !m->over) say_unconnected(m, reason);
    if (!m->joined && !m->over && wan_join_is_stranger(dx_link_session(l, id)))
        finish(m, wan_join_stranger(m->o->address));
    if (st) {
        st->id = 0;
        m->now.streams_lost += st->joined;
        st->joined = false;
        st->again = st->useful;
    }
    if (lost) m->phase = TELLING;
    for (int i = 0; i < SLOTS; i++) {
        slot *s = &m->slots[i];
        if (s->state < CHECKING || s->link != id) continue;
        s->state = READY;
        lost = true;
    }
    if (lost) m->era++;
}

/* The answer to a join. */
static void on_result(dx_hbtp_session *session, const dx_hbtp_result *result)
{
    dx_link *l = dx_link_of(session);
    mirror *m = l->desc.user;
    stream *st = stream_of(m, dx_link_id_of(session));
    if (m->over) return;
    const size_t size = WAN_NUMBER_SIZE + (m->join.like[0] ? 16 : 8);
    if (!result->error && result->payload_size == size && st) {
        const bool other = !m->joined || memcmp(m->number, result->payload, WAN_NUMBER_SIZE) != 0;
        st->joined = true;
        m->now.streams_opened++;
        m->joined = true;
        m->reason = 0;
        if (m->o->figures && m->o->figures->connected) m->o->figures->connected(m->o->figures->user, 0);
        m->refusal[0] = 0;
        if (!other) return;
        memcpy(m->number, result->payload, WAN_NUMBER_SIZE);
        m->far_size = wan_load(result->payload + WAN_NUMBER_SIZE, 8);
        if (m->join.like[0] && may_refer(m))
            wan_copies_set_like(&m->copies, wan_load(result->payload + WAN_NUMBER_SIZE + 8, 8));
        if (++m->restarts > RESTARTS_MAX)
            finish(m, prog_fail(PROG_NETWORK, "%s was restarted %d times and completed no round",
                                m->o->address, RESTARTS_MAX));
        else doubt_all(m);
        return;
    }
    if (result->error != DX_HBTP_EREMOTE) return;
    (void)snprintf(m->refusal, sizeof m->refusal, "%.*s", (int)result->payload_size,
                   (const char *)result->payload);
    if (result->status != DX_HBTP_STATUS_UNAVAILABLE && !m->joined)
        finish(m, wan_join_refused(m->o->address, result->status, m->refusal));
    (void)dx_link_abort(l, dx_link_id_of(session));
}

/* >>loop ----------------------------------------------------------------- */
static int fail_silence(mirror *m)
{
    const unsigned seconds = (unsigned)(m->o->timeout_ns / SECOND);
    const char *where = m->o->address;
    const int reason = m->streams[0].dialer.reason;
    m->error = m->joined ? WAN_NETWORK_TIMEOUT : WAN_STREAM_CREATION_FAILED;
    if (m->refusal[0]) return prog_fail(PROG_REFUSED, "%s refused: %s", where, m->refusal);
    if (!m->joined)
        return prog_fail(PROG_NETWORK, "%s: no connection within %u s: %s", where, seconds,
                         wan_loop_reason(&m->loop, reason));
    if (m->phase == TELLING || m->phase == TOLD)
        return prog_fail(PROG_NETWORK, "%s did not confirm a round within %u s; mirror again to resume",
                         where, seconds);
    return prog_fail(PROG_NETWORK, "%s acknowledged nothing for %u s; mirror again to resume", where,
                     seconds);
}

/* While regions are compared or the shadow is hashed, the receiver may hear nothing else for long. */
static void tell_work(mirror *m, uint64_t now)
{
    uint8_t payload[8];
    const bool works = m->phase <= HASHING;
    if (!m->joined || !works || now - m->told_ns < WAN_TELL_NS) return;
    wan_store(payload, m->read_bytes, sizeof payload);
    for (uint32_t i = 0; i < m->limit; i++) {
        const stream *st = &m->streams[i];
        dx_hbtp_session *session = st->id && st->joined ? dx_link_session(&m->loop.links, st->id) : NULL;
        if (!session || dx_hbtp_notify(session, WAN_OP_HASHED, 0, payload, sizeof payload)) continue;
        m->told_ns = now;
        return;
    }
}

/* A dialer waits longer after each link that lived briefly. One that brought answers is no reason
   to wait. */
static void dial_again(mirror *m, uint64_t now)
{
    adjust(m, now);
    for (uint32_t i = 0; i < m->limit; i++) {
        if (!m->choices[i].wanted || !m->streams[i].again || !m->streams[i].dialed) continue;
        m->streams[i].again = false;
        dx_link_dial_end(&m->streams[i].dialer);
        (void)dx_link_dial(&m->loop.links, &m->streams[i].dialer, &m->at, m->seed++);
    }
}

static wan_stream_state state_of(const mirror *m, const stream *st, bool active)
{
    if (!active) return WAN_STREAM_OVER;
    if (st->full) return WAN_SATURATED;
    return st->bytes > m->bytes_told[st - m->streams] ? WAN_ACTIVE : WAN_IDLE;
}

/* Tell the daemon how it goes. */
static void report_figures(mirror *m, uint64_t now, bool running)
{
    wan_figures *f = m->o->figures;
    if (!f || (running && now < m->report_ns)) return;
    m->now.bytes_sent = m->loop.links.sent;
    m->now.bytes_received = m->loop.links.received;
    pthread_mutex_lock(&f->lock);
    wan_totals_add(&f->totals, &m->now, &m->told);
    m->report_ns = now + f->interval_ns;
    f->level = running ? wan_coder_level(&m->coder) : f->level;
    f->running = running;
    f->wanted = running ? m->wanted : 0;
    f->active = 0;
    for (uint32_t i = 0; i < WAN_STREAMS_MAX; i++) {
        wan_stream_figures *to = &f->streams[i];
        stream *st = &m->streams[i];
        wan_paths path = {0};
        to->active = running && st->id && st->joined;
        if (to->active) wan_path_add(&path, wan_loop_fd(&m->loop.links, st->id));
        to->state = state_of(m, st, to->active);
        st->full = false;
        to->bytes += st->bytes - m->bytes_told[i];
        m->bytes_told[i] = st->bytes;
        to->window = path.window;
        to->rtt_us = path.rtt_us;
        to->retransmitted = (uint32_t)path.retransmitted;
        f->active += to->active;
    }
    pthread_mutex_unlock(&f->lock);
}

/* The reason of a failure that has none yet. */
static wan_error error_of(const mirror *m, int status)
{
    if (!status || m->error) return m->error;
    if (status == PROG_USAGE || status == PROG_NOT_FOUND || status == PROG_SYSTEM)
        return WAN_INVALID_CONFIG;
    return m->joined ? WAN_STREAM_CLOSED : WAN_STREAM_CREATION_FAILED;
}

static void tick(mirror *m, uint64_t now)
{
    report_figures(m, now, true);
    if (m->steps != m->moved || (m->phase == RESTING && m->joined)) {
        m->moved = m->steps;
        m->moved_ns = now;
    }
    if (m->over) return;
    wan_source_check(&m->source, now);
    dial_again(m, now);
    tell_work(m, now);
    if (wan_loop_ends(&m->loop) > 1)
        finish(m, prog_fail(PROG_NETWORK, "the mirror was interrupted; mirror again to resume"));
    else if (wan_loop_is_ended(&m->loop) && !m->joined)
        finish(m, prog_fail(PROG_NETWORK, "the mirror was interrupted"));
    else if (now - m->moved_ns >= m->o->timeout_ns) finish(m, fail_silence(m));
}

/* wan_folder.serve: entries are listed, which is progress. */
static bool serve(void *user)
{
    mirror *m = user;
    assert(m->phase == BEGINNING || m->phase == SCANNING);
    m->steps++;
    m->read_bytes++;
    const int status = wan_loop_turn(&m->loop, 0);
    if (status) finish(m, status);
    tick(m, (uint64_t)prog_now_ns());
    return !m->over;
}

static int run(mirror *m)
{
    int status = PROG_OK;
    while (!m->over && !status) {
        const uint64_t now = (uint64_t)prog_now_ns();
        const bool more = pump(m, now);
        uint64_t wake = now + SECOND / 10;
        if (m->phase == RESTING && m->next_ns < wake) wake = m->next_ns;
        if (m->o->rate && m->sent_ns > now && m->sent_ns < wake) wake = m->sent_ns;
        status = wan_loop_turn(&m->loop, more ? now : wake);
        tick(m, (uint64_t)prog_now_ns());
        if (!m->o->quiet) prog_progress("round", m->round.number, 0, false);
    }
    prog_progress("round", m->round.number, 0, true);
    for (uint32_t i = 0; i < m->limit; i++) dx_link_dial_end(&m->streams[i].dialer);
    wan_loop_drain(&m->loop);
    return status ? status : m->status;
}

static int start(mirror *m)
{
    dx_link_desc links = {0};
    int status = wan_address_find(&m->at, m->o->address);
    if (status) return status;
    links.links_max = m->limit;
    links.block_size = BLOCK_SIZE;
    links.user = m;
    links.opened = on_opened;
    links.closed = on_closed;
    links.connect_ns = m->o->connect_ns;
    links.session.keepalive_ns = m->o->health_ns;
    links.session.on_result = on_result;
    status = wan_loop_open(&m->loop, &links, m->o, false);
    if (status) return status;
    dx_hbtp_router_set(&m->loop.router, DX_HBTP_OP_EXTENDED, on_frame, NULL);
    if (!wan_coder_open(&m->coder, true, m->o) && !m->o->plain) {
        m->error = WAN_COMPRESSION_FAILED;
        return prog_fail(PROG_SYSTEM, "%s: zstd cannot get its memory", m->o->file);
    }
    m->old = prog_alloc(WAN_REGION_SIZE);
    m->prefix = prog_alloc((size_t)WAN_PREFIX_MAX * WAN_REGION_SIZE);
    for (int i = 0; i < SLOTS; i++) m->slots[i].bytes = prog_alloc(WAN_REGION_SIZE);
    m->began_ns = m->moved_ns = (uint64_t)prog_now_ns();
    m->phase = RESTING;
    m->next_ns = UINT64_MAX; /* until the receiver has accepted */
    (void)os_random(&m->seed, sizeof m->seed);
    for (uint32_t i = 0; i < m->wanted; i++) {
        if (dx_link_dial(&m->loop.links, &m->streams[i].dialer, &m->at, m->seed++))
            return prog_fail(PROG_USAGE, "cannot connect to %s", m->o->address);
        m->streams[i].dialed = m->choices[i].wanted = true;
    }
    return PROG_OK;
}

static void report(const mirror *m)
{
    const double seconds = (double)((uint64_t)prog_now_ns() - m->began_ns) / 1e9;
    char size[32], sent[32], hash[65];
    prog_json j;
    if (m->o->quiet) return;
    if (m->o->json) {
        prog_json_begin(&j);
        prog_json_text(&j, "name", m->join.name);
        prog_json_number(&j, "size", m->round.size);
        prog_json_number(&j, "rounds", m->rounds);
        prog_json_number(&j, "regions_sent", m->regions);
        prog_json_number(&j, "regions_whole", m->whole);
        prog_json_number(&j, "regions_compared", m->checked);
        prog_json_number(&j, "copied_bytes", m->copies.bytes);
        prog_json_number(&j, "record_bytes", m->record_bytes);
        prog_json_number(&j, "link_bytes", m->loop.links.sent);
        if (m->source.kind == WAN_MEMORY) prog_json_number(&j, "pause_us", m->source.pause_ns / 1000);
        prog_json_number(&j, "milliseconds", (uint64_t)(seconds * 1000));
        prog_json_text(&j, "congestion_control", m->congestion);
        prog_json_hash(&j, "blake3", m->round.hash);
        prog_json_end(&j);
        return;
    }
    prog_say("%s: %s byte%s, %llu round%s, %s sent in %.2f s\n", m->join.name,
             prog_count_text(m->round.size, size), prog_plural(m->round.size), (unsigned long long)m->rounds,
             prog_plural(m->rounds),
             prog_count_text(m->record_bytes, sent), seconds);
    if (m->source.pause_ns)
        prog_say("the process was stopped for %.1f ms\n", (double)m->source.pause_ns / 1e6);
    prog_say("blake3 %s\n", prog_hash_text(m->round.hash, hash));
}

int wan_mirror(const wan_options *o)
{
    mirror *m = prog_alloc(sizeof *m);
    memset(m, 0, sizeof *m);
    m->o = o;
    m->wanted = o->streams;
    m->limit = o->streams_max > o->streams ? o->streams_max : o->streams;
    m->control.count_min = o->streams_min;
    m->control.count_max = o->streams_max;
    m->control.count = o->streams;
    m->control.grow_percent = o->grow_percent;
    m->control.interval_ns = CONTROL_NS;
    m->source.file = m->shadow = m->capture = m->copies.like = -1;
    m->copies.is_usable = is_usable;
    m->copies.user = m;
    m->changes_before = UINT64_MAX;
    int status = open_file(m);
    m->source.folder.serve = serve;
    m->source.folder.user = m;
    if (!status) {
        status = start(m);
        if (!status) status = run(m);
        if (!status) report(m);
        report_figures(m, (uint64_t)prog_now_ns(), false);
        wan_loop_close(&m->loop);
    }
    if (m->o->figures) m->o->figures->error = error_of(m, status);
    wan_coder_close(&m->coder);
    wan_copies_close(&m->copies);
    for (int i = 0; i < SLOTS; i++) free(m->slots[i].bytes);
    free(m->old);
    free(m->captured);
    free(m->prefix);
    free(m->known);
    wan_source_close(&m->source);
    if (m->shadow >= 0) os_close(m->shadow);
    if (m->capture >= 0) os_close(m->capture);
    free(m);
    return status;
}
