/* The content of a version as one stream of bytes, for every kind: a file, a directory stored as a
   stream, or a snapshot (README.md, "A tree as bytes"). */
#ifndef VERSIONS_CONTENT_H
#define VERSIONS_CONTENT_H

#include "../image.h"
#include "../store/store.h"

typedef struct versions_content versions_content;

/* Keeps the store open. */
int versions_content_open(versions_content **c, versions_store *s, const versions_version *v);
/* Read exactly size bytes from offset; each chunk is verified. */
int versions_content_read(versions_content *c, uint64_t offset, void *out, size_t size);
/* Find the chunk that holds the byte at offset: its id, start and size. */
int versions_content_chunk(versions_content *c, uint64_t offset, uint8_t id[PROG_HASH_SIZE],
                           uint64_t *start, uint64_t *size);
/* c may be NULL. */
void versions_content_close(versions_content *c);
/* Write the content of a version to a sink. */
int versions_content_stream(versions_store *s, const versions_version *v, versions_sink *sink,
                            void *user);

/* Set v->hash. For a snapshot, the first call reads everything. */
int versions_content_hash(versions_store *s, versions_version *v);
/* versions_version_find() with the hash of the content. */
int versions_content_find(versions_store *s, const char *name, uint64_t version,
                          versions_version *out);
/* The level of v->root, for a file: 0: it is the content itself; otherwise it is a list in the
   format of docs/formats/tree.md. */
int versions_content_level(versions_store *s, const versions_version *v, uint8_t *level);
/* Replace the snapshot *v by its details (tree/details.h), with their size and hash: they can be
   opened, read and patched like a content. size 0: no details, the base of a first patch. */
int versions_content_details(versions_store *s, versions_version *v);
/* Find the newest version of name with this content; for a tag: of its name. Prints no message for
   PROG_NOT_FOUND. */
int versions_content_find_hash(versions_store *s, const char *name,
                               const uint8_t hash[PROG_HASH_SIZE], versions_version *out);

#endif
