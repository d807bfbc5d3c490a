/* Who may connect to a server. See guests.h. */
#include "guests.h"

#include "../../common/common.h"
#include "../../common/os.h"
#include "../../versions/store/slots.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024, OF_ALL = 0, OF_NETWORK = 1 };

typedef struct waiting_list { /* guests that are not proven */
    dxup_guest *oldest, *newest;
} waiting_list;

typedef struct dxup_network {
    struct dxup_network *next; /* of the same bucket */
    uint8_t              id[32]; /* os_peer_network(), and zeros */
    size_t               count;
    waiting_list         waiting;
} network;

struct dxup_guests {
    size_t             guests_max, network_max;
    size_t             count;
    waiting_list       waiting;
    versions_slots_key key; /* of the buckets: nobody can fill one of them on purpose */
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

/* >>waiting ------------------------------------------------------------ */
static void push(waiting_list *list, dxup_guest *guest, int which)
{
    guest->newer[which] = NULL;
    guest->older[which] = list->newest;
    if (list->newest) list->newest->newer[which] = guest;
    else list->oldest = guest;
    list->newest = guest;
}

static void take(waiting_list *list, dxup_guest *guest, int which)
{
    if (guest->older[which]) guest->older[which]->newer[which] = guest->newer[which];
    else list->oldest = guest->newer[which];
    if (guest->newer[which]) guest->newer[which]->older[which] = guest->older[which];
    else list->newest = guest->older[which];
}

/* >>networks ----------------------------------------------------------- */
/* The network of that socket's peer, NULL: it has none. It is made if it is not known. */
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

/* Forget a network that nobody is from. */
static void drop_network(dxup_guests *g, network *n)
{
    if (!n || n->count) return;
    network **link = &g->buckets[versions_slot_of(&g->key, n->id, BUCKETS - 1)];
    while (*link != n) link = &(*link)->next;
    *link = n->next;
    free(n);
}

/* >>guests ------------------------------------------------------------- */
bool dxup_guests_enter(dxup_guests *g, dxup_guest *guest, int socket, dxup_guest **leaves)
{
    network *n = find_network(g, socket);
    assert(!guest->inside);
    *leaves = NULL;
    bool full = true;
    if (n && n->count >= g->network_max) *leaves = n->waiting.oldest;
    else if (g->count >= g->guests_max) *leaves = g->waiting.oldest;
    else full = false;
    if (full && !*leaves) {
        drop_network(g, n);
        return false;
    }
    if (n) n->count++; /* first: or the network of *leaves, the same perhaps, would be forgotten */
    if (*leaves) dxup_guests_leave(g, *leaves);
    g->count++;
    memset(guest, 0, sizeof *guest);
    guest->inside = true;
    guest->network = n;
    push(&g->waiting, guest, OF_ALL);
    if (n) push(&n->waiting, guest, OF_NETWORK);
    return true;
}

void dxup_guests_prove(dxup_guests *g, dxup_guest *guest)
{
    if (!guest->inside || guest->proven) return;
    guest->proven = true;
    take(&g->waiting, guest, OF_ALL);
    if (guest->network) take(&guest->network->waiting, guest, OF_NETWORK);
}

void dxup_guests_leave(dxup_guests *g, dxup_guest *guest)
{
    if (!guest->inside) return;
    dxup_guests_prove(g, guest);
    guest->inside = false;
    assert(g->count);
    g->count--;
    if (!guest->network) return;
    assert(guest->network->count);
    guest->network->count--;
    drop_network(g, guest->network);
    guest->network = NULL;
}
