/* Tests of programs/dxwan/net/streams.c: which streams of dxwan open and which end. */
#include "../../programs/dxwan/net/streams.c"

#define DX_TEST_MAIN
#include "../dx_test.h"

static uint32_t count_wanted(const wan_choice *s, uint32_t limit)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < limit; i++) n += s[i].wanted;
    return n;
}

/* The streams that are given up are never faster than those that stay, and none that is open goes before one that is not. */
DX_PROPERTY(streams_the_slowest_end, 500)
{
    wan_choice s[16];
    const uint32_t limit = (uint32_t)dx_choose_range(c, 1, 16), fewer = (uint32_t)dx_choose(c, limit);
    memset(s, 0, sizeof s);
    wan_choose(s, limit, limit);
    DX_CHECK_EQ(count_wanted(s, limit), limit);
    for (uint32_t i = 0; i < limit; i++) {
        s[i].open = dx_choose(c, 3) != 0;
        if (s[i].open) wan_choice_add(&s[i], dx_choose(c, 1000));
    }
    wan_choose(s, limit, fewer);
    DX_CHECK_EQ(count_wanted(s, limit), fewer);
    for (uint32_t i = 0; i < limit; i++) {
        for (uint32_t k = 0; k < limit; k++) {
            if (!s[i].wanted || s[k].wanted) continue;
            DX_CHECK(s[i].open || !s[k].open);
            if (s[i].open == s[k].open) DX_CHECK(s[i].lately >= s[k].lately);
        }
    }
}

/* Of those that are added, the open ones come first, and none that still ends. */
DX_PROPERTY(streams_open_ones_come_back_first, 500)
{
    wan_choice s[16];
    const uint32_t limit = (uint32_t)dx_choose_range(c, 1, 16), more = (uint32_t)dx_choose(c, limit);
    uint32_t usable = 0;
    memset(s, 0, sizeof s);
    for (uint32_t i = 0; i < limit; i++) {
        s[i].open = dx_choose(c, 1) != 0;
        s[i].ends = dx_choose(c, 2) == 0;
        usable += !s[i].ends;
    }
    wan_choose(s, limit, more);
    DX_CHECK_EQ(count_wanted(s, limit), more < usable ? more : usable);
    for (uint32_t i = 0; i < limit; i++) {
        DX_CHECK(!s[i].wanted || !s[i].ends);
        for (uint32_t k = 0; k < limit; k++) {
            if (!s[i].wanted || s[k].wanted || s[k].ends) continue;
            DX_CHECK(s[i].open || !s[k].open);
        }
    }
}

/* Bytes of the last looks count, older ones less. */
DX_TEST(streams_lately_is_an_average)
{
    wan_choice s = {.wanted = true};
    for (int i = 0; i < 30; i++) wan_choice_add(&s, 4000);
    DX_CHECK(s.lately > 3900 && s.lately <= 4000);
    for (int i = 0; i < 10; i++) wan_choice_add(&s, 0);
    DX_CHECK(s.lately < 400);
}
