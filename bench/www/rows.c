/* The rows of js-framework-benchmark on layers/dx_page.h, compiled to WebAssembly: a table of numbers and labels, and what its
   buttons do. One import, flush, is called once for each event.

   ROWS_COMPILED: markup, state and bindings are those that examples/www/component.py makes of rows.html, else those written here. */
#include <stddef.h>
#include <stdint.h>

#define DX_HTIP_STATIC
#define DX_PAGE_STATIC
#define DX_IMPLEMENTATION
#include "../../layers/dx_page.h"
#include "../../examples/memory.c"

#define EXPORT(name) __attribute__((export_name(#name))) name
#define IMPORT(name) __attribute__((import_module("host"), import_name(#name))) name
void IMPORT(flush)(const void *ops, uint32_t mask, uint32_t read, uint32_t write, const void *text, uint32_t text_size);

enum { ROWS_MAX = 65536 };

#ifdef ROWS_COMPILED
#include "rows.h"
enum { SELECTED = ROW_BIT_SELECTED, LABEL = ROW_BIT_MARKS };
#else
enum { COMPONENT = 1, SELECTED = 0, LABEL = 1, NUMBER = 2 };

typedef struct row {
    uint64_t dirty;
    int32_t  id;
    uint16_t marks; /* how many " !!!" */
    uint8_t  adjective, colour, noun, selected;
} row;

static const char row_markup[] =
    "<tr><td class=\"col-md-1\" data-slot=\"\"></td><td class=\"col-md-4\"><a class=\"lbl\" data-on=\"click:1\" data-slot=\"\"></a></td>"
    "<td class=\"col-md-1\"><a class=\"remove\" data-on=\"click:2\"><span class=\"glyphicon glyphicon-remove\" aria-hidden=\"true\"></span></a></td>"
    "<td class=\"col-md-6\"></td></tr>";
#endif
static const char *const adjectives[] = {"pretty", "large", "big", "small", "tall", "short", "long", "handsome", "plain", "quaint", "clean", "elegant", "easy",
                                         "angry", "crazy", "helpful", "mushy", "odd", "unsightly", "adorable", "important", "inexpensive", "cheap", "expensive", "fancy"};
static const char *const colours[] = {"red", "yellow", "blue", "green", "pink", "brown", "purple", "brown", "white", "black", "orange"};
static const char *const nouns[] = {"table", "chair", "house", "bbq", "desk", "car", "pony", "cookie", "sandwich", "burger", "pizza", "mouse", "keyboard"};
#define COUNT(a) ((uint32_t)(sizeof(a) / sizeof *(a)))

static dx_page page;
static dx_page_list list;
static uint32_t list_keys[ROWS_MAX], list_nodes[ROWS_MAX], wanted[ROWS_MAX], next_id, selected, seed;
extern uint8_t __heap_base;

static uint32_t random_below(uint32_t limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return (uint32_t)((uint64_t)seed * limit >> 32);
}

static uint32_t put(uint8_t *out, uint32_t at, uint32_t capacity, const char *text)
{
    for (; *text; text++, at++)
        if (at < capacity) out[at] = (uint8_t)*text;
    return at;
}

/* A label is kept as numbers and written where the browser reads it. */
static uint32_t row_label(const row *r, uint8_t *out, uint32_t capacity)
{
    uint32_t size = put(out, 0, capacity, adjectives[r->adjective]);
    size = put(out, size, capacity, " ");
    size = put(out, size, capacity, colours[r->colour]);
    size = put(out, size, capacity, " ");
    size = put(out, size, capacity, nouns[r->noun]);
    for (uint32_t i = 0; i < r->marks; i++) size = put(out, size, capacity, " !!!");
    return size;
}

static void row_fill(void *user, row *r)
{
    (void)user;
    r->adjective = (uint8_t)random_below(COUNT(adjectives));
    r->colour = (uint8_t)random_below(COUNT(colours));
    r->noun = (uint8_t)random_below(COUNT(nouns));
}

static void show(void)
{
    dx_page_flush f;
    do {
        dx_page_frame(&page);
        dx_page_get_flush(&page, &f);
        if (f.read != f.write) flush(f.ops, f.mask, f.read, f.write, f.text, f.text_size);
        dx_page_flushed(&page);
    } while (!dx_page_is_idle(&page));
}

static void update(const uint32_t *keys, uint32_t count)
{
    if (dx_page_list_update(&page, &list, keys, count)) __builtin_trap();
}

static void add(uint32_t count)
{
    uint32_t have = list.count;
    for (uint32_t i = 0; i < have; i++) wanted[i] = list_keys[i];
    for (uint32_t i = 0; i < count; i++) wanted[have + i] = ++next_id;
    update(wanted, have + count);
}

static void replace(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) wanted[i] = ++next_id;
    update(wanted, count);
}

static void row_select(void *user, dx_page *p, uint32_t node, const void *data, size_t size)
{
    row *was = dx_page_state(p, selected), *is = dx_page_state(p, node);
    (void)user, (void)data, (void)size;
    if (was) {
        was->selected = 0;
        dx_page_mark(p, selected, SELECTED);
    }
    is->selected = 1;
    selected = node;
    dx_page_mark(p, node, SELECTED);
}

static void row_remove(void *user, dx_page *p, uint32_t node, const void *data, size_t size)
{
    uint32_t key = dx_page_key(p, node), count = 0;
    (void)user, (void)data, (void)size;
    for (uint32_t i = 0; i < list.count; i++)
        if (list_keys[i] != key) wanted[count++] = list_keys[i];
    update(wanted, count);
}

/* The buttons: 1 create 1,000, 2 create 10,000, 3 append 1,000, 4 update every 10th, 5 clear, 6 swap. */
void EXPORT(press)(uint32_t button)
{
    if (button == 1 || button == 2) replace(button == 1 ? 1000 : 10000);
    if (button == 3 && list.count <= ROWS_MAX - 1000) add(1000);
    for (uint32_t i = 0; button == 4 && i < list.count; i += 10) {
        row *r = dx_page_state(&page, list_nodes[i]);
        r->marks++;
        dx_page_mark(&page, list_nodes[i], LABEL);
    }
    if (button == 5) update(wanted, 0);
    if (button == 6 && list.count > 998) {
        for (uint32_t i = 0; i < list.count; i++) wanted[i] = list_keys[i];
        wanted[1] = list_keys[998];
        wanted[998] = list_keys[1];
        update(wanted, list.count);
    }
    show();
}

int EXPORT(event)(uint32_t handler, uint32_t node)
{
    int error = dx_page_event(&page, handler, node, NULL, 0);
    show();
    return error;
}

#ifndef ROWS_COMPILED
static uint32_t rows_format(void *user, uint32_t component, uint32_t which, const void *state, uint8_t *out, uint32_t capacity)
{
    (void)user, (void)component, (void)which;
    return row_label(state, out, capacity);
}

static void fill(void *user, uint32_t key, void *state)
{
    row *r = state;
    r->id = (int32_t)key;
    row_fill(user, r);
}

static int rows_add_to(dx_page *p, void *user)
{
    static const dx_page_binding bindings[] = {
        {SELECTED, DX_PAGE_CLASS, DX_PAGE_BYTES, 0, 0, 0, offsetof(row, selected), 1},
        {LABEL, DX_PAGE_TEXT, DX_PAGE_FORMAT, 0, 2, 0, 0, 0},
        {NUMBER, DX_PAGE_TEXT, DX_PAGE_INTEGER, 0, 1, 0, offsetof(row, id), 4},
    };
    int error = dx_page_add_template(p, 1, dx_htip_text_of(row_markup));
    if (!error && dx_page_add_name(p, dx_htip_text_of("danger")) < 0) error = DX_PAGE_ENOSPACE;
    if (!error) error = dx_page_add_component(p, COMPONENT, 1, sizeof(row), bindings, COUNT(bindings));
    dx_page_on(p, 1, row_select, user);
    dx_page_on(p, 2, row_remove, user);
    return error;
}

static void row_list(dx_page_list *l, uint32_t parent, uint32_t slot, uint32_t *keys, uint32_t *nodes, uint32_t capacity, void *user)
{
    l->component = COMPONENT;
    l->parent = parent;
    l->slot = slot;
    l->keys = keys;
    l->nodes = nodes;
    l->capacity = capacity;
    l->fill = fill;
    l->user = user;
}
#endif

/* 0 or an error. memory: sizes of the page's three regions from __heap_base on. */
int EXPORT(init)(uint32_t random)
{
    dx_page_desc desc;
    uintptr_t at = ((uintptr_t)&__heap_base + 63) & ~(uintptr_t)63;
    int error;
    memset(&desc, 0, sizeof desc);
    desc.memory = (void *)at;
    desc.static_size = 65536;
    desc.state_size = 8u << 20;
    desc.queue_size = 6u << 20;
    desc.capabilities = DX_PAGE_DOM_WRITE | DX_PAGE_DOM_READ;
    desc.format = rows_format;
    at += desc.static_size + desc.state_size + desc.queue_size;
    if (__builtin_wasm_memory_grow(0, (at + 65535) / 65536 - __builtin_wasm_memory_size(0)) == (size_t)-1) return DX_PAGE_ENOSPACE;
    error = dx_page_init(&page, &desc);
    if (!error) error = rows_add_to(&page, NULL);
    if (error) return error;
    dx_page_seal(&page);
    row_list(&list, 0, 0, list_keys, list_nodes, ROWS_MAX, NULL);
    seed = random | 1;
    return 0;
}

const char *EXPORT(template_text)(void) { return row_markup; }
uint32_t EXPORT(template_size)(void) { return sizeof row_markup - 1; }
uint32_t EXPORT(row_count)(void) { return list.count; }
