/* Output of the programs. Each call writes with one system call, so messages of several threads
   never interleave. Control characters in arguments never reach the terminal. */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __MINGW_PRINTF_FORMAT
#define PROG_FORMAT __MINGW_PRINTF_FORMAT
#else
#define PROG_FORMAT printf
#endif

/* First in main(): sets the program's name, the prefix of its messages, and calls os_begin(). */
void prog_begin(const char *name, int *argc, char ***argv);
/* Last in main(): returns status, or PROG_SYSTEM if standard output could not be written. */
int  prog_end(int status);

/* All messages show control characters of arguments as \x1b. A format may have newlines at its end
   only. */

/* Print to standard output. */
void prog_say(const char *format, ...) __attribute__((format(PROG_FORMAT, 1, 2)));
/* Set the colour of standard output, if it is a terminal and NO_COLOR is not set. */
typedef enum prog_hue { PROG_PLAIN, PROG_RED, PROG_GREEN, PROG_YELLOW } prog_hue;
void prog_colour(prog_hue hue);
/* Print "NAME: ..." to standard error: a warning, not a failure. */
void prog_warn(const char *format, ...) __attribute__((format(PROG_FORMAT, 1, 2)));
/* Print "NAME: ..." to standard error and return status. */
int  prog_fail(int status, const char *format, ...) __attribute__((format(PROG_FORMAT, 2, 3)));
/* No messages of this thread are printed until it is called with false: for attempts with another way
   out. */
void prog_mute(bool on);
/* The same, followed by the text of errno. Returns PROG_NOT_FOUND for ENOENT, else PROG_SYSTEM. */
int  prog_fail_errno(const char *format, ...) __attribute__((format(PROG_FORMAT, 1, 2)));
/* Show a line of progress on standard error if that is a terminal, at most ten times a second.
   total 0: unknown. last: remove the line. May be called on any thread. */
void prog_progress(const char *what, uint64_t done, uint64_t total, bool last);
/* Show no progress from now on. */
void prog_progress_off(void);

#endif
