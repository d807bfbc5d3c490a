// The producer, in C++17: ticks into the ring, from where the last one was killed, until COUNT.
// usage: producer FILE COUNT
#define ACME_IMPLEMENTATION
#include "feed.h"

#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

void acme_broken(const char *what)
{
    std::fprintf(stderr, "producer: broken: %s\n", what);
    std::abort();
}

namespace {
feed *open_feed(const char *path)
{
    const int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(feed))) return nullptr;
    void *memory = mmap(nullptr, sizeof(feed), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return memory == MAP_FAILED ? nullptr : static_cast<feed *>(memory);
}

// docs/formats/ring.md: the write index lies at byte 128 of a ring.
uint32_t write_index(const feed *f)
{
    return __atomic_load_n(reinterpret_cast<const uint32_t *>(f->ring + 128), __ATOMIC_ACQUIRE);
}

void remember(feed *f, uint64_t number)
{
    __atomic_store_n(&f->next, number << 32 | write_index(f), __ATOMIC_RELEASE);
}

bool put(acme_ring_producer *ring, uint64_t number)
{
    tick_writer w;
    void *where;
    const size_t symbol = static_cast<size_t>(feed_symbol_length(number));
    size_t size = static_cast<size_t>(tick_size(0, symbol));
    if (acme_ring_claim(ring, size, &where)) return false;
    tick_begin(&w, where, size, 0);
    tick_set_number(&w, number);
    tick_set_price(&w, 100.0 + static_cast<double>(number % 1000) / 8);
    tick_put_symbol(&w, "ACMECORP", symbol);
    if (tick_finish(&w, &size)) acme_broken("tick");
    return acme_ring_commit(ring) == ACME_RING_OK;
}
} // namespace

int main(int argc, char **argv)
{
    acme_ring_producer ring;
    feed *f = argc == 3 ? open_feed(argv[1]) : nullptr;
    if (!f || acme_ring_attach_producer(&ring, f->ring, sizeof f->ring)) return 1;
    const uint64_t count = std::strtoull(argv[2], nullptr, 10);
    uint64_t number = f->next >> 32;
    if (static_cast<uint32_t>(f->next) != write_index(f)) number++; // committed, then killed
    for (remember(f, number); number < count;) {
        if (!put(&ring, number)) continue; // full
        remember(f, ++number);
    }
    return 0;
}
