/* dxpatch: patches between two files, at the command line. Declarations that its files share.

   main.c     the command line
   diff.c     makes a patch                       apply.c    applies or undoes one
   compose.c  merges two patches                  info.c     prints a header
   make.c     makes patches of all kinds          whole.c    applies all kinds in memory
   flash.c    runs flash patches in memory        records.c  records of ../../layers/dx_hde.h
   vcdiff.c   VCDIFF (RFC 3284)                   patch.c    files, headers, error messages
   dx.c       the header's implementation

   The commands in the first three lines call what is below them; nothing calls back. Compressed
   containers are in ../containers/. */
#ifndef DXPATCH_H
#define DXPATCH_H

#include "../common/common.h" /* first: it defines _GNU_SOURCE */
#include "../common/os.h"
#include "../../dx_patch.h"

/* Every function that returns int returns a status of common.h (prog_status), and has printed a
   message unless it is PROG_OK. */

/* Default limits for untrusted patches: working memory, and the size of the result. A large result
   is legitimate if the input is large, so up to four times the size of OLD and patch is allowed. */
#define DXPATCH_MEMORY_MAX   ((uint64_t)256 << 20)
#define DXPATCH_TARGET_MAX   ((uint64_t)256 << 20)
#define DXPATCH_TARGET_TIMES 4

/* Memory for making a delta, in addition to both files. With less the search is coarser. */
#define DXPATCH_MEMORY_MAKING ((uint64_t)2 << 30)
#define DXPATCH_MAP_FROM ((uint64_t)64 << 20) /* bytes: larger files are mapped, not read */

#define DXPATCH_KIND_VCDIFF 100 /* in addition to dx_patch_kind */
#define DXPATCH_KIND_HDE    101

#define DXPATCH_FORMAT_OLD 3 /* of deltas, for readers without support for streams */
#define DXPATCH_FORMAT_NEW 4

typedef struct dxpatch_options {
    const char *old_path;
    const char *new_path;
    const char *patch_path;
    const char *second_path;      /* compose: the second patch */
    const char *kind_name;        /* as given, or NULL */
    uint32_t    kind;             /* of dx_patch.h, or DXPATCH_KIND_*; 0 = the smaller of delta and
                                     a patch between containers */
    uint32_t    block_size;       /* bytes; 0 = the default of dx_patch.h */
    uint32_t    level;            /* 1 to 9; 0 = the default of dx_patch.h */
    uint32_t    format;           /* of deltas, the newest allowed; 0 = DXPATCH_FORMAT_NEW */
    uint64_t    slot_size;        /* flash; 0 = the default */
    uint64_t    memory_size;      /* memory limit for making a delta; 0 = MEMORY_MAKING */
    uint64_t    memory_max;       /* memory limit for applying; 0 = DXPATCH_MEMORY_MAX */
    uint64_t    target_max;       /* size limit of the result; 0: see dxpatch_target_max() */
    bool        one_way;          /* blocks: without the data for undo */
    bool        small;            /* flash: for appliers with little memory */
    bool        no_zstd;          /* hde */
    bool        quiet;            /* no summary */
} dxpatch_options;

int dxpatch_diff(const dxpatch_options *o);
int dxpatch_apply(const dxpatch_options *o); /* old_path and new_path may be the same */
int dxpatch_undo(const dxpatch_options *o);
int dxpatch_info(const dxpatch_options *o);
int dxpatch_compose(const dxpatch_options *o); /* patch_path and second_path into new_path */

/* >>patch.c ---- */
/* Open a regular file for reading. */
int dxpatch_open(const char *path, int *fd, os_info *st);
/* Open a patch and read its header. The size of the file must match the header. */
int dxpatch_open_patch(const char *path, int *fd, os_info *st, dx_patch_header *header);
/* Does path exist, and is it the same file as st? */
bool dxpatch_is_same(const char *path, const os_info *st);
/* Read exactly size bytes from offset. */
int dxpatch_read(int fd, const char *path, uint64_t offset, void *out, size_t size);
/* The limits: the size of the result, given the sizes of OLD and of the patch; and working memory. */
uint64_t dxpatch_target_max(const dxpatch_options *o, uint64_t old_size, uint64_t patch_size);
uint64_t dxpatch_memory_max(const dxpatch_options *o);
/* Print that the patch at path exceeds one of them, or the system's memory; returns the status. */
int dxpatch_fail_target(const char *path, uint64_t limit);
int dxpatch_fail_memory(const char *path, uint64_t limit);
/* Print an error of dx_patch.h, or of vcdiff.h, about the file at path; returns its status. */
int dxpatch_fail(int error, const char *path);
int dxpatch_fail_vcdiff(int error, const char *path);

/* A whole file in memory, allocated or mapped. dxpatch_drop() releases it, also after an error. */
typedef struct dxpatch_content {
    os_info     st;
    uint8_t    *bytes;  /* read-only if mapped */
    size_t      size;
    bool        mapped;
} dxpatch_content;
int  dxpatch_load(dxpatch_content *c, const char *path);
void dxpatch_drop(dxpatch_content *c);
/* Replace path with bytes, atomically. */
int dxpatch_save(const char *path, const uint8_t *bytes, size_t size, unsigned mode);

/* >>make.c ---- */
/* Make the patch between two contents. *out is NULL before; the caller frees it, also after an
   error. */
int dxpatch_make(const dxpatch_options *o, const dxpatch_content *from, const dxpatch_content *to,
                 uint8_t **out, size_t *size);

/* >>records.c ---- */
/* The same for --kind hde. */
int dxpatch_make_record(const dxpatch_options *o, const dxpatch_content *from,
                        const dxpatch_content *to, uint8_t **out, size_t *size);
bool dxpatch_is_record(const uint8_t *bytes, size_t size);
bool dxpatch_is_record_file(const char *path);
/* Apply a record to `from`. Returns an error of dx_patch.h, ETOOBIG above target_max. The caller
   frees to->bytes, also after an error. */
int dxpatch_run_record(const dxpatch_content *from, const uint8_t *patch, size_t patch_size,
                       uint64_t target_max, dxpatch_content *to);
int  dxpatch_info_record(const dxpatch_options *o);

/* >>flash.c ---- */
/* Run a flash patch in a simulated slot that holds `from`; `to` receives the slot's new content.
   Returns an error of dx_patch.h; ENOMEM: the slot has more than gap_max spare bytes. The caller
   frees to->bytes, also after an error. */
int dxpatch_run_flash(const dxpatch_content *from, const uint8_t *patch, size_t patch_size,
                      uint64_t gap_max, dxpatch_content *to);

/* >>whole.c ---- */
/* Is it a patch that cannot stream: VCDIFF, a record, one for flash or between containers? */
bool dxpatch_is_whole(const char *path);
bool dxpatch_is_vcdiff(const char *path);
bool dxpatch_is_container(const char *path);
/* Apply a patch of any kind to a content. Its sizes are checked against the limits before anything
   is allocated for them. to->bytes is NULL before; the caller frees it, also after an error. */
int  dxpatch_run(const dxpatch_options *o, const dxpatch_content *from, const char *from_path,
                 const dxpatch_content *patch, const char *patch_path, dxpatch_content *to);

#endif
