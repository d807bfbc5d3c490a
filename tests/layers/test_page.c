/* layers/dx_page.h: its operations make a document that matches state and keys, in any memory and with any ring. */
#define DX_IMPLEMENTATION
#include "../../layers/dx_page.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

/* ---- a document, reduced to what operations can change */
enum { NODES = 2048, CHILDREN = 256, SLOTS = 3, TEXT = 64 };

typedef struct element {
    bool there, on;
    char text[SLOTS][TEXT], title[TEXT];
    uint32_t parent, slot;
    uint32_t children[SLOTS][CHILDREN], count[SLOTS];
} element;

static element document[NODES];
static uint32_t moves, clones, removals;

static uint32_t place_of(const element *parent, uint32_t slot, uint32_t number)
{
    uint32_t i = 0;
    while (i < parent->count[slot] && parent->children[slot][i] != number) i++;
    return i;
}

static void detach(uint32_t number)
{
    element *parent = &document[document[number].parent];
    const uint32_t slot = document[number].slot, at = place_of(parent, slot, number);
    DX_CHECK(at < parent->count[slot]);
    parent->count[slot]--;
    memmove(&parent->children[slot][at], &parent->children[slot][at + 1], (parent->count[slot] - at) * 4);
}

static void insert(uint32_t number, uint32_t parent, uint32_t slot, uint32_t before)
{
    element *p = &document[parent];
    const uint32_t at = before ? place_of(p, slot, before) : p->count[slot];
    DX_CHECK(slot < SLOTS && p->count[slot] < CHILDREN);
    DX_CHECK(!before || at < p->count[slot]); /* a browser throws there */
    memmove(&p->children[slot][at + 1], &p->children[slot][at], (p->count[slot] - at) * 4);
    p->children[slot][at] = number;
    p->count[slot]++;
    document[number].parent = parent;
    document[number].slot = slot;
}

static void set_text(char *to, const dx_page_flush *f, const dx_page_operation *o)
{
    DX_CHECK(o->b <= f->text_size && o->c <= f->text_size - o->b && o->c < TEXT);
    memcpy(to, (const char *)f->text + o->b, o->c); /* the tests here use ASCII only */
    to[o->c] = 0;
}

static void flush(dx_page *p)
{
    dx_page_flush f;
    uint32_t at = 0;
    dx_page_get_flush(p, &f);
    for (uint32_t i = 0; i < dx_page_pending(p); i++) {
        const dx_page_operation o = dx_page_operation_at(p, i);
        element *e = &document[o.node];
        DX_CHECK(o.node < NODES && (o.node == 0 || e->there));
        switch (o.opcode) {
        case DX_PAGE_OP_CLONE:
            for (uint32_t k = 0; k < o.c; k++) {
                DX_CHECK(o.b + k < NODES && !document[o.b + k].there);
                memset(&document[o.b + k], 0, sizeof *document);
                document[o.b + k].there = true;
                insert(o.b + k, o.node, o.slot, at);
                clones++;
            }
            at = 0;
            break;
        case DX_PAGE_OP_TEXT: set_text(e->text[o.slot], &f, &o); break;
        case DX_PAGE_OP_ATTR: set_text(e->title, &f, &o); break;
        case DX_PAGE_OP_CLASS: e->on = o.b; break;
        case DX_PAGE_OP_REMOVE: detach(o.node); removals++; break;
        case DX_PAGE_OP_MOVE:
            detach(o.b);
            insert(o.b, o.node, o.slot, o.c);
            moves++;
            break;
        case DX_PAGE_OP_AT: at = o.node; break;
        case DX_PAGE_OP_CLEAR: e->count[o.slot] = 0; break;
        case DX_PAGE_OP_FORGET:
            for (uint32_t k = 0; k < o.b; k++) {
                DX_CHECK(document[o.node + k].there);
                document[o.node + k].there = false;
            }
            break;
        default: DX_CHECK(!"an operation that does not exist");
        }
    }
    dx_page_flushed(p);
}

static uint32_t there(void)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i < NODES; i++) count += document[i].there;
    return count;
}

/* ---- a page: rows with a number, a formatted label, a class, and a nested list each */
typedef struct row {
    uint64_t dirty;
    int32_t id, version;
    char title[12];
    uint32_t on;
} row;

static uint32_t format(void *user, uint32_t component, uint32_t which, const void *state, uint8_t *out, uint32_t capacity)
{
    const row *r = state;
    char text[TEXT];
    (void)user;
    DX_CHECK(component == 7 && which == 5);
    const uint32_t size = (uint32_t)snprintf(text, sizeof text, "label %d.%d", r->id, r->version);
    if (size <= capacity) memcpy(out, text, size);
    return size;
}

static void fill(void *user, uint32_t key, void *state)
{
    row *r = state;
    (void)user;
    r->id = (int32_t)key;
}

static uint64_t memory[1 << 16];
/* A page without its document. */
static dx_page page_alone(uint32_t state_size, uint32_t queue_size)
{
    static const dx_page_binding bindings[] = {
        {2, DX_PAGE_CLASS, DX_PAGE_BYTES, 0, 0, 1, offsetof(row, on), 4},
        {0, DX_PAGE_TEXT, DX_PAGE_INTEGER, 0, 1, 0, offsetof(row, id), 4},
        {1, DX_PAGE_TEXT, DX_PAGE_FORMAT, 0, 2, 0, 5, 0},
        {1, DX_PAGE_ATTRIBUTE, DX_PAGE_BYTES, 0, 0, 0, offsetof(row, title), 12},
    };
    dx_page p;
    dx_page_desc d;
    memset(&d, 0, sizeof d);
    d.memory = memory;
    d.static_size = 16384;
    d.state_size = state_size;
    d.queue_size = queue_size;
    d.capabilities = DX_PAGE_DOM_WRITE | DX_PAGE_DOM_READ;
    d.format = format;
    DX_CHECK(d.static_size + state_size + queue_size <= sizeof memory);
    DX_CHECK_EQ(dx_page_init(&p, &d), 0);
    DX_CHECK_EQ(dx_page_add_template(&p, 3, dx_htip_text_of("<li><b data-slot=\"\"></b><i data-slot=\"\"></i></li>")), 0);
    DX_CHECK_EQ(dx_page_add_name(&p, dx_htip_text_of("title")), 0);
    DX_CHECK_EQ(dx_page_add_name(&p, dx_htip_text_of("danger")), 1);
    DX_CHECK_EQ(dx_page_add_component(&p, 7, 3, sizeof(row), bindings, 4), 0);
    dx_page_seal(&p);
    return p;
}

static dx_page page_open(uint32_t state_size, uint32_t queue_size)
{
    memset(document, 0, sizeof document);
    document[0].there = true;
    moves = clones = removals = 0;
    return page_alone(state_size, queue_size);
}

/* Check that the document shows these rows in this slot. */
static void expect_rows(dx_page *p, uint32_t parent, uint32_t slot, const uint32_t *keys, uint32_t count)
{
    const element *e = &document[parent];
    DX_CHECK_EQ(e->count[slot], count);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t number = e->children[slot][i];
        const row *r = dx_page_state(p, dx_page_handle(p, number));
        char text[TEXT];
        DX_CHECK(r && r->dirty == 0);
        DX_CHECK_EQ(dx_page_key(p, dx_page_handle(p, number)), keys[i]);
        snprintf(text, sizeof text, "%d", r->id);
        DX_CHECK_EQ((uint32_t)r->id, keys[i]);
        DX_CHECK_STR(document[number].text[1], text);
        snprintf(text, sizeof text, "label %d.%d", r->id, r->version);
        DX_CHECK_STR(document[number].text[2], text);
        DX_CHECK_STR(document[number].title, r->title);
        DX_CHECK_EQ(document[number].on, r->on != 0);
    }
}

/* The longest increasing subsequence by exhaustive search, for short sequences. */
static uint32_t longest_increasing(const uint32_t *a, uint32_t n)
{
    uint32_t best[CHILDREN], most = 0;
    for (uint32_t i = 0; i < n; i++) {
        best[i] = 1;
        for (uint32_t k = 0; k < i; k++)
            if (a[k] < a[i] && best[k] + 1 > best[i]) best[i] = best[k] + 1;
        if (best[i] > most) most = best[i];
    }
    return most;
}

static uint32_t list_keys[CHILDREN], list_nodes[CHILDREN];
static dx_page_list list_open(uint32_t parent, uint32_t slot)
{
    dx_page_list l;
    memset(&l, 0, sizeof l);
    l.component = 7;
    l.parent = parent;
    l.slot = slot;
    l.keys = list_keys;
    l.nodes = list_nodes;
    l.capacity = CHILDREN;
    l.fill = fill;
    return l;
}

static uint32_t choose_keys(dx_choices *c, uint32_t *keys, uint32_t most)
{
    uint32_t count = (uint32_t)dx_choose(c, most), range = count + (uint32_t)dx_choose(c, 9);
    for (uint32_t i = 0; i < range; i++) keys[i] = i + 1;
    for (uint32_t i = 0, swaps = (uint32_t)dx_choose(c, 1) ? range : (uint32_t)dx_choose(c, 3); i < swaps; i++) {
        const uint32_t a = (uint32_t)dx_choose(c, range - !!range), b = (uint32_t)dx_choose(c, range - !!range), k = keys[a];
        keys[a] = keys[b];
        keys[b] = k;
    }
    return count;
}

static bool are_distinct(const uint32_t *keys, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (keys[i] == keys[k]) return false;
    return true;
}

/* Lists of any keys, marks in between, a ring and memory that may be too small: the document shows the last state that was
   not refused, and keys that are there twice are refused. Rows that stay keep their state, and as few of them as possible move. */
DX_PROPERTY(mo_4_w_23_do_5_w_25_lists_of_any_keys, 1500)
{
    dx_page p = page_open(dx_choose(c, 3) ? 65536 : 2048, dx_choose(c, 3) ? 65536 : 1024);
    dx_page_list l = list_open(0, 0);
    for (uint64_t rounds = dx_choose(c, 8); rounds; rounds--) {
        uint32_t keys[CHILDREN], before[CHILDREN], sources[CHILDREN], kept = 0, count = choose_keys(c, keys, 40), was = l.count;
        memcpy(before, l.keys, sizeof before);
        for (uint64_t twice = count && dx_choose(c, 2) == 0 ? dx_choose_range(c, 1, 2) : 0; twice; twice--)
            keys[dx_choose(c, count - 1)] = keys[dx_choose(c, count - 1)];
        moves = clones = removals = 0;
        const int error = dx_page_list_update(&p, &l, keys, count);
        const bool distinct = are_distinct(keys, count);
        DX_CHECK(error == (distinct ? 0 : DX_PAGE_EDUPLICATE) || error == DX_PAGE_ENOSPACE || error == DX_PAGE_EAGAIN || error == DX_PAGE_ETOOBIG);
        if (error) {
            DX_CHECK_EQ(dx_page_pending(&p), 0);
            DX_CHECK_EQ(l.count, was);
            DX_CHECK_MEM(l.keys, before, was * 4);
            memcpy(keys, before, sizeof keys);
            count = was;
        }
        for (int turns = 0; !dx_page_is_idle(&p); turns++) { /* as many frames as the ring needs */
            DX_CHECK(turns < 200);
            DX_CHECK(dx_page_frame(&p));
            flush(&p);
        }
        expect_rows(&p, 0, 0, keys, count);
        DX_CHECK_EQ(there(), dx_page_used(&p));
        for (uint32_t i = 0; i < count; i++)
            for (uint32_t k = 0; k < was; k++)
                if (before[k] == keys[i]) sources[kept++] = k;
        DX_CHECK_EQ(moves, kept - longest_increasing(sources, kept));
        DX_CHECK_EQ(clones, count - kept);
        for (uint64_t marks = count ? dx_choose(c, 5) : 0; marks; marks--) {
            const uint32_t node = l.nodes[dx_choose(c, count - 1)];
            row *r = dx_page_state(&p, node);
            switch (dx_choose(c, 2)) {
            case 0: r->version++; DX_CHECK_EQ(dx_page_mark(&p, node, 1), 0); break;
            case 1: r->on = !r->on; DX_CHECK_EQ(dx_page_mark(&p, node, 2), 0); break;
            default: DX_CHECK_EQ(dx_page_write(&p, node, offsetof(row, title), "a\0c", 3, 1), 0); break;
            }
        }
    }
}

/* Each kind of update with a key twice: among new rows, in both of the unchanged ends, beside rows that only go. */
DX_TEST(mo_4_a_key_twice_is_refused_whatever_else_changes)
{
    static const struct {
        uint32_t before[4], before_count, after[6], count;
    } cases[] = {{{1, 2, 3}, 3, {2, 3, 4, 3}, 4}, {{1, 2, 3}, 3, {1, 2, 3, 3}, 4}, {{1, 2, 3}, 3, {1, 1, 2, 3}, 4},
                 {{1, 2, 3}, 3, {1, 2, 3, 1}, 4}, {{1, 2, 3}, 3, {3, 1, 2, 3}, 4}, {{1, 2, 3}, 3, {1, 2, 1, 2, 3}, 5}, {{0}, 0, {7, 7, 7}, 3},
                 {{0}, 0, {7, 8, 9, 7}, 4}, {{3, 2, 1}, 3, {2, 2}, 2}, {{5, 1, 9}, 3, {5, 4, 9, 9}, 4}, {{5, 1, 9}, 3, {5, 9, 5, 9}, 4},
                 {{5, 1, 9}, 3, {9, 9}, 2}, {{5}, 1, {5, 5}, 2}, {{0, 4}, 2, {0, UINT32_MAX, UINT32_MAX, 4}, 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dx_page p = page_open(65536, 65536);
        dx_page_list l = list_open(0, 0);
        uint32_t want[4];
        DX_CHECK_EQ(dx_page_list_update(&p, &l, cases[i].before, cases[i].before_count), 0);
        dx_page_frame(&p);
        flush(&p);
        const dx_page was = p;
        DX_CHECK_EQ(dx_page_list_update(&p, &l, cases[i].after, cases[i].count), DX_PAGE_EDUPLICATE);
        DX_CHECK_MEM(&p, &was, sizeof p);
        DX_CHECK_EQ(l.count, cases[i].before_count);
        for (uint32_t k = 0; k < l.count; k++) want[k] = cases[i].before[l.count - 1 - k];
        DX_CHECK_EQ(dx_page_list_update(&p, &l, want, l.count), 0); /* and the next one is right */
        dx_page_frame(&p);
        flush(&p);
        expect_rows(&p, 0, 0, want, l.count);
    }
}

DX_TEST(mo_4_no_rows_need_no_keys)
{
    const uint32_t one = 4;
    dx_page p = page_open(65536, 65536);
    dx_page_list l = list_open(0, 0);
    DX_CHECK_EQ(dx_page_list_update(&p, &l, NULL, 0), 0);
    DX_CHECK_EQ(dx_page_list_update(&p, &l, NULL, 1), DX_PAGE_EINVAL);
    DX_CHECK_EQ(dx_page_list_update(&p, &l, &one, 1), 0);
    DX_CHECK_EQ(dx_page_list_update(&p, &l, NULL, 0), 0);
    DX_CHECK(l.count == 0 && dx_page_used(&p) == 0);
    l.keys = l.nodes = NULL;
    l.capacity = 0;
    DX_CHECK_EQ(dx_page_list_update(&p, &l, NULL, 0), 0);
    DX_CHECK_EQ(dx_page_list_update(&p, &l, &one, 1), DX_PAGE_ENOSPACE);
}

/* Nested rows: removing one removes everything below it, and its numbers and memory are reused. */
DX_PROPERTY(mm_7_trees_of_rows, 500)
{
    dx_page p = page_open(65536, 65536);
    uint32_t alive[64], count = 0, stale = 0;
    for (uint64_t n = dx_choose(c, 60); n; n--) {
        if (count && dx_choose(c, 3) == 0) {
            const uint32_t at = (uint32_t)dx_choose(c, count - 1);
            stale = alive[at];
            DX_CHECK_EQ(dx_page_unmount(&p, stale), 0);
            for (uint32_t i = 0; i < count;) {
                if (dx_page_state(&p, alive[i])) i++;
                else alive[i] = alive[--count];
            }
        } else if (count < 64) {
            const uint32_t parent = count && dx_choose(c, 1) ? alive[dx_choose(c, count - 1)] : 0;
            DX_CHECK_EQ(dx_page_mount(&p, 7, parent, parent ? (uint32_t)dx_choose(c, 2) : 0, 0, fill, NULL, &alive[count]), 0);
            count++;
        }
        if (stale) {
            DX_CHECK(!dx_page_state(&p, stale));
            DX_CHECK_EQ(dx_page_unmount(&p, stale), DX_PAGE_ENODE);
            DX_CHECK_EQ(dx_page_mark(&p, stale, 0), DX_PAGE_ENODE);
        }
        DX_CHECK_EQ(dx_page_used(&p), count);
        if (dx_choose(c, 2)) continue;
        dx_page_frame(&p);
        flush(&p);
        DX_CHECK_EQ(there(), count);
    }
    DX_CHECK(p.node_count_ <= 65);
}

DX_TEST(do_4_handles_are_stale_for_1023_uses)
{
    dx_page p = page_open(65536, 65536);
    uint32_t first, node;
    DX_CHECK_EQ(dx_page_mount(&p, 7, 0, 0, 0, NULL, NULL, &first), 0);
    for (node = first; ; ) {
        DX_CHECK_EQ(dx_page_unmount(&p, node), 0);
        DX_CHECK(!dx_page_state(&p, first));
        dx_page_flushed(&p);
        DX_CHECK_EQ(dx_page_mount(&p, 7, 0, 0, 0, NULL, NULL, &node), 0);
        if (node == first) break;
    }
    DX_CHECK(dx_page_state(&p, 0x3fffff) == NULL && dx_page_state(&p, UINT32_MAX) == NULL);
}

DX_TEST(cm_1_cm_3_w_20_d7_manifest)
{
    uint8_t m[DX_PAGE_MANIFEST_SIZE], small[8] = {0};
    uint64_t capabilities;
    dx_page_write_manifest(m, 0x8000000000000005u);
    DX_CHECK_EQ(dx_page_read_manifest(m, sizeof m, &capabilities), 0);
    DX_CHECK_EQ(capabilities, 0x8000000000000005u);
    DX_CHECK_MEM(m, "WWXD\1\0\0\0\5\0\0\0\0\0\0\x80", 16);
    for (int bit = 0; bit < 64 * 8; bit++) { /* each bit is checked by one rule */
        const int at = bit / 8;
        m[at] ^= (uint8_t)(1 << bit % 8);
        DX_CHECK_EQ(dx_page_read_manifest(m, sizeof m, &capabilities),
                    at < 4 ? DX_PAGE_EMAGIC : at < 8 ? DX_PAGE_EVERSION : at < 20 ? DX_PAGE_ECORRUPT : DX_PAGE_ERESERVED);
        DX_CHECK_EQ(capabilities, 0);
        m[at] ^= (uint8_t)(1 << bit % 8);
    }
    DX_CHECK_EQ(dx_page_read_manifest(small, sizeof small, &capabilities), DX_PAGE_EBOUNDS);
}

DX_TEST(cm_4_cm_5_a_capability_that_is_not_granted_is_refused_before_any_effect)
{
    dx_page p = page_open(65536, 65536);
    dx_page_list l = list_open(0, 0);
    const uint32_t key = 1;
    uint32_t node;
    DX_CHECK(dx_page_has_all(&p, DX_PAGE_DOM_READ | DX_PAGE_DOM_WRITE) && dx_page_has_any(&p, DX_PAGE_CAMERA | DX_PAGE_DOM_READ));
    DX_CHECK(!dx_page_has_all(&p, DX_PAGE_CAMERA | DX_PAGE_DOM_READ) && !dx_page_has_any(&p, DX_PAGE_CAMERA));
    p.capabilities_ = DX_PAGE_CAMERA;
    DX_CHECK_EQ(dx_page_mount(&p, 7, 0, 0, 0, fill, NULL, &node), DX_PAGE_ECAPABILITY);
    DX_CHECK_EQ(dx_page_list_update(&p, &l, &key, 1), DX_PAGE_ECAPABILITY);
    DX_CHECK_EQ(dx_page_event(&p, 0, 0, NULL, 0), DX_PAGE_ECAPABILITY);
    DX_CHECK(dx_page_is_idle(&p) && dx_page_used(&p) == 0 && l.count == 0);
}

DX_TEST(mm_1_mm_3_mm_5_w_20_regions_and_bounds)
{
    dx_page p = page_open(65536, 65536);
    const dx_page_binding b = {0, DX_PAGE_TEXT, DX_PAGE_BYTES, 0, 1, 0, 8, 8};
    uint32_t node;
    uint8_t bytes[64];
    DX_CHECK_EQ(dx_page_check_static(&p), 0);
    ((uint8_t *)memory)[0x1003] ^= 1; /* of a template */
    DX_CHECK_EQ(dx_page_check_static(&p), DX_PAGE_ECORRUPT);
    ((uint8_t *)memory)[0x1003] ^= 1;
    DX_CHECK_EQ(dx_page_add_template(&p, 4, dx_htip_text_of("<p></p>")), DX_PAGE_ESEALED);
    DX_CHECK_EQ(dx_page_add_component(&p, 8, 3, 64, &b, 1), DX_PAGE_ESEALED);
    DX_CHECK_EQ(dx_page_add_name(&p, dx_htip_text_of("x")), DX_PAGE_ESEALED);
    DX_CHECK_EQ(dx_page_mount(&p, 9, 0, 0, 0, NULL, NULL, &node), DX_PAGE_ENOTFOUND);
    DX_CHECK_EQ(dx_page_mount(&p, 7, 0, 1, 0, NULL, NULL, &node), DX_PAGE_ENODE);
    DX_CHECK_EQ(dx_page_mount(&p, 7, 0, 0, 0, NULL, NULL, &node), 0);
    DX_CHECK_EQ(dx_page_read(&p, node, 0, bytes, sizeof(row)), 0);
    DX_CHECK_EQ(dx_page_read(&p, node, sizeof(row), bytes, 1), DX_PAGE_EBOUNDS);
    DX_CHECK_EQ(dx_page_read(&p, node, UINT32_MAX, bytes, 2), DX_PAGE_EBOUNDS);
    const volatile uint32_t most = UINT32_MAX; /* else the compiler warns of what is refused here */
    DX_CHECK_EQ(dx_page_read(&p, node, 1, bytes, most), DX_PAGE_EBOUNDS);
    DX_CHECK_EQ(dx_page_write(&p, node, 0, bytes, 8, 0), DX_PAGE_EBOUNDS);
    DX_CHECK_EQ(dx_page_write(&p, node, 8, bytes, 4, 64), DX_PAGE_EINVAL);
    DX_CHECK_EQ(dx_page_read(&p, 0, 0, bytes, 1), DX_PAGE_ENODE);
}

/* A name that runs, or that no attribute, class or style may have: the same rules as in a stream of HTIP. */
DX_TEST(mm_6_names_that_run_or_are_malformed_are_refused)
{
    static const char *const never[] = {"a b", " ", "a\tb", "a\n", "\x01"};
    static const char *const names[] = {"title", "onclick", "on", "style", "srcdoc", "=\">", "Title", "--x", "color", "data-slot", "1a"};
    static const dx_htip_op ops[] = {DX_HTIP_TEXT, DX_HTIP_TEXT, DX_HTIP_ATTR, DX_HTIP_CLASS, DX_HTIP_STYLE}; /* of DX_PAGE_ATTRIBUTE ... */
    int refused = 0;
    dx_page p = page_open(8192, 8192);
    char long_name[258];
    p.sealed_ = false;
    const uint32_t first = p.name_count_;
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) DX_CHECK_EQ(dx_page_add_name(&p, dx_htip_text_of(never[i])), DX_PAGE_EINVAL);
    memset(long_name, 'a', 257);
    long_name[257] = 0;
    DX_CHECK_EQ(dx_page_add_name(&p, dx_htip_text_of(long_name)), DX_PAGE_EINVAL);
    DX_CHECK_EQ(p.name_count_, first);
    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++) {
        DX_CHECK_EQ(dx_page_add_name(&p, dx_htip_text_of(names[i])), (int)(first + i));
        for (uint8_t type = DX_PAGE_ATTRIBUTE; type <= DX_PAGE_STYLE; type++) {
            const dx_page_binding b = {0, type, DX_PAGE_BYTES, 0, 1, first + i, 8, 8};
            const int error = dx_page_add_component(&p, 100 + 4 * i + type, 3, 16, &b, 1);
            DX_CHECK_EQ(error, dx_htip_is_name(ops[type], dx_htip_text_of(names[i])) ? 0 : DX_PAGE_EBINDING);
            refused += error != 0;
        }
    }
    DX_CHECK_EQ(refused, 11);
}

/* The smallest static region that is taken has room for a template, a name and a component. */
DX_TEST(mm_3_the_smallest_static_region_holds_a_page)
{
    const dx_page_binding b = {0, DX_PAGE_CLASS, DX_PAGE_BYTES, 0, 1, 0, 8, 8};
    dx_page p;
    dx_page_desc d;
    memset(&d, 0, sizeof d);
    d.memory = memory;
    d.state_size = d.queue_size = 1024;
    for (d.static_size = 16; dx_page_init(&p, &d); d.static_size += 16) DX_CHECK(d.static_size < 65536);
    DX_CHECK_EQ(d.static_size, 12 << 10);
    DX_CHECK_EQ(dx_page_add_template(&p, 1, dx_htip_text_of("<p><b data-slot=\"\"></b></p>")), 0);
    DX_CHECK_EQ(dx_page_add_name(&p, dx_htip_text_of("on")), 0);
    DX_CHECK_EQ(dx_page_add_component(&p, 1, 1, 16, &b, 1), 0);
}

/* The default regions have 16 MiB together; a request that does not fit into one uses nothing. */
DX_TEST(mm_1_mm_4_w_21_mm_8_a_full_region_uses_nothing)
{
    dx_page p;
    dx_page_desc d;
    memset(&d, 0, sizeof d);
    d.memory = memory;
    DX_CHECK_EQ(dx_page_init(&p, &(dx_page_desc){.memory = (uint8_t *)memory + 1}), DX_PAGE_EINVAL);
    void *whole = malloc(16 << 20);
    DX_CHECK(whole);
    d.memory = whole;
    DX_CHECK_EQ(dx_page_init(&p, &d), 0);
    DX_CHECK_EQ((uint64_t)(p.state_ - p.static_), 2 << 20);
    DX_CHECK_EQ((uint64_t)(p.queue_ - p.static_), 10 << 20);
    DX_CHECK_EQ(p.queue_size_, 6 << 20);
    free(whole);
    p = page_open(2048, 32768); /* 50 KiB in all */
    uint32_t nodes[64], count = 0;
    int error;
    while ((error = dx_page_mount(&p, 7, 0, 0, 0, fill, NULL, &nodes[count])) == 0) DX_CHECK(++count < 64);
    DX_CHECK(error == DX_PAGE_ENOSPACE && count > 20);
    const dx_page was = p;
    for (int i = 0; i < 1000; i++) DX_CHECK_EQ(dx_page_mount(&p, 7, 0, 0, 0, fill, NULL, &nodes[count]), DX_PAGE_ENOSPACE);
    DX_CHECK_MEM(&p, &was, sizeof p);
    DX_CHECK_EQ(dx_page_unmount(&p, nodes[3]), 0);
    DX_CHECK_EQ(dx_page_mount(&p, 7, 0, 0, 0, fill, NULL, &nodes[3]), 0);
    DX_CHECK_EQ(dx_page_mount(&p, 7, 0, 0, 0, fill, NULL, &nodes[count]), DX_PAGE_ENOSPACE);
}

/* Where the parts of the default regions are: what another reader of this memory looks for. */
DX_TEST(mm_2_the_static_region_has_fixed_offsets)
{
    static const char markup[] = "<p><b data-slot=\"\"></b></p>";
    const dx_page_binding b = {63, DX_PAGE_CLASS, DX_PAGE_BYTES, 0, 1, 0, 8, 8};
    dx_page_desc d;
    dx_page p;
    uint64_t capabilities;
    memset(&d, 0, sizeof d);
    d.memory = malloc(16 << 20);
    d.capabilities = DX_PAGE_DOM_WRITE | DX_PAGE_WORKER_SPAWN;
    DX_CHECK(d.memory);
    const uint8_t *m = d.memory;
    DX_CHECK_EQ(dx_page_init(&p, &d), 0);
    DX_CHECK_EQ(dx_page_add_template(&p, 9, dx_htip_text_of(markup)), 0);
    DX_CHECK_EQ(dx_page_add_name(&p, dx_htip_text_of("danger")), 0);
    DX_CHECK_EQ(dx_page_add_component(&p, 0x01020304, 9, 16, &b, 1), 0);
    dx_page_seal(&p);
    DX_CHECK_EQ(dx_page_read_manifest(m, 64, &capabilities), 0);
    DX_CHECK_EQ(capabilities, 0x11);
    DX_CHECK_MEM(m + 0x40, "\1\0\0\0", 4); /* names: their count, then offset and size of each */
    DX_CHECK_MEM(m + 0x1000, markup, sizeof markup - 1);
    DX_CHECK_MEM(m + 0x100000, "\4\3\2\1\1\0\0\0", 8); /* a binding map: its component, its count */
    DX_CHECK_MEM(m + 0x100000 + 8 + 132, "\x3f\3\0\0\1\0\0\0\0\0\0\0\x08\0\0\0\x08\0\0\0", 20);
    dx_page_flush f;
    dx_page_get_flush(&p, &f);
    DX_CHECK((const uint8_t *)f.ops == m + 0xa00000 + 128);
    free(d.memory);
}

static uint32_t load32(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }

/* W-22: every name of the dictionary lies in the static region, and only those that exist can be bound. */
DX_TEST(mm_6_w_22_names_are_a_dictionary_with_bounds)
{
    dx_page p = page_open(8192, 8192);
    const uint8_t *m = (const uint8_t *)memory;
    dx_page_binding b = {0, DX_PAGE_CLASS, DX_PAGE_BYTES, 0, 1, 0, 8, 8};
    char name[64], all[256];
    p.sealed_ = false;
    for (int i = 2; i < DX_PAGE_NAMES_MAX; i++) {
        snprintf(name, sizeof name, "name-%d", i * 7919);
        DX_CHECK_EQ(dx_page_add_name(&p, dx_htip_text_of(name)), i);
    }
    const dx_page was = p;
    DX_CHECK_EQ(dx_page_add_name(&p, dx_htip_text_of("one-more")), DX_PAGE_ENOSPACE);
    DX_CHECK_EQ(dx_page_add_name(&p, dx_htip_text_of("")), DX_PAGE_EINVAL);
    DX_CHECK_EQ(dx_page_add_name(&p, dx_htip_text_of("\xc3")), DX_PAGE_EUTF8);
    DX_CHECK_MEM(&p, &was, sizeof p);
    DX_CHECK_EQ(load32(m + 0x40), DX_PAGE_NAMES_MAX);
    for (uint32_t i = 2; i < DX_PAGE_NAMES_MAX; i++) {
        const uint32_t offset = load32(m + 0x44 + 8 * i), size = load32(m + 0x48 + 8 * i);
        snprintf(name, sizeof name, "name-%u", (unsigned)i * 7919);
        DX_CHECK(size == strlen(name) && offset >= 0x1000 && offset + (uint64_t)size <= 16384 / 2);
        DX_CHECK_MEM(m + offset, name, size);
    }
    b.name_id = DX_PAGE_NAMES_MAX - 1;
    DX_CHECK_EQ(dx_page_add_component(&p, 10, 3, 16, &b, 1), 0);
    for (uint32_t bad = DX_PAGE_NAMES_MAX; bad; bad *= 2) {
        b.name_id = bad;
        DX_CHECK_EQ(dx_page_add_component(&p, 11, 3, 16, &b, 1), DX_PAGE_EBINDING);
    }
    p = page_open(8192, 8192); /* room of half the region, less templates: a name that is one byte too long */
    p.sealed_ = false;
    memset(all, 'x', sizeof all);
    int next = 2;
    for (; p.name_begin_ - p.template_end_ > 200; next++) DX_CHECK_EQ(dx_page_add_name(&p, (dx_htip_text){(const uint8_t *)all, 100}), next);
    const uint32_t room = p.name_begin_ - p.template_end_;
    DX_CHECK(room > 100);
    DX_CHECK_EQ(dx_page_add_name(&p, (dx_htip_text){(const uint8_t *)all, room + 1}), DX_PAGE_ENOSPACE);
    DX_CHECK_EQ(dx_page_add_name(&p, (dx_htip_text){(const uint8_t *)all, room}), next);
    DX_CHECK_EQ(dx_page_add_name(&p, dx_htip_text_of("y")), DX_PAGE_ENOSPACE);
}

/* Each bit has its place in the manifest, and what needs it is refused with all others granted. */
DX_TEST(cm_2_d7_every_capability_is_one_bit)
{
    static const uint64_t bits[8] = {DX_PAGE_DOM_WRITE, DX_PAGE_DOM_READ, DX_PAGE_NETWORK_FETCH, DX_PAGE_LOCAL_STORAGE, DX_PAGE_WORKER_SPAWN,
                                     DX_PAGE_GEOLOCATION, DX_PAGE_CAMERA, DX_PAGE_MICROPHONE};
    for (int i = 0; i < 8; i++) {
        dx_page p = page_open(8192, 8192);
        uint8_t m[DX_PAGE_MANIFEST_SIZE];
        uint64_t capabilities;
        uint32_t node;
        DX_CHECK_EQ(bits[i], UINT64_C(1) << i);
        dx_page_write_manifest(m, bits[i]);
        DX_CHECK_EQ(m[8], 1 << i);
        DX_CHECK_EQ(dx_page_read_manifest(m, sizeof m, &capabilities), 0);
        p.capabilities_ = capabilities;
        for (int k = 0; k < 8; k++) DX_CHECK_EQ(dx_page_has_all(&p, bits[k]), i == k);
        p.capabilities_ = UINT64_MAX & ~bits[i];
        DX_CHECK_EQ(dx_page_mount(&p, 7, 0, 0, 0, NULL, NULL, &node), bits[i] == DX_PAGE_DOM_WRITE ? DX_PAGE_ECAPABILITY : 0);
        DX_CHECK_EQ(dx_page_event(&p, 0, 0, NULL, 0), bits[i] == DX_PAGE_DOM_READ ? DX_PAGE_ECAPABILITY : DX_PAGE_ENOTFOUND);
    }
}

typedef struct counter {
    uint64_t dirty;
    int32_t count, step;
} counter;

static void on_click(void *user, dx_page *p, uint32_t node, const void *data, size_t size)
{
    counter *c = dx_page_state(p, node);
    (void)user, (void)data, (void)size;
    c->count += c->step;
    DX_CHECK_EQ(dx_page_mark(p, node, 0), 0);
}

/* Component 1: count is bit 0, step is bit 1. */
DX_TEST(mo_5_a_counter)
{
    static const dx_page_binding bindings[] = {
        {0, DX_PAGE_TEXT, DX_PAGE_INTEGER, 0, 1, 0, offsetof(counter, count), 4},
        {1, DX_PAGE_TEXT, DX_PAGE_INTEGER, 0, 2, 0, offsetof(counter, step), 4},
    };
    dx_page p = page_open(8192, 8192);
    uint32_t node;
    DX_CHECK(sizeof(counter) == 16 && offsetof(counter, dirty) == 0 && offsetof(counter, count) == 8 && offsetof(counter, step) == 12);
    p.sealed_ = false;
    DX_CHECK_EQ(dx_page_add_component(&p, 1, 3, sizeof(counter), bindings, 2), 0);
    dx_page_seal(&p);
    DX_CHECK_EQ(dx_page_on(&p, 0, on_click, NULL), 0);
    DX_CHECK_EQ(dx_page_mount(&p, 1, 0, 0, 0, NULL, NULL, &node), 0);
    ((counter *)dx_page_state(&p, node))->step = -3;
    DX_CHECK_EQ(dx_page_mark(&p, node, 1), 0);
    dx_page_frame(&p);
    flush(&p);
    for (int i = 1; i <= 100; i++) {
        char text[TEXT];
        DX_CHECK_EQ(dx_page_event(&p, 0, node & 0x3fffff, NULL, 0), 0);
        DX_CHECK_EQ(((counter *)dx_page_state(&p, node))->dirty, 1);
        DX_CHECK_EQ(dx_page_frame(&p), 1); /* the step's text stays as it is */
        flush(&p);
        snprintf(text, sizeof text, "%d", -3 * i);
        DX_CHECK_STR(document[1].text[1], text);
        DX_CHECK_STR(document[1].text[2], "-3");
    }
}

/* A registry is u32 count, then id, size and markup of each: whole or refused. */
DX_TEST(do_1_w_26_a_registry_of_templates)
{
    static const uint8_t registry[] = "\2\0\0\0" "\5\0\0\0\7\0\0\0<p></p>" "\xff\0\0\0\x0a\0\0\0<b>\xe2\x82\xac</b>";
    const size_t size = sizeof registry - 1;
    dx_page p = page_open(8192, 8192);
    DX_CHECK_EQ(dx_page_load_templates(&p, registry, size), DX_PAGE_ESEALED);
    p.sealed_ = false;
    const dx_page was = p;
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = malloc(cut + !cut);
        memcpy(copy, registry, cut);
        DX_CHECK_EQ(dx_page_load_templates(&p, copy, cut), DX_PAGE_EBOUNDS);
        DX_CHECK_MEM(&p, &was, sizeof p);
        free(copy);
    }
    for (size_t at = 0; at < size; at++) { /* any byte that cannot be: refused, and not half taken */
        uint8_t copy[sizeof registry];
        memcpy(copy, registry, sizeof registry);
        copy[at] = 0xff;
        const int error = dx_page_load_templates(&p, copy, size);
        if (at == 4 || at == 19) DX_CHECK_EQ(error, at == 4 ? DX_PAGE_EDUPLICATE : 0); /* the ids: 255 twice, 255 as before */
        else DX_CHECK(error == DX_PAGE_EBOUNDS || error == DX_PAGE_EINVAL || error == DX_PAGE_EUTF8);
        if (error) DX_CHECK_MEM(&p, &was, sizeof p);
        else p = was;
    }
    DX_CHECK_EQ(dx_page_load_templates(&p, registry, size), 0);
    DX_CHECK(p.templates_[5].slots == 1 && p.templates_[255].slots == 1 && p.template_count_ == 3);
    DX_CHECK_EQ(dx_page_load_templates(&p, registry, size), DX_PAGE_EDUPLICATE);
}

/* The mask is the first field; marked fields alone are emitted, with all their bindings, in the order of the bits. */
DX_TEST(mo_1_mo_2_mo_3_w_24_marked_fields_come_out)
{
    dx_page p = page_open(65536, 65536);
    uint32_t node;
    DX_CHECK(sizeof(dx_page_binding) == 20 && offsetof(row, dirty) == 0);
    DX_CHECK_EQ(dx_page_mount(&p, 7, 0, 0, 0, fill, NULL, &node), 0);
    flush(&p);
    for (unsigned marked = 0; marked < 16; marked++) { /* bit 3 has no binding */
        row *r = dx_page_state(&p, node);
        uint32_t expected[4], count = 0;
        r->on = marked & 1;
        for (uint32_t bit = 4; bit-- > 0;)
            if (marked >> bit & 1) DX_CHECK_EQ(dx_page_mark(&p, node, bit), 0);
        DX_CHECK_EQ(r->dirty, marked);
        if (marked & 1) expected[count++] = DX_PAGE_OP_TEXT;
        if (marked & 2) {
            expected[count++] = DX_PAGE_OP_TEXT;
            expected[count++] = DX_PAGE_OP_ATTR;
        }
        if (marked & 4) expected[count++] = DX_PAGE_OP_CLASS;
        DX_CHECK_EQ(dx_page_frame(&p), count);
        DX_CHECK_EQ(r->dirty, 0);
        for (uint32_t i = 0; i < count; i++) DX_CHECK_EQ(dx_page_operation_at(&p, i).opcode, expected[i]);
        if (marked & 4) DX_CHECK_EQ(dx_page_operation_at(&p, count - 1).b, marked & 1);
        flush(&p);
    }
}

/* 2^20 + 10 nodes at the same time, each with its own state. */
DX_TEST(do_4_more_than_a_million_nodes)
{
    enum { COUNT = (1 << 20) + 10, STATE = 16, QUEUE = 1024, STATES = (COUNT + 1) * (STATE + 32) / 64 * 64 + 128 };
    dx_page p;
    dx_page_desc d;
    uint32_t *nodes = malloc(COUNT * sizeof *nodes), node;
    memset(&d, 0, sizeof d);
    d.static_size = 16384;
    d.state_size = STATES;
    d.queue_size = QUEUE;
    d.capabilities = DX_PAGE_DOM_WRITE;
    d.memory = malloc(16384 + STATES + QUEUE);
    DX_CHECK(d.memory && nodes);
    DX_CHECK_EQ(dx_page_init(&p, &d), 0);
    DX_CHECK_EQ(dx_page_add_template(&p, 1, dx_htip_text_of("<i></i>")), 0);
    DX_CHECK_EQ(dx_page_add_component(&p, 1, 1, STATE, NULL, 0), 0);
    dx_page_seal(&p);
    for (uint32_t i = 0; i < COUNT; i++) {
        DX_CHECK_EQ(dx_page_mount(&p, 1, 0, 0, 0, NULL, NULL, &nodes[i]), 0);
        DX_CHECK_EQ(dx_page_write(&p, nodes[i], 8, &i, 4, 0), 0);
        if (i % 8 == 0) dx_page_frame(&p);
        dx_page_flushed(&p);
    }
    DX_CHECK_EQ(dx_page_used(&p), COUNT);
    for (uint32_t i = 0, value = 0; i < COUNT; i += 977) {
        DX_CHECK_EQ(dx_page_read(&p, nodes[i], 8, &value, 4), 0);
        DX_CHECK_EQ(value, i);
    }
    DX_CHECK_EQ(dx_page_unmount(&p, nodes[COUNT - 1]), 0);
    DX_CHECK_EQ(dx_page_mount(&p, 1, 0, 0, 0, NULL, NULL, &node), 0);
    DX_CHECK(node != nodes[COUNT - 1] && (node & 0x3fffff) == (nodes[COUNT - 1] & 0x3fffff) && !dx_page_state(&p, nodes[COUNT - 1]));
    free(d.memory);
    free(nodes);
}

/* A manifest of arbitrary bytes: accepted ones are those that the writer makes. */
DX_PROPERTY(fuzz_page_manifest, 3000)
{
    uint8_t m[DX_PAGE_MANIFEST_SIZE + 8], same[DX_PAGE_MANIFEST_SIZE];
    const uint64_t granted = dx_choose(c, 3) ? dx_choose(c, UINT64_MAX) : 0;
    size_t size = DX_PAGE_MANIFEST_SIZE;
    uint64_t capabilities = 1;
    dx_page_write_manifest(m, granted);
    if (dx_choose(c, 7) == 0) dx_choose_bytes(c, m, size);
    for (uint64_t n = dx_choose(c, 3); n; n--) m[dx_choose(c, size - 1)] ^= (uint8_t)dx_choose(c, 255);
    if (dx_choose(c, 7) == 0) size = dx_choose(c, sizeof m);
    uint8_t *copy = malloc(size + !size); /* of its size, so that a sanitizer detects every access beyond it */
    memcpy(copy, m, size);
    const int error = dx_page_read_manifest(copy, size, &capabilities);
    free(copy);
    if (error) {
        DX_CHECK(error == DX_PAGE_EMAGIC || error == DX_PAGE_EVERSION || error == DX_PAGE_ECORRUPT || error == DX_PAGE_ERESERVED ||
                 error == DX_PAGE_EBOUNDS);
        DX_CHECK((error == DX_PAGE_EBOUNDS) == (size < DX_PAGE_MANIFEST_SIZE));
        DX_CHECK_EQ(capabilities, 0);
        return;
    }
    dx_page_write_manifest(same, capabilities);
    DX_CHECK_MEM(m, same, sizeof same);
}

/* Bindings of arbitrary bytes: accepted ones access only their component's state. */
DX_PROPERTY(fuzz_page_bindings, 3000)
{
    dx_page p = page_alone(8192, 8192);
    dx_page_binding b[4] = {{0}};
    uint32_t node, count = (uint32_t)dx_choose(c, 4), size = (uint32_t)dx_choose_range(c, 8, 40);
    for (uint32_t i = 0; i < count; i++) {
        const bool wild = dx_choose(c, 7) == 0;
        memset(&b[i], 0, sizeof b[i]);
        b[i].bit = (uint8_t)dx_choose(c, wild ? 255 : 63);
        b[i].type = (uint8_t)dx_choose_range(c, wild ? 0 : 1, wild ? 255 : 4);
        b[i].form = (uint8_t)dx_choose(c, wild ? 255 : 1);
        b[i].reserved = (uint8_t)dx_choose(c, wild);
        b[i].slot = (uint32_t)dx_choose(c, wild ? UINT32_MAX : 2);
        b[i].name_id = b[i].type == DX_PAGE_TEXT ? 0 : (uint32_t)dx_choose(c, wild ? UINT32_MAX : 1);
        b[i].value_offset = (uint32_t)dx_choose(c, wild ? UINT32_MAX : size);
        b[i].value_length = b[i].form == DX_PAGE_INTEGER ? 4 : (uint32_t)dx_choose(c, wild ? UINT32_MAX : size - (b[i].value_offset <= size ? b[i].value_offset : 0));
    }
    p.sealed_ = false;
    const int error = dx_page_add_component(&p, 8, 3, size, b, count);
    dx_page_seal(&p);
    DX_CHECK(error == 0 || error == DX_PAGE_EBINDING || error == DX_PAGE_ERESERVED);
    for (uint32_t i = 0; i < count && !error; i++)
        DX_CHECK(b[i].bit < 64 && b[i].slot < 3 && (b[i].form == DX_PAGE_FORMAT || b[i].value_offset + (uint64_t)b[i].value_length <= size));
    if (error) return;
    for (uint32_t i = 0; i < count; i++)
        if (b[i].form == DX_PAGE_FORMAT) return; /* this formatter knows only its own component */
    DX_CHECK_EQ(dx_page_mount(&p, 8, 0, 0, 0, NULL, NULL, &node), 0);
    for (uint64_t n = dx_choose(c, 4); n; n--) {
        const uint8_t byte = (uint8_t)dx_choose(c, 255);
        if (size > 8) DX_CHECK_EQ(dx_page_write(&p, node, (uint32_t)dx_choose_range(c, 8, size - 1), &byte, 1, (uint32_t)dx_choose(c, 63)), 0);
    }
    dx_page_frame(&p);
    /* Units are those of the decoded text. */
    dx_page_flush f;
    dx_page_get_flush(&p, &f);
    uint32_t units = 0;
    for (uint32_t i = 0; i < f.text_size; i++) {
        const uint8_t byte = ((const uint8_t *)f.text)[i];
        units += (byte & 0xc0) != 0x80;
        units += byte >= 0xf0;
    }
    DX_CHECK(dx_htip_is_utf8(f.text, f.text_size));
    DX_CHECK_EQ(units, p.text_units_);
}

/* A registry of arbitrary templates is accepted as a whole or not at all. */
DX_PROPERTY(fuzz_page_templates, 3000)
{
    static const char *const texts[] = {"<p></p>", "<b>\xc3\xa9</b>", "<script></script>", "\xff", "", "<i data-slot=\"\"></i>"};
    dx_page p = page_alone(8192, 8192);
    uint8_t bytes[256] = {(uint8_t)dx_choose(c, 4)};
    size_t size = 4;
    for (uint64_t n = dx_choose(c, 4); n; n--) {
        const char *text = texts[dx_choose(c, 5)];
        bytes[size] = (uint8_t)dx_choose(c, 9);
        bytes[size + 4] = (uint8_t)strlen(text);
        memcpy(bytes + size + 8, text, strlen(text));
        size += 8 + strlen(text);
    }
    for (uint64_t n = dx_choose(c, 2); n; n--) bytes[dx_choose(c, size - 1)] = (uint8_t)dx_choose(c, 255);
    if (dx_choose(c, 3) == 0) size = dx_choose(c, size);
    p.sealed_ = false;
    const uint32_t end = p.template_end_, had = p.template_count_;
    uint8_t *copy = malloc(size + !size);
    memcpy(copy, bytes, size);
    const int error = dx_page_load_templates(&p, copy, size);
    free(copy);
    uint32_t count = 0;
    for (uint32_t i = 0; i < DX_PAGE_TEMPLATES_MAX; i++) count += p.templates_[i].slots != 0;
    DX_CHECK_EQ(count, p.template_count_);
    if (error) DX_CHECK(p.template_end_ == end && p.template_count_ == had);
    else DX_CHECK_EQ(p.template_count_, had + bytes[0]);
}

/* A frame's time: tasks that take time, and levels that would starve. */
static uint64_t now;
static uint64_t clock_now(void *user) { (void)user; return now; }
typedef struct job {
    dx_page_task task;
    uint64_t takes;
    uint32_t runs;
} job;
static void work(void *user)
{
    job *j = user;
    now += j->takes;
    j->runs++;
}

DX_TEST(sd_1_sd_2_sd_3_sd_5_budget_order_and_starvation)
{
    dx_page p = page_open(65536, 65536);
    job jobs[9];
    memset(jobs, 0, sizeof jobs);
    for (int i = 0; i < 9; i++) {
        jobs[i].task.fn = work;
        jobs[i].task.user = &jobs[i];
        jobs[i].takes = 1500000;
        DX_CHECK_EQ(dx_page_push(&p, (dx_page_priority)(i / 3), &jobs[i].task), 0);
    }
    DX_CHECK_EQ(dx_page_run(&p, now, clock_now, NULL), 3); /* 4.5 ms: the budget is used */
    DX_CHECK(jobs[0].runs && jobs[2].runs && !jobs[3].runs);
    DX_CHECK_EQ(dx_page_run(&p, now, clock_now, NULL), 3); /* normal ones start until 3.5 ms */
    DX_CHECK(jobs[5].runs && !jobs[6].runs);
    DX_CHECK_EQ(dx_page_run(&p, now, clock_now, NULL), 2); /* idle ones until 2 ms */
    DX_CHECK(jobs[7].runs && !jobs[8].runs);
    for (int frame = 1; !jobs[8].runs; frame++) {
        job busy = {{work, NULL, NULL}, 5000000, 0};
        busy.task.user = &busy;
        DX_CHECK(frame <= 62);
        DX_CHECK_EQ(dx_page_push(&p, DX_PAGE_IMMEDIATE, &busy.task), 0);
        dx_page_run(&p, now, clock_now, NULL);
        DX_CHECK_EQ(busy.runs, 1);
        if (frame < 60) DX_CHECK(!jobs[8].runs);
    }
    DX_CHECK_EQ(dx_page_run(&p, now, clock_now, NULL), 0);
    DX_CHECK_EQ(dx_page_push(&p, (dx_page_priority)3, &jobs[0].task), DX_PAGE_EINVAL);
}

static uint32_t heard;
static void hear(void *user, dx_page *p, uint32_t node, const void *data, size_t size)
{
    (void)user;
    DX_CHECK(size == 2 && !memcmp(data, "hi", 2));
    heard = node;
    ((row *)dx_page_state(p, node))->version++;
    DX_CHECK_EQ(dx_page_mark(p, node, 1), 0);
}

DX_TEST(df_1_an_event_changes_state_and_one_operation_comes_out)
{
    dx_page p = page_open(65536, 65536);
    dx_page_list l = list_open(0, 0);
    const uint32_t keys[3] = {5, 6, 7};
    DX_CHECK_EQ(dx_page_on(&p, 4, hear, NULL), 0);
    DX_CHECK_EQ(dx_page_on(&p, 64, hear, NULL), DX_PAGE_EINVAL);
    DX_CHECK_EQ(dx_page_list_update(&p, &l, keys, 3), 0);
    flush(&p);
    DX_CHECK_EQ(dx_page_event(&p, 4, 2, "hi", 2), 0);
    DX_CHECK_EQ(heard, l.nodes[1]);
    DX_CHECK_EQ(dx_page_event(&p, 4, 9, "hi", 2), DX_PAGE_ENODE);
    DX_CHECK_EQ(dx_page_event(&p, 3, 2, "hi", 2), DX_PAGE_ENOTFOUND);
    DX_CHECK_EQ(dx_page_frame(&p), 2); /* bit 1: label and title */
    flush(&p);
    DX_CHECK_STR(document[2].text[2], "label 6.1");
    DX_CHECK_EQ(dx_page_unmount(&p, l.nodes[1]), DX_PAGE_ENODE); /* a row belongs to its list */
    const uint32_t twice[5] = {5, 9, 8, 9, 7};
    DX_CHECK_EQ(dx_page_list_update(&p, &l, twice, 5), DX_PAGE_EDUPLICATE);
    DX_CHECK(l.count == 3 && dx_page_is_idle(&p));
}
