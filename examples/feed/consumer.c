/* The consumer, in C: reads ticks from the ring until COUNT, each exactly once even if either side is killed.
   usage: consumer FILE create | consumer FILE COUNT */
#define ACME_IMPLEMENTATION
#include "feed.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void acme_broken(const char *what)
{
    fprintf(stderr, "consumer: broken: %s\n", what);
    abort();
}

static feed *open_feed(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    void *memory = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, sizeof(feed)) == 0)
        memory = mmap(NULL, sizeof(feed), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0) close(fd);
    return memory == MAP_FAILED ? NULL : memory;
}

static int create(feed *f)
{
    acme_ring_desc desc = {0};
    desc.capacity = 8192;
    memset(f, 0, sizeof *f);
    return acme_ring_init(f->ring, sizeof f->ring, &desc);
}

/* Which of consumed[] counts. The producer can write there too: any value names one of the two. */
static unsigned current(const feed *f)
{
    return __atomic_load_n(&f->which, __ATOMIC_ACQUIRE) & 1;
}

/* Take one tick into the sum. A tick that was counted before a kill is only released. Returns an
   error of the ring or of the record; those that both have, have the same values.

   The tick is copied before it is opened: the other process can still write to the shared memory, so
   a check in place proves nothing about a later read. The tick is released only after it was counted:
   that is why this is not acme_ring_pop(). */
static int take(feed *f, acme_ring_consumer *ring)
{
    const unsigned which = current(f);
    const feed_side *now = &f->consumed[which];
    feed_side *then = &f->consumed[!which];
    uint8_t tick[FEED_RECORD_MAX];
    const void *where;
    size_t size;
    tick_view v;
    int error = acme_ring_peek(ring, &where, &size);
    if (error) return error;
    if (size > sizeof tick) return ACME_RING_ETOOBIG;
    memcpy(tick, where, size);
    error = tick_open(&v, tick, size);
    if (error) return error;
    if (tick_get_number(&v) == now->count) {
        const double price = tick_get_price(&v);
        if (tick_get_symbol(&v).size != feed_symbol_length(now->count)) return ACME_TELEPORT_ECORRUPT;
        if (!(price >= 0 && price < FEED_PRICE_MAX)) return ACME_TELEPORT_ECORRUPT;
        then->count = now->count + 1;
        then->sum = now->sum + (uint64_t)(8 * price);
        __atomic_store_n(&f->which, (uint64_t)!which, __ATOMIC_RELEASE);
    } else if (tick_get_number(&v) + 1 != now->count) {
        fprintf(stderr, "consumer: tick %llu where %llu is next\n", (unsigned long long)tick_get_number(&v),
                (unsigned long long)now->count);
        return ACME_TELEPORT_ECORRUPT;
    }
    return acme_ring_release(ring);
}

int main(int argc, char **argv)
{
    acme_ring_consumer ring;
    feed *f = argc == 3 ? open_feed(argv[1]) : NULL;
    uint64_t count;
    int error = 0;
    if (!f) return 1;
    if (strcmp(argv[2], "create") == 0) return create(f) != 0;
    count = strtoull(argv[2], NULL, 10);
    if (acme_ring_attach_consumer(&ring, f->ring, sizeof f->ring)) return 1;
    while (f->consumed[current(f)].count < count && (!error || error == ACME_RING_EAGAIN)) error = take(f, &ring);
    if (error && error != ACME_RING_EAGAIN) {
        fprintf(stderr, "consumer: %s\n", acme_teleport_error_name(error));
        return 1;
    }
    printf("%llu ticks, sum %llu\n", (unsigned long long)f->consumed[current(f)].count,
           (unsigned long long)f->consumed[current(f)].sum);
    return 0;
}
