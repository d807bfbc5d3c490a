/* dxup verify: see versions_store_check(). */
#include "commands.h"

int dxup_verify(const dxup_options *o) { return versions_store_check(o->store, o->json, o->quiet); }
