/* Decodes PostgreSQL's logical replication: what a walsender sends in CopyData with the plugin pgoutput,
   protocol version 1, in text. It does no input or output, and keeps no state: see gather.h.

   Numbers are big-endian. Every length is checked against the end of the message before it is used,
   and a message must end where its last field ends. A message of a type that version 1 does not have
   is an error, because it might be a change. */
#ifndef DXDB_PGOUTPUT_H
#define DXDB_PGOUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum dxdb_pgoutput_kind {
    DXDB_PGOUTPUT_OTHER,     /* the name of a type, the origin of a transaction: changes nothing */
    DXDB_PGOUTPUT_KEEPALIVE, /* position, wants_reply */
    DXDB_PGOUTPUT_BEGIN,     /* position: of its commit; xid */
    DXDB_PGOUTPUT_COMMIT,    /* position, end */
    DXDB_PGOUTPUT_RELATION,  /* relation, identity, columns */
    DXDB_PGOUTPUT_INSERT,    /* relation, fresh */
    DXDB_PGOUTPUT_UPDATE,    /* relation, old if the server sends it, fresh */
    DXDB_PGOUTPUT_DELETE,    /* relation, old */
    DXDB_PGOUTPUT_TRUNCATE   /* relations */
} dxdb_pgoutput_kind;

typedef struct dxdb_pgoutput_part { /* some fields of a message, which are valid */
    const uint8_t *bytes;
    size_t         size;
    uint32_t       count;  /* of columns, values or relations */
} dxdb_pgoutput_part;

typedef struct dxdb_pgoutput { /* a message; the fields that its kind does not name are 0 */
    dxdb_pgoutput_kind kind;
    uint64_t position;     /* of the log. KEEPALIVE: everything before it has been sent */
    uint64_t end;          /* after the record of the commit */
    uint32_t xid;
    bool     wants_reply;
    uint32_t relation;     /* an OID */
    char     identity;     /* 'd' default, 'n' nothing, 'f' full, 'i' index */
    char     old_kind;     /* 'K': old has the columns of the identity; 'O': all of them; 0: no old row */
    dxdb_pgoutput_part columns;
    dxdb_pgoutput_part old;
    dxdb_pgoutput_part fresh;
    dxdb_pgoutput_part relations;
} dxdb_pgoutput;

typedef struct dxdb_pgoutput_column {
    const char *name;
    uint32_t    type;   /* an OID */
    bool        is_key; /* of the replica identity */
} dxdb_pgoutput_column;

typedef struct dxdb_pgoutput_value {
    char        kind;   /* 'n': NULL, 'u': unchanged and not sent, 't': a text */
    const char *text;   /* not terminated */
    size_t      size;
} dxdb_pgoutput_value;

/* Decode the content of a CopyData message, which is borrowed. NULL, or what is wrong with it. */
const char *dxdb_pgoutput_read(dxdb_pgoutput *m, const void *bytes, size_t size);
/* Take the next column, value or relation from a part, whose count must not be 0. */
dxdb_pgoutput_column dxdb_pgoutput_next_column(dxdb_pgoutput_part *columns);
dxdb_pgoutput_value  dxdb_pgoutput_next_value(dxdb_pgoutput_part *values);
uint32_t             dxdb_pgoutput_next_relation(dxdb_pgoutput_part *relations);

enum { DXDB_PGOUTPUT_STATUS_SIZE = 34 };

/* Write a standby status update: everything before this position has been received. clock_us: in
   microseconds since 2000. */
void dxdb_pgoutput_write_status(uint8_t out[DXDB_PGOUTPUT_STATUS_SIZE], uint64_t position,
                                int64_t clock_us, bool wants_reply);

#endif
