/* The handle of a store, private to the files of this folder. */
#ifndef VERSIONS_STORE_INSIDE_H
#define VERSIONS_STORE_INSIDE_H

#include "codec.h"
#include "store.h"

typedef struct versions_block {
    void  *bytes;
    size_t size;
    bool   in_file; /* of os_scratch_resize() */
} versions_block;

struct versions_store {
    dx_cas_store cas;
    dx_cas_file  file;         /* STORE/objects */
    dx_cas_file  index;        /* STORE/index, if has_index */
    dx_cas_codec codecs[2];
    dx_cas_delta delta;
    dx_cas_delta_coder coders[VERSIONS_CODERS_MAX];
    void            *delta_memory;
    versions_packer *packer;  /* NULL: built without zstd */
    versions_differ *differ;
    const void      *packed_of;    /* the last object passed to versions_pack(), */
    const void      *packed;       /* and its result */
    size_t           packed_size;
    versions_block   memory;       /* for dx_cas's index */
    versions_block   next_memory;  /* the new block while it grows */
    int              lock_fd;      /* -1: a reader */
    bool             made;         /* the log was created on open, */
    bool             made_folder;  /* and its folder, too */
    unsigned         holders;      /* this handle and the objects opened from it */
    char             path[PROG_PATH_SIZE_MAX + 1]; /* its folder */
    char             objects[PROG_PATH_SIZE_MAX + 32];
    char             index_path[PROG_PATH_SIZE_MAX + 32];
    bool             has_index;
    bool             checks;   /* VERSIONS_CHECK */
    bool             hurry;    /* versions_store_hurry() */
    bool             plain;    /* versions_store_set_plain() */
    bool             paranoid; /* versions_store_set_paranoid() */
    int64_t          whole_from_ns;
    dx_cas_codec     delta_codec;
    uint64_t         deltas;    /* stored */
    uint32_t         chain_max; /* deltas in a row; 0: the default */
    versions_seed_fn *seed;  /* reads objects that are not in the log; or NULL */
    void             *seed_user;
};

/* Print the meaning of an error of dx_cas.h for `what` (a name, a path). Returns its status. */
int versions_store_fail(versions_store *s, int error, const char *what);

#endif
