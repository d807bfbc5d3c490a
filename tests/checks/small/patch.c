/* The size that dx_patch.h adds to a small program. USE 0: nothing; 1: blocks in place in memory; 2: one slot of flash; 3:
   any patch, streaming; 4: any except stream deltas; 5: one slot of flash, small. */
#define DX_PATCH_NO_CREATE
#if USE == 4
  #define DX_PATCH_NO_STREAMS
#endif
#if USE == 5
  #define DX_PATCH_FLASH_SMALL
#endif
#define DX_PATCH_STATIC
#define DX_PATCH_IMPLEMENTATION
#include "../../../dx_patch.h"

extern uint8_t flash[], ram[1024]; /* start.c */
int main(void);
#if USE == 2 || USE == 5
static int flash_io(void *user, dx_patch_flash_io what, uint64_t offset, void *data, size_t size)
{
    (void)user;
    if (what == DX_PATCH_FLASH_READ) DX_PATCH_MEMCPY(data, flash + offset, size);
    else if (what == DX_PATCH_FLASH_WRITE) DX_PATCH_MEMCPY(flash + offset, data, size);
    else DX_PATCH_MEMSET(flash + offset, 255, size);
    return 0;
}
#elif USE == 3 || USE == 4
static int base_read(void *user, uint64_t offset, void *out, size_t size)
{
    (void)user;
    DX_PATCH_MEMCPY(out, flash + offset, size);
    return 0;
}
static int target_write(void *user, const void *data, size_t size)
{
    (void)user;
    DX_PATCH_MEMCPY(flash, data, size);
    return 0;
}
#endif

int main(void)
{
#if USE == 1
    size_t size;
    return dx_patch_apply_in_place(flash, 4096, 8192, ram, sizeof ram, &size);
#elif USE == 2 || USE == 5
    static dx_patch_flash f;
    dx_patch_flash_desc desc = {0};
    desc.io = flash_io;
    desc.patch = ram;
    desc.patch_size = sizeof ram;
    desc.slot_size = 65536;
    desc.page_size = 4096;
    return dx_patch_flash_apply(&f, &desc);
#elif USE == 3 || USE == 4
    static dx_patch_applier a;
    dx_patch_applier_desc desc = {0};
    int error;
    desc.read = base_read;
    desc.write = target_write;
    desc.base_size = 65536;
    desc.memory = ram;
    desc.memory_size = sizeof ram;
    error = dx_patch_applier_init(&a, &desc);
    if (!error) error = dx_patch_applier_feed(&a, flash, 100);
    return error ? error : dx_patch_applier_finish(&a);
#else
    return 0;
#endif
}
