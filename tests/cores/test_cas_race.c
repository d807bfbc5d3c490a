#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
/* Concurrent readers of dx_cas.h during commits, collections and kills of a writer; concurrent writers; every flipped byte.
   cc -std=c11 -g -O1 -fsanitize=thread tests/cores/test_cas_race.c -o build/test_cas_race -lpthread */
#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#include "../../layers/dx_devices.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Tests of processes and bytes, not threads: reduced where they are slow. */
#if defined(__SANITIZE_THREAD__)
enum { STRIDE = 97, KILLS = 10 };
#elif defined(__SANITIZE_ADDRESS__)
enum { STRIDE = 7, KILLS = 60 };
#elif defined(__x86_64__)
enum { STRIDE = 1, KILLS = 300 };
#else
enum { STRIDE = 31, KILLS = 20 };
#endif

/* >>helpers ------------------------------------------------------------ */
#define OK(call) DX_CHECK_EQ(call, DX_CAS_OK)
enum { MEMORY = 256 * 1024, OBJECTS = 4 };

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const char *temp_path(const char *name)
{
    static char path[2][256];
    static int which;
    const char *folder = getenv("TMPDIR"); /* a kill loses nothing that the system has, so syncs need not be slow */
    which = !which;
    snprintf(path[which], sizeof path[0], "%s/dx_race_%ld_%s", folder ? folder : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (long)getpid(), name);
    return path[which];
}

/* Version v of the name "n" has OBJECTS objects whose content depends on v; its root is the first, its info holds v. */
static size_t object_of(uint64_t v, unsigned i, uint8_t *out)
{
    uint64_t seed = v * 16 + i;
    size_t size = 16 + dx_test_random(&seed) % 500;
    for (size_t k = 0; k < size; k += 8) {
        uint64_t x = dx_test_random(&seed);
        memcpy(out + k, &x, 8);
    }
    memcpy(out, &v, 8);
    memcpy(out + 8, &i, 4);
    return size;
}

static int write_version(dx_cas_store *s, uint64_t v)
{
    uint8_t bytes[600];
    dx_cas_id id;
    dx_cas_ref ref;
    int error = DX_CAS_OK;
    memset(&ref, 0, sizeof ref);
    for (unsigned i = 0; error == DX_CAS_OK && i < OBJECTS; i++) {
        size_t size = object_of(v, i, bytes);
        error = dx_cas_put(s, bytes, size, i ? &id : &ref.root);
        snprintf(ref.name, sizeof ref.name, "o%u", i); /* all are named, so that a collection keeps them */
        if (i) ref.root = id;
        ref.content = ref.root;
        ref.time_ns = v;
        if (error == DX_CAS_OK) error = dx_cas_ref_set(s, &ref, DX_CAS_ANY_VERSION, NULL);
        if (error == DX_CAS_OK && v > 3) (void)dx_cas_ref_trim(s, ref.name, v - 2);
    }
    return error == DX_CAS_OK ? dx_cas_commit(s) : error;
}

/* Read an open store: the same version under all names, with the right bytes. Or an error that tells a reader to reopen. */
static int read_version(dx_cas_store *s, uint64_t *v)
{
    uint8_t bytes[600], out[600];
    dx_cas_ref ref;
    size_t got;
    *v = 0;
    for (unsigned i = 0; i < OBJECTS; i++) {
        char name[8];
        snprintf(name, sizeof name, "o%u", i);
        int error = dx_cas_ref_get(s, name, 0, &ref);
        if (error == DX_CAS_ENOTFOUND && i == 0) return DX_CAS_OK;
        if (error == DX_CAS_EAGAIN) return error;
        OK(error);
        if (i == 0) *v = ref.time_ns;
        DX_CHECK_EQ(ref.time_ns, *v); /* never half a commit */
        size_t size = object_of(*v, i, bytes);
        error = dx_cas_get(s, &ref.root, out, sizeof out, &got);
        if (error == DX_CAS_EAGAIN) return error;
        OK(error);
        DX_CHECK_EQ(got, size);
        DX_CHECK_MEM(out, bytes, size);
    }
    return DX_CAS_OK;
}

static dx_cas_desc desc_with(dx_cas_device device, uint32_t mode, uint32_t level, void *memory, size_t size)
{
    dx_cas_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.device = device;
    desc.mode = mode;
    desc.durability = level;
    desc.memory = memory;
    desc.memory_size = size;
    return desc;
}

static int open_with(dx_cas_store *s, dx_cas_device device, uint32_t mode, uint32_t level, void *memory, size_t size)
{
    dx_cas_desc desc = desc_with(device, mode, level, memory, size);
    return dx_cas_open(s, &desc);
}

static int open_store(dx_cas_store *s, dx_cas_device device, uint32_t mode, uint32_t level, void *memory)
{
    return open_with(s, device, mode, level, memory, MEMORY);
}

/* >>a device shared by threads ----------------------------------------- */
typedef struct shared {
    pthread_mutex_t mutex; /* held per call, not between calls */
    dx_devices_memory   memory;
    dx_cas_device   inner;
    uint64_t        done;  /* the last committed version */
    int             stop, level;
    char            path[256];
    uint64_t        reads, versions, reopened, collections;
} shared;

static void lock(shared *d) { pthread_mutex_lock(&d->mutex); }
static int unlock(shared *d, int result)
{
    pthread_mutex_unlock(&d->mutex);
    if (result == DX_CAS_OK) sched_yield();
    return result;
}
static int shared_read(void *user, uint64_t at, void *out, size_t size, size_t *got)
{
    shared *d = (shared *)user;
    lock(d);
    return unlock(d, d->inner.read(d->inner.user, at, out, size, got));
}
static int shared_write(void *user, uint64_t at, const void *data, size_t size)
{
    shared *d = (shared *)user;
    lock(d);
    return unlock(d, d->inner.write(d->inner.user, at, data, size));
}
static int shared_sync(void *user)
{
    (void)user;
    return DX_CAS_OK;
}
static int shared_size(void *user, uint64_t *size)
{
    shared *d = (shared *)user;
    lock(d);
    return unlock(d, d->inner.size(d->inner.user, size));
}
static int shared_truncate(void *user, uint64_t size)
{
    shared *d = (shared *)user;
    lock(d);
    return unlock(d, d->inner.truncate(d->inner.user, size));
}

static void *memory_reader(void *user)
{
    shared *d = (shared *)user;
    dx_cas_device device = {shared_read, shared_write, shared_sync, shared_size, shared_truncate, d, NULL};
    void *memory = malloc(MEMORY);
    dx_cas_store s;
    uint64_t last = 0, v, before;
    OK(open_store(&s, device, DX_CAS_READ, 0, memory));
    while (!__atomic_load_n(&d->stop, __ATOMIC_ACQUIRE)) {
        before = __atomic_load_n(&d->done, __ATOMIC_ACQUIRE);
        int error = dx_cas_refresh(&s);
        if (error == DX_CAS_OK) error = read_version(&s, &v);
        if (error == DX_CAS_EAGAIN) {
            dx_cas_close(&s);
            OK(open_store(&s, device, DX_CAS_READ, 0, memory));
            OK(read_version(&s, &v));
            __atomic_add_fetch(&d->reopened, 1, __ATOMIC_RELAXED);
        } else {
            OK(error);
        }
        DX_CHECK(v >= last && v >= before); /* it never goes back, and sees what was committed before the read began */
        __atomic_add_fetch(&d->reads, 1, __ATOMIC_RELAXED);
        if (v != last) __atomic_add_fetch(&d->versions, 1, __ATOMIC_RELAXED);
        last = v;
    }
    dx_cas_close(&s);
    free(memory);
    return NULL;
}

DX_TEST(ca_readers_of_shared_memory_beside_a_writer)
{
    for (uint32_t level = DX_CAS_FULL; level <= DX_CAS_NONE; level++) {
        shared *d = (shared *)calloc(1, sizeof *d);
        dx_cas_device device = {shared_read, shared_write, shared_sync, shared_size, shared_truncate, d, NULL};
        void *memory = malloc(MEMORY);
        dx_cas_store s;
        pthread_t t[3];
        double until = seconds() + 0.5;
        pthread_mutex_init(&d->mutex, NULL);
        d->memory.capacity = 64 << 20;
        d->memory.data = malloc(d->memory.capacity);
        d->inner = dx_devices_memory_device(&d->memory);
        OK(open_store(&s, device, DX_CAS_WRITE | DX_CAS_CREATE, level, memory));
        for (int i = 0; i < 3; i++) pthread_create(&t[i], NULL, memory_reader, d);
        for (uint64_t v = 1; v < 1000 && (seconds() < until || __atomic_load_n(&d->reads, __ATOMIC_RELAXED) < 30); v++) {
            OK(write_version(&s, v));
            __atomic_store_n(&d->done, v, __ATOMIC_RELEASE);
            if (v % 7 == 0) { /* a torn tail that the next open cuts off while readers look at it */
                OK(dx_cas_put(&s, &v, sizeof v, NULL));
                dx_cas_close(&s);
                OK(open_store(&s, device, DX_CAS_WRITE, level, memory));
            }
        }
        __atomic_store_n(&d->stop, 1, __ATOMIC_RELEASE);
        for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
        DX_CHECK(d->reads > 0);
        OK(dx_cas_verify(&s, NULL, NULL, NULL));
        printf("     level %u: %llu commits, %llu reads, %llu new versions seen, %llu opened again\n", level,
               (unsigned long long)d->done, (unsigned long long)d->reads, (unsigned long long)d->versions,
               (unsigned long long)d->reopened);
        dx_cas_close(&s);
        free(d->memory.data);
        free(memory);
        pthread_mutex_destroy(&d->mutex);
        free(d);
    }
}

/* >>files --------------------------------------------------------------- */
static void *file_reader(void *user)
{
    shared *d = (shared *)user;
    void *memory = malloc(MEMORY);
    dx_cas_store s;
    dx_cas_file f;
    uint64_t last = 0, v = 0, before;
    bool open = false;
    while (!__atomic_load_n(&d->stop, __ATOMIC_ACQUIRE)) {
        before = __atomic_load_n(&d->done, __ATOMIC_ACQUIRE);
        int error = open ? dx_cas_refresh(&s) : DX_CAS_EAGAIN;
        dx_cas_stats stats;
        if (error == DX_CAS_EMOVED) error = DX_CAS_OK; /* the stats report it, too, and keep reporting it */
        if (open) dx_cas_get_stats(&s, &stats);
        if (open && stats.retired && dx_cas_file_moved(&f, d->path)) error = DX_CAS_EAGAIN;
        if (error == DX_CAS_OK) error = read_version(&s, &v);
        if (error == DX_CAS_EAGAIN) {
            if (open) dx_cas_close(&s);
            if (open) dx_cas_file_close(&f);
            OK(dx_cas_file_open(&f, d->path, DX_CAS_READ));
            error = open_store(&s, dx_cas_file_device(&f), DX_CAS_READ, 0, memory);
            open = error == DX_CAS_OK;
            if (open) error = read_version(&s, &v);
            if (!open) dx_cas_file_close(&f);
            __atomic_add_fetch(&d->reopened, 1, __ATOMIC_RELAXED);
            if (error == DX_CAS_EAGAIN || (error == DX_CAS_ENOTFOUND && before == 0)) continue;
        }
        OK(error);
        DX_CHECK(v >= last && v >= before);
        __atomic_add_fetch(&d->reads, 1, __ATOMIC_RELAXED);
        last = v;
    }
    if (open) dx_cas_close(&s);
    if (open) dx_cas_file_close(&f);
    free(memory);
    return NULL;
}

/* Compact live data into another file, then replace the store with it. */
static void collect(shared *d, dx_cas_store *s, dx_cas_file *f, void *memory)
{
    char fresh[300];
    dx_cas_file g;
    dx_cas_store to;
    void *other = malloc(MEMORY);
    snprintf(fresh, sizeof fresh, "%s.new", d->path);
    OK(dx_cas_file_open(&g, fresh, DX_CAS_WRITE | DX_CAS_CREATE));
    OK(open_store(&to, dx_cas_file_device(&g), DX_CAS_WRITE | DX_CAS_CREATE, (uint32_t)d->level, other));
    OK(dx_cas_compact_into(s, &to));
    OK(dx_cas_retire(s));
    DX_CHECK_EQ(rename(fresh, d->path), 0);
    OK(dx_cas_file_sync_folder(d->path));
    dx_cas_close(s);
    dx_cas_file_close(f);
    dx_cas_close(&to);
    *f = g;
    OK(open_store(s, dx_cas_file_device(f), DX_CAS_WRITE, (uint32_t)d->level, memory));
    free(other);
    d->collections++;
}

DX_TEST(ca_readers_of_a_file_beside_a_writer_that_commits_and_collects)
{
    shared *d = (shared *)calloc(1, sizeof *d);
    void *memory = malloc(MEMORY);
    dx_cas_store s;
    dx_cas_file f;
    pthread_t t[3];
    double until = seconds() + 2;
    d->level = DX_CAS_BARRIER;
    strcpy(d->path, temp_path("file"));
    OK(dx_cas_file_open(&f, d->path, DX_CAS_WRITE | DX_CAS_CREATE));
    OK(open_store(&s, dx_cas_file_device(&f), DX_CAS_WRITE | DX_CAS_CREATE, (uint32_t)d->level, memory));
    for (int i = 0; i < 3; i++) pthread_create(&t[i], NULL, file_reader, d);
    for (uint64_t v = 1; v < 4000 && (seconds() < until || v < 60 || !__atomic_load_n(&d->reads, __ATOMIC_RELAXED)); v++) {
        OK(write_version(&s, v));
        __atomic_store_n(&d->done, v, __ATOMIC_RELEASE);
        if (v % 25 == 0) collect(d, &s, &f, memory);
    }
    __atomic_store_n(&d->stop, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
    OK(dx_cas_verify(&s, NULL, NULL, NULL));
    printf("     %llu commits, %llu collections, %llu reads, %llu opened again\n", (unsigned long long)d->done,
           (unsigned long long)d->collections, (unsigned long long)d->reads, (unsigned long long)d->reopened);
    DX_CHECK(d->reads > 0 && d->collections > 1);
    dx_cas_close(&s);
    dx_cas_file_close(&f);
    unlink(d->path);
    free(memory);
    free(d);
}

DX_TEST(ca_the_second_writer_is_refused_at_once)
{
    char path[256];
    dx_cas_file f, g;
    int status = 0;
    strcpy(path, temp_path("two"));
    OK(dx_cas_file_open(&f, path, DX_CAS_WRITE | DX_CAS_CREATE));
    double began = seconds();
    DX_CHECK_EQ(dx_cas_file_open(&g, path, DX_CAS_WRITE | DX_CAS_CREATE), DX_CAS_ELOCKED); /* in this process */
    DX_CHECK(seconds() - began < 30);
    OK(dx_cas_file_open(&g, path, DX_CAS_READ));
    dx_cas_file_close(&g); /* and closing another descriptor does not release the lock */
    pid_t child = fork();
    if (child == 0) {
        began = seconds();
        int error = dx_cas_file_open(&g, path, DX_CAS_WRITE);
        _exit(error == DX_CAS_ELOCKED && seconds() - began < 30 ? 0 : 1);
    }
    DX_CHECK_EQ(waitpid(child, &status, 0), child);
    DX_CHECK_EQ(status, 0);
    dx_cas_file_close(&f);
    OK(dx_cas_file_open(&f, path, DX_CAS_WRITE));
    dx_cas_file_close(&f);
    unlink(path);
}

/* The writer: reports each committed version in shared memory, and continues until it is killed. */
static void writer(shared *d, uint64_t *committed, void *memory, uint32_t level)
{
    dx_cas_store s;
    dx_cas_file f;
    uint64_t v;
    int error;
    if (dx_cas_file_open(&f, d->path, DX_CAS_WRITE | DX_CAS_CREATE) != 0) _exit(1);
    error = open_store(&s, dx_cas_file_device(&f), DX_CAS_WRITE | DX_CAS_CREATE, level, memory);
    if (error != DX_CAS_OK) _exit(2);
    if (read_version(&s, &v) != DX_CAS_OK) _exit(3);
    if (v < __atomic_load_n(committed, __ATOMIC_SEQ_CST)) _exit(4);
    for (unsigned n = 0; n < 3; n++) { /* few, so that the store stays small */
        if (write_version(&s, ++v) != DX_CAS_OK) _exit(5);
        __atomic_store_n(committed, v, __ATOMIC_SEQ_CST);
        usleep(300);
    }
    if (dx_cas_put(&s, "not committed", 13, NULL) != DX_CAS_OK) _exit(6); /* uncommitted data is lost with it */
    for (;;) pause();
}

/* A reader process: opens, refreshes and reads until told to stop; its exit status reports what it saw. */
static void reader(const shared *d, const uint64_t *committed, const int *stop, uint64_t *reads)
{
    void *memory = malloc(MEMORY);
    dx_cas_store s;
    dx_cas_file f;
    uint64_t v, last = 0, before;
    int error;
    while (!__atomic_load_n(stop, __ATOMIC_SEQ_CST)) {
        before = __atomic_load_n(committed, __ATOMIC_SEQ_CST);
        if (dx_cas_file_open(&f, d->path, DX_CAS_READ) != DX_CAS_OK) _exit(11);
        error = open_store(&s, dx_cas_file_device(&f), DX_CAS_READ, 0, memory);
        for (unsigned n = 0; error == DX_CAS_OK && n < 50; n++) {
            error = read_version(&s, &v);
            if (error != DX_CAS_OK) break;
            if (v < last || v < before) _exit(13);
            last = v;
            __atomic_add_fetch(reads, 1, __ATOMIC_SEQ_CST);
            before = __atomic_load_n(committed, __ATOMIC_SEQ_CST);
            error = dx_cas_refresh(&s);
            usleep(200);
        }
        if (error != DX_CAS_OK && error != DX_CAS_EAGAIN && !(error == DX_CAS_ENOTFOUND && before == 0)) _exit(100 - error);
        if (error == DX_CAS_EAGAIN) last = before; /* an unacknowledged commit may have been taken back */
        dx_cas_close(&s);
        dx_cas_file_close(&f);
    }
    _exit(0);
}

DX_TEST(w_76_kill_9_of_the_writer_300_times_with_readers_running)
{
    enum { READERS = 2 };
    const unsigned rounds = KILLS;
    shared *d = (shared *)calloc(1, sizeof *d);
    void *memory = malloc(MEMORY);
    uint64_t *committed = (uint64_t *)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t seed = 5, v = 0;
    int *stop = (int *)(committed + 2), status;
    pid_t readers[READERS];
    dx_cas_store s;
    dx_cas_file f;
    strcpy(d->path, temp_path("kill"));
    OK(dx_cas_file_open(&f, d->path, DX_CAS_WRITE | DX_CAS_CREATE));
    OK(open_store(&s, dx_cas_file_device(&f), DX_CAS_WRITE | DX_CAS_CREATE, DX_CAS_FULL_ONCE, memory));
    dx_cas_close(&s);
    dx_cas_file_close(&f);
    for (int i = 0; i < READERS; i++) {
        readers[i] = fork();
        if (readers[i] == 0) reader(d, committed, stop, committed + 1);
    }
    for (unsigned round = 0; round < rounds; round++) {
        pid_t child = fork();
        if (child == 0) writer(d, committed, memory, (uint32_t)(round % 4));
        double until = seconds() + 60;
        while (round % 3 == 0 && __atomic_load_n(committed, __ATOMIC_SEQ_CST) < v + 1 && seconds() < until) usleep(200);
        usleep((useconds_t)(dx_test_random(&seed) % 3000));
        kill(child, SIGKILL);
        DX_CHECK_EQ(waitpid(child, &status, 0), child);
        DX_CHECK(WIFSIGNALED(status)); /* it was killed, as intended */
        OK(dx_cas_file_open(&f, d->path, DX_CAS_WRITE)); /* its lock was released */
        OK(open_store(&s, dx_cas_file_device(&f), DX_CAS_WRITE, (uint32_t)(round % 4), memory));
        OK(read_version(&s, &v));
        DX_CHECK(v >= *committed && v <= *committed + 1);
        OK(dx_cas_verify(&s, NULL, NULL, NULL));
        *committed = v;
        dx_cas_close(&s);
        dx_cas_file_close(&f);
    }
    __atomic_store_n(stop, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < READERS; i++) {
        DX_CHECK_EQ(waitpid(readers[i], &status, 0), readers[i]);
        DX_CHECK_EQ(status, 0);
    }
    printf("     %u kills, %llu commits, %llu reads beside them\n", rounds, (unsigned long long)*committed,
           (unsigned long long)committed[1]);
    DX_CHECK(*committed > rounds / 4);
    DX_CHECK(committed[1] > 0);
    unlink(d->path);
    munmap(committed, 4096);
    free(memory);
    free(d);
}

/* >>damage -------------------------------------------------------------- */
enum { SMALL = 16384 };
typedef struct small { /* a small store with every kind of record */
    uint8_t       bytes[SMALL], copy[SMALL];
    dx_devices_memory memory;
    dx_cas_store  store;
    uint64_t      work[6000]; /* small: clearing it is most of the time of a small open */
    size_t        at;     /* the flipped byte */
    bool          named;  /* verify reported a range that contains it */
    dx_cas_damage first;
} small;

static int open_small(dx_cas_store *s, dx_cas_device device, uint32_t mode, uint32_t level, void *work)
{
    return open_with(s, device, mode, level, work, sizeof((small *)0)->work);
}

static void make_small(small *m, uint32_t level)
{
    dx_cas_writer w;
    dx_cas_writer_desc desc;
    dx_cas_content content;
    dx_cas_ref ref;
    uint8_t text[3000];
    uint64_t seed = 1;
    void *memory;
    m->memory.data = m->bytes;
    m->memory.capacity = sizeof m->bytes;
    OK(open_small(&m->store, dx_devices_memory_device(&m->memory), DX_CAS_WRITE | DX_CAS_CREATE, level, m->work));
    for (uint64_t v = 1; v <= 3; v++) OK(write_version(&m->store, v));
    for (size_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)dx_test_random(&seed);
    memset(&desc, 0, sizeof desc);
    desc.store = &m->store;
    desc.chunker.size_min = 64;
    desc.chunker.size_avg = 256;
    desc.chunker.size_max = 512;
    desc.memory_size = dx_cas_writer_memory_size(&desc);
    desc.memory = memory = malloc(desc.memory_size);
    OK(dx_cas_writer_begin(&w, &desc));
    OK(dx_cas_writer_write(&w, text, sizeof text, NULL));
    OK(dx_cas_writer_finish(&w, &content)); /* chunks under a list node */
    free(memory);
    memset(&ref, 0, sizeof ref);
    strcpy(ref.name, "stream");
    ref.root = content.root;
    ref.content = content.content;
    ref.size = content.size;
    OK(dx_cas_ref_set(&m->store, &ref, 0, NULL));
    OK(dx_cas_commit(&m->store));
    OK(dx_cas_put(&m->store, "last", 4, NULL));
    OK(dx_cas_commit(&m->store));
    OK(dx_cas_verify(&m->store, NULL, NULL, NULL));
    dx_cas_close(&m->store);
    memcpy(m->copy, m->bytes, sizeof m->bytes);
}

static int name_it(void *user, const dx_cas_damage *d)
{
    small *m = (small *)user;
    /* A reported range: header, payload and padding of the record. */
    if (m->at >= d->offset && m->at < d->offset + d->size + 64) m->named = true;
    if (m->first.kind == 0) m->first = *d;
    return 0;
}

DX_TEST(w_75_a_flip_of_any_byte_is_found_by_verify_and_named)
{
    small *m = (small *)calloc(1, sizeof *m);
    size_t flips = 0, kinds[9] = {0};
    make_small(m, DX_CAS_FULL);
    for (m->at = 0; m->at < m->memory.size; m->at += STRIDE) {
        for (unsigned bit = m->at % 8; bit < 8; bit += 4) {
            m->bytes[m->at] ^= (uint8_t)(1u << bit);
            m->named = false;
            m->first.kind = 0;
            int error = open_small(&m->store, dx_devices_memory_device(&m->memory), DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE, 0, m->work);
            OK(error);
            DX_CHECK_EQ(dx_cas_verify(&m->store, name_it, m, NULL), DX_CAS_ECORRUPT);
            DX_CHECK(m->named);
            DX_CHECK(dx_cas_damage_offset(&m->store) <= m->at);
            kinds[m->first.kind]++;
            dx_cas_close(&m->store);
            m->bytes[m->at] ^= (uint8_t)(1u << bit);
            flips++;
        }
    }
    printf("     %zu flips; first said of them: header %zu, record %zu, object %zu, ref %zu, padding %zu, commit %zu, missing %zu\n",
           flips, kinds[1], kinds[2], kinds[3], kinds[4], kinds[5], kinds[6], kinds[7]);
    free(m);
}

/* Repair: copy the ranges that verify reported as damaged from a second store into a new one, then everything else that is
   live. */
typedef struct repair {
    dx_cas_store *good, *fresh;
    unsigned      restored, lost;
} repair;

static int fetch(void *user, const dx_cas_damage *d)
{
    repair *k = (repair *)user;
    uint8_t bytes[1000];
    size_t size;
    dx_cas_id id;
    if (d->kind != DX_CAS_DAMAGE_OBJECT) {
        k->lost++;
    } else if (dx_cas_get(k->good, &d->id, bytes, sizeof bytes, &size) == DX_CAS_OK &&
               dx_cas_put(k->fresh, bytes, size, &id) == DX_CAS_OK && dx_cas_id_equal(&id, &d->id)) {
        k->restored++;
    } else {
        k->lost++; /* a list node: its id is not a blob's */
    }
    return 0;
}

DX_TEST(w_77_what_is_flipped_in_an_object_is_restored_from_a_second_store)
{
    small *m = (small *)calloc(1, sizeof *m), *good = (small *)calloc(1, sizeof *good), *to = (small *)calloc(1, sizeof *to);
    size_t restored = 0, left = 0;
    make_small(m, DX_CAS_FULL);
    make_small(good, DX_CAS_FULL);
    OK(open_small(&good->store, dx_devices_memory_device(&good->memory), DX_CAS_READ, 0, good->work));
    for (m->at = 0; m->at < m->memory.size; m->at += STRIDE) {
        repair k = {&good->store, &to->store, 0, 0};
        m->bytes[m->at] ^= 0x20;
        memset(&to->memory, 0, sizeof to->memory);
        to->memory.data = to->bytes;
        to->memory.capacity = sizeof to->bytes;
        OK(open_small(&to->store, dx_devices_memory_device(&to->memory), DX_CAS_WRITE | DX_CAS_CREATE, 0, to->work));
        OK(open_small(&m->store, dx_devices_memory_device(&m->memory), DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE, 0, m->work));
        DX_CHECK_EQ(dx_cas_verify(&m->store, fetch, &k, NULL), DX_CAS_ECORRUPT);
        if (k.restored == 1 && k.lost == 0) {
            uint64_t v;
            dx_cas_ref ref;
            OK(dx_cas_compact_into(&m->store, &to->store));
            OK(dx_cas_verify(&to->store, NULL, NULL, NULL));
            OK(read_version(&to->store, &v));
            DX_CHECK_EQ(v, 3);
            OK(dx_cas_ref_get(&to->store, "o1", 1, &ref));
            OK(dx_cas_ref_get(&to->store, "stream", 1, &ref));
            restored++;
        } else {
            left++;
        }
        dx_cas_close(&m->store);
        dx_cas_close(&to->store);
        m->bytes[m->at] ^= 0x20;
    }
    printf("     %zu flips in objects restored; %zu in headers, names, commits, nodes and padding are reported\n", restored, left);
    DX_CHECK(restored > 0);
    dx_cas_close(&good->store);
    free(m);
    free(good);
    free(to);
}

/* Repair in place. From a copy, every flipped byte is restored; from another program's store with the same content, objects
   and list nodes; from nothing, padding and whatever has a second copy. */
DX_TEST(w_77_what_is_flipped_is_repaired_in_place_and_the_rest_is_named)
{
    small *m = (small *)calloc(1, sizeof *m), *copy = (small *)calloc(1, sizeof *copy);
    size_t flips = 0, alone = 0, nodes = 0;
    make_small(m, DX_CAS_FULL);
    make_small(copy, DX_CAS_FULL);
    OK(open_small(&copy->store, dx_devices_memory_device(&copy->memory), DX_CAS_READ, 0, copy->work));
    for (m->at = 0; m->at < m->memory.size; m->at += STRIDE) {
        dx_cas_repair_report r;
        dx_cas_desc desc = desc_with(dx_devices_memory_device(&m->memory), DX_CAS_READ, 0, m->work, sizeof m->work);
        m->bytes[m->at] ^= 0x20;
        int error = dx_cas_repair(&m->store, &desc, NULL, NULL, NULL, &r);
        DX_CHECK(error == DX_CAS_OK || error == DX_CAS_ECORRUPT);
        DX_CHECK_EQ(error == DX_CAS_OK, r.lost == 0);
        alone += error == DX_CAS_OK;
        if (error != DX_CAS_OK) {
            copy->store.desc_.store_id[0] ^= 1; /* as if it were another store */
            error = dx_cas_repair(&m->store, &desc, &copy->store, NULL, NULL, &r);
            nodes += error == DX_CAS_OK;
            copy->store.desc_.store_id[0] ^= 1;
        }
        OK(dx_cas_repair(&m->store, &desc, &copy->store, NULL, NULL, &r));
        DX_CHECK_EQ(r.lost, 0);
        dx_cas_close(&m->store);
        DX_CHECK_MEM(m->bytes, copy->bytes, m->memory.size);
        flips++;
    }
    printf("     %zu flips, all repaired from a copy; %zu from the store alone, %zu more from another store\n", flips, alone, nodes);
    DX_CHECK(alone > 0 && nodes > 0 && alone + nodes < flips);
    dx_cas_close(&copy->store);
    free(m);
    free(copy);
}
