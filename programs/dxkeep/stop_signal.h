/* --stop-signal: what ends the program. PostgreSQL, for example, waits for its clients after SIGTERM, but not
   after SIGINT. */
#ifndef DXKEEP_STOP_SIGNAL_H
#define DXKEEP_STOP_SIGNAL_H

#include <stdbool.h>
#include <stddef.h>

/* The program shall get this signal (INT, SIGINT) in place of SIGTERM. NULL: SIGTERM. False: there is none of
   that name. Before any process is started. */
bool keep_stop_signal_set(const char *name);
/* What the program gets for a signal that dxkeep got. */
int  keep_signal_for_program(int number);

#endif
