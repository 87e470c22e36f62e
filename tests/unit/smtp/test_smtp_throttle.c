#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/throttle.h"

#define SES      "Amazon SES Developer Guide, SMTP response codes"
#define SES_POST "AWS re:Post, maximum message count per session"
#define GMAIL    "Google Workspace Admin Help, Gmail SMTP errors and codes"
#define M365     "Microsoft Learn, NDR errors in Exchange Online"
#define M365_SUB "Exchange Team Blog, SMTP Authenticated Submission"
#define EXCHANGE "Exchange Server, receive connectors and back pressure"
#define OUTLOOK  "Outlook.com Postmaster, troubleshooting"
#define POSTFIX  "Postfix, smtpd(8) source and postconf(5)"
#define SCREEN   "Postfix, postscreen(8)"
#define POLICYD  "policyd (cluebringer), quotas module"
#define EXIM     "Exim, smtp_in.c and the specification"
#define SENDMAIL "sendmail, proto.m4 (ratecontrol, conncontrol)"
#define YAHOO    "Yahoo Sender Hub, SMTP error codes"
#define COMCAST  "Comcast postmaster, RL error codes"
#define FIELD    "replies that bounce parsers and senders are tested with"
#define POSTGREY "postgrey, --greylist-text"
#define GREY_RFC "RFC 6647, greylisting"
#define RFC      "RFC 5321 and 3463"
#define DOVECOT  "Dovecot, lmtp"

/* What relays really say. */
static const struct {
    bool too_fast;
    const char *wire;
    const char *source;
} rows[] = {
    /* Amazon SES */
    {true, "454 Throttling failure: Maximum sending rate exceeded.", SES},
    {true, "454 Throttling failure: Daily message quota exceeded.", SES},
    {true, "454 4.7.0 Throttling failure: Maximum sending rate exceeded", SES},
    {true, "421 Too many concurrent SMTP connections", SES},
    {false, "451 Temporary service failure", SES},
    {false, "454 Temporary service failure", SES},
    {false, "451 Timeout waiting for data from client", SES},
    {false, "530 Authentication required", SES},
    {false, "552 Message is too long.", SES},
    {false,
     "421 Connection closed by server. Maximum message count per session "
     "reached.",
     SES_POST},

    /* Gmail; cut into lines as it does */
    {true,
     "421-4.7.28 [192.0.2.1      15] Our system has detected an unusual rate "
     "of\r\n421-4.7.28 unsolicited mail originating from your IP address. To "
     "protect our\r\n421-4.7.28 users from spam, mail sent from your IP "
     "address has been temporarily\r\n421-4.7.28 rate limited. Please "
     "visit\r\n421-4.7.28 https://support.google.com/mail/?p="
     "UnsolicitedRateLimitError\r\n421 4.7.28 review our Bulk Email Senders "
     "Guidelines. k10si2978071qtp.33 - gsmtp",
     GMAIL},
    {true,
     "421-4.7.28 Gmail has detected an unusual rate of unsolicited mail "
     "containing\r\n421-4.7.28 one of your URL domains. To protect our users "
     "from spam, mail with\r\n421 4.7.28 the URL has been temporarily limited. "
     "- gsmtp",
     GMAIL},
    {true,
     "421 4.7.0 Our system has detected an unusual rate of unsolicited mail "
     "originating from your IP address. To protect our users from spam, mail "
     "sent from your IP address has been temporarily blocked. - gsmtp",
     GMAIL},
    {true,
     "450-4.2.1 The user you are trying to contact is receiving mail at a "
     "rate\r\n450-4.2.1 that prevents additional messages from being "
     "delivered. Please resend\r\n450-4.2.1 your message at a later time. If "
     "the user is able to receive mail at\r\n450-4.2.1 that time, your message "
     "will be delivered. For more information,\r\n450 4.2.1 please visit "
     "https://support.google.com/mail/?p=ReceivingRate - gsmtp",
     GMAIL},
    {true,
     "450 4.2.1 The user you are trying to contact is receiving mail too "
     "quickly. Please resend your message at a later time. - gsmtp",
     GMAIL},
    {true,
     "450 4.2.1 Peak SMTP relay limit exceeded for customer. This is a "
     "temporary error. - gsmtp",
     GMAIL},
    {true, "421 4.4.5 Server busy, try again later. - gsmtp", GMAIL},
    {false, "421 4.7.0 Try again later, closing connection. - gsmtp", GMAIL},
    {false, "421 4.7.0 Temporary System Problem. Try again later. - gsmtp",
     GMAIL},
    {false, "421 4.3.0 Temporary System Problem. Try again later - gsmtp",
     GMAIL},
    {false, "421 4.7.0 TLS required for RCPT domain, closing connection.",
     GMAIL},
    {false, "451 4.3.0 Mail server temporarily rejected message. - gsmtp",
     GMAIL},
    {false, "451 4.4.2 Timeout - closing connection. - gsmtp", GMAIL},
    {false,
     "452 4.2.2 The email account that you tried to reach is over quota. "
     "Please direct the recipient to "
     "https://support.google.com/mail/?p=OverQuotaTemp - gsmtp",
     GMAIL},
    {false,
     "452 4.5.3 Domain policy size per transaction exceeded, please try this "
     "recipient in a separate transaction. - gsmtp",
     GMAIL},
    {false, "452 4.5.3 Your message has too many recipients. - gsmtp", GMAIL},
    {false, "454 4.7.0 Too many login attempts, please try again later.",
     GMAIL},
    {false, "550 5.4.5 Daily sending quota exceeded. - gsmtp", GMAIL},
    {false,
     "550-5.7.1 Our system has detected an unusual rate of unsolicited "
     "mail\r\n550 5.7.1 originating from your IP address. - gsmtp",
     GMAIL},

    /* Microsoft */
    {true,
     "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. "
     "(S77719) [AM5EUR03FT012.eop-EUR03.prod.protection.outlook.com]",
     M365},
    {true,
     "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate "
     "limited due to IP reputation. For e-mail delivery information see "
     "https://postmaster.live.com (S775)",
     M365},
    {true,
     "451 4.7.651 The mail server [192.0.2.1] has been temporarily rate "
     "limited due to IP reputation.",
     M365},
    {true,
     "451 4.7.652 The mail server [192.0.2.1] has exceeded the maximum number "
     "of connections.",
     M365},
    {true,
     "432 4.3.2 Concurrent connections limit exceeded. Visit "
     "https://aka.ms/concurrent_sending for more information.",
     M365_SUB},
    {true, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded",
     M365_SUB},
    {true,
     "421 4.4.2 Message submission rate for this client has exceeded the "
     "configured limit",
     EXCHANGE},
    {true,
     "421 4.3.2 The maximum number of concurrent connections has exceeded a "
     "limit, closing transmission channel",
     EXCHANGE},
    {true,
     "421 RP-001 (SNT004-MC1F1) Unfortunately, some messages from 192.0.2.1 "
     "weren't sent. Please try again. We have limits for how many messages "
     "can be sent per hour and per day.",
     OUTLOOK},
    {true,
     "421 RP-002 The mail server IP connecting to Outlook.com server has "
     "exceeded the rate limit allowed.",
     OUTLOOK},
    {true,
     "421 RP-003 The mail server IP connecting to Outlook.com server has "
     "exceeded the connection limit allowed.",
     OUTLOOK},
    {false, "452 4.3.1 Insufficient system resources", EXCHANGE},
    {false, "421 4.3.2 Service not available", EXCHANGE},
    {false, "452 4.5.3 Too many recipients (AS780090)", M365},
    {false, "451 4.7.0 Temporary server error. Please try again later. PRX4",
     M365},
    {false,
     "450 4.7.26 Access denied, a message sent over IPv6 must pass either SPF "
     "or DKIM validation, this message is not signed",
     M365},
    {false, "451 4.4.3 Temporary server error. Please try again later ATTR2",
     M365},
    {false, "550 5.7.705 Access denied, tenant has exceeded threshold", M365},

    /* Postfix and what is run behind it */
    {true, "450 4.7.1 Error: too much mail from 192.0.2.1", POSTFIX},
    {true, "450 4.7.1 Error: too many recipients from 192.0.2.1", POSTFIX},
    {true,
     "421 4.7.0 mx.example.org Error: too many connections from 192.0.2.1",
     POSTFIX},
    {true, "421 4.7.0 mx.example.org Error: too many connections", SCREEN},
    {true,
     "450 4.7.1 <a@example.org>: Sender address rejected: Deferring: Too many "
     "messages from sender in last 60",
     POLICYD},
    {false, "452 4.5.3 Error: too many recipients", POSTFIX},
    {false, "421 4.7.0 mx.example.org Error: too many errors", POSTFIX},
    {false, "452 4.3.1 Insufficient system storage", POSTFIX},
    {false, "451 4.3.0 Error: queue file write error", POSTFIX},
    {false, "421 4.4.2 mx.example.org Error: timeout exceeded", POSTFIX},
    {false, "450 4.3.2 Service currently unavailable", SCREEN},
    {false, "454 4.7.1 <b@example.com>: Relay access denied", POSTFIX},
    {false,
     "450 4.7.1 Client host rejected: cannot find your hostname, [192.0.2.1]",
     POSTFIX},
    {false,
     "450 4.1.1 <b@example.org>: Recipient address rejected: unverified "
     "address: connect to mx.example.org: Connection timed out",
     POSTFIX},
    {false,
     "450 4.2.0 <b@example.org>: Recipient address rejected: Greylisted, see "
     "http://postgrey.schweikert.ch/help/example.org.html",
     POSTGREY},
    {false,
     "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using "
     "zen.spamhaus.org",
     POSTFIX},
    {false,
     "450 4.7.1 Service unavailable; Client host [192.0.2.1] blocked using "
     "bl.spamcop.net; Blocked - see "
     "https://www.spamcop.net/bl.shtml?192.0.2.1",
     POSTFIX},

    /* Exim */
    {true,
     "421 mx.example.org: Too many concurrent SMTP connections; please try "
     "again later",
     EXIM},
    {true,
     "421 Too many concurrent SMTP connections from this IP address; please "
     "try again later.",
     EXIM},
    {true, "421 mx.example.org: Too much load; please try again later", EXIM},
    {true, "451 Sender rate overlimit - 123.4 / 1h", EXIM},
    {false, "451 Temporary local problem - please try later", EXIM},
    {false, "421 too many messages in this connection", EXIM},
    {false, "452 too many recipients", EXIM},
    {false, "452 space shortage, please try later", EXIM},
    {false, "421 mx.example.org: SMTP command timeout - closing connection",
     EXIM},

    /* others */
    {true, "421 4.3.2 Connection rate limit exceeded.", SENDMAIL},
    {true, "421 4.3.2 Too many open connections.", SENDMAIL},
    {false, "452 4.4.5 Insufficient disk space; try again later", SENDMAIL},
    {true,
     "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to "
     "unexpected volume or user complaints - 4.16.55.1; see "
     "https://postmaster.yahooinc.com/error-codes",
     YAHOO},
    {true,
     "452 4.3.2 Connection rate limit exceeded. (in reply to MAIL FROM "
     "command)",
     FIELD},
    {true, "450 4.7.1 Client host rejected: Please try again slower", FIELD},
    {true, "451 4.7.1 Mailbox rate limit reached, please try again later",
     FIELD},
    {true,
     "451- 4.7.652 The mail server [192.0.2.1] has exceeded the maximum "
     "number of connections.    (S3115)\r\n451 "
     "[DU6PEPF0000A7E0.eurprd02.prod.outlook.com]",
     M365},
    {true,
     "451 4.2.0 Throttled - "
     "https://postmaster.comcast.net/smtp-error-codes.php",
     COMCAST},
    {true,
     "421 4.1.0 192.0.2.1 Throttled - try again later. Please see "
     "http://postmaster.comcast.net/smtp-error-codes.php#RL000001",
     COMCAST},
    {false, "451 4.7.1 Greylisting in action, please come back later",
     GREY_RFC},
    {false,
     "452 4.2.2 <b@example.org> Quota exceeded (mailbox for user is "
     "full)",
     DOVECOT},
    {false, "450 Requested mail action not taken: mailbox busy", RFC},
    {false, "452 4.3.1 Mail system full", RFC},
    {false, "421 mx.example.org Service not available, closing channel", RFC},
    {false, "451 4.3.5 System incorrectly configured", RFC},
    {false, "451", RFC},
};

static struct smtp_reply parse(const char *wire)
{
    struct smtp_reply_parser parser;
    struct smtp_reply reply;
    struct str first = str_from(wire);
    struct str end = STR("\r\n");
    smtp_reply_parser_init(&parser);
    assert_int_equal(smtp_reply_parse(&parser, &first, &reply), ERR_AGAIN);
    assert_int_equal(smtp_reply_parse(&parser, &end, &reply), ERR_NONE);
    return reply;
}

static void replies_of_real_relays_are_known_for_what_they_are(void **state)
{
    (void)state;
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct smtp_reply reply = parse(rows[i].wire);
        if (smtp_throttle_says(&reply) == rows[i].too_fast)
            continue;
        print_error("%s (%s)\n", rows[i].wire, rows[i].source);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

static void words_count_and_how_they_are_written_does_not(void **state)
{
    (void)state;
    static const char *const same[] = {
        "450 RATE LIMIT REACHED",
        "450-rate\r\n450 limit reached",
        "450 rate  limit  reached",
        "450 you are (rate limited)",
        "450 too many simultaneous SMTP\tconnections",
        "450-too many\r\n450-simultaneous\r\n450 connections",
    };
    static const char *const other[] = {
        "450 our corporate limits changed",
        "450 at a moderate limit",
        "450 rate/limit",
        "450 connections: too many",
        "450 throt ling",
        "451 Greylisted: rate limit for new senders, come back later",
        "421 4.7.1 Graylisted, too many connections for a new sender",
        "452 4.2.2 too many messages in the mailbox",
        "452 4.3.1 too many messages in the queue",
        "250 2.0.0 Ok: no rate limit, no throttling",
        "354 slow down",
        "554 5.7.1 Throttling failure: rate limit exceeded",
    };
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        struct smtp_reply reply = parse(same[i]);
        if (!smtp_throttle_says(&reply))
            fail_msg("%s", same[i]);
    }
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        struct smtp_reply reply = parse(other[i]);
        if (smtp_throttle_says(&reply))
            fail_msg("%s", other[i]);
    }
}

static void words_of_our_own_never_throttle(void **state)
{
    (void)state;
    struct smtp_reply reply;
    smtp_reply_set_own(&reply, "4.7.28", "rate limit");
    assert_false(smtp_throttle_says(&reply));
}

static void a_text_of_any_length_is_looked_at(void **state)
{
    (void)state;
    struct smtp_reply reply = {.code = 450};
    memset(reply.text, ' ', SMTP_REPLY_TEXT_MAX);
    assert_false(smtp_throttle_says(&reply));
    memset(reply.text, '/', SMTP_REPLY_TEXT_MAX);
    assert_false(smtp_throttle_says(&reply));
    memset(reply.text, 't', SMTP_REPLY_TEXT_MAX);
    memcpy(reply.text + SMTP_REPLY_TEXT_MAX - 9, " too fast", 9);
    assert_true(smtp_throttle_says(&reply));
    reply.text[0] = '\0';
    assert_false(smtp_throttle_says(&reply));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_of_real_relays_are_known_for_what_they_are),
        cmocka_unit_test(words_count_and_how_they_are_written_does_not),
        cmocka_unit_test(words_of_our_own_never_throttle),
        cmocka_unit_test(a_text_of_any_length_is_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
