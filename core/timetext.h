#ifndef CORE_TIMETEXT_H
#define CORE_TIMETEXT_H

#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"
#include "core/str.h"

/* Times and amounts as people and protocols write them. */

#define TIMETEXT_RFC3339_MAX 32
#define TIMETEXT_RFC5322_MAX 40

/*
 * RFC 3339 date-time with "Z" or an offset, year 1970 to 9999, fractions cut
 * to milliseconds; a leap second counts as the second before it. ERR_INVALID
 * otherwise, *real_ms untouched.
 */
MUST_CHECK enum err_code timetext_parse_rfc3339(struct str text,
                                                int64_t *real_ms);

/* "2026-11-20T11:22:33.456Z" into out (UTC). */
void timetext_rfc3339(int64_t real_ms, char out[TIMETEXT_RFC3339_MAX]);

/* RFC 5322 section 3.3, "Fri, 20 Nov 2026 11:22:33 +0000" (UTC). */
void timetext_rfc5322(int64_t real_ms, char out[TIMETEXT_RFC5322_MAX]);

/*
 * A whole number and a unit: ms s m h d. "0" alone is allowed. The number
 * times the unit must fit in milliseconds up to 10 years.
 */
MUST_CHECK enum err_code timetext_parse_duration(struct str text, int64_t *ms,
                                                 struct err *err);

/*
 * A whole number of bytes, or one with K M G (1024 based), up to 2^53.
 */
MUST_CHECK enum err_code timetext_parse_size(struct str text, int64_t *bytes,
                                             struct err *err);

/*
 * How often something may happen: a number above 0, with a point and up to
 * nine digits behind it if it must be, and a unit: /s /m /h. Up to 10^12.
 */
MUST_CHECK enum err_code timetext_parse_rate(struct str text, double *per_s,
                                             struct err *err);

/*
 * In the shortest time that gives 1 or more, with three decimals at most:
 * "14/s", "2.5/s", "30/m".
 */
void timetext_add_rate(struct buf *out, double per_s);

/* The largest unit that gives a whole number: "30s", "250ms", "64K". */
void timetext_add_duration(struct buf *out, int64_t ms);
void timetext_add_size(struct buf *out, int64_t bytes);

#endif
