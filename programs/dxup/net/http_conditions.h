/* Conditional requests of HTTP, and the dates in them (RFC 9110, sections 5.6.7 and 13). */
#ifndef DXUP_HTTP_CONDITIONS_H
#define DXUP_HTTP_CONDITIONS_H

#include "../../common/common.h"

enum { DXUP_DATE_SIZE = 30 }; /* "Sun, 06 Nov 1994 08:49:37 GMT", with its zero */

#define DXUP_NO_DATE INT64_MIN

/* Seconds since 1970 as a date of HTTP, of the years 0 to 9999. */
void dxup_date_text(int64_t seconds, char out[DXUP_DATE_SIZE]);
/* Parse any of the three formats of a date. now_s decides the century of a year of two digits.
   False: malformed. */
bool dxup_date_parse(const uint8_t *text, size_t size, int64_t now_s, int64_t *seconds);

/* Do If-Match and If-Unmodified-Since allow an answer? False: 412. tag: 64 hex digits; coded: its
   encodings count, too. modified_s: DXUP_NO_DATE if it is unknown. */
bool dxup_conditions_hold(const uint8_t *request, size_t size, const char *tag, bool coded,
                          int64_t modified_s);
/* Does If-Modified-Since say that the client has this content? It counts only without If-None-Match.
   exact: a later date does not count, because the content may go back to an older one. */
bool dxup_is_unmodified(const uint8_t *request, size_t size, int64_t modified_s, bool exact);

#endif
