/* See unnamed.h. */
#include "unnamed.h"

#include "../../common/os.h"

#include <errno.h>

int wan_unnamed_open(int *file, const char *name, const char *what)
{
    char folder[PROG_PATH_SIZE_MAX + 1], path[PROG_PATH_SIZE_MAX + 16];
    *file = -1;
    if (os_make_temporary_folder(folder, sizeof folder) < 0)
        return prog_fail_errno("the folder for %s cannot be created", what);
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    *file = os_open_unnamed(path);
    const int error = errno;
    (void)os_remove_folder(folder);
    errno = error;
    return *file < 0 ? prog_fail_errno("%s", path) : PROG_OK;
}
