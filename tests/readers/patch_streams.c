/* Makes a delta of two files, of streams or in the usual codings, and applies it once: patch_streams OLD NEW PATCH LEVEL [usual].
   For tests/checks/patch.sh. */
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#include <stdio.h>
#include <stdlib.h>

static uint8_t *load(const char *name, size_t *size)
{
    FILE *f = fopen(name, "rb");
    long length;
    uint8_t *p;
    if (!f || fseek(f, 0, SEEK_END) || (length = ftell(f)) < 0) exit(2);
    rewind(f);
    p = (uint8_t *)malloc((size_t)length + 1);
    if (!p || fread(p, 1, (size_t)length, f) != (size_t)length) exit(2);
    fclose(f);
    *size = (size_t)length;
    return p;
}

int main(int argc, char **argv)
{
    size_t old_size, new_size, size = 0, capacity;
    uint8_t *old_bytes, *new_bytes, *patch;
    dx_patch_create_desc d = {0};
    FILE *f;
    int error;
    if (argc != 5 && argc != 6) return 2;
    old_bytes = load(argv[1], &old_size);
    new_bytes = load(argv[2], &new_size);
    d.codings = argc == 5 ? 1u << DX_PATCH_CODING_STREAMS : 0;
    d.level = (uint32_t)atoi(argv[4]);
    d.memory_size = dx_patch_create_memory_size(&d, old_size, new_size);
    d.memory = malloc(d.memory_size);
    capacity = dx_patch_bound(&d, old_size, new_size);
    patch = (uint8_t *)malloc(capacity);
    if (!d.memory || !patch) return 2;
    error = dx_patch_create(&d, old_bytes, old_size, new_bytes, new_size, patch, capacity, &size);
    if (error) fprintf(stderr, "%s\n", dx_patch_error_name(error));
    f = fopen(argv[3], "wb");
    if (error || !f || fwrite(patch, 1, size, f) != size || fclose(f)) return 1;
    free(old_bytes);
    free(new_bytes);
    free(patch);
    free(d.memory);
    return 0;
}
