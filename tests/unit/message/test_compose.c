#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/buf.h"
#include "tests/unit/message/mail.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- what comes out ---- */

#define HTML_7BIT                                                              \
    "Content-Type: text/html; charset=utf-8\r\n"                               \
    "Content-Transfer-Encoding: 7bit\r\n\r\n"
#define MULTIPART(type, level)                                                 \
    "Content-Type: multipart/" type ";\r\n boundary=\"=_01jd_" level "\"\r\n"
#define PART(level)  "\r\n--=_01jd_" level "\r\n"
#define CLOSE(level) "\r\n--=_01jd_" level "--"

static void writes_the_smallest_mail(void **state)
{
    (void)state;
    struct mail m;
    mail_init(&m);
    mail_composes(&m.draft, HEAD ID TEXT_7BIT "Hello\r\n");
    m.draft.text = STR("Hello\n");
    mail_composes(&m.draft, HEAD ID TEXT_7BIT "Hello\r\n");
    m.draft.text = STR("");
    mail_composes(&m.draft, HEAD ID TEXT_7BIT);
    m.draft.subject = STR("");
    m.draft.has_subject = true;
    mail_composes(&m.draft, HEAD ID TEXT_7BIT);
}

static void writes_all_header_fields(void **state)
{
    (void)state;
    struct mail m;
    mail_init(&m);
    m.draft.from = STR("A <a@x.org>");
    m.cc = STR("c@x.org, \"D, E\" <b@X.org>");
    m.bcc = STR("secret@x.org");
    m.reply_to = STR("r@x.org");
    m.draft.cc = (struct draft_list){&m.cc, 1, false};
    m.draft.bcc = (struct draft_list){&m.bcc, 1, false};
    m.draft.reply_to = (struct draft_list){&m.reply_to, 1, false};
    m.draft.subject = STR("Hi");
    m.draft.has_subject = true;
    mail_set_header(&m, STR("X-Mailer"), STR("Test"));
    mail_composes(&m.draft, "Date: Wed, 18 Nov 2026 11:06:40 +0000\r\n"
                            "From: A <a@x.org>\r\n"
                            "To: b@x.org\r\n"
                            "Cc: c@x.org, \"D, E\" <b@X.org>\r\n"
                            "Reply-To: r@x.org\r\n"
                            "Subject: Hi\r\n" ID "X-Mailer: Test\r\n" TEXT_7BIT
                            "Hello\r\n");
}

static void folds_long_lists_between_mailboxes(void **state)
{
    (void)state;
    struct mail m;
    struct str to[] = {STR("a-rather-long-name-0@example.org"),
                       STR("a-rather-long-name-1@example.org"),
                       STR("a-rather-long-name-2@example.org")};
    mail_init(&m);
    m.draft.to = (struct draft_list){to, 3, true};
    mail_composes(&m.draft, "Date: Wed, 18 Nov 2026 11:06:40 +0000\r\n"
                            "From: a@x.org\r\n"
                            "To: a-rather-long-name-0@example.org, "
                            "a-rather-long-name-1@example.org,\r\n"
                            " a-rather-long-name-2@example.org\r\n" ID TEXT_7BIT
                            "Hello\r\n");
}

static void names_no_recipient_when_all_are_hidden(void **state)
{
    (void)state;
    struct mail m;
    mail_init(&m);
    m.draft.to = (struct draft_list){0};
    m.bcc = STR("secret@x.org");
    m.draft.bcc = (struct draft_list){&m.bcc, 1, false};
    mail_composes(&m.draft,
                  "Date: Wed, 18 Nov 2026 11:06:40 +0000\r\n"
                  "From: a@x.org\r\n"
                  "To: undisclosed-recipients:;\r\n" ID TEXT_7BIT "Hello\r\n");
}

static void writes_text_and_html_as_alternatives(void **state)
{
    (void)state;
    struct mail m;
    mail_init(&m);
    m.draft.html = STR("<p>Hello</p>\n");
    m.draft.has_html = true;
    mail_composes(&m.draft, HEAD ID MULTIPART("alternative", "2") PART("2")
                                TEXT_7BIT "Hello" PART("2") HTML_7BIT
                  "<p>Hello</p>\r\n" CLOSE("2") "\r\n");
    m.draft.has_text = false;
    mail_composes(&m.draft, HEAD ID HTML_7BIT "<p>Hello</p>\r\n");
}

static void writes_attachments_and_inline_parts(void **state)
{
    (void)state;
    struct mail m;
    struct draft_attachment both[] = {
        {.filename = STR("a.bin"), .content = STR("\0\1\2")},
        {.filename = STR("logo.png"),
         .content = STR("PNG"),
         .content_type = STR("image/png"),
         .content_id = STR("logo"),
         .has_content_id = true}};
    mail_init(&m);
    m.draft.html = STR("<p>");
    m.draft.has_html = true;
    m.draft.attachments = both;
    m.draft.attachment_count = 2;
#define BINARY                                                                 \
    "Content-Type: application/octet-stream; name=\"a.bin\"\r\n"               \
    "Content-Disposition: attachment; filename=\"a.bin\"\r\n"                  \
    "Content-Transfer-Encoding: base64\r\n\r\nAAEC"
#define LOGO                                                                   \
    "Content-Type: image/png; name=\"logo.png\"\r\n"                           \
    "Content-Disposition: inline; filename=\"logo.png\"\r\n"                   \
    "Content-ID: <logo>\r\n"                                                   \
    "Content-Transfer-Encoding: base64\r\n\r\nUE5H"
#define RELATED                                                                \
    "Content-Type: multipart/related; type=\"text/html\";\r\n"                 \
    " boundary=\"=_01jd_3\"\r\n"
    mail_composes(
        &m.draft, HEAD ID MULTIPART("mixed", "1") PART("1")
                      MULTIPART("alternative", "2") PART("2") TEXT_7BIT
        "Hello" PART("2") RELATED PART("3") HTML_7BIT "<p>" PART("3")
            LOGO CLOSE("3") CLOSE("2") PART("1") BINARY CLOSE("1") "\r\n");
    m.draft.has_html = false;
    mail_composes(&m.draft, HEAD ID MULTIPART("mixed", "1") PART("1") TEXT_7BIT
                  "Hello" PART("1") BINARY PART("1") LOGO CLOSE("1") "\r\n");
    m.draft.has_text = false;
    mail_composes(&m.draft, HEAD ID MULTIPART("mixed", "1") PART("1")
                                BINARY PART("1") LOGO CLOSE("1") "\r\n");
    m.draft.has_html = true;
    m.draft.attachments = &both[1];
    m.draft.attachment_count = 1;
    mail_composes(&m.draft, HEAD ID RELATED PART("3") HTML_7BIT "<p>" PART("3")
                                LOGO CLOSE("3") "\r\n");
}

static void a_text_cannot_hold_its_own_boundary(void **state)
{
    (void)state;
    struct mail m;
    mail_init(&m);
    m.draft.text = STR("x\n--=_01jd_2--\ny");
    mail_composes(&m.draft, HEAD ID TEXT_7BIT "x\r\n--=_01jd_2--\r\ny\r\n");
    m.draft.html = STR("<p>");
    m.draft.has_html = true;
    mail_composes(&m.draft,
                  HEAD ID MULTIPART("alternative", "2") PART(
                      "2") "Content-Type: text/plain; charset=utf-8\r\n"
                           "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
                           "x\r\n--=3D_01jd_2--\r\ny" PART("2") HTML_7BIT
                  "<p>" CLOSE("2") "\r\n");
}

static void names_given_twice_are_not_added(void **state)
{
    (void)state;
    struct mail m;
    mail_init(&m);
    mail_set_attachment(&m,
                        (struct draft_attachment){
                            .filename = STR("a.ics"),
                            .content_type = STR("text/calendar; name=b.ics")});
    m.draft.has_text = false;
    mail_composes(
        &m.draft,
        HEAD ID MULTIPART("mixed", "1") PART(
            "1") "Content-Type: text/calendar; name=b.ics\r\n"
                 "Content-Disposition: attachment; filename=\"a.ics\"\r\n"
                 "Content-Transfer-Encoding: base64\r\n\r\n" CLOSE("1") "\r\n");
}

static void envelope_has_each_recipient_once(void **state)
{
    (void)state;
    const struct compose_options options = mail_options();
    struct mail m;
    struct envelope envelope;
    struct problem problem;
    struct buf out;
    mail_init(&m);
    m.draft.from = STR("A <\"a b\"@x.org>");
    m.to = STR("b@x.org, B <b@X.ORG>, B@x.org");
    m.bcc = STR("b@x.org,c@x.org");
    m.draft.bcc = (struct draft_list){&m.bcc, 1, false};
    envelope_init(&envelope);
    buf_init(&out, 4096);
    assert_int_equal(compose(&m.draft, &options, &envelope, &out, &problem),
                     PROBLEM_NONE);
    assert_string_equal(envelope.sender, "\"a b\"@x.org");
    assert_int_equal(envelope.count, 3);
    assert_string_equal(envelope.recipients[0], "b@x.org");
    assert_string_equal(envelope.recipients[1], "B@x.org");
    assert_string_equal(envelope.recipients[2], "c@x.org");
    buf_fini(&out);
    envelope_fini(&envelope);
}

/* ---- extra header fields ---- */

static const struct {
    const char *name;
    const char *value;
    const char *wanted;
} extras[] = {
    {"X-A", "b", "X-A: b\r\n"},
    {"X-A", "", "X-A:\r\n"},
    {"X-A", "\xc3\xa9t\xc3\xa9", "X-A: =?UTF-8?B?w6l0w6k=?=\r\n"},
    {"X-A", "=?utf-8?q?x?=", "X-A: =?UTF-8?B?PT91dGYtOD9xP3g/PQ==?=\r\n"},
    {"References", "", "References:\r\n"},
    {"References", " <a@b> ", "References: <a@b>\r\n"},
    {"references", "<=?a?=@b>", "references: <=?a?=@b>\r\n"},
    {"In-Reply-To", "<a@b>", "In-Reply-To: <a@b>\r\n"},
    {"List-Unsubscribe",
     "<mailto:u@example.org?subject=unsubscribe>, "
     "<https://example.org/u?id=0123456789>",
     "List-Unsubscribe: <mailto:u@example.org?subject=unsubscribe>,\r\n"
     " <https://example.org/u?id=0123456789>\r\n"},
    {"!#$%&'*+-.^_`|~09", "ok", "!#$%&'*+-.^_`|~09: ok\r\n"},
};

static void writes_extra_header_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(extras); i++) {
        struct mail m;
        char wanted[1024];
        mail_init(&m);
        mail_set_header(&m, str_from(extras[i].name),
                        str_from(extras[i].value));
        (void)snprintf(wanted, sizeof(wanted),
                       HEAD ID "%s" TEXT_7BIT "Hello\r\n", extras[i].wanted);
        mail_composes(&m.draft, wanted);
    }
}

static void takes_header_names_of_77_bytes(void **state)
{
    (void)state;
    struct mail m;
    mail_init(&m);
    mail_set_header(&m, STR(N70 "1234567"), STR("x"));
    mail_composes(&m.draft,
                  HEAD ID N70 "1234567:\r\n x\r\n" TEXT_7BIT "Hello\r\n");
}

static void keeps_to_the_cap(void **state)
{
    (void)state;
    const struct compose_options options = mail_options();
    struct mail m;
    struct envelope envelope;
    struct problem problem;
    struct buf out;
    size_t size = 0;
    mail_init(&m);
    m.draft.html = STR("<p>\xc3\xbc</p>");
    m.draft.has_html = true;
    mail_set_attachment(&m,
                        (struct draft_attachment){.filename = STR("f"),
                                                  .content = STR("0123456")});
    envelope_init(&envelope);
    buf_init(&out, 1 << 16);
    assert_int_equal(compose(&m.draft, &options, &envelope, &out, &problem),
                     PROBLEM_NONE);
    size = out.len;
    buf_fini(&out);
    for (size_t cap = 0; cap <= size; cap++) {
        envelope_fini(&envelope);
        buf_init(&out, cap);
        enum problem_kind kind =
            compose(&m.draft, &options, &envelope, &out, &problem);
        assert_int_equal(kind, cap < size ? PROBLEM_TOO_LARGE : PROBLEM_NONE);
        assert_true(out.len <= cap);
        buf_fini(&out);
    }
    envelope_fini(&envelope);
}

static void keeps_what_out_holds_already(void **state)
{
    (void)state;
    const struct compose_options options = mail_options();
    struct mail m;
    struct envelope envelope;
    struct problem problem;
    struct buf out;
    mail_init(&m);
    envelope_init(&envelope);
    /* Enough for the message, not for the guess of what it needs. */
    buf_init(&out, 1200);
    buf_add_text(&out, "before");
    assert_int_equal(compose(&m.draft, &options, &envelope, &out, &problem),
                     PROBLEM_NONE);
    assert_true(str_starts(buf_str(&out), STR("beforeDate: ")));
    buf_fini(&out);
    envelope_fini(&envelope);
}

static void quotes_in_names_stay_quoted(void **state)
{
    (void)state;
    struct mail m;
    mail_init(&m);
    m.to = STR("\"x\\\" <v@x.org>, \\\"\" <b@x.org>");
    mail_composes(&m.draft,
                  "Date: Wed, 18 Nov 2026 11:06:40 +0000\r\n"
                  "From: a@x.org\r\n"
                  "To: \"x\\\" <v@x.org>, \\\"\" <b@x.org>\r\n" ID TEXT_7BIT
                  "Hello\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_smallest_mail),
        cmocka_unit_test(writes_all_header_fields),
        cmocka_unit_test(folds_long_lists_between_mailboxes),
        cmocka_unit_test(names_no_recipient_when_all_are_hidden),
        cmocka_unit_test(writes_text_and_html_as_alternatives),
        cmocka_unit_test(writes_attachments_and_inline_parts),
        cmocka_unit_test(a_text_cannot_hold_its_own_boundary),
        cmocka_unit_test(names_given_twice_are_not_added),
        cmocka_unit_test(envelope_has_each_recipient_once),
        cmocka_unit_test(writes_extra_header_fields),
        cmocka_unit_test(takes_header_names_of_77_bytes),
        cmocka_unit_test(quotes_in_names_stay_quoted),
        cmocka_unit_test(keeps_to_the_cap),
        cmocka_unit_test(keeps_what_out_holds_already),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
