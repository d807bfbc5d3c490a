/* Write into a file that may have holes. See thin.h. */
#include "thin.h"

#include "../../common/os.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

enum { BLOCK_SIZE = 4096 }; /* of most file systems */

/* Has the file nothing but a hole there? False where the system does not tell. */
static bool is_hole(int file, uint64_t at, size_t size)
{
#ifdef SEEK_DATA
    const off_t data = lseek(file, (off_t)at, SEEK_DATA);
    return data < 0 ? errno == ENXIO : (uint64_t)data >= at + size;
#else
    (void)file;
    (void)at;
    (void)size;
    return false;
#endif
}

/* The bytes from here on that are all zero, or in blocks that are not. */
static size_t run_of(uint64_t at, const uint8_t *bytes, size_t size, bool *is_zero)
{
    size_t end = 0;
    *is_zero = false;
    while (end < size) {
        size_t part = BLOCK_SIZE - (size_t)((at + end) % BLOCK_SIZE);
        if (part > size - end) part = size - end;
        const bool zero = prog_is_zero(bytes + end, part);
        if (end && zero != *is_zero) break;
        *is_zero = zero;
        end += part;
    }
    return end;
}

int wan_thin_write(int file, uint64_t at, const uint8_t *bytes, size_t size)
{
    os_info info;
    for (size_t done = 0, part; done < size; done += part) {
        bool is_zero;
        part = run_of(at + done, bytes + done, size - done, &is_zero);
        assert(part);
        if (is_zero && is_hole(file, at + done, part)) continue;
        if (os_write_at(file, at + done, bytes + done, part) < 0) return -1;
    }
    if (os_info_of(file, &info) < 0) return -1;
    return info.size < at + size ? ftruncate(file, (off_t)(at + size)) : 0;
}
