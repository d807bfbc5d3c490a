/* The content of a version as one stream of bytes, whatever it is: a file, a directory that was
   stored as a stream, or a snapshot (README.md, "A tree as bytes"). */
#ifndef DXUP_CONTENT_H
#define DXUP_CONTENT_H

#include "../image.h"
#include "../store/store.h"

typedef struct dxup_content dxup_content;

/* Holds the store. */
int  dxup_content_open(dxup_content **c, dxup_store *s, const dxup_version *v);
/* Exactly size bytes from offset on, each chunk verified. */
int  dxup_content_read(dxup_content *c, uint64_t offset, void *out, size_t size);
/* The chunk that holds the byte at offset: its id, where it starts, its size. */
int dxup_content_chunk(dxup_content *c, uint64_t offset, uint8_t id[PROG_HASH_SIZE],
                       uint64_t *start, uint64_t *size);
/* NULL is fine. */
void dxup_content_close(dxup_content *c);
/* Stream a whole version into a sink. */
int  dxup_content_stream(dxup_store *s, const dxup_version *v, prog_sink *sink, void *user);

/* Fill in v->hash. That of a snapshot takes reading all of it the first time. */
int  dxup_content_hash(dxup_store *s, dxup_version *v);
/* dxup_version_find() with the hash of the content. */
int  dxup_content_find(dxup_store *s, const char *name, uint64_t version, dxup_version *out);
/* *v, which is a snapshot, becomes what it has besides its content (tree/details.h), with the size
   and the hash of that: it can be opened, read and patched like a content. size 0: nothing, the
   base of a first patch. */
int  dxup_content_details(dxup_store *s, dxup_version *v);
/* The newest version of name with this content; of a tag: of the name that it belongs to.
   PROG_NOT_FOUND comes without a message. */
int dxup_content_find_hash(dxup_store *s, const char *name, const uint8_t hash[PROG_HASH_SIZE],
                           dxup_version *out);

#endif
