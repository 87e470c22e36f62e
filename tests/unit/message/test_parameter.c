#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "message/media.h"
#include "message/parameter.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define X10 "xxxxxxxxxx"
#define X50 X10 X10 X10 X10 X10

static const struct {
    const char *value;
    const char *wanted;
} names[] = {
    {"a.txt", "X: y; filename=\"a.txt\"\r\n"},
    {"a b; c=d.txt", "X: y; filename=\"a b; c=d.txt\"\r\n"},
    {"a\"b.txt", "X: y; filename=\"a\\\"b.txt\"\r\n"},
    {"a\\b.txt", "X: y; filename=\"a\\\\b.txt\"\r\n"},
    {X50 ".htm", "X: y; filename=\"" X50 ".htm\"\r\n"},
    {X50 "xxxxx.html", "X: y;\r\n filename=\"" X50 "xxxxx.html\"\r\n"},
    {"r\xc3\xa9sum\xc3\xa9.pdf", "X: y; filename*=UTF-8''r%C3%A9sum%C3%A9.pdf; "
                                 "filename=\"r_sum_.pdf\"\r\n"},
    {"\xe6\x97\xa5\xe6\x9c\xac",
     "X: y; filename*=UTF-8''%E6%97%A5%E6%9C%AC; filename=\"__\"\r\n"},
    {"\xc3\xa9'*%\"?.x", "X: y; filename*=UTF-8''%C3%A9%27%2A%25%22%3F.x; "
                         "filename=\"_'*%__.x\"\r\n"},
    {"\xff\\", "X: y; filename*=UTF-8''%FF%5C; filename=\"__\"\r\n"},
    /* Some readers would decode it. */
    {"=?UTF-8?Q?x?=", "X: y; filename*=UTF-8''%3D%3FUTF-8%3FQ%3Fx%3F%3D; "
                      "filename=\"=_UTF-8_Q_x_=\"\r\n"},
    /* Too long for a line: the fallback is cut in front of the suffix. */
    {X50 X50 ".tar",
     "X: y;\r\n filename*0*=UTF-8''" X50
     "xxxxx;\r\n filename*1*=" X10 X10 X10 X10
     "xxxxx.tar;\r\n filename=\"" X10 X10 X10 X10 "xxxxxx.tar\"\r\n"},
    /* What follows the last dot is no suffix. */
    {X50 ".xxxxxxxxxxxxxxxxxxxxxxxx",
     "X: y;\r\n filename*0*=UTF-8''" X50 ".xxxx;\r\n filename*1*=" X10 X10
     ";\r\n filename=\"" X50 "\"\r\n"},
    {"." X50 X50, "X: y;\r\n filename*0*=UTF-8''." X50
                  "xxxx;\r\n filename*1*=" X10 X10 X10 X10
                  "xxxxxx;\r\n filename=\"." X10 X10 X10 X10 "xxxxxxxxx\"\r\n"},
};

static void writes_plain_and_extended_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        struct header h;
        struct buf out;
        buf_init(&out, 4096);
        header_begin(&h, &out, STR("X"));
        header_token(&h, STR("y"));
        parameter_write(&h, STR("filename"), str_from(names[i].value));
        header_end(&h);
        if (!str_equal(buf_str(&out), str_from(names[i].wanted)))
            fail_msg("%s: \"%.*s\"", names[i].value, STR_ARG(buf_str(&out)));
        buf_fini(&out);
    }
}

static void never_splits_a_character_between_continuations(void **state)
{
    (void)state;
    for (size_t before = 0; before < 80; before++) {
        char value[400];
        size_t len = before;
        struct header h;
        struct buf out;
        memset(value, 'a', before);
        for (int i = 0; i < 60; i++, len += 4)
            memcpy(value + len, "\xf0\x9f\x98\x80", 4);
        value[len++] = (char)0xff; /* no UTF-8 at all */
        buf_init(&out, 4096);
        header_begin(&h, &out, STR("X"));
        header_token(&h, STR("y"));
        parameter_write(&h, STR("f"), str_of(value, len));
        header_end(&h);
        struct str rest = buf_str(&out);
        size_t found = 0;
        while (rest.len > 0) {
            size_t line = str_find(rest, '\r');
            struct str text = str_of(rest.data, line);
            assert_true(line <= HEADER_FOLD);
            rest = str_after(rest, line + 2);
            /* Each line has as many first bytes as last ones. */
            while (text.len > 0 && !str_starts(text, STR("%F0"))) {
                text = str_after(text, 1);
            }
            while (str_starts(text, STR("%F0%9F%98%80"))) {
                text = str_after(text, 12);
                found++;
            }
            assert_true(text.len == 0 || str_starts(text, STR(";")) ||
                        str_starts(text, STR("%FF;")));
        }
        assert_int_equal(found, 60);
        buf_fini(&out);
    }
}

static const struct {
    const char *text;
    const char *wanted; /* NULL: refused */
} types[] = {
    {"text/plain", " text/plain"},
    {"IMAGE/SVG+XML", " IMAGE/SVG+XML"},
    {"application/vnd.oasis.opendocument.text",
     " application/vnd.oasis.opendocument.text"},
    {"text/calendar; method=REQUEST; charset=\"utf-8\"",
     " text/calendar; method=REQUEST; charset=\"utf-8\""},
    {"text/plain;charset=utf-8 ;\tx=\"a \\\"b;c\"",
     " text/plain; charset=utf-8; x=\"a \\\"b;c\""},
    {"text/plain; x=\"\"", " text/plain; x=\"\""},
    {"text/plain ; x=y", " text/plain; x=y"},
    {"text/plain; name*0*=a%20b; name*1=c",
     " text/plain; name*0*=a%20b; name*1=c"},
    {"text/x; aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=bbbbbbbbbbbbbbbbbbbbbbbbbbb; "
     "ccccc=d",
     " text/x; aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=bbbbbbbbbbbbbbbbbbbbbbbbbbb;\r\n"
     " ccccc=d"},
    {"", NULL},
    {"text", NULL},
    {"text/", NULL},
    {"/plain", NULL},
    {"text/plain/x", NULL},
    {" text/plain", NULL},
    {"text /plain", NULL},
    {"text/plain;", NULL},
    {"text/plain; ", NULL},
    {"text/plain; x", NULL},
    {"text/plain; x=", NULL},
    {"text/plain; =y", NULL},
    {"text/plain; x=y;", NULL},
    {"text/plain; x=y; ", NULL},
    {"text/plain; x=y z=w", NULL},
    {"text/plain; x =y", NULL},
    {"text/plain; x=y; X=z", NULL},
    {"text/plain; x=\"y", NULL},
    {"text/plain; x=\"y\\", NULL},
    {"text/plain; x=\"y\nz\"", NULL},
    {"text/plain; x=\"y\\\nz\"", NULL},
    {"text/plain; x=\"\xc3\xbc\"", NULL},
    {"text/plain; x=y@z", NULL},
    {"text/plain (comment)", NULL},
    {"text/plain x", NULL},
    {"text/plain, text/html", NULL},
    {"text/plain\r\nBcc: a@x.org", NULL},
    {"text/plain; x=y\r\nBcc: a@x.org", NULL},
    {"text/pl\xc3\xa4in", NULL},
    {"multipart/mixed; boundary=x", NULL},
    {"Multipart/X", NULL},
    {"message/rfc822", NULL},
    {"MESSAGE/partial", NULL},
};

static void checks_and_writes_media_types(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        struct media media = {.type = STR("untouched")};
        struct err err = {0};
        enum err_code code = media_parse(str_from(types[i].text), &media, &err);
        if ((code == ERR_NONE) != (types[i].wanted != NULL))
            fail_msg("%s: %s", types[i].text, err.text);
        if (code != ERR_NONE) {
            assert_int_equal(code, ERR_INVALID);
            assert_true(str_equal(media.type, STR("untouched")));
            continue;
        }
        struct header h;
        struct buf out;
        buf_init(&out, 4096);
        header_begin(&h, &out, STR("X"));
        media_write(&h, &media);
        if (!str_equal(str_after(buf_str(&out), 2), str_from(types[i].wanted)))
            fail_msg("%s: \"%.*s\"", types[i].text, STR_ARG(buf_str(&out)));
        buf_fini(&out);
    }
}

static void refuses_long_media_types_and_nul(void **state)
{
    (void)state;
    char text[MEDIA_MAX + 1];
    struct media media;
    memset(text, 'x', sizeof(text));
    text[1] = '/';
    assert_int_equal(media_parse(str_of(text, MEDIA_MAX), &media, NULL),
                     ERR_NONE);
    assert_int_equal(media_parse(str_of(text, MEDIA_MAX + 1), &media, NULL),
                     ERR_INVALID);
    assert_int_equal(media_parse(STR("text/pl\0ain"), &media, NULL),
                     ERR_INVALID);
    assert_int_equal(media_parse(STR("text/plain\0"), &media, NULL),
                     ERR_INVALID);
}

static void finds_parameters_by_name(void **state)
{
    (void)state;
    struct media media;
    assert_int_equal(media_parse(STR("a/b; Name=x; c=\"; d=e\""), &media, NULL),
                     ERR_NONE);
    assert_true(media_has_parameter(&media, STR("name")));
    assert_true(media_has_parameter(&media, STR("C")));
    assert_false(media_has_parameter(&media, STR("d")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_plain_and_extended_values),
        cmocka_unit_test(never_splits_a_character_between_continuations),
        cmocka_unit_test(checks_and_writes_media_types),
        cmocka_unit_test(refuses_long_media_types_and_nul),
        cmocka_unit_test(finds_parameters_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
