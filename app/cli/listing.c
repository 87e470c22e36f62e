#include "app/cli/listing.h"

#include <string.h>
#include <sysexits.h>

#include "app/cli/cli_json.h"
#include "core/buf.h"
#include "core/timetext.h"
#include "core/utf8.h"

#define PAGE_MAX    1000 /* jobs that a daemon gives at once */
#define REQUEST_MAX 65536U

void listing_begin(struct listing *l, struct cli *cli, struct exchange *x,
                   const struct listing_filter *filter, int64_t limit)
{
    *l = (struct listing){
        .cli = cli,
        .x = x,
        .filter = filter,
        .more = true,
        .left = limit > 0 ? limit : INT64_MAX,
    };
}

static void add_states(struct cli_json *j, const struct text_list *states)
{
    cli_json_name(j, STR("state"));
    cli_json_open(j, '[');
    for (size_t i = 0; i < states->count; i++) {
        struct str rest = str_from(states->items[i]);
        while (rest.len > 0) {
            size_t end = str_find(rest, ',');
            cli_json_text(j, str_of(rest.data, end));
            rest = str_after(rest, end + 1);
        }
    }
    cli_json_close(j, ']');
}

static void add_older(struct cli_json *j, int64_t ms)
{
    struct buf text;
    buf_init(&text, 64);
    timetext_add_duration(&text, ms);
    cli_json_name(j, STR("older"));
    cli_json_text(j, buf_str(&text));
    buf_fini(&text);
}

static bool is_sendable(const struct listing_filter *f)
{
    for (size_t i = 0; i < f->states.count; i++)
        if (!utf8_is_valid(str_from(f->states.items[i])))
            return false;
    return utf8_is_valid(str_from(f->relay)) && utf8_is_valid(str_from(f->tag));
}

static void add_request(struct buf *out, const struct listing *l)
{
    const struct listing_filter *f = l->filter;
    struct cli_json j = cli_json_to(out);
    cli_json_open(&j, '{');
    cli_json_pair(&j, "op", "list");
    if (f->states.count > 0)
        add_states(&j, &f->states);
    cli_json_pair(&j, "relay", f->relay);
    cli_json_pair(&j, "tag", f->tag);
    if (f->older_ms > 0)
        add_older(&j, f->older_ms);
    cli_json_name(&j, STR("limit"));
    cli_json_int(&j, l->left < PAGE_MAX ? l->left : PAGE_MAX);
    if (l->after[0] != '\0')
        cli_json_pair(&j, "after", l->after);
    cli_json_close(&j, '}');
}

static int ask(struct listing *l)
{
    struct buf request;
    int code = EX_USAGE;
    buf_init(&request, REQUEST_MAX);
    if (is_sendable(l->filter))
        add_request(&request, l);
    if (request.len == 0 || !buf_ok(&request))
        cli_complain(l->cli, "no job has such a state, relay or tag");
    else
        code = exchange_ask(l->cli, l->x, buf_str(&request), 0);
    buf_fini(&request);
    return code;
}

/* A daemon that gives the same page for ever must not keep us. */
static bool note_page(struct listing *l, const struct json_node *jobs)
{
    struct str after = jsontree_text(l->x->reply.root, "after");
    l->more = jsontree_true(l->x->reply.root, "more");
    for (const struct json_node *n = jobs->first; n != NULL; n = n->next)
        l->left--;
    if (!l->more)
        return true;
    if (after.len == 0 || after.len > LISTING_AFTER_MAX ||
        str_equal(after, str_from(l->after)) ||
        memchr(after.data, '\0', after.len) != NULL)
        return false;
    memcpy(l->after, after.data, after.len);
    l->after[after.len] = '\0';
    return true;
}

int listing_next(struct listing *l, const struct json_node **jobs)
{
    *jobs = NULL;
    if (!l->more || l->left <= 0)
        return EX_OK;
    int code = ask(l);
    if (code == EX_OK && (!l->quiet || !l->x->reply.ok))
        code = exchange_check(l->cli, l->x);
    if (code != EX_OK)
        return code;
    *jobs = jsontree_get(l->x->reply.root, "jobs", JSON_ARRAY);
    if (*jobs != NULL && note_page(l, *jobs))
        return EX_OK;
    *jobs = NULL;
    cli_complain(l->cli, "the daemon's answer to list makes no sense");
    return EX_PROTOCOL;
}
