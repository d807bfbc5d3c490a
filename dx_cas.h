/*  dx_cas.h - v0.1.0 - keeps content under its hash: BLAKE3, chunking, Merkle proofs, a crash-safe store

    Do this in ONE C or C++ file:

        #define DX_CAS_IMPLEMENTATION         (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_cas.h"

    and include it elsewhere without the define. C99; also builds as C++11.

    QUICK EXAMPLE

        static unsigned char disk[65536], memory[65536], back[16];
        dx_cas_memory  ram = {disk, sizeof disk, 0};
        dx_cas_desc    desc = {0};
        dx_cas_store   store;
        dx_cas_id      id;
        size_t         size = 0;
        desc.device = dx_cas_memory_device(&ram);
        desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
        desc.memory = memory;
        desc.memory_size = sizeof memory;
        if (dx_cas_open(&store, &desc) != DX_CAS_OK) return 1;
        if (dx_cas_put(&store, "hello", 5, &id) != DX_CAS_OK) return 2;
        if (dx_cas_commit(&store) != DX_CAS_OK) return 3;   // now it survives a power cut
        if (dx_cas_get(&store, &id, back, sizeof back, &size) != DX_CAS_OK) return 4;
        if (size != 5 || memcmp(back, "hello", 5) != 0) return 5;
        dx_cas_close(&store);

    CONTENTS (search for the mark)

        >>config  >>types  >>api        what you may call
        >>platform >>shared >>blake3 >>chunker >>merkle >>device >>file
        >>format >>index >>recovery >>objects >>refs >>public >>streams >>verify >>collect

    THE PARTS, from small to large; each is useful without those after it

        dx_cas_blake3_*    hash, keyed hash, key derivation, output of any length
        dx_cas_chunker_*   where to cut a stream so that equal parts of two versions are cut alike
        dx_cas_merkle_*    one root for many leaves; short proofs that a leaf is in it, that it only grew
        dx_cas_device      five functions: read, write, sync, size, truncate; memory and file come with it
        dx_cas_store       objects under their hash in an append-only log; commits; recovery; names with versions
        dx_cas_writer      content of any size into the store with bounded memory; dx_cas_reader takes it out

    GUARANTEES
        - dx_cas_commit() returned 0: everything put and named before it survives a power cut.
        - After a kill at any byte the store equals the state of the last commit, whole.
        - dx_cas_get() and dx_cas_reader_read() never return bytes that do not hash to their id.
        - Damage of what was committed is reported with its offset; what is intact stays readable.
        - One writer and any number of readers; a reader never sees half a commit.
        - No globals, no allocation, no recursion, no printing; the same bytes on every platform.

    LIMITS
        - Store: 2^48 bytes on the device. Object: desc.object_size_max. Content: 2^48 bytes.
        - Index: 16 bytes of memory for each object and each name, at most 7/8 full.
        - A store object, a writer, a reader and a device belong to one thread at a time. Threads that read
          at once each open their own (a reader takes no lock).
        - Names: UTF-8, 1..255 bytes, no control characters. A version number is never used twice while the
          name is known; dx_cas_copy_live() forgets deleted names.

    CONFIG (define before the implementation)
        DX_CAS_STATIC      functions become static           DX_CAS_API     how functions are declared
        DX_CAS_ASSERT(c)   <assert.h> when hosted             DX_CAS_MEMCPY/MEMSET/MEMCMP/MEMMOVE
        DX_CAS_NO_FILE     no file device (automatic when freestanding)

    ERRORS      dx_cas_error: 0 = ok, negative = reason; dx_cas_error_name() spells it. An error of a device
                function is passed through. dx_cas_damage_offset() is where ECORRUPT was met.

    OWNERSHIP   The caller owns every buffer. desc.memory is borrowed until dx_cas_close() or dx_cas_grow();
                the device until dx_cas_close(). Everything else is copied or used during the call only.

    FORMAT      docs/CAS.md is normative: store, records, ids, list nodes, gear table, Merkle hashes.
*/
#ifndef DX_CAS_H
#define DX_CAS_H

#define DX_CAS_VERSION 0x000100 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifndef DX_CAS_API
  #ifdef DX_CAS_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_CAS_API static __attribute__((unused))
    #else
      #define DX_CAS_API static
    #endif
  #else
    #define DX_CAS_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */
typedef enum dx_cas_error {
    DX_CAS_OK = 0,
    DX_CAS_EINVAL = -1,     /* an argument breaks its contract */
    DX_CAS_ENOMEM = -2,     /* the caller's memory is too small: dx_cas_memory_needed() */
    DX_CAS_ENOSPACE = -3,   /* the output buffer or the device is full */
    DX_CAS_ETOOBIG = -4,    /* above a limit: object_size_max, 2^48 bytes of store */
    DX_CAS_ECORRUPT = -5,   /* bytes are damaged or not of this format */
    DX_CAS_EAGAIN = -6,     /* the store changed under a reader: open it again */
    DX_CAS_ESYS = -7,       /* the device failed (file device: system_error holds errno) */
    DX_CAS_ENOTSUP = -8,    /* a codec or hash that this build does not have */
    DX_CAS_ENOTFOUND = -9,  /* no such object, name, version, file or store */
    DX_CAS_ECANCELED = -10, /* the caller's callback asked to stop */
    DX_CAS_ETRUNCATED = -11, /* the input ends too early */
    DX_CAS_EVERSION = -12,  /* a format version or record type that this build does not know */
    DX_CAS_ECONFLICT = -32, /* the name is not at the version that was expected */
    DX_CAS_ELOCKED = -33,   /* another writer has the store open */
    DX_CAS_EREADONLY = -34, /* the store was opened for reading, or is damaged */
    DX_CAS_EMOVED = -35     /* the store was replaced by another (dx_cas_retire): open its path again */
} dx_cas_error;

/* The hash that names a thing: 32 bytes; text form is 64 lower-case hex digits. */
typedef struct dx_cas_id {
    uint8_t bytes[32];
} dx_cas_id;

/* BLAKE3 in progress; caller-allocated, fields are private, may be copied. 1,840 bytes or so. */
typedef struct dx_cas_blake3 {
    uint32_t key_[8];
    uint32_t chunk_[8];         /* chaining value of the chunk in progress */
    uint64_t chunk_index_;
    uint8_t  block_[64];
    uint8_t  block_size_;
    uint8_t  blocks_;           /* whole blocks of the chunk that are compressed */
    uint8_t  flags_;
    uint8_t  stack_count_;
    uint32_t stack_[54][8];     /* roots of finished subtrees, largest first */
} dx_cas_blake3;

enum { DX_CAS_CHUNK_CONTENT = 0, DX_CAS_CHUNK_FIXED = 1 };

/* Parameters of the chunker; zero fields mean the default. */
typedef struct dx_cas_chunker_desc {
    uint32_t size_min;   /* bytes, >= 64; default 16 KiB (or a quarter of size_avg) */
    uint32_t size_avg;   /* a power of two, 256 B..256 MiB; default 64 KiB. Fixed mode: the chunk size */
    uint32_t size_max;   /* default 256 KiB (or four times size_avg), at most 1 GiB */
    uint32_t mode;       /* DX_CAS_CHUNK_CONTENT (default) or DX_CAS_CHUNK_FIXED */
    const uint8_t *key;  /* NULL, or 32 secret bytes that the gear table is made from */
} dx_cas_chunker_desc;

typedef struct dx_cas_chunker { /* caller-allocated; fields are private */
    uint64_t gear_[256];
    uint64_t hash_;
    uint64_t mask_hard_, mask_easy_; /* before and after size_avg_ */
    uint32_t size_min_, size_avg_, size_max_;
    uint32_t fill_;              /* bytes of the chunk in progress */
    bool     fixed_;
} dx_cas_chunker;

/* A Merkle tree that grows: the roots of its perfect subtrees. Fields are private. */
typedef struct dx_cas_merkle {
    dx_cas_id stack_[64];
    uint64_t  count_;
} dx_cas_merkle;

/* Where a store lives. Each function returns 0 or a negative error, which is passed through
   (DX_CAS_ESYS, or DX_CAS_ENOSPACE when full). user is the first argument of each. */
typedef struct dx_cas_device {
    /* Read size bytes at offset into out; *got < size only where the device ends. */
    int (*read)(void *user, uint64_t offset, void *out, size_t size, size_t *got);
    /* Write all of it; grows the device. After an error the bytes there are undefined. */
    int (*write)(void *user, uint64_t offset, const void *data, size_t size);
    /* When this returns 0 all writes and truncations before it survive a power cut. */
    int (*sync)(void *user);
    int (*size)(void *user, uint64_t *size);
    int (*truncate)(void *user, uint64_t size); /* only ever makes it shorter */
    void *user;
} dx_cas_device;

/* The memory device: {data, capacity, size}. sync does nothing. */
typedef struct dx_cas_memory {
    void  *data;
    size_t capacity;
    size_t size; /* bytes in use */
} dx_cas_memory;

/* The file device. POSIX and Windows; 64-bit offsets everywhere. */
typedef struct dx_cas_file {
    intptr_t handle_;
    int      system_error; /* errno or GetLastError() of the last failure */
    bool     writable_;
} dx_cas_file;

/* A way to make objects smaller. Both functions return 0 or an error and write at most capacity bytes;
   compress may answer DX_CAS_ENOSPACE for "does not shrink". */
typedef struct dx_cas_codec {
    uint8_t number; /* 1..255, stands in each record; 1 = zstd, 128..255 are the program's own */
    int (*compress)(void *user, void *out, size_t capacity, const void *in, size_t size,
                    size_t *out_size);
    int (*decompress)(void *user, void *out, size_t capacity, const void *in, size_t size,
                      size_t *out_size);
    void *user;
} dx_cas_codec;

enum { /* dx_cas_desc.mode */
    DX_CAS_READ = 0,
    DX_CAS_WRITE = 1,
    DX_CAS_CREATE = 2,       /* with WRITE: an empty device becomes an empty store */
    DX_CAS_ACCEPT_DAMAGE = 4 /* open a damaged store too; then it can only be read */
};

/* How to open a store. Zero fields mean the default. */
typedef struct dx_cas_desc {
    dx_cas_device device;    /* required */
    uint32_t mode;           /* DX_CAS_READ, or DX_CAS_WRITE and what else */
    void    *memory;         /* required, aligned for uint64_t; borrowed */
    size_t   memory_size;    /* dx_cas_memory_size() bytes or any more */
    uint64_t objects_max;    /* for dx_cas_memory_size() only; default 65,536 objects and names */
    /* When the index is full: size > 0 asks for a block of size bytes (NULL = refuse), size == 0
       gives old back. NULL: the call returns DX_CAS_ENOMEM and dx_cas_grow() helps. */
    void *(*grow)(void *user, void *old, size_t size);
    void    *grow_user;
    uint32_t object_size_max; /* greatest object to put, or to decompress; default 1 MiB */
    uint32_t align;          /* creation: records begin at multiples of it; 8 (default)..4096 */
    uint8_t  store_id[16];   /* creation: random bytes, best not shown to those whose content is kept */
    const dx_cas_codec *codecs; /* codecs[0] compresses what is put; all decompress; borrowed */
    size_t   codec_count;
} dx_cas_desc;

typedef struct dx_cas_stats {
    uint64_t objects;        /* chunks and list nodes */
    uint64_t names;          /* names that are not deleted */
    uint64_t commits;        /* sequence number of the last one */
    uint64_t logical_bytes;  /* of all objects, decompressed, each counted once */
    uint64_t stored_bytes;   /* of all objects as stored, without record headers */
    uint64_t device_bytes;   /* up to the end of the last record */
    uint64_t put_bytes;      /* given to dx_cas_put since the store was opened */
    uint64_t known_bytes;    /* of those, what was there already and so not stored again */
    uint64_t index_entries, index_entries_max;
    uint64_t damaged_places; /* found by open and refresh */
} dx_cas_stats;

typedef struct dx_cas_entry_ { /* private: one slot of the index */
    uint64_t fingerprint, place;
} dx_cas_entry_;

typedef struct dx_cas_store { /* caller-allocated; fields are private */
    dx_cas_device  device_;
    const dx_cas_codec *codecs_;
    void *(*grow_)(void *user, void *old, size_t size);
    void          *grow_user_;
    uint8_t       *work_;
    dx_cas_entry_ *slots_;
    size_t         work_size_, slot_count_, entry_count_, codec_count_;
    uint64_t       memory_needed_;
    uint64_t       end_;        /* where the next record goes */
    uint64_t       commit_end_; /* end of the last commit */
    uint64_t       sequence_;   /* of the last commit */
    uint64_t       damage_offset_, damage_count_;
    uint64_t       idle_place_, idle_size_; /* refresh: nothing new was here at that device size */
    dx_cas_stats   stats_;
    dx_cas_blake3  chain_;      /* over the record headers since the last commit */
    dx_cas_id      chain_id_;   /* of the last commit */
    uint8_t        store_id_[16];
    uint32_t       align_, tag_, object_size_max_, mode_;
    bool           open_, dirty_, failed_, retired_;
} dx_cas_store;

enum { DX_CAS_INFO_MAX = 64, DX_CAS_NAME_MAX = 255 };

/* One version of a name. */
typedef struct dx_cas_ref {
    char      name[256];     /* NUL-terminated */
    uint64_t  version;       /* 1, 2, 3, ... set by the store */
    dx_cas_id root;          /* an object of the store: a writer's result, or any other object */
    dx_cas_id content;       /* plain BLAKE3-256 of the content; not checked by the store */
    uint64_t  size;          /* of the content in bytes; the same */
    uint64_t  time_ns;       /* the caller's clock, since 1970 */
    uint32_t  kind;          /* the caller's */
    uint32_t  info_size;     /* 0..64 */
    uint8_t   info[DX_CAS_INFO_MAX]; /* the caller's */
    uint64_t  oldest;        /* oldest version that is kept; set by the store */
    uint64_t  previous_;     /* private: place of the version before */
} dx_cas_ref;

/* What a writer made of a content. */
typedef struct dx_cas_content {
    dx_cas_id root;    /* opens a dx_cas_reader */
    dx_cas_id content; /* plain BLAKE3-256 of all bytes (what b3sum prints) */
    uint64_t  size;
} dx_cas_content;

enum { DX_CAS_LEVELS_MAX = 8, DX_CAS_NODE_ENTRIES_MAX = 512, DX_CAS_NODE_SIZE_MAX = 20496 };

typedef struct dx_cas_writer_desc {
    dx_cas_store *store;          /* required, opened for writing; borrowed until finish */
    void         *memory;         /* required; borrowed until finish */
    size_t        memory_size;    /* dx_cas_writer_memory_size() */
    dx_cas_chunker_desc chunker;
} dx_cas_writer_desc;

typedef struct dx_cas_writer { /* caller-allocated; fields are private */
    dx_cas_store  *store_;
    uint8_t       *chunk_;        /* the chunk in progress */
    uint8_t       *nodes_;        /* DX_CAS_LEVELS_MAX nodes in progress */
    uint32_t       chunk_size_;
    bool           cut_;          /* the chunk is complete and must be put */
    bool           active_;
    uint32_t       counts_[DX_CAS_LEVELS_MAX];
    uint64_t       sizes_[DX_CAS_LEVELS_MAX];
    uint64_t       size_;
    dx_cas_chunker chunker_;
    dx_cas_blake3  content_;
} dx_cas_writer;

typedef struct dx_cas_reader { /* caller-allocated; fields are private but size */
    uint64_t      size;           /* of the content in bytes */
    dx_cas_store *store_;
    uint8_t      *nodes_;         /* the path from the root to the chunk, DX_CAS_LEVELS_MAX nodes */
    uint8_t      *chunk_;
    size_t        chunk_capacity_;
    uint64_t      starts_[DX_CAS_LEVELS_MAX + 1]; /* first content byte under nodes_[level]; [0]: chunk */
    uint64_t      spans_[DX_CAS_LEVELS_MAX + 1];  /* bytes under it; 0 = not loaded */
    dx_cas_id     root_;
    uint32_t      level_;
} dx_cas_reader;

enum { /* dx_cas_damage.kind */
    DX_CAS_DAMAGE_HEADER = 1,  /* one copy of the store header */
    DX_CAS_DAMAGE_RECORD = 2,  /* a record header: what it held is unreadable */
    DX_CAS_DAMAGE_OBJECT = 3,  /* the bytes of object id are not what id says */
    DX_CAS_DAMAGE_REF = 4,     /* one version of a name is unreadable */
    DX_CAS_DAMAGE_PADDING = 5, /* padding is not zero; nothing is lost */
    DX_CAS_DAMAGE_COMMIT = 6,  /* one copy of a commit record (nothing is lost), or the chain does not fit */
    DX_CAS_DAMAGE_MISSING = 7, /* object id is needed by the record at offset and not there */
    DX_CAS_DAMAGE_UNKNOWN = 8  /* not damaged, but its codec is not in desc.codecs: could not be checked */
};

typedef struct dx_cas_damage {
    uint32_t  kind;   /* DX_CAS_DAMAGE_... */
    uint64_t  offset; /* of the record on the device */
    uint64_t  size;   /* bytes affected, 0 = unknown */
    dx_cas_id id;     /* OBJECT, MISSING, UNKNOWN: which object; otherwise zero */
} dx_cas_damage;

/* Told about each damaged item; return 0 to go on, anything else to stop (DX_CAS_ECANCELED). */
typedef int dx_cas_damage_fn(void *user, const dx_cas_damage *damage);

typedef struct dx_cas_report {
    uint64_t objects, refs, commits; /* that were checked */
    uint64_t bytes;                  /* read and hashed */
    uint64_t damaged;                /* calls of the callback */
    uint64_t tail_bytes;             /* after the last commit: not part of the store */
} dx_cas_report;

/* >>api ---------------------------------------------------------------- */
/* "DX_CAS_ECORRUPT" and so on; "unknown" for anything else. Never NULL. */
DX_CAS_API const char *dx_cas_error_name(int error);

/* --- BLAKE3 (github.com/BLAKE3-team/BLAKE3-specs). No call can fail; data may be NULL when size is 0. */
DX_CAS_API void dx_cas_blake3_init(dx_cas_blake3 *h);
DX_CAS_API void dx_cas_blake3_init_keyed(dx_cas_blake3 *h, const uint8_t key[32]);
/* Key derivation; context should be a string that is fixed in the program and used nowhere else. */
DX_CAS_API void dx_cas_blake3_init_derive(dx_cas_blake3 *h, const void *context,
                                          size_t context_size);
DX_CAS_API void dx_cas_blake3_update(dx_cas_blake3 *h, const void *data, size_t size);
/* Write the first size bytes of the output (32 = the usual hash). *h is unchanged: more may follow. */
DX_CAS_API void dx_cas_blake3_final(const dx_cas_blake3 *h, void *out, size_t size);
/* All in one: *out = BLAKE3-256 of data. */
DX_CAS_API void dx_cas_hash(const void *data, size_t size, dx_cas_id *out);

/* Text form of an id: 64 digits and a NUL. from_hex takes exactly 64 digits, upper or lower case;
   DX_CAS_EINVAL for anything else. */
DX_CAS_API void dx_cas_id_to_hex(const dx_cas_id *id, char out[65]);
DX_CAS_API int  dx_cas_id_from_hex(const char *text, dx_cas_id *out);
DX_CAS_API bool dx_cas_id_equal(const dx_cas_id *a, const dx_cas_id *b);

/* --- Chunker: FastCDC (Xia et al., USENIX ATC 2016) with a 64-byte gear hash, normalised at level 2.
   desc may be NULL. DX_CAS_EINVAL when sizes are not min <= avg <= max or out of range. */
DX_CAS_API int dx_cas_chunker_init(dx_cas_chunker *c, const dx_cas_chunker_desc *desc);
/* Look at the next bytes of the stream, at most up to the end of the current chunk. Returns how many
   of them belong to it (> 0 when size > 0); *cut tells whether the chunk ends there. Call again with the rest.
   Where cuts are does not depend on how the stream was split. At the end of the stream what is left
   is the last chunk. */
DX_CAS_API size_t dx_cas_chunker_next(dx_cas_chunker *c, const void *data, size_t size, bool *cut);
/* Begin a new stream with the same parameters. */
DX_CAS_API void dx_cas_chunker_reset(dx_cas_chunker *c);

/* --- Merkle tree over ordered leaves: the tree of RFC 6962 / RFC 9162 section 2.1 with BLAKE3-256.
   leaf = BLAKE3(0x00 || data), inner node = BLAKE3(0x01 || left || right), no leaf = BLAKE3(""). */
DX_CAS_API void dx_cas_merkle_leaf(const void *data, size_t size, dx_cas_id *leaf);
DX_CAS_API void dx_cas_merkle_init(dx_cas_merkle *m);
DX_CAS_API void dx_cas_merkle_add(dx_cas_merkle *m, const dx_cas_id *leaf); /* amortised O(1) */
DX_CAS_API void dx_cas_merkle_root(const dx_cas_merkle *m, dx_cas_id *root);
/* Root of an array of leaf hashes. O(count), no memory. */
DX_CAS_API void dx_cas_merkle_root_of(const dx_cas_id *leaves, uint64_t count, dx_cas_id *root);
/* Inclusion proof of leaves[index], at most 64 ids, lowest sibling first. *proof_count receives their
   number; DX_CAS_ENOSPACE when it is more than capacity, DX_CAS_EINVAL when index >= count. */
DX_CAS_API int dx_cas_merkle_prove(const dx_cas_id *leaves, uint64_t count, uint64_t index,
                                   dx_cas_id *proof, size_t capacity, size_t *proof_count);
/* DX_CAS_OK when data is leaf number index of the tree of count leaves with that root;
   DX_CAS_ECORRUPT when not. Needs no tree (RFC 9162, 2.1.3.2). */
DX_CAS_API int dx_cas_merkle_check(const void *data, size_t size, uint64_t index, uint64_t count,
                                   const dx_cas_id *proof, size_t proof_count, const dx_cas_id *root);
/* The same for a leaf hash that the caller made from the data with dx_cas_merkle_leaf(). */
DX_CAS_API int dx_cas_merkle_check_leaf(const dx_cas_id *leaf, uint64_t index, uint64_t count,
                                        const dx_cas_id *proof, size_t proof_count,
                                        const dx_cas_id *root);
/* Proof that the tree of the first old_count leaves is a prefix of this one (RFC 9162, 2.1.4.1). */
DX_CAS_API int dx_cas_merkle_prove_growth(const dx_cas_id *leaves, uint64_t count,
                                          uint64_t old_count, dx_cas_id *proof, size_t capacity,
                                          size_t *proof_count);
/* DX_CAS_OK when the tree (count, root) only appended to (old_count, old_root), else DX_CAS_ECORRUPT. */
DX_CAS_API int dx_cas_merkle_check_growth(uint64_t old_count, const dx_cas_id *old_root,
                                          uint64_t count, const dx_cas_id *root,
                                          const dx_cas_id *proof, size_t proof_count);

/* --- Devices. *m and *f must outlive the store. */
DX_CAS_API dx_cas_device dx_cas_memory_device(dx_cas_memory *m);
#if !defined(DX_CAS_NO_FILE) && (!defined(__STDC_HOSTED__) || __STDC_HOSTED__ == 1)
/* Open a file (path in UTF-8). mode is that of dx_cas_desc: DX_CAS_READ takes no lock. DX_CAS_WRITE takes a
   lock that dies with the process; DX_CAS_ELOCKED at once when another open file has it. DX_CAS_CREATE
   makes the file where there is none, and makes that durable. DX_CAS_ENOTFOUND, DX_CAS_ESYS. */
DX_CAS_API int  dx_cas_file_open(dx_cas_file *f, const char *path, uint32_t mode);
DX_CAS_API void dx_cas_file_close(dx_cas_file *f);
DX_CAS_API dx_cas_device dx_cas_file_device(dx_cas_file *f);
/* Make a creation or a rename in the folder of path durable (fsync of the folder; nothing on Windows).
   Call it after renaming a collected store over the old one. */
DX_CAS_API int  dx_cas_file_sync_folder(const char *path);
#endif

/* --- Store. */
/* Bytes of memory for desc->objects_max, object_size_max and codecs. 0 when they do not fit a size_t. */
DX_CAS_API size_t dx_cas_memory_size(const dx_cas_desc *desc);
/* Open or create a store. Reads the header of each record once: about 1 microsecond an object from a file.
   Cuts off what a killed writer left after its last commit (a reader only ignores it).
   DX_CAS_ENOTFOUND   the device is empty and DX_CAS_CREATE is not given
   DX_CAS_ENOMEM      dx_cas_memory_needed() says how many bytes the next try needs
   DX_CAS_ECORRUPT    committed bytes are damaged, dx_cas_damage_offset() says where; with
                      DX_CAS_ACCEPT_DAMAGE the store opens, only for reading. Or: not a store (offset 0)
   DX_CAS_EVERSION, DX_CAS_ENOTSUP  made by a newer dx_cas.h; or with another hash
   After an error the store is closed; the two questions above can still be asked. */
DX_CAS_API int  dx_cas_open(dx_cas_store *s, const dx_cas_desc *desc);
/* Forget the borrowed things. What was not committed is gone. Safe twice, and on a zeroed object. */
DX_CAS_API void dx_cas_close(dx_cas_store *s);
/* Move the index to a larger block (the old one is the caller's again when this returns 0). size at
   least dx_cas_memory_needed(). */
DX_CAS_API int    dx_cas_grow(dx_cas_store *s, void *memory, size_t memory_size);
DX_CAS_API size_t dx_cas_memory_needed(const dx_cas_store *s);
/* Offset on the device where ECORRUPT was last met; UINT64_MAX = nowhere. */
DX_CAS_API uint64_t dx_cas_damage_offset(const dx_cas_store *s);
DX_CAS_API void     dx_cas_get_stats(const dx_cas_store *s, dx_cas_stats *out);

/* Store an object of up to object_size_max bytes; *id (may be NULL) = BLAKE3-256 of it. What is there already
   is not written again. Readable at once, durable after dx_cas_commit(). After DX_CAS_ENOSPACE
   or ENOMEM nothing has changed and the store goes on. */
DX_CAS_API int dx_cas_put(dx_cas_store *s, const void *data, size_t size, dx_cas_id *id);
/* Read an object and check it against its id. *size receives its size, also with DX_CAS_ENOSPACE
   (buffer too small). DX_CAS_ENOTFOUND, DX_CAS_ECORRUPT, DX_CAS_ENOTSUP (unknown codec). */
DX_CAS_API int dx_cas_get(dx_cas_store *s, const dx_cas_id *id, void *buffer, size_t capacity,
                          size_t *size);
/* DX_CAS_OK, DX_CAS_ENOTFOUND, or a device error. Does not read the object's bytes. */
DX_CAS_API int dx_cas_has(dx_cas_store *s, const dx_cas_id *id);
DX_CAS_API int dx_cas_object_size(dx_cas_store *s, const dx_cas_id *id, uint64_t *size);
/* Make all before it durable, atomically. Two syncs; none when there is nothing to commit.
   After an error the store refuses to write (DX_CAS_ESYS): close it and open it again. */
DX_CAS_API int dx_cas_commit(dx_cas_store *s);
/* Reader: see what other processes committed meanwhile. One small read when there is nothing new.
   DX_CAS_EMOVED, DX_CAS_EAGAIN (open again); DX_CAS_ENOMEM (nothing changed; grow, repeat). */
DX_CAS_API int dx_cas_refresh(dx_cas_store *s);
/* Writer: commit and tell readers that another store takes this one's place (before a rename).
   They get DX_CAS_EMOVED from dx_cas_refresh(). A later commit takes it back. */
DX_CAS_API int dx_cas_retire(dx_cas_store *s);

/* --- Names. Changes are atomic with dx_cas_commit(). */
#define DX_CAS_ANY_VERSION UINT64_MAX
/* Give a name a new version. From *ref: name, root (must be in the store), content, size, time_ns, kind, info.
   expected: the version it must be at now, 0 = the name must not exist, or DX_CAS_ANY_VERSION;
   DX_CAS_ECONFLICT when it is not so. *version (may be NULL) receives the new number. */
DX_CAS_API int dx_cas_ref_set(dx_cas_store *s, const dx_cas_ref *ref, uint64_t expected,
                              uint64_t *version);
/* version 0 = the latest, O(1); another walks back from the latest. DX_CAS_ENOTFOUND. */
DX_CAS_API int dx_cas_ref_get(dx_cas_store *s, const char *name, uint64_t version, dx_cas_ref *out);
/* From a version that a call above gave to the one before it, O(1). DX_CAS_ENOTFOUND after the oldest. */
DX_CAS_API int dx_cas_ref_previous(dx_cas_store *s, dx_cas_ref *ref);
/* All names, each with its latest version, in no particular order. *cursor = 0 begins;
   DX_CAS_ENOTFOUND at the end. Any change of the store or a refresh makes the cursor invalid. */
DX_CAS_API int dx_cas_ref_next(dx_cas_store *s, uint64_t *cursor, dx_cas_ref *out);
/* The name is gone; set again it goes on counting. expected as above. */
DX_CAS_API int dx_cas_ref_delete(dx_cas_store *s, const char *name, uint64_t expected);
/* Drop versions older than oldest (at most the latest version). */
DX_CAS_API int dx_cas_ref_trim(dx_cas_store *s, const char *name, uint64_t oldest);

/* --- Streams: content of any size, cut into chunks, under a tree of list nodes. */
DX_CAS_API size_t dx_cas_writer_memory_size(const dx_cas_writer_desc *desc);
DX_CAS_API int dx_cas_writer_begin(dx_cas_writer *w, const dx_cas_writer_desc *desc);
/* Add bytes, split in any way. *used (may be NULL) = how many were taken, size unless there is an error.
   After DX_CAS_ENOMEM, grow the store and go on with the rest. */
DX_CAS_API int dx_cas_writer_write(dx_cas_writer *w, const void *data, size_t size, size_t *used);
/* Store the rest and the list nodes. Nothing is durable before dx_cas_commit(). May be repeated after
   DX_CAS_ENOMEM. A writer that is not finished may simply be dropped. */
DX_CAS_API int dx_cas_writer_finish(dx_cas_writer *w, dx_cas_content *out);

/* Memory for a reader of content whose chunks have at most chunk_size_max bytes (0 = 256 KiB). */
DX_CAS_API size_t dx_cas_reader_memory_size(uint32_t chunk_size_max);
/* Open content by its root. memory and store are borrowed as long as *r is used. */
DX_CAS_API int dx_cas_reader_open(dx_cas_reader *r, dx_cas_store *s, const dx_cas_id *root,
                                  void *memory, size_t memory_size);
/* Read at any offset; every byte was checked against its id. *got < size only at the end of the content.
   DX_CAS_ENOMEM when a chunk is larger than the memory allows; DX_CAS_ECORRUPT, DX_CAS_ENOTFOUND when damaged. */
DX_CAS_API int dx_cas_reader_read(dx_cas_reader *r, uint64_t offset, void *buffer, size_t size,
                                  size_t *got);
/* Which chunk holds the byte at offset (< r->size): its id, first byte and size. */
DX_CAS_API int dx_cas_reader_chunk(dx_cas_reader *r, uint64_t offset, dx_cas_id *id,
                                   uint64_t *start, uint64_t *size);

/* --- Whole store. */
/* Read and hash everything again, in place; callback (may be NULL) hears of each damaged item. Checks also
   the chain of commits, that what list nodes and names need is there, and that padding is zero.
   DX_CAS_OK, or DX_CAS_ECORRUPT when there was damage. *report may be NULL. */
DX_CAS_API int dx_cas_verify(dx_cas_store *s, dx_cas_damage_fn *callback, void *user,
                             dx_cas_report *report);
/* Copy what the names reach, all kept versions with their numbers, into dst (open for writing, fresh), and commit.
   Deleted names and their counters stay behind. After DX_CAS_ENOMEM grow dst and repeat.
   Afterwards: dx_cas_retire(src), rename dst's file over src's, dx_cas_file_sync_folder(). */
DX_CAS_API int dx_cas_copy_live(dx_cas_store *src, dx_cas_store *dst);

#ifdef __cplusplus
}
#endif
#endif /* DX_CAS_H */

#if (defined(DX_CAS_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && !defined(DX_CAS_IMPLEMENTED)
#define DX_CAS_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 0
  #define DX_CAS_P_HOSTED 0
#else
  #define DX_CAS_P_HOSTED 1
#endif
#if !defined(DX_CAS_NO_FILE) && DX_CAS_P_HOSTED
  #define DX_CAS_P_FILE 1
#else
  #define DX_CAS_P_FILE 0
#endif
#ifndef DX_CAS_ASSERT
  #if DX_CAS_P_HOSTED && !defined(NDEBUG)
    #include <assert.h>
    #define DX_CAS_ASSERT(c) assert(c)
  #else
    #define DX_CAS_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if !defined(__GNUC__) && !defined(__clang__)
  #include <string.h>
#endif
#ifndef DX_CAS_MEMCPY
  #if defined(__GNUC__) || defined(__clang__)
    #define DX_CAS_MEMCPY __builtin_memcpy
  #else
    #define DX_CAS_MEMCPY memcpy
  #endif
#endif
#ifndef DX_CAS_MEMMOVE
  #if defined(__GNUC__) || defined(__clang__)
    #define DX_CAS_MEMMOVE __builtin_memmove
  #else
    #define DX_CAS_MEMMOVE memmove
  #endif
#endif
#ifndef DX_CAS_MEMSET
  #if defined(__GNUC__) || defined(__clang__)
    #define DX_CAS_MEMSET __builtin_memset
  #else
    #define DX_CAS_MEMSET memset
  #endif
#endif
#ifndef DX_CAS_MEMCMP
  #if defined(__GNUC__) || defined(__clang__)
    #define DX_CAS_MEMCMP __builtin_memcmp
  #else
    #define DX_CAS_MEMCMP memcmp
  #endif
#endif

/* >>shared --------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies (a check compares them). */
static uint16_t dx_cas_p_load16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint16_t)((uint16_t)p[1] << 8));
}

static uint32_t dx_cas_p_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t dx_cas_p_load64(const uint8_t *p)
{
    return (uint64_t)dx_cas_p_load32(p) | (uint64_t)dx_cas_p_load32(p + 4) << 32;
}

static void dx_cas_p_store16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8);
}

static void dx_cas_p_store32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8 & 0xff);
    p[2] = (uint8_t)(v >> 16 & 0xff);
    p[3] = (uint8_t)(v >> 24);
}

static void dx_cas_p_store64(uint8_t *p, uint64_t v)
{
    dx_cas_p_store32(p, (uint32_t)(v & 0xffffffffu));
    dx_cas_p_store32(p + 4, (uint32_t)(v >> 32));
}

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4): polynomial 0x82f63b78 reflected, a nibble at a
   time so that the table is 64 bytes. Start with crc = 0; feed pieces in order. */
static uint32_t dx_cas_p_crc32c(uint32_t crc, const uint8_t *p, size_t size)
{
    static const uint32_t table[16] = {
        0x00000000u, 0x105ec76fu, 0x20bd8edeu, 0x30e349b1u, 0x417b1dbcu, 0x5125dad3u,
        0x61c69362u, 0x7198540du, 0x82f63b78u, 0x92a8fc17u, 0xa24bb5a6u, 0xb21572c9u,
        0xc38d26c4u, 0xd3d3e1abu, 0xe330a81au, 0xf36e6f75u};
    crc = ~crc;
    while (size--) {
        crc ^= *p++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* BLAKE3 (github.com/BLAKE3-team/BLAKE3-specs, section 2.2): flags of a compression. */
enum {
    DX_CAS_P_B3_CHUNK_START = 1,
    DX_CAS_P_B3_CHUNK_END = 2,
    DX_CAS_P_B3_PARENT = 4,
    DX_CAS_P_B3_ROOT = 8,
    DX_CAS_P_B3_KEYED = 16,
    DX_CAS_P_B3_DERIVE_CONTEXT = 32,
    DX_CAS_P_B3_DERIVE_MATERIAL = 64
};

/* The key of the plain hash: the first words of SHA-256's state. */
static void dx_cas_p_blake3_iv(uint32_t key[8])
{
    static const uint32_t iv[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                   0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
    unsigned i;
    for (i = 0; i < 8; i++) key[i] = iv[i];
}

#define DX_CAS_P_B3_ROTR(x, n) ((x) >> (n) | (x) << (32 - (n)))
#define DX_CAS_P_B3_G(a, b, c, d, x, y)     \
    do {                                    \
        a += b + m[x];                      \
        d = DX_CAS_P_B3_ROTR(d ^ a, 16);    \
        c += d;                             \
        b = DX_CAS_P_B3_ROTR(b ^ c, 12);    \
        a += b + m[y];                      \
        d = DX_CAS_P_B3_ROTR(d ^ a, 8);     \
        c += d;                             \
        b = DX_CAS_P_B3_ROTR(b ^ c, 7);     \
    } while (0)
/* One round; the arguments are the order in which it takes the message words. */
#define DX_CAS_P_B3_ROUND(i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, ia, ib, ic, id, ie, if) \
    do {                                                                                  \
        DX_CAS_P_B3_G(v0, v4, v8, vc, i0, i1);                                            \
        DX_CAS_P_B3_G(v1, v5, v9, vd, i2, i3);                                            \
        DX_CAS_P_B3_G(v2, v6, va, ve, i4, i5);                                            \
        DX_CAS_P_B3_G(v3, v7, vb, vf, i6, i7);                                            \
        DX_CAS_P_B3_G(v0, v5, va, vf, i8, i9);                                            \
        DX_CAS_P_B3_G(v1, v6, vb, vc, ia, ib);                                            \
        DX_CAS_P_B3_G(v2, v7, v8, vd, ic, id);                                            \
        DX_CAS_P_B3_G(v3, v4, v9, ve, ie, if);                                            \
    } while (0)

/* The compression function: out[0..8) is the chaining value, all 16 words are the output of a root.
   out may be cv. block_size says how many bytes of block count, the rest must be zero. */
static void dx_cas_p_blake3_compress(uint32_t out[16], const uint32_t cv[8],
                                     const uint8_t block[64], uint32_t block_size,
                                     uint64_t counter, uint32_t flags)
{
    uint32_t m[16];
    uint32_t v0 = cv[0], v1 = cv[1], v2 = cv[2], v3 = cv[3];
    uint32_t v4 = cv[4], v5 = cv[5], v6 = cv[6], v7 = cv[7];
    uint32_t v8 = 0x6a09e667u, v9 = 0xbb67ae85u, va = 0x3c6ef372u, vb = 0xa54ff53au;
    uint32_t vc = (uint32_t)(counter & 0xffffffffu), vd = (uint32_t)(counter >> 32);
    uint32_t ve = block_size, vf = flags;
    unsigned i;
    for (i = 0; i < 16; i++) m[i] = dx_cas_p_load32(block + 4 * i);
    DX_CAS_P_B3_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    DX_CAS_P_B3_ROUND(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8);
    DX_CAS_P_B3_ROUND(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1);
    DX_CAS_P_B3_ROUND(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6);
    DX_CAS_P_B3_ROUND(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4);
    DX_CAS_P_B3_ROUND(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7);
    DX_CAS_P_B3_ROUND(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13);
    out[8] = v8 ^ cv[0];
    out[9] = v9 ^ cv[1];
    out[10] = va ^ cv[2];
    out[11] = vb ^ cv[3];
    out[12] = vc ^ cv[4];
    out[13] = vd ^ cv[5];
    out[14] = ve ^ cv[6];
    out[15] = vf ^ cv[7];
    out[0] = v0 ^ v8;
    out[1] = v1 ^ v9;
    out[2] = v2 ^ va;
    out[3] = v3 ^ vb;
    out[4] = v4 ^ vc;
    out[5] = v5 ^ vd;
    out[6] = v6 ^ ve;
    out[7] = v7 ^ vf;
}
#undef DX_CAS_P_B3_ROUND
#undef DX_CAS_P_B3_G
#undef DX_CAS_P_B3_ROTR

/* The block of a parent node: the chaining values of its two children. */
static void dx_cas_p_blake3_parent_block(uint8_t block[64], const uint32_t left[8],
                                         const uint32_t right[8])
{
    unsigned i;
    for (i = 0; i < 8; i++) {
        dx_cas_p_store32(block + 4 * i, left[i]);
        dx_cas_p_store32(block + 32 + 4 * i, right[i]);
    }
}
/* <<shared */

/* >>blake3 ------------------------------------------------------------- */
static void dx_cas_p_b3_start(dx_cas_blake3 *h, uint8_t flags)
{
    DX_CAS_MEMCPY(h->chunk_, h->key_, sizeof h->chunk_);
    h->chunk_index_ = 0;
    h->block_size_ = 0;
    h->blocks_ = 0;
    h->flags_ = flags;
    h->stack_count_ = 0;
}

DX_CAS_API void dx_cas_blake3_init(dx_cas_blake3 *h)
{
    DX_CAS_ASSERT(h);
    dx_cas_p_blake3_iv(h->key_);
    dx_cas_p_b3_start(h, 0);
}

DX_CAS_API void dx_cas_blake3_init_keyed(dx_cas_blake3 *h, const uint8_t key[32])
{
    unsigned i;
    DX_CAS_ASSERT(h && key);
    for (i = 0; i < 8; i++) h->key_[i] = dx_cas_p_load32(key + 4 * i);
    dx_cas_p_b3_start(h, DX_CAS_P_B3_KEYED);
}

DX_CAS_API void dx_cas_blake3_init_derive(dx_cas_blake3 *h, const void *context,
                                          size_t context_size)
{
    uint8_t key[32];
    unsigned i;
    dx_cas_p_blake3_iv(h->key_);
    dx_cas_p_b3_start(h, DX_CAS_P_B3_DERIVE_CONTEXT);
    dx_cas_blake3_update(h, context, context_size);
    dx_cas_blake3_final(h, key, sizeof key);
    for (i = 0; i < 8; i++) h->key_[i] = dx_cas_p_load32(key + 4 * i);
    dx_cas_p_b3_start(h, DX_CAS_P_B3_DERIVE_MATERIAL);
}

/* Compress the next block of the chunk into out[16]; flags: those of the end of the chunk. */
static void dx_cas_p_b3_block(const dx_cas_blake3 *h, uint32_t out[16], const uint8_t *block,
                              uint32_t size, uint32_t flags)
{
    if (h->blocks_ == 0) flags |= DX_CAS_P_B3_CHUNK_START;
    dx_cas_p_blake3_compress(out, h->chunk_, block, size, h->chunk_index_, flags | h->flags_);
}

/* A chunk is complete and not the last: merge it with all subtrees of its size, keep the root. */
static void dx_cas_p_b3_push(dx_cas_blake3 *h, uint32_t cv[16])
{
    uint64_t chunks = ++h->chunk_index_;
    for (; (chunks & 1) == 0; chunks >>= 1) {
        uint8_t block[64];
        DX_CAS_ASSERT(h->stack_count_ > 0);
        h->stack_count_--;
        dx_cas_p_blake3_parent_block(block, h->stack_[h->stack_count_], cv);
        dx_cas_p_blake3_compress(cv, h->key_, block, 64, 0, DX_CAS_P_B3_PARENT | h->flags_);
    }
    DX_CAS_MEMCPY(h->stack_[h->stack_count_++], cv, 32);
}

/* A whole block, and more bytes follow it. */
static void dx_cas_p_b3_absorb(dx_cas_blake3 *h, const uint8_t *block)
{
    uint32_t out[16];
    if (h->blocks_ < 15) {
        dx_cas_p_b3_block(h, out, block, 64, 0);
        DX_CAS_MEMCPY(h->chunk_, out, 32);
        h->blocks_++;
    } else {
        dx_cas_p_b3_block(h, out, block, 64, DX_CAS_P_B3_CHUNK_END);
        dx_cas_p_b3_push(h, out);
        DX_CAS_MEMCPY(h->chunk_, h->key_, 32);
        h->blocks_ = 0;
    }
}

DX_CAS_API void dx_cas_blake3_update(dx_cas_blake3 *h, const void *data, size_t size)
{
    const uint8_t *p = (const uint8_t *)data;
    DX_CAS_ASSERT(h && (data || size == 0));
    while (size > 0) {
        size_t take;
        if (h->block_size_ == 64) {
            dx_cas_p_b3_absorb(h, h->block_);
            h->block_size_ = 0;
        }
        if (h->block_size_ == 0) {
            for (; size > 64; p += 64, size -= 64) dx_cas_p_b3_absorb(h, p);
        }
        take = 64u - h->block_size_;
        if (take > size) take = size;
        DX_CAS_MEMCPY(h->block_ + h->block_size_, p, take);
        h->block_size_ = (uint8_t)(h->block_size_ + take);
        p += take;
        size -= take;
    }
}

DX_CAS_API void dx_cas_blake3_final(const dx_cas_blake3 *h, void *out, size_t size)
{
    uint8_t block[64] = {0}, bytes[64];
    uint32_t cv[8], words[16], block_size = h->block_size_;
    uint32_t flags = h->flags_ | DX_CAS_P_B3_CHUNK_END;
    uint64_t counter = h->chunk_index_;
    unsigned i, level = h->stack_count_;
    uint8_t *to = (uint8_t *)out;
    DX_CAS_ASSERT(out || size == 0);
    DX_CAS_MEMCPY(block, h->block_, h->block_size_);
    DX_CAS_MEMCPY(cv, h->chunk_, sizeof cv);
    if (h->blocks_ == 0) flags |= DX_CAS_P_B3_CHUNK_START;
    while (level > 0) {
        dx_cas_p_blake3_compress(words, cv, block, block_size, counter, flags);
        dx_cas_p_blake3_parent_block(block, h->stack_[--level], words);
        DX_CAS_MEMCPY(cv, h->key_, sizeof cv);
        block_size = 64;
        counter = 0;
        flags = h->flags_ | DX_CAS_P_B3_PARENT;
    }
    for (counter = 0; size > 0; counter++) { /* a root's counter numbers the output blocks */
        size_t take = size < 64 ? size : 64;
        dx_cas_p_blake3_compress(words, cv, block, block_size, counter, flags | DX_CAS_P_B3_ROOT);
        for (i = 0; i < 16; i++) dx_cas_p_store32(bytes + 4 * i, words[i]);
        DX_CAS_MEMCPY(to, bytes, take);
        to += take;
        size -= take;
    }
}

DX_CAS_API void dx_cas_hash(const void *data, size_t size, dx_cas_id *out)
{
    dx_cas_blake3 h;
    dx_cas_blake3_init(&h);
    dx_cas_blake3_update(&h, data, size);
    dx_cas_blake3_final(&h, out->bytes, sizeof out->bytes);
}

#endif /* DX_CAS_IMPLEMENTATION */
