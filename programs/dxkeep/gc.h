/* Which versions stay, and the collection of the others between the captures of a daemon. */
#ifndef DXKEEP_GC_H
#define DXKEEP_GC_H

#include "keep.h"

/* The collections of `run` and `daemon`. Zero it, and set o. */
typedef struct keep_gc keep_gc;

/* PROG_USAGE, with a message: not a rule such as hourly=24,daily=30. */
int  keep_rule_check(const char *text);
/* NULL: no rule was given, as below. */
keep_gc *keep_gc_open(const keep_options *o);
/* When keep_gc_tick() wants to be called, as prog_now_ns(). */
int64_t  keep_gc_due_ns(const keep_gc *g);
/* Do a part of the work between two captures, for some milliseconds. The last part replaces the log
   of the store, and opens c->store again. */
void     keep_gc_tick(keep_gc *g, keep_capture *c);
/* The store may have been closed: give up a collection in progress. Call it after each failed capture,
   and before c is closed. */
void     keep_gc_stop(keep_gc *g);
void     keep_gc_close(keep_gc *g);

#endif
