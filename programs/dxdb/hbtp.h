/* HBTP: a method for each query.

       method 1..254   arguments: for each parameter its size u32 (FFFFFFFFh: NULL), then its text
                       answer: the record, with header (docs/formats/teleport.md)
       method 0        arguments: the name of a query; answer: its description, as JSON

   Errors have the statuses of HTTP, and a text. If tokens are required, the Hello carries one. */
#ifndef DXDB_HBTP_H
#define DXDB_HBTP_H

#include "guard.h"
#include "results.h"

typedef struct dxdb_hbtp dxdb_hbtp;

typedef struct dxdb_method { /* private: the user data of a handler */
    dxdb_hbtp *hbtp;
    uint32_t   query;
} dxdb_method;

struct dxdb_hbtp { /* private, except links */
    dx_link        links;
    dx_hbtp_router router;
    dx_hbtp_hello  hello;
    dxdb_results  *results;
    dxdb_guard    *guard;
    dxdb_method    methods[DXDB_QUERIES_MAX];
    dxdb_method    describe;
    void          *memory;
};

/* Serve on a listening descriptor. Returns PROG_OK, or prints a message. */
int  dxdb_hbtp_begin(dxdb_hbtp *h, dx_reactor *r, dxdb_results *results, dxdb_guard *guard,
                     int listening);
/* Accept no more; complete when h->links.count is 0. */
void dxdb_hbtp_drain(dxdb_hbtp *h, uint64_t within_ns);

#endif
