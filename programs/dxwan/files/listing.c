/* The table of a directory's image. See listing.h. */
#include "listing.h"

#include "../../common/os.h"
#include "../net/region.h"

#include <assert.h>
#include <string.h>

static const uint8_t magic[8] = {'D', 'X', 'W', 'T', 'R', 'E', 'E', '1'};

void wan_listing_write(const wan_listing *l, uint8_t out[WAN_LISTING_HEAD])
{
    memset(out, 0, WAN_LISTING_HEAD);
    memcpy(out, magic, sizeof magic);
    wan_store(out + 8, l->at, 8);
    wan_store(out + 16, l->size, 8);
    wan_store(out + 24, l->count, 8);
}

const char *wan_listing_read(wan_listing *l, const uint8_t *bytes, size_t size, uint64_t image_size)
{
    if (size < WAN_LISTING_HEAD || memcmp(bytes, magic, sizeof magic) != 0)
        return "the image is not one of a directory";
    l->at = wan_load(bytes + 8, 8);
    l->size = wan_load(bytes + 16, 8);
    l->count = wan_load(bytes + 24, 8);
    if (l->at < WAN_LISTING_HEAD || l->at > image_size || l->size > image_size - l->at)
        return "the table of the directory lies outside the image";
    if (!l->count || l->count > WAN_ENTRIES_MAX || l->size > WAN_TABLE_SIZE_MAX)
        return "the directory has no entry, or too many";
    return NULL;
}

size_t wan_entry_write(const wan_entry *e, uint8_t out[WAN_ENTRY_SIZE_MAX])
{
    assert(e->name_size <= PROG_NAME_SIZE_MAX && e->target_size <= WAN_TARGET_MAX);
    memset(out, 0, WAN_ENTRY_HEAD);
    wan_store(out, (uint64_t)e->kind, 2);
    wan_store(out + 2, e->depth, 2);
    wan_store(out + 4, e->mode, 2);
    wan_store(out + 6, e->name_size, 2);
    wan_store(out + 8, e->target_size, 2);
    wan_store(out + 16, (uint64_t)e->mtime_ns, 8);
    wan_store(out + 24, e->size, 8);
    wan_store(out + 32, e->at, 8);
    memcpy(out + WAN_ENTRY_HEAD, e->name, e->name_size);
    if (e->target_size) memcpy(out + WAN_ENTRY_HEAD + e->name_size, e->target, e->target_size);
    return WAN_ENTRY_HEAD + e->name_size + e->target_size;
}

void wan_entry_set_place(uint8_t *entry, uint64_t at) { wan_store(entry + 32, at, 8); }

/* May an entry in a directory have this name? */
static bool is_name(const char *name, size_t size)
{
    if (!size || size > PROG_NAME_SIZE_MAX) return false;
    if (memchr(name, '/', size) || memchr(name, 0, size)) return false;
    return name[0] != '.' || (size > 1 && (size > 2 || name[1] != '.'));
}

const char *wan_entry_read(wan_entry *e, const uint8_t *bytes, size_t size, size_t *used)
{
    static const char *const cut = "an entry of the directory ends too early";
    if (size < WAN_ENTRY_HEAD) return cut;
    e->kind = (int)wan_load(bytes, 2);
    e->depth = (unsigned)wan_load(bytes + 2, 2);
    e->mode = (unsigned)wan_load(bytes + 4, 2);
    e->name_size = (size_t)wan_load(bytes + 6, 2);
    e->target_size = (size_t)wan_load(bytes + 8, 2);
    e->mtime_ns = (int64_t)wan_load(bytes + 16, 8);
    e->size = wan_load(bytes + 24, 8);
    e->at = wan_load(bytes + 32, 8);
    e->name = (const char *)bytes + WAN_ENTRY_HEAD;
    e->target = e->name + e->name_size;
    if (e->kind != OS_FILE && e->kind != OS_FOLDER && e->kind != OS_LINK)
        return "an entry of the directory is of an unknown kind";
    if (e->mode > 0777) return "an entry of the directory has a mode with more than permission bits";
    if (e->depth > PROG_DEPTH_MAX) return "the directory is nested too deeply";
    if (e->name_size > PROG_NAME_SIZE_MAX || e->target_size > WAN_TARGET_MAX ||
        size < WAN_ENTRY_HEAD + e->name_size + e->target_size)
        return cut;
    if (e->depth ? !is_name(e->name, e->name_size) : e->name_size || e->kind != OS_FOLDER)
        return "an entry of the directory has an invalid name";
    if ((e->kind == OS_LINK) != (e->target_size > 0) || memchr(e->target, 0, e->target_size))
        return "a link of the directory has an invalid target";
    if (e->kind != OS_FILE && e->size) return "an entry of the directory that is no file has a size";
    *used = WAN_ENTRY_HEAD + e->name_size + e->target_size;
    return NULL;
}
