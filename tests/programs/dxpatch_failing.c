/* Wraps dx_patch_create() for dxpatch, by the linker: in the codings whose bits DX_FAILING has, it fails as if the patch did not
   produce the new file; all other patches are made. */
#include "../../dx_patch.h"

#include <stdlib.h>

int __real_dx_patch_create(const dx_patch_create_desc *desc, const void *base, size_t base_size, const void *target, size_t target_size,
                           void *out, size_t out_capacity, size_t *out_size);
int __wrap_dx_patch_create(const dx_patch_create_desc *desc, const void *base, size_t base_size, const void *target, size_t target_size,
                           void *out, size_t out_capacity, size_t *out_size);

int __wrap_dx_patch_create(const dx_patch_create_desc *desc, const void *base, size_t base_size, const void *target, size_t target_size,
                           void *out, size_t out_capacity, size_t *out_size)
{
    const char *failing = getenv("DX_FAILING");
    dx_patch_header h;
    int error = __real_dx_patch_create(desc, base, base_size, target, target_size, out, out_capacity, out_size);
    if (error || !failing || dx_patch_info(out, *out_size, &h)) return error;
    if (!(strtoul(failing, NULL, 10) >> h.coding & 1)) return 0;
    *out_size = 0;
    return DX_PATCH_ETARGET;
}
