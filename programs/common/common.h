/* What all programs share. From the bottom; a file uses only those above it in this list:

   os.h       system calls: os_posix.c, os_windows.c
   message.c  messages, progress, standard output; the first and last call of main()
   base.c     this header: memory, numbers and hashes as text
   options.c  the command line           window.c  a read cache for a large file
   modes.c    permission bits where the file system has none
   image.c    reads a file or a tree as one stream
   dest.c     writes such a stream to a staging file, and replaces the destination atomically
   http.h     parser for the heads of HTTP requests */
#ifndef COMMON_H
#define COMMON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit statuses; every function that returns int returns one of these. */
enum dxup_status {
    DXUP_OK        = 0,
    DXUP_USAGE     = 1, /* the command line */
    DXUP_NOT_FOUND = 2, /* no such store, name or version */
    DXUP_NETWORK   = 3, /* unreachable, interrupted, or not a dxup server */
    DXUP_DAMAGED   = 4, /* bytes that do not match their hash */
    DXUP_SYSTEM    = 5, /* the local system refused: disk full, permission, memory */
    DXUP_REFUSED   = 6  /* data would be lost: locked store, locally changed tree */
};

/* What a version, or a path, is. */
enum dxup_kind { DXUP_FILE = 1, DXUP_TREE = 2 };

enum {
    DXUP_HASH_SIZE      = 32,
    DXUP_NAME_SIZE_MAX  = 255,
    DXUP_PATH_SIZE_MAX  = 4095,
    DXUP_DEPTH_MAX      = 256, /* directories below each other */
    DXUP_IO_SIZE        = 65536 /* bytes of a read or write */
};

/* >>base.c ---- */
/* malloc() that ends the program with a message when memory runs out. */
void *dxup_alloc(size_t size);
int64_t dxup_now_ns(void);      /* monotonic */
int64_t dxup_time_ns(void);     /* since 1970 */
/* A number with thousands separators: 4,742,424. Returns out. */
char *dxup_count_text(uint64_t count, char out[32]);
/* 64 hexadecimal digits in lower case. Returns out. */
char *dxup_hash_text(const uint8_t hash[DXUP_HASH_SIZE], char out[65]);
/* Parse 64 hexadecimal digits in lower case; what follows them is ignored. */
bool dxup_hash_parse(const char *text, uint8_t hash[DXUP_HASH_SIZE]);
/* Write all bytes, or fail with errno set. */
bool dxup_write_all(int fd, const void *bytes, size_t size);
/* fsync() the directory that holds path, so that a rename in it survives a power loss. */
int  dxup_sync_parent(const char *path);
/* How many threads to start, 1 to max: workers, or with 0 one per processor of this process. */
unsigned dxup_thread_count(unsigned workers, unsigned max);
/* Is path a directory that is not empty? */
bool dxup_has_entries(const char *path);
/* Remove a file, or a directory with its content. A missing one is no error. */
int  dxup_remove_all(const char *path);

#include "message.h"

#endif
