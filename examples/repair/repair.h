/*  repair.h - what is damaged in a dx_cas.h store is put right where it stands, from a second store

    Include it behind dx_cas.h; where DX_CAS_IMPLEMENTATION or DX_IMPLEMENTATION is defined the
    function is here, too (it uses helpers of that implementation, so both belong in the same
    file). MIT-0 or public domain, as dx_cas.h.

        dx_cas_file_open(&file, path, DX_CAS_WRITE);         // nobody else writes meanwhile
        desc.mode = DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE;
        dx_cas_open(&store, &desc);
        error = dx_cas_repair(&store, &other, lost, NULL, &report);
        dx_cas_close(&store);                                // open it again before using it

    From the store itself: one copy of its header, one copy of a commit, padding. From the other
    store, whatever it was made of: objects and list nodes, as long as both compress them alike or
    the damaged one not at all. From a copy of the same store also names and record headers. Only
    bytes that verify found damaged are written over, and objects only with bytes that hash to
    their id; a power cut on the way leaves what is left to repair. `lost` (may be NULL) hears of
    all the rest, as the callback of dx_cas_verify() does.
*/
#ifndef DX_CAS_REPAIR_H
#define DX_CAS_REPAIR_H

#include "../../dx_cas.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dx_cas_repair_report {
    uint64_t repaired, lost; /* places */
    uint64_t bytes;          /* written */
} dx_cas_repair_report;

/* store: opened for reading with DX_CAS_ACCEPT_DAMAGE, on a device that can be written. other may
   be NULL. DX_CAS_OK: nothing is lost. DX_CAS_ECORRUPT: some is, the rest was repaired; errors of
   the devices. */
DX_CAS_API int dx_cas_repair(dx_cas_store *store, dx_cas_store *other, dx_cas_damage_fn *lost,
                             void *user, dx_cas_repair_report *report);

#ifdef __cplusplus
}
#endif
#endif /* DX_CAS_REPAIR_H */

#if (defined(DX_CAS_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_CAS_REPAIR_IMPLEMENTED)
#define DX_CAS_REPAIR_IMPLEMENTED

typedef struct dx_cas_p_fix {
    dx_cas_store *s, *other;
    dx_cas_damage_fn *lost;
    void *user;
    dx_cas_repair_report report;
    int error; /* of a device: nothing more is tried */
} dx_cas_p_fix;

static bool dx_cas_p_fix_write(dx_cas_p_fix *k, uint64_t place, const void *data, size_t size)
{
    k->error = dx_cas_p_write(k->s, place, data, size);
    if (k->error != DX_CAS_OK) return false;
    k->report.bytes += size;
    return true;
}

/* Bytes of the other store's device take the place of bytes of this one's. */
static bool dx_cas_p_fix_copy(dx_cas_p_fix *k, uint64_t from, uint64_t to, uint64_t size)
{
    uint8_t bytes[4096];
    while (size > 0) {
        size_t n = size < sizeof bytes ? (size_t)size : sizeof bytes;
        if (dx_cas_p_read(k->other, from, bytes, n) != DX_CAS_OK) return false;
        if (!dx_cas_p_fix_write(k, to, bytes, n)) return false;
        from += n;
        to += n;
        size -= n;
    }
    return true;
}

static bool dx_cas_p_fix_object(dx_cas_p_fix *k, const dx_cas_damage *d)
{
    dx_cas_p_record bad, good;
    uint8_t *bytes;
    if (!k->other || dx_cas_p_read_head(k->s, d->offset, &bad) != DX_CAS_OK) return false;
    if (dx_cas_p_find(k->other, &bad.id, &good, NULL) != DX_CAS_OK) return false;
    if (good.type != bad.type || good.flags != bad.flags) return false;
    if (good.logical != bad.logical) return false;
    if (good.codec == bad.codec && good.stored == bad.stored) {
        return dx_cas_p_stream(k->other, &good, NULL, 0) == DX_CAS_OK &&
               dx_cas_p_fix_copy(k, good.place + DX_CAS_P_HEAD, d->offset + DX_CAS_P_HEAD,
                                 bad.stored);
    }
    if (bad.codec != 0) return false;
    bytes = k->other->work_ + (k->other->work_size_ + DX_CAS_P_IO) / 2; /* of a store with codecs */
    return dx_cas_p_get(k->other, &good, bytes) == DX_CAS_OK &&
           dx_cas_p_fix_write(k, d->offset + DX_CAS_P_HEAD, bytes, (size_t)bad.stored);
}

/* One copy of a commit says what both are; if they are right, the chain is not. */
static bool dx_cas_p_fix_commit(dx_cas_p_fix *k, const dx_cas_damage *d)
{
    uint8_t want[2 * DX_CAS_P_HEAD];
    dx_cas_p_record r;
    if (dx_cas_p_read_head(k->s, d->offset, &r) != DX_CAS_OK &&
        dx_cas_p_read_head(k->s, d->offset + DX_CAS_P_HEAD, &r) != DX_CAS_OK) {
        return false;
    }
    if (r.type != DX_CAS_P_COMMIT) return false;
    (void)dx_cas_p_encode_commit(k->s, d->offset, r.logical, r.flags >> 8, &r.id, want);
    if (dx_cas_p_compare(k->s, d->offset, want, sizeof want) == DX_CAS_OK) return false;
    return dx_cas_p_fix_write(k, d->offset, want, sizeof want);
}

/* What stands there in a copy of the same store, if that is whole. */
static bool dx_cas_p_fix_same(dx_cas_p_fix *k, const dx_cas_damage *d)
{
    dx_cas_p_record good;
    dx_cas_p_ref ref;
    uint64_t size = d->size;
    int error = DX_CAS_OK;
    const dx_cas_store *s = k->s, *o = k->other;
    if (!o || DX_CAS_MEMCMP(o->desc_.store_id, s->desc_.store_id, 16) != 0) return false;
    if (dx_cas_p_read_head(k->other, d->offset, &good) != DX_CAS_OK) return false;
    if (good.type == DX_CAS_P_REF) error = dx_cas_p_read_ref(k->other, &good, &ref);
    if (good.type <= DX_CAS_P_LIST) error = dx_cas_p_stream(k->other, &good, NULL, 0);
    if (error != DX_CAS_OK) return false;
    if (size < good.next - good.place) size = good.next - good.place;
    if (size > k->other->end_ - d->offset) return false;
    if (!dx_cas_p_fix_copy(k, d->offset, d->offset, size)) return false;
    if (good.type <= DX_CAS_P_LIST && k->s->entry_count_ < dx_cas_p_entries_max(k->s)) {
        k->error = dx_cas_p_add_object(k->s, &good); /* what needs it comes later */
    }
    return k->error == DX_CAS_OK;
}

static int dx_cas_p_fix_one(void *user, const dx_cas_damage *d)
{
    static const uint8_t zeros[4096] = {0};
    dx_cas_p_fix *k = (dx_cas_p_fix *)user;
    uint8_t header[2 * DX_CAS_P_HEAD];
    bool done = false;
    switch (d->kind) {
    case DX_CAS_DAMAGE_HEADER:
        dx_cas_p_encode_store(k->s, header);
        done = dx_cas_p_fix_write(k, d->offset, header + d->offset, DX_CAS_P_HEAD);
        break;
    case DX_CAS_DAMAGE_PADDING:
        done = d->size <= sizeof zeros && dx_cas_p_fix_write(k, d->offset, zeros, (size_t)d->size);
        break;
    case DX_CAS_DAMAGE_COMMIT: done = dx_cas_p_fix_commit(k, d); break;
    case DX_CAS_DAMAGE_OBJECT: done = dx_cas_p_fix_object(k, d); break;
    case DX_CAS_DAMAGE_REF:
    case DX_CAS_DAMAGE_RECORD: done = dx_cas_p_fix_same(k, d); break;
    default: break;
    }
    if (k->error != DX_CAS_OK) return 1;
    if (done) k->report.repaired++;
    else k->report.lost++;
    return !done && k->lost ? k->lost(k->user, d) : 0;
}

DX_CAS_API int dx_cas_repair(dx_cas_store *store, dx_cas_store *other, dx_cas_damage_fn *lost,
                             void *user, dx_cas_repair_report *report)
{
    dx_cas_p_fix k;
    int error;
    if (!store || store == other || !store->open_ || !(store->desc_.mode & DX_CAS_ACCEPT_DAMAGE)) {
        return DX_CAS_EINVAL;
    }
    if (other && !other->open_) return DX_CAS_EINVAL;
    DX_CAS_MEMSET(&k, 0, sizeof k);
    k.s = store;
    k.other = other;
    k.lost = lost;
    k.user = user;
    error = dx_cas_verify(store, dx_cas_p_fix_one, &k, NULL);
    if (k.error != DX_CAS_OK) error = k.error;
    else if (error == DX_CAS_ECORRUPT && k.report.lost == 0) error = DX_CAS_OK;
    if (k.report.repaired > 0) {
        int synced = store->desc_.device.sync(store->desc_.device.user);
        if (error == DX_CAS_OK) error = synced;
    }
    if (report) *report = k.report;
    return error;
}

#endif /* DX_CAS_IMPLEMENTATION */
