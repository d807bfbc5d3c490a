/* The rest of dx_cas.h works: a store in memory is written, reopened, read, verified and collected; with streams, deltas and
   repair unless they were removed. Status 0, or prints what failed. */
#define DX_CAS_IMPLEMENTATION
#include "../../../dx_cas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct medium {
    uint8_t bytes[1 << 20];
    uint64_t size;
} medium;
static medium first, second;
static uint8_t memory[2][1 << 20], text[5000], back[5000];

#define CHECK(call) \
    do { \
        int got_ = (call); \
        if (got_) { \
            printf("line %d: %s: %d\n", __LINE__, #call, got_); \
            exit(1); \
        } \
    } while (0)

static int medium_read(void *user, uint64_t offset, void *to, size_t size, size_t *got)
{
    const medium *m = (const medium *)user;
    *got = offset >= m->size ? 0 : m->size - offset < size ? (size_t)(m->size - offset) : size;
    memcpy(to, m->bytes + (*got ? offset : 0), *got);
    return 0;
}
static int medium_write(void *user, uint64_t offset, const void *data, size_t size)
{
    medium *m = (medium *)user;
    if (offset > sizeof m->bytes || size > sizeof m->bytes - offset) return DX_CAS_ENOSPACE;
    memcpy(m->bytes + offset, data, size);
    if (offset + size > m->size) m->size = offset + size;
    return 0;
}
static int medium_sync(void *user) { return (void)user, 0; }
static int medium_size(void *user, uint64_t *size) { return *size = ((medium *)user)->size, 0; }
static int medium_truncate(void *user, uint64_t size) { return ((medium *)user)->size = size, 0; }

static dx_cas_desc desc_of(medium *m, int which)
{
    dx_cas_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.device.read = medium_read;
    desc.device.write = medium_write;
    desc.device.sync = medium_sync;
    desc.device.size = medium_size;
    desc.device.truncate = medium_truncate;
    desc.device.user = m;
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    desc.memory = memory[which];
    desc.memory_size = sizeof memory[which];
    desc.object_size_max = 65536;
    return desc;
}

static void name(dx_cas_store *s, const char *as, const dx_cas_id *root)
{
    dx_cas_ref ref;
    uint64_t version;
    memset(&ref, 0, sizeof ref);
    strcpy(ref.name, as);
    ref.root = *root;
    CHECK(dx_cas_ref_set(s, &ref, DX_CAS_ANY_VERSION, &version));
}

static void objects(dx_cas_store *s)
{
    dx_cas_id id;
    CHECK(dx_cas_put(s, text, sizeof text, &id));
    name(s, "object", &id);
    CHECK(dx_cas_commit(s));
}

static void objects_are_there(dx_cas_store *s)
{
    dx_cas_ref ref;
    size_t size = 0;
    CHECK(dx_cas_ref_get(s, "object", 0, &ref));
    CHECK(dx_cas_get(s, &ref.root, back, sizeof back, &size));
    CHECK(size != sizeof text || memcmp(back, text, size) != 0);
    CHECK(dx_cas_verify(s, NULL, NULL, NULL));
}

#ifndef DX_CAS_NO_STREAMS
static void streams(dx_cas_store *s)
{
    static uint8_t work[DX_CAS_LEVELS_MAX * DX_CAS_NODE_SIZE_MAX + 262144];
    dx_cas_writer_desc how;
    dx_cas_writer writer;
    dx_cas_reader reader;
    dx_cas_content content;
    size_t got = 0;
    memset(&how, 0, sizeof how);
    how.store = s;
    how.chunker.size_avg = 512;
    how.memory = work;
    how.memory_size = sizeof work;
    CHECK(dx_cas_writer_begin(&writer, &how));
    CHECK(dx_cas_writer_write(&writer, text, sizeof text, NULL));
    CHECK(dx_cas_writer_finish(&writer, &content));
    name(s, "stream", &content.root);
    CHECK(dx_cas_commit(s));
    CHECK(dx_cas_reader_open(&reader, s, &content.root, work, sizeof work));
    CHECK(dx_cas_reader_read(&reader, 100, back, sizeof back, &got));
    CHECK(got != sizeof text - 100 || memcmp(back, text + 100, got) != 0);
}
#endif

#ifndef DX_CAS_NO_DELTAS
/* A delta of 100 bytes at the end: the base's length is implied. */
static int encode(void *user, void *to, size_t capacity, const void *base, size_t base_size, const void *in, size_t n, size_t *got)
{
    (void)user;
    if (n != base_size || n < 100 || capacity < 100 || memcmp(base, in, n - 100) != 0) return DX_CAS_ENOSPACE;
    memcpy(to, (const uint8_t *)in + n - 100, *got = 100);
    return 0;
}
static int decode(void *user, void *to, size_t capacity, const void *base, size_t base_size, const void *in, size_t n, size_t *got)
{
    (void)user;
    if (n != 100 || base_size < 100 || capacity < base_size) return DX_CAS_ECORRUPT;
    memcpy(to, base, base_size);
    memcpy((uint8_t *)to + base_size - 100, in, 100);
    *got = base_size;
    return 0;
}

static void deltas(void)
{
    static uint8_t work[4 * 65536];
    static const dx_cas_delta_coder coder = {128, encode, decode, NULL};
    static medium m;
    dx_cas_store s;
    dx_cas_delta delta;
    dx_cas_delta_desc how;
    dx_cas_desc desc = desc_of(&m, 0);
    dx_cas_codec codecs[2];
    dx_cas_id id, base;
    uint32_t depth = 0;
    size_t size = 0;
    memset(&how, 0, sizeof how);
    memset(codecs, 0, sizeof codecs);
    how.store = &s;
    how.coders = &coder;
    how.coder_count = 1;
    how.memory = work;
    how.memory_size = sizeof work;
    how.object_size_max = 65536;
    CHECK(dx_cas_delta_init(&delta, &how));
    codecs[0] = dx_cas_delta_codec(&delta);
    desc.codecs = codecs;
    desc.codec_count = 1;
    CHECK(dx_cas_open(&s, &desc));
    CHECK(dx_cas_put(&s, text, sizeof text, &base));
    text[sizeof text - 1] ^= 1;
    CHECK(dx_cas_delta_put(&delta, text, sizeof text, &base, 0, &id));
    CHECK(dx_cas_delta_base(&delta, &id, &base, &depth));
    CHECK(depth != 1);
    CHECK(dx_cas_get(&s, &id, back, sizeof back, &size));
    CHECK(size != sizeof text || memcmp(back, text, size) != 0);
    text[sizeof text - 1] ^= 1;
    dx_cas_close(&s);
}
#endif

int main(void)
{
    dx_cas_store s, copy;
    dx_cas_desc desc = desc_of(&first, 0), other = desc_of(&second, 1);
    size_t i;
    for (i = 0; i < sizeof text; i++) text[i] = (uint8_t)(i * i >> 4);
    CHECK(dx_cas_open(&s, &desc));
    objects(&s);
#ifndef DX_CAS_NO_STREAMS
    streams(&s);
#endif
    dx_cas_close(&s);
    CHECK(dx_cas_open(&s, &desc));
    objects_are_there(&s);
    CHECK(dx_cas_open(&copy, &other));
    CHECK(dx_cas_compact_into(&s, &copy));
    objects_are_there(&copy);
    dx_cas_close(&s);
#ifndef DX_CAS_NO_REPAIR
    {
        dx_cas_repair_report report;
        for (i = 0; i + 64 < first.size && memcmp(first.bytes + i, text, 64) != 0; i++) continue;
        CHECK(i + 64 >= first.size);
        first.bytes[i] ^= 1; /* a byte of the object */
        CHECK(dx_cas_repair(&s, &desc, &copy, NULL, NULL, &report));
        CHECK(report.repaired == 0);
        objects_are_there(&s);
        dx_cas_close(&s);
    }
#endif
    dx_cas_close(&copy);
#ifndef DX_CAS_NO_DELTAS
    deltas();
#endif
    return 0;
}
