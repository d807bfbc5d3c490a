/* What a mirror reads. See source.h. */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#ifdef __linux__
  #include <linux/fs.h>
#endif

#define SETTLE_NS ((int64_t)50000000) /* a time of modification that is older will change with the content */

/* >>devices -------------------------------------------------------------- */
static bool is_device(int file)
{
    struct stat s;
    return fstat(file, &s) == 0 && S_ISBLK(s.st_mode);
}

/* A file system writes the content of files past the cache of its device: what was read in the last
   round is dropped from there. */
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

/* >>source --------------------------------------------------------------- */
int wan_source_open(wan_source *s, const wan_options *o)
{
    memset(s, 0, sizeof *s);
    s->path = o->file;
    s->file = os_open(o->file);
    if (s->file < 0 || os_info_of(s->file, &s->info) < 0) return prog_fail_errno("%s", o->file);
    s->kind = is_device(s->file) ? WAN_DEVICE : WAN_FILE;
    if (s->kind == WAN_FILE && s->info.kind != OS_FILE)
        return prog_fail(PROG_USAGE, "%s is not a file or a block device", o->file);
    return PROG_OK;
}

void wan_source_close(wan_source *s)
{
    if (s->file >= 0) os_close(s->file);
    s->file = -1;
}

int wan_source_begin(wan_source *s)
{
    const int64_t time = os_time_ns();
    if (s->kind == WAN_DEVICE) return begin_device(s);
    if (os_info_of(s->file, &s->info) < 0) return prog_fail_errno("%s", s->path);
    s->size = s->info.size;
    s->settled = time - s->info.mtime_ns > SETTLE_NS;
    return PROG_OK;
}

int64_t wan_source_read(wan_source *s, uint64_t at, uint8_t *out, size_t size)
{
    size_t done = 0;
    while (done < size) {
        const int64_t got = os_read_at(s->file, at + done, out + done, size - done);
        if (got < 0) return -1;
        if (!got) break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

/* Each region was compared after the round began, and was the same: so at that moment the source was
   what the copy is. The times of a file show that it still is. */
bool wan_source_is_final(wan_source *s, uint64_t changes)
{
    os_info now;
    if (changes) return false;
    if (s->kind == WAN_DEVICE) return true;
    return s->settled && os_info_of(s->file, &now) == 0 && now.size == s->info.size &&
           now.mtime_ns == s->info.mtime_ns;
}
