/* See tar.h. An entry, in blocks of 512 bytes:

       header of type x, records     what the next header cannot hold: "LENGTH NAME=VALUE\n" ...
       header                        truncated values where there is a record
       content

   Numbers are octal text. */
#include "tar.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 512, RECORD = 20 * BLOCK /* the archive's size is a multiple */ };

typedef struct header {
    char name[100], mode[8], user[8], group[8], size[12], mtime[12], sum[8], type, target[100], magic[6],
        version[2], user_name[32], group_name[32], major_number[8], minor_number[8], prefix[155], rest[12];
} header;

static const char zeros[BLOCK];

void keep_tar_open(keep_tar *t, keep_tar_sink *sink, void *user)
{
    memset(t, 0, sizeof *t);
    t->sink = sink;
    t->user = user;
}

void keep_tar_close(keep_tar *t)
{
    free(t->records);
    t->records = NULL;
}

/* >>records ------------------------------------------------------------ */
static void append(keep_tar *t, const void *bytes, size_t size)
{
    if (t->records_room - t->records_size < size) {
        t->records_room = t->records_room * 2 + size;
        t->records = realloc(t->records, t->records_room);
        if (!t->records) abort();
    }
    if (size) memcpy(t->records + t->records_size, bytes, size);
    t->records_size += size;
}

static size_t escape(const uint8_t *name, size_t size, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        if (name[i] == '=' || name[i] == '%') {
            memcpy(out + n, name[i] == '=' ? "%3D" : "%25", 3);
            n += 3;
        } else {
            out[n++] = (char)name[i];
        }
    }
    return n;
}

void keep_tar_record(keep_tar *t, const char *prefix, const void *name, size_t name_size,
                     const void *value, size_t value_size)
{
    char escaped[3 * 255], length[32];
    assert(name_size <= 255);
    const size_t escaped_size = escape(name, name_size, escaped);
    const size_t size = strlen(prefix) + escaped_size + value_size + 3; /* ' ', '=' and '\n' */
    size_t digits = 1; /* the length counts its own digits */
    while ((size_t)snprintf(length, sizeof length, "%zu", size + digits) != digits) digits++;
    append(t, length, digits);
    append(t, " ", 1);
    append(t, prefix, strlen(prefix));
    append(t, escaped, escaped_size);
    append(t, "=", 1);
    append(t, value, value_size);
    append(t, "\n", 1);
}

static void record_text(keep_tar *t, const char *name, const char *value)
{
    keep_tar_record(t, name, "", 0, value, strlen(value));
}

void keep_tar_number(keep_tar *t, const char *name, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    record_text(t, name, text);
}

/* Seconds with a fraction, such as -1.5. */
static void record_time(keep_tar *t, int64_t time_ns)
{
    char text[40];
    const uint64_t ns = time_ns < 0 ? 0 - (uint64_t)time_ns : (uint64_t)time_ns;
    snprintf(text, sizeof text, "%s%llu.%09llu", time_ns < 0 ? "-" : "",
             (unsigned long long)(ns / 1000000000), (unsigned long long)(ns % 1000000000));
    record_text(t, "mtime", text);
}

/* >>headers ------------------------------------------------------------ */
/* False: it does not fit, and is truncated. */
static bool put_text(char *field, size_t room, const char *text)
{
    const size_t size = strlen(text);
    memcpy(field, text, size < room ? size : room);
    return size <= room;
}

/* False: it does not fit, and the field is 0. */
static bool put_number(char *field, size_t room, uint64_t number)
{
    const unsigned bits = 3 * (unsigned)(room - 1);
    const bool fits = !(number >> bits);
    snprintf(field, room, "%0*llo", (int)room - 1, (unsigned long long)(fits ? number : 0));
    return fits;
}

static int write_header(keep_tar *t, header *h)
{
    unsigned sum = 0;
    assert(sizeof *h == BLOCK);
    memcpy(h->magic, "ustar", sizeof h->magic);
    memcpy(h->version, "00", sizeof h->version);
    memset(h->sum, ' ', sizeof h->sum);
    for (size_t i = 0; i < sizeof *h; i++) sum += ((const uint8_t *)h)[i];
    snprintf(h->sum, sizeof h->sum, "%06o", sum);
    h->sum[7] = ' ';
    return keep_tar_write(t, h, sizeof *h);
}

static int write_records(keep_tar *t)
{
    header h = {.type = 'x'};
    put_text(h.name, sizeof h.name, "./PaxHeaders/entry");
    put_number(h.mode, sizeof h.mode, 0644);
    put_number(h.user, sizeof h.user, 0);
    put_number(h.group, sizeof h.group, 0);
    put_number(h.mtime, sizeof h.mtime, 0);
    put_number(h.size, sizeof h.size, t->records_size);
    int status = write_header(t, &h);
    if (!status) status = keep_tar_write(t, t->records, t->records_size);
    t->records_size = 0;
    return status ? status : keep_tar_pad(t);
}

int keep_tar_add(keep_tar *t, const keep_tar_entry *e)
{
    header h = {.type = e->type};
    const int64_t seconds = e->mtime_ns / 1000000000;
    if (!put_text(h.name, sizeof h.name, e->path)) record_text(t, "path", e->path);
    if (!put_text(h.target, sizeof h.target, e->target)) record_text(t, "linkpath", e->target);
    put_number(h.mode, sizeof h.mode, e->mode & 07777);
    if (!put_number(h.user, sizeof h.user, e->user)) keep_tar_number(t, "uid", e->user);
    if (!put_number(h.group, sizeof h.group, e->group)) keep_tar_number(t, "gid", e->group);
    if (!put_number(h.size, sizeof h.size, e->size)) keep_tar_number(t, "size", e->size);
    const bool fits = put_number(h.mtime, sizeof h.mtime, e->mtime_ns < 0 ? 0 : (uint64_t)seconds);
    if (!fits || e->mtime_ns < 0 || e->mtime_ns % 1000000000) record_time(t, e->mtime_ns);
    /* These two are NUL-terminated. */
    if (!put_text(h.user_name, sizeof h.user_name - 1, e->user_name)) record_text(t, "uname", e->user_name);
    if (!put_text(h.group_name, sizeof h.group_name - 1, e->group_name))
        record_text(t, "gname", e->group_name);
    const bool major = put_number(h.major_number, sizeof h.major_number, e->major_number);
    const bool minor = put_number(h.minor_number, sizeof h.minor_number, e->minor_number);
    if (!major || !minor)
        return prog_fail(PROG_REFUSED, "%s: the format tar cannot hold the device %u, %u", e->path,
                         e->major_number, e->minor_number);
    const int status = t->records_size ? write_records(t) : PROG_OK;
    return status ? status : write_header(t, &h);
}

int keep_tar_write(keep_tar *t, const void *bytes, size_t size)
{
    t->size += size;
    return t->sink(t->user, bytes, size);
}

int keep_tar_pad(keep_tar *t)
{
    const size_t behind = (size_t)(t->size % BLOCK);
    return behind ? keep_tar_write(t, zeros, BLOCK - behind) : PROG_OK;
}

int keep_tar_end(keep_tar *t)
{
    int status = keep_tar_write(t, zeros, BLOCK);
    if (!status) status = keep_tar_write(t, zeros, BLOCK);
    while (!status && t->size % RECORD) status = keep_tar_write(t, zeros, BLOCK);
    return status;
}
