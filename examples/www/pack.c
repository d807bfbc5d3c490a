/* cc -O2 -o pack examples/www/pack.c

   Makes the application that the page loads, one chunk stream (docs/HBTP.md): a layout of templates,
   a state as dx_teleport record, a WebAssembly module.

     pack OUT VERSION APP.WASM TEMPLATE...     files of HTML, numbered from 1
     pack describe                             the state's type as JSON, for teleport.js */
#define DX_HBTP_IMPLEMENTATION
#include "../../dx_hbtp.h"
#define DX_TELEPORT_IMPLEMENTATION
#include "../../dx_teleport.h"
#define DX_CAS_IMPLEMENTATION
#include "../../dx_cas.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define APP_STATE(F, S, ...) F(u32, version) S(title) S(news)
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

static bytes make_state(unsigned version)
{
    const char *news = version > 1 ? "Warmer colours, and a ring that goes round." : "The first one.";
    char title[32];
    bytes state = {malloc(256), 256};
    app_state_writer w;
    if (!state.data) fail("state", "no memory");
    snprintf(title, sizeof title, "Waves %u", version);
    app_state_begin(&w, state.data, state.size, 0);
    app_state_set_version(&w, version);
    app_state_put_title(&w, title, strlen(title));
    app_state_put_news(&w, news, strlen(news));
    if (app_state_finish(&w, &state.size)) fail("state", "too long");
    return state;
}

static void describe(void)
{
    static char text[4096];
    size_t size;
    if (dx_teleport_describe(app_state_type(), text, sizeof text, &size)) fail("describe", "too long");
    fwrite(text, 1, size, stdout);
}

int main(int argc, char **argv)
{
    dx_hbtp_stream_parts parts;
    bytes layout, state, wasm, stream;
    dx_cas_id id;
    dx_hbtp_out out;
    FILE *f;
    if (argc == 2 && strcmp(argv[1], "describe") == 0) {
        describe();
        return 0;
    }
    if (argc < 5) fail("usage", "pack OUT VERSION APP.WASM TEMPLATE... | pack describe");
    wasm = read_file(argv[3]);
    layout = make_layout(argv + 4, argc - 4);
    state = make_state((unsigned)atoi(argv[2]));
    memset(&parts, 0, sizeof parts);
    dx_cas_hash(wasm.data, wasm.size, &id);
    memcpy(parts.target_hash, &id, sizeof parts.target_hash);
    parts.layout = layout.data;
    parts.layout_size = (uint32_t)layout.size;
    parts.state = state.data;
    parts.state_size = (uint32_t)state.size;
    parts.wasm = wasm.data;
    parts.wasm_size = (uint32_t)wasm.size;
    stream.size = (size_t)dx_hbtp_stream_size(&parts);
    stream.data = malloc(stream.size);
    if (!stream.data) fail("stream", "no memory");
    (void)dx_hbtp_out_init(&out, stream.data, stream.size);
    if (dx_hbtp_write_stream(&out, &parts)) fail("stream", "too long");
    f = fopen(argv[1], "wb");
    if (!f || fwrite(stream.data, 1, stream.size, f) != stream.size || fclose(f)) fail(argv[1], strerror(errno));
    return 0;
}
