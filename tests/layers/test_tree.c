/* layers/dx_tree.h: entries, pieces, lists, snapshots. */
#define DX_TREE_IMPLEMENTATION
#include "../../layers/dx_tree.h"
#define DX_CAS_IMPLEMENTATION
#include "../../dx_cas.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#include <stdlib.h>
#include <string.h>

static dx_tree_entry make_file(const char *name, uint64_t size)
{
    dx_tree_entry e;
    memset(&e, 0, sizeof e);
    e.type = DX_TREE_FILE;
    e.mode = 0644;
    e.name = name;
    e.name_size = (uint16_t)strlen(name);
    e.size = size;
    e.level = size <= DX_TREE_INLINE_MAX ? DX_TREE_INLINE : 0;
    e.data = "0123456789abcdefghijklmnopqrstuvwxyz";
    memset(e.id, (int)(size & 255), sizeof e.id);
    return e;
}

static dx_tree_entry make_dir(const char *name)
{
    dx_tree_entry e = make_file(name, 0);
    dx_cas_id id;
    dx_cas_hash("", 0, &id);
    memcpy(e.id, id.bytes, 32);
    e.type = DX_TREE_DIR;
    e.mode = 0755;
    e.level = 0;
    return e;
}

static dx_tree_entry make_link(const char *name, const char *target)
{
    dx_tree_entry e = make_file(name, strlen(target));
    e.type = DX_TREE_LINK;
    e.mode = 0777;
    e.level = DX_TREE_INLINE;
    e.data = target;
    return e;
}

static bool same_entry(const dx_tree_entry *a, const dx_tree_entry *b)
{
    return a->type == b->type && a->level == b->level && a->mode == b->mode &&
           a->mtime_ns == b->mtime_ns && a->size == b->size && a->count == b->count &&
           a->name_size == b->name_size && !memcmp(a->name, b->name, a->name_size) &&
           a->extra_size == b->extra_size &&
           (!a->extra_size || !memcmp(a->extra, b->extra, a->extra_size)) &&
           (a->level == DX_TREE_INLINE ? !a->size || !memcmp(a->data, b->data, (size_t)a->size)
                                       : !memcmp(a->id, b->id, 32));
}

static dx_tree_entry make_special(const char *name, int type)
{
    dx_tree_entry e = make_file(name, 0);
    e.type = (uint8_t)type;
    return e;
}

/* The four entries of the vector in docs/formats/tree.md. */
static void make_vector(dx_tree_entry e[4])
{
    e[0] = make_dir("dir");
    e[1] = make_file("hello.txt", 2);
    e[1].data = "hi";
    e[1].mtime_ns = 0x0da6d7ebdca70000;
    e[2] = make_link("link", "/tm");
    e[2].mtime_ns = -1;
    e[3] = make_file("z", 100000);
    e[3].level = 1;
    for (int i = 0; i < 32; i++) e[3].id[i] = (uint8_t)i;
}

DX_TEST(ca_tree_entries_vector)
{
    uint8_t want[512], got[512];
    dx_tree_entry e[4], back;
    dx_tree_piece piece;
    dx_tree_reader reader;
    size_t size = dx_test_vector("docs/formats/tree.md", "entries", want, sizeof want);
    make_vector(e);
    dx_tree_piece_begin(&piece, got, sizeof got);
    for (int i = 0; i < 4; i++) DX_CHECK(dx_tree_piece_add(&piece, &e[i]) >= 0);
    DX_CHECK_EQ(piece.size, size);
    DX_CHECK_MEM(got, want, size);
    dx_tree_reader_begin(&reader);
    dx_tree_reader_feed(&reader, want, size);
    for (int i = 0; i < 4; i++) {
        DX_CHECK_EQ(dx_tree_reader_next(&reader, &back), 1);
        DX_CHECK(same_entry(&e[i], &back));
    }
    DX_CHECK_EQ(dx_tree_reader_next(&reader, &back), 0);
}

DX_TEST(ca_tree_snapshot_vector)
{
    uint8_t want[128], got[DX_TREE_SNAPSHOT_SIZE];
    dx_tree_entry e = make_dir(""), back;
    size_t size = dx_test_vector("docs/formats/tree.md", "snapshot", want, sizeof want);
    uint8_t piece[512];
    dx_tree_entry below[4];
    dx_cas_id id;
    make_vector(below);
    for (int i = 0; i < 4; i++) DX_CHECK_EQ(dx_tree_add_up(&e, &below[i]), 0);
    dx_cas_hash(piece, dx_test_vector("docs/formats/tree.md", "entries", piece, sizeof piece), &id);
    memcpy(e.id, id.bytes, 32);
    size_t made = 0;
    DX_CHECK_EQ(dx_tree_write_snapshot(&e, false, got, sizeof got - 1, &made), DX_TREE_ENOSPACE);
    DX_CHECK_EQ(dx_tree_write_snapshot(&e, false, got, sizeof got, &made), 0);
    DX_CHECK_EQ(made, sizeof got);
    DX_CHECK_EQ(size, sizeof got);
    DX_CHECK_MEM(got, want, size);
    DX_CHECK_EQ(dx_tree_read_snapshot(want, size, &back), 0);
    DX_CHECK(back.size == 100086 && back.count == 4 && !memcmp(back.id, e.id, 32));
    for (size_t n = 0; n < size; n++)
        DX_CHECK_EQ(dx_tree_read_snapshot(want, n, &back), DX_TREE_ETRUNCATED);
    want[size] = 0;
    DX_CHECK_EQ(dx_tree_read_snapshot(want, size + 1, &back), DX_TREE_ECORRUPT);
    want[6] = '3';
    DX_CHECK_EQ(dx_tree_read_snapshot(want, size, &back), DX_TREE_EVERSION);
    want[6] = '2'; /* with the same root, and something extended below it */
    DX_CHECK_EQ(dx_tree_read_snapshot(want, size, &back), 0);
    DX_CHECK_EQ(dx_tree_write_snapshot(&e, true, got, sizeof got, &made), 0);
    DX_CHECK_MEM(got, want, size);
    want[6] = '1'; /* version 1 has neither extras nor other mode bits */
    want[8 + 3] |= 8;
    DX_CHECK_EQ(dx_tree_read_snapshot(want, size, &back), DX_TREE_EVERSION);
    want[0] = 'd';
    DX_CHECK_EQ(dx_tree_read_snapshot(want, size, &back), DX_TREE_ECORRUPT);
}

DX_TEST(ca_tree_every_bad_entry_has_its_error)
{
    static const char *const names[] = {"", ".", "..", "a/b", "/", "a\0b"};
    static const size_t name_sizes[] = {0, 1, 2, 3, 1, 3};
    uint8_t out[DX_TREE_ENTRY_MAX], bad[DX_TREE_ENTRY_MAX];
    dx_tree_entry e = make_file("name", 40), back;
    size_t size = 0;
    for (size_t i = 0; i < 6; i++) {
        e.name = names[i];
        e.name_size = (uint16_t)name_sizes[i];
        DX_CHECK_EQ(dx_tree_write_entry(&e, out, sizeof out, &size), DX_TREE_ENAME);
    }
    e = make_file("name", 40);
    DX_CHECK_EQ(dx_tree_write_entry(&e, out, 59, &size), DX_TREE_ENOSPACE);
    DX_CHECK_EQ(dx_tree_write_entry(&e, out, sizeof out, &size), 0);
    DX_CHECK_EQ(size, 60);
#define BAD(offset, value, error)                                   \
    do {                                                            \
        memcpy(bad, out, size);                                     \
        bad[offset] = value;                                        \
        DX_CHECK_EQ(dx_tree_read_entry(bad, size, &back), error);   \
    } while (0)
    DX_CHECK_EQ(dx_tree_read_entry(out, size, &back), 60);
    BAD(0, 0, DX_TREE_ETYPE);
    BAD(0, 4, DX_TREE_ELEVEL);
    BAD(0, 7, DX_TREE_ETYPE);
    BAD(0, 3, DX_TREE_ELEVEL);
    BAD(1, 9, DX_TREE_ELEVEL);
    BAD(1, 255, DX_TREE_ETOOBIG);
    BAD(3, 16, DX_TREE_EMODE);
    BAD(4, 0, DX_TREE_ENAME);
    BAD(4, 5, DX_TREE_ETRUNCATED);
    BAD(5, 1, DX_TREE_ETOOBIG);
    BAD(6, 1, DX_TREE_ETRUNCATED); /* of extras */
    BAD(7, 1, DX_TREE_ETRUNCATED);
    BAD(16, 32, DX_TREE_ELEVEL);
    BAD(24, '/', DX_TREE_ENAME);
    BAD(27, 0, DX_TREE_ENAME);
    e = make_link("l", "target");
    DX_CHECK_EQ(dx_tree_write_entry(&e, out, sizeof out, &size), 0);
    BAD(16, 0, DX_TREE_ETARGET);
    BAD(25, 0, DX_TREE_ETARGET);
    BAD(17, 16, DX_TREE_ETOOBIG);
    BAD(1, 0, DX_TREE_ELEVEL);
    e = make_dir("d");
    DX_CHECK_EQ(dx_tree_write_entry(&e, out, sizeof out, &size), 0);
    BAD(1, 255, DX_TREE_ELEVEL);
#undef BAD
    e = make_link("l", "");
    DX_CHECK_EQ(dx_tree_write_entry(&e, out, sizeof out, &size), DX_TREE_ETARGET);
    e = make_file("f", 3);
    e.data = NULL;
    DX_CHECK_EQ(dx_tree_write_entry(&e, out, sizeof out, &size), DX_TREE_EINVAL);
}

/* >>extras */
enum { EXTENDED = 5 };

/* The entries of the second vector in docs/formats/tree.md. `extra` holds the data they refer
   to. */
static void make_extended(dx_tree_entry e[EXTENDED], uint8_t extra[EXTENDED][256])
{
    size_t used[EXTENDED] = {0};
    size_t size = 0;
    uint8_t bytes[64];
    dx_tree_owner owner = {1000, 100, 3, 5, "ada", "users"};
    dx_tree_xattr attribute = {"user.note", "hello", 5, 9};
    e[0] = make_file("disk", 1 << 20);
    e[0].level = 1;
    DX_CHECK_EQ(dx_tree_put_hole(bytes, sizeof bytes, &size, 0, 65536), 0);
    DX_CHECK_EQ(dx_tree_put_hole(bytes, sizeof bytes, &size, 4096, 978944), 0);
    DX_CHECK_EQ(dx_tree_put_extra(extra[0], 256, &used[0], DX_TREE_HOLES, bytes, size), 0);
    e[1] = make_special("null", DX_TREE_CHAR);
    e[1].mode = 0666;
    DX_CHECK_EQ(dx_tree_put_device(extra[1], 256, &used[1], 1, 3), 0);
    e[2] = make_special("pipe", DX_TREE_FIFO);
    e[3] = make_file("same", 1 << 20);
    e[3].level = 1;
    DX_CHECK_EQ(dx_tree_put_same(extra[3], 256, &used[3], 1, "old/disk", 8), 0);
    e[4] = make_file("su", 2);
    e[4].data = "hi";
    e[4].mode = 04755;
    size = 0;
    DX_CHECK_EQ(dx_tree_put_xattr(bytes, sizeof bytes, &size, &attribute), 0);
    DX_CHECK_EQ(dx_tree_put_owner(extra[4], 256, &used[4], &owner), 0);
    DX_CHECK_EQ(dx_tree_put_extra(extra[4], 256, &used[4], DX_TREE_XATTRS, bytes, size), 0);
    for (int i = 0; i < EXTENDED; i++) {
        e[i].extra = extra[i];
        e[i].extra_size = (uint16_t)used[i];
    }
}

DX_TEST(ca_tree_extended_vector)
{
    uint8_t want[1024], got[1024], extra[EXTENDED][256];
    dx_tree_entry e[EXTENDED], back, dir = make_dir("");
    dx_tree_piece piece;
    dx_tree_reader reader;
    size_t size = dx_test_vector("docs/formats/tree.md", "extended", want, sizeof want);
    make_extended(e, extra);
    dx_tree_piece_begin(&piece, got, sizeof got);
    for (int i = 0; i < EXTENDED; i++) {
        DX_CHECK(dx_tree_is_extended(&e[i]));
        DX_CHECK(dx_tree_piece_add(&piece, &e[i]) >= 0);
        DX_CHECK_EQ(dx_tree_add_up(&dir, &e[i]), 0);
    }
    DX_CHECK_EQ(piece.size, size);
    DX_CHECK_MEM(got, want, size);
    DX_CHECK(dir.count == 3); /* neither the device nor the pipe */
    DX_CHECK(dir.size == 2 * ((16 + 4) + (1 << 20)) + (16 + 2) + 2);
    dx_tree_reader_begin(&reader);
    dx_tree_reader_feed(&reader, want, size);
    for (int i = 0; i < EXTENDED; i++) {
        DX_CHECK_EQ(dx_tree_reader_next(&reader, &back), 1);
        DX_CHECK(same_entry(&e[i], &back));
    }
    size = dx_test_vector("docs/formats/tree.md", "snapshot2", want, sizeof want);
    DX_CHECK_EQ(dx_tree_read_snapshot(want, size, &back), 0);
    DX_CHECK_EQ(dx_tree_write_snapshot(&back, false, got, sizeof got, &piece.size), 0);
    DX_CHECK_EQ(piece.size, size);
    DX_CHECK_MEM(got, want, size);
}

DX_TEST(ca_tree_extras_are_read)
{
    uint8_t extra[EXTENDED][256], object[64] = {0};
    dx_tree_entry e[EXTENDED];
    dx_tree_owner owner;
    dx_tree_holes h;
    dx_tree_xattrs x;
    dx_tree_xattr attribute;
    const void *path = NULL;
    unsigned up = 0;
    uint32_t numbers[2];
    uint64_t start = 1, hole = 0;
    size_t size = 0;
    make_extended(e, extra);
    const void *bytes = dx_tree_find_extra(&e[0], DX_TREE_HOLES, &size);
    dx_tree_holes_begin(&h, bytes, size, e[0].size);
    DX_CHECK_EQ(dx_tree_holes_next(&h, &start, &hole), 1);
    DX_CHECK(start == 0 && hole == 65536);
    DX_CHECK_EQ(dx_tree_holes_next(&h, &start, &hole), 1);
    DX_CHECK(start == 69632 && hole == 978944);
    DX_CHECK_EQ(dx_tree_holes_next(&h, &start, &hole), 0);
    DX_CHECK(dx_tree_read_device(&e[1], &numbers[0], &numbers[1]));
    DX_CHECK(numbers[0] == 1 && numbers[1] == 3);
    DX_CHECK(dx_tree_read_same(&e[3], &up, &path, &size));
    DX_CHECK(up == 1 && size == 8 && !memcmp(path, "old/disk", 8));
    DX_CHECK(dx_tree_read_owner(&e[4], &owner));
    DX_CHECK(owner.user == 1000 && owner.group == 100 && owner.group_name_size == 5);
    DX_CHECK(!memcmp(owner.user_name, "ada", 3) && !memcmp(owner.group_name, "users", 5));
    bytes = dx_tree_find_extra(&e[4], DX_TREE_XATTRS, &size);
    dx_tree_xattrs_begin(&x, bytes, size);
    DX_CHECK_EQ(dx_tree_xattrs_next(&x, &attribute), 1);
    DX_CHECK(attribute.value_size == 5 && !memcmp(attribute.value, "hello", 5));
    DX_CHECK_EQ(dx_tree_xattrs_next(&x, &attribute), 0);
    DX_CHECK(!dx_tree_read_owner(&e[0], &owner) && !dx_tree_read_same(&e[0], &up, &path, &size));
    DX_CHECK(!dx_tree_read_device(&e[0], numbers, numbers));
    DX_CHECK(!dx_tree_read_object(&e[0], DX_TREE_HOLES, numbers));
    object[33] = 8; /* 2,048 bytes */
    size = 0;
    DX_CHECK_EQ(dx_tree_put_extra(extra[0], 256, &size, DX_TREE_HOLES_ID, object, 36), 0);
    e[0].extra_size = (uint16_t)size;
    DX_CHECK(dx_tree_read_object(&e[0], DX_TREE_HOLES, numbers) == extra[0] + 4);
    DX_CHECK_EQ(numbers[0], 2048);
}

/* One record as the extras of an entry. */
static int write_extra(dx_tree_entry e, int kind, const void *bytes, size_t size)
{
    static uint8_t extra[8192], out[16384];
    size_t used = 0;
    int error = dx_tree_put_extra(extra, sizeof extra, &used, kind, bytes, size);
    if (error) return error;
    e.extra = extra;
    e.extra_size = (uint16_t)used;
    return dx_tree_write_entry(&e, out, sizeof out, &used);
}

DX_TEST(ca_tree_every_bad_extra_has_its_error)
{
    static const struct { int type, kind; size_t size; int error; const char *bytes; } rows[] = {
        {1, 1, 10, 0, "\1\0\0\0\1\0\0\0\0\0"},
        {1, 1, 9, DX_TREE_EEXTRA, "\1\0\0\0\1\0\0\0\0"},
        {1, 1, 11, DX_TREE_EEXTRA, "\1\0\0\0\1\0\0\0\0\0x"},
        {1, 1, 10, DX_TREE_EEXTRA, "\1\0\0\0\1\0\0\0\2\0"},
        {1, 1, 11, DX_TREE_EEXTRA, "\1\0\0\0\1\0\0\0\1:\0"},
        {1, 1, 11, DX_TREE_EEXTRA, "\1\0\0\0\1\0\0\0\0\1\n"},
        {1, 2, 3, 0, "\0\0a"},
        {3, 2, 3, 0, "\0\0a"},
        {5, 2, 3, 0, "\0\0a"},
        {2, 2, 3, DX_TREE_EEXTRA, "\0\0a"},
        {1, 2, 2, DX_TREE_EEXTRA, "\0\0"},
        {1, 2, 4, DX_TREE_ENAME, "\0\0a/"},
        {1, 2, 4, DX_TREE_ENAME, "\0\0/a"},
        {1, 2, 4, DX_TREE_ENAME, "\0\0.."},
        {1, 2, 6, DX_TREE_ENAME, "\0\0a/.."},
        {1, 2, 5, DX_TREE_ENAME, "\0\0a/."},
        {1, 2, 4, DX_TREE_ENAME, "\0\0a\0"},
        {1, 3, 2, 0, "\0\1"},
        {1, 3, 4, 0, "\1\1\1\1"},
        {1, 3, 3, 0, "\0\xe8\7"},
        {1, 3, 3, DX_TREE_EEXTRA, "\0\xe9\7"},
        {1, 3, 0, DX_TREE_EEXTRA, ""},
        {1, 3, 1, DX_TREE_EEXTRA, "\0"},
        {1, 3, 2, DX_TREE_EEXTRA, "\0\0"},
        {1, 3, 4, DX_TREE_EEXTRA, "\0\1\0\1"},
        {1, 3, 3, DX_TREE_EEXTRA, "\0\x81\0"},
        {1, 3, 11, DX_TREE_EEXTRA, "\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\2"},
        {2, 3, 2, DX_TREE_EEXTRA, "\0\1"},
        {4, 3, 2, DX_TREE_EEXTRA, "\0\1"},
        {1, 4, 36, 0, "0123456789abcdef0123456789abcdef\0\4\1\0"},
        {1, 4, 36, DX_TREE_EEXTRA, "0123456789abcdef0123456789abcdef\0\4\0\0"},
        {1, 4, 36, DX_TREE_ETOOBIG, "0123456789abcdef0123456789abcdef\1\0\2\0"},
        {1, 4, 35, DX_TREE_EEXTRA, "0123456789abcdef0123456789abcdef\0\4\1"},
        {1, 5, 3, 0, "\1\0a"},
        {2, 5, 3, 0, "\1\0a"},
        {3, 5, 3, 0, "\1\0a"},
        {4, 5, 3, 0, "\1\0a"},
        {1, 5, 6, 0, "\1\0a\1\0b"},
        {1, 5, 0, DX_TREE_EEXTRA, ""},
        {1, 5, 2, DX_TREE_EEXTRA, "\0\0"},
        {1, 5, 3, DX_TREE_EEXTRA, "\1\0\0"},
        {1, 5, 3, DX_TREE_EEXTRA, "\1\1a"},
        {1, 5, 4, DX_TREE_EEXTRA, "\1\x80\0a"},
        {1, 5, 6, DX_TREE_EEXTRA, "\1\0b\1\0a"},
        {1, 5, 6, DX_TREE_EEXTRA, "\1\0a\1\0a"},
        {1, 6, 36, 0, "0123456789abcdef0123456789abcdef\0\4\1\0"},
        {5, 7, 8, 0, "\0\0\0\0\0\0\0\0"},
        {6, 7, 8, 0, "\0\0\0\0\0\0\0\0"},
        {4, 7, 8, DX_TREE_EEXTRA, "\0\0\0\0\0\0\0\0"},
        {1, 7, 8, DX_TREE_EEXTRA, "\0\0\0\0\0\0\0\0"},
        {5, 7, 7, DX_TREE_EEXTRA, "\0\0\0\0\0\0\0"},
        {5, 1, 10, DX_TREE_EEXTRA, "\1\0\0\0\1\0\0\0\0\0"}, /* a device without numbers */
        {1, 8, 1, DX_TREE_EVERSION, "x"},
        {1, 255, 0, DX_TREE_EVERSION, ""},
    };
    uint8_t extra[64], out[256];
    dx_tree_entry e, back;
    size_t used = 0, size = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        e = make_special("x", rows[i].type);
        if (e.type == DX_TREE_FILE) e = make_file("x", 1000);
        if (e.type == DX_TREE_DIR) e = make_dir("x");
        if (e.type == DX_TREE_LINK) e = make_link("x", "y");
        int got = write_extra(e, rows[i].kind, rows[i].bytes, rows[i].size);
        if (got != rows[i].error) printf("row %u\n", (unsigned)i);
        DX_CHECK_EQ(got, rows[i].error);
    }
    e = make_file("x", 32); /* no field of the entry can be a hole */
    DX_CHECK_EQ(write_extra(e, DX_TREE_HOLES, "\0\1", 2), DX_TREE_EEXTRA);
    e = make_special("x", DX_TREE_BLOCK);
    DX_CHECK_EQ(dx_tree_write_entry(&e, out, sizeof out, &size), DX_TREE_EEXTRA);
    e.size = 1;
    DX_CHECK_EQ(dx_tree_write_entry(&e, out, sizeof out, &size), DX_TREE_ESUM);
    e = make_file("x", 2); /* twice; not ascending; with another name; truncated; bytes in between */
    static const int pairs[][2] = {{1, 1}, {5, 1}, {1, 2}, {5, 6}};
    for (size_t i = 0; i < 4; i++) {
        used = 0;
        for (int n = 0; n < 2; n++) {
            static const char *const bytes[] = {"", "\1\0\0\0\1\0\0\0\0\0", "\0\0a", "", "", "\1\0a",
                                                "0123456789abcdef0123456789abcdef\0\4\1\0"};
            static const size_t sizes[] = {0, 10, 3, 0, 0, 3, 36};
            int kind = pairs[i][n];
            DX_CHECK_EQ(dx_tree_put_extra(extra, sizeof extra, &used, kind, bytes[kind],
                                          sizes[kind]), 0);
        }
        e.extra = extra;
        e.extra_size = (uint16_t)used;
        DX_CHECK_EQ(dx_tree_write_entry(&e, out, sizeof out, &size), DX_TREE_EEXTRA);
    }
    used = 0;
    DX_CHECK_EQ(dx_tree_put_extra(extra, sizeof extra, &used, DX_TREE_XATTRS, "\1\0a", 3), 0);
    e.extra_size = (uint16_t)(used - 1);
    DX_CHECK_EQ(dx_tree_write_entry(&e, out, sizeof out, &size), DX_TREE_EEXTRA);
    e.extra_size = 3;
    DX_CHECK_EQ(dx_tree_write_entry(&e, out, sizeof out, &size), DX_TREE_EEXTRA);
    e.extra_size = (uint16_t)used;
    DX_CHECK_EQ(dx_tree_write_entry(&e, out, sizeof out, &size), 0);
    out[size - used + 1] = 1;
    DX_CHECK_EQ(dx_tree_read_entry(out, size, &back), DX_TREE_EZERO);
    out[size - used + 1] = 0;
    for (size_t n = 0; n < size; n++)
        DX_CHECK_EQ(dx_tree_read_entry(out, n, &back), DX_TREE_ETRUNCATED);
    e.extra = NULL;
    DX_CHECK_EQ(dx_tree_write_entry(&e, out, sizeof out, &size), DX_TREE_EINVAL);
}

DX_TEST(ca_tree_extras_have_limits)
{
    static uint8_t big[DX_TREE_XATTR_VALUE_MAX + 16], out[70000];
    size_t used = 0;
    dx_tree_xattr attribute = {"user.x", big, DX_TREE_XATTR_VALUE_MAX, 6}, back;
    dx_tree_xattrs x;
    memset(big, 'a', sizeof big);
    DX_CHECK_EQ(dx_tree_put_xattr(out, sizeof out, &used, &attribute), 0);
    DX_CHECK_EQ(dx_tree_put_xattr(out, sizeof out, &used, &attribute), DX_TREE_ENOSPACE);
    dx_tree_xattrs_begin(&x, out, used);
    DX_CHECK_EQ(dx_tree_xattrs_next(&x, &back), 1);
    DX_CHECK(back.value_size == DX_TREE_XATTR_VALUE_MAX && back.name_size == 6);
    DX_CHECK_EQ(dx_tree_xattrs_next(&x, &back), 0);
    attribute.value_size++;
    DX_CHECK_EQ(dx_tree_put_xattr(out, sizeof out, &used, &attribute), DX_TREE_ETOOBIG);
    attribute.value_size = DX_TREE_EXTRA_INLINE_MAX;
    used = 0;
    DX_CHECK_EQ(dx_tree_put_xattr(out, sizeof out, &used, &attribute), 0);
    DX_CHECK_EQ(write_extra(make_file("x", 1), DX_TREE_XATTRS, out, used), DX_TREE_ETOOBIG);
    DX_CHECK_EQ(write_extra(make_file("x", 1), DX_TREE_OWNER, big, 5000), DX_TREE_ETOOBIG);
    used = 0;
    DX_CHECK_EQ(dx_tree_put_same(out, sizeof out, &used, 0, big, 4096), DX_TREE_ETOOBIG);
    DX_CHECK_EQ(dx_tree_put_same(out, sizeof out, &used, 0x10000, big, 1), DX_TREE_EINVAL);
    DX_CHECK_EQ(dx_tree_put_hole(out, sizeof out, &used, 0, 0), DX_TREE_EINVAL);
    DX_CHECK_EQ(dx_tree_put_extra(out, 4, &used, DX_TREE_XATTRS, "x", 1), DX_TREE_ENOSPACE);
    DX_CHECK_EQ(dx_tree_put_extra(out, 4, &used, 256, "x", 1), DX_TREE_EINVAL);
    DX_CHECK_EQ(used, 0);
    memset(out, 'a', 258); /* a name of 256 bytes in a path */
    DX_CHECK_EQ(write_extra(make_file("x", 1), DX_TREE_SAME, out, 258), DX_TREE_EEXTRA);
    DX_CHECK_EQ(write_extra(make_file("x", 1), DX_TREE_SAME, out, 257), 0);
}

DX_TEST(ca_tree_names_ascend_over_pieces)
{
    uint8_t bytes[DX_TREE_PIECE_SIZE_MAX];
    dx_tree_entry a = make_file("a", 1), ab = make_file("ab", 1), b = make_file("b", 1), back;
    dx_tree_piece p;
    dx_tree_reader r;
    dx_tree_piece_begin(&p, bytes, sizeof bytes);
    DX_CHECK_EQ(dx_tree_piece_add(&p, &ab), 0);
    DX_CHECK_EQ(dx_tree_piece_add(&p, &ab), DX_TREE_EORDER);
    DX_CHECK_EQ(dx_tree_piece_add(&p, &a), DX_TREE_EORDER);
    DX_CHECK_EQ(dx_tree_piece_add(&p, &b), 0);
    dx_tree_piece_reset(&p);
    DX_CHECK_EQ(dx_tree_piece_add(&p, &b), DX_TREE_EORDER);
    dx_tree_reader_begin(&r);
    size_t one = 0;
    DX_CHECK_EQ(dx_tree_write_entry(&b, bytes, sizeof bytes, &one), 0);
    dx_tree_reader_feed(&r, bytes, one);
    DX_CHECK_EQ(dx_tree_reader_next(&r, &back), 1);
    DX_CHECK_EQ(dx_tree_reader_next(&r, &back), 0);
    dx_tree_reader_feed(&r, bytes, one);
    DX_CHECK_EQ(dx_tree_reader_next(&r, &back), DX_TREE_EORDER);
    DX_CHECK(dx_tree_compare_names("a", 1, "a\x80", 2) < 0);
    DX_CHECK(dx_tree_compare_names("\x7f", 1, "\x80", 1) < 0);
    DX_CHECK_EQ(dx_tree_compare_names("x", 1, "x", 1), 0);
}

/* A directory of `count` files; `other` selects the one that differs. */
static size_t write_dir(unsigned count, unsigned other, dx_cas_id *ids, size_t *largest)
{
    static uint8_t bytes[DX_TREE_PIECE_SIZE_MAX];
    dx_tree_piece p;
    size_t pieces = 0;
    dx_tree_piece_begin(&p, bytes, sizeof bytes);
    *largest = 0;
    for (unsigned i = 0; i <= count; i++) {
        char name[32];
        int ends = 1;
        if (i < count) {
            snprintf(name, sizeof name, "file%06u", i);
            dx_tree_entry e = make_file(name, 1000 + (i == other));
            ends = dx_tree_piece_add(&p, &e);
            if (ends < 0) abort();
        }
        if (!ends) continue;
        dx_cas_hash(p.bytes, p.size, &ids[pieces++]);
        if (p.size > *largest) *largest = p.size;
        dx_tree_piece_reset(&p);
    }
    return pieces;
}

DX_TEST(ca_tree_one_change_touches_one_piece)
{
    enum { COUNT = 10000 };
    dx_cas_id *a = malloc(COUNT * sizeof *a), *b = malloc(COUNT * sizeof *b);
    size_t largest, pieces = write_dir(COUNT, COUNT, a, &largest), changed = 0;
    DX_CHECK(pieces > 300 && pieces < 1200);
    DX_CHECK(largest < 16384);
    DX_CHECK_EQ(write_dir(COUNT, 1234, b, &largest), pieces);
    for (size_t i = 0; i < pieces; i++) changed += memcmp(&a[i], &b[i], sizeof *a) != 0;
    DX_CHECK_EQ(changed, 1);
    free(a);
    free(b);
}

/* >>lists */
typedef struct shelf {
    uint8_t  lists[64][DX_TREE_LIST_SIZE_MAX];
    size_t   sizes[64];
    unsigned count;
} shelf;

static int shelve(void *user, const void *data, size_t size, uint8_t id[32])
{
    shelf *s = user;
    dx_cas_id hash;
    if (s->count == 64) return DX_TREE_ENOSPACE;
    dx_cas_hash(data, size, &hash);
    memcpy(s->lists[s->count], data, size);
    s->sizes[s->count++] = size;
    memcpy(id, hash.bytes, 32);
    return 0;
}

static int find_list(const shelf *s, const uint8_t *id)
{
    for (unsigned i = 0; i < s->count; i++) {
        dx_cas_id hash;
        dx_cas_hash(s->lists[i], s->sizes[i], &hash);
        if (!memcmp(hash.bytes, id, 32)) return (int)i;
    }
    return -1;
}

/* Counts the parts in order; false if something does not match. */
static bool count_parts(const shelf *s, const uint8_t *id, unsigned level, uint64_t total,
                        unsigned *parts)
{
    dx_tree_list_view v;
    uint64_t size;
    if (!level) {
        uint32_t number;
        memcpy(&number, id + 4, sizeof number);
        return number == (*parts)++;
    }
    int at = find_list(s, id);
    if (at < 0 || dx_tree_list_open(&v, s->lists[at], s->sizes[at], level, total)) return false;
    for (uint32_t i = 0; i < v.count; i++) {
        const uint8_t *child = dx_tree_list_child(&v, i, &size);
        if (!count_parts(s, child, level - 1, size, parts)) return false;
    }
    return true;
}

DX_TEST(ca_tree_lists_of_every_height)
{
    static const unsigned counts[] = {1, 2, 31, 32, 33, 511, 512, 513, 3000};
    shelf *s = malloc(sizeof *s);
    uint8_t *memory = malloc((size_t)DX_TREE_LEVELS_MAX * DX_TREE_LIST_SIZE_MAX), id[32], level;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        dx_tree_list l;
        uint64_t size = 0, total = 0;
        unsigned parts = 0;
        s->count = 0;
        dx_tree_list_begin(&l, memory, shelve, s);
        DX_CHECK_EQ(dx_tree_list_finish(&l, id, &level, &size), DX_TREE_EINVAL);
        for (uint32_t n = 0; n < counts[i]; n++) {
            uint8_t child[32] = {(uint8_t)(n * 37 % 251)};
            memcpy(child + 4, &n, sizeof n);
            DX_CHECK_EQ(dx_tree_list_add(&l, child, n + 1), 0);
            total += n + 1;
        }
        DX_CHECK_EQ(dx_tree_list_finish(&l, id, &level, &size), 0);
        DX_CHECK_EQ(size, total);
        DX_CHECK_EQ(level, counts[i] == 1 ? 0 : counts[i] <= 70 ? 1 : 2);
        DX_CHECK(count_parts(s, id, level, total, &parts));
        DX_CHECK_EQ(parts, counts[i]);
    }
    free(memory);
    free(s);
}

DX_TEST(ca_tree_every_bad_list_has_its_error)
{
    uint8_t list[512], bad[512];
    dx_tree_list_view v;
    uint64_t size;
    size_t n = dx_test_vector("docs/formats/tree.md", "list", list, sizeof list);
    DX_CHECK_EQ(dx_tree_list_open(&v, list, n, 1, 10), 0);
    DX_CHECK(v.count == 2 && v.size == 10);
    DX_CHECK(dx_tree_list_child(&v, 1, &size)[0] == 1 && size == 4);
    DX_CHECK_EQ(dx_tree_list_open(&v, list, n, 1, DX_TREE_ANY_SIZE), 0);
    DX_CHECK_EQ(dx_tree_list_open(&v, list, n, 1, 11), DX_TREE_ESUM);
    DX_CHECK_EQ(dx_tree_list_open(&v, list, n, 2, 10), DX_TREE_ELEVEL);
    for (size_t i = 0; i < n; i++) DX_CHECK_EQ(dx_tree_list_open(&v, list, i, 1, 10), DX_TREE_ETRUNCATED);
    DX_CHECK_EQ(dx_tree_list_open(&v, list, n + 1, 1, 10), DX_TREE_ECORRUPT);
    static const struct { size_t at; uint8_t value; int error; } bads[] = {
        {0, 0, DX_TREE_ELEVEL}, {0, 9, DX_TREE_ELEVEL}, {1, 1, DX_TREE_EZERO}, {3, 1, DX_TREE_EZERO},
        {4, 0, DX_TREE_ESUM}, {4, 3, DX_TREE_ETRUNCATED}, {5, 3, DX_TREE_ETOOBIG},
        {8, 11, DX_TREE_ESUM}, {48, 5, DX_TREE_ESUM}, {48, 0, DX_TREE_ESUM}, {55, 0xff, DX_TREE_ESUM}};
    for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
        memcpy(bad, list, n);
        bad[bads[i].at] = bads[i].value;
        DX_CHECK_EQ(dx_tree_list_open(&v, bad, n, 1, 10), bads[i].error);
    }
}

static int refuse(void *user, const void *data, size_t size, uint8_t id[32])
{
    (void)user, (void)data, (void)size, (void)id;
    return DX_TREE_ESYS;
}

DX_TEST(ca_tree_a_refusing_store_is_passed_on)
{
    uint8_t *memory = malloc((size_t)DX_TREE_LEVELS_MAX * DX_TREE_LIST_SIZE_MAX), id[32] = {1}, level;
    dx_tree_list l;
    uint64_t size;
    dx_tree_list_begin(&l, memory, refuse, NULL);
    DX_CHECK_EQ(dx_tree_list_add(&l, id, 1), 0);
    DX_CHECK_EQ(dx_tree_list_add(&l, id, UINT64_MAX), DX_TREE_ETOOBIG);
    DX_CHECK_EQ(dx_tree_list_add(&l, id, 0), DX_TREE_EINVAL);
    DX_CHECK_EQ(dx_tree_list_add(&l, id, 1), 0);
    DX_CHECK_EQ(dx_tree_list_finish(&l, id, &level, &size), DX_TREE_ESYS);
    free(memory);
}

DX_TEST(ca_tree_sizes_add_up)
{
    /* d/ f(5 bytes) and d/s/ with g(7): paths f, s, s/g. */
    dx_tree_entry s = make_dir("s"), d = make_dir("d"), root = make_dir("");
    dx_tree_entry f = make_file("f", 5), g = make_file("g", 7);
    DX_CHECK_EQ(dx_tree_add_up(&s, &g), 0);
    DX_CHECK(s.size == 16 + 1 + 7 && s.count == 1);
    DX_CHECK_EQ(dx_tree_add_up(&d, &f), 0);
    DX_CHECK_EQ(dx_tree_add_up(&d, &s), 0);
    DX_CHECK(d.size == (16 + 1 + 5) + (16 + 1) + (16 + 3 + 7) && d.count == 3);
    DX_CHECK_EQ(dx_tree_add_up(&root, &d), 0);
    DX_CHECK(root.size == (16 + 1) + (16 + 3 + 5) + (16 + 3) + (16 + 5 + 7) && root.count == 4);
    d.count = UINT64_MAX / 2;
    DX_CHECK_EQ(dx_tree_add_up(&root, &d), DX_TREE_ETOOBIG);
    f.size = UINT64_MAX - 10;
    DX_CHECK_EQ(dx_tree_add_up(&root, &f), DX_TREE_ETOOBIG);
}

/* >>properties */
/* Valid extras for the entry, written to `extra`. */
static void choose_extras(dx_choices *c, dx_tree_entry *e, uint8_t *extra, size_t capacity)
{
    uint8_t bytes[256];
    size_t used = 0, size = 0;
    bool device = e->type == DX_TREE_CHAR || e->type == DX_TREE_BLOCK;
    if (e->type != DX_TREE_DIR && dx_choose(c, 7) == 0) {
        dx_tree_put_same(extra, capacity, &used, (unsigned)dx_choose(c, 300), "a/b\xff", 4);
        device = false;
    } else {
        dx_tree_owner owner = {(uint32_t)dx_choose(c, UINT32_MAX), (uint32_t)dx_choose(c, UINT32_MAX),
                               (uint8_t)dx_choose(c, 8), (uint8_t)dx_choose(c, 8), "someones",
                               "somebody"};
        if (dx_choose(c, 1)) dx_tree_put_owner(extra, capacity, &used, &owner);
        if (e->type == DX_TREE_FILE && e->level != DX_TREE_INLINE && dx_choose(c, 1)) {
            uint64_t at = 0;
            while (at + 10 < e->size && size < 100) {
                uint64_t data = dx_choose_range(c, at ? 1 : 0, 5), hole = dx_choose_range(c, 1, 5);
                dx_tree_put_hole(bytes, sizeof bytes, &size, data, hole);
                at += data + hole;
            }
            dx_tree_put_extra(extra, capacity, &used, DX_TREE_HOLES, bytes, size);
        }
        size = 0;
        for (unsigned n = (unsigned)dx_choose(c, 3); n > 0; n--) {
            char name[] = {'u', (char)('z' - n)};
            dx_tree_xattr attribute = {name, "0123456789", (uint32_t)dx_choose(c, 10), 2};
            dx_tree_put_xattr(bytes, sizeof bytes, &size, &attribute);
        }
        if (size) dx_tree_put_extra(extra, capacity, &used, DX_TREE_XATTRS, bytes, size);
    }
    if (device) dx_tree_put_device(extra, capacity, &used, (uint32_t)dx_choose(c, UINT32_MAX), 1);
    e->extra = extra;
    e->extra_size = (uint16_t)used;
}

static dx_tree_entry choose_entry(dx_choices *c, const char *name, uint8_t *data)
{
    dx_tree_entry e = make_file(name, 0);
    e.type = (uint8_t)dx_choose_range(c, DX_TREE_FILE, DX_TREE_BLOCK);
    e.mode = (uint16_t)dx_choose(c, 07777);
    e.mtime_ns = (int64_t)dx_choose(c, UINT64_MAX);
    if (e.type == DX_TREE_LINK) e.size = dx_choose_range(c, 1, 300);
    else if (e.type < DX_TREE_LINK) e.size = dx_choose(c, e.type == DX_TREE_FILE ? 100 : UINT32_MAX);
    e.level = e.type >= DX_TREE_LINK || (e.type == DX_TREE_FILE && e.size <= DX_TREE_INLINE_MAX)
                  ? DX_TREE_INLINE
                  : (uint8_t)dx_choose(c, DX_TREE_LEVELS_MAX);
    if (e.type == DX_TREE_DIR) e.count = dx_choose(c, UINT32_MAX);
    if (e.level == DX_TREE_INLINE) {
        for (uint64_t i = 0; i < e.size; i++) data[i] = (uint8_t)dx_choose_range(c, 1, 255);
        e.data = data;
    }
    return e;
}

DX_PROPERTY(ca_tree_what_is_written_is_read, 3000)
{
    uint8_t bytes[8192], data[8][300], extra[8][256];
    char names[8][16];
    dx_tree_entry e[8], back;
    dx_tree_piece p;
    dx_tree_reader r;
    unsigned count = (unsigned)dx_choose_range(c, 1, 8);
    dx_tree_piece_begin(&p, bytes, sizeof bytes);
    for (unsigned i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "%u\xff%u", i, (unsigned)dx_choose(c, 100));
        e[i] = choose_entry(c, names[i], data[i]);
        choose_extras(c, &e[i], extra[i], sizeof extra[i]);
        DX_CHECK(dx_tree_piece_add(&p, &e[i]) >= 0);
    }
    dx_tree_reader_begin(&r);
    dx_tree_reader_feed(&r, bytes, p.size);
    for (unsigned i = 0; i < count; i++) {
        DX_CHECK_EQ(dx_tree_reader_next(&r, &back), 1);
        DX_CHECK(same_entry(&e[i], &back));
    }
    DX_CHECK_EQ(dx_tree_reader_next(&r, &back), 0);
    /* Truncated anywhere: an error, or that many whole entries. One bit flipped: no entry in a
       form that no writer makes. */
    size_t cut = (size_t)dx_choose(c, p.size - 1);
    dx_tree_reader_begin(&r);
    dx_tree_reader_feed(&r, bytes, cut);
    int got;
    while ((got = dx_tree_reader_next(&r, &back)) == 1) {}
    DX_CHECK(got == 0 || got == DX_TREE_ETRUNCATED);
}

/* Arbitrary bytes: everything accepted is something a writer would write. */
DX_PROPERTY(ca_tree_reads_only_what_can_be_written, 20000)
{
    uint8_t bytes[512], again[DX_TREE_ENTRY_MAX], extra[EXTENDED][256];
    dx_tree_entry e[EXTENDED], back;
    dx_tree_reader r;
    dx_tree_list_view v;
    size_t size = 0, one = 0;
    bool extended = dx_choose(c, 1);
    if (extended) make_extended(e, extra);
    else make_vector(e);
    for (unsigned i = 0; i < (extended ? EXTENDED : 4); i++) {
        dx_tree_write_entry(&e[i], bytes + size, sizeof bytes - size, &one);
        size += one;
    }
    unsigned flips = (unsigned)dx_choose(c, 3);
    for (unsigned i = 0; i < flips; i++) bytes[dx_choose(c, size - 1)] ^= (uint8_t)(1u << dx_choose(c, 7));
    if (dx_choose(c, 3) == 0) dx_choose_bytes(c, bytes, 64);
    dx_tree_reader_begin(&r);
    dx_tree_reader_feed(&r, bytes, size);
    const uint8_t *at = bytes;
    int got;
    while ((got = dx_tree_reader_next(&r, &back)) == 1) {
        DX_CHECK_EQ(dx_tree_write_entry(&back, again, sizeof again, &one), 0);
        DX_CHECK(one <= size - (size_t)(at - bytes));
        DX_CHECK_MEM(again, at, one);
        at += one;
    }
    DX_CHECK(strcmp(dx_tree_error_name(got), "unknown error") != 0);
    got = dx_tree_list_open(&v, bytes, size, (uint32_t)dx_choose_range(c, 1, 8), dx_choose(c, 100));
    DX_CHECK(strcmp(dx_tree_error_name(got), "unknown error") != 0);
    got = dx_tree_read_snapshot(bytes, size, &back);
    DX_CHECK(got < 0 || back.type == DX_TREE_DIR);
}
