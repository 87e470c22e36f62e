#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/host.h"

static void names_of_hosts_are_told_from_other_text(void **state)
{
    static const struct {
        const char *name;
        bool good;
    } table[] = {
        {"localhost", true},
        {"mx.example.com", true},
        {"MX-1.Example.COM", true},
        {"mail_server", true},
        {"xn--bcher-kva.example", true},
        {"192.0.2.1", true},
        {"1and1.com", true},
        {"a.1x", true},
        {"", false},
        {".", false},
        {"a.", false},
        {".a", false},
        {"a..b", false},
        {"-a", false},
        {"a-", false},
        {"a b", false},
        {"a\tb", false},
        {"b\xc3\xbc"
         "cher.example",
         false},
        {"192.0.2.256", false},
        {"192.0.2", false},
        {"example.123", false},
        {"::1", false},
        {"a\"b", false},
        {"1234567890123456789012345678901234567890123456789012345678901234",
         false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (host_is_name(str_from(table[i].name)) != table[i].good)
            fail_msg("\"%s\"", table[i].name);
}

static void urls_give_host_port_and_scheme(void **state)
{
    static const struct {
        const char *url;
        const char *host; /* NULL: refused */
        unsigned port;
        bool is_smtps;
    } table[] = {
        {"smtps://mx.example.com", "mx.example.com", 465, true},
        {"smtps://mx.example.com:2465", "mx.example.com", 2465, true},
        {"smtp://mx.example.com", "mx.example.com", 587, false},
        {"SMTP://mx:25", "mx", 25, false},
        {"smtp://[::1]", "::1", 587, false},
        {"smtps://[2001:db8::1]:1", "2001:db8::1", 1, true},
        {"smtp://127.0.0.1:65535", "127.0.0.1", 65535, false},
        {"", NULL, 0, false},
        {"smtp:", NULL, 0, false},
        {"smtp://", NULL, 0, false},
        {"smtps://:25", NULL, 0, false},
        {"mx.example.com", NULL, 0, false},
        {"http://mx", NULL, 0, false},
        {" smtp://mx", NULL, 0, false},
        {"smtp://mx ", NULL, 0, false},
        {"smtp://mx/", NULL, 0, false},
        {"smtp://mx?x", NULL, 0, false},
        {"smtp://mx#x", NULL, 0, false},
        {"smtp://u@mx", NULL, 0, false},
        {"smtp://u:p@mx", NULL, 0, false},
        {"smtp://mx:", NULL, 0, false},
        {"smtp://mx:0", NULL, 0, false},
        {"smtp://mx:65536", NULL, 0, false},
        {"smtp://mx:+25", NULL, 0, false},
        {"smtp://mx:25:25", NULL, 0, false},
        {"smtp://::1", NULL, 0, false},
        {"smtp://[::1", NULL, 0, false},
        {"smtp://[]", NULL, 0, false},
        {"smtp://[::1]x", NULL, 0, false},
        {"smtp://[::1]x:25", NULL, 0, false},
        {"smtp://[127.0.0.1]", NULL, 0, false},
        {"smtp://[fe80::1%eth0]", NULL, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct host_url url = {.port = 4711};
        struct err err = {.code = ERR_NONE};
        enum err_code code = host_parse_url(str_from(table[i].url), &url, &err);
        bool right = table[i].host == NULL
                         ? code == ERR_INVALID && url.port == 4711
                         : code == ERR_NONE && url.port == table[i].port &&
                               url.is_smtps == table[i].is_smtps &&
                               str_equal(url.host, str_from(table[i].host));
        if (!right)
            fail_msg("\"%s\": %s", table[i].url, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_hosts_are_told_from_other_text),
        cmocka_unit_test(urls_give_host_port_and_scheme),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
