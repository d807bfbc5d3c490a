/* Commands that run before and after a capture. */
#ifndef DXKEEP_HOOK_H
#define DXKEEP_HOOK_H

#include "../common/common.h"

/* Run a command by `sh -c` and wait for it. version: what DXKEEP_VERSION is in its environment; 0:
   it has none. false: it failed or did not end within limit_ns, which a message says; then it was
   killed with its process group. */
bool keep_hook(const char *command, uint64_t limit_ns, uint64_t version, bool consistent);

#endif
