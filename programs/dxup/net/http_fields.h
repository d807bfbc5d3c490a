/* Fields of a request of HTTP: their values, and what they ask for (RFC 9110). */
#ifndef DXUP_HTTP_FIELDS_H
#define DXUP_HTTP_FIELDS_H

#include "../../common/common.h"

/* The next value of a field of a checked request, from *at on; false: there is none. */
bool dxup_field_next(const uint8_t *request, size_t size, const char *name, size_t *at,
                     const uint8_t **value, size_t *value_size);
/* Does one of the fields of this name have the word in its list, without ";q=0"? */
bool dxup_field_has(const uint8_t *request, size_t size, const char *name, const char *word);
/* The target of the request, decoded and without its query: "/a%20name?query" is "a name". False: it
   is malformed, has a zero byte, or more than capacity - 1 bytes. */
bool dxup_target_parse(const uint8_t *request, size_t size, char *out, size_t capacity);
/* The number of a member of its query; 0: it has none. */
uint64_t dxup_target_number(const uint8_t *request, size_t size, const char *name);
/* Does If-None-Match name this tag (64 hex digits), one of its encodings, or all? */
bool dxup_tag_matches(const uint8_t *request, size_t size, const char *tag);

/* What of `total` bytes is asked for. Several ranges, ranges of other units, malformed ones, and
   those of another tag (If-Range) ask for the whole. */
typedef enum dxup_range { DXUP_RANGE_NONE, DXUP_RANGE_PART, DXUP_RANGE_UNSATISFIABLE } dxup_range;
dxup_range dxup_range_parse(const uint8_t *request, size_t size, const char *tag, uint64_t total,
                            uint64_t *from, uint64_t *count);

#endif
