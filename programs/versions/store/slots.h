/* The slot of an id in a hash table. The publisher of content controls its ids: trying contents
   until many ids share some bits would degrade a table indexed by these bits to a list. So each
   table has a secret random key. */
#ifndef VERSIONS_SLOTS_H
#define VERSIONS_SLOTS_H

#include "../../common/os.h"

#include "../../../dx_cas.h"

#include <string.h>

typedef struct versions_slots_key {
    uint8_t bytes[32];
} versions_slots_key;

static inline void versions_slots_key_make(versions_slots_key *key)
{
    const int64_t times[2] = {os_now_ns(), os_time_ns()};
    if (os_random(key->bytes, sizeof key->bytes)) return;
    /* a fallback that is still hard to guess: nanoseconds, and an address */
    memset(key->bytes, 0, sizeof key->bytes);
    memcpy(key->bytes, times, sizeof times);
    memcpy(key->bytes + sizeof times, &key, sizeof key);
}

static inline size_t versions_slot_of(const versions_slots_key *key, const uint8_t id[32],
                                      size_t mask)
{
    dx_cas_blake3 h;
    uint64_t at;
    dx_cas_blake3_init_keyed(&h, key->bytes);
    dx_cas_blake3_update(&h, id, 32);
    dx_cas_blake3_final(&h, &at, sizeof at);
    return (size_t)at & mask;
}

#endif
