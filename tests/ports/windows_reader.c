/* Holds a file open, for windows.py: prints what it starts with when it is open, and again after a line came.
   usage: reader PATH share|alone       share: others may replace and delete it meanwhile */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <stdio.h>
#include <string.h>

static int show(HANDLE file)
{
    char bytes[16];
    DWORD n = 0;
    if (SetFilePointer(file, 0, NULL, FILE_BEGIN) != 0 || !ReadFile(file, bytes, sizeof bytes, &n, NULL)) return 1;
    printf("%.*s\n", (int)n, bytes);
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    char line[16];
    if (argc != 3) return 1;
    DWORD share = strcmp(argv[2], "share") ? 0 : FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    HANDLE file = CreateFileA(argv[1], GENERIC_READ, share, NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE) return 2;
    if (show(file)) return 3;
    if (!fgets(line, sizeof line, stdin)) return 4;
    return show(file);
}
