/* What dxup and dxpatch ask of the system, for POSIX (os_posix.c) and Windows (os_windows.c).

   Paths are UTF-8 with '/' between names. Files, folders and sockets are ints, -1: none; on
   Windows they are HANDLEs, which it keeps within 32 bits. A function that returns int returns 0
   (or what it says) or -1 with errno set; os_error_text() has words for it. */
#ifndef OS_H
#define OS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
/* modes.c keeps them; a port has one listener */
enum { OS_KEEPS_MODES = 0, OS_HAS_LINKS = 0, OS_WORKERS_MAX = 1 };
#else
enum { OS_KEEPS_MODES = 1, OS_HAS_LINKS = 1, OS_WORKERS_MAX = 256 };
#endif

enum os_kind { OS_FILE = 1, OS_FOLDER, OS_LINK, OS_OTHER };

typedef struct os_info {
    int      kind;
    unsigned mode; /* permission bits; Windows: 0644 or 0444, folders 0755 */
    uint64_t size;
    uint64_t volume, number; /* both equal: the same file */
    bool     special; /* it has a setuid, setgid or sticky bit, which is not in mode */
    bool     thin;    /* a file with fewer blocks than its size takes: it may have holes */
} os_info;

/* >>program ---- */
/* First in main(): arguments in UTF-8, output as it is written, no end by a closed pipe or a
   full disk. */
void os_begin(int *argc, char ***argv);
/* A path of the command line in the form above, changed in place. NULL stays NULL. */
char *os_path(char *argument);
/* Words for an errno of this layer; they stay until the thread asks again. */
const char *os_error_text(int error);
/* The same for dx_cas_file.system_error. */
const char *os_cas_error_text(int error);
int64_t  os_now_ns(void);  /* monotonic */
int64_t  os_time_ns(void); /* since 1970 */
/* YYYY-MM-DD HH:MM:SS in UTC. */
void     os_time_text(int64_t time_ns, char out[32]);
void     os_write_error(const void *bytes, size_t size); /* to standard error, in one piece */
bool     os_is_terminal(void); /* standard error, one that knows "\033[K" */
uint64_t os_memory_peak(void); /* of this process, bytes */
unsigned os_cpu_count(void);   /* processors that this process may run on; at least 1 */
bool     os_random(void *out, size_t size);
unsigned os_new_mode(void); /* of a file that was not there before */
/* Before the first thread; then, on the main one, until Ctrl-C or a request to end. */
void     os_end_prepare(void);
void     os_end_wait(void);

/* >>paths ---- */
int  os_look(const char *path, bool follow, os_info *out);
/* The absolute path, through links; of what is not there as far as that can be said, else path
   itself. -1: too long. */
int  os_real_path(const char *path, char *out, size_t size);
/* NULL, or what is wrong with a name (no path) on this system. */
const char *os_name_fault(const char *name);
int  os_make_folder(const char *path, unsigned mode); /* EEXIST: there was something */
int  os_set_mode(const char *path, unsigned mode);
int  os_remove(const char *path); /* a file */
/* A file or a folder with all that is in it; what is not there is fine. */
int  os_remove_tree(const char *path);
/* Put `from`, which is open as `file`, in the place of `to` in one step. A file there is gone
   then, also one that others have open; a folder is now at `from`. */
int  os_replace(int file, const char *from, const char *to, bool folder);
/* Finish a replacing of `path` that was cut short, on systems where it takes more than one step. */
void os_replace_recover(const char *path);
/* Make what was renamed in path's folder survive a power cut. */
int  os_sync_parent(const char *path);

/* >>open files ---- */
int  os_open(const char *path); /* to read; does not wait for the writer of a pipe */
int  os_open_folder(const char *path);
/* A new file, to read and write, gone with its descriptor. */
int  os_open_unnamed(const char *path);
int  os_open_lock(const char *path); /* the file is made; EWOULDBLOCK: another process holds it */
/* A file or folder to be filled, of this process alone (EWOULDBLOCK), and still the one at path. */
int  os_open_part(const char *path, bool folder);
/* Remove what os_open_part() made, and close it. */
int  os_drop_part(int file, const char *path);
int  os_close(int file);
int  os_close_socket(int socket);
void os_end_sending(int socket);
/* A listening socket has its port for itself. From here on this process may open more on it,
   with SO_REUSEPORT. */
int  os_share_port(int socket);
int  os_socket_errno(void); /* of the last call about a socket that failed */
int  os_info_of(int file, os_info *out);
/* Bytes read, 0 at the end. */
int64_t os_read(int file, void *out, size_t size);
int64_t os_read_at(int file, uint64_t offset, void *out, size_t size);
/* So many bytes of a file as memory to read, or NULL. Who shortens the file meanwhile kills the
   reader. */
const void *os_map(int file, size_t size);
void os_unmap(const void *bytes, size_t size);
int  os_write(int file, const void *bytes, size_t size); /* all of them */
int  os_write_at(int file, uint64_t offset, const void *bytes, size_t size); /* all of them */
int  os_empty(int file);
int  os_set_open_mode(int file, unsigned mode);
int  os_sync(int file);
int  os_sync_tree(int folder);

/* >>in an open folder: no link is followed in the last name ---- */
/* What is not 0 from each ends it and is returned. */
int  os_list(int folder, int (*each)(void *user, const char *name), void *user);
int  os_look_in(int folder, const char *name, os_info *out);
int  os_open_in(int folder, const char *name, int kind); /* OS_FILE, OS_FOLDER */
int  os_make_file_in(int folder, const char *path, unsigned mode); /* must not be there */
int  os_make_folder_in(int folder, const char *path);
int  os_make_link_in(int folder, const char *path, const char *target);
int64_t os_read_link_in(int folder, const char *name, char *out, size_t size);
bool os_has_holes_in(int folder, const char *name); /* folder -1: name is a path */
int  os_set_mode_in(int folder, const char *path, unsigned mode);
/* Close what os_make_file_in() made; it is durable then, or os_sync_tree() makes it so. */
int  os_close_made(int file);

#endif
