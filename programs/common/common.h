/* Code shared by all programs. A file uses only the files above it in this list:

   os.h       system calls: os_posix.c, os_windows.c
   line.c     a line of output as it is assembled
   message.c  messages, progress, standard output; the first and last call of main()
   base.c     this header: memory, numbers and hashes as text
   json.c     JSON output, one object per line
   options.c  the command line           window.c  a read cache for a large file
   help.c, manual.c, complete.c           help, manual page and shell completion
   configured.c                           options from a TOML file
   choose.c   selects among these; nearest.c   suggests the word that a typing error meant
   backend.c  the backend of an event loop by its name
   http.h     parser for the heads of HTTP requests
   toml.cpp   parser for TOML: a library   scrape.c   metrics over HTTP
   dx_*_impl.c                            the implementation of one header each; each program links
                                          the ones that it uses

   Versions of files and directories are one floor above, in programs/versions/, and their
   transfer between two machines above that, in programs/sync/. */
#ifndef COMMON_H
#define COMMON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64 /* large files and folders, also where long has 32 bits */
#endif
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit statuses; every function that returns int returns one of these. */
enum prog_status {
    PROG_OK        = 0,
    PROG_USAGE     = 1, /* an invalid command line */
    PROG_NOT_FOUND = 2, /* no such store, name or version */
    PROG_NETWORK   = 3, /* unreachable, interrupted, or not a dxup server */
    PROG_DAMAGED   = 4, /* bytes that do not match their hash */
    PROG_SYSTEM    = 5, /* the local system refused: disk full, permission, memory */
    PROG_REFUSED   = 6, /* data would be lost: locked store, locally changed tree */
    PROG_PARTIAL   = 7, /* done, except for the entries listed: owners, attributes, devices */
    PROG_HOOK      = 8  /* done, but the command run afterwards failed */
};

/* The kind of a version, or of a path. */
enum prog_kind { PROG_FILE = 1, PROG_TREE = 2 };

enum {
    PROG_HASH_SIZE      = 32,
    PROG_NAME_SIZE_MAX  = 255,
    PROG_PATH_SIZE_MAX  = 4095,
    PROG_DEPTH_MAX      = 256, /* nested directories */
    PROG_IO_SIZE        = 65536 /* bytes per read or write */
};
/* The reason that follows a rejected name in a message. */
#define PROG_NAME_RULE "a name is 1 to 255 bytes of UTF-8, without control characters"

/* >>base.c ---- */
/* malloc() that exits with a message when memory runs out. */
void *prog_alloc(size_t size);
char *prog_copy_text(const char *text); /* an allocated copy; NULL of NULL */
int64_t prog_now_ns(void);      /* monotonic */
int64_t prog_time_ns(void);     /* since 1970 */
/* A number with thousands separators: 4,742,424. Returns out. */
char *prog_count_text(uint64_t count, char out[32]);
/* The end of a noun behind this number: "1 file", "2 files". */
static inline const char *prog_plural(uint64_t count) { return count == 1 ? "" : "s"; }
/* 64 hexadecimal digits in lower case. Returns out. */
char *prog_hash_text(const uint8_t hash[PROG_HASH_SIZE], char out[65]);
/* Parse 64 hexadecimal digits in lower case; what follows them is ignored. */
bool prog_hash_parse(const char *text, uint8_t hash[PROG_HASH_SIZE]);
/* Write all bytes, or fail with errno set. */
bool prog_write_all(int fd, const void *bytes, size_t size);
/* Read size bytes at an offset, fewer only where the file ends. Returns how many; -1: errno. */
int64_t prog_read_at(int fd, uint64_t at, void *out, size_t size);
bool prog_is_zero(const uint8_t *bytes, size_t size);
enum { PROG_BLOCK_SIZE = 4096 }; /* holes of a file consist of whole blocks, in most file systems of this size */
/* The bytes that lie at this place of a file: how many of them, from the first one on, are in blocks that are all zero, or
   in blocks that are not. At least 1 unless size is 0. */
size_t prog_run_of_blocks(uint64_t at, const uint8_t *bytes, size_t size, bool *is_zero);
/* Read a file that an option or a configuration names, of at most size_max bytes; a zero byte follows them.
   before: the beginning of messages, such as "--tls-key ", or "". Anything but a regular file is refused,
   because a FIFO or a device may never end. pipes: a pipe that this process was given is read, too, as
   process substitution makes one (/dev/fd/N, /dev/stdin); it must end within 10 s. Returns a status with a
   message. The caller frees *out, which is NULL after a failure. */
int  prog_load(const char *before, const char *path, size_t size_max, bool pipes, char **out, size_t *size);
/* FNV-1a, 64 bits: continue a hash that begins as PROG_FNV_START. It has no seed: whoever chooses the
   bytes can make hashes collide. */
#define PROG_FNV_START ((uint64_t)0xcbf29ce484222325)
uint64_t prog_fnv(uint64_t hash, const void *bytes, size_t size);
/* fsync() the directory that holds path, so that a rename in it survives a power loss. */
int  prog_sync_parent(const char *path);
/* How many threads to start, 1 to max: workers, or with 0 one per processor of this process. */
unsigned prog_thread_count(unsigned workers, unsigned max);
/* Is path a directory that is not empty, or whose entries cannot be read? */
bool prog_has_entries(const char *path);
/* Is `inner` the directory `outer`, or inside it at any depth? Links and other spellings are
   resolved, and inner need not exist yet. */
bool prog_lies_in(const char *inner, const char *outer);
/* Remove a file, or a directory with its content. A missing one is no error. */
int  prog_remove_all(const char *path);

#include "message.h"

#endif
