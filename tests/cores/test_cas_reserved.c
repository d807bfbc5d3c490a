/* Every reserved byte of every format of dx_cas.h and its layers must have its reserved value (mostly zero) and is refused
   otherwise, even if all checksums, hashes and the commit chain are right: else a later version's meaning would be lost silently,
   or two readers would see different things.
   cc -std=c11 -O2 tests/cores/test_cas_reserved.c -o build/test_cas_reserved */
#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#include "../../layers/dx_devices.h"
#include "../../layers/dx_nor.h"
#include "../../layers/dx_tree.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#define OK(call) DX_CHECK_EQ(call, DX_CAS_OK)

static uint8_t disk[16384], side[4096], payload[512], area[16384];
static uint64_t work[8192];
static dx_devices_memory memory, side_memory;
static dx_cas_store store;
static uint32_t durability; /* FULL, so that nothing looks like a power cut */

static dx_cas_desc describe(uint32_t mode)
{
    dx_cas_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.device = dx_devices_memory_device(&memory);
    desc.mode = mode;
    desc.memory = work;
    desc.memory_size = sizeof work;
    desc.durability = durability;
    return desc;
}

static int open_store(uint32_t mode)
{
    dx_cas_desc desc = describe(mode);
    return dx_cas_open(&store, &desc);
}

static void create(void)
{
    dx_devices_memory fresh = {disk, sizeof disk, 0};
    memory = fresh;
    OK(open_store(DX_CAS_WRITE | DX_CAS_CREATE));
    OK(dx_cas_put(&store, "object", 6, NULL));
}

/* Any value except the right one. */
static uint64_t other_than(dx_choices *c, uint64_t right, uint64_t most)
{
    uint64_t value = dx_choose(c, most - 1);
    return value < right ? value : value + 1;
}

/* Append a record as a program would that knows the format but not what is reserved. */
static void append(dx_cas_ext_record *r, const void *bytes, size_t size)
{
    r->stored = size;
    if (r->codec == 0) r->logical = size;
    dx_cas_p_id_of(r->type, bytes, size, &r->id);
    OK(dx_cas_p_append(&store, r, bytes, true));
    OK(dx_cas_commit(&store));
}

/* Committed data is damaged: opening or checking it must report that. */
static void must_be_refused(uint32_t mode)
{
    int error = open_store(mode);
    if (error == DX_CAS_OK) error = dx_cas_verify(&store, NULL, NULL, NULL);
    DX_CHECK_EQ(error, DX_CAS_ECORRUPT);
}

/* Set a reserved byte in both copies of a store header to v, and fix their CRCs. */
static void spoil_store_header(uint8_t *head, unsigned at, uint8_t v)
{
    for (unsigned copy = 0; copy < 2; copy++, head += 64) {
        head[at] = v;
        dx_cas_p_store32(head + 60, dx_cas_p_crc32c(0, head, 60));
    }
}

static unsigned reserved_of_store_header(dx_choices *c)
{
    unsigned at = (unsigned)dx_choose_range(c, 32, 58);
    return at < 56 ? at : at + 1;
}

DX_PROPERTY(st_6_reserved_bytes_of_the_store_header, 600)
{
    unsigned at = reserved_of_store_header(c);
    uint8_t v = (uint8_t)other_than(c, 0, 255), was[sizeof disk];
    create();
    OK(dx_cas_commit(&store));
    spoil_store_header(disk, at, v);
    memcpy(was, disk, sizeof disk);
    DX_CHECK_EQ(open_store(DX_CAS_READ), DX_CAS_EZERO);
    DX_CHECK_EQ(open_store(DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE), DX_CAS_EZERO);
    DX_CHECK_EQ(open_store(DX_CAS_WRITE | DX_CAS_CREATE), DX_CAS_EZERO);
    DX_CHECK_MEM(was, disk, sizeof disk); /* and nothing was written */
}

/* Unknown features are for a later version to define. */
DX_PROPERTY(st_6_unknown_features_of_the_store_header, 200)
{
    create();
    spoil_store_header(disk, (unsigned)dx_choose_range(c, 13, 15), (uint8_t)other_than(c, 0, 255));
    DX_CHECK_EQ(open_store(DX_CAS_WRITE), DX_CAS_EVERSION);
}

DX_PROPERTY(st_6_flags_and_codecs_of_record_headers, 600)
{
    dx_cas_ext_record r;
    dx_cas_p_ref ref;
    size_t size = 56;
    memset(&r, 0, sizeof r);
    create();
    memset(payload, 0, sizeof payload);
    r.type = (uint32_t)dx_choose_range(c, DX_CAS_EXT_BLOB, DX_CAS_EXT_REF);
    if (r.type == DX_CAS_EXT_REF) {
        memset(&ref, 0, sizeof ref);
        ref.op = DX_CAS_EXT_DELETE;
        strcpy(ref.ref.name, "x");
        ref.ref.version = 1;
        ref.ref.oldest = 2;
        size = dx_cas_p_encode_ref(&ref, payload);
    }
    if (r.type != DX_CAS_EXT_BLOB && dx_choose(c, 1)) {
        r.codec = (uint32_t)dx_choose_range(c, 1, 255);
        r.logical = size;
        r.flags = r.type == DX_CAS_EXT_LIST;
    } else {
        r.flags = (uint32_t)dx_choose_range(c, r.type == DX_CAS_EXT_LIST ? 9 : 1, 65535);
    }
    append(&r, payload, size);
    must_be_refused(dx_choose(c, 1) ? DX_CAS_WRITE : DX_CAS_READ);
}

/* Undefined marks, loose without once, and a third copy. Nothing follows, so the log ends before such a commit. */
DX_PROPERTY(st_6_flags_of_commits, 300)
{
    dx_cas_stats stats;
    uint64_t place;
    bool copy = dx_choose(c, 1) == 1;
    uint32_t marks = 0;
    durability = DX_CAS_FULL_ONCE;
    create();
    durability = DX_CAS_FULL;
    place = store.end_;
    if (!copy) marks = dx_choose(c, 4) ? (uint32_t)dx_choose_range(c, 16, 255) : (uint32_t)(4 + dx_choose(c, 1));
    store.desc_.durability = DX_CAS_FULL; /* only our mark */
    OK(dx_cas_p_commit(&store, marks));
    if (copy) {
        for (unsigned i = 0; i < 2; i++) {
            uint8_t *head = disk + place + 64 * i;
            head[6] = (uint8_t)dx_choose_range(c, 3, 255);
            dx_cas_p_store32(head + 60, dx_cas_p_head_crc(place + 64 * i, head));
        }
    }
    OK(open_store(DX_CAS_READ));
    dx_cas_get_stats(&store, &stats);
    DX_CHECK_EQ(stats.commits, 0);
}

/* Names: fields that a trim or a delete does not use are zero. */
DX_PROPERTY(st_6_zero_fields_of_names, 1500)
{
    dx_cas_ext_record r;
    dx_cas_p_ref ref;
    size_t size;
    unsigned at;
    memset(&r, 0, sizeof r);
    memset(&ref, 0, sizeof ref);
    create();
    ref.op = (uint32_t)dx_choose_range(c, DX_CAS_EXT_SET, DX_CAS_EXT_DELETE);
    strcpy(ref.ref.name, "name");
    ref.ref.version = 5;
    ref.ref.oldest = ref.op == DX_CAS_EXT_DELETE ? 6 : 3;
    ref.ref.previous_ = ref.op == DX_CAS_EXT_TRIM ? 128 : 0;
    dx_cas_hash("object", 6, &ref.ref.root);
    if (ref.op != DX_CAS_EXT_SET) memset(&ref.ref.root, 0, sizeof ref.ref.root);
    size = dx_cas_p_encode_ref(&ref, payload);
    DX_CHECK(dx_cas_p_decode_ref(payload, size, &ref)); /* valid before the change */
    at = 3;
    if (payload[0] == DX_CAS_EXT_TRIM && dx_choose(c, 9)) at = (unsigned)dx_choose_range(c, 28, 107);
    if (payload[0] == DX_CAS_EXT_DELETE && dx_choose(c, 9)) at = (unsigned)dx_choose_range(c, 12, 107);
    if (at >= 28 && at < 32) at -= 24;               /* kind */
    else if (at >= 12 && at < 16) at -= 8;           /* the same */
    else if (payload[0] == DX_CAS_EXT_DELETE && at < 24 && at > 3) at = 24; /* the offset of another version */
    else if (at > 31) at += 4;
    payload[at] = (uint8_t)other_than(c, 0, 255);
    if (dx_choose(c, 9) == 0 && payload[0] != DX_CAS_EXT_SET) { /* or info */
        payload[2] = 1;
        payload[size++] = 'i';
    }
    r.type = DX_CAS_EXT_REF;
    append(&r, payload, size);
    must_be_refused(dx_choose(c, 1) ? DX_CAS_WRITE : DX_CAS_READ);
}

DX_PROPERTY(st_6_reserved_bytes_of_list_nodes, 200)
{
    dx_cas_ext_record r;
    memset(&r, 0, sizeof r);
    create();
    memset(payload, 0, sizeof payload);
    payload[0] = payload[4] = 1;
    payload[8] = 6;
    payload[48] = 6;
    dx_cas_hash("object", 6, (dx_cas_id *)(void *)(payload + 16));
    r.type = DX_CAS_EXT_LIST;
    r.flags = 1;
    payload[dx_choose_range(c, 1, 3)] = (uint8_t)other_than(c, 0, 255);
    append(&r, payload, 56);
    must_be_refused(dx_choose(c, 1) ? DX_CAS_WRITE : DX_CAS_READ);
}

DX_PROPERTY(st_6_padding_of_the_store, 400)
{
    unsigned at;
    dx_cas_desc desc = describe(DX_CAS_WRITE | DX_CAS_CREATE);
    dx_devices_memory fresh = {disk, sizeof disk, 0};
    memory = fresh;
    desc.device = dx_devices_memory_device(&memory);
    desc.align = 512;
    OK(dx_cas_open(&store, &desc));
    OK(dx_cas_put(&store, "object", 6, NULL));
    OK(dx_cas_commit(&store));
    at = (unsigned)dx_choose(c, 2);
    at = at == 0 ? (unsigned)dx_choose_range(c, 128, 511) : at == 1 ? (unsigned)dx_choose_range(c, 512 + 70, 1023)
                                                              : (unsigned)dx_choose_range(c, 1024 + 128, 1535);
    disk[at] = (uint8_t)other_than(c, 0, 255);
    must_be_refused(DX_CAS_READ); /* a writer zeroes the last commit's */
}

/* Reserved codecs can neither be registered nor read. */
DX_PROPERTY(st_6_reserved_codecs, 250)
{
    static const dx_cas_delta_coder none = {0, NULL, NULL, NULL};
    dx_cas_ext_record r;
    dx_cas_delta delta;
    dx_cas_delta_coder coder = none;
    dx_cas_delta_desc how;
    dx_cas_codec codec;
    dx_cas_desc desc = describe(DX_CAS_READ);
    uint8_t bytes[16];
    size_t size;
    memset(&r, 0, sizeof r);
    create();
    r.type = DX_CAS_EXT_BLOB;
    r.codec = (uint32_t)dx_choose_range(c, 3, 127);
    r.logical = 9;
    append(&r, "0123456789", 10);
    OK(open_store(DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE) == DX_CAS_ENOTSUP ? 0 : dx_cas_get(&store, &r.id, bytes, sizeof bytes, &size) != DX_CAS_ENOTSUP);
    memset(&how, 0, sizeof how);
    how.store = &store;
    how.coders = &coder;
    how.coder_count = 1;
    how.memory = work;
    how.memory_size = sizeof work;
    how.object_size_max = 1000;
    coder.encode = coder.decode = (int (*)(void *, void *, size_t, const void *, size_t, const void *, size_t, size_t *))1;
    coder.number = (uint8_t)r.codec;
    DX_CHECK_EQ(dx_cas_delta_init(&delta, &how), DX_CAS_EINVAL);
    coder.number = 200;
    OK(dx_cas_delta_init(&delta, &how));
    codec = dx_cas_delta_codec(&delta);
    codec.number = (uint8_t)r.codec;
    desc.codecs = &codec;
    desc.codec_count = 1;
    DX_CHECK_EQ(dx_cas_open(&store, &desc), DX_CAS_EINVAL);
}

/* >>checkpoint ------------------------------------------------------------ */
/* Unused bits of an entry: the block is ignored, and the log is read instead. */
DX_PROPERTY(st_6_reserved_bits_of_the_checkpoint, 300)
{
    dx_devices_memory fresh = {side, sizeof side, 0};
    dx_cas_desc desc = describe(DX_CAS_WRITE);
    dx_cas_ref ref;
    dx_cas_hasher h;
    uint64_t count, entry, high;
    create();
    memset(&ref, 0, sizeof ref);
    strcpy(ref.name, "x");
    dx_cas_hash("object", 6, &ref.root);
    OK(dx_cas_ref_set(&store, &ref, 0, NULL));
    OK(dx_cas_commit(&store));
    side_memory = fresh;
    desc.checkpoint = dx_devices_memory_device(&side_memory);
    OK(dx_cas_open(&store, &desc));
    OK(dx_cas_checkpoint(&store));
    count = dx_cas_p_load64(side + 8);
    entry = 128 + 16 * dx_choose(c, count - 1) + 8;
    high = dx_choose(c, 1) ? (uint64_t)1 << dx_choose_range(c, 5, 15) : dx_choose_range(c, 9, 15);
    if (side[entry + 6] == 0x10 && high < 16) high |= 16; /* a name has no level */
    side[entry + 6] |= (uint8_t)high;
    side[entry + 7] |= (uint8_t)(high >> 8);
    dx_cas_ext_id_start(&h, DX_CAS_P_INDEX);
    DX_CAS_P_HASH(update)(&h, side, 128 + 16 * (size_t)count);
    DX_CAS_P_HASH(final)(&h, side + 128 + 16 * count, 32);
    desc.mode = DX_CAS_READ;
    OK(dx_cas_open(&store, &desc));
    DX_CHECK_EQ(store.saved_.size, 0);
    OK(dx_cas_ref_get(&store, "x", 0, &ref));
}

/* >>nor --------------------------------------------------------------------- */
enum { BLOCK = 1024, UNIT = 128 };

static int area_read(void *user, uint32_t offset, void *out, size_t size)
{
    memcpy(out, (uint8_t *)user + offset, size);
    return 0;
}

static int area_program(void *user, uint32_t offset, const void *data, size_t size)
{
    memcpy((uint8_t *)user + offset, data, size);
    return 0;
}

static int area_erase(void *user, uint32_t offset)
{
    memset((uint8_t *)user + offset, 0xff, BLOCK);
    return 0;
}

static dx_nor nor;
static uint64_t nor_memory[DX_NOR_MEMORY_SIZE(UNIT) / 8 + 1];

static dx_nor_desc describe_nor(uint32_t mode)
{
    dx_nor_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.flash.read = area_read;
    desc.flash.program = area_program;
    desc.flash.erase = area_erase;
    desc.flash.user = area;
    desc.flash.block_size = BLOCK;
    desc.flash.block_count = sizeof area / BLOCK;
    desc.flash.unit = UNIT;
    desc.mode = mode;
    desc.memory = nor_memory;
    desc.memory_size = sizeof nor_memory;
    return desc;
}

static void create_nor(void)
{
    dx_nor_desc desc = describe_nor(DX_CAS_WRITE);
    dx_nor_ref ref;
    memset(area, 0xff, sizeof area);
    OK(dx_nor_create(&nor, &desc));
    memset(&ref, 0, sizeof ref);
    OK(dx_nor_put(&nor, "object", 6, &ref.root));
    OK(dx_nor_ref_set(&nor, "x", &ref));
    OK(dx_nor_commit(&nor));
}

DX_PROPERTY(st_6_reserved_bytes_of_the_blocks_of_a_flash, 300)
{
    dx_nor_desc desc = describe_nor(DX_CAS_WRITE);
    unsigned at = (unsigned)dx_choose_range(c, 5, 7);
    uint8_t v = (uint8_t)(at == 5 ? dx_choose_range(c, 2, 255) : other_than(c, 0, 255));
    create_nor();
    for (uint32_t copy = 0; copy < 2; copy++) {
        area[32 * copy + at] = v;
        dx_cas_p_store32(area + 32 * copy + 28, dx_nor_p_crc(32 * copy, area + 32 * copy));
    }
    DX_CHECK_EQ(dx_nor_open(&nor, &desc), DX_CAS_EZERO);
}

DX_PROPERTY(st_6_erased_bytes_of_the_blocks_of_a_flash, 100)
{
    dx_nor_desc desc = describe_nor(DX_CAS_READ);
    create_nor();
    OK(dx_nor_open(&nor, &desc));
    OK(dx_nor_verify(&nor, NULL, NULL, NULL));
    area[dx_choose_range(c, 64, UNIT - 1)] = (uint8_t)other_than(c, 255, 255);
    DX_CHECK_EQ(dx_nor_verify(&nor, NULL, NULL, NULL), DX_CAS_ECORRUPT);
}

DX_PROPERTY(st_6_reserved_bytes_of_the_store_header_on_flash, 300)
{
    dx_nor_desc desc = describe_nor(DX_CAS_WRITE);
    unsigned at = reserved_of_store_header(c);
    create_nor();
    spoil_store_header(area + UNIT, at, (uint8_t)other_than(c, 0, 255));
    DX_CHECK_EQ(dx_nor_open(&nor, &desc), DX_CAS_EZERO);
}

/* >>tree -------------------------------------------------------------------- */
DX_PROPERTY(st_6_reserved_bytes_of_trees, 300)
{
    static const uint8_t list[56] = {1, 0, 0, 0, 1, 0, 0, 0, 6};
    static const uint8_t null_device[40] = {5, 255, 0xb6, 1, 4, 0, 12, 0, [24] = 'n', 'u', 'l', 'l', 7, 0, 8, 0, 1, 0, 0, 0, 3};
    uint8_t bytes[DX_TREE_ENTRY_MAX];
    dx_tree_entry e, back;
    dx_tree_list_view view;
    size_t size = 0;
    memset(&e, 0, sizeof e);
    e.type = DX_TREE_FILE;
    e.level = DX_TREE_INLINE;
    e.mode = 0644;
    e.name = "x";
    e.name_size = 1;
    DX_CHECK_EQ(dx_tree_write_entry(&e, bytes, sizeof bytes, &size), 0);
    DX_CHECK_EQ(dx_tree_read_entry(bytes, size, &back), size);
    memcpy(bytes, null_device, sizeof null_device);
    DX_CHECK_EQ(dx_tree_read_entry(bytes, sizeof null_device, &back), sizeof null_device);
    bytes[29] = (uint8_t)other_than(c, 0, 255); /* after the kind of an extra */
    DX_CHECK_EQ(dx_tree_read_entry(bytes, sizeof null_device, &back), DX_TREE_EZERO);
    memcpy(bytes, list, sizeof list);
    bytes[48] = 6;
    DX_CHECK_EQ(dx_tree_list_open(&view, bytes, sizeof list, 1, DX_TREE_ANY_SIZE), 0);
    bytes[dx_choose_range(c, 1, 3)] = (uint8_t)other_than(c, 0, 255);
    DX_CHECK_EQ(dx_tree_list_open(&view, bytes, sizeof list, 1, DX_TREE_ANY_SIZE), DX_TREE_EZERO);
}
