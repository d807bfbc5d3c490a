/* Puts snapshots into a store that `dxup publish` would never make.
   usage: dxup_craft STORE NAME CASE */
#include "../../programs/dxup/tree/tree.h"

#include <string.h>

enum { ENTRIES_MAX = 8, CHUNK = 65536 };

static dxup_store *store;
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
    if (dxup_object_put(store, bytes, CHUNK, e->id)) e->type = 0;
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
    int status = dxup_object_put(store, bytes, sizeof bytes, object);
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
    } else if (!strcmp(what, "same-link")) { /* to what a link leads to */
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
    } else if (!strcmp(what, "setuid")) { /* nobody says whose */
        add(DX_TREE_FILE, "a", "one")->mode = 06755;
    } else {
        return PROG_USAGE;
    }
    return PROG_OK;
}

static int put(dxup_version *v)
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
    int status = dxup_object_put(store, bytes, size, root.id);
    if (status) return status;
    int error = dx_tree_write_snapshot(&root, true, bytes, sizeof bytes, &size);
    if (error) return prog_fail(PROG_USAGE, "%s", dx_tree_error_name(error));
    v->size = root.size + DXUP_STREAM_EXTRA;
    status = dxup_object_put(store, bytes, size, v->root);
    return status ? status : dxup_version_add(store, v);
}

int main(int argc, char **argv)
{
    dxup_version v = {.kind = PROG_TREE, .snapshot = true, .mode = 0755};
    prog_begin("dxup_craft", &argc, &argv);
    if (argc != 4) return PROG_USAGE;
    snprintf(v.name, sizeof v.name, "%s", argv[2]);
    int status = dxup_store_open(&store, argv[1], DXUP_CREATE);
    if (!status) status = make(argv[3]);
    if (!status) status = put(&v);
    dxup_store_close(store);
    return prog_end(status);
}
