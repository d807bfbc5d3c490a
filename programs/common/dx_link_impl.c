/* The implementation of dx_link.h, and of the two layers below it. */
#define DX_PEERS_IMPLEMENTATION
#define DX_WINDOW_IMPLEMENTATION
#define DX_LINK_IMPLEMENTATION
#include "../../layers/dx_link.h"
