/* What all programs share, from the bottom:

   os.h       all that the system is asked for: os_posix.c, os_windows.c
   message.c  what is printed: messages, progress; the first and last call of main()
   base.c     this header: memory, numbers and hashes as text
   options.c  the command line           window.c  small reads of a large file
   modes.c    permission bits where the system does not keep them
   image.c    a file or tree as a stream, read
   dest.c     such a stream put in its place in one step
   http.h     heads of HTTP requests */
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
    DXUP_NETWORK   = 3, /* unreachable, cut off, or not a dxup server */
    DXUP_DAMAGED   = 4, /* bytes that do not match their hash */
    DXUP_SYSTEM    = 5, /* the local system refused: disk full, permission, memory */
    DXUP_REFUSED   = 6  /* would lose something: locked store, locally changed tree */
};

enum dxup_kind { DXUP_FILE = 1, DXUP_TREE = 2 };

enum {
    DXUP_HASH_SIZE      = 32,
    DXUP_NAME_SIZE_MAX  = 255,
    DXUP_PATH_SIZE_MAX  = 4095,
    DXUP_DEPTH_MAX      = 256, /* directories below each other */
    DXUP_IO_SIZE        = 65536
};

/* >>base.c ---- */
/* malloc that ends the program with a message instead of returning NULL. */
void *dxup_alloc(size_t size);
int64_t dxup_now_ns(void);      /* monotonic */
int64_t dxup_time_ns(void);     /* since 1970 */
/* Bytes with thousands separators: 4,742,424. Returns out. */
char *dxup_count_text(uint64_t count, char out[32]);
char *dxup_hash_text(const uint8_t hash[DXUP_HASH_SIZE], char out[65]);
/* Of 64 hexadecimal digits in lower case, whatever is behind them. */
bool dxup_hash_parse(const char *text, uint8_t hash[DXUP_HASH_SIZE]);
/* Write all or fail with errno set. */
bool dxup_write_all(int fd, const void *bytes, size_t size);
/* fsync the directory that holds path, so that a rename in it survives a power cut. */
int  dxup_sync_parent(const char *path);
/* How many threads to start: so many, or with 0 one for each processor of this process; 1 to
   max. */
unsigned dxup_thread_count(unsigned workers, unsigned max);
/* Is path a directory with something in it? */
bool dxup_has_entries(const char *path);
/* Remove a file or a directory with all that is in it; what is not there is fine. */
int  dxup_remove_all(const char *path);

#include "message.h"

#endif
