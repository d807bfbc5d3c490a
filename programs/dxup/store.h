/* The store of dxup: a directory with one dx_cas log in it. */
#ifndef DXUP_STORE_H
#define DXUP_STORE_H

#include "dxup.h"

typedef struct dxup_store dxup_store;

typedef struct dxup_version {
    char     name[DXUP_NAME_SIZE_MAX + 1];
    uint64_t version, size;
    int64_t  time_ns;
    int      kind;
    unsigned mode;
    uint8_t  root[DXUP_HASH_SIZE]; /* where the chunks hang */
    uint8_t  hash[DXUP_HASH_SIZE]; /* BLAKE3 of the whole content; zeros: nobody asked for it yet */
    bool     snapshot;             /* a tree whose root is a snapshot (trees.h) */
} dxup_version;

/* A version being read: holds the store that it reads from. */
typedef struct dxup_content dxup_content;

enum { DXUP_OBJECT_MAX = 256 << 10 }; /* chunks of files; of trees they are half as large */

enum dxup_store_mode { DXUP_READ, DXUP_WRITE, DXUP_CREATE };

int  dxup_store_open(dxup_store **s, const char *path, enum dxup_store_mode mode);
/* The object is freed when what was opened from it is closed too. */
void dxup_store_close(dxup_store *s);
/* See what other processes have committed since; *s is another object after a collection. */
int  dxup_store_refresh(dxup_store **s);
/* NAME or NAME@VERSION; without a version it is 0. */
void dxup_split_version(const char *text, char name[DXUP_NAME_SIZE_MAX + 1], uint64_t *version);
/* version 0 = the latest, with its hash. DXUP_NOT_FOUND comes without a message. */
int  dxup_store_find(dxup_store *s, const char *name, uint64_t version, dxup_version *out);
/* The newest version of name with this content. DXUP_NOT_FOUND comes without a message. */
int  dxup_store_find_hash(dxup_store *s, const char *name, const uint8_t hash[DXUP_HASH_SIZE],
                          dxup_version *out);
int  dxup_content_open(dxup_content **c, dxup_store *s, const dxup_version *v);
/* Exactly size bytes from offset on, each chunk verified. */
int  dxup_content_read(dxup_content *c, uint64_t offset, void *out, size_t size);
/* The chunk that holds the byte at offset: its id, where it starts, its size. */
int  dxup_content_chunk(dxup_content *c, uint64_t offset, uint8_t id[DXUP_HASH_SIZE],
                        uint64_t *start, uint64_t *size);
void dxup_content_close(dxup_content *c);

/* >>objects: what snapshots are made of ---- */
int  dxup_object_put(dxup_store *s, const void *data, size_t size, uint8_t id[DXUP_HASH_SIZE]);
/* The same, as what differs from base if that is there, and takes at most limit bytes (0: any). */
int  dxup_object_put_like(dxup_store *s, const void *data, size_t size, const uint8_t base[32],
                          size_t limit, uint8_t id[DXUP_HASH_SIZE]);
/* The same where dxup_pack has made packed of it already; packed_size 0: it did not shrink. base may
   be NULL. */
int  dxup_object_put_packed(dxup_store *s, const void *data, size_t size, const void *packed,
                            size_t packed_size, const uint8_t *base, uint8_t id[DXUP_HASH_SIZE]);
/* Is it there, with that size (0: of any)? */
bool dxup_object_has(dxup_store *s, const uint8_t id[DXUP_HASH_SIZE], uint64_t size);
/* Verified. What is larger than capacity is damage. */
int  dxup_object_get(dxup_store *s, const uint8_t id[DXUP_HASH_SIZE], void *out, size_t capacity,
                     size_t *size);

#endif
