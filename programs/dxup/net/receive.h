/* Versions that another machine sends: the receiver's side of docs/formats/push.md. One for each event
   loop, and one event loop for each store. */
#ifndef DXUP_RECEIVE_H
#define DXUP_RECEIVE_H

#include "../../sync/wire.h"
#include "../../versions/tree/tree.h"

#include "../../../layers/dx_link.h"

typedef struct dxup_receiver dxup_receiver;
typedef struct dxup_incoming dxup_incoming; /* a version that is arriving on a connection */

enum { DXUP_INCOMING_MAX = 16 };

dxup_receiver *dxup_receiver_open(const char *store, const versions_limits *limits);
void           dxup_receiver_close(dxup_receiver *r);

/* A handler's result: 0 or an RPC error. */
int dxup_receive_lease(dxup_receiver *r, const dx_hbtp_context *context);
/* *in: NULL, or the version that arrives now, then the result is DX_HBTP_LATER. The version is `*version` of
   `name`, for the log. */
int dxup_receive_offer(dxup_receiver *r, const dx_hbtp_context *context, dxup_incoming **in,
                       char name[PROG_NAME_SIZE_MAX + 1], uint64_t *version);
/* Objects of it have arrived, or its request was refused. *status: -1, it is not over; otherwise it is, and
   was answered: 0 or an RPC error. After that only dxup_receive_end() may follow. */
void dxup_receive_chunk(dxup_incoming *in, const dx_hbtp_frame *frame, int *status);
void dxup_receive_result(dxup_incoming *in, const dx_hbtp_result *result, int *status);
/* The connection has ended, or the answer was given. */
void dxup_receive_end(dxup_incoming *in);
/* Has it made no progress for a minute? Then end the connection. */
bool dxup_receive_stalls(const dxup_incoming *in);
/* Once a second: gives the store back when nobody sends. */
void dxup_receiver_tick(dxup_receiver *r);

#endif
