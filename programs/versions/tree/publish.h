/* The parts of a publish, for publish*.c only. Everything runs on one thread but for the batches,
   which all cores hash and compress. Calls go down:

       publish.c           the entry: opens both halves, puts the root
          |        \
          |         publish_changes.c    walks to the changed paths only
          |        /
       publish_walk.c      walks directories, depth first and in order; links and devices
          |
       publish_read.c      reads files, cuts them into chunks, fills batches with events
          :
          :  batches come back in order (batch.h)
          v
       publish_assemble.c  makes directories, files and lists of the events; puts them in the store

   The two halves share no state but links and out: what the assembler has to know of the walk is in
   the events. */
#ifndef VERSIONS_TREE_PUBLISH_H
#define VERSIONS_TREE_PUBLISH_H

#include "../store/follow.h"
#include "batch.h"
#include "metadata.h"
#include "scan.h"
#include "tree.h"

#include "../../../dx_cas.h"

/* versions_event.kind, and what it has besides a name:

       AN_ENTRY  a complete entry; data or an id        A_FILE   ends the chunks of a file
       A_DIR     a directory, entered                   A_DROP   there is no such file after all
       A_DIR_END left again                             A_NAME   another name of `link`
       AN_OPEN   a file, whose chunks follow            AN_OLD   an entry of the last version; its
       A_CHUNK   chunk: its index in the batch                   bytes are the text, size of them
       ZEROS     size chunks of `chunk` bytes with this id, all of zeros */
enum { A_DIR, A_DIR_END, AN_ENTRY, AN_OLD, AN_OPEN, A_CHUNK, ZEROS, A_FILE, A_NAME, A_DROP };

/* >>publish_read.c ---- */
typedef struct publisher { /* the walk's half */
    versions_store      *store;
    const char          *top;      /* path of the tree; all others are below it */
    versions_published  *out;
    versions_links      *links;    /* shared with the assembler */
    versions_omit        omit;
    versions_stat_cache       *seen;
    versions_inventory  *inventory;
    const versions_tree_publish_desc *live; /* the tree changes meanwhile; NULL: it must not */
    bool                 locates;    /* chunks are not stored */
    bool                 all_stored; /* what was seen is in the last version */
    bool                 sends_open; /* AN_OPEN before chunks: somebody needs the name by then */
    versions_ahead       ahead;
    versions_ring        ring;
    versions_batch      *batch;    /* in progress */
    size_t               chunk_at; /* the chunk in progress begins here in the batch's bytes */
    dx_cas_chunker       chunker;
    uint8_t              zeros_id[32]; /* of the chunk that the chunker makes of zeros */
    uint32_t             zeros_size;   /* 0: not known yet */
    versions_metadata    extras;    /* of the entry at hand */
    uint32_t             link;      /* of that entry: index + 1, or 0 */
    bool                 link_sent; /* what link is the first name of */
    size_t               depth, path_size;
    char                 path[PROG_PATH_SIZE_MAX + 1];
} publisher;

/* Room for one event with so much text, and one chunk. */
int versions_publish_need(publisher *p, size_t text);
/* Append an event, for which there is room: its name, the data behind it, and of an entry what is
   known of it. */
versions_event *versions_publish_event(publisher *p, int kind, int type, const char *name,
                                       const void *data, size_t size, const versions_found *f);
/* An entry that is complete, with its data. */
int versions_publish_entry(publisher *p, int type, const versions_found *f, const void *data,
                           size_t size, int64_t now_ns);
/* A file, read unless what was seen of it is stored. folder: what holds it. */
int versions_publish_file(publisher *p, int dir, versions_found *f, const versions_found *folder);
/* Fail with errno: what is at path cannot be read. */
int versions_publish_cannot_read(const publisher *p);
/* What cannot be looked at, for this reason: is the entry left out? */
bool versions_publish_leaves_out(publisher *p, int error);
/* Of what has to be read by a certain time: is it over? */
bool versions_publish_is_late(const publisher *p);

/* >>publish_walk.c ---- */
/* A directory with all that is in it. */
int versions_publish_dir(publisher *p, versions_scan *scan, const versions_found *folder);
/* Anything but a directory. */
int versions_publish_content(publisher *p, int dir, versions_found *f,
                             const versions_found *folder);
/* Go down to a name; versions_publish_leave() returns to where path_size was `before`. */
int  versions_publish_enter(publisher *p, const char *name);
void versions_publish_leave(publisher *p, size_t before);
const char *versions_publish_last_name(const publisher *p);

/* >>publish_changes.c ---- */
/* From the open directory fd on, only the changed paths of the desc. */
int versions_publish_changes(publisher *p, int fd, const versions_tree_publish_desc *o);

/* >>publish_assemble.c ---- */
typedef struct assembler_level { /* a directory being put together */
    dx_tree_entry    entry;
    dx_tree_piece    piece;
    uint8_t         *bytes; /* of the piece */
    uint8_t        (*ids)[32];
    uint64_t        *sizes; /* of the pieces before */
    size_t           count, room;
    uint8_t          name[DX_TREE_NAME_MAX];
    uint8_t          extra[DX_TREE_EXTRAS_MAX];
    uint64_t         at; /* bytes of the pieces before */
    bool             asked, has_old, at_end, has_next;
    dx_tree_entry    old, next; /* what it was in the last version; its entry that comes next */
    versions_listing listing;
    versions_parts   parts; /* of old */
} assembler_level;

typedef struct assembler { /* the other half */
    versions_store      *store;
    const char          *name; /* of the version, for the display of progress */
    versions_published  *out;
    versions_links      *links;
    versions_stat_cache *seen; /* NULL: nothing is added to it */
    const versions_tree_publish_desc *locates; /* chunks are only located; NULL: they are stored */
    bool                 extended; /* an entry is (dx_tree_is_extended) */
    assembler_level     *levels[PROG_DEPTH_MAX + 2];
    size_t               level_count;
    dx_tree_list         list;
    void                *list_memory;
    uint64_t             list_size; /* bytes of the file in progress */
    const uint8_t       *list_base; /* of a list that is made, or NULL */
    bool                 has_last;
    dx_tree_entry        last;      /* the root of the last version */
    bool                 has_old;   /* of the file in progress, as it was: */
    dx_tree_entry        old;
    versions_parts       old_parts;
    versions_follow      follow;
    char                 located[PROG_PATH_SIZE_MAX + DX_TREE_NAME_MAX + 2]; /* that file */
} assembler;

/* Two callbacks of the ring; user: an assembler, zero but for the fields from store to locates. */
void versions_assembler_look_up(void *user, versions_batch *b);
int  versions_assembler_retire(void *user, versions_batch *b);
/* last: the root of the last version, or NULL. */
void versions_assembler_open(assembler *a, const uint8_t *last);
/* All events are there: put the root, whose id and size go to out. */
int  versions_assembler_put_root(assembler *a);
void versions_assembler_close(assembler *a);

#endif
