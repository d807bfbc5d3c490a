/* The first message of each connection: an RPC of the sender with the name of the file and the way
   in which it comes. The frames of the transfer follow without waiting for the answer.

       arguments | version 1 | kind | name ... |
                 | the same | 0 | name of a second image ... |   of a mirror
       answer    | number of this receiver, 8 bytes |     or an error with a text
                 | the same | bytes that it has, u64 |    of a mirror
                 | the same | bytes that the second image has there, u64; 0: it has none |

   A receiver that was killed has forgotten what it acknowledged since its last note, so its successor
   has another number, and the sender asks again for everything that is there. */
#ifndef WAN_JOIN_H
#define WAN_JOIN_H

#include "../../common/common.h"

#include "../../../dx_hbtp.h"

enum {
    WAN_VERSION  = 1,
    WAN_RPC_JOIN = 1, /* method */
    WAN_NAME_MAX = 240 /* bytes: the partial file and the note have longer names */
};

typedef enum wan_kind {
    WAN_OBJECT = 0, /* a transfer of dx_bulk.h */
    WAN_MIRROR = 1, /* messages of region.h */
    WAN_PROBE  = 2, /* blocks that are counted; the name means nothing */
    WAN_TREE   = 3  /* a mirror of a directory's image, which becomes a directory */
} wan_kind;

typedef struct wan_join {
    wan_kind kind;
    char     name[WAN_NAME_MAX + 1];
    char     like[WAN_NAME_MAX + 1]; /* a second image; empty: there is none */
} wan_join;

enum { WAN_JOIN_SIZE_MAX = 3 + 2 * WAN_NAME_MAX, WAN_NUMBER_SIZE = 8 };

/* Write the arguments. Returns their size. */
size_t wan_join_write(const wan_join *j, uint8_t out[WAN_JOIN_SIZE_MAX]);
/* Read arguments of a stranger. NULL, or the reason for a refusal: the end of a sentence. */
const char *wan_join_read(wan_join *j, const uint8_t *bytes, size_t size);
/* NULL, or the reason why a file cannot have this name: it must lie in the receiver's directory, and
   not be hidden there. */
const char *wan_name_fault(const char *name, size_t size);
/* The last component of a path, which may end with a slash: *size bytes. */
const char *wan_name_of(const char *path, size_t *size);
/* Set the name that the receiver is told: the given one, or the last component of a path if it is
   NULL. */
int wan_join_name(wan_join *j, const char *path, const char *given);
/* Set the name of the second image: the last component of a path. */
int wan_join_like(wan_join *j, const char *path);
/* The same for a file, which a directory is not. */
int wan_join_file(wan_join *j, const char *path, const char *given);
/* Fail with the answer to a join, which a peer without this method does not know. */
int wan_join_refused(const char *address, uint16_t status, const char *text);
/* No connection will come about, because of TLS: the message and its status. */
int wan_join_hopeless(const char *address, const char *why);
int wan_join_stranger(const char *address);
/* A link has ended before a join was answered: because the peer speaks another protocol? */
bool wan_join_is_stranger(const dx_hbtp_session *session);

#endif
