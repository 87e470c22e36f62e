#ifndef MESSAGE_DOWNGRADE_H
#define MESSAGE_DOWNGRADE_H

#include "core/body.h"
#include "core/err.h"

/*
 * The same message in 7 bits, for relays without 8BITMIME (RFC 6152 section
 * 3; RFC 2045, 2046, 2049).
 *
 * Each part whose content has bytes over 0x7f becomes quoted-printable, or
 * base64 where that is shorter or the content is no text in lines; its
 * Content-Transfer-Encoding is replaced or added. Where the field said 8bit or
 * binary of a multipart, a message/rfc822 or a part that is 7-bit anyway, it
 * says 7bit. A message without MIME-Version gets one as soon as something in
 * it was encoded, and, if it has no Content-Type either, "text/plain;
 * charset=unknown-8bit" (RFC 1428). Messages in messages (message/rfc822,
 * message/news) are converted in the same way; message/global and its kin are
 * encoded as a whole, as RFC 6532 allows. All other bytes stay as they are,
 * and every content decodes to the bytes it had. Converting the result again
 * changes nothing; the same message always gives the same bytes.
 *
 * Line ends are CRLF; a bare LF counts as one too where parts and headers
 * begin and end, and content that has one goes out as base64.
 *
 * A DKIM-Signature (RFC 6376) of the sender stays in the header although it
 * does not fit the new body any longer: a mail without a valid signature is
 * worth more than none. Who signs should hand over 7-bit mails, as RFC 6376
 * section 5.3 advises.
 *
 * ERR_INVALID, with a sentence in err that says why, for bytes over 0x7f
 *   in a header (of the message or a part: needs SMTPUTF8),
 *   in a multipart/signed, which must not be altered (RFC 1847),
 *   before the first or behind the last part of a multipart,
 *   in a multipart without a boundary, or more than 16 parts deep,
 *   in a part whose encoding is said to be quoted-printable or base64, or is
 *   one that nobody knows,
 *   in message/partial, message/delivery-status and their like, which have to
 *   be 7bit,
 *   under a header with a line that is no field, or with a field twice that
 *   says how to read the content;
 * and for more than some thousand parts to encode (DOWNGRADE_EDITS_MAX). A
 * message with such things but without such bytes in them can be converted.
 *
 * Memory: at most 2 MiB while it works, whatever the size; *out is in memory
 * up to 1 MiB, and from then on in a file without a name in $TMPDIR or else
 * /var/tmp, of which it holds the descriptor. in is read twice.
 *
 * Ownership: *out has one reference for the caller; untouched after an error.
 * Blocking: as long as the disk and the work take, the work some 5 ms a MiB.
 * Threads: any. ERR_SYSTEM, with err, when the message cannot be read, or the
 * file cannot be written.
 */
MUST_CHECK enum err_code message_to_7bit(const struct body *in,
                                         struct body **out, struct err *err);

#endif
