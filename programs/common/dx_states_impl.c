/* The implementation of dx_states.h. */
#define DX_STATES_IMPLEMENTATION
#include "../../layers/dx_states.h"
