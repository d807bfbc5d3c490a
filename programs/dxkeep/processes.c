/* Reads /proc. See processes.h. */
#include "processes.h"

#include "../common/os.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POLL_NS INT64_C(1000000) /* until processes that were killed have ended */

/* Read a small file as text. False: it cannot be read. */
static bool read_text(const char *path, char *out, size_t size)
{
    const int fd = os_open(path);
    if (fd < 0) return false;
    const int64_t n = os_read(fd, out, size - 1);
    os_close(fd);
    out[n > 0 ? n : 0] = 0;
    return n > 0;
}

uint64_t keep_processes_started(void)
{
    char text[65536];
    if (!read_text("/proc/stat", text, sizeof text)) return 0;
    const char *at = strstr(text, "\nprocesses ");
    return at ? strtoull(at + strlen("\nprocesses "), NULL, 10) : 0;
}

uint64_t keep_processes_last_id(void)
{
    char text[256];
    if (!read_text("/proc/loadavg", text, sizeof text)) return 0;
    const char *at = strrchr(text, ' ');
    return at ? strtoull(at, NULL, 10) : 0;
}

/* Parse state and parent from "PID (NAME) STATE PARENT ..."; the name may contain any byte. */
bool keep_process_read(const char *path, char *state, pid_t *parent)
{
    char text[512];
    if (!read_text(path, text, sizeof text)) return false;
    const char *end = strrchr(text, ')');
    if (!end || strlen(end) < 5) return false;
    *state = end[2];
    *parent = (pid_t)atol(end + 4);
    return true;
}

static void add_process(keep_processes *all, const keep_process *p)
{
    if (all->count == all->room) {
        all->room = all->room * 2 + 256;
        all->list = realloc(all->list, all->room * sizeof *all->list);
        if (!all->list) abort();
    }
    all->list[all->count++] = *p;
}

bool keep_processes_list(keep_processes *all)
{
    char path[64];
    struct dirent *e;
    DIR *d = opendir("/proc");
    all->count = all->vanished = 0;
    if (!d) return false;
    for (;;) {
        errno = 0;
        if (!(e = readdir(d))) break;
        keep_process p = {.pid = (pid_t)atol(e->d_name)};
        if (p.pid <= 0) continue;
        snprintf(path, sizeof path, "/proc/%ld/stat", (long)p.pid);
        if (keep_process_read(path, &p.state, &p.parent)) add_process(all, &p);
        else all->vanished++;
    }
    const bool complete = !errno;
    closedir(d);
    return complete;
}

keep_process *keep_processes_find(const keep_processes *all, pid_t pid)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->list[i].pid == pid) return &all->list[i];
    return NULL;
}

void keep_process_close_files(int except)
{
    enum { FILES_MAX = 65536 };
    const long open_max = sysconf(_SC_OPEN_MAX);
    for (int fd = 3; fd < (open_max > 0 && open_max < FILES_MAX ? open_max : FILES_MAX); fd++)
        if (fd != except) close(fd);
}

/* Returns whether one has not ended. Each pass finds the children of those in the list. */
static bool kill_below(pid_t self, pid_t except)
{
    keep_processes all = {.count = 0};
    const bool complete = keep_processes_list(&all);
    bool more = true, left = !complete && all.count; /* count 0: there is no /proc */
    while (more) {
        more = false;
        for (size_t i = 0; i < all.count; i++) {
            keep_process *p = &all.list[i];
            const keep_process *parent = keep_processes_find(&all, p->parent);
            if (p->ours || p->pid == self || p->pid == except) continue;
            if (p->parent != self && !(parent && parent->ours)) continue;
            p->ours = more = true;
            left |= p->state != 'Z' && p->state != 'X';
            kill(p->pid, SIGKILL);
        }
    }
    free(all.list);
    return left;
}

void keep_processes_end(int64_t until_ns, pid_t except)
{
    while (kill_below(getpid(), except)) {
        if (prog_now_ns() >= until_ns) return;
        os_sleep_ns(POLL_NS);
    }
}
