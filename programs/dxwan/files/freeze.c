/* Stops all threads of another process. See freeze.h. */
#include "freeze.h"

#include "../../common/os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef __linux__
  #include <sys/ptrace.h>
  #include <sys/wait.h>

enum { LOOK_NS = 200000, PASSES_MAX = 1000 };

/* 0: the thread is traced now; or an errno. */
static int seize(int id)
{
    if (ptrace(PTRACE_SEIZE, id, NULL, NULL) < 0) return errno;
    (void)ptrace(PTRACE_INTERRUPT, id, NULL, NULL); /* it fails where the thread has just ended */
    return 0;
}

/* Threads that have ended stay listed, with the main thread, until all have: they cannot be traced. */
static bool has_ended(int folder, int id)
{
    char path[64], text[512];
    (void)snprintf(path, sizeof path, "task/%d/stat", id);
    const int file = os_open_in(folder, path, OS_FILE);
    const int64_t got = file < 0 ? 0 : os_read(file, text, sizeof text - 1);
    if (file >= 0) os_close(file);
    if (got <= 0) return true;
    text[got] = 0;
    const char *name_end = strrchr(text, ')'); /* the name may hold anything */
    return name_end && name_end[1] == ' ' && (name_end[2] == 'Z' || name_end[2] == 'X');
}

typedef struct listing {
    wan_freeze *f;
    int         folder;
    uint32_t    added;
} listing;

static int add(void *user, const char *name)
{
    listing *l = user;
    wan_freeze *f = l->f;
    const int id = (int)strtol(name, NULL, 10);
    for (uint32_t i = 0; i < f->count; i++)
        if (f->threads[i].id == id) return 0;
    const int error = seize(id);
    if (error == ESRCH || (error == EPERM && has_ended(l->folder, id))) return 0;
    if (error) return error;
    if (f->count == f->room) {
        f->room = f->room * 2 + 16;
        f->threads = realloc(f->threads, f->room * sizeof *f->threads);
        if (!f->threads) abort();
    }
    f->threads[f->count++] = (wan_frozen_thread){.id = id};
    l->added++;
    return 0;
}

/* Look at a thread. False: it runs still. */
static bool has_stopped(wan_freeze *f, uint32_t i)
{
    wan_frozen_thread *t = &f->threads[i];
    int status = 0;
    if (t->stopped) return true;
    const int got = waitpid(t->id, &status, __WALL | WNOHANG);
    if (!got) return false;
    if (got < 0 || !WIFSTOPPED(status)) {
        f->threads[i] = f->threads[--f->count]; /* it has ended */
        return false;
    }
    t->stopped = true;
    if (status >> 16 != PTRACE_EVENT_STOP) t->signal = WSTOPSIG(status);
    return true;
}

static bool all_have_stopped(wan_freeze *f)
{
    bool all = true;
    for (uint32_t i = f->count; i > 0; i--) all = has_stopped(f, i - 1) && all;
    return all;
}

/* A thread may have made another one before it stopped, so the list is read again until it has none. */
static int stop_all(wan_freeze *f)
{
    listing l = {.f = f, .folder = f->folder};
    for (int pass = 0; pass < PASSES_MAX; pass++) {
        const int list = os_open_in(f->folder, "task", OS_FOLDER);
        if (list < 0) return errno == ENOENT ? ESRCH : errno;
        l.added = 0;
        int error = os_list(list, add, &l);
        if (error < 0) error = errno;
        os_close(list);
        if (error) return error;
        if (!f->count) return ESRCH;
        if (!l.added) return 0;
        while (!all_have_stopped(f)) {
            if ((uint64_t)prog_now_ns() >= f->end_ns) return ETIMEDOUT;
            os_sleep_ns(LOOK_NS);
        }
    }
    return ETIMEDOUT;
}

/* Until wan_freeze_release(), or the time is over. */
static void hold(wan_freeze *f)
{
    struct timespec over;
    (void)clock_gettime(CLOCK_MONOTONIC, &over);
    over.tv_sec += (time_t)(f->hold_ns / 1000000000);
    over.tv_nsec += (long)(f->hold_ns % 1000000000);
    over.tv_sec += over.tv_nsec / 1000000000;
    over.tv_nsec %= 1000000000;
    while (!f->ending && pthread_cond_timedwait(&f->changed, &f->lock, &over) != ETIMEDOUT) continue;
}

static void *trace(void *user)
{
    wan_freeze *f = user;
    const int error = stop_all(f);
    pthread_mutex_lock(&f->lock);
    f->error = error;
    f->ready = true;
    f->over_ns = (uint64_t)prog_now_ns() + f->hold_ns;
    pthread_cond_broadcast(&f->changed);
    if (!error) hold(f);
    pthread_mutex_unlock(&f->lock);
    for (uint32_t i = 0; i < f->count; i++)
        if (f->threads[i].stopped)
            (void)ptrace(PTRACE_DETACH, f->threads[i].id, NULL, (void *)(intptr_t)f->threads[i].signal);
    return NULL; /* killed and unstopped ones are released with this thread */
}

int wan_freeze_stop(wan_freeze *f, int folder, uint64_t timeout_ns, uint64_t hold_ns)
{
    pthread_condattr_t monotonic;
    memset(f, 0, sizeof *f);
    f->folder = folder;
    f->end_ns = (uint64_t)prog_now_ns() + timeout_ns;
    f->hold_ns = hold_ns;
    pthread_mutex_init(&f->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&f->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    f->started = pthread_create(&f->tracer, NULL, trace, f) == 0;
    if (!f->started) return EAGAIN;
    pthread_mutex_lock(&f->lock);
    while (!f->ready) pthread_cond_wait(&f->changed, &f->lock);
    pthread_mutex_unlock(&f->lock);
    const int error = f->error;
    if (error) (void)wan_freeze_release(f);
    return error;
}

bool wan_freeze_release(wan_freeze *f)
{
    if (!f->started) return false;
    pthread_mutex_lock(&f->lock);
    const bool held = !f->error && (uint64_t)prog_now_ns() < f->over_ns;
    f->ending = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->tracer, NULL);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->changed);
    free(f->threads);
    memset(f, 0, sizeof *f);
    return held;
}

#else
int wan_freeze_stop(wan_freeze *f, int folder, uint64_t timeout_ns, uint64_t hold_ns)
{
    memset(f, 0, sizeof *f);
    (void)folder;
    (void)timeout_ns;
    (void)hold_ns;
    return ENOSYS;
}

bool wan_freeze_release(wan_freeze *f)
{
    (void)f;
    return false;
}
#endif
