#ifndef SMTP_ENVELOPE_H
#define SMTP_ENVELOPE_H

#include "core/err.h"
#include "smtp/caps.h"
#include "smtp/session.h"
#include "smtp/transaction.h"

/*
 * What can be said of a mail before it is sent: whether its addresses can
 * stand in commands, and whether the relay takes what it needs. Reads the
 * body once if nobody did.
 */

/* ERR_INVALID, with err: there is nothing to begin with. */
MUST_CHECK enum err_code smtp_envelope_check(const struct smtp_mail *mail,
                                             struct err *err);

/*
 * For a transaction that was begun: fills its MAIL command, and decides those
 * recipients to whom it cannot be sent.
 */
void smtp_envelope_prepare(struct smtp_transaction *t,
                           const struct smtp_caps *caps,
                           const struct smtp_relay *relay);

#endif
