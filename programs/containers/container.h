/* Deltas of compressed containers: zip, jar, apk, gzip, png, deb, tar.xz, tar.zst ...
   The format is in docs/formats/container.md.

   Compressed bytes of two versions have almost nothing in common, so the delta is made between the
   uncompressed contents. A *form* of a file is that file with some of its compressed members replaced
   by their contents:

       file     | PK.. name | deflate data | PK.. name | deflate data | PK..  directory |
       form     | PK.. name | content ........ | PK.. name | content ... | PK..  directory |

   For OLD, a list of the members suffices: a form of OLD is never packed again. The form of NEW starts
   with a recipe for turning each content into exactly the compressed bytes of NEW: the parameters of
   the library, found by trial. Members found in a form are unpacked again, to reach the gzip files in
   the tar of a deb.

   container.c  patches: header, lists, forms, recipes
   find.c       finds compressed members
   ways.c       zlib, zstd and liblzma: unpacking, packing again, and the trial
   tokens.c     deflate streams that zlib does not make: prediction and correction
   patch.c      makes and applies whole patches; stands on the others */
#ifndef CONTAINER_H
#define CONTAINER_H

#include "../../dx_patch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Every function that returns int returns an error of dx_patch.h. */

enum {
    CONTAINER_LAYERS_MAX  = 2,  /* forms of forms */
    CONTAINER_HEADER_SIZE = 112,
    CONTAINER_CHECK_SIZE  = 8,  /* of the hash of header and lists */
    CONTAINER_TEXT_MAX    = 128, /* names and versions of libraries */
    CONTAINER_TOKENS_MEMORY = 6 << 20 /* memory limit for a stream of tokens */
};

typedef enum container_kind {
    CONTAINER_DEFLATE = 1, /* raw, as in zip and gzip */
    CONTAINER_PNG     = 2, /* adjacent IDAT chunks that hold a zlib stream */
    CONTAINER_ZSTD    = 3, /* a frame */
    CONTAINER_XZ      = 4, /* a stream */
    CONTAINER_TOKENS  = 5, /* CONTAINER_DEFLATE, rebuilt without zlib; only in recipes */
    CONTAINER_KINDS
} container_kind;

/* Polled during long operations: true ends them with ECANCELED. */
typedef struct container_cancel {
    bool (*asked)(void *user);
    void  *user;
} container_cancel;

/* A growing buffer. After the first error nothing is added. */
typedef struct container_bytes {
    uint8_t *bytes;
    size_t   size;
    size_t   capacity;
    size_t   max;   /* above that, ETOOBIG */
    int      error;
    bool     in_file; /* mapped from a temporary file, not allocated */
    size_t   passed;  /* bytes written and read since mapped pages were last released */
    const struct container_bytes *source; /* what this is made from, to be released with it; or NULL */
    const container_cancel *cancel; /* for packing into it, or NULL */
} container_bytes;

/* How a content was packed. Fields that do not apply to a kind are 0. */
typedef struct container_way {
    uint8_t  kind;
    uint8_t  level;    /* deflate, png 1..9; tokens 1..10; zstd 1..22; xz 0..9, plus 32 for "extreme" */
    uint8_t  variant;  /* deflate, png: memLevel; zstd: workers, 0 or 1; xz: 1 = multi-threaded;
                          tokens: bits of the hash, 8..17 */
    uint8_t  window;   /* deflate, png: bits, 9..15; tokens: the bytes hashed, 0..4 */
    uint8_t  strategy; /* deflate, png: 0..4; zstd: 1 checksum, 2 content size; xz: the check */
    uint8_t  head[2];  /* png: the first two bytes of the zlib stream */
    uint32_t chunk;    /* png: bytes of each IDAT chunk except the last */
} container_way;

/* A member of a file. */
typedef struct container_member {
    size_t   at;
    size_t   size;   /* in the file */
    unsigned kind;
    bool     packed; /* it stays packed */
    uint64_t print;  /* a fingerprint: equal members have the same one */
} container_member;

typedef struct container_members {
    container_member *items;
    size_t            count;
    size_t            capacity;
} container_members;

/* An opened patch, which is untrusted. The pointers go into its bytes. */
typedef struct container_patch {
    uint64_t       base_size;
    uint64_t       target_size;
    uint64_t       form_max;  /* size of the largest form */
    uint8_t        base_hash[DX_PATCH_HASH_SIZE];
    uint8_t        target_hash[DX_PATCH_HASH_SIZE];
    unsigned       layers;
    unsigned       kinds;     /* a bit (1 << kind) for each kind of member */
    char           libraries[CONTAINER_TEXT_MAX + 1]; /* used when it was made */
    const uint8_t *lists;     /* the unpacked members of OLD, layer by layer */
    size_t         lists_size;
    const uint8_t *inner;     /* the patch of dx_patch.h between the forms */
    size_t         inner_size;
} container_patch;

/* >>ways.c ---- */
/* Append bytes. False: see b->error. */
bool container_add(container_bytes *b, const void *bytes, size_t size);
/* Make room for capacity bytes in total. False: see b->error. */
bool container_reserve(container_bytes *b, size_t capacity);
void container_drop(container_bytes *b);
/* Count bytes that were written or read. Every few MB the mapped pages of b and of its source are
   released: the system would count all of them as memory of the process. */
void container_pass(container_bytes *b, size_t size);
/* Hash without keeping mapped pages. */
void container_hash(const container_bytes *b, uint8_t hash[DX_PATCH_HASH_SIZE]);
/* The bytes as allocated memory, which the caller frees. NULL: there is not enough. b is empty then. */
uint8_t *container_take(container_bytes *b);
bool container_is_cancelled(const container_cancel *cancel); /* NULL: never */
/* The libraries and versions of this build, separated by commas: "zlib 1.2.13, zstd 1.5.4". */
const char *container_libraries(void);
/* The library for a kind, and whether this build has it. */
const char *container_library(unsigned kind);
bool container_has(unsigned kind);
/* The kinds supported by this build: a bit (1 << kind) for each; 0: none. */
unsigned container_kinds(void);
/* Unpack the member at the start of `in`, and append to `out`. *taken: its packed size.
   ENOMEM: that needs more than memory_max bytes.
   stream: NULL, or receives the bytes that container_try() compares: for a png the deflate data
   without chunks and wrapping. */
int container_inflate(unsigned kind, const uint8_t *in, size_t size, uint64_t memory_max,
                      container_bytes *out, size_t *taken, container_bytes *stream);
/* Is it one of those in docs/formats/container.md, section 4? Others cannot be packed. */
bool container_is_way(const container_way *way);
/* Pack a content into out. ENOMEM: that needs more than memory_max bytes. */
int container_pack(const container_way *way, const uint8_t *content, size_t size,
                   uint64_t memory_max, container_bytes *out);
/* The first block of a deflate stream. */
typedef struct container_first {
    bool     last;     /* it is the only one */
    bool     stored;
    bool     fixed;
    uint32_t tokens;   /* or stored bytes */
    unsigned distance; /* the largest of a match; 0: no match */
} container_first;
/* Find the way that packs content into exactly these bytes, or nearly: then *near_miss is true, and
   the caller locates the difference. On entry `way` is the last successful one, kind 0: none.
   first: NULL, or the first block of a deflate stream, which excludes parameters.
   thorough: also try rare parameters; required for any trial of zstd and xz beyond the last way.
   Parameters that need more than memory_max bytes are not tried. */
bool container_try(unsigned kind, const uint8_t *stream, size_t stream_size,
                   const container_first *first, const uint8_t *content, size_t size,
                   bool thorough, uint64_t memory_max, const container_cancel *cancel,
                   container_way *way, bool *near_miss);

/* Read the wrapping of the deflate data in the png chunks at `in`. */
void container_read_wrapping(const uint8_t *in, container_way *way);

/* >>tokens.c ---- */
/* Parse the first block. False: malformed, or with non-canonical codes. */
bool container_read_first(const uint8_t *stream, size_t size, container_first *first);
/* Find the way whose prediction is closest to a deflate stream, and write the correction. On entry
   `way` is the last successful one, kind 0: none. EINVAL: the correction needs more than out->max
   bytes, or the stream has non-canonical codes. Needs at most CONTAINER_TOKENS_MEMORY bytes. */
int container_tokens_find(const uint8_t *stream, size_t stream_size, const uint8_t *content,
                          size_t size, container_way *way, container_bytes *out);
/* Rebuild the stream, and append to `out`. ECORRUPT: the correction does not fit this content. */
int container_tokens_pack(const container_way *way, const uint8_t *content, size_t size,
                          const uint8_t *in, size_t in_size, container_bytes *out);

/* >>find.c ---- */
/* Find the members, in file order. Their contents have at most form_max bytes in total. */
int container_find(const uint8_t *bytes, size_t size, size_t form_max, uint64_t memory_max,
                   const container_cancel *cancel, container_members *found);

/* Is there anything that looks like the start of a member? It is not unpacked. */
bool container_may_have(container_bytes *b);

/* >>container.c ---- */
/* The forms of OLD and NEW between which the inner patch is made. The caller drops them, also
   after an error. */
typedef struct container_forms {
    container_bytes from;
    container_bytes to;
    container_bytes lists;
    unsigned        layers;
    unsigned        kinds;
    size_t          form_max; /* size limit of each form; set by the caller, like */
    unsigned        allowed;  /* the kinds that the reader supports, 0: all; and */
    const container_cancel *cancel; /* NULL: cannot be cancelled */
    size_t          largest;  /* size of the largest form */
} container_forms;
/* Make the forms. EINVAL: NEW has no member that can be rebuilt. */
int container_make(const uint8_t *from, size_t from_size, const uint8_t *to, size_t to_size,
                   uint64_t memory_max, container_forms *forms);
void container_drop_forms(container_forms *forms);
/* Assemble the patch. inner was made between the forms. */
int container_seal(const container_forms *forms, const uint8_t *from, size_t from_size,
                   const uint8_t *to, size_t to_size, const uint8_t *inner, size_t inner_size,
                   container_bytes *out);

bool container_is(const uint8_t *bytes, size_t size);
int  container_open(const uint8_t *bytes, size_t size, container_patch *p);
/* Make the form of OLD, after checking its hash. form->source: NULL, or OLD. No buffer grows beyond
   the sizes in the patch, so check p->form_max and p->target_size against limits first. The caller
   drops the forms, also after an error. */
int  container_unpack(const container_patch *p, const uint8_t *from, size_t from_size,
                      uint64_t memory_max, container_bytes *form);
/* Rebuild NEW from its form, and check its hash: ETARGET. out->source: NULL, or the form. */
int  container_rebuild(const container_patch *p, const uint8_t *form, size_t form_size,
                       uint64_t memory_max, container_bytes *out);

/* >>patch.c ---- */
typedef struct container_maker {
    unsigned kinds;      /* the kinds that the reader supports; 0: all */
    size_t   form_max;   /* size limit of each form */
    uint64_t memory_max; /* memory limit of each library */
    const container_cancel *cancel; /* NULL: cannot be cancelled; not polled during the inner patch */
    /* Make the inner patch. *out is NULL on entry, and freed by the caller of create, also
       after an error. */
    int    (*create)(void *user, const uint8_t *from, size_t from_size, const uint8_t *to,
                     size_t to_size, uint8_t **out, size_t *size);
    void    *user;
} container_maker;
/* Make a patch of at most out->max bytes, and check that it reproduces NEW. EINVAL: NEW has no
   member that can be rebuilt. ETOOBIG: the patch would be larger. */
int container_diff(const container_maker *m, const uint8_t *from, size_t from_size,
                   const uint8_t *to, size_t to_size, container_bytes *out);
/* Apply an opened patch, after the caller has checked its sizes against limits. The caller drops
   the output, also after an error. out->source: NULL, or OLD. ENOMEM: the inner patch asks for more than inner_max bytes, or a
   library needs more than memory_max. */
int container_run(const container_patch *p, const uint8_t *from, size_t from_size,
                  uint64_t memory_max, uint64_t inner_max, container_bytes *out);

#endif
