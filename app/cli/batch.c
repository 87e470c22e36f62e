#include "app/cli/batch.h"

#include <sysexits.h>

#include "app/cli/cli_json.h"
#include "app/cli/reply.h"
#include "app/cli/show.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/mem.h"

#define REQUEST_MAX 65536U

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

static void complain(struct batch *b, const char *id, const struct reply *reply)
{
    int64_t complaints = b->refused + b->temporary;
    if (complaints == BATCH_SHOWN + 1)
        cli_complain(b->cli, "more were refused: they are counted, not shown");
    if (complaints > BATCH_SHOWN)
        return;
    (void)fputs("postrider: ", b->cli->err);
    show_text(b->cli->err, str_from(id));
    (void)fputs(": ", b->cli->err);
    reply_print_error(b->cli->err, reply);
    (void)fputc('\n', b->cli->err);
}

static void count(struct batch *b, const char *id, const struct reply *reply)
{
    if (reply->ok && jsontree_get(reply->root, "changed", JSON_BOOL) != NULL &&
        !jsontree_true(reply->root, "changed")) {
        b->unchanged++;
        return;
    }
    if (reply->ok) {
        b->changed++;
        return;
    }
    int code = reply_exit_code(reply);
    if (code == EX_TEMPFAIL)
        b->temporary++;
    else
        b->refused++;
    if (code == EX_NOPERM)
        b->denied++;
    complain(b, id, reply);
}

/* Complains of the lost daemon; the exit code. */
static int lose(struct batch *b, const struct err *err)
{
    int code = cli_no_answer(b->cli, err);
    cli_complain(b->cli,
                 "%zu not answered, so possibly done all the same; asking "
                 "again does no harm",
                 b->count);
    return code;
}

static int wait_line(struct batch *b, struct str *line)
{
    struct err err = {0};
    int64_t until_ms = now_ms() + b->cli->timeout_ms;
    while (!client_next(b->client, line)) {
        enum err_code code = ERR_TIMEOUT;
        if (now_ms() < until_ms)
            code = client_step(b->client, NULL, 0, until_ms, &err);
        else
            (void)err_set(&err, ERR_TIMEOUT,
                          "%s gave no answer within the time allowed "
                          "(--timeout)",
                          b->cli->endpoint.text);
        if (code != ERR_NONE)
            return lose(b, &err);
    }
    return EX_OK;
}

static int take_answer(struct batch *b)
{
    struct err err = {0};
    struct reply reply;
    struct str line;
    int code = wait_line(b, &line);
    if (code != EX_OK)
        return code;
    if (reply_parse(line, &reply, &err) != ERR_NONE)
        return lose(b, &err);
    char *id = b->ids[b->first];
    b->first = (b->first + 1) % BATCH_IN_FLIGHT;
    b->count--;
    if (b->cli->json)
        (void)fprintf(b->cli->out, "%.*s\n", STR_ARG(line));
    count(b, id, &reply);
    mem_free(id);
    reply_fini(&reply);
    return EX_OK;
}

static int send_one(struct batch *b, struct str id)
{
    struct err err = {0};
    struct buf request;
    buf_init(&request, REQUEST_MAX + id.len * 6);
    struct cli_json j = cli_json_to(&request);
    cli_json_open(&j, '{');
    cli_json_pair(&j, "op", b->op);
    cli_json_name(&j, STR("id"));
    cli_json_text(&j, id);
    cli_json_close(&j, '}');
    enum err_code code = client_queue(b->client, buf_str(&request), &err);
    buf_fini(&request);
    return code == ERR_NONE ? EX_OK : lose(b, &err);
}

int batch_add(struct batch *b, struct str id)
{
    int code = EX_OK;
    if (b->count == BATCH_IN_FLIGHT)
        code = take_answer(b);
    if (code == EX_OK)
        code = send_one(b, id);
    if (code != EX_OK)
        return code;
    size_t at = (b->first + b->count++) % BATCH_IN_FLIGHT;
    b->ids[at] = mem_alloc(id.len + 1);
    memcpy(b->ids[at], id.data, id.len);
    b->ids[at][id.len] = '\0';
    return EX_OK;
}

int batch_finish(struct batch *b)
{
    int code = EX_OK;
    while (code == EX_OK && b->count > 0)
        code = take_answer(b);
    return code;
}

int batch_exit_code(const struct batch *b)
{
    if (b->temporary > 0)
        return EX_TEMPFAIL;
    if (b->refused > 0)
        return b->denied == b->refused ? EX_NOPERM : EX_DATAERR;
    return EX_OK;
}

void batch_fini(struct batch *b)
{
    for (; b->count > 0; b->count--) {
        mem_free(b->ids[b->first]);
        b->first = (b->first + 1) % BATCH_IN_FLIGHT;
    }
}
