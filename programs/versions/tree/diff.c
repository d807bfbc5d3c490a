/* Merges the entries of two versions, sorted by path. See diff.h.

       A   a  b     d           a: in both; type, mode, content and other metadata are compared
           |  |                 b: removed, or renamed to an added file with equal content
       B   a     c  d           c: added */
#include "diff.h"

#include "../../common/json.h"
#include "entries.h"
#include "show.h"
#include "tree.h"

#include "../../../dx_cas.h"

#include <stdlib.h>
#include <string.h>

enum { EXTRA_HEAD = 4 }; /* bytes before each extra of an entry (docs/formats/tree.md) */

typedef struct item {
    char    *path;
    int      type;
    unsigned mode;
    uint64_t size;
    uint8_t  key[PROG_HASH_SIZE]; /* equal if the contents are */
    uint8_t  extra[PROG_HASH_SIZE]; /* the same for owner, extended attributes, holes and so on */
    uint8_t  rest[PROG_HASH_SIZE];  /* of extra, without the owner */
    bool     inherits; /* the owner is that of the directory */
    bool     owned;    /* the owner is known: */
    uint32_t user, group;
    const struct item *other;     /* for a rename: the old or the new item */
} item;

/* One of the two versions. */
typedef struct side {
    const versions_version *version;
    item                   *items;
    size_t                  count;
    size_t                  room;
} side;

typedef struct diff {
    versions_store *store;
    bool            json;
    bool            both_trees;
    bool            by_id; /* both are snapshots: compare contents by their ids */
    side            from;
    side            to;
    versions_diff  *out;
    versions_difference_visit *visit; /* NULL: print */
    void           *user;
    int             status; /* of the visits */
} diff;

/* >>entries ------------------------------------------------------------ */
/* The context of versions_entries_visit(). */
typedef struct reading {
    diff *d;
    side *s;
} reading;

static int hash_bytes(void *user, const void *bytes, size_t size)
{
    dx_cas_blake3_update(user, bytes, size);
    return PROG_OK;
}

static int make_key(const diff *d, const side *s, const versions_entry *e,
                    uint8_t key[PROG_HASH_SIZE])
{
    dx_cas_blake3 hasher;
    int status = PROG_OK;
    dx_cas_blake3_init(&hasher);
    if (e->type != DX_TREE_FILE && e->type != DX_TREE_LINK) {
        memset(key, 0, PROG_HASH_SIZE); /* no content */
        return PROG_OK;
    }
    if (d->by_id && e->node->level != DX_TREE_INLINE) {
        dx_cas_blake3_update(&hasher, &e->node->level, 1);
        dx_cas_blake3_update(&hasher, e->node->id, sizeof e->node->id);
    } else {
        status = versions_entry_stream(d->store, s->version, e, hash_bytes, &hasher);
    }
    dx_cas_blake3_final(&hasher, key, PROG_HASH_SIZE);
    return status;
}

static void hash_extra(const uint8_t *bytes, size_t size, size_t skip_at, size_t skip,
                       uint8_t hash[PROG_HASH_SIZE])
{
    dx_cas_blake3 hasher;
    dx_cas_blake3_init(&hasher);
    dx_cas_blake3_update(&hasher, bytes, skip_at);
    dx_cas_blake3_update(&hasher, bytes + skip_at + skip, size - skip_at - skip);
    dx_cas_blake3_final(&hasher, hash, PROG_HASH_SIZE);
}

static void add_extra(item *i, const dx_tree_entry *node)
{
    const uint8_t *bytes = node->extra_size ? node->extra : (const uint8_t *)"";
    dx_tree_owner owner;
    size_t size = 0;
    const uint8_t *at = dx_tree_find_extra(node, DX_TREE_OWNER, &size);
    hash_extra(bytes, node->extra_size, 0, 0, i->extra);
    hash_extra(bytes, node->extra_size, at ? (size_t)(at - bytes) - EXTRA_HEAD : 0,
               at ? size + EXTRA_HEAD : 0, i->rest);
    i->owned = dx_tree_read_owner(node, &owner);
    i->inherits = !i->owned && !dx_tree_find_extra(node, DX_TREE_SAME, &size);
    if (!i->owned) return;
    i->user = owner.user;
    i->group = owner.group;
}

static item *add_item(side *s, const char *path, int type, unsigned mode, uint64_t size)
{
    if (s->count == s->room) {
        s->room = s->room * 2 + 64;
        s->items = realloc(s->items, s->room * sizeof *s->items);
        if (!s->items) abort();
    }
    item *i = &s->items[s->count++];
    *i = (item){.path = prog_alloc(strlen(path) + 1), .type = type, .mode = mode, .size = size};
    strcpy(i->path, path);
    return i;
}

static int add_entry(void *user, const versions_entry *e)
{
    const reading *r = user;
    item *i = add_item(r->s, e->path, e->type, e->mode, e->size);
    if (r->d->by_id) add_extra(i, e->node);
    return make_key(r->d, r->s, e, i->key);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const item *)a)->path, ((const item *)b)->path);
}

/* The directory itself is ".", which no entry can be called. */
static int add_top(diff *d, side *s)
{
    const versions_version *v = s->version;
    dx_tree_entry root = {.type = DX_TREE_DIR};
    uint8_t *extras = prog_alloc(DX_TREE_EXTRAS_MAX);
    int status = v->snapshot ? versions_snapshot_root(d->store, v->root, &root, extras) : PROG_OK;
    item *top = add_item(s, ".", DX_TREE_DIR, v->mode & 07777, 0);
    if (!status && d->by_id) add_extra(top, &root);
    free(extras);
    return status;
}

/* The item of the directory that an entry is in. */
static const item *find_parent(const side *s, const char *path)
{
    item wanted = {.path = prog_alloc(strlen(path) + 2)};
    strcpy(wanted.path, path);
    char *slash = strrchr(wanted.path, '/');
    if (slash) *slash = 0;
    else strcpy(wanted.path, ".");
    const item *found = bsearch(&wanted, s->items, s->count, sizeof wanted, by_path);
    free(wanted.path);
    return found;
}

/* A directory comes before its entries, except for the top. */
static void inherit_owners(side *s)
{
    for (size_t i = 0; i < s->count; i++) {
        item *one = &s->items[i];
        const item *parent = one->inherits && strcmp(one->path, ".") ? find_parent(s, one->path) : NULL;
        if (!parent) continue;
        one->owned = parent->owned;
        one->user = parent->user;
        one->group = parent->group;
    }
}

/* Read the entries of a tree; a file is one entry, under its name. */
static int read_side(diff *d, side *s)
{
    reading r = {d, s};
    const versions_version *v = s->version;
    if (v->kind != PROG_TREE) {
        item *one = add_item(s, v->name, DX_TREE_FILE, v->mode, v->size);
        memcpy(one->key, v->hash, PROG_HASH_SIZE);
        return PROG_OK;
    }
    int status = d->both_trees ? add_top(d, s) : PROG_OK;
    if (!status)
        status = versions_entries_visit(d->store, v, "", VERSIONS_ENTRIES_ALL, add_entry, &r);
    if (s->count) qsort(s->items, s->count, sizeof *s->items, by_path);
    inherit_owners(s);
    return status;
}

static void free_side(side *s)
{
    for (size_t i = 0; i < s->count; i++) free(s->items[i].path);
    free(s->items);
}

/* >>renames ------------------------------------------------------------
   Files that exist on one side only are sorted by key and paired. */
static int by_key(const void *a, const void *b)
{
    const item *x = *(item *const *)a, *y = *(item *const *)b;
    int order = memcmp(x->key, y->key, PROG_HASH_SIZE);
    return order ? order : strcmp(x->path, y->path);
}

/* The non-empty files whose paths the other side lacks, sorted by key. */
static item **list_single(side *s, const side *other, size_t *count)
{
    item **list = prog_alloc((s->count + 1) * sizeof *list);
    *count = 0;
    for (size_t i = 0; i < s->count; i++) {
        item *one = &s->items[i];
        if (one->type != DX_TREE_FILE || !one->size || !other->count) continue;
        if (bsearch(one, other->items, other->count, sizeof *one, by_path)) continue;
        list[(*count)++] = one;
    }
    if (*count) qsort(list, *count, sizeof *list, by_key);
    return list;
}

static void find_renames(diff *d)
{
    size_t from_count, to_count;
    item **from = list_single(&d->from, &d->to, &from_count);
    item **to = list_single(&d->to, &d->from, &to_count);
    for (size_t i = 0, k = 0; i < from_count && k < to_count;) {
        int order = memcmp(from[i]->key, to[k]->key, PROG_HASH_SIZE);
        if (!order) {
            from[i]->other = to[k];
            to[k]->other = from[i];
        }
        i += order <= 0;
        k += order >= 0;
    }
    free(from);
    free(to);
}

/* >>changes ------------------------------------------------------------ */
/* An owner that is inherited on one side is recorded on the other; has_same_owner() compares these. */
static bool has_same_attributes(const item *a, const item *b)
{
    if (a->inherits != b->inherits) return !memcmp(a->rest, b->rest, PROG_HASH_SIZE);
    return !memcmp(a->extra, b->extra, PROG_HASH_SIZE);
}

static bool has_same_owner(const item *a, const item *b)
{
    return a->owned == b->owned && a->user == b->user && a->group == b->group;
}

static void owner_text(const item *i, char out[32])
{
    if (i->owned) snprintf(out, 32, "%u:%u", i->user, i->group);
    else snprintf(out, 32, "that of its directory");
}

/* was or is may be NULL, as below. */
static void print_json(const char *change, const item *was, const item *is)
{
    const item *one = is ? is : was;
    char mode[8];
    prog_json j;
    prog_json_begin(&j);
    prog_json_text(&j, "change", change);
    prog_json_text(&j, "path", one->path);
    if (was && is && strcmp(was->path, is->path) != 0) prog_json_text(&j, "from", was->path);
    prog_json_text(&j, "type", versions_type_name(one->type));
    if (was) prog_json_number(&j, "size_before", was->size);
    if (is) prog_json_number(&j, "size", is->size);
    if (was && was->mode != one->mode) {
        snprintf(mode, sizeof mode, "%04o", was->mode & 07777);
        prog_json_text(&j, "mode_before", mode);
    }
    snprintf(mode, sizeof mode, "%04o", one->mode & 07777);
    if (!was || was->mode != one->mode) prog_json_text(&j, "mode", mode);
    if (was && was != one && was->owned && !has_same_owner(was, one)) {
        prog_json_number(&j, "user_before", was->user);
        prog_json_number(&j, "group_before", was->group);
    }
    if (one->owned && (!was || was == one || !has_same_owner(was, one))) {
        prog_json_number(&j, "user", one->user);
        prog_json_number(&j, "group", one->group);
    }
    if (was && is) prog_json_flag(&j, "attributes", !has_same_owner(was, is) || !has_same_attributes(was, is));
    prog_json_end(&j);
}

/* Print how the metadata of an entry differ. */
static void print_metadata(const item *was, const item *is)
{
    char before[32], after[32];
    const bool other_owner = !has_same_owner(was, is);
    if (other_owner) {
        owner_text(was, before);
        owner_text(is, after);
        prog_say(", owner %s to %s", before, after);
    }
    if (other_owner ? memcmp(was->rest, is->rest, PROG_HASH_SIZE) != 0
                    : !has_same_attributes(was, is))
        prog_say(", attributes");
    if (was->mode != is->mode)
        prog_say(", mode %04o to %04o", was->mode & 07777, is->mode & 07777);
}

/* was or is may be NULL: the item was added, or removed. */
static void print_change(const diff *d, const char *change, const item *was, const item *is)
{
    const item *one = is ? is : was;
    const bool moved = was && is && strcmp(was->path, is->path) != 0;
    const bool other_size = was && is && was->size != is->size;
    char before[32] = "", size[32] = "";
    if (d->json) {
        print_json(change, was, is);
        return;
    }
    prog_colour(!was ? PROG_GREEN : !is ? PROG_RED : PROG_YELLOW);
    prog_say("%-8s", change);
    prog_colour(PROG_PLAIN);
    prog_count_text(one->size, size);
    if (other_size) prog_count_text(was->size, before);
    prog_say("  %s%s%s%s  (%s%s%s", moved ? was->path : "", moved ? " -> " : "", one->path,
             one->type == DX_TREE_DIR ? "/" : "", before, other_size ? " to " : "",
             one->type == DX_TREE_DIR ? "directory" : size);
    if (was && is) print_metadata(was, is);
    prog_say(")\n");
}

static bool is_same(const item *a, const item *b)
{
    return a->type == b->type && a->mode == b->mode && a->size == b->size &&
           !memcmp(a->key, b->key, PROG_HASH_SIZE) && has_same_owner(a, b) && has_same_attributes(a, b);
}

static void visit_change(diff *d, const item *was, const item *is)
{
    const item *one = is ? is : was;
    const bool both = was && is;
    if (d->status) return;
    const versions_difference found = {
        .path = one->path, .was = was != NULL, .is = is != NULL, .was_type = was ? was->type : 0, .type = one->type,
        .mode = one->mode, .size = one->size, .modes = both && was->mode != is->mode,
        .content = !both || was->type != is->type || was->size != is->size ||
                   memcmp(was->key, is->key, PROG_HASH_SIZE) != 0};
    d->status = d->visit(d->user, &found);
}

/* Print an item that only one side has. */
static void print_single(diff *d, const item *was, const item *is)
{
    if (d->visit) {
        visit_change(d, was, is);
    } else if (is && is->other) {
        d->out->renamed++;
        print_change(d, "renamed", is->other, is);
    } else if (is) {
        d->out->added++;
        print_change(d, "added", NULL, is);
    } else if (!was->other) {
        d->out->removed++;
        print_change(d, "removed", was, NULL);
    }
}

/* The merge order: below 0 was comes first, above 0 is; 0: they are the same entry. */
static int order_of(const diff *d, const item *was, const item *is)
{
    const int from = d->from.version->kind, to = d->to.version->kind;
    if (!was || !is) return was ? -1 : 1;
    if (from != to) return -1; /* a file was replaced by a tree, or a tree by a file */
    return from == PROG_FILE ? 0 : strcmp(was->path, is->path);
}

static void print_changes(diff *d)
{
    const item *was = d->from.items, *was_end = was + d->from.count;
    const item *is = d->to.items, *is_end = is + d->to.count;
    while (was < was_end || is < is_end) {
        int order = order_of(d, was < was_end ? was : NULL, is < is_end ? is : NULL);
        if (order < 0) print_single(d, was, NULL);
        else if (order > 0) print_single(d, NULL, is);
        else if (!is_same(was, is)) {
            d->out->changed++;
            if (d->visit) visit_change(d, was, is);
            else print_change(d, "changed", was, is);
        }
        was += order <= 0;
        is += order >= 0;
    }
}

/* >>diff --------------------------------------------------------------- */
static int compare(diff *d, const versions_version *from, const versions_version *to)
{
    d->by_id = from->snapshot && to->snapshot;
    d->both_trees = from->kind == PROG_TREE && to->kind == PROG_TREE;
    d->from.version = from;
    d->to.version = to;
    *d->out = (versions_diff){0};
    int status = read_side(d, &d->from);
    if (!status) status = read_side(d, &d->to);
    if (!status && d->both_trees && !d->visit) find_renames(d);
    if (!status) print_changes(d);
    free_side(&d->from);
    free_side(&d->to);
    return status ? status : d->status;
}

int versions_diff_print(versions_store *s, const versions_version *from, const versions_version *to,
                        bool json, versions_diff *out)
{
    diff d = {.store = s, .json = json, .out = out};
    return compare(&d, from, to);
}

int versions_diff_visit(versions_store *s, const versions_version *from, const versions_version *to,
                        versions_difference_visit *visit, void *user)
{
    versions_diff counts;
    diff d = {.store = s, .out = &counts, .visit = visit, .user = user};
    return compare(&d, from, to);
}
