/* Errors, files and numbers as text: dxup's, with this program's name in front of its messages. */
#define DXUP_PROGRAM "dxpatch"
#include "../common/base.c"
