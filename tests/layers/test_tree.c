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
           (a->level == DX_TREE_INLINE ? !memcmp(a->data, b->data, (size_t)a->size)
                                       : !memcmp(a->id, b->id, 32));
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
    DX_CHECK_EQ(dx_tree_write_snapshot(&e, got), 0);
    DX_CHECK_EQ(size, sizeof got);
    DX_CHECK_MEM(got, want, size);
    DX_CHECK_EQ(dx_tree_read_snapshot(want, size, &back), 0);
    DX_CHECK(back.size == 100086 && back.count == 4 && !memcmp(back.id, e.id, 32));
    for (size_t n = 0; n < size; n++)
        DX_CHECK_EQ(dx_tree_read_snapshot(want, n, &back), DX_TREE_ETRUNCATED);
    want[size] = 0;
    DX_CHECK_EQ(dx_tree_read_snapshot(want, size + 1, &back), DX_TREE_ECORRUPT);
    want[6] = '2';
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
    BAD(0, 4, DX_TREE_ETYPE);
    BAD(0, 3, DX_TREE_ELEVEL);
    BAD(1, 9, DX_TREE_ELEVEL);
    BAD(1, 255, DX_TREE_ETOOBIG);
    BAD(3, 2, DX_TREE_EMODE);
    BAD(4, 0, DX_TREE_ENAME);
    BAD(4, 5, DX_TREE_ETRUNCATED);
    BAD(5, 1, DX_TREE_ETOOBIG);
    BAD(6, 1, DX_TREE_EZERO);
    BAD(7, 1, DX_TREE_EZERO);
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

/* A directory of `count` files; which of them is another decides the caller. */
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

/* Counts the parts in order; false when something does not fit. */
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
static dx_tree_entry choose_entry(dx_choices *c, const char *name, uint8_t *data)
{
    dx_tree_entry e = make_file(name, 0);
    e.type = (uint8_t)dx_choose_range(c, DX_TREE_FILE, DX_TREE_LINK);
    e.mode = (uint16_t)dx_choose(c, 0777);
    e.mtime_ns = (int64_t)dx_choose(c, UINT64_MAX);
    if (e.type == DX_TREE_LINK) e.size = dx_choose_range(c, 1, 300);
    else e.size = dx_choose(c, e.type == DX_TREE_FILE ? 100 : UINT32_MAX);
    e.level = e.type == DX_TREE_LINK || (e.type == DX_TREE_FILE && e.size <= DX_TREE_INLINE_MAX)
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
    uint8_t bytes[4096], data[8][300];
    char names[8][16];
    dx_tree_entry e[8], back;
    dx_tree_piece p;
    dx_tree_reader r;
    unsigned count = (unsigned)dx_choose_range(c, 1, 8);
    dx_tree_piece_begin(&p, bytes, sizeof bytes);
    for (unsigned i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "%u\xff%u", i, (unsigned)dx_choose(c, 100));
        e[i] = choose_entry(c, names[i], data[i]);
        DX_CHECK(dx_tree_piece_add(&p, &e[i]) >= 0);
    }
    dx_tree_reader_begin(&r);
    dx_tree_reader_feed(&r, bytes, p.size);
    for (unsigned i = 0; i < count; i++) {
        DX_CHECK_EQ(dx_tree_reader_next(&r, &back), 1);
        DX_CHECK(same_entry(&e[i], &back));
    }
    DX_CHECK_EQ(dx_tree_reader_next(&r, &back), 0);
    /* Cut anywhere: an error, or as many whole entries. One bit flipped: no entry that would be
       written otherwise. */
    size_t cut = (size_t)dx_choose(c, p.size - 1);
    dx_tree_reader_begin(&r);
    dx_tree_reader_feed(&r, bytes, cut);
    int got;
    while ((got = dx_tree_reader_next(&r, &back)) == 1) {}
    DX_CHECK(got == 0 || got == DX_TREE_ETRUNCATED);
}

/* Any bytes: what is accepted is what a writer writes. */
DX_PROPERTY(ca_tree_reads_only_what_can_be_written, 20000)
{
    uint8_t bytes[256], again[DX_TREE_ENTRY_MAX];
    dx_tree_entry e[4], back;
    dx_tree_reader r;
    dx_tree_list_view v;
    size_t size = 0, one = 0;
    make_vector(e);
    for (unsigned i = 0; i < 4; i++) {
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
