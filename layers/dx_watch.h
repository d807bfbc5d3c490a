/*  dx_watch.h - v0.2.0 - changes below a directory as events of dx_reactor.h
               - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_WATCH_IMPLEMENTATION       (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_watch.h"

    and include it elsewhere without the define. C99; also builds as C++11. Stands on dx_reactor.h.

    CONTENTS (search >>)  config  errors  watch  platform  cells  pending  directories  kernel
                          delivery  public  license

    HOW IT WORKS
        An event names a path to look at, never what has happened to it: what happened may already
        be history. Whoever looks at every path that was named, after it was named, knows in the
        end what a scan finds. Only directories and pending events take memory; files take none.

    GUARANTEES  Bounded: one block of memory of the caller. What does not fit becomes one event,
                "look at everything". A busy file neither delays others nor is delayed by itself
                for more than desc.hold_ns.
    LIMITS      Linux has notification; elsewhere, and where the system refuses watches, everything
                is named once every desc.poll_ns. opendir() of the C library allocates.
    CONFIG      DX_WATCH_STATIC, DX_WATCH_API, DX_WATCH_ASSERT(c), DX_WATCH_MEMCPY, DX_WATCH_MEMSET,
                DX_WATCH_MEMCMP
    ERRORS      dx_watch_error: 0 = ok, negative = reason
    OWNERSHIP   desc.memory and desc.path are borrowed until dx_watch_close().
*/
#ifndef DX_WATCH_H
#define DX_WATCH_H

#define DX_WATCH_VERSION 0x000200 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_REACTOR_H
  #include "../dx_reactor.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_WATCH_API
  #ifdef DX_WATCH_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_WATCH_API static __attribute__((unused))
    #else
      #define DX_WATCH_API static
    #endif
  #else
    #define DX_WATCH_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>errors ------------------------------------------------------------- */
#define DX_WATCH_ERRORS(X)                                             \
    X(0, OK)                                                           \
    X(-1, EINVAL) /* an argument breaks its documented contract */     \
    X(-2, ENOMEM) /* desc.memory is missing or too small */            \
    X(-7, ESYS)   /* the system refused: dx_watch_sys_errno() */

typedef enum dx_watch_error {
#define DX_WATCH_P_ENUM(value, name) DX_WATCH_##name = (value),
    DX_WATCH_ERRORS(DX_WATCH_P_ENUM)
#undef DX_WATCH_P_ENUM
} dx_watch_error;

/* "DX_WATCH_EINVAL" and so on; "unknown error" for other numbers. Static storage. */
DX_WATCH_API const char *dx_watch_error_name(int error);

/* >>watch -------------------------------------------------------------- */
enum { DX_WATCH_MEMORY_MIN = 64 << 10, DX_WATCH_PATH_SIZE_MAX = 4096 };

typedef enum dx_watch_kind {
    DX_WATCH_LOOK = 1, /* at this one path: it is new, different or gone */
    DX_WATCH_SCAN,     /* at the path and everything below it; "" is the whole directory */
    DX_WATCH_GONE      /* the watched directory itself was removed or moved away */
} dx_watch_kind;

typedef struct dx_watch dx_watch;
/* path is relative to desc.path, and holds during the call. dx_watch_close() may be called. */
typedef void dx_watch_fn(void *user, dx_watch *w, dx_watch_kind kind, const char *path);

typedef struct dx_watch_desc { /* zero = the default written behind each field */
    dx_reactor  *reactor;
    const char  *path;        /* of the directory */
    void        *memory;      /* aligned to 8: 72 bytes a directory, more where names are long */
    size_t       memory_size; /* DX_WATCH_MEMORY_MIN at least */
    dx_watch_fn *fn;
    void        *user;
    uint64_t     debounce_ns; /* a path is named when it was quiet for so long; 100 ms */
    uint64_t     hold_ns;     /* but not later than this after its first change; 1 s */
    uint64_t     poll_ns;     /* where nothing notifies; 2 s */
    uint32_t     pending_max; /* paths that wait at a time; 4096 */
    bool         poll;        /* do not ask the system for notification */
} dx_watch_desc;

typedef struct dx_watch_stats {
    uint64_t changes;     /* that the system has told */
    uint64_t events;      /* delivered */
    uint64_t overflows;   /* of the system's queue, or of this memory: everything is named */
    uint64_t refused;     /* directories that may not be watched: they are polled */
    uint32_t directories; /* that are watched now */
    uint32_t pending;     /* paths that wait now */
    bool     polls;       /* everything is named every poll_ns */
} dx_watch_stats;

struct dx_watch { /* caller-allocated; fields are private */
    dx_watch_desc          desc_;
    dx_watch_stats         stats_;
    struct dx_watch_cell  *cells_;   /* number 0 is no cell, 1 is the watched directory */
    uint32_t              *names_;   /* hash of directory and name -> first cell of a chain */
    uint32_t              *watches_; /* hash of the system's number -> first cell of a chain */
    uint32_t               mask_;    /* of both tables */
    uint32_t               cell_count_;
    uint32_t               free_;    /* list of free cells */
    uint32_t               fresh_;   /* cells from here on were never used */
    uint32_t               waiting_; /* first of the pending paths */
    int                    fd_;
    int                    errno_;
    uint64_t               next_poll_;
    dx_op                  readable_;
    dx_op                  timer_;
    bool                   open_;
    bool                   lost_;    /* something did not fit: everything is to be named */
};

/* Watches the directory and all below it; nothing is named for what is there already. */
DX_WATCH_API int  dx_watch_open(dx_watch *w, const dx_watch_desc *desc);
/* Cancels what is pending. Run the reactor once before *w is reused. */
DX_WATCH_API void dx_watch_close(dx_watch *w);
/* Takes what the system has told so far and names every pending path at once. */
DX_WATCH_API void dx_watch_flush(dx_watch *w);
DX_WATCH_API void dx_watch_get_stats(const dx_watch *w, dx_watch_stats *stats);
DX_WATCH_API int  dx_watch_sys_errno(const dx_watch *w);

#ifdef __cplusplus
}
#endif
#endif /* DX_WATCH_H */

#if (defined(DX_WATCH_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_WATCH_IMPLEMENTED)
#define DX_WATCH_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_WATCH_ASSERT
  #ifndef NDEBUG
    #include <assert.h>
    #define DX_WATCH_ASSERT(c) assert(c)
  #else
    #define DX_WATCH_ASSERT(c) ((void)0)
  #endif
#endif
#if !defined(DX_WATCH_MEMCPY) || !defined(DX_WATCH_MEMSET) || !defined(DX_WATCH_MEMCMP)
  #include <string.h>
#endif
#ifndef DX_WATCH_MEMCPY
  #define DX_WATCH_MEMCPY(to, from, size) memcpy(to, from, size)
#endif
#ifndef DX_WATCH_MEMSET
  #define DX_WATCH_MEMSET(to, value, size) memset(to, value, size)
#endif
#ifndef DX_WATCH_MEMCMP
  #define DX_WATCH_MEMCMP(a, b, size) memcmp(a, b, size)
#endif
#if defined(__linux__)
  #include <dirent.h>
  #include <errno.h>
  #include <fcntl.h>
  #include <sys/inotify.h>
  #include <sys/stat.h>
  #include <unistd.h>
#endif

enum {
    DX_WATCH_P_DIRECTORY = 1,
    DX_WATCH_P_WAITING,   /* a path that is to be named: LOOK */
    DX_WATCH_P_ALL_BELOW, /* the same: SCAN */
    DX_WATCH_P_ROOT = 1,  /* number of its cell */
    DX_WATCH_P_NAME = 16, /* bytes of a name within its cell */
    DX_WATCH_P_MORE = 60  /* bytes in each cell that continues it */
};

/* >>cells --------------------------------------------------------------
   Everything is a cell of 64 bytes. Directories form a tree; a path that waits to be named is a
   child of its directory, so that it moves and dies with it.

       root --child--> [dir a] --next--> [waiting "f"] --next--> [dir b]
                          |child                                    */
typedef struct dx_watch_cell {
    uint32_t chain;     /* the next cell with the same hash of its name; free list */
    uint32_t parent;
    uint32_t next;      /* siblings */
    uint32_t prev;
    uint32_t more;      /* the cell where a long name continues */
    uint16_t name_size;
    uint8_t  kind;
    uint8_t  reserved;
    union {
        struct {
            uint32_t child;
            uint32_t watch_chain;
            int32_t  watch;       /* the system's number; -1: none */
        } dir;
        struct {
            uint64_t due;
            uint64_t first;
            uint32_t next;        /* the list of all that wait */
            uint32_t prev;
        } wait;
    } u;
    char name[DX_WATCH_P_NAME];
} dx_watch_cell;

typedef struct dx_watch_p_more {
    uint32_t next;
    char     bytes[DX_WATCH_P_MORE];
} dx_watch_p_more;

static uint32_t dx_watch_p_hash(uint32_t parent, const char *name, size_t size, uint32_t salt)
{
    uint32_t h = 2166136261u ^ (parent * 0x9e3779b1u) ^ salt;
    size_t i;
    for (i = 0; i < size; i++) h = (h ^ (uint8_t)name[i]) * 16777619u;
    return h ^ (h >> 15);
}

/* Directories and waiting paths of the same name are told apart: both may be there. */
static uint32_t *dx_watch_p_names_of(dx_watch *w, uint32_t parent, const char *name, size_t size,
                                     bool waits)
{
    return &w->names_[dx_watch_p_hash(parent, name, size, waits ? 77u : 0) & w->mask_];
}

static uint32_t *dx_watch_p_watches_of(dx_watch *w, int32_t watch)
{
    return &w->watches_[((uint32_t)watch * 0x9e3779b1u >> 7) & w->mask_];
}

static uint32_t dx_watch_p_cell_take(dx_watch *w)
{
    uint32_t i = w->free_;
    if (i) w->free_ = w->cells_[i].chain;
    else if (w->fresh_ < w->cell_count_) i = w->fresh_++;
    if (i) DX_WATCH_MEMSET(&w->cells_[i], 0, sizeof w->cells_[i]);
    return i;
}

static void dx_watch_p_cell_give(dx_watch *w, uint32_t i)
{
    DX_WATCH_ASSERT(i > DX_WATCH_P_ROOT && i < w->fresh_);
    w->cells_[i].chain = w->free_;
    w->free_ = i;
}

static dx_watch_p_more *dx_watch_p_more_of(dx_watch *w, uint32_t i)
{
    return (dx_watch_p_more *)(void *)&w->cells_[i];
}

static void dx_watch_p_cells_give(dx_watch *w, uint32_t i)
{
    uint32_t more = w->cells_[i].more;
    while (more) {
        const uint32_t next = dx_watch_p_more_of(w, more)->next;
        dx_watch_p_cell_give(w, more);
        more = next;
    }
    dx_watch_p_cell_give(w, i);
}

/* The name of a cell into out, which has room for it. */
static void dx_watch_p_name_read(dx_watch *w, uint32_t i, char *out)
{
    const dx_watch_cell *const c = &w->cells_[i];
    size_t left = c->name_size, part = left < DX_WATCH_P_NAME ? left : (size_t)DX_WATCH_P_NAME;
    uint32_t more = c->more;
    DX_WATCH_MEMCPY(out, c->name, part);
    while (left -= part) {
        const dx_watch_p_more *const m = dx_watch_p_more_of(w, more);
        out += part;
        part = left < DX_WATCH_P_MORE ? left : (size_t)DX_WATCH_P_MORE;
        DX_WATCH_MEMCPY(out, m->bytes, part);
        more = m->next;
    }
}

static bool dx_watch_p_name_is(dx_watch *w, uint32_t i, const char *name, size_t size)
{
    char own[256];
    if (w->cells_[i].name_size != size) return false;
    dx_watch_p_name_read(w, i, own);
    return DX_WATCH_MEMCMP(own, name, size) == 0;
}

static uint32_t dx_watch_p_find(dx_watch *w, uint32_t parent, const char *name, size_t size,
                                bool waits)
{
    uint32_t i = *dx_watch_p_names_of(w, parent, name, size, waits);
    while (i && (w->cells_[i].parent != parent ||
                 (w->cells_[i].kind != DX_WATCH_P_DIRECTORY) != waits ||
                 !dx_watch_p_name_is(w, i, name, size)))
        i = w->cells_[i].chain;
    return i;
}

/* A new child of parent; 0: no room. */
static uint32_t dx_watch_p_add(dx_watch *w, uint32_t parent, const char *name, size_t size,
                               int kind)
{
    const uint32_t i = dx_watch_p_cell_take(w);
    dx_watch_cell *c = &w->cells_[i];
    uint32_t *link = &c->more, *chain;
    size_t part = size < DX_WATCH_P_NAME ? size : (size_t)DX_WATCH_P_NAME, at;
    if (!i) return 0;
    DX_WATCH_MEMCPY(c->name, name, part);
    for (at = part; at < size; at += part) {
        const uint32_t more = dx_watch_p_cell_take(w);
        if (!more) {
            dx_watch_p_cells_give(w, i);
            return 0;
        }
        *link = more;
        part = size - at < DX_WATCH_P_MORE ? size - at : (size_t)DX_WATCH_P_MORE;
        DX_WATCH_MEMCPY(dx_watch_p_more_of(w, more)->bytes, name + at, part);
        link = &dx_watch_p_more_of(w, more)->next;
    }
    c->name_size = (uint16_t)size;
    c->kind = (uint8_t)kind;
    c->parent = parent;
    c->next = w->cells_[parent].u.dir.child;
    if (c->next) w->cells_[c->next].prev = i;
    w->cells_[parent].u.dir.child = i;
    chain = dx_watch_p_names_of(w, parent, name, size, kind != DX_WATCH_P_DIRECTORY);
    c->chain = *chain;
    *chain = i;
    return i;
}

/* Out of its directory and the table of names. */
static void dx_watch_p_unlink(dx_watch *w, uint32_t i)
{
    dx_watch_cell *const c = &w->cells_[i];
    char name[256];
    uint32_t *chain;
    dx_watch_p_name_read(w, i, name);
    chain = dx_watch_p_names_of(w, c->parent, name, c->name_size,
                                c->kind != DX_WATCH_P_DIRECTORY);
    while (*chain != i) chain = &w->cells_[*chain].chain;
    *chain = c->chain;
    if (c->prev) w->cells_[c->prev].next = c->next;
    else w->cells_[c->parent].u.dir.child = c->next;
    if (c->next) w->cells_[c->next].prev = c->prev;
}

/* The path of a cell, written from the end of text; NULL: too long. */
static const char *dx_watch_p_path(dx_watch *w, uint32_t i, char text[DX_WATCH_PATH_SIZE_MAX])
{
    size_t at = DX_WATCH_PATH_SIZE_MAX - 1;
    text[at] = 0;
    while (i != DX_WATCH_P_ROOT) {
        const size_t size = w->cells_[i].name_size;
        if (at < size + 1) return NULL;
        if (text[at]) text[--at] = '/';
        at -= size;
        dx_watch_p_name_read(w, i, text + at);
        i = w->cells_[i].parent;
    }
    return text + at;
}

/* >>pending ------------------------------------------------------------
   A path is due when it was quiet for debounce_ns, at the latest hold_ns after its first change.
   The list is short (pending_max), so that it is searched for the next one that is due. */
static void dx_watch_p_wait_end(dx_watch *w, uint32_t i)
{
    dx_watch_cell *const c = &w->cells_[i];
    if (c->u.wait.prev) w->cells_[c->u.wait.prev].u.wait.next = c->u.wait.next;
    else w->waiting_ = c->u.wait.next;
    if (c->u.wait.next) w->cells_[c->u.wait.next].u.wait.prev = c->u.wait.prev;
    DX_WATCH_ASSERT(w->stats_.pending > 0);
    w->stats_.pending--;
    dx_watch_p_unlink(w, i);
    dx_watch_p_cells_give(w, i);
}

static void dx_watch_p_lose(dx_watch *w)
{
    if (!w->lost_) w->stats_.overflows++;
    w->lost_ = true;
}

/* Name this path when it is quiet. */
static void dx_watch_p_touch(dx_watch *w, uint32_t parent, const char *name, size_t size, int kind)
{
    const uint64_t now = dx_reactor_now_ns(w->desc_.reactor);
    uint32_t i;
    dx_watch_cell *c;
    if (w->lost_) return; /* everything will be named */
    i = dx_watch_p_find(w, parent, name, size, true);
    if (!i) {
        if (w->stats_.pending < w->desc_.pending_max)
            i = dx_watch_p_add(w, parent, name, size, kind);
        if (!i) {
            dx_watch_p_lose(w);
            return;
        }
        w->stats_.pending++;
        c = &w->cells_[i];
        c->u.wait.first = now;
        c->u.wait.next = w->waiting_;
        c->u.wait.prev = 0;
        if (w->waiting_) w->cells_[w->waiting_].u.wait.prev = i;
        w->waiting_ = i;
    }
    c = &w->cells_[i];
    if (kind == DX_WATCH_P_ALL_BELOW) c->kind = (uint8_t)kind;
    c->u.wait.due = now + w->desc_.debounce_ns;
    if (c->u.wait.due > c->u.wait.first + w->desc_.hold_ns)
        c->u.wait.due = c->u.wait.first + w->desc_.hold_ns;
}

/* >>directories --------------------------------------------------------
   One watch for each directory. The tree follows what the kernel tells in its order; a directory
   that was renamed is forgotten where it was and found anew where it is. */
static void dx_watch_p_unwatch(dx_watch *w, uint32_t i, bool tell)
{
    const int32_t watch = w->cells_[i].u.dir.watch;
    uint32_t *chain;
    if (watch < 0) return;
    chain = dx_watch_p_watches_of(w, watch);
    while (*chain != i) chain = &w->cells_[*chain].u.dir.watch_chain;
    *chain = w->cells_[i].u.dir.watch_chain;
    w->cells_[i].u.dir.watch = -1;
    w->stats_.directories--;
#if defined(__linux__)
    if (tell) inotify_rm_watch(w->fd_, watch);
#else
    (void)tell;
#endif
}

/* Everything below a directory, deepest first; the directory stays. */
static void dx_watch_p_empty(dx_watch *w, uint32_t top)
{
    uint32_t i = top;
    for (;;) {
        const uint32_t child = w->cells_[i].u.dir.child;
        if (child && w->cells_[child].kind == DX_WATCH_P_DIRECTORY) {
            i = child;
        } else if (child) {
            dx_watch_p_wait_end(w, child);
        } else if (i == top) {
            return;
        } else {
            const uint32_t parent = w->cells_[i].parent;
            dx_watch_p_unwatch(w, i, true);
            dx_watch_p_unlink(w, i);
            dx_watch_p_cells_give(w, i);
            i = parent;
        }
    }
}

static void dx_watch_p_forget(dx_watch *w, uint32_t i)
{
    DX_WATCH_ASSERT(w->cells_[i].kind == DX_WATCH_P_DIRECTORY && i != DX_WATCH_P_ROOT);
    dx_watch_p_empty(w, i);
    dx_watch_p_unwatch(w, i, true);
    dx_watch_p_unlink(w, i);
    dx_watch_p_cells_give(w, i);
}

#if defined(__linux__)
static uint32_t dx_watch_p_directory_of(dx_watch *w, int32_t watch)
{
    uint32_t i = *dx_watch_p_watches_of(w, watch);
    while (i && w->cells_[i].u.dir.watch != watch) i = w->cells_[i].u.dir.watch_chain;
    return i;
}

/* The path in the file system; NULL: too long. */
static const char *dx_watch_p_full_path(dx_watch *w, uint32_t i, char text[DX_WATCH_PATH_SIZE_MAX])
{
    char own[DX_WATCH_PATH_SIZE_MAX];
    const char *path = dx_watch_p_path(w, i, own);
    const size_t root = strlen(w->desc_.path), size = path ? strlen(path) : 0;
    if (!path || root + size + 2 > DX_WATCH_PATH_SIZE_MAX) return NULL;
    DX_WATCH_MEMCPY(text, w->desc_.path, root);
    text[root] = '/';
    DX_WATCH_MEMCPY(text + root + 1, path, size + 1);
    return text;
}

/* Ask the kernel to tell about one directory. False: it is not there any more. */
static bool dx_watch_p_watch(dx_watch *w, uint32_t i)
{
    char text[DX_WATCH_PATH_SIZE_MAX];
    const char *const path = dx_watch_p_full_path(w, i, text);
    const uint32_t mask = IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM |
                          IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR |
                          IN_DONT_FOLLOW | IN_EXCL_UNLINK;
    int watch;
    uint32_t other, *chain;
    if (!path) {
        w->stats_.refused++;
        w->stats_.polls = true;
        return true;
    }
    watch = inotify_add_watch(w->fd_, path, mask);
    if (watch < 0) {
        w->errno_ = errno;
        if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return false;
        w->stats_.refused++; /* no watches left, or no permission */
        w->stats_.polls = true;
        return true;
    }
    other = dx_watch_p_directory_of(w, watch);
    if (other == i) return true;
    if (other == DX_WATCH_P_ROOT) return false; /* a loop of mounts */
    if (other) { /* it was renamed, and the kernel has not told yet: it is here now */
        dx_watch_p_unwatch(w, other, false);
        dx_watch_p_empty(w, other);
    }
    w->cells_[i].u.dir.watch = watch;
    chain = dx_watch_p_watches_of(w, watch);
    w->cells_[i].u.dir.watch_chain = *chain;
    *chain = i;
    w->stats_.directories++;
    return true;
}

/* Add the directories in directory i as children without a watch. */
static void dx_watch_p_list(dx_watch *w, uint32_t i)
{
    char text[DX_WATCH_PATH_SIZE_MAX];
    const char *const path = dx_watch_p_full_path(w, i, text);
    DIR *const dir = path ? opendir(path) : NULL;
    const struct dirent *e;
    if (!dir) return; /* gone, which the kernel tells, or refused, which its watch was too */
    while ((e = readdir(dir)) != NULL) {
        const char *const name = e->d_name;
        const size_t size = strlen(name);
        struct stat st;
        uint32_t child;
        if (name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]))) continue;
        if (fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(st.st_mode)) continue;
        if (dx_watch_p_find(w, i, name, size, false)) continue;
        child = dx_watch_p_add(w, i, name, size, DX_WATCH_P_DIRECTORY);
        if (!child) {
            w->stats_.polls = true; /* of what is in there nobody will tell */
            dx_watch_p_lose(w);
            break;
        }
        w->cells_[child].u.dir.watch = -1;
    }
    closedir(dir);
}

/* Watch a directory and all below it. The tree itself says where the walk is: first down to a
   child, then to the next sibling, then up. */
static void dx_watch_p_enter(dx_watch *w, uint32_t top)
{
    uint32_t i = top, next;
    bool down = true;
    if (!dx_watch_p_watch(w, top)) {
        if (top != DX_WATCH_P_ROOT) dx_watch_p_forget(w, top);
        return;
    }
    dx_watch_p_list(w, top);
    for (;;) {
        next = down ? w->cells_[i].u.dir.child : (i == top ? 0 : w->cells_[i].next);
        while (next && w->cells_[next].kind != DX_WATCH_P_DIRECTORY) next = w->cells_[next].next;
        if (!next) {
            if (i == top) return;
            if (!down) i = w->cells_[i].parent;
            if (i == top) return;
            down = false;
            continue;
        }
        i = next;
        down = true;
        if (w->cells_[i].u.dir.watch < 0 && dx_watch_p_watch(w, i)) dx_watch_p_list(w, i);
    }
}

/* >>kernel -------------------------------------------------------------
   A name of a directory: the old one, if any, is forgotten, the new one entered. */
static void dx_watch_p_directory_event(dx_watch *w, uint32_t parent, const char *name, size_t size,
                                       uint32_t mask)
{
    uint32_t i = dx_watch_p_find(w, parent, name, size, false);
    if (mask & IN_ATTRIB) {
        dx_watch_p_touch(w, parent, name, size, DX_WATCH_P_WAITING);
        return;
    }
    if (i) dx_watch_p_forget(w, i);
    dx_watch_p_touch(w, parent, name, size, DX_WATCH_P_ALL_BELOW);
    if (!(mask & (IN_CREATE | IN_MOVED_TO))) return;
    i = dx_watch_p_add(w, parent, name, size, DX_WATCH_P_DIRECTORY);
    if (!i) {
        w->stats_.polls = true;
        dx_watch_p_lose(w);
        return;
    }
    w->cells_[i].u.dir.watch = -1;
    dx_watch_p_enter(w, i);
}

static void dx_watch_p_event(dx_watch *w, const struct inotify_event *e)
{
    const uint32_t i = dx_watch_p_directory_of(w, e->wd);
    w->stats_.changes++;
    if (e->mask & IN_Q_OVERFLOW) {
        dx_watch_p_lose(w);
    } else if (!i) {
        return; /* of a directory that was forgotten */
    } else if (e->mask & IN_IGNORED) {
        dx_watch_p_unwatch(w, i, false);
    } else if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF)) {
        if (i == DX_WATCH_P_ROOT) w->desc_.fn(w->desc_.user, w, DX_WATCH_GONE, "");
    } else if (e->len && (e->mask & IN_ISDIR)) {
        dx_watch_p_directory_event(w, i, e->name, strlen(e->name), e->mask);
    } else if (e->len) {
        const uint32_t was = dx_watch_p_find(w, i, e->name, strlen(e->name), false);
        if (was && (e->mask & (IN_CREATE | IN_MOVED_TO))) dx_watch_p_forget(w, was);
        dx_watch_p_touch(w, i, e->name, strlen(e->name), DX_WATCH_P_WAITING);
    }
}

static void dx_watch_p_drain(dx_watch *w)
{
    union {
        struct inotify_event first; /* for its alignment */
        char bytes[16384];
    } buffer;
    while (w->open_) {
        const ssize_t size = read(w->fd_, buffer.bytes, sizeof buffer.bytes);
        ssize_t at = 0;
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) return;
        while (at < size && w->open_) {
            const struct inotify_event *const e =
                (const struct inotify_event *)(const void *)(buffer.bytes + at);
            at += (ssize_t)(sizeof *e + e->len);
            dx_watch_p_event(w, e);
        }
    }
}
#else
static void dx_watch_p_drain(dx_watch *w) { (void)w; }
static void dx_watch_p_enter(dx_watch *w, uint32_t top)
{
    (void)top;
    w->stats_.polls = true;
}
#endif

/* >>delivery ----------------------------------------------------------- */
/* Forget all and begin again, after something was lost. */
static void dx_watch_p_restart(dx_watch *w)
{
    dx_watch_p_empty(w, DX_WATCH_P_ROOT);
    w->lost_ = false;
    if (w->fd_ >= 0) dx_watch_p_enter(w, DX_WATCH_P_ROOT);
    w->lost_ = false; /* what did not fit now is polled */
    w->stats_.events++;
    w->desc_.fn(w->desc_.user, w, DX_WATCH_SCAN, "");
}

/* Name what is due at that time. The function may add and remove what waits, so that each search
   begins anew. */
static void dx_watch_p_deliver(dx_watch *w, uint64_t now)
{
    uint32_t i = 0;
    if (w->lost_) dx_watch_p_restart(w);
    for (i = w->waiting_; w->open_ && i; i = w->waiting_) {
        char text[DX_WATCH_PATH_SIZE_MAX];
        const char *path;
        dx_watch_kind kind;
        while (i && w->cells_[i].u.wait.due > now) i = w->cells_[i].u.wait.next;
        if (!i) return;
        path = dx_watch_p_path(w, i, text);
        kind = w->cells_[i].kind == DX_WATCH_P_ALL_BELOW ? DX_WATCH_SCAN : DX_WATCH_LOOK;
        dx_watch_p_wait_end(w, i);
        w->stats_.events++;
        w->desc_.fn(w->desc_.user, w, path ? kind : DX_WATCH_SCAN, path ? path : "");
    }
}

/* Set the timer to what is due next. */
static void dx_watch_p_plan(dx_watch *w)
{
    uint64_t due = w->stats_.polls ? w->next_poll_ : UINT64_MAX;
    uint32_t i;
    if (!w->open_) return;
    if (w->lost_) due = 0;
    for (i = w->waiting_; i; i = w->cells_[i].u.wait.next)
        if (w->cells_[i].u.wait.due < due) due = w->cells_[i].u.wait.due;
    if (due == UINT64_MAX) return;
    if (dx_reactor_op_pending(&w->timer_)) dx_reactor_timer_move(w->desc_.reactor, &w->timer_, due);
    else dx_reactor_timer_at(w->desc_.reactor, &w->timer_, due);
}

static void dx_watch_p_due(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dx_watch *const w = (dx_watch *)dx_reactor_op_user(op);
    const uint64_t now = dx_reactor_now_ns(r);
    (void)result;
    (void)flags;
    if (!w->open_) return;
    dx_watch_p_drain(w);
    if (w->open_ && w->stats_.polls && now >= w->next_poll_) {
        w->next_poll_ = now + w->desc_.poll_ns;
        w->stats_.events++;
        w->desc_.fn(w->desc_.user, w, DX_WATCH_SCAN, "");
    }
    if (w->open_) dx_watch_p_deliver(w, now);
    dx_watch_p_plan(w);
}

static void dx_watch_p_readable(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dx_watch *const w = (dx_watch *)dx_reactor_op_user(op);
    (void)flags;
    if (!w->open_ || result < 0) return;
    dx_watch_p_drain(w);
    if (!w->open_) return;
    dx_reactor_poll(r, op, w->fd_, DX_REACTOR_READABLE);
    dx_watch_p_plan(w);
}

/* >>public ------------------------------------------------------------- */
DX_WATCH_API const char *dx_watch_error_name(int error)
{
    switch (error) {
#define DX_WATCH_P_NAME_OF(value, name) \
    case value: return "DX_WATCH_" #name;
        DX_WATCH_ERRORS(DX_WATCH_P_NAME_OF)
#undef DX_WATCH_P_NAME_OF
    default: return "unknown error";
    }
}

/* Divide the memory: a table of names and one of watches, then cells. */
static void dx_watch_p_divide(dx_watch *w)
{
    size_t size = w->desc_.memory_size;
    uint32_t slots = 64;
    if (size > (size_t)64 * UINT32_MAX) size = (size_t)64 * UINT32_MAX;
    while ((size_t)slots * 2 * 80 <= size) slots *= 2;
    w->mask_ = slots - 1;
    w->names_ = (uint32_t *)w->desc_.memory;
    w->watches_ = w->names_ + slots;
    w->cells_ = (dx_watch_cell *)(void *)(w->watches_ + slots);
    w->cell_count_ = (uint32_t)((size - (size_t)slots * 8) / sizeof(dx_watch_cell));
    DX_WATCH_MEMSET(w->names_, 0, (size_t)slots * 8);
    w->fresh_ = DX_WATCH_P_ROOT + 1;
    DX_WATCH_MEMSET(&w->cells_[DX_WATCH_P_ROOT], 0, sizeof(dx_watch_cell));
    w->cells_[DX_WATCH_P_ROOT].kind = DX_WATCH_P_DIRECTORY;
    w->cells_[DX_WATCH_P_ROOT].u.dir.watch = -1;
}

static void dx_watch_p_defaults(dx_watch_desc *d)
{
    if (!d->debounce_ns) d->debounce_ns = 100000000u;
    if (!d->hold_ns) d->hold_ns = 1000000000u;
    if (!d->poll_ns) d->poll_ns = 2000000000u;
    if (!d->pending_max) d->pending_max = 4096;
}

DX_WATCH_API int dx_watch_open(dx_watch *w, const dx_watch_desc *desc)
{
    if (!w || !desc || !desc->reactor || !desc->path || !desc->fn) return DX_WATCH_EINVAL;
    if (!desc->memory || desc->memory_size < DX_WATCH_MEMORY_MIN) return DX_WATCH_ENOMEM;
    if ((uintptr_t)desc->memory % 8) return DX_WATCH_EINVAL;
    DX_WATCH_MEMSET(w, 0, sizeof *w);
    w->desc_ = *desc;
    dx_watch_p_defaults(&w->desc_);
    dx_watch_p_divide(w);
    w->fd_ = -1;
    dx_reactor_op_init(&w->readable_, dx_watch_p_readable, w);
    dx_reactor_op_init(&w->timer_, dx_watch_p_due, w);
    w->stats_.polls = desc->poll;
    w->next_poll_ = dx_reactor_now_ns(desc->reactor) + w->desc_.poll_ns;
#if defined(__linux__)
    if (!desc->poll) {
        w->fd_ = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (w->fd_ < 0) w->stats_.polls = true; /* too many in use: polled */
    }
#endif
    w->open_ = true;
    if (w->fd_ >= 0) dx_watch_p_enter(w, DX_WATCH_P_ROOT);
    if (w->fd_ >= 0 &&
        dx_reactor_poll(desc->reactor, &w->readable_, w->fd_, DX_REACTOR_READABLE)) {
        dx_watch_close(w);
        return DX_WATCH_ESYS;
    }
    dx_watch_p_plan(w);
    return DX_WATCH_OK;
}

DX_WATCH_API void dx_watch_close(dx_watch *w)
{
    if (!w->open_) return;
    w->open_ = false;
    if (dx_reactor_op_pending(&w->timer_)) dx_reactor_cancel(w->desc_.reactor, &w->timer_);
    if (dx_reactor_op_pending(&w->readable_)) dx_reactor_cancel(w->desc_.reactor, &w->readable_);
#if defined(__linux__)
    if (w->fd_ >= 0) close(w->fd_);
#endif
    w->fd_ = -1;
}

DX_WATCH_API void dx_watch_flush(dx_watch *w)
{
    if (!w->open_) return;
    dx_watch_p_drain(w);
    if (w->open_) dx_watch_p_deliver(w, UINT64_MAX);
}

DX_WATCH_API void dx_watch_get_stats(const dx_watch *w, dx_watch_stats *stats)
{
    *stats = w->stats_;
}

DX_WATCH_API int dx_watch_sys_errno(const dx_watch *w)
{
    return w->errno_;
}

#endif /* DX_WATCH_IMPLEMENTATION */

/* >>license -------------------------------------------------------------
   Choose whichever you prefer:

   ALTERNATIVE A - MIT No Attribution (MIT-0)
   Copyright (c) 2026 dx authors
   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
   associated documentation files (the "Software"), to deal in the Software without restriction,
   including without limitation the rights to use, copy, modify, merge, publish, distribute,
   sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
   furnished to do so. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
   IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR
   PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
   CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
   FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

   ALTERNATIVE B - Public domain (Unlicense)
   This is free and unencumbered software released into the public domain. Anyone is free to copy,
   modify, publish, use, compile, sell, or distribute this software, either in source code form or
   as a compiled binary, for any purpose, commercial or non-commercial, and by any means. In
   jurisdictions that recognize copyright laws, the author or authors of this software dedicate any
   and all copyright interest in the software to the public domain. THE SOFTWARE IS PROVIDED "AS
   IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED. IN NO EVENT SHALL THE AUTHORS BE LIABLE
   FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY ARISING FROM THE SOFTWARE OR ITS USE.
   See unlicense.org.
*/
