/* Measures dx_cas.h beside the official BLAKE3 library (as LLVM 15 carries it, with its assembly), OpenSSL, xxHash, LMDB, SQLite and RocksDB.
   usage: bench_cas FOLDER      the folder is where the stores are made: one on a real disk for the durable rows
   Prints subject,case,median_ns,least_ns,MB_s. In each round every subject has its turn; medians of ROUNDS rounds. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#define DX_IMPLEMENTATION
#include "../dx_cas.h"
#include "../layers/dx_devices.h"
#include "../layers/dx_bao.h"
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#ifdef HAS_OPENSSL
#include <openssl/evp.h>
#endif
#ifdef HAS_XXHASH
#define XXH_INLINE_ALL
#include <xxhash.h>
#endif
#ifdef HAS_LMDB
#include <lmdb.h>
#endif
#ifdef HAS_SQLITE
#include <sqlite3.h>
#endif
#ifdef HAS_ROCKSDB
#include <rocksdb/c.h>
#endif

enum { ROUNDS = 7, SUBJECTS = 16, LARGEST = 64 << 20 };
#define CHECK(c) do { if (!(c)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #c); exit(1); } } while (0)

static unsigned char *data, *back;
static char folder[3000];
static volatile unsigned sink;

/* Code that only computes is measured in CPU time, which other work on the machine does not add to. */
static clockid_t clock_id = CLOCK_PROCESS_CPUTIME_ID;

static double now(void)
{
    struct timespec t;
    clock_gettime(clock_id, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void fill(uint8_t *p, size_t size, uint64_t seed)
{
    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        dx_cas_p_store64(p + i, z ^ z >> 27);
    }
}

/* >>rounds ------------------------------------------------------------- */
/* One subject of a case: runs `count` operations of `size` bytes each. */
typedef struct subject {
    const char *name;
    void (*run)(size_t size, size_t count);
} subject;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *what, size_t size, double budget_ns, const subject *subjects)
{
    double times[SUBJECTS][ROUNDS];
    size_t counts[SUBJECTS], n = 0;
    for (; subjects[n].name; n++) { /* how many fit into a round's share */
        double took = 0;
        for (counts[n] = 1; counts[n] < 1u << 24; counts[n] *= 4) {
            took = now();
            subjects[n].run(size, counts[n]);
            took = now() - took;
            if (took > budget_ns / 8) break;
        }
        counts[n] = 1 + (size_t)((double)counts[n] * budget_ns / took);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < n; i++) {
            double start = now();
            subjects[i].run(size, counts[i]);
            times[i][round] = (now() - start) / (double)counts[i];
        }
    }
    for (size_t i = 0; i < n; i++) {
        qsort(times[i], ROUNDS, sizeof(double), by_value);
        printf("%s,%s,%.1f,%.1f,%.1f\n", subjects[i].name, what, times[i][ROUNDS / 2], times[i][0],
               (double)size / times[i][ROUNDS / 2] * 1000);
    }
    fflush(stdout);
}

/* >>hash --------------------------------------------------------------- */
static void (*official_init)(void *);
static void (*official_update)(void *, const void *, size_t);
static void (*official_final)(const void *, uint8_t *, size_t);

static void load_official(void)
{
    void *lib = dlopen("libLLVM-15.so.1", RTLD_NOW);
    if (!lib) return;
    *(void **)&official_init = dlsym(lib, "llvm_blake3_hasher_init");
    *(void **)&official_update = dlsym(lib, "llvm_blake3_hasher_update");
    *(void **)&official_final = dlsym(lib, "llvm_blake3_hasher_finalize");
}

static void official_one(const void *p, size_t size, uint8_t out[32])
{
    static uint64_t state[1024];
    official_init(state);
    official_update(state, p, size);
    official_final(state, out, 32);
}

static void hash_dx(size_t size, size_t count)
{
    dx_cas_id id;
    while (count--) {
        dx_cas_hash(data, size, &id);
        sink += id.bytes[0];
    }
}

static void hash_official(size_t size, size_t count)
{
    uint8_t out[32];
    while (count--) {
        official_one(data, size, out);
        sink += out[0];
    }
}

static void hash_many_dx(size_t size, size_t count)
{
    const void *in[16];
    size_t sizes[16];
    dx_cas_id ids[16];
    for (size_t i = 0; i < 16; i++) {
        in[i] = data + i * size;
        sizes[i] = size;
    }
    for (; count >= 16; count -= 16) dx_cas_hash_many(in, sizes, 16, ids);
    if (count) dx_cas_hash_many(in, sizes, count, ids);
    sink += ids[0].bytes[0];
}

static void hash_many_official(size_t size, size_t count)
{
    uint8_t out[32];
    for (size_t i = 0; i < count; i++) official_one(data + i % 16 * size, size, out);
    sink += out[0];
}

#ifdef HAS_OPENSSL
static void hash_sha256(size_t size, size_t count)
{
    unsigned char out[32];
    while (count--) {
        EVP_Digest(data, size, out, NULL, EVP_sha256(), NULL);
        sink += out[0];
    }
}
#endif

#ifdef HAS_XXHASH
static void hash_xxh128(size_t size, size_t count)
{
    while (count--) sink += (unsigned)XXH3_128bits(data, size).low64;
}
#endif

static void hashes(void)
{
    static const size_t sizes[] = {64, 1024, 4096, 256, 2048, 3072, 6144, 16384, 65536, 1 << 20, 16 << 20};
    char what[64];
    subject s[SUBJECTS] = {{"dx_cas", hash_dx}}, many[] = {{"dx_cas", hash_many_dx}, {NULL, NULL}, {NULL, NULL}};
    size_t n = 1;
    if (official_init) s[n].name = "BLAKE3 C (LLVM 15)", s[n++].run = hash_official;
#ifdef HAS_OPENSSL
    s[n].name = "OpenSSL SHA-256", s[n++].run = hash_sha256;
#endif
#ifdef HAS_XXHASH
    s[n].name = "XXH3-128 (no cryptographic hash)", s[n++].run = hash_xxh128;
#endif
    if (official_init) many[1].name = "BLAKE3 C (LLVM 15)", many[1].run = hash_many_official;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        snprintf(what, sizeof what, "hash %zu B", sizes[i]);
        measure(what, sizes[i], 2e7, s);
    }
    for (size_t i = 0; i < 3; i++) {
        snprintf(what, sizeof what, "hash 16 messages of %zu B (each)", sizes[i]);
        measure(what, sizes[i], 2e7, many);
    }
}

/* >>chunker and ranges ------------------------------------------------- */
static dx_cas_chunker chunker;

static void chunk_dx(size_t size, size_t count)
{
    while (count--) {
        bool cut;
        dx_cas_chunker_reset(&chunker);
        for (size_t done = 0; done < size; sink++) done += dx_cas_chunker_next(&chunker, data + done, size - done, &cut);
    }
}

/* FastCDC as its authors' second paper has it (IEEE TPDS 2020): a byte at a time in a plain loop, and two at a time. */
static void chunk_plain(size_t size, size_t count)
{
    const dx_cas_chunker *k = &chunker;
    while (count--) {
        for (size_t start = 0, i; start < size; start = i, sink++) {
            uint64_t hash = 0;
            size_t end = size - start < k->desc_.size_max ? size : start + k->desc_.size_max, middle = start + k->desc_.size_avg;
            for (i = start + k->desc_.size_min - 64; i < end; i++) {
                hash = (hash << 1) + k->gear_[data[i]];
                if ((hash & (i < middle ? k->mask_hard_ : k->mask_easy_)) == 0 && i >= start + k->desc_.size_min) break;
            }
        }
    }
}

static void chunk_2020(size_t size, size_t count)
{
    static uint64_t shifted[256];
    const dx_cas_chunker *k = &chunker;
    uint64_t hard = k->mask_hard_ >> 1, easy = k->mask_easy_ >> 1;
    for (int i = 0; i < 256; i++) shifted[i] = k->gear_[i] << 1;
    while (count--) {
        for (size_t start = 0, i; start < size; start = i, sink++) {
            uint64_t hash = 0, mask = hard;
            size_t end = size - start < k->desc_.size_max ? size : start + k->desc_.size_max, middle = start + k->desc_.size_avg;
            for (i = start + k->desc_.size_min; i + 2 <= end; i += 2) {
                if (i >= middle) mask = easy;
                hash = (hash << 2) + shifted[data[i]];
                if ((hash & mask << 1) == 0) break;
                hash += k->gear_[data[i + 1]];
                if ((hash & mask) == 0) break;
            }
            if (i + 2 > end) i = end;
        }
    }
}

static uint8_t *outboard;
static dx_cas_id whole;

static void range_dx(size_t size, size_t count)
{
    uint8_t proof[DX_BAO_PROOF_MAX];
    for (uint64_t i = 0; count--; i = (i * 5 + 3) % (LARGEST / size)) {
        int n = dx_bao_prove(outboard, (size_t)dx_bao_outboard_size(LARGEST, DX_BAO_GROUP), DX_BAO_GROUP, i, proof);
        CHECK(dx_bao_check(&whole, LARGEST, DX_BAO_GROUP, i, data + i * size, size, proof, (size_t)n) == DX_CAS_OK);
    }
}

static void outboard_dx(size_t size, size_t count)
{
    while (count--) {
        CHECK(dx_bao_outboard(data, size, DX_BAO_GROUP, outboard, (size_t)dx_bao_outboard_size(size, DX_BAO_GROUP),
                                  &whole) == DX_CAS_OK);
    }
}

static void others(void)
{
    const subject chunk[] = {{"dx_cas", chunk_dx}, {"a plain loop", chunk_plain}, {"FastCDC-2020", chunk_2020}, {NULL, NULL}}, range[] = {{"dx_cas", range_dx}, {NULL, NULL}};
    const subject tree[] = {{"dx_cas", outboard_dx}, {"dx_cas hash alone", hash_dx}, {NULL, NULL}};
    CHECK(dx_cas_chunker_init(&chunker, NULL) == DX_CAS_OK);
    measure("chunk 16 MiB (average 64 KiB)", 16 << 20, 5e7, chunk);
    outboard = (uint8_t *)malloc((size_t)dx_bao_outboard_size(LARGEST, DX_BAO_GROUP));
    measure("outboard tree of 64 MiB", LARGEST, 5e7, tree);
    measure("verified 16 KiB out of 64 MiB", 16384, 2e7, range);
}

/* >>stores ------------------------------------------------------------- */
/* Keys are ids of the objects; every put is of new bytes: a counter in the first eight. */
static uint64_t serial;
static bool durable;
static uint64_t stored_from, stored_count;
static size_t batch; /* puts in a commit, 0: only at the end */

static const void *fresh(dx_cas_id *id, size_t size)
{
    dx_cas_p_store64(data, ++serial);
    if (id) dx_cas_hash(data, size, id);
    return data;
}

static const char *path_of(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static dx_cas_store store;
static dx_cas_file store_file;
static dx_devices_mapped view; /* reads store_file */
static dx_cas_id *stored;
enum { STORED_MAX = 1 << 20 };

static dx_cas_store once;
static dx_cas_file once_file;
static dx_devices_buffer gather; /* writes to once_file */

static void open_dx(dx_cas_store *s, dx_cas_file *file, const char *name, uint32_t durability)
{
    dx_cas_desc desc;
    memset(&desc, 0, sizeof desc);
    remove(path_of(name));
    CHECK(dx_cas_file_open(file, path_of(name), DX_CAS_WRITE | DX_CAS_CREATE) == DX_CAS_OK);
    desc.device = dx_cas_file_device(file);
    desc.durability = durability;
    if (durability == DX_CAS_FULL) {
        dx_devices_mapped v = {desc.device, NULL, 0};
        view = v;
        desc.device = dx_devices_mapped_device(&view);
    }
    if (durability == DX_CAS_FULL_ONCE) {
        static unsigned char buffer[1 << 18];
        dx_devices_buffer g = {desc.device, buffer, sizeof buffer, 0, 0};
        gather = g;
        desc.device = dx_devices_buffer_device(&gather);
        desc.preallocate = durable ? 8 << 20 : 0;
    }
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    desc.objects_max = STORED_MAX;
    desc.object_size_max = 4 << 20;
    desc.memory_size = dx_cas_memory_size(&desc);
    desc.memory = malloc(desc.memory_size);
    CHECK(dx_cas_open(s, &desc) == DX_CAS_OK);
}

static void put_into(dx_cas_store *s, size_t size, size_t count)
{
    for (size_t i = 1; i <= count; i++) {
        dx_cas_id id;
        CHECK(dx_cas_put(s, fresh(NULL, size), size, &id) == DX_CAS_OK);
        stored[stored_count++ % STORED_MAX] = id;
        if (batch && i % batch == 0) CHECK(dx_cas_commit(s) == DX_CAS_OK);
    }
}

static void put_dx(size_t size, size_t count) { put_into(&store, size, count); }
static void put_once(size_t size, size_t count) { put_into(&once, size, count); }

static void get_dx(size_t size, size_t count)
{
    size_t got;
    for (size_t i = 0; i < count; i++) {
        CHECK(dx_cas_get(&store, &stored[stored_from + (i * 7919) % (stored_count - stored_from)], back, size, &got) == DX_CAS_OK);
        sink += back[0];
    }
}

/* The same, the store's file mapped. */
static void map_store(size_t size, size_t count)
{
    int fd = open(path_of("dx"), O_RDONLY);
    put_dx(size, count);
    CHECK(view.inner.size(view.inner.user, &view.size) == DX_CAS_OK);
    view.bytes = mmap(NULL, (size_t)view.size, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(view.bytes != MAP_FAILED);
    close(fd);
}

static void unmap_store(void)
{
    munmap((void *)(uintptr_t)view.bytes, (size_t)view.size);
    view.size = 0;
}

#ifdef HAS_LMDB
static MDB_env *lmdb;
static MDB_dbi lmdb_table;

static void open_lmdb(void)
{
    MDB_txn *t;
    CHECK(mdb_env_create(&lmdb) == 0 && mdb_env_set_mapsize(lmdb, (size_t)8 << 30) == 0);
    remove(path_of("lmdb"));
    CHECK(mdb_env_open(lmdb, path_of("lmdb"), MDB_NOSUBDIR | (durable ? 0 : MDB_NOSYNC), 0644) == 0);
    CHECK(mdb_txn_begin(lmdb, NULL, 0, &t) == 0 && mdb_dbi_open(t, NULL, 0, &lmdb_table) == 0 && mdb_txn_commit(t) == 0);
}

static void put_lmdb(size_t size, size_t count)
{
    MDB_txn *t = NULL;
    for (size_t i = 1; i <= count; i++) {
        dx_cas_id id;
        MDB_val k = {32, id.bytes}, v = {size, NULL};
        v.mv_data = (void *)(uintptr_t)fresh(&id, size);
        if (!t) CHECK(mdb_txn_begin(lmdb, NULL, 0, &t) == 0);
        CHECK(mdb_put(t, lmdb_table, &k, &v, 0) == 0);
        stored[stored_count++ % STORED_MAX] = id;
        if (batch && i % batch == 0) {
            CHECK(mdb_txn_commit(t) == 0);
            t = NULL;
        }
    }
    if (t) CHECK(mdb_txn_commit(t) == 0);
}

static void get_lmdb(size_t size, size_t count)
{
    MDB_txn *t;
    CHECK(mdb_txn_begin(lmdb, NULL, MDB_RDONLY, &t) == 0);
    for (size_t i = 0; i < count; i++) {
        MDB_val k = {32, stored[stored_from + (i * 7919) % (stored_count - stored_from)].bytes}, v;
        CHECK(mdb_get(t, lmdb_table, &k, &v) == 0 && v.mv_size == size);
        memcpy(back, v.mv_data, size);
        sink += back[0];
    }
    mdb_txn_abort(t);
}
#endif

#ifdef HAS_SQLITE
static sqlite3 *sqlite;
static sqlite3_stmt *insert_one, *select_one;

static void open_sqlite(void)
{
    remove(path_of("sqlite"));
    remove(path_of("sqlite-wal"));
    CHECK(sqlite3_open(path_of("sqlite"), &sqlite) == SQLITE_OK);
    CHECK(sqlite3_exec(sqlite, "PRAGMA journal_mode=WAL", NULL, NULL, NULL) == SQLITE_OK);
    CHECK(sqlite3_exec(sqlite, durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF", NULL, NULL, NULL) == SQLITE_OK);
    CHECK(sqlite3_exec(sqlite, "CREATE TABLE t(k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID", NULL, NULL, NULL) == SQLITE_OK);
    CHECK(sqlite3_prepare_v2(sqlite, "INSERT INTO t VALUES(?, ?)", -1, &insert_one, NULL) == SQLITE_OK);
    CHECK(sqlite3_prepare_v2(sqlite, "SELECT v FROM t WHERE k = ?", -1, &select_one, NULL) == SQLITE_OK);
}

static void put_sqlite(size_t size, size_t count)
{
    bool begun = false;
    for (size_t i = 1; i <= count; i++) {
        dx_cas_id id;
        const void *p = fresh(&id, size);
        if (!begun) CHECK(sqlite3_exec(sqlite, "BEGIN", NULL, NULL, NULL) == SQLITE_OK);
        begun = true;
        sqlite3_bind_blob(insert_one, 1, id.bytes, 32, SQLITE_STATIC);
        sqlite3_bind_blob(insert_one, 2, p, (int)size, SQLITE_STATIC);
        CHECK(sqlite3_step(insert_one) == SQLITE_DONE && sqlite3_reset(insert_one) == SQLITE_OK);
        stored[stored_count++ % STORED_MAX] = id;
        if (batch && i % batch == 0) {
            CHECK(sqlite3_exec(sqlite, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
            begun = false;
        }
    }
    if (begun) CHECK(sqlite3_exec(sqlite, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
}

static void get_sqlite(size_t size, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const dx_cas_id *id = &stored[stored_from + (i * 7919) % (stored_count - stored_from)];
        sqlite3_bind_blob(select_one, 1, id->bytes, 32, SQLITE_STATIC);
        CHECK(sqlite3_step(select_one) == SQLITE_ROW);
        memcpy(back, sqlite3_column_blob(select_one, 0), size);
        sink += back[0];
        sqlite3_reset(select_one);
    }
}
#endif

#ifdef HAS_ROCKSDB
static rocksdb_t *rocks;
static rocksdb_options_t *rocks_options;
static rocksdb_writeoptions_t *rocks_write;
static rocksdb_readoptions_t *rocks_read;

static void open_rocks(void)
{
    char *error = NULL;
    rocks_options = rocksdb_options_create();
    rocks_write = rocksdb_writeoptions_create();
    rocks_read = rocksdb_readoptions_create();
    rocksdb_options_set_create_if_missing(rocks_options, 1);
    rocksdb_options_set_compression(rocks_options, rocksdb_no_compression);
    rocksdb_writeoptions_set_sync(rocks_write, durable);
    rocksdb_destroy_db(rocks_options, path_of("rocksdb"), &error);
    error = NULL;
    rocks = rocksdb_open(rocks_options, path_of("rocksdb"), &error);
    CHECK(rocks && !error);
}

static void close_rocks(void)
{
    rocksdb_close(rocks);
    rocksdb_readoptions_destroy(rocks_read);
    rocksdb_writeoptions_destroy(rocks_write);
    rocksdb_options_destroy(rocks_options);
}

static void put_rocks(size_t size, size_t count)
{
    rocksdb_writebatch_t *puts = rocksdb_writebatch_create();
    for (size_t i = 1; i <= count; i++) {
        char *error = NULL;
        dx_cas_id id;
        const void *p = fresh(&id, size);
        stored[stored_count++ % STORED_MAX] = id;
        rocksdb_writebatch_put(puts, (const char *)id.bytes, 32, (const char *)p, size);
        if ((batch && i % batch == 0) || i % 64 == 0 || i == count) {
            rocksdb_write(rocks, rocks_write, puts, &error);
            CHECK(!error);
            rocksdb_writebatch_clear(puts);
        }
    }
    rocksdb_writebatch_destroy(puts);
}

static void get_rocks(size_t size, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const dx_cas_id *id = &stored[stored_from + (i * 7919) % (stored_count - stored_from)];
        char *error = NULL;
        rocksdb_pinnableslice_t *found = rocksdb_get_pinned(rocks, rocks_read, (const char *)id->bytes, 32, &error);
        size_t n = 0;
        const char *value = found ? rocksdb_pinnableslice_value(found, &n) : NULL;
        CHECK(value && !error && n == size);
        memcpy(back, value, size);
        sink += back[0];
        rocksdb_pinnableslice_destroy(found);
    }
}
#endif

/* A file for each object, as durable as the others: written, synced, renamed, its folder synced. */
static void put_files(size_t size, size_t count)
{
    char path[4096], temporary[4096], hex[65];
    for (size_t i = 0; i < count; i++) {
        dx_cas_id id;
        const void *p = fresh(&id, size);
        dx_cas_id_to_hex(&id, hex);
        snprintf(path, sizeof path, "%s/files/%s", folder, hex);
        snprintf(temporary, sizeof temporary, "%s/files/new", folder);
        int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        CHECK(fd >= 0 && write(fd, p, size) == (ssize_t)size);
        if (durable) CHECK(fdatasync(fd) == 0);
        close(fd);
        CHECK(rename(temporary, path) == 0);
        if (durable) CHECK(dx_cas_file_sync_folder(path) == DX_CAS_OK);
    }
}

/* The time of the device alone for the same bytes: overwrite existing ones, then fdatasync. */
static void put_device(size_t size, size_t count)
{
    static int fd = -1;
    if (fd < 0) {
        fd = open(path_of("device"), O_RDWR | O_CREAT | O_TRUNC, 0644);
        CHECK(fd >= 0);
        for (int i = 0; i < 64; i++) CHECK(pwrite(fd, data, 1 << 20, (off_t)i << 20) == 1 << 20);
        CHECK(fdatasync(fd) == 0);
    }
    for (size_t i = 0; i < count; i++) {
        CHECK(pwrite(fd, fresh(NULL, size), size, (off_t)(serial % 63) << 20) == (ssize_t)size);
        CHECK(fdatasync(fd) == 0);
    }
}

static void puts_of(size_t size, const char *how, double budget_ns)
{
    char what[96];
    subject s[SUBJECTS] = {{"dx_cas", put_dx}};
    size_t n = 1;
    if (durable) s[0].name = "dx_cas (one sync)", s[0].run = put_once, s[n].name = "dx_cas (two)", s[n++].run = put_dx;
    else s[n].name = "dx_cas (gathered)", s[n++].run = put_once;
#ifdef HAS_LMDB
    s[n].name = "LMDB", s[n++].run = put_lmdb;
#endif
#ifdef HAS_SQLITE
    s[n].name = "SQLite (WAL)", s[n++].run = put_sqlite;
#endif
#ifdef HAS_ROCKSDB
    s[n].name = "RocksDB", s[n++].run = put_rocks;
#endif
    if (batch == 1 || !durable) s[n].name = "a file each", s[n++].run = put_files;
    if (batch == 1) s[n].name = "overwrite and fdatasync", s[n++].run = put_device;
    snprintf(what, sizeof what, "put %zu B %s", size, how);
    measure(what, size, budget_ns, s);
}

/* The time of single commits of one put, subjects by turns: the middle one and the 99th of 100. */
static void latency_of(size_t size)
{
    enum { TURNS = 600 };
    static double times[SUBJECTS][TURNS];
    subject s[SUBJECTS] = {{"dx_cas (one sync)", put_once}, {"dx_cas (two)", put_dx}, {"overwrite and fdatasync", put_device}};
    size_t n = 3;
#ifdef HAS_LMDB
    s[n].name = "LMDB", s[n++].run = put_lmdb;
#endif
#ifdef HAS_SQLITE
    s[n].name = "SQLite (WAL)", s[n++].run = put_sqlite;
#endif
#ifdef HAS_ROCKSDB
    s[n].name = "RocksDB", s[n++].run = put_rocks;
#endif
    for (int turn = 0; turn < TURNS; turn++) {
        for (size_t i = 0; i < n; i++) {
            double start = now();
            s[i].run(size, 1);
            times[i][turn] = now() - start;
        }
    }
    for (size_t i = 0; i < n; i++) {
        qsort(times[i], TURNS, sizeof(double), by_value);
        printf("%s,put %zu B durable: p50 (and p99) of %d,%.1f,%.1f,%.1f\n", s[i].name, size, TURNS, times[i][TURNS / 2],
               times[i][TURNS * 99 / 100], (double)size / times[i][TURNS / 2] * 1000);
    }
}

typedef void run_fn(size_t size, size_t count);
static void gets_from(const char *name, run_fn *put, run_fn *get, size_t size)
{
    char what[96];
    const subject one[] = {{name, get}, {NULL, NULL}};
    snprintf(what, sizeof what, "get %zu B warm", size);
    stored_from = stored_count = 0;
    put(size, size > 100000 ? 20 : 2000);
    measure(what, size, 2e7, one);
}

static void gets_of(size_t size)
{
    gets_from("dx_cas (hash checked)", put_dx, get_dx, size);
    gets_from("dx_cas (mapped; hash checked)", map_store, get_dx, size);
    unmap_store();
#ifdef HAS_LMDB
    gets_from("LMDB", put_lmdb, get_lmdb, size);
#endif
#ifdef HAS_SQLITE
    gets_from("SQLite (WAL)", put_sqlite, get_sqlite, size);
#endif
#ifdef HAS_ROCKSDB
    gets_from("RocksDB", put_rocks, get_rocks, size);
#endif
}

static void open_all(bool sync)
{
    durable = sync;
    open_dx(&store, &store_file, "dx", DX_CAS_FULL);
    open_dx(&once, &once_file, "once", DX_CAS_FULL_ONCE);
#ifdef HAS_LMDB
    open_lmdb();
#endif
#ifdef HAS_SQLITE
    open_sqlite();
#endif
#ifdef HAS_ROCKSDB
    open_rocks();
#endif
}

static void close_dx(dx_cas_store *s, dx_cas_file *file)
{
    void *memory = s->desc_.memory;
    dx_cas_close(s);
    dx_cas_file_close(file);
    free(memory);
}

static void close_all(void)
{
    close_dx(&store, &store_file);
    close_dx(&once, &once_file);
#ifdef HAS_LMDB
    mdb_env_close(lmdb);
#endif
#ifdef HAS_SQLITE
    sqlite3_finalize(insert_one);
    sqlite3_finalize(select_one);
    sqlite3_close(sqlite);
#endif
#ifdef HAS_ROCKSDB
    close_rocks();
#endif
}

int main(int argc, char **argv)
{
    char files[4096];
    snprintf(folder, sizeof folder, "%s", argc > 1 ? argv[1] : ".");
    snprintf(files, sizeof files, "mkdir -p '%s/files'", folder);
    CHECK(system(files) == 0);
    data = (unsigned char *)malloc(LARGEST);
    back = (unsigned char *)malloc(4 << 20);
    stored = (dx_cas_id *)malloc(STORED_MAX * sizeof *stored);
    fill(data, LARGEST, 1);
    load_official();
    puts("subject,case,median_ns,least_ns,MB_s");
    hashes();
    others();
    clock_id = CLOCK_MONOTONIC;
    open_all(true);
    batch = 1;
    latency_of(1024);
    latency_of(16384);
    puts_of(1024, "durable", 1e8);
    puts_of(16384, "durable", 1e8);
    puts_of(1 << 20, "durable", 2e8);
    batch = 64;
    puts_of(1024, "durable 64 in a commit", 1e8);
    close_all();
    open_all(false);
    batch = 0;
    puts_of(1024, "not durable", 2e7);
    puts_of(16384, "not durable", 2e7);
    puts_of(1 << 20, "not durable", 1e8);
    clock_id = CLOCK_PROCESS_CPUTIME_ID;
    gets_of(1024);
    gets_of(16384);
    gets_of(1 << 20);
    close_all();
    return 0;
}
