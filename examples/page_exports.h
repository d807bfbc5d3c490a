/* What page_host.js calls of a program on layers/dx_page.h in WebAssembly. Include it in one file, after dx_page.h; the program
   defines the functions that are declared here. The exports use one page, so their few variables are static. */
#ifndef PAGE_EXPORTS_H
#define PAGE_EXPORTS_H

#include "memory.c"

/* >>program: for you to define ------------------------------------------------ */
static dx_page    *program_page(void);
static const void *program_memory(void);           /* that of the page, desc.memory */
static const char *program_markup(uint32_t id);    /* NAME_markup for NAME_ID, both made by component.py; NULL: no template */
static int         program_open(uint64_t granted); /* set the page up, once; an error of dx_page.h */
static int         program_update(void);           /* before each frame: update lists here, once for all events; an error of dx_page.h */

/* >>exports ------------------------------------------------------------------- */
#define PAGE_EXPORT(name) __attribute__((export_name(#name))) name

enum { PAGE_EVENT_SIZE_MAX = 4096 };
static uint8_t  page_event_data[PAGE_EVENT_SIZE_MAX];
static uint32_t page_handoff[8]; /* word 0: whose turn it is, in a worker; 1 to 6: what flush() of page_ops.js takes */
static bool     page_event_refused; /* a handler sets it: a submitted form keeps what was typed */

int PAGE_EXPORT(open)(uint32_t granted) { return program_open(granted); }
const char *PAGE_EXPORT(markup)(uint32_t id) { return program_markup(id); }
/* The page's static region, which has the names of attributes, classes and styles. */
const void *PAGE_EXPORT(region)(void) { return program_memory(); }
uint32_t *PAGE_EXPORT(handoff)(void) { return page_handoff; }
uint8_t *PAGE_EXPORT(event_data)(void) { return page_event_data; }
uint32_t PAGE_EXPORT(event_size_max)(void) { return sizeof page_event_data; }

/* The first `size` bytes of event_data() are the event's data. 0; 1: refused; or an error of dx_page_event(). */
int PAGE_EXPORT(event)(uint32_t handler, uint32_t node, uint32_t size)
{
    int error;
    if (size > sizeof page_event_data) return DX_PAGE_EBOUNDS;
    page_event_refused = false;
    error = dx_page_event(program_page(), handler, node, page_event_data, size);
    return error ? error : page_event_refused;
}

/* Turn what has changed into operations: how many, or an error of program_update(). Then flushed(). */
int32_t PAGE_EXPORT(frame)(void)
{
    dx_page_flush f;
    uint32_t      count;
    const int     error = program_update();
    if (error) return error;
    count = dx_page_frame(program_page());
    dx_page_get_flush(program_page(), &f);
    page_handoff[1] = (uint32_t)(uintptr_t)f.ops;
    page_handoff[2] = f.mask;
    page_handoff[3] = f.read;
    page_handoff[4] = f.write;
    page_handoff[5] = (uint32_t)(uintptr_t)f.text;
    page_handoff[6] = f.text_size;
    return (int32_t)count;
}

void PAGE_EXPORT(flushed)(void) { dx_page_flushed(program_page()); }

#endif /* PAGE_EXPORTS_H */
