/* Tests of programs/containers/: members found, forms made, and files rebuilt byte for byte. Without zlib, which a suite's plain
   build does not require, only refusals are tested; build/codec/test_container has the libraries. */
#define DX_PATCH_IMPLEMENTATION
#define DX_CAS_IMPLEMENTATION
#include "../../programs/common/os_posix.c"
#include "../../programs/containers/ways.c"
#include "../../programs/containers/find.c"
#include "../../programs/containers/tokens.c"
#include "../../programs/containers/container.c"
#include "../../programs/containers/patch.c"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { FILE_MAX = 1 << 17, FORM_MAX = 1 << 20 };
#define MEMORY_MAX ((uint64_t)256 << 20)
static uint8_t old_file[FILE_MAX], new_file[FILE_MAX];

/* Header, text, lists and checksum of a patch, around an inner patch of five bytes. */
static container_bytes seal(const container_forms *forms, size_t from_size, size_t to_size)
{
    container_bytes sealed = {.max = SIZE_MAX / 2};
    DX_CHECK_EQ(container_seal(forms, old_file, from_size, new_file, to_size, (const uint8_t *)"inner", 5, &sealed), 0);
    return sealed;
}

/* The checksum of header, text and lists, which are `head` bytes. */
static void seal_again(uint8_t *bytes, size_t head)
{
    uint8_t hash[DX_PATCH_HASH_SIZE];
    dx_patch_hash(bytes, head, hash);
    memcpy(bytes + head, hash, CONTAINER_CHECK_SIZE);
}

/* A header that claims less or more than there is. */
DX_PROPERTY(ct_3_headers_are_refused, 2000)
{
    container_forms forms = {.layers = 1, .kinds = 2, .largest = 100, .form_max = 100, .lists = {.max = 100}};
    container_patch p;
    size_t from_size = (size_t)dx_choose(c, 100), to_size = (size_t)dx_choose(c, 100);
    container_add(&forms.lists, "\2\1\1", 3);
    container_bytes sealed = seal(&forms, from_size, to_size);
    DX_CHECK_EQ(container_open(sealed.bytes, sealed.size, &p), 0);
    DX_CHECK(p.base_size == from_size && p.target_size == to_size && p.form_max == 100 && p.layers == 1 && p.kinds == 2);
    DX_CHECK_EQ(p.lists_size, 3);
    DX_CHECK_EQ(p.inner_size, 5);
    DX_CHECK_STR(p.libraries, container_libraries());
    size_t head = sealed.size - p.inner_size;
    size_t cut = (size_t)dx_choose(c, head - 1);
    uint8_t *copy = malloc(cut + 1);
    memcpy(copy, sealed.bytes, cut);
    DX_CHECK(container_open(copy, cut, &p) != 0);
    free(copy);
    sealed.bytes[dx_choose(c, head - 1)] ^= (uint8_t)(1 << dx_choose(c, 7));
    DX_CHECK(container_open(sealed.bytes, sealed.size, &p) != 0);
    container_drop(&sealed);
    container_drop_forms(&forms);
}

/* Values that a header must not have, even with a valid checksum. */
DX_TEST(ct_3_fields_that_are_not_known)
{
    static const struct {
        size_t  at;
        uint8_t value;
        int     error;
    } wrong[] = {{4, 2, DX_PATCH_EVERSION},  {5, 0, DX_PATCH_EVERSION},   {5, 3, DX_PATCH_EVERSION},  {6, 1, DX_PATCH_EVERSION},
                 {6, 64, DX_PATCH_EVERSION}, {40, 1, DX_PATCH_EVERSION},  {47, 1, DX_PATCH_EVERSION}, {23, 64, DX_PATCH_ETOOBIG},
                 {31, 64, DX_PATCH_ETOOBIG}, {39, 1, DX_PATCH_ETRUNCATED}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        container_forms forms = {.layers = 1, .kinds = 2, .form_max = 100};
        container_patch p;
        container_bytes sealed = seal(&forms, 0, 0);
        sealed.bytes[wrong[i].at] = wrong[i].value;
        seal_again(sealed.bytes, sealed.size - 5 - CONTAINER_CHECK_SIZE);
        DX_CHECK_EQ(container_open(sealed.bytes, sealed.size, &p), wrong[i].error);
        container_drop(&sealed);
    }
}

/* The text is displayed: terminal control characters are refused. */
DX_TEST(ct_3_texts_that_steer_a_terminal)
{
    static const uint8_t wrong[] = {0, 7, '\n', '\r', 27, 31, 127, 128, 155, 255};
    for (size_t i = 0; i < sizeof wrong; i++) {
        container_forms forms = {.layers = 1, .kinds = 2, .form_max = 100};
        container_patch p;
        container_bytes sealed = seal(&forms, 0, 0);
        sealed.bytes[CONTAINER_HEADER_SIZE + i] = wrong[i];
        seal_again(sealed.bytes, sealed.size - 5 - CONTAINER_CHECK_SIZE);
        DX_CHECK_EQ(container_open(sealed.bytes, sealed.size, &p), DX_PATCH_EHEADER);
        container_drop(&sealed);
    }
}

/* Parameters outside the format's table: refused, whatever libraries there are. */
DX_TEST(ct_3_ways_that_are_not_of_the_table)
{
    static const container_way wrong[] = {
        {.kind = 0, .level = 6, .variant = 8, .window = 15},
        {.kind = CONTAINER_KINDS, .level = 6, .variant = 8, .window = 15},
        {.kind = CONTAINER_DEFLATE, .level = 0, .variant = 8, .window = 15},
        {.kind = CONTAINER_DEFLATE, .level = 10, .variant = 8, .window = 15},
        {.kind = CONTAINER_DEFLATE, .level = 6, .variant = 0, .window = 15},
        {.kind = CONTAINER_DEFLATE, .level = 6, .variant = 10, .window = 15},
        {.kind = CONTAINER_DEFLATE, .level = 6, .variant = 8, .window = 8},
        {.kind = CONTAINER_DEFLATE, .level = 6, .variant = 8, .window = 16},
        {.kind = CONTAINER_DEFLATE, .level = 6, .variant = 8, .window = 15, .strategy = 5},
        {.kind = CONTAINER_PNG, .level = 6, .variant = 8, .window = 15, .chunk = 0},
        {.kind = CONTAINER_ZSTD, .level = 0},
        {.kind = CONTAINER_ZSTD, .level = 23},
        {.kind = CONTAINER_ZSTD, .level = 3, .variant = 2},
        {.kind = CONTAINER_ZSTD, .level = 3, .window = 9},
        {.kind = CONTAINER_ZSTD, .level = 3, .strategy = 0xf0},
        {.kind = CONTAINER_TOKENS, .level = 0, .variant = 15},
        {.kind = CONTAINER_TOKENS, .level = 10, .variant = 15},
        {.kind = CONTAINER_TOKENS, .level = 11, .variant = 14, .window = 4},
        {.kind = CONTAINER_TOKENS, .level = 9, .variant = 14, .window = 4},
        {.kind = CONTAINER_TOKENS, .level = 6, .variant = 7},
        {.kind = CONTAINER_TOKENS, .level = 6, .variant = 18},
        {.kind = CONTAINER_TOKENS, .level = 6, .variant = 15, .window = 5},
        {.kind = CONTAINER_TOKENS, .level = 6, .variant = 15, .strategy = 1},
        {.kind = CONTAINER_XZ, .level = 10, .strategy = 4},
        {.kind = CONTAINER_XZ, .level = 64, .strategy = 4},
        {.kind = CONTAINER_XZ, .level = 6, .variant = 2, .strategy = 4},
        {.kind = CONTAINER_XZ, .level = 6, .window = 7, .strategy = 4},
        {.kind = CONTAINER_XZ, .level = 6, .strategy = 2},
        {.kind = CONTAINER_XZ, .level = 6, .strategy = 11}};
    container_way none = {0}, unknown = {.kind = 77};
    correction nothing = {0};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        container_bytes recipe = {.max = 100}, form = {.max = 100}, out = {.max = 1000};
        add_number(&recipe, 0);
        add_number(&recipe, 3);
        add_way(&recipe, &wrong[i], i ? &none : &unknown, &nothing);
        add_number(&form, recipe.size);
        container_add(&form, recipe.bytes, recipe.size);
        container_add(&form, "abc", 3);
        DX_CHECK_EQ(rebuild_layer(form.bytes, form.size, ALL_KINDS, MEMORY_MAX, &out), DX_PATCH_ECORRUPT);
        container_drop(&recipe);
        container_drop(&form);
        container_drop(&out);
    }
}

/* Kinds in a recipe or list that the header does not announce. */
DX_TEST(ct_3_kinds_that_the_header_hides)
{
    container_bytes out = {.max = 1000};
    uint8_t form[] = {7, 0, 3, CONTAINER_DEFLATE, 6, 8, 15, 0, 'a', 'b', 'c'}, list[] = {2, 0, CONTAINER_DEFLATE};
    DX_CHECK_EQ(rebuild_layer(form, sizeof form, 1u << CONTAINER_PNG, MEMORY_MAX, &out), DX_PATCH_ECORRUPT);
    reader lists = {list, sizeof list, DX_PATCH_OK};
    DX_CHECK_EQ(unpack_layer(&lists, (const uint8_t *)"\3\0", 2, 1u << CONTAINER_PNG, MEMORY_MAX, &out), DX_PATCH_ECORRUPT);
    list[2] = CONTAINER_TOKENS; /* in recipes only */
    lists = (reader){list, sizeof list, DX_PATCH_OK};
    DX_CHECK_EQ(unpack_layer(&lists, (const uint8_t *)"\3\0", 2, ALL_KINDS, MEMORY_MAX, &out), DX_PATCH_ECORRUPT);
    container_drop(&out);
}

/* Bytes that are no recipe: refused, or output within the limit. */
DX_PROPERTY(ct_3_recipes_of_noise, 4000)
{
    uint8_t noise[64];
    size_t size = (size_t)dx_choose(c, sizeof noise);
    container_bytes out = {.max = 300};
    for (size_t i = 0; i < size; i++) noise[i] = (uint8_t)dx_choose(c, i < 12 ? 9 : 255);
    uint8_t *copy = malloc(size + 1);
    memcpy(copy, noise, size);
    rebuild_layer(copy, size, ALL_KINDS, MEMORY_MAX, &out);
    DX_CHECK(out.size <= 300);
    container_drop(&out);
    reader lists = {copy, size, DX_PATCH_OK};
    unpack_layer(&lists, copy, size, ALL_KINDS, MEMORY_MAX, &out);
    DX_CHECK(out.size <= 300);
    container_drop(&out);
    free(copy);
}

#ifndef CONTAINERS_ZLIB
DX_TEST(ct_3_without_zlib)
{
    container_bytes out = {.max = 100};
    container_way way = {.kind = CONTAINER_DEFLATE, .level = 6, .variant = 8, .window = 15};
    size_t taken;
    DX_CHECK(!container_has(CONTAINER_DEFLATE) && !container_has(CONTAINER_PNG));
    DX_CHECK_EQ(container_inflate(CONTAINER_DEFLATE, (const uint8_t *)"\3\0", 2, MEMORY_MAX, &out, &taken, NULL), DX_PATCH_ENOTSUP);
    DX_CHECK_EQ(container_pack(&way, (const uint8_t *)"x", 1, MEMORY_MAX, &out), DX_PATCH_ENOTSUP);
    DX_SKIP("what is unpacked and packed again: built without zlib");
}
#else

/* >>drawn files ------------------------------------------------------------- */
static void put(uint8_t *file, size_t *at, const void *bytes, size_t size)
{
    if (size > FILE_MAX - *at) return;
    memcpy(file + *at, bytes, size);
    *at += size;
}

static size_t draw_content(dx_choices *c, uint8_t *out, size_t most)
{
    size_t size = (size_t)dx_choose(c, most), period = 1 + (size_t)dx_choose(c, 300);
    uint64_t state = dx_choose(c, 1000), noise = dx_choose(c, 8);
    for (size_t i = 0; i < size; i++) {
        bool fresh = i < period || dx_test_below(&state, 16) < noise;
        out[i] = fresh ? (uint8_t)("abcdefgh01234567"[dx_test_below(&state, 16)] + (noise > 6)) : out[i - period];
    }
    return size;
}

/* Raw deflate of some content; no way makes a `flush` in the middle by itself. */
static size_t squeeze(uint8_t *out, size_t room, const uint8_t *content, size_t size, const container_way *way, size_t flush)
{
    z_stream z;
    memset(&z, 0, sizeof z);
    DX_CHECK_EQ(deflateInit2(&z, way->level, Z_DEFLATED, -(int)way->window, way->variant, way->strategy), Z_OK);
    z.next_out = out;
    z.avail_out = (uInt)room;
    z.next_in = (Bytef *)(uintptr_t)content;
    z.avail_in = (uInt)flush;
    if (flush) deflate(&z, Z_SYNC_FLUSH);
    z.avail_in = (uInt)(size - flush);
    DX_CHECK_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return (size_t)z.total_out;
}

static container_way draw_way(dx_choices *c)
{
    container_way way = {.kind = CONTAINER_DEFLATE, .window = 15};
    way.level = (uint8_t)(1 + dx_choose(c, 8));
    way.strategy = (uint8_t)dx_choose(c, 4);
    way.variant = (uint8_t)(1 + dx_choose(c, 8));
    return way;
}

/* A member of some kind, or bytes that only look like one. */
static void put_member(dx_choices *c, uint8_t *file, size_t *at, const uint8_t *content, size_t size)
{
    static uint8_t packed[FILE_MAX];
    uint8_t head[30] = "PK\3\4\24\0\0\0\10";
    container_way way = draw_way(c);
    size_t flush = dx_choose(c, 7) ? 0 : (size_t)dx_choose(c, size);
    size_t packed_size = squeeze(packed, sizeof packed, content, size, &way, flush);
    switch (dx_choose(c, 5)) {
    case 0: /* zip; bit 3: a data descriptor follows, bit 0: encrypted, which it is not */
        head[6] = (uint8_t)(dx_choose(c, 7) ? dx_choose(c, 1) * 8 : 1);
        head[26] = 3;
        put(file, at, head, sizeof head);
        put(file, at, "x/y", 3);
        put(file, at, packed, packed_size);
        if (head[6] & 8) put(file, at, "PK\7\10............", 16);
        break;
    case 1: /* gzip with a name */
        put(file, at, "\x1f\x8b\10\10\0\0\0\0\2\3name", 15);
        put(file, at, packed, packed_size);
        put(file, at, "crc.size", 8);
        break;
    case 2: { /* png, with the chunks of pack_png() and sometimes a wrong last one */
        container_bytes png = {.max = FILE_MAX};
        way.kind = CONTAINER_PNG;
        way.head[0] = 0x78;
        way.head[1] = (uint8_t)dx_choose(c, 255);
        way.chunk = 1 + (uint32_t)dx_choose(c, 8191);
        DX_CHECK_EQ(container_pack(&way, content, size, MEMORY_MAX, &png), 0);
        if (dx_choose(c, 9) == 0) png.bytes[dx_choose(c, png.size - 1)] ^= 1;
        put(file, at, png.bytes, png.size);
        container_drop(&png);
        break;
    }
    case 3: /* truncated */
        put(file, at, "\x1f\x8b\10\0\0\0\0\0\2\3", 10);
        put(file, at, packed, packed_size / 2);
        break;
    case 4: put(file, at, content, size); break; /* stored */
    default: put(file, at, "PK\3\4PK\1\2PK\5\6\x1f\x8b\10IDAT\xfd" "7zXZ", 25); break;
    }
}

/* OLD and NEW: the same contents, some of them changed, packed in random ways. */
static void draw_files(dx_choices *c, size_t *from_size, size_t *to_size)
{
    static uint8_t content[9000];
    *from_size = *to_size = 0;
    for (uint64_t members = dx_choose(c, 5); members; members--) {
        size_t size = draw_content(c, content, sizeof content - 1);
        if (dx_choose(c, 3)) put_member(c, old_file, from_size, content, size);
        for (uint64_t edits = dx_choose(c, 2); edits && size; edits--) content[dx_choose(c, size - 1)] ^= 1;
        if (dx_choose(c, 3)) put_member(c, new_file, to_size, content, size);
    }
}

/* >>round trips ------------------------------------------------------------- */
DX_PROPERTY(ct_1_files_are_rebuilt, 40)
{
    size_t from_size, to_size;
    draw_files(c, &from_size, &to_size);
    container_forms forms = {.form_max = FORM_MAX};
    int error = container_make(old_file, from_size, new_file, to_size, MEMORY_MAX, &forms);
    DX_CHECK(error == 0 || error == DX_PATCH_EINVAL);
    if (!error) {
        container_patch p;
        container_bytes sealed = seal(&forms, from_size, to_size), form = {0}, out = {0};
        DX_CHECK_EQ(container_open(sealed.bytes, sealed.size, &p), 0);
        DX_CHECK_EQ(container_unpack(&p, old_file, from_size, MEMORY_MAX, &form), 0);
        DX_CHECK_EQ(form.size, forms.from.size);
        DX_CHECK_MEM(form.bytes, forms.from.bytes, form.size);
        DX_CHECK_EQ(container_rebuild(&p, forms.to.bytes, forms.to.size, MEMORY_MAX, &out), 0);
        DX_CHECK_EQ(out.size, to_size);
        DX_CHECK_MEM(out.bytes, new_file, to_size);
        container_drop(&form);
        if (from_size) { /* another base */
            old_file[dx_choose(c, from_size - 1)] ^= 1;
            DX_CHECK_EQ(container_unpack(&p, old_file, from_size, MEMORY_MAX, &form), DX_PATCH_EBASE);
        }
        DX_CHECK_EQ(container_unpack(&p, new_file, to_size, MEMORY_MAX, &form), DX_PATCH_EAPPLIED);
        container_drop(&form);
        container_drop(&out);
        container_drop(&sealed);
    }
    container_drop_forms(&forms);
}

/* Every level, strategy and memory level is recovered, with the usual window. */
DX_PROPERTY(ct_1_parameters_are_found, 100)
{
    static uint8_t content[12000], packed[20000];
    container_way way = draw_way(c), found = {0};
    container_bytes out = {.max = sizeof packed};
    bool near;
    size_t size = 40 + draw_content(c, content, sizeof content - 40);
    size_t packed_size = squeeze(packed, sizeof packed, content, size, &way, 0);
    DX_CHECK(container_try(CONTAINER_DEFLATE, packed, packed_size, NULL, content, size, true, MEMORY_MAX, NULL, &found, &near));
    DX_CHECK_EQ(container_pack(&found, content, size, MEMORY_MAX, &out), 0);
    DX_CHECK_EQ(out.size, packed_size);
    DX_CHECK_MEM(out.bytes, packed, packed_size);
    container_drop(&out);
    memset(&found, 0, sizeof found);
    found = way; /* the last successful one needs no search */
    DX_CHECK(container_try(CONTAINER_DEFLATE, packed, packed_size, NULL, content, size, false, MEMORY_MAX, NULL, &found, &near));
    DX_CHECK(is_same_way(&found, &way));
}

/* A stream that was flushed near its end differs from there on, and is corrected. */
DX_TEST(ct_1_near_misses_are_corrected)
{
    static uint8_t content[60000];
    container_way way = {.kind = CONTAINER_DEFLATE, .level = 6, .variant = 8, .window = 15};
    uint64_t state = 1;
    size_t at = 0;
    for (size_t i = 0; i < sizeof content; i++) content[i] = (uint8_t)dx_test_below(&state, 64);
    put(new_file, &at, "\x1f\x8b\10\0\0\0\0\0\2\3", 10);
    at += squeeze(new_file + at, FILE_MAX - at, content, sizeof content, &way, sizeof content - 500);
    container_forms forms = {.form_max = FORM_MAX};
    DX_CHECK_EQ(container_make(old_file, 0, new_file, at, MEMORY_MAX, &forms), 0);
    DX_CHECK(forms.to.size > sizeof content && forms.to.size < sizeof content + 12000);
    container_bytes out = {.max = FORM_MAX};
    DX_CHECK_EQ(rebuild_layer(forms.to.bytes, forms.to.size, ALL_KINDS, MEMORY_MAX, &out), 0);
    DX_CHECK_EQ(out.size, at);
    DX_CHECK_MEM(out.bytes, new_file, at);
    container_drop(&out);
    container_drop_forms(&forms);
}

/* The library's output is longer than all of NEW, which is the result after the correction. */
DX_TEST(ct_1_corrections_that_shorten)
{
    uint8_t form[40] = {11, 0, 26, CONTAINER_DEFLATE | CORRECTED, 6, 8, 15, 0, 1, 20, 1, 'x'};
    container_bytes out = {.max = 9};
    memcpy(form + 12, "abcdefghijklmnopqrstuvwxyz", 26);
    DX_CHECK_EQ(rebuild_layer(form, 12 + 26, ALL_KINDS, MEMORY_MAX, &out), 0);
    DX_CHECK_EQ(out.size, 9);
    DX_CHECK(out.bytes[0] == 0x4b && out.bytes[1] == 'x' && out.bytes[8] == 0);
    container_drop(&out);
}

#if defined(CONTAINERS_LZMA) && defined(VERSIONS_ZSTD_LIBRARY)
/* zstd and xz, their levels and checks, and nested members. */
DX_PROPERTY(ct_1_zstd_and_xz, 12)
{
    static uint8_t content[50000], inner[30000];
    size_t inner_size = 2000 + draw_content(c, inner, sizeof inner - 2000), size = 0, at = 0;
    container_way gzip = {.kind = CONTAINER_DEFLATE, .level = 9, .variant = 8, .window = 15};
    memset(content, 7, 1000);
    size = 1000;
    memcpy(content + size, "\x1f\x8b\10\0\0\0\0\0\2\3", 10);
    size += 10;
    size += squeeze(content + size, sizeof content - size, inner, inner_size, &gzip, 0);
    container_way way = {.kind = (uint8_t)(dx_choose(c, 1) ? CONTAINER_ZSTD : CONTAINER_XZ)};
    bool zstd = way.kind == CONTAINER_ZSTD;
    way.level = (uint8_t)(zstd ? 1 + dx_choose(c, 18) : dx_choose(c, 6));
    way.variant = zstd ? 0 : (uint8_t)dx_choose(c, 1);
    way.strategy = (uint8_t)(zstd ? dx_choose(c, 3) : dx_choose(c, 1) ? LZMA_CHECK_CRC64 : LZMA_CHECK_CRC32);
    container_bytes packed = {.max = FILE_MAX};
    DX_CHECK_EQ(container_pack(&way, content, size, MEMORY_MAX, &packed), 0);
    put(new_file, &at, "!<arch>\n", 8);
    put(new_file, &at, packed.bytes, packed.size);
    put(new_file, &at, "end", 3);
    container_drop(&packed);
    container_forms forms = {.form_max = FORM_MAX};
    DX_CHECK_EQ(container_make(old_file, 0, new_file, at, MEMORY_MAX, &forms), 0);
    DX_CHECK_EQ(forms.layers, 2);
    DX_CHECK(forms.to.size > inner_size);
    container_patch p;
    container_bytes sealed = seal(&forms, 0, at), out = {0};
    DX_CHECK_EQ(container_open(sealed.bytes, sealed.size, &p), 0);
    DX_CHECK_EQ(container_rebuild(&p, forms.to.bytes, forms.to.size, MEMORY_MAX, &out), 0);
    DX_CHECK_EQ(out.size, at);
    DX_CHECK_MEM(out.bytes, new_file, at);
    container_drop(&out);
    if (way.kind == CONTAINER_XZ) DX_CHECK_EQ(container_rebuild(&p, forms.to.bytes, forms.to.size, 1 << 20, &out), DX_PATCH_ENOMEM);
    container_drop(&out);
    container_drop(&sealed);
    container_drop_forms(&forms);
}
#endif

/* >>bytes from outside ------------------------------------------------------- */
/* Modified forms and lists: an error, or other bytes within the limit. */
DX_PROPERTY(ct_3_damaged_forms_and_lists, 30)
{
    size_t from_size, to_size;
    draw_files(c, &from_size, &to_size);
    container_forms forms = {.form_max = FORM_MAX};
    if (container_make(old_file, from_size, new_file, to_size, MEMORY_MAX, &forms)) {
        container_drop_forms(&forms);
        return;
    }
    container_patch p = {.layers = forms.layers, .base_size = from_size, .target_size = to_size, .form_max = forms.largest,
                         .lists = forms.lists.bytes, .lists_size = forms.lists.size};
    for (int round = 0; round < 12; round++) {
        container_bytes out = {0};
        for (uint64_t edits = 1 + dx_choose(c, 2); edits; edits--) /* mostly in the recipe */
            forms.to.bytes[dx_choose(c, dx_choose(c, 3) && forms.to.size > 64 ? 63 : forms.to.size - 1)] = (uint8_t)dx_choose(c, 255);
        DX_CHECK(container_rebuild(&p, forms.to.bytes, forms.to.size, MEMORY_MAX, &out) != 0 || out.size == to_size);
        DX_CHECK(out.size <= p.form_max || out.size <= to_size);
        container_drop(&out);
        forms.lists.bytes[dx_choose(c, forms.lists.size - 1)] = (uint8_t)dx_choose(c, 255);
        dx_patch_hash(old_file, from_size, p.base_hash);
        container_unpack(&p, old_file, from_size, MEMORY_MAX, &out);
        DX_CHECK(out.size <= p.form_max);
        container_drop(&out);
    }
    container_drop_forms(&forms);
}

/* Decompression bombs: a member that inflates beyond the limit stays packed when made, and is refused when read. */
DX_TEST(ct_3_bombs)
{
    container_way way = {.kind = CONTAINER_DEFLATE, .level = 9, .variant = 9, .window = 15};
    uint8_t *zeros = calloc(1, 4 * FORM_MAX);
    container_bytes packed = {.max = FILE_MAX}, out = {.max = FORM_MAX};
    size_t at = 0;
    DX_CHECK_EQ(container_pack(&way, zeros, 4 * FORM_MAX, MEMORY_MAX, &packed), 0);
    put(new_file, &at, "\x1f\x8b\10\0\0\0\0\0\2\3", 10);
    put(new_file, &at, packed.bytes, packed.size);
    container_forms forms = {.form_max = FORM_MAX};
    DX_CHECK_EQ(container_make(old_file, 0, new_file, at, MEMORY_MAX, &forms), DX_PATCH_EINVAL);
    container_drop_forms(&forms);
    uint8_t list[] = {2, 10, CONTAINER_DEFLATE};
    reader lists = {list, sizeof list, DX_PATCH_OK};
    DX_CHECK_EQ(unpack_layer(&lists, new_file, at, ALL_KINDS, MEMORY_MAX, &out), DX_PATCH_ETOOBIG);
    DX_CHECK(out.size <= FORM_MAX);
    container_drop(&out);
    container_drop(&packed);
    free(zeros);
}

/* Files that cause unbounded work in a search for members: a name that every gzip header restarts, and a png chunk with a wrong
   checksum and nearly the size of the file, after each small one. The search ends before it reaches what follows them. */
DX_TEST(ct_3_the_search_ends)
{
    enum { LIMIT = 1 << 16, ROOM = 32 << 10, NOISE = FILE_MAX - ROOM };
    static uint8_t content[200];
    container_way way = {.kind = CONTAINER_PNG, .level = 6, .variant = 8, .window = 15, .head = {0x78, 0x9c}, .chunk = 9000};
    container_bytes png = {.max = ROOM};
    memset(content, 'x', sizeof content);
    DX_CHECK_EQ(container_pack(&way, content, sizeof content, MEMORY_MAX, &png), 0);
    for (int what = 0; what < 3; what++) {
        container_members found = {0};
        size_t at = 0, count = 0;
        while (what == 0 && at < NOISE) put(old_file, &at, "\x1f\x8b\10\10", 4);
        while (what == 1 && at < NOISE) put(old_file, &at, "\0\1\0\0IDAT", 8);
        for (; what == 2 && at < NOISE; count++) {
            put(old_file, &at, png.bytes, png.size);
            put(old_file, &at, "\0\0\x70\0IDAT", 8);
        }
        put(old_file, &at, png.bytes, png.size);
        DX_CHECK_EQ(container_find(old_file, at, LIMIT, MEMORY_MAX, NULL, &found), 0);
        if (what < 2) DX_CHECK_EQ(found.count, 0);
        DX_CHECK(found.count * sizeof content <= LIMIT && (what < 2 || (found.count > 3 && found.count < 12)));
        free(found.items);
        found = (container_members){0};
        DX_CHECK_EQ(container_find(old_file + at - png.size, png.size, LIMIT, MEMORY_MAX, NULL, &found), 0);
        DX_CHECK_EQ(found.count, 1);
        free(found.items);
    }
    container_drop(&png);
}

/* A recipe cannot express a png whose first chunk is empty: it stays packed. */
DX_TEST(ct_1_png_with_an_empty_first_chunk)
{
    static uint8_t content[3000];
    container_way way = {.kind = CONTAINER_PNG, .level = 6, .variant = 8, .window = 15, .head = {0x78, 0x9c}, .chunk = 9000};
    container_bytes png = {.max = FILE_MAX};
    container_forms forms = {.form_max = FORM_MAX};
    uint64_t state = 1;
    size_t at = 0;
    for (size_t i = 0; i < sizeof content; i++) content[i] = (uint8_t)dx_test_below(&state, 4);
    DX_CHECK_EQ(container_pack(&way, content, sizeof content, MEMORY_MAX, &png), 0);
    put(new_file, &at, "\0\0\0\0IDAT\x35\xaf\x06\x1e", 12);
    put(new_file, &at, png.bytes, png.size);
    DX_CHECK_EQ(chunk_size(new_file, at), 0);
    DX_CHECK_EQ(container_make(old_file, 0, new_file, at, MEMORY_MAX, &forms), DX_PATCH_EINVAL);
    container_drop_forms(&forms);
    container_drop(&png);
}

/* So many members that initializing the library would take minutes. */
DX_TEST(ct_3_members_are_counted)
{
    enum { LINES = MEMBERS_MAX + 1 };
    container_bytes recipe = {.max = FORM_MAX}, form = {.max = FORM_MAX}, out = {.max = FORM_MAX};
    container_way way = {.kind = CONTAINER_DEFLATE, .level = 1, .variant = 1, .window = 9}, none = {0};
    correction nothing = {0};
    for (size_t i = 0; i < LINES; i++) {
        add_number(&recipe, 0);
        add_number(&recipe, 0);
        add_way(&recipe, &way, i ? &way : &none, &nothing);
    }
    add_number(&form, recipe.size);
    container_add(&form, recipe.bytes, recipe.size);
    DX_CHECK_EQ(rebuild_layer(form.bytes, form.size, ALL_KINDS, MEMORY_MAX, &out), DX_PATCH_ECORRUPT);
    DX_CHECK_EQ(out.size, 2 * MEMBERS_MAX);
    container_drop(&recipe);
    container_drop(&form);
    container_drop(&out);
}

#if defined(CONTAINERS_LZMA) && defined(VERSIONS_ZSTD_LIBRARY)
/* Windows and dictionaries beyond the reader's memory limit are refused as too large, not as damaged; a skippable frame has no
   content, and is no member. */
DX_TEST(ct_3_memory_of_decoders)
{
    static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3, 1, 0, 0}, skipped[] = {0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9};
    container_way way = {.kind = CONTAINER_XZ, .level = 6, .strategy = 4};
    container_bytes packed = {.max = 1000}, out = {.max = 1000};
    size_t taken;
    DX_CHECK_EQ(container_inflate(CONTAINER_ZSTD, frame, sizeof frame, 10 << 20, &out, &taken, NULL), 0);
    DX_CHECK_EQ(taken, sizeof frame);
    DX_CHECK_EQ(container_inflate(CONTAINER_ZSTD, frame, sizeof frame, 1 << 20, &out, &taken, NULL), DX_PATCH_ENOMEM);
    DX_CHECK_EQ(container_inflate(CONTAINER_ZSTD, skipped, sizeof skipped, MEMORY_MAX, &out, &taken, NULL), DX_PATCH_ECORRUPT);
    DX_CHECK_EQ(container_pack(&way, (const uint8_t *)"xyz", 3, MEMORY_MAX, &packed), 0);
    DX_CHECK_EQ(container_inflate(CONTAINER_XZ, packed.bytes, packed.size, 10 << 20, &out, &taken, NULL), 0);
    DX_CHECK_EQ(container_inflate(CONTAINER_XZ, packed.bytes, packed.size, 1 << 20, &out, &taken, NULL), DX_PATCH_ENOMEM);
    container_drop(&packed);
    container_drop(&out);
}

/* Frames that no way makes: only a few are searched for, although members between them are found. */
DX_TEST(ct_3_hopeless_members_are_few)
{
    enum { FRAMES = 40, CONTENT = 400 };
    static uint8_t content[CONTENT], packed[1000];
    container_members members = {0};
    uint64_t state = 1;
    size_t at = 0, found = 0;
    making *k = calloc(1, sizeof *k);
    for (int i = 0; i < FRAMES; i++) {
        for (size_t n = 0; n < CONTENT; n++) content[n] = (uint8_t)("abcdefgh"[dx_test_below(&state, 8)]);
        ZSTD_CCtx *z = ZSTD_createCCtx();
        if (i % 2 == 0) { /* a window that no level has */
            ZSTD_CCtx_setParameter(z, ZSTD_c_contentSizeFlag, 0);
            ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, 12);
        }
        size_t packed_size = ZSTD_compress2(z, packed, sizeof packed, content, CONTENT);
        ZSTD_freeCCtx(z);
        DX_CHECK(!ZSTD_isError(packed_size));
        put(new_file, &at, packed, packed_size);
    }
    DX_CHECK_EQ(container_find(new_file, at, FORM_MAX, MEMORY_MAX, NULL, &members), 0);
    DX_CHECK_EQ(members.count, FRAMES);
    k->bytes = new_file;
    k->memory_max = MEMORY_MAX;
    k->members.kinds = ALL_KINDS;
    k->form.max = k->recipe.max = FORM_MAX;
    for (size_t i = 0; i < members.count; i++) {
        DX_CHECK_EQ(add_member(k, &members.items[i]), 0);
        found += !members.items[i].packed;
    }
    DX_CHECK_EQ(found, FRAMES / 2);
    DX_CHECK_EQ(k->hopeless[CONTAINER_ZSTD], FRAMES / 2); /* more than HOPELESS: the last ones were not searched for */
    container_way none = {0};
    bool near;
    size_t last_size = members.items[FRAMES - 1].size;
    DX_CHECK(!container_try(CONTAINER_ZSTD, packed, last_size, NULL, content, CONTENT, false, MEMORY_MAX, NULL, &none, &near));
    none = (container_way){0};
    DX_CHECK(container_try(CONTAINER_ZSTD, packed, last_size, NULL, content, CONTENT, true, MEMORY_MAX, NULL, &none, &near));
    container_drop(&k->form);
    container_drop(&k->recipe);
    free(k);
    free(members.items);
}

/* The memory of a zstd encoder stays within the computed limit, also with a worker. */
DX_TEST(ct_3_memory_of_zstd)
{
    static const uint8_t zeros[1 << 16];
    for (int level = 1; level <= 19; level += 9)
        for (int workers = 0; workers <= 1; workers++) {
            container_way way = {.kind = CONTAINER_ZSTD, .level = (uint8_t)level, .variant = (uint8_t)workers};
            ZSTD_CCtx *z = ZSTD_createCCtx();
            ZSTD_inBuffer from = {zeros, sizeof zeros, 0};
            static uint8_t packed[1 << 16];
            ZSTD_outBuffer to = {packed, sizeof packed, 0};
            ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, level);
            bool supported = !workers || !ZSTD_isError(ZSTD_CCtx_setParameter(z, ZSTD_c_nbWorkers, workers));
            ZSTD_CCtx_setPledgedSrcSize(z, (unsigned long long)1 << 30);
            DX_CHECK(!ZSTD_isError(ZSTD_compressStream2(z, &to, &from, ZSTD_e_continue)));
            if (supported) DX_CHECK(ZSTD_sizeof_CCtx(z) <= zstd_memory(&way));
            ZSTD_freeCCtx(z);
        }
}
#endif

/* >>tokens --------------------------------------------------------------------- */
/* Deflate data that no encoder would make: blocks of all types that end anywhere, and matches that are not the longest. Made by
   zlib, while its level, strategy and flushing change. */
static size_t squeeze_oddly(dx_choices *c, uint8_t *out, size_t room, const uint8_t *content, size_t size)
{
    z_stream z;
    container_way way = draw_way(c);
    size_t at = 0;
    memset(&z, 0, sizeof z);
    DX_CHECK_EQ(deflateInit2(&z, (int)dx_choose(c, 9), Z_DEFLATED, -15, way.variant, way.strategy), Z_OK);
    z.next_out = out;
    z.avail_out = (uInt)room;
    for (uint64_t turns = dx_choose(c, 6); turns; turns--) {
        static const int flushes[] = {Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FULL_FLUSH, Z_PARTIAL_FLUSH, Z_BLOCK};
        size_t part = (size_t)dx_choose(c, size - at);
        z.next_in = (Bytef *)(uintptr_t)(content + at);
        z.avail_in = (uInt)part;
        at += part;
        deflate(&z, flushes[dx_choose(c, 4)]);
        deflateParams(&z, (int)dx_choose(c, 9), (int)dx_choose(c, 4));
    }
    z.next_in = (Bytef *)(uintptr_t)(content + at);
    z.avail_in += (uInt)(size - at);
    DX_CHECK_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return (size_t)z.total_out;
}

/* Every stream that inflates is rebuilt byte for byte, or refused. Most of the drawn ones are rebuilt. A damaged correction is
   refused, or makes other bytes within the limit. */
DX_PROPERTY(ct_1_streams_of_tokens, 150)
{
    static uint8_t content[12000], packed[40000];
    container_way way = {0}, again;
    size_t size = draw_content(c, content, sizeof content), taken;
    size_t packed_size = squeeze_oddly(c, packed, sizeof packed, content, size);
    bool intact = dx_choose(c, 3) > 0;
    if (!intact) packed[dx_choose(c, packed_size - 1)] ^= (uint8_t)(1 << dx_choose(c, 7));
    container_bytes made = {.max = FILE_MAX}, fix = {.max = sizeof packed}, out = {.max = sizeof packed};
    uint8_t *stream = malloc(packed_size);
    memcpy(stream, packed, packed_size);
    int error = container_inflate(CONTAINER_DEFLATE, stream, packed_size, MEMORY_MAX, &made, &taken, NULL);
    if (intact) DX_CHECK_EQ(error, 0);
    if (!error) {
        error = container_tokens_find(stream, taken, made.bytes, made.size, &way, &fix);
        DX_CHECK(error == 0 || error == DX_PATCH_EINVAL);
        if (intact) DX_CHECK_EQ(error, 0);
    }
    if (!error) {
        DX_CHECK_EQ(container_tokens_pack(&way, made.bytes, made.size, fix.bytes, fix.size, &out), 0);
        DX_CHECK_EQ(out.size, taken);
        DX_CHECK_MEM(out.bytes, stream, taken);
        again = way;
        fix.bytes[dx_choose(c, fix.size - 1)] ^= (uint8_t)(1 << dx_choose(c, 7));
        out.size = 0;
        int other = container_tokens_pack(&again, made.bytes, made.size, fix.bytes, fix.size, &out);
        DX_CHECK(other == 0 || other == DX_PATCH_ECORRUPT || other == DX_PATCH_ETOOBIG);
        DX_CHECK(out.size <= out.max);
        size_t cut = (size_t)dx_choose(c, fix.size - 1);
        out.size = 0;
        out.error = 0;
        other = container_tokens_pack(&again, made.bytes, made.size, fix.bytes, cut, &out);
        DX_CHECK(other == DX_PATCH_ECORRUPT || other == DX_PATCH_ETOOBIG);
    }
    container_drop(&made);
    container_drop(&fix);
    container_drop(&out);
    free(stream);
}

/* Corrections of noise, for any way: an error, or bytes within the limit. */
DX_PROPERTY(ct_3_corrections_of_noise, 300)
{
    static uint8_t content[700];
    container_way way = {.kind = CONTAINER_TOKENS};
    container_bytes out = {.max = (size_t)dx_choose(c, 3000)};
    size_t size = draw_content(c, content, sizeof content), noise_size = (size_t)dx_choose(c, 200);
    uint8_t *noise = malloc(noise_size + 1);
    way.level = (uint8_t)(1 + dx_choose(c, 9));
    way.variant = (uint8_t)(8 + dx_choose(c, 9));
    way.window = (uint8_t)(way.level == 10 ? 4 : dx_choose(c, 3));
    for (size_t i = 0; i < noise_size; i++) noise[i] = (uint8_t)dx_choose(c, 255);
    int error = container_tokens_pack(&way, content, size, noise, noise_size, &out);
    DX_CHECK(error == 0 || error == DX_PATCH_ECORRUPT || error == DX_PATCH_ETOOBIG);
    DX_CHECK(out.size <= out.max);
    container_drop(&out);
    free(noise);
}

/* zlib's own output at each level is predicted: a correction of a few bytes. */
DX_TEST(ct_2_tokens_of_zlib_are_predicted)
{
    static uint8_t content[90000], packed[120000];
    uint64_t state = 7;
    for (size_t i = 0; i < sizeof content; i++) {
        bool copied = i > 5000 && dx_test_below(&state, 12);
        content[i] = copied ? content[i - 4000 - i / 5000] : (uint8_t)('a' + dx_test_below(&state, 20));
    }
    for (uint8_t level = 1; level <= 9; level++) {
        container_way zlib_way = {.kind = CONTAINER_DEFLATE, .level = level, .variant = 8, .window = 15}, way = {0};
        container_bytes fix = {.max = sizeof packed};
        size_t size = squeeze(packed, sizeof packed, content, sizeof content, &zlib_way, 0);
        DX_CHECK_EQ(container_tokens_find(packed, size, content, sizeof content, &way, &fix), 0);
        DX_CHECK(fix.size < 200);
        container_drop(&fix);
    }
}

static size_t read_file_part(const char *name, const char *part, uint8_t *out, size_t room)
{
    char vector[64];
    snprintf(vector, sizeof vector, "%s-%s", name, part);
    return dx_test_vector("tests/vectors/container_tokens.hex", vector, out, room);
}

/* Streams of other encoders, frozen: output of an earlier version is rebuilt, and writing the same way gives the same bytes. */
DX_TEST(ct_4_streams_of_other_encoders)
{
    static const char *const names[] = {"gnu1", "gnu9", "node1", "node6", "busybox", "flushed", "go1", "go2", "go6",
                                        "gohuff", "pigz1", "pigz4", "libdeflate6", "zopfli", "stored", "noise", "rsyncable"};
    static uint8_t stream[10000], fix[2000];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint8_t numbers[5];
        DX_CHECK_EQ(read_file_part(names[i], "way", numbers, sizeof numbers), 5);
        container_way way = {numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], {0}, 0}, found = {0};
        container_bytes content = {.max = 200000}, out = {.max = sizeof stream}, again = {.max = sizeof stream};
        size_t size = read_file_part(names[i], "stream", stream, sizeof stream), fix_size = read_file_part(names[i], "correction", fix, sizeof fix), taken;
        engine *e = calloc(1, sizeof *e);
        DX_CHECK_EQ(container_inflate(CONTAINER_DEFLATE, stream, size, MEMORY_MAX, &content, &taken, NULL), 0);
        DX_CHECK_EQ(container_tokens_pack(&way, content.bytes, content.size, fix, fix_size, &out), 0);
        DX_CHECK_EQ(out.size, size);
        DX_CHECK_MEM(out.bytes, stream, size);
        DX_CHECK(encode(e, &way, stream, size, content.bytes, content.size, content.size, &again));
        DX_CHECK_EQ(again.size, fix_size);
        DX_CHECK_MEM(again.bytes, fix, fix_size);
        again.size = 0;
        DX_CHECK_EQ(container_tokens_find(stream, size, content.bytes, content.size, &found, &again), 0);
        DX_CHECK(again.size <= fix_size);
        free(e->b.tokens);
        free(e);
        container_drop(&content);
        container_drop(&out);
        container_drop(&again);
    }
}

/* Only literals, where every search compares many long candidates: refused in bounded time, not after minutes. */
DX_TEST(ct_3_contents_that_tire_the_search)
{
    enum { SIZE = 120000 };
    static uint8_t content[SIZE];
    container_way way = {.kind = CONTAINER_TOKENS, .level = 9, .variant = 15};
    uint64_t state = 5;
    for (size_t at = 0; at < SIZE;) {
        for (unsigned n = 60 + dx_test_below(&state, 180), i = 0; i < n && at < SIZE; i++) content[at++] = (uint8_t)("abaabbab"[i % 60 % 8]);
        if (at < SIZE) content[at++] = (uint8_t)("abxyz"[dx_test_below(&state, 5)]);
    }
    engine *e = calloc(1, sizeof *e);
    predictor_init(&e->p, &way, content, SIZE);
    e->p.work = 1000;
    match found;
    for (e->p.at = 0; !e->p.tired && e->p.at < SIZE;) {
        predict(&e->p, &found);
        pass_token(&e->p, 0);
    }
    DX_CHECK(e->p.tired && e->p.at < SIZE / 10);
    free(e);
}

/* >>patches from outside ------------------------------------------------------ */
enum { WORLD_MAX = 4096, RESULT_MAX = 1 << 16 };

/* A whole patch of random fields, for a random OLD. */
typedef struct world {
    container_bytes from;
    container_bytes lists;
    container_bytes form; /* of NEW */
    container_bytes patch;
    size_t head;          /* bytes before the checksum */
} world;

static void put_byte(container_bytes *b, uint64_t v) { add_byte(b, (unsigned)v); }

/* Mostly the right value, so that the test gets beyond the first line of a recipe. */
static uint64_t nearly(dx_choices *c, uint64_t right) { return dx_choose(c, 31) ? right : dx_choose(c, 255); }

static container_way draw_any_way(dx_choices *c)
{
    container_way way = draw_way(c);
    uint64_t kind = dx_choose(c, 9);
    if (kind == 1) {
        way.kind = CONTAINER_PNG;
        way.chunk = 1 + (uint32_t)dx_choose(c, 300);
    } else if (kind == 2) {
        way = (container_way){.kind = CONTAINER_ZSTD, .level = (uint8_t)(1 + dx_choose(c, 2)), .strategy = (uint8_t)dx_choose(c, 3)};
    } else if (kind == 4) {
        way = (container_way){.kind = CONTAINER_TOKENS, .level = way.level, .variant = (uint8_t)(8 + dx_choose(c, 9))};
        way.window = (uint8_t)dx_choose(c, 4);
        if (way.window == 4) way.level = 10;
    } else if (kind == 3) {
        way = (container_way){.kind = CONTAINER_XZ, .variant = (uint8_t)dx_choose(c, 1), .strategy = 4};
    }
    return way;
}

/* A member or plain bytes in OLD, with a line in its list. */
static void draw_old(dx_choices *c, world *w)
{
    static uint8_t content[300];
    container_bytes list = {.max = WORLD_MAX};
    size_t end = 0;
    for (uint64_t members = dx_choose(c, 3); members; members--) {
        size_t size = draw_content(c, content, sizeof content);
        container_way way = draw_any_way(c);
        container_add(&w->from, content, (size_t)dx_choose(c, 12));
        if (way.kind != CONTAINER_TOKENS && container_has(way.kind) && dx_choose(c, 7)) {
            size_t at = w->from.size;
            DX_CHECK_EQ(container_pack(&way, content, size, MEMORY_MAX, &w->from), 0);
            add_number(&list, nearly(c, at - end));
            put_byte(&list, nearly(c, way.kind));
            end = w->from.size;
        }
    }
    if (w->from.size && dx_choose(c, 3) == 0) w->from.bytes[dx_choose(c, w->from.size - 1)] ^= (uint8_t)(1 << dx_choose(c, 7));
    add_number(&w->lists, nearly(c, list.size));
    container_add(&w->lists, list.bytes, list.size);
    container_drop(&list);
}

/* The correction of a stream made by zlib. */
static correction draw_tokens(dx_choices *c, container_way *way, const uint8_t *content, size_t size, container_bytes *tokens)
{
    static uint8_t packed[1000];
    container_way zlib_way = draw_way(c);
    size_t packed_size = squeeze(packed, sizeof packed, content, size, &zlib_way, 0);
    DX_CHECK_EQ(container_tokens_find(packed, packed_size, content, size, way, tokens), 0);
    return (correction){.raw = tokens->bytes, .size = tokens->size};
}

/* Recipe, bytes between members, contents. A second layer has the first form as the bytes between. */
static void draw_form(dx_choices *c, container_bytes *form, const container_bytes *within)
{
    static uint8_t content[300];
    container_bytes recipe = {.max = WORLD_MAX}, rest = {.max = WORLD_MAX};
    container_way last = {.kind = 77};
    if (within) container_add(&rest, within->bytes, within->size);
    for (uint64_t members = dx_choose(c, 3); members; members--) {
        size_t size = draw_content(c, content, sizeof content), gap = within ? rest.size : (size_t)dx_choose(c, 12);
        container_way way = draw_any_way(c);
        correction fix = {0};
        if (dx_choose(c, 3) == 0) {
            fix = (correction){(size_t)dx_choose(c, 5), (size_t)dx_choose(c, 4), content, (size_t)dx_choose(c, 9)};
        }
        container_bytes tokens = {.max = WORLD_MAX};
        if (way.kind == CONTAINER_TOKENS) fix = draw_tokens(c, &way, content, size, &tokens);
        add_number(&recipe, nearly(c, gap));
        add_number(&recipe, nearly(c, size));
        way.level = (uint8_t)nearly(c, way.level);
        add_way(&recipe, &way, &last, &fix);
        container_drop(&tokens);
        last = way;
        if (!within) container_add(&rest, content, gap);
        container_add(&rest, content, size);
        within = NULL;
    }
    if (recipe.size && dx_choose(c, 7) == 0) recipe.bytes[dx_choose(c, recipe.size - 1)] = (uint8_t)dx_choose(c, 255);
    add_number(form, nearly(c, recipe.size));
    container_add(form, recipe.bytes, recipe.size);
    container_add(form, rest.bytes, rest.size);
    container_drop(&recipe);
    container_drop(&rest);
}

/* The inner patch, plain, from the form of OLD, if its lists are usable, to the form of NEW. */
static void add_inner(world *w, const container_patch *p)
{
    static uint8_t memory[1 << 18], inner[4 * WORLD_MAX];
    dx_patch_create_desc desc = {.memory = memory, .memory_size = sizeof memory, .codings = 1u << DX_PATCH_CODING_PLAIN};
    container_bytes from = {0};
    size_t size = 0;
    container_unpack(p, w->from.bytes, w->from.size, MEMORY_MAX, &from);
    if (dx_patch_bound(&desc, from.size, w->form.size) <= sizeof inner)
        DX_CHECK_EQ(dx_patch_create(&desc, from.bytes, from.size, w->form.bytes, w->form.size, inner, sizeof inner, &size), 0);
    container_add(&w->patch, inner, size);
    container_drop(&from);
}

static void draw_patch(dx_choices *c, world *w)
{
    uint8_t h[CONTAINER_HEADER_SIZE] = {'D', 'X', 'C', '1', VERSION};
    container_bytes first = {.max = WORLD_MAX};
    container_patch p;
    draw_old(c, w);
    bool twice = dx_choose(c, 3) == 0;
    draw_form(c, twice ? &first : &w->form, NULL);
    if (twice) draw_form(c, &w->form, &first);
    if (twice) add_number(&w->lists, 0);
    container_drop(&first);
    h[5] = (uint8_t)(1 + twice);
    h[6] = (uint8_t)nearly(c, ALL_KINDS);
    h[7] = (uint8_t)dx_choose(c, 3);
    store64(h + 8, w->from.size);
    store64(h + 16, dx_choose(c, RESULT_MAX));
    store64(h + 24, dx_choose(c, 7) ? RESULT_MAX : dx_choose(c, 500));
    store64(h + 32, w->lists.size);
    dx_patch_hash(w->from.bytes, w->from.size, h + 48);
    container_add(&w->patch, h, sizeof h);
    container_add(&w->patch, "abc", h[7]);
    container_add(&w->patch, w->lists.bytes, w->lists.size);
    w->head = w->patch.size;
    container_add(&w->patch, h, CONTAINER_CHECK_SIZE);
    seal_again(w->patch.bytes, w->head);
    if (!container_open(w->patch.bytes, w->patch.size, &p)) add_inner(w, &p);
    for (uint64_t edits = dx_choose(c, 7) ? 0 : 1 + dx_choose(c, 2); edits; edits--)
        w->patch.bytes[dx_choose(c, w->patch.size - 1)] ^= (uint8_t)(1 << dx_choose(c, 7));
    seal_again(w->patch.bytes, w->head);
}

/* Apply it as dxpatch does. out: also set if the hash differs from the patch's. */
static int run_world(const world *w, uint64_t memory_max, container_bytes *out)
{
    container_patch p;
    container_bytes form = {0};
    uint8_t *patch = malloc(w->patch.size), *from = malloc(w->from.size + !w->from.size), *made = NULL, *memory = NULL;
    dx_patch_header h;
    size_t size = 0;
    memcpy(patch, w->patch.bytes, w->patch.size); /* the sanitizers watch their ends */
    if (w->from.size) memcpy(from, w->from.bytes, w->from.size);
    int error = container_open(patch, w->patch.size, &p);
    if (!error && (p.form_max > RESULT_MAX || p.target_size > RESULT_MAX)) error = DX_PATCH_ETOOBIG;
    if (!error) error = container_unpack(&p, from, w->from.size, memory_max, &form);
    if (!error || form.bytes) DX_CHECK(form.size <= p.form_max);
    if (!error) error = dx_patch_info(p.inner, p.inner_size, &h);
    if (!error && (h.target_size > p.form_max || h.memory_size > 1 << 18)) error = DX_PATCH_ETOOBIG;
    if (!error) {
        made = malloc((size_t)h.target_size + 1);
        memory = malloc((size_t)h.memory_size);
        error = dx_patch_apply(form.bytes, form.size, p.inner, p.inner_size, made, (size_t)h.target_size, &size, memory, (size_t)h.memory_size);
    }
    if (!error) error = container_rebuild(&p, made, size, memory_max, out);
    if (out->bytes) DX_CHECK(out->size <= p.form_max || out->size <= p.target_size);
    if (!error) {
        uint8_t hash[DX_PATCH_HASH_SIZE];
        dx_patch_hash(out->bytes, out->size, hash);
        DX_CHECK_MEM(hash, p.target_hash, sizeof hash);
        DX_CHECK_EQ(out->size, p.target_size);
    }
    container_drop(&form);
    free(patch);
    free(from);
    free(made);
    free(memory);
    return error;
}

/* Any patch is refused, or yields its promised result; with less memory the same, or it is refused for that. If only the hash
   differs, it is accepted once that is fixed, so nothing else is wrong. */
DX_PROPERTY(fuzz_container, 300)
{
    world w = {.from.max = 4 * WORLD_MAX, .lists.max = WORLD_MAX, .form.max = WORLD_MAX, .patch.max = 6 * WORLD_MAX};
    container_bytes out = {0}, less = {0};
    draw_patch(c, &w);
    int error = run_world(&w, MEMORY_MAX, &out);
    if (error == DX_PATCH_ETARGET) {
        bool shorter = out.size < load64(w.patch.bytes + 16); /* a size limit for the bytes before the correction, too */
        store64(w.patch.bytes + 16, out.size);
        dx_patch_hash(out.bytes, out.size, w.patch.bytes + 80);
        seal_again(w.patch.bytes, w.head);
        container_drop(&out);
        error = run_world(&w, MEMORY_MAX, &out);
        DX_CHECK(error == 0 || error == DX_PATCH_EAPPLIED || (shorter && error == DX_PATCH_ETOOBIG));
    }
    int again = run_world(&w, 1 << 20, &less);
    DX_CHECK(again == error || again == DX_PATCH_ENOMEM);
    if (!again) DX_CHECK_EQ(less.size, out.size);
    if (!again && out.size) DX_CHECK_MEM(less.bytes, out.bytes, out.size);
    container_drop(&out);
    container_drop(&less);
    container_drop(&w.from);
    container_drop(&w.lists);
    container_drop(&w.form);
    container_drop(&w.patch);
}

/* >>whole patches ------------------------------------------------------------- */
/* Between forms, without compression. */
static int create_plain(void *user, const uint8_t *from, size_t from_size, const uint8_t *to, size_t to_size, uint8_t **out, size_t *size)
{
    dx_patch_create_desc desc = {.codings = 1u << DX_PATCH_CODING_PLAIN};
    (void)user;
    desc.memory_size = dx_patch_create_memory_size(&desc, from_size, to_size);
    desc.memory = malloc(desc.memory_size);
    *out = malloc(2 * to_size + 1000);
    int error = dx_patch_create(&desc, from, from_size, to, to_size, *out, 2 * to_size + 1000, size);
    free(desc.memory);
    return error;
}

static bool count_down(void *user) { return --*(int64_t *)user < 0; }

/* Kinds that the reader does not unpack are in no patch; cancelling at any time leaves nothing. */
DX_PROPERTY(ct_3_readers_that_unpack_less_and_makers_that_are_cancelled, 40)
{
    size_t from_size, to_size;
    draw_files(c, &from_size, &to_size);
    int64_t left = INT64_MAX;
    const container_cancel cancel = {count_down, &left};
    container_maker maker = {.kinds = 1u << dx_choose(c, CONTAINER_KINDS - 1), .form_max = FORM_MAX, .memory_max = MEMORY_MAX,
                             .cancel = &cancel, .create = create_plain};
    container_bytes patch = {.max = 4 * FORM_MAX}, out = {0};
    container_patch p;
    int error = container_diff(&maker, old_file, from_size, new_file, to_size, &patch);
    const uint64_t asked = (uint64_t)(INT64_MAX - left);
    DX_CHECK(error == 0 || error == DX_PATCH_EINVAL);
    if (!error) {
        DX_CHECK_EQ(container_open(patch.bytes, patch.size, &p), 0);
        DX_CHECK_EQ(p.kinds & ~maker.kinds & ~(1u << CONTAINER_TOKENS), 0);
        DX_CHECK(!(p.kinds >> CONTAINER_TOKENS & 1) || maker.kinds >> CONTAINER_DEFLATE & 1);
        dx_patch_header h;
        DX_CHECK_EQ(dx_patch_info(p.inner, p.inner_size, &h), 0);
        DX_CHECK_EQ(container_run(&p, old_file, from_size, MEMORY_MAX, h.memory_size - 1, &out), DX_PATCH_ENOMEM);
        DX_CHECK(!out.bytes);
        DX_CHECK_EQ(container_run(&p, old_file, from_size, MEMORY_MAX, h.memory_size, &out), 0);
        DX_CHECK_EQ(out.size, to_size);
        DX_CHECK_MEM(out.bytes, new_file, to_size);
        container_bytes less = {.max = patch.size - 1};
        DX_CHECK_EQ(container_diff(&maker, old_file, from_size, new_file, to_size, &less), DX_PATCH_ETOOBIG);
        DX_CHECK(!less.bytes);
    }
    container_drop(&out);
    container_drop(&patch);
    if (error || !asked) return;
    left = (int64_t)dx_choose(c, asked - 1);
    DX_CHECK_EQ(container_diff(&maker, old_file, from_size, new_file, to_size, &patch), DX_PATCH_ECANCELED);
    DX_CHECK(!patch.bytes);
}

/* >>memory --------------------------------------------------------------------- */
/* A field of /proc/self/status in KB; 0: the system has none. */
static size_t status_kb(const char *field)
{
    char line[256];
    size_t kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, field, strlen(field))) kb = strtoul(line + strlen(field), NULL, 10);
    if (f) fclose(f);
    return kb;
}

static size_t mapped_kb(void) { return status_kb("RssFile:") + status_kb("RssShmem:"); }

/* Called for every piece that is packed: keep the most that was mapped. */
static bool sample_mapped(void *user)
{
    const size_t kb = mapped_kb();
    if (kb > *(size_t *)user) *(size_t *)user = kb;
    return false;
}

/* A .gz of `count` members of 64 bytes, of which every `changed`-th is new. */
static size_t put_gz(uint8_t *out, size_t room, uint8_t *content, size_t count, size_t changed)
{
    static const uint8_t head[10] = {0x1f, 0x8b, 8};
    const container_way way = {.kind = CONTAINER_DEFLATE, .level = 6, .variant = 8, .window = 15};
    for (size_t i = 0; i < count; i++) {
        char member[128];
        snprintf(member, sizeof member, "member %08zu of a tar, %s %034zu", i, i % changed ? "old" : "new", i * 7919);
        memcpy(content + 64 * i, member, 64);
    }
    memcpy(out, head, sizeof head);
    return sizeof head + squeeze(out + sizeof head, room - sizeof head, content, 64 * count, &way, 0);
}

/* Between forms, as dxup serve makes it. */
static int create_range(void *user, const uint8_t *from, size_t from_size, const uint8_t *to, size_t to_size, uint8_t **out, size_t *size)
{
    dx_patch_create_desc desc = {.codings = 1u << DX_PATCH_CODING_RANGE, .memory_size = 24 << 20, .level = 3};
    (void)user;
    desc.memory = malloc(desc.memory_size);
    *out = malloc(to_size);
    int error = dx_patch_create(&desc, from, from_size, to, to_size, *out, to_size, size);
    free(desc.memory);
    return error;
}

/* However many members there are: while a file of 200,000 is packed, little of its content is mapped. */
DX_TEST(ct_5_many_members_take_little_memory)
{
    enum { COUNT = 200000, ROOM = 8 << 20, ALLOWED_KB = 9 << 10 };
    uint8_t *content = malloc(64 * COUNT + 1), *from = malloc(ROOM), *to = malloc(ROOM);
    container_bytes patch = {.max = ROOM}, base = {.max = ROOM}, out = {.source = &base};
    container_maker maker = {.form_max = 64 << 20, .memory_max = MEMORY_MAX, .create = create_range};
    container_patch p;
    const size_t from_size = put_gz(from, ROOM, content, COUNT, COUNT), to_size = put_gz(to, ROOM, content, COUNT, COUNT / 16);
    DX_CHECK_EQ(container_diff(&maker, from, from_size, to, to_size, &patch), 0);
    DX_CHECK(patch.size < to_size / 8);
    DX_CHECK(container_add(&base, from, from_size));
    DX_CHECK_EQ(container_open(patch.bytes, patch.size, &p), 0);
    DX_CHECK_EQ(p.form_max >> 20, 12); /* megabytes: more than may be mapped */
    container_bytes probe = {.max = ROOM};
    const bool has_files = container_reserve(&probe, ROOM) && probe.in_file;
    container_drop(&probe);
    const size_t before = mapped_kb();
    size_t most = 0;
    const container_cancel sample = {sample_mapped, &most};
    out.cancel = &sample;
    DX_CHECK_EQ(container_run(&p, base.bytes, base.size, MEMORY_MAX, 8 << 20, &out), 0);
    DX_CHECK_EQ(out.size, to_size);
    DX_CHECK_MEM(out.bytes, to, to_size);
    DX_CHECK(most || !before);
    if (has_files) DX_CHECK(most <= before + ALLOWED_KB);
    container_drop(&out);
    container_drop(&base);
    container_drop(&patch);
    free(content);
    free(from);
    free(to);
}

/* >>vector -------------------------------------------------------------------- */
DX_TEST(ct_4_vector)
{
    static uint8_t patch[1000], from[200], to[200], made[1000], memory[1 << 18], inner[1000];
    size_t patch_size = dx_test_vector("docs/formats/container.md", "container", patch, sizeof patch), size;
    size_t from_size = dx_test_vector("docs/formats/container.md", "container-old", from, sizeof from);
    size_t to_size = dx_test_vector("docs/formats/container.md", "container-new", to, sizeof to);
    container_patch p;
    container_bytes form = {0}, out = {0};
    DX_CHECK_EQ(container_open(patch, patch_size, &p), 0);
    DX_CHECK_EQ(container_unpack(&p, from, from_size, MEMORY_MAX, &form), 0);
    DX_CHECK_EQ(dx_patch_apply(form.bytes, form.size, p.inner, p.inner_size, made, sizeof made, &size, memory, sizeof memory), 0);
    DX_CHECK_EQ(container_rebuild(&p, made, size, MEMORY_MAX, &out), 0);
    DX_CHECK_EQ(out.size, to_size);
    DX_CHECK_MEM(out.bytes, to, to_size);
    /* and the written bytes, except for the names of the libraries here */
    container_forms forms = {.form_max = FORM_MAX};
    dx_patch_create_desc desc = {.memory = memory, .memory_size = sizeof memory, .codings = 1u << DX_PATCH_CODING_PLAIN};
    DX_CHECK_EQ(container_make(from, from_size, to, to_size, MEMORY_MAX, &forms), 0);
    DX_CHECK(forms.layers == p.layers && forms.kinds == p.kinds && forms.largest == p.form_max);
    DX_CHECK_EQ(forms.lists.size, p.lists_size);
    DX_CHECK_MEM(forms.lists.bytes, p.lists, p.lists_size);
    DX_CHECK_EQ(dx_patch_create(&desc, forms.from.bytes, forms.from.size, forms.to.bytes, forms.to.size, inner, sizeof inner, &size), 0);
    DX_CHECK_EQ(size, p.inner_size);
    DX_CHECK_MEM(inner, p.inner, size);
    container_drop_forms(&forms);
    container_drop(&form);
    container_drop(&out);
}
#endif
