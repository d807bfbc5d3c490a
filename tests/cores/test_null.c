/* Functions that query or notify an object, called without one: each returns what an empty object would, or EINVAL, as
   similar functions do. Functions called per frame or completion (on dx_op, dx_completion, dx_hbtp_out) are exempt. */
#define DX_IMPLEMENTATION
#include "../../dx_reactor.h"
#include "../../dx_hbtp.h"
#include "../../dx_patch.h"
#include "../../dx_teleport.h"
#include "../../dx_cas.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

DX_TEST(hb_queries_of_no_object)
{
    uint32_t state = 7;
    (void)c;
    DX_CHECK(dx_hbtp_is_idle(NULL));
    DX_CHECK(!dx_hbtp_has_begun(NULL, NULL));
    DX_CHECK(!dx_hbtp_hub_behind(NULL, &state) && state == 7);
    DX_CHECK_EQ(dx_hbtp_session_memory_size(NULL), 0);
    DX_CHECK_EQ(dx_hbtp_credit_max(NULL), 0);
    DX_CHECK_EQ(dx_hbtp_tick(NULL, 1), UINT64_MAX);
    DX_CHECK_EQ(dx_hbtp_out_set_payload_max(NULL, 256), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_drain(NULL, 503, NULL), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_say_hello(NULL, NULL, 1), DX_HBTP_EINVAL);
    DX_CHECK_EQ(dx_hbtp_cancel(NULL, 1), DX_HBTP_ENOTFOUND);
    DX_CHECK_EQ(dx_hbtp_notify(NULL, DX_HBTP_OP_CLIENT_EVENT, 0, NULL, 0), DX_HBTP_EINVAL);
    dx_hbtp_require_hello(NULL);
    dx_hbtp_abort(NULL);
}

DX_TEST(ca_queries_of_no_object)
{
    dx_cas_stats stats;
    dx_cas_stats none;
    (void)c;
    memset(&none, 0, sizeof none);
    memset(&stats, 1, sizeof stats);
    DX_CHECK_EQ(dx_cas_memory_size(NULL), 0);
    DX_CHECK_EQ(dx_cas_memory_needed(NULL), 0);
    DX_CHECK_EQ(dx_cas_damage_offset(NULL), 0);
    dx_cas_get_stats(NULL, &stats);
    DX_CHECK_MEM(&stats, &none, sizeof stats);
    dx_cas_get_stats(NULL, NULL);
    dx_cas_close(NULL);
}

DX_TEST(re_queries_of_no_object)
{
    dx_reactor_stats stats;
    dx_reactor_stats none;
    (void)c;
    memset(&none, 0, sizeof none);
    memset(&stats, 1, sizeof stats);
    DX_CHECK_EQ(dx_reactor_now_ns(NULL), 0);
    DX_CHECK_EQ(dx_reactor_refresh_now_ns(NULL), 0);
    DX_CHECK_EQ(dx_reactor_pending(NULL), 0);
    DX_CHECK_EQ(dx_reactor_sys_errno(NULL), 0);
    DX_CHECK(dx_reactor_backend_name(NULL) != NULL);
    DX_CHECK(dx_reactor_group_worker(NULL, 0) == NULL);
    dx_reactor_get_stats(NULL, &stats);
    DX_CHECK_MEM(&stats, &none, sizeof stats);
    dx_reactor_get_stats(NULL, NULL);
    dx_reactor_wake(NULL);
    dx_reactor_stop(NULL);
}
