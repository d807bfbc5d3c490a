/* The source of a mirror: a file, a directory, a block device, or the memory of a process.

       wan_source_begin() --> wan_source_read() of every region --> wan_source_end_reading() -->
       wan_source_is_final()      a round */
#ifndef WAN_SOURCE_H
#define WAN_SOURCE_H

#include "../wan.h"

#include "../../common/os.h"
#include "folder.h"
#include "freeze.h"
#include "memory.h"

/* A file whose last change is older than this gets another time of change with the next one. */
#define WAN_SETTLE_NS ((int64_t)50000000)

typedef enum wan_source_kind { WAN_FILE, WAN_FOLDER, WAN_DEVICE, WAN_MEMORY } wan_source_kind;

typedef struct wan_source {
    wan_source_kind kind;
    const char     *path;
    int             file;
    os_info         info;    /* when the round began */
    uint64_t        size;    /* the same */
    uint64_t        seen_ns; /* since when these times are known */
    bool            settled; /* a change during the round would change the file's times */
    wan_folder      folder;
    wan_memory      memory;
    wan_freeze      freeze;
    uint64_t        pause_max_ns;
    uint64_t        paused_ns; /* since when the process is stopped; 0: it is not */
    uint64_t        pause_ns; /* how long it was, the last time */
    uint32_t        cut;      /* times that this was too long */
    bool            whole;    /* it was stopped during the whole round */
    bool            asked;    /* this is a last round */
} wan_source;

/* Does the next change give a file another time of change? It was changed last at changed_ns by its file
   system's clock, and this has been known since seen_ns; wall_ns and now_ns: when that was asked. The clocks
   may differ, or have been set back: then the time of change lies in the future, and only what was seen
   counts. */
static inline bool wan_is_settled(int64_t changed_ns, int64_t wall_ns, uint64_t seen_ns, uint64_t now_ns)
{
    return wall_ns - changed_ns > WAN_SETTLE_NS || (now_ns > seen_ns && now_ns - seen_ns > WAN_SETTLE_NS);
}

/* Files of the system, such as those in /proc, state no size, whatever can be read from them. */
bool wan_has_no_size(int file);
/* Returns a status with a message. After a failure wan_source_close() is called, too. */
int  wan_source_open(wan_source *s, const wan_options *o);
void wan_source_close(wan_source *s);
/* A round begins: set s->size. last: a process is stopped until all is read. Returns a status with a
   message. */
int  wan_source_begin(wan_source *s, bool last);
/* Read from an offset of the image. Fewer bytes: it ends there. -1: the caller fails. */
int64_t wan_source_read(wan_source *s, uint64_t at, uint8_t *out, size_t size);
/* Does the region at an offset hold what was read there last? False: perhaps. */
bool wan_source_is_as_read(const wan_source *s, uint64_t at);
int  wan_source_fail(const wan_source *s); /* with the errno of wan_source_read() */
/* All is read: a process is resumed. */
void wan_source_end_reading(wan_source *s);
/* Resume a process that was stopped for too long. */
void wan_source_check(wan_source *s, uint64_t now_ns);
/* The round is over, and `changes` regions differed from the copy. Is the copy what the source was at
   one moment? */
bool wan_source_is_final(wan_source *s, uint64_t changes);

#endif
