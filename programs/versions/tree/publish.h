/* The parts of a publish, private to publish*.c. Everything runs on one thread except the batches,
   which all cores hash and compress. Calls go down:

       publish.c           the entry point: opens both halves, stores the root
          |        \
          |         publish_changes.c    walks to the changed paths only
          |        /
       publish_walk.c      walks directories, depth first and in order; links and devices
          |
       publish_read.c      reads files, cuts them into chunks, fills batches with events
          :                   publish_clone.c clones large ones
          :  batches are delivered in order (batch.h)
          v
       publish_assemble.c  builds directories, files and lists from the events; stores them
          :                   publish_read_clone.c reads the clones, when it is their turn

   The two halves share only links and out: everything else that the assembler needs from the walk is
   in the events. */
#ifndef VERSIONS_TREE_PUBLISH_H
#define VERSIONS_TREE_PUBLISH_H

#include "../store/follow.h"
#include "batch.h"
#include "metadata.h"
#include "scan.h"
#include "tree.h"

#include "../../../dx_cas.h"

/* versions_event.kind, and its fields besides a name:

       AN_ENTRY  a complete entry; data or an id        A_FILE   ends the chunks of a file
       A_DIR     a directory was entered                A_DROP   cancels the file in progress
       A_DIR_END it was left                            A_NAME   another name of `link`
       AN_OPEN   a file, whose chunks follow            AN_OLD   an entry of the last version; its
       A_CHUNK   chunk: its index in the batch                   bytes are the text, size of them
       A_SAME    a chunk of the last version, at the same place: its size and id
       ZEROS     size chunks of `chunk` bytes with this id, all of zeros
       A_LATER   the chunks of a clone, by its index: they are read when it is its turn */
enum { A_DIR, A_DIR_END, AN_ENTRY, AN_OLD, AN_OPEN, A_CHUNK, A_SAME, ZEROS, A_LATER, A_FILE, A_NAME, A_DROP };

typedef struct versions_clone_file { /* an unnamed file with the content of a file of the tree */
    int           fd;      /* -1: it was read */
    uint64_t      size;
    bool          follows; /* as in the publisher, and old */
    dx_tree_entry old;
    uint8_t      *map;     /* its holes */
    size_t        map_size;
    char         *path;
} versions_clone_file;

/* >>publish_read.c ---- */
typedef struct publisher { /* the half that walks */
    versions_store      *store;
    const char          *top;      /* path of the tree; all others are relative to it */
    versions_published  *out;
    versions_links      *links;    /* shared with the assembler */
    versions_omit        omit;
    versions_stat_cache       *seen;
    versions_inventory  *inventory;
    const versions_tree_publish_desc *live; /* the tree may change meanwhile; NULL: it must not */
    bool                 locates;    /* chunks are not stored, only located */
    bool                 all_stored; /* everything in the stat cache is in the last version */
    bool                 prefix;     /* the file ends at the size that it was found with */
    bool                 follows;    /* the last version has the file: its chunks become deltas */
    dx_tree_entry        old;        /* if it follows: the file there, without the name */
    bool                 sends_open; /* send AN_OPEN first: the assembler needs the name for chunks */
    versions_ahead       ahead;
    versions_ring        ring;
    versions_batch      *batch;    /* in progress */
    size_t               chunk_at; /* start of the chunk in progress, in the batch's bytes */
    dx_cas_chunker       chunker;
    uint8_t              zeros_id[32]; /* of the chunk that the chunker cuts from zeros */
    uint32_t             zeros_size;   /* 0: unknown yet */
    versions_metadata    extras;    /* of the current entry */
    uint32_t             link;      /* of that entry: index + 1, or 0 */
    bool                 link_sent; /* the entry with the first name of link was sent */
    versions_clone_file *clones; /* or NULL */
    size_t               clone_count;
    size_t               depth, path_size;
    char                 path[PROG_PATH_SIZE_MAX + 1];
} publisher;

/* Make room for one event with this much text, and for one chunk. */
int versions_publish_need(publisher *p, size_t text);
/* Append an event, for which there must be room: its name, its data, and for an entry its metadata. */
versions_event *versions_publish_event(publisher *p, int kind, int type, const char *name,
                                       const void *data, size_t size, const versions_found *f);
/* Send a complete entry, with its data. */
int versions_publish_entry(publisher *p, int type, const versions_found *f, const void *data,
                           size_t size, int64_t now_ns);
/* Send a file; it is read unless the stat cache and the store have it. folder: its parent. */
int versions_publish_file(publisher *p, int dir, versions_found *f, const versions_found *folder);
/* Fail with errno: path cannot be read. */
int versions_publish_cannot_read(const publisher *p);
/* Is an entry that cannot be examined, for this reason, left out? */
bool versions_publish_leaves_out(publisher *p, int error);
/* Is the deadline for reading over? */
bool versions_publish_is_late(const publisher *p);

/* Read size bytes into chunks, and one byte more, to detect growth; not with exact. Holes are not
   read. *total: the bytes found. */
int versions_publish_chunks(publisher *p, int fd, uint64_t size, bool exact, uint64_t *total);

/* >>publish_clone.c ---- */
/* Clone the current file, if it can be: the index of the clone, or -1. */
int64_t versions_publish_clone(publisher *p, int fd, uint64_t size);
void    versions_publish_drop_clone(versions_clone_file *c);
void    versions_publish_drop_clones(publisher *p);

/* >>publish_read_clone.c ---- */
/* In the assembler, at that event: read them, and drop the clone. */
int versions_publish_read_clone(publisher *p, uint32_t index, void *assembler);

/* >>publish_walk.c ---- */
/* Send a directory with all its entries. */
int versions_publish_dir(publisher *p, versions_scan *scan, const versions_found *folder);
/* The entry `name` of the directory at p->path is beyond the limits of paths: leave it out, or fail. */
int versions_publish_far(publisher *p, const char *name);
/* Send an entry that is not a directory. */
int versions_publish_content(publisher *p, int dir, versions_found *f,
                             const versions_found *folder);
/* Descend to a name; versions_publish_leave() restores path_size to `before`. False: the path is too long. */
bool versions_publish_enter(publisher *p, const char *name);
void versions_publish_leave(publisher *p, size_t before);
const char *versions_publish_last_name(const publisher *p);

/* >>publish_changes.c ---- */
/* From the open directory fd, send only the changed paths of the desc. */
int versions_publish_changes(publisher *p, int fd, const versions_tree_publish_desc *o);

/* >>publish_assemble.c ---- */
typedef struct assembler_level { /* a directory being assembled */
    dx_tree_entry    entry;
    dx_tree_piece    piece;
    uint8_t         *bytes; /* of the current piece */
    uint8_t        (*ids)[32];
    uint64_t        *sizes; /* of the previous pieces */
    size_t           count, room;
    uint8_t          name[DX_TREE_NAME_MAX];
    uint8_t          extra[DX_TREE_EXTRAS_MAX];
    uint64_t         at; /* total size of the previous pieces */
    bool             asked, has_old, at_end, has_next;
    dx_tree_entry    old, next; /* its entry in the last version; the next entry of that */
    versions_listing listing;
    versions_parts   parts; /* of old */
} assembler_level;

typedef struct assembler { /* the half that assembles */
    versions_store      *store;
    const char          *name; /* of the version, for the progress display */
    versions_published  *out;
    versions_links      *links;
    publisher           *walk; /* has the clones */
    versions_stat_cache *seen; /* NULL: nothing is added */
    const versions_tree_publish_desc *locates; /* only locate chunks; NULL: store them */
    versions_prints     *prints;   /* gets the fingerprints of chunks; or NULL */
    bool                 extended; /* an entry is extended (dx_tree_is_extended) */
    assembler_level     *levels[PROG_DEPTH_MAX + 2];
    size_t               level_count;
    dx_tree_list         list;
    void                *list_memory;
    uint64_t             list_size; /* bytes of the file in progress */
    versions_chunk       first;     /* its first chunk, if prints do not have it yet; size 0: none */
    const uint8_t       *list_base; /* base for the list being stored, or NULL */
    bool                 has_last;
    dx_tree_entry        last;      /* the root of the last version */
    bool                 has_old;   /* there is an old entry of the file in progress: */
    dx_tree_entry        old;
    versions_parts       old_parts;
    versions_follow      follow;
    char                 located[PROG_PATH_SIZE_MAX + DX_TREE_NAME_MAX + 2]; /* path of the file */
} assembler;

/* Callbacks of the ring; user: an assembler, all zero except the fields from store to locates. */
void versions_assembler_lookup(void *user, versions_batch *b);
int  versions_assembler_retire(void *user, versions_batch *b);
/* last: the root of the last version, or NULL. */
void versions_assembler_open(assembler *a, const uint8_t *last);
/* After the last event: store the root, and set its id and size in out. */
int  versions_assembler_put_root(assembler *a);
void versions_assembler_close(assembler *a);

#endif
