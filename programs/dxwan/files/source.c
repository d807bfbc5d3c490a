/* The source of a mirror. See source.h. */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#ifdef __linux__
  #include <linux/fs.h>
  #include <linux/magic.h>
  #include <sys/vfs.h>
#endif

/* >>devices -------------------------------------------------------------- */
static bool is_device(int file)
{
    struct stat s;
    return fstat(file, &s) == 0 && S_ISBLK(s.st_mode);
}

/* Files in /proc have no size, whatever can be read from them. */
static bool is_of_proc(int file)
{
#ifdef __linux__
    struct statfs s;
    return fstatfs(file, &s) == 0 && s.f_type == PROC_SUPER_MAGIC;
#else
    (void)file;
    return false;
#endif
}

bool wan_has_no_size(int file)
{
    os_info info;
    uint8_t byte;
    if (is_of_proc(file)) return true;
    if (os_info_of(file, &info) < 0 || info.kind != OS_FILE || info.size) return false;
    if (os_read_at(file, 0, &byte, 1) <= 0) return false;
    return os_info_of(file, &info) == 0 && info.size == 0; /* it has not grown meanwhile */
}

/* File systems write around the cache of their device, so pages that the last round read may be old: they
   are dropped. */
static int begin_device(wan_source *s)
{
#ifdef BLKGETSIZE64
    if (ioctl(s->file, BLKGETSIZE64, &s->size) < 0) return prog_fail_errno("%s", s->path);
    (void)posix_fadvise(s->file, 0, 0, POSIX_FADV_DONTNEED);
    return PROG_OK;
#else
    return prog_fail(PROG_SYSTEM, "%s: the size of a device is known on Linux only", s->path);
#endif
}

/* >>processes ------------------------------------------------------------ */
static int begin_memory(wan_source *s, bool last)
{
    wan_source_end_reading(s); /* of a round that was given up */
    s->asked = last;
    s->whole = false;
    if (last && s->pause_max_ns) {
        errno = wan_freeze_stop(&s->freeze, s->memory.folder, s->pause_max_ns, s->pause_max_ns);
        if (errno == ESRCH) return wan_source_fail(s);
        if (errno == EPERM)
            return prog_fail(PROG_SYSTEM, "%s: the process cannot be stopped: no permission, or a "
                             "debugger has it; --pause 0 copies it while it runs", s->path);
        if (errno == ETIMEDOUT)
            return prog_fail(PROG_SYSTEM, "%s: the process does not stop within %" PRIu64 " s", s->path,
                             s->pause_max_ns / 1000000000);
        if (errno) return prog_fail_errno("%s: the process cannot be stopped", s->path);
        s->paused_ns = (uint64_t)prog_now_ns();
        s->whole = true;
    }
    const int status = wan_memory_begin(&s->memory, s->path);
    s->size = s->memory.size;
    return status;
}

static bool is_memory_final(const wan_source *s)
{
    const wan_memory *m = &s->memory;
    if (!s->asked || (s->pause_max_ns && !s->whole)) return false;
    if (m->lost && !s->whole && !wan_memory_is_same(m)) return false;
    if (m->lost)
        prog_warn("%s: %" PRIu64 " pages cannot be read; they are zero in the image", s->path, m->lost);
    return true;
}

void wan_source_end_reading(wan_source *s)
{
    if (!s->paused_ns) return;
    if (!wan_freeze_release(&s->freeze)) {
        s->whole = false;
        s->cut++;
    }
    s->pause_ns = (uint64_t)prog_now_ns() - s->paused_ns;
    s->paused_ns = 0;
}

void wan_source_check(wan_source *s, uint64_t now_ns)
{
    if (s->paused_ns && now_ns - s->paused_ns >= s->pause_max_ns) wan_source_end_reading(s);
}

/* >>directories ---------------------------------------------------------- */
static int begin_folder(wan_source *s)
{
    const int status = wan_folder_begin(&s->folder);
    s->size = s->folder.size;
    return status;
}

/* >>files ---------------------------------------------------------------- */
/* The time of modification is what a program sets, so only that of any change counts. */
static bool is_same_file(const os_info *a, const os_info *b)
{
    return a->size == b->size && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

static int begin_file(wan_source *s)
{
    const int64_t wall_ns = os_time_ns();
    const uint64_t now_ns = (uint64_t)prog_now_ns();
    const os_info before = s->info;
    if (os_info_of(s->file, &s->info) < 0) return prog_fail_errno("%s", s->path);
    if (!s->seen_ns || !is_same_file(&before, &s->info)) s->seen_ns = (uint64_t)prog_now_ns();
    s->size = s->info.size;
    s->settled = wan_is_settled(s->info.ctime_ns, wall_ns, s->seen_ns, now_ns);
    return PROG_OK;
}

/* >>source --------------------------------------------------------------- */
int wan_source_open(wan_source *s, const wan_options *o)
{
    int process = 0;
    memset(s, 0, sizeof *s);
    s->path = o->file;
    s->pause_max_ns = o->pause_ns;
    s->file = s->folder.root = s->memory.folder = s->memory.bytes = s->memory.pages = -1;
    if (wan_memory_is_path(o->file, &process)) {
        s->kind = WAN_MEMORY;
        return wan_memory_open(&s->memory, o->file, process);
    }
    s->file = os_open(o->file);
    if (s->file < 0 || os_info_of(s->file, &s->info) < 0) return prog_fail_errno("%s", o->file);
    s->kind = is_device(s->file) ? WAN_DEVICE : s->info.kind == OS_FOLDER ? WAN_FOLDER : WAN_FILE;
    if (s->kind == WAN_FILE && s->info.kind != OS_FILE)
        return prog_fail(PROG_USAGE, "%s is not a file, a directory, a block device or the memory of a process", o->file);
    if (wan_has_no_size(s->file))
        return prog_fail(PROG_USAGE, "%s has no size, so it would be mirrored as empty; the memory of a process is "
                         "/proc/PID/mem", o->file);
    return s->kind == WAN_FOLDER ? wan_folder_open(&s->folder, o->file) : PROG_OK;
}

void wan_source_close(wan_source *s)
{
    wan_source_end_reading(s);
    if (s->kind == WAN_MEMORY) wan_memory_close(&s->memory);
    if (s->kind == WAN_FOLDER) wan_folder_close(&s->folder);
    if (s->file >= 0) os_close(s->file);
    s->file = -1;
}

int wan_source_begin(wan_source *s, bool last)
{
    if (s->kind == WAN_MEMORY) return begin_memory(s, last);
    if (s->kind == WAN_DEVICE) return begin_device(s);
    return s->kind == WAN_FOLDER ? begin_folder(s) : begin_file(s);
}

int64_t wan_source_read(wan_source *s, uint64_t at, uint8_t *out, size_t size)
{
    if (s->kind == WAN_MEMORY) return wan_memory_read(&s->memory, at, out, size);
    if (s->kind == WAN_FOLDER) return wan_folder_read(&s->folder, at, out, size);
    return prog_read_at(s->file, at, out, size);
}

bool wan_source_is_as_read(const wan_source *s, uint64_t at)
{
    return s->kind == WAN_MEMORY && wan_memory_is_as_read(&s->memory, at);
}

int wan_source_fail(const wan_source *s)
{
    if (s->kind == WAN_MEMORY && errno == ESRCH)
        return prog_fail(PROG_NOT_FOUND, "%s: the process has ended, or runs another program now", s->path);
    if (s->kind == WAN_FOLDER) return wan_folder_fail(&s->folder);
    return prog_fail_errno("%s", s->path);
}

/* Each region was compared after the round began, and was the same: so at that moment the source was
   what the copy is. The times of a file show that it still is. */
bool wan_source_is_final(wan_source *s, uint64_t changes)
{
    os_info now;
    if (s->kind == WAN_MEMORY) return is_memory_final(s);
    if (changes) return false;
    if (s->kind == WAN_DEVICE) return true;
    if (s->kind == WAN_FOLDER) return !s->folder.torn && s->folder.settled && wan_folder_is_same(&s->folder);
    return s->settled && os_info_of(s->file, &now) == 0 && is_same_file(&now, &s->info);
}
