/* The store: a folder with one dx_cas log in it. It knows versions of names, and objects by their
   hash. What the objects of a directory mean is known one floor above (tree/). Every program that
   keeps versions uses this format. The files beside this folder read and write a file or directory
   as one stream:

   ../filter.c  which paths of a tree are taken: --include, --exclude
   ../modes.c   permission bits where the file system has none
   ../names.c   the names in a directory, sorted
   ../image.c   reads a file or a tree as one stream
   ../dest.c    writes such a stream to a staging file, and replaces the destination atomically

   The files in this folder:

   store.c     opens and locks the folder, compaction, error messages
   versions.c  names and their versions
   objects.c   objects by their hash, whole or as deltas
   file.c      writes and reads a file as chunks
   copy.c      copies objects into another store, recompressed if asked for
   codec.c     zstd and delta coders for objects
   similar.c   finds the objects that are most like another
   follow.c    finds the chunk of the previous version for a chunk of the new one
   inside.h    the handle from inside, for these files only */
#ifndef VERSIONS_STORE_H
#define VERSIONS_STORE_H

#include "../../common/common.h"

#include "../../../dx_cas.h"

typedef struct versions_store versions_store;

/* Bytes of a chunk of a file. Chunks of trees are half as large. */
enum { VERSIONS_OBJECT_MAX = 256 << 10 };

/* >>store.c ---- */
/* VERSIONS_CHECK: as VERSIONS_READ, for `dxup verify`; messages about damage do not advise it. */
enum versions_store_mode { VERSIONS_READ, VERSIONS_CHECK, VERSIONS_WRITE, VERSIONS_CREATE };

int  versions_store_open(versions_store **s, const char *path, enum versions_store_mode mode);
/* Closes the handle; its memory stays until everything opened from it is closed too. */
void versions_store_close(versions_store *s);
/* The same; but a store that was made when this handle was opened, and has no version yet, is
   removed. For the only user of the handle. */
void versions_store_discard(versions_store *s);
/* Is a store in this folder, damaged or not? */
bool versions_store_is_at(const char *path);
/* One more user of the handle, who calls versions_store_close() in the end. */
void versions_store_hold(versions_store *s);
/* See what other processes have committed since. *s becomes another handle after a collection. */
int  versions_store_refresh(versions_store **s);
/* The same, also where another store is at the path now: *s becomes a handle of that. After a failure
   it is the one that it was. */
int  versions_store_look_again(versions_store **s);
/* The folder, as it was given. */
const char *versions_store_path(const versions_store *s);
/* Does the path still lead to the log and the lock of this handle? After a removal, a rename or a
   replacement of the folder, what is committed is in a store that nobody finds. */
bool versions_store_in_place(versions_store *s);
/* An open file by which a store is recognized after it was closed and opened again, for os_close();
   -1: there is none. It holds no lock. */
int  versions_store_mark(const versions_store *s);
bool versions_store_has_mark(const versions_store *s, int mark);
/* Bytes of the log. */
uint64_t versions_store_size(versions_store *s);
/* The same, or 0 where no object is in it. */
uint64_t versions_store_kept(versions_store *s);
/* New chunks are stored as deltas: by default as the smallest of what three coders make, from now
   on as what the fastest makes, in a tenth of the time. From whole_from_ns (prog_now_ns()) on they
   are stored whole; INT64_MAX: never. */
void versions_store_hurry(versions_store *s, int64_t whole_from_ns);
/* Save the index, so that the next open is quick. A failure costs only that. */
void versions_store_save_index(versions_store *s);
/* Re-read and re-hash everything; what is damaged goes to each. PROG_OK: read to the end, and
   *damaged says whether all of it is whole. */
int versions_store_verify(versions_store *s, dx_cas_damage_fn *each, void *user,
                          dx_cas_report *report, bool *damaged);
/* Compaction: open an empty log beside that of s, fill it (copy.c), put it in the place of the
   old one. Killed at any moment, one of both is there. *size: bytes that the new log has. The
   successor is closed by either call. */
int  versions_store_successor_open(versions_store *s, versions_store **successor);
int  versions_store_replace(versions_store *s, versions_store *successor, uint64_t *size);
void versions_store_successor_drop(versions_store *successor);

/* >>versions.c ---- */
/* The kind of a version in the log whose root is a snapshot (tree/tree.h). */
enum { VERSIONS_SNAPSHOT = 3 };

typedef struct versions_version {
    char     name[PROG_NAME_SIZE_MAX + 1];
    uint64_t version;              /* from 1 on */
    uint64_t size;                 /* bytes of the content */
    int64_t  time_ns;              /* of its publication, since 1970 */
    int64_t  content_ns;           /* to be added: the time of its content instead; 0: now */
    int      kind;                 /* PROG_FILE, PROG_TREE */
    unsigned mode;
    uint8_t  root[PROG_HASH_SIZE]; /* the object from which the others are found */
    /* BLAKE3-256 of the content; zeros: not computed yet (tree/content.h does) */
    uint8_t  hash[PROG_HASH_SIZE];
    bool     snapshot;             /* a tree whose root is a snapshot */
    uint32_t torn;                 /* files in it that changed during every read */
    bool     consistent;           /* all of it is of one instant: nothing ran that writes to it */
    bool     details;              /* not its content, but what it has besides (tree/details.h) */
    uint64_t tagged;               /* of a tag, NAME@TAG: the version of NAME; else 0 */
} versions_version;

/* NAME or NAME@VERSION; without a version it is 0. */
void versions_split_version(const char *text, char name[PROG_NAME_SIZE_MAX + 1], uint64_t *version);
/* version 0: the latest. PROG_NOT_FOUND comes without a message. */
int versions_version_find(versions_store *s, const char *name, uint64_t version,
                          versions_version *out);

/* The versions of a name, newest first. Zero the history, then call next until it says
   PROG_NOT_FOUND, which comes without a message. */
typedef struct versions_history {
    dx_cas_ref at;
    bool       begun;
} versions_history;
int versions_history_next(versions_history *h, versions_store *s, const char *name,
                          versions_version *out);
/* The latest version of every name, sorted by name. The caller frees *list, also after an error. */
int versions_version_list(versions_store *s, versions_version **list, size_t *count);
/* Make *v the next version of its name and commit everything put so far: v->version and
   v->time_ns are set. */
int versions_version_add(versions_store *s, versions_version *v);
/* Forget versions below oldest; durable after versions_store_commit(). */
int versions_version_trim(versions_store *s, const char *name, uint64_t oldest);
int versions_store_commit(versions_store *s);
/* The name and all its versions. The same. */
int versions_name_remove(versions_store *s, const char *name);

/* A tag, such as `stable`, is a name of its own, NAME@TAG, with one version: a copy of the version
   of NAME that it stands for. So it is found wherever a name is, also by releases that know no
   tags, it keeps its content, and it is moved by one commit. Where it was moved to is its next
   version: whoever pulls NAME@TAG follows it back to older versions, too. */
enum { VERSIONS_TAG_SIZE_MAX = 64 };
/* A letter, then letters, digits, dots, dashes and underscores. */
bool versions_tag_is_valid(const char *tag);
/* Where the tag begins in a text that ends in @TAG; NULL: it has none. */
const char *versions_tag_in(const char *text);
/* Make it stand for *v, and commit. PROG_REFUSED, with a message: NAME@TAG is no tag. */
int versions_tag_set(versions_store *s, const versions_version *v, const char *tag);

/* >>objects.c ---- */
int versions_object_put(versions_store *s, const void *data, size_t size,
                        uint8_t id[PROG_HASH_SIZE]);
/* The same as a delta of base, if base is there and the delta takes at most limit bytes (0:
   any). */
int versions_object_put_like(versions_store *s, const void *data, size_t size,
                             const uint8_t base[PROG_HASH_SIZE], size_t limit,
                             uint8_t id[PROG_HASH_SIZE]);
/* The same where versions_pack() has made packed of it already; packed_size 0: it did not shrink.
   base may be NULL. */
int versions_object_put_packed(versions_store *s, const void *data, size_t size, const void *packed,
                               size_t packed_size, const uint8_t *base, uint8_t id[PROG_HASH_SIZE]);
/* Is it there, with that size (0: of any)? */
bool versions_object_has(versions_store *s, const uint8_t id[PROG_HASH_SIZE], uint64_t size);
bool versions_object_size(versions_store *s, const uint8_t id[PROG_HASH_SIZE], uint64_t *size);
/* Verified. What is larger than capacity is damage. */
int versions_object_get(versions_store *s, const uint8_t id[PROG_HASH_SIZE], void *out,
                        size_t capacity, size_t *size);

/* What is not in the store may be elsewhere, in files: objects are read from there as if they were
   in it, and verified like them. PROG_NOT_FOUND: it is not there either. out NULL: only its
   size. */
typedef int versions_seed_fn(void *user, const uint8_t id[PROG_HASH_SIZE], void *out,
                             size_t capacity, size_t *size);
/* The id of a list of a file (docs/formats/cas.md, section 1): not that of an object with the same
   bytes. A seed may have these, too. */
void versions_list_id(const void *list, size_t size, uint8_t id[PROG_HASH_SIZE]);
/* seed may be called on any thread, by any handle that has it. */
void versions_store_set_seed(versions_store *s, versions_seed_fn *seed, void *user);
/* The same as another handle has. */
void versions_store_share_seed(versions_store *s, const versions_store *with);

#endif
