/* The record of a running dxkeep in its store, for `status`. It is a hint: a lock tells whether the
   process runs. */
#ifndef DXKEEP_KEEPER_H
#define DXKEEP_KEEPER_H

#include "../common/common.h"

typedef struct keep_keeper {
    uint64_t pid;
    int64_t  began_ns;    /* since 1970, as below */
    int64_t  captured_ns; /* the end of the last capture that succeeded */
    int64_t  waiting_ns;  /* since then there are changes that no version has; 0: none */
    bool     failed;      /* the last capture failed */
    char     directory[PROG_PATH_SIZE_MAX + 1];
} keep_keeper;

/* Returns a lock on the record, which os_close() ends; -1: it cannot be made, which is no error. */
int  keep_keeper_open(const char *store);
void keep_keeper_write(int lock, const keep_keeper *k);
/* False: no dxkeep runs on this store. */
bool keep_keeper_read(const char *store, keep_keeper *out);

#endif
