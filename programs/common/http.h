/* A strict parser for the head of an HTTP/1 request without a body. It reads no byte beyond `size`. */
#ifndef HTTP_H
#define HTTP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { HTTP_HEAD_MAX = 8192 };

typedef struct http_request {
    int  status; /* 200, or why it is refused: 400, 405, 413, 431, 501, 505 */
    bool close;  /* no request follows on this connection */
    bool head;   /* HEAD: the answer has no body */
} http_request;

static inline bool http_token(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Does the text of a field equal this word, ignoring case? */
static inline bool http_is(const uint8_t *text, size_t size, const char *word)
{
    size_t i;
    for (i = 0; i < size && word[i]; i++)
        if ((text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]) != (uint8_t)word[i])
            return false;
    return i == size && !word[i];
}

/* "GET /target HTTP/1.1" */
static inline int http_line(const uint8_t *line, size_t size, http_request *q)
{
    size_t at = 0, target;
    while (at < size && http_token(line[at])) at++;
    if (!at || at == size || line[at] != ' ') return 400;
    target = ++at;
    while (at < size && line[at] > ' ' && line[at] < 127) at++;
    if (at == target || size - at != 9 || memcmp(line + at, " HTTP/", 6)) return 400;
    if (memcmp(line + at + 6, "1.", 2)) return 505;
    if (line[at + 8] != '0' && line[at + 8] != '1') return 505;
    q->close = line[at + 8] == '0';
    q->head = target == 5 && !memcmp(line, "HEAD", 4);
    if (!q->head && !(target == 4 && !memcmp(line, "GET", 3))) return 405;
    return line[target] == '/' ? 200 : 400;
}

/* "Name: value" */
static inline int http_field(const uint8_t *line, size_t size, http_request *q)
{
    size_t name = 0, at, end = size;
    while (name < size && http_token(line[name])) name++;
    if (!name || name == size || line[name] != ':') return 400;
    for (at = name + 1; at < end && (line[at] == ' ' || line[at] == '\t');) at++;
    while (end > at && (line[end - 1] == ' ' || line[end - 1] == '\t')) end--;
    if (http_is(line, name, "connection") && http_is(line + at, end - at, "close")) q->close = true;
    if (http_is(line, name, "connection") && http_is(line + at, end - at, "keep-alive"))
        q->close = false;
    if (http_is(line, name, "transfer-encoding")) return 501;
    if (http_is(line, name, "content-length") && !http_is(line + at, end - at, "0")) return 413;
    for (; at < end; at++)
        if ((line[at] < ' ' && line[at] != '\t') || line[at] == 127) return 400;
    return 200;
}

/* The size of the first request; 0: incomplete. A refused request (q->status is not 200) ends the
   connection, and the bytes after it are ignored. */
static inline size_t http_parse(const uint8_t *bytes, size_t size, http_request *q)
{
    size_t at = 0;
    bool first = true;
    q->status = 200;
    q->close = q->head = false;
    for (;;) {
        size_t head_max = size < HTTP_HEAD_MAX ? size : HTTP_HEAD_MAX, length;
        const uint8_t *end = at < head_max
                                 ? (const uint8_t *)memchr(bytes + at, '\n', head_max - at)
                                 : NULL;
        if (!end) {
            if (size < HTTP_HEAD_MAX) return 0;
            q->status = 431;
            break;
        }
        length = (size_t)(end - (bytes + at));
        if (!length || bytes[at + length - 1] != '\r') {
            q->status = 400; /* a line ends with CR LF */
            break;
        }
        if (length == 1 && !first) return at + 2;
        q->status = first ? http_line(bytes + at, length - 1, q)
                          : http_field(bytes + at, length - 1, q);
        if (q->status != 200) break;
        first = false;
        at += length + 1;
    }
    q->close = true;
    return size;
}
#endif
