/* Patches between containers: the header, the list of unpacked members of OLD, and the recipe of NEW
   (docs/formats/container.md). Forms are made layer by layer; NEW is rebuilt in the opposite order:

       OLD --list 1--> form --list 2--> form ==inner patch==> form --recipe 2--> form
                                                                           --recipe 1--> NEW

   Lists and recipes are untrusted. Every number in them is checked against the available bytes, and
   every buffer against the limit, before it is used. */
#include "container.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    VERSION        = 1,
    CORRECTED      = 128, /* bit in the kind of a recipe: a correction follows */
    SAME_WAY       = 0,   /* instead of a kind: same way as the previous member */
    MEMBERS_MAX    = 65536,
    HEAVY_MAX      = 256, /* the same for zstd and xz */
    HOPELESS       = 4,   /* after this many members of a kind without a way, rare ones are not tried */
    CORRECTION_MAX = 4,   /* repack a member only if its correction is at most 1/4 of its size */
    TOKENS_MAX     = 2    /* or 1/2 with tokens, which are tried last */
};

/* The size limit of output before its correction: it may be longer than the corrected member, even
   if that is all of NEW. */
static size_t uncorrected_max(size_t size)
{
    return size > SIZE_MAX / 4 ? SIZE_MAX / 2 : 2 * size + 1024;
}

/* >>numbers: LEB128 and little-endian ---------------------------------------- */
static void add_number(container_bytes *b, uint64_t v)
{
    uint8_t bytes[10];
    size_t count = 0;
    for (; v > 127; v >>= 7) bytes[count++] = (uint8_t)(v | 128);
    bytes[count++] = (uint8_t)v;
    container_add(b, bytes, count);
}

static void add_byte(container_bytes *b, unsigned v)
{
    uint8_t byte = (uint8_t)v;
    container_add(b, &byte, 1);
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

static void store64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)(v >> 8 * i);
}

/* A cursor over bytes. */
typedef struct reader {
    const uint8_t *at;
    size_t         left;
    int            error; /* the first one; then reads return 0 */
} reader;

static const uint8_t *read_bytes(reader *r, uint64_t size)
{
    const uint8_t *at = r->at;
    if (size > r->left && !r->error) r->error = DX_PATCH_ETRUNCATED;
    if (r->error) return NULL;
    r->at += size;
    r->left -= (size_t)size;
    return at;
}

static unsigned read_byte(reader *r)
{
    const uint8_t *p = read_bytes(r, 1);
    return p ? *p : 0;
}

static uint64_t read_number(reader *r)
{
    uint64_t v = 0;
    unsigned byte, shift = 0;
    do {
        byte = read_byte(r);
        if ((shift == 63 && byte > 1) || shift > 63) r->error = DX_PATCH_ECORRUPT;
        if (!r->error) v |= (uint64_t)(byte & 127) << shift;
        shift += 7;
    } while (!r->error && byte & 128);
    return r->error ? 0 : v;
}

/* Take the next bytes, whose size precedes them, as a separate reader. */
static reader read_part(reader *r)
{
    reader part = {0};
    uint64_t size = read_number(r);
    part.at = read_bytes(r, size);
    part.error = r->error;
    part.left = part.at ? (size_t)size : 0;
    return part;
}

/* Members of a layer are limited: setting up a library costs time for each, whatever its size. */
typedef struct tally {
    unsigned kinds; /* allowed: a bit (1 << kind) for each */
    unsigned members;
    unsigned heavy;
} tally;

enum { ALL_KINDS = (1 << CONTAINER_KINDS) - 2 };

static bool is_heavy(unsigned kind) { return kind == CONTAINER_XZ || kind == CONTAINER_ZSTD; }

/* Count one more member. False: the limit is reached, or the kind is not allowed. */
static bool has_room(tally *t, unsigned kind)
{
    bool heavy = is_heavy(kind);
    if (kind >= CONTAINER_KINDS || !(t->kinds >> kind & 1)) return false;
    if (t->members == MEMBERS_MAX || (heavy && t->heavy == HEAVY_MAX)) return false;
    t->members++;
    t->heavy += heavy;
    return true;
}

/* >>recipes ------------------------------------------------------------------
   The form of NEW:

       size | recipe | bytes between members and contents, as in the file

   A line of the recipe is: gap | content size | kind | level variant window strategy |
   for a png: head, chunk | if corrected: same, cut, size, bytes | for tokens: size, bytes. */
typedef struct correction {
    size_t         same; /* correct bytes at the start */
    size_t         cut;  /* wrong bytes after them */
    const uint8_t *raw;  /* their replacement; for tokens: the wrong predictions */
    size_t         size;
} correction;

static bool is_same_way(const container_way *a, const container_way *b)
{
    return a->kind == b->kind && a->level == b->level && a->variant == b->variant &&
           a->window == b->window && a->strategy == b->strategy && a->head[0] == b->head[0] &&
           a->head[1] == b->head[1] && a->chunk == b->chunk;
}

static void add_way(container_bytes *recipe, const container_way *way, const container_way *last,
                    const correction *c)
{
    bool tokens = way->kind == CONTAINER_TOKENS, corrected = !tokens && (c->cut || c->size);
    if (!corrected && !tokens && is_same_way(way, last)) {
        add_byte(recipe, SAME_WAY);
        return;
    }
    add_byte(recipe, way->kind | (corrected ? CORRECTED : 0));
    add_byte(recipe, way->level);
    add_byte(recipe, way->variant);
    add_byte(recipe, way->window);
    add_byte(recipe, way->strategy);
    if (way->kind == CONTAINER_PNG) {
        container_add(recipe, way->head, sizeof way->head);
        add_number(recipe, way->chunk);
    }
    if (corrected) {
        add_number(recipe, c->same);
        add_number(recipe, c->cut);
    }
    if (!corrected && !tokens) return;
    add_number(recipe, c->size);
    container_add(recipe, c->raw, c->size);
}

/* Read the output of add_way(). *way is that of the previous member; kind 0: none. */
static void read_way(reader *recipe, container_way *way, correction *c)
{
    unsigned kind = read_byte(recipe);
    memset(c, 0, sizeof *c);
    if (kind == SAME_WAY) {
        if (!way->kind || way->kind == CONTAINER_TOKENS) recipe->error = DX_PATCH_ECORRUPT;
        return;
    }
    memset(way, 0, sizeof *way);
    way->kind = (uint8_t)(kind & ~(unsigned)CORRECTED);
    way->level = (uint8_t)read_byte(recipe);
    way->variant = (uint8_t)read_byte(recipe);
    way->window = (uint8_t)read_byte(recipe);
    way->strategy = (uint8_t)read_byte(recipe);
    if (way->kind == CONTAINER_PNG) {
        uint64_t chunk;
        way->head[0] = (uint8_t)read_byte(recipe);
        way->head[1] = (uint8_t)read_byte(recipe);
        chunk = read_number(recipe);
        if (chunk >> 31) recipe->error = DX_PATCH_ECORRUPT; /* above the maximum of a chunk */
        way->chunk = (uint32_t)chunk;
    }
    if (kind == (CONTAINER_TOKENS | CORRECTED)) recipe->error = DX_PATCH_ECORRUPT;
    if (kind & CORRECTED || kind == CONTAINER_TOKENS) {
        bool corrected = kind & CORRECTED;
        uint64_t same = corrected ? read_number(recipe) : 0;
        uint64_t cut = corrected ? read_number(recipe) : 0;
        uint64_t size = read_number(recipe);
        c->raw = read_bytes(recipe, size);
        if (same > SIZE_MAX || cut > SIZE_MAX) recipe->error = DX_PATCH_ECORRUPT;
        c->same = (size_t)same;
        c->cut = (size_t)cut;
        c->size = recipe->error ? 0 : (size_t)size;
    }
    if (!container_is_way(way) && !recipe->error) recipe->error = DX_PATCH_ECORRUPT;
}

/* Pack a content and apply its correction. */
static int pack_corrected(const container_way *way, const correction *c, const uint8_t *content,
                          size_t size, uint64_t memory_max, container_bytes *out)
{
    size_t before = out->size;
    if (way->kind == CONTAINER_TOKENS && memory_max < CONTAINER_TOKENS_MEMORY)
        return DX_PATCH_ENOMEM;
    if (way->kind == CONTAINER_TOKENS)
        return container_tokens_pack(way, content, size, c->raw, c->size, out);
    if (!c->cut && !c->size) return container_pack(way, content, size, memory_max, out);
    const container_bytes *source = out->source;
    container_bytes packed = {.max = uncorrected_max(out->max), .source = source, .cancel = out->cancel};
    int error = container_pack(way, content, size, memory_max, &packed);
    assert(out->size == before);
    if (!error && (c->same > packed.size || c->cut > packed.size - c->same))
        error = DX_PATCH_ECORRUPT;
    if (!error) {
        size_t rest = c->same + c->cut;
        out->source = &packed;
        container_add(out, packed.bytes, c->same);
        container_add(out, c->raw, c->size);
        container_add(out, packed.bytes + rest, packed.size - rest);
        out->source = source;
        error = out->error;
    }
    container_drop(&packed);
    return error;
}

/* Rebuild one layer of NEW from its form. */
static int rebuild_layer(const uint8_t *form, size_t size, unsigned kinds, uint64_t memory_max,
                         container_bytes *out)
{
    reader r = {form, size, DX_PATCH_OK};
    reader recipe = read_part(&r);
    container_way way = {0};
    tally members = {.kinds = kinds};
    while (recipe.left && !recipe.error && !r.error && !out->error) {
        correction c;
        uint64_t gap = read_number(&recipe), content_size = read_number(&recipe);
        read_way(&recipe, &way, &c);
        if (!recipe.error && !has_room(&members, way.kind)) recipe.error = DX_PATCH_ECORRUPT;
        if (recipe.error) break;
        const uint8_t *between = read_bytes(&r, gap);
        if (between) container_add(out, between, (size_t)gap);
        const uint8_t *content = read_bytes(&r, content_size);
        if (!content || out->error) break;
        int error = pack_corrected(&way, &c, content, (size_t)content_size, memory_max, out);
        if (error) return error;
    }
    if (recipe.error || r.error) return recipe.error ? recipe.error : r.error;
    container_add(out, r.at, r.left);
    return out->error;
}

/* >>forms ---------------------------------------------------------------- */
/* The state of making a form of NEW. The content of a member goes into the form and a line into the
   recipe, or the member stays packed. */
typedef struct making {
    const uint8_t  *bytes;
    size_t          end;        /* of the last unpacked member */
    container_bytes recipe;
    container_bytes form;
    container_way   last;       /* as in the recipe */
    container_way   worked[CONTAINER_KINDS]; /* the last successful one of each kind */
    unsigned        hopeless[CONTAINER_KINDS]; /* failures in a row; for heavy kinds: in total */
    tally           members;    /* members tried */
    unsigned        kinds;      /* in the recipe: a bit (1 << kind) for each */
    uint64_t        memory_max; /* memory limit of packing */
    const container_cancel *cancel; /* NULL: cannot be cancelled */
} making;

/* Find the correction of the output of a way. False: it would be too large. */
static bool find_correction(const container_way *way, const uint8_t *want, size_t size,
                            const uint8_t *content, size_t content_size, uint64_t memory_max,
                            const container_cancel *cancel, correction *c)
{
    container_bytes got = {.max = uncorrected_max(size), .cancel = cancel};
    bool near = container_is_way(way) && /* not a png with an empty first chunk */
                container_pack(way, content, content_size, memory_max, &got) == DX_PATCH_OK;
    size_t shorter = got.size < size ? got.size : size, same = 0, tail = 0;
    while (near && same < shorter && got.bytes[same] == want[same]) same++;
    while (near && tail < shorter - same && got.bytes[got.size - 1 - tail] == want[size - 1 - tail])
        tail++;
    c->same = same;
    c->cut = got.size - same - tail;
    c->raw = want + same;
    c->size = size - same - tail;
    container_drop(&got);
    return near && c->size <= size / CORRECTION_MAX;
}

/* For a deflate member that zlib does not reproduce, or only with a correction (`corrected`): is
   one of tokens smaller? */
static int find_tokens(making *k, const uint8_t *in, size_t size, const container_bytes *content,
                       bool *found, container_way *way, correction *c, container_bytes *corrected)
{
    container_way *last = &k->worked[CONTAINER_TOKENS];
    corrected->max = *found ? c->size : size / TOKENS_MAX;
    int error = container_tokens_find(in, size, content->bytes, content->size, last, corrected);
    if (error) return error == DX_PATCH_ENOMEM ? error : DX_PATCH_OK;
    *c = (correction){.raw = corrected->bytes, .size = corrected->size};
    *way = *last;
    *found = true;
    return DX_PATCH_OK;
}

/* Find out how a content was packed. False: no known way produces these bytes. */
static bool find_way(making *k, const container_member *m, const container_bytes *content,
                     const container_bytes *stream, container_way *way, correction *c)
{
    const uint8_t *in = k->bytes + m->at;
    unsigned *hopeless = &k->hopeless[m->kind];
    bool near = false;
    *way = k->worked[m->kind];
    container_first first;
    bool known = !is_heavy(m->kind) && container_read_first(stream->bytes, stream->size, &first);
    bool found = container_try(m->kind, stream->bytes, stream->size, known ? &first : NULL,
                               content->bytes, content->size,
                               *hopeless < HOPELESS, k->memory_max, k->cancel, way, &near);
    if (found) k->worked[m->kind] = *way;
    if (m->kind == CONTAINER_PNG && (found || near)) {
        container_read_wrapping(in, way);
        near = true; /* the trial does not cover the wrapping */
    }
    if (near)
        found = find_correction(way, in, m->size, content->bytes, content->size, k->memory_max,
                                k->cancel, c);
    if (!found) ++*hopeless;
    else if (!is_heavy(m->kind)) *hopeless = 0;
    return found;
}

static int add_member(making *k, container_member *m)
{
    const uint8_t *in = k->bytes + m->at;
    m->packed = !has_room(&k->members, m->kind); /* a trial costs as much as a member */
    if (m->packed) return DX_PATCH_OK;
    container_bytes content = {.max = k->form.max}, stream = {.max = m->size};
    container_bytes corrected = {.cancel = k->cancel};
    container_way way;
    correction c = {0};
    size_t taken;
    int error = container_inflate(m->kind, in, m->size, k->memory_max, &content, &taken, &stream);
    bool found = !error && find_way(k, m, &content, &stream, &way, &c);
    if (!error && m->kind == CONTAINER_DEFLATE && (!found || c.cut || c.size))
        error = find_tokens(k, in, m->size, &content, &found, &way, &c, &corrected);
    m->packed = !found;
    if (found) {
        add_number(&k->recipe, m->at - k->end);
        add_number(&k->recipe, content.size);
        add_way(&k->recipe, &way, &k->last, &c);
        k->last = way;
        k->kinds |= 1u << way.kind;
        container_add(&k->form, k->bytes + k->end, m->at - k->end);
        container_add(&k->form, content.bytes, content.size);
        k->end = m->at + m->size;
    }
    container_drop(&content);
    container_drop(&stream);
    container_drop(&corrected);
    if (error && error != DX_PATCH_ENOMEM) error = DX_PATCH_OK; /* leave it packed */
    if (!error && container_is_cancelled(k->cancel)) error = DX_PATCH_ECANCELED;
    return error ? error : k->form.error;
}

/* Make the form of a layer of NEW. EINVAL: no member could be unpacked. */
static int make_to(const uint8_t *bytes, size_t size, container_members *members,
                   uint64_t memory_max, unsigned allowed, container_bytes *form, unsigned *kinds)
{
    making *k = calloc(1, sizeof *k);
    if (!k) return DX_PATCH_ENOMEM;
    int error = DX_PATCH_OK;
    k->bytes = bytes;
    k->memory_max = memory_max;
    k->members.kinds = allowed;
    k->cancel = form->cancel;
    k->form.max = k->recipe.max = form->max;
    for (size_t i = 0; !error && i < members->count; i++) {
        container_member *m = &members->items[i];
        if (!m->packed) error = add_member(k, m);
    }
    *kinds |= k->kinds;
    if (!error && !k->recipe.size) error = DX_PATCH_EINVAL;
    if (!error) {
        add_number(form, k->recipe.size);
        container_add(form, k->recipe.bytes, k->recipe.size);
        container_add(form, k->form.bytes, k->form.size);
        container_add(form, bytes + k->end, size - k->end);
        error = form->error;
    }
    container_drop(&k->recipe);
    container_drop(&k->form);
    free(k);
    return error;
}

/* Write the list of a layer of OLD: gap and kind of each member. */
static int add_list(container_bytes *lists, const container_members *members, unsigned allowed,
                    unsigned *kinds)
{
    container_bytes list = {.max = lists->max};
    tally room = {.kinds = allowed};
    size_t end = 0;
    for (size_t i = 0; i < members->count; i++) {
        const container_member *m = &members->items[i];
        if (m->packed || !has_room(&room, m->kind)) continue;
        add_number(&list, m->at - end);
        add_byte(&list, m->kind);
        *kinds |= 1u << m->kind;
        end = m->at + m->size;
    }
    int error = list.error;
    if (!error) {
        add_number(lists, list.size);
        container_add(lists, list.bytes, list.size);
        error = lists->error;
    }
    container_drop(&list);
    return error;
}

/* Make the form of a layer of OLD from the next list. */
static int unpack_layer(reader *lists, const uint8_t *bytes, size_t size, unsigned kinds,
                        uint64_t memory_max, container_bytes *form)
{
    static const uint8_t nothing = 0; /* an empty form needs a valid pointer */
    reader list = read_part(lists), r = {bytes ? bytes : &nothing, size, DX_PATCH_OK};
    tally members = {.kinds = kinds};
    while (list.left && !list.error) {
        size_t taken;
        uint64_t gap = read_number(&list);
        unsigned kind = read_byte(&list);
        const uint8_t *between = read_bytes(&r, gap);
        if (!list.error && (kind == CONTAINER_TOKENS || !has_room(&members, kind)))
            list.error = DX_PATCH_ECORRUPT;
        if (list.error || r.error) break;
        container_add(form, between, (size_t)gap);
        int error = container_inflate(kind, r.at, r.left, memory_max, form, &taken, NULL);
        if (error) return error;
        read_bytes(&r, taken);
    }
    if (list.error || r.error) return list.error ? list.error : r.error;
    container_add(form, r.at, r.left);
    return form->error;
}

/* >>making --------------------------------------------------------------- */
static int compare_prints(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

/* Members that occur in both files stay packed: copying compressed bytes is cheap and
   needs no trial. */
static int leave_same(container_members *members, const container_members *others)
{
    uint64_t *prints = malloc((others->count + 1) * sizeof *prints);
    if (!prints) return DX_PATCH_ENOMEM;
    for (size_t i = 0; i < others->count; i++) prints[i] = others->items[i].print;
    qsort(prints, others->count, sizeof *prints, compare_prints);
    for (size_t i = 0; i < members->count; i++) {
        container_member *m = &members->items[i];
        m->packed = bsearch(&m->print, prints, others->count, sizeof *prints, compare_prints);
    }
    free(prints);
    return DX_PATCH_OK;
}

/* Add a layer: from and to are replaced by their forms. EINVAL: there is none. */
static int make_layer(container_forms *forms, const uint8_t *from, size_t from_size,
                      const uint8_t *to, size_t to_size, uint64_t memory_max)
{
    container_members of_from = {0}, of_to = {0};
    container_bytes from_form = {.max = forms->form_max};
    container_bytes to_form = {.max = forms->form_max, .cancel = forms->cancel};
    const container_cancel *cancel = forms->cancel;
    const unsigned allowed = forms->allowed ? forms->allowed : ALL_KINDS;
    size_t room = forms->form_max;
    size_t lists_before = forms->lists.size;
    unsigned kinds = forms->kinds;
    int error = from_size > room || to_size > room ? DX_PATCH_EINVAL : DX_PATCH_OK;
    if (!error) error = container_find(to, to_size, room - to_size, memory_max, cancel, &of_to);
    if (!error)
        error = container_find(from, from_size, room - from_size, memory_max, cancel, &of_from);
    if (!error) error = leave_same(&of_to, &of_from);
    if (!error) error = leave_same(&of_from, &of_to);
    if (!error) error = make_to(to, to_size, &of_to, memory_max, allowed, &to_form, &kinds);
    if (!error) error = add_list(&forms->lists, &of_from, allowed, &kinds);
    if (!error) {
        reader list = {forms->lists.bytes + lists_before, forms->lists.size - lists_before, 0};
        error = unpack_layer(&list, from, from_size, ALL_KINDS, memory_max, &from_form);
    }
    if (!error) {
        container_drop(&forms->from);
        container_drop(&forms->to);
        forms->from = from_form;
        forms->to = to_form;
        forms->kinds = kinds;
        if (forms->from.size > forms->largest) forms->largest = forms->from.size;
        if (forms->to.size > forms->largest) forms->largest = forms->to.size;
        forms->layers++;
    } else {
        container_drop(&from_form);
        container_drop(&to_form);
    }
    free(of_from.items);
    free(of_to.items);
    return error;
}

int container_make(const uint8_t *from, size_t from_size, const uint8_t *to, size_t to_size,
                   uint64_t memory_max, container_forms *forms)
{
    assert(!forms->layers && !forms->from.bytes && !forms->to.bytes);
    forms->lists.max = forms->form_max;
    int error = make_layer(forms, from, from_size, to, to_size, memory_max);
    while (!error && forms->layers < CONTAINER_LAYERS_MAX) {
        error = make_layer(forms, forms->from.bytes, forms->from.size, forms->to.bytes,
                           forms->to.size, memory_max);
    }
    return error == DX_PATCH_EINVAL && forms->layers ? DX_PATCH_OK : error;
}

void container_drop_forms(container_forms *forms)
{
    container_drop(&forms->from);
    container_drop(&forms->to);
    container_drop(&forms->lists);
}

/* >>patches: header | text | lists | check | inner patch ---------------------------- */
static const uint8_t magic[4] = {'D', 'X', 'C', '1'};

int container_seal(const container_forms *forms, const uint8_t *from, size_t from_size,
                   const uint8_t *to, size_t to_size, const uint8_t *inner, size_t inner_size,
                   container_bytes *out)
{
    uint8_t h[CONTAINER_HEADER_SIZE] = {0}, hash[DX_PATCH_HASH_SIZE];
    const char *text = container_libraries();
    assert(forms->layers && !out->size && strlen(text) <= CONTAINER_TEXT_MAX);
    memcpy(h, magic, sizeof magic);
    h[4] = VERSION;
    h[5] = (uint8_t)forms->layers;
    h[6] = (uint8_t)forms->kinds;
    h[7] = (uint8_t)strlen(text);
    store64(h + 8, from_size);
    store64(h + 16, to_size);
    store64(h + 24, forms->largest);
    store64(h + 32, forms->lists.size);
    dx_patch_hash(from, from_size, h + 48);
    dx_patch_hash(to, to_size, h + 80);
    container_add(out, h, sizeof h);
    container_add(out, text, strlen(text));
    container_add(out, forms->lists.bytes, forms->lists.size);
    if (out->error) return out->error;
    dx_patch_hash(out->bytes, out->size, hash);
    container_add(out, hash, CONTAINER_CHECK_SIZE);
    container_add(out, inner, inner_size);
    return out->error;
}

bool container_is(const uint8_t *bytes, size_t size)
{
    return size >= sizeof magic && memcmp(bytes, magic, sizeof magic) == 0;
}

int container_open(const uint8_t *bytes, size_t size, container_patch *p)
{
    reader r = {bytes, size, DX_PATCH_OK};
    uint8_t hash[DX_PATCH_HASH_SIZE];
    memset(p, 0, sizeof *p);
    if (!container_is(bytes, size)) return DX_PATCH_EHEADER;
    const uint8_t *h = read_bytes(&r, CONTAINER_HEADER_SIZE);
    if (!h) return r.error;
    uint64_t lists_size = load64(h + 32);
    const uint8_t *text = read_bytes(&r, h[7]);
    p->lists = read_bytes(&r, lists_size);
    const uint8_t *checked = r.at;
    const uint8_t *check = read_bytes(&r, CONTAINER_CHECK_SIZE);
    if (r.error) return r.error;
    dx_patch_hash(bytes, (size_t)(checked - bytes), hash);
    if (memcmp(check, hash, CONTAINER_CHECK_SIZE) != 0) return DX_PATCH_EHEADER;
    p->layers = h[5];
    p->kinds = h[6];
    if (h[4] != VERSION || !p->layers || p->layers > CONTAINER_LAYERS_MAX || p->kinds & 1 ||
        p->kinds >> CONTAINER_KINDS || load64(h + 40))
        return DX_PATCH_EVERSION;
    if (h[7] > CONTAINER_TEXT_MAX) return DX_PATCH_EHEADER;
    for (unsigned i = 0; i < h[7]; i++) /* it is printed: no control characters */
        if (text[i] < ' ' || text[i] > '~') return DX_PATCH_EHEADER;
    memcpy(p->libraries, text, h[7]);
    p->base_size = load64(h + 8);
    p->target_size = load64(h + 16);
    p->form_max = load64(h + 24);
    if (p->target_size > SIZE_MAX / 4 || p->form_max > SIZE_MAX / 4) return DX_PATCH_ETOOBIG;
    memcpy(p->base_hash, h + 48, sizeof p->base_hash);
    memcpy(p->target_hash, h + 80, sizeof p->target_hash);
    p->lists_size = (size_t)lists_size;
    p->inner = r.at;
    p->inner_size = r.left;
    return DX_PATCH_OK;
}

/* >>applying ------------------------------------------------------------- */
int container_unpack(const container_patch *p, const uint8_t *from, size_t from_size,
                     uint64_t memory_max, container_bytes *form)
{
    uint8_t hash[DX_PATCH_HASH_SIZE];
    reader lists = {p->lists, p->lists_size, DX_PATCH_OK};
    const container_bytes *source = form->source;
    if (source) container_hash(source, hash);
    else dx_patch_hash(from, from_size, hash);
    assert(!source || (source->bytes == from && source->size == from_size));
    if (from_size != p->base_size || memcmp(hash, p->base_hash, sizeof hash) != 0)
        return from_size == p->target_size && !memcmp(hash, p->target_hash, sizeof hash)
                   ? DX_PATCH_EAPPLIED
                   : DX_PATCH_EBASE;
    int error = DX_PATCH_OK;
    assert(!form->bytes && p->layers);
    for (unsigned i = 0; !error && i < p->layers; i++) {
        container_bytes next = {.max = (size_t)p->form_max, .source = i ? form : source};
        error = unpack_layer(&lists, i ? form->bytes : from, i ? form->size : from_size, p->kinds,
                             memory_max, &next);
        container_drop(form);
        *form = next;
        form->source = NULL;
    }
    if (!error && lists.left) error = DX_PATCH_ECORRUPT;
    return error;
}

int container_rebuild(const container_patch *p, const uint8_t *form, size_t form_size,
                      uint64_t memory_max, container_bytes *out)
{
    uint8_t hash[DX_PATCH_HASH_SIZE];
    int error = DX_PATCH_OK;
    const container_bytes *source = out->source;
    assert(!out->bytes && p->layers);
    for (unsigned i = 0; !error && i < p->layers; i++) {
        bool last = i + 1 == p->layers;
        container_bytes next = {.max = (size_t)(last ? p->target_size : p->form_max),
                                .source = i ? out : source, .cancel = out->cancel};
        error = rebuild_layer(i ? out->bytes : form, i ? out->size : form_size, p->kinds,
                              memory_max, &next);
        container_drop(out);
        *out = next;
        out->source = NULL;
    }
    if (error) return error;
    container_hash(out, hash);
    return out->size == p->target_size && !memcmp(hash, p->target_hash, sizeof hash)
               ? DX_PATCH_OK
               : DX_PATCH_ETARGET;
}
