/*  dx_teleport.h - v0.3.0 - records whose layout in memory is the wire format -
    MIT-0 or public domain, see end of file

    Describe a record once, in a macro. You get a writer that fills a buffer of yours, and a reader
    that checks received bytes once and then reads fields with plain loads, without decoding.

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

    CONTENTS (search >>)  config types api extension scalars generated check scan view writer schema
                          define frozen platform shared text open measure walk interner license

    SCHEMA      One macro lists the fields in wire order. Its parameters are operators, by position:
                name as many as you use and end with `...`, because later versions add operators
                there.

                #define T(F, S, A, L, E, V, N, R, O, ...)
                    F(type, name)          u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 bool
                    S(name)                string: UTF-8, any length
                    A(type, name, count)   fixed array of scalars, inside the record
                    L(type, name)          list (slice) of scalars, any length; L(u8, name) also
                                           holds text that need not be UTF-8: cheaper to check
                    E(type, name, count)   enumeration: u8, u16 or u32 with values 0 .. count-1
                    V(number)              fields from here on came with that version: 2, 3, ...
                    N(type, 1, name)       record of another type (a prefix), at its version 1
                    R(type, 1, name)       list of such records, any length
                    O(type, name)          optional scalar

                DX_TELEPORT_DEFINE(user, T), at file scope and without a semicolon, makes:

                user_view, user_writer     types, caller-allocated
                user_version, user_record_size, user_record_align, user_offset_NAME    constants
                user_layout(version)       u64 checksum over names, types and offsets
                user_size(flags, ...)      u64 bytes needed; one argument for each S (bytes), L
                                           and R (elements), in order; UINT64_MAX: 4 GiB or more.
                                           Only if nested types have no S, L and R of their own
                user_measure(w, flags)     the size of any record: in place of begin. Then the same
                                           calls count and store nothing; finish reports the size

                user_begin(w, bytes, capacity, flags)  start: all fields are zero or empty
                user_set_NAME(w, value)    F, E: store; A: copy `count` elements from a pointer
                user_put_NAME(w, data, n)  S, L: append; at most once, in the schema's order
                user_clear_NAME(w)         O: remove the value
                user_begin_NAME(w, &x)     N: write the nested record with x, a writer of its type,
                user_end_NAME(w, &x)       until end; w cannot be used meanwhile
                user_add_NAME(w, n)        R: append n records of zeros, in the schema's order
                user_begin_NAME(w, i, &x)  R: write the i-th; those with references in order
                user_end_NAME(w, &x)
                user_finish(w, &size)      complete; once
                user_edit(w, bytes, size)  open a record, for user_set_NAME in place
                user_edit_bare(w, bytes, size, version)

                user_open(v, bytes, size)  check a record; after that, accessors are plain loads
                user_open_bare(v, bytes, size, version)   without header; 0 = user_version
                user_fault(v)              after an error: {layout, field, offset, version}
                user_get_NAME(v)           F, E, O: the value; S: {data, size}, not terminated;
                                           N: a view of it
                user_has_NAME(v)           O: is there one? (if not, get is 0)
                user_count_NAME(v)         A, L, R: elements
                user_at_NAME(v, i)         A, L: the i-th, zero if there is none; R: a view of it,
                                           of a record of zeros if there is none
                user_data_NAME(v)          A, L: pointer to the elements in place; NULL if there
                                           are none or this host cannot read them there
                                           (misaligned, or big-endian and larger than a byte)
                user_copy_NAME(v, first, out, count_max)   A, L: copy out; returns how many
                user_any(v)                the same as a view of any type: dx_teleport_ext_begin()
                user_type()                the schema as a table, for tools that know no type

                All but the getters return a dx_teleport_error.

    EVOLUTION   Append fields behind a V() mark, never touch what was released, and keep the list of
                each released version. Then the compiler checks every later edit:

                #define USER_1(F, S, ...)      F(u64, id) S(name) F(u8, age)
                #define USER(F, S, A, L, E, V, ...) F(u64, id) S(name) F(u8, age) V(2) F(u32, n)
                DX_TELEPORT_DEFINE(user, USER)
                DX_TELEPORT_FROZEN(user, USER, 1, USER_1)    renaming, retyping, moving, removing
                                                             or inserting does not compile

                Freeze nested types first, each with its own list: editing one of them, or replacing
                it with another, does not compile either.

                A newer reader takes older data: fields that it lacks read as zero or empty. An
                older reader takes newer data and sees the fields it knows. Both compare checksums
                first. A nested type keeps its version; to extend it, append a field of another
                type.

    GUARANTEES  Never allocates; no globals; no recursion; no pointer inside the data. The reader
                checks every byte that it may touch later, once, in O(references + text + bools), at
                any base alignment. The same bytes on every platform; padding is zero.
    SHARED      If another process can write to the bytes (a queue between processes, a mapped
                file), copy them first, then open the copy. In place, only these are safe:
                - open, peek, edit, a walk (>>extension) and writing. They load each offset and
                  count once and touch nothing outside the given bytes, whatever is written there
                  meanwhile.
                - after open: get, has, at, count and copy of F, E, O, A and N, whose place is
                  fixed. They are memory-safe, but may return any value.
                Not S, L and R, nor data: these rely on what open found.
    LIMITS      A record is below 4 GiB; beyond that, size is UINT64_MAX and writers return ENOSPACE
                or ETOOBIG. Field names have 48 characters at most and must not be macros. A writer
                belongs to one thread, a view may be read by many. MSVC needs /Zc:preprocessor. The
                i387 quiets signalling NaNs in get and at, not in copy and data.
    CONFIG      DX_TELEPORT_STATIC, DX_TELEPORT_API
                DX_TELEPORT_ASSERT(c)    default: assert() in the implementation, and nothing in
                                         inline functions, which would need <assert.h> everywhere
                DX_TELEPORT_MEMCPY(to, from, size), DX_TELEPORT_MEMSET(to, byte, size)
                DX_TELEPORT_NO_NAMES     no field names in faults, for small targets
                DX_TELEPORT_INLINE       1: writers are inline; 0: they are not. Default: 1, but 0
                                         with -Os or without -O. A few small types take less code
                                         with 1
                DX_TELEPORT_LITTLE_ENDIAN  1: memory is wire; 0: portable; detected by default
    ERRORS      dx_teleport_error: 0 = ok, negative = reason; user_fault(v) says where and why open
                failed. A writer keeps its first error: later calls return it and change nothing.
    OWNERSHIP   The caller owns every buffer. Views borrow the bytes until their last use, writers
                until finish.
    FORMAT      docs/formats/teleport.md (normative). With header: for files and unknown peers. Bare
                (DX_TELEPORT_BARE): the record alone, where a protocol knows type, version, length.
*/
#ifndef DX_TELEPORT_H
#define DX_TELEPORT_H

#define DX_TELEPORT_VERSION 0x000300 /* 0xMMmmpp */

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

/* How functions are marked:
     INLINE        in the header, but the compiler may leave it out of line
     FORCE_INLINE  must fold away: constants of a schema, or a writer that should stay in registers
     HOT           FORCE_INLINE when optimising for speed, INLINE when for size
     NOINLINE      must not be inlined, because its body would spoil the code around it
     ALIAS         a type that may point into any buffer */
#if defined(__GNUC__) || defined(__clang__)
  #define DX_TELEPORT_P_INLINE static inline
  #define DX_TELEPORT_P_FORCE_INLINE static inline __attribute__((always_inline))
  #define DX_TELEPORT_P_ALIAS  __attribute__((may_alias))
  #define DX_TELEPORT_P_UNLIKELY(c) __builtin_expect((c) != 0, 0)
#else
  #define DX_TELEPORT_P_INLINE static inline
  #define DX_TELEPORT_P_FORCE_INLINE static inline
  #define DX_TELEPORT_P_ALIAS
  #define DX_TELEPORT_P_UNLIKELY(c) (c)
#endif

/* When all functions that touch a writer are inline, the compiler keeps it in registers. */
#ifndef DX_TELEPORT_INLINE
  #if defined(__OPTIMIZE__) && !defined(__OPTIMIZE_SIZE__)
    #define DX_TELEPORT_INLINE 1
  #else
    #define DX_TELEPORT_INLINE 0
  #endif
#endif
#if DX_TELEPORT_INLINE
  #define DX_TELEPORT_P_HOT DX_TELEPORT_P_FORCE_INLINE
#else
  #define DX_TELEPORT_P_HOT DX_TELEPORT_P_INLINE
#endif
/* With -Os the fast paths are left out: text is copied, then checked, and every record takes the
   careful check (>>check). */
#ifdef __OPTIMIZE_SIZE__
  #define DX_TELEPORT_P_SMALL 1
#else
  #define DX_TELEPORT_P_SMALL 0
#endif

#if defined(__GNUC__) && !defined(__clang__)
  #define DX_TELEPORT_P_NOINLINE DX_TELEPORT_API __attribute__((noinline, noclone))
#elif defined(__clang__)
  #define DX_TELEPORT_P_NOINLINE DX_TELEPORT_API __attribute__((noinline))
#else
  #define DX_TELEPORT_P_NOINLINE DX_TELEPORT_API
#endif

/* Generated functions stand in the user's file, where clang warns of those that nobody calls. */
#if defined(__clang__)
  #define DX_TELEPORT_P_WARNINGS_OFF \
      _Pragma("clang diagnostic push") _Pragma("clang diagnostic ignored \"-Wunused-function\"")
  #define DX_TELEPORT_P_WARNINGS_ON _Pragma("clang diagnostic pop")
#else
  #define DX_TELEPORT_P_WARNINGS_OFF
  #define DX_TELEPORT_P_WARNINGS_ON
#endif

/* Elements are read in place only on hosts whose byte order is that of the wire. Unknown hosts take
   the portable path, which is right everywhere. */
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

/* Inline functions assert only what the project defines: the declarations include no <assert.h>. */
#ifdef DX_TELEPORT_ASSERT
  #define DX_TELEPORT_P_ASSERT(c) DX_TELEPORT_ASSERT(c)
#else
  #define DX_TELEPORT_P_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */
#define DX_TELEPORT_ERRORS(X)                                                                      \
    X(0, OK)                                                                                       \
    X(-1, EINVAL)      /* an argument breaks its documented contract */                            \
    X(-2, ENOMEM)      /* the memory given for an interner is too small */                         \
    X(-3, ENOSPACE)    /* the output buffer is full */                                             \
    X(-4, ETOOBIG)     /* 4 GiB or more */                                                         \
    X(-5, ECORRUPT)    /* not this format (magic), or a header that contradicts itself; a buffer   \
                          being written that somebody else changed */                              \
    X(-6, EAGAIN)      /* not used here */                                                         \
    X(-7, ESYS)        /* not used here */                                                         \
    X(-8, ENOTSUP)     /* a header flag this build does not know */                                \
    X(-9, ENOTFOUND)   /* the field is newer than the data; it cannot be set in place */           \
    X(-10, ECANCELED)  /* not used here */                                                         \
    X(-11, ETRUNCATED) /* the input ends too early */                                              \
    X(-12, EVERSION)   /* a format version this build does not know */                             \
    X(-32, ELAYOUT)    /* data of another type or of an incompatible version */                    \
    X(-33, EREF)       /* a reference outside, overlapping, misaligned or out of order */          \
    X(-34, EPADDING)   /* a padding byte is not zero */                                            \
    X(-35, EUTF8)      /* a string is not UTF-8 */                                                 \
    X(-36, EBOOL)      /* a bool is neither 0 nor 1 */                                             \
    X(-37, EENUM)      /* an enumeration value is outside its range */                             \
    X(-38, ECHECKSUM)  /* the CRC-32C differs */                                                   \
    X(-39, EORDER)     /* writer: not in schema order, or the field was put before */              \
    X(-40, ESTATE)     /* writer: finished already */                                              \
    X(-41, ETRAILING)  /* bytes after the end of the record */

typedef enum dx_teleport_error {
#define DX_TELEPORT_P_ENUM(value, constant) DX_TELEPORT_##constant = value,
    DX_TELEPORT_ERRORS(DX_TELEPORT_P_ENUM)
#undef DX_TELEPORT_P_ENUM
} dx_teleport_error;

/* Flags of user_begin() and of the header. */
enum {
    DX_TELEPORT_CRC = 1, /* the record ends with a CRC-32C of all bytes before it */
    DX_TELEPORT_BARE = 2 /* no header (so never on the wire); not together with DX_TELEPORT_CRC */
};
#define DX_TELEPORT_HEADER_SIZE 24 /* and 8 more for each version after the first */
#define DX_TELEPORT_MAGIC 0x31545844 /* the bytes "DXT1" */

/* UTF-8 text inside a record: not terminated, size in bytes; data is never NULL. */
typedef struct dx_teleport_string {
    const char *data;
    size_t      size;
} dx_teleport_string;

/* Why opening failed, read with user_fault(). */
typedef struct dx_teleport_fault {
    uint64_t    layout;  /* checksum that the header of the data holds; 0 if it was not reached */
    const char *field;   /* field name, or "header", "layout", "record"; static */
    uint32_t    offset;  /* byte of the buffer where the bad thing starts */
    uint32_t    version; /* schema version of the data; 0 if it was not reached */
} dx_teleport_fault;

/* The fields of a header. Only the header is checked. */
typedef struct dx_teleport_info {
    uint64_t layout;      /* checksum of the writer's layout: user_layout(version) */
    uint32_t size;        /* bytes of the whole record with header and checksum */
    uint32_t record_size; /* bytes of its fixed part */
    uint16_t version;     /* 1 .. 65535 */
    uint16_t flags;       /* DX_TELEPORT_CRC or 0 */
} dx_teleport_info;

/* What is in every generated user_view: private, but see user_fault() and user_any(). */
typedef struct dx_teleport_view {
    const uint8_t    *bytes_;   /* the buffer, which offsets count from; NULL when open failed */
    const uint8_t    *record_;  /* the fixed part in it */
    uint32_t          size_;    /* where references end: without the CRC */
    uint32_t          version_; /* of the data, which may be older or newer than the reader */
    bool              exact_;   /* the data is not newer than the reader: every byte is known */
    bool              crc_;     /* a CRC follows at size_ */
    dx_teleport_fault fault;
} dx_teleport_view;

/* What is in every generated user_writer: private. */
typedef struct dx_teleport_writer {
    uint8_t *bytes_;       /* the buffer, which offsets count from */
    uint8_t *record_;      /* the fixed part that is being written */
    uint32_t capacity_;    /* of the buffer, without room for the CRC */
    uint64_t order_min_;   /* the lowest order (dx_teleport_p_order) a reference may still have */
    uint64_t child_order_; /* the order of the nested record that is open, or 0 */
    uint32_t end_;         /* bytes written; in an edit: size of the buffer */
    uint32_t version_;
    uint32_t flags_;
    bool     sealed_;      /* only the fixed part can be set: no reference can be put any more */
    int      error_;       /* the first error, or DX_TELEPORT_P_MEASURING; 0: it writes */
} dx_teleport_writer;

/* A schema at run time, for tools: user_type(). Static data that lives as long as the program. */
typedef struct dx_teleport_type dx_teleport_type;
typedef struct dx_teleport_field {
    const char *name;
    const dx_teleport_type *(*type)(void); /* of a record or list of records, else NULL */
    uint32_t offset;                       /* bytes in the record */
    uint32_t count;                        /* as in the checksum: elements of an array, else 1 */
    uint32_t range;                        /* enumeration: values; else 0 */
    uint16_t since;                        /* version with which it came */
    uint8_t  code;                         /* kind and scalar, see below */
} dx_teleport_field;
struct dx_teleport_type {
    const char              *name;
    const dx_teleport_field *fields;
    uint32_t                 count;        /* of fields */
    uint32_t                 record_size;  /* of the fixed part in the newest version */
    uint32_t                 record_align;
    uint16_t                 version;      /* the newest */
    uint64_t               (*layout)(unsigned version); /* the checksum, as user_layout() */
};

/* A field's code: its kind in the high four bits, in the low four the scalar that it is made of
   (docs/formats/teleport.md, section 1). */
enum {
    DX_TELEPORT_KIND_SCALAR,   /* F */
    DX_TELEPORT_KIND_ENUM,     /* E */
    DX_TELEPORT_KIND_STRING,   /* S */
    DX_TELEPORT_KIND_ARRAY,    /* A */
    DX_TELEPORT_KIND_LIST,     /* L */
    DX_TELEPORT_KIND_RECORD,   /* N */
    DX_TELEPORT_KIND_RECORDS,  /* R */
    DX_TELEPORT_KIND_OPTIONAL  /* O */
};
enum {
    DX_TELEPORT_TYPE_NONE,
    DX_TELEPORT_TYPE_U8,
    DX_TELEPORT_TYPE_U16,
    DX_TELEPORT_TYPE_U32,
    DX_TELEPORT_TYPE_U64,
    DX_TELEPORT_TYPE_I8,
    DX_TELEPORT_TYPE_I16,
    DX_TELEPORT_TYPE_I32,
    DX_TELEPORT_TYPE_I64,
    DX_TELEPORT_TYPE_F32,
    DX_TELEPORT_TYPE_F64,
    DX_TELEPORT_TYPE_BOOL
};

/* Interning: where many fields hold few different texts, store each text once, in a list of
   records, and let the fields hold its number. An interner assigns the numbers. */
typedef struct dx_teleport_interner_desc {
    uint32_t texts_max; /* different texts */
    uint64_t seed[2];   /* random and secret, if others choose the texts: otherwise they can choose
                           texts that all collide, and every search takes time in proportion to
                           their number. Zeros are for texts of your own. It changes no number. */
} dx_teleport_interner_desc;

/* Private fields but the first two. */
typedef struct dx_teleport_interner {
    const dx_teleport_string *texts; /* in the order of their numbers; as given, not copied */
    uint32_t  count;                 /* texts so far */
    uint32_t  texts_max_;
    uint32_t  mask_;                 /* slots minus one; their number is a power of two */
    uint32_t *slots_;                /* a text's number plus one, or 0: free */
    uint64_t  seed_[2];
} dx_teleport_interner;

/* >>api ---------------------------------------------------------------- */
/* "DX_TELEPORT_EUTF8" and so on; "unknown error" for other numbers. */
DX_TELEPORT_API const char *dx_teleport_error_name(int error);
/* Read a header, to learn which type the record has and where it ends; several records may follow
   each other, padded as you like. ETRUNCATED: fewer than 24 bytes. */
DX_TELEPORT_API int dx_teleport_peek(const void *bytes, size_t size, dx_teleport_info *info);
/* Bytes of the longest prefix that is well-formed UTF-8 (RFC 3629): `size` if all of it is. */
DX_TELEPORT_API size_t dx_teleport_check_utf8(const void *text, size_t size);

/* Bytes of memory that an interner needs; 0: more than this machine can address. */
DX_TELEPORT_API size_t dx_teleport_interner_memory_size(const dx_teleport_interner_desc *desc);
/* Memory aligned to a pointer, borrowed as long as *t is used. EINVAL, ENOMEM. */
DX_TELEPORT_API int dx_teleport_interner_init(dx_teleport_interner *t, void *memory,
                                              size_t memory_size,
                                              const dx_teleport_interner_desc *desc);
/* The number of a text, the one it was given before or the next. The text is borrowed. ENOSPACE:
   there are texts_max others. */
DX_TELEPORT_API int dx_teleport_intern(dx_teleport_interner *t, const char *text, size_t size,
                                       uint32_t *number);

/* >>extension: for layers that walk a record of any type by its schema -------
   user_type() says which fields there are and where; this finds what their references point at. It
   is as safe as a reader in shared memory has to be (SHARED, at the top): each reference is loaded
   once and checked, so the walk stays inside the bytes even if they change meanwhile, and since
   parts may only go forward, all of it takes no longer than the data is large. */

/* Where an opened record lies, and how far a walk has got. */
typedef struct dx_teleport_ext_walk {
    const uint8_t *bytes;   /* first byte of the form, which offsets count from */
    const uint8_t *record;  /* fixed part: field f starts at record + f->offset */
    uint32_t       version; /* of the data: fields with a higher `since` are not there */
    uint32_t       size;    /* where references end */
    uint32_t       end;     /* where the last part that was followed ends */
} dx_teleport_ext_walk;

/* Start a walk of a record that was opened: user_any(v). EINVAL: it was not. The view may be gone
   afterwards, the bytes must stay. */
DX_TELEPORT_API int dx_teleport_ext_begin(dx_teleport_ext_walk *walk, const dx_teleport_view *v);
/* Resolve the reference at `field`: *count elements of `unit` bytes at *data, which is not NULL
   even if *count is 0. Follow references in the order of the schema, those of nested
   records in their place. EREF: the bytes changed since open, or the order is another. */
DX_TELEPORT_API int dx_teleport_ext_follow(dx_teleport_ext_walk *walk, const uint8_t *field,
                                           uint32_t unit, const uint8_t **data, uint32_t *count);
/* Bytes of the scalar in a field's code: 1, 2, 4 or 8; 0: the field has no scalar. */
DX_TELEPORT_API uint32_t dx_teleport_ext_scalar_size(unsigned code);
/* That scalar at p, as a number without sign: two's complement or IEEE 754 bits. */
DX_TELEPORT_API uint64_t dx_teleport_ext_scalar(unsigned code, const uint8_t *p);

/* >>scalars: values in a record, little-endian, at any address ----------
   memcpy of a constant size is how a value is loaded from any address: compilers turn it into one
   load where the processor allows that, and into single bytes where it does not. */
/* Pin a value that was loaded from memory which another process may write: use it, do not load it
   again. Without this a compiler may load the bytes a second time, and the value used could differ
   from the value checked. */
#if (defined(__GNUC__) || defined(__clang__)) && UINTPTR_MAX > UINT32_MAX
  #define DX_TELEPORT_P_PIN(type, value) __asm__ volatile("" : "+r"(value))
#else
  #define DX_TELEPORT_P_PIN(type, value) ((value) = *(volatile type *)&(value))
#endif

#if DX_TELEPORT_LITTLE_ENDIAN
  #define DX_TELEPORT_P_MOVE(to, from, size) DX_TELEPORT_MEMCPY(to, from, size)
#else
/* Number to wire or back, on a host that may have the other byte order. Asks at run time: the
   compiler folds it. */
DX_TELEPORT_P_INLINE void dx_teleport_p_move(void *to, const void *from, size_t size)
{
    const uint16_t probe = 1;
    const uint8_t *in = (const uint8_t *)from;
    uint8_t *out = (uint8_t *)to;
    uint8_t is_little;
    DX_TELEPORT_MEMCPY(&is_little, &probe, 1);
    for (size_t i = 0; i < size; i++) out[i] = in[is_little ? i : size - 1 - i];
}
  #define DX_TELEPORT_P_MOVE(to, from, size) dx_teleport_p_move(to, from, size)
#endif

/* For each scalar u8, u16 ...: dx_teleport_p_u8 is its C type, _element the same for elements read
   in place (such a pointer may look into any buffer), _size and _code (as in the layout checksum)
   are constants, _get loads and _set stores. The visitors of >>schema build on these names. */
#define DX_TELEPORT_P_SCALAR(name, type, size, code)                                               \
    typedef type dx_teleport_p_##name;                                                             \
    typedef type DX_TELEPORT_P_ALIAS dx_teleport_p_##name##_element;                               \
    typedef char dx_teleport_p_##name##_fits[sizeof(type) == (size) ? 1 : -1];                     \
    enum { dx_teleport_p_##name##_size = (size), dx_teleport_p_##name##_code = (code) };           \
    DX_TELEPORT_P_INLINE type dx_teleport_p_##name##_get(const uint8_t *p)                         \
    {                                                                                              \
        type value;                                                                                \
        DX_TELEPORT_P_MOVE(&value, p, sizeof value);                                               \
        return value;                                                                              \
    }                                                                                              \
    DX_TELEPORT_P_INLINE void dx_teleport_p_##name##_set(uint8_t *p, type value)                   \
    {                                                                                              \
        DX_TELEPORT_P_MOVE(p, &value, sizeof value);                                               \
    }

DX_TELEPORT_P_SCALAR(u8, uint8_t, 1, DX_TELEPORT_TYPE_U8)
DX_TELEPORT_P_SCALAR(u16, uint16_t, 2, DX_TELEPORT_TYPE_U16)
DX_TELEPORT_P_SCALAR(u32, uint32_t, 4, DX_TELEPORT_TYPE_U32)
DX_TELEPORT_P_SCALAR(u64, uint64_t, 8, DX_TELEPORT_TYPE_U64)
DX_TELEPORT_P_SCALAR(i8, int8_t, 1, DX_TELEPORT_TYPE_I8)
DX_TELEPORT_P_SCALAR(i16, int16_t, 2, DX_TELEPORT_TYPE_I16)
DX_TELEPORT_P_SCALAR(i32, int32_t, 4, DX_TELEPORT_TYPE_I32)
DX_TELEPORT_P_SCALAR(i64, int64_t, 8, DX_TELEPORT_TYPE_I64)
DX_TELEPORT_P_SCALAR(f32, float, 4, DX_TELEPORT_TYPE_F32)
#if !defined(__SIZEOF_DOUBLE__) || __SIZEOF_DOUBLE__ == 8 /* some 8-bit targets have no f64 */
DX_TELEPORT_P_SCALAR(f64, double, 8, DX_TELEPORT_TYPE_F64)
#endif

#define DX_TELEPORT_P_BOOL_IS                                                                      \
    "dx_teleport.h needs a bool of 1 byte, as in the <stdbool.h> of C99; here it is another type"
typedef bool dx_teleport_p_bool;
typedef bool DX_TELEPORT_P_ALIAS dx_teleport_p_bool_element;
#if defined(__cplusplus)
static_assert(sizeof(bool) == 1, DX_TELEPORT_P_BOOL_IS);
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
_Static_assert(sizeof(bool) == 1, DX_TELEPORT_P_BOOL_IS);
#else /* the name is the message */
typedef char dx_teleport_needs_a_bool_of_1_byte_as_in_C99_stdbool_h[sizeof(bool) == 1 ? 1 : -1];
#endif
enum { dx_teleport_p_bool_size = 1, dx_teleport_p_bool_code = DX_TELEPORT_TYPE_BOOL };
DX_TELEPORT_P_INLINE bool dx_teleport_p_bool_get(const uint8_t *p)
{
    return *p != 0;
}
DX_TELEPORT_P_INLINE void dx_teleport_p_bool_set(uint8_t *p, bool value)
{
    *p = value ? 1 : 0;
}

/* Loads for a reader whose bytes may change at any moment: each byte is loaded once. */
DX_TELEPORT_P_INLINE uint32_t dx_teleport_p_load_once(const uint8_t *p)
{
    uint32_t value = dx_teleport_p_u32_get(p);
    DX_TELEPORT_P_PIN(uint32_t, value);
    return value;
}

/* A reference, as a string, list or list of records has in the record:

        record   ... | offset u32 | elements u32 | ...        8 bytes, aligned to 4
                          |
        form     0 -------+----> the part: `elements` of them

   Offsets count from the first byte of the form (the header, or the record when bare). Parts
   follow the record in the order of their references, each at the next offset that its alignment
   allows, so no two overlap. An empty part is {0, 0}. */
typedef struct dx_teleport_p_ref {
    uint32_t offset;
    uint32_t elements; /* not `count`, which is a parameter of the visitors in >>schema */
} dx_teleport_p_ref;

DX_TELEPORT_P_FORCE_INLINE dx_teleport_p_ref dx_teleport_p_ref_once(const uint8_t *p)
{
    dx_teleport_p_ref ref;
    uint64_t both = dx_teleport_p_u64_get(p);
    DX_TELEPORT_P_PIN(uint64_t, both);
    ref.offset = (uint32_t)(both & UINT32_MAX);
    ref.elements = (uint32_t)(both >> 32);
    return ref;
}

/* >>generated: what the functions made by DX_TELEPORT_DEFINE() are made of ------
   The X-macros of >>schema turn each field into one or two calls of the functions from here to
   >>schema. They are inline, so that offsets, sizes and tests that cannot fail fold away:
   user_get_id() becomes one load, and user_begin() to user_finish() a row of stores. */
#define DX_TELEPORT_P_FLAG_EDIT 4u /* in a writer's flags: begun by user_edit() */
#define DX_TELEPORT_P_MEASURING 1  /* a writer's error_: begun by user_measure(), stores nothing */
#define DX_TELEPORT_P_NON_ASCII UINT64_C(0x8080808080808080) /* bits that ASCII leaves zero */
#ifdef DX_TELEPORT_NO_NAMES
  #define DX_TELEPORT_P_NAME(name) ""
#else
  #define DX_TELEPORT_P_NAME(name) name
#endif
/* Return the error of a call, if it has one. */
#define DX_TELEPORT_P_TRY(call)                                                                    \
    {                                                                                              \
        const int error = (call);                                                                  \
        if (error) return error;                                                                   \
    }
/* The same in a writer. One that only measures returns here as well, with success: so a writer that
   writes passes one test, not two. */
#define DX_TELEPORT_P_TRY_WRITE(call)                                                              \
    {                                                                                              \
        const int error = (call);                                                                  \
        if (error) return error < 0 ? error : DX_TELEPORT_OK;                                      \
    }

/* What is too long to repeat inline: defined in the implementation, private although exported. */
DX_TELEPORT_API int dx_teleport_p_fail(dx_teleport_view *v, int error, size_t offset,
                                       const char *field);
DX_TELEPORT_API int dx_teleport_p_open(dx_teleport_view *v, const void *bytes, size_t size,
                                       dx_teleport_info *info);
DX_TELEPORT_API int dx_teleport_p_open_bare(dx_teleport_view *v, const void *bytes, size_t size,
                                            uint32_t record_size, unsigned version);
DX_TELEPORT_API int dx_teleport_p_check_text(dx_teleport_view *v, dx_teleport_p_ref ref,
                                             const char *field);
DX_TELEPORT_API int dx_teleport_p_check_bools(dx_teleport_view *v, const uint8_t *p, size_t count,
                                              const char *field);
DX_TELEPORT_API void dx_teleport_p_edit(dx_teleport_writer *w, void *bytes,
                                        const dx_teleport_view *v, int error, unsigned flags);
DX_TELEPORT_API int dx_teleport_p_measure(dx_teleport_writer *w, unsigned flags,
                                          uint32_t record_size, unsigned version);
DX_TELEPORT_API int dx_teleport_p_measure_part(dx_teleport_writer *w, uint32_t slot, size_t count,
                                               uint32_t unit, uint32_t align);
DX_TELEPORT_API int dx_teleport_p_measure_end(dx_teleport_writer *w, size_t *size);
DX_TELEPORT_API void dx_teleport_p_put_crc(uint8_t *bytes, uint32_t size);
DX_TELEPORT_API bool dx_teleport_p_copy_text(uint8_t *to, const char *from, size_t size);
DX_TELEPORT_API void dx_teleport_p_zero(uint8_t *to, size_t size);
DX_TELEPORT_API bool dx_teleport_p_ascii(const uint8_t *p, size_t size);

/* Copy text and check on the way whether it is UTF-8. Most text is short and ASCII, so 8 to 16
   bytes take two words, which may overlap, and one test:

        |--- first ---|
                |---- last ---|        size 12
*/
DX_TELEPORT_P_HOT bool dx_teleport_p_copy_short(uint8_t *to, const char *from, size_t size)
{
    uint64_t first;
    uint64_t last;
    if (DX_TELEPORT_P_SMALL) {
        DX_TELEPORT_MEMCPY(to, from, size);
        return dx_teleport_check_utf8(from, size) == size;
    }
    if (size - 8 > 8) return dx_teleport_p_copy_text(to, from, size); /* not 8 .. 16 */
    DX_TELEPORT_MEMCPY(&first, from, 8);
    DX_TELEPORT_MEMCPY(&last, from + size - 8, 8);
    DX_TELEPORT_MEMCPY(to, &first, 8);
    DX_TELEPORT_MEMCPY(to + size - 8, &last, 8);
    if (!((first | last) & DX_TELEPORT_P_NON_ASCII)) return true;
    return dx_teleport_check_utf8(from, size) == size;
}

/* The layout checksum: FNV-1a, 64 bits, over each field's name, a zero, code, count and offset. All
   of it is known at compile time, so that the machine code only has the result. */
#define DX_TELEPORT_P_FNV_START UINT64_C(0xcbf29ce484222325)
#define DX_TELEPORT_P_FNV_PRIME UINT64_C(0x100000001b3)

DX_TELEPORT_P_FORCE_INLINE uint64_t dx_teleport_p_fnv(uint64_t hash, uint32_t byte)
{
    return (hash ^ byte) * DX_TELEPORT_P_FNV_PRIME;
}

DX_TELEPORT_P_FORCE_INLINE uint64_t dx_teleport_p_fnv32(uint64_t hash, uint32_t v)
{
    hash = dx_teleport_p_fnv(hash, v & 255);
    hash = dx_teleport_p_fnv(hash, v >> 8 & 255);
    hash = dx_teleport_p_fnv(hash, v >> 16 & 255);
    return dx_teleport_p_fnv(hash, v >> 24);
}

/* Characters at .. at + 7 of a name, as far as it has them. Written out, because compilers fold
   straight code over a literal, but not every loop. */
DX_TELEPORT_P_FORCE_INLINE uint64_t dx_teleport_p_fnv_name(uint64_t hash, const char *name,
                                                           size_t size, size_t at)
{
    if (at + 0 < size) hash = dx_teleport_p_fnv(hash, (uint8_t)name[at + 0]);
    if (at + 1 < size) hash = dx_teleport_p_fnv(hash, (uint8_t)name[at + 1]);
    if (at + 2 < size) hash = dx_teleport_p_fnv(hash, (uint8_t)name[at + 2]);
    if (at + 3 < size) hash = dx_teleport_p_fnv(hash, (uint8_t)name[at + 3]);
    if (at + 4 < size) hash = dx_teleport_p_fnv(hash, (uint8_t)name[at + 4]);
    if (at + 5 < size) hash = dx_teleport_p_fnv(hash, (uint8_t)name[at + 5]);
    if (at + 6 < size) hash = dx_teleport_p_fnv(hash, (uint8_t)name[at + 6]);
    if (at + 7 < size) hash = dx_teleport_p_fnv(hash, (uint8_t)name[at + 7]);
    return hash;
}

/* Continue the checksum over one field; names have up to 48 characters. */
DX_TELEPORT_P_FORCE_INLINE uint64_t dx_teleport_p_fnv_field(uint64_t hash, const char *name,
                                                            size_t size, uint32_t code,
                                                            uint32_t count, uint32_t offset)
{
    hash = dx_teleport_p_fnv_name(hash, name, size, 0);
    hash = dx_teleport_p_fnv_name(hash, name, size, 8);
    hash = dx_teleport_p_fnv_name(hash, name, size, 16);
    hash = dx_teleport_p_fnv_name(hash, name, size, 24);
    hash = dx_teleport_p_fnv_name(hash, name, size, 32);
    hash = dx_teleport_p_fnv_name(hash, name, size, 40);
    hash = dx_teleport_p_fnv(hash, 0);
    hash = dx_teleport_p_fnv(hash, code);
    hash = dx_teleport_p_fnv32(hash, count);
    return dx_teleport_p_fnv32(hash, offset);
}

/* The header of a record of schema version v (docs/formats/teleport.md, section 2):

        0        4        8                 16           20     22      24
        | "DXT1" |  size  | layout of v     | record size| v    | flags | layouts 1 .. v-1 | record
*/
enum {
    DX_TELEPORT_P_AT_SIZE = 4,
    DX_TELEPORT_P_AT_LAYOUT = 8,
    DX_TELEPORT_P_AT_RECORD_SIZE = 16,
    DX_TELEPORT_P_AT_VERSION = 20,
    DX_TELEPORT_P_AT_FLAGS = 22,
    DX_TELEPORT_P_CRC_SIZE = 4
};

DX_TELEPORT_P_INLINE size_t dx_teleport_p_header_size(unsigned version)
{
    DX_TELEPORT_P_ASSERT(version > 0);
    return DX_TELEPORT_HEADER_SIZE + 8 * (size_t)(version - 1);
}

/* >>check: the careful check of received bytes ------------------------------
   open() looks at every byte that an accessor may touch later, field by field in the order of the
   schema, and stops at the first fault, which it reports with its place. Two cursors move forward
   only: through the record, and (*end) through the parts after it. So the time is linear in the
   size of the data, and no part can overlap another or refer back to itself.

        header | record: fields and padding | part | 0 | part | part ...
                 ^ field by field             ^ *end, moved by each reference

   When the data is not newer than the reader (v->exact_), every byte is known, and padding must be
   zero and parts must follow each other at once. Of newer data the reader knows some fields only;
   bytes between their parts are not read.

   These functions return 0, or make the view unusable and return the error of the fault. */
/* Padding at from .. to - 1 of the record. */
DX_TELEPORT_P_INLINE int dx_teleport_p_check_padding(dx_teleport_view *v, uint32_t from,
                                                     uint32_t to, const char *field)
{
    DX_TELEPORT_P_ASSERT(from <= to);
    for (uint32_t i = from; i < to; i++)
        if (v->record_[i])
            return dx_teleport_p_fail(v, DX_TELEPORT_EPADDING,
                                      (size_t)(v->record_ - v->bytes_) + i, field);
    return DX_TELEPORT_OK;
}

/* The header must hold `layout` as the checksum of schema version `version`. */
DX_TELEPORT_P_INLINE int dx_teleport_p_check_layout(dx_teleport_view *v,
                                                    const dx_teleport_info *info, unsigned version,
                                                    uint64_t layout)
{
    size_t at = DX_TELEPORT_P_AT_LAYOUT;
    uint64_t found = info->layout;
    DX_TELEPORT_P_ASSERT(version > 0 && version <= info->version);
    if (version != info->version) { /* an earlier version's */
        at = dx_teleport_p_header_size(version);
        found = dx_teleport_p_u64_get(v->bytes_ + at);
    }
    if (found == layout) return DX_TELEPORT_OK;
    return dx_teleport_p_fail(v, DX_TELEPORT_ELAYOUT, at, "layout");
}

/* The reference at `slot`, to elements of `unit` bytes: its part must begin after all earlier
   parts (*end) and be aligned; in data that is known completely it must be at the very next offset.
   *ref receives the checked reference: use that, as the bytes may have changed since. */
DX_TELEPORT_P_INLINE int dx_teleport_p_check_ref(dx_teleport_view *v, uint32_t *end, uint32_t slot,
                                                 uint32_t unit, uint32_t align, const char *field,
                                                 dx_teleport_p_ref *ref)
{
    const uint8_t *p = v->record_ + slot;
    const dx_teleport_p_ref found = dx_teleport_p_ref_once(p);
    const uint64_t next = ((uint64_t)*end + (align - 1)) & ~(uint64_t)(align - 1);
    const uint64_t size = (uint64_t)found.elements * unit;
    bool good;
    DX_TELEPORT_P_ASSERT(*end <= v->size_);
    *ref = found;
    if (found.elements == 0) good = found.offset == 0;
    else if (v->exact_) good = found.offset == next;
    else good = found.offset >= next && (found.offset & (align - 1)) == 0;
    if (!good || found.offset > v->size_ || size > v->size_ - found.offset)
        return dx_teleport_p_fail(v, DX_TELEPORT_EREF, (size_t)(p - v->bytes_), field);
    if (found.elements == 0) return DX_TELEPORT_OK;
    if (v->exact_)
        for (uint32_t i = *end; i < found.offset; i++)
            if (v->bytes_[i]) return dx_teleport_p_fail(v, DX_TELEPORT_EPADDING, i, field);
    *end = (uint32_t)(found.offset + size);
    return DX_TELEPORT_OK;
}

/* An optional scalar {set: 0 or 1, zeros, value}: all zeros if it is not set. */
DX_TELEPORT_P_INLINE int dx_teleport_p_check_option(dx_teleport_view *v, uint32_t slot,
                                                    uint32_t size, const char *field)
{
    uint8_t present = v->record_[slot];
    DX_TELEPORT_P_ASSERT(size > 0 && size <= 8 && slot % size == 0);
    DX_TELEPORT_P_PIN(uint8_t, present);
    if (present > 1)
        return dx_teleport_p_fail(v, DX_TELEPORT_EBOOL, (size_t)(v->record_ - v->bytes_) + slot,
                                  field);
    return dx_teleport_p_check_padding(v, slot + 1, slot + (present ? size : 2 * size), field);
}

/* The last check: data that is known completely ends where its last part ends. */
DX_TELEPORT_P_INLINE int dx_teleport_p_check_end(dx_teleport_view *v, uint32_t end)
{
    DX_TELEPORT_P_ASSERT(end <= v->size_);
    if (!v->exact_ || end == v->size_) return DX_TELEPORT_OK;
    return dx_teleport_p_fail(v, DX_TELEPORT_ETRAILING, end, "record");
}

/* A fault in a nested record, found through the view e, is a fault of the whole record v. */
DX_TELEPORT_P_INLINE int dx_teleport_p_check_nested(dx_teleport_view *v, const dx_teleport_view *e,
                                                    int error)
{
    DX_TELEPORT_P_ASSERT(error <= 0);
    if (error) dx_teleport_p_fail(v, error, e->fault.offset, e->fault.field);
    return error;
}

/* >>scan: the fast check -----------------------------------------------------
   Almost all records are good, so open() first asks only whether this one is. The scan accepts only
   what the careful check accepts too; when it says no, the careful check finds the fault, or
   accepts the record (text that is UTF-8, but not ASCII). It applies to data that is known
   completely, and is fast because it does not branch:

   - What must be zero (padding, upper bits of bools, differences between an offset and the place
     where it must be) is collected in `bad` with OR, and looked at once at the end.
   - Strings follow each other without a gap, so all text between two lists is one run of bytes, and
     the whole run is checked for ASCII at once:

        part of a list | "Ann" "x" "Oslo, Norway" | part of a list
                       ^ text                     ^ end                                        */
typedef struct dx_teleport_p_scan {
    const uint8_t *bytes; /* of the form */
    uint64_t       size;  /* where references end */
    uint64_t       end;   /* of the last part seen; may be beyond `size` while that is text */
    uint64_t       text;  /* where the run of text before `end` starts */
    uint64_t       bad;   /* bits that should be zero */
} dx_teleport_p_scan;

/* Is the run of text within the data, and ASCII? */
DX_TELEPORT_P_HOT bool dx_teleport_p_scan_run(const dx_teleport_p_scan *s)
{
    DX_TELEPORT_P_ASSERT(s->text <= s->end);
    if (s->text == s->end) return true;
    if (s->end > s->size) return false;
    return dx_teleport_p_ascii(s->bytes + s->text, (size_t)(s->end - s->text));
}

/* Padding, of 0 to 7 bytes. */
DX_TELEPORT_P_HOT void dx_teleport_p_scan_padding(dx_teleport_p_scan *s, const uint8_t *p,
                                                  size_t size)
{
    DX_TELEPORT_P_ASSERT(size < 8);
    if (size & 4) s->bad |= dx_teleport_p_u32_get(p);
    if (size & 2) s->bad |= dx_teleport_p_u16_get(p + (size & 4));
    if (size & 1) s->bad |= p[size & 6];
}

/* Bools: bits 1 to 7 must be zero. */
DX_TELEPORT_P_HOT void dx_teleport_p_scan_bools(dx_teleport_p_scan *s, const uint8_t *p,
                                                size_t count)
{
    for (size_t i = 0; i < count; i++) s->bad |= p[i] & 0xfeu;
}

/* An optional scalar of `size` bytes: see dx_teleport_p_check_option(). */
DX_TELEPORT_P_HOT void dx_teleport_p_scan_option(dx_teleport_p_scan *s, const uint8_t *p,
                                                 size_t size)
{
    uint8_t present = p[0];
    DX_TELEPORT_P_ASSERT(size > 0 && size <= 8);
    DX_TELEPORT_P_PIN(uint8_t, present);
    s->bad |= present & 0xfeu;
    for (size_t i = 1; i < size; i++) s->bad |= p[i];
    for (size_t i = size; i < 2 * size; i++) s->bad |= present ? 0 : p[i];
}

/* A string only extends the run: 2^32 strings of 2^32 bytes do not wrap 64 bits. */
DX_TELEPORT_P_HOT void dx_teleport_p_scan_text(dx_teleport_p_scan *s, const uint8_t *p)
{
    const dx_teleport_p_ref ref = dx_teleport_p_ref_once(p);
    s->bad |= ref.offset ^ (ref.elements ? s->end : 0);
    s->end += ref.elements;
}

/* A list of bytes of any value takes a place like text, but is no text: it ends the run. */
DX_TELEPORT_P_HOT bool dx_teleport_p_scan_bytes(dx_teleport_p_scan *s, const uint8_t *p)
{
    if (!dx_teleport_p_scan_run(s)) return false;
    dx_teleport_p_scan_text(s, p);
    s->text = s->end;
    return true;
}

/* A list whose elements are aligned, or looked at later: this one is checked at once, because the
   caller reads its elements at *ref next. */
DX_TELEPORT_P_HOT bool dx_teleport_p_scan_list(dx_teleport_p_scan *s, const uint8_t *p,
                                               uint32_t unit, uint32_t align,
                                               dx_teleport_p_ref *ref)
{
    const dx_teleport_p_ref found = dx_teleport_p_ref_once(p);
    const uint64_t next = (s->end + (align - 1)) & ~(uint64_t)(align - 1);
    const uint64_t size = (uint64_t)found.elements * unit;
    DX_TELEPORT_P_ASSERT(unit > 0 && unit % align == 0);
    *ref = found;
    if (found.elements == 0) return found.offset == 0;
    if (!dx_teleport_p_scan_run(s) || found.offset != next) return false;
    if (next > s->size || size > s->size - next) return false;
    dx_teleport_p_scan_padding(s, s->bytes + s->end, (size_t)(next - s->end));
    s->end = next + size;
    s->text = s->end;
    return true;
}

/* The verdict. Only now are the bits in `bad` looked at. */
DX_TELEPORT_P_HOT bool dx_teleport_p_scan_end(const dx_teleport_p_scan *s)
{
    return !s->bad && s->end == s->size && dx_teleport_p_scan_run(s);
}

/* >>view -------------------------------------------------------------------
   After open, an accessor is a load at record_ + offset. A field that is newer than the data is not
   there: the accessors test v->version_, unless the field came with version 1, where the test folds
   away. Views of nested records share the buffer and have a record_ of their own. */
/* A view of a record after a header of that size; nothing is checked yet. */
DX_TELEPORT_P_HOT void dx_teleport_p_view(dx_teleport_view *v, const uint8_t *p, size_t header_size,
                                          size_t size, uint64_t layout, unsigned version)
{
    DX_TELEPORT_P_ASSERT(version > 0);
    v->bytes_ = p;
    v->record_ = header_size ? p + header_size : p; /* p may be NULL when bare */
    v->size_ = (uint32_t)size;
    v->version_ = version;
    v->exact_ = false;
    v->crc_ = false;
    v->fault.layout = layout;
    v->fault.field = NULL;
    v->fault.offset = 0;
    v->fault.version = version;
}

/* Is this exactly the header of such a record, without CRC? Then it need not be read field by field
   (dx_teleport_p_open). False says nothing: the header may be good, but another one. */
DX_TELEPORT_P_HOT bool dx_teleport_p_is_header(dx_teleport_view *v, const void *bytes, size_t size,
                                               uint64_t layout, uint32_t record_size,
                                               unsigned version)
{
    const uint8_t *p = (const uint8_t *)bytes;
    const size_t header_size = dx_teleport_p_header_size(version);
    const uint64_t kind = (uint64_t)version << 32 | record_size; /* bytes 16 to 23, flags 0 */
    if (!p || size < header_size + record_size) return false;
    if (dx_teleport_p_u32_get(p) != DX_TELEPORT_MAGIC ||
        dx_teleport_p_u32_get(p + DX_TELEPORT_P_AT_SIZE) != size ||
        dx_teleport_p_u64_get(p + DX_TELEPORT_P_AT_LAYOUT) != layout ||
        dx_teleport_p_u64_get(p + DX_TELEPORT_P_AT_RECORD_SIZE) != kind)
        return false;
    dx_teleport_p_view(v, p, header_size, size, layout, version);
    return true;
}

/* A view of a record inside another; of `zeros` if record is NULL. */
DX_TELEPORT_P_INLINE dx_teleport_view dx_teleport_p_child(const dx_teleport_view *v,
                                                          const uint8_t *record,
                                                          const uint8_t *zeros, unsigned version)
{
    dx_teleport_view e;
    DX_TELEPORT_P_ASSERT(zeros && version > 0);
    e.bytes_ = record ? v->bytes_ : zeros;
    e.record_ = record ? record : zeros;
    e.size_ = v->size_;
    e.version_ = version;
    e.exact_ = v->exact_;
    e.crc_ = v->crc_;
    e.fault = v->fault;
    return e;
}

/* The text that the reference at `slot` points at; empty, but not NULL, if the field is absent. */
DX_TELEPORT_P_INLINE dx_teleport_string dx_teleport_p_string(const dx_teleport_view *v,
                                                             uint32_t slot, bool present)
{
    dx_teleport_string s;
    const uint8_t *p = v->record_ + slot;
    s.data = (const char *)(v->bytes_ + (present ? dx_teleport_p_u32_get(p) : 0));
    s.size = present ? dx_teleport_p_u32_get(p + 4) : 0;
    return s;
}

/* A function, because `value < 256` of a uint8_t in a macro draws warnings. */
DX_TELEPORT_P_INLINE bool dx_teleport_p_in_range(uint32_t value, uint32_t range)
{
    return value < range;
}

/* Elements of `unit` bytes at p as an array of this host's type, or NULL: see user_data_NAME(). */
DX_TELEPORT_P_INLINE const void *dx_teleport_p_in_place(const uint8_t *p, size_t unit)
{
    DX_TELEPORT_P_ASSERT(unit > 0 && (unit & (unit - 1)) == 0);
    if (unit == 1) return p;
    if (!DX_TELEPORT_LITTLE_ENDIAN || (uintptr_t)p % unit) return NULL;
    return p;
}

/* How many of `count` elements from `first` on there are, of `all`. */
DX_TELEPORT_P_INLINE size_t dx_teleport_p_clip(size_t all, size_t first, size_t count)
{
    if (first >= all) return 0;
    return count < all - first ? count : all - first;
}

/* >>writer -----------------------------------------------------------------
   A writer fills the record with zeros, then stores fields in any order and appends parts in the
   order of the schema. A reference and its part are written together, so nothing is patched later,
   except the header, which finish writes.

        header | record, zeros at first | part | part |
        ^ bytes_  ^ record_                            ^ end_          capacity_ ^   | room for CRC

   Parts must come in order, that of nested records too: first those of the record proper, in the
   order of their fields, and at the place of a nested field those of the nested records. An order
   is a number of 64 bits that grows in exactly this way:

        slot of the field's reference << 32 | 0: the field's own part;  1 + i: parts of record i

   order_min_ is the lowest that may still come. While a nested record is written, its own writer
   counts orders of its own; end gives the cursor back to the outer one. A record whose turn is over
   can still be begun, but is `sealed`: its fixed part can be set, no part can be appended.

   A writer's first error stays in error_, and turns all later calls into no-ops. Measuring is done
   the same way: error_ is DX_TELEPORT_P_MEASURING then, and calls leave the fast path to where only
   end_ is moved. So the fast path has one test for both. */
/* `size` and an aligned part; UINT64_MAX is sticky and means 4 GiB or more. */
DX_TELEPORT_P_INLINE uint64_t dx_teleport_p_size_add(uint64_t size, size_t count, uint32_t unit,
                                                     uint32_t align)
{
    DX_TELEPORT_P_ASSERT(unit > 0 && (align & (align - 1)) == 0);
    if (count == 0) return size;
    if (size > UINT32_MAX || count > UINT32_MAX / unit) return UINT64_MAX;
    size = ((size + (align - 1)) & ~(uint64_t)(align - 1)) + (uint64_t)count * unit;
    return size > UINT32_MAX ? UINT64_MAX : size;
}

/* A size as far as offsets reach. The parameter is wider than size_t may be (16 bits), so that the
   comparison is never "always false". */
DX_TELEPORT_P_INLINE uint32_t dx_teleport_p_clamp(uint64_t size)
{
    return size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
}

/* Start a writer: room for the header, a record of zeros. Above 96 bytes a call of memset is
   cheaper than the stores that compilers make of it inline. */
DX_TELEPORT_P_HOT int dx_teleport_p_begin(dx_teleport_writer *w, void *bytes, size_t capacity,
                                          unsigned flags, uint32_t record_size, unsigned version)
{
    enum { INLINE_MEMSET_MAX = 96 };
    const bool bare = (flags & DX_TELEPORT_BARE) != 0;
    const size_t header_size = bare ? 0 : dx_teleport_p_header_size(version);
    const size_t crc_size = flags & DX_TELEPORT_CRC ? DX_TELEPORT_P_CRC_SIZE : 0;
    DX_TELEPORT_P_ASSERT(record_size > 0 && version > 0);
    w->bytes_ = (uint8_t *)bytes;
    w->record_ = NULL;
    w->capacity_ = 0;
    w->order_min_ = 0;
    w->child_order_ = 0;
    w->end_ = 0;
    w->version_ = version;
    w->flags_ = flags;
    w->sealed_ = false;
    w->error_ = DX_TELEPORT_EINVAL;
    if (!bytes || flags > DX_TELEPORT_BARE) return w->error_; /* CRC and BARE exclude each other */
    w->error_ = DX_TELEPORT_ENOSPACE;
    if (capacity < header_size + record_size + crc_size) return w->error_;
    w->capacity_ = dx_teleport_p_clamp(capacity) - (uint32_t)crc_size;
    w->end_ = (uint32_t)header_size + record_size;
    w->record_ = w->bytes_ + header_size;
    if (record_size <= INLINE_MEMSET_MAX) DX_TELEPORT_MEMSET(w->record_, 0, record_size);
    else dx_teleport_p_zero(w->record_, record_size);
    w->error_ = DX_TELEPORT_OK;
    return w->error_;
}

/* See the concept above: `children` is 0 for the field's own part, 1 + i for those of record i. */
DX_TELEPORT_P_FORCE_INLINE uint64_t dx_teleport_p_order(uint32_t slot, size_t children)
{
    return ((uint64_t)slot << 32) + children;
}

/* Append a part of `count` elements: pad with zeros, store the reference, and tell the caller in
   *to where the elements go. *to stays NULL if there is nothing to copy, as for a writer that
   measures. */
DX_TELEPORT_P_HOT int dx_teleport_p_reserve(dx_teleport_writer *w, uint32_t slot,
                                            const void *data, size_t count, uint32_t unit,
                                            uint32_t align, uint8_t **to)
{
    uint32_t padding;
    uint32_t offset;
    *to = NULL;
    if (DX_TELEPORT_P_UNLIKELY(w->error_))
        return dx_teleport_p_measure_part(w, slot, count, unit, align);
    if (DX_TELEPORT_P_UNLIKELY(w->sealed_ || dx_teleport_p_order(slot, 0) < w->order_min_))
        return w->error_ = DX_TELEPORT_EORDER;
    w->order_min_ = dx_teleport_p_order(slot, 1);
    if (count == 0) return DX_TELEPORT_OK;
    if (DX_TELEPORT_P_UNLIKELY(!data)) return w->error_ = DX_TELEPORT_EINVAL;
    DX_TELEPORT_P_ASSERT(w->end_ <= w->capacity_);
    padding = (0u - w->end_) & (align - 1);
    if (DX_TELEPORT_P_UNLIKELY(padding > w->capacity_ - w->end_ ||
                               count > (w->capacity_ - w->end_ - padding) / unit))
        return w->error_ = DX_TELEPORT_ENOSPACE;
    offset = w->end_;
    for (; padding; padding--) w->bytes_[offset++] = 0;
    dx_teleport_p_u64_set(w->record_ + slot, (uint64_t)count << 32 | offset);
    *to = w->bytes_ + offset;
    w->end_ = offset + (uint32_t)(count * unit);
    return DX_TELEPORT_OK;
}

/* A string is checked while it is copied; invalid UTF-8 makes the record unusable. */
DX_TELEPORT_P_HOT int dx_teleport_p_put_string(dx_teleport_writer *w, uint32_t slot,
                                               const char *data, size_t size)
{
    uint8_t *to;
    DX_TELEPORT_P_TRY(dx_teleport_p_reserve(w, slot, data, size, 1, 1, &to))
    if (!to || dx_teleport_p_copy_short(to, data, size)) return DX_TELEPORT_OK;
    return w->error_ = DX_TELEPORT_EUTF8;
}

/* May this field be set? An edit cannot reach fields that the data does not have. */
DX_TELEPORT_P_INLINE int dx_teleport_p_settable(dx_teleport_writer *w, unsigned since)
{
    if (w->error_) return w->error_;
    return since > w->version_ ? DX_TELEPORT_ENOTFOUND : DX_TELEPORT_OK;
}

/* A list of `count` records of zeros. The list is not read from w: it only must not be NULL. */
DX_TELEPORT_P_HOT int dx_teleport_p_add(dx_teleport_writer *w, uint32_t slot, size_t count,
                                        uint32_t unit, uint32_t align)
{
    uint8_t *to;
    DX_TELEPORT_P_ASSERT(unit % align == 0); /* so that all records are aligned */
    DX_TELEPORT_P_TRY(dx_teleport_p_reserve(w, slot, w, count, unit, align, &to))
    if (to) dx_teleport_p_zero(to, count * unit);
    return DX_TELEPORT_OK;
}

/* Hand over to the writer of a nested record, which began as a copy of the outer one and has its
   record_ already. The outer one refuses all calls until end. */
DX_TELEPORT_P_HOT int dx_teleport_p_enter(dx_teleport_writer *w, dx_teleport_writer *child,
                                          uint32_t slot, size_t index, unsigned version)
{
    child->version_ = version;
    child->order_min_ = 0;
    w->child_order_ = dx_teleport_p_order(slot, index + 1);
    if (w->child_order_ < w->order_min_) child->sealed_ = true;
    w->error_ = DX_TELEPORT_ESTATE;
    return DX_TELEPORT_OK;
}

/* Begin the nested record at `slot` itself. */
DX_TELEPORT_P_HOT int dx_teleport_p_enter_field(dx_teleport_writer *w, dx_teleport_writer *child,
                                                uint32_t slot, unsigned version, unsigned since)
{
    *child = *w;
    if (DX_TELEPORT_P_UNLIKELY(w->error_)) {
        if (w->error_ < 0) return w->error_;
        return dx_teleport_p_enter(w, child, slot, 0, version);
    }
    if (since > w->version_) return child->error_ = DX_TELEPORT_ENOTFOUND;
    child->record_ = w->record_ + slot;
    return dx_teleport_p_enter(w, child, slot, 0, version);
}

/* Begin record `index` of the list that the reference at `slot` points at. That reference is read
   back from the buffer, which another process may be able to write too: so it is checked. */
DX_TELEPORT_P_HOT int dx_teleport_p_enter_element(dx_teleport_writer *w, dx_teleport_writer *child,
                                                  uint32_t slot, size_t index, uint32_t unit,
                                                  unsigned version, unsigned since)
{
    dx_teleport_p_ref ref;
    uint64_t at;
    *child = *w;
    if (DX_TELEPORT_P_UNLIKELY(w->error_)) {
        if (w->error_ < 0) return w->error_;
        return dx_teleport_p_enter(w, child, slot, index, version);
    }
    if (since > w->version_) return child->error_ = DX_TELEPORT_ENOTFOUND;
    ref = dx_teleport_p_ref_once(w->record_ + slot);
    if (DX_TELEPORT_P_UNLIKELY(index >= ref.elements)) return child->error_ = DX_TELEPORT_EINVAL;
    at = (uint64_t)ref.offset + (uint64_t)index * unit;
    if (DX_TELEPORT_P_UNLIKELY(at + unit > w->end_)) return child->error_ = DX_TELEPORT_ECORRUPT;
    child->record_ = w->bytes_ + (size_t)at;
    return dx_teleport_p_enter(w, child, slot, index, version);
}

/* Give the cursor back to the outer writer. If the nested record got parts, no part may follow of
   it or of a record before it. EINVAL: not its child. */
DX_TELEPORT_P_HOT int dx_teleport_p_leave(dx_teleport_writer *w, dx_teleport_writer *child)
{
    if (!w->child_order_ || w->bytes_ != child->bytes_)
        return child->error_ < 0 ? child->error_ : DX_TELEPORT_EINVAL;
    DX_TELEPORT_P_ASSERT(child->end_ >= w->end_);
    if (child->order_min_) w->order_min_ = w->child_order_ + 1;
    w->end_ = child->end_;
    w->child_order_ = 0;
    w->error_ = child->error_;
    child->error_ = DX_TELEPORT_ESTATE;
    return w->error_ < 0 ? w->error_ : DX_TELEPORT_OK;
}

/* Bytes 16 to 23 of a header: record size, version, flags. */
DX_TELEPORT_P_FORCE_INLINE uint64_t dx_teleport_p_kind(uint32_t record_size, unsigned version,
                                                       unsigned flags)
{
    DX_TELEPORT_P_ASSERT(version > 0 && version <= UINT16_MAX && flags <= DX_TELEPORT_CRC);
    return (uint64_t)flags << 48 | (uint64_t)version << 32 | record_size;
}

/* The first 24 bytes, each word with one store. */
DX_TELEPORT_P_INLINE void dx_teleport_p_store_header(dx_teleport_writer *w, uint64_t layout,
                                                     uint32_t record_size)
{
    const uint32_t crc_size = w->flags_ & DX_TELEPORT_CRC ? DX_TELEPORT_P_CRC_SIZE : 0;
    const uint64_t size = (uint64_t)w->end_ + crc_size;
    const uint64_t kind = dx_teleport_p_kind(record_size, w->version_, w->flags_);
    DX_TELEPORT_P_ASSERT(size <= UINT32_MAX);
    dx_teleport_p_u64_set(w->bytes_, size << 32 | DX_TELEPORT_MAGIC);
    dx_teleport_p_u64_set(w->bytes_ + DX_TELEPORT_P_AT_LAYOUT, layout);
    dx_teleport_p_u64_set(w->bytes_ + DX_TELEPORT_P_AT_RECORD_SIZE, kind);
}

/* >>schema: how one macro list becomes a struct, constants and accessors -----
   The user's list calls operators, one for each field:

        #define USER(F, S, ...) F(u64, id) S(name) F(u8, age)

   DX_TELEPORT_DEFINE expands this list again and again, each time with other macros as F, S ...;
   one such expansion is a pass, and the macro that a pass uses for a kind of field is its visitor.
   The pass over offsets, for example, yields the enumerators of an enum, the pass over accessors
   yields functions:

        list          F(u64, id)                S(name)                  F(u8, age)
        offsets       user_offset_id = 0,       user_offset_name = 8,    user_offset_age = 16,
        since         user_since_id = 1,        user_since_name = 1,     user_since_age = 1,
        check         look at a bool            look at the reference    look at a bool
                      (folds away)              and at the text          (folds away)
        accessors     user_get_id,              user_get_name,           user_get_age,
                      user_set_id               user_put_name            user_set_age

   Every visitor has the same parameters, so that one visitor can serve several kinds:

        X(p, q, name, T, size, align, code, count, range)     and for V:  X(p, q, number)

        p       the user's prefix: names are made as p##_get_##name
        q       a second argument of the pass, where it needs one
        name    of the field
        T       prefix of the scalar (dx_teleport_p_u64: T##_get, T##_size ...) or nested type
        size    bytes in the record
        align   of the field
        code    kind and scalar, as in the layout checksum
        count   elements of an array, version of a nested type, else 1
        range   values of an enumeration, else 0

   Two steps make a visitor out of an operator. DX_TELEPORT_P_ARGS_F and its siblings know what a
   field of their kind is in these terms. And because the user's list calls F(u64, id) without p and
   q, the macro passed as F must bring them along, as unfinished text: the operator's replacement

        visitor OPEN EMPTY() () p, q ARGS_F       followed in the list by   (u64, id)

   becomes the tokens visitor ( p, q, id, dx_teleport_p_u64, ... ) but is not a call yet, since its
   opening parenthesis appeared only in the course of the expansion. DX_TELEPORT_P_EXPAND rescans
   the whole list once more, and that makes the calls. */
#define DX_TELEPORT_P_EMPTY()
#define DX_TELEPORT_P_OPEN() (
#define DX_TELEPORT_P_EXPAND(...) __VA_ARGS__
#define DX_TELEPORT_P_CALL(visitor, p, q, arguments)                                               \
    visitor DX_TELEPORT_P_OPEN DX_TELEPORT_P_EMPTY() () p, q arguments
/* Expand the list with these visitors. The last argument, 0, stands for operators to come: the
   `...` of a list must not be empty. */
#define DX_TELEPORT_P_EACH(p, q, schema, XF, XS, XA, XL, XE, XV, XN, XR, XO)                       \
    DX_TELEPORT_P_EXPAND(schema(DX_TELEPORT_P_CALL(XF, p, q, DX_TELEPORT_P_ARGS_F),                \
                                DX_TELEPORT_P_CALL(XS, p, q, DX_TELEPORT_P_ARGS_S),                \
                                DX_TELEPORT_P_CALL(XA, p, q, DX_TELEPORT_P_ARGS_A),                \
                                DX_TELEPORT_P_CALL(XL, p, q, DX_TELEPORT_P_ARGS_L),                \
                                DX_TELEPORT_P_CALL(XE, p, q, DX_TELEPORT_P_ARGS_E),                \
                                DX_TELEPORT_P_CALL(XV, p, q, DX_TELEPORT_P_ARGS_V),                \
                                DX_TELEPORT_P_CALL(XN, p, q, DX_TELEPORT_P_ARGS_N),                \
                                DX_TELEPORT_P_CALL(XR, p, q, DX_TELEPORT_P_ARGS_R),                \
                                DX_TELEPORT_P_CALL(XO, p, q, DX_TELEPORT_P_ARGS_O), 0))
/* One visitor for every kind of field, another one for nested records and lists of them. */
#define DX_TELEPORT_P_FIELDS_BUT(p, q, schema, X, XV, XN)                                          \
    DX_TELEPORT_P_EACH(p, q, schema, X, X, X, X, X, XV, XN, XN, X)
/* The same visitor for every kind of field. */
#define DX_TELEPORT_P_FIELDS(p, q, schema, X, XV) DX_TELEPORT_P_FIELDS_BUT(p, q, schema, X, XV, X)
/* The visitor for what a pass does not concern. */
#define DX_TELEPORT_P_SKIP(p, q, ...)

/* The layout of a field of each kind: its offset in the record, its code, its element's scalar.
   References take 8 bytes at a multiple of 4; an optional scalar follows a byte that says whether
   it is set, aligned as if it were two. */
enum {
    DX_TELEPORT_P_REF_SIZE = 8,
    DX_TELEPORT_P_REF_ALIGN = 4
};
#define DX_TELEPORT_P_CODE(kind, scalar) ((int)DX_TELEPORT_KIND_##kind * 16 + (int)(scalar))

#define DX_TELEPORT_P_ARGS_F(type, name)                                                           \
    , name, dx_teleport_p_##type, dx_teleport_p_##type##_size, dx_teleport_p_##type##_size,        \
        dx_teleport_p_##type##_code, 1, 0)
#define DX_TELEPORT_P_ARGS_S(name)                                                                 \
    , name, dx_teleport_p_u8, DX_TELEPORT_P_REF_SIZE, DX_TELEPORT_P_REF_ALIGN,                     \
        DX_TELEPORT_P_CODE(STRING, 0), 1, 0)
#define DX_TELEPORT_P_ARGS_A(type, name, number)                                                   \
    , name, dx_teleport_p_##type, dx_teleport_p_##type##_size *(number),                           \
        dx_teleport_p_##type##_size,                                                               \
        DX_TELEPORT_P_CODE(ARRAY, dx_teleport_p_##type##_code), (number), 0)
#define DX_TELEPORT_P_ARGS_L(type, name)                                                           \
    , name, dx_teleport_p_##type, DX_TELEPORT_P_REF_SIZE, DX_TELEPORT_P_REF_ALIGN,                 \
        DX_TELEPORT_P_CODE(LIST, dx_teleport_p_##type##_code), 1, 0)
#define DX_TELEPORT_P_ARGS_E(type, name, number)                                                   \
    , name, dx_teleport_p_##type, dx_teleport_p_##type##_size, dx_teleport_p_##type##_size,        \
        DX_TELEPORT_P_CODE(ENUM, dx_teleport_p_##type##_code), 1, (number))
#define DX_TELEPORT_P_ARGS_V(number)                                                               \
    , number)
#define DX_TELEPORT_P_ARGS_N(type, number, name)                                                   \
    , name, type, type##_record_size, type##_record_align,                                         \
        DX_TELEPORT_P_CODE(RECORD, 0), number, 0)
#define DX_TELEPORT_P_ARGS_R(type, number, name)                                                   \
    , name, type, DX_TELEPORT_P_REF_SIZE, DX_TELEPORT_P_REF_ALIGN,                                 \
        DX_TELEPORT_P_CODE(RECORDS, 0), number, 0)
#define DX_TELEPORT_P_ARGS_O(type, name)                                                           \
    , name, dx_teleport_p_##type, 2 * dx_teleport_p_##type##_size,                                 \
        dx_teleport_p_##type##_size,                                                               \
        DX_TELEPORT_P_CODE(OPTIONAL, dx_teleport_p_##type##_code), 1, 0)

#define DX_TELEPORT_P_ROUND(n, unit) (((n) + (unit) - 1) / (unit) * (unit))
/* A rule that does not compile when it is broken; its name is the message. */
#define DX_TELEPORT_P_REQUIRE(name, condition) typedef char name[(condition) ? 1 : -1];

/* Pass: offsets. Visitors cannot refer to the field before theirs, as they do not know its name.
   But an enumerator without a value is the one before it plus one, and that carries the end of a
   field to the start of the next:

        user_p_before_first = -1,
        user_p_start_id,       (0: where the field before ended)
        user_offset_id = 0,    (the start, aligned)
        user_p_last_id = 7,
        user_p_start_name,     (8) ...

   So no compiler's idea of struct layout comes into it. A V mark remembers where its version's
   predecessor ended. */
#define DX_TELEPORT_P_OFFSET(p, q, name, T, size, align, code, count, range)                       \
    p##_p_start_##name, p##_offset_##name = DX_TELEPORT_P_ROUND(p##_p_start_##name, align),        \
    p##_p_last_##name = p##_offset_##name + (size) - 1,
#define DX_TELEPORT_P_OFFSET_V(p, q, number)                                                       \
    p##_p_mark_end_##number, p##_p_mark_last_##number = p##_p_mark_end_##number - 1,

/* Pass: the largest alignment up to here, carried the same way: next_align is it plus one. */
#define DX_TELEPORT_P_MAX(a, b) ((a) > (b) ? (a) : (b))
#define DX_TELEPORT_P_ALIGN(p, q, name, T, size, align, code, count, range)                        \
    p##_p_next_align_##name,                                                                       \
    p##_p_align_##name = DX_TELEPORT_P_MAX((int)p##_p_next_align_##name - 1, (int)(align)),
#define DX_TELEPORT_P_ALIGN_V(p, q, number)                                                        \
    p##_p_mark_next_align_##number,                                                                \
    p##_p_mark_align_##number = p##_p_mark_next_align_##number - 1,

/* Pass: the version with which a field came; a V mark is an enumerator, and so counts up. */
#define DX_TELEPORT_P_SINCE(p, q, name, T, size, align, code, count, range)                        \
    p##_p_next_since_##name, p##_since_##name = p##_p_next_since_##name - 1,
#define DX_TELEPORT_P_SINCE_V(p, q, number) p##_p_mark_##number,

/* Pass: what else a frozen version of a field is compared by. */
#define DX_TELEPORT_P_KIND(p, q, name, T, size, align, code, count, range)                         \
    p##_p_code_##name = (code), p##_p_count_##name = (count), p##_p_range_##name = (range),

#define DX_TELEPORT_P_CONSTANTS(p, schema)                                                         \
    enum {                                                                                         \
        p##_p_before_first = -1,                                                                   \
        DX_TELEPORT_P_FIELDS(p, 0, schema, DX_TELEPORT_P_OFFSET, DX_TELEPORT_P_OFFSET_V)           \
        p##_p_end                                                                                  \
    };                                                                                             \
    enum {                                                                                         \
        p##_p_no_align = 1,                                                                        \
        DX_TELEPORT_P_FIELDS(p, 0, schema, DX_TELEPORT_P_ALIGN, DX_TELEPORT_P_ALIGN_V)             \
        p##_p_all_align,                                                                           \
        p##_record_align = p##_p_all_align - 1                                                     \
    };                                                                                             \
    enum {                                                                                         \
        p##_p_no_since = 1,                                                                        \
        DX_TELEPORT_P_FIELDS(p, 0, schema, DX_TELEPORT_P_SINCE, DX_TELEPORT_P_SINCE_V)             \
        p##_p_all_since,                                                                           \
        p##_version = p##_p_all_since - 1                                                          \
    };                                                                                             \
    enum {                                                                                         \
        DX_TELEPORT_P_FIELDS(p, 0, schema, DX_TELEPORT_P_KIND, DX_TELEPORT_P_SKIP)                 \
        p##_record_size = DX_TELEPORT_P_ROUND((int)p##_p_end, (int)p##_record_align)               \
    };

/* Pass: the rules of a schema. */
#define DX_TELEPORT_P_RULES(p, q, name, T, size, align, code, count, range)                        \
    DX_TELEPORT_P_REQUIRE(p##_p_name_of_up_to_48_characters_##name, sizeof(#name) <= 49)           \
    DX_TELEPORT_P_REQUIRE(p##_p_some_elements_##name, (count) > 0)
#define DX_TELEPORT_P_RULES_A(p, q, name, T, size, align, code, count, range)                      \
    DX_TELEPORT_P_RULES(p, q, name, T, size, align, code, count, range)                            \
    DX_TELEPORT_P_REQUIRE(p##_p_array_below_2_gib_##name,                                          \
                          (uint64_t)(count) <= (uint64_t)INT32_MAX / (align))
#define DX_TELEPORT_P_RULES_E(p, q, name, T, size, align, code, count, range)                      \
    DX_TELEPORT_P_RULES(p, q, name, T, size, align, code, count, range)                            \
    DX_TELEPORT_P_REQUIRE(p##_p_enum_is_u8_u16_u32_##name,                                         \
                          (code) <= DX_TELEPORT_P_CODE(ENUM, DX_TELEPORT_TYPE_U32))                \
    DX_TELEPORT_P_REQUIRE(p##_p_range_fits_##name,                                                 \
                          (range) > 0 && (uint64_t)(range) <= UINT32_MAX &&                        \
                              (uint64_t)(range) <= UINT64_C(1) << 8 * (int)(size))
#define DX_TELEPORT_P_RULES_N(p, q, name, T, size, align, code, count, range)                      \
    DX_TELEPORT_P_RULES(p, q, name, T, size, align, code, count, range)                            \
    DX_TELEPORT_P_REQUIRE(p##_p_version_of_the_type_changed_##name, (int)T##_version == (count))
#define DX_TELEPORT_P_RULES_V(p, q, number)                                                        \
    DX_TELEPORT_P_REQUIRE(p##_p_versions_count_up_##number,                                        \
                          (int)p##_p_mark_##number == (number) && (number) <= UINT16_MAX)

/* Pass: the rows of the table that user_type() returns. */
#define DX_TELEPORT_P_ROW(p, q, name, T, size, align, code, count, range)                          \
    DX_TELEPORT_P_ROW_OF(p, name, NULL, code, count, range)
#define DX_TELEPORT_P_ROW_N(p, q, name, T, size, align, code, count, range)                        \
    DX_TELEPORT_P_ROW_OF(p, name, T##_type, code, count, range)
#define DX_TELEPORT_P_ROW_OF(p, name, type, code, count, range)                                    \
    {#name, type, (uint32_t)p##_offset_##name, (uint32_t)(count), (uint32_t)(range),               \
     (uint16_t)p##_since_##name, (uint8_t)(code)},

/* Pass: the layout checksum of version `version`: a V mark returns early. */
#define DX_TELEPORT_P_LAYOUT(p, q, name, T, size, align, code, count, range)                       \
    hash = dx_teleport_p_fnv_field(hash, #name, sizeof(#name) - 1, (uint32_t)(code),               \
                                   (uint32_t)(count), (uint32_t)p##_offset_##name);
#define DX_TELEPORT_P_LAYOUT_N(p, q, name, T, size, align, code, count, range)                     \
    DX_TELEPORT_P_LAYOUT(p, q, name, T, size, align, code, count, range)                           \
    hash = dx_teleport_p_fnv32(hash, (uint32_t)(T##_layout(count) & 0xffffffffu));                 \
    hash = dx_teleport_p_fnv32(hash, (uint32_t)(T##_layout(count) >> 32));
#define DX_TELEPORT_P_LAYOUT_V(p, q, number)                                                       \
    if (version < (number)) return hash;

/* Pass: the record's size in version `version`, padded to the alignment that it had then. */
#define DX_TELEPORT_P_SIZE_OF_V(p, q, number)                                                      \
    if (version < (number))                                                                        \
        return (uint32_t)DX_TELEPORT_P_ROUND((int)p##_p_mark_end_##number,                         \
                                             (int)p##_p_mark_align_##number);

/* Pass: the careful check (>>check), statements of user_p_check_fields(v, end). For a field without
   padding, or that is no bool, the tests are constant and fold away. A V mark returns where older
   data ends. */
#define DX_TELEPORT_P_CHECK_PADDING(p, name)                                                       \
    if ((int)p##_p_start_##name != (int)p##_offset_##name)                                         \
        DX_TELEPORT_P_TRY(dx_teleport_p_check_padding(v, p##_p_start_##name, p##_offset_##name,    \
                                                      DX_TELEPORT_P_NAME(#name)))
#define DX_TELEPORT_P_CHECK_BOOLS(T, at, count, name)                                              \
    if ((int)T##_code == (int)dx_teleport_p_bool_code)                                             \
        DX_TELEPORT_P_TRY(dx_teleport_p_check_bools(v, at, count, DX_TELEPORT_P_NAME(#name)))
#define DX_TELEPORT_P_CHECK_F(p, q, name, T, size, align, code, count, range)                      \
    DX_TELEPORT_P_CHECK_PADDING(p, name)                                                           \
    DX_TELEPORT_P_CHECK_BOOLS(T, v->record_ + p##_offset_##name, (size_t)(count), name)
#define DX_TELEPORT_P_CHECK_REF(p, name, unit, align)                                              \
    DX_TELEPORT_P_TRY(dx_teleport_p_check_ref(v, end, p##_offset_##name, unit, align,              \
                                              DX_TELEPORT_P_NAME(#name), &ref))
/* A reference and what it points at: text, elements (only bools are looked at), records. */
#define DX_TELEPORT_P_CHECK_S(p, q, name, T, size, align, code, count, range)                      \
    DX_TELEPORT_P_CHECK_PADDING(p, name)                                                           \
    {                                                                                              \
        dx_teleport_p_ref ref;                                                                     \
        DX_TELEPORT_P_CHECK_REF(p, name, 1, 1)                                                     \
        DX_TELEPORT_P_TRY(dx_teleport_p_check_text(v, ref, DX_TELEPORT_P_NAME(#name)))             \
    }
#define DX_TELEPORT_P_CHECK_L(p, q, name, T, size, align, code, count, range)                      \
    DX_TELEPORT_P_CHECK_PADDING(p, name)                                                           \
    {                                                                                              \
        dx_teleport_p_ref ref;                                                                     \
        DX_TELEPORT_P_CHECK_REF(p, name, T##_size, T##_size)                                       \
        DX_TELEPORT_P_CHECK_BOOLS(T, v->bytes_ + ref.offset, (size_t)ref.elements, name)           \
    }
/* An enumeration must be within its range, a nested record good in itself. */
#define DX_TELEPORT_P_CHECK_E(p, q, name, T, size, align, code, count, range)                      \
    DX_TELEPORT_P_CHECK_PADDING(p, name)                                                           \
    if (!dx_teleport_p_in_range(T##_get(v->record_ + p##_offset_##name), (uint32_t)(range))) \
        return dx_teleport_p_fail(v, DX_TELEPORT_EENUM,                                            \
                                  (size_t)(v->record_ - v->bytes_) + p##_offset_##name,            \
                                  DX_TELEPORT_P_NAME(#name));
#define DX_TELEPORT_P_CHECK_N(p, q, name, T, size, align, code, count, range)                      \
    DX_TELEPORT_P_CHECK_PADDING(p, name)                                                           \
    DX_TELEPORT_P_TRY(T##_p_check_list(v, v->record_ + p##_offset_##name, 1, end))
#define DX_TELEPORT_P_CHECK_R(p, q, name, T, size, align, code, count, range)                      \
    DX_TELEPORT_P_CHECK_PADDING(p, name)                                                           \
    {                                                                                              \
        dx_teleport_p_ref ref;                                                                     \
        DX_TELEPORT_P_CHECK_REF(p, name, T##_record_size, T##_record_align)                        \
        DX_TELEPORT_P_TRY(T##_p_check_list(v, v->bytes_ + ref.offset, ref.elements, end))          \
    }
#define DX_TELEPORT_P_CHECK_O(p, q, name, T, size, align, code, count, range)                      \
    DX_TELEPORT_P_CHECK_PADDING(p, name)                                                           \
    DX_TELEPORT_P_TRY(dx_teleport_p_check_option(v, p##_offset_##name, T##_size,                   \
                                                 DX_TELEPORT_P_NAME(#name)))                       \
    DX_TELEPORT_P_CHECK_BOOLS(T, v->record_ + p##_offset_##name + T##_size, 1, name)
/* Data of an earlier version ends here, with padding to the alignment that it had. */
#define DX_TELEPORT_P_CHECK_V(p, q, number)                                                        \
    if (v->version_ < (number))                                                                    \
        return dx_teleport_p_check_padding(v, p##_p_mark_end_##number,                             \
                                           p##_p_size_of((number) - 1), "record");

/* Pass: the fast check (>>scan), statements of user_p_scan(s, r, version) for the record at r. */
#define DX_TELEPORT_P_SCAN_PADDING(p, name)                                                        \
    dx_teleport_p_scan_padding(s, r + p##_p_start_##name,                                          \
                               (size_t)((int)p##_offset_##name - (int)p##_p_start_##name));
#define DX_TELEPORT_P_SCAN_BOOLS(T, at, count)                                                     \
    if ((int)T##_code == (int)dx_teleport_p_bool_code) dx_teleport_p_scan_bools(s, at, count);
#define DX_TELEPORT_P_SCAN_F(p, q, name, T, size, align, code, count, range)                       \
    DX_TELEPORT_P_SCAN_PADDING(p, name)                                                            \
    DX_TELEPORT_P_SCAN_BOOLS(T, r + p##_offset_##name, (size_t)(count))
#define DX_TELEPORT_P_SCAN_S(p, q, name, T, size, align, code, count, range)                       \
    DX_TELEPORT_P_SCAN_PADDING(p, name)                                                            \
    dx_teleport_p_scan_text(s, r + p##_offset_##name);
#define DX_TELEPORT_P_SCAN_LIST(p, name, unit, align)                                              \
    if (!dx_teleport_p_scan_list(s, r + p##_offset_##name, unit, align, &ref)) return false;
/* Bytes of any value join the text before them; other elements have to be aligned. */
#define DX_TELEPORT_P_SCAN_L(p, q, name, T, size, align, code, count, range)                       \
    DX_TELEPORT_P_SCAN_PADDING(p, name)                                                            \
    if ((int)T##_size == 1 && (int)T##_code != (int)dx_teleport_p_bool_code) {                     \
        if (!dx_teleport_p_scan_bytes(s, r + p##_offset_##name)) return false;                     \
    } else {                                                                                       \
        dx_teleport_p_ref ref;                                                                     \
        DX_TELEPORT_P_SCAN_LIST(p, name, T##_size, T##_size)                                       \
        DX_TELEPORT_P_SCAN_BOOLS(T, s->bytes + ref.offset, ref.elements)                           \
    }
#define DX_TELEPORT_P_SCAN_E(p, q, name, T, size, align, code, count, range)                       \
    DX_TELEPORT_P_SCAN_PADDING(p, name)                                                            \
    s->bad |= !dx_teleport_p_in_range(T##_get(r + p##_offset_##name), (uint32_t)(range));
#define DX_TELEPORT_P_SCAN_N(p, q, name, T, size, align, code, count, range)                       \
    DX_TELEPORT_P_SCAN_PADDING(p, name)                                                            \
    if (!T##_p_scan(s, r + p##_offset_##name, T##_version)) return false;
#define DX_TELEPORT_P_SCAN_R(p, q, name, T, size, align, code, count, range)                       \
    DX_TELEPORT_P_SCAN_PADDING(p, name)                                                            \
    {                                                                                              \
        dx_teleport_p_ref ref;                                                                     \
        const uint8_t *e;                                                                          \
        DX_TELEPORT_P_SCAN_LIST(p, name, T##_record_size, T##_record_align)                        \
        e = s->bytes + ref.offset;                                                                 \
        for (uint32_t n = ref.elements; n; n--) {                                                  \
            if (!T##_p_scan(s, e, T##_version)) return false;                                      \
            e += T##_record_size;                                                                  \
        }                                                                                          \
    }
#define DX_TELEPORT_P_SCAN_O(p, q, name, T, size, align, code, count, range)                       \
    DX_TELEPORT_P_SCAN_PADDING(p, name)                                                            \
    dx_teleport_p_scan_option(s, r + p##_offset_##name, T##_size);                                 \
    DX_TELEPORT_P_SCAN_BOOLS(T, r + p##_offset_##name + T##_size, 1)
#define DX_TELEPORT_P_SCAN_V(p, q, number)                                                         \
    if (version < (number)) {                                                                      \
        dx_teleport_p_scan_padding(s, r + p##_p_mark_end_##number,                                 \
                                   p##_p_size_of((number) - 1) - p##_p_mark_end_##number);         \
        return true;                                                                               \
    }

/* Pass: user_size(): S, L and R become parameters, then sums. */
#define DX_TELEPORT_P_SIZE_ARG(p, q, name, T, size, align, code, count, range)                     \
    , size_t name##_size
#define DX_TELEPORT_P_SIZE_S(p, q, name, T, size, align, code, count, range)                       \
    all = dx_teleport_p_size_add(all, name##_size, 1, 1);
#define DX_TELEPORT_P_SIZE_L(p, q, name, T, size, align, code, count, range)                       \
    all = dx_teleport_p_size_add(all, name##_size, T##_size, T##_size);
#define DX_TELEPORT_P_SIZE_R(p, q, name, T, size, align, code, count, range)                       \
    all = dx_teleport_p_size_add(all, name##_size, T##_record_size, T##_record_align);

/* Pass: the accessors of each kind of field. */
/* Does the data have this field? Constant for a field that came with version 1. */
#define DX_TELEPORT_P_HAS(p, name)                                                                 \
    ((unsigned)p##_since_##name <= 1 || (unsigned)p##_since_##name <= v->view_.version_)
/* get, set */
#define DX_TELEPORT_P_ACCESS_F(p, q, name, T, size, align, code, count, range)                     \
    DX_TELEPORT_P_INLINE T p##_get_##name(const p##_view *v)                                       \
    {                                                                                              \
        if (!DX_TELEPORT_P_HAS(p, name)) return 0;                                                 \
        return T##_get(v->view_.record_ + p##_offset_##name);                                      \
    }                                                                                              \
    DX_TELEPORT_P_HOT int p##_set_##name(p##_writer *w, T value)                                   \
    {                                                                                              \
        DX_TELEPORT_P_TRY_WRITE(dx_teleport_p_settable(&w->writer_, p##_since_##name))             \
        T##_set(w->writer_.record_ + p##_offset_##name, value);                                    \
        return DX_TELEPORT_OK;                                                                     \
    }
/* get, set within the range */
#define DX_TELEPORT_P_ACCESS_E(p, q, name, T, size, align, code, count, range)                     \
    DX_TELEPORT_P_INLINE T p##_get_##name(const p##_view *v)                                       \
    {                                                                                              \
        if (!DX_TELEPORT_P_HAS(p, name)) return 0;                                                 \
        return T##_get(v->view_.record_ + p##_offset_##name);                                      \
    }                                                                                              \
    DX_TELEPORT_P_HOT int p##_set_##name(p##_writer *w, T value)                                   \
    {                                                                                              \
        DX_TELEPORT_P_TRY_WRITE(dx_teleport_p_settable(&w->writer_, p##_since_##name))             \
        if (!dx_teleport_p_in_range(value, (uint32_t)(range)))                                     \
            return w->writer_.error_ = DX_TELEPORT_EENUM;                                          \
        T##_set(w->writer_.record_ + p##_offset_##name, value);                                    \
        return DX_TELEPORT_OK;                                                                     \
    }
/* get, put */
#define DX_TELEPORT_P_ACCESS_S(p, q, name, T, size, align, code, count, range)                     \
    DX_TELEPORT_P_INLINE dx_teleport_string p##_get_##name(const p##_view *v)                      \
    {                                                                                              \
        return dx_teleport_p_string(&v->view_, p##_offset_##name, DX_TELEPORT_P_HAS(p, name)); \
    }                                                                                              \
    DX_TELEPORT_P_HOT int p##_put_##name(p##_writer *w, const char *data, size_t bytes)            \
    {                                                                                              \
        return dx_teleport_p_put_string(&w->writer_, p##_offset_##name, data, bytes);              \
    }
/* count, set, and at, data and copy of DX_TELEPORT_P_ELEMENTS */
#define DX_TELEPORT_P_ACCESS_A(p, q, name, T, size, align, code, count, range)                     \
    DX_TELEPORT_P_INLINE size_t p##_count_##name(const p##_view *v)                                \
    {                                                                                              \
        (void)v;                                                                                   \
        return DX_TELEPORT_P_HAS(p, name) ? (size_t)(count) : 0;                                   \
    }                                                                                              \
    DX_TELEPORT_P_INLINE const uint8_t *p##_p_bytes_##name(const p##_view *v)                      \
    {                                                                                              \
        return v->view_.record_ + p##_offset_##name;                                               \
    }                                                                                              \
    DX_TELEPORT_P_ELEMENTS(p, name, T)                                                             \
    DX_TELEPORT_P_HOT int p##_set_##name(p##_writer *w, const T *data)                             \
    {                                                                                              \
        DX_TELEPORT_P_TRY_WRITE(dx_teleport_p_settable(&w->writer_, p##_since_##name))             \
        if (!data) return w->writer_.error_ = DX_TELEPORT_EINVAL;                                  \
        p##_p_fill_##name(w->writer_.record_ + p##_offset_##name, data, (size_t)(count));          \
        return DX_TELEPORT_OK;                                                                     \
    }
/* count, put, and at, data and copy of DX_TELEPORT_P_ELEMENTS */
#define DX_TELEPORT_P_ACCESS_L(p, q, name, T, size, align, code, count, range)                     \
    DX_TELEPORT_P_INLINE size_t p##_count_##name(const p##_view *v)                                \
    {                                                                                              \
        if (!DX_TELEPORT_P_HAS(p, name)) return 0;                                                 \
        return dx_teleport_p_u32_get(v->view_.record_ + p##_offset_##name + 4);                    \
    }                                                                                              \
    DX_TELEPORT_P_INLINE const uint8_t *p##_p_bytes_##name(const p##_view *v)                      \
    {                                                                                              \
        return v->view_.bytes_ + dx_teleport_p_u32_get(v->view_.record_ + p##_offset_##name); \
    }                                                                                              \
    DX_TELEPORT_P_ELEMENTS(p, name, T)                                                             \
    DX_TELEPORT_P_HOT int p##_put_##name(p##_writer *w, const T *data, size_t elements)            \
    {                                                                                              \
        uint8_t *to;                                                                               \
        DX_TELEPORT_P_TRY(dx_teleport_p_reserve(&w->writer_, p##_offset_##name, data, elements, \
                                                T##_size, T##_size, &to))                          \
        if (to) p##_p_fill_##name(to, data, elements);                                             \
        return DX_TELEPORT_OK;                                                                     \
    }
/* has, get, set, clear. The value follows the byte that says whether it is set, aligned: at the
   offset plus its size. */
#define DX_TELEPORT_P_ACCESS_O(p, q, name, T, size, align, code, count, range)                     \
    DX_TELEPORT_P_INLINE bool p##_has_##name(const p##_view *v)                                    \
    {                                                                                              \
        return DX_TELEPORT_P_HAS(p, name) && v->view_.record_[p##_offset_##name];                  \
    }                                                                                              \
    DX_TELEPORT_P_INLINE T p##_get_##name(const p##_view *v)                                       \
    {                                                                                              \
        if (!DX_TELEPORT_P_HAS(p, name)) return 0;                                                 \
        return T##_get(v->view_.record_ + p##_offset_##name + T##_size);                           \
    }                                                                                              \
    DX_TELEPORT_P_HOT int p##_set_##name(p##_writer *w, T value)                                   \
    {                                                                                              \
        DX_TELEPORT_P_TRY_WRITE(dx_teleport_p_settable(&w->writer_, p##_since_##name))             \
        w->writer_.record_[p##_offset_##name] = 1;                                                 \
        T##_set(w->writer_.record_ + p##_offset_##name + T##_size, value);                         \
        return DX_TELEPORT_OK;                                                                     \
    }                                                                                              \
    DX_TELEPORT_P_INLINE int p##_clear_##name(p##_writer *w)                                       \
    {                                                                                              \
        DX_TELEPORT_P_TRY_WRITE(dx_teleport_p_settable(&w->writer_, p##_since_##name))             \
        DX_TELEPORT_MEMSET(w->writer_.record_ + p##_offset_##name, 0, 2 * T##_size);               \
        return DX_TELEPORT_OK;                                                                     \
    }
/* get, begin and end */
#define DX_TELEPORT_P_ACCESS_N(p, q, name, T, size, align, code, count, range)                     \
    DX_TELEPORT_P_INLINE T##_view p##_get_##name(const p##_view *v)                                \
    {                                                                                              \
        T##_view e;                                                                                \
        e.view_ = dx_teleport_p_child(                                                             \
            &v->view_, DX_TELEPORT_P_HAS(p, name) ? v->view_.record_ + p##_offset_##name : NULL, \
            T##_p_zeros(), T##_version);                                                           \
        return e;                                                                                  \
    }                                                                                              \
    DX_TELEPORT_P_HOT int p##_begin_##name(p##_writer *w, T##_writer *child)                       \
    {                                                                                              \
        return dx_teleport_p_enter_field(&w->writer_, &child->writer_, p##_offset_##name,          \
                                         T##_version, p##_since_##name);                           \
    }                                                                                              \
    DX_TELEPORT_P_HOT int p##_end_##name(p##_writer *w, T##_writer *child)                         \
    {                                                                                              \
        return dx_teleport_p_leave(&w->writer_, &child->writer_);                                  \
    }
/* count, at, add, begin and end */
#define DX_TELEPORT_P_ACCESS_R(p, q, name, T, size, align, code, count, range)                     \
    DX_TELEPORT_P_INLINE size_t p##_count_##name(const p##_view *v)                                \
    {                                                                                              \
        if (!DX_TELEPORT_P_HAS(p, name)) return 0;                                                 \
        return dx_teleport_p_u32_get(v->view_.record_ + p##_offset_##name + 4);                    \
    }                                                                                              \
    DX_TELEPORT_P_INLINE T##_view p##_at_##name(const p##_view *v, size_t i)                       \
    {                                                                                              \
        const uint8_t *record = NULL;                                                              \
        T##_view e;                                                                                \
        if (i < p##_count_##name(v))                                                               \
            record = v->view_.bytes_ +                                                             \
                     dx_teleport_p_u32_get(v->view_.record_ + p##_offset_##name) +                 \
                     i * T##_record_size;                                                          \
        e.view_ = dx_teleport_p_child(&v->view_, record, T##_p_zeros(), T##_version);              \
        return e;                                                                                  \
    }                                                                                              \
    DX_TELEPORT_P_HOT int p##_add_##name(p##_writer *w, size_t records)                            \
    {                                                                                              \
        return dx_teleport_p_add(&w->writer_, p##_offset_##name, records, T##_record_size,         \
                                 T##_record_align);                                                \
    }                                                                                              \
    DX_TELEPORT_P_HOT int p##_begin_##name(p##_writer *w, size_t i, T##_writer *child)             \
    {                                                                                              \
        return dx_teleport_p_enter_element(&w->writer_, &child->writer_, p##_offset_##name, i, \
                                           T##_record_size, T##_version, p##_since_##name);        \
    }                                                                                              \
    DX_TELEPORT_P_HOT int p##_end_##name(p##_writer *w, T##_writer *child)                         \
    {                                                                                              \
        return dx_teleport_p_leave(&w->writer_, &child->writer_);                                  \
    }
/* Arrays (A) and lists (L) share this: p##_count_##name and p##_p_bytes_##name say how
   many elements there are and where. They are copied with one memcpy where the host's elements look
   as the wire's do: bytes (but not bools, which must become 0 or 1), and on little-endian hosts
   everything. */
#define DX_TELEPORT_P_AS_WIRE(T)                                                                   \
    ((int)T##_size == 1 ? (int)T##_code != (int)dx_teleport_p_bool_code : DX_TELEPORT_LITTLE_ENDIAN)
#define DX_TELEPORT_P_ELEMENTS(p, name, T)                                                         \
    DX_TELEPORT_P_INLINE T p##_at_##name(const p##_view *v, size_t i)                              \
    {                                                                                              \
        if (i >= p##_count_##name(v)) return 0;                                                    \
        return T##_get(p##_p_bytes_##name(v) + i * T##_size);                                      \
    }                                                                                              \
    DX_TELEPORT_P_INLINE const T##_element *p##_data_##name(const p##_view *v)                     \
    {                                                                                              \
        if (!p##_count_##name(v)) return NULL;                                                     \
        return (const T##_element *)dx_teleport_p_in_place(p##_p_bytes_##name(v), T##_size); \
    }                                                                                              \
    DX_TELEPORT_P_INLINE size_t p##_copy_##name(const p##_view *v, size_t first, T *out,           \
                                                size_t count_max)                                  \
    {                                                                                              \
        const size_t n = dx_teleport_p_clip(p##_count_##name(v), first, count_max);                \
        const uint8_t *from;                                                                       \
        if (n == 0) return 0;                                                                      \
        from = p##_p_bytes_##name(v) + first * T##_size;                                           \
        if (DX_TELEPORT_P_AS_WIRE(T)) DX_TELEPORT_MEMCPY(out, from, n * T##_size);                 \
        else                                                                                       \
            for (size_t i = 0; i < n; i++) out[i] = T##_get(from + i * T##_size);                  \
        return n;                                                                                  \
    }                                                                                              \
    DX_TELEPORT_P_INLINE void p##_p_fill_##name(uint8_t *to, const T *from, size_t n)              \
    {                                                                                              \
        if (DX_TELEPORT_P_AS_WIRE(T)) DX_TELEPORT_MEMCPY(to, from, n * T##_size);                  \
        else                                                                                       \
            for (size_t i = 0; i < n; i++) T##_set(to + i * T##_size, from[i]);                    \
    }

/* >>define: what DX_TELEPORT_DEFINE() is put together from ------------------
   Each part is a run of functions for the type p; together they are all that SCHEMA at the top
   promises. The bodies are short: they run a pass, or hand over to the functions of >>check,
   >>scan, >>view and >>writer with the type's constants. */

/* Types of their own, so that a view of one type cannot be passed for another's. */
#define DX_TELEPORT_P_DEFINE_TYPES(p)                                                              \
    typedef struct p##_view {                                                                      \
        dx_teleport_view view_;                                                                    \
    } p##_view;                                                                                    \
    typedef struct p##_writer {                                                                    \
        dx_teleport_writer writer_;                                                                \
    } p##_writer;

/* user_layout(), and user_type() with the table of fields. A function whose address is taken cannot
   be forced inline, hence user_p_layout(). user_p_size_of() is the record's size in a version. */
#define DX_TELEPORT_P_DEFINE_SCHEMA(p, schema)                                                     \
    DX_TELEPORT_P_FORCE_INLINE uint64_t p##_layout(unsigned version)                               \
    {                                                                                              \
        uint64_t hash = DX_TELEPORT_P_FNV_START;                                                   \
        (void)version;                                                                             \
        DX_TELEPORT_P_FIELDS_BUT(p, 0, schema, DX_TELEPORT_P_LAYOUT, DX_TELEPORT_P_LAYOUT_V,       \
                                 DX_TELEPORT_P_LAYOUT_N)                                           \
        return hash;                                                                               \
    }                                                                                              \
    DX_TELEPORT_P_INLINE uint64_t p##_p_layout(unsigned version)                                   \
    {                                                                                              \
        return p##_layout(version);                                                                \
    }                                                                                              \
    DX_TELEPORT_P_INLINE const dx_teleport_type *p##_type(void)                                    \
    {                                                                                              \
        static const dx_teleport_field fields[] = {                                                \
            DX_TELEPORT_P_FIELDS_BUT(p, 0, schema, DX_TELEPORT_P_ROW, DX_TELEPORT_P_SKIP,          \
                                     DX_TELEPORT_P_ROW_N)                                          \
        };                                                                                         \
        static const dx_teleport_type type = {                                                     \
            #p, fields, (uint32_t)(sizeof fields / sizeof *fields), (uint32_t)p##_record_size,     \
            (uint32_t)p##_record_align, (uint16_t)p##_version, p##_p_layout};                      \
        return &type;                                                                              \
    }                                                                                              \
    DX_TELEPORT_P_FORCE_INLINE uint32_t p##_p_size_of(unsigned version)                            \
    {                                                                                              \
        (void)version;                                                                             \
        DX_TELEPORT_P_FIELDS(p, 0, schema, DX_TELEPORT_P_SKIP, DX_TELEPORT_P_SIZE_OF_V)            \
        return p##_record_size;                                                                    \
    }

/* The careful check of the record that v shows, and of `count` consecutive records, which
   nested types need. *end: where the last part ended. */
#define DX_TELEPORT_P_DEFINE_CHECK(p, schema)                                                      \
    DX_TELEPORT_P_INLINE int p##_p_check_fields(dx_teleport_view *v, uint32_t *end)                \
    {                                                                                              \
        (void)end;                                                                                 \
        DX_TELEPORT_P_EACH(p, 0, schema, DX_TELEPORT_P_CHECK_F, DX_TELEPORT_P_CHECK_S,             \
                           DX_TELEPORT_P_CHECK_F, DX_TELEPORT_P_CHECK_L, DX_TELEPORT_P_CHECK_E,    \
                           DX_TELEPORT_P_CHECK_V, DX_TELEPORT_P_CHECK_N, DX_TELEPORT_P_CHECK_R,    \
                           DX_TELEPORT_P_CHECK_O)                                                  \
        if (v->version_ > p##_version) return DX_TELEPORT_OK;                                      \
        return dx_teleport_p_check_padding(v, p##_p_end, p##_record_size, "record");               \
    }                                                                                              \
    DX_TELEPORT_P_INLINE int p##_p_check_list(dx_teleport_view *v, const uint8_t *first,           \
                                              uint32_t count, uint32_t *end)                       \
    {                                                                                              \
        dx_teleport_view e = *v;                                                                   \
        int error = DX_TELEPORT_OK;                                                                \
        uint32_t i;                                                                                \
        e.version_ = p##_version;                                                                  \
        for (i = 0; i < count && !error; i++) {                                                    \
            e.record_ = first + (size_t)i * p##_record_size;                                       \
            error = p##_p_check_fields(&e, end);                                                   \
        }                                                                                          \
        return dx_teleport_p_check_nested(v, &e, error);                                           \
    }

/* The fast check of the record at r, and of a whole view. */
#define DX_TELEPORT_P_DEFINE_SCAN(p, schema)                                                       \
    DX_TELEPORT_P_HOT bool p##_p_scan(dx_teleport_p_scan *s, const uint8_t *r, unsigned version)   \
    {                                                                                              \
        (void)version;                                                                             \
        DX_TELEPORT_P_EACH(p, 0, schema, DX_TELEPORT_P_SCAN_F, DX_TELEPORT_P_SCAN_S,               \
                           DX_TELEPORT_P_SCAN_F, DX_TELEPORT_P_SCAN_L, DX_TELEPORT_P_SCAN_E,       \
                           DX_TELEPORT_P_SCAN_V, DX_TELEPORT_P_SCAN_N, DX_TELEPORT_P_SCAN_R,       \
                           DX_TELEPORT_P_SCAN_O)                                                   \
        dx_teleport_p_scan_padding(s, r + p##_p_end, (size_t)(p##_record_size - (int)p##_p_end));  \
        return true;                                                                               \
    }                                                                                              \
    DX_TELEPORT_P_INLINE bool p##_p_is_good(const dx_teleport_view *v, uint32_t end)               \
    {                                                                                              \
        dx_teleport_p_scan s;                                                                      \
        s.bytes = v->bytes_;                                                                       \
        s.size = v->size_;                                                                         \
        s.end = end;                                                                               \
        s.text = end;                                                                              \
        s.bad = 0;                                                                                 \
        return p##_p_scan(&s, v->record_, v->version_) && dx_teleport_p_scan_end(&s);              \
    }

/* open, open_bare, and what goes with a view. user_p_check() runs the fast check, and the careful
   one where that says no; `end` is where the record ends. A record of version 1 with exactly the
   expected header skips the reading of the header. The checksums of all versions that both sides
   know are compared: those before the newest common one follow the header. */
#define DX_TELEPORT_P_DEFINE_READER(p)                                                             \
    DX_TELEPORT_P_INLINE int p##_p_check(dx_teleport_view *v, uint32_t end)                        \
    {                                                                                              \
        v->exact_ = v->version_ <= p##_version;                                                    \
        if (!DX_TELEPORT_P_SMALL && v->exact_ && p##_p_is_good(v, end)) return DX_TELEPORT_OK;     \
        DX_TELEPORT_P_TRY(p##_p_check_fields(v, &end))                                             \
        return dx_teleport_p_check_end(v, end);                                                    \
    }                                                                                              \
    DX_TELEPORT_P_INLINE int p##_open(p##_view *view, const void *bytes, size_t size)              \
    {                                                                                              \
        dx_teleport_info info;                                                                     \
        dx_teleport_view *v = &view->view_;                                                        \
        unsigned i = 1;                                                                            \
        bool good;                                                                                 \
        if (!DX_TELEPORT_P_SMALL && p##_version == 1 &&                                            \
            dx_teleport_p_is_header(v, bytes, size, p##_layout(1), p##_record_size, 1))            \
            return p##_p_check(v, DX_TELEPORT_HEADER_SIZE + p##_record_size);                      \
        DX_TELEPORT_P_TRY(dx_teleport_p_open(v, bytes, size, &info))                               \
        for (; i < info.version && i < p##_version; i++)                                           \
            DX_TELEPORT_P_TRY(dx_teleport_p_check_layout(v, &info, i, p##_layout(i)))              \
        DX_TELEPORT_P_TRY(dx_teleport_p_check_layout(v, &info, i, p##_layout(i)))                  \
        if (info.version <= p##_version) good = info.record_size == p##_p_size_of(info.version);   \
        else good = info.record_size >= p##_record_size;                                           \
        if (!good)                                                                                 \
            return dx_teleport_p_fail(v, DX_TELEPORT_ECORRUPT, DX_TELEPORT_P_AT_RECORD_SIZE,       \
                                      "header");                                                   \
        return p##_p_check(v, (uint32_t)(v->record_ - v->bytes_) + info.record_size);              \
    }                                                                                              \
    DX_TELEPORT_P_INLINE int p##_open_bare(p##_view *view, const void *bytes, size_t size,         \
                                           unsigned version)                                       \
    {                                                                                              \
        const unsigned known = version ? version : (unsigned)p##_version;                          \
        const uint32_t record_size = p##_p_size_of(known);                                         \
        DX_TELEPORT_P_TRY(                                                                         \
            dx_teleport_p_open_bare(&view->view_, bytes, size, record_size, known))                \
        return p##_p_check(&view->view_, record_size);                                             \
    }                                                                                              \
    DX_TELEPORT_P_INLINE const dx_teleport_fault *p##_fault(const p##_view *v)                     \
    {                                                                                              \
        return &v->view_.fault;                                                                    \
    }                                                                                              \
    DX_TELEPORT_P_INLINE const dx_teleport_view *p##_any(const p##_view *v)                        \
    {                                                                                              \
        return &v->view_;                                                                          \
    }                                                                                              \
    DX_TELEPORT_P_INLINE const uint8_t *p##_p_zeros(void)                                          \
    {                                                                                              \
        static const uint8_t zeros[p##_record_size] = {0};                                         \
        return zeros;                                                                              \
    }

/* The parameters of user_size() are those of S, L and R, in the order of the schema. */
#define DX_TELEPORT_P_DEFINE_SIZE(p, schema)                                                       \
    DX_TELEPORT_P_INLINE uint64_t p##_size(unsigned flags DX_TELEPORT_P_EACH(                      \
        p, 0, schema, DX_TELEPORT_P_SKIP, DX_TELEPORT_P_SIZE_ARG, DX_TELEPORT_P_SKIP,              \
        DX_TELEPORT_P_SIZE_ARG, DX_TELEPORT_P_SKIP, DX_TELEPORT_P_SKIP, DX_TELEPORT_P_SKIP,        \
        DX_TELEPORT_P_SIZE_ARG, DX_TELEPORT_P_SKIP))                                               \
    {                                                                                              \
        uint64_t all = p##_record_size;                                                            \
        if (!(flags & DX_TELEPORT_BARE)) all += dx_teleport_p_header_size(p##_version);            \
        DX_TELEPORT_P_EACH(p, 0, schema, DX_TELEPORT_P_SKIP, DX_TELEPORT_P_SIZE_S,                 \
                           DX_TELEPORT_P_SKIP, DX_TELEPORT_P_SIZE_L, DX_TELEPORT_P_SKIP,           \
                           DX_TELEPORT_P_SKIP, DX_TELEPORT_P_SKIP, DX_TELEPORT_P_SIZE_R,           \
                           DX_TELEPORT_P_SKIP)                                                     \
        if (!(flags & DX_TELEPORT_CRC)) return all;                                                \
        return dx_teleport_p_size_add(all, DX_TELEPORT_P_CRC_SIZE, 1, 1);                          \
    }

/* begin, measure, finish and edit. finish writes the header with the checksums of all versions,
   then the CRC over everything; an edit has a header already. */
#define DX_TELEPORT_P_DEFINE_WRITER(p)                                                             \
    DX_TELEPORT_P_INLINE int p##_begin(p##_writer *w, void *bytes, size_t capacity,                \
                                       unsigned flags)                                             \
    {                                                                                              \
        return dx_teleport_p_begin(&w->writer_, bytes, capacity, flags, p##_record_size,           \
                                   p##_version);                                                   \
    }                                                                                              \
    DX_TELEPORT_P_INLINE int p##_measure(p##_writer *w, unsigned flags)                            \
    {                                                                                              \
        return dx_teleport_p_measure(&w->writer_, flags, p##_record_size, p##_version);            \
    }                                                                                              \
    DX_TELEPORT_P_INLINE int p##_finish(p##_writer *writer, size_t *size)                          \
    {                                                                                              \
        dx_teleport_writer *w = &writer->writer_;                                                  \
        if (w->error_) return dx_teleport_p_measure_end(w, size);                                  \
        if (!(w->flags_ & (DX_TELEPORT_BARE | DX_TELEPORT_P_FLAG_EDIT))) {                         \
            dx_teleport_p_store_header(w, p##_layout(p##_version), p##_record_size);               \
            for (unsigned i = 1; i < p##_version; i++)                                             \
                dx_teleport_p_u64_set(w->bytes_ + dx_teleport_p_header_size(i), p##_layout(i));    \
        }                                                                                          \
        if (w->flags_ & DX_TELEPORT_CRC) {                                                         \
            dx_teleport_p_put_crc(w->bytes_, w->end_);                                             \
            w->end_ += DX_TELEPORT_P_CRC_SIZE;                                                     \
        }                                                                                          \
        if (size) *size = w->end_;                                                                 \
        w->error_ = DX_TELEPORT_ESTATE;                                                            \
        return DX_TELEPORT_OK;                                                                     \
    }                                                                                              \
    DX_TELEPORT_P_INLINE int p##_edit(p##_writer *w, void *bytes, size_t size)                     \
    {                                                                                              \
        p##_view v;                                                                                \
        const int error = p##_open(&v, bytes, size);                                               \
        dx_teleport_p_edit(&w->writer_, bytes, &v.view_, error, 0);                                \
        return error;                                                                              \
    }                                                                                              \
    DX_TELEPORT_P_INLINE int p##_edit_bare(p##_writer *w, void *bytes, size_t size,                \
                                           unsigned version)                                       \
    {                                                                                              \
        p##_view v;                                                                                \
        const int error = p##_open_bare(&v, bytes, size, version);                                 \
        dx_teleport_p_edit(&w->writer_, bytes, &v.view_, error, DX_TELEPORT_BARE);                 \
        return error;                                                                              \
    }

/* All of it; see SCHEMA at the top. */
#define DX_TELEPORT_DEFINE(p, schema)                                                              \
    DX_TELEPORT_P_WARNINGS_OFF                                                                     \
    DX_TELEPORT_P_CONSTANTS(p, schema)                                                             \
    DX_TELEPORT_P_EACH(p, 0, schema, DX_TELEPORT_P_RULES, DX_TELEPORT_P_RULES,                     \
                       DX_TELEPORT_P_RULES_A, DX_TELEPORT_P_RULES, DX_TELEPORT_P_RULES_E,          \
                       DX_TELEPORT_P_RULES_V, DX_TELEPORT_P_RULES_N, DX_TELEPORT_P_RULES_N,        \
                       DX_TELEPORT_P_RULES)                                                        \
    DX_TELEPORT_P_DEFINE_TYPES(p)                                                                  \
    DX_TELEPORT_P_DEFINE_SCHEMA(p, schema)                                                         \
    DX_TELEPORT_P_DEFINE_CHECK(p, schema)                                                          \
    DX_TELEPORT_P_DEFINE_SCAN(p, schema)                                                           \
    DX_TELEPORT_P_DEFINE_READER(p)                                                                 \
    DX_TELEPORT_P_DEFINE_SIZE(p, schema)                                                           \
    DX_TELEPORT_P_DEFINE_WRITER(p)                                                                 \
    DX_TELEPORT_P_EACH(p, 0, schema, DX_TELEPORT_P_ACCESS_F, DX_TELEPORT_P_ACCESS_S,               \
                       DX_TELEPORT_P_ACCESS_A, DX_TELEPORT_P_ACCESS_L, DX_TELEPORT_P_ACCESS_E,     \
                       DX_TELEPORT_P_SKIP, DX_TELEPORT_P_ACCESS_N, DX_TELEPORT_P_ACCESS_R,         \
                       DX_TELEPORT_P_ACCESS_O)                                                     \
    DX_TELEPORT_P_WARNINGS_ON

/* >>frozen: what keeps released versions as they are -------------------------
   DX_TELEPORT_FROZEN makes the constants of the old list under a prefix of their own
   (user_frozen_1_offset_id ...) and requires, field by field of the old list, that today's schema
   has the same. A removed or renamed field is one that today's schema has no constants for; an
   inserted one makes the count of fields up to that version differ. */
/* Pass: every field of the frozen list is still what and where it was. */
#define DX_TELEPORT_P_FROZEN(p, q, name, T, size, align, code, count, range)                       \
    DX_TELEPORT_P_REQUIRE(q##_moved_##name, (int)p##_offset_##name == (int)q##_offset_##name) \
    DX_TELEPORT_P_REQUIRE(q##_retyped_##name,                                                      \
                          (int)p##_p_code_##name == (int)q##_p_code_##name &&                      \
                              (int)p##_p_count_##name == (int)q##_p_count_##name)                  \
    DX_TELEPORT_P_REQUIRE(q##_range_reduced_##name,                                                \
                          (int64_t)p##_p_range_##name >= (int64_t)q##_p_range_##name)              \
    DX_TELEPORT_P_REQUIRE(q##_version_changed_##name,                                              \
                          (int)p##_since_##name == (int)q##_since_##name)
/* Nested records: the same type in both (declaring a name again with another type does not
   compile), and one that is frozen itself: so it cannot be edited unnoticed. */
#define DX_TELEPORT_P_FROZEN_N(p, q, name, T, size, align, code, count, range)                     \
    DX_TELEPORT_P_FROZEN(p, q, name, T, size, align, code, count, range)                           \
    DX_TELEPORT_P_REQUIRE(q##_nested_##name, (int)T##_is_frozen_at_version_##count == (count)) \
    extern const T##_view *q##_type_of_##name;
#define DX_TELEPORT_P_NESTED(p, q, name, T, size, align, code, count, range)                       \
    extern const T##_view *q##_type_of_##name;
#define DX_TELEPORT_P_ONE_MORE(p, q, name, T, size, align, code, count, range)                     \
    +((int)p##_since_##name <= (q))

/* `list` is what `schema` was when `number` was its newest version. Compiles only while `schema`
   begins with exactly that. At file scope, after DX_TELEPORT_DEFINE(p, schema) and after the same
   for each nested type: the checksum of a type covers those of its nested types. */
#define DX_TELEPORT_FROZEN(p, schema, number, list)                                                \
    DX_TELEPORT_P_CONSTANTS(p##_frozen_##number, list)                                             \
    enum { p##_is_frozen_at_version_##number = (number) };                                         \
    DX_TELEPORT_P_FIELDS_BUT(p, p##_frozen_##number, list, DX_TELEPORT_P_FROZEN,                   \
                             DX_TELEPORT_P_SKIP, DX_TELEPORT_P_FROZEN_N)                           \
    DX_TELEPORT_P_FIELDS_BUT(p, p##_frozen_##number, schema, DX_TELEPORT_P_SKIP,                   \
                             DX_TELEPORT_P_SKIP, DX_TELEPORT_P_NESTED)                             \
    DX_TELEPORT_P_REQUIRE(p##_frozen_##number##_is_version_##number,                               \
                          (int)p##_frozen_##number##_version == (number))                          \
    DX_TELEPORT_P_REQUIRE(                                                                         \
        p##_frozen_##number##_has_all_fields,                                                      \
        (0 DX_TELEPORT_P_FIELDS(p, number, schema, DX_TELEPORT_P_ONE_MORE, DX_TELEPORT_P_SKIP)) == \
            (0 DX_TELEPORT_P_FIELDS(p##_frozen_##number, number, list, DX_TELEPORT_P_ONE_MORE, \
                                    DX_TELEPORT_P_SKIP)))

#ifdef __cplusplus
}
#endif
#endif /* DX_TELEPORT_H */

#if (defined(DX_TELEPORT_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_TELEPORT_IMPLEMENTED)
#define DX_TELEPORT_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_TELEPORT_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_TELEPORT_ASSERT(c) assert(c)
  #else
    #define DX_TELEPORT_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>shared -------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies (a check compares them). */
/* CRC-32C (Castagnoli, RFC 3720 appendix B.4): polynomial 0x82f63b78 reflected, a nibble at a
   time so that the table is 64 bytes. Start with crc = 0; feed pieces in order. */
static uint32_t dx_teleport_p_crc32c(uint32_t crc, const uint8_t *p, size_t size)
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

/* SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"), for tables whose keys come
   from others: without the seed nobody can tell which keys collide. One round for each word of the
   input, three at the end. */
static inline uint64_t dx_teleport_p_rotate_left(uint64_t v, unsigned n)
{
    DX_TELEPORT_ASSERT(n > 0 && n < 64);
    return v << n | v >> (64 - n);
}

static inline void dx_teleport_p_sip_start(uint64_t v[4], const uint64_t seed[2])
{
    v[0] = seed[0] ^ 0x736f6d6570736575u;
    v[1] = seed[1] ^ 0x646f72616e646f6du;
    v[2] = seed[0] ^ 0x6c7967656e657261u;
    v[3] = seed[1] ^ 0x7465646279746573u;
}

static inline void dx_teleport_p_sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = dx_teleport_p_rotate_left(v[1], 13) ^ v[0];
    v[0] = dx_teleport_p_rotate_left(v[0], 32);
    v[2] += v[3];
    v[3] = dx_teleport_p_rotate_left(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = dx_teleport_p_rotate_left(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = dx_teleport_p_rotate_left(v[1], 17) ^ v[2];
    v[2] = dx_teleport_p_rotate_left(v[2], 32);
}

static inline void dx_teleport_p_sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    dx_teleport_p_sip_round(v);
    v[0] ^= word;
}

/* last: the bytes that fill no word, with the size of the input as the highest one. */
static inline uint64_t dx_teleport_p_sip_end(uint64_t v[4], uint64_t last)
{
    unsigned i;
    dx_teleport_p_sip_word(v, last);
    v[2] ^= 255;
    for (i = 0; i < 3; i++) dx_teleport_p_sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
/* <<shared */

DX_TELEPORT_API const char *dx_teleport_error_name(int error)
{
    switch (error) {
#define DX_TELEPORT_P_CASE(value, constant) case value: return "DX_TELEPORT_" #constant;
    DX_TELEPORT_ERRORS(DX_TELEPORT_P_CASE)
#undef DX_TELEPORT_P_CASE
    default: return "unknown error";
    }
}

/* >>text: UTF-8, fast where it is ASCII ---------------------------------------
   Words of 8 bytes are tested for ASCII with one AND: bit 7 of each byte is zero. Words at the end
   overlap the ones before them, so no byte is looked at alone, unless there are fewer than 8:

        |-------- 32 at a time --------|---8---|---8---|
                                                   |---8---|      the last 8 bytes

   Other text is decoded sequence by sequence. The first byte tells how many follow:

        0xxxxxxx | 110xxxxx 10xxxxxx | 1110xxxx 10xxxxxx 10xxxxxx | 11110xxx 10... 10... 10...
*/
/* Bytes of the sequence that p starts (RFC 3629, section 4), 0 if it starts none: no overlong form,
   no surrogate, nothing above U+10FFFF. */
static size_t dx_teleport_p_sequence(const uint8_t *p, size_t size)
{
    enum { CODE_POINT_MAX = 0x10ffff, SURROGATES = 0xd800 >> 11 /* d800 .. dfff */ };
    const uint32_t first = p[0];
    uint32_t code;
    unsigned more = 1; /* bytes that follow */
    DX_TELEPORT_ASSERT(size > 0);
    if (first < 0x80) return 1;
    if (first >= 0xe0) more = 2;
    if (first >= 0xf0) more = 3;
    if (first < 0xc2 || first > 0xf4 || size <= more) return 0;
    code = first & (0x3fu >> more);
    for (size_t i = 1; i <= more; i++) {
        const uint32_t six = p[i] ^ 0x80u;
        if (six > 0x3f) return 0;
        code = code << 6 | six;
    }
    if (code >> 11 == SURROGATES || code > CODE_POINT_MAX) return 0;
    if (code >> (5 * more + 1) == 0) return 0; /* overlong: one byte less would have done */
    return more + 1;
}

/* Length of a prefix that is ASCII: all of it but for up to 31 bytes at its end. */
static size_t dx_teleport_p_ascii_prefix(const uint8_t *p, size_t size)
{
    enum { STEP = 32 };
    size_t at = 0;
    for (; size - at >= STEP; at += STEP) {
        uint64_t word[4];
        DX_TELEPORT_MEMCPY(&word[0], p + at, 8);
        DX_TELEPORT_MEMCPY(&word[1], p + at + 8, 8);
        DX_TELEPORT_MEMCPY(&word[2], p + at + 16, 8);
        DX_TELEPORT_MEMCPY(&word[3], p + at + 24, 8);
        if ((word[0] | word[1] | word[2] | word[3]) & DX_TELEPORT_P_NON_ASCII) break;
    }
    DX_TELEPORT_ASSERT(at <= size);
    return at;
}

DX_TELEPORT_API bool dx_teleport_p_ascii(const uint8_t *p, size_t size)
{
    size_t at = dx_teleport_p_ascii_prefix(p, size);
    uint64_t all = 0;
    uint64_t word;
    if (size - at >= 32) return false; /* it stopped before the end */
    if (size < 8) {
        for (; at < size; at++) all |= p[at];
        return !(all & 0x80);
    }
    for (; size - at > 8; at += 8) {
        DX_TELEPORT_MEMCPY(&word, p + at, 8);
        all |= word;
    }
    DX_TELEPORT_MEMCPY(&word, p + size - 8, 8);
    return !((all | word) & DX_TELEPORT_P_NON_ASCII);
}

DX_TELEPORT_API size_t dx_teleport_check_utf8(const void *text, size_t size)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t at = 0;
    if (!DX_TELEPORT_P_SMALL && dx_teleport_p_ascii(p, size)) return size;
    while (at < size) {
        size_t step;
        if (!DX_TELEPORT_P_SMALL) at += dx_teleport_p_ascii_prefix(p + at, size - at);
        if (at == size) break;
        step = dx_teleport_p_sequence(p + at, size - at);
        if (!step) return at;
        at += step;
    }
    DX_TELEPORT_ASSERT(at == size);
    return size;
}

/* Copies of other sizes than 8 to 16 bytes, see dx_teleport_p_copy_short(). Up to 7 bytes are
   stored with overlaps, too: two words of 4, or the first, middle and last byte. */
DX_TELEPORT_P_NOINLINE bool dx_teleport_p_copy_text(uint8_t *to, const char *from, size_t size)
{
    const uint8_t *p = (const uint8_t *)from;
    DX_TELEPORT_ASSERT(size > 0);
    if (size >= 8) {
        DX_TELEPORT_MEMCPY(to, from, size);
    } else if (size >= 4) {
        uint32_t first;
        uint32_t last;
        DX_TELEPORT_MEMCPY(&first, p, 4);
        DX_TELEPORT_MEMCPY(&last, p + size - 4, 4);
        DX_TELEPORT_MEMCPY(to, &first, 4);
        DX_TELEPORT_MEMCPY(to + size - 4, &last, 4);
    } else {
        const uint8_t first = p[0];
        const uint8_t middle = p[size / 2];
        const uint8_t last = p[size - 1];
        to[0] = first;
        to[size / 2] = middle;
        to[size - 1] = last;
    }
    return dx_teleport_check_utf8(from, size) == size;
}

/* >>open: headers, and faults ------------------------------------------------
   A fault makes the view unusable, and remains readable with user_fault(). The header is
   checked here, the rest by >>check. */
DX_TELEPORT_API int dx_teleport_p_fail(dx_teleport_view *v, int error, size_t offset,
                                       const char *field)
{
    DX_TELEPORT_ASSERT(error < 0 && field);
    v->fault.field = field;
    v->fault.offset = (uint32_t)offset;
    v->bytes_ = NULL;
    v->record_ = NULL;
    return error;
}

/* ref was checked before: its bytes are within the data. */
DX_TELEPORT_API int dx_teleport_p_check_text(dx_teleport_view *v, dx_teleport_p_ref ref,
                                             const char *field)
{
    const size_t good = dx_teleport_check_utf8(v->bytes_ + ref.offset, ref.elements);
    DX_TELEPORT_ASSERT(ref.offset <= v->size_ && ref.elements <= v->size_ - ref.offset);
    if (good == ref.elements) return DX_TELEPORT_OK;
    return dx_teleport_p_fail(v, DX_TELEPORT_EUTF8, ref.offset + good, field);
}

DX_TELEPORT_API int dx_teleport_p_check_bools(dx_teleport_view *v, const uint8_t *p, size_t count,
                                              const char *field)
{
    DX_TELEPORT_ASSERT(p >= v->bytes_);
    for (size_t i = 0; i < count; i++)
        if (p[i] > 1)
            return dx_teleport_p_fail(v, DX_TELEPORT_EBOOL, (size_t)(p - v->bytes_) + i, field);
    return DX_TELEPORT_OK;
}

/* Bytes 0 to 23 of a header. After success it does not contradict itself: version 1 or more, no
   unknown flag, and a size that holds header, record and CRC. *at receives where it is wrong. */
static int dx_teleport_p_read_header(const uint8_t *p, size_t size, dx_teleport_info *info,
                                     size_t *at)
{
    enum { MAGIC_WITHOUT_VERSION = 0xffffff }; /* "DXT"; the last byte is the format's version */
    uint32_t magic;
    uint32_t version_and_flags;
    uint64_t size_min;
    *at = 0;
    if (size < DX_TELEPORT_HEADER_SIZE) return DX_TELEPORT_ETRUNCATED;
    magic = dx_teleport_p_load_once(p);
    info->size = dx_teleport_p_load_once(p + DX_TELEPORT_P_AT_SIZE);
    info->layout = dx_teleport_p_u64_get(p + DX_TELEPORT_P_AT_LAYOUT);
    DX_TELEPORT_P_PIN(uint64_t, info->layout);
    info->record_size = dx_teleport_p_load_once(p + DX_TELEPORT_P_AT_RECORD_SIZE);
    version_and_flags = dx_teleport_p_load_once(p + DX_TELEPORT_P_AT_VERSION);
    info->version = (uint16_t)(version_and_flags & 0xffff);
    info->flags = (uint16_t)(version_and_flags >> 16);
    if ((magic ^ DX_TELEPORT_MAGIC) & MAGIC_WITHOUT_VERSION) return DX_TELEPORT_ECORRUPT;
    if (magic != DX_TELEPORT_MAGIC) return DX_TELEPORT_EVERSION;
    *at = DX_TELEPORT_P_AT_VERSION;
    if (info->version == 0) return DX_TELEPORT_ECORRUPT;
    *at = DX_TELEPORT_P_AT_FLAGS;
    if (info->flags & ~(unsigned)DX_TELEPORT_CRC) return DX_TELEPORT_ENOTSUP;
    *at = DX_TELEPORT_P_AT_SIZE;
    size_min = (uint64_t)dx_teleport_p_header_size(info->version) + info->record_size;
    if (info->flags & DX_TELEPORT_CRC) size_min += DX_TELEPORT_P_CRC_SIZE;
    if (info->size < size_min) return DX_TELEPORT_ECORRUPT;
    return DX_TELEPORT_OK;
}

DX_TELEPORT_API int dx_teleport_peek(const void *bytes, size_t size, dx_teleport_info *info)
{
    size_t at;
    if (!bytes || !info) return DX_TELEPORT_EINVAL;
    return dx_teleport_p_read_header((const uint8_t *)bytes, size, info, &at);
}

/* The part of user_open() that knows no type: header, length, CRC. */
DX_TELEPORT_API int dx_teleport_p_open(dx_teleport_view *v, const void *bytes, size_t size,
                                       dx_teleport_info *info)
{
    const uint8_t *p = (const uint8_t *)bytes;
    size_t at;
    int error;
    DX_TELEPORT_MEMSET(v, 0, sizeof *v);
    DX_TELEPORT_MEMSET(info, 0, sizeof *info);
    if (!bytes) return dx_teleport_p_fail(v, DX_TELEPORT_EINVAL, 0, "header");
    error = dx_teleport_p_read_header(p, size, info, &at);
    v->fault.layout = info->layout;
    v->fault.version = info->version;
    if (error) return dx_teleport_p_fail(v, error, at, "header");
    if (info->size > size)
        return dx_teleport_p_fail(v, DX_TELEPORT_ETRUNCATED, DX_TELEPORT_P_AT_SIZE, "header");
    if (info->size < size)
        return dx_teleport_p_fail(v, DX_TELEPORT_ETRAILING, info->size, "header");
    v->bytes_ = p;
    v->record_ = p + dx_teleport_p_header_size(info->version);
    v->version_ = info->version;
    v->size_ = info->size;
    v->crc_ = (info->flags & DX_TELEPORT_CRC) != 0;
    if (v->crc_) {
        v->size_ -= DX_TELEPORT_P_CRC_SIZE;
        if (dx_teleport_p_crc32c(0, p, v->size_) != dx_teleport_p_u32_get(p + v->size_))
            return dx_teleport_p_fail(v, DX_TELEPORT_ECHECKSUM, v->size_, "header");
    }
    DX_TELEPORT_ASSERT((size_t)(v->record_ - p) + info->record_size <= v->size_);
    return DX_TELEPORT_OK;
}

DX_TELEPORT_API int dx_teleport_p_open_bare(dx_teleport_view *v, const void *bytes, size_t size,
                                            uint32_t record_size, unsigned version)
{
    dx_teleport_p_view(v, (const uint8_t *)bytes, 0, size, 0, version);
    if (!bytes) return dx_teleport_p_fail(v, DX_TELEPORT_EINVAL, 0, "record");
    if (dx_teleport_p_clamp(size) != size)
        return dx_teleport_p_fail(v, DX_TELEPORT_ETOOBIG, 0, "record");
    if (size < record_size) return dx_teleport_p_fail(v, DX_TELEPORT_ETRUNCATED, size, "record");
    return DX_TELEPORT_OK;
}

/* >>measure: writers that do not append --------------------------------------
   An edit is a writer of a record that was just opened: `sealed`, so that it sets fields and
   appends nothing. A measurement has no record at all, and only moves end_. */
DX_TELEPORT_API void dx_teleport_p_edit(dx_teleport_writer *w, void *bytes,
                                        const dx_teleport_view *v, int error, unsigned flags)
{
    DX_TELEPORT_MEMSET(w, 0, sizeof *w);
    w->error_ = error;
    if (error) return;
    DX_TELEPORT_ASSERT(bytes == (const void *)v->bytes_ && v->record_ >= v->bytes_);
    w->bytes_ = (uint8_t *)bytes;
    w->record_ = w->bytes_ + (v->record_ - v->bytes_);
    w->end_ = v->size_;
    w->capacity_ = v->size_;
    w->sealed_ = true;
    w->version_ = v->version_;
    w->flags_ = flags | DX_TELEPORT_P_FLAG_EDIT;
    if (v->crc_) w->flags_ |= DX_TELEPORT_CRC;
}

DX_TELEPORT_API int dx_teleport_p_measure(dx_teleport_writer *w, unsigned flags,
                                          uint32_t record_size, unsigned version)
{
    const bool bare = (flags & DX_TELEPORT_BARE) != 0;
    const size_t header_size = bare ? 0 : dx_teleport_p_header_size(version);
    const uint32_t crc_size = flags & DX_TELEPORT_CRC ? DX_TELEPORT_P_CRC_SIZE : 0;
    DX_TELEPORT_MEMSET(w, 0, sizeof *w);
    w->error_ = DX_TELEPORT_EINVAL;
    if (flags > DX_TELEPORT_BARE) return w->error_;
    w->version_ = version;
    w->flags_ = flags;
    w->capacity_ = dx_teleport_p_clamp(SIZE_MAX) - crc_size;
    w->end_ = (uint32_t)header_size + record_size;
    w->error_ = DX_TELEPORT_P_MEASURING;
    return DX_TELEPORT_OK;
}

/* Where a writer goes that does not write: it measures, or has failed before. */
DX_TELEPORT_API int dx_teleport_p_measure_part(dx_teleport_writer *w, uint32_t slot, size_t count,
                                               uint32_t unit, uint32_t align)
{
    uint64_t end;
    if (w->error_ != DX_TELEPORT_P_MEASURING) return w->error_;
    if (w->sealed_ || dx_teleport_p_order(slot, 0) < w->order_min_)
        return w->error_ = DX_TELEPORT_EORDER;
    w->order_min_ = dx_teleport_p_order(slot, 1);
    DX_TELEPORT_ASSERT(!w->record_);
    end = dx_teleport_p_size_add(w->end_, count, unit, align);
    if (end > w->capacity_) return w->error_ = DX_TELEPORT_ETOOBIG;
    w->end_ = (uint32_t)end;
    return DX_TELEPORT_OK;
}

DX_TELEPORT_API int dx_teleport_p_measure_end(dx_teleport_writer *w, size_t *size)
{
    if (w->error_ != DX_TELEPORT_P_MEASURING) return w->error_;
    DX_TELEPORT_ASSERT(w->end_ <= w->capacity_);
    if (size) *size = (size_t)w->end_ + (w->flags_ & DX_TELEPORT_CRC ? DX_TELEPORT_P_CRC_SIZE : 0);
    w->error_ = DX_TELEPORT_ESTATE;
    return DX_TELEPORT_OK;
}

/* Not inline, because where the size is known compilers make a string instruction of it, and those
   start slowly. */
DX_TELEPORT_P_NOINLINE void dx_teleport_p_zero(uint8_t *to, size_t size)
{
    DX_TELEPORT_MEMSET(to, 0, size);
}

DX_TELEPORT_API void dx_teleport_p_put_crc(uint8_t *bytes, uint32_t size)
{
    dx_teleport_p_u32_set(bytes + size, dx_teleport_p_crc32c(0, bytes, size));
}

/* >>walk: records of any type by their schema --------------------------------
   A second reader, at run time: the schema is a table (user_type()), and the bytes may have changed
   since open. `end` only moves forward, so a walk is bounded as the check is:

        record | part | part | part ...
                      ^ end: no later reference may point before it */
DX_TELEPORT_API int dx_teleport_ext_begin(dx_teleport_ext_walk *walk, const dx_teleport_view *v)
{
    if (!walk || !v || !v->bytes_) return DX_TELEPORT_EINVAL;
    walk->bytes = v->bytes_;
    walk->record = v->record_;
    walk->version = v->version_;
    walk->size = v->size_;
    walk->end = 0;
    return DX_TELEPORT_OK;
}

DX_TELEPORT_API int dx_teleport_ext_follow(dx_teleport_ext_walk *walk, const uint8_t *field,
                                           uint32_t unit, const uint8_t **data, uint32_t *count)
{
    const dx_teleport_p_ref ref = dx_teleport_p_ref_once(field);
    const uint64_t size = (uint64_t)ref.elements * unit;
    DX_TELEPORT_ASSERT(walk->end <= walk->size);
    *data = walk->bytes;
    *count = 0;
    if (ref.elements == 0) return DX_TELEPORT_OK;
    if (ref.offset < walk->end || ref.offset > walk->size || size > walk->size - ref.offset)
        return DX_TELEPORT_EREF;
    walk->end = (uint32_t)(ref.offset + size);
    *data = walk->bytes + ref.offset;
    *count = ref.elements;
    return DX_TELEPORT_OK;
}

DX_TELEPORT_API uint32_t dx_teleport_ext_scalar_size(unsigned code)
{
    /* none, u8 u16 u32 u64, i8 i16 i32 i64, f32 f64, bool, and codes that no scalar has */
    static const uint8_t sizes[16] = {0, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8, 1, 0, 0, 0, 0};
    return sizes[code & 15];
}

DX_TELEPORT_API uint64_t dx_teleport_ext_scalar(unsigned code, const uint8_t *p)
{
    const uint32_t size = dx_teleport_ext_scalar_size(code);
    uint64_t value = 0;
    DX_TELEPORT_ASSERT(size <= sizeof value);
    for (uint32_t i = 0; i < size; i++) value |= (uint64_t)p[i] << 8 * i;
    return value;
}

/* >>interner: texts to numbers -----------------------------------------------
   A hash table with open addressing: a text's hash names a slot, and if another text is there, the
   search probes the next ones, up to a free slot. Two thirds of the slots are used at most.

        texts   [0] "rose"  [1] "is"  [2] "a"  ...     a text's index is its number
        slots   | 0 | 3 | 0 | 0 | 1 | 2 | 0 | 0 |      a number plus one; 0: free
                               hash("is") = 4: taken by "rose", so 5

   Texts are never removed. The hash is keyed with the seed, see dx_teleport_interner_desc. */
static uint64_t dx_teleport_p_slots(uint32_t texts_max)
{
    uint64_t slots = 4;
    while (slots < (uint64_t)texts_max + texts_max / 2 + 1) slots *= 2;
    return slots;
}

DX_TELEPORT_API size_t dx_teleport_interner_memory_size(const dx_teleport_interner_desc *desc)
{
    uint64_t slots;
    uint64_t size;
    if (!desc) return 0;
    slots = dx_teleport_p_slots(desc->texts_max);
    size = (uint64_t)desc->texts_max * sizeof(dx_teleport_string) + sizeof(uint32_t) * slots;
    return size > SIZE_MAX || slots > UINT64_C(1) << 31 ? 0 : (size_t)size;
}

DX_TELEPORT_API int dx_teleport_interner_init(dx_teleport_interner *t, void *memory,
                                              size_t memory_size,
                                              const dx_teleport_interner_desc *desc)
{
    const size_t need = dx_teleport_interner_memory_size(desc);
    uint64_t slots;
    if (!t || !memory || need == 0 || (uintptr_t)memory % sizeof(void *))
        return DX_TELEPORT_EINVAL;
    if (memory_size < need) return DX_TELEPORT_ENOMEM;
    slots = dx_teleport_p_slots(desc->texts_max);
    DX_TELEPORT_ASSERT((slots & (slots - 1)) == 0 && slots > desc->texts_max); /* one is free */
    t->texts = (dx_teleport_string *)memory;
    t->count = 0;
    t->texts_max_ = desc->texts_max;
    t->mask_ = (uint32_t)slots - 1;
    t->slots_ = (uint32_t *)((dx_teleport_string *)memory + desc->texts_max);
    t->seed_[0] = desc->seed[0];
    t->seed_[1] = desc->seed[1];
    DX_TELEPORT_MEMSET(t->slots_, 0, sizeof(uint32_t) * (size_t)slots);
    return DX_TELEPORT_OK;
}

/* SipHash of a text: without the seed nobody can choose texts that collide. */
static uint64_t dx_teleport_p_siphash(const uint64_t *seed, const uint8_t *p, size_t size)
{
    uint64_t v[4];
    uint64_t last = (uint64_t)(size & 255) << 56;
    dx_teleport_p_sip_start(v, seed);
    for (; size >= 8; p += 8, size -= 8) dx_teleport_p_sip_word(v, dx_teleport_p_u64_get(p));
    DX_TELEPORT_ASSERT(size < 8);
    for (size_t i = 0; i < size; i++) last |= (uint64_t)p[i] << 8 * i;
    return dx_teleport_p_sip_end(v, last);
}

static bool dx_teleport_p_is_text(const dx_teleport_string *s, const char *text, size_t size)
{
    if (s->size != size) return false;
    for (size_t i = 0; i < size; i++)
        if (s->data[i] != text[i]) return false;
    return true;
}

DX_TELEPORT_API int dx_teleport_intern(dx_teleport_interner *t, const char *text, size_t size,
                                       uint32_t *number)
{
    dx_teleport_string *texts;
    uint32_t at;
    if (!t || !number || (!text && size)) return DX_TELEPORT_EINVAL;
    at = (uint32_t)dx_teleport_p_siphash(t->seed_, (const uint8_t *)text, size) & t->mask_;
    for (; t->slots_[at]; at = (at + 1) & t->mask_) {
        *number = t->slots_[at] - 1;
        if (dx_teleport_p_is_text(&t->texts[*number], text, size)) return DX_TELEPORT_OK;
    }
    DX_TELEPORT_ASSERT(t->count <= t->texts_max_);
    if (t->count == t->texts_max_) return DX_TELEPORT_ENOSPACE;
    /* The array that t->texts shows as const: it ends where the slots start. */
    texts = (dx_teleport_string *)(void *)((uint8_t *)t->slots_ -
                                           t->texts_max_ * sizeof(dx_teleport_string));
    texts[t->count].data = text ? text : "";
    texts[t->count].size = size;
    *number = t->count++;
    t->slots_[at] = t->count;
    return DX_TELEPORT_OK;
}

#ifdef __cplusplus
}
#endif
#endif /* DX_TELEPORT_IMPLEMENTATION */

/* >>license ---------------------------------------------------------------
This software is available under two licenses: choose whichever you prefer.
---------------------------------------------------------------------------
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
---------------------------------------------------------------------------
ALTERNATIVE B - Public domain (www.unlicense.org)
This is free and unencumbered software released into the public domain. Anyone is free to copy,
modify, publish, use, compile, sell, or distribute this software, either in source code form or as
a compiled binary, for any purpose, commercial or non-commercial, and by any means. In
jurisdictions that recognize copyright laws, the author or authors of this software dedicate any
and all copyright interest in the software to the public domain. We make this dedication for the
benefit of the public at large and to the detriment of our heirs and successors. We intend this
dedication to be an overt act of relinquishment in perpetuity of all present and future rights to
this software under copyright law. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND,
EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A
PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
*/
