/* The event loop's backend by name, for the option --backend of every server. */
#ifndef BACKEND_H
#define BACKEND_H

#define PROG_BACKENDS "auto io_uring epoll kqueue iocp" /* the choices of the option */

/* Set *backend to the dx_reactor_backend of that name; NULL is the automatic one. PROG_USAGE, with a
   message, for a name that is none of PROG_BACKENDS. */
int prog_backend(const char *name, int *backend);

#endif
