/* The size that dx_cas.h adds to a small program. USE 0: nothing; 1: BLAKE3 of a message; 2: a store on a device,
   opened for reading, with objects verified on each read. */
#define DX_CAS_STATIC
#define DX_CAS_IMPLEMENTATION
#include "../../../dx_cas.h"

extern uint8_t flash[], ram[1024]; /* start.c */
int main(void);
#if USE == 2
static int device_read(void *device, uint64_t offset, void *out, size_t size)
{
    (void)device;
    DX_CAS_MEMCPY(out, flash + offset, size);
    return 0;
}
static uint64_t device_size(void *device)
{
    (void)device;
    return 65536;
}
#endif

int main(void)
{
#if USE == 1
    dx_cas_hash(flash, 65536, (dx_cas_id *)ram);
#elif USE == 2
    static dx_cas_store store;
    dx_cas_desc desc = {0};
    size_t size;
    desc.device.read = device_read;
    desc.device.size = device_size;
    desc.memory = ram;
    desc.memory_size = sizeof ram;
    if (dx_cas_open(&store, &desc)) return 1;
    return dx_cas_get(&store, (const dx_cas_id *)ram, flash, 256, &size);
#endif
    return 0;
}
