/*  dx_teleport.h - v0.1.0 - records that lie in memory as they travel - MIT-0 or public domain,
    see end of file

    Do this in ONE C or C++ file:

        #define DX_TELEPORT_IMPLEMENTATION    (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_teleport.h"

    and include it elsewhere without the define. C99; also builds as C++11.

    QUICK EXAMPLE

        #define USER(F, S, ...) F(u64, id) S(name) F(u8, age) F(bool, active)
        DX_TELEPORT_DEFINE(user, USER)

        int main(void)
        {
            uint8_t buf[64];
            size_t  size = 0;
            user_writer w;
            user_view   v;
            user_begin(&w, buf, sizeof buf, 0);
            user_set_id(&w, 7);
            user_put_name(&w, "Ann", 3);
            user_set_age(&w, 41);
            if (user_finish(&w, &size)) return 1;
            if (user_open(&v, buf, size)) return 1; // checks everything, once
            return user_get_age(&v) == 41 && user_get_name(&v).size == 3 ? 0 : 1;
        }

    CONTENTS (search >>)  config types api scalars schema platform shared check writer ring public
                          license

    SCHEMA      One macro lists the fields in wire order. Its parameters are operators, by position;
                name as many as you use and always end with `...` (later operators are added there):

                #define T(F, S, A, L, E, V, ...)
                    F(type, name)          scalar: u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 bool
                    S(name)                string, UTF-8, any length
                    A(type, name, count)   fixed array of scalars, inside the record
                    L(type, name)          list (slice) of scalars, any length
                    E(type, name, count)   enumeration stored as u8, u16 or u32; values 0 .. count-1
                    V(number)              the fields from here on came with version `number`: 2, 3, ...

                DX_TELEPORT_DEFINE(user, T), at file scope and without a semicolon, makes:

                user_view, user_writer                 types, caller-allocated
                user_version, user_record_size, user_record_align, user_offset_NAME    constants
                user_layout(version)                   checksum over names, types and offsets
                user_size(flags, ...)                  bytes needed; one argument per S (bytes) and L
                                                       (elements), in order; UINT64_MAX: above 4 GiB
                user_begin(w, bytes, capacity, flags)  start a record; all fields zero or empty
                user_set_NAME(w, value)                F, E: store; A: copy `count` elements from a pointer
                user_put_NAME(w, data, size)           S, L: append; in the order of the schema
                user_finish(w, &size)                  complete; once
                user_open(v, bytes, size)              check a record; then the accessors are loads
                user_open_bare(v, bytes, size, version)   the same without header; see FORMAT
                user_edit(w, bytes, size), user_edit_bare(w, bytes, size, version)
                                                       open for user_set_NAME in place; end with user_finish
                user_get_NAME(v)                       F, E: the value; S: {data, size}, not terminated
                user_count_NAME(v), user_at_NAME(v, i) A, L: elements; the i-th, zero if there is none
                user_data_NAME(v)                      A, L: the elements in place, or NULL where this host
                                                       cannot read them there (misaligned or big-endian)
                user_copy_NAME(v, first, out, count)   A, L: copy out; returns how many there were

    EVOLUTION   Append fields behind a V() mark; never touch what was released. Keep the list of each
                released version and let the compiler watch over it:

                #define USER_1(F, S, ...) F(u64, id) S(name) F(u8, age) F(bool, active)
                #define USER(F, S, A, L, E, V, ...) USER_1(F, S, ...)-the-same-fields V(2) F(u32, score)
                DX_TELEPORT_DEFINE(user, USER)
                DX_TELEPORT_FROZEN(user, 1, USER_1)      any other change does not compile

                A newer reader takes older data: absent fields read as zero or empty. An older reader
                takes newer data: it sees the fields it knows. Both compare layout checksums first.

    GUARANTEES  Never allocates; no globals; no recursion; no pointer inside the data. The reader checks
                every byte it may later touch, once, in O(references + text + padding), for any base
                alignment. Bytes are the same on every platform. Padding is zero.
    LIMITS      A buffer below 4 GiB. Field names up to 48 characters. One thread per writer; a view may
                be read by many. A view is only as good as its bytes: while another process can write
                them, copy them first.
    CONFIG      DX_TELEPORT_STATIC, DX_TELEPORT_API, DX_TELEPORT_ASSERT(c), DX_TELEPORT_MEMCPY/MEMSET,
                DX_TELEPORT_NO_NAMES (no field names in faults, for small targets),
                DX_TELEPORT_NO_RING (no atomics), DX_TELEPORT_LITTLE_ENDIAN (0 or 1; found out by default),
                DX_TELEPORT_LOAD_ACQUIRE(p), DX_TELEPORT_STORE_RELEASE(p, v) (of a uint32_t *)
    ERRORS      dx_teleport_error: 0 = ok, negative = reason; a view tells where in its `fault`.
                A writer keeps its first error: calls after it change nothing and return it.
    OWNERSHIP   The caller owns every buffer. Views borrow the bytes until their last use, writers until
                finish. Ring memory is borrowed while a producer or consumer handle is in use.
    FORMAT      docs/TELEPORT.md (normative). With header: 24 bytes, for files and unknown peers. Bare:
                the record alone, for frames whose protocol already says type, version and length.
*/
#ifndef DX_TELEPORT_H
#define DX_TELEPORT_H

#define DX_TELEPORT_VERSION 0x000100 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifndef DX_TELEPORT_API
  #ifdef DX_TELEPORT_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_TELEPORT_API static __attribute__((unused))
    #else
      #define DX_TELEPORT_API static
    #endif
  #else
    #define DX_TELEPORT_API extern
  #endif
#endif

#if defined(__GNUC__) || defined(__clang__)
  #define DX_TELEPORT_P_INLINE static inline __attribute__((unused))
  #define DX_TELEPORT_P_FOLDED static inline __attribute__((unused, always_inline))
  #define DX_TELEPORT_P_ALIAS  __attribute__((may_alias))
#else
  #define DX_TELEPORT_P_INLINE static inline
  #define DX_TELEPORT_P_FOLDED static inline
  #define DX_TELEPORT_P_ALIAS
#endif

/* Memory is read in place only where the host's bytes lie as the wire's do. Unknown hosts take the
   portable path, which is right everywhere. */
#ifndef DX_TELEPORT_LITTLE_ENDIAN
  #if defined(__BYTE_ORDER__) && defined(__ORDER_LITTLE_ENDIAN__)
    #if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
      #define DX_TELEPORT_LITTLE_ENDIAN 1
    #else
      #define DX_TELEPORT_LITTLE_ENDIAN 0
    #endif
  #elif defined(_M_IX86) || defined(_M_X64) || defined(_M_ARM64)
    #define DX_TELEPORT_LITTLE_ENDIAN 1
  #else
    #define DX_TELEPORT_LITTLE_ENDIAN 0
  #endif
#endif

#ifndef DX_TELEPORT_MEMCPY
  #if defined(__GNUC__) || defined(__clang__)
    #define DX_TELEPORT_MEMCPY(to, from, size) ((void)__builtin_memcpy((to), (from), (size)))
  #else
    #include <string.h>
    #define DX_TELEPORT_MEMCPY(to, from, size) ((void)memcpy((to), (from), (size)))
  #endif
#endif
#ifndef DX_TELEPORT_MEMSET
  #if defined(__GNUC__) || defined(__clang__)
    #define DX_TELEPORT_MEMSET(to, byte, size) ((void)__builtin_memset((to), (byte), (size)))
  #else
    #include <string.h>
    #define DX_TELEPORT_MEMSET(to, byte, size) ((void)memset((to), (byte), (size)))
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */
typedef enum dx_teleport_error {
    DX_TELEPORT_OK = 0,
    DX_TELEPORT_EINVAL = -1,     /* an argument breaks its documented contract */
    DX_TELEPORT_ENOMEM = -2,     /* the memory given for a ring is too small */
    DX_TELEPORT_ENOSPACE = -3,   /* the output buffer is full */
    DX_TELEPORT_ETOOBIG = -4,    /* 4 GiB or more; a ring record that can never fit */
    DX_TELEPORT_ECORRUPT = -5,   /* not this format (magic), or a header that contradicts itself */
    DX_TELEPORT_EAGAIN = -6,     /* the ring is full (producer) or empty (consumer) */
    DX_TELEPORT_ESYS = -7,       /* not used here */
    DX_TELEPORT_ENOTSUP = -8,    /* a header flag this build does not know */
    DX_TELEPORT_ENOTFOUND = -9,  /* the field is newer than the data; it cannot be set in place */
    DX_TELEPORT_ECANCELED = -10, /* not used here */
    DX_TELEPORT_ETRUNCATED = -11, /* the input ends too early */
    DX_TELEPORT_EVERSION = -12,   /* a format version this build does not know */
    DX_TELEPORT_ELAYOUT = -32,    /* data of another type, or of a version that is no prefix of ours */
    DX_TELEPORT_EREF = -33,       /* a reference outside, overlapping, misaligned or out of order */
    DX_TELEPORT_EPADDING = -34,   /* a padding byte is not zero */
    DX_TELEPORT_EUTF8 = -35,      /* a string is not UTF-8 */
    DX_TELEPORT_EBOOL = -36,      /* a bool is neither 0 nor 1 */
    DX_TELEPORT_EENUM = -37,      /* an enumeration value is outside its range */
    DX_TELEPORT_ECHECKSUM = -38,  /* the CRC-32C differs */
    DX_TELEPORT_EORDER = -39,     /* writer: not in schema order, or the field was put before */
    DX_TELEPORT_ESTATE = -40,     /* writer: finished already */
    DX_TELEPORT_ETRAILING = -41   /* bytes behind the end of the record */
} dx_teleport_error;

/* Flags of user_begin() and of the header. */
enum {
    DX_TELEPORT_CRC = 1, /* the record ends with a CRC-32C of all bytes before it */
    DX_TELEPORT_BARE = 0x10000 /* no header (never on the wire); not together with DX_TELEPORT_CRC */
};
#define DX_TELEPORT_HEADER_SIZE 24 /* and 8 more for each version after the first */
#define DX_TELEPORT_MAGIC 0x31545844 /* the bytes "DXT1" */

/* UTF-8 text inside a record: not terminated, size in bytes; data is never NULL. */
typedef struct dx_teleport_string {
    const char *data;
    size_t      size;
} dx_teleport_string;

/* Why opening failed: filled in by user_open() when it returns an error. */
typedef struct dx_teleport_fault {
    uint64_t    layout;  /* checksum that the header of the data holds; 0 if it was not reached */
    const char *field;   /* field name, or "header", "layout", "record"; static */
    uint32_t    offset;  /* byte of the buffer where the bad thing starts */
    uint32_t    version; /* schema version of the data; 0 if it was not reached */
} dx_teleport_fault;

/* What a header says. Nothing but the header is checked. */
typedef struct dx_teleport_info {
    uint64_t layout;      /* checksum of the writer's layout: user_layout(version) */
    uint32_t size;        /* bytes of the whole record with header and checksum */
    uint32_t record_size; /* bytes of its fixed part */
    uint16_t version;     /* 1 .. 65535 */
    uint16_t flags;       /* DX_TELEPORT_CRC or 0 */
} dx_teleport_info;

/* Part of every generated user_view; `fault` is public, the rest private. */
typedef struct dx_teleport_view {
    const uint8_t    *bytes_;  /* the buffer; NULL when open failed */
    const uint8_t    *record_; /* the fixed part in it */
    uint32_t          size_;   /* where references end: without the CRC */
    uint32_t          version_;
    dx_teleport_fault fault;
} dx_teleport_view;

/* Part of every generated user_writer; private. */
typedef struct dx_teleport_writer {
    uint8_t *bytes_;
    uint8_t *record_;
    uint32_t capacity_;
    uint32_t end_;       /* bytes written; in an edit: size of the buffer */
    uint32_t next_slot_; /* lowest offset in the record whose reference may be put next */
    uint32_t version_;
    uint32_t flags_;
    int      error_;
} dx_teleport_writer;

/* A ring: one producer, one consumer, each on a thread of its own (or in a process of its own that
   maps the same memory). Wait-free. Zero fields of the description mean the default. */
typedef struct dx_teleport_ring_desc {
    uint32_t record_size; /* bytes of every record; 0 = variable, each up to a quarter of capacity */
    uint32_t capacity;    /* power of two: records (fixed size), bytes from 64 up (variable); 0 = 1024
                             records or 65536 bytes; all data together at most 1 GiB */
} dx_teleport_ring_desc;

/* Write-only end. Private fields. */
typedef struct dx_teleport_producer {
    uint8_t *ring_;
    uint32_t record_size_;
    uint32_t capacity_;
    uint32_t write_;   /* our own index */
    uint32_t read_;    /* what we last saw of the other's: refreshed only when the ring looks full */
    uint32_t claimed_; /* how far commit moves write_; 0 = nothing is claimed */
} dx_teleport_producer;

/* Read-only end. Private fields. */
typedef struct dx_teleport_consumer {
    uint8_t *ring_;
    uint32_t record_size_;
    uint32_t capacity_;
    uint32_t read_;
    uint32_t write_;
    uint32_t peeked_;
} dx_teleport_consumer;

/* >>api ---------------------------------------------------------------- */
/* "DX_TELEPORT_EUTF8" and so on; "DX_TELEPORT_UNKNOWN" for other numbers. */
DX_TELEPORT_API const char *dx_teleport_error_name(int error);
/* Read a header, to learn which type the record has and where it ends; several records may follow
   each other, each padded by the caller as he likes. ETRUNCATED: fewer than 24 bytes. */
DX_TELEPORT_API int dx_teleport_peek(const void *bytes, size_t size, dx_teleport_info *info);
/* Bytes of the longest prefix that is well-formed UTF-8 (RFC 3629): `size` if all of it is. */
DX_TELEPORT_API size_t dx_teleport_check_utf8(const void *text, size_t size);

#ifndef DX_TELEPORT_NO_RING
/* Bytes of memory that a ring needs, 0 if *desc breaks its limits. */
DX_TELEPORT_API size_t dx_teleport_ring_memory_size(const dx_teleport_ring_desc *desc);
/* Format memory (aligned to 64 bytes) as an empty ring. EINVAL, ENOMEM. Nobody may be attached. */
DX_TELEPORT_API int dx_teleport_ring_init(void *memory, size_t memory_size,
                                          const dx_teleport_ring_desc *desc);
/* Take up one end of a formatted ring, where the last holder of that end left it; one holder at a
   time. ECORRUPT: not a ring, or indices that no ring can have. */
DX_TELEPORT_API int dx_teleport_producer_attach(dx_teleport_producer *p, void *memory,
                                                size_t memory_size);
DX_TELEPORT_API int dx_teleport_consumer_attach(dx_teleport_consumer *c, void *memory,
                                                size_t memory_size);
/* Append one record of `size` bytes (the ring's size in a ring of fixed records, else EINVAL).
   EAGAIN: full, nothing happened. ETOOBIG: can never fit. Wait-free. */
DX_TELEPORT_API int dx_teleport_producer_push(dx_teleport_producer *p, const void *data, size_t size);
/* The same without a copy: *where receives room for `size` bytes, aligned to 8 in a variable ring and
   to 64 at the ring's start; the record appears with commit. A second claim replaces the first. */
DX_TELEPORT_API int dx_teleport_producer_claim(dx_teleport_producer *p, size_t size, void **where);
DX_TELEPORT_API int dx_teleport_producer_commit(dx_teleport_producer *p);
/* Take the oldest record: its size to *size, its bytes to out. EAGAIN: empty. ENOSPACE: it has more
   than `capacity` bytes and stays (*size says how many). ECORRUPT: the producer wrote nonsense. */
DX_TELEPORT_API int dx_teleport_consumer_pop(dx_teleport_consumer *c, void *out, size_t capacity,
                                             size_t *size);
/* The same without a copy: the record stays where it is until release. */
DX_TELEPORT_API int dx_teleport_consumer_peek(dx_teleport_consumer *c, const void **where,
                                              size_t *size);
DX_TELEPORT_API int dx_teleport_consumer_release(dx_teleport_consumer *c);
#endif

#ifdef __cplusplus
}
#endif
#endif /* DX_TELEPORT_H */
