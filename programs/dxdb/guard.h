/* Who may ask, and how often: JSON Web Tokens (HS256), a rate limit for each subject, and the origins
   whose pages may read answers. Each is off unless the configuration has it. */
#ifndef DXDB_GUARD_H
#define DXDB_GUARD_H

#include "config.h"

typedef struct dxdb_guard { /* of a worker; private */
    const dxdb_config *config;
    dx_token_key          key;
    dx_token_rules        rules;
    char                  said[3072]; /* what a token says */
    dx_middleware_limiter limiter;
    void                 *meters;
    dx_middleware_cors    cors;
} dxdb_guard;

typedef struct dxdb_subject { /* whom a token is of; {0}: nobody */
    uint64_t key;       /* a hash of its "sub", or of an address, for the limit */
    uint64_t expires_s; /* since 1970; 0: no token was shown */
} dxdb_subject;

/* PROG_OK, or a message. */
int  dxdb_guard_begin(dxdb_guard *g, const dxdb_config *config);
/* Look at a token. 0, or the status that refuses it. */
uint16_t dxdb_guard_admit(dxdb_guard *g, const void *token, size_t size, dxdb_subject *subject);
/* Without tokens a subject is the address that a connection comes from. */
void dxdb_guard_name(const dxdb_guard *g, int fd, dxdb_subject *subject);
/* Is it one that may ask now? 0, or 401. */
uint16_t dxdb_guard_check(const dxdb_guard *g, const dxdb_subject *subject);
/* Count a request. 0, or 429; *quota is all zeros where there is no limit. */
uint16_t dxdb_guard_take(dxdb_guard *g, const dxdb_subject *subject, uint64_t now_ns,
                         dx_middleware_quota *quota);

#endif
