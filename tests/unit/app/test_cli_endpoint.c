#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "app/cli/endpoint.h"

/* Addresses as people write them. */
static void test_good_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *name; /* path or host */
        enum endpoint_kind kind;
        unsigned port;
    } rows[] = {
        {"unix:/run/postrider/postrider.sock", "/run/postrider/postrider.sock",
         ENDPOINT_UNIX, 0},
        {"unix:relative:with:colons", "relative:with:colons", ENDPOINT_UNIX, 0},
        {"tcp:127.0.0.1:7788", "127.0.0.1", ENDPOINT_TCP, 7788},
        {"tcp:mail.example.org:1", "mail.example.org", ENDPOINT_TCP, 1},
        {"tcp:[2001:db8::1]:65535", "2001:db8::1", ENDPOINT_TCP, 65535},
        {"udp:localhost:7788", "localhost", ENDPOINT_UDP, 7788},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct endpoint e;
        assert_int_equal(endpoint_parse(rows[i].text, &e, NULL), ERR_NONE);
        assert_int_equal(e.kind, rows[i].kind);
        assert_string_equal(e.text, rows[i].text);
        assert_int_equal(e.port, rows[i].port);
        if (e.kind == ENDPOINT_UNIX)
            assert_string_equal(e.path, rows[i].name);
        else
            assert_true(str_equal(e.host, str_from(rows[i].name)));
    }
}

static void test_bad_addresses_are_named(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "/run/x",
        "unix:",
        "tcp:",
        "tcp:host",
        "tcp:host:",
        "tcp::7788",
        "tcp:host:0",
        "tcp:h:65536",
        "tcp:h:-1",
        "tcp:h: 1",
        "tcp:::1:7788",
        "udp:h:x",
        "http:h:1",
        "TCP:h:1",
        "unix",
        "tcp:host:00000000000000000000077880",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        struct endpoint e = {.port = 42};
        assert_int_equal(endpoint_parse(rows[i], &e, &err), ERR_INVALID);
        assert_true(err.text[0] != '\0');
        assert_int_equal(e.port, 42);
    }
}

static void test_a_path_too_long_for_a_socket_is_refused(void **state)
{
    (void)state;
    char text[200] = "unix:/";
    struct endpoint e;
    memset(text + 6, 'a', sizeof(text) - 7);
    assert_int_equal(endpoint_parse(text, &e, NULL), ERR_INVALID);
}

static void test_option_before_environment_before_default(void **state)
{
    (void)state;
    assert_string_equal(endpoint_choose("tcp:a:1", "tcp:b:1"), "tcp:a:1");
    assert_string_equal(endpoint_choose(NULL, "tcp:b:1"), "tcp:b:1");
    assert_string_equal(endpoint_choose(NULL, ""),
                        "unix:/run/postrider/postrider.sock");
    assert_string_equal(endpoint_choose(NULL, NULL),
                        "unix:/run/postrider/postrider.sock");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_addresses),
        cmocka_unit_test(test_bad_addresses_are_named),
        cmocka_unit_test(test_a_path_too_long_for_a_socket_is_refused),
        cmocka_unit_test(test_option_before_environment_before_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
