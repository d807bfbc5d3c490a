/* The leases of names whose versions another machine sends: docs/formats/push.md, section 3. */
#ifndef DXUP_LEASES_H
#define DXUP_LEASES_H

#include "../../sync/wire.h"

enum { DXUP_LEASES_MAX = 1024 };

typedef struct dxup_lease { /* in STORE/lease-HASH, the hash of the name */
    uint64_t epoch;    /* grows with each holder; 0: nobody has had it */
    uint32_t lease_ms; /* how long the holder has it after each renewal */
    uint8_t  holder[DXUP_HOLDER_SIZE];
} dxup_lease;

typedef struct dxup_leases dxup_leases;

/* store: its folder. */
dxup_leases *dxup_leases_open(const char *store);
void         dxup_leases_close(dxup_leases *l);
/* The lease as the file has it. PROG_DAMAGED, PROG_SYSTEM: prints a message. */
int dxup_leases_read(const dxup_leases *l, const char *name, dxup_lease *out);
/* May holder have the lease now? *left_ms: how long another one has it. *renews: the holder has it. After a
   start every lease counts as just renewed. */
bool dxup_leases_free(dxup_leases *l, const char *name, const dxup_lease *now,
                      const uint8_t holder[DXUP_HOLDER_SIZE], const uint8_t before[DXUP_HOLDER_SIZE],
                      bool *renews, uint32_t *left_ms);
/* The holder was heard: the lease begins anew. */
void dxup_leases_renew(dxup_leases *l, const char *name, const dxup_lease *now);
/* The holder needs it no longer. */
void dxup_leases_end(dxup_leases *l, const char *name, const dxup_lease *now);
/* Durable when it returns. Only with the lock of the store. */
int dxup_leases_write(const dxup_leases *l, const char *name, const dxup_lease *lease);

#endif
