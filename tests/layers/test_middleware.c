/* Tests of layers/dx_middleware.h except its limiter: header fields, timing, CORS; alone and in a chain of dx_hbtp.h. */
#define DX_IMPLEMENTATION
#include "../../dx_hbtp.h"
#include "../../layers/dx_middleware.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

/* >>header fields ------------------------------------------------------ */
DX_TEST(mw_8_no_fields_at_all)
{
    dx_middleware_fields none;
    size_t size = 0;
    memset(&none, 0, sizeof none); /* text is NULL */
    DX_CHECK(dx_middleware_find_field(&none, "Origin", &size) == NULL);
}

static dx_middleware_fields fields(const char *text, size_t capacity)
{
    static char memory[3][512];
    static int turn;
    dx_middleware_fields h;
    h.text = memory[turn++ % 3];
    h.size = strlen(text);
    h.capacity = capacity;
    memcpy(h.text, text, h.size);
    return h;
}

static void check_field(const dx_middleware_fields *h, const char *name, const char *want)
{
    size_t size = 0;
    const char *value = dx_middleware_find_field(h, name, &size);
    DX_CHECK_EQ(value != NULL, want != NULL);
    if (!want) return;
    DX_CHECK_EQ(size, strlen(want));
    DX_CHECK_MEM(value, want, size);
}

DX_TEST(mw_8_names_are_found_in_any_case)
{
    dx_middleware_fields h = fields("Host: a\r\nno colon here\r\n:empty\r\nX-Long-Name:  v w\t \r\n"
                                "HOST: second\r\nEmpty:\r\nbare: lf\nlast: x", 512);
    check_field(&h, "host", "a");
    check_field(&h, "HoSt", "a");
    check_field(&h, "x-long-name", "v w");
    check_field(&h, "X-LONG-NAME", "v w");
    check_field(&h, "x-long", NULL);
    check_field(&h, "x-long-name-more", NULL);
    check_field(&h, "empty", "");
    check_field(&h, "BARE", "lf");
    check_field(&h, "LAST", "x");
    check_field(&h, "lasts", NULL);
    h.size = 0;
    check_field(&h, "host", NULL);
}

DX_TEST(mw_8_fields_are_added_whole_and_cannot_break_lines)
{
    for (size_t capacity = 0; capacity < 14; capacity++) {
        dx_middleware_fields h = fields("", capacity);
        int want = capacity < 9 ? DX_MIDDLEWARE_ENOSPACE : 0;
        DX_CHECK_EQ(dx_middleware_add_field(&h, "Ab", "xyz"), want);
        DX_CHECK_EQ(h.size, want ? 0 : 9);
        if (!want) DX_CHECK_MEM(h.text, "Ab: xyz\r\n", 9);
    }
    dx_middleware_fields h = fields("", 100);
    static const char *const names[] = {"", "a b", "a:", "a\r\nb", "\xc3\xa4", "a\x7f", "(a)"};
    static const char *const values[] = {"a\r\nb: c", "\n", "a\rb", "\x01", "\x7f"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        DX_CHECK_EQ(dx_middleware_add_field(&h, names[i], "v"), DX_MIDDLEWARE_EINVAL);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        DX_CHECK_EQ(dx_middleware_add_field(&h, "a", values[i]), DX_MIDDLEWARE_EINVAL);
    DX_CHECK_EQ(h.size, 0);
    DX_CHECK_EQ(dx_middleware_add_field(&h, "!#$%&'*+-.^_`|~09azAZ", "tab\tand \xc3\xa4"), 0);
    DX_CHECK_EQ(dx_middleware_add_field(NULL, "a", "b"), DX_MIDDLEWARE_EINVAL);
    DX_CHECK_EQ(dx_middleware_add_field(&h, NULL, "b"), DX_MIDDLEWARE_EINVAL);
    DX_CHECK_EQ(dx_middleware_add_field(&h, "a", NULL), DX_MIDDLEWARE_EINVAL);
}

DX_PROPERTY(mw_8_any_bytes_are_searched_safely, 500)
{
    char text[64], *p;
    size_t n = (size_t)dx_choose(c, sizeof text), size = 0;
    dx_choose_bytes(c, text, n);
    for (size_t i = 0; i < n; i++)
        if (dx_choose(c, 2) == 1) text[i] = "Aa: \r\n"[dx_choose(c, 5)];
    p = (char *)malloc(n ? n : 1);
    memcpy(p, text, n);
    dx_middleware_fields h;
    h.text = p;
    h.size = h.capacity = n;
    const char *value = dx_middleware_find_field(&h, "a", &size);
    if (value) DX_CHECK(value >= p && value + size <= p + n);
    free(p);
}

/* Every byte as a one-letter name, and within a value, by the rules of RFC 9110. */
DX_TEST(mw_8_every_character_of_names_and_values_is_judged_as_the_rfc_does)
{
    static const char tchar[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (int byte = 1; byte < 256; byte++) {
        const char name[2] = {(char)byte, 0}, value[4] = {'a', (char)byte, 'b', 0};
        dx_middleware_fields h = fields("", 100);
        DX_CHECK_EQ(dx_middleware_add_field(&h, name, ""), strchr(tchar, byte) ? 0 : DX_MIDDLEWARE_EINVAL);
        h = fields("", 100);
        const bool good = byte == '\t' || (byte >= ' ' && byte != 0x7f);
        DX_CHECK_EQ(dx_middleware_add_field(&h, "n", value), good ? 0 : DX_MIDDLEWARE_EINVAL);
        if (good) check_field(&h, "n", value);
        for (int other = 1; other < 256; other++) { /* the same name: only letters have case */
            const char asked[2] = {(char)other, 0};
            const bool letter = (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
            char line[5] = {(char)byte, ':', 'v', '\r', '\n'};
            dx_middleware_fields one = {line, sizeof line, sizeof line};
            size_t size = 0;
            if (byte == '\n' || byte == ':' || other == '\n' || other == ':') continue;
            DX_CHECK_EQ(dx_middleware_find_field(&one, asked, &size) != NULL,
                        byte == other || (letter && (byte ^ other) == ('a' ^ 'A')));
        }
    }
}

/* The name is the part before the first colon, and the first line with it is found; its value is trimmed at both
   ends. */
DX_PROPERTY(mw_8_the_field_found_is_the_first_of_that_name, 1500)
{
    char text[48];
    const size_t n = (size_t)dx_choose(c, sizeof text);
    const char *want = NULL, *want_end = NULL;
    size_t size = 99;
    for (size_t i = 0; i < n; i++) text[i] = "aAb:: \t\r\n\n"[dx_choose(c, 9)];
    for (const char *line = text, *end; !want && line < text + n; line = end + 1) {
        for (end = line; end < text + n && *end != '\n';) end++;
        const char *const colon = (const char *)memchr(line, ':', (size_t)(end - line));
        if (!colon || colon - line != 2 || (line[0] | 0x20) != 'a' || (line[1] | 0x20) != 'b') continue;
        for (want = colon + 1; want < end && (*want == ' ' || *want == '\t');) want++;
        for (want_end = end; want_end > want && strchr(" \t\r", want_end[-1]);) want_end--;
    }
    dx_middleware_fields h = {text, n, n};
    const char *const got = dx_middleware_find_field(&h, dx_choose(c, 1) ? "aB" : "Ab", &size);
    DX_CHECK(got == want);
    if (want) DX_CHECK_EQ(size, want_end - want);
}

/* >>timing ------------------------------------------------------------- */
static uint64_t test_clock;
typedef struct timed { dx_middleware_fields response; uint64_t begun; int stop_with, handler_result; } timed;

static inline int timing_before(const dx_hbtp_context *c)
{
    ((timed *)c->user)->begun = test_clock;
    return 0;
}
static inline int timing_after(const dx_hbtp_context *c, int result)
{
    timed *t = (timed *)c->user;
    int error = dx_middleware_add_response_time(&t->response, t->begun, test_clock);
    return error ? error : result;
}
static inline int gate_before(const dx_hbtp_context *c) { return ((timed *)c->user)->stop_with; }
static inline int gate_after(const dx_hbtp_context *c, int result) { (void)c; return result; }
static int timed_handler(const dx_hbtp_context *c)
{
    test_clock += 1234567;
    return ((timed *)c->user)->handler_result;
}
DX_HBTP_CHAIN(timed_chain, timed_handler, timing, gate)

DX_TEST(p16_mw_5_every_path_has_a_response_time)
{
    static const struct { int stop, handler; const char *time; } paths[] = {
        {0, 0, "1.234ms"}, {401, 0, "0.000ms"}, {429, 0, "0.000ms"}, {DX_HBTP_STOP, 0, "0.000ms"},
        {0, 500, "1.234ms"}, {0, DX_HBTP_ENOTFOUND, "1.234ms"}, {0, DX_HBTP_LATER, "1.234ms"}};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        timed t;
        dx_hbtp_context context;
        memset(&t, 0, sizeof t);
        memset(&context, 0, sizeof context);
        context.user = &t;
        t.response = fields("", 200);
        t.stop_with = paths[i].stop;
        t.handler_result = paths[i].handler;
        int result = timed_chain(&context);
        DX_CHECK_EQ(result, paths[i].stop == DX_HBTP_STOP ? 0 : paths[i].stop ? paths[i].stop : paths[i].handler);
        check_field(&t.response, "x-response-time", paths[i].time);
    }
}

DX_PROPERTY(p16_mw_5_the_time_is_what_a_printer_would_write_and_never_negative, 300)
{
    uint64_t begun = dx_choose(c, UINT64_MAX), now = dx_choose(c, 1) ? dx_choose(c, UINT64_MAX) : begun + dx_choose(c, 5000000);
    char want[64];
    const uint64_t us = now > begun ? (now - begun) / 1000 : 0;
    snprintf(want, sizeof want, "%llu.%03ums", (unsigned long long)(us / 1000), (unsigned)(us % 1000));
    dx_middleware_fields h = fields("", 100);
    DX_CHECK_EQ(dx_middleware_add_response_time(&h, begun, now), 0);
    check_field(&h, "X-Response-Time", want);
}

DX_TEST(mw_6_quota_fields)
{
    dx_middleware_quota q;
    q.limit = 1000;
    q.remaining = 0;
    q.retry_delay_ns = 1000000001;
    dx_middleware_fields h = fields("", 200);
    DX_CHECK_EQ(dx_middleware_add_rate_limit(&h, &q), 0);
    check_field(&h, "x-ratelimit-limit", "1000");
    check_field(&h, "x-ratelimit-remaining", "0");
    check_field(&h, "retry-after", "2");
    const size_t all = h.size;
    q.retry_delay_ns = 1000000000;
    h = fields("", 200);
    DX_CHECK_EQ(dx_middleware_add_rate_limit(&h, &q), 0);
    check_field(&h, "retry-after", "1");
    for (size_t capacity = 0; capacity < all; capacity++) { /* all or nothing */
        h = fields("", capacity);
        DX_CHECK_EQ(dx_middleware_add_rate_limit(&h, &q), DX_MIDDLEWARE_ENOSPACE);
        DX_CHECK_EQ(h.size, 0);
    }
    q.retry_delay_ns = 0;
    h = fields("", 200);
    DX_CHECK_EQ(dx_middleware_add_rate_limit(&h, &q), 0);
    check_field(&h, "retry-after", NULL);
    DX_CHECK_EQ(dx_middleware_add_rate_limit(NULL, &q), DX_MIDDLEWARE_EINVAL);
}

DX_PROPERTY(mw_6_quota_fields_are_what_a_printer_would_write, 300)
{
    char want[200];
    const uint32_t limit = (uint32_t)dx_choose(c, UINT32_MAX), left = (uint32_t)dx_choose(c, 1) ? (uint32_t)dx_choose(c, 2000) : 10;
    const uint64_t retry = dx_choose(c, 1) ? dx_choose(c, UINT64_MAX) : dx_choose(c, 3) * 1000000000u;
    int n = snprintf(want, sizeof want, "X-RateLimit-Limit: %lu\r\nX-RateLimit-Remaining: %lu\r\n", (unsigned long)limit,
                     (unsigned long)left);
    if (retry) {
        n += snprintf(want + n, sizeof want - (size_t)n, "Retry-After: %llu\r\n",
                      (unsigned long long)(retry / 1000000000u + (retry % 1000000000u != 0)));
    }
    dx_middleware_fields h = fields("", 200);
    const dx_middleware_quota q = {limit, left, retry};
    DX_CHECK_EQ(dx_middleware_add_rate_limit(&h, &q), 0);
    DX_CHECK_EQ(h.size, n);
    DX_CHECK_MEM(h.text, want, n);
}

/* >>cors --------------------------------------------------------------- */
static const char *const known[] = {"https://a.example", "https://b.example:8443"};

DX_TEST(mw_7_cors_names_only_origins_of_the_list)
{
    dx_middleware_cors cors = {known, 2, NULL, NULL, NULL, true};
    static const char *const origins[] = {"https://a.example", "https://b.example:8443",
                                          "https://a.example.evil", "https://a.exampl", "null",
                                          "HTTPS://A.EXAMPLE", "https://b.example", ""};
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++) {
        char text[100];
        snprintf(text, sizeof text, "oRIGIN: %s\r\n", origins[i]);
        dx_middleware_fields request = fields(text, 512), response = fields("", 512);
        DX_CHECK_EQ(dx_middleware_cors_before(&cors, "GET", &request, &response), 0);
        check_field(&response, "vary", "Origin");
        check_field(&response, "access-control-allow-origin", i < 2 ? origins[i] : NULL);
        check_field(&response, "access-control-allow-credentials", i < 2 ? "true" : NULL);
        check_field(&response, "access-control-allow-methods", NULL);
    }
    dx_middleware_fields request = fields("", 512), response = fields("", 512);
    DX_CHECK_EQ(dx_middleware_cors_before(&cors, "GET", &request, &response), 0);
    check_field(&response, "vary", "Origin");
    check_field(&response, "access-control-allow-origin", NULL);
}

DX_TEST(mw_7_cors_preflights_stop_the_chain)
{
    static const char *const any[] = {"*"};
    dx_middleware_cors cors = {known, 2, "PUT", "X-A, X-B", "600", false};
    dx_middleware_fields request = fields("Origin: https://a.example\r\n"
                                      "Access-Control-Request-Method: PUT\r\n", 512);
    dx_middleware_fields response = fields("", 512);
    DX_CHECK_EQ(dx_middleware_cors_before(&cors, "OPTIONS", &request, &response), DX_MIDDLEWARE_STOP);
    check_field(&response, "access-control-allow-origin", "https://a.example");
    check_field(&response, "access-control-allow-credentials", NULL);
    check_field(&response, "access-control-allow-methods", "PUT");
    check_field(&response, "access-control-allow-headers", "X-A, X-B");
    check_field(&response, "access-control-max-age", "600");
    for (size_t capacity = 0; capacity < response.size; capacity++) {
        char memory[512];
        dx_middleware_fields small = {memory, 0, capacity};
        DX_CHECK_EQ(dx_middleware_cors_before(&cors, "OPTIONS", &request, &small), DX_MIDDLEWARE_ENOSPACE);
        DX_CHECK_EQ(small.size, 0); /* no origin is allowed without its permissions */
    }
    response.size = 0;
    DX_CHECK_EQ(dx_middleware_cors_before(&cors, "PUT", &request, &response), 0); /* not a preflight */
    check_field(&response, "access-control-allow-methods", NULL);
    request = fields("Origin: https://evil\r\nAccess-Control-Request-Method: PUT\r\n", 512);
    response.size = 0;
    DX_CHECK_EQ(dx_middleware_cors_before(&cors, "OPTIONS", &request, &response), DX_MIDDLEWARE_STOP);
    check_field(&response, "access-control-allow-origin", NULL);
    request = fields("Origin: https://evil\r\n", 512);
    response.size = 0;
    DX_CHECK_EQ(dx_middleware_cors_before(&cors, "OPTIONS", &request, &response), 0);
    cors.origins = any;
    cors.origin_count = 1;
    cors.credentials = true; /* never together with "*" */
    response.size = 0;
    DX_CHECK_EQ(dx_middleware_cors_before(&cors, "GET", &request, &response), 0);
    check_field(&response, "access-control-allow-origin", "*");
    check_field(&response, "access-control-allow-credentials", NULL);
    DX_CHECK_EQ(dx_middleware_cors_before(NULL, "GET", &request, &response), DX_MIDDLEWARE_EINVAL);
    DX_CHECK_EQ(dx_middleware_cors_before(&cors, NULL, &request, &response), DX_MIDDLEWARE_EINVAL);
}

#define REFUSED(call) DX_CHECK_EQ((call), DX_MIDDLEWARE_EINVAL)

DX_TEST(hb_helpers_refuse_null)
{
    char text[64];
    dx_middleware_fields h = {text, 0, sizeof text};
    const dx_middleware_quota quota = {1, 1, 0};
    dx_middleware_cors cors;
    memset(&cors, 0, sizeof cors);
    REFUSED(dx_middleware_add_field(NULL, "A", "b"));
    REFUSED(dx_middleware_add_field(&h, NULL, "b"));
    REFUSED(dx_middleware_add_field(&h, "A", NULL));
    REFUSED(dx_middleware_cors_before(NULL, "GET", &h, &h));
    REFUSED(dx_middleware_cors_before(&cors, NULL, &h, &h));
    REFUSED(dx_middleware_cors_before(&cors, "GET", NULL, &h));
    REFUSED(dx_middleware_cors_before(&cors, "GET", &h, NULL));
    REFUSED(dx_middleware_add_rate_limit(NULL, &quota));
    REFUSED(dx_middleware_add_rate_limit(&h, NULL));
    DX_CHECK_EQ(h.size, 0);
    h.size = h.capacity + 1;
    REFUSED(dx_middleware_add_field(&h, "A", "b"));
}

DX_TEST(the_errors_of_fields_have_names_and_a_stop_is_that_of_a_chain)
{
    DX_CHECK_STR(dx_middleware_error_name(DX_MIDDLEWARE_OK), "DX_MIDDLEWARE_OK");
    DX_CHECK_STR(dx_middleware_error_name(DX_MIDDLEWARE_ENOSPACE), "DX_MIDDLEWARE_ENOSPACE");
    DX_CHECK_STR(dx_middleware_error_name(DX_MIDDLEWARE_STOP), "unknown error");
    DX_CHECK_STR(dx_middleware_error_name(-1000), "unknown error");
    DX_CHECK_EQ(DX_MIDDLEWARE_STOP, (int)DX_HBTP_STOP);
    DX_CHECK_EQ(DX_MIDDLEWARE_EINVAL, (int)DX_HBTP_EINVAL);
    DX_CHECK_EQ(DX_MIDDLEWARE_ENOSPACE, (int)DX_HBTP_ENOSPACE);
}
