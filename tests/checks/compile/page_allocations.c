/* Counts the allocations of layers/dx_page.h for tests/checks/footprint.sh: rows are made, moved, changed, heard and removed for
   FRAMES frames. Prints the counts; status 0: no allocations. */
#define DX_IMPLEMENTATION
#include "../../../layers/dx_page.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "counting.h"

#ifndef FRAMES
#define FRAMES 3000
#endif
enum { ROWS = 1000 };

typedef struct row {
    uint64_t dirty;
    int32_t  count;
    char     label[12];
} row;

static uint64_t memory[1 << 17];
static uint32_t keys[ROWS], list_keys[ROWS], list_nodes[ROWS];
static uint64_t clock_ns, operations;

static uint64_t read_clock(void *user)
{
    (void)user;
    return clock_ns += 1000;
}

static void fill(void *user, uint32_t key, void *state)
{
    (void)user;
    ((row *)state)->count = (int32_t)key;
}

static void heard(void *user, dx_page *p, uint32_t node, const void *data, size_t size)
{
    (void)user;
    dx_page_write(p, node, 12, data, (uint32_t)size, 1);
}

static void swap(void *user)
{
    const uint32_t at = (uint32_t)(clock_ns / 1000 * 2654435761u % (ROWS - 1)), key = keys[at];
    (void)user;
    keys[at] = keys[ROWS - 1];
    keys[ROWS - 1] = key;
}

static int run(dx_page *p, dx_page_list *l)
{
    dx_page_task task = {swap, NULL, NULL};
    for (uint32_t frame = 0; frame < FRAMES; frame++) {
        int error;
        if (dx_page_push(p, DX_PAGE_NORMAL, &task)) return 1;
        if (dx_page_run(p, clock_ns, read_clock, NULL) != 1) return 2;
        error = dx_page_list_update(p, l, keys, frame % 50 == 49 ? frame % ROWS : ROWS);
        if (error) return error;
        for (uint32_t i = 0; i < l->count; i++) {
            ((row *)dx_page_state(p, l->nodes[i]))->count++;
            if (dx_page_mark(p, l->nodes[i], 0)) return 3;
        }
        if (l->count && dx_page_event(p, 0, l->nodes[0] & 0x3fffff, "changed", 7)) return 4;
        operations += dx_page_frame(p);
        dx_page_flushed(p);
        if (!dx_page_is_idle(p)) return 5;
    }
    return 0;
}

int main(void)
{
    static const dx_page_binding bindings[] = {
        {0, DX_PAGE_TEXT, DX_PAGE_INTEGER, 0, 1, 0, 8, 4},
        {1, DX_PAGE_ATTRIBUTE, DX_PAGE_BYTES, 0, 0, 0, 12, 12},
    };
    unsigned long before = allocations;
    dx_page_desc  desc;
    dx_page_list  l;
    dx_page       p;
    int           error;
    memset(&desc, 0, sizeof desc);
    memset(&l, 0, sizeof l);
    desc.memory = memory;
    desc.static_size = 16384;
    desc.state_size = 1 << 18;
    desc.queue_size = sizeof memory - 16384 - (1 << 18);
    desc.capabilities = DX_PAGE_DOM_WRITE | DX_PAGE_DOM_READ;
    l.component = 1;
    l.keys = list_keys;
    l.nodes = list_nodes;
    l.capacity = ROWS;
    l.fill = fill;
    for (uint32_t i = 0; i < ROWS; i++) keys[i] = i + 1;
    if (dx_page_init(&p, &desc)) return 10;
    if (dx_page_add_template(&p, 1, dx_htip_text_of("<p><b data-slot=\"\"></b></p>"))) return 11;
    if (dx_page_add_name(&p, dx_htip_text_of("title"))) return 12;
    if (dx_page_add_component(&p, 1, 1, sizeof(row), bindings, 2)) return 13;
    dx_page_seal(&p);
    dx_page_on(&p, 0, heard, NULL);
    error = run(&p, &l);
    before = allocations - before;
    printf("error %d, %llu operations, %lu allocations\n", error, (unsigned long long)operations, before);
    return error || before || operations < (uint64_t)FRAMES * ROWS;
}
