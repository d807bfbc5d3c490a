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
/* Is path a directory with something in it? */
bool dxup_has_entries(const char *path);
/* Remove a file or a directory with all that is in it; what is not there is fine. */
int  dxup_remove_all(const char *path);

/* >>dest.c ---- */
typedef struct dxup_dest {
    int      kind, fd;               /* of the part file, or of the part directory */
    int      entry_fd;               /* tree: the file being written, or -1 */
    int      state;
    unsigned mode;
    char     path[DXUP_PATH_SIZE_MAX + 1];
    char     part[DXUP_PATH_SIZE_MAX + 64]; /* beside path, locked while open */
    uint8_t  head[16];
    char     entry[DXUP_PATH_SIZE_MAX + 1]; /* tree: path of the entry being read */
    char     target[DXUP_PATH_SIZE_MAX + 1]; /* tree: a link's target */
    char     last[DXUP_PATH_SIZE_MAX + 1];  /* tree: the entry before; order is strict */
    char     dir[DXUP_PATH_SIZE_MAX + 1];   /* tree: the directory that is open for entries */
    uint16_t dir_mode[DXUP_DEPTH_MAX + 1];  /* tree: set when the directory is left */
    size_t   have, entry_size, depth;
    struct dxup_modes *modes;         /* tree: those that the system does not keep */
    uint64_t left;
    uint64_t kept; /* bytes that are in the part already; read d->fd to their end before writing */
    bool     keep; /* abandoning leaves the part for the next who wants the same content */
} dxup_dest;

/* Is there a part of a file beside path that somebody who was cut off has left? */
int  dxup_dest_find_part(dxup_dest *d, const char *path, bool *there);
/* Prepare the part file or directory beside path. Nothing at path changes before commit. content: NULL, or the hash
   of the file that is to be written: a part of it that is there is kept, and what is written can be. */
int  dxup_dest_open(dxup_dest *d, const char *path, int kind, unsigned mode, const uint8_t *content);
/* Which version of which name was pulled to the path that dxup_dest_find_part() was given: to be remembered; remembered. */
int  dxup_dest_record(const dxup_dest *d, const char *name, uint64_t version, const uint8_t *hash);
bool dxup_dest_recorded(const dxup_dest *d, const char *name, uint64_t *version, uint8_t *hash);
/* Forget what was kept: the part is empty. */
int  dxup_dest_restart(dxup_dest *d);
int  dxup_dest_write(dxup_dest *d, const void *bytes, size_t size);
/* A tree was made in d->fd by other means and is complete. */
int  dxup_dest_filled(dxup_dest *d, unsigned mode);
/* Make it durable and put it at path in one step: what was there is whole until then. */
int  dxup_dest_commit(dxup_dest *d);
/* Remove the part, unless d->keep. Also safe after commit. */
void dxup_dest_abandon(dxup_dest *d);

#endif
