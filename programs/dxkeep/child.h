/* The program that dxkeep runs, and the signals of both. As PID 1 of a container, dxkeep also
   inherits and reaps orphaned processes. */
#ifndef DXKEEP_CHILD_H
#define DXKEEP_CHILD_H

#include "guard.h" /* first: it defines _GNU_SOURCE */

#include "../../dx_reactor.h"

typedef struct keep_child {
    int  pid;    /* 0: none */
    bool ended;
    int  status; /* for exit(), once it has ended */
    keep_guard *guard; /* its parent */
} keep_child;

/* May a program be sent it by way of dxkeep? */
bool keep_signal_is_forwarded(int number);
/* A signal from the terminal (Ctrl-C) reaches the program directly as well as dxkeep. */
bool keep_signal_is_from_terminal(const siginfo_t *info);
/* From now on signals wake the reactor, which must stay open until keep_signals_end(). At most one
   reactor per process. */
void keep_signals_begin(dx_reactor *r);
void keep_signals_end(void);
/* Let the guard start its program. Returns PROG_OK even if it cannot be executed: then it counts as ended with
   status 126 or 127, and a message gives the reason. */
int  keep_child_start(keep_child *c, keep_guard *guard, char **program);
/* Forward the signals received since the last call, and reap ended children. True: there is no
   program (pid 0), and a signal asks dxkeep to end. */
bool keep_child_tend(keep_child *c);

#endif
