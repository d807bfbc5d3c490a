/* Which streams are in use. See streams.h. */
#include "streams.h"

#include <assert.h>

void wan_choice_add(wan_choice *c, uint64_t bytes)
{
    c->lately = c->lately - c->lately / 4 + bytes / 4;
}

/* The best one to add; limit: none. */
static uint32_t find_spare(const wan_choice *streams, uint32_t limit)
{
    uint32_t found = limit;
    for (uint32_t i = 0; i < limit; i++) {
        if (streams[i].wanted || streams[i].ends) continue;
        if (streams[i].open) return i;
        if (found == limit) found = i;
    }
    return found;
}

/* The one to be given up. Of equal ones it is the last. */
static uint32_t find_slowest(const wan_choice *streams, uint32_t limit)
{
    uint32_t found = limit;
    for (uint32_t i = 0; i < limit; i++) {
        const wan_choice *c = &streams[i], *least = &streams[found < limit ? found : i];
        if (!c->wanted) continue;
        if (found == limit || (c->open == least->open ? c->lately <= least->lately : !c->open)) found = i;
    }
    assert(found < limit);
    return found;
}

void wan_choose(wan_choice *streams, uint32_t limit, uint32_t count)
{
    uint32_t wanted = 0;
    assert(count <= limit);
    for (uint32_t i = 0; i < limit; i++) wanted += streams[i].wanted;
    for (; wanted < count; wanted++) {
        const uint32_t spare = find_spare(streams, limit);
        if (spare == limit) break;
        streams[spare].wanted = true;
    }
    for (; wanted > count; wanted--) streams[find_slowest(streams, limit)].wanted = false;
}
