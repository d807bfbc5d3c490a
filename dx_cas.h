/*  dx_cas.h - v0.3.0 - keeps content under its hash: BLAKE3, chunking, a crash-safe store
                       - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_CAS_IMPLEMENTATION         (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_cas.h"

    and include it elsewhere without the define. C99; also builds as C++11.

    QUICK EXAMPLE

        static unsigned char memory[65536], back[16];
        dx_cas_file  file;
        dx_cas_desc  desc;
        dx_cas_store store;
        dx_cas_id    id;
        size_t       size = 0;
        memset(&desc, 0, sizeof desc);
        if (dx_cas_file_open(&file, "quick.store", DX_CAS_WRITE | DX_CAS_CREATE) != 0) return 1;
        desc.device = dx_cas_file_device(&file);
        desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
        desc.memory = memory;
        desc.memory_size = sizeof memory;
        if (dx_cas_open(&store, &desc) != DX_CAS_OK) return 2;
        if (dx_cas_put(&store, "hello", 5, &id) != DX_CAS_OK) return 3;
        if (dx_cas_commit(&store) != DX_CAS_OK) return 4;   // now it survives a power cut
        if (dx_cas_get(&store, &id, back, sizeof back, &size) != DX_CAS_OK) return 5;
        if (size != 5 || memcmp(back, "hello", 5) != 0) return 6;
        dx_cas_close(&store);
        dx_cas_file_close(&file);

    CONTENTS (search for the mark)

        >>config  >>types  >>api        what you may call
        >>extension                     what layers on the record format may call, too
        >>platform >>shared >>compress >>simd >>blake3 >>chunker >>file
        >>format >>index >>objects >>refs >>recovery >>checkpoint >>public >>verify >>collect
        >>streams >>deltas >>repair

    GUARANTEES
        - dx_cas_put() returned 0: this process reads it at once.
        - dx_cas_commit() returned 0: everything before it is durable, as desc.durability says.
        - After a crash at any byte the store is the state of one commit, whole: at least of the
          last one that desc.durability made durable.
        - A failed sync is not retried, because the system may have dropped the data: the store
          refuses further writes (DX_CAS_EFAILED), and the next open rewrites whatever may not be
          durable before it acknowledges anything.
        - A full device does not block deletions (desc.preallocate), nor compaction to another one.
        - dx_cas_get() and dx_cas_reader_read() never return bytes that do not hash to their id.
        - Damage to committed data is reported with its offset, of headers at open, of payloads when
          they are read; intact data stays readable.
        - One writer and any number of readers; a reader never sees half a commit.
        - No globals, no allocation, no recursion, no printing; the same bytes on every platform.

    LIMITS
        - Store: 2^48 bytes on the device. Object: desc.object_size_max. Content: 2^48 bytes.
        - Memory: 32 KiB, plus 2 * object_size_max if there are codecs, and the index.
        - Index: 16 bytes of memory for each object and each name, at most 7/8 full. The slot of an
          id depends on desc.store_id: keep it secret from whoever supplies content. With it they
          can at worst force a rehash of the index, which takes O(its size).
        - One thread per store: threads that read concurrently each open their own.
        - Names: UTF-8, 1..255 bytes, no control characters. A version number is never used twice
          while the name is known; dx_cas_compact_into() forgets deleted names.
        - A child that was forked without exec keeps the writer's lock alive.

    CONFIG (define before the implementation)
        DX_CAS_STATIC      functions become static      DX_CAS_API    how functions are declared
        DX_CAS_ASSERT(c)   <assert.h> when hosted        DX_CAS_MEMCPY, DX_CAS_MEMSET, DX_CAS_MEMCMP
        DX_CAS_CRC32C      a faster (crc, bytes, size) for record headers: each get checks one
        DX_CAS_NO_FILE     no file device (automatic without Windows or POSIX)
        DX_CAS_HASHER t    another hash for ids (all files must agree): a type t with functions
                           t_init, t_init_derive, t_update, t_final like those of dx_cas_blake3;
                           DX_CAS_HASHER_NUMBER is its number in docs/formats/cas.md, 2: SHA-256
        DX_CAS_LANES n     hash with 1 (portable), 4, 8 or 16 lanes; default: what the CPU has
        DX_CAS_SMALL       BLAKE3 in half the code and half the speed, for microcontrollers

    SWITCHES    (the same in all files of a program) bytes of code that each removes from this
                header on a Cortex-M0 (gcc 12, -Os, NDEBUG). A linker that drops unused functions
                saves most of it by itself.
        in all             nothing is left out: the size                      41,361
        DX_CAS_SMALL       the fast BLAKE3                                     3,300
        DX_CAS_NO_REPAIR   dx_cas_repair()                                     8,584
        DX_CAS_NO_STREAMS  writers and readers of content of any size          2,184
        DX_CAS_NO_DELTAS   objects that are stored as deltas                   1,912
        together           all but DX_CAS_SMALL                               12,600

    USES        code, and RAM for objects and the deepest stack, beyond desc.memory (bytes)
                                            Cortex-M0      Cortex-M3       rv32imac
        BLAKE3                              5,252  2,512    3,824  2,512    5,856  2,384
        store, verified reads              16,376 14,096   14,232 14,044   18,620 14,032

    ERRORS      dx_cas_error: 0 = ok, negative = reason; dx_cas_error_name() spells it. An error of
                a device function is passed through. dx_cas_damage_offset(): where ECORRUPT was met.
    OWNERSHIP   The caller owns every buffer. desc.memory is borrowed until dx_cas_close() or
                dx_cas_grow(), the device and the codecs until dx_cas_close(). Everything else is
                copied or used during the call only.
    FORMAT      docs/formats/cas.md is normative: store, records, ids, list nodes, gear table.
*/
#ifndef DX_CAS_H
#define DX_CAS_H

#define DX_CAS_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifndef DX_CAS_API
  #ifndef DX_CAS_STATIC
    #define DX_CAS_API extern
  #elif defined(__GNUC__) || defined(__clang__)
    #define DX_CAS_API static __attribute__((unused))
  #else
    #define DX_CAS_API static
  #endif
#endif

/* The file device needs Windows or POSIX: C libraries of microcontrollers have no locks. */
#if (defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 0) ||                                          \
    !(defined(_WIN32) || defined(__unix__) || defined(__unix) || defined(__APPLE__) ||             \
      defined(__HAIKU__) || defined(__QNX__) || defined(_AIX) || defined(__rtems__))
  #ifndef DX_CAS_NO_FILE
    #define DX_CAS_NO_FILE
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */
/* value, constant, meaning; the first 13 are common to all dx headers. */
#define DX_CAS_ERRORS(X)                                                                           \
    X(0, OK)                                                                                       \
    X(-1, EINVAL)      /* an argument breaks its contract */                                       \
    X(-2, ENOMEM)      /* the caller's memory is too small: dx_cas_memory_needed() */              \
    X(-3, ENOSPACE)    /* the output buffer or the device is full */                               \
    X(-4, ETOOBIG)     /* above a limit: object_size_max, 2^48 bytes of store */                   \
    X(-5, ECORRUPT)    /* bytes are damaged or not of this format */                               \
    X(-6, EAGAIN)      /* the store changed under a reader: open it again */                       \
    X(-7, ESYS)        /* the device failed (file device: system_error holds errno) */             \
    X(-8, ENOTSUP)     /* a codec or hash that this build does not have */                         \
    X(-9, ENOTFOUND)   /* no such object, name, version, file or store */                          \
    X(-10, ECANCELED)  /* the caller's callback asked to stop */                                   \
    X(-11, ETRUNCATED) /* the input ends too early */                                              \
    X(-12, EVERSION)   /* a format version or record type that this build does not know */         \
    X(-32, ECONFLICT)  /* the name is not at the version that was expected */                      \
    X(-33, ELOCKED)    /* another writer has the store open */                                     \
    X(-34, EREADONLY)  /* the store was opened for reading, or is damaged */                       \
    X(-35, EMOVED)     /* another store replaces it (dx_cas_retire); returned once */              \
    X(-36, EBASE)      /* the base of an object stored as a delta is missing or damaged */         \
    X(-37, EFAILED)    /* a commit or sync failed earlier: read-only until opened again */         \
    X(-38, EZERO)      /* a reserved byte of the store header is not zero */

typedef enum dx_cas_error {
#define DX_CAS_P_ENUM(value, constant) DX_CAS_##constant = value,
    DX_CAS_ERRORS(DX_CAS_P_ENUM)
#undef DX_CAS_P_ENUM
} dx_cas_error;

typedef struct dx_cas_id { /* a hash as a name; as text 64 lower-case hex digits */
    uint8_t bytes[32];
} dx_cas_id;

typedef struct dx_cas_blake3 { /* caller-allocated, private, may be copied; about 1.9 KB */
    uint32_t key_[8];
    uint32_t chunk_[16];     /* [0..8): chaining value of the chunk in progress */
    uint64_t chunk_index_;   /* its number */
    uint8_t  block_[64];     /* its last block, not compressed yet, */
    uint8_t  block_size_;    /* and how many bytes that has */
    uint8_t  blocks_;        /* blocks of the chunk already compressed */
    uint8_t  flags_;         /* of the mode: keyed, key derivation */
    uint8_t  stack_count_;
    uint8_t  stack_[55][32]; /* roots of finished subtrees, largest first; 2^54 chunks are 2^64 B */
} dx_cas_blake3;

#ifdef DX_CAS_HASHER
typedef DX_CAS_HASHER dx_cas_hasher;
#else
typedef dx_cas_blake3 dx_cas_hasher;
#endif

enum { DX_CAS_CHUNK_CONTENT = 0, DX_CAS_CHUNK_FIXED = 1 };
typedef struct dx_cas_chunker_desc { /* zero fields mean the default */
    uint32_t size_min;   /* bytes, >= 64; default 16 KiB (or a quarter of size_avg) */
    uint32_t size_avg;   /* power of two, 256 B..256 MiB; default 64 KiB. Fixed: any, the size */
    uint32_t size_max;   /* default 256 KiB (or four times size_avg), at most 1 GiB */
    uint32_t mode;       /* DX_CAS_CHUNK_CONTENT (default) or DX_CAS_CHUNK_FIXED */
    const uint8_t *key;  /* NULL, or 32 secret bytes that the gear table is made from */
} dx_cas_chunker_desc;

typedef struct dx_cas_chunker { /* caller-allocated; fields are private */
    uint64_t gear_[256];
    uint64_t hash_;            /* of the last 64 bytes */
    uint64_t mask_hard_;       /* before size_avg */
    uint64_t mask_easy_;       /* from there on */
    dx_cas_chunker_desc desc_; /* with sizes in place of zeros */
    uint32_t fill_;            /* bytes of the chunk in progress */
} dx_cas_chunker;

/* The storage of a store. Each function returns 0 or a negative error, which is passed through
   (DX_CAS_ESYS, or DX_CAS_ENOSPACE when full). user is the first argument of each. */
typedef struct dx_cas_device {
    /* Read size bytes at offset into out; *got < size only where the device ends. */
    int (*read)(void *user, uint64_t offset, void *out, size_t size, size_t *got);
    /* Write all of it; grows the device. After an error the bytes there are undefined, except those
       that the write would not have changed. */
    int (*write)(void *user, uint64_t offset, const void *data, size_t size);
    /* When this returns 0, all earlier writes and truncations since the last failed sync survive a
       power cut. Nothing is known about those before a failed sync. */
    int (*sync)(void *user);
    int (*size)(void *user, uint64_t *size);
    int (*truncate)(void *user, uint64_t size); /* only ever shrinks it */
    void *user;
    int (*barrier)(void *user); /* keeps earlier writes before later ones; NULL: sync is used */
} dx_cas_device;

typedef struct dx_cas_file { /* the file device. POSIX and Windows; 64-bit offsets everywhere */
    intptr_t handle_;
    int      system_error; /* errno or GetLastError() of the last failure */
} dx_cas_file;

/* A compression codec. Both functions write at most capacity bytes and return 0 or an error;
   compress may return DX_CAS_ENOSPACE for "does not shrink". */
typedef struct dx_cas_codec {
    uint8_t number; /* in each record: 1 = zstd, 2 = delta, 128..255 are the program's own */
    int (*compress)(void *user, void *out, size_t capacity, const void *in, size_t n, size_t *got);
    int (*decompress)(void *user, void *out, size_t capacity, const void *in, size_t n,
                      size_t *got);
    void *user;
    /* NULL, or: does the stored form need another object (a delta: its base)? Which? */
    bool (*needs)(void *user, const void *in, size_t n, dx_cas_id *other);
} dx_cas_codec;

enum { /* dx_cas_desc.mode */
    DX_CAS_READ = 0, DX_CAS_WRITE = 1,
    DX_CAS_CREATE = 2,       /* with WRITE: an empty device becomes an empty store */
    DX_CAS_ACCEPT_DAMAGE = 4 /* open a damaged store too; then it can only be read */
};

enum { /* dx_cas_desc.durability: guaranteed once a commit returned 0. All levels survive a crash */
    DX_CAS_FULL = 0,      /* survives a power cut; two syncs: damage looks like a power cut only if
                             it hits both copies of the last commit record */
    DX_CAS_FULL_ONCE = 1, /* survives a power cut; one sync if a commit has up to 4 MiB of records,
                             else two; damage to the last commit looks like a power cut, and open
                             hashes its objects again */
    DX_CAS_BARRIER = 2,   /* as FULL_ONCE, but a power cut may undo the last commits, newest first;
                             after barriers, open rehashes everything since the last sync */
    DX_CAS_NONE = 3       /* no sync: a power cut may undo any number of the last commits, newest
                             first, back to the last one of another level; open rehashes them */
};

typedef struct dx_cas_desc { /* how to open a store. Zero fields mean the default */
    dx_cas_device device;    /* required */
    uint32_t mode;           /* DX_CAS_READ, or DX_CAS_WRITE and what else */
    void    *memory;         /* required, of any alignment; borrowed */
    size_t   memory_size;    /* dx_cas_memory_size() bytes or any more */
    uint64_t objects_max;    /* for dx_cas_memory_size() only; default 65,536 objects and names */
    /* When the index is full: size > 0 asks for a new block of size bytes (NULL = refuse); then
       size == 0 returns the old one (also memory above). The last block remains the caller's to
       free. Without this function the call returns DX_CAS_ENOMEM; dx_cas_grow() then helps. */
    void *(*grow)(void *user, void *old, size_t size);
    void    *grow_user;
    uint32_t object_size_max; /* largest object to put or to decompress; default 1 MiB */
    uint32_t durability;     /* of a store that was created with FULL always FULL */
    uint32_t preallocate;    /* bytes of zeros kept after the log, so that commits do not change the
                                size; half is reserved for deletions and commits. Default 0 */
    uint32_t align;          /* creation: records begin at multiples of it; 8 (default)..4096 */
    uint8_t  store_id[16];   /* creation: random; keep it secret from whoever supplies content */
    dx_cas_device checkpoint; /* read NULL: none. For dx_cas_checkpoint(), which does
                                 not sync it */
    const dx_cas_codec *codecs; /* codecs[0] compresses new objects; all decompress; borrowed */
    size_t   codec_count;
} dx_cas_desc;

typedef struct dx_cas_stats {
    uint64_t objects;        /* chunks and list nodes */
    uint64_t names;          /* not deleted */
    uint64_t commits;        /* sequence number of the last one */
    uint64_t logical_bytes;  /* of all objects, decompressed, each counted once */
    uint64_t stored_bytes;   /* of all objects as stored, without record headers */
    uint64_t device_bytes;   /* up to the end of the last record */
    uint64_t index_entries;
    uint64_t index_entries_max;
    uint64_t damaged_places; /* found by open and refresh */
    bool     retired;        /* another store replaces it, or was meant to: dx_cas_retire() */
    bool     ahead;          /* open: desc.checkpoint has a commit that the log has lost */
} dx_cas_stats;

typedef struct dx_cas_ext_form { /* properties of all records, from the store header */
    uint32_t tag;      /* in each record header: the first 4 bytes of the first id of the chain */
    uint32_t align;    /* 8..4096, a power of two: records begin at its multiples */
    uint32_t features; /* 1: commits may have all marks */
} dx_cas_ext_form;

typedef struct dx_cas_entry_ { /* private: one slot of the index */
    uint64_t fingerprint; /* the first 64 bits of an id, or of the hash of a name */
    uint64_t place;       /* of the record, with flags above; 0: the slot is free */
} dx_cas_entry_;

typedef struct dx_cas_tip_ { /* private: the last commit */
    uint64_t      end;      /* of its record */
    uint64_t      sequence; /* its number; 0 = no commit yet */
    dx_cas_hasher chain;    /* over the record headers since */
    dx_cas_id     id;       /* of the chain before */
    uint32_t      marks;    /* its own: retired, how it was synced */
} dx_cas_tip_;

typedef struct dx_cas_saved_ { /* private: content of the checkpoint */
    uint64_t  size; /* bytes of its blocks */
    uint64_t  end;  /* end of the part of the log that they cover */
    dx_cas_id hash; /* of the last block */
} dx_cas_saved_;

typedef struct dx_cas_store { /* caller-allocated; fields are private */
    dx_cas_desc     desc_; /* with sizes in place of zeros */
    dx_cas_ext_form form_; /* from this store's header */

    /* The caller's memory: */
    uint8_t       *work_;  /* for reading and writing, and two objects if there are codecs */
    size_t         work_size_;
    dx_cas_entry_ *slots_; /* the index */
    size_t         slot_count_;
    size_t         entry_count_;   /* slots that are taken */
    uint64_t       key_[2];        /* secret: an id and this key give its slot */
    bool           crowded_;       /* the index needs another key */
    uint64_t       memory_needed_; /* dx_cas_memory_needed() */

    /* The log: */
    uint64_t       end_;         /* of its last record, committed or not */
    uint64_t       device_size_; /* writer: zero from the end of the log to here */
    uint64_t       idle_size_;   /* refresh: nothing new when the device had this size */
    dx_cas_tip_    tip_;         /* its last commit */
    dx_cas_saved_  saved_;       /* its checkpoint */
    dx_cas_stats   stats_;       /* those that are counted as they come */
    uint64_t       damage_offset_;
    uint64_t       unsynced_from_; /* writer: committed before the store was opened and maybe */
    uint64_t       unsynced_to_;   /* not durable. Not empty only with DX_CAS_NONE */

    /* State: */
    uint8_t        put_codec_;       /* dx_cas_put_with(); else 0 */
    bool           open_;
    bool           dirty_;           /* there is something to commit */
    bool           failed_;          /* a commit failed: nothing is written any more */
    bool           retired_is_known_; /* reader: the caller was told that the store is retired */
    bool           torn_;            /* reader: open left out commits whose payloads do not fit */
} dx_cas_store;

enum { DX_CAS_INFO_MAX = 64, DX_CAS_NAME_MAX = 255 };
typedef struct dx_cas_ref { /* one version of a name */
    char      name[256];     /* NUL-terminated */
    uint64_t  version;       /* 1, 2, 3, ... set by the store */
    dx_cas_id root;          /* an object of the store: a writer's result, or any other object */
    dx_cas_id content;       /* plain BLAKE3-256 of the content; not verified by the store */
    uint64_t  size;          /* of the content in bytes; the same */
    uint64_t  time_ns;       /* the caller's clock, since 1970 */
    uint32_t  kind;          /* kind and info are the caller's */
    uint32_t  info_size;     /* bytes of info */
    uint8_t   info[DX_CAS_INFO_MAX];
    uint64_t  oldest;        /* oldest version kept; set by the store */
    uint64_t  previous_;     /* private: place of the version before */
} dx_cas_ref;

enum { /* dx_cas_damage.kind */
    DX_CAS_DAMAGE_HEADER = 1,  /* one copy of the store header */
    DX_CAS_DAMAGE_RECORD = 2,  /* a record header: what it held is unreadable */
    DX_CAS_DAMAGE_OBJECT = 3,  /* the bytes of object id are not what id says */
    DX_CAS_DAMAGE_REF = 4,     /* one version of a name is unreadable */
    DX_CAS_DAMAGE_PADDING = 5, /* padding is not zero; nothing is lost */
    DX_CAS_DAMAGE_COMMIT = 6,  /* one copy of a commit (nothing is lost), or the chain is broken */
    DX_CAS_DAMAGE_MISSING = 7, /* object id is needed by the record at offset and not there */
    DX_CAS_DAMAGE_UNKNOWN = 8, /* its codec is not in desc.codecs: could not be checked */
    DX_CAS_DAMAGE_INDEX = 9,   /* the index lacks the record, or has one too many; size 0: it ends
                                  at offset of desc.checkpoint, as after a cut. Nothing is lost */
    DX_CAS_DAMAGE_AHEAD = 10   /* at offset desc.checkpoint has a commit that the log has lost */
};

typedef struct dx_cas_damage {
    uint32_t  kind;   /* DX_CAS_DAMAGE_... */
    uint64_t  offset; /* of the record on the device */
    uint64_t  size;   /* bytes affected, 0 = unknown */
    dx_cas_id id;     /* OBJECT, MISSING, UNKNOWN: which object. COMMIT: the chain that the right
                         copy has. Otherwise zero, also where the chain itself is broken */
} dx_cas_damage;
typedef int dx_cas_damage_fn(void *user, const dx_cas_damage *damage); /* not 0: stop, ECANCELED */

typedef struct dx_cas_report {
    uint64_t objects;    /* that were checked, */
    uint64_t refs;       /* versions of names, */
    uint64_t commits;
    uint64_t bytes;      /* and in the payloads of all records */
    uint64_t damaged;    /* calls of the callback */
    uint64_t tail_bytes; /* after the last commit, zeros included */
} dx_cas_report;

/* Content of any size is a sequence of chunks, found through a tree of list nodes: */
enum { DX_CAS_LEVELS_MAX = 8, DX_CAS_NODE_ENTRIES_MAX = 512, DX_CAS_NODE_SIZE_MAX = 20496 };

#ifndef DX_CAS_NO_STREAMS
typedef struct dx_cas_content { /* what a writer made of a content */
    dx_cas_id root;    /* opens a dx_cas_reader */
    dx_cas_id content; /* plain BLAKE3-256 of all bytes (what b3sum prints) */
    uint64_t  size;
} dx_cas_content;

typedef int dx_cas_put_fn(void *user, uint64_t offset, const void *chunk, size_t size,
                          dx_cas_id *id);

typedef struct dx_cas_writer_desc {
    dx_cas_store *store;          /* required, opened for writing; borrowed until finish */
    void         *memory;         /* required; borrowed until finish */
    size_t        memory_size;    /* dx_cas_writer_memory_size() */
    dx_cas_chunker_desc chunker;
    /* Replaces dx_cas_put() for chunks, such as for deltas; must give the same id.
       NULL: dx_cas_put(). */
    dx_cas_put_fn *put;
    void          *user;
} dx_cas_writer_desc;

typedef struct dx_cas_writer { /* caller-allocated; fields are private */
    dx_cas_store  *store_;
    uint8_t       *chunk_;      /* the chunk in progress, */
    uint32_t       chunk_size_; /* and how many bytes it has */
    bool           cut_;        /* it is complete and must be put */
    bool           active_;     /* between begin and finish */
    uint8_t       *nodes_;      /* DX_CAS_LEVELS_MAX nodes in progress; [0]: of level 1 */
    uint32_t       counts_[DX_CAS_LEVELS_MAX]; /* entries in each of them, */
    uint64_t       sizes_[DX_CAS_LEVELS_MAX];  /* and bytes of content under these */
    uint64_t       size_;       /* bytes of content */
    dx_cas_chunker chunker_;
    dx_cas_hasher  content_;    /* over all bytes */
    dx_cas_put_fn *put_;
    void          *user_;
} dx_cas_writer;

typedef struct dx_cas_reader { /* caller-allocated; fields are private but size */
    uint64_t      size;           /* of the content in bytes */
    dx_cas_store *store_;         /* NULL: nothing was opened */
    uint8_t      *nodes_;         /* the path from the root, */
    uint8_t      *chunk_;         /* to the chunk that was read last */
    size_t        chunk_capacity_;
    uint64_t      starts_[DX_CAS_LEVELS_MAX + 1]; /* first content byte under each; [0]: chunk */
    uint64_t      spans_[DX_CAS_LEVELS_MAX + 1];  /* bytes under it; 0 = not loaded */
    dx_cas_id     root_;
    uint32_t      level_;         /* of the root; 0: it is the only chunk */
} dx_cas_reader;
#endif

#ifndef DX_CAS_NO_DELTAS
enum { DX_CAS_DELTA_CODEC = 2, DX_CAS_DELTA_HEAD = 38, DX_CAS_DELTA_DEPTH_MAX = 31 };

/* Makes and applies deltas. Both functions write at most capacity bytes and return 0 or an
   error; encode may return DX_CAS_ENOSPACE for "not worth it" (its capacity is below the best
   result until then). */
typedef struct dx_cas_delta_coder {
    uint8_t number; /* stands in each delta: 1 = zstd with a prefix, 2 = dx_patch, 128..: yours */
    int (*encode)(void *user, void *out, size_t capacity, const void *base, size_t base_size,
                  const void *in, size_t n, size_t *got);
    int (*decode)(void *user, void *out, size_t capacity, const void *base, size_t base_size,
                  const void *in, size_t n, size_t *got);
    void *user;
} dx_cas_delta_coder;

typedef struct dx_cas_delta_desc {
    dx_cas_store *store;              /* required; may be opened later */
    const dx_cas_delta_coder *coders; /* all are tried; borrowed */
    size_t        coder_count;
    void         *memory;             /* dx_cas_delta_memory_size() bytes; borrowed */
    size_t        memory_size;
    uint32_t      object_size_max;    /* of bases and deltas: that of the store; 0 = 1 MiB */
    uint32_t      depth_max;          /* deltas in a row that are written; 0 = 15, at most 31 */
} dx_cas_delta_desc;

typedef struct dx_cas_delta { /* caller-allocated, stays where it is; fields are private */
    dx_cas_delta_desc desc_;
    const dx_cas_id  *hint_;
    size_t            limit_;
} dx_cas_delta;
#endif

#ifndef DX_CAS_NO_REPAIR
typedef struct dx_cas_repair_report {
    uint64_t repaired; /* places written */
    uint64_t bytes;    /* bytes written */
    uint64_t lost;     /* places still damaged at the last check: calls of `lost` */
} dx_cas_repair_report;
#endif

/* >>api ---------------------------------------------------------------- */
/* "DX_CAS_ECORRUPT" and so on; "unknown error" for anything else. Never NULL. */
DX_CAS_API const char *dx_cas_error_name(int error);

/* --- BLAKE3 (github.com/BLAKE3-team/BLAKE3-specs). No call fails; data may be NULL for size 0. */
DX_CAS_API void dx_cas_blake3_init(dx_cas_blake3 *h);
DX_CAS_API void dx_cas_blake3_init_keyed(dx_cas_blake3 *h, const uint8_t key[32]);
/* Key derivation; context should be a constant of the program that is used nowhere else. */
DX_CAS_API void dx_cas_blake3_init_derive(dx_cas_blake3 *h, const void *context,
                                          size_t context_size);
DX_CAS_API void dx_cas_blake3_update(dx_cas_blake3 *h, const void *data, size_t size);
/* The first size bytes of the output (32 = the usual hash). *h is unchanged: more may follow. */
DX_CAS_API void dx_cas_blake3_final(const dx_cas_blake3 *h, void *out, size_t size);
/* One call: the id of an object. */
DX_CAS_API void dx_cas_hash(const void *data, size_t size, dx_cas_id *out);
/* out[i] = hash of data[i]. Neighbours of equal size 64, 128, ... 16384 are hashed in parallel. */
DX_CAS_API void dx_cas_hash_many(const void *const *data, const size_t *sizes, size_t count,
                                 dx_cas_id *out);
/* For several threads, and for proofs: hash the part at offset of a message by itself, in the mode
   (key) of *mode. Its size rounded up to a power of two >= 1024 must divide offset, and only the
   last part of a message may be no power of two; else DX_CAS_EINVAL. Parts are joined in twos, the
   left one as large as it can be; the join of all is the root, and its output the hash. */
DX_CAS_API int dx_cas_blake3_part(const dx_cas_blake3 *mode, uint64_t offset, const void *data,
                                  size_t size, uint8_t out[32]);
DX_CAS_API void dx_cas_blake3_join(const dx_cas_blake3 *mode, const uint8_t parts[64], bool root,
                                   uint8_t out[32]);

/* from_hex: DX_CAS_EINVAL unless exactly 64 hex digits. */
DX_CAS_API void dx_cas_id_to_hex(const dx_cas_id *id, char out[65]);
DX_CAS_API int  dx_cas_id_from_hex(const char *text, dx_cas_id *out);
DX_CAS_API bool dx_cas_id_equal(const dx_cas_id *a, const dx_cas_id *b);

/* --- Chunker: FastCDC (Xia et al., USENIX ATC 2016) with a 64-byte gear hash, normalised at
   level 2. desc may be NULL. DX_CAS_EINVAL when sizes are not min <= avg <= max or out of range. */
DX_CAS_API int dx_cas_chunker_init(dx_cas_chunker *c, const dx_cas_chunker_desc *desc);
/* Returns how many of the next bytes belong to the current chunk (> 0 when size > 0); *cut: it ends
   there. Call again with the rest, split in any way; the remainder at the end is the last chunk. */
DX_CAS_API size_t dx_cas_chunker_next(dx_cas_chunker *c, const void *data, size_t size, bool *cut);
DX_CAS_API void dx_cas_chunker_reset(dx_cas_chunker *c); /* begin a new stream */

#ifndef DX_CAS_NO_FILE
/* --- The file device. *f must outlive the store. */
/* Open a file (path in UTF-8). mode is that of dx_cas_desc: DX_CAS_READ takes no lock, DX_CAS_WRITE
   one that dies with the process (DX_CAS_ELOCKED at once if it is taken), DX_CAS_CREATE creates a
   missing file. DX_CAS_WRITE syncs the folder. DX_CAS_ENOTFOUND, DX_CAS_ESYS. */
DX_CAS_API int  dx_cas_file_open(dx_cas_file *f, const char *path, uint32_t mode);
DX_CAS_API void dx_cas_file_close(dx_cas_file *f);
DX_CAS_API dx_cas_device dx_cas_file_device(dx_cas_file *f);
/* Make a rename in the folder of path durable, such as of a compacted store over the old one. */
DX_CAS_API int  dx_cas_file_sync_folder(const char *path);
/* Does path lead to another file now? False if the path does not exist; true if the system cannot
   tell. For readers of a retired store (dx_cas_refresh). */
DX_CAS_API bool dx_cas_file_moved(const dx_cas_file *f, const char *path);
#endif

/* --- Store. Bytes of memory for objects_max, object_size_max and codecs; 0: above SIZE_MAX. */
DX_CAS_API size_t dx_cas_memory_size(const dx_cas_desc *desc);
/* Open or create a store. Reads the header of each record since the last checkpoint, and the
   payloads of names and of commits that no sync has proved. A writer cuts off what a killed one
   left after its last commit, writes again what may not be durable (after DX_CAS_FULL the last
   commit record; nothing if this writer uses DX_CAS_NONE), and syncs.
   DX_CAS_ENOTFOUND   the device is empty and DX_CAS_CREATE is not given
   DX_CAS_ENOMEM      dx_cas_memory_needed() says how many bytes the next try needs
   DX_CAS_ECORRUPT    committed bytes are damaged, dx_cas_damage_offset() says where; with
                      DX_CAS_ACCEPT_DAMAGE it opens, only for reading. Or it is no store: offset 0.
                      Or a writer finds that the log has lost a commit: dx_cas_stats.ahead, and the
                      offset is its end. An empty desc.checkpoint accepts what is left
   DX_CAS_EVERSION, DX_CAS_ENOTSUP  made by a newer dx_cas.h, with another hash
   DX_CAS_EZERO       a reserved byte of the store header is not zero
   DX_CAS_EAGAIN      reader: a writer changed the store meanwhile. Open it again
   After an error the store is closed; dx_cas_memory_needed() and dx_cas_damage_offset() still
   answer. */
DX_CAS_API int  dx_cas_open(dx_cas_store *s, const dx_cas_desc *desc);
/* Release everything borrowed. Uncommitted changes are lost. Safe twice and on zeros. */
DX_CAS_API void dx_cas_close(dx_cas_store *s);
/* Move the index to a block of dx_cas_memory_needed() bytes; after 0 the old one is the
   caller's. */
DX_CAS_API int    dx_cas_grow(dx_cas_store *s, void *memory, size_t memory_size);
DX_CAS_API size_t dx_cas_memory_needed(const dx_cas_store *s);
/* Offset on the device where ECORRUPT was last met; UINT64_MAX = nowhere. */
DX_CAS_API uint64_t dx_cas_damage_offset(const dx_cas_store *s);
DX_CAS_API void     dx_cas_get_stats(const dx_cas_store *s, dx_cas_stats *out);

/* Store an object, unless it exists; *id (may be NULL) = its hash. Readable at once, durable after
   dx_cas_commit(). After ENOSPACE or ENOMEM nothing has changed. */
DX_CAS_API int dx_cas_put(dx_cas_store *s, const void *data, size_t size, dx_cas_id *id);
/* The same with the codec of that number; if it does not shrink the object, with codecs[0]. */
DX_CAS_API int dx_cas_put_with(dx_cas_store *s, uint8_t codec, const void *data, size_t size,
                               dx_cas_id *id);
/* Read an object and check it against its id. *size receives its size, also with DX_CAS_ENOSPACE
   (buffer too small). DX_CAS_ENOTFOUND, DX_CAS_ECORRUPT, DX_CAS_EBASE, DX_CAS_ENOTSUP (codec). */
DX_CAS_API int dx_cas_get(dx_cas_store *s, const dx_cas_id *id, void *buffer, size_t capacity,
                          size_t *size);
/* DX_CAS_OK or DX_CAS_ENOTFOUND. These two do not read the object's bytes. */
DX_CAS_API int dx_cas_has(dx_cas_store *s, const dx_cas_id *id);
DX_CAS_API int dx_cas_object_size(dx_cas_store *s, const dx_cas_id *id, uint64_t *size);
/* Make all earlier changes durable, atomically (desc.durability); free if there are none. After an
   error the store refuses writes (DX_CAS_EFAILED) and can still be read: open it again. After
   that open, either all of them are committed, or none. */
DX_CAS_API int dx_cas_commit(dx_cas_store *s);
/* Save the index to desc.checkpoint: open then skips the records before it, and does not meet
   damage in their headers, as get and verify do. All must be committed, else DX_CAS_EINVAL. It
   syncs the store: if that fails, the store refuses writes, as after dx_cas_commit(). After another
   error the store stays usable, and the next checkpoint is written from the start. */
DX_CAS_API int dx_cas_checkpoint(dx_cas_store *s);
/* Reader: see what other processes have committed. DX_CAS_EMOVED (once; see below), DX_CAS_EAGAIN
   (open again: a commit could not be synced and was undone; reads may return it, too),
   DX_CAS_ENOMEM (grow, repeat). After a device error, repeat it before reading on. */
DX_CAS_API int dx_cas_refresh(dx_cas_store *s);
/* Writer: commit, and tell readers that another store replaces this one (before a rename).
   desc.checkpoint is of this store alone: empty it and sync it before the rename, or after a power
   cut the other store may be taken for one that has lost commits. The writer may crash before the
   rename, so a retired store opens and reads like any other: dx_cas_stats.retired tells, and
   dx_cas_refresh() returns DX_CAS_EMOVED once when it becomes retired. A reader of a file keeps it
   until dx_cas_file_moved() says that its path leads to another file, and checks at each refresh
   while the store is retired. The next writer that finds it retired finishes the rename, or undoes
   it with any dx_cas_commit(). */
DX_CAS_API int dx_cas_retire(dx_cas_store *s);

/* --- Names. Changes are atomic with dx_cas_commit(). */
#define DX_CAS_ANY_VERSION UINT64_MAX
/* Give a name a new version; its root must be in the store. DX_CAS_ECONFLICT unless it is now at
   version expected; 0 = it must not exist, or DX_CAS_ANY_VERSION. */
DX_CAS_API int dx_cas_ref_set(dx_cas_store *s, const dx_cas_ref *ref, uint64_t expected,
                              uint64_t *version);
/* The same with a number of the caller's, for copies of another store's versions: ECONFLICT also
   unless it is above every number that the name has had; EINVAL: 0 or above 2^64 - 3. */
DX_CAS_API int dx_cas_ref_set_as(dx_cas_store *s, const dx_cas_ref *ref, uint64_t expected,
                                 uint64_t version);
/* version 0 = the latest, O(1); others are searched back from the latest, and through the whole log
   if a version between is damaged. DX_CAS_ENOTFOUND. */
DX_CAS_API int dx_cas_ref_get(dx_cas_store *s, const char *name, uint64_t version, dx_cas_ref *out);
/* From a version to the one before it, O(1). DX_CAS_ENOTFOUND after the oldest. */
DX_CAS_API int dx_cas_ref_previous(dx_cas_store *s, dx_cas_ref *ref);
/* All names, each with its latest version, in no order. *cursor = 0 begins; DX_CAS_ENOTFOUND ends.
   Any change of the store and any refresh invalidate the cursor. */
DX_CAS_API int dx_cas_ref_next(dx_cas_store *s, uint64_t *cursor, dx_cas_ref *out);
/* Delete the name; if it is set again, its version numbers continue. expected as above. */
DX_CAS_API int dx_cas_ref_delete(dx_cas_store *s, const char *name, uint64_t expected);
/* Drop versions older than oldest (at most the latest version). */
DX_CAS_API int dx_cas_ref_trim(dx_cas_store *s, const char *name, uint64_t oldest);

#ifndef DX_CAS_NO_STREAMS
/* --- Streams: content of any size. A writer cuts it into chunks, stores them, and builds the tree
   of list nodes above them; a reader reads at any offset. Both belong to their store's thread.

       dx_cas_writer_begin(&writer, &desc);            // desc: the store, memory, a chunker
       dx_cas_writer_write(&writer, data, size, NULL); // in pieces of any size
       dx_cas_writer_finish(&writer, &content);        // content.root is what a name points to

       dx_cas_reader_open(&reader, &store, &ref.root, memory, memory_size);
       dx_cas_reader_read(&reader, offset, buffer, size, &got);
*/
/* Bytes of memory for the chunker of desc; 0: desc is invalid. */
DX_CAS_API size_t dx_cas_writer_memory_size(const dx_cas_writer_desc *desc);
DX_CAS_API int dx_cas_writer_begin(dx_cas_writer *w, const dx_cas_writer_desc *desc);
/* Add bytes, split in any way. *used (may be NULL) = how many were taken: after DX_CAS_ENOMEM, grow
   the store and continue with the rest. */
DX_CAS_API int dx_cas_writer_write(dx_cas_writer *w, const void *data, size_t size, size_t *used);
/* Store the rest and the list nodes. May be repeated after DX_CAS_ENOMEM. An unfinished writer may
   simply be dropped. */
DX_CAS_API int dx_cas_writer_finish(dx_cas_writer *w, dx_cas_content *out);

/* Memory for a reader of content whose chunks have at most chunk_size_max bytes (0 = 256 KiB). */
DX_CAS_API size_t dx_cas_reader_memory_size(uint32_t chunk_size_max);
/* Open content by its root. memory and store are borrowed as long as *r is used. */
DX_CAS_API int dx_cas_reader_open(dx_cas_reader *r, dx_cas_store *s, const dx_cas_id *root,
                                  void *memory, size_t memory_size);
/* Read at any offset; every byte was checked. *got < size only at the end of the content.
   DX_CAS_ENOMEM: a chunk is larger than the memory; DX_CAS_ECORRUPT, DX_CAS_ENOTFOUND: damaged. */
DX_CAS_API int dx_cas_reader_read(dx_cas_reader *r, uint64_t offset, void *buffer, size_t size,
                                  size_t *got);
/* Which chunk holds the byte at offset (< r->size): its id, first byte and size. */
DX_CAS_API int dx_cas_reader_chunk(dx_cas_reader *r, uint64_t offset, dx_cas_id *id,
                                   uint64_t *start, uint64_t *size);
#endif /* DX_CAS_NO_STREAMS */

#ifndef DX_CAS_NO_DELTAS
/* --- Deltas: an object stored as its difference from another one, by the caller's functions.

       const dx_cas_delta_coder coders[] = {{2, make, apply, &tools}};  // dx_patch, zstd
       dx_cas_delta_desc how = {&store, coders, 1, memory, memory_size, 1 << 20, 0};
       dx_cas_delta_init(&delta, &how);
       codecs[1] = dx_cas_delta_codec(&delta);                  // of dx_cas_desc, then open
       dx_cas_delta_put(&delta, data, size, &old_id, 0, &id);   // like a put; old_id is a hint
       dx_cas_get(&store, &id, buffer, sizeof buffer, &size);   // as ever: rebuilt, and checked

   The smallest delta is stored if it is smaller than the object (and the limit), and only after it
   was applied once and gave the object. Its base may be a delta, too; after a chain of depth_max an
   older base is taken. Compaction keeps bases. If a base is missing or damaged, reads return
   DX_CAS_EBASE, and dx_cas_verify() names it. */
DX_CAS_API size_t dx_cas_delta_memory_size(const dx_cas_delta_desc *desc);
/* DX_CAS_EINVAL, DX_CAS_ENOMEM. One for each store, as for its thread. */
DX_CAS_API int dx_cas_delta_init(dx_cas_delta *d, const dx_cas_delta_desc *desc);
/* For dx_cas_desc.codecs, after the codec that compresses. */
DX_CAS_API dx_cas_codec dx_cas_delta_codec(dx_cas_delta *d);
/* dx_cas_put(), if possible as a delta of that base in at most limit bytes (0: fewer than size).
   Otherwise the object is stored as usual: if the base is missing, too large, or too different. */
DX_CAS_API int dx_cas_delta_put(dx_cas_delta *d, const void *data, size_t size,
                                const dx_cas_id *base, size_t limit, dx_cas_id *id);
/* The base of an object stored as a delta, and the length of the chain of deltas below it.
   DX_CAS_ENOTFOUND: not a delta, or no such object. */
DX_CAS_API int dx_cas_delta_base(dx_cas_delta *d, const dx_cas_id *id, dx_cas_id *base,
                                 uint32_t *depth);
/* Copy an object (not a list node) in its stored form into another store, its bases first. */
DX_CAS_API int dx_cas_delta_copy(dx_cas_delta *d, const dx_cas_id *id, dx_cas_store *dst);
#endif /* DX_CAS_NO_DELTAS */

/* --- Whole store. Read and hash it again, in place; callback (may be NULL) receives all damage.
   Also checks that everything that list nodes and names need exists, the chain of commits, and
   padding. DX_CAS_OK, or DX_CAS_ECORRUPT if there was damage. *report may be NULL. */
DX_CAS_API int dx_cas_verify(dx_cas_store *s, dx_cas_damage_fn *callback, void *user,
                             dx_cas_report *report);
/* Copy everything reachable from names, all kept versions with their numbers, into dst
   (fresh), and commit. Deleted names are dropped. After DX_CAS_ENOMEM grow dst and repeat.
   Then retire src, rename. */
DX_CAS_API int dx_cas_compact_into(dx_cas_store *src, dx_cas_store *dst);
/* The same without the versions for which keep returns false; the others keep their numbers. It is
   asked twice for each version, and must answer alike; the latest of a name always stays. */
typedef bool dx_cas_keep_fn(void *user, const dx_cas_ref *ref);
DX_CAS_API int dx_cas_compact_kept(dx_cas_store *src, dx_cas_store *dst, dx_cas_keep_fn *keep,
                                   void *user);

#ifndef DX_CAS_NO_REPAIR
/* --- Repair: fix damage in place, from these sources, in this order:
   - The store itself: one copy of its header, one copy of a commit, padding.
   - A backup that is a copy of the same store, older or newer: record headers, names, commits
     and the header of the store. Each record is taken by itself, and only where the chain of
     commits proves that it stood there.
   - Any other store that has the same objects: payloads of objects and list nodes, as long as
     both stores compress them alike, or the damaged one not at all.

       dx_cas_file_open(&file, path, DX_CAS_WRITE);         // the lock: nobody else writes
       desc.device = dx_cas_file_device(&file);
       error = dx_cas_repair(&store, &desc, &backup, lost, NULL, &report);
       dx_cas_close(&store);

   Readable data stays readable, even if the power fails during the repair: only bytes verified by a
   hash are written, over bytes that failed their check or that the chain disproves (a sector of old
   content may bring back an old record in the place of the right one).
   DX_CAS_OK means that a full check of the store was clean after the last write, and that all of it
   is durable, including data of an earlier repair whose sync failed. For that the whole store is
   rewritten as it is: to check an undamaged store, call dx_cas_verify().
   An undamaged backup that is at least as new as the store restores everything, including commits
   and the store header that were lost without a trace. A backup whose history diverged from the
   store's (both were written to) supplies objects and their common history only; its records do
   not replace any.

   store: closed; it is opened as desc says, but for reading and with DX_CAS_ACCEPT_DAMAGE, and is
   open at the end if possible. desc->device must be writable, and desc->checkpoint must be given if
   the store has one: it may know of commits that the log has lost. other: NULL, or an open store.
   lost: NULL, or receives all remaining damage, as the callback of dx_cas_verify() does.
   DX_CAS_OK          nothing is damaged any more
   DX_CAS_ECORRUPT    damage remains, see report->lost; everything repairable was repaired
   DX_CAS_ECANCELED   lost asked to stop
   DX_CAS_ENOMEM      more records came to light than desc->memory has room for: try with more
   Others are those of dx_cas_open() and of the device; repair may be tried again after any. */
DX_CAS_API int dx_cas_repair(dx_cas_store *store, const dx_cas_desc *desc, dx_cas_store *other,
                             dx_cas_damage_fn *lost, void *user, dx_cas_repair_report *report);
#endif /* DX_CAS_NO_REPAIR */

/* >>extension ----------------------------------------------------------
   For layers that keep records of this format on a medium of their own, such as raw flash: the
   parts of docs/formats/cas.md that do not depend on where the bytes are (sections 1 and 4 to
   8). Promised like the rest. Nothing here reads a device, allocates or keeps a pointer, and no
   bytes reach an assertion. Hashing state is the caller's, so that it need not be on the stack. */
enum {
    DX_CAS_EXT_HEAD = 64 /* bytes of a record header and of one copy of the store header */
};
enum { /* dx_cas_ext_record.type */
    DX_CAS_EXT_BLOB = 1,  /* an object */
    DX_CAS_EXT_LIST = 2,  /* a list node: a head, then for each child an id and a size */
    DX_CAS_EXT_REF = 3,   /* one change of a name: a fixed part, the name, info */
    DX_CAS_EXT_COMMIT = 4 /* two copies of a header, without a payload */
};
enum { /* marks of a commit; dx_cas_ext_form.features tells whether more than RETIRED may be set */
    DX_CAS_EXT_RETIRED = 1, /* another store takes this one's place */
    DX_CAS_EXT_ONCE = 2,    /* its records went down in one sync with it */
    DX_CAS_EXT_LOOSE = 4,   /* nothing since the last commit without it is durable for sure */
    DX_CAS_EXT_ORDERED = 8  /* only a barrier kept its order: that it is there proves no sync */
};
enum { /* what a ref record does: its first byte */
    DX_CAS_EXT_SET = 1, DX_CAS_EXT_TRIM = 2, DX_CAS_EXT_DELETE = 3
};
enum { /* sizes in bytes */
    DX_CAS_EXT_REF_FIXED = 112,          /* the fixed part of a ref record, */
    DX_CAS_EXT_REF_MAX = 112 + 255 + 64, /* with the longest name and info */
    DX_CAS_EXT_NODE_HEAD = 16,           /* the head of a list node, */
    DX_CAS_EXT_NODE_ENTRY = 40           /* and each entry: id, content bytes under it */
};

typedef struct dx_cas_ext_record { /* a record header */
    uint64_t  place;   /* where it stands in the log */
    uint64_t  stored;  /* bytes of its payload, */
    uint64_t  logical; /* and of what that decompresses to. Commit: its sequence number */
    uint64_t  next;    /* place of the record after it; of both copies of a commit the same */
    uint32_t  type;    /* DX_CAS_EXT_BLOB and so on */
    uint32_t  codec;   /* number; 0: the payload is the object */
    uint32_t  flags;   /* list: level. Commit: 1 or 2, the copy, and its marks << 8 */
    dx_cas_id id;      /* of the payload; commit: of the chain */
    uint8_t   head[DX_CAS_EXT_HEAD]; /* the encoded form */
} dx_cas_ext_record;

/* Hash the content of an id of that type: start, update in any pieces, final. COMMIT: a chain of
   record headers, which begins with the id of the chain before; the first one, whose id has the tag
   in it, is that of the first 56 bytes of the store header. *h is the caller's, 1.9 KB with
   BLAKE3. */
DX_CAS_API void dx_cas_ext_id_start(dx_cas_hasher *h, uint32_t type);
DX_CAS_API void dx_cas_ext_id_update(dx_cas_hasher *h, const void *data, size_t size);
DX_CAS_API void dx_cas_ext_id_final(dx_cas_hasher *h, dx_cas_id *id);
/* CRC-32C as headers have it. Start with crc = 0; feed pieces in order. */
DX_CAS_API uint32_t dx_cas_ext_crc32c(uint32_t crc, const uint8_t *p, size_t size);

/* Encode r->head from all other fields except `next`. */
DX_CAS_API void dx_cas_ext_record_encode(const dx_cas_ext_form *form, dx_cas_ext_record *r);
/* The reverse: *r from the bytes at a place (head may be r->head). DX_CAS_ECORRUPT: no record of
   this store, or an invalid one; DX_CAS_EVERSION: a type of a later format. An accepted record fits
   into 2^48 bytes, not necessarily into the log. */
DX_CAS_API int dx_cas_ext_record_decode(const dx_cas_ext_form *form, uint64_t place,
                                        const uint8_t *head, dx_cas_ext_record *r);
/* The copy of the store header, 0 or 1, at `out`: DX_CAS_EXT_HEAD bytes. form->tag is not in it. */
DX_CAS_API void dx_cas_ext_store_encode(const dx_cas_ext_form *form, const uint8_t store_id[16],
                                        uint32_t copy, uint8_t *out);
/* The reverse. form->tag is unchanged. DX_CAS_ECORRUPT: not such a copy; the other one may be.
   DX_CAS_EVERSION, DX_CAS_ENOTSUP, DX_CAS_EZERO: a store that this build does not know. */
DX_CAS_API int dx_cas_ext_store_decode(const uint8_t *head, uint32_t copy, dx_cas_ext_form *form,
                                       uint8_t store_id[16]);
/* Is this a valid name? NUL-terminated; NULL is invalid. */
DX_CAS_API bool dx_cas_ext_name_ok(const char *name);
/* Can a ref record of `stored` bytes begin with that fixed part? Name and info follow it. */
DX_CAS_API bool dx_cas_ext_ref_ok(const uint8_t fixed[112], uint64_t stored);

#ifdef __cplusplus
}
#endif
#endif /* DX_CAS_H */

#if (defined(DX_CAS_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && !defined(DX_CAS_IMPLEMENTED)
#define DX_CAS_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_CAS_ASSERT
  #if (!defined(__STDC_HOSTED__) || __STDC_HOSTED__ == 1) && !defined(NDEBUG)
    #include <assert.h>
    #define DX_CAS_ASSERT(c) assert(c)
  #else
    #define DX_CAS_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_CAS_P_LIBC(name) __builtin_##name
#else
  #include <string.h>
  #define DX_CAS_P_LIBC(name) name
#endif
#ifndef DX_CAS_MEMCPY
  #define DX_CAS_MEMCPY DX_CAS_P_LIBC(memcpy)
#endif
#ifndef DX_CAS_MEMSET
  #define DX_CAS_MEMSET DX_CAS_P_LIBC(memset)
#endif
#ifndef DX_CAS_MEMCMP
  #define DX_CAS_MEMCMP DX_CAS_P_LIBC(memcmp)
#endif
#ifdef DX_CAS_HASHER
  #define DX_CAS_P_PASTE(a, b) a##b
  #define DX_CAS_P_NAME_OF(type, what) DX_CAS_P_PASTE(type, _##what)
  #define DX_CAS_P_HASH(what) DX_CAS_P_NAME_OF(DX_CAS_HASHER, what)
  #define DX_CAS_P_HASH_NUMBER DX_CAS_HASHER_NUMBER
#else
  #define DX_CAS_P_HASH(what) dx_cas_blake3_##what
  #define DX_CAS_P_HASH_NUMBER 1
#endif
#define DX_CAS_P_TRY(call)                      \
    do {                                        \
        int try_ = (call);                      \
        if (try_ != DX_CAS_OK) return try_;     \
    } while (0)

/* >>shared --------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies (a check compares them). */
static uint32_t dx_cas_p_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t dx_cas_p_load64(const uint8_t *p)
{
    return (uint64_t)dx_cas_p_load32(p) | (uint64_t)dx_cas_p_load32(p + 4) << 32;
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

#ifndef DX_CAS_CRC32C
#define DX_CAS_CRC32C dx_cas_p_crc32c
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
#endif

/* SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"), for tables whose keys
   others choose: without the seed they cannot find colliding keys. One round per word of input,
   three at the end. */
static inline uint64_t dx_cas_p_rotate_left(uint64_t v, unsigned n)
{
    DX_CAS_ASSERT(n > 0 && n < 64);
    return v << n | v >> (64 - n);
}

static inline void dx_cas_p_sip_start(uint64_t v[4], const uint64_t seed[2])
{
    v[0] = seed[0] ^ 0x736f6d6570736575u;
    v[1] = seed[1] ^ 0x646f72616e646f6du;
    v[2] = seed[0] ^ 0x6c7967656e657261u;
    v[3] = seed[1] ^ 0x7465646279746573u;
}

static inline void dx_cas_p_sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = dx_cas_p_rotate_left(v[1], 13) ^ v[0];
    v[0] = dx_cas_p_rotate_left(v[0], 32);
    v[2] += v[3];
    v[3] = dx_cas_p_rotate_left(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = dx_cas_p_rotate_left(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = dx_cas_p_rotate_left(v[1], 17) ^ v[2];
    v[2] = dx_cas_p_rotate_left(v[2], 32);
}

static inline void dx_cas_p_sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    dx_cas_p_sip_round(v);
    v[0] ^= word;
}

/* last: the bytes that fill no word, with the size of the input as the highest one. */
static inline uint64_t dx_cas_p_sip_end(uint64_t v[4], uint64_t last)
{
    unsigned i;
    dx_cas_p_sip_word(v, last);
    v[2] ^= 255;
    for (i = 0; i < 3; i++) dx_cas_p_sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* >>compress ------------------------------------------------------------
   BLAKE3 (github.com/BLAKE3-team/BLAKE3-specs, section 2.2) has one primitive: a state of 16 words,
   mixed with a block of 16 message words in seven rounds. A round mixes the four columns, then the
   four diagonals, each with two words of the message, which go in another order each time:

        v[0]  v[1]  v[2]  v[3]        chaining value, 8 words
        v[4]  v[5]  v[6]  v[7]
        v[8]  v[9]  v[10] v[11]       the key of the plain hash
        v[12] v[13] v[14] v[15]       counter (2 words), size of the block, flags

   This is the portable text; the vectors of >>simd take the same macros. */
enum {
    DX_CAS_P_B3_CHUNK_START = 1, DX_CAS_P_B3_CHUNK_END = 2, DX_CAS_P_B3_PARENT = 4,
    DX_CAS_P_B3_ROOT = 8, DX_CAS_P_B3_KEYED = 16, DX_CAS_P_B3_DERIVE_CONTEXT = 32,
    DX_CAS_P_B3_DERIVE_MATERIAL = 64
};

/* The key of the plain hash: the first words of SHA-256's state. */
static void dx_cas_p_blake3_iv(uint32_t key[8])
{
    static const uint32_t iv[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                   0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
    DX_CAS_MEMCPY(key, iv, sizeof iv);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__clang__) /* to check each index takes minutes */
  #define DX_CAS_P_UNCHECKED __attribute__((no_sanitize("undefined")))
#else
  #define DX_CAS_P_UNCHECKED
#endif
/* Unrolled the arrays below are registers; DX_CAS_SMALL leaves them loops. */
#if defined(DX_CAS_SMALL) || !(defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 8))
  #define DX_CAS_P_UNROLL
#elif defined(__clang__)
  #define DX_CAS_P_UNROLL _Pragma("clang loop unroll(full)")
#else
  #define DX_CAS_P_UNROLL _Pragma("GCC unroll 16")
#endif
/* The words that each of seven rounds takes: always in the same new order. */
static const uint8_t dx_cas_p_b3_order[7][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
    {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1},
    {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
    {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4},
    {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
    {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13}};
/* Half of G for some columns, or, turned by 1, diagonals: each step waits for the one before. */
#define DX_CAS_P_SHIFT(x, a, n) x = x >> (n) | x << (32 - (n))
#define DX_CAS_P_B3_HALF(TURN, v, word, turned, i, begin, end, first, second)                     \
    DX_CAS_P_UNROLL for (i = begin; i < end; i++) {                                               \
        v[i] = v[i] + word + v[4 + (i + turned) % 4];                                             \
        v[12 + (i + turned * 3) % 4] ^= v[i];                                                     \
        TURN(v[12 + (i + turned * 3) % 4], v[i], first);                                          \
    }                                                                                             \
    DX_CAS_P_UNROLL for (i = begin; i < end; i++) {                                               \
        v[8 + (i + turned * 2) % 4] += v[12 + (i + turned * 3) % 4];                              \
        v[4 + (i + turned) % 4] ^= v[8 + (i + turned * 2) % 4];                                   \
        DX_CAS_P_SHIFT(v[4 + (i + turned) % 4], v[i], second);                                    \
    }
/* The rounds of v with m: of each the columns (r even), then the diagonals, in pairs. */
#define DX_CAS_P_B3_ROUNDS(TURN, v, m, r, j, i)                                                   \
    DX_CAS_P_UNROLL for (r = 0; r < 14; r++) {                                                    \
        const uint8_t *order = dx_cas_p_b3_order[r / 2] + r % 2 * 8;                              \
        DX_CAS_P_UNROLL for (j = 2; j <= 4; j += 2) {                                             \
            DX_CAS_P_B3_HALF(TURN, v, m[order[2 * i]], r % 2, i, j - 2, j, 16, 12)                \
            DX_CAS_P_B3_HALF(TURN, v, m[order[2 * i + 1]], r % 2, i, j - 2, j, 8, 7)              \
        }                                                                                         \
    }

/* The compression function: out[0..8) is the chaining value, all 16 words are the output of a root.
   out may be cv. block_size says how many bytes of block count, the rest must be zero. */
DX_CAS_P_UNCHECKED
static void dx_cas_p_blake3_compress(uint32_t out[16], const uint32_t cv[8],
                                     const uint8_t block[64], uint32_t block_size,
                                     uint64_t counter, uint32_t flags)
{
    uint32_t v[16] = {cv[0], cv[1], cv[2], cv[3], cv[4], cv[5], cv[6], cv[7], 0x6a09e667u,
                      0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au, (uint32_t)(counter & 0xffffffffu),
                      (uint32_t)(counter >> 32), block_size, flags};
    uint32_t m[16];
    unsigned r, j, i;
    DX_CAS_ASSERT(block_size <= 64 && flags < 256);
    DX_CAS_ASSERT(!(flags & DX_CAS_P_B3_PARENT) || block_size == 64);
    DX_CAS_P_UNROLL for (i = 0; i < 16; i++) m[i] = dx_cas_p_load32(block + 4 * i);
    DX_CAS_P_B3_ROUNDS(DX_CAS_P_SHIFT, v, m, r, j, i)
    DX_CAS_P_UNROLL for (i = 0; i < 8; i++) {
        out[i + 8] = v[i + 8] ^ cv[i];
        out[i] = v[i] ^ v[i + 8];
    }
}

/* Flags of several blocks in one word: those of all, more for the first, more for the last one. */
#define DX_CAS_P_B3_FIRST(flags) ((uint32_t)(flags) << 8)
#define DX_CAS_P_B3_LAST(flags) ((uint32_t)(flags) << 16)

/* A chain of blocks, `size` bytes of each count. out: chaining value in the first 8 words, all 16
   are the output of a root. flags are packed. out may be cv. */
static void dx_cas_p_b3_chain(uint32_t out[16], const uint32_t cv[8], const uint8_t *in,
                              size_t blocks, uint32_t size, uint64_t counter, uint32_t flags)
{
    size_t i;
    DX_CAS_ASSERT(blocks > 0 && size <= 64);
    for (i = 0; i < blocks; i++, cv = out) {
        uint32_t first = i == 0 ? flags >> 8 : 0;
        uint32_t last = i + 1 == blocks ? flags >> 16 : 0;
        dx_cas_p_blake3_compress(out, cv, in + 64 * i, size, counter, (flags | first | last) & 255);
    }
}

/* Words to little-endian bytes; downwards, so that out may be words. */
static void dx_cas_p_store_words(uint8_t *out, const uint32_t *words, unsigned count)
{
    DX_CAS_ASSERT(count <= 16);
    while (count-- > 0) dx_cas_p_store32(out + 4 * count, words[count]);
}

/* >>simd ---------------------------------------------------------------
   BLAKE3 hashes chunks of 1024 bytes independently of each other, and so the nodes of each level of
   its tree. Vectors compress several inputs at once, in one of two arrangements. By lanes: word i
   of the state of all N inputs is one vector, lane l of all 16 vectors is the state of input l, and
   the rest is the scalar code with vectors in place of words. That is the fastest for N inputs:

                  lane 0    lane 1          lane N-1
       v[0]    |  in[0]  |  in[1]  |  ...  |  in[N-1]  |
       v[1]    |         |         |       |           |     Inputs lie in memory the other way
       ...                                                   round, so their words are transposed
       v[15]   |         |         |       |           |     in squares of four by four.

   By rows, for fewer inputs: the state is a matrix, each row of which is four words of a vector; a
   step takes all columns or all diagonals. Vectors of 8 or 16 words hold the rows of two or four
   inputs; with two vectors a row, the steps of one run while the other's wait for their results:

                one input       another              To get from columns to diagonals the other
       v[0]    0  1  2  3  |  0  1  2  3             rows are shifted against the second one,
       v[4]    4  5  6  7  |  4  5  6  7             which stays: it is the last to be computed,
       v[8]    8  9 10 11  |  8  9 10 11             and nothing has to wait for it. The words
       v[12]  12 13 14 15  | 12 13 14 15             of the message change places in registers.

       inputs               1          2            3 and 4      5 to 8     9 to 16
       the target alone     words      words        4 lanes
       SSE4.1               rows of 1  2 rows of 1  4 lanes
       AVX2                 rows of 1  rows of 2    2 rows of 2  8 lanes
       AVX-512              rows of 1  rows of 2    rows of 4    8 lanes    16 lanes

   The target alone is SSE2, NEON or wasm; what the CPU has beyond is found at run time. */
#if defined(__has_builtin) && !defined(DX_CAS_SMALL) && (!defined(DX_CAS_LANES) || DX_CAS_LANES > 1)
  #if __has_builtin(__builtin_shufflevector) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && \
      (defined(__SSE2__) || defined(__ARM_NEON) || defined(__wasm_simd128__))
    #define DX_CAS_P_SIMD
  #endif
#endif
#ifdef DX_CAS_P_SIMD
typedef struct dx_cas_p_b3_job { /* one call of a kernel */
    const uint8_t  *in[16];
    const uint32_t *key;         /* the chaining value that each input begins with */
    uint8_t        *out;         /* the resulting chaining values, out_stride bytes apart */
    size_t          out_stride;
    uint64_t        counter;     /* chunk number of the first input, */
    unsigned        step;        /* and from each to the next: 1 for chunks, 0 for parents */
    unsigned        blocks;      /* of 64 bytes in each input, */
    uint32_t        size;        /* bytes of each that count; 64, except for a single input */
    uint32_t        flags;       /* of each block, with DX_CAS_P_B3_FIRST and DX_CAS_P_B3_LAST */
    bool            whole;       /* one input: all 16 words of the last output */
    bool            fetch;       /* more inputs follow these, perhaps not in the cache */
} dx_cas_p_b3_job;
typedef void dx_cas_p_b3_kernel(const dx_cas_p_b3_job *job, size_t count);
#define DX_CAS_P_B3_FLAGS(flags, block, blocks) \
    ((flags | (block == 0 ? flags >> 8 : 0) | (block + 1 == blocks ? flags >> 16 : 0)) & 255)
static const uint32_t dx_cas_p_b3_iv[4] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au};

typedef uint32_t dx_cas_p_v4 __attribute__((vector_size(16)));
typedef uint32_t dx_cas_p_v8 __attribute__((vector_size(32)));
typedef uint32_t dx_cas_p_v16 __attribute__((vector_size(64)));
typedef float dx_cas_p_f8 __attribute__((vector_size(32)));
typedef float dx_cas_p_f16 __attribute__((vector_size(64)));
#define DX_CAS_P_TARGET(features) DX_CAS_P_UNCHECKED __attribute__((target(features)))

/* In each four words the same choice of i, j, k, l from words 0 to 3 of a and 4 to 7 of b. As float
   where gcc has a one-cycle shuffle for that type alone. */
#define DX_CAS_P_FOUR(N, g, i) (i) % 4 + (g) + (i) / 4 * (N)
#define DX_CAS_P_CHOICE(N, g, i, j, k, l) \
    DX_CAS_P_FOUR(N, g, i), DX_CAS_P_FOUR(N, g, j), DX_CAS_P_FOUR(N, g, k), DX_CAS_P_FOUR(N, g, l)
#define DX_CAS_P_PICK4(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#define DX_CAS_P_PICK8(a, b, i, j, k, l) (dx_cas_p_v8)__builtin_shufflevector( \
    (dx_cas_p_f8)a, (dx_cas_p_f8)b, \
    DX_CAS_P_CHOICE(8, 0, i, j, k, l), DX_CAS_P_CHOICE(8, 4, i, j, k, l))
#define DX_CAS_P_PICK16(a, b, i, j, k, l) (dx_cas_p_v16)__builtin_shufflevector( \
    (dx_cas_p_f16)a, (dx_cas_p_f16)b, \
    DX_CAS_P_CHOICE(16, 0, i, j, k, l), DX_CAS_P_CHOICE(16, 4, i, j, k, l), \
    DX_CAS_P_CHOICE(16, 8, i, j, k, l), DX_CAS_P_CHOICE(16, 12, i, j, k, l))
#define DX_CAS_P_MIX(N, a, i, j, k, l) DX_CAS_P_PICK##N(a, a, i, j, k, l)
/* Sixteen bytes of one input; or of two or four, each `gap` after the last. */
typedef uint32_t dx_cas_p_row __attribute__((vector_size(16), aligned(1), may_alias));
#define DX_CAS_P_ROW4(in, gap, at) (*(const dx_cas_p_row *)(const void *)((in)[0] + (at)))
#define DX_CAS_P_ROW8(in, gap, at) __builtin_shufflevector(DX_CAS_P_ROW4(in, gap, at), \
    DX_CAS_P_ROW4((in) + (gap), gap, at), 0, 1, 2, 3, 4, 5, 6, 7)
#define DX_CAS_P_ROW16(in, gap, at) __builtin_shufflevector(DX_CAS_P_ROW8(in, gap, at), \
    DX_CAS_P_ROW8((in) + 2 * (gap), gap, at), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)

/* Compilers schedule a loop that uses all registers badly: they compute late values first, and
   spill others. DX_CAS_P_TIGHT(place, x) computes x here, into a register or memory, and nothing
   moves across. DX_CAS_P_LOOSE: for targets with plenty of registers. */
#define DX_CAS_P_TIGHT(place, x) __asm__ volatile("" : place(x))
#define DX_CAS_P_LOOSE(place, x) (void)0

/* By lanes: half of G for the four columns or, turned by 1, the diagonals. v[8] is in `spilled`
   except while it is needed, which leaves one register for the rotations. */
#define DX_CAS_P_LANES_HALF(TURN, HINT, v, spilled, word, turned, i, first, second)                \
    DX_CAS_P_UNROLL for (i = 0; i < 4; i++) {                                                      \
        v[i] += word;                                                                              \
        HINT("+v", v[i]); /* v[4] is late, so it is added last */                                  \
    }                                                                                              \
    DX_CAS_P_UNROLL for (i = 0; i < 4; i++) {                                                      \
        v[i] += v[4 + (i + turned) % 4];                                                           \
        v[12 + (i + turned * 3) % 4] ^= v[i];                                                      \
    }                                                                                              \
    DX_CAS_P_UNROLL for (i = 0; i < 4; i++) TURN(v[12 + (i + turned * 3) % 4], first);             \
    v[8] = spilled;                                                                                \
    DX_CAS_P_UNROLL for (i = 0; i < 4; i++) {                                                      \
        v[8 + (i + turned * 2) % 4] += v[12 + (i + turned * 3) % 4];                               \
        v[4 + (i + turned) % 4] ^= v[8 + (i + turned * 2) % 4];                                    \
        HINT("+v", v[4 + (i + turned) % 4]);                                                       \
    }                                                                                              \
    spilled = v[8];                                                                                \
    HINT("+m", spilled);                                                                           \
    DX_CAS_P_UNROLL for (i = 0; i < 4; i++) {                                                      \
        DX_CAS_P_BITS(v[4 + (i + turned) % 4], second);                                            \
        HINT("+v", v[4 + (i + turned) % 4]);                                                       \
    }
/* Four vectors: in squares of four words rows become columns. */
#define DX_CAS_P_TRANSPOSE(N, m, t, j, i)                                                          \
    DX_CAS_P_UNROLL for (j = 0; j < 2; j++) {                                                      \
        DX_CAS_P_UNROLL for (i = 0; i < 4; i++) t[i] = (m)[i];                                     \
        DX_CAS_P_UNROLL for (i = 0; i < 2; i++) {                                                  \
            (m)[2 * i] = DX_CAS_P_PICK##N(t[i], t[i + 2], 0, 4, 1, 5);                             \
            (m)[2 * i + 1] = DX_CAS_P_PICK##N(t[i], t[i + 2], 2, 6, 3, 7);                         \
        }                                                                                          \
    }
/* For a large message, prefetch the next N chunks. */
#define DX_CAS_P_FETCH(N, job, block, i)                                                           \
    if (job->fetch) {                                                                              \
        const uint8_t *ahead = job->in[0] + (size_t)N * (1024 + 64 * (size_t)block);               \
        DX_CAS_P_UNROLL for (i = 0; i < N; i++) __builtin_prefetch(ahead + 64 * i);                \
    }
/* NAME(job, count), one kernel for N inputs, by lanes: hashes the inputs of the job from the first
   to the last block and stores the chaining values of `count` of them. TURN is how to rotate by 16
   and 8 bits, TARGET the instruction set. low and high are the two halves of each lane's counter: a
   lane whose lower half has passed 2^32 gets the carry from a comparison, which gives -1. */
static const uint32_t dx_cas_p_lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#define DX_CAS_P_LANES(N, NAME, TURN, HINT, TARGET)                                                \
    TARGET static void NAME(const dx_cas_p_b3_job *job, size_t count)                              \
    {                                                                                              \
        const uint32_t base = (uint32_t)(job->counter & 0xffffffffu);                              \
        dx_cas_p_v##N h[8], v[16], m[16], t[4], low, high, none = {0}, done[8], spilled;           \
        size_t i, j, k, block;                                                                     \
        DX_CAS_MEMCPY(&low, dx_cas_p_lane, sizeof low);                                            \
        low = low * job->step + base;                                                              \
        high = none + (uint32_t)(job->counter >> 32) - (dx_cas_p_v##N)(low < none + base);         \
        DX_CAS_P_UNROLL for (i = 0; i < 8; i++) h[i] = none + job->key[i];                         \
        for (block = 0; block < job->blocks; block++) {                                            \
            DX_CAS_P_UNROLL for (k = 0; k < 16; k += 4) {                                          \
                DX_CAS_P_UNROLL for (i = 0; i < 4; i++) {                                          \
                    m[k + i] = DX_CAS_P_ROW##N(job->in + i, 4, 64 * block + 4 * k);                \
                }                                                                                  \
                DX_CAS_P_TRANSPOSE(N, m + k, t, j, i)                                              \
            }                                                                                      \
            HINT("+m", m);                                                                         \
            DX_CAS_P_FETCH(N, job, block, i)                                                       \
            DX_CAS_P_UNROLL for (i = 0; i < 8; i++) v[i] = h[i];                                   \
            DX_CAS_P_UNROLL for (i = 0; i < 4; i++) v[8 + i] = none + dx_cas_p_b3_iv[i];           \
            v[12] = low;                                                                           \
            v[13] = high;                                                                          \
            v[14] = none + 64u;                                                                    \
            v[15] = none + DX_CAS_P_B3_FLAGS(job->flags, block, job->blocks);                      \
            spilled = v[8];                                                                        \
            HINT("+m", spilled);                                                                   \
            DX_CAS_P_UNROLL for (k = 0; k < 14; k++) {                                             \
                const uint8_t *o = dx_cas_p_b3_order[k / 2] + k % 2 * 8;                           \
                DX_CAS_P_LANES_HALF(TURN, HINT, v, spilled, m[o[2 * i]], k % 2, i, 16, 12)         \
                DX_CAS_P_LANES_HALF(TURN, HINT, v, spilled, m[o[2 * i + 1]], k % 2, i, 8, 7)       \
            }                                                                                      \
            v[8] = spilled;                                                                        \
            DX_CAS_P_UNROLL for (i = 0; i < 8; i++) h[i] = v[i] ^ v[i + 8];                        \
        }                                                                                          \
        DX_CAS_P_TRANSPOSE(N, h, t, j, i)                                                          \
        DX_CAS_P_TRANSPOSE(N, h + 4, t, j, i)                                                      \
        DX_CAS_P_UNROLL for (i = 0; i < 8; i++) done[i] = h[i];                                    \
        for (i = 0; i < count; i++) {                                                              \
            uint8_t *out = job->out + job->out_stride * i;                                         \
            DX_CAS_MEMCPY(out, (const uint8_t *)&done[i % 4] + i / 4 * 16, 16);                    \
            DX_CAS_MEMCPY(out + 16, (const uint8_t *)&done[4 + i % 4] + i / 4 * 16, 16);           \
        }                                                                                          \
    }

/* By rows: half of G for all columns, or diagonals, of the inputs; each row is W vectors. */
#define DX_CAS_P_ROWS_HALF(TURN, HINT, v, x, W, i, first, second)                                  \
    DX_CAS_P_UNROLL for (i = 0; i < W; i++) {                                                      \
        v[i] += x[i];                                                                              \
        HINT("+v", v[i]); /* v[4] is late, so it is added last */                                  \
        v[i] += v[4 + i];                                                                          \
        v[12 + i] ^= v[i];                                                                         \
        TURN(v[12 + i], first);                                                                    \
    }                                                                                              \
    DX_CAS_P_UNROLL for (i = 0; i < W; i++) {                                                      \
        v[8 + i] += v[12 + i];                                                                     \
        v[4 + i] ^= v[8 + i];                                                                      \
        DX_CAS_P_BITS(v[4 + i], second);                                                           \
        HINT("+v", v[4 + i]);                                                                      \
    }
/* From columns to diagonals (the first four are 3, 0, 1, 2, the others 1, 2, 3, 0), or back. */
#define DX_CAS_P_ROWS_SHIFT(N, v, W, i, A, B, C, D, E, F, G, H)                                    \
    DX_CAS_P_UNROLL for (i = 0; i < W; i++) {                                                      \
        v[i] = DX_CAS_P_MIX(N, v[i], A, B, C, D);                                                  \
        v[8 + i] = DX_CAS_P_MIX(N, v[8 + i], E, F, G, H);                                          \
        v[12 + i] = DX_CAS_P_MIX(N, v[12 + i], 2, 3, 0, 1);                                        \
    }
/* The words of a message as the steps of the first round take them: those of the columns in m[0]
   and m[1], those of the diagonals in m[2] and m[3], which begin with that of row 2's first. */
#define DX_CAS_P_ROWS_LOAD(N, m, i, in, at, a, b)                                                  \
    a = DX_CAS_P_ROW##N(in, 1, at);                                                                \
    b = DX_CAS_P_ROW##N(in, 1, (at) + 16);                                                         \
    m[0][i] = DX_CAS_P_PICK##N(a, b, 0, 2, 4, 6);                                                  \
    m[1][i] = DX_CAS_P_PICK##N(a, b, 1, 3, 5, 7);                                                  \
    a = DX_CAS_P_ROW##N(in, 1, (at) + 32);                                                         \
    b = DX_CAS_P_ROW##N(in, 1, (at) + 48);                                                         \
    m[2][i] = DX_CAS_P_PICK##N(b, a, 2, 4, 6, 0);                                                  \
    m[3][i] = DX_CAS_P_PICK##N(b, a, 3, 5, 7, 1);
/* And as the next round takes them: always in the same new order, so by the same shuffles. The
   first round has 0 2 4 6, 1 3 5 7, 14 8 10 12, 15 9 11 13; the second 2 3 7 4, 6 10 0 13, 15 1
   12 9, 8 11 5 14. */
#define DX_CAS_P_ROWS_NEXT(N, m, i, p, q, s, u, a, b)                                              \
    p = m[0][i];                                                                                   \
    q = m[1][i];                                                                                   \
    s = m[2][i];                                                                                   \
    u = m[3][i];                                                                                   \
    a = DX_CAS_P_PICK##N(p, q, 2, 1, 5, 7);                                                        \
    m[0][i] = DX_CAS_P_MIX(N, a, 1, 2, 3, 0);                                                      \
    a = DX_CAS_P_PICK##N(s, u, 2, 2, 7, 7);                                                        \
    b = DX_CAS_P_MIX(N, p, 3, 3, 0, 0);                                                            \
    m[1][i] = DX_CAS_P_PICK##N(b, a, 0, 5, 2, 7);                                                  \
    a = DX_CAS_P_PICK##N(u, q, 0, 1, 4, 5);                                                        \
    b = DX_CAS_P_PICK##N(a, s, 0, 1, 2, 7);                                                        \
    m[2][i] = DX_CAS_P_MIX(N, b, 0, 2, 3, 1);                                                      \
    a = DX_CAS_P_PICK##N(q, u, 2, 6, 3, 7);                                                        \
    b = DX_CAS_P_PICK##N(s, a, 0, 4, 1, 5);                                                        \
    m[3][i] = DX_CAS_P_MIX(N, b, 2, 3, 1, 0);
/* NAME(job, count), one kernel for N / 4 * W inputs, by rows: W vectors of N words are a row. ends
   has the fourth row of each input, without the flags. */
static const uint32_t dx_cas_p_fourth[16] = {0, 0, 0, ~0u, 0, 0, 0, ~0u,
                                             0, 0, 0, ~0u, 0, 0, 0, ~0u};
#define DX_CAS_P_ROWS(N, W, NAME, TURN, HINT, TARGET)                                              \
    TARGET static void NAME(const dx_cas_p_b3_job *job, size_t count)                              \
    {                                                                                              \
        const uint8_t *key = (const uint8_t *)job->key, *iv = (const uint8_t *)dx_cas_p_b3_iv;     \
        const uint8_t *ends[N / 4 * W];                                                            \
        dx_cas_p_v4 end[N / 4 * W];                                                                \
        dx_cas_p_v##N h[4][W], v[16], m[4][W], d[W], done[4][W], a, b, p, q, s, u, none = {0};     \
        size_t block, r, i;                                                                        \
        DX_CAS_P_UNROLL for (i = 0; i < N / 4 * W; i++) {                                          \
            uint64_t counter = job->counter + (uint64_t)job->step * i;                             \
            dx_cas_p_v4 row = {(uint32_t)(counter & 0xffffffffu), (uint32_t)(counter >> 32),       \
                               job->size, 0};                                                      \
            end[i] = row;                                                                          \
            ends[i] = (const uint8_t *)&end[i];                                                    \
        }                                                                                          \
        DX_CAS_P_UNROLL for (i = 0; i < W; i++) {                                                  \
            h[0][i] = DX_CAS_P_ROW##N(&key, 0, 0);                                                 \
            h[1][i] = DX_CAS_P_ROW##N(&key, 0, 16);                                                \
            d[i] = DX_CAS_P_ROW##N(ends + N / 4 * i, 1, 0);                                        \
        }                                                                                          \
        for (block = 0; block < job->blocks; block++) {                                            \
            DX_CAS_MEMCPY(&p, dx_cas_p_fourth, sizeof p);                                          \
            p &= none + DX_CAS_P_B3_FLAGS(job->flags, block, job->blocks);                         \
            DX_CAS_P_UNROLL for (i = 0; i < W; i++) {                                              \
                DX_CAS_P_ROWS_LOAD(N, m, i, job->in + N / 4 * i, 64 * block, a, b)                 \
                v[i] = h[0][i];                                                                    \
                v[4 + i] = h[1][i];                                                                \
                v[8 + i] = DX_CAS_P_ROW##N(&iv, 0, 0);                                             \
                v[12 + i] = d[i] + p;                                                              \
            }                                                                                      \
            DX_CAS_P_UNROLL for (r = 0; r < 7; r++) {                                              \
                DX_CAS_P_ROWS_HALF(TURN, HINT, v, m[0], W, i, 16, 12)                              \
                DX_CAS_P_ROWS_HALF(TURN, HINT, v, m[1], W, i, 8, 7)                                \
                DX_CAS_P_ROWS_SHIFT(N, v, W, i, 3, 0, 1, 2, 1, 2, 3, 0)                            \
                DX_CAS_P_ROWS_HALF(TURN, HINT, v, m[2], W, i, 16, 12)                              \
                DX_CAS_P_ROWS_HALF(TURN, HINT, v, m[3], W, i, 8, 7)                                \
                DX_CAS_P_ROWS_SHIFT(N, v, W, i, 1, 2, 3, 0, 3, 0, 1, 2)                            \
                DX_CAS_P_UNROLL for (i = 0; i < W; i++) {                                          \
                    DX_CAS_P_ROWS_NEXT(N, m, i, p, q, s, u, a, b)                                  \
                }                                                                                  \
            }                                                                                      \
            DX_CAS_P_UNROLL for (i = 0; i < W; i++) {                                              \
                h[2][i] = v[8 + i] ^ h[0][i]; /* these two need the old h[0] and h[1] */           \
                h[3][i] = v[12 + i] ^ h[1][i];                                                     \
                h[0][i] = v[i] ^ v[8 + i];                                                         \
                h[1][i] = v[4 + i] ^ v[12 + i];                                                    \
            }                                                                                      \
        }                                                                                          \
        DX_CAS_MEMCPY(done, h, sizeof done);                                                       \
        for (i = 0; i < count; i++) {                                                              \
            for (r = 0; r < (job->whole ? 4u : 2u); r++) {                                         \
                DX_CAS_MEMCPY(job->out + job->out_stride * i + 16 * r,                             \
                              (const uint8_t *)done[r] + 16 * i, 16);                              \
            }                                                                                      \
        }                                                                                          \
    }

/* How to rotate: by any number of bits; by whole bytes, which is one shuffle. */
#if defined(__aarch64__)
  #define DX_CAS_P_BITS(x, n)                                                                      \
    do {                                                                                           \
        dx_cas_p_v4 left_ = x << (32 - (n));                                                       \
        __asm__("sri %0.4s, %1.4s, %2" : "+w"(left_) : "w"(x), "i"(n));                            \
        x = left_;                                                                                 \
    } while (0)
#else
  #define DX_CAS_P_BITS(x, n) DX_CAS_P_SHIFT(x, x, n)
#endif
#if defined(__ARM_NEON)
typedef uint16_t dx_cas_p_halves __attribute__((vector_size(16)));
typedef uint8_t dx_cas_p_bytes __attribute__((vector_size(16)));
  #define DX_CAS_P_REV(x) __builtin_shufflevector((dx_cas_p_halves)x, (dx_cas_p_halves)x, \
                                                  1, 0, 3, 2, 5, 4, 7, 6)
  #define DX_CAS_P_TBL(x) __builtin_shufflevector((dx_cas_p_bytes)x, (dx_cas_p_bytes)x, \
                              1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12)
  #define DX_CAS_P_BYTES(x, n) \
    x = n == 16 ? (dx_cas_p_v4)DX_CAS_P_REV(x) : (dx_cas_p_v4)DX_CAS_P_TBL(x)
DX_CAS_P_LANES(4, dx_cas_p_lanes4, DX_CAS_P_BYTES, DX_CAS_P_LOOSE, DX_CAS_P_UNCHECKED)
#elif defined(__SSE2__)
DX_CAS_P_LANES(4, dx_cas_p_lanes4, DX_CAS_P_BITS, DX_CAS_P_TIGHT, DX_CAS_P_UNCHECKED)
#else
DX_CAS_P_LANES(4, dx_cas_p_lanes4, DX_CAS_P_BITS, DX_CAS_P_LOOSE, DX_CAS_P_UNCHECKED)
#endif
#if defined(__x86_64__) || defined(__i386__)
/* In asm, because compilers use two shuffles for a rotation by bytes, or keep its mask
   in a register. */
static const uint64_t dx_cas_p_turns[2][4] __attribute__((aligned(32))) = {
    {0x0407060500030201u, 0x0c0f0e0d080b0a09u, 0x0407060500030201u, 0x0c0f0e0d080b0a09u},
    {0x0504070601000302u, 0x0d0c0f0e09080b0au, 0x0504070601000302u, 0x0d0c0f0e09080b0au}};
#define DX_CAS_P_BYTES_AVX(x, n) \
    __asm__("vpshufb %1, %0, %0" : "+x"(x) : "m"(dx_cas_p_turns[n / 16]))
#ifdef __AVX__
  #define DX_CAS_P_BYTES_SSE DX_CAS_P_BYTES_AVX
#else
  #define DX_CAS_P_BYTES_SSE(x, n) \
    __asm__("pshufb %1, %0" : "+x"(x) : "m"(dx_cas_p_turns[n / 16]))
#endif
#define DX_CAS_P_SSE41 DX_CAS_P_TARGET("sse4.1")
#define DX_CAS_P_AVX2 DX_CAS_P_TARGET("avx2")
#if defined(DX_CAS_LANES) && DX_CAS_LANES == 16 /* so that a test runs on any CPU with AVX2 */
  #define DX_CAS_P_512 DX_CAS_P_TARGET("avx2")
  #define DX_CAS_P_TIGHT_512 DX_CAS_P_LOOSE
#else
  #define DX_CAS_P_512 DX_CAS_P_TARGET("avx512f,avx512vl")
  #define DX_CAS_P_TIGHT_512 DX_CAS_P_TIGHT
#endif
DX_CAS_P_ROWS(4, 1, dx_cas_p_rows1_sse41, DX_CAS_P_BYTES_SSE, DX_CAS_P_TIGHT, DX_CAS_P_SSE41)
DX_CAS_P_ROWS(4, 2, dx_cas_p_rows2_sse41, DX_CAS_P_BYTES_SSE, DX_CAS_P_TIGHT, DX_CAS_P_SSE41)
DX_CAS_P_LANES(4, dx_cas_p_lanes4_sse41, DX_CAS_P_BYTES_SSE, DX_CAS_P_TIGHT, DX_CAS_P_SSE41)
DX_CAS_P_ROWS(8, 1, dx_cas_p_rows2_avx2, DX_CAS_P_BYTES_AVX, DX_CAS_P_TIGHT, DX_CAS_P_AVX2)
DX_CAS_P_ROWS(8, 2, dx_cas_p_rows4_avx2, DX_CAS_P_BYTES_AVX, DX_CAS_P_TIGHT, DX_CAS_P_AVX2)
DX_CAS_P_LANES(8, dx_cas_p_lanes8_avx2, DX_CAS_P_BYTES_AVX, DX_CAS_P_TIGHT, DX_CAS_P_AVX2)
DX_CAS_P_ROWS(4, 1, dx_cas_p_rows1_512, DX_CAS_P_BITS, DX_CAS_P_TIGHT_512, DX_CAS_P_512)
DX_CAS_P_ROWS(8, 1, dx_cas_p_rows2_512, DX_CAS_P_BITS, DX_CAS_P_TIGHT_512, DX_CAS_P_512)
DX_CAS_P_ROWS(16, 1, dx_cas_p_rows4_512, DX_CAS_P_BITS, DX_CAS_P_TIGHT_512, DX_CAS_P_512)
DX_CAS_P_LANES(8, dx_cas_p_lanes8_512, DX_CAS_P_BITS, DX_CAS_P_LOOSE, DX_CAS_P_512)
DX_CAS_P_LANES(16, dx_cas_p_lanes16_512, DX_CAS_P_BITS, DX_CAS_P_LOOSE, DX_CAS_P_512)
#endif

/* Each input by itself, by words. */
static void dx_cas_p_b3_words(const dx_cas_p_b3_job *job, size_t count)
{
    uint32_t words[16];
    size_t i;
    for (i = 0; i < count; i++) {
        dx_cas_p_b3_chain(words, job->key, job->in[i], job->blocks, job->size,
                          job->counter + job->step * i, job->flags);
        dx_cas_p_store_words(job->out + job->out_stride * i, words, job->whole ? 16 : 8);
    }
}

/* Instruction sets of this CPU, ascending. */
enum {
    DX_CAS_P_B3_BASE = 0,  /* those of the target, no more */
    DX_CAS_P_B3_SSE41 = 1,
    DX_CAS_P_B3_AVX2 = 2,
    DX_CAS_P_B3_AVX512 = 3,
    DX_CAS_P_B3_ZEN5 = 4   /* AVX-512, but one input is faster by words than by rows */
};
static unsigned dx_cas_p_b3_level(void)
{
#if defined(DX_CAS_LANES)
    if (DX_CAS_LANES == 16) return DX_CAS_P_B3_AVX512;
    if (DX_CAS_LANES == 8) return DX_CAS_P_B3_AVX2;
  #ifdef __SSE4_1__
    return DX_CAS_P_B3_SSE41;
  #else
    return DX_CAS_P_B3_BASE;
  #endif
#elif (defined(__x86_64__) || defined(__i386__)) && \
    (!defined(__STDC_HOSTED__) || __STDC_HOSTED__ == 1)
    /* Zen 5 is the only AMD that has vp2intersect. */
    if (__builtin_cpu_supports("avx512vp2intersect") && __builtin_cpu_is("amd")) {
        return DX_CAS_P_B3_ZEN5;
    }
    if (__builtin_cpu_supports("avx512vl")) return DX_CAS_P_B3_AVX512;
    if (__builtin_cpu_supports("avx2")) return DX_CAS_P_B3_AVX2;
    return __builtin_cpu_supports("sse4.1") ? DX_CAS_P_B3_SSE41 : DX_CAS_P_B3_BASE;
#else
    return DX_CAS_P_B3_BASE;
#endif
}

/* How many inputs to collect for one call of a kernel. */
static size_t dx_cas_p_lanes(void)
{
    unsigned level = dx_cas_p_b3_level();
    if (level >= DX_CAS_P_B3_AVX512) return 16;
    return level == DX_CAS_P_B3_AVX2 ? 8 : 4;
}

/* Run the job with the kernel for `count` inputs. A kernel with room for more gets copies of the
   first input, which avoids branches. */
static void dx_cas_p_b3_run(dx_cas_p_b3_job *job, size_t count)
{
    static dx_cas_p_b3_kernel *const kernels[][5] = { /* for 1, 2, 4, 8 and 16 inputs */
        {dx_cas_p_b3_words, dx_cas_p_b3_words, dx_cas_p_lanes4, NULL, NULL},
#if defined(__x86_64__) || defined(__i386__)
        {dx_cas_p_rows1_sse41, dx_cas_p_rows2_sse41, dx_cas_p_lanes4_sse41, NULL, NULL},
        {dx_cas_p_rows1_sse41, dx_cas_p_rows2_avx2, dx_cas_p_rows4_avx2, dx_cas_p_lanes8_avx2,
         NULL},
        {dx_cas_p_rows1_512, dx_cas_p_rows2_512, dx_cas_p_rows4_512, dx_cas_p_lanes8_512,
         dx_cas_p_lanes16_512},
        {dx_cas_p_b3_words, dx_cas_p_rows2_512, dx_cas_p_rows4_512, dx_cas_p_lanes8_512,
         dx_cas_p_lanes16_512},
#endif
    };
    unsigned power = 0;
    size_t i;
    DX_CAS_ASSERT(count > 0 && count <= dx_cas_p_lanes());
    DX_CAS_ASSERT(job->blocks > 0 && job->blocks <= 16);
    while (((size_t)1 << power) < count) power++;
    for (i = count; i < (size_t)1 << power; i++) job->in[i] = job->in[0];
    kernels[dx_cas_p_b3_level()][power](job, count);
}

/* The job for any number of inputs, stride bytes apart, to out without gaps. out may be in, or the
   32 bytes before or after it: a kernel reads all of its inputs before it writes, and outputs are
   shorter than inputs. */
static void dx_cas_p_b3_many(dx_cas_p_b3_job *job, const uint8_t *in, size_t stride, size_t count,
                             uint8_t *out)
{
    size_t lanes = dx_cas_p_lanes(), done, n, i;
    DX_CAS_ASSERT(count > 0 && stride >= 64 * (size_t)job->blocks);
    DX_CAS_ASSERT(job->out_stride == 32);
    for (done = 0; done < count; done += n, job->counter += (uint64_t)job->step * n) {
        n = count - done < lanes ? count - done : lanes;
        for (i = 0; i < n; i++) job->in[i] = in + (done + i) * stride;
        job->out = out + 32 * done;
        dx_cas_p_b3_run(job, n);
    }
}
#endif

/* >>blake3 --------------------------------------------------------------
   The hash of a message is the root of a binary tree. Its leaves are chunks of 1024 bytes, each a
   chain of up to 16 compressions of 64-byte blocks, and each inner node compresses the chaining
   values of its two children. The left child of a node is always the largest full tree (2^k chunks)
   that leaves something for the right one:

                        root                 message of 7 chunks
                     /        \
                  4              3           As chunks come in, only the roots of full subtrees are
                /   \          /   \         kept, on a stack: after 7 chunks those of 4, 2 and 1,
              2       2      2       1       one for each bit of 7 = 0b111. When a chunk is added,
             / \     / \    / \      |       trees of equal size merge, like carries when 1 is
            0   1   2   3  4   5     6       added to a binary number.

   The root is compressed with a flag of its own. So nothing is merged before it is known that more
   follows, and the last block stays in the buffer: either could turn out to be the root. */
/* A chain of blocks like dx_cas_p_b3_chain(), in the fastest way. */
static void dx_cas_p_b3_blocks(uint32_t out[16], const uint32_t cv[8], const uint8_t *in,
                               size_t blocks, uint32_t size, uint64_t counter, uint32_t flags)
{
#ifdef DX_CAS_P_SIMD
    dx_cas_p_b3_job job;
    unsigned level = dx_cas_p_b3_level();
    if (level == DX_CAS_P_B3_BASE || level == DX_CAS_P_B3_ZEN5) { /* without the job */
        dx_cas_p_b3_chain(out, cv, in, blocks, size, counter, flags);
        return;
    }
    job.in[0] = in;
    job.key = cv;
    job.out = (uint8_t *)out;
    job.out_stride = 64;
    job.counter = counter;
    job.step = 0;
    job.blocks = (unsigned)blocks;
    job.size = size;
    job.flags = flags;
    job.whole = true;
    job.fetch = false;
    dx_cas_p_b3_run(&job, 1);
#else
    dx_cas_p_b3_chain(out, cv, in, blocks, size, counter, flags);
#endif
}

/* Begin a message: key_ is set. blocks_ counts the blocks of the chunk in progress that are
   compressed already, block_ holds up to one more. */
static void dx_cas_p_b3_start(dx_cas_blake3 *h, uint8_t flags)
{
    DX_CAS_ASSERT((flags & (DX_CAS_P_B3_ROOT | DX_CAS_P_B3_PARENT)) == 0);
    DX_CAS_MEMCPY(h->chunk_, h->key_, sizeof h->key_);
    h->chunk_index_ = 0;
    h->block_size_ = h->blocks_ = h->stack_count_ = 0;
    h->flags_ = flags;
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
    DX_CAS_ASSERT(h && (context || context_size == 0));
    dx_cas_blake3_init(h);
    h->flags_ = DX_CAS_P_B3_DERIVE_CONTEXT;
    dx_cas_blake3_update(h, context, context_size);
    dx_cas_blake3_final(h, key, sizeof key);
    dx_cas_blake3_init_keyed(h, key);
    h->flags_ = DX_CAS_P_B3_DERIVE_MATERIAL;
}

/* Number of set bits: how many full subtrees v chunks leave on the stack. */
static unsigned dx_cas_p_bits(uint64_t v)
{
    unsigned n = 0;
    for (; v; v &= v - 1) n++;
    return n;
}

/* More input follows: only now merge subtrees of equal size, until as many are left as chunk_index_
   has bits. The stack holds subtrees of 2^k chunks, the largest first. */
static void dx_cas_p_b3_merge(dx_cas_blake3 *h)
{
    unsigned count = dx_cas_p_bits(h->chunk_index_);
    DX_CAS_ASSERT(h->stack_count_ <= sizeof h->stack_ / sizeof h->stack_[0]);
    DX_CAS_ASSERT(h->stack_count_ >= count);
    for (; h->stack_count_ > count; h->stack_count_--) {
        uint32_t out[16];
        uint8_t *left = h->stack_[h->stack_count_ - 2];
        dx_cas_p_b3_blocks(out, h->key_, left, 1, 64, 0, h->flags_ | (uint32_t)DX_CAS_P_B3_PARENT);
        dx_cas_p_store_words(left, out, 8);
    }
}

/* A finished subtree of `chunks` chunks, which is not the whole message or is followed by more. */
static void dx_cas_p_b3_push(dx_cas_blake3 *h, const uint8_t cv[32], uint64_t chunks)
{
    DX_CAS_ASSERT(chunks > 0 && (chunks & (chunks - 1)) == 0);
    dx_cas_p_b3_merge(h);
    DX_CAS_ASSERT(h->stack_count_ < sizeof h->stack_ / sizeof h->stack_[0]);
    DX_CAS_MEMCPY(h->stack_[h->stack_count_++], cv, 32);
    h->chunk_index_ += chunks;
}

/* Compress whole blocks, at most those that the chunk in progress still takes. More of the
   message follows them, so a full chunk goes onto the stack. */
static void dx_cas_p_b3_absorb(dx_cas_blake3 *h, const uint8_t *p, size_t size)
{
    uint32_t flags = h->flags_;
    uint8_t cv[32];
    DX_CAS_ASSERT(size > 0 && size % 64 == 0);
    DX_CAS_ASSERT(h->blocks_ + size / 64 <= 16);
    if (h->blocks_ == 0) flags |= DX_CAS_P_B3_FIRST(DX_CAS_P_B3_CHUNK_START);
    h->blocks_ = (uint8_t)(h->blocks_ + size / 64);
    if (h->blocks_ == 16) flags |= DX_CAS_P_B3_LAST(DX_CAS_P_B3_CHUNK_END);
    dx_cas_p_b3_blocks(h->chunk_, h->chunk_, p, size / 64, 64, h->chunk_index_, flags);
    if (h->blocks_ < 16) return;
    dx_cas_p_store_words(cv, h->chunk_, 8);
    dx_cas_p_b3_push(h, cv, 1);
    DX_CAS_MEMCPY(h->chunk_, h->key_, sizeof h->key_);
    h->blocks_ = 0;
}

#ifdef DX_CAS_P_SIMD
enum { DX_CAS_P_B3_BATCH = 128 }; /* max chunks hashed at once */

/* The next `chunks` whole chunks of the message, all nodes of a level side by side. The nodes of a
   level stand in cvs from 1 on; where the first one is a right child, the left one comes down from
   the stack into cvs[0]. A last one without a right child waits in `ends`:

        level 2          (4)                 7 chunks, the first one has number 1. They take node 0
        level 1      1       2     3         from the stack, then one of two chunks, and leave three
        level 0    0   1   2   3   4 ...     nodes: no node is merged that might be the root.

   Nodes of equal size that are left are merged when more of the message follows, as ever. */
static void dx_cas_p_b3_batch(dx_cas_blake3 *h, const uint8_t *p, size_t chunks)
{
    uint8_t cvs[DX_CAS_P_B3_BATCH + 2][32], ends[8][32];
    dx_cas_p_b3_job job = {{NULL}, h->key_, NULL, 32, h->chunk_index_, 1, 16, 64,
                           h->flags_ | DX_CAS_P_B3_FIRST(DX_CAS_P_B3_CHUNK_START) |
                               DX_CAS_P_B3_LAST(DX_CAS_P_B3_CHUNK_END),
                           false, chunks == DX_CAS_P_B3_BATCH};
    size_t count = chunks, first = 1, level = 0, odd = 0;
    uint64_t end = h->chunk_index_ + chunks;
    DX_CAS_ASSERT(chunks > 0 && chunks <= DX_CAS_P_B3_BATCH);
    DX_CAS_ASSERT(h->blocks_ == 0 && h->block_size_ == 0);
    dx_cas_p_b3_many(&job, p, 1024, count, cvs[1]);
    job.blocks = 1;
    job.step = 0;
    job.counter = 0;
    job.flags = h->flags_ | (uint32_t)DX_CAS_P_B3_PARENT;
    job.fetch = false;
    while (count > 2 || (count == 2 && (h->chunk_index_ > 0 || odd > 0))) {
        DX_CAS_ASSERT(level < sizeof ends / sizeof ends[0]);
        first = 1;
        if (h->chunk_index_ >> level & 1) {
            first = 0;
            count++;
            DX_CAS_MEMCPY(cvs[0], h->stack_[--h->stack_count_], 32);
            h->chunk_index_ -= (uint64_t)1 << level;
        }
        if (count % 2) DX_CAS_MEMCPY(ends[level], cvs[first + count - 1], 32);
        odd |= count % 2 << level++;
        count /= 2;
        dx_cas_p_b3_many(&job, cvs[first], 64, count, cvs[1]);
    }
    for (first = 1; first <= count; first++) {
        dx_cas_p_b3_push(h, cvs[first], (uint64_t)1 << level);
    }
    while (level-- > 0) {
        if (odd >> level & 1) dx_cas_p_b3_push(h, ends[level], (uint64_t)1 << level);
    }
    DX_CAS_ASSERT(h->chunk_index_ == end); /* what came down from the stack is part of that again */
    (void)end;
}
#endif

/* Between two chunks, and more follows: take whole chunks, if there are two or more. Returns the
   bytes taken. */
static size_t dx_cas_p_b3_subtree(dx_cas_blake3 *h, const uint8_t *p, size_t size)
{
    dx_cas_p_b3_merge(h);
#ifdef DX_CAS_P_SIMD
    size_t chunks = size / 1024;
    if (chunks > DX_CAS_P_B3_BATCH) {
        chunks = DX_CAS_P_B3_BATCH - (size_t)(h->chunk_index_ % DX_CAS_P_B3_BATCH);
    }
    if (chunks >= 2) {
        dx_cas_p_b3_batch(h, p, chunks);
        return 1024 * chunks;
    }
#endif
    (void)p;
    (void)size;
    return 0;
}

DX_CAS_API void dx_cas_blake3_update(dx_cas_blake3 *h, const void *data, size_t size)
{
    const uint8_t *p = (const uint8_t *)data;
    DX_CAS_ASSERT(h && (data || size == 0));
    DX_CAS_ASSERT(h->block_size_ <= 64 && h->blocks_ < 16);
    while (size > 0) {
        size_t take = 0;
        if (h->block_size_ == 64) { /* it is not the last block: more follows */
            dx_cas_p_b3_absorb(h, h->block_, 64);
            h->block_size_ = 0;
        }
        if (h->blocks_ + h->block_size_ == 0) take = dx_cas_p_b3_subtree(h, p, size);
        if (take == 0 && h->block_size_ == 0 && size > 64) {
            /* whole blocks from where they are, but for what may be the last one */
            take = (16u - h->blocks_) * 64u;
            if (take >= size) take = (size - 1) / 64 * 64;
            dx_cas_p_b3_absorb(h, p, take);
        } else if (take == 0) {
            take = 64u - h->block_size_;
            if (take > size) take = size;
            DX_CAS_MEMCPY(h->block_ + h->block_size_, p, take);
            h->block_size_ = (uint8_t)(h->block_size_ + take);
        }
        DX_CAS_ASSERT(take > 0 && take <= size);
        p += take;
        size -= take;
    }
}

/* Merge all that stands above the first `keep` entries of the stack, from the right to the left.
   words: what the last of these nodes gives. root: its flag, or 0; number: which 64 bytes of a
   root's output. *h is unchanged. The last node is the one that makes level == keep. */
static void dx_cas_p_b3_output(const dx_cas_blake3 *h, unsigned keep, uint32_t root,
                               uint64_t number, uint32_t words[16])
{
    unsigned level = h->stack_count_, i;
    uint32_t flags = h->flags_ | (uint32_t)DX_CAS_P_B3_CHUNK_END;
    uint8_t block[64] = {0};
    DX_CAS_ASSERT(keep <= h->stack_count_);
    if (level > keep && h->blocks_ + h->block_size_ == 0) { /* it ends with a subtree */
        level--;
        for (i = 0; i < 8; i++) words[i] = dx_cas_p_load32(h->stack_[level] + 4 * i);
    } else {
        if (h->blocks_ == 0) flags |= (uint32_t)DX_CAS_P_B3_CHUNK_START;
        DX_CAS_MEMCPY(block, h->block_, h->block_size_);
        dx_cas_p_b3_blocks(words, h->chunk_, block, 1, h->block_size_,
                           level == keep ? h->chunk_index_ + number : h->chunk_index_,
                           level == keep ? flags | root : flags);
    }
    flags = h->flags_ | (uint32_t)DX_CAS_P_B3_PARENT;
    while (level > keep) {
        DX_CAS_MEMCPY(block, h->stack_[--level], 32);
        dx_cas_p_store_words(block + 32, words, 8);
        dx_cas_p_b3_blocks(words, h->key_, block, 1, 64, level == keep ? number : 0,
                           level == keep ? flags | root : flags);
    }
}

DX_CAS_API void dx_cas_blake3_final(const dx_cas_blake3 *h, void *out, size_t size)
{
    uint8_t bytes[64], *to = (uint8_t *)out;
    uint32_t words[16];
    uint64_t number;
    DX_CAS_ASSERT(h);
    DX_CAS_ASSERT(out || size == 0);
    for (number = 0; size > 0; number++) {
        size_t take = size < 64 ? size : 64;
        dx_cas_p_b3_output(h, 0, DX_CAS_P_B3_ROOT, number, words);
        dx_cas_p_store_words(bytes, words, 16);
        DX_CAS_MEMCPY(to, bytes, take);
        to += take;
        size -= take;
    }
}

DX_CAS_API int dx_cas_blake3_part(const dx_cas_blake3 *mode, uint64_t offset, const void *data,
                                  size_t size, uint8_t out[32])
{
    dx_cas_blake3 h;
    uint32_t words[16];
    uint64_t span = 1024; /* size rounded up to a power of two; 0: above 2^63 */
    while (span < size && span != 0) span *= 2;
    if (!mode || !data || !out || size == 0 || (offset & (span - 1))) return DX_CAS_EINVAL;
    DX_CAS_MEMCPY(h.key_, mode->key_, sizeof h.key_);
    dx_cas_p_b3_start(&h, mode->flags_);
    DX_CAS_ASSERT((mode->flags_ & (DX_CAS_P_B3_ROOT | DX_CAS_P_B3_PARENT)) == 0);
    h.chunk_index_ = offset / 1024; /* what comes before stands on the stack, and stays there */
    h.stack_count_ = (uint8_t)dx_cas_p_bits(h.chunk_index_);
    dx_cas_blake3_update(&h, data, size);
    dx_cas_p_b3_output(&h, dx_cas_p_bits(offset / 1024), 0, 0, words);
    dx_cas_p_store_words(out, words, 8);
    return DX_CAS_OK;
}

DX_CAS_API void dx_cas_blake3_join(const dx_cas_blake3 *mode, const uint8_t parts[64], bool root,
                                   uint8_t out[32])
{
    uint32_t words[16], flags = mode->flags_ | (uint32_t)DX_CAS_P_B3_PARENT;
    DX_CAS_ASSERT(mode && parts && out);
    if (root) flags |= (uint32_t)DX_CAS_P_B3_ROOT;
    dx_cas_p_b3_blocks(words, mode->key_, parts, 1, 64, 0, flags);
    dx_cas_p_store_words(out, words, 8);
}

/* The plain hash of a message of one chunk, without the state for a larger one: in many stores most
   objects are small. */
static void dx_cas_p_b3_chunk(const uint8_t *p, size_t size, uint8_t out[32])
{
    uint32_t words[16], flags = (uint32_t)DX_CAS_P_B3_CHUNK_END | (uint32_t)DX_CAS_P_B3_ROOT;
    uint8_t block[64];
    const uint8_t *last = p; /* the last block: where it stands, or filled up with zeros */
    size_t whole = size > 64 ? (size - 1) / 64 : 0, rest = size - 64 * whole;
    DX_CAS_ASSERT(size <= 1024 && (p || size == 0));
    DX_CAS_ASSERT(rest <= 64);
    dx_cas_p_blake3_iv(words);
    if (whole == 0) flags |= (uint32_t)DX_CAS_P_B3_CHUNK_START;
    else dx_cas_p_b3_blocks(words, words, p, whole, 64, 0,
                            DX_CAS_P_B3_FIRST(DX_CAS_P_B3_CHUNK_START));
    if (whole) last += 64 * whole;
    if (rest < 64) {
        if (rest) DX_CAS_MEMCPY(block, last, rest);
        DX_CAS_MEMSET(block + rest, 0, sizeof block - rest);
        last = block;
    }
    dx_cas_p_b3_blocks(words, words, last, 1, (uint32_t)rest, 0, flags);
    dx_cas_p_store_words(out, words, 8);
}

DX_CAS_API void dx_cas_hash(const void *data, size_t size, dx_cas_id *out)
{
    dx_cas_hasher h;
    DX_CAS_ASSERT(out && (data || size == 0));
    if (DX_CAS_P_HASH_NUMBER == 1 && size <= 1024) { /* BLAKE3, one chunk */
        dx_cas_p_b3_chunk((const uint8_t *)data, size, out->bytes);
        return;
    }
    DX_CAS_P_HASH(init)(&h);
    DX_CAS_P_HASH(update)(&h, data, size);
    DX_CAS_P_HASH(final)(&h, out->bytes, sizeof out->bytes);
}

#if defined(DX_CAS_P_SIMD) && DX_CAS_P_HASH_NUMBER == 1
/* Messages of equal size in whole blocks, up to 16 KiB, side by side: chunk by chunk the same
   chunk of each message, then the parents that are due. Each message has a stack of its own, all
   of them equally high. After the last chunk everything merges, and the last merge is the root. */
static void dx_cas_p_b3_side_by_side(const void *const *data, size_t size, size_t count,
                                     size_t lanes, dx_cas_id *out)
{
    uint8_t stacks[16][5 * 32]; /* 5: the last of 16 chunks stands on 4 subtrees */
    uint32_t key[8], root = DX_CAS_P_B3_LAST(DX_CAS_P_B3_ROOT);
    dx_cas_p_b3_job leaf = {{NULL}, key, NULL, sizeof stacks[0], 0, 0, 16, 64,
                            DX_CAS_P_B3_FIRST(DX_CAS_P_B3_CHUNK_START) |
                                DX_CAS_P_B3_LAST(DX_CAS_P_B3_CHUNK_END), false, false};
    dx_cas_p_b3_job node = {{NULL}, key, NULL, sizeof stacks[0], 0, 0, 1, 64,
                            DX_CAS_P_B3_PARENT, false, false};
    size_t at, high = 0, low, i;
    DX_CAS_ASSERT(size > 0 && size <= 16384 && size % 64 == 0);
    DX_CAS_ASSERT(count > 0 && count <= lanes);
    (void)lanes;
    dx_cas_p_blake3_iv(key);
    if (size <= 1024) leaf.flags |= root;
    for (at = 0; at < size; at += 1024, leaf.counter++) {
        if (size - at < 1024) leaf.blocks = (unsigned)(size - at) / 64;
        for (i = 0; i < count; i++) leaf.in[i] = (const uint8_t *)data[i] + at;
        leaf.out = stacks[0] + 32 * high++;
        dx_cas_p_b3_run(&leaf, count);
        low = size - at <= 1024 ? 1 : dx_cas_p_bits(leaf.counter + 1);
        for (; high > low; high--) {
            if (size - at <= 1024 && high == 2) node.flags |= root;
            for (i = 0; i < count; i++) node.in[i] = stacks[i] + 32 * (high - 2);
            node.out = stacks[0] + 32 * (high - 2);
            dx_cas_p_b3_run(&node, count);
        }
    }
    for (i = 0; i < count; i++) DX_CAS_MEMCPY(out[i].bytes, stacks[i], 32);
}
#endif

DX_CAS_API void dx_cas_hash_many(const void *const *data, const size_t *sizes, size_t count,
                                 dx_cas_id *out)
{
    size_t i = 0;
    DX_CAS_ASSERT(count == 0 || (data && sizes && out));
#if defined(DX_CAS_P_SIMD) && DX_CAS_P_HASH_NUMBER == 1
    size_t lanes = dx_cas_p_lanes(), n;
    for (; i < count; i += n) {
        size_t size = sizes[i], calls = (size + 1023) / 1024;
        /* Side by side costs a call of a kernel for each chunk, for all n messages together; one
           by one a message costs calls / lanes of them, rounded up. */
        for (n = 1; n < lanes && i + n < count && sizes[i + n] == size;) n++;
        if (n > 1 && size - 1 < 16384 && size % 64 == 0 &&
            calls <= n * ((calls + lanes - 1) / lanes)) {
            dx_cas_p_b3_side_by_side(data + i, size, n, lanes, out + i);
        } else {
            dx_cas_hash(data[i], size, &out[i]);
            n = 1;
        }
    }
#endif
    for (; i < count; i++) dx_cas_hash(data[i], sizes[i], &out[i]);
}

/* strlen(), which a freestanding C library need not have. */
static size_t dx_cas_p_length(const char *text)
{
    size_t size = 0;
    DX_CAS_ASSERT(text);
    while (text[size]) size++;
    return size;
}

DX_CAS_API void dx_cas_id_to_hex(const dx_cas_id *id, char out[65])
{
    static const char digits[] = "0123456789abcdef";
    unsigned i;
    DX_CAS_ASSERT(id && out);
    for (i = 0; i < 64; i++) out[i] = digits[id->bytes[i / 2] >> (i & 1 ? 0 : 4) & 15];
    out[64] = 0;
}

DX_CAS_API int dx_cas_id_from_hex(const char *text, dx_cas_id *out)
{
    unsigned i;
    if (!text || !out) return DX_CAS_EINVAL;
    for (i = 0; i < 64; i++) {
        unsigned c = (unsigned char)text[i];
        unsigned letter = (c | 32u) - 'a'; /* 0..5 for a to f and A to F */
        unsigned digit = letter < 6 ? letter + 10 : c - '0';
        if (digit > 9 && letter >= 6) return DX_CAS_EINVAL; /* also at the NUL of a short text */
        out->bytes[i / 2] = (uint8_t)(i & 1 ? out->bytes[i / 2] | digit : digit << 4);
    }
    return text[64] ? DX_CAS_EINVAL : DX_CAS_OK;
}

DX_CAS_API bool dx_cas_id_equal(const dx_cas_id *a, const dx_cas_id *b)
{
    DX_CAS_ASSERT(a && b);
    return DX_CAS_MEMCMP(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

DX_CAS_API const char *dx_cas_error_name(int error)
{
    switch (error) {
#define DX_CAS_P_CASE(value, constant) case value: return "DX_CAS_" #constant;
    DX_CAS_ERRORS(DX_CAS_P_CASE)
#undef DX_CAS_P_CASE
    default: return "unknown error";
    }
}

/* >>chunker -------------------------------------------------------------
   The content decides where a chunk ends, not the offset: an insertion only shifts later cuts, and
   only the chunks that it touches change. A rolling gear hash covers the bytes,

       hash = (hash << 1) + gear[byte]          gear: 256 words of 64 bits, derived from desc.key

   and a chunk ends after a byte where the masked upper bits of the hash are zero. After 64 shifts
   a byte has left the hash, so a cut depends only on the 64 bytes before it.

       0            size_min            size_avg                    size_max
       |--- no cut ----|---- hard mask ----|------ easy mask ----------|  cut in any case
                       4 times as rare as   4 times as frequent as 1 in size_avg

   Two masks concentrate sizes around size_avg (FastCDC: normalised chunking). */
/* *p = *desc with defaults in place of zeros; false: desc is invalid. */
static bool dx_cas_p_chunker_params(const dx_cas_chunker_desc *desc, dx_cas_chunker_desc *p)
{
    DX_CAS_ASSERT(p);
    if (desc) *p = *desc;
    else DX_CAS_MEMSET(p, 0, sizeof *p);
    if (p->size_avg == 0) p->size_avg = 65536;
    if (p->mode == DX_CAS_CHUNK_FIXED) {
        p->size_min = p->size_max = p->size_avg;
        return p->size_avg <= (uint32_t)1 << 30;
    }
    if (p->mode != DX_CAS_CHUNK_CONTENT) return false;
    if (p->size_avg < 256 || p->size_avg > (uint32_t)1 << 28 || (p->size_avg & (p->size_avg - 1))) {
        return false;
    }
    if (p->size_min == 0) p->size_min = p->size_avg / 4;
    if (p->size_max == 0) p->size_max = p->size_avg * 4;
    return p->size_min >= 64 && p->size_min <= p->size_avg && p->size_avg <= p->size_max &&
           p->size_max <= (uint32_t)1 << 30;
}

DX_CAS_API int dx_cas_chunker_init(dx_cas_chunker *c, const dx_cas_chunker_desc *desc)
{
    dx_cas_blake3 h;
    uint8_t bytes[2048];
    unsigned bits = 0; /* size_avg is 1 << bits, or with fixed sizes a little more */
    unsigned i;
    if (!c || !dx_cas_p_chunker_params(desc, &c->desc_)) return DX_CAS_EINVAL;
    while (((uint32_t)2 << bits) <= c->desc_.size_avg) bits++;
    /* The highest bits of the hash depend on the last 64 bytes, the lowest on one. */
    c->mask_hard_ = ~(uint64_t)0 << (64 - (bits + 2));
    c->mask_easy_ = ~(uint64_t)0 << (64 - (bits < 3 ? 1 : bits - 2));
    dx_cas_blake3_init_derive(&h, "dx_cas v1 gear table", 20);
    if (c->desc_.key) dx_cas_blake3_update(&h, c->desc_.key, 32);
    dx_cas_blake3_final(&h, bytes, sizeof bytes);
    DX_CAS_ASSERT(sizeof bytes == sizeof c->gear_);
    DX_CAS_ASSERT((c->mask_hard_ & c->mask_easy_) == c->mask_easy_ && c->mask_easy_ != 0);
    for (i = 0; i < 256; i++) c->gear_[i] = dx_cas_p_load64(bytes + 8 * i);
    dx_cas_chunker_reset(c);
    return DX_CAS_OK;
}

DX_CAS_API void dx_cas_chunker_reset(dx_cas_chunker *c)
{
    DX_CAS_ASSERT(c);
    c->hash_ = 0;
    c->fill_ = 0;
}

/* Roll over bytes until the chunk has `until` of them or the masked hash is zero (then *cut).
   Returns how many.

   Each step of the hash waits for the one before, so two places roll at once, FAR bytes apart. The
   farther one needs no state from the nearer: it starts 64 bytes early and then has the hash that
   the nearer one would bring there.

        i            i + FAR        i + 2 FAR
        |--- hash --->|--- ahead --->|        nearer: hash, farther: ahead

   A cut of the nearer one comes first. One of the farther stops both, too: the nearer may still
   meet one before it, and the plain loop at the end finds out. */
enum { DX_CAS_P_FAR = 1024 };
static size_t dx_cas_p_roll(dx_cas_chunker *c, const uint8_t *p, size_t size, uint32_t until,
                            uint64_t mask, bool *cut)
{
    uint64_t hash = c->hash_, ahead;
    size_t n = until > c->fill_ ? until - c->fill_ : 0; /* bytes to roll over, at most */
    size_t i = 0, k = DX_CAS_P_FAR; /* k < FAR: one of the two has met a cut */
    DX_CAS_ASSERT(mask != 0);
    if (n > size) n = size;
    while (k == DX_CAS_P_FAR && n - i >= 2 * DX_CAS_P_FAR) {
        const uint8_t *near_p = p + i, *far_p = near_p + DX_CAS_P_FAR;
        for (ahead = 0, k = DX_CAS_P_FAR - 64; k < DX_CAS_P_FAR; k++) {
            ahead = (ahead << 1) + c->gear_[near_p[k]];
        }
        for (k = 0; k < DX_CAS_P_FAR; k++) {
            hash = (hash << 1) + c->gear_[near_p[k]];
            ahead = (ahead << 1) + c->gear_[far_p[k]];
            if ((hash & mask) == 0 || (ahead & mask) == 0) break;
        }
        i += k < DX_CAS_P_FAR ? k + 1 : 2 * DX_CAS_P_FAR;
        if (k == DX_CAS_P_FAR) hash = ahead;
    }
    DX_CAS_ASSERT(i <= n);
    *cut = i > 0 && (hash & mask) == 0; /* if not, what follows meets the far one */
    for (; i < n && !*cut; i++) {
        hash = (hash << 1) + c->gear_[p[i]];
        *cut = (hash & mask) == 0;
    }
    c->hash_ = hash;
    c->fill_ += (uint32_t)i;
    return i;
}

DX_CAS_API size_t dx_cas_chunker_next(dx_cas_chunker *c, const void *data, size_t size, bool *cut)
{
    const uint8_t *p = (const uint8_t *)data;
    uint32_t max = c->desc_.size_max;
    size_t used = 0;
    bool found = false;
    DX_CAS_ASSERT(c && max > 0 && c->fill_ < max);
    DX_CAS_ASSERT(cut && (data || size == 0));
    if (c->desc_.mode == DX_CAS_CHUNK_FIXED) {
        used = max - c->fill_ < size ? max - c->fill_ : size;
        c->fill_ += (uint32_t)used;
    } else {
        /* No byte before size_min can end the chunk; the last 63 of them fill the hash. */
        if (c->fill_ < c->desc_.size_min - 64) {
            used = c->desc_.size_min - 64 - c->fill_;
            if (used > size) used = size;
            c->fill_ += (uint32_t)used;
        }
        for (; used < size && c->fill_ < c->desc_.size_min - 1; used++, c->fill_++) {
            c->hash_ = (c->hash_ << 1) + c->gear_[p[used]];
        }
        used += dx_cas_p_roll(c, p + used, size - used, c->desc_.size_avg, c->mask_hard_, &found);
        if (!found) used += dx_cas_p_roll(c, p + used, size - used, max, c->mask_easy_, &found);
    }
    *cut = found || c->fill_ == max;
    DX_CAS_ASSERT(used <= size && c->fill_ <= max && (used > 0 || size == 0));
    if (*cut) dx_cas_chunker_reset(c);
    return used;
}

/* >>file ----------------------------------------------------------------
   A store in one file. Windows and POSIX give six primitives each (dx_cas_p_sys_open, _move and
   the rest, chosen at compile time); what follows them is common. Reads and writes are
   positional, so no file offset is shared between the threads or processes that use the file.

   The writer's lock belongs to the open file and dies with the process: flock() on POSIX, a
   range of one byte on Windows. After taking it, the path is checked again: a compacted store may
   have been renamed over the file meanwhile, and the lock would be on a file without a name. */
#ifndef DX_CAS_NO_FILE
#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
  #define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
  #define NOMINMAX
#endif
#include <windows.h>
#define DX_CAS_P_SYS_BARRIER NULL
#define DX_CAS_P_SYS_CLOSE(file) CloseHandle((HANDLE)(file))
#define DX_CAS_P_SYS_ERROR ((int)GetLastError())
#define DX_CAS_P_SYS_FULL(e) ((e) == ERROR_DISK_FULL || (e) == ERROR_HANDLE_DISK_FULL)
#define DX_CAS_P_SYS_ABSENT(e) ((e) == ERROR_FILE_NOT_FOUND || (e) == ERROR_PATH_NOT_FOUND)
#define DX_CAS_P_SYS_LOCKED(e) ((e) == ERROR_LOCK_VIOLATION || (e) == ERROR_SHARING_VIOLATION)

#else /* POSIX */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
#if defined(__GLIBC__) && (defined(__GNUC__) || defined(__clang__))
/* glibc hides some of these under -std=c99 and gives 32-bit programs 32-bit offsets, unless
   macros are defined before the first include, which a header cannot do. So they are declared
   here under names of our own, bound to the symbols that glibc has had since 2.1. */
#ifdef __cplusplus
extern "C" {
#endif
extern int dx_cas_p_libc_open(const char *path, int flags, ...) __asm__("open64");
extern ssize_t dx_cas_p_libc_pread(int fd, void *out, size_t n, int64_t at) __asm__("pread64");
extern ssize_t dx_cas_p_libc_pwrite(int fd, const void *in, size_t n, int64_t at)
    __asm__("pwrite64");
extern int dx_cas_p_libc_truncate(int fd, int64_t size) __asm__("ftruncate64");
extern int64_t dx_cas_p_libc_seek(int fd, int64_t offset, int whence) __asm__("lseek64");
extern int dx_cas_p_libc_lock(int fd, int operation) __asm__("flock");
extern int dx_cas_p_libc_datasync(int fd) __asm__("fdatasync");
#ifdef __cplusplus
}
#endif
#else
#include <sys/file.h>
#define dx_cas_p_libc_open open
#define dx_cas_p_libc_pread pread
#define dx_cas_p_libc_pwrite pwrite
#define dx_cas_p_libc_truncate ftruncate
#define dx_cas_p_libc_seek lseek
#define dx_cas_p_libc_lock flock
#define dx_cas_p_libc_datasync fsync
#endif
#if defined(O_CLOEXEC)
  #define DX_CAS_P_CLOEXEC O_CLOEXEC
#elif defined(__O_CLOEXEC)
  #define DX_CAS_P_CLOEXEC __O_CLOEXEC
#else
  #define DX_CAS_P_CLOEXEC 0
#endif
/* LOCK_EX | LOCK_NB of <sys/file.h>, the same everywhere, which glibc may hide */
#define DX_CAS_P_LOCK (2 | 4)
#define DX_CAS_P_SYS_CLOSE(file) close((int)(file))
#define DX_CAS_P_SYS_ERROR errno
#define DX_CAS_P_SYS_FULL(e) ((e) == ENOSPC || (e) == EFBIG || (e) == EDQUOT)
#define DX_CAS_P_SYS_ABSENT(e) ((e) == ENOENT)
#define DX_CAS_P_SYS_LOCKED(e) ((e) == EWOULDBLOCK)
#define DX_CAS_P_SYS_LACKS(e) ((e) == ENOTSUP || (e) == EINVAL || (e) == ENOTTY)
#endif

DX_CAS_API void dx_cas_file_close(dx_cas_file *f)
{
    DX_CAS_ASSERT(f);
    if (f->handle_ != -1) DX_CAS_P_SYS_CLOSE(f->handle_);
    f->handle_ = -1; /* INVALID_HANDLE_VALUE */
}

/* Errors of the system as those of a device; f->system_error keeps the number. */
static int dx_cas_p_file_result(dx_cas_file *f, bool ok)
{
    DX_CAS_ASSERT(f);
    if (ok) return DX_CAS_OK;
    f->system_error = DX_CAS_P_SYS_ERROR;
    if (DX_CAS_P_SYS_FULL(f->system_error)) return DX_CAS_ENOSPACE;
    if (DX_CAS_P_SYS_ABSENT(f->system_error)) return DX_CAS_ENOTFOUND;
    return DX_CAS_P_SYS_LOCKED(f->system_error) ? DX_CAS_ELOCKED : DX_CAS_ESYS;
}

#if defined(_WIN32)
/* One read (into out) or write (of in) at an offset. False: the system reports an error. */
static bool dx_cas_p_sys_move(intptr_t file, uint64_t offset, void *out, const void *in,
                              size_t size, size_t *n)
{
    OVERLAPPED at;
    DWORD done = 0;
    BOOL ok;
    DX_CAS_ASSERT((in == NULL) != (out == NULL) && size <= 0x40000000u);
    DX_CAS_MEMSET(&at, 0, sizeof at);
    at.Offset = (DWORD)(offset & 0xffffffffu);
    at.OffsetHigh = (DWORD)(offset >> 32);
    ok = in ? WriteFile((HANDLE)file, in, (DWORD)size, &done, &at)
            : ReadFile((HANDLE)file, out, (DWORD)size, &done, &at);
    *n = done;
    return ok || (!in && GetLastError() == ERROR_HANDLE_EOF);
}

static int dx_cas_p_file_sync(void *user)
{
    dx_cas_file *f = (dx_cas_file *)user;
    DX_CAS_ASSERT(f->handle_ != -1);
    return dx_cas_p_file_result(f, FlushFileBuffers((HANDLE)f->handle_) != 0);
}

static int dx_cas_p_file_size(void *user, uint64_t *size)
{
    dx_cas_file *f = (dx_cas_file *)user;
    LARGE_INTEGER n;
    DX_CAS_ASSERT(f->handle_ != -1);
    n.QuadPart = 0;
    if (!GetFileSizeEx((HANDLE)f->handle_, &n)) return dx_cas_p_file_result(f, false);
    *size = (uint64_t)n.QuadPart;
    return DX_CAS_OK;
}

static int dx_cas_p_file_truncate(void *user, uint64_t size)
{
    dx_cas_file *f = (dx_cas_file *)user;
    LARGE_INTEGER n;
    DX_CAS_ASSERT(f->handle_ != -1);
    n.QuadPart = (LONGLONG)size;
    return dx_cas_p_file_result(f, SetFilePointerEx((HANDLE)f->handle_, n, NULL, FILE_BEGIN) != 0 &&
                                       SetEndOfFile((HANDLE)f->handle_) != 0);
}

/* The lock covers one byte far beyond any data, because locks on Windows also stop readers. */
static bool dx_cas_p_sys_open(dx_cas_file *f, const char *path, bool write, bool create,
                              bool *again)
{
    WCHAR wide[1024];
    OVERLAPPED at;
    *again = false;
    if (!MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, 1024)) return false;
    f->handle_ = (intptr_t)CreateFileW(wide, GENERIC_READ | (write ? GENERIC_WRITE : 0),
                                       FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                                       create ? OPEN_ALWAYS : OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL,
                                       NULL);
    if (f->handle_ == -1 || !write) return f->handle_ != -1;
    DX_CAS_MEMSET(&at, 0, sizeof at);
    at.OffsetHigh = (DWORD)1 << 30;
    return LockFileEx((HANDLE)f->handle_, LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0, 1,
                      0, &at) != 0;
}

DX_CAS_API int dx_cas_file_sync_folder(const char *path)
{
    return path ? DX_CAS_OK : DX_CAS_EINVAL;
}

DX_CAS_API bool dx_cas_file_moved(const dx_cas_file *f, const char *path)
{
    BY_HANDLE_FILE_INFORMATION opened, named;
    WCHAR wide[1024];
    HANDLE there;
    BOOL ok;
    if (!f || !path) return false;
    if (!MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, 1024)) return false;
    there = CreateFileW(wide, 0, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                        OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    if (there == INVALID_HANDLE_VALUE) return !DX_CAS_P_SYS_ABSENT(GetLastError());
    ok = GetFileInformationByHandle(there, &named) &&
         GetFileInformationByHandle((HANDLE)f->handle_, &opened);
    CloseHandle(there);
    return !ok || opened.dwVolumeSerialNumber != named.dwVolumeSerialNumber ||
           opened.nFileIndexHigh != named.nFileIndexHigh ||
           opened.nFileIndexLow != named.nFileIndexLow;
}
#else
/* One read (into out) or write (of in) at an offset. False: the system reports an error. */
static bool dx_cas_p_sys_move(intptr_t file, uint64_t offset, void *out, const void *in,
                              size_t size, size_t *n)
{
    ssize_t done;
    DX_CAS_ASSERT((in == NULL) != (out == NULL) && size <= 0x40000000u);
    do {
        done = in ? dx_cas_p_libc_pwrite((int)file, in, size, (int64_t)offset)
                  : dx_cas_p_libc_pread((int)file, out, size, (int64_t)offset);
    } while (done < 0 && errno == EINTR);
    *n = done < 0 ? 0 : (size_t)done;
    return done >= 0;
}

static int dx_cas_p_file_sync(void *user)
{
    dx_cas_file *f = (dx_cas_file *)user;
    int result;
    DX_CAS_ASSERT(f->handle_ != -1);
#if defined(__APPLE__) && defined(F_FULLFSYNC)
    if (fcntl((int)f->handle_, F_FULLFSYNC) == 0) return DX_CAS_OK;
    /* only if the file system lacks it: after a failure a weaker sync proves nothing */
    if (!DX_CAS_P_SYS_LACKS(errno)) return dx_cas_p_file_result(f, false);
#endif
    while ((result = dx_cas_p_libc_datasync((int)f->handle_)) != 0 && errno == EINTR) {}
    return dx_cas_p_file_result(f, result == 0);
}

#if defined(__APPLE__) && defined(F_BARRIERFSYNC)
static int dx_cas_p_file_barrier(void *user)
{
    dx_cas_file *f = (dx_cas_file *)user;
    if (fcntl((int)f->handle_, F_BARRIERFSYNC) == 0) return DX_CAS_OK;
    return DX_CAS_P_SYS_LACKS(errno) ? dx_cas_p_file_sync(user) : dx_cas_p_file_result(f, false);
}
#define DX_CAS_P_SYS_BARRIER dx_cas_p_file_barrier
#else
#define DX_CAS_P_SYS_BARRIER NULL
#endif

static int dx_cas_p_file_size(void *user, uint64_t *size)
{
    dx_cas_file *f = (dx_cas_file *)user;
    int64_t n = dx_cas_p_libc_seek((int)f->handle_, 0, SEEK_END);
    DX_CAS_ASSERT(f->handle_ != -1);
    *size = n < 0 ? 0 : (uint64_t)n;
    return dx_cas_p_file_result(f, n >= 0);
}

static int dx_cas_p_file_truncate(void *user, uint64_t size)
{
    dx_cas_file *f = (dx_cas_file *)user;
    int fd = (int)f->handle_, result;
    DX_CAS_ASSERT(f->handle_ != -1);
    while ((result = dx_cas_p_libc_truncate(fd, (int64_t)size)) != 0 && errno == EINTR) {}
    return dx_cas_p_file_result(f, result == 0);
}

DX_CAS_API int dx_cas_file_sync_folder(const char *path)
{
    char folder[4096] = ".";
    size_t size, slash = 0; /* bytes of the folder, its last slash included */
    int fd, result;
    if (!path) return DX_CAS_EINVAL;
    for (size = 0; path[size]; size++) {
        if (path[size] == '/') slash = size + 1;
    }
    if (slash >= sizeof folder) return DX_CAS_ETOOBIG;
    if (slash) DX_CAS_MEMCPY(folder, path, slash); /* the rest is zero */
    fd = dx_cas_p_libc_open(folder, O_RDONLY | DX_CAS_P_CLOEXEC);
    if (fd < 0) return DX_CAS_ESYS;
    result = dx_cas_p_libc_datasync(fd);
    if (result != 0 && errno == EINVAL) result = 0; /* a file system without folder sync */
    close(fd);
    return result == 0 ? DX_CAS_OK : DX_CAS_ESYS;
}

DX_CAS_API bool dx_cas_file_moved(const dx_cas_file *f, const char *path)
{
    struct stat opened, named;
    if (!f || !path) return false;
    if (stat(path, &named) != 0) return errno != ENOENT;
    if (fstat((int)f->handle_, &opened) != 0) return true; /* large files in 32-bit programs */
    return opened.st_ino != named.st_ino || opened.st_dev != named.st_dev;
}

/* Open and lock. *again: repeat, because the path now leads to another file (it was compacted). */
static bool dx_cas_p_sys_open(dx_cas_file *f, const char *path, bool write, bool create,
                              bool *again)
{
    struct stat opened, named;
    int flags = (write ? O_RDWR : O_RDONLY) | DX_CAS_P_CLOEXEC;
    int fd = dx_cas_p_libc_open(path, flags);
    *again = fd < 0 && errno == EINTR;
    if (fd < 0 && errno == ENOENT && create) {
        fd = dx_cas_p_libc_open(path, flags | O_CREAT | O_EXCL, 0666);
        *again = fd < 0 && errno == EEXIST;
    }
    DX_CAS_ASSERT(f->handle_ == -1);
    f->handle_ = fd;
    if (fd < 0 || !write) return fd >= 0;
    while (dx_cas_p_libc_lock(fd, DX_CAS_P_LOCK) != 0) {
        if (errno != EINTR) return false;
    }
    /* stat may refuse large files in 32-bit programs: then skip this check */
    if (fstat(fd, &opened) == 0) {
        if (stat(path, &named) != 0) *again = errno == ENOENT;
        else *again = opened.st_ino != named.st_ino || opened.st_dev != named.st_dev;
    }
    /* the process that made or renamed the file may have died before the folder was durable */
    return *again || dx_cas_file_sync_folder(path) == DX_CAS_OK;
}
#endif

DX_CAS_API int dx_cas_file_open(dx_cas_file *f, const char *path, uint32_t mode)
{
    bool write = (mode & DX_CAS_WRITE) != 0, again = true;
    int tries; /* each failed one is a compaction that ended meanwhile */
    if (!f || !path) return DX_CAS_EINVAL;
    f->handle_ = -1;
    f->system_error = 0;
    for (tries = 0; again && tries < 16; tries++) {
        bool ok = dx_cas_p_sys_open(f, path, write, write && (mode & DX_CAS_CREATE), &again);
        int error = dx_cas_p_file_result(f, ok);
        if (error == DX_CAS_OK && !again) return DX_CAS_OK;
        dx_cas_file_close(f);
        if (!again) return error;
    }
    return DX_CAS_ELOCKED;
}

/* All of it, or to the end of the file, in calls of at most 1 GiB: more is not portable. out:
   read, in: write; *done counts the bytes. */
static int dx_cas_p_file_move(void *user, uint64_t offset, void *out, const void *in, size_t size,
                              size_t *done)
{
    dx_cas_file *f = (dx_cas_file *)user;
    size_t n = 1;
    DX_CAS_ASSERT((in == NULL) != (out == NULL) && f->handle_ != -1);
    for (*done = 0; *done < size && n > 0; *done += n) {
        size_t want = size - *done;
        if (want > 0x40000000u) want = 0x40000000u;
        DX_CAS_P_TRY(dx_cas_p_file_result(
            f, dx_cas_p_sys_move(f->handle_, offset + *done, out ? (uint8_t *)out + *done : NULL,
                                 in ? (const uint8_t *)in + *done : NULL, want, &n)));
    }
    return DX_CAS_OK;
}

static int dx_cas_p_file_read(void *user, uint64_t offset, void *out, size_t size, size_t *got)
{
    return dx_cas_p_file_move(user, offset, out, NULL, size, got);
}

static int dx_cas_p_file_write(void *user, uint64_t offset, const void *data, size_t size)
{
    size_t done = 0;
    DX_CAS_P_TRY(dx_cas_p_file_move(user, offset, NULL, data, size, &done));
    return done == size ? DX_CAS_OK : DX_CAS_ENOSPACE;
}

DX_CAS_API dx_cas_device dx_cas_file_device(dx_cas_file *f)
{
    dx_cas_device d = {dx_cas_p_file_read, dx_cas_p_file_write, dx_cas_p_file_sync,
                       dx_cas_p_file_size, dx_cas_p_file_truncate, f, DX_CAS_P_SYS_BARRIER};
    DX_CAS_ASSERT(f);
    return d;
}
#endif /* DX_CAS_NO_FILE */

/* >>format --------------------------------------------------------------
   The layout of a store (docs/formats/cas.md is normative): a header, then a log of consecutive
   records, each at a multiple of the store's alignment:

       0        64       128
       | header | header | blob | blob | list | ref | commit | blob | ref | commit |  zeros
         copy 1   copy 2                              |   |                 |   |
                                                      two copies: 64 bytes each

       record   |  header, 64 bytes              |  payload  | zeros up to the alignment

       header    0 magic   "DXCR"                24 id of the payload, 32 bytes
                 4 type, codec, flags            56 tag: the same in all records of this store
                 8 bytes stored                  60 CRC-32C of the place and bytes 0..60
                16 bytes when decompressed

   A header verifies itself: its CRC also covers the place, and the tag comes from the random store
   id, so neither a copy of a record elsewhere nor remains of an older store look like a record. The
   id verifies a payload. The id of a commit verifies the log before it: it is the hash of all
   headers since the previous commit and of that commit's id: a hash chain.

       store header --> commit 1 --> commit 2 --> ...    an arrow covers the headers between */
enum {
    DX_CAS_P_STORE_CHAINED = 56, /* bytes of the store header that the first chain begins with */
    DX_CAS_P_STORE_COPY = 56,    /* offset of its copy number */
    DX_CAS_P_FIRST_COPY = 1, DX_CAS_P_SECOND_COPY = 2, /* of a commit: the lower byte of flags */
    DX_CAS_P_COPY_MASK = 255,
    DX_CAS_P_INDEX = 5, /* hashed like a record, but not one: a block of the checkpoint */
    DX_CAS_P_KEY = 6,   /* the same: the key of the index, of the store header */
    DX_CAS_P_BLOCK = 128,   /* bytes of the head of a checkpoint's block, */
    DX_CAS_P_SLOT = 16,     /* of an entry in it, */
    DX_CAS_P_BLOCK_END = 32, /* and of the hash that ends it */
    DX_CAS_P_ONCE_MAX = 4l << 20, /* bytes of records in a commit of one sync, but for LOOSE ones */
    DX_CAS_P_WINDOW = 4096, /* bytes of the log that a scan reads at once */
    DX_CAS_P_IO = 32768     /* bytes of work memory without a codec */
};
#define DX_CAS_P_MAGIC 0x52435844u /* "DXCR" */
#define DX_CAS_P_PLACE_MAX ((uint64_t)1 << 48)
/* Last place at which the log still has room for a commit after a record: header, payload and
   padding of both. */
#define DX_CAS_P_END_MAX (DX_CAS_P_PLACE_MAX - 8192)

/* Invariant of an open store between any two calls. */
#define DX_CAS_P_STEADY(s)                                                                       \
    ((s)->work_ && (s)->slots_ && (s)->end_ >= (s)->tip_.end &&                                   \
     ((s)->end_ & ((s)->form_.align - 1)) == 0 && (s)->entry_count_ < (s)->slot_count_)

/* The next place at or after v where a record may begin. */
static uint64_t dx_cas_p_form_align(const dx_cas_ext_form *form, uint64_t v)
{
    DX_CAS_ASSERT(form->align >= 8 && (form->align & (form->align - 1)) == 0);
    return (v + form->align - 1) & ~(uint64_t)(form->align - 1);
}

static uint64_t dx_cas_p_align(const dx_cas_store *s, uint64_t v)
{
    return dx_cas_p_form_align(&s->form_, v);
}

DX_CAS_API uint32_t dx_cas_ext_crc32c(uint32_t crc, const uint8_t *p, size_t size)
{
    DX_CAS_ASSERT(p || size == 0);
    return DX_CAS_CRC32C(crc, p, size);
}

/* The CRC of a header covers the place where it stands: a copy elsewhere is not a record. */
static uint32_t dx_cas_p_head_crc(uint64_t place, const uint8_t *head)
{
    uint8_t at[8];
    DX_CAS_ASSERT(head);
    dx_cas_p_store64(at, place);
    return DX_CAS_CRC32C(DX_CAS_CRC32C(0, at, sizeof at), head, DX_CAS_EXT_HEAD - 4);
}

DX_CAS_API void dx_cas_ext_record_encode(const dx_cas_ext_form *form, dx_cas_ext_record *r)
{
    DX_CAS_ASSERT(form && r && r->codec < 256 && r->flags < 65536);
    dx_cas_p_store32(r->head, DX_CAS_P_MAGIC);
    dx_cas_p_store32(r->head + 4, r->type | r->codec << 8 | r->flags << 16);
    dx_cas_p_store64(r->head + 8, r->stored);
    dx_cas_p_store64(r->head + 16, r->logical);
    DX_CAS_MEMCPY(r->head + 24, r->id.bytes, 32);
    dx_cas_p_store32(r->head + 56, form->tag);
    dx_cas_p_store32(r->head + 60, dx_cas_p_head_crc(r->place, r->head));
}

/* The CRC protects these numbers, but a hostile writer may have chosen them: are they in the range
   of their type? One row per type, from DX_CAS_EXT_BLOB on. */
static bool dx_cas_p_sane(const dx_cas_ext_form *form, const dx_cas_ext_record *r)
{
    static const struct {
        uint64_t stored_min, stored_max;
        uint32_t flags_min, flags_max, codec_max;
    } rules[] = {{0, DX_CAS_P_PLACE_MAX, 0, 0, 255},
                 {0, DX_CAS_NODE_SIZE_MAX, 1, DX_CAS_LEVELS_MAX, 0},
                 {DX_CAS_EXT_REF_FIXED + 1, DX_CAS_EXT_REF_MAX, 0, 0, 0},
                 {0, 0, 1, 2, 0}};
    uint32_t i = r->type - 1;
    uint32_t marks = DX_CAS_EXT_RETIRED;
    uint32_t flags = r->flags; /* of a commit without its marks: the number of the copy */
    DX_CAS_ASSERT(r->type >= DX_CAS_EXT_BLOB && r->type <= DX_CAS_EXT_COMMIT);
    if (form->features) marks |= DX_CAS_EXT_ONCE | DX_CAS_EXT_LOOSE | DX_CAS_EXT_ORDERED;
    if (r->type == DX_CAS_EXT_COMMIT) flags &= ~(marks << 8);
    if (r->type != DX_CAS_EXT_COMMIT && r->codec == 0 && r->stored != r->logical) return false;
    if (r->type == DX_CAS_EXT_COMMIT && (r->flags >> 8 & DX_CAS_EXT_LOOSE) &&
        !(r->flags >> 8 & DX_CAS_EXT_ONCE)) {
        return false; /* loose says how a commit of one sync went down */
    }
    return r->stored >= rules[i].stored_min && r->stored <= rules[i].stored_max &&
           flags >= rules[i].flags_min && flags <= rules[i].flags_max &&
           r->codec <= rules[i].codec_max && (r->codec == 0 || r->logical <= DX_CAS_P_PLACE_MAX);
}

/* DX_CAS_OK, DX_CAS_ECORRUPT (no record here), DX_CAS_EVERSION (a type of a later format). */
DX_CAS_API int dx_cas_ext_record_decode(const dx_cas_ext_form *form, uint64_t place,
                                        const uint8_t *head, dx_cas_ext_record *r)
{
    uint64_t begin = place; /* of the record: a commit begins with its first copy, */
    uint64_t size = 2 * DX_CAS_EXT_HEAD; /* and has no payload but a second one */
    DX_CAS_ASSERT(form && head && r);
    if (dx_cas_p_load32(head) != DX_CAS_P_MAGIC || dx_cas_p_load32(head + 56) != form->tag ||
        dx_cas_p_load32(head + 60) != dx_cas_p_head_crc(place, head)) {
        return DX_CAS_ECORRUPT;
    }
    if (head != r->head) DX_CAS_MEMCPY(r->head, head, DX_CAS_EXT_HEAD);
    r->place = place;
    r->type = head[4];
    r->codec = head[5];
    r->flags = dx_cas_p_load32(head + 4) >> 16;
    r->stored = dx_cas_p_load64(head + 8);
    r->logical = dx_cas_p_load64(head + 16);
    DX_CAS_MEMCPY(r->id.bytes, head + 24, 32);
    if (r->type == 0 || r->type > DX_CAS_EXT_COMMIT) return DX_CAS_EVERSION;
    if (!dx_cas_p_sane(form, r)) return DX_CAS_ECORRUPT;
    if (r->type != DX_CAS_EXT_COMMIT) size = DX_CAS_EXT_HEAD + r->stored;
    else if ((r->flags & DX_CAS_P_COPY_MASK) == DX_CAS_P_SECOND_COPY) begin -= DX_CAS_EXT_HEAD;
    r->next = dx_cas_p_form_align(form, begin + size);
    return r->next > DX_CAS_P_PLACE_MAX ? DX_CAS_ECORRUPT : DX_CAS_OK;
}

/* For the last check of a function. */
static int dx_cas_p_sound(bool ok) { return ok ? DX_CAS_OK : DX_CAS_ECORRUPT; }

/* Does the commit with that chain id end there? DX_CAS_OK, DX_CAS_ENOTFOUND, or the device's
   error. */
static int dx_cas_p_commit_at(dx_cas_store *s, uint64_t end, const dx_cas_id *id,
                              dx_cas_ext_record *r)
{
    uint64_t place = end - dx_cas_p_align(s, 2 * DX_CAS_EXT_HEAD);
    uint8_t head[2 * DX_CAS_EXT_HEAD];
    size_t got = 0, i;
    DX_CAS_ASSERT(end >= 4 * DX_CAS_EXT_HEAD);
    DX_CAS_P_TRY(s->desc_.device.read(s->desc_.device.user, place, head, sizeof head, &got));
    for (i = 0; i + DX_CAS_EXT_HEAD <= got; i += DX_CAS_EXT_HEAD) {
        if (dx_cas_ext_record_decode(&s->form_, place + i, head + i, r) != DX_CAS_OK) continue;
        if (r->type == DX_CAS_EXT_COMMIT && dx_cas_id_equal(&r->id, id)) return DX_CAS_OK;
    }
    return DX_CAS_ENOTFOUND;
}

/* A reader may have seen a commit that was cut off later because it could not be synced. Then its
   index is stale rather than the data damaged: it must open the store again. */
static bool dx_cas_p_tip_gone(dx_cas_store *s)
{
    dx_cas_ext_record r;
    DX_CAS_ASSERT(s->tip_.sequence == 0 || s->tip_.end >= 4 * DX_CAS_EXT_HEAD);
    if (!s->open_ || (s->desc_.mode & DX_CAS_WRITE) || s->tip_.sequence == 0) return false;
    return dx_cas_p_commit_at(s, s->tip_.end, &s->tip_.id, &r) == DX_CAS_ENOTFOUND;
}

/* The result of every function that finds damage at a place of the log. */
static int dx_cas_p_damaged(dx_cas_store *s, uint64_t place)
{
    DX_CAS_ASSERT(s);
    if (dx_cas_p_tip_gone(s)) return DX_CAS_EAGAIN;
    s->damage_offset_ = place;
    return DX_CAS_ECORRUPT;
}

/* All of size bytes, or DX_CAS_ETRUNCATED. */
static int dx_cas_p_read_from(const dx_cas_device *d, uint64_t place, void *out, size_t size)
{
    size_t got = 0;
    DX_CAS_ASSERT(d->read);
    DX_CAS_P_TRY(d->read(d->user, place, out, size, &got));
    return got == size ? DX_CAS_OK : DX_CAS_ETRUNCATED;
}

static int dx_cas_p_read(dx_cas_store *s, uint64_t place, void *out, size_t size)
{
    DX_CAS_ASSERT(out || size == 0);
    return dx_cas_p_read_from(&s->desc_.device, place, out, size);
}

/* Every write to the log goes through here. */
static int dx_cas_p_write(dx_cas_store *s, uint64_t place, const void *data, uint64_t size)
{
    DX_CAS_ASSERT(s->desc_.device.write && size <= SIZE_MAX);
    return s->desc_.device.write(s->desc_.device.user, place, data, (size_t)size);
}

/* The record at a place that the index or another record names. */
static int dx_cas_p_read_head(dx_cas_store *s, uint64_t place, dx_cas_ext_record *r)
{
    uint8_t head[DX_CAS_EXT_HEAD];
    int error = DX_CAS_ETRUNCATED; /* a ref may name any place: the device is not asked for these */
    DX_CAS_ASSERT(s && r);
    if (place < DX_CAS_P_PLACE_MAX) error = dx_cas_p_read(s, place, head, sizeof head);
    if (error == DX_CAS_OK) error = dx_cas_ext_record_decode(&s->form_, place, head, r);
    if (error == DX_CAS_ECORRUPT || error == DX_CAS_ETRUNCATED) return dx_cas_p_damaged(s, place);
    return error;
}

/* Plain for a blob, under a context for the others, so that types cannot be confused: a list node
   is not a blob of the same bytes. */
DX_CAS_API void dx_cas_ext_id_start(dx_cas_hasher *h, uint32_t type)
{
    static const char *const contexts[] = {"dx_cas v1 list node", "dx_cas v1 ref",
                                           "dx_cas v1 commit chain", "dx_cas v1 index",
                                           "dx_cas v1 index key"};
    DX_CAS_ASSERT(h && type >= DX_CAS_EXT_BLOB && type <= DX_CAS_P_KEY);
    if (type == DX_CAS_EXT_BLOB) DX_CAS_P_HASH(init)(h);
    else DX_CAS_P_HASH(init_derive)(h, contexts[type - 2], dx_cas_p_length(contexts[type - 2]));
}

DX_CAS_API void dx_cas_ext_id_update(dx_cas_hasher *h, const void *data, size_t size)
{
    DX_CAS_ASSERT(h && (data || size == 0));
    DX_CAS_P_HASH(update)(h, data, size);
}

DX_CAS_API void dx_cas_ext_id_final(dx_cas_hasher *h, dx_cas_id *id)
{
    DX_CAS_ASSERT(h && id);
    DX_CAS_P_HASH(final)(h, id->bytes, sizeof id->bytes);
}

/* Start, update and final in one. */
static void dx_cas_p_id_of(uint32_t type, const void *data, size_t size, dx_cas_id *id)
{
    dx_cas_hasher h;
    DX_CAS_ASSERT(id && (data || size == 0));
    dx_cas_ext_id_start(&h, type);
    DX_CAS_P_HASH(update)(&h, data, size);
    DX_CAS_P_HASH(final)(&h, id->bytes, sizeof id->bytes);
}

/* The id that a commit record would have if the headers since the last commit ended here. */
static void dx_cas_p_chain_end(const dx_cas_tip_ *tip, uint64_t sequence, uint32_t marks,
                               dx_cas_id *id)
{
    dx_cas_hasher h = tip->chain;
    uint8_t last[16];
    DX_CAS_ASSERT(sequence == tip->sequence + 1);
    dx_cas_p_store64(last, sequence);
    dx_cas_p_store64(last + 8, marks);
    DX_CAS_P_HASH(update)(&h, last, sizeof last);
    DX_CAS_P_HASH(final)(&h, id->bytes, sizeof id->bytes);
}

/* Set the last commit. The next chain begins with its id. */
static void dx_cas_p_tip_set(dx_cas_tip_ *tip, const dx_cas_id *id, uint64_t sequence, uint64_t end)
{
    DX_CAS_ASSERT(tip && id && end >= 2 * DX_CAS_EXT_HEAD);
    tip->id = *id;
    tip->sequence = sequence;
    tip->end = end;
    dx_cas_ext_id_start(&tip->chain, DX_CAS_EXT_COMMIT);
    DX_CAS_P_HASH(update)(&tip->chain, id->bytes, sizeof id->bytes);
}

static const uint8_t dx_cas_p_store_magic[8] = {0x89, 'D', 'X', 'C', 'A', 'S', 0x0d, 0x0a};

/* The store header: two copies of 64 bytes, which differ in the copy number and the CRC. */
DX_CAS_API void dx_cas_ext_store_encode(const dx_cas_ext_form *form, const uint8_t store_id[16],
                                        uint32_t copy, uint8_t *out)
{
    uint32_t shift = 3;
    DX_CAS_ASSERT(copy < 2 && form->align >= 8 && form->align <= 4096);
    while (((uint32_t)1 << shift) < form->align) shift++;
    DX_CAS_MEMSET(out, 0, DX_CAS_EXT_HEAD);
    DX_CAS_MEMCPY(out, dx_cas_p_store_magic, 8);
    out[8] = 1;  /* version, 16 bits */
    out[10] = DX_CAS_P_HASH_NUMBER; /* 1: ids are BLAKE3-256, 2: SHA-256 */
    out[11] = (uint8_t)shift;
    dx_cas_p_store32(out + 12, form->features);
    DX_CAS_MEMCPY(out + 16, store_id, 16);
    out[DX_CAS_P_STORE_COPY] = (uint8_t)(copy + 1);
    dx_cas_p_store32(out + 60, DX_CAS_CRC32C(0, out, 60));
}

/* Both copies, 128 bytes. */
static void dx_cas_p_encode_store(const dx_cas_store *s, uint8_t out[2 * DX_CAS_EXT_HEAD])
{
    dx_cas_ext_store_encode(&s->form_, s->desc_.store_id, 0, out);
    dx_cas_ext_store_encode(&s->form_, s->desc_.store_id, 1, out + DX_CAS_EXT_HEAD);
}

/* The tip before the first commit: its chain begins with what both copies of the store header
   share. */
static void dx_cas_p_tip_first(const dx_cas_store *s, const uint8_t *head, dx_cas_tip_ *tip)
{
    dx_cas_id id;
    DX_CAS_ASSERT(head && tip);
    dx_cas_p_id_of(DX_CAS_EXT_COMMIT, head, DX_CAS_P_STORE_CHAINED, &id);
    dx_cas_p_tip_set(tip, &id, 0, dx_cas_p_align(s, 2 * DX_CAS_EXT_HEAD));
    tip->marks = 0;
}

/* Bytes 32..56 and 57..60 of the store header are reserved and must be zero: the first of them go
   into the chain of commits, and a writer that restored a copy would write zeros there. */
static bool dx_cas_p_reserved_zero(const uint8_t *head)
{
    uint32_t i, bits = 0;
    DX_CAS_ASSERT(head);
    for (i = 32; i < 60; i++) {
        if (i != DX_CAS_P_STORE_COPY) bits |= head[i];
    }
    return bits == 0;
}

DX_CAS_API int dx_cas_ext_store_decode(const uint8_t *head, uint32_t copy, dx_cas_ext_form *form,
                                       uint8_t store_id[16])
{
    DX_CAS_ASSERT(head && copy < 2 && form && store_id);
    if (DX_CAS_MEMCMP(head, dx_cas_p_store_magic, 8) != 0) return DX_CAS_ECORRUPT;
    if (dx_cas_p_load32(head + 60) != DX_CAS_CRC32C(0, head, 60)) return DX_CAS_ECORRUPT;
    if (head[8] != 1 || head[9] != 0 || dx_cas_p_load32(head + 12) > 1) return DX_CAS_EVERSION;
    if (head[10] != DX_CAS_P_HASH_NUMBER) return DX_CAS_ENOTSUP;
    if (!dx_cas_p_reserved_zero(head)) return DX_CAS_EZERO;
    if (head[11] < 3 || head[11] > 12) return DX_CAS_ECORRUPT;
    if (head[DX_CAS_P_STORE_COPY] != copy + 1) return DX_CAS_ECORRUPT;
    form->align = (uint32_t)1 << head[11];
    form->features = dx_cas_p_load32(head + 12);
    DX_CAS_MEMCPY(store_id, head + 16, 16);
    return DX_CAS_OK;
}

/* The same for this store, with all that follows from the header: tag, first tip, and the key of
   the index. */
static int dx_cas_p_decode_store(dx_cas_store *s, const uint8_t *head, uint32_t copy)
{
    dx_cas_id key;
    DX_CAS_P_TRY(dx_cas_ext_store_decode(head, copy, &s->form_, s->desc_.store_id));
    dx_cas_p_tip_first(s, head, &s->tip_);
    s->form_.tag = dx_cas_p_load32(s->tip_.id.bytes);
    s->end_ = s->tip_.end;
    DX_CAS_ASSERT(s->end_ % s->form_.align == 0 && s->end_ >= 2 * DX_CAS_EXT_HEAD);
    dx_cas_p_id_of(DX_CAS_P_KEY, head, DX_CAS_P_STORE_CHAINED, &key);
    s->key_[0] = dx_cas_p_load64(key.bytes);
    s->key_[1] = dx_cas_p_load64(key.bytes + 8);
    return DX_CAS_OK;
}

/* >>index ---------------------------------------------------------------
   Maps objects and names to places in the log: a hash table with open addressing and linear
   probing, in the caller's memory, at most 7/8 full.

       slot    | fingerprint: the first 64 bits of   | place of the record (48 bits), list level (4
       (16 B)  | the id, or of the hash of the name  | bits), then the flags below; 0: slot is free

       look-up: probe from home(fingerprint), slot by slot, until one is free; if the fingerprint
       fits, read the record, whose header has the whole id

   So a look-up has two steps: the slots, which are in memory and nearly always leave one
   candidate, and the device, which confirms it. Entries are never removed (a deleted name keeps
   its entry), so no gap can open in a probe sequence.

   The supplier of content chooses the ids. Therefore home() is a keyed hash (SipHash) of the
   fingerprint, and the key comes from the store id, which must be secret. An attacker who knows it,
   or writes the store, can make ids collide. A probe of more than DX_CAS_P_STEPS_MAX steps sets
   crowded_, and the index is rehashed under the next key before the next insertion. Each key is
   derived from the one before, so ids chosen for one key say nothing about their slots under the
   next.

   No key helps against many ids with the same 64 bits. Such contents cannot be made (16 of them
   take 2^60 hashes), but a header may claim any id: see dx_cas_p_scan_object(). */
#define DX_CAS_P_IS_REF ((uint64_t)1 << 52) /* a name, at its newest ref record */
#define DX_CAS_P_MARK ((uint64_t)1 << 53) /* collection: a name reaches it */
#define DX_CAS_P_OLD ((uint64_t)1 << 54) /* in the slot that the previous key gave */
#define DX_CAS_P_LEVEL_SHIFT 48
#define DX_CAS_P_STEPS_MAX 4096u /* of 2^30 ids a row this long is very unlikely */
#define DX_CAS_P_ALIKE_MAX 16u   /* The place alone; 0: the slot is free. */
static uint64_t dx_cas_p_place(const dx_cas_entry_ *e)
{
    return e->place & (DX_CAS_P_PLACE_MAX - 1);
}

/* SipHash of 8 bytes. */
static uint64_t dx_cas_p_sip(const uint64_t seed[2], uint64_t word)
{
    uint64_t v[4];
    dx_cas_p_sip_start(v, seed);
    dx_cas_p_sip_word(v, word);
    return dx_cas_p_sip_end(v, (uint64_t)8 << 56);
}

/* The first slot for a fingerprint: the upper half of its hash, scaled to the number of slots,
   which is below 2^32. */
static size_t dx_cas_p_home(const dx_cas_store *s, uint64_t fingerprint)
{
    DX_CAS_ASSERT(s->slot_count_ > 0 && (uint64_t)s->slot_count_ >> 32 == 0);
    return (size_t)((dx_cas_p_sip(s->key_, fingerprint) >> 32) * s->slot_count_ >> 32);
}

static size_t dx_cas_p_next_slot(const dx_cas_store *s, size_t i)
{
    DX_CAS_ASSERT(i < s->slot_count_);
    return i + 1 < s->slot_count_ ? i + 1 : 0;
}

/* 7/8 of the slots: rows stay short, and one slot is always free, which ends a search. */
static uint64_t dx_cas_p_entries_max(const dx_cas_store *s)
{
    return s->slot_count_ ? s->slot_count_ - s->slot_count_ / 8 - 1 : 0;
}

/* The next slot of a fingerprint from *i on, counting steps; false at a free slot. There is always
   one, which ends the search. */
static bool dx_cas_p_probe(dx_cas_store *s, uint64_t fingerprint, uint64_t is_ref, size_t *i,
                           size_t *steps)
{
    DX_CAS_ASSERT(s->entry_count_ < s->slot_count_);
    while (s->slots_[*i].place != 0) {
        const dx_cas_entry_ *e = &s->slots_[*i];
        if (++*steps > DX_CAS_P_STEPS_MAX) s->crowded_ = true;
        if (e->fingerprint == fingerprint && (e->place & DX_CAS_P_IS_REF) == is_ref) return true;
        *i = dx_cas_p_next_slot(s, *i);
    }
    return false;
}

/* Rehash the index under the next key, in place: an entry still in its old slot makes room for one
   that belongs there, and is placed next. A placed entry never moves again, so no gap opens in a
   probe sequence. */
static void dx_cas_p_rekey(dx_cas_store *s)
{
    const uint64_t next[2] = {dx_cas_p_sip(s->key_, 0), dx_cas_p_sip(s->key_, 1)};
    size_t i, to;
    DX_CAS_ASSERT(s->entry_count_ < s->slot_count_);
    DX_CAS_MEMCPY(s->key_, next, sizeof next);
    for (i = 0; i < s->slot_count_; i++) {
        if (s->slots_[i].place != 0) s->slots_[i].place |= DX_CAS_P_OLD;
    }
    for (i = 0; i < s->slot_count_; i++) {
        dx_cas_entry_ moving = s->slots_[i], displaced;
        if (!(moving.place & DX_CAS_P_OLD)) continue;
        s->slots_[i].place = 0;
        while (moving.place != 0) {
            to = dx_cas_p_home(s, moving.fingerprint);
            while (s->slots_[to].place != 0 && !(s->slots_[to].place & DX_CAS_P_OLD)) {
                to = dx_cas_p_next_slot(s, to);
            }
            displaced = s->slots_[to];
            s->slots_[to].fingerprint = moving.fingerprint;
            s->slots_[to].place = moving.place & ~DX_CAS_P_OLD;
            moving = displaced;
        }
    }
}

/* Called before an insertion. Not at a look-up, because cursors (dx_cas_ref_next)
   continue over these. */
static void dx_cas_p_rekey_if_crowded(dx_cas_store *s)
{
    DX_CAS_ASSERT(s->slots_);
    if (s->crowded_) dx_cas_p_rekey(s);
    s->crowded_ = false;
}

/* Insert into the next free slot. The caller reserved room. */
static void dx_cas_p_insert(dx_cas_store *s, uint64_t fingerprint, uint64_t place)
{
    size_t i = dx_cas_p_home(s, fingerprint);
    DX_CAS_ASSERT(s->entry_count_ < dx_cas_p_entries_max(s) && place != 0);
    while (s->slots_[i].place != 0) i = dx_cas_p_next_slot(s, i);
    s->slots_[i].fingerprint = fingerprint;
    s->slots_[i].place = place;
    s->entry_count_++;
}

/* Bytes of memory for a number of entries: work memory, slots for 8/7 of them, and up to 8 bytes to
   align the caller's memory. */
static uint64_t dx_cas_p_memory_for(uint64_t work_size, uint64_t entries)
{
    DX_CAS_ASSERT(work_size >= DX_CAS_P_IO);
    if (entries < 16) entries = 16; /* also of a store that is nearly empty */
    return work_size + 8 + sizeof(dx_cas_entry_) * (entries + entries / 7 + 4);
}

/* Work memory: a buffer for reads and writes, and with codecs two objects: one as it is stored,
   one decompressed. */
static uint64_t dx_cas_p_work_size(const dx_cas_desc *desc)
{
    uint64_t object = desc->object_size_max ? desc->object_size_max : (uint32_t)1 << 20;
    DX_CAS_ASSERT(desc);
    return DX_CAS_P_IO + (desc->codec_count ? 2 * ((object + 7) & ~(uint64_t)7) : 0);
}

/* Divide the caller's memory. The old slots, if any, move into the new index; the work memory
   does not: nothing is kept in it between calls.

       memory | 0..7 bytes | IO | object as stored | object | slots ...
                           ^ work_                          ^ slots_ */
static int dx_cas_p_use_memory(dx_cas_store *s, void *memory, size_t size)
{
    size_t unused = (size_t)(-(uintptr_t)memory & 7); /* bytes before the first aligned one */
    uint8_t *base = (uint8_t *)memory + unused;
    size_t old_count = s->slot_count_, i;
    dx_cas_entry_ *old = s->slots_;
    s->memory_needed_ = dx_cas_p_memory_for(s->work_size_, s->entry_count_);
    if (size < s->memory_needed_) return DX_CAS_ENOMEM;
    s->memory_needed_ = 0;
    s->desc_.memory = memory;
    s->work_ = base;
    s->slots_ = (dx_cas_entry_ *)(void *)(base + s->work_size_);
    s->slot_count_ = (size - unused - s->work_size_) / sizeof *s->slots_;
    if ((uint64_t)s->slot_count_ >> 32) s->slot_count_ = (size_t)0xffffffffu; /* dx_cas_p_home */
    DX_CAS_ASSERT(s->entry_count_ <= dx_cas_p_entries_max(s));
    DX_CAS_MEMSET(s->slots_, 0, s->slot_count_ * sizeof *s->slots_);
    s->entry_count_ = 0;
    for (i = 0; i < old_count; i++) {
        if (old[i].place) dx_cas_p_insert(s, old[i].fingerprint, old[i].place);
    }
    return DX_CAS_OK;
}

/* Make room for count more entries, if need be with the caller's grow function. */
static int dx_cas_p_reserve(dx_cas_store *s, uint64_t count)
{
    uint64_t need = s->entry_count_ + count, size;
    DX_CAS_ASSERT(s->slots_ && s->desc_.memory);
    void *block, *old = s->desc_.memory;
    dx_cas_p_rekey_if_crowded(s);
    if (need <= dx_cas_p_entries_max(s)) return DX_CAS_OK;
    /* at least twice as many, so that n entries are moved n times in all, not n * n */
    if (need < 2 * (uint64_t)s->entry_count_) need = 2 * (uint64_t)s->entry_count_;
    s->memory_needed_ = size = dx_cas_p_memory_for(s->work_size_, need);
    if (!s->desc_.grow || size > SIZE_MAX) return DX_CAS_ENOMEM;
    block = s->desc_.grow(s->desc_.grow_user, old, (size_t)size);
    if (!block) return DX_CAS_ENOMEM;
    DX_CAS_P_TRY(dx_cas_p_use_memory(s, block, (size_t)size));
    s->desc_.grow(s->desc_.grow_user, old, 0);
    DX_CAS_ASSERT(need <= dx_cas_p_entries_max(s));
    return DX_CAS_OK;
}

/* Find the record of an object. *slot (may be NULL) receives its slot of the index, *alike how many
   entries had the same fingerprint. */
static int dx_cas_p_lookup(dx_cas_store *s, const dx_cas_id *id, dx_cas_ext_record *r,
                           size_t *slot, uint32_t *alike)
{
    uint64_t fingerprint = dx_cas_p_load64(id->bytes);
    size_t i = dx_cas_p_home(s, fingerprint), steps = 0;
    int result = DX_CAS_ENOTFOUND;
    DX_CAS_ASSERT(id && r && alike);
    *alike = 0;
    for (; dx_cas_p_probe(s, fingerprint, 0, &i, &steps); i = dx_cas_p_next_slot(s, i)) {
        int error = dx_cas_p_read_head(s, dx_cas_p_place(&s->slots_[i]), r);
        ++*alike;
        if (error == DX_CAS_OK && dx_cas_p_load64(r->id.bytes) != fingerprint) {
            error = dx_cas_p_damaged(s, r->place); /* not the record that was there */
        }
        if (error == DX_CAS_OK && r->type <= DX_CAS_EXT_LIST && dx_cas_id_equal(&r->id, id)) {
            if (slot) *slot = i;
            return DX_CAS_OK;
        }
        if (error == DX_CAS_ECORRUPT) result = error; /* it may be the one; continue */
        if (error != DX_CAS_OK && error != DX_CAS_ECORRUPT) return error;
    }
    return result;
}

/* The same without counting. */
static int dx_cas_p_find(dx_cas_store *s, const dx_cas_id *id, dx_cas_ext_record *r, size_t *slot)
{
    uint32_t alike;
    DX_CAS_ASSERT(s->slots_);
    return dx_cas_p_lookup(s, id, r, slot, &alike);
}

/* DX_CAS_OK: the object is in the index; DX_CAS_ENOTFOUND: not, or not in a readable form. */
static int dx_cas_p_is_known(dx_cas_store *s, const dx_cas_id *id, uint32_t *alike)
{
    dx_cas_ext_record other;
    uint64_t damage = s->damage_offset_;
    int error = dx_cas_p_lookup(s, id, &other, NULL, alike);
    DX_CAS_ASSERT(id && alike);
    if (error != DX_CAS_ECORRUPT) return error;
    s->damage_offset_ = damage;
    return DX_CAS_ENOTFOUND;
}

/* Enter an object that is not known. Room was reserved. */
static void dx_cas_p_enter_object(dx_cas_store *s, const dx_cas_ext_record *r)
{
    uint64_t level = r->type == DX_CAS_EXT_LIST ? r->flags : 0;
    DX_CAS_ASSERT(r->type == DX_CAS_EXT_BLOB || r->type == DX_CAS_EXT_LIST);
    DX_CAS_ASSERT(r->place > 0 && r->place < DX_CAS_P_PLACE_MAX);
    dx_cas_p_insert(s, dx_cas_p_load64(r->id.bytes), r->place | level << DX_CAS_P_LEVEL_SHIFT);
    DX_CAS_ASSERT(level <= DX_CAS_LEVELS_MAX);
    s->stats_.objects++;
    s->stats_.logical_bytes += r->logical;
    s->stats_.stored_bytes += r->stored;
}

/* Enter an object whose payload is known to fit its id, unless it is there. Room was reserved. */
static int dx_cas_p_add_object(dx_cas_store *s, const dx_cas_ext_record *r)
{
    uint32_t alike;
    int error = dx_cas_p_is_known(s, &r->id, &alike);
    DX_CAS_ASSERT(s->entry_count_ < dx_cas_p_entries_max(s));
    if (error != DX_CAS_ENOTFOUND) return error;
    dx_cas_p_enter_object(s, r);
    return DX_CAS_OK;
}

/* >>objects -------------------------------------------------------------
   A put appends a record to the log; a get reads one and verifies it. end_ moves only when all
   bytes of a record are written, so an error leaves only bytes after the end of the log, which are
   cut off. Nothing here syncs: commit does.

       | ... records ... | record being written |  zeros (preallocated)  |
                         ^ end_                                          ^ device_size_

   The work memory: [0, IO) is for reading and writing. With codecs two objects follow: from IO on
   the stored (packed) form, then the decompressed one, for checks only. Functions that call a codec
   or follow a delta use all three. */
/* Nothing is written to a store that is closed, was opened for reading, or has failed. */
static int dx_cas_p_may_write(const dx_cas_store *s)
{
    if (!s || !s->open_) return DX_CAS_EINVAL;
    if (!(s->desc_.mode & DX_CAS_WRITE)) return DX_CAS_EREADONLY;
    return s->failed_ ? DX_CAS_EFAILED : DX_CAS_OK;
}

/* Keep zeros after the log, so that commits do not change the file's size. If less than half of
   desc.preallocate would be left after `size` more bytes, write up to all of it. On a full device
   half of it is enough: that half is reserved for deletions and commits. */
static int dx_cas_p_make_room(dx_cas_store *s, uint64_t size)
{
    uint64_t keep = s->desc_.preallocate;
    uint64_t to = s->end_ + size + keep;    /* zeros reach to here, */
    uint64_t enough = to - (keep + 1) / 2;  /* or at least to here */
    int error = DX_CAS_OK;
    DX_CAS_ASSERT(DX_CAS_P_STEADY(s));
    if (s->device_size_ < s->end_) s->device_size_ = s->end_;
    if (keep == 0 || s->device_size_ >= enough) return DX_CAS_OK;
    DX_CAS_MEMSET(s->work_, 0, DX_CAS_P_IO);
    while (error == DX_CAS_OK && s->device_size_ < to) {
        uint64_t n = to - s->device_size_;
        if (n > DX_CAS_P_IO) n = DX_CAS_P_IO;
        error = dx_cas_p_write(s, s->device_size_, s->work_, n);
        if (error == DX_CAS_OK) s->device_size_ += n;
    }
    if (error != DX_CAS_OK) (void)s->desc_.device.truncate(s->desc_.device.user, s->device_size_);
    return s->device_size_ >= enough ? DX_CAS_OK : error;
}

/* Place a record at the end of the log and encode its header. spare: it may use the room reserved
   for deletions and commits. DX_CAS_ETOOBIG: it would end beyond 2^48. */
static int dx_cas_p_record_begin(dx_cas_store *s, dx_cas_ext_record *r, bool spare)
{
    DX_CAS_ASSERT(s->end_ % s->form_.align == 0);
    DX_CAS_ASSERT(r->type != DX_CAS_EXT_COMMIT);
    r->place = s->end_;
    if (s->end_ > DX_CAS_P_END_MAX || r->stored > DX_CAS_P_END_MAX - s->end_) {
        return DX_CAS_ETOOBIG;
    }
    r->next = dx_cas_p_align(s, s->end_ + DX_CAS_EXT_HEAD + r->stored);
    dx_cas_ext_record_encode(&s->form_, r);
    return spare ? DX_CAS_OK : dx_cas_p_make_room(s, r->next - s->end_);
}

/* All bytes of the record are written: extend the log and the chain. After an error, truncate the
   device to the end of the log; if that fails, too, the next open does it. */
static int dx_cas_p_record_end(dx_cas_store *s, const dx_cas_ext_record *r, int error)
{
    DX_CAS_ASSERT(r->place == s->end_);
    if (error != DX_CAS_OK) {
        (void)s->desc_.device.truncate(s->desc_.device.user, s->end_);
        s->device_size_ = s->end_;
        return error;
    }
    DX_CAS_P_HASH(update)(&s->tip_.chain, r->head, sizeof r->head);
    s->end_ = r->next;
    s->dirty_ = true;
    DX_CAS_ASSERT(DX_CAS_P_STEADY(s));
    return DX_CAS_OK;
}

/* Everything of a record except its payload: the header before it and the padding after it. */
static int dx_cas_p_write_frame(dx_cas_store *s, const dx_cas_ext_record *r)
{
    uint64_t end = r->place + DX_CAS_EXT_HEAD + r->stored;
    DX_CAS_ASSERT(r->place % s->form_.align == 0);
    DX_CAS_ASSERT(r->next >= end && r->next - end < s->form_.align);
    DX_CAS_P_TRY(dx_cas_p_write(s, r->place, r->head, DX_CAS_EXT_HEAD));
    if (end == r->next) return DX_CAS_OK;
    DX_CAS_MEMSET(s->work_, 0, (size_t)(r->next - end));
    return dx_cas_p_write(s, end, s->work_, r->next - end);
}

/* Append a record; small ones in one write. data is not in the IO part of the work memory. spare:
   as in dx_cas_p_record_begin(). */
static int dx_cas_p_append(dx_cas_store *s, dx_cas_ext_record *r, const void *data, bool spare)
{
    uint8_t *io = s->work_;
    int error;
    DX_CAS_ASSERT(data || r->stored == 0);
    DX_CAS_ASSERT((const uint8_t *)data != io || r->stored == 0);
    DX_CAS_P_TRY(dx_cas_p_record_begin(s, r, spare));
    if (r->next - r->place <= DX_CAS_P_IO) {
        DX_CAS_MEMSET(io, 0, (size_t)(r->next - r->place));
        DX_CAS_MEMCPY(io, r->head, DX_CAS_EXT_HEAD);
        if (r->stored) DX_CAS_MEMCPY(io + DX_CAS_EXT_HEAD, data, (size_t)r->stored);
        error = dx_cas_p_write(s, r->place, io, r->next - r->place);
    } else {
        error = dx_cas_p_write_frame(s, r);
        if (error == DX_CAS_OK) {
            error = dx_cas_p_write(s, r->place + DX_CAS_EXT_HEAD, data, r->stored);
        }
    }
    return dx_cas_p_record_end(s, r, error);
}

/* The codec of that number, or NULL. */
static const dx_cas_codec *dx_cas_p_codec(const dx_cas_store *s, uint32_t number)
{
    size_t i;
    DX_CAS_ASSERT(number < 256);
    for (i = 0; i < s->desc_.codec_count; i++) {
        if (s->desc_.codecs[i].number == number) return &s->desc_.codecs[i];
    }
    return NULL;
}

/* Compress a blob if it becomes smaller, unless another codec already did; data and r->stored then
   describe the smaller form. */
static int dx_cas_p_pack(dx_cas_store *s, const dx_cas_codec *codec, dx_cas_ext_record *r,
                         const void **data)
{
    size_t size = (size_t)r->logical, packed = 0;
    int error;
    if (!codec || size < 2 || r->codec || r->type != DX_CAS_EXT_BLOB) return DX_CAS_OK;
    DX_CAS_ASSERT(size <= s->desc_.object_size_max); /* the work memory holds as many bytes */
    error = codec->compress(codec->user, s->work_ + DX_CAS_P_IO, size - 1, *data, size, &packed);
    if (error == DX_CAS_ENOSPACE || (error == DX_CAS_OK && packed >= size)) return DX_CAS_OK;
    if (error != DX_CAS_OK) return error;
    r->codec = codec->number;
    r->stored = packed;
    *data = s->work_ + DX_CAS_P_IO;
    return DX_CAS_OK;
}

/* Append an object of a type (level: of a list node) unless it exists. An existing but damaged
   one is an error. */
static int dx_cas_p_put(dx_cas_store *s, uint32_t type, uint32_t level, const void *data,
                        size_t size, dx_cas_id *id)
{
    dx_cas_ext_record r;
    int error;
    DX_CAS_ASSERT(type == DX_CAS_EXT_BLOB || type == DX_CAS_EXT_LIST);
    DX_CAS_ASSERT((type == DX_CAS_EXT_LIST) == (level > 0));
    dx_cas_p_id_of(type, data, size, id);
    error = dx_cas_p_find(s, id, &r, NULL);
    if (error == DX_CAS_ENOTFOUND) {
        DX_CAS_P_TRY(dx_cas_p_reserve(s, 1));
        DX_CAS_MEMSET(&r, 0, sizeof r);
        r.type = type;
        r.flags = level;
        r.stored = r.logical = size;
        r.id = *id;
        DX_CAS_P_TRY(dx_cas_p_pack(s, dx_cas_p_codec(s, s->put_codec_), &r, &data));
        DX_CAS_P_TRY(dx_cas_p_pack(s, s->desc_.codec_count ? s->desc_.codecs : NULL, &r, &data));
        DX_CAS_P_TRY(dx_cas_p_append(s, &r, data, false));
        error = dx_cas_p_add_object(s, &r);
    }
    return error;
}

/* The bytes of an object, decompressed and checked, into a buffer of r->logical bytes. */
static int dx_cas_p_get(dx_cas_store *s, const dx_cas_ext_record *r, void *out)
{
    const dx_cas_codec *codec = r->codec ? dx_cas_p_codec(s, r->codec) : NULL;
    uint8_t *packed = s->work_ + DX_CAS_P_IO;
    size_t got = (size_t)r->logical;
    dx_cas_id id;
    int error;
    DX_CAS_ASSERT(r->stored <= DX_CAS_P_PLACE_MAX);
    DX_CAS_ASSERT(r->type != DX_CAS_EXT_COMMIT);
    DX_CAS_ASSERT(out || r->logical == 0);
    if (r->codec && !codec) return DX_CAS_ENOTSUP;
    if (codec && (r->stored > s->desc_.object_size_max || r->logical > s->desc_.object_size_max)) {
        return DX_CAS_ETOOBIG;
    }
    error = dx_cas_p_read(s, r->place + DX_CAS_EXT_HEAD, codec ? packed : out, (size_t)r->stored);
    if (error != DX_CAS_OK && error != DX_CAS_ETRUNCATED) return error;
    if (error == DX_CAS_OK && codec) {
        error = codec->decompress(codec->user, out, (size_t)r->logical, packed, (size_t)r->stored,
                                  &got);
    }
    if (error == DX_CAS_OK && got == r->logical) {
        dx_cas_p_id_of(r->type, out, got, &id);
        if (dx_cas_id_equal(&id, &r->id)) return DX_CAS_OK;
    }
    if (r->logical) DX_CAS_MEMSET(out, 0, (size_t)r->logical); /* nothing unverified leaves */
    if (error == DX_CAS_EBASE || error == DX_CAS_ESYS || error == DX_CAS_ENOTSUP) return error;
    return dx_cas_p_damaged(s, r->place);
}

/* The object that is needed to decompress this one; DX_CAS_ENOTFOUND if none is needed. */
static int dx_cas_p_needs(dx_cas_store *s, const dx_cas_ext_record *r, dx_cas_id *other)
{
    const dx_cas_codec *codec = r->codec ? dx_cas_p_codec(s, r->codec) : NULL;
    uint8_t *packed = s->work_ + DX_CAS_P_IO;
    DX_CAS_ASSERT(r->type != DX_CAS_EXT_COMMIT);
    DX_CAS_ASSERT(other);
    if (!codec || !codec->needs || r->stored > s->desc_.object_size_max) return DX_CAS_ENOTFOUND;
    DX_CAS_P_TRY(dx_cas_p_read(s, r->place + DX_CAS_EXT_HEAD, packed, (size_t)r->stored));
    return codec->needs(codec->user, packed, (size_t)r->stored, other) ? DX_CAS_OK
                                                                      : DX_CAS_ENOTFOUND;
}

/* The last third of the work memory: room for a decompressed object. Only with codecs. */
static uint8_t *dx_cas_p_unpacked(const dx_cas_store *s)
{
    DX_CAS_ASSERT(s->work_size_ >= DX_CAS_P_IO);
    return s->work_ + (s->work_size_ + DX_CAS_P_IO) / 2;
}

/* Hash an object in place; if dst is given, also write its stored bytes there. */
static int dx_cas_p_stream(dx_cas_store *s, const dx_cas_ext_record *r, dx_cas_store *dst,
                           uint64_t dst_place)
{
    dx_cas_hasher h;
    dx_cas_id id;
    uint64_t done, size;
    DX_CAS_ASSERT(r->stored <= DX_CAS_P_PLACE_MAX);
    DX_CAS_ASSERT(r->type != DX_CAS_EXT_COMMIT);
    DX_CAS_ASSERT(!dst || dst != s);
    if (r->codec) {
        int error = dx_cas_p_get(s, r, dx_cas_p_unpacked(s));
        if (error != DX_CAS_OK || !dst) return error;
        DX_CAS_P_TRY(dx_cas_p_read(s, r->place + DX_CAS_EXT_HEAD, s->work_ + DX_CAS_P_IO,
                                   (size_t)r->stored)); /* a delta's base went there, too */
        return dx_cas_p_write(dst, dst_place, s->work_ + DX_CAS_P_IO, r->stored);
    }
    dx_cas_ext_id_start(&h, r->type);
    for (done = 0; done < r->stored; done += size) {
        int error;
        size = r->stored - done;
        if (size > DX_CAS_P_IO) size = DX_CAS_P_IO;
        error = dx_cas_p_read(s, r->place + DX_CAS_EXT_HEAD + done, s->work_, (size_t)size);
        if (error == DX_CAS_ETRUNCATED) return dx_cas_p_damaged(s, r->place);
        if (error == DX_CAS_OK && dst) {
            error = dx_cas_p_write(dst, dst_place + done, s->work_, size);
        }
        if (error != DX_CAS_OK) return error;
        DX_CAS_P_HASH(update)(&h, s->work_, (size_t)size);
    }
    DX_CAS_P_HASH(final)(&h, id.bytes, sizeof id.bytes);
    return dx_cas_id_equal(&id, &r->id) ? DX_CAS_OK : dx_cas_p_damaged(s, r->place);
}

/* A list node, opened: entries of 40 bytes, each an id and the content bytes under it. */
typedef struct dx_cas_p_node {
    uint32_t level;         /* 1 above chunks */
    uint32_t count;         /* entries */
    uint64_t total;         /* bytes of content under all of them */
    const uint8_t *entries;
} dx_cas_p_node;

/* Bytes of content under entry i. */
static uint64_t dx_cas_p_node_size(const dx_cas_p_node *n, uint32_t i)
{
    DX_CAS_ASSERT(n->entries);
    return dx_cas_p_load64(n->entries + (size_t)i * DX_CAS_EXT_NODE_ENTRY + sizeof(dx_cas_id));
}

/* Read a node into memory (DX_CAS_NODE_SIZE_MAX bytes) and open it. Its hash fits, but a hostile
   writer may have stored anything: the rest relies on these checks. */
static int dx_cas_p_get_node(dx_cas_store *s, const dx_cas_ext_record *r, uint8_t *p,
                             dx_cas_p_node *n)
{
    uint64_t sum = 0;
    uint32_t i;
    DX_CAS_ASSERT(s && p && n);
    if (r->type != DX_CAS_EXT_LIST) return dx_cas_p_damaged(s, r->place);
    DX_CAS_P_TRY(dx_cas_p_get(s, r, p));
    if (r->stored < DX_CAS_EXT_NODE_HEAD) return dx_cas_p_damaged(s, r->place);
    n->level = p[0];
    n->count = dx_cas_p_load32(p + 4);
    n->total = dx_cas_p_load64(p + 8);
    n->entries = p + DX_CAS_EXT_NODE_HEAD;
    if (dx_cas_p_load32(p) != r->flags || n->count == 0 || n->count > DX_CAS_NODE_ENTRIES_MAX ||
        r->stored - DX_CAS_EXT_NODE_HEAD != (uint64_t)n->count * DX_CAS_EXT_NODE_ENTRY) {
        return dx_cas_p_damaged(s, r->place);
    }
    for (i = 0; i < n->count; i++) {
        uint64_t part = dx_cas_p_node_size(n, i);
        if (part == 0 || part > DX_CAS_P_PLACE_MAX) return dx_cas_p_damaged(s, r->place);
        sum += part;
    }
    return sum == n->total ? DX_CAS_OK : dx_cas_p_damaged(s, r->place);
}

/* The record of entry i, and its id. DX_CAS_ENOTFOUND also if it is not of the level below or has
   another size than the node says. */
static int dx_cas_p_find_child(dx_cas_store *s, const dx_cas_p_node *n, uint32_t i, dx_cas_id *id,
                               dx_cas_ext_record *r)
{
    uint32_t level;
    DX_CAS_ASSERT(n->entries && n->level > 0 && i < DX_CAS_NODE_ENTRIES_MAX);
    DX_CAS_MEMCPY(id->bytes, n->entries + (size_t)i * DX_CAS_EXT_NODE_ENTRY, 32);
    DX_CAS_P_TRY(dx_cas_p_find(s, id, r, NULL));
    level = r->type == DX_CAS_EXT_LIST ? r->flags : 0;
    if (level + 1 != n->level) return DX_CAS_ENOTFOUND;
    return level || r->logical == dx_cas_p_node_size(n, i) ? DX_CAS_OK : DX_CAS_ENOTFOUND;
}

/* >>refs ----------------------------------------------------------------
   A name has versions 1, 2, 3, ... Each change of a name is a record of its own, and the index
   points to the newest one. It leads to the versions before it, place by place:

       log     ... set v1 ..... set v2 ..... set v3 ..... trim <3 ... set v4 ...
                     ^____________|____________|            |           |
                                  ^____________|            |           |
                                  (v2 is dropped)      ^____|___________|     <- index
                                                       previous

   Trim and delete are records, too, so that a change never overwrites anything: trim gives the
   oldest version that counts, delete drops all. `previous` of a set is the set before it, of a trim
   the newest set. A deleted name keeps its record, and with it its number: if it is set again, its
   numbers continue, so that (name, version) is never ambiguous. */
/* UTF-8 in its shortest form, 1..255 bytes, no surrogates, no control characters (C0, DEL, C1). */
DX_CAS_API bool dx_cas_ext_name_ok(const char *name)
{
    uint32_t c = 0;     /* the code point decoded until here, */
    uint32_t more = 0;  /* how many bytes of it follow, */
    uint32_t least = 0; /* and the smallest that needs this many */
    size_t size;
    for (size = 0; name && size <= DX_CAS_NAME_MAX; size++) {
        uint8_t b = (uint8_t)name[size];
        DX_CAS_ASSERT(more <= 3);
        if (more) {
            if ((b & 0xc0) != 0x80) return false;
            c = c << 6 | (b & 0x3fu);
            if (--more) continue;
            if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) return false;
        } else if (b < 0x80) {
            if (b == 0) return size > 0;
            if (b < 0x20 || b == 0x7f) return false;
        } else {
            if (b < 0xc0 || b > 0xf4) return false;
            more = 1;
            least = 0xa0; /* U+0080 to U+009F are control characters */
            if (b >= 0xe0) {
                more = 2;
                least = 0x800;
            }
            if (b >= 0xf0) {
                more = 3;
                least = 0x10000;
            }
            c = b & 0x3fu >> more;
        }
    }
    return false;
}

/* A ref record, decoded; all zero: a name that was never set. */
typedef struct dx_cas_p_ref {
    uint32_t   op;     /* DX_CAS_EXT_SET, TRIM or DELETE */
    bool       exists; /* after it the name has versions: the newest is at `newest` */
    uint64_t   newest; /* place of the last set record; 0: none */
    uint64_t   place;  /* of this record */
    dx_cas_ref ref;    /* of a trim or delete: name, version and oldest alone */
} dx_cas_p_ref;

/* The payload of a ref record; returns its size. out: DX_CAS_EXT_REF_MAX bytes. */
static size_t dx_cas_p_encode_ref(const dx_cas_p_ref *r, uint8_t *out)
{
    size_t name_size = dx_cas_p_length(r->ref.name);
    DX_CAS_ASSERT(name_size > 0 && name_size <= DX_CAS_NAME_MAX);
    DX_CAS_ASSERT(r->ref.info_size <= DX_CAS_INFO_MAX);
    DX_CAS_MEMSET(out, 0, DX_CAS_EXT_REF_FIXED);
    out[0] = (uint8_t)r->op;
    out[1] = (uint8_t)name_size;
    out[2] = (uint8_t)r->ref.info_size;
    dx_cas_p_store32(out + 4, r->ref.kind);
    dx_cas_p_store64(out + 8, r->ref.version);
    dx_cas_p_store64(out + 16, r->ref.oldest);
    dx_cas_p_store64(out + 24, r->ref.previous_);
    dx_cas_p_store64(out + 32, r->ref.time_ns);
    dx_cas_p_store64(out + 40, r->ref.size);
    DX_CAS_MEMCPY(out + 48, r->ref.root.bytes, 32);
    DX_CAS_MEMCPY(out + 80, r->ref.content.bytes, 32);
    DX_CAS_MEMCPY(out + DX_CAS_EXT_REF_FIXED, r->ref.name, name_size);
    DX_CAS_MEMCPY(out + DX_CAS_EXT_REF_FIXED + name_size, r->ref.info, r->ref.info_size);
    return DX_CAS_EXT_REF_FIXED + name_size + r->ref.info_size;
}

/* Trim and delete have only the name and its numbers: kind, info, time, size and ids are zero.
   Delete leaves no version to point to. */
static bool dx_cas_p_drop_sound(const uint8_t *p)
{
    uint64_t version = dx_cas_p_load64(p + 8), oldest = dx_cas_p_load64(p + 16);
    uint32_t i, bits = p[2] | dx_cas_p_load32(p + 4);
    DX_CAS_ASSERT(p[0] == DX_CAS_EXT_TRIM || p[0] == DX_CAS_EXT_DELETE);
    for (i = 32; i < DX_CAS_EXT_REF_FIXED; i++) bits |= p[i];
    if (bits) return false;
    return p[0] == DX_CAS_EXT_TRIM || (dx_cas_p_load64(p + 24) == 0 && oldest == version + 1);
}

DX_CAS_API bool dx_cas_ext_ref_ok(const uint8_t fixed[112], uint64_t stored)
{
    uint64_t version = dx_cas_p_load64(fixed + 8), oldest = dx_cas_p_load64(fixed + 16);
    uint32_t name_size = fixed[1], info_size = fixed[2];
    DX_CAS_ASSERT(fixed);
    if (fixed[0] < DX_CAS_EXT_SET || fixed[0] > DX_CAS_EXT_DELETE || fixed[3] != 0) return false;
    if (name_size == 0 || info_size > DX_CAS_INFO_MAX) return false;
    if (stored != DX_CAS_EXT_REF_FIXED + name_size + info_size) return false;
    if (version == 0 || version >= UINT64_MAX - 1) return false;
    if (fixed[0] != DX_CAS_EXT_DELETE && oldest > version) return false;
    return fixed[0] == DX_CAS_EXT_SET || dx_cas_p_drop_sound(fixed);
}

/* Decode the payload of a ref record; false if invalid. `newest` and `place` are not in it. */
static bool dx_cas_p_decode_ref(const uint8_t *p, size_t size, dx_cas_p_ref *r)
{
    size_t name_size = p[1], info_size = p[2];
    DX_CAS_ASSERT(size <= DX_CAS_EXT_REF_MAX);
    if (!dx_cas_ext_ref_ok(p, size)) return false;
    DX_CAS_MEMSET(r, 0, sizeof *r);
    r->op = p[0];
    r->exists = r->op != DX_CAS_EXT_DELETE;
    r->ref.kind = dx_cas_p_load32(p + 4);
    r->ref.version = dx_cas_p_load64(p + 8);
    r->ref.oldest = dx_cas_p_load64(p + 16);
    r->ref.previous_ = dx_cas_p_load64(p + 24);
    r->ref.time_ns = dx_cas_p_load64(p + 32);
    r->ref.size = dx_cas_p_load64(p + 40);
    DX_CAS_MEMCPY(r->ref.root.bytes, p + 48, 32);
    DX_CAS_MEMCPY(r->ref.content.bytes, p + 80, 32);
    DX_CAS_MEMCPY(r->ref.name, p + DX_CAS_EXT_REF_FIXED, name_size);
    r->ref.info_size = (uint32_t)info_size;
    DX_CAS_MEMCPY(r->ref.info, p + DX_CAS_EXT_REF_FIXED + name_size, info_size);
    return dx_cas_ext_name_ok(r->ref.name) && r->ref.name[name_size - 1] != 0;
}

/* The ref record at a record header, verified. */
static int dx_cas_p_read_ref(dx_cas_store *s, const dx_cas_ext_record *rec, dx_cas_p_ref *r)
{
    uint8_t bytes[DX_CAS_EXT_REF_MAX];
    if (rec->type != DX_CAS_EXT_REF) return dx_cas_p_damaged(s, rec->place);
    DX_CAS_P_TRY(dx_cas_p_get(s, rec, bytes));
    if (!dx_cas_p_decode_ref(bytes, (size_t)rec->stored, r)) return dx_cas_p_damaged(s, rec->place);
    r->place = rec->place;
    r->newest = 0;
    if (r->op == DX_CAS_EXT_SET) r->newest = r->place;
    else if (r->op == DX_CAS_EXT_TRIM) r->newest = r->ref.previous_;
    DX_CAS_ASSERT(r->exists == (r->op != DX_CAS_EXT_DELETE));
    return DX_CAS_OK;
}

/* The same from its place, which may come from a damaged or hostile record. */
static int dx_cas_p_read_ref_at(dx_cas_store *s, uint64_t place, dx_cas_p_ref *r)
{
    dx_cas_ext_record rec;
    DX_CAS_ASSERT(s && r);
    DX_CAS_P_TRY(dx_cas_p_read_head(s, place, &rec));
    return dx_cas_p_read_ref(s, &rec, r);
}

/* The first 64 bits of a name's hash: its fingerprint in the index. */
static uint64_t dx_cas_p_name_fingerprint(const char *name)
{
    dx_cas_id id;
    DX_CAS_ASSERT(name && name[0]);
    dx_cas_p_id_of(DX_CAS_EXT_REF, name, dx_cas_p_length(name), &id);
    return dx_cas_p_load64(id.bytes);
}

/* The newest ref record of a name and its slot; SIZE_MAX and zeros when the name was never set. */
static int dx_cas_p_find_ref(dx_cas_store *s, const char *name, dx_cas_p_ref *r, size_t *slot)
{
    uint64_t fingerprint = dx_cas_p_name_fingerprint(name);
    size_t i = dx_cas_p_home(s, fingerprint), steps = 0;
    DX_CAS_ASSERT(name && r && slot);
    for (; dx_cas_p_probe(s, fingerprint, DX_CAS_P_IS_REF, &i, &steps);
         i = dx_cas_p_next_slot(s, i)) {
        DX_CAS_P_TRY(dx_cas_p_read_ref_at(s, dx_cas_p_place(&s->slots_[i]), r));
        *slot = i;
        if (DX_CAS_MEMCMP(name, r->ref.name, dx_cas_p_length(name) + 1) == 0) return DX_CAS_OK;
    }
    DX_CAS_MEMSET(r, 0, sizeof *r);
    *slot = SIZE_MAX;
    return DX_CAS_OK;
}

/* The same for a name that a caller gave. */
static int dx_cas_p_name(dx_cas_store *s, const char *name, dx_cas_p_ref *r)
{
    size_t slot;
    DX_CAS_ASSERT(s && r);
    if (!s->open_ || !dx_cas_ext_name_ok(name)) return DX_CAS_EINVAL;
    return dx_cas_p_find_ref(s, name, r, &slot);
}

/* Enter a ref record as the newest of its name. Room was reserved. */
static int dx_cas_p_add_ref(dx_cas_store *s, const dx_cas_p_ref *r)
{
    dx_cas_p_ref old;
    uint64_t place = r->place | DX_CAS_P_IS_REF;
    size_t slot;
    DX_CAS_ASSERT(r->place > 0 && r->place < DX_CAS_P_PLACE_MAX);
    DX_CAS_P_TRY(dx_cas_p_find_ref(s, r->ref.name, &old, &slot));
    if (slot == SIZE_MAX) dx_cas_p_insert(s, dx_cas_p_name_fingerprint(r->ref.name), place);
    else s->slots_[slot].place = place;
    if (r->op != DX_CAS_EXT_DELETE) s->stats_.names += !old.exists;
    else if (old.exists) s->stats_.names--;
    return DX_CAS_OK;
}

/* Append a ref record and enter it as the newest of its name. */
static int dx_cas_p_put_ref(dx_cas_store *s, dx_cas_p_ref *r)
{
    uint8_t bytes[DX_CAS_EXT_REF_MAX];
    dx_cas_ext_record rec;
    size_t size = dx_cas_p_encode_ref(r, bytes);
    DX_CAS_ASSERT(!s->failed_);
    DX_CAS_P_TRY(dx_cas_p_reserve(s, 1));
    DX_CAS_MEMSET(&rec, 0, sizeof rec);
    rec.type = DX_CAS_EXT_REF;
    rec.stored = rec.logical = size;
    dx_cas_p_id_of(DX_CAS_EXT_REF, bytes, size, &rec.id);
    DX_CAS_P_TRY(dx_cas_p_append(s, &rec, bytes, r->op != DX_CAS_EXT_SET));
    r->place = rec.place;
    s->failed_ = true; /* it is in the log: if the index cannot follow, it must not be committed */
    DX_CAS_P_TRY(dx_cas_p_add_ref(s, r));
    s->failed_ = false;
    return DX_CAS_OK;
}

/* Begin to change a name: *r is what it is now. DX_CAS_ECONFLICT unless that is at version
   expected. */
static int dx_cas_p_name_change(dx_cas_store *s, const char *name, uint64_t expected,
                                dx_cas_p_ref *r)
{
    uint64_t now;
    DX_CAS_ASSERT(r);
    DX_CAS_P_TRY(dx_cas_p_may_write(s));
    DX_CAS_P_TRY(dx_cas_p_name(s, name, r));
    if (expected == DX_CAS_ANY_VERSION) return DX_CAS_OK;
    now = r->exists ? r->ref.version : 0;
    return expected == now ? DX_CAS_OK : DX_CAS_ECONFLICT;
}

/* The version of a name at a place, with a number of at most version_max, and with the oldest
   version from the name's newest record. *out may hold the name. The place comes from another
   record and may be anything, but only a version of that name that is not newer is accepted. */
static int dx_cas_p_load_version(dx_cas_store *s, const char *name, uint64_t place,
                                 uint64_t version_max, uint64_t oldest, dx_cas_ref *out)
{
    dx_cas_p_ref r;
    DX_CAS_ASSERT(name && out);
    DX_CAS_P_TRY(dx_cas_p_read_ref_at(s, place, &r));
    if (r.op != DX_CAS_EXT_SET || r.ref.version > version_max ||
        DX_CAS_MEMCMP(name, r.ref.name, dx_cas_p_length(name) + 1) != 0) {
        return dx_cas_p_damaged(s, place);
    }
    *out = r.ref;
    out->oldest = oldest;
    return DX_CAS_OK;
}

/* Give a name the version *number; 0: the next one. */
static int dx_cas_p_set_ref(dx_cas_store *s, const dx_cas_ref *ref, uint64_t expected,
                            uint64_t *number)
{
    dx_cas_ext_record root;
    dx_cas_p_ref old, r;
    DX_CAS_ASSERT(number);
    if (!s || !ref || ref->info_size > DX_CAS_INFO_MAX) return DX_CAS_EINVAL;
    DX_CAS_P_TRY(dx_cas_p_name_change(s, ref->name, expected, &old));
    if (old.ref.version >= UINT64_MAX - 2) return DX_CAS_ETOOBIG;
    if (*number && *number <= old.ref.version) return DX_CAS_ECONFLICT;
    DX_CAS_P_TRY(dx_cas_p_find(s, &ref->root, &root, NULL));
    r.op = DX_CAS_EXT_SET;
    r.ref = *ref;
    r.ref.version = *number ? *number : old.ref.version + 1;
    r.ref.oldest = old.exists ? old.ref.oldest : r.ref.version;
    r.ref.previous_ = old.newest;
    DX_CAS_ASSERT(r.ref.oldest <= r.ref.version);
    DX_CAS_P_TRY(dx_cas_p_put_ref(s, &r));
    *number = r.ref.version;
    return DX_CAS_OK;
}

DX_CAS_API int dx_cas_ref_set(dx_cas_store *s, const dx_cas_ref *ref, uint64_t expected,
                              uint64_t *version)
{
    uint64_t number = 0;
    DX_CAS_P_TRY(dx_cas_p_set_ref(s, ref, expected, &number));
    if (version) *version = number;
    return DX_CAS_OK;
}

DX_CAS_API int dx_cas_ref_set_as(dx_cas_store *s, const dx_cas_ref *ref, uint64_t expected,
                                 uint64_t version)
{
    if (version == 0 || version > UINT64_MAX - 3) return DX_CAS_EINVAL;
    return dx_cas_p_set_ref(s, ref, expected, &version);
}

DX_CAS_API int dx_cas_ref_previous(dx_cas_store *s, dx_cas_ref *ref)
{
    if (!s || !ref || !s->open_ || !dx_cas_ext_name_ok(ref->name)) return DX_CAS_EINVAL;
    DX_CAS_ASSERT(DX_CAS_P_STEADY(s));
    if (ref->previous_ == 0 || ref->version <= ref->oldest) return DX_CAS_ENOTFOUND;
    /* each step goes to a smaller number, so a cycle of records ends */
    return dx_cas_p_load_version(s, ref->name, ref->previous_, ref->version - 1, ref->oldest, ref);
}

DX_CAS_API int dx_cas_ref_next(dx_cas_store *s, uint64_t *cursor, dx_cas_ref *out)
{
    if (!s || !cursor || !out || !s->open_) return DX_CAS_EINVAL;
    DX_CAS_ASSERT(DX_CAS_P_STEADY(s));
    while (*cursor < s->slot_count_) {
        const dx_cas_entry_ *e = &s->slots_[(size_t)(*cursor)++];
        dx_cas_p_ref r;
        if (e->place == 0 || !(e->place & DX_CAS_P_IS_REF)) continue;
        DX_CAS_P_TRY(dx_cas_p_read_ref_at(s, dx_cas_p_place(e), &r));
        if (!r.exists) continue;
        return dx_cas_p_load_version(s, r.ref.name, r.newest, r.ref.version, r.ref.oldest, out);
    }
    return DX_CAS_ENOTFOUND;
}

/* Append a record that drops versions before oldest; all of them for DX_CAS_ANY_VERSION. Such
   records may use the room reserved for them on a full device. */
static int dx_cas_p_drop(dx_cas_store *s, const char *name, uint64_t expected, uint64_t oldest)
{
    dx_cas_p_ref old, r;
    bool all = oldest == DX_CAS_ANY_VERSION;
    DX_CAS_P_TRY(dx_cas_p_name_change(s, name, expected, &old));
    if (!old.exists) return DX_CAS_ENOTFOUND;
    if (!all && oldest > old.ref.version) return DX_CAS_EINVAL;
    if (oldest <= old.ref.oldest) return DX_CAS_OK;
    DX_CAS_ASSERT(oldest <= old.ref.version || all);
    DX_CAS_MEMSET(&r, 0, sizeof r);
    DX_CAS_MEMCPY(r.ref.name, name, dx_cas_p_length(name));
    r.op = all ? DX_CAS_EXT_DELETE : DX_CAS_EXT_TRIM;
    r.ref.version = old.ref.version;
    r.ref.oldest = all ? old.ref.version + 1 : oldest;
    r.ref.previous_ = all ? 0 : old.newest;
    return dx_cas_p_put_ref(s, &r);
}

DX_CAS_API int dx_cas_ref_delete(dx_cas_store *s, const char *name, uint64_t expected)
{
    return dx_cas_p_drop(s, name, expected, DX_CAS_ANY_VERSION);
}

DX_CAS_API int dx_cas_ref_trim(dx_cas_store *s, const char *name, uint64_t oldest)
{
    if (oldest == DX_CAS_ANY_VERSION) return DX_CAS_EINVAL;
    return dx_cas_p_drop(s, name, DX_CAS_ANY_VERSION, oldest);
}

/* >>recovery ------------------------------------------------------------
   After a crash the log may end anywhere: inside a record (a torn write), in sectors that were
   written in any order, in old bytes that came back. Open scans the record headers in order and
   decides how much of the log counts:

       | commit 7 | blob | blob | commit 8 | blob | //////// | zeros
                                           ^ tip: all before it counts
                                           | what follows was never committed: a torn tail, which is
                                             cut off by the next writer, and no damage

       | commit 7 | blob | //////// | ref | commit 8 |
                           ^ lost: a gap, but a commit follows, so it was committed: damage

   The scan trusts no length that a CRC does not cover. Where no record begins it looks for the
   next one at each multiple of the alignment. Opening, refreshing, verifying and collecting all
   go through it.

   Commits of one sync (ONCE) went to the device together with their records, in any order. The
   presence of such a commit does not prove that its records are complete: a gap before it may be a
   torn write rather than damage. These gaps are `suspect` until a later commit, which is written
   only after that sync returned, proves the commit durable. Payloads of the remaining ones are
   rehashed (dx_cas_p_scan_recheck), and the log ends before the first commit that is not whole.

       good_end                          tip.end
       |                                 |
       | blob | commit 8 once | //// | commit 9 once |       suspect: the log ends at good_end */
typedef struct dx_cas_p_scan {
    dx_cas_store *s;
    uint64_t place;        /* the next record */
    uint64_t limit;        /* where to stop */
    uint64_t window_place; /* place of the bytes in the work memory, and how many. */
    size_t   window_size;  /* Set it to 0 when that memory is used for anything else */
    dx_cas_tip_ tip;       /* the last commit, and the chain of headers since */
    bool     chain_known;  /* no header was lost since then */
    bool     insert;       /* fill the index; cleared when it is full */
    uint64_t records;      /* since the last commit */

    uint64_t lost;         /* damage since the last commit; ignored if no commit follows */
    uint64_t lost_place;
    uint64_t suspect;      /* damage before a commit that may be a torn write */
    uint64_t suspect_place;
    uint64_t damage;       /* damage before a commit that was durable */
    uint64_t damage_place;

    uint64_t good_end;     /* end of the last commit that is certainly not torn */
    uint64_t durable_end;  /* before it no sync is needed any more */
    bool     gone;         /* a durable commit after good_end is missing */

    uint64_t entries;        /* records that may need a slot of the index, */
    uint64_t commit_entries; /* and how many of them are committed */
} dx_cas_p_scan;

/* Zeros are not a record; many may follow the log. But zeros may also be a torn first copy of a
   commit, whose second copy follows. */
static uint64_t dx_cas_p_skip_zeros(const dx_cas_p_scan *c, uint64_t place)
{
    const uint8_t *work = c->s->work_;
    uint64_t end = c->window_place + c->window_size;
    DX_CAS_ASSERT(place % c->s->form_.align == 0);
    while (place >= c->window_place && place + DX_CAS_EXT_HEAD + 4 <= end) {
        size_t at = (size_t)(place - c->window_place);
        if (dx_cas_p_load32(work + at) || dx_cas_p_load32(work + at + DX_CAS_EXT_HEAD)) break;
        place += c->s->form_.align;
    }
    return place;
}

/* The record header at a place, through a window of 4 KiB in the work memory. DX_CAS_ECORRUPT: no
   record, or it does not end before the limit. */
static int dx_cas_p_peek(dx_cas_p_scan *c, uint64_t place, dx_cas_ext_record *r)
{
    dx_cas_store *s = c->s;
    const uint8_t *at;
    DX_CAS_ASSERT(c->s->work_size_ >= DX_CAS_P_IO);
    if (place > c->limit || c->limit - place < DX_CAS_EXT_HEAD) return DX_CAS_ECORRUPT;
    if (place < c->window_place || place + DX_CAS_EXT_HEAD > c->window_place + c->window_size) {
        uint64_t want = c->limit - place;
        if (want > DX_CAS_P_WINDOW) want = DX_CAS_P_WINDOW;
        c->window_place = place;
        DX_CAS_P_TRY(s->desc_.device.read(s->desc_.device.user, place, s->work_, (size_t)want,
                                     &c->window_size));
        if (c->window_size < DX_CAS_EXT_HEAD) return DX_CAS_ECORRUPT;
    }
    at = s->work_ + (size_t)(place - c->window_place);
    DX_CAS_P_TRY(dx_cas_ext_record_decode(&s->form_, place, at, r));
    return dx_cas_p_sound(r->type == DX_CAS_EXT_COMMIT || r->next <= c->limit);
}

/* Is it the second copy of a commit? */
static bool dx_cas_p_second_copy(const dx_cas_ext_record *r)
{
    return r->type == DX_CAS_EXT_COMMIT &&
           (r->flags & DX_CAS_P_COPY_MASK) == DX_CAS_P_SECOND_COPY;
}

/* The record that begins at place. A commit begins with its first copy; if that is damaged, the
   second copy, directly after it, serves as well, but the commit begins where the first one was. So
   a second copy at place itself does not begin a record. */
static int dx_cas_p_record_at(dx_cas_p_scan *c, uint64_t place, dx_cas_ext_record *r)
{
    int error = dx_cas_p_peek(c, place, r);
    if (error == DX_CAS_OK && !dx_cas_p_second_copy(r)) return DX_CAS_OK;
    if (error != DX_CAS_OK && error != DX_CAS_ECORRUPT) return error;
    error = dx_cas_p_peek(c, place + DX_CAS_EXT_HEAD, r);
    if (error == DX_CAS_OK) error = dx_cas_p_sound(dx_cas_p_second_copy(r));
    r->place = place;
    DX_CAS_ASSERT(error != DX_CAS_OK || r->next - place >= 2 * DX_CAS_EXT_HEAD);
    return error;
}

/* Read the next record, or the gap to it (type 0, r->place .. r->next), and advance.
   DX_CAS_ENOTFOUND: no record follows. */
static int dx_cas_p_step(dx_cas_p_scan *c, dx_cas_ext_record *r)
{
    uint64_t place = c->place;
    int error = dx_cas_p_record_at(c, place, r);
    if (error == DX_CAS_ECORRUPT) {
        while (error == DX_CAS_ECORRUPT && place < c->limit) {
            place = dx_cas_p_skip_zeros(c, place + c->s->form_.align);
            error = dx_cas_p_record_at(c, place, r);
        }
        if (error == DX_CAS_ECORRUPT) error = DX_CAS_ENOTFOUND;
        r->type = 0;
        r->place = c->place;
        r->next = place < c->limit ? place : c->limit;
    }
    DX_CAS_ASSERT(error != DX_CAS_OK || r->next > c->place);
    c->place = r->next;
    return error;
}

/* Records that end at `to` follow the last commit, and none follows them: a torn tail. But if a
   sector of old content brought one of them back, a commit may lie inside its claimed payload:

       | commit 7 | old record, and its long payload ............ |
                             | commit 8 |

   DX_CAS_OK: that commit is *r, all from the last one to it a gap. DX_CAS_ENOTFOUND: none. */
static int dx_cas_p_step_covered(dx_cas_p_scan *c, const dx_cas_tip_ *tip, uint64_t to,
                                 dx_cas_ext_record *r)
{
    uint64_t place = tip->end;
    DX_CAS_ASSERT(tip->end % c->s->form_.align == 0);
    while (place < to) {
        int error = dx_cas_p_record_at(c, place, r);
        if (error == DX_CAS_OK && r->type == DX_CAS_EXT_COMMIT && r->logical > tip->sequence) {
            c->place = r->next;
            return DX_CAS_OK;
        }
        if (error != DX_CAS_OK && error != DX_CAS_ECORRUPT && error != DX_CAS_EVERSION) {
            return error;
        }
        place = dx_cas_p_skip_zeros(c, place + c->s->form_.align);
    }
    return DX_CAS_ENOTFOUND;
}

/* Data was lost at that place, if a commit follows. */
static void dx_cas_p_scan_lost(dx_cas_p_scan *c, uint64_t place)
{
    DX_CAS_ASSERT(place >= 2 * DX_CAS_EXT_HEAD);
    if (c->lost++ == 0) c->lost_place = place;
}

/* Does this commit follow from the headers since that one? Only then it is certainly the next. */
static bool dx_cas_p_chain_fits(const dx_cas_tip_ *tip, const dx_cas_ext_record *r)
{
    dx_cas_id id;
    DX_CAS_ASSERT(r->type == DX_CAS_EXT_COMMIT);
    if (r->logical != tip->sequence + 1) return false;
    dx_cas_p_chain_end(tip, r->logical, r->flags >> 8, &id);
    return dx_cas_id_equal(&id, &r->id);
}

/* *fits: does the commit follow, or is its predecessor unknown? A first copy that does not may be
   an old one that came back: then the second one counts and replaces it. */
static int dx_cas_p_scan_fits(dx_cas_p_scan *c, dx_cas_ext_record *r, bool *fits)
{
    dx_cas_ext_record second;
    int error;
    DX_CAS_ASSERT(r->type == DX_CAS_EXT_COMMIT);
    *fits = !c->chain_known || dx_cas_p_chain_fits(&c->tip, r);
    if (*fits) return DX_CAS_OK;
    error = dx_cas_p_peek(c, r->place + DX_CAS_EXT_HEAD, &second);
    if (error != DX_CAS_OK) return error == DX_CAS_ECORRUPT ? DX_CAS_OK : error;
    *fits = dx_cas_p_second_copy(&second) && dx_cas_p_chain_fits(&c->tip, &second);
    if (!*fits) return DX_CAS_OK;
    second.place = r->place;
    *r = second;
    return DX_CAS_OK;
}

/* The damage counted in *lost was durable: no power cut took it. */
static void dx_cas_p_scan_damage(dx_cas_p_scan *c, uint64_t *lost, uint64_t place)
{
    DX_CAS_ASSERT(lost == &c->lost || lost == &c->suspect);
    if (*lost && c->damage == 0) c->damage_place = place;
    c->damage += *lost;
    *lost = 0;
}

/* The last commit read was durable: damage before it is real. */
static void dx_cas_p_scan_proved(dx_cas_p_scan *c)
{
    dx_cas_p_scan_damage(c, &c->suspect, c->suspect_place);
    DX_CAS_ASSERT(c->suspect == 0 && c->good_end <= c->tip.end);
    c->good_end = c->tip.end;
    c->gone = false;
}

/* A commit makes everything before it count, including damage, unless it was written in one sync
   with it. A later commit was not written before that sync had ended: so a commit whose number is
   missing before it was durable, and is damaged.

   The record itself proves less about itself: it may be in the cache of a system whose sync failed,
   and be gone after a power cut. So it is certainly durable only when the next one exists. */
static void dx_cas_p_scan_commit(dx_cas_p_scan *c, const dx_cas_ext_record *r, bool fits)
{
    uint32_t marks = r->flags >> 8;
    DX_CAS_ASSERT(r->type == DX_CAS_EXT_COMMIT);
    /* ORDERED proves nothing: a barrier may have failed. */
    bool synced = !(marks & (DX_CAS_EXT_LOOSE | DX_CAS_EXT_ORDERED));
    if (!fits) dx_cas_p_scan_lost(c, r->place);
    if (r->logical <= c->tip.sequence) return; /* left over from somewhere else */
    if (synced) {
        dx_cas_p_scan_proved(c);
        c->durable_end = marks & DX_CAS_EXT_ONCE ? c->tip.end : r->place;
        if (r->logical > c->tip.sequence + 1) {
            c->gone = true;
            dx_cas_p_scan_damage(c, &c->lost, c->lost_place);
        }
    }
    if (c->lost && c->suspect == 0) c->suspect_place = c->lost_place;
    c->suspect += c->lost;
    c->lost = c->records = 0;
    c->commit_entries = c->entries;
    dx_cas_p_tip_set(&c->tip, &r->id, r->logical, r->next);
    c->tip.marks = marks;
    c->chain_known = true;
    if (synced && !(marks & DX_CAS_EXT_ONCE)) dx_cas_p_scan_proved(c);
}

/* Enter an object of the log. Its id is only the header's claim. If many ids have the same first 8
   bytes, further ones are verified first, because the cost of each grows with their number. */
static int dx_cas_p_scan_object(dx_cas_p_scan *c, const dx_cas_ext_record *r)
{
    dx_cas_store *s = c->s;
    uint64_t damage = s->damage_offset_;
    uint32_t alike;
    int error = dx_cas_p_is_known(s, &r->id, &alike);
    DX_CAS_ASSERT(r->type == DX_CAS_EXT_BLOB || r->type == DX_CAS_EXT_LIST);
    if (error != DX_CAS_ENOTFOUND) return error;
    if (alike >= DX_CAS_P_ALIKE_MAX) {
        error = dx_cas_p_stream(s, r, NULL, 0);
        c->window_size = 0; /* that used the work memory */
        s->damage_offset_ = damage;
        if (error == DX_CAS_ECORRUPT || error == DX_CAS_EBASE || error == DX_CAS_ENOTSUP ||
            error == DX_CAS_ETOOBIG) {
            dx_cas_p_scan_lost(c, r->place);
            return DX_CAS_OK;
        }
        if (error != DX_CAS_OK) return error;
    }
    dx_cas_p_enter_object(s, r);
    return DX_CAS_OK;
}

/* Put a record into the chain and, when asked to, into the index. */
static int dx_cas_p_scan_record(dx_cas_p_scan *c, const dx_cas_ext_record *r)
{
    const uint8_t *work = c->s->work_;
    dx_cas_p_ref ref;
    int error;
    DX_CAS_ASSERT(r->type != 0 && r->type != DX_CAS_EXT_COMMIT);
    DX_CAS_P_HASH(update)(&c->tip.chain, r->head, sizeof r->head);
    c->records++;
    c->entries++;
    if (r->type == DX_CAS_EXT_REF) {
        error = dx_cas_p_read_ref(c->s, r, &ref);
        if (error == DX_CAS_ECORRUPT) dx_cas_p_scan_lost(c, r->place);
        if (error != DX_CAS_OK) return error == DX_CAS_ECORRUPT ? DX_CAS_OK : error;
    }
    if (c->insert) c->insert = dx_cas_p_reserve(c->s, 1) == DX_CAS_OK; /* else only count */
    if (!c->insert) return DX_CAS_OK;
    if (c->s->work_ != work) c->window_size = 0; /* growing moved the work memory */
    return r->type == DX_CAS_EXT_REF ? dx_cas_p_add_ref(c->s, &ref) : dx_cas_p_scan_object(c, r);
}

/* A scan from the last commit that the store knows. */
static void dx_cas_p_scan_start(dx_cas_p_scan *c, dx_cas_store *s, uint64_t limit, bool insert)
{
    DX_CAS_ASSERT(s->tip_.end % s->form_.align == 0);
    DX_CAS_MEMSET(c, 0, sizeof *c);
    c->s = s;
    c->limit = limit;
    c->place = c->good_end = c->durable_end = s->tip_.end;
    c->tip = s->tip_;
    c->chain_known = true;
    c->insert = insert;
}

/* Scan up to limit, and with `insert` fill the index. The store's tip is unchanged: the caller may
   take over the result with dx_cas_p_scan_accept(). */
static int dx_cas_p_scan_run(dx_cas_p_scan *c, dx_cas_store *s, uint64_t limit, bool insert)
{
    uint64_t damage = s->damage_offset_;
    DX_CAS_ASSERT(s->form_.align >= 8 && s->work_);
    dx_cas_p_scan_start(c, s, limit, insert);
    for (;;) {
        dx_cas_ext_record r;
        bool fits;
        int error = dx_cas_p_step(c, &r);
        s->damage_offset_ = damage; /* a torn tail is not damage */
        if (error == DX_CAS_ENOTFOUND && !s->open_) { /* a refresh would repeat this each time */
            error = dx_cas_p_step_covered(c, &c->tip, r.place, &r);
            if (error == DX_CAS_OK) {
                c->lost = 0; /* the losses counted lie after this commit and are met again */
                dx_cas_p_scan_lost(c, c->tip.end);
                c->chain_known = false;
            }
        }
        if (error != DX_CAS_OK) return error == DX_CAS_ENOTFOUND ? DX_CAS_OK : error;
        if (r.type == 0) {
            dx_cas_p_scan_lost(c, r.place);
            c->chain_known = false;
        } else if (r.type == DX_CAS_EXT_COMMIT) {
            DX_CAS_P_TRY(dx_cas_p_scan_fits(c, &r, &fits));
            dx_cas_p_scan_commit(c, &r, fits);
        } else {
            DX_CAS_P_TRY(dx_cas_p_scan_record(c, &r));
        }
    }
}

/* Take over the scanned log. Everything in the index is from before its tip. */
static void dx_cas_p_scan_accept(const dx_cas_p_scan *c)
{
    dx_cas_store *s = c->s;
    DX_CAS_ASSERT(c->tip.end >= s->tip_.end);
    s->tip_ = c->tip;
    s->end_ = s->tip_.end;
    dx_cas_p_rekey_if_crowded(s); /* a reader may never insert again */
    DX_CAS_ASSERT(DX_CAS_P_STEADY(s));
    if (c->damage && s->stats_.damaged_places == 0) s->damage_offset_ = c->damage_place;
    s->stats_.damaged_places += c->damage;
}

/* Commits written in one sync with their records count as long as all of these are whole. If one
   of them is certainly damaged, they all count: its place no longer shows which records were
   durable with it. */
static int dx_cas_p_scan_recheck(dx_cas_p_scan *c)
{
    dx_cas_store *s = c->s;
    uint64_t damage = s->damage_offset_;
    uint64_t bad = c->suspect ? c->suspect_place : UINT64_MAX; /* first that is not whole */
    uint64_t good = c->good_end; /* end of the last commit before it */
    dx_cas_p_scan k;
    if (c->gone) {
        dx_cas_p_scan_proved(c);
        return DX_CAS_OK;
    }
    dx_cas_p_scan_start(&k, s, c->tip.end, false);
    for (k.place = c->good_end; k.place < k.limit && k.place < bad;) {
        dx_cas_ext_record r;
        int error = dx_cas_p_step(&k, &r);
        k.window_size = 0; /* the rest uses the work memory */
        if (error == DX_CAS_OK && (r.type == DX_CAS_EXT_BLOB || r.type == DX_CAS_EXT_LIST)) {
            error = dx_cas_p_stream(s, &r, NULL, 0);
        }
        s->damage_offset_ = damage;
        if (error == DX_CAS_EBASE) error = DX_CAS_OK; /* it is whole itself */
        if (error == DX_CAS_ECORRUPT) bad = r.place;
        else if (error != DX_CAS_OK) return error;
        else if (r.type == DX_CAS_EXT_COMMIT) good = k.place;
    }
    DX_CAS_ASSERT(good >= c->good_end);
    c->suspect = bad != UINT64_MAX;
    if (c->suspect) c->good_end = good;
    return DX_CAS_OK;
}

/* >>checkpoint ----------------------------------------------------------
   Opening a large store reads all record headers, unless the index was kept on a device of its
   own, desc.checkpoint. It is a sequence of blocks, each with the entries that came since the
   one before:

       | block 1: entries of [a, b) | block 2: [b, c) | block 3: [c, d) |
                                                                    |
       log   a ............ b ........... c ....... d ....... tip   |
                                          the scan starts ---^  <---+

       block     0 magic                   40 id of that commit      96 hash of the block before
                 8 number of entries       72 objects,              128 entries, 16 bytes each
                16 from: a, b, c ...       80 bytes of them,            ...
                24 end: b, c, d ...        88 bytes as stored,      end-32 hash of this block
                32 number of the commit       in all blocks so far
                   that ends there

   A block counts if it is whole, follows from the one before, and its commit is in the log where
   the block says. The checkpoint ends before the first block that does not; the log has the content
   of the rest. So it may be lost, torn or old at any time, and the log always takes precedence.
   When more than half of its entries are out of date, it is written from the start.

   Opening is here, too, and so is what a writer repairs when it opens a store. */
typedef struct dx_cas_p_block {
    uint64_t size;     /* bytes, all of it */
    uint64_t count;    /* entries */
    uint64_t from;     /* their records are in this part of the log, */
    uint64_t end;      /* which ends with a commit, */
    uint32_t marks;    /* that has these marks */
    dx_cas_id chain;   /* and this id */
    dx_cas_id hash;    /* of the block */
    uint8_t  head[DX_CAS_P_BLOCK];
} dx_cas_p_block;

static const uint8_t dx_cas_p_block_magic[8] = {0x89, 'D', 'X', 'I', 'D', 'X', 0x0d, 0x0a};

/* An empty checkpoint: it covers nothing of the log. */
static void dx_cas_p_saved_none(const dx_cas_store *s, dx_cas_saved_ *saved)
{
    DX_CAS_ASSERT(saved);
    DX_CAS_MEMSET(saved, 0, sizeof *saved);
    saved->end = dx_cas_p_align(s, 2 * DX_CAS_EXT_HEAD);
}

/* Append a block to it. */
static void dx_cas_p_saved_add(dx_cas_saved_ *saved, const dx_cas_p_block *b)
{
    DX_CAS_ASSERT(b->from == saved->end && b->end > b->from);
    saved->size += b->size;
    saved->end = b->end;
    saved->hash = b->hash;
}

/* Bytes of the block after s->saved_, from its byte `at` on. */
static int dx_cas_p_block_read(dx_cas_store *s, uint64_t at, void *out, size_t size)
{
    DX_CAS_ASSERT(s->desc_.checkpoint.read);
    return dx_cas_p_read_from(&s->desc_.checkpoint, s->saved_.size + at, out, size);
}

/* Read entries from number i on into the work memory. *size: bytes of whole entries. */
static int dx_cas_p_block_piece(dx_cas_store *s, const dx_cas_p_block *b, uint64_t i, size_t *size)
{
    uint64_t left = (b->count - i) * DX_CAS_P_SLOT;
    DX_CAS_ASSERT(i < b->count && DX_CAS_P_IO % DX_CAS_P_SLOT == 0);
    *size = left < DX_CAS_P_IO ? (size_t)left : (size_t)DX_CAS_P_IO;
    return dx_cas_p_block_read(s, DX_CAS_P_BLOCK + i * DX_CAS_P_SLOT, s->work_, *size);
}

/* Open the block after s->saved_; an error unless it is whole and of this log. */
static int dx_cas_p_block_open(dx_cas_store *s, dx_cas_p_block *b)
{
    dx_cas_ext_record commit;
    dx_cas_hasher h;
    dx_cas_id is;
    uint64_t i;
    size_t size;
    DX_CAS_ASSERT(s->saved_.end >= 2 * DX_CAS_EXT_HEAD);
    DX_CAS_P_TRY(dx_cas_p_block_read(s, 0, b->head, sizeof b->head));
    b->count = dx_cas_p_load64(b->head + 8);
    b->from = dx_cas_p_load64(b->head + 16);
    b->end = dx_cas_p_load64(b->head + 24);
    DX_CAS_MEMCPY(b->chain.bytes, b->head + 40, 32);
    if (DX_CAS_MEMCMP(b->head, dx_cas_p_block_magic, 8) != 0 || b->from != s->saved_.end ||
        b->end < b->from || b->end - b->from < 2 * DX_CAS_EXT_HEAD || b->end > DX_CAS_P_PLACE_MAX ||
        DX_CAS_MEMCMP(b->head + 96, s->saved_.hash.bytes, 32) != 0 ||
        b->count > (b->end - b->from) / DX_CAS_EXT_HEAD) { /* each has a record */
        return DX_CAS_ECORRUPT;
    }
    dx_cas_ext_id_start(&h, DX_CAS_P_INDEX);
    DX_CAS_P_HASH(update)(&h, b->head, sizeof b->head);
    for (i = 0; i < b->count; i += size / DX_CAS_P_SLOT) {
        DX_CAS_P_TRY(dx_cas_p_block_piece(s, b, i, &size));
        DX_CAS_P_HASH(update)(&h, s->work_, size);
    }
    DX_CAS_P_HASH(final)(&h, is.bytes, sizeof is.bytes);
    b->size = DX_CAS_P_BLOCK + b->count * DX_CAS_P_SLOT + DX_CAS_P_BLOCK_END;
    DX_CAS_P_TRY(dx_cas_p_block_read(s, b->size - DX_CAS_P_BLOCK_END, b->hash.bytes,
                                     DX_CAS_P_BLOCK_END));
    DX_CAS_P_TRY(dx_cas_p_sound(dx_cas_id_equal(&is, &b->hash)));
    DX_CAS_P_TRY(dx_cas_p_commit_at(s, b->end, &b->chain, &commit));
    b->marks = commit.flags >> 8;
    return dx_cas_p_sound(commit.logical == dx_cas_p_load64(b->head + 32) && commit.next == b->end);
}

/* Enter one entry of a block into a reserved slot. The block is whole, but a hostile writer may
   have made it: a place must be in the block's part of the log, a name's record is read, and the
   limit on objects with equal fingerprints is that of the log. */
static int dx_cas_p_block_enter(dx_cas_store *s, const dx_cas_p_block *b, const dx_cas_entry_ *e)
{
    uint64_t place = dx_cas_p_place(e);
    size_t i, steps = 0;
    uint32_t alike = 0;
    dx_cas_p_ref ref;
    DX_CAS_ASSERT(b->end > b->from);
    if (place < b->from || place >= b->end) return DX_CAS_ECORRUPT;
    dx_cas_p_rekey_if_crowded(s);
    if (e->place == (place | DX_CAS_P_IS_REF)) {
        DX_CAS_P_TRY(dx_cas_p_read_ref_at(s, place, &ref));
        if (dx_cas_p_name_fingerprint(ref.ref.name) != e->fingerprint) return DX_CAS_ECORRUPT;
        return dx_cas_p_add_ref(s, &ref);
    }
    for (i = dx_cas_p_home(s, e->fingerprint); dx_cas_p_probe(s, e->fingerprint, 0, &i, &steps);
         i = dx_cas_p_next_slot(s, i)) {
        alike++;
    }
    if (e->place >> DX_CAS_P_LEVEL_SHIFT > DX_CAS_LEVELS_MAX) return DX_CAS_ECORRUPT;
    if (alike >= DX_CAS_P_ALIKE_MAX) return DX_CAS_ECORRUPT;
    DX_CAS_ASSERT(s->entry_count_ < dx_cas_p_entries_max(s) && s->slots_[i].place == 0);
    s->slots_[i] = *e; /* the probe ended here, at a free slot */
    s->entry_count_++;
    return DX_CAS_OK;
}

/* Enter all entries of an opened block, its statistics, and its commit as the tip. */
static int dx_cas_p_block_restore(dx_cas_store *s, const dx_cas_p_block *b)
{
    dx_cas_entry_ e;
    uint64_t i;
    size_t size, n;
    DX_CAS_ASSERT(b->from == s->saved_.end && b->end > b->from);
    DX_CAS_P_TRY(dx_cas_p_reserve(s, b->count));
    for (i = 0; i < b->count; i += size / DX_CAS_P_SLOT) {
        DX_CAS_P_TRY(dx_cas_p_block_piece(s, b, i, &size));
        for (n = 0; n < size; n += DX_CAS_P_SLOT) {
            e.fingerprint = dx_cas_p_load64(s->work_ + n);
            e.place = dx_cas_p_load64(s->work_ + n + 8);
            DX_CAS_P_TRY(dx_cas_p_block_enter(s, b, &e));
        }
    }
    s->stats_.objects = dx_cas_p_load64(b->head + 72);
    s->stats_.logical_bytes = dx_cas_p_load64(b->head + 80);
    s->stats_.stored_bytes = dx_cas_p_load64(b->head + 88);
    dx_cas_p_tip_set(&s->tip_, &b->chain, dx_cas_p_load64(b->head + 32), b->end);
    s->tip_.marks = b->marks;
    return DX_CAS_OK;
}

/* Empty the index, and with `use` fill it from the checkpoint. False: the checkpoint is wrong, or
   the memory too small; the index is then invalid. */
static bool dx_cas_p_saved_load(dx_cas_store *s, const dx_cas_tip_ *first, bool use)
{
    dx_cas_p_block b;
    DX_CAS_ASSERT(!use || s->desc_.checkpoint.read);
    DX_CAS_MEMSET(s->slots_, 0, s->slot_count_ * sizeof *s->slots_);
    DX_CAS_MEMSET(&s->stats_, 0, sizeof s->stats_);
    s->entry_count_ = 0;
    s->tip_ = *first;
    dx_cas_p_saved_none(s, &s->saved_);
    while (use && dx_cas_p_block_open(s, &b) == DX_CAS_OK) {
        if (dx_cas_p_block_restore(s, &b) != DX_CAS_OK) return false;
        dx_cas_p_saved_add(&s->saved_, &b);
    }
    return true;
}

/* Read the log into an empty index, starting with the checkpoint. Most stores end with a commit
   that counts. If anything follows it, that is in the index now, and an entry cannot be removed: a
   second pass rebuilds the index and scans only up to the right end. */
static int dx_cas_p_load(dx_cas_store *s, uint64_t device_size)
{
    dx_cas_p_scan c;
    dx_cas_tip_ first = s->tip_;
    uint64_t limit = device_size, damage = s->damage_offset_, known = 0;
    int tries;
    DX_CAS_ASSERT(s->tip_.sequence == 0 && s->end_ == s->tip_.end);
    for (tries = 0; tries < 2; tries++) {
        if (!dx_cas_p_saved_load(s, &first, s->desc_.checkpoint.read != NULL)) {
            (void)dx_cas_p_saved_load(s, &first, false);
        }
        s->damage_offset_ = damage;
        known = s->entry_count_;
        DX_CAS_P_TRY(dx_cas_p_scan_run(&c, s, limit, true));
        if (tries > 0 && c.tip.end != limit) return DX_CAS_EAGAIN;
        if (tries == 0) {
            DX_CAS_P_TRY(dx_cas_p_scan_recheck(&c));
            s->torn_ = c.suspect != 0;
        }
        if (c.suspect == 0 && c.records == 0 && c.lost == 0) break;
        limit = c.suspect ? c.good_end : c.tip.end;
    }
    s->unsynced_from_ = c.durable_end;
    s->unsynced_to_ = c.tip.end;
    DX_CAS_ASSERT(s->unsynced_from_ <= s->unsynced_to_);
    dx_cas_p_scan_proved(&c);
    if (!c.insert) {
        known += c.entries;
        s->memory_needed_ = dx_cas_p_memory_for(s->work_size_, known + known / 2);
        return DX_CAS_ENOMEM;
    }
    s->idle_size_ = device_size;
    dx_cas_p_scan_accept(&c);
    return DX_CAS_OK;
}

/* Read the store header. DX_CAS_ENOTFOUND: an empty device, or the remains of an
   interrupted creation. */
static int dx_cas_p_load_header(dx_cas_store *s, uint64_t device_size)
{
    uint8_t head[2 * DX_CAS_EXT_HEAD];
    size_t size = device_size < sizeof head ? (size_t)device_size : sizeof head, i;
    bool begun = device_size <= sizeof head; /* there may never have been more than a header */
    int error = dx_cas_p_read(s, 0, head, size);
    DX_CAS_ASSERT(s->desc_.device.read);
    if (error != DX_CAS_OK) return error == DX_CAS_ETRUNCATED ? DX_CAS_EAGAIN : error;
    for (i = 0; i < size && i < 8; i++) {
        if (head[i] != 0 && head[i] != dx_cas_p_store_magic[i]) begun = false;
    }
    error = size < sizeof head ? DX_CAS_ECORRUPT : dx_cas_p_decode_store(s, head, 0);
    if (error == DX_CAS_ECORRUPT && size == sizeof head) {
        error = dx_cas_p_decode_store(s, head + DX_CAS_EXT_HEAD, 1);
    }
    if (error != DX_CAS_ECORRUPT) return error;
    return begun ? DX_CAS_ENOTFOUND : dx_cas_p_damaged(s, 0);
}

/* Both copies of a commit record, and the padding; returns their size. */
static size_t dx_cas_p_encode_commit(const dx_cas_store *s, uint64_t place, uint64_t sequence,
                                     uint32_t marks, const dx_cas_id *chain, uint8_t *out)
{
    size_t size = (size_t)(dx_cas_p_align(s, place + 2 * DX_CAS_EXT_HEAD) - place);
    dx_cas_ext_record r;
    uint32_t copy;
    DX_CAS_ASSERT(marks < 256);
    DX_CAS_MEMSET(&r, 0, sizeof r);
    DX_CAS_MEMSET(out, 0, size);
    r.type = DX_CAS_EXT_COMMIT;
    r.logical = sequence;
    r.id = *chain;
    for (copy = 0; copy < 2; copy++) {
        r.place = place + copy * DX_CAS_EXT_HEAD;
        r.flags = marks << 8 | (copy + 1);
        dx_cas_ext_record_encode(&s->form_, &r);
        DX_CAS_MEMCPY(out + copy * DX_CAS_EXT_HEAD, r.head, DX_CAS_EXT_HEAD);
    }
    return size;
}

/* Sync, whatever desc.durability is. */
static int dx_cas_p_sync_all(dx_cas_store *s)
{
    DX_CAS_ASSERT(s->desc_.device.sync);
    return s->desc_.device.sync(s->desc_.device.user);
}

/* Do commits use the device's barrier in place of a sync? */
static bool dx_cas_p_has_barrier(const dx_cas_store *s)
{
    return s->desc_.durability == DX_CAS_BARRIER && s->desc_.device.barrier;
}

/* Sync as desc.durability requires. */
static int dx_cas_p_sync(dx_cas_store *s)
{
    DX_CAS_ASSERT(s->desc_.device.sync && s->desc_.durability <= DX_CAS_NONE);
    if (s->desc_.durability == DX_CAS_NONE) return DX_CAS_OK;
    if (dx_cas_p_has_barrier(s)) return s->desc_.device.barrier(s->desc_.device.user);
    return dx_cas_p_sync_all(s);
}

/* After a failed sync the page cache may hold bytes that every read returns and no later sync
   writes: Linux marks them clean. Rewriting them makes the next sync write them. Their content does
   not change, so neither a power cut nor an error half-way can make things worse. */
static int dx_cas_p_rewrite(dx_cas_store *s)
{
    uint64_t place = s->unsynced_from_;
    DX_CAS_ASSERT(s->unsynced_from_ <= s->unsynced_to_);
    while (place < s->unsynced_to_) {
        uint64_t size = s->unsynced_to_ - place;
        if (size > DX_CAS_P_IO) size = DX_CAS_P_IO;
        DX_CAS_P_TRY(dx_cas_p_read(s, place, s->work_, (size_t)size));
        DX_CAS_P_TRY(dx_cas_p_write(s, place, s->work_, size));
        place += size;
    }
    return DX_CAS_OK;
}

/* Make commits of earlier sessions durable; unless `fully`, only as desc.durability requires. */
static int dx_cas_p_make_durable(dx_cas_store *s, bool fully)
{
    DX_CAS_ASSERT(s->desc_.mode & DX_CAS_WRITE);
    DX_CAS_P_TRY(dx_cas_p_rewrite(s));
    DX_CAS_P_TRY(fully ? dx_cas_p_sync_all(s) : dx_cas_p_sync(s));
    s->unsynced_from_ = s->unsynced_to_;
    return DX_CAS_OK;
}

/* Compare the bytes at place with want; NULL: zeros. DX_CAS_ECORRUPT or DX_CAS_ETRUNCATED if they
   differ. Uses the second half of the IO memory: want may be in the first. */
static int dx_cas_p_compare(dx_cas_store *s, uint64_t place, const uint8_t *want, uint64_t size)
{
    uint8_t *is = s->work_ + DX_CAS_P_IO / 2;
    size_t n, i;
    DX_CAS_ASSERT(s->work_size_ >= DX_CAS_P_IO);
    for (; size > 0; size -= n, place += n) {
        n = size < DX_CAS_P_IO / 2 ? (size_t)size : (size_t)DX_CAS_P_IO / 2;
        DX_CAS_P_TRY(dx_cas_p_read(s, place, is, n));
        for (i = 0; i < n; i++) {
            if (is[i] != (want ? want[i] : 0)) return DX_CAS_ECORRUPT;
        }
        if (want) want += n;
    }
    return DX_CAS_OK;
}

/* Write what differs from `want`, copy by copy, then the padding. A right copy is not touched, so
   that it survives if writing the other one fails. */
static int dx_cas_p_complete(dx_cas_store *s, uint64_t place, const uint8_t *want, size_t size)
{
    size_t at, part;
    DX_CAS_ASSERT(size >= 2 * DX_CAS_EXT_HEAD && size <= DX_CAS_P_IO / 2);
    for (at = 0; at < size; at += part) {
        int error;
        part = at < 2 * DX_CAS_EXT_HEAD ? (size_t)DX_CAS_EXT_HEAD : size - at;
        error = dx_cas_p_compare(s, place + at, want + at, part);
        if (error == DX_CAS_OK) continue;
        if (error != DX_CAS_ECORRUPT && error != DX_CAS_ETRUNCATED) return error;
        DX_CAS_P_TRY(dx_cas_p_write(s, place + at, want + at, part));
    }
    return DX_CAS_OK;
}

/* Is there anything but preallocated zeros after the log? */
static bool dx_cas_p_has_tail(dx_cas_store *s, uint64_t device_size)
{
    DX_CAS_ASSERT(s->end_ == s->tip_.end);
    if (device_size <= s->end_) return false;
    if (s->desc_.preallocate == 0) return true;
    return dx_cas_p_compare(s, s->end_, NULL, device_size - s->end_) != DX_CAS_OK;
}

/* A writer cuts off everything after the last commit, or after the store header, and completes the
   copies of these. The header is written in any case: nothing may follow it before it is durable.

   Then it syncs, at each level. A failed commit was cut off, but may still be on the medium, and
   new records would overwrite the ones it covers. And committed data may not be durable: it must be
   before anything is acknowledged or written after it. */
static int dx_cas_p_repair_tail(dx_cas_store *s, uint64_t device_size)
{
    uint8_t *want = s->work_;
    uint64_t place = 0; /* start of the end of the log: a commit, or the header and its padding */
    size_t size = (size_t)s->end_;
    bool cut = dx_cas_p_has_tail(s, device_size);
    DX_CAS_ASSERT(s->desc_.mode & DX_CAS_WRITE);
    s->device_size_ = cut ? s->end_ : device_size;
    if (s->tip_.sequence == 0) {
        DX_CAS_ASSERT(size <= DX_CAS_P_IO / 2); /* at most 4096 bytes */
        DX_CAS_MEMSET(want, 0, size);
        dx_cas_p_encode_store(s, want);
    } else {
        place = s->end_ - dx_cas_p_align(s, 2 * DX_CAS_EXT_HEAD);
        size = dx_cas_p_encode_commit(s, place, s->tip_.sequence, s->tip_.marks, &s->tip_.id, want);
    }
    if (cut) DX_CAS_P_TRY(s->desc_.device.truncate(s->desc_.device.user, s->end_));
    if (s->tip_.sequence == 0) {
        DX_CAS_P_TRY(dx_cas_p_write(s, 0, want, 2 * DX_CAS_EXT_HEAD));
        DX_CAS_P_TRY(dx_cas_p_sync_all(s));
    }
    DX_CAS_P_TRY(dx_cas_p_complete(s, place, want, size));
    if (s->desc_.durability == DX_CAS_NONE) return dx_cas_p_sync_all(s);
    return dx_cas_p_make_durable(s, false);
}

/* Write the bytes of a block in the work memory to *place, and hash them. */
static int dx_cas_p_block_flush(dx_cas_store *s, size_t size, uint64_t *place, dx_cas_hasher *h)
{
    const dx_cas_device *d = &s->desc_.checkpoint;
    DX_CAS_ASSERT(size <= DX_CAS_P_IO);
    DX_CAS_P_HASH(update)(h, s->work_, size);
    DX_CAS_P_TRY(d->write(d->user, *place, s->work_, size));
    *place += size;
    return DX_CAS_OK;
}

/* Append a block with the `count` entries that *saved lacks; *saved then covers everything. */
static int dx_cas_p_block_write(dx_cas_store *s, dx_cas_saved_ *saved, uint64_t count)
{
    const dx_cas_device *d = &s->desc_.checkpoint;
    uint64_t place = saved->size;
    uint8_t *io = s->work_;
    dx_cas_hasher h;
    dx_cas_id hash;
    size_t fill = DX_CAS_P_BLOCK, i;
    DX_CAS_ASSERT(count <= s->entry_count_ && saved->end < s->tip_.end);
    dx_cas_ext_id_start(&h, DX_CAS_P_INDEX);
    DX_CAS_MEMCPY(io, dx_cas_p_block_magic, 8);
    dx_cas_p_store64(io + 8, count);
    dx_cas_p_store64(io + 16, saved->end);
    dx_cas_p_store64(io + 24, s->tip_.end);
    dx_cas_p_store64(io + 32, s->tip_.sequence);
    DX_CAS_MEMCPY(io + 40, s->tip_.id.bytes, 32);
    dx_cas_p_store64(io + 72, s->stats_.objects);
    dx_cas_p_store64(io + 80, s->stats_.logical_bytes);
    dx_cas_p_store64(io + 88, s->stats_.stored_bytes);
    DX_CAS_MEMCPY(io + 96, saved->hash.bytes, 32);
    DX_CAS_P_TRY(d->truncate(d->user, place));
    for (i = 0; i < s->slot_count_; i++) {
        const dx_cas_entry_ *e = &s->slots_[i];
        if (dx_cas_p_place(e) < saved->end) continue; /* known, or a free slot */
        if (fill == DX_CAS_P_IO) {
            DX_CAS_P_TRY(dx_cas_p_block_flush(s, fill, &place, &h));
            fill = 0;
        }
        dx_cas_p_store64(io + fill, e->fingerprint);
        dx_cas_p_store64(io + fill + 8, e->place);
        fill += DX_CAS_P_SLOT;
    }
    DX_CAS_P_TRY(dx_cas_p_block_flush(s, fill, &place, &h)); /* never empty: at least the head */
    DX_CAS_ASSERT(place == saved->size + DX_CAS_P_BLOCK + count * DX_CAS_P_SLOT);
    DX_CAS_P_HASH(final)(&h, hash.bytes, sizeof hash.bytes);
    saved->size = place + sizeof hash.bytes;
    saved->end = s->tip_.end;
    saved->hash = hash;
    return d->write(d->user, place, hash.bytes, sizeof hash.bytes);
}

DX_CAS_API int dx_cas_checkpoint(dx_cas_store *s)
{
    dx_cas_saved_ saved;
    uint64_t count = 0, whole;
    size_t i;
    int error;
    DX_CAS_P_TRY(dx_cas_p_may_write(s));
    if (!s->desc_.checkpoint.read || s->dirty_) return DX_CAS_EINVAL;
    DX_CAS_ASSERT(DX_CAS_P_STEADY(s) && s->end_ == s->tip_.end && s->saved_.end <= s->tip_.end);
    if (s->tip_.end == s->saved_.end) return DX_CAS_OK;
    s->failed_ = true;
    DX_CAS_P_TRY(dx_cas_p_make_durable(s, true)); /* it must not outlive the log */
    s->failed_ = false;
    for (i = 0; i < s->slot_count_; i++) count += dx_cas_p_place(&s->slots_[i]) >= s->saved_.end;
    saved = s->saved_;
    whole = DX_CAS_P_BLOCK + DX_CAS_P_BLOCK_END + (uint64_t)s->entry_count_ * DX_CAS_P_SLOT;
    if (saved.size + count * DX_CAS_P_SLOT > 2 * whole + 4096) { /* half of it is out of date */
        dx_cas_p_saved_none(s, &saved);
        count = s->entry_count_;
    }
    dx_cas_p_saved_none(s, &s->saved_); /* in case it fails */
    error = dx_cas_p_block_write(s, &saved, count);
    if (error == DX_CAS_OK) s->saved_ = saved;
    return error;
}

/* >>public --------------------------------------------------------------
   Open, commit and refresh, which connect the sections above. Arguments are checked here; the
   functions above rely on them.

   A commit in two syncs (DX_CAS_FULL) never needs a second check:

       write records --> sync --> write commit record --> sync --> acknowledged

   If the commit record exists, so does everything that it commits. A commit of one sync saves the
   first one; its record may then exist without its records, so open hashes them again.

   failed_ is set during a commit and stays set if it fails: nobody knows which data a failed sync
   has kept, so nothing may be written after it. */
DX_CAS_API size_t dx_cas_memory_size(const dx_cas_desc *desc)
{
    uint64_t objects;
    uint64_t size;
    if (!desc) return 0;
    objects = desc->objects_max ? desc->objects_max : 65536;
    size = dx_cas_p_memory_for(dx_cas_p_work_size(desc), objects);
    return objects > (uint64_t)1 << 40 || size > SIZE_MAX ? 0 : (size_t)size;
}

DX_CAS_API void dx_cas_close(dx_cas_store *s)
{
    if (!s) return;
    s->open_ = false;
    s->desc_.memory = NULL;
}

/* Check everything in a desc that does not need the device. */
static bool dx_cas_p_desc_ok(const dx_cas_desc *desc)
{
    const dx_cas_device *d = &desc->device, *k = &desc->checkpoint;
    size_t i;
    DX_CAS_ASSERT(desc);
    if (!d->read || !d->size || !desc->memory) return false;
    if ((desc->mode & DX_CAS_WRITE) && (!d->write || !d->sync || !d->truncate)) return false;
    if (desc->mode & ~(uint32_t)(DX_CAS_WRITE | DX_CAS_CREATE | DX_CAS_ACCEPT_DAMAGE)) return false;
    /* a power of two from 8 on, or 0: the default */
    if (desc->align > 4096 || (desc->align & (desc->align - 1)) || (desc->align & 7)) return false;
    if (desc->object_size_max > (uint32_t)1 << 30 || desc->durability > DX_CAS_NONE) return false;
    if (desc->codec_count && !desc->codecs) return false;
    if (k->read && (!k->size || ((desc->mode & DX_CAS_WRITE) && (!k->write || !k->truncate)))) {
        return false;
    }
    for (i = 0; i < desc->codec_count; i++) {
        const dx_cas_codec *c = &desc->codecs[i];
        bool reserved = c->number == 0 || (c->number > 2 && c->number < 128);
        if (reserved || !c->compress || !c->decompress) return false;
    }
    return true;
}

/* Create an empty store, durable before anything else is written. */
static int dx_cas_p_create(dx_cas_store *s, const dx_cas_desc *desc)
{
    uint8_t head[2 * DX_CAS_EXT_HEAD];
    DX_CAS_ASSERT(s->desc_.device.truncate && (s->desc_.mode & DX_CAS_WRITE));
    s->form_.align = desc->align ? desc->align : 8;
    s->form_.features = desc->durability != DX_CAS_FULL; /* v0.1.0 must not open such a store */
    dx_cas_p_encode_store(s, head);
    DX_CAS_P_TRY(s->desc_.device.truncate(s->desc_.device.user, 0));
    DX_CAS_P_TRY(dx_cas_p_write(s, 0, head, sizeof head));
    DX_CAS_P_TRY(s->desc_.device.sync(s->desc_.device.user));
    return dx_cas_p_decode_store(s, head, 0);
}

/* Is the next block of the checkpoint whole, and its commit not in the log? A checkpoint is
   written when its commits are durable, so the log has lost them, or it is that of another store.
   It is the only trace of the loss. */
static bool dx_cas_p_is_ahead(dx_cas_store *s)
{
    dx_cas_p_block b;
    DX_CAS_ASSERT(s->saved_.end >= 2 * DX_CAS_EXT_HEAD);
    return s->desc_.checkpoint.read && dx_cas_p_block_open(s, &b) == DX_CAS_ENOTFOUND;
}

/* Read header, checkpoint and log, and prepare the store for writing. *s has its memory. */
static int dx_cas_p_open(dx_cas_store *s, const dx_cas_desc *desc)
{
    uint64_t size = 0;
    bool write = (desc->mode & DX_CAS_WRITE) != 0;
    int error = s->desc_.device.size(s->desc_.device.user, &size);
    DX_CAS_ASSERT(s->slots_ && s->entry_count_ == 0);
    if (error == DX_CAS_OK) error = dx_cas_p_load_header(s, size);
    if (error == DX_CAS_ENOTFOUND && write && (desc->mode & DX_CAS_CREATE)) {
        error = dx_cas_p_create(s, desc);
        size = 2 * DX_CAS_EXT_HEAD;
    }
    if (error == DX_CAS_OK) {
        s->desc_.durability = s->form_.features ? desc->durability : (uint32_t)DX_CAS_FULL;
        error = dx_cas_p_load(s, size);
        if (!write && (error == DX_CAS_ECORRUPT || (!error && s->stats_.damaged_places))) {
            /* a writer may have been active between two of our reads: try again */
            s->damage_offset_ = UINT64_MAX;
            error = dx_cas_p_load_header(s, size);
            if (error == DX_CAS_OK) error = dx_cas_p_load(s, size);
        }
    }
    if (error == DX_CAS_OK) s->stats_.ahead = dx_cas_p_is_ahead(s);
    if (error == DX_CAS_OK && s->stats_.ahead && write) s->damage_offset_ = s->tip_.end;
    if (error == DX_CAS_OK && (s->stats_.damaged_places || (s->stats_.ahead && write))) {
        s->desc_.mode &= ~(uint32_t)DX_CAS_WRITE;
        return (desc->mode & DX_CAS_ACCEPT_DAMAGE) ? DX_CAS_OK : DX_CAS_ECORRUPT;
    }
    if (error != DX_CAS_OK || !write) return error;
    if (desc->checkpoint.read) {
        /* blocks that do not follow from this log would be in the way of the next one */
        (void)desc->checkpoint.truncate(desc->checkpoint.user, s->saved_.size);
    }
    return dx_cas_p_repair_tail(s, size);
}

DX_CAS_API int dx_cas_open(dx_cas_store *s, const dx_cas_desc *desc)
{
    int error;
    if (!s) return DX_CAS_EINVAL;
    DX_CAS_MEMSET(s, 0, sizeof *s);
    s->damage_offset_ = UINT64_MAX;
    if (!desc || !dx_cas_p_desc_ok(desc)) return DX_CAS_EINVAL;
    s->desc_ = *desc;
    if (desc->object_size_max == 0) s->desc_.object_size_max = (uint32_t)1 << 20;
    s->work_size_ = (size_t)dx_cas_p_work_size(desc);
    error = dx_cas_p_use_memory(s, desc->memory, desc->memory_size);
    if (error == DX_CAS_OK) error = dx_cas_p_open(s, desc);
    if (error != DX_CAS_OK) dx_cas_close(s);
    s->open_ = error == DX_CAS_OK;
    DX_CAS_ASSERT(!s->open_ || s->slot_count_ == 0 || s->entry_count_ < s->slot_count_);
    s->retired_is_known_ = (s->tip_.marks & DX_CAS_EXT_RETIRED) != 0; /* see dx_cas_stats */
    return error;
}

DX_CAS_API int dx_cas_grow(dx_cas_store *s, void *memory, size_t memory_size)
{
    if (!s || !s->open_ || !memory) return DX_CAS_EINVAL;
    DX_CAS_ASSERT(DX_CAS_P_STEADY(s));
    return dx_cas_p_use_memory(s, memory, memory_size);
}

DX_CAS_API size_t dx_cas_memory_needed(const dx_cas_store *s)
{
    if (!s) return 0;
    return s->memory_needed_ > SIZE_MAX ? 0 : (size_t)s->memory_needed_;
}

DX_CAS_API uint64_t dx_cas_damage_offset(const dx_cas_store *s)
{
    return s ? s->damage_offset_ : 0;
}

DX_CAS_API void dx_cas_get_stats(const dx_cas_store *s, dx_cas_stats *out)
{
    if (!out) return;
    DX_CAS_MEMSET(out, 0, sizeof *out);
    if (!s) return;
    *out = s->stats_;
    out->commits = s->tip_.sequence;
    out->device_bytes = s->end_;
    out->index_entries = s->entry_count_;
    out->index_entries_max = dx_cas_p_entries_max(s);
    out->retired = (s->tip_.marks & DX_CAS_EXT_RETIRED) != 0;
}

DX_CAS_API int dx_cas_put(dx_cas_store *s, const void *data, size_t size, dx_cas_id *id)
{
    dx_cas_id unused;
    if (!s || (!data && size)) return DX_CAS_EINVAL;
    DX_CAS_P_TRY(dx_cas_p_may_write(s));
    if (size > s->desc_.object_size_max) return DX_CAS_ETOOBIG;
    DX_CAS_ASSERT(DX_CAS_P_STEADY(s));
    return dx_cas_p_put(s, DX_CAS_EXT_BLOB, 0, data, size, id ? id : &unused);
}

DX_CAS_API int dx_cas_put_with(dx_cas_store *s, uint8_t codec, const void *data, size_t size,
                               dx_cas_id *id)
{
    int error;
    if (!s || !s->open_ || !dx_cas_p_codec(s, codec)) return DX_CAS_EINVAL;
    DX_CAS_ASSERT(s->put_codec_ == 0); /* a codec does not put into its own store */
    s->put_codec_ = codec;
    error = dx_cas_put(s, data, size, id);
    s->put_codec_ = 0;
    return error;
}

DX_CAS_API int dx_cas_get(dx_cas_store *s, const dx_cas_id *id, void *buffer, size_t capacity,
                          size_t *size)
{
    dx_cas_ext_record r;
    if (!s || !id || !size || (!buffer && capacity) || !s->open_) return DX_CAS_EINVAL;
    *size = 0;
    DX_CAS_ASSERT(DX_CAS_P_STEADY(s));
    DX_CAS_P_TRY(dx_cas_p_find(s, id, &r, NULL));
    if (r.logical > SIZE_MAX) return DX_CAS_ETOOBIG;
    *size = (size_t)r.logical;
    return r.logical > capacity ? DX_CAS_ENOSPACE : dx_cas_p_get(s, &r, buffer);
}

DX_CAS_API int dx_cas_object_size(dx_cas_store *s, const dx_cas_id *id, uint64_t *size)
{
    dx_cas_ext_record r;
    if (!s || !id || !size || !s->open_) return DX_CAS_EINVAL;
    DX_CAS_ASSERT(DX_CAS_P_STEADY(s));
    DX_CAS_P_TRY(dx_cas_p_find(s, id, &r, NULL));
    *size = r.logical;
    return DX_CAS_OK;
}

DX_CAS_API int dx_cas_has(dx_cas_store *s, const dx_cas_id *id)
{
    uint64_t size;
    return dx_cas_object_size(s, id, &size);
}

/* Append a commit record. ONCE: one sync for the records and it. More than ONCE_MAX bytes take two
   syncs anyway, which limits how much open has to hash again. Without any sync (DX_CAS_NONE) the
   number of bytes does not matter. */
static int dx_cas_p_commit(dx_cas_store *s, uint32_t marks)
{
    dx_cas_id chain;
    size_t size;
    int error;
    DX_CAS_ASSERT(DX_CAS_P_STEADY(s) && !s->failed_);
    DX_CAS_ASSERT(marks < 256);
    DX_CAS_ASSERT(s->unsynced_from_ == s->unsynced_to_ || s->desc_.durability == DX_CAS_NONE);
    s->failed_ = true; /* until the commit succeeds */
    if (s->desc_.durability == DX_CAS_NONE) marks |= DX_CAS_EXT_ONCE | DX_CAS_EXT_LOOSE;
    if (dx_cas_p_has_barrier(s)) marks |= DX_CAS_EXT_ORDERED;
    if (s->desc_.durability != DX_CAS_FULL && s->end_ - s->tip_.end <= DX_CAS_P_ONCE_MAX) {
        marks |= DX_CAS_EXT_ONCE;
    }
    if (!(marks & DX_CAS_EXT_ONCE)) DX_CAS_P_TRY(dx_cas_p_sync(s)); /* the records come first */
    if (s->end_ > DX_CAS_P_END_MAX) return DX_CAS_ETOOBIG;
    dx_cas_p_chain_end(&s->tip_, s->tip_.sequence + 1, marks, &chain);
    size = dx_cas_p_encode_commit(s, s->end_, s->tip_.sequence + 1, marks, &chain, s->work_);
    error = dx_cas_p_write(s, s->end_, s->work_, size);
    if (error == DX_CAS_OK) error = dx_cas_p_sync(s);
    if (error != DX_CAS_OK) { /* readers must not see what was reported as not committed */
        (void)s->desc_.device.truncate(s->desc_.device.user, s->end_);
        return error;
    }
    s->failed_ = false;
    s->dirty_ = false;
    s->end_ += size;
    DX_CAS_ASSERT(s->end_ % s->form_.align == 0);
    dx_cas_p_tip_set(&s->tip_, &chain, s->tip_.sequence + 1, s->end_);
    s->tip_.marks = marks;
    DX_CAS_ASSERT(s->end_ == s->tip_.end);
    return DX_CAS_OK;
}

DX_CAS_API int dx_cas_commit(dx_cas_store *s)
{
    DX_CAS_P_TRY(dx_cas_p_may_write(s));
    DX_CAS_ASSERT(s->dirty_ || s->end_ == s->tip_.end);
    if (!s->dirty_ && !(s->tip_.marks & DX_CAS_EXT_RETIRED)) return DX_CAS_OK;
    return dx_cas_p_commit(s, 0);
}

DX_CAS_API int dx_cas_retire(dx_cas_store *s)
{
    DX_CAS_P_TRY(dx_cas_p_may_write(s));
    return dx_cas_p_commit(s, DX_CAS_EXT_RETIRED);
}

/* A refresh succeeded. That the store is retired is reported once: otherwise, if the retiring
   writer was killed, a reader would reopen the store over and over. */
static int dx_cas_p_refreshed(dx_cas_store *s)
{
    bool retired = (s->tip_.marks & DX_CAS_EXT_RETIRED) != 0;
    bool news = retired && !s->retired_is_known_;
    DX_CAS_ASSERT(!(s->desc_.mode & DX_CAS_WRITE) && DX_CAS_P_STEADY(s));
    s->retired_is_known_ = retired;
    return news ? DX_CAS_EMOVED : DX_CAS_OK;
}

DX_CAS_API int dx_cas_refresh(dx_cas_store *s)
{
    dx_cas_p_scan c;
    dx_cas_ext_record r;
    uint8_t head[DX_CAS_EXT_HEAD];
    uint64_t size = 0, limit;
    size_t got = 0;
    int tries;
    if (!s || !s->open_) return DX_CAS_EINVAL;
    if (s->desc_.mode & DX_CAS_WRITE) return DX_CAS_OK;
    DX_CAS_ASSERT(DX_CAS_P_STEADY(s) && s->end_ == s->tip_.end);
    DX_CAS_P_TRY(s->desc_.device.size(s->desc_.device.user, &size));
    if (dx_cas_p_tip_gone(s) || (size < s->tip_.end && size < s->idle_size_)) return DX_CAS_EAGAIN;
    /* A writer starts where the last commit ends: no bytes there, nothing new. */
    DX_CAS_P_TRY(s->desc_.device.read(s->desc_.device.user, s->tip_.end, head, sizeof head, &got));
    if (size == s->idle_size_) {
        bool nothing = got < sizeof head;
        if (!nothing) {
            int error = dx_cas_ext_record_decode(&s->form_, s->tip_.end, head, &r);
            nothing = error == DX_CAS_ECORRUPT;
        }
        if (nothing) return DX_CAS_OK;
    }
    for (tries = 0; tries < 2; tries++) { /* twice: a writer may be active between two reads */
        DX_CAS_P_TRY(dx_cas_p_scan_run(&c, s, size, false));
        if (c.damage == 0) break;
    }
    /* A torn tail stays until a writer has cut it off. */
    if (s->torn_) DX_CAS_P_TRY(dx_cas_p_scan_recheck(&c));
    if (c.damage && !(s->desc_.mode & DX_CAS_ACCEPT_DAMAGE)) {
        return dx_cas_p_damaged(s, c.damage_place);
    }
    /* The first pass only counted: now there is room for everything, or nothing has changed. */
    limit = c.suspect ? c.good_end : c.tip.end;
    DX_CAS_ASSERT(limit >= s->tip_.end);
    s->torn_ = s->torn_ && c.suspect != 0;
    if (limit != s->tip_.end) {
        DX_CAS_P_TRY(dx_cas_p_reserve(s, c.commit_entries));
        DX_CAS_P_TRY(dx_cas_p_scan_run(&c, s, limit, true));
        if (c.tip.end != limit) return DX_CAS_EAGAIN;
        dx_cas_p_scan_proved(&c);
        dx_cas_p_scan_accept(&c);
    }
    s->idle_size_ = size;
    return dx_cas_p_refreshed(s);
}

/* Find a version that cannot be reached from the latest, because a record between them is damaged:
   read the whole log. */
static int dx_cas_p_search_version(dx_cas_store *s, const char *name, uint64_t version,
                                   dx_cas_ref *out)
{
    dx_cas_p_scan c;
    dx_cas_ext_record rec;
    uint64_t damage = s->damage_offset_;
    int error;
    DX_CAS_ASSERT(version > 0);
    dx_cas_p_scan_start(&c, s, s->end_, false);
    c.place = dx_cas_p_align(s, 2 * DX_CAS_EXT_HEAD);
    while ((error = dx_cas_p_step(&c, &rec)) == DX_CAS_OK) {
        dx_cas_p_ref r;
        if (rec.type != DX_CAS_EXT_REF) continue;
        error = dx_cas_p_read_ref(s, &rec, &r);
        if (error != DX_CAS_OK && error != DX_CAS_ECORRUPT) return error;
        if (error != DX_CAS_OK || r.op != DX_CAS_EXT_SET || r.ref.version != version) continue;
        if (DX_CAS_MEMCMP(name, r.ref.name, dx_cas_p_length(name) + 1) != 0) continue;
        s->damage_offset_ = damage;
        *out = r.ref;
        return DX_CAS_OK;
    }
    s->damage_offset_ = damage; /* keep the offset of the damage that the caller met */
    return error == DX_CAS_ENOTFOUND ? DX_CAS_ECORRUPT : error;
}

DX_CAS_API int dx_cas_ref_get(dx_cas_store *s, const char *name, uint64_t version, dx_cas_ref *out)
{
    dx_cas_p_ref r;
    uint64_t latest, oldest;
    int error;
    if (!s || !out) return DX_CAS_EINVAL;
    DX_CAS_P_TRY(dx_cas_p_name(s, name, &r));
    latest = r.ref.version;
    oldest = r.ref.oldest;
    DX_CAS_ASSERT(!r.exists || oldest <= latest);
    if (!r.exists || version > latest || (version && version < oldest)) return DX_CAS_ENOTFOUND;
    /* back from the latest, one record for each version */
    error = dx_cas_p_load_version(s, name, r.newest, latest, oldest, out);
    while (error == DX_CAS_OK && version && out->version > version) {
        error = dx_cas_ref_previous(s, out);
    }
    if (error == DX_CAS_ECORRUPT && version) {
        error = dx_cas_p_search_version(s, name, version, out);
        out->oldest = oldest;
    }
    if (error != DX_CAS_OK) return error;
    return version && out->version != version ? DX_CAS_ENOTFOUND : DX_CAS_OK;
}

/* >>verify --------------------------------------------------------------
   Read everything again, in the order of the log, without trusting the index or the checkpoint:
   each byte between the header of the store and the end of the log belongs to one check.

       header, both copies; padding             DX_CAS_DAMAGE_HEADER, _PADDING
       each record header, or the gap           DX_CAS_DAMAGE_RECORD
       payloads by their ids                    DX_CAS_DAMAGE_OBJECT, _REF, _UNKNOWN
       what list nodes, deltas and names need   DX_CAS_DAMAGE_MISSING
       the chain, both copies of each commit    DX_CAS_DAMAGE_COMMIT
       the index: nothing missing or too many   DX_CAS_DAMAGE_INDEX, _AHEAD (checkpoint)

   A scan does the stepping. Its window and each check use the same work memory, so window_size
   is set to 0 before a check. */
typedef struct dx_cas_p_check {
    dx_cas_p_scan scan;
    dx_cas_damage_fn *callback; /* may be NULL */
    void *user;
    dx_cas_report report;
    uint64_t damage_place; /* of the first damage */
    uint64_t indexed;      /* objects that the index finds where they are */
    bool stop;             /* the callback asked for it */
} dx_cas_p_check;

/* Handle the result of one check. Damage is passed to the callback, and checking continues:
   DX_CAS_OK. Errors that prevent this, such as those of the device, are returned. */
static int dx_cas_p_report(dx_cas_p_check *k, int error, uint32_t kind, uint64_t place,
                           uint64_t size, const dx_cas_id *id)
{
    dx_cas_damage d = {kind, place, size, {{0}}};
    DX_CAS_ASSERT(kind >= DX_CAS_DAMAGE_HEADER && kind <= DX_CAS_DAMAGE_AHEAD);
    if (error != DX_CAS_ECORRUPT && error != DX_CAS_ENOTFOUND && error != DX_CAS_ETRUNCATED) {
        return error;
    }
    if (id) d.id = *id;
    if (k->report.damaged++ == 0) k->damage_place = place;
    if (k->callback && !k->stop && k->callback(k->user, &d) != 0) k->stop = true;
    return DX_CAS_OK;
}

/* Compare the bytes at place with the encoded ones; NULL: zeros. error: of the encoding. */
static int dx_cas_p_check_bytes(dx_cas_p_check *k, int error, uint64_t place, const uint8_t *want,
                                size_t size, uint32_t kind)
{
    DX_CAS_ASSERT(want != k->scan.s->work_ + DX_CAS_P_IO / 2);
    if (error == DX_CAS_OK) error = dx_cas_p_compare(k->scan.s, place, want, size);
    return dx_cas_p_report(k, error, kind, place, size, NULL);
}

/* Both copies of the store header, and the padding; the chain begins with it. */
static int dx_cas_p_check_header(dx_cas_p_check *k)
{
    uint8_t want[2 * DX_CAS_EXT_HEAD];
    uint64_t at;
    DX_CAS_ASSERT(k->report.commits == 0);
    dx_cas_p_encode_store(k->scan.s, want);
    dx_cas_p_tip_first(k->scan.s, want, &k->scan.tip);
    k->scan.place = k->scan.good_end = k->scan.durable_end = k->scan.tip.end;
    for (at = 0; at < sizeof want; at += DX_CAS_EXT_HEAD) {
        DX_CAS_P_TRY(dx_cas_p_check_bytes(k, 0, at, want + at, DX_CAS_EXT_HEAD,
                                          DX_CAS_DAMAGE_HEADER));
    }
    return dx_cas_p_check_bytes(k, 0, at, NULL, (size_t)(k->scan.place - at),
                                DX_CAS_DAMAGE_PADDING);
}

/* A commit must follow from the chain, and both of its copies must match it. If the copies differ,
   it is unknown which is damaged: the report has the chain that both should have. */
static int dx_cas_p_check_commit(dx_cas_p_check *k, dx_cas_ext_record *r)
{
    bool fits;
    int error;
    DX_CAS_ASSERT(r->type == DX_CAS_EXT_COMMIT);
    DX_CAS_P_TRY(dx_cas_p_scan_fits(&k->scan, r, &fits));
    k->scan.window_size = 0; /* the rest uses the work memory */
    (void)dx_cas_p_encode_commit(k->scan.s, r->place, r->logical, r->flags >> 8, &r->id,
                                 k->scan.s->work_);
    dx_cas_p_scan_commit(&k->scan, r, fits);
    k->report.commits++;
    error = dx_cas_p_sound(fits);
    if (fits) error = dx_cas_p_compare(k->scan.s, r->place, k->scan.s->work_, 2 * DX_CAS_EXT_HEAD);
    return dx_cas_p_report(k, error, DX_CAS_DAMAGE_COMMIT, r->place, 2 * DX_CAS_EXT_HEAD,
                           fits ? &r->id : NULL);
}

/* Check the bytes of an object; for a list node also that its children exist, with the
   size it gives. */
static int dx_cas_p_check_object(dx_cas_p_check *k, const dx_cas_ext_record *r)
{
    dx_cas_store *s = k->scan.s;
    dx_cas_ext_record found;
    dx_cas_p_node n;
    dx_cas_id base;
    uint32_t i;
    int error;
    DX_CAS_ASSERT(r->type == DX_CAS_EXT_BLOB || r->type == DX_CAS_EXT_LIST);
    DX_CAS_MEMSET(&n, 0, sizeof n); /* only lists have entries */
    error = r->type == DX_CAS_EXT_LIST ? dx_cas_p_get_node(s, r, s->work_, &n)
                                     : dx_cas_p_stream(s, r, NULL, 0);
    k->report.objects++;
    if (error == DX_CAS_EBASE && dx_cas_p_needs(s, r, &base) == DX_CAS_OK) {
        return dx_cas_p_report(k, DX_CAS_ENOTFOUND, DX_CAS_DAMAGE_MISSING, r->place, r->stored,
                               &base);
    }
    if (error == DX_CAS_ENOTSUP || error == DX_CAS_ETOOBIG) {
        return dx_cas_p_report(k, DX_CAS_ECORRUPT, DX_CAS_DAMAGE_UNKNOWN, r->place, r->stored,
                               &r->id);
    }
    for (i = 0; error == DX_CAS_OK && i < n.count; i++) { /* of a list node: its children */
        dx_cas_ext_record child;
        dx_cas_id id;
        int missing = dx_cas_p_find_child(s, &n, i, &id, &child);
        DX_CAS_P_TRY(dx_cas_p_report(k, missing, DX_CAS_DAMAGE_MISSING, r->place, r->stored, &id));
    }
    DX_CAS_P_TRY(dx_cas_p_report(k, error, DX_CAS_DAMAGE_OBJECT, r->place, r->stored, &r->id));
    error = dx_cas_p_find(s, &r->id, &found, NULL);
    k->indexed += error == DX_CAS_OK && found.place == r->place;
    if (error == DX_CAS_ECORRUPT) return DX_CAS_OK; /* its damage was reported at its own record */
    return dx_cas_p_report(k, error, DX_CAS_DAMAGE_INDEX, r->place, r->stored, &r->id);
}

/* Check one version of a name: its bytes, its root, and that the index has this record
   or a newer one. */
static int dx_cas_p_check_ref(dx_cas_p_check *k, const dx_cas_ext_record *r)
{
    dx_cas_ext_record root;
    dx_cas_p_ref ref, now;
    uint32_t kind = DX_CAS_DAMAGE_REF;
    int error = dx_cas_p_read_ref(k->scan.s, r, &ref);
    DX_CAS_ASSERT(r->type == DX_CAS_EXT_REF);
    k->report.refs++;
    if (error == DX_CAS_OK && ref.op == DX_CAS_EXT_SET) {
        kind = DX_CAS_DAMAGE_MISSING;
        error = dx_cas_p_find(k->scan.s, &ref.ref.root, &root, NULL);
    }
    /* the index must lead to this record or to a newer one of the same name */
    if (error == DX_CAS_OK && dx_cas_p_name(k->scan.s, ref.ref.name, &now) == DX_CAS_OK &&
        now.place < r->place) {
        DX_CAS_P_TRY(dx_cas_p_report(k, DX_CAS_ECORRUPT, DX_CAS_DAMAGE_INDEX, r->place, r->stored,
                                     NULL));
    }
    return dx_cas_p_report(k, error, kind, r->place, r->stored,
                           kind == DX_CAS_DAMAGE_REF ? NULL : &ref.ref.root);
}

/* Check a record and the padding after it. */
static int dx_cas_p_check_record(dx_cas_p_check *k, dx_cas_ext_record *r)
{
    uint64_t end = r->place + DX_CAS_EXT_HEAD + r->stored;
    DX_CAS_ASSERT(r->type != 0);
    k->scan.window_size = 0; /* the rest uses the work memory */
    k->report.bytes += r->stored;
    if (r->type == DX_CAS_EXT_COMMIT) {
        DX_CAS_P_TRY(dx_cas_p_check_commit(k, r));
        end += DX_CAS_EXT_HEAD;
    } else {
        DX_CAS_P_HASH(update)(&k->scan.tip.chain, r->head, sizeof r->head);
        DX_CAS_P_TRY(r->type == DX_CAS_EXT_REF ? dx_cas_p_check_ref(k, r)
                                             : dx_cas_p_check_object(k, r));
    }
    DX_CAS_ASSERT(r->next >= end);
    return dx_cas_p_check_bytes(k, 0, end, NULL, (size_t)(r->next - end), DX_CAS_DAMAGE_PADDING);
}

/* Check for index entries without a record, and for blocks that open did not take from
   the checkpoint. */
static int dx_cas_p_check_index(dx_cas_p_check *k)
{
    dx_cas_store *s = k->scan.s;
    dx_cas_saved_ was = s->saved_;
    dx_cas_p_block b;
    uint64_t objects = 0; /* in the index */
    uint64_t known = 0;   /* bytes of the checkpoint that belong to this log, */
    uint64_t size = 0;    /* and all its bytes */
    size_t i;
    int error;
    DX_CAS_ASSERT(k->scan.s == s && !k->stop);
    for (i = 0; i < s->slot_count_; i++) {
        objects += s->slots_[i].place && !(s->slots_[i].place & DX_CAS_P_IS_REF);
    }
    if (k->report.damaged == 0 && k->indexed != objects) { /* otherwise some may be unreadable */
        DX_CAS_P_TRY(dx_cas_p_report(k, DX_CAS_ECORRUPT, DX_CAS_DAMAGE_INDEX, 0, s->end_, NULL));
    }
    if (!s->desc_.checkpoint.read) return DX_CAS_OK;
    DX_CAS_P_TRY(s->desc_.checkpoint.size(s->desc_.checkpoint.user, &size));
    dx_cas_p_saved_none(s, &s->saved_);
    while ((error = dx_cas_p_block_open(s, &b)) == DX_CAS_OK) dx_cas_p_saved_add(&s->saved_, &b);
    known = s->saved_.size;
    s->saved_ = was;
    return dx_cas_p_report(k, dx_cas_p_sound(known >= size),
                           error == DX_CAS_ENOTFOUND ? DX_CAS_DAMAGE_AHEAD : DX_CAS_DAMAGE_INDEX,
                           known, 0, NULL);
}

DX_CAS_API int dx_cas_verify(dx_cas_store *s, dx_cas_damage_fn *callback, void *user,
                             dx_cas_report *report)
{
    dx_cas_p_check k;
    uint64_t size = 0;
    int error;
    if (!s || !s->open_) return DX_CAS_EINVAL;
    DX_CAS_ASSERT(DX_CAS_P_STEADY(s));
    DX_CAS_MEMSET(&k, 0, sizeof k);
    k.callback = callback;
    k.user = user;
    dx_cas_p_scan_start(&k.scan, s, s->end_, false);
    error = dx_cas_p_check_header(&k);
    while (error == DX_CAS_OK && !k.stop && k.scan.place < k.scan.limit) {
        dx_cas_ext_record r;
        error = dx_cas_p_step(&k.scan, &r);
        if (error == DX_CAS_OK && r.type != 0) {
            error = dx_cas_p_check_record(&k, &r);
        } else {
            k.scan.chain_known = false;
            if (error == DX_CAS_OK) error = DX_CAS_ECORRUPT;
            error = dx_cas_p_report(&k, error, DX_CAS_DAMAGE_RECORD, r.place, r.next - r.place,
                                    NULL);
        }
    }
    /* now the expected content of the index is known */
    if (error == DX_CAS_OK && !k.stop) error = dx_cas_p_check_index(&k);
    if (error == DX_CAS_OK) error = s->desc_.device.size(s->desc_.device.user, &size);
    k.report.tail_bytes = size > s->end_ ? size - s->end_ : 0;
    if (report) *report = k.report;
    if (error != DX_CAS_OK) return error;
    if (k.stop) return DX_CAS_ECANCELED;
    return k.report.damaged ? dx_cas_p_damaged(s, k.damage_place) : DX_CAS_OK;
}

/* >>collect -------------------------------------------------------------
   A log only grows; compaction copies everything reachable from names to another store. Mark, then
   copy, both in time linear in the size of the store, and without a stack:

       walk the log: mark the root of each live version of a name
       for level = 8 ... 1:                          a node of level n has children of level n - 1,
           for each marked node of that level:       so one pass for each level marks all
               mark its children
       walk the log: copy marked records             children precede their parents there, and old
                                                     versions precede new ones

   The mark is a bit in the index, DX_CAS_P_MARK, and is cleared at the end. The source may be open
   for reading only. Copying resumes where an earlier attempt ended: objects in dst are skipped. */
/* Mark an object, its base if it is a delta, the base of that, and so on; a marked one is done.
   needed_at: the record that needs it, which is reported as damaged if the object is missing. */
static int dx_cas_p_mark(dx_cas_store *s, const dx_cas_id *id, uint64_t needed_at)
{
    dx_cas_ext_record r;
    dx_cas_id other = *id;
    size_t slot = 0;
    int error = DX_CAS_OK;
    DX_CAS_ASSERT(id && needed_at > 0);
    while (error == DX_CAS_OK) { /* for its base, too; a marked one is done */
        error = dx_cas_p_find(s, &other, &r, &slot);
        if (error == DX_CAS_ENOTFOUND) return dx_cas_p_damaged(s, needed_at);
        if (error != DX_CAS_OK || s->slots_[slot].place & DX_CAS_P_MARK) return error;
        s->slots_[slot].place |= DX_CAS_P_MARK;
        error = dx_cas_p_needs(s, &r, &other);
    }
    return error == DX_CAS_ENOTFOUND ? DX_CAS_OK : error;
}

/* Mark the children of the list node at a place of the log. */
static int dx_cas_p_mark_children(dx_cas_store *s, uint64_t place)
{
    dx_cas_ext_record r;
    dx_cas_p_node n;
    dx_cas_id id;
    uint32_t i;
    DX_CAS_P_TRY(dx_cas_p_read_head(s, place, &r));
    DX_CAS_P_TRY(dx_cas_p_get_node(s, &r, s->work_, &n));
    DX_CAS_ASSERT(n.count > 0 && n.count <= DX_CAS_NODE_ENTRIES_MAX);
    for (i = 0; i < n.count; i++) {
        DX_CAS_MEMCPY(id.bytes, n.entries + (size_t)i * DX_CAS_EXT_NODE_ENTRY, 32);
        DX_CAS_P_TRY(dx_cas_p_mark(s, &id, place));
    }
    return DX_CAS_OK;
}

/* Copy a record as it is stored, unless dst has the object. */
static int dx_cas_p_copy_object(dx_cas_store *s, const dx_cas_ext_record *r, dx_cas_store *dst)
{
    dx_cas_ext_record copy = *r, found;
    int error = dx_cas_p_find(dst, &r->id, &found, NULL);
    DX_CAS_ASSERT(r->type == DX_CAS_EXT_BLOB || r->type == DX_CAS_EXT_LIST);
    DX_CAS_ASSERT(s != dst);
    if (error != DX_CAS_ENOTFOUND) return error;
    DX_CAS_P_TRY(dx_cas_p_reserve(dst, 1));
    DX_CAS_P_TRY(dx_cas_p_record_begin(dst, &copy, false));
    error = dx_cas_p_write_frame(dst, &copy);
    if (error == DX_CAS_OK) error = dx_cas_p_stream(s, r, dst, copy.place + DX_CAS_EXT_HEAD);
    DX_CAS_P_TRY(dx_cas_p_record_end(dst, &copy, error));
    return dx_cas_p_add_object(dst, &copy);
}

typedef struct dx_cas_p_keep {
    dx_cas_keep_fn *fn; /* NULL: all versions */
    void           *user;
} dx_cas_p_keep;

/* The ref record of a live version: without dst mark its root; with dst append it there, unless dst
   has the version. */
static int dx_cas_p_copy_ref(dx_cas_store *s, const dx_cas_ext_record *r, dx_cas_store *dst,
                             const dx_cas_p_keep *keep)
{
    dx_cas_p_ref ref, now, there;
    DX_CAS_ASSERT(r->type == DX_CAS_EXT_REF && s != dst);
    DX_CAS_P_TRY(dx_cas_p_read_ref(s, r, &ref));
    DX_CAS_P_TRY(dx_cas_p_name(s, ref.ref.name, &now));
    if (ref.op != DX_CAS_EXT_SET || !now.exists) return DX_CAS_OK;
    if (ref.ref.version < now.ref.oldest) return DX_CAS_OK;
    if (keep->fn && ref.ref.version < now.ref.version && !keep->fn(keep->user, &ref.ref)) {
        return DX_CAS_OK;
    }
    if (!dst) return dx_cas_p_mark(s, &ref.ref.root, r->place);
    DX_CAS_P_TRY(dx_cas_p_name(dst, ref.ref.name, &there));
    if (there.ref.version >= ref.ref.version) return DX_CAS_OK;
    ref.ref.oldest = now.ref.oldest;
    ref.ref.previous_ = there.newest;
    return dx_cas_p_put_ref(dst, &ref);
}

/* Walk the whole log: without dst mark roots, with dst copy. A gap ends it, because an incomplete
   copy would look whole. */
static int dx_cas_p_walk(dx_cas_store *s, dx_cas_store *dst, const dx_cas_p_keep *keep)
{
    dx_cas_p_scan c;
    dx_cas_ext_record r, found;
    size_t slot = 0;
    DX_CAS_ASSERT(s != dst && DX_CAS_P_STEADY(s));
    dx_cas_p_scan_start(&c, s, s->end_, false);
    c.place = dx_cas_p_align(s, 2 * DX_CAS_EXT_HEAD);
    while (c.place < c.limit) {
        int error = dx_cas_p_step(&c, &r);
        if (error != DX_CAS_OK && error != DX_CAS_ENOTFOUND) return error;
        if (error != DX_CAS_OK || r.type == 0) return dx_cas_p_damaged(s, r.place);
        c.window_size = 0; /* the rest uses the work memory */
        if (r.type == DX_CAS_EXT_REF) DX_CAS_P_TRY(dx_cas_p_copy_ref(s, &r, dst, keep));
        if (!dst || r.type > DX_CAS_EXT_LIST) continue;
        DX_CAS_P_TRY(dx_cas_p_find(s, &r.id, &found, &slot));
        if (found.place == r.place && (s->slots_[slot].place & DX_CAS_P_MARK)) {
            DX_CAS_P_TRY(dx_cas_p_copy_object(s, &r, dst));
        }
    }
    return DX_CAS_OK;
}

DX_CAS_API int dx_cas_compact_into(dx_cas_store *src, dx_cas_store *dst)
{
    return dx_cas_compact_kept(src, dst, NULL, NULL);
}

DX_CAS_API int dx_cas_compact_kept(dx_cas_store *src, dx_cas_store *dst, dx_cas_keep_fn *fn,
                                   void *user)
{
    dx_cas_p_keep keep;
    uint32_t level;
    size_t i;
    int error;
    if (!src || !dst || src == dst || !src->open_) return DX_CAS_EINVAL;
    DX_CAS_P_TRY(dx_cas_p_may_write(dst));
    DX_CAS_ASSERT(DX_CAS_P_STEADY(src) && DX_CAS_P_STEADY(dst));
    keep.fn = fn;
    keep.user = user;
    error = dx_cas_p_walk(src, NULL, &keep);
    for (level = DX_CAS_LEVELS_MAX; level > 0; level--) { /* downwards: no stack is needed */
        for (i = 0; error == DX_CAS_OK && i < src->slot_count_; i++) {
            const dx_cas_entry_ *e = &src->slots_[i];
            if (!(e->place & DX_CAS_P_MARK)) continue;
            if ((e->place >> DX_CAS_P_LEVEL_SHIFT & 15) != level) continue;
            error = dx_cas_p_mark_children(src, dx_cas_p_place(e));
        }
    }
    if (error == DX_CAS_OK) error = dx_cas_p_walk(src, dst, &keep);
    for (i = 0; i < src->slot_count_; i++) src->slots_[i].place &= ~DX_CAS_P_MARK;
    return error == DX_CAS_OK ? dx_cas_commit(dst) : error;
}

#ifndef DX_CAS_NO_STREAMS
/* >>streams -------------------------------------------------------------
   Content of any size: the chunks are objects, and list nodes above them list their ids. A name
   points to the root; for content of a single chunk that is the chunk, without a node.

       level 2                      node                      entry: id of the child, and
                            /        |        \               bytes of content under it
       level 1          node       node       node
                       / | \      / | \      / | \
       level 0        c0 c1 c2   c3 c4 c5   c6 c7 c8          chunks

   The content decides where a node ends, as for chunks: after an entry whose id has seven zero
   bits, with at least 32 entries and at most 512. So two versions with equal chunks also have
   equal nodes, and share them.

   A writer keeps one node in progress for each level, a reader the path from the root to the
   chunk that it read last. Both take the memory for it from the caller:

       | node of level 1 | node of level 2 | ... | node of level 8 | chunk | */
#define DX_CAS_P_NODES ((size_t)DX_CAS_LEVELS_MAX * DX_CAS_NODE_SIZE_MAX)
enum {
    DX_CAS_P_NODE_ENTRIES_MIN = 32,
    DX_CAS_P_NODE_END_MASK = 127 /* of the first byte of an id: 1 in 128 ends a node */
};

DX_CAS_API size_t dx_cas_writer_memory_size(const dx_cas_writer_desc *desc)
{
    dx_cas_chunker_desc p;
    if (!dx_cas_p_chunker_params(desc ? &desc->chunker : NULL, &p)) return 0;
    return DX_CAS_P_NODES + p.size_max;
}

DX_CAS_API int dx_cas_writer_begin(dx_cas_writer *w, const dx_cas_writer_desc *desc)
{
    if (!w || !desc || !desc->store || !desc->memory) return DX_CAS_EINVAL;
    DX_CAS_MEMSET(w, 0, sizeof *w);
    DX_CAS_P_TRY(dx_cas_p_may_write(desc->store));
    DX_CAS_P_TRY(dx_cas_chunker_init(&w->chunker_, &desc->chunker));
    if (desc->memory_size < dx_cas_writer_memory_size(desc)) return DX_CAS_ENOMEM;
    if (w->chunker_.desc_.size_max > desc->store->desc_.object_size_max) return DX_CAS_ETOOBIG;
    w->store_ = desc->store;
    w->nodes_ = (uint8_t *)desc->memory;
    w->chunk_ = w->nodes_ + DX_CAS_P_NODES;
    DX_CAS_ASSERT(w->chunker_.desc_.size_max > 0);
    w->active_ = true;
    w->put_ = desc->put;
    w->user_ = desc->user;
    DX_CAS_P_HASH(init)(&w->content_);
    return DX_CAS_OK;
}

/* The memory of a node; level counts from 0 here, which is the node above the chunks. */
static uint8_t *dx_cas_p_node_memory(uint8_t *nodes, uint32_t level)
{
    DX_CAS_ASSERT(nodes && level < DX_CAS_LEVELS_MAX);
    return nodes + (size_t)level * DX_CAS_NODE_SIZE_MAX;
}

/* Entry i of such a node. */
static uint8_t *dx_cas_p_entry(uint8_t *nodes, uint32_t level, uint32_t i)
{
    uint8_t *node = dx_cas_p_node_memory(nodes, level);
    DX_CAS_ASSERT(i < DX_CAS_NODE_ENTRIES_MAX);
    return node + DX_CAS_EXT_NODE_HEAD + (size_t)i * DX_CAS_EXT_NODE_ENTRY;
}

/* Add an entry to the node in progress. It has room: dx_cas_p_settle() closes full ones. */
static void dx_cas_p_add_entry(dx_cas_writer *w, uint32_t level, const dx_cas_id *id, uint64_t size)
{
    uint8_t *at = dx_cas_p_entry(w->nodes_, level, w->counts_[level]++);
    DX_CAS_ASSERT(w->counts_[level] <= DX_CAS_NODE_ENTRIES_MAX);
    DX_CAS_MEMCPY(at, id->bytes, sizeof id->bytes);
    dx_cas_p_store64(at + sizeof id->bytes, size);
    w->sizes_[level] += size;
}

/* Store the node in progress at level (0 = above the chunks) and make it an entry of the level
   above. */
static int dx_cas_p_close_node(dx_cas_writer *w, uint32_t level)
{
    uint8_t *node = dx_cas_p_node_memory(w->nodes_, level);
    size_t bytes = DX_CAS_EXT_NODE_HEAD + (size_t)w->counts_[level] * DX_CAS_EXT_NODE_ENTRY;
    dx_cas_id id;
    DX_CAS_ASSERT(w->counts_[level] > 0 && w->counts_[level] <= DX_CAS_NODE_ENTRIES_MAX);
    if (level + 1 == DX_CAS_LEVELS_MAX) return DX_CAS_ETOOBIG;
    dx_cas_p_store32(node, level + 1);
    dx_cas_p_store32(node + 4, w->counts_[level]);
    dx_cas_p_store64(node + 8, w->sizes_[level]);
    DX_CAS_P_TRY(dx_cas_p_put(w->store_, DX_CAS_EXT_LIST, level + 1, node, bytes, &id));
    dx_cas_p_add_entry(w, level + 1, &id, w->sizes_[level]);
    w->counts_[level] = 0;
    w->sizes_[level] = 0;
    return DX_CAS_OK;
}

/* Store complete nodes, from the lowest level up. A node is complete after an entry whose id ends
   it: at least 32 entries, 160 on average, at most 512. It is closed only when the next chunk
   comes, so that the root is never a node with one child. An error leaves the failing level
   unchanged, so that it can be repeated. */
static int dx_cas_p_settle(dx_cas_writer *w)
{
    uint32_t level;
    DX_CAS_ASSERT(w->active_);
    for (level = 0; level < DX_CAS_LEVELS_MAX; level++) {
        uint32_t n = w->counts_[level];
        const uint8_t *last;
        if (n < DX_CAS_P_NODE_ENTRIES_MIN) continue;
        last = dx_cas_p_entry(w->nodes_, level, n - 1); /* it begins with the id */
        if (n == DX_CAS_NODE_ENTRIES_MAX || (*last & DX_CAS_P_NODE_END_MASK) == 0) {
            DX_CAS_P_TRY(dx_cas_p_close_node(w, level));
        }
    }
    return DX_CAS_OK;
}

/* Store the chunk in progress and make it an entry. After an error it is still there. */
static int dx_cas_p_close_chunk(dx_cas_writer *w)
{
    dx_cas_id id;
    uint32_t n = w->chunk_size_;
    DX_CAS_ASSERT(w->chunk_size_ > 0 && w->chunk_size_ <= w->size_);
    DX_CAS_P_TRY(dx_cas_p_settle(w));
    DX_CAS_P_TRY(w->put_ ? w->put_(w->user_, w->size_ - n, w->chunk_, n, &id)
                         : dx_cas_p_put(w->store_, DX_CAS_EXT_BLOB, 0, w->chunk_, n, &id));
    dx_cas_p_add_entry(w, 0, &id, w->chunk_size_);
    w->chunk_size_ = 0;
    w->cut_ = false;
    return DX_CAS_OK;
}

DX_CAS_API int dx_cas_writer_write(dx_cas_writer *w, const void *data, size_t size, size_t *used)
{
    const uint8_t *p = (const uint8_t *)data;
    size_t done = 0;
    int error;
    if (used) *used = 0;
    if (!w || !w->active_ || (!data && size)) return DX_CAS_EINVAL;
    error = dx_cas_p_may_write(w->store_);
    if (size > DX_CAS_P_PLACE_MAX - w->size_) error = DX_CAS_ETOOBIG;
    while (error == DX_CAS_OK && done < size) {
        size_t n;
        if (w->cut_) { /* postponed to here, so that after an error nothing is taken twice */
            error = dx_cas_p_close_chunk(w);
            continue;
        }
        n = dx_cas_chunker_next(&w->chunker_, p + done, size - done, &w->cut_);
        DX_CAS_ASSERT(n > 0 && w->chunk_size_ + n <= w->chunker_.desc_.size_max);
        DX_CAS_MEMCPY(w->chunk_ + w->chunk_size_, p + done, n);
        DX_CAS_P_HASH(update)(&w->content_, p + done, n);
        w->chunk_size_ += (uint32_t)n;
        w->size_ += n;
        done += n;
    }
    if (used) *used = done;
    return error;
}

/* No more chunks: close the nodes in progress until one entry is left. It is the root. */
static int dx_cas_p_close_tree(dx_cas_writer *w, dx_cas_id *root)
{
    uint32_t level, top = 0, i;
    for (i = 0; i < DX_CAS_LEVELS_MAX; i++) {
        if (w->counts_[i]) top = i;
    }
    DX_CAS_ASSERT(w->counts_[top] > 0);
    for (level = 0; level < top || w->counts_[level] != 1; level++) {
        if (w->counts_[level] == 0) continue; /* it ended exactly here */
        DX_CAS_P_TRY(dx_cas_p_close_node(w, level));
        if (level + 1 > top) top = level + 1;
    }
    DX_CAS_ASSERT(w->counts_[level] == 1);
    DX_CAS_MEMCPY(root->bytes, dx_cas_p_entry(w->nodes_, level, 0), sizeof root->bytes);
    return DX_CAS_OK;
}

DX_CAS_API int dx_cas_writer_finish(dx_cas_writer *w, dx_cas_content *out)
{
    if (!w || !out || !w->active_) return DX_CAS_EINVAL;
    DX_CAS_P_TRY(dx_cas_p_may_write(w->store_));
    if (w->chunk_size_) DX_CAS_P_TRY(dx_cas_p_close_chunk(w));
    if (w->size_ > 0) {
        DX_CAS_P_TRY(dx_cas_p_settle(w));
        DX_CAS_P_TRY(dx_cas_p_close_tree(w, &out->root));
    } else { /* the root of empty content is the empty blob */
        DX_CAS_P_TRY(dx_cas_p_put(w->store_, DX_CAS_EXT_BLOB, 0, NULL, 0, &out->root));
    }
    DX_CAS_ASSERT(w->chunk_size_ == 0 && !w->cut_);
    out->size = w->size_;
    DX_CAS_P_HASH(final)(&w->content_, out->content.bytes, sizeof out->content.bytes);
    w->active_ = false;
    return DX_CAS_OK;
}

DX_CAS_API size_t dx_cas_reader_memory_size(uint32_t chunk_size_max)
{
    return DX_CAS_P_NODES + (chunk_size_max ? chunk_size_max : (uint32_t)1 << 18);
}

/* Read the record's object into the memory of its level: level 0 is the chunk. start: its first
   byte of the content. */
static int dx_cas_p_load_node(dx_cas_reader *r, dx_cas_store *s, const dx_cas_ext_record *rec,
                              uint64_t start)
{
    dx_cas_p_node n = {0, 0, 0, NULL};
    uint32_t level = rec->type == DX_CAS_EXT_LIST ? rec->flags : 0;
    DX_CAS_ASSERT(s && rec);
    DX_CAS_ASSERT(level <= r->level_);
    r->spans_[level] = 0; /* not loaded, in case the read fails */
    if (level == 0) {
        if (rec->logical > r->chunk_capacity_) return DX_CAS_ENOMEM;
        DX_CAS_P_TRY(dx_cas_p_get(s, rec, r->chunk_));
        n.total = rec->logical;
    } else {
        DX_CAS_P_TRY(dx_cas_p_get_node(s, rec, dx_cas_p_node_memory(r->nodes_, level - 1), &n));
    }
    r->starts_[level] = start;
    r->spans_[level] = n.total;
    return DX_CAS_OK;
}

DX_CAS_API int dx_cas_reader_open(dx_cas_reader *r, dx_cas_store *s, const dx_cas_id *root,
                                  void *memory, size_t memory_size)
{
    dx_cas_ext_record rec;
    if (!r || !s || !root || !memory || !s->open_) return DX_CAS_EINVAL;
    DX_CAS_MEMSET(r, 0, sizeof *r);
    if (memory_size < DX_CAS_P_NODES) return DX_CAS_ENOMEM;
    DX_CAS_P_TRY(dx_cas_p_find(s, root, &rec, NULL));
    r->root_ = *root;
    r->nodes_ = (uint8_t *)memory;
    r->chunk_ = r->nodes_ + DX_CAS_P_NODES;
    r->chunk_capacity_ = memory_size - DX_CAS_P_NODES;
    r->size = rec.logical;
    if (rec.type == DX_CAS_EXT_LIST) {
        r->level_ = rec.flags;
        DX_CAS_P_TRY(dx_cas_p_load_node(r, s, &rec, 0));
        r->size = r->spans_[r->level_];
    }
    DX_CAS_ASSERT(r->level_ <= DX_CAS_LEVELS_MAX);
    r->store_ = s; /* only now can it be read */
    return DX_CAS_OK;
}

/* Does the reader's node of that level contain the byte at offset? */
static bool dx_cas_p_is_loaded(const dx_cas_reader *r, uint32_t level, uint64_t offset)
{
    DX_CAS_ASSERT(level <= DX_CAS_LEVELS_MAX);
    return offset >= r->starts_[level] && offset - r->starts_[level] < r->spans_[level];
}

/* Walk down from the root to the record of the chunk that holds offset; nodes that are not loaded
   are read. *start: the chunk's first byte. */
static int dx_cas_p_locate(dx_cas_reader *r, uint64_t offset, dx_cas_ext_record *chunk,
                           uint64_t *start)
{
    dx_cas_store *s = r->store_;
    uint32_t level = r->level_;
    DX_CAS_ASSERT(offset < r->size);
    *start = 0;
    if (level == 0) return dx_cas_p_find(s, &r->root_, chunk, NULL);
    for (;; level--) {
        dx_cas_p_node n;
        dx_cas_id id;
        uint32_t i;
        n.level = level; /* the node was checked when it was read: an entry holds offset */
        n.entries = dx_cas_p_entry(r->nodes_, level - 1, 0);
        *start = r->starts_[level];
        for (i = 0; offset - *start >= dx_cas_p_node_size(&n, i); i++) {
            *start += dx_cas_p_node_size(&n, i);
        }
        DX_CAS_ASSERT(level > 0 && i < DX_CAS_NODE_ENTRIES_MAX);
        if (level > 1 && dx_cas_p_is_loaded(r, level - 1, offset)) continue;
        DX_CAS_P_TRY(dx_cas_p_find_child(s, &n, i, &id, chunk));
        if (level == 1) return DX_CAS_OK;
        DX_CAS_P_TRY(dx_cas_p_load_node(r, s, chunk, *start));
        if (r->spans_[level - 1] == dx_cas_p_node_size(&n, i)) continue;
        r->spans_[level - 1] = 0;
        return dx_cas_p_damaged(s, chunk->place);
    }
}

DX_CAS_API int dx_cas_reader_chunk(dx_cas_reader *r, uint64_t offset, dx_cas_id *id,
                                   uint64_t *start, uint64_t *size)
{
    dx_cas_ext_record chunk;
    DX_CAS_ASSERT(!r || !r->store_ || r->nodes_);
    if (!r || !r->store_ || !id || !start || !size || offset >= r->size) return DX_CAS_EINVAL;
    DX_CAS_P_TRY(dx_cas_p_locate(r, offset, &chunk, start));
    *id = chunk.id;
    *size = chunk.logical;
    return DX_CAS_OK;
}

/* Read bytes of one chunk: straight into out if all of it is wanted, otherwise through the reader's
   memory, where the rest stays for the next call. */
static int dx_cas_p_read_chunk(dx_cas_reader *r, uint64_t offset, uint8_t *out, size_t size,
                               size_t *got)
{
    dx_cas_ext_record chunk;
    uint64_t start = 0, left;
    DX_CAS_ASSERT(offset < r->size && size > 0);
    if (!dx_cas_p_is_loaded(r, 0, offset)) {
        DX_CAS_P_TRY(dx_cas_p_locate(r, offset, &chunk, &start));
        if (offset == start && chunk.logical <= size) { /* all of it, at once in its place */
            *got = (size_t)chunk.logical;
            return dx_cas_p_get(r->store_, &chunk, out);
        }
        DX_CAS_P_TRY(dx_cas_p_load_node(r, r->store_, &chunk, start));
    }
    left = r->spans_[0] - (offset - r->starts_[0]);
    *got = left < size ? (size_t)left : size;
    DX_CAS_MEMCPY(out, r->chunk_ + (size_t)(offset - r->starts_[0]), *got);
    return DX_CAS_OK;
}

DX_CAS_API int dx_cas_reader_read(dx_cas_reader *r, uint64_t offset, void *buffer, size_t size,
                                  size_t *got)
{
    uint8_t *out = (uint8_t *)buffer;
    if (!r || !r->store_ || !got || (!buffer && size)) return DX_CAS_EINVAL;
    *got = 0;
    while (*got < size && offset < r->size) {
        size_t n = 0;
        DX_CAS_P_TRY(dx_cas_p_read_chunk(r, offset, out + *got, size - *got, &n));
        DX_CAS_ASSERT(n <= size - *got);
        *got += n;
        offset += n;
    }
    return DX_CAS_OK;
}
#endif /* DX_CAS_NO_STREAMS */

#ifndef DX_CAS_NO_DELTAS
/* >>deltas --------------------------------------------------------------
   An object stored as its difference from another one, its base, which may be a delta, too. To the
   store this is a codec, number 2: compress makes a delta if there is a hint of a base, decompress
   builds the object, `needs` gives the base to compaction and verify.

       stored   | base: id, 32 bytes | depth | coder | CRC-32C, 4 bytes | the coder's output ... |

       chain    records[0] --base--> records[1] --base--> records[2], no delta      count = 3
                depth 2              depth 1

   An object is built from the last record of its chain up, in a loop over two buffers that swap.
   Each step is verified by its id. Lengths and depths in the records are untrusted: a chain ends
   after DX_CAS_DELTA_DEPTH_MAX steps, whatever they say.

   The object itself comes through dx_cas_p_get(), with the work memory of the store. Building a
   base calls that again, so a delta needs its own memory, the size of four objects:

       | ONE: an object | OTHER: the next one | IN: the last delta | STEP: one on the way | */
enum { /* parts of the memory */
    DX_CAS_P_DELTA_ONE, DX_CAS_P_DELTA_OTHER, DX_CAS_P_DELTA_IN, DX_CAS_P_DELTA_STEP
};
enum { /* a stored delta: bytes before the coder's output (DX_CAS_DELTA_HEAD of them) */
    DX_CAS_P_DELTA_AT_BASE = 0, DX_CAS_P_DELTA_AT_DEPTH = 32, DX_CAS_P_DELTA_AT_CODER = 33,
    DX_CAS_P_DELTA_AT_CRC = 34
};

typedef struct dx_cas_p_delta_chain { /* from an object down to one that is not a delta */
    dx_cas_ext_record records[DX_CAS_DELTA_DEPTH_MAX + 1];
    uint32_t        count;
} dx_cas_p_delta_chain;

/* One of the four parts of the memory, object_size_max bytes each. */
static uint8_t *dx_cas_p_delta_memory(const dx_cas_delta *d, uint32_t which)
{
    DX_CAS_ASSERT(which <= DX_CAS_P_DELTA_STEP);
    return (uint8_t *)d->desc_.memory + (size_t)which * d->desc_.object_size_max;
}

/* The coder of that number, or NULL. */
static const dx_cas_delta_coder *dx_cas_p_delta_coder(const dx_cas_delta *d, uint8_t number)
{
    size_t i;
    DX_CAS_ASSERT(d && d->desc_.coders);
    for (i = 0; i < d->desc_.coder_count; i++) {
        if (d->desc_.coders[i].number == number) return &d->desc_.coders[i];
    }
    return NULL;
}

/* CRC-32C of a stored delta except the CRC itself. It distinguishes a damaged delta from one whose
   base or coder is missing. */
static uint32_t dx_cas_p_delta_crc(const uint8_t *stored, size_t size)
{
    DX_CAS_ASSERT(size >= DX_CAS_DELTA_HEAD);
    return DX_CAS_CRC32C(DX_CAS_CRC32C(0, stored, DX_CAS_P_DELTA_AT_CRC),
                           stored + DX_CAS_DELTA_HEAD, size - DX_CAS_DELTA_HEAD);
}

/* Is that a stored delta, undamaged? */
static bool dx_cas_p_delta_whole(const uint8_t *stored, size_t size)
{
    DX_CAS_ASSERT(stored || size == 0);
    return size >= DX_CAS_DELTA_HEAD && stored[DX_CAS_P_DELTA_AT_DEPTH] > 0 &&
           stored[DX_CAS_P_DELTA_AT_DEPTH] <= DX_CAS_DELTA_DEPTH_MAX &&
           dx_cas_p_load32(stored + DX_CAS_P_DELTA_AT_CRC) == dx_cas_p_delta_crc(stored, size);
}

/* Read only the id of the base from the device. It is not verified here, but everything
   built from it is. */
static int dx_cas_p_delta_read_base(dx_cas_store *s, const dx_cas_ext_record *r, dx_cas_id *base)
{
    DX_CAS_ASSERT(r->codec == DX_CAS_DELTA_CODEC);
    if (r->stored < DX_CAS_DELTA_HEAD) return DX_CAS_ECORRUPT;
    return dx_cas_p_read(s, r->place + DX_CAS_EXT_HEAD, base->bytes, sizeof base->bytes);
}

/* The records from id down to one that is not a delta. Their number is limited, whatever
   depth they claim. */
static int dx_cas_p_delta_chain_of(const dx_cas_delta *d, dx_cas_store *s, const dx_cas_id *id,
                                   dx_cas_p_delta_chain *chain)
{
    dx_cas_id next = *id;
    DX_CAS_ASSERT(s && id && chain);
    chain->count = 0;
    while (chain->count <= DX_CAS_DELTA_DEPTH_MAX) {
        dx_cas_ext_record *r = &chain->records[chain->count++];
        DX_CAS_P_TRY(dx_cas_p_find(s, &next, r, NULL));
        if (r->type != DX_CAS_EXT_BLOB) return DX_CAS_ECORRUPT;
        if (r->logical > d->desc_.object_size_max || r->stored > d->desc_.object_size_max) {
            return DX_CAS_ETOOBIG;
        }
        if (r->codec != DX_CAS_DELTA_CODEC) return DX_CAS_OK;
        DX_CAS_P_TRY(dx_cas_p_delta_read_base(s, r, &next));
    }
    return DX_CAS_ECORRUPT;
}

/* Apply a stored delta to its base: exactly size bytes into out. */
static int dx_cas_p_delta_apply(dx_cas_delta *d, const uint8_t *stored, size_t stored_size,
                                const uint8_t *base, size_t base_size, void *out, size_t size)
{
    const dx_cas_delta_coder *coder = dx_cas_p_delta_coder(d, stored[DX_CAS_P_DELTA_AT_CODER]);
    size_t got = 0;
    DX_CAS_ASSERT(stored_size > 0 && stored != out && base != out);
    if (!dx_cas_p_delta_whole(stored, stored_size)) return DX_CAS_ECORRUPT;
    if (!coder) return DX_CAS_ENOTSUP;
    DX_CAS_P_TRY(coder->decode(coder->user, out, size, base, base_size, stored + DX_CAS_DELTA_HEAD,
                               stored_size - DX_CAS_DELTA_HEAD, &got));
    return dx_cas_p_sound(got == size);
}

/* Build object number `which` of a chain, from the last one up; *out is in ONE or OTHER. Each step
   is checked by its id, or a damaged base would silently spoil everything built on it. */
static int dx_cas_p_delta_build(dx_cas_delta *d, const dx_cas_p_delta_chain *chain, uint32_t which,
                                const uint8_t **out, size_t *size)
{
    dx_cas_store *s = d->desc_.store;
    uint8_t *is = dx_cas_p_delta_memory(d, DX_CAS_P_DELTA_ONE);     /* the object built last, */
    uint8_t *next = dx_cas_p_delta_memory(d, DX_CAS_P_DELTA_OTHER); /* and the next one */
    uint8_t *step = dx_cas_p_delta_memory(d, DX_CAS_P_DELTA_STEP);
    uint8_t *was;
    uint32_t i = chain->count - 1;
    DX_CAS_ASSERT(which < chain->count && chain->count > 0);
    DX_CAS_P_TRY(dx_cas_p_get(s, &chain->records[i], is));
    while (i-- > which) {
        const dx_cas_ext_record *r = &chain->records[i];
        dx_cas_id id;
        DX_CAS_P_TRY(dx_cas_p_read(s, r->place + DX_CAS_EXT_HEAD, step, (size_t)r->stored));
        DX_CAS_P_TRY(dx_cas_p_delta_apply(d, step, (size_t)r->stored, is,
                                          (size_t)chain->records[i + 1].logical, next,
                                          (size_t)r->logical));
        dx_cas_p_id_of(DX_CAS_EXT_BLOB, next, (size_t)r->logical, &id);
        if (!dx_cas_id_equal(&id, &r->id)) return DX_CAS_ECORRUPT;
        was = is;
        is = next;
        next = was;
    }
    *out = is;
    *size = (size_t)chain->records[which].logical;
    return DX_CAS_OK;
}

/* Damage to a base is not damage to the object that needs it: DX_CAS_EBASE. */
static int dx_cas_p_delta_blame(int error)
{
    if (error == DX_CAS_OK || error == DX_CAS_ESYS || error == DX_CAS_ENOTSUP) return error;
    return DX_CAS_EBASE;
}

/* A codec's decompress: capacity is the size of the object. */
static int dx_cas_p_delta_decompress(void *user, void *out, size_t capacity, const void *in,
                                     size_t n, size_t *got)
{
    dx_cas_delta *d = (dx_cas_delta *)user;
    uint8_t *stored = dx_cas_p_delta_memory(d, DX_CAS_P_DELTA_IN);
    const uint8_t *base = NULL;
    dx_cas_p_delta_chain chain;
    dx_cas_id id;
    size_t base_size = 0;
    int error;
    DX_CAS_ASSERT(d->desc_.memory && d->desc_.object_size_max > 0);
    if (n > d->desc_.object_size_max) return DX_CAS_ECORRUPT;
    if (!dx_cas_p_delta_whole((const uint8_t *)in, n)) return DX_CAS_ECORRUPT;
    DX_CAS_MEMCPY(id.bytes, in, 32);
    DX_CAS_MEMCPY(stored, in, n); /* decompressing the base overwrites the original */
    error = dx_cas_p_delta_chain_of(d, d->desc_.store, &id, &chain);
    if (error == DX_CAS_OK) error = dx_cas_p_delta_build(d, &chain, 0, &base, &base_size);
    if (error != DX_CAS_OK) return dx_cas_p_delta_blame(error);
    *got = capacity;
    return dx_cas_p_delta_apply(d, stored, n, base, base_size, out, capacity);
}

/* A base that may take one more delta: the hint or, while its chain is too long, the base of
   that. */
static int dx_cas_p_delta_choose(dx_cas_delta *d, dx_cas_p_delta_chain *chain)
{
    dx_cas_id id = *d->hint_;
    DX_CAS_ASSERT(d->hint_);
    for (;;) { /* each chain is one shorter than the one before */
        DX_CAS_P_TRY(dx_cas_p_delta_chain_of(d, d->desc_.store, &id, chain));
        if (chain->count <= d->desc_.depth_max) return DX_CAS_OK;
        DX_CAS_P_TRY(dx_cas_p_delta_read_base(d->desc_.store, &chain->records[0], &id));
    }
}

/* The smallest result of the coders, after the head in out; returns its size with the head, 0 if
   all are too large. The memory for a stored delta is unused meanwhile. */
static size_t dx_cas_p_delta_encode(dx_cas_delta *d, const uint8_t *base, size_t base_size,
                                    const void *in, size_t n, uint8_t *out, size_t capacity)
{
    uint8_t *other = dx_cas_p_delta_memory(d, DX_CAS_P_DELTA_STEP);
    size_t best = capacity - DX_CAS_DELTA_HEAD + 1; /* the next must be smaller */
    size_t size, i;
    bool found = false;
    DX_CAS_ASSERT(capacity > DX_CAS_DELTA_HEAD);
    for (i = 0; i < d->desc_.coder_count && best > 0; i++) {
        const dx_cas_delta_coder *coder = &d->desc_.coders[i];
        uint8_t *to = found ? other : out + DX_CAS_DELTA_HEAD;
        if (coder->encode(coder->user, to, best - 1, base, base_size, in, n, &size) != DX_CAS_OK) {
            continue;
        }
        if (found) DX_CAS_MEMCPY(out + DX_CAS_DELTA_HEAD, other, size);
        out[DX_CAS_P_DELTA_AT_CODER] = coder->number;
        best = size;
        found = true;
    }
    return found ? best + DX_CAS_DELTA_HEAD : 0;
}

/* A codec's compress. DX_CAS_ENOSPACE if a delta is impossible or not worth it: the object is then
   stored as usual. A coder's result is applied once, before anything relies on it. */
static int dx_cas_p_delta_compress(void *user, void *out, size_t capacity, const void *in,
                                   size_t n, size_t *got)
{
    dx_cas_delta *d = (dx_cas_delta *)user;
    uint8_t *to = (uint8_t *)out, *back;
    const uint8_t *base = NULL;
    dx_cas_p_delta_chain chain;
    size_t base_size = 0;
    int error;
    DX_CAS_ASSERT(d->desc_.memory && d->desc_.object_size_max > 0);
    if (d->limit_ && d->limit_ < capacity) capacity = d->limit_;
    if (capacity > d->desc_.object_size_max) capacity = d->desc_.object_size_max;
    /* without a hint it is a plain put: left to the codec that compresses */
    if (!d->hint_ || capacity <= DX_CAS_DELTA_HEAD || n > d->desc_.object_size_max) {
        return DX_CAS_ENOSPACE;
    }
    error = dx_cas_p_delta_choose(d, &chain);
    if (error == DX_CAS_OK) error = dx_cas_p_delta_build(d, &chain, 0, &base, &base_size);
    if (error != DX_CAS_OK) return error == DX_CAS_ESYS ? error : DX_CAS_ENOSPACE;
    *got = dx_cas_p_delta_encode(d, base, base_size, in, n, to, capacity);
    if (*got == 0) return DX_CAS_ENOSPACE;
    DX_CAS_MEMCPY(to, chain.records[0].id.bytes, 32);
    to[DX_CAS_P_DELTA_AT_DEPTH] = (uint8_t)chain.count;
    dx_cas_p_store32(to + DX_CAS_P_DELTA_AT_CRC, dx_cas_p_delta_crc(to, *got));
    back = dx_cas_p_delta_memory(d, DX_CAS_P_DELTA_ONE); /* not the base's buffer */
    if (back == base) back = dx_cas_p_delta_memory(d, DX_CAS_P_DELTA_OTHER);
    error = dx_cas_p_delta_apply(d, to, *got, base, base_size, back, n);
    return error || DX_CAS_MEMCMP(back, in, n) != 0 ? DX_CAS_ENOSPACE : DX_CAS_OK;
}

/* A codec's needs: the base. */
static bool dx_cas_p_delta_needs(void *user, const void *in, size_t n, dx_cas_id *other)
{
    DX_CAS_ASSERT(other && (in || n == 0));
    (void)user;
    if (!dx_cas_p_delta_whole((const uint8_t *)in, n)) return false;
    DX_CAS_MEMCPY(other->bytes, in, 32);
    return true;
}

DX_CAS_API size_t dx_cas_delta_memory_size(const dx_cas_delta_desc *desc)
{
    uint64_t size = desc && desc->object_size_max ? desc->object_size_max : (uint32_t)1 << 20;
    return 4 * size > SIZE_MAX ? 0 : (size_t)(4 * size);
}

DX_CAS_API int dx_cas_delta_init(dx_cas_delta *d, const dx_cas_delta_desc *desc)
{
    size_t i, need = dx_cas_delta_memory_size(desc);
    DX_CAS_ASSERT(DX_CAS_P_DELTA_AT_CRC + 4 == DX_CAS_DELTA_HEAD);
    if (!d || !desc || !desc->store || !desc->coders || desc->coder_count == 0 || !desc->memory ||
        desc->depth_max > DX_CAS_DELTA_DEPTH_MAX) {
        return DX_CAS_EINVAL;
    }
    for (i = 0; i < desc->coder_count; i++) {
        uint8_t number = desc->coders[i].number;
        if (!desc->coders[i].encode || !desc->coders[i].decode) return DX_CAS_EINVAL;
        if (number == 0 || (number > 2 && number < 128)) return DX_CAS_EINVAL; /* reserved */
    }
    if (need == 0 || desc->memory_size < need) return DX_CAS_ENOMEM;
    DX_CAS_MEMSET(d, 0, sizeof *d);
    d->desc_ = *desc;
    if (d->desc_.object_size_max == 0) d->desc_.object_size_max = (uint32_t)1 << 20;
    if (d->desc_.depth_max == 0) d->desc_.depth_max = 15;
    return DX_CAS_OK;
}

DX_CAS_API dx_cas_codec dx_cas_delta_codec(dx_cas_delta *d)
{
    dx_cas_codec codec = {DX_CAS_DELTA_CODEC, dx_cas_p_delta_compress, dx_cas_p_delta_decompress,
                          d, dx_cas_p_delta_needs};
    DX_CAS_ASSERT(d);
    return codec;
}

DX_CAS_API int dx_cas_delta_put(dx_cas_delta *d, const void *data, size_t size,
                                const dx_cas_id *base, size_t limit, dx_cas_id *id)
{
    int error;
    if (!d || !base) return DX_CAS_EINVAL;
    DX_CAS_ASSERT(!d->hint_); /* a coder does not put with the same delta */
    d->hint_ = base;
    d->limit_ = limit;
    error = dx_cas_put_with(d->desc_.store, DX_CAS_DELTA_CODEC, data, size, id);
    d->hint_ = NULL;
    return error;
}

DX_CAS_API int dx_cas_delta_base(dx_cas_delta *d, const dx_cas_id *id, dx_cas_id *base,
                                 uint32_t *depth)
{
    dx_cas_p_delta_chain chain;
    if (!d || !id || !base || !depth || !d->desc_.store->open_) return DX_CAS_EINVAL;
    DX_CAS_P_TRY(dx_cas_p_delta_chain_of(d, d->desc_.store, id, &chain));
    if (chain.count == 1) return DX_CAS_ENOTFOUND;
    DX_CAS_ASSERT(chain.count <= DX_CAS_DELTA_DEPTH_MAX + 1);
    *base = chain.records[1].id;
    *depth = chain.count - 1;
    return DX_CAS_OK;
}

DX_CAS_API int dx_cas_delta_copy(dx_cas_delta *d, const dx_cas_id *id, dx_cas_store *dst)
{
    dx_cas_p_delta_chain chain, there;
    dx_cas_store *s;
    const uint8_t *bytes = NULL;
    size_t size = 0;
    uint32_t i;
    if (!d || !id || !dst || dst == d->desc_.store) return DX_CAS_EINVAL;
    s = d->desc_.store;
    if (!s->open_) return DX_CAS_EINVAL;
    DX_CAS_ASSERT(DX_CAS_P_STEADY(s));
    DX_CAS_P_TRY(dx_cas_p_may_write(dst));
    DX_CAS_P_TRY(dx_cas_p_delta_chain_of(d, s, id, &chain));
    for (i = chain.count; i-- > 0;) {
        /* In its stored form, if the chain in dst is then short enough to be read. */
        if (i + 1 == chain.count ||
            (dx_cas_p_delta_chain_of(d, dst, &chain.records[i + 1].id, &there) == DX_CAS_OK &&
             there.count <= DX_CAS_DELTA_DEPTH_MAX)) {
            DX_CAS_P_TRY(dx_cas_p_copy_object(s, &chain.records[i], dst));
        } else { /* dst has the base as a longer chain */
            DX_CAS_P_TRY(dx_cas_p_delta_build(d, &chain, i, &bytes, &size));
            DX_CAS_P_TRY(dx_cas_put(dst, bytes, size, NULL));
        }
    }
    return DX_CAS_OK;
}
#endif /* DX_CAS_NO_DELTAS */

#ifndef DX_CAS_NO_REPAIR
/* >>repair --------------------------------------------------------------
   Three steps. First the layout: the place of each record. From a verified commit, the chain is
   followed to the next one, with each header from either store; where the chain fits, all of these
   headers are right, and those that the damaged store lacks are written. Then the contents: a full
   check, whose findings are fixed one by one. Last, a full check that only reports.

       damaged  | header | blob | //// | ref | commit 5 | blob | //////// | ref | commit 7 |
       backup   | header | blob | blob | ref | commit 5 | blob | commit 6 |
                                  |
                                  the chain up to commit 5, which both have, verifies this header:
                                  it is written, its payload before it

   Where two headers differ, both orders of preference are tried: neither store is right
   everywhere, because sectors of old content bring back records that look whole. Only bytes
   verified by a hash replace others, and bytes that passed a check are never overwritten. */
typedef struct dx_cas_p_fix {
    dx_cas_store *s;     /* to be repaired; opened for reading, but its device is written */
    dx_cas_store *other; /* the backup, or NULL */
    const dx_cas_desc *desc;
    void    *memory;     /* of the index; desc->grow may have moved it */
    size_t   memory_size;
    dx_cas_damage_fn *lost; /* receives remaining damage */
    void    *user;
    dx_cas_repair_report report;
    uint64_t known;        /* number of the last commit that fits here and is in the backup */
    uint64_t unproved_end; /* end of a payload that stays damaged: its header may be an old one */
    bool     again;        /* the checkpoint was cut, so earlier reports on it are obsolete */
    int      error;        /* of the device: nothing more is attempted */
} dx_cas_p_fix;

/* Every write of a repair goes through here. */
static int dx_cas_p_fix_write(dx_cas_p_fix *k, uint64_t place, const void *data, uint64_t size)
{
    DX_CAS_ASSERT(data);
    k->error = dx_cas_p_write(k->s, place, data, size);
    if (k->error == DX_CAS_OK) k->report.bytes += size;
    return k->error;
}

/* A write barrier: earlier writes reach the device before later ones. */
static int dx_cas_p_fix_sync(dx_cas_p_fix *k)
{
    DX_CAS_ASSERT(k->s->desc_.device.sync);
    k->error = k->s->desc_.device.sync(k->s->desc_.device.user);
    return k->error;
}

/* Copy verified bytes from the other store's device to a place of this one's. */
static int dx_cas_p_fix_copy(dx_cas_p_fix *k, uint64_t from, uint64_t to, uint64_t size)
{
    uint8_t bytes[1024];
    DX_CAS_ASSERT(k->other);
    while (size > 0) {
        size_t n = size < sizeof bytes ? (size_t)size : sizeof bytes;
        DX_CAS_P_TRY(dx_cas_p_read(k->other, from, bytes, n));
        DX_CAS_P_TRY(dx_cas_p_fix_write(k, to, bytes, n));
        from += n;
        to += n;
        size -= n;
    }
    return DX_CAS_OK;
}

/* Does the payload of a record match its header? An error: no. */
static int dx_cas_p_fix_whole(dx_cas_store *s, const dx_cas_ext_record *r)
{
    dx_cas_p_ref ref;
    DX_CAS_ASSERT(r->type != 0 && r->type != DX_CAS_EXT_COMMIT);
    return r->type == DX_CAS_EXT_REF ? dx_cas_p_read_ref(s, r, &ref)
                                   : dx_cas_p_stream(s, r, NULL, 0);
}

/* Open the store, or reopen it after its records changed. */
static int dx_cas_p_fix_open(dx_cas_p_fix *k, bool checkpoint)
{
    dx_cas_desc desc = *k->desc;
    int error;
    DX_CAS_ASSERT(k->s && k->desc);
    dx_cas_close(k->s);
    desc.mode = DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE;
    desc.memory = k->memory;
    desc.memory_size = k->memory_size;
    if (!checkpoint) desc.checkpoint.read = NULL;
    error = dx_cas_open(k->s, &desc);
    if (error != DX_CAS_OK) return error;
    k->memory = k->s->desc_.memory;
    k->memory_size = (size_t)((uint8_t *)(k->s->slots_ + k->s->slot_count_) - (uint8_t *)k->memory);
    return DX_CAS_OK;
}

/* An earlier repair may have ended because a sync failed: its writes read back as right, but may
   not be durable, and no later sync writes them. Their place is unknown. So the whole store is
   rewritten as it is, before further writes depend on it. */
static int dx_cas_p_fix_make_durable(dx_cas_p_fix *k)
{
    dx_cas_store *s = k->s;
    DX_CAS_ASSERT(s->open_);
    s->unsynced_from_ = 0;
    DX_CAS_P_TRY(s->desc_.device.size(s->desc_.device.user, &s->unsynced_to_));
    k->error = dx_cas_p_rewrite(s);
    s->unsynced_from_ = s->unsynced_to_;
    return k->error != DX_CAS_OK ? k->error : dx_cas_p_fix_sync(k);
}

/* Layout: the place of each record. */
typedef struct dx_cas_p_heal {
    dx_cas_p_fix *k;
    dx_cas_p_scan mine;    /* reads the damaged log, */
    dx_cas_p_scan theirs;  /* and this one the log of the backup, with its work memory */
    dx_cas_ext_record m;   /* the record at a place in mine, */
    dx_cas_ext_record t;   /* and in theirs, */
    bool has_m;            /* if there is one */
    bool has_t;
    bool commits;          /* write commits, else the records between them */
    uint64_t unresolved;   /* parts without verification, and payloads that stay damaged */
} dx_cas_p_heal;

/* Look up the records at a place that follows from that tip. Errors of the damaged store's device
   are returned; unreadable parts of the other one count as missing. */
static int dx_cas_p_heal_compare(dx_cas_p_heal *h, const dx_cas_tip_ *tip, uint64_t place)
{
    bool fits;
    int error = dx_cas_p_record_at(&h->mine, place, &h->m);
    DX_CAS_ASSERT(tip->end <= place);
    h->mine.tip = h->theirs.tip = *tip;
    h->mine.chain_known = h->theirs.chain_known = true;
    if (error == DX_CAS_OK && h->m.type == DX_CAS_EXT_COMMIT) {
        error = dx_cas_p_scan_fits(&h->mine, &h->m, &fits);
        if (error == DX_CAS_OK && !fits) error = DX_CAS_ECORRUPT;
    }
    h->has_m = error == DX_CAS_OK;
    if (error != DX_CAS_OK && error != DX_CAS_ECORRUPT) return error;
    error = dx_cas_p_record_at(&h->theirs, place, &h->t);
    if (error == DX_CAS_OK && h->t.type == DX_CAS_EXT_COMMIT) {
        error = dx_cas_p_scan_fits(&h->theirs, &h->t, &fits);
        if (error == DX_CAS_OK && !fits) error = DX_CAS_ECORRUPT;
    }
    h->has_t = error == DX_CAS_OK;
    return DX_CAS_OK;
}

/* Which of the two to continue with: a commit, because it fits; otherwise as the caller prefers. */
static const dx_cas_ext_record *dx_cas_p_heal_choose(const dx_cas_p_heal *h, bool prefer_theirs)
{
    DX_CAS_ASSERT(!h->has_m || h->m.type != 0);
    DX_CAS_ASSERT(!h->has_t || h->t.type != 0);
    if (h->has_m && h->m.type == DX_CAS_EXT_COMMIT) return &h->m;
    if (h->has_t && h->t.type == DX_CAS_EXT_COMMIT) return &h->t;
    if (h->has_t && (prefer_theirs || !h->has_m)) return &h->t;
    return h->has_m ? &h->m : NULL;
}

/* Is the payload of that record right here? Unknown, and so false, for a delta whose base is not in
   the index yet. */
static bool dx_cas_p_heal_whole(dx_cas_p_heal *h, const dx_cas_ext_record *r)
{
    int error = dx_cas_p_fix_whole(h->k->s, r);
    DX_CAS_ASSERT(r->type != DX_CAS_EXT_COMMIT);
    h->mine.window_size = 0;
    return error == DX_CAS_OK;
}

/* Copy the payload of the other store's record, if it is right. *whole: the one here is right
   now. */
static int dx_cas_p_heal_payload(dx_cas_p_heal *h, bool *whole)
{
    dx_cas_p_fix *k = h->k;
    uint64_t place = h->t.place + DX_CAS_EXT_HEAD;
    int error = dx_cas_p_fix_whole(k->other, &h->t);
    DX_CAS_ASSERT(h->t.type != 0);
    h->theirs.window_size = 0;
    if (error == DX_CAS_OK) error = dx_cas_p_fix_copy(k, place, place, h->t.stored);
    if (k->error != DX_CAS_OK) return k->error;
    *whole = error == DX_CAS_OK || dx_cas_p_heal_whole(h, &h->t);
    return DX_CAS_OK;
}

/* Write the record of the other store in h->t, its payload first: a header promises that its
   payload exists. A payload that is damaged there, too, is left as it is. */
static int dx_cas_p_heal_record(dx_cas_p_heal *h)
{
    bool whole;
    DX_CAS_ASSERT(h->t.type != DX_CAS_EXT_COMMIT && h->t.type != 0);
    DX_CAS_P_TRY(dx_cas_p_heal_payload(h, &whole));
    h->unresolved += !whole;
    h->k->report.repaired++;
    h->mine.window_size = 0;
    return dx_cas_p_fix_write(h->k, h->t.place, h->t.head, DX_CAS_EXT_HEAD);
}

/* A record whose header is right. The later check fixes payloads, but does not reach those of
   one-sync commits at the end, which do not count because of these payloads. */
static int dx_cas_p_heal_same(dx_cas_p_heal *h, const dx_cas_ext_record *r)
{
    bool whole = h->k->s->form_.features == 0 || dx_cas_p_heal_whole(h, r);
    DX_CAS_ASSERT(r->type != DX_CAS_EXT_COMMIT);
    if (whole) return DX_CAS_OK;
    if (h->has_t && DX_CAS_MEMCMP(r->head, h->t.head, DX_CAS_EXT_HEAD) == 0) {
        DX_CAS_P_TRY(dx_cas_p_heal_payload(h, &whole));
        h->k->report.repaired += whole;
    }
    h->unresolved += !whole;
    return DX_CAS_OK;
}

/* Write both copies of a commit that the store lost, after everything that it commits. */
static int dx_cas_p_heal_commit(dx_cas_p_heal *h, const dx_cas_ext_record *r)
{
    dx_cas_p_fix *k = h->k;
    size_t size = dx_cas_p_encode_commit(k->s, r->place, r->logical, r->flags >> 8, &r->id,
                                         k->s->work_);
    DX_CAS_ASSERT(r->type == DX_CAS_EXT_COMMIT && h->commits);
    h->mine.window_size = 0;
    DX_CAS_P_TRY(dx_cas_p_fix_sync(k));
    DX_CAS_P_TRY(dx_cas_p_fix_write(k, r->place, k->s->work_, size));
    k->report.repaired++;
    return dx_cas_p_fix_sync(k);
}

/* From the tip to the next commit that fits, which becomes the tip. DX_CAS_ENOTFOUND: no such
   commit with this preference. *shared: the damaged store has that commit, too. write: also write
   records that it lacks on the way. */
static int dx_cas_p_heal_segment(dx_cas_p_heal *h, dx_cas_tip_ *tip, bool prefer_theirs, bool write,
                                 bool *shared)
{
    dx_cas_tip_ at = *tip;
    DX_CAS_ASSERT(h->k->other && tip->end >= 2 * DX_CAS_EXT_HEAD);
    for (;;) {
        const dx_cas_ext_record *r;
        bool same;
        DX_CAS_P_TRY(dx_cas_p_heal_compare(h, &at, at.end));
        r = dx_cas_p_heal_choose(h, prefer_theirs);
        if (!r) return DX_CAS_ENOTFOUND;
        same = r == &h->m ||
               (h->has_m && DX_CAS_MEMCMP(h->m.head, h->t.head, DX_CAS_EXT_HEAD) == 0);
        DX_CAS_ASSERT(r->next > at.end); /* each step advances */
        at.end = r->next;
        if (r->type == DX_CAS_EXT_COMMIT) {
            *shared = same;
            dx_cas_p_tip_set(tip, &r->id, r->logical, r->next);
            if (write && h->has_t) h->k->known = r->logical;
            return write && !same && h->commits ? dx_cas_p_heal_commit(h, r) : DX_CAS_OK;
        }
        DX_CAS_P_HASH(update)(&at.chain, r->head, sizeof r->head);
        if (!write || h->commits) continue;
        DX_CAS_P_TRY(same ? dx_cas_p_heal_same(h, r) : dx_cas_p_heal_record(h));
    }
}

/* The same with whichever preference leads to a commit: old records that came back look valid, so
   neither store is right everywhere. */
static int dx_cas_p_heal_next(dx_cas_p_heal *h, dx_cas_tip_ *tip, bool *prefer_theirs, bool *shared)
{
    int error;
    DX_CAS_ASSERT(h->k->other);
    *prefer_theirs = false;
    error = dx_cas_p_heal_segment(h, tip, false, false, shared);
    if (error != DX_CAS_ENOTFOUND) return error;
    *prefer_theirs = true;
    return dx_cas_p_heal_segment(h, tip, true, false, shared);
}

/* Write everything the store lacks from the tip up to a verified commit. */
static int dx_cas_p_heal_write(dx_cas_p_heal *h, dx_cas_tip_ *tip, uint64_t end)
{
    bool prefer_theirs, shared;
    DX_CAS_ASSERT(tip->end <= end);
    while (tip->end < end) {
        dx_cas_tip_ next = *tip;
        DX_CAS_P_TRY(dx_cas_p_heal_next(h, &next, &prefer_theirs, &shared));
        DX_CAS_P_TRY(dx_cas_p_heal_segment(h, tip, prefer_theirs, true, &shared));
    }
    return DX_CAS_OK;
}

/* Copy objects of the other store, header and all, into a gap of this one where the chain is not
   known: their ids verify them. Names cannot be verified. */
static int dx_cas_p_heal_gap(dx_cas_p_heal *h, uint64_t from, uint64_t to)
{
    DX_CAS_ASSERT(from <= to);
    h->theirs.place = from;
    while (dx_cas_p_step(&h->theirs, &h->t) == DX_CAS_OK && h->t.next <= to) {
        if (h->t.type != DX_CAS_EXT_BLOB && h->t.type != DX_CAS_EXT_LIST) continue;
        h->theirs.window_size = 0;
        if (dx_cas_p_stream(h->k->other, &h->t, NULL, 0) != DX_CAS_OK) continue;
        DX_CAS_P_TRY(dx_cas_p_heal_record(h));
    }
    return DX_CAS_OK;
}

/* No path leads from the tip. The next commit of the damaged store becomes the tip, as in open.
   DX_CAS_ENOTFOUND: no such commit. */
static int dx_cas_p_heal_skip(dx_cas_p_heal *h, dx_cas_tip_ *tip)
{
    dx_cas_ext_record r;
    DX_CAS_ASSERT(tip->end % h->k->s->form_.align == 0);
    h->mine.place = tip->end;
    for (;;) {
        int error = dx_cas_p_step(&h->mine, &r);
        bool covered = error == DX_CAS_ENOTFOUND;
        uint64_t gap = covered ? tip->end : r.place;
        if (covered) error = dx_cas_p_step_covered(&h->mine, tip, r.place, &r);
        if (error != DX_CAS_OK) return error;
        if ((covered || r.type == 0) && !h->commits) {
            DX_CAS_P_TRY(dx_cas_p_heal_gap(h, gap, covered ? r.place : r.next));
        }
        if (r.type == DX_CAS_EXT_COMMIT && r.logical > tip->sequence) break;
    }
    dx_cas_p_tip_set(tip, &r.id, r.logical, r.next);
    h->unresolved++;
    return DX_CAS_OK;
}

/* Does the other store have everything that this record holds? */
static bool dx_cas_p_heal_known(dx_cas_p_heal *h, const dx_cas_ext_record *r)
{
    dx_cas_ext_record there;
    DX_CAS_ASSERT(r->type != DX_CAS_EXT_COMMIT);
    h->mine.window_size = h->theirs.window_size = 0;
    if (dx_cas_p_fix_whole(h->k->s, r) != DX_CAS_OK) return true;
    if (r->type != DX_CAS_EXT_REF) {
        return dx_cas_p_find(h->k->other, &r->id, &there, NULL) == DX_CAS_OK;
    }
    return dx_cas_p_record_at(&h->theirs, r->place, &there) == DX_CAS_OK &&
           DX_CAS_MEMCMP(there.head, r->head, DX_CAS_EXT_HEAD) == 0;
}

/* The other store continues from the tip with commits that this one lacks. May they replace the
   records here? Not if those are another branch of the history: commits that follow from each
   other, or objects or names that the other store lacks. */
static int dx_cas_p_heal_replaceable(dx_cas_p_heal *h, const dx_cas_tip_ *tip, bool *replaceable)
{
    dx_cas_p_scan c;
    dx_cas_ext_record r;
    int error;
    DX_CAS_ASSERT(h->k->other && replaceable);
    *replaceable = false;
    dx_cas_p_scan_start(&c, h->k->s, h->k->s->end_, false);
    c.place = tip->end;
    c.chain_known = false;
    while ((error = dx_cas_p_step(&c, &r)) == DX_CAS_OK) {
        if (r.type == 0) {
            c.chain_known = false;
        } else if (r.type == DX_CAS_EXT_COMMIT) {
            if (c.chain_known && dx_cas_p_chain_fits(&c.tip, &r)) return DX_CAS_OK;
            dx_cas_p_tip_set(&c.tip, &r.id, r.logical, r.next);
            c.chain_known = true;
        } else {
            DX_CAS_P_HASH(update)(&c.tip.chain, r.head, sizeof r.head);
            if (!dx_cas_p_heal_known(h, &r)) return DX_CAS_OK;
            c.window_size = 0;
        }
    }
    *replaceable = error == DX_CAS_ENOTFOUND;
    return *replaceable ? DX_CAS_OK : error;
}

/* Find how far the history from the tip on is verified, and write what the store lacks of it: up to
   a commit that both stores have, which verifies everything before it; or up to the end of the
   other store, if this one has nothing of use. DX_CAS_ENOTFOUND: no path leads from the tip. */
static int dx_cas_p_heal_ahead(dx_cas_p_heal *h, dx_cas_tip_ *tip)
{
    dx_cas_tip_ ahead = *tip;
    bool prefer_theirs, shared = false;
    int error = DX_CAS_OK;
    DX_CAS_ASSERT(tip->end >= 2 * DX_CAS_EXT_HEAD);
    while (error == DX_CAS_OK && !shared) {
        error = dx_cas_p_heal_next(h, &ahead, &prefer_theirs, &shared);
    }
    if (error != DX_CAS_OK && error != DX_CAS_ENOTFOUND) return error;
    if (ahead.end == tip->end) return DX_CAS_ENOTFOUND;
    if (!shared) {
        bool replaceable;
        DX_CAS_P_TRY(dx_cas_p_heal_replaceable(h, tip, &replaceable));
        h->mine.window_size = 0;
        if (!replaceable) return DX_CAS_ENOTFOUND;
    }
    return dx_cas_p_heal_write(h, tip, ahead.end);
}

/* Process the whole log: once for the records between commits, once for the commits. */
static int dx_cas_p_heal_run(dx_cas_p_heal *h, bool commits)
{
    uint8_t header[2 * DX_CAS_EXT_HEAD];
    dx_cas_tip_ tip;
    int error = DX_CAS_OK;
    DX_CAS_ASSERT(h->mine.s != h->theirs.s);
    h->commits = commits;
    h->mine.window_size = h->theirs.window_size = 0;
    dx_cas_p_encode_store(h->k->s, header);
    dx_cas_p_tip_first(h->k->s, header, &tip);
    while (error == DX_CAS_OK) {
        error = dx_cas_p_heal_ahead(h, &tip);
        if (error == DX_CAS_ENOTFOUND) error = dx_cas_p_heal_skip(h, &tip);
    }
    return error == DX_CAS_ENOTFOUND ? DX_CAS_OK : error;
}

/* Is the other store a copy of this one? Everything that the chain begins with must be equal. */
static bool dx_cas_p_fix_is_copy(const dx_cas_p_fix *k)
{
    uint8_t mine[2 * DX_CAS_EXT_HEAD], theirs[2 * DX_CAS_EXT_HEAD];
    DX_CAS_ASSERT(k->s != k->other);
    if (!k->other) return false;
    dx_cas_p_encode_store(k->s, mine);
    dx_cas_p_encode_store(k->other, theirs);
    return DX_CAS_MEMCMP(mine, theirs, sizeof mine) == 0;
}

/* Records first, then commits. Commits made with one sync, at the end of the log, count as long as
   all payloads are whole: a damaged one looks like a power cut. A missing commit before them
   reveals the damage, so it is not restored while anything is unresolved. */
static int dx_cas_p_fix_layout(dx_cas_p_fix *k)
{
    dx_cas_p_heal h;
    uint64_t size = 0;
    DX_CAS_ASSERT(k->report.lost == 0);
    if (!dx_cas_p_fix_is_copy(k)) return DX_CAS_OK;
    DX_CAS_P_TRY(k->s->desc_.device.size(k->s->desc_.device.user, &size));
    DX_CAS_MEMSET(&h, 0, sizeof h);
    h.k = k;
    dx_cas_p_scan_start(&h.mine, k->s, size, false);
    dx_cas_p_scan_start(&h.theirs, k->other, k->other->end_, false);
    DX_CAS_P_TRY(dx_cas_p_heal_run(&h, false));
    if (h.unresolved && k->s->form_.features) return DX_CAS_OK;
    return dx_cas_p_heal_run(&h, true);
}

/* Both copies of the header are lost. The other store's header is right if there is a record
   here with its tag. */
static int dx_cas_p_fix_header(dx_cas_p_fix *k)
{
    dx_cas_store *s = k->s;
    uint8_t header[2 * DX_CAS_EXT_HEAD];
    uint64_t size = 0;
    dx_cas_p_scan c;
    dx_cas_ext_record r;
    int error;
    DX_CAS_ASSERT(!k->s->open_);
    if (!k->other) return DX_CAS_ECORRUPT;
    DX_CAS_P_TRY(s->desc_.device.size(s->desc_.device.user, &size));
    dx_cas_p_encode_store(k->other, header);
    DX_CAS_P_TRY(dx_cas_p_decode_store(s, header, 0));
    dx_cas_p_scan_start(&c, s, size, false);
    error = dx_cas_p_step(&c, &r);
    if (error != DX_CAS_OK) return error == DX_CAS_ENOTFOUND ? DX_CAS_ECORRUPT : error;
    k->report.repaired++;
    DX_CAS_P_TRY(dx_cas_p_fix_write(k, 0, header, sizeof header));
    return dx_cas_p_fix_sync(k);
}

/* Fix the payload of an object, from any store that has it in the same form, or if it is stored
   uncompressed here. */
static bool dx_cas_p_fix_object(dx_cas_p_fix *k, const dx_cas_damage *d)
{
    dx_cas_ext_record bad, good;
    uint8_t *bytes;
    uint64_t place = d->offset + DX_CAS_EXT_HEAD;
    DX_CAS_ASSERT(d->kind == DX_CAS_DAMAGE_OBJECT);
    if (!k->other || dx_cas_p_read_head(k->s, d->offset, &bad) != DX_CAS_OK) return false;
    if (dx_cas_p_find(k->other, &bad.id, &good, NULL) != DX_CAS_OK) return false;
    if (good.type != bad.type || good.flags != bad.flags) return false;
    if (good.logical != bad.logical) return false;
    if (good.codec == bad.codec && good.stored == bad.stored) {
        return dx_cas_p_stream(k->other, &good, NULL, 0) == DX_CAS_OK &&
               dx_cas_p_fix_copy(k, good.place + DX_CAS_EXT_HEAD, place, bad.stored) == DX_CAS_OK;
    }
    if (bad.codec != 0) return false;
    bytes = dx_cas_p_unpacked(k->other); /* it has codecs: its form there differs */
    return dx_cas_p_get(k->other, &good, bytes) == DX_CAS_OK &&
           dx_cas_p_fix_write(k, place, bytes, bad.stored) == DX_CAS_OK;
}

/* Fix the payload of a name's record: a copy of the store has it at the same place, under
   the same header. */
static bool dx_cas_p_fix_ref(dx_cas_p_fix *k, const dx_cas_damage *d)
{
    dx_cas_ext_record bad, good;
    uint64_t place = d->offset + DX_CAS_EXT_HEAD;
    DX_CAS_ASSERT(d->kind == DX_CAS_DAMAGE_REF);
    if (!dx_cas_p_fix_is_copy(k)) return false;
    if (dx_cas_p_read_head(k->s, d->offset, &bad) != DX_CAS_OK) return false;
    if (dx_cas_p_read_head(k->other, d->offset, &good) != DX_CAS_OK) return false;
    return DX_CAS_MEMCMP(bad.head, good.head, DX_CAS_EXT_HEAD) == 0 &&
           dx_cas_p_fix_whole(k->other, &good) == DX_CAS_OK &&
           dx_cas_p_fix_copy(k, place, place, bad.stored) == DX_CAS_OK;
}

/* Fix a commit: one copy determines both. If both are readable but differ, the check knows from the
   chain which one is right. */
static bool dx_cas_p_fix_commit(dx_cas_p_fix *k, const dx_cas_damage *d)
{
    static const dx_cas_id unknown = {{0}};
    uint8_t *want = k->s->work_; /* padding is encoded, too: up to 4096 bytes */
    dx_cas_ext_record first, second;
    bool one = dx_cas_p_read_head(k->s, d->offset, &first) == DX_CAS_OK;
    bool two = dx_cas_p_read_head(k->s, d->offset + DX_CAS_EXT_HEAD, &second) == DX_CAS_OK;
    DX_CAS_ASSERT(d->kind == DX_CAS_DAMAGE_COMMIT);
    one = one && first.type == DX_CAS_EXT_COMMIT && !dx_cas_p_second_copy(&first);
    two = two && dx_cas_p_second_copy(&second);
    if (!dx_cas_id_equal(&d->id, &unknown)) {
        one = one && dx_cas_id_equal(&first.id, &d->id);
        two = two && dx_cas_id_equal(&second.id, &d->id);
    }
    if (one == two) return false;
    if (two) first = second;
    (void)dx_cas_p_encode_commit(k->s, d->offset, first.logical, first.flags >> 8, &first.id, want);
    return dx_cas_p_fix_write(k, d->offset, want, 2 * DX_CAS_EXT_HEAD) == DX_CAS_OK;
}

/* Write zeros, but not after a payload that stays damaged: its header may be an old one, and its
   apparent padding may be other data. */
static bool dx_cas_p_fix_padding(dx_cas_p_fix *k, const dx_cas_damage *d)
{
    static const uint8_t zeros[4096] = {0}; /* an align is no larger */
    DX_CAS_ASSERT(d->kind == DX_CAS_DAMAGE_PADDING);
    return d->offset != k->unproved_end && d->size <= sizeof zeros &&
           dx_cas_p_fix_write(k, d->offset, zeros, d->size) == DX_CAS_OK;
}

/* The callback of the check that repairs: fix one place of damage. */
static int dx_cas_p_fix_one(void *user, const dx_cas_damage *d)
{
    dx_cas_p_fix *k = (dx_cas_p_fix *)user;
    uint8_t header[2 * DX_CAS_EXT_HEAD];
    bool done = false;
    DX_CAS_ASSERT(k->error == DX_CAS_OK);
    switch (d->kind) {
    case DX_CAS_DAMAGE_HEADER:
        dx_cas_p_encode_store(k->s, header);
        done = dx_cas_p_fix_write(k, d->offset, header + d->offset, DX_CAS_EXT_HEAD) == DX_CAS_OK;
        break;
    case DX_CAS_DAMAGE_PADDING:
        done = dx_cas_p_fix_padding(k, d);
        break;
    case DX_CAS_DAMAGE_COMMIT:
        done = dx_cas_p_fix_commit(k, d);
        break;
    case DX_CAS_DAMAGE_OBJECT:
        done = dx_cas_p_fix_object(k, d);
        break;
    case DX_CAS_DAMAGE_REF:
        done = dx_cas_p_fix_ref(k, d);
        break;
    default: /* a gap, a missing object, an index: no bytes that could be written in place */
        break;
    }
    if (!done && (d->kind == DX_CAS_DAMAGE_OBJECT || d->kind == DX_CAS_DAMAGE_REF)) {
        k->unproved_end = d->offset + DX_CAS_EXT_HEAD + d->size;
    }
    k->report.repaired += done;
    return k->error != DX_CAS_OK;
}

/* The callback of the check that only reports. The checkpoint, however, is cut where it does not
   fit, because the log has the content of the rest. A whole block with a commit that the log lacks
   stays: it is the only trace of the loss. */
static int dx_cas_p_fix_last(void *user, const dx_cas_damage *d)
{
    dx_cas_p_fix *k = (dx_cas_p_fix *)user;
    const dx_cas_device *c = &k->s->desc_.checkpoint;
    DX_CAS_ASSERT(d && d->kind >= DX_CAS_DAMAGE_HEADER);
    if (d->kind == DX_CAS_DAMAGE_INDEX && d->size == 0 && c->truncate && !k->again) {
        k->error = c->truncate(c->user, d->offset);
        k->report.repaired++;
        k->again = true;
        return k->error != DX_CAS_OK;
    }
    k->report.lost++;
    return k->lost ? k->lost(k->user, d) : 0;
}

/* The full check that decides the result. It also finds a commit that left no trace in the store
   but is in the backup. */
static int dx_cas_p_fix_check(dx_cas_p_fix *k)
{
    int error;
    DX_CAS_ASSERT(k->report.lost == 0);
    DX_CAS_P_TRY(dx_cas_p_fix_open(k, true));
    error = dx_cas_verify(k->s, dx_cas_p_fix_last, k, NULL);
    if (k->error != DX_CAS_OK) return k->error;
    if (error == DX_CAS_ECORRUPT && k->again && k->report.lost == 0) {
        DX_CAS_P_TRY(dx_cas_p_fix_open(k, true)); /* only the checkpoint was damaged */
        error = dx_cas_verify(k->s, dx_cas_p_fix_last, k, NULL);
    }
    if (error == DX_CAS_OK && k->s->tip_.sequence < k->known) {
        dx_cas_damage d = {DX_CAS_DAMAGE_COMMIT, 0, 0, {{0}}};
        d.offset = k->s->end_;
        error = dx_cas_p_fix_last(k, &d) ? DX_CAS_ECANCELED : DX_CAS_ECORRUPT;
    }
    return error;
}

/* The three steps, after restoring the header if both copies were lost. */
static int dx_cas_p_fix_all(dx_cas_p_fix *k)
{
    int error = dx_cas_p_fix_open(k, false);
    DX_CAS_ASSERT(k->report.repaired == 0 && !k->again);
    if ((error == DX_CAS_ECORRUPT && dx_cas_damage_offset(k->s) == 0) ||
        error == DX_CAS_ENOTFOUND) {
        dx_cas_damage d = {DX_CAS_DAMAGE_HEADER, 0, 2 * DX_CAS_EXT_HEAD, {{0}}};
        error = dx_cas_p_fix_header(k);
        if (error == DX_CAS_ECORRUPT) (void)dx_cas_p_fix_last(k, &d);
        DX_CAS_P_TRY(error);
        error = dx_cas_p_fix_open(k, false);
    }
    DX_CAS_P_TRY(error);
    DX_CAS_P_TRY(dx_cas_p_fix_make_durable(k));
    DX_CAS_P_TRY(dx_cas_p_fix_layout(k));
    DX_CAS_P_TRY(dx_cas_p_fix_open(k, false));
    error = dx_cas_verify(k->s, dx_cas_p_fix_one, k, NULL);
    if (k->error != DX_CAS_OK) return k->error;
    if (error != DX_CAS_OK && error != DX_CAS_ECORRUPT) return error;
    if (k->report.repaired > 0) DX_CAS_P_TRY(dx_cas_p_fix_sync(k));
    return dx_cas_p_fix_check(k);
}

DX_CAS_API int dx_cas_repair(dx_cas_store *store, const dx_cas_desc *desc, dx_cas_store *other,
                             dx_cas_damage_fn *lost, void *user, dx_cas_repair_report *report)
{
    dx_cas_p_fix k;
    int error;
    if (!store || !desc || store == other || !desc->device.write || !desc->device.sync) {
        return DX_CAS_EINVAL;
    }
    if (other && !other->open_) return DX_CAS_EINVAL;
    DX_CAS_MEMSET(&k, 0, sizeof k);
    k.s = store;
    k.other = other;
    k.desc = desc;
    k.memory = desc->memory;
    k.memory_size = desc->memory_size;
    k.lost = lost;
    k.user = user;
    error = dx_cas_p_fix_all(&k);
    if (report) *report = k.report;
    return error;
}

#endif /* DX_CAS_NO_REPAIR */

#endif /* DX_CAS_IMPLEMENTATION */

/* >>license -------------------------------------------------------------
   Choose whichever you prefer:

   ALTERNATIVE A - MIT No Attribution (MIT-0)
   Copyright (c) 2026 dx authors
   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
   associated documentation files (the "Software"), to deal in the Software without restriction,
   including without limitation the rights to use, copy, modify, merge, publish, distribute,
   sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
   furnished to do so. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
   IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR
   PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
   CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
   FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

   ALTERNATIVE B - Public domain (Unlicense)
   This is free and unencumbered software released into the public domain. Anyone is free to copy,
   modify, publish, use, compile, sell, or distribute this software, either in source code form or
   as a compiled binary, for any purpose, commercial or non-commercial, and by any means. In
   jurisdictions that recognize copyright laws, the author or authors of this software dedicate any
   and all copyright interest in the software to the public domain. THE SOFTWARE IS PROVIDED "AS
   IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED. IN NO EVENT SHALL THE AUTHORS BE LIABLE
   FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY ARISING FROM THE SOFTWARE OR ITS USE.
   See unlicense.org.
*/
