/* Errors, files and numbers as text: dxup's, with this program's name in front of its messages. */
#include "../dxup/dxup.h"

#include <string.h>

static int put(const char *text, FILE *file)
{
    return fputs(strcmp(text, "dxup: ") ? text : "dxpatch: ", file);
}

#define fputs put
#include "../dxup/base.c"
