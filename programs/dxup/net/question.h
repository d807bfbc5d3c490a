/* Fill a client's request for objects, and take its answer: net/sync.c with a server,
   net/price.c without one. */
#ifndef DXUP_QUESTION_H
#define DXUP_QUESTION_H

#include "bundle.h"
#include "../../versions/tree/missing.h"

enum { DXUP_ASKED_AT_ONCE = 2 }; /* on a connection: as many as servers let wait */

typedef struct dxup_question { /* a request whose answer has not come */
    dxup_bundle_request request;
    uint32_t            tickets[DXUP_BUNDLE_IDS_MAX];
} dxup_question;

/* Content that is lacking, counted and not asked for; each object once. Zero at first, and freed by
   versions_known_free(&seen). */
typedef struct dxup_lacking {
    versions_known seen;
    uint64_t       bytes;
    uint64_t       objects;
} dxup_lacking;

typedef struct dxup_asker { /* who asks; all is borrowed */
    versions_missing   *lack;
    versions_store     *store;   /* of lack */
    const dxup_bundler *bundler;
    const char         *name;    /* of the version, for messages */
    bool                patches; /* the server knows patches of objects */
    dxup_lacking       *lacking; /* not NULL: count content instead of asking for it */
} dxup_asker;

/* All but its transfer. *none: there is nothing to ask for now; *full: no more would fit. */
int dxup_question_fill(const dxup_asker *a, dxup_question *q, bool *none, bool *full);
/* What has come goes into the store, what has not is lacking again. Its bytes are added to *got, and
   to *fresh those that came without a base. */
int dxup_question_take(const dxup_asker *a, const dxup_question *q, const dxup_bundle *b,
                       uint64_t *got, uint64_t *fresh);

#endif
