/* What the programs print. Each call writes one line (or what it is given of one) with one
   system call, so that the messages of several threads never mix; and nothing that an argument
   brings reaches the terminal as a control character. */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __MINGW_PRINTF_FORMAT
#define DXUP_FORMAT __MINGW_PRINTF_FORMAT
#else
#define DXUP_FORMAT printf
#endif

/* First in main(): the program's name, which stands in front of its messages, and os_begin(). */
void dxup_begin(const char *name, int *argc, char ***argv);
/* Last in main(): status, or DXUP_SYSTEM where standard output could not be written. */
int  dxup_end(int status);

/* Arguments are shown as they are, but for control characters: \x1b. So it is in all messages;
   newlines stand at the end of a format, nowhere else. */

/* Print to standard output. */
void dxup_say(const char *format, ...) __attribute__((format(DXUP_FORMAT, 1, 2)));
/* Print "NAME: ..." to standard error: something is not as one may think, and no failure. */
void dxup_warn(const char *format, ...) __attribute__((format(DXUP_FORMAT, 1, 2)));
/* Print "NAME: ..." to standard error and return status. */
int  dxup_fail(int status, const char *format, ...) __attribute__((format(DXUP_FORMAT, 2, 3)));
/* The same with the text of errno behind it; DXUP_NOT_FOUND or DXUP_SYSTEM. */
int  dxup_fail_errno(const char *format, ...) __attribute__((format(DXUP_FORMAT, 1, 2)));
/* One line of progress on standard error, if that is a terminal, ten times a second at most;
   total 0: unknown. last: remove the line. Any thread. */
void dxup_progress(const char *what, uint64_t done, uint64_t total, bool last);

#endif
