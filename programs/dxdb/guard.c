/* Authentication and rate limits. See guard.h. */
#include "guard.h"

#include "../common/os.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum { METERS = 8192, METER_SIZE = 24, SECRET_SIZE_MAX = 1024 };

static uint64_t now_s(void) { return (uint64_t)(os_time_ns() / 1000000000); }

/* Read the secret: the content of a file, without the line feed at its end. */
static int read_secret(dxdb_guard *g, const char *path)
{
    char *secret;
    size_t size;
    const int status = prog_load("", path, SECRET_SIZE_MAX, false, &secret, &size);
    if (status) return status;
    const size_t all = size;
    const bool has_zero = memchr(secret, 0, size) != NULL;
    while (size && (secret[size - 1] == '\n' || secret[size - 1] == '\r')) size--;
    const int error = has_zero ? 0 : dx_token_key_init(&g->key, secret, size);
    memset(secret, 0, all);
    free(secret);
    if (has_zero) return prog_fail(PROG_USAGE, "%s: a secret has no zero byte", path);
    if (error)
        return prog_fail(PROG_USAGE, "%s: the secret is shorter than %d bytes", path,
                         DX_TOKEN_KEY_SIZE_MIN);
    return PROG_OK;
}

int dxdb_guard_begin(dxdb_guard *g, const dxdb_config *config)
{
    dx_middleware_limiter_desc desc;
    memset(g, 0, sizeof *g);
    g->config = config;
    g->cors.origins = (const char *const *)config->origins;
    g->cors.origin_count = config->origin_count;
    g->cors.methods = config->write_count ? "GET, HEAD, POST" : "GET, HEAD";
    g->cors.fields = "Authorization, Content-Type, Dx-Position, If-None-Match";
    g->cors.max_age = "600";
    g->rules.hmac = dx_token_hmac;
    g->rules.hmac_user = &g->key;
    g->rules.memory = g->said;
    g->rules.memory_size = sizeof g->said;
    g->rules.issuer = config->issuer;
    g->rules.audience = config->audience;
    if (config->secret_file) {
        const int status = read_secret(g, config->secret_file);
        if (status) return status;
    }
    if (!config->rate) return PROG_OK;
    memset(&desc, 0, sizeof desc);
    desc.memory_size = METERS * METER_SIZE;
    g->meters = prog_alloc(desc.memory_size);
    desc.memory = g->meters;
    desc.limit = config->rate;
    desc.burst = config->burst;
    if (!os_random(&desc.seed, sizeof desc.seed)) return prog_fail_errno("the system's random numbers");
    const int error = dx_middleware_limiter_init(&g->limiter, &desc);
    return error ? prog_fail(PROG_USAGE, "[limit]: %s", dx_middleware_error_name(error)) : PROG_OK;
}

void dxdb_guard_free(dxdb_guard *g)
{
    free(g->meters);
    free(g->names);
    memset(g, 0, sizeof *g);
}

/* FNV-1a suffices: the holder of a token cannot choose its "sub". */
static uint64_t hash_of(const void *bytes, size_t size) { return prog_fnv(PROG_FNV_START, bytes, size); }

void dxdb_guard_name(const dxdb_guard *g, int fd, dxdb_subject *subject)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
    const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
    if (!g->config->rate || g->config->secret_file) return;
    if (fd < 0 || getpeername(fd, (struct sockaddr *)&address, &size)) return;
    if (address.ss_family == AF_INET6) subject->key = hash_of(&in6->sin6_addr, 8); /* its /64 network */
    else if (address.ss_family == AF_UNIX && (uint32_t)fd < g->name_count) subject->key = g->names[fd];
    else if (address.ss_family == AF_INET) subject->key = hash_of(&in->sin_addr, 4);
}

void dxdb_guard_remember(dxdb_guard *g, int fd, uint64_t key)
{
    if (fd < 0) return;
    if ((uint32_t)fd >= g->name_count) {
        const uint32_t count = 2 * (uint32_t)fd + 64;
        uint64_t *names = prog_alloc(count * sizeof *names);
        memset(names, 0, count * sizeof *names);
        if (g->name_count) memcpy(names, g->names, g->name_count * sizeof *names);
        free(g->names);
        g->names = names;
        g->name_count = count;
    }
    g->names[fd] = key;
}

/* Whoever has a wrong token may know what is wrong with it: it tells nothing of the secret. */
static const char *reason_of(int error)
{
    switch (error) {
    case DX_TOKEN_ESIGNATURE: return "the token is not signed with this server's secret";
    case DX_TOKEN_EEXPIRED: return "the token has expired, or has no \"exp\"";
    case DX_TOKEN_EEARLY: return "the token is not valid yet: see its \"nbf\"";
    case DX_TOKEN_EISSUER: return "the token is from another issuer: see its \"iss\"";
    case DX_TOKEN_EAUDIENCE: return "the token is for another audience: see its \"aud\"";
    case DX_TOKEN_ETOOBIG: return "the token is too long";
    case DX_TOKEN_ENOTSUP: return "the token must be signed with HS256, and have no \"crit\"";
    default: return "this is not a JSON Web Token";
    }
}

uint16_t dxdb_guard_admit(dxdb_guard *g, const void *token, size_t size, dxdb_subject *subject,
                          const char **why)
{
    int error;
    dx_token_claims claims;
    const char *value;
    size_t value_size;
    memset(subject, 0, sizeof *subject);
    if (!g->config->secret_file) return 0;
    *why = "a token is required";
    if (!token) return DX_HBTP_STATUS_UNAUTHORIZED;
    error = dx_token_verify(&g->rules, token, size, now_s(), &claims);
    *why = reason_of(error);
    if (error) return DX_HBTP_STATUS_UNAUTHORIZED;
    subject->expires_s = claims.expires_s;
    if (!dx_token_find_claim(&claims, "sub", &value, &value_size))
        subject->key = hash_of(value, value_size);
    return 0;
}

uint16_t dxdb_guard_check(const dxdb_guard *g, const dxdb_subject *subject)
{
    if (!g->config->secret_file) return 0;
    return subject->expires_s > now_s() ? 0 : DX_HBTP_STATUS_UNAUTHORIZED;
}

const char *dxdb_guard_why(const dxdb_subject *subject)
{
    return subject->expires_s ? "the token has expired" : "a token is required";
}

bool dxdb_guard_is_origin(const dxdb_guard *g, const char *origin, size_t size, const char *host,
                          size_t host_size)
{
    static const char *const schemes[2] = {"http://", "https://"};
    for (int i = 0; i < 2; i++) {
        const size_t length = strlen(schemes[i]);
        if (host_size && size == length + host_size && !memcmp(origin, schemes[i], length) &&
            !strncasecmp(origin + length, host, host_size))
            return true;
    }
    for (uint32_t i = 0; i < g->config->origin_count; i++) {
        const char *known = g->config->origins[i];
        if (!strcmp(known, "*") || (strlen(known) == size && !memcmp(known, origin, size))) return true;
    }
    return false;
}

uint16_t dxdb_guard_spend(dxdb_guard *g, const dxdb_subject *subject, uint64_t now_ns,
                          dx_middleware_quota *quota)
{
    memset(quota, 0, sizeof *quota);
    if (!g->config->rate) return 0;
    return (uint16_t)dx_middleware_limiter_take(&g->limiter, subject->key, now_ns, quota);
}
