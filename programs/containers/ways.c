/* Unpacks members with zlib, zstd and liblzma, packs their contents again, and finds out how they
   were packed. All uses of these libraries are in this file, each under its own switch:
   CONTAINERS_ZLIB, VERSIONS_ZSTD_LIBRARY, CONTAINERS_LZMA. */
#include "container.h"
#include "../common/os.h"

#include "../../dx_cas.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef CONTAINERS_ZLIB
  #include <zlib.h>
#endif
#ifdef VERSIONS_ZSTD_LIBRARY
  #include <zstd.h>
  #include <zstd_errors.h>
#endif
#ifdef CONTAINERS_LZMA
  #include <lzma.h>
#endif

enum {
    PIECE        = 65536, /* size of the output buffer */
    IN_FILE_FROM = 2 << 20, /* larger buffers are mapped from a temporary file */
    RELEASE_FROM = 4 << 20, /* bytes written or read until mapped pages are released */
    COPY_MAX     = 1 << 20, /* bytes copied or hashed at once */
    LZMA_EXTREME = 32     /* bit in a level of xz */
};

/* >>bytes ---------------------------------------------------------------- */
/* Move a buffer that has become large to a file. Without a place for it, it stays in memory. */
static bool move_to_file(container_bytes *b, size_t capacity)
{
    uint8_t *moved = os_scratch_resize(NULL, capacity);
    if (!moved) return false;
    if (b->size) memcpy(moved, b->bytes, b->size);
    free(b->bytes);
    b->bytes = moved;
    b->in_file = true;
    return true;
}

bool container_reserve(container_bytes *b, size_t capacity)
{
    if (b->error || capacity <= b->capacity) return !b->error;
    if (b->in_file || capacity < IN_FILE_FROM || !move_to_file(b, capacity)) {
        uint8_t *moved = b->in_file ? os_scratch_resize(b->bytes, capacity) : realloc(b->bytes, capacity);
        if (!moved) {
            b->error = DX_PATCH_ENOMEM;
            return false;
        }
        b->bytes = moved;
    }
    b->capacity = capacity;
    return true;
}

void container_pass(container_bytes *b, size_t size)
{
    b->passed += size;
    if (b->passed < RELEASE_FROM) return;
    b->passed = 0;
    if (b->in_file) os_release(b->bytes, b->size);
    if (b->source && b->source->in_file) os_release(b->source->bytes, b->source->size);
}

void container_hash(const container_bytes *b, uint8_t hash[DX_PATCH_HASH_SIZE])
{
    dx_cas_blake3 h;
    size_t since = 0;
    dx_cas_blake3_init(&h);
    for (size_t at = 0, part; at < b->size; at += part) {
        part = b->size - at < COPY_MAX ? b->size - at : COPY_MAX;
        dx_cas_blake3_update(&h, b->bytes + at, part);
        since += part;
        if (since < RELEASE_FROM || !b->in_file) continue;
        os_release(b->bytes, b->size);
        since = 0;
    }
    dx_cas_blake3_final(&h, hash, DX_PATCH_HASH_SIZE);
}

bool container_add(container_bytes *b, const void *bytes, size_t size)
{
    assert(b->size <= b->capacity);
    if (b->error) return false;
    if (size > b->max || b->size > b->max - size) {
        b->error = DX_PATCH_ETOOBIG;
        return false;
    }
    if (b->size + size > b->capacity) {
        size_t capacity = b->capacity < PIECE ? PIECE : b->capacity;
        while (capacity < b->size + size) capacity += capacity / 2;
        if (!container_reserve(b, capacity)) return false;
    }
    for (size_t at = 0, part; at < size; at += part) {
        part = size - at < COPY_MAX ? size - at : COPY_MAX;
        memcpy(b->bytes + b->size, (const uint8_t *)bytes + at, part);
        b->size += part;
        container_pass(b, part);
    }
    return true;
}

bool container_is_cancelled(const container_cancel *cancel)
{
    return cancel && cancel->asked(cancel->user);
}

void container_drop(container_bytes *b)
{
    if (b->in_file) os_scratch_free(b->bytes);
    else free(b->bytes);
    b->bytes = NULL;
    b->in_file = false;
    b->size = b->capacity = 0;
}

uint8_t *container_take(container_bytes *b)
{
    uint8_t *taken = b->in_file ? malloc(b->size ? b->size : 1) : b->bytes;
    if (b->in_file && taken) memcpy(taken, b->bytes, b->size);
    if (!b->in_file) b->bytes = NULL;
    container_drop(b);
    return taken;
}

static uint32_t load_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* >>libraries ------------------------------------------------------------ */
const char *container_libraries(void)
{
    static char text[CONTAINER_TEXT_MAX + 1];
    const char *zlib = "no zlib", *zstd = "no zstd", *lzma = "no liblzma";
#ifdef CONTAINERS_ZLIB
    zlib = zlibVersion();
#endif
#ifdef VERSIONS_ZSTD_LIBRARY
    zstd = ZSTD_versionString();
#endif
#ifdef CONTAINERS_LZMA
    lzma = lzma_version_string();
#endif
    snprintf(text, sizeof text, "%s%.30s, %s%.30s, %s%.30s", *zlib == 'n' ? "" : "zlib ", zlib,
             *zstd == 'n' ? "" : "zstd ", zstd, *lzma == 'n' ? "" : "liblzma ", lzma);
    return text;
}

const char *container_library(unsigned kind)
{
    if (kind == CONTAINER_ZSTD) return "zstd";
    return kind == CONTAINER_XZ ? "liblzma" : "zlib";
}

bool container_has(unsigned kind)
{
    bool has[CONTAINER_KINDS] = {[CONTAINER_TOKENS] = true};
#ifdef CONTAINERS_ZLIB
    has[CONTAINER_DEFLATE] = has[CONTAINER_PNG] = true;
#endif
#ifdef VERSIONS_ZSTD_LIBRARY
    has[CONTAINER_ZSTD] = true;
#endif
#ifdef CONTAINERS_LZMA
    has[CONTAINER_XZ] = true;
#endif
    return kind < CONTAINER_KINDS && has[kind];
}

unsigned container_kinds(void)
{
    unsigned kinds = 0;
    for (unsigned kind = 1; kind < CONTAINER_KINDS; kind++)
        if (kind != CONTAINER_TOKENS && container_has(kind)) kinds |= 1u << kind;
    /* zlib unpacks streams of tokens, too. */
    return kinds >> CONTAINER_DEFLATE & 1 ? kinds | 1u << CONTAINER_TOKENS : kinds;
}

/* Receives packed bytes. False aborts. */
typedef bool packed_sink(void *user, const uint8_t *bytes, size_t size);

static bool sink_into_bytes(void *user, const uint8_t *bytes, size_t size)
{
    container_bytes *out = user;
    if (!out->error && container_is_cancelled(out->cancel)) out->error = DX_PATCH_ECANCELED;
    container_pass(out, PIECE); /* about as much was read */
    return container_add(out, bytes, size);
}

#ifdef CONTAINERS_ZLIB
/* >>deflate -------------------------------------------------------------- */
static int inflate_raw(const uint8_t *in, size_t size, container_bytes *out, size_t *taken)
{
    z_stream z;
    uint8_t piece[PIECE];
    memset(&z, 0, sizeof z);
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK) return DX_PATCH_ENOMEM;
    int got = Z_OK;
    size_t at = 0;
    while (got == Z_OK) {
        uInt part = size - at < PIECE ? (uInt)(size - at) : PIECE;
        z.next_in = (Bytef *)(uintptr_t)(in + at);
        z.avail_in = part;
        z.next_out = piece;
        z.avail_out = PIECE;
        got = inflate(&z, Z_NO_FLUSH); /* Z_BUF_ERROR: no progress, the input ends early */
        at += part - z.avail_in;
        container_pass(out, part - z.avail_in);
        if (!container_add(out, piece, PIECE - z.avail_out)) break;
    }
    inflateEnd(&z);
    *taken = at;
    if (out->error) return out->error;
    if (got == Z_STREAM_END) return DX_PATCH_OK;
    return got == Z_MEM_ERROR ? DX_PATCH_ENOMEM : DX_PATCH_ECORRUPT;
}

static int deflate_raw(const container_way *way, const uint8_t *content, size_t size,
                       packed_sink *sink, void *user)
{
    z_stream z;
    uint8_t piece[PIECE];
    size_t at = 0;
    memset(&z, 0, sizeof z);
    int got = deflateInit2(&z, way->level, Z_DEFLATED, -(int)way->window, way->variant,
                           way->strategy);
    if (got != Z_OK) return got == Z_MEM_ERROR ? DX_PATCH_ENOMEM : DX_PATCH_ECORRUPT;
    bool more = true;
    while (more && got == Z_OK) {
        uInt part = size - at < PIECE ? (uInt)(size - at) : PIECE;
        z.next_in = (Bytef *)(uintptr_t)(content + at);
        z.avail_in = part;
        z.next_out = piece;
        z.avail_out = PIECE;
        got = deflate(&z, at + part == size ? Z_FINISH : Z_NO_FLUSH);
        at += part - z.avail_in;
        more = sink(user, piece, PIECE - z.avail_out);
    }
    deflateEnd(&z);
    return got == Z_STREAM_END || !more ? DX_PATCH_OK : DX_PATCH_ECORRUPT;
}

/* >>png: chunks are size (big-endian) | IDAT | bytes | CRC-32 of name and bytes ------------- */
enum { CHUNK_WRAPPING = 12, ZLIB_HEAD = 2, ZLIB_WRAPPING = 6 };

static void store_be32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* The size of the IDAT chunk at the start; -1: there is none. */
static int64_t chunk_size(const uint8_t *in, size_t size)
{
    if (size < CHUNK_WRAPPING || memcmp(in + 4, "IDAT", 4) != 0) return -1;
    uint32_t count = load_be32(in);
    if (count > size - CHUNK_WRAPPING) return -1;
    uint32_t crc = (uint32_t)crc32(0, in + 4, (uInt)(count + 4));
    return crc == load_be32(in + 8 + count) ? (int64_t)count : -1;
}

static int inflate_png(const uint8_t *in, size_t size, container_bytes *out, size_t *taken,
                       container_bytes *stream)
{
    container_bytes joined = {.max = size};
    size_t at = 0, used, before = out->size;
    int64_t count;
    while ((count = chunk_size(in + at, size - at)) >= 0) {
        if (!container_add(&joined, in + at + 8, (size_t)count)) break;
        at += (size_t)count + CHUNK_WRAPPING;
    }
    int error = joined.error;
    if (!error && joined.size < ZLIB_WRAPPING) error = DX_PATCH_ECORRUPT;
    if (!error)
        error = inflate_raw(joined.bytes + ZLIB_HEAD, joined.size - ZLIB_WRAPPING, out, &used);
    if (!error && used != joined.size - ZLIB_WRAPPING) error = DX_PATCH_ECORRUPT;
    uint32_t sum = 1; /* Adler-32 of an empty content, for which `out` may be NULL */
    if (out->size > before)
        sum = (uint32_t)adler32_z(sum, out->bytes + before, out->size - before);
    if (!error && load_be32(joined.bytes + joined.size - 4) != sum) error = DX_PATCH_ECORRUPT;
    if (!error && stream) container_add(stream, joined.bytes + ZLIB_HEAD, used);
    container_drop(&joined);
    *taken = at;
    return error;
}

static int pack_png(const container_way *way, const uint8_t *content, size_t size,
                    container_bytes *out)
{
    container_bytes joined = {.max = out->max, .cancel = out->cancel};
    uint8_t four[4], head[8] = {0, 0, 0, 0, 'I', 'D', 'A', 'T'};
    assert(way->chunk);
    container_add(&joined, way->head, ZLIB_HEAD);
    int error = deflate_raw(way, content, size, sink_into_bytes, &joined);
    store_be32(four, (uint32_t)adler32_z(1, content, size));
    container_add(&joined, four, sizeof four);
    if (!error) error = joined.error;
    for (size_t at = 0; !error && at < joined.size;) {
        size_t part = joined.size - at < way->chunk ? joined.size - at : way->chunk;
        store_be32(head, (uint32_t)part);
        container_add(out, head, sizeof head);
        container_add(out, joined.bytes + at, part);
        uint32_t crc = (uint32_t)crc32(0, head + 4, 4);
        store_be32(four, (uint32_t)crc32_z(crc, joined.bytes + at, part));
        container_add(out, four, sizeof four);
        at += part;
        error = out->error;
    }
    container_drop(&joined);
    return error;
}
#endif

#ifdef VERSIONS_ZSTD_LIBRARY
/* >>zstd ----------------------------------------------------------------- */
enum { ZSTD_WINDOW_MIN = 10, ZSTD_WINDOW_MAX = 27, HAS_CHECKSUM = 1, HAS_SIZE = 2 };
enum { ZSTD_DECODER = 1 << 20 }; /* memory limit of a decoder, without its window */
enum { ZSTD_LEVEL_SMALL = 19 };  /* the highest level that needs little memory */

/* The memory limit of an encoder. One with a worker also holds its job: four windows of content,
   and their compressed bytes. */
static uint64_t zstd_memory(const container_way *way)
{
    uint64_t alone = (uint64_t)(way->level > ZSTD_LEVEL_SMALL ? 1024 : 128) << 20;
    return !way->variant ? alone : way->level > ZSTD_LEVEL_SMALL ? 4 * alone : 2 * alone;
}

static int inflate_zstd(const uint8_t *in, size_t size, uint64_t memory_max, container_bytes *out,
                        size_t *taken)
{
    static const uint8_t magic[4] = {0x28, 0xb5, 0x2f, 0xfd}; /* others: skippable, old formats */
    uint8_t piece[PIECE];
    int window = ZSTD_WINDOW_MAX;
    if (size < sizeof magic || memcmp(in, magic, sizeof magic) != 0) return DX_PATCH_ECORRUPT;
    while (window > ZSTD_WINDOW_MIN && ((uint64_t)1 << window) + ZSTD_DECODER > memory_max)
        window--;
    ZSTD_DCtx *d = ZSTD_createDCtx();
    if (!d) return DX_PATCH_ENOMEM;
    ZSTD_inBuffer from = {in, size, 0};
    size_t left = ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, window);
    if (!ZSTD_isError(left)) left = 1;
    while (left && !ZSTD_isError(left)) {
        ZSTD_outBuffer to = {piece, sizeof piece, 0};
        size_t before = from.pos;
        left = ZSTD_decompressStream(d, &to, &from);
        if (ZSTD_isError(left) || !container_add(out, piece, to.pos)) break;
        if (left && !to.pos && from.pos == before) break; /* the input ends early */
    }
    ZSTD_freeDCtx(d);
    *taken = from.pos;
    if (out->error) return out->error;
    if (ZSTD_getErrorCode(left) == ZSTD_error_frameParameter_windowTooLarge &&
        window < ZSTD_WINDOW_MAX)
        return DX_PATCH_ENOMEM;
    return left ? DX_PATCH_ECORRUPT : DX_PATCH_OK;
}

static int pack_zstd(const container_way *way, const uint8_t *content, size_t size,
                     uint64_t memory_max, packed_sink *sink, void *user)
{
    uint8_t piece[PIECE];
    if (zstd_memory(way) > memory_max) return DX_PATCH_ENOMEM;
    ZSTD_CCtx *c = ZSTD_createCCtx();
    if (!c) return DX_PATCH_ENOMEM;
    ZSTD_inBuffer from = {content, size, 0};
    size_t left = ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, way->level);
    if (!ZSTD_isError(left) && way->variant)
        left = ZSTD_CCtx_setParameter(c, ZSTD_c_nbWorkers, way->variant);
    bool supported = !ZSTD_isError(left);
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, way->strategy & HAS_CHECKSUM);
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, (way->strategy & HAS_SIZE) != 0);
    if (way->strategy & HAS_SIZE) ZSTD_CCtx_setPledgedSrcSize(c, size);
    bool more = true;
    for (left = 1; supported && left && !ZSTD_isError(left) && more;) {
        /* Feed the content in pieces and signal the end separately, like command-line tools: a
           single call would tell the encoder the size. */
        from.size = size - from.pos < PIECE ? size : from.pos + PIECE;
        bool fed = from.pos == size;
        ZSTD_outBuffer to = {piece, sizeof piece, 0};
        left = ZSTD_compressStream2(c, &to, &from, fed ? ZSTD_e_end : ZSTD_e_continue);
        if (!fed && !ZSTD_isError(left)) left = 1;
        more = sink(user, piece, to.pos);
    }
    ZSTD_freeCCtx(c);
    if (!supported) return DX_PATCH_ENOTSUP;
    return ZSTD_isError(left) ? DX_PATCH_ECORRUPT : DX_PATCH_OK;
}
#endif

#ifdef CONTAINERS_LZMA
/* >>xz ------------------------------------------------------------------- */
#define LZMA_MEMORY_MAX ((uint64_t)128 << 20) /* of a decoder: presets up to -9 need 65 MiB */

static int inflate_xz(const uint8_t *in, size_t size, uint64_t memory_max, container_bytes *out,
                      size_t *taken)
{
    uint8_t piece[PIECE];
    lzma_stream z = LZMA_STREAM_INIT;
    bool less = memory_max < LZMA_MEMORY_MAX;
    if (lzma_stream_decoder(&z, less ? memory_max : LZMA_MEMORY_MAX, 0) != LZMA_OK)
        return DX_PATCH_ENOMEM;
    z.next_in = in;
    z.avail_in = size;
    lzma_ret got = LZMA_OK;
    while (got == LZMA_OK) {
        z.next_out = piece;
        z.avail_out = sizeof piece;
        got = lzma_code(&z, LZMA_RUN); /* LZMA_BUF_ERROR: no progress, the input ends early */
        if (!container_add(out, piece, sizeof piece - z.avail_out)) break;
    }
    *taken = size - z.avail_in;
    lzma_end(&z);
    if (out->error) return out->error;
    if (got == LZMA_MEM_ERROR || (got == LZMA_MEMLIMIT_ERROR && less)) return DX_PATCH_ENOMEM;
    return got == LZMA_STREAM_END ? DX_PATCH_OK : DX_PATCH_ECORRUPT;
}

static uint32_t lzma_preset_of(const container_way *way)
{
    uint32_t extreme = way->level & LZMA_EXTREME ? LZMA_PRESET_EXTREME : 0;
    return (uint32_t)(way->level & ~LZMA_EXTREME) | extreme;
}

static int open_xz(lzma_stream *z, const container_way *way, uint64_t memory_max)
{
    uint32_t preset = lzma_preset_of(way);
    uint64_t need;
    lzma_ret got;
    if (way->variant) {
        /* With blocks of the default size, the output does not depend on the number of threads. */
        lzma_mt mt = {.threads = 1, .preset = preset, .check = (lzma_check)way->strategy};
        need = lzma_stream_encoder_mt_memusage(&mt);
        if (need > memory_max) return DX_PATCH_ENOMEM;
        got = lzma_stream_encoder_mt(z, &mt);
    } else {
        need = lzma_easy_encoder_memusage(preset);
        if (need > memory_max) return DX_PATCH_ENOMEM;
        got = lzma_easy_encoder(z, preset, (lzma_check)way->strategy);
    }
    if (got == LZMA_OK) return DX_PATCH_OK;
    return got == LZMA_MEM_ERROR ? DX_PATCH_ENOMEM : DX_PATCH_ECORRUPT;
}

static int pack_xz(const container_way *way, const uint8_t *content, size_t size,
                   uint64_t memory_max, packed_sink *sink, void *user)
{
    uint8_t piece[PIECE];
    lzma_stream z = LZMA_STREAM_INIT;
    int error = open_xz(&z, way, memory_max);
    if (error) return error;
    z.next_in = content;
    z.avail_in = size;
    lzma_ret got = LZMA_OK;
    bool more = true;
    while (more && got == LZMA_OK) {
        z.next_out = piece;
        z.avail_out = sizeof piece;
        got = lzma_code(&z, LZMA_FINISH);
        more = sink(user, piece, sizeof piece - z.avail_out);
    }
    lzma_end(&z);
    return got == LZMA_STREAM_END || !more ? DX_PATCH_OK : DX_PATCH_ECORRUPT;
}
#endif

/* >>both ways ------------------------------------------------------------ */
bool container_is_way(const container_way *way)
{
    unsigned preset = way->level & ~(unsigned)LZMA_EXTREME;
    switch (way->kind) {
    case CONTAINER_PNG:
        if (!way->chunk) return false;
        /* fall through */
    case CONTAINER_DEFLATE: /* at level 0, zlib ends blocks where its buffers end */
        return way->level >= 1 && way->level <= 9 && way->variant >= 1 && way->variant <= 9 &&
               way->window >= 9 && way->window <= 15 && way->strategy <= 4;
    case CONTAINER_ZSTD:
        return way->level >= 1 && way->level <= 22 && way->variant <= 1 && !way->window &&
               way->strategy <= 3;
    case CONTAINER_XZ: /* CRC-32, CRC-64, SHA-256 */
        return preset <= 9 && way->variant <= 1 && !way->window &&
               (way->strategy <= 1 || way->strategy == 4 || way->strategy == 10);
    case CONTAINER_TOKENS:
        return way->level >= 1 && way->level <= 10 && way->variant >= 8 && way->variant <= 17 &&
               way->window <= 4 && (way->level == 10) == (way->window == 4) && !way->strategy;
    default: return false;
    }
}

int container_inflate(unsigned kind, const uint8_t *in, size_t size, uint64_t memory_max,
                      container_bytes *out, size_t *taken, container_bytes *stream)
{
    int error = DX_PATCH_ENOTSUP;
    *taken = 0;
    (void)in;
    (void)size;
    (void)memory_max;
    if (!container_has(kind)) return error;
#ifdef CONTAINERS_ZLIB
    if (kind == CONTAINER_PNG) return inflate_png(in, size, out, taken, stream);
    if (kind == CONTAINER_DEFLATE) error = inflate_raw(in, size, out, taken);
#endif
#ifdef VERSIONS_ZSTD_LIBRARY
    if (kind == CONTAINER_ZSTD) error = inflate_zstd(in, size, memory_max, out, taken);
#endif
#ifdef CONTAINERS_LZMA
    if (kind == CONTAINER_XZ) error = inflate_xz(in, size, memory_max, out, taken);
#endif
    if (!error && stream) container_add(stream, in, *taken);
    return error ? error : out->error;
}

/* Pack a content without its wrapping. */
static int pack_stream(const container_way *way, const uint8_t *content, size_t size,
                       uint64_t memory_max, packed_sink *sink, void *user)
{
    (void)content;
    (void)size;
    (void)memory_max;
    (void)sink;
    (void)user;
    assert(way->kind == CONTAINER_PNG || container_is_way(way));
#ifdef CONTAINERS_ZLIB
    if (way->kind == CONTAINER_DEFLATE || way->kind == CONTAINER_PNG)
        return deflate_raw(way, content, size, sink, user);
#endif
#ifdef VERSIONS_ZSTD_LIBRARY
    if (way->kind == CONTAINER_ZSTD)
        return pack_zstd(way, content, size, memory_max, sink, user);
#endif
#ifdef CONTAINERS_LZMA
    if (way->kind == CONTAINER_XZ) return pack_xz(way, content, size, memory_max, sink, user);
#endif
    return DX_PATCH_ENOTSUP;
}

int container_pack(const container_way *way, const uint8_t *content, size_t size,
                   uint64_t memory_max, container_bytes *out)
{
    assert(container_is_way(way) && way->kind != CONTAINER_TOKENS);
#ifdef CONTAINERS_ZLIB
    if (way->kind == CONTAINER_PNG) return pack_png(way, content, size, out);
#endif
    int error = pack_stream(way, content, size, memory_max, sink_into_bytes, out);
    return error ? error : out->error;
}

void container_read_wrapping(const uint8_t *in, container_way *way)
{
    way->chunk = load_be32(in);
    way->head[0] = in[8];
    way->head[1] = in[9];
}

/* >>trial ---------------------------------------------------------------- */
/* A trial stops at the first different byte, so a wrong guess costs a block or two, not a member. */
typedef struct trial {
    const uint8_t  *want;
    size_t          size;
    size_t          at;        /* equal bytes so far */
    const uint8_t  *content;
    size_t          content_size;
    uint64_t        memory_max;
    const container_first *first; /* block of a deflate stream; NULL: unknown */
    const container_cancel *cancel; /* NULL: cannot be cancelled */
    container_way   best;      /* the one with the most equal bytes */
    size_t          best_at;
} trial;

static bool sink_compare(void *user, const uint8_t *bytes, size_t size)
{
    trial *t = user;
    size_t i = 0, room = t->size - t->at;
    if (container_is_cancelled(t->cancel)) return false;
    if (size <= room && !memcmp(t->want + t->at, bytes, size)) {
        t->at += size;
        return true;
    }
    while (i < size && i < room && bytes[i] == t->want[t->at + i]) i++;
    t->at += i;
    return false;
}

/* Does this way reproduce exactly the wanted bytes? */
static bool works(trial *t, const container_way *way)
{
    size_t total = t->size;
    t->at = 0;
    int error = pack_stream(way, t->content, t->content_size, t->memory_max, sink_compare, t);
    assert(t->at <= total);
    if (error) return false;
    if (t->at > t->best_at) {
        t->best = *way;
        t->best_at = t->at;
    }
    return t->at == total;
}

#ifdef CONTAINERS_ZLIB
/* Can zlib produce this first block with these parameters? Unless it is the last one, a block has
   the maximum number of tokens, and distances do not exceed the window. */
static bool can_begin(const container_first *first, unsigned memory, unsigned window,
                      unsigned strategy)
{
    enum { LOOKAHEAD = 262 };
    uint32_t tokens = ((uint32_t)64 << memory) - 1;
    bool fills = first->last ? first->tokens <= tokens : first->tokens == tokens;
    if (!first->stored && !fills) return false;
    if (window < MAX_WBITS && first->distance > (1u << window) - LOOKAHEAD) return false;
    if (strategy == Z_HUFFMAN_ONLY) return !first->distance;
    if (strategy == Z_RLE) return first->distance <= 1;
    return strategy != Z_FIXED || first->fixed || first->stored;
}

/* Try all nine levels with these parameters, the common ones first. */
static bool try_levels(trial *t, container_way *way, unsigned memory, unsigned window,
                       unsigned strategy)
{
    static const uint8_t levels[] = {6, 9, 1, 2, 3, 4, 5, 7, 8};
    if (t->first && !can_begin(t->first, memory, window, strategy)) return false;
    way->variant = (uint8_t)memory;
    way->window = (uint8_t)window;
    way->strategy = (uint8_t)strategy;
    for (size_t i = 0; i < sizeof levels; i++) {
        way->level = levels[i];
        if (works(t, way)) return true;
        /* these strategies ignore the level */
        if (strategy == Z_HUFFMAN_ONLY || strategy == Z_RLE) return false;
    }
    return false;
}

static bool try_deflate(trial *t, container_way *way, bool thorough)
{
    static const uint8_t strategies[] = {Z_DEFAULT_STRATEGY, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE,
                                         Z_FIXED};
    bool png = way->kind == CONTAINER_PNG;
    for (size_t i = 0; i < sizeof strategies; i++)
        for (unsigned memory = 8; memory <= 9; memory++)
            if (try_levels(t, way, memory, MAX_WBITS, strategies[i])) return true;
    if (!thorough && !png) return false;
    for (unsigned window = 9; window < MAX_WBITS; window++)
        for (unsigned memory = 8; memory <= 9; memory++)
            for (size_t i = 0; i < (png ? 2 : 1); i++)
                if (try_levels(t, way, memory, window, strategies[i])) return true;
    for (unsigned memory = 1; memory < 8 && thorough; memory++)
        for (size_t i = 0; i < sizeof strategies; i++)
            if (try_levels(t, way, memory, MAX_WBITS, strategies[i])) return true;
    return false;
}
#endif

#ifdef VERSIONS_ZSTD_LIBRARY
static bool try_zstd(trial *t, container_way *way)
{
    static const uint8_t levels[] = {3, 19, 1,  9,  6,  12, 15, 22, 2,  4,  5,
                                     7, 8,  10, 11, 13, 14, 16, 17, 18, 20, 21};
    if (t->size < 5) return false;
    unsigned flags = t->want[4]; /* RFC 8878, 3.1.1.1.1: the frame header descriptor */
    bool has_size = flags >> 6 || (flags & 32);
    way->strategy = (uint8_t)((flags & 4 ? HAS_CHECKSUM : 0) | (has_size ? HAS_SIZE : 0));
    for (way->variant = 0; way->variant <= 1; way->variant++)
        for (size_t i = 0; i < sizeof levels; i++) {
            way->level = levels[i];
            if (works(t, way)) return true;
        }
    return false;
}
#endif

#ifdef CONTAINERS_LZMA
/* Try only presets with the dictionary size of the block: a trial of a whole block takes seconds. */
static bool try_xz(trial *t, container_way *way)
{
    static const uint8_t presets[] = {6, 9, 5, 8, 7, 4, 3, 2, 1, 0};
    lzma_filter filters[LZMA_FILTERS_MAX + 1];
    lzma_block block = {.version = 0, .filters = filters};
    if (t->size < LZMA_STREAM_HEADER_SIZE + LZMA_BLOCK_HEADER_SIZE_MAX) return false;
    const uint8_t *head = t->want + LZMA_STREAM_HEADER_SIZE;
    way->strategy = t->want[7] & 15; /* the check in the stream flags */
    block.check = (lzma_check)way->strategy;
    block.header_size = lzma_block_header_size_decode(head[0]);
    if (!head[0] || lzma_block_header_decode(&block, NULL, head) != LZMA_OK) return false;
    bool single = filters[0].id == LZMA_FILTER_LZMA2 && filters[1].id == LZMA_VLI_UNKNOWN;
    uint32_t dictionary = single ? ((lzma_options_lzma *)filters[0].options)->dict_size : 0;
    for (int i = 0; filters[i].id != LZMA_VLI_UNKNOWN; i++) free(filters[i].options);
    way->variant = block.uncompressed_size != LZMA_VLI_UNKNOWN;
    for (unsigned extreme = 0; dictionary && extreme <= LZMA_EXTREME; extreme += LZMA_EXTREME)
        for (size_t i = 0; i < sizeof presets; i++) {
            lzma_options_lzma made;
            way->level = (uint8_t)(presets[i] | extreme);
            if (lzma_lzma_preset(&made, lzma_preset_of(way))) continue;
            if (made.dict_size == dictionary && works(t, way)) return true;
        }
    return false;
}
#endif

bool container_try(unsigned kind, const uint8_t *stream, size_t stream_size,
                   const container_first *first, const uint8_t *content, size_t size,
                   bool thorough, uint64_t memory_max, const container_cancel *cancel,
                   container_way *way, bool *near_miss)
{
    trial t = {.want = stream, .size = stream_size, .content = content, .content_size = size};
    t.memory_max = memory_max;
    t.first = first;
    t.cancel = cancel;
    bool found = way->kind == kind && works(&t, way);
    (void)thorough;
    *near_miss = false;
    if (found) return true;
    memset(way, 0, sizeof *way);
    way->kind = (uint8_t)kind;
#ifdef CONTAINERS_ZLIB
    if (kind == CONTAINER_DEFLATE || kind == CONTAINER_PNG) found = try_deflate(&t, way, thorough);
#endif
#ifdef VERSIONS_ZSTD_LIBRARY
    if (kind == CONTAINER_ZSTD && thorough) found = try_zstd(&t, way);
#endif
#ifdef CONTAINERS_LZMA
    if (kind == CONTAINER_XZ && thorough) found = try_xz(&t, way);
#endif
    if (!found && t.best_at) {
        *way = t.best;
        *near_miss = t.best_at >= stream_size / 2;
    }
    return found;
}
