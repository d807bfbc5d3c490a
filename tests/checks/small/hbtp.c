/* The size that dx_hbtp.h adds to a small program. USE 0: nothing; 1: parse, route, reply; 2: a session with limits and
   streams, with three hooks. */
#define SMALL USE
#include "../hbtp_small.c"
