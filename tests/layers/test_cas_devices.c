/* Devices for dx_cas.h: the memory device, the write-combining device, the memory-mapped device.
   cc -std=c11 -O2 tests/layers/test_cas_devices.c -o build/test_cas_devices */
#define _GNU_SOURCE 1
#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#include "../../layers/dx_devices.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#if defined(__unix__)
#include <sys/mman.h>
#endif

#define OK(call) DX_CHECK_EQ(call, DX_CAS_OK)

/* A memory device that counts calls, and keeps a copy of the synced bytes. */
typedef struct counted {
    dx_devices_memory memory;
    dx_cas_device inner;
    unsigned      reads, writes, syncs, fail; /* fail: every write, with that error */
    uint8_t       bytes[1 << 18];
} counted;

static int counted_read(void *user, uint64_t offset, void *out, size_t size, size_t *got)
{
    counted *c = (counted *)user;
    c->reads++;
    return c->inner.read(c->inner.user, offset, out, size, got);
}

static int counted_write(void *user, uint64_t offset, const void *data, size_t size)
{
    counted *c = (counted *)user;
    c->writes++;
    return c->fail ? -(int)c->fail : c->inner.write(c->inner.user, offset, data, size);
}

static int counted_sync(void *user)
{
    ((counted *)user)->syncs++;
    return DX_CAS_OK;
}

static int counted_size(void *user, uint64_t *size)
{
    counted *c = (counted *)user;
    return c->inner.size(c->inner.user, size);
}

static int counted_truncate(void *user, uint64_t size)
{
    counted *c = (counted *)user;
    return c->inner.truncate(c->inner.user, size);
}

static dx_cas_device counted_device(counted *c, size_t capacity)
{
    dx_cas_device d = {counted_read, counted_write, counted_sync, counted_size, counted_truncate, c, NULL};
    memset(c, 0, sizeof *c);
    c->memory.data = c->bytes;
    c->memory.capacity = capacity;
    c->inner = dx_devices_memory_device(&c->memory);
    return d;
}

static counted disk;
static uint64_t work[1 << 15];

static void open_on(dx_cas_store *s, dx_cas_device device, uint32_t durability)
{
    dx_cas_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.device = device;
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    desc.durability = durability;
    desc.memory = work;
    desc.memory_size = sizeof work;
    OK(dx_cas_open(s, &desc));
}

/* Whatever is done to it, it answers like the underlying device alone, which has the same bytes after a sync. */
DX_PROPERTY(ca_1_gathered_writes_read_as_if_they_were_written, 400)
{
    static uint8_t buffer[512], bytes[600], is[4096], want[4096], model_bytes[4096];
    dx_devices_memory model = {model_bytes, sizeof model_bytes, 0};
    dx_cas_device m = dx_devices_memory_device(&model), g;
    dx_devices_buffer gather = {counted_device(&disk, sizeof model_bytes), buffer, (size_t)dx_choose(c, sizeof buffer), 0, 0};
    g = dx_devices_buffer_device(&gather);
    for (uint64_t steps = dx_choose(c, 60); steps > 0; steps--) {
        uint64_t what = dx_choose(c, 9), size = dx_choose(c, dx_choose(c, 5) ? 60 : 600), at = dx_choose(c, 3000), a = 0, b = 0;
        size_t is_got = 0, want_got = 0;
        if (what < 5 || at > model.size) at = model.size; /* most are sequential */
        for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)(steps + i * 7);
        if (what < 7 && at + size <= sizeof model_bytes) {
            OK(g.write(g.user, at, bytes, (size_t)size));
            OK(m.write(m.user, at, bytes, (size_t)size));
        } else if (what == 7) {
            OK(g.truncate(g.user, at));
            OK(m.truncate(m.user, at));
        } else if (what == 8) {
            OK(g.sync(g.user));
            DX_CHECK_EQ(disk.memory.size, model.size);
            DX_CHECK_MEM(disk.bytes, model_bytes, model.size);
        }
        OK(g.size(g.user, &a));
        OK(m.size(m.user, &b));
        DX_CHECK_EQ(a, b);
        at = dx_choose(c, 3000);
        size = dx_choose(c, 600);
        OK(g.read(g.user, at, is, (size_t)size, &is_got));
        OK(m.read(m.user, at, want, (size_t)size, &want_got));
        DX_CHECK_EQ(is_got, want_got);
        DX_CHECK_MEM(is, want, is_got);
    }
    OK(dx_devices_buffer_flush(&gather));
    DX_CHECK_EQ(disk.memory.size, model.size);
    DX_CHECK_MEM(disk.bytes, model_bytes, model.size);
}

DX_TEST(ca_1_a_commit_of_many_puts_is_one_write_and_one_sync)
{
    static uint8_t buffer[65536], bytes[700], back[700];
    dx_devices_buffer gather = {counted_device(&disk, sizeof disk.bytes), buffer, sizeof buffer, 0, 0};
    dx_cas_store s, reader;
    dx_cas_id ids[40];
    size_t size;
    open_on(&s, dx_devices_buffer_device(&gather), DX_CAS_FULL_ONCE);
    for (unsigned round = 0; round < 2; round++) {
        disk.writes = disk.syncs = 0;
        for (unsigned i = 0; i < 40; i++) {
            memset(bytes, (int)(i + 100 * round), sizeof bytes);
            OK(dx_cas_put(&s, bytes, sizeof bytes, &ids[i]));
            OK(dx_cas_get(&s, &ids[i / 2], back, sizeof back, &size)); /* while it is in the buffer */
            DX_CHECK_EQ(back[0], i / 2 + 100 * round);
        }
        DX_CHECK_EQ(disk.writes, 0);
        OK(dx_cas_commit(&s));
        DX_CHECK_EQ(disk.writes, 1);
        DX_CHECK_EQ(disk.syncs, 1);
    }
    OK(dx_cas_verify(&s, NULL, NULL, NULL));
    dx_cas_close(&s);
    open_on(&reader, gather.inner, DX_CAS_FULL_ONCE); /* the underlying device alone has everything */
    OK(dx_cas_verify(&reader, NULL, NULL, NULL));
    for (unsigned i = 0; i < 40; i++) OK(dx_cas_get(&reader, &ids[i], back, sizeof back, &size));
}

DX_TEST(ca_1_two_syncs_stay_two_and_in_their_order)
{
    static uint8_t buffer[4096];
    dx_devices_buffer gather = {counted_device(&disk, sizeof disk.bytes), buffer, sizeof buffer, 0, 0};
    dx_cas_store s;
    open_on(&s, dx_devices_buffer_device(&gather), DX_CAS_FULL);
    disk.writes = disk.syncs = 0;
    OK(dx_cas_put(&s, "one", 3, NULL));
    OK(dx_cas_put(&s, "two", 3, NULL));
    OK(dx_cas_commit(&s));
    DX_CHECK_EQ(disk.writes, 2); /* the records; the commit that names them */
    DX_CHECK_EQ(disk.syncs, 2);
}

DX_TEST(ca_1_without_durability_a_flush_hands_it_on)
{
    static uint8_t buffer[4096];
    dx_devices_buffer gather = {counted_device(&disk, sizeof disk.bytes), buffer, sizeof buffer, 0, 0};
    dx_cas_store s, other;
    dx_cas_id id;
    unsigned syncs;
    open_on(&s, dx_devices_buffer_device(&gather), DX_CAS_NONE);
    syncs = disk.syncs;
    OK(dx_cas_put(&s, "one", 3, &id));
    OK(dx_cas_commit(&s));
    OK(dx_devices_buffer_flush(&gather));
    DX_CHECK_EQ(disk.syncs, syncs);
    open_on(&other, gather.inner, DX_CAS_NONE);
    OK(dx_cas_has(&other, &id));
}

DX_TEST(ca_1_a_full_device_behind_the_buffer_loses_nothing)
{
    static uint8_t buffer[2048], bytes[500], back[500];
    dx_devices_buffer gather = {counted_device(&disk, 8000), buffer, sizeof buffer, 0, 0};
    dx_cas_store s;
    dx_cas_id ids[20];
    unsigned count = 0;
    size_t size;
    int error = DX_CAS_OK;
    open_on(&s, dx_devices_buffer_device(&gather), DX_CAS_FULL_ONCE);
    for (; error == DX_CAS_OK && count < 20; count += error == DX_CAS_OK) {
        memset(bytes, (int)count, sizeof bytes);
        error = dx_cas_put(&s, bytes, sizeof bytes, &ids[count]);
    }
    DX_CHECK_EQ(error, DX_CAS_ENOSPACE);
    DX_CHECK(count > 10);
    DX_CHECK_EQ(dx_cas_has(&s, &ids[count]), DX_CAS_ENOTFOUND);
    for (unsigned i = 0; i < count; i++) {
        OK(dx_cas_get(&s, &ids[i], back, sizeof back, &size));
        DX_CHECK_EQ(back[0], i);
    }
    disk.memory.capacity = sizeof disk.bytes; /* room again: the buffer is written */
    OK(dx_cas_put(&s, bytes, sizeof bytes, &ids[count]));
    OK(dx_cas_commit(&s));
    OK(dx_cas_verify(&s, NULL, NULL, NULL));
    disk.fail = (unsigned)-DX_CAS_ESYS; /* a write that fails in the commit is the commit's error */
    OK(dx_cas_put(&s, "more", 4, NULL));
    DX_CHECK_EQ(dx_cas_commit(&s), DX_CAS_ESYS);
    DX_CHECK_EQ(dx_cas_put(&s, "again", 5, NULL), DX_CAS_EFAILED);
    disk.fail = 0;
    dx_cas_close(&s);
    open_on(&s, gather.inner, DX_CAS_FULL_ONCE);
    for (unsigned i = 0; i <= count; i++) OK(dx_cas_has(&s, &ids[i]));
}

/* Like the underlying device alone, wherever the view ends. */
DX_PROPERTY(ca_1_a_view_reads_as_the_device_behind_it, 400)
{
    static uint8_t data[4096], one[4096], two[4096];
    dx_devices_mapped view = {counted_device(&disk, sizeof disk.bytes), disk.bytes, 0};
    dx_cas_device device = dx_devices_mapped_device(&view);
    size_t steps = (size_t)dx_choose_range(c, 1, 30);
    for (size_t k = 0; k < steps; k++) {
        uint64_t at = dx_choose(c, 6000), size = dx_choose(c, 3000), length, same;
        size_t got = 99, expected = 99;
        switch (dx_choose(c, 4)) {
        case 0:
            for (size_t i = 0; i < size; i++) data[i] = (uint8_t)(k + i);
            OK(device.write(device.user, at, data, (size_t)size));
            break;
        case 1: OK(device.truncate(device.user, at)); break;
        case 2:
            OK(device.size(device.user, &view.size));
            view.size -= dx_choose(c, view.size < 100 ? view.size : 100);
            break;
        default:
            OK(device.read(device.user, at, one, (size_t)size, &got));
            OK(disk.inner.read(disk.inner.user, at, two, (size_t)size, &expected));
            DX_CHECK_EQ(got, expected);
            DX_CHECK_MEM(one, two, got);
        }
        OK(device.size(device.user, &length));
        OK(disk.inner.size(disk.inner.user, &same));
        DX_CHECK_EQ(length, same);
        DX_CHECK(view.size <= length);
    }
}

#if defined(__unix__)
DX_TEST(ca_2_a_get_from_a_mapped_file_calls_no_device_and_is_still_checked)
{
    static const char path[] = "build/test_cas_devices.store";
    static uint8_t content[3000], back[3000];
    dx_cas_store s;
    dx_cas_file file;
    dx_cas_id ids[20];
    size_t got;
    remove(path);
    OK(dx_cas_file_open(&file, path, DX_CAS_WRITE | DX_CAS_CREATE));
    dx_devices_mapped view = {dx_cas_file_device(&file), NULL, 0};
    open_on(&s, dx_devices_mapped_device(&view), DX_CAS_FULL);
    for (size_t k = 0; k < 20; k++) {
        memset(content, (int)k, sizeof content);
        OK(dx_cas_put(&s, content, sizeof content, &ids[k]));
    }
    OK(dx_cas_commit(&s));
    uint64_t size;
    OK(view.inner.size(view.inner.user, &size));
    FILE *f = fopen(path, "r+b");
    DX_CHECK(f != NULL);
    void *map = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fileno(f), 0);
    DX_CHECK(map != MAP_FAILED);
    view.bytes = map;
    view.size = size;
    view.inner.read = NULL; /* a call would crash the test */
    for (size_t k = 0; k < 20; k++) {
        OK(dx_cas_get(&s, &ids[k], back, sizeof back, &got));
        DX_CHECK(got == sizeof back && back[0] == k && back[2999] == k);
    }
    for (long at = 100; at < (long)size; at += 500) { /* damage is visible through the mapping */
        fseek(f, at, SEEK_SET);
        fputc(0xee, f);
    }
    DX_CHECK_EQ(fflush(f), 0);
    DX_CHECK_EQ(dx_cas_get(&s, &ids[7], back, sizeof back, &got), DX_CAS_ECORRUPT);
    munmap(map, (size_t)size);
    fclose(f);
    dx_cas_close(&s);
    dx_cas_file_close(&file);
    remove(path);
}
#endif
