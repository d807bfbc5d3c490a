/* Tests of programs/dxpatch/container*.c: members found, forms made, and files rebuilt byte for byte. Without zlib, which the
   plain build of a suite does not ask for, only what is refused; build/codec/test_container has the libraries. */
#define DX_PATCH_IMPLEMENTATION
#include "../../programs/dxpatch/container_ways.c"
#include "../../programs/dxpatch/container_find.c"
#include "../../programs/dxpatch/container.c"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { FILE_MAX = 1 << 17, FORM_MAX = 1 << 20 };
#define MEMORY_MAX ((uint64_t)256 << 20)
static uint8_t old_file[FILE_MAX], new_file[FILE_MAX];

/* Header, text, lists and check of a patch, around an inner patch of five bytes. */
static container_bytes seal(const container_forms *forms, size_t from_size, size_t to_size)
{
    container_bytes sealed = {.max = SIZE_MAX / 2};
    DX_CHECK_EQ(container_seal(forms, old_file, from_size, new_file, to_size, (const uint8_t *)"inner", 5, &sealed), 0);
    return sealed;
}

/* A header that says less or more than there is. */
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

/* What a header may not say, although its check is right. */
DX_TEST(ct_3_fields_that_are_not_known)
{
    static const struct {
        size_t  at;
        uint8_t value;
        int     error;
    } wrong[] = {{4, 2, DX_PATCH_EVERSION},  {5, 0, DX_PATCH_EVERSION},   {5, 3, DX_PATCH_EVERSION},  {6, 1, DX_PATCH_EVERSION},
                 {6, 32, DX_PATCH_EVERSION}, {40, 1, DX_PATCH_EVERSION},  {47, 1, DX_PATCH_EVERSION}, {23, 64, DX_PATCH_ETOOBIG},
                 {31, 64, DX_PATCH_ETOOBIG}, {39, 1, DX_PATCH_ETRUNCATED}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        container_forms forms = {.layers = 1, .kinds = 2, .form_max = 100};
        container_patch p;
        uint8_t hash[DX_PATCH_HASH_SIZE];
        container_bytes sealed = seal(&forms, 0, 0);
        size_t head = sealed.size - 5 - CONTAINER_CHECK_SIZE;
        sealed.bytes[wrong[i].at] = wrong[i].value;
        dx_patch_hash(sealed.bytes, head, hash);
        memcpy(sealed.bytes + head, hash, CONTAINER_CHECK_SIZE);
        DX_CHECK_EQ(container_open(sealed.bytes, sealed.size, &p), wrong[i].error);
        container_drop(&sealed);
    }
}

/* Bytes that are no recipe: refused, or something no larger than the limit. */
DX_PROPERTY(ct_3_recipes_of_noise, 4000)
{
    uint8_t noise[64];
    size_t size = (size_t)dx_choose(c, sizeof noise);
    container_bytes out = {.max = 300};
    for (size_t i = 0; i < size; i++) noise[i] = (uint8_t)dx_choose(c, i < 12 ? 9 : 255);
    uint8_t *copy = malloc(size + 1);
    memcpy(copy, noise, size);
    rebuild_layer(copy, size, MEMORY_MAX, &out);
    DX_CHECK(out.size <= 300);
    container_drop(&out);
    reader lists = {copy, size, DX_PATCH_OK};
    unpack_layer(&lists, copy, size, &out);
    DX_CHECK(out.size <= 300);
    container_drop(&out);
    free(copy);
}

#ifndef DXPATCH_ZLIB
DX_TEST(ct_3_without_zlib)
{
    container_bytes out = {.max = 100};
    container_way way = {.kind = CONTAINER_DEFLATE, .level = 6, .variant = 8, .window = 15};
    size_t taken;
    DX_CHECK(!container_has(CONTAINER_DEFLATE) && !container_has(CONTAINER_PNG));
    DX_CHECK_EQ(container_inflate(CONTAINER_DEFLATE, (const uint8_t *)"\3\0", 2, &out, &taken, NULL), DX_PATCH_ENOTSUP);
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

/* Raw deflate of a content; `flush` in the middle is what no way makes by itself. */
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

/* A member of some kind, or bytes that only look so. */
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
    case 2: { /* png, with the chunks of pack_png() and a wrong last one now and then */
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
    case 3: /* an end that is missing */
        put(file, at, "\x1f\x8b\10\0\0\0\0\0\2\3", 10);
        put(file, at, packed, packed_size / 2);
        break;
    case 4: put(file, at, content, size); break; /* stored */
    default: put(file, at, "PK\3\4PK\1\2PK\5\6\x1f\x8b\10IDAT\xfd" "7zXZ", 25); break;
    }
}

/* OLD and NEW: the same contents, some of them changed, packed in drawn ways. */
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
        DX_CHECK_EQ(container_unpack(&p, old_file, from_size, &form), 0);
        DX_CHECK_EQ(form.size, forms.from.size);
        DX_CHECK_MEM(form.bytes, forms.from.bytes, form.size);
        DX_CHECK_EQ(container_rebuild(&p, forms.to.bytes, forms.to.size, MEMORY_MAX, &out), 0);
        DX_CHECK_EQ(out.size, to_size);
        DX_CHECK_MEM(out.bytes, new_file, to_size);
        container_drop(&form);
        if (from_size) { /* another base */
            old_file[dx_choose(c, from_size - 1)] ^= 1;
            DX_CHECK_EQ(container_unpack(&p, old_file, from_size, &form), DX_PATCH_EBASE);
        }
        DX_CHECK_EQ(container_unpack(&p, new_file, to_size, &form), DX_PATCH_EAPPLIED);
        container_drop(&form);
        container_drop(&out);
        container_drop(&sealed);
    }
    container_drop_forms(&forms);
}

/* Every level, strategy and memory level is found again, with the usual window. */
DX_PROPERTY(ct_1_parameters_are_found, 100)
{
    static uint8_t content[12000], packed[20000];
    container_way way = draw_way(c), found = {0};
    container_bytes out = {.max = sizeof packed};
    bool near;
    size_t size = 40 + draw_content(c, content, sizeof content - 40);
    size_t packed_size = squeeze(packed, sizeof packed, content, size, &way, 0);
    DX_CHECK(container_try(CONTAINER_DEFLATE, packed, packed_size, content, size, true, MEMORY_MAX, &found, &near));
    DX_CHECK_EQ(container_pack(&found, content, size, MEMORY_MAX, &out), 0);
    DX_CHECK_EQ(out.size, packed_size);
    DX_CHECK_MEM(out.bytes, packed, packed_size);
    container_drop(&out);
    memset(&found, 0, sizeof found);
    found = way; /* the one that worked last needs no search */
    DX_CHECK(container_try(CONTAINER_DEFLATE, packed, packed_size, content, size, false, MEMORY_MAX, &found, &near));
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
    DX_CHECK_EQ(rebuild_layer(forms.to.bytes, forms.to.size, MEMORY_MAX, &out), 0);
    DX_CHECK_EQ(out.size, at);
    DX_CHECK_MEM(out.bytes, new_file, at);
    container_drop(&out);
    container_drop_forms(&forms);
}

#if defined(DXPATCH_LZMA) && defined(DXUP_ZSTD_LIBRARY)
/* zstd and xz, their levels and checks, and what is nested in them. */
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
/* Forms and lists in which something was changed: an error, or other bytes below the limit. */
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
        for (uint64_t edits = 1 + dx_choose(c, 2); edits; edits--) /* most of them in the recipe */
            forms.to.bytes[dx_choose(c, dx_choose(c, 3) && forms.to.size > 64 ? 63 : forms.to.size - 1)] = (uint8_t)dx_choose(c, 255);
        DX_CHECK(container_rebuild(&p, forms.to.bytes, forms.to.size, MEMORY_MAX, &out) != 0 || out.size == to_size);
        DX_CHECK(out.size <= p.form_max || out.size <= to_size);
        container_drop(&out);
        forms.lists.bytes[dx_choose(c, forms.lists.size - 1)] = (uint8_t)dx_choose(c, 255);
        dx_patch_hash(old_file, from_size, p.base_hash);
        container_unpack(&p, old_file, from_size, &out);
        DX_CHECK(out.size <= p.form_max);
        container_drop(&out);
    }
    container_drop_forms(&forms);
}

/* Bombs: what inflates to more than the limit stays packed when made, and is refused when read. */
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
    DX_CHECK_EQ(unpack_layer(&lists, new_file, at, &out), DX_PATCH_ETOOBIG);
    DX_CHECK(out.size <= FORM_MAX);
    container_drop(&out);
    container_drop(&packed);
    free(zeros);
}

/* So many members that setting up the library would take minutes. */
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
    DX_CHECK_EQ(rebuild_layer(form.bytes, form.size, MEMORY_MAX, &out), DX_PATCH_ECORRUPT);
    DX_CHECK_EQ(out.size, 2 * MEMBERS_MAX);
    container_drop(&recipe);
    container_drop(&form);
    container_drop(&out);
}
#endif
