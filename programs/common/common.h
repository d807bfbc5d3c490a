/* What the programs share: statuses, messages, and files that are replaced in one step.

   base.c    messages, sizes and hashes as text, memory      dest.c    a file or tree put in its place in one step
   os.h      all that the system is asked for: os_posix.c, os_windows.c
   modes.c   permission bits where the system does not keep them */
#ifndef COMMON_H
#define COMMON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __MINGW_PRINTF_FORMAT
#define DXUP_FORMAT __MINGW_PRINTF_FORMAT
#else
#define DXUP_FORMAT printf
#endif

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
/* First in main(): the program's name, which stands in front of its messages, and os_begin(). */
void dxup_begin(const char *name, int *argc, char ***argv);
/* Print to standard output. What an argument brings is shown as it is, but for control characters: \x1b. So it is in all
   messages; newlines stand at the end of a format, nowhere else. */
void dxup_say(const char *format, ...) __attribute__((format(DXUP_FORMAT, 1, 2)));
/* Print "dxup: ..." to standard error: something is not as one may think, and no failure. */
void dxup_warn(const char *format, ...) __attribute__((format(DXUP_FORMAT, 1, 2)));
/* Print "dxup: ..." to standard error and return status. */
int  dxup_fail(int status, const char *format, ...) __attribute__((format(DXUP_FORMAT, 2, 3)));
/* The same with the text of errno behind it. */
int  dxup_fail_errno(const char *format, ...) __attribute__((format(DXUP_FORMAT, 1, 2)));
/* malloc that ends the program with a message instead of returning NULL. */
void *dxup_alloc(size_t size);
int64_t dxup_now_ns(void);      /* monotonic */
int64_t dxup_time_ns(void);     /* since 1970 */
/* Bytes with thousands separators: 4,742,424. Returns out. */
char *dxup_count_text(uint64_t count, char out[32]);
char *dxup_hash_text(const uint8_t hash[DXUP_HASH_SIZE], char out[65]);
/* Of 64 hexadecimal digits in lower case, whatever is behind them. */
bool dxup_hash_parse(const char *text, uint8_t hash[DXUP_HASH_SIZE]);
/* One line of progress on standard error if that is a terminal; total 0 = unknown. */
void dxup_progress(const char *what, uint64_t done, uint64_t total, bool last);
/* Write all or fail with errno set. */
bool dxup_write_all(int fd, const void *bytes, size_t size);
/* fsync the directory that holds path, so that a rename in it survives a power cut. */
int  dxup_sync_parent(const char *path);
/* How many threads to start: so many, or with 0 one for each processor of this process; 1 to max. */
unsigned dxup_thread_count(unsigned workers, unsigned max);
/* Is path a directory with something in it? */
bool dxup_has_entries(const char *path);
/* Remove a file or a directory with all that is in it; what is not there is fine. */
int  dxup_remove_all(const char *path);

#endif
