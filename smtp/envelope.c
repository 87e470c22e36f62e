#include "smtp/envelope.h"

#include "core/utf8.h"

enum err_code smtp_envelope_check(const struct smtp_mail *mail, struct err *err)
{
    struct str sender = str_from(mail->sender);
    if (mail->recipient_count == 0)
        return err_set(err, ERR_INVALID, "a mail has no recipient");
    if (sender.len > 0 && !smtp_command_address_ok(sender))
        return err_set(err, ERR_INVALID,
                       "not sent: the sender is over %d bytes, or has a byte "
                       "that no SMTP command may hold",
                       SMTP_ADDRESS_MAX);
    return ERR_NONE;
}

static void check_recipients(struct smtp_transaction *t)
{
    const struct smtp_mail *mail = t->mail;
    struct smtp_reply reply = {0};
    for (size_t i = 0; i < mail->recipient_count; i++) {
        if (smtp_command_address_ok(str_from(mail->recipients[i])))
            continue;
        smtp_reply_set_own(&reply, "5.1.3",
                           "not sent: the address is empty, too long, or has "
                           "a byte that no SMTP command may hold");
        smtp_transaction_decide(t, i, OUTCOME_REJECTED, &reply);
    }
}

static void reject_rest(struct smtp_transaction *t, const char *enhanced,
                        const char *text)
{
    struct smtp_reply reply = {0};
    smtp_reply_set_own(&reply, enhanced, text);
    smtp_transaction_decide_rest(t, OUTCOME_REJECTED, &reply);
}

/* RFC 1870 section 6.1: what is announced as too large is not sent. */
static void check_size(struct smtp_transaction *t, const struct smtp_caps *caps,
                       const struct smtp_relay *relay)
{
    uint64_t size = t->command.size_bytes;
    struct err words;
    if (caps->size_max == 0 || size <= caps->size_max)
        return;
    err_set(&words, ERR_TOO_LARGE,
            "not sent: the message has %llu bytes, relay %.60s takes %llu at "
            "most",
            (unsigned long long)size, relay->name,
            (unsigned long long)caps->size_max);
    reject_rest(t, "5.3.4", words.text);
}

/* RFC 6531 section 3.2: an address in UTF-8 only where it is understood. */
static void check_utf8(struct smtp_transaction *t, const struct smtp_caps *caps)
{
    static const char words[] = "not sent: the address is not ASCII, and the "
                                "relay does not offer SMTPUTF8";
    const struct smtp_mail *mail = t->mail;
    bool offered = smtp_caps_has(caps, SMTP_EXTENSION_SMTPUTF8);
    bool needed = !utf8_is_ascii(t->command.sender);
    struct smtp_reply reply = {0};
    if (needed && !offered)
        reject_rest(t, "5.6.7", words);
    for (size_t i = 0; i < mail->recipient_count; i++) {
        if (utf8_is_ascii(str_from(mail->recipients[i])))
            continue;
        needed = true;
        smtp_reply_set_own(&reply, "5.6.7", words);
        if (!offered)
            smtp_transaction_decide(t, i, OUTCOME_REJECTED, &reply);
    }
    t->command.utf8 = needed && offered;
}

/* RFC 6152 section 3: 8 bits only where they are understood. */
static void check_8bit(struct smtp_transaction *t, const struct smtp_caps *caps)
{
    struct smtp_reply reply = {0};
    bool is_8bit = false;
    if (body_is_8bit(t->mail->body, &is_8bit) != ERR_NONE) {
        smtp_reply_set_own(&reply, "", "the stored message could not be read");
        smtp_transaction_decide_rest(t, OUTCOME_DEFERRED, &reply);
    } else if (is_8bit && !smtp_caps_has(caps, SMTP_EXTENSION_8BITMIME)) {
        reject_rest(t, "5.6.3",
                    "not sent: the relay does not offer 8BITMIME and the "
                    "message could not be converted");
    }
    t->command.body_8bit = is_8bit;
}

void smtp_envelope_prepare(struct smtp_transaction *t,
                           const struct smtp_caps *caps,
                           const struct smtp_relay *relay)
{
    t->command = (struct smtp_command_mail){
        .sender = str_from(t->mail->sender),
        .with_size = smtp_caps_has(caps, SMTP_EXTENSION_SIZE),
        .size_bytes = body_size(t->mail->body),
    };
    check_recipients(t);
    check_size(t, caps, relay);
    check_utf8(t, caps);
    check_8bit(t, caps);
}
