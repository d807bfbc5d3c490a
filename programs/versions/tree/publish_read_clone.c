/* Reads the chunks of a clone, when it is the turn of its event: see publish_clone.c. They go to the assembler
   of the publisher that has made the clone, through a ring of their own. */
#include "tree.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "publish.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A publisher of nothing but the chunks of this file, which go to the same assembler. */
static int read_clone(publisher *q, const publisher *p, const versions_clone_file *c, void *assembler)
{
    versions_tree_publish_desc live = *p->live;
    uint64_t total = 0;
    live.read = NULL; /* nobody waits any more */
    q->store = p->store;
    q->top = p->top;
    q->out = p->out;
    q->links = p->links;
    q->live = &live;
    q->follows = c->follows;
    q->old = c->old;
    q->chunker = p->chunker;
    memcpy(q->zeros_id, p->zeros_id, sizeof q->zeros_id);
    q->zeros_size = p->zeros_size;
    q->extras.map = c->map;
    q->extras.map_size = c->map_size;
    q->path_size = strlen(c->path);
    memcpy(q->path, c->path, q->path_size + 1);
    q->ring.look_up = p->ring.look_up;
    q->ring.retire = p->ring.retire;
    q->ring.user = assembler;
    q->ring.prints = live.prints;
    versions_ring_open(&q->ring, live.workers, 0);
    q->batch = versions_ring_fill(&q->ring);
    int status = versions_publish_chunks(q, c->fd, c->size, true, &total);
    if (!status && total != c->size)
        status = prog_fail(PROG_SYSTEM, "%s: the clone is shorter than the file", c->path);
    if (!status) status = versions_ring_submit(&q->ring);
    if (!status) status = versions_ring_drain(&q->ring);
    versions_ring_close(&q->ring);
    return status;
}

int versions_publish_read_clone(publisher *p, uint32_t index, void *assembler)
{
    assert(index < p->clone_count && p->clones[index].fd >= 0);
    publisher *q = prog_alloc(sizeof *q);
    memset(q, 0, sizeof *q);
    const int status = read_clone(q, p, &p->clones[index], assembler);
    versions_publish_drop_clone(&p->clones[index]);
    free(q);
    return status;
}
#endif
