/* All five in one file, as a program would have it: declarations first, the implementation later. */
#include "../../../dx_cas.h"
#include "../../../dx_hbtp.h"
#include "../../../dx_patch.h"
#include "../../../dx_reactor.h"
#include "../../../dx_teleport.h"

#define DX_IMPLEMENTATION
#include "../../../dx_cas.h"
#include "../../../dx_hbtp.h"
#include "../../../dx_patch.h"
#include "../../../dx_reactor.h"
#include "../../../dx_teleport.h"
