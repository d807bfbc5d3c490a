/* The implementation of dx_tree.h. */
#define DX_TREE_IMPLEMENTATION
#include "../../layers/dx_tree.h"
