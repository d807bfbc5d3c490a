/* Tests of programs/versions/tree/stat_cache.c, the cache of seen files: publishes one after another, against a
   model. Runs of rows are short, so that few files make several. */
#define _GNU_SOURCE
#define VERSIONS_RUN_ROWS 8
#define DX_CAS_IMPLEMENTATION
#define DX_TREE_IMPLEMENTATION
#include "../../dx_cas.h"
#include "../../layers/dx_tree.h"
#include "../../programs/common/os_posix.c"
#include "../../programs/common/base.c"
#include "../../programs/common/line.c"
#include "../../programs/common/message.c"
#include "../../programs/versions/tree/stat_cache.c"

#define DX_TEST_MAIN
#include "../dx_test.h"

/* Lists are of pulls. */
bool versions_object_has(versions_store *s, const uint8_t id[32], uint64_t size)
{
    (void)s;
    (void)id;
    (void)size;
    return false;
}

int versions_object_get(versions_store *s, const uint8_t id[32], void *out, size_t capacity, size_t *size)
{
    (void)s;
    (void)id;
    (void)out;
    (void)capacity;
    *size = 0;
    return PROG_NOT_FOUND;
}

enum { FILES = 300 };

static void expect(versions_stat_cache *s, const versions_stat_file *f, bool known)
{
    versions_stat_file found = *f;
    memset(found.id, 0, sizeof found.id);
    DX_CHECK_EQ(versions_stat_cache_find(s, &found), known);
    if (known) DX_CHECK(!memcmp(found.id, f->id, sizeof f->id));
    found = *f;
    found.ctime_ns++;
    DX_CHECK(!versions_stat_cache_find(s, &found));
}

static void forget(const char *folder)
{
    versions_stat_cache *s = versions_stat_cache_open(folder, "name");
    (void)unlink(s->path);
    versions_stat_cache_close(s);
}

/* Every publish finds just the files of the last one that were not changed too recently. Some stay, some change,
   come or go; a file that is mounted twice is added twice. */
DX_PROPERTY(seen_files_are_those_of_the_last_publish, 20)
{
    static versions_stat_file files[FILES];
    static bool there[FILES], known[FILES];
    char folder[64];
    uint8_t root[32] = {1};
    snprintf(folder, sizeof folder, "/tmp/dx-seen-%d", (int)getpid());
    if (mkdir(folder, 0700) == 0 || errno == EEXIST) forget(folder); /* of a run that failed */
    memset(known, 0, sizeof known);
    memset(files, 0, sizeof files);
    const uint64_t first = dx_choose(c, 1) ? UINT64_C(0xfffffffffffffe00) : dx_choose(c, 70000);
    const size_t count = 1 + (size_t)dx_choose(c, FILES - 1);
    for (size_t i = 0; i < count; i++)
        files[i] = (versions_stat_file){.inode = first + i * 7 % FILES, .device = 5 + i % 2, .size = i};
    for (int turn = 0; turn < 4; turn++) {
        versions_stat_cache *s = versions_stat_cache_open(folder, "name");
        size_t rows = 0;
        for (size_t i = 0; i < count; i++) {
            expect(s, &files[i], known[i]);
            there[i] = dx_choose(c, 7) != 0;
            const bool fresh = !known[i] || !dx_choose(c, 3), racy = fresh && !dx_choose(c, 5);
            if (fresh) files[i].mtime_ns = files[i].ctime_ns = (turn + 1) * INT64_C(10000000000) + (int64_t)i;
            for (size_t k = 0; fresh && k < 32; k++) files[i].id[k] = (uint8_t)(i + k + (size_t)turn);
            known[i] = there[i] && !racy;
            for (int twice = 0; there[i] && twice <= (i % 50 == 3); twice++)
                versions_stat_cache_add(s, &files[i], files[i].ctime_ns + (racy ? 1 : RACY_NS + 1), fresh);
            rows += known[i];
        }
        root[0] = (uint8_t)turn;
        versions_stat_cache_save(s, root);
        versions_stat_cache_close(s);
        s = versions_stat_cache_open(folder, "name");
        DX_CHECK_EQ(versions_stat_cache_is_of(s, root), rows > 0);
        DX_CHECK_EQ(versions_stat_cache_any(s), rows > 0);
        for (size_t i = 0; i < count; i++) expect(s, &files[i], known[i]);
        versions_stat_cache_close(s);
    }
    forget(folder);
    DX_CHECK_EQ(rmdir(folder), 0);
}
