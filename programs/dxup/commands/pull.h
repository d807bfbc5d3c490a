/* One pull, and the interfaces between its files. Calls go down only:

       pull.c           the command: tries, and the summary
       pull_install.c   replace the destination, apply its details, record the version
       pull_ask.c       connection, request, reply
       pull_transfer.c  the data of the reply: a patch or the full content, over one connection or several
       pull_container.c a patch between compressed containers
       pull_plan.c      the state of the destination, and the checks against losing data
       pull_sync.c      a snapshot: scan the old directory, fetch missing objects, restore */
#ifndef DXUP_PULL_H
#define DXUP_PULL_H

#include "commands.h"

#include "../../sync/address.h"
#include "../../sync/question.h"
#include "../net/ranges.h"
#include "../../sync/silence.h"
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

#define PULL_STORE "-sync" /* next to the destination: the store with fetched objects */
#define PULL_CACHE "-seen" /* and the stat cache of the destination after the last pull */

/* The request, and the reply of the server. */
typedef struct pull_plan {
    /* the destination */
    int      have_kind; /* 0: it does not exist */
    uint8_t  have[PROG_HASH_SIZE];
    uint64_t have_size;
    bool     left_staging; /* an earlier pull left a staging file, of any version */
    bool     asks_sync;    /* requests a snapshot, or the objects of a file */
    bool     no_objects;   /* the server does not send objects of this version */
    int64_t  trusted_since_ns; /* files unchanged since then were not read; 0: all were */
    /* for a pull of details (tree/details.h) */
    const struct pull *details_of;   /* the pull of the content; NULL: this is one */
    uint64_t           details_from; /* number of the version whose details are applied, or 0 */
    bool               has_no_details; /* the server has none */
    /* the reply */
    int      outcome;
    int      kind;
    unsigned mode;
    bool     syncs;       /* a snapshot, or a file whose objects are to be fetched */
    bool     known_base;  /* the server knows the content of the destination */
    uint32_t transfer_id; /* of the chunks that follow; 0: request ranges */
    uint64_t version;
    uint64_t size;
    uint64_t wire_size; /* of the patch or the full content */
    uint8_t  hash[PROG_HASH_SIZE];
    uint8_t  root[PROG_HASH_SIZE]; /* of the snapshot; or of the file, with this level: */
    uint8_t  level;
    bool     patches;    /* the server supports patches between objects, */
    bool     wholes;     /* and makes patches of the files of a snapshot */
} pull_plan;

/* The transfer. */
typedef struct pull_transfer {
    dx_reactor      reactor;
    dx_op           timer_op;
    void           *reactor_memory;
    dxup_addresses  addresses;  /* of the server, */
    unsigned        address_at; /* the one being tried, or that worked */
    dx_link         links;
    void           *links_memory;
    dx_link_id      link;    /* the connection that sends the request */
    bool            opened;  /* it is connected */
    bool            leaving; /* no longer needed */
    dxup_rate       rate;    /* limits the received bytes */
    bool            done;    /* the event loop ends */
    int             status;  /* the first failure */
    uint64_t        sent;    /* bytes on the wire, over all connections */
    uint64_t        received;
    dxup_lacking    lacking; /* --dry-run: content that would be fetched */
    uint64_t        fresh;   /* bytes of objects sent without a base from here */
    dxup_silence    silence;
    uint64_t        progress_ns; /* when the reply or the last data arrived */
    dx_hbtp_router  router;
    dxup_ranges    *ranges;  /* not NULL: they transfer the rest */
    uint64_t        next;    /* offset of the next chunk */
    uint64_t        written; /* bytes of the target */
    uint64_t        kept;    /* bytes from an earlier pull: content, or compressed objects */
    dx_cas_blake3   hasher;  /* of the target */
    int             base_fd; /* the destination as one stream; -1: none */
    prog_windows    base;    /* windows of base_fd while a patch is applied */
    dx_patch_applier applier;
    bool            applying;
    uint8_t         head[DX_PATCH_HEADER_SIZE]; /* of the patch: has its memory requirement */
    void           *apply_memory;
    bool            contained;   /* a patch between containers, whose bytes so far are in: */
    container_bytes container;
    bool            cannot_pack; /* it does not produce the target here; another patch may */
} pull_transfer;

/* The installation. */
typedef struct pull_install {
    versions_guard      *guard;      /* with the old inventory; NULL: the destination is a private file */
    versions_dest        dest;
    bool                 dest_open;
    uint64_t             from;     /* version number of the last pull; 0: unknown */
    bool                 complete; /* the new content is complete, with the right hash */
    bool                 settled;  /* only details were changed, in place, in an unchanged directory */
    int                  partial;  /* PROG_PARTIAL: something could not be restored */
    uint64_t             left_out[VERSIONS_LEFT_KINDS]; /* entries that --owner would have restored */
    /* for a snapshot */
    versions_store      *store;      /* next to the destination: for fetched objects */
    bool                 left_store; /* an earlier pull left it, with a part of the objects */
    versions_seeds      *seeds;      /* chunks of the destination, and of --seed */
    versions_stat_cache *stat_cache; /* of the destination */
    uint8_t              old_root[PROG_HASH_SIZE]; /* the snapshot of the destination */
    versions_inventory  *stock; /* during the first scan: the inventory to fill in */
    bool                 known;    /* old_root is the state after the last pull */
    bool                 replaces_all; /* no part of the directory can be replaced separately */
#ifndef VERSIONS_NO_SNAPSHOTS
    versions_scope       scope; /* the part to replace; its path is "" for all of it */
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
/* Print the items that could not be restored, note those left out, and free the report. */
void dxup_pull_close_report(pull *p, versions_report *report);
/* Metadata that is not restored: owners unless requested. */
versions_omit dxup_pull_omit(const pull *p);
/* Scan the destination, a directory: sets install.old_root and seeds. size: NULL, or set to the
   size of its stream. */
int  dxup_pull_scan(pull *p, uint64_t *size);
/* Is the destination unchanged since the last pull? Then its hash is known (*known), and only files
   that the scan shows as changed are read. Also fills in the guard's inventory. */
int  dxup_pull_stat_by_cache(pull *p, bool *known);
/* Fetch the missing objects, and restore the snapshot into the staging directory. */
int  dxup_pull_fetch(pull *p);
/* Save the state of the destination for dxup_pull_stat_by_cache(), after it was replaced or
   found unchanged. */
void dxup_pull_save_cache(pull *p);
void dxup_pull_save_unchanged(pull *p);
/* Close the store, the seeds and the cache. May be repeated. */
void dxup_pull_close_store(pull *p);

/* >>pull_plan.c ---- */
/* Hash the destination. */
int  dxup_pull_stat(pull *p);
/* Hash it. copied: also write a directory to a temporary file as one stream, because a patch reads
   its base at any offset. */
int  dxup_pull_hash_destination(pull *p, bool copied);
bool dxup_pull_can_sync(const pull *p);
/* Can a file be fetched as objects? */
bool dxup_pull_wants_objects(const pull *p);
/* Does the destination equal the announced version? */
bool dxup_pull_is_there(const pull *p);
/* The content is equal: can the details differ from those of the last pull? */
bool dxup_pull_is_another(const pull *p);
bool dxup_pull_lacks_owners(const pull *p); /* the last pull was without --owner, unlike this one */
int  dxup_pull_refuse_another(const pull *p);
int  dxup_pull_refuse_losses(const pull *p, bool known_base);

/* >>pull_container.c ---- */
/* The flags that request such a patch; 0: not supported here. */
uint32_t dxup_pull_container_flags(const pull *p);
/* transfer.head is complete: is it of such a patch, and was one requested? */
bool dxup_pull_begins_container(const pull *p);
int  dxup_pull_start_container(pull *p);
/* Collect the bytes after the head. */
int  dxup_pull_receive_container(pull *p, const uint8_t *bytes, size_t size);
/* Apply the complete patch. The caller drops the output, also after an error. */
int  dxup_pull_run_container(pull *p, const container_bytes *base, container_bytes *made);

/* >>pull_transfer.c ---- */
/* Stop the event loop. The first failure decides the status; later ones are its consequences. */
void dxup_pull_end(pull *p, int status);
/* Can the next pull resume this one if it is interrupted? */
bool dxup_pull_can_resume(const pull *p);
/* Open the staging file, and resume or restart. */
int  dxup_pull_start_transfer(pull *p);
/* The router's handler for chunks. */
int  dxup_pull_receive_chunk(const dx_hbtp_context *context);

/* >>pull_ask.c ---- */
/* Connect, send the request, and run the event loop until the reply and its data are complete. */
int dxup_pull_ask(pull *p);

/* >>pull_install.c ---- */
pull *dxup_pull_open(const dxup_options *o);
void  dxup_pull_close(pull *p);
/* For a directory received as a stream: pull and apply its details. */
int   dxup_pull_restore_details(pull *p);
/* Replace the destination atomically. *again: the system refuses to replace a part of the
   directory, so retry with all of it. */
int   dxup_pull_replace(pull *p, bool *again);
int   dxup_pull_record(const pull *p);

#endif
