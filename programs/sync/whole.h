/* Patches of one file of a snapshot: docs/formats/pull.md, section 6. The client asks for one instead of the
   chunks of a file that has compressed members, because such chunks have little in common. */
#ifndef DXUP_WHOLE_H
#define DXUP_WHOLE_H

#include "../containers/container.h"
#include "../versions/tree/missing.h"

enum {
    DXUP_WHOLE_REQUEST_MAX = 256,
    DXUP_WHOLE_REPLY_MAX   = 32,
    DXUP_WHOLE_FROM        = 4096 /* fewer missing bytes are not worth a request */
};

typedef struct dxup_whole_request {
    dx_tree_entry old;       /* level, id and size */
    dx_tree_entry file;
    uint64_t      limit;     /* the patch must be smaller */
    uint32_t      transfer;  /* number of the FileChunks */
    unsigned      kinds;     /* of containers that the client supports */
    bool          size_only;
} dxup_whole_request;

/* Returns the size. */
size_t dxup_whole_write_request(const dxup_whole_request *r, uint8_t out[DXUP_WHOLE_REQUEST_MAX]);
bool   dxup_whole_read_request(dxup_whole_request *r, const uint8_t *bytes, size_t size);
size_t dxup_whole_write_reply(uint64_t patch_size, uint8_t out[DXUP_WHOLE_REPLY_MAX]);
/* *patch_size 0: there is no patch. */
bool   dxup_whole_read_reply(const uint8_t *bytes, size_t size, uint64_t *patch_size);

/* Read the content of a file. False: it is not there, is damaged or changes; prints no message. */
bool dxup_whole_read(versions_store *s, const dx_tree_entry *file, container_bytes *bytes);
/* For versions_missing_choose(): is the old file, which the store has, a container? user: the store. */
bool dxup_whole_is_container(void *user, const versions_missing_whole *w);

enum dxup_whole_result {
    DXUP_WHOLE_MADE,   /* *made is a content of the right size */
    DXUP_WHOLE_STALE,  /* the old file changed */
    DXUP_WHOLE_CANNOT, /* other libraries, or too little memory: this client cannot apply it */
    DXUP_WHOLE_WRONG   /* the patch is malformed, or for other files; a message was printed */
};
/* Apply a patch to the old file. The caller verifies the content, and drops it, also after an error. */
enum dxup_whole_result dxup_whole_apply(versions_store *s, const versions_missing_whole *w,
                                        const container_bytes *patch, container_bytes *made);

#endif
