/* Test only: the functions of MSVC's <intrin.h> that dx_reactor.h and dx_ring.h use, for other compilers, so that their code for
   MSVC runs here, with the thread sanitizer, too. With -fms-extensions clang has most of them itself: then its own are tested. As in
   MSVC a load or store is plain but whole, and the barrier is one for the compiler alone: what orders them beyond is the CPU.
   The sanitizer sees no barriers: for it loads acquire and stores release. */
#ifndef DX_TEST_INTRIN_H
#define DX_TEST_INTRIN_H
#include <stdint.h>

#if defined(__SANITIZE_THREAD__)
  #define TEST_LOAD_ORDER __ATOMIC_ACQUIRE
  #define TEST_STORE_ORDER __ATOMIC_RELEASE
#else
  #define TEST_LOAD_ORDER __ATOMIC_RELAXED
  #define TEST_STORE_ORDER __ATOMIC_RELAXED
#endif
#if defined(_WIN32)
typedef long test_long;
#else
typedef int test_long;
#endif

#if defined(__aarch64__)
static inline void __dmb(unsigned domain)
{
    (void)domain;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
#else
static inline void _ReadWriteBarrier(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}
#endif

#if defined(__clang__)
/* Its 64-bit words are `long` where a long has 64 bits. */
long _InterlockedExchange64(volatile long *p, long value);
  #define _InterlockedExchange64(p, value) ((long long)_InterlockedExchange64((volatile long *)(p), (long)(value)))
#else
static inline int __iso_volatile_load32(const volatile int *p)
{
    return __atomic_load_n(p, TEST_LOAD_ORDER);
}

static inline long long __iso_volatile_load64(const volatile long long *p)
{
    return __atomic_load_n(p, TEST_LOAD_ORDER);
}

static inline void __iso_volatile_store32(volatile int *p, int value)
{
    __atomic_store_n(p, value, TEST_STORE_ORDER);
}

static inline void __iso_volatile_store64(volatile long long *p, long long value)
{
    __atomic_store_n(p, value, TEST_STORE_ORDER);
}

static inline test_long _InterlockedExchange(volatile test_long *p, test_long value)
{
    return __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST);
}

static inline long long _InterlockedExchange64(volatile long long *p, long long value)
{
    return __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST);
}

static inline test_long _InterlockedCompareExchange(volatile test_long *p, test_long value, test_long expected)
{
    __atomic_compare_exchange_n(p, &expected, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return expected;
}

static inline long long _InterlockedCompareExchange64(volatile long long *p, long long value, long long expected)
{
    __atomic_compare_exchange_n(p, &expected, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return expected;
}

static inline test_long _InterlockedExchangeAdd(volatile test_long *p, test_long n)
{
    return __atomic_fetch_add(p, n, __ATOMIC_SEQ_CST);
}

static inline test_long _InterlockedOr(volatile test_long *p, test_long bits)
{
    return __atomic_fetch_or(p, bits, __ATOMIC_SEQ_CST);
}

static inline test_long _InterlockedAnd(volatile test_long *p, test_long bits)
{
    return __atomic_fetch_and(p, bits, __ATOMIC_SEQ_CST);
}
#endif
#endif
