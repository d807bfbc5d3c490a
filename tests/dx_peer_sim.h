/* A hostile peer for memory that two processes share. It changes any byte of a record between any two
   loads of a reader or writer, and any word of a ring at any time. Whatever it does, no access may
   leave the given bytes, and every call must end.

   Interception: through the macros that a project may replace, so include this file before the header
   under test. Built with -fsanitize=thread and -DEVERY_LOAD, but linked without that sanitizer's
   library, every load in the compiled code calls us, single bytes included
   (tests/checks/teleport_peer.sh).

   Detection: inaccessible memory starts where the bytes end and extends as far as an offset can reach;
   AddressSanitizer watches our own memory. */
#ifndef DX_PEER_SIM_H
#define DX_PEER_SIM_H

#define _DEFAULT_SOURCE
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(EVERY_LOAD)
  #define UNSEEN __attribute__((no_sanitize("thread"), noinline))
#else
  #define UNSEEN __attribute__((noinline, unused)) /* peer_load: only used by tests of dx_ring.h */
static void peer_copy(void *to, const void *from, size_t size);
  #define DX_TELEPORT_MEMCPY(to, from, size) peer_copy(to, from, size)
  #define DX_RING_MEMCPY(to, from, size) peer_copy(to, from, size)
#endif
static uint32_t peer_load(const uint32_t *p);
#define DX_RING_LOAD_ACQUIRE(p) peer_load(p)
#define DX_RING_STORE_RELEASE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

#include "dx_test.h"

#include <sys/mman.h>

enum { ROOM = 1 << 16 };
#if UINTPTR_MAX > UINT32_MAX
static const size_t REACH = ((size_t)1 << 32) + 65536; /* of any 32-bit offset */
#else
static const size_t REACH = (size_t)1 << 24;
#endif

static struct peer {
    uint8_t *room;           /* ROOM bytes, with inaccessible memory on both sides */
    uint8_t *bytes, *end;    /* the shared bytes, at the end of the room */
    uint8_t  good[ROOM];     /* what the honest part of the peer wrote */
    uint8_t  seen[ROOM];     /* already loaded in this call */
    bool     armed, ring;
    uint64_t state;
    uint32_t mischief;       /* of 256 loads, how many it interferes with */
    uint64_t loads, faults;
} peer;
static uint64_t faults_all, calls_all;

static UNSEEN uint64_t peer_draw(void)
{
    peer.state ^= peer.state << 13;
    peer.state ^= peer.state >> 7;
    peer.state ^= peer.state << 17;
    return peer.state * 0x2545f4914f6cdd1du;
}

static UNSEEN uint32_t peer_below(uint32_t limit)
{
    return (uint32_t)(peer_draw() >> 33) % limit;
}

static UNSEEN void *peer_room(void)
{
    if (!peer.room) {
        uint8_t *all = mmap(NULL, ROOM + REACH + ROOM, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (all == MAP_FAILED || mprotect(all + ROOM, ROOM, PROT_READ | PROT_WRITE)) abort();
        peer.room = all + ROOM;
    }
    return peer.room;
}

/* Share `size` bytes. */
static UNSEEN uint8_t *peer_share(const uint8_t *bytes, size_t size)
{
    peer.end = (uint8_t *)peer_room() + ROOM;
    peer.bytes = peer.end - size;
    memcpy(peer.bytes, bytes, size);
    memcpy(peer.good, bytes, size);
    return peer.bytes;
}

static UNSEEN void peer_begin(bool armed)
{
    memcpy(peer.bytes, peer.good, (size_t)(peer.end - peer.bytes));
    memset(peer.seen, 0, (size_t)(peer.end - peer.bytes));
    peer.loads = peer.faults = 0;
    peer.armed = armed;
}

static UNSEEN void peer_end(void)
{
    peer.armed = false;
    faults_all += peer.faults;
    calls_all++;
}

static UNSEEN void peer_scribble(size_t at, size_t size)
{
    static const uint32_t edges[] = {0, 1, 4, 8, 24, 0x7fffffff, 0x80000000, 0xfffffff8, UINT32_MAX};
    const size_t all = (size_t)(peer.end - peer.bytes);
    uint32_t word = edges[peer_below(9)];
    if (peer_below(3) == 0) word = (uint32_t)peer_draw();
    if (peer_below(4) == 0) word = peer_below((uint32_t)all + 9);
    if (size > 4 && peer_below(2)) at += 4;
    if (all >= 4) memcpy(peer.bytes + (at < all - 4 ? at : all - 4), &word, 4);
    peer.faults++;
}

/* Before a load of these bytes: show valid bytes to the first load and anything to the second, or
   change some other byte. */
static UNSEEN void peer_before(const void *p, size_t size)
{
    const uint8_t *from = p;
    size_t at;
    if (!peer.armed || from < peer.bytes || from >= peer.end) return;
    at = (size_t)(from - peer.bytes);
    if (size > (size_t)(peer.end - from)) size = (size_t)(peer.end - from);
    peer.loads++;
    if (peer_below(256) < peer.mischief) peer_scribble(peer_below((uint32_t)(peer.end - peer.bytes)), 1);
    if (peer.seen[at] ? peer_below(2) == 0 : peer_below(256) < peer.mischief) peer_scribble(at, size);
    else if (!peer.ring) memcpy(peer.bytes + at, peer.good + at, size);
    memset(peer.seen + at, 1, size);
}

#ifndef EVERY_LOAD
static void peer_copy(void *to, const void *from, size_t size)
{
    peer_before(from, size);
    memcpy(to, from, size);
}
#endif

/* A word of a ring: near the right value, slightly wrong, or arbitrary. */
static UNSEEN uint32_t peer_load(const uint32_t *p)
{
    const uint8_t *at = (const uint8_t *)p;
    uint32_t word = __atomic_load_n(p, __ATOMIC_ACQUIRE);
    if (!peer.armed || !peer.ring || at < peer.bytes || at >= peer.end) return word;
    peer.loads++;
    if (peer_below(256) >= peer.mischief) return word;
    peer.faults++;
    switch (peer_below(6)) {
    case 0: word = (uint32_t)peer_draw(); break;
    case 1: word += peer_below(17) - 8; break;
    case 2: word += 8 * (peer_below(33) - 16); break;
    case 3: word = UINT32_MAX; break;
    case 4: word = 0u - peer_below(64); break;
    default: word = peer_below(300); break;
    }
    memcpy(peer.bytes + (at - peer.bytes), &word, 4);
    return word;
}

#ifdef EVERY_LOAD
#define HOOK(name, size)                                                                      \
    UNSEEN void __tsan_##name(void *p);                                                       \
    UNSEEN void __tsan_##name(void *p) { peer_before(p, size); }
#define QUIET(name)                                                                           \
    UNSEEN void __tsan_##name(void *p);                                                       \
    UNSEEN void __tsan_##name(void *p) { (void)p; }
HOOK(read1, 1) HOOK(read2, 2) HOOK(read4, 4) HOOK(read8, 8) HOOK(read16, 16)
HOOK(unaligned_read2, 2) HOOK(unaligned_read4, 4) HOOK(unaligned_read8, 8)
HOOK(unaligned_read16, 16)
HOOK(read_write1, 1) HOOK(read_write2, 2) HOOK(read_write4, 4) HOOK(read_write8, 8)
HOOK(unaligned_read_write2, 2) HOOK(unaligned_read_write4, 4) HOOK(unaligned_read_write8, 8)
HOOK(read_write16, 16) HOOK(unaligned_read_write16, 16)
QUIET(write1) QUIET(write2) QUIET(write4) QUIET(write8) QUIET(write16)
QUIET(unaligned_write2) QUIET(unaligned_write4) QUIET(unaligned_write8) QUIET(unaligned_write16)
QUIET(func_entry) QUIET(func_exit) QUIET(init)
void __tsan_read_range(void *p, size_t size);
UNSEEN void __tsan_read_range(void *p, size_t size) { peer_before(p, size); }
void __tsan_write_range(void *p, size_t size);
UNSEEN void __tsan_write_range(void *p, size_t size) { (void)p, (void)size; }
void *__tsan_memcpy(void *to, const void *from, size_t size);
UNSEEN void *__tsan_memcpy(void *to, const void *from, size_t size)
{
    peer_before(from, size);
    return memcpy(to, from, size);
}
void *__tsan_memset(void *to, int byte, size_t size);
UNSEEN void *__tsan_memset(void *to, int byte, size_t size) { return memset(to, byte, size); }
void *__tsan_memmove(void *to, const void *from, size_t size);
UNSEEN void *__tsan_memmove(void *to, const void *from, size_t size)
{
    return memmove(to, from, size);
}
uint32_t __tsan_atomic32_load(const volatile uint32_t *p, int order);
UNSEEN uint32_t __tsan_atomic32_load(const volatile uint32_t *p, int order)
{
    (void)order;
    return *p; /* single-threaded */
}
void __tsan_atomic32_store(volatile uint32_t *p, uint32_t v, int order);
UNSEEN void __tsan_atomic32_store(volatile uint32_t *p, uint32_t v, int order)
{
    (void)order;
    *p = v;
}
#endif

/* Draw a seed, and how often the peer interferes in this run. */
static void peer_begin_run(dx_choices *c, bool ring)
{
    static const uint32_t rates[] = {0, 1, 4, 20, 128};
    peer.state = dx_choose(c, UINT64_MAX - 1) + 1;
    peer.mischief = rates[dx_choose(c, 4)];
    peer.ring = ring;
}

static volatile uint64_t sink;

static uint64_t sum_bytes(const void *p, size_t size)
{
    const uint8_t *bytes = p;
    uint64_t sum = 0;
    for (size_t i = 0; i < size; i++) sum += bytes[i];
    return sum;
}

#endif /* DX_PEER_SIM_H */
