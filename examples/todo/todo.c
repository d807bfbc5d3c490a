/* A to-do list on layers/dx_page.h. todo.html has its markup, its state and what is bound to what; component.py compiles that to
   todo.h. Here are the tasks, the texts that C writes, and the handlers of events. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DX_HTIP_STATIC
#define DX_PAGE_STATIC
#define DX_IMPLEMENTATION
#include "../../layers/dx_page.h"
#include "../page_exports.h"
#include "todo.h"

enum { TASKS_MAX = 100, TEXT_SIZE = sizeof(((item *)0)->text) };
enum { STATIC_SIZE = 16384, STATE_SIZE = 65536, QUEUE_SIZE = 131072 };
enum { SHOW_ALL, SHOW_OPEN, SHOW_DONE };

/* The rows of the page come and go with search and filter; the tasks stay. */
typedef struct task {
    uint32_t number; /* not 0: the key of its row */
    bool     done;
    char     text[TEXT_SIZE];
} task;

static struct {
    dx_page      page;
    uint32_t     node; /* of the component board */
    dx_page_list list;
    uint32_t     list_keys[TASKS_MAX], list_nodes[TASKS_MAX], wanted[TASKS_MAX];
    bool         list_changed; /* which rows are shown */
    task         tasks[TASKS_MAX];
    uint32_t     count, last_number;
    char         query[TEXT_SIZE]; /* small letters */
    uint32_t     query_size;
    uint64_t     memory[(STATIC_SIZE + STATE_SIZE + QUEUE_SIZE) / 8];
} program;

/* >>texts: at most capacity bytes are written; the result is how many there are ---- */
static uint32_t put(uint8_t *out, uint32_t at, uint32_t capacity, const char *text)
{
    for (; *text; text++, at++)
        if (at < capacity) out[at] = (uint8_t)*text;
    return at;
}

static uint32_t put_bool(uint8_t *out, uint32_t capacity, bool is) { return put(out, 0, capacity, is ? "true" : "false"); }

static uint32_t board_is_all(const board *t, uint8_t *out, uint32_t capacity) { return put_bool(out, capacity, t->show == SHOW_ALL); }
static uint32_t board_is_open(const board *t, uint8_t *out, uint32_t capacity) { return put_bool(out, capacity, t->show == SHOW_OPEN); }
static uint32_t board_is_done(const board *t, uint8_t *out, uint32_t capacity) { return put_bool(out, capacity, t->show == SHOW_DONE); }
static uint32_t item_checked(const item *i, uint8_t *out, uint32_t capacity) { return put_bool(out, capacity, i->done); }
static uint32_t item_name(const item *i, uint8_t *out, uint32_t capacity) { return put(out, 0, capacity, i->text); }

static uint32_t board_remaining(const board *t, uint8_t *out, uint32_t capacity)
{
    char digits[4] = {0};
    DX_PAGE_ASSERT(t->left >= 0 && t->left <= TASKS_MAX);
    if (t->left >= 100) digits[0] = (char)('0' + t->left / 100);
    if (t->left >= 10) digits[t->left >= 100] = (char)('0' + t->left / 10 % 10);
    digits[(t->left >= 10) + (t->left >= 100)] = (char)('0' + t->left % 10);
    return put(out, put(out, 0, capacity, digits), capacity, t->left == 1 ? " task left" : " tasks left");
}

/* >>tasks ------------------------------------------------------------------ */
static task *find(uint32_t number)
{
    for (uint32_t i = 0; i < program.count; i++)
        if (program.tasks[i].number == number) return &program.tasks[i];
    return NULL;
}

static char small(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c; }

static bool has_query(const task *t)
{
    for (const char *from = t->text;; from++) {
        uint32_t n = 0;
        while (n < program.query_size && small(from[n]) == program.query[n]) n++;
        if (n == program.query_size) return true;
        if (!*from) return false;
    }
}

/* A new row shows its task. Nothing has to be marked: every binding of a new row is shown. */
static void item_fill(void *user, item *row)
{
    const task *t = find(row->number);
    (void)user;
    DX_PAGE_ASSERT(t);
    DX_PAGE_MEMCPY(row->text, t->text, sizeof row->text);
    row->done = t->done;
}

/* What depends on all tasks. A field that changes is marked, so that the next frame shows it. */
static void count_tasks(void)
{
    board   *t = (board *)dx_page_state(&program.page, program.node);
    int32_t left = 0;
    for (uint32_t i = 0; i < program.count; i++) left += !program.tasks[i].done;
    t->left = left;
    dx_page_mark(&program.page, program.node, BOARD_BIT_LEFT);
    t->full = 0;
    dx_page_mark(&program.page, program.node, BOARD_BIT_FULL);
    program.list_changed = true;
}

/* >>handlers: node is the row, or 0; data is what page_host.js says of the event, for example the value of an input ---- */
static void board_add(void *user, dx_page *page, uint32_t node, const void *data, size_t size)
{
    board       *t = (board *)dx_page_state(page, program.node);
    const char *text = (const char *)data;
    task       *added = &program.tasks[program.count];
    (void)user, (void)node;
    while (size && *text == ' ') text++, size--;
    while (size && text[size - 1] == ' ') size--;
    page_event_refused = size == 0 || size >= TEXT_SIZE || program.count == TASKS_MAX;
    if (program.count == TASKS_MAX) {
        t->full = 1;
        dx_page_mark(page, program.node, BOARD_BIT_FULL);
    }
    if (page_event_refused) return;
    DX_PAGE_MEMSET(added, 0, sizeof *added);
    added->number = ++program.last_number;
    DX_PAGE_MEMCPY(added->text, text, size);
    program.count++;
    count_tasks();
}

static void board_choose(void *user, dx_page *page, uint32_t node, const void *data, size_t size)
{
    board *t = (board *)dx_page_state(page, program.node);
    (void)user, (void)node;
    t->show = !size || *(const char *)data == 'a' ? SHOW_ALL : *(const char *)data == 'o' ? SHOW_OPEN : SHOW_DONE;
    dx_page_mark(page, program.node, BOARD_BIT_SHOW);
    program.list_changed = true;
}

static void board_search(void *user, dx_page *page, uint32_t node, const void *data, size_t size)
{
    (void)user, (void)page, (void)node;
    if (size >= TEXT_SIZE) return;
    for (size_t i = 0; i < size; i++) program.query[i] = small(((const char *)data)[i]);
    program.query_size = (uint32_t)size;
    program.list_changed = true;
}

static void item_toggle(void *user, dx_page *page, uint32_t node, const void *data, size_t size)
{
    item *row = (item *)dx_page_state(page, node);
    task *t = find(dx_page_key(page, node));
    (void)user, (void)data, (void)size;
    if (!row || !t) return;
    row->done = t->done = !t->done;
    dx_page_mark(page, node, ITEM_BIT_DONE);
    count_tasks();
}

static void item_remove(void *user, dx_page *page, uint32_t node, const void *data, size_t size)
{
    task *t = find(dx_page_key(page, node));
    (void)user, (void)data, (void)size;
    if (!t) return;
    for (program.count--; t < program.tasks + program.count; t++) *t = t[1];
    count_tasks();
}

/* >>program: what page_exports.h asks for ----------------------------------- */
static dx_page *program_page(void) { return &program.page; }
static const void *program_memory(void) { return program.memory; }

static int program_open(uint64_t granted)
{
    dx_page_desc desc;
    int          error;
    DX_PAGE_MEMSET(&desc, 0, sizeof desc);
    desc.memory = program.memory;
    desc.static_size = STATIC_SIZE;
    desc.state_size = STATE_SIZE;
    desc.queue_size = QUEUE_SIZE;
    desc.capabilities = granted;
    desc.format = todo_format;
    error = dx_page_init(&program.page, &desc);
    if (!error) error = todo_add_to(&program.page, NULL);
    if (error) return error;
    dx_page_seal(&program.page);
    /* No fill: everything of a new node is 0 and shown so. What is set after this needs dx_page_mark(). */
    error = dx_page_mount(&program.page, BOARD_ID, 0, 0, 0, NULL, NULL, &program.node);
    if (error) return error;
    item_list(&program.list, program.node, BOARD_SLOT_ITEM, program.list_keys, program.list_nodes, TASKS_MAX, NULL);
    return 0;
}

/* Once a frame, whatever events there were: the rows become those of the tasks that are to be shown. */
static int program_update(void)
{
    const board *t = (const board *)dx_page_state(&program.page, program.node);
    uint32_t    count = 0;
    int         error;
    if (!program.list_changed) return 0;
    for (uint32_t i = 0; i < program.count; i++) {
        const task *one = &program.tasks[i];
        if ((t->show == SHOW_ALL || one->done == (t->show == SHOW_DONE)) && has_query(one)) program.wanted[count++] = one->number;
    }
    error = dx_page_list_update(&program.page, &program.list, program.wanted, count);
    if (!error) program.list_changed = false;
    return error;
}

static const char *program_markup(uint32_t id)
{
    switch (id) {
    case BOARD_ID: return board_markup;
    case ITEM_ID: return item_markup;
    default: return NULL;
    }
}
