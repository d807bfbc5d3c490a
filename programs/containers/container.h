/* Deltas of compressed containers: zip, jar, apk, gzip, png, deb, tar.xz, tar.zst ...
   The format is in docs/formats/container.md.

   Compressed bytes of two versions have nothing in common, so the delta is made between what was
   compressed. A *form* of a file is that file with some of its compressed members replaced by their
   contents:

       file     | PK.. name | deflate data | PK.. name | deflate data | PK..  directory |
       form     | PK.. name | content ........ | PK.. name | content ... | PK..  directory |

   For OLD a list says where members are, and that is enough: a form of OLD is never turned back.
   For NEW a recipe stands in front of its form, which says how each content becomes exactly the
   compressed bytes that were there: the parameters of the library, found by trial. What is found in
   a form is unpacked again, so that the gzip files in the tar of a deb are seen.

   container.c  patches: header, lists, forms, recipes
   find.c       where compressed members are
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
    CONTAINER_TOKENS_MEMORY = 6 << 20 /* bytes that a stream of tokens takes at most */
};

/* What a compressed member is. */
typedef enum container_kind {
    CONTAINER_DEFLATE = 1, /* raw, as in zip and gzip */
    CONTAINER_PNG     = 2, /* IDAT chunks, one behind the other, that hold a zlib stream */
    CONTAINER_ZSTD    = 3, /* a frame */
    CONTAINER_XZ      = 4, /* a stream */
    CONTAINER_TOKENS  = 5, /* CONTAINER_DEFLATE, rebuilt without zlib; only in recipes */
    CONTAINER_KINDS
} container_kind;

/* Asked now and then while something is made: true ends it with ECANCELED. */
typedef struct container_cancel {
    bool (*asked)(void *user);
    void  *user;
} container_cancel;

/* Bytes that grow. The first error stays, and nothing is added after it. */
typedef struct container_bytes {
    uint8_t *bytes;
    size_t   size;
    size_t   capacity;
    size_t   max;   /* more are refused with ETOOBIG */
    int      error;
    const container_cancel *cancel; /* of what is packed into them, or NULL */
} container_bytes;

/* How a content was packed. Fields that a kind does not name are 0. */
typedef struct container_way {
    uint8_t  kind;
    uint8_t  level;    /* deflate, png 1..9; tokens 1..10; zstd 1..22; xz 0..9, and 32 for "extreme" */
    uint8_t  variant;  /* deflate, png: memLevel; zstd: workers, 0 or 1; xz: 1 = as with threads;
                          tokens: bits of the hash, 8..17 */
    uint8_t  window;   /* deflate, png: bits, 9..15; tokens: what is hashed, 0..4 */
    uint8_t  strategy; /* deflate, png: 0..4; zstd: 1 checksum, 2 content size; xz: the check */
    uint8_t  head[2];  /* png: the first two bytes of the zlib stream */
    uint32_t chunk;    /* png: bytes of every IDAT chunk but the last */
} container_way;

/* A member of a file. */
typedef struct container_member {
    size_t   at;
    size_t   size;   /* bytes of the file */
    unsigned kind;
    bool     packed; /* it stays as it is */
    uint64_t print;  /* of these bytes: members with the same one are the same */
} container_member;

typedef struct container_members {
    container_member *items;
    size_t            count;
    size_t            capacity;
} container_members;

/* A patch from outside, opened: pointers go into its bytes. */
typedef struct container_patch {
    uint64_t       base_size;
    uint64_t       target_size;
    uint64_t       form_max;  /* the largest of all forms */
    uint8_t        base_hash[DX_PATCH_HASH_SIZE];
    uint8_t        target_hash[DX_PATCH_HASH_SIZE];
    unsigned       layers;
    unsigned       kinds;     /* a bit (1 << kind) for each kind of member */
    char           libraries[CONTAINER_TEXT_MAX + 1]; /* those that it was made with */
    const uint8_t *lists;     /* what is unpacked of OLD, layer by layer */
    size_t         lists_size;
    const uint8_t *inner;     /* the patch of dx_patch.h between the forms */
    size_t         inner_size;
} container_patch;

/* >>ways.c ---- */
/* Add bytes. False: b->error says why not. */
bool container_add(container_bytes *b, const void *bytes, size_t size);
void container_drop(container_bytes *b);
bool container_is_cancelled(const container_cancel *cancel); /* NULL: never */
/* The libraries and versions of this build, with commas: "zlib 1.2.13, zstd 1.5.4". */
const char *container_libraries(void);
/* The library that unpacks a kind, and is it in this build? */
const char *container_library(unsigned kind);
bool container_has(unsigned kind);
/* The kinds of this build: a bit (1 << kind) for each; 0: it unpacks none. */
unsigned container_kinds(void);
/* Unpack the member at the front of `in`, behind what is in `out`. *taken: its size there.
   ENOMEM: that takes more than memory_max bytes.
   stream: NULL, or receives what container_try() compares: of a png the deflate data without chunks
   and wrapping. */
int container_inflate(unsigned kind, const uint8_t *in, size_t size, uint64_t memory_max,
                      container_bytes *out, size_t *taken, container_bytes *stream);
/* Is it one of those in docs/formats/container.md, section 4? Only these can be packed. */
bool container_is_way(const container_way *way);
/* Pack a content into out. ENOMEM: that takes more than memory_max bytes. */
int container_pack(const container_way *way, const uint8_t *content, size_t size,
                   uint64_t memory_max, container_bytes *out);
/* The first block of a deflate stream. */
typedef struct container_first {
    bool     last;     /* it is the only one */
    bool     stored;
    bool     fixed;
    uint32_t tokens;   /* or stored bytes */
    unsigned distance; /* the largest of a match; 0: there is none */
} container_first;
/* Find the way that packs content into exactly these bytes, or nearly: then *near_miss is true and
   the caller finds out where. `way` begins as the one that worked last, with kind 0 if none has.
   first: NULL, or the first block of a deflate stream: what cannot begin so is not tried.
   thorough: try rare parameters, too, and of zstd and xz any others at all.
   Nothing is tried that takes more than memory_max bytes. */
bool container_try(unsigned kind, const uint8_t *stream, size_t stream_size,
                   const container_first *first, const uint8_t *content, size_t size,
                   bool thorough, uint64_t memory_max, const container_cancel *cancel,
                   container_way *way, bool *near_miss);

/* Read what wraps the deflate data of the png chunks at `in`. */
void container_read_wrapping(const uint8_t *in, container_way *way);

/* >>tokens.c ---- */
/* False: it cannot be read, or has codes that only a reader accepts. */
bool container_read_first(const uint8_t *stream, size_t size, container_first *first);
/* Find the way whose prediction is nearest to a deflate stream, and write what is to be corrected.
   `way` begins as the one that worked last, with kind 0 if none has. EINVAL: that takes more than
   out->max bytes, or the stream has codes that only a reader accepts.
   Takes at most CONTAINER_TOKENS_MEMORY bytes. */
int container_tokens_find(const uint8_t *stream, size_t stream_size, const uint8_t *content,
                          size_t size, container_way *way, container_bytes *out);
/* The stream again, behind what is in `out`. ECORRUPT: it is not a correction for this content. */
int container_tokens_pack(const container_way *way, const uint8_t *content, size_t size,
                          const uint8_t *in, size_t in_size, container_bytes *out);

/* >>find.c ---- */
/* Find what can be unpacked, in the order of the file. At most form_max bytes of content. */
int container_find(const uint8_t *bytes, size_t size, size_t form_max, uint64_t memory_max,
                   const container_cancel *cancel, container_members *found);

/* >>container.c ---- */
/* The forms of OLD and NEW between which a patch is to be made. The caller drops them, also after
   an error. */
typedef struct container_forms {
    container_bytes from;
    container_bytes to;
    container_bytes lists;
    unsigned        layers;
    unsigned        kinds;
    size_t          form_max; /* no form becomes larger; set by the caller, like */
    unsigned        allowed;  /* kinds that the reader unpacks, 0: all; and */
    const container_cancel *cancel; /* NULL: nothing ends it */
    size_t          largest;  /* of them all */
} container_forms;
/* Make them. EINVAL: NEW has nothing that can be rebuilt. */
int container_make(const uint8_t *from, size_t from_size, const uint8_t *to, size_t to_size,
                   uint64_t memory_max, container_forms *forms);
void container_drop_forms(container_forms *forms);
/* Put the patch together. inner was made between the forms. */
int container_seal(const container_forms *forms, const uint8_t *from, size_t from_size,
                   const uint8_t *to, size_t to_size, const uint8_t *inner, size_t inner_size,
                   container_bytes *out);

bool container_is(const uint8_t *bytes, size_t size);
int  container_open(const uint8_t *bytes, size_t size, container_patch *p);
/* The form of OLD, after its hash was checked. Nothing becomes larger than the patch says: hold
   p->form_max and p->target_size against a limit first. The caller drops what was made, also after
   an error. */
int  container_unpack(const container_patch *p, const uint8_t *from, size_t from_size,
                      uint64_t memory_max, container_bytes *form);
/* NEW out of its form, checked against its hash: ETARGET. */
int  container_rebuild(const container_patch *p, const uint8_t *form, size_t form_size,
                       uint64_t memory_max, container_bytes *out);

/* >>patch.c ---- */
typedef struct container_maker {
    unsigned kinds;      /* that the reader unpacks; 0: all */
    size_t   form_max;   /* no form becomes larger */
    uint64_t memory_max; /* bytes that a library may take */
    const container_cancel *cancel; /* NULL: nothing ends it; the inner patch is not asked about */
    /* Make the inner patch. *out is NULL before, and is freed, also after an error. */
    int    (*create)(void *user, const uint8_t *from, size_t from_size, const uint8_t *to,
                     size_t to_size, uint8_t **out, size_t *size);
    void    *user;
} container_maker;
/* Make a patch of at most out->max bytes, and check that it gives NEW. EINVAL: NEW has nothing that
   can be rebuilt. ETOOBIG: the patch would be larger. */
int container_diff(const container_maker *m, const uint8_t *from, size_t from_size,
                   const uint8_t *to, size_t to_size, container_bytes *out);
/* Apply an opened patch, whose sizes the caller has held against its limits. The caller drops what
   was made, also after an error. */
int container_run(const container_patch *p, const uint8_t *from, size_t from_size,
                  uint64_t memory_max, container_bytes *out);

#endif
