/* Permission bits in a file of the tree. See modes.h for the format. */
#include "modes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* the size of "0755 " before a path, and the default modes, which need no line */
enum { PREFIX = 5, FILE_MODE = 0644, FOLDER_MODE = 0755 };

static void make_room(versions_modes *m, size_t more)
{
    assert(m->size <= m->room);
    if (m->room - m->size >= more) return;
    m->room = m->room * 2 + more;
    m->text = realloc(m->text, m->room);
    if (!m->text) abort();
}

void versions_modes_add(versions_modes *m, const char *path, bool folder, unsigned mode)
{
    assert(mode <= 0777);
    if (mode == (folder ? FOLDER_MODE : FILE_MODE)) return;
    size_t size = PREFIX + strlen(path) + 1;
    make_room(m, size + 1);
    snprintf(m->text + m->size, size + 1, "%04o %s\n", mode, path);
    m->size += size;
    assert(m->size < m->room);
}

int versions_modes_save(const versions_modes *m, int folder)
{
    if (!m->size) return PROG_OK;
    int fd = os_make_file_in(folder, VERSIONS_MODES_NAME, FILE_MODE);
    if (fd < 0) return prog_fail_errno(VERSIONS_MODES_NAME);
    int bad = os_write(fd, m->text, m->size), error = errno;
    if (os_close_made(fd) < 0 && !bad) {
        bad = -1;
        error = errno;
    }
    errno = error;
    return bad ? prog_fail_errno(VERSIONS_MODES_NAME) : PROG_OK;
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a + PREFIX, *(char *const *)b + PREFIX);
}

/* Does a line begin with a mode? The file may have been edited. */
static bool is_mode(const char *line, size_t size)
{
    if (size < PREFIX || line[0] != '0' || line[4] != ' ') return false;
    for (int i = 1; i < 4; i++)
        if (line[i] < '0' || line[i] > '7') return false;
    return !memchr(line, 0, size);
}

/* Check the content and split it into lines, sorted by path. */
static int split(versions_modes *m)
{
    size_t room = 0;
    assert(!m->count && !m->lines);
    for (char *line = m->text, *end; line < m->text + m->size; line = end + 1) {
        end = memchr(line, '\n', (size_t)(m->text + m->size - line));
        if (!end || !is_mode(line, (size_t)(end - line)))
            return prog_fail(PROG_DAMAGED, "%s is malformed", VERSIONS_MODES_NAME);
        *end = 0;
        if (m->count == room) {
            room = room * 2 + 64;
            m->lines = realloc(m->lines, room * sizeof *m->lines);
            if (!m->lines) abort();
        }
        m->lines[m->count++] = line;
    }
    if (m->count) qsort(m->lines, m->count, sizeof *m->lines, compare_lines);
    return PROG_OK;
}

int versions_modes_load(versions_modes *m, int folder)
{
    int64_t n;
    int fd = os_open_in(folder, VERSIONS_MODES_NAME, OS_FILE);
    if (fd < 0) return errno == ENOENT ? PROG_OK : prog_fail_errno(VERSIONS_MODES_NAME);
    do {
        make_room(m, PROG_IO_SIZE);
        n = os_read(fd, m->text + m->size, PROG_IO_SIZE);
        if (n > 0) m->size += (size_t)n;
    } while (n > 0);
    int status = n < 0 ? prog_fail_errno(VERSIONS_MODES_NAME) : PROG_OK;
    os_close(fd);
    return status ? status : split(m);
}

unsigned versions_modes_find(const versions_modes *m, const char *path, unsigned mode)
{
    size_t low = 0, high = m->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(m->lines[middle] + PREFIX, path);
        if (order == 0) {
            unsigned kept = (unsigned)strtoul(m->lines[middle], NULL, 8);
            if (mode & 0200) return kept | 0200;
            return kept & 0555;
        }
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return mode;
}

void versions_modes_free(versions_modes *m)
{
    free(m->text);
    free(m->lines);
    memset(m, 0, sizeof *m);
}
