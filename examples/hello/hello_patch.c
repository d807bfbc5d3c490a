/* A delta for something that moved, applied as it arrives in small pieces, and XOR blocks for
   something that stays in place, applied in place and undone.
   cc -O2 -o hello_patch examples/hello/hello_patch.c */
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#include <stdio.h>
#include <string.h>

static const char old_text[] = "A patch turns version A of some bytes into version B. It says "
                               "which bytes it is for, and refuses all others.";
static const char new_text[] = "In short: a patch turns version A of some bytes into version B. It "
                               "says which bytes it was made for, and refuses all others.";
static uint8_t work[1 << 18], patch[1024], applier_memory[65536];
static char result[256];
static size_t result_size;

static int read_old(void *user, uint64_t offset, void *out, size_t size)
{
    memcpy(out, (const char *)user + offset, size);
    return 0;
}

static int write_new(void *user, const void *data, size_t size)
{
    (void)user;
    if (size > sizeof result - result_size) return 1;
    memcpy(result + result_size, data, size);
    result_size += size;
    return 0;
}

static int stream(void *base, size_t base_size, size_t patch_size)
{
    dx_patch_applier applier;
    dx_patch_applier_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.user = base;
    desc.read = read_old;
    desc.write = write_new;
    desc.base_size = base_size;
    desc.memory = applier_memory;
    desc.memory_size = sizeof applier_memory;
    result_size = 0;
    int error = dx_patch_applier_init(&applier, &desc);
    for (size_t at = 0; !error && at < patch_size; at += 16) { /* as from a slow wire */
        size_t part = patch_size - at < 16 ? patch_size - at : 16;
        error = dx_patch_applier_feed(&applier, patch + at, part);
    }
    return error ? error : dx_patch_applier_finish(&applier);
}

int main(void)
{
    char base[sizeof old_text];
    size_t patch_size, size, old_size = sizeof old_text - 1, new_size = sizeof new_text - 1;
    dx_patch_create_desc desc;
    dx_patch_header header;
    memset(&desc, 0, sizeof desc);
    memcpy(base, old_text, sizeof base);
    desc.memory = work;
    desc.memory_size = sizeof work;

    int error = dx_patch_create(&desc, old_text, old_size, new_text, new_size, patch, sizeof patch,
                                &patch_size);
    if (!error) error = dx_patch_info(patch, patch_size, &header);
    if (error) return 1;
    printf("delta: %u bytes become %u; header 128, body %u, memory to apply %u\n",
           (unsigned)header.base_size, (unsigned)header.target_size, (unsigned)header.body_size,
           (unsigned)header.memory_size);
    printf("applied: %s\n", dx_patch_error_name(stream(base, old_size, patch_size)));
    if (result_size != new_size || memcmp(result, new_text, new_size) != 0) return 1;
    base[7] ^= 1;
    error = stream(base, old_size, patch_size);
    printf("to another base: %s, %u bytes written\n", dx_patch_error_name(error),
           (unsigned)result_size);
    if (result_size) return 1;

    uint8_t page[4096] = {0}, changed[4096] = {0};
    changed[100] = 1;
    changed[3000] = 2;
    desc.kind = DX_PATCH_KIND_BLOCKS;
    if (dx_patch_create(&desc, page, sizeof page, changed, sizeof changed, patch, sizeof patch,
                        &patch_size))
        return 1;
    printf("blocks: header 128, body %u\n", (unsigned)(patch_size - 128));
    error = dx_patch_apply_in_place(page, sizeof page, sizeof page, patch, patch_size, &size);
    printf("in place: %s, byte 3000 is %d\n", dx_patch_error_name(error), page[3000]);
    error = dx_patch_apply_in_place(page, sizeof page, sizeof page, patch, patch_size, &size);
    printf("once more: %s\n", dx_patch_error_name(error));
    error = dx_patch_undo(page, sizeof page, sizeof page, patch, patch_size, &size);
    printf("undo: %s, byte 3000 is %d\n", dx_patch_error_name(error), page[3000]);
    return error || page[100] || page[3000];
}
