/*  dx_watch.h - v0.3.0 - changes below a directory as events of dx_reactor.h
               - MIT-0 or public domain, see end of file

    Do this in ONE C or C++ file:

        #define DX_WATCH_IMPLEMENTATION       (or DX_IMPLEMENTATION for every dx_ header)
        #include "layers/dx_watch.h"

    and include it elsewhere without the define. C99, without a feature macro; also builds as C++11.
    Stands on dx_reactor.h: where that is not one folder up, include it first.

    QUICK EXAMPLE

        static void changed(void *user, dx_watch *w, dx_watch_kind kind, const char *path)
        {
            (void)user;
            (void)w;
            printf("%s %s\n", kind == DX_WATCH_SCAN ? "scan" : "look at", path);
        }

        int main(void)
        {
            static uint64_t memory[16384], directories[65536];
            static dx_watch w;
            dx_reactor r;
            dx_reactor_desc rd;
            dx_watch_desc wd;
            memset(&rd, 0, sizeof rd);
            memset(&wd, 0, sizeof wd);
            rd.memory = memory;
            rd.memory_size = sizeof memory;
            if (dx_reactor_open(&r, &rd) != DX_REACTOR_OK) return 1;
            wd.reactor = &r;
            wd.path = ".";
            wd.memory = directories;
            wd.memory_size = sizeof directories;
            wd.fn = changed;
            if (dx_watch_open(&w, &wd) != DX_WATCH_OK) return 1;
            dx_reactor_run_once(&r, 1000000);   // in a program: dx_reactor_run()
            dx_watch_close(&w);
            while (!dx_watch_is_closed(&w)) dx_reactor_run_once(&r, 1000000);
            return dx_reactor_close(&r) != DX_REACTOR_OK;
        }

    CONTENTS (search >>)  config  errors  watch  platform  shared  cells  pending  directories
                          system  walk  kernel  delivery  public  license

    HOW IT WORKS
        An event names a path to look at, never what happened to it, which may be out of date by
        then. A program that looks at every named path after its event ends up with the same result
        as a full scan. Only directories and pending events take memory; files take none.
        Directories without reliable notification are polled, with everything below them: one event
        every desc.poll_ns. These are directories that the system refuses to watch, until it
        accepts; those that did not fit in the memory; the second mount point of a directory that is
        mounted twice; and network and overlay file systems, which report only some changes.

    GUARANTEES  No allocation, no recursion. One block of memory of the caller; if pending paths do
                not fit, they become one event, "scan everything". A busy file neither delays others
                nor is delayed itself for more than desc.hold_ns. A change costs O(log n) of the
                pending paths. A later chdir() has no effect; symbolic links are not followed.
    LIMITS      Linux with /proc has notification; elsewhere everything is polled. It uses two
                operations of the reactor and a descriptor. Renaming a parent directory of desc.path
                counts as the removal of desc.path. Directories more than DX_WATCH_DEPTH_MAX below
                are polled.
    SIZE        code: x86-64 9,062; objects: dx_watch 360
    THREADS     One: the reactor's.
    CONFIG      DX_WATCH_STATIC, DX_WATCH_API, DX_WATCH_ASSERT(c), DX_WATCH_MEMCPY, DX_WATCH_MEMSET,
                DX_WATCH_MEMCMP; for tests, the calls of the system: DX_WATCH_SYS_OPEN, _CLOSE,
                _READ, _LIST, _KIND, _INIT, _ADD, _REMOVE
    ERRORS      dx_watch_error: 0 = ok, negative = reason, with the values of dx_reactor_error
    OWNERSHIP   desc.memory, *w and the reactor are borrowed until dx_watch_is_closed(); desc.path
                only during dx_watch_open().
*/
#ifndef DX_WATCH_H
#define DX_WATCH_H

#define DX_WATCH_VERSION 0x000300 /* 0xMMmmpp */

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
    X(-6, EAGAIN) /* the reactor has desc.pending_max operations */    \
    X(-7, ESYS)   /* the system refused: dx_watch_sys_errno() */       \
    X(-10, ECANCELED) /* the reactor is being closed */

typedef enum dx_watch_error {
#define DX_WATCH_P_ENUM(value, name) DX_WATCH_##name = (value),
    DX_WATCH_ERRORS(DX_WATCH_P_ENUM)
#undef DX_WATCH_P_ENUM
} dx_watch_error;

/* "DX_WATCH_EINVAL" and so on; "unknown error" for other numbers. Static storage. */
DX_WATCH_API const char *dx_watch_error_name(int error);

/* >>watch -------------------------------------------------------------- */
enum {
    DX_WATCH_MEMORY_MIN    = 64 << 10,
    DX_WATCH_PATH_SIZE_MAX = 4096, /* including the NUL; a longer path is reported as its parent */
    DX_WATCH_DEPTH_MAX     = 1024
};

typedef enum dx_watch_kind {
    DX_WATCH_LOOK = 1, /* at this one path: it is new, different or gone */
    DX_WATCH_SCAN,     /* at the path and everything below it; "" is the whole directory */
    DX_WATCH_GONE      /* the directory itself was removed or moved away; a SCAN of "" follows once
                          its path exists again */
} dx_watch_kind;

typedef struct dx_watch dx_watch;
/* path is relative to desc.path, and valid during the call. The callback may call dx_watch_close(),
   and dx_watch_flush(), which takes effect after the callback. */
typedef void dx_watch_fn(void *user, dx_watch *w, dx_watch_kind kind, const char *path);

typedef struct dx_watch_desc { /* zero = the default given after each field */
    dx_reactor  *reactor;
    const char  *path;        /* of the directory */
    void        *memory;      /* aligned to 8: 72 bytes a directory, more for long names */
    size_t       memory_size; /* at least DX_WATCH_MEMORY_MIN */
    dx_watch_fn *fn;
    void        *user;
    uint64_t     debounce_ns; /* an event is sent after this time without changes; 100 ms */
    uint64_t     hold_ns;     /* but not later than this after its first change; 1 s */
    uint64_t     poll_ns;     /* where there is no notification; 2 s */
    uint64_t     seed[2];     /* for the hash of names: random and secret if names are untrusted */
    uint32_t pending_max; /* max pending paths; 4096, or as many as fit in a sixteenth of the
                             memory */
    bool         poll;        /* do not use the system's notification */
} dx_watch_desc;

typedef struct dx_watch_stats {
    uint64_t changes;     /* reported by the system */
    uint64_t events;      /* delivered */
    uint64_t overflows;   /* of the system's queue, or of this memory: a scan of everything */
    uint64_t refused;     /* watches that the system refused */
    uint32_t directories; /* watched now */
    uint32_t polled;      /* polled now, each with everything below it */
    uint32_t pending;     /* paths pending now */
} dx_watch_stats;

struct dx_watch { /* caller-allocated; fields are private */
    dx_watch_desc          desc_;
    dx_watch_stats         stats_;
    char                  *root_;    /* absolute path of the watched directory */
    struct dx_watch_cell  *cells_;   /* number 0 is no cell, 1 is the watched directory */
    uint32_t              *names_;   /* hash of directory and name -> first cell of a chain */
    uint32_t              *watches_; /* hash of the system's number -> first cell of a chain */
    uint32_t              *heap_;    /* pending cells, a heap by due time */
    uint32_t               mask_;    /* of both tables */
    uint32_t               cell_count_;
    uint32_t               free_;    /* list of free cells */
    uint32_t               fresh_;   /* cells from here on are unused */
    uint32_t               polled_first_; /* list of polled directories */
    uint32_t               polled_last_;
    uint64_t               next_poll_;
    dx_op                  readable_;
    dx_op                  timer_;   /* pending while open, so that rearming cannot fail */
    int                    fd_;      /* the system's queue; -1: none */
    int                    errno_;
    bool                   open_;
    bool                   naming_;  /* desc.fn may be running */
    bool                   flush_;   /* it has called dx_watch_flush() */
    bool                   rebuild_; /* the system's queue overflowed: the tree is unknown */
    bool                   all_;     /* an event for everything is pending */
    bool                   gone_;    /* a GONE event is pending */
    bool                   told_;    /* GONE was sent, and the directory is still missing */
};

/* Watch the directory and everything below it; existing files cause no events. EINVAL, ENOMEM;
   ESYS: it does not exist, or is not readable; EAGAIN, ECANCELED of the reactor. */
DX_WATCH_API int  dx_watch_open(dx_watch *w, const dx_watch_desc *desc);
/* Stop events and cancel pending operations; the descriptor is closed once they complete: run the
   reactor until dx_watch_is_closed(). Also after dx_reactor_close(); calling it twice is harmless.
   */
DX_WATCH_API void dx_watch_close(dx_watch *w);
/* *w and its memory are the caller's again. */
DX_WATCH_API bool dx_watch_is_closed(const dx_watch *w);
/* Read the system's queue and send all pending events at once. */
DX_WATCH_API void dx_watch_flush(dx_watch *w);
DX_WATCH_API void dx_watch_get_stats(const dx_watch *w, dx_watch_stats *stats);
/* errno of the last system error. */
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
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_WATCH_ASSERT(c) assert(c)
  #else
    #define DX_WATCH_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
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
  #include <errno.h>
  #include <fcntl.h>
  #include <string.h>
  #include <sys/inotify.h>
  #include <sys/syscall.h>
  #include <sys/vfs.h>
  #include <unistd.h>

/* <unistd.h> hides syscall() under a strict -std=c99, as it does openat() and its flags: see
   dx_reactor.h. C++ always has all of them. */
  #ifndef __cplusplus
extern long syscall(long number, ...);
  #endif
  #if defined(O_DIRECTORY)
    #define DX_WATCH_P_NOFOLLOW O_NOFOLLOW
    #define DX_WATCH_P_OPEN (O_RDONLY | O_NONBLOCK | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
  #else
    #define DX_WATCH_P_NOFOLLOW __O_NOFOLLOW
    #define DX_WATCH_P_OPEN (O_RDONLY | O_NONBLOCK | __O_DIRECTORY | __O_NOFOLLOW | __O_CLOEXEC)
  #endif
  #define DX_WATCH_P_HERE (-100) /* AT_FDCWD */

/* System calls, which a test may replace. All set errno. */
  #ifndef DX_WATCH_SYS_OPEN
    #define DX_WATCH_SYS_OPEN(at, name, flags) ((int)syscall(SYS_openat, (long)(at), name, flags))
  #endif
  #ifndef DX_WATCH_SYS_CLOSE
    #define DX_WATCH_SYS_CLOSE(fd) close(fd)
  #endif
  #ifndef DX_WATCH_SYS_READ
    #define DX_WATCH_SYS_READ(fd, out, size) read(fd, out, size)
  #endif
  #ifndef DX_WATCH_SYS_LIST /* entries as getdents64() packs them */
    #define DX_WATCH_SYS_LIST(fd, out, size) syscall(SYS_getdents64, (long)(fd), out, size)
  #endif
  #ifndef DX_WATCH_SYS_KIND
    #define DX_WATCH_SYS_KIND(fd, out) fstatfs(fd, out)
  #endif
  #ifndef DX_WATCH_SYS_INIT
    #define DX_WATCH_SYS_INIT(flags) inotify_init1(flags)
  #endif
  #ifndef DX_WATCH_SYS_ADD
    #define DX_WATCH_SYS_ADD(fd, path, mask) inotify_add_watch(fd, path, mask)
  #endif
  #ifndef DX_WATCH_SYS_REMOVE
    #define DX_WATCH_SYS_REMOVE(fd, watch) inotify_rm_watch(fd, watch)
  #endif
#endif

enum {
    DX_WATCH_P_DIRECTORY = 1,
    DX_WATCH_P_WAITING,   /* a pending path: LOOK */
    DX_WATCH_P_ALL_BELOW, /* the same: SCAN */
    DX_WATCH_P_POLLED = 1, /* flag of a directory: in the list of polled ones */
    DX_WATCH_P_REMOTE = 2, /* likewise: its file system does not report everything */
    DX_WATCH_P_LATE = 4,   /* likewise: it may have been renamed; the next flush decides */
    DX_WATCH_P_ROOT = 1,  /* number of its cell */
    DX_WATCH_P_NAME = 16, /* bytes of a name within its cell */
    DX_WATCH_P_MORE = 60  /* bytes in each cell that continues it */
};

/* >>shared -------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies (a check compares them). */
/* SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"), for tables with untrusted
   keys: without the seed, collisions cannot be predicted. One round for each word of the input,
   three at the end. */
static inline uint64_t dx_watch_p_rotate_left(uint64_t v, unsigned n)
{
    DX_WATCH_ASSERT(n > 0 && n < 64);
    return v << n | v >> (64 - n);
}

static inline void dx_watch_p_sip_start(uint64_t v[4], const uint64_t seed[2])
{
    v[0] = seed[0] ^ 0x736f6d6570736575u;
    v[1] = seed[1] ^ 0x646f72616e646f6du;
    v[2] = seed[0] ^ 0x6c7967656e657261u;
    v[3] = seed[1] ^ 0x7465646279746573u;
}

static inline void dx_watch_p_sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = dx_watch_p_rotate_left(v[1], 13) ^ v[0];
    v[0] = dx_watch_p_rotate_left(v[0], 32);
    v[2] += v[3];
    v[3] = dx_watch_p_rotate_left(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = dx_watch_p_rotate_left(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = dx_watch_p_rotate_left(v[1], 17) ^ v[2];
    v[2] = dx_watch_p_rotate_left(v[2], 32);
}

static inline void dx_watch_p_sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    dx_watch_p_sip_round(v);
    v[0] ^= word;
}

/* last: the bytes after the last whole word, with the input's size as the highest byte. */
static inline uint64_t dx_watch_p_sip_end(uint64_t v[4], uint64_t last)
{
    unsigned i;
    dx_watch_p_sip_word(v, last);
    v[2] ^= 255;
    for (i = 0; i < 3; i++) dx_watch_p_sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
/* <<shared */

/* >>cells --------------------------------------------------------------
   Everything is a cell of 64 bytes. Directories form a tree; a pending path is a child of its
   directory, so that it is moved and removed with it.

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
    uint8_t  flags;
    union {
        struct {
            uint32_t child;
            uint32_t watch_chain;
            int32_t  watch;       /* the system's number; -1: none */
            uint32_t polled_next;
            uint32_t polled_prev;
        } dir;
        struct {
            uint64_t due;
            uint64_t first;
            uint32_t place;       /* in the heap */
            uint32_t unused;      /* the same size on machines that align 64 bits to 4 bytes */
        } wait;
    } u;
    char name[DX_WATCH_P_NAME];
} dx_watch_cell;

typedef struct dx_watch_p_more {
    uint32_t next;
    char     bytes[DX_WATCH_P_MORE];
} dx_watch_p_more;

typedef char dx_watch_p_cell_is_64[sizeof(dx_watch_cell) == 64 ? 1 : -1];
typedef char dx_watch_p_more_is_64[sizeof(dx_watch_p_more) == 64 ? 1 : -1];

/* SipHash of a directory, a name in it and whether it is pending: names are untrusted. */
static uint64_t dx_watch_p_hash(const dx_watch *w, uint32_t parent, const char *name, size_t size,
                                bool waits)
{
    uint64_t v[4], word = 0;
    size_t i;
    dx_watch_p_sip_start(v, w->desc_.seed);
    dx_watch_p_sip_word(v, (uint64_t)parent << 1 | (waits ? 1u : 0u));
    for (i = 0; i < size; i++) {
        word |= (uint64_t)(uint8_t)name[i] << i % 8 * 8;
        if (i % 8 != 7) continue;
        dx_watch_p_sip_word(v, word);
        word = 0;
    }
    return dx_watch_p_sip_end(v, word | (uint64_t)(size & 255) << 56);
}

/* Hash chain of a name. A directory and a pending path may have the same name. */
static uint32_t *dx_watch_p_names_of(dx_watch *w, uint32_t parent, const char *name, size_t size,
                                     bool waits)
{
    return &w->names_[dx_watch_p_hash(w, parent, name, size, waits) & w->mask_];
}

static uint32_t *dx_watch_p_watches_of(dx_watch *w, int32_t watch)
{
    return &w->watches_[((uint32_t)watch * 0x9e3779b1u >> 7) & w->mask_];
}

static uint32_t dx_watch_p_cell_alloc(dx_watch *w)
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
    DX_WATCH_ASSERT(i > DX_WATCH_P_ROOT && i < w->fresh_);
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

/* Copy the name of a cell to out, which must have room for it. */
static void dx_watch_p_name_read(dx_watch *w, uint32_t i, char *out)
{
    const dx_watch_cell *const c = &w->cells_[i];
    size_t left = c->name_size, part = left < DX_WATCH_P_NAME ? left : (size_t)DX_WATCH_P_NAME;
    uint32_t more = c->more;
    DX_WATCH_ASSERT(left > 0 && left < 256);
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
    const uint32_t i = dx_watch_p_cell_alloc(w);
    dx_watch_cell *c = &w->cells_[i];
    uint32_t *link = &c->more, *chain;
    size_t part = size < DX_WATCH_P_NAME ? size : (size_t)DX_WATCH_P_NAME, at;
    DX_WATCH_ASSERT(size > 0 && size < 256 && w->cells_[parent].kind == DX_WATCH_P_DIRECTORY);
    if (!i) return 0;
    DX_WATCH_MEMCPY(c->name, name, part);
    for (at = part; at < size; at += part) {
        const uint32_t more = dx_watch_p_cell_alloc(w);
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

/* Remove a cell from its directory and the table of names. */
static void dx_watch_p_unlink(dx_watch *w, uint32_t i)
{
    dx_watch_cell *const c = &w->cells_[i];
    char name[256];
    uint32_t *chain;
    DX_WATCH_ASSERT(i != DX_WATCH_P_ROOT && w->cells_[c->parent].kind == DX_WATCH_P_DIRECTORY);
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
   A path is due after debounce_ns without changes, at the latest hold_ns after its first change.
   Pending paths are a binary heap: no entry is due before its parent.

       heap_   [ 12 | 15 | 13 | 20 | 16 ]      due;  children of place n: 2n + 1 and 2n + 2    */
static uint64_t dx_watch_p_due_at(const dx_watch *w, uint32_t place)
{
    DX_WATCH_ASSERT(place < w->stats_.pending);
    return w->cells_[w->heap_[place]].u.wait.due;
}

static void dx_watch_p_swap(dx_watch *w, uint32_t a, uint32_t b)
{
    const uint32_t i = w->heap_[a];
    DX_WATCH_ASSERT(a < w->stats_.pending && b < w->stats_.pending);
    w->heap_[a] = w->heap_[b];
    w->heap_[b] = i;
    w->cells_[w->heap_[a]].u.wait.place = a;
    w->cells_[i].u.wait.place = b;
}

/* Sift the entry at this place up or down. */
static void dx_watch_p_sift(dx_watch *w, uint32_t place)
{
    DX_WATCH_ASSERT(place < w->stats_.pending);
    while (place && dx_watch_p_due_at(w, place) < dx_watch_p_due_at(w, (place - 1) / 2)) {
        dx_watch_p_swap(w, place, (place - 1) / 2);
        place = (place - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child >= w->stats_.pending) return;
        if (child + 1 < w->stats_.pending &&
            dx_watch_p_due_at(w, child + 1) < dx_watch_p_due_at(w, child))
            child++;
        if (dx_watch_p_due_at(w, place) <= dx_watch_p_due_at(w, child)) return;
        dx_watch_p_swap(w, place, child);
        place = child;
    }
}

static void dx_watch_p_wait_end(dx_watch *w, uint32_t i)
{
    const uint32_t place = w->cells_[i].u.wait.place;
    uint32_t last;
    DX_WATCH_ASSERT(w->stats_.pending > 0 && w->heap_[place] == i);
    last = w->stats_.pending - 1;
    if (place != last) dx_watch_p_swap(w, place, last);
    w->stats_.pending = last;
    if (place != last) dx_watch_p_sift(w, place);
    dx_watch_p_unlink(w, i);
    dx_watch_p_cells_give(w, i);
}

/* Replace all pending events with one for everything. */
static void dx_watch_p_name_all(dx_watch *w)
{
    while (w->stats_.pending) dx_watch_p_wait_end(w, w->heap_[w->stats_.pending - 1]);
    w->all_ = true;
}

/* Schedule an event for this path, debounced. */
static void dx_watch_p_touch(dx_watch *w, uint32_t parent, const char *name, size_t size, int kind,
                             uint64_t quiet_ns)
{
    const uint64_t now = dx_reactor_now_ns(w->desc_.reactor);
    uint32_t i;
    dx_watch_cell *c;
    if (w->all_) return; /* included in the event for everything */
    i = dx_watch_p_find(w, parent, name, size, true);
    if (!i) {
        if (w->stats_.pending < w->desc_.pending_max)
            i = dx_watch_p_add(w, parent, name, size, kind);
        if (!i) {
            w->stats_.overflows++;
            dx_watch_p_name_all(w);
            return;
        }
        c = &w->cells_[i];
        c->u.wait.first = now;
        c->u.wait.place = w->stats_.pending;
        w->heap_[w->stats_.pending++] = i;
    }
    c = &w->cells_[i];
    if (kind == DX_WATCH_P_ALL_BELOW) c->kind = (uint8_t)kind;
    DX_WATCH_ASSERT(w->heap_[c->u.wait.place] == i);
    c->u.wait.due = now + quiet_ns;
    if (c->u.wait.due > c->u.wait.first + w->desc_.hold_ns)
        c->u.wait.due = c->u.wait.first + w->desc_.hold_ns;
    dx_watch_p_sift(w, c->u.wait.place);
}

/* >>directories --------------------------------------------------------
   One watch for each directory. The tree follows the kernel's events in order; a renamed directory
   is removed at its old path and added again at its new one. Polled directories are in a list, the
   least recently polled first. */
static void dx_watch_p_poll_end(dx_watch *w, uint32_t i)
{
    dx_watch_cell *const c = &w->cells_[i];
    if (!(c->flags & DX_WATCH_P_POLLED)) return;
    DX_WATCH_ASSERT(w->stats_.polled > 0);
    if (c->u.dir.polled_prev)
        w->cells_[c->u.dir.polled_prev].u.dir.polled_next = c->u.dir.polled_next;
    else
        w->polled_first_ = c->u.dir.polled_next;
    if (c->u.dir.polled_next)
        w->cells_[c->u.dir.polled_next].u.dir.polled_prev = c->u.dir.polled_prev;
    else
        w->polled_last_ = c->u.dir.polled_prev;
    c->flags = (uint8_t)(c->flags & ~(DX_WATCH_P_POLLED | DX_WATCH_P_LATE));
    w->stats_.polled--;
}

static void dx_watch_p_poll_begin(dx_watch *w, uint32_t i)
{
    dx_watch_cell *const c = &w->cells_[i];
    DX_WATCH_ASSERT(c->kind == DX_WATCH_P_DIRECTORY);
    if (c->flags & DX_WATCH_P_POLLED) return;
    if (!w->stats_.polled) /* the first polled one: start the interval now */
        w->next_poll_ = dx_reactor_now_ns(w->desc_.reactor) + w->desc_.poll_ns;
    c->flags = (uint8_t)(c->flags | DX_WATCH_P_POLLED);
    c->u.dir.polled_next = 0;
    c->u.dir.polled_prev = w->polled_last_;
    if (w->polled_last_) w->cells_[w->polled_last_].u.dir.polled_next = i;
    else w->polled_first_ = i;
    w->polled_last_ = i;
    w->stats_.polled++;
}

static void dx_watch_p_unwatch(dx_watch *w, uint32_t i, bool tell)
{
    const int32_t watch = w->cells_[i].u.dir.watch;
    uint32_t *chain;
    DX_WATCH_ASSERT(w->cells_[i].kind == DX_WATCH_P_DIRECTORY);
    if (watch < 0) return;
    chain = dx_watch_p_watches_of(w, watch);
    while (*chain != i) chain = &w->cells_[*chain].u.dir.watch_chain;
    *chain = w->cells_[i].u.dir.watch_chain;
    w->cells_[i].u.dir.watch = -1;
    DX_WATCH_ASSERT(w->stats_.directories > 0);
    w->stats_.directories--;
#if defined(__linux__)
    if (tell) DX_WATCH_SYS_REMOVE(w->fd_, watch); /* an error: the kernel has removed it already */
#else
    (void)tell;
#endif
}

static void dx_watch_p_directory_end(dx_watch *w, uint32_t i)
{
    DX_WATCH_ASSERT(i != DX_WATCH_P_ROOT && !w->cells_[i].u.dir.child);
    dx_watch_p_poll_end(w, i);
    dx_watch_p_unwatch(w, i, true);
    dx_watch_p_unlink(w, i);
    dx_watch_p_cells_give(w, i);
}

/* Remove everything below a directory, deepest first; the directory stays. */
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
            dx_watch_p_directory_end(w, i);
            i = parent;
        }
    }
}

#if defined(__linux__)
static void dx_watch_p_forget(dx_watch *w, uint32_t i)
{
    DX_WATCH_ASSERT(w->cells_[i].kind == DX_WATCH_P_DIRECTORY && i != DX_WATCH_P_ROOT);
    dx_watch_p_empty(w, i);
    dx_watch_p_directory_end(w, i);
}

/* >>system -------------------------------------------------------------
   Directories are opened one path component at a time, so that paths may be of any length and a
   symbolic link that replaces a directory is not followed. A watch is requested by /proc/self/fd/N:
   it is on the opened directory, even if its name now belongs to another one. */
enum {
    DX_WATCH_P_EVENTS = IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM |
                        IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK,
    DX_WATCH_P_READS_MAX = 512 /* in a row; more than the kernel's queue holds by default */
};

/* Open a directory of the tree; -1 and errno. */
static int dx_watch_p_open_directory(dx_watch *w, uint32_t i)
{
    uint32_t way[DX_WATCH_DEPTH_MAX];
    uint32_t count = 0;
    int fd;
    DX_WATCH_ASSERT(w->cells_[i].kind == DX_WATCH_P_DIRECTORY);
    for (; i != DX_WATCH_P_ROOT; i = w->cells_[i].parent) {
        if (count == DX_WATCH_DEPTH_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        way[count++] = i;
    }
    fd = DX_WATCH_SYS_OPEN(DX_WATCH_P_HERE, w->root_, DX_WATCH_P_OPEN);
    while (fd >= 0 && count) {
        char name[256];
        int below;
        int error;
        count--;
        dx_watch_p_name_read(w, way[count], name);
        name[w->cells_[way[count]].name_size] = 0;
        below = DX_WATCH_SYS_OPEN(fd, name, DX_WATCH_P_OPEN);
        error = errno;
        DX_WATCH_SYS_CLOSE(fd);
        errno = error;
        fd = below;
    }
    return fd;
}

/* Can such a file system change without this kernel knowing, or below it? True also if its type is
   unknown. */
static bool dx_watch_p_is_remote(int fd)
{
    static const uint32_t kinds[] = {
        0x00006969, /* NFS */     0x0000517b, /* SMB */     0xff534d42, /* CIFS */
        0xfe534d42, /* SMB 2 */   0x65735546, /* FUSE */    0x01021997, /* 9P */
        0x00c36400, /* Ceph */    0x5346414f, /* AFS */     0x6b414653, /* kAFS */
        0x73757245, /* Coda */    0x794c7630, /* overlay */ 0x01161970, /* GFS 2 */
        0x7461636f, /* OCFS 2 */  0x0bd00bd0, /* Lustre */  0x786f4256  /* shared by VirtualBox */
    };
    struct statfs st;
    size_t k;
    if (DX_WATCH_SYS_KIND(fd, &st)) return true;
    for (k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if ((uint32_t)st.f_type == kinds[k]) return true;
    return false;
}

static void dx_watch_p_proc_path(int fd, char text[40])
{
    char digits[12];
    size_t count = 0;
    size_t at = sizeof "/proc/self/fd/" - 1;
    DX_WATCH_ASSERT(fd >= 0);
    DX_WATCH_MEMCPY(text, "/proc/self/fd/", at);
    do {
        digits[count++] = (char)('0' + fd % 10);
        fd /= 10;
    } while (fd);
    while (count) text[at++] = digits[--count];
    text[at] = 0;
}

static uint32_t dx_watch_p_directory_of(dx_watch *w, int32_t watch)
{
    uint32_t i = *dx_watch_p_watches_of(w, watch);
    while (i && w->cells_[i].u.dir.watch != watch) i = w->cells_[i].u.dir.watch_chain;
    return i;
}

static bool dx_watch_p_is_above(const dx_watch *w, uint32_t above, uint32_t i)
{
    DX_WATCH_ASSERT(above && i);
    while (i && i != above) i = w->cells_[i].parent;
    return i != 0;
}

/* The same inode is at two paths. Usually one of them is an old path, and the kernel has not
   reported the rename yet. */
static void dx_watch_p_poll_late(dx_watch *w, uint32_t i)
{
    dx_watch_p_poll_begin(w, i);
    w->cells_[i].flags = (uint8_t)(w->cells_[i].flags | DX_WATCH_P_LATE);
}

/* Add a kernel watch for one directory. An inode has one watch, at one path: the latest. The other
   path was left by a rename that the kernel reports later, or the directory is mounted twice;
   polling tells them apart. */
static bool dx_watch_p_watch(dx_watch *w, uint32_t i, int fd)
{
    char path[40];
    int watch;
    uint32_t other;
    uint32_t *chain;
    if (w->fd_ < 0) return false;
    dx_watch_p_proc_path(fd, path);
    watch = DX_WATCH_SYS_ADD(w->fd_, path, DX_WATCH_P_EVENTS);
    if (watch < 0) {
        w->errno_ = errno;
        w->stats_.refused++;
        return false;
    }
    other = dx_watch_p_directory_of(w, watch);
    if (other == i) return true;
    if (other && dx_watch_p_is_above(w, other, i)) { /* mounted below itself */
        dx_watch_p_poll_late(w, i);
        return false;
    }
    if (other) {
        dx_watch_p_unwatch(w, other, false);
        dx_watch_p_empty(w, other);
        dx_watch_p_poll_late(w, other);
    }
    if (w->cells_[i].u.dir.watch >= 0) { /* its name belongs to another directory now */
        dx_watch_p_unwatch(w, i, true);
        dx_watch_p_empty(w, i);
    }
    DX_WATCH_ASSERT(w->cells_[i].u.dir.watch < 0);
    w->cells_[i].u.dir.watch = watch;
    chain = dx_watch_p_watches_of(w, watch);
    w->cells_[i].u.dir.watch_chain = *chain;
    *chain = i;
    w->stats_.directories++;
    return true;
}

/* >>walk ---------------------------------------------------------------
   First the watch, then the list: entries created in between are seen by at least one of them. */

/* An entry of a directory: add a child without a watch if it may be a directory. False: no room. */
static bool dx_watch_p_list_one(dx_watch *w, uint32_t i, int fd, const char *name, int type)
{
    enum { UNKNOWN = 0, DIRECTORY = 4 }; /* DT_UNKNOWN, DT_DIR */
    const size_t size = strlen(name);
    uint32_t child;
    if (name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]))) return true;
    if (type != DIRECTORY && type != UNKNOWN) return true;
    if (!size || size > 255) return false;
    if (type == UNKNOWN) { /* some file systems do not report the type */
        const int below = DX_WATCH_SYS_OPEN(fd, name, DX_WATCH_P_OPEN);
        if (below < 0 && errno != EACCES) return errno == ENOTDIR || errno == ENOENT ||
                                                 errno == ELOOP || errno == ENXIO;
        if (below >= 0) DX_WATCH_SYS_CLOSE(below);
    }
    if (dx_watch_p_find(w, i, name, size, false)) return true;
    child = dx_watch_p_add(w, i, name, size, DX_WATCH_P_DIRECTORY);
    if (!child) return false;
    w->cells_[child].u.dir.watch = -1;
    return true;
}

/* Add the directories in directory i as children without a watch. False: some are missing. */
static bool dx_watch_p_list(dx_watch *w, uint32_t i, int fd)
{
    enum { SIZE_AT = 16, TYPE_AT = 18, NAME_AT = 19 }; /* of struct linux_dirent64 */
    uint64_t buffer[1024];
    bool whole = true;
    for (;;) {
        const char *const bytes = (const char *)buffer;
        const long size = (long)DX_WATCH_SYS_LIST(fd, buffer, sizeof buffer);
        long at = 0;
        if (size < 0) w->errno_ = errno;
        if (size <= 0) return whole && size == 0;
        while (at < size) {
            uint16_t step;
            DX_WATCH_MEMCPY(&step, bytes + at + SIZE_AT, sizeof step);
            if (!dx_watch_p_list_one(w, i, fd, bytes + at + NAME_AT, bytes[at + TYPE_AT]))
                whole = false;
            at += step;
        }
    }
}

/* Watch and list one directory, or poll it. False: it no longer exists. */
static bool dx_watch_p_watch_directory(dx_watch *w, uint32_t i)
{
    dx_watch_cell *const c = &w->cells_[i];
    const int fd = dx_watch_p_open_directory(w, i);
    bool is_below; /* its parent is polled for the same reason */
    bool whole;
    if (fd < 0) {
        w->errno_ = errno;
        if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return false;
        w->stats_.refused++;
        dx_watch_p_poll_begin(w, i);
        return true;
    }
    c->flags = (uint8_t)(c->flags & ~DX_WATCH_P_REMOTE);
    if (dx_watch_p_is_remote(fd)) c->flags = (uint8_t)(c->flags | DX_WATCH_P_REMOTE);
    is_below = i != DX_WATCH_P_ROOT && (w->cells_[c->parent].flags & DX_WATCH_P_REMOTE);
    whole = dx_watch_p_watch(w, i, fd) && dx_watch_p_list(w, i, fd);
    DX_WATCH_SYS_CLOSE(fd);
    if (whole && (is_below || !(c->flags & DX_WATCH_P_REMOTE))) dx_watch_p_poll_end(w, i);
    else dx_watch_p_poll_begin(w, i);
    return true;
}

/* Add a directory and everything below it that is not watched yet. The tree itself holds the
   position of the walk: first down to a child, then to the next sibling, then up. */
static void dx_watch_p_enter(dx_watch *w, uint32_t top)
{
    uint32_t i = top;
    bool down = true;
    if (!dx_watch_p_watch_directory(w, top)) {
        if (top != DX_WATCH_P_ROOT) {
            dx_watch_p_forget(w, top);
            return;
        }
        dx_watch_p_poll_begin(w, top);
        w->gone_ = !w->told_;
        return;
    }
    if (top == DX_WATCH_P_ROOT) w->told_ = false;
    for (;;) {
        uint32_t next = down ? w->cells_[i].u.dir.child : (i == top ? 0 : w->cells_[i].next);
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
        if (w->cells_[i].u.dir.watch < 0 && !(w->cells_[i].flags & DX_WATCH_P_POLLED))
            dx_watch_p_watch_directory(w, i); /* gone: an event follows, or its name exists again */
    }
}

/* >>kernel -------------------------------------------------------------
   An event for the name of a directory: remove the old one, if any, and add the new one. */
static void dx_watch_p_directory_event(dx_watch *w, uint32_t parent, const char *name, size_t size,
                                       uint32_t mask)
{
    uint32_t i = dx_watch_p_find(w, parent, name, size, false);
    if (mask & IN_ATTRIB) {
        dx_watch_p_touch(w, parent, name, size, DX_WATCH_P_WAITING, w->desc_.debounce_ns);
        return;
    }
    if (i) dx_watch_p_forget(w, i);
    dx_watch_p_touch(w, parent, name, size, DX_WATCH_P_ALL_BELOW, w->desc_.debounce_ns);
    /* Also when it has moved away: for an exchange the kernel reports the arrival of a name before
       its departure. */
    i = dx_watch_p_add(w, parent, name, size, DX_WATCH_P_DIRECTORY);
    if (!i) { /* polling lists it again, when there may be room */
        w->stats_.overflows++;
        dx_watch_p_poll_begin(w, parent);
        return;
    }
    w->cells_[i].u.dir.watch = -1;
    dx_watch_p_enter(w, i);
}

/* The directory of a watch has moved, or its file system was unmounted. Polling checks its path
   again. */
static void dx_watch_p_watch_lost(dx_watch *w, uint32_t i, uint32_t mask)
{
    if (mask & IN_IGNORED) {
        dx_watch_p_unwatch(w, i, false);
        dx_watch_p_poll_begin(w, i);
    } else if (i == DX_WATCH_P_ROOT) { /* for others, the parent's watch reports it */
        dx_watch_p_empty(w, i);
        dx_watch_p_unwatch(w, i, true);
        dx_watch_p_poll_begin(w, i);
        w->gone_ = !w->told_;
    }
}

static void dx_watch_p_event(dx_watch *w, const struct inotify_event *e)
{
    const uint32_t i = dx_watch_p_directory_of(w, e->wd);
    const size_t size = e->len ? strlen(e->name) : 0;
    w->stats_.changes++;
    if (e->mask & IN_Q_OVERFLOW) {
        w->stats_.overflows++;
        w->rebuild_ = true;
    } else if (!i || size > 255) {
        return; /* of a removed directory */
    } else if (e->mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF)) {
        dx_watch_p_watch_lost(w, i, e->mask);
    } else if (size && (e->mask & IN_ISDIR)) {
        dx_watch_p_directory_event(w, i, e->name, size, e->mask);
    } else if (size) {
        const uint32_t was = dx_watch_p_find(w, i, e->name, size, false);
        if (was && (e->mask & (IN_CREATE | IN_MOVED_TO))) dx_watch_p_forget(w, was);
        dx_watch_p_touch(w, i, e->name, size, DX_WATCH_P_WAITING, w->desc_.debounce_ns);
    }
}

/* Read the kernel's queue. */
static void dx_watch_p_drain(dx_watch *w)
{
    union {
        struct inotify_event first; /* for alignment */
        char bytes[16384];
    } buffer;
    unsigned reads;
    for (reads = 0; w->fd_ >= 0 && reads < DX_WATCH_P_READS_MAX; reads++) {
        const ssize_t size = DX_WATCH_SYS_READ(w->fd_, buffer.bytes, sizeof buffer.bytes);
        ssize_t at = 0;
        if (size < 0 && errno == EINTR) continue;
        if (size < 0 && errno != EAGAIN) w->errno_ = errno;
        if (size <= 0) return;
        while (at < size) {
            const struct inotify_event *const e =
                (const struct inotify_event *)(const void *)(buffer.bytes + at);
            at += (ssize_t)(sizeof *e + e->len);
            dx_watch_p_event(w, e);
        }
    }
}

/* Find the absolute path of the directory, before a later chdir() changes its meaning. */
static int dx_watch_p_find_root(dx_watch *w)
{
    char link[40];
    const size_t size = strlen(w->desc_.path);
    const int fd = DX_WATCH_SYS_OPEN(DX_WATCH_P_HERE, w->desc_.path,
                                     DX_WATCH_P_OPEN & ~DX_WATCH_P_NOFOLLOW);
    long found;
    if (fd < 0) {
        w->errno_ = errno;
        return DX_WATCH_ESYS;
    }
    dx_watch_p_proc_path(fd, link);
    found = syscall(SYS_readlinkat, (long)DX_WATCH_P_HERE, link, w->root_,
                    (long)DX_WATCH_PATH_SIZE_MAX - 1);
    if (found < 0) w->errno_ = errno;
    DX_WATCH_SYS_CLOSE(fd);
    if (found > 0) {
        w->root_[found] = 0;
        return DX_WATCH_OK;
    }
    if (w->desc_.path[0] != '/' || size >= DX_WATCH_PATH_SIZE_MAX) return DX_WATCH_ESYS;
    DX_WATCH_MEMCPY(w->root_, w->desc_.path, size + 1);
    return DX_WATCH_OK;
}

static int dx_watch_p_begin(dx_watch *w)
{
    const int flags = IN_NONBLOCK | IN_CLOEXEC;
    const int error = dx_watch_p_find_root(w);
    if (error) return error;
    if (!w->desc_.poll) {
        w->fd_ = DX_WATCH_SYS_INIT(flags);
        if (w->fd_ < 0) w->errno_ = errno; /* too many instances: everything is polled */
    }
    dx_watch_p_enter(w, DX_WATCH_P_ROOT);
    return DX_WATCH_OK;
}

static void dx_watch_p_close_queue(dx_watch *w) { DX_WATCH_SYS_CLOSE(w->fd_); }
#else
static void dx_watch_p_drain(dx_watch *w) { (void)w; }
static void dx_watch_p_enter(dx_watch *w, uint32_t top) { dx_watch_p_poll_begin(w, top); }
static void dx_watch_p_close_queue(dx_watch *w) { (void)w; }
static int dx_watch_p_begin(dx_watch *w)
{
    dx_watch_p_enter(w, DX_WATCH_P_ROOT);
    return DX_WATCH_OK;
}
#endif

/* >>delivery -----------------------------------------------------------
   desc.fn is called from one loop only, with no other work in progress: it may close the watch, and
   the loop runs a flush that it requests after it returns.

       system's queue --drain--> cells, heap_ --name--> desc.fn
                                   ^
       polled_first_ --every poll_ns                                        */
static void dx_watch_p_call(dx_watch *w, dx_watch_kind kind, const char *path)
{
    w->stats_.events++;
    w->desc_.fn(w->desc_.user, w, kind, path);
}

/* Reset and scan again, after the system's queue overflowed. */
static void dx_watch_p_rebuild(dx_watch *w)
{
    DX_WATCH_ASSERT(w->rebuild_);
    w->rebuild_ = false;
    dx_watch_p_name_all(w);
    dx_watch_p_empty(w, DX_WATCH_P_ROOT);
    dx_watch_p_enter(w, DX_WATCH_P_ROOT);
}

/* Send the next due event; for a path that is too long, name the nearest parent that fits. */
static void dx_watch_p_call_next(dx_watch *w)
{
    char text[DX_WATCH_PATH_SIZE_MAX];
    const uint32_t first = w->heap_[0];
    dx_watch_kind kind =
        w->cells_[first].kind == DX_WATCH_P_ALL_BELOW ? DX_WATCH_SCAN : DX_WATCH_LOOK;
    uint32_t i = first;
    const char *path = dx_watch_p_path(w, i, text);
    while (!path) {
        kind = DX_WATCH_SCAN;
        i = w->cells_[i].parent;
        path = dx_watch_p_path(w, i, text);
    }
    dx_watch_p_wait_end(w, first);
    dx_watch_p_call(w, kind, path);
}

/* Send a SCAN for a polled directory, and try to watch it again. */
static void dx_watch_p_poll_one(dx_watch *w, uint32_t i)
{
    char name[256];
    DX_WATCH_ASSERT(w->cells_[i].flags & DX_WATCH_P_POLLED);
    if (i == DX_WATCH_P_ROOT) {
        dx_watch_p_name_all(w);
    } else {
        dx_watch_p_name_read(w, i, name);
        dx_watch_p_touch(w, w->cells_[i].parent, name, w->cells_[i].name_size,
                         DX_WATCH_P_ALL_BELOW, 0);
    }
    dx_watch_p_poll_end(w, i);
    dx_watch_p_enter(w, i);
}

/* Poll all polled directories that are due. */
static void dx_watch_p_poll_all(dx_watch *w)
{
    uint32_t left = w->stats_.polled; /* those added meanwhile are polled next time */
    for (; left && w->polled_first_; left--) dx_watch_p_poll_one(w, w->polled_first_);
}

/* During a flush: the kernel has reported by now which of two paths is old. A directory that is
   mounted twice stays at both; the count bounds the loop. */
static void dx_watch_p_poll_late_ones(dx_watch *w)
{
    uint32_t left = w->stats_.polled;
    uint32_t i = w->polled_first_;
    for (; left && i; left--) {
        const uint32_t next = w->cells_[i].u.dir.polled_next;
        const bool late = (w->cells_[i].flags & DX_WATCH_P_LATE) != 0;
        if (late) dx_watch_p_poll_one(w, i);
        /* polling may have removed others from the list: restart */
        i = late ? w->polled_first_ : next;
    }
}

/* Send all events that are due at that time. */
static void dx_watch_p_name(dx_watch *w, uint64_t now)
{
    DX_WATCH_ASSERT(!w->naming_);
    w->naming_ = true;
    while (w->open_) {
        if (w->flush_) {
            w->flush_ = false;
            now = UINT64_MAX;
            dx_watch_p_drain(w);
            dx_watch_p_poll_late_ones(w);
        }
        if (w->rebuild_) dx_watch_p_rebuild(w);
        if (w->gone_) {
            w->gone_ = false;
            w->told_ = true;
            dx_watch_p_call(w, DX_WATCH_GONE, "");
        } else if (w->all_) {
            w->all_ = false;
            dx_watch_p_call(w, DX_WATCH_SCAN, "");
        } else if (w->stats_.pending && dx_watch_p_due_at(w, 0) <= now) {
            dx_watch_p_call_next(w);
        } else {
            break;
        }
    }
    w->naming_ = false;
}

/* Set the timer to the next due time. */
static void dx_watch_p_plan(dx_watch *w)
{
    uint64_t due = UINT64_MAX / 2;
    if (!w->open_) return;
    if (w->stats_.polled) due = w->next_poll_;
    if (w->stats_.pending && dx_watch_p_due_at(w, 0) < due) due = dx_watch_p_due_at(w, 0);
    if (w->rebuild_ || w->all_ || w->gone_) due = 0;
    dx_reactor_timer_move(w->desc_.reactor, &w->timer_, due);
}

static void dx_watch_p_due(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dx_watch *const w = (dx_watch *)dx_reactor_op_user(op);
    const uint64_t now = dx_reactor_now_ns(r);
    (void)flags;
    if (!w->open_ || result < 0) return;
    /* First of all: later another user may take the operation's slot in the reactor. */
    if (dx_reactor_timer_at(r, op, UINT64_MAX / 2)) return;
    dx_watch_p_drain(w);
    if (w->stats_.polled && now >= w->next_poll_) {
        dx_watch_p_poll_all(w);
        w->next_poll_ = now + w->desc_.poll_ns;
    }
    if (!w->naming_) dx_watch_p_name(w, now);
    dx_watch_p_plan(w);
}

/* Close the queue's descriptor, after the poll on it has completed. */
static void dx_watch_p_release(dx_watch *w)
{
    DX_WATCH_ASSERT(!w->open_);
    if (w->fd_ < 0 || dx_reactor_op_pending(&w->readable_)) return;
    dx_reactor_forget(w->desc_.reactor, w->fd_);
    dx_watch_p_close_queue(w);
    w->fd_ = -1;
}

static void dx_watch_p_readable(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dx_watch *const w = (dx_watch *)dx_reactor_op_user(op);
    (void)flags;
    if (!w->open_) dx_watch_p_release(w);
    if (!w->open_ || result < 0) return;
    dx_watch_p_drain(w);
    dx_reactor_poll(r, op, w->fd_, DX_REACTOR_READABLE); /* cannot fail: its own slot is free */
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

/* Divide the memory: path of the root, tables of names and of watches, heap, cells. */
static void dx_watch_p_divide(dx_watch *w)
{
    const size_t cell = sizeof(dx_watch_cell);
    size_t size = w->desc_.memory_size - DX_WATCH_PATH_SIZE_MAX;
    uint32_t slots = 64;
    if (size / cell >= UINT32_MAX / 2) size = UINT32_MAX / 2 * cell;
    while ((size_t)slots * 2 * 80 <= size) slots *= 2;
    if (w->desc_.pending_max > size / 64) w->desc_.pending_max = (uint32_t)(size / 64);
    w->mask_ = slots - 1;
    w->root_ = (char *)w->desc_.memory;
    w->names_ = (uint32_t *)(void *)(w->root_ + DX_WATCH_PATH_SIZE_MAX);
    w->watches_ = w->names_ + slots;
    w->heap_ = w->watches_ + slots;
    size -= (size_t)slots * 8 + ((size_t)w->desc_.pending_max + 1) / 2 * 8;
    w->cells_ = (dx_watch_cell *)(void *)(w->heap_ + ((size_t)w->desc_.pending_max + 1) / 2 * 2);
    w->cell_count_ = (uint32_t)(size / cell);
    DX_WATCH_ASSERT(w->cell_count_ > DX_WATCH_P_ROOT + 1);
    DX_WATCH_MEMSET(w->names_, 0, (size_t)slots * 8);
    w->fresh_ = DX_WATCH_P_ROOT + 1;
    DX_WATCH_MEMSET(&w->cells_[DX_WATCH_P_ROOT], 0, cell);
    w->cells_[DX_WATCH_P_ROOT].kind = DX_WATCH_P_DIRECTORY;
    w->cells_[DX_WATCH_P_ROOT].u.dir.watch = -1;
}

static void dx_watch_p_defaults(dx_watch_desc *d)
{
    DX_WATCH_ASSERT(d->reactor && d->fn);
    if (!d->debounce_ns) d->debounce_ns = 100000000u;
    if (!d->hold_ns) d->hold_ns = 1000000000u;
    if (!d->poll_ns) d->poll_ns = 2000000000u;
    if (!d->pending_max) d->pending_max = 4096;
}

/* Start the reactor's operations, and convert its error. */
static int dx_watch_p_start(dx_watch *w)
{
    dx_reactor *const r = w->desc_.reactor;
    int error = dx_reactor_timer_at(r, &w->timer_, UINT64_MAX / 2);
    if (!error && w->fd_ >= 0)
        error = dx_reactor_poll(r, &w->readable_, w->fd_, DX_REACTOR_READABLE);
    if (error == DX_REACTOR_EAGAIN) return DX_WATCH_EAGAIN;
    if (error == DX_REACTOR_ECANCELED) return DX_WATCH_ECANCELED;
    return error ? DX_WATCH_ESYS : DX_WATCH_OK;
}

DX_WATCH_API int dx_watch_open(dx_watch *w, const dx_watch_desc *desc)
{
    int error;
    if (!w || !desc || !desc->reactor || !desc->path || !desc->fn) return DX_WATCH_EINVAL;
    if (!desc->memory || desc->memory_size < DX_WATCH_MEMORY_MIN) return DX_WATCH_ENOMEM;
    if ((uintptr_t)desc->memory % 8) return DX_WATCH_EINVAL;
    DX_WATCH_MEMSET(w, 0, sizeof *w);
    w->desc_ = *desc;
    w->fd_ = -1;
    dx_watch_p_defaults(&w->desc_);
    dx_watch_p_divide(w);
    dx_reactor_op_init(&w->readable_, dx_watch_p_readable, w);
    dx_reactor_op_init(&w->timer_, dx_watch_p_due, w);
    error = dx_watch_p_begin(w);
    w->open_ = true;
    if (!error) error = dx_watch_p_start(w);
    if (error) dx_watch_close(w);
    else dx_watch_p_plan(w);
    return error;
}

DX_WATCH_API void dx_watch_close(dx_watch *w)
{
    if (!w->open_) {
        dx_watch_p_release(w);
        return;
    }
    w->open_ = false;
    if (dx_reactor_op_pending(&w->timer_)) dx_reactor_cancel(w->desc_.reactor, &w->timer_);
    if (dx_reactor_op_pending(&w->readable_)) dx_reactor_cancel(w->desc_.reactor, &w->readable_);
    dx_watch_p_release(w);
}

DX_WATCH_API bool dx_watch_is_closed(const dx_watch *w)
{
    return !w->open_ && !w->naming_ && w->fd_ < 0 && !dx_reactor_op_pending(&w->timer_);
}

DX_WATCH_API void dx_watch_flush(dx_watch *w)
{
    if (!w->open_) return;
    w->flush_ = true;
    if (w->naming_) return; /* called inside desc.fn: its loop flushes next */
    dx_watch_p_name(w, UINT64_MAX);
    dx_watch_p_plan(w);
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
