/* A large transfer in ranges over several connections: the client's side. */
#ifndef DXUP_RANGES_H
#define DXUP_RANGES_H

#include "../../sync/rate.h"

#include "../../common/common.h"

#include "../../../dx_reactor.h"

typedef struct dxup_ranges dxup_ranges;

typedef struct dxup_ranges_desc {
    dx_reactor               *reactor;
    const dx_reactor_address *address;
    const char               *name, *path; /* path: the spool is created next to it */
    uint8_t                   target[PROG_HASH_SIZE], have[PROG_HASH_SIZE];
    uint32_t                  flags;       /* as in the request: identify the transfer */
    /* size of the transfer; bytes at its start that are already there: fewer than size */
    uint64_t                  size, from;
    unsigned                  connections;
    unsigned                  timeout_s;   /* as in silence.h; the caller counts */
    dxup_rate                *rate;        /* shared by all connections */
    uint64_t                 *sent, *received; /* dxup_ranges_free() adds the bytes on the wire */
    /* Take the next bytes of the transfer, in order. Not 0: abort. */
    int                     (*take)(void *user, uint64_t offset, const uint8_t *bytes, size_t size);
    /* Called once, as the last call: everything was taken (0), or the transfer failed. */
    void                    (*ended)(void *user, int status);
    void                     *user;
} dxup_ranges_desc;

/* Begin; the descriptor is copied. Any connection may fail: others fetch the rest of its ranges. */
int  dxup_ranges_start(dxup_ranges **out, const dxup_ranges_desc *desc);
/* Call it every second: reconnects lost connections. */
void dxup_ranges_tick(dxup_ranges *r);
/* The number of bytes received. r may be NULL. */
uint64_t dxup_ranges_received(const dxup_ranges *r);
/* Call it before the reactor is closed: connections that end then count as no failures.
   r may be NULL. */
void dxup_ranges_end(dxup_ranges *r);
/* Call it after the reactor was closed. r may be NULL. */
void dxup_ranges_free(dxup_ranges *r);

#endif
