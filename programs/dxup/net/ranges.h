/* A large transfer in ranges over several connections: the client's half. */
#ifndef DXUP_RANGES_H
#define DXUP_RANGES_H

#include "rate.h"

#include "../../common/common.h"

#include "../../../dx_reactor.h"

typedef struct dxup_ranges dxup_ranges;

/* Of a client's event loop: buffers for input. One connection may fill all of them before it can be
   told to wait for room for its Pongs; then their content lies in the blocks of its links, which
   have 16 KiB each. */
enum {
    DXUP_INPUT_BUFFERS = 8,
    DXUP_INPUT_SIZE    = 1 << 15,
    DXUP_INPUT_BLOCKS  = DXUP_INPUT_BUFFERS * DXUP_INPUT_SIZE / 16384 + 8 /* and for the Pongs */
};

typedef struct dxup_ranges_desc {
    dx_reactor               *reactor;
    const dx_reactor_address *address;
    const char               *name, *path; /* path: a file without a name is made beside it */
    uint8_t                   target[PROG_HASH_SIZE], have[PROG_HASH_SIZE];
    uint32_t                  flags;       /* as in the request: which transfer it is */
    /* bytes of the transfer; of its front, that need not come: below size */
    uint64_t                  size, from;
    unsigned                  connections;
    dxup_rate                *rate;        /* of all together */
    uint64_t                 *sent, *received; /* dxup_ranges_free() adds what crossed the wire */
    /* The next bytes of the transfer, in order; not 0: give up. */
    int                     (*take)(void *user, uint64_t offset, const uint8_t *bytes, size_t size);
    /* All was taken (0), or it cannot go on. Called once, the last call of all. */
    void                    (*ended)(void *user, int status);
    void                     *user;
} dxup_ranges_desc;

/* Begin; the descriptor is copied. Any connection may be lost: others fetch what it did not
   bring. */
int  dxup_ranges_start(dxup_ranges **out, const dxup_ranges_desc *desc);
/* Every second: opens lost connections again. */
void dxup_ranges_tick(dxup_ranges *r);
/* Before the reactor is closed: what ends then is no failure. NULL is fine. */
void dxup_ranges_end(dxup_ranges *r);
/* After the reactor was closed. NULL is fine. */
void dxup_ranges_free(dxup_ranges *r);

#endif
