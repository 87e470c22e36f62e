#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/utf8.h"
#include "message/address.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define X10 "xxxxxxxxxx"
#define X60 X10 X10 X10 X10 X10 X10
#define X63 X60 "xxx"
#define X64 X60 "xxxx"

/* 64 + "@" + 189 = 254 bytes, and one more. */
#define LONGEST X64 "@" X63 "." X63 "." X60 "x"

static const char *const good[] = {
    "a@b",
    "a@example.org",
    "A.B@Example.ORG",
    "first.last@example.org",
    "user+tag@example.org",
    "user-name@example.org",
    "user_name@example.org",
    "o'neil@example.org",
    "!#$%&'*+-/=?^_`{|}~@example.org",
    "1@example.org",
    "a@1example.org",
    "a@example.123org",
    "a@x-y.example",
    "a@x--y.example",
    "a@xn--bcher-kva.example",
    "a@localhost",
    "\"\"@example.org",
    "\"a b\"@example.org",
    "\"a@b\"@example.org",
    "\"a,b\"@example.org",
    "\"a\\\"b\"@example.org",
    "\"a\\\\\"@example.org",
    "\"<>()[]:;@,.\"@example.org",
    "\".a..b.\"@example.org",
    "a@[192.0.2.1]",
    "a@[255.255.255.255]",
    "a@[IPv6:2001:db8::1]",
    "a@[ipv6:::1]",
    "a@[IPv6:::ffff:192.0.2.1]",
    X64 "@example.org",
    "a@" X63 ".org",
    LONGEST,
};

static const struct {
    const char *text;
    const char *why; /* a part of the sentence */
} bad[] = {
    {"", "empty"},
    {"a", "no \"@\""},
    {"example.org", "no \"@\""},
    {"@example.org", "before the \"@\""},
    {"a@", "behind the \"@\""},
    {"@", "before the \"@\""},
    {"a@@example.org", "more than one"},
    {"a@b@example.org", "more than one"},
    {".a@example.org", "dot"},
    {"a.@example.org", "dot"},
    {"a..b@example.org", "dot"},
    {"a@.example.org", "dot"},
    {"a@example.org.", "dot"},
    {"a@example..org", "dot"},
    {"a@.", "dot"},
    {"a@-example.org", "hyphen"},
    {"a@example-.org", "hyphen"},
    {"a@exam_ple.org", "letters, digits"},
    {"a@exa!mple.org", "letters, digits"},
    {"a@192.0.2.1", "in brackets"},
    {"a@example.42", "in brackets"},
    {"a@[192.0.2]", "literal"},
    {"a@[192.0.2.256]", "literal"},
    {"a@[192.0.2.1", "literal"},
    {"a@[]", "literal"},
    {"a@[", "literal"},
    {"a@[IPv6:]", "literal"},
    {"a@[IPv6:2001:db8::1::2]", "literal"},
    {"a@[2001:db8::1]", "literal"},
    {"a@[x-tag:something]", "literal"},
    {"a@[192.0.2.1]x", "literal"},
    {"a@[IPv6:1111:2222:3333:4444:5555:6666:7777:8888:9999:1111:2222]",
     "literal"},
    {"a b@example.org", "blank"},
    {" a@example.org", "blank"},
    {"a@example.org ", "blank"},
    {"a @example.org", "blank"},
    {"a@ example.org", "blank"},
    {"a\t@example.org", "blank"},
    {"\"a\tb\"@example.org", "blank"},
    {"a(comment)@example.org", "comment"},
    {"a@example.org(comment)", "comment"},
    {"a@(comment)example.org", "comment"},
    {"group:a@example.org", "group"},
    {"a@example.org;", "group"},
    {"<a@example.org>", "<>"},
    {"a@<example.org>", "<>"},
    {"a,b@example.org", "not allowed"},
    {"a[b]@example.org", "not allowed"},
    {"a\\b@example.org", "not allowed"},
    {"a\"b\"@example.org", "not allowed"},
    {"\"a\"b@example.org", "no \"@\" follows"},
    {"\"a\"", "no \"@\" follows"},
    {"\"a\".b@example.org", "no \"@\" follows"},
    {"\"a@example.org", "not closed"},
    {"\"a\\\"@example.org", "not closed"},
    {"\"a\\", "not closed"},
    {"a\n@example.org", "control"},
    {"a@example.org\r\nRCPT TO:<b@example.org>", "control"},
    {"a@example.org\n", "control"},
    {"\"a\rb\"@example.org", "control"},
    {"a\x7f@example.org", "control"},
    {"a\x01@example.org", "control"},
    {"j\xc3\xbcrgen@example.org", "internationalised"},
    {"a@b\xc3\xbc"
     "cher.example",
     "internationalised"},
    {"\"\xc3\xbc\"@example.org", "internationalised"},
    {X64 "x@example.org", "64 bytes"},
    {"a@" X63 "x.org", "63 bytes"},
    {LONGEST "x", "254 bytes"},
    {"a@" X63 "." X63 "." X63 "." X63 ".x", "255 bytes"},
};

static void accepts_what_rfc_5321_allows(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct err err = {0};
        if (address_check(str_from(good[i]), &err) != ERR_NONE)
            fail_msg("%s: %s", good[i], err.text);
    }
}

static void refuses_the_rest_and_says_why(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct err err = {0};
        if (address_check(str_from(bad[i].text), &err) != ERR_INVALID)
            fail_msg("accepted: %s", bad[i].text);
        if (strstr(err.text, bad[i].why) == NULL)
            fail_msg("%s: said \"%s\"", bad[i].text, err.text);
        assert_true(utf8_is_valid(str_from(err.text)));
    }
}

static void takes_no_half_characters_for_an_address(void **state)
{
    (void)state;
    struct address a;
    struct str rest;
    assert_int_equal(address_next(STR("\xc2"), &a, &rest, NULL), ERR_INVALID);
    assert_int_equal(address_next(STR("\xc2,"), &a, &rest, NULL), ERR_INVALID);
}

static void refuses_nul(void **state)
{
    (void)state;
    assert_int_equal(address_check(STR("a\0@example.org"), NULL), ERR_INVALID);
    assert_int_equal(address_check(STR("a@example.org\0"), NULL), ERR_INVALID);
    assert_int_equal(address_check(STR("\"\0\"@example.org"), NULL),
                     ERR_INVALID);
    assert_int_equal(address_check(STR("a@[192.0.2.1\0]"), NULL), ERR_INVALID);
}

struct parsed {
    const char *list;
    const char *mailbox[4];
    const char *name[4]; /* as a person reads it */
};

static const struct parsed lists[] = {
    {"a@x.org", {"a@x.org"}, {""}},
    {"  \ta@x.org \t ", {"a@x.org"}, {""}},
    {"<a@x.org>", {"a@x.org"}, {""}},
    {"A <a@x.org>", {"a@x.org"}, {"A"}},
    {"A<a@x.org>", {"a@x.org"}, {"A"}},
    {"A  B\t C <a@x.org>", {"a@x.org"}, {"A B C"}},
    {"John Q. Public <a@x.org>", {"a@x.org"}, {"John Q. Public"}},
    {"\"Doe, John\" <a@x.org>", {"a@x.org"}, {"Doe, John"}},
    {"\"A\\\"B\\\\C\" <a@x.org>", {"a@x.org"}, {"A\"B\\C"}},
    {"\"a\tb\" <a@x.org>", {"a@x.org"}, {"a b"}},
    {"\" A \" <a@x.org>", {"a@x.org"}, {" A "}},
    {"\"A\" B \"C\" <a@x.org>", {"a@x.org"}, {"A B C"}},
    {"\"\" <a@x.org>", {"a@x.org"}, {""}},
    {"\"a@x.org\" <b@x.org>", {"b@x.org"}, {"a@x.org"}},
    {"\"<a@x.org>\" <b@x.org>", {"b@x.org"}, {"<a@x.org>"}},
    {"\xc2\xa3 <a@x.org>", {"a@x.org"}, {"\xc2\xa3"}},
    {"J\xc3\xbcrgen <a@x.org>", {"a@x.org"}, {"J\xc3\xbcrgen"}},
    {"\"\xe6\x97\xa5, \xe6\x9c\xac\" <a@x.org>",
     {"a@x.org"},
     {"\xe6\x97\xa5, \xe6\x9c\xac"}},
    {"a@x.org,b@x.org", {"a@x.org", "b@x.org"}, {"", ""}},
    {"A <a@x.org> , \"B, C\" <b@x.org>,c@x.org",
     {"a@x.org", "b@x.org", "c@x.org"},
     {"A", "B, C", ""}},
    {"\"a,b\"@x.org, \"c\\\"\"@x.org",
     {"\"a,b\"@x.org", "\"c\\\"\"@x.org"},
     {"", ""}},
    {"<\"a>,b\"@x.org>, c@[IPv6:2001:db8::1]",
     {"\"a>,b\"@x.org", "c@[IPv6:2001:db8::1]"},
     {"", ""}},
};

static void reads_lists_of_mailboxes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(lists); i++) {
        struct str rest = str_from(lists[i].list);
        for (size_t n = 0; lists[i].mailbox[n] != NULL; n++) {
            struct address a;
            struct err err = {0};
            struct buf name;
            if (address_next(rest, &a, &rest, &err) != ERR_NONE)
                fail_msg("%s: %s", lists[i].list, err.text);
            assert_string_equal(a.mailbox, lists[i].mailbox[n]);
            buf_init(&name, a.display.len);
            address_add_display(&a, &name);
            assert_true(buf_ok(&name));
            if (!str_equal(buf_str(&name), str_from(lists[i].name[n])))
                fail_msg("%s: name \"%.*s\"", lists[i].list,
                         STR_ARG(buf_str(&name)));
            buf_fini(&name);
        }
        assert_int_equal(rest.len, 0);
    }
}

static const struct {
    const char *text;
    const char *why;
} bad_lists[] = {
    {",", "before a comma"},
    {",a@x.org", "before a comma"},
    {", ,", "before a comma"},
    {"Doe, John <a@x.org>", "name with a comma needs quotes"},
    {"\"A <a@x.org>", "not closed"},
    {"A\" <a@x.org>", "not closed"},
    {"\"A\\", "not closed"},
    {"A <a@x.org", "<>"},
    {"A <a@x.org> B", "<>"},
    {"A <a@x.org>>", "<>"},
    {"A <<a@x.org>>", "<>"},
    {"A a@x.org>", "blank"},
    {"A a@x.org", "blank"},
    {"A <>", "empty"},
    {"A < a@x.org>", "blank"},
    {"A <a@x.org >", "blank"},
    {"A <A <a@x.org>", "blank"},
    {"A <a@x.org> <b@x.org>", "<>"},
    {"A (B) <a@x.org>", "comment"},
    {"A) <a@x.org>", "comment"},
    {"a@x.org (B)", "blank"},
    {"(B) a@x.org", "comment"},
    {"Friends: a@x.org, b@x.org;", "group"},
    {"Friends:;", "group"},
    {"Friends: <a@x.org>", "group"},
    {"A; <a@x.org>", "group"},
    {"<@x.org:a@y.org>", "route"},
    {"<@x.org,@z.org:a@y.org>", "route"},
    {"<@x.org>", "before the \"@\""},
    {"a@b <a@x.org>", "needs quotes"},
    {"A [B] <a@x.org>", "needs quotes"},
    {"A\\B <a@x.org>", "needs quotes"},
    {"A > <a@x.org>", "needs quotes"},
    {"A\n <a@x.org>", "control"},
    {"A\r\nBcc: b@x.org\r\nX: <a@x.org>", "control"},
    {"\"A\r\nBcc: b@x.org\" <a@x.org>", "control"},
    {"\"A\\\nB\" <a@x.org>", "control"},
    {"A\x01 <a@x.org>", "control"},
    {"A\xc2\x85 <a@x.org>", "control"},
    {"A\xc2\x85 \t<a@x.org>", "control"},
    {"A\x7f <a@x.org>", "control"},
    {"A <a@x.org\r\n>", "control"},
    {"a@x.org\r\nBcc: b@x.org", "control"},
    {"\xc3\xbc@x.org", "internationalised"},
};

static void refuses_bad_elements_of_a_list(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_lists); i++) {
        struct err err = {0};
        struct address a;
        struct str rest = STR("untouched");
        if (address_next(str_from(bad_lists[i].text), &a, &rest, &err) !=
            ERR_INVALID)
            fail_msg("accepted: %s", bad_lists[i].text);
        if (strstr(err.text, bad_lists[i].why) == NULL)
            fail_msg("%s: said \"%s\"", bad_lists[i].text, err.text);
        assert_true(str_equal(rest, STR("untouched")));
    }
}

static void refuses_a_comma_at_the_end(void **state)
{
    (void)state;
    struct address a;
    struct str rest;
    struct err err;
    assert_int_equal(address_next(STR("a@x.org, "), &a, &rest, &err),
                     ERR_INVALID);
    assert_non_null(strstr(err.text, "last comma"));
}

static void says_that_an_empty_list_is_empty(void **state)
{
    (void)state;
    struct address a;
    struct str rest;
    assert_int_equal(address_next(STR(""), &a, &rest, NULL), ERR_NOT_FOUND);
    assert_int_equal(address_next(STR(" \t"), &a, &rest, NULL), ERR_NOT_FOUND);
    assert_int_equal(address_next((struct str){NULL, 0}, &a, &rest, NULL),
                     ERR_NOT_FOUND);
}

static void quotes_long_and_dirty_input_cleanly(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(address_check(STR("x\ny" X64), &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "\"x?y" X10));
    assert_non_null(strstr(err.text, "...\""));
    assert_null(strstr(err.text, X64));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_what_rfc_5321_allows),
        cmocka_unit_test(refuses_the_rest_and_says_why),
        cmocka_unit_test(takes_no_half_characters_for_an_address),
        cmocka_unit_test(refuses_nul),
        cmocka_unit_test(reads_lists_of_mailboxes),
        cmocka_unit_test(refuses_bad_elements_of_a_list),
        cmocka_unit_test(refuses_a_comma_at_the_end),
        cmocka_unit_test(says_that_an_empty_list_is_empty),
        cmocka_unit_test(quotes_long_and_dirty_input_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
