#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/utf8.h"
#include "message/draft.h"
#include "message/envelope.h"
#include "message/problem.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void adds_each_address_once(void **state)
{
    (void)state;
    struct envelope e;
    envelope_init(&e);
    assert_true(envelope_add(&e, STR("a@x.org")));
    assert_false(envelope_add(&e, STR("a@x.org")));
    assert_false(envelope_add(&e, STR("a@X.ORG")));
    assert_true(envelope_add(&e, STR("A@x.org")));
    assert_true(envelope_add(&e, STR("\"a@x\"@x.org")));
    assert_true(envelope_add(&e, STR("\"a@X\"@x.org")));
    assert_true(envelope_add(&e, STR("a@y.org")));
    assert_true(envelope_add(&e, STR("local")));
    assert_true(envelope_add(&e, STR("ab@.org")));
    assert_int_equal(e.count, 7);
    assert_string_equal(e.recipients[1], "A@x.org");
    envelope_fini(&e);
    assert_int_equal(e.count, 0);
    assert_null(e.recipients);
}

static void finds_doubles_among_thousands(void **state)
{
    (void)state;
    struct envelope e;
    char text[64];
    envelope_init(&e);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 5000; i++) {
            int len = snprintf(text, sizeof(text), "user%u@%s.org", i / 2,
                               round == 0 ? "example" : "EXAMPLE");
            bool added = envelope_add(&e, str_of(text, (size_t)len));
            assert_int_equal(added, round == 0 && i % 2 == 0);
        }
    }
    assert_int_equal(e.count, 2500);
    for (unsigned i = 0; i < 2500; i++) {
        (void)snprintf(text, sizeof(text), "user%u@example.org", i);
        assert_string_equal(e.recipients[i], text);
    }
    envelope_fini(&e);
}

static void gives_its_strings_away(void **state)
{
    (void)state;
    struct envelope e;
    char *sender;
    char **recipients;
    size_t count;
    envelope_init(&e);
    envelope_set_sender(&e, STR("old@x.org"));
    envelope_set_sender(&e, STR("s@x.org"));
    assert_true(envelope_add(&e, STR("a@x.org")));
    assert_true(envelope_add(&e, STR("b@x.org")));
    envelope_take(&e, &sender, &recipients, &count);
    assert_string_equal(sender, "s@x.org");
    assert_int_equal(count, 2);
    assert_string_equal(recipients[0], "a@x.org");
    assert_string_equal(recipients[1], "b@x.org");
    assert_null(e.sender);
    assert_int_equal(e.count, 0);
    envelope_fini(&e);
    mem_free(sender);
    mem_free(recipients[0]);
    mem_free(recipients[1]);
    mem_free(recipients);
}

static void cleans_and_cuts_the_sentence(void **state)
{
    (void)state;
    struct problem p;
    char umlauts[1200];
    assert_int_equal(problem_set(&p, PROBLEM_BAD_VALUE, "f\n\xff", "%s %d",
                                 "a\r\nb\t\xc2\x85\xe2\x80\xa8\xe2\x80\xa9\xfe",
                                 7),
                     PROBLEM_BAD_VALUE);
    assert_int_equal(p.kind, PROBLEM_BAD_VALUE);
    assert_string_equal(p.field, "f??");
    assert_string_equal(p.text, "a??b????? 7");
    for (size_t i = 0; i + 1 < sizeof(umlauts); i += 2)
        memcpy(umlauts + i, "\xc3\xbc", 2);
    umlauts[sizeof(umlauts) - 1] = '\0';
    for (size_t from = 0; from < 2; from++) {
        (void)problem_set(&p, PROBLEM_BAD_VALUE, umlauts, "%.*s%s", (int)from,
                          "x", umlauts);
        assert_true(strlen(p.text) >= sizeof(p.text) - 2);
        assert_true(strlen(p.field) >= sizeof(p.field) - 2);
        assert_true(utf8_is_valid(str_from(p.text)));
        assert_true(utf8_is_valid(str_from(p.field)));
    }
}

/* ---- digest ---- */

static struct str one[] = {{"a", 1}};
static struct str two[] = {{"a", 1}, {"b", 1}};
static struct str joined[] = {{"ab", 2}};
static struct draft_header header_ab[] = {{{"a", 1}, {"b", 1}}};
static struct draft_header header_ba[] = {{{"b", 1}, {"a", 1}}};
static struct draft_attachment plain_part[] = {
    {.filename = {"a", 1}, .content = {"b", 1}}};
static struct draft_attachment typed_part[] = {
    {.filename = {"a", 1}, .content = {"b", 1}, .content_type = {"c", 1}}};
static struct draft_attachment inline_part[] = {{.filename = {"a", 1},
                                                 .content = {"b", 1},
                                                 .content_id = {"c", 1},
                                                 .has_content_id = true}};
static struct draft_attachment empty_id_part[] = {
    {.filename = {"a", 1}, .content = {"b", 1}, .has_content_id = true}};

static const struct draft different[] = {
    {.has_from = false},
    {.has_from = true},
    {.has_from = true, .from = {"a", 1}},
    {.has_from = true, .from = {"b", 1}},
    {.has_subject = true, .subject = {"a", 1}},
    {.has_subject = true},
    {.has_text = true, .text = {"a", 1}},
    {.has_html = true, .html = {"a", 1}},
    {.has_text = true, .has_html = true, .text = {"a", 1}},
    {.has_text = true, .has_html = true, .html = {"a", 1}},
    {.to = {one, 1, false}},
    {.to = {two, 2, false}},
    {.to = {joined, 1, false}},
    {.cc = {one, 1, false}},
    {.bcc = {one, 1, false}},
    {.reply_to = {one, 1, false}},
    {.headers = header_ab, .header_count = 1},
    {.headers = header_ba, .header_count = 1},
    {.attachments = plain_part, .attachment_count = 1},
    {.attachments = typed_part, .attachment_count = 1},
    {.attachments = inline_part, .attachment_count = 1},
    {.attachments = empty_id_part, .attachment_count = 1},
};

static void different_mails_have_different_digests(void **state)
{
    (void)state;
    unsigned char digests[COUNT(different)][DRAFT_DIGEST_LEN];
    unsigned char again[DRAFT_DIGEST_LEN];
    for (size_t i = 0; i < COUNT(different); i++) {
        draft_digest(&different[i], digests[i]);
        draft_digest(&different[i], again);
        assert_memory_equal(digests[i], again, DRAFT_DIGEST_LEN);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(digests[i], digests[k], DRAFT_DIGEST_LEN);
    }
}

static void a_string_and_an_array_of_it_are_the_same_mail(void **state)
{
    (void)state;
    unsigned char a[DRAFT_DIGEST_LEN];
    unsigned char b[DRAFT_DIGEST_LEN];
    struct draft string = {.to = {one, 1, false}};
    struct draft array = {.to = {one, 1, true}};
    draft_digest(&string, a);
    draft_digest(&array, b);
    assert_memory_equal(a, b, DRAFT_DIGEST_LEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_each_address_once),
        cmocka_unit_test(finds_doubles_among_thousands),
        cmocka_unit_test(gives_its_strings_away),
        cmocka_unit_test(cleans_and_cuts_the_sentence),
        cmocka_unit_test(different_mails_have_different_digests),
        cmocka_unit_test(a_string_and_an_array_of_it_are_the_same_mail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
