/* Write into a file that may have holes: zeros are not written where the file has none but a hole. */
#ifndef WAN_THIN_H
#define WAN_THIN_H

#include "../../common/common.h"

/* os_write_at(), after which blocks of zeros are still holes where they were, also behind the end. Moves the
   file's position. 0; -1: errno. */
int wan_thin_write(int file, uint64_t at, const uint8_t *bytes, size_t size);

#endif
