/* The content of a file as chunks in the store: written as it comes, read at any offset. */
#ifndef DXUP_FILE_H
#define DXUP_FILE_H

#include "store.h"

typedef struct dxup_file_writer dxup_file_writer;

/* last: the version before, whose chunks the new ones may be deltas of; NULL: there is none. */
int  dxup_file_writer_open(dxup_file_writer **w, dxup_store *s, const dxup_version *last);
int  dxup_file_writer_write(dxup_file_writer *w, const void *bytes, size_t size);
/* All was written: out->root, out->hash and out->size are set. */
int  dxup_file_writer_finish(dxup_file_writer *w, dxup_version *out);
/* NULL is fine. */
void dxup_file_writer_close(dxup_file_writer *w);

typedef struct dxup_file_reader dxup_file_reader;

/* Holds the store. PROG_DAMAGED unless the chunks have v->size bytes. */
int  dxup_file_reader_open(dxup_file_reader **r, dxup_store *s, const dxup_version *v);
/* Exactly size bytes from offset on, each chunk verified. */
int  dxup_file_reader_read(dxup_file_reader *r, uint64_t offset, void *out, size_t size);
/* The chunk that holds the byte at offset: its id, where it starts, its size. */
int dxup_file_reader_chunk(dxup_file_reader *r, uint64_t offset, uint8_t id[PROG_HASH_SIZE],
                           uint64_t *start, uint64_t *size);
/* NULL is fine. */
void dxup_file_reader_close(dxup_file_reader *r);

#endif
