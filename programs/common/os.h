/* The system interface of the programs, for POSIX (os_posix.c) and Windows (os_windows.c).

   Paths are UTF-8 with '/' between names. Files, folders and sockets are ints, -1: none; on
   Windows they are HANDLEs, whose values fit into 32 bits. Functions that return int return 0, unless
   their comment says otherwise, or -1 with errno set; os_error_text() describes errno. */
#ifndef OS_H
#define OS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64 /* as in common.h */
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
/* modes.c stores the modes; a port has at most one listener */
enum { OS_KEEPS_MODES = 0, OS_HAS_LINKS = 0, OS_WORKERS_MAX = 1 };
#else
enum { OS_KEEPS_MODES = 1, OS_HAS_LINKS = 1, OS_WORKERS_MAX = 256 };
#endif

enum os_kind { OS_FILE = 1, OS_FOLDER, OS_LINK, OS_OTHER };

typedef struct os_info {
    int      kind;
    unsigned mode; /* permission bits; Windows: 0644 or 0444, folders 0755 */
    uint64_t size;
    uint64_t volume; /* two files with the same volume and number are the same file */
    uint64_t number;
    uint64_t names;  /* hard links */
    uint64_t user;   /* and group; Windows: 0 */
    uint64_t group;
    int64_t  mtime_ns;
    int64_t  ctime_ns; /* of the last change of any kind; Windows: mtime_ns */
    bool     special; /* setuid, setgid or sticky bit, which mode does not have */
    bool     thin;    /* fewer blocks than its size needs: it may have holes */
} os_info;

/* >>program ---- */
/* First in main(): converts arguments to UTF-8, sets binary output, ignores SIGPIPE and SIGXFSZ. */
void os_begin(int *argc, char ***argv);
/* Convert a path of the command line to the form above, in place. NULL stays NULL. */
char *os_path(char *argument);
/* The text of an errno of this interface; valid until the next call on this thread. */
const char *os_error_text(int error);
/* The same for dx_cas_file.system_error. */
const char *os_cas_error_text(int error);
int64_t  os_now_ns(void);  /* monotonic */
int64_t  os_time_ns(void); /* since 1970 */
int64_t  os_used_ns(void); /* processor time of this process, all threads */
/* YYYY-MM-DD HH:MM:SS in UTC. */
void     os_time_text(int64_t time_ns, char out[32]);
void     os_write_error(const void *bytes, size_t size); /* to standard error, with one call */
bool     os_is_terminal(void); /* is standard error a terminal that supports "\033[K"? */
bool     os_output_is_terminal(void); /* the same for standard output */
uint64_t os_memory_peak(void); /* of this process, bytes */
unsigned os_cpu_count(void);   /* processors that this process may run on; at least 1 */
bool     os_random(void *out, size_t size);
void     os_sleep_ns(int64_t ns);
/* Make a folder for temporary files, with access for its owner only. The caller removes it. */
int      os_make_temporary_folder(char *path, size_t size);
/* Set the size of the receive buffer of a socket. */
void     os_limit_receive(int socket, int size);
/* Set an environment variable for os_run(). 0, or -1 and errno. */
int      os_set_variable(const char *name, const char *value);
/* Run a command with the system's shell and wait for it. Returns its exit status; 256 or more: a
   signal or the system killed it; -1 and errno. */
int      os_run(const char *command);
unsigned os_new_mode(void); /* of a file that was not there before */
/* Shutdown: prepare before the first thread starts; the main thread waits for Ctrl-C or SIGTERM.
   OS_HANGUP: SIGHUP has arrived, and the caller waits again. Windows has no SIGHUP. */
enum { OS_END, OS_HANGUP };
void     os_end_prepare(void);
int      os_end_wait(void);

/* >>paths ---- */
int  os_stat(const char *path, bool follow, os_info *out);
/* The absolute path with links resolved, or path itself if it does not exist. -1: too long. */
int  os_real_path(const char *path, char *out, size_t size);
/* NULL, or the reason why this system does not allow this file name (not a path). */
const char *os_name_fault(const char *name);
int  os_make_folder(const char *path, unsigned mode); /* EEXIST: the path exists */
int  os_set_mode(const char *path, unsigned mode);
int  os_remove(const char *path); /* a file */
/* Remove a file, or a folder with its content. A missing one is no error. */
int  os_remove_tree(const char *path);
/* Atomically replace `to` by `from`, which is open as `file`. The name of an old file is gone then,
   even if others have the file open; an old folder is at `from`. */
int  os_replace(int file, const char *from, const char *to, bool folder);
/* Exchange two files or folders atomically. ENOSYS, EINVAL: the system or file system does not
   support it. */
int  os_exchange(const char *a, const char *b);
/* Rename `from`, which is open as `file`. EEXIST, ENOTEMPTY: the new name is taken. */
int  os_place(int file, const char *from, const char *to);
int  os_remove_folder(const char *path); /* an empty one */
/* Does a store through a shared mapping change the modification time of a file in path's folder? On
   tmpfs it does not. The test uses a temporary file. */
bool os_maps_update_times(const char *path);
/* The modification time that a file in path's folder would get now; 0: unknown. */
int64_t os_file_time_ns(const char *path);
/* Complete an interrupted replacement of `path`, on systems where replacing takes several steps. */
void os_replace_recover(const char *path);
/* The same for the folder `name` in an open folder. It must exist; links are not followed. POSIX
   only. */
int  os_replace_in(int folder, const char *name, const char *from);
/* The modification time of an open file or folder. POSIX only. */
int  os_set_time(int file, int64_t mtime_ns);
/* The same for a name in an open folder, which may be a link. POSIX only. */
int  os_set_time_in(int folder, const char *name, int64_t mtime_ns);
/* Make renames in path's folder durable. */
int  os_sync_parent(const char *path);

/* >>open files ---- */
int  os_open(const char *path); /* for reading; does not block on a pipe without a writer */
int  os_open_folder(const char *path);
/* For writing at the end; created with this mode if missing. */
int  os_open_append(const char *path, unsigned mode);
/* A new unlinked file, for reading and writing; it disappears when it is closed. */
int  os_open_unnamed(const char *path);
int  os_open_lock(const char *path); /* created if missing, no link; EWOULDBLOCK: locked */
/* Create or open a staging file or folder and lock it. EWOULDBLOCK: another process holds the lock. */
int  os_open_staging(const char *path, bool folder);
/* Lock a folder before os_replace() gives it the name of the staging folder. -1: another process
   holds the lock, or this system needs no lock. */
int  os_lock_folder(const char *path);
int  os_lock_folder_in(int folder, const char *name);
/* Remove what os_open_staging() made, and close it. */
int  os_drop_staging(int file, const char *path);
int  os_close(int file);
int  os_close_socket(int socket);
/* The first listening socket takes its port exclusively. After this call the process can open more
   sockets on the port, with SO_REUSEPORT. */
int  os_share_port(int socket);
/* Remove the file of a unix socket if no process listens on it any more, because its program was
   killed. Other files are left alone. */
void os_remove_left_socket(const char *path);
/* The content of these bytes is not needed: the system may reclaim their pages until the next write. */
void os_memory_unused(void *memory, size_t size);
/* Return free heap memory to the system, if the C library supports it. */
void os_heap_unused(void);
/* The network of the peer of a stream, in 16 bytes: the first 64 bits of its IPv6 address, or its
   IPv4 address in IPv4-mapped form. False: no network, as for unix sockets. */
bool os_peer_network(int socket, uint8_t network[16]);
/* The address of the peer of a stream, in the system's format: *size of room bytes. */
bool os_peer_address(int socket, void *address, size_t room, uint32_t *size);
/* Does a stream have unread bytes? True also if that is unknown. */
bool os_socket_unread(int socket);
int  os_socket_errno(void); /* errno of the last socket call that failed */
/* Call each() with the socket addresses of a host and a numeric port, the best one first. Returns
   NULL, or the reason why the lookup failed. May block on the network. */
const char *os_resolve(const char *host, const char *port,
                       void (*each)(void *user, const void *address, size_t size), void *user);
int  os_info_of(int file, os_info *out);
/* Returns the bytes read; 0 at the end. */
int64_t os_read(int file, void *out, size_t size);
int64_t os_read_at(int file, uint64_t offset, void *out, size_t size);
/* Map bytes of a file read-only, or NULL. If the file is truncated meanwhile, reading raises
   SIGBUS. */
const void *os_map(int file, size_t size);
void os_unmap(const void *bytes, size_t size);
/* Bytes in a temporary file without a name: the system can take their pages back, unlike allocated ones.
   old: NULL, or such bytes, which are kept and may move. NULL: there is no place for them, and old stays
   as it is. */
uint8_t *os_scratch_resize(uint8_t *old, size_t size);
void os_scratch_free(uint8_t *bytes); /* NULL: nothing */
/* Take the pages out of the process's memory. The next access brings them back from the file. */
void os_release(const void *bytes, size_t size);
int  os_write(int file, const void *bytes, size_t size); /* all of them */
int  os_write_at(int file, uint64_t offset, const void *bytes, size_t size); /* all of them */
int  os_empty(int file);
int  os_set_open_mode(int file, unsigned mode);
/* Give the file the owner, the group and the permission bits of another one. Windows: the bits. */
int  os_set_rights(int file, const os_info *of);
int  os_sync(int file);
int  os_sync_tree(int folder);

/* >>in an open folder: no link is followed in the last name ---- */
/* Call each for every name, from the first one. A result that is not 0 ends the loop and is returned. -1
   with errno: also if the names could not all be read. */
int  os_list(int folder, int (*each)(void *user, const char *name), void *user);
int  os_stat_in(int folder, const char *name, os_info *out);
int  os_open_in(int folder, const char *name, int kind); /* OS_FILE, OS_FOLDER */
int  os_make_file_in(int folder, const char *path, unsigned mode); /* fails if it exists */
int  os_make_folder_in(int folder, const char *path);
int  os_make_link_in(int folder, const char *path, const char *target);
int64_t os_read_link_in(int folder, const char *name, char *out, size_t size);
bool os_has_holes_in(int folder, const char *name); /* folder -1: name is a path */
/* EEXIST: the new name is taken. ENOSYS: this system does not support it. */
int  os_rename_in(int folder, const char *from, const char *to);
/* To a name that may be taken: what has it is removed. ENOSYS: this system cannot. */
int  os_rename_over_in(int folder, const char *from, const char *to);
int  os_remove_in(int folder, const char *name, int kind); /* OS_FOLDER: an empty one */
/* Take a lease: until the file is closed, opening it for writing blocks or fails. OS_IN_USE: it is
   already open or mapped for writing. OS_UNKNOWN: the system or file system cannot tell. */
enum { OS_UNUSED, OS_IN_USE, OS_UNKNOWN };
int  os_hold(int file);
int  os_set_mode_in(int folder, const char *path, unsigned mode);
/* Close a file of os_make_file_in(). It is durable now, or after os_sync_tree(). */
int  os_close_made(int file);

#endif
