/* dxup: publish versions of files into a store, serve them, pull updates. Declarations that its files share.

   main.c    arguments and help             image.c   a file or a tree as one stream of bytes, read
   store.c   publish log checkout verify gc
   http.c    the server for browsers
   serve.c   the server                     patches.c makes and keeps patches, on a thread of its own
   chunks.c  patches between large versions
   pull.c    the client                     wire.h    the messages, as dx_teleport records
   parts.c   the client's many connections
   loop.c    opens an event loop            ../common/  messages, files, the system
   codec.c   zstd for objects         trees.h   directories as snapshots, in files tree_*.c
   dx.c      the headers' implementation */
#ifndef DXUP_H
#define DXUP_H

#include "../common/common.h" /* first: it asks for _GNU_SOURCE */

enum { DXUP_RPC_PULL = 1 }; /* the RPC method number */

/* >>image.c ---- */
typedef int dxup_sink(void *user, const void *bytes, size_t size);
/* The kind and mode of what is at path (links are followed at this first step only).
   DXUP_NOT_FOUND without a message when there is nothing. */
int dxup_image_stat(const char *path, int *kind, unsigned *mode);
/* Stream what is at path: a file's bytes, or a tree in the form that programs/dxup/README.md
   specifies. A file that changes its size meanwhile is an error. */
int dxup_image_read(const char *path, int kind, dxup_sink *sink, void *user);

/* What a version does not keep of what was published: counted, for publish to say. */
typedef struct dxup_losses {
    uint64_t bits;  /* files and folders with a setuid, setgid or sticky bit */
    uint64_t names; /* of files that have several: each becomes a file of its own */
    uint64_t holes; /* files with holes: these are filled with zeros */
} dxup_losses;

/* >>loop.c ---- */
struct dx_reactor;
struct dx_reactor_desc;
bool dxup_loop_knows(const char *backend);
/* Open the event loop with the backend of that name (NULL: automatic); *memory is to be freed
   after it is closed. */
int dxup_loop_open(struct dx_reactor *r, struct dx_reactor_desc *desc, const char *backend,
                   void **memory);

/* >>commands ---- */
typedef struct dxup_options {
    const char *store, *name, *path, *address, *http, *backend;
    unsigned    workers;
    unsigned    connections; /* pull: 1 to 256; serve: of each worker, 0: 4096 */
    uint64_t    keep;      /* gc: versions of each name; 0 = all */
    uint64_t    patch_max; /* serve: larger versions are patched by chunks */
    bool        force, quiet, report;
    bool        pack;      /* gc: take time to make it small */
} dxup_options;

int dxup_publish(const dxup_options *o);
int dxup_log(const dxup_options *o);
int dxup_checkout(const dxup_options *o);
int dxup_verify(const dxup_options *o);
int dxup_gc(const dxup_options *o);
int dxup_serve(const dxup_options *o);
int dxup_pull(const dxup_options *o);

#endif
