/* Whether all workers can answer, and why not. /healthz says the same on whichever worker it arrives,
   and each reason is printed once, whichever workers have it. Safe to call on every thread. */
#ifndef DXDB_HEALTH_H
#define DXDB_HEALTH_H

#include "dxdb.h"

enum { DXDB_HEALTH_SIZE = DXDB_TEXT_SIZE + 192 };

/* Before the workers start: each of them has yet to reach the database. */
void dxdb_health_begin(uint32_t workers);
/* A worker can answer: `what` is NULL. Or it cannot, and tries again: a message says so, unless another
   worker has the same reason. When all can answer again, a message says that, too. why: for the log;
   reason: the same without names, for everybody. */
void dxdb_health_set(uint32_t worker, const char *what, const char *why, const char *reason);
/* False: some worker cannot answer, and out has the reason. */
bool dxdb_health_get(char out[DXDB_HEALTH_SIZE]);
uint32_t dxdb_health_workers(void);

#endif
