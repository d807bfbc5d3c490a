/* One capture. The directory is published as a snapshot (tree/publish.c) while it changes: files
   that are as the last capture saw them are not read, those that change while they are read are
   read again. The version is added by one commit, so a capture is there as a whole or not at
   all. */
#include "keep.h"

#include "../common/json.h"
#include "../common/os.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* >>store -------------------------------------------------------------- */
static int open_store(keep_capture *c)
{
    if (c->store) return PROG_OK;
    int status = dxup_store_open(&c->store, c->o->store, DXUP_CREATE);
    if (status) c->store = NULL;
    return status;
}

void keep_capture_close(keep_capture *c)
{
    if (c->store) dxup_store_close(c->store);
    c->store = NULL;
}

/* >>capture ------------------------------------------------------------ */
static void warn_of_torn(void *user, const char *path)
{
    const keep_capture *c = user;
    if (!c->o->quiet) prog_warn("%s changed during every read: the version has parts of it from "
                                "several moments", path);
}

static void warn_of_losses(keep_capture *c)
{
    const dxup_losses *lost = &c->found.lost;
    char count[32];
    if (c->warned || c->o->quiet) return;
    c->warned = lost->xattrs || lost->sockets || lost->holes || lost->closed;
    if (lost->closed)
        prog_warn("not kept: %s entries that must not be read (the first is %s)",
                  prog_count_text(lost->closed, count), lost->shut);
    if (lost->xattrs)
        prog_warn("not kept: %s extended attributes that are too large or cannot be read",
                  prog_count_text(lost->xattrs, count));
    if (lost->sockets)
        prog_warn("not kept: sockets (%s; the first is %s)", prog_count_text(lost->sockets, count),
                  lost->socket);
    if (lost->holes)
        prog_warn("not kept: holes (in %s files; they are filled with zeros)",
                  prog_count_text(lost->holes, count));
}

static int publish(keep_capture *c, dxup_seen *seen)
{
    const keep_options *o = c->o;
    dxup_tree_publish_desc desc = {
        .path = o->directory, .name = o->directory, .seen = seen, .rules = &o->rules,
        .workers = o->workers, .leave = o->leave, .torn = warn_of_torn, .torn_user = c};
    if (c->has_last && c->last.snapshot) desc.last = c->last.root;
    return dxup_tree_publish(c->store, &desc, &c->found);
}

/* The version, unless it equals the latest one. */
static int add_version(keep_capture *c, unsigned mode)
{
    dxup_version v = {.kind = PROG_TREE, .mode = mode, .snapshot = true, .size = c->found.size};
    if (c->has_last && c->last.snapshot && c->last.mode == mode &&
        !memcmp(c->last.root, c->found.root, sizeof v.root))
        return PROG_OK;
    snprintf(v.name, sizeof v.name, "%s", c->o->name);
    memcpy(v.root, c->found.root, sizeof v.root);
    v.torn = c->found.torn < UINT32_MAX ? (uint32_t)c->found.torn : UINT32_MAX;
    int status = dxup_version_add(c->store, &v);
    if (status) return status;
    c->last = v;
    c->has_last = c->added = true;
    return PROG_OK;
}

/* What was seen is saved after the version is committed: losing it costs time only. */
static int capture(keep_capture *c, unsigned mode)
{
    int status = dxup_version_find(c->store, c->o->name, 0, &c->last);
    if (status && status != PROG_NOT_FOUND) return status;
    c->has_last = !status;
    dxup_seen *seen = dxup_seen_open(dxup_store_path(c->store), c->o->name);
    status = publish(c, seen);
    if (!status) status = add_version(c, mode);
    if (!status) dxup_seen_save(seen, c->found.root);
    dxup_seen_close(seen);
    return status;
}

int keep_capture_now(keep_capture *c)
{
    os_info info;
    c->added = false;
    if (os_look(c->o->directory, true, &info) < 0 || info.kind != OS_FOLDER) return PROG_NOT_FOUND;
    int status = open_store(c);
    if (status) return status;
    const uint64_t before = dxup_store_size(c->store);
    status = capture(c, info.mode);
    if (!status) {
        c->grown = dxup_store_size(c->store) - before;
        warn_of_losses(c);
        return PROG_OK;
    }
    keep_capture_close(c); /* what it has appended is not committed: the next one cuts it off */
    return status;
}

/* >>command ------------------------------------------------------------ */
void keep_capture_print(const keep_capture *c)
{
    char size[32], grown[32], read[32], files[32], when[40];
    prog_json j;
    assert(c->has_last);
    if (c->o->json) {
        prog_json_begin(&j);
        prog_json_number(&j, "version", c->last.version);
        prog_json_flag(&j, "unchanged", !c->added);
        prog_json_time(&j, "time", c->last.time_ns);
        prog_json_number(&j, "size", c->last.size);
        prog_json_number(&j, "added", c->grown);
        prog_json_number(&j, "files", c->found.files);
        prog_json_number(&j, "files_read", c->found.read_files);
        prog_json_number(&j, "torn", c->found.torn);
        prog_json_end(&j);
        return;
    }
    keep_moment_text(c->last.time_ns, when);
    prog_say("%llu %s: %s bytes, %s; %s of %s files were read\n",
             (unsigned long long)c->last.version, when, prog_count_text(c->last.size, size),
             c->added ? "captured" : "unchanged", prog_count_text(c->found.read_files, read),
             prog_count_text(c->found.files, files));
    if (c->added) prog_say("the store grew by %s bytes\n", prog_count_text(c->grown, grown));
}

int keep_capture_once(const keep_options *o)
{
    keep_capture c = {.o = o};
    int status;
    do {
        status = keep_capture_now(&c);
    } while (!status && c.found.missed && c.added);
    if (status == PROG_NOT_FOUND)
        status = prog_fail(status, "%s: no such directory", o->directory);
    if (!status && !o->quiet) keep_capture_print(&c);
    if (!status) dxup_store_save_index(c.store);
    keep_capture_close(&c);
    return status;
}
