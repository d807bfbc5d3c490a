/* See price.h. The client is a store in a temporary folder. It reads objects of the old snapshot from
   the other store, as a pull reads them from the destination (versions_store_set_seed()), and lacks
   the rest:

       lack --> question --> dxup_bundle_make(store) --> answer --> dxup_bundle_open() --> lack
                   |                                       |
                   +------------ their bytes are counted --+                                    */
#include "price.h"

#include "../../common/os.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "patches.h"
#include "../../sync/question.h"
#include "../../versions/tree/content.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef struct price {
    versions_store *store;
    versions_store *client;
    versions_known  has; /* objects of the old snapshot */
    dxup_bundler   *server_side, *client_side;
    dxup_asker      asker;
    dxup_question   asked[DXUP_ASKED_AT_ONCE];
    unsigned        asked_count;
    uint64_t        patch_max; /* of the server */
    uint64_t        size;
    uint64_t        fresh; /* bytes of objects that were sent without a base */
} price;

static int note_object(void *user, const uint8_t id[32])
{
    price *p = user;
    (void)versions_known_put(&p->has, id);
    return PROG_OK;
}

/* The seed of the client's store: objects of the destination. */
static int read_seed(void *user, const uint8_t id[PROG_HASH_SIZE], void *out, size_t capacity,
                     size_t *size)
{
    price *p = user;
    uint64_t there = 0;
    if (!versions_known_has(&p->has, id)) return PROG_NOT_FOUND;
    if (out) return versions_object_get(p->store, id, out, capacity, size);
    if (!versions_object_size(p->store, id, &there)) return PROG_NOT_FOUND;
    *size = (size_t)there;
    return PROG_OK;
}

static int answer_first(price *p)
{
    uint8_t *answer = NULL;
    uint64_t got = 0;
    size_t size = 0;
    dxup_bundle b;
    const dxup_question *q = &p->asked[0];
    int status = dxup_bundle_make(p->server_side, p->store, &q->request, &answer, &size);
    if (status) return status;
    p->size += dxup_question_cost(q, size);
    status = dxup_bundle_open(p->client_side, p->client, &q->request, answer, size, &b);
    if (!status) status = dxup_question_add(&p->asker, q, &b, &got, &p->fresh);
    free(answer);
    memmove(p->asked, p->asked + 1, --p->asked_count * sizeof *p->asked);
    return status;
}

/* The next file that is requested as a whole: its patch, or a refusal. *none: there is no such file. */
static int answer_whole(price *p, bool *none)
{
    dxup_question q;
    size_t size = 0;
    *none = !dxup_question_fill_whole(&p->asker, &q);
    if (*none) return PROG_OK;
    const versions_missing_whole *w = &q.whole;
    uint8_t *patch = dxup_patches_make_file(p->store, p->patch_max, &w->old, &w->file,
                                            container_kinds(), &size);
    free(patch);
    if (!patch || size >= w->lacking) size = 0;
    p->size += dxup_question_whole_cost(size);
    container_bytes file = {0};
    const bool read = size && dxup_whole_read(p->store, &w->file, &file);
    const int status =
        read ? versions_missing_store_whole(p->asker.lack, q.tickets[0], file.bytes) : PROG_OK;
    if (!read) versions_missing_return_whole(p->asker.lack, q.tickets[0], false);
    container_drop(&file);
    return status;
}

static int transfer(price *p)
{
    uint32_t number = 0;
    int status = PROG_OK;
    while (!status && !versions_missing_is_done(p->asker.lack)) {
        bool no_whole = false;
        while (!status && !no_whole) status = answer_whole(p, &no_whole);
        bool none = false, full;
        while (!status && !none && p->asked_count < DXUP_ASKED_AT_ONCE) {
            dxup_question *q = &p->asked[p->asked_count];
            status = dxup_question_fill(&p->asker, q, &none, &full);
            q->request.transfer = ++number;
            p->asked_count += !status && !none;
        }
        if (!status && p->asked_count) status = answer_first(p);
        else if (!status && !versions_missing_has_whole(p->asker.lack)) break; /* nothing is missing */
        prog_progress("measuring a pull", p->size, 0, false);
    }
    prog_progress(NULL, 0, 0, true);
    return status;
}

/* Fetch what is missing, as the client does. */
static int fetch(price *p, versions_missing *lack)
{
    p->asker = (dxup_asker){.lack = lack, .store = p->client, .bundler = p->client_side,
                            .name = "a version", .patches = true};
    int status = transfer(p);
    versions_missing_close(lack);
    versions_store_set_seed(p->client, NULL, NULL);
    return status;
}

static int run(price *p, const uint8_t *from, const uint8_t *to)
{
    const versions_limits limits = {VERSIONS_ENTRIES_MAX, VERSIONS_SIZE_MAX};
    versions_known known = {0};
    int status = PROG_OK;
    if (from) status = versions_snapshot_visit(p->store, from, &known, note_object, p);
    versions_known_free(&known);
    if (status) return status;
    if (from) (void)versions_known_put(&p->has, from);
    versions_store_set_seed(p->client, read_seed, p);
    versions_missing *lack = versions_missing_open(p->client, to, from, &limits);
    versions_missing_choose(lack, dxup_whole_is_container, p->client, DXUP_WHOLE_FROM);
    return fetch(p, lack);
}

/* >>files --------------------------------------------------------------- */
/* The client has this chunk, or this list and everything below it. */
static int note_part(price *p, const uint8_t id[PROG_HASH_SIZE], uint8_t level, uint64_t size)
{
    dx_tree_list_view view;
    size_t got = 0;
    assert(level <= DX_TREE_LEVELS_MAX);
    (void)versions_known_put(&p->has, id);
    if (!level) return PROG_OK;
    uint8_t *bytes = prog_alloc(DX_TREE_LIST_SIZE_MAX);
    int status = versions_object_get(p->store, id, bytes, DX_TREE_LIST_SIZE_MAX, &got);
    if (!status && dx_tree_list_open(&view, bytes, got, level, size))
        status = prog_fail(PROG_DAMAGED, "a list of chunks in %s is damaged", versions_store_path(p->store));
    for (uint32_t i = 0; !status && i < view.count; i++) {
        uint64_t under;
        const uint8_t *child = dx_tree_list_child(&view, i, &under);
        status = note_part(p, child, (uint8_t)(level - 1), under);
    }
    free(bytes);
    return status;
}

/* The client keeps the lists that it receives: from now on they are found in the other store. */
static void keep_list(void *user, const uint8_t id[PROG_HASH_SIZE], const void *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    (void)note_object(user, id);
}

static int run_file(price *p, const dx_tree_entry *from, const dx_tree_entry *to)
{
    const versions_missing_file file = {.entry = *to, .old = from, .keep = keep_list, .user = p};
    const int status = from ? note_part(p, from->id, from->level, from->size) : PROG_OK;
    if (status) return status;
    p->size = DXUP_FILE_GREETING;
    versions_store_set_seed(p->client, read_seed, p);
    return fetch(p, versions_missing_open_file(p->client, &file));
}

/* >>prices -------------------------------------------------------------- */
typedef struct sides { /* of a directory, or of a file */
    const uint8_t       *from, *to;
    const dx_tree_entry *from_file, *to_file;
    uint64_t             fresh;
} sides;

static int calculate(versions_store *s, sides *of, uint64_t patch_max, uint64_t *size)
{
    char folder[PROG_PATH_SIZE_MAX + 1];
    *size = 0;
    if (os_make_temporary_folder(folder, sizeof folder) < 0)
        return prog_fail_errno("the temporary directory");
    price *p = prog_alloc(sizeof *p);
    memset(p, 0, sizeof *p);
    p->store = s;
    p->size = DXUP_GREETING;
    p->patch_max = patch_max;
    p->server_side = dxup_bundler_open();
    p->client_side = dxup_bundler_open();
    int status = versions_store_open(&p->client, folder, VERSIONS_CREATE);
    if (!status) {
        status = of->to_file ? run_file(p, of->from_file, of->to_file) : run(p, of->from, of->to);
        versions_store_close(p->client);
    }
    *size = p->size;
    of->fresh = p->fresh;
    versions_known_free(&p->has);
    dxup_bundler_close(p->server_side);
    dxup_bundler_close(p->client_side);
    free(p);
    const int removed = prog_remove_all(folder);
    return status ? status : removed;
}

int dxup_price(versions_store *s, const uint8_t from[PROG_HASH_SIZE],
               const uint8_t to[PROG_HASH_SIZE], uint64_t patch_max, uint64_t *size)
{
    *size = 0;
    if (from && !memcmp(from, to, PROG_HASH_SIZE)) return PROG_OK;
    return calculate(s, &(sides){.from = from, .to = to}, patch_max, size);
}

int dxup_price_file(versions_store *s, const dx_tree_entry *from, const dx_tree_entry *to,
                    uint64_t *size, bool *reused)
{
    sides of = {.from_file = from, .to_file = to};
    const int status = calculate(s, &of, 0, size);
    *reused = !status && from && of.fresh < to->size;
    return status;
}
#else
int dxup_price(versions_store *s, const uint8_t from[PROG_HASH_SIZE],
               const uint8_t to[PROG_HASH_SIZE], uint64_t patch_max, uint64_t *size)
{
    (void)s;
    (void)from;
    (void)to;
    (void)patch_max;
    *size = 0;
    return prog_fail(PROG_SYSTEM, "--no-cost is needed here: this dxup cannot pull directories as "
                                  "objects");
}

int dxup_price_file(versions_store *s, const dx_tree_entry *from, const dx_tree_entry *to,
                    uint64_t *size, bool *reused)
{
    *reused = false;
    return dxup_price(s, from ? from->id : NULL, to->id, 0, size);
}
#endif
