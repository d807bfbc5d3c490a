/* See renames.h. Both trees are walked in lockstep, without the directories that are equal:

       old    | a-1.0.jar | b.c |           | lib-1/x.jar |
       new    |           | b.c | a-1.1.jar |             | lib-2/x.jar |
              vanished            added       vanished      added

   Each vanished file is entered under several keys, from the strictest (the same name in a directory
   that differs only by its version) to the loosest (a name that differs only by digits, anywhere). An
   added file takes the first key for which there is a file of similar size. Files with the same key are
   sorted by name, so those that share the longest prefix are neighbours: a few neighbours are compared,
   however many files have the key. Hashes need no secret: names that collide on purpose only give a
   useless base, and so do names that lie. */
#include "renames.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    FILES_MAX     = 32768,   /* per side, */
    TEXT_MAX      = 4 << 20, /* and bytes of their paths */
    ENTRIES_MAX   = 1 << 20, /* visited in both trees: a small hostile tree may repeat its directories */
    NEIGHBOURS    = 8,       /* compared in each direction */
    SIZE_FACTOR   = 4,       /* between similar sizes */
    USES_MAX      = 4,       /* of a vanished file: each use reads it */
    HEX_DIGITS_MIN = 6       /* of a hash in a name */
};

/* STEM: without versions. LETTERS: also without the digits in words. LIKE: the same for the directory. */
typedef enum key_kind { BY_CONTENT, BY_NAME_IN_LIKE_DIR, BY_STEM_IN_DIR, BY_STEM_IN_LIKE_DIR,
                        BY_LETTERS_IN_DIR, BY_LETTERS_IN_LIKE_DIR, BY_NAME, BY_STEM, BY_LETTERS,
                        KEY_KINDS } key_kind;

typedef struct record {
    uint8_t  id[32];
    uint64_t size;
    size_t   text;   /* offset of the path, whose last name comes first */
    uint16_t text_size;
    uint8_t  level;
    uint8_t  uses;
    uint32_t base;   /* of an added file: number of the vanished one + 1; 0: none */
    uint64_t keys[KEY_KINDS]; /* 0: none */
} record;

typedef struct side {
    record *records;
    size_t  count, room;
    char   *text;
    size_t  text_size, text_room;
} side;

typedef struct key {
    uint64_t    hash;
    uint32_t    number; /* of the vanished file */
    uint16_t    text_size;
    const char *text;
} key;

struct versions_renames {
    versions_store *store;
    uint64_t        size_min;
    uint32_t        visited;
    side            vanished, added;
    key            *keys;   /* of vanished files, sorted */
    size_t          key_count;
    char            path[PROG_PATH_SIZE_MAX + 1];
    size_t          path_size;
};

/* >>names -------------------------------------------------------------- */
static uint64_t mix_byte(uint64_t hash, int byte)
{
    const uint8_t b = (uint8_t)byte;
    return prog_fnv(hash, &b, 1);
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static char fold(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

static bool is_separator(char c) { return c && strchr("-_.+~@,() ", c); }

/* Does a word belong to the version before it or in it, as in 1.0-beta2? */
static bool is_of_version(const char *letters, size_t size)
{
    static const char *const words[] = {"a",  "b",   "alpha", "beta", "dev", "final",   "ga",      "m",
                                        "pre", "post", "r",     "rc",   "sp",  "release", "snapshot", "v"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == size && !memcmp(words[i], letters, size)) return true;
    return false;
}

/* Hashes of a name without its versions; letters: without its digits as well. */
typedef struct stems {
    uint64_t stem, letters;
} stems;

/* Mix a word into *s, unless it is a part of a version or a hash. after: the word before it was.
   Returns whether this one is. */
static bool mix_word(stems *s, const char *word, size_t size, bool after)
{
    char letters[16];
    size_t count = 0, digits = 0, hex = 0;
    for (size_t i = 0; i < size; i++) {
        const char c = fold(word[i]);
        digits += is_digit(c);
        hex += is_digit(c) || (c >= 'a' && c <= 'f');
        if (is_digit(c)) continue;
        if (count < sizeof letters) letters[count] = c;
        count++;
    }
    if (!count) return true;
    if (digits && hex == size && size >= HEX_DIGITS_MIN) return true;
    if ((digits || (after && count > 1)) && count <= sizeof letters && is_of_version(letters, count))
        return true;
    for (size_t i = 0; i < size; i++) {
        s->stem = mix_byte(s->stem, fold(word[i]));
        if (!is_digit(word[i])) s->letters = mix_byte(s->letters, fold(word[i]));
    }
    s->stem = mix_byte(s->stem, '-');
    s->letters = mix_byte(s->letters, '-');
    return false;
}

/* Mix a name into *s. False: nothing remains of it. */
static bool mix_name(stems *s, const char *name, size_t size)
{
    bool any = false, after = false;
    for (size_t at = 0; at < size;) {
        size_t end = at;
        while (end < size && !is_separator(name[end])) end++;
        if (end > at) {
            after = mix_word(s, name + at, end - at, after);
            any |= !after;
        }
        at = end + 1;
    }
    s->stem = mix_byte(s->stem, '/');
    s->letters = mix_byte(s->letters, '/');
    return any;
}

/* The bytes of the extension of a name; 0: it has none, or a part of a version in its place. */
static size_t extension_size(const char *name, size_t size)
{
    size_t count = 0;
    bool letter = false;
    while (count < size && name[size - count - 1] != '.') letter |= !is_digit(name[size - ++count]);
    return count + 1 < size && letter ? count : 0;
}

static uint64_t key_of(key_kind kind, uint64_t a, uint64_t b)
{
    uint64_t hash = mix_byte(PROG_FNV_START, (int)kind);
    hash = prog_fnv(prog_fnv(hash, &a, sizeof a), &b, sizeof b);
    return hash ? hash : 1;
}

/* slash: where the last name of the path begins. */
static void set_keys(record *r, const char *path, size_t size, size_t slash)
{
    stems dirs = {PROG_FNV_START, PROG_FNV_START}, own = {PROG_FNV_START, PROG_FNV_START};
    uint64_t content;
    const char *name = path + slash;
    const size_t name_size = size - slash, extension = extension_size(name, name_size);
    for (size_t at = 0; at < slash;) {
        const char *end = memchr(path + at, '/', slash - at);
        const size_t part = (size_t)(end - (path + at));
        (void)mix_name(&dirs, path + at, part);
        at += part + 1;
    }
    const uint64_t dir = prog_fnv(PROG_FNV_START, path, slash), whole = prog_fnv(PROG_FNV_START, name, name_size);
    const bool any = mix_name(&own, name, name_size - extension);
    for (size_t i = name_size - extension; i < name_size; i++) {
        own.stem = mix_byte(own.stem, fold(name[i]));
        own.letters = mix_byte(own.letters, fold(name[i]));
    }
    memcpy(&content, r->id, sizeof content);
    r->keys[BY_CONTENT] = key_of(BY_CONTENT, content, r->level);
    r->keys[BY_NAME_IN_LIKE_DIR] = key_of(BY_NAME_IN_LIKE_DIR, whole, dirs.stem);
    r->keys[BY_STEM_IN_DIR] = key_of(BY_STEM_IN_DIR, own.stem, dir);
    r->keys[BY_STEM_IN_LIKE_DIR] = key_of(BY_STEM_IN_LIKE_DIR, own.stem, dirs.stem);
    r->keys[BY_LETTERS_IN_DIR] = key_of(BY_LETTERS_IN_DIR, own.letters, dir);
    r->keys[BY_LETTERS_IN_LIKE_DIR] = key_of(BY_LETTERS_IN_LIKE_DIR, own.letters, dirs.letters);
    if (!any) return; /* a name that is only a version says nothing elsewhere */
    r->keys[BY_NAME] = key_of(BY_NAME, whole, 0);
    r->keys[BY_STEM] = key_of(BY_STEM, own.stem, 0);
    r->keys[BY_LETTERS] = key_of(BY_LETTERS, own.letters, 0);
}

/* >>walk --------------------------------------------------------------- */
static void add_file(versions_renames *r, side *s, const dx_tree_entry *e)
{
    const size_t size = r->path_size;
    if (e->type != DX_TREE_FILE || e->level > DX_TREE_LEVELS_MAX || e->size < r->size_min) return;
    if (s->count == FILES_MAX || size > UINT16_MAX || size > TEXT_MAX - s->text_size) return;
    if (s->count == s->room) {
        s->room = 2 * s->room + 64;
        s->records = realloc(s->records, s->room * sizeof *s->records);
        if (!s->records) abort();
    }
    if (size > s->text_room - s->text_size) {
        s->text_room = 2 * s->text_room + size + 4096;
        s->text = realloc(s->text, s->text_room);
        if (!s->text) abort();
    }
    record *one = &s->records[s->count++];
    *one = (record){.size = e->size, .text = s->text_size, .text_size = (uint16_t)size,
                    .level = e->level};
    memcpy(one->id, e->id, sizeof one->id);
    size_t slash = size;
    while (slash && r->path[slash - 1] != '/') slash--;
    memcpy(s->text + s->text_size, r->path + slash, size - slash);
    memcpy(s->text + s->text_size + size - slash, r->path, slash);
    s->text_size += size;
    set_keys(one, r->path, size, slash);
}

static void walk(versions_renames *r, const dx_tree_entry *old, const dx_tree_entry *fresh, int depth);

/* Visit an entry: old or fresh is NULL if that side has none with this name. */
static void visit(versions_renames *r, const dx_tree_entry *old, const dx_tree_entry *fresh, int depth)
{
    const dx_tree_entry *one = old ? old : fresh;
    const size_t before = r->path_size;
    if (one->name_size + 1u > PROG_PATH_SIZE_MAX - before || ++r->visited > ENTRIES_MAX) return;
    if (before) r->path[r->path_size++] = '/';
    memcpy(r->path + r->path_size, one->name, one->name_size);
    r->path_size += one->name_size;
    const bool was_dir = old && old->type == DX_TREE_DIR, is_dir = fresh && fresh->type == DX_TREE_DIR;
    if (old && (!fresh || fresh->type != DX_TREE_FILE)) add_file(r, &r->vanished, old);
    if (fresh && (!old || old->type != DX_TREE_FILE)) add_file(r, &r->added, fresh);
    if (was_dir || is_dir) walk(r, was_dir ? old : NULL, is_dir ? fresh : NULL, depth + 1);
    r->path_size = before;
}

/* Advance to the next entry of a listing, if there is one. */
static void advance(versions_listing *l, dx_tree_entry *e, bool *end)
{
    if (!*end && versions_listing_next(l, e, end)) *end = true;
}

static bool has_same_content(const dx_tree_entry *a, const dx_tree_entry *b)
{
    return a->level == b->level && a->level != DX_TREE_INLINE && a->size == b->size &&
           a->count == b->count && !memcmp(a->id, b->id, sizeof a->id);
}

/* Compare two directories. Either may be NULL. Recursion is limited by PROG_DEPTH_MAX. */
static void walk(versions_renames *r, const dx_tree_entry *old, const dx_tree_entry *fresh, int depth)
{
    versions_listing a, b;
    dx_tree_entry was = {0}, is = {0};
    bool old_end = !old, fresh_end = !fresh;
    if (depth > PROG_DEPTH_MAX + 1) return;
    if (old && fresh && has_same_content(old, fresh)) return;
    if (old) versions_listing_open(&a, r->store, old);
    if (fresh) versions_listing_open(&b, r->store, fresh);
    advance(&a, &was, &old_end);
    advance(&b, &is, &fresh_end);
    while ((!old_end || !fresh_end) && r->visited < ENTRIES_MAX) {
        int order = old_end ? 1 : -1;
        if (!old_end && !fresh_end)
            order = dx_tree_compare_names(was.name, was.name_size, is.name, is.name_size);
        visit(r, order <= 0 ? &was : NULL, order >= 0 ? &is : NULL, depth);
        if (order <= 0) advance(&a, &was, &old_end);
        if (order >= 0) advance(&b, &is, &fresh_end);
    }
    if (old) versions_listing_close(&a);
    if (fresh) versions_listing_close(&b);
}

/* >>pairs -------------------------------------------------------------- */
static int compare_texts(const char *a, size_t a_size, const char *b, size_t b_size)
{
    const int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order ? order : (a_size > b_size) - (a_size < b_size);
}

static int by_key(const void *a, const void *b)
{
    const key *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return compare_texts(x->text, x->text_size, y->text, y->text_size);
}

static int by_id(const void *a, const void *b)
{
    return memcmp(((const record *)a)->id, ((const record *)b)->id, sizeof ((const record *)a)->id);
}

static void sort_keys(versions_renames *r)
{
    const side *s = &r->vanished;
    r->keys = prog_alloc((s->count * KEY_KINDS + 1) * sizeof *r->keys);
    for (size_t i = 0; i < s->count; i++) {
        const record *one = &s->records[i];
        for (int k = 0; k < KEY_KINDS; k++)
            if (one->keys[k])
                r->keys[r->key_count++] = (key){one->keys[k], (uint32_t)i, one->text_size,
                                                s->text + one->text};
    }
    if (r->key_count) qsort(r->keys, r->key_count, sizeof *r->keys, by_key);
}

/* The first key that is not below this one. */
static size_t find_key(const versions_renames *r, const key *wanted)
{
    size_t low = 0, high = r->key_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (by_key(&r->keys[middle], wanted) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* The bytes at the start and at the end that two texts have in common. */
static size_t likeness(const key *a, const key *b)
{
    const size_t least = a->text_size < b->text_size ? a->text_size : b->text_size;
    size_t start = 0, end = 0;
    while (start < least && a->text[start] == b->text[start]) start++;
    while (end < least - start && a->text[a->text_size - end - 1] == b->text[b->text_size - end - 1]) end++;
    return start + end;
}

static uint64_t difference(uint64_t a, uint64_t b) { return a > b ? a - b : b - a; }

/* Find the best of the files with this key. NULL: no similar one. */
static record *find_best(const versions_renames *r, const record *one, const key *wanted)
{
    record *best = NULL;
    size_t best_likeness = 0;
    const size_t middle = find_key(r, wanted);
    size_t at = middle > NEIGHBOURS ? middle - NEIGHBOURS : 0;
    for (; at < r->key_count && at < middle + NEIGHBOURS; at++) {
        record *old = &r->vanished.records[r->keys[at].number];
        if (r->keys[at].hash != wanted->hash || old->uses == USES_MAX) continue;
        if (old->size / SIZE_FACTOR > one->size || one->size / SIZE_FACTOR > old->size) continue;
        const size_t like = likeness(&r->keys[at], wanted);
        if (best && (like < best_likeness ||
                     (like == best_likeness &&
                      difference(old->size, one->size) >= difference(best->size, one->size))))
            continue;
        best = old;
        best_likeness = like;
    }
    return best;
}

static void pair(versions_renames *r, record *one)
{
    key wanted = {.text = r->added.text + one->text, .text_size = one->text_size};
    for (int k = 0; k < KEY_KINDS && !one->base; k++) {
        wanted.hash = one->keys[k];
        record *old = wanted.hash ? find_best(r, one, &wanted) : NULL;
        if (!old) continue;
        if (k == BY_CONTENT) return; /* it has been moved as it is */
        old->uses++;
        one->base = (uint32_t)(old - r->vanished.records) + 1;
    }
}

/* >>renames ------------------------------------------------------------ */
versions_renames *versions_renames_open(versions_store *s, const uint8_t old[32],
                                        const uint8_t fresh[32], uint64_t size_min)
{
    dx_tree_entry was, is;
    versions_renames *r = prog_alloc(sizeof *r);
    memset(r, 0, sizeof *r);
    r->store = s;
    r->size_min = size_min;
    prog_mute(true);
    if (!versions_snapshot_root(s, old, &was, NULL) && !versions_snapshot_root(s, fresh, &is, NULL))
        walk(r, &was, &is, 0);
    prog_mute(false);
    if (r->vanished.count && r->added.count) sort_keys(r);
    for (size_t i = 0; r->key_count && i < r->added.count; i++) pair(r, &r->added.records[i]);
    if (r->added.count) qsort(r->added.records, r->added.count, sizeof *r->added.records, by_id);
    return r;
}

void versions_renames_close(versions_renames *r)
{
    if (!r) return;
    free(r->vanished.records);
    free(r->vanished.text);
    free(r->added.records);
    free(r->added.text);
    free(r->keys);
    free(r);
}

bool versions_renames_find(const versions_renames *r, const uint8_t id[32], dx_tree_entry *old)
{
    record wanted;
    memcpy(wanted.id, id, sizeof wanted.id);
    const record *one =
        r->added.count ? bsearch(&wanted, r->added.records, r->added.count, sizeof wanted, by_id) : NULL;
    if (!one || !one->base) return false;
    assert(one->base <= r->vanished.count);
    const record *base = &r->vanished.records[one->base - 1];
    *old = (dx_tree_entry){.type = DX_TREE_FILE, .level = base->level, .size = base->size};
    memcpy(old->id, base->id, sizeof old->id);
    return true;
}
