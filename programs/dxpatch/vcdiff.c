/* VCDIFF (RFC 3284), both ways, memory to memory. Stands on nothing else of dxpatch.

   A patch is a header and windows, each of which makes the next bytes of the target:

       flags | source size, offset | size of the rest | target size | 0 | three sizes | Adler-32
       data section        bytes of ADD and RUN
       code section        a byte is one or two instructions (the table), sizes that did not fit
       address section     where each COPY reads, in one of nine modes

   A COPY reads from source and target as if one followed the other: addresses below the size of
   the source lie in the source, the others in the window's own output. */
#include "vcdiff.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { NOOP, ADD, RUN, COPY };
/* Modes of an address: absolute, relative to here, relative to one of the last NEAR addresses, or
   one of SAME * 256 cached ones. */
enum { NEAR = 4, SAME = 3, MODES = 2 + NEAR + SAME };
/* flags of the header; 1, 2: secondary compression, code table */
enum { HAS_APPLICATION = 4 };
enum { FROM_BASE = 1, FROM_TARGET = 2, HAS_ADLER = 4 }; /* window */

/* The encoder: bytes per window, the shortest COPY, the bytes hashed to find a match, and the log2
   of the slots for seeds of the window. */
enum { WINDOW_SIZE = 1 << 23, COPY_MIN = 4, SEED = 8, WINDOW_BITS = 20 };
enum { MATCH_GOOD = 64 }; /* a match this long ends the search */

/* First codes of the rows of the default table (RFC 3284, 5.6). */
enum {
    CODE_RUN           = 0,
    CODE_ADD           = 1,   /* size follows; then one code for each size 1 to 17 */
    CODE_COPY          = 19,  /* 16 for each mode: size follows, then sizes 4 to 18 */
    CODE_ADD_COPY      = 163, /* modes 0 to 5: ADD 1 to 4, then COPY 4 to 6 */
    CODE_ADD_COPY_SAME = 235, /* modes 6 to 8: ADD 1 to 4, then COPY 4 */
    CODE_COPY_ADD      = 247, /* one for each mode: COPY 4, then ADD 1 */
    CODE_NONE          = 256
};

/* >>tables: RFC 3284, sections 5.1 to 5.6 ---------------------------------- */
typedef struct instruction {
    uint8_t kind, size, mode; /* size 0: an explicit size follows */
} instruction;

/* The default code table: up to two instructions a byte. */
static void make_table(instruction (*table)[2])
{
    unsigned at = CODE_RUN, mode, add, copy;
    memset(table, 0, 256 * sizeof *table);
    table[at++][0].kind = RUN;
    for (add = 0; add <= 17; add++) table[at++][0] = (instruction){ADD, (uint8_t)add, 0};
    for (mode = 0; mode < MODES; mode++)
        for (copy = 3; copy <= 18; copy++)
            table[at++][0] = (instruction){COPY, (uint8_t)(copy == 3 ? 0 : copy), (uint8_t)mode};
    for (mode = 0; mode < MODES; mode++)
        for (add = 1; add <= 4; add++)
            for (copy = 4; copy <= (mode < 6 ? 6u : 4u); copy++) {
                table[at][0] = (instruction){ADD, (uint8_t)add, 0};
                table[at++][1] = (instruction){COPY, (uint8_t)copy, (uint8_t)mode};
            }
    for (mode = 0; mode < MODES; mode++) {
        table[at][0] = (instruction){COPY, 4, (uint8_t)mode};
        table[at++][1] = (instruction){ADD, 1, 0};
    }
    assert(at == 256);
}

typedef struct cache { /* of addresses, reset for each window on both sides */
    uint64_t near[NEAR], same[SAME * 256];
    unsigned next;
} cache;

static void remember(cache *c, uint64_t address)
{
    assert(c->next < NEAR);
    c->near[c->next] = address;
    c->next = (c->next + 1) % NEAR;
    c->same[address % (SAME * 256)] = address;
}

static uint32_t adler32(const uint8_t *p, size_t size)
{
    uint32_t a = 1, b = 0;
    while (size) {
        size_t part = size < 5552 ? size : 5552; /* the largest part without overflow */
        size -= part;
        for (; part; part--) {
            a += *p++;
            b += a;
        }
        a %= 65521;
        b %= 65521;
    }
    return b << 16 | a;
}

/* >>reading ----------------------------------------------------------------- */
typedef struct input {
    const uint8_t *at, *end;
    int            error; /* the first one; then reads return 0 */
} input;

static size_t left(const input *in)
{
    assert(in->at <= in->end);
    return (size_t)(in->end - in->at);
}

static uint8_t get_byte(input *in)
{
    if (in->at < in->end) return *in->at++;
    if (!in->error) in->error = VCDIFF_ETRUNCATED;
    return 0;
}

/* Seven bits per byte, big-endian. */
static uint64_t get_number(input *in)
{
    uint64_t v = 0;
    uint8_t byte;
    do {
        byte = get_byte(in);
        if (v >> 57 && !in->error) in->error = VCDIFF_ECORRUPT;
        v = v << 7 | (byte & 127);
    } while (byte & 128 && !in->error);
    return in->error ? 0 : v;
}

/* Take the next `size` bytes as a separate input. */
static input get_part(input *in, uint64_t size)
{
    input part = {in->at, in->at, 0};
    if (size > left(in) && !in->error) in->error = VCDIFF_ETRUNCATED;
    if (in->error) return part;
    in->at += size;
    part.end = in->at;
    return part;
}

/* A window's header, and its three sections. */
typedef struct window {
    unsigned flags;
    uint64_t source_size;
    uint64_t source_at; /* in the base, or in the target so far */
    uint64_t size;      /* bytes of the target that it makes */
    uint32_t adler;     /* of these, with HAS_ADLER */
    input    data;
    input    code;
    input    addresses;
} window;

/* Skip the header of the patch. */
static int get_header(input *in)
{
    uint8_t magic[4], flags;
    if (!vcdiff_is(in->at, left(in))) return VCDIFF_EHEADER;
    for (int i = 0; i < 4; i++) magic[i] = get_byte(in);
    if (magic[3] != 0) return VCDIFF_ENOTSUP; /* another version */
    flags = get_byte(in);
    if (flags & ~HAS_APPLICATION) return VCDIFF_ENOTSUP;
    if (flags & HAS_APPLICATION) get_part(in, get_number(in));
    return in->error;
}

/* Read the header of the next window and find its sections. */
static int get_window(input *in, window *w)
{
    memset(w, 0, sizeof *w);
    w->flags = get_byte(in);
    if (w->flags & ~(unsigned)(FROM_BASE | FROM_TARGET | HAS_ADLER)) return VCDIFF_ENOTSUP;
    if ((w->flags & FROM_BASE) && (w->flags & FROM_TARGET)) return VCDIFF_ECORRUPT;
    if (w->flags & (FROM_BASE | FROM_TARGET)) {
        w->source_size = get_number(in);
        w->source_at = get_number(in);
    }
    input body = get_part(in, get_number(in));
    if (in->error) return in->error;
    w->size = get_number(&body);
    if (get_byte(&body)) return VCDIFF_ENOTSUP; /* secondary compression */
    uint64_t data = get_number(&body), code = get_number(&body), addresses = get_number(&body);
    for (int i = 0; w->flags & HAS_ADLER && i < 4; i++) w->adler = w->adler << 8 | get_byte(&body);
    w->data = get_part(&body, data);
    w->code = get_part(&body, code);
    w->addresses = get_part(&body, addresses);
    /* inconsistent sizes */
    if (body.error == VCDIFF_ETRUNCATED || left(&body)) return VCDIFF_ECORRUPT;
    return body.error;
}

/* Decode the address of a COPY; it must lie before `here`. */
static uint64_t get_address(input *in, cache *c, unsigned mode, uint64_t here)
{
    uint64_t address;
    assert(mode < MODES);
    if (mode >= 2 + NEAR) {
        address = c->same[(mode - 2 - NEAR) * 256 + get_byte(in)];
    } else {
        uint64_t v = get_number(in);
        address = v;
        if (mode == 1) address = here - v;
        if (mode >= 2) address = c->near[mode - 2] + v;
    }
    if (address >= here && !in->error) in->error = VCDIFF_ECORRUPT;
    remember(c, address);
    return address;
}

/* Execute one instruction at out[at]. Returns the bytes produced. */
static uint64_t do_instruction(window *w, const instruction *one, cache *c, const uint8_t *source,
                               uint8_t *out, uint64_t at)
{
    uint64_t size = one->size ? one->size : get_number(&w->code), i;
    assert(at <= w->size);
    if (w->code.error || size > w->size - at) {
        if (!w->code.error) w->code.error = VCDIFF_ECORRUPT;
        return 0;
    }
    if (one->kind == ADD) {
        input bytes = get_part(&w->data, size);
        if (!w->data.error && size) memcpy(out + at, bytes.at, (size_t)size);
    } else if (one->kind == RUN) {
        memset(out + at, get_byte(&w->data), (size_t)size);
    } else {
        uint64_t from = get_address(&w->addresses, c, one->mode, w->source_size + at);
        for (i = 0; i < size && !w->addresses.error; i++, from++) /* source and output may overlap */
            out[at + i] = from < w->source_size ? source[from] : out[from - w->source_size];
    }
    return size;
}

/* Run the instructions of a window; out takes w->size bytes. */
static int do_window(window *w, instruction (*table)[2], const uint8_t *source, uint8_t *out)
{
    cache c;
    uint64_t at = 0;
    memset(&c, 0, sizeof c);
    while (left(&w->code)) {
        const instruction *pair = table[get_byte(&w->code)];
        for (int i = 0; i < 2; i++) {
            if (pair[i].kind != NOOP) at += do_instruction(w, pair + i, &c, source, out, at);
            if (w->code.error || w->data.error || w->addresses.error) return VCDIFF_ECORRUPT;
        }
    }
    if (at != w->size || left(&w->data) || left(&w->addresses)) return VCDIFF_ECORRUPT;
    if (w->flags & HAS_ADLER && adler32(out, (size_t)at) != w->adler) return VCDIFF_EBASE;
    return VCDIFF_OK;
}

bool vcdiff_is(const uint8_t *bytes, size_t size)
{
    return size >= 4 && bytes[0] == 0xd6 && bytes[1] == 0xc3 && bytes[2] == 0xc4;
}

int vcdiff_peek(const uint8_t *patch, size_t patch_size, vcdiff_info *info)
{
    input in = {patch, patch + patch_size, 0};
    window w;
    int error = get_header(&in);
    memset(info, 0, sizeof *info);
    info->checked = true;
    while (!error && left(&in)) {
        error = get_window(&in, &w);
        if (!error && w.size > SIZE_MAX / 2 - info->target_size) error = VCDIFF_ETOOBIG;
        if (error) break;
        info->windows++;
        info->target_size += (size_t)w.size;
        if (!(w.flags & HAS_ADLER)) info->checked = false;
    }
    return error;
}

int vcdiff_decode(const uint8_t *base, size_t base_size, const uint8_t *patch, size_t patch_size,
                  size_t target_size_max, uint8_t **target, size_t *target_size)
{
    input in = {patch, patch + patch_size, 0};
    instruction table[256][2];
    vcdiff_info info;
    size_t at = 0;
    int error = vcdiff_peek(patch, patch_size, &info);
    *target = NULL;
    *target_size = 0;
    if (!error && info.target_size > target_size_max) error = VCDIFF_ETOOBIG;
    if (error) return error;
    uint8_t *out = malloc(info.target_size + 1);
    if (!out) return VCDIFF_ENOMEM;
    make_table(table);
    (void)get_header(&in); /* checked before */
    while (!error && left(&in)) {
        window w;
        (void)get_window(&in, &w);
        size_t whole = w.flags & FROM_TARGET ? at : base_size;
        if (w.source_at > whole || w.source_size > whole - w.source_at)
            error = w.flags & FROM_TARGET ? VCDIFF_ECORRUPT : VCDIFF_EBASE;
        else
            error = do_window(&w, table, (w.flags & FROM_TARGET ? out : base) + w.source_at,
                              out + at);
        at += (size_t)w.size;
    }
    if (error) {
        free(out);
        return error;
    }
    assert(at == info.target_size);
    *target = out;
    *target_size = at;
    return VCDIFF_OK;
}

/* >>writing ------------------------------------------------------------------ */
typedef struct output {
    uint8_t *bytes;
    size_t   size, capacity;
    bool     failed; /* out of memory */
} output;

static void put_bytes(output *o, const void *bytes, size_t size)
{
    assert(o->size <= o->capacity);
    if (size > o->capacity - o->size) {
        size_t capacity = (o->size + size) * 2 + 64;
        uint8_t *grown = realloc(o->bytes, capacity);
        o->failed |= !grown;
        if (!grown) return;
        o->bytes = grown;
        o->capacity = capacity;
    }
    if (size) memcpy(o->bytes + o->size, bytes, size);
    o->size += size;
}

static void put_byte(output *o, unsigned byte)
{
    uint8_t b = (uint8_t)byte;
    put_bytes(o, &b, 1);
}

/* The encoded size of a number. */
static unsigned number_size(uint64_t v)
{
    unsigned n = 1;
    while (v >>= 7) n++;
    return n;
}

static void put_number(output *o, uint64_t v)
{
    for (unsigned n = number_size(v); n-- > 1;) put_byte(o, (unsigned)(v >> 7 * n & 127) | 128);
    put_byte(o, (unsigned)(v & 127));
}

/* The encoder. It makes one pass over a window. At each position it takes the longest of three
   candidates (find()), extends it to the left over bytes that have no instruction yet, and encodes
   the remaining ones as an ADD and the match as a COPY. */
typedef struct maker {
    const uint8_t *base;
    size_t         base_size;
    const uint8_t *target;    /* the window */
    size_t         size;      /* of the window */
    size_t         done;      /* bytes of the window that have instructions */
    uint32_t      *in_base;   /* position + 1 of a seed of the base, by hash; 0: none */
    uint32_t      *in_window; /* the same for the window */
    unsigned       base_bits; /* log2 of the slots of in_base */
    size_t         last_at;   /* the end of the last COPY from the base, 0: there was none, */
    size_t         last_from; /* and the position after it in the base */
    output         data;
    output         code;
    output         addresses;
    cache          c;
    unsigned       last_code; /* of a COPY of 4 bytes that an ADD of one may share, or CODE_NONE */
} maker;

static uint32_t seed_hash(const uint8_t *p, unsigned bits)
{
    uint64_t v = 0;
    for (int i = 0; i < SEED; i++) v = v << 8 | p[i];
    return (uint32_t)((v * 0x9e3779b97f4a7c15u) >> (64 - bits));
}

/* Encode the bytes up to `until` as an ADD. */
static void add_bytes(maker *m, size_t until)
{
    assert(m->done <= until && until <= m->size);
    size_t size = until - m->done;
    if (!size) return;
    if (size == 1 && m->last_code != CODE_NONE && !m->code.failed) {
        unsigned mode = (m->last_code - CODE_COPY - 1) / 16;
        m->code.bytes[m->code.size - 1] = (uint8_t)(CODE_COPY_ADD + mode);
    } else if (size <= 17) {
        put_byte(&m->code, CODE_ADD + (unsigned)size);
    } else {
        put_byte(&m->code, CODE_ADD);
        put_number(&m->code, size);
    }
    put_bytes(&m->data, m->target + m->done, size);
    m->done = until;
    m->last_code = CODE_NONE;
}

/* Encode the address in the mode that takes the fewest bytes. Returns the mode. */
static unsigned put_address(maker *m, uint64_t address, uint64_t here)
{
    unsigned best = 0, size = number_size(address);
    uint64_t value = address;
    assert(address < here);
    if (number_size(here - address) < size) {
        best = 1;
        value = here - address;
        size = number_size(value);
    }
    for (unsigned i = 0; i < NEAR; i++)
        if (address >= m->c.near[i] && number_size(address - m->c.near[i]) < size) {
            best = 2 + i;
            value = address - m->c.near[i];
            size = number_size(value);
        }
    if (size > 1 && m->c.same[address % (SAME * 256)] == address) {
        best = 2 + NEAR + (unsigned)(address % (SAME * 256)) / 256;
        put_byte(&m->addresses, (unsigned)(address & 255));
    } else {
        put_number(&m->addresses, value);
    }
    remember(&m->c, address);
    return best;
}

/* Encode a COPY; a preceding ADD of up to four bytes shares its code if the table has such a code. */
static void copy_bytes(maker *m, size_t at, uint64_t address, size_t size)
{
    size_t add = at - m->done;
    bool joins = add >= 1 && add <= 4 && !(add == 1 && m->last_code != CODE_NONE);
    unsigned joined_max, mode;
    assert(at >= m->done && size >= COPY_MIN && size <= m->size - at);
    if (!joins) add_bytes(m, at);
    mode = put_address(m, address, m->base_size + at);
    joined_max = mode < 6 ? 6 : 4;
    if (joins && size > joined_max) {
        add_bytes(m, at);
        joins = false;
    }
    m->last_code = CODE_NONE;
    if (joins) {
        unsigned row = (unsigned)(add - 1), column = (unsigned)(size - COPY_MIN);
        unsigned code = mode < 6 ? CODE_ADD_COPY + mode * 12 + row * 3 + column
                                 : CODE_ADD_COPY_SAME + (mode - 6) * 4 + row;
        put_bytes(&m->data, m->target + m->done, add);
        put_byte(&m->code, code);
    } else if (size <= 18) {
        unsigned code = CODE_COPY + mode * 16 + (unsigned)size - 3;
        put_byte(&m->code, code);
        if (size == COPY_MIN) m->last_code = code;
    } else {
        put_byte(&m->code, CODE_COPY + mode * 16);
        put_number(&m->code, size);
    }
    m->done = at + size;
}

/* Count equal bytes at a and b, up to size. */
static size_t same_bytes(const uint8_t *a, const uint8_t *b, size_t size)
{
    size_t i = 0;
    while (i < size && a[i] == b[i]) i++;
    return i;
}

/* Find the longest match for the window's bytes at `at` among three candidates: the continuation
   of the last COPY, a seed of the base, an earlier seed of the window. Returns its length;
   *address as in the patch. */
static size_t find(maker *m, size_t at, uint64_t *address)
{
    assert(at < m->size);
    size_t room = m->size - at, best = 0, size, from;
    if (m->last_at && m->last_from + (at - m->last_at) < m->base_size) {
        from = m->last_from + (at - m->last_at);
        best = same_bytes(m->base + from, m->target + at,
                          room < m->base_size - from ? room : m->base_size - from);
        *address = from;
        if (best >= MATCH_GOOD) return best;
    }
    if (room < SEED) return best;
    from = m->in_base[seed_hash(m->target + at, m->base_bits)];
    if (from--) {
        size = same_bytes(m->base + from, m->target + at,
                          room < m->base_size - from ? room : m->base_size - from);
        if (size > best + 2) {
            best = size;
            *address = from;
        }
    }
    uint32_t *slot = m->in_window + seed_hash(m->target + at, WINDOW_BITS);
    from = *slot;
    *slot = (uint32_t)at + 1;
    if (from--) {
        size = same_bytes(m->target + from, m->target + at, room);
        if (size > best + 2) {
            best = size;
            *address = m->base_size + from;
        }
    }
    return best;
}

/* Encode the whole window. */
static void make_window(maker *m)
{
    size_t at = 0, size, back, misses = 0;
    m->done = 0;
    m->last_code = CODE_NONE;
    m->last_at = 0;
    m->data.size = m->code.size = m->addresses.size = 0;
    memset(&m->c, 0, sizeof m->c);
    memset(m->in_window, 0, sizeof *m->in_window << WINDOW_BITS);
    while (at < m->size) {
        uint64_t address = 0;
        size = find(m, at, &address);
        bool goes_on = m->last_at && address == m->last_from + (at - m->last_at);
        if (size < (goes_on ? COPY_MIN + 1u : SEED)) {
            at += 1 + (misses++ >> 8); /* skip more positions the longer there is no match */
            continue;
        }
        for (back = 0; at - back > m->done && address > back && address - back != m->base_size;
             back++) {
            uint64_t from = address - back - 1;
            if ((from < m->base_size ? m->base[from] : m->target[from - m->base_size]) !=
                m->target[at - back - 1])
                break;
        }
        copy_bytes(m, at - back, address - back, size + back);
        at += size;
        misses = 0;
        if (address < m->base_size) {
            m->last_at = at;
            m->last_from = (size_t)address + size;
        }
    }
    add_bytes(m, m->size);
    assert(m->done == m->size);
}

/* Write the header and sections of the window. The source is always the whole base. */
static void put_window(output *o, const maker *m)
{
    assert(m->done == m->size);
    uint32_t adler = adler32(m->target, m->size);
    uint64_t head = number_size(m->size) + 1u + number_size(m->data.size) +
                    number_size(m->code.size) + number_size(m->addresses.size) + 4;
    put_byte(o, m->base_size ? FROM_BASE | HAS_ADLER : HAS_ADLER);
    if (m->base_size) {
        put_number(o, m->base_size);
        put_number(o, 0);
    }
    put_number(o, head + m->data.size + m->code.size + m->addresses.size);
    put_number(o, m->size);
    put_byte(o, 0);
    put_number(o, m->data.size);
    put_number(o, m->code.size);
    put_number(o, m->addresses.size);
    for (int i = 3; i >= 0; i--) put_byte(o, adler >> 8 * i & 255);
    put_bytes(o, m->data.bytes, m->data.size);
    put_bytes(o, m->code.bytes, m->code.size);
    put_bytes(o, m->addresses.bytes, m->addresses.size);
}

int vcdiff_encode(const uint8_t *base, size_t base_size, const uint8_t *target, size_t target_size,
                  uint8_t **patch, size_t *patch_size)
{
    static const uint8_t header[5] = {0xd6, 0xc3, 0xc4, 0, 0};
    maker m;
    output o = {0};
    *patch = NULL;
    *patch_size = 0;
    if ((uint64_t)base_size >> 32) return VCDIFF_ETOOBIG;
    memset(&m, 0, sizeof m);
    m.base = base;
    m.base_size = base_size;
    for (m.base_bits = 12;
         m.base_bits < 28 && (size_t)1 << m.base_bits < base_size + base_size / 2;)
        m.base_bits++;
    m.in_base = calloc((size_t)1 << m.base_bits, sizeof *m.in_base);
    m.in_window = malloc(sizeof *m.in_window << WINDOW_BITS);
    bool failed = !m.in_base || !m.in_window;
    for (size_t i = base_size < SEED ? 0 : base_size - SEED + 1; !failed && i-- > 0;)
        /* backwards, so that the first of equal seeds is kept */
        m.in_base[seed_hash(base + i, m.base_bits)] = (uint32_t)i + 1;
    put_bytes(&o, header, sizeof header);
    for (size_t at = 0; !failed && at < target_size; at += m.size) {
        m.target = target + at;
        m.size = target_size - at < WINDOW_SIZE ? target_size - at : WINDOW_SIZE;
        make_window(&m);
        put_window(&o, &m);
        failed = m.data.failed || m.code.failed || m.addresses.failed || o.failed;
    }
    free(m.in_base);
    free(m.in_window);
    free(m.data.bytes);
    free(m.code.bytes);
    free(m.addresses.bytes);
    if (failed || o.failed) {
        free(o.bytes);
        return VCDIFF_ENOMEM;
    }
    *patch = o.bytes;
    *patch_size = o.size;
    return VCDIFF_OK;
}
