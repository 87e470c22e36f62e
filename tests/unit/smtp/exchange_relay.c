#include "tests/unit/smtp/exchange_relay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define INPUT_MAX (64U << 20)

void exchange_relay_init(struct exchange_relay *x,
                         const struct exchange_options *options,
                         struct exchange_result *result)
{
    *x = (struct exchange_relay){.options = options, .result = result};
    buf_init(&x->in, INPUT_MAX);
    buf_init(&x->out, INPUT_MAX);
    buf_init(&x->message, INPUT_MAX);
    buf_add_text(&x->out, "220 relay\r\n");
}

void exchange_relay_fini(struct exchange_relay *x)
{
    buf_fini(&x->in);
    buf_fini(&x->out);
    buf_fini(&x->message);
}

static const struct exchange_rule *rule_of(const struct exchange_relay *x,
                                           size_t mail, enum smtp_stage stage,
                                           size_t recipient)
{
    for (size_t i = 0; i < EXCHANGE_RULES; i++) {
        const struct exchange_rule *rule = &x->options->rules[i];
        if (rule->reply == NULL)
            return NULL;
        if (rule->mail == mail && rule->stage == stage &&
            (stage != SMTP_STAGE_RCPT || rule->recipient == recipient))
            return rule;
    }
    return NULL;
}

/* Returns whether it is a yes. */
static bool answer(struct exchange_relay *x, size_t mail, enum smtp_stage stage,
                   size_t recipient, const char *usual)
{
    struct exchange_result *r = x->result;
    const struct exchange_rule *rule = rule_of(x, mail, stage, recipient);
    const char *reply = rule == NULL ? usual : rule->reply;
    buf_add_text(&x->out, reply);
    if (rule != NULL && rule->close)
        x->closes = true;
    if (r->answer_count < 512)
        r->answers[r->answer_count++] = (struct exchange_answer){
            .mail = mail, .stage = stage, .end = r->replied + x->out.len};
    return reply[0] == '2' || reply[0] == '3';
}

static size_t number_in(struct str line, const char *before)
{
    const char *at = memmem(line.data, line.len, before, strlen(before));
    unsigned long long number = 0;
    assert_non_null(at);
    struct str rest =
        str_after(line, (size_t)(at - line.data) + strlen(before));
    size_t digits = 0;
    while (digits < rest.len && ascii_is_digit(rest.data[digits]))
        digits++;
    assert_true(str_to_u64(str_of(rest.data, digits), 1U << 30, &number));
    return (size_t)number;
}

static void on_mail(struct exchange_relay *x, struct str line)
{
    bool nested = x->envelope.open;
    /* nobody's transaction may be open when another's begins */
    assert_true(!nested || x->rset_refused);
    assert_int_equal(number_in(line, "<s"), x->next_mail);
    x->envelope = (struct exchange_envelope){.mail = x->next_mail++};
    x->envelope.open = answer(x, x->envelope.mail, SMTP_STAGE_MAIL, 0,
                              nested ? "503 nested\r\n" : "250 ok\r\n");
}

static void on_rcpt(struct exchange_relay *x, struct str line)
{
    struct exchange_envelope *e = &x->envelope;
    assert_int_equal(number_in(line, "m"), e->mail);
    if (answer(x, e->mail, SMTP_STAGE_RCPT, number_in(line, "<r"),
               e->open ? "250 ok\r\n" : "503 no MAIL\r\n"))
        e->accepted++;
}

static void on_data(struct exchange_relay *x)
{
    struct exchange_envelope *e = &x->envelope;
    x->in_data =
        answer(x, e->mail, SMTP_STAGE_DATA, 0,
               e->open && e->accepted > 0 ? "354 go\r\n" : "554 nobody\r\n");
}

static void on_rset(struct exchange_relay *x)
{
    x->rset_refused =
        !answer(x, x->next_mail, SMTP_STAGE_RSET, 0, "250 ok\r\n");
    if (!x->rset_refused)
        x->envelope.open = false;
}

static void on_command(struct exchange_relay *x, struct str line)
{
    x->commands++;
    if (!x->options->pipelining)
        assert_int_equal(x->commands, 1);
    if (str_starts(line, STR("MAIL FROM:")))
        on_mail(x, line);
    else if (str_starts(line, STR("RCPT TO:")))
        on_rcpt(x, line);
    else if (str_equal(line, STR("DATA")))
        on_data(x);
    else if (str_starts(line, STR("BDAT "))) {
        x->chunk_left = number_in(line, "BDAT ");
        x->in_chunk = true;
    } else if (str_equal(line, STR("RSET")))
        on_rset(x);
    else if (str_equal(line, STR("QUIT"))) {
        buf_add_text(&x->out, "221 bye\r\n");
        x->closes = true;
    } else
        fail_msg("no such command: %.*s", STR_ARG(line));
}

static void check_message(struct exchange_relay *x)
{
    struct buf want;
    size_t mail = x->envelope.mail;
    assert_true(mail < EXCHANGE_MAILS);
    if (x->options->body == NULL) {
        buf_init(&want, 4096);
        exchange_body(&want, mail);
        assert_true(str_equal(buf_str(&want), buf_str(&x->message)));
        buf_fini(&want);
    }
    assert_false(x->result->taken[mail]);
    x->result->taken[mail] = true;
    buf_add_str(&x->result->took, buf_str(&x->message));
}

static void on_message(struct exchange_relay *x)
{
    struct exchange_envelope *e = &x->envelope;
    bool is_one = e->open && e->accepted > 0;
    bool yes = answer(x, e->mail, SMTP_STAGE_FINAL, 0,
                      is_one ? "250 taken\r\n" : "554 nobody\r\n");
    if (is_one && yes)
        check_message(x);
    /* One that keeps the transaction of a chunk that failed: RFC 3030. */
    if (x->in_data || yes)
        e->open = false;
    x->in_data = false;
    x->in_chunk = false;
    buf_truncate(&x->message, 0);
}

static void on_line_of_data(struct exchange_relay *x, struct str line)
{
    if (str_equal(line, STR("."))) {
        on_message(x);
        return;
    }
    if (line.len > 0 && line.data[0] == '.')
        line = str_after(line, 1);
    buf_add_str(&x->message, line);
    buf_add_text(&x->message, "\r\n");
}

static bool take_line(struct exchange_relay *x, size_t *used)
{
    struct str rest = str_after(buf_str(&x->in), *used);
    const char *end =
        rest.len < 2 ? NULL : memmem(rest.data, rest.len, "\r\n", 2);
    if (end == NULL)
        return false;
    struct str line = str_of(rest.data, (size_t)(end - rest.data));
    *used += line.len + 2;
    if (!x->greeted) {
        assert_true(str_starts(line, STR("EHLO ")));
        buf_add_format(&x->out, "250-relay\r\n%s%s250 HELP\r\n",
                       x->options->pipelining ? "250-PIPELINING\r\n" : "",
                       x->options->chunking ? "250-CHUNKING\r\n" : "");
        x->greeted = true;
    } else if (x->in_data) {
        on_line_of_data(x, line);
    } else {
        on_command(x, line);
    }
    return true;
}

static bool take_chunk(struct exchange_relay *x, size_t *used)
{
    struct str rest = str_after(buf_str(&x->in), *used);
    size_t n = rest.len < x->chunk_left ? rest.len : (size_t)x->chunk_left;
    if (n > 0)
        buf_add(&x->message, rest.data, n);
    *used += n;
    x->chunk_left -= n;
    if (x->chunk_left > 0)
        return false;
    on_message(x);
    return true;
}

void exchange_relay_work(struct exchange_relay *x)
{
    size_t used = 0;
    x->commands = 0;
    while (!x->closes &&
           (x->in_chunk ? take_chunk(x, &used) : take_line(x, &used)))
        continue;
    buf_consume(&x->in, used);
}
