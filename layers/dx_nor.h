/*  dx_nor.h - v0.3.0 - a store of dx_cas.h on NOR flash, in less than 4 KB of RAM with the stack
                       - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_IMPLEMENTATION             (DX_NOR_IMPLEMENTATION and DX_CAS_IMPLEMENTATION)
        #include "dx_nor.h"

    and include it elsewhere without the define. C99; also builds as C++11. It includes dx_cas.h
    from the folder above, unless that was included before.

    QUICK EXAMPLE (the flash is an array here)

        static unsigned char flash[8 * 4096], memory[DX_NOR_MEMORY_SIZE(256)];

        static int flash_read(void *user, uint32_t offset, void *out, size_t size)
        {
            (void)user;
            memcpy(out, flash + offset, size);
            return 0;
        }
        static int flash_program(void *user, uint32_t offset, const void *data, size_t size)
        {
            (void)user;
            memcpy(flash + offset, data, size);
            return 0;
        }
        static int flash_erase(void *user, uint32_t offset)
        {
            (void)user;
            memset(flash + offset, 0xff, 4096);
            return 0;
        }

        int main(void)
        {
            unsigned char back[16];
            uint32_t    size = 0;
            dx_nor      store;
            dx_nor_ref  ref;
            dx_nor_desc desc;
            int         error;
            memset(&desc, 0, sizeof desc);
            memset(&ref, 0, sizeof ref);
            desc.flash.read = flash_read;
            desc.flash.program = flash_program;
            desc.flash.erase = flash_erase;
            desc.flash.block_size = 4096;
            desc.flash.block_count = 8;
            desc.flash.unit = 256;
            desc.mode = DX_CAS_WRITE;
            desc.memory = memory;
            desc.memory_size = sizeof memory;
            error = dx_nor_open(&store, &desc);
            if (error == DX_NOR_ENOTFOUND) error = dx_nor_create(&store, &desc);
            if (error != DX_NOR_OK) return 1;
            if (dx_nor_put(&store, "hello", 5, &ref.root) != DX_NOR_OK) return 2;
            if (dx_nor_ref_set(&store, "greeting", &ref) != DX_NOR_OK) return 3;
            if (dx_nor_commit(&store) != DX_NOR_OK) return 4;   // now it survives a power cut
            if (dx_nor_ref_get(&store, "greeting", &ref) != DX_NOR_OK) return 5;
            if (dx_nor_get(&store, &ref.root, back, sizeof back, &size) != DX_NOR_OK) return 6;
            return size != 5 || memcmp(back, "hello", 5) != 0;
        }

    CONTENTS (search for the mark)

        >>config  >>types  >>api        what you may call
        >>platform  >>shared  >>blocks  >>records  >>writing  >>recovery  >>room  >>refs
        >>collect  >>public  >>verify  >>device  >>license

    Records, commits and ids are those of docs/formats/cas.md; an erase block is a piece of the log
    with a header of its own. dx_nor_device() shows the log to dx_cas.h, dx_nor_import() takes a
    store that dx_cas.h wrote. There is no index: a lookup reads the 64-byte header of each record,
    so this is for hundreds or thousands of objects, not millions.

    GUARANTEES
        - No unit is programmed twice between two erases. A unit that reads as erased, but that a
          power cut may have touched, is not programmed either (but see DX_NOR_RESUME).
        - After a power cut at any program or erase, torn in any way, the store equals the state of
          the last commit that returned 0, or of the one that was being made.
        - Returned bytes hash to their id; other bytes are never returned.
        - Wear leveling: the blocks are used in a ring, each erased once before one is erased twice.
          Only blocks whose use a power cut interrupts are erased again earlier.
        - A full store still allows deletions (a few names between two collections) and collection.
        - No allocation, no globals, no recursion, no printing.
    LIMITS      2^31 bytes of flash; dx_nor_memory_size() bytes of memory and about 2 KB of stack.
                Some 13,000 records between two collections. One user at a time.
    SIZE        code: x86-64 21,081, Cortex-M0 12,168; objects: dx_nor 248, plus
                dx_nor_memory_size()
    THREADS     One at a time for each store.
    CONFIG      DX_NOR_STATIC     functions become static
                DX_NOR_API        how functions are declared
                DX_NOR_ASSERT(c)  <assert.h> when hosted
                DX_NOR_MEMCPY, DX_NOR_MEMSET, DX_NOR_MEMCMP
                Define DX_CAS_SMALL and DX_CAS_NO_FILE for dx_cas.h on microcontrollers.
    ERRORS      dx_nor_error: 0 = ok, negative = reason, with the values of dx_cas_error;
                dx_nor_error_name() returns its name. Errors of flash functions are passed through.
    OWNERSHIP   The flash and desc.memory are borrowed as long as the store is used.
    FORMAT      docs/formats/nor.md, on docs/formats/cas.md.
*/
#ifndef DX_NOR_H
#define DX_NOR_H

#define DX_NOR_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_CAS_H
  #include "../dx_cas.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_NOR_API
  #ifndef DX_NOR_STATIC
    #define DX_NOR_API extern
  #elif defined(__GNUC__) || defined(__clang__)
    #define DX_NOR_API static __attribute__((unused))
  #else
    #define DX_NOR_API static
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */
/* value, constant, meaning; the values of dx_cas.h, whose errors are passed on. */
#define DX_NOR_ERRORS(X)                                                                           \
    X(0, OK)                                                                                       \
    X(-1, EINVAL)      /* an argument breaks its contract, or there is a store already */          \
    X(-2, ENOMEM)      /* too little memory, or more records than dx_nor_collect() counts */       \
    X(-3, ENOSPACE)    /* the output buffer or the flash is full */                                \
    X(-4, ETOOBIG)     /* above a limit of the flash or of the format */                           \
    X(-5, ECORRUPT)    /* bytes are damaged or not of this format */                               \
    X(-7, ESYS)        /* the flash failed, or an earlier write failed: open it again */           \
    X(-8, ENOTSUP)     /* a codec or hash that this build does not have */                         \
    X(-9, ENOTFOUND)   /* no such object, name or store */                                         \
    X(-10, ECANCELED)  /* the callback of dx_nor_verify() asked to stop */                         \
    X(-11, ETRUNCATED) /* a store to be imported ends too early */                                 \
    X(-12, EVERSION)   /* a format version or record type that this build does not know */         \
    X(-34, EREADONLY)  /* opened for reading, damaged, or to be collected first */                 \
    X(-38, EZERO)      /* a reserved byte is not zero */

typedef enum dx_nor_error {
#define DX_NOR_P_ENUM(value, constant) DX_NOR_##constant = value,
    DX_NOR_ERRORS(DX_NOR_P_ENUM)
#undef DX_NOR_P_ENUM
} dx_nor_error;

/* Each function returns 0 or a negative error, which is passed through (DX_NOR_ESYS). Offsets are
   bytes from the beginning of the area. No call crosses the end of a block. */
typedef struct dx_nor_flash {
    int (*read)(void *user, uint32_t offset, void *out, size_t size);
    /* offset and size are multiples of unit; no byte is programmed twice between erases. */
    int (*program)(void *user, uint32_t offset, const void *data, size_t size);
    int (*erase)(void *user, uint32_t offset); /* the block there: all its bytes become 0xff */
    void    *user;
    uint32_t block_size;  /* an erase block: a multiple of unit, at least 512 and 4 units */
    uint32_t block_count; /* at least 4; at most 2^31 bytes in all */
    uint32_t unit;        /* the program granularity: a power of two, 1..4096 */
} dx_nor_flash;

enum { /* dx_nor_desc.mode: those of dx_cas_desc, and */
/* Continue after the last commit if the rest of its block reads as erased. Without it the first
       write after dx_nor_open() begins a new block, because a power cut may have programmed
       a unit so weakly that it does not show. For flash without ECC that is opened often. */
    DX_NOR_RESUME = 16
};

/* Bytes of memory for a flash with units of that many bytes. With more memory, reads are longer
   than 64 bytes. */
#define DX_NOR_MEMORY_SIZE(unit) (72 + sizeof(dx_cas_hasher) + ((unit) > 64 ? (unit) : 64))

typedef struct dx_nor_desc {
    dx_nor_flash flash;
    uint32_t mode;         /* DX_CAS_READ, or DX_CAS_WRITE and other flags */
    void    *memory;       /* of any alignment; borrowed as long as the store is used */
    size_t   memory_size;  /* DX_NOR_MEMORY_SIZE(unit) or more */
    uint8_t  store_id[16]; /* creation: as in dx_cas_desc */
} dx_nor_desc;

typedef struct dx_nor_ref { /* the latest version of a name; older ones are not kept */
    dx_cas_id root;
    uint64_t  version; /* set by the store: 1, 2, 3, ... */
    uint64_t  size;    /* set by the store: bytes of the object */
    uint64_t  time_ns; /* the caller's clock */
    uint32_t  kind;    /* the caller's */
} dx_nor_ref;

typedef struct dx_nor_stats {
    uint64_t commits;        /* sequence number of the last one */
    uint32_t generation;     /* 1 more with each collection */
    uint32_t log_bytes;      /* including uncommitted records, */
    uint32_t records;        /* and the number of records in it */
    uint32_t blocks;         /* erase blocks, */
    uint32_t blocks_used;    /* and those that hold the log */
    uint32_t erases_max;     /* of the block that was erased most often, */
    uint32_t erases_mean;    /* and 100 times the mean of all blocks ever used */
    uint32_t damaged_places; /* found by open */
} dx_nor_stats;

typedef struct dx_nor_log_ { /* private: a generation of the log */
    uint64_t  sequence;   /* of the last commit, */
    dx_cas_id chain;      /* its id, */
    uint32_t  commit;     /* place, */
    uint32_t  committed;  /* end, */
    uint32_t  marks;      /* and marks */
    uint32_t  generation; /* in the header of each of its blocks */
    uint32_t  first;      /* the block of the flash that it begins in, */
    uint32_t  erases;     /* how often that was erased, */
    uint32_t  blocks;     /* and how many it has */
    uint32_t  last;       /* logical start of the last block */
    uint32_t  ordinal;    /* the block of the log that was read last, */
    uint32_t  start;      /* and its logical bytes: from here */
    uint32_t  stop;       /* to here */
    uint32_t  end;        /* of the log, including uncommitted records */
    uint32_t  records;    /* in it */
    uint32_t  align;      /* of records; these three as in dx_cas_ext_form */
    uint32_t  tag;
    uint32_t  features;
} dx_nor_log_;

typedef struct dx_nor { /* caller-allocated; fields are private */
    dx_nor_flash   flash_;
    dx_nor_log_    log_;
    dx_cas_hasher *hasher_;       /* these three lie in desc.memory */
    uint8_t       *io_;           /* read buffer */
    uint8_t       *out_;          /* write buffer: one unit, or 64 bytes */
    uint32_t       at_;           /* logical place of out_, */
    uint32_t       fill_;         /* and bytes in it */
    uint32_t       io_size_;
    uint32_t       out_size_;
    uint32_t       head_size_;    /* of a block: 64 bytes, or a unit if that is more */
    uint32_t       mode_;
    uint32_t       live_;         /* upper bound of live bytes: */
    uint32_t       measured_;     /* counted when the log ended here; */
    uint32_t       counted_;      /* all bytes from here on */
    uint32_t       generations_;  /* the highest ever seen */
    uint32_t       erases_;       /* the highest count of a block */
    uint32_t       damage_;       /* damaged places, */
    uint32_t       damage_place_; /* and the first of them */
    uint8_t        store_id_[16];
    bool           open_;
    bool           ready_;        /* the log's last block takes more records as it is */
    bool           dirty_;        /* there is something to commit */
    bool           failed_;       /* a write failed: refuse more until it is opened again */
} dx_nor;

/* >>api ---------------------------------------------------------------- */
/* "DX_NOR_ECORRUPT" and so on; "unknown error" for anything else. Never NULL. */
DX_NOR_API const char *dx_nor_error_name(int error);
/* Bytes for dx_nor_desc.memory; the macro above as a function. */
DX_NOR_API size_t dx_nor_memory_size(uint32_t unit);
/* Find the last commit. Programs and erases nothing.
   DX_NOR_ENOTFOUND   no store here: dx_nor_create()
   DX_NOR_ECORRUPT    committed bytes are damaged (dx_nor_damage_offset()); with
                      DX_CAS_ACCEPT_DAMAGE it opens, for reading and dx_nor_collect() only
   DX_NOR_ENOMEM, DX_NOR_EVERSION, DX_NOR_ENOTSUP  as dx_cas_open() */
DX_NOR_API int dx_nor_open(dx_nor *n, const dx_nor_desc *desc);
/* Make an empty store, and open it. DX_NOR_EINVAL if there is a store, intact or damaged (to
   discard it, erase the first block of the area, or all of them). */
DX_NOR_API int dx_nor_create(dx_nor *n, const dx_nor_desc *desc);
/* Place in the log where open met damage; UINT32_MAX: none. */
DX_NOR_API uint32_t dx_nor_damage_offset(const dx_nor *n);
/* Reads the header of every block. */
DX_NOR_API int dx_nor_get_stats(dx_nor *n, dx_nor_stats *out);

/* Read an object's bytes, in pieces, from front to back, twice: it must give the same both times.
   Returns 0 or an error, which is passed through. It must not call the store. */
typedef int dx_nor_source(void *user, uint32_t offset, void *out, size_t size);
/* Store an object, unless an undamaged copy exists; *id (may be NULL) = its hash. Written bytes are
   read back and hashed. DX_NOR_ENOSPACE, DX_NOR_ENOMEM (more records than dx_nor_collect() has
   bits for: some 13,000): nothing has changed. After another error the store refuses writes
   (DX_NOR_ESYS) until it is opened again, which returns it to the last commit. */
DX_NOR_API int dx_nor_put(dx_nor *n, const void *data, uint32_t size, dx_cas_id *id);
DX_NOR_API int dx_nor_put_from(dx_nor *n, dx_nor_source *source, void *user,
                               uint32_t size, dx_cas_id *id);
/* DX_NOR_ENOTFOUND; does not read the object's bytes. */
DX_NOR_API int dx_nor_size(dx_nor *n, const dx_cas_id *id, uint32_t *size);
/* Read an object, or size bytes from offset on (*got < size only at its end). The whole object is
   hashed, in pieces: it may be larger than memory. DX_NOR_ENOSPACE: *size is the capacity needed.
   DX_NOR_ECORRUPT: the buffer is zeroed. DX_NOR_ENOTSUP: stored with a codec. */
DX_NOR_API int dx_nor_get(dx_nor *n, const dx_cas_id *id, void *buffer, uint32_t capacity,
                          uint32_t *size);
DX_NOR_API int dx_nor_read(dx_nor *n, const dx_cas_id *id, uint32_t offset, void *buffer,
                           uint32_t size, uint32_t *got);

/* Name an object of the store (not a list node: DX_NOR_EINVAL); in: root, time_ns, kind. Names as
   in dx_cas.h. Durable after dx_nor_commit(). */
DX_NOR_API int dx_nor_ref_set(dx_nor *n, const char *name, const dx_nor_ref *ref);
/* DX_NOR_ENOTFOUND. DX_NOR_ECORRUPT: a later record of some name is damaged, and may belong to this
   one; *out is the last intact version, or zeros. */
DX_NOR_API int dx_nor_ref_get(dx_nor *n, const char *name, dx_nor_ref *out);
/* All names, in the order in which they were last set. *cursor = 0 begins, DX_NOR_ENOTFOUND ends.
   Any change makes the cursor invalid. name: DX_CAS_NAME_MAX + 1 bytes. */
DX_NOR_API int dx_nor_ref_next(dx_nor *n, uint32_t *cursor, char *name,
                               dx_nor_ref *out);
DX_NOR_API int dx_nor_ref_delete(dx_nor *n, const char *name);
/* Make earlier changes durable, atomically; no write if nothing changed. Never DX_NOR_ENOSPACE. */
DX_NOR_API int dx_nor_commit(dx_nor *n);

/* Hash everything, in place; as dx_cas_verify(), but a place is one in the log. A HEADER of 32
   bytes is one copy of a block's header, and its place the block's first byte. */
DX_NOR_API int dx_nor_verify(dx_nor *n, dx_cas_damage_fn *callback, void *user,
                             dx_cas_report *report);
/* Commit, then copy everything reachable from the names into the blocks after the log, which then
   become the store. Unreachable objects and older versions of names are dropped. After an error the
   store is unchanged. DX_NOR_ENOSPACE: names reach more than dx_nor_put() lets in (imported stores
   can). DX_NOR_ETOOBIG: a block of the area has the last generation number, 2^32 - 1; import and
   create return the same. */
DX_NOR_API int dx_nor_collect(dx_nor *n);
/* Replace the store with the first size bytes of a store of dx_cas.h (its
   dx_cas_stats.device_bytes), which must end with a commit. Atomic. If the store's align is less
   than the unit, call dx_nor_collect() before the next write: until then writes fail with
   DX_NOR_EREADONLY. */
DX_NOR_API int dx_nor_import(dx_nor *n, const dx_cas_device *from, uint32_t size);
/* The committed log as a device for dx_cas_open() with DX_CAS_READ. *n must outlive it. */
DX_NOR_API dx_cas_device dx_nor_device(dx_nor *n);

#ifdef __cplusplus
}
#endif
#endif /* DX_NOR_H */

#if (defined(DX_NOR_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_NOR_IMPLEMENTED)
#define DX_NOR_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_NOR_ASSERT
  #if (!defined(__STDC_HOSTED__) || __STDC_HOSTED__ == 1) && !defined(NDEBUG)
    #include <assert.h>
    #define DX_NOR_ASSERT(c) assert(c)
  #else
    #define DX_NOR_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_NOR_P_LIBC(name) __builtin_##name
#else
  #include <string.h>
  #define DX_NOR_P_LIBC(name) name
#endif
#ifndef DX_NOR_MEMCPY
  #define DX_NOR_MEMCPY DX_NOR_P_LIBC(memcpy)
#endif
#ifndef DX_NOR_MEMSET
  #define DX_NOR_MEMSET DX_NOR_P_LIBC(memset)
#endif
#ifndef DX_NOR_MEMCMP
  #define DX_NOR_MEMCMP DX_NOR_P_LIBC(memcmp)
#endif

/* Return the error of a call. */
#define DX_NOR_P_TRY(call)                  \
    do {                                    \
        int try_ = (call);                  \
        if (try_ != DX_NOR_OK) return try_; \
    } while (0)

/* >>shared --------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies (a check compares them). */
static uint32_t dx_nor_p_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t dx_nor_p_load64(const uint8_t *p)
{
    return (uint64_t)dx_nor_p_load32(p) | (uint64_t)dx_nor_p_load32(p + 4) << 32;
}

static void dx_nor_p_store32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8 & 0xff);
    p[2] = (uint8_t)(v >> 16 & 0xff);
    p[3] = (uint8_t)(v >> 24);
}

static void dx_nor_p_store64(uint8_t *p, uint64_t v)
{
    dx_nor_p_store32(p, (uint32_t)(v & 0xffffffffu));
    dx_nor_p_store32(p + 4, (uint32_t)(v >> 32));
}
/* <<shared */

/* Bytes of a text before its NUL. */
static size_t dx_nor_p_length(const char *text)
{
    size_t size = 0;
    DX_NOR_ASSERT(text);
    while (text[size]) size++;
    return size;
}

DX_NOR_API const char *dx_nor_error_name(int error)
{
    switch (error) {
#define DX_NOR_P_NAME(value, constant)                                                             \
    case value: return "DX_NOR_" #constant;
        DX_NOR_ERRORS(DX_NOR_P_NAME)
#undef DX_NOR_P_NAME
    default: return "unknown error";
    }
}

/* >>blocks --------------------------------------------------------------
   The log of docs/formats/cas.md is cut into pieces, one for each erase block. The flash is a ring
   of blocks, and the blocks of a log are consecutive in it:

       flash   [ block 0 ][ block 1 ][ block 2 ][ block 3 ][ block 4 ][ block 5 ]
                 log 2 of   free,      free       log 0 of   log 1 of   ...
                 gen. 7     next                  gen. 7     gen. 7

       block   [copy of its header][copy][ piece of the log ........................... ]
                0                   32    64, or one unit where that is larger

       header  "DXNB" version flags 0 0 | generation | ordinal | logical start | erases | block size
               | CRC-32C of the copy's offset in the flash and the bytes before

   Collection writes a new generation after the old one. Its first header is written last, so that
   it counts only when it is complete. A torn tail cannot be erased alone, so the next block then
   begins with a second copy of the last commit (RESTART), and readers skip the rest of the block
   before. */
enum {
    DX_NOR_P_COPY = 32,
    DX_NOR_P_DELTA = 2,   /* codec: the payload begins with the id of another object */
    DX_NOR_P_DELTAS = 32, /* the longest chain of deltas */
    DX_NOR_P_RESTART = 1  /* flag: the block begins with the last commit, not where one ended */
};
enum { /* which ref records are hashed before use */
    DX_NOR_P_TRUST = 0, /* none, */
    DX_NOR_P_SAME = 1,  /* those of the same name, */
    DX_NOR_P_ALL = 2    /* or all */
};
/* A list node with 512 children, the max of the format. */
#define DX_NOR_P_NODE_MAX (DX_CAS_EXT_NODE_HEAD + 512 * DX_CAS_EXT_NODE_ENTRY)
#define DX_NOR_P_MAGIC 0x424e5844u        /* "DXNB": begins a block */
#define DX_NOR_P_RECORD_MAGIC 0x52435844u /* begins a record: cas.md, section 5 */

typedef struct dx_nor_p_block { /* one decoded copy of a block's header */
    uint32_t flags;      /* DX_NOR_P_RESTART, or 0 */
    uint32_t generation; /* of the log that it belongs to: 1 and up */
    uint32_t ordinal;    /* its number in that log */
    uint32_t start;      /* logical place of the first byte after the header */
    uint32_t erases;     /* erase count of this block */
} dx_nor_p_block;

/* Bytes of the log that a block holds. */
static uint32_t dx_nor_p_capacity(const dx_nor *n)
{
    DX_NOR_ASSERT(n->head_size_ > 0 && n->head_size_ < n->flash_.block_size);
    return n->flash_.block_size - n->head_size_;
}

/* The flash offset of a block of the log; the ring wraps after the last block of the area. */
static uint32_t dx_nor_p_offset(const dx_nor *n, const dx_nor_log_ *g, uint32_t ordinal)
{
    DX_NOR_ASSERT(g->first < n->flash_.block_count && ordinal <= n->flash_.block_count);
    return (g->first + ordinal) % n->flash_.block_count * n->flash_.block_size;
}

/* The next multiple of the log's alignment, where a record may begin. */
static uint32_t dx_nor_p_align(const dx_nor_log_ *g, uint32_t v)
{
    DX_NOR_ASSERT(g->align >= 8 && (g->align & (g->align - 1)) == 0);
    return (v + g->align - 1) & ~(g->align - 1);
}

/* CRC-32C of one copy of a block's header. It covers the flash offset, so that a header that was
   copied elsewhere, or read through a wrong address line, is rejected. */
static uint32_t dx_nor_p_crc(uint32_t offset, const uint8_t *copy)
{
    uint8_t at[8];
    dx_nor_p_store64(at, offset);
    return dx_cas_ext_crc32c(dx_cas_ext_crc32c(0, at, sizeof at), copy, DX_NOR_P_COPY - 4);
}

/* Decode the copy of a header at a flash offset. DX_NOR_ECORRUPT: the copy is damaged or missing.
   Any other error is about an intact header, so the second copy would give the same error. */
static int dx_nor_p_block_copy(dx_nor *n, uint32_t offset, dx_nor_p_block *b)
{
    uint8_t p[DX_NOR_P_COPY];
    DX_NOR_ASSERT(offset % n->flash_.block_size == 0 ||
                  offset % n->flash_.block_size == DX_NOR_P_COPY);
    DX_NOR_P_TRY(n->flash_.read(n->flash_.user, offset, p, sizeof p));
    if (dx_nor_p_load32(p) != DX_NOR_P_MAGIC ||
        dx_nor_p_load32(p + 28) != dx_nor_p_crc(offset, p)) {
        return DX_NOR_ECORRUPT;
    }
    b->flags = p[5];
    b->generation = dx_nor_p_load32(p + 8);
    b->ordinal = dx_nor_p_load32(p + 12);
    b->start = dx_nor_p_load32(p + 16);
    b->erases = dx_nor_p_load32(p + 20);
    if (p[4] != 1) return DX_NOR_EVERSION;
    if (p[5] > DX_NOR_P_RESTART || p[6] || p[7]) return DX_NOR_EZERO;
    return dx_nor_p_load32(p + 24) == n->flash_.block_size ? DX_NOR_OK : DX_NOR_EINVAL;
}

/* The header of the block at a flash offset: either copy will do. */
static int dx_nor_p_block_read(dx_nor *n, uint32_t offset, dx_nor_p_block *b)
{
    int error = dx_nor_p_block_copy(n, offset, b);
    DX_NOR_ASSERT(offset % n->flash_.block_size == 0);
    return error == DX_NOR_ECORRUPT ? dx_nor_p_block_copy(n, offset + DX_NOR_P_COPY, b)
                                    : error;
}

/* Program both copies of a block's header at once, alone in the first unit: the block was erased,
   and its log begins in the next unit. */
static int dx_nor_p_block_write(dx_nor *n, const dx_nor_log_ *g, uint32_t ordinal,
                                uint32_t start, uint32_t erases, uint32_t flags)
{
    uint32_t offset = dx_nor_p_offset(n, g, ordinal), i;
    uint8_t *p = n->out_;
    DX_NOR_ASSERT(g->generation > 0 && flags <= DX_NOR_P_RESTART);
    DX_NOR_ASSERT(n->head_size_ >= 2 * DX_NOR_P_COPY && n->head_size_ <= n->out_size_);
    DX_NOR_MEMSET(p, 0xff, n->head_size_);
    for (i = 0; i < 2; i++, p += DX_NOR_P_COPY) {
        dx_nor_p_store32(p, DX_NOR_P_MAGIC);
        dx_nor_p_store32(p + 4, 1 | flags << 8);
        dx_nor_p_store32(p + 8, g->generation);
        dx_nor_p_store32(p + 12, ordinal);
        dx_nor_p_store32(p + 16, start);
        dx_nor_p_store32(p + 20, erases);
        dx_nor_p_store32(p + 24, n->flash_.block_size);
        dx_nor_p_store32(p + 28, dx_nor_p_crc(offset + i * DX_NOR_P_COPY, p));
    }
    return n->flash_.program(n->flash_.user, offset, n->out_, n->head_size_);
}

/* Make the block that holds a logical place the current one (ordinal, start, stop). Only the start
   of the next block tells where a block ends: a RESTART begins before its predecessor is full, and
   replaces the places from there on. So the walk goes forward, header by header, and restarts at
   the first block if the place is before the current one. DX_NOR_ETRUNCATED: after the last. */
static int dx_nor_p_seek(dx_nor *n, dx_nor_log_ *g, uint32_t place)
{
    dx_nor_p_block b;
    DX_NOR_ASSERT(g->blocks > 0 && g->ordinal < g->blocks);
    if (place >= g->start && place < g->stop) return DX_NOR_OK;
    if (place < g->start) g->ordinal = g->start = 0;
    for (;; g->ordinal++, g->start = g->stop) {
        g->stop = g->start + dx_nor_p_capacity(n);
        if (g->ordinal + 1 < g->blocks) {
            DX_NOR_P_TRY(dx_nor_p_block_read(
                n, dx_nor_p_offset(n, g, g->ordinal + 1), &b));
            if (b.generation != g->generation || b.ordinal != g->ordinal + 1) {
                return DX_NOR_ECORRUPT;
            }
            g->stop = b.start;
        }
        if (place < g->stop) return DX_NOR_OK;
        if (g->ordinal + 1 >= g->blocks) return DX_NOR_ETRUNCATED;
    }
}

/* Forget the current block: the blocks of the log have changed. */
static void dx_nor_p_rewind(dx_nor_log_ *g) { g->ordinal = g->start = g->stop = 0; }

/* Read bytes at a logical place, across blocks. Places after the last block read as erased: a
   commit that a power cut tore may seem to end there. */
static int dx_nor_p_bytes(dx_nor *n, dx_nor_log_ *g, uint32_t place, void *out,
                          uint32_t size)
{
    uint8_t *to = (uint8_t *)out;
    DX_NOR_ASSERT(out || size == 0);
    while (size > 0) {
        uint32_t part;
        int error = dx_nor_p_seek(n, g, place);
        if (error == DX_NOR_ETRUNCATED) DX_NOR_MEMSET(to, 0xff, size);
        if (error != DX_NOR_OK) return error == DX_NOR_ETRUNCATED ? DX_NOR_OK : error;
        DX_NOR_ASSERT(place >= g->start && place < g->stop);
        part = g->stop - place < size ? g->stop - place : size;
        DX_NOR_P_TRY(n->flash_.read(n->flash_.user,
                                    dx_nor_p_offset(n, g, g->ordinal) + n->head_size_ +
                                    (place - g->start),
                                    to, part));
        place += part;
        to += part;
        size -= part;
    }
    return DX_NOR_OK;
}

/* >>records ------------------------------------------------------------
   The log is a row of records, each at a multiple of align; a header has the size of its record:

       log     | store header | records since ............ | commit | records ........ | commit |...
               0     (x 2)    first()                                                    ^ tip

       record  [ header, 64 bytes ][ payload, stored bytes ][ zeros up to a multiple of align ]
       commit  [ header, copy 1   ][ header, copy 2        ][ the same zeros                  ]

       header  0      4     5      6      8       16       24       56       60
               | DXCR | type|codec | flags| stored| logical| id (32)| tag    | CRC-32C, with place |

   There is no index, so every lookup walks the records from first() on (dx_nor_p_step()), which
   reads 64 bytes of each record and no payload. A header's CRC covers its place, so that a copy of
   a header inside a payload is not taken for a record. After damage, the walk looks for the next
   header at each multiple of align, and reports the skipped bytes as a gap. A header is trusted
   if its CRC matches; a payload is trusted once it hashes to the id in its header
   (dx_nor_p_content()). */
typedef struct dx_nor_p_record {
    uint64_t logical;  /* bytes of the object; commit: its sequence number */
    uint32_t place;    /* where it begins in the log, */
    uint32_t next;     /* and where the next one may begin */
    uint32_t stored;   /* bytes of the payload */
    uint32_t type;     /* DX_CAS_EXT_BLOB and so on; 0: a gap without a valid record */
    uint32_t codec;    /* how the payload is stored; 0: verbatim */
    uint32_t flags;    /* list: its level. Commit: which copy, and its marks << 8 */
    uint8_t  head[DX_CAS_EXT_HEAD]; /* the encoded form; the id is at 24 */
} dx_nor_p_record;

/* CRC-32C of a record header and its place: a copy elsewhere fails the check. */
static uint32_t dx_nor_p_head_crc(uint32_t place, const uint8_t *head)
{
    uint8_t at[8];
    dx_nor_p_store64(at, place);
    return dx_cas_ext_crc32c(dx_cas_ext_crc32c(0, at, sizeof at), head, DX_CAS_EXT_HEAD - 4);
}

/* Fill r->head from the other fields of r. id may be the one in r->head already (a copy). */
static void dx_nor_p_encode(const dx_nor_log_ *g, dx_nor_p_record *r, const uint8_t *id)
{
    DX_NOR_ASSERT(r->type >= DX_CAS_EXT_BLOB && r->type <= DX_CAS_EXT_COMMIT);
    DX_NOR_ASSERT(r->place % 8 == 0 && r->codec <= 255 && r->flags <= 65535);
    dx_nor_p_store32(r->head, DX_NOR_P_RECORD_MAGIC);
    dx_nor_p_store32(r->head + 4, r->type | r->codec << 8 | r->flags << 16);
    dx_nor_p_store64(r->head + 8, r->stored);
    dx_nor_p_store64(r->head + 16, r->logical);
    if (id != r->head + 24) DX_NOR_MEMCPY(r->head + 24, id, 32);
    dx_nor_p_store32(r->head + 56, g->tag);
    dx_nor_p_store32(r->head + 60, dx_nor_p_head_crc(r->place, r->head));
}

/* Are the decoded fields valid for the record's type? (cas.md, section 5) */
static bool dx_nor_p_sane(const dx_nor_log_ *g, const dx_nor_p_record *r)
{
    uint32_t marks = r->flags >> 8;
    if (r->type == DX_CAS_EXT_BLOB) return r->flags == 0 && (r->codec || r->stored == r->logical);
    if (r->codec) return false;
    if (r->type == DX_CAS_EXT_COMMIT) {
        if (marks > (g->features ? 15u : 1u) || (marks & 6) == DX_CAS_EXT_LOOSE) return false;
        return r->stored == 0 && (r->flags & 255) - 1 < 2;
    }
    if (r->stored != r->logical) return false;
    if (r->type == DX_CAS_EXT_REF) {
        return r->flags == 0 && r->stored > DX_CAS_EXT_REF_FIXED && r->stored <= DX_CAS_EXT_REF_MAX;
    }
    return r->flags - 1 < 8 && r->stored <= DX_NOR_P_NODE_MAX;
}

/* Decode the header in r->head. DX_NOR_ECORRUPT: not valid at that place, or beyond the limit. */
static int dx_nor_p_decode(const dx_nor_log_ *g, uint32_t place, uint32_t limit,
                           dx_nor_p_record *r)
{
    const uint8_t *head = r->head;
    uint32_t size = 2 * DX_CAS_EXT_HEAD;
    DX_NOR_ASSERT(place <= limit && limit - place >= DX_CAS_EXT_HEAD);
    if (dx_nor_p_load32(head) != DX_NOR_P_RECORD_MAGIC || dx_nor_p_load32(head + 56) != g->tag ||
        dx_nor_p_load32(head + 60) != dx_nor_p_head_crc(place, head)) {
        return DX_NOR_ECORRUPT;
    }
    r->place = place;
    r->type = head[4];
    r->codec = head[5];
    r->flags = dx_nor_p_load32(head + 4) >> 16;
    r->stored = dx_nor_p_load32(head + 8);
    r->logical = dx_nor_p_load64(head + 16);
    if (r->type == 0 || r->type > DX_CAS_EXT_COMMIT) return DX_NOR_EVERSION;
    if (dx_nor_p_load32(head + 12) || !dx_nor_p_sane(g, r)) return DX_NOR_ECORRUPT;
    if (r->type != DX_CAS_EXT_COMMIT) {
        if (r->stored > limit - place - DX_CAS_EXT_HEAD) return DX_NOR_ECORRUPT;
        size = DX_CAS_EXT_HEAD + r->stored;
    } else if ((r->flags & 255) == 2) {
        size = DX_CAS_EXT_HEAD; /* the second copy: the first lies before it */
    }
    r->next = dx_nor_p_align(g, place + size);
    return r->next <= limit || r->type == DX_CAS_EXT_COMMIT ? DX_NOR_OK : DX_NOR_ECORRUPT;
}

/* Read and decode the one header at a place. */
static int dx_nor_p_peek(dx_nor *n, dx_nor_log_ *g, uint32_t place, uint32_t limit,
                         dx_nor_p_record *r)
{
    if (place > limit || limit - place < DX_CAS_EXT_HEAD) return DX_NOR_ECORRUPT;
    DX_NOR_P_TRY(dx_nor_p_bytes(n, g, place, r->head, DX_CAS_EXT_HEAD));
    return dx_nor_p_decode(g, place, limit, r);
}

/* The record that begins at place. Either copy of a commit is enough to read it, but the record
   begins where the first copy is. */
static int dx_nor_p_record_at(dx_nor *n, dx_nor_log_ *g, uint32_t place, uint32_t limit,
                              dx_nor_p_record *r)
{
    uint32_t copy;
    for (copy = 0; copy < 2; copy++) {
        int error = dx_nor_p_peek(n, g, place + copy * DX_CAS_EXT_HEAD, limit, r);
        bool second = error == DX_NOR_OK && r->type == DX_CAS_EXT_COMMIT && (r->flags & 255) == 2;
        r->place = place;
        if (error != DX_NOR_OK && error != DX_NOR_ECORRUPT) return error;
        if (error == DX_NOR_OK && second == (copy == 1)) return DX_NOR_OK;
    }
    return DX_NOR_ECORRUPT;
}

/* Skip to the next record after damage, or to the limit (DX_NOR_ENOTFOUND). Its magic is where it
   begins or, if it is a commit without its first copy, 64 bytes further. */
static int dx_nor_p_skip(dx_nor *n, dx_nor_log_ *g, uint32_t limit, uint32_t *place,
                         dx_nor_p_record *r)
{
    uint32_t from = *place;
    uint32_t window = 0; /* place of the bytes in n->io_, */
    uint32_t size = 0;   /* and their number */
    uint32_t at = from;
    uint32_t step = g->align < DX_CAS_EXT_HEAD ? g->align : (uint32_t)DX_CAS_EXT_HEAD;
    int error = DX_NOR_ECORRUPT;
    DX_NOR_ASSERT(from < limit && n->io_size_ >= DX_CAS_EXT_HEAD);
    *place = limit;
    while (error == DX_NOR_ECORRUPT && limit - at > step) {
        uint32_t back;
        at += step;
        if (at - window + 4 > size) {
            window = at;
            size = limit - at < n->io_size_ ? limit - at : n->io_size_;
            if (size < 4) break;
            DX_NOR_P_TRY(dx_nor_p_bytes(n, g, at, n->io_, size));
        }
        if (dx_nor_p_load32(n->io_ + (at - window)) != DX_NOR_P_RECORD_MAGIC) continue;
        for (back = 0; back <= DX_CAS_EXT_HEAD; back += DX_CAS_EXT_HEAD) {
            if (error != DX_NOR_ECORRUPT) break;
            if (at - from <= back || (at - back) % g->align) continue;
            error = dx_nor_p_record_at(n, g, at - back, limit, r);
            if (error == DX_NOR_OK) *place = at - back;
        }
    }
    return error == DX_NOR_ECORRUPT ? DX_NOR_ENOTFOUND : error;
}

/* Read the record at *place and advance *place to the next; or report a gap before one (type 0,
   from r->place to r->next). DX_NOR_ENOTFOUND: the end. */
static int dx_nor_p_step(dx_nor *n, dx_nor_log_ *g, uint32_t limit, uint32_t *place,
                         dx_nor_p_record *r)
{
    uint32_t from = *place;
    int error = dx_nor_p_record_at(n, g, from, limit, r);
    if (error == DX_NOR_ECORRUPT) {
        error = from < limit ? dx_nor_p_skip(n, g, limit, place, r) : DX_NOR_ENOTFOUND;
        r->type = 0;
        r->place = from; /* the record that was found is read again */
        r->next = *place;
    }
    DX_NOR_ASSERT(error != DX_NOR_OK || r->next > from);
    if (error == DX_NOR_OK) *place = r->next;
    return error;
}

/* Where the first record begins: after both copies of the store header. */
static uint32_t dx_nor_p_first(const dx_nor_log_ *g)
{
    return dx_nor_p_align(g, 2 * DX_CAS_EXT_HEAD);
}

/* Hash the whole payload of a record, a window at a time, and copy its size bytes from offset on
   to out on the way. If the payload does not match its id, out is zeroed. */
static int dx_nor_p_content(dx_nor *n, dx_nor_log_ *g, const dx_nor_p_record *r,
                            uint32_t offset, uint8_t *out, uint32_t size)
{
    dx_cas_id id;
    uint32_t done, take;
    int error = DX_NOR_OK;
    DX_NOR_ASSERT(r->type != 0 && r->type != DX_CAS_EXT_COMMIT);
    DX_NOR_ASSERT(size == 0 || (out && offset <= r->stored && size <= r->stored - offset));
    if (r->codec) return DX_NOR_ENOTSUP;
    dx_cas_ext_id_start(n->hasher_, r->type);
    for (done = 0; error == DX_NOR_OK && done < r->stored; done += take) {
        take = r->stored - done < n->io_size_ ? r->stored - done : n->io_size_;
        error = dx_nor_p_bytes(n, g, r->place + DX_CAS_EXT_HEAD + done, n->io_, take);
        dx_cas_ext_id_update(n->hasher_, n->io_, take);
        if (size && offset < done + take && offset + size > done) {
            uint32_t from = offset > done ? offset : done;
            uint32_t to = offset + size < done + take ? offset + size : done + take;
            DX_NOR_MEMCPY(out + (from - offset), n->io_ + (from - done), to - from);
        }
    }
    dx_cas_ext_id_final(n->hasher_, &id);
    if (error == DX_NOR_OK && DX_NOR_MEMCMP(id.bytes, r->head + 24, 32) != 0) {
        error = DX_NOR_ECORRUPT;
    }
    if (error != DX_NOR_OK && size) DX_NOR_MEMSET(out, 0, size);
    return error;
}

/* The last record of an object: earlier ones, if any, were damaged when it was put. *index
    counts the records before it: its bit in the bitmap of collection. DX_NOR_ENOTFOUND. */
static int dx_nor_p_find(dx_nor *n, const uint8_t *id, dx_nor_p_record *found,
                         uint32_t *index)
{
    dx_nor_log_ *g = &n->log_;
    dx_nor_p_record r;
    uint32_t place = dx_nor_p_first(g), i = 0;
    int error;
    DX_NOR_ASSERT(id && index);
    found->type = 0;
    while ((error = dx_nor_p_step(n, g, g->end, &place, &r)) == DX_NOR_OK) {
        if (r.type == DX_CAS_EXT_BLOB || r.type == DX_CAS_EXT_LIST) {
            if (DX_NOR_MEMCMP(r.head + 24, id, 32) == 0) {
                *found = r;
                *index = i;
            }
        }
        i += r.type != 0;
    }
    return error != DX_NOR_ENOTFOUND || !found->type ? error : DX_NOR_OK;
}

/* >>writing ------------------------------------------------------------
   Appended bytes pass through out_, which is one unit long, or 64 bytes if that is more:

       log     ....committed records | record | header, payload .... |
       flash   [head][unit][unit][unit][unit] [head][unit]
                                          at_ ^           out_: | fill_ bytes |   |
                                                          programmed when it is full, or the block,
                                                          or the record ends

   A record is padded with zeros to a multiple of align, and align is at least the unit. So each
   unit is programmed once and completely, and a power cut tears only one record. When a block is
   full, the next one of the ring is erased and the log continues there, in the middle of a record
   if necessary.

   A commit is written twice and chained: its id is a hash of the commit before and of all headers
   since. They are read back from flash and hashed at commit time, so no hasher is kept in memory
   between writes. After a restart, bytes after the last commit may be torn, and flash cannot erase
   them alone. So the log leaves that block, and writes the commit again at the beginning of the
   next one (RESTART); logical places do not change:

       block 4  [head 0..][ records ..... | commit c ][ torn ...... ]    valid up to c
       block 5  [head, RESTART, start = c][ commit c ][ new records ]    has c and what follows

   failed_ is set during every write, and cleared once it succeeds. After an error the state of the
   units after the last commit is unknown: the store must be opened again. */
/* Continue the log in the next block of the ring. The header of a generation's first block is
   written last, and makes the generation count. */
static int dx_nor_p_enter(dx_nor *n, dx_nor_log_ *g, uint32_t start, uint32_t flags)
{
    dx_nor_p_block b;
    uint32_t offset = dx_nor_p_offset(n, g, g->blocks), erases;
    int error;
    DX_NOR_ASSERT(g->blocks > 0 || start == 0);
    DX_NOR_ASSERT(flags == 0 || start == g->commit);
    if (g->blocks >= n->flash_.block_count) return DX_NOR_ENOSPACE;
    error = dx_nor_p_block_read(n, offset, &b);
    erases = (error == DX_NOR_OK ? b.erases : n->erases_) + 1; /* a lost count: use the highest */
    if (erases > n->erases_ && error == DX_NOR_OK) n->erases_ = erases;
    DX_NOR_P_TRY(n->flash_.erase(n->flash_.user, offset));
    if (g->blocks == 0) g->erases = erases;
    else DX_NOR_P_TRY(dx_nor_p_block_write(n, g, g->blocks, start, erases, flags));
    g->blocks++;
    g->last = start;
    return DX_NOR_OK;
}

/* Program the bytes collected in out_. */
static int dx_nor_p_flush(dx_nor *n, dx_nor_log_ *g)
{
    uint32_t offset = dx_nor_p_offset(n, g, g->blocks - 1) + n->head_size_ + (n->at_ - g->last);
    uint32_t size = n->fill_;
    DX_NOR_ASSERT(g->blocks > 0 && size <= n->out_size_);
    if (size == 0) return DX_NOR_OK;
    DX_NOR_ASSERT(n->at_ >= g->last && n->at_ + size <= g->last + dx_nor_p_capacity(n));
    DX_NOR_ASSERT(offset % n->flash_.unit == 0 && size % n->flash_.unit == 0);
    n->at_ += size;
    n->fill_ = 0;
    return n->flash_.program(n->flash_.user, offset, n->out_, size);
}

/* Append bytes (NULL: zeros) to the log, block after block. */
static int dx_nor_p_emit(dx_nor *n, dx_nor_log_ *g, const void *data, uint32_t size)
{
    const uint8_t *from = (const uint8_t *)data;
    while (size > 0) {
        uint32_t end = g->last + dx_nor_p_capacity(n), part = n->out_size_ - n->fill_;
        DX_NOR_ASSERT(n->at_ + n->fill_ <= end && n->fill_ < n->out_size_);
        if (n->at_ == end) {
            DX_NOR_P_TRY(dx_nor_p_enter(n, g, end, 0));
            continue;
        }
        if (part > end - n->at_ - n->fill_) part = end - n->at_ - n->fill_;
        if (part > size) part = size;
        if (from) DX_NOR_MEMCPY(n->out_ + n->fill_, from, part);
        else DX_NOR_MEMSET(n->out_ + n->fill_, 0, part);
        if (from) from += part;
        size -= part;
        n->fill_ += part;
        if (n->fill_ == n->out_size_ || n->at_ + n->fill_ == end) {
            DX_NOR_P_TRY(dx_nor_p_flush(n, g));
        }
    }
    return DX_NOR_OK;
}

/* Begin a record at the end of the log; the end moves only once the record is complete. */
static int dx_nor_p_record_begin(dx_nor *n, dx_nor_log_ *g, dx_nor_p_record *r,
                                 const uint8_t *id)
{
    r->place = n->at_ = g->end;
    n->fill_ = 0;
    DX_NOR_ASSERT(g->end % g->align == 0 && g->end >= dx_nor_p_first(g));
    r->next = dx_nor_p_align(g, r->place + DX_CAS_EXT_HEAD + r->stored);
    dx_nor_p_encode(g, r, id);
    return dx_nor_p_emit(n, g, r->head, DX_CAS_EXT_HEAD);
}

/* Pad the record after its payload, and add it to the log. */
static int dx_nor_p_record_end(dx_nor *n, dx_nor_log_ *g, const dx_nor_p_record *r)
{
    DX_NOR_P_TRY(dx_nor_p_emit(n, g, NULL, r->next - (r->place + DX_CAS_EXT_HEAD + r->stored)));
    DX_NOR_P_TRY(dx_nor_p_flush(n, g));
    DX_NOR_ASSERT(n->at_ == r->next && n->fill_ == 0);
    g->end = r->next;
    g->records++;
    return DX_NOR_OK;
}

/* Write both copies of a commit at a place, and its padding. */
static int dx_nor_p_emit_commit(dx_nor *n, dx_nor_log_ *g, uint32_t place,
                                uint64_t sequence, uint32_t marks, const dx_cas_id *chain)
{
    dx_nor_p_record r;
    uint32_t copy, end = dx_nor_p_align(g, place + 2 * DX_CAS_EXT_HEAD);
    DX_NOR_ASSERT(place % g->align == 0 && place >= dx_nor_p_first(g));
    DX_NOR_MEMSET(&r, 0, sizeof r);
    r.type = DX_CAS_EXT_COMMIT;
    r.logical = sequence;
    n->at_ = place;
    n->fill_ = 0;
    for (copy = 0; copy < 2; copy++) {
        r.place = place + copy * DX_CAS_EXT_HEAD;
        r.flags = marks << 8 | (copy + 1);
        dx_nor_p_encode(g, &r, chain->bytes);
        DX_NOR_P_TRY(dx_nor_p_emit(n, g, r.head, DX_CAS_EXT_HEAD));
    }
    DX_NOR_P_TRY(dx_nor_p_emit(n, g, NULL, end - (place + 2 * DX_CAS_EXT_HEAD)));
    return dx_nor_p_flush(n, g);
}

/* The id of the next commit is the hash of the last commit's id, the headers of all records since
   (not their payloads, which the headers name by id), its number and its marks. */
static void dx_nor_p_chain_start(dx_nor *n, const dx_nor_log_ *g)
{
    dx_cas_ext_id_start(n->hasher_, DX_CAS_EXT_COMMIT);
    dx_cas_ext_id_update(n->hasher_, g->chain.bytes, sizeof g->chain.bytes);
}

static void dx_nor_p_chain_end(dx_nor *n, uint64_t sequence, uint32_t marks, dx_cas_id *id)
{
    uint8_t last[16];
    dx_nor_p_store64(last, sequence);
    dx_nor_p_store64(last + 8, marks);
    dx_cas_ext_id_update(n->hasher_, last, sizeof last);
    dx_cas_ext_id_final(n->hasher_, id);
}

/* Make the commit at a place the last one. */
static void dx_nor_p_set_tip(dx_nor_log_ *g, const dx_cas_id *chain, uint64_t sequence,
                             uint32_t place, uint32_t marks)
{
    DX_NOR_ASSERT(place % g->align == 0 && place >= g->committed);
    g->chain = *chain;
    g->sequence = sequence;
    g->commit = place;
    g->committed = dx_nor_p_align(g, place + 2 * DX_CAS_EXT_HEAD);
    g->marks = marks;
}

/* Commit the log. A gap in records that were intact when written is a fault of the flash
   (DX_NOR_ESYS), not of the caller. */
static int dx_nor_p_write_commit(dx_nor *n, dx_nor_log_ *g)
{
    dx_nor_p_record r;
    dx_cas_id chain;
    uint32_t place = g->committed;
    int error;
    DX_NOR_ASSERT(g->committed <= g->end);
    dx_nor_p_chain_start(n, g);
    while ((error = dx_nor_p_step(n, g, g->end, &place, &r)) == DX_NOR_OK && r.type) {
        dx_cas_ext_id_update(n->hasher_, r.head, sizeof r.head);
    }
    if (error != DX_NOR_ENOTFOUND || place != g->end) return error < 0 ? error : DX_NOR_ESYS;
    dx_nor_p_chain_end(n, g->sequence + 1, 0, &chain);
    DX_NOR_P_TRY(dx_nor_p_emit_commit(n, g, g->end, g->sequence + 1, 0, &chain));
    dx_nor_p_set_tip(g, &chain, g->sequence + 1, g->end, 0);
    g->end = g->committed;
    g->records++;
    return DX_NOR_OK;
}

/* Before the first write after the store was opened: enter a new block as a RESTART, with the last
   commit, unless the log may continue where it ends. */
static int dx_nor_p_make_ready(dx_nor *n)
{
    dx_nor_log_ *g = &n->log_;
    if (n->ready_) return DX_NOR_OK;
    DX_NOR_ASSERT(g->end == g->committed && !n->dirty_);
    DX_NOR_P_TRY(dx_nor_p_enter(n, g, g->commit, DX_NOR_P_RESTART));
    dx_nor_p_rewind(g);
    DX_NOR_P_TRY(dx_nor_p_emit_commit(n, g, g->commit, g->sequence, g->marks, &g->chain));
    n->ready_ = true;
    return DX_NOR_OK;
}

/* One copy of this log's store header (cas.md, section 4). */
static void dx_nor_p_store_header(const dx_nor_log_ *g, const uint8_t *store_id, uint32_t copy,
                                  uint8_t *out)
{
    dx_cas_ext_form form;
    form.tag = g->tag;
    form.align = g->align;
    form.features = g->features;
    dx_cas_ext_store_encode(&form, store_id, copy, out);
}

/* Before the first commit of a log: its chain begins with a hash of the first 56 bytes of the store
   header, which both copies share. The tag in its record headers is 4 bytes of that hash. */
static void dx_nor_p_tip_first(dx_nor *n, dx_nor_log_ *g, const uint8_t *head)
{
    dx_cas_ext_id_start(n->hasher_, DX_CAS_EXT_COMMIT);
    dx_cas_ext_id_update(n->hasher_, head, 56);
    dx_cas_ext_id_final(n->hasher_, &g->chain);
    g->tag = dx_nor_p_load32(g->chain.bytes);
    g->sequence = 0;
    g->commit = g->marks = 0;
    g->committed = g->end = dx_nor_p_first(g);
}

/* Prepare a new generation that begins in block number first of the ring. Nothing is written yet,
   and the old one stays the store until dx_nor_p_finish(). DX_NOR_ETOOBIG: the area has the last
   generation number. No flash wears that far, but a forged header may contain it, and the next
   number would be 0, which is not valid. */
static int dx_nor_p_prepare(dx_nor *n, dx_nor_log_ *g, uint32_t first)
{
    DX_NOR_ASSERT(g != &n->log_);
    if (n->generations_ == UINT32_MAX) return DX_NOR_ETOOBIG;
    DX_NOR_MEMSET(g, 0, sizeof *g);
    g->generation = ++n->generations_;
    g->first = first % n->flash_.block_count;
    g->align = n->flash_.unit > 8 ? n->flash_.unit : 8;
    dx_nor_p_store_header(g, n->store_id_, 0, n->io_);
    dx_nor_p_tip_first(n, g, n->io_);
    return DX_NOR_OK;
}

/* Erase the first block of a new generation and write its store header. */
static int dx_nor_p_begin(dx_nor *n, dx_nor_log_ *g)
{
    uint32_t copy;
    DX_NOR_ASSERT(g->blocks == 0 && g->end == dx_nor_p_first(g));
    n->at_ = n->fill_ = 0;
    DX_NOR_P_TRY(dx_nor_p_enter(n, g, 0, 0));
    for (copy = 0; copy < 2; copy++) {
        dx_nor_p_store_header(g, n->store_id_, copy, n->io_);
        DX_NOR_P_TRY(dx_nor_p_emit(n, g, n->io_, DX_CAS_EXT_HEAD));
    }
    DX_NOR_P_TRY(dx_nor_p_emit(n, g, NULL, g->end - 2 * DX_CAS_EXT_HEAD));
    return dx_nor_p_flush(n, g);
}

/* Write the header of its first block: the generation counts now, and those before it are void. */
static int dx_nor_p_finish(dx_nor *n, const dx_nor_log_ *g)
{
    DX_NOR_ASSERT(g->blocks > 0 && g->end == g->committed);
    DX_NOR_ASSERT(g->blocks <= n->flash_.block_count - n->log_.blocks); /* the old one is whole */
    return dx_nor_p_block_write(n, g, 0, 0, g->erases, 0);
}

/* Make a generation the open store; ready: its last block takes more records. The live bytes are
   not counted yet: the bound is all of the log. */
static void dx_nor_p_use(dx_nor *n, const dx_nor_log_ *g, bool ready)
{
    DX_NOR_ASSERT(g->blocks > 0 && g->end == g->committed);
    n->log_ = *g;
    dx_nor_p_rewind(&n->log_);
    n->live_ = g->end;
    n->measured_ = n->counted_ = 0;
    n->ready_ = ready;
    n->open_ = true;
    n->dirty_ = n->failed_ = false;
    n->damage_ = 0;
    n->damage_place_ = UINT32_MAX;
}

/* >>recovery -----------------------------------------------------------
   Opening finds the last commit in four steps, and programs nothing:

       1 generation   read the header of every block: the highest generation with an ordinal 0
       2 blocks       follow the ring from there while generation, ordinal and start fit
       3 last commit  walk the records; each commit must have the number and the chain that the
                      records before it give
       4 end          drop the blocks after the last commit: they never counted

       log   | header | r r r | commit 1 | r r | commit 2 | r  ???  r | commit 3 | r r  torn
                                                              ^ damage           ^ tail: not damage

   The same bytes are damage when a commit follows them, and a torn tail when none does: a power cut
   can leave anything after the last commit, but nothing wrong before it. So the scan counts losses
   since the last commit (`lost`), and adds them to the damage when the next commit is found. After
   a gap the chain is unknown (`known`), and the next commit is accepted by its CRC alone.

   dx_nor_verify() walks the same way, with a dx_nor_p_check that receives each finding. */
typedef struct dx_nor_p_check { /* the state and findings of dx_nor_verify() */
    dx_cas_damage_fn *callback; /* or NULL */
    void             *user;
    dx_cas_report     report;
    bool              stop;     /* the callback asked to stop */
} dx_nor_p_check;

/* Report damage, if the error stands for damage; other errors end the walk. */
static int dx_nor_p_report(dx_nor_p_check *k, int error, uint32_t kind, uint32_t place,
                         uint32_t size, const uint8_t *id)
{
    dx_cas_damage d;
    DX_NOR_ASSERT(k && kind != 0);
    if (error != DX_NOR_ECORRUPT && error != DX_NOR_ENOTFOUND) return error;
    DX_NOR_MEMSET(&d, 0, sizeof d);
    d.kind = kind;
    d.offset = place;
    d.size = size;
    if (id) DX_NOR_MEMCPY(d.id.bytes, id, sizeof d.id.bytes);
    k->report.damaged++;
    if (k->callback && !k->stop && k->callback(k->user, &d) != 0) k->stop = true;
    return DX_NOR_OK;
}

/* Padding must be zeros: bytes from place to end. */
static int dx_nor_p_check_zero(dx_nor *n, dx_nor_log_ *g, dx_nor_p_check *k,
                               uint32_t place, uint32_t end)
{
    uint32_t from = place, bad = 0;
    DX_NOR_ASSERT(place <= end);
    for (; place < end; place++) {
        uint8_t byte;
        DX_NOR_P_TRY(dx_nor_p_bytes(n, g, place, &byte, 1));
        bad |= byte;
    }
    return bad ? dx_nor_p_report(k, DX_NOR_ECORRUPT, DX_CAS_DAMAGE_PADDING, from, end - from,
                               NULL)
               : DX_NOR_OK;
}

/* Both copies of a commit must exist and be equal. fits: it matches the records before it. */
static int dx_nor_p_check_commit(dx_nor *n, dx_nor_log_ *g, dx_nor_p_check *k,
                                 const dx_nor_p_record *r, bool fits)
{
    dx_nor_p_record other;
    uint32_t copy;
    int error = fits ? DX_NOR_OK : DX_NOR_ECORRUPT;
    DX_NOR_ASSERT(r->type == DX_CAS_EXT_COMMIT);
    for (copy = 0; copy < 2 && error == DX_NOR_OK; copy++) {
        error = dx_nor_p_peek(n, g, r->place + copy * DX_CAS_EXT_HEAD, g->end, &other);
        if (error == DX_NOR_OK &&
            (other.type != DX_CAS_EXT_COMMIT || (other.flags ^ r->flags) >> 8 ||
             (other.flags & 255) != copy + 1 || other.logical != r->logical ||
             DX_NOR_MEMCMP(other.head + 24, r->head + 24, 32) != 0)) {
            error = DX_NOR_ECORRUPT;
        }
    }
    k->report.commits++;
    return dx_nor_p_report(k, error, DX_CAS_DAMAGE_COMMIT, r->place, 2 * DX_CAS_EXT_HEAD, NULL);
}

/* Walk from the store header to the last commit below the limit, and set it in g. Damage counts
   only if a commit follows; with k (or NULL) it is reported at once, and not counted in n. */
static int dx_nor_p_scan(dx_nor *n, dx_nor_log_ *g, uint32_t limit,
                         dx_nor_p_check *k)
{
    dx_nor_p_record r;
    uint32_t place = dx_nor_p_first(g), records = 0, size;
    uint32_t lost = 0;       /* damaged places since the last commit, */
    uint32_t lost_place = 0; /* and the first of them */
    bool known = true;       /* every header since the last commit was read */
    bool fits;               /* a commit: it matches the records before it */
    dx_cas_id chain;
    int error;
    DX_NOR_ASSERT(g->sequence == 0 && g->committed == place);
    dx_nor_p_chain_start(n, g);
    while ((error = dx_nor_p_step(n, g, limit, &place, &r)) == DX_NOR_OK && !(k && k->stop)) {
        fits = true;
        records += r.type != 0;
        if (r.type == DX_CAS_EXT_COMMIT) {
            dx_nor_p_chain_end(n, r.logical, r.flags >> 8, &chain);
            fits = !known || (r.logical == g->sequence + 1 &&
                              DX_NOR_MEMCMP(chain.bytes, r.head + 24, 32) == 0);
        } else if (r.type) {
            dx_cas_ext_id_update(n->hasher_, r.head, sizeof r.head);
        }
        if ((!r.type || !fits) && lost++ == 0) lost_place = r.place;
        if (!r.type) known = false;
        if (k && !r.type) {
            DX_NOR_P_TRY(dx_nor_p_report(k, DX_NOR_ECORRUPT, DX_CAS_DAMAGE_RECORD, r.place,
                                       r.next - r.place, NULL));
        }
        if (k && r.type == DX_CAS_EXT_COMMIT) {
            DX_NOR_P_TRY(dx_nor_p_check_commit(n, g, k, &r, fits));
        }
        size = r.type == DX_CAS_EXT_COMMIT ? (uint32_t)DX_CAS_EXT_HEAD : r.stored; /* copy 2 */
        if (k && r.type) {
            DX_NOR_P_TRY(dx_nor_p_check_zero(n, g, k, r.place + DX_CAS_EXT_HEAD + size, r.next));
        }
        if (r.type != DX_CAS_EXT_COMMIT || r.logical <= g->sequence) continue;
        DX_NOR_MEMCPY(chain.bytes, r.head + 24, 32);
        dx_nor_p_set_tip(g, &chain, r.logical, r.place, r.flags >> 8);
        if (lost && n->damage_ == 0 && !k) n->damage_place_ = lost_place;
        if (!k) n->damage_ += lost;
        lost = 0;
        g->records = records;
        known = true;
        dx_nor_p_chain_start(n, g);
    }
    if (error == DX_NOR_ENOTFOUND && k && r.place < limit) {
        return dx_nor_p_report(k, DX_NOR_ECORRUPT, DX_CAS_DAMAGE_RECORD, r.place,
                             limit - r.place, NULL);
    }
    return error == DX_NOR_ENOTFOUND ? DX_NOR_OK : error;
}

/* The store header at the beginning of a log: either copy will do. */
static int dx_nor_p_load_header(dx_nor *n, dx_nor_log_ *g)
{
    uint8_t *head = n->io_;
    dx_cas_ext_form form;
    uint32_t copy;
    int error;
    DX_NOR_ASSERT(g->blocks > 0 && n->io_size_ >= DX_CAS_EXT_HEAD);
    form.tag = 0; /* derived from the header */
    for (copy = 0; copy < 2; copy++) {
        DX_NOR_P_TRY(dx_nor_p_bytes(n, g, copy * DX_CAS_EXT_HEAD, head, DX_CAS_EXT_HEAD));
        error = dx_cas_ext_store_decode(head, copy, &form, n->store_id_);
        if (error == DX_NOR_ECORRUPT) continue;
        if (error != DX_NOR_OK) return error;
        g->align = form.align;
        g->features = form.features;
        dx_nor_p_tip_first(n, g, head);
        return DX_NOR_OK;
    }
    n->damage_place_ = 0;
    return DX_NOR_ECORRUPT;
}

/* Find the blocks of the log: those that continue where the one before is full, and those that
   begin with an intact commit. */
static int dx_nor_p_load_blocks(dx_nor *n, dx_nor_log_ *g)
{
    dx_nor_p_record r;
    dx_nor_p_block b;
    DX_NOR_ASSERT(g->blocks == 1 && g->last == 0);
    for (; g->blocks < n->flash_.block_count; g->blocks++, g->last = b.start) {
        uint32_t offset = dx_nor_p_offset(n, g, g->blocks);
        uint32_t end = g->last + dx_nor_p_capacity(n);
        int error = dx_nor_p_block_read(n, offset, &b);
        if (error == DX_NOR_ECORRUPT) break;
        DX_NOR_P_TRY(error);
        if (b.generation != g->generation || b.ordinal != g->blocks) break;
        if (b.start > end || (!b.flags && b.start != end)) break;
        if (!b.flags) continue;
        DX_NOR_P_TRY(n->flash_.read(n->flash_.user, offset + n->head_size_, r.head, sizeof r.head));
        error = dx_nor_p_decode(g, b.start, UINT32_MAX, &r);
        if (error != DX_NOR_OK || r.type != DX_CAS_EXT_COMMIT) break;
    }
    dx_nor_p_rewind(g);
    return DX_NOR_OK;
}

/* May the log continue where it ends? Both copies of the last commit and its padding must be
   intact, no block may follow, and the rest of this one must read as erased. */
static int dx_nor_p_resumable(dx_nor *n, dx_nor_log_ *g, bool *yes)
{
    dx_nor_p_record r;
    uint32_t place, end = g->last + dx_nor_p_capacity(n), size, i;
    *yes = false;
    DX_NOR_ASSERT(g->commit < g->committed && g->commit % g->align == 0);
    for (i = 0; i < 2; i++) {
        int error = dx_nor_p_peek(n, g, g->commit + i * DX_CAS_EXT_HEAD, g->committed, &r);
        if (error != DX_NOR_OK) return error == DX_NOR_ECORRUPT ? DX_NOR_OK : error;
    }
    /* align above the unit (an imported store): the commit's padding may lie in the next block */
    if (g->committed <= g->last || g->committed > end) return DX_NOR_OK;
    if (g->align < n->flash_.unit) return DX_NOR_OK;
    for (place = g->commit + 2 * DX_CAS_EXT_HEAD; place < end; place += size) {
        size = end - place < n->io_size_ ? end - place : n->io_size_;
        DX_NOR_P_TRY(dx_nor_p_bytes(n, g, place, n->io_, size));
        for (i = 0; i < size; i++) {
            if (n->io_[i] != (place + i < g->committed ? 0 : 0xff)) return DX_NOR_OK;
        }
    }
    *yes = true;
    return DX_NOR_OK;
}

/* Read a log from its first block up to its last commit. *ready: it may be written there. */
static int dx_nor_p_load(dx_nor *n, dx_nor_log_ *g, bool *ready)
{
    dx_nor_p_record r;
    uint32_t blocks;
    int error;
    DX_NOR_ASSERT(g != &n->log_ && g->generation > 0);
    g->blocks = 1;
    g->last = 0;
    dx_nor_p_rewind(g);
    DX_NOR_P_TRY(dx_nor_p_load_header(n, g));
    DX_NOR_P_TRY(dx_nor_p_load_blocks(n, g));
    DX_NOR_P_TRY(dx_nor_p_scan(n, g, g->last + dx_nor_p_capacity(n), NULL));
    g->end = g->committed;
    if (g->sequence == 0) return DX_NOR_ECORRUPT; /* each generation begins with a commit */
    DX_NOR_P_TRY(dx_nor_p_resumable(n, g, ready));
    blocks = g->blocks;
    error = dx_nor_p_peek(n, g, g->commit + DX_CAS_EXT_HEAD, g->committed, &r);
    if (error != DX_NOR_OK && error != DX_NOR_ECORRUPT) return error;
    /* without its second copy the commit ends where the first does: that may lie in a block whose
       header was never written */
    error = dx_nor_p_seek(n, g, error ? g->commit + DX_CAS_EXT_HEAD - 1 : g->committed - 1);
    if (error != DX_NOR_OK && error != DX_NOR_ETRUNCATED) return error;
    DX_NOR_ASSERT(g->ordinal < blocks);
    g->blocks = g->ordinal + 1; /* later blocks hold nothing committed */
    g->last = g->start;
    if (blocks != g->blocks) *ready = false;
    dx_nor_p_rewind(g);
    return DX_NOR_OK;
}

/* Find the newest generation. The highest erase count and generation number of all blocks are kept
   as well: they replace a lost count, and no generation number is used twice. */
static int dx_nor_p_find_log(dx_nor *n, dx_nor_log_ *g)
{
    dx_nor_p_block b;
    uint32_t i;
    DX_NOR_MEMSET(g, 0, sizeof *g);
    for (i = 0; i < n->flash_.block_count; i++) {
        int error = dx_nor_p_block_read(n, i * n->flash_.block_size, &b);
        if (error == DX_NOR_ECORRUPT) continue;
        DX_NOR_P_TRY(error);
        if (b.generation > n->generations_) n->generations_ = b.generation;
        if (b.erases > n->erases_) n->erases_ = b.erases;
        if (b.ordinal == 0 && b.generation > g->generation) {
            g->generation = b.generation;
            g->first = i;
            g->erases = b.erases;
        }
    }
    return g->generation ? DX_NOR_OK : DX_NOR_ENOTFOUND;
}

/* >>room ----------------------------------------------------------------
   Collection copies live records into blocks that the log does not use, before it frees its own
   blocks. So there must always be enough of them for that copy, and a write that would take one of
   these is refused up front:

       | blocks of the log, with the write and a commit | copy of live records  | spare (2) |
       |<---------------------- block_count of the ring ---------------------------------->|

   The spare blocks are reserved for deletions, and for the restart that each opening may cost.
   Counting the live bytes needs a walk for each name, so live_ is an upper bound, which grows with
   each write, and is recounted only when it says that there is no room (dx_nor_p_reserve()). */
/* Blocks that hold that many bytes of log. */
static uint32_t dx_nor_p_blocks_of(const dx_nor *n, uint32_t bytes)
{
    uint32_t capacity = dx_nor_p_capacity(n);
    return bytes / capacity + (bytes % capacity != 0);
}

/* Is there room for that many bytes more, a commit, a copy of all live bytes, which `growth` adds
   to, and (unless it is a deletion) two spare blocks? */
static bool dx_nor_p_fits(const dx_nor *n, uint32_t bytes, uint32_t growth, bool deletion)
{
    const dx_nor_log_ *g = &n->log_;
    uint32_t commit = dx_nor_p_first(g), blocks = n->flash_.block_count, used = g->blocks;
    uint32_t room = n->ready_ ? g->last + dx_nor_p_capacity(n) - g->end : 0;
    uint32_t need = bytes + commit + (n->ready_ ? 0 : commit), spare = deletion ? 0 : 2;
    if (need > room) used += dx_nor_p_blocks_of(n, need - room);
    used += dx_nor_p_blocks_of(n, n->live_ + growth) + spare;
    return used <= blocks;
}

/* May this store be written? Not if its records could share a unit (an imported store). */
static int dx_nor_p_may_write(const dx_nor *n)
{
    if (!n->open_) return DX_NOR_EINVAL;
    if (!(n->mode_ & DX_CAS_WRITE) || n->damage_ || n->log_.align < n->flash_.unit) {
        return DX_NOR_EREADONLY;
    }
    return n->failed_ ? DX_NOR_ESYS : DX_NOR_OK;
}

/* >>refs ----------------------------------------------------------------
   Each change of a name appends a ref record (cas.md, section 7), with the name in it:

       payload  0    1      2      4      8         16       24         32     40     48    112
                | op | name | info | kind | version | oldest | place of | time | size | root | name,
                |    | size | size |      |         | kept   | last set |      |      | ids  | info

       log      set "a" v1 | set "b" v1 | set "a" v2 | trim "a" | delete "b" | commit
                                          ^            newest of "a": leads back to its set
                                                                  newest of "b": deleted

   The newest record of a name counts: a lookup walks the whole log and compares names, in pieces
   of 32 bytes, because a name may be longer than the free memory. A damaged ref record could
   belong to any name, so exact answers need all later ones hashed (DX_NOR_P_ALL). */
/* Check its first four bytes; dx_cas_ext_ref_ok() checks all of its fixed part. */
static bool dx_nor_p_ref_begins(const uint8_t *fixed, uint32_t stored)
{
    return fixed[0] >= DX_CAS_EXT_SET && fixed[0] <= DX_CAS_EXT_DELETE && fixed[1] && !fixed[3] &&
           fixed[2] <= DX_CAS_INFO_MAX &&
           stored == (uint32_t)DX_CAS_EXT_REF_FIXED + fixed[1] + fixed[2];
}

/* A name, in memory or (bytes NULL) at a place of the log. */
typedef struct dx_nor_p_name {
    const char *bytes;
    uint32_t    place;
    uint32_t    size;
} dx_nor_p_name;

/* Bytes of a name, from `at` on. */
static int dx_nor_p_name_piece(dx_nor *n, const dx_nor_p_name *name, uint32_t at,
                               uint8_t *out, uint32_t size)
{
    DX_NOR_ASSERT(at <= name->size && size <= name->size - at && size <= n->io_size_);
    if (!name->bytes) return dx_nor_p_bytes(n, &n->log_, name->place + at, out, size);
    DX_NOR_MEMCPY(out, name->bytes + at, size);
    return DX_NOR_OK;
}

/* Is this ref record of that name? */
static int dx_nor_p_of_name(dx_nor *n, const dx_nor_p_record *r,
                            const dx_nor_p_name *name, bool *same)
{
    uint32_t place = r->place + DX_CAS_EXT_HEAD, at, part;
    uint8_t *is = n->io_, *want = n->io_ + 32;
    DX_NOR_ASSERT(r->type == DX_CAS_EXT_REF && n->io_size_ >= 64);
    DX_NOR_P_TRY(dx_nor_p_bytes(n, &n->log_, place, is, 4));
    *same = dx_nor_p_ref_begins(is, r->stored) && is[1] == name->size;
    for (at = 0; *same && at < name->size; at += part) {
        part = name->size - at < 32 ? name->size - at : 32;
        DX_NOR_P_TRY(dx_nor_p_bytes(n, &n->log_, place + DX_CAS_EXT_REF_FIXED + at, is, part));
        DX_NOR_P_TRY(dx_nor_p_name_piece(n, name, at, want, part));
        *same = DX_NOR_MEMCMP(is, want, part) == 0;
    }
    return DX_NOR_OK;
}

/* Find the newest intact record of a name (type 0: not found). *damaged: a later one is damaged.
   how: DX_NOR_P_TRUST hashes nothing, SAME the records of that name, ALL each ref. */
static int dx_nor_p_lookup(dx_nor *n, const dx_nor_p_name *name, int how,
                           dx_nor_p_record *found, bool *damaged)
{
    dx_nor_log_ *g = &n->log_;
    dx_nor_p_record r;
    uint32_t place = dx_nor_p_first(g);
    int error;
    DX_NOR_ASSERT(name->size > 0 && how <= DX_NOR_P_ALL);
    *damaged = false;
    found->type = 0;
    while ((error = dx_nor_p_step(n, g, g->end, &place, &r)) == DX_NOR_OK) {
        bool same;
        if (r.type != DX_CAS_EXT_REF) continue;
        DX_NOR_P_TRY(dx_nor_p_of_name(n, &r, name, &same));
        if (how == DX_NOR_P_ALL || (same && how == DX_NOR_P_SAME)) {
            error = dx_nor_p_content(n, g, &r, 0, NULL, 0);
            if (error == DX_NOR_ECORRUPT) {
                *damaged = true;
                continue;
            }
            DX_NOR_P_TRY(error);
        }
        if (!same) continue;
        *found = r;
        *damaged = false;
    }
    return error == DX_NOR_ENOTFOUND ? DX_NOR_OK : error;
}

/* From the newest record of a name to the one that set its latest version; fixed: its first bytes.
   DX_NOR_ENOTFOUND: the name was deleted. */
static int dx_nor_p_resolve(dx_nor *n, dx_nor_p_record *r, uint8_t *fixed)
{
    dx_nor_log_ *g = &n->log_;
    uint32_t place = r->place + DX_CAS_EXT_HEAD;
    DX_NOR_ASSERT(r->type == DX_CAS_EXT_REF);
    DX_NOR_P_TRY(dx_nor_p_bytes(n, g, place, fixed, DX_CAS_EXT_REF_FIXED));
    if (!dx_cas_ext_ref_ok(fixed, r->stored)) return DX_NOR_ECORRUPT;
    if (fixed[0] == DX_CAS_EXT_DELETE) return DX_NOR_ENOTFOUND;
    if (fixed[0] == DX_CAS_EXT_SET) return DX_NOR_OK;
    if (dx_nor_p_load32(fixed + 28)) return DX_NOR_ECORRUPT; /* a place above 2^32 */
    DX_NOR_P_TRY(dx_nor_p_peek(n, g, dx_nor_p_load32(fixed + 24), g->end, r));
    if (r->type != DX_CAS_EXT_REF) return DX_NOR_ECORRUPT;
    DX_NOR_P_TRY(dx_nor_p_bytes(n, g, r->place + DX_CAS_EXT_HEAD, fixed, DX_CAS_EXT_REF_FIXED));
    return fixed[0] == DX_CAS_EXT_SET && dx_cas_ext_ref_ok(fixed, r->stored) ? DX_NOR_OK
                                                                              : DX_NOR_ECORRUPT;
}

/* The next name in the order of the newest records, as the record that set it, and its first bytes.
   A record is the newest of its name if a lookup of the name finds it: quadratic, but without
   memory. Damaged records are skipped (how != TRUST). DX_NOR_ENOTFOUND: no more. */
static int dx_nor_p_next_name(dx_nor *n, uint32_t *place, int how, dx_nor_p_record *r,
                              uint8_t *fixed)
{
    dx_nor_log_ *g = &n->log_;
    dx_nor_p_name name;
    uint32_t own;
    bool damaged;
    for (;;) {
        int error = dx_nor_p_step(n, g, g->end, place, r);
        if (error != DX_NOR_OK) return error;
        if (r->type != DX_CAS_EXT_REF) continue;
        own = r->place;
        DX_NOR_P_TRY(dx_nor_p_bytes(n, g, own + DX_CAS_EXT_HEAD, fixed, DX_CAS_EXT_REF_FIXED));
        if (!dx_cas_ext_ref_ok(fixed, r->stored)) continue;
        name.bytes = NULL;
        name.place = own + DX_CAS_EXT_HEAD + DX_CAS_EXT_REF_FIXED;
        name.size = fixed[1];
        DX_NOR_P_TRY(dx_nor_p_lookup(n, &name, how, r, &damaged));
        if (!r->type || r->place != own) continue;
        error = dx_nor_p_resolve(n, r, fixed);
        if (error != DX_NOR_ENOTFOUND) return error;
    }
}

/* Copy the public fields of a record that set a name. */
static void dx_nor_p_ref_out(const uint8_t *fixed, dx_nor_ref *out)
{
    DX_NOR_ASSERT(fixed[0] == DX_CAS_EXT_SET);
    out->kind = dx_nor_p_load32(fixed + 4);
    out->version = dx_nor_p_load64(fixed + 8);
    out->time_ns = dx_nor_p_load64(fixed + 32);
    out->size = dx_nor_p_load64(fixed + 40);
    DX_NOR_MEMCPY(out->root.bytes, fixed + 48, 32);
}

/* Append a ref record: fixed, then the name (its size includes the info after it). The id precedes
   the payload, so there are two passes over the name: to hash it, and to write it. */
static int dx_nor_p_put_ref(dx_nor *n, dx_nor_log_ *g, const uint8_t *fixed,
                            const dx_nor_p_name *name)
{
    dx_nor_p_record r;
    dx_cas_id id;
    uint32_t at, part, pass;
    DX_NOR_ASSERT(fixed[1] > 0 && name->size >= fixed[1]);
    DX_NOR_MEMSET(&r, 0, sizeof r);
    r.type = DX_CAS_EXT_REF;
    r.logical = r.stored = DX_CAS_EXT_REF_FIXED + name->size;
    dx_cas_ext_id_start(n->hasher_, DX_CAS_EXT_REF);
    dx_cas_ext_id_update(n->hasher_, fixed, DX_CAS_EXT_REF_FIXED);
    for (pass = 0; pass < 2; pass++) {
        for (at = 0; at < name->size; at += part) {
            part = name->size - at < 64 ? name->size - at : 64;
            DX_NOR_P_TRY(dx_nor_p_name_piece(n, name, at, n->io_, part));
            if (pass) DX_NOR_P_TRY(dx_nor_p_emit(n, g, n->io_, part));
            else dx_cas_ext_id_update(n->hasher_, n->io_, part);
        }
        if (pass) break;
        dx_cas_ext_id_final(n->hasher_, &id);
        DX_NOR_P_TRY(dx_nor_p_record_begin(n, g, &r, id.bytes));
        DX_NOR_P_TRY(dx_nor_p_emit(n, g, fixed, DX_CAS_EXT_REF_FIXED));
    }
    return dx_nor_p_record_end(n, g, &r);
}

/* >>collect -------------------------------------------------------------
   Mark and copy, with one bit for each record, in log order:

       record   r0   r1   r2   r3   r4   r5   r6   ...       1. the roots of names
       bit      1    0    1    1    0    0    1               2. children of marked lists
                 ^ found by id, then counted                    3. bases of marked deltas
       copy     r0        r2   r3             r6   then names, then one commit

   The bitmap lies in the memory of the hasher, which is about 1.9 KB (so some 15,000 records) and
   unused meanwhile. There is no work queue: the log is walked once for each level of lists, from
   the highest down, and then once for each possible link of a chain of deltas. A record that is
   marked only by a later one waits for the next pass.

   The copy is a new generation after the old one in the ring. No block of the old one is erased
   before the new one's first header is written, so until then a power cut leaves the old one.

       ring   [ 5: old ][ 6: old ][ 7: new ][ 0: new ][ 1: free ] ...
                                    ^ header written last: 5 and 6 become free with it */
/* Is the record with that number marked? */
static bool dx_nor_p_marked(const dx_nor *n, uint32_t i)
{
    DX_NOR_ASSERT(i / 8 < sizeof *n->hasher_);
    return ((const uint8_t *)(const void *)n->hasher_)[i / 8] >> i % 8 & 1;
}

/* Mark an object by its id. Collection does not report a missing one. */
static int dx_nor_p_mark(dx_nor *n, const uint8_t *id)
{
    dx_nor_p_record r;
    uint32_t i = 0;
    int error = dx_nor_p_find(n, id, &r, &i);
    if (error == DX_NOR_OK) {
        uint8_t *byte = (uint8_t *)(void *)n->hasher_ + i / 8;
        DX_NOR_ASSERT(i / 8 < sizeof *n->hasher_);
        *byte = (uint8_t)(*byte | 1u << i % 8);
    }
    return error == DX_NOR_ENOTFOUND ? DX_NOR_OK : error; /* it was lost before */
}

/* The base of an object that is stored as a delta (docs/formats/cas.md, section 16). */
static int dx_nor_p_mark_base(dx_nor *n, const dx_nor_p_record *r)
{
    uint8_t id[32];
    DX_NOR_ASSERT(r->type == DX_CAS_EXT_BLOB || r->type == DX_CAS_EXT_LIST);
    if (r->type != DX_CAS_EXT_BLOB || r->codec != DX_NOR_P_DELTA || r->stored < sizeof id) {
        return DX_NOR_OK;
    }
    DX_NOR_P_TRY(dx_nor_p_bytes(n, &n->log_, r->place + DX_CAS_EXT_HEAD, id, sizeof id));
    return dx_nor_p_mark(n, id);
}

/* The children of a list node: entries of 40 bytes, with the id first. */
static int dx_nor_p_mark_children(dx_nor *n, const dx_nor_p_record *r)
{
    uint32_t at;
    uint8_t id[32];
    DX_NOR_ASSERT(r->type == DX_CAS_EXT_LIST);
    for (at = 16; at < r->stored && r->stored - at >= 40; at += 40) {
        DX_NOR_P_TRY(dx_nor_p_bytes(n, &n->log_, r->place + DX_CAS_EXT_HEAD + at, id, sizeof id));
        DX_NOR_P_TRY(dx_nor_p_mark(n, id));
    }
    return DX_NOR_OK;
}

/* Mark the roots of names, and add the bytes of their records. every: each version of a name,
   because a ref is damaged, and without hashing the last intact one is unknown. *levels: the
   highest level of a list, *deltas: the longest possible chain of deltas (0: no deltas). */
static int dx_nor_p_mark_names(dx_nor *n, bool every, uint32_t *bytes, uint32_t *levels,
                               uint32_t *deltas)
{
    dx_nor_log_ *g = &n->log_;
    dx_nor_p_record r;
    uint8_t fixed[DX_CAS_EXT_REF_FIXED];
    uint32_t place = dx_nor_p_first(g);
    int error;
    while ((error = dx_nor_p_step(n, g, g->end, &place, &r)) == DX_NOR_OK) {
        if (r.type == DX_CAS_EXT_LIST && r.flags > *levels) *levels = r.flags;
        if (r.codec == DX_NOR_P_DELTA) *deltas = DX_NOR_P_DELTAS;
        if (r.type != DX_CAS_EXT_REF || !every) continue;
        DX_NOR_P_TRY(dx_nor_p_bytes(n, g, r.place + DX_CAS_EXT_HEAD, fixed, sizeof fixed));
        DX_NOR_P_TRY(dx_nor_p_mark(n, fixed + 48));
        *bytes += r.next - r.place;
    }
    if (error != DX_NOR_ENOTFOUND || every) {
        return error == DX_NOR_ENOTFOUND ? DX_NOR_OK : error;
    }
    place = dx_nor_p_first(g);
    while ((error = dx_nor_p_next_name(n, &place, DX_NOR_P_TRUST, &r, fixed)) == 0) {
        *bytes += r.next - r.place;
        DX_NOR_P_TRY(dx_nor_p_mark(n, fixed + 48));
    }
    return error == DX_NOR_ENOTFOUND ? DX_NOR_OK : error;
}

/* Mark everything reachable from the names; *bytes: the size of a log of only that. */
static int dx_nor_p_mark_all(dx_nor *n, bool every, uint32_t *bytes)
{
    dx_nor_log_ *g = &n->log_;
    dx_nor_p_record r;
    uint32_t place, levels = 0, deltas = 0, pass, i;
    int error;
    *bytes = 2 * dx_nor_p_first(g);
    if (g->records > sizeof *n->hasher_ * 8) return DX_NOR_ENOMEM;
    DX_NOR_MEMSET(n->hasher_, 0, sizeof *n->hasher_);
    DX_NOR_P_TRY(dx_nor_p_mark_names(n, every, bytes, &levels, &deltas));
    for (pass = levels + deltas + 1; pass-- > 0;) { /* lists downwards, deltas, then the sum */
        DX_NOR_ASSERT(pass <= levels + deltas);
        place = dx_nor_p_first(g);
        i = 0;
        while ((error = dx_nor_p_step(n, g, g->end, &place, &r)) == DX_NOR_OK) {
            if (!r.type || !dx_nor_p_marked(n, i++)) continue;
            if (pass == 0) *bytes += r.next - r.place;
            else if (pass <= deltas) DX_NOR_P_TRY(dx_nor_p_mark_base(n, &r));
            else if (r.flags == pass - deltas) DX_NOR_P_TRY(dx_nor_p_mark_children(n, &r));
        }
        if (error != DX_NOR_ENOTFOUND) return error;
    }
    return DX_NOR_OK;
}

/* The bytes of an object that a new name makes live again, if they were not counted: objects before
   counted_ that had no name when live_ was measured are not in it. */
static uint32_t dx_nor_p_revived(const dx_nor *n, const dx_nor_p_record *root)
{
    return root && root->place < n->counted_ ? root->next - root->place : 0;
}

/* Is there room? If the bound says no, count the live bytes and try again. growth: the live bytes
   that are added, without the root. */
static int dx_nor_p_reserve(dx_nor *n, uint32_t bytes, uint32_t growth,
                            const dx_nor_p_record *root, bool deletion)
{
    uint32_t live = 0, limit = n->flash_.block_count * n->flash_.block_size;
    uint32_t records_max;
    records_max = (uint32_t)sizeof *n->hasher_ * (deletion ? 8 : 7); /* 1/8 for deletions */
    DX_NOR_ASSERT(growth <= bytes);
    if (bytes > limit || growth > limit) return DX_NOR_ENOSPACE;
    if (n->log_.records + 2 > records_max) return DX_NOR_ENOMEM;
    if (dx_nor_p_fits(n, bytes, growth + dx_nor_p_revived(n, root), deletion)) {
        return DX_NOR_OK;
    }
    if (n->measured_ == n->log_.end) return DX_NOR_ENOSPACE;
    DX_NOR_P_TRY(dx_nor_p_mark_all(n, false, &live));
    n->live_ = live + (n->log_.end - n->log_.committed);
    n->measured_ = n->log_.end;
    n->counted_ = n->log_.committed;
    growth += dx_nor_p_revived(n, root);
    return dx_nor_p_fits(n, bytes, growth, deletion) ? DX_NOR_OK : DX_NOR_ENOSPACE;
}

/* Append the marked objects to another log, with new places, their payloads unchanged. */
static int dx_nor_p_copy_objects(dx_nor *n, dx_nor_log_ *to)
{
    dx_nor_log_ *g = &n->log_;
    dx_nor_p_record r, copy;
    uint32_t place = dx_nor_p_first(g), i = 0, done, part;
    int error;
    while ((error = dx_nor_p_step(n, g, g->end, &place, &r)) == DX_NOR_OK) {
        if (!r.type || !dx_nor_p_marked(n, i++)) continue;
        DX_NOR_ASSERT(r.type == DX_CAS_EXT_BLOB || r.type == DX_CAS_EXT_LIST);
        copy = r;
        DX_NOR_P_TRY(dx_nor_p_record_begin(n, to, &copy, copy.head + 24));
        for (done = 0; done < r.stored; done += part) {
            part = r.stored - done < n->io_size_ ? r.stored - done : n->io_size_;
            DX_NOR_P_TRY(dx_nor_p_bytes(n, g, r.place + DX_CAS_EXT_HEAD + done, n->io_, part));
            DX_NOR_P_TRY(dx_nor_p_emit(n, to, n->io_, part));
        }
        DX_NOR_P_TRY(dx_nor_p_record_end(n, to, &copy));
    }
    return error == DX_NOR_ENOTFOUND ? DX_NOR_OK : error;
}

/* Append the latest version of each name, with its version number. */
static int dx_nor_p_copy_refs(dx_nor *n, dx_nor_log_ *to)
{
    dx_nor_p_record r;
    dx_nor_p_name name;
    uint8_t fixed[DX_CAS_EXT_REF_FIXED];
    uint32_t place = dx_nor_p_first(&n->log_);
    int error;
    while ((error = dx_nor_p_next_name(n, &place, DX_NOR_P_SAME, &r, fixed)) == 0) {
        DX_NOR_MEMCPY(fixed + 16, fixed + 8, 8); /* the oldest kept version */
        DX_NOR_MEMSET(fixed + 24, 0, 8);         /* the version before */
        name.bytes = NULL;
        name.place = r.place + DX_CAS_EXT_HEAD + DX_CAS_EXT_REF_FIXED;
        name.size = (uint32_t)fixed[1] + fixed[2];
        DX_NOR_P_TRY(dx_nor_p_put_ref(n, to, fixed, &name));
    }
    return error == DX_NOR_ENOTFOUND ? DX_NOR_OK : error;
}

/* Hash all ref records: otherwise the name in a damaged one would be lost silently. */
static int dx_nor_p_check_refs(dx_nor *n)
{
    dx_nor_log_ *g = &n->log_;
    dx_nor_p_record r;
    uint32_t place = dx_nor_p_first(g);
    int error;
    while ((error = dx_nor_p_step(n, g, g->end, &place, &r)) == DX_NOR_OK) {
        if (r.type != DX_CAS_EXT_REF) continue;
        DX_NOR_P_TRY(dx_nor_p_content(n, g, &r, 0, NULL, 0));
    }
    return error == DX_NOR_ENOTFOUND ? DX_NOR_OK : error;
}

DX_NOR_API int dx_nor_collect(dx_nor *n)
{
    dx_nor_log_ to;
    uint32_t bytes = 0;
    int error;
    if (!n || !n->open_) return DX_NOR_EINVAL;
    if (!(n->mode_ & DX_CAS_WRITE)) return DX_NOR_EREADONLY;
    if (n->failed_) return DX_NOR_ESYS;
    if (n->dirty_) DX_NOR_P_TRY(dx_nor_commit(n));
    error = dx_nor_p_check_refs(n);
    if (error != DX_NOR_OK && (error != DX_NOR_ECORRUPT || !(n->mode_ & DX_CAS_ACCEPT_DAMAGE))) {
        return error;
    }
    DX_NOR_P_TRY(dx_nor_p_prepare(n, &to, n->log_.first + n->log_.blocks));
    DX_NOR_P_TRY(dx_nor_p_mark_all(n, error != DX_NOR_OK, &bytes));
    if (to.align != n->log_.align) bytes += n->log_.records * to.align;
    if (dx_nor_p_blocks_of(n, bytes) > n->flash_.block_count - n->log_.blocks) {
        return DX_NOR_ENOSPACE;
    }
    DX_NOR_P_TRY(dx_nor_p_begin(n, &to));
    DX_NOR_P_TRY(dx_nor_p_copy_objects(n, &to));
    DX_NOR_P_TRY(dx_nor_p_copy_refs(n, &to));
    DX_NOR_P_TRY(dx_nor_p_write_commit(n, &to));
    DX_NOR_P_TRY(dx_nor_p_finish(n, &to));
    dx_nor_p_use(n, &to, true);
    return DX_NOR_OK;
}

DX_NOR_API int dx_nor_import(dx_nor *n, const dx_cas_device *from, uint32_t size)
{
    dx_nor_log_ to;
    uint32_t done, part, unit, damage, place;
    uint8_t own[16];
    bool ready;
    int error;
    if (!n || !n->open_ || !from || !from->read) return DX_NOR_EINVAL;
    if (!(n->mode_ & DX_CAS_WRITE)) return DX_NOR_EREADONLY;
    if (dx_nor_p_blocks_of(n, size) > n->flash_.block_count - n->log_.blocks) {
        return DX_NOR_ENOSPACE;
    }
    DX_NOR_P_TRY(dx_nor_p_prepare(n, &to, n->log_.first + n->log_.blocks));
    n->at_ = n->fill_ = 0;
    DX_NOR_P_TRY(dx_nor_p_enter(n, &to, 0, 0));
    for (done = 0; done < size; done += part) {
        size_t got = 0;
        part = size - done < n->io_size_ ? size - done : n->io_size_;
        DX_NOR_P_TRY(from->read(from->user, done, n->io_, part, &got));
        if (got != part) return DX_NOR_ETRUNCATED;
        DX_NOR_P_TRY(dx_nor_p_emit(n, &to, n->io_, part));
    }
    unit = n->flash_.unit; /* the last one is programmed completely */
    DX_NOR_P_TRY(dx_nor_p_emit(n, &to, NULL, (unit - size % unit) % unit));
    DX_NOR_P_TRY(dx_nor_p_flush(n, &to));
    damage = n->damage_; /* loading resets these */
    place = n->damage_place_;
    DX_NOR_MEMCPY(own, n->store_id_, sizeof own);
    n->damage_ = 0;
    error = dx_nor_p_load(n, &to, &ready);
    if (error == DX_NOR_OK && (n->damage_ || to.committed != size)) error = DX_NOR_ECORRUPT;
    if (error == DX_NOR_OK) error = dx_nor_p_finish(n, &to);
    if (error == DX_NOR_OK) {
        dx_nor_p_use(n, &to, false);
        return DX_NOR_OK;
    }
    n->damage_ = damage; /* the store is unchanged, and so is its damage */
    n->damage_place_ = place;
    DX_NOR_MEMCPY(n->store_id_, own, sizeof own);
    return error;
}

/* >>public --------------------------------------------------------------
   desc.memory is divided once, by dx_nor_p_start():

       | 0..7 | dx_cas_hasher, aligned to 8 | out_: one unit, >= 64 | io_: the rest, >= 64 |
                (collection: a bitmap)        write buffer             read buffer

   A put reads its source twice: to hash it, because the id comes first in the record and the object
   may exist already, and to write it. The record is then read back and hashed, so that a weak
   block is detected while the caller still has the bytes. */
DX_NOR_API size_t dx_nor_memory_size(uint32_t unit) { return DX_NOR_MEMORY_SIZE(unit); }

/* Does the format support this flash, and are the functions that its mode needs set? */
static bool dx_nor_p_desc_ok(const dx_nor_desc *desc)
{
    const dx_nor_flash *f = &desc->flash;
    if (!f->read || !desc->memory) return false;
    if ((desc->mode & DX_CAS_WRITE) && (!f->program || !f->erase)) return false;
    if (desc->mode & ~(uint32_t)(DX_CAS_WRITE | DX_CAS_ACCEPT_DAMAGE | DX_NOR_RESUME)) {
        return false;
    }
    if (f->unit == 0 || f->unit > 4096 || (f->unit & (f->unit - 1))) return false;
    if (f->block_size < 512 || f->block_size / 4 < f->unit || f->block_size % f->unit) return false;
    return f->block_count >= 4 && f->block_count <= ((uint32_t)1 << 31) / f->block_size;
}

/* Divide the memory, and find the newest generation. */
static int dx_nor_p_start(dx_nor *n, const dx_nor_desc *desc, dx_nor_log_ *g)
{
    uint8_t *base;
    size_t more;
    if (!n) return DX_NOR_EINVAL;
    DX_NOR_MEMSET(n, 0, sizeof *n);
    n->damage_place_ = UINT32_MAX;
    if (!desc || !dx_nor_p_desc_ok(desc)) return DX_NOR_EINVAL;
    if (desc->memory_size < DX_NOR_MEMORY_SIZE(desc->flash.unit)) return DX_NOR_ENOMEM;
    base = (uint8_t *)desc->memory + (size_t)(-(uintptr_t)desc->memory & 7);
    n->flash_ = desc->flash;
    n->mode_ = desc->mode;
    n->out_size_ = n->head_size_ = desc->flash.unit > 64 ? desc->flash.unit : 64;
    n->hasher_ = (dx_cas_hasher *)(void *)base;
    n->out_ = base + sizeof *n->hasher_;
    n->io_ = n->out_ + n->out_size_;
    more = desc->memory_size - (size_t)(n->io_ - (uint8_t *)desc->memory);
    n->io_size_ = more / 65536 ? 65536 : (uint32_t)more & ~63u; /* or a size has 16 bits */
    DX_NOR_ASSERT(n->io_size_ >= DX_CAS_EXT_HEAD);
    return dx_nor_p_find_log(n, g);
}

DX_NOR_API int dx_nor_open(dx_nor *n, const dx_nor_desc *desc)
{
    dx_nor_log_ g;
    uint32_t damage, place;
    bool ready;
    DX_NOR_P_TRY(dx_nor_p_start(n, desc, &g));
    DX_NOR_P_TRY(dx_nor_p_load(n, &g, &ready));
    if (n->damage_ && !(n->mode_ & DX_CAS_ACCEPT_DAMAGE)) return DX_NOR_ECORRUPT;
    damage = n->damage_;
    place = n->damage_place_;
    dx_nor_p_use(n, &g, ready && (n->mode_ & DX_NOR_RESUME));
    n->damage_ = damage;
    n->damage_place_ = place;
    return DX_NOR_OK;
}

DX_NOR_API int dx_nor_create(dx_nor *n, const dx_nor_desc *desc)
{
    dx_nor_log_ g;
    int error = dx_nor_p_start(n, desc, &g);
    if (error == DX_NOR_OK || (error == DX_NOR_ENOTFOUND && !(n->mode_ & DX_CAS_WRITE))) {
        return DX_NOR_EINVAL;
    }
    if (error != DX_NOR_ENOTFOUND) return error;
    DX_NOR_MEMCPY(n->store_id_, desc->store_id, sizeof n->store_id_);
    DX_NOR_P_TRY(dx_nor_p_prepare(n, &g, 0));
    DX_NOR_P_TRY(dx_nor_p_begin(n, &g));
    DX_NOR_P_TRY(dx_nor_p_write_commit(n, &g));
    DX_NOR_P_TRY(dx_nor_p_finish(n, &g));
    dx_nor_p_use(n, &g, true);
    return DX_NOR_OK;
}

DX_NOR_API uint32_t dx_nor_damage_offset(const dx_nor *n) { return n->damage_place_; }

DX_NOR_API int dx_nor_get_stats(dx_nor *n, dx_nor_stats *out)
{
    dx_nor_p_block b;
    uint64_t sum = 0;
    uint32_t i, count = 0;
    if (!n || !out || !n->open_) return DX_NOR_EINVAL;
    DX_NOR_MEMSET(out, 0, sizeof *out);
    for (i = 0; i < n->flash_.block_count; i++) {
        if (dx_nor_p_block_read(n, i * n->flash_.block_size, &b) != DX_NOR_OK) continue;
        sum += b.erases;
        count++;
        if (b.erases > out->erases_max) out->erases_max = b.erases;
    }
    out->erases_mean = count ? (uint32_t)(sum * 100 / count) : 0;
    out->commits = n->log_.sequence;
    out->generation = n->log_.generation;
    out->log_bytes = n->log_.end;
    out->records = n->log_.records;
    out->blocks = n->flash_.block_count;
    out->blocks_used = n->log_.blocks;
    out->damaged_places = n->damage_;
    return DX_NOR_OK;
}

/* The id of a source's bytes. */
static int dx_nor_p_source_id(dx_nor *n, dx_nor_source *source, void *user,
                              uint32_t size, dx_cas_id *id)
{
    uint32_t done, part;
    dx_cas_ext_id_start(n->hasher_, DX_CAS_EXT_BLOB);
    for (done = 0; done < size; done += part) {
        part = size - done < n->io_size_ ? size - done : n->io_size_;
        DX_NOR_P_TRY(source(user, done, n->io_, part));
        dx_cas_ext_id_update(n->hasher_, n->io_, part);
    }
    dx_cas_ext_id_final(n->hasher_, id);
    return DX_NOR_OK;
}

/* Append the object; read it back. A difference is a fault of the flash, or of a source that gave
   different bytes the second time. */
static int dx_nor_p_append(dx_nor *n, dx_nor_source *source, void *user, uint32_t size,
                           const dx_cas_id *id)
{
    dx_nor_log_ *g = &n->log_;
    dx_nor_p_record r;
    uint32_t done, part;
    int error;
    DX_NOR_ASSERT(n->failed_);
    DX_NOR_P_TRY(dx_nor_p_make_ready(n));
    DX_NOR_MEMSET(&r, 0, sizeof r);
    r.type = DX_CAS_EXT_BLOB;
    r.logical = r.stored = size;
    DX_NOR_P_TRY(dx_nor_p_record_begin(n, g, &r, id->bytes));
    for (done = 0; done < size; done += part) {
        part = size - done < n->io_size_ ? size - done : n->io_size_;
        DX_NOR_P_TRY(source(user, done, n->io_, part));
        DX_NOR_P_TRY(dx_nor_p_emit(n, g, n->io_, part));
    }
    DX_NOR_P_TRY(dx_nor_p_record_end(n, g, &r));
    n->dirty_ = true;
    error = dx_nor_p_content(n, g, &r, 0, NULL, 0);
    return error == DX_NOR_ECORRUPT ? DX_NOR_ESYS : error;
}

DX_NOR_API int dx_nor_put_from(dx_nor *n, dx_nor_source *source, void *user,
                               uint32_t size, dx_cas_id *id)
{
    dx_nor_p_record r;
    dx_cas_id own;
    uint32_t index, bytes;
    int error;
    if (!n || !source) return DX_NOR_EINVAL;
    DX_NOR_P_TRY(dx_nor_p_may_write(n));
    if (size >= n->flash_.block_count * n->flash_.block_size) return DX_NOR_ENOSPACE;
    DX_NOR_P_TRY(dx_nor_p_source_id(n, source, user, size, &own));
    if (id) *id = own;
    error = dx_nor_p_find(n, own.bytes, &r, &index);
    if (error == DX_NOR_OK) {
        error = dx_nor_p_content(n, &n->log_, &r, 0, NULL, 0);
        if (error != DX_NOR_ECORRUPT && error != DX_NOR_ENOTSUP) return error;
    } else if (error != DX_NOR_ENOTFOUND) {
        return error;
    }
    bytes = dx_nor_p_align(&n->log_, DX_CAS_EXT_HEAD + size);
    DX_NOR_P_TRY(dx_nor_p_reserve(n, bytes, bytes, NULL, false));
    n->failed_ = true; /* until all went well */
    DX_NOR_P_TRY(dx_nor_p_append(n, source, user, size, &own));
    n->failed_ = false;
    n->live_ += bytes;
    return DX_NOR_OK;
}

/* A dx_nor_source whose user is the address of a pointer to the bytes. */
static int dx_nor_p_from_memory(void *user, uint32_t offset, void *out, size_t size)
{
    DX_NOR_MEMCPY(out, *(const uint8_t *const *)user + offset, size);
    return DX_NOR_OK;
}

DX_NOR_API int dx_nor_put(dx_nor *n, const void *data, uint32_t size, dx_cas_id *id)
{
    const uint8_t *bytes = (const uint8_t *)data;
    if (!data && size) return DX_NOR_EINVAL;
    return dx_nor_put_from(n, dx_nor_p_from_memory, &bytes, size, id);
}

DX_NOR_API int dx_nor_size(dx_nor *n, const dx_cas_id *id, uint32_t *size)
{
    dx_nor_p_record r;
    uint32_t index;
    if (!n || !id || !size || !n->open_) return DX_NOR_EINVAL;
    DX_NOR_P_TRY(dx_nor_p_find(n, id->bytes, &r, &index));
    if (r.logical > UINT32_MAX) return DX_NOR_ETOOBIG;
    *size = (uint32_t)r.logical;
    return DX_NOR_OK;
}

DX_NOR_API int dx_nor_read(dx_nor *n, const dx_cas_id *id, uint32_t offset, void *buffer,
                           uint32_t size, uint32_t *got)
{
    dx_nor_p_record r;
    uint32_t index;
    if (!n || !id || !got || (!buffer && size) || !n->open_) return DX_NOR_EINVAL;
    *got = 0;
    DX_NOR_P_TRY(dx_nor_p_find(n, id->bytes, &r, &index));
    if (offset > r.stored) offset = r.stored;
    if (size > r.stored - offset) size = r.stored - offset;
    DX_NOR_P_TRY(dx_nor_p_content(n, &n->log_, &r, offset, (uint8_t *)buffer, size));
    *got = size;
    return DX_NOR_OK;
}

DX_NOR_API int dx_nor_get(dx_nor *n, const dx_cas_id *id, void *buffer, uint32_t capacity,
                          uint32_t *size)
{
    if (!size || (!buffer && capacity)) return DX_NOR_EINVAL;
    *size = 0;
    DX_NOR_P_TRY(dx_nor_size(n, id, size));
    return *size > capacity ? DX_NOR_ENOSPACE : dx_nor_read(n, id, 0, buffer, *size, size);
}

/* The newest record of a name, and its first bytes; zeros if it was never set. */
static int dx_nor_p_newest(dx_nor *n, const char *name, dx_nor_p_record *r,
                           uint8_t *fixed, bool *damaged)
{
    dx_nor_p_name wanted;
    wanted.bytes = name;
    wanted.place = 0;
    wanted.size = (uint32_t)dx_nor_p_length(name);
    DX_NOR_MEMSET(fixed, 0, DX_CAS_EXT_REF_FIXED);
    DX_NOR_P_TRY(dx_nor_p_lookup(n, &wanted, DX_NOR_P_ALL, r, damaged));
    if (!r->type) return DX_NOR_OK;
    return dx_nor_p_bytes(n, &n->log_, r->place + DX_CAS_EXT_HEAD, fixed, DX_CAS_EXT_REF_FIXED);
}

DX_NOR_API int dx_nor_ref_get(dx_nor *n, const char *name, dx_nor_ref *out)
{
    dx_nor_p_record r;
    uint8_t fixed[DX_CAS_EXT_REF_FIXED];
    bool damaged;
    int error;
    if (!n || !out || !n->open_ || !dx_cas_ext_name_ok(name)) return DX_NOR_EINVAL;
    DX_NOR_MEMSET(out, 0, sizeof *out);
    DX_NOR_P_TRY(dx_nor_p_newest(n, name, &r, fixed, &damaged));
    error = r.type ? dx_nor_p_resolve(n, &r, fixed) : DX_NOR_ENOTFOUND;
    if (error == DX_NOR_OK) dx_nor_p_ref_out(fixed, out);
    return damaged ? DX_NOR_ECORRUPT : error;
}

DX_NOR_API int dx_nor_ref_next(dx_nor *n, uint32_t *cursor, char *name,
                               dx_nor_ref *out)
{
    dx_nor_p_record r;
    uint8_t fixed[DX_CAS_EXT_REF_FIXED];
    if (!n || !cursor || !name || !out || !n->open_) return DX_NOR_EINVAL;
    if (*cursor == 0) *cursor = dx_nor_p_first(&n->log_);
    DX_NOR_P_TRY(dx_nor_p_next_name(n, cursor, DX_NOR_P_SAME, &r, fixed));
    DX_NOR_P_TRY(dx_nor_p_bytes(n, &n->log_, r.place + DX_CAS_EXT_HEAD + DX_CAS_EXT_REF_FIXED, name,
                                fixed[1]));
    name[fixed[1]] = 0;
    dx_nor_p_ref_out(fixed, out);
    return DX_NOR_OK;
}

/* Append a record of a change of a name. root: the object, which may have had no name before; NULL
   for a deletion. */
static int dx_nor_p_change(dx_nor *n, const char *name, uint8_t *fixed,
                           const dx_nor_p_record *root)
{
    bool deletion = fixed[0] == DX_CAS_EXT_DELETE;
    dx_nor_p_name of;
    uint32_t bytes, growth;
    DX_NOR_ASSERT(deletion == (root == NULL));
    of.bytes = name;
    of.place = 0;
    of.size = (uint32_t)dx_nor_p_length(name);
    fixed[1] = (uint8_t)of.size;
    bytes = dx_nor_p_align(&n->log_, DX_CAS_EXT_HEAD + (uint32_t)DX_CAS_EXT_REF_FIXED + of.size);
    growth = deletion ? 0 : bytes;
    DX_NOR_P_TRY(dx_nor_p_reserve(n, bytes, growth, root, deletion));
    n->failed_ = true; /* until all went well */
    DX_NOR_P_TRY(dx_nor_p_make_ready(n));
    DX_NOR_P_TRY(dx_nor_p_put_ref(n, &n->log_, fixed, &of));
    n->failed_ = false;
    n->dirty_ = true;
    n->live_ += growth + dx_nor_p_revived(n, root);
    return DX_NOR_OK;
}

DX_NOR_API int dx_nor_ref_set(dx_nor *n, const char *name, const dx_nor_ref *ref)
{
    dx_nor_p_record root, r;
    uint8_t fixed[DX_CAS_EXT_REF_FIXED];
    uint64_t version;
    uint32_t index;
    bool damaged;
    if (!n || !ref || !dx_cas_ext_name_ok(name)) return DX_NOR_EINVAL;
    DX_NOR_P_TRY(dx_nor_p_may_write(n));
    DX_NOR_P_TRY(dx_nor_p_find(n, ref->root.bytes, &root, &index));
    if (root.type != DX_CAS_EXT_BLOB) return DX_NOR_EINVAL;
    DX_NOR_P_TRY(dx_nor_p_newest(n, name, &r, fixed, &damaged));
    if (damaged) return DX_NOR_ECORRUPT;
    version = dx_nor_p_load64(fixed + 8);
    if (version >= UINT64_MAX - 2) return DX_NOR_ETOOBIG;
    DX_NOR_MEMSET(fixed, 0, sizeof fixed);
    fixed[0] = DX_CAS_EXT_SET;
    dx_nor_p_store32(fixed + 4, ref->kind);
    dx_nor_p_store64(fixed + 8, version + 1);
    dx_nor_p_store64(fixed + 16, version + 1); /* the oldest kept version */
    dx_nor_p_store64(fixed + 32, ref->time_ns);
    dx_nor_p_store64(fixed + 40, root.logical);
    DX_NOR_MEMCPY(fixed + 48, ref->root.bytes, 32);
    DX_NOR_MEMCPY(fixed + 80, ref->root.bytes, 32);
    return dx_nor_p_change(n, name, fixed, &root);
}

DX_NOR_API int dx_nor_ref_delete(dx_nor *n, const char *name)
{
    dx_nor_p_record r;
    uint8_t fixed[DX_CAS_EXT_REF_FIXED];
    uint64_t version;
    bool damaged;
    if (!n || !dx_cas_ext_name_ok(name)) return DX_NOR_EINVAL;
    DX_NOR_P_TRY(dx_nor_p_may_write(n));
    DX_NOR_P_TRY(dx_nor_p_newest(n, name, &r, fixed, &damaged));
    if (damaged) return DX_NOR_ECORRUPT;
    if (!r.type || fixed[0] == DX_CAS_EXT_DELETE) return DX_NOR_ENOTFOUND;
    version = dx_nor_p_load64(fixed + 8);
    DX_NOR_MEMSET(fixed, 0, sizeof fixed);
    fixed[0] = DX_CAS_EXT_DELETE;
    dx_nor_p_store64(fixed + 8, version);
    dx_nor_p_store64(fixed + 16, version + 1);
    return dx_nor_p_change(n, name, fixed, NULL);
}

DX_NOR_API int dx_nor_commit(dx_nor *n)
{
    if (!n) return DX_NOR_EINVAL;
    DX_NOR_P_TRY(dx_nor_p_may_write(n));
    if (!n->dirty_) return DX_NOR_OK;
    n->failed_ = true; /* until all went well */
    DX_NOR_P_TRY(dx_nor_p_write_commit(n, &n->log_));
    n->failed_ = n->dirty_ = false;
    return DX_NOR_OK;
}

/* >>verify --------------------------------------------------------------
   Three walks over all written bytes; each finding goes to the callback:

       block headers   [copy][copy][ff ff ...]     both copies, and the erased bytes after them
       log             | header x 2 | 0 0 | record ...... 0 0 | commit x 2 0 0 |   (>>recovery)
       payloads              hash; form of refs and lists; are the objects there that they name?

   A damaged copy next to an intact one loses nothing, but it is reported: the next damage would
   lose data. */
/* The bytes between a block header's two copies and the end of its unit must be erased. */
static int dx_nor_p_check_erased(dx_nor *n, dx_nor_p_check *k, uint32_t offset,
                                 uint32_t start)
{
    uint32_t at, bits = 0xff;
    DX_NOR_ASSERT(offset % n->flash_.block_size == 2 * DX_NOR_P_COPY);
    for (at = 2 * DX_NOR_P_COPY; at < n->head_size_; at++, offset++) {
        uint8_t byte;
        DX_NOR_P_TRY(n->flash_.read(n->flash_.user, offset, &byte, 1));
        bits &= byte;
    }
    return bits == 0xff ? DX_NOR_OK
                        : dx_nor_p_report(k, DX_NOR_ECORRUPT, DX_CAS_DAMAGE_PADDING, start, 0,
                                        NULL);
}

/* Both headers of each block and of the store. */
static int dx_nor_p_check_headers(dx_nor *n, dx_nor_log_ *g, dx_nor_p_check *k)
{
    dx_nor_p_block b;
    uint32_t i, copy;
    for (i = 0; i < g->blocks; i++) {
        uint32_t offset = dx_nor_p_offset(n, g, i), start;
        DX_NOR_P_TRY(dx_nor_p_block_read(n, offset, &b));
        start = b.start;
        for (copy = 0; copy < 2; copy++, offset += DX_NOR_P_COPY) {
            int error = dx_nor_p_block_copy(n, offset, &b);
            DX_NOR_P_TRY(dx_nor_p_report(k, error, DX_CAS_DAMAGE_HEADER, start,
                                       DX_NOR_P_COPY, NULL));
        }
        DX_NOR_P_TRY(dx_nor_p_check_erased(n, k, offset, start));
    }
    for (copy = 0; copy < 2; copy++) {
        int error = DX_NOR_OK;
        dx_nor_p_store_header(g, n->store_id_, copy, n->io_);
        DX_NOR_P_TRY(dx_nor_p_bytes(n, g, copy * DX_CAS_EXT_HEAD, n->out_, DX_CAS_EXT_HEAD));
        if (DX_NOR_MEMCMP(n->io_, n->out_, DX_CAS_EXT_HEAD) != 0) error = DX_NOR_ECORRUPT;
        DX_NOR_P_TRY(dx_nor_p_report(k, error, DX_CAS_DAMAGE_HEADER, copy * DX_CAS_EXT_HEAD,
                                   DX_CAS_EXT_HEAD, NULL));
    }
    dx_nor_p_tip_first(n, g, n->io_);
    return dx_nor_p_check_zero(n, g, k, 2 * DX_CAS_EXT_HEAD, dx_nor_p_first(g));
}

/* Bytes of a list node with that many children. */
static uint32_t dx_nor_p_node_size(uint32_t count)
{
    DX_NOR_ASSERT(count <= DX_NOR_P_NODE_MAX / DX_CAS_EXT_NODE_ENTRY);
    return (uint32_t)DX_CAS_EXT_NODE_HEAD + count * (uint32_t)DX_CAS_EXT_NODE_ENTRY;
}

/* After the hash matched: is a name or a list node well-formed, with zero reserved bytes? */
static int dx_nor_p_check_form(dx_nor *n, dx_nor_log_ *g, const dx_nor_p_record *r)
{
    uint8_t fixed[DX_CAS_EXT_REF_FIXED];
    uint32_t size = r->type == DX_CAS_EXT_REF ? (uint32_t)DX_CAS_EXT_REF_FIXED
                                            : (uint32_t)DX_CAS_EXT_NODE_HEAD;
    uint32_t count;
    if (r->type == DX_CAS_EXT_BLOB) return DX_NOR_OK;
    if (r->stored < size) return DX_NOR_ECORRUPT;
    DX_NOR_P_TRY(dx_nor_p_bytes(n, g, r->place + DX_CAS_EXT_HEAD, fixed, size));
    if (r->type == DX_CAS_EXT_REF) {
        return dx_cas_ext_ref_ok(fixed, r->stored) ? DX_NOR_OK : DX_NOR_ECORRUPT;
    }
    count = (r->stored - DX_CAS_EXT_NODE_HEAD) / DX_CAS_EXT_NODE_ENTRY;
    if (count == 0 || dx_nor_p_load32(fixed + 4) != count) return DX_NOR_ECORRUPT;
    if (r->stored != dx_nor_p_node_size(count)) return DX_NOR_ECORRUPT;
    return dx_nor_p_load32(fixed) == r->flags ? DX_NOR_OK : DX_NOR_ECORRUPT;
}

/* Do the objects that a name or a list node refers to exist? */
static int dx_nor_p_check_needs(dx_nor *n, dx_nor_log_ *g, dx_nor_p_check *k,
                                const dx_nor_p_record *r)
{
    dx_nor_p_record child;
    uint32_t at = r->type == DX_CAS_EXT_REF ? 48 : 16, index;
    uint8_t id[32];
    DX_NOR_ASSERT(r->type == DX_CAS_EXT_REF || r->type == DX_CAS_EXT_LIST);
    if (r->type == DX_CAS_EXT_REF) {
        DX_NOR_P_TRY(dx_nor_p_bytes(n, g, r->place + DX_CAS_EXT_HEAD, id, 1));
        if (id[0] != DX_CAS_EXT_SET) return DX_NOR_OK;
    }
    for (; at < r->stored && r->stored - at >= 32; at += 40) {
        DX_NOR_P_TRY(dx_nor_p_bytes(n, g, r->place + DX_CAS_EXT_HEAD + at, id, sizeof id));
        DX_NOR_P_TRY(dx_nor_p_report(k, dx_nor_p_find(n, id, &child, &index),
                                   DX_CAS_DAMAGE_MISSING, r->place, r->stored, id));
        if (r->type == DX_CAS_EXT_REF) break;
    }
    return DX_NOR_OK;
}

/* Check each record's payload. One with a codec cannot be hashed here: UNKNOWN, not damaged. */
static int dx_nor_p_check_payloads(dx_nor *n, dx_nor_log_ *g, dx_nor_p_check *k)
{
    dx_nor_p_record r;
    uint32_t place = dx_nor_p_first(g);
    int error = DX_NOR_OK;
    while (!k->stop && (error = dx_nor_p_step(n, g, n->log_.end, &place, &r)) == DX_NOR_OK) {
        bool ref = r.type == DX_CAS_EXT_REF;
        uint32_t kind = ref ? DX_CAS_DAMAGE_REF : DX_CAS_DAMAGE_OBJECT;
        if (r.type == 0 || r.type == DX_CAS_EXT_COMMIT) continue;
        k->report.objects += !ref;
        k->report.refs += ref;
        k->report.bytes += r.stored;
        error = dx_nor_p_content(n, g, &r, 0, NULL, 0);
        if (error == DX_NOR_OK) error = dx_nor_p_check_form(n, g, &r);
        if (error == DX_NOR_OK && r.type != DX_CAS_EXT_BLOB) {
            DX_NOR_P_TRY(dx_nor_p_check_needs(n, g, k, &r));
        }
        if (error == DX_NOR_ENOTSUP) {
            kind = DX_CAS_DAMAGE_UNKNOWN;
            error = DX_NOR_ECORRUPT;
        }
        DX_NOR_P_TRY(
            dx_nor_p_report(k, error, kind, r.place, r.stored, ref ? NULL : r.head + 24));
    }
    return error == DX_NOR_ENOTFOUND ? DX_NOR_OK : error;
}

DX_NOR_API int dx_nor_verify(dx_nor *n, dx_cas_damage_fn *callback, void *user,
                             dx_cas_report *report)
{
    dx_nor_p_check k;
    dx_nor_log_ g;
    int error;
    if (!n || !n->open_) return DX_NOR_EINVAL;
    DX_NOR_MEMSET(&k, 0, sizeof k);
    k.callback = callback;
    k.user = user;
    g = n->log_;
    error = dx_nor_p_check_headers(n, &g, &k);
    g.end = n->log_.end;
    if (error == DX_NOR_OK) error = dx_nor_p_scan(n, &g, n->log_.end, &k);
    if (error == DX_NOR_OK) error = dx_nor_p_check_payloads(n, &g, &k);
    k.report.tail_bytes = n->log_.end - n->log_.committed;
    if (report) *report = k.report;
    if (error != DX_NOR_OK) return error;
    if (k.stop) return DX_NOR_ECANCELED;
    return k.report.damaged ? DX_NOR_ECORRUPT : DX_NOR_OK;
}

/* >>device ---------------------------------------------------------------
   The committed log as dx_cas.h sees a store: contiguous bytes, without blocks and their headers.

       dx_cas.h   | 0 ................................. committed )
       flash      [h][ 0 .. ][h][ .. ][h][ .. committed )  tail  ]

   A forward scan is linear; a step back restarts at the first block. */
static int dx_nor_p_device_size(void *user, uint64_t *size)
{
    *size = ((const dx_nor *)user)->log_.committed;
    return DX_NOR_OK;
}

static int dx_nor_p_device_read(void *user, uint64_t offset, void *out, size_t size,
                                size_t *got)
{
    dx_nor *n = (dx_nor *)user;
    uint32_t end = n->log_.committed;
    DX_NOR_ASSERT(n->open_);
    *got = 0;
    if (offset >= end) return DX_NOR_OK;
    if (size > end - (uint32_t)offset) size = end - (uint32_t)offset;
    DX_NOR_P_TRY(dx_nor_p_bytes(n, &n->log_, (uint32_t)offset, out, (uint32_t)size));
    *got = size;
    return DX_NOR_OK;
}

DX_NOR_API dx_cas_device dx_nor_device(dx_nor *n)
{
    dx_cas_device d = {dx_nor_p_device_read, NULL, NULL, dx_nor_p_device_size, NULL, n,
                       NULL};
    DX_NOR_ASSERT(n && n->open_);
    return d;
}

#undef DX_NOR_P_TRY
#endif /* DX_NOR_IMPLEMENTATION */

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
