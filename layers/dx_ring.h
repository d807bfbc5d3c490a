/*  dx_ring.h - v0.3.0 - a wait-free queue of records between two threads or two processes -
    MIT-0 or public domain, see end of file

    One producer, one consumer, a block of memory. Records have one fixed size or any size. The two
    ends may be threads, or processes that map the same memory, even at different addresses. A
    process may be killed at any moment: its successor continues the same stream.

    Do this in ONE C or C++ file:

        #define DX_RING_IMPLEMENTATION        (or DX_IMPLEMENTATION for every dx_ header)
        #include "dx_ring.h"

    and include it elsewhere without the define. C99; also builds as C++11.

    QUICK EXAMPLE

        static uint64_t memory[4096 / 8 + 8];   // a mapped file works as well
        void *base = (void *)(((uintptr_t)memory + 63) / 64 * 64);
        dx_ring_desc desc;
        dx_ring_producer p;
        dx_ring_consumer c;
        char   text[32];
        size_t size = 0;
        desc.record_size = 0;                   // records of any size
        desc.capacity = 1024;                   // bytes
        if (dx_ring_init(base, 4096, &desc)) return 1;
        if (dx_ring_attach_producer(&p, base, 4096)) return 2;   // one thread or process
        if (dx_ring_attach_consumer(&c, base, 4096)) return 3;   // the other one
        if (dx_ring_push(&p, "hello", 5)) return 4;
        if (dx_ring_pop(&c, text, sizeof text, &size)) return 5;
        if (size != 5 || memcmp(text, "hello", 5)) return 6;
        if (dx_ring_pop(&c, text, sizeof text, &size) != DX_RING_EAGAIN) return 7;

    CONTENTS (search >>)  config types api platform layout attach producer consumer license

    GUARANTEES  Never allocates; no globals; no recursion. Every call is wait-free: no lock, no loop
                that depends on the other end. A record appears completely or not at all. Committed
                records are delivered in order and once; after the death of a consumer the record
                that it held is delivered again. Neither end trusts the other: indices and sizes are
                checked at each load, so a hostile peer causes DX_RING_ECORRUPT, never an access
                outside the ring.
    LIMITS      One producer and one consumer at a time. Records take at most 1 GiB in total; a
                record of variable size at most capacity / 2 - 8 bytes. The ring does not sleep:
                set `wake` to use a semaphore, an eventfd or a futex.
                If the peer is another process, it can still write to a record that dx_ring_peek()
                returns: copy it before you parse it (dx_ring_pop() does).
    SIZE        code: x86-64 2,931, Cortex-M0 1,772; objects: dx_ring_producer 48, dx_ring_consumer
                48, plus dx_ring_memory_size()
    THREADS     One for each end, at the same time, in one process or two.
    CONFIG      DX_RING_STATIC, DX_RING_API, DX_RING_ASSERT(c)
                DX_RING_MEMCPY(to, from, size), DX_RING_MEMSET(to, byte, size)
                DX_RING_LOAD_ACQUIRE(p), DX_RING_STORE_RELEASE(p, v)     of a uint32_t *
                    default: compiler builtins, MSVC's, else C11 atomics
    ERRORS      dx_ring_error: 0 = ok, negative = reason; dx_ring_error_name() returns its name.
    OWNERSHIP   The caller owns the memory; producers and consumers borrow it while they are in use.
    FORMAT      docs/formats/ring.md is normative.
*/
#ifndef DX_RING_H
#define DX_RING_H

#define DX_RING_VERSION 0x000300 /* 0xMMmmpp */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifndef DX_RING_API
  #ifdef DX_RING_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_RING_API static __attribute__((unused))
    #else
      #define DX_RING_API static
    #endif
  #else
    #define DX_RING_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */
#define DX_RING_ERRORS(X)                                                                          \
    X(0, OK)                                                                                       \
    X(-1, EINVAL)   /* an argument breaks its documented contract */                               \
    X(-2, ENOMEM)   /* the memory is smaller than the ring in it */                                \
    X(-3, ENOSPACE) /* the output buffer is smaller than the record, which stays in the ring */    \
    X(-4, ETOOBIG)  /* the record can never fit */                                                 \
    X(-5, ECORRUPT) /* not a ring, or the other end wrote invalid data */                          \
    X(-6, EAGAIN)   /* the ring is full (producer) or empty (consumer) */

typedef enum dx_ring_error {
#define DX_RING_P_ENUM(value, constant) DX_RING_##constant = value,
    DX_RING_ERRORS(DX_RING_P_ENUM)
#undef DX_RING_P_ENUM
} dx_ring_error;

#define DX_RING_ALIGN 64 /* the memory of a ring starts at a multiple of this */

/* The shape of a ring. Zero fields mean the default. */
typedef struct dx_ring_desc {
    uint32_t record_size; /* bytes of every record; 0 = variable, up to capacity / 2 - 8 bytes */
    uint32_t capacity;    /* power of two: records (fixed size), or bytes, at least 64 (variable);
                             0 = 1024 records or 65536 bytes; at most 1 GiB in total */
} dx_ring_desc;

/* The writing end. Fields are private, except the last two. */
typedef struct dx_ring_producer {
    uint8_t *ring_;
    uint32_t record_size_; /* copies of the ring's shape, checked by attach */
    uint32_t capacity_;
    uint32_t write_;       /* our own index */
    uint32_t read_;        /* the other's, as last seen; reloaded when the ring seems full */
    uint32_t claimed_;     /* how far commit moves write_; 0 = nothing is claimed */
    void   (*wake)(void *user); /* may be set after attach: called after every commit, to wake a */
    void    *wake_user;         /* sleeping consumer */
} dx_ring_producer;

/* The reading end. Fields are private, except the last two. */
typedef struct dx_ring_consumer {
    uint8_t *ring_;
    uint32_t record_size_;
    uint32_t capacity_;
    uint32_t read_;        /* our own index */
    uint32_t write_;       /* the other's, as last seen; reloaded when the ring seems empty */
    uint32_t peeked_;      /* how far release moves read_; 0 = nothing is held */
    void   (*wake)(void *user); /* called after every release, to wake a producer that waits */
    void    *wake_user;
} dx_ring_consumer;

/* >>api ---------------------------------------------------------------- */
/* "DX_RING_EAGAIN" and so on; "unknown error" for other numbers. */
DX_RING_API const char *dx_ring_error_name(int error);

/* Bytes of memory that a ring of this shape needs; 0 if *desc breaks its limits. */
DX_RING_API size_t dx_ring_memory_size(const dx_ring_desc *desc);
/* Format memory, aligned to DX_RING_ALIGN, as an empty ring. No end may be attached.
   EINVAL, ENOMEM. */
DX_RING_API int dx_ring_init(void *memory, size_t memory_size, const dx_ring_desc *desc);

/* Attach to one end of a formatted ring, at the position of its last holder. One holder at a time.
   ECORRUPT: not a ring, or invalid indices. */
DX_RING_API int dx_ring_attach_producer(dx_ring_producer *p, void *memory, size_t memory_size);
DX_RING_API int dx_ring_attach_consumer(dx_ring_consumer *c, void *memory, size_t memory_size);

/* Append one record of `size` bytes (in a ring of fixed records: exactly the ring's size, else
   EINVAL). EAGAIN: full, nothing happened. ETOOBIG: it can never fit. */
DX_RING_API int dx_ring_push(dx_ring_producer *p, const void *data, size_t size);
/* Append as many of the `count` consecutive records at data as there is room for; they appear
   together. *done receives how many. Fixed records only, else EINVAL. EAGAIN: none. */
DX_RING_API int dx_ring_push_many(dx_ring_producer *p, const void *data, size_t count,
                                  size_t *done);
/* Zero-copy append: *where receives room for `size` bytes (in a variable ring aligned to 8). The
   record appears with commit. A second claim replaces the first. */
DX_RING_API int dx_ring_claim(dx_ring_producer *p, size_t size, void **where);
DX_RING_API int dx_ring_commit(dx_ring_producer *p);

/* Copy out the oldest record and release it; *size (may be NULL) receives its size. EAGAIN: empty.
   ENOSPACE: it is larger than `capacity` and stays. ECORRUPT: the producer wrote invalid data. */
DX_RING_API int dx_ring_pop(dx_ring_consumer *c, void *out, size_t capacity, size_t *size);
/* Copy out and release the oldest committed records, up to count_max. *done receives how many.
   Fixed records only, else EINVAL. EAGAIN: none. */
DX_RING_API int dx_ring_pop_many(dx_ring_consumer *c, void *out, size_t count_max, size_t *done);
/* Return the oldest record in place; it stays until release. See LIMITS before you parse it in
   place. */
DX_RING_API int dx_ring_peek(dx_ring_consumer *c, const void **where, size_t *size);
DX_RING_API int dx_ring_release(dx_ring_consumer *c);

#ifdef __cplusplus
}
#endif
#endif /* DX_RING_H */

#if (defined(DX_RING_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_RING_IMPLEMENTED)
#define DX_RING_IMPLEMENTED

/* >>platform ----------------------------------------------------------- */
#ifndef DX_RING_ASSERT
  #if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1 && !defined(NDEBUG)
    #include <assert.h>
    #define DX_RING_ASSERT(c) assert(c)
  #else
    #define DX_RING_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
  #endif
#endif

#ifndef DX_RING_MEMCPY
  #if defined(__GNUC__) || defined(__clang__)
    #define DX_RING_MEMCPY(to, from, size) ((void)__builtin_memcpy((to), (from), (size)))
  #else
    #include <string.h>
    #define DX_RING_MEMCPY(to, from, size) ((void)memcpy((to), (from), (size)))
  #endif
#endif
#ifndef DX_RING_MEMSET
  #if defined(__GNUC__) || defined(__clang__)
    #define DX_RING_MEMSET(to, byte, size) ((void)__builtin_memset((to), (byte), (size)))
  #else
    #include <string.h>
    #define DX_RING_MEMSET(to, byte, size) ((void)memset((to), (byte), (size)))
  #endif
#endif

#if defined(DX_RING_LOAD_ACQUIRE) && defined(DX_RING_STORE_RELEASE)
#elif (defined(_MSC_VER) && !defined(__clang__)) || defined(DX_RING_INTERLOCKED)
  #include <intrin.h>
  #define DX_RING_P_INTERLOCKED
  #define DX_RING_LOAD_ACQUIRE(p) dx_ring_p_load_acquire(p)
  #define DX_RING_STORE_RELEASE(p, v) dx_ring_p_store_release((p), (v))
#elif defined(__GNUC__) || defined(__clang__)
  #define DX_RING_LOAD_ACQUIRE(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
  #define DX_RING_STORE_RELEASE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L && !defined(__STDC_NO_ATOMICS__)
  #include <stdatomic.h>
  #define DX_RING_LOAD_ACQUIRE(p) \
      atomic_load_explicit((_Atomic uint32_t *)(p), memory_order_acquire)
  #define DX_RING_STORE_RELEASE(p, v) \
      atomic_store_explicit((_Atomic uint32_t *)(p), (v), memory_order_release)
#else
  #error "dx_ring.h: define DX_RING_LOAD_ACQUIRE(p) and DX_RING_STORE_RELEASE(p, v)"
#endif

/* A call of push is cheaper than its inlined body in a loop that spins on a full ring. */
#if defined(__GNUC__) && !defined(__clang__)
  #define DX_RING_P_NOINLINE DX_RING_API __attribute__((noinline, noclone))
#elif defined(__clang__)
  #define DX_RING_P_NOINLINE DX_RING_API __attribute__((noinline))
#else
  #define DX_RING_P_NOINLINE DX_RING_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#ifdef DX_RING_P_INTERLOCKED
/* Acquire and release barrier: no load moves after a later access, no store before an earlier one,
   neither by the compiler nor by the processor. x86 needs no instruction for that. */
static void dx_ring_p_barrier(void)
{
#if defined(_M_ARM64) || defined(__aarch64__)
    __dmb(11); /* inner shareable */
#elif defined(_MSC_VER)
    __pragma(warning(suppress: 4996)) /* "use <atomic>", which C lacks */
    _ReadWriteBarrier();
#else
    _ReadWriteBarrier();
#endif
}

static uint32_t dx_ring_p_load_acquire(const volatile void *p)
{
    const uint32_t value = (uint32_t)__iso_volatile_load32((const volatile int *)p);
    dx_ring_p_barrier();
    return value;
}

static void dx_ring_p_store_release(volatile void *p, uint32_t value)
{
    dx_ring_p_barrier();
    __iso_volatile_store32((volatile int *)p, (int)value);
}
#endif

/* >>layout: the memory of a ring ------------------------------------------
   The shape never changes after init. Each index is two cache lines away from everything else: its
   owner stores it, the other end only loads it, so there is no false sharing. (Two lines, because
   processors fetch them in pairs.)

        0    magic      stored last by init: an incomplete ring has no magic
        4    record size, 0 = variable
        8    capacity
       128   write index   stored by the producer only
       256   read index    stored by the consumer only
       384   the records

   Both indices count up forever, modulo 2^32: records in a ring of fixed records, else bytes. A
   record's place is its index modulo the capacity. Empty is write == read, full is write - read ==
   capacity; unsigned subtraction makes both right across the wrap.

        capacity 8:  place  0   1   2   3   4   5   6   7
                                    [A] [B] [C]                    read = 18, write = 21
                                     ^ read      ^ write

   A variable record is a prefix of 8 bytes, {size, 0}, then its bytes, padded to 8. It never wraps
   around the end of the ring: the producer writes the mark SKIP instead of a size there and starts
   at place 0, and both steps appear to the consumer as one.

        |size|0 |bytes...    |size|0 |bytes..|SKIP  unused |
        ^ multiple of 8                                    ^ capacity

   Memory order: the producer writes the bytes, then stores its index with release; the consumer
   loads that index with acquire, then reads the bytes. The same applies in reverse to freed room.
   */
#define DX_RING_P_MAGIC 0x31525844u /* "DXR1" on a little-endian host */
enum {
    DX_RING_P_AT_MAGIC = 0,
    DX_RING_P_AT_RECORD_SIZE = 4,
    DX_RING_P_AT_CAPACITY = 8,
    DX_RING_P_AT_WRITE = 128,
    DX_RING_P_AT_READ = 256,
    DX_RING_P_AT_RECORDS = 384,

    DX_RING_P_PREFIX = 8,        /* bytes of {size, 0}; also the alignment of variable records */
    DX_RING_P_CAPACITY_MIN = 64, /* of a variable ring */
    DX_RING_P_DEFAULT_RECORDS = 1024,
    DX_RING_P_DEFAULT_BYTES = 65536
};
#define DX_RING_P_BYTES_MAX (UINT32_C(1) << 30) /* so that no sum comes near 2^32 */
#define DX_RING_P_SKIP UINT32_MAX

DX_RING_API const char *dx_ring_error_name(int error)
{
    switch (error) {
#define DX_RING_P_CASE(value, constant) case value: return "DX_RING_" #constant;
    DX_RING_ERRORS(DX_RING_P_CASE)
#undef DX_RING_P_CASE
    default: return "unknown error";
    }
}

static uint32_t *dx_ring_p_word(uint8_t *ring, size_t at)
{
    DX_RING_ASSERT(at % 4 == 0);
    return (uint32_t *)(void *)(ring + at);
}

/* Load a word that the other end can write. Each is loaded once, so that the checked value is the
   used one, even if it changes meanwhile. */
static uint32_t dx_ring_p_load(uint8_t *ring, size_t at)
{
    return DX_RING_LOAD_ACQUIRE(dx_ring_p_word(ring, at));
}

/* The first byte of the record with this index, in a ring of fixed records. */
static uint8_t *dx_ring_p_place(uint8_t *ring, uint32_t record_size, uint32_t capacity,
                                uint32_t index)
{
    DX_RING_ASSERT(record_size > 0);
    return ring + DX_RING_P_AT_RECORDS + (size_t)(index & (capacity - 1)) * record_size;
}

/* Bytes that a record of `size` bytes takes in a variable ring. */
static uint32_t dx_ring_p_rounded(uint32_t size)
{
    DX_RING_ASSERT(size <= DX_RING_P_BYTES_MAX);
    return DX_RING_P_PREFIX + (size + (DX_RING_P_PREFIX - 1)) / DX_RING_P_PREFIX * DX_RING_P_PREFIX;
}

/* Records of 16 bytes are common: copy them without a call of memcpy. */
static void dx_ring_p_copy(void *to, const void *from, size_t size)
{
    if (size == 16) DX_RING_MEMCPY(to, from, 16);
    else if (size) DX_RING_MEMCPY(to, from, size);
}

/* How many of `count` records from index on are before the end of the ring. */
static size_t dx_ring_p_count_before_end(uint32_t index, uint32_t capacity, size_t count)
{
    const uint32_t left = capacity - (index & (capacity - 1));
    DX_RING_ASSERT(count <= capacity);
    return count < left ? count : left;
}

/* Bytes of all records together; 0 if the shape is invalid. */
static uint32_t dx_ring_p_bytes(uint32_t record_size, uint32_t capacity)
{
    const bool power_of_two = capacity != 0 && (capacity & (capacity - 1)) == 0;
    if (!power_of_two) return 0;
    if (record_size == 0) {
        if (capacity < DX_RING_P_CAPACITY_MIN || capacity > DX_RING_P_BYTES_MAX) return 0;
        return capacity;
    }
    return record_size > DX_RING_P_BYTES_MAX / capacity ? 0 : record_size * capacity;
}

static uint32_t dx_ring_p_capacity(const dx_ring_desc *desc)
{
    if (desc->capacity) return desc->capacity;
    return desc->record_size ? DX_RING_P_DEFAULT_RECORDS : DX_RING_P_DEFAULT_BYTES;
}

/* Can this ring have these indices? The read index is at most one capacity below the write index,
   and in a variable ring both are multiples of 8. */
static bool dx_ring_p_is_possible(uint32_t record_size, uint32_t capacity, uint32_t write,
                                  uint32_t read)
{
    DX_RING_ASSERT(capacity != 0);
    if (record_size == 0 && (write % DX_RING_P_PREFIX || read % DX_RING_P_PREFIX)) return false;
    return write - read <= capacity;
}

DX_RING_API size_t dx_ring_memory_size(const dx_ring_desc *desc)
{
    uint32_t bytes;
    size_t size;
    if (!desc) return 0;
    bytes = dx_ring_p_bytes(desc->record_size, dx_ring_p_capacity(desc));
    if (bytes == 0) return 0;
    size = DX_RING_P_AT_RECORDS + (size_t)bytes;
    return size > bytes ? size : 0; /* with a 16-bit size_t either step may overflow */
}

DX_RING_API int dx_ring_init(void *memory, size_t memory_size, const dx_ring_desc *desc)
{
    const size_t need = dx_ring_memory_size(desc);
    uint8_t *ring = (uint8_t *)memory;
    if (!memory || need == 0 || (uintptr_t)memory % DX_RING_ALIGN) return DX_RING_EINVAL;
    if (memory_size < need) return DX_RING_ENOMEM;
    DX_RING_MEMSET(ring, 0, need);
    *dx_ring_p_word(ring, DX_RING_P_AT_RECORD_SIZE) = desc->record_size;
    *dx_ring_p_word(ring, DX_RING_P_AT_CAPACITY) = dx_ring_p_capacity(desc);
    DX_RING_STORE_RELEASE(dx_ring_p_word(ring, DX_RING_P_AT_MAGIC), DX_RING_P_MAGIC);
    return DX_RING_OK;
}

/* >>attach ----------------------------------------------------------------
   The ring itself is the only state that survives a process, so recovery is just attaching: an end
   starts from the two indices in memory. A record that was claimed but not committed does not
   exist; one that was held but not released is delivered again. */
/* Checks of both ends: this memory holds a ring, and its two indices are consistent. */
static int dx_ring_p_attach(void *memory, size_t memory_size, uint32_t *record_size,
                            uint32_t *capacity, uint32_t *write, uint32_t *read)
{
    uint8_t *ring = (uint8_t *)memory;
    uint32_t bytes;
    if (!memory || (uintptr_t)memory % DX_RING_ALIGN) return DX_RING_EINVAL;
    if (memory_size < DX_RING_P_AT_RECORDS) return DX_RING_ENOMEM;
    if (dx_ring_p_load(ring, DX_RING_P_AT_MAGIC) != DX_RING_P_MAGIC) return DX_RING_ECORRUPT;
    *record_size = dx_ring_p_load(ring, DX_RING_P_AT_RECORD_SIZE);
    *capacity = dx_ring_p_load(ring, DX_RING_P_AT_CAPACITY);
    bytes = dx_ring_p_bytes(*record_size, *capacity);
    if (bytes == 0) return DX_RING_ECORRUPT;
    if (memory_size - DX_RING_P_AT_RECORDS < bytes) return DX_RING_ENOMEM;
    /* The other end may move between the two loads. Load read first: then the write index is at
       least its value at that moment, never less than the read index. */
    *read = dx_ring_p_load(ring, DX_RING_P_AT_READ);
    *write = dx_ring_p_load(ring, DX_RING_P_AT_WRITE);
    if (!dx_ring_p_is_possible(*record_size, *capacity, *write, *read)) return DX_RING_ECORRUPT;
    return DX_RING_OK;
}

DX_RING_API int dx_ring_attach_producer(dx_ring_producer *p, void *memory, size_t memory_size)
{
    int error;
    if (!p) return DX_RING_EINVAL;
    DX_RING_MEMSET(p, 0, sizeof *p);
    error = dx_ring_p_attach(memory, memory_size, &p->record_size_, &p->capacity_, &p->write_,
                             &p->read_);
    if (error) return error;
    p->ring_ = (uint8_t *)memory;
    return DX_RING_OK;
}

DX_RING_API int dx_ring_attach_consumer(dx_ring_consumer *c, void *memory, size_t memory_size)
{
    int error;
    if (!c) return DX_RING_EINVAL;
    DX_RING_MEMSET(c, 0, sizeof *c);
    error = dx_ring_p_attach(memory, memory_size, &c->record_size_, &c->capacity_, &c->write_,
                             &c->read_);
    if (error) return error;
    c->ring_ = (uint8_t *)memory;
    return DX_RING_OK;
}

/* >>producer --------------------------------------------------------------
   claim finds room and stores in claimed_ how far the write index will move; commit moves it. The
   consumer's index is loaded only when the ring seems full, because each load takes the cache line
   away from the other core:

        write_ - read_ <= capacity_     holds always, with the read_ that we last saw,
                                        which only ever comes nearer to write_
*/
static int dx_ring_p_find_room(dx_ring_producer *p, uint32_t need)
{
    uint32_t read;
    DX_RING_ASSERT(p->write_ - p->read_ <= p->capacity_);
    if (need <= p->capacity_ - (p->write_ - p->read_)) return DX_RING_OK;
    read = dx_ring_p_load(p->ring_, DX_RING_P_AT_READ);
    if (!dx_ring_p_is_possible(p->record_size_, p->capacity_, p->write_, read) ||
        p->write_ - read > p->write_ - p->read_) /* it went back: possibly into claimed room */
        return DX_RING_ECORRUPT;
    p->read_ = read;
    return need <= p->capacity_ - (p->write_ - p->read_) ? DX_RING_OK : DX_RING_EAGAIN;
}

static int dx_ring_p_claim_variable(dx_ring_producer *p, uint32_t size, void **where)
{
    const uint32_t need = dx_ring_p_rounded(size);
    uint32_t at = p->write_ & (p->capacity_ - 1);
    const uint32_t before_end = p->capacity_ - at;
    const uint32_t skip = need > before_end ? before_end : 0;
    const int error = dx_ring_p_find_room(p, skip + need);
    uint8_t *records = p->ring_ + DX_RING_P_AT_RECORDS;
    if (error) return error;
    DX_RING_ASSERT(at % DX_RING_P_PREFIX == 0);
    if (skip) {
        *dx_ring_p_word(records, at) = DX_RING_P_SKIP;
        at = 0;
    }
    DX_RING_ASSERT(need <= p->capacity_ - at);
    *dx_ring_p_word(records, at) = size;
    *dx_ring_p_word(records, at + 4) = 0;
    *where = records + at + DX_RING_P_PREFIX;
    p->claimed_ = skip + need;
    return DX_RING_OK;
}

DX_RING_API int dx_ring_claim(dx_ring_producer *p, size_t size, void **where)
{
    int error;
    if (!p || !p->ring_ || !where) return DX_RING_EINVAL;
    p->claimed_ = 0;
    if (p->record_size_ == 0) {
        /* Half of the ring: any accepted record fits into an empty ring, even if it has to skip the
           rest before the end. */
        if (size > p->capacity_ / 2 - DX_RING_P_PREFIX) return DX_RING_ETOOBIG;
        return dx_ring_p_claim_variable(p, (uint32_t)size, where);
    }
    if (size != p->record_size_) return DX_RING_EINVAL;
    error = dx_ring_p_find_room(p, 1);
    if (error) return error;
    *where = dx_ring_p_place(p->ring_, p->record_size_, p->capacity_, p->write_);
    p->claimed_ = 1;
    return DX_RING_OK;
}

DX_RING_API int dx_ring_commit(dx_ring_producer *p)
{
    if (!p || !p->claimed_) return DX_RING_EINVAL;
    DX_RING_ASSERT(p->claimed_ <= p->capacity_ - (p->write_ - p->read_));
    p->write_ += p->claimed_;
    p->claimed_ = 0;
    DX_RING_STORE_RELEASE(dx_ring_p_word(p->ring_, DX_RING_P_AT_WRITE), p->write_);
    if (p->wake) p->wake(p->wake_user);
    return DX_RING_OK;
}

DX_RING_P_NOINLINE int dx_ring_push(dx_ring_producer *p, const void *data, size_t size)
{
    void *where;
    int error;
    if (!data && size) return DX_RING_EINVAL;
    error = dx_ring_claim(p, size, &where);
    if (error) return error;
    dx_ring_p_copy(where, data, size);
    return dx_ring_commit(p);
}

DX_RING_API int dx_ring_push_many(dx_ring_producer *p, const void *data, size_t count,
                                  size_t *done)
{
    const uint8_t *from = (const uint8_t *)data;
    uint8_t *to;
    size_t unit, first;
    uint32_t room;
    int error;
    if (!p || !p->ring_ || !p->record_size_ || !data || !done) return DX_RING_EINVAL;
    *done = 0;
    error = dx_ring_p_find_room(p, count < p->capacity_ ? (uint32_t)count : p->capacity_);
    room = p->capacity_ - (p->write_ - p->read_);
    if (error == DX_RING_ECORRUPT || (error && room == 0)) return error;
    if (count > room) count = room;
    if (count == 0) return DX_RING_OK;
    unit = p->record_size_;
    first = dx_ring_p_count_before_end(p->write_, p->capacity_, count);
    to = dx_ring_p_place(p->ring_, p->record_size_, p->capacity_, p->write_);
    DX_RING_MEMCPY(to, from, first * unit);
    to = p->ring_ + DX_RING_P_AT_RECORDS; /* the rest, at the start of the ring */
    if (count > first) DX_RING_MEMCPY(to, from + first * unit, (count - first) * unit);
    p->claimed_ = (uint32_t)count;
    *done = count;
    return dx_ring_commit(p);
}

/* >>consumer --------------------------------------------------------------
   The mirror of the producer: peek finds a record and stores in peeked_ how far the read index will
   move; release moves it. Prefixes of variable records are written by the other end and untrusted:
   a size must end before the write index and before the end of the ring. */
static int dx_ring_p_find_record(dx_ring_consumer *c)
{
    uint32_t write;
    DX_RING_ASSERT(c->write_ - c->read_ <= c->capacity_);
    if (c->write_ != c->read_) return DX_RING_OK;
    write = dx_ring_p_load(c->ring_, DX_RING_P_AT_WRITE);
    if (!dx_ring_p_is_possible(c->record_size_, c->capacity_, write, c->read_))
        return DX_RING_ECORRUPT;
    c->write_ = write;
    return write == c->read_ ? DX_RING_EAGAIN : DX_RING_OK;
}

static int dx_ring_p_peek_variable(dx_ring_consumer *c, const void **where, size_t *size)
{
    uint32_t left = c->write_ - c->read_; /* bytes up to the write index, then to the ring's end */
    uint32_t at = c->read_ & (c->capacity_ - 1);
    uint32_t skip = 0;
    uint32_t n = dx_ring_p_load(c->ring_, DX_RING_P_AT_RECORDS + (size_t)at);
    if (n == DX_RING_P_SKIP) {
        skip = c->capacity_ - at;
        if (skip >= left) return DX_RING_ECORRUPT; /* a record must follow; no SKIP at place 0 */
        left -= skip;
        at = 0;
        n = dx_ring_p_load(c->ring_, DX_RING_P_AT_RECORDS);
    }
    if (left > c->capacity_ - at) left = c->capacity_ - at;
    DX_RING_ASSERT(left >= DX_RING_P_PREFIX && left % DX_RING_P_PREFIX == 0);
    if (n > left - DX_RING_P_PREFIX) return DX_RING_ECORRUPT;
    *where = c->ring_ + DX_RING_P_AT_RECORDS + at + DX_RING_P_PREFIX;
    *size = n;
    c->peeked_ = skip + dx_ring_p_rounded(n);
    return DX_RING_OK;
}

DX_RING_API int dx_ring_peek(dx_ring_consumer *c, const void **where, size_t *size)
{
    int error;
    if (!c || !c->ring_ || !where || !size) return DX_RING_EINVAL;
    c->peeked_ = 0;
    error = dx_ring_p_find_record(c);
    if (error) return error;
    if (c->record_size_ == 0) return dx_ring_p_peek_variable(c, where, size);
    *where = dx_ring_p_place(c->ring_, c->record_size_, c->capacity_, c->read_);
    *size = c->record_size_;
    c->peeked_ = 1;
    return DX_RING_OK;
}

DX_RING_API int dx_ring_release(dx_ring_consumer *c)
{
    if (!c || !c->peeked_) return DX_RING_EINVAL;
    DX_RING_ASSERT(c->peeked_ <= c->write_ - c->read_);
    c->read_ += c->peeked_;
    c->peeked_ = 0;
    DX_RING_STORE_RELEASE(dx_ring_p_word(c->ring_, DX_RING_P_AT_READ), c->read_);
    if (c->wake) c->wake(c->wake_user);
    return DX_RING_OK;
}

DX_RING_API int dx_ring_pop(dx_ring_consumer *c, void *out, size_t capacity, size_t *size)
{
    const void *where;
    size_t n = 0;
    int error;
    if (!out && capacity) return DX_RING_EINVAL;
    error = dx_ring_peek(c, &where, &n);
    if (size) *size = n;
    if (error) return error;
    if (n > capacity) {
        c->peeked_ = 0; /* it stays: a release now would drop an undelivered record */
        return DX_RING_ENOSPACE;
    }
    dx_ring_p_copy(out, where, n);
    return dx_ring_release(c);
}

DX_RING_API int dx_ring_pop_many(dx_ring_consumer *c, void *out, size_t count_max, size_t *done)
{
    const uint8_t *from;
    uint8_t *to = (uint8_t *)out;
    size_t count, unit, first;
    int error;
    if (!c || !c->ring_ || !c->record_size_ || !out || !done) return DX_RING_EINVAL;
    *done = 0;
    error = dx_ring_p_find_record(c);
    if (error) return error;
    count = c->write_ - c->read_;
    if (count > count_max) count = count_max;
    if (count == 0) return DX_RING_OK;
    unit = c->record_size_;
    first = dx_ring_p_count_before_end(c->read_, c->capacity_, count);
    from = dx_ring_p_place(c->ring_, c->record_size_, c->capacity_, c->read_);
    DX_RING_MEMCPY(to, from, first * unit);
    from = c->ring_ + DX_RING_P_AT_RECORDS; /* the rest, at the start of the ring */
    if (count > first) DX_RING_MEMCPY(to + first * unit, from, (count - first) * unit);
    c->peeked_ = (uint32_t)count;
    *done = count;
    return dx_ring_release(c);
}

#undef DX_RING_P_MAGIC
#undef DX_RING_P_BYTES_MAX
#undef DX_RING_P_SKIP
#undef DX_RING_P_NOINLINE

#ifdef __cplusplus
}
#endif
#endif /* DX_RING_IMPLEMENTATION */

/* >>license ---------------------------------------------------------------
This software is available under two licenses: choose whichever you prefer.
---------------------------------------------------------------------------
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
---------------------------------------------------------------------------
ALTERNATIVE B - Public domain (www.unlicense.org)
This is free and unencumbered software released into the public domain. Anyone is free to copy,
modify, publish, use, compile, sell, or distribute this software, either in source code form or as
a compiled binary, for any purpose, commercial or non-commercial, and by any means. In
jurisdictions that recognize copyright laws, the author or authors of this software dedicate any
and all copyright interest in the software to the public domain. We make this dedication for the
benefit of the public at large and to the detriment of our heirs and successors. We intend this
dedication to be an overt act of relinquishment in perpetuity of all present and future rights to
this software under copyright law. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND,
EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A
PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
*/
