#ifndef SMTP_FLIGHT_H
#define SMTP_FLIGHT_H

#include "smtp/dialogue.h"

/*
 * Inside smtp/ only: what a session says, and when. Flights are composed of
 * the commands of several mails and pieces of their bodies, one slice (and
 * one write) at a time, as far as the mode and the replies allow:
 *
 *   ONE_BY_ONE  the next command when nothing is owed
 *   PIPELINE    [RSET] MAIL RCPT... DATA, behind the body of the mail before;
 *               the body when DATA is answered with 354
 *   BDAT        [RSET] MAIL RCPT... BDAT and the body, mail after mail. With
 *               more than one unconfirmed, each but the first has its RSET: a
 *               server that keeps a transaction whose BDAT failed would take
 *               the next message under its envelope.
 *
 * A body over SMTP_FLIGHT_BODY_MAX is not sent by BDAT before a recipient is
 * accepted, and nothing is begun behind it before it is written: the relay
 * shall not swallow 25 MiB for nobody.
 *
 * RSET is said before MAIL where the relay may hold a transaction open; if it
 * is known to have refused a message, or all its recipients, MAIL waits for
 * the answer. A 354
 * when there is nobody to send to is answered with the end of the message,
 * RFC 2920 section 3.1.
 */
#define SMTP_FLIGHT_BODY_MAX ((uint64_t)128 << 10)

/*
 * Writes until nothing more may be said now, the connection takes no more, or
 * others should have their turn; then it goes on from the loop. Calls nobody
 * back. A write that fails is looked at from the loop.
 */
void smtp_flight_write(struct smtp_session *s);

#endif
