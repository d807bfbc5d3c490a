/*  dx_repair.h - puts right in place what is damaged in a dx_cas.h store, from a backup

    Include it behind dx_cas.h; where DX_CAS_IMPLEMENTATION or DX_IMPLEMENTATION is defined the
    function is here, too (it uses helpers of that implementation, so both belong in the same
    file). MIT-0 or public domain, as dx_cas.h.

        dx_cas_file_open(&file, path, DX_CAS_WRITE);         // the lock: nobody else writes
        desc.device = dx_cas_file_device(&file);
        error = dx_cas_repair(&store, &desc, &backup, lost, NULL, &report);
        dx_cas_close(&store);

    Sources, in this order:
    - The store itself: one copy of its header, one copy of a commit, padding.
    - A backup that is a copy of the same store, older or newer: record headers, names, commits
      and the header of the store. Each record is taken by itself, and only where the chain of
      commits proves that it stood there.
    - Any other store that has the same objects: payloads of objects and list nodes, as long as
      both stores compress them alike, or the damaged one not at all.

    GUARANTEES
    - What was readable stays readable, also when the power fails on the way. Nothing is written
      but bytes that a hash proved, over bytes that failed their check or that the chain disproves
      (a sector of old content may bring an old record back, in the place of the right one).
    - DX_CAS_OK means that a full check of the store was clean after the last write, and that all
      of it is durable, also what a repair before wrote whose sync failed. For that the whole store
      is written again as it is: where nothing is damaged, dx_cas_verify() is the call to make.
    - With an undamaged backup that is at least as new as the store everything is back, also
      commits and the header of the store that were lost without a trace.
    - A backup that went another way than the store since they parted (both were written to) is
      a source of objects, and of what both have in common. It takes no record's place.
*/
#ifndef DX_CAS_REPAIR_H
#define DX_CAS_REPAIR_H

#include "../dx_cas.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dx_cas_repair_report {
    uint64_t repaired; /* places that were written */
    uint64_t bytes;    /* that were written */
    uint64_t lost;     /* places that the last check still finds damaged: calls of `lost` */
} dx_cas_repair_report;

/* store: closed; it is opened as desc says, but for reading and with DX_CAS_ACCEPT_DAMAGE, and is
   open at the end if it can be. desc->device must be one that can be written, and desc->checkpoint
   be given if the store has one: it may know of commits that the log has lost. other: NULL, or an
   open store. lost: NULL, or hears of all that remains damaged, as the callback of dx_cas_verify().
   DX_CAS_OK          nothing is damaged any more
   DX_CAS_ECORRUPT    something is, see report->lost; what could be repaired, was
   DX_CAS_ECANCELED   lost asked to stop
   DX_CAS_ENOMEM      more records came to light than desc->memory has room for: try with more
   Others are those of dx_cas_open() and of the device; repair may be tried again after any. */
DX_CAS_API int dx_cas_repair(dx_cas_store *store, const dx_cas_desc *desc, dx_cas_store *other,
                             dx_cas_damage_fn *lost, void *user, dx_cas_repair_report *report);

#ifdef __cplusplus
}
#endif
#endif /* DX_CAS_REPAIR_H */

#if (defined(DX_CAS_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_CAS_REPAIR_IMPLEMENTED)
#define DX_CAS_REPAIR_IMPLEMENTED

/* Three steps. First the layout: which record stands where. From a commit that is proved the chain
   is followed to the next one, with each header from either store; where the chain fits, all of
   these headers are right, and those that the damaged store lacks are written. Then the contents:
   a full check, whose findings are mended one by one. Last, a full check that only listens. */
typedef struct dx_cas_p_fix {
    dx_cas_store *s, *other;
    const dx_cas_desc *desc;
    void    *memory;      /* of the index; desc->grow may have moved it */
    size_t   memory_size;
    dx_cas_damage_fn *lost;
    void    *user;
    dx_cas_repair_report report;
    uint64_t known; /* number of the last commit that follows here and is in the backup */
    uint64_t unproved_end; /* of a payload that stays damaged: its header may be an old one */
    bool     again; /* the checkpoint was cut: what it said is no longer so */
    int      error; /* of the device: nothing more is tried */
} dx_cas_p_fix;

static int dx_cas_p_fix_write(dx_cas_p_fix *k, uint64_t place, const void *data, uint64_t size)
{
    k->error = dx_cas_p_write(k->s, place, data, size);
    if (k->error == DX_CAS_OK) k->report.bytes += size;
    return k->error;
}

static int dx_cas_p_fix_sync(dx_cas_p_fix *k)
{
    k->error = k->s->desc_.device.sync(k->s->desc_.device.user);
    return k->error;
}

/* Bytes of the other store's device, which were checked, go to a place of this one's. */
static int dx_cas_p_fix_copy(dx_cas_p_fix *k, uint64_t from, uint64_t to, uint64_t size)
{
    uint8_t bytes[1024];
    while (size > 0) {
        size_t n = size < sizeof bytes ? (size_t)size : sizeof bytes;
        DX_CAS_P_TRY(dx_cas_p_read(k->other, from, bytes, n));
        DX_CAS_P_TRY(dx_cas_p_fix_write(k, to, bytes, n));
        from += n;
        to += n;
        size -= n;
    }
    return DX_CAS_OK;
}

/* A record of the other store with its payload, or an error: is that what the header says? */
static int dx_cas_p_fix_whole(dx_cas_store *s, const dx_cas_p_record *r)
{
    dx_cas_p_ref ref;
    return r->type == DX_CAS_P_REF ? dx_cas_p_read_ref(s, r, &ref)
                                   : dx_cas_p_stream(s, r, NULL, 0);
}

/* Open the store, or open it again after its records changed. */
static int dx_cas_p_fix_open(dx_cas_p_fix *k, bool checkpoint)
{
    dx_cas_desc desc = *k->desc;
    int error;
    dx_cas_close(k->s);
    desc.mode = DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE;
    desc.memory = k->memory;
    desc.memory_size = k->memory_size;
    if (!checkpoint) desc.checkpoint.read = NULL;
    error = dx_cas_open(k->s, &desc);
    if (error != DX_CAS_OK) return error;
    k->memory = k->s->desc_.memory;
    k->memory_size = (size_t)((uint8_t *)(k->s->slots_ + k->s->slot_count_) - (uint8_t *)k->memory);
    return DX_CAS_OK;
}

/* A repair before this one may have failed because a sync did: what it wrote is read back, and so
   found to be right, but may not be durable, and no later sync writes it. Nothing tells where that
   is. So everything is written again, as it is, before something is written because of it. */
static int dx_cas_p_fix_make_sure(dx_cas_p_fix *k)
{
    dx_cas_store *s = k->s;
    s->unsure_from_ = 0;
    DX_CAS_P_TRY(s->desc_.device.size(s->desc_.device.user, &s->unsure_to_));
    k->error = dx_cas_p_rewrite(s);
    s->unsure_from_ = s->unsure_to_;
    return k->error != DX_CAS_OK ? k->error : dx_cas_p_fix_sync(k);
}

/* >>layout -------------------------------------------------------------- */
typedef struct dx_cas_p_heal {
    dx_cas_p_fix *k;
    dx_cas_p_scan mine, theirs; /* read the two logs; both have their own work memory */
    dx_cas_p_record m, t;       /* what stands at a place in each */
    bool has_m, has_t;
    bool commits;               /* write commits, else the records between them */
    uint64_t unresolved;        /* stretches without proof and payloads that stay damaged */
} dx_cas_p_heal;

/* What stands at a place that follows from that tip. Errors of the damaged store's device count;
   what cannot be read of the other one is not there. */
static int dx_cas_p_heal_look(dx_cas_p_heal *h, const dx_cas_tip_ *tip, uint64_t place)
{
    bool fits;
    int error = dx_cas_p_record_at(&h->mine, place, &h->m);
    h->mine.tip = h->theirs.tip = *tip;
    h->mine.chain_known = h->theirs.chain_known = true;
    if (error == DX_CAS_OK && h->m.type == DX_CAS_P_COMMIT) {
        error = dx_cas_p_scan_fits(&h->mine, &h->m, &fits);
        if (error == DX_CAS_OK && !fits) error = DX_CAS_ECORRUPT;
    }
    h->has_m = error == DX_CAS_OK;
    if (error != DX_CAS_OK && error != DX_CAS_ECORRUPT) return error;
    error = dx_cas_p_record_at(&h->theirs, place, &h->t);
    if (error == DX_CAS_OK && h->t.type == DX_CAS_P_COMMIT) {
        error = dx_cas_p_scan_fits(&h->theirs, &h->t, &fits);
        if (error == DX_CAS_OK && !fits) error = DX_CAS_ECORRUPT;
    }
    h->has_t = error == DX_CAS_OK;
    return DX_CAS_OK;
}

/* Of the two the one to go on with: a commit, since it fits, else what the caller prefers. */
static const dx_cas_p_record *dx_cas_p_heal_choose(const dx_cas_p_heal *h, bool prefer_theirs)
{
    if (h->has_m && h->m.type == DX_CAS_P_COMMIT) return &h->m;
    if (h->has_t && h->t.type == DX_CAS_P_COMMIT) return &h->t;
    if (h->has_t && (prefer_theirs || !h->has_m)) return &h->t;
    return h->has_m ? &h->m : NULL;
}

/* Is the payload of that record right? Of a delta whose base is not in the index yet that cannot
   be said. */
static bool dx_cas_p_heal_whole(dx_cas_p_heal *h, const dx_cas_p_record *r)
{
    int error = dx_cas_p_fix_whole(h->k->s, r);
    h->mine.window_size = 0;
    return error == DX_CAS_OK;
}

/* The payload of the other store's record, if it is right. *whole: what stands here now is. */
static int dx_cas_p_heal_payload(dx_cas_p_heal *h, bool *whole)
{
    dx_cas_p_fix *k = h->k;
    uint64_t place = h->t.place + DX_CAS_P_HEAD;
    int error = dx_cas_p_fix_whole(k->other, &h->t);
    h->theirs.window_size = 0;
    if (error == DX_CAS_OK) error = dx_cas_p_fix_copy(k, place, place, h->t.stored);
    if (k->error != DX_CAS_OK) return k->error;
    *whole = error == DX_CAS_OK || dx_cas_p_heal_whole(h, &h->t);
    return DX_CAS_OK;
}

/* Write the record of the other store that h->t is, its payload first: a header says that a payload
   is there. One that is damaged there, too, is left as it is. */
static int dx_cas_p_heal_record(dx_cas_p_heal *h)
{
    bool whole;
    DX_CAS_P_TRY(dx_cas_p_heal_payload(h, &whole));
    h->unresolved += !whole;
    h->k->report.repaired++;
    h->mine.window_size = 0;
    return dx_cas_p_fix_write(h->k, h->t.place, h->t.head, DX_CAS_P_HEAD);
}

/* A record whose header is right. The check that follows mends payloads, but does not come to those
   of commits at the end that were made with one sync, and do not count because of them. */
static int dx_cas_p_heal_same(dx_cas_p_heal *h, const dx_cas_p_record *r)
{
    bool whole = h->k->s->features_ == 0 || dx_cas_p_heal_whole(h, r);
    if (whole) return DX_CAS_OK;
    if (h->has_t && DX_CAS_MEMCMP(r->head, h->t.head, DX_CAS_P_HEAD) == 0) {
        DX_CAS_P_TRY(dx_cas_p_heal_payload(h, &whole));
        h->k->report.repaired += whole;
    }
    h->unresolved += !whole;
    return DX_CAS_OK;
}

/* Write both copies of a commit that the store lost, behind what it commits. */
static int dx_cas_p_heal_commit(dx_cas_p_heal *h, const dx_cas_p_record *r)
{
    dx_cas_p_fix *k = h->k;
    size_t size = dx_cas_p_encode_commit(k->s, r->place, r->logical, r->flags >> 8, &r->id,
                                         k->s->work_);
    h->mine.window_size = 0;
    DX_CAS_P_TRY(dx_cas_p_fix_sync(k));
    DX_CAS_P_TRY(dx_cas_p_fix_write(k, r->place, k->s->work_, size));
    k->report.repaired++;
    return dx_cas_p_fix_sync(k);
}

/* From the tip to the next commit that fits, which becomes the tip. DX_CAS_ENOTFOUND: with this
   preference there is none. *shared: the damaged store has that commit, too. write: what it lacks
   on the way. */
static int dx_cas_p_heal_segment(dx_cas_p_heal *h, dx_cas_tip_ *tip, bool prefer_theirs, bool write,
                                 bool *shared)
{
    dx_cas_tip_ at = *tip;
    for (;;) {
        const dx_cas_p_record *r;
        bool same;
        DX_CAS_P_TRY(dx_cas_p_heal_look(h, &at, at.end));
        r = dx_cas_p_heal_choose(h, prefer_theirs);
        if (!r) return DX_CAS_ENOTFOUND;
        same = r == &h->m ||
               (h->has_m && DX_CAS_MEMCMP(h->m.head, h->t.head, DX_CAS_P_HEAD) == 0);
        at.end = r->next;
        if (r->type == DX_CAS_P_COMMIT) {
            *shared = same;
            dx_cas_p_tip_set(tip, &r->id, r->logical, r->next);
            if (write && h->has_t) h->k->known = r->logical;
            return write && !same && h->commits ? dx_cas_p_heal_commit(h, r) : DX_CAS_OK;
        }
        DX_CAS_P_HASH(update)(&at.chain, r->head, sizeof r->head);
        if (!write || h->commits) continue;
        DX_CAS_P_TRY(same ? dx_cas_p_heal_same(h, r) : dx_cas_p_heal_record(h));
    }
}

/* The same with whichever preference leads to a commit: records of old that came back pass for
   records, so neither store is right everywhere. */
static int dx_cas_p_heal_next(dx_cas_p_heal *h, dx_cas_tip_ *tip, bool *prefer_theirs, bool *shared)
{
    int error;
    *prefer_theirs = false;
    error = dx_cas_p_heal_segment(h, tip, false, false, shared);
    if (error != DX_CAS_ENOTFOUND) return error;
    *prefer_theirs = true;
    return dx_cas_p_heal_segment(h, tip, true, false, shared);
}

/* Write what the store lacks from the tip up to a commit that is proved. */
static int dx_cas_p_heal_write(dx_cas_p_heal *h, dx_cas_tip_ *tip, uint64_t end)
{
    bool prefer_theirs, shared;
    while (tip->end < end) {
        dx_cas_tip_ next = *tip;
        DX_CAS_P_TRY(dx_cas_p_heal_next(h, &next, &prefer_theirs, &shared));
        DX_CAS_P_TRY(dx_cas_p_heal_segment(h, tip, prefer_theirs, true, &shared));
    }
    return DX_CAS_OK;
}

/* Objects of the other store, header and all, into a gap of this one where the chain is not known:
   they prove themselves. Names do not. */
static int dx_cas_p_heal_gap(dx_cas_p_heal *h, uint64_t from, uint64_t to)
{
    h->theirs.place = from;
    while (dx_cas_p_step(&h->theirs, &h->t) == DX_CAS_OK && h->t.next <= to) {
        if (h->t.type != DX_CAS_P_BLOB && h->t.type != DX_CAS_P_LIST) continue;
        h->theirs.window_size = 0;
        if (dx_cas_p_stream(h->k->other, &h->t, NULL, 0) != DX_CAS_OK) continue;
        DX_CAS_P_TRY(dx_cas_p_heal_record(h));
    }
    return DX_CAS_OK;
}

/* Nothing leads on from the tip. The next commit of the damaged store is the next tip, as open has
   it. DX_CAS_ENOTFOUND: there is none. */
static int dx_cas_p_heal_skip(dx_cas_p_heal *h, dx_cas_tip_ *tip)
{
    dx_cas_p_record r;
    h->mine.place = tip->end;
    for (;;) {
        int error = dx_cas_p_step(&h->mine, &r);
        bool covered = error == DX_CAS_ENOTFOUND;
        uint64_t gap = covered ? tip->end : r.place;
        if (covered) error = dx_cas_p_step_covered(&h->mine, tip, r.place, &r);
        if (error != DX_CAS_OK) return error;
        if ((covered || r.type == 0) && !h->commits) {
            DX_CAS_P_TRY(dx_cas_p_heal_gap(h, gap, covered ? r.place : r.next));
        }
        if (r.type == DX_CAS_P_COMMIT && r.logical > tip->sequence) break;
    }
    dx_cas_p_tip_set(tip, &r.id, r.logical, r.next);
    h->unresolved++;
    return DX_CAS_OK;
}

/* Is what this record holds nothing that the other store lacks? */
static bool dx_cas_p_heal_known(dx_cas_p_heal *h, const dx_cas_p_record *r)
{
    dx_cas_p_record there;
    h->mine.window_size = h->theirs.window_size = 0;
    if (dx_cas_p_fix_whole(h->k->s, r) != DX_CAS_OK) return true;
    if (r->type != DX_CAS_P_REF) {
        return dx_cas_p_find(h->k->other, &r->id, &there, NULL) == DX_CAS_OK;
    }
    return dx_cas_p_record_at(&h->theirs, r->place, &there) == DX_CAS_OK &&
           DX_CAS_MEMCMP(there.head, r->head, DX_CAS_P_HEAD) == 0;
}

/* The other store goes on from the tip, and no commit of this one behind it is one of those. May
   they take the place of what this one has there? Not if that is another branch of the history:
   then commits follow from each other, or there are objects or names that the other lacks. */
static int dx_cas_p_heal_free(dx_cas_p_heal *h, const dx_cas_tip_ *tip, bool *free_of_use)
{
    dx_cas_p_scan c;
    dx_cas_p_record r;
    int error;
    *free_of_use = false;
    dx_cas_p_scan_start(&c, h->k->s, h->k->s->end_, false);
    c.place = tip->end;
    c.chain_known = false;
    while ((error = dx_cas_p_step(&c, &r)) == DX_CAS_OK) {
        if (r.type == 0) {
            c.chain_known = false;
        } else if (r.type == DX_CAS_P_COMMIT) {
            if (c.chain_known && dx_cas_p_chain_fits(&c.tip, &r)) return DX_CAS_OK;
            dx_cas_p_tip_set(&c.tip, &r.id, r.logical, r.next);
            c.chain_known = true;
        } else {
            DX_CAS_P_HASH(update)(&c.tip.chain, r.head, sizeof r.head);
            if (!dx_cas_p_heal_known(h, &r)) return DX_CAS_OK;
            c.window_size = 0;
        }
    }
    *free_of_use = error == DX_CAS_ENOTFOUND;
    return *free_of_use ? DX_CAS_OK : error;
}

/* Find how far the history is proved from the tip on, and write what the store lacks of it: up to
   a commit that both stores have, which proves all before it; or up to the end of the other store,
   where this one has nothing of use. DX_CAS_ENOTFOUND: nothing leads on from the tip. */
static int dx_cas_p_heal_ahead(dx_cas_p_heal *h, dx_cas_tip_ *tip)
{
    dx_cas_tip_ ahead = *tip;
    bool prefer_theirs, shared = false;
    int error = DX_CAS_OK;
    while (error == DX_CAS_OK && !shared) {
        error = dx_cas_p_heal_next(h, &ahead, &prefer_theirs, &shared);
    }
    if (error != DX_CAS_OK && error != DX_CAS_ENOTFOUND) return error;
    if (ahead.end == tip->end) return DX_CAS_ENOTFOUND;
    if (!shared) {
        bool free_of_use;
        DX_CAS_P_TRY(dx_cas_p_heal_free(h, tip, &free_of_use));
        h->mine.window_size = 0;
        if (!free_of_use) return DX_CAS_ENOTFOUND;
    }
    return dx_cas_p_heal_write(h, tip, ahead.end);
}

static int dx_cas_p_heal_run(dx_cas_p_heal *h, bool commits)
{
    uint8_t header[2 * DX_CAS_P_HEAD];
    dx_cas_tip_ tip;
    int error = DX_CAS_OK;
    h->commits = commits;
    h->mine.window_size = h->theirs.window_size = 0;
    dx_cas_p_encode_store(h->k->s, header);
    dx_cas_p_tip_first(h->k->s, header, &tip);
    while (error == DX_CAS_OK) {
        error = dx_cas_p_heal_ahead(h, &tip);
        if (error == DX_CAS_ENOTFOUND) error = dx_cas_p_heal_skip(h, &tip);
    }
    return error == DX_CAS_ENOTFOUND ? DX_CAS_OK : error;
}

/* Is the other store a copy of this one? All that the chain begins with must be the same. */
static bool dx_cas_p_fix_is_copy(const dx_cas_p_fix *k)
{
    uint8_t mine[2 * DX_CAS_P_HEAD], theirs[2 * DX_CAS_P_HEAD];
    if (!k->other) return false;
    dx_cas_p_encode_store(k->s, mine);
    dx_cas_p_encode_store(k->other, theirs);
    return DX_CAS_MEMCMP(mine, theirs, sizeof mine) == 0;
}

/* Records first, then the commits. Where commits were made with one sync, those at the end count as
   long as all payloads are whole: a damaged one looks as if the power had failed. A commit that is
   missing before them tells that it did not, so it stays missing while anything is unresolved. */
static int dx_cas_p_fix_layout(dx_cas_p_fix *k)
{
    dx_cas_p_heal h;
    uint64_t size = 0;
    if (!dx_cas_p_fix_is_copy(k)) return DX_CAS_OK;
    DX_CAS_P_TRY(k->s->desc_.device.size(k->s->desc_.device.user, &size));
    DX_CAS_MEMSET(&h, 0, sizeof h);
    h.k = k;
    dx_cas_p_scan_start(&h.mine, k->s, size, false);
    dx_cas_p_scan_start(&h.theirs, k->other, k->other->end_, false);
    DX_CAS_P_TRY(dx_cas_p_heal_run(&h, false));
    if (h.unresolved && k->s->features_) return DX_CAS_OK;
    return dx_cas_p_heal_run(&h, true);
}

/* Both copies of the header are lost. It is that of the other store if a record stands here with
   the tag of that one. */
static int dx_cas_p_fix_header(dx_cas_p_fix *k)
{
    dx_cas_store *s = k->s;
    uint8_t header[2 * DX_CAS_P_HEAD];
    uint64_t size = 0;
    dx_cas_p_scan c;
    dx_cas_p_record r;
    int error;
    if (!k->other) return DX_CAS_ECORRUPT;
    DX_CAS_P_TRY(s->desc_.device.size(s->desc_.device.user, &size));
    dx_cas_p_encode_store(k->other, header);
    DX_CAS_P_TRY(dx_cas_p_decode_store(s, header, 0));
    dx_cas_p_scan_start(&c, s, size, false);
    error = dx_cas_p_step(&c, &r);
    if (error != DX_CAS_OK) return error == DX_CAS_ENOTFOUND ? DX_CAS_ECORRUPT : error;
    k->report.repaired++;
    DX_CAS_P_TRY(dx_cas_p_fix_write(k, 0, header, sizeof header));
    return dx_cas_p_fix_sync(k);
}

/* >>contents ------------------------------------------------------------ */
static bool dx_cas_p_fix_object(dx_cas_p_fix *k, const dx_cas_damage *d)
{
    dx_cas_p_record bad, good;
    uint8_t *bytes;
    uint64_t place = d->offset + DX_CAS_P_HEAD;
    if (!k->other || dx_cas_p_read_head(k->s, d->offset, &bad) != DX_CAS_OK) return false;
    if (dx_cas_p_find(k->other, &bad.id, &good, NULL) != DX_CAS_OK) return false;
    if (good.type != bad.type || good.flags != bad.flags) return false;
    if (good.logical != bad.logical) return false;
    if (good.codec == bad.codec && good.stored == bad.stored) {
        return dx_cas_p_stream(k->other, &good, NULL, 0) == DX_CAS_OK &&
               dx_cas_p_fix_copy(k, good.place + DX_CAS_P_HEAD, place, bad.stored) == DX_CAS_OK;
    }
    if (bad.codec != 0) return false;
    bytes = k->other->work_ + (k->other->work_size_ + DX_CAS_P_IO) / 2; /* of a store with codecs */
    return dx_cas_p_get(k->other, &good, bytes) == DX_CAS_OK &&
           dx_cas_p_fix_write(k, place, bytes, bad.stored) == DX_CAS_OK;
}

/* The payload of a name's record stands in a copy at the same place, under the same header. */
static bool dx_cas_p_fix_ref(dx_cas_p_fix *k, const dx_cas_damage *d)
{
    dx_cas_p_record bad, good;
    uint64_t place = d->offset + DX_CAS_P_HEAD;
    if (!dx_cas_p_fix_is_copy(k)) return false;
    if (dx_cas_p_read_head(k->s, d->offset, &bad) != DX_CAS_OK) return false;
    if (dx_cas_p_read_head(k->other, d->offset, &good) != DX_CAS_OK) return false;
    return DX_CAS_MEMCMP(bad.head, good.head, DX_CAS_P_HEAD) == 0 &&
           dx_cas_p_fix_whole(k->other, &good) == DX_CAS_OK &&
           dx_cas_p_fix_copy(k, place, place, bad.stored) == DX_CAS_OK;
}

/* One copy of a commit says what both are. If both say something, but not the same, the check knows
   from the chain which of them is right. */
static bool dx_cas_p_fix_commit(dx_cas_p_fix *k, const dx_cas_damage *d)
{
    static const dx_cas_id unknown = {{0}};
    uint8_t *want = k->s->work_; /* padding is encoded, too: up to 4096 bytes */
    dx_cas_p_record first, second;
    bool one = dx_cas_p_read_head(k->s, d->offset, &first) == DX_CAS_OK;
    bool two = dx_cas_p_read_head(k->s, d->offset + DX_CAS_P_HEAD, &second) == DX_CAS_OK;
    one = one && first.type == DX_CAS_P_COMMIT && !dx_cas_p_second_copy(&first);
    two = two && dx_cas_p_second_copy(&second);
    if (!dx_cas_id_equal(&d->id, &unknown)) {
        one = one && dx_cas_id_equal(&first.id, &d->id);
        two = two && dx_cas_id_equal(&second.id, &d->id);
    }
    if (one == two) return false;
    if (two) first = second;
    (void)dx_cas_p_encode_commit(k->s, d->offset, first.logical, first.flags >> 8, &first.id, want);
    return dx_cas_p_fix_write(k, d->offset, want, 2 * DX_CAS_P_HEAD) == DX_CAS_OK;
}

static bool dx_cas_p_fix_padding(dx_cas_p_fix *k, const dx_cas_damage *d)
{
    static const uint8_t zeros[4096] = {0}; /* an align is no larger */
    return d->offset != k->unproved_end && d->size <= sizeof zeros &&
           dx_cas_p_fix_write(k, d->offset, zeros, d->size) == DX_CAS_OK;
}

static int dx_cas_p_fix_one(void *user, const dx_cas_damage *d)
{
    dx_cas_p_fix *k = (dx_cas_p_fix *)user;
    uint8_t header[2 * DX_CAS_P_HEAD];
    bool done = false;
    switch (d->kind) {
    case DX_CAS_DAMAGE_HEADER:
        dx_cas_p_encode_store(k->s, header);
        done = dx_cas_p_fix_write(k, d->offset, header + d->offset, DX_CAS_P_HEAD) == DX_CAS_OK;
        break;
    case DX_CAS_DAMAGE_PADDING: done = dx_cas_p_fix_padding(k, d); break;
    case DX_CAS_DAMAGE_COMMIT: done = dx_cas_p_fix_commit(k, d); break;
    case DX_CAS_DAMAGE_OBJECT: done = dx_cas_p_fix_object(k, d); break;
    case DX_CAS_DAMAGE_REF: done = dx_cas_p_fix_ref(k, d); break;
    default: break;
    }
    if (!done && (d->kind == DX_CAS_DAMAGE_OBJECT || d->kind == DX_CAS_DAMAGE_REF)) {
        k->unproved_end = d->offset + DX_CAS_P_HEAD + d->size;
    }
    k->report.repaired += done;
    return k->error != DX_CAS_OK;
}

/* A checkpoint ends where it does not fit: the log says what follows. A block that is whole, and
   knows of a commit that is not there, stays: it is all that tells of the loss. */
static int dx_cas_p_fix_last(void *user, const dx_cas_damage *d)
{
    dx_cas_p_fix *k = (dx_cas_p_fix *)user;
    const dx_cas_device *c = &k->s->desc_.checkpoint;
    if (d->kind == DX_CAS_DAMAGE_INDEX && d->size == 0 && c->truncate && !k->again) {
        k->error = c->truncate(c->user, d->offset);
        k->report.repaired++;
        k->again = true;
        return k->error != DX_CAS_OK;
    }
    k->report.lost++;
    return k->lost ? k->lost(k->user, d) : 0;
}

/* The full check that the answer stands for. It does not miss a commit that has no trace in the
   store, but is in the backup. */
static int dx_cas_p_fix_check(dx_cas_p_fix *k)
{
    int error;
    DX_CAS_P_TRY(dx_cas_p_fix_open(k, true));
    error = dx_cas_verify(k->s, dx_cas_p_fix_last, k, NULL);
    if (k->error != DX_CAS_OK) return k->error;
    if (error == DX_CAS_ECORRUPT && k->again && k->report.lost == 0) {
        DX_CAS_P_TRY(dx_cas_p_fix_open(k, true)); /* it was the checkpoint alone */
        error = dx_cas_verify(k->s, dx_cas_p_fix_last, k, NULL);
    }
    if (error == DX_CAS_OK && k->s->tip_.sequence < k->known) {
        dx_cas_damage d = {DX_CAS_DAMAGE_COMMIT, 0, 0, {{0}}};
        d.offset = k->s->end_;
        error = dx_cas_p_fix_last(k, &d) ? DX_CAS_ECANCELED : DX_CAS_ECORRUPT;
    }
    return error;
}

static int dx_cas_p_fix_all(dx_cas_p_fix *k)
{
    int error = dx_cas_p_fix_open(k, false);
    if ((error == DX_CAS_ECORRUPT && dx_cas_damage_offset(k->s) == 0) ||
        error == DX_CAS_ENOTFOUND) {
        dx_cas_damage d = {DX_CAS_DAMAGE_HEADER, 0, 2 * DX_CAS_P_HEAD, {{0}}};
        error = dx_cas_p_fix_header(k);
        if (error == DX_CAS_ECORRUPT) (void)dx_cas_p_fix_last(k, &d);
        DX_CAS_P_TRY(error);
        error = dx_cas_p_fix_open(k, false);
    }
    DX_CAS_P_TRY(error);
    DX_CAS_P_TRY(dx_cas_p_fix_make_sure(k));
    DX_CAS_P_TRY(dx_cas_p_fix_layout(k));
    DX_CAS_P_TRY(dx_cas_p_fix_open(k, false));
    error = dx_cas_verify(k->s, dx_cas_p_fix_one, k, NULL);
    if (k->error != DX_CAS_OK) return k->error;
    if (error != DX_CAS_OK && error != DX_CAS_ECORRUPT) return error;
    if (k->report.repaired > 0) DX_CAS_P_TRY(dx_cas_p_fix_sync(k));
    return dx_cas_p_fix_check(k);
}

DX_CAS_API int dx_cas_repair(dx_cas_store *store, const dx_cas_desc *desc, dx_cas_store *other,
                             dx_cas_damage_fn *lost, void *user, dx_cas_repair_report *report)
{
    dx_cas_p_fix k;
    int error;
    if (!store || !desc || store == other || !desc->device.write || !desc->device.sync) {
        return DX_CAS_EINVAL;
    }
    if (other && !other->open_) return DX_CAS_EINVAL;
    DX_CAS_MEMSET(&k, 0, sizeof k);
    k.s = store;
    k.other = other;
    k.desc = desc;
    k.memory = desc->memory;
    k.memory_size = desc->memory_size;
    k.lost = lost;
    k.user = user;
    error = dx_cas_p_fix_all(&k);
    if (report) *report = k.report;
    return error;
}

#endif /* DX_CAS_IMPLEMENTATION */
