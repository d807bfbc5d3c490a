/* Pages of a region that the receiver has elsewhere. See copies.h. */
#include "copies.h"

#include "../../common/os.h"

#include "../../../layers/dx_crc32c.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    GROUP        = 8,  /* places of a hash: so one page in a hundred is displaced by others */
    LOG_MIN      = 12,
    LOG_MAX      = 21, /* 16 MiB: two places a page up to 4 GiB */
    STEP         = 1 << 20,
    REFUSALS_MAX = 8
};
#define LIKE 0x80000000u
#define NONE UINT32_MAX

/* >>table ---------------------------------------------------------------- */
/* The content may be a stranger's: pages with one hash share a group, and displace each other. */
static wan_page_entry *group_of(const wan_copies *c, uint32_t hash)
{
    assert(c->log >= LOG_MIN && c->log <= LOG_MAX);
    const uint32_t place = (uint32_t)(hash * 0x9E3779B1u) >> (32 - c->log);
    return c->entries + (place & ~(uint32_t)(GROUP - 1));
}

static void insert(wan_copies *c, uint32_t hash, uint32_t page)
{
    wan_page_entry *group = group_of(c, hash), *to = &group[page % GROUP];
    for (int i = 0; i < GROUP; i++)
        if (group[i].page == page || (group[i].page == NONE && to->page != NONE)) to = &group[i];
    *to = (wan_page_entry){.hash = hash, .page = page};
}

/* Pages of one repeated byte cost a record nothing. */
static bool is_plain(const uint8_t *page) { return !memcmp(page, page + 1, WAN_PAGE_SIZE - 1); }

static void add_page(wan_copies *c, uint32_t page, const uint8_t *bytes)
{
    if (is_plain(bytes)) return;
    insert(c, dx_crc32c_update(0, bytes, WAN_PAGE_SIZE), page);
}

void wan_copies_grow(wan_copies *c, uint64_t size)
{
    const uint64_t pages = (size + c->like_size) / WAN_PAGE_SIZE;
    uint32_t log = LOG_MIN;
    while (log < LOG_MAX && (uint64_t)1 << log < pages * 2) log++;
    if (log <= c->log) return;
    wan_page_entry *old = c->entries;
    const size_t count = c->log ? (size_t)1 << c->log : 0;
    c->entries = prog_alloc(sizeof *c->entries << log);
    c->log = log;
    for (size_t i = 0; i < (size_t)1 << log; i++) c->entries[i] = (wan_page_entry){.page = NONE};
    for (size_t i = 0; i < count; i++)
        if (old[i].page != NONE) insert(c, old[i].hash, old[i].page);
    free(old);
}

void wan_copies_add(wan_copies *c, uint64_t region, const uint8_t *bytes, size_t size)
{
    const uint64_t first = region * WAN_REGION_PAGES;
    assert(region < WAN_REGIONS_MAX && size <= WAN_REGION_SIZE);
    if (!c->log) return;
    for (size_t i = 0; (i + 1) * WAN_PAGE_SIZE <= size; i++)
        add_page(c, (uint32_t)(first + i), bytes + i * WAN_PAGE_SIZE);
}

/* >>second image --------------------------------------------------------- */
int wan_copies_open(wan_copies *c, int shadow, const char *like)
{
    os_info info;
    assert(c->is_usable && c->like < 0);
    c->shadow = shadow;
    if (!like) return PROG_OK;
    c->like = os_open(like);
    if (c->like < 0) return prog_fail_errno("%s", like);
    if (os_info_of(c->like, &info) == 0 && info.kind == OS_FILE) return PROG_OK;
    return prog_fail(PROG_USAGE, "%s is not a file; --like takes one that the receiver has, too", like);
}

void wan_copies_close(wan_copies *c)
{
    if (c->like >= 0) os_close(c->like);
    free(c->entries);
    c->entries = NULL;
    c->log = 0;
    c->like = -1;
}

void wan_copies_set_like(wan_copies *c, uint64_t far_size)
{
    os_info info;
    c->like_size = c->like_at = 0;
    if (c->like < 0 || os_info_of(c->like, &info) < 0) return;
    c->like_size = info.size < far_size ? info.size : far_size;
    const uint64_t most = (uint64_t)WAN_REGIONS_MAX * WAN_REGION_SIZE - WAN_REGION_SIZE;
    if (c->like_size > most) c->like_size = most;
    c->like_size -= c->like_size % WAN_PAGE_SIZE;
    wan_copies_grow(c, 0);
}

uint64_t wan_copies_step(wan_copies *c)
{
    if (c->like_at >= c->like_size) return 0;
    uint8_t *bytes = prog_alloc(STEP);
    const int64_t got = prog_read_at(c->like, c->like_at, bytes, STEP);
    const uint32_t first = (uint32_t)(c->like_at / WAN_PAGE_SIZE);
    for (uint32_t i = 0; got > 0 && (uint64_t)(i + 1) * WAN_PAGE_SIZE <= (uint64_t)got; i++)
        add_page(c, LIKE | (first + i), bytes + (size_t)i * WAN_PAGE_SIZE);
    free(bytes);
    if (got <= 0) c->like_size = c->like_at; /* it was truncated, or cannot be read: what is known is enough */
    else c->like_at += (uint64_t)got;
    return got <= 0 ? 0 : (uint64_t)got;
}

void wan_copies_refused(wan_copies *c, bool like)
{
    if (like && ++c->refusals >= REFUSALS_MAX) c->like_size = c->like_at = 0;
}

/* >>search --------------------------------------------------------------- */
/* Does the receiver have this content as that page? */
static bool holds(const wan_copies *c, uint64_t page, bool like, const uint8_t *bytes)
{
    uint8_t there[WAN_PAGE_SIZE];
    if (like ? page >= c->like_size / WAN_PAGE_SIZE : !c->is_usable(c->user, page / WAN_REGION_PAGES)) return false;
    const int file = like ? c->like : c->shadow;
    return prog_read_at(file, page * WAN_PAGE_SIZE, there, sizeof there) == (int64_t)sizeof there &&
           !memcmp(there, bytes, sizeof there);
}

/* Find a page elsewhere than in the region itself, where the record finds it. */
static bool find_page(const wan_copies *c, uint64_t region, const uint8_t *bytes, wan_copy *out)
{
    const uint32_t hash = dx_crc32c_update(0, bytes, WAN_PAGE_SIZE);
    const wan_page_entry *group = group_of(c, hash);
    for (int i = 0; i < GROUP; i++) {
        if (group[i].page == NONE || group[i].hash != hash) continue;
        const bool like = (group[i].page & LIKE) != 0;
        const uint32_t page = group[i].page & ~LIKE;
        if ((!like && page / WAN_REGION_PAGES == region) || !holds(c, page, like, bytes)) continue;
        *out = (wan_copy){.page = page, .like = like, .pages = 1};
        return true;
    }
    return false;
}

uint32_t wan_copies_find(wan_copies *c, uint64_t region, const uint8_t *state, size_t size, const uint8_t *base,
                         size_t base_size, wan_copy out[WAN_COPIES_MAX])
{
    uint32_t count = 0;
    assert(size <= WAN_REGION_SIZE && base_size <= WAN_REGION_SIZE);
    if (!c->log) return 0;
    for (uint32_t at = 0; (size_t)(at + 1) * WAN_PAGE_SIZE <= size; at++) {
        const uint8_t *page = state + (size_t)at * WAN_PAGE_SIZE;
        const bool has_old = (size_t)(at + 1) * WAN_PAGE_SIZE <= base_size;
        if (is_plain(page) || (has_old && !memcmp(page, base + (size_t)at * WAN_PAGE_SIZE, WAN_PAGE_SIZE))) continue;
        wan_copy *last = count ? &out[count - 1] : NULL;
        const uint64_t next = last ? (uint64_t)last->page + last->pages : 0;
        if (last && last->at + last->pages == at && (last->like || next / WAN_REGION_PAGES != region) &&
            holds(c, next, last->like, page)) {
            last->pages++;
            continue;
        }
        assert(count < WAN_COPIES_MAX);
        if (!find_page(c, region, page, &out[count])) continue;
        out[count++].at = (uint8_t)at;
    }
    return count;
}
