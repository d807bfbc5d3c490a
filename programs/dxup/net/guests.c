/* Limits of connections, and the choice of one to close. See guests.h. */
#include "guests.h"

#include "../../common/common.h"
#include "../../common/os.h"
#include "../../versions/store/slots.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUCKETS    = 1024,
    OF_ALL     = 0,
    OF_NETWORK = 1,
    LISTS      = 2,  /* SILENT and HALF */
    HALVES     = 1024, /* limit for the search in HALF: it passes over busy ones */
    SILENTS    = 64    /* the same in SILENT; each costs a system call */
};

#define SECOND_NS ((int64_t)1000000000)
#define HALF_NS   SECOND_NS
#define BUSY_NS   (10 * SECOND_NS)
#define SILENT_NS (3 * SECOND_NS)

typedef struct waiting_list { /* guests of one kind, oldest first */
    dxup_guest *oldest, *newest;
} waiting_list;

typedef struct dxup_network {
    struct dxup_network *next; /* in the same bucket */
    uint8_t              id[32]; /* os_peer_network(), padded with zeros */
    size_t               count;
    size_t               readers;
    waiting_list         lists[LISTS];
} network;

struct dxup_guests {
    size_t             guests_max, network_max;
    size_t             count;
    waiting_list       lists[LISTS];
    versions_slots_key key; /* keyed hash: a peer cannot choose its bucket */
    network           *buckets[BUCKETS];
};

dxup_guests *dxup_guests_open(size_t guests_max, size_t network_max)
{
    dxup_guests *g = prog_alloc(sizeof *g);
    assert(guests_max && network_max);
    memset(g, 0, sizeof *g);
    g->guests_max = guests_max;
    g->network_max = network_max;
    versions_slots_key_make(&g->key);
    return g;
}

void dxup_guests_close(dxup_guests *g)
{
    if (!g) return;
    assert(!g->count);
    free(g);
}

/* >>lists -------------------------------------------------------------- */
static void push(waiting_list *list, dxup_guest *guest, int which)
{
    guest->newer[which] = NULL;
    guest->older[which] = list->newest;
    if (list->newest) list->newest->newer[which] = guest;
    else list->oldest = guest;
    list->newest = guest;
}

static void unlink_guest(waiting_list *list, dxup_guest *guest, int which)
{
    if (guest->older[which]) guest->older[which]->newer[which] = guest->newer[which];
    else list->oldest = guest->newer[which];
    if (guest->newer[which]) guest->newer[which]->older[which] = guest->older[which];
    else list->newest = guest->older[which];
}

/* Insert a guest into the lists of its kind, or remove it. */
static void list_guest(dxup_guests *g, dxup_guest *guest, bool in)
{
    void (*const change)(waiting_list *, dxup_guest *, int) = in ? push : unlink_guest;
    assert(guest->inside);
    if (guest->kind == DXUP_GUEST_HEARD) return;
    change(&g->lists[guest->kind], guest, OF_ALL);
    if (guest->network) change(&guest->network->lists[guest->kind], guest, OF_NETWORK);
}

/* The oldest HALF guest that has been one for at least age_ns; NULL: none. */
static dxup_guest *find_half(const waiting_list *lists, int which, int64_t now_ns, int64_t age_ns)
{
    dxup_guest *guest = lists[DXUP_GUEST_HALF].oldest;
    for (int i = 0; guest && i < HALVES; i++, guest = guest->newer[which])
        if (now_ns - guest->since_ns >= (guest->busy ? BUSY_NS : age_ns)) return guest;
    return NULL;
}

/* The guest to close, of all or of one network, in the order of guests.h. NULL: none. */
static dxup_guest *find_leaving(const waiting_list *lists, int which, int64_t now_ns)
{
    dxup_guest *guest = find_half(lists, which, now_ns, HALF_NS);
    if (guest) return guest;
    guest = lists[DXUP_GUEST_SILENT].oldest;
    if (guest && now_ns - guest->since_ns >= SILENT_NS) return guest;
    guest = find_half(lists, which, now_ns, 0);
    if (guest) return guest;
    guest = lists[DXUP_GUEST_SILENT].oldest;
    for (int i = 0; guest && i < SILENTS; i++, guest = guest->newer[which])
        if (!os_socket_unread(guest->socket)) return guest;
    return NULL;
}

/* >>networks ----------------------------------------------------------- */
/* Find or create the network of a socket's peer. NULL: it has none. */
static network *find_network(dxup_guests *g, int socket)
{
    uint8_t id[32] = {0};
    if (!os_peer_network(socket, id)) return NULL;
    network **bucket = &g->buckets[versions_slot_of(&g->key, id, BUCKETS - 1)];
    for (network *n = *bucket; n; n = n->next)
        if (!memcmp(n->id, id, sizeof id)) return n;
    network *n = prog_alloc(sizeof *n);
    memset(n, 0, sizeof *n);
    memcpy(n->id, id, sizeof id);
    n->next = *bucket;
    *bucket = n;
    return n;
}

void dxup_guests_limit(dxup_guests *g, size_t network_max)
{
    assert(network_max);
    g->network_max = network_max;
}

/* Free a network without guests. */
static void drop_network(dxup_guests *g, network *n)
{
    if (!n || n->count) return;
    network **link = &g->buckets[versions_slot_of(&g->key, n->id, BUCKETS - 1)];
    while (*link != n) link = &(*link)->next;
    *link = n->next;
    free(n);
}

/* >>guests ------------------------------------------------------------- */
bool dxup_guests_enter(dxup_guests *g, dxup_guest *guest, int socket, int64_t now_ns,
                       dxup_guest **leaves)
{
    network *n = find_network(g, socket);
    assert(!guest->inside);
    *leaves = NULL;
    bool full = true;
    if (n && n->count >= g->network_max) *leaves = find_leaving(n->lists, OF_NETWORK, now_ns);
    else if (g->count >= g->guests_max) *leaves = find_leaving(g->lists, OF_ALL, now_ns);
    else full = false;
    if (full && !*leaves) {
        drop_network(g, n);
        return false;
    }
    if (n) n->count++; /* first: *leaves may be of the same network, which would be freed otherwise */
    if (*leaves) dxup_guests_leave(g, *leaves);
    g->count++;
    memset(guest, 0, sizeof *guest);
    guest->inside = true;
    guest->socket = socket;
    guest->network = n;
    guest->since_ns = now_ns;
    list_guest(g, guest, true);
    return true;
}

void dxup_guests_set(dxup_guests *g, dxup_guest *guest, dxup_guest_kind kind, int64_t now_ns)
{
    if (!guest->inside) return;
    list_guest(g, guest, false);
    guest->kind = kind;
    guest->since_ns = now_ns;
    list_guest(g, guest, true);
}

bool dxup_guests_read(dxup_guest *guest, size_t most)
{
    assert(guest->inside && !guest->reading);
    if (!guest->network) return true;
    if (guest->network->readers >= most) return false;
    guest->network->readers++;
    guest->reading = true;
    return true;
}

void dxup_guests_read_end(dxup_guest *guest)
{
    if (!guest->reading) return;
    assert(guest->network && guest->network->readers);
    guest->network->readers--;
    guest->reading = false;
}

void dxup_guests_leave(dxup_guests *g, dxup_guest *guest)
{
    if (!guest->inside) return;
    dxup_guests_read_end(guest);
    list_guest(g, guest, false);
    guest->inside = false;
    assert(g->count);
    g->count--;
    if (!guest->network) return;
    assert(guest->network->count);
    guest->network->count--;
    drop_network(g, guest->network);
    guest->network = NULL;
}
