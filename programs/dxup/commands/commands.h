/* The commands of dxup, one file each: the top floor. main.c reads the command line and calls one
   of them. */
#ifndef DXUP_COMMANDS_H
#define DXUP_COMMANDS_H

#include "../../common/options.h"
#include "../../versions/tree/tree.h"

typedef struct dxup_options {
    const char   *store;       /* the folder of the store */
    const char   *name;        /* NAME, NAME@VERSION or NAME@TAG; ls, cat: with :PATH */
    const char   *path;        /* publish: the source; checkout, pull: the destination */
    const char   *third;       /* tag: the tag; diff: NAME@VERSION */
    const char   *address;     /* HOST:PORT */
    const char   *http;        /* serve: HOST:PORT, or NULL */
    const char   *status;      /* the same */
    const char   *log;         /* serve: the file, "-": standard error, or NULL */
    const char   *seed;        /* pull: a directory that may have parts of it, or NULL */
    const char   *exec;        /* pull, watch: a command to run after a change, or NULL */
    const char   *backend;     /* serve, pull: of the event loop; NULL: automatic */
    unsigned      workers;     /* publish, checkout, serve: threads; 0: one per processor */
    unsigned      connections; /* pull: 1 to 256, 0: 1; serve: limit of each worker, 0: 4096 */
    unsigned      network_max; /* serve: connections of one address, for each worker; 0: 512 */
    uint64_t      keep;        /* gc: versions to keep of each name; 0 = all */
    uint64_t      limit_rate;  /* pull, watch: bytes per second, 0: no limit */
    uint32_t      interval_s;  /* watch: between two questions */
    uint64_t      patch_max;   /* serve: larger versions are patched by chunks */
    bool          force;       /* checkout, pull: replace what would be refused */
    bool          checksum;    /* pull: read every file of the destination again */
    bool          watching;    /* no summary of what is unchanged */
    bool          quiet;       /* no summary */
    bool          report;      /* pull: the summary as key=value */
    bool          pack;        /* gc: recompress; slow */
    bool          json;        /* print JSON, one object a line */
    bool          dry_run;     /* say what would be done, and do nothing */
    bool          recursive;   /* ls: what is in directories, too */
    bool          remove;      /* tag: take it away */
    bool          no_cost;     /* diff: do not make a patch to see how large it is */
    bool          older;       /* rm: the versions before, too */
    prog_list     rules;       /* publish: --include and --exclude, in their order */
    versions_limits limits;    /* checkout, pull: of a snapshot */
    versions_omit omit;        /* publish, checkout, pull: what is left out of directories */
    bool          owner;       /* pull: owners, and what they give, are not left out */
} dxup_options;

/* Each returns a status of common.h, and has printed why when that is not PROG_OK. */
int dxup_publish(const dxup_options *o);
int dxup_log(const dxup_options *o);
int dxup_checkout(const dxup_options *o);
int dxup_ls(const dxup_options *o);
int dxup_cat(const dxup_options *o);
int dxup_diff(const dxup_options *o);
int dxup_tag(const dxup_options *o);
int dxup_rm(const dxup_options *o);
int dxup_verify(const dxup_options *o);
int dxup_gc(const dxup_options *o);
int dxup_serve(const dxup_options *o);
int dxup_pull(const dxup_options *o);
int dxup_watch(const dxup_options *o);

#endif
