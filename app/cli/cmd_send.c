#include <stddef.h>
#include <sysexits.h>
#include <unistd.h>

#include "app/cli/commands.h"
#include "app/cli/exchange.h"
#include "app/cli/mailjson.h"
#include "app/cli/show.h"
#include "app/cli/show_job.h"
#include "core/clock.h"
#include "core/id.h"

#define WAIT_MAX_MS (7LL * 24 * 3600 * 1000)

#define MEMBER(member) offsetof(struct mail_options, member)
#define TEXT_ROW(option, member, what, words)                                  \
    {                                                                          \
        .name = (option), .kind = OPTION_TEXT, .offset = MEMBER(member),       \
        .argument = (what), .help = (words)                                    \
    }
#define LIST_ROW(option, member, what, words)                                  \
    {                                                                          \
        .name = (option), .kind = OPTION_LIST, .offset = MEMBER(member),       \
        .argument = (what), .help = (words)                                    \
    }

static const struct option_spec send_options[] = {
    TEXT_ROW("from", from, "MAILBOX", "a@x.org or 'Name <a@x.org>'; required"),
    LIST_ROW("to", to, "MAILBOXES",
             "recipients, with commas between or many times"),
    LIST_ROW("cc", cc, "MAILBOXES", "the same, named under Cc"),
    LIST_ROW("bcc", bcc, "MAILBOXES", "the same, named nowhere"),
    LIST_ROW("reply-to", reply_to, "MAILBOXES", "where answers are to go"),
    TEXT_ROW("subject", subject, "TEXT", "in UTF-8, as all texts"),
    TEXT_ROW("text", text, "FILE",
             "the text; - is standard input, which is read when\n"
             "neither --text nor --html is given"),
    TEXT_ROW("html", html, "FILE", "the same mail in HTML; - as above"),
    LIST_ROW("attach", attach, "FILE[:TYPE]",
             "attach a file; its name's ending says its type\n"
             "unless TYPE does, as in data:text/csv"),
    LIST_ROW("inline", inline_part, "FILE[:CID]",
             "a file that the HTML shows by 'cid:CID'; without\n"
             "CID by 'cid:' and the file's name"),
    LIST_ROW("header", header, "'NAME: VALUE'", "one more header field"),
    TEXT_ROW("priority", priority, "WORD", "high, normal or low"),
    TEXT_ROW("send-at", send_at, "TIME",
             "not before: 2026-11-20T14:00:00Z, or from now: 90m"),
    TEXT_ROW("expires-at", expires_at, "TIME", "not after, written as above"),
    TEXT_ROW("route", route, "NAME", "a route of the daemon's config"),
    TEXT_ROW("key", key, "TEXT",
             "idempotency key: the same mail sent again under\n"
             "the same key is the same job, not a second one"),
    TEXT_ROW("tag", tag, "TEXT", "carried along, shown in status"),
    LIST_ROW("meta", meta, "KEY=VALUE", "carried along, shown in status"),
    TEXT_ROW("on-unknown", on_unknown, "WORD",
             "retry or hold, when the relay's answer to the\n"
             "whole mail is lost"),
    {.name = "wait",
     .kind = OPTION_DURATION,
     .offset = MEMBER(wait_ms),
     .min = 1,
     .max = WAIT_MAX_MS,
     .argument = "TIME",
     .when_alone = "30s",
     .help = "wait until it is settled, so long at most (30s if\n"
             "not said), and show what became of it"},
};

static const char send_details[] = "Prints the job's id first, then how it is "
                                   "kept. With --wait it exits 0 when\n"
                                   "all recipients have the mail, 65 when it "
                                   "failed, expired or was cancelled,\n"
                                   "75 when it still waits.\n"
                                   "If the answer is lost (75), the mail may "
                                   "have been accepted all the same:\n"
                                   "with --key it is safe to send it again.\n";

static void print_accepted(struct cli *cli, const struct reply *r)
{
    show_text(cli->out, r->id);
    (void)fputc(' ', cli->out);
    show_text(cli->out, r->state);
    if (r->durable.len > 0) {
        (void)fputs(str_equal(r->durable, STR("memory")) ? ", kept in "
                                                         : ", kept on ",
                    cli->out);
        show_text(cli->out, r->durable);
    }
    if (r->duplicate)
        (void)fputs(", accepted before under this key", cli->out);
    (void)fputc('\n', cli->out);
    (void)fflush(cli->out);
}

static int wait_for(struct cli *cli, struct exchange *x, int64_t for_ms)
{
    struct id id;
    /* A copy: the next request overwrites the reply. */
    if (!id_parse(x->reply.id, &id)) {
        cli_complain(cli, "the daemon named no id to wait for");
        return EX_PROTOCOL;
    }
    int code = exchange_wait(cli, x, id.text, for_ms);
    if (code == EX_OK)
        code = exchange_check(cli, x);
    if (code != EX_OK)
        return code;
    if (!cli->json)
        show_job(cli->out, jsontree_get(x->reply.root, "job", JSON_OBJECT),
                 clock_real_ms(clock_system()));
    return exchange_wait_result(cli, x);
}

static int submit(struct cli *cli, const struct mail_options *mail,
                  struct str request)
{
    struct exchange x = {0};
    int code = exchange_ask(cli, &x, request, 0);
    if (code == EX_TEMPFAIL && mail->key == NULL)
        cli_complain(cli, "the mail may have been accepted: only with --key "
                          "it is safe to send it again");
    if (code == EX_OK)
        code = exchange_check(cli, &x);
    if (code == EX_OK && !cli->json)
        print_accepted(cli, &x.reply);
    if (code == EX_OK && mail->wait_ms > 0)
        code = wait_for(cli, &x, mail->wait_ms);
    exchange_fini(&x);
    return code;
}

static int run(struct cli *cli, const void *options, char **operands)
{
    struct mail_options mail = *(const struct mail_options *)options;
    struct id key;
    struct buf request;
    struct err err;
    int64_t now_ms = clock_real_ms(clock_system());
    (void)operands;
    if (cli->endpoint.kind == ENDPOINT_UDP && mail.wait_ms > 0) {
        cli_complain(cli, "--wait needs a connection: use unix:PATH or "
                          "tcp:HOST:PORT");
        return EX_USAGE;
    }
    /* A datagram is sent again when no answer comes: it must stay one job. */
    id_new(&key, now_ms);
    if (cli->endpoint.kind == ENDPOINT_UDP && mail.key == NULL)
        mail.key = key.text;
    if (mailjson_reads_input(&mail) && isatty(cli->in) == 1)
        (void)fputs("type the message, end with Ctrl-D\n", cli->err);
    buf_init(&request, MAILJSON_MAX);
    int code = mailjson_build(&mail, cli->in, now_ms, &request, &err);
    if (code == EX_OK)
        code = submit(cli, &mail, buf_str(&request));
    else
        cli_complain(cli, "%s%s", err.text,
                     code == EX_USAGE ? ": see 'postrider send --help'" : "");
    buf_fini(&request);
    return code;
}

const struct cli_command *cmd_send(void)
{
    static const struct cli_command command = {
        .name = "send",
        .operands = "",
        .summary = "send a mail; its text comes from standard input",
        .details = send_details,
        .options = send_options,
        .option_count = sizeof(send_options) / sizeof(send_options[0]),
        .options_size = sizeof(struct mail_options),
        .run = run,
    };
    return &command;
}
