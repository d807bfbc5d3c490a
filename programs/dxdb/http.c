/* HTTP/1.1: results as JSON. See http.h.

   A request is parsed once its head has arrived completely and contiguously, so http_parser gets it
   in one call and nothing is copied. Each connection has one request at a time: while that waits for
   the database, the connection is on hold and further bytes wait in the socket. The body of a write
   is collected, up to BODY_MAX bytes, once its head was let in. */
#include "http.h"

#include "body.h"
#include "health.h"
#include "json.h"
#include "page.h"
#include "text.h"

#include <assert.h>
#include <http_parser.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>

enum {
    HEAD_MAX  = 16384 - 1, /* one less than a block: dx_peers.h closes a connection that fills one */
    BLOCK_SIZE = 16384,
    BLOCKS    = 4096,
    IDLE_S    = 60,
    TICK_MS   = 250, /* between looks at the streams of events */
    PING_MS   = 15000, /* between comments in a stream, so that it is not idle */
    QUIET_MS  = 250, /* after an answer; a client that sends one request after another is faster */
    HEAD_S    = 10, /* timeout for a head, and for a body, from its first byte to its last */
    BODY_MAX  = 16384, /* as the arguments of a call over HBTP */
    PARTS_MAX = DXDB_PARAMETERS_MAX
};

static const char json_type[] = "application/json";
static const char record_type[] = "application/x-dx-teleport";

/* A connection; allocated with its first request. */
typedef struct dxdb_client {
    dxdb_request request; /* first: the callback gets its address */
    dxdb_http   *http;
    dx_peers_id  id;
    uint64_t     begun_ns;  /* of an incomplete head; 0: none */
    bool         is_waiting; /* for the database */
    bool         is_inside; /* `received` runs */
    bool         keeps;     /* keep-alive: the connection stays open after the answer */
    bool         is_head;   /* a HEAD request */
    bool         wants_record;
    uint64_t     asked_ns;  /* when the head was complete */
    uint64_t     answered_ns; /* the request before */
    char         extra[768]; /* further header fields: CORS, the rate */
    size_t       extra_size;
    char         matches[256]; /* If-None-Match */
    dxdb_watch   watch;     /* of a stream of events, before it begins */
    dxdb_listener listener; /* then */
    dxdb_subject subject;
    bool         streams;
    dxdb_ws_link *ws;       /* it is a WebSocket now */
    dxdb_writing writing;   /* a write, */
    uint32_t     write;
    bool         is_write;  /* the request is for one: below /w/ */
    size_t       body_left; /* of its body, which has not arrived completely */
    bool         keeps_then; /* `keeps` after the body: until then the connection is read from */
    dxdb_text    body;
    dxdb_wait    wait;      /* a query that waits for a position, */
    uint32_t     query;
    const char  *values[PARTS_MAX];
    char        *texts;     /* and its parameters */
    bool         is_late;   /* the result has changed while there were unsent bytes */
    size_t       sent_before; /* at the last tick: `sent`, */
    int          unread;    /* and what the peer had not acknowledged */
    uint64_t     stuck_ms;  /* both are the same for this time */
    struct dxdb_client *next; /* of all clients */
    struct dxdb_client *prev;
    dxdb_text    unsent;    /* bytes that found no buffer space yet */
    size_t       sent;      /* of unsent */
} dxdb_client;

typedef struct text_range {
    const char *text;
    size_t      size;
} text_range;

/* Filled by the callbacks of the parser. */
typedef struct head {
    text_range url;
    text_range field; /* the name of the field whose value follows */
    text_range accept;
    text_range match;
    text_range authorization;
    text_range content;  /* Content-Type */
    text_range expect;
    text_range position; /* Dx-Position */
    text_range upgrade;
    text_range ws_key;   /* Sec-WebSocket-Key */
    text_range ws_version;
    text_range origin;
    text_range host;
    bool       has_two_keys;
    bool       has_head;
    bool       is_complete;
} head;

/* >>parsing ------------------------------------------------------------------------ */
/* The parser may deliver one text in several adjacent pieces. */
static void extend(text_range *range, const char *at, size_t size)
{
    if (range->text && range->text + range->size == at) {
        range->size += size;
        return;
    }
    range->text = at;
    range->size = size;
}

static bool is_word(const text_range *range, const char *word)
{
    return range->size == strlen(word) && !strncasecmp(range->text, word, range->size);
}

static int on_url(http_parser *p, const char *at, size_t size)
{
    head *h = p->data;
    extend(&h->url, at, size);
    return 0;
}

static int on_field(http_parser *p, const char *at, size_t size)
{
    head *h = p->data;
    extend(&h->field, at, size);
    return memchr(at, ' ', size) != NULL; /* the parser accepts it, RFC 9112 does not */
}

static int on_value(http_parser *p, const char *at, size_t size)
{
    head *h = p->data;
    if (is_word(&h->field, "accept")) extend(&h->accept, at, size);
    if (is_word(&h->field, "authorization")) extend(&h->authorization, at, size);
    if (is_word(&h->field, "if-none-match")) extend(&h->match, at, size);
    if (is_word(&h->field, "content-type")) extend(&h->content, at, size);
    if (is_word(&h->field, "expect")) extend(&h->expect, at, size);
    if (is_word(&h->field, "dx-position")) extend(&h->position, at, size);
    if (is_word(&h->field, "upgrade")) extend(&h->upgrade, at, size);
    if (is_word(&h->field, "origin")) extend(&h->origin, at, size);
    if (is_word(&h->field, "host")) extend(&h->host, at, size);
    if (is_word(&h->field, "sec-websocket-version")) extend(&h->ws_version, at, size);
    if (is_word(&h->field, "sec-websocket-key")) {
        h->has_two_keys |= h->ws_key.text && h->ws_key.text + h->ws_key.size != at;
        extend(&h->ws_key, at, size);
    }
    return 0;
}

static int on_head(http_parser *p)
{
    head *h = p->data;
    h->has_head = true;
    return 0;
}

static int on_complete(http_parser *p)
{
    head *h = p->data;
    h->is_complete = true;
    http_parser_pause(p, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_message_complete = on_complete,
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Decode a part of a query string into a terminated text at *to, and advance *to. NULL: malformed,
   or it contains a zero byte. */
static char *decode(const char *text, size_t size, char **to)
{
    char *begin = *to, *out = begin;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '+') c = ' ';
        if (c == '%') {
            const int high = i + 2 < size ? hex_digit(text[i + 1]) : -1;
            const int low = i + 2 < size ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0) return NULL;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (!c) return NULL;
        *out++ = c;
    }
    *out++ = 0;
    *to = out;
    return begin;
}

/* The target of a request without "http://host", which proxies send (RFC 9112, section 3.2.2). */
static text_range path_of(text_range url)
{
    static const char *const schemes[2] = {"http://", "https://"};
    for (int i = 0; i < 2; i++) {
        const size_t length = strlen(schemes[i]);
        size_t at = length;
        if (url.size < length || strncasecmp(url.text, schemes[i], length)) continue;
        while (at < url.size && url.text[at] != '/' && url.text[at] != '?') at++;
        return at < url.size && url.text[at] == '/' ? (text_range){url.text + at, url.size - at}
                                                   : (text_range){"/", 1};
    }
    return url;
}

/* >>answers ------------------------------------------------------------------------ */
static const char *reason_of(uint16_t status)
{
    switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 426: return "Upgrade Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "Internal Server Error";
    }
}

/* Send pending bytes as far as there is space; `drained` continues. */
static void push(dxdb_client *c)
{
    dx_peers *peers = &c->http->peers;
    while (c->sent < c->unsent.size) {
        size_t size = c->unsent.size - c->sent;
        if (size > BLOCK_SIZE) size = BLOCK_SIZE;
        const int error = dx_peers_send(peers, c->id, c->unsent.bytes + c->sent, (uint32_t)size);
        if (error) return; /* EAGAIN; other errors: it is closed, or about to be */
        c->sent += size;
    }
    dxdb_text_free(&c->unsent);
    c->sent = 0;
    if (!c->keeps) (void)dx_peers_close(peers, c->id, false);
}

/* Append the fields for CORS, the rate, and the duration. */
static void put_extra(dxdb_client *c, dxdb_text *t)
{
    const uint64_t now = dx_reactor_refresh_now_ns(c->http->peers.reactor);
    dx_middleware_fields fields = {c->extra, c->extra_size, sizeof c->extra};
    if (c->asked_ns) (void)dx_middleware_add_response_time(&fields, c->asked_ns, now);
    dxdb_text_put(t, fields.text, fields.size);
    c->extra_size = 0;
    c->asked_ns = 0;
}

/* fields: further header lines, each with its CRLF. */
static void respond(dxdb_client *c, uint16_t status, const char *type, const char *fields,
                    const void *body, size_t size)
{
    dxdb_text *t = &c->unsent;
    assert(!t->size);
    dxdb_metrics_count(c->http->results->metrics.http, status);
    dxdb_text_add(t, "HTTP/1.1 ");
    dxdb_text_number(t, status);
    dxdb_text_add(t, " ");
    dxdb_text_add(t, reason_of(status));
    if (status != 304 && status != 204) {
        dxdb_text_add(t, "\r\nContent-Type: ");
        dxdb_text_add(t, type);
        dxdb_text_add(t, "\r\nContent-Length: ");
        dxdb_text_number(t, size);
    }
    dxdb_text_add(t, "\r\n");
    dxdb_text_add(t, fields);
    put_extra(c, t);
    c->answered_ns = dx_reactor_now_ns(c->http->peers.reactor);
    dxdb_text_add(t, c->keeps ? "\r\n" : "Connection: close\r\n\r\n");
    if (!c->is_head && status != 304) dxdb_text_put(t, body, size);
    push(c);
}

static void refuse(dxdb_client *c, uint16_t status, const char *why)
{
    dxdb_text body = {0};
    dxdb_text_format(&body, "{\"status\":%u,\"error\":", (unsigned)status);
    dxdb_text_quote(&body, why, strlen(why));
    dxdb_text_add(&body, "}\n");
    respond(c, status, json_type, status == 405 && c->is_write ? "Allow: POST\r\n" :
            status == 405 ? "Allow: GET, HEAD\r\n" :
            status == DXDB_UNAVAILABLE ? "Retry-After: 1\r\n" :
            status == 426 ? "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" :
            status == 401 ? "WWW-Authenticate: Bearer\r\n" : "", body.bytes, body.size);
    dxdb_text_free(&body);
}

static void respond_result(dxdb_client *c, const dxdb_result *result)
{
    static const char head[] = "Vary: Accept\r\nCache-Control: no-cache\r\nETag: ";
    char fields[sizeof head + 80] = "Vary: Accept\r\n";
    char etag[67];
    if (result->status != DXDB_OK) {
        refuse(c, result->status, result->why);
        return;
    }
    if (result->view) {
        dx_cache_etag(result->view, etag);
        char *end = stpcpy(fields, head);
        end = stpcpy(end, etag);
        stpcpy(end, "\r\n");
        if (c->matches[0] && dx_cache_etag_matches(result->view, c->matches, strlen(c->matches))) {
            respond(c, 304, NULL, fields, NULL, 0);
            return;
        }
    }
    if (c->wants_record)
        respond(c, DXDB_OK, record_type, fields, result->record, result->record_size);
    else respond(c, DXDB_OK, json_type, fields, result->json, result->json_size);
}

/* After an answer, end the hold, which delivers pending bytes: the next request, or the end that a
   connection that is being closed waits for. `received` does that by itself. */
static void resume(dxdb_client *c)
{
    if (!c->is_inside && !c->unsent.size) (void)dx_peers_hold(&c->http->peers, c->id, false);
}

static void on_answered(dxdb_request *request, const dxdb_result *result)
{
    dxdb_client *c = (dxdb_client *)(void *)request; /* its first field */
    c->is_waiting = false;
    respond_result(c, result);
    resume(c);
}

static void on_written(dxdb_writing *w, const dxdb_outcome *outcome)
{
    dxdb_client *c = (dxdb_client *)(void *)((char *)w - offsetof(dxdb_client, writing));
    char position[24], fields[48];
    dxdb_text body = {0};
    c->is_waiting = false;
    if (outcome->status != DXDB_OK) {
        refuse(c, outcome->status, outcome->why);
    } else {
        snprintf(position, sizeof position, "%X/%X", (unsigned)(outcome->position >> 32),
                 (unsigned)outcome->position);
        snprintf(fields, sizeof fields, "Dx-Position: %s\r\n", position);
        dxdb_text_format(&body, "{\"position\":\"%s\",\"rows\":[", position);
        for (uint32_t i = 0; i < outcome->count; i++) {
            if (i) dxdb_text_add(&body, ",");
            dxdb_text_number(&body, outcome->counts[i]);
        }
        dxdb_text_add(&body, "]}\n");
        respond(c, DXDB_OK, json_type, fields, body.bytes, body.size);
        dxdb_text_free(&body);
    }
    resume(c);
}

/* >>requests ------------------------------------------------------------------------- */
/* Put the values of the query string into the order of the query's parameters. Returns
   NULL, or the error. */
static const char *parse_parameters(const dxdb_query_config *q, text_range query, char *texts,
                                   const char **values)
{
    bool given[PARTS_MAX] = {false};
    while (query.size) {
        const char *end = memchr(query.text, '&', query.size);
        const size_t size = end ? (size_t)(end - query.text) : query.size;
        const char *equals = memchr(query.text, '=', size);
        const size_t name_size = equals ? (size_t)(equals - query.text) : size;
        const char *name = decode(query.text, name_size, &texts);
        uint32_t i = 0;
        if (!name) return "the query string is malformed";
        while (i < q->parameter_count && strcmp(q->parameters[i], name)) i++;
        if (i == q->parameter_count) return "there is no such parameter";
        if (given[i]) return "a parameter is given twice";
        given[i] = true;
        values[i] = equals ? decode(equals + 1, size - name_size - 1, &texts) : NULL;
        if (equals && !values[i]) return "the query string is malformed";
        query.text += size + (end != NULL);
        query.size -= size + (end != NULL);
    }
    for (uint32_t i = 0; i < q->parameter_count; i++)
        if (!given[i]) return "a parameter is missing";
    return NULL;
}

/* Answer from memory, or from the database. */
static void look_up(dxdb_client *c, uint32_t query, const char *const *values)
{
    dxdb_results *r = c->http->results;
    dxdb_result result;
    if (dxdb_results_get(r, query, values, &result)) {
        c->is_waiting = false;
        respond_result(c, &result);
        dxdb_results_release(r);
        resume(c);
        return;
    }
    c->is_waiting = true;
    c->request.answered = on_answered;
    dxdb_results_load(r, query, values, true, &c->request);
}

/* The position was reached, or was not. */
static void on_reached(dxdb_wait *w, uint16_t status, const char *why)
{
    dxdb_client *c = (dxdb_client *)(void *)((char *)w - offsetof(dxdb_client, wait));
    char *texts = c->texts;
    c->texts = NULL;
    if (status == DXDB_OK) {
        look_up(c, c->query, c->values);
    } else {
        c->is_waiting = false;
        refuse(c, status, why);
        resume(c);
    }
    free(texts);
}

/* Answer once all changes before this position were reported. */
static void look_up_at(dxdb_client *c, uint32_t query, const char *const *values, uint64_t position)
{
    dxdb_results *r = c->http->results;
    const uint32_t count = r->config->queries[query].parameter_count;
    assert(!c->texts);
    c->texts = prog_alloc(dxdb_values_size(values, count) + 1);
    dxdb_values_copy(values, count, c->values, c->texts);
    c->query = query;
    c->is_waiting = true;
    c->wait.reached = on_reached;
    dxdb_catalog_wait(&r->catalog, &c->wait, position, r->config->request_ms * 1000000);
}

/* position: of the request's Dx-Position. False: it is malformed, and was refused. */
static bool read_position(dxdb_client *c, text_range field, uint64_t *position)
{
    while (field.size && field.text[field.size - 1] == ' ') field.size--;
    if (dxdb_position_parse(field.text, field.size, position)) return true;
    refuse(c, DXDB_BAD_REQUEST, "this is not a position such as 0/16B3748");
    return false;
}

static void ask(dxdb_client *c, uint32_t query, text_range parameters, text_range at)
{
    char texts[HEAD_MAX + PARTS_MAX + 1];
    const char *values[PARTS_MAX] = {NULL};
    uint64_t position;
    const char *why = parse_parameters(&c->http->results->config->queries[query], parameters, texts,
                                       values);
    if (why) refuse(c, DXDB_BAD_REQUEST, why);
    else if (!at.text) look_up(c, query, values);
    else if (read_position(c, at, &position)) look_up_at(c, query, values, position);
}

/* >>events --------------------------------------------------------------------------- */
/* Append the fields "data:" of an event: one for each line of the text. */
static void put_data(dxdb_text *t, const char *text, size_t size)
{
    while (size) {
        const char *end = memchr(text, '\n', size);
        const size_t line = end ? (size_t)(end - text) : size;
        dxdb_text_add(t, "data: ");
        dxdb_text_put(t, text, line);
        dxdb_text_add(t, "\n");
        text += line + (end != NULL);
        size -= line + (end != NULL);
    }
    dxdb_text_add(t, "\n");
}

/* Append the end of a stream, and close the connection once it is sent. */
static void end_stream(dxdb_client *c, uint16_t status, const char *why)
{
    dxdb_text body = {0};
    if (!c->keeps) return;
    dxdb_text_format(&body, "{\"status\":%u,\"error\":", (unsigned)status);
    dxdb_text_quote(&body, why, strlen(why));
    dxdb_text_add(&body, "}");
    dxdb_text_add(&c->unsent, "event: end\n");
    put_data(&c->unsent, body.bytes, body.size);
    dxdb_text_free(&body);
    c->keeps = false;
    push(c);
}

static void end_live(dxdb_client *c, uint16_t status, const char *why)
{
    dxdb_follow_leave(&c->listener);
    end_stream(c, status, why);
}

/* Send the followed result as it is now. While earlier bytes wait, only the fact that it changed is
   kept: a slow client gets the newest one, and has no queue. */
static void put_event(dxdb_client *c)
{
    const dxdb_followed *f = c->listener.followed;
    dxdb_text rows = {0};
    c->is_late = c->unsent.size > 0;
    if (c->is_late || !f) return;
    if (f->status == DXDB_OK) {
        dxdb_json_rows(&rows, &c->http->results->catalog.queries[f->query].rows, f->record,
                       f->record_size);
        dxdb_text_format(&c->unsent, "id: %X/%X\n", (unsigned)(f->position >> 32),
                         (unsigned)f->position);
    } else {
        dxdb_text_quote(&rows, f->why, strlen(f->why));
        dxdb_text_add(&c->unsent, "event: away\n");
    }
    put_data(&c->unsent, rows.bytes, rows.size);
    dxdb_text_free(&rows);
    push(c);
}

static void on_listened(dxdb_listener *l)
{
    dxdb_client *c = (dxdb_client *)(void *)((char *)l - offsetof(dxdb_client, listener));
    if (l->followed->is_ended) end_stream(c, l->followed->status, l->followed->why);
    else put_event(c);
}

static void on_live(dxdb_watch *w, uint16_t status, const char *why)
{
    dxdb_client *c = (dxdb_client *)(void *)((char *)w - offsetof(dxdb_client, watch));
    dxdb_http *h = c->http;
    c->is_waiting = false;
    if (status != DXDB_OK) {
        refuse(c, status, why);
    } else {
        c->keeps = true; /* until the stream ends, whatever the request said */
        dxdb_metrics_count(h->results->metrics.http, status);
        dxdb_text_add(&c->unsent, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                  "Cache-Control: no-store\r\nConnection: close\r\n");
        put_extra(c, &c->unsent);
        dxdb_text_add(&c->unsent, "\r\n");
        push(c);
        c->streams = true;
        c->listener.changed = on_listened;
        dxdb_follow_listen(w->followed, &c->listener);
        put_event(c);
        if (h->ends) end_live(c, DXDB_UNAVAILABLE, "the server is shutting down");
    }
    resume(c);
}

/* With a position, the first event is read from the database after this call. */
static void live(dxdb_client *c, uint32_t query, text_range parameters, text_range at)
{
    uint64_t position;
    char texts[HEAD_MAX + PARTS_MAX + 1];
    const char *values[PARTS_MAX] = {NULL};
    const char *why = parse_parameters(&c->http->results->config->queries[query], parameters, texts,
                                      values);
    if (!why && c->is_head) why = "events are for GET";
    if (why) {
        refuse(c, DXDB_BAD_REQUEST, why);
        return;
    }
    if (at.text && !read_position(c, at, &position)) return;
    c->is_waiting = true;
    c->watch.ready = on_live;
    dxdb_follow_watch(c->http->follow, query, values, at.text != NULL, &c->watch);
}

/* Has its output not moved for lag_ms? Only unsent output counts, and the end of a stream. */
static bool is_stuck(dxdb_http *h, dxdb_client *c)
{
    int unread = 0;
    (void)ioctl(dx_peers_fd(&h->peers, c->id), SIOCOUTQ, &unread);
    const bool is_behind = c->unsent.size || !c->keeps;
    if (!is_behind || c->sent != c->sent_before || unread != c->unread) c->stuck_ms = 0;
    else c->stuck_ms += TICK_MS;
    c->sent_before = c->sent;
    c->unread = unread;
    if (c->stuck_ms < h->results->config->lag_ms) return false;
    c->stuck_ms = 0;
    return true;
}

/* End a stream whose token has expired or whose client does not read. If the client does not read
   the end either, the connection is closed and unsent output is dropped. */
static void check_stream(dxdb_http *h, dxdb_client *c)
{
    const bool stuck = is_stuck(h, c);
    if (!c->keeps) {
        if (stuck) (void)dx_peers_close(&h->peers, c->id, true);
    } else if (dxdb_guard_check(h->guard, &c->subject)) {
        end_live(c, 401, "the token has expired");
    } else if (stuck) {
        h->results->metrics.lagging++;
        end_live(c, 408, "it does not read what it follows");
    }
}

static void on_tick(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dxdb_http *h = dx_reactor_op_user(op);
    (void)flags;
    if (result < 0) return;
    h->ping_ms += TICK_MS;
    const bool pings = h->ping_ms >= PING_MS;
    if (pings) h->ping_ms = 0;
    for (dxdb_client *c = h->clients, *next; c; c = next) {
        next = c->next;
        if (c->ws && dxdb_ws_check(c->ws, TICK_MS)) h->results->metrics.stuck_ws++;
        if (!c->streams) continue;
        if (pings && !c->unsent.size && c->keeps) {
            dxdb_text_add(&c->unsent, ":\n\n");
            push(c);
        }
        check_stream(h, c);
    }
    /* From now on, not from the time of the last wait: if something else took long, ticks that follow
       each other at once would count as time in which a client did not read. */
    (void)dx_reactor_refresh_now_ns(r);
    (void)dx_reactor_timer(r, op, (uint64_t)TICK_MS * 1000000);
}

static void describe(dxdb_client *c, uint32_t query)
{
    dxdb_text text = {0};
    const uint16_t status = dxdb_results_describe(c->http->results, query, &text);
    if (status == DXDB_OK) {
        respond(c, status, json_type, "", text.bytes, text.size);
    } else {
        dxdb_text_put(&text, "", 1);
        refuse(c, status, text.bytes);
    }
    dxdb_text_free(&text);
}

/* True: it is a file of the page, and was sent. */
static bool show_page(dxdb_client *c, const text_range *path)
{
    const dxdb_page *p = dxdb_pages;
    while (p->path && !is_word(path, p->path)) p++;
    if (p->path) respond(c, DXDB_OK, p->type, "Cache-Control: no-cache\r\n", p->bytes, p->size);
    return p->path != NULL;
}

/* The names of queries and parameters need no escaping: they have only letters, digits, _ and -. */
static void show_queries(dxdb_client *c)
{
    const dxdb_config *config = c->http->results->config;
    dxdb_text t = {0};
    for (uint32_t i = 0; i < config->query_count; i++) {
        const dxdb_query_config *q = &config->queries[i];
        dxdb_text_format(&t, "%s{\"name\":\"%s\",\"parameters\":[", i ? ",\n" : "[", q->name);
        for (uint32_t k = 0; k < q->parameter_count; k++)
            dxdb_text_format(&t, "%s\"%s\"", k ? "," : "", q->parameters[k]);
        dxdb_text_add(&t, "]}");
    }
    dxdb_text_add(&t, "]\n");
    respond(c, DXDB_OK, json_type, "", t.bytes, t.size);
    dxdb_text_free(&t);
}

static void show_metrics(dxdb_client *c)
{
    dxdb_text t = {0};
    dxdb_metrics sum;
    dxdb_follow_measure(c->http->follow);
    dxdb_metrics_publish(c->http->index, dxdb_results_measure(c->http->results));
    dxdb_metrics_sum(&sum);
    dxdb_metrics_put_all(&t, &sum);
    dxdb_metrics_put_queries(&t, &sum, c->http->results->config);
    respond(c, DXDB_OK, "text/plain; version=0.0.4", "", t.bytes, t.size);
    dxdb_text_free(&t);
}

static void show_health(dxdb_client *c)
{
    char why[DXDB_HEALTH_SIZE];
    if (!dxdb_health_get(why)) refuse(c, DXDB_UNAVAILABLE, why);
    else if (!dxdb_results_healthy(c->http->results))
        refuse(c, DXDB_UNAVAILABLE, "the queries are being described, or no connection is open yet");
    else respond(c, DXDB_OK, "text/plain", "", "ok\n", 3);
}

/* Authenticate, and apply the rate limit. False: refused, and answered. */
static bool is_let_in(dxdb_client *c, const head *h)
{
    static const char scheme[] = "Bearer ";
    const text_range *a = &h->authorization;
    dxdb_guard *g = c->http->guard;
    dx_middleware_fields fields = {c->extra, c->extra_size, sizeof c->extra};
    dx_middleware_quota quota;
    dxdb_subject subject;
    const bool bears = a->size > sizeof scheme - 1 &&
                       !strncasecmp(a->text, scheme, sizeof scheme - 1);
    const char *why = NULL;
    const char *token = bears ? a->text + sizeof scheme - 1 : NULL;
    uint16_t status = dxdb_guard_admit(g, token, bears ? a->size - (sizeof scheme - 1) : 0,
                                       &subject, &why);
    c->subject = subject;
    if (!status) {
        dxdb_guard_name(g, dx_peers_fd(&c->http->peers, c->id), &subject);
        status = dxdb_guard_spend(g, &subject, dx_reactor_now_ns(c->http->peers.reactor), &quota);
        if (quota.limit) (void)dx_middleware_add_rate_limit(&fields, &quota);
        c->extra_size = fields.size;
    }
    if (status) refuse(c, status, status == 401 ? why : "too many requests");
    return !status;
}

/* Does the path end in this, after something else? Then it is removed. */
static bool drop_suffix(text_range *path, const char *suffix)
{
    const size_t length = strlen(suffix);
    const bool ends = path->size > length &&
                      !memcmp(path->text + path->size - length, suffix, length);
    if (ends) path->size -= length;
    return ends;
}

/* Serve the part of the path after /q/. */
static void show_query(dxdb_client *c, text_range path, text_range parameters, text_range at)
{
    const bool is_description = drop_suffix(&path, "/describe");
    const bool is_live = !is_description && drop_suffix(&path, "/live");
    const int query = dxdb_config_find(c->http->results->config, path.text, path.size);
    if (query < 0) refuse(c, DXDB_NOT_FOUND, "there is no such query");
    else if (is_description) describe(c, (uint32_t)query);
    else if (is_live) live(c, (uint32_t)query, parameters, at);
    else ask(c, (uint32_t)query, parameters, at);
}

/* A path below this folder, which is removed. */
static bool drop_folder(text_range *path, const char *folder)
{
    const size_t length = strlen(folder);
    if (path->size <= length || memcmp(path->text, folder, length)) return false;
    path->text += length;
    path->size -= length;
    return true;
}

/* >>writes --------------------------------------------------------------------------- */
/* Serve a path below /w/ that is not a POST. */
static void show_write(dxdb_client *c, text_range path)
{
    const bool is_description = drop_suffix(&path, "/describe");
    const int write = dxdb_config_find_write(c->http->results->config, path.text, path.size);
    dxdb_text text = {0};
    if (write < 0) {
        refuse(c, DXDB_NOT_FOUND, "there is no such write");
    } else if (!is_description) {
        refuse(c, 405, "a write is a POST");
    } else {
        dxdb_results_describe_write(c->http->results, (uint32_t)write, &text);
        respond(c, DXDB_OK, json_type, "", text.bytes, text.size);
        dxdb_text_free(&text);
    }
}

/* The body has arrived. */
static void write_body(dxdb_client *c)
{
    dxdb_results *r = c->http->results;
    const dxdb_write_config *w = &r->config->writes[c->write];
    char texts[BODY_MAX + PARTS_MAX + 1];
    const char *values[PARTS_MAX] = {NULL};
    const char *why = dxdb_body_parse(c->body.bytes, c->body.size, w->parameters, w->parameter_count,
                                      texts, values);
    c->begun_ns = 0;
    c->keeps = c->keeps_then && !c->http->drains;
    dxdb_text_free(&c->body);
    if (why) {
        refuse(c, DXDB_BAD_REQUEST, why);
        return;
    }
    c->is_waiting = true;
    c->writing.written = on_written;
    dxdb_results_write(r, c->write, values, &c->writing);
}

static bool is_json(const text_range *type)
{
    const size_t length = sizeof json_type - 1;
    return type->size >= length && !strncasecmp(type->text, json_type, length) &&
           (type->size == length || strchr(" \t;", type->text[length]));
}

/* Refuse a POST by its head: its body is not read, so the connection is closed after the answer. */
static void refuse_body(dxdb_client *c, const http_parser *parser, uint16_t status, const char *why)
{
    c->keeps = c->keeps_then && !parser->content_length;
    refuse(c, status, why);
}

/* A POST whose head was read. A page of another origin can send text without asking first, but not
   JSON: so JSON is required, and which pages may write is what CORS says. */
static void begin_write(dxdb_client *c, const http_parser *parser, const head *h)
{
    text_range path = path_of(h->url);
    const bool has_length = parser->content_length != UINT64_MAX && !(parser->flags & F_CHUNKED);
    const bool keeps = c->keeps;
    int write = -1;
    c->is_write = drop_folder(&path, "/w/");
    c->keeps_then = keeps;
    if (!c->is_write) {
        refuse_body(c, parser, 405, "only GET and HEAD are supported here");
        return;
    }
    c->keeps = keeps && has_length && !parser->content_length; /* for a refusal */
    if (!is_let_in(c, h)) return;
    c->keeps = true;
    write = dxdb_config_find_write(c->http->results->config, path.text, path.size);
    if (write < 0) refuse_body(c, parser, DXDB_NOT_FOUND, "there is no such write");
    else if (!has_length) refuse_body(c, parser, 411, "the body needs a Content-Length");
    else if (parser->content_length > BODY_MAX)
        refuse_body(c, parser, DXDB_TOO_BIG, "a body has at most 16384 bytes");
    else if (!is_json(&h->content)) refuse_body(c, parser, 415, "the body must be application/json");
    else if (h->expect.text && !is_word(&h->expect, "100-continue"))
        refuse_body(c, parser, 417, "the expectation is not known");
    else {
        c->write = (uint32_t)write;
        c->body_left = (size_t)parser->content_length;
        c->begun_ns = dx_reactor_now_ns(c->http->peers.reactor);
        if (!c->body_left) write_body(c);
        else if (h->expect.text) {
            dxdb_text_add(&c->unsent, "HTTP/1.1 100 Continue\r\n\r\n");
            push(c);
        }
    }
}

/* Consume the received part of a body. Returns its bytes. */
static size_t take_body(dxdb_client *c, const uint8_t *bytes, size_t size)
{
    const uint64_t now = dx_reactor_now_ns(c->http->peers.reactor);
    if (size > c->body_left) size = c->body_left;
    dxdb_text_put(&c->body, bytes, size);
    c->body_left -= size;
    if (!c->body_left) {
        write_body(c);
    } else if (now - c->begun_ns > (uint64_t)HEAD_S * 1000000000) {
        c->keeps = false;
        refuse(c, 408, "the request took too long");
    }
    return size;
}

/* >>WebSocket ------------------------------------------------------------------------ */
/* Check a request for a WebSocket. NULL, or the reason of a refusal, with *status. */
static const char *check_upgrade(const dxdb_client *c, const http_parser *parser, const head *h,
                                 char accept[DXDB_WS_ACCEPT_SIZE], uint16_t *status)
{
    const dxdb_guard *g = c->http->guard;
    const char *missing = dxdb_ws_missing();
    *status = DXDB_NOT_FOUND;
    if (missing) return missing;
    *status = 426;
    if (!parser->upgrade || !is_word(&h->upgrade, "websocket")) return "this is a WebSocket";
    if (!is_word(&h->ws_version, "13")) return "this version of WebSocket is not supported";
    *status = DXDB_BAD_REQUEST;
    if (c->is_head || parser->http_major != 1 || parser->http_minor < 1)
        return "a WebSocket begins with a GET of HTTP/1.1";
    if (h->has_two_keys || !dxdb_ws_accept(h->ws_key.text, h->ws_key.size, accept))
        return "Sec-WebSocket-Key is not one of 16 bytes";
    *status = 403;
    if (h->origin.text && !dxdb_guard_is_origin(g, h->origin.text, h->origin.size, h->host.text,
                                                h->host.size))
        return "pages of this origin may not connect";
    *status = DXDB_UNAVAILABLE;
    return c->http->ends ? "the server is shutting down" : NULL;
}

/* Without tokens, the rate limit counts the address here, as for other requests. A token is in the
   Hello of HBTP, because a page cannot add a field to this request. False: refused, and answered. */
static bool is_address_let_in(dxdb_client *c)
{
    dxdb_guard *g = c->http->guard;
    dx_middleware_fields fields = {c->extra, c->extra_size, sizeof c->extra};
    dx_middleware_quota quota;
    dxdb_subject subject = {0};
    if (g->config->secret_file) return true;
    dxdb_guard_name(g, dx_peers_fd(&c->http->peers, c->id), &subject);
    const uint16_t status = dxdb_guard_spend(g, &subject, dx_reactor_now_ns(c->http->peers.reactor),
                                             &quota);
    if (quota.limit) (void)dx_middleware_add_rate_limit(&fields, &quota);
    c->extra_size = fields.size;
    if (status) refuse(c, status, "too many requests");
    return !status;
}

static void upgrade(dxdb_client *c, const http_parser *parser, const head *h)
{
    char accept[DXDB_WS_ACCEPT_SIZE];
    uint16_t status;
    const char *why = check_upgrade(c, parser, h, accept, &status);
    dxdb_text answer = {0};
    if (parser->upgrade) c->keeps = false; /* what follows may be frames */
    if (why) refuse(c, status, why);
    if (why || !is_address_let_in(c)) return;
    dxdb_text_add(&answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                           "Connection: Upgrade\r\nSec-WebSocket-Accept: ");
    dxdb_text_add(&answer, accept);
    dxdb_text_add(&answer, "\r\n");
    put_extra(c, &answer);
    dxdb_text_add(&answer, "\r\n");
    c->ws = dxdb_ws_open(&c->http->ws, c->id, &answer);
    dxdb_text_free(&answer);
    if (c->ws) {
        c->keeps = true;
        c->http->results->metrics.websockets++;
    } else {
        refuse(c, DXDB_UNAVAILABLE, "no connection of HBTP is free");
    }
}

/* >>routes --------------------------------------------------------------------------- */
static void route(dxdb_client *c, const http_parser *parser, const head *h)
{
    text_range path = path_of(h->url), query = {"", 0};
    const char *mark = path.size ? memchr(path.text, '?', path.size) : NULL;
    if (mark) {
        query.text = mark + 1;
        query.size = path.size - (size_t)(mark + 1 - path.text);
        path.size = (size_t)(mark - path.text);
    }
    c->wants_record = h->accept.size == sizeof record_type - 1 &&
                      !memcmp(h->accept.text, record_type, h->accept.size);
    c->matches[0] = 0;
    if (h->match.size && h->match.size < sizeof c->matches) {
        memcpy(c->matches, h->match.text, h->match.size);
        c->matches[h->match.size] = 0;
    }
    if (drop_folder(&path, "/q/")) {
        if (is_let_in(c, h)) show_query(c, path, query, h->position);
    } else if (drop_folder(&path, "/w/")) {
        c->is_write = true;
        if (is_let_in(c, h)) show_write(c, path);
    } else if (is_word(&path, "/ws")) {
        upgrade(c, parser, h);
    } else if (is_word(&path, "/queries")) {
        show_queries(c);
    } else if (is_word(&path, "/metrics")) {
        show_metrics(c);
    } else if (is_word(&path, "/healthz")) {
        show_health(c);
    } else if (!show_page(c, &path)) {
        refuse(c, DXDB_NOT_FOUND, "there is no such page");
    }
}

/* >>connections ------------------------------------------------------------------------ */
/* The size of a head with its empty line; 0: it is incomplete. */
static size_t find_head(const uint8_t *bytes, size_t size)
{
    const uint8_t *end = size > 1 ? memmem(bytes + 1, size - 1, "\n\r\n", 3) : NULL;
    return end ? (size_t)(end - bytes) + 3 : 0;
}

/* Add CORS fields. True: it was a preflight, and is answered. bytes: the head. */
static bool is_preflight(dxdb_client *c, const http_parser *parser, const uint8_t *bytes,
                         size_t size)
{
    const char *line = memchr(bytes, '\n', size);
    char copy[HEAD_MAX + 1];
    dx_middleware_fields response = {c->extra, 0, sizeof c->extra};
    dx_middleware_fields request = {copy, 0, sizeof copy};
    if (!c->http->guard->cors.origin_count || !line) return false;
    line++;
    request.size = size - (size_t)(line - (const char *)bytes);
    memcpy(copy, line, request.size);
    const int result = dx_middleware_cors_before(&c->http->guard->cors,
                                                 http_method_str((enum http_method)parser->method),
                                                 &request, &response);
    if (result < 0) return false;
    c->extra_size = response.size;
    if (result == DX_MIDDLEWARE_STOP) respond(c, 204, NULL, "", NULL, 0);
    return result == DX_MIDDLEWARE_STOP;
}

/* Serve a complete head. Returns the bytes consumed. */
static size_t serve(dxdb_client *c, const uint8_t *bytes, size_t size)
{
    http_parser parser;
    head h;
    memset(&h, 0, sizeof h);
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &h;
    const size_t used = http_parser_execute(&parser, &settings, (const char *)bytes, size);
    const enum http_errno error = HTTP_PARSER_ERRNO(&parser);
    c->keeps = !error || error == HPE_PAUSED ? http_should_keep_alive(&parser) != 0 : false;
    if (c->http->drains) c->keeps = false;
    c->is_head = parser.method == HTTP_HEAD;
    c->is_write = false;
    c->asked_ns = dx_reactor_now_ns(c->http->peers.reactor);
    c->extra_size = 0;
    if (parser.method == HTTP_POST && h.has_head && (!error || error == HPE_PAUSED)) {
        if (!is_preflight(c, &parser, bytes, size)) begin_write(c, &parser, &h);
    } else if (error != HPE_PAUSED || !h.is_complete) {
        c->keeps = false; /* malformed, or with a body, which only a POST has */
        refuse(c, DXDB_BAD_REQUEST, error && error != HPE_PAUSED ? "the request is malformed"
                                                                  : "a request has no body");
    } else if (is_preflight(c, &parser, bytes, size)) {
        return used;
    } else if (parser.method != HTTP_GET && parser.method != HTTP_HEAD) {
        refuse(c, 405, "only GET and HEAD are supported");
    } else {
        route(c, &parser, &h);
    }
    return used;
}

/* A head that is too large, and is not read to its end. */
static void refuse_head(dxdb_client *c, const uint8_t *bytes, size_t size)
{
    const bool is_target = !memchr(bytes, '\n', size);
    c->keeps = c->is_head = c->is_write = false;
    c->extra_size = 0;
    c->asked_ns = 0;
    if (is_target) refuse(c, 414, "the head of a request has at most 16382 bytes; its target alone has more");
    else refuse(c, 431, "the head of a request has at most 16382 bytes");
}

static dxdb_client *client_of(dx_peers *peers, dx_peers_id id)
{
    uint64_t *word = dx_peers_data(peers, id);
    if (*word) return (dxdb_client *)(uintptr_t)*word;
    dxdb_client *c = prog_alloc(sizeof *c);
    memset(c, 0, sizeof *c);
    c->http = peers->desc.user;
    c->id = id;
    c->keeps = true;
    c->next = c->http->clients;
    if (c->next) c->next->prev = c;
    c->http->clients = c;
    assert(c->http->fresh);
    c->http->fresh--;
    *word = (uint64_t)(uintptr_t)c;
    return c;
}

static size_t on_received(dx_peers *peers, dx_peers_id id, const uint8_t *bytes, size_t size,
                          bool last)
{
    dxdb_client *c = client_of(peers, id);
    const uint64_t now = dx_reactor_now_ns(peers->reactor);
    size_t at = 0;
    if (c->http->is_closed && !c->ws) return size; /* an answer could not be sent */
    if (c->ws) return dxdb_ws_received(c->ws, bytes, size, last);
    if (!c->keeps) return size; /* the last answer was sent */
    if (c->streams) {
        if (last) (void)dx_peers_close(peers, id, true);
        return size;
    }
    c->is_inside = true;
    while (at < size && c->keeps && !c->is_waiting && !c->unsent.size && !c->streams &&
           !c->ws) {
        if (c->body_left) {
            at += take_body(c, bytes + at, size - at);
            continue;
        }
        const size_t whole = find_head(bytes + at, size - at);
        if (!whole && size - at < HEAD_MAX) break;
        c->begun_ns = 0;
        if (!whole) {
            refuse_head(c, bytes + at, size - at);
            at = size;
        } else {
            at += serve(c, bytes + at, whole);
        }
    }
    c->is_inside = false;
    if (c->ws) return at + dxdb_ws_received(c->ws, bytes + at, size - at, last);
    if (!c->keeps || c->streams) return size;
    if (c->is_waiting || c->unsent.size) {
        (void)dx_peers_hold(peers, id, true);
        return at;
    }
    if (at < size && !c->begun_ns) c->begun_ns = now;
    if (at < size && now - c->begun_ns > (uint64_t)HEAD_S * 1000000000) {
        c->keeps = false;
        refuse(c, 408, "the request took too long");
        return size;
    }
    if (last) (void)dx_peers_close(peers, id, false);
    return at;
}

static void on_drained(dx_peers *peers, dx_peers_id id)
{
    dxdb_client *c = client_of(peers, id);
    if (c->ws) dxdb_ws_drained(c->ws);
    if (!c->unsent.size) return;
    push(c);
    if (!c->unsent.size && c->is_late) put_event(c);
    if (!c->is_waiting) resume(c);
}

static void on_opened(dx_peers *peers, dx_peers_id id)
{
    dxdb_http *h = peers->desc.user;
    (void)id;
    h->fresh++;
    h->opened_ns = dx_reactor_now_ns(peers->reactor);
    h->results->metrics.http_links++;
}

static void on_closed(dx_peers *peers, dx_peers_id id, int32_t reason)
{
    dxdb_http *h = peers->desc.user;
    dxdb_client *c = (dxdb_client *)(uintptr_t)*dx_peers_data(peers, id);
    h->results->metrics.http_links--;
    if (!c) {
        assert(h->fresh);
        h->fresh--;
        return;
    }
    if (c->ws) {
        h->results->metrics.websockets--;
        dxdb_ws_ended(c->ws, reason);
    }
    dxdb_results_forget(&c->request);
    dxdb_results_forget_write(&c->writing);
    dxdb_catalog_forget(&h->results->catalog, &c->wait);
    dxdb_follow_forget(&c->watch);
    dxdb_follow_leave(&c->listener);
    if (c->prev) c->prev->next = c->next;
    else h->clients = c->next;
    if (c->next) c->next->prev = c->prev;
    dxdb_text_free(&c->unsent);
    dxdb_text_free(&c->body);
    free(c->texts);
    free(c);
}

int dxdb_http_begin(dxdb_http *h, dx_reactor *r, dxdb_follow *follow, dxdb_guard *guard,
                    int listening, int (*add)(void *hbtp, int fd), void *hbtp)
{
    dx_peers_desc desc;
    memset(h, 0, sizeof *h);
    h->follow = follow;
    h->results = follow->results;
    h->guard = guard;
    memset(&desc, 0, sizeof desc);
    desc.peers_max = follow->config->connections;
    desc.block_size = BLOCK_SIZE;
    desc.block_count = BLOCKS + follow->config->connections;
    desc.idle_ns = (uint64_t)IDLE_S * 1000000000 + 2 * follow->config->request_ms * 1000000;
    desc.linger_ns = 1000000000;
    desc.user = h;
    desc.opened = on_opened;
    desc.received = on_received;
    desc.drained = on_drained;
    desc.closed = on_closed;
    desc.memory_size = dx_peers_memory_size(&desc);
    h->memory = prog_alloc(desc.memory_size);
    desc.memory = h->memory;
    dx_reactor_op_init(&h->tick_op, on_tick, h);
    (void)dx_reactor_timer(r, &h->tick_op, (uint64_t)TICK_MS * 1000000);
    int error = dx_peers_open(&h->peers, r, &desc);
    if (!error && listening >= 0) error = dx_peers_listen(&h->peers, listening);
    return error ? prog_fail(PROG_SYSTEM, "cannot start the HTTP server: %s",
                                          dx_peers_error_name(error))
                 : dxdb_ws_begin(&h->ws, r, guard, &h->peers, add, hbtp);
}

int dxdb_http_add(void *protocol, int fd)
{
    dxdb_http *h = protocol;
    dx_peers_id id;
    const int error = dx_peers_add(&h->peers, fd, NULL, &id);
    if (!error) on_opened(&h->peers, id);
    return error;
}

void dxdb_http_listen_end(dxdb_http *h)
{
    h->drains = true;
    dx_peers_listen_end(&h->peers);
    for (dxdb_client *c = h->clients; c; c = c->next)
        if (!c->streams && !c->ws && (c->is_waiting || c->unsent.size)) c->keeps = false;
}

bool dxdb_http_expects(const dxdb_http *h)
{
    const uint64_t now = dx_reactor_now_ns(h->peers.reactor);
    if (dx_peers_is_listening(&h->peers)) return true;
    if (h->fresh && now - h->opened_ns < (uint64_t)DXDB_FIRST_MS * 1000000) return true;
    for (const dxdb_client *c = h->clients; c; c = c->next)
        if (c->keeps && !c->is_waiting && !c->unsent.size && !c->streams && !c->ws && c->answered_ns &&
            now - c->answered_ns < (uint64_t)QUIET_MS * 1000000)
            return true;
    return false;
}

void dxdb_http_drain(dxdb_http *h)
{
    assert(h->drains);
    h->ends = true;
    dxdb_ws_drain(&h->ws);
    (void)dx_reactor_cancel(h->peers.reactor, &h->tick_op);
    for (dxdb_client *c = h->clients; c; c = c->next)
        if (c->streams) end_live(c, DXDB_UNAVAILABLE, "the server is shutting down");
}

bool dxdb_http_is_busy(const dxdb_http *h)
{
    for (const dxdb_client *c = h->clients; c; c = c->next)
        if (c->is_waiting || c->unsent.size || (c->keeps && c->begun_ns)) return true;
    return h->ws.inner.count > 0;
}

void dxdb_http_close(dxdb_http *h, uint64_t within_ns)
{
    h->is_closed = true;
    dx_peers_drain(&h->peers, within_ns);
    dxdb_ws_close(&h->ws, within_ns);
}

void dxdb_http_free(dxdb_http *h)
{
    assert(!h->clients);
    dxdb_ws_free(&h->ws);
    free(h->memory);
    h->memory = NULL;
}
