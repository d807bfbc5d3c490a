/* The hash of a file. See hash.h. */
#include "hash.h"

#include "../../common/os.h"

#include <errno.h>

enum { STEP = 4 << 20 };
#define STEP_NS 50000000 /* of a slow disk; between two steps the other side is told */

void wan_hash_begin(wan_hash *h)
{
    dx_cas_blake3_init(&h->state);
    h->bytes = 0;
}

int wan_hash_step(wan_hash *h, int file, uint64_t up_to)
{
    uint8_t bytes[PROG_IO_SIZE];
    const int64_t end_ns = prog_now_ns() + STEP_NS;
    for (uint64_t end = h->bytes + STEP; h->bytes < up_to && h->bytes < end;) {
        uint64_t size = up_to - h->bytes;
        if (size > sizeof bytes) size = sizeof bytes;
        const int64_t got = os_read_at(file, h->bytes, bytes, (size_t)size);
        if (got <= 0) {
            if (!got) errno = EIO;
            return -1;
        }
        dx_cas_blake3_update(&h->state, bytes, (size_t)got);
        h->bytes += (uint64_t)got;
        if (prog_now_ns() >= end_ns) break;
    }
    return 0;
}

void wan_hash_end(const wan_hash *h, uint8_t hash[PROG_HASH_SIZE])
{
    dx_cas_blake3_final(&h->state, hash, PROG_HASH_SIZE);
}
