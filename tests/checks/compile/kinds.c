/* The rest of dx_patch.h works, and whatever a switch removed is refused.
   make FOLDER    writes a patch of each kind into the folder; a full build
   check FOLDER   per patch: a build that has its kind applies it, others return ENOTSUP; making, too */
#define DX_PATCH_IMPLEMENTATION
#include "../../../dx_patch.h"

#include <stdio.h>
#include <string.h>

enum { SIZE = 8192, SLOT = 16384, PAGE = 1024 };
static uint8_t base[SIZE], target[SIZE], patch[2 * SIZE], out[SIZE], memory[4 << 20];

static const struct {
    const char *name;
    dx_patch_kind kind;
    uint32_t codings;
    int is_here;
} kinds[] = {
#ifdef DX_PATCH_NO_BLOCKS
    {"blocks", DX_PATCH_KIND_BLOCKS, 0, 0},
#else
    {"blocks", DX_PATCH_KIND_BLOCKS, 0, 1},
#endif
    {"delta", DX_PATCH_KIND_DELTA, 0, 1},
#ifdef DX_PATCH_NO_STREAMS
    {"streams", DX_PATCH_KIND_DELTA, 1u << DX_PATCH_CODING_STREAMS, 0},
#else
    {"streams", DX_PATCH_KIND_DELTA, 1u << DX_PATCH_CODING_STREAMS, 1},
#endif
#ifdef DX_PATCH_NO_FLASH
    {"flash", DX_PATCH_KIND_FLASH, 0, 0},
#else
    {"flash", DX_PATCH_KIND_FLASH, 0, 1},
#endif
};
enum { KINDS = sizeof kinds / sizeof *kinds };

#ifndef DX_PATCH_NO_CREATE
static int create(int k, size_t *size)
{
    dx_patch_create_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.kind = kinds[k].kind;
    desc.codings = kinds[k].codings;
    if (desc.kind == DX_PATCH_KIND_FLASH) desc.block_size = PAGE;
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    return dx_patch_create(&desc, base, SIZE, target, SIZE, patch, sizeof patch, size);
}
#endif

#ifndef DX_PATCH_NO_FLASH
static uint8_t slot[SLOT];

static int slot_io(void *user, dx_patch_flash_io what, uint64_t offset, void *data, size_t size)
{
    (void)user;
    if (what == DX_PATCH_FLASH_READ) memcpy(data, slot + offset, size);
    else if (what == DX_PATCH_FLASH_WRITE) memcpy(slot + offset, data, size);
    else memset(slot + offset, 255, PAGE);
    return 0;
}

static int apply_flash(size_t size)
{
    static dx_patch_flash f;
    dx_patch_flash_desc desc;
    int error;
    memset(&desc, 0, sizeof desc);
    memcpy(slot, base, SIZE);
    desc.io = slot_io;
    desc.patch = patch;
    desc.patch_size = size;
    desc.slot_size = SLOT;
    desc.page_size = PAGE;
    error = dx_patch_flash_apply(&f, &desc);
    return error ? error : memcmp(slot, target, SIZE) != 0;
}
#endif

static int apply(int k, size_t size)
{
    size_t got = 0;
    int error;
    (void)k;
#ifndef DX_PATCH_NO_FLASH
    if (kinds[k].kind == DX_PATCH_KIND_FLASH) return apply_flash(size);
#endif
    error = dx_patch_apply(base, SIZE, patch, size, out, sizeof out, &got, memory, sizeof memory);
    if (!error && (got != SIZE || memcmp(out, target, got) != 0)) error = 1;
#ifndef DX_PATCH_NO_BLOCKS
    if (!error && kinds[k].kind == DX_PATCH_KIND_BLOCKS) { /* and back */
        error = dx_patch_undo(out, SIZE, sizeof out, patch, size, &got);
        if (!error && (got != SIZE || memcmp(out, base, got) != 0)) error = 2;
    }
#endif
    return error;
}

static int run(int k, const char *folder, bool make)
{
    char path[1024];
    size_t size = 0;
    FILE *f;
    int error;
    snprintf(path, sizeof path, "%s/%s", folder, kinds[k].name);
#ifndef DX_PATCH_NO_CREATE
    error = create(k, &size);
    if (error != (kinds[k].is_here ? DX_PATCH_OK : DX_PATCH_ENOTSUP)) return error ? error : 3;
    if (!error) error = apply(k, size);
    if (error && kinds[k].is_here) return error;
#endif
    f = fopen(path, make ? "wb" : "rb");
    if (!f) return 4;
    if (make) return fwrite(patch, 1, size, f) != size || fclose(f) != 0;
    size = fread(patch, 1, sizeof patch, f);
    fclose(f);
    error = apply(k, size);
    if (kinds[k].is_here) return error;
    return error == DX_PATCH_ENOTSUP ? 0 : 5;
}

int main(int argc, char **argv)
{
    int k, wrong = 0;
    if (argc != 3) return 2;
    for (k = 0; k < SIZE; k++) base[k] = (uint8_t)(k * k >> 3);
    memcpy(target, base, SIZE);
    memcpy(target + 100, "changed", 7);
    for (k = 0; k < KINDS; k++) {
        int error = run(k, argv[2], !strcmp(argv[1], "make"));
        if (!error) continue;
        printf("%s: %d %s\n", kinds[k].name, error, dx_patch_error_name(error));
        wrong = 1;
    }
    return wrong;
}
