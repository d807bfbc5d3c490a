/* HTIP written: operations in, a stream (docs/formats/htip.md) out. A string that was given before is not stored again. Hosted;
   ends the program when there is no memory. */
#ifndef HTIP_WRITE_H
#define HTIP_WRITE_H

#include "htip.h"

#include <stdlib.h>
#include <string.h>

typedef struct htip_buffer {
    uint8_t *data;
    size_t size, room;
} htip_buffer;

typedef struct htip_writer { /* all zero at the start */
    htip_buffer strings, text, templates, ops, stream;
    uint32_t string_count, template_count, op_count;
    bool full; /* more than the format can count */
} htip_writer;

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

static inline void htip_put_number(htip_buffer *b, uint32_t v, int size)
{
    for (int i = 0; i < size; i++) htip_put(b, &(uint8_t){(uint8_t)(v >> (8 * i))}, 1);
}

/* The number of a string; strings are compared whole. */
static inline uint32_t htip_intern(htip_writer *w, const char *text)
{
    size_t size = strlen(text);
    for (uint32_t i = 0; i < w->string_count; i++) {
        const uint8_t *entry = w->strings.data + 8 * i;
        if (htip_load16(entry + 4) == size && (!size || !memcmp(w->text.data + htip_load32(entry), text, size))) return i;
    }
    if (size > 65535 || w->string_count == 65535) return w->full = true, 0;
    htip_put_number(&w->strings, (uint32_t)w->text.size, 4);
    htip_put_number(&w->strings, (uint32_t)size, 4);
    htip_put(&w->text, text, size);
    return w->string_count++;
}

/* Ids ascend. */
static inline void htip_add_template(htip_writer *w, uint16_t id, const char *markup)
{
    htip_text text = {(const uint8_t *)markup, (uint32_t)strlen(markup)};
    int slots = htip_read_markup(text, NULL, NULL);
    htip_put_number(&w->templates, id, 2);
    htip_put_number(&w->templates, htip_intern(w, markup), 2);
    htip_put_number(&w->templates, slots < 0 ? 255 : (uint32_t)slots, 4); /* what is wrong the reader says */
    w->template_count++;
}

static inline void htip_add_op(htip_writer *w, enum htip_op op, uint16_t node, uint32_t a, uint32_t b)
{
    htip_put_number(&w->ops, op, 2);
    htip_put_number(&w->ops, node, 2);
    if (htip_has_arguments((uint8_t)op)) htip_put_number(&w->ops, a | b << 16, 4);
    w->op_count++;
}

static inline void htip_clone(htip_writer *w, uint16_t node, uint16_t id, uint16_t parent) { htip_add_op(w, HTIP_CLONE, node, id, parent); }
static inline void htip_text_of(htip_writer *w, uint16_t node, const char *text) { htip_add_op(w, HTIP_TEXT, node, htip_intern(w, text), 0); }
static inline void htip_class(htip_writer *w, uint16_t node, const char *name, bool on) { htip_add_op(w, HTIP_CLASS, node, htip_intern(w, name), on); }
static inline void htip_remove(htip_writer *w, uint16_t node) { htip_add_op(w, HTIP_REMOVE, node, 0, 0); }
static inline void htip_attribute(htip_writer *w, uint16_t node, const char *name, const char *value)
{
    uint32_t a = htip_intern(w, name);
    htip_add_op(w, HTIP_ATTR, node, a, htip_intern(w, value));
}
static inline void htip_style(htip_writer *w, uint16_t node, const char *property, const char *value)
{
    uint32_t a = htip_intern(w, property);
    htip_add_op(w, HTIP_STYLE, node, a, htip_intern(w, value));
}

/* The stream, in w->stream until htip_writer_free(); false: too much of something. */
static inline bool htip_finish(htip_writer *w)
{
    htip_buffer *out = &w->stream;
    out->size = 0;
    htip_put_number(out, 0x4458, 2);
    htip_put_number(out, 2, 1);
    htip_put_number(out, (w->string_count ? 1 : 0) | (w->template_count ? 2 : 0), 1);
    htip_put_number(out, w->template_count, 2);
    htip_put_number(out, w->string_count, 2);
    htip_put_number(out, w->op_count, 4);
    htip_put_number(out, (uint32_t)(w->strings.size + w->text.size + w->templates.size + w->ops.size), 4);
    htip_put(out, w->strings.data, w->strings.size);
    htip_put(out, w->text.data, w->text.size);
    htip_put(out, w->templates.data, w->templates.size);
    htip_put(out, w->ops.data, w->ops.size);
    return !w->full && w->template_count <= HTIP_TEMPLATES_MAX;
}

static inline void htip_writer_free(htip_writer *w)
{
    free(w->strings.data);
    free(w->text.data);
    free(w->templates.data);
    free(w->ops.data);
    free(w->stream.data);
    memset(w, 0, sizeof *w);
}
#endif
