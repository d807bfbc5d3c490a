/* The event loop's backend by name, for the option --backend of every server. */
#ifndef BACKEND_H
#define BACKEND_H

#define PROG_BACKENDS "auto io_uring epoll kqueue iocp" /* the choices of the option */

/* Set *backend to the dx_reactor_backend of that name; NULL selects the automatic one. Any name
   outside PROG_BACKENDS fails with PROG_USAGE and a message. */
int prog_backend(const char *name, int *backend);

#endif
