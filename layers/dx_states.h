/*  dx_states.h - v0.3.0 - states with versions: subscriptions that resume, and subscribers that
                           are slow
                         - MIT-0 or public domain, see end of file

    A layer on dx_hbtp.h. A publisher has numbered states, each with a version that counts its
    changes. A subscriber sends the version that it has, and receives all later changes in one
    frame, or the whole state if the publisher no longer has the difference. After a reconnect it
    resumes the same way. A slow subscriber receives nothing for a while, then all missed changes
    in one frame.

    Do this in ONE C or C++ file:

        #define DX_IMPLEMENTATION             (or DX_STATES_IMPLEMENTATION and
        #include "layers/dx_states.h"          DX_HBTP_IMPLEMENTATION)

    and include it elsewhere without the define. C99; also builds as C++11. It includes dx_hbtp.h
    from the folder above, unless that was included before.

    QUICK EXAMPLE

        static const char *text = "on";              // the state's content

        static int find(void *user, dx_hbtp_session *s, uint32_t number, dx_states_state **state)
        {
            (void)s;
            *state = (dx_states_state *)user;
            return number == 7 ? 0 : DX_HBTP_STATUS_NOT_FOUND;
        }

        static int write(void *user, dx_states_state *state, uint64_t from, uint8_t *out,
                         size_t capacity, size_t *size)
        {
            (void)user;
            (void)state;
            (void)from;                              // a change from there would be shorter
            *size = strlen(text);
            if (*size > capacity) return DX_STATES_ENOSPACE;
            memcpy(out, text, *size);
            return DX_STATES_WHOLE;
        }

        int main(void)
        {
            static uint64_t memory[256], entries[64];
            static uint8_t output[1024], scratch[256];
            static dx_hbtp_router router;
            static dx_hbtp_session session;
            const uint8_t asks[28] = {0x12, 4, 1, 0, 20, 0, 0, 0, 7}; // state 7, no version
            dx_states_state state;
            dx_states_desc desc;
            dx_states states;
            dx_hbtp_session_desc d;
            dx_hbtp_out out;
            size_t size;
            memset(&desc, 0, sizeof desc);
            desc.memory = entries;
            desc.memory_size = sizeof entries;
            desc.scratch = scratch;
            desc.scratch_size = sizeof scratch;
            desc.find = find;
            desc.write = write;
            desc.user = &state;
            if (dx_states_init(&states, &desc)) return 1;
            dx_states_begin(&state, 7, 20260101, 1); // the epoch: random, or when it began
            dx_hbtp_out_init(&out, output, sizeof output);
            dx_hbtp_router_init(&router);
            dx_hbtp_router_set(&router, DX_HBTP_OP_STATE_SUBSCRIBE, dx_states_handler, &states);
            memset(&d, 0, sizeof d);
            d.memory = memory;
            d.memory_size = sizeof memory;
            d.in_place = true;
            d.out = &out;
            d.router = &router;
            if (dx_hbtp_session_init(&session, &d)) return 2;
            dx_hbtp_feed(&session, asks, sizeof asks, 0);
            dx_states_send(&states, NULL);           // the whole state: "on"
            text = "off";
            dx_states_change(&states, &state);
            dx_states_send(&states, NULL);
            dx_states_leave(&states, &session);
            dx_hbtp_out_data(&out, &size);           // an answer and two StateSyncs
            return size != 8 + 16 + 28 + 2 + 28 + 3;
        }

    CONTENTS (search >>)
        config  errors  publisher  subscriber  platform  shared  entries  sending  views  license

    HOW A PUBLISHER WORKS
        Set dx_states_handler() as the route for StateSubscribe and StateUnsubscribe, say so in the
        Hello (hello.features: DX_HBTP_FEATURE_RESUME), and call

            dx_states_change()  after each change of a state
            dx_states_send()    to send changes: after each one, or after many
            dx_states_send(s)   once session s has sent output, and after desc.wake
            dx_states_leave(s)  once it has closed: DX_HBTP_EVENT_CLOSED, `closed` of dx_link.h

        On dx_link.h desc.wake is dx_link_call_writable(), and `writable` is dx_states_send().

    HOW A SUBSCRIBER WORKS
        A view is a subscriber's copy of a state. Set dx_states_view_handler() as the route for
        StateSync and StateDelta, pass results to dx_states_answered(), and call

            dx_states_watch()   for each view, after the answer to the Hello (DX_HBTP_EVENT_HELLO),
                                again on each new connection, and if view->is_lost
            dx_states_closed()  when a session has closed, as above

    GUARANTEES  A view applies a change only to the version that it was made for. The version of a
                view never goes back within an epoch. A slow subscriber blocks no other, costs no
                memory, and gets one frame once it can receive again, however many changes there
                were. Publishers and subscribers without versions are served as in sections 2 and 8
                of the format. No allocation, globals, recursion or printing.
    LIMITS      Each change must fit into scratch, the session's response buffer and the payload
                limit of the peer. Callbacks must not call this layer.
                dx_states_view_handler() searches all views linearly.
    SIZE        code: x86-64 4,500, Cortex-M0 3,101; objects: dx_states 152, dx_states_state 40,
                dx_states_views 8, dx_states_view 72
    THREADS     One: that of the sessions.
    CONFIG      DX_STATES_STATIC, DX_STATES_API, DX_STATES_ASSERT(c), DX_STATES_MEMSET
    ERRORS      dx_states_error: 0 = ok, negative = reason, with the values of dx_hbtp_error.
    OWNERSHIP   The caller owns every object; linked ones are borrowed until dx_states_end(),
                dx_states_leave() and dx_states_forget().
    FORMAT      docs/formats/hbtp.md, section 8
*/
#ifndef DX_STATES_H
#define DX_STATES_H

#define DX_STATES_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DX_HBTP_H
  #include "../dx_hbtp.h"
#endif

/* >>config ------------------------------------------------------------- */
#ifndef DX_STATES_API
  #ifndef DX_STATES_STATIC
    #define DX_STATES_API extern
  #elif defined(__GNUC__) || defined(__clang__)
    #define DX_STATES_API static __attribute__((unused))
  #else
    #define DX_STATES_API static
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>errors ------------------------------------------------------------- */
#define DX_STATES_ERRORS(X)                                                                        \
    X(0, OK)                                                                                       \
    X(-1, EINVAL)     /* an argument breaks its documented contract */                             \
    X(-3, ENOSPACE)   /* the response buffer, or the scratch memory, is too full */                \
    X(-4, ETOOBIG)    /* too many subscriptions; above the peer's payload limit */                 \
    X(-5, ECORRUPT)   /* a frame does not match the view's version */                              \
    X(-6, EAGAIN)     /* too many pending requests */                                              \
    X(-7, ESYS)       /* the cipher of the session failed */                                       \
    X(-9, ENOTFOUND)  /* not subscribed */                                                         \
    X(-10, ECANCELED) /* the session is closed, or its peer drains */                              \
    X(-11, ETRUNCATED) /* a frame ends too early */

typedef enum dx_states_error {
#define DX_STATES_P_ENUM(value, name) DX_STATES_##name = (value),
    DX_STATES_ERRORS(DX_STATES_P_ENUM)
#undef DX_STATES_P_ENUM
    DX_STATES_WHOLE = 1 /* a result of write: the whole state */
} dx_states_error;

/* "DX_STATES_EINVAL" and so on; "unknown error" for other numbers. Static storage. */
DX_STATES_API const char *dx_states_error_name(int error);

/* >>publisher ---------------------------------------------------------- */
enum { DX_STATES_HEAD_SIZE = 20 }; /* of a frame with versions, before the content */

typedef struct dx_states_state { /* caller-allocated, not to be moved; some fields may be read */
    uint32_t number;  /* its name on the wire */
    uint32_t count;   /* subscriptions */
    uint64_t epoch;   /* the history that `version` belongs to; never 0 */
    uint64_t version; /* of its content now: 1, 2, 3 ... */
    void    *user;    /* yours */
    uint32_t first_;  /* of its subscriptions */
} dx_states_state;

typedef struct dx_states_desc { /* zero = the default given after each field */
    void    *memory;          /* aligned to 8; borrowed. 56 bytes for each subscription */
    size_t   memory_size;
    uint8_t *scratch;         /* frames are written here first, after 20 bytes; borrowed */
    size_t   scratch_size;
    uint32_t per_session_max; /* subscriptions; 64 */

    /* Required: set *state to the state with this number and return 0, or refuse the subscription
       with a status (404, 401). */
    int    (*find)(void *user, dx_hbtp_session *session, uint32_t number, dx_states_state **state);
    /* Required: write the change from version `from` to state->version into out[capacity]. Returns
       0: a change; DX_STATES_WHOLE: the whole state, required for `from` 0 and always allowed; < 0:
       nothing can be sent now, retry after the next change. The result is sent to all subscribers
       with that version. */
    int    (*write)(void *user, dx_states_state *state, uint64_t from, uint8_t *out,
                    size_t capacity, size_t *size);
    /* Call dx_states_send() for this session before you wait: there is something to send, and no
       later output of the session triggers it. NULL: you call it anyway. */
    void   (*wake)(void *user, dx_hbtp_session *session);
    void    *user;            /* for all three */
} dx_states_desc;

typedef struct dx_states { /* caller-allocated; some fields may be read */
    uint64_t sent_changes; /* frames, of either kind */
    uint64_t sent_wholes;

    dx_states_desc desc_;
    struct dx_states_p_entry *entries_;
    uint32_t capacity_;     /* entries, and buckets */
    uint32_t free_;         /* a list of unused entries */
    uint32_t behind_;       /* the ring of out-of-date subscriptions */
    uint32_t behind_count_;
    const dx_states_state *written_; /* the content of scratch: of this state, or NULL, */
    uint64_t written_from_; /* ... from here */
    uint64_t written_to_;   /* ... to here */
    size_t   written_size_;
    bool     written_whole_;
} dx_states;

/* EINVAL: no memory, not aligned, scratch below 32 bytes, a required function is missing. */
DX_STATES_API int dx_states_init(dx_states *st, const dx_states_desc *desc);
/* Begin a state with its current content. `epoch` names the history that `version` counts in:
   within it a version must always mean the same content. So choose a new epoch, not 0, whenever
   versions may restart: a random number, or the start time of the program. version: at least 1. */
DX_STATES_API void dx_states_begin(dx_states_state *state, uint32_t number, uint64_t epoch,
                                   uint64_t version);
/* The content has changed: increment the version. O(subscriptions). */
DX_STATES_API void dx_states_change(dx_states *st, dx_states_state *state);
/* Remove a state, and all subscriptions to it. */
DX_STATES_API void dx_states_end(dx_states *st, dx_states_state *state);
/* The handler for StateSubscribe and StateUnsubscribe, with the dx_states as the route's user. */
DX_STATES_API int dx_states_handler(const dx_hbtp_context *c);
/* Send changes to all out-of-date subscribers with room, or to one session. Returns the
   number of frames written. Do not call it from callbacks of this layer. O(out of date),
   or O(subscriptions of the session). */
DX_STATES_API uint32_t dx_states_send(dx_states *st, dx_hbtp_session *session);
/* Remove the subscriptions of a session that has ended, or should get no more, before its memory is
   reused. */
DX_STATES_API void dx_states_leave(dx_states *st, const dx_hbtp_session *session);

/* >>subscriber --------------------------------------------------------- */
typedef struct dx_states_view dx_states_view;

/* Apply content from the publisher: the whole state (whole), or a change of the view's content. Not
   0: it cannot be applied; the view is lost, and has no content. */
typedef int dx_states_apply_fn(dx_states_view *view, bool whole, const uint8_t *data, size_t size);

struct dx_states_view { /* caller-allocated, not to be moved; some fields may be read */
    uint32_t number;
    bool     is_lost; /* it gets no more frames: one did not match, or it was refused */
    uint64_t epoch;   /* of its content; may be saved with it, and set before watch */
    uint64_t version; /* 0: no content, or a publisher without versions */
    uint64_t latest;  /* the highest version announced in this epoch */
    dx_states_apply_fn *apply;
    void    *user;    /* yours */

    dx_hbtp_session *session_; /* of its subscription */
    dx_states_view  *next_;    /* in the list */
    uint16_t sequence_;        /* of the request; 0: answered */
    bool     has_versions_;    /* it has requested versions */
    bool     has_base_;        /* a publisher without versions has sent a whole state */
};

typedef struct dx_states_views { /* caller-allocated; all zero: none */
    dx_states_view *first_;
} dx_states_views;

/* A view without content. */
DX_STATES_API void dx_states_view_init(dx_states_view *view, uint32_t number,
                                       dx_states_apply_fn *apply, void *user);
/* Subscribe to its state on this session, from the view's version; earlier frames of the session
   are ignored. Versions are used if both Hellos have DX_HBTP_FEATURE_RESUME, so call it after them.
   After an error nothing has changed. Errors as dx_hbtp_request(). */
DX_STATES_API int dx_states_watch(dx_states_views *views, dx_states_view *view,
                                  dx_hbtp_session *session);
/* Call it from on_result. True: the result belongs to a subscription; if it was refused
   (result->status) or timed out, the view is lost. */
DX_STATES_API bool dx_states_answered(dx_states_views *views, const dx_hbtp_session *session,
                                      const dx_hbtp_result *result);
/* The handler for StateSync and StateDelta, with the dx_states_views as the route's user. A frame
   that does not match, or cannot be applied, fails (DX_HBTP_EVENT_FAILED) and the view is lost. */
DX_STATES_API int dx_states_view_handler(const dx_hbtp_context *c);
/* The session has ended: its views get no frames until the next dx_states_watch(). */
DX_STATES_API void dx_states_closed(dx_states_views *views, const dx_hbtp_session *session);
/* Unsubscribe, and tell the publisher if there is room. The view is the caller's again, and keeps
   its content. */
DX_STATES_API void dx_states_forget(dx_states_views *views, dx_states_view *view);

#ifdef __cplusplus
}
#endif
#endif /* DX_STATES_H */

#if (defined(DX_STATES_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_STATES_IMPLEMENTED)
#define DX_STATES_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_STATES_ASSERT
  #if (!defined(__STDC_HOSTED__) || __STDC_HOSTED__ == 1) && !defined(NDEBUG)
    #include <assert.h>
    #define DX_STATES_ASSERT(c) assert(c)
  #else
    #define DX_STATES_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif
#if defined(__GNUC__) || defined(__clang__)
  #define DX_STATES_P_LIBC(name) __builtin_##name
#else
  #include <string.h>
  #define DX_STATES_P_LIBC(name) name
#endif
#ifndef DX_STATES_MEMSET
  #define DX_STATES_MEMSET DX_STATES_P_LIBC(memset)
#endif

enum {
    DX_STATES_P_PER_SESSION = 64,
    DX_STATES_P_SHORT_HEAD  = 4,  /* of a frame without versions: the number */
    DX_STATES_P_SCRATCH_MIN = 32,
    DX_STATES_P_EPOCH       = 4,  /* offsets in a frame with versions: StateSubscribe, StateSync; */
    DX_STATES_P_FROM        = 4,  /* StateDelta; */
    DX_STATES_P_TO          = 12, /* all of them */
    DX_STATES_P_ANSWER_SIZE = 16  /* epoch and version of the publisher */
};
#define DX_STATES_P_NONE 0xffffffffu /* index of no entry; more room than any session has */

struct dx_states_p_entry {   /* a subscription of one session to one state */
    dx_hbtp_session *session;
    dx_states_state *state;  /* NULL: unused */
    uint64_t sent;           /* the version after all frames sent to it; 0: none */
    uint32_t room;           /* was_tried: it needs more than this; NONE: never enough */
    uint32_t next;           /* in the ring of its state */
    uint32_t previous;
    uint32_t behind;         /* in the ring of out-of-date ones; NONE: up to date */
    uint32_t behind_before;
    uint32_t chain;          /* the next with the same hash of the session; or the next free */
    uint32_t bucket;         /* not of this entry: the first of bucket number i */
    bool     has_versions;   /* the subscriber asked for versions */
    bool     was_tried;      /* a send failed since it is out of date */
};

/* >>shared --------------------------------------------------------------
   Small helpers that other dx headers hold as identical copies (a check compares them). */
static uint32_t dx_states_p_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t dx_states_p_load64(const uint8_t *p)
{
    return (uint64_t)dx_states_p_load32(p) | (uint64_t)dx_states_p_load32(p + 4) << 32;
}

static void dx_states_p_store32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8 & 0xff);
    p[2] = (uint8_t)(v >> 16 & 0xff);
    p[3] = (uint8_t)(v >> 24);
}

static void dx_states_p_store64(uint8_t *p, uint64_t v)
{
    dx_states_p_store32(p, (uint32_t)(v & 0xffffffffu));
    dx_states_p_store32(p + 4, (uint32_t)(v >> 32));
}
/* <<shared */

DX_STATES_API const char *dx_states_error_name(int error)
{
    switch (error) {
#define DX_STATES_P_CASE(value, name)                                                              \
    case value: return "DX_STATES_" #name;
        DX_STATES_ERRORS(DX_STATES_P_CASE)
#undef DX_STATES_P_CASE
    default: return "unknown error";
    }
}

/* >>entries -------------------------------------------------------------
   One array of entries, linked by index. An entry is a subscription, and is in

       its bucket     A7 -> A9 -> C7            those of session A, and of others with that hash
       its state      A7 -> B7 -> C7 -> (A7)    a change makes all of them BEHIND
       BEHIND         B7 -> A9 -> (B7)          they do not have the version of their state

   A subscriber has no queue: missed changes are written when it has room, as one change from the
   version that it has to the current one. */

/* The bucket of a session. Peers do not choose addresses, so any hash is safe. */
static uint32_t *dx_states_p_bucket(const dx_states *st, const dx_hbtp_session *session)
{
    const uintptr_t address = (uintptr_t)session / sizeof(void *);
    const uint32_t hash = (uint32_t)(address & UINT32_MAX) * 2654435761u;
    DX_STATES_ASSERT(st->capacity_ > 0);
    return &st->entries_[(uint32_t)((uint64_t)hash * st->capacity_ >> 32)].bucket;
}

/* The subscription of a session to a state, or NONE. *count: its number of subscriptions. */
static uint32_t dx_states_p_find(const dx_states *st, const dx_hbtp_session *session,
                                 const dx_states_state *state, uint32_t *count)
{
    uint32_t found = DX_STATES_P_NONE;
    uint32_t i = *dx_states_p_bucket(st, session);
    *count = 0;
    for (; i != DX_STATES_P_NONE; i = st->entries_[i].chain) {
        if (st->entries_[i].session != session) continue;
        (*count)++;
        if (st->entries_[i].state == state) found = i;
    }
    return found;
}

/* Leave the out-of-date ring: it is up to date, or cannot be served. */
static void dx_states_p_leave_behind(dx_states *st, uint32_t i)
{
    struct dx_states_p_entry *const e = st->entries_;
    if (e[i].behind == DX_STATES_P_NONE) return;
    DX_STATES_ASSERT(st->behind_count_ > 0 && e[e[i].behind].behind_before == i);
    e[e[i].behind].behind_before = e[i].behind_before;
    e[e[i].behind_before].behind = e[i].behind;
    if (st->behind_ == i) st->behind_ = e[i].behind;
    st->behind_count_--;
    if (!st->behind_count_) st->behind_ = DX_STATES_P_NONE;
    e[i].behind = DX_STATES_P_NONE;
}

/* Append an entry to the out-of-date ring. */
static void dx_states_p_join_behind(dx_states *st, uint32_t i)
{
    struct dx_states_p_entry *const e = st->entries_;
    uint32_t last;
    if (e[i].behind != DX_STATES_P_NONE) return;
    DX_STATES_ASSERT((st->behind_ == DX_STATES_P_NONE) == (st->behind_count_ == 0));
    st->behind_count_++;
    if (st->behind_ == DX_STATES_P_NONE) {
        e[i].behind = i;
        e[i].behind_before = i;
        st->behind_ = i;
        return;
    }
    last = e[st->behind_].behind_before;
    e[i].behind = st->behind_;
    e[i].behind_before = last;
    e[st->behind_].behind_before = i;
    e[last].behind = i;
}

/* A new subscription; there is an unused entry. */
static uint32_t dx_states_p_join(dx_states *st, dx_hbtp_session *session, dx_states_state *state)
{
    struct dx_states_p_entry *const e = st->entries_;
    const uint32_t i = st->free_;
    uint32_t *const bucket = dx_states_p_bucket(st, session);
    DX_STATES_ASSERT(i < st->capacity_ && !e[i].state);
    st->free_ = e[i].chain;
    e[i].session = session;
    e[i].state = state;
    e[i].behind = DX_STATES_P_NONE;
    e[i].chain = *bucket;
    *bucket = i;
    e[i].next = i;
    e[i].previous = i;
    if (state->first_ != DX_STATES_P_NONE) {
        const uint32_t last = e[state->first_].previous;
        e[i].next = state->first_;
        e[i].previous = last;
        e[state->first_].previous = i;
        e[last].next = i;
    } else {
        state->first_ = i;
    }
    state->count++;
    return i;
}

/* Remove a subscription from all rings. */
static void dx_states_p_part(dx_states *st, uint32_t i)
{
    struct dx_states_p_entry *const e = st->entries_;
    dx_states_state *const state = e[i].state;
    uint32_t *link = dx_states_p_bucket(st, e[i].session);
    DX_STATES_ASSERT(state && state->count > 0);
    dx_states_p_leave_behind(st, i);
    while (*link != i) link = &e[*link].chain;
    *link = e[i].chain;
    e[e[i].next].previous = e[i].previous;
    e[e[i].previous].next = e[i].next;
    if (state->first_ == i) state->first_ = e[i].next == i ? DX_STATES_P_NONE : e[i].next;
    state->count--;
    e[i].state = NULL;
    e[i].chain = st->free_;
    st->free_ = i;
}

DX_STATES_API int dx_states_init(dx_states *st, const dx_states_desc *desc)
{
    size_t capacity;
    uint32_t i;
    if (!st || !desc || !desc->memory || ((uintptr_t)desc->memory & 7) || !desc->scratch ||
        desc->scratch_size < DX_STATES_P_SCRATCH_MIN || !desc->find || !desc->write)
        return DX_STATES_EINVAL;
    capacity = desc->memory_size / sizeof(struct dx_states_p_entry);
    if (!capacity) return DX_STATES_EINVAL;
    DX_STATES_MEMSET(st, 0, sizeof *st);
    st->desc_ = *desc;
    if (!desc->per_session_max) st->desc_.per_session_max = DX_STATES_P_PER_SESSION;
    st->entries_ = (struct dx_states_p_entry *)desc->memory;
    st->capacity_ = (uint64_t)capacity >> 31 ? (uint32_t)INT32_MAX : (uint32_t)capacity;
    st->behind_ = DX_STATES_P_NONE;
    st->free_ = 0;
    for (i = 0; i < st->capacity_; i++) {
        st->entries_[i].state = NULL;
        st->entries_[i].chain = i + 1 < st->capacity_ ? i + 1 : DX_STATES_P_NONE;
        st->entries_[i].bucket = DX_STATES_P_NONE;
    }
    return DX_STATES_OK;
}

DX_STATES_API void dx_states_begin(dx_states_state *state, uint32_t number, uint64_t epoch,
                                   uint64_t version)
{
    DX_STATES_ASSERT(state && epoch && version);
    DX_STATES_MEMSET(state, 0, sizeof *state);
    state->number = number;
    state->epoch = epoch;
    state->version = version;
    state->first_ = DX_STATES_P_NONE;
}

DX_STATES_API void dx_states_change(dx_states *st, dx_states_state *state)
{
    uint32_t left;
    uint32_t i = state->first_;
    state->version++;
    for (left = state->count; left; left--) {
        struct dx_states_p_entry *const it = &st->entries_[i];
        DX_STATES_ASSERT(it->state == state);
        if (it->behind == DX_STATES_P_NONE || it->room == DX_STATES_P_NONE) it->was_tried = false;
        dx_states_p_join_behind(st, i);
        i = it->next;
    }
}

DX_STATES_API void dx_states_end(dx_states *st, dx_states_state *state)
{
    while (state->first_ != DX_STATES_P_NONE) dx_states_p_part(st, state->first_);
    if (st->written_ == state) st->written_ = NULL;
}

DX_STATES_API void dx_states_leave(dx_states *st, const dx_hbtp_session *session)
{
    uint32_t i = *dx_states_p_bucket(st, session);
    while (i != DX_STATES_P_NONE) {
        const uint32_t next = st->entries_[i].chain;
        if (st->entries_[i].session == session) dx_states_p_part(st, i);
        i = next;
    }
}

/* Subscribe, or update the subscriber's version; versions: epoch and version, or NULL. */
static int dx_states_p_subscribe(dx_states *st, dx_hbtp_session *session, dx_states_state *state,
                                 const uint8_t *versions)
{
    struct dx_states_p_entry *it;
    uint32_t count;
    uint32_t i = dx_states_p_find(st, session, state, &count);
    uint64_t has = 0;
    if (i != DX_STATES_P_NONE && !versions && !st->entries_[i].has_versions)
        return DX_STATES_OK; /* a repeated request */
    if (i == DX_STATES_P_NONE) {
        if (st->free_ == DX_STATES_P_NONE || count >= st->desc_.per_session_max)
            return DX_HBTP_STATUS_TOO_MANY;
        i = dx_states_p_join(st, session, state);
    }
    it = &st->entries_[i];
    it->has_versions = versions != NULL;
    it->was_tried = false;
    it->room = 0;
    if (versions && dx_states_p_load64(versions) == state->epoch)
        has = dx_states_p_load64(versions + 8);
    it->sent = has <= state->version ? has : 0; /* not a version of ours: send all */
    dx_states_p_leave_behind(st, i);
    if (it->sent != state->version) {
        dx_states_p_join_behind(st, i);
        if (st->desc_.wake) st->desc_.wake(st->desc_.user, session);
    }
    return DX_STATES_OK;
}

DX_STATES_API int dx_states_handler(const dx_hbtp_context *c)
{
    dx_states *st = (dx_states *)c->user;
    const bool is_on = c->frame->opcode != DX_HBTP_OP_STATE_UNSUBSCRIBE;
    const bool has_versions = is_on && c->payload_size == DX_STATES_HEAD_SIZE;
    dx_states_state *state = NULL;
    uint8_t answer[DX_STATES_P_ANSWER_SIZE];
    uint32_t count;
    uint32_t i;
    int status;
    if (c->payload_size < DX_STATES_P_SHORT_HEAD) return DX_HBTP_ETRUNCATED;
    if (c->payload_size != DX_STATES_P_SHORT_HEAD && !has_versions) return DX_HBTP_ECORRUPT;
    status = st->desc_.find(st->desc_.user, c->session, dx_states_p_load32(c->payload), &state);
    if (status) return status;
    if (is_on) {
        status = dx_states_p_subscribe(st, c->session, state,
                                       has_versions ? c->payload + DX_STATES_P_EPOCH : NULL);
        if (status) return status;
    } else {
        i = dx_states_p_find(st, c->session, state, &count);
        if (i == DX_STATES_P_NONE) return DX_HBTP_ENOTFOUND;
        dx_states_p_part(st, i);
    }
    if (!(c->frame->flags & DX_HBTP_FLAG_EXPECTS_RESPONSE)) return DX_HBTP_OK;
    dx_states_p_store64(answer, state->epoch);
    dx_states_p_store64(answer + 8, state->version);
    return dx_hbtp_write_rpc_response(c->out, c->frame->sequence, answer,
                                      has_versions ? sizeof answer : 0); /* room was checked */
}

/* >>sending -------------------------------------------------------------
   A frame is written once for all subscribers with the same version, into scratch:

       with versions   | number | epoch, or from | version | content ...      StateSync, StateDelta
       0               4        12               20
       without them                     | number | content ...
                                        16       20                                            */

/* Write the content since a version to scratch, unless it is there. < 0: not possible. */
static int dx_states_p_write(dx_states *st, dx_states_state *state, uint64_t from)
{
    const size_t capacity = st->desc_.scratch_size - DX_STATES_HEAD_SIZE;
    size_t size = 0;
    int result;
    if (st->written_ == state && st->written_from_ == from && st->written_to_ == state->version)
        return DX_STATES_OK;
    st->written_ = NULL;
    result = st->desc_.write(st->desc_.user, state, from, st->desc_.scratch + DX_STATES_HEAD_SIZE,
                             capacity, &size);
    if (result < 0) return result;
    DX_STATES_ASSERT(size <= capacity && (from || result == DX_STATES_WHOLE));
    st->written_ = state;
    st->written_from_ = from;
    st->written_to_ = state->version;
    st->written_size_ = size;
    st->written_whole_ = result == DX_STATES_WHOLE;
    return DX_STATES_OK;
}

/* A send took room that other subscriptions of the session may wait for. Let them retry: only a
   send that fails for lack of room calls desc.wake. */
static void dx_states_p_try_again(dx_states *st, const dx_hbtp_session *session)
{
    uint32_t i = *dx_states_p_bucket(st, session);
    for (; i != DX_STATES_P_NONE; i = st->entries_[i].chain) {
        struct dx_states_p_entry *const it = &st->entries_[i];
        DX_STATES_ASSERT(it->state != NULL);
        if (it->session == session && it->room != DX_STATES_P_NONE) it->was_tried = false;
    }
}

/* Send to one out-of-date subscription. True: it is up to date now. */
static bool dx_states_p_send_one(dx_states *st, struct dx_states_p_entry *it)
{
    const uint64_t free_bytes = dx_hbtp_out_room(it->session->desc.out);
    const uint32_t room = free_bytes < DX_STATES_P_NONE ? (uint32_t)free_bytes : DX_STATES_P_NONE;
    dx_states_state *const state = it->state;
    uint8_t *head = st->desc_.scratch;
    size_t head_size = DX_STATES_HEAD_SIZE;
    int error;
    DX_STATES_ASSERT(it->sent < state->version);
    if (it->was_tried && room <= it->room) return false;
    it->was_tried = true;
    if (dx_states_p_write(st, state, it->sent)) {
        it->room = DX_STATES_P_NONE;
        return false;
    }
    if (!it->has_versions) {
        head_size = DX_STATES_P_SHORT_HEAD;
        head += (size_t)DX_STATES_HEAD_SIZE - DX_STATES_P_SHORT_HEAD;
    } else {
        dx_states_p_store64(head + DX_STATES_P_FROM, st->written_whole_ ? state->epoch : it->sent);
        dx_states_p_store64(head + DX_STATES_P_TO, state->version);
    }
    dx_states_p_store32(head, state->number);
    error = dx_hbtp_notify(it->session,
                           st->written_whole_ ? DX_HBTP_OP_STATE_SYNC : DX_HBTP_OP_STATE_DELTA, 0,
                           head, head_size + st->written_size_);
    if (error) {
        it->room = error == DX_HBTP_ENOSPACE ? room : DX_STATES_P_NONE;
        if (error == DX_HBTP_ENOSPACE && st->desc_.wake)
            st->desc_.wake(st->desc_.user, it->session);
        return false;
    }
    it->sent = state->version;
    dx_states_p_try_again(st, it->session);
    st->sent_wholes += st->written_whole_;
    st->sent_changes += !st->written_whole_;
    return true;
}

DX_STATES_API uint32_t dx_states_send(dx_states *st, dx_hbtp_session *session)
{
    struct dx_states_p_entry *const e = st->entries_;
    uint32_t sent = 0;
    uint32_t left = st->behind_count_;
    uint32_t i = session ? *dx_states_p_bucket(st, session) : st->behind_;
    while (session && i != DX_STATES_P_NONE) {
        if (e[i].session == session && e[i].behind != DX_STATES_P_NONE &&
            dx_states_p_send_one(st, &e[i])) {
            dx_states_p_leave_behind(st, i);
            sent++;
        }
        i = e[i].chain;
    }
    for (; !session && left; left--) {
        const uint32_t next = e[i].behind;
        if (dx_states_p_send_one(st, &e[i])) {
            dx_states_p_leave_behind(st, i);
            sent++;
        }
        i = next;
    }
    return sent;
}

/* >>views ---------------------------------------------------------------
   How a subscriber handles a frame depends on its last request:

       watch ----> WAITS ----> answered ----> HEARS ----> a frame that does not fit ----> LOST
                   frames of an               a whole state, or a change         no frames
                   earlier subscription       of the version that it has         until watch
                   are skipped

   The answer comes between the frames of the old and of the new subscription, so no version number
   has to be compared to tell them apart. */
DX_STATES_API void dx_states_view_init(dx_states_view *view, uint32_t number,
                                       dx_states_apply_fn *apply, void *user)
{
    DX_STATES_ASSERT(view && apply);
    DX_STATES_MEMSET(view, 0, sizeof *view);
    view->number = number;
    view->apply = apply;
    view->user = user;
}

/* Remove a view from the list, if it is in it. */
static void dx_states_p_unlink(dx_states_views *views, const dx_states_view *view)
{
    dx_states_view **link = &views->first_;
    while (*link && *link != view) link = &(*link)->next_;
    if (*link) *link = view->next_;
}

DX_STATES_API int dx_states_watch(dx_states_views *views, dx_states_view *view,
                                  dx_hbtp_session *session)
{
    uint8_t payload[DX_STATES_HEAD_SIZE];
    size_t size = DX_STATES_P_SHORT_HEAD;
    uint16_t sequence;
    bool has_versions;
    int error;
    if (!views || !view || !session || !view->apply) return DX_STATES_EINVAL;
    has_versions = (session->peer.features & DX_HBTP_FEATURE_RESUME) != 0;
    dx_states_p_store32(payload, view->number);
    dx_states_p_store64(payload + DX_STATES_P_EPOCH, view->version ? view->epoch : 0);
    dx_states_p_store64(payload + DX_STATES_P_TO, view->version);
    if (has_versions) {
        size = DX_STATES_HEAD_SIZE;
    } else if (view->is_lost || view->session_ == session) { /* else it would change nothing */
        error = dx_hbtp_notify(session, DX_HBTP_OP_STATE_UNSUBSCRIBE, 0, payload, size);
        if (error) return error;
    }
    error = dx_hbtp_request(session, DX_HBTP_OP_STATE_SUBSCRIBE, 0, payload, size, UINT64_MAX, view,
                            &sequence);
    if (error) return error;
    dx_states_p_unlink(views, view);
    view->next_ = views->first_;
    views->first_ = view;
    view->session_ = session;
    view->sequence_ = sequence;
    view->has_versions_ = has_versions;
    view->has_base_ = false;
    view->is_lost = false;
    return DX_STATES_OK;
}

/* No more frames until it is watched again. */
static void dx_states_p_lose(dx_states_view *view)
{
    view->is_lost = true;
    view->session_ = NULL;
    view->sequence_ = 0;
}

DX_STATES_API bool dx_states_answered(dx_states_views *views, const dx_hbtp_session *session,
                                      const dx_hbtp_result *result)
{
    dx_states_view *view = views->first_;
    while (view && (view->session_ != session || view->sequence_ != result->sequence))
        view = view->next_;
    if (!view || !result->sequence) return false;
    view->sequence_ = 0;
    if (result->error == DX_HBTP_ECANCELED) {
        view->session_ = NULL; /* with the session */
    } else if (result->error ||
               (view->has_versions_ && result->payload_size < DX_STATES_P_ANSWER_SIZE)) {
        dx_states_p_lose(view);
    } else if (view->has_versions_) {
        const uint64_t epoch = dx_states_p_load64(result->payload);
        view->latest = dx_states_p_load64(result->payload + 8);
        /* The publisher has another history: the next frame is its first. */
        if (epoch != view->epoch || view->latest < view->version) view->version = 0;
    }
    return true;
}

/* Read the head of a frame with versions. False: it does not continue the view's version. */
static bool dx_states_p_fits(const dx_states_view *view, bool whole, uint64_t from, uint64_t to)
{
    DX_STATES_ASSERT(view->has_versions_);
    if (whole) return from && to && (from != view->epoch || to >= view->version);
    return view->version && from == view->version && to > from;
}

/* Apply a frame to a subscribed view. Returns an error if the view is lost. */
static int dx_states_p_apply(dx_states_view *view, bool whole, const uint8_t *payload, size_t size)
{
    const size_t head_size = view->has_versions_ ? (size_t)DX_STATES_HEAD_SIZE
                                                 : (size_t)DX_STATES_P_SHORT_HEAD;
    uint64_t from = 0;
    uint64_t to = 0;
    DX_STATES_ASSERT(view->apply && !view->sequence_ && !view->is_lost);
    if (size < head_size) return DX_STATES_ETRUNCATED;
    if (view->has_versions_) {
        from = dx_states_p_load64(payload + DX_STATES_P_FROM);
        to = dx_states_p_load64(payload + DX_STATES_P_TO);
        if (!dx_states_p_fits(view, whole, from, to)) return DX_STATES_ECORRUPT;
    } else if (!whole && !view->has_base_) {
        return DX_STATES_ECORRUPT;
    }
    if (view->apply(view, whole, payload + head_size, size - head_size)) {
        view->version = 0; /* its content is unknown from now on */
        return DX_STATES_ECORRUPT;
    }
    if (whole) view->epoch = from;
    view->version = to;
    view->latest = to > view->latest || whole ? to : view->latest;
    view->has_base_ = true;
    return DX_STATES_OK;
}

DX_STATES_API int dx_states_view_handler(const dx_hbtp_context *c)
{
    dx_states_view *view = ((dx_states_views *)c->user)->first_;
    uint32_t number;
    int error;
    if (c->payload_size < DX_STATES_P_SHORT_HEAD) return DX_STATES_ETRUNCATED;
    number = dx_states_p_load32(c->payload);
    while (view && (view->number != number || view->session_ != c->session)) view = view->next_;
    if (!view || view->sequence_) return DX_STATES_OK; /* frames of an earlier subscription */
    error = dx_states_p_apply(view, c->frame->opcode == DX_HBTP_OP_STATE_SYNC, c->payload,
                              c->payload_size);
    if (error) dx_states_p_lose(view);
    return error;
}

DX_STATES_API void dx_states_closed(dx_states_views *views, const dx_hbtp_session *session)
{
    dx_states_view *view;
    for (view = views->first_; view; view = view->next_) {
        if (view->session_ != session) continue;
        view->session_ = NULL;
        view->sequence_ = 0;
    }
}

DX_STATES_API void dx_states_forget(dx_states_views *views, dx_states_view *view)
{
    uint8_t number[DX_STATES_P_SHORT_HEAD];
    if (view->session_) {
        dx_states_p_store32(number, view->number);
        (void)dx_hbtp_notify(view->session_, DX_HBTP_OP_STATE_UNSUBSCRIBE, 0, number,
                             sizeof number);
    }
    dx_states_p_unlink(views, view);
    view->session_ = NULL;
    view->sequence_ = 0;
}

#endif /* DX_STATES_IMPLEMENTATION */

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
