/* Objects by their hash: stored whole, as a delta of another one, or compressed by the caller. They
   are verified on every read. */
#include "inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static dx_cas_id id_of(const uint8_t bytes[PROG_HASH_SIZE])
{
    dx_cas_id id;
    memcpy(id.bytes, bytes, sizeof id.bytes);
    return id;
}

int versions_object_same(versions_store *s, const uint8_t id[PROG_HASH_SIZE], const void *data,
                         size_t size)
{
    if (!s->paranoid) return PROG_OK;
    const dx_cas_id wanted = id_of(id);
    char text[2 * PROG_HASH_SIZE + 1];
    size_t got = 0;
    void *bytes = prog_alloc(size + 1);
    const int error = dx_cas_get(&s->cas, &wanted, bytes, size, &got);
    const bool same = !error && got == size && !memcmp(bytes, data, size);
    free(bytes);
    if (same) return PROG_OK;
    if (error == DX_CAS_ESYS) return versions_store_fail(s, error, s->path);
    prog_hash_text(id, text);
    return prog_fail(PROG_DAMAGED, "%s has other content under the hash %s than the directory; "
                     "'dxkeep verify %s' lists the versions that need it", s->path, text, s->path);
}

/* The same before a put, which stores nothing if the object is there. */
static int check_same(versions_store *s, const void *data, size_t size)
{
    dx_cas_id id;
    uint64_t is;
    if (!s->paranoid) return PROG_OK;
    dx_cas_hash(data, size, &id);
    return dx_cas_object_size(&s->cas, &id, &is) ? PROG_OK : versions_object_same(s, id.bytes, data, size);
}

int versions_object_put(versions_store *s, const void *data, size_t size,
                        uint8_t id[PROG_HASH_SIZE])
{
    dx_cas_id made;
    assert(data || !size);
    int status = check_same(s, data, size);
    if (status) return status;
    int error = dx_cas_put(&s->cas, data, size, &made);
    if (error) return versions_store_fail(s, error, s->path);
    memcpy(id, made.bytes, sizeof made.bytes);
    return PROG_OK;
}

int versions_object_put_like(versions_store *s, const void *data, size_t size,
                             const uint8_t base[32], size_t limit, uint8_t id[PROG_HASH_SIZE])
{
    assert(data || !size);
    dx_cas_id like = id_of(base);
    dx_cas_id made;
    int status = check_same(s, data, size);
    if (status) return status;
    int error = dx_cas_delta_put(&s->delta, data, size, &like, limit, &made);
    if (error) return versions_store_fail(s, error, s->path);
    memcpy(id, made.bytes, sizeof made.bytes);
    return PROG_OK;
}

int versions_object_put_packed(versions_store *s, const void *data, size_t size, const void *packed,
                               size_t packed_size, const uint8_t *base, uint8_t id[PROG_HASH_SIZE])
{
    assert(!s->packed_of);
    assert(!packed_size || packed_size < size);
    s->packed_of = data;
    s->packed = packed;
    s->packed_size = packed_size;
    if (s->hurry && base && prog_now_ns() >= s->whole_from_ns) base = NULL;
    int status = base ? versions_object_put_like(s, data, size, base, packed_size, id)
                      : versions_object_put(s, data, size, id);
    s->packed_of = NULL;
    return status;
}

int versions_object_put_after(versions_store *s, const void *data, size_t size, const uint8_t *base,
                              uint8_t id[PROG_HASH_SIZE])
{
    const size_t limit = size / 2;
    if (!base || !limit || (s->hurry && prog_now_ns() >= s->whole_from_ns))
        return versions_object_put(s, data, size, id);
    return versions_object_put_like(s, data, size, base, limit, id);
}

void versions_store_set_seed(versions_store *s, versions_seed_fn *seed, void *user)
{
    s->seed = seed;
    s->seed_user = user;
}

void versions_store_share_seed(versions_store *s, const versions_store *with)
{
    versions_store_set_seed(s, with->seed, with->seed_user);
}

bool versions_object_size(versions_store *s, const uint8_t id[PROG_HASH_SIZE], uint64_t *size)
{
    dx_cas_id wanted = id_of(id);
    size_t is = 0;
    if (!dx_cas_object_size(&s->cas, &wanted, size)) return true;
    if (!s->seed || s->seed(s->seed_user, id, NULL, 0, &is)) return false;
    *size = is;
    return true;
}

bool versions_object_has(versions_store *s, const uint8_t id[PROG_HASH_SIZE], uint64_t size)
{
    uint64_t is = 0;
    return versions_object_size(s, id, &is) && (!size || is == size);
}

void versions_list_id(const void *list, size_t size, uint8_t id[PROG_HASH_SIZE])
{
    static const char context[] = "dx_cas v1 list node";
    dx_cas_blake3 h;
    dx_cas_blake3_init_derive(&h, context, sizeof context - 1);
    dx_cas_blake3_update(&h, list, size);
    dx_cas_blake3_final(&h, id, PROG_HASH_SIZE);
}

/* Read an object from the seed: a file, which may have changed since it was indexed. */
static int get_from_seed(versions_store *s, const dx_cas_id *id, void *out, size_t capacity,
                         size_t *size)
{
    dx_cas_id is;
    int status = s->seed(s->seed_user, id->bytes, out, capacity, size);
    if (status) return status;
    dx_cas_hash(out, *size, &is);
    if (!memcmp(is.bytes, id->bytes, sizeof is.bytes)) return PROG_OK;
    versions_list_id(out, *size, is.bytes);
    if (!memcmp(is.bytes, id->bytes, sizeof is.bytes)) return PROG_OK;
    return prog_fail(PROG_REFUSED, "the destination changed while it was read; try again");
}

bool versions_object_base(versions_store *s, const uint8_t id[PROG_HASH_SIZE],
                          uint8_t base[PROG_HASH_SIZE])
{
    dx_cas_id wanted, found;
    uint32_t depth;
    memcpy(wanted.bytes, id, sizeof wanted.bytes);
    if (dx_cas_delta_base(&s->delta, &wanted, &found, &depth)) return false;
    memcpy(base, found.bytes, sizeof found.bytes);
    return true;
}

int versions_object_get(versions_store *s, const uint8_t id[PROG_HASH_SIZE], void *out,
                        size_t capacity, size_t *size)
{
    dx_cas_id wanted = id_of(id);
    int error = dx_cas_get(&s->cas, &wanted, out, capacity, size);
    if (error == DX_CAS_ENOTFOUND && s->seed) {
        int status = get_from_seed(s, &wanted, out, capacity, size);
        if (status != PROG_NOT_FOUND) return status;
    }
    if (error == DX_CAS_ENOTFOUND || error == DX_CAS_ENOSPACE) error = DX_CAS_ECORRUPT;
    return error ? versions_store_fail(s, error, "a snapshot") : PROG_OK;
}
