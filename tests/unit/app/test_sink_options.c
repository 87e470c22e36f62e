#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/sink/sink_options.h"

#define WORDS_MAX 12

static enum err_code parse(struct sink_options *o, const char *const *words,
                           struct err *err)
{
    char *argv[WORDS_MAX + 2] = {NULL};
    char room[WORDS_MAX][128];
    int argc = 1;
    for (size_t i = 0; i < WORDS_MAX && words[i] != NULL; i++) {
        size_t len = strlen(words[i]);
        assert_true(len < sizeof(room[0]));
        memcpy(room[i], words[i], len + 1);
        argv[argc++] = room[i];
    }
    argv[argc] = NULL;
    return sink_options_parse(o, argc, argv, err);
}

static void every_misuse_is_refused_with_a_reason(void **state)
{
    static const struct {
        const char *words[WORDS_MAX];
        const char *reason;
    } rows[] = {
        {{NULL}, "nothing to listen on"},
        {{"--nonsense"}, "--nonsense"},
        {{"smtp"}, "begin with --"},
        {{"-p"}, "begin with --"},
        {{"--"}, "no option"},
        {{"--smtp"}, "needs a value"},
        {{"--smtp", ""}, "empty"},
        {{"--smtp", "x"}, "HOST:PORT"},
        {{"--smtp", "65536"}, "HOST:PORT"},
        {{"--smtp", "example.org:25"}, "numeric"},
        {{"--smtp", "0", "--help=yes"}, "no value"},
        {{"--smtp", "0", "--without", "FOO"}, "FOO"},
        {{"--smtp", "0", "--without", "SIZE,,AUTH"}, "none of"},
        {{"--smtp", "0", "--auth", "user"}, "USER:PASSWORD"},
        {{"--smtp", "0", "--auth", ":x"}, "USER:PASSWORD"},
        {{"--smtp", "0", "--require-auth", "--without", "AUTH"}, "AUTH"},
        {{"--smtp", "0", "--require-tls"}, "--require-tls"},
        {{"--smtp", "0", "--bad-cert", "expired"}, "TLS"},
        {{"--smtp", "0", "--fault", "tls:drop"}, "TLS"},
        {{"--smtp", "0", "--write-ca", "x"}, "TLS"},
        {{"--smtps", "0", "--bad-cert", "rusty"}, "wrong-host"},
        {{"--smtps", "0", "--cert", "x"}, "belong together"},
        {{"--smtps", "0", "--cert", "x", "--key", "y", "--write-ca", "z"},
         "--write-ca"},
        {{"--smtps", "0", "--name", "a,DNS:b"}, "host name"},
        {{"--smtp", "0", "--hostname", "a b"}, "one word"},
        {{"--smtp", "0", "--latency", "x"}, "--latency"},
        {{"--smtp", "0", "--latency", "61s"}, "within"},
        {{"--smtp", "0", "--latency", "-1"}, "--latency"},
        {{"--smtp", "0", "--max-size", "0"}, "within"},
        {{"--smtp", "0", "--max-line", "100"}, "within"},
        {{"--smtp", "0", "--max-recipients", "many"}, "whole number"},
        {{"--smtp", "0", "--seed", "1", "--seed", "2"}, "twice"},
        {{"--smtp", "0", "--fault", "rcpt"}, "nothing happens"},
        {{"--smtp", "0", "--fault", "rcpt:drop=1"}, "no value"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sink_options o;
        struct err err = {.text = ""};
        if (parse(&o, rows[i].words, &err) != ERR_INVALID ||
            !str_contains(str_from(err.text), str_from(rows[i].reason)))
            fail_msg("row %zu (%s): \"%s\"", i, rows[i].reason, err.text);
        sink_options_fini(&o);
    }
}

static struct sink_options good(const char *const *words)
{
    struct sink_options o;
    struct err err;
    if (parse(&o, words, &err) != ERR_NONE)
        fail_msg("%s", err.text);
    return o;
}

static void listeners_keep_their_order(void **state)
{
    static const char *const words[WORDS_MAX] = {
        "--smtps", "4650", "--smtp", "0.0.0.0:25", "--starttls=[::1]:0", NULL};
    struct sink_options o = good(words);
    char name[NET_NAME_MAX];
    (void)state;
    assert_int_equal(o.listener_count, 3);
    assert_int_equal(o.listeners[0].kind, SINK_LISTENER_SMTPS);
    net_address_name(&o.listeners[0].address, name);
    assert_string_equal(name, "127.0.0.1:4650");
    net_address_name(&o.listeners[1].address, name);
    assert_string_equal(name, "0.0.0.0:25");
    assert_int_equal(o.listeners[2].kind, SINK_LISTENER_STARTTLS);
    net_address_name(&o.listeners[2].address, name);
    assert_string_equal(name, "[::1]:0");
    sink_options_fini(&o);
}

static void values_have_units(void **state)
{
    static const char *const words[WORDS_MAX] = {
        "--smtp",     "0",   "--latency", "20", "--idle", "2s",
        "--max-size", "10K", "--seed",    "7",  NULL};
    struct sink_options o = good(words);
    (void)state;
    assert_int_equal(o.latency_ms, 20);
    assert_int_equal(o.idle_ms, 2000);
    assert_int_equal(o.max_size_bytes, 10240);
    assert_int_equal(o.seed, 7);
    assert_int_equal(o.max_errors, 100);
    sink_options_fini(&o);
}

static void extensions_are_switched_off_one_by_one(void **state)
{
    static const char *const words[WORDS_MAX] = {
        "--smtp", "0", "--without", "size,CHUNKING", "--without", "EHLO", NULL};
    struct sink_options o = good(words);
    (void)state;
    assert_int_equal(o.extensions, SINK_EXTENSION_ALL & ~SINK_EXTENSION_SIZE &
                                       ~SINK_EXTENSION_CHUNKING &
                                       ~SINK_EXTENSION_EHLO);
    sink_options_fini(&o);
}

static void passwords_may_have_colons(void **state)
{
    static const char *const words[WORDS_MAX] = {
        "--smtp", "0", "--auth", "u:p:q", "--auth", "v:", NULL};
    struct sink_options o = good(words);
    (void)state;
    assert_int_equal(o.user_count, 2);
    assert_true(str_equal(o.users[0].name, STR("u")));
    assert_true(str_equal(o.users[0].password, STR("p:q")));
    assert_true(str_equal(o.users[1].password, STR("")));
    sink_options_fini(&o);
}

static void help_needs_nothing_else(void **state)
{
    static const char *const words[WORDS_MAX] = {"--help", NULL};
    struct sink_options o = good(words);
    (void)state;
    assert_true(o.help);
    sink_options_fini(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_misuse_is_refused_with_a_reason),
        cmocka_unit_test(listeners_keep_their_order),
        cmocka_unit_test(values_have_units),
        cmocka_unit_test(extensions_are_switched_off_one_by_one),
        cmocka_unit_test(passwords_may_have_colons),
        cmocka_unit_test(help_needs_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
