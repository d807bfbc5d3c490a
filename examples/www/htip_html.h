/* HTIP on a server: the page that streams make, as HTML, byte for byte what a browser's innerHTML says after the same
   streams. Hosted; ends the program when there is no memory. */
#ifndef HTIP_HTML_H
#define HTIP_HTML_H

#include "../../layers/dx_htip.h"

#include <stdlib.h>
#include <string.h>

typedef struct htip_buffer {
    uint8_t *data;
    size_t size, room;
} htip_buffer;

static inline void htip_put(htip_buffer *b, const void *bytes, size_t size)
{
    if (size == 0) return;
    if (b->room - b->size < size) {
        b->room = b->room * 2 + size + 256;
        b->data = realloc(b->data, b->room);
        if (!b->data) abort();
    }
    memcpy(b->data + b->size, bytes, size);
    b->size += size;
}

typedef struct htip_attr {
    struct htip_attr *next;
    htip_buffer name, value; /* the value without entities */
} htip_attr;

typedef struct htip_element {
    struct htip_element *parent, *first, *last, *next, *previous;
    htip_buffer tag, text; /* no tag: characters, without entities */
    htip_attr *attrs, *styles;
} htip_element;

typedef struct htip_page {
    htip_element root, *at; /* at: where markup is being added */
    htip_element **of; /* elements of nodes, by number */
    uint32_t node; /* of the next slot */
    dx_htip_nodes nodes;
    void *memory;
} htip_page;

static bool htip_is(dx_htip_text text, const char *word)
{
    return text.size == strlen(word) && !memcmp(text.data, word, text.size);
}

/* >>tree ------------------------------------------------------------------- */
static void *htip_new(size_t size)
{
    void *p = calloc(1, size);
    if (!p) abort();
    return p;
}

static htip_element *htip_append(htip_element *parent)
{
    htip_element *e = htip_new(sizeof *e);
    e->parent = parent;
    e->previous = parent->last;
    if (parent->last) parent->last->next = e;
    else parent->first = e;
    return parent->last = e;
}

static void htip_unlink(htip_element *e)
{
    if (e->previous) e->previous->next = e->next;
    else e->parent->first = e->next;
    if (e->next) e->next->previous = e->previous;
    else e->parent->last = e->previous;
}

static void htip_insert(htip_element *e, htip_element *before) /* NULL: last of its parent */
{
    e->next = before;
    e->previous = before ? before->previous : e->parent->last;
    if (e->previous) e->previous->next = e;
    else e->parent->first = e;
    if (before) before->previous = e;
    else e->parent->last = e;
}

static void htip_free_attrs(htip_attr *a)
{
    for (htip_attr *next; a; a = next) {
        next = a->next;
        free(a->name.data);
        free(a->value.data);
        free(a);
    }
}

static void htip_drop(htip_element *e) /* a leaf */
{
    htip_unlink(e);
    free(e->tag.data);
    free(e->text.data);
    htip_free_attrs(e->attrs);
    htip_free_attrs(e->styles);
    free(e);
}

static void htip_empty(htip_element *top)
{
    for (htip_element *e = top; top->first;) {
        while (e->first) e = e->first;
        htip_element *parent = e->parent;
        htip_drop(e);
        e = parent;
    }
}

static htip_buffer *htip_value_of(htip_attr **list, dx_htip_text name, bool make)
{
    while (*list && ((*list)->name.size != name.size || memcmp((*list)->name.data, name.data, name.size) != 0)) list = &(*list)->next;
    if (!*list && !make) return NULL;
    if (!*list) {
        *list = htip_new(sizeof **list);
        htip_put(&(*list)->name, name.data, name.size);
    }
    return &(*list)->value;
}

/* Without the entities of markup. */
static void htip_put_plain(htip_buffer *out, dx_htip_text text)
{
    for (uint32_t i = 0; i < text.size; i++) {
        const char *p = (const char *)text.data + i;
        if (*p != '&') htip_put(out, p, 1);
        else if (p[1] == 'a') htip_put(out, "&", 1), i += 4;
        else if (p[1] == 'l') htip_put(out, "<", 1), i += 3;
        else if (p[1] == 'g') htip_put(out, ">", 1), i += 3;
        else htip_put(out, "\"", 1), i += 5;
    }
}

static void htip_build(void *user, dx_htip_part part, dx_htip_text a, dx_htip_text b)
{
    htip_page *page = user;
    if (part == DX_HTIP_OPEN) {
        page->at = htip_append(page->at);
        htip_put(&page->at->tag, a.data, a.size);
    } else if (part == DX_HTIP_ATTRIBUTE) {
        htip_buffer *value = htip_value_of(&page->at->attrs, a, false);
        if (htip_is(a, "data-slot")) page->of[++page->node] = page->at;
        if (!value) htip_put_plain(htip_value_of(&page->at->attrs, a, true), b); /* the first of two counts */
    } else if (part == DX_HTIP_CHARACTERS) {
        htip_put_plain(&htip_append(page->at)->text, a);
    } else {
        page->at = page->at->parent;
    }
}

/* >>operations ------------------------------------------------------------- */
/* As classList.toggle(name, on) does: words once each, one space between. */
static void htip_toggle(htip_element *e, dx_htip_text name, bool on)
{
    const dx_htip_text class = {(const uint8_t *)"class", 5};
    htip_buffer *value = htip_value_of(&e->attrs, class, on), made = {NULL, 0, 0};
    bool there = false;
    if (!value) return;
    const uint8_t *words = value->data;
    for (size_t at = 0, end; at < value->size; at = end) {
        while (at < value->size && words[at] <= ' ') at++;
        for (end = at; end < value->size && words[end] > ' ';) end++;
        bool same = end - at == name.size && !memcmp(words + at, name.data, name.size), again = false;
        for (size_t k = 0, stop; k < made.size && !again; k = stop + 1) {
            for (stop = k; stop < made.size && made.data[stop] != ' ';) stop++;
            again = stop - k == end - at && !memcmp(made.data + k, words + at, end - at);
        }
        there = there || same;
        if (end == at || again || (same && !on)) continue;
        if (made.size) htip_put(&made, " ", 1);
        htip_put(&made, words + at, end - at);
    }
    if (on && !there) {
        if (made.size) htip_put(&made, " ", 1);
        htip_put(&made, name.data, name.size);
    }
    free(value->data);
    *value = made;
}

static void htip_set(htip_buffer *value, dx_htip_text text)
{
    value->size = 0;
    htip_put(value, text.data, text.size);
}

static void htip_set_style(htip_element *e, dx_htip_text property, dx_htip_text value)
{
    const dx_htip_text style = {(const uint8_t *)"style", 5};
    htip_buffer *text = htip_value_of(&e->attrs, style, true);
    htip_set(htip_value_of(&e->styles, property, true), value);
    text->size = 0;
    for (const htip_attr *s = e->styles; s; s = s->next) {
        if (text->size) htip_put(text, " ", 1);
        htip_put(text, s->name.data, s->name.size);
        htip_put(text, ": ", 2);
        htip_put(text, s->value.data, s->value.size);
        htip_put(text, ";", 1);
    }
}

static void htip_apply_to_page(void *user, dx_htip_op op, uint16_t node, uint16_t other, dx_htip_text a, dx_htip_text b)
{
    htip_page *page = user;
    htip_element *e = page->of[node];
    switch (op) {
    case DX_HTIP_CLONE:
        page->at = page->of[other];
        page->node = node;
        dx_htip_read_markup(a, htip_build, page);
        page->of[node] = page->of[other]->last;
        break;
    case DX_HTIP_TEXT:
        htip_empty(e);
        if (a.size) htip_put(&htip_append(e)->text, a.data, a.size);
        break;
    case DX_HTIP_ATTR: htip_set(htip_value_of(&e->attrs, a, true), b); break;
    case DX_HTIP_CLASS: htip_toggle(e, a, other); break;
    case DX_HTIP_REMOVE:
        htip_empty(e);
        htip_drop(e);
        break;
    case DX_HTIP_STYLE: htip_set_style(e, a, b); break;
    case DX_HTIP_MOVE:
        if (other == node) break;
        htip_unlink(e);
        htip_insert(e, other ? page->of[other] : NULL);
        break;
    default: break; /* nobody looks between the operations of a batch */
    }
}

/* >>page ------------------------------------------------------------------- */
static void htip_page_open(htip_page *page, uint32_t nodes)
{
    memset(page, 0, sizeof *page);
    page->of = htip_new(nodes * sizeof *page->of);
    page->of[0] = &page->root;
    page->memory = htip_new(nodes * DX_HTIP_NODE_SIZE);
    if (dx_htip_nodes_init(&page->nodes, page->memory, nodes * DX_HTIP_NODE_SIZE, nodes)) abort();
}

static int htip_page_render(htip_page *page, const uint8_t *bytes, size_t size)
{
    return dx_htip_render(&page->nodes, bytes, size, htip_apply_to_page, page);
}

static void htip_page_close(htip_page *page)
{
    htip_empty(&page->root);
    free(page->of);
    free(page->memory);
}

static void htip_put_escaped(htip_buffer *out, const htip_buffer *text, bool attribute)
{
    for (size_t i = 0; i < text->size; i++) {
        const uint8_t *p = text->data + i;
        const char *entity = *p == '&' ? "&amp;" : *p == '<' ? "&lt;" : *p == '>' ? "&gt;" : *p == '"' && attribute ? "&quot;" : NULL;
        if (*p == 0xc2 && i + 1 < text->size && p[1] == 0xa0) entity = "&nbsp;", i++;
        htip_put(out, entity ? (const void *)entity : p, entity ? strlen(entity) : 1);
    }
}

static void htip_put_open(htip_buffer *out, const htip_element *e)
{
    htip_put(out, "<", 1);
    htip_put(out, e->tag.data, e->tag.size);
    for (const htip_attr *a = e->attrs; a; a = a->next) {
        htip_put(out, " ", 1);
        htip_put(out, a->name.data, a->name.size);
        htip_put(out, "=\"", 2);
        htip_put_escaped(out, &a->value, true);
        htip_put(out, "\"", 1);
    }
    htip_put(out, ">", 1);
}

/* Elements without content and without end. */
static bool htip_is_void(const htip_element *e)
{
    static const char *const names[] = {"area", "br", "col", "hr", "img", "input", "source", "track", "wbr"};
    const dx_htip_text tag = {e->tag.data, (uint32_t)e->tag.size};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (htip_is(tag, names[i])) return true;
    return false;
}

static void htip_put_close(htip_buffer *out, const htip_element *e)
{
    if (!e->tag.size || htip_is_void(e)) return;
    htip_put(out, "</", 2);
    htip_put(out, e->tag.data, e->tag.size);
    htip_put(out, ">", 1);
}

/* What is on the page; out->data is the caller's to free. */
static void htip_page_html(const htip_page *page, htip_buffer *out)
{
    const htip_element *e = page->root.first;
    while (e) {
        if (e->tag.size) htip_put_open(out, e);
        else htip_put_escaped(out, &e->text, false);
        if (e->first && !htip_is_void(e)) {
            e = e->first;
            continue;
        }
        htip_put_close(out, e);
        while (!e->next && e->parent != &page->root) htip_put_close(out, e = e->parent);
        e = e->next;
    }
}
#endif
