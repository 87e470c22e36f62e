#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/trouble.h"

static const struct smtp_relay relay = {
    .name = "main",
    .host = "smtp.example.com",
    .port = 465,
    .tls = SMTP_TLS_IMPLICIT,
    .username = "app",
    .password = "secret",
    .connect_timeout_ms = 30000,
};

static void a_relay_is_named_with_host_and_port(void **state)
{
    (void)state;
    char out[SMTP_TROUBLE_NAME_MAX];
    smtp_trouble_relay(&relay, out);
    assert_string_equal(out, "relay main (smtp.example.com:465)");
    struct smtp_relay six = relay;
    six.host = "2001:db8::1";
    smtp_trouble_relay(&six, out);
    assert_string_equal(out, "relay main ([2001:db8::1]:465)");
}

struct row {
    CURLcode code;
    enum smtp_reached reached;
    const char *curl_text;
    enum err_code err_code;
    const char *text;
};

static const struct row rows[] = {
    {CURLE_PEER_FAILED_VERIFICATION, SMTP_REACHED_TCP,
     "SSL certificate problem: certificate has expired", ERR_DENIED,
     "certificate of relay main (smtp.example.com:465) has expired: its "
     "operator must renew it"},
    {CURLE_PEER_FAILED_VERIFICATION, SMTP_REACHED_TCP,
     "SSL: no alternative certificate subject name matches target host name "
     "'smtp.example.com'",
     ERR_DENIED,
     "certificate of relay main (smtp.example.com:465) is for another host "
     "name: use the name that the certificate has"},
    {CURLE_PEER_FAILED_VERIFICATION, SMTP_REACHED_TCP,
     "SSL certificate problem: self-signed certificate", ERR_DENIED,
     "certificate of relay main (smtp.example.com:465) is not trusted: set "
     "ca_file to the CA that signed it (SSL certificate problem: self-signed "
     "certificate)"},
    {CURLE_OPERATION_TIMEDOUT, SMTP_REACHED_NOTHING, "", ERR_TIMEOUT,
     "relay main (smtp.example.com:465) timed out after 30000 ms: its name "
     "was not resolved in time: check this machine's DNS"},
    {CURLE_OPERATION_TIMEDOUT, SMTP_REACHED_ADDRESS, "", ERR_TIMEOUT,
     "relay main (smtp.example.com:465) timed out after 30000 ms: no "
     "connection was made: wrong port, or a firewall?"},
    {CURLE_COULDNT_CONNECT, SMTP_REACHED_ADDRESS, "words of libcurl",
     ERR_SYSTEM,
     "relay main (smtp.example.com:465) cannot be reached: words of libcurl"},
    {CURLE_OUT_OF_MEMORY, SMTP_REACHED_NOTHING, "", ERR_SYSTEM,
     "relay main (smtp.example.com:465): Out of memory"},
};

static void each_failure_has_words_for_an_operator(void **state)
{
    (void)state;
    const struct smtp_reply nothing = {0};
    const struct smtp_caps caps = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct smtp_trouble trouble = {
            .relay = &relay,
            .code = rows[i].code,
            .reached = rows[i].reached,
            .curl_text = rows[i].curl_text,
            .last = &nothing,
            .caps = &caps,
        };
        struct err err = {0};
        smtp_trouble_connect(&trouble, &err);
        assert_string_equal(err.text, rows[i].text);
        assert_int_equal(err.code, rows[i].err_code);
    }
}

static void no_code_of_libcurl_is_without_words_or_tells_a_secret(void **state)
{
    (void)state;
    const struct smtp_reply said = {535, "5.7.8", "no"};
    const struct smtp_caps caps = {.offered = {[SMTP_EXTENSION_AUTH] = true}};
    for (int code = 0; code < CURL_LAST; code++) {
        const struct smtp_trouble trouble = {
            .relay = &relay,
            .code = (CURLcode)code,
            .last = &said,
            .caps = &caps,
        };
        struct err err = {0};
        smtp_trouble_connect(&trouble, &err);
        assert_int_not_equal(err.code, ERR_NONE);
        assert_non_null(strstr(err.text, "relay main (smtp.example.com:465)"));
        assert_null(strstr(err.text, "secret"));
    }
}

static void the_end_of_a_session_has_words_too(void **state)
{
    (void)state;
    const struct smtp_reply closing = {421, "4.3.2", "going down"};
    const struct smtp_reply login = {530, "", "login first"};
    const struct smtp_reply odd = {250, "", "ok"};
    const struct {
        struct smtp_trouble_dialogue trouble;
        enum err_code code;
        const char *text;
    } cases[] = {
        {{&relay, SMTP_STAGE_IDLE, SMTP_EVENT_REPLY, &closing, 0},
         ERR_CLOSED,
         "relay main (smtp.example.com:465) ended the session while the "
         "session was idle: it said 421 4.3.2 going down"},
        {{&relay, SMTP_STAGE_MAIL, SMTP_EVENT_REPLY, &login, 0},
         ERR_DENIED,
         "relay main (smtp.example.com:465) wants another login or TLS than "
         "it got: it said 530 login first while it had MAIL to answer"},
        {{&relay, SMTP_STAGE_DATA, SMTP_EVENT_REPLY, &odd, 0},
         ERR_INVALID,
         "relay main (smtp.example.com:465) said 250 ok while it had DATA to "
         "answer"},
        {{&relay, SMTP_STAGE_BODY, SMTP_EVENT_LOST, NULL, 0},
         ERR_CLOSED,
         "relay main (smtp.example.com:465) closed the connection while the "
         "message was being sent"},
        {{&relay, SMTP_STAGE_FINAL, SMTP_EVENT_TIMEOUT, NULL, 600000},
         ERR_TIMEOUT,
         "relay main (smtp.example.com:465) timed out: nothing for 600000 ms "
         "while it had the whole message to answer"},
        {{&relay, SMTP_STAGE_RCPT, SMTP_EVENT_GARBAGE, NULL, 0},
         ERR_INVALID,
         "relay main (smtp.example.com:465) sent what is no answer while it "
         "had RCPT to answer"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        smtp_trouble_dialogue(&cases[i].trouble, &err);
        assert_string_equal(err.text, cases[i].text);
        assert_int_equal(err.code, cases[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_relay_is_named_with_host_and_port),
        cmocka_unit_test(each_failure_has_words_for_an_operator),
        cmocka_unit_test(no_code_of_libcurl_is_without_words_or_tells_a_secret),
        cmocka_unit_test(the_end_of_a_session_has_words_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
