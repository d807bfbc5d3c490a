/* The names in a directory. See names.h. */
#include "names.h"

#include "../common/common.h"
#include "../common/os.h"

#include <stdlib.h>
#include <string.h>

static int add_name(void *user, const char *name)
{
    versions_names *n = user;
    const size_t size = strlen(name) + 1;
    if (size > n->room - n->size) {
        n->room = (n->size + size) / 2 * 3 + 64;
        n->text = realloc(n->text, n->room);
        if (!n->text) abort(); /* as prog_alloc() */
    }
    memcpy(n->text + n->size, name, size);
    n->size += size;
    n->count++;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int versions_names_read(versions_names *n, int folder)
{
    memset(n, 0, sizeof *n);
    if (os_list(folder, add_name, n) < 0) {
        n->count = 0; /* some of the names are no list */
        return -1;
    }
    n->list = prog_alloc((n->count + 1) * sizeof *n->list);
    char *at = n->text;
    for (size_t i = 0; i < n->count; i++, at += strlen(at) + 1) n->list[i] = at;
    if (n->count) qsort(n->list, n->count, sizeof *n->list, compare_names);
    return 0;
}

void versions_names_free(versions_names *n)
{
    free(n->text);
    free(n->list);
}
