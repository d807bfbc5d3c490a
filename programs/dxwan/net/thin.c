/* Write into a file that may have holes. See thin.h. */
#include "thin.h"

#include "../../common/os.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

#ifdef SEEK_DATA
/* Where data or a hole of the file begins, from `at` on; end: not before that. Where the system does not tell, all is
   data. */
static uint64_t find_next(int file, uint64_t at, uint64_t end, int what)
{
    const off_t found = lseek(file, (off_t)at, what);
    if (found < 0) return what == SEEK_DATA && errno != ENXIO ? at : end;
    return (uint64_t)found < end ? (uint64_t)found : end;
}
#endif

/* Write zeros where the file has data. 0; -1: errno. */
static int write_zeros(int file, uint64_t at, const uint8_t *zeros, size_t size)
{
    const uint64_t end = at + size;
    uint64_t data = at, hole = end;
    do {
#ifdef SEEK_DATA
        data = find_next(file, data, end, SEEK_DATA);
        hole = find_next(file, data, end, SEEK_HOLE);
        if (hole <= data) hole = end; /* somebody else made one there */
#endif
        if (hole > data && os_write_at(file, data, zeros, (size_t)(hole - data)) < 0) return -1;
        data = hole;
    } while (hole < end);
    return 0;
}

int wan_thin_write(int file, uint64_t at, const uint8_t *bytes, size_t size)
{
    os_info info;
    for (size_t done = 0, part; done < size; done += part) {
        bool is_zero;
        part = prog_run_of_blocks(at + done, bytes + done, size - done, &is_zero);
        assert(part);
        const int result = is_zero ? write_zeros(file, at + done, bytes + done, part)
                                   : os_write_at(file, at + done, bytes + done, part) < 0 ? -1 : 0;
        if (result < 0) return -1;
    }
    if (os_info_of(file, &info) < 0) return -1;
    return info.size < at + size ? ftruncate(file, (off_t)(at + size)) : 0;
}
