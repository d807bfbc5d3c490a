/* Counts a reactor's allocations for tests/checks/footprint.sh while OPERATIONS operations run. Prints the counts; status 0: no
   allocations. */
#define _GNU_SOURCE
#define DX_REACTOR_IMPLEMENTATION
#include "../../../dx_reactor.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counting.h"

#ifndef OPERATIONS
#define OPERATIONS 10000000
#endif
enum { PAIRS = 8, TIMERS = 64 };

static uint64_t memory[1 << 16];
static dx_op    receives[PAIRS], sends[PAIRS], timers[TIMERS], inbox;
static int      ends[PAIRS][2];
static char     bytes[PAIRS][64];
static dx_reactor_message messages[16];
static uint64_t done, received;

static void timed(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)result, (void)flags;
    done++;
    dx_reactor_timer(r, op, done % 5000);
}

static void sent(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)result, (void)flags;
    done++;
    dx_reactor_send(r, op, ends[op - sends][1], "0123456789", 10);
}

static void came(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)result, (void)flags;
    done++;
    dx_reactor_recv(r, op, ends[op - receives][0], bytes[op - receives], 64);
}

static void posted(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)flags;
    done += (uint64_t)(result > 0);
    received += (uint64_t)(result > 0 ? result : 0);
    dx_reactor_post(r, &messages[0]);
    dx_reactor_receive(r, op, messages, 16);
}

int main(int count, char **arguments)
{
    dx_reactor_desc desc;
    dx_reactor_stats stats;
    dx_reactor r;
    unsigned long before;
    int i;
    memset(&desc, 0, sizeof desc);
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    desc.backend = count == 2 ? atoi(arguments[1]) : 0;
    before = allocations;
    if (dx_reactor_open(&r, &desc) != 0) return 2;
    for (i = 0; i < PAIRS; i++) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends[i]) != 0) return 3;
        dx_reactor_op_init(&receives[i], came, NULL);
        dx_reactor_op_init(&sends[i], sent, NULL);
        came(&r, &receives[i], 0, 0);
        sent(&r, &sends[i], 0, 0);
    }
    for (i = 0; i < TIMERS; i++) {
        dx_reactor_op_init(&timers[i], timed, NULL);
        timed(&r, &timers[i], 0, 0);
    }
    dx_reactor_op_init(&inbox, posted, NULL);
    posted(&r, &inbox, 0, 0);
    while (done < OPERATIONS)
        if (dx_reactor_run_once(&r, DX_REACTOR_FOREVER) < 0) return 4;
    dx_reactor_get_stats(&r, &stats);
    for (i = 0; i < PAIRS; i++) {
        receives[i].fn = NULL;
        sends[i].fn = NULL;
    }
    for (i = 0; i < TIMERS; i++) timers[i].fn = NULL;
    inbox.fn = NULL;
    if (dx_reactor_close(&r) != 0) return 5;
    before = allocations - before;
    printf("%llu operations, %llu messages, %lu allocations\n",
           (unsigned long long)stats.completed, (unsigned long long)received, before);
    return before != 0 || stats.completed < OPERATIONS - 200;
}
