/* TLS for HTTP and HBTP. See tls.h.

   What one side cannot take yet is kept for it, at most what one call has produced, and the other
   side is on hold until it is gone. */
#include "tls.h"

#include "../common/os.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCKS         = 1024, /* of output; and those of input */
    RECORD_MAX     = 16384, /* bytes of plain text in a record of TLS */
    HANDSHAKE_S    = 10,
    HANDSHAKES_MAX = 256,
    LINGER_S       = 1,
    PEM_SIZE_MAX   = 1 << 20, /* bytes of a file */
    TICK_MS        = 250
};

typedef struct dxdb_tls_link {
    dxdb_tls   *tls;
    dx_peers_id outer; /* 0: closed */
    dx_peers_id inner; /* 0: not connected yet, or closed */
    SSL        *ssl;
    BIO        *in;    /* of ssl, which owns both */
    BIO        *out;
    bool        is_ready; /* the handshake is complete */
    bool        is_over;  /* the client's data has ended */
    uint64_t    begun_ns;
    dxdb_text   to_outer; /* found no space yet; then `inner` is on hold */
    dxdb_text   to_inner; /* then `outer` is on hold */
    dxdb_bridge_output output; /* of the client */
    struct dxdb_tls_link *next;
    struct dxdb_tls_link *prev;
} dxdb_tls_link;

static dxdb_tls_link *link_of(dx_peers *peers, dx_peers_id id)
{
    const uint64_t *word = dx_peers_data(peers, id);
    return word ? (dxdb_tls_link *)(uintptr_t)*word : NULL;
}

/* >>certificates --------------------------------------------------------------------- */
static int fail(const char *path)
{
    char why[160];
    const int file = os_open(path);
    if (file < 0) return prog_fail_errno("%s", path);
    os_close(file);
    ERR_error_string_n(ERR_peek_last_error(), why, sizeof why);
    ERR_clear_error();
    return prog_fail(PROG_USAGE, "%s: %s", path, why);
}

/* OpenSSL opens the file by its name, and would wait for a FIFO. */
static int check_file(const char *path)
{
    char *bytes;
    size_t size;
    const int status = prog_load("", path, PEM_SIZE_MAX, false, &bytes, &size);
    if (status) return status;
    OPENSSL_cleanse(bytes, size);
    free(bytes);
    return PROG_OK;
}

/* A key with a passphrase would ask for it at the terminal. *user: it was asked for. */
static int no_passphrase(char *out, int size, int writes, void *user)
{
    bool *asked = user;
    (void)out;
    (void)size;
    (void)writes;
    *asked = true;
    return -1;
}

/* Read the key, and compare it with the certificate. Returns PROG_OK, or prints a message. */
static int load_key(SSL_CTX *c, const char *path)
{
    bool asked = false;
    SSL_CTX_set_default_passwd_cb(c, no_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(c, &asked);
    const int read = SSL_CTX_use_PrivateKey_file(c, path, SSL_FILETYPE_PEM);
    SSL_CTX_set_default_passwd_cb_userdata(c, NULL);
    SSL_CTX_set_default_passwd_cb(c, NULL);
    if (read == 1 && SSL_CTX_check_private_key(c) == 1) return PROG_OK;
    if (!asked) return fail(path);
    ERR_clear_error();
    return prog_fail(PROG_USAGE, "%s: the key has a passphrase, dxdb needs one without", path);
}

int dxdb_tls_load(const dxdb_config *config, void **context)
{
    *context = NULL;
    if (!config->tls_cert) return PROG_OK;
    int status = check_file(config->tls_cert);
    if (!status) status = check_file(config->tls_key);
    if (status) return status;
    SSL_CTX *c = SSL_CTX_new(TLS_server_method());
    if (!c) return prog_fail(PROG_SYSTEM, "%s: OpenSSL has no memory", config->tls_cert);
    (void)SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_use_certificate_chain_file(c, config->tls_cert) != 1) status = fail(config->tls_cert);
    else status = load_key(c, config->tls_key);
    if (status) SSL_CTX_free(c);
    else *context = c;
    return status;
}

void dxdb_tls_unload(void *context) { SSL_CTX_free(context); }

/* >>links ---------------------------------------------------------------------------- */
static void end_handshake(dxdb_tls_link *l)
{
    if (!l->is_ready) l->tls->handshakes--;
    l->is_ready = true;
}

/* Free it once both sides are closed. */
static void free_link(dxdb_tls_link *l)
{
    if (l->outer || l->inner) return;
    end_handshake(l);
    if (l->prev) l->prev->next = l->next;
    else l->tls->links = l->next;
    if (l->next) l->next->prev = l->prev;
    SSL_free(l->ssl);
    dxdb_text_free(&l->to_outer);
    dxdb_text_free(&l->to_inner);
    free(l);
}

/* Close both sides; now: drop unsent output. */
static void close_link(dxdb_tls_link *l, bool now)
{
    if (l->inner) (void)dx_peers_close(&l->tls->inner, l->inner, now);
    if (l->outer) (void)dx_peers_close(&l->tls->outer, l->outer, now);
}

/* Send the records that OpenSSL has written. */
static bool flush(dxdb_tls_link *l)
{
    char *bytes;
    const long size = BIO_get_mem_data(l->out, &bytes);
    if (size > 0) dxdb_text_put(&l->to_outer, bytes, (size_t)size);
    (void)BIO_reset(l->out);
    return dxdb_bridge_send(&l->tls->outer, l->outer, &l->to_outer);
}

/* The handshake is complete: connect the protocol. */
static bool connect_inner(dxdb_tls_link *l)
{
    dxdb_tls *t = l->tls;
    end_handshake(l);
    return dxdb_bridge_connect(&t->inner, t->guard, dx_peers_fd(&t->outer, l->outer), t->add, t->protocol,
                               l, &l->inner);
}

/* The client sends no more: the protocol gets the end after all that came before it, and may still
   answer. */
static void end_input(dxdb_tls_link *l)
{
    l->is_over = true;
    if (l->inner && !l->to_inner.size) (void)dx_peers_close(&l->tls->inner, l->inner, false);
}

/* Decrypt the received bytes. False: the connection was closed. */
static bool decrypt(dxdb_tls_link *l)
{
    char plain[RECORD_MAX];
    int n = 1;
    ERR_clear_error();
    if (!l->is_ready) {
        n = SSL_accept(l->ssl);
        if (n == 1 && !connect_inner(l)) {
            close_link(l, true);
            return false;
        }
    }
    while (n > 0 && !l->is_over && !l->to_inner.size) {
        n = SSL_read(l->ssl, plain, sizeof plain);
        if (n <= 0) break;
        dxdb_text_put(&l->to_inner, plain, (size_t)n);
        (void)dxdb_bridge_send(&l->tls->inner, l->inner, &l->to_inner);
    }
    (void)flush(l);
    const int error = n > 0 ? SSL_ERROR_WANT_READ : SSL_get_error(l->ssl, n);
    if (error == SSL_ERROR_WANT_READ) return true;
    if (error == SSL_ERROR_ZERO_RETURN) {
        end_input(l);
        return true;
    }
    close_link(l, false); /* after the alert */
    return false;
}

/* >>the client's side ------------------------------------------------------------------ */
/* Close the oldest handshake. */
static void drop_oldest(dxdb_tls *t)
{
    dxdb_tls_link *oldest = NULL;
    for (dxdb_tls_link *l = t->links; l; l = l->next)
        if (!l->is_ready) oldest = l;
    if (!oldest) return;
    end_handshake(oldest);
    oldest->is_over = true;
    close_link(oldest, true);
}

static void on_outer_opened(dx_peers *peers, dx_peers_id id)
{
    dxdb_tls *t = peers->desc.user;
    if (t->handshakes >= HANDSHAKES_MAX) drop_oldest(t);
    dxdb_tls_link *l = prog_alloc(sizeof *l);
    memset(l, 0, sizeof *l);
    l->tls = t;
    l->outer = id;
    l->begun_ns = dx_reactor_now_ns(peers->reactor);
    l->ssl = SSL_new(t->context);
    l->in = BIO_new(BIO_s_mem());
    l->out = BIO_new(BIO_s_mem());
    l->next = t->links;
    if (l->next) l->next->prev = l;
    t->links = l;
    t->handshakes++;
    *dx_peers_data(peers, id) = (uint64_t)(uintptr_t)l;
    if (!l->ssl || !l->in || !l->out) {
        BIO_free(l->in);
        BIO_free(l->out);
        close_link(l, true);
        return;
    }
    SSL_set_bio(l->ssl, l->in, l->out);
    SSL_set_accept_state(l->ssl);
}

static size_t on_outer_received(dx_peers *peers, dx_peers_id id, const uint8_t *bytes, size_t size,
                                bool last)
{
    dxdb_tls_link *l = link_of(peers, id);
    if (!l || l->is_over) {
        if (last && (!l || !l->inner)) (void)dx_peers_close(peers, id, true);
        return size;
    }
    if (l->to_inner.size) { /* bytes that were received before a hold are still delivered */
        (void)dx_peers_hold(peers, id, true);
        return 0;
    }
    if (size && BIO_write(l->in, bytes, (int)size) != (int)size) {
        close_link(l, true);
        return size;
    }
    if (!decrypt(l)) return size;
    if (l->to_inner.size) (void)dx_peers_hold(peers, id, true);
    if (last && l->inner) end_input(l); /* without the end of TLS, which many leave out */
    else if (last) close_link(l, true);
    return size;
}

static void on_outer_drained(dx_peers *peers, dx_peers_id id)
{
    dxdb_tls_link *l = link_of(peers, id);
    if (l && l->to_outer.size && dxdb_bridge_send(peers, id, &l->to_outer) && l->inner)
        (void)dx_peers_hold(&l->tls->inner, l->inner, false);
}

static void on_outer_closed(dx_peers *peers, dx_peers_id id, int32_t reason)
{
    dxdb_tls_link *l = link_of(peers, id);
    if (!l) return;
    l->outer = 0;
    if (l->inner) (void)dx_peers_close(&l->tls->inner, l->inner, reason != 0);
    free_link(l);
}

/* >>the protocol's side ------------------------------------------------------------------ */
static size_t on_inner_received(dx_peers *peers, dx_peers_id id, const uint8_t *bytes, size_t size,
                                bool last)
{
    dxdb_tls_link *l = link_of(peers, id);
    size_t at = 0;
    if (!l || !l->outer) return size;
    while (at < size && !l->to_outer.size) {
        const size_t part = size - at < RECORD_MAX ? size - at : RECORD_MAX;
        ERR_clear_error();
        if (SSL_write(l->ssl, bytes + at, (int)part) != (int)part) {
            close_link(l, true);
            return size;
        }
        at += part;
        (void)flush(l);
    }
    if (l->to_outer.size) {
        (void)dx_peers_hold(peers, id, true);
    } else if (last) {
        (void)SSL_shutdown(l->ssl);
        (void)flush(l);
        close_link(l, false);
    }
    return at;
}

static void on_inner_drained(dx_peers *peers, dx_peers_id id)
{
    dxdb_tls_link *l = link_of(peers, id);
    if (!l || !l->to_inner.size || !dxdb_bridge_send(peers, id, &l->to_inner)) return;
    if (l->is_over) end_input(l);
    else if (decrypt(l) && !l->to_inner.size && l->outer)
        (void)dx_peers_hold(&l->tls->outer, l->outer, false);
}

static void on_inner_closed(dx_peers *peers, dx_peers_id id, int32_t reason)
{
    dxdb_tls_link *l = link_of(peers, id);
    if (!l) return;
    l->inner = 0;
    if (l->outer) (void)dx_peers_close(&l->tls->outer, l->outer, reason != 0);
    free_link(l);
}

/* >>all of it --------------------------------------------------------------------------- */
/* The protocol cannot see this: its own end of the pair is full, or on hold. */
static void check_output(dxdb_tls_link *l)
{
    dxdb_tls *t = l->tls;
    if (!dxdb_bridge_is_stuck(&l->output, t->guard->config, &t->outer, l->outer, l->to_outer.size, TICK_MS))
        return;
    (*t->stuck)++;
    close_link(l, true);
}

static void on_tick(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dxdb_tls *t = dx_reactor_op_user(op);
    const uint64_t now = dx_reactor_refresh_now_ns(r);
    (void)flags;
    if (result < 0) return;
    for (dxdb_tls_link *l = t->links, *next; l; l = next) {
        next = l->next;
        if (l->is_ready) check_output(l);
        else if (now - l->begun_ns > (uint64_t)HANDSHAKE_S * 1000000000) close_link(l, true);
    }
    /* From now on: ticks that follow each other at once would count as time that has passed. */
    (void)dx_reactor_refresh_now_ns(r);
    (void)dx_reactor_timer(r, op, (uint64_t)TICK_MS * 1000000);
}

static int open_peers(dxdb_tls *t, dx_reactor *r, bool is_outer)
{
    dx_peers_desc desc;
    memset(&desc, 0, sizeof desc);
    dxdb_bridge_blocks(&desc, t->guard->config, r, BLOCKS);
    desc.linger_ns = is_outer ? (uint64_t)LINGER_S * 1000000000 : 0; /* the protocol has its own */
    desc.receive_when_full = !is_outer; /* HBTP may read no requests until its answers are taken */
    desc.user = t;
    desc.opened = is_outer ? on_outer_opened : NULL;
    desc.received = is_outer ? on_outer_received : on_inner_received;
    desc.drained = is_outer ? on_outer_drained : on_inner_drained;
    desc.closed = is_outer ? on_outer_closed : on_inner_closed;
    desc.memory_size = dx_peers_memory_size(&desc);
    t->memory[is_outer] = prog_alloc(desc.memory_size);
    desc.memory = t->memory[is_outer];
    return dx_peers_open(is_outer ? &t->outer : &t->inner, r, &desc);
}

int dxdb_tls_begin(dxdb_tls *t, dx_reactor *r, dxdb_guard *guard, void *context, int listening,
                   int (*add)(void *protocol, int fd), void *protocol, uint64_t *stuck)
{
    memset(t, 0, sizeof *t);
    t->context = context;
    t->guard = guard;
    t->add = add;
    t->protocol = protocol;
    t->stuck = stuck;
    dx_reactor_op_init(&t->tick_op, on_tick, t);
    (void)dx_reactor_timer(r, &t->tick_op, (uint64_t)TICK_MS * 1000000);
    int error = open_peers(t, r, true);
    if (!error) error = open_peers(t, r, false);
    if (!error) error = dx_peers_listen(&t->outer, listening);
    return error ? prog_fail(PROG_SYSTEM, "cannot start TLS: %s", dx_peers_error_name(error))
                 : PROG_OK;
}

void dxdb_tls_listen_end(dxdb_tls *t) { dx_peers_listen_end(&t->outer); }

bool dxdb_tls_expects(const dxdb_tls *t)
{
    const uint64_t now = dx_reactor_now_ns(t->outer.reactor);
    if (dx_peers_is_listening(&t->outer)) return true;
    for (const dxdb_tls_link *l = t->links; l && t->handshakes; l = l->next)
        if (!l->is_ready && now - l->begun_ns < (uint64_t)DXDB_FIRST_MS * 1000000) return true;
    return false;
}

void dxdb_tls_drain(dxdb_tls *t)
{
    (void)dx_reactor_cancel(t->outer.reactor, &t->tick_op);
    for (dxdb_tls_link *l = t->links, *next; l; l = next) {
        next = l->next;
        if (!l->is_ready) close_link(l, true);
    }
}

void dxdb_tls_close(dxdb_tls *t, uint64_t within_ns)
{
    dx_peers_drain(&t->inner, within_ns);
    dx_peers_drain(&t->outer, within_ns);
}

void dxdb_tls_free(dxdb_tls *t)
{
    assert(!t->links);
    free(t->memory[0]);
    free(t->memory[1]);
    memset(t, 0, sizeof *t);
}
