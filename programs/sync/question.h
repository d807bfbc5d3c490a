/* Fill a client's request for objects, and store its answer: for net/sync.c with a server, for
   net/price.c without one. */
#ifndef DXUP_QUESTION_H
#define DXUP_QUESTION_H

#include "bundle.h"
#include "whole.h"
#include "../versions/tree/missing.h"

enum {
    DXUP_ASKED_AT_ONCE = 2,  /* requests per connection: servers queue no more */
    /* bytes of a pull without its objects, both ways: */
    DXUP_GREETING      = 330, /* Hello of both connections, the first request and its reply */
    DXUP_FILE_GREETING = DXUP_GREETING + 150 /* a file is requested twice: a patch first, then its objects */
};

typedef struct dxup_question { /* a request without an answer yet */
    dxup_bundle_request request; /* size_only: for counting */
    uint32_t            tickets[DXUP_BUNDLE_IDS_MAX];
    bool                content[DXUP_BUNDLE_IDS_MAX]; /* the object refers to nothing */
    /* instead of objects: */
    bool                   is_whole; /* a patch of this file, which has tickets[0] */
    versions_missing_whole whole;
    bool                   announced; /* the size of the patch was */
    container_bytes        patch;    /* the received part of it */
} dxup_question;

/* Missing content, counted instead of requested; each object once. Zero it first, and free it with
   versions_known_free(&seen). With sizes, the server says how many bytes it would send for each
   request, and bytes is what all requests and answers would take. Objects that refer to others are
   counted so first, and then requested as well. */
typedef struct dxup_lacking {
    versions_known seen;
    uint64_t       bytes;
    uint64_t       objects;
    bool           sizes;
} dxup_lacking;

typedef struct dxup_asker { /* the context of a request; everything is borrowed */
    versions_missing   *lack;
    versions_store     *store;   /* of lack */
    const dxup_bundler *bundler;
    const char         *name;    /* of the version, for messages */
    bool                patches; /* the server supports patches between objects */
    dxup_lacking       *lacking; /* not NULL: count content instead of requesting it */
} dxup_asker;

/* Fill all but the transfer. *none: there is nothing to request now; *full: more objects are
   missing than fit. */
int dxup_question_fill(const dxup_asker *a, dxup_question *q, bool *none, bool *full);
/* Store the received objects, and mark the others as missing again. Adds their bytes to *got, and
   the bytes of those sent without a base to *fresh. */
int dxup_question_add(const dxup_asker *a, const dxup_question *q, const dxup_bundle *b,
                      uint64_t *got, uint64_t *fresh);

/* The answer to a request that is size_only: count it. False: it is malformed. */
bool dxup_question_count(const dxup_asker *a, const dxup_question *q, const uint8_t *answer,
                         size_t size);
/* The bytes of a request for objects and its answer on the wire, and of one for a patch of a file. */
uint64_t dxup_question_cost(const dxup_question *q, size_t answer);
uint64_t dxup_question_whole_cost(size_t patch);

/* Make it a request for a patch of a file. False: none is offered. */
bool dxup_question_fill_whole(const dxup_asker *a, dxup_question *q);
/* Its patch is complete: apply it, and store the missing chunks; or mark these as missing, then *cannot
   says whether other patches will fail here, too. */
int dxup_question_add_whole(const dxup_asker *a, dxup_question *q, uint64_t *got, bool *cannot);

#endif
