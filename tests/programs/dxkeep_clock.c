/* Preloaded into dxkeep: the real time is DX_CLOCK_S, seconds since 1970. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *out)
{
    static int (*real)(clockid_t, struct timespec *);
    const char *set = getenv("DX_CLOCK_S");
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    const int status = real(clock, out);
    if (clock == CLOCK_REALTIME && set && !status) out->tv_sec = (time_t)atoll(set);
    return status;
}
