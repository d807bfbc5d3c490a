/*  dx_htip.h - v0.3.0 - changes of a page as a stream of operations: reader and writer
              - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_HTIP_IMPLEMENTATION        (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_htip.h"

    and include it elsewhere without the define. C99; also builds as C++11. No other header is
    needed, and no browser: a server renders the same streams (examples/www/htip_html.h).

    QUICK EXAMPLE

        static uint64_t memory[512], nodes_memory[256];
        dx_htip_writer w;                                     // a stream of two rows ...
        dx_htip_writer_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.memory = memory;
        desc.memory_size = sizeof memory;
        if (dx_htip_writer_init(&w, &desc)) return 1;
        dx_htip_add_template(&w, 1, "<li><b data-slot=\"\"></b></li>", 29);
        const dx_htip_text texts[2] = {dx_htip_text_of("one"), dx_htip_text_of("two")};
        dx_htip_rows(&w, 1, 1, 0, 2, texts, 1);
        uint8_t stream[256];
        size_t size;
        if (dx_htip_finish(&w, stream, sizeof stream, &size)) return 1;

        dx_htip_nodes nodes;                                  // ... read: all or nothing
        if (dx_htip_nodes_init(&nodes, nodes_memory, sizeof nodes_memory, 32)) return 1;
        if (dx_htip_render(&nodes, stream, size, NULL, NULL)) return 1;
        printf("%u nodes\n", (unsigned)nodes.used);

    CONTENTS (search >>)  config  errors  texts  markup  nodes  reader  writer  platform  shared
                          bytes  words  parsing  tables  operations  registry  rendering  strings
                          writing  license

    GUARANTEES  Never allocates; no globals; no recursion. A stream is checked completely before any
                of it is carried out: all or nothing. No untrusted byte reaches an assert. O(bytes
                of the stream + nodes) time; a template's markup is parsed once a stream.
    LIMITS      65,535 nodes and strings, 4,096 templates a stream, 65,535 bytes a string, markup 32
                elements deep.
    SIZE        code: x86-64 10,133, Cortex-M0 7,144; objects: dx_htip_writer 88, dx_htip_nodes 24
    THREADS     One at a time for each object; objects share nothing.
    CONFIG      DX_HTIP_STATIC, DX_HTIP_API, DX_HTIP_ASSERT(c), DX_HTIP_MEMCPY, DX_HTIP_MEMCMP,
                DX_HTIP_MEMSET
    ERRORS      dx_htip_error: 0 = ok, negative = reason; dx_htip_code_of_error() returns its code
                in docs/formats/htip.md
    OWNERSHIP   The caller owns every byte. Texts passed to a callback point into the stream.
    FORMAT      docs/formats/htip.md, normative
*/
#ifndef DX_HTIP_H
#define DX_HTIP_H

#define DX_HTIP_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifndef DX_HTIP_API
  #ifdef DX_HTIP_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_HTIP_API static __attribute__((unused))
    #else
      #define DX_HTIP_API static
    #endif
  #else
    #define DX_HTIP_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>errors -------------------------------------------------------------
   One list gives the values, the names and the codes. The codes are part of the format, so that a
   JavaScript reader reports the same number as this one; the values are those of all dx headers.

   Columns: value, constant, code in docs/formats/htip.md (0: not an error of a stream). */
#define DX_HTIP_ERRORS(X)                                                                         \
    X(0, OK, 0)                                                                                   \
    X(-1, EINVAL, 0)     /* an argument breaks its documented contract */                         \
    X(-3, ENOSPACE, 0)   /* no room in the writer or its output; nothing was added */             \
    X(-11, ETRUNCATED, 7) /* ends too early */                                                    \
    X(-12, EVERSION, 2)  /* another version */                                                    \
    X(-40, EMAGIC, 1)    /* not HTIP */                                                           \
    X(-41, EOPCODE, 3)   /* an operation that does not exist */                                   \
    X(-42, ETEMPLATE, 4) /* no template of that id in this stream */                              \
    X(-43, ESTRING, 5)   /* no string of that number */                                           \
    X(-44, ENODE, 6)     /* no node of that number, or the operation does not apply to it */      \
    X(-45, EFLAGS, 8)    /* unknown flags, or flags that contradict the counts */                 \
    X(-46, ERESERVED, 9) /* a reserved byte is not zero */                                        \
    X(-47, ESIZE, 10)    /* more bytes than the tables and operations take */                     \
    X(-48, ETABLE, 11)   /* strings with gaps, templates out of order or too many */              \
    X(-49, EUTF8, 12)    /* a string that is not UTF-8, or has a zero byte */                     \
    X(-50, EMARKUP, 13)  /* markup that is not allowed, or has another number of slots */         \
    X(-51, ENAME, 14)    /* an attribute, class or style that is not allowed */                   \
    X(-52, ENODEUSED, 15) /* a node of that number exists */                                      \
    X(-53, ENODEMAX, 16) /* a number above the reader's node count */                             \
    X(-54, EBATCH, 17)   /* a batch within a batch, not begun, or not ended */

typedef enum dx_htip_error {
#define DX_HTIP_P_ERROR_IS(value, constant, code) DX_HTIP_##constant = value,
    DX_HTIP_ERRORS(DX_HTIP_P_ERROR_IS)
} dx_htip_error;

/* "DX_HTIP_ENODE" and so on; "unknown error" for anything else. A static string. */
DX_HTIP_API const char *dx_htip_error_name(int error);
/* The code of an error in docs/formats/htip.md; 0 if it is not an error of a stream. */
DX_HTIP_API int         dx_htip_code_of_error(int error);

/* >>texts --------------------------------------------------------------
   A text is a pointer and a size, because strings are used where they are in the stream, and no
   terminator fits there. */
typedef struct dx_htip_text { /* UTF-8, not terminated; borrowed */
    const uint8_t *data;
    uint32_t       size; /* bytes */
} dx_htip_text;

/* A terminated C string as a text, without its zero byte; borrows it. O(size). */
DX_HTIP_API dx_htip_text dx_htip_text_of(const char *text);
/* Well-formed UTF-8 (RFC 3629) without a zero byte? size in bytes; O(size). */
DX_HTIP_API bool         dx_htip_is_utf8(const void *bytes, size_t size);

/* >>markup -------------------------------------------------------------
   A template is one element in a subset of HTML. Its slots, the elements with data-slot="", are the
   places that operations change later. They are numbered from 1 in document order:

       <li class="row"> <b data-slot=""></b> <i data-slot=""></i> </li>
       root, 0          slot 1               slot 2

   If such a clone is node 40, its slots are nodes 41 and 42. */
enum { DX_HTIP_DEPTH_MAX = 32, DX_HTIP_SLOTS_MAX = 255 };

typedef enum dx_htip_part { /* the parts of markup */
    DX_HTIP_OPEN       = 0, /* an element: a is its tag */
    DX_HTIP_ATTRIBUTE  = 1, /* of the element opened last: a its name, b its value */
    DX_HTIP_CHARACTERS = 2, /* a */
    DX_HTIP_CLOSE      = 3  /* the element opened last is complete: a is its tag */
} dx_htip_part;

/* Names and values are raw, with their entities (&amp;), and point into the markup. */
typedef void dx_htip_visit(void *user, dx_htip_part part, dx_htip_text a, dx_htip_text b);

/* Parse exactly one element, in the subset of HTML that docs/formats/htip.md allows (no scripts, no
   event attributes). Returns the number of its slots, 0 to 255, or DX_HTIP_EMARKUP; then visit has
   been called for the parts before the error. visit may be NULL. O(size), one pass. */
DX_HTIP_API int dx_htip_read_markup(dx_htip_text markup, dx_htip_visit *visit, void *user);

/* >>nodes --------------------------------------------------------------
   The reader keeps no document, only which node numbers exist and which node is whose child: enough
   to refuse a stream that refers to a node that was removed. memory holds this twice; the second
   half is the copy from which a refused stream is rolled back:

       | nodes: count * 10 bytes | copy: count * 10 bytes | */
enum {
    DX_HTIP_NODE_SIZE = 20, /* bytes of memory a node, with its copy */
    DX_HTIP_NODES_MAX = 65535
};

typedef struct dx_htip_node { /* private; links are numbers, DX_HTIP_P_NONE: none */
    uint16_t parent_, first_, next_, previous_;
    uint16_t slot_; /* 1: part of a clone, 0: a clone */
} dx_htip_node;

/* The nodes on the page. Node 0 is the container of the page; a clone has the number in its
   operation, its slots have the numbers after it. */
typedef struct dx_htip_nodes {
    dx_htip_node *nodes_;
    dx_htip_node *before_; /* a copy, to roll back a refused stream */
    uint32_t      count;   /* numbers below this can be used */
    uint32_t      used;    /* nodes on the page, without node 0 */
} dx_htip_nodes;

/* Start an empty page: only node 0 exists. memory: DX_HTIP_NODE_SIZE bytes for each of count (1 to
   65,535) nodes, aligned to 2, borrowed until the last use of *n. memory_size: bytes. EINVAL
   otherwise. O(count). */
DX_HTIP_API int  dx_htip_nodes_init(dx_htip_nodes *n, void *memory, size_t memory_size,
                                    uint32_t count);
/* Is this number on the page? Any value may be passed. O(1). */
DX_HTIP_API bool dx_htip_is_node(const dx_htip_nodes *n, uint32_t node);

/* >>reader -------------------------------------------------------------
   A stream carries everything that changes between two states of a page, and is carried out as a
   whole. Operations refer to strings and templates by number, so a repeated string is sent once:

       | header 16 | string entries | strings | template entries | operations      |
                                                                 | CLONE 1 | TEXT 2 string 5 ... */
typedef enum dx_htip_op {
    DX_HTIP_CLONE  = 1,
    DX_HTIP_TEXT   = 2,
    DX_HTIP_ATTR   = 3,
    DX_HTIP_CLASS  = 4,
    DX_HTIP_REMOVE = 5,
    DX_HTIP_STYLE  = 6,
    DX_HTIP_BATCH  = 7,
    DX_HTIP_COMMIT = 8,
    DX_HTIP_MOVE   = 9,
    DX_HTIP_ROWS   = 10
} dx_htip_op;

/* May ATTR, CLASS or STYLE have this name? Any bytes; false for another operation. O(size). */
DX_HTIP_API bool dx_htip_is_name(dx_htip_op op, dx_htip_text name);

/* Called in order, after the whole stream was checked. A ROWS operation is expanded: a CLONE and a
   TEXT for each slot, row by row.
     CLONE   other: the parent; a: markup        ATTR    a: name, b: value
     TEXT    a: the text                         CLASS   other: 1 on, 0 off; a: its name
     REMOVE  BATCH  COMMIT                       STYLE   a: property, b: value
     MOVE    other: the clone to precede, 0: last of its parent */
typedef void dx_htip_apply(void *user, dx_htip_op op, uint16_t node, uint16_t other, dx_htip_text a,
                           dx_htip_text b);

/* Carry a stream out completely or, after an error, not at all: then *n is unchanged and apply was
   not called. bytes: any content, any alignment, borrowed for the call; size: bytes. apply may be
   NULL: then only *n changes. Errors: all of DX_HTIP_ERRORS but ENOSPACE; EINVAL: bytes is NULL. */
DX_HTIP_API int dx_htip_render(dx_htip_nodes *n, const void *bytes, size_t size,
                               dx_htip_apply *apply, void *user);

/* >>writer -------------------------------------------------------------
   The writer collects operations in the caller's memory and deduplicates strings. It does not know
   which nodes are on the page: the reader finds such errors. Errors stick: after the first one
   dx_htip_finish() fails, so only its result has to be checked. */
typedef struct dx_htip_writer_desc { /* zero = the default given after each field */
    void    *memory;        /* aligned to 4; borrowed until the stream is finished */
    size_t   memory_size;   /* bytes: 8 an operation and a template, 16 a string, and the texts */
    uint32_t strings_max;   /* different strings; an eighth of what memory_size / 8 gives */
    uint32_t templates_max; /* 16 */
    uint32_t ops_size_max;  /* bytes of operations; a quarter of memory_size */
} dx_htip_writer_desc;

typedef struct dx_htip_writer { /* caller-allocated; fields are private */
    uint8_t  *entries_, *templates_, *ops_, *text_;
    uint32_t *table_; /* string numbers + 1 by hash of content */
    uint32_t  strings_max_, templates_max_, ops_size_max_, text_size_max_, table_mask_;
    uint32_t  string_count_, template_count_, op_count_, ops_size_, text_size_;
    int       error_; /* the first one; dx_htip_finish() returns it from then on */
} dx_htip_writer;

/* Start an empty stream. EINVAL: memory is NULL, not aligned, or too small for the tables. */
DX_HTIP_API int dx_htip_writer_init(dx_htip_writer *w, const dx_htip_writer_desc *desc);
/* Each adds one operation or nothing, and copies its texts. ENOSPACE: the writer is full; EINVAL: a
   string above 65,535 bytes, templates with ids that do not ascend. size: bytes of the markup. The
   reader finds all other errors. */
DX_HTIP_API int dx_htip_add_template(dx_htip_writer *w, uint16_t id, const char *markup,
                                     size_t size);
DX_HTIP_API int dx_htip_clone(dx_htip_writer *w, uint16_t node, uint16_t id, uint16_t parent);
DX_HTIP_API int dx_htip_set_text(dx_htip_writer *w, uint16_t node, dx_htip_text text);
DX_HTIP_API int dx_htip_set_attribute(dx_htip_writer *w, uint16_t node, dx_htip_text name,
                                      dx_htip_text value);
DX_HTIP_API int dx_htip_set_style(dx_htip_writer *w, uint16_t node, dx_htip_text property,
                                  dx_htip_text value);
DX_HTIP_API int dx_htip_set_class(dx_htip_writer *w, uint16_t node, dx_htip_text name, bool on);
DX_HTIP_API int dx_htip_remove(dx_htip_writer *w, uint16_t node);
/* Move a clone before another clone of the same parent; before 0: to the end. */
DX_HTIP_API int dx_htip_move(dx_htip_writer *w, uint16_t node, uint16_t before);
/* Append count clones of a template with `slots` slots to parent: nodes node, node + 1 + slots ...;
   texts: count * slots of them, row by row. */
DX_HTIP_API int dx_htip_rows(dx_htip_writer *w, uint16_t node, uint16_t id, uint16_t parent,
                             uint16_t count, const dx_htip_text *texts, uint16_t slots);
/* Between these, operations are one batch, which a host shows at once. Batches do not nest. */
DX_HTIP_API int dx_htip_begin(dx_htip_writer *w);
DX_HTIP_API int dx_htip_commit(dx_htip_writer *w);
/* Write the stream to out and empty the writer for the next one. capacity, *size: bytes. ENOSPACE:
   *size is the capacity needed, and the writer is unchanged; out may be NULL to ask for it. Else
   the first error of an operation, with *size 0: only dx_htip_writer_init() resets that. */
DX_HTIP_API int dx_htip_finish(dx_htip_writer *w, void *out, size_t capacity, size_t *size);

#ifdef __cplusplus
}
#endif
#endif /* DX_HTIP_H */

#if (defined(DX_HTIP_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_HTIP_IMPLEMENTED)
#define DX_HTIP_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_HTIP_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_HTIP_ASSERT(c) assert(c)
  #else
    #define DX_HTIP_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_HTIP_P_MEM(name) __builtin_##name
#else
  #include <string.h>
  #define DX_HTIP_P_MEM(name) name
#endif
#ifndef DX_HTIP_MEMCPY
  #define DX_HTIP_MEMCPY DX_HTIP_P_MEM(memcpy)
#endif
#ifndef DX_HTIP_MEMCMP
  #define DX_HTIP_MEMCMP DX_HTIP_P_MEM(memcmp)
#endif
#ifndef DX_HTIP_MEMSET
  #define DX_HTIP_MEMSET DX_HTIP_P_MEM(memset)
#endif

enum {
    DX_HTIP_P_HEADER_SIZE   = 16,
    DX_HTIP_P_ENTRY_SIZE    = 8, /* of a string or a template */
    DX_HTIP_P_MAGIC         = 0x4458,
    DX_HTIP_P_VERSION       = 2,
    DX_HTIP_P_TEMPLATES_MAX = 4096,
    DX_HTIP_P_NAME_MAX      = 256,  /* bytes of a name: element, attribute, class, style */
    DX_HTIP_P_STYLE_MAX     = 1024, /* bytes of a style's value */
    DX_HTIP_P_NONE          = 65535
};
#define DX_HTIP_P_ERROR_NAME(value, constant, code) \
    case value: return "DX_HTIP_" #constant;
#define DX_HTIP_P_ERROR_CODE(value, constant, code) \
    case value: return code;

DX_HTIP_API const char *dx_htip_error_name(int error)
{
    switch (error) {
        DX_HTIP_ERRORS(DX_HTIP_P_ERROR_NAME)
    default: return "unknown error";
    }
}

DX_HTIP_API int dx_htip_code_of_error(int error)
{
    switch (error) {
        DX_HTIP_ERRORS(DX_HTIP_P_ERROR_CODE)
    default: return 0;
    }
}

/* >>shared --------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies (a check compares them). */
static uint16_t dx_htip_p_load16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint16_t)((uint16_t)p[1] << 8));
}

static uint32_t dx_htip_p_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* >>bytes ---------------------------------------------------------------
   Comparison with literal words, and the check of UTF-8. Of a sequence, only the second byte has a
   range that depends on the first; all later ones are 80h to BFh:

       first     C2-DF   E0      E1-EC   ED      EE-EF   F0      F1-F3   F4
       second    80-BF   A0-BF   80-BF   80-9F   80-BF   90-BF   80-BF   80-8F */
static bool dx_htip_p_is(dx_htip_text t, const char *word)
{
    uint32_t i = 0;
    while (i < t.size && word[i] && t.data[i] == (uint8_t)word[i]) i++;
    return i == t.size && !word[i];
}

static bool dx_htip_p_is_one_of(dx_htip_text t, const char *const *words)
{
    while (*words && !dx_htip_p_is(t, *words)) words++;
    return *words != NULL;
}

DX_HTIP_API dx_htip_text dx_htip_text_of(const char *text)
{
    dx_htip_text t;
    t.data = (const uint8_t *)text;
    t.size = 0;
    while (text[t.size]) t.size++;
    return t;
}

DX_HTIP_API bool dx_htip_is_utf8(const void *bytes, size_t size)
{
    const uint8_t *p = (const uint8_t *)bytes;
    size_t         i = 0;
    while (i < size) {
        const uint8_t c = p[i++];
        uint8_t       low = 0x80;
        uint8_t       high = 0xbf;
        size_t        more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        if (c == 0 || (c >= 0x80 && c < 0xc2) || c > 0xf4) return false;
        if (c == 0xe0) low = 0xa0;  /* overlong forms */
        if (c == 0xed) high = 0x9f; /* surrogates */
        if (c == 0xf0) low = 0x90;
        if (c == 0xf4) high = 0x8f; /* above U+10FFFF */
        if (more > size - i) return false;
        for (; more; more--) {
            if (p[i] < low || p[i] > high) return false;
            i++;
            low = 0x80;
            high = 0xbf;
        }
    }
    return true;
}

/* >>words ---------------------------------------------------------------
   Names that are allowed in markup and in operations. Nothing that executes, loads a document or
   changes parsing is allowed, whatever the page does with it. Elements are a list of those allowed,
   so what browsers add is refused. Names are compared in lower case only, so upper case is refused
   rather than folded: ONCLICK never reaches a comparison with "on".

       on...   style   srcdoc   javascript:...     attributes: refused
       ; { } ( \ !                                 characters of a style's value: refused */
/* A lower-case letter, then lower-case letters, digits, '-'. */
static bool dx_htip_p_is_name(dx_htip_text t)
{
    uint32_t i;
    if (t.size > DX_HTIP_P_NAME_MAX) return false;
    for (i = 0; i < t.size; i++) {
        uint8_t c = t.data[i];
        if (!(c >= 'a' && c <= 'z') && (i == 0 || !((c >= '0' && c <= '9') || c == '-')))
            return false;
    }
    return t.size != 0;
}

/* An element of the format's list: one word of the line of its first letter. */
static bool dx_htip_p_is_element(dx_htip_text tag)
{
    static const char *const allowed[26] = {
        "a abbr acronym address area article aside audio",
        "b bdi bdo big blockquote br button",
        "canvas caption center cite code col colgroup",
        "data datalist dd del details dfn dialog dir div dl dt",
        "em",
        "fieldset figcaption figure font footer form",
        "",
        "h1 h2 h3 h4 h5 h6 header hgroup hr",
        "i img input ins",
        "",
        "kbd",
        "label legend li",
        "main map mark menu meter",
        "nav nobr",
        "ol optgroup option output",
        "p picture progress",
        "q",
        "rb rp rt rtc ruby",
        "s samp search section select slot small source span strike strong sub summary sup",
        "table tbody td tfoot th thead time tr track tt",
        "u ul",
        "var video",
        "wbr",
        "",
        "",
        ""};
    const char *word;
    if (!dx_htip_p_is_name(tag)) return false;
    word = allowed[tag.data[0] - 'a'];
    while (*word) {
        uint32_t i = 0;
        while (i < tag.size && word[i] == (char)tag.data[i]) i++;
        if (i == tag.size && (word[i] == ' ' || !word[i])) return true;
        word += i;
        while (*word && *word != ' ') word++;
        while (*word == ' ') word++;
    }
    return false;
}

/* Names of attributes that execute nothing, and have no operation of their own. */
static bool dx_htip_p_is_attribute_name(dx_htip_text name)
{
    static const char *const refused[] = {"style", "srcdoc", NULL};
    if (name.size > 2 && name.data[0] == 'o' && name.data[1] == 'n') return false;
    return dx_htip_p_is_name(name) && !dx_htip_p_is_one_of(name, refused);
}

static bool dx_htip_p_is_attribute(dx_htip_text name, dx_htip_text value)
{
    static const char script[] = "javascript:";
    uint32_t          at = 0;
    if (!dx_htip_p_is_attribute_name(name)) return false;
    for (uint32_t i = 0; i < value.size && script[at]; i++) {
        if (value.data[i] <= ' ') continue; /* browsers ignore these */
        if ((value.data[i] | 32) != script[at]) return true;
        at++;
    }
    return script[at] != 0;
}

/* One class: a space would make it two. */
static bool dx_htip_p_is_class(dx_htip_text t)
{
    uint32_t i;
    if (t.size > DX_HTIP_P_NAME_MAX) return false;
    for (i = 0; i < t.size; i++)
        if (t.data[i] <= ' ') return false;
    return t.size != 0;
}

/* A custom property has its "--" before a name. */
static bool dx_htip_p_is_property(dx_htip_text t)
{
    if (t.size > 2 && t.data[0] == '-' && t.data[1] == '-') {
        t.data += 2;
        t.size -= 2;
    }
    return dx_htip_p_is_name(t);
}

DX_HTIP_API bool dx_htip_is_name(dx_htip_op op, dx_htip_text name)
{
    if (!name.data) return false;
    if (op == DX_HTIP_ATTR)
        return dx_htip_p_is_attribute_name(name) && !dx_htip_p_is(name, "data-slot");
    if (op == DX_HTIP_CLASS) return dx_htip_p_is_class(name);
    return op == DX_HTIP_STYLE && dx_htip_p_is_property(name);
}

/* A value must not end its declaration or block, nor load anything: '(' would allow url(), and a
   backslash would spell any of these. */
static bool dx_htip_p_is_style(dx_htip_text property, dx_htip_text value)
{
    if (value.size > DX_HTIP_P_STYLE_MAX) return false;
    for (uint32_t i = 0; i < value.size; i++)
        if (value.data[i] < ' ' || value.data[i] == ';' || value.data[i] == '{' ||
            value.data[i] == '}' || value.data[i] == '(' || value.data[i] == '\\' ||
            value.data[i] == '!')
            return false;
    return dx_htip_p_is_property(property) && value.size != 0;
}

/* Void elements: no content and no end tag. */
static const char *const dx_htip_p_void[] = {"area",  "br",     "col",   "hr",  "img",
                                             "input", "source", "track", "wbr", NULL};

/* >>parsing -------------------------------------------------------------
   Markup is parsed in one pass, with the open elements on a stack of fixed depth:

       <li class="row"><b data-slot=""></b></li>
       OPEN li  ATTRIBUTE class row  OPEN b  ATTRIBUTE data-slot  CLOSE b  CLOSE li

   at never passes end, and only entries of `open` below `depth` are set. */
typedef struct dx_htip_p_markup {
    const uint8_t *at, *end;
    dx_htip_visit *visit;
    void          *user;
    dx_htip_text   open[DX_HTIP_DEPTH_MAX];  /* open elements */
    uint32_t       depth;      /* open elements */
    uint32_t       slot_depth; /* depth of the only open slot; 0: all are closed */
    uint32_t       slots;      /* found until now */
} dx_htip_p_markup;

static void dx_htip_p_report(dx_htip_p_markup *m, dx_htip_part part, dx_htip_text a, dx_htip_text b)
{
    DX_HTIP_ASSERT(m->at <= m->end && a.data);
    if (m->visit) m->visit(m->user, part, a, b);
}

static dx_htip_text dx_htip_p_parse_name(dx_htip_p_markup *m)
{
    dx_htip_text name = {m->at, 0};
    while (m->at < m->end &&
           ((*m->at >= 'a' && *m->at <= 'z') || (*m->at >= '0' && *m->at <= '9') || *m->at == '-'))
        m->at++;
    DX_HTIP_ASSERT(m->at <= m->end);
    name.size = (uint32_t)(m->at - name.data);
    return name;
}

static bool dx_htip_p_skip(dx_htip_p_markup *m, char c)
{
    if (m->at == m->end || *m->at != (uint8_t)c) return false;
    m->at++;
    return true;
}

/* Text up to `end`; '&' only in one of four entities, no '<', no '>', and only tab and newline of
   the control characters. */
static bool dx_htip_p_parse_text(dx_htip_p_markup *m, char end, dx_htip_text *text)
{
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;", NULL};
    DX_HTIP_ASSERT(m->at <= m->end);
    text->data = m->at;
    while (m->at < m->end && *m->at != (uint8_t)end) {
        dx_htip_text entity = {m->at, 1};
        if (*m->at == '<' || *m->at == '>' || (*m->at < ' ' && *m->at != '\n' && *m->at != '\t'))
            return false;
        if (*m->at == '&') {
            while (entity.size < 6 && m->at + entity.size < m->end &&
                   entity.data[entity.size - 1] != ';')
                entity.size++;
            if (!dx_htip_p_is_one_of(entity, entities)) return false;
        }
        DX_HTIP_ASSERT(entity.size <= (size_t)(m->end - m->at));
        m->at += entity.size;
    }
    text->size = (uint32_t)(m->at - text->data);
    return true;
}

/* *slot: whether this element is a slot; it stays true for the attributes that follow. */
static bool dx_htip_p_parse_attribute(dx_htip_p_markup *m, bool *slot)
{
    dx_htip_text name = dx_htip_p_parse_name(m), value;
    if (!dx_htip_p_skip(m, '=') || !dx_htip_p_skip(m, '"') ||
        !dx_htip_p_parse_text(m, '"', &value) || !dx_htip_p_skip(m, '"'))
        return false;
    if (!dx_htip_p_is_attribute(name, value)) return false;
    if (dx_htip_p_is(name, "data-slot")) {
        if (value.size || *slot || m->slot_depth || m->depth == 0)
            return false; /* not the root, and not nested */
        *slot = true;
        m->slots++;
    }
    dx_htip_p_report(m, DX_HTIP_ATTRIBUTE, name, value);
    return true;
}

/* After the '<' of a start tag. A void element is complete at once and cannot be the root, since
   nothing could be in it. */
static bool dx_htip_p_parse_open(dx_htip_p_markup *m)
{
    const dx_htip_text none = {NULL, 0};
    dx_htip_text       tag = dx_htip_p_parse_name(m);
    bool               slot = false;
    if (!dx_htip_p_is_element(tag) || m->depth == DX_HTIP_DEPTH_MAX) return false;
    dx_htip_p_report(m, DX_HTIP_OPEN, tag, none);
    while (dx_htip_p_skip(m, ' '))
        if (!dx_htip_p_parse_attribute(m, &slot)) return false;
    if (!dx_htip_p_skip(m, '>')) return false;
    if (dx_htip_p_is_one_of(tag, dx_htip_p_void)) {
        dx_htip_p_report(m, DX_HTIP_CLOSE, tag, none);
        return m->depth != 0;
    }
    DX_HTIP_ASSERT(m->depth < DX_HTIP_DEPTH_MAX);
    m->open[m->depth++] = tag;
    if (slot) m->slot_depth = m->depth;
    return true;
}

/* After the '</' of an end tag: it must name the element opened last. */
static bool dx_htip_p_parse_close(dx_htip_p_markup *m)
{
    const dx_htip_text none = {NULL, 0};
    dx_htip_text       tag = dx_htip_p_parse_name(m), open;
    if (!dx_htip_p_skip(m, '>') || m->depth == 0) return false;
    DX_HTIP_ASSERT(m->slot_depth <= m->depth);
    open = m->open[m->depth - 1];
    if (tag.size != open.size) return false;
    for (uint32_t i = 0; i < tag.size; i++)
        if (tag.data[i] != open.data[i]) return false;
    if (m->slot_depth == m->depth) m->slot_depth = 0;
    m->depth--;
    dx_htip_p_report(m, DX_HTIP_CLOSE, tag, none);
    return true;
}

DX_HTIP_API int dx_htip_read_markup(dx_htip_text markup, dx_htip_visit *visit, void *user)
{
    const dx_htip_text none = {NULL, 0};
    dx_htip_p_markup   m;
    if (!markup.data) return DX_HTIP_EMARKUP;
    m.at = markup.data;
    m.end = markup.data + markup.size;
    m.visit = visit;
    m.user = user;
    m.depth = m.slot_depth = m.slots = 0;
    do {
        dx_htip_text characters;
        bool         ok;
        if (m.depth) {
            if (!dx_htip_p_parse_text(&m, '<', &characters)) return DX_HTIP_EMARKUP;
            if (characters.size) dx_htip_p_report(&m, DX_HTIP_CHARACTERS, characters, none);
        }
        if (!dx_htip_p_skip(&m, '<')) return DX_HTIP_EMARKUP;
        ok = dx_htip_p_skip(&m, '/') ? dx_htip_p_parse_close(&m) : dx_htip_p_parse_open(&m);
        if (!ok) return DX_HTIP_EMARKUP;
        DX_HTIP_ASSERT(m.depth <= DX_HTIP_DEPTH_MAX && m.slot_depth <= m.depth);
    } while (m.depth);
    return m.at == m.end && m.slots <= DX_HTIP_SLOTS_MAX ? (int)m.slots : DX_HTIP_EMARKUP;
}

/* >>tables --------------------------------------------------------------
   A stream is its header, then four tables without gaps:

       | header 16 | string entries 8 each | their bytes | template entries 8 each | operations |

       string entry     | offset u32 | size u16 | 0 u16 |
       template entry   | id u16 | string u16 | slots u8 | 0 | 0 | 0 |

   Each table is checked before the one after it is read, so later reads need no bounds checks; the
   assertions say what they rely on. Offsets must be the sum of the sizes before them: no two
   strings overlap, and no byte is unused. */
typedef struct dx_htip_p_stream { /* strings <= text <= templates <= ops <= end */
    const uint8_t *strings, *text, *templates, *ops, *end;
    uint32_t       string_count, template_count, op_count;
} dx_htip_p_stream;

/* The i-th string, after dx_htip_p_check_strings(). */
static dx_htip_text dx_htip_p_string(const dx_htip_p_stream *s, uint32_t i)
{
    const uint8_t *entry = s->strings + (size_t)DX_HTIP_P_ENTRY_SIZE * i;
    dx_htip_text   t;
    DX_HTIP_ASSERT(i < s->string_count);
    t.data = s->text + dx_htip_p_load32(entry);
    t.size = dx_htip_p_load16(entry + 4);
    DX_HTIP_ASSERT(t.data >= s->text && t.size <= (size_t)(s->templates - t.data));
    return t;
}

/* The entry of a template, or NULL: a binary search, because ids ascend. */
static const uint8_t *dx_htip_p_template(const dx_htip_p_stream *s, uint32_t id)
{
    uint32_t low = 0;
    uint32_t high = s->template_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const uint8_t *entry = s->templates + (size_t)DX_HTIP_P_ENTRY_SIZE * middle;
        const uint32_t there = dx_htip_p_load16(entry);
        if (there == id) return entry;
        if (there < id) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

/* *text_size: the bytes of all strings, which say where the template entries are. */
static int dx_htip_p_check_strings(const dx_htip_p_stream *s, uint64_t *text_size)
{
    uint32_t i;
    DX_HTIP_ASSERT(s->strings <= s->text && s->text <= s->end);
    *text_size = 0;
    for (i = 0; i < s->string_count; i++) {
        const uint8_t *entry = s->strings + (size_t)DX_HTIP_P_ENTRY_SIZE * i;
        const uint32_t size = dx_htip_p_load16(entry + 4);
        if (dx_htip_p_load16(entry + 6)) return DX_HTIP_ERESERVED;
        if (dx_htip_p_load32(entry) != *text_size) return DX_HTIP_ETABLE;
        if (size > (uint64_t)(s->end - s->text) - *text_size) return DX_HTIP_ETRUNCATED;
        if (!dx_htip_is_utf8(s->text + *text_size, size)) return DX_HTIP_EUTF8;
        *text_size += size;
    }
    return DX_HTIP_OK;
}

/* Templates may share a string, but all their markup together must not exceed the strings, so that
   parsing stays linear in the stream. */
static int dx_htip_p_check_templates(const dx_htip_p_stream *s, uint64_t text_size)
{
    uint64_t left = text_size;
    uint32_t i;
    DX_HTIP_ASSERT(s->templates == s->text + text_size && s->ops <= s->end);
    for (i = 0; i < s->template_count; i++) {
        const uint8_t *entry = s->templates + (size_t)DX_HTIP_P_ENTRY_SIZE * i;
        const uint32_t id = dx_htip_p_load16(entry);
        const uint32_t text = dx_htip_p_load16(entry + 2);
        dx_htip_text   markup;
        if (entry[5] || entry[6] || entry[7]) return DX_HTIP_ERESERVED;
        if (i && id <= dx_htip_p_load16(entry - DX_HTIP_P_ENTRY_SIZE)) return DX_HTIP_ETABLE;
        if (text >= s->string_count) return DX_HTIP_ESTRING;
        markup = dx_htip_p_string(s, text);
        if (markup.size > left) return DX_HTIP_ETABLE;
        left -= markup.size;
        if (dx_htip_read_markup(markup, NULL, NULL) != entry[4]) return DX_HTIP_EMARKUP;
    }
    return DX_HTIP_OK;
}

/* >>operations ----------------------------------------------------------
   The size of an operation follows from its first byte, so the operations need no table of offsets:

       | op u8 | 0 | node u16 |                               REMOVE BATCH COMMIT      4 bytes
       | op u8 | 0 | node u16 | a u16 | b u16 |               the others               8
       | op u8 | 0 | node u16 | a u16 | b u16 | count | text | ROWS                    12

   The first pass checks all that depends on the stream alone. What depends on the page, the numbers
   of nodes, is checked by >>rendering. */
static uint32_t dx_htip_p_op_size(uint8_t op)
{
    DX_HTIP_ASSERT(op >= DX_HTIP_CLONE && op <= DX_HTIP_ROWS);
    if (op == DX_HTIP_REMOVE || op == DX_HTIP_BATCH || op == DX_HTIP_COMMIT) return 4;
    return op == DX_HTIP_ROWS ? 12 : 8;
}

/* Check a and b of an operation with a template in a. */
static int dx_htip_p_check_clone(const dx_htip_p_stream *s, const uint8_t *p)
{
    const uint8_t *entry = dx_htip_p_template(s, dx_htip_p_load16(p + 4));
    uint64_t       texts;
    DX_HTIP_ASSERT(p[0] == DX_HTIP_CLONE || p[0] == DX_HTIP_ROWS);
    if (!entry) return DX_HTIP_ETEMPLATE;
    if (p[0] == DX_HTIP_CLONE) return DX_HTIP_OK;
    texts = (uint64_t)dx_htip_p_load16(p + 8) * entry[4];
    if (texts && texts + dx_htip_p_load16(p + 10) > s->string_count) return DX_HTIP_ESTRING;
    if (!texts && dx_htip_p_load16(p + 10)) return DX_HTIP_ERESERVED;
    return DX_HTIP_OK;
}

/* Check strings, templates and reserved bytes of one operation; its nodes are checked later. */
static int dx_htip_p_check_op(const dx_htip_p_stream *s, const uint8_t *p)
{
    const uint32_t op = p[0];
    uint32_t       a, b;
    bool           ok;
    DX_HTIP_ASSERT(p >= s->ops && dx_htip_p_op_size(p[0]) <= (size_t)(s->end - p));
    if (p[1]) return DX_HTIP_ERESERVED;
    if (op == DX_HTIP_REMOVE) return DX_HTIP_OK;
    if (op == DX_HTIP_BATCH || op == DX_HTIP_COMMIT)
        return dx_htip_p_load16(p + 2) ? DX_HTIP_ERESERVED : DX_HTIP_OK;
    if (op == DX_HTIP_CLONE || op == DX_HTIP_ROWS) return dx_htip_p_check_clone(s, p);
    a = dx_htip_p_load16(p + 4);
    b = dx_htip_p_load16(p + 6);
    if (op == DX_HTIP_MOVE) return b ? DX_HTIP_ERESERVED : DX_HTIP_OK;
    if (a >= s->string_count) return DX_HTIP_ESTRING;
    if (op == DX_HTIP_TEXT) return b ? DX_HTIP_ERESERVED : DX_HTIP_OK;
    if (op == DX_HTIP_CLASS) {
        if (b > 1) return DX_HTIP_ERESERVED;
        return dx_htip_p_is_class(dx_htip_p_string(s, a)) ? DX_HTIP_OK : DX_HTIP_ENAME;
    }
    if (b >= s->string_count) return DX_HTIP_ESTRING;
    if (op == DX_HTIP_STYLE) {
        ok = dx_htip_p_is_style(dx_htip_p_string(s, a), dx_htip_p_string(s, b));
        return ok ? DX_HTIP_OK : DX_HTIP_ENAME;
    }
    DX_HTIP_ASSERT(op == DX_HTIP_ATTR);
    if (dx_htip_p_is(dx_htip_p_string(s, a), "data-slot")) return DX_HTIP_ENAME;
    ok = dx_htip_p_is_attribute(dx_htip_p_string(s, a), dx_htip_p_string(s, b));
    return ok ? DX_HTIP_OK : DX_HTIP_ENAME;
}

static int dx_htip_p_check_ops(const dx_htip_p_stream *s)
{
    const uint8_t *p = s->ops;
    bool           batch = false;
    uint32_t       i;
    for (i = 0; i < s->op_count; i++) { /* op_count is not trusted: the bytes end the loop */
        const size_t left = (size_t)(s->end - p);
        int          error;
        if (left < 4) return DX_HTIP_ETRUNCATED;
        if (*p < DX_HTIP_CLONE || *p > DX_HTIP_ROWS) return DX_HTIP_EOPCODE;
        if (left < dx_htip_p_op_size(*p)) return DX_HTIP_ETRUNCATED;
        error = dx_htip_p_check_op(s, p);
        if (error) return error;
        if (*p == DX_HTIP_BATCH || *p == DX_HTIP_COMMIT) {
            if (batch == (*p == DX_HTIP_BATCH)) return DX_HTIP_EBATCH;
            batch = !batch;
        }
        p += dx_htip_p_op_size(*p);
    }
    if (batch) return DX_HTIP_EBATCH;
    return p == s->end ? DX_HTIP_OK : DX_HTIP_ESIZE;
}

/* Check everything except nodes. *s borrows the bytes. */
static int dx_htip_p_open(dx_htip_p_stream *s, const uint8_t *bytes, size_t size)
{
    uint64_t text_size;
    uint32_t payload;
    int      error;
    if (size < DX_HTIP_P_HEADER_SIZE) return DX_HTIP_ETRUNCATED;
    if (dx_htip_p_load16(bytes) != DX_HTIP_P_MAGIC) return DX_HTIP_EMAGIC;
    if (bytes[2] != DX_HTIP_P_VERSION) return DX_HTIP_EVERSION;
    s->end = bytes + size;
    s->template_count = dx_htip_p_load16(bytes + 4);
    s->string_count = dx_htip_p_load16(bytes + 6);
    s->op_count = dx_htip_p_load32(bytes + 8);
    payload = dx_htip_p_load32(bytes + 12);
    if (bytes[3] != ((s->string_count ? 1 : 0) | (s->template_count ? 2 : 0)))
        return DX_HTIP_EFLAGS;
    if (payload > size - DX_HTIP_P_HEADER_SIZE) return DX_HTIP_ETRUNCATED;
    if (payload < size - DX_HTIP_P_HEADER_SIZE) return DX_HTIP_ESIZE;
    if (s->template_count > DX_HTIP_P_TEMPLATES_MAX) return DX_HTIP_ETABLE;
    s->strings = bytes + DX_HTIP_P_HEADER_SIZE;
    if (payload / DX_HTIP_P_ENTRY_SIZE < s->string_count) return DX_HTIP_ETRUNCATED;
    s->text = s->strings + (size_t)DX_HTIP_P_ENTRY_SIZE * s->string_count;
    error = dx_htip_p_check_strings(s, &text_size);
    if (error) return error;
    s->templates = s->text + text_size;
    if ((size_t)(s->end - s->templates) / DX_HTIP_P_ENTRY_SIZE < s->template_count)
        return DX_HTIP_ETRUNCATED;
    s->ops = s->templates + (size_t)DX_HTIP_P_ENTRY_SIZE * s->template_count;
    error = dx_htip_p_check_templates(s, text_size);
    return error ? error : dx_htip_p_check_ops(s);
}

/* >>registry ------------------------------------------------------------
   Which numbers are on the page, and which nodes are removed together. Children are linked to their
   parent in no particular order, so adding and removing take the same time everywhere:

       0 --first--> 9 --next--> 5 --next--> 1        9, 5 and 1 are clones in node 0
                                            |
                                            first--> 3 --next--> 2    the slots of clone 1

   A number is on the page if it has a parent; node 0 is its own parent. All links of a number that
   is not on the page are DX_HTIP_P_NONE. */
DX_HTIP_API bool dx_htip_is_node(const dx_htip_nodes *n, uint32_t node)
{
    return node < n->count && n->nodes_[node].parent_ != DX_HTIP_P_NONE;
}

DX_HTIP_API int dx_htip_nodes_init(dx_htip_nodes *n, void *memory, size_t memory_size,
                                   uint32_t count)
{
    uint32_t i;
    if (!n || !memory || ((uintptr_t)memory & 1)) return DX_HTIP_EINVAL;
    if (count == 0 || count > DX_HTIP_NODES_MAX) return DX_HTIP_EINVAL;
    if (memory_size / DX_HTIP_NODE_SIZE < count) return DX_HTIP_EINVAL;
    n->nodes_ = (dx_htip_node *)memory;
    n->before_ = n->nodes_ + count;
    n->count = count;
    n->used = 0;
    for (i = 0; i < count; i++) {
        dx_htip_node *node = &n->nodes_[i];
        node->parent_ = node->first_ = node->next_ = node->previous_ = DX_HTIP_P_NONE;
        node->slot_ = 0;
    }
    n->nodes_[0].parent_ = 0;
    return DX_HTIP_OK;
}

static void dx_htip_p_add_node(dx_htip_nodes *n, uint32_t i, uint32_t parent, bool slot)
{
    dx_htip_node *p = &n->nodes_[parent];
    dx_htip_node *made = &n->nodes_[i];
    DX_HTIP_ASSERT(i < n->count && !dx_htip_is_node(n, i) && dx_htip_is_node(n, parent));
    made->parent_ = (uint16_t)parent;
    made->first_ = made->previous_ = DX_HTIP_P_NONE;
    made->next_ = p->first_;
    made->slot_ = slot;
    if (p->first_ != DX_HTIP_P_NONE) n->nodes_[p->first_].previous_ = (uint16_t)i;
    p->first_ = (uint16_t)i;
    n->used++;
}

/* Remove all nodes below `top`, deepest first, without a stack: each step descends or removes a
   leaf. */
static void dx_htip_p_remove_below(dx_htip_nodes *n, uint32_t top)
{
    dx_htip_node *nodes = n->nodes_;
    uint32_t      i = top;
    DX_HTIP_ASSERT(dx_htip_is_node(n, top));
    while (nodes[top].first_ != DX_HTIP_P_NONE) {
        uint32_t parent;
        while (nodes[i].first_ != DX_HTIP_P_NONE) i = nodes[i].first_;
        DX_HTIP_ASSERT(i != top && nodes[i].previous_ == DX_HTIP_P_NONE && n->used);
        parent = nodes[i].parent_;
        nodes[parent].first_ = nodes[i].next_;
        if (nodes[i].next_ != DX_HTIP_P_NONE) nodes[nodes[i].next_].previous_ = DX_HTIP_P_NONE;
        nodes[i].parent_ = nodes[i].next_ = DX_HTIP_P_NONE;
        n->used--;
        i = parent;
    }
}

static void dx_htip_p_remove_node(dx_htip_nodes *n, uint32_t i)
{
    dx_htip_node *node = &n->nodes_[i];
    DX_HTIP_ASSERT(i != 0 && dx_htip_is_node(n, i));
    dx_htip_p_remove_below(n, i);
    DX_HTIP_ASSERT(n->used);
    if (node->previous_ == DX_HTIP_P_NONE) n->nodes_[node->parent_].first_ = node->next_;
    else n->nodes_[node->previous_].next_ = node->next_;
    if (node->next_ != DX_HTIP_P_NONE) n->nodes_[node->next_].previous_ = node->previous_;
    node->parent_ = node->next_ = node->previous_ = DX_HTIP_P_NONE;
    n->used--;
}

/* >>rendering -----------------------------------------------------------
   Three passes over the operations: tables and arguments (above); nodes, in the registry itself,
   with a copy for a rollback; then the callback, which cannot fail. Only the third is seen outside:

       bytes --check--> stream --follow--> nodes --do--> apply() for each operation
                  |                  |
                error              error: nodes = copy, apply() was never called */

/* `rows` is how many more nodes ROWS operations may create. A stream can remove and create rows in
   few bytes, so this limit bounds its time. All numbers are checked before the first node is added,
   but an error needs no undo here: dx_htip_render() rolls back. */
static int dx_htip_p_follow_clones(const dx_htip_p_stream *s, dx_htip_nodes *n, const uint8_t *p,
                                   uint32_t *rows)
{
    const uint8_t *entry = dx_htip_p_template(s, dx_htip_p_load16(p + 4));
    const uint32_t slots = entry[4];
    const uint32_t parent = dx_htip_p_load16(p + 6);
    const uint32_t count = p[0] == DX_HTIP_ROWS ? dx_htip_p_load16(p + 8) : 1;
    const uint32_t size = count * (1 + slots);
    const uint32_t first = dx_htip_p_load16(p + 2);
    uint32_t       i;
    DX_HTIP_ASSERT(entry && slots <= DX_HTIP_SLOTS_MAX);
    if (!dx_htip_is_node(n, parent)) return DX_HTIP_ENODE;
    if (first >= n->count || size > n->count - first) return DX_HTIP_ENODEMAX;
    if (p[0] == DX_HTIP_ROWS) {
        if (size > *rows) return DX_HTIP_ENODEMAX;
        *rows -= size;
    }
    for (i = 0; i < size; i++)
        if (dx_htip_is_node(n, first + i)) return DX_HTIP_ENODEUSED;
    for (i = 0; i < size; i++) {
        const uint32_t slot = i % (1 + slots);
        dx_htip_p_add_node(n, first + i, slot ? first + i - slot : parent, slot != 0);
    }
    return DX_HTIP_OK;
}

/* A clone moves before another one of its parent. The registry keeps no order, so this only checks
   and changes nothing. */
static int dx_htip_p_follow_move(const dx_htip_nodes *n, uint32_t node, uint32_t before)
{
    if (n->nodes_[node].slot_) return DX_HTIP_ENODE;
    if (before == 0) return DX_HTIP_OK;
    if (!dx_htip_is_node(n, before) || n->nodes_[before].slot_) return DX_HTIP_ENODE;
    return n->nodes_[before].parent_ == n->nodes_[node].parent_ ? DX_HTIP_OK : DX_HTIP_ENODE;
}

/* Apply one operation to the nodes. */
static int dx_htip_p_follow(const dx_htip_p_stream *s, dx_htip_nodes *n, const uint8_t *p,
                            uint32_t *rows)
{
    const uint32_t node = dx_htip_p_load16(p + 2);
    if (*p == DX_HTIP_BATCH || *p == DX_HTIP_COMMIT) return DX_HTIP_OK;
    if (*p == DX_HTIP_CLONE || *p == DX_HTIP_ROWS) return dx_htip_p_follow_clones(s, n, p, rows);
    if (!dx_htip_is_node(n, node) || node == 0) return DX_HTIP_ENODE; /* not the page itself */
    if (*p == DX_HTIP_REMOVE) dx_htip_p_remove_node(n, node);
    if (*p == DX_HTIP_TEXT) dx_htip_p_remove_below(n, node);
    if (*p == DX_HTIP_MOVE) return dx_htip_p_follow_move(n, node, dx_htip_p_load16(p + 4));
    return DX_HTIP_OK;
}

/* Expand ROWS, so that a host needs to know only clones and texts. */
static void dx_htip_p_do_rows(const dx_htip_p_stream *s, const uint8_t *p, dx_htip_apply *apply,
                              void *user)
{
    const dx_htip_text none = {NULL, 0};
    const uint8_t     *entry = dx_htip_p_template(s, dx_htip_p_load16(p + 4));
    const dx_htip_text markup = dx_htip_p_string(s, dx_htip_p_load16(entry + 2));
    const uint16_t     parent = (uint16_t)dx_htip_p_load16(p + 6);
    uint32_t           count = dx_htip_p_load16(p + 8);
    uint32_t           text = dx_htip_p_load16(p + 10);
    uint32_t           node = dx_htip_p_load16(p + 2);
    DX_HTIP_ASSERT(entry && p[0] == DX_HTIP_ROWS);
    for (; count; count--) {
        uint32_t slot;
        apply(user, DX_HTIP_CLONE, (uint16_t)node, parent, markup, none);
        node++;
        for (slot = 0; slot < entry[4]; slot++) {
            apply(user, DX_HTIP_TEXT, (uint16_t)node, 0, dx_htip_p_string(s, text), none);
            node++;
            text++;
        }
    }
}

/* Resolve the strings of one operation and hand it to the host. The first two passes have accepted
   it, so nothing is checked here. */
static void dx_htip_p_do(const dx_htip_p_stream *s, const uint8_t *p, dx_htip_apply *apply,
                         void *user)
{
    dx_htip_text   a = {NULL, 0};
    dx_htip_text   b = {NULL, 0};
    const uint16_t node = (uint16_t)dx_htip_p_load16(p + 2);
    uint16_t       other = 0;
    if (*p == DX_HTIP_ROWS) {
        dx_htip_p_do_rows(s, p, apply, user);
        return;
    }
    if (dx_htip_p_op_size(*p) == 8) {
        const uint32_t first = dx_htip_p_load16(p + 4);
        other = (uint16_t)dx_htip_p_load16(p + 6);
        if (*p == DX_HTIP_MOVE) {
            other = (uint16_t)first;
        } else if (*p == DX_HTIP_CLONE) {
            DX_HTIP_ASSERT(dx_htip_p_template(s, first));
            a = dx_htip_p_string(s, dx_htip_p_load16(dx_htip_p_template(s, first) + 2));
        } else {
            a = dx_htip_p_string(s, first);
        }
    }
    if (*p == DX_HTIP_ATTR || *p == DX_HTIP_STYLE) b = dx_htip_p_string(s, other);
    apply(user, (dx_htip_op)*p, node, other, a, b);
}

DX_HTIP_API int dx_htip_render(dx_htip_nodes *n, const void *bytes, size_t size,
                               dx_htip_apply *apply, void *user)
{
    const size_t     nodes_size = n->count * sizeof(dx_htip_node);
    const uint32_t   used = n->used;
    uint32_t         rows = DX_HTIP_NODES_MAX;
    dx_htip_p_stream s;
    const uint8_t   *p;
    uint32_t         i;
    int              error;
    if (!bytes) return DX_HTIP_EINVAL;
    error = dx_htip_p_open(&s, (const uint8_t *)bytes, size);
    if (error) return error;
    DX_HTIP_MEMCPY(n->before_, n->nodes_, nodes_size);
    p = s.ops;
    for (i = 0; i < s.op_count && !error; i++) {
        error = dx_htip_p_follow(&s, n, p, &rows);
        p += dx_htip_p_op_size(*p);
    }
    if (error) {
        DX_HTIP_MEMCPY(n->nodes_, n->before_, nodes_size);
        n->used = used;
        return error;
    }
    DX_HTIP_ASSERT(p == s.end && n->used < n->count);
    p = s.ops;
    for (i = 0; i < s.op_count && apply; i++) {
        dx_htip_p_do(&s, p, apply, user);
        p += dx_htip_p_op_size(*p);
    }
    return DX_HTIP_OK;
}

/* >>strings -------------------------------------------------------------
   The writer's memory is five consecutive tables. All but the first are already in the form of the
   stream, so finishing is four copies:

       | table 4 each | string entries 8 each | template entries | operations | texts ... |

   The first is a hash table from the content of a string to its number + 1 (0: a free place), with
   linear probing. It has at least 1.5 places for each string, so a search always ends. */
static void dx_htip_p_store(uint8_t *p, uint64_t v, unsigned size)
{
    unsigned i;
    DX_HTIP_ASSERT(size <= 8);
    for (i = 0; i < size; i++) p[i] = (uint8_t)(v >> (8 * i) & 255);
}

static void dx_htip_p_empty(dx_htip_writer *w)
{
    w->string_count_ = w->template_count_ = w->op_count_ = w->ops_size_ = w->text_size_ = 0;
    w->error_ = DX_HTIP_OK;
    DX_HTIP_MEMSET(w->table_, 0, ((size_t)w->table_mask_ + 1) * sizeof *w->table_);
}

DX_HTIP_API int dx_htip_writer_init(dx_htip_writer *w, const dx_htip_writer_desc *desc)
{
    const uint64_t strings_limit = 65535;
    uint64_t       strings, templates, ops, table, fixed;
    uint8_t       *memory;
    if (!w || !desc || !desc->memory || ((uintptr_t)desc->memory & 3)) return DX_HTIP_EINVAL;
    strings = desc->strings_max ? desc->strings_max : desc->memory_size / 64;
    if (strings > strings_limit) strings = strings_limit;
    templates = desc->templates_max ? desc->templates_max : 16;
    if (templates > DX_HTIP_P_TEMPLATES_MAX) templates = DX_HTIP_P_TEMPLATES_MAX;
    ops = desc->ops_size_max ? desc->ops_size_max : desc->memory_size / 4;
    if (ops > UINT32_MAX / 2) ops = UINT32_MAX / 2;
    table = 4;
    while (table < strings + strings / 2) table *= 2;
    fixed = table * 4 + (strings + templates) * DX_HTIP_P_ENTRY_SIZE + ops;
    if (fixed > desc->memory_size) return DX_HTIP_EINVAL;
    memory = (uint8_t *)desc->memory;
    w->table_ = (uint32_t *)desc->memory;
    w->entries_ = memory + table * 4;
    w->templates_ = w->entries_ + strings * DX_HTIP_P_ENTRY_SIZE;
    w->ops_ = w->templates_ + templates * DX_HTIP_P_ENTRY_SIZE;
    w->text_ = w->ops_ + ops;
    w->table_mask_ = (uint32_t)table - 1;
    w->strings_max_ = (uint32_t)strings;
    w->templates_max_ = (uint32_t)templates;
    w->ops_size_max_ = (uint32_t)ops;
    fixed = desc->memory_size - fixed;
    w->text_size_max_ = fixed > UINT32_MAX / 4 ? UINT32_MAX / 4 : (uint32_t)fixed;
    DX_HTIP_ASSERT((table & (table - 1)) == 0 && strings < table);
    dx_htip_p_empty(w);
    return DX_HTIP_OK;
}

/* The place of a string in the table, or a free place for it. The hash only selects where to look:
   strings are compared completely. */
static uint32_t dx_htip_p_find(const dx_htip_writer *w, dx_htip_text text)
{
    uint32_t hash = 2166136261u;
    uint32_t i;
    DX_HTIP_ASSERT(w->string_count_ <= w->strings_max_ && w->strings_max_ <= w->table_mask_);
    for (i = 0; i < text.size; i++) hash = (hash ^ text.data[i]) * 16777619u;
    hash ^= hash >> 15;
    for (i = hash & w->table_mask_; w->table_[i]; i = (i + 1) & w->table_mask_) {
        const uint8_t *entry = w->entries_ + (size_t)DX_HTIP_P_ENTRY_SIZE * (w->table_[i] - 1);
        const uint8_t *there = w->text_ + dx_htip_p_load32(entry);
        if (dx_htip_p_load16(entry + 4) != text.size) continue;
        if (!text.size || !DX_HTIP_MEMCMP(there, text.data, text.size)) break;
    }
    return i;
}

/* The number of a string, which is added if it is new, or an error; then nothing has changed. */
static int dx_htip_p_intern(dx_htip_writer *w, dx_htip_text text)
{
    uint32_t at;
    uint8_t *entry;
    DX_HTIP_ASSERT(w->text_size_ <= w->text_size_max_);
    if (text.size > 65535) return DX_HTIP_EINVAL;
    at = dx_htip_p_find(w, text);
    if (w->table_[at]) return (int)(w->table_[at] - 1);
    if (w->string_count_ == w->strings_max_) return DX_HTIP_ENOSPACE;
    if (text.size > w->text_size_max_ - w->text_size_) return DX_HTIP_ENOSPACE;
    entry = w->entries_ + (size_t)DX_HTIP_P_ENTRY_SIZE * w->string_count_;
    dx_htip_p_store(entry, w->text_size_, 4);
    dx_htip_p_store(entry + 4, text.size, 4);
    if (text.size) DX_HTIP_MEMCPY(w->text_ + w->text_size_, text.data, text.size);
    w->text_size_ += text.size;
    w->table_[at] = ++w->string_count_;
    return (int)w->string_count_ - 1;
}

/* >>writing -------------------------------------------------------------
   Each call interns its strings, then appends one operation that refers to them by number:

       set_text(node 2, "Hi")   strings  | ... | 5: "Hi" |     operations  | ... | TEXT 2 5 0 |

   A string that was interned for an operation that then did not fit stays; it costs bytes in a
   stream that will not be finished anyway, because errors stick. */
static int dx_htip_p_fail(dx_htip_writer *w, int error)
{
    DX_HTIP_ASSERT(error < 0);
    if (!w->error_) w->error_ = error;
    return error;
}

/* Add an operation; count and text only for ROWS. a or b below zero is the error of a string. */
static int dx_htip_p_add(dx_htip_writer *w, dx_htip_op op, uint16_t node, int a, int b)
{
    const uint32_t size = dx_htip_p_op_size((uint8_t)op);
    uint8_t       *p;
    DX_HTIP_ASSERT(w->ops_size_ <= w->ops_size_max_);
    if (a < 0) return dx_htip_p_fail(w, a);
    if (b < 0) return dx_htip_p_fail(w, b);
    if (size > w->ops_size_max_ - w->ops_size_) return dx_htip_p_fail(w, DX_HTIP_ENOSPACE);
    p = w->ops_ + w->ops_size_;
    dx_htip_p_store(p, (uint32_t)op, 2);
    dx_htip_p_store(p + 2, node, 2);
    if (size > 4) {
        dx_htip_p_store(p + 4, (uint32_t)a, 2);
        dx_htip_p_store(p + 6, (uint32_t)b, 2);
    }
    w->ops_size_ += size;
    w->op_count_++;
    return DX_HTIP_OK;
}

DX_HTIP_API int dx_htip_add_template(dx_htip_writer *w, uint16_t id, const char *markup,
                                     size_t size)
{
    uint8_t     *entry = w->templates_ + (size_t)DX_HTIP_P_ENTRY_SIZE * w->template_count_;
    dx_htip_text text;
    int          slots, string;
    DX_HTIP_ASSERT(w->template_count_ <= w->templates_max_);
    if (size / 65536) return dx_htip_p_fail(w, DX_HTIP_EINVAL);
    if (w->template_count_ && id <= dx_htip_p_load16(entry - DX_HTIP_P_ENTRY_SIZE))
        return dx_htip_p_fail(w, DX_HTIP_EINVAL);
    if (w->template_count_ == w->templates_max_) return dx_htip_p_fail(w, DX_HTIP_ENOSPACE);
    text.data = (const uint8_t *)markup;
    text.size = (uint32_t)size;
    string = dx_htip_p_intern(w, text);
    if (string < 0) return dx_htip_p_fail(w, string);
    slots = dx_htip_read_markup(text, NULL, NULL); /* wrong markup is left to the reader */
    dx_htip_p_store(entry, id, 2);
    dx_htip_p_store(entry + 2, (uint32_t)string, 2);
    dx_htip_p_store(entry + 4, slots < 0 ? 255u : (uint32_t)slots, 4);
    w->template_count_++;
    return DX_HTIP_OK;
}

DX_HTIP_API int dx_htip_clone(dx_htip_writer *w, uint16_t node, uint16_t id, uint16_t parent)
{
    return dx_htip_p_add(w, DX_HTIP_CLONE, node, id, parent);
}

DX_HTIP_API int dx_htip_set_text(dx_htip_writer *w, uint16_t node, dx_htip_text text)
{
    return dx_htip_p_add(w, DX_HTIP_TEXT, node, dx_htip_p_intern(w, text), 0);
}

DX_HTIP_API int dx_htip_set_attribute(dx_htip_writer *w, uint16_t node, dx_htip_text name,
                                      dx_htip_text value)
{
    const int a = dx_htip_p_intern(w, name);
    return dx_htip_p_add(w, DX_HTIP_ATTR, node, a, dx_htip_p_intern(w, value));
}

DX_HTIP_API int dx_htip_set_style(dx_htip_writer *w, uint16_t node, dx_htip_text property,
                                  dx_htip_text value)
{
    const int a = dx_htip_p_intern(w, property);
    return dx_htip_p_add(w, DX_HTIP_STYLE, node, a, dx_htip_p_intern(w, value));
}

DX_HTIP_API int dx_htip_set_class(dx_htip_writer *w, uint16_t node, dx_htip_text name, bool on)
{
    return dx_htip_p_add(w, DX_HTIP_CLASS, node, dx_htip_p_intern(w, name), on);
}

DX_HTIP_API int dx_htip_remove(dx_htip_writer *w, uint16_t node)
{
    return dx_htip_p_add(w, DX_HTIP_REMOVE, node, 0, 0);
}

DX_HTIP_API int dx_htip_move(dx_htip_writer *w, uint16_t node, uint16_t before)
{
    return dx_htip_p_add(w, DX_HTIP_MOVE, node, before, 0);
}

DX_HTIP_API int dx_htip_begin(dx_htip_writer *w)
{
    return dx_htip_p_add(w, DX_HTIP_BATCH, 0, 0, 0);
}

DX_HTIP_API int dx_htip_commit(dx_htip_writer *w)
{
    return dx_htip_p_add(w, DX_HTIP_COMMIT, 0, 0, 0);
}

/* Rows give only their first text's number, so texts are stored consecutively, even known ones. */
DX_HTIP_API int dx_htip_rows(dx_htip_writer *w, uint16_t node, uint16_t id, uint16_t parent,
                             uint16_t count, const dx_htip_text *texts, uint16_t slots)
{
    const uint32_t text_count = (uint32_t)count * slots;
    const uint32_t first = text_count ? w->string_count_ : 0;
    uint64_t       size = 0;
    uint32_t       i;
    int            error;
    for (i = 0; i < text_count; i++) {
        if (texts[i].size > 65535) return dx_htip_p_fail(w, DX_HTIP_EINVAL);
        size += texts[i].size;
    }
    if (text_count > w->strings_max_ - w->string_count_) error = DX_HTIP_ENOSPACE;
    else if (size > w->text_size_max_ - w->text_size_) error = DX_HTIP_ENOSPACE;
    else error = dx_htip_p_add(w, DX_HTIP_ROWS, node, id, parent);
    if (error) return dx_htip_p_fail(w, error);
    DX_HTIP_ASSERT(w->ops_size_ >= dx_htip_p_op_size(DX_HTIP_ROWS));
    dx_htip_p_store(w->ops_ + w->ops_size_ - 4, count, 2);
    dx_htip_p_store(w->ops_ + w->ops_size_ - 2, first, 2);
    for (i = 0; i < text_count; i++) {
        uint8_t *entry = w->entries_ + (size_t)DX_HTIP_P_ENTRY_SIZE * w->string_count_;
        dx_htip_p_store(entry, w->text_size_, 4);
        dx_htip_p_store(entry + 4, texts[i].size, 4);
        if (texts[i].size)
            DX_HTIP_MEMCPY(w->text_ + w->text_size_, texts[i].data, texts[i].size);
        w->text_size_ += texts[i].size;
        w->string_count_++;
    }
    return DX_HTIP_OK;
}

DX_HTIP_API int dx_htip_finish(dx_htip_writer *w, void *out, size_t capacity, size_t *size)
{
    const uint32_t strings_size = DX_HTIP_P_ENTRY_SIZE * w->string_count_;
    const uint32_t templates_size = DX_HTIP_P_ENTRY_SIZE * w->template_count_;
    const uint64_t payload =
        (uint64_t)strings_size + w->text_size_ + templates_size + w->ops_size_;
    uint8_t *p = (uint8_t *)out;
    DX_HTIP_ASSERT(w->text_size_ <= w->text_size_max_ && w->ops_size_ <= w->ops_size_max_);
    *size = 0;
    if (w->error_) return w->error_;
    if (payload > UINT32_MAX - DX_HTIP_P_HEADER_SIZE) return DX_HTIP_ENOSPACE;
    *size = (size_t)payload + DX_HTIP_P_HEADER_SIZE;
    if (!p || capacity < *size) return DX_HTIP_ENOSPACE;
    dx_htip_p_store(p, DX_HTIP_P_MAGIC, 2);
    p[2] = DX_HTIP_P_VERSION;
    p[3] = (uint8_t)((w->string_count_ ? 1 : 0) | (w->template_count_ ? 2 : 0));
    dx_htip_p_store(p + 4, w->template_count_, 2);
    dx_htip_p_store(p + 6, w->string_count_, 2);
    dx_htip_p_store(p + 8, w->op_count_, 4);
    dx_htip_p_store(p + 12, payload, 4);
    p += DX_HTIP_P_HEADER_SIZE;
    DX_HTIP_MEMCPY(p, w->entries_, strings_size);
    p += strings_size;
    DX_HTIP_MEMCPY(p, w->text_, w->text_size_);
    p += w->text_size_;
    DX_HTIP_MEMCPY(p, w->templates_, templates_size);
    DX_HTIP_MEMCPY(p + templates_size, w->ops_, w->ops_size_);
    dx_htip_p_empty(w);
    return DX_HTIP_OK;
}

#endif /* DX_HTIP_IMPLEMENTATION */

/* >>license -------------------------------------------------------------
   Choose whichever you prefer:

   ALTERNATIVE A - MIT No Attribution (MIT-0)
   Copyright (c) 2026 dx authors
   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
   associated documentation files (the "Software"), to deal in the Software without restriction,
   including without limitation the rights to use, copy, modify, merge, publish, distribute,
   sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
   furnished to do so. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
   IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR
   PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
   CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
   FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

   ALTERNATIVE B - Public domain (Unlicense)
   This is free and unencumbered software released into the public domain. Anyone is free to copy,
   modify, publish, use, compile, sell, or distribute this software, either in source code form or
   as a compiled binary, for any purpose, commercial or non-commercial, and by any means. In
   jurisdictions that recognize copyright laws, the author or authors of this software dedicate any
   and all copyright interest in the software to the public domain. THE SOFTWARE IS PROVIDED "AS
   IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED. IN NO EVENT SHALL THE AUTHORS BE LIABLE
   FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY ARISING FROM THE SOFTWARE OR ITS USE.
   See unlicense.org.
*/
