/* Fields of an HTTP request, and their meaning (RFC 9110). */
#ifndef DXUP_HTTP_FIELDS_H
#define DXUP_HTTP_FIELDS_H

#include "../../common/common.h"

/* Find the next value of a field in a checked request, and advance *at. False: there is none. */
bool dxup_field_next(const uint8_t *request, size_t size, const char *name, size_t *at,
                     const uint8_t **value, size_t *value_size);
/* The weight of a word in a list field of this name, from 0 to 1000: the least of several. -1: it is
   not in the list. An element that is malformed has the weight 0. */
int dxup_field_weight(const uint8_t *request, size_t size, const char *name, const char *word);
/* Is the word in the list, with a weight above 0? */
bool dxup_field_has(const uint8_t *request, size_t size, const char *name, const char *word);
/* Decode the target of a request without its query: "/a%20name?query" gives "a name". False:
   malformed, a zero byte, or more than capacity - 1 bytes. */
bool dxup_target_parse(const uint8_t *request, size_t size, char *out, size_t capacity);
/* Decode the value of a name in the query: "/a?from=b%20c" gives "b c" for "from", and "" if there is
   none. False as above. */
bool dxup_target_query(const uint8_t *request, size_t size, const char *name, char *out,
                       size_t capacity);
/* Is this an origin as browsers send it, such as https://app.example:8443, or "*"? */
enum { DXUP_ORIGIN_MAX = 253 + 32 }; /* the longest name of a host, scheme and port */
bool dxup_is_origin(const char *text);
/* PROG_USAGE: it is not; the message begins with what. */
int dxup_origin_check(const char *what, const char *text);
/* Does a field of this name contain the tag (64 hex digits), or "*"? coded: or one of its encodings,
   such as TAG-gzip. strong: weak tags do not count. */
bool dxup_tag_matches(const uint8_t *request, size_t size, const char *name, const char *tag,
                      bool coded, bool strong);

/* Parse the requested range of `total` bytes. Several ranges, other units, malformed ranges, and
   another tag in If-Range give the complete body. */
typedef enum dxup_range { DXUP_RANGE_NONE, DXUP_RANGE_PART, DXUP_RANGE_UNSATISFIABLE } dxup_range;
dxup_range dxup_range_parse(const uint8_t *request, size_t size, const char *tag, uint64_t total,
                            uint64_t *from, uint64_t *count);

#endif
