/* The tests of flash patches with the small applier of dx_patch.h. */
#define DX_PATCH_FLASH_SMALL
#include "../cores/test_flash.c"
