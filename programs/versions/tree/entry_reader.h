/* The content of a file in a version that is a tree, at any offset. */
#ifndef VERSIONS_ENTRY_READER_H
#define VERSIONS_ENTRY_READER_H

#include "entries.h"

typedef struct versions_entry_reader versions_entry_reader;

/* While the entry, which is a file, is visited; the reader stays usable after that. Holds the store,
   and about 170 KiB of memory once something was read. */
int  versions_entry_reader_open(versions_entry_reader **r, versions_store *s,
                                const versions_version *v, const versions_entry *e);
/* Exactly size bytes from offset on, which the file has; each object is verified. */
int  versions_entry_reader_read(versions_entry_reader *r, uint64_t offset, void *out, size_t size);
/* Equal only for equal contents, but not for all of these: it depends on how they are stored. */
void versions_entry_reader_tag(const versions_entry_reader *r, uint8_t tag[PROG_HASH_SIZE]);
/* NULL is fine. */
void versions_entry_reader_close(versions_entry_reader *r);

#endif
