/* run --supervise: a small process that stays, above the program and the dxkeep that captures. It does
   what the guard does, and starts dxkeep again when that was killed, while the program runs on.

       caller ----> supervisor ----> program ----> its children
                        |
                        +----------> dxkeep, which captures

   The supervisor has no store, no threads, and memory that does not grow. The caller's signals reach it,
   and its exit status is the program's. */
#ifndef DXKEEP_SUPERVISE_H
#define DXKEEP_SUPERVISE_H

#include "guard.h" /* first: it defines _GNU_SOURCE */

/* True: this is the dxkeep that captures, with the open guard *g; that may have started the program already.
   False: all has ended, with this status. */
bool keep_supervise(keep_guard *g, char **program, uint64_t grace_ns, int *status);

#endif
