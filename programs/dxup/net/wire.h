/* The messages of dxup, as bare dx_teleport records inside HBTP payloads. */
#ifndef DXUP_WIRE_H
#define DXUP_WIRE_H

#include "../../common/common.h"

#include "../../../dx_teleport.h"

enum { DXUP_WIRE_VERSION = 1 };

/* flags of a request */
enum {
    DXUP_HAVE = 1,  /* `have` is the hash of what the client has */
    /* 2 was a coding of patches that is gone: older clients set it, and it says nothing */
    /* From DXUP_RANGES_FROM bytes on nothing is to follow the reply, whose transfer is 0 then: the
       client asks for ranges. In a range request: of the patch from `have`, else of the whole. */
    DXUP_RANGES = 4,
    /* The client takes files as objects, too. A file of DXUP_OBJECTS_FROM bytes or more for which
       there is no patch then does not follow the reply, whose transfer is 0: the client asks for
       its objects. In a request for a snapshot: a file is answered like one. */
    DXUP_OBJECTS = 8,
    /* The client reads patches between containers (docs/formats/container.md), of the kinds whose
       bits are in the second byte of the flags, as in the header of such a patch. In a range
       request with DXUP_RANGES: as in the pull that was answered. */
    DXUP_CONTAINERS = 16,
    DXUP_KINDS_SHIFT = 8
};

/* Bytes of the two versions, and of the forms, that a patch between containers is made for. */
enum { DXUP_CONTAINER_MAX = 128 << 20 };

/* numbers of RPC methods; that of details takes a range request, and answers like pull */
enum {
    DXUP_RPC_PULL    = 1,
    DXUP_RPC_RANGE   = 2,
    DXUP_RPC_DETAILS = 3,
    DXUP_RPC_SYNC    = 4, /* docs/formats/sync.md */
    DXUP_RPC_OBJECTS = 5,
    DXUP_RPC_NAMES   = 6
};

enum { DXUP_RANGE_SIZE = 1 << 20, DXUP_RANGES_FROM = 4 << 20, DXUP_OBJECTS_FROM = 1024 };

enum dxup_outcome {
    DXUP_UNCHANGED = 0, /* nothing follows */
    DXUP_PATCHED   = 1, /* a patch of wire_size bytes follows */
    DXUP_FULL      = 2, /* the image itself follows */
    DXUP_SYNCED    = 3  /* the client asks for objects */
};

#define DXUP_PULL_REQUEST(F, S, A, ...) \
    F(u32, flags)                       \
    A(u8, have, 32)                     \
    S(name)

/* known_base: the server knows what the client has (as any version of the name). */
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

/* For details: of the tree whose content is target. The client has those of the version that is
   number offset, and their hash is have; known_base in the reply says whether they are the base of
   the patch, which else has an empty one.
   For ranges: FileChunks with this transfer and these bytes are to follow an empty response, the
   last one with FINAL. */
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

/* What a pull replies, and the snapshot; of a file root is its content, or a list of that level.
   kind is zero in the reply of an older server and to an older client. */
#define DXUP_SYNC_REPLY(F, S, A, L, E, ...) \
    F(u64, version)                         \
    F(u64, size)                            \
    F(u16, mode)                            \
    E(u8, outcome, 4)                       \
    F(bool, known_base)                     \
    A(u8, hash, 32)                         \
    A(u8, root, 32)                         \
    E(u8, kind, 3)                          \
    F(u8, level)

/* For the names that the server has, and with a name for its versions, newest first, and its tags:
   those behind the first `skip` of them. FileChunks of transfer 1 follow an empty response: a byte,
   1 where there are more behind these, and for each a u16, the bytes of its entry, and that. */
#define DXUP_NAMES_REQUEST(F, S, ...) \
    F(u64, skip)                      \
    S(name)

/* tagged: of a tag, NAME@TAG, the version that it stands for; else 0. */
#define DXUP_NAMES_ENTRY(F, S, A, L, E, ...) \
    F(u64, version)                          \
    F(u64, size)                             \
    F(i64, time_ns)                          \
    F(u64, tagged)                           \
    E(u8, kind, 3)                           \
    A(u8, hash, 32)                          \
    S(name)

DX_TELEPORT_DEFINE(names_request, DXUP_NAMES_REQUEST)
DX_TELEPORT_DEFINE(names_entry, DXUP_NAMES_ENTRY)
DX_TELEPORT_DEFINE(sync_request, DXUP_SYNC_REQUEST)
DX_TELEPORT_DEFINE(sync_reply, DXUP_SYNC_REPLY)
DX_TELEPORT_DEFINE(pull_request, DXUP_PULL_REQUEST)
DX_TELEPORT_DEFINE(range_request, DXUP_RANGE_REQUEST)
DX_TELEPORT_DEFINE(pull_reply, DXUP_PULL_REPLY)

#endif
