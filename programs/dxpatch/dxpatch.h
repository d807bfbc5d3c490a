/* dxpatch: patches between two files, at the command line. Declarations that its files share.

   main.c     the command line
   diff.c     makes a patch                       apply.c    applies one, or takes it back
   compose.c  two patches made into one           info.c     prints what one says
   make.c     patches of all kinds, made          whole.c    patches of all kinds, run in memory
   flash.c    patches for flash, in memory        records.c  records of ../../layers/dx_hde.h
   vcdiff.c   VCDIFF (RFC 3284)                   patch.c    files, headers, words for errors
   dx.c       the header's implementation

   The commands in the first three lines call what is below them; nothing calls back. */
#ifndef DXPATCH_H
#define DXPATCH_H

#include "../common/common.h" /* first: it asks for _GNU_SOURCE */
#include "../common/os.h"
#include "../../dx_patch.h"

/* Every function that returns int returns one of the statuses of common.h (dxup_status), and has
   printed why when that is not DXUP_OK. */

/* What a patch from outside may ask for, unless an option says otherwise: bytes of working
   memory, and of what it makes. A large file may become a large file: four times what the user
   has given is no attack. */
#define DXPATCH_MEMORY_MAX   ((uint64_t)256 << 20)
#define DXPATCH_TARGET_MAX   ((uint64_t)256 << 20)
#define DXPATCH_TARGET_TIMES 4

/* Besides both files; larger ones get coarser, not refused. */
#define DXPATCH_MEMORY_MAKING ((uint64_t)2 << 30)
#define DXPATCH_MAP_FROM ((uint64_t)64 << 20) /* bytes: larger files are mapped, not read */

#define DXPATCH_KIND_VCDIFF 100 /* beside dx_patch_kind */
#define DXPATCH_KIND_HDE    101

typedef struct dxpatch_options {
    const char *old_path, *new_path, *patch_path, *second_path; /* second_path: compose */
    uint32_t    kind, block_size, level; /* 0 = the default of dx_patch.h */
    uint64_t    slot_size;        /* flash; 0 = the default */
    uint64_t    memory_size;      /* bytes that making a delta may take; 0 = MEMORY_MAKING */
    uint64_t    memory_max;       /* bytes that applying may take; 0 = DXPATCH_MEMORY_MAX */
    uint64_t    target_max;       /* bytes that applying may make; 0: see dxpatch_target_max() */
    bool        one_way, quiet, no_zstd;
} dxpatch_options;

int dxpatch_diff(const dxpatch_options *o);
int dxpatch_apply(const dxpatch_options *o); /* old_path and new_path may be the same */
int dxpatch_undo(const dxpatch_options *o);
int dxpatch_info(const dxpatch_options *o);
int dxpatch_compose(const dxpatch_options *o); /* patch_path and second_path into new_path */

/* >>patch.c ---- */
/* Open a regular file for reading. */
int dxpatch_open(const char *path, int *fd, os_info *st);
/* Open a patch and read its header; the file must be as long as the header says. The descriptor
   stands at the start of the file. */
int dxpatch_open_patch(const char *path, int *fd, os_info *st, dx_patch_header *header);
/* Is there something at path, and is it the file of st? */
bool dxpatch_is_same(const char *path, const os_info *st);
/* Fill out with size bytes from offset on. */
int dxpatch_read(int fd, const char *path, uint64_t offset, void *out, size_t size);
/* The limits of a patch of so many bytes for an old file of so many: of what it makes, and of
   the memory for that. */
uint64_t dxpatch_target_max(const dxpatch_options *o, uint64_t old_size, uint64_t patch_size);
uint64_t dxpatch_memory_max(const dxpatch_options *o);
/* Print that the patch at path asks for more than one of them, or than the system has; returns
   the status for it. */
int dxpatch_fail_target(const char *path, uint64_t limit);
int dxpatch_fail_memory(const char *path, uint64_t limit);
/* Print what an error of dx_patch.h, or of vcdiff.h, means for the file at path; returns the
   status for it. */
int dxpatch_fail(int error, const char *path);
int dxpatch_fail_vcdiff(int error, const char *path);

/* A whole file in memory: of malloc, or mapped. Given back by dxpatch_drop(), also after an
   error. */
typedef struct dxpatch_content {
    os_info     st;
    uint8_t    *bytes;  /* not to be written to if it is mapped */
    size_t      size;
    bool        mapped;
} dxpatch_content;
int  dxpatch_load(dxpatch_content *c, const char *path);
void dxpatch_drop(dxpatch_content *c);
/* Put bytes at path, in one step. */
int dxpatch_save(const char *path, const uint8_t *bytes, size_t size, unsigned mode);

/* >>make.c ---- */
/* The patch between two contents; *out is the caller's to free, also after an error. */
int dxpatch_make(const dxpatch_options *o, const dxpatch_content *from, const dxpatch_content *to,
                 uint8_t **out, size_t *size);

/* >>records.c ---- */
/* The same for --kind hde. */
int dxpatch_make_record(const dxpatch_options *o, const dxpatch_content *from,
                        const dxpatch_content *to, uint8_t **out, size_t *size);
bool dxpatch_is_record(const uint8_t *bytes, size_t size);
bool dxpatch_is_record_file(const char *path);
/* What a record makes of `from`; an error of dx_patch.h, ETOOBIG above target_max. to->bytes is
   the caller's to free, also after an error. */
int dxpatch_run_record(const dxpatch_content *from, const uint8_t *patch, size_t patch_size,
                       uint64_t target_max, dxpatch_content *to);
int  dxpatch_info_record(const dxpatch_options *o);

/* >>flash.c ---- */
/* Run a flash patch in a slot in memory that holds `from`; `to` gets what the slot holds then.
   An error of dx_patch.h; ENOMEM: the slot has more than gap_max bytes besides them. to->bytes
   is the caller's to free, also after an error. */
int dxpatch_run_flash(const dxpatch_content *from, const uint8_t *patch, size_t patch_size,
                      uint64_t gap_max, dxpatch_content *to);

/* >>whole.c ---- */
/* Is it a patch that is applied as a whole in memory: VCDIFF, a record, or one for flash? */
bool dxpatch_is_whole(const char *path);
bool dxpatch_is_vcdiff(const char *path);
/* What a patch of any kind makes of a content. Its sizes are held against the limits before
   anything is allocated for them. to->bytes is the caller's to free, also after an error. */
int  dxpatch_run(const dxpatch_options *o, const dxpatch_content *from, const char *from_path,
                 const dxpatch_content *patch, const char *patch_path, dxpatch_content *to);

#endif
