/* The receiver's side of a mirror. See image.h. */
#include "image.h"

#include "../../common/os.h"
#include "../net/thin.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    ROUNDS_BAD_MAX = 16, /* announced in a row, and not verified */
    ADOPTIONS_MAX  = 64  /* between two rounds that are verified: each may read a table of 256 MiB */
};

static bool is_folder(int file)
{
    os_info info;
    return file >= 0 && os_info_of(file, &info) == 0 && info.kind == OS_FOLDER;
}

void wan_image_open(wan_image *i, dx_link *links, int file, int old, uint64_t size_max)
{
    memset(i, 0, sizeof *i);
    (void)wan_coder_open(&i->coder, true, NULL); /* without zstd, the sender is told so */
    i->links = links;
    i->file = file;
    i->old = old;
    wan_former_open(&i->former, is_folder(old) ? old : -1);
    if (i->former.root >= 0) i->old = -1;
    i->like = -1;
    i->size_max = size_max;
    i->base = prog_alloc(WAN_REGION_SIZE);
    i->state = prog_alloc(WAN_REGION_SIZE);
    i->prefix = prog_alloc((size_t)WAN_PREFIX_MAX * WAN_REGION_SIZE);
}

void wan_image_set_like(wan_image *i, int like)
{
    if (i->like >= 0) os_close(i->like);
    i->like = like;
}

void wan_image_close(wan_image *i)
{
    if (i->base) { /* it was opened */
        wan_image_set_like(i, -1);
        if (i->old >= 0) os_close(i->old);
        i->old = -1;
        wan_former_close(&i->former);
    }
    wan_coder_close(&i->coder);
    free(i->base);
    free(i->state);
    free(i->prefix);
    i->base = i->state = i->prefix = NULL;
}

static uint64_t size_of(int file)
{
    os_info info;
    return file < 0 || os_info_of(file, &info) < 0 ? 0 : info.size;
}

uint64_t wan_image_far_size(const wan_image *i)
{
    if (i->former.root >= 0) return WAN_IMAGE_MAX; /* any region may be there */
    const uint64_t size = size_of(i->file), old_size = size_of(i->old);
    return size > old_size ? size : old_size;
}

/* What is done of the end of a round. */
static uint64_t work_of(const wan_image *i) { return i->hash.bytes + i->unpacked + i->signs; }

static uint64_t done_of(const wan_image *i) { return i->rounds * 2 + i->front + work_of(i); }

uint64_t wan_image_moved(const wan_image *i) { return done_of(i) + i->far.valid; }

/* >>answers -------------------------------------------------------------- */
static int answer(const dx_hbtp_context *c, uint32_t tag, wan_answer what, const void *more,
                  size_t size)
{
    uint8_t bytes[WAN_ANSWER_MAX];
    if (size > sizeof bytes - 5) size = sizeof bytes - 5;
    wan_store(bytes, tag, 4);
    bytes[4] = (uint8_t)what;
    if (size) memcpy(bytes + 5, more, size);
    return dx_hbtp_write_frame(c->out, WAN_OP_ANSWER, 0, 0, bytes, 5 + size);
}

static int answer_failure(wan_image *i, const dx_hbtp_context *c, uint32_t tag)
{
    const char *why = i->why ? i->why : os_error_text(i->system_error);
    return answer(c, tag, WAN_FAILED, why, strlen(why));
}

/* If the connection has no room now, wan_image_step() tries again. */
static void tell(wan_image *i, wan_answer what, const char *text)
{
    uint8_t bytes[WAN_ANSWER_MAX];
    dx_hbtp_session *session = i->from ? dx_link_session(i->links, i->from) : NULL;
    size_t size = text ? strlen(text) : 0;
    if (size > sizeof bytes - 5) size = sizeof bytes - 5;
    wan_store(bytes, i->round.number, 4);
    bytes[4] = (uint8_t)what;
    if (size) memcpy(bytes + 5, text, size);
    if (what == WAN_HASHING) {
        wan_store(bytes + 5, work_of(i), 8);
        size = 8;
    }
    if (session && !dx_hbtp_notify(session, WAN_OP_ROUND_ANSWER, 0, bytes, 5 + size))
        i->answered = i->answered || what != WAN_HASHING;
}

void wan_image_answer(wan_image *i, wan_answer what, const char *text)
{
    i->result = what;
    i->text = text;
    i->answered = false;
    i->decided = i->finished;
    tell(i, what, text);
}

void wan_image_tell(wan_image *i, uint64_t now_ns, bool waits)
{
    if (now_ns - i->told_ns < WAN_TELL_NS) return;
    i->told_ns = now_ns;
    i->signs += waits;
    tell(i, WAN_HASHING, NULL);
}

/* A message that breaks a rule: its connection ends. */
static int expel(wan_image *i, const dx_hbtp_context *c)
{
    dx_link *l = dx_link_of(c->session);
    i->faults++;
    (void)dx_link_close(l, dx_link_id_of(c->session), DX_HBTP_STATUS_BAD_REQUEST,
                        "a message breaks the rules of the mirror");
    return DX_HBTP_OK;
}

/* >>regions -------------------------------------------------------------- */
/* Read up to size bytes of a region. Fewer: the file ends there. -1: errno. */
static int64_t read_region(const wan_image *i, uint64_t number, uint8_t *out, size_t size)
{
    return prog_read_at(i->file, number * WAN_REGION_SIZE, out, size);
}

/* May the file have this size? */
static bool has_room(wan_image *i, uint64_t size)
{
    struct statvfs disk;
    const uint64_t now = size_of(i->file);
    if (size > i->size_max) {
        i->why = "the file is above --size-max";
        return false;
    }
    if (size > now && fstatvfs(i->file, &disk) == 0 && (size - now) / disk.f_frsize > disk.f_bavail) {
        i->why = "the receiver's disk has not enough room";
        i->system_error = ENOSPC;
        return false;
    }
    return true;
}

/* Does this region have the header of a directory's image, or some of the table as the header said last? */
static bool is_of_table(const wan_image *i, uint64_t number)
{
    const wan_listing *t = &i->table;
    return !number || (t->size && number >= t->at / WAN_REGION_SIZE && number <= (t->at + t->size - 1) / WAN_REGION_SIZE);
}

/* Write i->state into the file, where holes stay holes. False: it is answered with a failure. */
static bool put(wan_image *i, const wan_region *r, size_t size)
{
    const uint64_t at = r->number * WAN_REGION_SIZE;
    if (!has_room(i, at + size)) return false;
    if (wan_thin_write(i->file, at, i->state, size) < 0) {
        i->system_error = errno;
        return false;
    }
    if (i->former.root >= 0 && is_of_table(i, r->number)) i->adoption = WAN_DUE;
    i->verified = false;
    return true;
}

/* Write a decoded region. */
static int store(wan_image *i, const dx_hbtp_context *c, const wan_region *r, size_t size)
{
    if (!put(i, r, size)) return answer_failure(i, c, r->tag);
    i->faults = 0;
    i->regions++;
    return answer(c, r->tag, WAN_STORED, NULL, 0);
}

/* Read the prefix of a region. It may have less here: then the record is refused. False: errno. */
static bool read_prefix(wan_image *i, const wan_region *r)
{
    int64_t size = 0;
    if (r->count) {
        assert(r->number + 1 >= (uint64_t)r->back + r->count);
        size = read_region(i, r->number + 1 - r->back - r->count, i->prefix, (size_t)r->count * WAN_REGION_SIZE);
    }
    if (size >= 0) wan_coder_set_prefix(&i->coder, i->prefix, (size_t)size);
    return size >= 0;
}

/* Lay copies over the baseline. What does not exist is zeros: then the record is refused, as its baseline
   is another one. 1: done; 0: a copy breaks a rule; -1: errno. */
static int lay_copies(wan_image *i, const wan_region *r, const uint8_t *copies, size_t base_size)
{
    assert(base_size <= r->size && r->size <= WAN_REGION_SIZE);
    const size_t keep = r->fresh ? 0 : base_size;
    memset(i->base + keep, 0, r->size - keep);
    for (uint32_t n = 0; n < r->copies; n++) {
        wan_copy copy;
        if (!wan_copy_read(&copy, r, copies + (size_t)n * WAN_COPY_SIZE)) return 0;
        const int file = copy.like ? i->like : i->file;
        uint8_t *to = i->base + (size_t)copy.at * WAN_PAGE_SIZE;
        const size_t size = (size_t)copy.pages * WAN_PAGE_SIZE;
        const int64_t got = file < 0 ? 0 : prog_read_at(file, (uint64_t)copy.page * WAN_PAGE_SIZE, to, size);
        if (got < 0) return -1;
        memset(to + got, 0, size - (size_t)got);
    }
    return 1;
}

static int handle_region(wan_image *i, const dx_hbtp_context *c, const wan_region *r)
{
    const uint8_t *copies = c->payload + WAN_REGION_HEAD;
    const size_t head_size = WAN_REGION_HEAD + (size_t)r->copies * WAN_COPY_SIZE;
    uint8_t nack[DX_HDE_HEAD_MAX];
    size_t state_size = 0, nack_size = 0;
    if (c->payload_size < head_size) return expel(i, c);
    const uint8_t *record = c->payload + head_size;
    const size_t size = c->payload_size - head_size;
    int64_t base = read_region(i, r->number, i->base, r->size);
    if (base >= 0 && r->copies) {
        const int laid = lay_copies(i, r, copies, (size_t)base);
        if (!laid) return expel(i, c);
        base = laid < 0 ? -1 : (int64_t)r->size;
    }
    if (base < 0 || !read_prefix(i, r)) {
        i->system_error = errno;
        return answer_failure(i, c, r->tag);
    }
    const int error = wan_coder_decode(&i->coder, i->base, (size_t)base, record, size, i->state, &state_size);
    i->record_bytes += size;
    if (error == DX_HDE_ENOTFOUND && !dx_hde_write_nack(record, size, nack, &nack_size)) {
        i->nacks++;
        return answer(c, r->tag, WAN_NACK, nack, nack_size);
    }
    if (error == DX_HDE_ENOTSUP) return answer(c, r->tag, WAN_NO_ZSTD, NULL, 0);
    return error ? expel(i, c) : store(i, c, r, state_size);
}

/* Is this the region, by its hash? */
static bool is_region(const uint8_t *bytes, const wan_region *r, const uint8_t *hash)
{
    uint8_t found[PROG_HASH_SIZE];
    dx_cas_blake3 state;
    dx_cas_blake3_init(&state);
    dx_cas_blake3_update(&state, bytes, r->size);
    dx_cas_blake3_final(&state, found, sizeof found);
    return !memcmp(found, hash, sizeof found);
}

/* Read the header of a directory's image. It may not have arrived, or be one of another image. */
static bool read_table(wan_image *i)
{
    uint8_t bytes[WAN_LISTING_HEAD];
    const int64_t size = read_region(i, 0, bytes, sizeof bytes);
    if (size > 0 && !wan_listing_read(&i->table, bytes, (size_t)size, size_of(i->file))) return true;
    memset(&i->table, 0, sizeof i->table);
    return false;
}

/* Are the places known for this region of what the directory that will be replaced has? They are those of the table,
   all of which arrives before other regions. */
static bool has_places(wan_image *i, uint64_t number)
{
    if (i->former.root < 0) return false;
    if (i->adoption == WAN_DUE) {
        if (!read_table(i) || is_of_table(i, number) || i->adoptions >= ADOPTIONS_MAX) return false;
        i->adoptions++;
        i->adoption = wan_former_adopt(&i->former, i->file, &i->table) ? WAN_DONE : WAN_IN_VAIN;
    }
    return i->adoption == WAN_DONE;
}

/* Read a region of the copy that will be replaced into i->state, with zeros behind its end. False: nothing is
   there. */
static bool read_old(wan_image *i, const wan_region *r)
{
    const uint64_t at = r->number * WAN_REGION_SIZE;
    if (has_places(i, r->number)) {
        wan_former_read(&i->former, at, i->state, r->size);
        return !prog_is_zero(i->state, r->size);
    }
    const int64_t size = i->old < 0 ? -1 : prog_read_at(i->old, at, i->state, r->size);
    if (size <= 0) return false;
    memset(i->state + size, 0, r->size - (size_t)size);
    return !prog_is_zero(i->state, r->size);
}

/* Answer that the region differs, with the sums of its pages. The old copy's region is first put into the file, unless
   the file has one already; of a directory always, because the file's may have been written for other places. */
static int answer_different(wan_image *i, const dx_hbtp_context *c, const wan_region *r, bool has_old)
{
    uint8_t sums[WAN_SUMS_SIZE];
    const uint8_t *now = i->base;
    if (has_old && (i->former.root >= 0 || prog_is_zero(i->base, r->size))) {
        if (!put(i, r, r->size)) return answer_failure(i, c, r->tag);
        now = i->state;
    }
    if (prog_is_zero(now, r->size)) return answer(c, r->tag, WAN_DIFFERENT, NULL, 0);
    return answer(c, r->tag, WAN_DIFFERENT, sums, wan_sums_write(now, r->size, sums));
}

static int handle_check(wan_image *i, const dx_hbtp_context *c, const wan_region *r)
{
    const uint8_t *hash = c->payload + WAN_REGION_HEAD;
    if (c->payload_size != WAN_CHECK_SIZE || r->count) return expel(i, c);
    const int64_t size = read_region(i, r->number, i->base, r->size);
    if (size < 0) {
        i->system_error = errno;
        return answer_failure(i, c, r->tag);
    }
    memset(i->base + size, 0, r->size - (size_t)size);
    if (size == (int64_t)r->size && is_region(i->base, r, hash)) return answer(c, r->tag, WAN_STORED, NULL, 0);
    const bool has_old = read_old(i, r);
    if (has_old && is_region(i->state, r, hash)) return store(i, c, r, r->size);
    return answer_different(i, c, r, has_old);
}

/* >>rounds --------------------------------------------------------------- */
static int handle_round(wan_image *i, const dx_hbtp_context *c)
{
    wan_round r;
    if (!wan_round_read(&r, c->payload, c->payload_size)) return expel(i, c);
    const bool same = r.size == i->round.size && !memcmp(r.hash, i->round.hash, sizeof r.hash);
    if (r.era < i->era || (i->finished && !same)) return expel(i, c);
    const bool known = same && (i->verified || i->checking);
    i->era = r.era;
    i->from = dx_link_id_of(c->session);
    i->round = r;
    i->answered = true; /* nothing is due */
    if (i->finished) {
        if (i->decided) wan_image_answer(i, i->result, i->text); /* the first answer was lost */
        return DX_HBTP_OK;
    }
    if (!known) {
        if (++i->rounds_bad > ROUNDS_BAD_MAX) i->why = "no round has the hash that was announced";
        wan_hash_begin(&i->hash);
        if (i->why || !has_room(i, r.size) || ftruncate(i->file, (off_t)r.size) < 0) {
            if (!i->why) i->system_error = errno;
            wan_image_answer(i, WAN_FAILED, i->why ? i->why : os_error_text(i->system_error));
            return DX_HBTP_OK;
        }
    }
    i->checking = true;
    return DX_HBTP_OK;
}

void wan_image_step(wan_image *i, uint64_t now_ns)
{
    uint8_t hash[PROG_HASH_SIZE];
    if (!i->checking && !i->answered && i->from) tell(i, i->result, i->text);
    if (!i->checking || i->system_error) return;
    if (wan_hash_step(&i->hash, i->file, i->round.size) < 0) {
        i->system_error = errno;
        wan_image_answer(i, WAN_FAILED, os_error_text(errno));
        return;
    }
    if (i->hash.bytes < i->round.size) {
        wan_image_tell(i, now_ns, false);
        return;
    }
    wan_hash_end(&i->hash, hash);
    i->checking = false;
    i->front = 0;
    i->verified = !memcmp(hash, i->round.hash, sizeof hash);
    i->rounds += i->verified;
    if (i->verified) i->rounds_bad = i->adoptions = 0;
    if (i->verified) i->far.count = 0;
    i->finished = i->verified && i->round.final;
    if (!i->finished) wan_image_answer(i, i->verified ? WAN_STORED : WAN_DIFFERENT, NULL);
}

int wan_image_compare(wan_image *i, uint64_t now_ns)
{
    uint8_t hash[PROG_HASH_SIZE];
    assert(i->finished && i->verified && !i->checking);
    if (!i->comparing) wan_hash_begin(&i->again);
    i->comparing = true;
    if (wan_hash_step(&i->again, i->file, i->round.size) < 0) return -1;
    if (i->again.bytes < i->round.size) {
        wan_image_tell(i, now_ns, true);
        return 1;
    }
    wan_hash_end(&i->again, hash);
    errno = 0;
    if (memcmp(hash, i->round.hash, sizeof hash) != 0) return -1;
    return size_of(i->file) > i->round.size ? ftruncate(i->file, (off_t)i->round.size) : 0; /* something was appended */
}

/* The sender compares or hashes, and sends nothing else meanwhile. */
static int handle_sign(wan_image *i, const dx_hbtp_context *c)
{
    const bool idle = i->far_moved == done_of(i);
    i->far_moved = done_of(i);
    return wan_signs_add(&i->far, c->payload, c->payload_size, idle) ? DX_HBTP_OK : expel(i, c);
}

int wan_image_handle(wan_image *i, const dx_hbtp_context *c)
{
    wan_region r;
    if (i->why || i->system_error) return DX_HBTP_OK; /* it is about to end */
    if (c->frame->opcode == WAN_OP_HASHED) return handle_sign(i, c);
    if (c->frame->opcode == WAN_OP_ROUND) return handle_round(i, c);
    if (c->frame->opcode != WAN_OP_REGION && c->frame->opcode != WAN_OP_CHECK) return expel(i, c);
    if (!wan_region_read(&r, c->payload, c->payload_size)) return expel(i, c);
    if (r.era < i->era) return answer(c, r.tag, WAN_AGAIN, NULL, 0);
    if (i->checking || i->finished) return expel(i, c);
    if (dx_hbtp_out_room(c->out) < WAN_ANSWER_MAX + 32) return DX_HBTP_EAGAIN;
    i->era = r.era;
    if (r.number >= i->front) i->front = r.number + 1;
    return c->frame->opcode == WAN_OP_REGION ? handle_region(i, c, &r) : handle_check(i, c, &r);
}
