/* The content of a file as chunks in the store: written sequentially, read at any offset. */
#ifndef VERSIONS_FILE_H
#define VERSIONS_FILE_H

#include "store.h"

typedef struct versions_file_writer versions_file_writer;

/* last: the previous version, whose chunks may be bases of deltas; or NULL. */
int versions_file_writer_open(versions_file_writer **w, versions_store *s,
                              const versions_version *last);
int  versions_file_writer_write(versions_file_writer *w, const void *bytes, size_t size);
/* Complete the file: sets out->root, out->hash and out->size. */
int  versions_file_writer_finish(versions_file_writer *w, versions_version *out);
/* w may be NULL. */
void versions_file_writer_close(versions_file_writer *w);

typedef struct versions_file_reader versions_file_reader;

/* Keeps the store open. PROG_DAMAGED: the chunks do not have v->size bytes. */
int versions_file_reader_open(versions_file_reader **r, versions_store *s,
                              const versions_version *v);
/* Read exactly size bytes from offset; each chunk is verified. */
int versions_file_reader_read(versions_file_reader *r, uint64_t offset, void *out, size_t size);
/* Find the chunk that holds the byte at offset: its id, start and size. */
int versions_file_reader_chunk(versions_file_reader *r, uint64_t offset, uint8_t id[PROG_HASH_SIZE],
                               uint64_t *start, uint64_t *size);
/* r may be NULL. */
void versions_file_reader_close(versions_file_reader *r);

#endif
