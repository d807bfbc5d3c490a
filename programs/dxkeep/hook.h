/* Commands that run before and after a capture. */
#ifndef DXKEEP_HOOK_H
#define DXKEEP_HOOK_H

#include "../common/common.h"

/* Run a command with `sh -c` and wait for it. version: the value of DXKEEP_VERSION in its
   environment; 0: not set. False: it failed, or it did not end within limit_ns and was killed with
   its process group; a message gives the reason. */
bool keep_hook(const char *command, uint64_t limit_ns, uint64_t version, bool consistent);

/* Keep the process group of the hook that runs here, or 0: who survives this process may end it. */
void keep_hook_tell(int *group);

#endif
