/* What a mirror reads: a file, or a block device.

       wan_source_begin() --> wan_source_read() of every region --> wan_source_is_final()      a round */
#ifndef WAN_SOURCE_H
#define WAN_SOURCE_H

#include "../wan.h"

#include "../../common/os.h"

typedef enum wan_source_kind { WAN_FILE, WAN_DEVICE } wan_source_kind;

typedef struct wan_source {
    wan_source_kind kind;
    const char     *path;
    int             file;
    os_info         info;    /* when the round began */
    uint64_t        size;    /* the same */
    bool            settled; /* a change during the round would change the file's times */
} wan_source;

/* Returns a status with a message. After a failure wan_source_close() is called, too. */
int  wan_source_open(wan_source *s, const wan_options *o);
void wan_source_close(wan_source *s);
/* A round begins: set s->size. */
int  wan_source_begin(wan_source *s);
/* Read from an offset of the image. Fewer bytes: it ends there. -1: errno. */
int64_t wan_source_read(wan_source *s, uint64_t at, uint8_t *out, size_t size);
/* The round is over, and `changes` regions differed from the copy. Is the copy what the source was at one
   moment? */
bool wan_source_is_final(wan_source *s, uint64_t changes);

#endif
