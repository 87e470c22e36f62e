#include "tests/unit/message/mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/utf8.h"

struct compose_options mail_options(void)
{
    return (struct compose_options){.date_ms = 1795000000000,
                                    .id = "01jd",
                                    .hostname = "mail.example.com",
                                    .max_recipients = 3};
}

void mail_init(struct mail *m)
{
    *m = (struct mail){.to = STR("b@x.org")};
    m->draft = (struct draft){.from = STR("a@x.org"),
                              .has_from = true,
                              .to = {&m->to, 1, false},
                              .text = STR("Hello"),
                              .has_text = true};
}

void mail_set_attachment(struct mail *m, struct draft_attachment attachment)
{
    m->attachment = attachment;
    m->draft.attachments = &m->attachment;
    m->draft.attachment_count = 1;
}

void mail_set_header(struct mail *m, struct str name, struct str value)
{
    m->header = (struct draft_header){name, value};
    m->draft.headers = &m->header;
    m->draft.header_count = 1;
}

void mail_composes(const struct draft *draft, const char *wanted)
{
    const struct compose_options options = mail_options();
    struct envelope envelope;
    struct problem problem = {0};
    struct buf out;
    envelope_init(&envelope);
    buf_init(&out, 1 << 20);
    if (compose(draft, &options, &envelope, &out, &problem) != PROBLEM_NONE)
        fail_msg("%s: %s", problem.field, problem.text);
    if (!str_equal(buf_str(&out), str_from(wanted)))
        fail_msg("got \"%.*s\"", STR_ARG(buf_str(&out)));
    buf_fini(&out);
    envelope_fini(&envelope);
}

void mail_refuses_with(const struct draft *draft,
                       const struct compose_options *options,
                       enum problem_kind kind, const char *field,
                       const char *part)
{
    struct envelope envelope;
    struct problem problem = {0};
    struct buf out;
    envelope_init(&envelope);
    buf_init(&out, 1 << 20);
    enum problem_kind got = compose(draft, options, &envelope, &out, &problem);
    if (got != kind || problem.kind != kind)
        fail_msg("%s: got %d, wanted %d", field, (int)got, (int)kind);
    assert_string_equal(problem.field, field);
    if (strstr(problem.text, part) == NULL)
        fail_msg("%s: said \"%s\"", field, problem.text);
    assert_true(utf8_is_valid(str_from(problem.text)));
    buf_fini(&out);
    envelope_fini(&envelope);
}

void mail_refuses(const struct draft *draft, enum problem_kind kind,
                  const char *field, const char *part)
{
    const struct compose_options options = mail_options();
    mail_refuses_with(draft, &options, kind, field, part);
}
