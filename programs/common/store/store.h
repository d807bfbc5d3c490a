/* The store: a folder with one dx_cas log in it. It knows versions of names, and objects by their
   hash. What the objects of a directory mean is known one floor above (tree/). dxup and dxkeep keep
   their versions in it, in the same format.

   store.c     opens and locks the folder, compaction, error messages
   versions.c  names and their versions
   objects.c   objects by their hash, whole or as deltas
   file.c      writes and reads a file as chunks
   copy.c      copies objects into another store, recompressed if asked for
   codec.c     zstd and delta coders for objects
   similar.c   finds the objects that are most like another
   follow.c    finds the chunk of the previous version for a chunk of the new one
   inside.h    the handle from inside, for these files only */
#ifndef DXUP_STORE_H
#define DXUP_STORE_H

#include "../common.h"

#include "../../../dx_cas.h"

typedef struct dxup_store dxup_store;

/* Bytes of a chunk of a file. Chunks of trees are half as large. */
enum { DXUP_OBJECT_MAX = 256 << 10 };

/* >>store.c ---- */
enum dxup_store_mode { DXUP_READ, DXUP_WRITE, DXUP_CREATE };

int  dxup_store_open(dxup_store **s, const char *path, enum dxup_store_mode mode);
/* Closes the handle; its memory stays until everything opened from it is closed too. */
void dxup_store_close(dxup_store *s);
/* One more user of the handle, who calls dxup_store_close() in the end. */
void dxup_store_hold(dxup_store *s);
/* See what other processes have committed since. *s becomes another handle after a collection. */
int  dxup_store_refresh(dxup_store **s);
/* The folder, as it was given. */
const char *dxup_store_path(const dxup_store *s);
/* Bytes of the log. */
uint64_t dxup_store_size(dxup_store *s);
/* Save the index, so that the next open is quick. A failure costs only that. */
void dxup_store_save_index(dxup_store *s);
/* Re-read and re-hash everything; what is damaged goes to each. PROG_OK: read to the end, and
   *damaged says whether all of it is whole. */
int dxup_store_verify(dxup_store *s, dx_cas_damage_fn *each, void *user, dx_cas_report *report,
                      bool *damaged);
/* Compaction: open an empty log beside that of s, fill it (copy.c), put it in the place of the
   old one. Killed at any moment, one of both is there. *size: bytes that the new log has. The
   successor is closed by either call. */
int  dxup_store_successor_open(dxup_store *s, dxup_store **successor);
int  dxup_store_replace(dxup_store *s, dxup_store *successor, uint64_t *size);
void dxup_store_successor_drop(dxup_store *successor);

/* >>versions.c ---- */
/* The kind of a version in the log whose root is a snapshot (tree/tree.h). */
enum { DXUP_SNAPSHOT = 3 };

typedef struct dxup_version {
    char     name[PROG_NAME_SIZE_MAX + 1];
    uint64_t version;              /* from 1 on */
    uint64_t size;                 /* bytes of the content */
    int64_t  time_ns;              /* of its publication, since 1970 */
    int      kind;                 /* PROG_FILE, PROG_TREE */
    unsigned mode;
    uint8_t  root[PROG_HASH_SIZE]; /* the object from which the others are found */
    /* BLAKE3-256 of the content; zeros: not computed yet (tree/content.h does) */
    uint8_t  hash[PROG_HASH_SIZE];
    bool     snapshot;             /* a tree whose root is a snapshot */
    uint32_t torn;                 /* files in it that changed during every read */
    bool     details;              /* not its content, but what it has besides (tree/details.h) */
    uint64_t tagged;               /* of a tag, NAME@TAG: the version of NAME; else 0 */
} dxup_version;

/* NAME or NAME@VERSION; without a version it is 0. */
void dxup_split_version(const char *text, char name[PROG_NAME_SIZE_MAX + 1], uint64_t *version);
/* version 0: the latest. PROG_NOT_FOUND comes without a message. */
int  dxup_version_find(dxup_store *s, const char *name, uint64_t version, dxup_version *out);

/* The versions of a name, newest first. Zero the history, then call next until it says
   PROG_NOT_FOUND, which comes without a message. */
typedef struct dxup_history {
    dx_cas_ref at;
    bool       begun;
} dxup_history;
int  dxup_history_next(dxup_history *h, dxup_store *s, const char *name, dxup_version *out);
/* The latest version of every name, sorted by name. The caller frees *list, also after an error. */
int  dxup_version_list(dxup_store *s, dxup_version **list, size_t *count);
/* Make *v the next version of its name and commit everything put so far: v->version and
   v->time_ns are set. */
int  dxup_version_add(dxup_store *s, dxup_version *v);
/* Forget versions below oldest; durable after dxup_store_commit(). */
int  dxup_version_trim(dxup_store *s, const char *name, uint64_t oldest);
int  dxup_store_commit(dxup_store *s);
/* The name and all its versions. The same. */
int  dxup_name_remove(dxup_store *s, const char *name);

/* A tag, such as `stable`, is a name of its own, NAME@TAG, with one version: a copy of the version
   of NAME that it stands for. So it is found wherever a name is, also by releases that know no
   tags, it keeps its content, and it is moved by one commit. Where it was moved to is its next
   version: whoever pulls NAME@TAG follows it back to older versions, too. */
enum { DXUP_TAG_SIZE_MAX = 64 };
/* A letter, then letters, digits, dots, dashes and underscores. */
bool dxup_tag_is_valid(const char *tag);
/* Where the tag begins in a text that ends in @TAG; NULL: it has none. */
const char *dxup_tag_in(const char *text);
/* Make it stand for *v, and commit. PROG_REFUSED, with a message: NAME@TAG is no tag. */
int  dxup_tag_set(dxup_store *s, const dxup_version *v, const char *tag);

/* >>objects.c ---- */
int  dxup_object_put(dxup_store *s, const void *data, size_t size, uint8_t id[PROG_HASH_SIZE]);
/* The same as a delta of base, if base is there and the delta takes at most limit bytes (0:
   any). */
int dxup_object_put_like(dxup_store *s, const void *data, size_t size,
                         const uint8_t base[PROG_HASH_SIZE], size_t limit,
                         uint8_t id[PROG_HASH_SIZE]);
/* The same where dxup_pack() has made packed of it already; packed_size 0: it did not shrink.
   base may be NULL. */
int dxup_object_put_packed(dxup_store *s, const void *data, size_t size, const void *packed,
                           size_t packed_size, const uint8_t *base, uint8_t id[PROG_HASH_SIZE]);
/* Is it there, with that size (0: of any)? */
bool dxup_object_has(dxup_store *s, const uint8_t id[PROG_HASH_SIZE], uint64_t size);
bool dxup_object_size(dxup_store *s, const uint8_t id[PROG_HASH_SIZE], uint64_t *size);
/* Verified. What is larger than capacity is damage. */
int dxup_object_get(dxup_store *s, const uint8_t id[PROG_HASH_SIZE], void *out, size_t capacity,
                    size_t *size);

/* What is not in the store may be elsewhere, in files: objects are read from there as if they were
   in it, and verified like them. PROG_NOT_FOUND: it is not there either. out NULL: only its
   size. */
typedef int dxup_seed_fn(void *user, const uint8_t id[PROG_HASH_SIZE], void *out, size_t capacity,
                         size_t *size);
/* seed may be called on any thread, by any handle that has it. */
void dxup_store_set_seed(dxup_store *s, dxup_seed_fn *seed, void *user);
/* The same as another handle has. */
void dxup_store_share_seed(dxup_store *s, const dxup_store *with);

#endif
