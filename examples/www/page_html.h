/* The operations of layers/dx_page.h on a server: the same program as in the browser, its first frame as HTML, which
   page_ops.js takes over there (hydrate). Hosted; ends the program when there is no memory. */
#ifndef PAGE_HTML_H
#define PAGE_HTML_H

#include "htip_html.h"
#include "../../layers/dx_page.h"

enum { PAGE_HTML_SLOTS = 16 }; /* of a template, its root included */

typedef struct page_html {
    htip_page tree; /* tree.of: PAGE_HTML_SLOTS elements for each node */
    uint32_t node_max;
    dx_htip_text templates[DX_PAGE_TEMPLATES_MAX], names[DX_PAGE_NAMES_MAX]; /* as the page has them */
} page_html;

static inline void page_html_open(page_html *h, uint32_t node_max)
{
    memset(h, 0, sizeof *h);
    h->node_max = node_max;
    h->tree.of = htip_new((size_t)node_max * PAGE_HTML_SLOTS * sizeof *h->tree.of);
    h->tree.of[0] = &h->tree.root;
}

static inline void page_html_close(page_html *h)
{
    htip_empty(&h->tree.root);
    free(h->tree.of);
}

/* The elements of slots are found by their number from now on: the attribute goes, as in page_ops.js. */
static void page_html_forget_slots(htip_element **of)
{
    for (int slot = 1; slot < PAGE_HTML_SLOTS && of[slot]; slot++)
        for (htip_attr **a = &of[slot]->attrs; *a; a = &(*a)->next) {
            htip_attr *gone = *a;
            if (gone->name.size != 9 || memcmp(gone->name.data, "data-slot", 9) != 0) continue;
            *a = gone->next;
            gone->next = NULL;
            htip_free_attrs(gone);
            break;
        }
}

static void page_html_clone(page_html *h, const dx_page_operation *o, uint32_t before)
{
    htip_element *parent = h->tree.of[o->node * PAGE_HTML_SLOTS + o->slot];
    for (uint32_t i = 0; i < o->c; i++) {
        const uint32_t at = (o->b + i) * PAGE_HTML_SLOTS;
        if (o->b + i >= h->node_max) abort();
        memset(h->tree.of + at, 0, PAGE_HTML_SLOTS * sizeof *h->tree.of);
        h->tree.at = parent;
        h->tree.node = at;
        dx_htip_read_markup(h->templates[o->name], htip_build, &h->tree);
        h->tree.of[at] = parent->last;
        page_html_forget_slots(h->tree.of + at);
        if (!before) continue;
        htip_element *e = parent->last;
        htip_unlink(e);
        htip_insert(e, h->tree.of[before * PAGE_HTML_SLOTS]);
    }
}

/* Texts are ranges in UTF-16 units of the frame's text; bytes[i]: where unit i begins. */
static uint32_t *page_html_units(const dx_page_flush *f)
{
    const uint8_t *text = f->text;
    uint32_t *bytes = htip_new(((size_t)f->text_size + 1) * sizeof *bytes), units = 0;
    for (uint32_t i = 0; i < f->text_size; i++) {
        if ((text[i] & 0xc0) == 0x80) continue;
        bytes[units++] = i;
        if (text[i] >= 0xf0) bytes[units++] = i; /* a pair of surrogates: never cut between */
    }
    bytes[units] = f->text_size;
    return bytes;
}

static void page_html_remove(htip_element *e)
{
    htip_empty(e);
    htip_drop(e);
}

static void page_html_text(htip_element *e, dx_htip_text text)
{
    htip_empty(e);
    if (text.size) htip_put(&htip_append(e)->text, text.data, text.size);
}

static void page_html_apply(page_html *h, const dx_page_operation *o, dx_htip_text text, uint32_t *before)
{
    htip_element **of = h->tree.of, *e = of[o->node * PAGE_HTML_SLOTS + o->slot];
    const dx_htip_text name = h->names[o->name % DX_PAGE_NAMES_MAX];
    switch (o->opcode) {
    case DX_PAGE_OP_CLONE:
        page_html_clone(h, o, *before);
        *before = 0;
        break;
    case DX_PAGE_OP_TEXT: page_html_text(e, text); break;
    case DX_PAGE_OP_ATTR: htip_set(htip_value_of(&e->attrs, name, true), text); break;
    case DX_PAGE_OP_REMOVE: page_html_remove(e); break;
    case DX_PAGE_OP_CLASS: htip_toggle(e, name, o->b); break;
    case DX_PAGE_OP_STYLE: htip_set_style(e, name, text); break;
    case DX_PAGE_OP_MOVE:
        htip_unlink(of[o->b * PAGE_HTML_SLOTS]);
        htip_insert(of[o->b * PAGE_HTML_SLOTS], o->c ? of[o->c * PAGE_HTML_SLOTS] : NULL);
        break;
    case DX_PAGE_OP_AT: *before = o->node; break;
    case DX_PAGE_OP_CLEAR: htip_empty(e); break;
    default: break; /* FORGET: numbers that are free, not elements */
    }
}

/* Carry out what is pending. */
static inline void page_html_flush(page_html *h, dx_page *page)
{
    dx_page_flush f;
    uint32_t before = 0, *bytes;
    dx_page_get_flush(page, &f);
    bytes = page_html_units(&f);
    for (uint32_t i = 0; i < dx_page_pending(page); i++) {
        const dx_page_operation o = dx_page_operation_at(page, i);
        dx_htip_text text = {NULL, 0};
        if (o.opcode == DX_PAGE_OP_TEXT || o.opcode == DX_PAGE_OP_ATTR || o.opcode == DX_PAGE_OP_STYLE) {
            text.data = (const uint8_t *)f.text + bytes[o.b];
            text.size = bytes[o.b + o.c] - bytes[o.b];
        }
        page_html_apply(h, &o, text, &before);
    }
    free(bytes);
    dx_page_flushed(page);
}
#endif
