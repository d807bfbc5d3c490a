/*  dx_page.h - v0.3.0 - a page's components, bindings and lists, as operations for its document
              - MIT-0 or public domain, see end of file

    The half of a browser runtime that needs no browser: state with dirty bits, bindings from state
    to nodes, keyed lists, a scheduler. The output is a ring of 16-byte operations, which a few
    lines of JavaScript carry out once a frame (examples/www/page_ops.js).

    Do this in ONE C or C++ file:

        #define DX_PAGE_IMPLEMENTATION        (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_page.h"

    and include it elsewhere without the define. It stands on dx_htip.h: if that is not in the same
    folder, include it first, and define its implementation too. C99; also builds as C++11.

    QUICK EXAMPLE

        typedef struct counter {
            uint64_t dirty;                     // the first field of every component
            int32_t  count, step;
        } counter;
        static uint64_t memory[8192];           // 64 KiB
        dx_page page;
        dx_page_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.memory = memory;
        desc.static_size = 16384;
        desc.state_size = 16384;
        desc.queue_size = 32768;
        desc.capabilities = DX_PAGE_DOM_WRITE;
        if (dx_page_init(&page, &desc)) return 1;
        if (dx_page_add_template(&page, 1, dx_htip_text_of("<p><b data-slot=\"\"></b></p>")))
            return 1;
        dx_page_binding count;                  // bit 0 of the mask: the text of slot 1 is `count`
        memset(&count, 0, sizeof count);
        count.type = DX_PAGE_TEXT;
        count.form = DX_PAGE_INTEGER;
        count.slot = 1;
        count.value_offset = offsetof(counter, count);
        count.value_length = sizeof(int32_t);
        if (dx_page_add_component(&page, 1, 1, sizeof(counter), &count, 1)) return 1;
        dx_page_seal(&page);

        uint32_t node;
        if (dx_page_mount(&page, 1, 0, 0, 0, NULL, NULL, &node)) return 1;
        counter *state = (counter *)dx_page_state(&page, node);
        state->count++;
        dx_page_mark(&page, node, 0);
        dx_page_frame(&page);                   // a clone, its text "0", then its text "1"
        printf("%u operations\n", (unsigned)dx_page_pending(&page));
        dx_page_flushed(&page);

    CONTENTS (search >>)  config  errors  manifest  page  static  components  lists  events  frames
                          scheduler  platform  sealing  memory  registry  ring  values  mounting
                          order  updating  running  license

    GUARANTEES  Works in the memory that it was given; no globals; no recursion. An operation that
                does not fit is refused before it changes anything, or its dirty bits stay set, so
                nothing is lost. Operations are ordered like their causes. The handle of a removed
                node is refused. Marking, and each changed field, is O(1); a list is O(rows), or
                O(rows * log rows) when rows move; as few nodes as possible move.
    LIMITS      2^22 - 1 nodes (32 bytes each), 64 components, 256 templates and names, 64 fields a
                component. A stale handle is detected until its number was reused 1,023 times.
    SIZE        code: x86-64 12,547, Cortex-M0 8,565; objects: dx_page 6,896
    THREADS     One at a time for each page; another one may read its ring.
    CONFIG      DX_PAGE_STATIC, DX_PAGE_API, DX_PAGE_ASSERT(c), DX_PAGE_MEMCPY, DX_PAGE_MEMSET
    ERRORS      dx_page_error: 0 = ok, negative = reason
    OWNERSHIP   The caller owns page and memory; templates, names and bindings are copied.
*/
#ifndef DX_PAGE_H
#define DX_PAGE_H

#define DX_PAGE_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_HTIP_H
  #include "dx_htip.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_PAGE_API
  #ifdef DX_PAGE_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_PAGE_API static __attribute__((unused))
    #else
      #define DX_PAGE_API static
    #endif
  #else
    #define DX_PAGE_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>errors -------------------------------------------------------------
   A call that returns an error has changed nothing. Two of them are normal in a full frame and say
   what to do: EAGAIN, flush and call again; ETOOBIG, split the change, since no empty ring could
   hold it. */
#define DX_PAGE_ERRORS(X)                                                                  \
    X(0, OK)                                                                               \
    X(-1, EINVAL)      /* an argument breaks its documented contract */                    \
    X(-3, ENOSPACE)    /* the region is full; nothing has changed */                       \
    X(-4, ETOOBIG)     /* more operations than the ring can ever hold; nothing has changed */\
    X(-5, ECORRUPT)    /* a wrong checksum: of the manifest, or of the static region */    \
    X(-6, EAGAIN)      /* the ring is too full: flush first; nothing has changed */        \
    X(-9, ENOTFOUND)   /* no such component, template or handler */                        \
    X(-12, EVERSION)   /* a manifest of another version */                                 \
    X(-60, EMAGIC)     /* not a manifest */                                                \
    X(-61, ERESERVED)  /* a reserved byte of a manifest or binding is not zero */          \
    X(-62, ECAPABILITY) /* the manifest does not grant the capability */                   \
    X(-63, ESEALED)    /* the static region is sealed, or must be sealed first */          \
    X(-64, ENODE)      /* a stale handle, or no node */                                    \
    X(-65, EMARKUP)    /* a template that docs/formats/htip.md does not allow */           \
    X(-66, EBINDING)   /* a binding outside of its component's state, slots or names */    \
    X(-67, EDUPLICATE) /* the id or key exists already */                                  \
    X(-68, EBOUNDS)    /* an access outside of its own range */                            \
    X(-69, EUTF8)      /* text that is not UTF-8 */

typedef enum dx_page_error {
#define DX_PAGE_P_ERROR_IS(value, constant) DX_PAGE_##constant = value,
    DX_PAGE_ERRORS(DX_PAGE_P_ERROR_IS)
} dx_page_error;

/* "DX_PAGE_EAGAIN" and so on; "unknown error" for anything else. A static string. */
DX_PAGE_API const char *dx_page_error_name(int error);

/* >>manifest ------------------------------------------------------------
   The first bytes of a page's memory say which capabilities it has, so that a host can decide
   before it runs any of the page's code:

   | magic u32 "WWXD" | version u32 | capabilities u64 | CRC-32 u32 | 44 bytes of zero |

   The checksum covers the 64 bytes with its own field zero. A signature, if needed, covers the
   container of the manifest. */
enum { DX_PAGE_MANIFEST_SIZE = 64 };
#define DX_PAGE_MANIFEST_MAGIC 0x44585757u

typedef enum dx_page_capability { /* what a page requests from its host */
    DX_PAGE_DOM_WRITE     = 1 << 0,
    DX_PAGE_DOM_READ      = 1 << 1,
    DX_PAGE_NETWORK_FETCH = 1 << 2,
    DX_PAGE_LOCAL_STORAGE = 1 << 3,
    DX_PAGE_WORKER_SPAWN  = 1 << 4,
    DX_PAGE_GEOLOCATION   = 1 << 5,
    DX_PAGE_CAMERA        = 1 << 6,
    DX_PAGE_MICROPHONE    = 1 << 7
} dx_page_capability;

/* Write DX_PAGE_MANIFEST_SIZE bytes to out. capabilities: dx_page_capability bits. */
DX_PAGE_API void dx_page_write_manifest(void *out, uint64_t capabilities);
/* *capabilities: those of a valid manifest, else 0. size: bytes; more than 64 are not read. EMAGIC,
   EVERSION, ERESERVED, ECORRUPT, or EBOUNDS for less than 64. */
DX_PAGE_API int  dx_page_read_manifest(const void *bytes, size_t size, uint64_t *capabilities);

/* >>page ----------------------------------------------------------------
   A page is one block of memory that never grows. Its parts have different lifetimes: the static
   region is filled once and sealed, the state region changes with the nodes, the queue region is
   emptied once a frame. */

/* Write the text of one DX_PAGE_FORMAT binding to out and return its bytes; more than capacity: no
   room, and the binding is tried again in the next frame. which: the binding's value_offset; state:
   of the component with this id. It must not change the page. */
typedef uint32_t dx_page_format(void *user, uint32_t component, uint32_t which, const void *state,
                                uint8_t *out, uint32_t capacity);

/* Memory is three consecutive regions:

       static:  0 manifest | 40h names | 1000h templates ... | half of it: binding maps |
                                         (markup grows up, the bytes of names grow down from half)
       state:   components ->                                        <- nodes, 32 bytes each
       queue:   0 write index | 64 read index | 128 operations, 16 bytes each | text of a frame */
typedef struct dx_page_desc { /* zero = the default given after each field */
    void    *memory;       /* aligned to 8; bytes: the sum of the sizes; borrowed for the page's
                              life */
    uint32_t static_size;  /* bytes: 2 MiB; a multiple of 16, at least
                              12 KiB: markup and names have half of it less 4 KiB */
    uint32_t state_size;   /* bytes: 8 MiB; a multiple of 64 */
    uint32_t queue_size;   /* bytes: 6 MiB; a multiple of 64, at least 1 KiB; a third is for
                              operations */
    uint64_t capabilities; /* dx_page_capability bits that the host grants; none */
    dx_page_format *format; /* writes the text of DX_PAGE_FORMAT bindings; returns its bytes */
    void    *user;         /* for format */
    uint64_t budget_ns;    /* of dx_page_run(): 4 ms */
    uint64_t yield_ns;     /* 7/8 of it: 3.5 ms */
    uint64_t idle_ns;      /* half of it: 2 ms */
    uint32_t patience;     /* frames without a turn before a level gets one; 60 */
} dx_page_desc;

enum {
    DX_PAGE_COMPONENTS_MAX = 64,
    DX_PAGE_TEMPLATES_MAX  = 256,
    DX_PAGE_NAMES_MAX      = 256,
    DX_PAGE_HANDLERS_MAX   = 64,
    DX_PAGE_NODES_MAX      = ((int32_t)1 << 22) - 1,
    DX_PAGE_LEVELS         = 3
};

typedef struct dx_page dx_page;
typedef struct dx_page_task dx_page_task;
/* Set by dx_page_on(). data, size (bytes): those of dx_page_event(), borrowed for the call. */
typedef void dx_page_handler(void *user, dx_page *page, uint32_t node, const void *data,
                             size_t size);

struct dx_page_task { /* caller-allocated; lent from dx_page_push() until fn is called */
    void (*fn)(void *user);
    void         *user;
    dx_page_task *next_;
};

typedef struct dx_page_p_component {
    uint32_t id, template_id, state_size;
    uint32_t map, binding_count; /* where its bindings are in the static region */
    uint32_t free, free_count;   /* states for reuse */
    uint64_t mask;               /* bits that have bindings */
} dx_page_p_component;

typedef struct dx_page_p_template {
    uint32_t offset, size;
    uint32_t slots; /* + 1; 0: no template */
} dx_page_p_template;

struct dx_page { /* caller-allocated; fields are private */
    uint8_t        *static_, *state_, *queue_;
    uint32_t        static_size_, state_size_, queue_size_;
    uint32_t        template_end_, name_begin_, map_end_, static_crc_;
    uint64_t        capabilities_;
    dx_page_format *format_;
    void           *user_;
    bool            sealed_;
    uint32_t        template_count_, name_count_, component_count_;
    uint32_t        state_end_;          /* bytes of the state region handed out */
    uint32_t        node_count_;         /* numbers ever used, including node 0 */
    uint32_t        free_, free_count_;  /* numbers for reuse */
    uint32_t        used_;               /* nodes, without node 0 */
    uint32_t        generation_;         /* of new nodes; clear increments it */
    uint32_t        dirty_first_, dirty_last_;
    uint32_t        ops_mask_;
    uint32_t        reserved_; /* operations reserved by a list; bindings leave room for them */
    uint32_t        text_begin_, text_limit_, text_size_, text_units_;
    dx_page_p_component components_[DX_PAGE_COMPONENTS_MAX];
    dx_page_p_template  templates_[DX_PAGE_TEMPLATES_MAX];
    dx_page_handler    *handlers_[DX_PAGE_HANDLERS_MAX];
    void               *handler_users_[DX_PAGE_HANDLERS_MAX];
    dx_page_task       *first_[DX_PAGE_LEVELS], *last_[DX_PAGE_LEVELS];
    uint64_t            limit_ns_[DX_PAGE_LEVELS];
    uint32_t            waiting_[DX_PAGE_LEVELS]; /* frames without a turn */
    uint32_t            patience_;
};

/* Start an empty page with node 0. EINVAL: memory, its alignment, a size, or times of the scheduler
   that ascend (budget_ns >= yield_ns >= idle_ns). */
DX_PAGE_API int  dx_page_init(dx_page *p, const dx_page_desc *desc);
/* Were all, or any, of these bits granted? */
DX_PAGE_API bool dx_page_has_all(const dx_page *p, uint64_t capabilities);
DX_PAGE_API bool dx_page_has_any(const dx_page *p, uint64_t capabilities);

/* >>static --------------------------------------------------------------
   Templates and names are added before the page runs and never change after, so bindings refer to
   them by number, and the host reads them once. Everything is copied into the static region. */
/* Add a template; its markup is copied. id: 1 to 255. EMARKUP, EDUPLICATE, ESEALED, ENOSPACE. */
DX_PAGE_API int dx_page_add_template(dx_page *p, uint32_t id, dx_htip_text markup);
/* Load a registry of templates, all or none; size: bytes. EBOUNDS: it is truncated, or longer than
   its entries; else as dx_page_add_template().

       | count u32 | id u32 | size u32 | markup | id u32 | size u32 | markup | ... */
DX_PAGE_API int dx_page_load_templates(dx_page *p, const void *bytes, size_t size);
/* A number for the name of an attribute, class or style, for bindings; >= 0, or EINVAL (a name that
   none of the three may have: dx_htip_is_name()), EUTF8, ESEALED, ENOSPACE. A name that is added
   twice has two numbers. */
DX_PAGE_API int dx_page_add_name(dx_page *p, dx_htip_text name);
/* Freeze the static region and remember its CRC-32; now components can be mounted. O(its bytes). */
DX_PAGE_API void dx_page_seal(dx_page *p);
/* ECORRUPT: the sealed region has changed. ESEALED: it is not sealed yet. O(its bytes). */
DX_PAGE_API int  dx_page_check_static(const dx_page *p);

/* >>components ----------------------------------------------------------
   A component is a template, a state, and bindings from fields of the state to slots of the
   template. Code changes the state and marks a field; the next frame emits its bindings:

       state        | dirty mask u64 | count i32 | step i32 |
                            bit 0 ------^
       binding      bit 0, type TEXT, form INTEGER, slot 1, value_offset 8
       operation    TEXT of slot 1: "7" */
typedef enum dx_page_type {
    DX_PAGE_TEXT      = 1, /* the slot's text */
    DX_PAGE_ATTRIBUTE = 2, /* name: the attribute */
    DX_PAGE_CLASS     = 3, /* name: the class, on if the value has a nonzero byte */
    DX_PAGE_STYLE     = 4  /* name: the property */
} dx_page_type;

typedef enum dx_page_form { /* how a value is converted to text */
    DX_PAGE_BYTES   = 0, /* UTF-8 up to value_length bytes, or the first zero byte */
    DX_PAGE_INTEGER = 1, /* an int32_t, in decimal; value_length 4 */
    DX_PAGE_FORMAT  = 2  /* desc.format writes it; value_offset is its `which` */
} dx_page_form;

typedef struct dx_page_binding { /* 20 bytes */
    uint8_t  bit;          /* of the dirty mask, 0 to 63 */
    uint8_t  type;         /* dx_page_type */
    uint8_t  form;         /* dx_page_form */
    uint8_t  reserved;     /* 0 */
    uint32_t slot;         /* of the component's clone: 0 its root, 1 the first slot ... */
    uint32_t name_id;      /* dx_page_add_name(); 0 for a text */
    uint32_t value_offset; /* bytes from the start of the component's state */
    uint32_t value_length; /* bytes */
} dx_page_binding;

/* A component: a template, and a state of state_size bytes (at least 8) that begins with its dirty
   mask. Bindings may come in any order, and are copied. id: not 0. EBINDING: also a name that its
   type may not have, such as the attribute onclick; EDUPLICATE, ENOTFOUND: no such template,
   ERESERVED, ESEALED, ENOSPACE. */
DX_PAGE_API int dx_page_add_component(dx_page *p, uint32_t id, uint32_t template_id,
                                      uint32_t state_size, const dx_page_binding *bindings,
                                      uint32_t count);

/* Set the state of a new node, which is zero; key: of the row, or 0. It must not add or remove
   nodes. Every binding is emitted afterwards, so it need not mark fields. */
typedef void dx_page_fill(void *user, uint32_t key, void *state);

/* Insert one clone into slot `slot` of node `parent` (0: the page), before node `before` or (0) at
   the end; fill, unless NULL, sets its state, which is zero at first. *node: its handle, 0 after an
   error. Needs DX_PAGE_DOM_WRITE. ENODE: parent or before; ENOTFOUND: component; ESEALED: not
   sealed yet; ECAPABILITY; ENOSPACE: the state region; EAGAIN: the ring. O(bindings). */
DX_PAGE_API int   dx_page_mount(dx_page *p, uint32_t component, uint32_t parent, uint32_t slot,
                                uint32_t before, dx_page_fill *fill, void *user, uint32_t *node);
/* Remove a node and everything below it. ENODE for a row, which only its list removes; ECAPABILITY;
   EAGAIN, ETOOBIG: the ring. O(nodes removed). */
DX_PAGE_API int   dx_page_unmount(dx_page *p, uint32_t node);
/* A node's state, aligned to 8, owned by the page and valid until the node is removed; NULL: no
   such node. */
DX_PAGE_API void *dx_page_state(dx_page *p, uint32_t node);
/* Copy size bytes of it from or to offset (bytes), bounds-checked: EBOUNDS, ENODE. Write marks
   `bit` (EINVAL above 63) and refuses the dirty mask, the first 8 bytes (EBOUNDS). */
DX_PAGE_API int   dx_page_read(dx_page *p, uint32_t node, uint32_t offset, void *out,
                               uint32_t size);
DX_PAGE_API int   dx_page_write(dx_page *p, uint32_t node, uint32_t offset, const void *bytes,
                                uint32_t size, uint32_t bit);
/* Mark field `bit` of a node's state as changed. ENODE; EINVAL: above 63. O(1). */
DX_PAGE_API int   dx_page_mark(dx_page *p, uint32_t node, uint32_t bit);
/* The key of a row in its list; 0 for other nodes. */
DX_PAGE_API uint32_t dx_page_key(const dx_page *p, uint32_t node);
/* The handle of a node from its number, as used in operations; 0: no such node. */
DX_PAGE_API uint32_t dx_page_handle(const dx_page *p, uint32_t number);
/* Nodes on the page, without node 0. */
DX_PAGE_API uint32_t dx_page_used(const dx_page *p);

/* >>lists ---------------------------------------------------------------
   A list keeps the rows in a slot equal to an array of keys. The caller passes the keys as they
   should be; the list finds what was added, removed and moved:

       keys before    7 3 9                 REMOVE the node of 3
       keys after     7 9 4                 CLONE for 4, at the end; 7 and 9 keep node and state */
typedef struct dx_page_list { /* caller-allocated; zero and set these: */
    uint32_t      component; /* of its rows */
    uint32_t      parent;    /* node and slot, which must hold nothing else */
    uint32_t      slot;
    uint32_t     *keys;      /* room for capacity of them; the current rows; borrowed */
    uint32_t     *nodes;     /* the same for their handles */
    uint32_t      capacity;  /* rows */
    dx_page_fill *fill;      /* for new rows */
    void         *user;
    uint32_t      count;     /* rows; private, as are keys and nodes */
} dx_page_list;

/* Make the rows those of keys, in that order: rows whose keys remain keep node and state, others
   are removed or added. keys: not list->keys; NULL only without any. EDUPLICATE: a key is there
   twice. Errors as dx_page_mount(), ETOOBIG, and ENOSPACE for more than capacity. Needs room for
   text in the queue region, at most 48 bytes for each row between the unchanged ones at both ends;
   none if the keys ascend and rows are only added there, or only removed. */
DX_PAGE_API int dx_page_list_update(dx_page *p, dx_page_list *list, const uint32_t *keys,
                                    uint32_t count);

/* >>events --------------------------------------------------------------
   The host listens, not the page: it finds the closest element with data-on, and the closest node
   around it, and passes both as numbers.

       <li> ... <button data-on="click:3">     a click: dx_page_event(page, 3, number of li, ...) */
/* Set the handler for elements with data-on="TYPE:handler" (examples/www/page_ops.js); fn NULL:
   none. EINVAL: not below DX_PAGE_HANDLERS_MAX. */
DX_PAGE_API int dx_page_on(dx_page *p, uint32_t handler, dx_page_handler *fn, void *user);
/* Call the handler for an event from the host at a node (by number; 0: the page). All arguments may
   be wrong: ENODE, ENOTFOUND, ECAPABILITY: needs DX_PAGE_DOM_READ. data, size (bytes) are passed on
   unread. */
DX_PAGE_API int dx_page_event(dx_page *p, uint32_t handler, uint32_t number, const void *data,
                              size_t size);

/* >>frames --------------------------------------------------------------
   Once a frame, the page writes what has changed into a ring, and the host carries it out. Fields
   that were marked twice are written once. Each entry is 16 bytes:

   | opcode u8 | slot u8 | name u16 | node u32 | b u32 | c u32 |    16 bytes, little-endian

   Texts are ranges of the frame's text, in UTF-16 units, so a host decodes one string for all. */
typedef enum dx_page_op { /* b, c of a text: where it begins, and its size, in UTF-16 units */
    DX_PAGE_OP_CLONE  = 1,  /* name: template, into a slot of node; b: first of c numbers */
    DX_PAGE_OP_TEXT   = 2,  /* b, c: text */
    DX_PAGE_OP_ATTR   = 3,  /* b, c: text */
    DX_PAGE_OP_REMOVE = 4,
    DX_PAGE_OP_CLASS  = 5,  /* b: 1 on, 0 off */
    DX_PAGE_OP_STYLE  = 6,  /* b, c: text */
    DX_PAGE_OP_MOVE   = 7,  /* b moves in a slot of node, before c or (0) to its end */
    DX_PAGE_OP_AT     = 8,  /* the next CLONE goes before node, not to the end */
    DX_PAGE_OP_CLEAR  = 9,  /* a slot of node becomes empty */
    DX_PAGE_OP_FORGET = 10  /* b numbers from node on are free */
} dx_page_op;

typedef struct dx_page_operation {
    uint8_t  opcode, slot;
    uint16_t name;
    uint32_t node, b, c;
} dx_page_operation;

typedef struct dx_page_flush { /* a host's view of one frame */
    const void *ops;          /* a ring: operation i is at i & mask */
    uint32_t    mask, read, write; /* pending: read up to write, which wrap at 2^32 */
    const void *text;              /* of all operations, UTF-8; valid until dx_page_flushed() */
    uint32_t    text_size;         /* bytes */
} dx_page_flush;

/* Turn dirty bits into operations; those that do not fit stay dirty. Returns how many operations
   are pending. O(marked fields). */
DX_PAGE_API uint32_t dx_page_frame(dx_page *p);
/* Operations that the host has not carried out. */
DX_PAGE_API uint32_t dx_page_pending(const dx_page *p);
/* The ring and the text of the pending operations; valid until the page is used again. */
DX_PAGE_API void     dx_page_get_flush(const dx_page *p, dx_page_flush *flush);
/* The i-th pending operation, i below dx_page_pending(). */
DX_PAGE_API dx_page_operation dx_page_operation_at(const dx_page *p, uint32_t i);
/* The host has carried them out: empty ring and text. */
DX_PAGE_API void     dx_page_flushed(dx_page *p);
/* True: no dirty or unflushed fields are left. */
DX_PAGE_API bool     dx_page_is_idle(const dx_page *p);

/* >>scheduler -----------------------------------------------------------
   Tasks run between frames, in three levels, each with its own share of a frame. A task that has
   started is never interrupted, so a share is when a level starts its last task, not when it ends:

       0                     idle_ns              yield_ns    budget_ns        the frame
       | IDLE starts tasks --->|                     |           |
       | NORMAL starts tasks ----------------------->|           |
       | IMMEDIATE starts tasks -------------------------------->| */
typedef enum dx_page_priority {
    DX_PAGE_IMMEDIATE = 0, /* started until budget_ns of a frame are used */
    DX_PAGE_NORMAL    = 1, /* until yield_ns */
    DX_PAGE_IDLE      = 2  /* until idle_ns */
} dx_page_priority;

/* Queue a task, which is borrowed until its fn is called; first in, first out within a level. A
   task must not be queued twice. EINVAL: priority, or no fn. O(1). */
DX_PAGE_API int      dx_page_push(dx_page *p, dx_page_priority priority, dx_page_task *task);
/* Run tasks for a frame that begins now; returns how many. clock returns nanoseconds of the same
   monotonic clock as now_ns, and is read only between tasks. A level with work that had no turn for
   `patience` frames gets one task. Tasks pushed meanwhile wait for the next call. */
DX_PAGE_API uint32_t dx_page_run(dx_page *p, uint64_t now_ns, uint64_t (*clock)(void *user),
                                 void *user);

#ifdef __cplusplus
}
#endif
#endif /* DX_PAGE_H */

#if (defined(DX_PAGE_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_PAGE_IMPLEMENTED)
#define DX_PAGE_IMPLEMENTED

/* >>platform ------------------------------------------------------------ */
#ifndef DX_PAGE_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_PAGE_ASSERT(c) assert(c)
  #else
    #define DX_PAGE_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_PAGE_P_MEM(name) __builtin_##name
#else
  #include <string.h>
  #define DX_PAGE_P_MEM(name) name
#endif
#ifndef DX_PAGE_MEMCPY
  #define DX_PAGE_MEMCPY DX_PAGE_P_MEM(memcpy)
#endif
#ifndef DX_PAGE_MEMSET
  #define DX_PAGE_MEMSET DX_PAGE_P_MEM(memset)
#endif

enum {
    DX_PAGE_P_NAMES_AT     = 0x40,   /* of the static region: count, then offset and size of each */
    DX_PAGE_P_TEMPLATES_AT = 0x1000, /* markup from here on, names from the middle downwards */
    DX_PAGE_P_OPS_AT       = 128,    /* in the queue region, after the two indexes */
    DX_PAGE_P_READ_AT      = 64,     /* on its own cache line */
    DX_PAGE_P_OP_SIZE      = 16,
    DX_PAGE_P_BINDING_SIZE = 20,
    DX_PAGE_P_INDEX_SIZE   = 132,    /* before a map's bindings: where those of each bit begin */
    DX_PAGE_P_NODE_BITS    = 22,     /* of a handle; the rest is its generation */
    DX_PAGE_P_GENERATIONS  = 1023,   /* 1 to this */
    DX_PAGE_P_VERSION      = 1,
    DX_PAGE_P_NONE         = 0x3fffff, /* no node: DX_PAGE_NODES_MAX numbers are below it */
    DX_PAGE_P_QUEUED       = 1,        /* flags of a node: in the dirty queue, even if removed */
    DX_PAGE_P_ROW          = 2         /* of a list, which alone removes it */
};
#define DX_PAGE_P_STABLE 0x80000000u /* in a list's sources: this row does not move */
#define DX_PAGE_P_NEW 0x7fffffffu    /* in a list's sources: a new row */
#define DX_PAGE_P_TEXT_MAX (UINT32_C(1) << 20) /* bytes that one DX_PAGE_FORMAT may write */

typedef char dx_page_p_binding_is_20[sizeof(dx_page_binding) == 20 ? 1 : -1];

#define DX_PAGE_P_ERROR_NAME(value, constant) \
    case value: return "DX_PAGE_" #constant;

DX_PAGE_API const char *dx_page_error_name(int error)
{
    switch (error) {
        DX_PAGE_ERRORS(DX_PAGE_P_ERROR_NAME)
    default: return "unknown error";
    }
}

/* >>sealing -------------------------------------------------------------
   The static region: a manifest with the page's capabilities, and tables that are filled once.
   CRC-32 (IEEE) detects accidental overwrites, not attacks. It is computed bit by bit: a table
   would take 1 KiB, and sealing happens once.

       0          40h                         1000h                half of it
       | manifest | count | offset, size ... | markup -> | free | <- names | map | map -> | free |
                                                 template_end_^   ^name_begin_        ^map_end_ */
static uint32_t dx_page_p_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void dx_page_p_store32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8 & 0xff);
    p[2] = (uint8_t)(v >> 16 & 0xff);
    p[3] = (uint8_t)(v >> 24);
}

/* Half a byte at a time: a table of 64 bytes is worth its place in a page, one of 1 KiB is not. */
static uint32_t dx_page_p_crc32(uint32_t crc, const uint8_t *p, size_t size)
{
    static const uint32_t of[16] = {0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu,
                                    0x76dc4190u, 0x6b6b51f4u, 0x4db26158u, 0x5005713cu,
                                    0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu,
                                    0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu};
    size_t                i;
    crc = ~crc;
    for (i = 0; i < size; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ of[crc & 15];
        crc = crc >> 4 ^ of[crc & 15];
    }
    return ~crc;
}

static uint32_t dx_page_p_manifest_crc(const uint8_t *manifest)
{
    uint8_t copy[DX_PAGE_MANIFEST_SIZE];
    DX_PAGE_MEMCPY(copy, manifest, sizeof copy);
    dx_page_p_store32(copy + 16, 0);
    return dx_page_p_crc32(0, copy, sizeof copy);
}

DX_PAGE_API void dx_page_write_manifest(void *out, uint64_t capabilities)
{
    uint8_t *p = (uint8_t *)out;
    DX_PAGE_MEMSET(p, 0, DX_PAGE_MANIFEST_SIZE);
    dx_page_p_store32(p, DX_PAGE_MANIFEST_MAGIC);
    dx_page_p_store32(p + 4, DX_PAGE_P_VERSION);
    dx_page_p_store32(p + 8, (uint32_t)(capabilities & UINT32_MAX));
    dx_page_p_store32(p + 12, (uint32_t)(capabilities >> 32));
    dx_page_p_store32(p + 16, dx_page_p_manifest_crc(p));
}

DX_PAGE_API int dx_page_read_manifest(const void *bytes, size_t size, uint64_t *capabilities)
{
    const uint8_t *p = (const uint8_t *)bytes;
    int            i;
    *capabilities = 0;
    if (!p || size < DX_PAGE_MANIFEST_SIZE) return DX_PAGE_EBOUNDS;
    if (dx_page_p_load32(p) != DX_PAGE_MANIFEST_MAGIC) return DX_PAGE_EMAGIC;
    if (dx_page_p_load32(p + 4) != DX_PAGE_P_VERSION) return DX_PAGE_EVERSION;
    for (i = 20; i < DX_PAGE_MANIFEST_SIZE; i++)
        if (p[i]) return DX_PAGE_ERESERVED;
    if (dx_page_p_load32(p + 16) != dx_page_p_manifest_crc(p)) return DX_PAGE_ECORRUPT;
    *capabilities = dx_page_p_load32(p + 8) | (uint64_t)dx_page_p_load32(p + 12) << 32;
    return DX_PAGE_OK;
}

DX_PAGE_API bool dx_page_has_all(const dx_page *p, uint64_t capabilities)
{
    return (p->capabilities_ & capabilities) == capabilities;
}

DX_PAGE_API bool dx_page_has_any(const dx_page *p, uint64_t capabilities)
{
    return (p->capabilities_ & capabilities) != 0;
}

DX_PAGE_API int dx_page_add_template(dx_page *p, uint32_t id, dx_htip_text markup)
{
    dx_page_p_template *t;
    int                 slots;
    if (p->sealed_) return DX_PAGE_ESEALED;
    if (id == 0 || id >= DX_PAGE_TEMPLATES_MAX) return DX_PAGE_EINVAL;
    t = &p->templates_[id];
    if (t->slots) return DX_PAGE_EDUPLICATE;
    if (markup.data && !dx_htip_is_utf8(markup.data, markup.size)) return DX_PAGE_EUTF8;
    slots = dx_htip_read_markup(markup, NULL, NULL);
    if (slots < 0) return DX_PAGE_EMARKUP;
    DX_PAGE_ASSERT(p->template_end_ <= p->name_begin_);
    if (markup.size > p->name_begin_ - p->template_end_) return DX_PAGE_ENOSPACE;
    DX_PAGE_MEMCPY(p->static_ + p->template_end_, markup.data, markup.size);
    t->offset = p->template_end_;
    t->size = markup.size;
    t->slots = (uint32_t)slots + 1;
    p->template_end_ += markup.size;
    p->template_count_++;
    return DX_PAGE_OK;
}

/* Undo dx_page_load_templates(): the markup of its templates is all that lies after `end`. */
static void dx_page_p_drop_templates(dx_page *p, uint32_t end)
{
    uint32_t id;
    DX_PAGE_ASSERT(!p->sealed_ && end <= p->template_end_);
    for (id = 0; id < DX_PAGE_TEMPLATES_MAX; id++) {
        dx_page_p_template *t = &p->templates_[id];
        if (!t->slots || t->offset < end) continue;
        DX_PAGE_MEMSET(t, 0, sizeof *t);
        DX_PAGE_ASSERT(p->template_count_);
        p->template_count_--;
    }
    p->template_end_ = end;
}

DX_PAGE_API int dx_page_load_templates(dx_page *p, const void *bytes, size_t size)
{
    const uint8_t *at = (const uint8_t *)bytes;
    const uint32_t end = p->template_end_;
    size_t         left = size;
    uint32_t       count;
    int            error = DX_PAGE_OK;
    if (!at || left < 4) return DX_PAGE_EBOUNDS;
    count = dx_page_p_load32(at);
    at += 4;
    left -= 4;
    for (; count && !error; count--) {
        dx_htip_text markup;
        if (left < 8 || dx_page_p_load32(at + 4) > left - 8) {
            error = DX_PAGE_EBOUNDS;
            break;
        }
        markup.size = dx_page_p_load32(at + 4);
        markup.data = at + 8;
        error = dx_page_add_template(p, dx_page_p_load32(at), markup);
        at += 8 + (size_t)markup.size;
        left -= 8 + (size_t)markup.size;
    }
    if (!error && left) error = DX_PAGE_EBOUNDS;
    if (error && error != DX_PAGE_ESEALED) dx_page_p_drop_templates(p, end);
    return error;
}

DX_PAGE_API int dx_page_add_name(dx_page *p, dx_htip_text name)
{
    uint8_t *entry = p->static_ + DX_PAGE_P_NAMES_AT + 4 + (size_t)8 * p->name_count_;
    if (p->sealed_) return DX_PAGE_ESEALED;
    if (!name.data || !name.size) return DX_PAGE_EINVAL;
    if (!dx_htip_is_utf8(name.data, name.size)) return DX_PAGE_EUTF8;
    if (!dx_htip_is_name(DX_HTIP_ATTR, name) && !dx_htip_is_name(DX_HTIP_CLASS, name) &&
        !dx_htip_is_name(DX_HTIP_STYLE, name))
        return DX_PAGE_EINVAL;
    if (p->name_count_ == DX_PAGE_NAMES_MAX) return DX_PAGE_ENOSPACE;
    if (name.size > p->name_begin_ - p->template_end_) return DX_PAGE_ENOSPACE;
    DX_PAGE_ASSERT(p->name_begin_ <= p->map_end_);
    p->name_begin_ -= name.size;
    DX_PAGE_MEMCPY(p->static_ + p->name_begin_, name.data, name.size);
    dx_page_p_store32(entry, p->name_begin_);
    dx_page_p_store32(entry + 4, name.size);
    p->name_count_++;
    dx_page_p_store32(p->static_ + DX_PAGE_P_NAMES_AT, p->name_count_);
    return (int)p->name_count_ - 1;
}

/* CRC of the used parts: up to the end of the markup, and from the first name to the last map. */
static uint32_t dx_page_p_static_crc(const dx_page *p)
{
    const uint32_t crc = dx_page_p_crc32(0, p->static_, p->template_end_);
    DX_PAGE_ASSERT(p->template_end_ <= p->name_begin_ && p->map_end_ <= p->static_size_);
    return dx_page_p_crc32(crc, p->static_ + p->name_begin_, p->map_end_ - p->name_begin_);
}

DX_PAGE_API void dx_page_seal(dx_page *p)
{
    p->sealed_ = true;
    p->static_crc_ = dx_page_p_static_crc(p);
}

DX_PAGE_API int dx_page_check_static(const dx_page *p)
{
    if (!p->sealed_) return DX_PAGE_ESEALED;
    return dx_page_p_static_crc(p) == p->static_crc_ ? DX_PAGE_OK : DX_PAGE_ECORRUPT;
}

/* >>memory --------------------------------------------------------------
   The state region is allocated from both ends, and is full when they meet:

       | component states -> |            free            | <- node 2 | node 1 | node 0 |

   All states of a component have one size; those of removed nodes are on a free list of their
   component. Its links are offsets in the first 4 bytes of each free state, so it takes no memory.
   Neither end ever shrinks. */
typedef struct dx_page_p_node {
    uint32_t parent, first, next, previous; /* numbers; next also links the free list */
    uint32_t state;                         /* offset in the state region */
    uint32_t dirty_next;                    /* number; the queue of dirty nodes */
    uint32_t key;                           /* of a row */
    uint16_t generation;                    /* 1 to 1,023; changes when the number is freed */
    uint8_t  component;                     /* its index + 1; 0: the number is free */
    uint8_t  flags;
} dx_page_p_node;

typedef char dx_page_p_node_is_32[sizeof(dx_page_p_node) == 32 ? 1 : -1];

static dx_page_p_node *dx_page_p_node_at(const dx_page *p, uint32_t number)
{
    void *end = p->state_ + p->state_size_;
    DX_PAGE_ASSERT(number < p->node_count_);
    return (dx_page_p_node *)end - 1 - number;
}

/* Bytes between the two ends. */
static uint32_t dx_page_p_room(const dx_page *p)
{
    DX_PAGE_ASSERT(p->node_count_ <= p->state_size_ / sizeof(dx_page_p_node));
    DX_PAGE_ASSERT(p->state_end_ <= p->state_size_ - p->node_count_ * sizeof(dx_page_p_node));
    return p->state_size_ - p->state_end_ - p->node_count_ * (uint32_t)sizeof(dx_page_p_node);
}

/* Is there memory for count nodes of a component after `removed` of them are freed? */
static bool dx_page_p_fits(const dx_page *p, const dx_page_p_component *c, uint32_t count,
                           uint32_t removed)
{
    const uint64_t spare_nodes = (uint64_t)p->free_count_ + removed;
    const uint64_t spare_states = (uint64_t)c->free_count + removed;
    uint64_t       size = 0;
    if (count > spare_nodes) {
        const uint64_t more = count - spare_nodes;
        if (more > DX_PAGE_NODES_MAX - p->node_count_) return false;
        size += more * sizeof(dx_page_p_node);
    }
    if (count > spare_states) size += (count - spare_states) * c->state_size;
    return size <= dx_page_p_room(p);
}

/* A number, freed last or never used; dx_page_p_fits() has said that there is one. A reused node
   keeps its generation, which was changed when it was freed. */
static uint32_t dx_page_p_new_node(dx_page *p)
{
    uint32_t        number = p->free_;
    dx_page_p_node *node;
    if (number != DX_PAGE_P_NONE) {
        node = dx_page_p_node_at(p, number);
        DX_PAGE_ASSERT(p->free_count_ && number && !node->component);
        p->free_ = node->next;
        p->free_count_--;
        return number;
    }
    DX_PAGE_ASSERT(dx_page_p_room(p) >= sizeof *node && p->node_count_ < DX_PAGE_NODES_MAX);
    number = p->node_count_++;
    node = dx_page_p_node_at(p, number);
    DX_PAGE_MEMSET(node, 0, sizeof *node);
    node->generation = (uint16_t)p->generation_;
    return number;
}

/* The offset of a zeroed state; dx_page_p_fits() has said that there is one. */
static uint32_t dx_page_p_new_state(dx_page *p, dx_page_p_component *c)
{
    uint32_t at = c->free; /* meaningless if free_count is 0 */
    if (c->free_count) {
        c->free = dx_page_p_load32(p->state_ + at);
        c->free_count--;
    } else {
        DX_PAGE_ASSERT(dx_page_p_room(p) >= c->state_size);
        at = p->state_end_;
        p->state_end_ += c->state_size;
    }
    DX_PAGE_MEMSET(p->state_ + at, 0, c->state_size);
    return at;
}

DX_PAGE_API int dx_page_init(dx_page *p, const dx_page_desc *desc)
{
    uint32_t capacity = 16;
    int      level;
    if (!p || !desc || !desc->memory || ((uintptr_t)desc->memory & 7)) return DX_PAGE_EINVAL;
    DX_PAGE_MEMSET(p, 0, sizeof *p);
    p->static_size_ = desc->static_size ? desc->static_size : (uint32_t)2 << 20;
    p->state_size_ = desc->state_size ? desc->state_size : (uint32_t)8 << 20;
    p->queue_size_ = desc->queue_size ? desc->queue_size : (uint32_t)6 << 20;
    if (p->static_size_ % 16 || p->state_size_ % 64 || p->queue_size_ % 64) return DX_PAGE_EINVAL;
    if (p->static_size_ < 3 * DX_PAGE_P_TEMPLATES_AT || p->state_size_ < 64) return DX_PAGE_EINVAL;
    if (p->queue_size_ < 1024) return DX_PAGE_EINVAL;
    p->static_ = (uint8_t *)desc->memory;
    p->state_ = p->static_ + p->static_size_;
    p->queue_ = p->state_ + p->state_size_;
    p->capabilities_ = desc->capabilities;
    p->format_ = desc->format;
    p->user_ = desc->user;
    DX_PAGE_MEMSET(p->static_, 0, DX_PAGE_P_TEMPLATES_AT);
    dx_page_write_manifest(p->static_, desc->capabilities);
    p->template_end_ = DX_PAGE_P_TEMPLATES_AT;
    p->name_begin_ = p->map_end_ = p->static_size_ / 2;
    p->free_ = p->dirty_first_ = p->dirty_last_ = DX_PAGE_P_NONE;
    p->generation_ = 1;
    while (capacity * 2 <= p->queue_size_ / 3 / DX_PAGE_P_OP_SIZE) capacity *= 2;
    p->ops_mask_ = capacity - 1;
    p->text_begin_ = DX_PAGE_P_OPS_AT + capacity * DX_PAGE_P_OP_SIZE;
    p->text_limit_ = p->queue_size_ - p->text_begin_;
    DX_PAGE_MEMSET(p->queue_, 0, DX_PAGE_P_OPS_AT);
    p->node_count_ = 1;
    DX_PAGE_MEMSET(dx_page_p_node_at(p, 0), 0, sizeof(dx_page_p_node));
    dx_page_p_node_at(p, 0)->first = DX_PAGE_P_NONE;
    p->limit_ns_[DX_PAGE_IMMEDIATE] = desc->budget_ns ? desc->budget_ns : 4000000;
    p->limit_ns_[DX_PAGE_NORMAL] =
        desc->yield_ns ? desc->yield_ns : p->limit_ns_[DX_PAGE_IMMEDIATE] / 8 * 7;
    p->limit_ns_[DX_PAGE_IDLE] =
        desc->idle_ns ? desc->idle_ns : p->limit_ns_[DX_PAGE_IMMEDIATE] / 2;
    for (level = 1; level < DX_PAGE_LEVELS; level++)
        if (p->limit_ns_[level] > p->limit_ns_[level - 1]) return DX_PAGE_EINVAL;
    DX_PAGE_ASSERT((capacity & (capacity - 1)) == 0 && p->text_begin_ < p->queue_size_);
    p->patience_ = desc->patience ? desc->patience : 60;
    return DX_PAGE_OK;
}

/* A component's map: component_id and count, where each bit's bindings begin (the last entry is
   the end), then the bindings in the order of their bits.

       | id u32 | count u32 | begin u16 of bit 0, 1 ... 63, end | 2 zero | binding 20 | ... */
static const uint8_t *dx_page_p_binding_at(const dx_page *p, const dx_page_p_component *c,
                                           uint32_t i)
{
    DX_PAGE_ASSERT(i < c->binding_count);
    return p->static_ + c->map + 8 + DX_PAGE_P_INDEX_SIZE + (size_t)DX_PAGE_P_BINDING_SIZE * i;
}

static uint32_t dx_page_p_first_of(const dx_page *p, const dx_page_p_component *c, uint32_t bit)
{
    const uint8_t *at = p->static_ + c->map + 8 + (size_t)2 * bit;
    DX_PAGE_ASSERT(bit <= 64);
    return at[0] | (uint32_t)at[1] << 8;
}

/* May the type of this binding have its name? See dx_htip_is_name(). */
static bool dx_page_p_is_name(const dx_page *p, const dx_page_binding *b)
{
    const uint8_t *entry = p->static_ + DX_PAGE_P_NAMES_AT + 4 + (size_t)8 * b->name_id;
    dx_htip_text   name;
    name.data = p->static_ + dx_page_p_load32(entry);
    name.size = dx_page_p_load32(entry + 4);
    if (b->type == DX_PAGE_ATTRIBUTE) return dx_htip_is_name(DX_HTIP_ATTR, name);
    return dx_htip_is_name(b->type == DX_PAGE_CLASS ? DX_HTIP_CLASS : DX_HTIP_STYLE, name);
}

/* After this, emitting needs no checks: slot, name and value are inside. */
static int dx_page_p_check_binding(const dx_page *p, const dx_page_binding *b, uint32_t slots,
                                   uint32_t state_size)
{
    if (b->reserved) return DX_PAGE_ERESERVED;
    if (b->bit > 63 || b->slot >= slots || b->form > DX_PAGE_FORMAT) return DX_PAGE_EBINDING;
    if (b->type < DX_PAGE_TEXT || b->type > DX_PAGE_STYLE) return DX_PAGE_EBINDING;
    if (b->type == DX_PAGE_TEXT && b->name_id) return DX_PAGE_EBINDING;
    if (b->type != DX_PAGE_TEXT && b->name_id >= p->name_count_) return DX_PAGE_EBINDING;
    if (b->type != DX_PAGE_TEXT && !dx_page_p_is_name(p, b)) return DX_PAGE_EBINDING;
    if (b->form == DX_PAGE_FORMAT) return p->format_ ? DX_PAGE_OK : DX_PAGE_EBINDING;
    if (b->value_offset > state_size || b->value_length > state_size - b->value_offset)
        return DX_PAGE_EBINDING;
    if (b->form == DX_PAGE_INTEGER && b->value_length != 4) return DX_PAGE_EBINDING;
    return DX_PAGE_OK;
}

/* Sort the bindings by bit into the map: 65 passes, but only once, and without memory. The order
   within a bit stays. */
static void dx_page_p_write_map(dx_page *p, dx_page_p_component *c,
                                const dx_page_binding *bindings)
{
    uint8_t *map = p->static_ + c->map;
    uint32_t placed = 0;
    uint32_t bit, i;
    dx_page_p_store32(map, c->id);
    dx_page_p_store32(map + 4, c->binding_count);
    DX_PAGE_MEMSET(map + 8, 0, DX_PAGE_P_INDEX_SIZE);
    for (bit = 0; bit <= 64; bit++) {
        map[8 + 2 * bit] = (uint8_t)(placed & 0xff);
        map[9 + 2 * bit] = (uint8_t)(placed >> 8);
        for (i = 0; i < c->binding_count; i++) {
            const dx_page_binding *b = &bindings[i];
            uint8_t               *out;
            if (b->bit != bit) continue;
            out = map + 8 + DX_PAGE_P_INDEX_SIZE + (size_t)DX_PAGE_P_BINDING_SIZE * placed++;
            out[0] = b->bit;
            out[1] = b->type;
            out[2] = b->form;
            out[3] = 0;
            dx_page_p_store32(out + 4, b->slot);
            dx_page_p_store32(out + 8, b->name_id);
            dx_page_p_store32(out + 12, b->value_offset);
            dx_page_p_store32(out + 16, b->value_length);
            c->mask |= (uint64_t)1 << bit;
        }
    }
    DX_PAGE_ASSERT(placed == c->binding_count);
}

static dx_page_p_component *dx_page_p_component_of(dx_page *p, uint32_t id)
{
    uint32_t i;
    for (i = 0; i < p->component_count_; i++)
        if (p->components_[i].id == id) return &p->components_[i];
    return NULL;
}

DX_PAGE_API int dx_page_add_component(dx_page *p, uint32_t id, uint32_t template_id,
                                      uint32_t state_size, const dx_page_binding *bindings,
                                      uint32_t count)
{
    const uint32_t       limit = 65535;
    dx_page_p_component *c = &p->components_[p->component_count_ % DX_PAGE_COMPONENTS_MAX];
    uint32_t             size, i;
    if (p->sealed_) return DX_PAGE_ESEALED;
    if (id == 0 || state_size < 8 || state_size > p->state_size_) return DX_PAGE_EINVAL;
    if (count && !bindings) return DX_PAGE_EINVAL;
    if (template_id >= DX_PAGE_TEMPLATES_MAX || !p->templates_[template_id].slots)
        return DX_PAGE_ENOTFOUND;
    if (dx_page_p_component_of(p, id)) return DX_PAGE_EDUPLICATE;
    if (p->component_count_ == DX_PAGE_COMPONENTS_MAX || count > limit) return DX_PAGE_ENOSPACE;
    for (i = 0; i < count; i++) {
        const uint32_t slots = p->templates_[template_id].slots;
        const int      error = dx_page_p_check_binding(p, &bindings[i], slots, state_size);
        if (error) return error;
    }
    size = 8 + DX_PAGE_P_INDEX_SIZE + DX_PAGE_P_BINDING_SIZE * count;
    if (size > p->static_size_ - p->map_end_) return DX_PAGE_ENOSPACE;
    DX_PAGE_MEMSET(c, 0, sizeof *c);
    c->id = id;
    c->template_id = template_id;
    c->state_size = (state_size + 7) & ~(uint32_t)7;
    c->map = p->map_end_;
    c->binding_count = count;
    dx_page_p_write_map(p, c, bindings);
    p->map_end_ += size;
    p->component_count_++;
    return DX_PAGE_OK;
}

/* >>registry ------------------------------------------------------------
   A handle is a node's number with a generation above it, which changes whenever the number is
   reused. The page's code has handles, operations have numbers: the host never sees a stale one.

       | generation 10 bits | number 22 bits |      0 is the page itself

   The tree has no order among the children of a node: order is the host's, and that of lists. */
static uint32_t dx_page_p_handle_of(const dx_page *p, uint32_t number)
{
    const uint32_t generation = dx_page_p_node_at(p, number)->generation;
    DX_PAGE_ASSERT(!number || (generation && generation <= DX_PAGE_P_GENERATIONS));
    return number ? generation << DX_PAGE_P_NODE_BITS | number : 0;
}

/* The node's number, or DX_PAGE_P_NONE. */
static uint32_t dx_page_p_number(const dx_page *p, uint32_t handle)
{
    const uint32_t        number = handle & DX_PAGE_P_NONE;
    const dx_page_p_node *node;
    if (handle == 0) return 0;
    if (number == 0 || number >= p->node_count_) return DX_PAGE_P_NONE;
    node = dx_page_p_node_at(p, number);
    if (!node->component || node->generation != handle >> DX_PAGE_P_NODE_BITS)
        return DX_PAGE_P_NONE;
    return number;
}

static dx_page_p_component *dx_page_p_of(dx_page *p, const dx_page_p_node *node)
{
    DX_PAGE_ASSERT(node->component && node->component <= p->component_count_);
    return &p->components_[node->component - 1];
}

/* Can this slot of this node have children? */
static bool dx_page_p_has_slot(dx_page *p, uint32_t number, uint32_t slot)
{
    if (number == 0) return slot == 0;
    return slot < p->templates_[dx_page_p_of(p, dx_page_p_node_at(p, number))->template_id].slots;
}

static void dx_page_p_link(dx_page *p, uint32_t number, uint32_t parent)
{
    dx_page_p_node *node = dx_page_p_node_at(p, number);
    dx_page_p_node *above = dx_page_p_node_at(p, parent);
    DX_PAGE_ASSERT(number && number != parent && node->component);
    node->parent = parent;
    node->first = node->previous = DX_PAGE_P_NONE;
    node->next = above->first;
    if (above->first != DX_PAGE_P_NONE) dx_page_p_node_at(p, above->first)->previous = number;
    above->first = number;
    p->used_++;
}

static void dx_page_p_unlink(dx_page *p, const dx_page_p_node *node)
{
    if (node->previous == DX_PAGE_P_NONE)
        dx_page_p_node_at(p, node->parent)->first = node->next;
    else
        dx_page_p_node_at(p, node->previous)->next = node->next;
    if (node->next != DX_PAGE_P_NONE)
        dx_page_p_node_at(p, node->next)->previous = node->previous;
}

/* Free a node without children: its state and number. */
static void dx_page_p_free_node(dx_page *p, uint32_t number)
{
    dx_page_p_node      *node = dx_page_p_node_at(p, number);
    dx_page_p_component *c = dx_page_p_of(p, node);
    DX_PAGE_ASSERT(number && node->first == DX_PAGE_P_NONE && p->used_);
    dx_page_p_unlink(p, node);
    dx_page_p_store32(p->state_ + node->state, c->free);
    c->free = node->state;
    c->free_count++;
    node->component = 0;
    node->generation = (uint16_t)(node->generation % DX_PAGE_P_GENERATIONS + 1);
    node->next = p->free_;
    p->free_ = number;
    p->free_count_++;
    p->used_--;
}

/* Count the nodes below one, without a stack: go to the first child, else to the next, else up. */
static uint32_t dx_page_p_count_below(const dx_page *p, uint32_t top)
{
    uint32_t count = 0;
    uint32_t i = dx_page_p_node_at(p, top)->first; /* never above top: a node has a parent */
    while (i != DX_PAGE_P_NONE) {
        const dx_page_p_node *node = dx_page_p_node_at(p, i);
        count++;
        DX_PAGE_ASSERT(count <= p->used_ && node->component);
        if (node->first != DX_PAGE_P_NONE) {
            i = node->first;
            continue;
        }
        while (node->next == DX_PAGE_P_NONE && node->parent != top)
            node = dx_page_p_node_at(p, node->parent);
        i = node->next;
    }
    return count;
}

DX_PAGE_API void *dx_page_state(dx_page *p, uint32_t node)
{
    const uint32_t number = dx_page_p_number(p, node);
    if (number == 0 || number == DX_PAGE_P_NONE) return NULL;
    return p->state_ + dx_page_p_node_at(p, number)->state;
}

/* A range of a node's state, or NULL. */
static uint8_t *dx_page_p_range(dx_page *p, uint32_t node, uint32_t offset, uint32_t size,
                                int *error)
{
    uint8_t *state = (uint8_t *)dx_page_state(p, node);
    uint32_t state_size;
    *error = DX_PAGE_ENODE;
    if (!state) return NULL;
    state_size = dx_page_p_of(p, dx_page_p_node_at(p, node & DX_PAGE_P_NONE))->state_size;
    *error = DX_PAGE_EBOUNDS;
    if (offset > state_size || size > state_size - offset) return NULL;
    *error = DX_PAGE_OK;
    return state + offset;
}

DX_PAGE_API int dx_page_read(dx_page *p, uint32_t node, uint32_t offset, void *out, uint32_t size)
{
    int            error;
    const uint8_t *from = dx_page_p_range(p, node, offset, size, &error);
    if (from && size) DX_PAGE_MEMCPY(out, from, size);
    return error;
}

DX_PAGE_API int dx_page_write(dx_page *p, uint32_t node, uint32_t offset, const void *bytes,
                              uint32_t size, uint32_t bit)
{
    int      error;
    uint8_t *to = dx_page_p_range(p, node, offset, size, &error);
    if (!to) return error;
    if (bit > 63) return DX_PAGE_EINVAL;
    if (offset < 8) return DX_PAGE_EBOUNDS; /* the mask is marked, not written */
    if (size) DX_PAGE_MEMCPY(to, bytes, size);
    return dx_page_mark(p, node, bit);
}

DX_PAGE_API uint32_t dx_page_key(const dx_page *p, uint32_t node)
{
    const uint32_t number = dx_page_p_number(p, node);
    return number == 0 || number == DX_PAGE_P_NONE ? 0 : dx_page_p_node_at(p, number)->key;
}

DX_PAGE_API uint32_t dx_page_handle(const dx_page *p, uint32_t number)
{
    if (number == 0 || number >= p->node_count_) return 0;
    return dx_page_p_node_at(p, number)->component ? dx_page_p_handle_of(p, number) : 0;
}

DX_PAGE_API uint32_t dx_page_used(const dx_page *p)
{
    return p->used_;
}

/* >>ring ----------------------------------------------------------------
   Operations and their texts, both emptied by dx_page_flushed(). The indexes count up and wrap;
   operation i is at i & mask. Each index has a cache line of its own, so that a host in another
   thread can poll `write` without slowing the page down.

       | write, 64 bytes | read, 64 bytes | operation 0 | 1 | ... | text ...          | scratch | */
static uint32_t dx_page_p_written(const dx_page *p)
{
    return dx_page_p_load32(p->queue_);
}

DX_PAGE_API uint32_t dx_page_pending(const dx_page *p)
{
    return dx_page_p_written(p) - dx_page_p_load32(p->queue_ + DX_PAGE_P_READ_AT);
}

static uint32_t dx_page_p_ops_left(const dx_page *p)
{
    return p->ops_mask_ + 1 - dx_page_pending(p);
}

/* Append an operation, the index last. The caller has checked that there is room. */
static void dx_page_p_emit(dx_page *p, uint32_t head, uint32_t node, uint32_t b, uint32_t c)
{
    const uint32_t at = dx_page_p_written(p);
    uint8_t       *out = p->queue_ + DX_PAGE_P_OPS_AT;
    DX_PAGE_ASSERT(dx_page_p_ops_left(p) > 0);
    out += (size_t)DX_PAGE_P_OP_SIZE * (at & p->ops_mask_);
    dx_page_p_store32(out, head);
    dx_page_p_store32(out + 4, node);
    dx_page_p_store32(out + 8, b);
    dx_page_p_store32(out + 12, c);
    dx_page_p_store32(p->queue_, at + 1);
}

/* The first 4 bytes of an operation as a number. */
static uint32_t dx_page_p_head(dx_page_op op, uint32_t slot, uint32_t name)
{
    DX_PAGE_ASSERT(slot < 256 && name < 65536);
    return (uint32_t)op | slot << 8 | name << 16;
}

DX_PAGE_API dx_page_operation dx_page_operation_at(const dx_page *p, uint32_t i)
{
    const uint32_t    at = dx_page_p_load32(p->queue_ + DX_PAGE_P_READ_AT) + i;
    const uint8_t    *in = p->queue_ + DX_PAGE_P_OPS_AT;
    dx_page_operation o;
    DX_PAGE_ASSERT(i < dx_page_pending(p));
    in += (size_t)DX_PAGE_P_OP_SIZE * (at & p->ops_mask_);
    o.opcode = in[0];
    o.slot = in[1];
    o.name = (uint16_t)(in[2] | (uint32_t)in[3] << 8);
    o.node = dx_page_p_load32(in + 4);
    o.b = dx_page_p_load32(in + 8);
    o.c = dx_page_p_load32(in + 12);
    return o;
}

DX_PAGE_API void dx_page_get_flush(const dx_page *p, dx_page_flush *flush)
{
    flush->ops = p->queue_ + DX_PAGE_P_OPS_AT;
    flush->mask = p->ops_mask_;
    flush->read = dx_page_p_load32(p->queue_ + DX_PAGE_P_READ_AT);
    flush->write = dx_page_p_written(p);
    flush->text = p->queue_ + p->text_begin_;
    flush->text_size = p->text_size_;
}

DX_PAGE_API void dx_page_flushed(dx_page *p)
{
    dx_page_p_store32(p->queue_ + DX_PAGE_P_READ_AT, dx_page_p_written(p));
    p->text_size_ = p->text_units_ = 0;
}

/* >>values --------------------------------------------------------------
   From state to operations. A text is written once, where the host reads it; its UTF-16 units are
   counted on the way, because the host slices one decoded string. Invalid UTF-8 would decode to
   another number of units, so it is replaced by question marks.

       state   | dirty | "Zo\xc3\xab" 0 | 42 |        frame's text   | Z o \xc3 \xab 4 2 |
                                                      TEXT begin 0, 3 units; TEXT begin 3, 2 */
/* How many bytes at the front are ASCII: the usual text is all of it, eight bytes a step. */
static uint32_t dx_page_p_ascii_run(const uint8_t *p, uint32_t size)
{
    uint32_t i = 0;
    while (size - i >= 8) {
        uint64_t word;
        DX_PAGE_MEMCPY(&word, p + i, 8);
        if (word & 0x8080808080808080u) break;
        i += 8;
    }
    while (i < size && p[i] && p[i] < 0x80) i++;
    return i;
}

/* Count the UTF-16 units of a text, and replace invalid bytes in it. */
static uint32_t dx_page_p_measure(uint8_t *p, uint32_t size)
{
    uint32_t i = dx_page_p_ascii_run(p, size);
    uint32_t units = i;
    while (i < size) {
        const uint32_t length = p[i] < 0x80 ? 1 : p[i] < 0xe0 ? 2 : p[i] < 0xf0 ? 3 : 4;
        if (length > size - i || (p[i] && !dx_htip_is_utf8(p + i, length))) {
            p[i++] = '?';
            units++;
            continue;
        }
        i += length;
        units += length == 4 ? 2 : 1;
    }
    DX_PAGE_ASSERT(i == size && units <= size);
    return units;
}

static uint32_t dx_page_p_put_integer(uint8_t *out, int32_t v)
{
    uint8_t  digits[11];
    uint32_t magnitude = v < 0 ? 0u - (uint32_t)v : (uint32_t)v;
    uint32_t count = 0;
    uint32_t i;
    do {
        digits[count++] = (uint8_t)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude);
    if (v < 0) digits[count++] = '-';
    DX_PAGE_ASSERT(count <= sizeof digits);
    for (i = 0; i < count; i++) out[i] = digits[count - 1 - i];
    return count;
}

/* Append a value as text to the frame's text; false: no room. */
static bool dx_page_p_put_value(dx_page *p, const dx_page_p_component *c, const uint8_t *binding,
                                const uint8_t *state, uint32_t *size)
{
    const uint32_t offset = dx_page_p_load32(binding + 12);
    const uint32_t length = dx_page_p_load32(binding + 16);
    const uint32_t room = p->text_limit_ - p->text_size_;
    uint8_t       *out = p->queue_ + p->text_begin_ + p->text_size_;
    int32_t        number;
    uint32_t       i = 0;
    DX_PAGE_ASSERT(p->text_size_ <= p->text_limit_);
    if (binding[2] == DX_PAGE_FORMAT) {
        const uint32_t capacity = room < DX_PAGE_P_TEXT_MAX ? room : DX_PAGE_P_TEXT_MAX;
        *size = p->format_(p->user_, c->id, offset, state, out, capacity);
        return *size <= capacity;
    }
    DX_PAGE_ASSERT(offset <= c->state_size && length <= c->state_size - offset);
    if (binding[2] == DX_PAGE_INTEGER) {
        if (room < 11) return false;
        DX_PAGE_MEMCPY(&number, state + offset, sizeof number);
        *size = dx_page_p_put_integer(out, number);
        return true;
    }
    while (i < length && state[offset + i]) i++;
    if (i > room) return false;
    if (i) DX_PAGE_MEMCPY(out, state + offset, i);
    *size = i;
    return true;
}

static bool dx_page_p_is_on(const uint8_t *binding, const uint8_t *state)
{
    const uint32_t offset = dx_page_p_load32(binding + 12);
    const uint32_t length = dx_page_p_load32(binding + 16);
    uint32_t       i;
    for (i = 0; i < length; i++)
        if (state[offset + i]) return true;
    return false;
}

/* Emit one binding of a node; false: no room. For a fresh clone, classes that are off are omitted:
   that is its initial state. */
static bool dx_page_p_emit_binding(dx_page *p, const dx_page_p_component *c,
                                   const uint8_t *binding, uint32_t number, bool fresh)
{
    const uint8_t *state = p->state_ + dx_page_p_node_at(p, number)->state;
    const uint32_t slot = dx_page_p_load32(binding + 4);
    const uint32_t name = dx_page_p_load32(binding + 8);
    const uint32_t begin = p->text_units_;
    dx_page_op     op = DX_PAGE_OP_TEXT;
    uint32_t       size = 0;
    uint32_t       units;
    if (binding[1] == DX_PAGE_CLASS && binding[2] != DX_PAGE_FORMAT) {
        const bool on = dx_page_p_is_on(binding, state);
        if (fresh && !on) return true;
        /* Space reserved by a list is for its own operations, not for values of other nodes. */
        if (dx_page_p_ops_left(p) <= p->reserved_) return false;
        dx_page_p_emit(p, dx_page_p_head(DX_PAGE_OP_CLASS, slot, name), number, on, 0);
        return true;
    }
    if (dx_page_p_ops_left(p) <= p->reserved_) return false;
    if (!dx_page_p_put_value(p, c, binding, state, &size)) return false;
    if (binding[1] == DX_PAGE_CLASS) { /* on if any byte was written */
        if (fresh && !size) return true;
        dx_page_p_emit(p, dx_page_p_head(DX_PAGE_OP_CLASS, slot, name), number, size != 0, 0);
        return true;
    }
    units = dx_page_p_measure(p->queue_ + p->text_begin_ + p->text_size_, size);
    p->text_size_ += size;
    p->text_units_ += units;
    if (binding[1] == DX_PAGE_ATTRIBUTE) op = DX_PAGE_OP_ATTR;
    if (binding[1] == DX_PAGE_STYLE) op = DX_PAGE_OP_STYLE;
    dx_page_p_emit(p, dx_page_p_head(op, slot, name), number, begin, units);
    return true;
}

static unsigned dx_page_p_lowest_bit(uint64_t mask)
{
    unsigned bit = 0;
    DX_PAGE_ASSERT(mask);
    if (!(mask & UINT32_MAX)) {
        bit = 32;
        mask >>= 32;
    }
    for (; !(mask & 0xff); mask >>= 8) bit += 8;
    for (; !(mask & 1); mask >>= 1) bit++;
    return bit;
}

/* Emit the bindings of these bits; returns the bits for which there was no room. */
static uint64_t dx_page_p_emit_bits(dx_page *p, uint32_t number, uint64_t mask, bool fresh)
{
    const dx_page_p_component *c = dx_page_p_of(p, dx_page_p_node_at(p, number));
    mask &= c->mask;
    while (mask) {
        const unsigned bit = dx_page_p_lowest_bit(mask);
        const uint32_t end = dx_page_p_first_of(p, c, bit + 1);
        uint32_t       i;
        DX_PAGE_ASSERT(end <= c->binding_count);
        for (i = dx_page_p_first_of(p, c, bit); i < end; i++)
            if (!dx_page_p_emit_binding(p, c, dx_page_p_binding_at(p, c, i), number, fresh))
                return mask;
        mask &= mask - 1;
    }
    return 0;
}

static uint64_t *dx_page_p_mask_of(const dx_page *p, const dx_page_p_node *node)
{
    void *state = p->state_ + node->state;
    return (uint64_t *)state;
}

/* Append a node to the dirty queue, unless it is in it. A node that is removed stays in the queue,
   with its flag: dx_page_frame() takes it out, so removing needs no search. */
static void dx_page_p_queue(dx_page *p, uint32_t number)
{
    dx_page_p_node *node = dx_page_p_node_at(p, number);
    DX_PAGE_ASSERT(number && node->component);
    if (node->flags & DX_PAGE_P_QUEUED) return;
    node->flags |= DX_PAGE_P_QUEUED;
    node->dirty_next = DX_PAGE_P_NONE;
    if (p->dirty_first_ == DX_PAGE_P_NONE) p->dirty_first_ = number;
    else dx_page_p_node_at(p, p->dirty_last_)->dirty_next = number;
    p->dirty_last_ = number;
}

DX_PAGE_API int dx_page_mark(dx_page *p, uint32_t node, uint32_t bit)
{
    const uint32_t number = dx_page_p_number(p, node);
    if (bit > 63) return DX_PAGE_EINVAL;
    if (number == 0 || number == DX_PAGE_P_NONE) return DX_PAGE_ENODE;
    *dx_page_p_mask_of(p, dx_page_p_node_at(p, number)) |= (uint64_t)1 << bit;
    dx_page_p_queue(p, number);
    return DX_PAGE_OK;
}

DX_PAGE_API uint32_t dx_page_frame(dx_page *p)
{
    while (p->dirty_first_ != DX_PAGE_P_NONE) {
        const uint32_t  number = p->dirty_first_;
        dx_page_p_node *node = dx_page_p_node_at(p, number);
        DX_PAGE_ASSERT(node->flags & DX_PAGE_P_QUEUED);
        if (node->component) {
            uint64_t *mask = dx_page_p_mask_of(p, node);
            *mask = dx_page_p_emit_bits(p, number, *mask, false);
            if (*mask) break; /* it stays first in the queue */
        }
        node->flags &= (uint8_t)~DX_PAGE_P_QUEUED;
        p->dirty_first_ = node->dirty_next;
    }
    return dx_page_pending(p);
}

DX_PAGE_API bool dx_page_is_idle(const dx_page *p)
{
    return p->dirty_first_ == DX_PAGE_P_NONE && dx_page_pending(p) == 0;
}

/* >>mounting ------------------------------------------------------------
   Clones of one component with consecutive numbers are one operation, however many they are; the
   texts of its rows follow directly, so that a host can fill and clone row by row.

       | AT before | CLONE template, parent, 7, 3 rows | TEXT 7 | TEXT 8 | TEXT 9 |
         (not at the end)                                nodes 7 to 9, slot 1 of each */
static int dx_page_p_check_mount(dx_page *p, uint32_t component, uint32_t parent, uint32_t slot)
{
    const uint32_t number = dx_page_p_number(p, parent);
    if (!p->sealed_) return DX_PAGE_ESEALED;
    if (!dx_page_has_all(p, DX_PAGE_DOM_WRITE)) return DX_PAGE_ECAPABILITY;
    if (!dx_page_p_component_of(p, component)) return DX_PAGE_ENOTFOUND;
    if (number == DX_PAGE_P_NONE || !dx_page_p_has_slot(p, number, slot)) return DX_PAGE_ENODE;
    return DX_PAGE_OK;
}

typedef struct dx_page_p_place { /* where to insert clones */
    uint32_t parent, slot, before; /* numbers; before 0: the end */
    uint8_t  flags;                /* of the nodes */
} dx_page_p_place;

static uint32_t dx_page_p_make_node(dx_page *p, dx_page_p_component *c,
                                    const dx_page_p_place *place, uint32_t key)
{
    const uint32_t  number = dx_page_p_new_node(p);
    dx_page_p_node *node = dx_page_p_node_at(p, number);
    DX_PAGE_ASSERT(c >= p->components_ && c < p->components_ + p->component_count_);
    node->state = dx_page_p_new_state(p, c);
    node->component = (uint8_t)(c - p->components_ + 1);
    node->key = key;
    node->flags = (uint8_t)((node->flags & DX_PAGE_P_QUEUED) | place->flags);
    dx_page_p_link(p, number, place->parent);
    return number;
}

/* Make nodes for `count` keys and emit their operations; the caller has checked that there is room
   for the nodes and for two operations each. Bindings that do not fit stay dirty. handles: of the
   new nodes. */
static void dx_page_p_make(dx_page *p, dx_page_p_component *c, const dx_page_p_place *place,
                           const uint32_t *keys, uint32_t count, dx_page_fill *fill, void *user,
                           uint32_t *handles)
{
    uint32_t i = 0;
    while (i < count) {
        uint32_t run = 1;
        uint32_t k, first;
        first = dx_page_p_make_node(p, c, place, keys[i]);
        handles[i] = dx_page_p_handle_of(p, first);
        while (i + run < count) { /* while the numbers are consecutive */
            const bool reused = p->free_ != DX_PAGE_P_NONE;
            if ((reused ? p->free_ : p->node_count_) != first + run) break;
            k = dx_page_p_make_node(p, c, place, keys[i + run]);
            handles[i + run] = dx_page_p_handle_of(p, k);
            run++;
        }
        DX_PAGE_ASSERT(i + run <= count);
        if (place->before)
            dx_page_p_emit(p, dx_page_p_head(DX_PAGE_OP_AT, 0, 0), place->before, 0, 0);
        dx_page_p_emit(p, dx_page_p_head(DX_PAGE_OP_CLONE, place->slot, c->template_id),
                       place->parent, first, run);
        for (k = 0; k < run; k++) {
            uint64_t *mask = dx_page_p_mask_of(p, dx_page_p_node_at(p, first + k));
            if (fill) fill(user, keys[i + k], mask);
            *mask = dx_page_p_emit_bits(p, first + k, c->mask, true);
            if (*mask) dx_page_p_queue(p, first + k);
        }
        i += run;
    }
}

DX_PAGE_API int dx_page_mount(dx_page *p, uint32_t component, uint32_t parent, uint32_t slot,
                              uint32_t before, dx_page_fill *fill, void *user, uint32_t *node)
{
    const int            error = dx_page_p_check_mount(p, component, parent, slot);
    const uint32_t       key = 0;
    dx_page_p_component *c;
    dx_page_p_place      place;
    *node = 0;
    if (error) return error;
    c = dx_page_p_component_of(p, component);
    place.parent = dx_page_p_number(p, parent);
    place.slot = slot;
    place.before = dx_page_p_number(p, before);
    place.flags = 0;
    if (place.before == DX_PAGE_P_NONE) return DX_PAGE_ENODE;
    if (place.before && dx_page_p_node_at(p, place.before)->parent != place.parent)
        return DX_PAGE_ENODE;
    if (!dx_page_p_fits(p, c, 1, 0)) return DX_PAGE_ENOSPACE;
    if (dx_page_p_ops_left(p) < 2) return DX_PAGE_EAGAIN;
    dx_page_p_make(p, c, &place, &key, 1, fill, user, node);
    return DX_PAGE_OK;
}

typedef struct dx_page_p_range_of { /* consecutive freed numbers, in either direction */
    uint32_t first, count;
} dx_page_p_range_of;

/* Numbers are freed after REMOVE, which needs them; a range of them is one operation. */
static void dx_page_p_end_range(dx_page *p, dx_page_p_range_of *r)
{
    const uint32_t head = dx_page_p_head(DX_PAGE_OP_FORGET, 0, 0);
    if (r->count) dx_page_p_emit(p, head, r->first, r->count, 0);
    r->count = 0;
}

static void dx_page_p_forget(dx_page *p, dx_page_p_range_of *r, uint32_t number)
{
    DX_PAGE_ASSERT(number);
    if (r->count && number + 1 == r->first) {
        r->first = number;
        r->count++;
    } else if (r->count && number == r->first + r->count) {
        r->count++;
    } else {
        dx_page_p_end_range(p, r);
        r->first = number;
        r->count = 1;
    }
}

/* Free a node and everything below it, deepest first. There is room for one operation each. */
static void dx_page_p_free_tree(dx_page *p, uint32_t top, dx_page_p_range_of *range)
{
    uint32_t i = top;
    for (;;) {
        uint32_t parent;
        while (dx_page_p_node_at(p, i)->first != DX_PAGE_P_NONE) i = dx_page_p_node_at(p, i)->first;
        parent = dx_page_p_node_at(p, i)->parent;
        DX_PAGE_ASSERT(i && (i == top || parent != DX_PAGE_P_NONE));
        dx_page_p_free_node(p, i);
        dx_page_p_forget(p, range, i);
        if (i == top) return;
        i = parent;
    }
}

DX_PAGE_API int dx_page_unmount(dx_page *p, uint32_t node)
{
    const uint32_t     number = dx_page_p_number(p, node);
    dx_page_p_range_of range = {0, 0};
    uint32_t           size;
    if (number == 0 || number == DX_PAGE_P_NONE) return DX_PAGE_ENODE;
    if (dx_page_p_node_at(p, number)->flags & DX_PAGE_P_ROW) return DX_PAGE_ENODE;
    if (!dx_page_has_all(p, DX_PAGE_DOM_WRITE)) return DX_PAGE_ECAPABILITY;
    size = dx_page_p_count_below(p, number) + 2;
    if (size > p->ops_mask_) return DX_PAGE_ETOOBIG;
    if (size > dx_page_p_ops_left(p)) return DX_PAGE_EAGAIN;
    dx_page_p_emit(p, dx_page_p_head(DX_PAGE_OP_REMOVE, 0, 0), number, 0, 0);
    dx_page_p_free_tree(p, number, &range);
    dx_page_p_end_range(p, &range);
    return DX_PAGE_OK;
}

/* >>order ---------------------------------------------------------------
   Common rows at the front and at the back are not touched. In between each new row gets a source,
   the old place of its key, or DX_PAGE_P_NEW:

       before   a [b c d e] f          sources of e b x d:   3 0 new 2
       after    a [e b x d] f          longest increasing:   0 2

   Rows of a longest increasing subsequence of the sources stay where they are: b and d. That is the
   largest set of rows that can stay, so e alone moves, x is made, and c is removed. */
typedef struct dx_page_p_diff {
    uint32_t *source, *node; /* of each new row in between: scratch */
    uint32_t *previous, *tail; /* of the increasing subsequences, see dx_page_p_mark_stable() */
    uint32_t *table;           /* new place + 1 by key, 0: free; NULL: nothing is compared */
    uint32_t  table_mask;
    uint32_t  front, old_count, count; /* untouched rows at the front; rows in between */
    uint32_t  made, moved, removed;
} dx_page_p_diff;

static uint32_t dx_page_p_hash(uint32_t key)
{
    key *= 0x9e3779b1u;
    return key ^ key >> 15;
}

/* The place of a key in the table, or a free place for it. */
static uint32_t dx_page_p_find(const dx_page_p_diff *d, const uint32_t *keys, uint32_t key)
{
    uint32_t at = dx_page_p_hash(key) & d->table_mask;
    DX_PAGE_ASSERT(d->table && d->count <= d->table_mask); /* so there is a free place */
    while (d->table[at] && keys[d->table[at] - 1] != key) at = (at + 1) & d->table_mask;
    return at;
}

/* Allocate the arrays at the end of the text area, where the values of this update do not reach;
   only the table, unless old rows are to be compared. False: no room.

       | text of the frame -> | free | source | node | previous | tail | table |
       ^text_begin_                  ^text_limit_, until the update ends */
static bool dx_page_p_reserve_scratch(dx_page *p, dx_page_p_diff *d)
{
    const uint32_t arrays = d->old_count ? 4 : 0;
    uint64_t  table = 8;
    uint64_t  size;
    uint32_t  begin;
    uint32_t *at;
    void     *memory;
    while (table < (uint64_t)2 * d->count) table *= 2;
    size = (table + (uint64_t)arrays * d->count) * sizeof(uint32_t);
    begin = (p->text_size_ + 7) & ~(uint32_t)7;
    if (p->text_limit_ < begin || size > p->text_limit_ - begin) return false;
    p->text_limit_ -= (uint32_t)size;
    p->text_limit_ &= ~(uint32_t)3;
    if (p->text_limit_ < begin) return false;
    memory = p->queue_ + p->text_begin_ + p->text_limit_;
    at = (uint32_t *)memory;
    DX_PAGE_ASSERT(((uintptr_t)memory & 3) == 0 && p->text_size_ <= p->text_limit_);
    if (arrays) {
        d->source = at;
        d->node = at + d->count;
        d->previous = at + 2 * (size_t)d->count;
        d->tail = at + 3 * (size_t)d->count;
    }
    d->table = at + arrays * (size_t)d->count;
    d->table_mask = (uint32_t)table - 1;
    DX_PAGE_MEMSET(d->table, 0, (size_t)table * sizeof(uint32_t));
    return true;
}

/* Mark the rows of a longest increasing subsequence of the sources as stable; O(n log n). tail[k]
   is the row with the smallest source that ends such a subsequence of k + 1 rows. */
static uint32_t dx_page_p_mark_stable(dx_page_p_diff *d)
{
    uint32_t length = 0;
    uint32_t i, row;
    for (i = 0; i < d->count; i++) {
        uint32_t low = 0;
        uint32_t high = length;
        if (d->source[i] == DX_PAGE_P_NEW) continue;
        if (length && d->source[d->tail[length - 1]] < d->source[i]) low = high; /* usual */
        while (low < high) {
            const uint32_t middle = low + (high - low) / 2;
            if (d->source[d->tail[middle]] < d->source[i]) low = middle + 1;
            else high = middle;
        }
        DX_PAGE_ASSERT(low <= length && length <= i);
        d->previous[i] = low ? d->tail[low - 1] : DX_PAGE_P_NEW;
        d->tail[low] = i;
        if (low == length) length++;
    }
    if (!length) return 0;
    for (row = d->tail[length - 1]; row != DX_PAGE_P_NEW; row = d->previous[row])
        d->source[row] |= DX_PAGE_P_STABLE;
    return length;
}

/* Do the keys ascend? Then they are distinct, and need no table to say so. */
static bool dx_page_p_ascend(const uint32_t *keys, uint32_t count)
{
    uint32_t i = 1;
    while (i < count && keys[i - 1] < keys[i]) i++;
    return i >= count;
}

/* Put the keys in between into the table. The unchanged rows at both ends are distinct among
   themselves, so each duplicate has a key in between. */
static int dx_page_p_fill_table(const uint32_t *keys, uint32_t count, dx_page_p_diff *d)
{
    const uint32_t *between = keys + d->front;
    uint32_t        i;
    for (i = 0; i < d->count; i++) {
        const uint32_t at = dx_page_p_find(d, between, between[i]);
        if (d->table[at]) return DX_PAGE_EDUPLICATE;
        d->table[at] = i + 1;
    }
    if (dx_page_p_ascend(keys, count)) return DX_PAGE_OK;
    for (i = 0; i < d->front; i++)
        if (d->table[dx_page_p_find(d, between, keys[i])]) return DX_PAGE_EDUPLICATE;
    for (i = d->front + d->count; i < count; i++)
        if (d->table[dx_page_p_find(d, between, keys[i])]) return DX_PAGE_EDUPLICATE;
    return DX_PAGE_OK;
}

/* Find the sources of the rows in between, and count those added, moved and removed. */
static void dx_page_p_compare(const dx_page_list *list, const uint32_t *keys, dx_page_p_diff *d)
{
    const uint32_t *old_keys = list->keys + d->front;
    uint32_t        kept = 0;
    uint32_t        i;
    keys += d->front;
    for (i = 0; i < d->count; i++) d->source[i] = DX_PAGE_P_NEW;
    for (i = 0; i < d->old_count; i++) {
        const uint32_t at = dx_page_p_find(d, keys, old_keys[i]);
        if (!d->table[at]) continue;
        d->source[d->table[at] - 1] = i;
        d->node[d->table[at] - 1] = list->nodes[d->front + i];
        kept++;
    }
    DX_PAGE_ASSERT(kept <= d->count && kept <= d->old_count);
    d->made = d->count - kept;
    d->removed = d->old_count - kept;
    d->moved = kept - dx_page_p_mark_stable(d);
}

/* Skip common rows at both ends. */
static void dx_page_p_trim(const dx_page_list *list, const uint32_t *keys, uint32_t count,
                           dx_page_p_diff *d)
{
    const uint32_t least = list->count < count ? list->count : count;
    uint32_t       back = 0;
    d->front = 0;
    while (d->front < least && list->keys[d->front] == keys[d->front]) d->front++;
    while (back < least - d->front && list->keys[list->count - 1 - back] == keys[count - 1 - back])
        back++;
    d->old_count = list->count - d->front - back;
    d->count = count - d->front - back;
}

/* >>updating ------------------------------------------------------------
   The changes of a list, in an order in which a host can carry them out one by one: removed rows
   first, then from the front to the back. Everything in front of row i is then complete, and a row
   that stays is a fixed place to insert before:

       a b c d e f        REMOVE c
       a b d e f          MOVE e before b
       a e b d f          AT d, CLONE x
       a e b x d f

   Room for all of it is checked first, so an update is carried out completely or not at all. */
/* Does the row with this key stay? Without a table, no row in between does. */
static bool dx_page_p_stays(const dx_page_p_diff *d, const uint32_t *new_keys, uint32_t key)
{
    return d->table && d->table[dx_page_p_find(d, new_keys, key)] != 0;
}

/* Nodes below the removed rows. */
static uint32_t dx_page_p_count_removed(dx_page *p, const dx_page_list *list,
                                        const uint32_t *new_keys, const dx_page_p_diff *d)
{
    uint32_t count = 0;
    uint32_t i;
    for (i = d->front; i < d->front + d->old_count; i++) {
        const uint32_t number = list->nodes[i] & DX_PAGE_P_NONE;
        if (dx_page_p_node_at(p, number)->first == DX_PAGE_P_NONE) continue;
        if (dx_page_p_stays(d, new_keys + d->front, list->keys[i])) continue;
        count += dx_page_p_count_below(p, number);
    }
    return count;
}

/* From the last to the first, so that their numbers are reused in order. */
static void dx_page_p_remove_rows(dx_page *p, const dx_page_list *list, const uint32_t *new_keys,
                                  const dx_page_p_diff *d)
{
    const bool         all = d->removed == list->count;
    dx_page_p_range_of range = {0, 0};
    uint32_t           i;
    if (!d->removed) return;
    if (all)
        dx_page_p_emit(p, dx_page_p_head(DX_PAGE_OP_CLEAR, list->slot, 0),
                       dx_page_p_number(p, list->parent), 0, 0);
    for (i = d->front + d->old_count; i-- > d->front;) {
        const uint32_t number = list->nodes[i] & DX_PAGE_P_NONE;
        if (dx_page_p_stays(d, new_keys + d->front, list->keys[i])) continue;
        if (!all) dx_page_p_emit(p, dx_page_p_head(DX_PAGE_OP_REMOVE, 0, 0), number, 0, 0);
        dx_page_p_free_tree(p, number, &range);
    }
    dx_page_p_end_range(p, &range);
}

/* Front to back: insert each new or moved row before the next stable row, or before `behind`, the
   handle of the first common row at the back; 0: there is none, so at the end. */
static void dx_page_p_place_rows(dx_page *p, dx_page_list *list, const uint32_t *keys,
                                 const dx_page_p_diff *d, uint32_t behind)
{
    dx_page_p_component *c = dx_page_p_component_of(p, list->component);
    dx_page_p_place      place;
    uint32_t             stable = 0;
    uint32_t             i = 0;
    DX_PAGE_ASSERT(c && d->front + d->count <= list->capacity);
    place.parent = dx_page_p_number(p, list->parent);
    place.slot = list->slot;
    place.flags = DX_PAGE_P_ROW;
    while (i < d->count) {
        uint32_t run = 1;
        if (stable < i) stable = i;
        while (stable < d->count && !(d->source[stable] & DX_PAGE_P_STABLE)) stable++;
        place.before = (stable < d->count ? d->node[stable] : behind) & DX_PAGE_P_NONE;
        if (d->source[i] == DX_PAGE_P_NEW) {
            while (i + run < d->count && d->source[i + run] == DX_PAGE_P_NEW) run++;
            dx_page_p_make(p, c, &place, keys + d->front + i, run, list->fill, list->user,
                           d->node + i);
        } else if (!(d->source[i] & DX_PAGE_P_STABLE)) {
            dx_page_p_emit(p, dx_page_p_head(DX_PAGE_OP_MOVE, list->slot, 0), place.parent,
                           d->node[i] & DX_PAGE_P_NONE, place.before);
        }
        i += run;
    }
}

/* At most two operations a new row (AT and CLONE), one a moved row, two a removed row (REMOVE and
   FORGET), one a node below it, and two for CLEAR and the last FORGET. */
static int dx_page_p_check_room(dx_page *p, const dx_page_list *list, const uint32_t *keys,
                                const dx_page_p_diff *d)
{
    const uint64_t below = dx_page_p_count_removed(p, list, keys, d);
    uint64_t       ops = (uint64_t)2 * d->made + d->moved + 2;
    ops += (uint64_t)2 * d->removed + below;
    if (!dx_page_p_fits(p, dx_page_p_component_of(p, list->component), d->made, d->removed))
        return DX_PAGE_ENOSPACE;
    if (ops > p->ops_mask_) return DX_PAGE_ETOOBIG;
    if (ops > dx_page_p_ops_left(p)) return DX_PAGE_EAGAIN;
    p->reserved_ = (uint32_t)ops;
    return DX_PAGE_OK;
}

/* All rows between the common ones are new: no comparison. */
static void dx_page_p_append_rows(dx_page *p, dx_page_list *list, const uint32_t *keys,
                                  const dx_page_p_diff *d, uint32_t behind)
{
    dx_page_p_place place;
    place.parent = dx_page_p_number(p, list->parent);
    place.slot = list->slot;
    place.flags = DX_PAGE_P_ROW;
    place.before = behind & DX_PAGE_P_NONE;
    dx_page_p_make(p, dx_page_p_component_of(p, list->component), &place, keys + d->front,
                   d->count, list->fill, list->user, list->nodes + d->front);
}

/* memmove() of words, which freestanding builds lack. */
static void dx_page_p_move_words(uint32_t *to, const uint32_t *from, uint32_t count)
{
    uint32_t i;
    if (to == from) return;
    if (to < from)
        for (i = 0; i < count; i++) to[i] = from[i];
    else
        for (i = count; i-- > 0;) to[i] = from[i];
}

DX_PAGE_API int dx_page_list_update(dx_page *p, dx_page_list *list, const uint32_t *keys,
                                    uint32_t count)
{
    const uint32_t text_limit = p->text_limit_;
    int            error = dx_page_p_check_mount(p, list->component, list->parent, list->slot);
    uint32_t       behind, back;
    dx_page_p_diff d;
    bool           compare, table;
    if (error) return error;
    if (!keys && count) return DX_PAGE_EINVAL;
    if (count > list->capacity || count >= DX_PAGE_P_NEW) return DX_PAGE_ENOSPACE;
    if (!count && !list->count) return DX_PAGE_OK;
    if (!count) keys = list->keys; /* of which none is read */
    DX_PAGE_MEMSET(&d, 0, sizeof d);
    dx_page_p_trim(list, keys, count, &d);
    DX_PAGE_ASSERT(d.front + d.count <= count && d.front + d.old_count <= list->count);
    back = count - d.front - d.count;
    behind = back ? list->nodes[d.front + d.old_count] : 0;
    d.made = d.count;
    d.removed = d.old_count;
    compare = d.count && d.old_count;
    table = compare || (d.count && !dx_page_p_ascend(keys, count));
    if (table && !dx_page_p_reserve_scratch(p, &d)) {
        p->text_limit_ = text_limit;
        return dx_page_pending(p) ? DX_PAGE_EAGAIN : DX_PAGE_ENOSPACE;
    }
    if (table) error = dx_page_p_fill_table(keys, count, &d);
    if (compare && !error) dx_page_p_compare(list, keys, &d);
    if (!error) error = dx_page_p_check_room(p, list, keys, &d);
    if (!error) {
        dx_page_p_remove_rows(p, list, keys, &d);
        if (compare) dx_page_p_place_rows(p, list, keys, &d, behind);
        dx_page_p_move_words(list->nodes + d.front + d.count, list->nodes + d.front + d.old_count,
                             back);
        if (compare) DX_PAGE_MEMCPY(list->nodes + d.front, d.node, (size_t)4 * d.count);
        else if (d.count) dx_page_p_append_rows(p, list, keys, &d, behind);
        dx_page_p_move_words(list->keys, keys, count);
        list->count = count;
    }
    p->text_limit_ = text_limit;
    p->reserved_ = 0;
    return error;
}

/* >>running -------------------------------------------------------------
   Handlers, and one queue of tasks for each level, linked through the tasks:

       first_[level] --> task --next_--> task --next_--> task, last_[level] */
DX_PAGE_API int dx_page_on(dx_page *p, uint32_t handler, dx_page_handler *fn, void *user)
{
    if (handler >= DX_PAGE_HANDLERS_MAX) return DX_PAGE_EINVAL;
    p->handlers_[handler] = fn;
    p->handler_users_[handler] = user;
    return DX_PAGE_OK;
}

DX_PAGE_API int dx_page_event(dx_page *p, uint32_t handler, uint32_t number, const void *data,
                              size_t size)
{
    const uint32_t node = dx_page_handle(p, number);
    if (!dx_page_has_all(p, DX_PAGE_DOM_READ)) return DX_PAGE_ECAPABILITY;
    if (handler >= DX_PAGE_HANDLERS_MAX || !p->handlers_[handler]) return DX_PAGE_ENOTFOUND;
    if (number && !node) return DX_PAGE_ENODE;
    p->handlers_[handler](p->handler_users_[handler], p, node, data, size);
    return DX_PAGE_OK;
}

DX_PAGE_API int dx_page_push(dx_page *p, dx_page_priority priority, dx_page_task *task)
{
    const unsigned level = (unsigned)priority;
    if (level >= DX_PAGE_LEVELS || !task || !task->fn) return DX_PAGE_EINVAL;
    DX_PAGE_ASSERT(!p->first_[level] || p->last_[level]);
    task->next_ = NULL;
    if (p->first_[level]) p->last_[level]->next_ = task;
    else p->first_[level] = task;
    p->last_[level] = task;
    return DX_PAGE_OK;
}

static void dx_page_p_run_one(dx_page *p, unsigned level)
{
    dx_page_task *task = p->first_[level];
    DX_PAGE_ASSERT(task);
    p->first_[level] = task->next_;
    task->next_ = NULL;
    p->waiting_[level] = 0;
    task->fn(task->user); /* which may push it again */
}

DX_PAGE_API uint32_t dx_page_run(dx_page *p, uint64_t now_ns, uint64_t (*clock)(void *user),
                                 void *user)
{
    dx_page_task *last[DX_PAGE_LEVELS]; /* tasks pushed meanwhile wait for the next frame */
    bool          had_turn[DX_PAGE_LEVELS];
    uint32_t      executed = 0;
    unsigned      level;
    for (level = 0; level < DX_PAGE_LEVELS; level++) {
        last[level] = p->first_[level] ? p->last_[level] : NULL;
        had_turn[level] = last[level] == NULL;
    }
    for (level = 0; level < DX_PAGE_LEVELS; level++) {
        while (last[level]) {
            const dx_page_task *task = p->first_[level];
            const uint64_t      used = executed ? clock(user) - now_ns : 0;
            const bool          starved = !had_turn[level] && p->waiting_[level] >= p->patience_;
            if (used >= p->limit_ns_[level] && !starved) break;
            DX_PAGE_ASSERT(task);
            if (task == last[level]) last[level] = NULL;
            had_turn[level] = true;
            dx_page_p_run_one(p, level);
            executed++;
        }
    }
    for (level = 0; level < DX_PAGE_LEVELS; level++)
        if (!had_turn[level]) p->waiting_[level]++;
    return executed;
}

#endif /* DX_PAGE_IMPLEMENTATION */

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
