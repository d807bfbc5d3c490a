/* Checksums of the chunks that arrived. See sums.h. */
#include "sums.h"

#include "../../../layers/dx_crc32c.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_HASHED = 4 << 20, STEP = 64 << 20 };
#define STEP_NS 20000000 /* the other side waits for so long */

void wan_sums_open(wan_sums *s, uint64_t size, uint32_t chunk_size)
{
    assert(chunk_size);
    wan_sums_close(s);
    const uint64_t count = size / chunk_size + (size % chunk_size != 0);
    assert(count <= UINT32_MAX);
    s->size = size;
    s->chunk_size = chunk_size;
    s->count = (uint32_t)count;
    s->values = prog_alloc((size_t)count * sizeof *s->values); /* touched where its states say so */
    s->states = calloc((size_t)count + 1, 1); /* WAN_SUM_NONE; takes memory as chunks arrive */
    s->bytes = prog_alloc(chunk_size);
    if (s->states) return;
    prog_fail(PROG_SYSTEM, "out of memory");
    exit(PROG_SYSTEM);
}

void wan_sums_close(wan_sums *s)
{
    free(s->values);
    free(s->states);
    free(s->bytes);
    memset(s, 0, sizeof *s);
}

static size_t size_of(const wan_sums *s, uint32_t chunk)
{
    const uint64_t left = s->size - (uint64_t)chunk * s->chunk_size;
    return left < s->chunk_size ? (size_t)left : s->chunk_size;
}

void wan_sums_set(wan_sums *s, uint64_t offset, const uint8_t *bytes, size_t size)
{
    const uint32_t chunk = (uint32_t)(offset / s->chunk_size);
    assert(chunk < s->count && size == size_of(s, chunk));
    s->damaged -= s->states[chunk] == WAN_SUM_DAMAGED;
    s->values[chunk] = dx_crc32c_update(0, bytes, size);
    s->states[chunk] = WAN_SUM_ARRIVED;
}

/* Read a chunk of the file into s->bytes, and compare it with its sum. 1: they agree; 0; -1: errno. */
static int is_good(wan_sums *s, int file, uint32_t chunk)
{
    const size_t size = size_of(s, chunk);
    const int64_t got = prog_read_at(file, (uint64_t)chunk * s->chunk_size, s->bytes, size);
    if (got < 0) return -1;
    if (got < (int64_t)size) return 0; /* the file was truncated */
    const uint32_t value = dx_crc32c_update(0, s->bytes, size);
    if (s->states[chunk] == WAN_SUM_NONE) {
        s->values[chunk] = value;
        s->states[chunk] = WAN_SUM_READ;
    }
    return value == s->values[chunk];
}

int wan_sums_step(wan_sums *s, int file, uint64_t *at, uint64_t up_to, wan_hash *hash)
{
    const int64_t end_ns = prog_now_ns() + STEP_NS;
    assert(*at % s->chunk_size == 0 && up_to <= s->size);
    for (uint64_t end = *at + (hash ? STEP_HASHED : STEP); *at < up_to && *at < end && prog_now_ns() < end_ns;) {
        const uint32_t chunk = (uint32_t)(*at / s->chunk_size);
        const size_t size = size_of(s, chunk);
        const int good = s->states[chunk] == WAN_SUM_DAMAGED ? 0 : is_good(s, file, chunk);
        if (good < 0) return -1;
        if (!good) {
            s->damaged += s->states[chunk] != WAN_SUM_DAMAGED;
            s->states[chunk] = WAN_SUM_DAMAGED;
            if (hash) return 0;
        } else if (hash) {
            dx_cas_blake3_update(&hash->state, s->bytes, size);
        }
        *at += size;
    }
    return 0;
}

bool wan_sums_doubt(wan_sums *s)
{
    const uint32_t before = s->damaged;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->states[i] != WAN_SUM_READ) continue;
        s->states[i] = WAN_SUM_DAMAGED;
        s->damaged++;
    }
    return s->damaged > before;
}

uint32_t wan_sums_take(wan_sums *s, uint32_t from)
{
    while (from < s->count && s->states[from] != WAN_SUM_DAMAGED) from++;
    if (from == s->count) return from;
    s->states[from] = WAN_SUM_NONE;
    s->damaged--;
    return from;
}
