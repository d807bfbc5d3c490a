/* The commands of dxup, one file each: the topmost layer. main.c parses the command line and
   calls one of them. */
#ifndef DXUP_COMMANDS_H
#define DXUP_COMMANDS_H

#include "../../common/options.h"
#include "../../versions/tree/tree.h"

typedef struct dxup_options {
    const char   *config;      /* a file with options, or NULL */
    prog_texts    texts;       /* what the file says, */
    int           command;     /* and how the options are read again: the index of the command, */
    int           argc;        /* and its arguments */
    char        **argv;
    const char   *store;       /* its folder */
    const char   *name;        /* NAME, NAME@VERSION or NAME@TAG; ls, cat: with :PATH */
    const char   *path;        /* publish: the source; checkout, pull: the destination */
    const char   *third;       /* tag: the tag; diff: NAME@VERSION */
    const char   *address;     /* HOST:PORT */
    const char   *http;        /* serve: HOST:PORT, or NULL */
    const char   *allow_origin; /* serve: whose pages may read over http, or NULL */
    const char   *status;      /* serve: HOST:PORT, or NULL */
    const char   *push;        /* the same: where versions are received */
    const char   *log;         /* serve: a file; "-": standard error; or NULL */
    const char   *seed;        /* pull: a directory with similar content, or NULL */
    const char   *exec;        /* pull, watch: a command to run after a change, or NULL */
    const char   *backend;     /* serve, pull: event loop; NULL: automatic */
    unsigned      workers;     /* publish, checkout, serve: threads; 0: one per processor */
    unsigned      connections; /* pull: 1 to 256, 0: 1; serve: limit of each worker, 0: 4096 */
    unsigned      network_max; /* serve: connections per network and worker; 0: 512 */
    uint64_t      keep;        /* gc: versions to keep per name; 0: all */
    uint64_t      limit_rate;  /* pull, watch: bytes per second, 0: no limit */
    uint32_t      timeout_s;   /* pull, watch: without a byte */
    uint32_t      interval_s;  /* watch: between two pulls */
    uint64_t      patch_max;   /* serve: size above which patches consist of whole chunks */
    bool          force;       /* checkout, pull: replace what they would refuse to replace */
    bool          checksum;    /* pull: read every file of the destination again */
    bool          watching;    /* set by watch: no summary if nothing changed */
    bool          quiet;       /* no summary */
    bool          report;      /* pull: the summary as key=value */
    bool          pack;        /* gc: recompress chunks; slow */
    bool          json;        /* print JSON, one object per line */
    bool          dry_run;     /* print what would be done, and do nothing */
    bool          recursive;   /* ls: also list subdirectories */
    bool          remove;      /* tag: remove it */
    bool          no_cost;     /* diff: do not make a patch to measure it */
    bool          older;       /* rm: also remove older versions */
    prog_list     rules;       /* publish: --include and --exclude, in order */
    versions_limits limits;    /* checkout, pull: limits for a snapshot */
    versions_omit omit;        /* publish, checkout, pull: metadata to leave out */
    bool          owner;       /* pull: restore owners, and the rights that depend on them */
} dxup_options;

/* >>arguments.c ---- */
/* Read the options of a command, and of the file that --config names. argv begins after the command. */
int  dxup_arguments(dxup_options *o, int command, int argc, char **argv);
/* The same once more, for a file that may have changed. */
int  dxup_arguments_again(const dxup_options *o, dxup_options *fresh);
void dxup_arguments_free(dxup_options *o);

/* Each returns a status of common.h, and has printed a message unless it is PROG_OK. */
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
