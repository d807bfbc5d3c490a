/* The log of a server: one JSON object a line for each pull, each request of HTTP, and each
   connection that fetched parts of a pull.

       worker: an entry of its connection ---- JSON ----> page, behind a lock --> thread --> file

   Workers never wait for the file: they append to a page in memory, which a thread of its own
   writes. Where the page is full, because the file takes no more, lines are dropped and counted;
   the next line that is written says how many. Text of peers is a JSON string, so it can neither
   end a line nor begin one. */
#ifndef DXUP_LOG_H
#define DXUP_LOG_H

#include "../../versions/store/store.h"
#include "metrics.h"

#include "../../../dx_reactor.h"

enum { DXUP_LOG_PATH_MAX = 1023 }; /* bytes of a target of HTTP; what is longer is truncated */

typedef struct dxup_logger dxup_logger;

/* What a connection has to log: one thing at a time. Private but for `result`. */
typedef struct dxup_log_entry {
    bool        open;     /* something is under way, and has no line yet */
    bool        several;  /* the line is of several requests, up to the last one */
    int64_t     time_ns;  /* when it was asked for, since 1970, */
    int64_t     began_ns; /* and monotonic */
    const char *request;
    const char *result;   /* the caller's: what it will be if nothing comes between */
    uint64_t    from, to; /* versions; 0: unknown, or none */
    uint64_t    sent;
    int         status;   /* of HTTP; 0: none */
    uint8_t     from_hash[PROG_HASH_SIZE], to_hash[PROG_HASH_SIZE]; /* zeros: none */
    char        peer[DX_REACTOR_ADDRESS_TEXT_SIZE];
    char        name[PROG_NAME_SIZE_MAX + 1];
    char        path[DXUP_LOG_PATH_MAX + 1]; /* "": none */
} dxup_log_entry;

/* path: of the file, which grows; "-": standard error. PROG_SYSTEM with a message. Lines that were
   dropped are counted in m->log_dropped. path stays until the end. */
int  dxup_log_open(dxup_logger **l, const char *path, dxup_metrics *m);
/* Write what there is, and open the file by its path again, as it may have been renamed; from any
   thread. */
void dxup_log_reopen(dxup_logger *l);
/* Write what is left. A file that takes nothing for three seconds loses it. */
void dxup_log_close(dxup_logger *l);

/* In all calls below l and e may be NULL: there is no log. */
/* The entry of the connection on that socket; the caller frees it. */
dxup_log_entry *dxup_log_entry_open(const dxup_logger *l, int socket);
/* Something is asked for. `several`: unless that is what is under way, which goes on. What was under
   way before gets its line. */
void dxup_log_begin(dxup_logger *l, dxup_log_entry *e, const char *request, bool several);
/* NAME, and the version of it, or 0. */
void dxup_log_name(dxup_log_entry *e, const char *name, uint64_t version);
void dxup_log_path(dxup_log_entry *e, const void *path, size_t size);
/* The client has content of this hash, of no version that is known. */
void dxup_log_unknown(dxup_log_entry *e, const uint8_t hash[PROG_HASH_SIZE]);
/* Versions, each NULL where there is none. */
void dxup_log_versions(dxup_log_entry *e, const versions_version *from, const versions_version *to);
void dxup_log_result(dxup_log_entry *e, const char *result);
void dxup_log_sent(dxup_log_entry *e, uint64_t size);
/* It is over: write its line, unless it has one. result NULL: as dxup_log_result() said. */
void dxup_log_end(dxup_logger *l, dxup_log_entry *e, const char *result, int status);
/* The same without a line: another request says it. */
void dxup_log_drop(dxup_log_entry *e);

#endif
