/* The browser's runtime: chunk stream, patches, BLAKE3 and HTIP in WebAssembly, without a C library and
   without emscripten. core.js calls it; build.sh builds it.

   Functions take and return pointers and lengths into the module's memory. allocate() gives room in
   one arena that reset() takes back; nothing else is allocated. Results below zero are errors: those
   of a stream are the codes 1, 2, 3, 4, 10, 11, 12 of docs/formats/chunks.md, negated; those of a patch are
   the values of dx_patch_error; those of HTIP the codes of docs/formats/htip.md, negated. All state is in one
   object, for which every export works; the page's nodes in another, which reset() leaves alone.

   CORE_DELTA adds deltas, CORE_HTIP the page's operations; CORE_UPDATE leaves out templates and states, which
   a module that only updates files does not look at. */
#include <stddef.h>
#include <stdint.h>

#define DX_CHUNKS_STATIC
#define DX_CHUNKS_IMPLEMENTATION
#include "../../layers/dx_chunks.h"
#define DX_CAS_STATIC
#define DX_CAS_IMPLEMENTATION
#include "../../dx_cas.h"
/* One BLAKE3 for the exports and for patches. */
#define DX_PATCH_HASH dx_cas_blake3
#define DX_PATCH_HASH_START(state) dx_cas_blake3_init(state)
#define DX_PATCH_HASH_UPDATE(state, p, size) dx_cas_blake3_update(state, p, size)
#define DX_PATCH_HASH_FINISH(state, hash) dx_cas_blake3_final(state, hash, 32)
#define DX_PATCH_NO_FLASH
#define DX_PATCH_STATIC
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"

#define EXPORT(name) __attribute__((export_name(#name))) name
#define IMPORT(name) __attribute__((import_module("host"), import_name(#name))) name

#ifdef CORE_HTIP
#define DX_HTIP_STATIC
#define DX_HTIP_IMPLEMENTATION
#include "../../layers/dx_htip.h"

/* The page carries out one operation of an HTIP stream; after a clone its markup, part by part. */
void IMPORT(page_do)(uint32_t op, uint32_t node, uint32_t other, const uint8_t *a, uint32_t a_size, const uint8_t *b, uint32_t b_size);
void IMPORT(page_build)(uint32_t part, const uint8_t *a, uint32_t a_size, const uint8_t *b, uint32_t b_size);

enum { NODES = 8192 };
static dx_htip_nodes nodes;
static dx_htip_node  node_memory[2 * NODES];

/* Nothing is on the page. */
void EXPORT(clear_page)(void) { (void)dx_htip_nodes_init(&nodes, node_memory, sizeof node_memory, NODES); }
#endif

#ifndef CORE_UPDATE
/* Services of the page: keep a template (UTF-8 text), and read a new state. */
void IMPORT(cache_template)(uint32_t id, const uint8_t *text, uint32_t size);
void IMPORT(notify_state_change)(const uint8_t *state, uint32_t size);
#endif

enum { PAGE = 65536, CHUNK_MAX = 16 << 20, TYPES = 6 };

typedef struct part {
    uint8_t *data;
    uint32_t size;
} part;

typedef struct core {
    uint8_t *arena, *next, *end;
    dx_chunks_reader reader;
    uint8_t types[TYPES]; /* that are complete, in order, from `first` on */
    uint32_t count, first;
    bool streaming;
    part parts[TYPES];
    dx_cas_blake3 hash;
    part old, patch, target;
#ifdef CORE_UPDATE
    uint32_t target_max;
#endif
} core;

static core instance;
extern uint8_t __heap_base;

#include "../memory.c"

#ifdef CORE_UPDATE
/* Of this file's exports: JavaScript of another number is refused. */
int EXPORT(get_interface)(void) { return 1; }
#endif

/* >>arena ------------------------------------------------------------------ */
int EXPORT(init)(void)
{
    core *c = &instance;
    memset(c, 0, sizeof *c);
    c->arena = c->next = &__heap_base;
    c->end = (uint8_t *)(__builtin_wasm_memory_size(0) * PAGE);
#ifdef CORE_HTIP
    if (!nodes.count) clear_page();
#endif
    return 0;
}

/* Take back everything that allocate() gave, and forget what lay in it; not the nodes of the page. */
void EXPORT(reset)(void) { init(); }

/* size bytes on a multiple of 16, or NULL: the browser gives no more. */
uint8_t *EXPORT(allocate)(uint32_t size)
{
    core *c = &instance;
    uint8_t *data = (uint8_t *)(((uintptr_t)c->next + 15) & ~(uintptr_t)15);
    if (size > UINT32_MAX - (uintptr_t)data) return NULL;
    if (data + size > c->end) {
        uint32_t pages = (uint32_t)((uintptr_t)(data + size) - (uintptr_t)c->end + PAGE - 1) / PAGE;
        if (__builtin_wasm_memory_grow(0, pages) == SIZE_MAX) return NULL;
        c->end += pages * PAGE;
    }
    c->next = data + size;
    return data;
}

/* >>stream ----------------------------------------------------------------- */
static int code(int error)
{
    return error ? -dx_chunks_code_of_error(error) : 0;
}

/* A whole chunk: keep a copy, it may lie in bytes that the next call overwrites. */
static int on_chunk(void *user, const dx_chunks_chunk *chunk)
{
    core *c = user;
    part *p;
    if (chunk->type >= TYPES) return 0;
    p = &c->parts[chunk->type];
    if (p->data) return DX_CHUNKS_EDUPLICATE;
    p->data = allocate((uint32_t)chunk->size);
    if (!p->data) return DX_CHUNKS_ENOMEM;
    memcpy(p->data, chunk->data, chunk->size);
    p->size = (uint32_t)chunk->size;
    c->types[c->count++] = chunk->type;
    return 0;
}

/* Chunks may be as long as CHUNK_MAX; the browser commits only the pages that are written. */
int EXPORT(init_streaming)(void)
{
    core *c = &instance;
    dx_chunks_reader_desc desc;
    memset(&desc, 0, sizeof desc);
    memset(c->parts, 0, sizeof c->parts);
    desc.memory = allocate(CHUNK_MAX);
    desc.memory_size = CHUNK_MAX;
    desc.on_chunk = on_chunk;
    desc.user = c;
    c->count = c->first = 0;
    c->streaming = true;
    return code(desc.memory ? dx_chunks_reader_init(&c->reader, &desc) : DX_CHUNKS_ENOMEM);
}

/* The next bytes of the stream, any number. Returns how many chunks they completed, or an error. */
int EXPORT(feed_chunk_data)(const uint8_t *data, uint32_t size)
{
    core *c = &instance;
    int64_t n;
    if (!c->streaming) return -DX_CHUNKS_CODE_NOT_INITIALISED;
    n = dx_chunks_feed(&c->reader, data, size);
    return n < 0 ? code((int)n) : (int)n;
}

/* The type of the next complete chunk, in order; 0: no chunk is complete. Its bytes: chunk_data(). */
int EXPORT(poll_and_process_chunk)(void)
{
    core *c = &instance;
    return c->first < c->count ? c->types[c->first++] : 0;
}

const uint8_t *EXPORT(chunk_data)(uint32_t type) { return type < TYPES ? instance.parts[type].data : NULL; }
uint32_t EXPORT(chunk_size)(uint32_t type) { return type < TYPES ? instance.parts[type].size : 0; }
int EXPORT(is_stream_finished)(void) { return instance.streaming && instance.reader.finished; }

#ifndef CORE_UPDATE
static uint32_t load32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Is it well-formed UTF-8 (RFC 3629)? A page refuses other text with an exception. */
static bool is_utf8(const uint8_t *p, uint32_t size)
{
    uint32_t at = 0;
    while (at < size) {
        const uint8_t first = p[at++];
        uint8_t low = 0x80, high = 0xbf;
        uint32_t more = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
        if ((first >= 0x80 && first < 0xc2) || first > 0xf4 || more > size - at) return false;
        if (first == 0xe0) low = 0xa0;  /* shorter forms say the same */
        if (first == 0xed) high = 0x9f; /* surrogates */
        if (first == 0xf0) low = 0x90;
        if (first == 0xf4) high = 0x8f; /* above U+10FFFF */
        for (; more; more--, at++, low = 0x80, high = 0xbf)
            if (p[at] < low || p[at] > high) return false;
    }
    return true;
}

/* The templates of a layout: count, then id, size and text of each. First all are looked at, text
   too, then handed to the page: all or none. */
static int apply_layout(const part *layout, bool hand_out)
{
    uint32_t at = 4, count;
    if (layout->size < 4) return -DX_CHUNKS_CODE_NO_LAYOUT;
    for (count = load32(layout->data); count; count--) {
        uint32_t size;
        if (layout->size - at < 8) return -DX_CHUNKS_CODE_NO_LAYOUT;
        size = load32(layout->data + at + 4);
        if (size > layout->size - at - 8) return -DX_CHUNKS_CODE_NO_LAYOUT;
        if (!hand_out && !is_utf8(layout->data + at + 8, size)) return -DX_CHUNKS_CODE_NO_LAYOUT;
        if (hand_out) cache_template(load32(layout->data + at), layout->data + at + 8, size);
        at += 8 + size;
    }
    return at == layout->size ? 0 : -DX_CHUNKS_CODE_NO_LAYOUT;
}

/* The stream has ended and is whole: hand its templates and its state to the page. */
int EXPORT(finalize_stream)(void)
{
    core *c = &instance;
    const part *layout = &c->parts[DX_CHUNKS_LAYOUT], *state = &c->parts[DX_CHUNKS_STATE];
    int error;
    if (!c->streaming) return -DX_CHUNKS_CODE_NOT_INITIALISED;
    if (!is_stream_finished() || !c->parts[DX_CHUNKS_WASM].data) return -DX_CHUNKS_CODE_INCOMPLETE;
    if (!layout->data) return -DX_CHUNKS_CODE_NO_LAYOUT;
    error = apply_layout(layout, false);
    if (error) return error;
    (void)apply_layout(layout, true);
    if (state->size) notify_state_change(state->data, state->size);
    return 0;
}
#endif

/* >>patch ------------------------------------------------------------------ */
int EXPORT(init_patcher)(void)
{
    core *c = &instance;
    memset(&c->old, 0, sizeof c->old);
    memset(&c->patch, 0, sizeof c->patch);
    memset(&c->target, 0, sizeof c->target);
    return 0;
}

int EXPORT(set_old_binary)(uint8_t *data, uint32_t size)
{
    instance.old.data = data;
    instance.old.size = size;
    return 0;
}

int EXPORT(set_patch_data)(uint8_t *data, uint32_t size)
{
    instance.patch.data = data;
    instance.patch.size = size;
    return 0;
}

#ifdef CORE_UPDATE
enum { PATCH_MEMORY_MAX = 64 << 20 };

/* Refuse patches to more bytes, before there is memory for them; 0: of up to 2 GiB. */
int EXPORT(set_target_max)(uint32_t size)
{
    instance.target_max = size;
    return 0;
}
#endif

static int header(dx_patch_header *h)
{
    core *c = &instance;
    if (!c->patch.data) return DX_PATCH_ENOPATCH;
    if (!c->old.data) return DX_PATCH_ENOBASE;
    return dx_patch_info(c->patch.data, c->patch.size, h);
}

/* Make the new version out of the old one, verified; its bytes or an error. get_patched_binary()
   is where it lies. */
int EXPORT(apply_patch_and_get_length)(void)
{
    core *c = &instance;
    dx_patch_header h;
    size_t size = 0;
    uint8_t *memory;
    int error = header(&h);
    if (error) return error;
    if (h.target_size > INT32_MAX || h.memory_size > INT32_MAX) return DX_PATCH_ETOOBIG;
#ifdef CORE_UPDATE
    if (c->target_max && (h.target_size > c->target_max || h.memory_size > PATCH_MEMORY_MAX)) return DX_PATCH_ETOOBIG;
#endif
    c->target.data = allocate((uint32_t)h.target_size);
    memory = allocate((uint32_t)h.memory_size);
    if (!c->target.data || !memory) return DX_PATCH_ENOMEM;
#ifdef CORE_DELTA
    error = dx_patch_apply(c->old.data, c->old.size, c->patch.data, c->patch.size, c->target.data,
                           (size_t)h.target_size, &size, memory, (size_t)h.memory_size);
#else
    if (h.target_size < c->old.size) return DX_PATCH_ENOTSUP; /* blocks that shrink: in place */
    memcpy(c->target.data, c->old.data, c->old.size);
    error = dx_patch_apply_in_place(c->target.data, c->old.size, (size_t)h.target_size, c->patch.data,
                                    c->patch.size, &size);
#endif
    if (error) return error;
    c->target.size = (uint32_t)size;
    return (int)size;
}

const uint8_t *EXPORT(get_patched_binary)(void) { return instance.target.data; }

#ifndef DX_PATCH_NO_BLOCKS
/* Block patches: turn the old version into the new one where it lies, all or nothing; room for the
   larger of both must be there. Bytes of the new one, or an error. */
int EXPORT(apply_patch_inplace)(void)
{
    core *c = &instance;
    dx_patch_header h;
    size_t size = 0;
    int error = header(&h);
    if (error) return error;
    error = dx_patch_apply_in_place(c->old.data, c->old.size,
                                    (size_t)(h.target_size > c->old.size ? h.target_size : c->old.size),
                                    c->patch.data, c->patch.size, &size);
    if (error) return error;
    c->old.size = (uint32_t)size;
    c->target = c->old;
    return (int)size;
}
#endif

/* >>hash ------------------------------------------------------------------- */
void EXPORT(hash_init)(void) { dx_cas_blake3_init(&instance.hash); }
void EXPORT(hash_update)(const uint8_t *data, uint32_t size) { dx_cas_blake3_update(&instance.hash, data, size); }
/* 32 bytes into out. */
void EXPORT(hash_final)(uint8_t *out) { dx_cas_blake3_final(&instance.hash, out, 32); }

/* >>page ------------------------------------------------------------------- */
#ifdef CORE_HTIP
static void build_page(void *user, dx_htip_part part, dx_htip_text a, dx_htip_text b)
{
    (void)user;
    page_build(part, a.data, a.size, b.data, b.size);
}

static void change_page(void *user, dx_htip_op op, uint16_t node, uint16_t other, dx_htip_text a, dx_htip_text b)
{
    page_do(op, node, other, a.data, a.size, b.data, b.size);
    if (op == DX_HTIP_CLONE) dx_htip_read_markup(a, build_page, user);
}

/* Carry out an HTIP stream (docs/formats/htip.md) as a whole, or none of it: 0 or a code of that document, negated. */
int EXPORT(render_stream)(const uint8_t *data, uint32_t size)
{
    return -dx_htip_code_of_error(dx_htip_render(&nodes, data, size, change_page, NULL));
}

/* Elements that have a number. */
uint32_t EXPORT(get_node_count)(void) { return nodes.used; }
#endif
