/* The handle of a store from inside: for the files of this room only. */
#ifndef VERSIONS_STORE_INSIDE_H
#define VERSIONS_STORE_INSIDE_H

#include "codec.h"
#include "store.h"

struct versions_store {
    dx_cas_store cas;
    dx_cas_file  file;         /* STORE/objects */
    dx_cas_file  index;        /* STORE/index, if has_index */
    dx_cas_codec codecs[2];
    dx_cas_delta delta;
    dx_cas_delta_coder coders[VERSIONS_CODERS_MAX];
    void            *delta_memory;
    versions_packer *packer;  /* NULL: this dxup has no zstd */
    versions_differ *differ;
    const void      *packed_of;    /* an object that versions_pack() was called for already, */
    const void      *packed;       /* and what it has made of it */
    size_t           packed_size;
    void            *memory;       /* of dx_cas's index */
    void            *next_memory;  /* the same while it grows */
    int              lock_fd;      /* or -1: a reader */
    bool             made;         /* there was no log before it was opened */
    bool             made_folder;  /* nor the folder */
    unsigned         holders;      /* this handle and what was opened from it */
    char             path[PROG_PATH_SIZE_MAX + 1]; /* of the folder */
    char             objects[PROG_PATH_SIZE_MAX + 32];
    char             index_path[PROG_PATH_SIZE_MAX + 32];
    bool             has_index;
    bool             checks;   /* VERSIONS_CHECK */
    bool             hurry;    /* versions_store_hurry() */
    int64_t          whole_from_ns;
    versions_seed_fn *seed;  /* NULL: what is not in the log is not there */
    void             *seed_user;
};

/* Print what an error of dx_cas.h means for `what` (a name, a path); returns the status for it. */
int versions_store_fail(versions_store *s, int error, const char *what);

#endif
