/* TLS for the connections of a loop. See tls.h.

   What one side has not taken yet waits in the BIO that it comes from, at most what one call of the event
   loop has brought, and the other side is on hold until it is gone. */
#include "tls.h"

#include "../../common/os.h"
#include "refusals.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool wan_tls_is_wanted(const wan_options *o) { return o->tls_cert || o->tls_key || o->tls_ca || o->tls_name; }

/* Two texts before a message about options or keys. */
#define FAULT(o) ((o)->config ? "INVALID_CONFIG: " : ""), ((o)->config ? (o)->config : "")
#define OPTION(o) ((o)->config ? "tls_" : "--tls-")      /* before the name of one */

#ifdef WAN_TLS

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BLOCK_SIZE     = 16384 + 512, /* a record of TLS, */
    RECORD_MAX     = 16384,       /* and its plain text */
    BLOCKS         = 5 + WAN_TLS_POOL_SIZE / RECORD_MAX, /* of each connection: output, and input that came before
                                     a hold, which is at most all that one turn of the loop receives */
    PAIR_SIZE      = 32768,       /* of the buffer of a pair, so that little comes before it; the system doubles it */
    HANDSHAKE_S    = 10,
    HANDSHAKES_MAX = 64,          /* under way: the oldest one is closed for the next */
    TICKET_S       = 1,           /* a server that has sent no ticket in this time sends none */
    NAME_SIZE      = 256,
    FAULT_SIZE     = 320,
    TICK_MS        = 250,
    PEM_SIZE_MAX   = 1 << 20      /* bytes of a file */
};
#define SECOND ((uint64_t)1000000000)

typedef struct carrier {
    wan_tls    *all;
    dx_peers_id outer;   /* 0: closed */
    dx_peers_id inner;   /* 0: none yet, or closed */
    dx_link_id  link;    /* 0: none yet */
    dx_reactor_address address;
    SSL        *ssl;
    BIO        *in;      /* of ssl, which owns both */
    BIO        *out;
    bool        waits;   /* for a ticket of another connection */
    bool        begun;   /* the handshake, */
    bool        ready;   /* which is complete */
    bool        blocked; /* the pair takes no more now: `outer` is on hold */
    bool        ended;   /* the other side's data have ended, */
    bool        told;    /* and the link knows */
    bool        leaving; /* the link has ended: close `outer` after the bytes in `out` */
    uint64_t    begun_ns;
    struct carrier *next;
    struct carrier *prev;
} carrier;

struct wan_tls {
    dx_peers     outer;
    dx_peers     inner;
    dx_link     *links;
    const wan_options *o;
    SSL_CTX     *context;
    SSL_SESSION *session; /* to be resumed; NULL: none yet */
    carrier     *first;   /* the newest one */
    carrier     *leader;  /* of a sender: the others wait for its ticket */
    void        *memory[2];
    dx_op        tick_op;
    bool         serves;
    bool         no_tickets; /* the server sends none: nobody waits */
    bool         waking;
    bool         over;
    bool         final;
    uint32_t     handshakes; /* under way */
    uint64_t     completed, resumed;
    char         name[NAME_SIZE];   /* that the other side must have; "": any */
    char         fault[FAULT_SIZE];
};

static carrier *carrier_of(dx_peers *peers, dx_peers_id id)
{
    const uint64_t *word = dx_peers_data(peers, id);
    return word ? (carrier *)(uintptr_t)*word : NULL;
}

/* >>certificates --------------------------------------------------------- */
/* A file cannot be used. default_reason: where OpenSSL has none. */
static int fail_file(const wan_options *o, const char *what, const char *path, const char *default_reason)
{
    char why[160];
    const unsigned long error = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(error);
    if (ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE) reason = NULL;
#ifdef ERR_LIB_OSSL_DECODER
    if (ERR_GET_LIB(error) == ERR_LIB_OSSL_DECODER) reason = NULL; /* "unsupported": nothing was found */
#endif
    if (ERR_GET_LIB(error) == ERR_LIB_X509 && (ERR_GET_REASON(error) == X509_R_KEY_VALUES_MISMATCH ||
                                               ERR_GET_REASON(error) == X509_R_KEY_TYPE_MISMATCH))
        reason = "is not the key of the certificate";
    (void)snprintf(why, sizeof why, "%s", reason ? reason : default_reason);
    ERR_clear_error();
    return prog_fail(PROG_USAGE, "%s%s%s%s %s: %s", FAULT(o), OPTION(o), what, path, why);
}

typedef struct pem { /* a file that was read: OpenSSL would wait for a FIFO, and read a pipe twice */
    char  *bytes;
    size_t size;
    BIO   *bio;
} pem;

/* A daemon reads its files for each connection, so they cannot be pipes. */
static int open_pem(pem *f, const wan_options *o, const char *what, const char *path)
{
    char before[PROG_PATH_SIZE_MAX + 120];
    (void)snprintf(before, sizeof before, "%s%s%s%s ", FAULT(o), OPTION(o), what);
    const int status = prog_load(before, path, PEM_SIZE_MAX, !o->config, &f->bytes, &f->size);
    if (status) return status;
    f->bio = BIO_new_mem_buf(f->bytes, (int)f->size);
    ERR_clear_error();
    return PROG_OK;
}

static void close_pem(pem *f)
{
    BIO_free(f->bio);
    OPENSSL_cleanse(f->bytes, f->size);
    free(f->bytes);
}

/* A key with a passphrase would ask for it at the terminal. */
static int no_passphrase(char *out, int size, int writes, void *user)
{
    (void)out;
    (void)size;
    (void)writes;
    *(bool *)user = true;
    return -1;
}

/* The host of an address: it is the name of its certificate. */
static void host_of(const char *address, char out[NAME_SIZE])
{
    const char *end = strrchr(address, ':');
    size_t size = end ? (size_t)(end - address) : strlen(address);
    if (size > 2 && address[0] == '[' && address[size - 1] == ']') {
        address++;
        size -= 2;
    }
    (void)snprintf(out, NAME_SIZE, "%.*s", (int)size, address);
}

static bool is_number(const char *name)
{
    uint8_t bytes[16];
    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

/* Trust the certificates of a file, and heed its revocation lists. serves: name them to the other side. */
static int load_ca(SSL_CTX *c, const wan_options *o, bool serves)
{
    X509_STORE *store = SSL_CTX_get_cert_store(c);
    int count = 0;
    pem f;
    const int status = open_pem(&f, o, "ca", o->tls_ca);
    if (status) return status;
    STACK_OF(X509_INFO) *all = f.bio ? PEM_X509_INFO_read_bio(f.bio, NULL, NULL, NULL) : NULL;
    for (int i = 0; all && i < sk_X509_INFO_num(all); i++) {
        const X509_INFO *one = sk_X509_INFO_value(all, i);
        if (one->x509 && X509_STORE_add_cert(store, one->x509) == 1) {
            count++;
            if (serves) (void)SSL_CTX_add_client_CA(c, one->x509);
        }
        if (one->crl) (void)X509_STORE_add_crl(store, one->crl);
    }
    sk_X509_INFO_pop_free(all, X509_INFO_free);
    close_pem(&f);
    return count ? PROG_OK : fail_file(o, "ca", o->tls_ca, "has no certificate in PEM");
}

/* The other side's certificate must be signed by a CA and have the name. */
static int load_trust(SSL_CTX *c, const wan_options *o, bool serves, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(c);
    if (serves && !o->tls_ca) return PROG_OK; /* anybody is welcome */
    const int status = o->tls_ca ? load_ca(c, o, serves) : PROG_OK;
    if (status) return status;
    if (!o->tls_ca && SSL_CTX_set_default_verify_paths(c) != 1)
        return prog_fail(PROG_SYSTEM, "%s%sthe system has no CA certificates; give %sca", FAULT(o), OPTION(o));
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER | (serves ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    if (!*name) return PROG_OK;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    const int set = is_number(name) ? X509_VERIFY_PARAM_set1_ip_asc(param, name)
                                    : X509_VERIFY_PARAM_set1_host(param, name, 0);
    return set == 1 ? PROG_OK : prog_fail(PROG_USAGE, "%s%s%sname %s: not a name", FAULT(o), OPTION(o), name);
}

/* The certificate comes first, then those that signed it. */
static bool use_chain(SSL_CTX *c, BIO *in)
{
    X509 *x = in ? PEM_read_bio_X509_AUX(in, NULL, NULL, NULL) : NULL;
    bool good = x && SSL_CTX_use_certificate(c, x) == 1;
    X509_free(x);
    while (good && (x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
        good = SSL_CTX_add0_chain_cert(c, x) == 1;
        if (!good) X509_free(x);
    }
    if (!good) return false;
    const unsigned long error = ERR_peek_last_error();
    good = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE; /* the end */
    if (good) ERR_clear_error();
    return good;
}

static bool use_key(SSL_CTX *c, BIO *in, bool *locked)
{
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, no_passphrase, locked) : NULL;
    const bool good = key && SSL_CTX_use_PrivateKey(c, key) == 1 && SSL_CTX_check_private_key(c) == 1;
    EVP_PKEY_free(key);
    return good;
}

static int load_own(SSL_CTX *c, const wan_options *o)
{
    bool locked = false;
    pem f;
    if (!o->tls_cert) return PROG_OK;
    int status = open_pem(&f, o, "cert", o->tls_cert);
    if (status) return status;
    const bool has_chain = use_chain(c, f.bio);
    close_pem(&f);
    if (!has_chain) return fail_file(o, "cert", o->tls_cert, "has no certificate in PEM");
    status = open_pem(&f, o, "key", o->tls_key);
    if (status) return status;
    const bool has_key = use_key(c, f.bio, &locked);
    close_pem(&f);
    if (locked) ERR_clear_error();
    return has_key ? PROG_OK : fail_file(o, "key", o->tls_key, locked ? "has a passphrase; give a key without one"
                                                                      : "has no private key in PEM");
}

static int check_options(const wan_options *o, bool serves)
{
    const char *p = OPTION(o);
    if (!o->tls_cert != !o->tls_key)
        return prog_fail(PROG_USAGE, "%s%s%scert and %skey belong together: one of them is missing", FAULT(o), p, p);
    if (serves && !o->tls_cert)
        return prog_fail(PROG_USAGE, "%s%sa receiver with TLS needs %scert and %skey", FAULT(o), p, p);
    if (serves && o->tls_name && !o->tls_ca)
        return prog_fail(PROG_USAGE, "%s%s%sname needs %sca: without it the sender's certificate is not asked for",
                         FAULT(o), p, p);
    if (o->tls_name && (!*o->tls_name || strlen(o->tls_name) >= NAME_SIZE))
        return prog_fail(PROG_USAGE, "%s%s%sname needs a name of 1 to %d bytes", FAULT(o), p, NAME_SIZE - 1);
    return PROG_OK;
}

static int load(SSL_CTX **context, const wan_options *o, bool serves, char name[NAME_SIZE])
{
    int status = check_options(o, serves);
    *context = NULL;
    if (status) return status;
    SSL_CTX *c = SSL_CTX_new(serves ? TLS_server_method() : TLS_client_method());
    if (!c) return prog_fail(PROG_SYSTEM, "cannot start TLS with %s: OpenSSL has no memory", o->address);
    name[0] = 0;
    if (o->tls_name) (void)snprintf(name, NAME_SIZE, "%s", o->tls_name);
    else if (!serves) host_of(o->address, name);
    (void)SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
    status = load_own(c, o);
    if (!status) status = load_trust(c, o, serves, name);
    if (status) SSL_CTX_free(c);
    else *context = c;
    return status;
}

int wan_tls_check(const wan_options *o, bool serves)
{
    char name[NAME_SIZE];
    SSL_CTX *context;
    const int status = load(&context, o, serves, name);
    SSL_CTX_free(context);
    return status;
}

static const char not_tls[] = "it does not speak TLS";

/* >>faults --------------------------------------------------------------- */
static void text_of_certificate(wan_tls *t, long error)
{
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        (void)snprintf(t->fault, FAULT_SIZE, "its certificate has expired");
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        (void)snprintf(t->fault, FAULT_SIZE, "its certificate is not for the name '%s' (--tls-name)", t->name);
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        (void)snprintf(t->fault, FAULT_SIZE, "its certificate is not signed by %s",
                       t->o->tls_ca ? "the CA of --tls-ca" : "a CA of this system; --tls-ca gives another");
        break;
    default:
        (void)snprintf(t->fault, FAULT_SIZE, "its certificate is not valid: %s",
                       X509_verify_cert_error_string(error));
    }
}

/* Alerts of the other side have reasons from 1000 on. */
static void text_of_reason(wan_tls *t, int reason)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_UNEXPECTED_MESSAGE:
    case SSL_R_BAD_RECORD_TYPE:
        (void)snprintf(t->fault, FAULT_SIZE, "%s", not_tls);
        break;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        (void)snprintf(t->fault, FAULT_SIZE, "it has no certificate");
        break;
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
        (void)snprintf(t->fault, FAULT_SIZE, "it refuses: %s", t->o->tls_cert
                       ? "the handshake failed there" : "it wants a certificate (--tls-cert, --tls-key)");
        break;
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
        (void)snprintf(t->fault, FAULT_SIZE, "it refuses: the certificate of this side is not signed by its CA");
        break;
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE: /* OpenSSL says no more when the name is another one */
        (void)snprintf(t->fault, FAULT_SIZE, "it refuses: the certificate of this side, perhaps for its name");
        break;
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
        (void)snprintf(t->fault, FAULT_SIZE, "it refuses: the certificate of this side has expired");
        break;
    default:
        (void)snprintf(t->fault, FAULT_SIZE, reason >= SSL_AD_REASON_OFFSET ? "it refuses: %s" : "TLS failed: %s",
                       text ? text : "unknown reason");
    }
}

/* A receiver says why it refuses a sender. */
static void warn_of(wan_tls *t, int fd)
{
    char from[WAN_FROM_SIZE];
    if (!t->serves) return;
    assert(t->o->refusals);
    wan_refusals_from(fd, from);
    wan_refusals_note(t->o->refusals, WAN_REFUSED_TLS, from, t->fault, false);
}

/* A sender without TLS reads a frame of impossible size in two alerts, so it knows at once that this is no
   receiver for it. A lost connection alone would have it try again. */
static void answer_plain(carrier *c)
{
    static const uint8_t alerts[] = {21, 3, 3, 0, 2, 2, 70, 21, 3, 3, 0, 2, 2, 70}; /* protocol_version */
    (void)BIO_write(c->out, alerts, (int)sizeof alerts);
}

/* OpenSSL has failed. */
static void note_fault(carrier *c)
{
    wan_tls *t = c->all;
    const unsigned long error = ERR_peek_last_error();
    const int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
    const long verified = SSL_get_verify_result(c->ssl);
    if (c->ready && reason < SSL_AD_REASON_OFFSET) return; /* the link has its own reason */
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) text_of_certificate(t, verified);
    else text_of_reason(t, reason);
    if (t->serves && !c->ready && !strcmp(t->fault, not_tls)) answer_plain(c);
    t->final = true;
    warn_of(t, dx_peers_fd(&t->outer, c->outer));
    ERR_clear_error();
}

/* The connection ended, or took too long, before the handshake was complete. */
static void note_end(carrier *c, const char *text)
{
    wan_tls *t = c->all;
    if (!c->begun || c->ready) return;
    (void)snprintf(t->fault, FAULT_SIZE, "%s", text);
    t->final = false;
    warn_of(t, dx_peers_fd(&t->outer, c->outer));
}

const char *wan_tls_fault(const wan_tls *t, bool *final)
{
    *final = t->final;
    for (const carrier *c = t->first; c && !t->fault[0]; c = c->next)
        if (c->begun && !c->ready) return "it accepts connections, but does not answer the handshake of TLS";
    return t->fault;
}

/* >>carriers ------------------------------------------------------------- */
static void begin_handshake(carrier *c);

static void end_handshake(carrier *c)
{
    if (c->begun && !c->ready) c->all->handshakes--;
    c->begun = c->ready = true;
}

/* Those that waited for a ticket need not wait any more, or one of them is the next to get one. */
static void wake(wan_tls *t)
{
    if (t->waking) return;
    t->waking = true;
    for (carrier *c = t->first, *next; c && !t->over; c = next) {
        next = c->next;
        if (c->waits && (t->session || !t->leader || t->no_tickets)) begin_handshake(c);
    }
    t->waking = false;
}

/* Free it once both sides are closed. */
static void free_carrier(carrier *c)
{
    wan_tls *t = c->all;
    if (c->outer || c->inner) return;
    end_handshake(c);
    if (c->prev) c->prev->next = c->next;
    else t->first = c->next;
    if (c->next) c->next->prev = c->prev;
    if (t->leader == c) t->leader = NULL;
    if (c->ssl) SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* its session is still good */
    SSL_free(c->ssl);
    free(c);
    wake(t);
}

/* The link will not be connected. */
static void give_up(carrier *c, int32_t reason)
{
    wan_tls *t = c->all;
    if (!c->link || t->serves || c->ready || t->over) return;
    (void)dx_link_ready(t->links, c->link, reason < 0 ? reason : -ECONNRESET);
    c->link = 0;
}

/* Close both sides; now: drop unsent output. */
static void close_carrier(carrier *c, bool now)
{
    if (c->inner) (void)dx_peers_close(&c->all->inner, c->inner, now);
    if (c->outer) (void)dx_peers_close(&c->all->outer, c->outer, now);
}

static carrier *new_carrier(wan_tls *t)
{
    carrier *c = prog_alloc(sizeof *c);
    memset(c, 0, sizeof *c);
    c->all = t;
    c->begun_ns = dx_reactor_now_ns(t->outer.reactor);
    c->next = t->first;
    if (c->next) c->next->prev = c;
    t->first = c;
    return c;
}

/* >>bytes ---------------------------------------------------------------- */
/* Send what OpenSSL has written. True: all of it. */
static bool flush(carrier *c)
{
    wan_tls *t = c->all;
    size_t left = BIO_ctrl_pending(c->out);
    while (left && c->outer) {
        uint8_t *place;
        const uint32_t size = left < BLOCK_SIZE ? (uint32_t)left : (uint32_t)BLOCK_SIZE;
        if (dx_peers_reserve(&t->outer, c->outer, size, &place)) return false;
        const int got = BIO_read(c->out, place, (int)size);
        assert(got == (int)size);
        (void)dx_peers_commit(&t->outer, c->outer, (uint32_t)got);
        left -= size;
    }
    return !left;
}

/* The other side sends no more: the link gets the end after all that came before it. */
static void end_input(carrier *c)
{
    c->ended = true;
    if (c->told || c->blocked || !c->inner) return;
    c->told = true;
    (void)dx_peers_close(&c->all->inner, c->inner, false);
}

/* Decrypt into blocks of the pair. Returns what SSL_read() did last; 1: the pair takes no more now. */
static int read_all(carrier *c)
{
    wan_tls *t = c->all;
    for (;;) {
        uint8_t *place;
        if (!c->inner || c->told) return 1;
        c->blocked = dx_peers_reserve(&t->inner, c->inner, RECORD_MAX, &place) != 0;
        if (c->blocked) {
            if (c->outer) (void)dx_peers_hold(&t->outer, c->outer, true);
            return 1;
        }
        const int got = SSL_read(c->ssl, place, RECORD_MAX);
        (void)dx_peers_commit(&t->inner, c->inner, got > 0 ? (uint32_t)got : 0);
        if (got <= 0) return got;
    }
}

static bool make_pair(int pair[2])
{
    const int size = PAIR_SIZE;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair)) return false;
    for (int i = 0; i < 2; i++) (void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return true;
}

/* A link of our own for a sender whose handshake is complete. */
static bool accept_link(carrier *c)
{
    wan_tls *t = c->all;
    int pair[2];
    if (!make_pair(pair)) return false;
    if (dx_peers_add(&t->inner, pair[0], NULL, &c->inner)) {
        close(pair[0]);
        close(pair[1]);
        c->inner = 0;
        return false;
    }
    *dx_peers_data(&t->inner, c->inner) = (uint64_t)(uintptr_t)c;
    if (dx_link_add(t->links, pair[1], &c->link)) {
        close(pair[1]);
        return false;
    }
    if (t->links->desc.opened) t->links->desc.opened(t->links, c->link);
    return true;
}

/* The handshake is complete: the protocol can begin. */
static bool open_link(carrier *c)
{
    wan_tls *t = c->all;
    end_handshake(c);
    t->completed++;
    t->resumed += SSL_session_reused(c->ssl) == 1;
    if (t->serves) return accept_link(c);
    t->fault[0] = 0;
    t->final = false;
    return !dx_link_ready(t->links, c->link, 0);
}

static bool t_has_ticket(const wan_tls *t) { return t->session && t->leader; }

/* Continue with the bytes that are there. False: the connection was closed. */
static bool carry_in(carrier *c)
{
    int result = 1;
    ERR_clear_error();
    if (!c->ready) {
        result = SSL_do_handshake(c->ssl);
        if (result == 1 && !open_link(c)) {
            close_carrier(c, true);
            return false;
        }
    }
    if (result > 0) result = read_all(c);
    const int error = result > 0 ? SSL_ERROR_WANT_READ : SSL_get_error(c->ssl, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_ZERO_RETURN) note_fault(c);
    (void)flush(c);
    if (error == SSL_ERROR_ZERO_RETURN) end_input(c);
    if (t_has_ticket(c->all)) wake(c->all);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_ZERO_RETURN) return true;
    give_up(c, -EPROTO);
    end_handshake(c);
    c->ended = true;
    close_carrier(c, false); /* after the alert */
    return false;
}

/* >>the other side's end --------------------------------------------------- */
static void drop_oldest(wan_tls *t)
{
    carrier *oldest = NULL;
    for (carrier *c = t->first; c; c = c->next)
        if (c->begun && !c->ready) oldest = c;
    if (!oldest) return;
    note_end(oldest, "too many handshakes of TLS at once");
    end_handshake(oldest);
    oldest->ended = true;
    close_carrier(oldest, true);
}

/* Begin it, or wait for the ticket of the first one. */
static void begin_handshake(carrier *c)
{
    wan_tls *t = c->all;
    c->waits = !t->serves && !t->session && !t->no_tickets && t->leader && t->leader != c;
    if (c->waits || !c->outer) return;
    if (!t->serves && !t->session && !t->leader) t->leader = c;
    if (t->handshakes >= HANDSHAKES_MAX && t->serves) drop_oldest(t);
    c->begun = true;
    c->begun_ns = dx_reactor_now_ns(t->outer.reactor);
    t->handshakes++;
    c->ssl = SSL_new(t->context);
    c->in = BIO_new(BIO_s_mem());
    c->out = BIO_new(BIO_s_mem());
    if (!c->ssl || !c->in || !c->out) {
        BIO_free(c->in);
        BIO_free(c->out);
        close_carrier(c, true);
        return;
    }
    SSL_set_bio(c->ssl, c->in, c->out);
    SSL_set_app_data(c->ssl, c);
    if (t->serves) {
        SSL_set_accept_state(c->ssl);
        return;
    }
    SSL_set_connect_state(c->ssl);
    if (t->session) (void)SSL_set_session(c->ssl, t->session);
    if (!is_number(t->name)) (void)SSL_set_tlsext_host_name(c->ssl, t->name);
    (void)carry_in(c);
}

static void on_outer_opened(dx_peers *peers, dx_peers_id id)
{
    wan_tls *t = peers->desc.user;
    carrier *c = carrier_of(peers, id);
    if (!c) {
        c = new_carrier(t);
        c->outer = id;
        *dx_peers_data(peers, id) = (uint64_t)(uintptr_t)c;
    }
    begin_handshake(c);
}

static size_t on_outer_received(dx_peers *peers, dx_peers_id id, const uint8_t *bytes, size_t size, bool last)
{
    carrier *c = carrier_of(peers, id);
    if (!c || c->ended || !c->ssl) {
        if (c && last && !c->ready) give_up(c, -ECONNRESET);
        if (last && (!c || !c->inner || !c->ssl)) (void)dx_peers_close(peers, id, true);
        return size;
    }
    if (size && BIO_write(c->in, bytes, (int)size) != (int)size) {
        close_carrier(c, true);
        return size;
    }
    if (!carry_in(c) || !last) return size;
    if (c->ready) { /* without the end of TLS: the protocol has its own */
        end_input(c);
        return size;
    }
    note_end(c, c->all->serves ? "it left in the middle of the handshake"
                               : "it ended the connection in the middle of the handshake; perhaps it has no TLS");
    give_up(c, -ECONNRESET);
    close_carrier(c, true);
    return size;
}

static void on_outer_drained(dx_peers *peers, dx_peers_id id)
{
    carrier *c = carrier_of(peers, id);
    if (!c || !c->ssl || !flush(c)) return;
    if (c->leaving) (void)dx_peers_close(peers, id, false);
    else if (c->inner) (void)dx_peers_hold(&c->all->inner, c->inner, false);
}

static void on_outer_closed(dx_peers *peers, dx_peers_id id, int32_t reason)
{
    carrier *c = carrier_of(peers, id);
    if (!c) return;
    c->outer = 0;
    if (reason) note_end(c, "the connection was lost in the middle of the handshake");
    give_up(c, reason);
    if (c->inner) (void)dx_peers_close(&c->all->inner, c->inner, reason != 0);
    free_carrier(c);
}

/* >>the link's end -------------------------------------------------------- */
/* Close the connection after everything that the link has sent. */
static void leave(carrier *c)
{
    c->leaving = true;
    if (flush(c) && c->outer) (void)dx_peers_close(&c->all->outer, c->outer, false);
}

static size_t on_inner_received(dx_peers *peers, dx_peers_id id, const uint8_t *bytes, size_t size, bool last)
{
    carrier *c = carrier_of(peers, id);
    if (!c || !c->outer) return size;
    if (!c->ready) { /* the link was given up */
        if (last) close_carrier(c, true);
        return size;
    }
    for (size_t at = 0; at < size;) {
        const size_t part = size - at < RECORD_MAX ? size - at : RECORD_MAX;
        ERR_clear_error();
        if (SSL_write(c->ssl, bytes + at, (int)part) != (int)part) {
            close_carrier(c, true);
            return size;
        }
        at += part;
    }
    if (last) {
        (void)SSL_shutdown(c->ssl);
        leave(c);
        if (c->inner) (void)dx_peers_close(peers, id, false);
    } else if (!flush(c)) {
        (void)dx_peers_hold(peers, id, true);
    }
    return size;
}

static void on_inner_drained(dx_peers *peers, dx_peers_id id)
{
    carrier *c = carrier_of(peers, id);
    if (!c || !c->ready || c->told) return;
    c->blocked = false;
    if (!carry_in(c) || c->blocked) return;
    if (c->ended) end_input(c);
    else if (c->outer && c->inner) (void)dx_peers_hold(&c->all->outer, c->outer, false);
}

static void on_inner_closed(dx_peers *peers, dx_peers_id id, int32_t reason)
{
    carrier *c = carrier_of(peers, id);
    if (!c) return;
    c->inner = 0;
    c->link = 0;
    if (c->outer && (reason || !c->ready)) (void)dx_peers_close(&c->all->outer, c->outer, true);
    else if (c->outer) leave(c);
    free_carrier(c);
}

/* >>all of them ----------------------------------------------------------- */
/* A ticket has come: OpenSSL gives the session to us. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    wan_tls *t = ((carrier *)SSL_get_app_data(ssl))->all;
    SSL_SESSION_free(t->session);
    t->session = session;
    return 1;
}

static void check_carrier(carrier *c, uint64_t now)
{
    wan_tls *t = c->all;
    if (c == t->leader && c->ready && now - c->begun_ns > TICKET_S * SECOND) t->no_tickets = true;
    if (!t->serves || !c->begun || c->ready) return;
    if (now - c->begun_ns < HANDSHAKE_S * SECOND) return;
    note_end(c, "it did not complete its handshake within 10 s");
    end_handshake(c);
    c->ended = true;
    close_carrier(c, true);
}

static void on_tick(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    wan_tls *t = dx_reactor_op_user(op);
    const uint64_t now = dx_reactor_now_ns(r);
    (void)flags;
    if (result < 0 || t->over) return;
    for (carrier *c = t->first, *next; c; c = next) {
        next = c->next;
        check_carrier(c, now);
    }
    wake(t);
    (void)dx_reactor_timer(r, op, (uint64_t)TICK_MS * 1000000);
}

static int open_peers(wan_tls *t, uint32_t count, bool is_outer)
{
    dx_peers_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.peers_max = count;
    desc.block_size = BLOCK_SIZE;
    desc.block_count = BLOCKS * count + 16;
    desc.linger_ns = SECOND;
    desc.receive_when_full = true; /* the protocol of the links has answers in both directions */
    desc.user = t;
    desc.opened = is_outer ? on_outer_opened : NULL;
    desc.received = is_outer ? on_outer_received : on_inner_received;
    desc.drained = is_outer ? on_outer_drained : on_inner_drained;
    desc.closed = is_outer ? on_outer_closed : on_inner_closed;
    desc.memory_size = dx_peers_memory_size(&desc);
    t->memory[is_outer] = prog_alloc(desc.memory_size);
    desc.memory = t->memory[is_outer];
    return dx_peers_open(is_outer ? &t->outer : &t->inner, t->links->reactor, &desc);
}

int wan_tls_open(wan_tls **tls, dx_link *links, uint32_t links_max, const wan_options *o, bool serves)
{
    static const uint8_t sessions[] = "dxwan";
    const uint32_t count = links_max + (serves ? HANDSHAKES_MAX : 0);
    wan_tls *t = prog_alloc(sizeof *t);
    memset(t, 0, sizeof *t);
    t->links = links;
    t->o = o;
    t->serves = serves;
    const int status = load(&t->context, o, serves, t->name);
    if (status) {
        free(t);
        return status;
    }
    if (serves) {
        (void)SSL_CTX_set_session_id_context(t->context, sessions, sizeof sessions - 1);
    } else {
        (void)SSL_CTX_set_session_cache_mode(t->context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(t->context, on_session);
    }
    int error = open_peers(t, count, true);
    if (!error) error = open_peers(t, count, false);
    *tls = t; /* the event loop may know of it */
    if (error) return prog_fail(PROG_SYSTEM, "cannot start TLS: %s", dx_peers_error_name(error));
    dx_reactor_op_init(&t->tick_op, on_tick, t);
    (void)dx_reactor_timer(links->reactor, &t->tick_op, (uint64_t)TICK_MS * 1000000);
    return PROG_OK;
}

int wan_tls_listen(wan_tls *t, int fd)
{
    const int error = dx_peers_listen(&t->outer, fd);
    if (!error) return PROG_OK;
    return prog_fail(PROG_SYSTEM, "cannot accept connections: %s", dx_peers_error_name(error));
}

/* The pair for a link, and the link, whose other end is c->inner. */
static int prepare_link(carrier *c, dx_link_id *id)
{
    wan_tls *t = c->all;
    int pair[2];
    if (!make_pair(pair)) return DX_LINK_ESYS;
    int error = dx_peers_add(&t->inner, pair[0], NULL, &c->inner) ? DX_LINK_EAGAIN : DX_LINK_OK;
    if (error) close(pair[0]);
    if (error) c->inner = 0;
    else *dx_peers_data(&t->inner, c->inner) = (uint64_t)(uintptr_t)c;
    if (!error) error = dx_link_prepare(t->links, pair[1], &c->link);
    if (error) close(pair[1]);
    else *id = c->link;
    return error;
}

int wan_tls_connect(wan_tls *t, const dx_reactor_address *address, dx_link_id *id)
{
    int fd;
    const int error = dx_reactor_socket(t->links->reactor, address, DX_REACTOR_NODELAY, &fd);
    if (error) return error == DX_REACTOR_EINVAL ? DX_LINK_EINVAL : DX_LINK_ESYS;
    carrier *c = new_carrier(t);
    c->address = *address;
    if (dx_peers_add(&t->outer, fd, &c->address, &c->outer)) {
        close(fd);
        c->outer = 0;
        free_carrier(c);
        return DX_LINK_EAGAIN;
    }
    *dx_peers_data(&t->outer, c->outer) = (uint64_t)(uintptr_t)c;
    const int made = prepare_link(c, id);
    if (made) {
        c->link = 0;
        close_carrier(c, true);
    }
    return made;
}

int wan_tls_fd(const wan_tls *t, dx_link_id id)
{
    for (const carrier *c = t->first; c && id; c = c->next)
        if (c->link == id && c->outer) return dx_peers_fd(&t->outer, c->outer);
    return -1;
}

uint32_t wan_tls_count(const wan_tls *t) { return t->outer.count; }

void wan_tls_handshakes(const wan_tls *t, uint64_t *all, uint64_t *resumed)
{
    *all = t->completed;
    *resumed = t->resumed;
}

void wan_tls_end(wan_tls *t) { t->over = true; }

void wan_tls_free(wan_tls *t)
{
    if (!t) return;
    assert(!t->first);
    SSL_SESSION_free(t->session);
    SSL_CTX_free(t->context);
    free(t->memory[0]);
    free(t->memory[1]);
    free(t);
}

#else /* !WAN_TLS */

struct wan_tls {
    dx_link *links;
};

int wan_tls_check(const wan_options *o, bool serves)
{
    const char *option = o->tls_cert ? "cert" : o->tls_key ? "key" : o->tls_ca ? "ca" : "name";
    (void)serves;
    return prog_fail(PROG_SYSTEM, "%s%s%s%s: this dxwan was built without OpenSSL, so it has no TLS", FAULT(o), OPTION(o),
                     option);
}

int wan_tls_open(wan_tls **tls, dx_link *links, uint32_t links_max, const wan_options *o, bool serves)
{
    (void)links;
    (void)links_max;
    *tls = NULL;
    return wan_tls_check(o, serves);
}

/* None of these is called: no wan_tls was opened. */
int wan_tls_listen(wan_tls *t, int fd) { return t && fd >= 0 ? PROG_SYSTEM : PROG_OK; }
int wan_tls_connect(wan_tls *t, const dx_reactor_address *address, dx_link_id *id)
{
    (void)t;
    (void)address;
    (void)id;
    return DX_LINK_ESYS;
}
int wan_tls_fd(const wan_tls *t, dx_link_id id) { return t && id ? -1 : -1; }
const char *wan_tls_fault(const wan_tls *t, bool *final)
{
    (void)t;
    *final = false;
    return "";
}
uint32_t wan_tls_count(const wan_tls *t) { return t ? 1 : 0; }
void wan_tls_handshakes(const wan_tls *t, uint64_t *all, uint64_t *resumed)
{
    (void)t;
    *all = *resumed = 0;
}
void wan_tls_end(wan_tls *t) { (void)t; }
void wan_tls_free(wan_tls *t) { (void)t; }

#endif
