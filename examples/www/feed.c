/* The rows of the dashboard on layers/dx_page.h: a feed of quotes, each of which is a row that is found by its number. Markup, state
   and bindings are in feed_rows.html, which component.py compiles to feed_rows.h. One source, three programs: WebAssembly on the page's thread, the same in a worker (FEED_SHARED: its memory is shared with the page), and,
   natively, the HTML that a server sends first.

   A feed is 16 bytes for each quote, little-endian: number u32, not 0 and only once; price i32, in hundredths; change i32, in
   hundredths of a percent; hits u32. */
#include <stddef.h>
#include <stdint.h>

#ifdef __wasm__
#define DX_HTIP_STATIC
#define DX_PAGE_STATIC
#endif
#define DX_IMPLEMENTATION
#include "../../layers/dx_page.h"
#ifdef __wasm__
#include "../page_exports.h"
#endif
#include "feed_rows.h"

enum { ROWS_MAX = 4096, QUOTE_SIZE = 16, CLICK_SORT = FEED_ROWS_HANDLERS };
enum { STATIC_SIZE = 65536, STATE_SIZE = 1 << 20, QUEUE_SIZE = 2 << 20 };

/* All that there is of a page. */
typedef struct feed {
    dx_page      page;
    dx_page_list list;
    uint32_t     list_keys[ROWS_MAX], list_nodes[ROWS_MAX], wanted[ROWS_MAX];
    uint32_t     selected, sorted; /* sorted: by change */
    const uint8_t *quotes;         /* that are shown: in kept */
    uint32_t     quote_count;
    uint8_t      room[ROWS_MAX * QUOTE_SIZE], kept[ROWS_MAX * QUOTE_SIZE];
    uint64_t     memory[(STATIC_SIZE + STATE_SIZE + QUEUE_SIZE) / 8];
} feed;

#ifndef FEED_NO_MAIN /* live.c has its own */
static feed instance;
#endif

static uint32_t load32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* >>texts ------------------------------------------------------------------ */
static uint32_t put(uint8_t *out, uint32_t at, uint32_t capacity, uint8_t byte)
{
    if (at < capacity) out[at] = byte;
    return at + 1;
}

static uint32_t put_number(uint8_t *out, uint32_t at, uint32_t capacity, uint32_t v, uint32_t digits_min)
{
    uint8_t  digits[10];
    uint32_t count = 0;
    do digits[count++] = (uint8_t)('0' + v % 10);
    while (v /= 10, v || count < digits_min);
    while (count) at = put(out, at, capacity, digits[--count]);
    return at;
}

/* Hundredths with two decimals: -12.05 */
static uint32_t put_hundredths(uint8_t *out, uint32_t at, uint32_t capacity, int32_t v, bool plus)
{
    const uint32_t size = v < 0 ? 0u - (uint32_t)v : (uint32_t)v;
    if (v < 0 || (plus && v)) at = put(out, at, capacity, v < 0 ? '-' : '+');
    at = put_number(out, at, capacity, size / 100, 1);
    at = put(out, at, capacity, '.');
    return put_number(out, at, capacity, size % 100, 2);
}

static uint32_t quote_price(const quote *q, uint8_t *out, uint32_t capacity)
{
    return put_hundredths(out, 0, capacity, q->price, false);
}

static uint32_t quote_change(const quote *q, uint8_t *out, uint32_t capacity)
{
    return put(out, put_hundredths(out, 0, capacity, q->change, true), capacity, '%');
}

static uint32_t quote_name(const quote *q, uint8_t *out, uint32_t capacity)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < 3; i++) /* ABC-0042 */
        at = put(out, at, capacity, (uint8_t)('A' + (q->number * 2654435761u >> (27 - 5 * i)) % 26));
    at = put(out, at, capacity, '-');
    return put_number(out, at, capacity, q->number, 4);
}

static bool quote_rises(const quote *q) { return q->change > 0; }
static bool quote_falls(const quote *q) { return q->change < 0; }

/* >>state ------------------------------------------------------------------ */
static void take(quote *q, const uint8_t *bytes)
{
    q->price = (int32_t)load32(bytes + 4);
    q->change = (int32_t)load32(bytes + 8);
    q->hits = (int32_t)(load32(bytes + 12) & INT32_MAX);
}

/* A quote by its number, which ascend. */
static const uint8_t *find(const feed *f, uint32_t number)
{
    uint32_t low = 0, high = f->quote_count;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (load32(f->quotes + middle * QUOTE_SIZE) <= number) low = middle;
        else high = middle;
    }
    return f->quotes + low * QUOTE_SIZE;
}

static void quote_fill(void *user, quote *row) { take(row, find((const feed *)user, row->number)); }

/* Mark what differs from the quote's bytes. */
static void renew(feed *f, uint32_t node, const uint8_t *bytes)
{
    quote      *q = (quote *)dx_page_state(&f->page, node);
    const quote was = *q;
    take(q, bytes);
    if (q->price != was.price) dx_page_mark(&f->page, node, QUOTE_BIT_PRICE);
    if (q->change != was.change) dx_page_mark(&f->page, node, QUOTE_BIT_CHANGE);
    if (q->hits != was.hits) dx_page_mark(&f->page, node, QUOTE_BIT_HITS);
}

/* The rows' order: by number, or the largest change first. */
static void order(feed *f)
{
    const uint32_t count = f->quote_count;
    for (uint32_t gap = f->sorted ? count / 2 : 0; gap; gap /= 2) /* shell sort */
        for (uint32_t i = gap; i < count; i++) {
            const uint32_t key = f->wanted[i];
            const int32_t  change = (int32_t)load32(find(f, key) + 8);
            uint32_t       k = i;
            for (; k >= gap; k -= gap) {
                const uint32_t other = f->wanted[k - gap];
                const int32_t  others = (int32_t)load32(find(f, other) + 8);
                if (others > change || (others == change && other < key)) break;
                f->wanted[k] = other;
            }
            f->wanted[k] = key;
        }
}

/* The rows become those of `quotes`, or nothing changes. */
static int show(feed *f)
{
    int error;
    for (uint32_t i = 0; i < f->quote_count; i++) f->wanted[i] = load32(f->quotes + i * QUOTE_SIZE);
    order(f);
    error = dx_page_list_update(&f->page, &f->list, f->wanted, f->quote_count);
    if (error) return error;
    for (uint32_t i = 0; i < f->list.count; i++) renew(f, f->list_nodes[i], find(f, f->list_keys[i]));
    return 0;
}

static void quote_select(void *user, dx_page *p, uint32_t node, const void *data, size_t size)
{
    feed  *f = (feed *)user;
    quote *was = (quote *)dx_page_state(p, f->selected), *is = (quote *)dx_page_state(p, node);
    (void)data, (void)size;
    if (was) {
        was->selected = 0;
        dx_page_mark(p, f->selected, QUOTE_BIT_SELECTED);
    }
    if (!is || is == was) {
        f->selected = 0;
        return;
    }
    is->selected = 1;
    f->selected = node;
    dx_page_mark(p, node, QUOTE_BIT_SELECTED);
}

static void on_sort(void *user, dx_page *p, uint32_t node, const void *data, size_t size)
{
    feed *f = (feed *)user;
    (void)p, (void)node, (void)data, (void)size;
    f->sorted = !f->sorted;
    if (show(f)) f->sorted = !f->sorted; /* no room: as it was */
}

/* >>feed ------------------------------------------------------------------- */
static int feed_open(feed *f, uint64_t capabilities)
{
    dx_page_desc desc;
    int          error;
    DX_PAGE_MEMSET(&desc, 0, sizeof desc);
    desc.memory = f->memory;
    desc.static_size = STATIC_SIZE;
    desc.state_size = STATE_SIZE;
    desc.queue_size = QUEUE_SIZE;
    desc.capabilities = capabilities;
    desc.format = feed_rows_format;
    error = dx_page_init(&f->page, &desc);
    if (!error) error = feed_rows_add_to(&f->page, f);
    if (error) return error;
    dx_page_seal(&f->page);
    dx_page_on(&f->page, CLICK_SORT, on_sort, f);
    quote_list(&f->list, 0, 0, f->list_keys, f->list_nodes, ROWS_MAX, f);
    return 0;
}

/* Show the first `size` bytes of `room`. EBOUNDS: not whole quotes, or too many; EINVAL: a number is 0; EDUPLICATE: numbers that do
   not ascend; EAGAIN: flush first. Then nothing has changed. */
static int feed_take(feed *f, uint32_t size)
{
    const uint8_t *kept = f->quotes;
    const uint32_t kept_count = f->quote_count;
    uint32_t       last = 0;
    int            error;
    if (size % QUOTE_SIZE || size > sizeof f->room) return DX_PAGE_EBOUNDS;
    for (uint32_t i = 0; i < size; i += QUOTE_SIZE) {
        const uint32_t number = load32(f->room + i);
        if (!number) return DX_PAGE_EINVAL;
        if (number <= last) return DX_PAGE_EDUPLICATE;
        last = number;
    }
    f->quotes = f->room;
    f->quote_count = size / QUOTE_SIZE;
    error = show(f);
    if (!error) DX_PAGE_MEMCPY(f->kept, f->room, size);
    if (error) f->quote_count = kept_count;
    f->quotes = error ? kept : f->kept;
    return error;
}

#ifdef __wasm__
static dx_page *program_page(void) { return &instance.page; }
static const void *program_memory(void) { return instance.memory; }
static const char *program_markup(uint32_t id) { return id == QUOTE_ID ? quote_markup : NULL; }
static int program_open(uint64_t granted) { return feed_open(&instance, granted); }
static int program_update(void) { return 0; } /* feed_take() has done it */

uint8_t *PAGE_EXPORT(room)(void) { return instance.room; }
uint32_t PAGE_EXPORT(room_size)(void) { return sizeof instance.room; }
int PAGE_EXPORT(take_feed)(uint32_t size) { return feed_take(&instance, size); }
uint32_t PAGE_EXPORT(row_count)(void) { return instance.list.count; }
#elif !defined(FEED_NO_MAIN)
#include "page_html.h"
#include <stdio.h>

/* usage: feed <FEED >ROWS.html */
int main(void)
{
    static page_html html;
    htip_buffer      out = {NULL, 0, 0};
    const size_t     size = fread(instance.room, 1, sizeof instance.room, stdin);
    int              error = feed_open(&instance, DX_PAGE_DOM_WRITE | DX_PAGE_DOM_READ);
    if (!error) error = feed_take(&instance, (uint32_t)size);
    if (error || !feof(stdin)) {
        fprintf(stderr, "feed: %s\n", error ? dx_page_error_name(error) : "more quotes than there are rows");
        return 1;
    }
    page_html_open(&html, ROWS_MAX + 1);
    html.templates[QUOTE_ID] = dx_htip_text_of(quote_markup);
    for (int i = 0; i < FEED_ROWS_NAMES; i++) html.names[i] = dx_htip_text_of(feed_rows_names[i]);
    do {
        dx_page_frame(&instance.page);
        page_html_flush(&html, &instance.page);
    } while (!dx_page_is_idle(&instance.page));
    htip_page_html(&html.tree, &out);
    fwrite(out.data, 1, out.size, stdout);
    free(out.data);
    page_html_close(&html);
    return fflush(stdout) != 0;
}
#endif
