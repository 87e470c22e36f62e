#ifndef TESTS_UNIT_MESSAGE_SEVEN_H
#define TESTS_UNIT_MESSAGE_SEVEN_H

#include "core/buf.h"
#include "core/err.h"
#include "core/str.h"

/*
 * message_to_7bit() on bytes. What fails here fails the test that is running.
 */

/*
 * Adds the message in 7 bits to out: no byte is over 0x7f then, converting it
 * again and converting the first one again give the same bytes.
 */
void seven_convert(struct str message, struct buf *out);

/* What message_to_7bit() says to it; nothing comes out. */
enum err_code seven_refuse(struct str message, struct err *err);

/* No line is longer than that, without its end. */
void seven_check_lines(struct str message, size_t longest);

#endif
