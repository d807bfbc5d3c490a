/* Preloaded into dxkeep: a busy machine. Whenever dxkeep begins to list the processes of the machine, a process that
   has nothing to do with it starts, and whenever it has listed them all, that one ends: DX_BUSY is a socket at which
   the test does both, so this does not depend on how fast anything is. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static DIR *listed;

/* 's': start a process, 'e': end it. Returns when that was done. */
static void ask(char what)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strncpy(to.sun_path, getenv("DX_BUSY"), sizeof to.sun_path - 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) abort();
    if (write(fd, &what, 1) != 1 || read(fd, &what, 1) != 1) abort();
    close(fd);
}

DIR *opendir(const char *path)
{
    DIR *d = REAL(opendir)(path);
    if (d && !strcmp(path, "/proc")) {
        listed = d;
        ask('s');
    }
    return d;
}

int closedir(DIR *d)
{
    if (d == listed) {
        listed = NULL;
        ask('e');
    }
    return REAL(closedir)(d);
}
