/* A thread that makes patches of large records: that takes up to 0.1 s for each megabyte, in which a
   worker would answer nobody. The workers of the process share it. */
#ifndef DXDB_PATCHER_H
#define DXDB_PATCHER_H

#include "dxdb.h"

#include <stdatomic.h>

typedef struct dxdb_patching dxdb_patching;
struct dxdb_patching { /* allocated with prog_alloc(); the thread has it from submit to is_done */
    uint8_t    *from;
    uint8_t    *to;
    size_t      from_size;
    size_t      to_size;
    uint8_t    *patch;      /* the outcome, with to_size bytes of room; shorter than `to` */
    size_t      patch_size; /* 0: there is none */
    atomic_bool is_done;

    dxdb_patching *queued;  /* private: the next one of the thread */
    dxdb_patching *next;    /* the caller's, as the following */
    void          *user;
    uint64_t       position;
};

/* Make a patch here. Returns its size; 0: no patch is shorter than `to`. patch: to_size
   bytes. */
size_t dxdb_patch_make(const uint8_t *from, size_t from_size, const uint8_t *to, size_t to_size,
                       uint8_t *patch);
/* Returns PROG_OK, or prints a message. */
int  dxdb_patcher_begin(void);
/* Copies of `from` and `to`; NULL: it has too much to do already. From any thread. */
dxdb_patching *dxdb_patcher_submit(const uint8_t *from, size_t from_size, const uint8_t *to,
                                   size_t to_size, void *user);
/* After is_done. */
void dxdb_patcher_free(dxdb_patching *p);
/* Nobody may wait for a patch any more. */
void dxdb_patcher_end(void);

#endif
