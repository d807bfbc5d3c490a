/* See question.h. */
#include "question.h"

#include "../../dx_hbtp.h"

#include <string.h>

enum {
    WANTED_BYTES = 800 << 10, /* per request, as far as sizes are known */
    BASES_BYTES  = 640 << 10, /* the server ignores bases beyond 960 KiB */
    PIECE_SIZE    = 65536, /* of content in a FileChunk */
    CHUNK_EXTRA   = DX_HBTP_FILE_CHUNK_OVERHEAD,
    REQUEST_EXTRA = 24, /* frames of a request and its response */
    WHOLE_EXTRA   = 130 /* a request for a patch of a file, and its reply */
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

/* >>counting ----------------------------------------------------------- */
static uint64_t frames_size(size_t answer)
{
    return answer + (answer + PIECE_SIZE - 1) / PIECE_SIZE * (uint64_t)CHUNK_EXTRA;
}

uint64_t dxup_question_cost(const dxup_question *q, size_t answer)
{
    uint8_t request[DXUP_BUNDLE_REQUEST_MAX];
    return dxup_bundle_write_request(&q->request, request) + REQUEST_EXTRA + frames_size(answer);
}

uint64_t dxup_question_whole_cost(size_t patch)
{
    return WHOLE_EXTRA + REQUEST_EXTRA + frames_size(patch);
}

/* While sizes are counted: does the next object belong to this request? *skip: it was counted and needs
   no other request. An object that refers to others comes twice: the second time it is fetched. */
static bool suits(const dxup_lacking *l, dxup_question *q, const versions_missing_object *object,
                  bool *skip)
{
    const bool counted = versions_known_has(&l->seen, object->id);
    *skip = counted && object->content;
    if (*skip) return true;
    if (!q->request.want_count) q->request.size_only = !counted;
    return q->request.size_only == !counted;
}

bool dxup_question_count(const dxup_asker *a, const dxup_question *q, const uint8_t *answer,
                         size_t size)
{
    uint32_t count = 0;
    size_t whole = 0;
    if (!dxup_bundle_read_size(answer, size, q->request.want_count, &count, &whole)) return false;
    a->lacking->bytes += dxup_question_cost(q, whole);
    for (uint32_t i = q->request.want_count; i-- > 0;) {
        const bool done = i < count;
        if (done && versions_known_put(&a->lacking->seen, q->request.ids[i])) a->lacking->objects++;
        if (done && q->content[i]) versions_missing_skip(a->lack, q->tickets[i]);
        else versions_missing_return(a->lack, q->tickets[i]);
    }
    return true;
}

/* >>requests ----------------------------------------------------------- */
int dxup_question_fill(const dxup_asker *a, dxup_question *q, bool *none, bool *full)
{
    uint8_t bases[DXUP_BUNDLE_IDS_MAX][PROG_HASH_SIZE];
    dxup_bundle_request *r = &q->request;
    versions_missing_object object;
    uint64_t bytes = 0, base_bytes = 0;
    bool end_of_list = false, skip = false;
    const bool sizes = a->lacking && a->lacking->sizes;
    q->is_whole = r->size_only = false;
    r->want_count = r->base_count = 0;
    while (!end_of_list && bytes < WANTED_BYTES && base_bytes < BASES_BYTES &&
           r->want_count + r->base_count + 1 + VERSIONS_MISSING_BASES_MAX <= DXUP_BUNDLE_IDS_MAX) {
        int status =
            versions_missing_next(a->lack, &object, &q->tickets[r->want_count], &end_of_list);
        if (status) return status;
        if (end_of_list) break;
        if (sizes && !suits(a->lacking, q, &object, &skip)) {
            versions_missing_return(a->lack, q->tickets[r->want_count]);
            break;
        }
        if (sizes ? skip : a->lacking && object.content) {
            if (!sizes) count_lacking(a->lacking, &object);
            versions_missing_skip(a->lack, q->tickets[r->want_count]);
            continue;
        }
        q->content[r->want_count] = object.content;
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
        status = versions_missing_store_whole(a->lack, q->tickets[0], made.bytes);
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
