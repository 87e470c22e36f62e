#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/buf.h"
#include "message/attachment.h"
#include "message/extra.h"
#include "tests/unit/message/mail.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const reserved[] = {
    "From",          "to",           "CC",
    "Bcc",           "bCC",          "Reply-To",
    "Sender",        "Subject",      "Date",
    "Message-ID",    "message-id",   "MIME-Version",
    "Content-Type",  "Content-X",    "content-transfer-encoding",
    "Received",      "Return-Path",  "Resent-From",
    "Resent-Bcc",    "Delivered-To", "DKIM-Signature",
    "ARC-Seal",      "Received-SPF", "Authentication-Results",
    "Apparently-To", "X-Original-To"};

static void refuses_header_fields_that_are_not_the_clients(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(reserved); i++) {
        struct mail m;
        char field[64];
        mail_init(&m);
        mail_set_header(&m, str_from(reserved[i]), STR("x"));
        (void)snprintf(field, sizeof(field), "headers.%s", reserved[i]);
        mail_refuses(&m.draft, PROBLEM_BAD_HEADER, field, "cannot be set");
    }
}

static const struct {
    struct str name;
    struct str value;
    const char *field;
    const char *why;
} bad_headers[] = {
    {{"", 0}, {"x", 1}, "headers.", "no name"},
    {{"X A", 3}, {"x", 1}, "headers.X A", "not allowed"},
    {{"X:A", 3}, {"x", 1}, "headers.X:A", "not allowed"},
    {{"X-A:", 4}, {"x", 1}, "headers.X-A:", "not allowed"},
    {{"X\nBcc", 5}, {"x", 1}, "headers.X?Bcc", "not allowed"},
    {{"X\r\nBcc: a@x.org\r\nY", 18},
     {"x", 1},
     "headers.X??Bcc: a@x.org??Y",
     "not allowed"},
    {{"X\0", 2}, {"x", 1}, "headers.X?", "not allowed"},
    {{"X\x7f", 2}, {"x", 1}, "headers.X?", "not allowed"},
    {{"X\xc3\xbc", 3}, {"x", 1}, "headers.X\xc3\xbc", "not allowed"},
    {{N70 "12345678", 78},
     {"x", 1},
     "headers.nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
     "77 bytes"},
    {{"X", 1}, {"a\nBcc: a@x.org", 14}, "headers.X", "line break"},
    {{"X", 1}, {"a\r\n b", 5}, "headers.X", "line break"},
    {{"X", 1}, {"a\r", 2}, "headers.X", "line break"},
    {{"X", 1}, {"\0", 1}, "headers.X", "line break"},
    {{"X", 1}, {"a\tb", 3}, "headers.X", "line break"},
    {{"X", 1}, {"a\x1b", 2}, "headers.X", "line break"},
    {{"X", 1}, {"a\x7f", 2}, "headers.X", "line break"},
    {{"X", 1}, {"a\xc2\x85", 3}, "headers.X", "line break"},
    {{"References", 10}, {"<\xc3\xbc@x>", 6}, "headers.References", "ASCII"},
    {{"LIST-ID", 7}, {"\xc3\xbc <x>", 6}, "headers.LIST-ID", "ASCII"},
};

static void refuses_bad_header_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_headers); i++) {
        struct mail m;
        mail_init(&m);
        mail_set_header(&m, bad_headers[i].name, bad_headers[i].value);
        mail_refuses(&m.draft, PROBLEM_BAD_HEADER, bad_headers[i].field,
                     bad_headers[i].why);
    }
}

static void refuses_references_that_fit_in_no_line(void **state)
{
    (void)state;
    const struct compose_options options = mail_options();
    struct mail m;
    char value[901];
    memset(value, 'x', sizeof(value));
    mail_init(&m);
    mail_set_header(&m, STR("References"), str_of(value, sizeof(value)));
    mail_refuses(&m.draft, PROBLEM_BAD_HEADER, "headers.References", "900");
    struct problem problem;
    struct envelope envelope;
    struct buf out;
    mail_set_header(&m, STR("References"), str_of(value, 900));
    envelope_init(&envelope);
    buf_init(&out, 4096);
    assert_int_equal(compose(&m.draft, &options, &envelope, &out, &problem),
                     PROBLEM_NONE);
    buf_fini(&out);
    envelope_fini(&envelope);
}

static void refuses_a_header_field_given_twice(void **state)
{
    (void)state;
    struct mail m;
    struct draft_header headers[] = {
        {STR("X-A"), STR("1")}, {STR("X-B"), STR("1")}, {STR("x-a"), STR("2")}};
    mail_init(&m);
    m.draft.headers = headers;
    m.draft.header_count = 3;
    mail_refuses(&m.draft, PROBLEM_BAD_HEADER, "headers.x-a", "twice");
}

static void refuses_too_many_header_fields(void **state)
{
    (void)state;
    struct mail m;
    struct draft_header headers[EXTRA_MAX + 1] = {{STR("X"), STR("1")}};
    mail_init(&m);
    m.draft.headers = headers;
    m.draft.header_count = EXTRA_MAX + 1;
    mail_refuses(&m.draft, PROBLEM_BAD_HEADER, "headers", "200");
}

/* ---- what is refused elsewhere ---- */

static void refuses_what_is_missing(void **state)
{
    (void)state;
    struct mail m;
    mail_init(&m);
    m.draft.has_from = false;
    mail_refuses(&m.draft, PROBLEM_MISSING_FIELD, "from", "sender");
    mail_init(&m);
    m.draft.to.count = 0;
    mail_refuses(&m.draft, PROBLEM_MISSING_FIELD, "to", "recipient");
    mail_init(&m);
    m.draft.has_text = false;
    m.draft.subject = STR("Hi");
    m.draft.has_subject = true;
    mail_refuses(&m.draft, PROBLEM_MISSING_FIELD, "text", "\"html\"");
    mail_init(&m);
    mail_set_attachment(&m, (struct draft_attachment){.content = STR("x")});
    mail_refuses(&m.draft, PROBLEM_MISSING_FIELD, "attachments[0].filename",
                 "file name");
}

static void names_the_bad_mailbox(void **state)
{
    (void)state;
    struct mail m;
    struct str items[] = {STR("b@x.org"), STR("c@x.org, d"), STR("e@x.org")};
    const struct draft_list array = {items, 3, true};
    mail_init(&m);
    m.draft.to = array;
    mail_refuses(&m.draft, PROBLEM_BAD_ADDRESS, "to[1]", "\"d\" is no mailbox");
    mail_init(&m);
    m.draft.cc = array;
    mail_refuses(&m.draft, PROBLEM_BAD_ADDRESS, "cc[1]", "\"d\" is no mailbox");
    mail_init(&m);
    m.draft.bcc = array;
    mail_refuses(&m.draft, PROBLEM_BAD_ADDRESS, "bcc[1]",
                 "\"d\" is no mailbox");
    mail_init(&m);
    m.draft.reply_to = array;
    mail_refuses(&m.draft, PROBLEM_BAD_ADDRESS, "reply_to[1]", "\"d\" is no");
    mail_init(&m);
    m.to = STR("b@x.org, c");
    mail_refuses(&m.draft, PROBLEM_BAD_ADDRESS, "to", "\"c\" is no mailbox");
    m.to = STR("");
    mail_refuses(&m.draft, PROBLEM_BAD_ADDRESS, "to", "no mailbox");
    mail_init(&m);
    m.draft.from = STR("");
    mail_refuses(&m.draft, PROBLEM_BAD_ADDRESS, "from", "no mailbox");
    m.draft.from = STR("a@x.org, b@x.org");
    mail_refuses(&m.draft, PROBLEM_BAD_ADDRESS, "from", "one mailbox only");
}

static void counts_recipients_not_mentions(void **state)
{
    (void)state;
    struct mail m;
    mail_init(&m);
    m.to = STR("b@x.org, b@x.org, c@x.org, c@x.org");
    m.cc = STR("d@x.org, b@x.org");
    m.draft.cc = (struct draft_list){&m.cc, 1, true};
    mail_composes(&m.draft,
                  "Date: Wed, 18 Nov 2026 11:06:40 +0000\r\n"
                  "From: a@x.org\r\n"
                  "To: b@x.org, b@x.org, c@x.org, c@x.org\r\n"
                  "Cc: d@x.org, b@x.org\r\n" ID TEXT_7BIT "Hello\r\n");
    m.cc = STR("d@x.org, e@x.org");
    mail_refuses(&m.draft, PROBLEM_TOO_MANY_RECIPIENTS, "cc[0]", "more than 3");
}

static const struct str line_breakers[] = {
    {"x\r\nBcc: v@x.org", 15},
    {"x\nBcc: v@x.org", 14},
    {"x\rBcc: v@x.org", 14},
    {"x\r\n\r\nbody", 9},
    {"x\0", 2},
    {"x\r\n.\r\n", 6},
    {"x\x0b", 2},
    {"x\xc2\x8a", 3},
    {"\n", 1},
};

static void lets_no_line_break_into_any_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(line_breakers); i++) {
        struct str evil = line_breakers[i];
        struct mail m;
        mail_init(&m);
        m.draft.from = evil;
        mail_refuses(&m.draft, PROBLEM_BAD_ADDRESS, "from", "");
        mail_init(&m);
        m.to = evil;
        mail_refuses(&m.draft, PROBLEM_BAD_ADDRESS, "to", "");
        mail_init(&m);
        m.reply_to = evil;
        m.draft.reply_to = (struct draft_list){&m.reply_to, 1, false};
        mail_refuses(&m.draft, PROBLEM_BAD_ADDRESS, "reply_to", "");
        mail_init(&m);
        m.draft.subject = evil;
        m.draft.has_subject = true;
        mail_refuses(&m.draft, PROBLEM_BAD_VALUE, "subject", "line break");
        mail_init(&m);
        mail_set_header(&m, STR("X"), evil);
        mail_refuses(&m.draft, PROBLEM_BAD_HEADER, "headers.X", "line break");
        mail_init(&m);
        mail_set_attachment(&m, (struct draft_attachment){.filename = evil});
        mail_refuses(&m.draft, PROBLEM_BAD_ATTACHMENT,
                     "attachments[0].filename", "line break");
        mail_init(&m);
        mail_set_attachment(&m,
                            (struct draft_attachment){.filename = STR("f"),
                                                      .content_type = evil});
        mail_refuses(&m.draft, PROBLEM_BAD_ATTACHMENT,
                     "attachments[0].content_type", "cannot be used");
        mail_set_attachment(&m,
                            (struct draft_attachment){.filename = STR("f"),
                                                      .content_id = evil,
                                                      .has_content_id = true});
        mail_refuses(&m.draft, PROBLEM_BAD_ATTACHMENT,
                     "attachments[0].content_id", "cannot be used");
    }
}

static const struct {
    const char *name;
    const char *why;
} bad_filenames[] = {
    {"a/b", "plain name"},   {"../etc/passwd", "plain name"},
    {"C:\\x", "plain name"}, {".", "directory"},
    {"..", "directory"},     {"a\tb", "control"},
};

static void refuses_file_names_that_are_paths(void **state)
{
    (void)state;
    char name[ATTACHMENT_FILENAME_MAX + 1];
    struct mail m;
    mail_init(&m);
    for (size_t i = 0; i < COUNT(bad_filenames); i++) {
        mail_set_attachment(&m,
                            (struct draft_attachment){
                                .filename = str_from(bad_filenames[i].name)});
        mail_refuses(&m.draft, PROBLEM_BAD_ATTACHMENT,
                     "attachments[0].filename", bad_filenames[i].why);
    }
    memset(name, 'x', sizeof(name));
    mail_set_attachment(
        &m, (struct draft_attachment){.filename = str_of(name, sizeof(name))});
    mail_refuses(&m.draft, PROBLEM_BAD_ATTACHMENT, "attachments[0].filename",
                 "1024");
}

static const char *const bad_content_ids[] = {
    "", "<a@b>", "a b", "a>", "a\"b", "a,b", "\xc3\xbc", "a(b)", "a:b"};

static void refuses_bad_content_ids(void **state)
{
    (void)state;
    char id[ATTACHMENT_CONTENT_ID_MAX + 1];
    struct mail m;
    mail_init(&m);
    struct draft_attachment a = {.filename = STR("f"), .has_content_id = true};
    for (size_t i = 0; i < COUNT(bad_content_ids); i++) {
        a.content_id = str_from(bad_content_ids[i]);
        mail_set_attachment(&m, a);
        mail_refuses(&m.draft, PROBLEM_BAD_ATTACHMENT,
                     "attachments[0].content_id", "cannot be used");
    }
    memset(id, 'x', sizeof(id));
    a.content_id = str_of(id, sizeof(id));
    mail_set_attachment(&m, a);
    mail_refuses(&m.draft, PROBLEM_BAD_ATTACHMENT, "attachments[0].content_id",
                 "200");
    struct draft_attachment three[] = {
        {.filename = STR("f"),
         .content_id = STR("a.b@c"),
         .has_content_id = true},
        {.filename = STR("g"), .content_id = STR("a.b@c")},
        {.filename = STR("h"),
         .content_id = STR("a.b@c"),
         .has_content_id = true}};
    m.draft.attachments = three;
    m.draft.attachment_count = 3;
    mail_refuses(&m.draft, PROBLEM_BAD_ATTACHMENT, "attachments[2].content_id",
                 "another");
}

static void refuses_too_many_attachments(void **state)
{
    (void)state;
    struct mail m;
    struct draft_attachment many[ATTACHMENT_MAX + 1];
    mail_init(&m);
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = (struct draft_attachment){.filename = STR("f")};
    m.draft.attachments = many;
    m.draft.attachment_count = COUNT(many);
    mail_refuses(&m.draft, PROBLEM_BAD_ATTACHMENT, "attachments", "500");
}

/* Every cap from nothing to enough: refused below the size, taken at it. */
static const struct {
    const char *id;
    const char *hostname;
} bad_options[] = {
    {"", "x.org"},          {"a b", "x.org"},  {"a@b", "x.org"},
    {"a\r\nb", "x.org"},    {"a\"b", "x.org"}, {".a", "x.org"},
    {N70, "x.org"},         {"a", ""},         {"a", "x.org."},
    {"a", "x org"},         {"a", "x\r\ny"},   {"a", "x>y"},
    {"a", N70 N70 N70 N70},
};

static void refuses_what_makes_no_message_id(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_options); i++) {
        struct mail m;
        struct compose_options options = mail_options();
        options.id = bad_options[i].id;
        options.hostname = bad_options[i].hostname;
        mail_init(&m);
        mail_refuses_with(&m.draft, &options, PROBLEM_BAD_VALUE, "",
                          "Message-ID");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_header_fields_that_are_not_the_clients),
        cmocka_unit_test(refuses_bad_header_fields),
        cmocka_unit_test(refuses_references_that_fit_in_no_line),
        cmocka_unit_test(refuses_a_header_field_given_twice),
        cmocka_unit_test(refuses_too_many_header_fields),
        cmocka_unit_test(refuses_what_is_missing),
        cmocka_unit_test(names_the_bad_mailbox),
        cmocka_unit_test(counts_recipients_not_mentions),
        cmocka_unit_test(lets_no_line_break_into_any_field),
        cmocka_unit_test(refuses_file_names_that_are_paths),
        cmocka_unit_test(refuses_bad_content_ids),
        cmocka_unit_test(refuses_too_many_attachments),
        cmocka_unit_test(refuses_what_makes_no_message_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
