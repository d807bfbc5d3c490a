/* The content of a version as one stream of bytes, whatever it is: a file, a directory that was
   stored as a stream, or a snapshot (README.md, "A tree as bytes"). */
#ifndef VERSIONS_CONTENT_H
#define VERSIONS_CONTENT_H

#include "../image.h"
#include "../store/store.h"

typedef struct versions_content versions_content;

/* Holds the store. */
int versions_content_open(versions_content **c, versions_store *s, const versions_version *v);
/* Exactly size bytes from offset on, each chunk verified. */
int versions_content_read(versions_content *c, uint64_t offset, void *out, size_t size);
/* The chunk that holds the byte at offset: its id, where it starts, its size. */
int versions_content_chunk(versions_content *c, uint64_t offset, uint8_t id[PROG_HASH_SIZE],
                           uint64_t *start, uint64_t *size);
/* NULL is fine. */
void versions_content_close(versions_content *c);
/* Stream a whole version into a sink. */
int versions_content_stream(versions_store *s, const versions_version *v, versions_sink *sink,
                            void *user);

/* Fill in v->hash. That of a snapshot takes reading all of it the first time. */
int versions_content_hash(versions_store *s, versions_version *v);
/* versions_version_find() with the hash of the content. */
int versions_content_find(versions_store *s, const char *name, uint64_t version,
                          versions_version *out);
/* The level of v->root, of a file: 0 = it is the content itself, else a list, whose bytes are those
   that docs/formats/tree.md says. */
int versions_content_level(versions_store *s, const versions_version *v, uint8_t *level);
/* *v, which is a snapshot, becomes what it has besides its content (tree/details.h), with the size
   and the hash of that: it can be opened, read and patched like a content. size 0: nothing, the
   base of a first patch. */
int versions_content_details(versions_store *s, versions_version *v);
/* The newest version of name with this content; of a tag: of the name that it belongs to.
   PROG_NOT_FOUND comes without a message. */
int versions_content_find_hash(versions_store *s, const char *name,
                               const uint8_t hash[PROG_HASH_SIZE], versions_version *out);

#endif
