/* The processes of this machine, from /proc. */
#ifndef DXKEEP_PROCESSES_H
#define DXKEEP_PROCESSES_H

#include "../common/common.h" /* first: it defines _GNU_SOURCE */

#include <sys/types.h>

typedef struct keep_process {
    pid_t pid, parent;
    char  state;
    bool  ours; /* it belongs to the tree */
} keep_process;

typedef struct keep_processes {
    keep_process *list;
    size_t        count, room;
    size_t        vanished; /* ended before they were read */
} keep_processes;

/* Processes and threads started since boot; 0: unknown. */
uint64_t keep_processes_started(void);
/* The id that was given last in this namespace: ids ascend until they begin again; 0: unknown. */
uint64_t keep_processes_last_id(void);
/* Read the state and the parent from a stat file of /proc. */
bool keep_process_read(const char *path, char *state, pid_t *parent);
/* Replace the list, which is zero at first and freed by the caller. False: there is no /proc. */
bool keep_processes_list(keep_processes *all);
/* NULL: it is not in the list. */
keep_process *keep_processes_find(const keep_processes *all, pid_t pid);
/* In a new process: close what it has inherited, but the standard files and one more (-1: no other). */
void keep_process_close_files(int except);
/* Send SIGKILL to all descendants of this process but one (0: all), until all have ended or until_ns
   (prog_now_ns()). They are not reaped. The caller is a subreaper: orphans become its children, so none is
   missed. */
void keep_processes_end(int64_t until_ns, pid_t except);

#endif
