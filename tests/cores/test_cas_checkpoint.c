/* Tests of checkpoints of dx_cas.h (docs/formats/cas.md, section 15): what open skips, what it must not trust, and what reports a
   wrong one. The crash tests are in test_cas_crash.c.
   cc -std=c11 -g -O1 -fsanitize=address,undefined tests/cores/test_cas_checkpoint.c -o build/test_cas_checkpoint */
#define DX_IMPLEMENTATION
#include "../../layers/dx_crc32c.h"
#define DX_CAS_CRC32C dx_crc32c_update
#include "../../dx_cas.h"
#include "../../layers/dx_devices.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#define OK(call) DX_CHECK_EQ(call, DX_CAS_OK)

typedef struct counted { /* an in-memory device that counts */
    dx_devices_memory ram;
    size_t        reads, read_bytes;
} counted;

static int read_counted(void *user, uint64_t offset, void *out, size_t size, size_t *got)
{
    counted *k = (counted *)user;
    dx_cas_device d = dx_devices_memory_device(&k->ram);
    k->reads++;
    k->read_bytes += size;
    return d.read(d.user, offset, out, size, got);
}

static dx_cas_device device_of(counted *k)
{
    dx_cas_device d = dx_devices_memory_device(&k->ram);
    d.read = read_counted;
    d.user = k;
    return d;
}

static int counted_write(void *user, uint64_t offset, const void *data, size_t size)
{
    counted *k = (counted *)user;
    dx_cas_device d = dx_devices_memory_device(&k->ram);
    return d.write(d.user, offset, data, size);
}

static int counted_sync(void *user)
{
    (void)user;
    return DX_CAS_OK;
}

static int counted_size(void *user, uint64_t *size)
{
    *size = ((counted *)user)->ram.size;
    return DX_CAS_OK;
}

static int counted_truncate(void *user, uint64_t size)
{
    counted *k = (counted *)user;
    dx_cas_device d = dx_devices_memory_device(&k->ram);
    return d.truncate(d.user, size);
}

typedef struct kit {
    counted      log, side;
    dx_cas_store s;
    dx_cas_desc  desc;
    bool         plain; /* without a checkpoint */
} kit;

static void kit_begin(kit *k, size_t size)
{
    memset(k, 0, sizeof *k);
    k->log.ram.data = calloc(1, size);
    k->side.ram.data = calloc(1, size);
    k->log.ram.capacity = k->side.ram.capacity = size;
    k->desc.objects_max = 60000;
    k->desc.memory_size = dx_cas_memory_size(&k->desc);
    k->desc.memory = malloc(k->desc.memory_size);
}

static int kit_open(kit *k, uint32_t mode)
{
    dx_cas_device *devices[2] = {&k->desc.device, &k->desc.checkpoint};
    for (int i = 0; i < 2; i++) {
        *devices[i] = device_of(i ? &k->side : &k->log);
        devices[i]->write = counted_write;
        devices[i]->sync = counted_sync;
        devices[i]->size = counted_size;
        devices[i]->truncate = counted_truncate;
    }
    if (k->plain) memset(&k->desc.checkpoint, 0, sizeof k->desc.checkpoint);
    dx_cas_close(&k->s);
    k->desc.mode = mode;
    k->log.reads = k->log.read_bytes = 0;
    return dx_cas_open(&k->s, &k->desc);
}

static void kit_end(kit *k)
{
    dx_cas_close(&k->s);
    free(k->log.ram.data);
    free(k->side.ram.data);
    free(k->desc.memory);
}

static void put_number(kit *k, unsigned n, dx_cas_id *id)
{
    uint32_t data[5] = {n, n * 7, n * 13, n * 17, n * 19};
    OK(dx_cas_put(&k->s, data, sizeof data, id));
}

static bool has_number(kit *k, unsigned n)
{
    uint32_t data[5] = {n, n * 7, n * 13, n * 17, n * 19}, out[5];
    dx_cas_id id;
    size_t size;
    dx_cas_hash(data, sizeof data, &id);
    int error = dx_cas_get(&k->s, &id, out, sizeof out, &size);
    if (error == DX_CAS_OK) DX_CHECK_MEM(out, data, sizeof data);
    return error == DX_CAS_OK;
}

static void set_name(kit *k, const char *name, const dx_cas_id *id)
{
    dx_cas_ref ref;
    memset(&ref, 0, sizeof ref);
    strcpy(ref.name, name);
    ref.root = *id;
    OK(dx_cas_ref_set(&k->s, &ref, DX_CAS_ANY_VERSION, NULL));
}

/* The longest log between two checkpoints, and how much of it open reads. */
DX_TEST(ca_1_open_reads_what_came_since_the_checkpoint)
{
    kit k;
    dx_cas_id id;
    dx_cas_stats with, without;
    kit_begin(&k, 8 << 20);
    OK(kit_open(&k, DX_CAS_WRITE | DX_CAS_CREATE));
    for (unsigned n = 0; n < 50000; n++) put_number(&k, n, &id);
    set_name(&k, "a", &id);
    set_name(&k, "b", &id);
    DX_CHECK_EQ(dx_cas_checkpoint(&k.s), DX_CAS_EINVAL); /* not before the commit */
    OK(dx_cas_commit(&k.s));
    OK(dx_cas_checkpoint(&k.s));
    DX_CHECK_EQ(k.side.ram.size, 128 + 50002 * 16 + 32);
    OK(dx_cas_checkpoint(&k.s)); /* nothing new: nothing written */
    DX_CHECK_EQ(k.side.ram.size, 128 + 50002 * 16 + 32);
    put_number(&k, 50000, &id);
    OK(dx_cas_commit(&k.s));
    for (int mode = DX_CAS_READ; mode <= DX_CAS_WRITE; mode++) {
        k.plain = true;
        OK(kit_open(&k, (uint32_t)mode));
        DX_CHECK(k.log.reads > 1000);
        dx_cas_get_stats(&k.s, &without);
        k.plain = false;
        OK(kit_open(&k, (uint32_t)mode));
        DX_CHECK(k.log.reads < 32);
        DX_CHECK(k.log.read_bytes < 40000);
        dx_cas_get_stats(&k.s, &with);
        DX_CHECK_MEM(&with, &without, sizeof with);
        for (unsigned n = 0; n <= 50000; n += 97) DX_CHECK(has_number(&k, n));
        DX_CHECK(has_number(&k, 50000));
        OK(dx_cas_verify(&k.s, NULL, NULL, NULL));
    }
    kit_end(&k);
}

/* Names that change, disappear and return; consecutive deltas of the index, and a full rewrite when half of it is garbage. */
DX_TEST(ca_1_blocks_follow_each_other_and_are_rewritten)
{
    kit k;
    dx_cas_id id;
    dx_cas_ref ref;
    size_t most = 0, last = 0, rewritten = 0;
    kit_begin(&k, 1 << 20);
    OK(kit_open(&k, DX_CAS_WRITE | DX_CAS_CREATE));
    OK(dx_cas_checkpoint(&k.s)); /* of an empty store */
    DX_CHECK_EQ(k.side.ram.size, 0);
    put_number(&k, 1, &id);
    for (unsigned n = 1; n <= 300; n++) {
        set_name(&k, "often", &id);
        if (n % 3 == 0) set_name(&k, "gone", &id);
        if (n % 3 == 1 && n > 3) OK(dx_cas_ref_delete(&k.s, "gone", DX_CAS_ANY_VERSION));
        OK(dx_cas_commit(&k.s));
        if (n % 2 == 0) OK(dx_cas_checkpoint(&k.s));
        rewritten += k.side.ram.size < last;
        last = k.side.ram.size;
        if (last > most) most = last;
        OK(kit_open(&k, DX_CAS_WRITE));
        OK(dx_cas_ref_get(&k.s, "often", 0, &ref));
        DX_CHECK_EQ(ref.version, n);
        DX_CHECK_EQ(dx_cas_ref_get(&k.s, "gone", 0, &ref), (n % 3 == 0 ? DX_CAS_OK : DX_CAS_ENOTFOUND));
    }
    DX_CHECK(rewritten > 1);
    DX_CHECK(most < 8192);
    OK(dx_cas_verify(&k.s, NULL, NULL, NULL));
    kit_end(&k);
}

typedef struct heard {
    unsigned index, ahead, missing, others;
    uint64_t offset;
    dx_cas_id id;
    dx_cas_id named; /* may be missing: counted in missing, not in others */
} heard;

static int hear(void *user, const dx_cas_damage *d)
{
    heard *h = (heard *)user;
    h->ahead += d->kind == DX_CAS_DAMAGE_AHEAD;
    if (d->kind == DX_CAS_DAMAGE_MISSING && memcmp(&d->id, &h->named, sizeof d->id) == 0) {
        h->missing++;
        return 0;
    }
    if (d->kind != DX_CAS_DAMAGE_INDEX) {
        h->others++;
        return 0;
    }
    h->index++;
    h->offset = d->offset;
    h->id = d->id;
    return 0;
}

static void small_store(kit *k)
{
    dx_cas_id id;
    kit_begin(k, 1 << 16);
    OK(kit_open(k, DX_CAS_WRITE | DX_CAS_CREATE));
    for (unsigned n = 0; n < 6; n++) {
        put_number(k, n, &id);
        if (n % 2) set_name(k, n < 3 ? "a" : "b", &id);
        OK(dx_cas_commit(&k->s));
        if (n % 2) OK(dx_cas_checkpoint(&k->s));
    }
}

static void small_store_holds(kit *k)
{
    dx_cas_ref ref;
    dx_cas_stats stats;
    dx_cas_get_stats(&k->s, &stats);
    DX_CHECK_EQ(stats.objects, 6);
    DX_CHECK_EQ(stats.names, 2);
    DX_CHECK_EQ(stats.commits, 6);
    DX_CHECK_EQ(stats.logical_bytes, 120);
    for (unsigned n = 0; n < 6; n++) DX_CHECK(has_number(k, n));
    DX_CHECK(!has_number(k, 6));
    OK(dx_cas_ref_get(&k->s, "a", 0, &ref));
    OK(dx_cas_ref_get(&k->s, "b", 0, &ref));
    DX_CHECK_EQ(ref.version, 2);
}

/* Every flipped bit and every truncation of the checkpoint: it is ignored from there on, verify reports where, and a writer mends
   it. */
DX_TEST(ca_1_every_flipped_bit_and_every_length_is_ignored_and_named)
{
    kit k;
    small_store(&k);
    size_t size = k.side.ram.size;
    uint8_t *bytes = (uint8_t *)k.side.ram.data, *was = (uint8_t *)malloc(size);
    memcpy(was, bytes, size);
    for (size_t i = 0; i < size * 9; i++) {
        heard h;
        memset(&h, 0, sizeof h);
        k.side.ram.size = i < size ? i : size;
        if (i >= size) bytes[(i - size) / 8] ^= (uint8_t)(1u << i % 8);
        OK(kit_open(&k, DX_CAS_READ));
        small_store_holds(&k);
        int error = dx_cas_verify(&k.s, hear, &h, NULL);
        DX_CHECK_EQ(h.others, 0);
        DX_CHECK_EQ(error, h.index ? DX_CAS_ECORRUPT : DX_CAS_OK);
        if (i >= size) DX_CHECK_EQ(h.index, 1);
        if (i >= size) DX_CHECK(h.offset <= (i - size) / 8);
        OK(kit_open(&k, DX_CAS_WRITE));
        small_store_holds(&k);
        OK(dx_cas_verify(&k.s, NULL, NULL, NULL));
        OK(dx_cas_checkpoint(&k.s));
        OK(kit_open(&k, DX_CAS_READ));
        DX_CHECK_EQ(k.s.saved_.end, k.s.tip_.end);
        small_store_holds(&k);
        OK(dx_cas_verify(&k.s, NULL, NULL, NULL));
        k.side.ram.size = size;
        memcpy(bytes, was, size);
    }
    free(was);
    kit_end(&k);
}

/* A repair of the store truncates a checkpoint where it does not match, and returns DX_CAS_OK: nothing was lost. */
DX_TEST(w_77_repair_cuts_off_what_is_wrong_of_a_checkpoint)
{
    kit k;
    small_store(&k);
    size_t size = k.side.ram.size;
    uint8_t *bytes = (uint8_t *)k.side.ram.data, *was = (uint8_t *)malloc(size);
    memcpy(was, bytes, size);
    for (size_t i = 0; i < size; i += 7) {
        dx_cas_repair_report report;
        heard h;
        memset(&h, 0, sizeof h);
        bytes[i] ^= 16;
        dx_cas_close(&k.s);
        k.desc.mode = DX_CAS_READ;
        OK(dx_cas_repair(&k.s, &k.desc, NULL, hear, &h, &report));
        DX_CHECK_EQ(report.lost, 0);
        DX_CHECK_EQ(report.repaired, 1);
        DX_CHECK_EQ(h.index + h.ahead + h.others, 0);
        DX_CHECK(k.side.ram.size <= i);
        OK(dx_cas_verify(&k.s, NULL, NULL, NULL));
        small_store_holds(&k);
        k.side.ram.size = size;
        memcpy(bytes, was, size);
    }
    free(was);
    kit_end(&k);
}

/* A checkpoint of another store, of an older state, or of a state that the log has lost. */
DX_TEST(ca_1_a_checkpoint_of_another_log_is_ignored)
{
    kit k, other;
    dx_cas_id id;
    small_store(&k);
    kit_begin(&other, 1 << 16);
    other.desc.store_id[0] = 1;
    OK(kit_open(&other, DX_CAS_WRITE | DX_CAS_CREATE));
    for (unsigned n = 10; n < 30; n++) put_number(&other, n, &id);
    OK(dx_cas_commit(&other.s));
    OK(dx_cas_checkpoint(&other.s));
    memcpy(k.side.ram.data, other.side.ram.data, other.side.ram.size);
    k.side.ram.size = other.side.ram.size;
    OK(kit_open(&k, DX_CAS_READ));
    small_store_holds(&k);
    DX_CHECK_EQ(k.s.saved_.size, 0);
    DX_CHECK_EQ(dx_cas_verify(&k.s, NULL, NULL, NULL), DX_CAS_ECORRUPT); /* verify reports it */
    kit_end(&other);
    kit_end(&k);

    small_store(&k); /* the log falls back to the previous commit and diverges */
    uint64_t five = k.s.tip_.end;
    put_number(&k, 77, &id);
    OK(dx_cas_commit(&k.s));
    OK(dx_cas_checkpoint(&k.s));
    k.log.ram.size = (size_t)five;
    OK(kit_open(&k, DX_CAS_READ));
    small_store_holds(&k);
    DX_CHECK(!has_number(&k, 77));
    heard h;
    memset(&h, 0, sizeof h);
    DX_CHECK_EQ(dx_cas_verify(&k.s, hear, &h, NULL), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(h.ahead, 1);
    DX_CHECK_EQ(h.index, 0);
    dx_cas_stats stats;
    dx_cas_get_stats(&k.s, &stats);
    DX_CHECK(stats.ahead);
    size_t size = k.side.ram.size;
    for (int again = 0; again < 2; again++) { /* a writer does not go on, and the trace of the loss stays */
        DX_CHECK_EQ(kit_open(&k, DX_CAS_WRITE), DX_CAS_ECORRUPT);
        DX_CHECK_EQ(dx_cas_damage_offset(&k.s), five);
        dx_cas_get_stats(&k.s, &stats);
        DX_CHECK(stats.ahead);
        DX_CHECK(k.side.ram.size == size && k.log.ram.size == (size_t)five);
    }
    OK(kit_open(&k, DX_CAS_WRITE | DX_CAS_ACCEPT_DAMAGE)); /* only for reading */
    small_store_holds(&k);
    DX_CHECK_EQ(dx_cas_put(&k.s, "x", 1, NULL), DX_CAS_EREADONLY);
    k.side.ram.size = 0; /* what is left is accepted */
    OK(kit_open(&k, DX_CAS_WRITE));
    dx_cas_get_stats(&k.s, &stats);
    DX_CHECK(!stats.ahead);
    put_number(&k, 78, &id);
    OK(dx_cas_commit(&k.s));
    OK(kit_open(&k, DX_CAS_READ));
    DX_CHECK(has_number(&k, 78));
    DX_CHECK(!has_number(&k, 77));
    OK(dx_cas_verify(&k.s, NULL, NULL, NULL));
    kit_end(&k);
}

static void sign_block(uint8_t *block, size_t size) /* any writer of the device can do this */
{
    dx_cas_hasher h;
    dx_cas_ext_id_start(&h, DX_CAS_P_INDEX);
    DX_CAS_P_HASH(update)(&h, block, size - 32);
    DX_CAS_P_HASH(final)(&h, block + size - 32, 32);
}

/* A forged checkpoint with a valid hash: an entry missing, duplicated or pointing elsewhere. get never returns wrong bytes, and
   verify reports it. */
DX_TEST(ca_1_verify_names_a_checkpoint_that_lies)
{
    for (unsigned lie = 0; lie < 6; lie++) {
        kit k;
        heard h;
        dx_cas_id id;
        memset(&h, 0, sizeof h);
        kit_begin(&k, 1 << 16);
        OK(kit_open(&k, DX_CAS_WRITE | DX_CAS_CREATE));
        for (unsigned n = 0; n < 6; n++) put_number(&k, n, &id);
        set_name(&k, "a", &id);
        h.named = id;
        OK(dx_cas_commit(&k.s));
        OK(dx_cas_checkpoint(&k.s));
        uint8_t *block = (uint8_t *)k.side.ram.data;
        size_t size = k.side.ram.size, refs = 0;
        DX_CHECK_EQ(size, 128 + 7 * 16 + 32);
        for (size_t i = 0; i < 7; i++) if (block[128 + i * 16 + 14] & 16) refs = i;
        if (lie == 0) memmove(block + 128 + (refs == 0) * 16, block + 144 + (refs == 0) * 16, 80 - (refs == 0) * 16);
        if (lie == 1) memcpy(block + 128 + (refs == 0) * 16, block + 128 + (refs > 3 ? 32 : 64), 16);
        if (lie == 2) block[128 + (refs == 0) * 16 + 8] ^= 8;
        if (lie == 3) memmove(block + 128 + refs * 16, block + 144 + refs * 16, 96 - refs * 16);
        if (lie == 4) block[128 + refs * 16 + 8] ^= 8;
        if (lie == 5) block[72]++;
        if (lie == 0 || lie == 3) {
            block[8]--;
            size = k.side.ram.size -= 16;
        }
        sign_block(block, size);
        int error = kit_open(&k, DX_CAS_READ);
        DX_CHECK_EQ(error, DX_CAS_OK);
        for (unsigned n = 0; n < 6; n++) (void)has_number(&k, n);
        error = dx_cas_verify(&k.s, hear, &h, NULL);
        if (lie == 4) DX_CHECK_EQ(k.s.saved_.size, 0); /* a name was checked: this one was not trusted */
        if (lie < 4) DX_CHECK_EQ(error, DX_CAS_ECORRUPT);
        if (lie < 4) DX_CHECK(h.index + h.missing >= 1);
        DX_CHECK(h.missing <= (lie < 3)); /* the entry may be the one that the name refers to */
        DX_CHECK_EQ(h.others, 0);
        k.plain = true;
        OK(kit_open(&k, DX_CAS_READ)); /* nothing was lost */
        for (unsigned n = 0; n < 6; n++) DX_CHECK(has_number(&k, n));
        kit_end(&k);
    }
}

/* Limits of a signed block, which any writer of the device can make: it lists no more entries than its part of the log has room
   for, and its part is never empty. So false claims can increase neither memory nor the number of blocks. */
DX_TEST(ca_1_a_signed_block_claims_no_more_than_its_part_of_the_log)
{
    kit k;
    dx_cas_id id;
    uint8_t *block;
    for (int over = 0; over < 2; over++) {
        kit_begin(&k, 1 << 16);
        OK(kit_open(&k, DX_CAS_WRITE | DX_CAS_CREATE));
        for (unsigned n = 0; n < 6; n++) put_number(&k, n, &id);
        OK(dx_cas_commit(&k.s));
        OK(dx_cas_checkpoint(&k.s));
        block = (uint8_t *)k.side.ram.data;
        uint64_t room = (dx_cas_p_load64(block + 24) - dx_cas_p_load64(block + 16)) / DX_CAS_EXT_HEAD;
        uint64_t count = room + (uint64_t)over;
        DX_CHECK(room > 6 && room < 6 * DX_CAS_P_ALIKE_MAX);
        for (uint64_t i = 6; i < count; i++) memcpy(block + 128 + i * 16, block + 128 + i % 6 * 16, 16);
        dx_cas_p_store64(block + 8, count);
        k.side.ram.size = (size_t)(160 + 16 * count);
        sign_block(block, k.side.ram.size);
        OK(kit_open(&k, DX_CAS_READ));
        DX_CHECK_EQ(k.s.saved_.size, over ? 0 : k.side.ram.size);
        for (unsigned n = 0; n < 6; n++) DX_CHECK(has_number(&k, n));
        kit_end(&k);
    }
    kit_begin(&k, 1 << 16);
    OK(kit_open(&k, DX_CAS_WRITE | DX_CAS_CREATE));
    for (unsigned n = 0; n < 6; n++) put_number(&k, n, &id);
    OK(dx_cas_commit(&k.s));
    OK(dx_cas_checkpoint(&k.s));
    block = (uint8_t *)k.side.ram.data;
    size_t size = k.side.ram.size;
    memcpy(block + size, block, 128); /* a second block, without entries, from the end of the first up to there */
    dx_cas_p_store64(block + size + 8, 0);
    memcpy(block + size + 16, block + 24, 8);
    memcpy(block + size + 96, block + size - 32, 32);
    sign_block(block + size, 160);
    k.side.ram.size = size + 160;
    OK(kit_open(&k, DX_CAS_READ));
    DX_CHECK_EQ(k.s.saved_.size, size);
    for (unsigned n = 0; n < 6; n++) DX_CHECK(has_number(&k, n));
    kit_end(&k);
}

/* Arbitrary bytes, also with a valid hash: no endless loop, and no byte that was not stored. */
DX_PROPERTY(ca_1_any_bytes_as_checkpoint, 1500)
{
    kit k;
    uint8_t *block;
    small_store(&k);
    block = (uint8_t *)k.side.ram.data;
    size_t size = k.side.ram.size, changes = (size_t)dx_choose(c, 12);
    while (changes-- > 0) block[dx_choose(c, size - 1)] = (uint8_t)dx_choose(c, 255);
    k.side.ram.size = (size_t)dx_choose_range(c, size / 2, size + 40);
    uint64_t count = dx_cas_p_load64(block + 8);
    if (count < 64 && k.side.ram.size >= 160 + 16 * count) sign_block(block, (size_t)(160 + 16 * count));
    int error = kit_open(&k, (uint32_t)dx_choose(c, 1));
    if (error == DX_CAS_ECORRUPT) { /* a block with a valid hash and any commit: a writer takes it for a loss */
        dx_cas_stats stats;
        dx_cas_get_stats(&k.s, &stats);
        DX_CHECK(stats.ahead);
        error = kit_open(&k, DX_CAS_READ);
    }
    DX_CHECK_EQ(error, DX_CAS_OK);
    for (unsigned n = 0; n < 6; n++) (void)has_number(&k, n);
    (void)dx_cas_verify(&k.s, NULL, NULL, NULL);
    kit_end(&k);
}

DX_TEST(ca_1_memory_that_is_too_small_is_said_once)
{
    kit k;
    dx_cas_id id;
    kit_begin(&k, 1 << 20);
    OK(kit_open(&k, DX_CAS_WRITE | DX_CAS_CREATE));
    for (unsigned n = 0; n < 3000; n++) put_number(&k, n, &id);
    OK(dx_cas_commit(&k.s));
    OK(dx_cas_checkpoint(&k.s));
    k.desc.objects_max = 100;
    k.desc.memory_size = dx_cas_memory_size(&k.desc);
    DX_CHECK_EQ(kit_open(&k, DX_CAS_READ), DX_CAS_ENOMEM);
    k.desc.memory_size = dx_cas_memory_needed(&k.s);
    OK(kit_open(&k, DX_CAS_READ));
    DX_CHECK(has_number(&k, 2999));
    kit_end(&k);
}

/* A store from before checkpoints: opens, reads, verifies, accepts a checkpoint and further writes. */
DX_TEST(ca_1_a_store_of_before_checkpoints)
{
    static uint8_t image[16384], data[3000], out[3000];
    static uint64_t work[60000];
    kit k;
    dx_cas_ref ref;
    dx_cas_reader r;
    dx_cas_blake3 h;
    size_t size = dx_test_vector("tests/vectors/cas_store_1.hex", "store", image, sizeof image), got;
    DX_CHECK(size > 5000);
    dx_cas_blake3_init(&h);
    dx_cas_blake3_final(&h, data, sizeof data);
    kit_begin(&k, 1 << 20);
    memcpy(k.log.ram.data, image, size);
    k.log.ram.size = size;
    for (int round = 0; round < 4; round++) {
        OK(kit_open(&k, round % 2 ? DX_CAS_WRITE : DX_CAS_READ));
        OK(dx_cas_verify(&k.s, NULL, NULL, NULL));
        DX_CHECK_EQ(dx_cas_ref_get(&k.s, "gone", 0, &ref), DX_CAS_ENOTFOUND);
        DX_CHECK_EQ(dx_cas_ref_get(&k.s, "data", 1, &ref), DX_CAS_ENOTFOUND);
        for (uint64_t v = 2; v <= 3; v++) {
            OK(dx_cas_ref_get(&k.s, "data", v, &ref));
            OK(dx_cas_reader_open(&r, &k.s, &ref.root, work, sizeof work));
            OK(dx_cas_reader_read(&r, 0, out, sizeof out, &got));
            DX_CHECK_EQ(got, v * 1000);
            DX_CHECK_MEM(out, data, got);
        }
        if (round == 1) OK(dx_cas_checkpoint(&k.s));
        if (round > 1) DX_CHECK_EQ(k.s.saved_.end, k.s.tip_.end);
    }
    DX_CHECK_MEM(k.log.ram.data, image, size); /* and no byte of it changed */
    kit_end(&k);
}

/* The store of section 12 of the document, and its checkpoint. */
DX_TEST(ca_1_document_checkpoint)
{
    uint8_t store[4096], want[1024];
    kit k;
    size_t size = dx_test_vector("docs/formats/cas.md", "store", store, sizeof store);
    size_t expected = dx_test_vector("docs/formats/cas.md", "checkpoint", want, sizeof want);
    kit_begin(&k, 1 << 16);
    k.desc.objects_max = 60000;
    memcpy(k.log.ram.data, store, size);
    k.log.ram.size = size;
    OK(kit_open(&k, DX_CAS_WRITE));
    OK(dx_cas_checkpoint(&k.s));
    if (getenv("DX_TEST_SHOW")) for (size_t i = 0; i < k.side.ram.size; i++) printf("%02x%s", ((uint8_t *)k.side.ram.data)[i], i % 32 == 31 ? "\n" : i % 8 == 7 ? " " : "");
    DX_CHECK_EQ(k.side.ram.size, expected);
    DX_CHECK_MEM(k.side.ram.data, want, expected);
    kit_end(&k);
}
