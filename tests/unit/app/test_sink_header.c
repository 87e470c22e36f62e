#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/sink/sink_header.h"

static const struct {
    const char *message;
    const char *id;
} rows[] = {
    {"Message-ID: <a@b>\r\n\r\n", "<a@b>"},
    {"MESSAGE-id:<a@b>\r\n\r\n", "<a@b>"},
    {"Subject: x\r\nMessage-ID:  <a@b> \r\nTo: y\r\n\r\n", "<a@b>"},
    {"Message-ID:\r\n <a@b>\r\n\r\n", "<a@b>"},
    {"Message-ID: <a@\r\n\tb>\r\n\r\n", "<a@\tb>"},
    {"Message-ID: <1@x>\r\nMessage-ID: <2@x>\r\n\r\n", "<1@x>"},
    {"Message-IDs: <a@b>\r\n\r\n", ""},
    {"X-Message-ID: <a@b>\r\n\r\n", ""},
    {"\r\nMessage-ID: <a@b>\r\n\r\n", ""},
    {"Subject: x\r\n\r\nMessage-ID: <a@b>\r\n", ""},
    {"Mess\r\nMessage-ID: <a@b>\r\n\r\n", "<a@b>"},
    {"Subject: x\nMessage-ID: <a@b>\n\n", "<a@b>"},
    {"Message-ID: <cut@short", "<cut@short"},
    {"", ""},
};

static void message_id_is_found_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct str message = str_from(rows[i].message);
        for (size_t split = 0; split <= message.len; split++) {
            struct sink_header h;
            sink_header_start(&h);
            sink_header_feed(&h, str_of(message.data, split));
            sink_header_feed(&h, str_after(message, split));
            if (!str_equal(sink_header_id(&h), str_from(rows[i].id)))
                fail_msg("row %zu split at %zu: \"%.*s\"", i, split,
                         STR_ARG(sink_header_id(&h)));
        }
    }
}

static void endless_id_is_cut(void **state)
{
    struct sink_header h;
    (void)state;
    sink_header_start(&h);
    sink_header_feed(&h, STR("Message-ID: <"));
    for (int i = 0; i < 100; i++)
        sink_header_feed(&h, STR("0123456789012345678901234567890123456789"));
    assert_int_equal(sink_header_id(&h).len, SINK_HEADER_ID_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_id_is_found_at_every_split),
        cmocka_unit_test(endless_id_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
