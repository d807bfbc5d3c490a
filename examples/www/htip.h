/* HTIP: changes of a page as a stream of eight operations (docs/formats/htip.md). The reader, for the browser's core and for
   servers. Functions are static; no allocation, no recursion. A stream is looked at as a whole before anything of it
   is done: it is carried out or refused with one of the errors below. */
#ifndef HTIP_H
#define HTIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum htip_error {
    HTIP_OK,
    HTIP_EMAGIC,     /* not HTIP */
    HTIP_EVERSION,   /* another version */
    HTIP_EOPCODE,    /* an operation that there is not */
    HTIP_ETEMPLATE,  /* no template of that id in this stream */
    HTIP_ESTRING,    /* no string of that number */
    HTIP_ENODE,      /* no node of that number */
    HTIP_ETRUNCATED, /* ends too early */
    HTIP_EFLAGS,     /* flags that are not known, or contradict the counts */
    HTIP_ERESERVED,  /* a byte that must be zero is not */
    HTIP_ESIZE,      /* payload_size is not what the tables and operations take, or bytes follow */
    HTIP_ETABLE,     /* strings that overlap or leave gaps; two templates of one id; more than 4096 */
    HTIP_EUTF8,      /* a string that is not UTF-8, or has a zero byte */
    HTIP_EMARKUP,    /* a template that is not what docs/formats/htip.md allows, or has another number of slots */
    HTIP_ENAME,      /* an attribute, class or style that is not allowed */
    HTIP_ENODEUSED,  /* a node of that number is there */
    HTIP_ENODEMAX,   /* a number above what this reader was given room for */
    HTIP_EBATCH      /* a batch in a batch, not begun, or not ended */
};

enum htip_op {
    HTIP_CLONE = 1, HTIP_TEXT, HTIP_ATTR, HTIP_CLASS, HTIP_REMOVE, HTIP_STYLE, HTIP_BATCH, HTIP_COMMIT
};
enum { HTIP_HEADER_SIZE = 16, HTIP_TEMPLATES_MAX = 4096, HTIP_DEPTH_MAX = 32, HTIP_NONE = 65535 };

typedef struct htip_text {
    const uint8_t *data;
    uint32_t size;
} htip_text;

typedef struct htip_stream {
    uint16_t string_count, template_count;
    uint32_t op_count;
    const uint8_t *strings, *text, *templates, *ops;
} htip_stream;

typedef struct htip_node { /* links are numbers of nodes, HTIP_NONE: none */
    uint16_t parent, first, next, previous;
} htip_node;

/* What is on the page. Node 0 is where the page is; a clone is the node that the operation names, its slots are those
   that follow. memory: htip_nodes_size(count) bytes on a multiple of 2. */
typedef struct htip_nodes {
    htip_node *nodes, *before;
    uint32_t   count, used; /* used: without node 0 */
} htip_nodes;

/* Called in order, after all was found to be right. a, b: template, text, name and value, class, property and value. */
typedef void htip_apply(void *user, enum htip_op op, uint16_t node, uint16_t parent_or_on, htip_text a, htip_text b);

/* What markup consists of; names and values as they stand there, with their entities. */
typedef enum htip_part { HTIP_OPEN, HTIP_ATTRIBUTE, HTIP_CHARACTERS, HTIP_CLOSE } htip_part;
typedef void htip_visit(void *user, htip_part part, htip_text a, htip_text b);

/* >>bytes ------------------------------------------------------------------ */
static inline uint32_t htip_load16(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8; }
static inline uint32_t htip_load32(const uint8_t *p) { return htip_load16(p) | htip_load16(p + 2) << 16; }

static inline bool htip_is(htip_text t, const char *word)
{
    uint32_t i = 0;
    while (i < t.size && word[i] && t.data[i] == (uint8_t)word[i]) i++;
    return i == t.size && !word[i];
}

static inline bool htip_is_one_of(htip_text t, const char *const *words)
{
    while (*words && !htip_is(t, *words)) words++;
    return *words != NULL;
}

static bool htip_is_utf8(const uint8_t *p, uint32_t size)
{
    uint32_t i = 0, more;
    while (i < size) {
        uint8_t c = p[i++], low = 0x80, high = 0xbf;
        if (c == 0 || (c >= 0x80 && c < 0xc2) || c > 0xf4) return false;
        more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        if (c == 0xe0) low = 0xa0;
        if (c == 0xed) high = 0x9f;
        if (c == 0xf0) low = 0x90;
        if (c == 0xf4) high = 0x8f;
        if (more > size - i) return false;
        for (; more; more--, i++, low = 0x80, high = 0xbf)
            if (p[i] < low || p[i] > high) return false;
    }
    return true;
}

/* >>names ------------------------------------------------------------------ */
/* A letter, then letters, digits, '-'; all small. */
static bool htip_is_name(htip_text t)
{
    for (uint32_t i = 0; i < t.size; i++) {
        uint8_t c = t.data[i];
        if (!(c >= 'a' && c <= 'z') && (i == 0 || !((c >= '0' && c <= '9') || c == '-'))) return false;
    }
    return t.size != 0;
}

/* Attributes that run nothing and that no operation of its own is for. */
static bool htip_is_attribute(htip_text name, htip_text value)
{
    static const char *const refused[] = {"style", "srcdoc", NULL};
    static const char script[] = "javascript:";
    uint32_t at = 0;
    if (!htip_is_name(name) || (name.size > 2 && name.data[0] == 'o' && name.data[1] == 'n')) return false;
    if (htip_is_one_of(name, refused)) return false;
    for (uint32_t i = 0; i < value.size && script[at]; i++) {
        if (value.data[i] <= ' ') continue; /* browsers do not see these */
        if ((value.data[i] | 32) != script[at]) return true;
        at++;
    }
    return script[at] != 0;
}

static bool htip_is_class(htip_text t)
{
    for (uint32_t i = 0; i < t.size; i++)
        if (t.data[i] <= ' ') return false;
    return t.size != 0;
}

static bool htip_is_style(htip_text property, htip_text value)
{
    uint32_t skip = property.size > 2 && property.data[0] == '-' && property.data[1] == '-' ? 2 : 0;
    htip_text name = {property.data + skip, property.size - skip};
    for (uint32_t i = 0; i < value.size; i++)
        if (value.data[i] < ' ' || value.data[i] == ';' || value.data[i] == '{' || value.data[i] == '}' ||
            value.data[i] == '(' || value.data[i] == '\\' || value.data[i] == '!')
            return false;
    return htip_is_name(name) && value.size != 0;
}

/* Elements without content and without end. */
static const char *const htip_void[] = {"area", "br", "col", "hr", "img", "input", "source", "track", "wbr", NULL};

/* >>markup ----------------------------------------------------------------- */
typedef struct htip_markup {
    const uint8_t *at, *end;
    htip_visit *visit;
    void *user;
    htip_text open[HTIP_DEPTH_MAX]; /* elements that are open */
    uint32_t depth, slot_depth, slots; /* slot_depth: of the slot that is open, or 0 */
} htip_markup;

static void htip_tell(htip_markup *m, htip_part part, htip_text a, htip_text b)
{
    if (m->visit) m->visit(m->user, part, a, b);
}

static htip_text htip_take_name(htip_markup *m)
{
    htip_text name = {m->at, 0};
    while (m->at < m->end && ((*m->at >= 'a' && *m->at <= 'z') || (*m->at >= '0' && *m->at <= '9') || *m->at == '-')) m->at++;
    name.size = (uint32_t)(m->at - name.data);
    return name;
}

static bool htip_take(htip_markup *m, char c)
{
    if (m->at == m->end || *m->at != (uint8_t)c) return false;
    m->at++;
    return true;
}

/* Up to `end`; '&' only as one of four entities, no '<', no '>', of control characters only tab and newline. */
static bool htip_take_text(htip_markup *m, char end, htip_text *text)
{
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;", NULL};
    text->data = m->at;
    while (m->at < m->end && *m->at != (uint8_t)end) {
        htip_text entity = {m->at, 1};
        if (*m->at == '<' || *m->at == '>' || (*m->at < ' ' && *m->at != '\n' && *m->at != '\t')) return false;
        if (*m->at == '&') {
            while (entity.size < 6 && m->at + entity.size < m->end && entity.data[entity.size - 1] != ';') entity.size++;
            if (!htip_is_one_of(entity, entities)) return false;
        }
        m->at += entity.size;
    }
    text->size = (uint32_t)(m->at - text->data);
    return true;
}

static bool htip_take_attribute(htip_markup *m, bool *slot)
{
    htip_text name = htip_take_name(m), value;
    if (!htip_take(m, '=') || !htip_take(m, '"') || !htip_take_text(m, '"', &value) || !htip_take(m, '"')) return false;
    if (!htip_is_attribute(name, value)) return false;
    if (htip_is(name, "data-slot")) {
        if (value.size || *slot || m->slot_depth || m->depth == 0) return false; /* not the root, none in another */
        *slot = true;
        m->slots++;
    }
    htip_tell(m, HTIP_ATTRIBUTE, name, value);
    return true;
}

static bool htip_take_open(htip_markup *m)
{
    static const char *const refused[] = {"script", "style", "iframe", "object", "embed", "base", "link", "meta", "template",
                                          "textarea", "title", "noscript", "plaintext", "xmp", "svg", "math", "pre", "listing", NULL};
    const htip_text none = {NULL, 0};
    htip_text tag = htip_take_name(m);
    bool slot = false;
    if (!htip_is_name(tag) || htip_is_one_of(tag, refused) || m->depth == HTIP_DEPTH_MAX) return false;
    htip_tell(m, HTIP_OPEN, tag, none);
    while (htip_take(m, ' '))
        if (!htip_take_attribute(m, &slot)) return false;
    if (!htip_take(m, '>')) return false;
    if (htip_is_one_of(tag, htip_void)) {
        htip_tell(m, HTIP_CLOSE, tag, none);
        return m->depth != 0;
    }
    m->open[m->depth++] = tag;
    if (slot) m->slot_depth = m->depth;
    return true;
}

static bool htip_take_close(htip_markup *m)
{
    const htip_text none = {NULL, 0};
    htip_text tag = htip_take_name(m), open;
    if (!htip_take(m, '>') || m->depth == 0) return false;
    open = m->open[m->depth - 1];
    if (tag.size != open.size) return false;
    for (uint32_t i = 0; i < tag.size; i++)
        if (tag.data[i] != open.data[i]) return false;
    if (m->slot_depth == m->depth) m->slot_depth = 0;
    m->depth--;
    htip_tell(m, HTIP_CLOSE, tag, none);
    return true;
}

/* One element and nothing around it. The number of its slots, or -1: not what docs/formats/htip.md allows. */
static int htip_read_markup(htip_text text, htip_visit *visit, void *user)
{
    const htip_text none = {NULL, 0};
    htip_markup m;
    m.at = text.data;
    m.end = text.data + text.size;
    m.visit = visit;
    m.user = user;
    m.depth = m.slot_depth = m.slots = 0;
    do {
        htip_text characters;
        if (m.depth) {
            if (!htip_take_text(&m, '<', &characters)) return -1;
            if (characters.size) htip_tell(&m, HTIP_CHARACTERS, characters, none);
        }
        if (!htip_take(&m, '<') || !(htip_take(&m, '/') ? htip_take_close(&m) : htip_take_open(&m))) return -1;
    } while (m.depth);
    return m.at == m.end && m.slots < 256 ? (int)m.slots : -1;
}

/* >>stream ----------------------------------------------------------------- */
static htip_text htip_string(const htip_stream *s, uint32_t i)
{
    const uint8_t *entry = s->strings + 8 * i;
    htip_text t = {s->text + htip_load32(entry), htip_load16(entry + 4)};
    return t;
}

/* The entry of a template, or NULL. Sorted by id, so it is found by halves. */
static const uint8_t *htip_template(const htip_stream *s, uint32_t id)
{
    uint32_t low = 0, high = s->template_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2, there = htip_load16(s->templates + 8 * middle);
        if (there == id) return s->templates + 8 * middle;
        if (there < id) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

static int htip_check_strings(const htip_stream *s, uint64_t *text_size, const uint8_t *end)
{
    *text_size = 0;
    for (uint32_t i = 0; i < s->string_count; i++) {
        const uint8_t *entry = s->strings + 8 * i;
        uint32_t size = htip_load16(entry + 4);
        if (htip_load16(entry + 6)) return HTIP_ERESERVED;
        if (htip_load32(entry) != *text_size) return HTIP_ETABLE;
        if (size > (uint64_t)(end - s->text) - *text_size) return HTIP_ETRUNCATED;
        if (!htip_is_utf8(s->text + *text_size, size)) return HTIP_EUTF8;
        *text_size += size;
    }
    return HTIP_OK;
}

static int htip_check_templates(const htip_stream *s)
{
    for (uint32_t i = 0; i < s->template_count; i++) {
        const uint8_t *entry = s->templates + 8 * i;
        uint32_t id = htip_load16(entry), text = htip_load16(entry + 2);
        if (entry[5] || entry[6] || entry[7]) return HTIP_ERESERVED;
        if (i && id <= htip_load16(entry - 8)) return HTIP_ETABLE;
        if (text >= s->string_count) return HTIP_ESTRING;
        if (htip_read_markup(htip_string(s, text), NULL, NULL) != entry[4]) return HTIP_EMARKUP;
    }
    return HTIP_OK;
}

static bool htip_has_arguments(uint8_t op) { return op <= HTIP_CLASS || op == HTIP_STYLE; }

/* Strings, templates and reserved bytes of one operation; nodes come later. */
static int htip_check_op(const htip_stream *s, const uint8_t *p)
{
    uint32_t a = 0, b = 0;
    if (p[0] < HTIP_CLONE || p[0] > HTIP_COMMIT) return HTIP_EOPCODE;
    if (p[1] || (p[0] >= HTIP_BATCH && htip_load16(p + 2))) return HTIP_ERESERVED;
    if (!htip_has_arguments(p[0])) return HTIP_OK;
    a = htip_load16(p + 4);
    b = htip_load16(p + 6);
    if (p[0] == HTIP_CLONE) return htip_template(s, a) ? HTIP_OK : HTIP_ETEMPLATE;
    if (a >= s->string_count) return HTIP_ESTRING;
    if (p[0] == HTIP_TEXT) return b ? HTIP_ERESERVED : HTIP_OK;
    if (p[0] == HTIP_CLASS) return b > 1 ? HTIP_ERESERVED : htip_is_class(htip_string(s, a)) ? HTIP_OK : HTIP_ENAME;
    if (b >= s->string_count) return HTIP_ESTRING;
    if (p[0] == HTIP_STYLE) return htip_is_style(htip_string(s, a), htip_string(s, b)) ? HTIP_OK : HTIP_ENAME;
    if (htip_is(htip_string(s, a), "data-slot")) return HTIP_ENAME;
    return htip_is_attribute(htip_string(s, a), htip_string(s, b)) ? HTIP_OK : HTIP_ENAME;
}

static int htip_check_ops(const htip_stream *s, const uint8_t *end)
{
    const uint8_t *p = s->ops;
    bool batch = false;
    for (uint32_t i = 0; i < s->op_count; i++) {
        int error;
        if (end - p < 4) return HTIP_ETRUNCATED;
        if (htip_has_arguments(*p) && *p && end - p < 8) return HTIP_ETRUNCATED;
        error = htip_check_op(s, p);
        if (error) return error;
        if (*p >= HTIP_BATCH) {
            if (batch == (*p == HTIP_BATCH)) return HTIP_EBATCH;
            batch = !batch;
        }
        p += htip_has_arguments(*p) ? 8 : 4;
    }
    return batch ? HTIP_EBATCH : p == end ? HTIP_OK : HTIP_ESIZE;
}

/* Look at everything but nodes. *s borrows the bytes. */
static int htip_open(htip_stream *s, const uint8_t *bytes, size_t size)
{
    const uint8_t *end = bytes + size;
    uint64_t text_size;
    int error;
    if (size < HTIP_HEADER_SIZE) return HTIP_ETRUNCATED;
    if (htip_load16(bytes) != 0x4458) return HTIP_EMAGIC;
    if (bytes[2] != 2) return HTIP_EVERSION;
    s->template_count = (uint16_t)htip_load16(bytes + 4);
    s->string_count = (uint16_t)htip_load16(bytes + 6);
    s->op_count = htip_load32(bytes + 8);
    if (bytes[3] != ((s->string_count ? 1 : 0) | (s->template_count ? 2 : 0))) return HTIP_EFLAGS;
    if (htip_load32(bytes + 12) > size - HTIP_HEADER_SIZE) return HTIP_ETRUNCATED;
    if (htip_load32(bytes + 12) < size - HTIP_HEADER_SIZE) return HTIP_ESIZE;
    if (s->template_count > HTIP_TEMPLATES_MAX) return HTIP_ETABLE;
    s->strings = bytes + HTIP_HEADER_SIZE;
    if ((size_t)(end - s->strings) < 8u * s->string_count) return HTIP_ETRUNCATED;
    s->text = s->strings + 8 * s->string_count;
    error = htip_check_strings(s, &text_size, end);
    if (error) return error;
    s->templates = s->text + text_size;
    if ((size_t)(end - s->templates) < 8u * s->template_count) return HTIP_ETRUNCATED;
    s->ops = s->templates + 8 * s->template_count;
    error = htip_check_templates(s);
    return error ? error : htip_check_ops(s, end);
}

/* >>nodes ------------------------------------------------------------------ */
static inline size_t htip_nodes_size(uint32_t count) { return 2 * sizeof(htip_node) * count; }

static bool htip_is_node(const htip_nodes *n, uint32_t i)
{
    return i < n->count && n->nodes[i].parent != HTIP_NONE;
}

/* Nothing is on the page. count: 1 to 65535 */
static void htip_nodes_init(htip_nodes *n, void *memory, uint32_t count)
{
    n->nodes = (htip_node *)memory;
    n->before = n->nodes + count;
    n->count = count;
    n->used = 0;
    for (uint32_t i = 0; i < count; i++) {
        n->nodes[i].parent = n->nodes[i].first = HTIP_NONE;
        n->nodes[i].next = n->nodes[i].previous = HTIP_NONE;
    }
    n->nodes[0].parent = 0;
}

static void htip_add_node(htip_nodes *n, uint32_t i, uint32_t parent)
{
    htip_node *p = &n->nodes[parent], *made = &n->nodes[i];
    made->parent = (uint16_t)parent;
    made->first = made->previous = HTIP_NONE;
    made->next = p->first;
    if (p->first != HTIP_NONE) n->nodes[p->first].previous = (uint16_t)i;
    p->first = (uint16_t)i;
    n->used++;
}

/* All below `top`; what has children is gone into first. */
static void htip_remove_below(htip_nodes *n, uint32_t top)
{
    uint32_t i = top;
    while (n->nodes[top].first != HTIP_NONE) {
        while (n->nodes[i].first != HTIP_NONE) i = n->nodes[i].first;
        uint32_t parent = n->nodes[i].parent;
        n->nodes[parent].first = n->nodes[i].next;
        if (n->nodes[i].next != HTIP_NONE) n->nodes[n->nodes[i].next].previous = HTIP_NONE;
        n->nodes[i].parent = n->nodes[i].next = HTIP_NONE;
        n->used--;
        i = parent;
    }
}

static void htip_remove_node(htip_nodes *n, uint32_t i)
{
    htip_node *node = &n->nodes[i];
    htip_remove_below(n, i);
    if (node->previous == HTIP_NONE) n->nodes[node->parent].first = node->next;
    else n->nodes[node->previous].next = node->next;
    if (node->next != HTIP_NONE) n->nodes[node->next].previous = node->previous;
    node->parent = node->next = node->previous = HTIP_NONE;
    n->used--;
}

static int htip_follow_clone(const htip_stream *s, htip_nodes *n, const uint8_t *p)
{
    uint32_t first = htip_load16(p + 2), parent = htip_load16(p + 6), slots = htip_template(s, htip_load16(p + 4))[4];
    if (!htip_is_node(n, parent)) return HTIP_ENODE;
    if (first + slots >= n->count) return HTIP_ENODEMAX;
    for (uint32_t i = 0; i <= slots; i++)
        if (htip_is_node(n, first + i)) return HTIP_ENODEUSED;
    htip_add_node(n, first, parent);
    for (uint32_t i = 1; i <= slots; i++) htip_add_node(n, first + i, first);
    return HTIP_OK;
}

/* What one operation does to the nodes. */
static int htip_follow(const htip_stream *s, htip_nodes *n, const uint8_t *p)
{
    uint32_t node = htip_load16(p + 2);
    if (*p >= HTIP_BATCH) return HTIP_OK;
    if (*p == HTIP_CLONE) return htip_follow_clone(s, n, p);
    if (!htip_is_node(n, node) || node == 0) return HTIP_ENODE; /* where the page is stays as it is */
    if (*p == HTIP_REMOVE) htip_remove_node(n, node);
    if (*p == HTIP_TEXT) htip_remove_below(n, node);
    return HTIP_OK;
}

static void htip_copy_nodes(htip_node *to, const htip_node *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) to[i] = from[i];
}

static void htip_do(const htip_stream *s, const uint8_t *p, htip_apply *apply, void *user)
{
    htip_text a = {NULL, 0}, b = {NULL, 0};
    uint16_t node = (uint16_t)htip_load16(p + 2), other = 0;
    if (htip_has_arguments(*p)) other = (uint16_t)htip_load16(p + 6);
    if (*p == HTIP_CLONE) a = htip_string(s, htip_load16(htip_template(s, htip_load16(p + 4)) + 2));
    else if (htip_has_arguments(*p)) a = htip_string(s, htip_load16(p + 4));
    if (*p == HTIP_ATTR || *p == HTIP_STYLE) b = htip_string(s, other);
    apply(user, (enum htip_op)*p, node, other, a, b);
}

/* Carry a stream out, all or nothing: on an error *n is as it was and apply was not called. */
static int htip_render(htip_nodes *n, const uint8_t *bytes, size_t size, htip_apply *apply, void *user)
{
    htip_stream s;
    const uint8_t *p;
    uint32_t i, used = n->used;
    int error = htip_open(&s, bytes, size);
    if (error) return error;
    htip_copy_nodes(n->before, n->nodes, n->count);
    for (i = 0, p = s.ops; i < s.op_count && !error; i++, p += htip_has_arguments(*p) ? 8 : 4) error = htip_follow(&s, n, p);
    if (error) {
        htip_copy_nodes(n->nodes, n->before, n->count);
        n->used = used;
        return error;
    }
    for (i = 0, p = s.ops; i < s.op_count; i++, p += htip_has_arguments(*p) ? 8 : 4) htip_do(&s, p, apply, user);
    return HTIP_OK;
}
#endif
