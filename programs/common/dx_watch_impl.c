/* The implementation of dx_watch.h. */
#define DX_WATCH_IMPLEMENTATION
#include "../../layers/dx_watch.h"
