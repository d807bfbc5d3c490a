/* Authentication and rate limits: JSON Web Tokens (HS256), a rate limit per subject, and the
   origins whose pages may read answers. Each is off unless the configuration has it. */
#ifndef DXDB_GUARD_H
#define DXDB_GUARD_H

#include "config.h"

typedef struct dxdb_guard { /* per worker; private */
    const dxdb_config *config;
    dx_token_key          key;
    dx_token_rules        rules;
    char                  said[3072]; /* the claims of a token */
    dx_middleware_limiter limiter;
    void                 *meters;
    dx_middleware_cors    cors;
    uint64_t             *names;  /* keys of the peers whose descriptor is a TLS socket pair */
    uint32_t              name_count;
} dxdb_guard;

typedef struct dxdb_subject { /* the subject of a token; {0}: none */
    uint64_t key;       /* a hash of its "sub" or of an address, for the rate limit */
    uint64_t expires_s; /* since 1970; 0: no token was presented */
} dxdb_subject;

/* Returns PROG_OK, or prints a message. */
int  dxdb_guard_begin(dxdb_guard *g, const dxdb_config *config);
void dxdb_guard_free(dxdb_guard *g); /* also after an error */
/* Verify a token. Returns 0, or the status of the refusal, with the reason in *why. */
uint16_t dxdb_guard_admit(dxdb_guard *g, const void *token, size_t size, dxdb_subject *subject,
                          const char **why);
/* Without tokens the subject is the address of the peer. */
void dxdb_guard_name(const dxdb_guard *g, int fd, dxdb_subject *subject);
/* This descriptor carries on a connection of the peer with this key. */
void dxdb_guard_remember(dxdb_guard *g, int fd, uint64_t key);
/* Is it authorized at this time? Returns 0, or 401. */
uint16_t dxdb_guard_check(const dxdb_guard *g, const dxdb_subject *subject);
/* And why not. */
const char *dxdb_guard_why(const dxdb_subject *subject);
/* May a page of this origin connect a WebSocket, which no preflight asks for? It may if it is from the
   server itself (host: the Host field), or one of `origins`. */
bool dxdb_guard_is_origin(const dxdb_guard *g, const char *origin, size_t size, const char *host,
                          size_t host_size);
/* Count a request. Returns 0, or 429. *quota is all zeros if there is no limit. */
uint16_t dxdb_guard_spend(dxdb_guard *g, const dxdb_subject *subject, uint64_t now_ns,
                          dx_middleware_quota *quota);

#endif
