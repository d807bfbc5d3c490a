/* The log of a server: one JSON object per line for each pull, each HTTP request, and each connection
   that fetched parts of a pull.

       worker: an entry of its connection ---- JSON ----> page, under a lock --> thread --> file

   Workers never wait for the file: they append to a page in memory, which a separate thread writes.
   If the page is full because the file accepts no data, lines are dropped and counted; the next line
   written has the count. Text from peers is escaped as a JSON string, so it cannot forge lines. */
#ifndef DXUP_LOG_H
#define DXUP_LOG_H

#include "../../versions/store/store.h"
#include "metrics.h"

#include "../../../dx_reactor.h"

enum { DXUP_LOG_PATH_MAX = 1023 }; /* bytes of an HTTP target; longer ones are truncated */

typedef struct dxup_logger dxup_logger;

/* The log entry of a connection, for one request at a time. Private, except `result`. */
typedef struct dxup_log_entry {
    bool        open;     /* a request is in progress, and not logged yet */
    bool        several;  /* one line covers several requests, up to the last one */
    int64_t     time_ns;  /* when the request arrived, since 1970, */
    int64_t     began_ns; /* and on the monotonic clock */
    const char *request;
    const char *result;   /* set by the caller: the outcome unless an error follows */
    uint64_t    from, to; /* versions; 0: unknown or none */
    uint64_t    sent;
    int         status;   /* of HTTP; 0: none */
    uint8_t     from_hash[PROG_HASH_SIZE], to_hash[PROG_HASH_SIZE]; /* zeros: none */
    char        peer[DX_REACTOR_ADDRESS_TEXT_SIZE];
    char        name[PROG_NAME_SIZE_MAX + 1];
    char        path[DXUP_LOG_PATH_MAX + 1]; /* "": none */
} dxup_log_entry;

/* Open the log. path: of a file, appended to; "-": standard error. PROG_SYSTEM: prints a
   message. Dropped lines are counted in m->log_dropped. */
int  dxup_log_open(dxup_logger **l, const char *path, dxup_metrics *m);
/* Write pending lines, and reopen the file by its path, for log rotation. Any thread. */
void dxup_log_reopen(dxup_logger *l);
/* The same with another path, or the same one. PROG_SYSTEM: it cannot be opened, and the log stays
   where it is; prints a message. Any thread, one at a time. */
int  dxup_log_move(dxup_logger *l, const char *path);
/* Write pending lines, and close. If the file accepts nothing for three seconds, they are lost. */
void dxup_log_close(dxup_logger *l);

/* In all functions below l and e may be NULL: there is no log. */
/* The entry of the connection on a socket. The caller frees it. */
dxup_log_entry *dxup_log_entry_open(const dxup_logger *l, int socket);
/* A request begins. several: it joins an open request of this kind. Any other open request
   is logged now. */
void dxup_log_begin(dxup_logger *l, dxup_log_entry *e, const char *request, bool several);
/* Set NAME and its version, or 0. */
void dxup_log_name(dxup_log_entry *e, const char *name, uint64_t version);
void dxup_log_path(dxup_log_entry *e, const void *path, size_t size);
/* The client has content of this hash, which is no known version. */
void dxup_log_unknown(dxup_log_entry *e, const uint8_t hash[PROG_HASH_SIZE]);
/* Set the versions; each may be NULL. */
void dxup_log_versions(dxup_log_entry *e, const versions_version *from, const versions_version *to);
void dxup_log_result(dxup_log_entry *e, const char *result);
void dxup_log_sent(dxup_log_entry *e, uint64_t size);
/* End the request, and write its line unless it has one. result NULL: that of dxup_log_result(). */
void dxup_log_end(dxup_logger *l, dxup_log_entry *e, const char *result, int status);
/* End it without a line: another request covers it. */
void dxup_log_drop(dxup_log_entry *e);

#endif
