/* Metrics in the text format of Prometheus, over HTTP: GET /metrics. POSIX only. One thread answers one
   request at a time, each within two seconds, so that a slow client delays only other clients. */
#ifndef PROG_SCRAPE_H
#define PROG_SCRAPE_H

#include "common.h"
#include "line.h"

typedef struct prog_scrape prog_scrape;

/* Listen on "HOST:PORT" (HOST a name or an address; missing: all addresses), and serve until it is closed. put
   writes the metrics, on that thread. PROG_USAGE, with a message: malformed. PROG_SYSTEM: cannot
   listen. */
int  prog_scrape_open(prog_scrape **out, const char *address,
                      void (*put)(void *user, prog_line *l), void *user);
/* NULL: none. */
void prog_scrape_close(prog_scrape *m);

#endif
