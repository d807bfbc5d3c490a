/* The size that the store on flash (layers/dx_nor.h) adds to a small program, with BLAKE3. USE 0: nothing; 1:
   open, read and check an object, verify everything; 2: the same, by name; 3: also create, put, name, commit,
   collect. */
#define DX_CAS_SMALL
#define DX_CAS_STATIC
#define DX_NOR_STATIC
#define DX_CAS_IMPLEMENTATION
#define DX_NOR_IMPLEMENTATION
#include "../../../dx_cas.h"
#include "../../../layers/dx_nor.h"

extern uint8_t flash[], ram[1024]; /* start.c */
int main(void);
#if USE
static int flash_read(void *device, uint32_t offset, void *out, size_t size)
{
    (void)device;
    DX_CAS_MEMCPY(out, flash + offset, size);
    return 0;
}
#endif
#if USE == 3
static int flash_program(void *device, uint32_t offset, const void *data, size_t size)
{
    (void)device;
    DX_CAS_MEMCPY(flash + offset, data, size);
    return 0;
}
static int flash_erase(void *device, uint32_t offset)
{
    (void)device;
    flash[offset] = 0xff;
    return 0;
}
#endif

int main(void)
{
#if USE
    static dx_nor store;
    static uint8_t memory[DX_NOR_MEMORY_SIZE(8)];
    dx_nor_desc desc = {0};
    dx_nor_ref ref;
    uint32_t size;
    desc.flash.read = flash_read;
    desc.flash.block_size = 4096;
    desc.flash.block_count = 16;
    desc.flash.unit = 8;
    desc.memory = memory;
    desc.memory_size = sizeof memory;
#if USE == 3
    desc.flash.program = flash_program;
    desc.flash.erase = flash_erase;
    desc.mode = DX_CAS_WRITE;
#endif
    if (dx_nor_open(&store, &desc)) return 1;
#if USE == 3
    if (dx_nor_create(&store, &desc)) return 2;
    if (dx_nor_put(&store, ram, 64, &ref.root) || dx_nor_ref_set(&store, "config", &ref)) return 2;
    if (dx_nor_commit(&store) || dx_nor_collect(&store)) return 3;
#endif
#if USE >= 2
    if (dx_nor_ref_get(&store, "config", &ref)) return 4;
#else
    DX_CAS_MEMCPY(&ref.root, ram, sizeof ref.root);
#endif
    if (dx_nor_get(&store, &ref.root, ram, 256, &size)) return 4;
    return dx_nor_verify(&store, NULL, NULL, NULL);
#else
    return 0;
#endif
}
