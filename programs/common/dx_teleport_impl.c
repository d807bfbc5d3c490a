/* The implementation of dx_teleport.h. */
#define DX_TELEPORT_IMPLEMENTATION
#include "../../dx_teleport.h"
