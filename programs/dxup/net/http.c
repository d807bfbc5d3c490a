/* The HTTP side of the server, for browsers and curl. GET /NAME gives the latest version of a
   published file, /NAME@3 version 3, with its BLAKE3-256 as a strong ETag. If-None-Match: 304, or with
   `A-IM: dx-patch` (RFC 3229) 226 with a patch of dx_patch.h from the client's version. Files and
   directories of trees: http_tree.h. Single ranges of files: 206. Single-threaded.

   Connections are those of dx_peers.h. A request is parsed in place in the input, and answered into a
   block of the connection. While a body is sent, or its patch is made, the connection is on hold and
   later requests wait in the input:

       received() --> dispatch() --> answer() --> fill() --- the body is longer ---> hold
           ^                            |                                              |
           |                            '-- patch pending --> hold <-- drained() ------'
           |                                                   '-- on_message(): go on
           '--- on_turn() <--- queue of turns <--- hold: a request may be left in the input

   One request of a connection is answered per round of the event loop, so a long pipeline does not
   delay others. What is left of the input waits for its turn; connections take turns for TURN_NS
   of a round, at least one of them. */
#include "http.h"
#include "../../common/http.h"
#include "../../common/os.h"
#include "../../sync/address.h"
#include "guests.h"
#include "http_conditions.h"
#include "http_encode.h"
#include "http_fields.h"
#include "http_tree.h"
#include "../../sync/loop.h"
#include "status.h"

#include "../../../layers/dx_edge.h"
#include "../../../layers/dx_peers.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

enum {
    OUT_SIZE        = 16384,   /* block size for output, and for incomplete requests */
    BLOCKS          = 1280,    /* at most 20 MiB */
    CONTENTS_MAX    = 192,     /* read at the same time, about 100 KiB each; above that 503 */
    CONTENTS_SHARE  = 48,      /* per network, see contents_share() */
    INPUT_BUFFERS   = 64,
    HEAD_SIZE       = 1536,    /* of an answer, maximum */
    ORIGIN_FIELDS   = DXUP_ORIGIN_MAX + 192,
    CLIENTS_MAX     = 1024,
    REFUSED_AT_ONCE = 16,      /* extra connections, for those being refused */
    SILENCE_LIMIT_S = 30,
    LINGER_S        = 2,       /* on shutdown, for a client to close its connection */
    TURN_NS         = 1000000  /* of a round, for requests that waited for their turn */
};

typedef struct client {
    struct client *next, *previous;
    dxup_http     *http;
    dxup_guest     guest;
    dx_peers_id    id;
    dxup_log_entry *log;    /* NULL: no log */
    bool           last;    /* the connection closes after this answer */
    /* The last answer was sent: further input is discarded, since closing at once could reset the
       connection and lose the answer. */
    bool           over;
    bool           waiting; /* for a patch from base to target */
    bool           head;    /* the answer has no body */
    bool           fixed;   /* an explicit version was requested, not the latest one */
    int64_t        modified_s; /* time of the requested version; DXUP_NO_DATE: none */
    bool           left;    /* input is left that may hold a whole request */
    bool           queued;  /* in the queue of turns, and on hold */
    struct client *turn_next, *turn_previous;
    uint64_t       round_ns; /* time of the round that answered the last request */
    int64_t        active_ns;

    versions_version  base, target;
    dxup_patch        patch;
    versions_content *content;
    versions_entry_reader *entry; /* a file in a tree */
    dxup_encoding accepts;       /* of a body, by the request */
    const dxup_encoded *encoded; /* the encoded body of such a file, or of an index page */
    bool           counted;  /* counted in content_count */
    dxup_plan_cursor cursor;
    prog_line      text;     /* the body, if none of the above */
    uint64_t       at, size; /* position and size of the body; equal: idle */
    uint64_t       from;     /* offset of the body in the content or entry */

    /* inside received(): input[taken..input_size) is unanswered */
    const uint8_t *input;
    size_t         taken, input_size;
    /* inside pump(): room in a block, and the bytes used of it */
    uint8_t       *out;
    size_t         out_size, out_room;
} client;

struct dxup_http {
    dxup_http_desc  d;
    versions_store *store;
    pthread_t       thread;
    pthread_mutex_t lock;
    sem_t           started;
    dx_reactor      reactor;
    void           *reactor_memory;
    dx_peers        peers;
    void           *peers_memory;
    dx_op           timer_op, turn_op, message_op, close_op; /* the last one: of the listener */
    dx_reactor_message messages[16];
    int             listener, status;
    bool            running; /* the thread was started */
    bool            draining;
    int64_t         until_ns; /* deadline of the shutdown */
    bool            open;    /* guarded by lock: messages may be posted, */
    bool            ending;  /* and the next one means: finish open answers and end; */
    bool            look;    /* or: reopen the store, if another one is at the path; */
    bool            changes; /* or: take these options */
    size_t          next_network_max;
    char            next_origin_fields[ORIGIN_FIELDS];
    char            address[DX_REACTOR_ADDRESS_TEXT_SIZE];
    char            origin_fields[ORIGIN_FIELDS]; /* of every answer; "": no allowed origin */
    client         *clients;
    client         *turn_first, *turn_last; /* those that wait for their turn */
    size_t          turn_count;
    dxup_guests    *guests;
    dxup_encodings *encodings;
    size_t          client_count;
    size_t          content_count; /* clients with content, an entry, or an index page */
    bool            worked;  /* since memory was last returned to the system */
};

/* >>answer ----------------------------------------------------------------- */
static const char *type_of(const char *name)
{
    static const char *const types[][2] = {{".html", "text/html; charset=utf-8"},
                                           {".htm", "text/html; charset=utf-8"},
                                           {".xml", "application/xml"},
                                           {".pdf", "application/pdf"},
                                           {".jpg", "image/jpeg"},
                                           {".gif", "image/gif"},
                                           {".webp", "image/webp"},
                                           {".woff2", "font/woff2"},
                                           {".mjs", "text/javascript; charset=utf-8"},
                                           {".md", "text/markdown; charset=utf-8"},
                                           {".js", "text/javascript; charset=utf-8"},
                                           {".css", "text/css; charset=utf-8"},
                                           {".json", "application/json"},
                                           {".wasm", "application/wasm"},
                                           {".svg", "image/svg+xml"},
                                           {".png", "image/png"},
                                           {".txt", "text/plain; charset=utf-8"}};
    const char *dot = strrchr(name, '.');
    if (dot && strchr(dot, '/')) dot = NULL;
    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
        if (!strcmp(dot, types[i][0])) return types[i][1];
    return "application/octet-stream";
}

static const char *reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 226: return "IM Used";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 412: return "Precondition Failed";
    case 416: return "Range Not Satisfiable";
    case 413: return "Content Too Large";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Internal Server Error";
    }
}

static int64_t now_s(void) { return os_time_ns() / 1000000000; }

/* Append a head to out, with the time of the content if it is known. There is always room for one,
   see pump(). 204 and 304 have no body, whose size they would have to say. */
static void put_head(client *c, int status, const char *fields, uint64_t size)
{
    char date[DXUP_DATE_SIZE], modified[DXUP_DATE_SIZE] = "", length[48] = "";
    const bool dated = c->modified_s != DXUP_NO_DATE && status < 400 && status != 302;
    const dxup_http *h = c->http;
    assert(c->out_room - c->out_size >= HEAD_SIZE);
    dxup_date_text(now_s(), date);
    if (dated) dxup_date_text(c->modified_s, modified);
    if (status != 204 && status != 304)
        snprintf(length, sizeof length, "Content-Length: %llu\r\n", (unsigned long long)size);
    int n = snprintf((char *)c->out + c->out_size, HEAD_SIZE,
                     "HTTP/1.1 %d %s\r\nDate: %s\r\n%s%s%s%s%s%s%s\r\n", status, reason_of(status),
                     date, dated ? "Last-Modified: " : "", modified, dated ? "\r\n" : "", fields,
                     h->origin_fields, length, c->last ? "Connection: close\r\n" : "");
    assert(n > 0 && n < HEAD_SIZE);
    c->out_size += (size_t)n;
    if (c->log) c->log->status = status;
    if (!h->d.status) dxup_count(&h->d.metrics->http[status / 100], 1);
}

static void end_body(client *c)
{
    dxup_patches_release(c->http->d.patches, &c->patch);
    if (c->counted) c->http->content_count--;
    c->counted = false;
    dxup_guests_read_end(&c->guest);
    versions_content_close(c->content);
    c->content = NULL;
    versions_entry_reader_close(c->entry);
    c->entry = NULL;
    dxup_encodings_release(c->http->encodings, c->encoded);
    c->encoded = NULL;
    prog_line_free(&c->text);
    prog_line_begin(&c->text);
    c->at = c->size = c->from = 0;
}

static void refuse(client *c, int status)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%d %s\n", status, reason_of(status));
    assert(n > 0 && (size_t)n < sizeof text && c->at == c->size);
    put_head(c, status,
             status == 405   ? "Allow: GET, HEAD\r\nContent-Type: text/plain\r\n"
             : status == 503 ? "Retry-After: 1\r\nContent-Type: text/plain\r\n"
                             : "Content-Type: text/plain\r\n",
             (uint64_t)n);
    dxup_log_result(c->log, "refused");
    if (c->head) return;
    memcpy(c->out + c->out_size, text, (size_t)n);
    c->out_size += (size_t)n;
    dxup_log_sent(c->log, (uint64_t)n);
}

static dx_edge_version edge_version(const versions_version *v)
{
    dx_edge_version e = {.number = v->version};
    memcpy(e.hash, v->hash, sizeof e.hash);
    return e;
}

/* Look up a version of the requested file by its hash from a tag, into c->base. */
static bool is_known(void *user, const uint8_t *hash, size_t size, uint64_t number,
                     dx_edge_version *out)
{
    client *c = user;
    int status = size == PROG_HASH_SIZE
                     ? versions_content_find_hash(c->http->store, c->target.name, hash, &c->base)
                     : versions_content_find(c->http->store, c->target.name, number, &c->base);
    if (status || c->base.kind != PROG_FILE || memcmp(c->base.hash, hash, size) != 0) return false;
    *out = edge_version(&c->base);
    return true;
}

/* An explicit version never changes: caches may keep it for a year without revalidation. */
static dx_edge_server edge_of(client *c)
{
    return (dx_edge_server){.now = edge_version(&c->target), .max_age_s = c->fixed ? 0 : UINT64_MAX,
                            .immutable = c->fixed, .known = is_known, .user = c};
}

static void count_body(client *c, bool patch, uint64_t size)
{
    dxup_metrics *m = c->http->d.metrics;
    dxup_count(&m->sent, size);
    if (patch && size < c->target.size) dxup_count(&m->spared, c->target.size - size);
}

/* Append to n bytes of fields: Accept-Ranges, and Content-Range for a part. */
static size_t put_ranges(char *fields, size_t capacity, size_t n, int status, uint64_t from,
                         uint64_t size, uint64_t total)
{
    n += (size_t)snprintf(fields + n, capacity - n, "Accept-Ranges: bytes\r\n");
    if (status == 206)
        n += (size_t)snprintf(fields + n, capacity - n, "Content-Range: bytes %llu-%llu/%llu\r\n",
                              (unsigned long long)from, (unsigned long long)(from + size - 1),
                              (unsigned long long)total);
    assert(n < capacity);
    return n;
}

/* Copy all of c->content, c->entry or c->text. */
static bool read_whole(void *user, void *out, size_t size)
{
    client *c = user;
    if (c->content) return !versions_content_read(c->content, 0, out, size);
    if (c->entry) return !versions_entry_reader_read(c->entry, 0, out, size);
    memcpy(out, c->text.bytes, size);
    return true;
}

/* Encode the body into c->encoded, if the client accepts an encoding and it makes the body smaller. */
static dxup_encoding encode_body(client *c, const char *tag, uint64_t size)
{
    if (size > DXUP_ENCODED_MAX) return DXUP_IDENTITY;
    c->encoded = dxup_encodings_get(c->http->encodings, c->accepts, tag, (size_t)size, read_whole, c);
    return c->encoded ? c->accepts : DXUP_IDENTITY;
}

/* Begin a body of this many bytes, from c->content, c->encoded or c->patch. */
static void begin_body(client *c, int status, uint64_t size, dxup_encoding encoding)
{
    char fields[DX_EDGE_FIELDS_MAX + 256];
    dx_edge_server edge = edge_of(c);
    dx_edge_version base = edge_version(&c->base);
    if (encoding != DXUP_IDENTITY) edge.encoding = dxup_encoding_name(encoding);
    size_t n = dx_edge_fields(&edge, status == 226 ? DX_EDGE_PATCH : DX_EDGE_STALE, &base, fields);
    assert(n < DX_EDGE_FIELDS_MAX && c->at == 0 && c->size == 0);
    n += (size_t)snprintf(fields + n, sizeof fields - n,
                          "Vary: Accept-Encoding\r\n"
                          "X-Content-Type-Options: nosniff\r\nContent-Type: %s\r\n",
                          type_of(c->target.name));
    if (status != 226) put_ranges(fields, sizeof fields, n, status, c->from, size, c->target.size);
    put_head(c, status, fields, size);
    dxup_log_versions(c->log, status == 226 ? &c->base : NULL, &c->target);
    dxup_log_result(c->log, status == 226 ? "patch" : status == 206 ? "range" : "full");
    if (c->head || !size) end_body(c);
    else c->size = size;
    if (!c->head) count_body(c, status == 226, size);
}

/* How many contents one network may read at the same time. A network with a raised limit may be a
   proxy, so it may read all. */
static size_t contents_share(const dxup_http *h)
{
    return h->d.network_max > DXUP_NETWORK_MAX ? CONTENTS_MAX : CONTENTS_SHARE;
}

/* Count one more content being read, until end_body(). Returns an HTTP status. */
static int count_content(client *c)
{
    dxup_http *h = c->http;
    assert(!c->counted);
    if (h->content_count >= CONTENTS_MAX) return 503;
    if (!dxup_guests_read(&c->guest, contents_share(h))) return 503;
    c->counted = true;
    h->content_count++;
    return 200;
}

/* Open c->content. Returns an HTTP status. */
static int open_content(client *c)
{
    assert(!c->content);
    const int status = count_content(c);
    if (status != 200) return status;
    if (!versions_content_open(&c->content, c->http->store, &c->target)) return 200;
    end_body(c);
    return 500;
}

/* Begin a body that is all of c->content. */
static void begin_whole(client *c)
{
    char tag[65];
    assert(c->content && !c->encoded);
    prog_hash_text(c->target.hash, tag);
    const dxup_encoding encoding = encode_body(c, tag, c->target.size);
    begin_body(c, 200, c->encoded ? c->encoded->size : c->target.size, encoding);
}

static void answer_whole(client *c)
{
    const int status = open_content(c);
    if (status != 200) refuse(c, status);
    else begin_whole(c);
}

/* Answer 416: the requested range is beyond the size. */
static void refuse_range(client *c, uint64_t total)
{
    char fields[128];
    snprintf(fields, sizeof fields, "Content-Range: bytes */%llu\r\n", (unsigned long long)total);
    put_head(c, 416, fields, 0);
    dxup_log_result(c->log, "refused");
}

static void answer_file(client *c, const uint8_t *request, size_t size)
{
    char tag[65];
    uint64_t from = 0, count = c->target.size;
    dxup_range range = DXUP_RANGE_NONE;
    prog_hash_text(c->target.hash, tag);
    if (!c->head) range = dxup_range_parse(request, size, tag, c->target.size, &from, &count);
    if (range == DXUP_RANGE_UNSATISFIABLE) {
        refuse_range(c, c->target.size);
        return;
    }
    const int status = open_content(c);
    if (status != 200) {
        refuse(c, status);
        return;
    }
    c->from = from;
    if (range == DXUP_RANGE_PART) begin_body(c, 206, count, DXUP_IDENTITY);
    else begin_whole(c);
}

/* Answer with a patch from c->base, or with the full content if there is none. If the patch is
   still being made, wait. */
static void answer_from_base(client *c)
{
    assert(!c->waiting && c->at == c->size);
    memset(&c->cursor, 0, sizeof c->cursor);
    switch (dxup_patches_get(c->http->d.patches, &c->base, &c->target, 0, &c->patch)) {
    case DXUP_PATCH_PENDING: c->waiting = true; return;
    case DXUP_PATCH_NONE: answer_whole(c); return;
    case DXUP_PATCH_READY: break;
    }
    const int status = c->patch.plan ? open_content(c) : 200;
    if (status != 200) {
        end_body(c);
        refuse(c, status);
    } else {
        begin_body(c, 226, c->patch.size, DXUP_IDENTITY);
    }
}

static void put_unchanged(client *c)
{
    char fields[DX_EDGE_FIELDS_MAX];
    dx_edge_server edge = edge_of(c);
    dx_edge_fields(&edge, DX_EDGE_FRESH, NULL, fields);
    put_head(c, 304, fields, 0);
    dxup_log_versions(c->log, NULL, &c->target);
    dxup_log_result(c->log, "unchanged");
    dxup_count(&c->http->d.metrics->spared, c->target.size);
}

/* Set the time of the content. It is never in the future, where a clock was wrong. */
static void set_modified(client *c, const versions_version *v)
{
    const int64_t second = v->time_ns / 1000000000 - (v->time_ns % 1000000000 < 0);
    const int64_t now = now_s();
    c->modified_s = second < now ? second : now;
}

/* Is a neighbour of the version of the same second? Then a date does not tell them apart. */
static bool shares_its_second(client *c, const versions_version *v)
{
    char name[PROG_NAME_SIZE_MAX + 1];
    const char *tag = v->tagged ? versions_tag_in(v->name) : NULL;
    const uint64_t version = tag ? v->tagged : v->version;
    snprintf(name, sizeof name, "%.*s", tag ? (int)(tag - v->name - 1) : PROG_NAME_SIZE_MAX,
             v->name);
    for (int i = 0; i < 2; i++) {
        versions_version other;
        const uint64_t next = i ? version + 1 : version - 1; /* 0 would be the latest */
        if (next && !versions_version_find(c->http->store, name, next, &other) &&
            other.time_ns / 1000000000 == v->time_ns / 1000000000)
            return true;
    }
    return false;
}

/* Does If-Modified-Since say that the client has this content? A tag may go back to an older version,
   so a later date proves nothing there. */
static bool is_unmodified(client *c, const uint8_t *request, size_t size, const versions_version *v)
{
    return dxup_is_unmodified(request, size, c->modified_s, v->tagged != 0) &&
           (c->fixed || !shares_its_second(c, v));
}

/* Find the requested version into c->target. Returns an HTTP status; 404: the path may
   lead into a tree. */
static int find(client *c, const char *asked)
{
    char name[PROG_NAME_SIZE_MAX + 1];
    uint64_t version;
    int error;
    if (strlen(asked) > PROG_NAME_SIZE_MAX) return 404;
    versions_split_version(*asked ? asked : "index.html", name, &version);
    c->fixed = version != 0;
    if (!version && versions_has_version(asked)) return 404; /* @0: versions are numbered from 1 */
    error = versions_version_find(c->http->store, name, version, &c->target);
    /* the hash of a tree would require reading all of it */
    if (!error && c->target.kind != PROG_FILE) return 404;
    if (!error) error = versions_content_hash(c->http->store, &c->target);
    return !error ? 200 : error == PROG_NOT_FOUND ? 404 : 500;
}

/* >>trees ------------------------------------------------------------------ */
/* The fields of a file or an index page. Each encoding has a strong tag of its own. */
static size_t put_tree_fields(char *fields, size_t capacity, const char *tag, bool fixed,
                              const char *type, dxup_encoding encoding)
{
    const bool encoded = encoding != DXUP_IDENTITY;
    const char *name = dxup_encoding_name(encoding);
    const int n = snprintf(fields, capacity, "ETag: \"%s%s%s\"\r\nCache-Control: %s\r\n"
                           "Vary: Accept-Encoding\r\nX-Content-Type-Options: nosniff\r\n"
                           "%s%s%sContent-Type: %s\r\n", tag, encoded ? "-" : "",
                           encoded ? name : "",
                           fixed ? "public, max-age=31536000, immutable" : "no-cache",
                           encoded ? "Content-Encoding: " : "", encoded ? name : "",
                           encoded ? "\r\n" : "", type);
    assert(n > 0 && (size_t)n < capacity);
    return (size_t)n;
}

/* Answer 304, which has no Content-Length. */
static void put_tree_unchanged(client *c, const char *tag, bool fixed, uint64_t size)
{
    char fields[512];
    put_tree_fields(fields, sizeof fields, tag, fixed, "text/plain", DXUP_IDENTITY);
    fields[strlen(fields) - strlen("Content-Type: text/plain\r\n")] = 0;
    put_head(c, 304, fields, 0);
    dxup_count(&c->http->d.metrics->spared, size);
    dxup_log_result(c->log, "unchanged");
}

/* Answer 304 or 412, as the conditions of the request say. False: they ask for the body. */
static bool answer_condition(client *c, const uint8_t *request, size_t size, const char *tag,
                             const versions_version *v, uint64_t body_size)
{
    if (!dxup_conditions_hold(request, size, tag, true, c->modified_s)) {
        end_body(c);
        refuse(c, 412);
        return true;
    }
    if (!dxup_tag_matches(request, size, "if-none-match", tag, true, false) &&
        !is_unmodified(c, request, size, v))
        return false;
    put_tree_unchanged(c, tag, c->fixed, body_size);
    end_body(c);
    return true;
}

/* Send c->text, an index page. */
static void answer_index(client *c, const uint8_t *request, size_t size, const versions_version *v)
{
    char fields[512], tag[65];
    dx_cas_id id;
    dx_cas_hash(c->text.bytes, c->text.size, &id);
    prog_hash_text(id.bytes, tag);
    c->fixed = false; /* a later release may show it in another way */
    if (answer_condition(c, request, size, tag, v, c->text.size)) return;
    const dxup_encoding encoding = encode_body(c, tag, c->text.size);
    const size_t body_size = c->encoded ? c->encoded->size : c->text.size;
    size_t n = put_tree_fields(fields, sizeof fields, tag, false, "text/html; charset=utf-8",
                               encoding);
    snprintf(fields + n, sizeof fields - n, "Content-Security-Policy: default-src 'none'; "
             "style-src 'unsafe-inline'; frame-ancestors 'none'\r\n");
    put_head(c, 200, fields, body_size);
    dxup_log_result(c->log, "index");
    if (!c->head) dxup_count(&c->http->d.metrics->sent, body_size);
    if (c->head) end_body(c);
    else c->size = body_size;
}

/* Send a file in a tree: all of it, a range, or 304. */
static void answer_entry(client *c, const uint8_t *request, size_t size, const dxup_found *found)
{
    char fields[512];
    uint64_t from = 0, count = found->size;
    dxup_range range = DXUP_RANGE_NONE;
    assert(c->entry);
    c->fixed = found->fixed;
    if (answer_condition(c, request, size, found->tag, &found->version, found->size)) return;
    if (!c->head) range = dxup_range_parse(request, size, found->tag, found->size, &from, &count);
    if (range == DXUP_RANGE_UNSATISFIABLE) {
        refuse_range(c, found->size);
        end_body(c);
        return;
    }
    const int status = range == DXUP_RANGE_PART ? 206 : 200;
    dxup_encoding encoding = DXUP_IDENTITY;
    if (status == 200) encoding = encode_body(c, found->tag, count);
    if (c->encoded) count = c->encoded->size;
    const size_t n = put_tree_fields(fields, sizeof fields, found->tag, found->fixed,
                                     type_of(found->path), encoding);
    put_ranges(fields, sizeof fields, n, status, from, count, found->size);
    put_head(c, status, fields, count);
    dxup_log_result(c->log, status == 206 ? "range" : "full");
    if (!c->head) dxup_count(&c->http->d.metrics->sent, count);
    c->from = from;
    if (c->head || !count) end_body(c);
    else c->size = count;
}

static void answer_redirect(client *c, const char *location)
{
    char fields[DXUP_LOCATION_MAX + 64];
    snprintf(fields, sizeof fields, "Location: %s\r\nCache-Control: no-cache\r\n", location);
    put_head(c, 302, fields, 0);
    dxup_log_result(c->log, "redirect");
}

/* Answer a path that is not a published file: a file or directory in a tree, or the list of names. */
static void answer_tree(client *c, const uint8_t *request, size_t size, char *asked)
{
    dxup_found found = {.directory = true};
    versions_store *s = c->http->store;
    char from[PROG_NAME_SIZE_MAX + 1];
    const bool names = !*asked;
    int status = dxup_target_query(request, size, "from", from, sizeof from) ? 200 : 400;
    if (status == 200 && !names) status = dxup_tree_find(s, asked, &found);
    c->entry = found.reader;
    if (status == 200) status = count_content(c);
    if (found.version.version) dxup_log_versions(c->log, NULL, &found.version);
    if (found.version.version) set_modified(c, &found.version);
    if (status == 200 && found.directory &&
        (names ? dxup_names_index(s, from, &c->text) : dxup_tree_index(s, &found, from, &c->text)))
        status = 500;
    if (status == 200 && found.directory) {
        answer_index(c, request, size, &found.version);
    } else if (status == 200) {
        answer_entry(c, request, size, &found);
    } else {
        end_body(c);
        if (status == 302) answer_redirect(c, found.location);
        else refuse(c, status);
    }
}

/* Answer a request to the --status listener. */
static void answer_status(client *c, const uint8_t *request, size_t size)
{
    char path[PROG_NAME_SIZE_MAX + 1];
    const char *fields;
    int status = dxup_target_parse(request, size, path, sizeof path) ? 200 : 400;
    assert(c->at == c->size && !c->text.size);
    if (status == 200)
        status = dxup_status_answer(&c->http->store, c->http->d.metrics, *path ? path : "index.html",
                                    &c->text, &fields);
    if (!c->text.size) {
        refuse(c, status);
        return;
    }
    put_head(c, status, fields, c->text.size);
    if (c->head) end_body(c);
    else c->size = c->text.size;
}

/* Answer a request: 304 if its ETags have the current version, a patch if they have
   another known one. */
static void answer(client *c, const uint8_t *request, size_t size)
{
    const uint8_t *value;
    size_t at = 0, value_size;
    bool patches = dxup_field_has(request, size, "a-im", "dx-patch"), known = false;
    dx_edge_version base;
    dx_edge_server edge;
    char asked[DXUP_TARGET_MAX + 1], tag[65];
    assert(!c->waiting && !c->content && c->at == c->size);
    c->accepts = dxup_encoding_of(request, size);
    int status = dxup_target_parse(request, size, asked, sizeof asked) ? 200 : 400;
    /* neither a name nor a path into a tree */
    if (status == 200 && strcspn(asked, "/") > PROG_NAME_SIZE_MAX) status = 400;
    if (status == 200 && versions_store_refresh(&c->http->store)) status = 500;
    if (status == 200) status = find(c, asked);
    if (status == 404) {
        answer_tree(c, request, size, asked);
        return;
    }
    if (status != 200) {
        refuse(c, status);
        return;
    }
    set_modified(c, &c->target);
    prog_hash_text(c->target.hash, tag);
    if (!dxup_conditions_hold(request, size, tag, true, c->modified_s)) {
        refuse(c, 412);
        return;
    }
    if (is_unmodified(c, request, size, &c->target)) {
        put_unchanged(c);
        return;
    }
    edge = edge_of(c);
    while (dxup_field_next(request, size, "if-none-match", &at, &value, &value_size)) {
        switch (
            dx_edge_negotiate(&edge, (const char *)value, value_size, patches && !known, &base)) {
        case DX_EDGE_FRESH: put_unchanged(c); return;
        case DX_EDGE_PATCH: known = true; break;
        default: break;
        }
    }
    if (known) answer_from_base(c);
    else answer_file(c, request, size);
}

/* Append the next pieces of the body to out. False: the store is damaged, so close the connection
   to show the client that the body is incomplete. */
static bool fill(client *c)
{
    assert(c->at <= c->size && c->out_size <= c->out_room);
    while (c->at < c->size && c->out_size < c->out_room) {
        const uint64_t left = c->size - c->at;
        const size_t room = c->out_room - c->out_size;
        const size_t n = left < room ? (size_t)left : room;
        int error = PROG_OK;
        if (c->patch.plan)
            error = dxup_plan_read(c->patch.plan, &c->cursor, c->content, c->out + c->out_size, n);
        else if (c->encoded)
            memcpy(c->out + c->out_size, c->encoded->bytes + c->at, n);
        else if (c->content)
            error = versions_content_read(c->content, c->from + c->at, c->out + c->out_size, n);
        else if (c->entry)
            error = versions_entry_reader_read(c->entry, c->from + c->at, c->out + c->out_size, n);
        else memcpy(c->out + c->out_size,
                    c->text.size ? (const uint8_t *)c->text.bytes + c->at : c->patch.bytes + c->at, n);
        if (error) return false;
        c->out_size += n;
        c->at += n;
        dxup_log_sent(c->log, n);
        if (c->at == c->size) end_body(c);
    }
    return true;
}

/* >>connection ------------------------------------------------------------- */
/* Is a body being sent, or a patch being made? */
static bool is_busy(const client *c) { return c->waiting || c->at < c->size; }

/* Begin a log entry with the raw target of the request. */
static void begin_log(client *c, const http_request *q)
{
    const uint8_t *request = c->input + c->taken, *end = c->input + c->input_size, *at, *behind;
    if (!c->log) return;
    const bool asked = q->status == 200;
    dxup_log_begin(c->http->d.log, c->log, !asked ? "HTTP" : q->head ? "HEAD" : "GET", false);
    end = memchr(request, '\r', (size_t)(end - request));
    at = end ? memchr(request, ' ', (size_t)(end - request)) : NULL;
    if (!at) return;
    at++;
    behind = memchr(at, ' ', (size_t)(end - at));
    dxup_log_path(c->log, at, (size_t)((behind ? behind : end) - at));
}

/* End the log entry, unless more of the answer follows. */
static void end_log(client *c)
{
    if (!is_busy(c)) dxup_log_end(c->http->d.log, c->log, NULL, 0);
}

/* OPTIONS, which http_parse() refuses: a browser asks whether a page of another origin may send such
   fields. It ends the connection, as any refused method; a browser keeps the answer for two hours. */
static bool is_preflight(const client *c, const http_request *q, size_t size)
{
    static const char method[] = "OPTIONS ";
    return q->status == 405 && *c->http->origin_fields && size >= sizeof method - 1 &&
           !memcmp(c->input, method, sizeof method - 1);
}

static void answer_preflight(client *c)
{
    put_head(c, 204,
             "Allow: GET, HEAD, OPTIONS\r\nAccess-Control-Allow-Methods: GET, HEAD\r\n"
             "Access-Control-Allow-Headers: A-IM, If-Match, If-Modified-Since, If-None-Match, "
             "If-Range, If-Unmodified-Since, Range\r\nAccess-Control-Max-Age: 7200\r\n",
             0);
    dxup_log_result(c->log, "preflight");
}

/* A request names its host once, one of HTTP/1.0 at most once (RFC 9112, 3.2). */
static bool names_host(const client *c, size_t size)
{
    const uint8_t *value, *line_end = memchr(c->input, '\r', size);
    size_t at = 0, value_size, count = 0;
    assert(line_end && line_end > c->input);
    while (dxup_field_next(c->input, size, "host", &at, &value, &value_size)) count++;
    return count == 1 || (!count && line_end[-1] == '0');
}

/* Answer the first request in the input, unless one was answered in this call of received(). */
static bool dispatch(client *c)
{
    http_request q;
    if (is_busy(c) || c->last || c->taken) return true;
    const size_t used = http_parse(c->input, c->input_size, &q);
    if (!used) return true;
    if (q.status == 200 && !names_host(c, used)) {
        q.status = 400;
        q.close = true;
    }
    assert(c->out_room - c->out_size >= 2 * HEAD_SIZE);
    c->round_ns = dx_reactor_now_ns(&c->http->reactor);
    c->last = q.close;
    c->head = q.head;
    c->modified_s = DXUP_NO_DATE;
    begin_log(c, &q);
    if (is_preflight(c, &q, used)) answer_preflight(c);
    else if (q.status != 200) refuse(c, q.status);
    else if (c->http->d.status) answer_status(c, c->input, used);
    else answer(c, c->input, used);
    c->taken = used;
    if (!fill(c)) return false;
    end_log(c);
    return true;
}

/* Reserve room for the beginning of an answer, or more of a body. A head after other output needs
   little room, so that short answers share a block. */
static bool reserve(client *c)
{
    dx_peers *peers = &c->http->peers;
    c->out_size = 0;
    c->out_room = is_busy(c) || !dx_peers_queued(peers, c->id) ? OUT_SIZE : 2 * HEAD_SIZE;
    return !dx_peers_reserve(peers, c->id, (uint32_t)c->out_room, &c->out);
}

/* Answer as far as the connection accepts output; drained() continues. */
static void pump(client *c)
{
    dx_peers *peers = &c->http->peers;
    bool more = !c->over;
    while (more && reserve(c)) {
        if (c->waiting) {
            c->waiting = false;
            answer_from_base(c);
        }
        bool good = fill(c);
        if (good) end_log(c);
        if (good) good = dispatch(c);
        (void)dx_peers_commit(peers, c->id, (uint32_t)c->out_size);
        more = c->at < c->size;
        if (!good) {
            dxup_count(&c->http->d.metrics->damaged, 1);
            dxup_log_end(c->http->d.log, c->log, "damaged", 0);
            (void)dx_peers_close(peers, c->id, true);
            return;
        }
    }
    c->out = NULL;
    if (!is_busy(c) && c->last && !c->over) {
        c->over = true;
        (void)dx_peers_close(peers, c->id, false);
    }
}

/* >>turns ------------------------------------------------------------------ */
/* Put the connection on hold until its turn. */
static void wait_turn(client *c)
{
    dxup_http *h = c->http;
    (void)dx_peers_hold(&h->peers, c->id, true);
    if (c->queued) return;
    c->queued = true;
    c->turn_next = NULL;
    c->turn_previous = h->turn_last;
    if (h->turn_last) h->turn_last->turn_next = c;
    else h->turn_first = c;
    h->turn_last = c;
    h->turn_count++;
    if (!dx_reactor_op_pending(&h->turn_op)) dx_reactor_timer(&h->reactor, &h->turn_op, 0);
}

static void leave_queue(client *c)
{
    dxup_http *h = c->http;
    if (!c->queued) return;
    assert(h->turn_count > 0);
    if (c->turn_previous) c->turn_previous->turn_next = c->turn_next;
    else h->turn_first = c->turn_next;
    if (c->turn_next) c->turn_next->turn_previous = c->turn_previous;
    else h->turn_last = c->turn_previous;
    c->queued = false;
    h->turn_count--;
}

/* Once per round: connections that wait take their turn, each at most once. */
static void on_turn(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dxup_http *h = dx_reactor_op_user(op);
    const int64_t until_ns = prog_now_ns() + TURN_NS;
    (void)flags;
    if (result < 0) return;
    for (size_t left = h->turn_count; left && h->turn_first; left--) {
        client *c = h->turn_first;
        leave_queue(c);
        (void)dx_peers_hold(&h->peers, c->id, false); /* calls received() */
        if (prog_now_ns() >= until_ns) break;
    }
    if (h->turn_first && !dx_reactor_op_pending(op)) dx_reactor_timer(r, op, 0);
}

static client *client_of(const dx_peers *s, dx_peers_id id)
{
    return (client *)(uintptr_t)*dx_peers_data(s, id);
}

/* Update the kind of the guest. Between requests it counts as SILENT, so it may be closed: browsers
   keep idle connections, and reconnect. */
static void set_kind(client *c, bool half, bool answered)
{
    const dxup_guest_kind kind = is_busy(c) || c->queued ? DXUP_GUEST_HEARD
                                 : half                  ? DXUP_GUEST_HALF
                                                         : DXUP_GUEST_SILENT;
    if (answered || kind != c->guest.kind)
        dxup_guests_set(c->http->guests, &c->guest, kind, prog_now_ns());
}

/* Like on_opened() of commands/serve.c. */
static void opened(dx_peers *s, dx_peers_id id)
{
    dxup_http *h = s->desc.user;
    client *c = malloc(sizeof *c);
    dxup_guest *leaves = NULL;
    if (c) memset(c, 0, sizeof *c);
    if (!c || !dxup_guests_enter(h->guests, &c->guest, dx_peers_fd(s, id), prog_now_ns(),
                                 &leaves)) {
        free(c);
        (void)dx_peers_close(s, id, true);
        return;
    }
    if (leaves)
        (void)dx_peers_close(s, ((client *)(void *)((char *)leaves - offsetof(client, guest)))->id,
                             true);
    prog_line_begin(&c->text);
    c->http = h;
    c->id = id;
    c->log = dxup_log_entry_open(h->d.log, dx_peers_fd(s, id));
    c->active_ns = prog_now_ns();
    c->next = h->clients;
    if (c->next) c->next->previous = c;
    h->clients = c;
    h->client_count++;
    *dx_peers_data(s, id) = (uintptr_t)c;
}

static size_t received(dx_peers *s, dx_peers_id id, const uint8_t *bytes, size_t size, bool last)
{
    client *c = client_of(s, id);
    assert(c && !is_busy(c) && !c->queued);
    if (c->over) return size;
    c->active_ns = prog_now_ns();
    c->http->worked = true;
    if (size && !last && c->round_ns == dx_reactor_now_ns(&c->http->reactor)) {
        c->left = true;
        wait_turn(c);
        set_kind(c, false, true);
        return 0;
    }
    c->input = bytes;
    c->input_size = size;
    c->taken = 0;
    pump(c);
    const size_t used = c->over ? size : c->taken;
    c->input = NULL;
    c->input_size = c->taken = 0;
    c->left = used < size;
    if (is_busy(c)) (void)dx_peers_hold(s, id, true);
    else if (used && c->left && !c->last) wait_turn(c);
    set_kind(c, c->left, used > 0);
    if (last && !c->last) { /* no further requests */
        c->last = true;
        pump(c);
    }
    return used;
}

/* Continue: output was sent, or a patch is ready. */
static void go_on(client *c)
{
    pump(c);
    if (is_busy(c) || c->queued) return;
    if (c->left && !c->last) wait_turn(c);
    if (c->guest.kind == DXUP_GUEST_HEARD) set_kind(c, false, true);
    if (!c->queued) (void)dx_peers_hold(&c->http->peers, c->id, false); /* calls received() */
}

static void drained(dx_peers *s, dx_peers_id id)
{
    client *c = client_of(s, id);
    c->active_ns = prog_now_ns();
    go_on(c);
}

static void closed(dx_peers *s, dx_peers_id id, int32_t reason)
{
    dxup_http *h = s->desc.user;
    client *c = client_of(s, id);
    (void)reason;
    if (!c) return; /* refused: over the limit */
    if (c->previous) c->previous->next = c->next;
    else h->clients = c->next;
    if (c->next) c->next->previous = c->previous;
    assert(h->client_count > 0);
    h->client_count--;
    leave_queue(c);
    dxup_guests_leave(h->guests, &c->guest);
    dxup_log_end(h->d.log, c->log, "cut", 0);
    end_body(c);
    free(c->log);
    free(c);
    if (h->draining && !h->clients) dx_reactor_stop(&h->reactor);
}

/* Shutting down: close the idle connections. A client that was sent its last answer has some time
   to close first, because unread data might be lost. */
static void drop_idle(dxup_http *h)
{
    const int64_t while_ns = (int64_t)LINGER_S * 1000000000;
    for (client *c = h->clients; c; c = c->next) { /* closed() is called later */
        c->last = true;
        if (c->over ? prog_now_ns() - c->active_ns > while_ns
                    : !is_busy(c) && !c->queued && !dx_peers_queued(&h->peers, c->id))
            (void)dx_peers_close(&h->peers, c->id, true);
    }
    if (!h->clients || prog_now_ns() > h->until_ns) dx_reactor_stop(&h->reactor);
}

/* Accept no more connections, and finish open answers. */
static void drain(dxup_http *h)
{
    assert(!h->draining && h->listener >= 0);
    h->draining = true;
    h->until_ns = prog_now_ns() + (int64_t)DXUP_DRAIN_S * 1000000000;
    dx_peers_listen_end(&h->peers);
    if (!dx_reactor_close_fd(&h->reactor, &h->close_op, h->listener)) h->listener = -1;
    drop_idle(h);
}

/* Return unused memory to the system after a load peak. */
static void give_back(dxup_http *h)
{
    void *memory;
    size_t size;
    if (!h->worked || h->content_count || !dx_peers_unused(&h->peers, &memory, &size)) return;
    os_memory_unused(memory, size);
    os_heap_unused();
    h->worked = false;
}

/* Every second: close the connections of silent clients. */
static void on_timer(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dxup_http *h = dx_reactor_op_user(op);
    int64_t limit_ns = prog_now_ns() - (int64_t)SILENCE_LIMIT_S * 1000000000;
    (void)flags;
    if (result < 0) return;
    for (client *c = h->clients, *next; c; c = next) {
        next = c->next;
        if (!c->waiting && !c->queued && c->active_ns < limit_ns)
            (void)dx_peers_close(&h->peers, c->id, true);
    }
    if (h->draining) drop_idle(h);
    give_back(h);
    dx_reactor_timer(r, op, 1000000000);
}

/* A patch is ready, possibly one that a client waits for; another store may be at the path; or the
   server shuts down. */
static void on_message(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    dxup_http *h = dx_reactor_op_user(op);
    (void)flags;
    if (result < 0) return;
    for (client *c = h->clients, *next; c; c = next) {
        next = c->next;
        if (c->waiting) go_on(c);
    }
    pthread_mutex_lock(&h->lock);
    const bool ends = h->ending && !h->draining, look = h->look;
    if (h->changes) {
        h->d.network_max = h->next_network_max;
        dxup_guests_limit(h->guests, h->d.network_max);
        memcpy(h->origin_fields, h->next_origin_fields, sizeof h->origin_fields);
    }
    h->look = h->changes = false;
    pthread_mutex_unlock(&h->lock);
    if (look) (void)versions_store_look_again(&h->store); /* open contents keep the old store */
    if (ends) drain(h);
    dx_reactor_receive(r, op, h->messages, sizeof h->messages / sizeof *h->messages);
}

/* >>thread ----------------------------------------------------------------- */
static void set_open(dxup_http *h, bool open)
{
    pthread_mutex_lock(&h->lock);
    assert(h->open != open);
    h->open = open;
    pthread_mutex_unlock(&h->lock);
}

static int open_peers(dxup_http *h)
{
    dx_peers_desc desc = {0};
    desc.peers_max = CLIENTS_MAX + REFUSED_AT_ONCE;
    desc.block_count = BLOCKS;
    desc.block_size = OUT_SIZE;
    desc.high_water = 2 * OUT_SIZE;
    desc.opened = opened;
    desc.received = received;
    desc.drained = drained;
    desc.closed = closed;
    desc.user = h;
    desc.memory_size = dx_peers_memory_size(&desc);
    desc.memory = h->peers_memory = prog_alloc(desc.memory_size);
    int error = dx_peers_open(&h->peers, &h->reactor, &desc);
    if (!error) error = dx_peers_listen(&h->peers, h->listener);
    return error ? prog_fail(PROG_SYSTEM, "cannot open the HTTP connections: %s",
                                          dx_peers_error_name(error)) : PROG_OK;
}

static void serve_until_stopped(dxup_http *h)
{
    dx_reactor_op_init(&h->timer_op, on_timer, h);
    dx_reactor_op_init(&h->turn_op, on_turn, h);
    dx_reactor_op_init(&h->message_op, on_message, h);
    dx_reactor_op_init(&h->close_op, NULL, NULL);
    h->status = open_peers(h);
    dx_reactor_timer(&h->reactor, &h->timer_op, 1000000000);
    dx_reactor_receive(&h->reactor, &h->message_op, h->messages,
                       sizeof h->messages / sizeof *h->messages);
    set_open(h, true);
    sem_post(&h->started);
    int error = h->status ? 0 : dx_reactor_run(&h->reactor);
    if (error)
        h->status = prog_fail(PROG_SYSTEM, "the event loop failed: %s", dx_reactor_error_name(error));
    set_open(h, false);
}

static void *run(void *user)
{
    dxup_http *h = user;
    dx_reactor_desc desc = {0};
    desc.descriptors_max = CLIENTS_MAX + REFUSED_AT_ONCE + 16;
    desc.buffer_count = INPUT_BUFFERS;
    h->encodings = dxup_encodings_open();
    h->guests = dxup_guests_open(CLIENTS_MAX, h->d.network_max);
    h->status = versions_store_open(&h->store, h->d.store, VERSIONS_READ);
    if (!h->status)
        h->status = dxup_loop_open(&h->reactor, &desc, h->d.backend, &h->reactor_memory);
    if (!h->status) {
        serve_until_stopped(h);
        dx_reactor_close(&h->reactor); /* closed() frees the clients */
        if (h->listener >= 0) os_close_socket(h->listener); /* else clients would queue there */
        h->listener = -1;
    } else {
        sem_post(&h->started);
    }
    versions_store_close(h->store);
    dxup_guests_close(h->guests);
    dxup_encodings_close(h->encodings);
    free(h->peers_memory);
    free(h->reactor_memory);
    return NULL;
}

static void put_origin(char out[ORIGIN_FIELDS], const char *allow_origin)
{
    *out = 0;
    if (allow_origin)
        snprintf(out, ORIGIN_FIELDS,
                 "Access-Control-Allow-Origin: %s\r\nAccess-Control-Expose-Headers: Accept-Ranges, Content-Encoding, "
                 "Content-Range, Date, Delta-Base, ETag, IM, Vary\r\n",
                 allow_origin);
}

int dxup_http_start(dxup_http **out, const dxup_http_desc *desc)
{
    dxup_http *h = prog_alloc(sizeof *h);
    dxup_addresses addresses;
    dx_reactor_address bound;
    memset(h, 0, sizeof *h);
    *out = h;
    h->d = *desc;
    h->listener = -1;
    put_origin(h->origin_fields, desc->allow_origin);
    pthread_mutex_init(&h->lock, NULL);
    sem_init(&h->started, 0, 0);
    int status = dxup_addresses_find_mine(&addresses, desc->address,
                                          desc->status ? "--status" : "--http");
    if (status) return status;
    if (dx_reactor_listen(NULL, &addresses.list[0], DX_REACTOR_NODELAY, 0, &h->listener, &bound)) {
        errno = os_socket_errno();
        prog_fail_errno("%s: cannot listen", desc->address);
        return PROG_SYSTEM;
    }
    h->running = !pthread_create(&h->thread, NULL, run, h);
    if (!h->running) return prog_fail(PROG_SYSTEM, "the thread of the HTTP server cannot be started");
    sem_wait(&h->started);
    dx_reactor_address_format(&bound, h->address, sizeof h->address);
    return h->status;
}

const char *dxup_http_address(const dxup_http *h) { return h->address; }

/* Wake the thread. end, look: see the fields. */
static void wake(dxup_http *h, bool end, bool look)
{
    dx_reactor_message message = {{0, 0, 0}};
    if (!h) return;
    pthread_mutex_lock(&h->lock);
    h->ending |= end;
    h->look |= look;
    if (h->open) dx_reactor_post(&h->reactor, &message); /* full: it will wake anyway */
    pthread_mutex_unlock(&h->lock);
}

void dxup_http_ready(dxup_http *h) { wake(h, false, false); }

void dxup_http_refresh(dxup_http *h) { wake(h, false, true); }

void dxup_http_change(dxup_http *h, size_t network_max, const char *allow_origin)
{
    if (!h) return;
    pthread_mutex_lock(&h->lock);
    h->next_network_max = network_max;
    put_origin(h->next_origin_fields, allow_origin);
    h->changes = true;
    pthread_mutex_unlock(&h->lock);
    wake(h, false, false);
}

void dxup_http_end(dxup_http *h) { wake(h, true, false); }

int dxup_http_stop(dxup_http *h)
{
    int status;
    if (!h) return PROG_OK;
    dxup_http_end(h);
    if (h->running) pthread_join(h->thread, NULL);
    if (h->listener >= 0) os_close_socket(h->listener);
    status = h->status;
    free(h);
    return status;
}
