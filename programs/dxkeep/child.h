/* The program that dxkeep runs, and the signals of both. As the first process of a container dxkeep
   also gets the children that others leave behind, and reaps them. */
#ifndef DXKEEP_CHILD_H
#define DXKEEP_CHILD_H

#include "../common/common.h" /* first: it asks for _GNU_SOURCE */

#include "../../dx_reactor.h"

typedef struct keep_child {
    int  pid;    /* 0: there is none */
    bool ended;
    int  status; /* for exit(), once it has ended */
} keep_child;

/* From now on signals that end or direct a program wake the reactor, which is open until
   keep_signals_end(). Once in a process at a time. */
void keep_signals_begin(dx_reactor *r);
void keep_signals_end(void);
/* Start the program. PROG_OK also if it cannot be executed: then it has ended, with status 126
   or 127, and a message says why. */
int  keep_child_start(keep_child *c, char **program);
/* Pass on the signals that came since, and reap what has ended. true: without a program (pid 0),
   one of them says that dxkeep is to end. */
bool keep_child_tend(keep_child *c);

#endif
