/* A region of a file as a record of dx_hde.h, against what the other side has of it. */
#ifndef WAN_CODER_H
#define WAN_CODER_H

#include "../../common/common.h"

#include "../../../layers/dx_hde.h"

typedef struct wan_coder {
    dx_hde      h;
    dx_hde_desc desc;
    dx_hde_zstd zstd;
} wan_coder;

/* Allocate the memory, some 1.5 MiB. zstd: records may need it. level: of dx_hde.h; 0: 1.
   plain: records are whole regions as they are. */
void wan_coder_open(wan_coder *c, bool zstd, int32_t level, bool plain);
void wan_coder_close(wan_coder *c);
/* Write a record of at most size + DX_HDE_HEAD_MAX bytes. base NULL: the whole state. Returns its size. */
size_t wan_coder_encode(wan_coder *c, const uint8_t *base, size_t base_size, const uint8_t *state,
                        size_t size, uint8_t *out);
/* Decode a record into WAN_REGION_SIZE bytes. Returns a dx_hde_error. */
int wan_coder_decode(wan_coder *c, const uint8_t *base, size_t base_size, const uint8_t *record,
                     size_t size, uint8_t *state, size_t *state_size);

#endif
