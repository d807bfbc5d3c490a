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
#include <netinet/in.h>
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
    if (!like && wan_memory_is_path(path, &process) && process == (int)getpid())
        return prog_fail(PROG_USAGE, "%s %s: is the memory of dxwan itself; give /proc/PID/mem of another process",
                         what, path);
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

/* A receiver cannot have port 0, with which it is given one. */
static int check_destination(const char *what, const char *text)
{
    const char *port = strrchr(text, ':');
    assert(port); /* wan_address_fault() */
    if (!strncmp(text, "unix:", 5) || port[1 + strspn(port + 1, "0")]) return PROG_OK;
    return prog_fail(PROG_USAGE, "%s %s: no receiver has port 0; give the port that it says", what, text);
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
    add(&status, check_destination(what_of(what, c, section, m->name, "address"), m->address));
    if (c->enabled && !PROG_HAS_ZSTD)
        add(&status, prog_fail(PROG_SYSTEM, "%s this dxwan was built without zstd; `enabled = false` above all tables "
                                            "copies without it",
                               what_of(what, c, section, m->name, "COMPRESSION_FAILED:")));
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
    if (os_stat(out, false, &info) == 0 && info.kind != OS_FILE)
        return prog_fail(PROG_USAGE, "%s %s: is a symbolic link, which is never replaced; only one to a directory is "
                                     "followed", what, out);
    const char *slash = strrchr(out, '/');
    const char *name = slash ? slash + 1 : out;
    if (strlen(name) > WAN_NAME_MAX)
        return prog_fail(PROG_USAGE, "%s %s: the name of the file is longer than %d bytes", what, out, WAN_NAME_MAX);
    if (strlen(out) + sizeof "..dxwan-part" - 1 >= PROG_PATH_SIZE_MAX) /* name_files() of target.c */
        return prog_fail(PROG_USAGE, "%s %s: the path is too long", what, out);
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
    const int yes = 1, no = 0;
    struct sockaddr_storage at;
    const char *why = wan_address_look_up(a, text);
    if (why) return prog_fail(PROG_NETWORK, "%s %s: %s", what, text, why);
    assert(a->size && a->size <= sizeof at);
    memcpy(&at, a->bytes, a->size);
    if (at.ss_family == AF_UNIX && strncmp(text, "unix:@", 6) != 0)
        return prog_fail(PROG_USAGE, "%s %s: its file would stay; give HOST:PORT", what, text);
    const int fd = socket(at.ss_family, SOCK_STREAM, 0);
    if (fd < 0) return prog_fail_errno("%s %s", what, text);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (at.ss_family == AF_INET6) (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    const int bound = bind(fd, (struct sockaddr *)&at, a->size);
    const int error = bound && errno != EADDRINUSE ? errno : 0;
    close(fd);
    errno = error;
    return error ? prog_fail_errno("%s %s", what, text) : PROG_OK;
}

static int check_receiver(const wan_config *c, const wan_receiver_config *q, dx_reactor_address *at)
{
    char what[WHAT_SIZE];
    int status = check_address(what_of(what, c, "[[receiver]]", q->name, "address"), q->address, at);
    add(&status, check_out(what_of(what, c, "[[receiver]]", q->name, "out"), q->out));
    return status;
}

int wan_check_receiver(const wan_config *c, const wan_receiver_config *q)
{
    dx_reactor_address at;
    return check_receiver(c, q, &at);
}

/* >>listeners ------------------------------------------------------------ */
/* Linux refuses 127.0.0.1 beside 0.0.0.0 on the same port; other systems send each connection to the closest one. */
#if defined(__linux__)
enum { ANY_IS_ALL = 1 };
#else
enum { ANY_IS_ALL = 0 };
#endif

typedef struct listener {
    const char        *section; /* whose key gives the address, or the option */
    const char        *name;
    const char        *address; /* as it was given */
    dx_reactor_address at;      /* empty: it cannot be used, which was said */
} listener;

typedef struct endpoint {
    uint8_t  ip[16]; /* an IPv4 address, mapped or not: its 4 bytes, then zeros */
    uint32_t scope;
    uint16_t port;   /* 0: no IP address, or the system chooses the port */
    bool     v4;
    bool     any;
} endpoint;

static endpoint endpoint_of(const dx_reactor_address *a)
{
    static const uint8_t zeros[16] = {0};
    struct sockaddr_storage at = {0};
    endpoint e = {.port = 0};
    assert(a->size && a->size <= sizeof at);
    memcpy(&at, a->bytes, a->size);
    if (at.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&at;
        memcpy(e.ip, &in->sin_addr, 4);
        e.port = in->sin_port;
        e.v4 = true;
    } else if (at.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&at;
        e.v4 = IN6_IS_ADDR_V4MAPPED(&in->sin6_addr);
        memcpy(e.ip, in->sin6_addr.s6_addr + (e.v4 ? 12 : 0), e.v4 ? 4 : 16);
        e.scope = in->sin6_scope_id;
        e.port = in->sin6_port;
    }
    e.any = !memcmp(e.ip, zeros, sizeof zeros);
    return e;
}

static bool is_unix(const dx_reactor_address *a)
{
    struct sockaddr_storage at = {0};
    memcpy(&at, a->bytes, a->size);
    return at.ss_family == AF_UNIX;
}

/* Does listening on one of them exclude the other? With port 0 each gets a port of its own. [::] has IPv4, too. */
static bool excludes(const dx_reactor_address *a, const dx_reactor_address *b)
{
    if (!a->size || !b->size) return false;
    const endpoint x = endpoint_of(a), y = endpoint_of(b);
    if (is_unix(a) && is_unix(b)) return a->size == b->size && !memcmp(a->bytes, b->bytes, a->size);
    if (!x.port || x.port != y.port) return false;
    if (x.v4 == y.v4 && x.scope == y.scope && !memcmp(x.ip, y.ip, sizeof x.ip)) return true;
    return ANY_IS_ALL && ((x.any && (!x.v4 || y.v4)) || (y.any && (!y.v4 || x.v4)));
}

static int check_twice(const wan_config *c, const listener *all, uint32_t count)
{
    int status = PROG_OK;
    char what[WHAT_SIZE];
    for (uint32_t i = 1; i < count; i++) {
        uint32_t k = 0;
        while (k < i && !excludes(&all[i].at, &all[k].at)) k++;
        if (k == i) continue;
        const listener *other = &all[k];
        (void)what_of(what, c, all[i].section, all[i].name, "address");
        add(&status, prog_fail(PROG_USAGE, "%s %s: is in use by %s%s%s, with the address %s", what, all[i].address,
                               other->section, *other->name ? " " : "", other->name, other->address));
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

/* Of the metrics. given: by --metrics-addr, NULL: the key of [metrics] has it. */
static int check_metrics(const wan_config *c, const char *given, listener *l)
{
    char what[WHAT_SIZE];
    *l = (listener){.section = given ? "--metrics-addr" : "[metrics]", .name = "",
                    .address = given ? given : c->metrics_address};
    (void)what_of(what, c, "[metrics]", "", "address");
    assert(l->address);
    return prog_scrape_check(given ? "--metrics-addr" : what, l->address, l->at.bytes, &l->at.size);
}

int wan_check(const wan_config *c, const char *metrics)
{
    listener listeners[1 + WAN_RECEIVERS_MAX];
    uint32_t count = 0;
    int status = wan_check_tls(c);
    if (metrics || c->metrics_address) add(&status, check_metrics(c, metrics, &listeners[count++]));
    for (uint32_t i = 0; i < c->mirror_count; i++) add(&status, wan_check_mirror(c, &c->mirrors[i]));
    for (uint32_t i = 0; i < c->receiver_count; i++) {
        const wan_receiver_config *q = &c->receivers[i];
        listener *l = &listeners[count++];
        *l = (listener){.section = "[[receiver]]", .name = q->name, .address = q->address};
        add(&status, check_receiver(c, q, &l->at));
    }
    assert(count <= 1 + WAN_RECEIVERS_MAX);
    add(&status, check_twice(c, listeners, count));
    return status;
}
