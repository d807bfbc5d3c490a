/* Tests of dx_cas.h that mutants called for: the file device with unusual descriptors and errors; which bytes are a record; where
   damage is reported; a store that changes while a reader opens it. */
#define _GNU_SOURCE
#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#include "../../layers/dx_devices.h"
#define DX_TEST_MAIN
#include "../dx_test.h"
#include <sys/syscall.h>
#include <sys/wait.h>

static const char *temp_path(const char *name)
{
    static char path[256];
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/dx_cas_more_%d_%s", folder ? folder : "/tmp", (int)getpid(), name);
    return path;
}

/* Without standard input, the file gets descriptor 0, which is valid, whatever errno says. */
DX_TEST(ca_file_device_with_descriptor_0)
{
    dx_cas_file f;
    const char *path = temp_path("zero");
    int status;
    DX_CHECK_EQ(dx_cas_file_open(&f, path, DX_CAS_WRITE | DX_CAS_CREATE), DX_CAS_OK);
    dx_cas_file_close(&f);
    pid_t child = fork();
    if (child == 0) {
        int bad = 0;
        uint8_t byte = 7;
        size_t got = 0;
        close(0);
        errno = ENOENT;
        bad |= dx_cas_file_open(&f, path, DX_CAS_WRITE | DX_CAS_CREATE) != DX_CAS_OK || f.handle_ != 0;
        dx_cas_device d = dx_cas_file_device(&f);
        bad |= bad || d.write(d.user, 0, &byte, 1) != DX_CAS_OK;
        bad |= bad || d.read(d.user, 0, &byte, 1, &got) != DX_CAS_OK || got != 1;
        dx_cas_file_close(&f);
        bad |= open("/dev/null", O_RDONLY) != 0; /* it was closed */
        errno = ENOENT;
        close(0);
        bad |= dx_cas_file_open(&f, path, DX_CAS_READ) != DX_CAS_OK || f.handle_ != 0;
        _exit(bad);
    }
    DX_CHECK_EQ(waitpid(child, &status, 0), child);
    unlink(path);
    DX_CHECK_EQ(status, 0);
}

/* A permanent error is reported, not retried. */
DX_TEST(ca_file_device_reports_what_the_system_refuses)
{
    dx_cas_file f;
    uint8_t byte = 1;
    uint64_t size;
    size_t got;
    memset(&f, 0, sizeof f);
    f.handle_ = open("/", O_RDONLY);
    DX_CHECK(f.handle_ >= 0);
    dx_cas_device d = dx_cas_file_device(&f);
    DX_CHECK_EQ(d.read(d.user, 0, &byte, 1, &got), DX_CAS_ESYS);
    DX_CHECK_EQ(f.system_error, EISDIR);
    DX_CHECK_EQ(d.write(d.user, 0, &byte, 1), DX_CAS_ESYS);
    DX_CHECK_EQ(f.system_error, EBADF);
    DX_CHECK_EQ(d.truncate(d.user, 0), DX_CAS_ESYS);
    dx_cas_file_close(&f);
    int ends[2];
    DX_CHECK_EQ(pipe(ends), 0);
    f.handle_ = ends[0];
    d = dx_cas_file_device(&f);
    DX_CHECK_EQ(d.size(d.user, &size), DX_CAS_ESYS);
    DX_CHECK_EQ(size, 0);
    DX_CHECK_EQ(d.sync(d.user), DX_CAS_ESYS);
    dx_cas_file_close(&f);
    close(ends[1]);
    DX_CHECK_EQ(dx_cas_file_open(NULL, "/", DX_CAS_READ), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_cas_file_open(&f, NULL, DX_CAS_READ), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_cas_file_open(&f, "/", DX_CAS_WRITE), DX_CAS_ESYS);
    DX_CHECK_EQ(f.handle_, (intptr_t)-1);
    DX_CHECK_EQ(dx_cas_file_sync_folder("/nowhere/at/all"), DX_CAS_ESYS);
    DX_CHECK_EQ(dx_cas_file_sync_folder("no_folder_in_front"), DX_CAS_OK);
}

/* A sync that the system refuses. Some file systems cannot sync a directory and fail with EINVAL: their entries need no sync. */
static int sync_error;
int fdatasync(int fd)
{
    if (!sync_error) return (int)syscall(SYS_fdatasync, fd);
    errno = sync_error;
    return -1;
}

DX_TEST(ca_file_device_reports_a_sync_that_fails)
{
    dx_cas_file f;
    const char *path = temp_path("sync");
    DX_CHECK_EQ(dx_cas_file_open(&f, path, DX_CAS_WRITE | DX_CAS_CREATE), DX_CAS_OK);
    dx_cas_device d = dx_cas_file_device(&f);
    static const int errors[] = {EIO, ENOSPC, EINVAL};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        sync_error = errors[i];
        DX_CHECK_EQ(d.sync(d.user), errors[i] == ENOSPC ? DX_CAS_ENOSPACE : DX_CAS_ESYS);
        DX_CHECK_EQ(f.system_error, errors[i]);
        DX_CHECK_EQ(dx_cas_file_sync_folder(path), errors[i] == EINVAL ? DX_CAS_OK : DX_CAS_ESYS);
    }
    sync_error = 0;
    DX_CHECK_EQ(d.sync(d.user), DX_CAS_OK);
    DX_CHECK_EQ(dx_cas_file_sync_folder(path), DX_CAS_OK);
    dx_cas_file_close(&f);
    DX_CHECK_EQ(unlink(path), 0);
}

/* Partial writes, which the system may make: here at most write_max bytes each. */
static size_t write_max = SIZE_MAX;
ssize_t pwrite64(int fd, const void *in, size_t n, off64_t at)
{
    if (lseek64(fd, at, SEEK_SET) < 0) return -1;
    return write(fd, in, n < write_max ? n : write_max);
}

DX_TEST(ca_file_device_goes_on_where_a_write_ended)
{
    dx_cas_file f;
    uint8_t bytes[1000], out[1000];
    size_t got;
    const char *path = temp_path("parts");
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 7);
    DX_CHECK_EQ(dx_cas_file_open(&f, path, DX_CAS_WRITE | DX_CAS_CREATE), DX_CAS_OK);
    dx_cas_device d = dx_cas_file_device(&f);
    write_max = 300;
    DX_CHECK_EQ(d.write(d.user, 10, bytes, sizeof bytes), DX_CAS_OK);
    write_max = SIZE_MAX;
    DX_CHECK_EQ(d.read(d.user, 10, out, sizeof out, &got), DX_CAS_OK);
    DX_CHECK_EQ(got, sizeof out);
    DX_CHECK_MEM(out, bytes, sizeof bytes);
    dx_cas_file_close(&f);
    DX_CHECK_EQ(unlink(path), 0);
}

/* A store that is collected between open and lock: the file that the path now names is opened. */
static const char *renamed_from, *renamed_to;
int flock(int fd, int operation)
{
    if (renamed_from) DX_CHECK_EQ(rename(renamed_from, renamed_to), 0);
    renamed_from = NULL;
    return (int)syscall(SYS_flock, fd, operation);
}

DX_TEST(ca_the_file_that_is_locked_is_the_one_at_its_path)
{
    dx_cas_file f;
    dx_cas_device d = dx_cas_file_device(&f);
    char path[300], next[300];
    uint8_t byte = 1;
    size_t got;
    snprintf(path, sizeof path, "%s", temp_path("locked"));
    snprintf(next, sizeof next, "%s", temp_path("next"));
    for (; byte < 3; byte++) {
        DX_CHECK_EQ(dx_cas_file_open(&f, byte == 1 ? path : next, DX_CAS_WRITE | DX_CAS_CREATE), DX_CAS_OK);
        DX_CHECK_EQ(d.write(d.user, 0, &byte, 1), DX_CAS_OK);
        dx_cas_file_close(&f);
    }
    renamed_to = path;
    renamed_from = next;
    DX_CHECK_EQ(dx_cas_file_open(&f, path, DX_CAS_WRITE), DX_CAS_OK);
    DX_CHECK_EQ(d.read(d.user, 0, &byte, 1, &got), DX_CAS_OK);
    DX_CHECK_EQ(byte, 2);
    dx_cas_file_close(&f);
    DX_CHECK_EQ(unlink(path), 0);
}

/* If a path no longer resolves because it is gone, the file does not count as moved; if something else blocks the path, it
   does. */
DX_TEST(ca_a_file_is_moved_when_its_path_cannot_be_followed)
{
    dx_cas_file f;
    char path[300], below[320];
    snprintf(path, sizeof path, "%s", temp_path("moved"));
    snprintf(below, sizeof below, "%s/file", path);
    DX_CHECK_EQ(mkdir(path, 0700), 0);
    DX_CHECK_EQ(dx_cas_file_open(&f, below, DX_CAS_WRITE | DX_CAS_CREATE), DX_CAS_OK);
    DX_CHECK(!dx_cas_file_moved(&f, below));
    DX_CHECK_EQ(unlink(below), 0);
    DX_CHECK(!dx_cas_file_moved(&f, below));
    DX_CHECK_EQ(rmdir(path), 0);
    int other = open(path, O_CREAT | O_WRONLY, 0600);
    DX_CHECK(other >= 0);
    DX_CHECK(dx_cas_file_moved(&f, below)); /* ENOTDIR */
    close(other);
    DX_CHECK_EQ(unlink(path), 0);
    dx_cas_file_close(&f);
}

/* >>which bytes are a record ---------------------------------------------- */
#define OK(call) DX_CHECK_EQ(call, DX_CAS_OK)

static uint8_t disk[16384];
static uint64_t work[8192];
static dx_devices_memory memory;

static dx_cas_desc describe(dx_cas_device device, uint32_t mode)
{
    dx_cas_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.device = device;
    desc.mode = mode;
    desc.memory = work;
    desc.memory_size = sizeof work;
    desc.durability = DX_CAS_FULL;
    return desc;
}

static int open_store(dx_cas_store *s, uint32_t mode)
{
    dx_cas_desc desc = describe(dx_devices_memory_device(&memory), mode);
    return dx_cas_open(s, &desc);
}

static void create(dx_cas_store *s, uint32_t durability)
{
    dx_devices_memory fresh = {disk, sizeof disk, 0};
    memset(disk, 0, sizeof disk);
    memory = fresh;
    dx_cas_desc desc = describe(dx_devices_memory_device(&memory), DX_CAS_WRITE | DX_CAS_CREATE);
    desc.durability = durability;
    OK(dx_cas_open(s, &desc));
}

/* docs/formats/cas.md: the minimum and the maximum of each field; a value beyond is no record, even with a valid CRC. */
typedef struct header {
    uint32_t type, codec, flags;
    uint64_t stored, logical;
    int      plain, once; /* in a store without; in one with the marks of single-sync commits */
} header;

#define BAD DX_CAS_ECORRUPT
#define LARGE ((uint64_t)1 << 48)

DX_TEST(ca_each_field_of_a_record_header_at_its_limits)
{
    static const header headers[] = {
        {1, 0, 0, 0, 0, 0, 0}, {1, 0, 0, 1, 0, BAD, BAD}, {1, 0, 0, 0, 1, BAD, BAD}, {1, 0, 1, 0, 0, BAD, BAD},
        {1, 0, 0x100, 0, 0, BAD, BAD}, {1, 255, 0, 0, 0, 0, 0}, {1, 255, 0, 5, LARGE, 0, 0}, {1, 255, 0, 5, LARGE + 1, BAD, BAD},
        {1, 1, 0, 5, LARGE, 0, 0}, {1, 1, 0, 5, UINT64_MAX, BAD, BAD}, {1, 1, 1, 5, 5, BAD, BAD},
        {1, 0, 0, LARGE - 192, LARGE - 192, 0, 0}, {1, 0, 0, LARGE - 191, LARGE - 191, BAD, BAD},
        {1, 0, 0, LARGE, LARGE, BAD, BAD}, {1, 0, 0, LARGE + 1, LARGE + 1, BAD, BAD}, {1, 0, 0, UINT64_MAX, UINT64_MAX, BAD, BAD},
        {1, 0, 0, UINT64_MAX - 191, UINT64_MAX - 191, BAD, BAD}, /* its end is at 0 */
        {2, 0, 1, 56, 56, 0, 0}, {2, 0, 8, 56, 56, 0, 0}, {2, 0, 0, 56, 56, BAD, BAD}, {2, 0, 9, 56, 56, BAD, BAD},
        {2, 0, 0x101, 56, 56, BAD, BAD}, {2, 1, 1, 56, 56, BAD, BAD}, {2, 0, 1, 20496, 20496, 0, 0},
        {2, 0, 1, 20497, 20497, BAD, BAD}, {2, 0, 1, 56, 57, BAD, BAD},
        {3, 0, 0, 113, 113, 0, 0}, {3, 0, 0, 112, 112, BAD, BAD}, {3, 0, 0, 431, 431, 0, 0}, {3, 0, 0, 432, 432, BAD, BAD},
        {3, 0, 1, 113, 113, BAD, BAD}, {3, 0, 0x100, 113, 113, BAD, BAD}, {3, 1, 0, 113, 113, BAD, BAD}, {3, 0, 0, 113, 112, BAD, BAD},
        {4, 0, 1, 0, 0, 0, 0}, {4, 0, 1, 0, UINT64_MAX, 0, 0}, {4, 0, 2, 0, 7, 0, 0}, {4, 0, 0, 0, 7, BAD, BAD},
        {4, 0, 3, 0, 7, BAD, BAD}, {4, 0, 1, 1, 7, BAD, BAD}, {4, 1, 1, 0, 7, BAD, BAD},
        {4, 0, 0x101, 0, 7, 0, 0}, {4, 0, 0x102, 0, 7, 0, 0}, {4, 0, 0x103, 0, 7, BAD, BAD}, /* retired */
        {4, 0, 0x201, 0, 7, BAD, 0}, {4, 0, 0x401, 0, 7, BAD, BAD}, {4, 0, 0x601, 0, 7, BAD, 0}, {4, 0, 0x801, 0, 7, BAD, 0},
        {4, 0, 0xf02, 0, 7, BAD, 0}, {4, 0, 0x1001, 0, 7, BAD, BAD}, {4, 0, 0x8001, 0, 7, BAD, BAD},
        {0, 0, 0, 0, 0, DX_CAS_EVERSION, DX_CAS_EVERSION}, {5, 0, 0, 0, 0, DX_CAS_EVERSION, DX_CAS_EVERSION},
        {255, 0, 0, 0, 0, DX_CAS_EVERSION, DX_CAS_EVERSION},
    };
    for (int once = 0; once < 2; once++) {
        dx_cas_store s;
        create(&s, once ? DX_CAS_FULL_ONCE : DX_CAS_FULL);
        for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
            const header *h = &headers[i];
            dx_cas_ext_record r, back;
            memset(&r, 0, sizeof r);
            r.place = 128;
            r.type = h->type;
            r.codec = h->codec;
            r.flags = h->flags;
            r.stored = h->stored;
            r.logical = h->logical;
            dx_cas_ext_record_encode(&s.form_, &r);
            int error = dx_cas_ext_record_decode(&s.form_, r.place, r.head, &back);
            if (error != (once ? h->once : h->plain)) printf("     header %zu, once %d\n", i, once);
            DX_CHECK_EQ(error, once ? h->once : h->plain);
            if (error) continue;
            DX_CHECK_EQ(back.place, 128);
            uint64_t end = 128 + (h->type < 4 ? 64 + h->stored : (h->flags & 255) == 2 ? 64u : 128u);
            DX_CHECK_EQ(back.next, (end + 7) / 8 * 8);
            DX_CHECK_EQ(dx_cas_ext_record_decode(&s.form_, r.place + 8, r.head, &back), BAD); /* a copy at another offset */
        }
        dx_cas_close(&s);
    }
}

/* >>where damage was found --------------------------------------------------- */
/* Three commits of one object each; places[k] is the offset of commit k. */
static void three_commits(dx_cas_store *s, uint64_t places[3], uint64_t ends[3], dx_cas_id ids[3])
{
    create(s, DX_CAS_FULL);
    for (unsigned k = 0; k < 3; k++) {
        uint8_t bytes[10] = {(uint8_t)k};
        places[k] = s->end_;
        OK(dx_cas_put(s, bytes, sizeof bytes, &ids[k]));
        OK(dx_cas_commit(s));
        ends[k] = s->end_;
    }
    dx_cas_close(s);
}

DX_TEST(ca_the_first_damage_is_the_one_reported)
{
    dx_cas_store s;
    dx_cas_stats stats;
    dx_cas_id ids[3];
    uint64_t places[3], ends[3];
    three_commits(&s, places, ends, ids);
    OK(open_store(&s, DX_CAS_READ));
    DX_CHECK_EQ(dx_cas_damage_offset(&s), UINT64_MAX); /* no damage */
    dx_cas_close(&s);
    for (unsigned mask = 1; mask < 8; mask++) {
        unsigned first = mask & 1 ? 0 : mask & 2 ? 1 : 2, count = 0;
        for (unsigned k = 0; k < 3; k++) {
            if (!(mask >> k & 1)) continue;
            disk[places[k] + 30] ^= 1; /* its header */
            count++;
        }
        DX_CHECK_EQ(open_store(&s, DX_CAS_READ), DX_CAS_ECORRUPT);
        DX_CHECK_EQ(dx_cas_damage_offset(&s), places[first]);
        OK(open_store(&s, DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE));
        DX_CHECK_EQ(dx_cas_damage_offset(&s), places[first]);
        dx_cas_get_stats(&s, &stats);
        DX_CHECK_EQ(stats.damaged_places, count);
        DX_CHECK_EQ(stats.commits, 3);
        for (unsigned k = 0; k < 3; k++) DX_CHECK_EQ(dx_cas_has(&s, &ids[k]), mask >> k & 1 ? DX_CAS_ENOTFOUND : DX_CAS_OK);
        dx_cas_close(&s);

        /* the same for a reader that sees one commit after the other */
        memory.size = (size_t)ends[0];
        OK(open_store(&s, DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE));
        for (unsigned k = 0; k < 3; k++) {
            memory.size = (size_t)ends[k];
            OK(dx_cas_refresh(&s));
            unsigned seen = mask & ((2u << k) - 1);
            dx_cas_get_stats(&s, &stats);
            DX_CHECK_EQ(stats.commits, k + 1);
            DX_CHECK_EQ(stats.damaged_places, (seen & 1) + (seen >> 1 & 1) + (seen >> 2));
            DX_CHECK_EQ(dx_cas_damage_offset(&s), seen ? places[first] : UINT64_MAX);
        }
        dx_cas_close(&s);

        /* a reader that does not accept it keeps its state */
        if (!(mask & 1)) {
            memory.size = (size_t)ends[0];
            OK(open_store(&s, DX_CAS_READ));
            memory.size = (size_t)ends[2];
            for (int again = 0; again < 2; again++) {
                DX_CHECK_EQ(dx_cas_refresh(&s), DX_CAS_ECORRUPT);
                DX_CHECK_EQ(dx_cas_damage_offset(&s), places[first]);
            }
            dx_cas_get_stats(&s, &stats);
            DX_CHECK_EQ(stats.commits, 1);
            OK(dx_cas_has(&s, &ids[0]));
            DX_CHECK_EQ(dx_cas_has(&s, &ids[2]), DX_CAS_ENOTFOUND);
            dx_cas_close(&s);
        }
        for (unsigned k = 0; k < 3; k++) {
            if (mask >> k & 1) disk[places[k] + 30] ^= 1;
        }
    }
}

/* docs/formats/cas.md: records are aligned to 2^3 to 2^12 bytes; a header with another alignment is invalid. */
DX_TEST(ca_the_alignment_of_a_store_header_at_its_limits)
{
    for (unsigned shift = 0; shift < 256; shift++) {
        dx_cas_store s;
        dx_cas_desc desc;
        dx_devices_memory fresh = {disk, sizeof disk, 0};
        memset(disk, 0, sizeof disk);
        memory = fresh;
        desc = describe(dx_devices_memory_device(&memory), DX_CAS_WRITE | DX_CAS_CREATE);
        desc.align = shift >= 3 && shift <= 12 ? 1u << shift : 8;
        OK(dx_cas_open(&s, &desc));
        OK(dx_cas_put(&s, "object", 6, NULL));
        OK(dx_cas_commit(&s));
        dx_cas_close(&s);
        for (unsigned copy = 0; copy < 2; copy++) {
            uint8_t *head = disk + 64 * copy;
            head[11] = (uint8_t)shift;
            dx_cas_p_store32(head + 60, dx_cas_p_crc32c(0, head, 60));
        }
        DX_CHECK_EQ(open_store(&s, DX_CAS_READ), shift >= 3 && shift <= 12 ? DX_CAS_OK : DX_CAS_ECORRUPT);
        dx_cas_close(&s);
    }
}

/* Bytes that another program left after the last commit are no damage, whatever they are: a record, zeros, letters. */
DX_TEST(ca_what_follows_the_last_commit_is_no_damage)
{
    for (int kind = 0; kind < 4; kind++) {
        dx_cas_store s;
        dx_cas_stats stats;
        dx_cas_id ids[3], loose;
        uint64_t places[3], ends[3];
        three_commits(&s, places, ends, ids);
        OK(open_store(&s, DX_CAS_WRITE));
        OK(dx_cas_put(&s, "not committed", 13, &loose));
        dx_cas_close(&s);
        if (kind == 1 || kind == 2) memory.size = (size_t)ends[2] + 64;
        if (kind == 1) memset(disk + ends[2], 0, 64);
        if (kind == 2) memset(disk + ends[2], 'x', 64);
        if (kind == 3) disk[ends[2] + 64 + 5] ^= 1; /* the payload of an uncommitted record */
        for (int mode = 0; mode < 2; mode++) {
            OK(open_store(&s, mode ? DX_CAS_WRITE : DX_CAS_READ));
            dx_cas_get_stats(&s, &stats);
            DX_CHECK_EQ(stats.commits, 3);
            DX_CHECK_EQ(stats.objects, 3);
            DX_CHECK_EQ(stats.damaged_places, 0);
            DX_CHECK_EQ(dx_cas_damage_offset(&s), UINT64_MAX);
            DX_CHECK_EQ(dx_cas_has(&s, &loose), DX_CAS_ENOTFOUND);
            OK(dx_cas_verify(&s, NULL, NULL, NULL));
            dx_cas_close(&s);
        }
    }
}

/* >>a store that changes while it is read ---------------------------------- */
/* At read number `when` a writer takes back its last commit, which could not be synced, and writes other records there. */
static struct { long reads, when; size_t size, before; const uint8_t *other; } change;

static int changing_read(void *user, uint64_t offset, void *out, size_t size, size_t *got)
{
    dx_cas_device d = dx_devices_memory_device((dx_devices_memory *)user);
    if (++change.reads == change.when) {
        memset(disk + change.before, 0, sizeof disk - change.before);
        memcpy(disk, change.other, change.size);
        memory.size = change.size;
    }
    return d.read(d.user, offset, out, size, got);
}

DX_TEST(ca_a_commit_that_is_taken_back_while_a_reader_opens)
{
    static uint8_t first[sizeof disk], second[sizeof disk];
    unsigned again = 0, opened[4] = {0, 0, 0, 0};
    dx_cas_store s;
    dx_cas_stats stats;
    dx_cas_id ids[3], more[2];
    uint64_t places[3], ends[3];
    three_commits(&s, places, ends, ids);
    /* first: three commits, then two objects; second: two commits and those objects, at another offset */
    OK(open_store(&s, DX_CAS_WRITE));
    OK(dx_cas_put(&s, "a", 1, &more[0]));
    OK(dx_cas_put(&s, "bb", 2, &more[1]));
    size_t first_size = memory.size;
    memcpy(first, disk, sizeof disk);
    dx_cas_close(&s);
    memory.size = (size_t)ends[1];
    memset(disk + ends[1], 0, sizeof disk - ends[1]);
    OK(open_store(&s, DX_CAS_WRITE));
    OK(dx_cas_put(&s, "bb", 2, &more[1]));
    OK(dx_cas_put(&s, "a", 1, &more[0]));
    size_t second_size = memory.size;
    memcpy(second, disk, sizeof disk);
    dx_cas_close(&s);
    for (change.when = 1;; change.when++) {
        memcpy(disk, first, sizeof disk);
        memory.size = first_size;
        change.reads = 0;
        change.before = (size_t)ends[1];
        change.other = second;
        change.size = second_size;
        dx_cas_device device = dx_devices_memory_device(&memory);
        device.read = changing_read;
        dx_cas_desc desc = describe(device, DX_CAS_READ);
        int error = dx_cas_open(&s, &desc);
        if (change.reads < change.when) break;
        DX_CHECK(error == DX_CAS_OK || error == DX_CAS_EAGAIN);
        again += error == DX_CAS_EAGAIN;
        if (error) continue;
        dx_cas_get_stats(&s, &stats);
        DX_CHECK(stats.commits == 2 || stats.commits == 3);
        DX_CHECK_EQ(stats.objects, stats.commits); /* never data that no commit covers */
        DX_CHECK_EQ(dx_cas_has(&s, &more[0]), DX_CAS_ENOTFOUND);
        DX_CHECK_EQ(dx_cas_has(&s, &more[1]), DX_CAS_ENOTFOUND);
        opened[stats.commits]++;
        dx_cas_close(&s);
    }
    DX_CHECK(again > 0);
    (void)opened;
}

/* >>names ------------------------------------------------------------------ */
static long failing_reads, failing_when;

static int failing_read(void *user, uint64_t offset, void *out, size_t size, size_t *got)
{
    dx_cas_device d = dx_devices_memory_device((dx_devices_memory *)user);
    *got = 0;
    if (++failing_reads == failing_when) return DX_CAS_ESYS;
    return d.read(d.user, offset, out, size, got);
}

/* An unreachable version is searched for in the whole log. An object is not a name, whatever its bytes are. */
DX_TEST(ca_an_object_that_looks_like_a_name_is_none)
{
    dx_cas_store s;
    dx_cas_p_ref fake;
    dx_cas_ref r, back;
    dx_cas_id roots[3], forged;
    uint8_t payload[512];
    uint64_t places[3];
    create(&s, DX_CAS_FULL);
    OK(dx_cas_put(&s, "forged", 6, &forged));
    memset(&fake, 0, sizeof fake);
    fake.op = DX_CAS_EXT_SET;
    strcpy(fake.ref.name, "a");
    fake.ref.version = fake.ref.oldest = 1;
    fake.ref.size = 6;
    fake.ref.root = forged;
    OK(dx_cas_put(&s, payload, dx_cas_p_encode_ref(&fake, payload), NULL));
    for (unsigned k = 0; k < 3; k++) {
        OK(dx_cas_put(&s, &k, sizeof k, &roots[k]));
        memset(&r, 0, sizeof r);
        strcpy(r.name, "a");
        r.root = roots[k];
        r.size = sizeof k;
        places[k] = s.end_;
        OK(dx_cas_ref_set(&s, &r, DX_CAS_ANY_VERSION, NULL));
    }
    OK(dx_cas_commit(&s));
    dx_cas_close(&s);
    dx_cas_device device = dx_devices_memory_device(&memory);
    device.read = failing_read;
    dx_cas_desc desc = describe(device, DX_CAS_READ);
    failing_when = 0;
    OK(dx_cas_open(&s, &desc));
    disk[places[1] + 64 + 40] ^= 1; /* the link from 3 to 1 */
    OK(dx_cas_ref_get(&s, "a", 3, &back));
    OK(dx_cas_ref_get(&s, "a", 1, &back));
    DX_CHECK_EQ(back.version, 1);
    DX_CHECK(dx_cas_id_equal(&back.root, &roots[0]));
    DX_CHECK_EQ(dx_cas_ref_get(&s, "a", 2, &back), DX_CAS_ECORRUPT);
    DX_CHECK_EQ(dx_cas_damage_offset(&s), places[1]);
    /* a device error on the way is passed on, unless another way leads there */
    long passed = 0;
    for (failing_when = 1;; failing_when++) {
        failing_reads = 0;
        int error = dx_cas_ref_get(&s, "a", 1, &back);
        if (failing_reads < failing_when) break;
        DX_CHECK(error == DX_CAS_ESYS || (error == DX_CAS_OK && dx_cas_id_equal(&back.root, &roots[0])));
        passed += error == DX_CAS_ESYS;
    }
    DX_CHECK(passed > 5);
    dx_cas_close(&s);
}

/* No store, a closed store, or no memory for an argument or a result: DX_CAS_EINVAL, and nothing is changed. */
DX_TEST(ca_calls_without_a_store_or_a_place)
{
    dx_cas_store s;
    dx_cas_id id;
    dx_cas_ref r;
    uint8_t out[8];
    uint64_t size;
    size_t got;
    create(&s, DX_CAS_FULL);
    OK(dx_cas_put(&s, NULL, 0, &id)); /* an empty object needs no bytes */
    DX_CHECK_EQ(dx_cas_put(&s, NULL, 1, &id), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_cas_get(&s, NULL, out, sizeof out, &got), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_cas_get(&s, &id, NULL, 1, &got), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_cas_has(&s, NULL), DX_CAS_EINVAL);
    OK(dx_cas_commit(&s));
    for (int closed = 0; closed < 2; closed++) {
        dx_cas_store *none = closed ? &s : NULL;
        if (closed) dx_cas_close(&s);
        DX_CHECK_EQ(dx_cas_put(none, "x", 1, &id), DX_CAS_EINVAL);
        DX_CHECK_EQ(dx_cas_get(none, &id, out, sizeof out, &got), DX_CAS_EINVAL);
        DX_CHECK_EQ(dx_cas_has(none, &id), DX_CAS_EINVAL);
        DX_CHECK_EQ(dx_cas_object_size(none, &id, &size), DX_CAS_EINVAL);
        DX_CHECK_EQ(dx_cas_commit(none), DX_CAS_EINVAL);
        DX_CHECK_EQ(dx_cas_refresh(none), DX_CAS_EINVAL);
        DX_CHECK_EQ(dx_cas_verify(none, NULL, NULL, NULL), DX_CAS_EINVAL);
        DX_CHECK_EQ(dx_cas_ref_get(none, "x", 0, &r), DX_CAS_EINVAL);
    }
}

static int as_it_is(void *user, void *out, size_t capacity, const void *base, size_t base_size, const void *in, size_t size, size_t *got)
{
    (void)user, (void)out, (void)capacity, (void)base, (void)base_size, (void)in, (void)size;
    *got = 0;
    return DX_CAS_ENOSPACE;
}

#define NOT_WITH(call) DX_CHECK_EQ(call, DX_CAS_EINVAL)

/* Every required pointer, NULL one at a time: each call returns DX_CAS_EINVAL. The calls run with all of them first, so that
   nothing else is the reason. */
DX_TEST(ca_each_required_pointer_alone)
{
    static uint64_t memory_of_writer[30000], memory_of_reader[30000], memory_of_delta[1024];
    static dx_cas_reader reader;
    static dx_cas_writer writer;
    const dx_cas_delta_coder coder = {200, as_it_is, as_it_is, NULL};
    dx_cas_delta_desc how = {0};
    dx_cas_writer_desc writing = {0};
    dx_cas_content content;
    dx_cas_delta delta;
    dx_cas_blake3 mode;
    dx_cas_store s, closed = {0};
    dx_cas_id id, other;
    dx_cas_ref ref = {0}, back;
    dx_cas_chunker chunker;
    uint8_t out[8], part[32];
    uint64_t cursor = 0, start, size;
    uint32_t depth;
    size_t got;
    create(&s, DX_CAS_FULL);
    OK(dx_cas_put(&s, "object", 6, &id));

    dx_cas_blake3_init(&mode);
    OK(dx_cas_blake3_part(&mode, 0, "part", 4, part));
    NOT_WITH(dx_cas_blake3_part(NULL, 0, "part", 4, part));
    NOT_WITH(dx_cas_blake3_part(&mode, 0, NULL, 4, part));
    NOT_WITH(dx_cas_blake3_part(&mode, 0, "part", 4, NULL));
    NOT_WITH(dx_cas_id_from_hex(NULL, &other));
    NOT_WITH(dx_cas_id_from_hex("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", NULL));
    OK(dx_cas_chunker_init(&chunker, NULL));
    NOT_WITH(dx_cas_chunker_init(NULL, NULL));

    OK(dx_cas_get(&s, &id, out, sizeof out, &got));
    NOT_WITH(dx_cas_get(&s, &id, out, sizeof out, NULL));
    OK(dx_cas_object_size(&s, &id, &size));
    NOT_WITH(dx_cas_object_size(&s, &id, NULL));
    NOT_WITH(dx_cas_object_size(&s, NULL, &size));
    NOT_WITH(dx_cas_put_with(NULL, 1, "x", 1, NULL));
    NOT_WITH(dx_cas_put_with(&closed, 1, "x", 1, NULL));
    NOT_WITH(dx_cas_grow(NULL, work, sizeof work));
    NOT_WITH(dx_cas_grow(&s, NULL, sizeof work));
    NOT_WITH(dx_cas_grow(&closed, work, sizeof work));
    NOT_WITH(dx_cas_open(NULL, NULL));
    NOT_WITH(dx_cas_checkpoint(&closed));
    NOT_WITH(dx_cas_checkpoint(NULL));
    NOT_WITH(dx_cas_retire(&closed));
    NOT_WITH(dx_cas_retire(NULL));
    dx_cas_close(NULL);

    strcpy(ref.name, "name");
    ref.root = id;
    OK(dx_cas_ref_set(&s, &ref, 0, NULL));
    NOT_WITH(dx_cas_ref_set(NULL, &ref, 1, NULL));
    NOT_WITH(dx_cas_ref_set(&closed, &ref, 1, NULL));
    NOT_WITH(dx_cas_ref_set(&s, NULL, 1, NULL));
    NOT_WITH(dx_cas_ref_set_as(NULL, &ref, 1, 7));
    NOT_WITH(dx_cas_ref_set_as(&closed, &ref, 1, 7));
    NOT_WITH(dx_cas_ref_set_as(&s, NULL, 1, 7));
    NOT_WITH(dx_cas_ref_set_as(&s, &ref, 1, 0));
    NOT_WITH(dx_cas_ref_set_as(&s, &ref, 1, UINT64_MAX - 2));
    OK(dx_cas_ref_get(&s, "name", 1, &back));
    NOT_WITH(dx_cas_ref_get(&s, "name", 1, NULL));
    NOT_WITH(dx_cas_ref_get(&s, NULL, 1, &back));
    DX_CHECK_EQ(dx_cas_ref_previous(&s, &back), DX_CAS_ENOTFOUND);
    NOT_WITH(dx_cas_ref_previous(NULL, &back));
    NOT_WITH(dx_cas_ref_previous(&closed, &back));
    NOT_WITH(dx_cas_ref_previous(&s, NULL));
    NOT_WITH(dx_cas_ref_next(NULL, &cursor, &back));
    NOT_WITH(dx_cas_ref_next(&closed, &cursor, &back));
    NOT_WITH(dx_cas_ref_next(&s, NULL, &back));
    NOT_WITH(dx_cas_ref_next(&s, &cursor, NULL));
    OK(dx_cas_ref_next(&s, &cursor, &back));
    NOT_WITH(dx_cas_ref_delete(NULL, "name", 1));
    NOT_WITH(dx_cas_ref_delete(&closed, "name", 1));
    NOT_WITH(dx_cas_ref_delete(&s, NULL, 1));
    NOT_WITH(dx_cas_ref_trim(NULL, "name", 1));
    NOT_WITH(dx_cas_ref_trim(&closed, "name", 1));
    NOT_WITH(dx_cas_ref_trim(&s, NULL, 1));

    writing.store = &s;
    writing.memory = memory_of_writer;
    writing.memory_size = sizeof memory_of_writer;
    writing.chunker.size_min = 64;
    writing.chunker.size_avg = 256;
    writing.chunker.size_max = 1024;
    OK(dx_cas_writer_begin(&writer, &writing));
    NOT_WITH(dx_cas_writer_write(NULL, "x", 1, NULL));
    NOT_WITH(dx_cas_writer_write(&writer, NULL, 1, NULL));
    OK(dx_cas_writer_write(&writer, NULL, 0, NULL));
    OK(dx_cas_writer_write(&writer, "stream", 6, NULL));
    NOT_WITH(dx_cas_writer_finish(NULL, &content));
    NOT_WITH(dx_cas_writer_finish(&writer, NULL));
    OK(dx_cas_writer_finish(&writer, &content));
    NOT_WITH(dx_cas_writer_finish(&writer, &content)); /* and not twice, */
    NOT_WITH(dx_cas_writer_write(&writer, "x", 1, NULL)); /* nor written to afterwards */
    NOT_WITH(dx_cas_writer_begin(NULL, &writing));
    NOT_WITH(dx_cas_writer_begin(&writer, NULL));
    writing.memory = NULL;
    NOT_WITH(dx_cas_writer_begin(&writer, &writing));
    writing.memory = memory_of_writer;
    writing.store = &closed;
    NOT_WITH(dx_cas_writer_begin(&writer, &writing));
    writing.store = NULL;
    NOT_WITH(dx_cas_writer_begin(&writer, &writing));

    NOT_WITH(dx_cas_reader_open(NULL, &s, &content.root, memory_of_reader, sizeof memory_of_reader));
    NOT_WITH(dx_cas_reader_open(&reader, NULL, &content.root, memory_of_reader, sizeof memory_of_reader));
    NOT_WITH(dx_cas_reader_open(&reader, &closed, &content.root, memory_of_reader, sizeof memory_of_reader));
    NOT_WITH(dx_cas_reader_open(&reader, &s, NULL, memory_of_reader, sizeof memory_of_reader));
    NOT_WITH(dx_cas_reader_open(&reader, &s, &content.root, NULL, sizeof memory_of_reader));
    NOT_WITH(dx_cas_reader_read(&reader, 0, out, 6, &got)); /* it is not open */
    NOT_WITH(dx_cas_reader_chunk(&reader, 0, &other, &start, &size));
    OK(dx_cas_reader_open(&reader, &s, &content.root, memory_of_reader, sizeof memory_of_reader));
    OK(dx_cas_reader_read(&reader, 0, out, 6, &got));
    DX_CHECK_EQ(got, 6);
    NOT_WITH(dx_cas_reader_read(NULL, 0, out, 6, &got));
    NOT_WITH(dx_cas_reader_read(&reader, 0, NULL, 6, &got));
    NOT_WITH(dx_cas_reader_read(&reader, 0, out, 6, NULL));
    OK(dx_cas_reader_chunk(&reader, 5, &other, &start, &size));
    NOT_WITH(dx_cas_reader_chunk(&reader, 6, &other, &start, &size)); /* no chunk contains the end */
    NOT_WITH(dx_cas_reader_chunk(NULL, 0, &other, &start, &size));
    NOT_WITH(dx_cas_reader_chunk(&reader, 0, NULL, &start, &size));
    NOT_WITH(dx_cas_reader_chunk(&reader, 0, &other, NULL, &size));
    NOT_WITH(dx_cas_reader_chunk(&reader, 0, &other, &start, NULL));

    how.store = &s;
    how.coders = &coder;
    how.coder_count = 1;
    how.memory = memory_of_delta;
    how.memory_size = sizeof memory_of_delta;
    how.object_size_max = 100;
    OK(dx_cas_delta_init(&delta, &how));
    for (unsigned without = 0; without < 6; without++) {
        dx_cas_delta_desc less = how;
        dx_cas_delta_coder half = coder;
        less.coders = &half;
        switch (without) {
        case 0: less.store = NULL; break;
        case 1: less.coders = NULL; break;
        case 2: less.coder_count = 0; break;
        case 3: less.memory = NULL; break;
        case 4: half.encode = NULL; break;
        default: half.decode = NULL; break;
        }
        NOT_WITH(dx_cas_delta_init(&delta, &less));
    }
    NOT_WITH(dx_cas_delta_init(NULL, &how));
    NOT_WITH(dx_cas_delta_init(&delta, NULL));
    dx_cas_delta_desc tight = how;
    tight.memory_size = dx_cas_delta_memory_size(&how);
    OK(dx_cas_delta_init(&delta, &tight));
    tight.memory_size--;
    DX_CHECK_EQ(dx_cas_delta_init(&delta, &tight), DX_CAS_ENOMEM);
    OK(dx_cas_delta_init(&delta, &how));
    OK(dx_cas_commit(&s));
    dx_cas_codec codec = dx_cas_delta_codec(&delta);
    dx_cas_desc desc = describe(dx_devices_memory_device(&memory), DX_CAS_WRITE), less;
    desc.object_size_max = 100;
    desc.codecs = &codec;
    desc.codec_count = 1;
    OK(dx_cas_open(&s, &desc));
    NOT_WITH(dx_cas_delta_put(NULL, "object", 6, &id, 0, &other));
    NOT_WITH(dx_cas_delta_put(&delta, "object", 6, NULL, 0, &other));
    OK(dx_cas_delta_put(&delta, "object", 6, &id, 0, &other));
    DX_CHECK_EQ(dx_cas_delta_base(&delta, &id, &other, &depth), DX_CAS_ENOTFOUND);
    NOT_WITH(dx_cas_delta_base(NULL, &id, &other, &depth));
    NOT_WITH(dx_cas_delta_base(&delta, NULL, &other, &depth));
    NOT_WITH(dx_cas_delta_base(&delta, &id, NULL, &depth));
    NOT_WITH(dx_cas_delta_base(&delta, &id, &other, NULL));
    NOT_WITH(dx_cas_delta_copy(NULL, &id, &closed));
    NOT_WITH(dx_cas_delta_copy(&delta, NULL, &closed));
    NOT_WITH(dx_cas_delta_copy(&delta, &id, NULL));
    NOT_WITH(dx_cas_delta_copy(&delta, &id, &closed));
    NOT_WITH(dx_cas_delta_copy(&delta, &id, &s)); /* from a store into itself */

    NOT_WITH(dx_cas_compact_into(NULL, &s));
    NOT_WITH(dx_cas_compact_into(&s, NULL));
    NOT_WITH(dx_cas_compact_into(&closed, &s));
    NOT_WITH(dx_cas_compact_into(&s, &closed));
    NOT_WITH(dx_cas_compact_kept(NULL, &s, NULL, NULL));
    NOT_WITH(dx_cas_compact_kept(&s, &closed, NULL, NULL));
    OK(dx_cas_commit(&s));
    dx_cas_close(&s);
    NOT_WITH(dx_cas_delta_base(&delta, &id, &other, &depth));
    NOT_WITH(dx_cas_delta_copy(&delta, &id, &closed));

    OK(dx_cas_repair(&s, &desc, NULL, NULL, NULL, NULL));
    dx_cas_close(&s);
    NOT_WITH(dx_cas_repair(NULL, &desc, NULL, NULL, NULL, NULL));
    NOT_WITH(dx_cas_repair(&s, NULL, NULL, NULL, NULL, NULL));
    NOT_WITH(dx_cas_repair(&s, &desc, &s, NULL, NULL, NULL));
    NOT_WITH(dx_cas_repair(&s, &desc, &closed, NULL, NULL, NULL));
    less = desc;
    less.device.write = NULL;
    NOT_WITH(dx_cas_repair(&s, &less, NULL, NULL, NULL, NULL));
    less = desc;
    less.device.sync = NULL;
    NOT_WITH(dx_cas_repair(&s, &less, NULL, NULL, NULL, NULL));
}

/* A list node has as many entries as it says, at least one, and no further bytes; their sizes are their children's, and the sum is
   its own. Anything else is damage, even with a valid hash: an attacker can hash anything. */
DX_TEST(ca_a_list_node_is_as_long_as_its_entries)
{
    enum { MOST = 4, HEAD = 16, ENTRY = 40 };
    static dx_cas_reader reader;
    static uint64_t memory_of_reader[30000];
    dx_cas_store s;
    dx_cas_id child, id;
    for (unsigned said = 0; said <= MOST; said++) {
        create(&s, DX_CAS_FULL);
        OK(dx_cas_put(&s, "8 bytes.", 8, &child));
        for (unsigned size = 0; size <= MOST * ENTRY; size += ENTRY / 2) {
            for (int off = -1; off <= 1; off++) { /* the sum */
                uint8_t node[HEAD + MOST * ENTRY] = {0};
                node[0] = 1;
                node[4] = (uint8_t)said;
                dx_cas_p_store64(node + 8, 8 * (uint64_t)said + (uint64_t)(int64_t)off);
                for (unsigned i = 0; i < MOST; i++) {
                    memcpy(node + HEAD + i * ENTRY, child.bytes, 32);
                    dx_cas_p_store64(node + HEAD + i * ENTRY + 32, 8);
                }
                OK(dx_cas_p_put(&s, DX_CAS_EXT_LIST, 1, node, HEAD + size, &id));
                int error = dx_cas_reader_open(&reader, &s, &id, memory_of_reader, sizeof memory_of_reader);
                bool right = said > 0 && size == said * ENTRY && off == 0;
                DX_CHECK_EQ(error, right ? DX_CAS_OK : DX_CAS_ECORRUPT);
                if (right) DX_CHECK_EQ(reader.size, 8 * said);
            }
        }
        dx_cas_close(&s);
    }
}

/* Ids with equal beginnings are verified by their payloads at open. If the device cannot read one, open must fail. */
DX_TEST(ca_a_device_that_fails_while_ids_are_proved)
{
    dx_cas_store s;
    dx_cas_ext_record r;
    unsigned failed = 0;
    create(&s, DX_CAS_FULL);
    memset(&r, 0, sizeof r);
    r.type = DX_CAS_EXT_BLOB;
    r.stored = r.logical = 8;
    for (unsigned i = 0; i < DX_CAS_P_ALIKE_MAX + 4; i++) {
        dx_cas_p_store32(r.id.bytes + 8, i);
        OK(dx_cas_p_append(&s, &r, (const uint8_t *)"payload.", false));
    }
    OK(dx_cas_commit(&s));
    dx_cas_close(&s);
    dx_cas_device device = dx_devices_memory_device(&memory);
    device.read = failing_read;
    dx_cas_desc desc = describe(device, DX_CAS_READ | DX_CAS_ACCEPT_DAMAGE);
    for (failing_when = 1;; failing_when++) {
        failing_reads = 0;
        int error = dx_cas_open(&s, &desc);
        if (failing_reads < failing_when) break;
        DX_CHECK_EQ(error, DX_CAS_ESYS);
        failed++;
    }
    DX_CHECK(failed >= 4);
    dx_cas_close(&s);
}

/* Memory for that many entries holds as many, in a compaction, too. */
DX_TEST(ca_a_compaction_fits_where_its_entries_do)
{
    static uint64_t small[16384];
    static uint8_t bytes[16384];
    for (unsigned objects = 8; objects <= 30; objects++) {
        dx_devices_memory to = {bytes, sizeof bytes, 0};
        dx_cas_desc desc = describe(dx_devices_memory_device(&to), DX_CAS_WRITE | DX_CAS_CREATE);
        dx_cas_store s, compact;
        dx_cas_stats stats;
        dx_cas_id id = {{0}};
        memset(bytes, 0, sizeof bytes);
        desc.memory = small;
        desc.object_size_max = 100;
        desc.objects_max = objects;
        desc.memory_size = dx_cas_memory_size(&desc);
        DX_CHECK(desc.memory_size <= sizeof small);
        OK(dx_cas_open(&compact, &desc));
        dx_cas_get_stats(&compact, &stats);
        DX_CHECK(stats.index_entries_max >= objects);
        create(&s, DX_CAS_FULL);
        for (uint64_t n = 0; n < stats.index_entries_max; n++) {
            dx_cas_ref ref = {0};
            if (n % 2 == 0 && n + 1 < stats.index_entries_max) OK(dx_cas_put(&s, &n, sizeof n, &id));
            if (n % 2 == 0 && n + 1 < stats.index_entries_max) continue;
            snprintf(ref.name, sizeof ref.name, "%u", (unsigned)n);
            ref.root = id;
            OK(dx_cas_ref_set(&s, &ref, 0, NULL));
        }
        OK(dx_cas_commit(&s));
        OK(dx_cas_compact_into(&s, &compact));
        dx_cas_get_stats(&compact, &stats);
        DX_CHECK_EQ(stats.index_entries, stats.index_entries_max);
        dx_cas_close(&compact);
        dx_cas_close(&s);
    }
}

/* Every set of 8 versions of a name that a compaction can keep: they have their numbers, roots and order; the objects of the
   others are gone; the latest stays unasked; another name is not touched; the next version continues the numbers. */
typedef struct kept {
    unsigned set;   /* bit n: version n + 1 */
    unsigned asked; /* the same, of the versions that were asked for */
} kept;

static bool keep_set(void *user, const dx_cas_ref *ref)
{
    kept *k = user;
    if (strcmp(ref->name, "name") != 0) return true;
    DX_CHECK(ref->version >= 1 && ref->version < 8);
    k->asked |= 1u << (ref->version - 1);
    return k->set >> (ref->version - 1) & 1;
}

DX_TEST(ca_a_compaction_keeps_what_it_is_told)
{
    static uint64_t small[16384];
    static uint8_t bytes[16384];
    for (unsigned set = 0; set < 128; set++) {
        dx_devices_memory to = {bytes, sizeof bytes, 0};
        dx_cas_desc desc = describe(dx_devices_memory_device(&to), DX_CAS_WRITE | DX_CAS_CREATE);
        dx_cas_store s, compact;
        dx_cas_id ids[8];
        dx_cas_ref ref = {0};
        kept k = {set, 0};
        uint64_t next = 0;
        memset(bytes, 0, sizeof bytes);
        desc.memory = small;
        desc.memory_size = sizeof small;
        OK(dx_cas_open(&compact, &desc));
        create(&s, DX_CAS_FULL);
        for (uint64_t n = 0; n < 8; n++) {
            OK(dx_cas_put(&s, &n, sizeof n, &ids[n]));
            ref.root = ids[n];
            strcpy(ref.name, n == 3 ? "other" : "name");
            if (n == 3) OK(dx_cas_ref_set(&s, &ref, DX_CAS_ANY_VERSION, NULL));
            strcpy(ref.name, "name");
            OK(dx_cas_ref_set(&s, &ref, DX_CAS_ANY_VERSION, NULL));
        }
        OK(dx_cas_commit(&s));
        OK(dx_cas_compact_kept(&s, &compact, keep_set, &k));
        DX_CHECK_EQ(k.asked, 127);
        OK(dx_cas_verify(&compact, NULL, NULL, NULL));
        for (uint64_t n = 0; n < 8; n++) {
            const bool stays = n == 7 || (set >> n & 1);
            DX_CHECK_EQ(dx_cas_ref_get(&compact, "name", n + 1, &ref), stays ? DX_CAS_OK : DX_CAS_ENOTFOUND);
            if (stays) DX_CHECK(!memcmp(&ref.root, &ids[n], sizeof ids[n]));
            DX_CHECK_EQ(dx_cas_has(&compact, &ids[n]), stays || n == 3 ? DX_CAS_OK : DX_CAS_ENOTFOUND);
        }
        OK(dx_cas_ref_get(&compact, "other", 1, &ref));
        OK(dx_cas_ref_get(&compact, "name", 0, &ref));
        for (int n = 7; n >= 0; n--) {
            if (n < 7 && !(set >> n & 1)) continue;
            DX_CHECK_EQ(ref.version, (uint64_t)n + 1);
            if (set & ((1u << n) - 1)) OK(dx_cas_ref_previous(&compact, &ref));
            else DX_CHECK_EQ(dx_cas_ref_previous(&compact, &ref), DX_CAS_ENOTFOUND);
        }
        OK(dx_cas_ref_set(&compact, &ref, 8, &next));
        DX_CHECK_EQ(next, 9);
        dx_cas_close(&compact);
        dx_cas_close(&s);
    }
}

/* The same when objects are copied one by one: the last free entry is used, and no further one. */
DX_TEST(ca_copies_take_every_entry_of_the_memory)
{
    static uint64_t small[16384], memory_of_delta[1024];
    static uint8_t bytes[16384];
    const dx_cas_delta_coder coder = {200, as_it_is, as_it_is, NULL};
    dx_devices_memory to = {bytes, sizeof bytes, 0};
    dx_cas_desc desc = describe(dx_devices_memory_device(&to), DX_CAS_WRITE | DX_CAS_CREATE);
    dx_cas_delta_desc how = {0};
    dx_cas_store s, copy;
    dx_cas_stats stats;
    dx_cas_delta delta;
    memset(bytes, 0, sizeof bytes);
    desc.memory = small;
    desc.object_size_max = 100;
    desc.objects_max = 16;
    desc.memory_size = dx_cas_memory_size(&desc);
    OK(dx_cas_open(&copy, &desc));
    create(&s, DX_CAS_FULL);
    how.store = &s;
    how.coders = &coder;
    how.coder_count = 1;
    how.memory = memory_of_delta;
    how.memory_size = sizeof memory_of_delta;
    how.object_size_max = 100;
    OK(dx_cas_delta_init(&delta, &how));
    dx_cas_get_stats(&copy, &stats);
    for (uint64_t n = 0; n <= stats.index_entries_max; n++) {
        dx_cas_id id;
        OK(dx_cas_put(&s, &n, sizeof n, &id));
        DX_CHECK_EQ(dx_cas_delta_copy(&delta, &id, &copy), n < stats.index_entries_max ? DX_CAS_OK : DX_CAS_ENOMEM);
    }
    dx_cas_close(&copy);
    dx_cas_close(&s);
}

DX_TEST(ca_the_numbers_of_a_desc_at_their_limits)
{
    static const struct { uint32_t size_max, durability, align, mode; int error; } rows[] = {
        {(uint32_t)1 << 30, DX_CAS_FULL, 0, DX_CAS_READ, DX_CAS_OK},
        {((uint32_t)1 << 30) + 1, DX_CAS_FULL, 0, DX_CAS_READ, DX_CAS_EINVAL},
        {UINT32_MAX, DX_CAS_FULL, 0, DX_CAS_READ, DX_CAS_EINVAL},
        {100, DX_CAS_NONE, 0, DX_CAS_READ, DX_CAS_OK},
        {100, DX_CAS_NONE + 1, 0, DX_CAS_READ, DX_CAS_EINVAL},
        {100, DX_CAS_FULL, 8, DX_CAS_READ, DX_CAS_OK},
        {100, DX_CAS_FULL, 4096, DX_CAS_READ, DX_CAS_OK},
        {100, DX_CAS_FULL, 8192, DX_CAS_READ, DX_CAS_EINVAL},
        {100, DX_CAS_FULL, 4, DX_CAS_READ, DX_CAS_EINVAL},
        {100, DX_CAS_FULL, 24, DX_CAS_READ, DX_CAS_EINVAL},
        {100, DX_CAS_FULL, 0, DX_CAS_WRITE | DX_CAS_CREATE | DX_CAS_ACCEPT_DAMAGE, DX_CAS_OK},
        {100, DX_CAS_FULL, 0, 2 * (DX_CAS_WRITE | DX_CAS_CREATE | DX_CAS_ACCEPT_DAMAGE), DX_CAS_EINVAL},
        {100, DX_CAS_FULL, 0, (uint32_t)1 << 31, DX_CAS_EINVAL},
    };
    create(&(dx_cas_store){0}, DX_CAS_FULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        dx_cas_store s;
        dx_cas_desc desc = describe(dx_devices_memory_device(&memory), rows[i].mode);
        desc.object_size_max = rows[i].size_max;
        desc.durability = rows[i].durability;
        desc.align = rows[i].align;
        DX_CHECK_EQ(dx_cas_open(&s, &desc), rows[i].error);
        dx_cas_close(&s);
    }
}

/* Codecs with unreserved numbers and both functions each: the desc is refused if any one is invalid, wherever it is. */
static int no_codec(void *user, void *out, size_t capacity, const void *in, size_t size, size_t *got)
{
    (void)user, (void)out, (void)capacity, (void)in, (void)size;
    *got = 0;
    return DX_CAS_ENOSPACE;
}

DX_TEST(ca_every_codec_of_a_desc_is_checked)
{
    enum { COUNT = 3 };
    create(&(dx_cas_store){0}, DX_CAS_FULL);
    for (unsigned at = 0; at < COUNT; at++) {
        for (unsigned number = 0; number <= 256; number++) {
            dx_cas_store s;
            dx_cas_codec codecs[COUNT] = {{1, no_codec, no_codec, NULL, NULL}, {2, no_codec, no_codec, NULL, NULL}, {255, no_codec, no_codec, NULL, NULL}};
            dx_cas_desc desc = describe(dx_devices_memory_device(&memory), DX_CAS_READ);
            bool reserved = number == 0 || (number > 2 && number < 128);
            codecs[at].number = (uint8_t)number;
            if (number == 256) {
                codecs[at].number = 1;
                if (at % 2) codecs[at].compress = NULL;
                else codecs[at].decompress = NULL;
            }
            desc.object_size_max = 100;
            desc.codecs = codecs;
            desc.codec_count = COUNT;
            DX_CHECK_EQ(dx_cas_open(&s, &desc), reserved || number == 256 ? DX_CAS_EINVAL : DX_CAS_OK);
            dx_cas_close(&s);
        }
    }
}
