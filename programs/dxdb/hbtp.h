/* HBTP: a method for each query.

       method 1..254   arguments: for each parameter its size u32 (FFFFFFFFh: NULL), then its text
                       answer: the record, with header (docs/formats/teleport.md)
       method 0        arguments: the name of a query; answer: what it is, as JSON

   Errors have the statuses of HTTP, and a text. Where tokens are needed, the Hello has one. */
#ifndef DXDB_HBTP_H
#define DXDB_HBTP_H

#include "guard.h"
#include "results.h"

typedef struct dxdb_hbtp dxdb_hbtp;

typedef struct dxdb_method { /* private: what a handler gets */
    dxdb_hbtp *hbtp;
    uint32_t   query;
} dxdb_method;

struct dxdb_hbtp { /* private but for links */
    dx_link        links;
    dx_hbtp_router router;
    dx_hbtp_hello  hello;
    dxdb_results  *results;
    dxdb_guard    *guard;
    dxdb_method    methods[DXDB_QUERIES_MAX];
    dxdb_method    describe;
    void          *memory;
};

/* Serve on a listening descriptor. PROG_OK, or a message. */
int  dxdb_hbtp_begin(dxdb_hbtp *h, dx_reactor *r, dxdb_results *results, dxdb_guard *guard,
                     int listening);
/* Accept no more; over when h->links.count is 0. */
void dxdb_hbtp_drain(dxdb_hbtp *h, uint64_t within_ns);

#endif
