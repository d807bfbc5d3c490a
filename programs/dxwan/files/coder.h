/* A region of a file as a record of dx_hde.h, against what the other side has of it. */
#ifndef WAN_CODER_H
#define WAN_CODER_H

#include "../wan.h"

#include "../../../layers/dx_hde.h"

typedef struct wan_coder {
    dx_hde      h;
    dx_hde_desc desc;
    dx_hde_zstd zstd;
    uint8_t    *other; /* a second record of the same region, of which the smaller one is sent */
} wan_coder;

/* Allocate the memory, some 1.5 MiB. zstd: records may need it. o: level, ratio_wanted, plain; NULL: to decode. False: zstd
   cannot get its memory; it works without. */
bool wan_coder_open(wan_coder *c, bool zstd, const wan_options *o);
void wan_coder_close(wan_coder *c);
/* These bytes precede the next region, whole or not; size 0: none do. They stay where they are until then. */
void wan_coder_set_prefix(wan_coder *c, const uint8_t *bytes, size_t size);
/* Write a record of at most size + DX_HDE_HEAD_MAX bytes. base NULL: the whole state. Returns its size. Where much
   has changed and it is smaller, the record is a whole state that has the base as its prefix. */
size_t wan_coder_encode(wan_coder *c, const uint8_t *base, size_t base_size, const uint8_t *state,
                        size_t size, uint8_t *out);
/* The last record took this long, and other work waits: adapt the level, which is that of the options at most. */
void wan_coder_adapt(wan_coder *c, uint64_t ms, bool busy);
int32_t wan_coder_level(const wan_coder *c);
/* Decode a record into WAN_REGION_SIZE bytes. Without a prefix, a whole state may have the base as one. Returns a
   dx_hde_error. */
int wan_coder_decode(wan_coder *c, const uint8_t *base, size_t base_size, const uint8_t *record,
                     size_t size, uint8_t *state, size_t *state_size);

#endif
