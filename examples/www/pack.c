/* cc -O2 -o pack examples/www/pack.c

   Makes the application that the page loads, one chunk stream (docs/formats/chunks.md): a layout of templates,
   a state as dx_teleport record, a WebAssembly module.

     pack OUT VERSION APP.WASM TEMPLATE...     files of HTML, numbered from 1; the card is made of the first
     pack card VERSION TEMPLATE                the card's HTIP stream by itself
     pack html VERSION TEMPLATE                what a server makes of it
     pack describe                             the state's type as JSON, for teleport.js */
#define DX_CHUNKS_IMPLEMENTATION
#include "../../layers/dx_chunks.h"
#define DX_TELEPORT_IMPLEMENTATION
#include "../../dx_teleport.h"
#define DX_DUMP_IMPLEMENTATION
#include "../../layers/dx_dump.h"
#define DX_CAS_IMPLEMENTATION
#include "../../dx_cas.h"
#define DX_HTIP_IMPLEMENTATION
#include "htip_html.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define APP_STATE(F, S, A, L, ...) F(u32, version) L(u8, card)
DX_TELEPORT_DEFINE(app_state, APP_STATE)

typedef struct bytes {
    uint8_t *data;
    size_t size;
} bytes;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "pack: %s: %s\n", what, why);
    exit(1);
}

static void append(bytes *b, const void *data, size_t size)
{
    b->data = realloc(b->data, b->size + size + 1);
    if (!b->data) fail("append", "no memory");
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static bytes read_file(const char *path)
{
    bytes b = {NULL, 0};
    char part[65536];
    size_t n;
    FILE *f = fopen(path, "rb");
    if (!f) fail(path, strerror(errno));
    while ((n = fread(part, 1, sizeof part, f)) > 0) append(&b, part, n);
    if (ferror(f)) fail(path, strerror(errno));
    fclose(f);
    return b;
}

static void append32(bytes *b, size_t v)
{
    const uint8_t p[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    append(b, p, sizeof p);
}

/* count, then id, size and text of each */
static bytes make_layout(char **paths, int count)
{
    bytes layout = {NULL, 0};
    append32(&layout, (size_t)count);
    for (int i = 0; i < count; i++) {
        bytes text = read_file(paths[i]);
        append32(&layout, (size_t)i + 1);
        append32(&layout, text.size);
        append(&layout, text.data, text.size);
        free(text.data);
    }
    return layout;
}

/* The card as an HTIP stream: its template, its texts, its classes and styles. */
static bytes make_card(unsigned version, const char *template)
{
    const char *news = version > 1 ? "Warmer colours, and a ring that goes round." : "The first one.";
    char title[32];
    static uint64_t memory[2048];
    dx_htip_writer_desc desc;
    dx_htip_writer w;
    bytes markup = read_file(template), card = {malloc(4096), 4096};
    memset(&desc, 0, sizeof desc);
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    if (!card.data || dx_htip_writer_init(&w, &desc)) fail("card", "no memory");
    while (markup.size && markup.data[markup.size - 1] == '\n') markup.size--;
    snprintf(title, sizeof title, "Waves %u", version);
    dx_htip_add_template(&w, 1, (const char *)markup.data, markup.size);
    dx_htip_begin(&w);
    dx_htip_clone(&w, 1, 1, 0);
    dx_htip_set_text(&w, 2, dx_htip_text_of(title));
    dx_htip_set_text(&w, 3, dx_htip_text_of(news));
    dx_htip_set_attribute(&w, 1, dx_htip_text_of("data-version"), dx_htip_text_of(title + 6));
    dx_htip_set_class(&w, 1, dx_htip_text_of("renewed"), version > 1);
    if (version > 1) dx_htip_set_style(&w, 1, dx_htip_text_of("border-width"), dx_htip_text_of("2px"));
    dx_htip_commit(&w);
    if (dx_htip_finish(&w, card.data, card.size, &card.size)) fail("card", "too large");
    free(markup.data);
    return card;
}

static bytes make_state(unsigned version, const char *template)
{
    bytes card = make_card(version, template), state = {malloc(card.size + 256), card.size + 256};
    app_state_writer w;
    if (!state.data) fail("state", "no memory");
    app_state_begin(&w, state.data, state.size, 0);
    app_state_set_version(&w, version);
    app_state_put_card(&w, card.data, card.size);
    if (app_state_finish(&w, &state.size)) fail("state", "too long");
    free(card.data);
    return state;
}

static void print_card(bool html, unsigned version, const char *template)
{
    htip_page page;
    htip_buffer out = {NULL, 0, 0};
    bytes card = make_card(version, template);
    if (!html) {
        fwrite(card.data, 1, card.size, stdout);
        return;
    }
    htip_page_open(&page, 100);
    int error = htip_page_render(&page, card.data, card.size);
    if (error) fail(template, "the card is refused");
    htip_page_html(&page, &out);
    fwrite(out.data, 1, out.size, stdout);
    htip_page_close(&page);
    free(out.data);
}

static void describe(void)
{
    static char text[4096];
    size_t size;
    if (dx_dump_schema(app_state_type(), text, sizeof text, &size)) fail("describe", "too long");
    fwrite(text, 1, size, stdout);
}

int main(int argc, char **argv)
{
    dx_chunks_parts parts;
    bytes layout, state, wasm, stream;
    dx_cas_id id;
    dx_chunks_buffer out;
    FILE *f;
    if (argc == 2 && strcmp(argv[1], "describe") == 0) {
        describe();
        return 0;
    }
    if (argc == 4 && (strcmp(argv[1], "card") == 0 || strcmp(argv[1], "html") == 0)) {
        print_card(argv[1][0] == 'h', (unsigned)atoi(argv[2]), argv[3]);
        return 0;
    }
    if (argc < 5) fail("usage", "pack OUT VERSION APP.WASM TEMPLATE... | pack card|html VERSION TEMPLATE | pack describe");
    wasm = read_file(argv[3]);
    layout = make_layout(argv + 4, argc - 4);
    state = make_state((unsigned)atoi(argv[2]), argv[4]);
    memset(&parts, 0, sizeof parts);
    dx_cas_hash(wasm.data, wasm.size, &id);
    memcpy(parts.target_hash, &id, sizeof parts.target_hash);
    parts.layout = layout.data;
    parts.layout_size = (uint32_t)layout.size;
    parts.state = state.data;
    parts.state_size = (uint32_t)state.size;
    parts.wasm = wasm.data;
    parts.wasm_size = (uint32_t)wasm.size;
    stream.size = (size_t)dx_chunks_stream_size(&parts);
    stream.data = malloc(stream.size);
    if (!stream.data) fail("stream", "no memory");
    out.memory = stream.data;
    out.size = 0;
    out.capacity = stream.size;
    if (dx_chunks_write_stream(&out, &parts)) fail("stream", "too long");
    f = fopen(argv[1], "wb");
    if (!f || fwrite(stream.data, 1, stream.size, f) != stream.size || fclose(f)) fail(argv[1], strerror(errno));
    return 0;
}
