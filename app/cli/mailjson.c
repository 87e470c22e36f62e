#include "app/cli/mailjson.h"

#include <errno.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "app/cli/cli_json.h"
#include "app/cli/content_type.h"
#include "core/file.h"
#include "core/mem.h"
#include "core/str.h"
#include "core/timetext.h"
#include "core/utf8.h"

#define READ_BYTES 65536U

struct builder {
    const struct mail_options *mail;
    int input;
    int64_t now_ms;
    struct cli_json json;
    struct err *err;
};

static int wrong(struct builder *b, const char *option, const char *value,
                 const char *why)
{
    (void)err_set(b->err, ERR_INVALID, "--%s %s: %s", option, value, why);
    return EX_USAGE;
}

static int check_utf8(struct builder *b, const char *option, struct str value)
{
    if (utf8_is_valid(value))
        return EX_OK;
    (void)err_set(b->err, ERR_INVALID, "--%s %.*s: this is not UTF-8", option,
                  STR_ARG(value));
    return EX_USAGE;
}

static int add_text(struct builder *b, const char *option, const char *name,
                    const char *value)
{
    if (value == NULL)
        return EX_OK;
    int code = check_utf8(b, option, str_from(value));
    if (code == EX_OK)
        cli_json_pair(&b->json, name, value);
    return code;
}

static int add_list(struct builder *b, const char *option, const char *name,
                    const struct text_list *list)
{
    if (list->count == 0)
        return EX_OK;
    cli_json_name(&b->json, str_from(name));
    cli_json_open(&b->json, '[');
    for (size_t i = 0; i < list->count; i++) {
        int code = check_utf8(b, option, str_from(list->items[i]));
        if (code != EX_OK)
            return code;
        cli_json_text(&b->json, str_from(list->items[i]));
    }
    cli_json_close(&b->json, ']');
    return EX_OK;
}

/* The name before the sign, and whether an item before has the same. */
static struct str name_part(const char *item, char sign)
{
    return str_trim(str_of(item, str_find(str_from(item), sign)));
}

static bool is_repeated(const struct text_list *list, size_t index, char sign)
{
    for (size_t i = 0; i < index; i++)
        if (str_equal(name_part(list->items[i], sign),
                      name_part(list->items[index], sign)))
            return true;
    return false;
}

/* An object of the items, each of which is NAME sign VALUE. */
static int add_pairs(struct builder *b, const char *option, const char *member,
                     const struct text_list *list, char sign)
{
    if (list->count == 0)
        return EX_OK;
    cli_json_name(&b->json, str_from(member));
    cli_json_open(&b->json, '{');
    for (size_t i = 0; i < list->count; i++) {
        struct str item = str_from(list->items[i]);
        struct str name = name_part(item.data, sign);
        if (str_find(item, sign) == item.len || name.len == 0)
            return wrong(b, option, item.data,
                         sign == ':' ? "write 'Name: value'"
                                     : "write KEY=VALUE");
        if (is_repeated(list, i, sign))
            return wrong(b, option, item.data,
                         "the same name was given before");
        int code = check_utf8(b, option, item);
        if (code != EX_OK)
            return code;
        struct str value = str_after(item, str_find(item, sign) + 1);
        cli_json_name(&b->json, name);
        cli_json_text(&b->json, sign == ':' ? str_trim(value) : value);
    }
    cli_json_close(&b->json, '}');
    return EX_OK;
}

static int add_time(struct builder *b, const char *option, const char *name,
                    const char *value)
{
    int64_t ms;
    char text[TIMETEXT_RFC3339_MAX];
    if (value == NULL)
        return EX_OK;
    if (timetext_parse_rfc3339(str_from(value), &ms) == ERR_NONE) {
        cli_json_pair(&b->json, name, value);
        return EX_OK;
    }
    if (timetext_parse_duration(str_from(value), &ms, NULL) != ERR_NONE)
        return wrong(b, option, value,
                     "write a time as 2026-11-20T14:00:00Z, or how long from "
                     "now, as 90m");
    timetext_rfc3339(b->now_ms + ms, text);
    cli_json_pair(&b->json, name, text);
    return EX_OK;
}

static enum err_code read_input(int fd, struct buf *out, struct err *err)
{
    for (;;) {
        char *room = buf_reserve(out, READ_BYTES);
        if (room == NULL)
            return err_set(err, ERR_TOO_LARGE,
                           "standard input is larger than %zu bytes", out->max);
        ssize_t n = read(fd, room, READ_BYTES);
        if (n == 0)
            return ERR_NONE;
        if (n < 0 && errno != EINTR)
            return err_system(err, errno, "cannot read standard input");
        out->len += n > 0 ? (size_t)n : 0;
    }
}

static int read_file(struct builder *b, const char *path, struct buf *out)
{
    enum err_code code = strcmp(path, "-") == 0
                             ? read_input(b->input, out, b->err)
                             : file_read(path, out, b->err);
    if (code == ERR_NONE)
        return EX_OK;
    return code == ERR_TOO_LARGE ? EX_DATAERR : EX_NOINPUT;
}

static size_t first_invalid(struct str s)
{
    size_t at = 0;
    size_t step;
    while ((step = utf8_next(s, at, NULL)) > 0)
        at += step;
    return at;
}

static int add_contents(struct builder *b, const char *name, const char *path)
{
    struct buf contents;
    if (path == NULL)
        return EX_OK;
    buf_init(&contents, MAILJSON_MAX);
    int code = read_file(b, path, &contents);
    if (code == EX_OK && !utf8_is_valid(buf_str(&contents))) {
        (void)err_set(b->err, ERR_INVALID,
                      "%s is not UTF-8 at byte %zu: convert it (iconv -t "
                      "UTF-8), or send it with --attach",
                      strcmp(path, "-") == 0 ? "standard input" : path,
                      first_invalid(buf_str(&contents)));
        code = EX_DATAERR;
    }
    if (code == EX_OK) {
        cli_json_name(&b->json, str_from(name));
        cli_json_text(&b->json, buf_str(&contents));
    }
    buf_fini(&contents);
    return code;
}

/*
 * FILE:SUFFIX into its halves. A file whose whole name this is, is meant
 * first; suffix is empty then.
 */
static char *split_file(const char *item, struct str *suffix)
{
    struct str whole = str_from(item);
    const char *colon = strrchr(item, ':');
    *suffix = str_from(NULL);
    if (colon == NULL || colon == item || access(item, F_OK) == 0)
        return mem_strdup(whole);
    *suffix = str_after(whole, (size_t)(colon - item) + 1);
    return mem_strdup(str_of(item, (size_t)(colon - item)));
}

static struct str base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return str_from(slash == NULL ? path : slash + 1);
}

static int add_part(struct builder *b, const char *item, bool is_inline)
{
    struct str suffix;
    struct buf contents;
    const char *option = is_inline ? "inline" : "attach";
    char *path = split_file(item, &suffix);
    struct str name = base_name(path);
    int code = check_utf8(b, option, str_from(item));
    buf_init(&contents, MAILJSON_MAX);
    if (code == EX_OK)
        code = read_file(b, path, &contents);
    if (code == EX_OK) {
        bool has_type = !is_inline && suffix.len > 0;
        cli_json_open(&b->json, '{');
        cli_json_name(&b->json, STR("filename"));
        cli_json_text(&b->json, name);
        cli_json_name(&b->json, STR("content_type"));
        cli_json_text(&b->json,
                      has_type ? suffix : str_from(content_type_of(name)));
        if (is_inline) {
            cli_json_name(&b->json, STR("content_id"));
            cli_json_text(&b->json, suffix.len > 0 ? suffix : name);
        }
        cli_json_name(&b->json, STR("content"));
        cli_json_base64(&b->json, buf_str(&contents));
        cli_json_close(&b->json, '}');
    }
    buf_fini(&contents);
    mem_free(path);
    return code;
}

static int add_parts(struct builder *b)
{
    const struct mail_options *m = b->mail;
    int code = EX_OK;
    if (m->attach.count + m->inline_part.count == 0)
        return EX_OK;
    cli_json_name(&b->json, STR("attachments"));
    cli_json_open(&b->json, '[');
    for (size_t i = 0; i < m->inline_part.count && code == EX_OK; i++)
        code = add_part(b, m->inline_part.items[i], true);
    for (size_t i = 0; i < m->attach.count && code == EX_OK; i++)
        code = add_part(b, m->attach.items[i], false);
    cli_json_close(&b->json, ']');
    return code;
}

static int add_fields(struct builder *b)
{
    const struct mail_options *m = b->mail;
    const struct {
        const char *option;
        const char *name;
        const char *value;
    } texts[] = {
        {"from", "from", m->from},
        {"subject", "subject", m->subject},
        {"priority", "priority", m->priority},
        {"route", "route", m->route},
        {"key", "idempotency_key", m->key},
        {"tag", "tag", m->tag},
        {"on-unknown", "on_unknown", m->on_unknown},
    };
    const struct {
        const char *option;
        const char *name;
        const struct text_list *list;
    } lists[] = {
        {"to", "to", &m->to},
        {"cc", "cc", &m->cc},
        {"bcc", "bcc", &m->bcc},
        {"reply-to", "reply_to", &m->reply_to},
    };
    int code = EX_OK;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && !code; i++)
        code = add_text(b, texts[i].option, texts[i].name, texts[i].value);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]) && !code; i++)
        code = add_list(b, lists[i].option, lists[i].name, lists[i].list);
    if (code == EX_OK)
        code = add_pairs(b, "header", "headers", &m->header, ':');
    if (code == EX_OK)
        code = add_pairs(b, "meta", "metadata", &m->meta, '=');
    if (code == EX_OK)
        code = add_time(b, "send-at", "send_at", m->send_at);
    if (code == EX_OK)
        code = add_time(b, "expires-at", "expires_at", m->expires_at);
    return code;
}

static int check_needs(struct builder *b)
{
    const struct mail_options *m = b->mail;
    const char *missing = NULL;
    if (m->from == NULL)
        missing = "--from is missing: who sends this mail?";
    else if (m->to.count + m->cc.count + m->bcc.count == 0)
        missing = "no recipient: give --to, --cc or --bcc";
    else if (m->text != NULL && m->html != NULL && strcmp(m->text, "-") == 0 &&
             strcmp(m->html, "-") == 0)
        missing = "--text and --html cannot both be standard input";
    if (missing == NULL)
        return EX_OK;
    (void)err_set(b->err, ERR_INVALID, "%s", missing);
    return EX_USAGE;
}

static bool is_default_input(const struct mail_options *mail)
{
    return mail->text == NULL && mail->html == NULL;
}

bool mailjson_reads_input(const struct mail_options *mail)
{
    return is_default_input(mail) ||
           (mail->text != NULL && strcmp(mail->text, "-") == 0) ||
           (mail->html != NULL && strcmp(mail->html, "-") == 0);
}

int mailjson_build(const struct mail_options *mail, int input, int64_t now_ms,
                   struct buf *out, struct err *err)
{
    struct builder b = {mail, input, now_ms, cli_json_to(out), err};
    int code = check_needs(&b);
    cli_json_open(&b.json, '{');
    if (code == EX_OK)
        code = add_fields(&b);
    if (code == EX_OK)
        code =
            add_contents(&b, "text", is_default_input(mail) ? "-" : mail->text);
    if (code == EX_OK)
        code = add_contents(&b, "html", mail->html);
    if (code == EX_OK)
        code = add_parts(&b);
    cli_json_close(&b.json, '}');
    if (code == EX_OK && !buf_ok(out)) {
        (void)err_set(err, ERR_TOO_LARGE,
                      "the mail is larger than %zu bytes as a request",
                      out->max);
        code = EX_DATAERR;
    }
    return code;
}
