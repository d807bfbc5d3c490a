/* One pull, and what its files call of each other. Calls go down only:

       pull.c           the command: tries, and the summary
       pull_install.c   replace the destination, give it its details, record the version
       pull_ask.c       connection, request, reply
       pull_transfer.c  the bytes of the reply: a patch or the whole, over one connection or several
       pull_container.c a patch between compressed containers
       pull_plan.c      what the destination has, and what must not be replaced
       pull_sync.c      a snapshot: look at the old directory, fetch what is lacking, restore */
#ifndef DXUP_PULL_H
#define DXUP_PULL_H

#include "commands.h"

#include "../net/address.h"
#include "../net/question.h"
#include "../net/ranges.h"
#include "../../common/window.h"
#include "../../containers/container.h"
#include "../../versions/dest.h"
#include "../../versions/tree/seeds.h"
#ifndef VERSIONS_NO_SNAPSHOTS
#include "../../versions/tree/scope.h"
#endif

#include "../../../dx_cas.h"
#include "../../../dx_patch.h"
#include "../../../layers/dx_link.h"

#define PULL_STORE "-sync" /* beside the destination: the store with what has been fetched */
#define PULL_CACHE "-seen" /* and the stat cache of what the destination held after the last pull */

/* What is asked for, and what the server has answered. */
typedef struct pull_plan {
    /* the destination */
    int      have_kind; /* 0: nothing is there */
    uint8_t  have[PROG_HASH_SIZE];
    uint64_t have_size;
    bool     left_staging; /* an earlier pull left a staging file, of any version */
    bool     asks_sync;    /* the request was one for a snapshot, or the objects of a file */
    bool     no_objects;   /* the server gives none of this version */
    int64_t  trusted_since_ns; /* files that are as then by size and time were not read; 0: all were
                                */
    /* of a pull of details (tree/details.h) */
    const struct pull *details_of;   /* the pull of the content, or NULL: this is one of content */
    uint64_t           details_from; /* number of the version whose details are there, or 0 */
    bool               has_no_details; /* the server has none */
    /* the reply */
    int      outcome;
    int      kind;
    unsigned mode;
    bool     syncs;       /* it is a snapshot or a file whose objects are to be fetched */
    bool     known_base;  /* the server knows what is there */
    uint32_t transfer_id; /* of the chunks that follow; 0: ask for ranges */
    uint64_t version;
    uint64_t size;
    uint64_t wire_size; /* of the patch or the whole */
    uint8_t  hash[PROG_HASH_SIZE];
    uint8_t  root[PROG_HASH_SIZE]; /* of the snapshot; of the file, with this level: */
    uint8_t  level;
    bool     patches;    /* the server knows patches of objects, too */
} pull_plan;

/* What is transferred. */
typedef struct pull_transfer {
    dx_reactor      reactor;
    dx_op           timer_op;
    void           *reactor_memory;
    dxup_addresses  addresses;  /* of the server, */
    unsigned        address_at; /* and which of them is tried, or was found good */
    dx_link         links;
    void           *links_memory;
    dx_link_id      link;    /* the one that asks */
    bool            opened;  /* it is connected */
    bool            leaving; /* it is not needed any more */
    dxup_rate       rate;    /* of what is received */
    bool            done;    /* nothing more is to happen */
    int             status;  /* the first failure */
    uint64_t        sent;    /* bytes on the wire, of all connections */
    uint64_t        received;
    dxup_lacking    lacking; /* --dry-run: content that would be fetched */
    uint64_t        fresh;   /* bytes of objects for which nothing here was of use */
    uint64_t        progress_ns; /* when the reply or the last bytes of content arrived */
    dx_hbtp_router  router;
    dxup_ranges    *ranges;  /* not NULL: the rest is transferred by these */
    uint64_t        next;    /* offset of the next chunk */
    uint64_t        written; /* bytes of the target */
    uint64_t        kept;    /* bytes that an earlier pull has left: content, or packed objects */
    dx_cas_blake3   hasher;  /* of the target */
    int             base_fd; /* the destination as one stream; -1: none */
    prog_windows    base;    /* windows of it while a patch is applied */
    dx_patch_applier applier;
    bool            applying;
    uint8_t         head[DX_PATCH_HEADER_SIZE]; /* of the patch: says what memory it needs */
    void           *apply_memory;
    bool            contained;   /* it is one between containers, and these are its bytes so far: */
    container_bytes container;
    bool            cannot_pack; /* it does not give the target here; another patch may */
} pull_transfer;

/* What is installed. */
typedef struct pull_install {
    versions_guard      *guard;      /* with what was there; NULL: the destination is our own */
    versions_dest        dest;
    bool                 dest_open;
    uint64_t             from;     /* number of the version that the last pull left; 0: unknown */
    bool                 complete; /* the new content is there, and has the right hash */
    bool                 settled;  /* a directory that is as it was got other details in place */
    int                  partial;  /* PROG_PARTIAL: something could not be restored */
    uint64_t             left_out[VERSIONS_LEFT_KINDS]; /* entries that --owner would have given it */
    /* of a snapshot */
    versions_store      *store;      /* beside the destination: takes what is fetched */
    bool                 left_store; /* an earlier pull has left some of it */
    versions_seeds      *seeds;      /* chunks of the destination, and of --seed */
    versions_stat_cache *stat_cache; /* of the destination */
    uint8_t              old_root[PROG_HASH_SIZE]; /* the destination as a snapshot */
    versions_inventory  *stock; /* while the first look is taken: gets what is there */
    bool                 known;    /* old_root is what the last pull has left */
    bool                 replaces_all; /* no part of the directory can be replaced by itself */
#ifndef VERSIONS_NO_SNAPSHOTS
    versions_scope       scope; /* what is replaced; its path is "": all of it */
#endif
} pull_install;

typedef struct pull {
    const dxup_options *o;
    int64_t             started_ns;
    pull_plan           plan;
    pull_transfer       transfer;
    pull_install        install;
} pull;

/* >>pull_sync.c ---- */
/* Print what could not be restored, note what was left out, and free the report. */
void dxup_pull_close_report(pull *p, versions_report *report);
/* What a directory is not given: its owners unless they are asked for. */
versions_omit dxup_pull_omit(const pull *p);
/* Look at the destination, which is a directory: install.old_root, and seeds. size: NULL, or gets
   the bytes of its stream. */
int  dxup_pull_scan(pull *p, uint64_t *size);
/* Is the destination what the last pull has left there? Then its hash is known (*known), and only
   what a look shows to have changed is read. It takes stock for the guard on the way. */
int  dxup_pull_look_by_cache(pull *p, bool *known);
/* Fetch what is lacking, and restore the snapshot into the staging directory. */
int  dxup_pull_fetch(pull *p);
/* Save what the destination is now, for dxup_pull_look_by_cache(): after it was replaced, or when
   nothing was to be done. */
void dxup_pull_save_cache(pull *p);
void dxup_pull_save_unchanged(pull *p);
/* Close the store, the seeds and the cache. Safe to repeat. */
void dxup_pull_close_store(pull *p);

/* >>pull_plan.c ---- */
/* Hash what is there. */
int  dxup_pull_look(pull *p);
/* copied: a directory is also written out as one stream, because a patch reads its base at any
   offset. */
int  dxup_pull_hash_destination(pull *p, bool copied);
bool dxup_pull_can_sync(const pull *p);
/* Can a file be fetched as objects? */
bool dxup_pull_takes_objects(const pull *p);
/* Does the destination have what the reply announces? */
bool dxup_pull_is_there(const pull *p);
/* Its content is the same: may the rest have changed since the version that was pulled last? */
bool dxup_pull_is_another(const pull *p);
int  dxup_pull_refuse_another(const pull *p);
int  dxup_pull_refuse_losses(const pull *p, bool known_base);

/* >>pull_container.c ---- */
/* The flags of a request that ask for such a patch; 0: none is read here. */
uint32_t dxup_pull_container_flags(const pull *p);
/* transfer.head is complete: is it that of such a patch, and was one asked for? */
bool dxup_pull_begins_container(const pull *p);
int  dxup_pull_start_container(pull *p);
/* The bytes behind the head. */
int  dxup_pull_take_container(pull *p, const uint8_t *bytes, size_t size);
/* All of it is there: apply it. The caller drops what was made, also after an error. */
int  dxup_pull_run_container(pull *p, const uint8_t *base, container_bytes *made);

/* >>pull_transfer.c ---- */
/* Stop the event loop. The first failure decides the status; later ones are its consequences. */
void dxup_pull_end(pull *p, int status);
/* Can the next pull resume this one if it is interrupted? */
bool dxup_pull_can_resume(const pull *p);
/* Open the staging file and resume, or start over. */
int  dxup_pull_start_transfer(pull *p);
/* The router calls it with each chunk. */
int  dxup_pull_take_chunk(const dx_hbtp_context *context);

/* >>pull_ask.c ---- */
/* Connect, ask, and run the event loop until the reply and what it announces are there. */
int dxup_pull_ask(pull *p);

/* >>pull_install.c ---- */
pull *dxup_pull_open(const dxup_options *o);
void  dxup_pull_close(pull *p);
/* Of a directory that did not come as a snapshot: what it has besides its content. */
int   dxup_pull_restore_details(pull *p);
/* Replace the destination atomically. *again: the system does not let a part of the directory be
   replaced; then all of it is. */
int   dxup_pull_replace(pull *p, bool *again);
int   dxup_pull_record(const pull *p);

#endif
