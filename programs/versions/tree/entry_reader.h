/* Random access to the content of a file in a version that is a tree. */
#ifndef VERSIONS_ENTRY_READER_H
#define VERSIONS_ENTRY_READER_H

#include "entries.h"

typedef struct versions_entry_reader versions_entry_reader;

/* Call it during the visit of the entry, a file; the reader stays usable afterwards. Keeps the
   store open, and takes about 170 KiB of memory after the first read. */
int  versions_entry_reader_open(versions_entry_reader **r, versions_store *s,
                                const versions_version *v, const versions_entry *e);
/* Read exactly size bytes from offset, which must be within the file; each object is verified. */
int  versions_entry_reader_read(versions_entry_reader *r, uint64_t offset, void *out, size_t size);
/* A tag for the content: equal tags mean equal contents, but equal contents may have different
   tags, depending on how they are stored. */
void versions_entry_reader_tag(const versions_entry_reader *r, uint8_t tag[PROG_HASH_SIZE]);
/* r may be NULL. */
void versions_entry_reader_close(versions_entry_reader *r);

#endif
