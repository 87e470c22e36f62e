#include "message/compose.h"

#include <stdio.h>

#include "core/timetext.h"
#include "message/attachment.h"
#include "message/chars.h"
#include "message/extra.h"
#include "message/field.h"
#include "message/header.h"
#include "message/quote.h"
#include "message/transfer.h"

#define ID_MAX       60
#define HOSTNAME_MAX 255
#define FIELD_MAX    32

/* Neither quoted-printable nor base64 ever has this; see transfer.h. */
#define BOUNDARY_MARK "=_"

struct composer {
    const struct draft *draft;
    const struct compose_options *options;
    struct envelope *envelope;
    struct buf *out;
    struct problem *problem;
    char boundary[ID_MAX + 8]; /* what all boundaries begin with */
    bool has_parts;            /* there are boundaries */
};

static enum problem_kind check_options(const struct composer *c)
{
    struct str id = str_from(c->options->id);
    struct str hostname = str_from(c->options->hostname);
    bool good = id.len > 0 && id.len <= ID_MAX && hostname.len <= HOSTNAME_MAX;
    for (size_t i = 0; good && i < id.len; i++)
        good = chars_is_alnum(id.data[i]) || id.data[i] == '-' ||
               id.data[i] == '.';
    struct quote q;
    if (!good || !chars_is_dot_atom(id) || !chars_is_dot_atom(hostname))
        return problem_set(c->problem, PROBLEM_BAD_VALUE, "",
                           "no Message-ID can be made with the host name "
                           "\"%s\"",
                           quote_text(&q, hostname));
    return PROBLEM_NONE;
}

/* ---- header fields with mailboxes ---- */

struct list {
    const char *name;   /* in the request */
    struct str header;  /* in the message; empty: not written */
    bool is_recipients; /* belongs to the envelope */
    const struct draft_list *items;
};

static enum problem_kind refuse(struct composer *c, const struct list *list,
                                size_t index, enum problem_kind kind,
                                const char *text)
{
    char field[FIELD_MAX];
    if (list->items->is_array)
        (void)snprintf(field, sizeof(field), "%s[%zu]", list->name, index);
    else
        (void)snprintf(field, sizeof(field), "%s", list->name);
    return problem_set(c->problem, kind, field, "%s", text);
}

static enum problem_kind too_many(struct composer *c, const struct list *list,
                                  size_t index)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "there are more than %zu recipients",
                   c->options->max_recipients);
    return refuse(c, list, index, PROBLEM_TOO_MANY_RECIPIENTS, text);
}

/* The mailboxes in one string; *any: the header field was begun. */
static enum problem_kind write_item(struct composer *c, const struct list *list,
                                    size_t index, struct header *h, bool *any)
{
    struct str rest = list->items->items[index];
    do {
        struct address address;
        struct err err;
        if (address_next(rest, &address, &rest, &err) != ERR_NONE)
            return refuse(c, list, index, PROBLEM_BAD_ADDRESS, err.text);
        if (list->is_recipients) {
            (void)envelope_add(c->envelope, str_from(address.mailbox));
            if (c->envelope->count > c->options->max_recipients)
                return too_many(c, list, index);
        }
        if (list->header.len == 0)
            continue;
        if (*any)
            header_glue(h, STR(","));
        else
            header_begin(h, c->out, list->header);
        *any = true;
        field_mailbox(h, &address);
    } while (rest.len > 0);
    return PROBLEM_NONE;
}

static enum problem_kind write_list(struct composer *c, const struct list *list)
{
    struct header h;
    bool any = false;
    for (size_t i = 0; i < list->items->count; i++) {
        enum problem_kind kind = write_item(c, list, i, &h, &any);
        if (kind != PROBLEM_NONE)
            return kind;
    }
    if (any)
        header_end(&h);
    return PROBLEM_NONE;
}

static enum problem_kind write_from(struct composer *c)
{
    struct header h;
    struct address address;
    struct str rest;
    struct err err;
    if (!c->draft->has_from)
        return problem_set(c->problem, PROBLEM_MISSING_FIELD, "from",
                           "a mail needs a sender in \"from\"");
    enum err_code code = address_next(c->draft->from, &address, &rest, &err);
    if (code != ERR_NONE)
        return problem_set(c->problem, PROBLEM_BAD_ADDRESS, "from", "%s",
                           err.text);
    if (rest.len > 0)
        return problem_set(c->problem, PROBLEM_BAD_ADDRESS, "from",
                           "\"from\" must be one mailbox only");
    envelope_set_sender(c->envelope, str_from(address.mailbox));
    header_begin(&h, c->out, STR("From"));
    field_mailbox(&h, &address);
    header_end(&h);
    return PROBLEM_NONE;
}

static enum problem_kind write_mailboxes(struct composer *c)
{
    const struct draft *d = c->draft;
    const struct list lists[] = {
        {"to", STR("To"), true, &d->to},
        {"cc", STR("Cc"), true, &d->cc},
        {"bcc", STR(""), true, &d->bcc},
        {"reply_to", STR("Reply-To"), false, &d->reply_to},
    };
    enum problem_kind kind = write_from(c);
    if (kind == PROBLEM_NONE && d->to.count == 0 && d->cc.count == 0)
        buf_add_str(c->out, STR("To: undisclosed-recipients:;\r\n"));
    for (size_t i = 0; kind == PROBLEM_NONE && i < 4; i++)
        kind = write_list(c, &lists[i]);
    if (kind == PROBLEM_NONE && c->envelope->count == 0)
        kind = problem_set(c->problem, PROBLEM_MISSING_FIELD, "to",
                           "a mail needs a recipient in \"to\", \"cc\" or "
                           "\"bcc\"");
    return kind;
}

/* ---- the other header fields ---- */

static void write_date(struct composer *c)
{
    char text[TIMETEXT_RFC5322_MAX];
    timetext_rfc5322(c->options->date_ms, text);
    buf_add_str(c->out, STR("Date: "));
    buf_add_text(c->out, text);
    buf_add_str(c->out, STR("\r\n"));
}

static enum problem_kind write_subject(struct composer *c)
{
    struct header h;
    struct str subject = c->draft->subject;
    if (!c->draft->has_subject || subject.len == 0)
        return PROBLEM_NONE;
    if (chars_has_control(subject))
        return problem_set(c->problem, PROBLEM_BAD_VALUE, "subject",
                           "the subject holds a line break or another "
                           "control character");
    header_begin(&h, c->out, STR("Subject"));
    field_text(&h, subject);
    header_end(&h);
    return PROBLEM_NONE;
}

static void write_message_id(struct composer *c)
{
    buf_add_str(c->out, STR("Message-ID: <"));
    buf_add_text(c->out, c->options->id);
    buf_add_char(c->out, '@');
    buf_add_text(c->out, c->options->hostname);
    buf_add_str(c->out, STR(">\r\nMIME-Version: 1.0\r\n"));
}

static enum problem_kind write_head(struct composer *c)
{
    write_date(c);
    enum problem_kind kind = write_mailboxes(c);
    if (kind == PROBLEM_NONE)
        kind = write_subject(c);
    if (kind != PROBLEM_NONE)
        return kind;
    write_message_id(c);
    return extra_write(c->draft, c->out, c->problem);
}

/* ---- the body ---- */

/* Each level of the structure has its own boundary. */
enum level {
    LEVEL_MIXED = 1,
    LEVEL_ALTERNATIVE,
    LEVEL_RELATED,
};

static void write_boundary(struct composer *c, enum level level)
{
    buf_add_text(c->out, c->boundary);
    buf_add_char(c->out, (char)('0' + (int)level));
}

static void begin_multipart(struct composer *c, enum level level,
                            struct str type)
{
    buf_add_str(c->out, STR("Content-Type: multipart/"));
    buf_add_str(c->out, type);
    buf_add_str(c->out, STR(";\r\n boundary=\""));
    write_boundary(c, level);
    buf_add_str(c->out, STR("\"\r\n"));
}

/* The CRLF in front of a boundary belongs to it, RFC 2046 section 5.1.1. */
static void begin_part(struct composer *c, enum level level)
{
    buf_add_str(c->out, STR("\r\n--"));
    write_boundary(c, level);
    buf_add_str(c->out, STR("\r\n"));
}

static void end_multipart(struct composer *c, enum level level)
{
    buf_add_str(c->out, STR("\r\n--"));
    write_boundary(c, level);
    buf_add_str(c->out, STR("--"));
}

static void write_text(struct composer *c, struct str subtype, struct str text)
{
    struct transfer_facts facts;
    struct str forbidden = {NULL, 0};
    if (c->has_parts)
        forbidden = str_from(c->boundary);
    transfer_look(text, &facts);
    enum transfer transfer = transfer_choose(text, &facts, forbidden);
    buf_add_str(c->out, STR("Content-Type: text/"));
    buf_add_str(c->out, subtype);
    buf_add_str(c->out, STR("; charset=utf-8\r\nContent-Transfer-Encoding: "));
    buf_add_str(c->out, transfer_name(transfer));
    buf_add_str(c->out, STR("\r\n\r\n"));
    transfer_text(c->out, text, &facts, transfer);
}

static bool is_inline(const struct draft *d, size_t index)
{
    return d->has_html && d->attachments[index].has_content_id;
}

static size_t count_inline(const struct draft *d)
{
    size_t count = 0;
    for (size_t i = 0; i < d->attachment_count; i++)
        count += is_inline(d, i);
    return count;
}

static void write_attachments(struct composer *c, enum level level)
{
    const struct draft *d = c->draft;
    for (size_t i = 0; i < d->attachment_count; i++) {
        if (is_inline(d, i) != (level == LEVEL_RELATED))
            continue;
        begin_part(c, level);
        attachment_write(c->out, &d->attachments[i]);
    }
    end_multipart(c, level);
}

static void write_page(struct composer *c)
{
    if (count_inline(c->draft) == 0) {
        write_text(c, STR("html"), c->draft->html);
        return;
    }
    begin_multipart(c, LEVEL_RELATED, STR("related; type=\"text/html\""));
    begin_part(c, LEVEL_RELATED);
    write_text(c, STR("html"), c->draft->html);
    write_attachments(c, LEVEL_RELATED);
}

static void write_text_and_page(struct composer *c)
{
    const struct draft *d = c->draft;
    if (!d->has_html) {
        write_text(c, STR("plain"), d->text);
    } else if (!d->has_text) {
        write_page(c);
    } else {
        begin_multipart(c, LEVEL_ALTERNATIVE, STR("alternative"));
        begin_part(c, LEVEL_ALTERNATIVE);
        write_text(c, STR("plain"), d->text);
        begin_part(c, LEVEL_ALTERNATIVE);
        write_page(c);
        end_multipart(c, LEVEL_ALTERNATIVE);
    }
}

static void write_body(struct composer *c)
{
    const struct draft *d = c->draft;
    c->has_parts = d->attachment_count > 0 || (d->has_text && d->has_html);
    (void)snprintf(c->boundary, sizeof(c->boundary), BOUNDARY_MARK "%s_",
                   c->options->id);
    if (d->attachment_count == count_inline(d)) {
        write_text_and_page(c);
    } else {
        begin_multipart(c, LEVEL_MIXED, STR("mixed"));
        if (d->has_text || d->has_html) {
            begin_part(c, LEVEL_MIXED);
            write_text_and_page(c);
        }
        write_attachments(c, LEVEL_MIXED);
    }
    if (c->out->len < 2 ||
        memcmp(c->out->data + c->out->len - 2, "\r\n", 2) != 0)
        buf_add_str(c->out, STR("\r\n"));
}

/* Makes one allocation of most mails' message; a guess, not a limit. */
static void reserve(const struct draft *d, struct buf *out)
{
    size_t guess = 1024 + d->subject.len + d->text.len + d->text.len / 16 +
                   d->html.len + d->html.len / 16;
    for (size_t i = 0; i < d->attachment_count; i++)
        guess += 512 + transfer_base64_len(d->attachments[i].content.len);
    if (guess <= out->max && out->len <= out->max - guess)
        (void)buf_reserve(out, guess);
}

enum problem_kind compose(const struct draft *draft,
                          const struct compose_options *options,
                          struct envelope *envelope, struct buf *out,
                          struct problem *problem)
{
    struct composer c = {.draft = draft,
                         .options = options,
                         .envelope = envelope,
                         .out = out,
                         .problem = problem};
    enum problem_kind kind = check_options(&c);
    if (kind != PROBLEM_NONE)
        return kind;
    reserve(draft, out);
    kind = write_head(&c);
    if (kind != PROBLEM_NONE)
        return kind;
    if (!draft->has_text && !draft->has_html && draft->attachment_count == 0)
        return problem_set(problem, PROBLEM_MISSING_FIELD, "text",
                           "a mail needs \"text\", \"html\" or an attachment");
    kind = attachment_check(draft, problem);
    if (kind != PROBLEM_NONE)
        return kind;
    write_body(&c);
    if (!buf_ok(out))
        return problem_set(problem, PROBLEM_TOO_LARGE, "",
                           "the message would be larger than %zu bytes",
                           out->max);
    return PROBLEM_NONE;
}
