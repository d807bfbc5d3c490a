/* The implementation of dx_reactor.h. */
#define DX_REACTOR_IMPLEMENTATION
#include "../../dx_reactor.h"
