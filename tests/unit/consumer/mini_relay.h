#ifndef TESTS_UNIT_CONSUMER_MINI_RELAY_H
#define TESTS_UNIT_CONSUMER_MINI_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A small SMTP server on 127.0.0.1 that takes mails and remembers them: a
 * thread for each connection. What it says can be asked for in addresses:
 *
 *   recipient "550-x@..."     this reply to its RCPT
 *   sender "mail-530@..."     this reply to MAIL
 *   sender "final-451@..."    this reply to the final dot
 *   sender "drop-mail@..."    closes after MAIL
 *   sender "drop-dot@..."     closes after the final dot
 *
 * All functions but start and free may be called at any time.
 */
#define MINI_MAILS_MAX 8192

struct mini_mail {
    char sender[64];
    char recipients[256]; /* accepted ones, with a blank behind each */
    unsigned connection;  /* from 1 */
};

struct mini_relay;

/* port 0: any. NULL when it cannot listen. */
struct mini_relay *mini_relay_start(unsigned port);
unsigned mini_relay_port(const struct mini_relay *r);

/* Ends all connections and the listener, then the threads. */
void mini_relay_free(struct mini_relay *r);

/* RCPTs it accepts of one mail; the others get 452. */
void mini_relay_limit_recipients(struct mini_relay *r, unsigned limit);

/* Connections beyond get a 421 greeting; 0: all of them. */
void mini_relay_limit_sessions(struct mini_relay *r, unsigned limit);

/*
 * What EHLO offers from now on, lines of "250-KEYWORD\r\n": PIPELINING and
 * CHUNKING are understood. A literal; "" at first.
 */
void mini_relay_offer(struct mini_relay *r, const char *extensions);

/* So many MAILs of "slow" are told that it goes too fast. */
void mini_relay_slow(struct mini_relay *r, unsigned times);

/* While held, no reply to a final dot is given. */
void mini_relay_hold(struct mini_relay *r, bool hold);

/* Final dots that wait for their reply. */
unsigned mini_relay_held(struct mini_relay *r);

unsigned mini_relay_connections(struct mini_relay *r); /* ever greeted */
unsigned mini_relay_refused(struct mini_relay *r);
unsigned mini_relay_open(struct mini_relay *r);
unsigned mini_relay_mails(struct mini_relay *r); /* that it answered 250 */
unsigned mini_relay_told_slow(struct mini_relay *r);
unsigned mini_relay_quits(struct mini_relay *r);

/* Mail number i, in the order of the answers. */
struct mini_mail mini_relay_mail(struct mini_relay *r, unsigned i);

#endif
