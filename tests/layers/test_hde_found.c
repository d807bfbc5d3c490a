/* dx_hde.h over a line with loss and delay: a receiver that reports a gap catches up. */
#define DX_IMPLEMENTATION
#include "../../dx_patch.h"
#include "../../layers/dx_hde.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { STATE = 2000, LAG_MAX = 8, STEPS = 60 };

typedef struct message {
    uint8_t bytes[STATE + DX_HDE_HEAD_MAX];
    size_t size;
} message;

static uint8_t memory[2][600000];

static void open_side(dx_hde *h, unsigned side, bool rolling, uint32_t hash_size)
{
    dx_hde_desc d = {0};
    d.memory = memory[side];
    d.memory_size = sizeof memory[side];
    d.state_max = STATE;
    d.chain_max = 1000; /* only a nack causes a whole state */
    d.rolling = rolling;
    d.hash_size = hash_size;
    DX_CHECK(dx_hde_memory_size(&d) <= sizeof memory[side]);
    DX_CHECK_EQ(dx_hde_init(h, &d), 0);
}

/* Records and nacks arrive `lag` steps after they were sent. Some of the first records are lost. Once the line is
   good, the receiver lags for as long as a nack and the whole state travel, and no longer; and nacks for records
   in flight cause no further whole states. */
DX_PROPERTY(a_receiver_that_says_what_it_lacks_catches_up, 300)
{
    static message records[STEPS], nacks[STEPS];
    static uint8_t state[STATE], out[STATE];
    static const uint32_t hash_sizes[] = {32, 16, 8};
    dx_hde a, b;
    bool rolling = dx_choose(c, 1) != 0;
    size_t lag = (size_t)dx_choose(c, LAG_MAX);
    uint32_t hash_size = hash_sizes[dx_choose(c, 2)];
    unsigned wholes = 0, good_from = 12;
    open_side(&a, 0, rolling, hash_size);
    open_side(&b, 1, rolling, hash_size);
    memset(state, 1, sizeof state);
    for (unsigned step = 0; step < STEPS; step++) {
        message *m = records + step;
        bool lost;
        size_t got;
        state[step * 7] = (uint8_t)(2 + step); /* no state repeats */
        DX_CHECK_EQ(dx_hde_encode(&a, 5, step, state, sizeof state, m->bytes, sizeof m->bytes, &m->size), 0);
        wholes += step > good_from && m->bytes[4] == DX_HDE_WHOLE;
        lost = step < good_from && dx_choose(c, 1);
        if (lost) m->size = 0;
        nacks[step].size = 0;
        if (step < lag) continue;
        m -= lag;
        if (m->size) {
            int error = dx_hde_decode(&b, 5, step, m->bytes, m->size, out, sizeof out, &got);
            DX_CHECK(error == 0 || error == DX_HDE_ENOTFOUND);
            if (error) DX_CHECK_EQ(dx_hde_write_nack(m->bytes, m->size, nacks[step].bytes, &nacks[step].size), 0);
            DX_CHECK(!error || step - lag <= good_from + 2 * lag + 1);
        }
        if (nacks[step - lag].size) {
            int error = dx_hde_read_nack(&a, 5, nacks[step - lag].bytes, nacks[step - lag].size);
            DX_CHECK(error == 0 || error == DX_HDE_ENOTFOUND);
        }
    }
    DX_CHECK(wholes <= 4); /* one is needed; rarely, others look like a nack of the new ones */
}
