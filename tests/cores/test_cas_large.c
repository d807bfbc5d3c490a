/* dx_cas.h beyond 2^32: a store whose log exceeds 4 GiB, and larger content. The device keeps only nonzero pages. An offset that a
   sum or a cast truncates to 32 bits leads to other content.
   cc -std=c11 -O2 tests/cores/test_cas_large.c -o build/test_cas_large */
#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#define OK(call) DX_CHECK_EQ(call, DX_CAS_OK)
#define GIB ((uint64_t)1 << 30)

/* >>device: a sparse device, whose zero pages take no memory ---------------------------------------- */
enum { PAGE = 65536, PAGES = 6 << 14 }; /* 6 GiB */

typedef struct sparse {
    uint8_t *pages[PAGES];
    uint64_t size, reads;
} sparse;

static const uint8_t zeros[PAGE];

static int sparse_read(void *user, uint64_t offset, void *out, size_t size, size_t *got)
{
    sparse *s = (sparse *)user;
    size_t n;
    *got = 0;
    s->reads++;
    for (; size && offset < s->size; size -= n, offset += n, *got += n) {
        const uint8_t *page = s->pages[offset / PAGE];
        n = PAGE - offset % PAGE;
        if (n > size) n = size;
        if (n > s->size - offset) n = (size_t)(s->size - offset);
        memcpy((uint8_t *)out + *got, (page ? page : zeros) + offset % PAGE, n);
    }
    return DX_CAS_OK;
}

static int sparse_write(void *user, uint64_t offset, const void *data, size_t size)
{
    sparse *s = (sparse *)user;
    const uint8_t *from = (const uint8_t *)data;
    size_t n;
    if (offset > (uint64_t)PAGES * PAGE || size > (uint64_t)PAGES * PAGE - offset) return DX_CAS_ENOSPACE;
    if (s->size < offset + size) s->size = offset + size;
    for (; size; size -= n, offset += n, from += n) {
        uint8_t **page = &s->pages[offset / PAGE];
        n = PAGE - offset % PAGE;
        if (n > size) n = size;
        if (!*page && memcmp(from, zeros, n) == 0) continue;
        if (!*page) *page = (uint8_t *)calloc(1, PAGE);
        memcpy(*page + offset % PAGE, from, n);
    }
    return DX_CAS_OK;
}

static int sparse_sync(void *user)
{
    (void)user;
    return DX_CAS_OK;
}

static int sparse_size(void *user, uint64_t *size)
{
    *size = ((sparse *)user)->size;
    return DX_CAS_OK;
}

static int sparse_truncate(void *user, uint64_t size)
{
    sparse *s = (sparse *)user;
    for (uint64_t at = size; at < s->size; at += PAGE - at % PAGE)
        if (s->pages[at / PAGE]) memset(s->pages[at / PAGE] + at % PAGE, 0, PAGE - at % PAGE);
    s->size = size;
    return DX_CAS_OK;
}

static dx_cas_device sparse_device(sparse *s)
{
    dx_cas_device d = {sparse_read, sparse_write, sparse_sync, sparse_size, sparse_truncate, s, NULL};
    return d;
}

static void sparse_empty(sparse *s)
{
    for (size_t i = 0; i < PAGES; i++) {
        free(s->pages[i]);
        s->pages[i] = NULL;
    }
    s->size = 0;
}

static void sparse_copy(sparse *to, const sparse *from)
{
    sparse_empty(to);
    for (size_t i = 0; i < PAGES; i++) {
        if (!from->pages[i]) continue;
        to->pages[i] = (uint8_t *)malloc(PAGE);
        memcpy(to->pages[i], from->pages[i], PAGE);
    }
    to->size = from->size;
}

static bool sparse_equal(const sparse *a, const sparse *b)
{
    bool equal = a->size == b->size;
    for (size_t i = 0; equal && i < PAGES; i++)
        equal = memcmp(a->pages[i] ? a->pages[i] : zeros, b->pages[i] ? b->pages[i] : zeros, PAGE) == 0;
    return equal;
}

/* >>store -------------------------------------------------------------------------------------- */
enum { LARGE = 8 << 20, LARGES = 511, SMALLS = 6000 };

static sparse disk, backup, side;
static uint8_t object[LARGE], got[LARGE];
static uint64_t memory[1 << 18], memory2[1 << 18];
static dx_cas_id ids[LARGES + SMALLS];

/* Object n: zeros, with n at both ends. From a little below 2^32 on, objects are small and of many sizes. */
static size_t object_of(uint32_t n)
{
    const size_t size = n < LARGES ? LARGE - 64 * (n % 7) : 8 + n * 37 % 4000;
    memset(object, 0, n < LARGES ? 8 : size);
    memset(object + size - 8, 0, 8);
    memcpy(object, &n, sizeof n);
    memcpy(object + size - sizeof n, &n, sizeof n);
    return size;
}

static void check_object(dx_cas_store *s, uint32_t n)
{
    size_t size;
    const size_t is = object_of(n);
    OK(dx_cas_get(s, &ids[n], got, sizeof got, &size));
    DX_CHECK_EQ(size, is);
    DX_CHECK_MEM(got, object, is);
    memset(object, 0, 8);
    memset(object + is - 8, 0, 8);
}

static void check_names(dx_cas_store *s)
{
    dx_cas_ref ref;
    for (uint32_t n = 0; n < LARGES + SMALLS; n += 50) {
        OK(dx_cas_ref_get(s, "a name", n / 50 + 1, &ref));
        DX_CHECK(dx_cas_id_equal(&ref.root, &ids[n]));
    }
    DX_CHECK_EQ(dx_cas_ref_get(s, "a name", (LARGES + SMALLS) / 50 + 2, &ref), DX_CAS_ENOTFOUND);
}

static void fill_store(dx_cas_store *s, dx_cas_desc *d)
{
    d->mode = DX_CAS_CREATE | DX_CAS_WRITE;
    OK(dx_cas_open(s, d));
    d->mode = DX_CAS_WRITE;
    for (uint32_t n = 0; n < LARGES + SMALLS; n++) {
        const size_t size = object_of(n);
        OK(dx_cas_put(s, object, size, &ids[n]));
        memset(object, 0, 8);
        memset(object + size - 8, 0, 8);
        if (n % 50 == 0) {
            dx_cas_ref ref;
            memset(&ref, 0, sizeof ref);
            strcpy(ref.name, "a name");
            ref.root = ids[n];
            OK(dx_cas_ref_set(s, &ref, n / 50, NULL));
        }
        if (n % 40 == 39) OK(dx_cas_commit(s));
    }
    OK(dx_cas_commit(s));
}

typedef struct heard {
    uint64_t offset[8];
    uint32_t kind[8];
    int      count;
} heard;

static int hear(void *user, const dx_cas_damage *damage)
{
    heard *h = (heard *)user;
    if (h->count < 8) {
        h->offset[h->count] = damage->offset;
        h->kind[h->count] = damage->kind;
    }
    h->count++;
    return 0;
}

static void damage(uint64_t at, size_t size)
{
    uint8_t bytes[64];
    size_t n;
    OK(sparse_read(&disk, at, bytes, size, &n));
    for (size_t i = 0; i < size; i++) bytes[i] ^= 0x55;
    OK(sparse_write(&disk, at, bytes, size));
}

/* The offset of the record whose payload is this object. */
static uint64_t place_of(uint32_t n)
{
    const size_t size = object_of(n);
    uint64_t at = n < LARGES ? 4096 : 3 * GIB;
    uint8_t is[LARGE < 4096 ? 1 : 4008];
    size_t had;
    DX_CHECK(n >= LARGES && size <= sizeof is);
    for (;; at += 8) {
        const uint8_t *page = disk.pages[at / PAGE];
        if (!page) at += PAGE - 8 - at % PAGE;
        DX_CHECK(at < disk.size);
        if (!page || memcmp(page + at % PAGE, &n, sizeof n) != 0) continue;
        OK(sparse_read(&disk, at, is, size, &had));
        if (had == size && memcmp(is, object, size) == 0) return at;
    }
}

DX_TEST(ca_1_a_store_beyond_four_gigabytes)
{
    static dx_cas_store s, other;
    dx_cas_desc d, o;
    dx_cas_stats stats;
    dx_cas_report report;
    dx_cas_repair_report repaired;
    heard h;
    uint64_t places[4];
    memset(&d, 0, sizeof d);
    d.device = sparse_device(&disk);
    d.memory = memory;
    d.memory_size = sizeof memory;
    d.object_size_max = LARGE;
    fill_store(&s, &d);
    dx_cas_get_stats(&s, &stats);
    DX_CHECK(stats.device_bytes > 4 * GIB + 1000000 && stats.logical_bytes > 4 * GIB - 50000000);
    for (uint32_t n = 0; n < LARGES + SMALLS; n += n < LARGES ? 97 : 7) check_object(&s, n);
    dx_cas_close(&s);

    /* Opened from the log, verified, and opened from a checkpoint. */
    OK(dx_cas_open(&s, &d));
    check_names(&s);
    for (uint32_t n = 3; n < LARGES + SMALLS; n += n < LARGES ? 97 : 3) check_object(&s, n);
    OK(dx_cas_verify(&s, NULL, NULL, &report));
    DX_CHECK_EQ(report.objects, LARGES + SMALLS);
    DX_CHECK(report.bytes > 4 * GIB - 50000000);
    dx_cas_close(&s);
    d.checkpoint = sparse_device(&side);
    OK(dx_cas_open(&s, &d));
    OK(dx_cas_checkpoint(&s));
    dx_cas_close(&s);
    disk.reads = 0;
    OK(dx_cas_open(&s, &d));
    DX_CHECK(disk.reads < 40);
    check_names(&s);
    for (uint32_t n = 5; n < LARGES + SMALLS; n += n < LARGES ? 97 : 3) check_object(&s, n);
    dx_cas_close(&s);

    /* Damage is found at its offset, not 2^32 bytes before, and repaired from a copy. */
    sparse_copy(&backup, &disk);
    o = d;
    memset(&o.checkpoint, 0, sizeof o.checkpoint);
    o.device = sparse_device(&backup);
    o.memory = memory2;
    o.memory_size = sizeof memory2;
    o.mode = DX_CAS_READ;
    places[0] = place_of(LARGES + 10);
    places[1] = place_of(LARGES + 5000);
    places[2] = place_of(LARGES + SMALLS - 1);
    DX_CHECK(places[1] > 4 * GIB && places[2] > 4 * GIB);
    damage(places[0] + 3, 4);
    damage(places[1] - 60, 32); /* its record header */
    damage(places[2] + 3, 4);
    memset(&h, 0, sizeof h);
    memset(&d.checkpoint, 0, sizeof d.checkpoint);
    d.mode = DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE;
    OK(dx_cas_open(&s, &d));
    DX_CHECK_EQ(dx_cas_verify(&s, hear, &h, NULL), DX_CAS_ECORRUPT);
    DX_CHECK(h.count >= 3 && h.count <= 8);
    for (int i = 0; i < 3; i++) {
        bool found = false;
        for (int k = 0; k < h.count; k++) found |= places[i] - h.offset[k] <= 64;
        DX_CHECK(found);
    }
    dx_cas_close(&s);
    OK(dx_cas_open(&other, &o));
    d.mode = DX_CAS_WRITE;
    OK(dx_cas_repair(&s, &d, &other, NULL, NULL, &repaired));
    DX_CHECK(repaired.lost == 0 && repaired.repaired >= 3 && repaired.bytes >= 12 && repaired.bytes < 2 * disk.size);
    dx_cas_close(&s);
    DX_CHECK(sparse_equal(&disk, &backup));
    dx_cas_close(&other);

    /* A writer is killed beyond 2^32; its uncommitted tail is cut off there. */
    OK(dx_cas_open(&s, &d));
    OK(dx_cas_put(&s, "not committed", 13, NULL));
    dx_cas_close(&s);
    OK(dx_cas_open(&s, &d));
    dx_cas_close(&s);
    DX_CHECK(sparse_equal(&disk, &backup));

    /* Compact everything reachable from names into another store. */
    sparse_empty(&backup);
    o.mode = DX_CAS_CREATE | DX_CAS_WRITE;
    OK(dx_cas_open(&other, &o));
    d.mode = DX_CAS_READ;
    OK(dx_cas_open(&s, &d));
    OK(dx_cas_compact_into(&s, &other));
    check_names(&other);
    dx_cas_close(&s);
    dx_cas_close(&other);
    sparse_empty(&disk);
    sparse_empty(&backup);
    sparse_empty(&side);
}

/* Content of five gigabytes, almost all of one repeated chunk, so that it takes little space. */
DX_TEST(ca_1_content_beyond_four_gigabytes)
{
    static dx_cas_store s;
    dx_cas_desc d;
    dx_cas_writer_desc w;
    static dx_cas_writer writer;
    static dx_cas_reader reader;
    dx_cas_content content;
    const uint64_t marks[] = {5, 4 * GIB - 3, 4 * GIB + 777, 5 * GIB - 9};
    const uint64_t size = 5 * GIB;
    uint64_t at = 0, start, chunk_size;
    dx_cas_id id;
    memset(&d, 0, sizeof d);
    d.device = sparse_device(&disk);
    d.memory = memory;
    d.memory_size = sizeof memory;
    d.mode = DX_CAS_CREATE | DX_CAS_WRITE;
    OK(dx_cas_open(&s, &d));
    memset(&w, 0, sizeof w);
    w.store = &s;
    w.memory_size = dx_cas_writer_memory_size(&w);
    w.memory = malloc(w.memory_size);
    OK(dx_cas_writer_begin(&writer, &w));
    memset(object, 0, sizeof object);
    for (; at < size; at += LARGE) {
        for (int i = 0; i < 4; i++)
            for (size_t k = 0; k < 6; k++)
                if (marks[i] + k - at < LARGE) object[marks[i] + k - at] = (uint8_t)("marks\n"[k] + i);
        OK(dx_cas_writer_write(&writer, object, LARGE, NULL));
        memset(object, 0, sizeof object);
    }
    OK(dx_cas_writer_finish(&writer, &content));
    DX_CHECK_EQ(content.size, size);
    OK(dx_cas_commit(&s));
    free(w.memory);
    w.memory_size = dx_cas_reader_memory_size(0);
    w.memory = malloc(w.memory_size);
    OK(dx_cas_reader_open(&reader, &s, &content.root, w.memory, w.memory_size));
    DX_CHECK_EQ(reader.size, size);
    for (int i = 3; i >= 0; i--) {
        uint8_t is[8];
        size_t n;
        OK(dx_cas_reader_read(&reader, marks[i] - 1, is, 8, &n));
        DX_CHECK_EQ(n, 8);
        DX_CHECK(is[0] == 0 && is[7] == 0);
        for (size_t k = 0; k < 6; k++) DX_CHECK_EQ(is[1 + k], (uint8_t)("marks\n"[k] + i));
        OK(dx_cas_reader_chunk(&reader, marks[i], &id, &start, &chunk_size));
        DX_CHECK(start <= marks[i] && marks[i] - start < chunk_size && chunk_size <= 262144);
        OK(dx_cas_get(&s, &id, got, sizeof got, &n));
        DX_CHECK_EQ(n, chunk_size);
        DX_CHECK_EQ(got[marks[i] - start], (uint8_t)('m' + i));
    }
    OK(dx_cas_verify(&s, NULL, NULL, NULL));
    free(w.memory);
    dx_cas_close(&s);
    sparse_empty(&disk);
}
