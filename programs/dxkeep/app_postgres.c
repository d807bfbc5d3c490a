/* Online backups of a PostgreSQL server, by psql, which runs as the owner of the directory and answers one
   question after the other. Each question selects 'ok' first, so that its row differs from messages, and is
   followed by a mark. See app_postgres.h. */
#include "app_postgres.h"

#include "../../layers/dx_crc32c.h"
#include "processes.h"
#include "../common/os.h"
#include "../versions/tree/entries.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

enum {
    GROUPS_MAX      = 256,
    LOOKS_MAX       = 40,  /* for a pg_control that is that of the server */
    SERVER_MIN      = 100000,
    SERVER_RENAMED  = 150000 /* from then on pg_backup_start(), not pg_start_backup() */
};
#define MARK "dxkeep-end-of-answer"
#define END_NS  INT64_C(500000000) /* for psql to end by itself */
#define LOOK_NS INT64_C(25000000)

/* >>what --------------------------------------------------------------- */
int keep_backup_leave_out(prog_list *rules)
{
    /* The folders stay. As in the manual of PostgreSQL, "Backing Up the Data Directory". */
    static const char *const names[] = {
        "/postmaster.pid", "/postmaster.opts", "pg_internal.init", "pgsql_tmp*",      "/pg_dynshmem/*", "/pg_notify/*",
        "/pg_replslot/*",  "/pg_serial/*",     "/pg_snapshots/*",  "/pg_stat_tmp/*", "/pg_subtrans/*",
        "/pg_wal/archive_status/*", /* else a copy would archive once more what the original does */
    };
    const size_t count = sizeof names / sizeof *names;
    if (rules->count > PROG_LIST_MAX - count)
        return prog_fail(PROG_USAGE, "--exclude and --include: more than %zu of them, with --app postgres",
                         PROG_LIST_MAX - 2 - count);
    memmove(rules->items + count, rules->items, rules->count * sizeof *rules->items);
    for (size_t i = 0; i < count; i++) {
        rules->items[i].option = "--exclude";
        rules->items[i].value = names[i];
    }
    rules->count += count;
    return PROG_OK;
}

bool keep_backup_ignores(const char *path)
{
    return !strncmp(path, "log/", 4) || !strncmp(path, "pg_log/", 7) || !strcmp(path, "log") ||
           !strcmp(path, "pg_log") || !strcmp(path, "current_logfiles");
}

void keep_backup_own_files(void (*each)(void *user, const char *path), void *user)
{
    each(user, "backup_label");
    each(user, "global/pg_control");
}

/* >>messages ----------------------------------------------------------- */
bool keep_backup_fail(keep_backup *b, keep_torn *t, const char *why)
{
    char text[sizeof b->said];
    snprintf(text, sizeof text, "%.100s: %.380s", b->directory, why);
    keep_torn_because(t, KEEP_TORN_APP);
    if (!b->quiet && strcmp(text, b->said) != 0) prog_warn("--app postgres: %s", text);
    snprintf(b->said, sizeof b->said, "%s", text);
    return false;
}

static bool because(keep_backup *b, const char *why)
{
    snprintf(b->why, sizeof b->why, "%s", why);
    return false;
}

/* >>psql --------------------------------------------------------------- */
/* The user that psql runs as, and what it may connect to. */
typedef struct runner {
    bool  other;  /* than the user of dxkeep */
    uid_t user;
    gid_t group, groups[GROUPS_MAX];
    int   group_count;
    char  home[PROG_PATH_SIZE_MAX + 1];
    char  host[PROG_PATH_SIZE_MAX + 1], port[16];
} runner;

static void choose_user(runner *r, const struct stat *directory)
{
    r->other = geteuid() == 0 && directory->st_uid != 0;
    r->user = directory->st_uid;
    r->group = directory->st_gid;
    snprintf(r->home, sizeof r->home, "/");
    const struct passwd *who = r->other ? getpwuid(r->user) : NULL;
    if (!who) return;
    r->group = who->pw_gid;
    r->group_count = GROUPS_MAX;
    if (getgrouplist(who->pw_name, who->pw_gid, r->groups, &r->group_count) < 0) r->group_count = 0;
    snprintf(r->home, sizeof r->home, "%s", who->pw_dir);
}

static bool become(const runner *r)
{
    if (!r->other) return true;
    if (setgroups((size_t)r->group_count, r->groups) < 0 || setgid(r->group) < 0 || setuid(r->user) < 0) return false;
    setenv("HOME", r->home, 1);
    return chdir("/") == 0; /* the current directory may be closed to this user */
}

/* In the process that becomes psql: as if psql had said it. */
static void give_up(const char *what, int status)
{
    char text[300];
    const int n = snprintf(text, sizeof text, "%s: %s\n", what, os_error_text(errno));
    (void)prog_write_all(2, text, (size_t)n);
    _exit(status);
}

static void execute(const runner *r, int fd, const char *connect)
{
    char name[2 * PROG_PATH_SIZE_MAX];
    signal(SIGPIPE, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    setpgid(0, 0); /* Ctrl-C of the terminal is for dxkeep */
    if (dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0) _exit(126);
    keep_process_close_files(-1);
    if (!become(r)) give_up("psql cannot be run as the owner of the directory", 126);
#if defined(PR_SET_PDEATHSIG)
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the change of the user, which ends it */
#endif
    if (*r->host) setenv("PGHOST", r->host, 0);
    if (*r->port) setenv("PGPORT", r->port, 0);
    setenv("PGDATABASE", "postgres", 0);
    setenv("PGAPPNAME", "dxkeep", 1);
    setenv("LC_ALL", "C", 1);
    snprintf(name, sizeof name, "--dbname=%s", connect ? connect : "");
    execlp("psql", "psql", "-X", "-A", "-t", "-q", "-w", "-F", "|", "-v", "VERBOSITY=terse", connect ? name : NULL, (char *)NULL);
    give_up("psql, which --app postgres needs, cannot be started", 127);
}

static bool start(keep_backup *b, const runner *r)
{
    int pair[2];
    assert(!b->pid);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return because(b, os_error_text(errno));
    b->pid = fork();
    if (b->pid == 0) execute(r, pair[1], b->connect);
    close(pair[1]);
    b->fd = pair[0];
    if (b->pid > 0) return true;
    b->pid = 0;
    close(b->fd);
    return because(b, "no process can be started");
}

/* At the end of its input psql ends, and the session with it. */
static void end(keep_backup *b)
{
    int status;
    if (!b->pid) return;
    const int64_t until_ns = prog_now_ns() + END_NS;
    shutdown(b->fd, SHUT_WR);
    pid_t ended = 0;
    while (!ended && prog_now_ns() < until_ns) {
        ended = waitpid(b->pid, &status, WNOHANG);
        if (!ended) os_sleep_ns(1000000);
    }
    if (!ended) kill(b->pid, SIGKILL);
    while (!ended && waitpid(b->pid, &status, 0) < 0 && errno == EINTR) continue;
    close(b->fd);
    b->pid = 0;
}

/* The first line of what was said, as the reason. */
static bool because_of_answer(keep_backup *b, const char *otherwise)
{
    char *at = b->answer;
    while (*at == '\n') at++;
    at[strcspn(at, "\n")] = 0;
    if (!strncmp(at, "psql: error: ", 13)) at += 13;
    if (!strncmp(at, MARK, strlen(MARK))) *at = 0;
    return because(b, *at ? at : otherwise);
}

/* Read until the mark. */
static bool read_answer(keep_backup *b, int64_t until_ns)
{
    size_t have = 0;
    for (;;) {
        struct pollfd ready = {.fd = b->fd, .events = POLLIN};
        const int64_t left_ns = until_ns - prog_now_ns();
        b->answer[have] = 0;
        if (left_ns <= 0) return because(b, "the server did not answer within --app-max-s");
        const int n = poll(&ready, 1, (int)(left_ns / 1000000) + 1);
        if (n < 0 && errno != EINTR) return because(b, os_error_text(errno));
        if (n <= 0) continue;
        const ssize_t got = recv(b->fd, b->answer + have, sizeof b->answer - 1 - have, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return because_of_answer(b, "psql has ended");
        have += (size_t)got;
        b->answer[have] = 0;
        const size_t tail = sizeof MARK; /* with the end of the line */
        if (have >= tail && !memcmp(b->answer + have - tail, MARK "\n", tail)) return true;
        if (have == sizeof b->answer - 1) return because(b, "the server's answer is too long");
    }
}

/* Split the row of an answer. False: there is none, or not this many fields. */
static bool ask(keep_backup *b, const char *query, int64_t until_ns, size_t count, char **fields)
{
    char text[2048];
    const int n = snprintf(text, sizeof text, "%s;\n\\echo " MARK "\n", query);
    assert(n > 0 && (size_t)n < sizeof text && b->pid);
    /* If psql has ended, its last words say why. */
    for (int at = 0; at < n;) {
        const ssize_t sent = send(b->fd, text + at, (size_t)(n - at), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) break;
        at += (int)sent;
    }
    if (!read_answer(b, until_ns)) return false;
    if (!count) return true;
    char *row = !strncmp(b->answer, "ok|", 3) ? b->answer : strstr(b->answer, "\nok|");
    if (!row) return because_of_answer(b, "the server gave no answer");
    row += *row == '\n';
    row[strcspn(row, "\n")] = 0;
    for (size_t i = 0; i < count; i++) {
        row = strchr(row, '|');
        if (!row) return because(b, "the server's answer is incomplete");
        *row++ = 0;
        fields[i] = row;
    }
    return true;
}

static bool parse_position(const char *text, uint64_t *out)
{
    uint32_t high, low;
    if (sscanf(text, "%8" SCNx32 "/%8" SCNx32, &high, &low) != 2) return false;
    *out = (uint64_t)high << 32 | low;
    return true;
}

/* >>directory ---------------------------------------------------------- */
static bool path_of(const keep_backup *b, const char *name, char out[2 * PROG_PATH_SIZE_MAX + 2])
{
    snprintf(out, 2 * PROG_PATH_SIZE_MAX + 2, "%s/%s", b->directory, name);
    struct stat info;
    return lstat(out, &info) == 0;
}

/* Why it cannot be captured as one directory, or NULL. */
static const char *find_outside(const keep_backup *b)
{
    char path[2 * PROG_PATH_SIZE_MAX + 2];
    struct stat info;
    const char *why = NULL;
    (void)path_of(b, "pg_wal", path);
    if (lstat(path, &info) == 0 && S_ISLNK(info.st_mode))
        return "pg_wal is a link: a log outside of the directory would be missing in its versions";
    (void)path_of(b, "pg_tblspc", path);
    DIR *entries = opendir(path);
    if (!entries) return NULL;
    for (struct dirent *e; !why && (e = readdir(entries)) != NULL;) {
        if (*e->d_name == '.' || fstatat(dirfd(entries), e->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0) continue;
        if (S_ISLNK(info.st_mode))
            why = "there are tablespaces, which are outside of the directory and would be missing in its versions";
        else if (S_ISDIR(info.st_mode))
            why = "there are in-place tablespaces, with which a server does not start on a restored version";
    }
    closedir(entries);
    return why;
}

/* Is there a server? *r gets its address. A process number may be one of another container, in which such a
   process is not seen. */
static bool finds_server(const keep_backup *b, runner *r)
{
    char path[2 * PROG_PATH_SIZE_MAX + 2], text[2 * PROG_PATH_SIZE_MAX];
    char *lines[6] = {NULL}, *at = text;
    if (!path_of(b, "postmaster.pid", path)) return false;
    const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    const int64_t size = fd < 0 ? 0 : prog_read_at(fd, 0, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    text[size > 0 ? size : 0] = 0;
    for (size_t i = 0; i < 6 && *at; i++) {
        lines[i] = at;
        at += strcspn(at, "\n");
        if (*at) *at++ = 0;
    }
    if (lines[3]) snprintf(r->port, sizeof r->port, "%s", lines[3]);
    if (lines[4] && *lines[4] == '/') snprintf(r->host, sizeof r->host, "%.*s", PROG_PATH_SIZE_MAX, lines[4]);
    else if (lines[4] && *lines[4])
        snprintf(r->host, sizeof r->host, "%.*s/%.*s", PROG_PATH_SIZE_MAX / 2, b->directory, PROG_PATH_SIZE_MAX / 3, lines[4]);
    else if (lines[5] && *lines[5]) snprintf(r->host, sizeof r->host, "%.255s", strcmp(lines[5], "*") ? lines[5] : "localhost");
    const long pid = lines[0] ? strtol(lines[0], NULL, 10) : 0;
    return b->connect || pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH;
}

/* A sum of the configuration files' names and times: a change of one of them is no transaction. */
static uint64_t look_at_configuration(const keep_backup *b)
{
    uint64_t sum = 0;
    DIR *entries = opendir(b->directory);
    if (!entries) return 0;
    for (struct dirent *e; (e = readdir(entries)) != NULL;) {
        struct stat info;
        const size_t size = strlen(e->d_name);
        if (size < 5 || strcmp(e->d_name + size - 5, ".conf") != 0) continue;
        if (fstatat(dirfd(entries), e->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0) continue;
        uint64_t hash = UINT64_C(0xcbf29ce484222325);
        for (size_t i = 0; i < size; i++) hash = (hash ^ (uint8_t)e->d_name[i]) * UINT64_C(0x100000001b3);
        hash = (hash ^ (uint64_t)info.st_size) * UINT64_C(0x100000001b3);
        hash = (hash ^ (uint64_t)info.st_ino) * UINT64_C(0x100000001b3);
        sum += (hash ^ (uint64_t)info.st_mtim.tv_sec) * UINT64_C(0x100000001b3) ^ (uint64_t)info.st_mtim.tv_nsec;
    }
    closedir(entries);
    return sum;
}

/* >>pg_control --------------------------------------------------------- */
/* These offsets are the same in all versions from 10 to 18; the place of the checksum is not. */
enum { CONTROL_SIZE = 8192, CONTROL_TIME = 24, CONTROL_CHECKPOINT = 32, CHECKSUM_MIN = 64, CHECKSUM_MAX = 1024 };

static uint64_t load_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* The server writes it in place: a read may get parts of two states. */
static bool is_sound(const uint8_t control[CONTROL_SIZE])
{
    uint32_t sum = dx_crc32c_update(0, control, CHECKSUM_MIN), stored;
    for (size_t at = CHECKSUM_MIN; at < CHECKSUM_MAX; at += 4) {
        memcpy(&stored, control + at, sizeof stored);
        if (stored == sum) return true;
        sum = dx_crc32c_update(sum, control + at, 4);
    }
    return false;
}

static bool read_control(keep_backup *b, uint8_t out[CONTROL_SIZE], int64_t until_ns)
{
    char path[2 * PROG_PATH_SIZE_MAX + 2];
    (void)path_of(b, "global/pg_control", path);
    do {
        const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) return because(b, "global/pg_control cannot be opened");
        const int64_t got = prog_read_at(fd, 0, out, CONTROL_SIZE);
        close(fd);
        if (got == CONTROL_SIZE && is_sound(out)) return true;
        os_sleep_ns(1000000);
    } while (prog_now_ns() < until_ns);
    return because(b, "global/pg_control is damaged");
}

/* Is the server that answers the one of this directory? */
static bool is_own(keep_backup *b, int64_t until_ns)
{
    uint8_t control[CONTROL_SIZE];
    char *f[5];
    uint64_t checkpoint = 0;
    for (int i = 0; i < LOOKS_MAX; i++) {
        if (i) os_sleep_ns(LOOK_NS);
        if (!read_control(b, control, until_ns)) return false;
        if (!ask(b, "SELECT 'ok', s.system_identifier, floor(extract(epoch FROM s.pg_control_last_modified))::bigint, "
                    "c.checkpoint_lsn, c.timeline_id, i.bytes_per_wal_segment "
                    "FROM pg_control_system() s, pg_control_checkpoint() c, pg_control_init() i", until_ns, 5, f))
            return false;
        b->timeline = (uint32_t)strtoul(f[3], NULL, 10);
        b->segment_size = (uint32_t)strtoul(f[4], NULL, 10);
        if (!parse_position(f[2], &checkpoint) || !b->timeline || b->segment_size < 1 << 20)
            return because(b, "the server's answer about pg_control cannot be understood");
        if (strtoull(f[0], NULL, 10) == load_u64(control) && strtoull(f[1], NULL, 10) == load_u64(control + CONTROL_TIME) &&
            checkpoint == load_u64(control + CONTROL_CHECKPOINT))
            return true;
    }
    return because(b, "the server that answers has another directory");
}

/* >>begin -------------------------------------------------------------- */
static bool refuse(const keep_backup *b, const char *why)
{
    prog_fail(PROG_REFUSED, "--app postgres: %s: %s", b->directory, why);
    return false;
}

static bool is_data_directory(const keep_backup *b)
{
    char path[2 * PROG_PATH_SIZE_MAX + 2];
    if (!path_of(b, "PG_VERSION", path) || !path_of(b, "global/pg_control", path))
        return refuse(b, "it is no data directory of PostgreSQL: it lacks PG_VERSION or global/pg_control");
    const char *why = find_outside(b);
    return !why || refuse(b, why);
}

/* *standby: it cannot be backed up like this. */
static bool identify(keep_backup *b, int64_t until_ns, bool *standby)
{
    char *f[6];
    const uint64_t configuration = look_at_configuration(b);
    /* Errors only: a session may print notices in any language. */
    if (!ask(b, "SET client_min_messages = error; SET statement_timeout = 0", until_ns, 0, f)) return false;
    if (!ask(b, "SELECT 'ok', current_setting('server_version_num'), pg_is_in_recovery(), "
                "(SELECT system_identifier FROM pg_control_system()), txid_current_snapshot(), "
                "(SELECT coalesce(string_agg(transaction::text, ',' ORDER BY transaction::text), '') FROM pg_prepared_xacts), "
                "extract(epoch FROM pg_postmaster_start_time())",
             until_ns, 6, f))
        return false;
    b->version = (unsigned)strtoul(f[0], NULL, 10);
    *standby = !strcmp(f[1], "t");
    if (b->version < SERVER_MIN) return because(b, "the server is older than PostgreSQL 10");
    free(b->state);
    /* Before it was started, somebody may have replaced the files: then the same numbers are other transactions. */
    const size_t size = strlen(f[2]) + strlen(f[3]) + strlen(f[4]) + strlen(f[5]) + 40;
    b->state = prog_alloc(size);
    snprintf(b->state, size, "%s|%s|%s|%s|%016llx", f[2], f[3], f[4], f[5], (unsigned long long)configuration);
    return b->version < 140000 || ask(b, "SET idle_session_timeout = 0", until_ns, 0, f);
}

static bool begin(keep_backup *b, int64_t until_ns)
{
    char *f[1], query[200];
    uint8_t dice[6];
    /* So that the log is not recycled before it is read. Where there can be none, it is seen afterwards whether it was. */
    if (!os_random(dice, sizeof dice)) return because(b, "the system's random numbers are not available");
    snprintf(query, sizeof query, "SELECT 'ok', pg_create_physical_replication_slot('dxkeep_%02x%02x%02x%02x%02x%02x', true, true)",
             dice[0], dice[1], dice[2], dice[3], dice[4], dice[5]);
    if (!ask(b, query, until_ns, 1, f) && prog_now_ns() >= until_ns) return false;
    snprintf(query, sizeof query, "SELECT 'ok', %s", b->version >= SERVER_RENAMED ? "pg_backup_start('dxkeep', true)"
                                                                                  : "pg_start_backup('dxkeep', true, false)");
    if (!ask(b, query, until_ns, 1, f)) return false;
    if (!parse_position(f[0], &b->start)) return because(b, "the server's answer to the start cannot be understood");
    return is_own(b, until_ns);
}

static keep_backup_state fail_to_begin(keep_backup *b, keep_torn *t)
{
    keep_backup_fail(b, t, b->why);
    end(b);
    return KEEP_BACKUP_FAILED;
}

keep_backup_state keep_backup_begin(keep_backup *b, keep_torn *t)
{
    const int64_t began_ns = prog_now_ns(), until_ns = began_ns + (int64_t)b->limit_ns;
    runner r = {.other = false};
    struct stat info;
    bool standby = false;
    b->waited_ns = 0;
    if (!is_data_directory(b)) return KEEP_BACKUP_REFUSED;
    if (!finds_server(b, &r)) return KEEP_BACKUP_AT_REST;
    const bool there = stat(b->directory, &info) == 0;
    if (!there) because(b, os_error_text(errno));
    else choose_user(&r, &info);
    if (!there || !start(b, &r) || !identify(b, until_ns, &standby)) return fail_to_begin(b, t);
    if (standby) {
        refuse(b, "its server is a standby: capture the directory of its primary");
        end(b);
        return KEEP_BACKUP_REFUSED;
    }
    if (b->kept && !strcmp(b->kept, b->state)) {
        end(b);
        return KEEP_BACKUP_SAME;
    }
    if (!begin(b, until_ns)) return fail_to_begin(b, t);
    b->waited_ns = (uint64_t)(prog_now_ns() - began_ns);
    return KEEP_BACKUP_BEGUN;
}

bool keep_backup_is_at_rest(keep_backup *b, keep_torn *t)
{
    runner r;
    return !finds_server(b, &r) || keep_backup_fail(b, t, "the server was started during the capture");
}

/* >>end ---------------------------------------------------------------- */
/* Give a file or folder of the staging folder the rights, owner and time of one in the directory. */
static bool copy_rights(keep_backup *b, const char *from, const char *to, bool time)
{
    char source[2 * PROG_PATH_SIZE_MAX + 2], target[sizeof b->staging + 32];
    struct stat info;
    (void)path_of(b, from, source);
    snprintf(target, sizeof target, "%s/%s", b->staging, to);
    if (stat(source, &info) < 0) return because(b, os_error_text(errno));
    const struct timespec times[2] = {info.st_mtim, info.st_mtim};
    if (chown(target, info.st_uid, info.st_gid) < 0)
        return because(b, "the label cannot get the owner of the directory: run dxkeep as that user, or as root");
    if (chmod(target, info.st_mode & 07777) < 0 || (time && utimensat(AT_FDCWD, target, times, 0) < 0))
        return because(b, os_error_text(errno));
    return true;
}

static bool stage(keep_backup *b, const char *name, const void *bytes, size_t size)
{
    char path[sizeof b->staging + 32];
    snprintf(path, sizeof path, "%s/%s", b->staging, name);
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const bool good = fd >= 0 && prog_write_all(fd, bytes, size);
    if (!good) because(b, os_error_text(errno));
    if (fd >= 0) close(fd);
    return good;
}

/* Before the stop: as the server's own backups do, after all other files. */
static bool stage_control(keep_backup *b, int64_t until_ns)
{
    uint8_t control[CONTROL_SIZE];
    char global[sizeof b->staging + 16];
    snprintf(b->staging, sizeof b->staging, "%s/backup-staging", b->store);
    snprintf(global, sizeof global, "%s/global", b->staging);
    os_remove_tree(b->staging); /* of a dxkeep that was killed */
    if (mkdir(b->staging, 0700) < 0 || mkdir(global, 0700) < 0) return because(b, os_error_text(errno));
    return read_control(b, control, until_ns) && stage(b, "global/pg_control", control, sizeof control);
}

static bool stage_label(keep_backup *b, const char *hex)
{
    char label[4096];
    size_t size = 0;
    unsigned byte;
    for (; size < sizeof label && hex[0] && hex[1] && sscanf(hex, "%2x", &byte) == 1; hex += 2) label[size++] = (char)byte;
    if (!size || *hex) return because(b, "the server gave no label");
    return stage(b, "backup_label", label, size) && copy_rights(b, "global/pg_control", "backup_label", false) &&
           copy_rights(b, "global/pg_control", "global/pg_control", true) && copy_rights(b, "global", "global", true) &&
           copy_rights(b, ".", ".", true);
}

static bool stop(keep_backup *b, int64_t until_ns)
{
    char *f[3];
    if (!stage_control(b, until_ns)) return false;
    const char *call = b->version >= SERVER_RENAMED ? "SELECT 'ok', lsn, encode(convert_to(labelfile, 'UTF8'), 'hex'), "
                                                      "length(spcmapfile) FROM pg_backup_stop(false)"
                                                    : "SELECT 'ok', lsn, encode(convert_to(labelfile, 'UTF8'), 'hex'), "
                                                      "length(spcmapfile) FROM pg_stop_backup(false, false)";
    if (!ask(b, call, until_ns, 3, f)) return false;
    if (!parse_position(f[0], &b->stop) || b->stop <= b->start)
        return because(b, "the server's answer to the stop cannot be understood");
    const char *outside = strtoul(f[2], NULL, 10) ? "a tablespace was made during the capture" : find_outside(b);
    return outside ? because(b, outside) : stage_label(b, f[1]);
}

bool keep_backup_end(keep_backup *b, keep_torn *t)
{
    const int64_t began_ns = prog_now_ns();
    assert(b->pid && b->start);
    const bool good = stop(b, began_ns + (int64_t)b->limit_ns);
    b->waited_ns += (uint64_t)(prog_now_ns() - began_ns);
    return good || keep_backup_fail(b, t, b->why);
}

/* >>log ---------------------------------------------------------------- */
static void name_segment(const keep_backup *b, uint64_t number, char out[25])
{
    const uint64_t each = (UINT64_C(1) << 32) / b->segment_size;
    snprintf(out, 25, "%08" PRIX32 "%08" PRIX32 "%08" PRIX32, b->timeline, (uint32_t)(number / each), (uint32_t)(number % each));
}

void keep_backup_log_files(const keep_backup *b, void (*each)(void *user, const char *path), void *user)
{
    char path[40], name[25];
    for (uint64_t n = b->start / b->segment_size; n <= (b->stop - 1) / b->segment_size; n++) {
        name_segment(b, n, name);
        snprintf(path, sizeof path, "pg_wal/%s", name);
        each(user, path);
    }
}

typedef struct finding {
    const keep_backup *backup;
    uint64_t           next;  /* segment that was not found yet */
    unsigned           files; /* of keep_backup_own_files() */
} finding;

/* In the order of the names. */
static int find_segment(void *user, const versions_entry *e)
{
    finding *f = user;
    char name[25];
    const char *slash = strrchr(e->path, '/');
    name_segment(f->backup, f->next, name);
    if (e->type == DX_TREE_FILE && !strcmp(slash ? slash + 1 : e->path, name) && e->size == f->backup->segment_size) f->next++;
    return PROG_OK;
}

static int find_file(void *user, const versions_entry *e)
{
    finding *f = user;
    f->files += e->type == DX_TREE_FILE && e->size > 0;
    return PROG_OK;
}

bool keep_backup_is_whole(keep_backup *b, versions_store *s, const uint8_t root[32], keep_torn *t)
{
    versions_version v = {.kind = PROG_TREE, .snapshot = true};
    finding f = {.backup = b, .next = b->start / b->segment_size};
    char text[120], name[25];
    memcpy(v.root, root, sizeof v.root);
    if (versions_entries_visit(s, &v, "backup_label", 1, find_file, &f) ||
        versions_entries_visit(s, &v, "global/pg_control", 1, find_file, &f) || f.files != 2)
        return keep_backup_fail(b, t, "the label could not be added");
    int status = versions_entries_visit(s, &v, "pg_wal", 1, find_segment, &f);
    if (status || f.next <= (b->stop - 1) / b->segment_size) {
        name_segment(b, f.next, name);
        snprintf(text, sizeof text, "the file pg_wal/%s of the log was recycled, or left out: it needs a free replication slot", name);
        return keep_backup_fail(b, t, text);
    }
    free(b->kept);
    b->kept = b->state;
    b->state = NULL;
    *b->said = 0;
    return true;
}

void keep_backup_clean(keep_backup *b)
{
    end(b);
    if (*b->staging) os_remove_tree(b->staging);
    *b->staging = 0;
}

void keep_backup_close(keep_backup *b)
{
    keep_backup_clean(b);
    free(b->state);
    free(b->kept);
    b->state = b->kept = NULL;
}
