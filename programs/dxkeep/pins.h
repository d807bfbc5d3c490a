/* Versions that a collection never removes. They are in files of their own next to the store's log, so that a
   version can be pinned while another process writes to the store. */
#ifndef DXKEEP_PINS_H
#define DXKEEP_PINS_H

#include "../common/common.h"

typedef struct keep_pins {
    uint64_t *versions; /* of one name, ascending */
    size_t    count;
} keep_pins;

/* Wait until no collection is about to replace the log, at most a second. Returns a lock, which
   os_close() ends; -1, with a message. */
int  keep_pins_lock(const char *store);
/* The pins of a name; none if there is no file of them. PROG_DAMAGED, with a message. */
int  keep_pins_load(keep_pins *p, const char *store, const char *name);
void keep_pins_free(keep_pins *p);
bool keep_pins_have(const keep_pins *p, uint64_t version);
/* Add or remove one; the caller holds the lock. *changed: it was not as wanted before. */
int  keep_pins_set(const char *store, const char *name, uint64_t version, bool pinned, bool *changed);

#endif
