#include "app/sink/sink_handlers.h"

#include <stdio.h>

#include "app/sink/sink_auth.h"
#include "app/sink/sink_content.h"
#include "app/sink/sink_reply.h"

#define EHLO_MAX_BYTES 2048

static const struct sink_refusal unknown = {500, "5.5.2", "Unknown command"};
static const struct sink_refusal not_offered = {502, "5.5.1",
                                                "Command not implemented"};
static const struct sink_refusal no_argument = {501, "5.5.4",
                                                "This command has no argument"};
static const struct sink_refusal needs_argument = {
    501, "5.5.4", "This command needs an argument"};
static const struct sink_refusal no_hello = {503, "5.5.1", "EHLO first"};
static const struct sink_refusal no_mail = {503, "5.5.1", "MAIL first"};
static const struct sink_refusal no_rcpt = {503, "5.5.1", "RCPT first"};
static const struct sink_refusal none_valid = {554, "5.5.1",
                                               "No valid recipients"};
static const struct sink_refusal nested = {503, "5.5.1", "Nested MAIL"};
static const struct sink_refusal in_transaction = {
    503, "5.5.1", "Not during a mail transaction"};
static const struct sink_refusal after_chunk = {
    503, "5.5.1", "BDAT has begun, go on or RSET"};
static const struct sink_refusal chunk_failed = {
    503, "5.5.1", "A chunk was refused, RSET first"};
static const struct sink_refusal too_large = {552, "5.3.4",
                                              "Message too large"};
static const struct sink_refusal needs_tls = {530, "5.7.0", "STARTTLS first"};
static const struct sink_refusal needs_auth = {530, "5.7.0",
                                               "Authentication required"};
static const struct sink_refusal auth_over_tls = {
    538, "5.7.11", "Encryption required for authentication"};
static const struct sink_refusal auth_twice = {503, "5.5.1",
                                               "Already authenticated"};
static const struct sink_refusal tls_twice = {503, "5.5.1",
                                              "TLS is already on"};
static const struct sink_refusal tls_pipelined = {
    503, "5.5.1", "Nothing may follow STARTTLS before its reply"};

static bool offers_starttls(const struct sink_session *s)
{
    return s->kind == SINK_LISTENER_STARTTLS && s->tls_version == NULL &&
           sink_session_offers(s, SINK_EXTENSION_STARTTLS);
}

static bool offers_auth(const struct sink_session *s)
{
    return sink_session_offers(s, SINK_EXTENSION_AUTH) &&
           (s->tls_version != NULL || !s->sink->options->auth_needs_tls);
}

static void reset_transaction(struct sink_session *s)
{
    sink_content_drop(s);
    sink_envelope_clear(&s->envelope);
    s->chunked = s->chunk_failed = false;
}

static void add_capabilities(const struct sink_session *s, struct buf *lines)
{
    static const struct {
        enum sink_extension extension;
        const char *keyword;
    } simple[] = {
        {SINK_EXTENSION_8BITMIME, "8BITMIME"},
        {SINK_EXTENSION_SMTPUTF8, "SMTPUTF8"},
        {SINK_EXTENSION_PIPELINING, "PIPELINING"},
        {SINK_EXTENSION_CHUNKING, "CHUNKING"},
        {SINK_EXTENSION_ENHANCED, "ENHANCEDSTATUSCODES"},
    };
    const struct sink_options *o = s->sink->options;
    if (sink_session_offers(s, SINK_EXTENSION_SIZE))
        buf_add_format(lines, "250-SIZE %lld\r\n",
                       (long long)o->max_size_bytes);
    for (size_t i = 0; i < sizeof(simple) / sizeof(simple[0]); i++)
        if (sink_session_offers(s, simple[i].extension))
            buf_add_format(lines, "250-%s\r\n", simple[i].keyword);
    if (offers_starttls(s))
        buf_add_text(lines, "250-STARTTLS\r\n");
    if (offers_auth(s))
        buf_add_text(lines, "250-AUTH PLAIN LOGIN\r\n");
    buf_add_text(lines, "250 HELP\r\n");
}

static void say_hello(struct sink_session *s, struct str name, bool extended)
{
    struct buf lines;
    if (name.len == 0) {
        sink_reply_refusal(s, &needs_argument);
        return;
    }
    if (sink_reply_fault(s, SINK_STAGE_EHLO, name)) {
        sink_reply(s, 550, "", "Refused");
        return;
    }
    reset_transaction(s);
    s->helloed = true;
    s->extended = extended;
    buf_init(&lines, EHLO_MAX_BYTES);
    buf_add_format(&lines, extended ? "250-%s\r\n" : "250 %s\r\n",
                   s->sink->options->hostname);
    if (extended)
        add_capabilities(s, &lines);
    sink_reply_lines(s, buf_str(&lines));
    buf_fini(&lines);
}

static void on_ehlo(struct sink_session *s, struct str argument)
{
    if (sink_session_offers(s, SINK_EXTENSION_EHLO))
        say_hello(s, argument, true);
    else
        sink_reply_refusal(s, &not_offered);
}

static void on_helo(struct sink_session *s, struct str argument)
{
    say_hello(s, argument, false);
}

/* What stands in the way of MAIL, whatever its argument; NULL: nothing. */
static const struct sink_refusal *mail_obstacle(const struct sink_session *s)
{
    const struct sink_options *o = s->sink->options;
    if (!s->helloed)
        return &no_hello;
    if (o->require_tls && s->tls_version == NULL)
        return &needs_tls;
    if (o->require_auth && s->user.len == 0)
        return &needs_auth;
    if (s->chunk_failed)
        return &chunk_failed;
    if (s->envelope.open)
        return &nested;
    return NULL;
}

static void on_mail(struct sink_session *s, struct str argument)
{
    const struct sink_options *o = s->sink->options;
    struct sink_mail mail;
    const struct sink_refusal *refusal = mail_obstacle(s);
    if (refusal == NULL && o->max_messages > 0 &&
        s->messages >= (uint64_t)o->max_messages) {
        sink_reply(s, 421, "4.7.0", "Enough messages for one connection");
        s->want = SINK_WANT_CLOSE;
        return;
    }
    if (refusal == NULL)
        refusal =
            sink_command_mail(argument, s->extended ? o->extensions : 0, &mail);
    if (refusal == NULL && mail.has_size &&
        mail.size_bytes > (uint64_t)o->max_size_bytes)
        refusal = &too_large;
    if (refusal != NULL) {
        sink_reply_refusal(s, refusal);
        return;
    }
    if (sink_reply_fault(s, SINK_STAGE_MAIL, mail.sender)) {
        sink_reply(s, 550, "5.7.1", "Refused");
        return;
    }
    s->smtputf8 = mail.smtputf8;
    s->rcpt_commands = 0;
    sink_envelope_begin(&s->envelope, mail.sender);
    sink_reply(s, 250, "2.1.0", "Ok");
}

static void on_rcpt(struct sink_session *s, struct str argument)
{
    struct sink_rcpt rcpt;
    const struct sink_refusal *refusal = NULL;
    if (!s->envelope.open)
        refusal = &no_mail;
    else if (s->chunked || s->chunk_failed)
        refusal = &after_chunk;
    else
        refusal = sink_command_rcpt(argument, s->smtputf8, &rcpt);
    s->rcpt_commands++;
    if (refusal != NULL) {
        sink_counts_add(&s->sink->counts, SINK_COUNT_RECIPIENTS_REFUSED, 1);
        sink_reply_refusal(s, refusal);
        return;
    }
    if (sink_reply_fault(s, SINK_STAGE_RCPT, rcpt.recipient)) {
        sink_counts_add(&s->sink->counts, SINK_COUNT_RECIPIENTS_REFUSED, 1);
        sink_reply(s, 550, "5.1.1", "Refused");
        return;
    }
    if (s->envelope.count >= (size_t)s->sink->options->max_recipients) {
        sink_counts_add(&s->sink->counts, SINK_COUNT_RECIPIENTS_REFUSED, 1);
        sink_reply(s, 452, "4.5.3", "Too many recipients");
        return;
    }
    sink_envelope_add(&s->envelope, rcpt.recipient);
    sink_reply(s, 250, "2.1.5", "Ok");
}

/* What stands in the way of content; NULL: nothing. */
static const struct sink_refusal *content_obstacle(const struct sink_session *s)
{
    if (s->chunk_failed)
        return &chunk_failed;
    if (!s->envelope.open)
        return &no_mail;
    if (s->envelope.count == 0)
        return s->rcpt_commands == 0 ? &no_rcpt : &none_valid;
    return NULL;
}

static void on_data(struct sink_session *s, struct str argument)
{
    const struct sink_refusal *refusal = content_obstacle(s);
    (void)argument;
    if (refusal == NULL && s->chunked)
        refusal = &after_chunk;
    if (refusal != NULL) {
        sink_reply_refusal(s, refusal);
        return;
    }
    if (sink_reply_fault(s, SINK_STAGE_DATA, (struct str){NULL, 0})) {
        sink_reply(s, 451, "4.3.0", "Refused");
        return;
    }
    sink_content_start(s);
    s->mode = SINK_MODE_DATA;
    sink_reply(s, 354, "", "End data with <CR><LF>.<CR><LF>");
}

/*
 * RFC 3030 section 2: whatever is wrong, the chunk's bytes come and are read
 * before the reply.
 */
static void on_bdat(struct sink_session *s, struct str argument)
{
    struct sink_chunk chunk;
    const struct sink_refusal *refusal;
    if (!sink_session_offers(s, SINK_EXTENSION_CHUNKING) || !s->extended) {
        sink_reply_refusal(s, &not_offered);
        return;
    }
    refusal = sink_command_bdat(argument, &chunk);
    if (refusal != NULL) {
        sink_reply_refusal(s, refusal);
        return;
    }
    s->chunk_refusal = content_obstacle(s);
    s->chunk_left = chunk.size_bytes;
    s->chunk_last = chunk.last;
    if (s->chunk_refusal == NULL && !s->chunked) {
        sink_content_start(s);
        s->chunked = true;
    }
    if (s->chunk_refusal != NULL) {
        s->content.cut_bytes = UINT64_MAX;
        s->content.wire_bytes = 0;
    }
    s->mode = SINK_MODE_CHUNK;
    if (s->chunk_left == 0)
        sink_handlers_chunk_end(s);
}

static void fail_chunk(struct sink_session *s)
{
    sink_content_drop(s);
    s->chunk_failed = s->envelope.open;
}

void sink_handlers_chunk_end(struct sink_session *s)
{
    char text[64];
    s->mode = SINK_MODE_COMMAND;
    if (s->chunk_refusal != NULL) {
        fail_chunk(s);
        if (s->chunk_last && s->sink->options->keep_transaction)
            s->chunked = s->chunk_failed = false;
        else if (s->chunk_last)
            reset_transaction(s);
        sink_reply_refusal(s, s->chunk_refusal);
        return;
    }
    if (s->chunk_last) {
        sink_content_finish(s);
        return;
    }
    if (sink_reply_fault(s, SINK_STAGE_BDAT, (struct str){NULL, 0})) {
        fail_chunk(s);
        sink_reply(s, 451, "4.3.0", "Refused");
        return;
    }
    if (s->content.too_large) {
        fail_chunk(s);
        sink_reply_refusal(s, &too_large);
        return;
    }
    (void)snprintf(text, sizeof(text), "%llu octets so far",
                   (unsigned long long)s->content.size_bytes);
    sink_reply(s, 250, "2.0.0", text);
}

static void on_rset(struct sink_session *s, struct str argument)
{
    (void)argument;
    if (sink_reply_fault(s, SINK_STAGE_RSET, (struct str){NULL, 0})) {
        sink_reply(s, 451, "4.3.0", "Refused");
        return;
    }
    reset_transaction(s);
    sink_reply(s, 250, "2.0.0", "Ok");
}

static void on_noop(struct sink_session *s, struct str argument)
{
    (void)argument;
    (void)sink_reply_fault(s, SINK_STAGE_NOOP, (struct str){NULL, 0});
    sink_reply(s, 250, "2.0.0", "Ok");
}

static void on_quit(struct sink_session *s, struct str argument)
{
    (void)argument;
    if (sink_reply_fault(s, SINK_STAGE_QUIT, (struct str){NULL, 0})) {
        sink_reply(s, 451, "4.3.0", "Refused");
        return;
    }
    sink_reply(s, 221, "2.0.0", "Bye");
    if (s->want == SINK_WANT_INPUT)
        s->want = SINK_WANT_CLOSE;
}

static void on_vrfy(struct sink_session *s, struct str argument)
{
    if (argument.len == 0)
        sink_reply_refusal(s, &needs_argument);
    else
        sink_reply(s, 252, "2.5.2", "Send some mail, it will be swallowed");
}

static void on_expn(struct sink_session *s, struct str argument)
{
    (void)argument;
    sink_reply_refusal(s, &not_offered);
}

static void on_help(struct sink_session *s, struct str argument)
{
    (void)argument;
    sink_reply(s, 214, "2.0.0", "This is postrider-sink, see RFC 5321");
}

static void on_auth(struct sink_session *s, struct str argument)
{
    const struct sink_refusal *refusal = NULL;
    if (!sink_session_offers(s, SINK_EXTENSION_AUTH))
        refusal = &not_offered;
    else if (!s->helloed || !s->extended)
        refusal = &no_hello;
    else if (s->user.len > 0)
        refusal = &auth_twice;
    else if (s->envelope.open)
        refusal = &in_transaction;
    else if (!offers_auth(s))
        refusal = &auth_over_tls;
    else if (argument.len == 0)
        refusal = &needs_argument;
    if (refusal != NULL)
        sink_reply_refusal(s, refusal);
    else
        sink_auth_command(s, argument);
}

static void on_starttls(struct sink_session *s, struct str argument)
{
    const struct sink_refusal *refusal = NULL;
    (void)argument;
    if (s->tls_version != NULL)
        refusal = &tls_twice;
    else if (!offers_starttls(s))
        refusal = &not_offered;
    else if (!s->helloed || !s->extended)
        refusal = &no_hello;
    else if (s->more)
        refusal = &tls_pipelined;
    if (refusal != NULL) {
        sink_reply_refusal(s, refusal);
        return;
    }
    if (sink_reply_fault(s, SINK_STAGE_STARTTLS, (struct str){NULL, 0})) {
        sink_reply(s, 454, "4.7.0", "Refused");
        return;
    }
    sink_reply(s, 220, "2.0.0", "Go ahead");
    if (s->want == SINK_WANT_INPUT)
        s->want = SINK_WANT_TLS;
}

typedef void (*handler_fn)(struct sink_session *s, struct str argument);

static const struct {
    handler_fn run;
    bool bare; /* takes no argument */
} handlers[SINK_VERB_COUNT] = {
    [SINK_VERB_EHLO] = {on_ehlo, false},
    [SINK_VERB_HELO] = {on_helo, false},
    [SINK_VERB_MAIL] = {on_mail, false},
    [SINK_VERB_RCPT] = {on_rcpt, false},
    [SINK_VERB_DATA] = {on_data, true},
    [SINK_VERB_BDAT] = {on_bdat, false},
    [SINK_VERB_RSET] = {on_rset, true},
    [SINK_VERB_NOOP] = {on_noop, false},
    [SINK_VERB_QUIT] = {on_quit, true},
    [SINK_VERB_VRFY] = {on_vrfy, false},
    [SINK_VERB_EXPN] = {on_expn, false},
    [SINK_VERB_HELP] = {on_help, false},
    [SINK_VERB_AUTH] = {on_auth, false},
    [SINK_VERB_STARTTLS] = {on_starttls, true},
};

void sink_handlers_run(struct sink_session *s, struct str line)
{
    struct sink_command command = sink_command_parse(line);
    s->last_verb = command.verb;
    if (handlers[command.verb].run == NULL)
        sink_reply_refusal(s, &unknown);
    else if (handlers[command.verb].bare && command.argument.len > 0)
        sink_reply_refusal(s, &no_argument);
    else
        handlers[command.verb].run(s, command.argument);
}
