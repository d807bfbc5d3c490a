/* Which of a sender's streams are in use, as their number changes. send and mirror end the others in their own way:
   send lets them finish, mirror keeps them open for some seconds. */
#ifndef WAN_STREAMS_H
#define WAN_STREAMS_H

#include "../../common/common.h"

typedef struct wan_choice { /* of one stream */
    bool     wanted;
    bool     ends;   /* it cannot be wanted again yet */
    bool     open;   /* its connection */
    uint64_t lately; /* bytes a look that it has delivered, averaged */
} wan_choice;

/* Average what a stream has delivered since the last look. */
void wan_choice_add(wan_choice *c, uint64_t bytes);
/* Change `wanted` of streams until there are `count`. More: those that are open still, then any. Fewer: those that
   are not open, then the slowest. There may be fewer than `count` while too many end. */
void wan_choose(wan_choice *streams, uint32_t limit, uint32_t count);

#endif
