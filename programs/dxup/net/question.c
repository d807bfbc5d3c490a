/* See question.h. */
#include "question.h"

#include <string.h>

enum {
    WANTED_BYTES = 800 << 10, /* per request, as far as sizes are known */
    BASES_BYTES  = 640 << 10  /* the server ignores bases beyond 960 KiB */
};

/* Add bases, except those that the request already has. Returns the bytes added. */
static uint64_t add_bases(versions_store *store, dxup_bundle_request *r,
                          uint8_t (*bases)[PROG_HASH_SIZE], const versions_missing_object *object)
{
    uint64_t bytes = 0, size = 0;
    for (unsigned k = 0; k < object->base_count; k++) {
        uint32_t i = 0;
        while (i < r->base_count && memcmp(bases[i], object->bases[k], PROG_HASH_SIZE)) i++;
        if (i < r->base_count) continue;
        memcpy(bases[r->base_count++], object->bases[k], PROG_HASH_SIZE);
        if (versions_object_size(store, object->bases[k], &size)) bytes += size;
    }
    return bytes;
}

static void count_lacking(dxup_lacking *l, const versions_missing_object *object)
{
    if (!versions_known_put(&l->seen, object->id)) return;
    l->bytes += object->size;
    l->objects++;
}

int dxup_question_fill(const dxup_asker *a, dxup_question *q, bool *none, bool *full)
{
    uint8_t bases[DXUP_BUNDLE_IDS_MAX][PROG_HASH_SIZE];
    dxup_bundle_request *r = &q->request;
    versions_missing_object object;
    uint64_t bytes = 0, base_bytes = 0;
    bool end_of_list = false;
    q->is_whole = false;
    r->want_count = r->base_count = 0;
    while (!end_of_list && bytes < WANTED_BYTES && base_bytes < BASES_BYTES &&
           r->want_count + r->base_count + 1 + VERSIONS_MISSING_BASES_MAX <= DXUP_BUNDLE_IDS_MAX) {
        int status =
            versions_missing_next(a->lack, &object, &q->tickets[r->want_count], &end_of_list);
        if (status) return status;
        if (end_of_list) break;
        if (a->lacking && object.content) {
            count_lacking(a->lacking, &object);
            versions_missing_skip(a->lack, q->tickets[r->want_count]);
            continue;
        }
        memcpy(r->ids[r->want_count++], object.id, PROG_HASH_SIZE);
        base_bytes += add_bases(a->store, r, bases, &object);
        bytes += object.size;
    }
    *none = !r->want_count;
    *full = !end_of_list;
    if (*none) return PROG_OK;
    memcpy(r->ids[r->want_count], bases, (size_t)r->base_count * PROG_HASH_SIZE);
    r->zstd = dxup_bundler_has_zstd(a->bundler);
    r->patches = a->patches;
    return PROG_OK;
}

int dxup_question_add(const dxup_asker *a, const dxup_question *q, const dxup_bundle *b,
                      uint64_t *got, uint64_t *fresh)
{
    const uint8_t *at = b->bytes;
    int status = PROG_OK;
    for (uint32_t i = 0; !status && i < b->count; i++) {
        if (b->sizes[i] == DXUP_BUNDLE_MISSING)
            return prog_fail(PROG_NETWORK, "the server no longer has all of this version of '%s'; "
                                           "pull again", a->name);
        status = versions_missing_store(a->lack, q->tickets[i], at, b->sizes[i]);
        at += b->sizes[i];
        *got += b->sizes[i];
        if (!b->based) *fresh += b->sizes[i];
    }
    for (uint32_t i = q->request.want_count; !status && i-- > b->count;)
        versions_missing_return(a->lack, q->tickets[i]);
    return status;
}

bool dxup_question_fill_whole(const dxup_asker *a, dxup_question *q)
{
    q->is_whole = versions_missing_next_whole(a->lack, &q->whole, &q->tickets[0]);
    q->announced = false;
    q->patch = (container_bytes){.max = 0};
    return q->is_whole;
}

int dxup_question_add_whole(const dxup_asker *a, dxup_question *q, uint64_t *got, bool *cannot)
{
    container_bytes made = {0};
    int status = PROG_OK;
    *cannot = false;
    switch (dxup_whole_apply(a->store, &q->whole, &q->patch, &made)) {
    case DXUP_WHOLE_MADE:
        status = versions_missing_take_whole(a->lack, q->tickets[0], made.bytes);
        *got += q->whole.lacking;
        break;
    case DXUP_WHOLE_CANNOT: *cannot = true; /* fall through */
    case DXUP_WHOLE_STALE: versions_missing_return_whole(a->lack, q->tickets[0], false); break;
    case DXUP_WHOLE_WRONG: status = PROG_DAMAGED; break;
    }
    container_drop(&made);
    container_drop(&q->patch);
    return status;
}
