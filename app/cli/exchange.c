#include "app/cli/exchange.h"

#include <poll.h>
#include <sysexits.h>

#include "app/cli/cli_json.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/utf8.h"

/* One `wait` asks for so long: below what a daemon is likely to allow. */
#define WAIT_STEP_MS 20000
/* A daemon that answers `wait` at once is not asked without pause. */
#define WAIT_PAUSE_MS 200
#define REQUEST_MAX   65536U

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

int exchange_ask(struct cli *cli, struct exchange *x, struct str request,
                 int64_t allowed_ms)
{
    struct err err = {0};
    if (x->client == NULL && client_open(&x->client, &cli->endpoint,
                                         cli->timeout_ms, &err) != ERR_NONE)
        return cli_no_daemon(cli, &err);
    reply_fini(&x->reply);
    int64_t until_ms = now_ms() + cli->timeout_ms + allowed_ms;
    if (client_call(x->client, request, until_ms, &x->line, &err) != ERR_NONE)
        return cli_no_answer(cli, &err);
    if (reply_parse(x->line, &x->reply, &err) != ERR_NONE) {
        (void)err_prefix(&err, "%s", cli->endpoint.text);
        return cli_no_answer(cli, &err);
    }
    return EX_OK;
}

int exchange_ask_op(struct cli *cli, struct exchange *x, const char *op,
                    const char *id, int64_t timeout_ms)
{
    struct buf request;
    if (!utf8_is_valid(str_from(id))) {
        cli_complain(cli, "\"%s\" is no job's id", id);
        return EX_USAGE;
    }
    buf_init(&request, REQUEST_MAX);
    struct cli_json j = cli_json_to(&request);
    cli_json_open(&j, '{');
    cli_json_pair(&j, "op", op);
    cli_json_pair(&j, "id", id);
    if (timeout_ms >= 0) {
        cli_json_name(&j, STR("timeout_ms"));
        cli_json_int(&j, timeout_ms);
    }
    cli_json_close(&j, '}');
    int code = EX_USAGE;
    if (buf_ok(&request))
        code = exchange_ask(cli, x, buf_str(&request),
                            timeout_ms > 0 ? timeout_ms : 0);
    else
        cli_complain(cli, "no job's id is so long");
    buf_fini(&request);
    return code;
}

int exchange_check(struct cli *cli, const struct exchange *x)
{
    const struct reply *r = &x->reply;
    if (cli->json)
        (void)fprintf(cli->out, "%.*s\n", STR_ARG(x->line));
    if (r->ok)
        return EX_OK;
    const char *hint = reply_hint(r);
    (void)fputs("postrider: refused: ", cli->err);
    reply_print_error(cli->err, r);
    if (hint != NULL)
        (void)fprintf(cli->err, " (%s)", hint);
    (void)fputc('\n', cli->err);
    return reply_exit_code(r);
}

static struct str job_state(const struct exchange *x)
{
    return jsontree_text(jsontree_get(x->reply.root, "job", JSON_OBJECT),
                         "state");
}

int exchange_wait(struct cli *cli, struct exchange *x, const char *id,
                  int64_t for_ms)
{
    int64_t until_ms = now_ms() + for_ms;
    for (;;) {
        int64_t left_ms = until_ms - now_ms();
        int64_t step_ms = left_ms < WAIT_STEP_MS ? left_ms : WAIT_STEP_MS;
        int code =
            exchange_ask_op(cli, x, "wait", id, step_ms > 0 ? step_ms : 0);
        if (code != EX_OK || !x->reply.ok ||
            reply_state_is_final(job_state(x)) || now_ms() >= until_ms)
            return code;
        (void)poll(NULL, 0, WAIT_PAUSE_MS);
    }
}

int exchange_wait_result(struct cli *cli, const struct exchange *x)
{
    int code = reply_state_exit_code(job_state(x));
    if (code != EX_TEMPFAIL)
        return code;
    if (str_equal(job_state(x), STR("held")))
        cli_complain(cli, "the job is held until a person decides: postrider "
                          "retry or drop");
    else
        cli_complain(cli, "the time to wait is over and the job not settled");
    return code;
}

void exchange_fini(struct exchange *x)
{
    reply_fini(&x->reply);
    client_close(x->client);
    *x = (struct exchange){0};
}
