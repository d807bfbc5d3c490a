/* The messages of dxup, as bare dx_teleport records inside HBTP payloads. */
#ifndef DXUP_WIRE_H
#define DXUP_WIRE_H

#include "../common/common.h"

#include "../../dx_teleport.h"

enum { DXUP_WIRE_VERSION = 1 };

/* flags of a request */
enum {
    DXUP_HAVE = 1,  /* `have` is the hash of the client's content */
    /* 2 was a coding of patches that was removed: older clients set it, and it has no meaning */
    /* From DXUP_RANGES_FROM bytes on, the reply is not followed by the data, and its transfer is 0:
       the client requests ranges. In a range request: the range is of the patch from `have`,
       otherwise of the full content. */
    DXUP_RANGES = 4,
    /* The client accepts files as objects. A file of DXUP_OBJECTS_FROM bytes or more without a
       patch then does not follow the reply, whose transfer is 0: the client requests its objects.
       In a request for a snapshot: a file is answered like a snapshot. */
    DXUP_OBJECTS = 8,
    /* The client supports patches between containers (docs/formats/container.md), of the kinds
       whose bits are set in the second byte of the flags, as in the header of such a patch. In a
       range request with DXUP_RANGES: the same flags as in the pull. In a request for a snapshot: the
       client can take patches of its files; the reply says whether the server makes them. */
    DXUP_CONTAINERS = 16,
    /* In a request for a patch of a file: no chunks follow the reply. In a request for a snapshot: the
       client will ask for the sizes of answers; the reply says whether the server tells them. */
    DXUP_SIZE_ONLY = 32,
    DXUP_KINDS_SHIFT = 8
};

/* Size limit of both versions, and of the forms, for making a patch between containers. */
enum { DXUP_CONTAINER_MAX = 128 << 20 };

/* Numbers of RPC methods. DETAILS takes a range request, and answers like PULL. */
enum {
    DXUP_RPC_PULL    = 1,
    DXUP_RPC_RANGE   = 2,
    DXUP_RPC_DETAILS = 3,
    DXUP_RPC_SYNC    = 4, /* docs/formats/sync.md */
    DXUP_RPC_OBJECTS = 5,
    DXUP_RPC_NAMES   = 6,
    DXUP_RPC_WHOLE   = 7, /* a patch of one file of a snapshot */
    DXUP_RPC_LEASE   = 8, /* docs/formats/push.md */
    DXUP_RPC_OFFER   = 9
};

/* The answers to an offer, besides those of dx_hbtp.h. */
enum {
    DXUP_STATUS_OTHER  = 409, /* the name has other versions than the sender's */
    DXUP_STATUS_GONE   = 410, /* the sender no longer has an object of the version */
    DXUP_STATUS_EPOCH  = 412, /* another sender has the lease */
    DXUP_STATUS_LIMIT  = 413, /* the version is larger than the receiver takes */
    DXUP_STATUS_FULL   = 507  /* the receiver cannot store it */
};
enum { DXUP_HOLDER_SIZE = 16 };

/* features in the reply for a snapshot */
enum {
    DXUP_WHOLES = 1, /* the server answers DXUP_RPC_WHOLE, */
    DXUP_SIZES  = 2  /* and DXUP_RPC_OBJECTS with the size of an answer */
};

enum { DXUP_RANGE_SIZE = 1 << 20, DXUP_RANGES_FROM = 4 << 20, DXUP_OBJECTS_FROM = 1024 };

enum dxup_outcome {
    DXUP_UNCHANGED = 0, /* nothing follows */
    DXUP_PATCHED   = 1, /* a patch of wire_size bytes follows */
    DXUP_FULL      = 2, /* the content or image itself follows */
    DXUP_SYNCED    = 3  /* the client requests objects */
};

#define DXUP_PULL_REQUEST(F, S, A, ...) \
    F(u32, flags)                       \
    A(u8, have, 32)                     \
    S(name)

/* known_base: the server knows the client's content (as any version of the name). */
#define DXUP_PULL_REPLY(F, S, A, L, E, ...) \
    F(u64, version)                         \
    F(u64, size)                            \
    F(u64, wire_size)                       \
    F(i64, time_ns)                         \
    F(u32, transfer)                        \
    F(u16, mode)                            \
    E(u8, kind, 3)                          \
    E(u8, outcome, 3)                       \
    F(bool, known_base)                     \
    A(u8, hash, 32)

/* DETAILS: the tree is the one with content `target`. The client has the details of version `offset`,
   whose hash is `have`; known_base in the reply tells whether the patch is based on these; if not, its
   base is empty.
   RANGE: FileChunks with this transfer and these bytes follow an empty response, the last one with
   FINAL. */
#define DXUP_RANGE_REQUEST(F, S, A, ...) \
    F(u64, offset)                       \
    F(u32, size)                         \
    F(u32, transfer)                     \
    F(u32, flags)                        \
    A(u8, target, 32)                    \
    A(u8, have, 32)                      \
    S(name)

/* version 0: the latest. */
#define DXUP_SYNC_REQUEST(F, S, A, ...) \
    F(u64, version)                     \
    F(u32, flags)                       \
    A(u8, have, 32)                     \
    S(name)

/* The reply of a pull, and the snapshot; for a file, root is its content or a chunk list of that
   level. kind is zero in the reply of an older server and to an older client; features has
   only what the flags of the request ask for. */
#define DXUP_SYNC_REPLY(F, S, A, L, E, ...) \
    F(u64, version)                         \
    F(u64, size)                            \
    F(u16, mode)                            \
    E(u8, outcome, 4)                       \
    F(bool, known_base)                     \
    A(u8, hash, 32)                         \
    A(u8, root, 32)                         \
    E(u8, kind, 3)                          \
    F(u8, level)                            \
    F(u8, features)

/* A patch from one file of a snapshot to another, each given by level, id and size as in its entry
   (docs/formats/tree.md), if it has fewer than `limit` bytes. flags: DXUP_CONTAINERS and the kinds, or
   with DXUP_SIZE_ONLY. The reply has the size of the patch, 0: none; its FileChunks have that transfer. */
#define DXUP_WHOLE_REQUEST(F, S, A, ...) \
    F(u64, old_size)                     \
    F(u64, size)                         \
    F(u64, limit)                        \
    F(u32, transfer)                     \
    F(u32, flags)                        \
    A(u8, old, 32)                       \
    A(u8, file, 32)                      \
    F(u8, old_level)                     \
    F(u8, level)

#define DXUP_WHOLE_REPLY(F, S, A, ...) \
    F(u64, size)

/* Request for the names of the server; with a name, for its versions, newest first, and its tags;
   without the first `skip` entries. FileChunks of transfer 1 follow an empty response: a byte, 1 if
   more entries remain, and for each entry its size as u16, and the entry. */
#define DXUP_NAMES_REQUEST(F, S, ...) \
    F(u64, skip)                      \
    S(name)

/* tagged: for a tag, NAME@TAG, the version that it points to; otherwise 0. hash: the root of a snapshot.
   The fields after the name are zero from older servers. */
#define DXUP_NAMES_ENTRY(F, S, A, L, E, ...) \
    F(u64, version)                          \
    F(u64, size)                             \
    F(i64, time_ns)                          \
    F(u64, tagged)                           \
    E(u8, kind, 3)                           \
    A(u8, hash, 32)                          \
    S(name)                                  \
    F(u32, torn)                             \
    F(u16, mode)                             \
    F(bool, consistent)                      \
    F(bool, snapshot)

/* Ask for the lease of a name, or renew it. holder: random, of this sender; before: of the one that it
   continues, or zeros. lease_ms 0: end it, or only ask for the latest
   version. */
#define DXUP_LEASE_REQUEST(F, S, A, ...) \
    F(u32, lease_ms)                     \
    A(u8, holder, 16)                    \
    A(u8, before, 16)                    \
    S(name)

/* version: the latest one of the name, 0: none; time and root are its. epoch: of the lease. Not granted:
   it is another's, for lease_ms more. */
#define DXUP_LEASE_REPLY(F, S, A, ...) \
    F(u64, epoch)                      \
    F(u64, version)                    \
    F(u64, size)                       \
    F(i64, time_ns)                    \
    F(u32, lease_ms)                   \
    F(bool, granted)                   \
    A(u8, root, 32)

/* Version `version` of the name, which follows version `previous` with root `base` (0: the first one). The
   receiver fetches what it lacks by DXUP_RPC_OBJECTS, commits the version, and replies: empty. */
#define DXUP_OFFER_REQUEST(F, S, A, ...) \
    F(u64, epoch)                        \
    F(u64, version)                      \
    F(u64, previous)                     \
    F(u64, size)                         \
    F(i64, time_ns)                      \
    F(u32, torn)                         \
    F(u16, mode)                         \
    F(bool, consistent)                  \
    A(u8, root, 32)                      \
    A(u8, base, 32)                      \
    S(name)

DX_TELEPORT_DEFINE(lease_request, DXUP_LEASE_REQUEST)
DX_TELEPORT_DEFINE(lease_reply, DXUP_LEASE_REPLY)
DX_TELEPORT_DEFINE(offer_request, DXUP_OFFER_REQUEST)
DX_TELEPORT_DEFINE(names_request, DXUP_NAMES_REQUEST)
DX_TELEPORT_DEFINE(names_entry, DXUP_NAMES_ENTRY)
DX_TELEPORT_DEFINE(whole_request, DXUP_WHOLE_REQUEST)
DX_TELEPORT_DEFINE(whole_reply, DXUP_WHOLE_REPLY)
DX_TELEPORT_DEFINE(sync_request, DXUP_SYNC_REQUEST)
DX_TELEPORT_DEFINE(sync_reply, DXUP_SYNC_REPLY)
DX_TELEPORT_DEFINE(pull_request, DXUP_PULL_REQUEST)
DX_TELEPORT_DEFINE(range_request, DXUP_RANGE_REQUEST)
DX_TELEPORT_DEFINE(pull_reply, DXUP_PULL_REPLY)

#endif
