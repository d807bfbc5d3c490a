/* Rebuilds deflate streams that zlib does not make: those of GNU gzip, pigz, busybox, Go, Node.js,
   libdeflate (docs/formats/container.md, section 5).

   A deflate stream is a list of decisions about a content: where blocks end, which byte is a
   literal and which begins a match, how many bits each code has. Most encoders descend from zlib
   and decide similarly. So both sides predict each decision as zlib would make it, and a correction
   lists the decisions in which the encoder differs:

       content      a  b  c  a  b  c  a  b  c  d
       stream       | header | a | b | c | match 6, 3 | d |      one block
       prediction   | header | a | b | c | match 7, 3 |
       correction     right    right ....  wrong: 6, 3  right    bits of a range coder

   Correct predictions cost almost nothing: the range coder learns that they are frequent. A decision
   is predicted from the real decisions before it, never from earlier predictions.

   One piece of code reads and writes a correction: code_bit() takes the bit to write, and returns the
   bit written or read. */
#include "container.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    MATCH_MIN     = 3,
    MATCH_MAX     = 258,
    GO_MATCH      = 4,               /* the shortest match of Go */
    WINDOW        = 32768,           /* bytes; a power of 2 */
    REACH         = WINDOW - 262,    /* maximum distance of a match in zlib */
    TOO_FAR       = 4096,            /* from farther away, a match of 3 bytes costs more than literals */
    HASH_BITS_MIN = 8,
    HASH_BITS_MAX = 17,
    BLOCK_TOKENS  = 1 << 20,         /* limit per block */
    NEAREST_STEPS = 4096,            /* limit of candidates for correcting a match */
    COMPARE_TIMES = 2048,            /* limit of compared bytes: per byte of content, */
    COMPARE_LEAST = 1 << 26,         /* plus this constant; more is an attack */
    LITERALS      = 288,             /* codes of literals and lengths */
    DISTANCES     = 32,
    CODES         = 19,              /* codes of code lengths */
    END_OF_BLOCK  = 256
};

/* The hash of a position. Without collisions all give the same order of candidates. */
enum { HASH_ROLLING, HASH_CRC3, HASH_CRC4, HASH_GO, HASH_GO_FAST };

/* >>range coder ------------------------------------------------------------------
   That of LZMA: `range` is divided in proportion to the adaptive probability of a 0. The first byte
   is 0 and absorbs a carry. */
enum { PROBABILITY_BITS = 15, PROBABILITY_SHIFT = 5, HALF = 1 << (PROBABILITY_BITS - 1) };

typedef struct range_coder {
    bool             reading;
    uint32_t         range;
    uint32_t         code;    /* reading */
    const uint8_t   *in;
    size_t           left;
    bool             short_of; /* the input ended early */
    uint64_t         low;     /* writing */
    uint64_t         pending; /* bytes that a carry may change */
    uint8_t          first;   /* the first of them; the others are 0xff */
    container_bytes *out;
} range_coder;

static uint8_t range_in(range_coder *c)
{
    if (!c->left) {
        c->short_of = true;
        return 0;
    }
    c->left--;
    return *c->in++;
}

static void range_out(range_coder *c)
{
    if (c->low < 0xff000000u || c->low >> 32) {
        uint8_t carry = (uint8_t)(c->low >> 32);
        for (; c->pending; c->pending--) {
            uint8_t byte = (uint8_t)(c->first + carry);
            container_add(c->out, &byte, 1);
            c->first = 0xff;
        }
        c->first = (uint8_t)(c->low >> 24);
    }
    c->pending++;
    c->low = (uint32_t)c->low << 8;
}

static void range_read(range_coder *c, const uint8_t *in, size_t size)
{
    memset(c, 0, sizeof *c);
    c->reading = true;
    c->in = in;
    c->left = size;
    c->range = UINT32_MAX;
    for (int i = 0; i < 5; i++) c->code = c->code << 8 | range_in(c);
}

static void range_write(range_coder *c, container_bytes *out)
{
    memset(c, 0, sizeof *c);
    c->range = UINT32_MAX;
    c->pending = 1;
    c->out = out;
}

static unsigned code_bit(range_coder *c, uint16_t *zero, unsigned bit)
{
    uint32_t bound = (c->range >> PROBABILITY_BITS) * *zero;
    assert(bound && bound < c->range);
    if (c->reading) bit = c->code >= bound;
    if (bit) {
        c->code -= c->reading ? bound : 0;
        c->low += c->reading ? 0 : bound;
        c->range -= bound;
        *zero = (uint16_t)(*zero - (*zero >> PROBABILITY_SHIFT));
    } else {
        c->range = bound;
        *zero = (uint16_t)(*zero + ((2 * HALF - *zero) >> PROBABILITY_SHIFT));
    }
    while (c->range < 1u << 24) {
        c->range <<= 8;
        if (c->reading) c->code = c->code << 8 | range_in(c);
        else range_out(c);
    }
    return bit;
}

/* Code a value of `bits` bits, highest first; the bits before select the probability of each.
   `zeros` has 2^bits of them. */
static unsigned code_tree(range_coder *c, uint16_t *zeros, unsigned bits, unsigned value)
{
    unsigned node = 1;
    for (unsigned i = bits; i-- > 0;) node = node << 1 | code_bit(c, &zeros[node], value >> i & 1);
    return node - (1u << bits);
}

/* Code a number below 2^31: the number of its bits, then those below the highest. `zeros` has 32. */
static uint32_t code_number(range_coder *c, uint16_t *zeros, uint32_t value)
{
    unsigned bits = 0;
    while (value >> bits) bits++;
    bits = code_tree(c, zeros, 5, bits);
    uint32_t made = bits > 0;
    for (unsigned i = bits; i-- > 1;) {
        uint16_t half = HALF;
        made = made << 1 | code_bit(c, &half, value >> (i - 1) & 1);
    }
    return made;
}

/* Code a predicted value. */
static unsigned code_predicted(range_coder *c, uint16_t *right, uint16_t *zeros, unsigned bits,
                               unsigned predicted, unsigned value)
{
    if (!code_bit(c, right, value != predicted)) return predicted;
    return code_tree(c, zeros, bits, value);
}

/* >>matches ------------------------------------------------------------------------
   The match finder of zlib: positions with the same hash form a chain, the newest first. The level
   limits how many links are followed. */
typedef struct match {
    unsigned length; /* below MATCH_MIN: none */
    unsigned distance;
} match;

typedef struct effort {
    uint16_t good;  /* after a match this long, a quarter of the chain is searched */
    uint16_t lazy;  /* after one this long, no longer match is tried at the next byte */
    uint16_t nice;  /* a match this long ends the search */
    uint16_t chain; /* links followed */
} effort;

enum {
    LEVEL_SLOW    = 4, /* from here on: lazy matching, which also tries the next byte */
    LEVEL_GO_FAST = 10 /* a different match finder, see below */
};

static const effort efforts[LEVEL_GO_FAST + 1] = {{0, 0, 0, 0},          {4, 4, 8, 4},        {4, 5, 16, 8},
                                   {4, 6, 32, 32},        {4, 4, 16, 16},      {8, 16, 32, 32},
                                   {8, 16, 128, 128},     {8, 32, 128, 256},   {32, 128, 258, 1024},
                                   {32, 258, 258, 4096}};

/* The next match in level 1 of Go, which is planned per block of content. */
typedef struct plan {
    size_t end;    /* of the block; 0: not begun */
    size_t search; /* where the search for the next match begins */
    size_t at;     /* of the match; the end of the block if there is none */
    match  found;  /* length 0: none yet */
} plan;

typedef struct predictor {
    const uint8_t *content;
    size_t         size;
    size_t         at;       /* where the next token begins */
    size_t         inserted; /* positions before this one were inserted in their chains, or skipped */
    bool           slow;
    bool           known;    /* `now` is valid */
    effort         effort;
    unsigned       hash;     /* HASH_.. */
    unsigned       hash_bits;
    match          now;      /* at `at` */
    match          next;     /* at the next byte, if `now` is a match and the level is lazy */
    uint64_t       work;     /* budget: bytes that may still be compared; a candidate counts as one */
    bool           tired;    /* the budget was exceeded */
    plan           plan;     /* for LEVEL_GO_FAST, which does not use now and next */
    uint32_t       crc[4][256];
    uint32_t       heads[1 << HASH_BITS_MAX]; /* positions; 0: none, so position 0 is never found */
    uint32_t       links[WINDOW];
} predictor;

static void make_crc(predictor *p)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
        p->crc[0][i] = crc;
    }
    for (unsigned k = 1; k < 4; k++)
        for (uint32_t i = 0; i < 256; i++)
            p->crc[k][i] = p->crc[k - 1][i] >> 8 ^ p->crc[0][p->crc[k - 1][i] & 255];
}

static void predictor_init(predictor *p, const container_way *way, const uint8_t *content,
                           size_t size)
{
    assert(way->level >= 1 && way->level <= LEVEL_GO_FAST && size < UINT32_MAX);
    memset(p, 0, offsetof(predictor, crc));
    memset(p->heads, 0, sizeof *p->heads << way->variant); /* links are set on insertion */
    p->content = content;
    p->size = size;
    p->slow = way->level >= LEVEL_SLOW && way->level < LEVEL_GO_FAST;
    p->effort = efforts[way->level];
    p->hash_bits = way->variant;
    p->work = (uint64_t)size * COMPARE_TIMES + COMPARE_LEAST;
    p->hash = way->window;
    if (p->hash == HASH_CRC3 || p->hash == HASH_CRC4) make_crc(p);
}

/* Are enough bytes left for a hash? */
static bool has_hash(const predictor *p, size_t at)
{
    return p->size - at >= (p->hash >= HASH_CRC4 ? 4 : 3);
}

static uint32_t hash_at(const predictor *p, size_t at)
{
    const uint8_t *b = p->content + at;
    uint32_t mask = ((uint32_t)1 << p->hash_bits) - 1;
    unsigned shift = (p->hash_bits + 2) / 3;
    assert(has_hash(p, at));
    switch (p->hash) {
    case HASH_CRC3: return (p->crc[3][b[0]] ^ p->crc[2][b[1]] ^ p->crc[1][b[2]]) & mask;
    case HASH_CRC4:
        return (p->crc[3][b[0]] ^ p->crc[2][b[1]] ^ p->crc[1][b[2]] ^ p->crc[0][b[3]]) & mask;
    case HASH_GO: {
        uint32_t v = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
        return v * 0x1e35a7bdu >> (32 - p->hash_bits);
    }
    case HASH_GO_FAST: {
        uint32_t v = (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0];
        return v * 0x1e35a7bdu >> (32 - p->hash_bits);
    }
    default: return ((uint32_t)b[0] << 2 * shift ^ (uint32_t)b[1] << shift ^ b[2]) & mask;
    }
}

/* Insert positions up to this one in their chains. */
static void insert_to(predictor *p, size_t end)
{
    for (; p->inserted < end; p->inserted++) {
        if (!has_hash(p, p->inserted)) continue;
        uint32_t *head = &p->heads[hash_at(p, p->inserted)];
        p->links[p->inserted % WINDOW] = *head;
        *head = (uint32_t)p->inserted;
    }
}

static unsigned common(const uint8_t *a, const uint8_t *b, unsigned most)
{
    unsigned n = 0;
    while (n < most && a[n] == b[n]) n++;
    return n;
}

/* Spend from the budget. False: it is exceeded; a crafted content would require a long comparison
   for every candidate of every token. */
static bool can_work(predictor *p, unsigned bytes)
{
    if (p->work <= bytes) p->tired = true;
    else p->work -= bytes + 1;
    return !p->tired;
}

/* The longest match at a position that is not inserted yet, if it is longer than `before`. Go
   ignores `before` and accepts any match of 4 bytes. */
static match longest(predictor *p, size_t at, unsigned before)
{
    bool go = p->hash == HASH_GO;
    match best = {go ? GO_MATCH - 1 : before, 0}, none = {MATCH_MIN - 1, 0};
    const uint8_t *here = p->content + at;
    unsigned most = p->size - at < MATCH_MAX ? (unsigned)(p->size - at) : MATCH_MAX;
    unsigned nice = p->effort.nice < most ? p->effort.nice : most;
    unsigned steps = !go && before >= p->effort.good ? p->effort.chain >> 2 : p->effort.chain;
    if (before >= most || !has_hash(p, at)) return none;
    size_t reach = go ? WINDOW : REACH;
    for (uint32_t from = p->heads[hash_at(p, at)]; from && at - from <= reach && steps; steps--) {
        const uint8_t *there = p->content + from;
        unsigned length = 0;
        if (there[best.length] == here[best.length] && there[0] == here[0])
            length = common(there, here, most);
        if (!can_work(p, length)) break;
        if (length) {
            bool far = go && length == GO_MATCH && at - from > TOO_FAR;
            if (length > best.length && !far) {
                best.length = length;
                best.distance = (unsigned)(at - from);
                if (length >= nice) break;
            }
        }
        from = p->links[from % WINDOW];
        if (!go && at - from == reach) break; /* only the first candidate may have this distance */
    }
    bool costs = p->slow && best.length == MATCH_MIN && best.distance > TOO_FAR;
    return best.distance && best.length > before && !costs ? best : none;
}

/* The nearest position before the current token that matches for `length` bytes. */
static unsigned nearest(predictor *p, unsigned length)
{
    if (length > p->size - p->at || !has_hash(p, p->at) || p->hash == HASH_GO_FAST) return 0;
    uint32_t from = p->heads[hash_at(p, p->at)];
    if (p->inserted > p->at) from = p->links[p->at % WINDOW]; /* it is the head itself */
    for (unsigned steps = NEAREST_STEPS; steps && from && p->at - from < WINDOW; steps--) {
        unsigned same = common(p->content + from, p->content + p->at, length);
        if (same == length) return (unsigned)(p->at - from);
        if (!can_work(p, same)) return 0;
        from = p->links[from % WINDOW];
    }
    return 0;
}

/* >>level 1 of Go ----------------------------------------------------------------------
   This one descends from Snappy. A table holds the last position of each hash, and the first match of
   4 bytes is taken. The longer there is no match, the more positions are skipped. The tokens of a block
   depend on the content alone, so they are planned, and a different token in the stream does not
   change the plan. heads[] holds positions + 1, because position 0 is a valid match. */
enum {
    GO_BLOCK     = 65535, /* bytes of content */
    GO_MARGIN    = 15,    /* at the end of a block, where no match may begin */
    GO_BLOCK_MIN = 17,    /* in smaller blocks no match is searched */
    GO_SKIP      = 32     /* after this many positions without a match, one more is skipped each time */
};

/* Returns the distance of the last position with the same 4 bytes, or 0, and replaces
   it in the table. */
static unsigned go_swap(predictor *p, size_t at)
{
    uint32_t *head = &p->heads[hash_at(p, at)];
    size_t from = *head;
    *head = (uint32_t)at + 1;
    if (!from || at - (from - 1) > WINDOW) return 0;
    bool same = memcmp(p->content + from - 1, p->content + at, GO_MATCH) == 0;
    return same ? (unsigned)(at - (from - 1)) : 0;
}

/* Find the next match of 4 bytes from plan->search on. Returns its distance, or 0. */
static unsigned go_search(predictor *p)
{
    plan *g = &p->plan;
    size_t last = g->end - GO_MARGIN, at = g->search;
    if (g->found.length) { /* directly after a match */
        if (at >= last) return 0;
        go_swap(p, at - 1);
        unsigned distance = go_swap(p, at);
        if (distance) return distance;
        at++;
    }
    for (size_t skip = GO_SKIP;; at += skip / GO_SKIP, skip += skip / GO_SKIP) {
        if (at + skip / GO_SKIP > last) return 0;
        unsigned distance = go_swap(p, at);
        g->search = at;
        if (distance) return distance;
    }
}

static void go_next(predictor *p)
{
    plan *g = &p->plan;
    unsigned distance = go_search(p);
    size_t left = g->end - g->search;
    g->at = distance ? g->search : g->end;
    g->found = (match){0, distance};
    if (!distance) return;
    g->found.length = common(p->content + g->at - distance, p->content + g->at,
                             left < MATCH_MAX ? (unsigned)left : MATCH_MAX);
    g->search = g->at + g->found.length;
}

/* Begin a block. */
static void go_begin(predictor *p, size_t size)
{
    plan *g = &p->plan;
    while (g->at < p->at && g->at < g->end) go_next(p); /* the rest of the previous block */
    *g = (plan){.end = p->at + size, .search = p->at, .at = p->at + size};
    if (size >= GO_BLOCK_MIN) go_next(p);
}

static size_t go_block_size(const predictor *p)
{
    return p->size - p->at < GO_BLOCK ? p->size - p->at : GO_BLOCK;
}

static match go_predict(predictor *p)
{
    plan *g = &p->plan;
    if (p->at >= g->end) go_begin(p, go_block_size(p));
    while (g->at < p->at) go_next(p);
    return g->at == p->at && p->at < g->end ? g->found : (match){0, 0};
}

/* >>tokens ------------------------------------------------------------------------ */
/* The reason for a prediction. */
enum { NOTHING_MATCHES, NEXT_IS_LONGER, IT_MATCHES, SITUATIONS };

/* Predict the token of zlib at this position: *found, of length 0 for a literal. */
static unsigned predict(predictor *p, match *found)
{
    assert(p->at < p->size);
    found->length = found->distance = 0;
    if (p->hash == HASH_GO_FAST) {
        *found = go_predict(p);
        return found->length ? IT_MATCHES : NOTHING_MATCHES;
    }
    if (!p->known) p->now = longest(p, p->at, MATCH_MIN - 1);
    p->known = true;
    p->next.length = MATCH_MIN - 1;
    if (p->now.length < MATCH_MIN) return NOTHING_MATCHES;
    if (p->slow && p->now.length < p->effort.lazy && p->at + 1 < p->size) {
        insert_to(p, p->at + 1);
        p->next = longest(p, p->at + 1, p->now.length);
        if (p->next.length > p->now.length) return NEXT_IS_LONGER;
    }
    *found = p->now;
    return IT_MATCHES;
}

/* Skip bytes for which no token was predicted. */
static void pass(predictor *p, size_t size)
{
    assert(size <= p->size - p->at);
    p->at += size;
    if (p->hash != HASH_GO_FAST) insert_to(p, p->at);
    p->known = false;
}

/* Advance over the actual token; `length` 0 is a literal. */
static void pass_token(predictor *p, unsigned length)
{
    bool waited = p->slow && !length && p->next.length >= MATCH_MIN;
    bool leave_out = !p->slow && length > p->effort.lazy && p->hash != HASH_GO_FAST;
    if (leave_out) {
        insert_to(p, p->at + 1);
        p->inserted = p->at + length;
    }
    pass(p, length ? length : 1);
    p->now = p->next;
    p->known = waited;
}

/* >>codes ------------------------------------------------------------------------
   Lengths of Huffman codes as zlib calculates them. Several codes are optimal; the order of equal
   nodes in its heap selects one. Lengths above the limit are repaired. */
typedef struct heap {
    uint32_t weight[2 * LITERALS + 1];
    uint8_t  depth[2 * LITERALS + 1];
    uint16_t parent[2 * LITERALS + 1];
    uint16_t nodes[2 * LITERALS + 2]; /* from index 1; the sorted ones at the end */
    unsigned size;
} heap;

static bool is_before(const heap *h, unsigned a, unsigned b)
{
    return h->weight[a] < h->weight[b] ||
           (h->weight[a] == h->weight[b] && h->depth[a] <= h->depth[b]);
}

static void sink(heap *h, unsigned at)
{
    unsigned node = h->nodes[at];
    for (unsigned child = 2 * at; child <= h->size; child *= 2) {
        if (child < h->size && is_before(h, h->nodes[child + 1], h->nodes[child])) child++;
        if (is_before(h, node, h->nodes[child])) break;
        h->nodes[at] = h->nodes[child];
        at = child;
    }
    h->nodes[at] = (uint16_t)node;
}

/* Shorten codes above `longest_code`, and lengthen others in exchange. */
static void repair(const heap *h, unsigned *counts, int too_long, unsigned sorted, unsigned end,
                   unsigned codes, unsigned longest_code, uint8_t *lengths)
{
    for (; too_long > 0; too_long -= 2) {
        unsigned bits = longest_code - 1;
        while (!counts[bits]) bits--;
        counts[bits]--;
        counts[bits + 1] += 2;
        counts[longest_code]--;
    }
    for (unsigned bits = longest_code; bits; bits--)
        for (unsigned n = counts[bits]; n;) {
            assert(end > sorted);
            unsigned node = h->nodes[--end];
            if (node >= codes) continue;
            lengths[node] = (uint8_t)bits;
            n--;
        }
}

static void code_lengths_of(const uint32_t *weights, unsigned codes, unsigned longest_code,
                            uint8_t *lengths)
{
    heap h;
    uint8_t bits_of[2 * LITERALS + 1];
    unsigned counts[16] = {0}, node = codes, end = 2 * codes + 1, sorted = end;
    int too_long = 0, last = -1;
    assert(codes <= LITERALS);
    memset(&h, 0, sizeof h);
    memset(lengths, 0, codes);
    for (unsigned i = 0; i < codes; i++) {
        h.weight[i] = weights[i];
        if (!weights[i]) continue;
        h.nodes[++h.size] = (uint16_t)i;
        last = (int)i;
    }
    while (h.size < 2) { /* zlib adds a second symbol to a code of one */
        unsigned more = last < 2 ? (unsigned)++last : 0;
        h.nodes[++h.size] = (uint16_t)more;
        h.weight[more] = 1;
    }
    for (unsigned i = h.size / 2; i; i--) sink(&h, i);
    while (h.size >= 2) {
        unsigned a = h.nodes[1];
        h.nodes[1] = h.nodes[h.size--];
        sink(&h, 1);
        unsigned b = h.nodes[1];
        h.nodes[--sorted] = (uint16_t)a;
        h.nodes[--sorted] = (uint16_t)b;
        h.weight[node] = h.weight[a] + h.weight[b];
        h.depth[node] = (uint8_t)((h.depth[a] > h.depth[b] ? h.depth[a] : h.depth[b]) + 1);
        h.parent[a] = h.parent[b] = (uint16_t)node;
        h.nodes[1] = (uint16_t)node++;
        sink(&h, 1);
    }
    bits_of[h.nodes[1]] = 0;
    for (unsigned i = sorted; i < end; i++) {
        unsigned n = h.nodes[i], bits = bits_of[h.parent[n]] + 1u;
        if (bits > longest_code) {
            bits = longest_code;
            too_long++;
        }
        bits_of[n] = (uint8_t)bits;
        if (n >= codes) continue;
        lengths[n] = (uint8_t)bits;
        counts[bits]++;
    }
    if (too_long) repair(&h, counts, too_long, sorted, end, codes, longest_code, lengths);
}

/* >>blocks ---------------------------------------------------------------------
   A block in the stream:

       last, type | stored:  padding | size, ~size | bytes
                  | fixed:   codes of tokens, end of block
                  | dynamic: sizes of the three lists of lengths, lengths of the code that encodes the
                             other two, these two run-length encoded, codes of tokens, end

   A token is length << 16 | distance; 0 is a literal, whose value is in the content. */
enum { STORED, FIXED, DYNAMIC };
enum { RUN_LAST = 16, RUN_ZERO = 17, RUN_ZEROS = 18 }; /* codes of runs, of at least 3, 3 and 11 */

typedef struct run {
    uint8_t code;  /* 0..15: a length; RUN_.. */
    uint8_t extra; /* length of a run beyond its minimum */
} run;

typedef struct block {
    unsigned  last;
    unsigned  type;
    unsigned  padding;        /* the padding bits, which need not be 0 */
    uint32_t  count;          /* tokens, or stored bytes */
    uint32_t *tokens;
    size_t    capacity;
    uint8_t   lengths[2][LITERALS]; /* of literals, of distances */
    unsigned  counts[2];            /* entries of each list in the stream */
    run       runs[LITERALS + DISTANCES];
    unsigned  runs_count;
    uint8_t   codes[CODES];
    unsigned  codes_count;
} block;

static const uint8_t code_order[CODES] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                          11, 4,  12, 3, 13, 2, 14, 1, 15};
static const uint8_t run_bits[3] = {2, 3, 7};
static const uint8_t run_min[3] = {3, 3, 11};

/* How deflate encodes lengths and distances: a code, and extra bits that follow it. Each power of
   two has 2^split codes. */
typedef struct piece {
    unsigned code;
    unsigned bits;
    unsigned extra;
} piece;

static piece piece_of(unsigned value, unsigned split)
{
    piece made = {value, 0, 0};
    unsigned top = split;
    if (value < 2u << split) return made;
    while (value >> (top + 1)) top++;
    made.bits = top - split;
    made.code = (made.bits << split) + (value >> made.bits);
    made.extra = value & ((1u << made.bits) - 1);
    return made;
}

/* The smallest value of a code, and the number of its extra bits. */
static unsigned piece_base(unsigned code, unsigned split, unsigned *bits)
{
    *bits = code < 2u << split ? 0 : (code >> split) - 1;
    return (code - (*bits << split)) << *bits;
}

enum { SPLIT_LENGTH = 2, SPLIT_DISTANCE = 1, LENGTH_CODES = 29, DISTANCE_CODES = 30 };

static piece length_piece(unsigned length)
{
    piece longest_one = {LENGTH_CODES - 1, 0, 0};
    return length == MATCH_MAX ? longest_one : piece_of(length - MATCH_MIN, SPLIT_LENGTH);
}

static piece distance_piece(unsigned distance) { return piece_of(distance - 1, SPLIT_DISTANCE); }

static unsigned token_length(uint32_t token) { return token >> 16; }
static unsigned token_distance(uint32_t token) { return token & 0xffff; }

static bool add_token(block *b, uint32_t token)
{
    if (b->count == BLOCK_TOKENS) return false;
    if (b->count == b->capacity) {
        size_t capacity = b->capacity ? 2 * b->capacity : 4096;
        uint32_t *moved = realloc(b->tokens, capacity * sizeof *moved);
        if (!moved) return false;
        b->tokens = moved;
        b->capacity = capacity;
    }
    b->tokens[b->count++] = token;
    return true;
}

/* The length of the run that zlib writes for the start of a list. */
static unsigned next_run(const uint8_t *lengths, unsigned count, bool same_before, run *made)
{
    unsigned same = 1, most = lengths[0] ? (same_before ? 6 : 7) : 138;
    while (same < count && same < most && lengths[same] == lengths[0]) same++;
    made->code = lengths[0];
    made->extra = 0;
    if (!lengths[0] && same >= 3) {
        made->code = same <= 10 ? RUN_ZERO : RUN_ZEROS;
        made->extra = (uint8_t)(same - (same <= 10 ? 3 : 11));
        return same;
    }
    if (lengths[0] && same_before && same >= 3) {
        made->code = RUN_LAST;
        made->extra = (uint8_t)(same - 3);
        return same;
    }
    return 1;
}

/* >>decisions ---------------------------------------------------------------------
   Codes all decisions in the order of the correction. One structure has all probabilities. */
typedef struct model {
    uint16_t last;
    uint16_t type[4][4];             /* given the previous type */
    uint16_t count_right[2][2];      /* for tokens and for stored bytes; for a last block */
    uint16_t count[2][32];
    uint16_t padding_right;
    uint16_t padding[128];
    uint16_t token_right[SITUATIONS][64]; /* also given whether each of the last six was wrong */
    uint16_t literal[64];
    uint16_t length[SITUATIONS][256];
    uint16_t nearest[SITUATIONS];
    uint16_t distance[32];
    uint16_t list_right[3];
    uint16_t list[3][32];
    uint16_t code_right[3][16];      /* given the predicted length */
    uint16_t code[3][16];
    uint16_t runs_right;
    uint16_t run_kind[2][4];
    uint16_t run_extra[3][128];
} model;

typedef struct engine {
    range_coder coder;
    model       m;
    predictor   p;
    block       b;
    unsigned    type;     /* of the previous block */
    unsigned    history;  /* a bit per token, the last one in bit 0: was the prediction wrong? */
    uint32_t    count[2]; /* of the previous block, stored or not */
    size_t      taken;    /* bytes of the stream consumed by encode() */
} engine;

/* Code one token. False: the correction is invalid. */
static bool code_token(engine *e, uint32_t *token)
{
    range_coder *c = &e->coder;
    match found;
    unsigned why = predict(&e->p, &found), length = token_length(*token);
    uint32_t predicted = found.length << 16 | found.distance;
    unsigned wrong = code_bit(c, &e->m.token_right[why][e->history & 63], *token != predicted);
    e->history = e->history << 1 | wrong;
    if (!wrong) {
        *token = predicted;
    } else if (found.length && code_bit(c, &e->m.literal[e->history & 63], length == 0)) {
        *token = 0;
    } else {
        length = MATCH_MIN + code_tree(c, e->m.length[why], 8, length - MATCH_MIN);
        unsigned close = nearest(&e->p, length), distance = token_distance(*token);
        if (!close || code_bit(c, &e->m.nearest[why], distance != close))
            distance = code_number(c, e->m.distance, distance);
        else
            distance = close;
        if (length > e->p.size - e->p.at || !distance || distance > WINDOW) return false;
        *token = length << 16 | distance;
    }
    pass_token(&e->p, token_length(*token));
    return !e->p.tired;
}

/* Code the tokens of a block: as many as it has; for the last block, up to the end of the content. */
static bool code_tokens(engine *e)
{
    block *b = &e->b;
    bool reading = e->coder.reading;
    uint32_t count = b->count;
    if (reading) b->count = 0;
    for (uint32_t i = 0; b->last ? e->p.at < e->p.size : i < count; i++) {
        if (!reading && i == count) return false;
        uint32_t token = reading ? 0 : b->tokens[i];
        if (e->p.at == e->p.size || e->coder.short_of || !code_token(e, &token)) return false;
        if (reading && !add_token(b, token)) return false;
    }
    return true;
}

/* Code a list of code lengths, and its size. */
static void code_list(engine *e, unsigned list, const uint32_t *weights, unsigned codes,
                      unsigned count_min, unsigned count_bits, const uint8_t *order,
                      uint8_t *lengths, unsigned *count)
{
    uint8_t predicted[LITERALS];
    unsigned longest_code = list == 2 ? 7 : 15, bits = list == 2 ? 3 : 4, last = codes;
    code_lengths_of(weights, codes, longest_code, predicted);
    while (last > count_min && !predicted[order ? order[last - 1] : last - 1]) last--;
    *count = count_min + code_predicted(&e->coder, &e->m.list_right[list], e->m.list[list],
                                        count_bits, last - count_min, *count - count_min);
    for (unsigned i = 0; i < *count; i++) {
        unsigned at = order ? order[i] : i;
        unsigned guess = at < codes ? predicted[at] : 0;
        lengths[at] = (uint8_t)code_predicted(&e->coder, &e->m.code_right[list][guess],
                                              e->m.code[list], bits, guess, lengths[at]);
    }
}

/* Code the runs of the lists of lengths. False: they do not give these lists. */
static bool code_runs(engine *e, const uint8_t *lengths)
{
    block *b = &e->b;
    run predicted[LITERALS + DISTANCES], *made = b->runs;
    unsigned total = b->counts[0] + b->counts[1], count = 0, at = 0, before = 16;
    for (unsigned list = 0; list < 2; list++, before = 16) {
        for (unsigned end = at + b->counts[list]; at < end;) {
            unsigned same = next_run(lengths + at, end - at, lengths[at] == before,
                                     &predicted[count++]);
            before = lengths[at];
            at += same;
        }
    }
    bool same = b->runs_count == count;
    for (unsigned i = 0; same && i < count; i++)
        same = made[i].code == predicted[i].code && made[i].extra == predicted[i].extra;
    if (!code_bit(&e->coder, &e->m.runs_right, !same)) {
        memcpy(made, predicted, count * sizeof *made);
        b->runs_count = count;
        return true;
    }
    for (at = count = 0; at < total; count++) {
        run *r = &made[count];
        unsigned kind = r->code < RUN_LAST ? 0 : r->code - RUN_LAST + 1u;
        kind = code_tree(&e->coder, e->m.run_kind[lengths[at] == 0], 2, kind);
        if (!kind) {
            *r = (run){lengths[at++], 0};
            continue;
        }
        unsigned extra = code_tree(&e->coder, e->m.run_extra[kind - 1], run_bits[kind - 1],
                                   r->extra);
        *r = (run){(uint8_t)(RUN_LAST + kind - 1), (uint8_t)extra};
        at += run_min[kind - 1] + extra;
    }
    b->runs_count = count;
    return at == total;
}

/* Code the header of a dynamic block, after its tokens. */
static bool code_header(engine *e)
{
    block *b = &e->b;
    uint32_t weights[2][LITERALS], of_codes[CODES] = {0};
    uint8_t joined[LITERALS + 2 * DISTANCES];
    memset(weights, 0, sizeof weights);
    size_t at = e->p.at;
    for (uint32_t i = b->count; i-- > 0;) {
        unsigned length = token_length(b->tokens[i]);
        at -= length ? length : 1;
        if (length) {
            weights[0][END_OF_BLOCK + 1 + length_piece(length).code]++;
            weights[1][distance_piece(token_distance(b->tokens[i])).code]++;
        } else {
            weights[0][e->p.content[at]]++;
        }
    }
    weights[0][END_OF_BLOCK] = 1;
    code_list(e, 0, weights[0], LITERALS - 2, 257, 5, NULL, b->lengths[0], &b->counts[0]);
    code_list(e, 1, weights[1], DISTANCE_CODES, 1, 5, NULL, b->lengths[1], &b->counts[1]);
    memcpy(joined, b->lengths[0], b->counts[0]);
    memcpy(joined + b->counts[0], b->lengths[1], b->counts[1]);
    if (!code_runs(e, joined)) return false;
    for (unsigned i = 0; i < b->runs_count; i++) of_codes[b->runs[i].code]++;
    code_list(e, 2, of_codes, CODES, 4, 4, code_order, b->codes, &b->codes_count);
    return b->codes_count <= CODES;
}

static unsigned code_padding(engine *e, unsigned padding)
{
    return code_predicted(&e->coder, &e->m.padding_right, e->m.padding, 7, 0, padding);
}

/* Code a block: decoding fills it in, encoding reads the parsed one. */
static bool code_block(engine *e)
{
    block *b = &e->b;
    model *m = &e->m;
    b->last = code_bit(&e->coder, &m->last, b->last);
    b->type = code_tree(&e->coder, m->type[e->type], 2, b->type);
    e->type = b->type;
    bool stored = b->type == STORED;
    if (b->type > DYNAMIC) return false;
    if (stored || !b->last) {
        bool other = code_bit(&e->coder, &m->count_right[stored][b->last],
                              b->count != e->count[stored]);
        b->count = other ? code_number(&e->coder, m->count[stored], b->count) : e->count[stored];
        e->count[stored] = b->count;
    }
    bool counted = stored && b->count <= e->p.size - e->p.at;
    if (e->p.hash == HASH_GO_FAST) go_begin(&e->p, counted ? b->count : go_block_size(&e->p));
    if (!stored) return code_tokens(e) && (b->type == FIXED || code_header(e));
    b->padding = code_padding(e, b->padding);
    if (b->count > 0xffff || b->count > e->p.size - e->p.at) return false;
    pass(&e->p, b->count);
    return true;
}

static void engine_init(engine *e, const container_way *way, const uint8_t *content, size_t size)
{
    uint16_t *zeros = (uint16_t *)&e->m;
    uint32_t *tokens = e->b.tokens;
    size_t capacity = e->b.capacity;
    predictor_init(&e->p, way, content, size);
    for (size_t i = 0; i < sizeof e->m / sizeof *zeros; i++) zeros[i] = HALF;
    memset(&e->b, 0, sizeof e->b);
    e->b.tokens = tokens;
    e->b.capacity = capacity;
    e->type = DYNAMIC;
    e->history = 0;
    e->count[0] = e->count[1] = 0;
}

/* >>writing a stream -------------------------------------------------------------- */
typedef struct bit_writer {
    uint64_t         bits;
    unsigned         count;
    container_bytes *out;
} bit_writer;

static void put_bits(bit_writer *w, uint32_t bits, unsigned count)
{
    assert(count <= 16 && w->count < 32);
    w->bits |= (uint64_t)bits << w->count;
    w->count += count;
    if (w->count < 32) return;
    uint8_t four[4] = {(uint8_t)w->bits, (uint8_t)(w->bits >> 8), (uint8_t)(w->bits >> 16),
                       (uint8_t)(w->bits >> 24)};
    container_add(w->out, four, sizeof four);
    w->bits >>= 32;
    w->count -= 32;
}

/* Pad to a full byte, and flush. */
static void put_padding(bit_writer *w, unsigned padding)
{
    put_bits(w, padding & ((1u << (-w->count & 7)) - 1), -w->count & 7);
    for (; w->count; w->count -= 8, w->bits >>= 8) {
        uint8_t byte = (uint8_t)w->bits;
        container_add(w->out, &byte, 1);
    }
}

/* Make the codes for these lengths, bit-reversed. */
static void make_codes(const uint8_t *lengths, unsigned count, uint16_t *codes)
{
    unsigned counts[16] = {0}, next[16] = {0};
    for (unsigned i = 0; i < count; i++) counts[lengths[i]]++;
    counts[0] = 0;
    for (unsigned bits = 1; bits < 16; bits++) next[bits] = (next[bits - 1] + counts[bits - 1]) * 2;
    for (unsigned i = 0; i < count; i++) {
        unsigned code = lengths[i] ? next[lengths[i]]++ : 0, turned = 0;
        for (unsigned k = 0; k < lengths[i]; k++) turned |= (code >> k & 1) << (lengths[i] - 1 - k);
        codes[i] = (uint16_t)turned;
    }
}

static void make_fixed(block *b)
{
    for (unsigned i = 0; i < LITERALS; i++)
        b->lengths[0][i] = (uint8_t)(i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8);
    memset(b->lengths[1], 5, DISTANCES);
}

static void put_header(bit_writer *w, const block *b)
{
    uint16_t codes[CODES];
    make_codes(b->codes, CODES, codes);
    put_bits(w, b->counts[0] - 257, 5);
    put_bits(w, b->counts[1] - 1, 5);
    put_bits(w, b->codes_count - 4, 4);
    for (unsigned i = 0; i < b->codes_count; i++) put_bits(w, b->codes[code_order[i]], 3);
    for (unsigned i = 0; i < b->runs_count; i++) {
        unsigned code = b->runs[i].code;
        put_bits(w, codes[code], b->codes[code]);
        if (code >= RUN_LAST) put_bits(w, b->runs[i].extra, run_bits[code - RUN_LAST]);
    }
}

/* content: of this block. */
static void put_block(bit_writer *w, block *b, const uint8_t *content)
{
    uint16_t literals[LITERALS], distances[DISTANCES];
    put_bits(w, b->last | b->type << 1, 3);
    if (b->type == STORED) {
        put_padding(w, b->padding);
        put_bits(w, b->count, 16);
        put_bits(w, b->count ^ 0xffff, 16);
        assert(!w->count);
        container_add(w->out, content, b->count);
        return;
    }
    if (b->type == FIXED) make_fixed(b);
    else put_header(w, b);
    make_codes(b->lengths[0], LITERALS, literals);
    make_codes(b->lengths[1], DISTANCES, distances);
    for (uint32_t i = 0; i < b->count && !w->out->error; i++) {
        unsigned length = token_length(b->tokens[i]), literal = *content;
        piece l = length ? length_piece(length) : (piece){0, 0, 0};
        if (length) literal = END_OF_BLOCK + 1 + l.code;
        put_bits(w, literals[literal], b->lengths[0][literal]);
        content += length ? length : 1;
        if (!length) continue;
        piece d = distance_piece(token_distance(b->tokens[i]));
        put_bits(w, l.extra, l.bits);
        put_bits(w, distances[d.code], b->lengths[1][d.code]);
        put_bits(w, d.extra, d.bits);
    }
    put_bits(w, literals[END_OF_BLOCK], b->lengths[0][END_OF_BLOCK]);
}

/* Clear everything: no value may leak into the next block. */
static void clear_block(block *b)
{
    memset(b->lengths, 0, sizeof b->lengths);
    memset(b->codes, 0, sizeof b->codes);
    b->count = b->runs_count = b->padding = 0;
    b->counts[0] = 257;
    b->counts[1] = 1;
    b->codes_count = 4;
}

int container_tokens_pack(const container_way *way, const uint8_t *content, size_t size,
                          const uint8_t *in, size_t in_size, container_bytes *out)
{
    engine *e = calloc(1, sizeof *e);
    bit_writer w = {0, 0, out};
    bool right = true;
    assert(way->kind == CONTAINER_TOKENS && container_is_way(way));
    if (!e) return DX_PATCH_ENOMEM;
    engine_init(e, way, content, size);
    range_read(&e->coder, in, in_size);
    for (block *b = &e->b; right && !b->last && !out->error;) {
        size_t at = e->p.at;
        clear_block(b);
        right = code_block(e) && !e->coder.short_of;
        if (right) put_block(&w, b, content + at);
        container_pass(out, e->p.at - at);
    }
    if (right && !out->error) {
        put_padding(&w, code_padding(e, 0));
        right = e->p.at == size && !e->coder.left && !e->coder.short_of;
    }
    free(e->b.tokens);
    free(e);
    if (out->error) return out->error;
    return right ? DX_PATCH_OK : DX_PATCH_ECORRUPT;
}

/* >>reading a stream --------------------------------------------------------------- */
typedef struct bit_reader {
    const uint8_t *in;
    size_t         left;
    uint32_t       bits;
    unsigned       count;
    bool           wrong;
} bit_reader;

static unsigned get_bits(bit_reader *r, unsigned count)
{
    assert(count <= 16);
    for (; r->count < count; r->count += 8) {
        if (!r->left) r->wrong = true;
        if (r->wrong) return 0;
        r->bits |= (uint32_t)*r->in++ << r->count;
        r->left--;
    }
    unsigned bits = r->bits & ((1u << count) - 1);
    r->bits >>= count;
    r->count -= count;
    return bits;
}

/* Symbols in code order. */
typedef struct decoder {
    uint16_t counts[16];
    uint16_t symbols[LITERALS];
} decoder;

static void make_decoder(decoder *d, const uint8_t *lengths, unsigned count)
{
    unsigned at[17] = {0};
    memset(d->counts, 0, sizeof d->counts);
    for (unsigned i = 0; i < count; i++) d->counts[lengths[i]]++;
    d->counts[0] = 0;
    for (unsigned bits = 1; bits < 16; bits++) at[bits + 1] = at[bits] + d->counts[bits];
    for (unsigned i = 0; i < count; i++)
        if (lengths[i]) d->symbols[at[lengths[i]]++] = (uint16_t)i;
}

static unsigned get_symbol(bit_reader *r, const decoder *d)
{
    unsigned code = 0, first = 0, at = 0;
    for (unsigned bits = 1; bits < 16; bits++) {
        code |= get_bits(r, 1);
        if (code - first < d->counts[bits]) return d->symbols[at + code - first];
        at += d->counts[bits];
        first = (first + d->counts[bits]) << 1;
        code <<= 1;
    }
    r->wrong = true;
    return 0;
}

static bool get_header(bit_reader *r, block *b)
{
    decoder d;
    uint8_t joined[LITERALS + 2 * DISTANCES] = {0};
    b->counts[0] = 257 + get_bits(r, 5);
    b->counts[1] = 1 + get_bits(r, 5);
    b->codes_count = 4 + get_bits(r, 4);
    if (b->counts[0] > LITERALS - 2 || b->counts[1] > DISTANCE_CODES || b->codes_count > CODES)
        return false;
    for (unsigned i = 0; i < b->codes_count; i++)
        b->codes[code_order[i]] = (uint8_t)get_bits(r, 3);
    make_decoder(&d, b->codes, CODES);
    unsigned total = b->counts[0] + b->counts[1];
    for (unsigned at = 0; at < total;) {
        unsigned code = get_symbol(r, &d), count = 1, length = code, extra = 0;
        if (code >= RUN_LAST) {
            extra = get_bits(r, run_bits[code - RUN_LAST]);
            count = run_min[code - RUN_LAST] + extra;
            if (code == RUN_LAST && !at) return false;
            length = code == RUN_LAST ? joined[at - 1] : 0;
        }
        if (r->wrong || count > total - at) return false;
        b->runs[b->runs_count++] = (run){(uint8_t)code, (uint8_t)extra};
        memset(joined + at, (int)length, count);
        at += count;
    }
    memcpy(b->lengths[0], joined, b->counts[0]);
    memcpy(b->lengths[1], joined + b->counts[0], b->counts[1]);
    return true;
}

/* Parse tokens. False: put_block() would write one of them differently. */
static bool get_tokens(bit_reader *r, block *b)
{
    decoder literals, distances;
    make_decoder(&literals, b->lengths[0], LITERALS);
    make_decoder(&distances, b->lengths[1], DISTANCES);
    for (;;) {
        unsigned symbol = get_symbol(r, &literals), bits;
        if (r->wrong) return false;
        if (symbol == END_OF_BLOCK) return true;
        if (symbol < END_OF_BLOCK) {
            if (!add_token(b, 0)) return false;
            continue;
        }
        symbol -= END_OF_BLOCK + 1;
        if (symbol >= LENGTH_CODES) return false;
        unsigned length = MATCH_MAX;
        if (symbol < LENGTH_CODES - 1) {
            length = MATCH_MIN + piece_base(symbol, SPLIT_LENGTH, &bits);
            length += get_bits(r, bits);
            if (length >= MATCH_MAX) return false; /* it has its own code */
        }
        symbol = get_symbol(r, &distances);
        if (symbol >= DISTANCE_CODES) return false;
        unsigned distance = 1 + piece_base(symbol, SPLIT_DISTANCE, &bits);
        distance += get_bits(r, bits);
        if (r->wrong || !add_token(b, length << 16 | distance)) return false;
    }
}

static bool get_block(bit_reader *r, block *b)
{
    b->last = get_bits(r, 1);
    b->type = get_bits(r, 2);
    if (b->type == FIXED) make_fixed(b);
    if (b->type == DYNAMIC && !get_header(r, b)) return false;
    if (b->type != STORED) return b->type <= DYNAMIC && get_tokens(r, b);
    b->padding = get_bits(r, r->count & 7);
    b->count = get_bits(r, 16);
    unsigned inverted = get_bits(r, 16);
    if (r->wrong || inverted != (b->count ^ 0xffff) || b->count > r->left || r->count) return false;
    r->in += b->count;
    r->left -= b->count;
    return true;
}

bool container_read_first(const uint8_t *stream, size_t size, container_first *first)
{
    bit_reader r = {.in = stream, .left = size};
    block *b = calloc(1, sizeof *b);
    bool right = b && get_block(&r, b);
    memset(first, 0, sizeof *first);
    if (right) {
        first->last = b->last;
        first->stored = b->type == STORED;
        first->fixed = b->type == FIXED;
        first->tokens = b->count;
    }
    for (uint32_t i = 0; right && b->tokens && i < b->count; i++)
        if (token_distance(b->tokens[i]) > first->distance)
            first->distance = token_distance(b->tokens[i]);
    if (b) free(b->tokens);
    free(b);
    return right;
}

/* Write the correction for a way, for the first bytes of the content. False: it would exceed
   out->max, or the stream cannot be reproduced. */
static bool encode(engine *e, const container_way *way, const uint8_t *stream, size_t stream_size,
                   const uint8_t *content, size_t size, size_t enough, container_bytes *out)
{
    bit_reader r = {.in = stream, .left = stream_size};
    engine_init(e, way, content, size);
    if (enough < size) e->p.work = (uint64_t)enough * COMPARE_TIMES + COMPARE_LEAST;
    range_write(&e->coder, out);
    while (!e->b.last && e->p.at <= enough) {
        clear_block(&e->b);
        if (container_is_cancelled(out->cancel)) return false;
        if (!get_block(&r, &e->b) || !code_block(e) || out->error) return false;
    }
    if (e->b.last) {
        code_padding(e, get_bits(&r, r.count & 7));
        if (r.left || r.wrong || e->p.at != size) return false;
    }
    for (int i = 0; i < 5; i++) range_out(&e->coder);
    e->taken = stream_size - r.left;
    return !out->error;
}

/* >>search ------------------------------------------------------------------------
   Find the way with the smallest correction for the first blocks. */
enum {
    SAMPLE      = 1 << 18, /* bytes of content */
    GOOD_ENOUGH = 64       /* a correction of at most 1/64 of the stream ends the search */
};

typedef struct search {
    engine              *e;
    const uint8_t       *stream;
    size_t               stream_size;
    const uint8_t       *content;
    size_t               size;
    container_way        best;
    size_t               best_size; /* of its correction */
    const container_cancel *cancel; /* NULL: cannot be cancelled */
} search;

static bool is_good(const search *s) { return s->best_size <= s->e->taken / GOOD_ENOUGH; }

static bool try_tokens(search *s, unsigned level, unsigned hash, unsigned bits)
{
    container_way way = {.kind = CONTAINER_TOKENS};
    container_bytes out = {.max = s->best_size, .cancel = s->cancel};
    way.level = (uint8_t)level;
    way.window = (uint8_t)hash;
    way.variant = (uint8_t)bits;
    bool made = encode(s->e, &way, s->stream, s->stream_size, s->content, s->size, SAMPLE, &out);
    bool better = made && out.size < s->best_size;
    if (better) {
        s->best = way;
        s->best_size = out.size;
    }
    container_drop(&out);
    return better;
}

static void try_efforts(search *s, unsigned hash, unsigned bits)
{
    for (unsigned level = 9; level >= 1; level--) try_tokens(s, level, hash, bits);
}

static void try_all(search *s)
{
    static const uint8_t hashes[][2] = {{HASH_ROLLING, 16}, {HASH_ROLLING, 14}, {HASH_ROLLING, 13},
                                        {HASH_CRC3, 15},    {HASH_CRC4, 15},    {HASH_GO, 17}};
    try_efforts(s, HASH_ROLLING, 15);
    unsigned level = s->best.level;
    try_tokens(s, LEVEL_GO_FAST, HASH_GO_FAST, 14);
    if (!level) return; /* no prediction resembles this stream */
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
        bool better = try_tokens(s, level, hashes[i][0], hashes[i][1]);
        if (hashes[i][0] >= HASH_CRC4 && (better || !is_good(s)))
            try_efforts(s, hashes[i][0], hashes[i][1]);
    }
}

int container_tokens_find(const uint8_t *stream, size_t stream_size, const uint8_t *content,
                          size_t size, container_way *way, container_bytes *out)
{
    search s = {NULL, stream, stream_size, content, size, {0}, out->max, out->cancel};
    assert(!out->size);
    if (size >= UINT32_MAX) return DX_PATCH_ETOOBIG;
    s.e = calloc(1, sizeof *s.e);
    if (!s.e) return DX_PATCH_ENOMEM;
    if (way->kind == CONTAINER_TOKENS) /* that of the previous member */
        try_tokens(&s, way->level, way->window, way->variant);
    if (!s.best.level || !is_good(&s)) try_all(&s);
    bool found = s.best.level &&
                 encode(s.e, &s.best, stream, stream_size, content, size, size, out);
    *way = s.best;
    free(s.e->b.tokens);
    free(s.e);
    return found ? DX_PATCH_OK : DX_PATCH_EINVAL;
}
