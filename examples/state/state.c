/* One state of 4 KiB, two subscribers: a change travels as a StateDelta that holds a block patch of dx_patch.h.
   cc -O2 -o state examples/state/state.c

   The second subscriber does not read for a while and misses changes: it gets no further delta, but the whole state
   when there is room again. Nothing here touches the network; a real program puts a socket between the two ends. */
#define DX_IMPLEMENTATION
#include "../../dx_hbtp.h"
#include "../../dx_patch.h"
#include <stdio.h>
#include <string.h>

enum { STATE = 7, STATE_SIZE = 4096, ROOM = 6144 + DX_HBTP_REPLY_ROOM };

typedef struct end { /* one end of a connection */
    dx_hbtp_session session;
    dx_hbtp_router  router;
    dx_hbtp_out     out;
    uint8_t         out_memory[ROOM];
    uint64_t        memory[1024];
    uint8_t         state[STATE_SIZE]; /* what a subscriber knows */
    unsigned        syncs, deltas;
} end;

static uint8_t truth[STATE_SIZE];

static int on_state(const dx_hbtp_context *c)
{
    end *e = (end *)c->session->desc.user;
    size_t size = 0;
    if (c->payload_size < 4) return DX_HBTP_ETRUNCATED;
    if (c->frame->opcode == DX_HBTP_OP_STATE_SYNC) {
        if (c->payload_size != 4 + STATE_SIZE) return DX_HBTP_ECORRUPT;
        memcpy(e->state, c->payload + 4, STATE_SIZE);
        e->syncs++;
        return 0;
    }
    e->deltas++; /* a patch knows its base by hash: a wrong one is refused, never applied */
    return dx_patch_apply_in_place(e->state, STATE_SIZE, STATE_SIZE, c->payload + 4, c->payload_size - 4, &size)
               ? DX_HBTP_ECORRUPT : 0;
}

static void on_event(dx_hbtp_session *s, dx_hbtp_event event, const dx_hbtp_frame *frame)
{
    (void)s;
    (void)frame;
    if (event == DX_HBTP_EVENT_FAILED) puts("a frame was refused");
}

static int start(end *e, dx_hbtp_handler_fn *fn, uint8_t first, void *user)
{
    dx_hbtp_session_desc d;
    memset(&d, 0, sizeof d);
    dx_hbtp_out_init(&e->out, e->out_memory, sizeof e->out_memory);
    dx_hbtp_router_init(&e->router);
    dx_hbtp_router_set(&e->router, first, fn, user);
    dx_hbtp_router_set(&e->router, (uint8_t)(first + 1), fn, user);
    d.memory = e->memory;
    d.memory_size = sizeof e->memory;
    d.payload_max = 4 + STATE_SIZE;
    d.out = &e->out;
    d.router = &e->router;
    d.on_event = on_event;
    d.user = e;
    return dx_hbtp_session_init(&e->session, &d);
}

static void carry(end *from, end *to)
{
    size_t size;
    const uint8_t *bytes = dx_hbtp_out_data(&from->out, &size);
    int64_t used = dx_hbtp_feed(&to->session, bytes, size, 1);
    if (used > 0) dx_hbtp_out_consume(&from->out, (size_t)used);
    dx_hbtp_feed(&from->session, NULL, 0, 1); /* there is room again for a subscriber that lags */
}

static size_t change(dx_hbtp_hub *hub, unsigned at) /* a few bytes of the state; returns the size of the patch */
{
    static uint8_t before[STATE_SIZE], patch[8192], memory[65536];
    dx_patch_create_desc d;
    size_t size = 0;
    memcpy(before, truth, sizeof before);
    memcpy(truth + at, "changed", 7);
    memset(&d, 0, sizeof d);
    d.memory = memory;
    d.memory_size = sizeof memory;
    d.kind = DX_PATCH_KIND_BLOCKS;
    d.block_size = 64;
    if (dx_patch_create(&d, before, sizeof before, truth, sizeof truth, patch, sizeof patch, &size)) return 0;
    printf("%d of 2 got the change\n", (int)dx_hbtp_publish(hub, STATE, DX_HBTP_OP_STATE_DELTA, patch, size));
    return size;
}

int main(void)
{
    static end server[2], client[2];
    static uint64_t hub_memory[2 * 6];
    const uint8_t number[4] = {STATE, 0, 0, 0};
    dx_hbtp_hub hub;
    dx_hbtp_hub_desc desc;
    size_t patch_size = 0;
    uint32_t state;
    memset(&desc, 0, sizeof desc); /* a server would set desc.seed to a random number */
    desc.memory = hub_memory;
    desc.memory_size = sizeof hub_memory;
    if (dx_hbtp_hub_init(&hub, &desc)) return 1;
    for (int i = 0; i < 2; i++) {
        if (start(&server[i], dx_hbtp_hub_handler, DX_HBTP_OP_STATE_SUBSCRIBE, &hub) ||
            start(&client[i], on_state, DX_HBTP_OP_STATE_SYNC, NULL))
            return 1;
        dx_hbtp_request(&client[i].session, DX_HBTP_OP_STATE_SUBSCRIBE, 0, number, 4, UINT64_MAX, NULL, NULL);
        carry(&client[i], &server[i]);
    }
    while (dx_hbtp_hub_behind(&hub, &state)) dx_hbtp_catch_up(&hub, state, truth, sizeof truth);
    for (unsigned n = 0; n < 80; n++) { /* the second reads only at the end */
        carry(&server[0], &client[0]);
        if (!n) carry(&server[1], &client[1]);
        patch_size = change(&hub, n * 50);
        if (!patch_size) return 1;
    }
    for (int rounds = 0; rounds < 3; rounds++) {
        for (int i = 0; i < 2; i++) carry(&server[i], &client[i]);
        while (dx_hbtp_hub_behind(&hub, &state)) dx_hbtp_catch_up(&hub, state, truth, sizeof truth);
    }
    for (int i = 0; i < 2; i++)
        printf("subscriber %d: %u whole states of %d bytes, %u patches; %s\n", i + 1, client[i].syncs, STATE_SIZE, client[i].deltas,
               memcmp(client[i].state, truth, sizeof truth) ? "WRONG" : "right");
    return memcmp(client[0].state, truth, sizeof truth) || memcmp(client[1].state, truth, sizeof truth) || patch_size > 512;
}
