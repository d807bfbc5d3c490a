/* make FILE    writes a patch of blocks into FILE
   apply FILE   applies it; status 0 when this build, which lacks blocks, refuses it with ENOTSUP, makes
                neither blocks nor flash, and still makes and applies a delta */
#define DX_PATCH_IMPLEMENTATION
#include "../../../dx_patch.h"

#include <stdio.h>
#include <string.h>

static uint8_t base[4096], target[4096], patch[8192], out[4096], memory[1 << 18];

static int create(dx_patch_kind kind, size_t *size)
{
    dx_patch_create_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.kind = kind;
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    if (kind == DX_PATCH_KIND_FLASH) desc.slot_size = 16384;
    return dx_patch_create(&desc, base, sizeof base, target, sizeof target, patch, sizeof patch, size);
}

static int apply(size_t size)
{
    size_t got;
    int error = dx_patch_apply(base, sizeof base, patch, size, out, sizeof out, &got, memory, sizeof memory);
    if (!error && (got != sizeof target || memcmp(out, target, got) != 0)) error = 1;
    return error;
}

int main(int argc, char **argv)
{
    size_t size = 0;
    FILE *f;
    if (argc != 3) return 2;
    for (size_t i = 0; i < sizeof base; i++) base[i] = (uint8_t)(i * i >> 3);
    memcpy(target, base, sizeof base);
    memcpy(target + 100, "changed", 7);
    if (!strcmp(argv[1], "make")) {
        if (create(DX_PATCH_KIND_BLOCKS, &size) || apply(size)) return 3;
        f = fopen(argv[2], "wb");
        return !f || fwrite(patch, 1, size, f) != size || fclose(f) != 0;
    }
    f = fopen(argv[2], "rb");
    if (!f) return 4;
    size = fread(patch, 1, sizeof patch, f);
    fclose(f);
    if (apply(size) != DX_PATCH_ENOTSUP) return 5;
    if (create(DX_PATCH_KIND_BLOCKS, &size) != DX_PATCH_ENOTSUP) return 6;
    if (create(DX_PATCH_KIND_FLASH, &size) != DX_PATCH_ENOTSUP) return 7;
    if (create(DX_PATCH_KIND_DELTA, &size)) return 8;
    return apply(size) ? 9 : 0;
}
