/* A list of the items of a tree that could not be restored, which is printed at the end. See tree.h. */
#include "tree.h"

#include "../../common/os.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 100, LINE_SIZE = PROG_PATH_SIZE_MAX + 512 }; /* lines kept; size of a line */

struct versions_report {
    pthread_mutex_t lock;
    uint64_t        count; /* total */
    uint64_t        left_out[VERSIONS_LEFT_KINDS];
    char           *lines[LINES_MAX];
};

versions_report *versions_report_open(void)
{
    versions_report *r = prog_alloc(sizeof *r);
    memset(r, 0, sizeof *r);
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

void versions_report_add(versions_report *r, const char *of, const char *name, const char *what,
                         int error)
{
    char line[LINE_SIZE];
    const char *between = *of && *name ? "/" : "", *path = *of || *name ? "" : ".";
    pthread_mutex_lock(&r->lock);
    if (r->count < LINES_MAX) {
        int size = snprintf(line, sizeof line, "%s%s%s%s: %s%s%s", path, of, between, name, what,
                            error ? ": " : "", error ? os_error_text(error) : "");
        assert(size > 0);
        size_t kept = (size_t)size < sizeof line ? (size_t)size : sizeof line - 1;
        char *copy = prog_alloc(kept + 1);
        memcpy(copy, line, kept + 1);
        r->lines[r->count] = copy;
    }
    r->count++;
    pthread_mutex_unlock(&r->lock);
}

void versions_report_leave_out(versions_report *r, versions_left kind)
{
    assert(kind < VERSIONS_LEFT_KINDS);
    pthread_mutex_lock(&r->lock);
    r->left_out[kind]++;
    pthread_mutex_unlock(&r->lock);
}

void versions_report_left_out(versions_report *r, uint64_t counts[VERSIONS_LEFT_KINDS])
{
    pthread_mutex_lock(&r->lock);
    memcpy(counts, r->left_out, sizeof r->left_out);
    pthread_mutex_unlock(&r->lock);
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int versions_report_close(versions_report *r, const char *destination)
{
    char text[32];
    size_t kept = r->count < LINES_MAX ? (size_t)r->count : LINES_MAX;
    int status = r->count ? PROG_PARTIAL : PROG_OK;
    if (kept) qsort(r->lines, kept, sizeof *r->lines, compare_lines); /* threads add lines in any order */
    for (size_t i = 0; i < kept; i++) {
        prog_warn("%s: not restored: %s", destination, r->lines[i]);
        free(r->lines[i]);
    }
    if (r->count > kept)
        prog_warn("%s: not restored: %s more", destination, prog_count_text(r->count - kept, text));
    pthread_mutex_destroy(&r->lock);
    free(r);
    return status;
}
