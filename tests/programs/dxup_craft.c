/* Puts snapshots into a store that `dxup publish` would never make: of entries that no such
   directory has (make), and of bytes that are no snapshot at all (make_raw). Case version-of:OTHER gives
   a name that is refused today the latest version of another one.
   usage: dxup_craft STORE NAME CASE */
#include "../../programs/versions/tree/tree.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 8, CHUNK = 65536 };

static versions_store *store;
static dx_tree_entry entries[ENTRIES_MAX];
static uint8_t extras[ENTRIES_MAX][8192];
static size_t used[ENTRIES_MAX];
static unsigned count;

static dx_tree_entry *add(int type, const char *name, const char *content)
{
    dx_tree_entry *e = &entries[count++];
    e->type = (uint8_t)type;
    e->level = DX_TREE_INLINE;
    e->mode = type == DX_TREE_LINK ? 0777 : 0644;
    e->name = name;
    e->name_size = (uint16_t)strlen(name);
    e->data = content;
    e->size = strlen(content);
    return e;
}

/* A file of one chunk, all bytes of which are `byte`. */
static dx_tree_entry *add_chunk(const char *name, int byte)
{
    static uint8_t bytes[CHUNK];
    dx_tree_entry *e = add(DX_TREE_FILE, name, "");
    memset(bytes, byte, sizeof bytes);
    e->level = 0;
    e->size = CHUNK;
    if (versions_object_put(store, bytes, CHUNK, e->id)) e->type = 0;
    return e;
}

static void extra(int kind, const void *bytes, size_t size)
{
    unsigned i = count - 1;
    dx_tree_put_extra(extras[i], sizeof extras[i], &used[i], kind, bytes, size);
    entries[i].extra = extras[i];
    entries[i].extra_size = (uint16_t)used[i];
}

static void same(unsigned up, const char *path)
{
    uint8_t bytes[4097] = {(uint8_t)up, 0};
    memcpy(bytes + 2, path, strlen(path));
    extra(DX_TREE_SAME, bytes, 2 + strlen(path));
}

/* Holes, or attributes, as an object of 2,000 equal bytes. */
static int extra_object(int kind, int byte)
{
    uint8_t bytes[2000], object[36] = {0};
    memset(bytes, byte, sizeof bytes);
    object[32] = 2000 & 255;
    object[33] = 2000 >> 8;
    int status = versions_object_put(store, bytes, sizeof bytes, object);
    extra(kind, object, sizeof object);
    return status;
}

static int make(const char *what)
{
    if (!strcmp(what, "same-above")) {
        add(DX_TREE_FILE, "a", "one");
        add(DX_TREE_FILE, "b", "one");
        same(1, "a");
    } else if (!strcmp(what, "same-missing")) {
        add(DX_TREE_FILE, "b", "one");
        same(0, "a");
    } else if (!strcmp(what, "same-later")) {
        add(DX_TREE_FILE, "a", "one");
        same(0, "b");
        add(DX_TREE_FILE, "b", "one");
    } else if (!strcmp(what, "same-itself")) {
        add(DX_TREE_FILE, "a", "one");
        same(0, "a");
    } else if (!strcmp(what, "same-other")) {
        add(DX_TREE_FILE, "a", "one");
        add(DX_TREE_FILE, "b", "two");
        same(0, "a");
    } else if (!strcmp(what, "same-mode")) {
        add(DX_TREE_FILE, "a", "one");
        add(DX_TREE_FILE, "b", "one")->mode = 0600;
        same(0, "a");
    } else if (!strcmp(what, "same-link")) { /* to the target of a link */
        add(DX_TREE_LINK, "a", "../outside");
        add(DX_TREE_FILE, "b", "one");
        same(0, "a/secret");
    } else if (!strcmp(what, "same-twice")) {
        add(DX_TREE_FILE, "a", "one");
        add(DX_TREE_FILE, "b", "one");
        same(0, "a");
        add(DX_TREE_FILE, "c", "one");
        same(0, "b");
    } else if (!strcmp(what, "hole-content")) {
        add_chunk("a", 'x');
        extra(DX_TREE_HOLES, "\0\1", 2);
    } else if (!strcmp(what, "hole-object")) {
        add_chunk("a", 0);
        return extra_object(DX_TREE_HOLES_ID, 0);
    } else if (!strcmp(what, "xattr-object")) {
        add(DX_TREE_FILE, "a", "one");
        return extra_object(DX_TREE_XATTRS_ID, 0);
    } else if (!strcmp(what, "xattr-other")) {
        add(DX_TREE_FILE, "a", "one");
        extra(DX_TREE_XATTRS, "\20\1security.selinuxx", 19);
    } else if (!strcmp(what, "setuid")) { /* without an owner */
        add(DX_TREE_FILE, "a", "one")->mode = 06755;
    } else {
        return PROG_USAGE;
    }
    return PROG_OK;
}

/* >>raw: byte by byte, because dx_tree.h refuses to write these ---------------- */
static uint8_t piece[32768];
static size_t piece_size;

static void number(uint8_t *at, uint64_t v, unsigned size)
{
    for (unsigned i = 0; i < size; i++) at[i] = (uint8_t)(v >> (8 * i) & 0xff);
}

static void append(const void *bytes, size_t size)
{
    memcpy(piece + piece_size, bytes, size);
    piece_size += size;
}

/* One more entry of the piece. tail: the bytes after the name, and the count of a directory. */
static void raw(int type, int level, unsigned mode, const char *name, size_t name_size,
                uint64_t size, const void *tail, size_t tail_size)
{
    uint8_t head[24] = {(uint8_t)type, (uint8_t)level};
    const uint8_t none[8] = {0};
    number(head + 2, mode, 2);
    number(head + 4, name_size, 2);
    number(head + 16, size, 8);
    append(head, sizeof head);
    append(name, name_size);
    if (type == DX_TREE_DIR) append(none, sizeof none);
    append(tail, tail_size);
}

static void raw_file(const char *name, size_t name_size)
{
    raw(DX_TREE_FILE, DX_TREE_INLINE, 0644, name, name_size, 3, "one", 3);
}

/* A list of two children of the same id. */
static void raw_list(int level, const uint8_t child[32], uint64_t each, uint64_t total,
                     uint8_t id[32])
{
    uint8_t list[96] = {(uint8_t)level};
    number(list + 4, 2, 4);
    number(list + 8, total, 8);
    for (unsigned i = 0; i < 2; i++) {
        memcpy(list + 16 + 40 * i, child, 32);
        number(list + 48 + 40 * i, each, 8);
    }
    if (versions_object_put(store, list, sizeof list, id)) abort();
}

/* Names and entries with invalid values. */
static bool make_names(const char *what)
{
    if (!strcmp(what, "name-up")) raw_file("..", 2);
    else if (!strcmp(what, "name-dot")) raw_file(".", 1);
    else if (!strcmp(what, "name-slash")) raw_file("../outside/secret", 17);
    else if (!strcmp(what, "name-root")) raw_file("/tmp/dxup-was-here", 18);
    else if (!strcmp(what, "name-zero")) raw_file("a\0b", 3);
    else if (!strcmp(what, "name-empty")) raw_file("", 0);
    else if (!strcmp(what, "name-long")) raw_file((const char *)memset(extras, 'n', 300), 300);
    else if (!strcmp(what, "type-9")) raw(9, DX_TREE_INLINE, 0644, "a", 1, 3, "one", 3);
    else if (!strcmp(what, "mode-high")) raw(1, DX_TREE_INLINE, 0100644, "a", 1, 3, "one", 3);
    else if (!strcmp(what, "link-empty")) raw(DX_TREE_LINK, DX_TREE_INLINE, 0777, "a", 1, 0, "", 0);
    else if (!strcmp(what, "link-zero"))
        raw(DX_TREE_LINK, DX_TREE_INLINE, 0777, "a", 1, 3, "a\0b", 3);
    else if (!strcmp(what, "inline-long"))
        raw(DX_TREE_FILE, DX_TREE_INLINE, 0644, "a", 1, 100, extras, 100);
    else if (!strcmp(what, "cut")) raw(DX_TREE_FILE, DX_TREE_INLINE, 0644, "a", 1, 30, "one", 3);
    else return false;
    return true;
}

/* Entries that must not be siblings. */
static bool make_pairs(const char *what)
{
    if (!strcmp(what, "name-twice")) {
        raw_file("a", 1);
        raw_file("a", 1);
    } else if (!strcmp(what, "names-descend")) {
        raw_file("b", 1);
        raw_file("a", 1);
    } else if (!strcmp(what, "link-and-dir")) { /* through which the second would be written */
        uint8_t id[32];
        raw_file("secret", 6);
        if (versions_object_put(store, piece, piece_size, id)) abort();
        piece_size = 0;
        raw(DX_TREE_LINK, DX_TREE_INLINE, 0777, "a", 1, 10, "../outside", 10);
        raw(DX_TREE_DIR, 0, 0755, "a", 1, 25, id, 32);
    } else {
        return false;
    }
    return true;
}

/* Contents that do not match their entry. */
static bool make_contents(const char *what)
{
    static uint8_t bytes[200000];
    uint8_t chunk[32], large[32], list[32];
    memset(bytes, 'x', sizeof bytes);
    if (versions_object_put(store, bytes, CHUNK, chunk) ||
        versions_object_put(store, bytes, sizeof bytes, large))
        abort();
    raw_list(1, chunk, CHUNK, 2 * CHUNK, list);
    if (!strcmp(what, "dir-is-chunk")) raw(DX_TREE_DIR, 0, 0755, "a", 1, 20, chunk, 32);
    else if (!strcmp(what, "dir-is-list")) raw(DX_TREE_DIR, 0, 0755, "a", 1, 20, list, 32);
    else if (!strcmp(what, "list-is-chunk")) raw(DX_TREE_FILE, 1, 0644, "a", 1, CHUNK, chunk, 32);
    else if (!strcmp(what, "list-is-lower")) /* level 2, and its children are chunks */
        raw(DX_TREE_FILE, 2, 0644, "a", 1, 2 * CHUNK, list, 32);
    else if (!strcmp(what, "level-9")) raw(DX_TREE_FILE, 9, 0644, "a", 1, 2 * CHUNK, list, 32);
    else if (!strcmp(what, "file-size")) raw(DX_TREE_FILE, 1, 0644, "a", 1, CHUNK, list, 32);
    else if (!strcmp(what, "chunk-size")) raw(DX_TREE_FILE, 0, 0644, "a", 1, 100, chunk, 32);
    else if (!strcmp(what, "chunk-large"))
        raw(DX_TREE_FILE, 0, 0644, "a", 1, sizeof bytes, large, 32);
    else if (!strcmp(what, "file-small")) raw(DX_TREE_FILE, 0, 0644, "a", 1, 5, chunk, 32);
    else if (!strncmp(what, "sum-", 4)) {
        if (!strcmp(what, "sum-children")) raw_list(1, chunk, 100, 200, list);
        else if (!strcmp(what, "sum-total")) raw_list(1, chunk, CHUNK, CHUNK, list);
        else if (!strcmp(what, "sum-around")) raw_list(1, chunk, UINT64_C(1) << 63, 0, list);
        else if (!strcmp(what, "sum-below")) /* lists of less than their parent says */
            raw_list(2, list, 100000, 200000, list);
        else return false;
        uint64_t size = !strcmp(what, "sum-total") ? CHUNK
                        : !strcmp(what, "sum-around") ? 0 : !strcmp(what, "sum-below") ? 200000
                                                                                      : 200;
        raw(DX_TREE_FILE, !strcmp(what, "sum-below") ? 2 : 1, 0644, "a", 1, size, list, 32);
    } else {
        return false;
    }
    return true;
}

/* Nested directories, more than can be made; their sums are right. */
static void make_deep(dx_tree_entry *root)
{
    dx_tree_entry dir = {.type = DX_TREE_DIR, .mode = 0755, .name = "d", .name_size = 1};
    for (unsigned i = 0; i < 300; i++) {
        size_t size = 0;
        dx_tree_entry above = {.type = DX_TREE_DIR, .mode = 0755, .name = "d", .name_size = 1};
        if (i && dx_tree_write_entry(&dir, piece, sizeof piece, &size)) abort();
        if (i) dx_tree_add_up(&above, &dir);
        if (versions_object_put(store, piece, size, above.id)) abort();
        dir = above;
    }
    *root = dir;
    root->name = "";
    root->name_size = 0;
}

/* Two directories in each, 30 levels: 32 objects that describe 2^31 - 2 directories. lie: each
   claims to have at most one entry below it. */
static void make_bomb(dx_tree_entry *root, bool lie)
{
    dx_tree_entry dir = {.type = DX_TREE_DIR, .mode = 0755};
    if (versions_object_put(store, piece, 0, dir.id)) abort();
    for (unsigned i = 0; i < 30; i++) {
        dx_tree_entry above = {.type = DX_TREE_DIR, .mode = 0755};
        size_t size = 0, one;
        for (unsigned k = 0; k < 2; k++) {
            dir.name = k ? "b" : "a";
            dir.name_size = 1;
            if (dx_tree_write_entry(&dir, piece + size, sizeof piece - size, &one)) abort();
            if (dx_tree_add_up(&above, &dir)) abort();
            size += one;
        }
        if (versions_object_put(store, piece, size, above.id)) abort();
        if (lie) above.count = 1;
        if (lie) above.size = 17;
        dir = above;
    }
    *root = dir;
    root->name_size = 0;
}

/* A file of 2^(16 + LEVELS) bytes whose lists have the same child twice. */
static void make_large(dx_tree_entry *root)
{
    enum { LEVELS = DX_TREE_LEVELS_MAX };
    static uint8_t chunk[CHUNK], list[16 + 40 * DX_TREE_LIST_CHILDREN_MAX];
    uint8_t id[32];
    uint64_t size = CHUNK;
    if (versions_object_put(store, chunk, CHUNK, id)) abort();
    for (unsigned level = 1; level <= LEVELS && size < UINT64_C(1) << 50; level++) {
        number(list, level, 1);
        number(list + 4, DX_TREE_LIST_CHILDREN_MAX, 4);
        number(list + 8, size * DX_TREE_LIST_CHILDREN_MAX, 8);
        for (unsigned i = 0; i < DX_TREE_LIST_CHILDREN_MAX; i++) {
            memcpy(list + 16 + 40 * i, id, 32);
            number(list + 48 + 40 * i, size, 8);
        }
        size *= DX_TREE_LIST_CHILDREN_MAX;
        if (versions_object_put(store, list, sizeof list, id)) abort();
        root->level = (uint8_t)level; /* of the file, temporarily */
    }
    raw(DX_TREE_FILE, root->level, 0644, "a", 1, size, id, 32);
    root->level = 0;
    root->size = 17 + size;
}

/* The version's hash matches nothing: servers that compute it would refuse. */
static bool make_raw(const char *what, versions_version *v)
{
    dx_tree_entry root = {.type = DX_TREE_DIR, .mode = 0755, .size = 20, .count = 1};
    uint8_t bytes[8192];
    size_t size = 0;
    const bool bomb = !strncmp(what, "bomb", 4);
    if (!strcmp(what, "deep")) make_deep(&root);
    else if (!strcmp(what, "large")) make_large(&root);
    else if (bomb) make_bomb(&root, !strcmp(what, "bomb-lies"));
    else if (!strcmp(what, "dir-size") || !strcmp(what, "dir-count")) raw_file("a", 1);
    else if (!make_names(what) && !make_pairs(what) && !make_contents(what)) return false;
    if (!strcmp(what, "dir-count")) root.count = 2;
    if (!strcmp(what, "dir-size")) root.size = 21;
    if (strcmp(what, "deep") != 0 && !bomb && versions_object_put(store, piece, piece_size, root.id)) abort();
    if (dx_tree_write_snapshot(&root, false, bytes, sizeof bytes, &size) ||
        versions_object_put(store, bytes, size, v->root))
        abort();
    v->size = root.size + VERSIONS_STREAM_EXTRA;
    memset(v->hash, 0x11, sizeof v->hash);
    return true;
}

static int put(versions_version *v)
{
    uint8_t bytes[8192];
    dx_tree_entry root = {.type = DX_TREE_DIR, .mode = 0755};
    size_t size = 0, one;
    for (unsigned i = 0; i < count; i++) {
        int error = dx_tree_write_entry(&entries[i], bytes + size, sizeof bytes - size, &one);
        if (error) return prog_fail(PROG_USAGE, "%s", dx_tree_error_name(error));
        size += one;
        dx_tree_add_up(&root, &entries[i]);
    }
    int status = versions_object_put(store, bytes, size, root.id);
    if (status) return status;
    int error = dx_tree_write_snapshot(&root, true, bytes, sizeof bytes, &size);
    if (error) return prog_fail(PROG_USAGE, "%s", dx_tree_error_name(error));
    v->size = root.size + VERSIONS_STREAM_EXTRA;
    status = versions_object_put(store, bytes, size, v->root);
    return status ? status : versions_version_add(store, v);
}

int main(int argc, char **argv)
{
    versions_version v = {.kind = PROG_TREE, .snapshot = true, .mode = 0755};
    prog_begin("dxup_craft", &argc, &argv);
    if (argc != 4) return PROG_USAGE;
    snprintf(v.name, sizeof v.name, "%s", argv[2]);
    int status = versions_store_open(&store, argv[1], VERSIONS_CREATE);
    static const char copy[] = "version-of:";
    if (!status && !strncmp(argv[3], copy, sizeof copy - 1)) {
        status = versions_version_find(store, argv[3] + sizeof copy - 1, 0, &v);
        snprintf(v.name, sizeof v.name, "%s", argv[2]);
        if (!status) status = versions_version_add(store, &v);
    } else if (!status && make_raw(argv[3], &v)) {
        status = versions_version_add(store, &v);
    } else if (!status) {
        status = make(argv[3]);
        if (!status) status = put(&v);
    }
    versions_store_close(store);
    return prog_end(status);
}
