/*  dx_patch.h - v0.3.0 - turns version A of some bytes into version B - MIT-0 or public domain

    Do this in ONE C or C++ file:

        #define DX_PATCH_IMPLEMENTATION       (or DX_IMPLEMENTATION for every dx header)
        #include "dx_patch.h"

    and include it elsewhere without the define. C99; also builds as C++11.

    QUICK EXAMPLE

        static uint8_t work[1 << 18], patch[512], out[64];
        const char *old_text = "the quick brown fox jumps over the lazy dog, 1";
        const char *new_text = "the quick brown fox jumped over the lazy dog, 2";
        size_t patch_size, out_size;
        dx_patch_create_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.memory = work;
        desc.memory_size = sizeof work;
        int error = dx_patch_create(&desc, old_text, strlen(old_text), new_text,
                                    strlen(new_text), patch, sizeof patch, &patch_size);
        if (error) return 1;
        error = dx_patch_apply(old_text, strlen(old_text), patch, patch_size, out, sizeof out,
                               &out_size, work, sizeof work);
        if (error) printf("refused: %s\n", dx_patch_error_name(error));
        if (error || memcmp(out, new_text, out_size) != 0) return 1;

    CONTENTS (search >>)  config types api platform shared hash header coder mixer streams predict
                          delta reader sections public memory flash matches segments streammaker
                          copymaker maker sectionmaker blocks flashmaker create license

    THREE KINDS OF PATCH, one container (128-byte header: sizes, hashes, memory needed to apply)
        blocks   XOR of fixed-size blocks: applied in place, undone by the same patch; for images
                 whose layout does not change
        delta    copies, predicted references and literals: for content that moves. Range coded (the
                 default), or as streams (coding 4): about as small, smaller for text and tables,
                 and faster to apply
        flash    a delta for a single slot of flash: in place, page by page, survives power cuts

    GUARANTEES  Never allocates; no globals; no recursion. Applying yields the target whose hash is
                in the patch, or an error; a wrong base is refused before the first byte is written.
                The same input, options, memory size and out_capacity give the same patch on every
                machine.
    LIMITS      Patches are created in memory. References are predicted in files below 4 GiB. An
                applier takes 4.4 KB (on the stack in dx_patch_apply() and dx_patch_create()), a
                flash object 6.2 KB. One thread per object.
    CONFIG      DX_PATCH_NO_CREATE: apply only, for devices; code that makes patches is neither
                declared nor compiled. DX_PATCH_NO_STREAMS, in addition: deltas of streams are
                refused (ENOTSUP). DX_PATCH_NO_BLOCKS, DX_PATCH_NO_FLASH: patches of that kind
                are neither made nor applied (ENOTSUP). DX_PATCH_STATIC, DX_PATCH_API (extern).
                DX_PATCH_FLASH_SMALL: dx_patch_flash_apply() accepts only patches made for it
                (apply_memory_max = DX_PATCH_FLASH_SMALL_MEMORY) and takes a fifth of the memory.
                Replaceable, with their defaults: DX_PATCH_ASSERT(c) (assert),
                DX_PATCH_MEMCPY, DX_PATCH_MEMMOVE, DX_PATCH_MEMSET, DX_PATCH_MEMCMP,
                DX_PATCH_CRC32C(crc, p, size) (a nibble at a time),
                DX_PATCH_BLAKE3(offset, p, size, value): stores the chaining value (32 bytes, not as
                root) of the size bytes at offset of a message; size is 4096, 8192 ... and divides
                offset (default: that of dx_cas.h if its implementation precedes this one in the
                same file, several times as fast; else a word at a time).
                DX_PATCH_HASH: the type of the state of a BLAKE3 of the program's own, which saves
                this header's copy (2 KB) where there is one already; the same in all files of a
                program, with DX_PATCH_HASH_START(state), DX_PATCH_HASH_UPDATE(state, p, size),
                DX_PATCH_HASH_FINISH(state, hash). Flash patches have their own hash still
    SWITCHES    (the same in all files of a program) bytes of code that each removes from this
                header on a Cortex-M0 (gcc 12, -Os, NDEBUG); the second figure is the saving with
                DX_PATCH_NO_CREATE
        in all               nothing is left out: the size             60,794  29,993
        DX_PATCH_NO_CREATE   making patches                            30,801       -
        DX_PATCH_NO_FLASH    patches of one slot of flash               4,748   3,072
        DX_PATCH_NO_BLOCKS   patches of blocks, and undo                2,788   1,964
        DX_PATCH_NO_STREAMS  deltas of streams (with NO_CREATE only)        -   8,708
        together                                                       44,525  13,724
    USES        bytes of code, and of RAM for objects and the deepest stack, in programs that only
                apply; excluding the memory that a patch asks for and the caller's own code and RAM
                                            Cortex-M0      Cortex-M3       rv32imac
        blocks in place                     4,172  2,552    4,064  2,536    5,000  2,544
        one slot of flash                   5,932  6,664    5,224  6,640    6,146  6,664
        same, small                         3,917  1,771    3,749  1,747    4,241  1,768
        any patch, streamed                26,476  5,072   23,712  5,008   28,016  5,048
        any patch but deltas of streams    17,764  4,984   15,888  4,920   18,494  4,960
    LEVELS      of a delta, beside level 6 of the same codings: size of the patch, time to make and
                to apply it (geometric means of 5 pairs, bench/results/levels.csv); MB of memory to
                apply that of a 4.7 MB library. To make it takes 27 MB at every level, with streams
                100 MB. "6, 9": made at both levels, and the smaller one is kept
              codings 0, the default                  STREAMS and RANGE, as dxpatch
              made         size make apply memory    made         size make apply memory
        1, 2  range         1.23  0.5   0.7   0.04    streams       1.08  0.6   0.9    2.5
        3..5  range         1.00  0.9   1.0    4.3    streams       1.00  0.9   0.9    4.5
        6     range         1.00  1.0   1.0    4.3    streams       1.00  1.0   1.0    4.5
        7     range 6       1.00  1.0   1.0    4.3    streams 6, 7  1.00  2.5   1.0    4.5
        8     range 6, 8    1.00  2.2   1.1    4.3    both 6, 8     0.95  3.7   1.4    4.5
        9     range 6, 9    0.97  2.9   1.4   16.9    both 6, 9     0.94  4.0   2.4    4.5
    ERRORS      dx_patch_error: 0 = ok, negative = reason; dx_patch_error_name()
    OWNERSHIP   The caller owns every buffer. A pointer kept after a call says "borrowed until".
    FORMAT      docs/formats/patch.md (normative)
*/
#ifndef DX_PATCH_H
#define DX_PATCH_H

#define DX_PATCH_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifdef DX_PATCH_API
#elif !defined(DX_PATCH_STATIC)
  #define DX_PATCH_API extern
#elif defined(__GNUC__) || defined(__clang__)
  #define DX_PATCH_API static __attribute__((unused))
#else
  #define DX_PATCH_API static
#endif
#if defined(DX_PATCH_NO_FLASH) && defined(DX_PATCH_FLASH_SMALL)
  #error DX_PATCH_FLASH_SMALL is about what DX_PATCH_NO_FLASH leaves out: define one of them
#endif
#if defined(DX_PATCH_HASH) &&                                           \
    (!defined(DX_PATCH_HASH_START) || !defined(DX_PATCH_HASH_UPDATE) || \
     !defined(DX_PATCH_HASH_FINISH))
  #error DX_PATCH_HASH needs DX_PATCH_HASH_START, _UPDATE and _FINISH
#endif
#if defined(DX_PATCH_NO_STREAMS) && !defined(DX_PATCH_NO_CREATE)
  #error DX_PATCH_NO_STREAMS is for programs that apply patches only: DX_PATCH_NO_CREATE
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */
#define DX_PATCH_HEADER_SIZE 128 /* bytes; dx_patch_info() needs no more */
#define DX_PATCH_HASH_SIZE   32  /* BLAKE3-256 */
#define DX_PATCH_FLASH_SMALL_MEMORY 704 /* bytes of models for a flash patch in coding BITS */
#ifndef DX_PATCH_NO_CREATE
#define DX_PATCH_STREAMS_MEMORY_MIN 1149201 /* bytes; minimum to make deltas of streams */
#endif

/* value, constant, code of the XOR patcher protocol; the first 13 are common to all dx headers. */
#define DX_PATCH_ERRORS(X)                                                                         \
    X(0, OK, 0)                                                                                    \
    X(-1, EINVAL, 1)      /* an argument breaks its documented contract */                         \
    X(-2, ENOMEM, 1)      /* the memory given is too small */                                      \
    X(-3, ENOSPACE, 1)    /* the output buffer or the slot of flash is too small */                \
    X(-4, ETOOBIG, 1)     /* a declared size exceeds the caller's limit */                         \
    X(-5, ECORRUPT, 1)    /* damaged bytes, or bytes after the end of the patch */                 \
    X(-6, EAGAIN, 1)      /* not used here */                                                      \
    X(-7, ESYS, 1)        /* a callback failed: dx_patch_applier_callback_result() */              \
    X(-8, ENOTSUP, 1)     /* not supported by this kind of patch, such as undo */                  \
    X(-9, ENOTFOUND, 1)   /* no version with this hash is kept */                                  \
    X(-10, ECANCELED, 1)  /* the progress callback asked to stop */                                \
    X(-11, ETRUNCATED, 3) /* the patch ends too early */                                           \
    X(-12, EVERSION, 2)   /* unknown version, kind, hash, coding, flag or predictor */             \
    X(-32, EHEADER, 2)    /* not a patch, or its header is damaged or contradicts itself */        \
    X(-33, EBLOCK, 4)     /* a block record is malformed */                                        \
    X(-34, EBOUNDS, 7)    /* an instruction reaches beyond the old or the new bytes */             \
    X(-35, ENOBASE, 5)    /* no base was given */                                                  \
    X(-36, ENOPATCH, 6)   /* no patch was given */                                                 \
    X(-37, EBASE, 1)      /* the patch was made for another base */                                \
    X(-38, EAPPLIED, 1)   /* the base already is the target of this patch */                       \
    X(-39, ETARGET, 1)    /* the result does not have the hash that the patch promises */

typedef enum dx_patch_error {
#define DX_PATCH_P_ENUM(value, constant, wire) DX_PATCH_##constant = value,
    DX_PATCH_ERRORS(DX_PATCH_P_ENUM)
#undef DX_PATCH_P_ENUM
} dx_patch_error;

typedef enum dx_patch_kind {
    DX_PATCH_KIND_BLOCKS = 1,
    DX_PATCH_KIND_DELTA = 2,
    DX_PATCH_KIND_FLASH = 4 /* in place on one slot, by dx_patch_flash_apply() */
} dx_patch_kind;

typedef enum dx_patch_coding {
    DX_PATCH_CODING_PLAIN = 0,
    DX_PATCH_CODING_RANGE = 1,
    /* 2 was zstd, in version 1 of the format */
    DX_PATCH_CODING_BRIEF = 3, /* blocks: two bytes per change if 1 % of the bytes changed */
    DX_PATCH_CODING_STREAMS = 4, /* deltas: one stream per kind of byte; fast to apply */
    DX_PATCH_CODING_BITS = 5     /* flash: range coded bit by bit, in little memory */
} dx_patch_coding;

typedef struct dx_patch_header {
    uint8_t version;       /* 1 blocks, 4 deltas of streams, 5 flash coded by bits, 3 others */
    uint8_t kind;          /* dx_patch_kind */
    uint8_t hash_kind;     /* 1 = BLAKE3-256 */
    uint8_t coding;        /* dx_patch_coding */
    bool reversible;       /* undo restores the base */
    uint32_t block_size;   /* bytes; 0 for a delta */
    uint32_t trailer_size; /* bytes after the body for a signature; not interpreted */
    uint32_t body_crc;     /* CRC-32C */
    uint64_t base_size;    /* bytes */
    uint64_t target_size;  /* bytes */
    uint64_t body_size;    /* bytes */
    uint64_t memory_size;  /* bytes that applying needs; a body that asks for more fails */
    uint8_t base_hash[DX_PATCH_HASH_SIZE];
    uint8_t target_hash[DX_PATCH_HASH_SIZE];
} dx_patch_header;

#ifndef DX_PATCH_NO_CREATE
typedef struct dx_patch_create_desc {
    void *memory;              /* required, any alignment; used during the call only */
    size_t memory_size;        /* bytes; dx_patch_create_memory_size() is ideal, less works */
    dx_patch_kind kind;        /* 0 = DX_PATCH_KIND_DELTA */
    uint32_t block_size;       /* a power of two; 0 = 4096; blocks: 64..65536; flash: 256..2^20 */
#ifndef DX_PATCH_NO_FLASH
    uint64_t slot_size;        /* flash: bytes; 0 = larger file + 2 pages; at least + 1 page */
#endif
    uint32_t trailer_size;     /* bytes that the caller will append for a signature; 0 = none */
    uint32_t codings;          /* bits 1 << dx_patch_coding; 0 = all but streams; flash: coding BITS
                                  if RANGE is not allowed */
    uint32_t level;            /* delta: 1 (fastest) .. 9 (smallest), see LEVELS; 0 = 6; a
                                  patch of 7..9 is never larger than that of 6 */
    uint64_t apply_memory_max; /* max bytes for applying; 0 = 64 MiB; less makes larger patches;
                                  flash: less than 5696 selects coding BITS;
                                  DX_PATCH_FLASH_SMALL_MEMORY suits every applier */
#ifndef DX_PATCH_NO_BLOCKS
    bool one_way;              /* blocks: omit bytes beyond a shorter target; no undo */
#endif
    bool skip_check;           /* do not verify the patch by applying it once */
} dx_patch_create_desc;
#endif

/* Callbacks return 0 to continue; any other value stops with DX_PATCH_ESYS. */
typedef struct dx_patch_applier_desc {
    void *user; /* handed to the callbacks */
    /* Fill out with exactly size bytes of the base at offset. Required unless base is set. */
    int (*read)(void *user, uint64_t offset, void *out, size_t size);
    /* The next size bytes of the target, in order. Required unless out is set. */
    int (*write)(void *user, const void *data, size_t size);
    /* Optional. Bytes done of total, base hashing included; nonzero stops with ECANCELED. */
    int (*progress)(void *user, uint64_t done, uint64_t total);
    const void *base;         /* the base in memory; then read is not called */
    void *out;                /* the target in memory, not overlapping; then write is not called */
    size_t out_capacity;      /* bytes of out */
    uint64_t base_size;       /* bytes of the base */
    void *memory;             /* required, any alignment; borrowed until finish */
    size_t memory_size;       /* at least the patch's memory_size; with 17 to 65 KB more, write()
                                 gets larger pieces */
    uint64_t target_size_max; /* bytes; 0 = no limit */
    bool skip_base_hash;      /* the caller has verified the base: only its size is checked */
    bool skip_target_hash;    /* the caller verifies the target: OK does not vouch for its hash */
#ifndef DX_PATCH_NO_BLOCKS
    bool undo;                /* blocks: the base is the target; restore what it was made from */
#endif
} dx_patch_applier_desc;

#ifndef DX_PATCH_HASH
typedef struct dx_patch_p_blake3 { /* >>hash */
    uint32_t cv_[8];         /* chaining value of the chunk that is being hashed */
    uint64_t chunk_;         /* its number, which is the count of complete chunks */
    uint8_t block_[64];      /* its last block, held back: it may be the last of the input */
    uint8_t block_size_;     /* bytes in block_ */
    uint8_t blocks_;         /* blocks of the chunk already hashed */
    uint8_t stack_size_;     /* entries of stack_: */
    uint32_t stack_[55][8];  /* subtrees without their right sibling yet, the largest first */
} dx_patch_p_blake3;
  #define DX_PATCH_HASH dx_patch_p_blake3
  #define DX_PATCH_HASH_START(state) dx_patch_p_hash_start(state)
  #define DX_PATCH_HASH_UPDATE(state, p, size) dx_patch_p_hash_update(state, p, size)
  #define DX_PATCH_HASH_FINISH(state, hash) dx_patch_p_hash_finish(state, hash)
  #define DX_PATCH_P_OWN_HASH
#endif

typedef struct dx_patch_p_coder { /* >>coder: reads or writes bits */
    const uint8_t *source_; /* reading: size_ bytes, at_ of them taken */
    uint8_t *out_;          /* writing: room for size_ bytes, at_ of them written */
    uint16_t *rows_;        /* models of symbols: 16 words each */
    size_t at_;
    size_t size_;
    uint64_t low_;     /* writing: lower end of the range; bit 32 is a carry */
    uint64_t pending_; /* writing: bytes that a carry may still change */
    uint64_t cost_;    /* counting: sixteenths of a bit */
    uint32_t range_;   /* width of the range; 0: plain coding, bytes and varints */
    uint32_t code_;    /* reading: offset of the code in the range */
    int mode_;         /* DX_PATCH_P_READ, _WRITE, _COUNT */
    bool last_;        /* no more input follows: steps need not wait for it */
    bool bits_;        /* flash: the rows are probabilities of single bits */
    bool any_;         /* writing: the first byte, always zero, has been dropped */
    bool overrun_;     /* read or wrote beyond the end */
    bool bad_number_;  /* read a number that no writer produces */
    uint8_t cache_;    /* writing: the oldest pending byte */
} dx_patch_p_coder;

#define DX_PATCH_P_SEGMENTS 8u    /* max per file */
#define DX_PATCH_P_SETUP_SIZE 34u /* words: count, origin, four per segment */

typedef struct dx_patch_p_predictor { /* >>predict: where references point to */
    uint32_t *matches_; /* new offset, old offset, size of each; then their order by old offset;
                           then the old offsets in this order */
    uint32_t *memory_;  /* corrections, by region of the target */
    uint32_t *index_;   /* by old offset >> index_log_: place, in that order, of the last match that
                           starts at or before the granule; or NULL */
    uint32_t index_size_; /* granules + 1 */
    uint32_t index_log_;
    uint32_t count_;    /* matches */
    uint32_t flags_;    /* were the last two fields mispredicted? one bit each */
    uint32_t region_bits_;
    uint64_t setup_[2][DX_PATCH_P_SETUP_SIZE]; /* of base and target */
} dx_patch_p_predictor;

typedef struct dx_patch_p_mixer dx_patch_p_mixer;

typedef struct dx_patch_p_delta { /* >>delta: state shared by reader and writer */
    dx_patch_p_coder coder_;
    dx_patch_p_predictor predictor_;
    dx_patch_p_mixer *mixer_; /* or NULL: then the fields up to raw_ are unused */
    uint16_t *groups_;        /* rows by context: 1 << groups_log_ of them */
    uint32_t *heads_;         /* by hash of the last five bytes: the history position after them */
    uint8_t *history_;        /* the last 1 << history_log_ literals */
    uint32_t history_log_;    /* 0: no mixer */
    uint32_t groups_log_;
    uint32_t history_size_; /* literals, modulo 2^32 */
    uint32_t repeat_at_;    /* history position that the next literal may repeat */
    uint32_t repeat_size_;  /* literals repeated so, at most 15; 0: no repeat */
    uint32_t hint_;         /* did the last literal equal its hint, a byte of the base? */
    uint32_t raw_;          /* the literals of this kilobyte are stored uncoded */
    uint64_t past_;         /* the last eight bytes of the target, the latest lowest */
    uint32_t literal_bits_; /* bits of the previous byte that select the rows of a literal */
    uint32_t diff_bits_;    /* bits of context that select the rows of a wrong byte */
    uint32_t id_;           /* predictor of the previous block */
    uint32_t last_run_;     /* right bytes before the last wrong one */
    uint32_t last_diff_;    /* its difference */
    bool map_;              /* the matches come first, as a map for predictions */
    bool rich_;             /* mix more contexts */
} dx_patch_p_delta;

typedef struct dx_patch_p_block { /* up to 1024 bytes of a match that share a predictor */
    const uint8_t *old_bytes;
    const uint8_t *new_bytes; /* NULL when reading */
    uint64_t old_at;          /* offsets in base and target */
    uint64_t new_at;
    uint64_t bias[2];   /* address minus offset, at its place in base and target */
    uint64_t origin[2]; /* origin of based addresses, in base and target */
    uint32_t size;
    uint32_t limit; /* a field starts within size bytes and ends within limit bytes */
    uint32_t at;    /* bytes done: first by fields, then by wrong bytes */
    int32_t from;   /* end of the last field */
    bool filled;    /* all fields are done */
} dx_patch_p_block;

#ifndef DX_PATCH_NO_STREAMS
typedef struct dx_patch_p_lines { /* >>streams: state for coding the sources of copies */
    uint64_t shifts[3]; /* source minus target offset of the last three lines, latest first */
    uint64_t old_end;   /* end in the base of the last copy from it */
    uint64_t back;      /* distance of the last copy from the target; 0: none yet */
} dx_patch_p_lines;
#endif

#ifndef DX_PATCH_NO_BLOCKS
typedef struct dx_patch_p_runs { /* >>reader: position in a block patch */
    uint64_t block_size;
    uint64_t limit; /* max end of a run: the larger file's size if undo is possible */
    uint64_t next;  /* offset of the next block */
    uint64_t at;    /* offset of the next changed byte */
    uint64_t size;  /* changed bytes left in this run */
    uint64_t left;  /* runs left in this block */
    bool brief;     /* coding BRIEF */
} dx_patch_p_runs;
#endif

typedef struct dx_patch_applier { /* caller-allocated, stays where it is; fields are private */
    dx_patch_applier_desc desc_;
    dx_patch_header header_;
    DX_PATCH_HASH blake3_; /* of the base, then of the target */
    dx_patch_p_delta delta_;
    dx_patch_p_block block_;
#ifndef DX_PATCH_NO_BLOCKS
    dx_patch_p_runs runs_;
    uint64_t at_;        /* offset of the window in the base */
    uint32_t block_at_;  /* bytes used in the window */
#endif
    uint8_t *memory_;    /* rest of the caller's memory: left_ bytes */
    uint8_t *old_;       /* a window of the base */
    uint8_t *new_;       /* target bytes waiting for write(): room_ bytes */
    uint64_t from_size_; /* bytes of the file read, */
    uint64_t to_size_;   /* and of the file made: undo swaps them */
    uint64_t received_;  /* bytes of the patch received */
    uint64_t produced_;  /* bytes of the target made, */
    uint64_t given_;     /* and how many of them were hashed and passed on */
    uint64_t base_done_; /* bytes of the base hashed */
#ifndef DX_PATCH_NO_STREAMS
    dx_patch_p_lines lines_;  /* state of copies at the end of a section */
    uint8_t *section_;        /* streams: buffer for a section, section_max_ bytes; */
    uint8_t *decoded_;        /* for its decoded streams, decoded_max_ bytes; */
    uint32_t *table_;         /* for a table of rANS; */
    uint8_t *window_;         /* for the last target bytes, if not in the caller's `out` */
    uint64_t section_target_; /* target bytes that the section makes */
    uint32_t section_max_;
    uint32_t section_size_;
    uint32_t section_at_;     /* bytes of it received */
    uint32_t decoded_max_;
    uint32_t window_log_;     /* log2 of the reach of copies in the target; 0: no such copies */
#endif
    uint64_t literals_left_; /* before the next match */
    uint64_t literals_done_; /* since the last one */
    uint64_t hint_old_;      /* offset in the base of the next literal's hint */
    uint64_t equal_left_;    /* bytes of the match left to copy unchanged */
    uint64_t match_left_;    /* bytes left of the match; 0: no match */
    uint64_t match_old_;     /* its offsets in base and target */
    uint64_t match_new_;
    uint64_t new_end_; /* where the last match of the list ended */
    uint64_t old_end_;
    int error_; /* result of finish and of later calls */
    int callback_result_;
    int state_; /* the next part of the patch */
    uint32_t crc_;
    uint32_t setup_at_; /* setup numbers read */
    uint32_t setup_side_; /* 0 base, 1 target */
    uint32_t match_at_; /* matches of the list read; later: applied */
    uint32_t later_;    /* 1 after the match's first count of equal blocks */
    size_t in_size_;
    size_t left_;
    size_t room_;
    bool whole_; /* the body's checksum has been verified */
    uint8_t in_[1024];
} dx_patch_applier;

#ifndef DX_PATCH_NO_FLASH
/* Operations of the device, at an offset of the slot. */
typedef enum {
    DX_PATCH_FLASH_READ,  /* up to 256 bytes; of a page whose erase or write was interrupted: any
                             bytes, and 0, or no later call could repair it */
    DX_PATCH_FLASH_WRITE, /* 256 bytes at a multiple of 256, at most once between two erases. A page
                             whose checksum fits counts as written, so it must keep its content */
    DX_PATCH_FLASH_ERASE  /* a page of the patch's page size; no data */
} dx_patch_flash_io;

typedef struct dx_patch_flash_desc { /* all fields but progress are required */
    void *user; /* handed to the callbacks */
    /* Returns 0, or any other value to end the call with ESYS. */
    int (*io)(void *user, dx_patch_flash_io what, uint64_t offset, void *data, size_t size);
    const void *patch;  /* the whole patch, addressable, outside the slot; read several times, and
                           kept through power cuts until the result is OK */
    size_t patch_size;  /* bytes */
    uint64_t slot_size; /* bytes */
    uint32_t page_size; /* bytes per erase; divides the block_size that its maker was given */
    /* Optional, for a watchdog or a progress bar. Called after each erase, after each write of 256
       bytes, and after each 256 bytes that were only read or decoded (1024 while the patch is
       checksummed). done and total are bytes of work: done never decreases, skips work that an
       earlier run finished, and reaches total once the result is verified. A nonzero result ends
       the call with ECANCELED, as a power cut would: the next call resumes. */
    int (*progress)(void *user, uint64_t done, uint64_t total);
} dx_patch_flash_desc;

#ifdef DX_PATCH_FLASH_SMALL
  #define DX_PATCH_P_FLASH_WORDS 352u /* models of a flash patch: coding BITS only, */
#else
  #define DX_PATCH_P_FLASH_WORDS 2848u /* or either coding */
#endif

typedef struct dx_patch_flash { /* caller-allocated, stays where it is; fields are private */
    dx_patch_flash_desc desc_;
    dx_patch_p_coder coder_;
    uint64_t done_;     /* bytes of work done, */
    uint64_t step_end_; /* done after this step, */
    uint64_t total_;    /* and after the last one */
    uint32_t base_size_; /* from the header, */
    uint32_t target_size_;
    uint32_t body_size_;
    uint32_t body_crc_;
    uint32_t page_size_;
    uint32_t bits_coding_; /* 1: coding BITS */
    uint32_t gap_;        /* pages by which the base moves up */
    uint32_t bits_;       /* log2 of the page size */
    uint32_t stream_at_;  /* offset of the stream in the patch, after the checksums of pages */
    uint32_t pages_;      /* pages of the base */
    uint32_t cached_;     /* piece of the base in old_; DX_PATCH_P_F_NEVER: none */
    uint32_t first_page_; /* target pages below this one are not written */
    int error_;           /* the first error; it is final */
    uint8_t old_[64];     /* a piece of the base */
    uint8_t out_[256];    /* target bytes for the next write */
    union {               /* a hash is taken before or after decoding, never during it */
        struct {
            uint32_t cv_[8];
            uint32_t stack_[20][8]; /* subtrees of up to 2^30 bytes */
        } hash_;
        uint16_t rows_[DX_PATCH_P_FLASH_WORDS];
    } u_;
} dx_patch_flash;
#endif

/* >>api ---------------------------------------------------------------- */
/* "DX_PATCH_ECORRUPT" and so on; "unknown error" for any other value. Static storage. */
DX_PATCH_API const char *dx_patch_error_name(int error);

/* The codes 0..7 of the XOR patcher protocol, see docs/formats/patch.md. */
DX_PATCH_API int dx_patch_error_wire(int error);

/* BLAKE3-256 of size bytes into hash (DX_PATCH_HASH_SIZE bytes). */
DX_PATCH_API void dx_patch_hash(const void *data, size_t size, uint8_t *hash);

/* Read and check the first 128 bytes of a patch. ETRUNCATED (fewer), EHEADER, EVERSION. */
DX_PATCH_API int dx_patch_info(const void *bytes, size_t size, dx_patch_header *header);

#ifndef DX_PATCH_NO_CREATE
/* Upper bound of the output of dx_patch_create() in bytes; 0 if above SIZE_MAX. */
DX_PATCH_API size_t dx_patch_bound(const dx_patch_create_desc *desc, size_t base_size,
                                   size_t target_size);

/* Bytes of memory beyond which more does not improve dx_patch_create()'s search for matches; 0 if
   above SIZE_MAX. With less, down to 68 KB, deltas get larger: first fewer offsets of the base are
   indexed, then references are not predicted, then the models are simpler. Another memory_size may
   give another patch. Even with all memory, from 32 MiB of base on only every second offset is
   indexed, and at levels 1 and 2 every fourth.
   Streams as the only coding: below DX_PATCH_STREAMS_MEMORY_MIN bytes the call always fails with
   ENOMEM; an empty base and target need exactly that many, on every machine. Other files need more,
   depending on their content; with one byte less the call fails with ENOMEM and never falls back to
   another coding. If other codings are allowed, one of them is used. */
DX_PATCH_API size_t dx_patch_create_memory_size(const dx_patch_create_desc *desc,
                                                size_t base_size, size_t target_size);

/* Make the patch that turns base into target (NULL if empty), and apply it once to check it (not
   patches for flash: apply these to a copy of the slot). out
   (out_capacity bytes) receives header and body, *out_size bytes; the caller then appends
   desc->trailer_size bytes. EINVAL, ENOMEM, ENOSPACE, ENOTSUP (no allowed coding suits the
   kind), ETOOBIG (applying needs more than apply_memory_max; flash: 1 GiB or more; streams as
   the only coding: 4 GiB or more), ETARGET (the patch does not reproduce the target, which is a
   bug in this header: no patch is returned, and another coding may work). Copies of streams are
   checked even with skip_check. A delta that no coding makes smaller is stored plain, even if
   plain is not allowed. */
DX_PATCH_API int dx_patch_create(const dx_patch_create_desc *desc, const void *base,
                                 size_t base_size, const void *target, size_t target_size,
                                 void *out, size_t out_capacity, size_t *out_size);
#endif

/* Apply a whole patch, trailer included. out must not overlap base; its content is undefined after
   an error. memory_size: at least that of the patch's header. */
DX_PATCH_API int dx_patch_apply(const void *base, size_t base_size, const void *patch,
                                size_t patch_size, void *out, size_t out_capacity,
                                size_t *out_size, void *memory, size_t memory_size);

#ifndef DX_PATCH_NO_BLOCKS
/* Blocks: turn the base in buffer into the target, all or nothing unless power fails or the process
   dies in between; bytes after it may be zeroed.
   buffer_capacity: at least the larger of both sizes. ENOTSUP for a delta. */
DX_PATCH_API int dx_patch_apply_in_place(void *buffer, size_t base_size, size_t buffer_capacity,
                                         const void *patch, size_t patch_size, size_t *new_size);

/* Blocks: turn the target back into the base, likewise. ENOTSUP if the patch is not reversible. */
DX_PATCH_API int dx_patch_undo(void *buffer, size_t target_size, size_t buffer_capacity,
                               const void *patch, size_t patch_size, size_t *new_size);
#endif

/* Apply a patch while it arrives. *desc is copied. EINVAL, ENOBASE (no read callback). */
DX_PATCH_API int dx_patch_applier_init(dx_patch_applier *a, const dx_patch_applier_desc *desc);

/* Pass the next bytes of the patch; all are consumed. Once the header is complete, the whole base
   is read and hashed before the first byte is written. An error is final: later calls return it. */
DX_PATCH_API int dx_patch_applier_feed(dx_patch_applier *a, const void *data, size_t size);

/* DX_PATCH_OK only if the whole patch arrived and the written bytes have the promised hash. */
DX_PATCH_API int dx_patch_applier_finish(dx_patch_applier *a);

/* Return value of the callback that caused DX_PATCH_ESYS or ECANCELED; otherwise 0. */
DX_PATCH_API int dx_patch_applier_callback_result(const dx_patch_applier *a);

#ifndef DX_PATCH_NO_FLASH
/* Flash patches: turn the base into the target in its slot, page by page. After a power cut, an io
   error (ESYS) or a stop by progress (ECANCELED), call it again with the same patch, any number of
   times. No page is erased more than twice, plus at most twice per interruption. OK and EAPPLIED:
   the slot holds the target; bytes after it are undefined. EBASE: the slot holds neither the base
   nor the state of an interrupted run; nothing was changed. ENOSPACE: the slot is too small.
   ENOTSUP: the page size does not suit the patch. ENOMEM: DX_PATCH_FLASH_SMALL is defined and the
   patch was not made for it. */
DX_PATCH_API int dx_patch_flash_apply(dx_patch_flash *f, const dx_patch_flash_desc *desc);
#endif

#ifdef __cplusplus
}
#endif
#endif /* DX_PATCH_H */

#if (defined(DX_PATCH_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_PATCH_IMPLEMENTED)
#define DX_PATCH_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_PATCH_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_PATCH_ASSERT(c) assert(c)
  #else
    #define DX_PATCH_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if !defined(__GNUC__) && !defined(__clang__)
  #include <string.h>
  #define DX_PATCH_P_MEM(name) name
  #define DX_PATCH_P_PREFETCH(p) ((void)(p))
#else
  #define DX_PATCH_P_MEM(name) __builtin_##name
  #define DX_PATCH_P_PREFETCH(p) __builtin_prefetch(p)
  #ifndef __OPTIMIZE_SIZE__ /* one instruction on most machines, unknown to the inliner */
static inline uint32_t dx_patch_p_load32(const uint8_t *p) __attribute__((always_inline));
static inline uint64_t dx_patch_p_load64(const uint8_t *p) __attribute__((always_inline));
  #endif
#endif
#ifndef DX_PATCH_MEMCPY
  #define DX_PATCH_MEMCPY DX_PATCH_P_MEM(memcpy)
#endif
#ifndef DX_PATCH_MEMMOVE
  #define DX_PATCH_MEMMOVE DX_PATCH_P_MEM(memmove)
#endif
#ifndef DX_PATCH_MEMSET
  #define DX_PATCH_MEMSET DX_PATCH_P_MEM(memset)
#endif
#ifndef DX_PATCH_MEMCMP
  #define DX_PATCH_MEMCMP DX_PATCH_P_MEM(memcmp)
#endif
/* >>shared --------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies (a check compares them). */
static uint32_t dx_patch_p_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t dx_patch_p_load64(const uint8_t *p)
{
    return (uint64_t)dx_patch_p_load32(p) | (uint64_t)dx_patch_p_load32(p + 4) << 32;
}

static void dx_patch_p_store32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8 & 0xff);
    p[2] = (uint8_t)(v >> 16 & 0xff);
    p[3] = (uint8_t)(v >> 24);
}

#ifndef DX_PATCH_NO_CREATE
static void dx_patch_p_store64(uint8_t *p, uint64_t v)
{
    dx_patch_p_store32(p, (uint32_t)(v & 0xffffffffu));
    dx_patch_p_store32(p + 4, (uint32_t)(v >> 32));
}
#endif

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4): polynomial 0x82f63b78 reflected, a nibble at a
   time so that the table is 64 bytes. Start with crc = 0; feed pieces in order. */
#ifndef DX_PATCH_CRC32C
#define DX_PATCH_CRC32C dx_patch_p_crc32c
static uint32_t dx_patch_p_crc32c(uint32_t crc, const uint8_t *p, size_t size)
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
/* <<shared */

/* >>hash: BLAKE3-256 --------------------------------------------------------
   github.com/BLAKE3-team/BLAKE3-specs, section 2. The input is cut into chunks of 1024 bytes. A
   chunk is 16 blocks of 64 bytes, compressed one after the other into a chaining value (CV) of 32
   bytes; a parent compresses the CVs of its two children. A left subtree is always complete: it
   has as many chunks as a power of two allows, so the tree of five chunks is

                  root
                 /    \
             p0123    chunk 4        stack_ while chunk 4 is hashed:  p0123
            /     \
          p01     p23                which is one entry for each bit that is set
         /   \   /   \               in the number of complete chunks (100 in binary)
        0     1 2     3

   The last compression has the flag ROOT. Therefore no subtree is merged and no block compressed
   until more input is known to follow. A hook may hash subtrees of whole chunks faster, in SIMD
   lanes; the results are the same. */
#if defined(DX_PATCH_P_OWN_HASH) || !defined(DX_PATCH_NO_FLASH)
enum { /* flags of a compression */
    DX_PATCH_P_B3_CHUNK_START = 1,
    DX_PATCH_P_B3_CHUNK_END = 2,
    DX_PATCH_P_B3_PARENT = 4,
    DX_PATCH_P_B3_ROOT = 8
};
#define DX_PATCH_P_B3_BLOCK 64u
#define DX_PATCH_P_B3_CHUNK 1024u
#define DX_PATCH_P_B3_BLOCKS 16u /* of a chunk */

/* The key of the plain hash: the first words of SHA-256's state. */
static void dx_patch_p_blake3_iv(uint32_t key[8])
{
    static const uint32_t iv[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                   0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
    DX_PATCH_MEMCPY(key, iv, sizeof iv);
}

#define DX_PATCH_P_B3_ROTR(x, n) ((x) >> (n) | (x) << (32 - (n)))
/* The quarter round: mixes two message words into a column or a diagonal of the 4x4 state. */
#define DX_PATCH_P_B3_G(a, b, c, d, x, y)     \
    do {                                      \
        a += b + m[x];                        \
        d = DX_PATCH_P_B3_ROTR(d ^ a, 16);    \
        c += d;                               \
        b = DX_PATCH_P_B3_ROTR(b ^ c, 12);    \
        a += b + m[y];                        \
        d = DX_PATCH_P_B3_ROTR(d ^ a, 8);     \
        c += d;                               \
        b = DX_PATCH_P_B3_ROTR(b ^ c, 7);     \
    } while (0)
/* A round: four columns, four diagonals. The arguments are the order of the message words. */
#define DX_PATCH_P_B3_ROUND(i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, ia, ib, ic, id, ie, if)        \
    do {                                                                                           \
        DX_PATCH_P_B3_G(v0, v4, v8, vc, i0, i1);                                                   \
        DX_PATCH_P_B3_G(v1, v5, v9, vd, i2, i3);                                                   \
        DX_PATCH_P_B3_G(v2, v6, va, ve, i4, i5);                                                   \
        DX_PATCH_P_B3_G(v3, v7, vb, vf, i6, i7);                                                   \
        DX_PATCH_P_B3_G(v0, v5, va, vf, i8, i9);                                                   \
        DX_PATCH_P_B3_G(v1, v6, vb, vc, ia, ib);                                                   \
        DX_PATCH_P_B3_G(v2, v7, v8, vd, ic, id);                                                   \
        DX_PATCH_P_B3_G(v3, v4, v9, ve, ie, if);                                                   \
    } while (0)

/* Compress a block, of which block_size bytes count (the rest must be zero), into a chaining value.
   The counter is the chunk's number; a parent has 0. */
static void dx_patch_p_hash_compress(uint32_t cv[8], const uint8_t block[64], uint32_t block_size,
                                     uint64_t counter, uint32_t flags)
#ifdef DX_PATCH_FLASH_SMALL /* a third of the code, at two thirds of the speed */
{
    static const uint8_t order[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};
    uint32_t old[16], m[16], v[16];
    uint32_t i, round;
    DX_PATCH_ASSERT(block_size <= DX_PATCH_P_B3_BLOCK);
    DX_PATCH_ASSERT(!(flags & DX_PATCH_P_B3_PARENT) || (block_size == 64 && counter == 0));
    DX_PATCH_MEMCPY(v, cv, 32);
    dx_patch_p_blake3_iv(v + 8); /* its second half is overwritten */
    v[12] = (uint32_t)(counter & 0xffffffffu);
    v[13] = (uint32_t)(counter >> 32);
    v[14] = block_size;
    v[15] = flags;
    for (i = 0; i < 16; i++) m[i] = dx_patch_p_load32(block + 4 * i);
    for (round = 0; round < 7; round++) {
        for (i = 0; i < 8; i++) { /* four columns, four diagonals */
            uint32_t turn = i / 4;
            uint32_t *a = v + i % 4, *b = v + 4 + (i + turn) % 4;
            uint32_t *c = v + 8 + (i + 2 * turn) % 4, *d = v + 12 + (i + 3 * turn) % 4;
            DX_PATCH_P_B3_G(*a, *b, *c, *d, 2 * i, 2 * i + 1);
        }
        DX_PATCH_MEMCPY(old, m, sizeof m);
        for (i = 0; i < 16; i++) m[i] = old[order[i]];
    }
    for (i = 0; i < 8; i++) cv[i] = v[i] ^ v[i + 8];
}
#else
{
    static const uint8_t order[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};
    uint32_t old[16], m[16];
    uint32_t v0 = cv[0], v1 = cv[1], v2 = cv[2], v3 = cv[3];
    uint32_t v4 = cv[4], v5 = cv[5], v6 = cv[6], v7 = cv[7];
    uint32_t v8 = 0x6a09e667u, v9 = 0xbb67ae85u, va = 0x3c6ef372u, vb = 0xa54ff53au;
    uint32_t vc = (uint32_t)(counter & 0xffffffffu), vd = (uint32_t)(counter >> 32);
    uint32_t ve = block_size, vf = flags;
    unsigned i, round;
    DX_PATCH_ASSERT(block_size <= DX_PATCH_P_B3_BLOCK);
    DX_PATCH_ASSERT(!(flags & DX_PATCH_P_B3_PARENT) || (block_size == 64 && counter == 0));
    for (i = 0; i < 16; i++) m[i] = dx_patch_p_load32(block + 4 * i);
    for (round = 0; round < 7; round++) {
        DX_PATCH_P_B3_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        for (i = 0; i < 16; i++) old[i] = m[i];
        for (i = 0; i < 16; i++) m[i] = old[order[i]];
    }
    const uint32_t out[8] = {v0 ^ v8, v1 ^ v9, v2 ^ va, v3 ^ vb,
                             v4 ^ vc, v5 ^ vd, v6 ^ ve, v7 ^ vf};
    DX_PATCH_MEMCPY(cv, out, sizeof out);
}
#endif

#endif

#ifdef DX_PATCH_P_OWN_HASH
/* A faster hash for whole subtrees: the program's hook, or that of dx_cas.h if its implementation
   precedes this one in the same file. */
#if !defined(DX_PATCH_BLAKE3) && defined(DX_CAS_IMPLEMENTED)
static void dx_patch_p_hash_part(uint64_t offset, const uint8_t *p, size_t size, uint8_t *value)
{
    dx_cas_blake3 plain;
    int error;
    dx_cas_blake3_init(&plain);
    error = dx_cas_blake3_part(&plain, offset, p, size, value);
    DX_PATCH_ASSERT(error == 0);
    (void)error;
}
#define DX_PATCH_BLAKE3 dx_patch_p_hash_part
#endif
#ifdef DX_PATCH_BLAKE3
enum { /* subtrees that the hook takes, as log2 of chunks; a larger one takes several calls */
    DX_PATCH_P_B3_LOG_MIN = 3,
    DX_PATCH_P_B3_LOG_MAX = 10
};
#endif
#endif

/* The word of XOR loops: a vector if the compiler has them. */
#if defined(__GNUC__) || defined(__clang__)
  #if defined(__SSE2__) || defined(__ARM_NEON) || defined(__wasm_simd128__)
    #define DX_PATCH_P_VECTORS
  #endif
#endif
#ifdef DX_PATCH_P_VECTORS
typedef uint32_t dx_patch_p_word __attribute__((vector_size(32)));
#else
typedef uint64_t dx_patch_p_word;
#endif
#undef DX_PATCH_P_VECTORS
#if defined(__GNUC__) && __GNUC__ >= 8 && !defined(__clang__)
  #define DX_PATCH_P_UNROLL _Pragma("GCC unroll 8")
#else
  #define DX_PATCH_P_UNROLL
#endif
#undef DX_PATCH_P_B3_ROUND
#undef DX_PATCH_P_B3_G
#undef DX_PATCH_P_B3_ROTR

#if defined(DX_PATCH_P_OWN_HASH) || !defined(DX_PATCH_NO_FLASH)
/* Replace cv, the right child, by its parent's. */
static void dx_patch_p_hash_parent(uint32_t cv[8], const uint32_t left[8], uint32_t flags)
{
    uint8_t pair[64];
    unsigned i;
    DX_PATCH_ASSERT(cv != left);
    for (i = 0; i < 8; i++) {
        dx_patch_p_store32(pair + 4 * i, left[i]);
        dx_patch_p_store32(pair + 32 + 4 * i, cv[i]);
    }
    dx_patch_p_blake3_iv(cv);
    dx_patch_p_hash_compress(cv, pair, 64, 0, (uint32_t)DX_PATCH_P_B3_PARENT | flags);
}
#endif

#ifdef DX_PATCH_P_OWN_HASH
static void dx_patch_p_hash_start(dx_patch_p_blake3 *h)
{
    DX_PATCH_MEMSET(h, 0, sizeof *h);
    dx_patch_p_blake3_iv(h->cv_);
}

/* Compress the block held back, with these flags and those of its place in the chunk. */
static void dx_patch_p_hash_block(dx_patch_p_blake3 *h, uint32_t flags)
{
    DX_PATCH_ASSERT(h->blocks_ < DX_PATCH_P_B3_BLOCKS);
    if (h->blocks_ == 0) flags |= (uint32_t)DX_PATCH_P_B3_CHUNK_START;
    dx_patch_p_hash_compress(h->cv_, h->block_, h->block_size_, h->chunk_, flags);
    DX_PATCH_ASSERT(h->block_size_ <= DX_PATCH_P_B3_BLOCK);
    h->block_size_ = 0;
    h->blocks_++;
}

/* Merge cv with the left child, the top of the stack. */
static void dx_patch_p_hash_join(dx_patch_p_blake3 *h, uint32_t flags)
{
    DX_PATCH_ASSERT(h->stack_size_ > 0);
    h->stack_size_--;
    dx_patch_p_hash_parent(h->cv_, h->stack_[h->stack_size_], flags);
}

/* A subtree is complete: push it, and start the next chunk with the key. */
static void dx_patch_p_hash_push(dx_patch_p_blake3 *h)
{
    DX_PATCH_ASSERT(h->stack_size_ < sizeof h->stack_ / sizeof *h->stack_);
    DX_PATCH_MEMCPY(h->stack_[h->stack_size_++], h->cv_, 32);
    dx_patch_p_blake3_iv(h->cv_);
}

/* More input follows chunk_ whole chunks, so none of their subtrees is the root: merge those of
   equal size until there is one for each set bit of chunk_. */
static void dx_patch_p_hash_merge(dx_patch_p_blake3 *h)
{
    uint64_t left;
    unsigned subtrees = 0;
    for (left = h->chunk_; left; left &= left - 1) subtrees++;
    DX_PATCH_ASSERT(h->stack_size_ >= subtrees);
    while (h->stack_size_ > subtrees) {
        DX_PATCH_MEMCPY(h->cv_, h->stack_[--h->stack_size_], 32);
        dx_patch_p_hash_join(h, 0);
        dx_patch_p_hash_push(h);
    }
}

/* Between chunks: hash whole subtrees of the input at once, as large as their place in the tree
   allows. Returns the bytes consumed; 0 without a hook. */
static size_t dx_patch_p_hash_fast(dx_patch_p_blake3 *h, const uint8_t *p, size_t size)
{
    size_t done = 0;
    DX_PATCH_ASSERT(h->blocks_ == 0 && h->block_size_ == 0);
#ifdef DX_PATCH_BLAKE3
    while (size - done >= DX_PATCH_P_B3_CHUNK << DX_PATCH_P_B3_LOG_MIN &&
           !(h->chunk_ & ((1u << DX_PATCH_P_B3_LOG_MIN) - 1))) {
        uint8_t values[2 * 32]; /* of both children, as their parent may be the root */
        unsigned log = DX_PATCH_P_B3_LOG_MAX;
        size_t half;
        unsigned i;
        while ((h->chunk_ & (((uint32_t)1 << log) - 1)) || (size_t)1024 << log > size - done) log--;
        DX_PATCH_ASSERT(log >= DX_PATCH_P_B3_LOG_MIN);
        half = (size_t)1024 << (log - 1);
        DX_PATCH_BLAKE3(h->chunk_ * 1024, p + done, half, values);
        DX_PATCH_BLAKE3(h->chunk_ * 1024 + half, p + done + half, half, values + 32);
        dx_patch_p_hash_merge(h);
        for (i = 0; i < 16; i++) {
            h->cv_[i % 8] = dx_patch_p_load32(values + 4 * i);
            if (i % 8 == 7) dx_patch_p_hash_push(h);
        }
        h->chunk_ += (uint64_t)1 << log;
        done += (size_t)1024 << log;
    }
#endif
    (void)h;
    (void)p;
    (void)size;
    return done;
}

static void dx_patch_p_hash_update(dx_patch_p_blake3 *h, const uint8_t *p, size_t size)
{
    const uint32_t chunk_end = (uint32_t)DX_PATCH_P_B3_CHUNK_END;
    size_t part;
    DX_PATCH_ASSERT(p || !size);
    for (; size; p += part, size -= part) {
        if (h->block_size_ == DX_PATCH_P_B3_BLOCK) /* more follows: not the last block */
            dx_patch_p_hash_block(h, h->blocks_ < DX_PATCH_P_B3_BLOCKS - 1 ? 0u : chunk_end);
        if (h->blocks_ == DX_PATCH_P_B3_BLOCKS) {
            dx_patch_p_hash_push(h);
            h->chunk_++;
            h->blocks_ = 0;
        }
        if (h->blocks_ + h->block_size_ == 0) {
            dx_patch_p_hash_merge(h);
            part = dx_patch_p_hash_fast(h, p, size);
            if (part) continue;
        }
        DX_PATCH_ASSERT(h->block_size_ < DX_PATCH_P_B3_BLOCK && h->blocks_ < DX_PATCH_P_B3_BLOCKS);
        part = DX_PATCH_P_B3_BLOCK - h->block_size_;
        if (part > size) part = size;
        DX_PATCH_MEMCPY(h->block_ + h->block_size_, p, part);
        h->block_size_ = (uint8_t)(h->block_size_ + part);
    }
}

/* End of input: the last block ends its chunk; merge the stack up to the root. */
static void dx_patch_p_hash_finish(dx_patch_p_blake3 *h, uint8_t *hash)
{
    const uint32_t root = (uint32_t)DX_PATCH_P_B3_ROOT;
    unsigned i;
    DX_PATCH_ASSERT(h->block_size_ <= DX_PATCH_P_B3_BLOCK && h->blocks_ <= 15);
    if (h->blocks_ + h->block_size_ || !h->stack_size_) {
        DX_PATCH_MEMSET(h->block_ + h->block_size_, 0, DX_PATCH_P_B3_BLOCK - h->block_size_);
        dx_patch_p_hash_block(h, DX_PATCH_P_B3_CHUNK_END | (h->stack_size_ ? 0u : root));
    } else { /* the input ended with a whole subtree, already on the stack */
        DX_PATCH_MEMCPY(h->cv_, h->stack_[--h->stack_size_], 32);
        DX_PATCH_ASSERT(h->stack_size_ > 0);
    }
    while (h->stack_size_) dx_patch_p_hash_join(h, h->stack_size_ > 1 ? 0u : root);
    for (i = 0; i < 8; i++) dx_patch_p_store32(hash + 4 * i, h->cv_[i]);
}
#endif

/* >>header -------------------------------------------------------------
   128 bytes that identify the patch, its base and target, and the memory it needs:

        0     4 5 6 7 8         16          24        32    36    40
        | DXP1 |v|k|h|c| base   |  target   |  body   |block|flags| memory  |
        48                  80                   112   116     120   124
        | BLAKE3 of base    | BLAKE3 of target   | crc |trailer|  0  | crc |    then the body

   v version, k kind, h hash kind, c coding; sizes in bytes; the first crc covers the body, the
   second one the 124 bytes before it. */
enum { /* offsets */
    DX_PATCH_P_AT_VERSION = 4,
    DX_PATCH_P_AT_KIND = 5,
    DX_PATCH_P_AT_HASH_KIND = 6,
    DX_PATCH_P_AT_CODING = 7,
    DX_PATCH_P_AT_FLAGS = 36, /* bit 0: reversible; others are unknown */
    DX_PATCH_P_AT_BASE_HASH = 48,
    DX_PATCH_P_AT_TARGET_HASH = 80,
    DX_PATCH_P_AT_RESERVED = 120,
    DX_PATCH_P_AT_CRC = 124
};
#define DX_PATCH_P_WORDS(X) /* bits, name, offset of the other fields */                           \
    X(64, base_size, 8)                                                                            \
    X(64, target_size, 16)                                                                         \
    X(64, body_size, 24)                                                                           \
    X(32, block_size, 32)                                                                          \
    X(64, memory_size, 40)                                                                         \
    X(32, body_crc, 112)                                                                           \
    X(32, trailer_size, 116)
#define DX_PATCH_P_LOAD(bits, name, at) h.name = dx_patch_p_load##bits(p + at);

#define DX_PATCH_P_BLAKE3_256 1 /* hash kind */
#define DX_PATCH_P_BLOCKS_VERSION 1
#define DX_PATCH_P_OTHER_VERSION 3
#define DX_PATCH_P_STREAMS_VERSION 4
#define DX_PATCH_P_BITS_VERSION 5
#define DX_PATCH_P_SIZE_BITS 62 /* sizes are below 2^62, so that a sum of three does not wrap */
#define DX_PATCH_P_FLASH_BITS 30 /* files are below 1 GiB, a slot below 4 GiB */

/* Minimum memory for applying a patch of each kind, in bytes. A header that declares less
   is refused, and no body gets more than its header declares, so acceptance does not depend
   on the caller. */
#define DX_PATCH_P_BLOCKS_MEMORY 1024u
#define DX_PATCH_P_DELTA_MEMORY 17044u
#define DX_PATCH_P_FLASH_MEMORY 5696u
#define DX_PATCH_P_BITS_MEMORY ((uint32_t)DX_PATCH_FLASH_SMALL_MEMORY)

static bool dx_patch_p_blocks_fit(const dx_patch_header *h)
{
    bool coding = h->coding == DX_PATCH_CODING_PLAIN || h->coding == DX_PATCH_CODING_BRIEF;
    bool power = !(h->block_size & (h->block_size - 1));
    /* An irreversible patch may lack only what a shrinking target cuts off. */
    bool undo = h->reversible || h->target_size < h->base_size;
    DX_PATCH_ASSERT(h->kind == DX_PATCH_KIND_BLOCKS);
    return coding && power && undo && h->block_size >= 64 && h->block_size <= 65536;
}

static bool dx_patch_p_flash_fits(const dx_patch_header *h)
{
    bool power = !(h->block_size & (h->block_size - 1));
    bool countable = !((h->base_size | h->target_size) >> DX_PATCH_P_FLASH_BITS);
    DX_PATCH_ASSERT(h->kind == DX_PATCH_KIND_FLASH);
    return countable && power && h->block_size >= 256 && h->block_size <= (uint32_t)1 << 20 &&
           !h->reversible &&
           (h->coding == DX_PATCH_CODING_RANGE || h->coding == DX_PATCH_CODING_BITS);
}

static bool dx_patch_p_delta_fits(const dx_patch_header *h)
{
    DX_PATCH_ASSERT(h->kind == DX_PATCH_KIND_DELTA);
    return !h->block_size && !h->reversible &&
           (h->coding <= DX_PATCH_CODING_RANGE || h->coding == DX_PATCH_CODING_STREAMS);
}

static uint8_t dx_patch_p_version(uint8_t kind, uint8_t coding)
{
    if (kind == DX_PATCH_KIND_BLOCKS) return DX_PATCH_P_BLOCKS_VERSION;
    if (coding == DX_PATCH_CODING_STREAMS) return DX_PATCH_P_STREAMS_VERSION;
    if (coding == DX_PATCH_CODING_BITS) return DX_PATCH_P_BITS_VERSION;
    return DX_PATCH_P_OTHER_VERSION;
}

/* EVERSION: a value is unknown here; EHEADER: the fields contradict each other. */
static int dx_patch_p_check_header(const dx_patch_header *h, uint32_t flags)
{
    uint64_t sizes = h->base_size | h->target_size | h->body_size;
    uint32_t memory_min = DX_PATCH_P_DELTA_MEMORY;
    bool fits;
    if (h->hash_kind != DX_PATCH_P_BLAKE3_256 || h->coding > DX_PATCH_CODING_BITS || flags > 1)
        return DX_PATCH_EVERSION;
    if (h->kind == DX_PATCH_KIND_BLOCKS) {
        memory_min = DX_PATCH_P_BLOCKS_MEMORY;
        fits = dx_patch_p_blocks_fit(h);
    } else if (h->kind == DX_PATCH_KIND_FLASH) {
        memory_min = DX_PATCH_P_FLASH_MEMORY;
        if (h->coding == DX_PATCH_CODING_BITS) memory_min = DX_PATCH_P_BITS_MEMORY;
        fits = dx_patch_p_flash_fits(h);
    } else if (h->kind == DX_PATCH_KIND_DELTA) {
        fits = dx_patch_p_delta_fits(h);
    } else {
        return DX_PATCH_EVERSION;
    }
    if (sizes >> DX_PATCH_P_SIZE_BITS || h->memory_size < memory_min) return DX_PATCH_EHEADER;
    DX_PATCH_ASSERT(memory_min >= DX_PATCH_P_BITS_MEMORY);
    return fits ? DX_PATCH_OK : DX_PATCH_EHEADER;
}

DX_PATCH_API int dx_patch_info(const void *bytes, size_t size, dx_patch_header *header)
{
    const uint8_t *p = (const uint8_t *)bytes;
    dx_patch_header h;
    uint32_t crc;
    int error;
    if (!header || (!bytes && size)) return DX_PATCH_EINVAL;
    if (size < DX_PATCH_HEADER_SIZE) return DX_PATCH_ETRUNCATED;
    if (DX_PATCH_MEMCMP(p, "DXP", 3) != 0) return DX_PATCH_EHEADER;
    crc = DX_PATCH_CRC32C(0, p, DX_PATCH_P_AT_CRC);
    if (dx_patch_p_load32(p + DX_PATCH_P_AT_CRC) != crc) return DX_PATCH_EHEADER;
    if (p[3] != '1') return DX_PATCH_EVERSION;
    DX_PATCH_MEMSET(&h, 0, sizeof h);
    h.version = p[DX_PATCH_P_AT_VERSION];
    h.kind = p[DX_PATCH_P_AT_KIND];
    h.hash_kind = p[DX_PATCH_P_AT_HASH_KIND];
    h.coding = p[DX_PATCH_P_AT_CODING];
    if (h.version != dx_patch_p_version(h.kind, h.coding)) return DX_PATCH_EVERSION;
    DX_PATCH_P_WORDS(DX_PATCH_P_LOAD)
    h.reversible = (p[DX_PATCH_P_AT_FLAGS] & 1) != 0;
    DX_PATCH_MEMCPY(h.base_hash, p + DX_PATCH_P_AT_BASE_HASH, DX_PATCH_HASH_SIZE);
    DX_PATCH_MEMCPY(h.target_hash, p + DX_PATCH_P_AT_TARGET_HASH, DX_PATCH_HASH_SIZE);
    error = dx_patch_p_check_header(&h, dx_patch_p_load32(p + DX_PATCH_P_AT_FLAGS));
    if (!error && dx_patch_p_load32(p + DX_PATCH_P_AT_RESERVED) != 0) error = DX_PATCH_EVERSION;
    DX_PATCH_ASSERT(error || h.memory_size >= DX_PATCH_P_BITS_MEMORY);
    if (!error) *header = h;
    return error;
}

/* >>coder: an adaptive range coder ------------------------------------------
   A range coder writes a number below 1 that lies in a range. Each symbol narrows the range to its
   own part, whose width is the symbol's probability, so that likely symbols take few bits:

        range_   0 |------------ 0 ------------|--- 1 ---|- 2 -| .. |15|  < 1      a row says where
                                               |         |                         these marks are
        then                                   |--- 0 ---|-1-| ..    |

   low_ is the lower end of the range. Its top byte is written once it is certain; bytes that a
   carry may still run through wait as cache_ and a count of 255s. The reader does the same with
   code_, its distance from low_. A symbol is half a byte. A row, 16 words, is its model:

        word     0        1               14           15
                 P(<= 0)  P(<= 1)   ..    P(<= 14)     how many symbols it has seen (5 bits)
                 65536 = certain                       and a tag of the context (11 bits, >>mixer)

   After each symbol the marks move towards it, fast at first, then slower. Every function works in
   both directions, so that reader and writer cannot disagree: it takes the value to write and
   returns it; a reader passes 0 and gets the value read. COUNT writes nothing and adds up the cost.
   A coder whose range_ is 0 is plain: bytes and varints are stored uncoded. */
enum {
    DX_PATCH_P_READ,
    DX_PATCH_P_WRITE,
    DX_PATCH_P_COUNT
};
#ifdef DX_PATCH_NO_CREATE
  #define DX_PATCH_P_MODE(c) DX_PATCH_P_READ /* a constant: the compiler drops the writing code */
  #define DX_PATCH_P_SHIFT(c) (void)0
#else
  #define DX_PATCH_P_MODE(c) ((c)->mode_)
  #define DX_PATCH_P_SHIFT(c) dx_patch_p_shift_low(c)
#endif

/* Rows of a delta: 24 for each kind of number; then a block's predictor, by the previous one; then
   flags of fields and of literals; then bytes, each kind by a context. */
#define DX_PATCH_P_ROW 16u    /* words per row */
#define DX_PATCH_P_NUMBER 24u /* rows per kind of number: */
#define DX_PATCH_P_N_SETUP 0u
#define DX_PATCH_P_N_GAP 1u    /* literal bytes before a match */
#define DX_PATCH_P_N_LENGTH 2u /* bytes of a match */
#define DX_PATCH_P_N_JUMP 3u   /* its old offset minus where the last match would continue */
#define DX_PATCH_P_N_EQUAL 4u  /* 4..5: unchanged blocks: at the start of a match; later */
#define DX_PATCH_P_N_RUN 6u    /* 6..8: right bytes before a wrong one, by the previous run */
#define DX_PATCH_P_N_FIX 9u    /* 9..12: error of a predicted field */
#define DX_PATCH_P_NUMBERS 13u
#define DX_PATCH_P_BYTE 17u /* rows of a byte: its upper half; its lower half, by the upper */
#define DX_PATCH_P_ID_ROWS 13u  /* one per predictor; */
#define DX_PATCH_P_FLAG_SURE 2u /* flags: by whether the field's target address lies in a match, */
#define DX_PATCH_P_FLAG_ROWS 4u /* and whether the last two fields were wrong; */
#define DX_PATCH_P_RAW_ROWS 2u  /* by whether the last literals were stored uncoded */
#define DX_PATCH_P_M_ID (DX_PATCH_P_NUMBERS * DX_PATCH_P_NUMBER)
#define DX_PATCH_P_M_FLAG (DX_PATCH_P_M_ID + DX_PATCH_P_ID_ROWS) /* was the field mispredicted? */
#define DX_PATCH_P_M_RAW /* are the next literals uncoded? */ \
    (DX_PATCH_P_M_FLAG + DX_PATCH_P_ID_ROWS * DX_PATCH_P_FLAG_SURE * DX_PATCH_P_FLAG_ROWS)
#define DX_PATCH_P_M_BYTE /* wrong bytes, then literal bytes */ \
    (DX_PATCH_P_M_RAW + DX_PATCH_P_RAW_ROWS)

static uint32_t dx_patch_p_row_count(uint32_t literal_bits, uint32_t diff_bits)
{
    DX_PATCH_ASSERT(literal_bits <= 8 && diff_bits <= 3);
    return DX_PATCH_P_M_BYTE + (DX_PATCH_P_BYTE << literal_bits) + (DX_PATCH_P_BYTE << diff_bits);
}

/* All symbols equally likely: word i is (i + 1) / 16; count 0. */
static void dx_patch_p_rows_start(uint16_t *row, uint32_t rows)
{
    uint32_t i;
    DX_PATCH_ASSERT(row);
    for (i = rows * DX_PATCH_P_ROW; i; i--)
        row[i - 1] = (uint16_t)(((i % DX_PATCH_P_ROW) * 4096) & 65535);
}

#if defined(__GNUC__) || defined(__clang__)
  #define DX_PATCH_P_INLINE static inline __attribute__((always_inline))
typedef uint16_t dx_patch_p_v16 __attribute__((vector_size(32), aligned(2), may_alias));
  #define DX_PATCH_P_COPY_ROW(to, from) (*(dx_patch_p_v16 *)(to) = *(const dx_patch_p_v16 *)(from))
#else
  #define DX_PATCH_P_INLINE static
  #define DX_PATCH_P_COPY_ROW(to, from) DX_PATCH_MEMCPY(to, from, 32)
#endif
/* Without vectors gcc 12 miscompiles sums of 16-bit pairs in 32-bit words; this in a loop stops
   it. */
#if defined(__GNUC__) && !defined(__clang__) && !defined(__SSE2__) && !defined(__ARM_NEON)
  #define DX_PATCH_P_NO_PAIRS __asm__ volatile("")
#else
  #define DX_PATCH_P_NO_PAIRS (void)0
#endif
/* A function and its body, which is compiled twice where machines may have wider vectors. */
#ifdef DX_PATCH_P_AVX2
  #define DX_PATCH_P_WIDE(name, parameters, arguments)                                             \
      DX_PATCH_P_AVX2 static uint32_t name##_wide parameters { return name##_body arguments; }     \
      static uint32_t name parameters                                                              \
      {                                                                                            \
          return __builtin_cpu_supports("avx2") ? name##_wide arguments : name##_body arguments;   \
      }
#else
  #define DX_PATCH_P_WIDE(name, parameters, arguments) \
      static uint32_t name parameters { return name##_body arguments; }
#endif

/* Adaptation rate of a row (65536 = all the way), by the number of symbols it has seen. */
static const uint16_t dx_patch_p_rates[32] = {
    32768, 26214, 18725, 14563, 11915, 10082, 8738, 7710, 6898, 6241, 5698, 5242, 4854, 4519, 4228,
    3971, 3744, 3542, 3360, 3196, 3048, 2912, 2788, 2674, 2500, 2300, 2100, 1900, 1700, 1500,
    1300, 1150};
#define DX_PATCH_P_SEEN 31u /* mask of the count in a row's last word, and its largest value */

/* Adapt a row to symbol v; out may be the row. The count stops at seen_max, which keeps the row
   learning. 16-bit arithmetic throughout and one store make it a single vector operation. */
DX_PATCH_P_INLINE void dx_patch_p_adapt(uint16_t *out, const uint16_t *row, uint32_t v,
                                        uint32_t seen_max)
{
    uint32_t seen = row[15] & DX_PATCH_P_SEEN;
    uint32_t rate = dx_patch_p_rates[seen];
    uint16_t i, below = (uint16_t)v, to[16], count = (uint16_t)(row[15] + (seen < seen_max));
    DX_PATCH_ASSERT(v < 16 && seen_max <= DX_PATCH_P_SEEN);
    for (i = 0; i < 16; i++) {
        uint16_t up = (uint16_t)((i < below) - 1); /* all ones: this mark moves up */
        uint16_t last = (uint16_t)((i < 15) - 1);  /* all ones: the count, not a mark */
        uint16_t part = (uint16_t)(row[i] ^ up);
        part = (uint16_t)(part * rate >> 16);
        part = (uint16_t)(row[i] - (part ^ up) + up);
        to[i] = (uint16_t)((part & ~last) | (count & last));
    }
    DX_PATCH_P_COPY_ROW(out, to);
}

static uint8_t dx_patch_p_get_raw(dx_patch_p_coder *c)
{
    DX_PATCH_ASSERT(c->at_ <= c->size_);
    if (c->at_ < c->size_) return c->source_[c->at_++];
    c->overrun_ = true;
    return 0;
}

/* LEB128: seven bits per byte, the lowest first. More than 64 bits are an error. */
static uint64_t dx_patch_p_get_varint(dx_patch_p_coder *c)
{
    uint64_t v = 0;
    uint32_t shift;
    DX_PATCH_ASSERT(c->at_ <= c->size_);
    for (shift = 0; shift < 64; shift += 7) {
        uint8_t b = dx_patch_p_get_raw(c);
        if (shift == 63 && b > 1) break;
        v |= (uint64_t)(b & 127) << shift;
        if (!(b & 128)) return v;
    }
    c->bad_number_ = true;
    return 0;
}

#ifndef DX_PATCH_NO_CREATE
static void dx_patch_p_put_raw(dx_patch_p_coder *c, uint32_t byte)
{
    DX_PATCH_ASSERT(c->at_ <= c->size_);
    if (c->at_ == c->size_) c->overrun_ = true;
    else c->out_[c->at_++] = (uint8_t)(byte & 255);
}

static void dx_patch_p_put_varint(dx_patch_p_coder *c, uint64_t v)
{
    DX_PATCH_ASSERT(c->out_ || !c->size_);
    for (; v > 127; v >>= 7) dx_patch_p_put_raw(c, (uint32_t)(v & 127) | 128u);
    dx_patch_p_put_raw(c, (uint32_t)v);
}

/* c is all zero except its rows. */
static void dx_patch_p_start_writing(dx_patch_p_coder *c, uint8_t *out, size_t capacity)
{
    DX_PATCH_ASSERT(out || !capacity);
    c->mode_ = DX_PATCH_P_WRITE;
    c->last_ = true; /* no input is missing */
    c->out_ = out;
    c->size_ = capacity;
    c->range_ = 0xffffffffu;
    c->pending_ = 1;
}

/* Shift the top byte out of low_. The oldest pending byte is written, with the carry, once no more
   carry can reach it; bytes of 255 stay pending, as a carry would run through them. The very first
   byte is always zero and is left out. */
static void dx_patch_p_shift_low(dx_patch_p_coder *c)
{
    uint32_t carry = (uint32_t)(c->low_ >> 32);
    DX_PATCH_ASSERT(carry <= 1 && c->pending_ > 0);
    if (c->low_ < 0xff000000u || carry) {
        for (; c->pending_; c->pending_--) {
            if (c->any_) dx_patch_p_put_raw(c, c->cache_ + carry);
            c->any_ = true;
            c->cache_ = 255;
        }
        c->cache_ = (uint8_t)(c->low_ >> 24 & 255);
    }
    c->pending_++;
    c->low_ = c->low_ << 8 & 0xffffffffu;
}

static void dx_patch_p_finish_writing(dx_patch_p_coder *c)
{
    int i;
    DX_PATCH_ASSERT(c->mode_ == DX_PATCH_P_WRITE && c->range_);
    for (i = 0; i < 5; i++) dx_patch_p_shift_low(c);
}
#endif

static void dx_patch_p_start_reading(dx_patch_p_coder *c)
{
    int i;
    DX_PATCH_ASSERT(DX_PATCH_P_MODE(c) == DX_PATCH_P_READ);
    c->range_ = 0xffffffffu;
    for (i = 0; i < 4; i++) c->code_ = c->code_ << 8 | dx_patch_p_get_raw(c);
}

/* Narrow the range to its part of width `range` that starts at `below`. */
static void dx_patch_p_step(dx_patch_p_coder *c, uint32_t below, uint32_t range)
{
    DX_PATCH_ASSERT(range && below <= c->range_ && range <= c->range_ - below);
    if (DX_PATCH_P_MODE(c) == DX_PATCH_P_READ) c->code_ -= below;
    else c->low_ += below;
    for (; range < (uint32_t)1 << 24; range <<= 8) {
        if (DX_PATCH_P_MODE(c) == DX_PATCH_P_READ)
            c->code_ = c->code_ << 8 | dx_patch_p_get_raw(c);
        else DX_PATCH_P_SHIFT(c);
    }
    DX_PATCH_ASSERT(range >= (uint32_t)1 << 24);
    c->range_ = range;
}

/* Code `bits` bits, the highest first, 0 and 1 equally likely. */
static uint64_t dx_patch_p_even(dx_patch_p_coder *c, uint32_t bits, uint64_t v)
{
    uint64_t got = 0;
    DX_PATCH_ASSERT(bits < 64);
    if (DX_PATCH_P_MODE(c) == DX_PATCH_P_COUNT) {
        c->cost_ += 16 * bits;
        return v & (((uint64_t)1 << bits) - 1);
    }
    while (bits) {
        uint32_t part = bits < 8 ? bits : 8; /* bits of this step */
        uint32_t range = c->range_ >> part, mask = ((uint32_t)1 << part) - 1, x;
        bits -= part;
        if (DX_PATCH_P_MODE(c) == DX_PATCH_P_READ) x = c->code_ / range;
        else x = (uint32_t)(v >> bits & mask);
        if (x > mask) x = mask; /* damaged input */
        dx_patch_p_step(c, x * range, range);
        got = got << part | x;
    }
    return got;
}

/* Code a symbol by this row. Its marks are scaled to 32704 parts and each symbol gets 4 more, so
   that every symbol is possible: each has at least 4 parts of 32768. */
DX_PATCH_P_INLINE uint32_t dx_patch_p_split(dx_patch_p_coder *c, const uint16_t *row, uint32_t v)
{
    uint16_t f[16]; /* f[i]: where symbol i ends */
    uint16_t n = 0, i;
    uint32_t width, at, range = c->range_ >> 15;
    DX_PATCH_ASSERT(v < 16 || DX_PATCH_P_MODE(c) == DX_PATCH_P_READ);
    for (i = 0; i < 16; i++) {
        uint16_t last = (uint16_t)((i < 15) - 1);
        f[i] = (uint16_t)(((row[i] * (uint32_t)32704 >> 16) & (uint16_t)~last) + 4 * i + 4);
        f[i] = (uint16_t)(f[i] + (last & 32704));
    }
    if (DX_PATCH_P_MODE(c) == DX_PATCH_P_COUNT) {
        width = f[v] - (v ? f[v - 1] : 0u);
        for (; width < 16384; width *= 2) c->cost_ += 16;
        c->cost_ += (32768 - width) >> 10; /* approximates the logarithm */
        return v;
    }
    if (DX_PATCH_P_MODE(c) == DX_PATCH_P_READ) {
        at = c->code_ / range;
        if (at > 32767) at = 32767; /* damaged input */
        for (i = 0; i < 16; i++) n = (uint16_t)(n + (f[i] <= (uint16_t)at));
        v = n;
    }
    DX_PATCH_ASSERT(v < 16 && f[15] == 32768);
    at = v ? f[v - 1] : 0;
    dx_patch_p_step(c, at * range, (f[v] - at) * range);
    return v;
}

DX_PATCH_P_INLINE uint32_t dx_patch_p_symbol_body(dx_patch_p_coder *c, uint32_t row, uint32_t v)
{
    uint16_t *p = c->rows_ + DX_PATCH_P_ROW * row;
    v = dx_patch_p_split(c, p, v);
    if (DX_PATCH_P_MODE(c) != DX_PATCH_P_COUNT) dx_patch_p_adapt(p, p, v, DX_PATCH_P_SEEN);
    return v;
}
DX_PATCH_P_WIDE(dx_patch_p_symbol, (dx_patch_p_coder *c, uint32_t row, uint32_t v), (c, row, v))

/* A symbol of a row in which only 0 and 1 occur: only its first word and its count change. */
static uint32_t dx_patch_p_flag(dx_patch_p_coder *c, uint32_t row, uint32_t v)
{
    uint16_t *p = c->rows_ + DX_PATCH_P_ROW * row;
    uint32_t range = c->range_ >> 15, rate = dx_patch_p_rates[p[15]];
    uint32_t zero = (p[0] * (uint32_t)32704 >> 16) + 4; /* parts of a 0; the rest less 57: a 1 */
    DX_PATCH_ASSERT(p[15] <= DX_PATCH_P_SEEN && v <= 1);
    if (DX_PATCH_P_MODE(c) == DX_PATCH_P_COUNT) return dx_patch_p_symbol(c, row, v);
    if (DX_PATCH_P_MODE(c) == DX_PATCH_P_READ) v = c->code_ >= zero * range;
    if (v) {
        dx_patch_p_step(c, zero * range, (32711 - zero) * range);
        p[0] = (uint16_t)(p[0] - (p[0] * rate >> 16));
    } else {
        dx_patch_p_step(c, 0, zero * range);
        p[0] = (uint16_t)(p[0] + ((65535u - p[0]) * rate >> 16));
    }
    if (p[15] < DX_PATCH_P_SEEN) p[15]++;
    return v;
}

static uint32_t dx_patch_p_byte(dx_patch_p_coder *c, uint32_t row, uint32_t v)
{
    uint32_t high;
    DX_PATCH_ASSERT(v < 256);
    if (!c->range_) return dx_patch_p_get_raw(c); /* plain coding */
    high = dx_patch_p_symbol(c, row, v >> 4);
    return high << 4 | dx_patch_p_symbol(c, row + 1 + high, v & 15);
}

/* A number, coded as v + 1 in binary: its length, then the bits after the leading one. Up to three
   of these have rows, the rest are even. The first symbol says

        0        v + 1 = 1
        1 .. 14  the length (2 .. 8 bits) and the second bit:  2 * length - 3 + bit
        15       longer: the next symbol has the length, 9 .. 23 bits, or 15: six bits have it

   Numbers up to 254 take at most two symbols, plus even bits. */
static uint64_t dx_patch_p_number(dx_patch_p_coder *c, uint32_t which, uint64_t v)
{
    enum { LONG = 15, LONG_BITS = 8, LONGER_BITS = 23 }; /* bits after the leading one */
    uint32_t bits = 0; /* after the leading one */
    uint32_t first = 0, row = which * DX_PATCH_P_NUMBER, left, lead = 1, n;
    if (!c->range_) return dx_patch_p_get_varint(c);
    DX_PATCH_ASSERT(which < DX_PATCH_P_NUMBERS);
    v++;
    if (DX_PATCH_P_MODE(c) != DX_PATCH_P_READ) {
        while (bits < 63 && v >> (bits + 1)) bits++;
        if (bits) first = 2 * bits - 1 + (uint32_t)(v >> (bits - 1) & 1);
        if (bits >= LONG_BITS) first = LONG;
    }
    first = dx_patch_p_symbol(c, row, first);
    if (first == LONG) {
        n = bits < LONGER_BITS ? bits - LONG_BITS : 15;
        n = dx_patch_p_symbol(c, row + 15, n);
        if (n < 15) bits = LONG_BITS + n;
        else bits = LONGER_BITS + (uint32_t)dx_patch_p_even(c, 6, bits - LONGER_BITS);
        if (bits > 63) {
            c->bad_number_ = true;
            return 0;
        }
        left = bits;
        row += 16 + (bits < 15 ? bits - LONG_BITS : 7);
    } else {
        bits = (first + 1) / 2;
        left = first ? bits - 1 : 0; /* the first symbol holds the second bit */
        if (first) lead = 3 - (first & 1);
        row += first;
    }
    DX_PATCH_ASSERT(lead >= 1 && lead < 4);
    if (left) {
        n = left < 3 ? left : 3;
        left -= n;
        lead = lead << n | dx_patch_p_symbol(c, row, (uint32_t)(v >> left) & ((1u << n) - 1));
    }
    return ((uint64_t)lead << left | dx_patch_p_even(c, left, v)) - 1;
}

/* Signed numbers are coded as 0, -1, 1, -2, 2, .. ; a difference of addresses wraps on purpose. */
static uint64_t dx_patch_p_zigzag(uint64_t v) { return v << 1 ^ (v >> 63 ? UINT64_MAX : 0); }
static uint64_t dx_patch_p_unzigzag(uint64_t v) { return v >> 1 ^ (v & 1 ? UINT64_MAX : 0); }

/* >>mixer: several predictions of half a byte, mixed -------------------------
   One row per half byte predicts text well and tables badly, or the other way round. So each half
   byte is predicted in several contexts at once, and the predictions are mixed:

        inputs                                    weights, a set for each situation
        0  the coder's row: by the byte before     the rest to 65536
        1  context 0  -+                           w1
        2  context 1   |  groups_: rows found by   w2         sum of row[i] * weight = the row that
        .. context 4  -+  hash of the context,     ..         is coded with
        n  a repeat, if there is one: a row by     wn
           its length and the byte it expects

   Then each row adapts to the symbol, and each weight grows with the probability that its input
   gave to it. The set of weights depends on whether there is a repeat, on the half of the byte, and
   on how often contexts 0 and 1 were seen, because a new context says little.

   groups_ is a hash table without collision lists: the upper eleven bits of a row's last word are
   a tag of its context. Another tag means that the row is new in this context: it starts as a copy
   of input 0. */
#define DX_PATCH_P_INPUTS 7u /* five contexts, the row of the coder, and a repeat */
#define DX_PATCH_P_SETS 6u   /* weight sets by kind: 0..3 literals, by length of repeat; */
#define DX_PATCH_P_SET_WRONG 4u /* 4..5 wrong bytes: after right ones; after another wrong one */
#define DX_PATCH_P_SET 32u /* sets per kind: 4 x 4 by how often contexts were seen, 2 halves */
#define DX_PATCH_P_OFTEN 4u /* classes of how often a context was seen */
#define DX_PATCH_P_REPEAT_MAX 15u /* literals; longer ones are no more certain */

struct dx_patch_p_mixer {
    uint16_t weights[DX_PATCH_P_SETS * DX_PATCH_P_SET][DX_PATCH_P_INPUTS]; /* 65536 = 1 */
    uint16_t repeats[128][16]; /* rows by repeat length, half, and expected value */
};

/* Adapt the weights of the inputs to a symbol; mix is their weighted sum. An input that gave symbol
   v the same probability as the mix keeps its weight. */
DX_PATCH_P_INLINE void dx_patch_p_weigh(uint16_t *weights, uint16_t (*rows)[16], uint32_t count,
                                        const uint16_t *mix, uint32_t v)
{
    uint32_t k, sum = 0;
    uint32_t end = v < 15 ? mix[v] : 65535u, start = v ? mix[v - 1] : 0u;
    uint32_t scale = ((uint32_t)1 << 20) / (end - start + 1);
    DX_PATCH_ASSERT(v < 16 && end >= start && count <= DX_PATCH_P_INPUTS);
    for (k = 1; k < count; k++) {
        uint32_t w = weights[k], p;
        end = v < 15 ? rows[k][v] : 65535u;
        start = v ? rows[k][v - 1] : 0u;
        p = end - start;
        w += (w * ((p >> 4) * scale >> 8) >> 12) - (w >> 4);
        if (w < 64) w = 64;
        if (w > 60000) w = 60000;
        weights[k] = (uint16_t)w;
        sum += w;
    }
    while (sum > 65000) { /* input 0 keeps a share */
        sum = 0;
        for (k = 1; k < count; k++) {
            weights[k] = (uint16_t)(weights[k] - (weights[k] >> 3));
            sum += weights[k];
        }
    }
}

/* Find the row of a context in groups_ and load it; a copy of `first` if it is another
   context's. */
DX_PATCH_P_INLINE uint16_t *dx_patch_p_find_row(const dx_patch_p_delta *d, uint32_t context,
                                                uint32_t k, uint32_t node, const uint16_t *first,
                                                uint16_t *row)
{
    uint32_t h = (context + (k + 1) * 0x632be5abu) * 0x9e3779b1u;
    uint16_t found[16], tag, ours, i, *p;
    DX_PATCH_ASSERT(node <= 16 && d->groups_log_ >= 5);
    h = (h ^ h >> 15) * 0x2c1b3c6du;
    tag = (uint16_t)((h << 5 | 32) & 0xffe0u); /* never the tag of a row of zeros */
    p = d->groups_ + DX_PATCH_P_ROW * (size_t)((h >> (32 - d->groups_log_)) ^ node);
    ours = (uint16_t)(((p[15] & 0xffe0u) != tag) - 1); /* all ones: the row is this context's */
    for (i = 0; i < 16; i++) {
        uint16_t last = (uint16_t)((i < 15) - 1); /* all ones: the count and the tag */
        uint16_t fresh = (uint16_t)((first[i] & ~last) | (tag & last));
        found[i] = (uint16_t)((p[i] & ours) | (fresh & ~ours));
    }
    DX_PATCH_P_COPY_ROW(row, found);
    return p;
}

/* Class of a row by the number of symbols it has seen: 0, 1, 2 to 4, more. */
DX_PATCH_P_INLINE uint32_t dx_patch_p_often(const uint16_t *row)
{
    uint32_t seen = row[15] & DX_PATCH_P_SEEN;
    if (seen < 2) return seen;
    return seen < 5 ? 2 : DX_PATCH_P_OFTEN - 1;
}

/* Code a byte by the rows from `row` on and in `count` contexts, the two best first. `expected`:
   256 + the byte that a repeat predicts, or 0; `kind` selects the weights and the rows of
   repeats. */
DX_PATCH_P_INLINE uint32_t dx_patch_p_mix_body(dx_patch_p_delta *d, uint32_t row, uint32_t v,
                                               const uint32_t *contexts, uint32_t count,
                                               uint32_t expected, uint32_t kind)
{
    dx_patch_p_mixer *m = d->mixer_;
    uint16_t rows[DX_PATCH_P_INPUTS][16], *places[DX_PATCH_P_INPUTS], mix[16], i, *weights;
    uint32_t half, high = 0, k, inputs, set, node, weight, symbol;
    DX_PATCH_ASSERT(kind < DX_PATCH_P_SETS && count + 2 <= DX_PATCH_P_INPUTS && count >= 2);
    for (half = 0; half < 2; half++) {
        node = half ? 1 + high : 0;
        places[0] = d->coder_.rows_ + DX_PATCH_P_ROW * (row + node);
        DX_PATCH_P_COPY_ROW(rows[0], places[0]);
        for (k = 0; k < count; k++)
            places[k + 1] = dx_patch_p_find_row(d, contexts[k], k, node, rows[0], rows[k + 1]);
        set = kind * DX_PATCH_P_SET + half;
        set += 2 * (dx_patch_p_often(rows[1]) + DX_PATCH_P_OFTEN * dx_patch_p_often(rows[2]));
        inputs = 1 + count;
        if (expected && (!half || (expected >> 4 & 15) == high)) {
            k = kind * 32 + half * 16 + (half ? expected : expected >> 4) % 16;
            places[inputs] = m->repeats[k];
            DX_PATCH_P_COPY_ROW(rows[inputs], places[inputs]);
            inputs++;
        } else if (kind < DX_PATCH_P_SET_WRONG) {
            set %= DX_PATCH_P_SET; /* as without a repeat */
        }
        DX_PATCH_ASSERT(set < DX_PATCH_P_SETS * DX_PATCH_P_SET && inputs <= DX_PATCH_P_INPUTS);
        weights = m->weights[set];
        weights[0] = 65535;
        for (k = 1; k < inputs; k++) weights[0] = (uint16_t)(weights[0] - weights[k]);
        DX_PATCH_MEMSET(mix, 0, sizeof mix);
        for (k = 0; k < inputs; k++) {
            weight = weights[k];
            for (i = 0; i < 16; i++) {
                DX_PATCH_P_NO_PAIRS;
                mix[i] = (uint16_t)(mix[i] + (rows[k][i] * weight >> 16));
            }
        }
        symbol = dx_patch_p_split(&d->coder_, mix, v >> (half ? 0 : 4) & 15);
        dx_patch_p_weigh(weights, rows, inputs, mix, symbol);
        for (k = 0; k < inputs; k++)
            dx_patch_p_adapt(places[k], rows[k], symbol, k ? 20 : DX_PATCH_P_SEEN);
        high = high << 4 | symbol;
    }
    return high;
}
DX_PATCH_P_WIDE(dx_patch_p_mix, (dx_patch_p_delta *d, uint32_t row, uint32_t v,
                                 const uint32_t *contexts, uint32_t count, uint32_t expected,
                                 uint32_t kind), (d, row, v, contexts, count, expected, kind))

/* After a literal: extend the repeat if it predicted the byte. Otherwise, if heads_ has an earlier
   place of the last five bytes, start a repeat there. */
static void dx_patch_p_note_literal(dx_patch_p_delta *d, uint32_t v)
{
    uint32_t mask = ((uint32_t)1 << d->history_log_) - 1, *head;
    DX_PATCH_ASSERT(v < 256);
    d->past_ = d->past_ << 8 | v;
    if (!d->mixer_) return;
    DX_PATCH_ASSERT(d->history_log_ >= 8 && d->heads_ && d->history_);
    if (d->repeat_size_ && d->history_[d->repeat_at_ & mask] == v) {
        d->repeat_at_++;
        if (d->repeat_size_ < DX_PATCH_P_REPEAT_MAX) d->repeat_size_++;
    } else {
        d->repeat_size_ = 0;
    }
    d->history_[d->history_size_++ & mask] = (uint8_t)v;
    head = d->heads_ + ((d->past_ << 24) * 0x9e3779b97f4a7c15u >> (66 - d->history_log_));
    if (!d->repeat_size_ && *head) {
        d->repeat_at_ = *head;
        d->repeat_size_ = 1;
    }
    *head = d->history_size_;
}

/* Kind of weights, by the length of the repeat. */
static uint32_t dx_patch_p_repeat_kind(uint32_t size)
{
    DX_PATCH_ASSERT(size <= DX_PATCH_P_REPEAT_MAX);
    if (size == 0) return 0;
    if (size < 4) return 1;
    return size < DX_PATCH_P_REPEAT_MAX ? 2 : 3;
}

/* A byte outside of any match. hint: the byte of the base where the last match would continue. */
static uint32_t dx_patch_p_literal(dx_patch_p_delta *d, uint32_t hint, uint32_t v)
{
    uint32_t past = (uint32_t)(d->past_ & 0xffffffffu), size = d->repeat_size_, expected = 0;
    uint32_t context = (past & 255) >> (8 - d->literal_bits_);
    uint32_t row = DX_PATCH_P_M_BYTE + DX_PATCH_P_BYTE * (((uint32_t)1 << d->diff_bits_) + context);
    DX_PATCH_ASSERT(hint < 256);
    if (d->raw_) {
        v = (uint32_t)dx_patch_p_even(&d->coder_, 8, v);
    } else if (!d->mixer_) {
        v = dx_patch_p_byte(&d->coder_, row, v);
    } else {
        const uint32_t contexts[5] = {
            past >> 8 & 0xff,        /* the byte before the last; the row has the last one */
            past & 0xffff,           /* the last two */
            hint | d->hint_ << 16,   /* the hint, and whether the last one was right */
            past,                    /* the last four */
            past >> 8 & 0xffff};     /* the two before the last */
        const uint32_t mask = ((uint32_t)1 << d->history_log_) - 1;
        if (size) expected = 256u + d->history_[d->repeat_at_ & mask];
        v = dx_patch_p_mix(d, row, v, contexts, d->rich_ ? 5 : 2, expected,
                           dx_patch_p_repeat_kind(size));
    }
    d->hint_ = hint == v;
    dx_patch_p_note_literal(d, v);
    return v;
}

#ifndef DX_PATCH_NO_STREAMS
/* >>streams: one stream for each kind of byte ----------------------------------
   Symbols of one kind resemble each other, so each kind is a stream of its own, decoded as a whole
   before any of it is used. That is fast (no symbol waits for one of another kind), and each stream
   has the form that suits it:

        RAW      the bytes                                   noise, or a few bytes
        RUN      one byte, repeated                          a constant stream
        CODED    blocks of 2^n bytes: a table of how         some bytes more frequent than others
                 frequent each byte is, then rANS
        REPEATS  five streams of the other forms, which      recurring sequences: numbers of the
                 copy parts of the stream's own past         same code moved twice

   A stream starts with the number  4 * size + form.  It is untrusted: sizes are bounded by the
   memory that the patch's header grants, and every byte is checked to exist before it is read.

   rANS keeps the message in one number, the state x >= 65536. Each byte value s owns f[s] of the
   table's 2^k slots, in proportion to its frequency; slot x % 2^k selects the byte:

        slots    | 'a' 'a' 'a' 'a' 'a' | 'e' 'e' 'e' | 's' |          f = 5, 3, 1 ..
                    0   1   2   3   4     0   1   2     0             place among its own
        decode   s = byte of slot x % 2^k,  x = f[s] * (x / 2^k) + place,
                 and while x < 65536:  x = x << 16 | the next two bytes

   Four states alternate, so that a processor decodes four bytes in parallel. A block must end with
   all states at 65536, where the writer started, and with no input left: this detects damage. */
#define DX_PATCH_P_STATES 4u          /* of a block; a short one has a single state */
#define DX_PATCH_P_STATES_MIN 512u    /* bytes of a block that has all of them */
#define DX_PATCH_P_STATE_MIN 65536u   /* a state below this takes two more bytes */
#define DX_PATCH_P_TABLE_MIN 5u       /* log2 of the slots of a table */
#define DX_PATCH_P_TABLE_MAX 12u
#define DX_PATCH_P_CHUNK_MIN 10u      /* log2 of the size of a block */
#define DX_PATCH_P_CHUNK_MAX 17u
#define DX_PATCH_P_WINDOW_MIN 10u     /* log2 of the reach of copies in the target */
#define DX_PATCH_P_WINDOW_MAX 26u
#define DX_PATCH_P_CODE_DIRECT 16u    /* codes below this are the number itself */
#define DX_PATCH_P_CODE_BITS 4u       /* log2 of that */

enum { /* forms of a stream */
    DX_PATCH_P_STREAM_RAW,
    DX_PATCH_P_STREAM_RUN,
    DX_PATCH_P_STREAM_CODED,
    DX_PATCH_P_STREAM_REPEATS
};

typedef struct dx_patch_p_span { /* bytes, consumed from the front */
    const uint8_t *at;
    const uint8_t *end;
} dx_patch_p_span;

typedef struct dx_patch_p_bits { /* bits of a span, the lowest of each byte first */
    dx_patch_p_span in;
    uint64_t held;  /* bits read from the span, the next one lowest */
    uint32_t count; /* how many of them are not consumed */
    bool overrun;   /* more were taken than there are; the missing ones are zeros */
} dx_patch_p_bits;

typedef struct dx_patch_p_store { /* the unused part of the caller's memory */
    uint8_t *at;
    size_t left;
    size_t left_min; /* minimum of left over time: shows how much a patch needs */
    bool full;       /* an allocation did not fit */
} dx_patch_p_store;

/* A store with `size` bytes from `at` on, all free. */
static dx_patch_p_store dx_patch_p_store_of(uint8_t *at, size_t size)
{
    dx_patch_p_store s;
    DX_PATCH_ASSERT(at || !size);
    s.at = at;
    s.left = size;
    s.left_min = size;
    s.full = false;
    return s;
}

/* Allocate from a store; NULL, and full is set, if too little is left. Nothing is freed: temporary
   memory is allocated from a copy of the store. */
static uint8_t *dx_patch_p_store_alloc(dx_patch_p_store *s, uint64_t size)
{
    uint8_t *p = s->at;
    DX_PATCH_ASSERT(s->left_min <= s->left);
    if (size > s->left) {
        s->full = true;
        return NULL;
    }
    s->at += (size_t)size;
    s->left -= (size_t)size;
    if (s->left < s->left_min) s->left_min = s->left;
    return p;
}

/* A varint: seven bits per byte, the lowest first. False if truncated or longer than 64 bits. */
static bool dx_patch_p_span_number(dx_patch_p_span *in, uint64_t *v)
{
    uint32_t shift = 0, byte = 128;
    *v = 0;
    DX_PATCH_ASSERT(in->at <= in->end);
    while (byte & 128) {
        if (in->at == in->end || shift > 63) return false;
        byte = *in->at++;
        if (shift == 63 && byte > 1) return false;
        *v |= (uint64_t)(byte & 127) << shift;
        shift += 7;
    }
    return true;
}

/* Split the first `size` bytes off a span; false if there are fewer. */
static bool dx_patch_p_span_cut(dx_patch_p_span *in, uint64_t size, dx_patch_p_span *part)
{
    DX_PATCH_ASSERT(in->at <= in->end);
    if (size > (uint64_t)(in->end - in->at)) return false;
    part->at = in->at;
    part->end = in->at + (size_t)size;
    in->at = part->end;
    return true;
}

/* Hold at least 56 bits, or all that are left, so that most calls of bits_take() do not refill. */
static void dx_patch_p_bits_fill(dx_patch_p_bits *b)
{
    DX_PATCH_ASSERT(b->count < 32);
    if (b->in.end - b->in.at >= 8) { /* as many as fit; bits above count are read again later */
        b->held |= dx_patch_p_load64(b->in.at) << b->count;
        b->in.at += (63 - b->count) >> 3;
        b->count |= 56;
        return;
    }
    while (b->count <= 56 && b->in.at < b->in.end) {
        b->held |= (uint64_t)*b->in.at++ << b->count;
        b->count += 8;
    }
    DX_PATCH_ASSERT(b->count > 56 || b->in.at == b->in.end);
}

static uint32_t dx_patch_p_bits_read(dx_patch_p_bits *b, uint32_t count)
{
    uint32_t v;
    DX_PATCH_ASSERT(count <= 32);
    if (b->count < count) dx_patch_p_bits_fill(b);
    if (b->count < count) {
        b->overrun = true;
        b->held = 0;
        b->count = 32;
    }
    v = (uint32_t)(b->held & (((uint64_t)1 << count) - 1));
    b->held >>= count;
    b->count -= count;
    return v;
}

/* Is only the padding of the last byte left: fewer than eight bits, all zero? */
static bool dx_patch_p_bits_done(const dx_patch_p_bits *b)
{
    uint64_t rest = b->held & (((uint64_t)1 << b->count) - 1);
    DX_PATCH_ASSERT(b->count < 64 && b->in.at <= b->in.end);
    return !b->overrun && b->in.at == b->in.end && b->count < 8 && !rest;
}

/* A number: the code is the number, or gives the count of its low bits and the two bits above them.

        0 .. 15    itself                     16, 17    10xxx, 11xxx (x: an even bit)
        18, 19     10xxxx, 11xxxx             and so on, up to 63 bits below the highest */
static uint64_t dx_patch_p_bits_number(dx_patch_p_bits *b, uint32_t code)
{
    uint32_t bits;
    uint64_t v, low;
    if (code < DX_PATCH_P_CODE_DIRECT) return code;
    bits = DX_PATCH_P_CODE_BITS + (code - DX_PATCH_P_CODE_DIRECT) / 2 - 1; /* even bits */
    if (bits > 61) { /* no writer produces such a code */
        b->overrun = true;
        return 0;
    }
    v = (uint64_t)(2 + (code & 1)) << bits;
    low = dx_patch_p_bits_read(b, bits < 32 ? bits : 32);
    if (bits > 32) low |= (uint64_t)dx_patch_p_bits_read(b, bits - 32) << 32;
    DX_PATCH_ASSERT(!(v & low)); /* the even bits lie below the two that the code gives */
    return v | low;
}

/* The table of a block, in bits:

        the byte with most slots (8)  log2 of all slots - 5 (3)  coded byte values (9)

   then, for each coded value but that one, from 0 on, the bit length of its number of slots: 0: as
   that of the value before; 10: longer or shorter (a sign bit, then ones and a zero: by how much);
   11: a run of values without slots (its length in Elias gamma code). Of the bits after the leading
   one, the first three are coded, the others are 0. The byte with most slots gets the rest. */
static bool dx_patch_p_read_table(dx_patch_p_bits *b, uint16_t *slots, uint32_t *log)
{
    uint32_t top = dx_patch_p_bits_read(b, 8);
    uint32_t left, s = 0, length = 1, count, value, known;
    *log = dx_patch_p_bits_read(b, 3) + DX_PATCH_P_TABLE_MIN;
    left = (uint32_t)1 << *log;
    DX_PATCH_ASSERT(*log <= DX_PATCH_P_TABLE_MAX);
    count = dx_patch_p_bits_read(b, 9);
    DX_PATCH_MEMSET(slots, 0, 256 * sizeof *slots);
    if (count > 256) return false;
    while (s < count && !b->overrun) {
        if (s == top) {
            s++;
            continue;
        }
        if (dx_patch_p_bits_read(b, 1)) {
            bool none = dx_patch_p_bits_read(b, 1);
            bool shorter = !none && dx_patch_p_bits_read(b, 1);
            uint32_t change = none ? 0 : 1;
            while (change < 16 && dx_patch_p_bits_read(b, 1)) change++;
            if (none) { /* change: bits of the run's length after its leading one */
                if (change > 7) return false;
                s += ((uint32_t)1 << change) + dx_patch_p_bits_read(b, change);
                continue;
            }
            length = shorter ? length - change : length + change;
            if (length - 1 >= DX_PATCH_P_TABLE_MAX) return false;
        }
        known = length - 1 < 3 ? length - 1 : 3;
        value = ((uint32_t)1 << known | dx_patch_p_bits_read(b, known)) << (length - 1 - known);
        if (value >= left) return false;
        left -= value;
        slots[s++] = (uint16_t)value;
    }
    DX_PATCH_ASSERT(!slots[top]); /* it was skipped, wherever among the others it is */
    slots[top] = (uint16_t)left;
    return !b->overrun && left > 0;
}

/* Fill the table. A slot holds its byte, that byte's number of slots less one, and its
   place in them. */
static void dx_patch_p_spread_table(const uint16_t *slots, uint32_t *table, uint32_t log)
{
    uint32_t s, i, at = 0;
    for (s = 0; s < 256; s++)
        for (i = 0; i < slots[s]; i++) table[at++] = s | (slots[s] - 1u) << 8 | i << 20;
    DX_PATCH_ASSERT(at == (uint32_t)1 << log);
    (void)log;
}

#define DX_PATCH_P_RANS(x, to)                                                                     \
    do {                                                                                           \
        uint32_t slot = table[(x) & mask];                                                         \
        (to) = (uint8_t)(slot & 255);                                                              \
        (x) = ((slot >> 8 & 4095) + 1) * ((x) >> log) + (slot >> 20);                              \
    } while (0)
/* Refill a low state by two bytes; without a branch, because it would be unpredictable. */
#define DX_PATCH_P_RANS_MORE(x)                                                                    \
    do {                                                                                           \
        uint32_t less = (uint32_t)0 - ((x) < DX_PATCH_P_STATE_MIN ? 1u : 0u);                      \
        (x) = ((x) & ~less) | (((x) << 16 | p[0] | (uint32_t)p[1] << 8) & less);                   \
        p += 2 & less;                                                                             \
    } while (0)

/* Decode the bytes of a block, all but the last few without checking for input each time. */
static bool dx_patch_p_read_rans(const dx_patch_p_span *in, const uint32_t *table, uint32_t log,
                                 uint8_t *out, size_t size)
{
    uint32_t x[DX_PATCH_P_STATES] = {DX_PATCH_P_STATE_MIN, DX_PATCH_P_STATE_MIN,
                                     DX_PATCH_P_STATE_MIN, DX_PATCH_P_STATE_MIN};
    uint32_t states = size < DX_PATCH_P_STATES_MIN ? 1 : DX_PATCH_P_STATES;
    uint32_t mask = ((uint32_t)1 << log) - 1, k;
    const uint8_t *p = in->at;
    size_t i = 0;
    if ((size_t)(in->end - p) < 4 * (size_t)states) return false;
    for (k = 0; k < states; k++, p += 4) x[k] = dx_patch_p_load32(p);
    if (states == DX_PATCH_P_STATES) {
        uint32_t a = x[0], b = x[1], c = x[2], d = x[3];
        for (; size - i >= 4 && in->end - p >= 8; i += 4) {
            DX_PATCH_P_RANS(a, out[i]);
            DX_PATCH_P_RANS(b, out[i + 1]);
            DX_PATCH_P_RANS(c, out[i + 2]);
            DX_PATCH_P_RANS(d, out[i + 3]);
            DX_PATCH_P_RANS_MORE(a);
            DX_PATCH_P_RANS_MORE(b);
            DX_PATCH_P_RANS_MORE(c);
            DX_PATCH_P_RANS_MORE(d);
        }
        x[0] = a;
        x[1] = b;
        x[2] = c;
        x[3] = d;
    }
    DX_PATCH_ASSERT(i % states == 0);
    for (; i < size; i++) {
        uint32_t *one = x + i % states;
        DX_PATCH_P_RANS(*one, out[i]);
        if (*one >= DX_PATCH_P_STATE_MIN) continue;
        if (in->end - p < 2) return false;
        DX_PATCH_P_RANS_MORE(*one);
    }
    DX_PATCH_ASSERT(p <= in->end);
    for (k = 0; k < DX_PATCH_P_STATES; k++)
        if (x[k] != DX_PATCH_P_STATE_MIN) return false;
    return p == in->end;
}

/* CODED: log2 of the block size, then the blocks: table, payload size, payload. */
static bool dx_patch_p_read_coded(dx_patch_p_span *in, uint8_t *out, size_t size, uint32_t *table)
{
    uint16_t slots[256];
    size_t at = 0, part;
    uint32_t chunk, log;
    DX_PATCH_ASSERT(table && in->at <= in->end);
    if (in->at == in->end) return false;
    chunk = *in->at++;
    if (chunk < DX_PATCH_P_CHUNK_MIN || chunk > DX_PATCH_P_CHUNK_MAX) return false;
    for (; at < size; at += part) {
        dx_patch_p_bits bits = {{NULL, NULL}, 0, 0, false};
        dx_patch_p_span payload;
        uint64_t payload_size;
        part = size - at < (size_t)1 << chunk ? size - at : (size_t)1 << chunk;
        bits.in = *in;
        if (!dx_patch_p_read_table(&bits, slots, &log)) return false;
        if (log > DX_PATCH_P_TABLE_MAX) return false;
        DX_PATCH_ASSERT((size_t)(bits.in.at - in->at) >= bits.count / 8); /* all bits held */
        in->at = bits.in.at - bits.count / 8; /* back to the byte after the table */
        dx_patch_p_spread_table(slots, table, log);
        if (!dx_patch_p_span_number(in, &payload_size)) return false;
        if (!dx_patch_p_span_cut(in, payload_size, &payload)) return false;
        if (!dx_patch_p_read_rans(&payload, table, log, out + at, part)) return false;
    }
    return true;
}

/* Copies code REPEATS, and the target itself between matches. Literals and copies alternate until
   the target is complete; the last literals have no copy after them:

        base     ....abcdefgh.....ijkl....          a source is coded relative to the copies
                     |______|     |__|              before it: on the line of the last one, that is
        target   ...xabcdefghyyijkl?                with the same shift (SAME), at its end (NEXT),
                                                    on one of the two lines before (SECOND, THIRD),
                                                    at a distance from its end (JUMP); or at a
                                                    distance back in the target itself (BACK;
                                                    AGAIN: the distance of the last one)

   Each kind of number has a stream: codes of literal counts, of sources, of sizes less one, and a
   stream with the remaining bits of all numbers, in the order of use. */
enum { /* codes of a source */
    DX_PATCH_P_FROM_SAME,
    DX_PATCH_P_FROM_NEXT,
    DX_PATCH_P_FROM_SECOND,
    DX_PATCH_P_FROM_THIRD,
    DX_PATCH_P_FROM_AGAIN,
    DX_PATCH_P_FROM_BACK, /* 5 + n: 2^n + n even bits; 32 of them */
    DX_PATCH_P_FROM_JUMP = DX_PATCH_P_FROM_BACK + 32, /* 37 + 2 * n + sign: likewise */
    DX_PATCH_P_FROM_END = DX_PATCH_P_FROM_JUMP + 2 * 62
};

typedef struct dx_patch_p_copier { /* reads copies */
    dx_patch_p_span runs;     /* codes: literals before a copy */
    dx_patch_p_span sources;  /* codes */
    dx_patch_p_span sizes;    /* codes */
    dx_patch_p_span literals;
    dx_patch_p_bits bits;
    dx_patch_p_lines lines;
} dx_patch_p_copier;

typedef struct dx_patch_p_copy {
    uint64_t literals; /* before it */
    uint64_t size;     /* 0: no copy */
    uint64_t source;   /* offset in the base; own: in the target */
    uint32_t code;     /* of the source */
    bool own;
} dx_patch_p_copy;

/* Note a copy from the base: its line becomes the latest. */
static void dx_patch_p_move_lines(dx_patch_p_lines *l, uint64_t at, uint64_t source, uint64_t size)
{
    uint64_t shift = source - at;
    DX_PATCH_ASSERT(size > 0);
    if (shift != l->shifts[0]) {
        if (shift != l->shifts[1]) l->shifts[2] = l->shifts[1];
        l->shifts[1] = l->shifts[0];
        l->shifts[0] = shift;
    }
    l->old_end = source + size;
}

/* 2^n plus n even bits. */
static uint64_t dx_patch_p_copier_far(dx_patch_p_copier *c, uint32_t n)
{
    uint64_t low = dx_patch_p_bits_read(&c->bits, n < 32 ? n : 32);
    DX_PATCH_ASSERT(n < 62);
    if (n > 32) low |= (uint64_t)dx_patch_p_bits_read(&c->bits, n - 32) << 32;
    return (uint64_t)1 << n | low;
}

/* The source of a copy to target offset `at`. The caller checks its bounds. */
static void dx_patch_p_copier_source(dx_patch_p_copier *c, uint64_t at, dx_patch_p_copy *copy)
{
    uint32_t code = copy->code;
    copy->own = false;
    DX_PATCH_ASSERT(code < DX_PATCH_P_FROM_END);
    if (code == DX_PATCH_P_FROM_SAME) {
        copy->source = at + c->lines.shifts[0];
    } else if (code == DX_PATCH_P_FROM_NEXT) {
        copy->source = c->lines.old_end;
    } else if (code <= DX_PATCH_P_FROM_THIRD) {
        copy->source = at + c->lines.shifts[code - DX_PATCH_P_FROM_SECOND + 1];
    } else if (code < DX_PATCH_P_FROM_JUMP) {
        if (code != DX_PATCH_P_FROM_AGAIN)
            c->lines.back = dx_patch_p_copier_far(c, code - DX_PATCH_P_FROM_BACK);
        copy->own = true;
        copy->source = at - c->lines.back;
    } else {
        uint64_t distance = dx_patch_p_copier_far(c, (code - DX_PATCH_P_FROM_JUMP) / 2);
        bool less = ((code - DX_PATCH_P_FROM_JUMP) & 1) != 0;
        copy->source = less ? c->lines.old_end - distance : c->lines.old_end + distance;
    }
}

/* The next copy, for a target of which `left` bytes from offset `at` on are missing. It is refused
   unless it lies inside base and target; the caller checks that there are enough literals. */
static bool dx_patch_p_next_copy(dx_patch_p_copier *c, uint64_t at, uint64_t left,
                                 uint64_t base_size, dx_patch_p_copy *copy)
{
    DX_PATCH_ASSERT(left > 0);
    copy->size = 0;
    if (c->runs.at == c->runs.end) return false;
    copy->literals = dx_patch_p_bits_number(&c->bits, *c->runs.at++);
    if (copy->literals > left) return false;
    if (copy->literals == left) return !c->bits.overrun;
    at += copy->literals;
    left -= copy->literals;
    if (c->sources.at == c->sources.end || c->sizes.at == c->sizes.end) return false;
    copy->code = *c->sources.at++;
    if (copy->code >= DX_PATCH_P_FROM_END) return false;
    dx_patch_p_copier_source(c, at, copy);
    copy->size = dx_patch_p_bits_number(&c->bits, *c->sizes.at++);
    if (c->bits.overrun || copy->size >= left) return false;
    copy->size++;
    if (copy->own) return c->lines.back > 0 && c->lines.back <= at;
    if (copy->source > base_size || copy->size > base_size - copy->source) return false;
    dx_patch_p_move_lines(&c->lines, at, copy->source, copy->size);
    return true;
}

/* Is all input consumed? */
static bool dx_patch_p_copier_done(const dx_patch_p_copier *c)
{
    return c->runs.at == c->runs.end && c->sources.at == c->sources.end &&
           c->sizes.at == c->sizes.end && dx_patch_p_bits_done(&c->bits);
}

/* Copy from `back` bytes earlier; the source may overlap the destination, which then repeats it. */
static void dx_patch_p_copy_back(uint8_t *to, size_t back, size_t size)
{
    DX_PATCH_ASSERT(back > 0);
    while (back < size) { /* each pass doubles the bytes that repeat */
        DX_PATCH_MEMCPY(to, to - back, back);
        to += back;
        size -= back;
        back *= 2;
    }
    DX_PATCH_MEMCPY(to, to - back, size);
}

typedef struct dx_patch_p_streams { /* state for reading streams */
    dx_patch_p_span in;     /* from the next stream on */
    dx_patch_p_store store; /* memory for decoded bytes */
    uint32_t *table;        /* for rANS: 1 << DX_PATCH_P_TABLE_MAX words */
} dx_patch_p_streams;

/* RAW, RUN or CODED: decode a stream into memory that stays allocated. */
static bool dx_patch_p_read_plain(dx_patch_p_streams *s, uint32_t form, uint64_t size,
                                  dx_patch_p_span *out)
{
    uint8_t *to = dx_patch_p_store_alloc(&s->store, size);
    dx_patch_p_span raw;
    DX_PATCH_ASSERT(size <= UINT64_MAX >> 2);
    if (!to) return false;
    out->at = to;
    out->end = to + (size_t)size;
    if (form == DX_PATCH_P_STREAM_CODED)
        return dx_patch_p_read_coded(&s->in, to, (size_t)size, s->table);
    if (form == DX_PATCH_P_STREAM_RUN) {
        if (s->in.at == s->in.end) return false;
        DX_PATCH_MEMSET(to, *s->in.at++, (size_t)size);
        return true;
    }
    if (form != DX_PATCH_P_STREAM_RAW || !dx_patch_p_span_cut(&s->in, size, &raw)) return false;
    if (size) DX_PATCH_MEMCPY(to, raw.at, (size_t)size);
    return true;
}

/* A stream without repeats. */
static bool dx_patch_p_read_inner(dx_patch_p_streams *s, dx_patch_p_span *out)
{
    uint64_t head;
    if (!dx_patch_p_span_number(&s->in, &head)) return false;
    return dx_patch_p_read_plain(s, (uint32_t)(head & 3), head >> 2, out);
}

/* The streams of copies, except the literals. */
static bool dx_patch_p_read_codes(dx_patch_p_streams *s, dx_patch_p_copier *c,
                                  bool (*read)(dx_patch_p_streams *, dx_patch_p_span *))
{
    uint64_t size;
    DX_PATCH_MEMSET(c, 0, sizeof *c);
    return read(s, &c->runs) && read(s, &c->sources) && read(s, &c->sizes) &&
           dx_patch_p_span_number(&s->in, &size) &&
           dx_patch_p_span_cut(&s->in, size, &c->bits.in);
}

/* REPEATS: memory of the five streams is freed once the stream itself is decoded. */
static bool dx_patch_p_read_repeats(dx_patch_p_streams *s, uint64_t size, dx_patch_p_span *out)
{
    dx_patch_p_copier c;
    dx_patch_p_copy copy;
    uint8_t *to = dx_patch_p_store_alloc(&s->store, size);
    size_t at = 0, literals, left = s->store.left; /* after the stream itself */
    if (!to || !dx_patch_p_read_codes(s, &c, dx_patch_p_read_inner)) return false;
    if (!dx_patch_p_read_inner(s, &c.literals)) return false;
    DX_PATCH_ASSERT(left - s->store.left == (size_t)(s->store.at - to) - (size_t)size);
    while (at < size) {
        if (!dx_patch_p_next_copy(&c, at, size - at, 0, &copy)) return false;
        literals = (size_t)copy.literals;
        if (literals > (size_t)(c.literals.end - c.literals.at)) return false;
        if (literals) DX_PATCH_MEMCPY(to + at, c.literals.at, literals);
        c.literals.at += literals;
        at += literals;
        DX_PATCH_ASSERT(!copy.size || copy.own); /* an empty base has no copies */
        DX_PATCH_ASSERT(copy.size <= size - at);
        if (copy.size) dx_patch_p_copy_back(to + at, (size_t)c.lines.back, (size_t)copy.size);
        at += (size_t)copy.size;
    }
    DX_PATCH_ASSERT(at == size);
    out->at = to;
    out->end = to + (size_t)size;
    s->store.at = to + (size_t)size;
    s->store.left = left;
    return dx_patch_p_copier_done(&c) && c.literals.at == c.literals.end;
}

/* A stream of any form. */
static bool dx_patch_p_read_stream(dx_patch_p_streams *s, dx_patch_p_span *out)
{
    uint64_t head;
    if (!dx_patch_p_span_number(&s->in, &head)) return false;
    if ((head & 3) == DX_PATCH_P_STREAM_REPEATS) return dx_patch_p_read_repeats(s, head >> 2, out);
    return dx_patch_p_read_plain(s, (uint32_t)(head & 3), head >> 2, out);
}

#endif /* DX_PATCH_NO_STREAMS */

/* Index of the byte that holds the lowest set bit. */
static uint32_t dx_patch_p_bytes_below(uint64_t bits)
{
    uint32_t bytes = 0;
    DX_PATCH_ASSERT(bits);
#ifdef __GNUC__
    bytes = (uint32_t)__builtin_ctzll(bits) / 8;
#else
    for (; !(bits & 255); bits >>= 8) bytes++;
#endif
    return bytes;
}

/* >>predict: references follow their targets --------------------------------
   When code moves, references to it change: a call in old code at X to a function at Y becomes a
   call at X' to Y'. The matches say where X and Y went, so the new reference can be computed, and
   only mispredictions take bytes in the patch:

        base      ..| main: call f |......| f: ... |..          field: the 4 bytes of the distance
                            \____________^                      target = address of f, as in base
                            segments: offset <-> address
        matches     new offset <- old offset, size              map_offset(): where f went
                            v             v
        target    ..| main: call f |............| f: ... |..    value = address of f now - origin

   The position of fields depends on the machine; each predictor knows one kind. Each kilobyte of a
   match names the predictor that made it smallest. The error of a misprediction is kept by region
   of the target address (memory_), because references to a region tend to miss by the same amount.

   The setup of a file lists its segments:  count, origin, then for each segment  offset in the
   file, address, size in the file, size in memory. Nothing here can fail: any numbers give some
   prediction, and reader and writer compute the same one. */
#define DX_PATCH_P_BLOCK 1024u /* bytes of a match that share a predictor */
#define DX_PATCH_P_BEFORE 4u   /* old bytes before a block that a predictor may read */
#define DX_PATCH_P_AFTER 8u    /* max bytes by which a field may extend its block */
#define DX_PATCH_P_LONGEST (DX_PATCH_P_BLOCK + DX_PATCH_P_AFTER)
#define DX_PATCH_P_WINDOW (DX_PATCH_P_BEFORE + DX_PATCH_P_LONGEST)
#define DX_PATCH_P_MEMORY 1024u /* corrections kept, by region of the target address */
#define DX_PATCH_P_ADDRESS_MIN 256u /* smaller numbers are not addresses */

#if UINTPTR_MAX > 0xffffffffu
  #define DX_PATCH_P_EIGHTS /* where code may be larger: test eight bytes at once */
#endif

enum { /* words of a setup, */
    DX_PATCH_P_SETUP_COUNT = 0,
    DX_PATCH_P_SETUP_ORIGIN = 1,
    DX_PATCH_P_SETUP_SEGMENT = 2, /* the first one */
    /* and of a segment in it */
    DX_PATCH_P_SEG_OFFSET = 0,
    DX_PATCH_P_SEG_ADDRESS = 1,
    DX_PATCH_P_SEG_SIZE = 2,
    DX_PATCH_P_SEG_MEMORY = 3,
    DX_PATCH_P_SEG_WORDS = 4
};
typedef char dx_patch_p_setup_has_all_segments[DX_PATCH_P_SETUP_SEGMENT +
                                               DX_PATCH_P_SEG_WORDS * DX_PATCH_P_SEGMENTS ==
                                               DX_PATCH_P_SETUP_SIZE ? 1 : -1];

enum { /* words of a match in the predictor's list */
    DX_PATCH_P_MATCH_NEW = 0,
    DX_PATCH_P_MATCH_OLD = 1,
    DX_PATCH_P_MATCH_SIZE = 2,
    DX_PATCH_P_MATCH_WORDS = 3,
    DX_PATCH_P_MATCH_BYTES = 20 /* with its entries in the order and the old offsets */
};

enum { /* predictors */
    DX_PATCH_P_ID_NONE,
    DX_PATCH_P_ID_X86,     /* call, jmp, jcc and operands relative to the next instruction */
    DX_PATCH_P_ID_POINTER, /* aligned 64-bit addresses */
    DX_PATCH_P_ID_NEAR,    /* aligned 32-bit addresses relative to themselves */
    DX_PATCH_P_ID_BASED,   /* aligned 32-bit addresses relative to the origin of the setup */
    DX_PATCH_P_ID_TABLE,   /* aligned 32-bit addresses */
    DX_PATCH_P_ID_I386,    /* call, jmp, jcc; 32-bit addresses anywhere */
    DX_PATCH_P_ID_THUMB,   /* BL, B.W; aligned 32-bit addresses */
    DX_PATCH_P_ID_ARM64,   /* BL, B; ADRP with the ADD, LDR or STR that goes with it */
    DX_PATCH_P_ID_RISCV,   /* JAL; AUIPC with the instruction after it */
    DX_PATCH_P_ID_WASM,    /* indexes of functions and globals, addresses of data: LEB128 */
    DX_PATCH_P_ID_SINGLES, /* 32-bit or 64-bit numbers, integer or float, that change little */
    DX_PATCH_P_ID_DOUBLES,
    DX_PATCH_P_IDS
};
typedef char dx_patch_p_id_rows_fit[DX_PATCH_P_ID_ROWS == (int)DX_PATCH_P_IDS ? 1 : -1];

enum { /* how bytes of a field form a number; the first four permute the bits of a word */
    DX_PATCH_P_FORM_BL,
    DX_PATCH_P_FORM_JAL,
    DX_PATCH_P_FORM_ADRP,
    DX_PATCH_P_FORM_LOW,
    DX_PATCH_P_FORM_PLAIN, /* little-endian */
    DX_PATCH_P_FORM_AUIPC, /* two instructions: bits 31..12 and 11..0 of one distance */
    DX_PATCH_P_FORM_LEB    /* LEB128; the top bits of its bytes are kept above the number */
};

typedef struct dx_patch_p_field {
    uint32_t size;   /* bytes; 0: no field here */
    uint32_t form;
    uint32_t bits;   /* low bits of the number that are a distance, */
    uint32_t shift;  /* and the left shift that makes it one in bytes */
    uint32_t sure;   /* 1: its target address lies in a match */
    uint32_t slot;   /* index of its correction; DX_PATCH_P_MEMORY: none */
    uint64_t target; /* its target address on the old side */
    uint64_t origin; /* what the new distance is relative to */
    uint64_t number; /* value in the base */
    uint64_t value;  /* predicted value */
} dx_patch_p_field;

/* Runs of bits of a word that form a number: from bit, how many, to bit. */
#define DX_PATCH_P_BITS_BL(X) /* imm11, imm10, J2, J1, S */ \
    X(16, 11, 0) X(0, 10, 11) X(27, 1, 21) X(29, 1, 22) X(10, 1, 23) X(11, 5, 24) X(28, 1, 29) \
        X(30, 2, 30)
#define DX_PATCH_P_BITS_JAL(X) /* 10..1, 11, 19..12, 20 */ \
    X(21, 10, 0) X(20, 1, 10) X(12, 8, 11) X(31, 1, 19) X(0, 12, 20)
#define DX_PATCH_P_BITS_ADRP(X) /* immlo, immhi */ \
    X(29, 2, 0) X(5, 19, 2) X(0, 5, 21) X(24, 5, 26) X(31, 1, 31)
#define DX_PATCH_P_BITS_LOW(X) /* ADD, LDR, STR: imm12 */ \
    X(10, 12, 0) X(0, 10, 12) X(22, 10, 22)
#define DX_PATCH_P_FORTH(from, count, to) | (w >> (from) & (((uint32_t)1 << (count)) - 1)) << (to)
#define DX_PATCH_P_BACK(from, count, to) DX_PATCH_P_FORTH(to, count, from)

/* Permute the bits of a word so that its number is lowest, or permute them back. */
static uint32_t dx_patch_p_reorder(uint32_t form, uint32_t w, bool back)
{
    DX_PATCH_ASSERT(form < DX_PATCH_P_FORM_PLAIN);
    switch (form + (back ? DX_PATCH_P_FORM_PLAIN : 0)) {
    case DX_PATCH_P_FORM_BL: return 0 DX_PATCH_P_BITS_BL(DX_PATCH_P_FORTH);
    case DX_PATCH_P_FORM_JAL: return 0 DX_PATCH_P_BITS_JAL(DX_PATCH_P_FORTH);
    case DX_PATCH_P_FORM_ADRP: return 0 DX_PATCH_P_BITS_ADRP(DX_PATCH_P_FORTH);
    case DX_PATCH_P_FORM_LOW: return 0 DX_PATCH_P_BITS_LOW(DX_PATCH_P_FORTH);
    case DX_PATCH_P_FORM_PLAIN + DX_PATCH_P_FORM_BL: return 0 DX_PATCH_P_BITS_BL(DX_PATCH_P_BACK);
    case DX_PATCH_P_FORM_PLAIN + DX_PATCH_P_FORM_JAL: return 0 DX_PATCH_P_BITS_JAL(DX_PATCH_P_BACK);
    case DX_PATCH_P_FORM_PLAIN + DX_PATCH_P_FORM_ADRP:
        return 0 DX_PATCH_P_BITS_ADRP(DX_PATCH_P_BACK);
    default: return 0 DX_PATCH_P_BITS_LOW(DX_PATCH_P_BACK);
    }
}

/* The second word of an AUIPC pair with its low immediate bits on top. A store splits them: their
   lower part swaps places with a register field. Other instructions are unchanged. */
static uint32_t dx_patch_p_swap_store(uint32_t w)
{
    if ((w & 0x7b) != 0x23) return w;
    return (w & 0xfe0ff07fu) | (w >> 20 & 31) << 7 | (w >> 7 & 31) << 20;
}

/* Bit 23 of a BL or B.W is its sign; J1 and J2, below it, are stored as their XOR with it. */
static uint32_t dx_patch_p_flip_branch(uint32_t form, uint32_t w)
{
    return form == DX_PATCH_P_FORM_BL && !(w >> 23 & 1) ? w ^ 0x600000u : w;
}

static uint64_t dx_patch_p_load_field(const uint8_t *p, uint32_t form, uint32_t size)
{
    uint64_t v = 0, tops = 0; /* tops: the top bits of all bytes */
    uint32_t i, w, x;
    DX_PATCH_ASSERT(size <= 8);
    if (form == DX_PATCH_P_FORM_PLAIN && size == 4) return dx_patch_p_load32(p);
    if (form < DX_PATCH_P_FORM_PLAIN)
        return dx_patch_p_flip_branch(form, dx_patch_p_reorder(form, dx_patch_p_load32(p), false));
    for (i = size; i-- > 0;) {
        if (form == DX_PATCH_P_FORM_LEB) v = v << 7 | (p[i] & 127u);
        else v = v << 8 | p[i];
        tops = tops << 1 | p[i] >> 7;
    }
    if (form == DX_PATCH_P_FORM_PLAIN) return v;
    if (form == DX_PATCH_P_FORM_LEB) return v | tops << 7 * size;
    w = (uint32_t)(v & 0xffffffffu);
    DX_PATCH_ASSERT(form == DX_PATCH_P_FORM_AUIPC && size == 8);
    x = dx_patch_p_swap_store((uint32_t)(v >> 32));
    v = ((w & 0xfffff000u) + (x >> 20) - ((x >> 31) << 12)) & 0xffffffffu; /* 11..0 is signed */
    return v | (uint64_t)((w & 0xfffu) | (x & 0xfffffu) << 12) << 32;
}

static void dx_patch_p_store_field(uint8_t *p, uint32_t form, uint32_t size, uint64_t v)
{
    uint32_t i, w = (uint32_t)(v & 0xffffffffu), rest = (uint32_t)(v >> 32);
    DX_PATCH_ASSERT(size <= 8);
    if (form == DX_PATCH_P_FORM_AUIPC) {
        v = ((w + 0x800u) & 0xfffff000u) | (rest & 0xfffu);
        v |= (uint64_t)dx_patch_p_swap_store(rest >> 12 | (w & 0xfffu) << 20) << 32;
    } else if (form < DX_PATCH_P_FORM_PLAIN) {
        v = dx_patch_p_reorder(form, dx_patch_p_flip_branch(form, w), true);
    }
    if (size == 4 && form != DX_PATCH_P_FORM_LEB) {
        dx_patch_p_store32(p, (uint32_t)(v & 0xffffffffu));
        return;
    }
    for (i = 0; i < size; i++) {
        uint64_t byte = v >> 8 * i & 255;
        if (form == DX_PATCH_P_FORM_LEB)
            byte = (v >> 7 * i & 127) | (v >> (7 * size + i) & 1) << 7;
        p[i] = (uint8_t)byte;
    }
}

/* The address of an offset in the base (side 0) or the target (1); outside segments, the offset. */
static uint64_t dx_patch_p_address(const dx_patch_p_predictor *p, int side, uint64_t offset)
{
    const uint64_t *setup = p->setup_[side];
    const uint64_t *s = setup + DX_PATCH_P_SETUP_SEGMENT;
    const uint64_t *end = s + DX_PATCH_P_SEG_WORDS * setup[DX_PATCH_P_SETUP_COUNT];
    DX_PATCH_ASSERT(setup[DX_PATCH_P_SETUP_COUNT] <= DX_PATCH_P_SEGMENTS);
    for (; s < end; s += DX_PATCH_P_SEG_WORDS) {
        uint64_t inside = offset - s[DX_PATCH_P_SEG_OFFSET];
        if (inside < s[DX_PATCH_P_SEG_SIZE]) return s[DX_PATCH_P_SEG_ADDRESS] + inside;
    }
    return offset;
}

/* Map an offset of the base to the target. Of the matches that start at or before it, the one that
   reaches furthest gives the shift. *sure: the offset lies in that match. */
static uint64_t dx_patch_p_map_offset(const dx_patch_p_predictor *p, uint64_t offset,
                                      uint32_t *sure)
{
    uint32_t low = 0, left = p->count_, half;
    const uint32_t *match, *order, *olds;
    if (!left) return offset;
    order = p->matches_ + DX_PATCH_P_MATCH_WORDS * (size_t)left;
    olds = order + left;
    if (p->index_ && offset >> p->index_log_ < p->index_size_ - 1) {
        const uint32_t *granule = p->index_ + (size_t)(offset >> p->index_log_);
        low = granule[0];
        left = granule[1] - low + 1;
    }
    for (; left > 1; left -= half) { /* find the last one that starts there; without branches */
        half = left / 2;
        low += olds[low + half] <= offset ? half : 0;
    }
    DX_PATCH_ASSERT(low < p->count_ && order[low] < p->count_);
    match = p->matches_ + DX_PATCH_P_MATCH_WORDS * (size_t)order[low];
    *sure = offset - match[DX_PATCH_P_MATCH_OLD] < match[DX_PATCH_P_MATCH_SIZE];
    return offset - match[DX_PATCH_P_MATCH_OLD] + match[DX_PATCH_P_MATCH_NEW];
}

/* Map an address of the base to the target; false if it is not an address. Memory without bytes in
   the file (.bss) keeps its distance from the end of its segment's bytes. */
static bool dx_patch_p_map_address(const dx_patch_p_predictor *p, uint64_t address,
                                   uint64_t *mapped, uint32_t *sure)
{
    const uint64_t *s = p->setup_[0] + DX_PATCH_P_SETUP_SEGMENT;
    const uint64_t *t = p->setup_[1] + DX_PATCH_P_SETUP_SEGMENT;
    uint32_t i;
    DX_PATCH_ASSERT(p->setup_[0][DX_PATCH_P_SETUP_COUNT] <= DX_PATCH_P_SEGMENTS);
    for (i = 0; i < p->setup_[0][DX_PATCH_P_SETUP_COUNT]; i++) {
        uint64_t inside = address - s[DX_PATCH_P_SEG_ADDRESS];
        uint64_t offset = s[DX_PATCH_P_SEG_OFFSET] + inside;
        if (inside < s[DX_PATCH_P_SEG_MEMORY]) {
            *sure = 0;
            if (inside < s[DX_PATCH_P_SEG_SIZE])
                *mapped = dx_patch_p_address(p, 1, dx_patch_p_map_offset(p, offset, sure));
            else if (i < p->setup_[1][DX_PATCH_P_SETUP_COUNT])
                *mapped = t[DX_PATCH_P_SEG_ADDRESS] + t[DX_PATCH_P_SEG_SIZE] +
                          (inside - s[DX_PATCH_P_SEG_SIZE]);
            else *mapped = address;
            return true;
        }
        s += DX_PATCH_P_SEG_WORDS;
        t += DX_PATCH_P_SEG_WORDS;
    }
    return false;
}

/* Sign-extend the lowest bits of v. */
static uint64_t dx_patch_p_sign(uint64_t v, uint32_t bits)
{
    uint64_t sign = (uint64_t)1 << (bits - 1);
    DX_PATCH_ASSERT(bits >= 1 && bits <= 64);
    return ((v & (sign - 1 + sign)) ^ sign) - sign;
}

/* A field of `size` bytes; the low `bits` bits of its number are an address or a distance. */
static void dx_patch_p_set_field(dx_patch_p_field *f, uint32_t form, uint32_t size, uint32_t bits,
                                 uint32_t shift, const uint8_t *p)
{
    DX_PATCH_ASSERT(size && bits <= 8 * size);
    f->size = size;
    f->form = form;
    f->bits = bits;
    f->shift = shift;
    f->sure = 0;
    f->slot = DX_PATCH_P_MEMORY;
    f->number = dx_patch_p_load_field(p, form, size);
    f->target = dx_patch_p_sign(f->number, bits) << shift;
    f->origin = 0;
    f->value = f->number;
}

/* Relative to byte `at` of the block: the instruction itself or the one after it, as in a
   branch. */
static void dx_patch_p_relative(dx_patch_p_field *f, const dx_patch_p_block *b, uint64_t at)
{
    DX_PATCH_ASSERT(f->size > 0 || f->origin == 0);
    f->target += b->old_at + b->bias[0] + at;
    f->origin = b->new_at + b->bias[1] + at;
}

/* Instructions of arm64: */
static bool dx_patch_p_is_branch(uint32_t w) { return (w & 0x7c000000u) == 0x14000000u; }
static bool dx_patch_p_is_adrp(uint32_t w) { return (w & 0x9f000000u) == 0x90000000u; }
static bool dx_patch_p_is_low(uint32_t w) /* ADD immediate, LDR or STR with an offset */
{
    return (w & 0xffc00000u) == 0x91000000u || (w & 0x3b000000u) == 0x39000000u;
}

#ifdef DX_PATCH_P_EIGHTS
/* May the word at byte `at` of a block be a field? The rules of the next function. */
static bool dx_patch_p_is_arm64(const uint8_t *p, uint32_t at)
{
    uint32_t w = dx_patch_p_load32(p + at), page = 0x90000000u | (w >> 5 & 31), i;
    bool found = dx_patch_p_is_branch(w) || dx_patch_p_is_adrp(w);
    DX_PATCH_ASSERT(at < DX_PATCH_P_LONGEST);
    if (!dx_patch_p_is_low(w)) return found;
    for (i = 4; i <= 16 && i <= at; i += 4)
        found |= (dx_patch_p_load32(p + at - i) & 0x9f00001fu) == page;
    return found;
}
#endif

/* ADRP has only the page of an address; one of the next four instructions, with the same register,
   adds the rest. Both are fields with the same target. */
static void dx_patch_p_locate_arm64(dx_patch_p_field *f, const dx_patch_p_block *b, uint32_t at)
{
    const uint64_t page_mask = ~(uint64_t)4095;
    const uint8_t *p = b->old_bytes + at, *page = p, *low = p;
    uint32_t w = dx_patch_p_load32(p), other = w, i, scale, room = 0;
    bool first = dx_patch_p_is_adrp(w), found = false;
    uint64_t target;
    DX_PATCH_ASSERT(at % 4 == (0 - b->old_at) % 4 && b->limit - at >= 4);
    if (dx_patch_p_is_branch(w)) {
        dx_patch_p_set_field(f, DX_PATCH_P_FORM_PLAIN, 4, 26, 2, p);
        dx_patch_p_relative(f, b, at);
    }
    if (first) room = b->limit - at - 4;
    else if (dx_patch_p_is_low(w)) room = at;
    for (i = 4; i <= 16 && i <= room && !found; i += 4) {
        if (first) low = p + i;
        else page = p - i;
        other = dx_patch_p_load32(low);
        found = dx_patch_p_is_low(other) && /* and adds to the register that ADRP sets */
                (dx_patch_p_load32(page) & 0x9f00001fu) == (0x90000000u | (other >> 5 & 31));
    }
    if (!found) return;
    scale = other >> 24 & 8 ? other >> 30 : 0; /* offsets of LDR and STR count in their size */
    dx_patch_p_set_field(f, DX_PATCH_P_FORM_ADRP, 4, 21, 12, page);
    target = f->target + ((other >> 10 & 4095) << scale);
    target += (b->old_at + b->bias[0] + (uint64_t)(page - b->old_bytes)) & page_mask;
    f->origin = (b->new_at + b->bias[1] + at) & page_mask;
    if (p != page) dx_patch_p_set_field(f, DX_PATCH_P_FORM_LOW, 4, 12 - scale, scale, p);
    f->target = target;
}

static void dx_patch_p_locate_riscv(dx_patch_p_field *f, const dx_patch_p_block *b, uint32_t at)
{
    const uint8_t *p = b->old_bytes + at;
    uint32_t w = dx_patch_p_load32(p), next, op;
    DX_PATCH_ASSERT(b->limit - at >= 4);
    if ((w & 0xf7fu) == 0x6fu) { /* JAL to x0 or ra: a jump or a call */
        dx_patch_p_set_field(f, DX_PATCH_P_FORM_JAL, 4, 20, 1, p);
    } else if ((w & 0x7fu) == 0x17u && b->limit - at >= 8) { /* AUIPC */
        next = dx_patch_p_load32(p + 4);
        op = next & 0x7f;
        if ((next >> 15 & 31) != (w >> 7 & 31)) return; /* adds to another register */
        if (op != 0x13 && (next & 0x5b) != 0x03 && op != 0x67) return; /* ADDI, load, store, JALR */
        dx_patch_p_set_field(f, DX_PATCH_P_FORM_AUIPC, 8, 32, 0, p);
    }
    dx_patch_p_relative(f, b, at);
}

enum { /* opcodes of WebAssembly before a field */
    DX_PATCH_P_WASM_CALL = 0x10,
    DX_PATCH_P_WASM_GET = 0x23, /* of a global */
    DX_PATCH_P_WASM_SET = 0x24,
    DX_PATCH_P_WASM_CONST = 0x41
};

/* A LEB128 number after an opcode: equal numbers after the same opcode change by the same amount.
   Numbers of one byte are skipped as small constants, except function indexes. */
static void dx_patch_p_locate_leb(dx_patch_p_field *f, const uint8_t *p, uint32_t left)
{
    uint32_t size = 1, op = p[-1];
    bool call = op == DX_PATCH_P_WASM_CALL;
    DX_PATCH_ASSERT(left > 0);
    while (size <= 5 && size < left && p[size - 1] & 128) size++;
    if (size > 5 || p[size - 1] & 128 || (size == 1 && !call)) return;
    dx_patch_p_set_field(f, DX_PATCH_P_FORM_LEB, size, 7 * size, 0, p);
    f->target = (f->number & 0x7ffffffffu) | (uint64_t)op << (call ? 33 : 40);
}

#define DX_PATCH_P_ONES (UINT64_MAX / 255) /* each byte 1 */

#ifdef DX_PATCH_P_EIGHTS
/* The top bit of each zero byte of eight; bits above the lowest of these may be wrong. */
static uint64_t dx_patch_p_zeros(uint64_t bytes)
{
    return (bytes - DX_PATCH_P_ONES) & ~bytes & DX_PATCH_P_ONES << 7;
}

/* Which of eight bytes end an opcode of x86-64, by the rules of is_x86(). Reads the byte
   before them, too. */
static uint64_t dx_patch_p_x86_eight(const uint8_t *p)
{
    uint64_t last = dx_patch_p_load64(p), before = last << 8 | p[-1];
    return dx_patch_p_zeros((last & DX_PATCH_P_ONES * 0xfe) ^ DX_PATCH_P_ONES * 0xe8) |
           dx_patch_p_zeros((last & DX_PATCH_P_ONES * 0xc7) ^ DX_PATCH_P_ONES * 0x05) |
           dx_patch_p_zeros(((last & DX_PATCH_P_ONES * 0xf0) ^ DX_PATCH_P_ONES * 0x80) |
                            (before ^ DX_PATCH_P_ONES * 0x0f));
}

/* The same for WebAssembly. */
static uint64_t dx_patch_p_wasm_eight(const uint8_t *p)
{
    uint64_t last = dx_patch_p_load64(p);
    return dx_patch_p_zeros(last ^ DX_PATCH_P_ONES * DX_PATCH_P_WASM_CALL) |
           dx_patch_p_zeros(last ^ DX_PATCH_P_ONES * DX_PATCH_P_WASM_CONST) |
           dx_patch_p_zeros(last ^ DX_PATCH_P_ONES * DX_PATCH_P_WASM_GET) |
           dx_patch_p_zeros(last ^ DX_PATCH_P_ONES * DX_PATCH_P_WASM_SET);
}
#endif

/* Does byte i follow an opcode of x86-64 with a 32-bit operand relative to the next instruction?
   call, jmp; ModRM of [rip + disp32]; 0f 8x, jcc. The last field ended at `from`. */
static bool dx_patch_p_is_x86(const uint8_t *p, int32_t i, int32_t from)
{
    uint32_t last = p[i - 1];
    DX_PATCH_ASSERT(i > from);
    if ((last & 0xfe) == 0xe8) return true;
    if (i - 2 < from) return false;
    return (last & 0xc7) == 0x05 || ((last & 0xf0) == 0x80 && p[i - 2] == 0x0f);
}

/* Is the byte before p an opcode of WebAssembly whose number may change? */
static bool dx_patch_p_is_wasm(const uint8_t *p)
{
    uint32_t last = p[-1];
    return last == DX_PATCH_P_WASM_CALL || last == DX_PATCH_P_WASM_CONST ||
           last == DX_PATCH_P_WASM_GET || last == DX_PATCH_P_WASM_SET;
}

/* The next byte of a block that follows an opcode of x86-64 or WebAssembly and may start a
   field. */
static uint32_t dx_patch_p_next_opcode(const dx_patch_p_block *b, uint32_t at, int32_t from,
                                       bool wasm)
{
    const uint8_t *p = b->old_bytes;
    int32_t i = (int32_t)at, size = (int32_t)b->size;
    if (!i && from >= 0) i = 1; /* no byte precedes the start of the file */
    if (i <= from) i = from + 1;
    for (; i < size; i++) {
        DX_PATCH_ASSERT(i >= 1 - (int32_t)DX_PATCH_P_BEFORE);
#ifdef DX_PATCH_P_EIGHTS
        if (i > from + 1 && size - i >= 8) { /* the two bytes before may be read */
            const uint8_t *last = p + i - 1;
            uint64_t found = wasm ? dx_patch_p_wasm_eight(last) : dx_patch_p_x86_eight(last);
            if (found) return (uint32_t)i + dx_patch_p_bytes_below(found);
            i += 7;
            continue;
        }
#endif
        if (wasm ? dx_patch_p_is_wasm(p + i) : dx_patch_p_is_x86(p, i, from)) return (uint32_t)i;
    }
    return at > b->size ? at : b->size;
}

/* Not a small number, positive or negative. */
static bool dx_patch_p_is_wide(uint32_t word)
{
    return ((word + 0x10000u) & 0xffffffffu) >= 0x20000u;
}

/* BL or B.W of Thumb-2, two halfwords. */
static bool dx_patch_p_is_long_branch(uint32_t word) { return (word & 0x9000f800u) == 0x9000f000u; }

/* Alignment of the fields of a predictor. */
static uint32_t dx_patch_p_align(uint32_t id)
{
    static const uint8_t aligns[16] = {0, 1, 8, 4, 4, 4, 1, 2, 4, 2, 1, 4, 8};
    DX_PATCH_ASSERT(id < DX_PATCH_P_IDS);
    return aligns[id & 15]; /* the mask shows the compiler the bound */
}

#ifdef DX_PATCH_P_EIGHTS
/* May there be a field at an aligned place, `before` bytes after the last one? Cheap tests only. */
static bool dx_patch_p_may_be_field(uint32_t id, const dx_patch_p_block *b, uint32_t at,
                                    uint32_t before)
{
    const uint8_t *p = b->old_bytes + at;
    uint32_t word;
    if (b->limit - at < 4) return true;
    DX_PATCH_ASSERT(at < b->size);
    word = dx_patch_p_load32(p);
    if (id == DX_PATCH_P_ID_ARM64) return dx_patch_p_is_arm64(b->old_bytes, at);
    if (id == DX_PATCH_P_ID_RISCV) return (word & 0xf7fu) == 0x6fu || (word & 0x7fu) == 0x17u;
    if (id == DX_PATCH_P_ID_THUMB)
        return dx_patch_p_is_long_branch(word) ||
               (!((b->old_at + at) & 3) && word >= DX_PATCH_P_ADDRESS_MIN);
    if (id != DX_PATCH_P_ID_I386) return true;
    return dx_patch_p_is_wide(word) || (before >= 1 && (p[-1] & 0xfe) == 0xe8) ||
           (before >= 2 && (p[-1] & 0xf0) == 0x80 && p[-2] == 0x0f);
}
#endif

/* The next place from `at` on where a field may start. `from`: the end of the last field, which
   must not serve as the next one's opcode. A hot loop: it passes over every byte. */
static uint32_t dx_patch_p_next_place(uint32_t id, const dx_patch_p_block *b, uint32_t at,
                                      int32_t from)
{
    uint32_t align = dx_patch_p_align(id);
    if (id == DX_PATCH_P_ID_NONE) return at > b->size ? at : b->size;
    if (id == DX_PATCH_P_ID_X86 || id == DX_PATCH_P_ID_WASM)
        return dx_patch_p_next_opcode(b, at, from, id == DX_PATCH_P_ID_WASM);
    at += (uint32_t)((0 - (b->old_at + at)) & (align - 1u));
    DX_PATCH_ASSERT(align);
#ifdef DX_PATCH_P_EIGHTS
    while (at < b->size && !dx_patch_p_may_be_field(id, b, at, (uint32_t)((int32_t)at - from)))
        at += align;
#endif
    return at;
}

/* i386 and Thumb: calls and jumps among words that may be addresses. `before`: bytes before it that
   may be an opcode. */
static void dx_patch_p_locate_mixed(dx_patch_p_field *f, uint32_t id, const dx_patch_p_block *b,
                                    uint32_t at, uint32_t before)
{
    const uint8_t *p = b->old_bytes + at;
    uint32_t word = dx_patch_p_load32(p);
    bool x86_32 = id == DX_PATCH_P_ID_I386, thumb = id == DX_PATCH_P_ID_THUMB;
    bool call = x86_32 && before >= 1 && (p[-1] & 0xfe) == 0xe8;
    bool jump = x86_32 && before >= 2 && (p[-1] & 0xf0) == 0x80 && p[-2] == 0x0f;
    bool branch = thumb && dx_patch_p_is_long_branch(word);
    bool table = thumb ? !((b->old_at + at) & 3) : dx_patch_p_is_wide(word);
    DX_PATCH_ASSERT(x86_32 || thumb);
    if (!call && !jump && !branch && (!table || word < DX_PATCH_P_ADDRESS_MIN)) return;
    if (branch) dx_patch_p_set_field(f, DX_PATCH_P_FORM_BL, 4, 24, 1, p);
    else dx_patch_p_set_field(f, DX_PATCH_P_FORM_PLAIN, 4, 32, 0, p);
    if (call || jump || branch) dx_patch_p_relative(f, b, at + 4u);
    else f->target = word;
}

/* 32-bit addresses of all kinds. Plain words come first: they are the most frequent. */
static void dx_patch_p_locate_word(dx_patch_p_field *f, uint32_t id, const dx_patch_p_block *b,
                                   uint32_t at, uint32_t before)
{
    const uint8_t *p = b->old_bytes + at;
    uint32_t word = dx_patch_p_load32(p);
    bool code = id == DX_PATCH_P_ID_X86; /* its place follows an opcode, see next_opcode() */
    bool nearby = id == DX_PATCH_P_ID_NEAR, based = id == DX_PATCH_P_ID_BASED;
    bool table = id == DX_PATCH_P_ID_TABLE;
    DX_PATCH_ASSERT(b->limit - at >= 4);
    if (!code && !nearby && !based && !table) {
        dx_patch_p_locate_mixed(f, id, b, at, before);
        return;
    }
    if (nearby && !dx_patch_p_is_wide(word)) return;
    if (table && word < DX_PATCH_P_ADDRESS_MIN) return;
    dx_patch_p_set_field(f, DX_PATCH_P_FORM_PLAIN, 4, 32, 0, p);
    if (code) {
        dx_patch_p_relative(f, b, at + 4u);
    } else if (nearby) {
        dx_patch_p_relative(f, b, at);
    } else if (based) {
        f->target += b->origin[0];
        f->origin = b->origin[1];
    } else {
        f->target = word;
    }
}

/* The field at byte `at` of a block, whose last field ended at `from`. Only the block's bytes and
   those from `from` on are read; anything that would need more is not a field. */
static dx_patch_p_field dx_patch_p_locate(uint32_t id, const dx_patch_p_block *b, uint32_t at,
                                          int32_t from)
{
    dx_patch_p_field f = {0, 0, 0, 0, 0, DX_PATCH_P_MEMORY, 0, 0, 0, 0};
    bool wide = id == DX_PATCH_P_ID_POINTER || id == DX_PATCH_P_ID_DOUBLES;
    bool number = id == DX_PATCH_P_ID_SINGLES || id == DX_PATCH_P_ID_DOUBLES;
    const uint8_t *p = b->old_bytes + at;
    uint32_t left = b->limit - at, size = wide ? 8 : 4;
    DX_PATCH_ASSERT(at <= b->limit && from <= (int32_t)at);
    if (left < (id == DX_PATCH_P_ID_WASM ? 1u : size)) return f;
    if (id == DX_PATCH_P_ID_ARM64) dx_patch_p_locate_arm64(&f, b, at);
    else if (id == DX_PATCH_P_ID_RISCV) dx_patch_p_locate_riscv(&f, b, at);
    else if (id == DX_PATCH_P_ID_WASM) dx_patch_p_locate_leb(&f, p, left);
    else if (number || (wide && dx_patch_p_load64(p) >= DX_PATCH_P_ADDRESS_MIN))
        dx_patch_p_set_field(&f, DX_PATCH_P_FORM_PLAIN, size, 8 * size, 0, p);
    else if (!wide) dx_patch_p_locate_word(&f, id, b, at, (uint32_t)((int32_t)at - from));
    DX_PATCH_ASSERT(f.size <= left);
    return f;
}

/* A field and its predicted value. Targets in the same region tend to miss by the same amount. */
static dx_patch_p_field dx_patch_p_predict(const dx_patch_p_predictor *x, uint32_t id,
                                           const dx_patch_p_block *b, uint32_t at, int32_t from)
{
    dx_patch_p_field f = dx_patch_p_locate(id, b, at, from);
    uint64_t target = f.number, mask;
    if (!f.size || id > DX_PATCH_P_ID_WASM) return f; /* numbers are predicted unchanged */
    DX_PATCH_ASSERT(f.bits >= 1 && f.bits <= 64);
    mask = UINT64_MAX >> (64 - f.bits);
    if (id != DX_PATCH_P_ID_WASM && !dx_patch_p_map_address(x, f.target, &target, &f.sure))
        f.size = 0;
    f.slot = (uint32_t)(((f.target >> x->region_bits_) * 0x9e3779b97f4a7c15u) >> 54);
    DX_PATCH_ASSERT(f.slot < DX_PATCH_P_MEMORY);
    target += dx_patch_p_sign(x->memory_[f.slot], 32) - f.origin;
    f.value = (f.number & ~mask) | (target >> f.shift & mask);
    return f;
}

/* Fill what follows the list of matches: their order by old offset, then by index (Shell sort, no
   extra memory), and the old offsets in that order. In the order, a match that lies inside the one
   before it is replaced by that one. */
static void dx_patch_p_sort_map(dx_patch_p_predictor *p)
{
    const uint32_t *list = p->matches_;
    uint32_t i, k, gap = 1, count = p->count_;
    uint32_t *order = p->matches_ + DX_PATCH_P_MATCH_WORDS * (size_t)count;
    uint32_t *olds = order + count;
    DX_PATCH_ASSERT(p->matches_ || !count);
    while (gap < count / 3) gap = 3 * gap + 1;
    for (i = 0; i < count; i++) order[i] = i;
    for (; gap; gap /= 3)
        for (i = gap; i < count; i++) {
            uint32_t moved = order[i], at = list[3 * moved + DX_PATCH_P_MATCH_OLD];
            for (k = i; k >= gap; k -= gap) {
                uint32_t other = list[3 * order[k - gap] + DX_PATCH_P_MATCH_OLD];
                if (other < at || (other == at && order[k - gap] < moved)) break;
                order[k] = order[k - gap];
            }
            order[k] = moved;
        }
    for (i = 0; i < count; i++) {
        uint32_t before = order[i ? i - 1 : 0];
        const uint32_t *match = list + DX_PATCH_P_MATCH_WORDS * (size_t)order[i];
        const uint32_t *last = list + DX_PATCH_P_MATCH_WORDS * (size_t)before;
        DX_PATCH_ASSERT(before < count);
        olds[i] = match[DX_PATCH_P_MATCH_OLD];
        if (last[DX_PATCH_P_MATCH_OLD] + last[DX_PATCH_P_MATCH_SIZE] >=
            match[DX_PATCH_P_MATCH_OLD] + match[DX_PATCH_P_MATCH_SIZE])
            order[i] = before;
    }
}

#ifndef DX_PATCH_NO_STREAMS
/* Fill the index. Few matches start in a granule, which makes lookups fast. */
static void dx_patch_p_index_map(dx_patch_p_predictor *p)
{
    const uint32_t *olds = p->matches_ + (DX_PATCH_P_MATCH_WORDS + 1) * (size_t)p->count_;
    uint32_t i, last = 0;
    DX_PATCH_ASSERT(p->index_ && p->index_size_ >= 2);
    for (i = 0; i < p->index_size_; i++) {
        uint64_t start = (uint64_t)i << p->index_log_;
        while (last + 1 < p->count_ && olds[last + 1] <= start) last++;
        p->index_[i] = last;
    }
}
#endif

/* >>delta: the parts of a delta, both directions -----------------------------
   Literals and matches alternate in the target; a match is cut into blocks of a kilobyte. Unchanged
   blocks are only counted; a changed one names its predictor, then passes over its old bytes twice:

        old bytes     | call f |   ...    | ptr g |  ...        first its fields: as predicted, or
                        ^^^^ predicted      ^^^^^ predicted     as the patch corrects them
        then          ------- right -------x--- right ---x--    then runs of right bytes, and the
                      run                  diff   run    diff   difference of each wrong byte

   The reader stops between steps when its input may not hold a whole step, and resumes the block
   when more has arrived. */
#define DX_PATCH_P_STEP 64u /* max input bytes of a decoder step */

static bool dx_patch_p_has_input(const dx_patch_p_coder *c) /* for a whole step */
{
    DX_PATCH_ASSERT(c->at_ <= c->size_);
    return c->last_ || c->size_ - c->at_ >= DX_PATCH_P_STEP;
}

/* Note the last bytes of the target, those up to `end`; `before` bytes exist. */
static void dx_patch_p_pass(dx_patch_p_delta *d, const uint8_t *end, uint64_t before)
{
    uint32_t i = before < 8 ? (uint32_t)before : 8;
    for (; i; i--) d->past_ = d->past_ << 8 | *(end - i);
}

/* Start a block of a match that has `left` bytes left. */
static void dx_patch_p_start_block(dx_patch_p_delta *d, dx_patch_p_block *b, uint64_t left)
{
    dx_patch_p_predictor *x = &d->predictor_;
    DX_PATCH_ASSERT(left > 0);
    b->size = left < DX_PATCH_P_BLOCK ? (uint32_t)left : DX_PATCH_P_BLOCK;
    b->limit = left < DX_PATCH_P_LONGEST ? (uint32_t)left : DX_PATCH_P_LONGEST;
    b->from = b->old_at < 2 ? 0 - (int32_t)b->old_at : -2; /* an opcode may precede the block */
    b->at = 0;
    b->filled = false;
    DX_PATCH_ASSERT(b->size <= b->limit);
    b->bias[0] = dx_patch_p_address(x, 0, b->old_at) - b->old_at;
    b->bias[1] = dx_patch_p_address(x, 1, b->new_at) - b->new_at;
    b->origin[0] = x->setup_[0][DX_PATCH_P_SETUP_ORIGIN];
    b->origin[1] = x->setup_[1][DX_PATCH_P_SETUP_ORIGIN];
}

/* Rows of the next run, by the previous run. */
static uint32_t dx_patch_p_run_number(uint32_t run)
{
    if (run == 0) return 0;
    return run < 8 ? 1 : 2;
}

/* The error of a field corrects the predictions of its neighbours. */
static void dx_patch_p_learn_field(dx_patch_p_predictor *x, const dx_patch_p_field *f,
                                   uint64_t error)
{
    if (f->slot >= DX_PATCH_P_MEMORY) return;
    x->memory_[f->slot] += (uint32_t)(error << f->shift & 0xffffffffu);
}

/* The kind of correction: of x86, of pointers, of other addresses, of numbers. */
static uint32_t dx_patch_p_fix_kind(uint32_t id)
{
    DX_PATCH_ASSERT(id != DX_PATCH_P_ID_NONE && id < DX_PATCH_P_IDS);
    if (id <= DX_PATCH_P_ID_POINTER) return id - 1;
    return id < DX_PATCH_P_ID_SINGLES ? 2 : 3;
}

/* Code whether the field is as predicted and, if not, its error. Returns its value. */
static uint64_t dx_patch_p_code_field(dx_patch_p_delta *d, const dx_patch_p_field *f,
                                      uint64_t value)
{
    dx_patch_p_predictor *x = &d->predictor_;
    uint64_t error = dx_patch_p_sign(value - f->value, 8 * f->size);
    uint32_t rows = d->id_ * DX_PATCH_P_FLAG_SURE + f->sure;
    uint32_t flag = DX_PATCH_P_M_FLAG + rows * DX_PATCH_P_FLAG_ROWS + x->flags_;
    uint32_t fix = DX_PATCH_P_N_FIX + dx_patch_p_fix_kind(d->id_);
    DX_PATCH_ASSERT(d->id_ != DX_PATCH_P_ID_NONE && f->size && x->flags_ < 4);
    if (dx_patch_p_flag(&d->coder_, flag, error != 0)) {
        error = dx_patch_p_number(&d->coder_, fix, dx_patch_p_zigzag(error) - 1); /* it is not 0 */
        error = dx_patch_p_unzigzag(1 + error);
    } else {
        error = 0;
    }
    x->flags_ = (x->flags_ << 1 | (error != 0)) & 3;
    dx_patch_p_learn_field(x, f, error);
    return f->value + error;
}

/* Length of the common prefix. */
static size_t dx_patch_p_same(const uint8_t *a, const uint8_t *b, size_t size)
{
    size_t i = 0;
    for (; size - i >= 8; i += 8) {
        uint64_t x = dx_patch_p_load64(a + i) ^ dx_patch_p_load64(b + i);
        if (x) return i + dx_patch_p_bytes_below(x);
    }
    while (i < size && a[i] == b[i]) i++;
    return i;
}

/* Code the difference of a wrong byte from `old`; `before` is the target byte before it. Bytes of a
   number that grew are off by 1, or by 255 after a borrow. */
static uint32_t dx_patch_p_code_wrong(dx_patch_p_delta *d, uint32_t before, uint32_t old,
                                      uint32_t v)
{
    uint32_t last = d->last_diff_;
    uint32_t alone = d->last_run_ ? 0u : 1u; /* 1: directly after another wrong byte */
    uint32_t context = alone | (last & 128 ? 4u : 0u), row;
    DX_PATCH_ASSERT(before < 256 && old < 256 && last < 256);
    if (last == 0 || last == 1 || last == 255) context |= 2;
    row = DX_PATCH_P_M_BYTE + DX_PATCH_P_BYTE * (context & (((uint32_t)1 << d->diff_bits_) - 1));
    if (!d->mixer_ || DX_PATCH_P_MODE(&d->coder_) == DX_PATCH_P_COUNT) {
        v = dx_patch_p_byte(&d->coder_, row, v);
    } else {
        uint32_t run = d->last_run_ < 15 ? d->last_run_ : 15;
        const uint32_t contexts[4] = { /* the top byte separates them from those of literals */
            (uint32_t)1 << 24 | old << 16 | before << 8 | alone,
            (uint32_t)4 << 24 | last << 8 | run,
            (uint32_t)2 << 24 | last << 16 | old << 8 | d->id_,
            (uint32_t)3 << 24 | old << 8 | alone};
        v = dx_patch_p_mix(d, row, v, contexts, d->rich_ ? 4 : 2, 0,
                           DX_PATCH_P_SET_WRONG + alone);
    }
    d->last_diff_ = v;
    return v;
}

/* Code the fields of a block into its old bytes at `to`. False: more input is needed. */
static bool dx_patch_p_code_fields(dx_patch_p_delta *d, dx_patch_p_block *b, uint8_t *to)
{
    const uint8_t *made = b->new_bytes; /* NULL when reading */
    while (!b->filled) {
        dx_patch_p_field f;
        uint64_t value;
        b->at = dx_patch_p_next_place(d->id_, b, b->at, b->from);
        if (b->at >= b->size) break;
        if (!dx_patch_p_has_input(&d->coder_) || d->coder_.overrun_) return false;
        f = dx_patch_p_predict(&d->predictor_, d->id_, b, b->at, b->from);
        if (f.size) {
            value = made ? dx_patch_p_load_field(made + b->at, f.form, f.size) : f.value;
            value = dx_patch_p_code_field(d, &f, value);
            dx_patch_p_store_field(to + b->at, f.form, f.size, value);
            b->at += f.size;
            b->from = (int32_t)b->at;
        } else {
            b->at++;
        }
    }
    if (b->filled) return true;
    if (b->from > (int32_t)b->size) b->size = (uint32_t)b->from; /* the last field extends it */
    DX_PATCH_ASSERT(b->size <= b->limit);
    b->at = 0;
    b->filled = true;
    return true;
}

/* Code a block: its fields, into its old bytes at `to`, then the bytes that are still wrong. False:
   more input is needed. */
static bool dx_patch_p_code_block(dx_patch_p_delta *d, dx_patch_p_block *b, uint8_t *to)
{
    const uint8_t *made = b->new_bytes; /* NULL when reading */
    DX_PATCH_ASSERT(b->size <= b->limit && b->size > 0);
    if (!dx_patch_p_code_fields(d, b, to)) return false;
    while (b->at < b->size) {
        uint32_t left = b->size - b->at, before, diff = 0;
        uint32_t run = DX_PATCH_P_N_RUN + dx_patch_p_run_number(d->last_run_);
        uint8_t *p = to + b->at;
        uint64_t n = made ? dx_patch_p_same(p, made + b->at, left) + 1 : 0;
        if (!dx_patch_p_has_input(&d->coder_) || d->coder_.overrun_) return false;
        n = dx_patch_p_number(&d->coder_, run, n > left ? 0 : n); /* 0: the rest is right */
        if (!n) d->last_run_ = 8;
        else d->last_run_ = n > DX_PATCH_P_BLOCK ? DX_PATCH_P_BLOCK : (uint32_t)n - 1;
        if (n > left) d->coder_.bad_number_ = true;
        if (!n || n > left) break;
        p += n - 1; /* the wrong byte */
        b->at += (uint32_t)n;
        if (made) diff = (uint32_t)(made[b->at - 1] - *p) & 255;
        before = b->at > 1 ? p[-1] : (uint32_t)(d->past_ & 255);
        *p = (uint8_t)((*p + dx_patch_p_code_wrong(d, before, *p, diff)) & 255);
    }
    return true;
}

/* >>reader: the streaming applier --------------------------------------------
   The patch arrives in pieces of any size; they are collected in in_ and decoded in steps, as long
   as there is input for a whole step. state_ is what the next step expects:

        delta     PARAMETERS -+-> SET_UP (numbers) --> LIST (matches) -+     only if there is a map
                              |                                       |
                              +------------> NEXT <-------------------+
                                  literals |  ^  \ nothing is left
                                           v  |    +--> DONE
                                  LITERALS |  |
                                           v  | the match is complete
                                      EQUAL -> COPY        blocks without a change
                                        ^  \     |
                                        |   +-> CHOICE -> CHOSEN    a block with changes
                                        +-----------------+

        blocks    RUNS --> DONE

        streams   STREAM_PARAMETERS --> SECTION_HEAD --> SECTION (whole) --+--> DONE
                                             ^-----------------------------+

   Target bytes are assembled in new_ or in the caller's out, hashed, and passed on. Every applier
   allocates the same parts of the caller's memory, in the same order: the header declares how much
   a patch needs, and a body that asks for more is refused. */
#define DX_PATCH_P_LAYOUT 34u /* second byte of the parameters; plus 1 if there is a map */
#define DX_PATCH_P_PARAMETERS_SIZE 5u /* bytes before a delta's stream */
#define DX_PATCH_P_LOT 16384u /* bytes; the target is hashed in multiples of this where possible */
#define DX_PATCH_P_SLACK 96u /* allows any alignment of the caller's memory and of each part */

enum { /* the next part of the patch; in the order of the steps in dx_patch_p_run() */
    DX_PATCH_P_PARAMETERS,
    DX_PATCH_P_SET_UP,
    DX_PATCH_P_LIST,
    DX_PATCH_P_NEXT,
    DX_PATCH_P_LITERALS,
    DX_PATCH_P_EQUAL,
    DX_PATCH_P_COPY,
    DX_PATCH_P_CHOICE,
    DX_PATCH_P_CHOSEN,
#ifndef DX_PATCH_NO_BLOCKS
    DX_PATCH_P_RUNS,
#endif
#ifndef DX_PATCH_NO_STREAMS
    DX_PATCH_P_STREAM_PARAMETERS,
    DX_PATCH_P_SECTION_HEAD,
    DX_PATCH_P_SECTION,
#endif
    DX_PATCH_P_DONE
};

/* Allocate aligned memory from *at on, or NULL. */
static void *dx_patch_p_cut_memory(uint8_t **at, size_t *left, uint64_t size)
{
    size_t skip = (size_t)(0 - (uintptr_t)*at) & 7;
    uint8_t *p = *at;
    if (skip > *left || size > *left - skip) return NULL;
    *at += skip + (size_t)size;
    *left -= skip + (size_t)size;
    DX_PATCH_ASSERT(((uintptr_t)(p + skip) & 7) == 0);
    return p + skip;
}

static uint64_t dx_patch_p_mix_memory(uint32_t history_log, uint32_t groups_log)
{
    uint64_t size = sizeof(dx_patch_p_mixer) + ((uint64_t)2 << history_log);
    DX_PATCH_ASSERT(history_log <= 28 && groups_log <= 28);
    return history_log ? size + ((uint64_t)32 << groups_log) : 0;
}

/* Allocations of a delta: models, four of mixing, corrections, matches, a window of the base, and
   one of the target. Each skips at most seven bytes, which the slack covers. */
typedef char dx_patch_p_slack_is_enough[9 * 7 <= DX_PATCH_P_SLACK ? 1 : -1];
typedef char dx_patch_p_least_delta[DX_PATCH_P_SLACK + DX_PATCH_P_WINDOW + DX_PATCH_P_LONGEST +
                                    32 * (DX_PATCH_P_M_BYTE + 2 * DX_PATCH_P_BYTE) ==
                                    DX_PATCH_P_DELTA_MEMORY ? 1 : -1];

static uint64_t dx_patch_p_delta_memory(const dx_patch_p_delta *d, uint64_t matches)
{
    uint64_t size = DX_PATCH_P_SLACK + DX_PATCH_P_WINDOW + DX_PATCH_P_LONGEST;
    DX_PATCH_ASSERT(d->map_ || !d->predictor_.count_);
    size += 32u * (uint64_t)dx_patch_p_row_count(d->literal_bits_, d->diff_bits_);
    size += dx_patch_p_mix_memory(d->history_log_, d->groups_log_);
    if (d->map_) size += 4 * DX_PATCH_P_MEMORY + (uint64_t)DX_PATCH_P_MATCH_BYTES * matches;
    return size;
}

/* Reset the rows of flags: 0 and 1 are equally likely, and no other symbol occurs. */
static void dx_patch_p_flags_start(uint16_t *rows)
{
    uint32_t row, i;
    DX_PATCH_ASSERT(rows);
    for (row = DX_PATCH_P_M_FLAG; row < DX_PATCH_P_M_BYTE; row++) {
        uint16_t *words = rows + DX_PATCH_P_ROW * row;
        words[0] = 32768;
        for (i = 1; i < 15; i++) words[i] = 65535;
        words[15] = 0;
    }
}

/* Allocate and reset the memory of mixing. */
static bool dx_patch_p_mixer_start(dx_patch_p_delta *d, uint8_t **at, size_t *left)
{
    uint64_t heads = (uint64_t)1 << d->history_log_, groups = (uint64_t)32 << d->groups_log_;
    uint32_t set, i;
    DX_PATCH_ASSERT(d->history_log_ >= 8);
    d->mixer_ = (dx_patch_p_mixer *)dx_patch_p_cut_memory(at, left, sizeof *d->mixer_);
    d->heads_ = (uint32_t *)dx_patch_p_cut_memory(at, left, heads);
    d->history_ = (uint8_t *)dx_patch_p_cut_memory(at, left, heads);
    d->groups_ = (uint16_t *)dx_patch_p_cut_memory(at, left, groups);
    if (!d->mixer_ || !d->heads_ || !d->history_ || !d->groups_) return false;
    for (set = 0; set < DX_PATCH_P_SETS * DX_PATCH_P_SET; set++)
        for (i = 0; i < DX_PATCH_P_INPUTS; i++) d->mixer_->weights[set][i] = 8192;
    dx_patch_p_rows_start(d->mixer_->repeats[0], 128);
    DX_PATCH_MEMSET(d->heads_, 0, (size_t)heads);
    DX_PATCH_MEMSET(d->groups_, 0, (size_t)groups);
    return true;
}

/* Allocate and reset the models, and the memory of mixing and prediction. False: too little
   memory. */
static bool dx_patch_p_delta_start(dx_patch_p_delta *d, uint8_t **at, size_t *left)
{
    uint32_t count = dx_patch_p_row_count(d->literal_bits_, d->diff_bits_);
    uint64_t size = 32 * (uint64_t)count;
    DX_PATCH_ASSERT(!d->coder_.rows_ && !d->mixer_);
    d->coder_.rows_ = (uint16_t *)dx_patch_p_cut_memory(at, left, size);
    if (!d->coder_.rows_) return false;
    dx_patch_p_rows_start(d->coder_.rows_, count);
    dx_patch_p_flags_start(d->coder_.rows_);
    if (d->history_log_ && !dx_patch_p_mixer_start(d, at, left)) return false;
    if (!d->map_) return true;
    size = 4 * DX_PATCH_P_MEMORY;
    d->predictor_.memory_ = (uint32_t *)dx_patch_p_cut_memory(at, left, size);
    if (!d->predictor_.memory_) return false;
    DX_PATCH_MEMSET(d->predictor_.memory_, 0, (size_t)size);
    return true;
}

/* A result of a callback that is not 0 is kept and ends the call with `error`. */
static int dx_patch_p_callback(dx_patch_applier *a, int result, int error)
{
    DX_PATCH_ASSERT(error < 0);
    if (!result) return DX_PATCH_OK;
    a->callback_result_ = result;
    return error;
}

static int dx_patch_p_progress(dx_patch_applier *a)
{
    const dx_patch_applier_desc *d = &a->desc_;
    uint64_t done = a->base_done_ + a->produced_, all = a->from_size_ + a->to_size_;
    DX_PATCH_ASSERT(a->produced_ <= a->to_size_);
    if (!d->progress) return DX_PATCH_OK;
    return dx_patch_p_callback(a, d->progress(d->user, done, all), DX_PATCH_ECANCELED);
}

/* Hash the bytes that are ready and pass them on, in multiples of a lot if possible: these
   hash much faster. */
static int dx_patch_p_give(dx_patch_applier *a, bool all)
{
    const dx_patch_applier_desc *d = &a->desc_;
    uint8_t *p = d->out ? (uint8_t *)d->out + a->given_ : a->new_;
    size_t ready = (size_t)(a->produced_ - a->given_), size = ready;
    int result = 0;
    DX_PATCH_ASSERT(a->given_ <= a->produced_ && ready <= a->room_);
    if (!all && ready > DX_PATCH_P_LOT) size -= ready % DX_PATCH_P_LOT;
    if (!d->skip_target_hash) DX_PATCH_HASH_UPDATE(&a->blake3_, p, size);
    a->given_ += size;
    DX_PATCH_ASSERT(a->given_ <= a->to_size_);
    if (!d->out && size) result = d->write(d->user, p, size);
    if (!d->out && size < ready) DX_PATCH_MEMMOVE(p, p + size, ready - size);
    return dx_patch_p_callback(a, result, DX_PATCH_ESYS);
}

/* Where the next target bytes are assembled, at most DX_PATCH_P_LONGEST at a time. */
static uint8_t *dx_patch_p_room(const dx_patch_applier *a)
{
    DX_PATCH_ASSERT(a->produced_ >= a->given_);
    if (a->desc_.out) return (uint8_t *)a->desc_.out + a->produced_;
    return a->new_ + (a->produced_ - a->given_);
}

#ifndef DX_PATCH_NO_STREAMS
/* Keep the last target bytes in a ring, as sources of copies. */
static void dx_patch_p_remember(dx_patch_applier *a, const uint8_t *p, size_t size)
{
    size_t window = (size_t)1 << a->window_log_, at = (size_t)(a->produced_ & (window - 1)), part;
    DX_PATCH_ASSERT(a->window_ && a->window_log_);
    if (size > window) { /* the first bytes would be overwritten */
        p += size - window;
        at = (at + (size - window)) & (window - 1);
        size = window;
    }
    part = size < window - at ? size : window - at;
    DX_PATCH_MEMCPY(a->window_ + at, p, part);
    if (size > part) DX_PATCH_MEMCPY(a->window_, p + part, size - part);
}
#endif

/* Append bytes to the target. p may already be their place. */
static int dx_patch_p_emit(dx_patch_applier *a, const uint8_t *p, size_t size)
{
    int error = DX_PATCH_OK;
    DX_PATCH_ASSERT(size <= a->to_size_ - a->produced_);
    if (!size) return DX_PATCH_OK;
    if (a->header_.coding == DX_PATCH_CODING_STREAMS) a->delta_.past_ = p[size - 1];
    else dx_patch_p_pass(&a->delta_, p + size, size);
    while (!error && size) {
        size_t left = a->room_ - (size_t)(a->produced_ - a->given_);
        size_t part = size < left ? size : left;
        if (p != dx_patch_p_room(a)) DX_PATCH_MEMCPY(dx_patch_p_room(a), p, part);
#ifndef DX_PATCH_NO_STREAMS
        if (a->window_) dx_patch_p_remember(a, p, part);
#endif
        a->produced_ += part;
        p += part;
        size -= part;
        if (left - part < DX_PATCH_P_LONGEST) error = dx_patch_p_give(a, false);
    }
    return error ? error : dx_patch_p_progress(a);
}

/* Read bytes of the base; zeros outside it. */
static int dx_patch_p_read(dx_patch_applier *a, uint64_t at, uint8_t *p, uint32_t size)
{
    uint64_t left = at < a->from_size_ ? a->from_size_ - at : 0;
    uint32_t part = left < size ? (uint32_t)left : size;
    DX_PATCH_ASSERT(size <= DX_PATCH_P_WINDOW);
    DX_PATCH_MEMSET(p + part, 0, size - part);
    if (part && a->desc_.base) DX_PATCH_MEMCPY(p, (const uint8_t *)a->desc_.base + at, part);
    if (!part || a->desc_.base) return DX_PATCH_OK;
    return dx_patch_p_callback(a, a->desc_.read(a->desc_.user, at, p, part), DX_PATCH_ESYS);
}

/* Five bytes of parameters:

        0  bits 0..3 literal_bits, 4..5 diff_bits, 6 rich    3  history_log; 0: no mixer
        1  layout, and 1 if there is a map                   4  groups_log
        2  region_bits                                                                          */
static int dx_patch_p_parse_parameters(dx_patch_p_delta *d, const uint8_t *p, bool plain)
{
    uint32_t history_log = p[3], groups_log = p[4];
    bool mixes = history_log >= 8 && history_log <= 28 && groups_log >= 5 && groups_log <= 28;
    bool mixes_not = history_log == 0 && groups_log == 0;
    d->literal_bits_ = p[0] & 15;
    d->diff_bits_ = p[0] >> 4 & 3;
    d->rich_ = (p[0] & 64) != 0;
    d->map_ = p[1] & 1;
    d->predictor_.region_bits_ = p[2];
    d->history_log_ = history_log;
    d->groups_log_ = groups_log;
    if (d->literal_bits_ > 8 || p[0] >> 7 || (p[1] & 254) != DX_PATCH_P_LAYOUT || p[2] > 32)
        return DX_PATCH_EVERSION;
    if (!mixes && !mixes_not) return DX_PATCH_EVERSION;
    if (plain && (p[0] || d->map_ || p[2] || mixes)) return DX_PATCH_EVERSION; /* range only */
    return DX_PATCH_OK;
}

static int dx_patch_p_read_parameters(dx_patch_applier *a)
{
    dx_patch_p_delta *d = &a->delta_;
    bool started;
    int error;
    if (d->coder_.size_ < DX_PATCH_P_PARAMETERS_SIZE) return DX_PATCH_ECORRUPT;
    d->coder_.at_ = DX_PATCH_P_PARAMETERS_SIZE;
    error = dx_patch_p_parse_parameters(d, a->in_, a->header_.coding == DX_PATCH_CODING_PLAIN);
    if (error) return error;
    if (d->map_ && (a->from_size_ >> 32 || a->to_size_ >> 32)) return DX_PATCH_EHEADER;
    if (dx_patch_p_delta_memory(d, 0) > a->header_.memory_size) return DX_PATCH_EHEADER;
    a->old_ = (uint8_t *)dx_patch_p_cut_memory(&a->memory_, &a->left_, DX_PATCH_P_WINDOW);
    if (!a->desc_.out && !a->new_)
        a->new_ = (uint8_t *)dx_patch_p_cut_memory(&a->memory_, &a->left_, DX_PATCH_P_LONGEST);
    started = dx_patch_p_delta_start(d, &a->memory_, &a->left_);
    DX_PATCH_ASSERT(started && a->old_ && (a->new_ || a->desc_.out)); /* counted above */
    (void)started;
    if (a->header_.coding == DX_PATCH_CODING_RANGE) dx_patch_p_start_reading(&d->coder_);
    a->state_ = d->map_ ? DX_PATCH_P_SET_UP : DX_PATCH_P_NEXT;
    return DX_PATCH_OK;
}

/* The numbers of the setup: match count, the base's words, the target's as differences from
   these. */
static int dx_patch_p_parse_setup(dx_patch_applier *a)
{
    dx_patch_p_predictor *x = &a->delta_.predictor_;
    uint64_t v = dx_patch_p_number(&a->delta_.coder_, DX_PATCH_P_N_SETUP, 0);
    uint64_t *side = x->setup_[a->setup_side_];
    uint32_t word = a->setup_at_ - 1; /* of the side */
    DX_PATCH_ASSERT(a->setup_side_ < 2);
    if (!a->setup_at_++) {
        uint64_t spare = a->header_.memory_size - dx_patch_p_delta_memory(&a->delta_, 0);
        uint64_t size = (uint64_t)DX_PATCH_P_MATCH_BYTES * v;
        if (v > spare / DX_PATCH_P_MATCH_BYTES) return DX_PATCH_EHEADER;
        x->matches_ = (uint32_t *)dx_patch_p_cut_memory(&a->memory_, &a->left_, size);
        DX_PATCH_ASSERT(x->matches_);
        x->count_ = (uint32_t)v;
        return DX_PATCH_OK;
    }
    DX_PATCH_ASSERT(word < DX_PATCH_P_SETUP_SIZE);
    side[word] = x->setup_[0][word] + dx_patch_p_unzigzag(v);
    if (side[DX_PATCH_P_SETUP_COUNT] > DX_PATCH_P_SEGMENTS) return DX_PATCH_ECORRUPT;
    if (word + 1 < DX_PATCH_P_SETUP_SEGMENT + DX_PATCH_P_SEG_WORDS * side[DX_PATCH_P_SETUP_COUNT])
        return DX_PATCH_OK;
    a->setup_at_ = 1;
    if (a->setup_side_) a->state_ = DX_PATCH_P_LIST;
    a->setup_side_ = 1;
    return DX_PATCH_OK;
}

/* Place the next match, after `gap` literals. It is refused unless it lies inside both files. */
static int dx_patch_p_place_match(dx_patch_applier *a, uint64_t gap, uint64_t size, uint64_t jump)
{
    uint64_t left = a->to_size_ - a->new_end_, old_at = a->old_end_ + gap;
    DX_PATCH_ASSERT(a->new_end_ <= a->to_size_);
    old_at += dx_patch_p_unzigzag(jump);
    if (gap >= left || size >= left - gap) return DX_PATCH_EBOUNDS;
    size++;
    if (old_at > a->from_size_ || size > a->from_size_ - old_at) return DX_PATCH_EBOUNDS;
    a->match_new_ = a->new_end_ + gap;
    a->match_old_ = old_at;
    a->match_left_ = size;
    a->new_end_ = a->match_new_ + size;
    a->old_end_ = old_at + size;
    return DX_PATCH_OK;
}

static int dx_patch_p_read_match(dx_patch_applier *a, uint64_t gap)
{
    uint64_t size = dx_patch_p_number(&a->delta_.coder_, DX_PATCH_P_N_LENGTH, 0);
    uint64_t jump = dx_patch_p_number(&a->delta_.coder_, DX_PATCH_P_N_JUMP, 0);
    DX_PATCH_ASSERT(a->header_.coding != DX_PATCH_CODING_STREAMS); /* in its map section */
    return dx_patch_p_place_match(a, gap, size, jump);
}

/* Append the placed match to the list. */
static void dx_patch_p_list_match(dx_patch_applier *a)
{
    dx_patch_p_predictor *x = &a->delta_.predictor_;
    uint32_t *match = x->matches_ + DX_PATCH_P_MATCH_WORDS * (size_t)a->match_at_++;
    DX_PATCH_ASSERT(a->match_at_ <= x->count_);
    match[DX_PATCH_P_MATCH_NEW] = (uint32_t)a->match_new_;
    match[DX_PATCH_P_MATCH_OLD] = (uint32_t)a->match_old_;
    match[DX_PATCH_P_MATCH_SIZE] = (uint32_t)a->match_left_;
}

static int dx_patch_p_read_list(dx_patch_applier *a)
{
    dx_patch_p_predictor *x = &a->delta_.predictor_;
    uint64_t gap;
    int error;
    DX_PATCH_ASSERT(a->match_at_ <= x->count_);
    if (a->match_at_ == x->count_) {
        dx_patch_p_sort_map(x);
        a->match_at_ = 0;
        a->match_old_ = 0;
        a->state_ = DX_PATCH_P_NEXT;
        return DX_PATCH_OK;
    }
    gap = dx_patch_p_number(&a->delta_.coder_, DX_PATCH_P_N_GAP, 0);
    error = dx_patch_p_read_match(a, gap);
    if (!error) dx_patch_p_list_match(a);
    return error;
}

/* Start the next literals, and the match after them if there is one. */
static int dx_patch_p_read_next(dx_patch_applier *a)
{
    uint64_t left = a->to_size_ - a->produced_, gap = left;
    int error = DX_PATCH_OK;
    a->hint_old_ = a->match_old_;
    a->match_left_ = 0;
    a->state_ = left ? DX_PATCH_P_LITERALS : DX_PATCH_P_DONE;
    if (!left) return DX_PATCH_OK;
    if (!a->delta_.map_) {
        gap = dx_patch_p_number(&a->delta_.coder_, DX_PATCH_P_N_GAP, 0);
        if (gap > left) return DX_PATCH_EBOUNDS;
        if (gap < left) error = dx_patch_p_read_match(a, gap);
    } else if (a->match_at_ < a->delta_.predictor_.count_) {
        const uint32_t *match = a->delta_.predictor_.matches_;
        match += DX_PATCH_P_MATCH_WORDS * (size_t)a->match_at_++;
        a->match_new_ = match[DX_PATCH_P_MATCH_NEW];
        a->match_old_ = match[DX_PATCH_P_MATCH_OLD];
        a->match_left_ = match[DX_PATCH_P_MATCH_SIZE];
        DX_PATCH_ASSERT(a->match_new_ >= a->produced_); /* checked when the list was read */
        gap = a->match_new_ - a->produced_;
    }
    DX_PATCH_ASSERT(error || gap <= left);
    a->literals_left_ = gap;
    a->literals_done_ = 0;
    a->later_ = 0;
    if (!gap && !error) a->state_ = DX_PATCH_P_EQUAL;
    return error;
}

/* Decode literals up to the next multiple of a block, or while there is input. Each multiple starts
   with a flag (are the next ones uncoded?) and with the base's bytes there, as hints. */
static int dx_patch_p_read_literals(dx_patch_applier *a)
{
    dx_patch_p_delta *d = &a->delta_;
    uint32_t done = (uint32_t)(a->literals_done_ % DX_PATCH_P_BLOCK), size = 0;
    uint32_t size_max = DX_PATCH_P_BLOCK - done;
    uint8_t *to = dx_patch_p_room(a);
    uint64_t past = d->past_;
    int error = DX_PATCH_OK;
    DX_PATCH_ASSERT(a->literals_left_ > 0);
    if (!done && d->coder_.range_)
        d->raw_ = dx_patch_p_flag(&d->coder_, DX_PATCH_P_M_RAW + d->raw_, 0);
    if (size_max > a->literals_left_) size_max = (uint32_t)a->literals_left_;
    if (!done) {
        if (d->mixer_) error = dx_patch_p_read(a, a->hint_old_, a->old_, size_max);
        else DX_PATCH_MEMSET(a->old_, 0, DX_PATCH_P_BLOCK);
    }
    if (error) return error;
    do to[size] = (uint8_t)dx_patch_p_literal(d, a->old_[done + size], 0);
    while (++size < size_max && dx_patch_p_has_input(&d->coder_) && !d->coder_.overrun_);
    d->past_ = past; /* dx_patch_p_emit() updates it */
    a->hint_old_ += size;
    a->literals_left_ -= size;
    a->literals_done_ += size;
    error = dx_patch_p_emit(a, to, size);
    if (!a->literals_left_) a->state_ = a->match_left_ ? DX_PATCH_P_EQUAL : DX_PATCH_P_NEXT;
    return error;
}

/* `size` bytes of the match are done. */
static void dx_patch_p_done(dx_patch_applier *a, uint64_t size)
{
    DX_PATCH_ASSERT(size <= a->match_left_);
    a->match_old_ += size;
    a->match_new_ += size;
    a->match_left_ -= size;
    a->state_ = a->match_left_ ? DX_PATCH_P_EQUAL : DX_PATCH_P_NEXT;
}

/* Read how many blocks of the match are without a change. */
static int dx_patch_p_read_equal(dx_patch_applier *a)
{
    uint64_t left = a->match_left_, blocks, n;
    DX_PATCH_ASSERT(left > 0);
    blocks = (left - 1) / DX_PATCH_P_BLOCK + 1;
    n = blocks; /* plain coding has only these */
    if (a->delta_.coder_.range_)
        n = dx_patch_p_number(&a->delta_.coder_, DX_PATCH_P_N_EQUAL + a->later_, 0);
    if (n > blocks) return DX_PATCH_EBOUNDS;
    a->equal_left_ = n == blocks ? left : n * DX_PATCH_P_BLOCK;
    a->later_ = 1;
    a->state_ = n ? DX_PATCH_P_COPY : DX_PATCH_P_CHOICE;
    return DX_PATCH_OK;
}

static int dx_patch_p_read_copy(dx_patch_applier *a)
{
    const uint8_t *base = (const uint8_t *)a->desc_.base;
    uint8_t *to = dx_patch_p_room(a);
    uint64_t size = a->equal_left_;
    int error = DX_PATCH_OK;
    DX_PATCH_ASSERT(size > 0 && size <= a->match_left_);
    if (base) {
        error = dx_patch_p_emit(a, base + a->match_old_, (size_t)size);
    } else {
        if (size > DX_PATCH_P_BLOCK) size = DX_PATCH_P_BLOCK;
        error = dx_patch_p_read(a, a->match_old_, to, (uint32_t)size);
        if (!error) error = dx_patch_p_emit(a, to, (size_t)size);
    }
    a->equal_left_ -= size;
    dx_patch_p_done(a, size);
    if (a->match_left_) a->state_ = a->equal_left_ ? DX_PATCH_P_COPY : DX_PATCH_P_CHOICE;
    return error;
}

/* Start a block of the match: its predictor, and the old bytes in it and before it. */
static int dx_patch_p_read_choice(dx_patch_applier *a)
{
    dx_patch_p_delta *d = &a->delta_;
    dx_patch_p_block *b = &a->block_;
    uint32_t before = DX_PATCH_P_BEFORE;
    int error = DX_PATCH_OK;
    if (before > a->match_old_) before = (uint32_t)a->match_old_;
    d->id_ = dx_patch_p_symbol(&d->coder_, DX_PATCH_P_M_ID + d->id_, 0);
    if (d->id_ >= DX_PATCH_P_IDS || (d->id_ && !d->map_)) return DX_PATCH_EVERSION;
    b->old_at = a->match_old_;
    b->new_at = a->match_new_;
    dx_patch_p_start_block(d, b, a->match_left_);
    a->state_ = DX_PATCH_P_CHOSEN;
    if (a->desc_.base) {
        b->old_bytes = (const uint8_t *)a->desc_.base + b->old_at;
    } else {
        b->old_bytes = a->old_ + DX_PATCH_P_BEFORE;
        error = dx_patch_p_read(a, b->old_at - before, a->old_ + DX_PATCH_P_BEFORE - before,
                                b->limit + before);
    }
    DX_PATCH_ASSERT(!b->new_bytes);
    DX_PATCH_MEMCPY(dx_patch_p_room(a), b->old_bytes, b->limit);
    return error;
}

static int dx_patch_p_read_block(dx_patch_applier *a)
{
    dx_patch_p_coder *c = &a->delta_.coder_;
    uint8_t *to = dx_patch_p_room(a);
    int error = DX_PATCH_ECORRUPT;
    DX_PATCH_ASSERT(a->block_.limit <= a->match_left_);
    if (!dx_patch_p_code_block(&a->delta_, &a->block_, to)) return DX_PATCH_OK;
    if (!c->bad_number_ && !c->overrun_) error = dx_patch_p_emit(a, to, a->block_.size);
    dx_patch_p_done(a, a->block_.size);
    return error;
}

#ifndef DX_PATCH_NO_BLOCKS
typedef char dx_patch_p_window_of_runs[DX_PATCH_P_BLOCK == DX_PATCH_P_BLOCKS_MEMORY ? 1 : -1];

DX_PATCH_P_INLINE uint32_t dx_patch_p_xor_body(uint8_t *p, const uint8_t *x, size_t size)
{
    dx_patch_p_word a, b;
    DX_PATCH_P_UNROLL for (; size >= sizeof a; size -= sizeof a) {
        DX_PATCH_MEMCPY(&a, p, sizeof a);
        DX_PATCH_MEMCPY(&b, x, sizeof b);
        a ^= b;
        DX_PATCH_MEMCPY(p, &a, sizeof a);
        p += sizeof a;
        x += sizeof a;
    }
    while (size--) *p++ ^= *x++;
    return 0;
}
DX_PATCH_P_WIDE(dx_patch_p_xor, (uint8_t *p, const uint8_t *x, size_t size), (p, x, size))

/* The body of a block patch has a record for each block that changes:

        blocks to skip | runs | (bytes to skip | size | that many bytes, to be XORed) ..

   Numbers are varints. In brief coding a nearby change of one byte takes one byte for both numbers:
   0..223 is the skip; 224..254 and another byte are a longer skip; 255: varints follow. */
enum {
    DX_PATCH_P_BRIEF_TWO = 224, /* from here on a skip takes two bytes */
    DX_PATCH_P_BRIEF_LONG = 255
};

static dx_patch_p_runs dx_patch_p_start_runs(const dx_patch_header *h)
{
    dx_patch_p_runs r;
    DX_PATCH_ASSERT(h->kind == DX_PATCH_KIND_BLOCKS && h->block_size);
    DX_PATCH_MEMSET(&r, 0, sizeof r);
    r.block_size = h->block_size;
    r.limit = h->target_size;
    if (h->reversible && h->base_size > h->target_size) r.limit = h->base_size;
    r.brief = h->coding == DX_PATCH_CODING_BRIEF;
    return r;
}

/* Read the head of the next block's record. */
static int dx_patch_p_next_runs(dx_patch_p_coder *d, dx_patch_p_runs *r)
{
    uint64_t gap = dx_patch_p_get_varint(d);
    DX_PATCH_ASSERT(!r->left);
    r->left = dx_patch_p_get_varint(d);
    if (d->overrun_) return DX_PATCH_ETRUNCATED;
    if (d->bad_number_ || !r->left || r->left > r->block_size) return DX_PATCH_EBLOCK;
    if (r->next > r->limit || gap > (r->limit - r->next) / r->block_size) return DX_PATCH_EBOUNDS;
    r->at = r->next + gap * r->block_size;
    r->next = r->at + r->block_size;
    return DX_PATCH_OK;
}

/* Read the next run of changed bytes: 1, or 0 at the end, or an error. */
static int dx_patch_p_next_run(dx_patch_p_coder *d, dx_patch_p_runs *r)
{
    uint64_t gap, size = 1;
    if (!r->left) {
        int error;
        if (d->at_ == d->size_) return 0;
        error = dx_patch_p_next_runs(d, r);
        if (error) return error;
    }
    gap = r->brief ? dx_patch_p_get_raw(d) : (uint8_t)DX_PATCH_P_BRIEF_LONG;
    if (gap == DX_PATCH_P_BRIEF_LONG) {
        gap = dx_patch_p_get_varint(d);
        size = dx_patch_p_get_varint(d);
    } else if (gap >= DX_PATCH_P_BRIEF_TWO) {
        gap = DX_PATCH_P_BRIEF_TWO + (gap - DX_PATCH_P_BRIEF_TWO) * 256 + dx_patch_p_get_raw(d);
    }
    if (d->overrun_) return DX_PATCH_ETRUNCATED;
    if (d->bad_number_ || !size) return DX_PATCH_EBLOCK;
    DX_PATCH_ASSERT(r->at <= r->next);
    if (gap > r->next - r->at || size > r->next - r->at - gap) return DX_PATCH_EBLOCK;
    r->at += gap;
    if (r->at > r->limit || size > r->limit - r->at) return DX_PATCH_EBOUNDS;
    r->size = size;
    r->left--;
    return 1;
}

/* old_ holds the block_at_ bytes of the base from at_ on, to which runs are applied. Advance it to
   the byte at `at`, or to the end. Bytes beyond a shorter target must have become zero. */
static int dx_patch_p_move_window(dx_patch_applier *a, uint64_t at)
{
    int error = DX_PATCH_OK;
    DX_PATCH_ASSERT(at >= a->at_ && at <= a->runs_.limit);
    while (!error && at - a->at_ >= a->block_at_) {
        uint64_t room = a->to_size_ - a->produced_, left = a->runs_.limit - a->at_ - a->block_at_;
        uint32_t size = room < a->block_at_ ? (uint32_t)room : a->block_at_, i;
        for (i = size; i < a->block_at_; i++)
            if (a->old_[i]) return DX_PATCH_ECORRUPT;
        DX_PATCH_ASSERT(size <= a->block_at_);
        error = dx_patch_p_emit(a, a->old_, size);
        a->at_ += a->block_at_;
        a->block_at_ = left < DX_PATCH_P_BLOCK ? (uint32_t)left : DX_PATCH_P_BLOCK;
        if (error || !left) break;
        error = dx_patch_p_read(a, a->at_, a->old_, a->block_at_);
    }
    return error;
}

/* Apply runs, each as far as its bytes have arrived and the window reaches. */
static int dx_patch_p_read_runs(dx_patch_applier *a)
{
    dx_patch_p_coder *d = &a->delta_.coder_;
    dx_patch_p_runs *r = &a->runs_;
    while (dx_patch_p_has_input(d)) {
        int got = r->size ? 1 : dx_patch_p_next_run(d, r), error;
        uint64_t size;
        if (got < 0) return got;
        if (!got) a->state_ = DX_PATCH_P_DONE;
        error = dx_patch_p_move_window(a, got ? r->at : r->limit);
        if (error || !got) return error;
        DX_PATCH_ASSERT(r->at >= a->at_ && r->at - a->at_ < a->block_at_);
        size = a->block_at_ - (r->at - a->at_);
        if (size > r->size) size = r->size;
        if (size > d->size_ - d->at_) size = d->size_ - d->at_;
        if (!size) return DX_PATCH_ETRUNCATED;
        (void)dx_patch_p_xor(a->old_ + (r->at - a->at_), d->source_ + d->at_, (size_t)size);
        d->at_ += (size_t)size;
        r->at += size;
        r->size -= size;
    }
    return DX_PATCH_OK;
}
#endif

#ifndef DX_PATCH_NO_STREAMS
/* >>sections: deltas of streams -------------------------------------------------
   The body of such a delta:

        parameters | map | section | section | ..        each: size, bytes of the target, streams

   A section is collected, its streams are decoded, and its part of the target is made from them. It
   may end anywhere, even inside a match. The next section depends only on where this one ended:
   offsets, the match, and the lines of copies. So an applier can stop between sections.

        target    | gap         | match                    | gap   |
        is made   copies and    blocks of a kilobyte:      copies ..
        of        literals      a count of unchanged ones,
                                then one with changes:
                                predictor, fields, wrong bytes

   Without a map there are no matches: everything is one gap. */
#define DX_PATCH_P_STREAM_PARAMETERS_SIZE 16u /* bytes before the sections */
#define DX_PATCH_P_SHELF 16u         /* max streams for one kind of literals */
#define DX_PATCH_P_HINTED 8u         /* max literals with hints before a copy on the same line */
#define DX_PATCH_P_PLANES 10u        /* byte streams of numbers: 1 + 2 + 3 + 4 */
#define DX_PATCH_P_FIXES 4u          /* kinds of corrections of fields */

enum { /* how literals are distributed over streams */
    DX_PATCH_P_SHELF_ONE,   /* a single stream */
    DX_PATCH_P_SHELF_PLACE, /* by target offset modulo 4; hinted: one, added to the old bytes */
    DX_PATCH_P_SHELF_BYTE   /* by the byte before; hinted: by the old byte; a list maps it */
};

typedef struct dx_patch_p_shelf {
    dx_patch_p_span streams[DX_PATCH_P_SHELF];
    const uint8_t *list; /* BYTE: stream by byte value, 256 entries */
    uint32_t mode;
} dx_patch_p_shelf;

/* Numbers as varints; or split into their lengths in bytes, 1 to 4, and streams of their bytes, one
   for each length and position, the lowest byte first. */
typedef struct dx_patch_p_planes {
    dx_patch_p_span lengths; /* not split: the varints */
    dx_patch_p_span planes[DX_PATCH_P_PLANES];
    bool split;
} dx_patch_p_planes;

typedef struct dx_patch_p_section {
    dx_patch_p_streams streams;
    dx_patch_p_copier copier;
    dx_patch_p_shelf literals;
    dx_patch_p_shelf hinted;    /* literals with a hint */
    dx_patch_p_span equal;      /* numbers: blocks without a change */
    dx_patch_p_span ids;        /* bytes: predictors */
    dx_patch_p_span right;      /* numbers: right fields before the next wrong one */
    dx_patch_p_span runs;       /* numbers: right bytes before the next wrong one, plus 1 */
    dx_patch_p_span wrong;      /* wrong bytes; if empty, each follows its run */
    dx_patch_p_planes fixes[DX_PATCH_P_FIXES];
    uint64_t right_left;        /* right fields before the next wrong one */
} dx_patch_p_section;

static uint64_t dx_patch_p_streams_memory(const dx_patch_applier *a, uint64_t matches)
{
    uint64_t size = DX_PATCH_P_SLACK + DX_PATCH_P_WINDOW + DX_PATCH_P_LONGEST;
    DX_PATCH_ASSERT(a->delta_.map_ || !a->delta_.predictor_.index_size_);
    size += (uint64_t)4 << DX_PATCH_P_TABLE_MAX;
    size += (uint64_t)a->section_max_ + a->decoded_max_;
    if (a->window_log_) size += (uint64_t)1 << a->window_log_;
    if (a->delta_.map_) size += 4 * DX_PATCH_P_MEMORY + DX_PATCH_P_MATCH_BYTES * matches;
    return size + 4 * (uint64_t)a->delta_.predictor_.index_size_;
}

/* Allocate the memory that streams_memory() counts. */
static void dx_patch_p_cut_streams(dx_patch_applier *a)
{
    dx_patch_p_predictor *x = &a->delta_.predictor_;
    uint8_t **at = &a->memory_;
    size_t *left = &a->left_;
    uint64_t matches = (uint64_t)DX_PATCH_P_MATCH_BYTES * x->count_;
    a->old_ = (uint8_t *)dx_patch_p_cut_memory(at, left, DX_PATCH_P_WINDOW);
    if (!a->desc_.out && !a->new_)
        a->new_ = (uint8_t *)dx_patch_p_cut_memory(at, left, DX_PATCH_P_LONGEST);
    a->table_ = (uint32_t *)dx_patch_p_cut_memory(at, left, (uint64_t)4 << DX_PATCH_P_TABLE_MAX);
    a->section_ = (uint8_t *)dx_patch_p_cut_memory(at, left, a->section_max_);
    a->decoded_ = (uint8_t *)dx_patch_p_cut_memory(at, left, a->decoded_max_);
    if (a->window_log_ && !a->desc_.out)
        a->window_ = (uint8_t *)dx_patch_p_cut_memory(at, left, (uint64_t)1 << a->window_log_);
    if (a->delta_.map_) {
        x->memory_ = (uint32_t *)dx_patch_p_cut_memory(at, left, 4 * DX_PATCH_P_MEMORY);
        x->matches_ = (uint32_t *)dx_patch_p_cut_memory(at, left, matches);
        DX_PATCH_ASSERT(x->memory_ && x->matches_);
    }
    if (x->index_size_)
        x->index_ = (uint32_t *)dx_patch_p_cut_memory(at, left, 4 * (uint64_t)x->index_size_);
    DX_PATCH_ASSERT(a->old_ && a->table_ && a->section_ && a->decoded_);
}

/* Words of the index, for a base below 4 GiB. */
static uint32_t dx_patch_p_granules(uint64_t base_size, uint32_t log)
{
    DX_PATCH_ASSERT(!(base_size >> 32) && log >= 6);
    return (uint32_t)(base_size >> log) + 2;
}

/* Sixteen bytes:

        0  1 if there is a map    1  region_bits    2  log2 of the window, 0 or 10..26
        3  log2 of a granule of the index of the map, 0 (no index) or 6..20
        4  bytes of the largest section    8  max bytes of its streams    12  matches           */
static int dx_patch_p_read_stream_parameters(dx_patch_applier *a)
{
    dx_patch_p_delta *d = &a->delta_;
    const uint8_t *p = a->in_;
    DX_PATCH_ASSERT(!a->section_ && !a->produced_);
    if (d->coder_.size_ < DX_PATCH_P_STREAM_PARAMETERS_SIZE) return DX_PATCH_ECORRUPT;
    d->coder_.at_ = DX_PATCH_P_STREAM_PARAMETERS_SIZE;
    d->map_ = p[0] & 1;
    d->predictor_.region_bits_ = p[1];
    a->window_log_ = p[2];
    a->section_max_ = dx_patch_p_load32(p + 4);
    a->decoded_max_ = dx_patch_p_load32(p + 8);
    d->predictor_.count_ = dx_patch_p_load32(p + 12);
    if (p[0] > 1 || p[1] > 32 || (p[3] && (p[3] < 6 || p[3] > 20 || !d->map_)))
        return DX_PATCH_EVERSION;
    if (a->window_log_ &&
        (a->window_log_ < DX_PATCH_P_WINDOW_MIN || a->window_log_ > DX_PATCH_P_WINDOW_MAX))
        return DX_PATCH_EVERSION;
    if (d->map_ ? (a->from_size_ | a->to_size_) >> 32 : d->predictor_.count_)
        return DX_PATCH_EHEADER;
    d->predictor_.index_log_ = p[3];
    if (p[3]) d->predictor_.index_size_ = dx_patch_p_granules(a->from_size_, p[3]);
    if (dx_patch_p_streams_memory(a, d->predictor_.count_) > a->header_.memory_size)
        return DX_PATCH_EHEADER;
    dx_patch_p_cut_streams(a);
    a->state_ = a->to_size_ ? DX_PATCH_P_SECTION_HEAD : DX_PATCH_P_DONE;
    return DX_PATCH_OK;
}

/* Is the map the next section? */
static bool dx_patch_p_wants_map(const dx_patch_applier *a)
{
    return a->delta_.map_ && !a->setup_side_;
}

/* Read the size of a section and how many bytes of the target it makes. */
static int dx_patch_p_read_section_head(dx_patch_applier *a)
{
    dx_patch_p_coder *c = &a->delta_.coder_;
    uint64_t size = dx_patch_p_get_varint(c);
    uint64_t target = dx_patch_p_get_varint(c);
    DX_PATCH_ASSERT(a->produced_ < a->to_size_);
    if (c->overrun_ || c->bad_number_) return DX_PATCH_ECORRUPT;
    if (size > a->section_max_) return DX_PATCH_EHEADER;
    if (dx_patch_p_wants_map(a) ? target > 0 : !target || target > a->to_size_ - a->produced_)
        return DX_PATCH_EBOUNDS;
    a->section_size_ = (uint32_t)size;
    a->section_at_ = 0;
    a->section_target_ = target;
    a->state_ = DX_PATCH_P_SECTION;
    return DX_PATCH_OK;
}

static bool dx_patch_p_span_empty(const dx_patch_p_span *s) { return s->at == s->end; }

/* The error of bad streams: they need more memory than granted, or are damaged. */
static int dx_patch_p_streams_error(const dx_patch_p_streams *s)
{
    return s->store.full ? DX_PATCH_EHEADER : DX_PATCH_ECORRUPT;
}

static void dx_patch_p_open_streams(const dx_patch_applier *a, dx_patch_p_streams *s)
{
    DX_PATCH_ASSERT(a->section_at_ == a->section_size_); /* it is complete */
    DX_PATCH_MEMSET(s, 0, sizeof *s);
    s->in.at = a->section_;
    s->in.end = a->section_ + a->section_size_;
    s->store = dx_patch_p_store_of(a->decoded_, a->decoded_max_);
    s->table = a->table_;
    DX_PATCH_ASSERT(s->table && s->store.at && s->in.at);
}

/* Read the setups of base and target, the latter as differences from the former. */
static bool dx_patch_p_read_setup(dx_patch_p_predictor *x, dx_patch_p_span *numbers)
{
    uint64_t v;
    uint32_t side, i, words;
    for (side = 0; side < 2; side++) {
        uint64_t *setup = x->setup_[side];
        words = DX_PATCH_P_SETUP_SEGMENT;
        for (i = 0; i < words; i++) {
            if (!dx_patch_p_span_number(numbers, &v)) return false;
            setup[i] = dx_patch_p_unzigzag(v) + (side ? x->setup_[0][i] : 0);
            if (i != DX_PATCH_P_SETUP_COUNT) continue;
            if (setup[i] > DX_PATCH_P_SEGMENTS) return false;
            words += DX_PATCH_P_SEG_WORDS * (uint32_t)setup[i];
        }
        DX_PATCH_ASSERT(words <= DX_PATCH_P_SETUP_SIZE);
    }
    return dx_patch_p_span_empty(numbers);
}

/* Read the map: setup; gap, size less one and jump of each match, one stream for each kind. */
static int dx_patch_p_apply_map(dx_patch_applier *a)
{
    dx_patch_p_predictor *x = &a->delta_.predictor_;
    dx_patch_p_streams s;
    dx_patch_p_span setup, gaps, sizes, jumps;
    uint64_t gap, size, jump;
    int error = DX_PATCH_OK;
    DX_PATCH_ASSERT(!a->match_at_ && !a->produced_ && a->delta_.map_);
    dx_patch_p_open_streams(a, &s);
    if (!dx_patch_p_read_stream(&s, &setup) || !dx_patch_p_read_stream(&s, &gaps) ||
        !dx_patch_p_read_stream(&s, &sizes) || !dx_patch_p_read_stream(&s, &jumps))
        return dx_patch_p_streams_error(&s);
    if (!dx_patch_p_span_empty(&s.in) || !dx_patch_p_read_setup(x, &setup))
        return DX_PATCH_ECORRUPT;
    while (!error && a->match_at_ < x->count_) {
        if (!dx_patch_p_span_number(&gaps, &gap) || !dx_patch_p_span_number(&sizes, &size) ||
            !dx_patch_p_span_number(&jumps, &jump))
            return DX_PATCH_ECORRUPT;
        error = dx_patch_p_place_match(a, gap, size, jump);
        if (!error) dx_patch_p_list_match(a);
    }
    if (error) return error;
    if (!dx_patch_p_span_empty(&gaps) || !dx_patch_p_span_empty(&sizes) ||
        !dx_patch_p_span_empty(&jumps))
        return DX_PATCH_ECORRUPT;
    DX_PATCH_ASSERT(a->match_at_ == x->count_ && a->new_end_ <= a->to_size_);
    dx_patch_p_sort_map(x);
    if (x->index_) dx_patch_p_index_map(x);
    a->match_at_ = 0;
    a->match_left_ = 0;
    a->setup_side_ = 1;
    return DX_PATCH_OK;
}

/* Read a shelf: a byte, mode + 4 * streams; the list, if any; the streams. */
static bool dx_patch_p_read_shelf(dx_patch_p_streams *s, dx_patch_p_shelf *shelf, bool hinted)
{
    uint32_t count, i;
    dx_patch_p_span list;
    DX_PATCH_MEMSET(shelf, 0, sizeof *shelf);
    DX_PATCH_ASSERT(s->in.at <= s->in.end);
    if (dx_patch_p_span_empty(&s->in)) return false;
    count = *s->in.at++;
    shelf->mode = count & 3;
    count >>= 2;
    if (shelf->mode > DX_PATCH_P_SHELF_BYTE || count < 1 || count > DX_PATCH_P_SHELF) return false;
    if (shelf->mode == DX_PATCH_P_SHELF_ONE && count != 1) return false;
    if (shelf->mode == DX_PATCH_P_SHELF_PLACE && count != (hinted ? 1u : 4u)) return false;
    if (shelf->mode == DX_PATCH_P_SHELF_BYTE) {
        if (!dx_patch_p_read_stream(s, &list) || list.end - list.at != 256) return false;
        shelf->list = list.at;
        for (i = 0; i < 256; i++)
            if (list.at[i] >= count) return false;
    }
    for (i = 0; i < count; i++)
        if (!dx_patch_p_read_inner(s, shelf->streams + i)) return false;
    return true;
}

static bool dx_patch_p_shelf_empty(const dx_patch_p_shelf *shelf)
{
    uint32_t i;
    for (i = 0; i < DX_PATCH_P_SHELF; i++)
        if (!dx_patch_p_span_empty(shelf->streams + i)) return false;
    return true;
}

/* The next byte of one of its streams, or -1 at its end. */
static int dx_patch_p_shelf_byte(dx_patch_p_shelf *shelf, uint32_t stream)
{
    dx_patch_p_span *s = shelf->streams + stream;
    DX_PATCH_ASSERT(stream < DX_PATCH_P_SHELF);
    return s->at == s->end ? -1 : *s->at++;
}

/* Read numbers: a byte, 1 if they are split; then their stream, or a stream of lengths and, for
   each length that occurs, that many planes. */
static bool dx_patch_p_read_planes(dx_patch_p_streams *s, dx_patch_p_planes *p)
{
    uint32_t counts[5] = {0, 0, 0, 0, 0}, length, i;
    const uint8_t *at;
    dx_patch_p_span *plane = p->planes;
    DX_PATCH_MEMSET(p, 0, sizeof *p);
    DX_PATCH_ASSERT(s->in.at <= s->in.end);
    if (dx_patch_p_span_empty(&s->in) || *s->in.at > 1) return false;
    p->split = *s->in.at++ == 1;
    if (!dx_patch_p_read_stream(s, &p->lengths)) return false;
    if (!p->split) return true;
    for (at = p->lengths.at; at < p->lengths.end; at++) {
        if (*at < 1 || *at > 4) return false;
        counts[*at]++;
    }
    for (length = 1; length <= 4; length++)
        for (i = 0; i < length; i++, plane++) {
            if (!counts[length]) continue;
            if (!dx_patch_p_read_stream(s, plane)) return false;
            if ((size_t)(plane->end - plane->at) != counts[length]) return false;
        }
    DX_PATCH_ASSERT(plane == p->planes + DX_PATCH_P_PLANES);
    return true;
}

/* The next number, from its planes or from the single stream. */
static bool dx_patch_p_planes_number(dx_patch_p_planes *p, uint64_t *v)
{
    uint32_t length, i;
    dx_patch_p_span *plane;
    if (!p->split) return dx_patch_p_span_number(&p->lengths, v);
    if (dx_patch_p_span_empty(&p->lengths)) return false;
    length = *p->lengths.at++;
    DX_PATCH_ASSERT(length >= 1 && length <= 4); /* read_planes() checked it */
    plane = p->planes + length * (length - 1) / 2;
    *v = 0;
    for (i = 0; i < length; i++, plane++) { /* each has one byte per number of that length */
        DX_PATCH_ASSERT(!dx_patch_p_span_empty(plane));
        *v |= (uint64_t)*plane->at++ << 8 * i;
    }
    return true;
}

/* Read all streams of a section, in order. */
static bool dx_patch_p_read_section(dx_patch_p_section *s, bool map)
{
    dx_patch_p_streams *in = &s->streams;
    uint32_t i;
    if (!dx_patch_p_read_codes(in, &s->copier, dx_patch_p_read_stream)) return false;
    if (!dx_patch_p_read_shelf(in, &s->literals, false)) return false;
    if (!dx_patch_p_read_shelf(in, &s->hinted, true)) return false;
    if (!map) return dx_patch_p_span_empty(&in->in);
    if (!dx_patch_p_read_stream(in, &s->equal) || !dx_patch_p_read_stream(in, &s->ids) ||
        !dx_patch_p_read_stream(in, &s->right) || !dx_patch_p_read_stream(in, &s->runs) ||
        !dx_patch_p_read_stream(in, &s->wrong))
        return false;
    for (i = 0; i < DX_PATCH_P_FIXES; i++)
        if (!dx_patch_p_read_planes(in, s->fixes + i)) return false;
    return dx_patch_p_span_empty(&in->in);
}

/* Are all streams used up? */
static bool dx_patch_p_section_used(const dx_patch_p_section *s)
{
    uint32_t i;
    bool used = dx_patch_p_copier_done(&s->copier) && dx_patch_p_shelf_empty(&s->literals) &&
                dx_patch_p_shelf_empty(&s->hinted) && dx_patch_p_span_empty(&s->equal) &&
                dx_patch_p_span_empty(&s->ids) && dx_patch_p_span_empty(&s->right) &&
                dx_patch_p_span_empty(&s->runs) && dx_patch_p_span_empty(&s->wrong);
    for (i = 0; i < DX_PATCH_P_FIXES; i++)
        used = used && dx_patch_p_span_empty(&s->fixes[i].lengths);
    return used;
}

/* Append bytes of the base. */
static int dx_patch_p_emit_base(dx_patch_applier *a, uint64_t source, uint64_t size)
{
    const uint8_t *base = (const uint8_t *)a->desc_.base;
    int error = DX_PATCH_OK;
    DX_PATCH_ASSERT(source <= a->from_size_ && size <= a->from_size_ - source);
    if (base) return dx_patch_p_emit(a, base + source, (size_t)size);
    while (size && !error) {
        uint32_t part = size < DX_PATCH_P_BLOCK ? (uint32_t)size : DX_PATCH_P_BLOCK;
        uint8_t *to = dx_patch_p_room(a);
        error = dx_patch_p_read(a, source, to, part);
        if (!error) error = dx_patch_p_emit(a, to, part);
        source += part;
        size -= part;
    }
    return error;
}

/* Append earlier bytes of the target, from the caller's `out` or from the window. */
static int dx_patch_p_emit_past(dx_patch_applier *a, uint64_t back, uint64_t size)
{
    uint64_t window = (uint64_t)1 << a->window_log_;
    int error = DX_PATCH_OK;
    DX_PATCH_ASSERT(size <= a->to_size_ - a->produced_);
    if (!a->window_log_ || back > window || back > a->produced_) return DX_PATCH_EBOUNDS;
    DX_PATCH_ASSERT(back > 0 && (a->window_ || a->desc_.out));
    while (size && !error) {
        uint64_t part = size < DX_PATCH_P_BLOCK ? size : DX_PATCH_P_BLOCK;
        uint8_t *to = dx_patch_p_room(a);
        if (a->desc_.out) {
            dx_patch_p_copy_back(to, (size_t)back, (size_t)part);
        } else {
            uint64_t at = (a->produced_ - back) & (window - 1), have = part < back ? part : back;
            if (have > window - at) part = have = window - at;
            DX_PATCH_MEMCPY(to, a->window_ + (size_t)at, (size_t)have);
            DX_PATCH_ASSERT(have == part || have == back);
            if (have < part) /* the bytes after these repeat them */
                dx_patch_p_copy_back(to + have, (size_t)back, (size_t)(part - have));
        }
        error = dx_patch_p_emit(a, to, (size_t)part);
        size -= part;
    }
    return error;
}

/* Literals between copies on the same line. The base bytes that they replace are their hints. */
static int dx_patch_p_emit_hinted(dx_patch_applier *a, dx_patch_p_section *s, uint32_t size)
{
    dx_patch_p_shelf *shelf = &s->hinted;
    uint8_t *to = dx_patch_p_room(a);
    uint32_t i, stream = 0;
    int byte, error;
    DX_PATCH_ASSERT(size <= DX_PATCH_P_HINTED);
    error = dx_patch_p_read(a, a->produced_ + s->copier.lines.shifts[0], a->old_, size);
    if (error) return error;
    for (i = 0; i < size; i++) {
        if (shelf->mode == DX_PATCH_P_SHELF_BYTE) stream = shelf->list[a->old_[i]];
        byte = dx_patch_p_shelf_byte(shelf, stream);
        if (byte < 0) return DX_PATCH_ECORRUPT;
        if (shelf->mode == DX_PATCH_P_SHELF_PLACE) byte += a->old_[i];
        to[i] = (uint8_t)(byte & 255);
    }
    return dx_patch_p_emit(a, to, size);
}

/* Literals without hints, each the next byte of its stream. */
static int dx_patch_p_emit_literals(dx_patch_applier *a, dx_patch_p_section *s, uint64_t size)
{
    dx_patch_p_shelf *shelf = &s->literals;
    dx_patch_p_span *all = shelf->streams;
    int error = DX_PATCH_OK, byte;
    DX_PATCH_ASSERT(size <= a->to_size_ - a->produced_);
    while (size && !error) {
        uint32_t part = size < DX_PATCH_P_BLOCK ? (uint32_t)size : DX_PATCH_P_BLOCK, i;
        uint32_t before = (uint32_t)(a->delta_.past_ & 255), stream;
        uint8_t *to = dx_patch_p_room(a);
        size -= part;
        if (shelf->mode == DX_PATCH_P_SHELF_ONE) {
            if (part > (size_t)(all->end - all->at)) return DX_PATCH_ECORRUPT;
            all->at += part;
            error = dx_patch_p_emit(a, all->at - part, part);
            continue;
        }
        for (i = 0; i < part; i++) {
            stream = (uint32_t)(a->produced_ + i) & 3;
            if (shelf->mode == DX_PATCH_P_SHELF_BYTE) stream = shelf->list[before];
            byte = dx_patch_p_shelf_byte(shelf, stream);
            if (byte < 0) return DX_PATCH_ECORRUPT;
            before = (uint32_t)byte;
            to[i] = (uint8_t)byte;
        }
        error = dx_patch_p_emit(a, to, part);
    }
    return error;
}

/* Make `size` bytes that are in no match. */
static int dx_patch_p_apply_gap(dx_patch_applier *a, dx_patch_p_section *s, uint64_t size)
{
    dx_patch_p_copier *c = &s->copier;
    uint64_t end = a->produced_ + size;
    int error = DX_PATCH_OK;
    while (!error && a->produced_ < end) {
        dx_patch_p_copy copy;
        uint64_t left = end - a->produced_, shift = c->lines.shifts[0];
        bool hinted;
        if (!dx_patch_p_next_copy(c, a->produced_, left, a->from_size_, &copy))
            return DX_PATCH_ECORRUPT;
        hinted = copy.size && copy.code == DX_PATCH_P_FROM_SAME;
        DX_PATCH_ASSERT(!hinted || shift == c->lines.shifts[0]);
        (void)shift;
        if (hinted && copy.literals <= DX_PATCH_P_HINTED)
            error = dx_patch_p_emit_hinted(a, s, (uint32_t)copy.literals);
        else error = dx_patch_p_emit_literals(a, s, copy.literals);
        if (error || !copy.size) continue;
        if (copy.own) error = dx_patch_p_emit_past(a, c->lines.back, copy.size);
        else error = dx_patch_p_emit_base(a, copy.source, copy.size);
    }
    DX_PATCH_ASSERT(error || a->produced_ == end);
    return error;
}

/* The error of the next field's prediction; 0 for right ones. */
static bool dx_patch_p_next_error(dx_patch_p_section *s, uint32_t id, uint64_t *error)
{
    *error = 0;
    DX_PATCH_ASSERT(id != DX_PATCH_P_ID_NONE);
    if (s->right_left) {
        s->right_left--;
        return true;
    }
    if (!dx_patch_p_planes_number(s->fixes + dx_patch_p_fix_kind(id), error)) return false;
    *error = dx_patch_p_unzigzag(*error + 1); /* it is not 0 */
    s->right_left = UINT64_MAX;
    return dx_patch_p_span_empty(&s->right) || dx_patch_p_span_number(&s->right, &s->right_left);
}

/* Target and origin of a plain word, by the rules of locate_word(), in one step. False: it is
   not an address. */
static bool dx_patch_p_plain_target(const dx_patch_p_block *b, uint32_t id, uint32_t at,
                                    uint64_t *target, uint64_t *origin)
{
    const uint8_t *p = b->old_bytes + at;
    uint32_t word = dx_patch_p_load32(p);
    uint64_t distance = dx_patch_p_sign(word, 32), behind = at + (uint64_t)4;
    DX_PATCH_ASSERT(id >= DX_PATCH_P_ID_X86 && id <= DX_PATCH_P_ID_TABLE);
    *origin = 0;
    *target = word;
    if (id == DX_PATCH_P_ID_TABLE) return word >= DX_PATCH_P_ADDRESS_MIN;
    if (id == DX_PATCH_P_ID_POINTER) {
        *target = dx_patch_p_load64(p);
        return *target >= DX_PATCH_P_ADDRESS_MIN;
    }
    if (id == DX_PATCH_P_ID_BASED) {
        *target = distance + b->origin[0];
        *origin = b->origin[1];
        return true;
    }
    if (id == DX_PATCH_P_ID_NEAR) behind = at; /* relative to itself */
    *target = distance + b->old_at + b->bias[0] + behind;
    *origin = b->new_at + b->bias[1] + behind;
    return id == DX_PATCH_P_ID_X86 || dx_patch_p_is_wide(word);
}

/* The fields of a block that are plain words: a fast path of fill_fields() for the most
   frequent ones. */
static bool dx_patch_p_fill_plain(dx_patch_p_delta *d, dx_patch_p_section *s, dx_patch_p_block *b,
                                  uint8_t *to)
{
    dx_patch_p_predictor *x = &d->predictor_;
    uint32_t id = d->id_, align = dx_patch_p_align(id), size = align == 8 ? 8 : 4;
    uint32_t at = (uint32_t)((0 - b->old_at) & (align - 1u)), region_bits = x->region_bits_;
    DX_PATCH_ASSERT(x->memory_ && region_bits <= 32 && !b->at);
    for (;; at += align) {
        uint64_t target, origin, mapped, error;
        uint32_t *correction, sure;
        if (align == 1) at = dx_patch_p_next_opcode(b, at, b->from, false);
        if (at >= b->size) return true;
        if (b->limit - at < size || !dx_patch_p_plain_target(b, id, at, &target, &origin) ||
            !dx_patch_p_map_address(x, target, &mapped, &sure))
            continue;
        correction = x->memory_ + (((target >> region_bits) * 0x9e3779b97f4a7c15u) >> 54);
        mapped += dx_patch_p_sign(*correction, 32) - origin;
        if (!dx_patch_p_next_error(s, id, &error)) return false;
        *correction += (uint32_t)(error & 0xffffffffu);
        mapped += error;
        dx_patch_p_store32(to + at, (uint32_t)(mapped & 0xffffffffu));
        if (size == 8) dx_patch_p_store32(to + at + 4, (uint32_t)(mapped >> 32));
        b->from = (int32_t)(at + size);
        if (align == 1) at += size - 1;
    }
}

/* The fields of a block that are numbers, one after the other. A right one needs no work: it
   equals the base's. */
static bool dx_patch_p_fill_numbers(uint32_t id, dx_patch_p_section *s, dx_patch_p_block *b,
                                    uint8_t *to)
{
    uint32_t size = dx_patch_p_align(id), at = (uint32_t)((0 - b->old_at) & (size - 1u));
    DX_PATCH_ASSERT(size >= 4 && !b->at);
    for (; at < b->size && b->limit - at >= size; at += size) {
        uint64_t error;
        if (!dx_patch_p_next_error(s, id, &error)) return false;
        b->from = (int32_t)(at + size);
        if (error)
            dx_patch_p_store_field(to + at, DX_PATCH_P_FORM_PLAIN, size,
                                   dx_patch_p_load_field(to + at, DX_PATCH_P_FORM_PLAIN, size) +
                                       error);
    }
    return true;
}

/* Put the fields of a block into its old bytes at `to`. */
static bool dx_patch_p_fill_fields(dx_patch_p_delta *d, dx_patch_p_section *s, dx_patch_p_block *b,
                                   uint8_t *to)
{
    dx_patch_p_predictor *x = &d->predictor_;
    bool plain = d->id_ >= DX_PATCH_P_ID_X86 && d->id_ <= DX_PATCH_P_ID_TABLE;
    bool numbers = d->id_ > DX_PATCH_P_ID_WASM;
    if (plain && !dx_patch_p_fill_plain(d, s, b, to)) return false;
    if (numbers && !dx_patch_p_fill_numbers(d->id_, s, b, to)) return false;
    while (d->id_ != DX_PATCH_P_ID_NONE && !plain && !numbers) {
        dx_patch_p_field f;
        uint64_t error;
        b->at = dx_patch_p_next_place(d->id_, b, b->at, b->from);
        if (b->at >= b->size) break;
        f = dx_patch_p_predict(x, d->id_, b, b->at, b->from);
        if (!f.size) {
            b->at++;
            continue;
        }
        if (!dx_patch_p_next_error(s, d->id_, &error)) return false;
        dx_patch_p_learn_field(x, &f, error);
        dx_patch_p_store_field(to + b->at, f.form, f.size, f.value + error);
        b->at += f.size;
        b->from = (int32_t)b->at;
    }
    if (b->from > (int32_t)b->size) b->size = (uint32_t)b->from; /* the last field extends it */
    DX_PATCH_ASSERT(b->size <= b->limit);
    return true;
}

/* Correct the bytes of a block that are still wrong. */
static bool dx_patch_p_mend_block(dx_patch_p_section *s, const dx_patch_p_block *b, uint8_t *to,
                                  dx_patch_p_span *wrong)
{
    uint32_t at = 0;
    uint64_t run;
    DX_PATCH_ASSERT(b->size <= b->limit);
    while (at < b->size) {
        if (!dx_patch_p_span_number(&s->runs, &run)) return false;
        if (!run) return true;
        if (run > b->size - at || dx_patch_p_span_empty(wrong)) return false;
        at += (uint32_t)run;
        to[at - 1] = (uint8_t)((to[at - 1] + *wrong->at++) & 255);
    }
    return true;
}

/* Apply the next block of a match, one with changes, at match_old_ and produced_. In this section
   the match has `left` bytes left. */
static int dx_patch_p_apply_block(dx_patch_applier *a, dx_patch_p_section *s, uint64_t left,
                                 dx_patch_p_span *wrong, uint32_t *made)
{
    uint64_t match_left = a->match_left_ + left; /* bytes after the section may be read */
    dx_patch_p_delta *d = &a->delta_;
    dx_patch_p_block *b = &a->block_;
    uint32_t before = DX_PATCH_P_BEFORE;
    uint8_t *to = dx_patch_p_room(a);
    int error = DX_PATCH_OK;
    DX_PATCH_ASSERT(left > 0 && match_left <= a->to_size_ - a->produced_);
    if (dx_patch_p_span_empty(&s->ids)) return DX_PATCH_ECORRUPT;
    d->id_ = *s->ids.at++;
    if (d->id_ >= DX_PATCH_P_IDS) return DX_PATCH_EVERSION;
    if (before > a->match_old_) before = (uint32_t)a->match_old_;
    b->old_at = a->match_old_;
    b->new_at = a->produced_;
    dx_patch_p_start_block(d, b, match_left);
    b->old_bytes = a->old_ + DX_PATCH_P_BEFORE;
    if (a->desc_.base) b->old_bytes = (const uint8_t *)a->desc_.base + b->old_at;
    else error = dx_patch_p_read(a, b->old_at - before, a->old_ + DX_PATCH_P_BEFORE - before,
                                 b->limit + before);
    if (error) return error;
    DX_PATCH_MEMCPY(to, b->old_bytes, b->limit);
    if (!dx_patch_p_fill_fields(d, s, b, to)) return DX_PATCH_ECORRUPT;
    if (b->size > left) return DX_PATCH_EBOUNDS; /* no section ends within a block */
    if (!dx_patch_p_mend_block(s, b, to, wrong)) return DX_PATCH_ECORRUPT;
    *made = b->size;
    return dx_patch_p_emit(a, to, b->size);
}

/* Make `size` bytes of the match. */
static int dx_patch_p_apply_match(dx_patch_applier *a, dx_patch_p_section *s, uint64_t size)
{
    dx_patch_p_span *wrong = dx_patch_p_span_empty(&s->wrong) ? &s->runs : &s->wrong;
    int error = DX_PATCH_OK;
    DX_PATCH_ASSERT(size <= a->match_left_);
    a->match_left_ -= size;
    while (size && !error) {
        uint64_t equal, blocks = (size - 1) / DX_PATCH_P_BLOCK + 1;
        uint32_t made = 0;
        if (!dx_patch_p_span_number(&s->equal, &equal)) return DX_PATCH_ECORRUPT;
        if (equal > blocks) return DX_PATCH_EBOUNDS;
        equal = equal == blocks ? size : equal * DX_PATCH_P_BLOCK;
        error = dx_patch_p_emit_base(a, a->match_old_, equal);
        a->match_old_ += equal;
        size -= equal;
        if (error || !size) break;
        error = dx_patch_p_apply_block(a, s, size, wrong, &made);
        DX_PATCH_ASSERT(made <= size);
        a->match_old_ += made;
        size -= made;
    }
    return error;
}

/* Start the next match of the list if its place is here. Returns the bytes up to its place, or to
   the end of the current match. */
static uint64_t dx_patch_p_next_part(dx_patch_applier *a, dx_patch_p_section *s)
{
    const dx_patch_p_predictor *x = &a->delta_.predictor_;
    const uint32_t *match = x->matches_ + DX_PATCH_P_MATCH_WORDS * (size_t)a->match_at_;
    uint64_t gap;
    if (a->match_left_) return a->match_left_;
    if (a->match_at_ == x->count_) return a->to_size_ - a->produced_;
    DX_PATCH_ASSERT(match[DX_PATCH_P_MATCH_NEW] >= a->produced_);
    gap = match[DX_PATCH_P_MATCH_NEW] - a->produced_;
    if (gap) return gap;
    a->match_at_++;
    a->match_old_ = match[DX_PATCH_P_MATCH_OLD];
    a->match_left_ = match[DX_PATCH_P_MATCH_SIZE];
    dx_patch_p_move_lines(&s->copier.lines, a->produced_, a->match_old_, a->match_left_);
    return a->match_left_;
}

/* Apply a complete section: gaps and parts of matches, in the order of the target. */
static int dx_patch_p_apply_section(dx_patch_applier *a)
{
    dx_patch_p_section s;
    uint64_t end = a->produced_ + a->section_target_, part;
    int error = DX_PATCH_OK;
    DX_PATCH_MEMSET(&s, 0, sizeof s);
    dx_patch_p_open_streams(a, &s.streams);
    if (!dx_patch_p_read_section(&s, a->delta_.map_)) return dx_patch_p_streams_error(&s.streams);
    s.copier.lines = a->lines_;
    s.right_left = UINT64_MAX;
    if (!dx_patch_p_span_empty(&s.right) && !dx_patch_p_span_number(&s.right, &s.right_left))
        return DX_PATCH_ECORRUPT;
    if (a->delta_.map_) DX_PATCH_MEMSET(a->delta_.predictor_.memory_, 0, 4 * DX_PATCH_P_MEMORY);
    while (!error && a->produced_ < end) {
        part = a->delta_.map_ ? dx_patch_p_next_part(a, &s) : end - a->produced_;
        if (part > end - a->produced_) part = end - a->produced_;
        if (a->match_left_) error = dx_patch_p_apply_match(a, &s, part);
        else error = dx_patch_p_apply_gap(a, &s, part);
    }
    a->lines_ = s.copier.lines;
    DX_PATCH_ASSERT(error || a->produced_ == end);
    if (!error && !dx_patch_p_section_used(&s)) error = DX_PATCH_ECORRUPT;
    return error;
}

/* Collect a section, and apply it once it is complete. */
static int dx_patch_p_parse_section(dx_patch_applier *a)
{
    dx_patch_p_coder *c = &a->delta_.coder_;
    size_t part = c->size_ - c->at_;
    int error;
    if (part > a->section_size_ - a->section_at_) part = a->section_size_ - a->section_at_;
    if (part) DX_PATCH_MEMCPY(a->section_ + a->section_at_, c->source_ + c->at_, part);
    c->at_ += part;
    a->section_at_ += (uint32_t)part;
    DX_PATCH_ASSERT(a->section_at_ <= a->section_size_);
    if (a->section_at_ < a->section_size_ && !part && c->last_) return DX_PATCH_ECORRUPT;
    if (a->section_at_ < a->section_size_) return DX_PATCH_OK;
    error = dx_patch_p_wants_map(a) ? dx_patch_p_apply_map(a) : dx_patch_p_apply_section(a);
    a->state_ = a->produced_ < a->to_size_ ? DX_PATCH_P_SECTION_HEAD : DX_PATCH_P_DONE;
    return error;
}

#endif /* DX_PATCH_NO_STREAMS */

/* Decode the received part of the body in steps, as long as there is input for a whole step. */
static int dx_patch_p_run(dx_patch_applier *a)
{
    static int (*const steps[DX_PATCH_P_DONE])(dx_patch_applier *) = {
        dx_patch_p_read_parameters,
        dx_patch_p_parse_setup,
        dx_patch_p_read_list,
        dx_patch_p_read_next,
        dx_patch_p_read_literals,
        dx_patch_p_read_equal,
        dx_patch_p_read_copy,
        dx_patch_p_read_choice,
        dx_patch_p_read_block,
#ifndef DX_PATCH_NO_BLOCKS
        dx_patch_p_read_runs,
#endif
#ifndef DX_PATCH_NO_STREAMS
        dx_patch_p_read_stream_parameters,
        dx_patch_p_read_section_head,
        dx_patch_p_parse_section,
#endif
    };
    dx_patch_p_coder *c = &a->delta_.coder_;
    int error = DX_PATCH_OK;
    c->source_ = a->in_;
    c->at_ = 0;
    c->size_ = a->in_size_;
    c->last_ = a->received_ == DX_PATCH_HEADER_SIZE + a->header_.body_size;
    while (!error && a->state_ != DX_PATCH_P_DONE &&
           (dx_patch_p_has_input(c) || a->state_ == DX_PATCH_P_COPY)) {
        DX_PATCH_ASSERT(a->state_ >= 0 && a->state_ < DX_PATCH_P_DONE);
        error = steps[a->state_](a);
        if (!error && (c->overrun_ || c->bad_number_)) error = DX_PATCH_ECORRUPT;
    }
    a->in_size_ -= c->at_;
    DX_PATCH_MEMMOVE(a->in_, a->in_ + c->at_, a->in_size_);
    if (error || a->state_ != DX_PATCH_P_DONE) return error;
    return a->in_size_ ? (int)DX_PATCH_ECORRUPT : dx_patch_p_give(a, true);
}

/* BLAKE3 of the base; the caller's memory is the buffer. */
static int dx_patch_p_hash_base(dx_patch_applier *a, uint8_t *hash)
{
    const uint8_t *base = (const uint8_t *)a->desc_.base;
    uint8_t *buffer = (uint8_t *)a->desc_.memory;
    uint64_t at, size = a->desc_.base_size;
    size_t part = 4 * DX_PATCH_P_LOT;
    int result, error = DX_PATCH_OK;
    if (!base && part > a->desc_.memory_size) part = a->desc_.memory_size;
    if (part > DX_PATCH_P_LOT) part -= part % DX_PATCH_P_LOT;
    DX_PATCH_ASSERT(part > 0);
    DX_PATCH_HASH_START(&a->blake3_);
    for (at = 0; at < size && !error; at += part) {
        if (part > size - at) part = (size_t)(size - at);
        result = base ? 0 : a->desc_.read(a->desc_.user, at, buffer, part);
        if (result) return dx_patch_p_callback(a, result, DX_PATCH_ESYS);
        DX_PATCH_HASH_UPDATE(&a->blake3_, base ? base + at : buffer, part);
        a->base_done_ = at + part;
        error = dx_patch_p_progress(a);
    }
    if (!error) DX_PATCH_HASH_FINISH(&a->blake3_, hash);
    return error;
}

/* Is the base the target, to be undone? Only block patches allow that. */
static bool dx_patch_p_undoes(const dx_patch_applier *a)
{
#ifdef DX_PATCH_NO_BLOCKS
    (void)a;
    return false;
#else
    return a->desc_.undo;
#endif
}

/* Read the whole base and compare its hash, before the first byte is written. */
static int dx_patch_p_check_base(dx_patch_applier *a)
{
    const dx_patch_header *h = &a->header_;
    const uint8_t *from = dx_patch_p_undoes(a) ? h->target_hash : h->base_hash;
    const uint8_t *to = dx_patch_p_undoes(a) ? h->base_hash : h->target_hash;
    uint8_t hash[DX_PATCH_HASH_SIZE];
    bool same_size = a->desc_.base_size == a->from_size_;
    bool size_of_target = a->desc_.base_size == a->to_size_;
    int error;
    DX_PATCH_ASSERT(!a->produced_);
    if (!same_size && !size_of_target) return DX_PATCH_EBASE;
    if (same_size && a->desc_.skip_base_hash) return DX_PATCH_OK;
    error = dx_patch_p_hash_base(a, hash);
    if (error) return error;
    if (same_size && DX_PATCH_MEMCMP(hash, from, sizeof hash) == 0) return DX_PATCH_OK;
    if (DX_PATCH_MEMCMP(hash, to, sizeof hash) != 0) return DX_PATCH_EBASE;
    return size_of_target ? DX_PATCH_EAPPLIED : DX_PATCH_EBASE;
}

/* Choose how much of the target is assembled before it is hashed and passed on: four lots in the
   caller's `out`, or in memory beyond what the header asks for; otherwise a block at a time, in a
   part of the memory that is allocated later. */
static void dx_patch_p_make_room(dx_patch_applier *a)
{
    size_t room_max = 4 * DX_PATCH_P_LOT + DX_PATCH_P_LONGEST;
    size_t spare = a->desc_.memory_size - a->left_;
    DX_PATCH_ASSERT(a->left_ <= a->desc_.memory_size);
    a->room_ = room_max;
    if (a->desc_.out) return;
    if (spare < room_max) a->room_ = spare;
    if (a->room_ > DX_PATCH_P_LOT + DX_PATCH_P_LONGEST) a->new_ = a->memory_ + a->left_;
    else a->room_ = DX_PATCH_P_LONGEST;
}

/* The header is complete: refuse what can be refused, then check the base. */
static int dx_patch_p_begin(dx_patch_applier *a)
{
    dx_patch_header *h = &a->header_;
    int error = dx_patch_info(a->in_, DX_PATCH_HEADER_SIZE, h);
    a->in_size_ = 0;
    if (error) return error;
    if (h->kind == DX_PATCH_KIND_FLASH) return DX_PATCH_ENOTSUP;
#ifdef DX_PATCH_NO_BLOCKS
    if (h->kind == DX_PATCH_KIND_BLOCKS) return DX_PATCH_ENOTSUP;
#endif
#ifdef DX_PATCH_NO_STREAMS
    if (h->coding == DX_PATCH_CODING_STREAMS) return DX_PATCH_ENOTSUP;
#endif
    if (dx_patch_p_undoes(a) && !h->reversible) return DX_PATCH_ENOTSUP; /* only blocks can be */
    a->from_size_ = dx_patch_p_undoes(a) ? h->target_size : h->base_size;
    a->to_size_ = dx_patch_p_undoes(a) ? h->base_size : h->target_size;
    if (a->desc_.target_size_max && a->to_size_ > a->desc_.target_size_max) return DX_PATCH_ETOOBIG;
    if (h->memory_size > a->desc_.memory_size) return DX_PATCH_ENOMEM;
    if (a->desc_.out && a->to_size_ > a->desc_.out_capacity) return DX_PATCH_ENOSPACE;
    error = dx_patch_p_check_base(a);
    if (error) return error;
    DX_PATCH_HASH_START(&a->blake3_); /* from now on: the target */
    a->state_ = DX_PATCH_P_PARAMETERS;
#ifndef DX_PATCH_NO_STREAMS
    if (h->coding == DX_PATCH_CODING_STREAMS) a->state_ = DX_PATCH_P_STREAM_PARAMETERS;
#endif
    a->memory_ = (uint8_t *)a->desc_.memory;
    a->left_ = (size_t)h->memory_size; /* no more, even if the caller has more */
    dx_patch_p_make_room(a);
#ifndef DX_PATCH_NO_BLOCKS
    if (h->kind == DX_PATCH_KIND_BLOCKS) {
        DX_PATCH_ASSERT(a->left_ >= DX_PATCH_P_BLOCK);
        a->runs_ = dx_patch_p_start_runs(h);
        a->old_ = a->memory_;
        if (!a->new_) a->new_ = a->old_; /* a window is passed on before the next is read */
        a->state_ = DX_PATCH_P_RUNS;
    }
#endif
    return h->body_size ? DX_PATCH_OK : dx_patch_p_run(a);
}

/* Consume as much of the input as there is room for: header, then body, then trailer. */
static int dx_patch_p_read_input(dx_patch_applier *a, const uint8_t *p, size_t size, size_t *taken)
{
    uint64_t end = DX_PATCH_HEADER_SIZE, part = size;
    bool header = a->received_ < end, trailer;
    if (!header) end += a->header_.body_size;
    trailer = !header && a->received_ >= end; /* opaque, not read here */
    if (trailer) end += a->header_.trailer_size;
    DX_PATCH_ASSERT(a->received_ <= end && a->in_size_ <= sizeof a->in_);
    if (part > end - a->received_) part = end - a->received_;
    if (!trailer && part > sizeof a->in_ - a->in_size_) part = sizeof a->in_ - a->in_size_;
    a->received_ += part;
    *taken = (size_t)part;
    if (trailer) return part ? DX_PATCH_OK : DX_PATCH_ECORRUPT;
    DX_PATCH_ASSERT(part > 0);
    DX_PATCH_MEMCPY(a->in_ + a->in_size_, p, (size_t)part);
    a->in_size_ += (size_t)part;
    if (header) return a->received_ == end ? dx_patch_p_begin(a) : DX_PATCH_OK;
    a->crc_ = a->whole_ ? a->header_.body_crc : DX_PATCH_CRC32C(a->crc_, p, (size_t)part);
    if (a->received_ == end && a->crc_ != a->header_.body_crc) return DX_PATCH_ECORRUPT;
    return dx_patch_p_run(a);
}

/* >>public ------------------------------------------------------------- */
DX_PATCH_API const char *dx_patch_error_name(int error)
{
#define DX_PATCH_P_NAME(value, constant, wire) \
    if (error == value) return "DX_PATCH_" #constant;
    DX_PATCH_ERRORS(DX_PATCH_P_NAME)
#undef DX_PATCH_P_NAME
    return "unknown error";
}

DX_PATCH_API int dx_patch_error_wire(int error)
{
#define DX_PATCH_P_WIRE(value, constant, wire) \
    if (error == value) return wire;
    DX_PATCH_ERRORS(DX_PATCH_P_WIRE)
#undef DX_PATCH_P_WIRE
    return 1;
}

DX_PATCH_API void dx_patch_hash(const void *data, size_t size, uint8_t *hash)
{
    DX_PATCH_HASH h;
    DX_PATCH_HASH_START(&h);
    DX_PATCH_HASH_UPDATE(&h, (const uint8_t *)data, size);
    DX_PATCH_HASH_FINISH(&h, hash);
}

DX_PATCH_API int dx_patch_applier_init(dx_patch_applier *a, const dx_patch_applier_desc *desc)
{
    if (!a || !desc) return DX_PATCH_EINVAL;
    DX_PATCH_MEMSET(a, 0, sizeof *a);
    a->error_ = DX_PATCH_EINVAL;
    a->desc_ = *desc;
    if ((!desc->write && !desc->out) || !desc->memory) return DX_PATCH_EINVAL;
    a->error_ = desc->read || desc->base ? DX_PATCH_OK : DX_PATCH_ENOBASE;
    return a->error_;
}

DX_PATCH_API int dx_patch_applier_feed(dx_patch_applier *a, const void *data, size_t size)
{
    const uint8_t *p = (const uint8_t *)data;
    if (!a || (!data && size)) return DX_PATCH_EINVAL;
    while (!a->error_ && size) {
        size_t taken = 0;
        a->error_ = dx_patch_p_read_input(a, p, size, &taken);
        DX_PATCH_ASSERT(taken <= size);
        p += taken;
        size -= taken;
    }
    return a->error_;
}

DX_PATCH_API int dx_patch_applier_finish(dx_patch_applier *a)
{
    uint8_t hash[DX_PATCH_HASH_SIZE];
    const dx_patch_header *h;
    int error = DX_PATCH_OK;
    if (!a) return DX_PATCH_EINVAL;
    if (a->error_) return a->error_;
    h = &a->header_;
    if (!a->received_) error = DX_PATCH_ENOPATCH;
    else if (a->received_ < DX_PATCH_HEADER_SIZE + h->body_size + h->trailer_size)
        error = DX_PATCH_ETRUNCATED;
    else if (a->state_ != DX_PATCH_P_DONE || a->produced_ != a->to_size_)
        error = DX_PATCH_ECORRUPT;
    DX_PATCH_ASSERT(error || a->given_ == a->produced_);
    if (!error && !a->desc_.skip_target_hash) {
        const uint8_t *to = dx_patch_p_undoes(a) ? h->base_hash : h->target_hash;
        DX_PATCH_HASH_FINISH(&a->blake3_, hash);
        if (DX_PATCH_MEMCMP(hash, to, sizeof hash) != 0) error = DX_PATCH_ETARGET;
    }
    a->error_ = error ? error : (int)DX_PATCH_EINVAL; /* done: any later call breaks the contract */
    return error;
}

DX_PATCH_API int dx_patch_applier_callback_result(const dx_patch_applier *a)
{
    return a ? a->callback_result_ : 0;
}

/* >>memory: base, patch and target in memory -----------------------------------
   A whole patch can be checked before anything is written. A block patch is applied in place:

        base      |........|xx......|........|            XOR is its own inverse, so the same runs
        runs               |01......|        |01..|       turn the target back into the base, and
        target    |........|yx......|........|01..|       undo a wrong result

   The shorter side is padded with zeros. */

/* Check the header and the length of a whole patch. */
static int dx_patch_p_check_length(const uint8_t *patch, size_t size, dx_patch_header *h)
{
    uint64_t left; /* bytes after the header */
    int error = size ? dx_patch_info(patch, size, h) : DX_PATCH_ENOPATCH;
    if (error) return error;
    left = size - DX_PATCH_HEADER_SIZE;
    if (left < h->body_size || left - h->body_size < h->trailer_size) return DX_PATCH_ETRUNCATED;
    if (left - h->body_size > h->trailer_size) return DX_PATCH_ECORRUPT;
    DX_PATCH_ASSERT(left - h->body_size == h->trailer_size);
    return DX_PATCH_OK;
}

/* The same, and the checksum of its body. */
static int dx_patch_p_check_whole(const uint8_t *patch, size_t size, dx_patch_header *h)
{
    int error = dx_patch_p_check_length(patch, size, h);
    if (error) return error;
    DX_PATCH_ASSERT(h->body_size <= size - DX_PATCH_HEADER_SIZE);
    if (DX_PATCH_CRC32C(0, patch + DX_PATCH_HEADER_SIZE, (size_t)h->body_size) != h->body_crc)
        return DX_PATCH_ECORRUPT;
    return DX_PATCH_OK;
}

DX_PATCH_API int dx_patch_apply(const void *base, size_t base_size, const void *patch,
                                size_t patch_size, void *out, size_t out_capacity,
                                size_t *out_size, void *memory, size_t memory_size)
{
    dx_patch_applier a;
    dx_patch_applier_desc desc;
    int error;
    if (!out_size || !memory || (!out && out_capacity)) return DX_PATCH_EINVAL;
    *out_size = 0;
    if (!base && base_size) return DX_PATCH_ENOBASE;
    if (!patch) return DX_PATCH_ENOPATCH;
    error = dx_patch_p_check_whole((const uint8_t *)patch, patch_size, &a.header_);
    if (error) return error;
    if (a.header_.target_size > out_capacity) return DX_PATCH_ENOSPACE;
    DX_PATCH_MEMSET(&desc, 0, sizeof desc);
    desc.base = base_size ? base : memory; /* empty; not NULL, because read is not set */
    desc.base_size = base_size;
    desc.out = out_capacity ? out : memory;
    desc.out_capacity = out_capacity;
    desc.memory = memory;
    desc.memory_size = memory_size;
    error = dx_patch_applier_init(&a, &desc);
    a.whole_ = true; /* check_whole() has verified the checksum of the body */
    if (!error) error = dx_patch_applier_feed(&a, patch, patch_size);
    if (!error) error = dx_patch_applier_finish(&a);
    DX_PATCH_ASSERT(error || a.produced_ == a.header_.target_size);
    if (!error) *out_size = (size_t)a.produced_;
    return error;
}

#ifndef DX_PATCH_NO_BLOCKS
/* XOR all runs of a whole patch into the buffer; NULL: only check them. */
static int dx_patch_p_xor_runs(const dx_patch_header *h, const uint8_t *patch, uint8_t *buffer)
{
    dx_patch_p_coder d;
    dx_patch_p_runs r = dx_patch_p_start_runs(h);
    int got;
    DX_PATCH_MEMSET(&d, 0, sizeof d);
    DX_PATCH_ASSERT(h->kind == DX_PATCH_KIND_BLOCKS);
    d.source_ = patch + DX_PATCH_HEADER_SIZE;
    d.size_ = (size_t)h->body_size;
    while ((got = dx_patch_p_next_run(&d, &r)) > 0) {
        if (r.size > d.size_ - d.at_) return DX_PATCH_ETRUNCATED;
        DX_PATCH_ASSERT(r.at + r.size <= r.limit);
        if (buffer) (void)dx_patch_p_xor(buffer + (size_t)r.at, d.source_ + d.at_, (size_t)r.size);
        d.at_ += (size_t)r.size;
        r.at += r.size;
    }
    return got;
}

/* Do the first size bytes of the buffer have this hash? */
static bool dx_patch_p_is(const uint8_t *buffer, uint64_t size, const uint8_t *wanted)
{
    uint8_t hash[DX_PATCH_HASH_SIZE];
    DX_PATCH_ASSERT(size <= SIZE_MAX);
    dx_patch_hash(buffer, (size_t)size, hash);
    return DX_PATCH_MEMCMP(hash, wanted, sizeof hash) == 0;
}

/* XOR the runs into a buffer whose content was verified. After an error it is unchanged. */
static int dx_patch_p_swap(const dx_patch_header *h, const uint8_t *patch, uint8_t *buffer,
                           size_t from_size, size_t to_size, const uint8_t *to_hash)
{
    size_t larger = from_size > to_size ? from_size : to_size, i;
    int error = DX_PATCH_OK;
    DX_PATCH_ASSERT(h->kind == DX_PATCH_KIND_BLOCKS);
    if (larger > from_size) DX_PATCH_MEMSET(buffer + from_size, 0, larger - from_size);
    (void)dx_patch_p_xor_runs(h, patch, buffer);
    if (!dx_patch_p_is(buffer, to_size, to_hash)) error = DX_PATCH_ETARGET;
    for (i = to_size; h->reversible && i < larger; i++)
        if (buffer[i]) error = DX_PATCH_ECORRUPT; /* both sides are padded with zeros */
    if (error) (void)dx_patch_p_xor_runs(h, patch, buffer); /* the same XOR undoes it */
    return error;
}

static int dx_patch_p_in_place(uint8_t *buffer, size_t size, size_t capacity,
                               const uint8_t *patch, size_t patch_size, size_t *new_size, bool undo)
{
    dx_patch_header h;
    const uint8_t *from = undo ? h.target_hash : h.base_hash;
    const uint8_t *to = undo ? h.base_hash : h.target_hash;
    uint64_t from_size, to_size;
    int error;
    if (!new_size || size > capacity) return DX_PATCH_EINVAL;
    if (!buffer && capacity) return DX_PATCH_ENOBASE;
    if (!patch) return DX_PATCH_ENOPATCH;
    error = dx_patch_p_check_whole(patch, patch_size, &h);
    if (error) return error;
    if (h.kind != DX_PATCH_KIND_BLOCKS || (undo && !h.reversible)) return DX_PATCH_ENOTSUP;
    error = dx_patch_p_xor_runs(&h, patch, NULL);
    if (error) return error;
    DX_PATCH_ASSERT(!h.block_size || h.kind == DX_PATCH_KIND_BLOCKS);
    from_size = undo ? h.target_size : h.base_size;
    to_size = undo ? h.base_size : h.target_size;
    if (size != from_size || !dx_patch_p_is(buffer, size, from)) {
        bool applied = size == to_size && dx_patch_p_is(buffer, size, to);
        return applied ? DX_PATCH_EAPPLIED : DX_PATCH_EBASE;
    }
    if (from_size > capacity || to_size > capacity) return DX_PATCH_ENOSPACE;
    error = dx_patch_p_swap(&h, patch, buffer, size, (size_t)to_size, to);
    if (!error) *new_size = (size_t)to_size;
    return error;
}

DX_PATCH_API int dx_patch_apply_in_place(void *buffer, size_t base_size, size_t buffer_capacity,
                                         const void *patch, size_t patch_size, size_t *new_size)
{
    return dx_patch_p_in_place((uint8_t *)buffer, base_size, buffer_capacity,
                               (const uint8_t *)patch, patch_size, new_size, false);
}

DX_PATCH_API int dx_patch_undo(void *buffer, size_t target_size, size_t buffer_capacity,
                               const void *patch, size_t patch_size, size_t *new_size)
{
    return dx_patch_p_in_place((uint8_t *)buffer, target_size, buffer_capacity,
                               (const uint8_t *)patch, patch_size, new_size, true);
}
#endif

#ifndef DX_PATCH_NO_FLASH
/* >>flash: in place on one slot ------------------------------------------------
   A single slot of flash holds the base and, at the end, the target. The base moves up by a gap of
   some pages, its last page first; then the target is decoded from its first page on. The patch is
   made so that nothing is read after it was overwritten.

        pages   0   1   2   3   4   5   6   7
                b0  b1  b2  b3  b4  b5  --  --      base of 6 pages, slot of 8: a gap of 2
                b0  b1  b2  b3  b2  b3  b4  b5      move: 5 to 7, 4 to 6, 3 to 5, ..
                b0  b1  b0  b1  b2  b3  b4  b5      moved
                t0  t1  t2  b1  b2  b3  b4  b5      target page n may read base pages from n - 1 on

   There is no journal: the patch has a CRC-32C of each page of base and target, so the pages
   themselves show where an interrupted run stopped. During the move, the lower pages are still in
   their places; the move of a page is repeated, because its source is intact. During decoding, all
   pages below the interrupted one are the target's, and the base lies above. Parsing the stream
   does not need the base, so a resumed run decodes from the start and writes from that page on. */
#define DX_PATCH_P_F_GAP 0u    /* kinds of numbers: literals before a match, */
#define DX_PATCH_P_F_LENGTH 1u /* its bytes less 1, */
#define DX_PATCH_P_F_JUMP 2u   /* distance from where the last one would continue, */
#define DX_PATCH_P_F_RUN 3u    /* 3..5: right bytes, by the run before */
#define DX_PATCH_P_F_WRONG (6u * DX_PATCH_P_NUMBER)
#define DX_PATCH_P_F_LITERAL (DX_PATCH_P_F_WRONG + DX_PATCH_P_BYTE)
#define DX_PATCH_P_F_ROWS (DX_PATCH_P_F_LITERAL + DX_PATCH_P_BYTE)
#define DX_PATCH_P_F_UNIT 256u /* bytes of a write */
#define DX_PATCH_P_F_PART 1024u /* bytes checksummed between two calls of progress */
#define DX_PATCH_P_F_NEVER 0xffffffffu /* no page, no piece */
typedef char dx_patch_p_flash_memory[32 * DX_PATCH_P_F_ROWS == DX_PATCH_P_FLASH_MEMORY ? 1 : -1];

/* The coding BITS has the same numbers and bytes, but each bit is a symbol of its own, and its row
   is a single word: the probability of a 0, in 4096ths. The bits of a small number, the highest
   first, are the path from the root of a tree to a leaf; each node has a word:

              1               word 0 of a tree is not used
            0/ \1
           2     3            a tree for n bits: 2^n words
          / \   / \

   A number is coded as v + 1: a tree of 5 bits gives the count of bits after its leading one; the
   first of them has a word by this count, the others are even. A byte is a tree of 4 bits for its
   upper half and one for its lower half: that of the upper halves 0, 15, or all others.
   Probabilities move towards the coded bit by a sixteenth of the remaining distance. */
#define DX_PATCH_P_B_CHANCE 12u   /* log2 of certainty */
#define DX_PATCH_P_B_RATE 4u      /* log2 */
#define DX_PATCH_P_B_LENGTH 5u    /* bits of a number's length */
#define DX_PATCH_P_B_SECOND 192u  /* words, by length: after six kinds of numbers; */
#define DX_PATCH_P_B_LITERAL 224u /* of a byte: four trees; */
#define DX_PATCH_P_B_WRONG 288u
#define DX_PATCH_P_B_WORDS 352u
typedef char dx_patch_p_bits_memory[2 * DX_PATCH_P_B_WORDS == DX_PATCH_P_BITS_MEMORY ? 1 : -1];
typedef char dx_patch_p_bits_fit[DX_PATCH_P_B_WORDS <= DX_PATCH_P_FLASH_WORDS ? 1 : -1];
#if defined(DX_PATCH_FLASH_SMALL) && defined(DX_PATCH_NO_CREATE)
  #define DX_PATCH_P_IS_BITS(c) ((void)(c), true) /* a constant: the compiler drops the rest */
#else
  #define DX_PATCH_P_IS_BITS(c) ((c)->bits_)
#endif

static uint32_t dx_patch_p_bit(dx_patch_p_coder *c, uint16_t *chance, uint32_t v)
{
    uint32_t zero = (c->range_ >> DX_PATCH_P_B_CHANCE) * *chance; /* the part of a 0 */
    DX_PATCH_ASSERT(*chance && *chance < 1u << DX_PATCH_P_B_CHANCE && v <= 1);
    if (DX_PATCH_P_MODE(c) == DX_PATCH_P_READ) v = c->code_ >= zero;
    if (v) {
        *chance = (uint16_t)(*chance - (*chance >> DX_PATCH_P_B_RATE));
        dx_patch_p_step(c, zero, c->range_ - zero);
    } else {
        uint32_t left = (1u << DX_PATCH_P_B_CHANCE) - *chance;
        *chance = (uint16_t)(*chance + (left >> DX_PATCH_P_B_RATE));
        dx_patch_p_step(c, 0, zero);
    }
    return v;
}

static uint32_t dx_patch_p_leaf(dx_patch_p_coder *c, uint32_t tree, uint32_t bits, uint32_t v)
{
    uint32_t node = 1, left = bits;
    DX_PATCH_ASSERT(v >> bits == 0 && tree + (1u << bits) <= DX_PATCH_P_B_WORDS);
    while (left--) node = 2 * node + dx_patch_p_bit(c, c->rows_ + tree + node, v >> left & 1);
    return node - (1u << bits);
}

static uint32_t dx_patch_p_leaf_number(dx_patch_p_coder *c, uint32_t which, uint32_t v)
{
    uint32_t bits = 0, lead = 1, left;
    uint16_t *chance;
    DX_PATCH_ASSERT(v < UINT32_MAX && which << DX_PATCH_P_B_LENGTH < DX_PATCH_P_B_SECOND);
    v++;
    while (DX_PATCH_P_MODE(c) != DX_PATCH_P_READ && v >> bits > 1) bits++;
    bits = dx_patch_p_leaf(c, which << DX_PATCH_P_B_LENGTH, DX_PATCH_P_B_LENGTH, bits);
    chance = c->rows_ + DX_PATCH_P_B_SECOND + bits;
    for (left = bits; left--;) {
        uint16_t even = 1u << (DX_PATCH_P_B_CHANCE - 1);
        lead = 2 * lead + dx_patch_p_bit(c, chance, v >> left & 1);
        chance = &even;
    }
    return lead - 1;
}

static uint32_t dx_patch_p_leaf_byte(dx_patch_p_coder *c, uint32_t tree, uint32_t v)
{
    uint32_t high = dx_patch_p_leaf(c, tree, 4, v >> 4);
    DX_PATCH_ASSERT(high < 16);
    tree += high == 0 ? 16 : high == 15 ? 32 : 48;
    return high << 4 | dx_patch_p_leaf(c, tree, 4, v & 15);
}

/* Numbers and bytes in either coding. A number of more than 32 bits is out of all bounds here. */
static uint32_t dx_patch_p_f_number(dx_patch_p_coder *c, uint32_t which, uint32_t v)
{
    uint64_t number;
    if (DX_PATCH_P_IS_BITS(c)) return dx_patch_p_leaf_number(c, which, v);
    number = dx_patch_p_number(c, which, v);
    DX_PATCH_ASSERT(DX_PATCH_P_MODE(c) == DX_PATCH_P_READ || number == v);
    return number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
}

static uint32_t dx_patch_p_f_byte(dx_patch_p_coder *c, uint32_t row, uint32_t v)
{
    uint32_t tree = row == DX_PATCH_P_F_WRONG ? DX_PATCH_P_B_WRONG : DX_PATCH_P_B_LITERAL;
    DX_PATCH_ASSERT(row == DX_PATCH_P_F_WRONG || row == DX_PATCH_P_F_LITERAL);
    return DX_PATCH_P_IS_BITS(c) ? dx_patch_p_leaf_byte(c, tree, v) : dx_patch_p_byte(c, row, v);
}

/* All bits and symbols equally likely. */
static void dx_patch_p_f_rows(dx_patch_p_coder *c)
{
    uint32_t i;
    DX_PATCH_ASSERT(c->rows_);
    if (!DX_PATCH_P_IS_BITS(c)) {
        dx_patch_p_rows_start(c->rows_, DX_PATCH_P_F_ROWS);
        return;
    }
    for (i = 0; i < DX_PATCH_P_B_WORDS; i++) c->rows_[i] = 1u << (DX_PATCH_P_B_CHANCE - 1);
}

static uint32_t dx_patch_p_pages(uint32_t size, uint32_t bits)
{
    DX_PATCH_ASSERT(bits <= 20 && !(size >> DX_PATCH_P_FLASH_BITS));
    return (size + ((uint32_t)1 << bits) - 1) >> bits;
}

/* The first error is kept; everything stops at it. */
static void dx_patch_p_f_fail(dx_patch_flash *f, bool wrong, int error)
{
    DX_PATCH_ASSERT(error < 0);
    if (wrong && !f->error_) f->error_ = error;
}

/* The stream is exhausted, or has a number that no writer produces: the rest is not valid. */
static bool dx_patch_p_f_ended(const dx_patch_flash *f)
{
    return f->coder_.overrun_ || f->coder_.bad_number_;
}

static void dx_patch_p_f_do(dx_patch_flash *f, dx_patch_flash_io what, uint32_t at, void *p,
                            uint32_t size)
{
    DX_PATCH_ASSERT((uint64_t)at + size <= f->desc_.slot_size || f->error_);
    if (!f->error_ && f->desc_.io(f->desc_.user, what, at, p, size)) f->error_ = DX_PATCH_ESYS;
}

/* Begin a step of size bytes. Work that the last step skipped counts as done. */
static void dx_patch_p_f_step(dx_patch_flash *f, uint64_t size)
{
    DX_PATCH_ASSERT(f->step_end_ <= f->total_ && size <= f->total_ - f->step_end_);
    f->done_ = f->step_end_;
    f->step_end_ += size;
}

/* Report size bytes of the step as done. The caller may stop here, as power may fail anywhere. */
static void dx_patch_p_f_report(dx_patch_flash *f, uint32_t size)
{
    uint64_t left = f->step_end_ - f->done_;
    DX_PATCH_ASSERT(f->done_ <= f->step_end_);
    f->done_ += size < left ? size : left;
    if (f->error_ || !f->desc_.progress) return;
    if (f->desc_.progress(f->desc_.user, f->done_, f->total_)) f->error_ = DX_PATCH_ECANCELED;
}

static void dx_patch_p_f_erase(dx_patch_flash *f, uint32_t at)
{
    DX_PATCH_ASSERT(!(at & (((uint32_t)1 << f->bits_) - 1)));
    dx_patch_p_f_do(f, DX_PATCH_FLASH_ERASE, at, NULL, (uint32_t)1 << f->bits_);
    dx_patch_p_f_report(f, 0);
}

/* Put byte n of the target; whole units are written. Pages before first_page_ exist already. */
static void dx_patch_p_f_put(dx_patch_flash *f, uint32_t n, uint32_t byte)
{
    uint32_t i = n % DX_PATCH_P_F_UNIT, page = n >> f->bits_;
    DX_PATCH_ASSERT(n < f->target_size_);
    f->out_[i] = (uint8_t)(byte & 255);
    if (i != DX_PATCH_P_F_UNIT - 1 && n + 1 < f->target_size_) return;
    if (page >= f->first_page_) {
        if (n - i == page << f->bits_) dx_patch_p_f_erase(f, n - i);
        dx_patch_p_f_do(f, DX_PATCH_FLASH_WRITE, n - i, f->out_, DX_PATCH_P_F_UNIT);
    }
    dx_patch_p_f_report(f, i + 1);
    DX_PATCH_MEMSET(f->out_, 255, sizeof f->out_);
}

/* The base's byte for byte n of the target; refused if it is overwritten by then. */
static uint32_t dx_patch_p_f_old(dx_patch_flash *f, uint32_t n, uint32_t at)
{
    uint32_t size = (uint32_t)sizeof f->old_;
    uint32_t piece = at - at % size + (f->gap_ << f->bits_); /* the slot is below 4 GiB */
    DX_PATCH_ASSERT(at < f->base_size_);
    dx_patch_p_f_fail(f, (at >> f->bits_) + f->gap_ <= n >> f->bits_, DX_PATCH_EBOUNDS);
    if (f->error_ || n >> f->bits_ < f->first_page_) return 0;
    if (at / size != f->cached_) dx_patch_p_f_do(f, DX_PATCH_FLASH_READ, piece, f->old_, size);
    f->cached_ = at / size;
    return f->old_[at % size];
}

/* A match of left bytes, from byte n of the target and old_n of the base on: runs of right bytes,
   each followed by a wrong one. A run of 0 means that the rest is right. */
static void dx_patch_p_f_match(dx_patch_flash *f, uint32_t n, uint32_t old_n, uint32_t left,
                               uint32_t *last_run)
{
    DX_PATCH_ASSERT(left <= f->base_size_ - old_n && left <= f->target_size_ - n);
    while (!f->error_ && left) {
        uint32_t which = dx_patch_p_run_number(*last_run) + DX_PATCH_P_F_RUN;
        uint32_t run = dx_patch_p_f_number(&f->coder_, which, 0);
        uint32_t right = run ? run - 1 : left, byte;
        dx_patch_p_f_fail(f, run > left || dx_patch_p_f_ended(f), DX_PATCH_ECORRUPT);
        left -= run ? right + 1 : right;
        *last_run = run ? right : 8;
        for (; right && !f->error_; right--, n++)
            dx_patch_p_f_put(f, n, dx_patch_p_f_old(f, n, old_n++));
        if (!run || f->error_) continue;
        byte = dx_patch_p_f_byte(&f->coder_, DX_PATCH_P_F_WRONG, 0);
        byte += dx_patch_p_f_old(f, n, old_n++);
        dx_patch_p_f_put(f, n++, byte);
    }
}

static void dx_patch_p_f_start(dx_patch_flash *f)
{
    dx_patch_p_coder *d = &f->coder_;
    DX_PATCH_MEMSET(d, 0, sizeof *d);
    DX_PATCH_MEMSET(f->out_, 255, sizeof f->out_);
    d->rows_ = f->u_.rows_;
    d->source_ = (const uint8_t *)f->desc_.patch;
    d->at_ = f->stream_at_;
    d->size_ = DX_PATCH_HEADER_SIZE + (size_t)f->body_size_;
    DX_PATCH_ASSERT(d->at_ <= d->size_ && d->size_ <= f->desc_.patch_size);
    d->bits_ = f->bits_coding_ != 0;
    dx_patch_p_f_rows(d);
    dx_patch_p_start_reading(d);
}

/* Decode the target. Pages before first_page exist already; F_NEVER: only check the stream. */
static void dx_patch_p_f_decode(dx_patch_flash *f, uint32_t first_page)
{
    dx_patch_p_coder *d = &f->coder_;
    uint32_t n = 0, last_run = 0, old_n = 0; /* below 2^30; a jump may wrap, and is then refused */
    uint32_t left, gap, size, jump;
    dx_patch_p_f_start(f);
    dx_patch_p_f_step(f, f->target_size_);
    f->first_page_ = first_page;
    f->cached_ = DX_PATCH_P_F_NEVER;
    while (!f->error_ && n < f->target_size_) {
        left = f->target_size_ - n;
        DX_PATCH_ASSERT(left > 0);
        gap = dx_patch_p_f_number(d, DX_PATCH_P_F_GAP, 0);
        dx_patch_p_f_fail(f, gap > left, DX_PATCH_EBOUNDS);
        left -= gap;
        old_n += gap;
        for (; gap && !f->error_; gap--) {
            dx_patch_p_f_put(f, n++, dx_patch_p_f_byte(d, DX_PATCH_P_F_LITERAL, 0));
            dx_patch_p_f_fail(f, d->overrun_, DX_PATCH_ECORRUPT);
        }
        if (f->error_ || !left) break;
        size = dx_patch_p_f_number(d, DX_PATCH_P_F_LENGTH, 0);
        jump = dx_patch_p_f_number(d, DX_PATCH_P_F_JUMP, 0);
        old_n += jump >> 1 ^ (jump & 1 ? UINT32_MAX : 0); /* zigzag */
        dx_patch_p_f_fail(f, dx_patch_p_f_ended(f), DX_PATCH_ECORRUPT);
        dx_patch_p_f_fail(f, size >= left || old_n >= f->base_size_ ||
                                 size >= f->base_size_ - old_n, DX_PATCH_EBOUNDS);
        if (f->error_) break;
        dx_patch_p_f_match(f, n, old_n, size + 1, &last_run);
        DX_PATCH_ASSERT(size < left);
        n += size + 1;
        old_n += size + 1;
    }
    dx_patch_p_f_fail(f, d->at_ != d->size_ || dx_patch_p_f_ended(f), DX_PATCH_ECORRUPT);
}

/* Load the next bytes of the slot into out_, as many as fit. Returns how many. */
static uint32_t dx_patch_p_f_load(dx_patch_flash *f, uint32_t at, uint32_t left)
{
    uint32_t part = left < DX_PATCH_P_F_UNIT ? left : DX_PATCH_P_F_UNIT;
    DX_PATCH_ASSERT((uint64_t)at + left <= f->desc_.slot_size);
    if (part) dx_patch_p_f_do(f, DX_PATCH_FLASH_READ, at, f->out_, part);
    dx_patch_p_f_report(f, part);
    return part;
}

/* The chaining value of a chunk of the slot. */
static void dx_patch_p_f_chunk(dx_patch_flash *f, uint32_t at, uint32_t size, uint32_t flags)
{
    uint32_t *cv = f->u_.hash_.cv_;
    uint32_t done = 0, part, more = (uint32_t)DX_PATCH_P_B3_CHUNK_START;
    DX_PATCH_ASSERT(size <= DX_PATCH_P_B3_CHUNK && at % DX_PATCH_P_B3_CHUNK == 0);
    dx_patch_p_blake3_iv(cv);
    do {
        uint32_t in = done % DX_PATCH_P_F_UNIT;
        if (!in) {
            DX_PATCH_MEMSET(f->out_, 0, DX_PATCH_P_F_UNIT);
            (void)dx_patch_p_f_load(f, at + done, size - done);
        }
        part = size - done < DX_PATCH_P_B3_BLOCK ? size - done : DX_PATCH_P_B3_BLOCK;
        done += part;
        if (done == size) more |= (uint32_t)DX_PATCH_P_B3_CHUNK_END | flags;
        dx_patch_p_hash_compress(cv, f->out_ + in, part, at / DX_PATCH_P_B3_CHUNK, more);
        more = 0;
    } while (done < size);
}

/* Does the slot start with size bytes of this hash? Because the size is known, the hash
   keeps no state between calls: a subtree is merged as soon as it is complete, unless the
   chunk is the last one. */
static bool dx_patch_p_f_holds(dx_patch_flash *f, uint32_t size, const uint8_t *wanted)
{
    uint32_t *cv = f->u_.hash_.cv_;
    uint32_t at = 0, chunks, waiting = 0, i, wrong = 0;
    DX_PATCH_ASSERT(size <= f->desc_.slot_size && !(size >> DX_PATCH_P_FLASH_BITS));
    dx_patch_p_f_step(f, size);
    for (; size - at > DX_PATCH_P_B3_CHUNK && !f->error_; at += DX_PATCH_P_B3_CHUNK) {
        dx_patch_p_f_chunk(f, at, DX_PATCH_P_B3_CHUNK, 0);
        for (chunks = at / DX_PATCH_P_B3_CHUNK + 1; !(chunks & 1); chunks >>= 1)
            dx_patch_p_hash_parent(cv, f->u_.hash_.stack_[--waiting], 0);
        DX_PATCH_ASSERT(waiting < sizeof f->u_.hash_.stack_ / 32);
        DX_PATCH_MEMCPY(f->u_.hash_.stack_[waiting++], cv, 32);
    }
    if (f->error_) return false;
    dx_patch_p_f_chunk(f, at, size - at, waiting ? 0 : (uint32_t)DX_PATCH_P_B3_ROOT);
    while (waiting--)
        dx_patch_p_hash_parent(cv, f->u_.hash_.stack_[waiting],
                               waiting ? 0 : (uint32_t)DX_PATCH_P_B3_ROOT);
    for (i = 0; i < 8; i++) wrong |= cv[i] ^ dx_patch_p_load32(wanted + 4 * i);
    return !f->error_ && !wrong;
}

/* Are pages from..to - 1 of base or target found `further` pages up in the slot? */
static bool dx_patch_p_f_pages_hold(dx_patch_flash *f, bool target, uint32_t from, uint32_t to,
                                    uint32_t further)
{
    const uint8_t *sums = (const uint8_t *)f->desc_.patch + DX_PATCH_HEADER_SIZE + 4;
    uint32_t all = target ? f->target_size_ : f->base_size_;
    DX_PATCH_ASSERT(to <= dx_patch_p_pages(all, f->bits_));
    if (target) sums += 4 * (size_t)f->pages_; /* those of the base come first */
    for (; from < to && !f->error_; from++) {
        uint32_t size = all - (from << f->bits_), at = (from + further) << f->bits_, crc = 0, part;
        if (size > (uint32_t)1 << f->bits_) size = (uint32_t)1 << f->bits_;
        for (; size && !f->error_; size -= part, at += part) {
            part = dx_patch_p_f_load(f, at, size);
            crc = DX_PATCH_CRC32C(crc, f->out_, part);
        }
        if (crc != dx_patch_p_load32(sums + 4 * (size_t)from)) return false;
    }
    return !f->error_;
}

/* From here on the slot changes: move the pages of the base below `page`, decode from `first`
   on. */
static void dx_patch_p_f_go_on(dx_patch_flash *f, uint32_t page, uint32_t first)
{
    DX_PATCH_ASSERT(page <= f->pages_ && f->gap_ > 0);
    dx_patch_p_f_step(f, f->base_size_);
    while (page-- > 0 && !f->error_) {
        uint32_t from = page << f->bits_, to = from + (f->gap_ << f->bits_);
        dx_patch_p_f_erase(f, to);
        for (; from >> f->bits_ == page; from += DX_PATCH_P_F_UNIT, to += DX_PATCH_P_F_UNIT) {
            dx_patch_p_f_do(f, DX_PATCH_FLASH_READ, from, f->out_, DX_PATCH_P_F_UNIT);
            dx_patch_p_f_do(f, DX_PATCH_FLASH_WRITE, to, f->out_, DX_PATCH_P_F_UNIT);
            dx_patch_p_f_report(f, DX_PATCH_P_F_UNIT);
        }
    }
    dx_patch_p_f_decode(f, first);
}

/* The slot holds neither base nor target: resume the interrupted step. From page `moved` on, the
   base is found further up. If the move is incomplete, all pages below are still in their places
   (also page moved - 1, whose copy was interrupted). Otherwise decoding has destroyed at most page
   moved - 1 + gap, and the pages below that one are the target's. */
static void dx_patch_p_f_resume(dx_patch_flash *f)
{
    uint32_t moved = f->pages_, page;
    DX_PATCH_ASSERT(f->gap_ > 0);
    while (moved && dx_patch_p_f_pages_hold(f, false, moved - 1, moved, f->gap_)) moved--;
    page = moved ? moved - 1 + f->gap_ : 0;
    if (dx_patch_p_f_pages_hold(f, false, 0, moved, 0))
        dx_patch_p_f_go_on(f, moved, 0);
    else if (page < dx_patch_p_pages(f->target_size_, f->bits_) &&
             dx_patch_p_f_pages_hold(f, true, 0, page, 0))
        dx_patch_p_f_go_on(f, 0, page);
    else dx_patch_p_f_fail(f, true, DX_PATCH_EBASE);
}

/* Check the body's checksum, in parts, and set the total of work. The steps of a call: this one;
   decoding without writing; the hashes of target and base; the search for an interrupted run, the
   move, decoding; the final hash. */
static void dx_patch_p_f_check_body(dx_patch_flash *f)
{
    const uint8_t *p = (const uint8_t *)f->desc_.patch + DX_PATCH_HEADER_SIZE;
    uint32_t left = f->body_size_, crc = 0, part;
    DX_PATCH_ASSERT(left <= f->desc_.patch_size - DX_PATCH_HEADER_SIZE);
    f->total_ = (uint64_t)f->target_size_ + f->base_size_; /* three times; only 64-bit additions */
    f->total_ += f->total_ + f->total_ + f->target_size_ + f->target_size_ + left;
    dx_patch_p_f_step(f, left);
    for (; left && !f->error_; left -= part) {
        part = left < DX_PATCH_P_F_PART ? left : DX_PATCH_P_F_PART;
        crc = DX_PATCH_CRC32C(crc, p, part);
        p += part;
        dx_patch_p_f_report(f, part);
    }
    dx_patch_p_f_fail(f, crc != f->body_crc_, DX_PATCH_ECORRUPT);
}

#ifdef DX_PATCH_FLASH_SMALL
/* The checks of dx_patch_info() and of the kind, for flash patches in coding BITS only: every other
   field has a fixed value, and all sizes have 32 bits. */
static int dx_patch_p_f_header(dx_patch_flash *f)
{
    static const uint8_t begin[5] = {'1', DX_PATCH_P_BITS_VERSION, DX_PATCH_KIND_FLASH,
                                     DX_PATCH_P_BLAKE3_256, DX_PATCH_CODING_BITS};
    const uint8_t *p = (const uint8_t *)f->desc_.patch;
    size_t left = f->desc_.patch_size - DX_PATCH_HEADER_SIZE; /* bytes after the header */
    uint32_t n[DX_PATCH_HEADER_SIZE / 4], i; /* the words: base size at 2, and so on */
    if (!f->desc_.patch_size) return DX_PATCH_ENOPATCH;
    if (f->desc_.patch_size < DX_PATCH_HEADER_SIZE) return DX_PATCH_ETRUNCATED;
    for (i = 0; i < DX_PATCH_HEADER_SIZE / 4; i++) n[i] = dx_patch_p_load32(p + 4 * i);
    if (DX_PATCH_MEMCMP(p, "DXP", 3) != 0) return DX_PATCH_EHEADER;
    if (DX_PATCH_CRC32C(0, p, DX_PATCH_P_AT_CRC) != n[31]) return DX_PATCH_EHEADER;
    if (p[DX_PATCH_P_AT_CODING] == DX_PATCH_CODING_RANGE) return DX_PATCH_ENOMEM;
    if (p[DX_PATCH_P_AT_KIND] != DX_PATCH_KIND_FLASH) return DX_PATCH_ENOTSUP;
    if (DX_PATCH_MEMCMP(p + 3, begin, sizeof begin) != 0 || n[9] || n[30]) return DX_PATCH_EVERSION;
    if (n[3] || n[5] || n[7] || n[11] || (n[2] | n[4]) >> DX_PATCH_P_FLASH_BITS)
        return DX_PATCH_EHEADER;
    if (n[8] < 256 || n[8] >> 20 > 1 || (n[8] & (n[8] - 1)) || n[10] < DX_PATCH_P_BITS_MEMORY)
        return DX_PATCH_EHEADER;
    if (n[10] > sizeof f->u_.rows_) return DX_PATCH_ENOMEM;
    if (left < n[6] || left - n[6] < n[29]) return DX_PATCH_ETRUNCATED;
    if (left - n[6] > n[29] || n[6] < 4 || n[6] >> 31) return DX_PATCH_ECORRUPT;
    f->bits_coding_ = 1;
    f->base_size_ = n[2];
    f->target_size_ = n[4];
    f->body_size_ = n[6];
    f->page_size_ = n[8];
    f->body_crc_ = n[28];
    return DX_PATCH_OK;
}
#else
static int dx_patch_p_f_header(dx_patch_flash *f)
{
    dx_patch_header h;
    int error = dx_patch_p_check_length((const uint8_t *)f->desc_.patch, f->desc_.patch_size, &h);
    if (error) return error;
    if (h.kind != DX_PATCH_KIND_FLASH) return DX_PATCH_ENOTSUP;
    if (h.memory_size > sizeof f->u_.rows_) return DX_PATCH_ENOMEM;
    if (h.body_size < 4 || h.body_size >> 31) return DX_PATCH_ECORRUPT;
    DX_PATCH_ASSERT(!((h.base_size | h.target_size) >> DX_PATCH_P_FLASH_BITS));
    f->bits_coding_ = h.coding == DX_PATCH_CODING_BITS;
    f->base_size_ = (uint32_t)h.base_size;
    f->target_size_ = (uint32_t)h.target_size;
    f->body_size_ = (uint32_t)h.body_size;
    f->page_size_ = h.block_size;
    f->body_crc_ = h.body_crc;
    return DX_PATCH_OK;
}
#endif

/* The body:  gap in pages | CRC-32C of each page of the base | of the target | stream  */
static int dx_patch_p_f_open(dx_patch_flash *f)
{
    uint32_t page_size = f->desc_.page_size, target_pages, slot_pages;
    int error = dx_patch_p_f_header(f);
    if (error) return error;
    dx_patch_p_f_check_body(f);
    if (f->error_) return f->error_;
    if (page_size > f->page_size_ || (page_size & (page_size - 1)))
        return DX_PATCH_ENOTSUP; /* it does not divide that power of two */
    f->gap_ = dx_patch_p_load32((const uint8_t *)f->desc_.patch + DX_PATCH_HEADER_SIZE);
    while (f->page_size_ >> f->bits_ > 1) f->bits_++;
    DX_PATCH_ASSERT((uint32_t)1 << f->bits_ == f->page_size_);
    f->pages_ = dx_patch_p_pages(f->base_size_, f->bits_);
    target_pages = dx_patch_p_pages(f->target_size_, f->bits_);
    f->stream_at_ = DX_PATCH_HEADER_SIZE + 4 * (1 + f->pages_ + target_pages);
    if (f->stream_at_ > DX_PATCH_HEADER_SIZE + f->body_size_) return DX_PATCH_ECORRUPT;
    if (!f->gap_ || f->gap_ > (UINT32_MAX >> f->bits_) - f->pages_) return DX_PATCH_ECORRUPT;
    slot_pages = f->pages_ + f->gap_;
    if (slot_pages < target_pages) slot_pages = target_pages;
    return f->desc_.slot_size < slot_pages << f->bits_ ? DX_PATCH_ENOSPACE : DX_PATCH_OK;
}

DX_PATCH_API int dx_patch_flash_apply(dx_patch_flash *f, const dx_patch_flash_desc *desc)
{
    const uint8_t *base_hash, *target_hash;
    bool is_base;
    if (!f || !desc || !desc->io || !desc->page_size) return DX_PATCH_EINVAL;
    if (!desc->patch) return DX_PATCH_ENOPATCH;
    DX_PATCH_MEMSET(f, 0, sizeof *f);
    f->desc_ = *desc;
    base_hash = (const uint8_t *)desc->patch + DX_PATCH_P_AT_BASE_HASH;
    target_hash = (const uint8_t *)desc->patch + DX_PATCH_P_AT_TARGET_HASH;
    f->error_ = dx_patch_p_f_open(f);
    if (!f->error_) dx_patch_p_f_decode(f, DX_PATCH_P_F_NEVER);
    if (f->error_) return f->error_;
    DX_PATCH_ASSERT(f->target_size_ <= desc->slot_size && f->base_size_ <= desc->slot_size);
    if (dx_patch_p_f_holds(f, f->target_size_, target_hash)) return DX_PATCH_EAPPLIED;
    is_base = dx_patch_p_f_holds(f, f->base_size_, base_hash);
    dx_patch_p_f_step(f, (uint64_t)f->base_size_ + f->target_size_);
    if (is_base) dx_patch_p_f_go_on(f, f->pages_, 0);
    else if (!f->error_) dx_patch_p_f_resume(f);
    if (!f->error_ && !dx_patch_p_f_holds(f, f->target_size_, target_hash))
        dx_patch_p_f_fail(f, true, DX_PATCH_ETARGET);
    DX_PATCH_ASSERT(f->error_ || f->done_ == f->total_);
    return f->error_;
}
#endif

#ifndef DX_PATCH_NO_CREATE
/* >>matches: which parts of the target are in the base ------------------------
   The target is scanned from its start, with one question at each byte: where in the base are the
   next bytes? In this order, the cheapest first:

        base    ...abcdefgh....qrstuvwx...                 1. where the last match would continue:
                   |______|    |______|                       most often right, cheapest to code
        target  abcdefgh?????qrstuvwx                      2. the index: which seeds of 8 bytes have
                match   gap  match                            the hash of the next 8?

   A match may have wrong bytes: it is extended forwards and backwards while right bytes outnumber
   wrong ones, and ends where that score was highest. A new match that overlaps the last one takes
   the part in which it has fewer wrong bytes.

   The index is a hash table of lines: 64 bytes, one memory access, with up to sixteen seeds. In a
   large base only every stride-th offset is a seed. If the base is large and there is memory for
   it, two passes find more with fewer seeds: the first one, with a coarse index, only notes which
   hashes the target looks for (wanted); the second index has all seeds that are wanted. */
#define DX_PATCH_P_SEED 8u     /* bytes under a hash */
#define DX_PATCH_P_LINE 16u    /* seeds of a line, */
#define DX_PATCH_P_LINE_USED 13u /* on average: then few lines overflow */
#define DX_PATCH_P_LOOK 128u   /* max bytes to compare of a candidate */
#define DX_PATCH_P_REACH 65536u /* max bytes per extension: so a part cut again soon is cheap */
#define DX_PATCH_P_SAME 4      /* bytes that a match must save if it continues the last one, */
#define DX_PATCH_P_OTHER 14    /* if it is elsewhere, */
#define DX_PATCH_P_FAR 32      /* and if the base is large, because elsewhere then costs more */
#define DX_PATCH_P_WRONG_MAX 8 /* with more wrong bytes within LOOK a match may be worth leaving */
/* Bits of `wanted`, few enough for a cache. */
#define DX_PATCH_P_WANTED ((size_t)1 << (sizeof(size_t) > 2 ? 21 : 14))
#define DX_PATCH_P_DROP 48     /* give up an extension whose score falls this far below its best */

typedef struct dx_patch_p_match {
    uint64_t new_at;
    uint64_t old_at;
    uint64_t size;
} dx_patch_p_match;

typedef struct dx_patch_p_finder {
    const uint8_t *base;
    const uint8_t *target;
    size_t base_size;
    size_t target_size;
    size_t stride;    /* seeds are at multiples of it */
    uint32_t *lines;  /* seeds: old offset / stride + 1; above it (mask) more of the hash */
    size_t line_count;
    size_t line_max;  /* max lines in the memory */
    uint64_t *wanted; /* bits, by hash: what the first pass looked for; or NULL */
    size_t wanted_count; /* bits that are set */
    dx_patch_p_match *matches; /* with room for one before the first */
    size_t match_count;
    size_t match_capacity;
    size_t extend_max; /* max bytes of an extension */
    uint64_t work;     /* bytes compared by extensions */
    uint32_t depth;    /* max candidates to compare */
    uint32_t mask;     /* bits of an offset in lines */
    bool open;         /* the last match ended where extending it stopped, so it may continue */
} dx_patch_p_finder;

/* The hash of the seed at p. */
static uint64_t dx_patch_p_seed(const uint8_t *p)
{
    uint64_t h = dx_patch_p_load64(p) * 0x9e3779b97f4a7c15u;
    return (h ^ h >> 29) * 0xbf58476d1ce4e5b9u;
}

static uint32_t *dx_patch_p_line(const dx_patch_p_finder *f, uint64_t hash)
{
    DX_PATCH_ASSERT(f->line_count > 0);
    return f->lines + DX_PATCH_P_LINE * (size_t)((hash >> 32) * f->line_count >> 32);
}

/* Does the target look for seeds of this hash? note: record that it does. */
static bool dx_patch_p_wanted(const dx_patch_p_finder *f, uint64_t hash, bool note)
{
    uint64_t *word = f->wanted + (hash >> 6 & (DX_PATCH_P_WANTED / 64 - 1));
    uint64_t was = *word, bit = (uint64_t)1 << (hash & 63);
    DX_PATCH_ASSERT(f->wanted);
    if (note) *word |= bit;
    return (was & bit) != 0;
}

/* Index the first sixteen seeds of each line; unless `all`, those that the target looks for and a
   few others. Seeds are taken 64 at a time: their lines are prefetched while others are hashed, and
   counting along the whole line needs no branches. */
static void dx_patch_p_index(dx_patch_p_finder *f, bool all)
{
    size_t at = 0, i, n, count = 0, seeds_max;
    uint64_t hashes[64];
    uint32_t seeds[64], *line, k, used;
    DX_PATCH_ASSERT(f->stride > 0 && (all || f->wanted));
    if (f->base_size >= DX_PATCH_P_SEED) count = (f->base_size - DX_PATCH_P_SEED) / f->stride + 1;
    seeds_max = count;
    if (!all) {
        seeds_max = f->base_size / 16 + (count / DX_PATCH_P_WANTED + 1) * f->wanted_count;
        if (seeds_max > count) seeds_max = count;
    }
    f->line_count = seeds_max / DX_PATCH_P_LINE_USED + 1;
    DX_PATCH_ASSERT(f->line_count <= f->line_max);
    DX_PATCH_MEMSET(f->lines, 0, 4 * DX_PATCH_P_LINE * f->line_count);
    for (f->mask = 0; f->mask < count;) f->mask = 2 * f->mask + 1;
    while (at < count) {
        for (n = 0; n < 64 && at < count; at++) {
            uint64_t hash = dx_patch_p_seed(f->base + at * f->stride);
            hashes[n] = hash;
            seeds[n] = (uint32_t)(at + 1) | ((uint32_t)(hash & UINT32_MAX) & ~f->mask);
            n += all || !(at * f->stride & 15) || dx_patch_p_wanted(f, hash, false);
        }
        for (i = 0; i < n; i++) DX_PATCH_P_PREFETCH(dx_patch_p_line(f, hashes[i]));
        for (i = 0; i < n; i++) {
            line = dx_patch_p_line(f, hashes[i]);
            used = 0;
            for (k = 0; k < DX_PATCH_P_LINE; k++) used += line[k] ? 1u : 0u;
            if (used < DX_PATCH_P_LINE) line[used] = seeds[i];
        }
    }
}

/* Length of the match of a and b: up to the highest score, with +1 for a right byte and -1 for a
   wrong one. *gain gets that score; *dropped: extending stopped before the end of the bytes. */
static size_t dx_patch_p_extend(const uint8_t *a, const uint8_t *b, size_t size, bool back,
                                long *gain, bool *dropped)
{
    size_t i = 0, best = 0, same;
    long score = 0;
    DX_PATCH_ASSERT(size == 0 || (a && b));
    *gain = 0;
    while (i < size && score >= *gain - DX_PATCH_P_DROP) {
        same = 0;
        if (back)
            while (i + same < size && *(a - i - same - 1) == *(b - i - same - 1)) same++;
        else same = dx_patch_p_same(a + i, b + i, size - i);
        i += same;
        score += (long)same;
        if (score > *gain) {
            *gain = score;
            best = i;
        }
        i++; /* the wrong byte */
        score--;
    }
    *dropped = i < size;
    DX_PATCH_ASSERT(best <= size);
    return best;
}

/* Cut the last match where the next one, which overlaps it, becomes better. */
static void dx_patch_p_cut(const dx_patch_p_finder *f, dx_patch_p_match *last,
                           dx_patch_p_match *next)
{
    uint64_t end = last->new_at + last->size, i, best = 0;
    uint64_t overlap = end - next->new_at < next->size ? end - next->new_at : next->size;
    uint64_t ahead = next->new_at - last->new_at; /* offset of next in last */
    long score = 0, top = 0;
    DX_PATCH_ASSERT(last->new_at <= next->new_at && next->new_at < end);
    for (i = 0; i < overlap; i++) {
        uint8_t byte = f->target[next->new_at + i];
        score += f->base[last->old_at + ahead + i] == byte;
        score -= f->base[next->old_at + i] == byte;
        if (score > top) {
            top = score;
            best = i + 1;
        }
    }
    DX_PATCH_ASSERT(best <= overlap);
    last->size = ahead + best;
    next->new_at += best;
    next->old_at += best;
    next->size -= best;
}

/* Bytes that can be compared at these places, at most size_max. */
static size_t dx_patch_p_reach(const dx_patch_p_finder *f, size_t new_at, size_t old_at,
                               size_t size_max)
{
    size_t room = f->target_size - new_at;
    DX_PATCH_ASSERT(new_at <= f->target_size && old_at <= f->base_size);
    if (room > f->base_size - old_at) room = f->base_size - old_at;
    return room < size_max ? room : size_max;
}

/* Extend the last match until it ends for good, or well beyond target byte i. */
static void dx_patch_p_lengthen(dx_patch_p_finder *f, size_t i)
{
    dx_patch_p_match *last = f->matches + f->match_count - 1;
    while (f->match_count && f->open && i + DX_PATCH_P_LOOK > last->new_at + last->size) {
        size_t new_at = (size_t)(last->new_at + last->size);
        size_t old_at = (size_t)(last->old_at + last->size);
        size_t more = dx_patch_p_reach(f, new_at, old_at, f->extend_max);
        DX_PATCH_ASSERT(last->new_at + last->size <= f->target_size);
        bool dropped;
        long gain;
        more = dx_patch_p_extend(f->target + new_at, f->base + old_at, more, false, &gain,
                                 &dropped);
        last->size += more;
        f->open = more && !dropped;
    }
}

/* Add a match after the last one; if they overlap, both are cut. */
static bool dx_patch_p_add_match(dx_patch_p_finder *f, dx_patch_p_match *c, size_t new_at)
{
    dx_patch_p_match *last = f->match_count ? f->matches + f->match_count - 1 : NULL;
    if (last && c->new_at < last->new_at + last->size) {
        dx_patch_p_match shorter = *last;
        dx_patch_p_cut(f, &shorter, c);
        if (c->size < 12 || c->new_at > new_at + 8 * DX_PATCH_P_LOOK) return false;
        if (shorter.size) *last = shorter;
        else f->match_count--;
    }
    DX_PATCH_ASSERT(f->match_count < f->match_capacity);
    f->matches[f->match_count++] = *c;
    return true;
}

/* Extend the match at (new_at, old_at), and take it if it saves enough bytes. */
static bool dx_patch_p_accept(dx_patch_p_finder *f, size_t new_at, size_t old_at, long gain_min)
{
    dx_patch_p_match c, *last = f->match_count ? f->matches + f->match_count - 1 : NULL;
    const uint8_t *p = f->target + new_at, *q = f->base + old_at;
    size_t back = last ? new_at - (size_t)last->new_at : new_at;
    size_t front = dx_patch_p_reach(f, new_at, old_at, f->extend_max);
    long gain, gain_back;
    bool dropped, ended;
    DX_PATCH_ASSERT(!last || new_at >= last->new_at);
    front = dx_patch_p_extend(p, q, front, false, &gain, &dropped);
    if (back > old_at) back = old_at;
    if (back > f->extend_max) back = f->extend_max;
    back = dx_patch_p_extend(p, q, back, true, &gain_back, &ended);
    f->work += front + 8 * back;
    if (gain + gain_back < gain_min) return false;
    c.new_at = new_at - back;
    c.old_at = old_at - back;
    c.size = front + back;
    if (last && c.new_at <= last->new_at + last->size &&
        c.old_at - c.new_at == last->old_at - last->new_at) { /* it continues the last one */
        if (c.new_at + c.size > last->new_at + last->size)
            last->size = c.new_at + c.size - last->new_at;
    } else if (!dx_patch_p_add_match(f, &c, new_at)) {
        return false;
    }
    f->open = !dropped;
    return true;
}

/* Count mismatches of the next bytes under the last match, which ends at `end`; bytes beyond its
   end count as such. Above 8 the count is only known to be more than 8. */
static size_t dx_patch_p_wrong(const dx_patch_p_finder *f, size_t i, size_t end, size_t size)
{
    const dx_patch_p_match *last = f->matches + f->match_count - 1;
    const uint8_t *p = f->target + i, *q = f->base + (size_t)(last->old_at + (i - last->new_at));
    size_t at = 0, count = size > end - i ? size - (end - i) : 0;
    DX_PATCH_ASSERT(f->match_count && i >= last->new_at && i < end);
    size -= count;
    for (; count <= DX_PATCH_P_WRONG_MAX; count++) {
        at += dx_patch_p_same(p + at, q + at, size - at);
        if (at == size) break;
        at++;
    }
    return count;
}

/* Find the seed that matches most bytes from target byte i on. False: none, or the last match
   is good enough. */
static bool dx_patch_p_lookup(const dx_patch_p_finder *f, size_t i, size_t end, size_t *old_at,
                              size_t *size)
{
    uint64_t hash = dx_patch_p_seed(f->target + i);
    uint32_t depth = i > end + 8192 ? 1 : f->depth; /* far from any match: be quick */
    uint32_t k, *line = dx_patch_p_line(f, hash);
    DX_PATCH_ASSERT(f->target_size - i >= DX_PATCH_P_SEED);
    if (f->target_size - i > 32)
        DX_PATCH_P_PREFETCH(dx_patch_p_line(f, dx_patch_p_seed(f->target + i + 16)));
    *size = 0;
    for (k = 0; k < DX_PATCH_P_LINE && line[k] && depth; k++) {
        size_t from, same;
        if ((line[k] ^ hash) & ~f->mask) continue; /* another hash */
        from = ((line[k] & f->mask) - 1) * f->stride;
        same = dx_patch_p_reach(f, i, from, DX_PATCH_P_LOOK);
        same = dx_patch_p_same(f->target + i, f->base + from, same);
        if (same > *size) {
            *size = same;
            *old_at = from;
        }
        if (same == DX_PATCH_P_LOOK) break;
        depth--;
    }
    if (*size < DX_PATCH_P_SEED) return false;
    DX_PATCH_ASSERT(*old_at < f->base_size);
    return i >= end || dx_patch_p_wrong(f, i, end, *size) > DX_PATCH_P_WRONG_MAX;
}

/* How many bytes from target byte i on are right where the last match continues. */
static size_t dx_patch_p_go_on(dx_patch_p_finder *f, size_t i, size_t *old_at)
{
    const dx_patch_p_match *last = f->matches + f->match_count - 1;
    size_t run;
    DX_PATCH_ASSERT(!f->match_count || i >= last->new_at);
    *old_at = f->match_count ? (size_t)(last->old_at + (i - last->new_at)) : f->base_size;
    if (*old_at >= f->base_size) return 0;
    run = dx_patch_p_reach(f, i, *old_at, SIZE_MAX);
    return run ? dx_patch_p_same(f->target + i, f->base + *old_at, run) : 0;
}

/* Find all matches. first: the pass that notes which seeds are wanted. False: too many are, so an
   index of all is best. */
static bool dx_patch_p_find(dx_patch_p_finder *f, bool first)
{
    size_t i = 0, old_at = 0, size = 0, run, end;
    size_t lost = 0; /* failed look-ups in a row */
    long gain_min = f->base_size >> 10 < 1024 ? DX_PATCH_P_OTHER : DX_PATCH_P_FAR;
    DX_PATCH_ASSERT(f->match_capacity > 0 && f->depth > 0);
    dx_patch_p_index(f, first || !f->wanted);
    f->match_count = 0;
    f->work = 0;
    while (f->target_size >= DX_PATCH_P_SEED && i <= f->target_size - DX_PATCH_P_SEED) {
        const dx_patch_p_match *last = f->matches + f->match_count - 1;
        if (f->match_count && i < last->new_at) i = (size_t)last->new_at;
        /* Bytes that are extended over again and again must not take more than linear time. */
        f->extend_max = f->work > 16 * ((uint64_t)i + 65536) ? 64 : DX_PATCH_P_REACH;
        dx_patch_p_lengthen(f, i);
        if (f->match_count == f->match_capacity || f->target_size - i < DX_PATCH_P_SEED) break;
        end = f->match_count ? (size_t)(last->new_at + last->size) : 0;
        run = dx_patch_p_go_on(f, i, &old_at);
        if (i < end ? run >= DX_PATCH_P_SEED
                    : run >= 6 && dx_patch_p_accept(f, i, old_at, DX_PATCH_P_SAME)) {
            i += run;
            continue;
        }
        run = i < end ? dx_patch_p_wrong(f, i, end, DX_PATCH_P_LOOK) : DX_PATCH_P_WRONG_MAX + 1;
        if (run <= DX_PATCH_P_WRONG_MAX) { /* no other place can be that much better */
            i += DX_PATCH_P_WRONG_MAX + 1 - run;
            continue;
        }
        if (first && !dx_patch_p_wanted(f, dx_patch_p_seed(f->target + i), true)) {
            f->wanted_count++;
            if (f->wanted_count > 32768 + i / 64) return false;
        }
        if (f->base_size >= DX_PATCH_P_SEED && dx_patch_p_lookup(f, i, end, &old_at, &size) &&
            dx_patch_p_accept(f, i, old_at, gain_min)) {
            i += size;
            lost = 0;
        } else { /* perhaps there is nothing to find: larger steps */
            i += i > end + 65536 ? 8 : 1 + 2 * (lost / 64);
            lost += f->depth < 2 && lost < 191;
        }
    }
    dx_patch_p_lengthen(f, f->target_size); /* a run may have reached the end */
    return true;
}

/* Approximate cost of differences of 32-bit numbers, in bits. */
static uint64_t dx_patch_p_numbers_cost(const uint8_t *old, const uint8_t *now, uint64_t size)
{
    uint64_t at, cost = 0, d;
    DX_PATCH_ASSERT(old && now);
    for (at = 0; at + 4 <= size; at += 4) {
        d = (uint64_t)dx_patch_p_load32(now + at) - dx_patch_p_load32(old + at);
        cost += 3; /* of its length */
        for (d = dx_patch_p_zigzag(d); d; d >>= 1) cost++;
    }
    return cost;
}

/* Numbers that changed a little, between matches on one diagonal, are not literals:
   join the matches. */
static void dx_patch_p_join_numbers(dx_patch_p_finder *f)
{
    size_t i, kept = 0;
    for (i = 1; i < f->match_count; i++) {
        dx_patch_p_match *last = f->matches + kept, *c = f->matches + i;
        uint64_t end = last->new_at + last->size, gap = c->new_at - end;
        const uint8_t *p = f->base + last->old_at + last->size;
        bool same = c->new_at - c->old_at == last->new_at - last->old_at;
        DX_PATCH_ASSERT(c->new_at >= end);
        if (same && gap >= 64 && dx_patch_p_numbers_cost(p, f->target + end, gap) < 6 * gap)
            last->size += gap + c->size;
        else f->matches[++kept] = *c;
    }
    if (f->match_count) f->match_count = kept + 1;
}

/* >>segments: where a program lies in memory -----------------------------------
   Addresses in code and data are those of the running program; the headers of its file map them to
   file offsets. Four formats are recognised by their magic (that of a PE is at the offset in bytes
   60 to 63, after a DOS program), and have a table of segments or sections:

        header:   | magic .. where the table is .. how many entries |      at byte `start`
        table:    | type, offset, address, size in file, in memory  | ..   `entry_size` bytes each

   All are little-endian. Segments only improve predictions, so they are not verified: the only
   check is that the table lies inside the file. */
typedef struct dx_patch_p_format {
    char magic[8];
    uint8_t magic_size;
    uint8_t word;        /* bytes of an offset, an address, a size */
    uint8_t count_at;    /* in the header: number of entries, two bytes */
    uint8_t table_at;    /* in the header: offset of the table, */
    uint8_t table_size;  /* its size in bytes (0: the table follows the header), */
    uint8_t table_fixed; /* and bytes to add to it */
    uint8_t entry_size;  /* 0: bytes 4 to 7 of an entry have it */
    uint8_t type;        /* of the entries that are used; 0: all */
    uint8_t offset_at;   /* in an entry */
    uint8_t address_at;
    uint8_t size_at;
    uint8_t memory_at;
} dx_patch_p_format;

/* ELF of 64 and 32 bits: program headers of type 1, PT_LOAD. PE: sections. Mach-O of 64 bits: load
   commands of type 25, LC_SEGMENT_64. */
static const dx_patch_p_format dx_patch_p_formats[4] = {
    /* magic                 word count  table         entry type  offset address size memory */
    {"\177ELF\2\1",      6, 8,   56,    32, 8, 0,     56,   1,     8,  16, 32, 40},
    {"\177ELF\1\1",      6, 4,   44,    28, 4, 0,     32,   1,     4,  8,  16, 20},
    {"PE\0\0",           4, 4,   6,     20, 2, 24,    40,   0,     20, 12, 16, 8},
    {"\317\372\355\376", 4, 8,   16,    0,  0, 32,    0,    25,    40, 24, 48, 32}};
#define DX_PATCH_P_HEADER_MIN 64u /* min bytes of a file with such headers */
#define DX_PATCH_P_ENTRY_MIN 56u  /* bytes of an entry that may be read */
#define DX_PATCH_P_EH_FRAME 0x6474e550u /* PT_GNU_EH_FRAME: its addresses are relative to itself */

static uint64_t dx_patch_p_load_word(const uint8_t *p, uint32_t size)
{
    DX_PATCH_ASSERT(size <= 8);
    return size ? dx_patch_p_load_field(p, DX_PATCH_P_FORM_PLAIN, size) : 0;
}

/* Add a segment to the setup, or extend the last one if this one continues it. */
static void dx_patch_p_add_segment(uint64_t *setup, const uint64_t segment[4])
{
    uint64_t count = setup[DX_PATCH_P_SETUP_COUNT];
    uint64_t *to = setup + DX_PATCH_P_SETUP_SEGMENT + DX_PATCH_P_SEG_WORDS * count;
    uint64_t *last = to - DX_PATCH_P_SEG_WORDS; /* if there is one */
    uint64_t offset = segment[DX_PATCH_P_SEG_OFFSET], address = segment[DX_PATCH_P_SEG_ADDRESS];
    DX_PATCH_ASSERT(count < DX_PATCH_P_SEGMENTS);
    if (count && offset >= last[DX_PATCH_P_SEG_OFFSET] &&
        address - offset == last[DX_PATCH_P_SEG_ADDRESS] - last[DX_PATCH_P_SEG_OFFSET] &&
        last[DX_PATCH_P_SEG_SIZE] == last[DX_PATCH_P_SEG_MEMORY]) {
        uint64_t further = offset - last[DX_PATCH_P_SEG_OFFSET];
        last[DX_PATCH_P_SEG_SIZE] = further + segment[DX_PATCH_P_SEG_SIZE];
        last[DX_PATCH_P_SEG_MEMORY] = further + segment[DX_PATCH_P_SEG_MEMORY];
        return;
    }
    DX_PATCH_MEMCPY(to, segment, DX_PATCH_P_SEG_WORDS * sizeof *to);
    if (address || segment[DX_PATCH_P_SEG_SIZE]) /* skips __PAGEZERO */
        setup[DX_PATCH_P_SETUP_COUNT] = count + 1;
}

/* Read the segments from the headers that start at byte `start` of the file. */
static void dx_patch_p_read_segments(const dx_patch_p_format *f, const uint8_t *p, size_t size,
                                     uint64_t start, uint64_t *setup)
{
    uint32_t pe64 = p[start + 25] == 2 ? 4 : 0; /* a 64-bit PE has a wider image base */
    uint64_t image = 0, left = dx_patch_p_load_word(p + start + f->count_at, 2), at = start;
    DX_PATCH_ASSERT(start <= size && size - start >= DX_PATCH_P_HEADER_MIN);
    if (!f->type) image = dx_patch_p_load_word(p + start + 52 - pe64, 4 + pe64);
    at += f->table_fixed + dx_patch_p_load_word(p + start + f->table_at, f->table_size);
    setup[DX_PATCH_P_SETUP_ORIGIN] = image;
    for (; left && at <= size && size - at >= DX_PATCH_P_ENTRY_MIN; left--) {
        const uint8_t *entry = p + at;
        uint32_t type = dx_patch_p_load32(entry);
        uint64_t segment[DX_PATCH_P_SEG_WORDS];
        at += f->entry_size ? f->entry_size : dx_patch_p_load32(entry + 4);
        if (type == DX_PATCH_P_EH_FRAME)
            setup[DX_PATCH_P_SETUP_ORIGIN] = dx_patch_p_load_word(entry + f->address_at, f->word);
        if (f->type && type != f->type) continue;
        if (setup[DX_PATCH_P_SETUP_COUNT] == DX_PATCH_P_SEGMENTS) continue;
        segment[DX_PATCH_P_SEG_OFFSET] = dx_patch_p_load_word(entry + f->offset_at, f->word);
        segment[DX_PATCH_P_SEG_ADDRESS] =
            image + dx_patch_p_load_word(entry + f->address_at, f->word);
        segment[DX_PATCH_P_SEG_SIZE] = dx_patch_p_load_word(entry + f->size_at, f->word);
        segment[DX_PATCH_P_SEG_MEMORY] = dx_patch_p_load_word(entry + f->memory_at, f->word);
        dx_patch_p_add_segment(setup, segment);
    }
}

/* The setup of a file; one without headers is a single segment at address 0. False: no headers. */
static bool dx_patch_p_find_segments(const uint8_t *p, size_t size, uint64_t *setup)
{
    const dx_patch_p_format *f = dx_patch_p_formats, *end = f + 4;
    uint64_t start = 0;
    setup[DX_PATCH_P_SETUP_COUNT] = 0;
    setup[DX_PATCH_P_SETUP_ORIGIN] = 0;
    if (size >= DX_PATCH_P_HEADER_MIN) {
        if (p[0] == 'M' && p[1] == 'Z') start = dx_patch_p_load32(p + 60);
        if (start <= size - DX_PATCH_P_HEADER_MIN) {
            while (f < end && DX_PATCH_MEMCMP(p + start, f->magic, f->magic_size) != 0) f++;
            if (f < end) dx_patch_p_read_segments(f, p, size, start, setup);
        }
    }
    DX_PATCH_ASSERT(setup[DX_PATCH_P_SETUP_COUNT] <= DX_PATCH_P_SEGMENTS);
    if (setup[DX_PATCH_P_SETUP_COUNT]) return true;
    setup[DX_PATCH_P_SETUP_COUNT] = 1;
    setup[DX_PATCH_P_SETUP_SEGMENT + DX_PATCH_P_SEG_SIZE] = size;
    setup[DX_PATCH_P_SETUP_SEGMENT + DX_PATCH_P_SEG_MEMORY] = size;
    return false;
}

#define DX_PATCH_P_CODES 144u /* codes of numbers */
#if SIZE_MAX > 65535 /* smaller machines make no streams: their lists would not fit */
  #define DX_PATCH_P_MAKES_STREAMS
#endif
#ifdef DX_PATCH_P_MAKES_STREAMS
/* >>streammaker: streams, written ------------------------------------------------
   The form of a stream is chosen by price: all are estimated, the cheapest is written. Prices are
   integers, in sixteenths of a bit, so that they are the same on every machine. */
typedef struct dx_patch_p_sink { /* where bytes and bits are written */
    uint8_t *start;
    uint8_t *at;
    uint8_t *end;
    uint64_t held; /* bits waiting for a whole byte, the first one lowest */
    uint32_t count;
    bool full; /* out of room; nothing was written beyond the end */
} dx_patch_p_sink;

/* Writers need not check for room: `full` is checked once, after everything is written. */
static void dx_patch_p_sink_byte(dx_patch_p_sink *s, uint32_t byte)
{
    DX_PATCH_ASSERT(byte < 256);
    if (s->at == s->end) s->full = true;
    else *s->at++ = (uint8_t)byte;
}

static void dx_patch_p_sink_bytes(dx_patch_p_sink *s, const uint8_t *p, size_t size)
{
    DX_PATCH_ASSERT(!s->count); /* or pending bits would be written after these bytes */
    if (size > (size_t)(s->end - s->at)) {
        s->full = true;
        return;
    }
    if (size) DX_PATCH_MEMMOVE(s->at, p, size);
    s->at += size;
}

static void dx_patch_p_sink_number(dx_patch_p_sink *s, uint64_t v)
{
    DX_PATCH_ASSERT(!s->count);
    for (; v > 127; v >>= 7) dx_patch_p_sink_byte(s, (uint32_t)(v & 127) | 128u);
    dx_patch_p_sink_byte(s, (uint32_t)v);
}

static void dx_patch_p_sink_bits(dx_patch_p_sink *s, uint32_t v, uint32_t count)
{
    DX_PATCH_ASSERT(count <= 32 && s->count < 8);
    s->held |= (v & (((uint64_t)1 << count) - 1)) << s->count;
    for (s->count += count; s->count >= 8; s->count -= 8) {
        dx_patch_p_sink_byte(s, (uint32_t)(s->held & 255));
        s->held >>= 8;
    }
}

/* Write the last bits as a byte. */
static void dx_patch_p_sink_end(dx_patch_p_sink *s)
{
    if (s->count) dx_patch_p_sink_byte(s, (uint32_t)(s->held & 255));
    s->held = 0;
    s->count = 0;
}

/* Length of a number in bits; 0 for 0. */
static uint32_t dx_patch_p_length(uint64_t v)
{
    uint32_t bits = 0;
#ifdef __GNUC__
    if (v) bits = 64 - (uint32_t)__builtin_clzll(v);
#else
    for (; v; v >>= 1) bits++;
#endif
    return bits;
}

/* log2(v) in sixteenths, v >= 1: each squaring gives one binary digit. */
static uint32_t dx_patch_p_log2(uint32_t v)
{
    uint32_t log = dx_patch_p_length(v) - 1, i;
    uint64_t part = (uint64_t)v << (31 - log); /* 1 <= part / 2^31 < 2 */
    DX_PATCH_ASSERT(v > 0);
    for (i = 0; i < 4; i++) {
        part = part * part >> 31;
        log = log << 1 | (uint32_t)(part >> 32);
        part >>= part >> 32;
    }
    DX_PATCH_ASSERT(part >> 31 == 1);
    return log;
}

typedef struct dx_patch_p_table { /* of rANS, for the writer */
    uint32_t counts[256];
    uint16_t slots[256];
    uint16_t starts[256];
    uint32_t log;
    uint32_t top; /* the byte with most slots */
} dx_patch_p_table;

/* Distribute the slots. A slot count has at most four significant bits, because more would cost
   more than they save. The most frequent byte gets the rest, which must not be too little. */
static bool dx_patch_p_share_slots(dx_patch_p_table *t, uint32_t size)
{
    uint32_t total = (uint32_t)1 << t->log, used = 0, s, largest, length;
    t->top = 0;
    for (s = 0; s < 256; s++) {
        if (t->counts[s] > t->counts[t->top]) t->top = s;
        used += t->counts[s] > 0;
    }
    if (used > total / 2) return false;
    used = 0;
    for (s = 0; s < 256; s++) {
        uint64_t part = ((uint64_t)t->counts[s] * total + size / 2) / size;
        t->slots[s] = 0;
        if (!t->counts[s] || s == t->top) continue;
        if (part < 1) part = 1;
        length = dx_patch_p_length(part);
        if (length > 4) part = (part + (1u << (length - 5))) >> (length - 4) << (length - 4);
        t->slots[s] = (uint16_t)part;
        used += (uint32_t)part;
    }
    while (used >= total) { /* rounding up took too many */
        largest = t->top ? 0 : 1;
        for (s = 0; s < 256; s++)
            if (s != t->top && t->slots[s] > t->slots[largest]) largest = s;
        length = dx_patch_p_length(t->slots[largest]);
        DX_PATCH_ASSERT(length > 1); /* or more bytes would be in use than slots */
        s = length > 4 ? (uint32_t)1 << (length - 4) : 1;
        t->slots[largest] = (uint16_t)(t->slots[largest] - s);
        used -= s;
    }
    t->slots[t->top] = (uint16_t)(total - used);
    for (s = 0, used = 0; s < 256; s++) {
        t->starts[s] = (uint16_t)used;
        used += t->slots[s];
    }
    DX_PATCH_ASSERT(used == total);
    return true;
}

static void dx_patch_p_count_bytes(dx_patch_p_table *t, const uint8_t *p, size_t size)
{
    size_t i;
    DX_PATCH_ASSERT(p || !size);
    DX_PATCH_MEMSET(t->counts, 0, sizeof t->counts);
    for (i = 0; i < size; i++) t->counts[p[i]]++;
}

static void dx_patch_p_put_table(dx_patch_p_sink *sink, const dx_patch_p_table *t)
{
    uint32_t s = 0, count = 256, last = 1, none, length, known, change;
    while (count && (count - 1 == t->top || !t->slots[count - 1])) count--;
    DX_PATCH_ASSERT(t->slots[t->top] > 0 && t->log >= DX_PATCH_P_TABLE_MIN);
    dx_patch_p_sink_bits(sink, t->top, 8);
    dx_patch_p_sink_bits(sink, t->log - DX_PATCH_P_TABLE_MIN, 3);
    dx_patch_p_sink_bits(sink, count, 9);
    while (s < count) {
        if (s == t->top) {
            s++;
            continue;
        }
        length = dx_patch_p_length(t->slots[s]);
        if (!length) {
            for (none = 0; s < count && (s == t->top || !t->slots[s]); s++) none++;
            change = dx_patch_p_length(none) - 1;
            dx_patch_p_sink_bits(sink, 3, 2);
            dx_patch_p_sink_bits(sink, ((uint32_t)1 << change) - 1, change + 1);
            dx_patch_p_sink_bits(sink, none, change);
            continue;
        }
        change = length > last ? length - last : last - length;
        if (!change) dx_patch_p_sink_bits(sink, 0, 1);
        else dx_patch_p_sink_bits(sink, 1 | (length < last ? 4u : 0u), 3);
        if (change) dx_patch_p_sink_bits(sink, ((uint32_t)1 << (change - 1)) - 1, change);
        known = length - 1 < 3 ? length - 1 : 3;
        DX_PATCH_ASSERT(!(t->slots[s] & ((1u << (length - 1 - known)) - 1))); /* not coded */
        dx_patch_p_sink_bits(sink, (uint32_t)t->slots[s] >> (length - 1 - known), known);
        last = length;
        s++;
    }
    dx_patch_p_sink_end(sink);
}

/* Price of the bytes with their slots; that of the table is approximate. */
static uint64_t dx_patch_p_table_price(const dx_patch_p_table *t)
{
    uint64_t price = 16 * 56; /* the fixed parts of a block */
    uint32_t s, none = 0;
    for (s = 0; s < 256; s++) {
        if (t->counts[s]) {
            DX_PATCH_ASSERT(t->slots[s] > 0);
            price += (uint64_t)t->counts[s] * (16 * t->log - dx_patch_p_log2(t->slots[s])) + 16 * 4;
            price += none ? 16 * 5 : 0;
            none = 0;
        } else {
            none++;
        }
    }
    return price;
}

/* Written backwards from the end of the sink's room, because the reader decodes in reverse order;
   then moved into place. */
static void dx_patch_p_put_rans(dx_patch_p_sink *sink, const dx_patch_p_table *t, const uint8_t *p,
                                size_t size)
{
    uint32_t x[DX_PATCH_P_STATES], k;
    uint32_t states = size < DX_PATCH_P_STATES_MIN ? 1 : DX_PATCH_P_STATES;
    uint8_t *to = sink->end, *to_min;
    size_t i = size, payload;
    if ((size_t)(sink->end - sink->at) < 4 * (size_t)states + 16) {
        sink->full = true;
        return;
    }
    to_min = sink->at + 4 * (size_t)states + 16;
    for (k = 0; k < DX_PATCH_P_STATES; k++) x[k] = DX_PATCH_P_STATE_MIN;
    while (i-- > 0) {
        uint32_t *one = x + i % states, slots = t->slots[p[i]];
        DX_PATCH_ASSERT(slots > 0);
        if (*one >= (uint64_t)slots << (32 - t->log)) { /* the next state would not fit */
            if (to - to_min < 2) {
                sink->full = true;
                return;
            }
            to -= 2;
            to[0] = (uint8_t)(*one & 255);
            to[1] = (uint8_t)(*one >> 8 & 255);
            *one >>= 16;
        }
        *one = ((*one / slots) << t->log) + *one % slots + t->starts[p[i]];
    }
    payload = (size_t)(sink->end - to);
    dx_patch_p_sink_number(sink, payload + 4 * (size_t)states);
    for (k = 0; k < states; k++) {
        uint8_t bytes[4];
        dx_patch_p_store32(bytes, x[k]);
        dx_patch_p_sink_bytes(sink, bytes, 4);
    }
    DX_PATCH_ASSERT(sink->at <= to); /* the states do not reach the payload */
    dx_patch_p_sink_bytes(sink, to, payload);
}

/* The best coding of the bytes: blocks of 1 << *chunk bytes, tables of 1 << *log slots. Returns its
   price. Small tables may have too few slots for all byte values; the largest has enough. */
static uint64_t dx_patch_p_coded_price(dx_patch_p_table *t, const uint8_t *p, size_t size,
                                       uint32_t *chunk, uint32_t *log)
{
    static const uint8_t logs[3] = {12, 10, 8};
    uint64_t best = UINT64_MAX;
    uint32_t c, k;
    DX_PATCH_ASSERT(size > 0);
    for (c = DX_PATCH_P_CHUNK_MAX; c >= 15; c -= 2) {
        uint64_t prices[3] = {0, 0, 0};
        size_t at = 0, part;
        for (; at < size; at += part) {
            part = size - at < (size_t)1 << c ? size - at : (size_t)1 << c;
            dx_patch_p_count_bytes(t, p + at, part);
            for (k = 0; k < 3; k++) {
                t->log = logs[k];
                if (!dx_patch_p_share_slots(t, (uint32_t)part)) prices[k] = UINT64_MAX / 2;
                else prices[k] += dx_patch_p_table_price(t);
            }
        }
        for (k = 0; k < 3; k++) {
            if (prices[k] >= best || prices[k] >= UINT64_MAX / 2) continue;
            best = prices[k];
            *chunk = c;
            *log = logs[k];
        }
        if (size >> c == 0 && size >> (c - 2) == 0) break; /* a single block in either case */
    }
    DX_PATCH_ASSERT(best < UINT64_MAX / 2);
    return best;
}

/* RAW, RUN or CODED, whichever is smallest. */
static void dx_patch_p_put_plain(dx_patch_p_sink *sink, const uint8_t *p, size_t size)
{
    dx_patch_p_table t;
    size_t i = 1, at, part;
    uint32_t chunk = DX_PATCH_P_CHUNK_MAX, log = DX_PATCH_P_TABLE_MAX;
    uint64_t price = UINT64_MAX;
    while (i < size && p[i] == p[0]) i++;
    DX_PATCH_ASSERT(p || !size);
    if (size > 1 && i == size) {
        dx_patch_p_sink_number(sink, 4 * (uint64_t)size + DX_PATCH_P_STREAM_RUN);
        dx_patch_p_sink_byte(sink, p[0]);
        return;
    }
    if (size >= 16) price = dx_patch_p_coded_price(&t, p, size, &chunk, &log);
    if (price / 128 + 4 >= size - size / 64) { /* not worth the decoding time */
        dx_patch_p_sink_number(sink, 4 * (uint64_t)size + DX_PATCH_P_STREAM_RAW);
        dx_patch_p_sink_bytes(sink, p, size);
        return;
    }
    dx_patch_p_sink_number(sink, 4 * (uint64_t)size + DX_PATCH_P_STREAM_CODED);
    dx_patch_p_sink_byte(sink, chunk);
    for (at = 0; at < size; at += part) {
        bool shared;
        part = size - at < (size_t)1 << chunk ? size - at : (size_t)1 << chunk;
        dx_patch_p_count_bytes(&t, p + at, part);
        t.log = log;
        shared = dx_patch_p_share_slots(&t, (uint32_t)part);
        DX_PATCH_ASSERT(shared); /* coded_price() shared the same blocks */
        (void)shared;
        dx_patch_p_put_table(sink, &t);
        dx_patch_p_put_rans(sink, &t, p + at, part);
    }
}

/* >>copymaker: copies, chosen by price ------------------------------------------
   A shortest-path search: from each place in the target, literals and copies lead to later places,
   and only the cheapest way to each place is kept.

        target     t   h   e   q   u   i   c   k
        place      0   1   2   3   4   5   6   7   8        price of the cheapest way to there,
                   |-literal-->|                            and its last step
                   |----copy of 5 ---->|
                               |--copy of 3 -->|            the way back from the end is the result

   A copy of NICE bytes or more is taken at once; there, or after STEPS places, the way is written
   and the next one starts. Prices follow from the choices of the previous pass.

   Candidates: the sources with cheap codes; in the base, places with the same seed of 32 and of 8
   bytes, those nearest to where the last copy would continue first; in the target, the last places
   with the same four bytes. Places of the base are sorted by the hash of their seed:

        starts     | 0 | 0 | 3 | 4 | ..              starts[h] .. starts[h + 1]: where those with
        places     | 17  93  4000 | 64 | ..          hash h are, in the order of the base */
#ifndef DX_PATCH_P_STEPS /* a test makes these small, so that small files reach all limits */
  #define DX_PATCH_P_STEPS 2048u
  #define DX_PATCH_P_STEPS_MORE 1024u /* max bytes by which a copy may end beyond them */
  #define DX_PATCH_P_NICE 96u         /* bytes of a copy that ends the search for others */
  #define DX_PATCH_P_LONG 1024u       /* bytes of a copy that ends the search in its list */
  #define DX_PATCH_P_SOUGHT_LOG 22u   /* log2 of the bits of a map of wanted seeds */
  #define DX_PATCH_P_SOUGHT_MIN 65536u /* min bytes of a base that is worth such a map */
  #define DX_PATCH_P_HEADS_LOG 16u    /* log2 of the hashes of four bytes */
  #define DX_PATCH_P_LINKS_MAX 23u    /* log2 of the max distance of copies in the target */
#endif
#define DX_PATCH_P_WAY_ROOM (DX_PATCH_P_STEPS + DX_PATCH_P_STEPS_MORE + 1u) /* literals of a way */
#define DX_PATCH_P_NICE_FAST 16u    /* as NICE, at low levels */
#define DX_PATCH_P_SIZES_EVERY 64u  /* max size up to which a copy is tried in every size, */
#define DX_PATCH_P_SIZES_SKIP 8u    /* and between that and its own size, the step */
#define DX_PATCH_P_LOT_SEEDS 16u /* indexed together */
#define DX_PATCH_P_AHEAD 8u      /* places ahead whose lists are prefetched */
#define DX_PATCH_P_OTHER_SEEDS 8u   /* places of other seeds that count as one candidate */

typedef struct dx_patch_p_seeds { /* places of the base by the hash of the bytes there */
    uint32_t *starts; /* 2 + 2^log of them while counting, then one less */
    uint32_t *places;
    uint32_t log;
    uint32_t size; /* bytes of a seed: 32 or 8 */
} dx_patch_p_seeds;

typedef struct dx_patch_p_places { /* of the base, to be indexed */
    const uint32_t *list; /* ascending; NULL: every `stride` bytes */
    size_t count;
    size_t stride;
} dx_patch_p_places;

typedef struct dx_patch_p_prices { /* in sixteenths of a bit, even bits included */
    uint32_t literals[256];
    uint32_t runs[DX_PATCH_P_CODES];
    uint32_t sizes[DX_PATCH_P_CODES];
    uint32_t sources[DX_PATCH_P_FROM_END];
} dx_patch_p_prices;

typedef struct dx_patch_p_way { /* the cheapest way to a place */
    dx_patch_p_lines lines; /* the reader's state there */
    uint64_t source;
    uint32_t price;
    uint32_t from; /* the place before it */
    uint32_t size; /* of the copy; 0: a literal */
    uint32_t run;  /* literals before this place */
    bool own;
} dx_patch_p_way;

typedef struct dx_patch_p_parser {
    const uint8_t *base;
    const uint8_t *target;
    size_t base_size;
    size_t target_size;
    dx_patch_p_seeds seeds[2]; /* of 32 and of 8 bytes */
    uint32_t depth;            /* max candidates of these to compare */
    uint32_t chain;            /* and of the target's past */
    uint32_t nice;             /* bytes of a copy that ends the search for others */
    uint32_t *heads;           /* by hash of four bytes of the target: the last place + 1, */
    uint32_t *links;           /* and for each place the place + 1 before it; for the last 2^log */
    uint32_t links_log;
    uint64_t back_max; /* largest distance of a written copy from the target */
    dx_patch_p_way *steps;
    uint32_t steps_end;        /* last place that a way leads to */
    uint32_t misses;           /* consecutive places without a candidate */
    dx_patch_p_prices prices;
    dx_patch_p_prices counts;
    /* Output: */
    dx_patch_p_lines lines;
    dx_patch_p_sink runs;
    dx_patch_p_sink sources;
    dx_patch_p_sink sizes;
    dx_patch_p_sink bits;
    dx_patch_p_sink literals;
    dx_patch_p_sink befores; /* byte before each literal, if it is needed */
    dx_patch_p_sink places;  /* the two lowest bits of its offset */
    dx_patch_p_sink hinted;  /* literals with a hint, */
    dx_patch_p_sink olds;    /* and the base's byte in the place of each */
    uint32_t run; /* literals since the last copy, not written yet */
    bool shares;  /* literals are put on shelves; those of repeats are not */
} dx_patch_p_parser;

/* The code of a number, and how many bits follow it. */
static uint32_t dx_patch_p_number_code(uint64_t v, uint32_t *bits)
{
    uint32_t length = dx_patch_p_length(v);
    *bits = 0;
    if (v < DX_PATCH_P_CODE_DIRECT) return (uint32_t)v;
    DX_PATCH_ASSERT(length < 64); /* no reader accepts the code of a longer one */
    *bits = length - 2;
    return DX_PATCH_P_CODE_DIRECT + (length - 1 - DX_PATCH_P_CODE_BITS) * 2 +
           (uint32_t)(v >> (length - 2) & 1);
}

static uint32_t dx_patch_p_number_price(const uint32_t *prices, uint64_t v)
{
    uint32_t bits, code = dx_patch_p_number_code(v, &bits);
    return prices[code] + 16 * bits;
}

/* The code of a source, and the distance whose bits follow it. */
static uint32_t dx_patch_p_source_code(const dx_patch_p_lines *l, uint64_t at, uint64_t source,
                                       bool own, uint64_t *distance)
{
    uint64_t shift = source - at;
    bool less = source < l->old_end;
    *distance = 0;
    DX_PATCH_ASSERT(!own || source < at);
    if (own) {
        if (at - source == l->back) return DX_PATCH_P_FROM_AGAIN;
        *distance = at - source;
        return DX_PATCH_P_FROM_BACK + dx_patch_p_length(*distance) - 1;
    }
    if (shift == l->shifts[0]) return DX_PATCH_P_FROM_SAME;
    if (source == l->old_end) return DX_PATCH_P_FROM_NEXT;
    if (shift == l->shifts[1]) return DX_PATCH_P_FROM_SECOND;
    if (shift == l->shifts[2]) return DX_PATCH_P_FROM_THIRD;
    *distance = less ? l->old_end - source : source - l->old_end;
    return DX_PATCH_P_FROM_JUMP + 2 * (dx_patch_p_length(*distance) - 1) + (less ? 1u : 0u);
}

/* Prices by frequency: -log2 of the share. What never occurred counts as an eighth of a time:
   expensive, but possible. */
static void dx_patch_p_price_list(uint32_t *prices, const uint32_t *counts, uint32_t count)
{
    uint64_t sum = 0;
    uint32_t i, total = 0, shift = 0;
    for (i = 0; i < count; i++) sum += counts[i];
    while (sum >> shift > (UINT32_MAX - count) / 8) shift++; /* the total has 32 bits */
    for (i = 0; i < count; i++) total += 8 * (counts[i] >> shift) + 1;
    DX_PATCH_ASSERT(total > 0 && total >= count); /* it did not wrap */
    for (i = 0; i < count; i++)
        prices[i] = dx_patch_p_log2(total) - dx_patch_p_log2(8 * (counts[i] >> shift) + 1);
}

/* Prices of the next pass, from the counts of the last one. */
static void dx_patch_p_set_prices(dx_patch_p_parser *p)
{
    dx_patch_p_price_list(p->prices.literals, p->counts.literals, 256);
    dx_patch_p_price_list(p->prices.runs, p->counts.runs, DX_PATCH_P_CODES);
    dx_patch_p_price_list(p->prices.sizes, p->counts.sizes, DX_PATCH_P_CODES);
    dx_patch_p_price_list(p->prices.sources, p->counts.sources, DX_PATCH_P_FROM_END);
}

/* Initial guess, before anything was written. */
static void dx_patch_p_first_prices(dx_patch_p_parser *p)
{
    uint32_t i;
    for (i = 0; i < 256; i++) p->prices.literals[i] = 16 * 6;
    for (i = 0; i < DX_PATCH_P_CODES; i++) {
        p->prices.runs[i] = i < 16 ? 32 + 5 * i : 96;
        p->prices.sizes[i] = 80;
    }
    for (i = 0; i < DX_PATCH_P_FROM_END; i++)
        p->prices.sources[i] = i < 4 ? 16 + 24 * i : 80;
}

static uint32_t dx_patch_p_four_hash(const uint8_t *p)
{
    return (dx_patch_p_load32(p) * 0x9e3779b1u & 0xffffffffu) >> (32 - DX_PATCH_P_HEADS_LOG);
}

/* Enter a place of the target into the lists. */
static void dx_patch_p_note_place(dx_patch_p_parser *p, size_t at)
{
    uint32_t *head;
    DX_PATCH_ASSERT(at < p->target_size);
    if (p->target_size - at < 4) return;
    head = p->heads + dx_patch_p_four_hash(p->target + at);
    p->links[at & (((size_t)1 << p->links_log) - 1)] = *head;
    *head = (uint32_t)at + 1;
}

/* Try a copy of up to `size` bytes from place number `place`. */
static void dx_patch_p_try_copy(dx_patch_p_parser *p, size_t start, uint32_t place, uint64_t source,
                                bool own, uint32_t size, uint32_t size_min)
{
    const dx_patch_p_way *from = p->steps + place;
    uint64_t at = start + place, distance;
    uint32_t room = DX_PATCH_P_STEPS + DX_PATCH_P_STEPS_MORE - 1 - place, n, skip, code;
    uint32_t price = from->price + dx_patch_p_number_price(p->prices.runs, from->run);
    code = dx_patch_p_source_code(&from->lines, at, source, own, &distance);
    price += p->prices.sources[code] + (distance ? 16 * (dx_patch_p_length(distance) - 1) : 0);
    if (size > room) size = room;
    DX_PATCH_ASSERT(from->price < UINT32_MAX && room >= DX_PATCH_P_STEPS_MORE - 1);
    for (n = size; n >= size_min; n -= skip) {
        bool every = n == size || n <= DX_PATCH_P_SIZES_EVERY ||
                     n - DX_PATCH_P_SIZES_SKIP < size_min;
        uint32_t total = price + dx_patch_p_number_price(p->prices.sizes, n - 1);
        dx_patch_p_way *to = p->steps + place + n;
        skip = every ? 1 : DX_PATCH_P_SIZES_SKIP;
        while (p->steps_end < place + n) p->steps[++p->steps_end].price = UINT32_MAX;
        if (total >= to->price) continue;
        *to = *from;
        to->source = source;
        to->price = total;
        to->from = place;
        to->size = n;
        to->run = 0;
        to->own = own;
        if (own) to->lines.back = at - source;
        else dx_patch_p_move_lines(&to->lines, at, source, n);
    }
    DX_PATCH_ASSERT(p->steps_end < DX_PATCH_P_WAY_ROOM);
}

/* How many bytes from target offset `at` on equal the base from `source` on. */
static size_t dx_patch_p_base_run(const dx_patch_p_parser *p, size_t at, size_t left,
                                  uint64_t source)
{
    if (source >= p->base_size) return 0;
    DX_PATCH_ASSERT(left <= p->target_size - at);
    if (left > p->base_size - (size_t)source) left = p->base_size - (size_t)source;
    return dx_patch_p_same(p->target + at, p->base + (size_t)source, left);
}

static uint64_t dx_patch_p_seed_hash(const uint8_t *p, uint32_t size)
{
    uint64_t h = 0;
    uint32_t i;
    DX_PATCH_ASSERT(size % 8 == 0);
    for (i = 0; i < size; i += 8) {
        h = (dx_patch_p_load64(p + i) + h) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return h * 0xbf58476d1ce4e5b9u;
}

/* Prefetch the lists of a place further on. */
static void dx_patch_p_fetch_lists(const dx_patch_p_parser *p, size_t at)
{
    uint32_t i;
    DX_PATCH_ASSERT(at <= p->target_size);
    if (p->target_size - at < 32) return;
    DX_PATCH_P_PREFETCH(p->heads + dx_patch_p_four_hash(p->target + at));
    for (i = 0; i < 2 && p->seeds[i].starts; i++) {
        const dx_patch_p_seeds *s = p->seeds + i;
        uint64_t hash = dx_patch_p_seed_hash(p->target + at, s->size) >> (64 - s->log);
        DX_PATCH_P_PREFETCH(s->starts + hash);
    }
}

/* Try places of the base with this seed, those nearest to `nearest` first, if each is longer than
   the one before. Returns the length of the longest, or `best`. */
static size_t dx_patch_p_try_seeds(dx_patch_p_parser *p, const dx_patch_p_seeds *s, size_t start,
                                   uint32_t place, size_t left, uint64_t nearest, size_t best)
{
    size_t at = start + place;
    uint32_t hash, low, high, first, last, work = DX_PATCH_P_OTHER_SEEDS * p->depth;
    if (!s->starts || left < s->size) return best;
    hash = (uint32_t)(dx_patch_p_seed_hash(p->target + at, s->size) >> (64 - s->log));
    first = s->starts[hash];
    last = s->starts[hash + 1];
    DX_PATCH_ASSERT(first <= last);
    low = first;
    high = last;
    while (low < high) { /* find the first one at or after `nearest` */
        uint32_t middle = low + (high - low) / 2;
        if (s->places[middle] < nearest) low = middle + 1;
        else high = middle;
    }
    DX_PATCH_ASSERT(low == first || s->places[low - 1] < nearest);
    DX_PATCH_ASSERT(low == last || s->places[low] >= nearest); /* or the list is not sorted */
    while (work && (low > first || high < last)) {
        bool before = low > first;
        uint32_t source;
        size_t run;
        if (before && high < last)
            before = nearest - s->places[low - 1] <= s->places[high] - nearest;
        source = before ? s->places[--low] : s->places[high++];
        run = dx_patch_p_base_run(p, at, left, source);
        work -= run < s->size || work < DX_PATCH_P_OTHER_SEEDS ? 1 : DX_PATCH_P_OTHER_SEEDS;
        if (run <= best) continue;
        best = run;
        dx_patch_p_try_copy(p, start, place, source, false, (uint32_t)run, 4);
        if (run >= DX_PATCH_P_LONG) break;
    }
    return best;
}

/* Try earlier places of the target. Short copies must be near, or literals are cheaper. */
static size_t dx_patch_p_try_past(dx_patch_p_parser *p, size_t start, uint32_t place, size_t left)
{
    size_t at = start + place, best = 2, window = (size_t)1 << p->links_log;
    uint32_t link, tries = p->chain;
    DX_PATCH_ASSERT(left <= p->target_size - at);
    if (p->target_size - at < 4) return 0;
    for (link = p->heads[dx_patch_p_four_hash(p->target + at)]; link && tries; tries--) {
        size_t source = link - 1, run;
        DX_PATCH_ASSERT(source < at); /* at is entered after all ways from it are known */
        if (at - source >= window) break;
        link = p->links[source & (window - 1)];
        if (best < left && p->target[source + best] != p->target[at + best]) continue;
        run = dx_patch_p_same(p->target + at, p->target + source, left);
        if (run <= best || (run < 5 && at - source >= (run < 4 ? 2048u : 65536u))) continue;
        best = run;
        dx_patch_p_try_copy(p, start, place, source, true, (uint32_t)run, 3);
        if (run >= DX_PATCH_P_LONG) break;
    }
    return best > 2 ? best : 0;
}

/* Try all ways from a place. Returns the length of the longest copy. */
static size_t dx_patch_p_try_all(dx_patch_p_parser *p, size_t start, uint32_t place, size_t left)
{
    const dx_patch_p_way *from = p->steps + place;
    size_t at = start + place, best = 0, run, found;
    uint64_t sources[4];
    uint32_t i;
    DX_PATCH_ASSERT(left > 0 && place <= p->steps_end);
    sources[0] = at + from->lines.shifts[0];
    sources[1] = from->lines.old_end;
    sources[2] = at + from->lines.shifts[1];
    sources[3] = at + from->lines.shifts[2];
    for (i = 0; i < 4 && best < p->nice; i++) {
        run = dx_patch_p_base_run(p, at, left, sources[i]);
        if (run < (i ? 2u : 1u)) continue;
        dx_patch_p_try_copy(p, start, place, sources[i], false, (uint32_t)run, i ? 2 : 1);
        if (run > best) best = run;
    }
    if (from->lines.back && from->lines.back <= at && best < p->nice) {
        size_t source = at - (size_t)from->lines.back;
        run = dx_patch_p_same(p->target + at, p->target + source, left);
        if (run) dx_patch_p_try_copy(p, start, place, source, true, (uint32_t)run, 1);
        if (run > best) best = run;
    }
    if (best >= p->nice) return best;
    if (p->misses > 512 && (at & (p->misses < 2048 ? 1u : 7u))) return best; /* noise: be quick */
    found = dx_patch_p_try_seeds(p, p->seeds, start, place, left, sources[0], 31);
    if (found < 64) found = dx_patch_p_try_seeds(p, p->seeds + 1, start, place, left, sources[0],
                                                 found > 31 ? found : 7);
    if (found > 7 && found > best) best = found;
    run = dx_patch_p_try_past(p, start, place, left);
    DX_PATCH_ASSERT(best <= left && run <= left);
    p->misses = found > 7 || run ? 0 : p->misses + 1;
    return run > best ? run : best;
}

/* Write the literals before target offset `at`, and their count. */
static void dx_patch_p_write_run(dx_patch_p_parser *p, size_t at, bool hinted)
{
    uint32_t bits, code = dx_patch_p_number_code(p->run, &bits);
    size_t i;
    DX_PATCH_ASSERT(p->run <= at);
    /* Old bytes are all in the base: a reader reads them at once, and before the start of the base
       it has only zeros. */
    DX_PATCH_ASSERT(!hinted || at + p->lines.shifts[0] >= p->run);
    dx_patch_p_sink_byte(&p->runs, code);
    dx_patch_p_sink_bits(&p->bits, p->run, bits);
    p->counts.runs[code]++;
    for (i = at - p->run; i < at; i++) {
        uint64_t old_at = i + p->lines.shifts[0];
        p->counts.literals[p->target[i]]++;
        if (hinted) {
            dx_patch_p_sink_byte(&p->hinted, p->target[i]);
            dx_patch_p_sink_byte(&p->olds, old_at < p->base_size ? p->base[(size_t)old_at] : 0u);
            continue;
        }
        dx_patch_p_sink_byte(&p->literals, p->target[i]);
        if (!p->shares) continue;
        dx_patch_p_sink_byte(&p->befores, i ? p->target[i - 1] : 0u);
        dx_patch_p_sink_byte(&p->places, (uint32_t)(i & 3));
    }
    p->run = 0;
}

/* Write a copy and the literals before it, codes and bits in the order in which next_copy() takes
   them, and update the state that the reader will have. */
static void dx_patch_p_write_copy(dx_patch_p_parser *p, uint64_t at, uint64_t source, bool own,
                                  size_t size)
{
    uint64_t distance;
    uint32_t bits, code;
    bool same = !own && source - at == p->lines.shifts[0];
    DX_PATCH_ASSERT(size > 0 && p->run <= at);
    dx_patch_p_write_run(p, (size_t)at, same && p->run <= DX_PATCH_P_HINTED);
    code = dx_patch_p_source_code(&p->lines, at, source, own, &distance);
    dx_patch_p_sink_byte(&p->sources, code);
    bits = distance ? dx_patch_p_length(distance) - 1 : 0;
    dx_patch_p_sink_bits(&p->bits, (uint32_t)(distance & UINT32_MAX), bits);
    p->counts.sources[code]++;
    if (own) p->lines.back = at - source;
    if (own && at - source > p->back_max) p->back_max = at - source;
    if (!own) dx_patch_p_move_lines(&p->lines, at, source, size);
    code = dx_patch_p_number_code(size - 1, &bits);
    dx_patch_p_sink_byte(&p->sizes, code);
    dx_patch_p_sink_bits(&p->bits, (uint32_t)((size - 1) & UINT32_MAX), bits);
    p->counts.sizes[code]++;
}

/* Write the way to this place from its start; its steps are reversed first. Copies that continue
   each other are joined, and the last one is extended as far as possible into the `left` bytes
   after the way. Returns by how much. */
static size_t dx_patch_p_write_way(dx_patch_p_parser *p, size_t start, uint32_t place, size_t left)
{
    dx_patch_p_way *steps = p->steps;
    uint32_t next = 0, then, at = place;
    size_t more = 0, size;
    DX_PATCH_ASSERT(place <= p->steps_end);
    while (at) { /* from becomes the next place */
        uint32_t before = steps[at].from;
        steps[at].from = next;
        next = at;
        at = before;
    }
    for (; next; next = then) {
        const dx_patch_p_way *s = steps + next;
        then = s->from;
        p->run += s->size == 0;
        if (!s->size) continue;
        size = s->size;
        for (; then && steps[then].size; then = steps[then].from) {
            if (steps[then].own != s->own || steps[then].source != s->source + size) break;
            size += steps[then].size;
        }
        DX_PATCH_ASSERT(s->size <= next); /* it starts within the way, too */
        at = next - s->size;
        if (!then && s->own)
            more = dx_patch_p_same(p->target + start + place, p->target + s->source + size, left);
        else if (!then)
            more = dx_patch_p_base_run(p, start + place, left, s->source + size);
        dx_patch_p_write_copy(p, start + at, s->source, s->own, size + more);
    }
    return more;
}

/* Is there room in the streams for one more way? */
static bool dx_patch_p_parser_has_room(const dx_patch_p_parser *p)
{
    const size_t room = DX_PATCH_P_WAY_ROOM;
    return (size_t)(p->runs.end - p->runs.at) > room &&
           (size_t)(p->sources.end - p->sources.at) > room &&
           (size_t)(p->sizes.end - p->sizes.at) > room &&
           (size_t)(p->literals.end - p->literals.at) > room + p->run &&
           (!p->shares || (size_t)(p->hinted.end - p->hinted.at) > room) &&
           (size_t)(p->bits.end - p->bits.at) > 8 * room;
}

/* Code these bytes of the target as copies and literals, as many as there is room for. Returns
   where it stopped. `ends`: the gap ends at `to`, so its last literals have no copy after them.
   Otherwise the gap continues, and literals at the end are kept for the copy that comes with them,
   because a reader expects a copy after a run that does not complete its gap. */
static size_t dx_patch_p_parse(dx_patch_p_parser *p, size_t from, size_t to, bool ends)
{
    size_t at = from;
    dx_patch_p_way *steps = p->steps;
    DX_PATCH_ASSERT(from <= to && to <= p->target_size && p->nice > 0);
    while (at < to && dx_patch_p_parser_has_room(p)) {
        uint32_t place = 0, end = 0;
        size_t run = dx_patch_p_base_run(p, at, to - at, at + p->lines.shifts[0]);
        if (run >= p->nice || run == to - at) {
            dx_patch_p_write_copy(p, at, at + p->lines.shifts[0], false, run);
            at += run;
            continue;
        }
        DX_PATCH_MEMSET(steps, 0, sizeof *steps);
        steps->lines = p->lines;
        steps->run = p->run;
        p->steps_end = 0;
        for (; !end; place++) {
            dx_patch_p_way *next = steps + place + 1;
            uint32_t price;
            if (place == DX_PATCH_P_STEPS || place == to - at) {
                end = place;
                break;
            }
            if (p->steps_end == place) steps[++p->steps_end].price = UINT32_MAX;
            price = steps[place].price + p->prices.literals[p->target[at + place]];
            if (price < next->price) {
                *next = steps[place];
                next->price = price;
                next->from = place;
                next->size = 0;
                next->run++;
            }
            if (to - at > place + DX_PATCH_P_AHEAD)
                dx_patch_p_fetch_lists(p, at + place + DX_PATCH_P_AHEAD);
            run = dx_patch_p_try_all(p, at, place, to - at - place);
            dx_patch_p_note_place(p, at + place);
            if (run < p->nice) continue;
            end = place + (uint32_t)(run < UINT32_MAX / 2 ? run : UINT32_MAX / 2);
            if (end > p->steps_end) end = p->steps_end;
        }
        DX_PATCH_ASSERT(end <= to - at);
        at += end + dx_patch_p_write_way(p, at, end, to - at - end);
    }
    if (p->run && (ends || at < to)) dx_patch_p_write_run(p, at, false);
    DX_PATCH_ASSERT(!p->runs.full && !p->sources.full && !p->sizes.full); /* there was room */
    DX_PATCH_ASSERT(at <= to && !p->literals.full && !p->bits.full);
    return at;
}

/* Streams with repeats, which take memory for their codes besides the parser. */
#define DX_PATCH_P_REPEATS_MIN 48u /* min bytes of a stream that may have them */
#ifndef DX_PATCH_P_REPEAT_LINKS
  #define DX_PATCH_P_REPEAT_LINKS 16u /* log2 of the max distance of their copies */
#endif

static bool dx_patch_p_sink_start(dx_patch_p_sink *s, dx_patch_p_store *store, uint64_t size)
{
    DX_PATCH_MEMSET(s, 0, sizeof *s);
    s->start = dx_patch_p_store_alloc(store, size);
    if (!s->start) return false;
    s->at = s->start;
    s->end = s->start + (size_t)size;
    return true;
}

/* Reset the history: a new target starts. */
static void dx_patch_p_parser_forget(dx_patch_p_parser *p)
{
    DX_PATCH_MEMSET(&p->lines, 0, sizeof p->lines);
    DX_PATCH_MEMSET(p->heads, 0, (size_t)4 << DX_PATCH_P_HEADS_LOG);
    p->misses = 0;
}

/* Reset the streams of a parser, with room for `size` literals or copies. */
static bool dx_patch_p_parser_start(dx_patch_p_parser *p, dx_patch_p_store *store, uint64_t size)
{
    size += DX_PATCH_P_WAY_ROOM + 64;
    DX_PATCH_ASSERT(p->heads && p->links && p->steps);
    DX_PATCH_MEMSET(&p->counts, 0, sizeof p->counts);
    p->run = 0;
    return dx_patch_p_sink_start(&p->runs, store, size) &&
           dx_patch_p_sink_start(&p->sources, store, size) &&
           dx_patch_p_sink_start(&p->sizes, store, size) &&
           dx_patch_p_sink_start(&p->literals, store, size) &&
           dx_patch_p_sink_start(&p->bits, store, 2 * size + 8 * DX_PATCH_P_WAY_ROOM);
}

/* REPEATS of these bytes, into the sink. False: too little memory. Only the parser's memory is
   used; its settings are overwritten. */
static bool dx_patch_p_put_repeats(dx_patch_p_sink *sink, dx_patch_p_parser *p,
                                   dx_patch_p_store store, const uint8_t *bytes, size_t size)
{
    uint32_t round;
    DX_PATCH_ASSERT(size > 0 && !p->shares);
    p->base_size = 0;
    p->target = bytes;
    p->target_size = size;
    p->seeds[0].starts = NULL;
    p->seeds[1].starts = NULL;
    dx_patch_p_first_prices(p);
    for (round = 0; round < 2; round++) {
        dx_patch_p_store scratch = store;
        dx_patch_p_span bits;
        const uint8_t *runs, *sources, *sizes, *literals;
        if (!dx_patch_p_parser_start(p, &scratch, size)) return false;
        dx_patch_p_parser_forget(p);
        runs = p->runs.at;
        sources = p->sources.at;
        sizes = p->sizes.at;
        literals = p->literals.at;
        bits.at = p->bits.at;
        if (dx_patch_p_parse(p, 0, size, true) < size) return false;
        dx_patch_p_sink_end(&p->bits);
        dx_patch_p_set_prices(p);
        if (!round) continue;
        bits.end = p->bits.at;
        if (p->runs.full || p->sources.full || p->sizes.full || p->bits.full) return false;
        dx_patch_p_sink_number(sink, 4 * (uint64_t)size + DX_PATCH_P_STREAM_REPEATS);
        dx_patch_p_put_plain(sink, runs, (size_t)(p->runs.at - runs));
        dx_patch_p_put_plain(sink, sources, (size_t)(p->sources.at - sources));
        dx_patch_p_put_plain(sink, sizes, (size_t)(p->sizes.at - sizes));
        dx_patch_p_sink_number(sink, (uint64_t)(bits.end - bits.at));
        dx_patch_p_sink_bytes(sink, bits.at, (size_t)(bits.end - bits.at));
        dx_patch_p_put_plain(sink, literals, (size_t)(p->literals.at - literals));
    }
    return !sink->full;
}

/* Write a stream in its smallest form. */
static void dx_patch_p_put_stream(dx_patch_p_sink *sink, dx_patch_p_parser *p,
                                  dx_patch_p_store store, const uint8_t *bytes, size_t size)
{
    dx_patch_p_sink plain = *sink, repeats;
    const uint8_t *start;
    dx_patch_p_put_plain(&plain, bytes, size);
    if (size >= DX_PATCH_P_REPEATS_MIN && !plain.full &&
        dx_patch_p_sink_start(&repeats, &store, size + size / 4 + 256)) {
        start = repeats.at;
        if (dx_patch_p_put_repeats(&repeats, p, store, bytes, size) &&
            repeats.at - start < plain.at - sink->at) {
            dx_patch_p_sink_bytes(sink, start, (size_t)(repeats.at - start));
            DX_PATCH_ASSERT(!sink->full); /* the larger form had room here */
            return;
        }
    }
    *sink = plain;
}

#endif /* DX_PATCH_P_MAKES_STREAMS */

/* >>maker: a delta -------------------------------------------------------------
   Passes, each of which uses the results of the one before:

        1. matches      all of them, with a table of seeds in the available memory
        2. map          if files and limits allow one: matches sorted by old offset, segments, and
                        the address of an image without headers
        3. coding       how many contexts, and how much memory for the mixer, are worth it
        4. writing      literals and matches alternate; for each block with changes, every promising
                        predictor counts what the block would cost, and the cheapest is taken. A
                        trial restores the state that it changed.

   Memory; the caller may give less than the best:

        | maker | matches | table of seeds              |        pass 1
        | maker | matches | map | models | mixer | ..   |        passes 2 to 4, over the table */
#define DX_PATCH_P_PAIRS 4096u /* a power of two */
typedef struct dx_patch_p_block_prices { /* symbols of blocks: their counts, or prices */
    uint32_t wrong[256];
    uint32_t runs[DX_PATCH_P_CODES];
    uint32_t lengths[65];                 /* of corrections, in bits */
    uint32_t fields[DX_PATCH_P_IDS][2]; /* right, wrong; by predictor */
} dx_patch_p_block_prices;

typedef struct dx_patch_p_maker {
    dx_patch_p_delta delta;
    dx_patch_p_finder finder;
    uint32_t level;
    uint32_t blocks;   /* for which a predictor was chosen */
    uint32_t streak;   /* consecutive blocks that chose the same one */
    uint32_t wins[16]; /* how often each predictor was best */
    uint64_t literals; /* bytes in no match */
    bool streams;      /* a delta of streams is made: prices are of these */
    dx_patch_p_block_prices counts; /* of streams: in the blocks written, */
    dx_patch_p_block_prices prices; /* and the prices from them, in sixteenths of a bit */
    uint32_t pairs[2];              /* the last run with its wrong byte, and the one before */
    uint32_t *repeats;              /* by hash of two pairs: the pair that followed them last */
    uint32_t memory[DX_PATCH_P_MEMORY]; /* saved corrections; or words of find_address() */
    uint8_t now[DX_PATCH_P_LONGEST]; /* a block once its fields are known */
} dx_patch_p_maker;

/* Code a block with this predictor. The coder's mode decides whether it is written or only
   priced. */
static void dx_patch_p_put_block(dx_patch_p_maker *m, uint32_t id, dx_patch_p_block *b)
{
    dx_patch_p_delta *d = &m->delta;
    DX_PATCH_ASSERT(b->limit <= sizeof m->now && b->new_bytes);
    d->id_ = dx_patch_p_symbol(&d->coder_, DX_PATCH_P_M_ID + d->id_, id);
    DX_PATCH_MEMCPY(m->now, b->old_bytes, b->limit);
    (void)dx_patch_p_code_block(d, b, m->now);
}

#ifdef DX_PATCH_P_MAKES_STREAMS
struct dx_patch_p_writer;
static uint64_t dx_patch_p_stream_block(dx_patch_p_maker *m, struct dx_patch_p_writer *w,
                                        uint32_t id, dx_patch_p_block *b); /* >>sectionmaker */
#endif

/* How many blocks pass before a predictor that seldom wins is tried again. */
static uint32_t dx_patch_p_try_every(const dx_patch_p_maker *m)
{
    DX_PATCH_ASSERT(m->level >= 1 && m->level <= 9);
    if (m->level >= 9 || m->blocks < 32) return 1;
    return m->level < 3 ? 64 : 32;
}

/* The cheapest predictor for the block. Those that win now and then are tried, and all of them from
   time to time; in a streak of one, only on every second block, or fewer. */
static uint32_t dx_patch_p_choose(dx_patch_p_maker *m, const dx_patch_p_block *b)
{
    dx_patch_p_delta *d = &m->delta;
    uint64_t cost_min = UINT64_MAX, cost;
    dx_patch_p_delta before = *d;
    uint32_t last_id = d->id_, best = last_id, id, every = dx_patch_p_try_every(m);
    bool settled = m->level < 9 && m->streak >= 8 && m->blocks % (m->level < 3 ? 8 : 2);
    DX_PATCH_ASSERT(last_id < DX_PATCH_P_IDS);
    if (!d->map_) return DX_PATCH_P_ID_NONE;
    DX_PATCH_MEMCPY(m->memory, d->predictor_.memory_, sizeof m->memory);
    for (id = settled ? DX_PATCH_P_IDS : 0; id < DX_PATCH_P_IDS; id++) {
        dx_patch_p_block copy = *b;
        bool seldom = m->wins[id] * 64 <= m->blocks;
        if (id && id != last_id && seldom && m->blocks % every) continue;
        d->coder_.mode_ = DX_PATCH_P_COUNT;
        d->coder_.cost_ = 0;
#ifdef DX_PATCH_P_MAKES_STREAMS
        if (m->streams) d->coder_.cost_ = dx_patch_p_stream_block(m, NULL, id, &copy);
#endif
        if (!m->streams) dx_patch_p_put_block(m, id, &copy);
        if (id) DX_PATCH_MEMCPY(d->predictor_.memory_, m->memory, sizeof m->memory);
        cost = d->coder_.cost_ * DX_PATCH_P_BLOCK / copy.size;
        *d = before;
        if (cost >= cost_min) continue;
        cost_min = cost;
        best = id;
    }
    DX_PATCH_ASSERT(best < DX_PATCH_P_IDS);
    m->blocks++;
    m->wins[best]++;
    m->streak = best == last_id ? m->streak + 1 : 0;
    return best;
}

/* Can a word be an address in both files? It changed by less than 64 KiB. */
static bool dx_patch_p_may_be_address(uint32_t old, uint32_t now)
{
    if (((now - old + 65536u) & 0xffffffffu) >> 17) return false;
    return (old >> 16) - 1 < 65534u; /* not a small number, positive or negative */
}

/* Visit the words that changed by little, in all matches. The first call counts their upper halves,
   by hash, and returns the most frequent one in *middle. The second call (words_max > 0) collects
   pairs of words, old and new, that lie within room of it. Returns the number of words. */
static uint32_t dx_patch_p_walk_words(dx_patch_p_maker *m, uint64_t *middle, uint64_t room,
                                      uint32_t words_max)
{
    const dx_patch_p_finder *f = &m->finder;
    uint32_t *words = m->memory, count = 0, top = 0, old, now, n;
    uint64_t i;
    size_t k;
    DX_PATCH_ASSERT(words_max <= DX_PATCH_P_MEMORY);
    for (k = 0; k < f->match_count; k++) {
        const dx_patch_p_match *c = f->matches + k;
        const uint8_t *p = f->base + c->old_at, *q = f->target + c->new_at;
        for (i = 0; i < c->size; i += 4) {
            i += dx_patch_p_same(p + i, q + i, (size_t)(c->size - i));
            if (c->size - i < 4) break;
            old = dx_patch_p_load32(p + i);
            now = dx_patch_p_load32(q + i);
            if (!dx_patch_p_may_be_address(old, now)) continue;
            n = ((old >> 16) * 0x9e3779b1u & 0xffffffffu) >> 22;
            if (!words_max) {
                if (++words[n] <= top) continue;
                top = words[n];
                *middle = old & 0xffff0000u;
            } else if (count < words_max && old - *middle + room < 2 * room) {
                words[count++] = old;
                words[count++] = now;
            }
        }
    }
    return count;
}

/* The load address of an image without headers, or 0. Words that changed by little are probably
   addresses, and the matches show how they changed: of all multiples of a step around the most
   frequent ones, the address that predicts most of them exactly. */
static uint64_t dx_patch_p_find_address(dx_patch_p_maker *m)
{
    const dx_patch_p_finder *f = &m->finder;
    uint32_t *words = m->memory, hits_min = 7, count, step = 256, sure, hits, i;
    uint64_t at = 0, best = 0, middle = 0, room = f->base_size, mapped;
    DX_PATCH_MEMSET(words, 0, sizeof m->memory);
    (void)dx_patch_p_walk_words(m, &middle, room, 0);
    count = dx_patch_p_walk_words(m, &middle, room, DX_PATCH_P_MEMORY);
    DX_PATCH_ASSERT(count % 2 == 0);
    while (room / step > 1024) step *= 2;
    if (middle > room) at = (middle - room) & ~(uint64_t)(step - 1);
    for (; at < middle + 65536; at += step) {
        hits = 0;
        for (i = 0; i < count; i += 2) {
            if (words[i] - at >= room) continue;
            mapped = at + dx_patch_p_map_offset(&m->delta.predictor_, words[i] - at, &sure);
            hits += mapped == words[i + 1];
        }
        if (hits <= hits_min) continue;
        best = at;
        hits_min = hits;
    }
    return best;
}

/* Write match i: the literals before it, its length, and its distance from the end of the last one
   in the base plus the gap. */
static void dx_patch_p_put_match(dx_patch_p_maker *m, size_t i)
{
    const dx_patch_p_match *c = m->finder.matches + i, *last = i ? c - 1 : NULL;
    uint64_t new_end = last ? last->new_at + last->size : 0;
    uint64_t old_end = last ? last->old_at + last->size : 0;
    uint64_t gap = c->new_at - new_end;
    dx_patch_p_coder *coder = &m->delta.coder_;
    DX_PATCH_ASSERT(c->size > 0 && c->new_at >= new_end);
    (void)dx_patch_p_number(coder, DX_PATCH_P_N_GAP, gap);
    (void)dx_patch_p_number(coder, DX_PATCH_P_N_LENGTH, c->size - 1);
    (void)dx_patch_p_number(coder, DX_PATCH_P_N_JUMP,
                            dx_patch_p_zigzag(c->old_at - (old_end + gap)));
}

/* Do these bytes look like noise? The sum of the squares of the byte counts is smallest when all
   are equally frequent. */
static bool dx_patch_p_is_noise(const uint8_t *p, uint32_t size)
{
    uint32_t i, sum = 0, counts[256] = {0};
    DX_PATCH_ASSERT(size <= DX_PATCH_P_BLOCK);
    for (i = 0; i < size; i++) sum += 2 * counts[p[i]]++ + 1;
    return size >= 256 && sum <= size + size * size / 256 * 5 / 4;
}

/* Write literals; `old_at` is where the base continues. */
static void dx_patch_p_put_literals(dx_patch_p_maker *m, uint64_t from, uint64_t to,
                                    uint64_t old_at)
{
    const dx_patch_p_finder *f = &m->finder;
    dx_patch_p_delta *d = &m->delta;
    uint64_t i;
    DX_PATCH_ASSERT(from <= to && to <= f->target_size);
    DX_PATCH_ASSERT(old_at <= f->base_size);
    d->past_ = 0;
    dx_patch_p_pass(d, f->target + from, from);
    for (i = 0; from + i < to; i++) {
        uint64_t left = to - from - i;
        uint32_t hint = d->mixer_ && old_at + i < f->base_size ? f->base[old_at + i] : 0u;
        if (i % DX_PATCH_P_BLOCK == 0) { /* noise is best left uncoded */
            uint32_t size = left < DX_PATCH_P_BLOCK ? (uint32_t)left : DX_PATCH_P_BLOCK;
            d->raw_ = dx_patch_p_flag(&d->coder_, DX_PATCH_P_M_RAW + d->raw_,
                                      dx_patch_p_is_noise(f->target + from + i, size));
        }
        (void)dx_patch_p_literal(d, hint, f->target[from + i]);
    }
}

static void dx_patch_p_put_match_bytes(dx_patch_p_maker *m, const dx_patch_p_match *c)
{
    const uint8_t *p = m->finder.base + c->old_at, *q = m->finder.target + c->new_at;
    dx_patch_p_delta *d = &m->delta;
    uint64_t done = 0;
    dx_patch_p_block b;
    DX_PATCH_ASSERT(c->size > 0);
    do {
        uint32_t equal = 0, which = DX_PATCH_P_N_EQUAL + (done ? 1u : 0u);
        uint64_t size = 0;
        for (; done < c->size; done += size, equal++) {
            size = c->size - done < DX_PATCH_P_BLOCK ? c->size - done : DX_PATCH_P_BLOCK;
            if (DX_PATCH_MEMCMP(p + done, q + done, (size_t)size) != 0) break;
        }
        (void)dx_patch_p_number(&d->coder_, which, equal);
        if (done == c->size) return;
        DX_PATCH_ASSERT(done < c->size);
        b.old_bytes = p + done;
        b.new_bytes = q + done;
        b.old_at = c->old_at + done;
        b.new_at = c->new_at + done;
        dx_patch_p_pass(d, b.new_bytes, b.new_at);
        dx_patch_p_start_block(d, &b, c->size - done);
        dx_patch_p_put_block(m, dx_patch_p_choose(m, &b), &b);
        done += b.size;
    } while (done < c->size);
}

/* Write the number of matches, the setups, and the list of matches. */
static void dx_patch_p_put_map(dx_patch_p_maker *m)
{
    dx_patch_p_coder *coder = &m->delta.coder_;
    uint64_t (*setup)[DX_PATCH_P_SETUP_SIZE] = m->delta.predictor_.setup_;
    size_t i, side;
    DX_PATCH_ASSERT(m->delta.map_);
    (void)dx_patch_p_number(coder, DX_PATCH_P_N_SETUP, m->finder.match_count);
    for (side = 0; side < 2; side++) {
        uint64_t words = DX_PATCH_P_SETUP_SEGMENT +
                         DX_PATCH_P_SEG_WORDS * setup[side][DX_PATCH_P_SETUP_COUNT];
        DX_PATCH_ASSERT(words <= DX_PATCH_P_SETUP_SIZE);
        for (i = 0; i < words; i++) {
            uint64_t v = setup[side][i] - (side ? setup[0][i] : 0);
            (void)dx_patch_p_number(coder, DX_PATCH_P_N_SETUP, dx_patch_p_zigzag(v));
        }
    }
    for (i = 0; i < m->finder.match_count; i++) dx_patch_p_put_match(m, i);
}

static void dx_patch_p_put_delta(dx_patch_p_maker *m)
{
    const dx_patch_p_finder *f = &m->finder;
    dx_patch_p_delta *d = &m->delta;
    uint64_t at = 0, old_at = 0;
    size_t i;
    if (d->map_) dx_patch_p_put_map(m);
    for (i = 0; i < f->match_count; i++) {
        const dx_patch_p_match *c = f->matches + i;
        DX_PATCH_ASSERT(c->new_at >= at);
        if (!d->map_) dx_patch_p_put_match(m, i);
        dx_patch_p_put_literals(m, at, c->new_at, old_at);
        dx_patch_p_put_match_bytes(m, c);
        at = c->new_at + c->size;
        old_at = c->old_at + c->size;
    }
    if (!d->map_ && at < f->target_size)
        (void)dx_patch_p_number(&d->coder_, DX_PATCH_P_N_GAP, f->target_size - at);
    dx_patch_p_put_literals(m, at, f->target_size, old_at);
    dx_patch_p_finish_writing(&d->coder_);
}

/* A call of dx_patch_create(). */
typedef struct dx_patch_p_job {
    const dx_patch_create_desc *desc;
    const uint8_t *base;
    const uint8_t *target;
    size_t base_size;
    size_t target_size;
    uint8_t *out; /* the body: room for capacity bytes, used of them written */
    size_t capacity;
    size_t used;
    size_t checked; /* target bytes that applying the patch has produced */
    dx_patch_header header;
} dx_patch_p_job;

#define DX_PATCH_P_APPLY_MAX ((uint64_t)64 << 20) /* default of apply_memory_max */
#define DX_PATCH_P_FIXED 65536u /* bytes besides matches and table, on every machine */
#define DX_PATCH_P_MAKER_MIN (DX_PATCH_P_FIXED + 2048u)
#define DX_PATCH_P_CODINGS 3u /* bits of the codings of a delta: plain, range */
#define DX_PATCH_P_LEVEL 6u   /* the default */
#define DX_PATCH_P_WAYS 4u    /* two codings, each at level 6 and at the level asked for */
#define DX_PATCH_P_LITERALS_RICH 200000u /* min literals worth rows by the whole byte before, */
#define DX_PATCH_P_RICH_BUDGET 400001u   /* if there is memory for them */

/* With a 16-bit size_t no memory is enough. */
static bool dx_patch_p_at_least(size_t size, uint32_t size_min) { return size >= size_min; }
typedef char dx_patch_p_maker_fits[sizeof(dx_patch_p_maker) < 12000 ? 1 : -1];

/* Lay out the finder in `budget` bytes of memory; *at and *left then follow the matches. */
static int dx_patch_p_finder_start(dx_patch_p_maker *m, const dx_patch_p_job *j, uint8_t **at,
                                   size_t *left, size_t budget)
{
    static const uint8_t depths[10] = {0, 1, 1, 2, 3, 4, 6, 8, 16, 64}; /* by level */
    dx_patch_p_finder *f = &m->finder;
    size_t half = budget / 2 / sizeof *f->matches - 1, size, rest, thinner = 0;
    uint8_t *from;
    DX_PATCH_ASSERT(m->level >= 1 && m->level <= 9);
    DX_PATCH_ASSERT(budget >= DX_PATCH_P_MAKER_MIN - DX_PATCH_P_FIXED); /* `half` does not wrap */
    f->base = j->base;
    f->base_size = j->base_size;
    f->target = j->target;
    f->target_size = j->target_size;
    f->depth = depths[m->level];
    f->match_capacity = j->target_size / 32 + 64;
    if (f->match_capacity > half) f->match_capacity = half;
    size = (f->match_capacity + 1) * sizeof *f->matches; /* one more: "the last of none" */
    f->matches = (dx_patch_p_match *)dx_patch_p_cut_memory(at, left, size);
    if (!f->matches || budget < size + 1024) return DX_PATCH_ENOMEM;
    f->matches++;
    if (m->level < 3) thinner = 3;
    else if ((uint64_t)j->base_size >> 25) thinner = 1;
    f->stride = (j->base_size + j->base_size / 4 + 64) / ((budget - size) / sizeof *f->lines) + 1;
    f->stride += thinner + (size_t)((uint64_t)j->base_size >> 27);
    /* Seeds at an even stride of a large base lie at few offsets of its records. In a small one,
       most matches are short and aligned, and an even stride finds more of them. */
    if (f->stride > 2 && (uint64_t)j->base_size >> 20) f->stride |= 1;
    from = *at; /* only the search needs the table: the next parts overwrite it */
    rest = *left;
    f->line_max = (j->base_size / f->stride + 1) / DX_PATCH_P_LINE_USED + 1;
    size = 64 * f->line_max + 63;
    f->lines = (uint32_t *)dx_patch_p_cut_memory(&from, &rest, size);
    if (!f->lines) return DX_PATCH_ENOMEM;
    f->lines += (64 - (uintptr_t)f->lines % 64) % 64 / sizeof *f->lines;
    DX_PATCH_ASSERT((uintptr_t)f->lines % 64 == 0); /* a line of the table is a cache line */
    if (f->stride <= 2 && (uint64_t)j->base_size >> 20)
        f->wanted = (uint64_t *)dx_patch_p_cut_memory(&from, &rest, DX_PATCH_P_WANTED / 8);
    return DX_PATCH_OK;
}

/* Find the matches in `budget` bytes of memory; *at and *left then follow them. */
static int dx_patch_p_make_matches(dx_patch_p_maker *m, const dx_patch_p_job *j, uint8_t **at,
                                   size_t *left, size_t budget)
{
    dx_patch_p_finder *f = &m->finder;
    size_t i, stride;
    int error = dx_patch_p_finder_start(m, j, at, left, budget);
    if (error) return error;
    if (f->wanted) { /* a coarse index shows which seeds the target looks for */
        DX_PATCH_MEMSET(f->wanted, 0, DX_PATCH_P_WANTED / 8);
        stride = f->stride;
        f->stride = 16;
        if (!dx_patch_p_find(f, true)) f->wanted = NULL;
        f->stride = stride;
    }
    (void)dx_patch_p_find(f, false);
    DX_PATCH_ASSERT(f->match_count <= f->match_capacity);
    if (m->level > 2) dx_patch_p_join_numbers(f);
    m->literals = j->target_size;
    for (i = 0; i < f->match_count; i++) {
        const dx_patch_p_match *c = f->matches + i;
        DX_PATCH_ASSERT(!i || c->new_at >= c[-1].new_at + c[-1].size);
        DX_PATCH_ASSERT(c->size > 0 && c->old_at + c->size <= f->base_size);
        m->literals -= c->size;
    }
    DX_PATCH_ASSERT(m->literals <= j->target_size);
    return DX_PATCH_OK;
}

/* The setups of both files, as numbers that can be coded: -2^63 has no zigzag form. */
static void dx_patch_p_make_setup(dx_patch_p_maker *m, const dx_patch_p_job *j)
{
    const uint32_t first_address = DX_PATCH_P_SETUP_SEGMENT + DX_PATCH_P_SEG_ADDRESS;
    uint64_t (*setup)[DX_PATCH_P_SETUP_SIZE] = m->delta.predictor_.setup_;
    bool base = dx_patch_p_find_segments(j->base, j->base_size, setup[0]);
    bool target = dx_patch_p_find_segments(j->target, j->target_size, setup[1]);
    uint64_t used;
    uint32_t i;
    if (!base && !target) {
        setup[0][first_address] = dx_patch_p_find_address(m);
        setup[1][first_address] = setup[0][first_address];
    }
    used = DX_PATCH_P_SETUP_SEGMENT + DX_PATCH_P_SEG_WORDS * setup[0][DX_PATCH_P_SETUP_COUNT];
    DX_PATCH_ASSERT(used <= DX_PATCH_P_SETUP_SIZE);
    for (i = 0; i < DX_PATCH_P_SETUP_SIZE; i++) {
        if (setup[0][i] << 1 == 0 || i >= used) setup[0][i] = 0;
        if ((setup[1][i] - setup[0][i]) << 1 == 0) setup[1][i] = setup[0][i];
    }
}

/* Make the map that the reader will have, if files, memory and limit allow one. */
static void dx_patch_p_make_map(dx_patch_p_maker *m, const dx_patch_p_job *j, uint8_t **at,
                                size_t *left, size_t *budget, uint64_t limit)
{
    dx_patch_p_delta *d = &m->delta;
    size_t i, count = m->finder.match_count;
    uint64_t size = DX_PATCH_P_MATCH_BYTES * (uint64_t)count;
    uint32_t *words = NULL;
    DX_PATCH_ASSERT(!d->map_);
    d->map_ = true;
    if (count && !((uint64_t)j->base_size >> 32) && !((uint64_t)j->target_size >> 32) &&
        size <= *budget && dx_patch_p_delta_memory(d, count) <= limit)
        words = (uint32_t *)dx_patch_p_cut_memory(at, left, size);
    d->map_ = words != NULL;
    if (!d->map_) return;
    *budget -= (size_t)size;
    d->predictor_.matches_ = words;
    d->predictor_.count_ = (uint32_t)count;
    for (i = 0; i < count; i++) {
        const dx_patch_p_match *c = m->finder.matches + i;
        *words++ = (uint32_t)c->new_at;
        *words++ = (uint32_t)c->old_at;
        *words++ = (uint32_t)c->size;
    }
    DX_PATCH_ASSERT(words == d->predictor_.matches_ + DX_PATCH_P_MATCH_WORDS * count);
    dx_patch_p_sort_map(&d->predictor_);
    d->predictor_.region_bits_ = j->target_size >> 10 < 1024 ? 8 : 12;
    dx_patch_p_make_setup(m, j);
}

/* Choose how much memory mixing takes, by how much there is to mix. */
static void dx_patch_p_make_mixer(dx_patch_p_maker *m, size_t budget, uint64_t limit)
{
    dx_patch_p_delta *d = &m->delta;
    uint64_t size = m->finder.target_size, symbols = m->literals + size / 64;
    uint64_t used = dx_patch_p_delta_memory(d, m->finder.match_count);
    uint32_t log_max = 17; /* fits into caches */
    if (m->level > 8) log_max = 20;
    else if (m->literals > size / 16) log_max = 14;
    if (m->level < 3 || symbols < 16 || used > limit) return;
    if (m->level < 7 && m->literals > size / 3 * 2) return; /* too slow to apply */
    d->rich_ = m->level > 8 || m->literals < size / 200;
    if (limit - used < budget) budget = (size_t)(limit - used);
    if (budget / 4 > size + 65536) budget = 4 * (m->finder.target_size + 65536);
    d->history_log_ = 8;
    d->groups_log_ = 8;
    while (d->history_log_ < 22 && (uint64_t)1 << d->history_log_ < m->literals) d->history_log_++;
    while ((uint64_t)1 << d->groups_log_ < 4 * symbols && d->groups_log_ < log_max)
        d->groups_log_++;
    while (d->history_log_ && dx_patch_p_mix_memory(d->history_log_, d->groups_log_) > budget) {
        if (d->groups_log_ + 2 > d->history_log_ && d->groups_log_ > 8) {
            d->groups_log_--;
        } else if (--d->history_log_ < 8) { /* below the minimum: no mixer */
            d->history_log_ = 0;
            d->groups_log_ = 0;
        }
    }
    DX_PATCH_ASSERT(d->history_log_ ? d->groups_log_ >= 8 : d->groups_log_ == 0);
}

static void dx_patch_p_put_parameters(const dx_patch_p_delta *d, uint8_t *p)
{
    DX_PATCH_ASSERT(d->literal_bits_ <= 8 && d->diff_bits_ <= 3);
    p[0] = (uint8_t)(d->literal_bits_ | d->diff_bits_ << 4 | (d->rich_ ? 64u : 0u));
    p[1] = (uint8_t)(DX_PATCH_P_LAYOUT + (d->map_ ? 1u : 0u));
    p[2] = (uint8_t)d->predictor_.region_bits_;
    p[3] = (uint8_t)d->history_log_;
    p[4] = (uint8_t)d->groups_log_;
}

/* Only literals, uncoded: always possible, and never much larger than the target. */
static int dx_patch_p_make_plain(dx_patch_p_job *j)
{
    dx_patch_p_coder w;
    dx_patch_p_delta d;
    DX_PATCH_MEMSET(&d, 0, sizeof d);
    DX_PATCH_MEMSET(&w, 0, sizeof w);
    j->header.coding = DX_PATCH_CODING_PLAIN;
    j->header.memory_size = dx_patch_p_delta_memory(&d, 0);
    if (j->capacity < DX_PATCH_P_PARAMETERS_SIZE) return DX_PATCH_ENOSPACE;
    dx_patch_p_put_parameters(&d, j->out);
    dx_patch_p_start_writing(&w, j->out, j->capacity);
    w.at_ = DX_PATCH_P_PARAMETERS_SIZE;
    if (j->target_size) dx_patch_p_put_varint(&w, j->target_size);
    if (w.overrun_ || j->capacity - w.at_ < j->target_size) return DX_PATCH_ENOSPACE;
    if (j->target_size) DX_PATCH_MEMCPY(j->out + w.at_, j->target, j->target_size);
    j->used = w.at_ + j->target_size;
    DX_PATCH_ASSERT(j->used <= j->capacity);
    return DX_PATCH_OK;
}

/* Run the passes. The memory is large enough for the maker itself. */
static int dx_patch_p_make_range(dx_patch_p_job *j, dx_patch_p_maker *m, uint8_t *at, size_t left,
                                 uint64_t limit)
{
    dx_patch_p_delta *d = &m->delta;
    size_t budget = j->desc->memory_size - DX_PATCH_P_FIXED;
    int error = dx_patch_p_make_matches(m, j, &at, &left, budget);
    if (error) return error;
    DX_PATCH_ASSERT(budget / sizeof *m->finder.matches > m->finder.match_capacity);
    budget -= (m->finder.match_capacity + 1) * sizeof *m->finder.matches;
    dx_patch_p_make_map(m, j, &at, &left, &budget, limit);
    if (m->literals > DX_PATCH_P_LITERALS_RICH && d->literal_bits_ && limit >> 22 &&
        dx_patch_p_at_least(budget, DX_PATCH_P_RICH_BUDGET)) {
        d->literal_bits_ = 8;
        budget -= 5u * 61440;
    }
    dx_patch_p_make_mixer(m, budget, limit);
    if (!dx_patch_p_delta_start(d, &at, &left)) return DX_PATCH_ENOMEM;
    j->header.coding = DX_PATCH_CODING_RANGE;
    j->header.memory_size = dx_patch_p_delta_memory(d, m->finder.match_count);
    dx_patch_p_put_parameters(d, j->out);
    dx_patch_p_start_writing(&d->coder_, j->out + DX_PATCH_P_PARAMETERS_SIZE,
                             j->capacity - DX_PATCH_P_PARAMETERS_SIZE);
    dx_patch_p_put_delta(m);
    DX_PATCH_ASSERT(!d->coder_.bad_number_);
    j->used = j->target_size; /* out of room: plain coding is tried */
    if (!d->coder_.overrun_) j->used = d->coder_.at_ + DX_PATCH_P_PARAMETERS_SIZE;
    return j->used < j->target_size ? DX_PATCH_OK : dx_patch_p_make_plain(j);
}

#ifdef DX_PATCH_P_MAKES_STREAMS
/* >>sectionmaker: deltas of streams, written --------------------------------------
   The target is scanned once. Gaps go through the parser, matches through their blocks; each kind
   of symbol has a sink of its own. When a sink is nearly full, or the target is complete, the sinks
   become the streams of a section:

        walk       gap | match ........ | gap | match    |  ..
        sinks      runs sources sizes bits literals hinted | equal ids right runs wrong fixes
                     \______________ each in its smallest form _____________/
        body       parameters | map | section | section | ..

   A delta may have no matches at all; then it is copies from start to end. That is best for text
   and tables, matches are best for programs; if the choice is not clear, both are made. */
#define DX_PATCH_P_MARKS 64u         /* equal parts of a target */
#define DX_PATCH_P_PROBE 16u         /* the first of this many parts of a target is probed */
#define DX_PATCH_P_SAMPLE_EVERY 8u   /* of this many SAMPLEs of a gap one is parsed */
#ifndef DX_PATCH_P_SINK_MAX /* a test makes these small */
  #define DX_PATCH_P_SAMPLE 16384u     /* bytes of a gap that show the prices of its symbols */
  #define DX_PATCH_P_SINK_MAX 262144u  /* approximate max bytes of a kind in a section */
  #define DX_PATCH_P_INDEX_MIN 64u     /* min matches that are worth an index of the map */
  #define DX_PATCH_P_JOINED 64u        /* max contexts that form groups; the others join these */
#endif
#define DX_PATCH_P_BLOCK_ROOM 12288u /* max bytes that a block writes to a sink */
#define DX_PATCH_P_SHARE_MIN 512u    /* min literals worth distributing over streams */
#define DX_PATCH_P_INDEX_LOG 9u      /* log2 of the granules of an index of the map */

enum { /* sinks of matches, */
    DX_PATCH_P_S_EQUAL,
    DX_PATCH_P_S_IDS,
    DX_PATCH_P_S_RIGHT,
    DX_PATCH_P_S_RUNS,
    DX_PATCH_P_S_WRONG,
    DX_PATCH_P_S_BOTH, /* runs and wrong bytes, interleaved */
    DX_PATCH_P_S_FIX,
    DX_PATCH_P_SINKS = DX_PATCH_P_S_FIX + DX_PATCH_P_FIXES,
    /* and of the map */
    DX_PATCH_P_S_SETUP = 0,
    DX_PATCH_P_S_GAPS,
    DX_PATCH_P_S_SIZES,
    DX_PATCH_P_S_JUMPS,
    DX_PATCH_P_MAP_SINKS
};

typedef struct dx_patch_p_start { /* state carried from one section to the next */
    size_t at;
    size_t match;
    uint64_t match_left;
    dx_patch_p_lines lines;
} dx_patch_p_start;

typedef struct dx_patch_p_writer {
    dx_patch_p_maker *maker;
    dx_patch_p_parser parser;
    dx_patch_p_parser inner; /* for repeats in streams; used when the other one is not */
    dx_patch_p_sink sinks[DX_PATCH_P_SINKS];
    dx_patch_p_sink body;
    dx_patch_p_store memory; /* for indexes and sections, */
    dx_patch_p_store store;  /* and the rest of it after the indexes */
    uint32_t *table;        /* of rANS, to read sections back */
    uint64_t right;         /* right fields since the last wrong one */
    size_t at;              /* bytes of the target written */
    size_t match;           /* matches started */
    uint64_t match_left;    /* bytes left of the last one */
    uint64_t marks[DX_PATCH_P_MARKS + 1]; /* size of the first body at each part of the target, */
    uint64_t rival;                       /* and in all; 0: there is no first body */
    size_t probe_at;        /* where the first body was probed, or 0, */
    uint64_t probe_size;    /* and its approximate size there */
    dx_patch_p_start start; /* start of the section */
    bool indexed_all;       /* not only the places that one body looks for */
    bool hopeless;          /* the second body will be larger than the first one */
    bool starved;           /* a body was given up for lack of memory */
    bool wrong;             /* a section does not reproduce its part of the target */
    uint32_t section_max;
    uint32_t decoded_max;
} dx_patch_p_writer;

static size_t dx_patch_p_sink_size(const dx_patch_p_sink *s) { return (size_t)(s->at - s->start); }

/* Write the content of a sink as a stream in its smallest form. */
static void dx_patch_p_put_sink(dx_patch_p_writer *w, dx_patch_p_sink *to,
                                dx_patch_p_store store, const dx_patch_p_sink *from)
{
    DX_PATCH_ASSERT(!from->full && !from->count); /* a section ends before a sink is full */
    dx_patch_p_put_stream(to, &w->inner, store, from->start, dx_patch_p_sink_size(from));
}

/* Prices of the symbols of blocks, from their counts. */
static void dx_patch_p_price_blocks(dx_patch_p_maker *m)
{
    const dx_patch_p_block_prices *from = &m->counts;
    dx_patch_p_block_prices *to = &m->prices;
    uint32_t id;
    dx_patch_p_price_list(to->wrong, from->wrong, 256);
    dx_patch_p_price_list(to->runs, from->runs, DX_PATCH_P_CODES);
    dx_patch_p_price_list(to->lengths, from->lengths, 65);
    for (id = 0; id < DX_PATCH_P_IDS; id++)
        dx_patch_p_price_list(to->fields[id], from->fields[id], 2);
}

/* Initial guess, before anything was written. */
static void dx_patch_p_first_block_prices(dx_patch_p_maker *m)
{
    uint32_t i;
    DX_PATCH_MEMSET(&m->counts, 0, sizeof m->counts);
    for (i = 0; i < 256; i++) m->counts.wrong[i] = 4;
    for (i = 0; i < 32; i++) m->counts.runs[i] = 32;
    for (i = 1; i < 33; i++) m->counts.lengths[i] = 16;
    for (i = 0; i < DX_PATCH_P_IDS; i++) {
        m->counts.fields[i][0] = 60;
        m->counts.fields[i][1] = 4;
    }
    dx_patch_p_price_blocks(m);
}

/* Code the fields of a block in m->now; returns their price. */
static uint64_t dx_patch_p_stream_fields(dx_patch_p_maker *m, dx_patch_p_writer *w, uint32_t id,
                                         dx_patch_p_block *b)
{
    dx_patch_p_delta *d = &m->delta;
    uint64_t price = 0;
    while (id != DX_PATCH_P_ID_NONE) {
        dx_patch_p_field f;
        uint64_t value, error, number;
        uint32_t length;
        b->at = dx_patch_p_next_place(id, b, b->at, b->from);
        if (b->at >= b->size) break;
        f = dx_patch_p_predict(&d->predictor_, id, b, b->at, b->from);
        if (!f.size) {
            b->at++;
            continue;
        }
        value = dx_patch_p_load_field(b->new_bytes + b->at, f.form, f.size);
        error = dx_patch_p_sign(value - f.value, 8 * f.size);
        number = dx_patch_p_zigzag(error);
        length = dx_patch_p_length(number);
        price += m->prices.fields[id][error != 0];
        if (error) price += m->prices.lengths[length] + 14 * length; /* some repeat */
        if (w) m->counts.fields[id][error != 0]++;
        if (w && error) {
            dx_patch_p_sink *fix = w->sinks + DX_PATCH_P_S_FIX + dx_patch_p_fix_kind(id);
            dx_patch_p_sink_number(fix, number - 1);
            dx_patch_p_sink_number(w->sinks + DX_PATCH_P_S_RIGHT, w->right);
            w->right = 0;
            m->counts.lengths[length]++;
        } else if (w) {
            w->right++;
        }
        dx_patch_p_learn_field(&d->predictor_, &f, error);
        dx_patch_p_store_field(m->now + b->at, f.form, f.size, value);
        b->at += f.size;
        b->from = (int32_t)b->at;
    }
    if (b->from > (int32_t)b->size) b->size = (uint32_t)b->from;
    DX_PATCH_ASSERT(b->size <= b->limit);
    return price;
}

/* The entry for the pair that followed these two pairs last: runs with their wrong bytes. */
static uint32_t *dx_patch_p_pair_after(dx_patch_p_maker *m, uint32_t last, uint32_t last_but_one)
{
    uint32_t h = (last * 0x9e3779b1u + last_but_one) * 0x85ebca6bu & 0xffffffffu;
    DX_PATCH_ASSERT(m->repeats);
    return m->repeats + (h >> 20) % DX_PATCH_P_PAIRS;
}

/* Code a block with this predictor; without a writer, only compute its price, in sixteenths of a
   bit. Learned corrections are kept. */
static uint64_t dx_patch_p_stream_block(dx_patch_p_maker *m, dx_patch_p_writer *w, uint32_t id,
                                        dx_patch_p_block *b)
{
    enum { AGAIN = 24 }; /* price of a pair that also followed the same two last time */
    uint64_t price;
    uint32_t at = 0, bits, last_one = m->pairs[0], last_but_one = m->pairs[1];
    DX_PATCH_ASSERT(b->limit <= sizeof m->now && b->new_bytes);
    DX_PATCH_MEMCPY(m->now, b->old_bytes, b->limit);
    price = dx_patch_p_stream_fields(m, w, id, b);
    while (at < b->size) {
        uint32_t run = (uint32_t)dx_patch_p_same(m->now + at, b->new_bytes + at, b->size - at);
        bool last = at + run == b->size;
        uint32_t number = last ? 0 : run + 1;
        uint32_t code = dx_patch_p_number_code(number, &bits), wrong = 0;
        uint32_t pair, *repeat;
        at += run + 1;
        if (!last) wrong = (uint32_t)(b->new_bytes[at - 1] - m->now[at - 1]) & 255;
        pair = number << 8 | wrong;
        repeat = dx_patch_p_pair_after(m, last_one, last_but_one);
        if (*repeat == pair) price += AGAIN;
        else price += m->prices.runs[code] + 16 * bits + (last ? 0 : m->prices.wrong[wrong]);
        last_but_one = last_one;
        last_one = pair;
        if (w) {
            *repeat = pair;
            m->counts.runs[code]++;
            dx_patch_p_sink_number(w->sinks + DX_PATCH_P_S_RUNS, number);
            dx_patch_p_sink_number(w->sinks + DX_PATCH_P_S_BOTH, number);
        }
        if (last) break;
        if (!w) continue;
        m->counts.wrong[wrong]++;
        dx_patch_p_sink_byte(w->sinks + DX_PATCH_P_S_WRONG, wrong);
        dx_patch_p_sink_byte(w->sinks + DX_PATCH_P_S_BOTH, wrong);
    }
    if (w) {
        m->pairs[0] = last_one;
        m->pairs[1] = last_but_one;
    }
    return price;
}

/* Is there room for one more block? */
static bool dx_patch_p_writer_has_room(const dx_patch_p_writer *w)
{
    uint32_t i;
    for (i = 0; i < DX_PATCH_P_SINKS; i++)
        if (w->sinks[i].end - w->sinks[i].at < (ptrdiff_t)DX_PATCH_P_BLOCK_ROOM) return false;
    return true;
}

/* Code the rest of a match, as much as there is room for. */
static void dx_patch_p_walk_match(dx_patch_p_writer *w)
{
    const dx_patch_p_finder *f = &w->maker->finder;
    const dx_patch_p_match *c = f->matches + w->match - 1;
    dx_patch_p_delta *d = &w->maker->delta;
    DX_PATCH_ASSERT(w->match > 0 && w->match_left > 0);
    while (w->match_left && dx_patch_p_writer_has_room(w)) {
        uint64_t old_at = c->old_at + (w->at - c->new_at), left = w->match_left, equal = 0;
        const uint8_t *p = f->base + old_at, *q = f->target + w->at;
        uint64_t size = 0, done = 0;
        dx_patch_p_block b;
        DX_PATCH_ASSERT(w->at + left == c->new_at + c->size);
        for (; done < left; done += size, equal++) {
            size = left - done < DX_PATCH_P_BLOCK ? left - done : DX_PATCH_P_BLOCK;
            if (DX_PATCH_MEMCMP(p + done, q + done, (size_t)size) != 0) break;
        }
        dx_patch_p_sink_number(w->sinks + DX_PATCH_P_S_EQUAL, equal);
        w->at += (size_t)done;
        w->match_left -= done;
        if (!w->match_left) break;
        b.old_bytes = p + done;
        b.new_bytes = q + done;
        b.old_at = old_at + done;
        b.new_at = w->at;
        dx_patch_p_start_block(d, &b, w->match_left);
        d->id_ = dx_patch_p_choose(w->maker, &b);
        dx_patch_p_sink_byte(w->sinks + DX_PATCH_P_S_IDS, d->id_);
        (void)dx_patch_p_stream_block(w->maker, w, d->id_, &b);
        if (w->maker->blocks % 16 == 0) dx_patch_p_price_blocks(w->maker);
        w->at += b.size;
        w->match_left -= b.size;
    }
}

/* How much of a gap up to `end` is coded at once. For prices a sample is enough, unless the gap is
   small; a second body stops where it can be compared with its rival. */
static size_t dx_patch_p_walk_to(const dx_patch_p_writer *w, size_t end, bool prices_only)
{
    size_t left = end - w->at;
    DX_PATCH_ASSERT(w->at <= end);
    if (prices_only) return left > DX_PATCH_P_SAMPLE ? w->at + DX_PATCH_P_SAMPLE : end;
    return w->rival && w->at < w->probe_at ? w->probe_at : end;
}

/* Where the next sample of a gap starts. */
static size_t dx_patch_p_walk_past(size_t at, size_t end)
{
    const size_t skip = (DX_PATCH_P_SAMPLE_EVERY - 1) * DX_PATCH_P_SAMPLE;
    DX_PATCH_ASSERT(at <= end);
    return end - at > skip ? at + skip : end;
}

/* Approximate size of a stream, without repeats. */
static uint64_t dx_patch_p_plain_size(const dx_patch_p_sink *s)
{
    dx_patch_p_table t;
    uint32_t chunk, log;
    size_t size = dx_patch_p_sink_size(s);
    uint64_t price = size ? dx_patch_p_coded_price(&t, s->start, size, &chunk, &log) : 0;
    return price / 128 < size ? price / 128 : size;
}

/* Approximate size of the first section so far. */
static uint64_t dx_patch_p_section_size(const dx_patch_p_writer *w)
{
    const dx_patch_p_parser *p = &w->parser;
    uint64_t size = dx_patch_p_plain_size(&p->runs) + dx_patch_p_plain_size(&p->sources) +
                    dx_patch_p_plain_size(&p->sizes) + dx_patch_p_plain_size(&p->literals) +
                    dx_patch_p_plain_size(&p->hinted) + dx_patch_p_sink_size(&p->bits);
    uint32_t i;
    for (i = 0; i < DX_PATCH_P_SINKS && w->maker->delta.map_; i++)
        if (i != DX_PATCH_P_S_BOTH) size += dx_patch_p_plain_size(w->sinks + i);
    return size;
}

/* Record the size of the first part of a body with matches, to compare a rival with. */
static void dx_patch_p_probe(dx_patch_p_writer *w)
{
    size_t probe = w->parser.target_size / DX_PATCH_P_PROBE;
    if (w->rival || !w->maker->delta.map_ || w->probe_at || w->at < probe) return;
    if (probe < DX_PATCH_P_SINK_MAX || w->marks[1]) return; /* small; or another section */
    DX_PATCH_ASSERT(w->maker->finder.match_count > 0); /* there is a map */
    w->probe_at = w->at;
    w->probe_size = dx_patch_p_section_size(w) + /* plus its part of the map */
                    dx_patch_p_sink_size(&w->body) * w->match / w->maker->finder.match_count;
    DX_PATCH_ASSERT(w->probe_at <= w->parser.target_size);
}

/* Code gaps and matches until a section is full. prices_only: only gaps, for their counts. */
static void dx_patch_p_walk(dx_patch_p_writer *w, bool prices_only)
{
    const dx_patch_p_finder *f = &w->maker->finder;
    size_t count = w->maker->delta.map_ ? f->match_count : 0, end, stop;
    DX_PATCH_ASSERT(w->match <= f->match_count);
    while (w->at < f->target_size && !w->hopeless) {
        const dx_patch_p_match *next = f->matches + w->match;
        if (!prices_only) dx_patch_p_probe(w);
        if (w->match_left && prices_only) {
            w->at += (size_t)w->match_left;
            w->match_left = 0;
        } else if (w->match_left) {
            dx_patch_p_walk_match(w);
            if (w->match_left) return;
        } else if (w->match < count && next->new_at == w->at) {
            dx_patch_p_move_lines(&w->parser.lines, next->new_at, next->old_at, next->size);
            w->match_left = next->size;
            w->match++;
        } else {
            end = w->match < count ? (size_t)next->new_at : f->target_size;
            stop = dx_patch_p_walk_to(w, end, prices_only);
            w->at = dx_patch_p_parse(&w->parser, w->at, stop, prices_only || stop == end);
            if (w->at < stop) return;
            if (prices_only) w->at = dx_patch_p_walk_past(stop, end);
            else if (stop < end && dx_patch_p_section_size(w) > w->probe_size + w->probe_size / 16)
                w->hopeless = true;
        }
    }
}

/* Approximate price of bytes with these counts, including their table. */
static uint64_t dx_patch_p_counts_price(const uint32_t *a, const uint32_t *b)
{
    uint64_t price = 16 * 160; /* min price of a stream's other parts and a table */
    uint32_t total = 0, log, i;
    for (i = 0; i < 256; i++) total += a[i] + b[i];
    if (!total) return 0;
    log = dx_patch_p_log2(total);
    for (i = 0; i < 256; i++)
        if (a[i] + b[i])
            price += (uint64_t)(a[i] + b[i]) * (log - dx_patch_p_log2(a[i] + b[i])) + 16 * 5;
    return price;
}

typedef struct dx_patch_p_groups { /* literals by context, contexts by group */
    uint32_t counts[256][256];              /* of literals, by context */
    uint32_t totals[256];                   /* of each context */
    uint32_t sums[DX_PATCH_P_JOINED][256];  /* of each group */
    uint32_t prices[DX_PATCH_P_SHELF][256]; /* of a byte, in a group */
    int64_t gains[DX_PATCH_P_JOINED][DX_PATCH_P_JOINED]; /* of merging two groups, row < column */
    uint8_t list[256];                      /* the group of each context */
    uint32_t count;                         /* groups */
} dx_patch_p_groups;

/* Saving if two groups share a table, in sixteenths of a bit; negative: they differ. */
static int64_t dx_patch_p_join_gain(const dx_patch_p_groups *g, uint32_t a, uint32_t b)
{
    static const uint32_t none[256] = {0};
    uint64_t apart = dx_patch_p_counts_price(g->sums[a], none);
    apart += dx_patch_p_counts_price(g->sums[b], none);
    DX_PATCH_ASSERT(a < b && b < g->count);
    return (int64_t)apart - (int64_t)dx_patch_p_counts_price(g->sums[a], g->sums[b]);
}

/* Start with the most frequent contexts, each a group; then merge the two groups that gain most, as
   long as any gain or there are too many. */
static void dx_patch_p_join_groups(dx_patch_p_groups *g)
{
    uint32_t context, group, a, b, best_a, best_b, i;
    for (g->count = 0; g->count < DX_PATCH_P_JOINED; g->count++) {
        uint32_t most = 0;
        for (context = 1; context < 256; context++)
            if (g->totals[context] > g->totals[most]) most = context;
        if (!g->totals[most]) break;
        DX_PATCH_MEMCPY(g->sums[g->count], g->counts[most], sizeof g->sums[0]);
        g->totals[most] = 0;
    }
    for (b = 1; b < g->count; b++)
        for (a = 0; a < b; a++) g->gains[a][b] = dx_patch_p_join_gain(g, a, b);
    while (g->count > 1) {
        best_a = 0;
        best_b = 1;
        for (b = 1; b < g->count; b++)
            for (a = 0; a < b; a++)
                if (g->gains[a][b] > g->gains[best_a][best_b]) {
                    best_a = a;
                    best_b = b;
                }
        if (g->gains[best_a][best_b] < 0 && g->count <= DX_PATCH_P_SHELF) break;
        for (i = 0; i < 256; i++) g->sums[best_a][i] += g->sums[best_b][i];
        g->count--; /* the last one moves into the slot of the second */
        DX_PATCH_MEMCPY(g->sums[best_b], g->sums[g->count], sizeof g->sums[0]);
        for (group = 0; group < g->count; group++) {
            if (group < best_b) g->gains[group][best_b] = g->gains[group][g->count];
            if (group > best_b) g->gains[best_b][group] = g->gains[group][g->count];
        }
        for (group = 0; group < g->count; group++) {
            if (group < best_a) g->gains[group][best_a] = dx_patch_p_join_gain(g, group, best_a);
            if (group > best_a) g->gains[best_a][group] = dx_patch_p_join_gain(g, best_a, group);
        }
    }
    DX_PATCH_ASSERT(g->count <= DX_PATCH_P_SHELF);
}

/* Assign each context to the group that makes it cheapest; contexts without literals join the
   context before them, which keeps the list short. */
static void dx_patch_p_assign_groups(dx_patch_p_groups *g)
{
    uint32_t context, group, byte;
    for (group = 0; group < g->count; group++)
        dx_patch_p_price_list(g->prices[group], g->sums[group], 256);
    DX_PATCH_MEMSET(g->sums, 0, sizeof g->sums);
    for (context = 0; context < 256; context++) {
        const uint32_t *counts = g->counts[context];
        uint64_t best = UINT64_MAX;
        uint32_t used = 0;
        g->list[context] = context ? g->list[context - 1] : 0;
        for (byte = 0; byte < 256; byte++) used += counts[byte] > 0;
        for (group = 0; group < g->count && used; group++) {
            uint64_t price = 0;
            for (byte = 0; byte < 256; byte++)
                price += (uint64_t)counts[byte] * g->prices[group][byte];
            if (price >= best) continue;
            best = price;
            g->list[context] = (uint8_t)group;
        }
        group = g->list[context];
        DX_PATCH_ASSERT(group < g->count);
        for (byte = 0; byte < 256; byte++) g->sums[group][byte] += counts[byte];
    }
}

/* Distribute contexts over streams so that the frequent bytes of a stream are frequent in all of
   its contexts. NULL: too little memory, or nothing to group. */
static dx_patch_p_groups *dx_patch_p_group(dx_patch_p_store *store,
                                           const dx_patch_p_sink *literals,
                                           const dx_patch_p_sink *contexts)
{
    dx_patch_p_groups *g;
    size_t i, size = dx_patch_p_sink_size(literals);
    DX_PATCH_ASSERT(dx_patch_p_sink_size(contexts) == size);
    (void)dx_patch_p_store_alloc(store, (0 - (uintptr_t)store->at) & 7); /* align it */
    g = (dx_patch_p_groups *)(void *)dx_patch_p_store_alloc(store, sizeof *g);
    if (!g) return NULL;
    DX_PATCH_ASSERT(((uintptr_t)g & 7) == 0);
    DX_PATCH_MEMSET(g, 0, sizeof *g);
    for (i = 0; i < size; i++) {
        g->counts[contexts->start[i]][literals->start[i]]++;
        g->totals[contexts->start[i]]++;
    }
    dx_patch_p_join_groups(g);
    if (g->count < 2) return NULL;
    dx_patch_p_assign_groups(g);
    dx_patch_p_assign_groups(g);
    return g;
}

/* Write a shelf of several streams: by place or, hinted, as differences; or by group if
   there are groups. */
static void dx_patch_p_put_shared(dx_patch_p_writer *w, dx_patch_p_sink *to,
                                  dx_patch_p_store store, const dx_patch_p_sink *literals,
                                  const dx_patch_p_sink *contexts, const dx_patch_p_groups *groups,
                                  bool hinted)
{
    size_t size = dx_patch_p_sink_size(literals), i, shared = 0;
    uint8_t *part = dx_patch_p_store_alloc(&store, size);
    uint32_t stream, mode = groups ? DX_PATCH_P_SHELF_BYTE : DX_PATCH_P_SHELF_PLACE;
    uint32_t count = groups ? groups->count : hinted ? 1u : 4u;
    DX_PATCH_ASSERT(count <= DX_PATCH_P_SHELF && dx_patch_p_sink_size(contexts) == size);
    dx_patch_p_sink_byte(to, mode | count << 2);
    if (groups) dx_patch_p_put_stream(to, &w->inner, store, groups->list, 256);
    if (!part) to->full = true;
    for (stream = 0; stream < count && part; stream++) {
        size_t used = 0;
        for (i = 0; i < size; i++) {
            uint32_t context = contexts->start[i], byte = literals->start[i];
            if (groups) context = groups->list[context];
            else if (hinted) byte = (byte - context) & 255;
            if (context == stream || (hinted && !groups)) part[used++] = (uint8_t)byte;
        }
        dx_patch_p_put_plain(to, part, used);
        shared += used;
    }
    DX_PATCH_ASSERT(!part || shared == size); /* every literal is in one of the streams */
    (void)shared;
}

/* Write literals in the smallest mode. `contexts`: the byte before each or, hinted, the old byte in
   its place; `places`: the low bits of its offset, or NULL if they are hinted. */
static void dx_patch_p_put_shelf(dx_patch_p_writer *w, dx_patch_p_sink *to, dx_patch_p_store store,
                                 const dx_patch_p_sink *literals, const dx_patch_p_sink *contexts,
                                 const dx_patch_p_sink *places)
{
    size_t size = dx_patch_p_sink_size(literals);
    dx_patch_p_sink best = *to, other;
    const dx_patch_p_groups *groups = NULL;
    uint32_t way;
    DX_PATCH_ASSERT(!places || dx_patch_p_sink_size(places) == size);
    dx_patch_p_sink_byte(&best, DX_PATCH_P_SHELF_ONE | 1 << 2);
    dx_patch_p_put_plain(&best, literals->start, size);
    if (size < DX_PATCH_P_SHARE_MIN ||
        !dx_patch_p_sink_start(&other, &store, (uint64_t)size + size / 4 + 8192)) {
        *to = best;
        return;
    }
    for (way = 0; way < 2; way++) {
        const dx_patch_p_sink *by = way || !places ? contexts : places;
        if (way) groups = dx_patch_p_group(&store, literals, contexts);
        if (way && !groups) break;
        other.at = other.start;
        other.full = false;
        dx_patch_p_put_shared(w, &other, store, literals, by, groups, !places);
        if (other.full || dx_patch_p_sink_size(&other) >= (size_t)(best.at - to->at)) continue;
        best.at = to->at;
        dx_patch_p_sink_bytes(&best, other.start, dx_patch_p_sink_size(&other));
    }
    *to = best;
}

/* Write numbers, split into planes if that is smaller. */
static void dx_patch_p_put_planes(dx_patch_p_writer *w, dx_patch_p_sink *to,
                                  dx_patch_p_store store, const dx_patch_p_sink *numbers)
{
    dx_patch_p_sink plain = *to, split, lengths, plane;
    dx_patch_p_span in;
    uint64_t v;
    uint32_t length, i;
    bool fits = true;
    dx_patch_p_sink_byte(&plain, 0);
    dx_patch_p_put_sink(w, &plain, store, numbers);
    in.end = numbers->at;
    if (dx_patch_p_sink_size(numbers) < 64 ||
        !dx_patch_p_sink_start(&split, &store, dx_patch_p_sink_size(numbers) * 2 + 4096) ||
        !dx_patch_p_sink_start(&lengths, &store, dx_patch_p_sink_size(numbers)) ||
        !dx_patch_p_sink_start(&plane, &store, dx_patch_p_sink_size(numbers))) {
        *to = plain;
        return;
    }
    for (in.at = numbers->start; in.at < in.end;) {
        (void)dx_patch_p_span_number(&in, &v);
        fits = fits && !(v >> 32);
        length = (dx_patch_p_length(v | 1) + 7) / 8;
        dx_patch_p_sink_byte(&lengths, length);
    }
    dx_patch_p_sink_byte(&split, 1);
    if (fits) dx_patch_p_put_sink(w, &split, store, &lengths);
    for (length = 1; length <= 4 && fits; length++)
        for (i = 0; i < length; i++) {
            plane.at = plane.start;
            for (in.at = numbers->start; in.at < in.end;) {
                (void)dx_patch_p_span_number(&in, &v);
                if ((dx_patch_p_length(v | 1) + 7) / 8 != length) continue;
                dx_patch_p_sink_byte(&plane, (uint32_t)(v >> 8 * i & 255));
            }
            if (dx_patch_p_sink_size(&plane)) dx_patch_p_put_sink(w, &split, store, &plane);
        }
    fits = fits && !split.full && !plain.full &&
           dx_patch_p_sink_size(&split) < (size_t)(plain.at - to->at);
    if (fits) dx_patch_p_sink_bytes(to, split.start, dx_patch_p_sink_size(&split));
    else *to = plain;
}

/* Write the streams of matches. Runs and wrong bytes are tried in separate streams and
   interleaved. */
static void dx_patch_p_put_match_streams(dx_patch_p_writer *w, dx_patch_p_sink *to,
                                         dx_patch_p_store store)
{
    const dx_patch_p_sink *s = w->sinks;
    dx_patch_p_sink apart, turns;
    uint32_t i;
    DX_PATCH_ASSERT(dx_patch_p_sink_size(s + DX_PATCH_P_S_BOTH) ==
                    dx_patch_p_sink_size(s + DX_PATCH_P_S_RUNS) +
                        dx_patch_p_sink_size(s + DX_PATCH_P_S_WRONG));
    for (i = DX_PATCH_P_S_EQUAL; i <= DX_PATCH_P_S_RIGHT; i++)
        dx_patch_p_put_sink(w, to, store, s + i);
    apart = *to;
    dx_patch_p_put_sink(w, &apart, store, s + DX_PATCH_P_S_RUNS);
    dx_patch_p_put_sink(w, &apart, store, s + DX_PATCH_P_S_WRONG);
    turns = *to;
    dx_patch_p_put_sink(w, &turns, store, s + DX_PATCH_P_S_BOTH);
    dx_patch_p_put_plain(&turns, NULL, 0);
    if (apart.at <= turns.at) { /* these were overwritten by the other one */
        apart = *to;
        dx_patch_p_put_sink(w, &apart, store, s + DX_PATCH_P_S_RUNS);
        dx_patch_p_put_sink(w, &apart, store, s + DX_PATCH_P_S_WRONG);
        *to = apart;
    } else {
        *to = turns;
    }
    for (i = 0; i < DX_PATCH_P_FIXES; i++)
        dx_patch_p_put_planes(w, to, store, s + DX_PATCH_P_S_FIX + i);
}

/* Append a section to the body: its size, the target bytes it makes, its streams. */
static void dx_patch_p_put_section(dx_patch_p_writer *w, const dx_patch_p_sink *section,
                                   uint64_t made, uint64_t decoded)
{
    size_t size = dx_patch_p_sink_size(section);
    DX_PATCH_ASSERT(decoded <= UINT32_MAX);
    dx_patch_p_sink_number(&w->body, size);
    dx_patch_p_sink_number(&w->body, made);
    dx_patch_p_sink_bytes(&w->body, section->start, size);
    if (size > w->section_max) w->section_max = (uint32_t)size;
    if (decoded > w->decoded_max) w->decoded_max = (uint32_t)decoded;
}

/* Do the copies of a section, read back, reproduce its bytes of the target? They are checked as a
   reader would: a copy that it would refuse is a bug in this file and must never get into a
   patch. */
static bool dx_patch_p_copies_right(const dx_patch_p_writer *w, dx_patch_p_section *s)
{
    const dx_patch_p_finder *f = &w->maker->finder;
    const size_t count = w->maker->delta.map_ ? f->match_count : 0;
    uint64_t at = w->start.at, match_left = w->start.match_left;
    size_t match = w->start.match;
    s->copier.lines = w->start.lines;
    DX_PATCH_ASSERT(at <= w->at && match <= f->match_count);
    while (at < w->at) {
        const dx_patch_p_match *next = f->matches + match;
        uint64_t end = match < count && next->new_at < w->at ? next->new_at : w->at;
        dx_patch_p_copy copy;
        if (match_left) {
            uint64_t part = match_left < w->at - at ? match_left : w->at - at;
            at += part;
            match_left -= part;
            continue;
        }
        if (match < count && next->new_at == at) {
            dx_patch_p_move_lines(&s->copier.lines, at, next->old_at, next->size);
            match_left = next->size;
            match++;
            continue;
        }
        if (!dx_patch_p_next_copy(&s->copier, at, end - at, f->base_size, &copy)) return false;
        at += copy.literals;
        if (copy.size && DX_PATCH_MEMCMP((copy.own ? f->target : f->base) + copy.source,
                                         f->target + at, (size_t)copy.size) != 0)
            return false;
        at += copy.size;
    }
    return dx_patch_p_copier_done(&s->copier);
}

/* The memory that the streams of a section take, found by reading them back over the sinks from
   which they were made. */
static uint64_t dx_patch_p_decoded_size(dx_patch_p_writer *w, const dx_patch_p_sink *section,
                                        bool map)
{
    size_t size = (size_t)(section->start - w->store.at);
    dx_patch_p_section s;
    dx_patch_p_span span;
    bool read = !section->full;
    uint32_t i;
    DX_PATCH_ASSERT(section->start >= w->store.at);
    DX_PATCH_MEMSET(&s, 0, sizeof s);
    s.streams.in.at = section->start;
    s.streams.in.end = section->at;
    s.streams.store = dx_patch_p_store_of(w->store.at, size);
    s.streams.table = w->table;
    for (i = 0; i < DX_PATCH_P_MAP_SINKS && map && read; i++)
        read = dx_patch_p_read_stream(&s.streams, &span);
    if (!map && read) read = dx_patch_p_read_section(&s, w->maker->delta.map_);
    DX_PATCH_ASSERT(read || section->full || s.streams.store.full);
    if (!read) w->starved = true;
    else if (!map && !dx_patch_p_copies_right(w, &s)) w->wrong = true;
    return size - s.streams.store.left_min;
}

/* Reserve half of the remaining memory for the section as it is written. */
static bool dx_patch_p_start_output(dx_patch_p_sink *section, dx_patch_p_store *store)
{
    return dx_patch_p_sink_start(section, store, store->left / 2);
}

/* Write the map: setup and matches. */
static bool dx_patch_p_put_map_section(dx_patch_p_writer *w)
{
    uint64_t (*setup)[DX_PATCH_P_SETUP_SIZE] = w->maker->delta.predictor_.setup_;
    const dx_patch_p_finder *f = &w->maker->finder;
    dx_patch_p_store store = w->store;
    dx_patch_p_sink *s = w->sinks, section;
    uint64_t new_end = 0, old_end = 0;
    size_t i, side;
    DX_PATCH_ASSERT(w->maker->delta.map_ && !w->at);
    for (i = 0; i < DX_PATCH_P_MAP_SINKS; i++)
        if (!dx_patch_p_sink_start(s + i, &store, 10 * (uint64_t)f->match_count + 800))
            return false;
    for (side = 0; side < 2; side++) {
        uint64_t words = DX_PATCH_P_SETUP_SEGMENT +
                         DX_PATCH_P_SEG_WORDS * setup[side][DX_PATCH_P_SETUP_COUNT];
        DX_PATCH_ASSERT(words <= DX_PATCH_P_SETUP_SIZE);
        for (i = 0; i < words; i++) {
            uint64_t v = setup[side][i] - (side ? setup[0][i] : 0);
            dx_patch_p_sink_number(s + DX_PATCH_P_S_SETUP, dx_patch_p_zigzag(v));
        }
    }
    for (i = 0; i < f->match_count; i++) {
        const dx_patch_p_match *c = f->matches + i;
        uint64_t gap = c->new_at - new_end;
        dx_patch_p_sink_number(s + DX_PATCH_P_S_GAPS, gap);
        dx_patch_p_sink_number(s + DX_PATCH_P_S_SIZES, c->size - 1);
        dx_patch_p_sink_number(s + DX_PATCH_P_S_JUMPS,
                               dx_patch_p_zigzag(c->old_at - (old_end + gap)));
        new_end = c->new_at + c->size;
        old_end = c->old_at + c->size;
    }
    DX_PATCH_ASSERT(new_end <= f->target_size);
    if (!dx_patch_p_start_output(&section, &store)) return false;
    for (i = 0; i < DX_PATCH_P_MAP_SINKS; i++) dx_patch_p_put_sink(w, &section, store, s + i);
    dx_patch_p_put_section(w, &section, 0, dx_patch_p_decoded_size(w, &section, true));
    return !w->body.full && !w->starved;
}

/* Allocate and reset the sinks of a section. */
static bool dx_patch_p_start_section(dx_patch_p_writer *w, dx_patch_p_store *store)
{
    dx_patch_p_parser *p = &w->parser;
    uint64_t size = w->maker->finder.target_size, room;
    uint32_t i;
    DX_PATCH_ASSERT(!w->maker->delta.map_ || w->maker->delta.predictor_.memory_);
    if (size > DX_PATCH_P_SINK_MAX) size = DX_PATCH_P_SINK_MAX;
    room = size + DX_PATCH_P_WAY_ROOM + 64;
    if (!dx_patch_p_parser_start(p, store, size) ||
        !dx_patch_p_sink_start(&p->befores, store, room) ||
        !dx_patch_p_sink_start(&p->places, store, room) ||
        !dx_patch_p_sink_start(&p->hinted, store, room) ||
        !dx_patch_p_sink_start(&p->olds, store, room))
        return false;
    for (i = 0; i < DX_PATCH_P_SINKS; i++)
        if (!dx_patch_p_sink_start(w->sinks + i, store, size + 2 * DX_PATCH_P_BLOCK_ROOM))
            return false;
    w->right = 0;
    if (w->maker->delta.map_)
        DX_PATCH_MEMSET(w->maker->delta.predictor_.memory_, 0, 4 * DX_PATCH_P_MEMORY);
    return true;
}

/* Write the next section. False: too little memory, or no room for the body. */
static bool dx_patch_p_make_section_streams(dx_patch_p_writer *w)
{
    dx_patch_p_store store = w->store;
    dx_patch_p_parser *p = &w->parser;
    dx_patch_p_sink section;
    size_t start = w->at;
    bool map = w->maker->delta.map_;
    if (!dx_patch_p_start_section(w, &store)) return false;
    w->start.at = w->at;
    w->start.match = w->match;
    w->start.match_left = w->match_left;
    w->start.lines = p->lines;
    dx_patch_p_walk(w, false);
    if (w->hopeless) return false;
    DX_PATCH_ASSERT(w->at > start);
    dx_patch_p_sink_end(&p->bits);
    dx_patch_p_set_prices(p);
    if (!dx_patch_p_start_output(&section, &store)) return false;
    dx_patch_p_put_sink(w, &section, store, &p->runs);
    dx_patch_p_put_sink(w, &section, store, &p->sources);
    dx_patch_p_put_sink(w, &section, store, &p->sizes);
    dx_patch_p_sink_number(&section, dx_patch_p_sink_size(&p->bits));
    dx_patch_p_sink_bytes(&section, p->bits.start, dx_patch_p_sink_size(&p->bits));
    dx_patch_p_put_shelf(w, &section, store, &p->literals, &p->befores, &p->places);
    dx_patch_p_put_shelf(w, &section, store, &p->hinted, &p->olds, NULL);
    if (map) dx_patch_p_put_match_streams(w, &section, store);
    dx_patch_p_put_section(w, &section, w->at - start, dx_patch_p_decoded_size(w, &section, false));
    return !w->body.full && !w->starved && !w->wrong;
}

/* Track the size of the body against the progress in the target. The first body is recorded; a
   second one is given up when it has become so large that it can hardly win. */
static bool dx_patch_p_keeps_up(dx_patch_p_writer *w, size_t before)
{
    uint64_t size = dx_patch_p_sink_size(&w->body), total = w->maker->finder.target_size;
    uint64_t mark = (uint64_t)w->at / (total / DX_PATCH_P_MARKS + 1), i;
    DX_PATCH_ASSERT(before < w->at && mark < DX_PATCH_P_MARKS);
    if (w->rival) return size <= w->marks[mark + 1] + w->rival / 16;
    for (i = (uint64_t)before / (total / DX_PATCH_P_MARKS + 1); i <= mark; i++)
        w->marks[i + 1] = size;
    return true;
}

/* Write all sections, after a scan that counts their copies and literals. */
static bool dx_patch_p_make_sections(dx_patch_p_writer *w)
{
    dx_patch_p_store store = w->store;
    bool made = true;
    w->at = 0;
    w->match = 0;
    w->match_left = 0;
    dx_patch_p_first_prices(&w->parser);
    dx_patch_p_parser_forget(&w->parser);
    if (!dx_patch_p_start_section(w, &store)) return false;
    dx_patch_p_walk(w, true);
    dx_patch_p_set_prices(&w->parser);
    dx_patch_p_parser_forget(&w->parser);
    w->at = 0;
    w->match = 0;
    w->match_left = 0;
    while (made && w->at < w->maker->finder.target_size) {
        size_t before = w->at;
        made = dx_patch_p_make_section_streams(w) && dx_patch_p_keeps_up(w, before);
    }
    DX_PATCH_ASSERT(!made || (w->at == w->maker->finder.target_size && !w->match_left));
    return made;
}

/* log2 of the number of lists for `count` places: at most one per place, and not too few. */
static uint32_t dx_patch_p_seeds_log(uint64_t count)
{
    uint32_t length = dx_patch_p_length(count), log = length < 9 ? 8 : length - 1;
    DX_PATCH_ASSERT(log >= 8);
    return log < 20 ? log : 20;
}

/* Memory of both indexes for a base of this size. */
static uint64_t dx_patch_p_seeds_memory(uint64_t base_size, uint64_t stride)
{
    uint64_t count = base_size / stride + 1;
    DX_PATCH_ASSERT(stride > 0);
    return 8 * (count + ((uint64_t)1 << dx_patch_p_seeds_log(count)) + 2) ;
}

/* The bit for eight bytes, in the map of wanted seeds. */
static bool dx_patch_p_is_sought(uint8_t *sought, const uint8_t *p, bool note)
{
    uint64_t bit = dx_patch_p_load64(p) * 0x9e3779b97f4a7c15u >> (64 - DX_PATCH_P_SOUGHT_LOG);
    uint8_t *byte = sought + (size_t)(bit >> 3), mask = (uint8_t)((uint32_t)1 << (bit & 7));
    DX_PATCH_ASSERT(sought);
    if (note) *byte = (uint8_t)(*byte | mask);
    return (*byte & mask) != 0;
}

/* Note these places of the target as wanted; returns their count. */
static size_t dx_patch_p_seek(const dx_patch_p_parser *p, uint8_t *sought, size_t from, size_t to)
{
    size_t at = from;
    DX_PATCH_ASSERT(from <= to && to <= p->target_size);
    for (; at < to && p->target_size - at >= 8; at++)
        (void)dx_patch_p_is_sought(sought, p->target + at, true);
    return at - from;
}

/* With a map, seeds are wanted in gaps. Without one, they are wanted where the target is not in
   line with a match and where it gets into line: a copy found there extends to the end of its
   line. */
static size_t dx_patch_p_seek_all(const dx_patch_p_writer *w, uint8_t *sought)
{
    const dx_patch_p_parser *p = &w->parser;
    const dx_patch_p_finder *f = &w->maker->finder;
    size_t count = 0, at = 0, i;
    DX_PATCH_MEMSET(sought, 0, (size_t)1 << (DX_PATCH_P_SOUGHT_LOG - 3));
    for (i = 0; i < f->match_count; i++) {
        const dx_patch_p_match *c = f->matches + i;
        size_t from = (size_t)c->new_at, end = from + (size_t)c->size, run;
        DX_PATCH_ASSERT(at <= from && end <= p->target_size);
        if (w->maker->delta.map_) {
            count += dx_patch_p_seek(p, sought, at, from);
            at = end;
            continue;
        }
        for (; from < end; from += run + 1) {
            size_t old_at = (size_t)c->old_at + (from - (size_t)c->new_at);
            run = dx_patch_p_same(p->target + from, p->base + old_at, end - from);
            if (run < 2 * DX_PATCH_P_NICE) continue;
            count += dx_patch_p_seek(p, sought, at, from + DX_PATCH_P_NICE);
            at = from + run;
        }
    }
    return count + dx_patch_p_seek(p, sought, at, p->target_size);
}

/* The hashes of the next places: at most DX_PATCH_P_LOT_SEEDS of those given, starting with `from`.
   Their lists are prefetched. Returns how many; 0 at the end of the base. */
static size_t dx_patch_p_next_seeds(const dx_patch_p_parser *p, const dx_patch_p_seeds *s,
                                    const dx_patch_p_places *all, size_t from, uint32_t *places,
                                    uint32_t *hashes)
{
    size_t end = p->base_size < s->size ? 0 : p->base_size - s->size + 1, n = 0;
    DX_PATCH_ASSERT(s->size % 8 == 0 && all->stride > 0);
    for (; n < DX_PATCH_P_LOT_SEEDS && from + n < all->count; n++) {
        size_t at = all->list ? all->list[from + n] : (from + n) * all->stride;
        if (at >= end) break;
        places[n] = (uint32_t)at;
        hashes[n] = (uint32_t)(dx_patch_p_seed_hash(p->base + at, s->size) >> (64 - s->log));
        DX_PATCH_P_PREFETCH(s->starts + hashes[n] + 1);
    }
    return n;
}

/* Index places of the base by their seeds. If there is too little memory, the index stays empty. */
static void dx_patch_p_index_seeds(dx_patch_p_parser *p, dx_patch_p_seeds *s,
                                   dx_patch_p_store *store, const dx_patch_p_places *all)
{
    uint32_t lists = ((uint32_t)1 << s->log) + 2, hashes[DX_PATCH_P_LOT_SEEDS], i;
    uint32_t places[DX_PATCH_P_LOT_SEEDS];
    size_t at, n;
    dx_patch_p_store before = *store;
    DX_PATCH_ASSERT(((uintptr_t)store->at & 3) == 0);
    s->starts = (uint32_t *)(void *)dx_patch_p_store_alloc(store, 4 * (uint64_t)lists);
    if (!s->starts) return;
    DX_PATCH_MEMSET(s->starts, 0, 4 * (size_t)lists);
    for (at = 0; (n = dx_patch_p_next_seeds(p, s, all, at, places, hashes)) > 0; at += n)
        for (i = 0; i < n; i++) s->starts[hashes[i] + 2]++; /* count of a list, two entries on */
    DX_PATCH_ASSERT(at <= all->count);
    s->places = (uint32_t *)(void *)dx_patch_p_store_alloc(store, 4 * (uint64_t)at);
    if (!s->places) {
        s->starts = NULL;
        *store = before;
        return;
    }
    for (i = 2; i < lists; i++) s->starts[i] += s->starts[i - 1];
    for (at = 0; (n = dx_patch_p_next_seeds(p, s, all, at, places, hashes)) > 0; at += n) {
        for (i = 0; i < n; i++) DX_PATCH_P_PREFETCH(s->places + s->starts[hashes[i] + 1]);
        for (i = 0; i < n; i++) /* starts[h + 1] moves from the start of list h to its end */
            s->places[s->starts[hashes[i] + 1]++] = places[i];
    }
    DX_PATCH_ASSERT(s->starts[lists - 2] == at); /* the last list ends where the places do */
}

/* log2 of the max distance of copies in the target. The window must stay below a quarter of the
   memory for applying, because the applier keeps it. */
static uint32_t dx_patch_p_links_log(const dx_patch_create_desc *desc, uint64_t target_size)
{
    uint64_t limit = desc->apply_memory_max ? desc->apply_memory_max : DX_PATCH_P_APPLY_MAX;
    uint32_t log = DX_PATCH_P_WINDOW_MIN;
    while (log < DX_PATCH_P_LINKS_MAX && (uint64_t)1 << log < target_size &&
           (uint64_t)8 << log <= limit)
        log++;
    DX_PATCH_ASSERT(log <= DX_PATCH_P_WINDOW_MAX);
    return log;
}

/* Bytes charged for the maker's structures: at least their size on any machine. The memory left
   decides what is indexed and how many places are compared, so it must not depend on the size of a
   pointer: patches are the same on every machine. */
#define DX_PATCH_P_STRUCTURES (32768u + 80u * DX_PATCH_P_WAY_ROOM)
/* Their size here. Each starts at a multiple of 8. */
#define DX_PATCH_P_STRUCTURES_HERE                                                  \
    (((sizeof(dx_patch_p_maker) + 7) & ~(size_t)7) +                                \
     ((sizeof(dx_patch_p_writer) + 7) & ~(size_t)7) +                               \
     (((DX_PATCH_P_WAY_ROOM + 1) * sizeof(dx_patch_p_way) + 7) & ~(size_t)7))
typedef char
    dx_patch_p_structures_fit[DX_PATCH_P_STRUCTURES_HERE <= DX_PATCH_P_STRUCTURES ? 1 : -1];

/* The memory from `at` on, limited to what every machine has, wherever the caller's memory starts:
   | up to 7 | structures | ... | at, left | */
static dx_patch_p_store dx_patch_p_same_memory(const dx_patch_p_job *j, uint8_t *at, size_t left)
{
    const size_t first = (size_t)(0 - (uintptr_t)j->desc->memory) & 7;
    const size_t skip = (size_t)(0 - (uintptr_t)at) & 7;
    const size_t spare = skip + (7 - first) + DX_PATCH_P_STRUCTURES - DX_PATCH_P_STRUCTURES_HERE;
    DX_PATCH_ASSERT(at >= (uint8_t *)j->desc->memory + first);
    if (left < spare) return dx_patch_p_store_of(at, 0);
    return dx_patch_p_store_of(at + skip, left - spare);
}

/* The writer and its memory. Places are 32-bit numbers, so files must be below 4 GiB. */
static dx_patch_p_writer *dx_patch_p_writer_start(dx_patch_p_job *j, dx_patch_p_maker *m,
                                                  uint8_t **at, size_t *left)
{
    const uint64_t ways = (uint64_t)(DX_PATCH_P_WAY_ROOM + 1) * sizeof(dx_patch_p_way);
    dx_patch_p_writer *w = (dx_patch_p_writer *)dx_patch_p_cut_memory(at, left, sizeof *w);
    dx_patch_p_predictor *x = &m->delta.predictor_;
    dx_patch_p_parser *p;
    uint32_t log = dx_patch_p_links_log(j->desc, j->target_size);
    DX_PATCH_ASSERT(m->level >= 1 && m->level <= 9);
    if (!w || ((uint64_t)j->base_size | j->target_size) >> 32) return NULL;
    DX_PATCH_MEMSET(w, 0, sizeof *w);
    p = &w->parser;
    w->maker = m;
    p->shares = true;
    p->links_log = log;
    p->depth = m->level < 3 ? 2 : m->level < 4 ? 4 : 4 * (m->level - 2);
    p->chain = p->depth;
    p->nice = m->level < 3 ? DX_PATCH_P_NICE_FAST : DX_PATCH_P_NICE;
    p->base = j->base;
    p->base_size = j->base_size;
    p->target = j->target;
    p->target_size = j->target_size;
    if (m->delta.map_ && x->count_ >= DX_PATCH_P_INDEX_MIN) {
        x->index_log_ = DX_PATCH_P_INDEX_LOG;
        x->index_size_ = dx_patch_p_granules(j->base_size, DX_PATCH_P_INDEX_LOG);
        x->index_ = (uint32_t *)dx_patch_p_cut_memory(at, left, 4 * (uint64_t)x->index_size_);
        if (!x->index_) return NULL;
        dx_patch_p_index_map(x);
    }
    p->steps = (dx_patch_p_way *)dx_patch_p_cut_memory(at, left, ways);
    p->heads = (uint32_t *)dx_patch_p_cut_memory(at, left, (uint64_t)4 << DX_PATCH_P_HEADS_LOG);
    p->links = (uint32_t *)dx_patch_p_cut_memory(at, left, (uint64_t)4 << log);
    w->table = (uint32_t *)dx_patch_p_cut_memory(at, left, (uint64_t)4 << DX_PATCH_P_TABLE_MAX);
    if (m->delta.map_)
        x->memory_ = (uint32_t *)dx_patch_p_cut_memory(at, left, 4 * DX_PATCH_P_MEMORY);
    m->repeats = (uint32_t *)dx_patch_p_cut_memory(at, left, 4 * DX_PATCH_P_PAIRS);
    if (!p->steps || !p->heads || !p->links || !w->table || !m->repeats) return NULL;
    DX_PATCH_MEMSET(m->repeats, 0, 4 * DX_PATCH_P_PAIRS);
    if (m->delta.map_ && !x->memory_) return NULL;
    w->inner.steps = p->steps;
    w->inner.chain = p->chain;
    w->inner.nice = p->nice;
    w->inner.links_log = log < DX_PATCH_P_REPEAT_LINKS ? log : DX_PATCH_P_REPEAT_LINKS;
    w->inner.heads =
        (uint32_t *)dx_patch_p_cut_memory(at, left, (uint64_t)4 << DX_PATCH_P_HEADS_LOG);
    w->inner.links =
        (uint32_t *)dx_patch_p_cut_memory(at, left, (uint64_t)4 << w->inner.links_log);
    if (!w->inner.heads || !w->inner.links) return NULL;
    w->memory = dx_patch_p_same_memory(j, *at, *left);
    return w;
}

/* Approximate memory for the sections of a target of this size: sinks and output. */
static uint64_t dx_patch_p_sections_memory(uint64_t target_size)
{
    uint64_t sink = target_size < DX_PATCH_P_SINK_MAX ? target_size : DX_PATCH_P_SINK_MAX;
    return 48 * sink + ((uint64_t)2 << 20);
}

/* List the wanted places of the base, if they are few, and if there is memory for the list and as
   much for each index. */
static bool dx_patch_p_list_sought(const dx_patch_p_writer *w, dx_patch_p_store *store,
                                   dx_patch_p_places *all)
{
    const dx_patch_p_parser *p = &w->parser;
    dx_patch_p_store before = *store;
    uint8_t *sought = dx_patch_p_store_alloc(store, (uint64_t)1 << (DX_PATCH_P_SOUGHT_LOG - 3));
    uint32_t *list = (uint32_t *)(void *)store->at;
    size_t i, room = p->base_size / 2, sought_max = (size_t)1 << (DX_PATCH_P_SOUGHT_LOG - 1);
    if (sought && store->left / 16 > room && dx_patch_p_seek_all(w, sought) <= sought_max) {
        for (i = 0; i + 8 <= p->base_size && all->count < room; i++) {
            list[all->count] = (uint32_t)i;
            all->count += dx_patch_p_is_sought(sought, p->base + i, false);
        }
        all->list = list;
        DX_PATCH_ASSERT(all->count <= room);
        if (all->count < room) {
            (void)dx_patch_p_store_alloc(store, 4 * ((uint64_t)all->count + (all->count & 1)));
            return true;
        }
    }
    *store = before;
    return false;
}

/* Index the base, for a body with or without a map. The indexes take the memory that sections
   leave, or half of it if that is little. */
static void dx_patch_p_writer_index(dx_patch_p_writer *w)
{
    dx_patch_p_parser *p = &w->parser;
    uint64_t sections = dx_patch_p_sections_memory(p->target_size), used;
    size_t left = w->memory.left;
    dx_patch_p_store part;
    dx_patch_p_places all = {NULL, 0, 1};
    uint32_t i;
    left = left > 2 * sections ? left - (size_t)sections : left / 2;
    if (w->indexed_all) return; /* for another body */
    w->store = w->memory;
    part = dx_patch_p_store_of(w->store.at, left & ~(size_t)7);
    if (p->base_size < DX_PATCH_P_SOUGHT_MIN || !dx_patch_p_list_sought(w, &part, &all)) {
        all.list = NULL;
        while (dx_patch_p_seeds_memory(p->base_size, all.stride) > part.left &&
               all.stride <= p->base_size)
            all.stride += all.stride / 8 + 1;
        all.count = p->base_size / all.stride + 1;
        w->indexed_all = true;
    }
    DX_PATCH_ASSERT(part.left <= w->store.left);
    for (i = 2; i-- > 0;) {
        p->seeds[i].size = i ? 8 : 32;
        p->seeds[i].log = dx_patch_p_seeds_log(all.count);
        dx_patch_p_index_seeds(p, p->seeds + i, &part, &all);
    }
    used = (uint64_t)(part.at - w->store.at);
    DX_PATCH_ASSERT(((used + 7) & ~(uint64_t)7) <= w->store.left); /* sections start after them */
    (void)dx_patch_p_store_alloc(&w->store, (used + 7) & ~(uint64_t)7);
}

/* Are most of the blocks with changes made smaller by a predictor? Then matches are best, and
   copies alone need not be tried. */
static bool dx_patch_p_is_program(const dx_patch_p_maker *m)
{
    return m->blocks > 16 && m->wins[DX_PATCH_P_ID_NONE] < m->blocks / 2;
}

/* Write a body with or without matches: parameters, map, sections. */
static bool dx_patch_p_write_body(dx_patch_p_writer *w, uint8_t *to, uint8_t *end, bool map)
{
    dx_patch_p_delta *d = &w->maker->delta;
    uint32_t window_log = 0;
    bool made = true;
    DX_PATCH_ASSERT(to <= end && (!map || d->predictor_.matches_));
    w->maker->delta.map_ = map;
    dx_patch_p_writer_index(w);
    w->section_max = 0;
    w->decoded_max = 0;
    w->starved = false;
    w->parser.back_max = 0;
    DX_PATCH_MEMSET(&w->body, 0, sizeof w->body);
    w->body.start = to;
    w->body.at = to;
    w->body.end = end;
    if (end - to < (ptrdiff_t)DX_PATCH_P_STREAM_PARAMETERS_SIZE) return false;
    w->body.at += DX_PATCH_P_STREAM_PARAMETERS_SIZE;
    if (map && w->maker->finder.target_size) made = dx_patch_p_put_map_section(w);
    if (made) made = dx_patch_p_make_sections(w);
    if (!made && !w->body.full && !w->hopeless) w->starved = true;
    to[0] = map;
    to[1] = map ? (uint8_t)d->predictor_.region_bits_ : 0;
    if (w->parser.back_max > 1) window_log = dx_patch_p_length(w->parser.back_max - 1);
    if (w->parser.back_max && window_log < DX_PATCH_P_WINDOW_MIN)
        window_log = DX_PATCH_P_WINDOW_MIN;
    DX_PATCH_ASSERT(window_log <= DX_PATCH_P_WINDOW_MAX);
    to[2] = (uint8_t)window_log;
    to[3] = map ? (uint8_t)d->predictor_.index_log_ : 0;
    dx_patch_p_store32(to + 4, w->section_max);
    dx_patch_p_store32(to + 8, w->decoded_max);
    dx_patch_p_store32(to + 12, map ? (uint32_t)w->maker->finder.match_count : 0);
    return made && !w->body.full;
}

/* Streams are impossible: too little memory to make or to apply them. Use another coding if the
   caller allows one, or return the error. */
static int dx_patch_p_no_streams(dx_patch_p_job *j, int error)
{
    DX_PATCH_ASSERT(error);
    if (j->desc->codings == 1u << DX_PATCH_CODING_STREAMS) return error;
    return dx_patch_p_make_plain(j);
}

/* Make a delta of streams; a plain one if that is no smaller. */
static int dx_patch_p_make_streams(dx_patch_p_job *j, dx_patch_p_maker *m, uint8_t *at,
                                   size_t left, uint64_t limit)
{
    size_t budget = j->desc->memory_size - DX_PATCH_P_FIXED, used = 0;
    uint8_t *end = j->out + j->capacity;
    dx_patch_p_writer *w;
    dx_patch_applier needs; /* for counting its memory */
    bool map;
    int error = dx_patch_p_make_matches(m, j, &at, &left, budget);
    if (error) return error;
    DX_PATCH_ASSERT(budget / sizeof *m->finder.matches > m->finder.match_capacity);
    budget -= (m->finder.match_capacity + 1) * sizeof *m->finder.matches;
    dx_patch_p_make_map(m, j, &at, &left, &budget, limit);
    map = m->delta.map_;
    DX_PATCH_ASSERT(!map || m->delta.predictor_.count_ == m->finder.match_count);
    m->streams = true;
    dx_patch_p_first_block_prices(m);
    w = dx_patch_p_writer_start(j, m, &at, &left);
    if (!w && ((uint64_t)j->base_size | j->target_size) >> 32)
        return dx_patch_p_no_streams(j, DX_PATCH_ETOOBIG);
    if (!w) return dx_patch_p_no_streams(j, DX_PATCH_ENOMEM);
    DX_PATCH_MEMSET(&needs, 0, sizeof needs);
    if (map && dx_patch_p_write_body(w, j->out, end, true)) {
        used = dx_patch_p_sink_size(&w->body);
        w->rival = used;
        needs.delta_.map_ = true;
        needs.delta_.predictor_.index_size_ = m->delta.predictor_.index_size_;
        needs.section_max_ = w->section_max;
        needs.decoded_max_ = w->decoded_max;
    }
    if ((!used || !dx_patch_p_is_program(m)) &&
        dx_patch_p_write_body(w, j->out + used, end, false) &&
        (!used || dx_patch_p_sink_size(&w->body) < used)) {
        DX_PATCH_MEMMOVE(j->out, w->body.start, dx_patch_p_sink_size(&w->body));
        used = dx_patch_p_sink_size(&w->body);
        needs.delta_.map_ = false;
        needs.delta_.predictor_.index_size_ = 0;
        needs.section_max_ = w->section_max;
        needs.decoded_max_ = w->decoded_max;
    }
    DX_PATCH_ASSERT(used <= j->capacity);
    if (used) needs.window_log_ = j->out[2];
    j->header.coding = DX_PATCH_CODING_STREAMS;
    j->header.memory_size = dx_patch_p_streams_memory(&needs, m->finder.match_count);
    j->used = used;
    if (w->wrong) return DX_PATCH_ETARGET;
    if (!used && w->starved) return dx_patch_p_no_streams(j, DX_PATCH_ENOMEM);
    if (!used || used >= j->target_size) return dx_patch_p_make_plain(j);
    if (j->header.memory_size > limit) return dx_patch_p_no_streams(j, DX_PATCH_ETOOBIG);
    return DX_PATCH_OK;
}

#endif /* DX_PATCH_P_MAKES_STREAMS */

/* Make a body in one of the codings, at a level. */
static int dx_patch_p_make_coded(dx_patch_p_job *j, uint32_t coding, uint32_t level)
{
    uint8_t *at = (uint8_t *)j->desc->memory;
    size_t left = j->desc->memory_size;
    uint64_t limit = j->desc->apply_memory_max ? j->desc->apply_memory_max : DX_PATCH_P_APPLY_MAX;
    dx_patch_p_maker *m = (dx_patch_p_maker *)dx_patch_p_cut_memory(&at, &left, sizeof *m);
    dx_patch_p_delta *d;
    if (!m || !dx_patch_p_at_least(j->desc->memory_size, DX_PATCH_P_MAKER_MIN))
        return DX_PATCH_ENOMEM;
    if (j->capacity < DX_PATCH_P_PARAMETERS_SIZE) return DX_PATCH_ENOSPACE;
    DX_PATCH_MEMSET(m, 0, sizeof *m);
    DX_PATCH_ASSERT(level >= 1 && level <= 9);
    m->level = level;
    d = &m->delta;
    d->literal_bits_ = 4;
    d->diff_bits_ = 3;
    if (dx_patch_p_delta_memory(d, 0) > limit) { /* fewer rows, slower learning */
        d->literal_bits_ = 0;
        d->diff_bits_ = 0;
    }
    if (dx_patch_p_delta_memory(d, 0) > limit) return DX_PATCH_ETOOBIG;
#ifdef DX_PATCH_P_MAKES_STREAMS
    if (coding == DX_PATCH_CODING_STREAMS) return dx_patch_p_make_streams(j, m, at, left, limit);
#endif
    if (coding == DX_PATCH_CODING_RANGE) return dx_patch_p_make_range(j, m, at, left, limit);
    return dx_patch_p_make_plain(j);
}

/* Make the smallest delta that the level allows. Streams are fast to apply, so up to level 7
   nothing else is tried, unless they gain nothing or memory is too small. Levels above 6 also try
   level 6, because a deeper search may find matches that cost more to code. All bodies are made in
   the same place, so the best is made again if it was not the last. */
static int dx_patch_p_make_delta(dx_patch_p_job *j)
{
    static const uint8_t order[2] = {DX_PATCH_CODING_STREAMS, DX_PATCH_CODING_RANGE};
    uint32_t codings = j->desc->codings ? j->desc->codings : DX_PATCH_P_CODINGS;
    uint32_t level = j->desc->level ? j->desc->level : DX_PATCH_P_LEVEL, way;
    uint32_t best = DX_PATCH_P_WAYS, last = DX_PATCH_P_WAYS;
    size_t used_min = 0;
    int error = DX_PATCH_OK;
    if (!(codings & (DX_PATCH_P_CODINGS | 1u << DX_PATCH_CODING_STREAMS))) return DX_PATCH_ENOTSUP;
    if (level > 9) return DX_PATCH_EINVAL;
    for (way = 0; !error && way < DX_PATCH_P_WAYS; way++) {
        uint32_t coding = order[way / 2];
        bool gained = best < DX_PATCH_P_WAYS && used_min < j->target_size;
        if (!(codings >> coding & 1) || (way % 2 == 0 && level <= DX_PATCH_P_LEVEL)) continue;
        if (coding == DX_PATCH_CODING_RANGE && level < 8 && gained) continue;
        error = dx_patch_p_make_coded(j, coding, way % 2 ? level : DX_PATCH_P_LEVEL);
        last = way;
        if (best < DX_PATCH_P_WAYS && j->used >= used_min) continue;
        best = way;
        used_min = j->used;
    }
    if (error) return error;
    if (best == DX_PATCH_P_WAYS) return dx_patch_p_make_coded(j, DX_PATCH_CODING_PLAIN, level);
    if (best != last)
        error = dx_patch_p_make_coded(j, order[best / 2], best % 2 ? level : DX_PATCH_P_LEVEL);
    DX_PATCH_ASSERT(error || j->used == used_min);
    return error;
}

#ifndef DX_PATCH_NO_BLOCKS
/* >>blocks: XOR of two images of one layout ----------------------------------
   Missing bytes count as zero. A run ends where five bytes in a row are equal. */
static uint32_t dx_patch_p_xor_at(const dx_patch_p_job *j, size_t i)
{
    uint32_t a = i < j->base_size ? j->base[i] : 0u;
    uint32_t b = i < j->target_size ? j->target[i] : 0u;
    return a ^ b;
}

/* Find the next run in [*at, end). In brief coding a run with few changes is split into changes. */
static bool dx_patch_p_find_run(const dx_patch_p_job *j, size_t *at, size_t *size, size_t end)
{
    size_t i = *at, last, count = 0; /* changes */
    size_t both = j->base_size < j->target_size ? j->base_size : j->target_size;
    DX_PATCH_ASSERT(i <= end);
    if (both > end) both = end;
    if (i < both) i += dx_patch_p_same(j->base + i, j->target + i, both - i);
    while (i < end && !dx_patch_p_xor_at(j, i)) i++;
    *at = i;
    last = i;
    for (; i < end && i - last <= 4; i++) {
        if (!dx_patch_p_xor_at(j, i)) continue;
        last = i;
        count++;
    }
    *size = last + 1 - *at;
    if (j->header.coding == DX_PATCH_CODING_BRIEF && 2 * count < 3 + *size) *size = 1;
    return *at < end;
}

static void dx_patch_p_put_run(dx_patch_p_coder *w, bool brief, size_t gap, size_t size)
{
    const size_t two = DX_PATCH_P_BRIEF_TWO;
    DX_PATCH_ASSERT(size > 0);
    if (brief && size == 1 && gap < two) {
        dx_patch_p_put_raw(w, (uint32_t)gap);
    } else if (brief && size == 1 && gap < two + (DX_PATCH_P_BRIEF_LONG - two) * 256) {
        dx_patch_p_put_raw(w, (uint32_t)(two + (gap - two) / 256));
        dx_patch_p_put_raw(w, (uint32_t)(gap - two) & 255);
    } else {
        if (brief) dx_patch_p_put_raw(w, DX_PATCH_P_BRIEF_LONG);
        dx_patch_p_put_varint(w, gap);
        dx_patch_p_put_varint(w, size);
    }
}

/* Write the runs of the block [at, end). Returns how many there are. */
static size_t dx_patch_p_put_runs(const dx_patch_p_job *j, dx_patch_p_coder *w, size_t at,
                                  size_t end)
{
    size_t run = at, from = at, count = 0, size;
    bool brief = j->header.coding == DX_PATCH_CODING_BRIEF;
    DX_PATCH_ASSERT(at < end);
    for (; dx_patch_p_find_run(j, &run, &size, end); count++) {
        dx_patch_p_put_run(w, brief, run - from, size);
        for (; size; size--) dx_patch_p_put_raw(w, dx_patch_p_xor_at(j, run++));
        from = run;
    }
    return count;
}

/* Insert the head of a record, which is known only now, before its runs at `mark`. */
static void dx_patch_p_put_record(dx_patch_p_job *j, dx_patch_p_coder *w, size_t mark, size_t skip,
                                  size_t count)
{
    uint8_t head[20];
    size_t size = w->at_ - mark, head_size;
    dx_patch_p_put_varint(w, skip);
    dx_patch_p_put_varint(w, count);
    if (w->overrun_) return;
    head_size = w->at_ - mark - size;
    DX_PATCH_ASSERT(head_size <= sizeof head);
    DX_PATCH_MEMCPY(head, j->out + mark + size, head_size);
    DX_PATCH_MEMMOVE(j->out + mark + head_size, j->out + mark, size);
    DX_PATCH_MEMCPY(j->out + mark, head, head_size);
}

static int dx_patch_p_make_blocks(dx_patch_p_job *j)
{
    dx_patch_p_coder w;
    dx_patch_header *h = &j->header;
    size_t larger = j->base_size > j->target_size ? j->base_size : j->target_size, at, next = 0;
    h->block_size = j->desc->block_size ? j->desc->block_size : 4096;
    if (!j->desc->codings || j->desc->codings >> DX_PATCH_CODING_BRIEF & 1)
        h->coding = DX_PATCH_CODING_BRIEF;
    h->reversible = !j->desc->one_way || j->target_size >= j->base_size;
    h->memory_size = 16 + DX_PATCH_P_BLOCKS_MEMORY;
    if (dx_patch_p_check_header(h, 0)) return DX_PATCH_EINVAL;
    if (j->desc->memory_size < h->memory_size) return DX_PATCH_ENOMEM;
    if (!h->reversible) larger = j->target_size;
    DX_PATCH_MEMSET(&w, 0, sizeof w);
    dx_patch_p_start_writing(&w, j->out, j->capacity);
    DX_PATCH_ASSERT(h->block_size > 0);
    for (at = 0; at < larger; at += h->block_size) {
        size_t end = larger - at < h->block_size ? larger : at + h->block_size;
        size_t mark = w.at_, count;
        if (end <= j->base_size && end <= j->target_size &&
            DX_PATCH_MEMCMP(j->base + at, j->target + at, end - at) == 0)
            continue;
        count = dx_patch_p_put_runs(j, &w, at, end);
        if (!count) continue;
        dx_patch_p_put_record(j, &w, mark, (at - next) / h->block_size, count);
        if (w.overrun_) return DX_PATCH_ENOSPACE;
        next = end;
    }
    DX_PATCH_ASSERT(w.at_ <= j->capacity);
    j->used = w.at_;
    return w.overrun_ ? DX_PATCH_ENOSPACE : DX_PATCH_OK;
}
#endif

#ifndef DX_PATCH_NO_FLASH
/* >>flashmaker: a delta in place on flash ----------------------------------------
   Matches are found as for a delta, then cut into pieces that still exist when they are read: base
   pages that the target has overwritten are lost. Their bytes become literals. */

/* The next piece of a match, from byte n on, that still exists when it is read. */
static bool dx_patch_p_next_piece(const dx_patch_p_finder *f, uint32_t gap, uint32_t bits,
                                  size_t *k, uint64_t n, dx_patch_p_match *piece)
{
    DX_PATCH_ASSERT(gap > 0);
    for (; *k < f->match_count; ++*k) {
        const dx_patch_p_match *c = f->matches + *k;
        uint64_t i = n > c->new_at ? n - c->new_at : 0, start;
        for (; i < c->size; i++) {
            for (start = i; i < c->size; i++)
                if (((c->old_at + i) >> bits) + gap <= (c->new_at + i) >> bits) break;
            piece->new_at = c->new_at + start;
            piece->old_at = c->old_at + start;
            piece->size = i - start;
            if (piece->size >= 6) return true; /* a shorter one costs more than it saves */
        }
    }
    return false;
}

/* Write a piece: runs of right bytes, each but the last followed by a wrong one. */
static void dx_patch_p_put_piece(dx_patch_p_maker *m, const dx_patch_p_match *c, uint32_t *last_run)
{
    dx_patch_p_coder *o = &m->delta.coder_;
    const uint8_t *p = m->finder.base + c->old_at, *q = m->finder.target + c->new_at;
    uint64_t at = 0, left, run;
    while (at < c->size) {
        uint32_t which = dx_patch_p_run_number(*last_run) + DX_PATCH_P_F_RUN;
        left = c->size - at;
        run = dx_patch_p_same(p + at, q + at, (size_t)left);
        DX_PATCH_ASSERT(run <= left);
        *last_run = run < left ? (uint32_t)run : 8;
        (void)dx_patch_p_f_number(o, which, (uint32_t)(run < left ? run + 1 : 0));
        at += run;
        if (run == left) continue;
        (void)dx_patch_p_f_byte(o, DX_PATCH_P_F_WRONG, (uint32_t)(q[at] - p[at]) & 255);
        at++;
    }
}

static void dx_patch_p_put_pieces(dx_patch_p_maker *m, uint32_t gap_pages, uint32_t bits)
{
    const dx_patch_p_finder *f = &m->finder;
    dx_patch_p_coder *o = &m->delta.coder_;
    uint64_t n = 0, old_end = 0, gap, jump;
    uint32_t last_run = 0;
    size_t k = 0; /* matches before this one are done */
    while (n < f->target_size) {
        dx_patch_p_match c = {0, 0, 0};
        bool more = dx_patch_p_next_piece(f, gap_pages, bits, &k, n, &c);
        gap = (more ? c.new_at : f->target_size) - n;
        old_end += gap;
        (void)dx_patch_p_f_number(o, DX_PATCH_P_F_GAP, (uint32_t)(gap));
        for (; gap; gap--) (void)dx_patch_p_f_byte(o, DX_PATCH_P_F_LITERAL, f->target[n++]);
        if (!more) break;
        DX_PATCH_ASSERT(n == c.new_at);
        (void)dx_patch_p_f_number(o, DX_PATCH_P_F_LENGTH, (uint32_t)(c.size - 1));
        jump = dx_patch_p_zigzag(c.old_at - old_end);
        DX_PATCH_ASSERT(jump >> 31 == 0);
        (void)dx_patch_p_f_number(o, DX_PATCH_P_F_JUMP, (uint32_t)jump);
        dx_patch_p_put_piece(m, &c, &last_run);
        n += c.size;
        old_end = c.old_at + c.size;
    }
    DX_PATCH_ASSERT(n == f->target_size);
    dx_patch_p_finish_writing(o);
}

/* Write the checksums of all pages of a file. Returns their size in bytes. */
static size_t dx_patch_p_put_sums(uint8_t *out, const uint8_t *p, size_t size, size_t page)
{
    size_t at, used = 0;
    DX_PATCH_ASSERT(page > 0);
    for (at = 0; at < size; at += page) {
        size_t part = size - at < page ? size - at : page;
        dx_patch_p_store32(out + used, DX_PATCH_CRC32C(0, p + at, part));
        used += 4;
    }
    return used;
}

/* Choose the coding: BITS if RANGE is not allowed or takes too much memory. */
static void dx_patch_p_choose_flash(const dx_patch_create_desc *desc, dx_patch_header *h)
{
    uint64_t most = desc->apply_memory_max;
    bool range = !desc->codings || desc->codings >> DX_PATCH_CODING_RANGE & 1;
    bool bits = !desc->codings || desc->codings >> DX_PATCH_CODING_BITS & 1;
    DX_PATCH_ASSERT(h->kind == DX_PATCH_KIND_FLASH);
    bits = bits && (!range || (most && most < DX_PATCH_P_FLASH_MEMORY));
    h->coding = bits ? DX_PATCH_CODING_BITS : DX_PATCH_CODING_RANGE;
    h->memory_size = bits ? DX_PATCH_P_BITS_MEMORY : DX_PATCH_P_FLASH_MEMORY;
}

static int dx_patch_p_make_flash(dx_patch_p_job *j)
{
    dx_patch_header *h = &j->header;
    uint8_t *at = (uint8_t *)j->desc->memory;
    size_t left = j->desc->memory_size, used = 4;
    dx_patch_p_maker *m = (dx_patch_p_maker *)dx_patch_p_cut_memory(&at, &left, sizeof *m);
    dx_patch_p_coder *coder;
    uint64_t base_pages, target_pages, slot;
    uint32_t bits = 8, gap;
    h->block_size = j->desc->block_size ? j->desc->block_size : 4096;
    dx_patch_p_choose_flash(j->desc, h);
    if ((uint64_t)j->base_size >> DX_PATCH_P_FLASH_BITS ||
        (uint64_t)j->target_size >> DX_PATCH_P_FLASH_BITS)
        return DX_PATCH_ETOOBIG;
    if (dx_patch_p_check_header(h, 0)) return DX_PATCH_EINVAL;
    while (h->block_size >> bits > 1) bits++;
    base_pages = dx_patch_p_pages((uint32_t)j->base_size, bits);
    target_pages = dx_patch_p_pages((uint32_t)j->target_size, bits);
    slot = (base_pages > target_pages ? base_pages : target_pages) + 2;
    if (j->desc->slot_size) slot = j->desc->slot_size >> bits;
    if (slot > UINT32_MAX >> bits) slot = UINT32_MAX >> bits; /* more has no use */
    if (slot <= base_pages || slot < target_pages) return DX_PATCH_EINVAL;
    if (!m || !dx_patch_p_at_least(j->desc->memory_size, DX_PATCH_P_MAKER_MIN))
        return DX_PATCH_ENOMEM;
    if (j->capacity / 4 < 2 + base_pages + target_pages) return DX_PATCH_ENOSPACE;
    DX_PATCH_MEMSET(m, 0, sizeof *m);
    m->level = DX_PATCH_P_LEVEL;
    coder = &m->delta.coder_;
    coder->rows_ = (uint16_t *)dx_patch_p_cut_memory(&at, &left, h->memory_size);
    if (!coder->rows_) return DX_PATCH_ENOMEM;
    if (dx_patch_p_make_matches(m, j, &at, &left, j->desc->memory_size - DX_PATCH_P_FIXED))
        return DX_PATCH_ENOMEM;
    gap = (uint32_t)(slot - base_pages);
    dx_patch_p_store32(j->out, gap);
    used += dx_patch_p_put_sums(j->out + used, j->base, j->base_size, h->block_size);
    used += dx_patch_p_put_sums(j->out + used, j->target, j->target_size, h->block_size);
    DX_PATCH_ASSERT(used == 4 * (1 + base_pages + target_pages) && used <= j->capacity);
    coder->bits_ = h->coding == DX_PATCH_CODING_BITS;
    dx_patch_p_f_rows(coder);
    dx_patch_p_start_writing(coder, j->out + used, j->capacity - used);
    dx_patch_p_put_pieces(m, gap, bits);
    j->used = used + coder->at_;
    return coder->overrun_ ? DX_PATCH_ENOSPACE : DX_PATCH_OK;
}
#endif

/* >>create: body, header, and one application to check it ---------------------- */
#define DX_PATCH_P_STORE(bits, name, at) dx_patch_p_store##bits(p + at, h->name);

static void dx_patch_p_store_header(uint8_t *p, const dx_patch_header *h)
{
    DX_PATCH_ASSERT(p && h);
    DX_PATCH_MEMSET(p, 0, DX_PATCH_HEADER_SIZE);
    DX_PATCH_MEMCPY(p, "DXP1", 4);
    p[DX_PATCH_P_AT_VERSION] = dx_patch_p_version(h->kind, h->coding);
    p[DX_PATCH_P_AT_KIND] = h->kind;
    p[DX_PATCH_P_AT_HASH_KIND] = DX_PATCH_P_BLAKE3_256;
    p[DX_PATCH_P_AT_CODING] = h->coding;
    p[DX_PATCH_P_AT_FLAGS] = h->reversible ? 1 : 0;
    DX_PATCH_P_WORDS(DX_PATCH_P_STORE)
    DX_PATCH_MEMCPY(p + DX_PATCH_P_AT_BASE_HASH, h->base_hash, DX_PATCH_HASH_SIZE);
    DX_PATCH_MEMCPY(p + DX_PATCH_P_AT_TARGET_HASH, h->target_hash, DX_PATCH_HASH_SIZE);
    dx_patch_p_store32(p + DX_PATCH_P_AT_CRC, DX_PATCH_CRC32C(0, p, DX_PATCH_P_AT_CRC));
}

/* Apply the patch and compare with the target itself, which is stricter than a hash. */
static int dx_patch_p_check_write(void *user, const void *data, size_t size)
{
    dx_patch_p_job *j = (dx_patch_p_job *)user;
    DX_PATCH_ASSERT(j->checked <= j->target_size);
    if (size > j->target_size - j->checked) return DX_PATCH_ETARGET;
    if (DX_PATCH_MEMCMP(j->target + j->checked, data, size) != 0) return DX_PATCH_ETARGET;
    j->checked += size;
    return 0;
}

static int dx_patch_p_check_patch(dx_patch_p_job *j, const uint8_t *patch, size_t size)
{
    dx_patch_applier a;
    dx_patch_applier_desc d;
    int error;
    DX_PATCH_MEMSET(&d, 0, sizeof d);
    d.user = j;
    d.base = j->base_size ? (const void *)j->base : (const void *)j;
    d.base_size = j->base_size;
    d.write = dx_patch_p_check_write;
    d.memory = j->desc->memory;
    d.memory_size = j->desc->memory_size;
    d.skip_base_hash = true;
    d.skip_target_hash = true;
    error = dx_patch_applier_init(&a, &d);
    if (!error) error = dx_patch_applier_feed(&a, patch, size);
    if (!error) error = dx_patch_applier_finish(&a);
    if (!error && j->checked < j->target_size) error = DX_PATCH_ETARGET;
    /* Whatever error the applier reports, it means that this file made a wrong patch. */
    return !error || error == DX_PATCH_ENOMEM ? error : DX_PATCH_ETARGET;
}

static int dx_patch_p_make_body(dx_patch_p_job *j)
{
    uint64_t limit = j->desc->apply_memory_max;
    int error = DX_PATCH_EINVAL;
    if (j->header.kind == DX_PATCH_KIND_BLOCKS || j->header.kind == DX_PATCH_KIND_FLASH)
        error = DX_PATCH_ENOTSUP; /* unless compiled in */
#ifndef DX_PATCH_NO_BLOCKS
    if (j->header.kind == DX_PATCH_KIND_BLOCKS) error = dx_patch_p_make_blocks(j);
#endif
#ifndef DX_PATCH_NO_FLASH
    if (j->header.kind == DX_PATCH_KIND_FLASH) error = dx_patch_p_make_flash(j);
#endif
    if (j->header.kind == DX_PATCH_KIND_DELTA) error = dx_patch_p_make_delta(j);
    if (!error && limit && j->header.memory_size > limit)
        error = DX_PATCH_ETOOBIG; /* these need a fixed amount */
    DX_PATCH_ASSERT(error || j->used <= j->capacity);
    return error;
}

DX_PATCH_API int dx_patch_create(const dx_patch_create_desc *desc, const void *base,
                                 size_t base_size, const void *target, size_t target_size,
                                 void *out, size_t out_capacity, size_t *out_size)
{
    dx_patch_p_job j;
    dx_patch_header *h = &j.header;
    uint8_t *p = (uint8_t *)out;
    int error;
    if (!desc || !desc->memory || !out || !out_size || (!base && base_size)) return DX_PATCH_EINVAL;
    if (!target && target_size) return DX_PATCH_EINVAL;
    *out_size = 0;
    if (out_capacity < DX_PATCH_HEADER_SIZE) return DX_PATCH_ENOSPACE;
    DX_PATCH_MEMSET(&j, 0, sizeof j);
    j.desc = desc;
    j.base = base ? (const uint8_t *)base : h->base_hash; /* empty; not NULL, so that places */
    j.base_size = base_size;                              /* in it can be computed */
    j.target = target ? (const uint8_t *)target : h->target_hash;
    j.target_size = target_size;
    j.out = p + DX_PATCH_HEADER_SIZE;
    j.capacity = out_capacity - DX_PATCH_HEADER_SIZE;
    h->kind = (uint8_t)(desc->kind ? desc->kind : DX_PATCH_KIND_DELTA);
    h->hash_kind = DX_PATCH_P_BLAKE3_256;
    h->base_size = base_size;
    h->target_size = target_size;
    error = dx_patch_p_make_body(&j);
    if (error) return error;
    DX_PATCH_ASSERT(j.used <= j.capacity && !dx_patch_p_check_header(h, h->reversible));
    h->body_size = j.used;
    h->body_crc = DX_PATCH_CRC32C(0, j.out, j.used);
    dx_patch_hash(base, base_size, h->base_hash);
    dx_patch_hash(target, target_size, h->target_hash);
    dx_patch_p_store_header(p, h); /* still without the trailer */
    if (!desc->skip_check && h->kind != DX_PATCH_KIND_FLASH)
        error = dx_patch_p_check_patch(&j, p, DX_PATCH_HEADER_SIZE + j.used);
    if (error) return error;
    h->trailer_size = desc->trailer_size;
    dx_patch_p_store_header(p, h);
    *out_size = DX_PATCH_HEADER_SIZE + j.used;
    return DX_PATCH_OK;
}

DX_PATCH_API size_t dx_patch_bound(const dx_patch_create_desc *desc, size_t base_size,
                                   size_t target_size)
{
    uint64_t larger = base_size > target_size ? base_size : target_size;
    uint64_t blocks = larger / (desc && desc->block_size ? desc->block_size : 4096) + 1;
    uint64_t bound = DX_PATCH_HEADER_SIZE + larger + larger / 8 + 20 * blocks + 64;
    if (larger >> DX_PATCH_P_SIZE_BITS) return 0; /* no patch has such sizes; the sum might wrap */
    if (!desc || !desc->kind || desc->kind == DX_PATCH_KIND_DELTA)
        bound = DX_PATCH_HEADER_SIZE + (uint64_t)target_size + 32;
    return bound > SIZE_MAX ? 0 : (size_t)bound;
}

DX_PATCH_API size_t dx_patch_create_memory_size(const dx_patch_create_desc *desc,
                                                size_t base_size, size_t target_size)
{
    uint64_t size = base_size > target_size ? base_size : target_size;
    if (desc && desc->kind == DX_PATCH_KIND_BLOCKS) return 2 * DX_PATCH_P_BLOCK;
    if (size >> 60) return 0; /* the sum below might wrap */
    size = DX_PATCH_P_FIXED + sizeof(dx_patch_p_match) * ((uint64_t)target_size / 32 + 66) +
           5 * size + 131072; /* five bytes per seed: 13 of 16 in a line are used */
#ifdef DX_PATCH_P_MAKES_STREAMS
    if (desc && desc->codings >> DX_PATCH_CODING_STREAMS & 1) /* indexes, sections, links, lists */
        size += 3 * (uint64_t)base_size + dx_patch_p_sections_memory(target_size) +
                ((uint64_t)4 << dx_patch_p_links_log(desc, target_size)) + ((uint64_t)10 << 20);
#endif
    return size > SIZE_MAX ? 0 : (size_t)size;
}

#endif /* DX_PATCH_NO_CREATE */

#endif /* DX_PATCH_IMPLEMENTATION */

/* >>license -------------------------------------------------------------
   Copyright (c) 2026 dx authors. Choose whichever you prefer:

   ALTERNATIVE A - MIT No Attribution (MIT-0)
   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
   associated documentation files (the "Software"), to deal in the Software without restriction,
   including without limitation the rights to use, copy, modify, merge, publish, distribute,
   sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
   furnished to do so. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
   IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR
   PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
   CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
   FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

   ALTERNATIVE B - Public domain (www.unlicense.org)
   This is free and unencumbered software released into the public domain. Anyone is free to copy,
   modify, publish, use, compile, sell, or distribute this software, either in source code form or
   as a compiled binary, for any purpose, commercial or non-commercial, and by any means. In
   jurisdictions that recognize copyright laws, the author or authors of this software dedicate any
   and all copyright interest in the software to the public domain. THE SOFTWARE IS PROVIDED "AS
   IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED. IN NO EVENT SHALL THE AUTHORS BE LIABLE
   FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY ARISING FROM THE SOFTWARE OR THE USE OF IT. */
