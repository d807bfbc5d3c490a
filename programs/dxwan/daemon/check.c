/* What a configuration names. See check.h. */
#include "check.h"

#include "../../common/os.h"
#include "../../common/scrape.h"
#include "../files/memory.h"
#include "../files/target.h"
#include "../net/address.h"
#include "../net/join.h"
#include "../net/tls.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WHAT_SIZE = PROG_PATH_SIZE_MAX + WAN_LABEL_MAX + 80 };

/* The beginning of a message: the file, the section and the key. */
static const char *what_of(char what[WHAT_SIZE], const wan_config *c, const char *section, const char *name,
                           const char *key)
{
    assert(c->path && *section == '[');
    (void)snprintf(what, WHAT_SIZE, "INVALID_CONFIG: %s: %s%s%s%s %s", c->path, section, *name ? " " : "", name,
                   *name ? ":" : "", key);
    return what;
}

/* The status of the first fault. */
static void add(int *status, int more)
{
    if (!*status) *status = more;
}

/* May this process, under the user that it acts as? */
static bool may(const char *path, int how) { return faccessat(AT_FDCWD, path, how, AT_EACCESS) == 0; }

/* >>mirrors -------------------------------------------------------------- */
/* Files of /proc have no size, whatever can be read from them. */
static bool is_of_proc(const char *path)
{
    char real[PROG_PATH_SIZE_MAX + 1];
    return os_real_path(path, real, sizeof real) == 0 && !strncmp(real, "/proc/", 6);
}

/* The source of a mirror. like: a second image, which is a file. */
static int check_source(const char *what, const char *path, bool like)
{
    struct stat s;
    int process;
    if (stat(path, &s)) return prog_fail_errno("%s %s", what, path);
    const bool is_folder = S_ISDIR(s.st_mode);
    if (like && !S_ISREG(s.st_mode)) return prog_fail(PROG_USAGE, "%s %s: is not a file", what, path);
    if (!S_ISREG(s.st_mode) && !is_folder && !S_ISBLK(s.st_mode))
        return prog_fail(PROG_USAGE, "%s %s: is not a file, a directory, a block device or the memory of a process",
                         what, path);
    if (!may(path, is_folder ? R_OK | X_OK : R_OK)) return prog_fail_errno("%s %s", what, path);
    if (!like && is_of_proc(path) && !wan_memory_is_path(path, &process))
        return prog_fail(PROG_USAGE, "%s %s: has no size, so it would be mirrored as empty; the memory of a process is "
                                     "/proc/PID/mem", what, path);
    return PROG_OK;
}

/* The name that the receiver is told, unless the key `as` gives it. */
static int check_name(const char *what, const char *path, const char *more)
{
    size_t size;
    const char *name = wan_name_of(path, &size);
    const char *fault = wan_name_fault(name, size);
    return fault ? prog_fail(PROG_USAGE, "%s %s: %s%s", what, path, fault, more) : PROG_OK;
}

int wan_check_mirror(const wan_config *c, const wan_mirror_config *m)
{
    static const char section[] = "[[mirror]]";
    char what[WHAT_SIZE];
    int process, status = PROG_OK;
    (void)what_of(what, c, section, m->name, "file");
    add(&status, check_source(what, m->file, false));
    if (!m->as && !wan_memory_is_path(m->file, &process))
        add(&status, check_name(what, m->file, "; the key `as` gives it another one"));
    (void)what_of(what, c, section, m->name, "like");
    if (m->like) add(&status, check_source(what, m->like, true));
    if (m->like) add(&status, check_name(what, m->like, ""));
    if (c->enabled && !PROG_HAS_ZSTD)
        add(&status, prog_fail(PROG_SYSTEM, "mirror %s: COMPRESSION_FAILED: this dxwan was built without zstd", m->name));
    return status;
}

/* >>receivers ------------------------------------------------------------ */
/* A file in the directory `folder` will be created and renamed. */
static int check_folder(const char *what, const char *out, const char *folder)
{
    if (may(folder, W_OK | X_OK)) return PROG_OK;
    if (!strcmp(out, folder)) return prog_fail_errno("%s %s", what, out);
    return prog_fail_errno("%s %s: the directory %s", what, out, folder);
}

/* The destination of a receiver: a directory, or a file, whose partial file lies beside it. */
static int check_out(const char *what, const char *out)
{
    char folder[PROG_PATH_SIZE_MAX + 1];
    os_info info;
    const int status = wan_target_check(what, out);
    if (status) return status;
    const bool is_there = os_stat(out, true, &info) == 0;
    if (is_there && info.kind == OS_FOLDER) return check_folder(what, out, out);
    if (is_there && info.kind != OS_FILE)
        return prog_fail(PROG_USAGE, "%s %s: is not a file or a directory", what, out);
    const char *slash = strrchr(out, '/');
    const size_t size = !slash ? 1 : slash == out ? 1 : (size_t)(slash - out);
    if (size >= sizeof folder) return prog_fail(PROG_USAGE, "%s %s: the path is too long", what, out);
    memcpy(folder, slash ? out : ".", size);
    folder[size] = 0;
    return check_folder(what, out, folder);
}

/* The address can be bound: it is one of this machine, and the port is allowed. That another process listens there
   is not known here. */
static int check_address(const char *what, const char *text, dx_reactor_address *a)
{
    const int yes = 1;
    struct sockaddr_storage at;
    const char *why = wan_address_look_up(a, text);
    if (why) return prog_fail(PROG_NETWORK, "%s %s: %s", what, text, why);
    assert(a->size <= sizeof at);
    memcpy(&at, a->bytes, a->size);
    const int fd = socket(at.ss_family, SOCK_STREAM, 0);
    if (fd < 0) return prog_fail_errno("%s %s", what, text);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    const int bound = bind(fd, (struct sockaddr *)&at, a->size);
    const int error = bound && errno != EADDRINUSE ? errno : 0;
    close(fd);
    errno = error;
    return error ? prog_fail_errno("%s %s", what, text) : PROG_OK;
}

int wan_check_receiver(const wan_config *c, const wan_receiver_config *q)
{
    char what[WHAT_SIZE];
    dx_reactor_address at;
    int status = check_address(what_of(what, c, "[[receiver]]", q->name, "address"), q->address, &at);
    add(&status, check_out(what_of(what, c, "[[receiver]]", q->name, "out"), q->out));
    return status;
}

/* No two of them listen on the same address. With port 0 each gets a port of its own. */
static int check_twice(const wan_config *c, const char *metrics)
{
    int status = PROG_OK;
    char what[WHAT_SIZE];
    for (uint32_t i = 0; i < c->receiver_count; i++) {
        const wan_receiver_config *q = &c->receivers[i];
        const char *port = strrchr(q->address, ':');
        assert(port);
        bool twice = metrics && !strcmp(metrics, q->address);
        for (uint32_t k = 0; k < i; k++) twice = twice || !strcmp(c->receivers[k].address, q->address);
        if (!twice || port[1 + strspn(port + 1, "0")] == 0) continue;
        (void)what_of(what, c, "[[receiver]]", q->name, "address");
        add(&status, prog_fail(PROG_USAGE, "%s %s: another receiver, or [metrics], has it too", what, q->address));
    }
    return status;
}

/* >>all ------------------------------------------------------------------ */
/* TLS would read it, and a FIFO waits. */
static int check_pem(const wan_config *c, const char *key, const char *path)
{
    char what[WHAT_SIZE];
    os_info info;
    if (!path) return PROG_OK;
    (void)what_of(what, c, "[transport]", "", key);
    if (os_stat(path, true, &info) < 0) return prog_fail_errno("%s %s", what, path);
    if (info.kind == OS_FILE) return PROG_OK;
    return prog_fail(PROG_USAGE, "%s %s: is %s", what, path, info.kind == OS_FOLDER ? "a directory" : "not a file");
}

/* Read the files as a mirror or receiver will. section, name: whose keys are at fault. */
static int check_use(const wan_config *c, const char *section, const char *name, const char *address,
                     const char *tls_name, bool serves)
{
    char where[WHAT_SIZE];
    wan_options o = {.config = where, .address = address, .tls_name = tls_name};
    (void)snprintf(where, sizeof where, "%s: %s%s%s%s ", c->path, section, *name ? " " : "", name, *name ? ":" : "");
    wan_config_tls(c, &o);
    return wan_tls_is_wanted(&o) ? wan_tls_check(&o, serves) : PROG_OK;
}

int wan_check_tls(const wan_config *c)
{
    int status = check_pem(c, "tls_cert", c->tls_cert);
    add(&status, check_pem(c, "tls_key", c->tls_key));
    add(&status, check_pem(c, "tls_ca", c->tls_ca));
    if (!status && c->mirror_count) status = check_use(c, "[transport]", "", c->mirrors[0].address, NULL, false);
    if (!status && c->receiver_count) status = check_use(c, "[transport]", "", c->receivers[0].address, NULL, true);
    if (status) return status;
    for (uint32_t i = 0; i < c->mirror_count; i++) {
        const wan_mirror_config *m = &c->mirrors[i];
        if (m->tls_name) add(&status, check_use(c, "[[mirror]]", m->name, m->address, m->tls_name, false));
    }
    for (uint32_t i = 0; i < c->receiver_count; i++) {
        const wan_receiver_config *q = &c->receivers[i];
        if (q->tls_name) add(&status, check_use(c, "[[receiver]]", q->name, q->address, q->tls_name, true));
    }
    return status;
}

static int check_metrics(const wan_config *c, const char *given)
{
    char what[WHAT_SIZE];
    if (given) return prog_scrape_check("--metrics-addr", given);
    if (!c->metrics_address) return PROG_OK;
    return prog_scrape_check(what_of(what, c, "[metrics]", "", "address"), c->metrics_address);
}

int wan_check(const wan_config *c, const char *metrics)
{
    int status = wan_check_tls(c);
    add(&status, check_metrics(c, metrics));
    for (uint32_t i = 0; i < c->mirror_count; i++) add(&status, wan_check_mirror(c, &c->mirrors[i]));
    for (uint32_t i = 0; i < c->receiver_count; i++) add(&status, wan_check_receiver(c, &c->receivers[i]));
    add(&status, check_twice(c, metrics ? metrics : c->metrics_address));
    return status;
}
