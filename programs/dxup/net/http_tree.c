/* Files and directories of published trees for HTTP. See http_tree.h. */
#include "http_tree.h"

#include "../../common/os.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { STOP = 1000 }; /* ends a visit early; not a status of common.h */

/* >>find ------------------------------------------------------------------- */
typedef struct finding {
    versions_store *store;
    dxup_found     *out;
    bool            other; /* a link, a fifo or a device */
} finding;

static int open_entry(void *user, const versions_entry *e)
{
    finding *f = user;
    f->other = e->type != DX_TREE_FILE;
    if (f->other) return STOP;
    f->out->size = e->size;
    const int status = versions_entry_reader_open(&f->out->reader, f->store, &f->out->version, e);
    return status ? status : STOP;
}

/* Find the tree named asked[0..size). */
static int find_tree(versions_store *s, const char *asked, size_t size, dxup_found *out)
{
    char text[PROG_NAME_SIZE_MAX + 1], name[PROG_NAME_SIZE_MAX + 1];
    uint64_t version;
    if (!size || size > PROG_NAME_SIZE_MAX) return PROG_NOT_FOUND;
    memcpy(text, asked, size);
    text[size] = 0;
    versions_split_version(text, name, &version);
    out->fixed = version != 0;
    if (!version && versions_has_version(text)) return PROG_NOT_FOUND; /* @0 */
    const int status = versions_version_find(s, name, version, &out->version);
    return !status && out->version.kind != PROG_TREE ? PROG_NOT_FOUND : status;
}

/* Find the longest prefix that names a tree; *size: its bytes. */
static int find_longest(versions_store *s, const char *asked, size_t *size, dxup_found *out)
{
    const size_t all = strlen(asked);
    size_t end = all < PROG_NAME_SIZE_MAX + 1 ? all : PROG_NAME_SIZE_MAX + 1;
    for (;; end--) {
        const bool ends = end == all || asked[end] == '/';
        const int status = ends ? find_tree(s, asked, end, out) : PROG_NOT_FOUND;
        *size = end;
        if (status != PROG_NOT_FOUND || !end) return status;
    }
}

/* Append text, percent-encoded except for letters, digits and "-._~". */
static void put_encoded(prog_line *l, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        char code[4];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            (c && strchr("-._~", c))) {
            prog_line_put(l, text + i, 1);
        } else {
            snprintf(code, sizeof code, "%%%02X", c);
            prog_line_put_text(l, code);
        }
    }
}

/* Set the location to the same path with a slash. For the top directory it is absolute, because a
   name may contain slashes. */
static void set_location(dxup_found *out, const char *name, size_t name_size)
{
    prog_line l;
    const char *slash = strrchr(out->path, '/'), *last = slash ? slash + 1 : out->path;
    prog_line_begin(&l);
    prog_line_put_text(&l, *last ? "./" : "/");
    if (*last) put_encoded(&l, last, strlen(last));
    else put_encoded(&l, name, name_size);
    prog_line_put_text(&l, "/");
    const size_t size = l.size <= DXUP_LOCATION_MAX ? l.size : 0;
    memcpy(out->location, l.bytes, size);
    out->location[size] = 0;
    prog_line_free(&l);
}

int dxup_tree_find(versions_store *s, char *asked, dxup_found *out)
{
    finding f = {.store = s, .out = out};
    size_t name_size;
    memset(out, 0, sizeof *out);
    int status = find_longest(s, asked, &name_size, out);
    if (status) return status == PROG_NOT_FOUND ? 404 : 500;
    char *path = asked + name_size + (asked[name_size] == '/');
    const bool slash = asked[strlen(asked) - 1] == '/';
    if (*path == '/') return 404; /* an empty component: the next line would strip its slash */
    if (*path && slash) path[strlen(path) - 1] = 0;
    if (!versions_entry_path_is_valid(path)) return 404;
    out->path = path;
    status = versions_entries_visit(s, &out->version, path, 0, open_entry, &f);
    if (status == PROG_NOT_FOUND || f.other) return 404;
    if (status && status != STOP) return 500;
    out->directory = !status;
    if (out->directory) {
        set_location(out, asked, name_size);
        return slash ? 200 : 302;
    }
    uint8_t tag[PROG_HASH_SIZE];
    versions_entry_reader_tag(out->reader, tag);
    prog_hash_text(tag, out->tag);
    if (!slash) return 200;
    versions_entry_reader_close(out->reader); /* a slash after a file */
    out->reader = NULL;
    return 404;
}

/* >>index ------------------------------------------------------------------ */
typedef struct index_page {
    prog_line *page;
    size_t     top;     /* of path: bytes of this directory, with its slash */
    uint64_t   seen;    /* entries on the page */
    char       next[PROG_NAME_SIZE_MAX + 1]; /* the first entry that does not fit; "": all do */
} index_page;

/* Append text for display, escaped for HTML. */
static void put_text(prog_line *l, const char *text, size_t size)
{
    prog_line visible;
    prog_line_begin(&visible);
    prog_line_put_visible(&visible, text, size);
    for (size_t i = 0; i < visible.size; i++) {
        switch (visible.bytes[i]) {
        case '&': prog_line_put_text(l, "&amp;"); break;
        case '<': prog_line_put_text(l, "&lt;"); break;
        case '>': prog_line_put_text(l, "&gt;"); break;
        case '"': prog_line_put_text(l, "&quot;"); break;
        case '\'': prog_line_put_text(l, "&#39;"); break;
        default: prog_line_put(l, visible.bytes + i, 1); break;
        }
    }
    prog_line_free(&visible);
}

static void begin_page(prog_line *l, const char *title, size_t size)
{
    prog_line_put_text(l, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
                          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                          "<title>");
    put_text(l, title, size);
    prog_line_put_text(l, "</title>\n<style>:root { color-scheme: light dark; } "
                          "body { font: 16px/1.45 system-ui, sans-serif; margin: 1.5rem; } "
                          "td, th { text-align: left; padding: 0 1.5rem 0 0; } "
                          "td { font-variant-numeric: tabular-nums; } "
                          ".right { text-align: right; }</style>\n<h1>");
    put_text(l, title, size);
    prog_line_put_text(l, "</h1>\n<table>\n<tr><th>name<th class=\"right\">bytes<th>time (UTC)\n");
}

static void end_page(const index_page *i)
{
    prog_line_put_text(i->page, "</table>\n");
    if (*i->next) {
        prog_line_put_text(i->page, "<p><a href=\"?from=");
        put_encoded(i->page, i->next, strlen(i->next));
        prog_line_put_text(i->page, "\">more</a>\n");
    }
    prog_line_put_text(i->page, "</html>\n");
}

/* Does one more entry, of this name, fit? */
static bool has_room(index_page *i, const char *name)
{
    if (i->seen < DXUP_INDEX_ENTRIES_MAX && i->page->size < DXUP_INDEX_SIZE_MAX) return true;
    snprintf(i->next, sizeof i->next, "%s", name);
    return false;
}

/* Append a row. reference: make it a link, for entries that can be requested. suffix: "/" for a
   directory, "@" for a link. */
static void put_row(index_page *i, const char *name, bool reference, const char *suffix,
                    const uint64_t *size, const int64_t *time_ns)
{
    char text[32];
    prog_line *l = i->page;
    prog_line_put_text(l, "<tr><td>");
    if (reference) {
        prog_line_put_text(l, "<a href=\"./");
        put_encoded(l, name, strlen(name));
        prog_line_put_text(l, suffix);
        prog_line_put_text(l, "\">");
    }
    put_text(l, name, strlen(name));
    prog_line_put_text(l, suffix);
    prog_line_put_text(l, reference ? "</a><td class=\"right\">" : "<td class=\"right\">");
    if (size) prog_line_put_text(l, prog_count_text(*size, text));
    prog_line_put_text(l, "<td>");
    if (time_ns) os_time_text(*time_ns, text);
    if (time_ns) prog_line_put_text(l, text);
    prog_line_put_text(l, "\n");
}

static int list_entry(void *user, const versions_entry *e)
{
    index_page *i = user;
    const bool file = e->type == DX_TREE_FILE, directory = e->type == DX_TREE_DIR;
    assert(strlen(e->path) > i->top);
    if (!has_room(i, e->path + i->top)) return STOP;
    put_row(i, e->path + i->top, file || directory,
            directory ? "/" : e->type == DX_TREE_LINK ? "@" : "", file ? &e->size : NULL,
            e->has_time ? &e->mtime_ns : NULL);
    i->seen++;
    return PROG_OK;
}

int dxup_tree_index(versions_store *s, const dxup_found *found, const char *from, prog_line *page)
{
    index_page i = {.page = page};
    prog_line title;
    const size_t size = strlen(found->path);
    assert(found->directory);
    i.top = size ? size + 1 : 0;
    prog_line_begin(&title);
    prog_line_put_text(&title, found->version.name);
    prog_line_put_text(&title, "/");
    prog_line_put(&title, found->path, size);
    begin_page(page, title.bytes, title.size);
    prog_line_free(&title);
    prog_line_put_text(page, "<tr><td><a href=\"../\">../</a><td><td>\n");
    const int status = versions_entries_visit_from(s, &found->version, found->path, 1, from,
                                                   list_entry, &i);
    if (status && status != STOP) return status;
    end_page(&i);
    return PROG_OK;
}

int dxup_names_index(versions_store *s, const char *from, prog_line *page)
{
    index_page i = {.page = page};
    versions_version *list = NULL;
    size_t count = 0;
    int status = versions_version_list(s, &list, &count);
    begin_page(page, "Names", 5);
    size_t at = 0;
    while (!status && at < count && strcmp(list[at].name, from) < 0) at++;
    for (; !status && at < count && has_room(&i, list[at].name); at++, i.seen++) {
        const versions_version *v = &list[at];
        put_row(&i, v->name, true, v->kind == PROG_TREE ? "/" : "", &v->size, &v->time_ns);
    }
    free(list);
    end_page(&i);
    return status;
}
