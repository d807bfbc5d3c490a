/* Makes a snapshot of a directory:

       scan.c              all cores list and stat directories ahead of the walk
       publish_walk.c      one thread walks, depth first, or to the changed paths only
                           (publish_changes.c)
       publish_read.c      reads the files that changed (stat_cache.c); metadata comes from
                           metadata.c and links.c
       batch.c             all cores hash and compress
       publish_assemble.c  results are delivered in the order of the walk: directories are assembled
                           from them, children first, and new objects go into the store */
#include "tree.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct publication {
    publisher      walk;
    assembler      assembler;
    versions_links links; /* shared by both */
} publication;

/* A version in the store has all its objects, except in a store in which a release without
   snapshots has run gc: checking the first object detects that. */
static bool is_whole(versions_store *s, const uint8_t *root)
{
    dx_tree_entry e;
    return versions_object_has(s, root, 0) && !versions_snapshot_root(s, root, &e, NULL) &&
           versions_object_has(s, e.id, 0);
}

static void open_assembler(publication *all, versions_store *s, const versions_tree_publish_desc *o,
                           versions_published *out)
{
    assembler *a = &all->assembler;
    a->store = s;
    a->name = o->name;
    a->out = out;
    a->links = &all->links;
    a->walk = &all->walk;
    a->seen = o->changed || o->begin ? NULL : o->seen;
    a->prints = o->prints;
    a->locates = o->locate ? o : NULL;
    versions_assembler_open(a, o->last);
}

static void open_walk(publication *all, versions_store *s, const versions_tree_publish_desc *o,
                      versions_published *out)
{
    publisher *p = &all->walk;
    dx_cas_chunker_desc desc = {.size_min = VERSIONS_CHUNK_MIN, .size_avg = VERSIONS_CHUNK_AVG,
                                .size_max = VERSIONS_CHUNK_MAX};
    p->store = s;
    p->top = o->path;
    p->out = out;
    p->links = &all->links;
    p->omit = o->omit;
    p->seen = o->seen;
    p->inventory = o->inventory;
    p->live = o->torn ? o : NULL;
    p->locates = o->locate != NULL;
    p->all_stored = o->last && (o->changed || o->begin || versions_stat_cache_is_of(o->seen, o->last)) &&
                    is_whole(s, o->last);
    p->sends_open = p->locates || all->assembler.has_last; /* for the path; for its old entry */
    versions_metadata_open(&p->extras, s, &p->omit, &out->lost);
    dx_cas_chunker_init(&p->chunker, &desc);
    p->ring.look_up = versions_assembler_lookup;
    p->ring.retire = versions_assembler_retire;
    p->ring.user = &all->assembler;
    p->ring.prints = o->prints;
    versions_ring_open(&p->ring, o->workers, o->read ? o->held_max : 0);
    if (o->read) versions_ring_prepare(&p->ring, o->held_soon);
    p->batch = versions_ring_fill(&p->ring);
}

/* Walk everything from the open directory, which is closed. */
static int walk(publisher *p, int fd, const versions_tree_publish_desc *o)
{
    int status;
    if (o->changed) {
        status = versions_publish_changes(p, fd, o);
        close(fd);
        return status;
    }
    status = versions_publish_dir(
        p, versions_ahead_open(&p->ahead, fd, "", 0, o->seen, o->rules, o->workers), NULL);
    versions_ahead_close(&p->ahead);
    return status;
}

int versions_tree_publish(versions_store *s, const versions_tree_publish_desc *desc,
                          versions_published *out)
{
    versions_tree_publish_desc own = *desc, *o = &own;
    int fd = open(o->path, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (fd < 0) return prog_fail_errno("%s", o->path);
    publication *all = prog_alloc(sizeof *all);
    publisher *p = &all->walk;
    memset(all, 0, sizeof *all);
    memset(out, 0, sizeof *out);
    open_assembler(all, s, o, out);
    open_walk(all, s, o, out);
    int status = o->begin ? o->begin(o->read_user, o) : PROG_OK;
    if (!status) status = walk(p, fd, o);
    else close(fd);
    if (!status) status = versions_ring_submit(&p->ring);
    if (o->read) o->read(o->read_user, status);
    if (!status) status = versions_ring_drain(&p->ring);
    if (!status) status = versions_assembler_put_root(&all->assembler);
    versions_ring_close(&p->ring);
    versions_publish_drop_clones(p);
    versions_assembler_close(&all->assembler);
    versions_metadata_close(&p->extras);
    versions_links_free(&all->links);
    prog_progress(NULL, 0, 0, true);
    free(all);
    return status;
}
#endif
