/* The store: a folder with one dx_cas log in it. It stores versions of names, and objects by their
   hash. The meaning of a directory's objects is known one layer above (tree/). Every program that
   keeps versions uses this format. The files in the folder above read and write a file or directory
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
   similar.c   finds the most similar objects
   follow.c    finds the chunk of the previous version for a chunk of the new one
   inside.h    the handle, private to these files */
#ifndef VERSIONS_STORE_H
#define VERSIONS_STORE_H

#include "../../common/common.h"

#include "../../../dx_cas.h"

typedef struct versions_store versions_store;

/* Maximum size of a file's chunk. Chunks of trees are half as large. */
enum { VERSIONS_OBJECT_MAX = 256 << 10 };

/* >>store.c ---- */
/* VERSIONS_CHECK: like VERSIONS_READ, for `dxup verify`; messages about damage do not recommend it. */
enum versions_store_mode { VERSIONS_READ, VERSIONS_AGAIN, VERSIONS_CHECK, VERSIONS_WRITE, VERSIONS_CREATE };

/* VERSIONS_CREATE makes no store beside files that tell of a lost one (PROG_DAMAGED); VERSIONS_READ warns if
   the log has lost versions, VERSIONS_AGAIN does not: this process has the store open already. */
int  versions_store_open(versions_store **s, const char *path, enum versions_store_mode mode);
/* Close the handle; its memory stays until everything opened from it is closed, too. */
void versions_store_close(versions_store *s);
/* Close it, and remove a store that was created by this open and has no version yet. Only for the
   last user of the handle. */
void versions_store_discard(versions_store *s);
/* Is there a store in this folder, damaged or not? */
bool versions_store_is_at(const char *path);
/* Add a user of the handle, who must call versions_store_close(), too. */
void versions_store_hold(versions_store *s);
/* Load commits of other processes. After a gc *s becomes another handle. */
int  versions_store_refresh(versions_store **s);
/* The same, but if another store is at the path now, *s becomes a handle of that. After an error
   *s is unchanged. */
int  versions_store_look_again(versions_store **s);
/* The folder, as given. */
const char *versions_store_path(const versions_store *s);
/* Does the path still lead to the log and the lock of this handle? If not, the folder was removed,
   renamed or replaced, and commits could not be found by that path. */
bool versions_store_in_place(versions_store *s);
/* An open file that identifies the store after it is closed and opened again; os_close() closes it.
   -1: error. It holds no lock. */
int  versions_store_mark(const versions_store *s);
bool versions_store_has_mark(const versions_store *s, int mark);
/* Size of the log in bytes. */
uint64_t versions_store_size(versions_store *s);
/* The bytes of all objects, before compression. */
uint64_t versions_store_content(versions_store *s);
/* versions_store_size(), or 0 if there are no objects. */
uint64_t versions_store_kept(versions_store *s);
/* New chunks are stored as deltas: by default as the smallest result of three coders; after this
   call, without `smallest`, by the fastest coder alone, which takes a tenth of the time. From
   whole_from_ns (prog_now_ns()) on, chunks are stored whole; INT64_MAX: never. */
void versions_store_hurry(versions_store *s, int64_t whole_from_ns, bool smallest);
/* Store new objects without compression, for a store that is soon removed, or compress them again. */
void versions_store_set_plain(versions_store *s, bool plain);
/* Whenever an object is stored that the store has already, compare the bytes: PROG_DAMAGED if they
   differ. This finds damage, and two contents with the same hash. */
void versions_store_set_paranoid(versions_store *s, bool paranoid);
/* The maximum number of deltas of a chunk in a row: 1 to 31. */
void versions_store_set_chain(versions_store *s, uint32_t deltas_max);
/* Nothing is done with the store for a while: take the pages of a large index out of memory. */
void versions_store_rest(const versions_store *s);
/* How many objects this handle has stored as deltas. */
uint64_t versions_store_deltas(const versions_store *s);
/* Wait while another process writes to the store at path, if there is one. */
void versions_store_wait(const char *path, int64_t until_ns);
/* Open for writing, at the latest then. Meanwhile a process that keeps the store between two writes is asked
   to give it up: it looks at versions_store_is_wanted(). */
int  versions_store_open_soon(versions_store **s, const char *path, int64_t until_ns);
bool versions_store_is_wanted(const char *path);
/* Save the index, for a fast next open. An error costs only that. */
void versions_store_save_index(versions_store *s);
/* Re-read and re-hash everything; damage is reported to each. PROG_OK: read to the end; *damaged:
   whether there was any. */
int versions_store_verify(versions_store *s, dx_cas_damage_fn *each, void *user,
                          dx_cas_report *report, bool *damaged);
/* Which versions a compaction keeps. fn NULL: all of them. It must answer alike each time; the latest
   version of a name stays in any case. */
typedef struct versions_keep {
    bool (*fn)(void *user, const char *name, uint64_t version);
    void  *user;
} versions_keep;
/* Compaction: open an empty log next to that of s, fill it (copy.c), and replace the old log by it.
   After a crash at any moment one of both exists. The new log keeps owner, group and mode of the old
   one; PROG_REFUSED: this user may not do that. *size: bytes of the new log. Either call closes
   the successor. */
int  versions_store_successor_open(versions_store *s, versions_store **successor);
int  versions_store_replace(versions_store *s, versions_store *successor, const versions_keep *keep,
                            uint64_t *size);
void versions_store_successor_drop(versions_store *successor);

/* >>versions.c ---- */
/* The kind of a version in the log whose root is a snapshot (tree/tree.h). */
enum { VERSIONS_SNAPSHOT = 3 };

typedef struct versions_version {
    char     name[PROG_NAME_SIZE_MAX + 1];
    uint64_t version;              /* starts at 1 */
    uint64_t size;                 /* bytes of the content */
    int64_t  time_ns;              /* publication time, since 1970 */
    int64_t  content_ns;           /* when adding it: the time of its content, instead; 0: now */
    int      kind;                 /* PROG_FILE, PROG_TREE */
    unsigned mode;
    uint8_t  root[PROG_HASH_SIZE]; /* the object that leads to all others */
    /* BLAKE3-256 of the content; zeros: not calculated yet (tree/content.h) */
    uint8_t  hash[PROG_HASH_SIZE];
    bool     snapshot;             /* a tree whose root is a snapshot */
    uint32_t torn;                 /* number of files that changed during every read */
    bool     consistent;           /* all of it is of one instant: no process wrote meanwhile */
    bool     details;              /* not the content but the details (tree/details.h) */
    bool     entry;                /* not a version but a file of a snapshot, whose root has: */
    uint8_t  level;
    uint64_t tagged;               /* for a tag, NAME@TAG: the version of NAME; otherwise 0 */
} versions_version;

/* Does it end in @ and digits, the number of a version? 0 is none. */
bool versions_has_version(const char *text);
/* Split NAME or NAME@VERSION; without a version it is 0. */
void versions_split_version(const char *text, char name[PROG_NAME_SIZE_MAX + 1], uint64_t *version);
/* version 0: the latest. Prints no message for PROG_NOT_FOUND. */
int versions_version_find(versions_store *s, const char *name, uint64_t version,
                          versions_version *out);

/* The versions of a name, newest first. Zero the history, then call next until it returns
   PROG_NOT_FOUND, which prints no message. */
typedef struct versions_history {
    dx_cas_ref at;
    bool       begun;
} versions_history;
int versions_history_next(versions_history *h, versions_store *s, const char *name,
                          versions_version *out);
/* List the latest version of every name, sorted by name. The caller frees *list, also
   after an error. */
int versions_version_list(versions_store *s, versions_version **list, size_t *count);
/* May a name be created? Without a colon: in NAME:PATH it ends the name. Names that older releases
   created stay readable, and get further versions. PROG_USAGE with a message. */
int versions_name_check(const char *name);
/* Make *v the next version of its name, and commit everything stored so far. Sets v->version
   and v->time_ns. */
int versions_version_add(versions_store *s, versions_version *v);
/* The same without the commit: what belongs to the number can be written before the version exists. */
int versions_version_set(versions_store *s, versions_version *v);
/* The same with the number v->version, which must be above those of all versions of the name.
   PROG_REFUSED without a message: the latest version of the name is not `expected` (0: none). */
int versions_version_copy(versions_store *s, versions_version *v, uint64_t expected);
/* Remove versions below oldest; durable after versions_store_commit(). */
int versions_version_trim(versions_store *s, const char *name, uint64_t oldest);
int versions_store_commit(versions_store *s);
/* Remove a name with all its versions; durable after the commit, too. */
int versions_name_remove(versions_store *s, const char *name);

/* A tag, such as `stable`, is stored as a name, NAME@TAG, with one version: a copy of the version
   of NAME that it points to. So every command finds it like a name, also in releases without tags;
   it keeps its content from being collected; and one commit moves it. Each move is its next
   version, so a pull of NAME@TAG follows it back to older versions, too. */
enum { VERSIONS_TAG_SIZE_MAX = 64 };
/* Is it a letter, then letters, digits, dots, dashes and underscores? */
bool versions_tag_is_valid(const char *tag);
#define VERSIONS_TAG_RESERVED "latest" /* would not follow the latest version, as its readers expect */
/* The tag at the end of a text, after its @; NULL: none. */
const char *versions_tag_in(const char *text);
/* Point the tag to *v, and commit. PROG_REFUSED: NAME@TAG is a name but no tag; prints a message. */
int versions_tag_set(versions_store *s, const versions_version *v, const char *tag);

/* >>objects.c ---- */
int versions_object_put(versions_store *s, const void *data, size_t size,
                        uint8_t id[PROG_HASH_SIZE]);
/* The same, as a delta of base, if that exists and the delta takes at most limit bytes (0: any). */
int versions_object_put_like(versions_store *s, const void *data, size_t size,
                             const uint8_t base[PROG_HASH_SIZE], size_t limit,
                             uint8_t id[PROG_HASH_SIZE]);
/* The same, with `packed` from versions_pack(); packed_size 0: it did not shrink. base may be NULL. */
int versions_object_put_packed(versions_store *s, const void *data, size_t size, const void *packed,
                               size_t packed_size, const uint8_t *base, uint8_t id[PROG_HASH_SIZE]);
/* Store it as a delta of base (which may be NULL) if that is at most half as large, else compressed. */
int versions_object_put_after(versions_store *s, const void *data, size_t size, const uint8_t *base,
                              uint8_t id[PROG_HASH_SIZE]);
/* Does it exist, with that size (0: any)? */
bool versions_object_has(versions_store *s, const uint8_t id[PROG_HASH_SIZE], uint64_t size);
/* The store has this object, and its caller was about to store these bytes: with
   versions_store_set_paranoid(), compare them. */
int  versions_object_same(versions_store *s, const uint8_t id[PROG_HASH_SIZE], const void *data,
                          size_t size);
bool versions_object_size(versions_store *s, const uint8_t id[PROG_HASH_SIZE], uint64_t *size);
/* The object that it is stored as a delta of; base may be id. False: none. */
bool versions_object_base(versions_store *s, const uint8_t id[PROG_HASH_SIZE],
                          uint8_t base[PROG_HASH_SIZE]);
/* Read and verify an object. One larger than capacity counts as damage. */
int versions_object_get(versions_store *s, const uint8_t id[PROG_HASH_SIZE], void *out,
                        size_t capacity, size_t *size);

/* A seed supplies objects that the store lacks, from files. They are read as if they were in the
   store, and verified likewise. PROG_NOT_FOUND: the seed does not have it either. out NULL: return
   only the size. */
typedef int versions_seed_fn(void *user, const uint8_t id[PROG_HASH_SIZE], void *out,
                             size_t capacity, size_t *size);
/* The id of a list of a file (docs/formats/cas.md, section 1), which differs from that of an object
   with the same bytes. A seed may supply lists, too. */
void versions_list_id(const void *list, size_t size, uint8_t id[PROG_HASH_SIZE]);
/* seed may be called on any thread, by any handle that has it. */
void versions_store_set_seed(versions_store *s, versions_seed_fn *seed, void *user);
/* Use the seed of another handle. */
void versions_store_share_seed(versions_store *s, const versions_store *with);

#endif
