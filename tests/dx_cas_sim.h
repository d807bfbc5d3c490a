/*  dx_cas_sim.h - a simulated disk for the stores of dx_cas.h: power cuts, failing calls, a full disk, and sectors
    that are lost, torn, reordered, zeroed, stale, misdirected or flipped

    Include it after dx_cas.h and dx_test.h.

        static sim_disk disk;
        sim_disk_reset(&disk, seed, sector);          // empty; sector: a power of two, the unit that is torn or damaged
        desc.device = sim_disk_device(&disk, barriers);

    Writes go to `now`, which reads see. The next sync copies them to `stable`, which survives a power cut. Between two syncs
    they are logged in order: for each sector, sim_disk_power() decides whether it survived in full, in part or not.

    fail_at, fail      at this call (counted from sim_disk_arm()) the power fails, one call fails, or all later calls do
    limit              the capacity in bytes: a write beyond it fails with DX_CAS_ENOSPACE
    forgetful          a failed sync marks its pages clean, as Linux does: reads see their content until the power cut, no
                       later sync writes them, and each of their sectors may or may not have reached the disk

    sim_disk_damage() damages data at rest, in `now` and `stable` alike. */
#ifndef DX_CAS_SIM_H
#define DX_CAS_SIM_H

enum { SIM_CAPACITY = 32768, SIM_OPS = 512, SIM_LOG = 65536 };
enum { SIM_WRITE, SIM_TRUNCATE, SIM_BARRIER };                               /* sim_op.kind */
enum { SIM_FAIL_NEVER, SIM_FAIL_CUT, SIM_FAIL_ONCE, SIM_FAIL_FROM_THEN_ON }; /* sim_disk.fail */
enum { SIM_ZERO, SIM_STALE, SIM_MISDIRECTED, SIM_FLIP, SIM_KINDS };          /* the kind of damage */

typedef struct sim_op {
    uint32_t kind, at, size, data; /* data: its offset in the log */
} sim_op;

typedef struct sim_disk {
    uint8_t  now[SIM_CAPACITY], stable[SIM_CAPACITY];
    uint8_t  older[SIM_CAPACITY];           /* for each sector, content that was stable there earlier */
    size_t   size, stable_size, limit, used;
    size_t   most;                          /* the end of the highest write since the reset */
    sim_op   ops[SIM_OPS];                  /* since the last sync */
    unsigned count, sector, keep;           /* keep: of 8 pieces, how many survive a power cut */
    uint8_t  log[SIM_LOG];
    long     calls, fail_at;
    int      fail;
    bool     off, failed, forgetful;
    uint64_t random;
    uint64_t faults, forgotten;             /* over all runs; forgotten: syncs that lost pages */
    uint64_t damaged[SIM_KINDS];            /* over all runs: damaged sectors at rest */
    struct sim_disk *main;                  /* NULL, or the disk whose faults and power this one shares */
} sim_disk;

static unsigned sim_pick(sim_disk *d, unsigned n) { return (unsigned)((dx_test_random(&d->random) >> 32) * n >> 32); }

static void sim_put(uint8_t *to, size_t *size, const uint8_t *from, size_t at, size_t n)
{
    memcpy(to + at, from, n);
    if (*size < at + n) *size = at + n;
}

static void sim_cut(uint8_t *to, size_t *size, size_t at)
{
    if (at >= *size) return;
    memset(to + at, 0, *size - at);
    *size = at;
}

/* Remember the old content of the sectors that a write changes: SIM_STALE restores it. */
static void sim_remember(sim_disk *d, size_t at, size_t n)
{
    size_t end = at + n;
    for (at -= at % d->sector; at < end; at += d->sector) {
        if (sim_pick(d, 2)) memcpy(d->older + at, d->stable + at, d->sector);
    }
}

/* Apply a whole operation to `stable`. */
static void sim_apply(sim_disk *d, const sim_op *o)
{
    if (o->kind == SIM_WRITE) {
        sim_remember(d, o->at, o->size);
        sim_put(d->stable, &d->stable_size, d->log + o->data, o->at, o->size);
    } else if (o->kind == SIM_TRUNCATE) {
        sim_cut(d->stable, &d->stable_size, o->at);
    }
}

static void sim_settle(sim_disk *d)
{
    for (unsigned i = 0; i < d->count; i++) sim_apply(d, &d->ops[i]);
    d->count = 0;
    d->used = 0;
}

static void sim_note(sim_disk *d, uint32_t kind, size_t at, const void *data, size_t n)
{
    sim_op *o;
    if (d->count == SIM_OPS || d->used + n > SIM_LOG) sim_settle(d); /* the system writes back by itself */
    o = &d->ops[d->count++];
    o->kind = kind;
    o->at = (uint32_t)at;
    o->size = (uint32_t)n;
    o->data = (uint32_t)d->used;
    if (n) memcpy(d->log + d->used, data, n);
    d->used += n;
    if (kind == SIM_WRITE && d->most < at + n) d->most = at + n;
}

/* Apply a write sector by sector: each one is kept, lost or torn. */
static void sim_survive(sim_disk *d, const sim_op *o)
{
    size_t at = o->at, end = at + o->size, n;
    /* the new size may be stable before the data */
    if (o->size && sim_pick(d, 8) < d->keep && d->stable_size < end) d->stable_size = end;
    for (; at < end; at += n) {
        n = d->sector - at % d->sector;
        if (n > end - at) n = end - at;
        if (sim_pick(d, 8) >= d->keep) continue;
        sim_remember(d, at, n);
        sim_put(d->stable, &d->stable_size, d->log + o->data + (at - o->at), at, sim_pick(d, 8) ? n : sim_pick(d, (unsigned)n) + 1);
    }
}

/* Power returns. Unsynced writes may or may not have survived, but none after a barrier without all before it. */
static void sim_disk_power(sim_disk *d)
{
    unsigned barriers = 0, last, i, seen = 0;
    for (i = 0; i < d->count; i++) barriers += d->ops[i].kind == SIM_BARRIER;
    last = sim_pick(d, barriers + 1);
    d->keep = sim_pick(d, 9);
    for (i = 0; i < d->count && seen <= last; i++) {
        const sim_op *o = &d->ops[i];
        if (o->kind == SIM_BARRIER) seen++;
        else if (seen < last) sim_apply(d, o); /* only the last epoch has torn sectors */
        else if (o->kind == SIM_WRITE) sim_survive(d, o);
        else if (sim_pick(d, 8) < d->keep) sim_apply(d, o);
    }
    memcpy(d->now, d->stable, d->most);
    d->size = d->stable_size;
    d->count = 0;
    d->used = 0;
    d->off = false;
}

/* A sync failed, and what it should have written is never retried. */
static void sim_forget(sim_disk *d)
{
    d->forgotten++;
    d->keep = sim_pick(d, 9);
    for (unsigned i = 0; i < d->count; i++) {
        if (d->ops[i].kind == SIM_WRITE) sim_survive(d, &d->ops[i]);
        else sim_apply(d, &d->ops[i]); /* file system metadata survives */
    }
    d->count = 0;
    d->used = 0;
}

/* Does this call fail? It sets `off` when the power fails. */
static bool sim_faulty(sim_disk *d)
{
    if (d->main) d = d->main;
    if (d->off) return true;
    if (++d->calls < d->fail_at || d->fail == SIM_FAIL_NEVER) return false;
    if (d->calls > d->fail_at && d->fail == SIM_FAIL_ONCE) return false;
    if (d->fail == SIM_FAIL_CUT) d->off = true;
    d->failed = true;
    d->faults++;
    return true;
}

static int sim_read(void *user, uint64_t at, void *out, size_t size, size_t *got)
{
    sim_disk *d = (sim_disk *)user;
    *got = 0;
    if (sim_faulty(d)) return DX_CAS_ESYS;
    if (at >= d->size) return DX_CAS_OK;
    *got = size < d->size - at ? size : d->size - (size_t)at;
    memcpy(out, d->now + at, *got);
    return DX_CAS_OK;
}

static int sim_write(void *user, uint64_t at, const void *data, size_t size)
{
    sim_disk *d = (sim_disk *)user;
    int error = DX_CAS_OK;
    if ((d->main ? d->main : d)->off) return DX_CAS_ESYS;
    if (sim_faulty(d)) {
        error = DX_CAS_ESYS;
        size = at < d->limit ? sim_pick(d, (unsigned)(size < d->limit - at ? size : d->limit - at) + 1) : 0; /* a part was written */
    } else if (at > d->limit || size > d->limit - at) {
        error = DX_CAS_ENOSPACE;
        (d->main ? d->main : d)->failed = true;
        (d->main ? d->main : d)->faults++;
        size = at < d->limit && sim_pick(d, 2) ? d->limit - (size_t)at : 0;
    }
    if (size) {
        sim_note(d, SIM_WRITE, (size_t)at, data, size);
        sim_put(d->now, &d->size, (const uint8_t *)data, (size_t)at, size);
    }
    return error;
}

static int sim_sync(void *user)
{
    sim_disk *d = (sim_disk *)user;
    if (!sim_faulty(d)) {
        sim_settle(d);
        return DX_CAS_OK;
    }
    if (d->forgetful && !(d->main ? d->main : d)->off) sim_forget(d);
    return DX_CAS_ESYS;
}

/* A barrier that fails loses what a sync would: on systems where both are one call, it is that call. */
static int sim_barrier(void *user)
{
    sim_disk *d = (sim_disk *)user;
    if (!sim_faulty(d)) {
        sim_note(d, SIM_BARRIER, 0, NULL, 0);
        return DX_CAS_OK;
    }
    if (d->forgetful && !(d->main ? d->main : d)->off) sim_forget(d);
    return DX_CAS_ESYS;
}

static int sim_size(void *user, uint64_t *size)
{
    sim_disk *d = (sim_disk *)user;
    *size = d->size;
    return sim_faulty(d) ? DX_CAS_ESYS : DX_CAS_OK;
}

static int sim_truncate(void *user, uint64_t size)
{
    sim_disk *d = (sim_disk *)user;
    if (sim_faulty(d)) return DX_CAS_ESYS;
    sim_note(d, SIM_TRUNCATE, (size_t)size, NULL, 0);
    sim_cut(d->now, &d->size, (size_t)size);
    return DX_CAS_OK;
}

static dx_cas_device sim_disk_device(sim_disk *d, bool barriers)
{
    dx_cas_device device = {sim_read, sim_write, sim_sync, sim_size, sim_truncate, d, NULL};
    if (barriers) device.barrier = sim_barrier;
    return device;
}

/* Empty the disk; power on, no faults. The counters remain. */
static void sim_disk_reset(sim_disk *d, uint64_t seed, unsigned sector)
{
    size_t most = (d->most + 4095) / 4096 * 4096; /* whole sectors */
    if (most > SIM_CAPACITY) most = SIM_CAPACITY;
    memset(d->now, 0, most);
    memset(d->stable, 0, most);
    memset(d->older, 0, most);
    d->size = d->stable_size = d->used = d->most = 0;
    d->limit = SIM_CAPACITY;
    d->count = 0;
    d->sector = sector;
    d->calls = d->fail_at = 0;
    d->fail = SIM_FAIL_NEVER;
    d->off = d->failed = d->forgetful = false;
    d->random = seed;
    d->main = NULL;
}

/* Arm the next fault: its kind, at call number `at` from now on. */
static void sim_disk_arm(sim_disk *d, int fail, long at)
{
    d->calls = 0;
    d->failed = false;
    d->fail = fail;
    d->fail_at = at;
}

/* Everything written becomes stable, and all faults end. */
static void sim_disk_rest(sim_disk *d)
{
    sim_disk_arm(d, SIM_FAIL_NEVER, 0);
    d->off = false;
    d->limit = SIM_CAPACITY;
    sim_settle(d);
}

/* Load the disk with these bytes, at rest. older: the content that SIM_STALE restores. */
static void sim_disk_load(sim_disk *d, const uint8_t *bytes, const uint8_t *older, size_t size)
{
    memcpy(d->now, bytes, size);
    memcpy(d->stable, bytes, size);
    memcpy(d->older, older, SIM_CAPACITY);
    d->size = d->stable_size = size;
    d->most = SIM_CAPACITY;
}

/* Damage a sector at rest. other: the sector that SIM_MISDIRECTED copies, or the bits that SIM_FLIP flips. */
static void sim_disk_damage(sim_disk *d, int kind, size_t sector, uint64_t other)
{
    size_t at = sector * d->sector, n, from;
    if (at >= d->size) return;
    n = d->size - at < d->sector ? d->size - at : d->sector;
    from = (size_t)(other % (d->size / d->sector + 1)) * d->sector;
    switch (kind) {
    case SIM_ZERO: memset(d->now + at, 0, n); break;
    case SIM_STALE: memcpy(d->now + at, d->older + at, n); break;
    case SIM_MISDIRECTED: memmove(d->now + at, d->now + from, n); break;
    default: d->now[at + other % n] ^= (uint8_t)(1 + (other >> 32) % 255); break;
    }
    memcpy(d->stable + at, d->now + at, n);
    d->damaged[kind]++;
}

#endif /* DX_CAS_SIM_H */
