/*  dx_tree.h - v0.3.0 - directory trees as deduplicated objects
                        - MIT-0 or public domain, see end of file

    A snapshot of a directory is a tree of objects, each known by the hash of its bytes. Directories
    list their entries with the hashes of their content, so two snapshots share every subtree
    that did not change. This header encodes and decodes entries. It reads no file, stores no
    object and computes no hash: a store of objects (dx_cas.h, or any other) does that.

    Do this in ONE C or C++ file:

        #define DX_TREE_IMPLEMENTATION        (or DX_IMPLEMENTATION)
        #include "dx_tree.h"

    and include it elsewhere without the define. C99; also builds as C++11. It includes no other
    file of dx.

    QUICK EXAMPLE

        static unsigned char bytes[DX_TREE_PIECE_SIZE_MAX];
        dx_tree_piece  piece;
        dx_tree_reader reader;
        dx_tree_entry  entry, back;
        memset(&entry, 0, sizeof entry);
        entry.type = DX_TREE_FILE;
        entry.level = DX_TREE_INLINE;
        entry.mode = 0644;
        entry.name = "hello.txt";
        entry.name_size = 9;
        entry.data = "hi";
        entry.size = 2;
        dx_tree_piece_begin(&piece, bytes, sizeof bytes);
        if (dx_tree_piece_add(&piece, &entry) < 0) return 1;
        dx_tree_reader_begin(&reader);
        dx_tree_reader_feed(&reader, bytes, piece.size);
        if (dx_tree_reader_next(&reader, &back) != 1) return 2;
        if (back.name_size != 9 || memcmp(back.data, "hi", 2) != 0) return 3;
        if (dx_tree_reader_next(&reader, &back) != 0) return 4;

    CONTENTS (search for the mark)

        >>config  >>types  >>api        what you may call
        >>platform  >>shared  >>extras  >>entry  >>piece  >>reader  >>list  >>snapshot
        >>license

    GUARANTEES
        - The same entries give the same bytes, on every platform.
        - A reader accepts only what a writer can have made, except that pieces and lists may be
          divided elsewhere. Names come out sorted and unique, without "/", ".", "..".
        - No allocation, no globals, no recursion; input reaches no assert and no long loop.
    LIMITS      A name has 255 bytes, a link's target 4,095, inline content 32, a piece 32 KiB, a
                list 512 children and 8 levels; a map of holes or the attributes of an entry
                128 KiB, one attribute 64 KiB.
    SIZE        code: x86-64 8,584, Cortex-M0 5,432; objects: dx_tree_reader 288, dx_tree_list 128,
                dx_tree_entry 96
    THREADS     Functions share nothing; a reader or list belongs to one thread at a time.
    CONFIG      DX_TREE_STATIC     functions become static
                DX_TREE_API        how functions are declared
                DX_TREE_ASSERT(c)  <assert.h> when hosted
                DX_TREE_MEMCPY, DX_TREE_MEMCMP
    ERRORS      dx_tree_error: 0 = ok, negative = reason; dx_tree_error_name() returns its name.
    OWNERSHIP   Every buffer is the caller's and only borrowed; a decoded entry points into
                the piece that was fed.
    FORMAT      docs/formats/tree.md is normative.
*/
#ifndef DX_TREE_H
#define DX_TREE_H

#define DX_TREE_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifndef DX_TREE_API
  #ifndef DX_TREE_STATIC
    #define DX_TREE_API extern
  #elif defined(__GNUC__) || defined(__clang__)
    #define DX_TREE_API static __attribute__((unused))
  #else
    #define DX_TREE_API static
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */
/* value, constant, meaning; the first 13 are common to all dx headers. */
#define DX_TREE_ERRORS(X)                                                                          \
    X(0, OK)                                                                                       \
    X(-1, EINVAL)      /* an argument breaks its contract */                                       \
    X(-2, ENOMEM)      /* the caller's memory is too small */                                      \
    X(-3, ENOSPACE)    /* the output buffer is full */                                             \
    X(-4, ETOOBIG)     /* above a limit: a name, a target, inline content, a list */               \
    X(-5, ECORRUPT)    /* not of this format: the snapshot's magic, or trailing bytes */           \
    X(-6, EAGAIN)      /* not used here */                                                         \
    X(-7, ESYS)        /* not used here; callbacks may return it */                                \
    X(-8, ENOTSUP)     /* not used here */                                                         \
    X(-9, ENOTFOUND)   /* not used here; callbacks may return it */                                \
    X(-10, ECANCELED)  /* not used here; callbacks may return it */                                \
    X(-11, ETRUNCATED) /* the bytes end within an entry or a list */                               \
    X(-12, EVERSION)   /* a snapshot, or extras, that this build does not know */                  \
    X(-32, ENAME)      /* a name is empty, ".", "..", or has "/" or a zero byte */                 \
    X(-33, EORDER)     /* names do not ascend */                                                   \
    X(-34, ETYPE)      /* none of the six types */                                                 \
    X(-35, EMODE)      /* other than mode bits, 0..07777 */                                        \
    X(-36, ELEVEL)     /* a level that this type cannot have, or not the expected one */           \
    X(-37, ESUM)       /* sizes that do not add up */                                              \
    X(-38, ETARGET)    /* a link's target is empty or has a zero byte */                           \
    X(-39, EZERO)      /* a field that must be zero is not */                                      \
    X(-40, EEXTRA)     /* extras that are malformed, out of order, or not of this type */

typedef enum dx_tree_error {
#define DX_TREE_P_ENUM(value, constant) DX_TREE_##constant = value,
    DX_TREE_ERRORS(DX_TREE_P_ENUM)
#undef DX_TREE_P_ENUM
} dx_tree_error;

enum {
    DX_TREE_ID_SIZE = 32,
    DX_TREE_NAME_MAX = 255,
    DX_TREE_TARGET_MAX = 4095,
    DX_TREE_INLINE_MAX = 32,         /* max bytes of a file stored in its entry */
    DX_TREE_ENTRY_HEAD = 24,
    DX_TREE_SAME_MAX = 4095,         /* bytes of the path to a file's earlier name */
    DX_TREE_EXTRA_INLINE_MAX = 1024, /* max bytes of holes, or attributes, stored in the entry, */
    DX_TREE_EXTRA_SIZE_MAX = 131072, /* and in an object */
    DX_TREE_XATTR_VALUE_MAX = 65536,
    DX_TREE_EXTRAS_MAX = 4 + 2 + 4095, /* the longest: a path alone */
    DX_TREE_ENTRY_MAX = 24 + 255 + 4095 + DX_TREE_EXTRAS_MAX,
    DX_TREE_PIECE_SIZE_MAX = 32768,  /* of a directory */
    DX_TREE_LEVELS_MAX = 8,          /* of lists */
    DX_TREE_LIST_CHILDREN_MAX = 512,
    DX_TREE_LIST_SIZE_MAX = 16 + 40 * 512,
    DX_TREE_SNAPSHOT_SIZE = 8 + 24 + 8 + 32, /* of version 1; of version 2 at most: */
    DX_TREE_SNAPSHOT_SIZE_MAX = DX_TREE_SNAPSHOT_SIZE + DX_TREE_EXTRAS_MAX
};
#define DX_TREE_ANY_SIZE UINT64_MAX

enum dx_tree_type { /* dx_tree_entry.type */
    DX_TREE_FILE = 1,
    DX_TREE_DIR = 2,
    DX_TREE_LINK = 3,
    DX_TREE_FIFO = 4, /* this one and those below have no content: INLINE, size 0 */
    DX_TREE_CHAR = 5, /* a character device */
    DX_TREE_BLOCK = 6 /* a block device */
};
enum { DX_TREE_INLINE = 255 }; /* dx_tree_entry.level */

enum dx_tree_extra { /* optional data of an entry: dx_tree_find_extra() */
    DX_TREE_OWNER = 1,      /* dx_tree_read_owner() */
    DX_TREE_SAME = 2,       /* another name of an earlier file: dx_tree_read_same() */
    DX_TREE_HOLES = 3,      /* of a file: dx_tree_holes_next(), */
    DX_TREE_HOLES_ID = 4,   /* or the id and size of an object with them */
    DX_TREE_XATTRS = 5,     /* extended attributes: dx_tree_xattrs_next(), */
    DX_TREE_XATTRS_ID = 6,  /* or the id and size of an object with them */
    DX_TREE_DEVICE = 7      /* its numbers: dx_tree_read_device() */
};

typedef struct dx_tree_entry {
    uint8_t     type;       /* DX_TREE_FILE, ... */
    uint8_t     level;      /* of id: 0 = the bytes themselves, 1..8 = a list; or INLINE */
    uint16_t    mode;       /* permission, setuid, setgid and sticky bits, 0..07777 */
    uint16_t    name_size;  /* 1..255; 0 only for the root, in a snapshot */
    int64_t     mtime_ns;   /* since 1970 */
    uint64_t    size;       /* file: its bytes. Link: of its target. Directory: of all below it */
    uint64_t    count;      /* directory: entries below it, at any depth; else 0 */
    const void *name;       /* not NUL-terminated */
    const void *data;       /* INLINE: the file's bytes or the link's target; else NULL */
    uint8_t     id[32];     /* not INLINE: of the content, or of the list of its parts */
    uint16_t    extra_size; /* 0: nothing beyond version 1 of the format */
    const void *extra;      /* records that dx_tree_put_extra() made */
} dx_tree_entry;

typedef struct dx_tree_owner {
    uint32_t    user;            /* ids, */
    uint32_t    group;
    uint8_t     user_name_size;  /* and names if they are known, else 0 */
    uint8_t     group_name_size;
    const void *user_name;       /* not NUL-terminated */
    const void *group_name;
} dx_tree_owner;

typedef struct dx_tree_holes { /* a walk over the holes of a file; private */
    const uint8_t *bytes_;
    size_t         size_;
    size_t         at_;
    uint64_t       offset_; /* in the file: the end of the hole before */
    uint64_t       total_;  /* of the file */
} dx_tree_holes;

typedef struct dx_tree_xattr {
    const char *name;       /* not NUL-terminated */
    const void *value;
    uint32_t    value_size;
    uint8_t     name_size;
} dx_tree_xattr;

typedef struct dx_tree_xattrs { /* a walk over attributes; private */
    const uint8_t *bytes_;
    size_t         size_;
    size_t         at_;
    const uint8_t *last_;   /* the previous name */
    uint8_t        last_size_;
} dx_tree_xattrs;

typedef struct dx_tree_piece { /* entries being written; the fields may be read */
    uint8_t *bytes;
    size_t   capacity;
    size_t   size;           /* bytes of the entries in it, */
    uint32_t count;          /* and their number */
    uint16_t last_size;
    uint8_t  last[255];      /* the last name, kept across pieces */
} dx_tree_piece;

typedef struct dx_tree_reader { /* private */
    const uint8_t *bytes_;     /* the piece being read */
    size_t         size_;
    size_t         at_;        /* the next entry in it */
    uint16_t       last_size_;
    uint8_t        last_[255]; /* the last name, kept across pieces */
} dx_tree_reader;

/* Store an object and set its id. Returns 0, or an error that is passed through. */
typedef int dx_tree_put_fn(void *user, const void *data, size_t size, uint8_t id[32]);

typedef struct dx_tree_list { /* lists being written; private. The caller gives it memory */
    dx_tree_put_fn *put_;
    void           *user_;
    uint8_t        *nodes_;     /* DX_TREE_LEVELS_MAX nodes of DX_TREE_LIST_SIZE_MAX bytes */
    uint32_t        counts_[8]; /* children of the open node of each level, */
    uint64_t        sizes_[8];  /* and bytes of content under it */
    uint64_t        size_;      /* bytes of content in all */
} dx_tree_list;

typedef struct dx_tree_list_view { /* a list that passed the check */
    const uint8_t *bytes_;
    uint32_t       count;    /* children */
    uint32_t       level;
    uint64_t       size;     /* bytes of content under it */
} dx_tree_list_view;

/* >>api ---------------------------------------------------------------- */
/* "DX_TREE_ECORRUPT" and so on; "unknown error" for anything else. Never NULL. */
DX_TREE_API const char *dx_tree_error_name(int error);

/* --- Entries. out = the entry's bytes; *size = their number. DX_TREE_ENOSPACE, or an error of the
   entry. */
DX_TREE_API int dx_tree_write_entry(const dx_tree_entry *e, void *out, size_t capacity,
                                    size_t *size);
/* Decode the entry at the start of bytes. Returns its size, or an error. Pointers lead there. */
DX_TREE_API int dx_tree_read_entry(const void *bytes, size_t size, dx_tree_entry *out);
/* Add a child to the size and count of its directory, as docs/formats/tree.md defines them.
   DX_TREE_ETOOBIG: above 2^64. */
DX_TREE_API int dx_tree_add_up(dx_tree_entry *dir, const dx_tree_entry *child);
/* Names compare as bytes; a prefix comes first. */
DX_TREE_API int dx_tree_compare_names(const void *a, size_t a_size, const void *b, size_t b_size);

/* Does it need version 2 of the format? Then so does its snapshot. */
DX_TREE_API bool dx_tree_is_extended(const dx_tree_entry *e);

/* --- Extras, written: records into a buffer that becomes dx_tree_entry.extra. *used starts at 0;
   DX_TREE_ENOSPACE leaves it unchanged. dx_tree_write_entry() checks the result. */
/* Add kinds in ascending order. */
DX_TREE_API int dx_tree_put_extra(void *out, size_t capacity, size_t *used, int kind,
                                  const void *bytes, size_t size);
DX_TREE_API int dx_tree_put_owner(void *out, size_t capacity, size_t *used,
                                  const dx_tree_owner *owner);
/* The path of the earlier name: `up` directories above that of this name, and from there down. */
DX_TREE_API int dx_tree_put_same(void *out, size_t capacity, size_t *used, unsigned up,
                                 const void *path, size_t size);
DX_TREE_API int dx_tree_put_device(void *out, size_t capacity, size_t *used, uint32_t major_number,
                                   uint32_t minor_number);
/* The bytes for DX_TREE_HOLES, hole by hole: `data` bytes since the end of the previous hole, then
   `hole` bytes. */
DX_TREE_API int dx_tree_put_hole(void *out, size_t capacity, size_t *used, uint64_t data,
                                 uint64_t hole);
/* The bytes for DX_TREE_XATTRS, in the order of the names. */
DX_TREE_API int dx_tree_put_xattr(void *out, size_t capacity, size_t *used,
                                  const dx_tree_xattr *attribute);

/* --- Extras, read. NULL: the entry has none of this kind. */
DX_TREE_API const void *dx_tree_find_extra(const dx_tree_entry *e, int kind, size_t *size);
/* Of a decoded entry; false: it has none. The results point into the entry. */
DX_TREE_API bool dx_tree_read_owner(const dx_tree_entry *e, dx_tree_owner *out);
DX_TREE_API bool dx_tree_read_same(const dx_tree_entry *e, unsigned *up, const void **path,
                                   size_t *size);
DX_TREE_API bool dx_tree_read_device(const dx_tree_entry *e, uint32_t *major_number,
                                     uint32_t *minor_number);
/* kind DX_TREE_HOLES or DX_TREE_XATTRS: the id (points into the entry) and size of the object. */
DX_TREE_API const uint8_t *dx_tree_read_object(const dx_tree_entry *e, int kind, uint32_t *size);
/* From the entry, or from an object; each step checks its record. total: bytes of the file. */
DX_TREE_API void dx_tree_holes_begin(dx_tree_holes *h, const void *bytes, size_t size,
                                     uint64_t total);
/* 1: a hole. 0: there are no more. Negative: an error. */
DX_TREE_API int  dx_tree_holes_next(dx_tree_holes *h, uint64_t *start, uint64_t *size);
DX_TREE_API void dx_tree_xattrs_begin(dx_tree_xattrs *x, const void *bytes, size_t size);
DX_TREE_API int  dx_tree_xattrs_next(dx_tree_xattrs *x, dx_tree_xattr *out);

/* --- Directories, written: add the entries in order. When the result is 1, store the piece as an
   object, add it to a list, and continue after dx_tree_piece_reset(). A directory without entries
   is one empty piece. */
DX_TREE_API void dx_tree_piece_begin(dx_tree_piece *p, void *bytes, size_t capacity);
DX_TREE_API void dx_tree_piece_reset(dx_tree_piece *p);
/* 0: added. 1: added, and the piece ends here. DX_TREE_ENOSPACE: the piece ends before this entry
   (store it, reset, add again). Other errors: the entry is invalid. */
DX_TREE_API int  dx_tree_piece_add(dx_tree_piece *p, const dx_tree_entry *e);

/* --- Directories, read: feed the pieces in order. */
DX_TREE_API void dx_tree_reader_begin(dx_tree_reader *r);
DX_TREE_API void dx_tree_reader_feed(dx_tree_reader *r, const void *piece, size_t size);
/* 1: *out is the next entry. 0: the end of the piece. Negative: an error. */
DX_TREE_API int  dx_tree_reader_next(dx_tree_reader *r, dx_tree_entry *out);

/* --- Lists: of the chunks of a file, or the pieces of a directory. memory: DX_TREE_LEVELS_MAX *
   DX_TREE_LIST_SIZE_MAX bytes. */
DX_TREE_API void dx_tree_list_begin(dx_tree_list *l, void *memory, dx_tree_put_fn *put, void *user);
DX_TREE_API int  dx_tree_list_add(dx_tree_list *l, const uint8_t id[32], uint64_t size);
/* One child: that child itself, level 0. None: DX_TREE_EINVAL. */
DX_TREE_API int  dx_tree_list_finish(dx_tree_list *l, uint8_t id[32], uint8_t *level,
                                     uint64_t *size);
/* Check a list of that level. total: the bytes under it, from the file's size or the list above,
   or, for the topmost list of a directory, DX_TREE_ANY_SIZE. */
DX_TREE_API int  dx_tree_list_open(dx_tree_list_view *v, const void *bytes, size_t size,
                                   uint32_t level, uint64_t total);
/* Child i < count: its id (points into the list) and the bytes under it. */
DX_TREE_API const uint8_t *dx_tree_list_child(const dx_tree_list_view *v, uint32_t i,
                                              uint64_t *size);

/* --- Snapshots: the root. e is a directory without a name. extended: an entry below it is. */
DX_TREE_API int dx_tree_write_snapshot(const dx_tree_entry *e, bool extended, void *out,
                                       size_t capacity, size_t *size);
DX_TREE_API int dx_tree_read_snapshot(const void *bytes, size_t size, dx_tree_entry *out);

#ifdef __cplusplus
}
#endif
#endif /* DX_TREE_H */

#if (defined(DX_TREE_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_TREE_IMPLEMENTED)
#define DX_TREE_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_TREE_ASSERT
  #if (!defined(__STDC_HOSTED__) || __STDC_HOSTED__ == 1) && !defined(NDEBUG)
    #include <assert.h>
    #define DX_TREE_ASSERT(c) assert(c)
  #else
    #define DX_TREE_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_TREE_P_LIBC(name) __builtin_##name
#else
  #include <string.h>
  #define DX_TREE_P_LIBC(name) name
#endif
#ifndef DX_TREE_MEMCPY
  #define DX_TREE_MEMCPY DX_TREE_P_LIBC(memcpy)
#endif
#ifndef DX_TREE_MEMCMP
  #define DX_TREE_MEMCMP DX_TREE_P_LIBC(memcmp)
#endif

/* >>shared --------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies. */
static uint32_t dx_tree_p_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t dx_tree_p_load64(const uint8_t *p)
{
    return (uint64_t)dx_tree_p_load32(p) | (uint64_t)dx_tree_p_load32(p + 4) << 32;
}

static void dx_tree_p_store32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8 & 0xff);
    p[2] = (uint8_t)(v >> 16 & 0xff);
    p[3] = (uint8_t)(v >> 24);
}

static void dx_tree_p_store64(uint8_t *p, uint64_t v)
{
    dx_tree_p_store32(p, (uint32_t)(v & 0xffffffffu));
    dx_tree_p_store32(p + 4, (uint32_t)(v >> 32));
}
/* <<shared */

DX_TREE_API const char *dx_tree_error_name(int error)
{
    switch (error) {
#define DX_TREE_P_NAME(value, constant)                                                            \
    case value: return "DX_TREE_" #constant;
        DX_TREE_ERRORS(DX_TREE_P_NAME)
#undef DX_TREE_P_NAME
    default: return "unknown error";
    }
}

/* >>extras --------------------------------------------------------------
   Data that version 1 lacks, after the entry: records in ascending order of kind, each once.

       [kind 1][0 1][size 2] bytes ...   OWNER      user 4, group 4, names: size 1, bytes
                                         SAME       up 2, path
                                         HOLES      (data, hole) ..., numbers of 1 to 10 bytes
                                         XATTRS     (name size 1, value size 1-3, both) ...
                                         HOLES_ID, XATTRS_ID   id 32, size 4
                                         DEVICE     major 4, minor 4

   An entry without extras is the same bytes in both versions, so old and new snapshots share it.
   Records in the entry are checked when it is decoded, those in objects during the walk. */
enum {
    DX_TREE_P_EXTRA_HEAD = 4,
    DX_TREE_P_OWNER_MIN = 10,
    DX_TREE_P_OBJECT = 36,
    DX_TREE_P_NUMBER_MAX = 10 /* bytes of a number */
};

/* Is one of the bytes zero, or `other`? */
static bool dx_tree_p_has_zero(const uint8_t *p, uint64_t size, uint8_t other)
{
    uint64_t i;
    for (i = 0; i < size; i++) {
        if (!p[i] || p[i] == other) return true;
    }
    return false;
}

/* Refuse names that could lead out of the directory or mean another one; only here. */
static int dx_tree_p_check_name(const uint8_t *name, size_t size)
{
    if (!size || dx_tree_p_has_zero(name, size, '/')) return DX_TREE_ENAME;
    if (name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.'))) return DX_TREE_ENAME;
    return DX_TREE_OK;
}

/* A varint: 7 bits a byte, the low ones first; every byte but the last one has bit 7. */
static size_t dx_tree_p_put_number(uint8_t *out, uint64_t v)
{
    size_t n = 0;
    for (; v >= 128; v >>= 7) out[n++] = (uint8_t)((v & 127) | 128);
    out[n++] = (uint8_t)(v & 127);
    return n;
}

/* Advance *at over a number in its shortest form; false: malformed. */
static bool dx_tree_p_get_number(const uint8_t *p, size_t size, size_t *at, uint64_t *out)
{
    unsigned shift = 0;
    *out = 0;
    DX_TREE_ASSERT(*at <= size);
    for (; *at < size && shift < 64; shift += 7) {
        uint8_t byte = p[(*at)++];
        if (shift == 63 && byte > 1) return false;
        *out |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) return byte || !shift;
    }
    return false;
}

DX_TREE_API void dx_tree_holes_begin(dx_tree_holes *h, const void *bytes, size_t size,
                                     uint64_t total)
{
    DX_TREE_ASSERT(h && (bytes || !size));
    h->bytes_ = (const uint8_t *)bytes;
    h->size_ = size;
    h->at_ = 0;
    h->offset_ = 0;
    h->total_ = total;
}

DX_TREE_API int dx_tree_holes_next(dx_tree_holes *h, uint64_t *start, uint64_t *size)
{
    uint64_t data;
    uint64_t left = h->total_ - h->offset_;
    bool first = h->at_ == 0;
    DX_TREE_ASSERT(h->offset_ <= h->total_);
    if (h->at_ == h->size_) return first ? DX_TREE_EEXTRA : 0; /* a map needs a hole */
    if (!dx_tree_p_get_number(h->bytes_, h->size_, &h->at_, &data)) return DX_TREE_EEXTRA;
    if (!dx_tree_p_get_number(h->bytes_, h->size_, &h->at_, size)) return DX_TREE_EEXTRA;
    if (!*size || (!data && !first) || data > left || *size > left - data) return DX_TREE_EEXTRA;
    *start = h->offset_ + data;
    h->offset_ = *start + *size;
    return 1;
}

DX_TREE_API void dx_tree_xattrs_begin(dx_tree_xattrs *x, const void *bytes, size_t size)
{
    DX_TREE_ASSERT(x && (bytes || !size));
    x->bytes_ = (const uint8_t *)bytes;
    x->size_ = size;
    x->at_ = 0;
    x->last_ = NULL;
    x->last_size_ = 0;
}

DX_TREE_API int dx_tree_xattrs_next(dx_tree_xattrs *x, dx_tree_xattr *out)
{
    uint64_t value;
    size_t name_size;
    const uint8_t *name;
    if (x->at_ == x->size_) return x->at_ ? 0 : DX_TREE_EEXTRA;
    name_size = x->bytes_[x->at_++];
    if (!dx_tree_p_get_number(x->bytes_, x->size_, &x->at_, &value)) return DX_TREE_EEXTRA;
    if (!name_size || value > DX_TREE_XATTR_VALUE_MAX) return DX_TREE_EEXTRA;
    if (name_size + value > x->size_ - x->at_) return DX_TREE_EEXTRA;
    name = x->bytes_ + x->at_;
    if (dx_tree_p_has_zero(name, name_size, 0)) return DX_TREE_EEXTRA;
    if (x->last_ && dx_tree_compare_names(x->last_, x->last_size_, name, name_size) >= 0)
        return DX_TREE_EEXTRA;
    x->last_ = name;
    x->last_size_ = (uint8_t)name_size;
    x->at_ += name_size + (size_t)value;
    out->name = (const char *)name;
    out->name_size = (uint8_t)name_size;
    out->value = name + name_size;
    out->value_size = (uint32_t)value;
    return 1;
}

/* Owner names end up in account lists and messages: no field separator, no control characters. */
static bool dx_tree_p_is_account(const uint8_t *name, size_t size)
{
    size_t i;
    for (i = 0; i < size; i++) {
        if (name[i] < ' ' || name[i] == 127 || name[i] == ':' || name[i] == '/') return false;
    }
    return true;
}

static int dx_tree_p_get_owner(const uint8_t *p, size_t size, dx_tree_owner *out)
{
    size_t user, group;
    if (size < DX_TREE_P_OWNER_MIN) return DX_TREE_EEXTRA;
    user = p[8];
    if (user + DX_TREE_P_OWNER_MIN > size) return DX_TREE_EEXTRA;
    group = p[9 + user];
    if (user + group + DX_TREE_P_OWNER_MIN != size) return DX_TREE_EEXTRA;
    if (!dx_tree_p_is_account(p + 9, user) || !dx_tree_p_is_account(p + 10 + user, group))
        return DX_TREE_EEXTRA;
    out->user = dx_tree_p_load32(p);
    out->group = dx_tree_p_load32(p + 4);
    out->user_name_size = (uint8_t)user;
    out->user_name = p + 9;
    out->group_name_size = (uint8_t)group;
    out->group_name = p + 10 + user;
    return DX_TREE_OK;
}

/* A relative path down: valid names, separated by single slashes. */
static int dx_tree_p_check_same(const uint8_t *p, size_t size)
{
    size_t from = 2, at;
    if (size < 3 || size - 2 > DX_TREE_SAME_MAX) return DX_TREE_EEXTRA;
    for (at = 2; at <= size; at++) {
        int error;
        if (at < size && p[at] != '/') continue;
        if (at - from > DX_TREE_NAME_MAX) return DX_TREE_EEXTRA;
        error = dx_tree_p_check_name(p + from, at - from);
        if (error) return error;
        from = at + 1;
    }
    return DX_TREE_OK;
}

static int dx_tree_p_check_holes(const uint8_t *p, size_t size, uint64_t total)
{
    dx_tree_holes h;
    uint64_t start, hole;
    int got;
    if (size > DX_TREE_EXTRA_INLINE_MAX) return DX_TREE_ETOOBIG;
    dx_tree_holes_begin(&h, p, size, total);
    while ((got = dx_tree_holes_next(&h, &start, &hole)) == 1) {}
    return got;
}

static int dx_tree_p_check_xattrs(const uint8_t *p, size_t size)
{
    dx_tree_xattrs x;
    dx_tree_xattr attribute;
    int got;
    if (size > DX_TREE_EXTRA_INLINE_MAX) return DX_TREE_ETOOBIG;
    dx_tree_xattrs_begin(&x, p, size);
    while ((got = dx_tree_xattrs_next(&x, &attribute)) == 1) {}
    return got;
}

/* An object must be too large for the entry, so that equal attributes have one form. */
static int dx_tree_p_check_object(const uint8_t *p, size_t size)
{
    uint32_t bytes = size == DX_TREE_P_OBJECT ? dx_tree_p_load32(p + 32) : 0;
    if (bytes <= DX_TREE_EXTRA_INLINE_MAX) return DX_TREE_EEXTRA;
    return bytes > DX_TREE_EXTRA_SIZE_MAX ? DX_TREE_ETOOBIG : DX_TREE_OK;
}

static int dx_tree_p_check_extra(const dx_tree_entry *e, int kind, const uint8_t *p, size_t size)
{
    dx_tree_owner owner;
    bool has_chunks = e->type == DX_TREE_FILE && e->level != DX_TREE_INLINE;
    bool is_device = e->type == DX_TREE_CHAR || e->type == DX_TREE_BLOCK;
    switch (kind) {
    case DX_TREE_OWNER: return dx_tree_p_get_owner(p, size, &owner);
    case DX_TREE_SAME:
        return e->type == DX_TREE_DIR ? DX_TREE_EEXTRA : dx_tree_p_check_same(p, size);
    case DX_TREE_HOLES:
        return has_chunks ? dx_tree_p_check_holes(p, size, e->size) : DX_TREE_EEXTRA;
    case DX_TREE_HOLES_ID:
        return has_chunks ? dx_tree_p_check_object(p, size) : DX_TREE_EEXTRA;
    case DX_TREE_XATTRS: return dx_tree_p_check_xattrs(p, size);
    case DX_TREE_XATTRS_ID: return dx_tree_p_check_object(p, size);
    case DX_TREE_DEVICE: return is_device && size == 8 ? DX_TREE_OK : DX_TREE_EEXTRA;
    default: return kind ? DX_TREE_EVERSION : DX_TREE_EEXTRA;
    }
}

/* Check all extras of an entry whose head was checked. */
static int dx_tree_p_check_extras(const dx_tree_entry *e)
{
    const uint8_t *p = (const uint8_t *)e->extra;
    size_t at = 0;
    unsigned seen = 0; /* a bit for each kind */
    bool is_device = e->type == DX_TREE_CHAR || e->type == DX_TREE_BLOCK;
    if (e->extra_size > DX_TREE_EXTRAS_MAX) return DX_TREE_ETOOBIG;
    while (at < e->extra_size) {
        size_t size;
        int error;
        if (e->extra_size - at < DX_TREE_P_EXTRA_HEAD) return DX_TREE_EEXTRA;
        if (p[at + 1]) return DX_TREE_EZERO;
        size = p[at + 2] | (size_t)p[at + 3] << 8;
        if (e->extra_size - at - DX_TREE_P_EXTRA_HEAD < size) return DX_TREE_EEXTRA;
        error = dx_tree_p_check_extra(e, p[at], p + at + DX_TREE_P_EXTRA_HEAD, size);
        if (error) return error;
        if (seen >> p[at]) return DX_TREE_EEXTRA; /* this one, or a higher one, was seen */
        seen |= 1u << p[at];
        at += DX_TREE_P_EXTRA_HEAD + size;
    }
    /* The earlier name has all shared attributes. */
    if (seen & 1u << DX_TREE_SAME && seen != 1u << DX_TREE_SAME) return DX_TREE_EEXTRA;
    if (seen & 1u << DX_TREE_HOLES && seen & 1u << DX_TREE_HOLES_ID) return DX_TREE_EEXTRA;
    if (seen & 1u << DX_TREE_XATTRS && seen & 1u << DX_TREE_XATTRS_ID) return DX_TREE_EEXTRA;
    if (is_device && !(seen & (1u << DX_TREE_DEVICE | 1u << DX_TREE_SAME))) return DX_TREE_EEXTRA;
    return DX_TREE_OK;
}

DX_TREE_API int dx_tree_put_extra(void *out, size_t capacity, size_t *used, int kind,
                                  const void *bytes, size_t size)
{
    uint8_t *p = (uint8_t *)out;
    if (!out || !used || (size && !bytes) || kind < 1 || kind > 255) return DX_TREE_EINVAL;
    if (size > DX_TREE_EXTRAS_MAX) return DX_TREE_ETOOBIG;
    DX_TREE_ASSERT(*used <= capacity);
    if (capacity - *used < DX_TREE_P_EXTRA_HEAD + size) return DX_TREE_ENOSPACE;
    p += *used;
    p[0] = (uint8_t)kind;
    p[1] = 0;
    p[2] = (uint8_t)(size & 0xff);
    p[3] = (uint8_t)(size >> 8);
    if (size) DX_TREE_MEMCPY(p + DX_TREE_P_EXTRA_HEAD, bytes, size);
    *used += DX_TREE_P_EXTRA_HEAD + size;
    return DX_TREE_OK;
}

DX_TREE_API int dx_tree_put_owner(void *out, size_t capacity, size_t *used,
                                  const dx_tree_owner *owner)
{
    uint8_t bytes[DX_TREE_P_OWNER_MIN + 2 * DX_TREE_NAME_MAX];
    size_t user = owner->user_name_size;
    size_t group = owner->group_name_size;
    dx_tree_p_store32(bytes, owner->user);
    dx_tree_p_store32(bytes + 4, owner->group);
    bytes[8] = owner->user_name_size;
    if (user) DX_TREE_MEMCPY(bytes + 9, owner->user_name, user);
    bytes[9 + user] = owner->group_name_size;
    if (group) DX_TREE_MEMCPY(bytes + 10 + user, owner->group_name, group);
    return dx_tree_put_extra(out, capacity, used, DX_TREE_OWNER, bytes,
                             DX_TREE_P_OWNER_MIN + user + group);
}

DX_TREE_API int dx_tree_put_same(void *out, size_t capacity, size_t *used, unsigned up,
                                 const void *path, size_t size)
{
    uint8_t bytes[2 + DX_TREE_SAME_MAX];
    if (!size || !path || up > 0xffff) return DX_TREE_EINVAL;
    if (size > DX_TREE_SAME_MAX) return DX_TREE_ETOOBIG;
    bytes[0] = (uint8_t)(up & 0xff);
    bytes[1] = (uint8_t)(up >> 8);
    DX_TREE_MEMCPY(bytes + 2, path, size);
    return dx_tree_put_extra(out, capacity, used, DX_TREE_SAME, bytes, 2 + size);
}

DX_TREE_API int dx_tree_put_device(void *out, size_t capacity, size_t *used, uint32_t major_number,
                                   uint32_t minor_number)
{
    uint8_t bytes[8];
    dx_tree_p_store32(bytes, major_number);
    dx_tree_p_store32(bytes + 4, minor_number);
    return dx_tree_put_extra(out, capacity, used, DX_TREE_DEVICE, bytes, sizeof bytes);
}

DX_TREE_API int dx_tree_put_hole(void *out, size_t capacity, size_t *used, uint64_t data,
                                 uint64_t hole)
{
    uint8_t bytes[2 * DX_TREE_P_NUMBER_MAX];
    size_t n;
    if (!out || !used || !hole || (!data && *used)) return DX_TREE_EINVAL;
    n = dx_tree_p_put_number(bytes, data);
    n += dx_tree_p_put_number(bytes + n, hole);
    DX_TREE_ASSERT(*used <= capacity && n <= sizeof bytes);
    if (capacity - *used < n) return DX_TREE_ENOSPACE;
    DX_TREE_MEMCPY((uint8_t *)out + *used, bytes, n);
    *used += n;
    return DX_TREE_OK;
}

DX_TREE_API int dx_tree_put_xattr(void *out, size_t capacity, size_t *used,
                                  const dx_tree_xattr *attribute)
{
    uint8_t head[1 + DX_TREE_P_NUMBER_MAX];
    uint8_t *p = (uint8_t *)out;
    size_t n, need;
    if (!out || !used || !attribute || !attribute->name_size) return DX_TREE_EINVAL;
    if (attribute->value_size > DX_TREE_XATTR_VALUE_MAX) return DX_TREE_ETOOBIG;
    head[0] = attribute->name_size;
    n = 1 + dx_tree_p_put_number(head + 1, attribute->value_size);
    need = n + attribute->name_size + attribute->value_size;
    DX_TREE_ASSERT(*used <= capacity);
    if (capacity - *used < need) return DX_TREE_ENOSPACE;
    p += *used;
    DX_TREE_MEMCPY(p, head, n);
    DX_TREE_MEMCPY(p + n, attribute->name, attribute->name_size);
    p += n + attribute->name_size;
    if (attribute->value_size) DX_TREE_MEMCPY(p, attribute->value, attribute->value_size);
    *used += need;
    return DX_TREE_OK;
}

DX_TREE_API const void *dx_tree_find_extra(const dx_tree_entry *e, int kind, size_t *size)
{
    const uint8_t *p = (const uint8_t *)e->extra;
    size_t at = 0;
    while (at < e->extra_size) {
        *size = p[at + 2] | (size_t)p[at + 3] << 8;
        if (p[at] == kind) return p + at + DX_TREE_P_EXTRA_HEAD;
        at += DX_TREE_P_EXTRA_HEAD + *size;
        DX_TREE_ASSERT(at <= e->extra_size);
    }
    return NULL;
}

DX_TREE_API bool dx_tree_read_owner(const dx_tree_entry *e, dx_tree_owner *out)
{
    size_t size = 0;
    const uint8_t *p = (const uint8_t *)dx_tree_find_extra(e, DX_TREE_OWNER, &size);
    return p && !dx_tree_p_get_owner(p, size, out);
}

DX_TREE_API bool dx_tree_read_same(const dx_tree_entry *e, unsigned *up, const void **path,
                                   size_t *size)
{
    const uint8_t *p = (const uint8_t *)dx_tree_find_extra(e, DX_TREE_SAME, size);
    if (!p) return false;
    DX_TREE_ASSERT(*size > 2);
    *up = p[0] | (unsigned)p[1] << 8;
    *path = p + 2;
    *size -= 2;
    return true;
}

DX_TREE_API bool dx_tree_read_device(const dx_tree_entry *e, uint32_t *major_number,
                                     uint32_t *minor_number)
{
    size_t size = 0;
    const uint8_t *p = (const uint8_t *)dx_tree_find_extra(e, DX_TREE_DEVICE, &size);
    if (!p) return false;
    DX_TREE_ASSERT(size == 8);
    *major_number = dx_tree_p_load32(p);
    *minor_number = dx_tree_p_load32(p + 4);
    return true;
}

DX_TREE_API const uint8_t *dx_tree_read_object(const dx_tree_entry *e, int kind, uint32_t *size)
{
    size_t bytes = 0;
    const uint8_t *p;
    DX_TREE_ASSERT(kind == DX_TREE_HOLES || kind == DX_TREE_XATTRS);
    p = (const uint8_t *)dx_tree_find_extra(e, kind + 1, &bytes);
    if (p) *size = dx_tree_p_load32(p + DX_TREE_ID_SIZE);
    return p;
}

/* >>entry ---------------------------------------------------------------
   A fixed head, the name, and fields that depend on the type:

       [type level mode][name extras][mtime ][size  ] name ... [count    ] id or content, extras
        1    1     2     2    2       8       8                 8, dirs    32    inline

   Small files and all links are stored inline, in the entry itself. All other content has an id: of
   the bytes (level 0) or of a list of their parts. */
/* Check the numbers of the head. */
static int dx_tree_p_check_head(const dx_tree_entry *e)
{
    bool in_line = e->level == DX_TREE_INLINE;
    if (e->type < DX_TREE_FILE || e->type > DX_TREE_BLOCK) return DX_TREE_ETYPE;
    if (e->mode > 07777) return DX_TREE_EMODE;
    if (e->name_size > DX_TREE_NAME_MAX) return DX_TREE_ETOOBIG;
    if (in_line && e->type == DX_TREE_DIR) return DX_TREE_ELEVEL;
    if (!in_line && (e->level > DX_TREE_LEVELS_MAX || e->type >= DX_TREE_LINK))
        return DX_TREE_ELEVEL;
    if (e->type > DX_TREE_LINK && e->size) return DX_TREE_ESUM;
    if (e->type == DX_TREE_LINK) {
        if (!e->size) return DX_TREE_ETARGET;
        if (e->size > DX_TREE_TARGET_MAX) return DX_TREE_ETOOBIG;
    } else if (e->type == DX_TREE_FILE && in_line != (e->size <= DX_TREE_INLINE_MAX)) {
        return in_line ? DX_TREE_ETOOBIG : DX_TREE_ELEVEL;
    }
    return DX_TREE_OK;
}

/* Bytes of the id, or of the inline content, which is small: the head was checked. */
static size_t dx_tree_p_content(const dx_tree_entry *e)
{
    DX_TREE_ASSERT(e->level != DX_TREE_INLINE || e->size <= DX_TREE_TARGET_MAX);
    if (e->level == DX_TREE_INLINE) return (size_t)e->size;
    return DX_TREE_ID_SIZE;
}

/* Bytes after the name. */
static size_t dx_tree_p_tail(const dx_tree_entry *e)
{
    return (e->type == DX_TREE_DIR ? 8u : 0u) + dx_tree_p_content(e) + e->extra_size;
}

/* The entry without the rules for its name, which the root lacks. */
static void dx_tree_p_put_entry(const dx_tree_entry *e, uint8_t *p)
{
    DX_TREE_ASSERT(e->type >= DX_TREE_FILE && e->type <= DX_TREE_BLOCK);
    p[0] = e->type;
    p[1] = e->level;
    p[2] = (uint8_t)(e->mode & 0xff);
    p[3] = (uint8_t)(e->mode >> 8);
    dx_tree_p_store32(p + 4, e->name_size | (uint32_t)e->extra_size << 16);
    dx_tree_p_store64(p + 8, (uint64_t)e->mtime_ns);
    dx_tree_p_store64(p + 16, e->size);
    p += DX_TREE_ENTRY_HEAD;
    if (e->name_size) DX_TREE_MEMCPY(p, e->name, e->name_size);
    p += e->name_size;
    if (e->type == DX_TREE_DIR) dx_tree_p_store64(p, e->count);
    if (e->type == DX_TREE_DIR) p += 8;
    if (e->level != DX_TREE_INLINE) DX_TREE_MEMCPY(p, e->id, DX_TREE_ID_SIZE);
    else if (e->size) DX_TREE_MEMCPY(p, e->data, (size_t)e->size);
    p += dx_tree_p_content(e);
    if (e->extra_size) DX_TREE_MEMCPY(p, e->extra, e->extra_size);
}

DX_TREE_API int dx_tree_write_entry(const dx_tree_entry *e, void *out, size_t capacity,
                                    size_t *size)
{
    int error;
    size_t need;
    if (!e || !out || !size || (e->name_size && !e->name)) return DX_TREE_EINVAL;
    if (e->extra_size && !e->extra) return DX_TREE_EINVAL;
    error = dx_tree_p_check_head(e);
    if (!error) error = dx_tree_p_check_name((const uint8_t *)e->name, e->name_size);
    if (!error) error = dx_tree_p_check_extras(e);
    if (error) return error;
    if (e->level == DX_TREE_INLINE && e->size && !e->data) return DX_TREE_EINVAL;
    if (e->type == DX_TREE_LINK && dx_tree_p_has_zero((const uint8_t *)e->data, e->size, 0))
        return DX_TREE_ETARGET;
    need = DX_TREE_ENTRY_HEAD + e->name_size + dx_tree_p_tail(e);
    if (capacity < need) return DX_TREE_ENOSPACE;
    dx_tree_p_put_entry(e, (uint8_t *)out);
    *size = need;
    return DX_TREE_OK;
}

/* The size of the entry, or an error; does not check its name. */
static int dx_tree_p_get_entry(const uint8_t *p, size_t size, dx_tree_entry *e)
{
    int error;
    size_t tail;
    uint32_t name_size; /* the upper half is the size of the extras */
    uint64_t mtime;
    if (size < DX_TREE_ENTRY_HEAD) return DX_TREE_ETRUNCATED;
    name_size = dx_tree_p_load32(p + 4);
    mtime = dx_tree_p_load64(p + 8);
    e->type = p[0];
    e->level = p[1];
    e->mode = (uint16_t)(p[2] | (unsigned)p[3] << 8);
    e->name_size = (uint16_t)(name_size & 0xffff);
    e->extra_size = (uint16_t)(name_size >> 16);
    DX_TREE_MEMCPY(&e->mtime_ns, &mtime, sizeof mtime);
    e->size = dx_tree_p_load64(p + 16);
    error = dx_tree_p_check_head(e);
    if (error) return error;
    tail = dx_tree_p_tail(e);
    if (size - DX_TREE_ENTRY_HEAD < e->name_size + tail) return DX_TREE_ETRUNCATED;
    e->name = p + DX_TREE_ENTRY_HEAD;
    e->data = NULL;
    p += DX_TREE_ENTRY_HEAD + e->name_size;
    e->count = e->type == DX_TREE_DIR ? dx_tree_p_load64(p) : 0;
    if (e->type == DX_TREE_DIR) p += 8;
    if (e->level == DX_TREE_INLINE) e->data = p;
    else DX_TREE_MEMCPY(e->id, p, DX_TREE_ID_SIZE);
    if (e->type == DX_TREE_LINK && dx_tree_p_has_zero(p, e->size, 0)) return DX_TREE_ETARGET;
    p += dx_tree_p_content(e);
    e->extra = p;
    error = dx_tree_p_check_extras(e);
    return error ? error : (int)(DX_TREE_ENTRY_HEAD + e->name_size + tail);
}

DX_TREE_API int dx_tree_read_entry(const void *bytes, size_t size, dx_tree_entry *out)
{
    int used, error;
    if (!out || (size && !bytes)) return DX_TREE_EINVAL;
    used = dx_tree_p_get_entry((const uint8_t *)bytes, size, out);
    if (used < 0) return used;
    error = dx_tree_p_check_name((const uint8_t *)out->name, out->name_size);
    return error ? error : used;
}

DX_TREE_API bool dx_tree_is_extended(const dx_tree_entry *e)
{
    return e->extra_size || e->mode > 0777 || e->type > DX_TREE_LINK;
}

DX_TREE_API int dx_tree_add_up(dx_tree_entry *dir, const dx_tree_entry *child)
{
    uint64_t name = child->name_size;
    uint64_t sum = dir->size;
    uint64_t part = 16 + name; /* the bytes of an entry itself, see docs/formats/tree.md */
    bool is_dir = child->type == DX_TREE_DIR;
    if (child->type > DX_TREE_LINK) return DX_TREE_OK; /* it has no bytes in a stream */
    if (is_dir && child->count > (UINT64_MAX - part) / (name + 1)) return DX_TREE_ETOOBIG;
    if (is_dir) part += child->count * (name + 1);
    if (child->size > UINT64_MAX - part) return DX_TREE_ETOOBIG;
    part += child->size;
    if (part > UINT64_MAX - sum || child->count >= UINT64_MAX - dir->count) return DX_TREE_ETOOBIG;
    dir->size += part;
    dir->count += 1 + (is_dir ? child->count : 0);
    return DX_TREE_OK;
}

DX_TREE_API int dx_tree_compare_names(const void *a, size_t a_size, const void *b, size_t b_size)
{
    size_t both = a_size < b_size ? a_size : b_size; /* bytes, not letters: the same everywhere */
    int order = both ? DX_TREE_MEMCMP(a, b, both) : 0;
    if (order != 0) return order;
    if (a_size == b_size) return 0;
    return a_size < b_size ? -1 : 1;
}

/* >>piece ---------------------------------------------------------------
   The entries of a directory in the order of their names, cut into pieces, each an object:

       [a][b][c][d] | [e][f][g][h][i] | [j][k] ...        a piece may end after an entry whose name
                                                          hashes to 0 modulo 8, from the fourth on

   A cut depends on one name only, so a changed entry changes one or two pieces. */
enum { DX_TREE_P_ENTRIES_MIN = 4 }; /* from here on a piece may end by content */

DX_TREE_API void dx_tree_piece_begin(dx_tree_piece *p, void *bytes, size_t capacity)
{
    DX_TREE_ASSERT(p && (bytes || capacity == 0));
    p->bytes = (uint8_t *)bytes;
    p->capacity = DX_TREE_PIECE_SIZE_MAX;
    if (capacity < p->capacity) p->capacity = capacity;
    p->last_size = 0;
    dx_tree_piece_reset(p);
}

DX_TREE_API void dx_tree_piece_reset(dx_tree_piece *p)
{
    DX_TREE_ASSERT(p);
    p->size = 0;
    p->count = 0;
}

/* FNV-1a (draft-eastlake-fnv, 32 bits) of a name decides whether a piece may end after it, so that
   insertions and deletions do not move other cuts. */
static bool dx_tree_p_ends(const uint8_t *name, size_t size)
{
    uint32_t h = 0x811c9dc5u;
    DX_TREE_ASSERT(name && size > 0);
    while (size--) h = (h ^ *name++) * 0x01000193u;
    return ((h ^ h >> 16) & 7) == 0;
}

DX_TREE_API int dx_tree_piece_add(dx_tree_piece *p, const dx_tree_entry *e)
{
    size_t size = 0;
    int error = dx_tree_write_entry(e, p->bytes + p->size, p->capacity - p->size, &size);
    DX_TREE_ASSERT(p->size <= p->capacity);
    if (error == DX_TREE_ENOSPACE && !p->count) return DX_TREE_ENOMEM;
    if (error) return error;
    if (p->last_size && dx_tree_compare_names(p->last, p->last_size, e->name, e->name_size) >= 0)
        return DX_TREE_EORDER;
    DX_TREE_MEMCPY(p->last, e->name, e->name_size);
    p->last_size = e->name_size;
    p->size += size;
    p->count++;
    return p->count >= DX_TREE_P_ENTRIES_MIN && dx_tree_p_ends(p->last, p->last_size);
}

/* >>reader --------------------------------------------------------------
   Decodes pieces in order; names must ascend across all of them. */
DX_TREE_API void dx_tree_reader_begin(dx_tree_reader *r)
{
    DX_TREE_ASSERT(r);
    r->bytes_ = NULL;
    r->size_ = r->at_ = 0;
    r->last_size_ = 0;
}

DX_TREE_API void dx_tree_reader_feed(dx_tree_reader *r, const void *piece, size_t size)
{
    DX_TREE_ASSERT(r && (piece || size == 0));
    r->bytes_ = (const uint8_t *)piece;
    r->size_ = size;
    r->at_ = 0;
}

DX_TREE_API int dx_tree_reader_next(dx_tree_reader *r, dx_tree_entry *out)
{
    int used;
    DX_TREE_ASSERT(r && out && r->at_ <= r->size_);
    if (r->at_ == r->size_) return 0;
    if (r->size_ > DX_TREE_PIECE_SIZE_MAX) return DX_TREE_ETOOBIG;
    used = dx_tree_read_entry(r->bytes_ + r->at_, r->size_ - r->at_, out);
    if (used < 0) return used;
    if (r->last_size_ &&
        dx_tree_compare_names(r->last_, r->last_size_, out->name, out->name_size) >= 0)
        return DX_TREE_EORDER;
    DX_TREE_MEMCPY(r->last_, out->name, out->name_size);
    r->last_size_ = out->name_size;
    r->at_ += (size_t)used;
    return 1;
}

/* >>list ----------------------------------------------------------------
   A list is a tree of nodes over parts. One node of each level is open, in the caller's memory:

       level 2                [ node ]                   node: [level][count][size] then for each
                             /        \                        child [id, 32][bytes under it, 8]
       level 1     [ node ][ node ][ node open
                   /  |  \
       parts      p0  p1  p2 ...

   A node ends at 512 children, or from the 32nd on after a child whose id has 7 zero bits: like the
   cuts of pieces, that depends on content, so that a change in the middle keeps most nodes.
   A node that ends is stored as an object, and becomes a child one level up. */
enum {
    DX_TREE_P_LIST_HEAD = 16,
    DX_TREE_P_CHILD = 40,        /* an id and 8 bytes */
    DX_TREE_P_CHILDREN_MIN = 32  /* from here on a node may end by content */
};

DX_TREE_API void dx_tree_list_begin(dx_tree_list *l, void *memory, dx_tree_put_fn *put, void *user)
{
    unsigned i;
    DX_TREE_ASSERT(l && memory && put);
    l->nodes_ = (uint8_t *)memory;
    l->put_ = put;
    l->user_ = user;
    l->size_ = 0;
    for (i = 0; i < DX_TREE_LEVELS_MAX; i++) {
        l->counts_[i] = 0;
        l->sizes_[i] = 0;
    }
}

/* Offset of child i in a node; with i = count, the size of the node. */
static size_t dx_tree_p_child_at(uint32_t i)
{
    return DX_TREE_P_LIST_HEAD + DX_TREE_P_CHILD * (size_t)i;
}

/* The open node of level i + 1. */
static uint8_t *dx_tree_p_node(const dx_tree_list *l, uint32_t i)
{
    DX_TREE_ASSERT(i < DX_TREE_LEVELS_MAX);
    return l->nodes_ + (size_t)i * DX_TREE_LIST_SIZE_MAX;
}

/* Store the node of level i + 1 and reset it. */
static int dx_tree_p_close(dx_tree_list *l, uint32_t i, uint8_t id[32], uint64_t *size)
{
    uint8_t *node = dx_tree_p_node(l, i);
    int error;
    DX_TREE_ASSERT(l->counts_[i] > 0 && l->counts_[i] <= DX_TREE_LIST_CHILDREN_MAX);
    dx_tree_p_store32(node, i + 1);
    dx_tree_p_store32(node + 4, l->counts_[i]);
    dx_tree_p_store64(node + 8, l->sizes_[i]);
    error = l->put_(l->user_, node, dx_tree_p_child_at(l->counts_[i]), id);
    if (error) return error;
    *size = l->sizes_[i];
    l->counts_[i] = 0;
    l->sizes_[i] = 0;
    return DX_TREE_OK;
}

/* Add a child to the node of level i + 1; full nodes move up, level by level. */
static int dx_tree_p_push(dx_tree_list *l, uint32_t i, const uint8_t *id, uint64_t size)
{
    uint8_t carried[32];
    for (;; i++) {
        uint8_t *child;
        bool may_end;
        int error;
        if (i == DX_TREE_LEVELS_MAX) return DX_TREE_ETOOBIG;
        child = dx_tree_p_node(l, i) + dx_tree_p_child_at(l->counts_[i]);
        DX_TREE_ASSERT(l->counts_[i] < DX_TREE_LIST_CHILDREN_MAX);
        DX_TREE_MEMCPY(child, id, 32);
        dx_tree_p_store64(child + 32, size);
        may_end = (child[0] & 127) == 0;
        l->counts_[i]++;
        l->sizes_[i] += size;
        if (l->counts_[i] < DX_TREE_P_CHILDREN_MIN) may_end = false;
        if (l->counts_[i] < DX_TREE_LIST_CHILDREN_MAX && !may_end) return DX_TREE_OK;
        error = dx_tree_p_close(l, i, carried, &size);
        if (error) return error;
        id = carried;
    }
}

DX_TREE_API int dx_tree_list_add(dx_tree_list *l, const uint8_t id[32], uint64_t size)
{
    if (!l || !id || !size) return DX_TREE_EINVAL;
    if (size > UINT64_MAX - l->size_) return DX_TREE_ETOOBIG;
    l->size_ += size;
    return dx_tree_p_push(l, 0, id, size);
}

/* Close open nodes into the level above, from below, until one id is left. */
DX_TREE_API int dx_tree_list_finish(dx_tree_list *l, uint8_t id[32], uint8_t *level, uint64_t *size)
{
    uint32_t i, j;
    if (!l || !id || !level || !size || !l->size_) return DX_TREE_EINVAL;
    *size = l->size_;
    for (i = 0; i < DX_TREE_LEVELS_MAX; i++) {
        uint32_t above = 0;
        uint64_t node_size;
        int error;
        if (!l->counts_[i]) continue;
        for (j = i + 1; j < DX_TREE_LEVELS_MAX; j++) above |= l->counts_[j];
        if (!above && l->counts_[i] == 1) { /* a node of one child is replaced by it */
            DX_TREE_MEMCPY(id, dx_tree_p_node(l, i) + dx_tree_p_child_at(0), 32);
            *level = (uint8_t)i;
            return DX_TREE_OK;
        }
        error = dx_tree_p_close(l, i, id, &node_size);
        if (!error) error = dx_tree_p_push(l, i + 1, id, node_size);
        if (error) return error;
    }
    return DX_TREE_ETOOBIG; /* the topmost level is full */
}

DX_TREE_API int dx_tree_list_open(dx_tree_list_view *v, const void *bytes, size_t size,
                                  uint32_t level, uint64_t total)
{
    const uint8_t *p = (const uint8_t *)bytes;
    uint64_t sum = 0; /* bytes of all children: none may be empty, and the sum must match */
    uint32_t i, count;
    if (!v || (size && !p)) return DX_TREE_EINVAL;
    if (size < DX_TREE_P_LIST_HEAD) return DX_TREE_ETRUNCATED;
    if (p[1] || p[2] || p[3]) return DX_TREE_EZERO;
    if (!p[0] || p[0] > DX_TREE_LEVELS_MAX || p[0] != level) return DX_TREE_ELEVEL;
    count = dx_tree_p_load32(p + 4);
    if (!count) return DX_TREE_ESUM;
    if (count > DX_TREE_LIST_CHILDREN_MAX) return DX_TREE_ETOOBIG;
    if (size < dx_tree_p_child_at(count)) return DX_TREE_ETRUNCATED;
    if (size > dx_tree_p_child_at(count)) return DX_TREE_ECORRUPT;
    for (i = 0; i < count; i++) {
        uint64_t child = dx_tree_p_load64(p + dx_tree_p_child_at(i) + 32);
        if (!child || child > UINT64_MAX - sum) return DX_TREE_ESUM;
        sum += child;
    }
    if (sum != dx_tree_p_load64(p + 8)) return DX_TREE_ESUM;
    if (sum != total && total != DX_TREE_ANY_SIZE) return DX_TREE_ESUM;
    v->bytes_ = p;
    v->count = count;
    v->level = level;
    v->size = sum;
    return DX_TREE_OK;
}

DX_TREE_API const uint8_t *dx_tree_list_child(const dx_tree_list_view *v, uint32_t i,
                                              uint64_t *size)
{
    const uint8_t *child = v->bytes_ + dx_tree_p_child_at(i);
    DX_TREE_ASSERT(v->bytes_ && i < v->count);
    *size = dx_tree_p_load64(child + 32);
    return child;
}

/* >>snapshot ------------------------------------------------------------
   The root of a tree, the object that a name in a store refers to:

       "DXSNAP1\n" [entry of a directory without a name: 24 + 8 + 32 bytes]
       "DXSNAP2\n" [the same, and its extras]

   Version 2: some entry has extras, so an older reader must stop here. */
static const uint8_t dx_tree_p_magic[8] = {'D', 'X', 'S', 'N', 'A', 'P', '1', '\n'};

DX_TREE_API int dx_tree_write_snapshot(const dx_tree_entry *e, bool extended, void *out,
                                       size_t capacity, size_t *size)
{
    uint8_t *p = (uint8_t *)out;
    int error;
    if (!e || !out || !size || e->name_size || (e->extra_size && !e->extra)) return DX_TREE_EINVAL;
    error = dx_tree_p_check_head(e);
    if (!error && e->type != DX_TREE_DIR) error = DX_TREE_ETYPE;
    if (!error) error = dx_tree_p_check_extras(e);
    if (error) return error;
    if (capacity < (size_t)DX_TREE_SNAPSHOT_SIZE + e->extra_size) return DX_TREE_ENOSPACE;
    DX_TREE_MEMCPY(p, dx_tree_p_magic, sizeof dx_tree_p_magic);
    if (extended || dx_tree_is_extended(e)) p[6] = '2';
    dx_tree_p_put_entry(e, p + sizeof dx_tree_p_magic);
    *size = (size_t)DX_TREE_SNAPSHOT_SIZE + e->extra_size;
    return DX_TREE_OK;
}

DX_TREE_API int dx_tree_read_snapshot(const void *bytes, size_t size, dx_tree_entry *out)
{
    const uint8_t *p = (const uint8_t *)bytes;
    int used;
    if (!out || (size && !p)) return DX_TREE_EINVAL;
    if (size < sizeof dx_tree_p_magic) return DX_TREE_ETRUNCATED;
    if (DX_TREE_MEMCMP(p, dx_tree_p_magic, 6) != 0) return DX_TREE_ECORRUPT;
    if ((p[6] != '1' && p[6] != '2') || p[7] != '\n') return DX_TREE_EVERSION;
    used = dx_tree_p_get_entry(p + 8, size - 8, out);
    if (used < 0) return used;
    if (out->type != DX_TREE_DIR) return DX_TREE_ETYPE;
    if (out->name_size) return DX_TREE_ENAME;
    if (p[6] == '1' && dx_tree_is_extended(out)) return DX_TREE_EVERSION;
    return (size_t)used == size - 8 ? DX_TREE_OK : DX_TREE_ECORRUPT;
}

#endif /* DX_TREE_IMPLEMENTATION */
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
