/* Metrics in the text format of Prometheus, over HTTP: GET /metrics. POSIX only. One thread answers one
   request at a time, each within two seconds, so that a slow client delays only other clients. */
#ifndef PROG_SCRAPE_H
#define PROG_SCRAPE_H

#include "common.h"
#include "line.h"

typedef struct prog_scrape prog_scrape;

/* Listen on "HOST:PORT" (HOST a name or an address; missing: all addresses), and serve until it is closed. put
   writes the metrics, on that thread. PROG_USAGE, with a message that begins with `what`: malformed.
   PROG_SYSTEM: cannot listen. */
int  prog_scrape_open(prog_scrape **out, const char *what, const char *address,
                      void (*put)(void *user, prog_line *l), void *user);
enum { PROG_SCRAPE_ADDRESS_SIZE_MAX = 128 };
/* Can it be listened on? The same messages, but it may be in use. The socket address that prog_scrape_open() would
   listen on is stored; *size is 0 if there is none. */
int  prog_scrape_check(const char *what, const char *address, uint8_t at[PROG_SCRAPE_ADDRESS_SIZE_MAX], uint32_t *size);
/* NULL: none. */
void prog_scrape_close(prog_scrape *m);

#endif
