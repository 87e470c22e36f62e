#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/timetext.h"

#define UNTOUCHED (-4711)

static void rfc3339_is_read(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* UNTOUCHED: refused */
    } table[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.001Z", 1},
        {"1970-01-01t00:00:00z", 0},
        {"2026-11-20T11:22:33.456Z", 1795173753456},
        {"2026-11-20T11:22:33.4569999Z", 1795173753456},
        {"2026-11-20T11:22:33.4Z", 1795173753400},
        {"2026-11-20T12:52:33.456+01:30", 1795173753456},
        {"2026-11-20T09:22:33.456-02:00", 1795173753456},
        {"2024-02-29T00:00:00Z", 1709164800000},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"2016-12-31T23:59:60Z", 1483228799000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
        {"1970-01-01T01:00:00+01:00", 0},
        {"1969-12-31T23:00:00-01:00", UNTOUCHED}, /* the year is too small */
        {"1970-01-01T00:00:00+00:01", UNTOUCHED},
        {"9999-12-31T23:59:59-00:01", UNTOUCHED},
        {"2023-02-29T00:00:00Z", UNTOUCHED},
        {"2100-02-29T00:00:00Z", UNTOUCHED},
        {"2026-13-01T00:00:00Z", UNTOUCHED},
        {"2026-00-01T00:00:00Z", UNTOUCHED},
        {"2026-01-00T00:00:00Z", UNTOUCHED},
        {"2026-04-31T00:00:00Z", UNTOUCHED},
        {"2026-01-01T24:00:00Z", UNTOUCHED},
        {"2026-01-01T00:60:00Z", UNTOUCHED},
        {"2026-01-01T00:00:61Z", UNTOUCHED},
        {"2026-01-01T00:00:00", UNTOUCHED},
        {"2026-01-01 00:00:00Z", UNTOUCHED},
        {"2026-01-01T00:00Z", UNTOUCHED},
        {"2026-01-01T00:00:00.Z", UNTOUCHED},
        {"2026-01-01T00:00:00ZZ", UNTOUCHED},
        {"2026-01-01T00:00:00+24:00", UNTOUCHED},
        {"2026-01-01T00:00:00+00:60", UNTOUCHED},
        {"2026-01-01T00:00:00+0100", UNTOUCHED},
        {"2026-01-01T00:00:00+01:00 ", UNTOUCHED},
        {"2026-1-1T00:00:00Z", UNTOUCHED},
        {"+2026-01-01T00:00:00Z", UNTOUCHED},
        {"2026-01-01T00:00:-1Z", UNTOUCHED},
        {"1795173753", UNTOUCHED},
        {"", UNTOUCHED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        int64_t ms = UNTOUCHED;
        enum err_code code =
            timetext_parse_rfc3339(str_from(table[i].text), &ms);
        if (ms != table[i].ms || (code == ERR_NONE) != (ms != UNTOUCHED))
            fail_msg("\"%s\" gave %lld", table[i].text, (long long)ms);
    }
}

static void times_are_written_in_both_forms(void **state)
{
    static const struct {
        int64_t ms;
        const char *rfc3339;
        const char *rfc5322;
    } table[] = {
        {0, "1970-01-01T00:00:00.000Z", "Thu, 1 Jan 1970 00:00:00 +0000"},
        {1795173753456, "2026-11-20T11:22:33.456Z",
         "Fri, 20 Nov 2026 11:22:33 +0000"},
        {1709164800007, "2024-02-29T00:00:00.007Z",
         "Thu, 29 Feb 2024 00:00:00 +0000"},
        {253402300799999, "9999-12-31T23:59:59.999Z",
         "Fri, 31 Dec 9999 23:59:59 +0000"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char one[TIMETEXT_RFC3339_MAX];
        char two[TIMETEXT_RFC5322_MAX];
        timetext_rfc3339(table[i].ms, one);
        timetext_rfc5322(table[i].ms, two);
        assert_string_equal(one, table[i].rfc3339);
        assert_string_equal(two, table[i].rfc5322);
    }
}

static void times_are_written_as_the_system_does(void **state)
{
    const int64_t step_ms = INT64_C(86400000) * 3 + 4023017;
    (void)state;
    for (int64_t ms = 0; ms < INT64_C(253402300799999); ms += step_ms) {
        time_t seconds = (time_t)(ms / 1000);
        struct tm tm;
        char day[64];
        char mail[64];
        char one[TIMETEXT_RFC3339_MAX];
        char two[TIMETEXT_RFC5322_MAX];
        assert_non_null(gmtime_r(&seconds, &tm));
        assert_true(strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S.", &tm) > 0);
        assert_true(strftime(mail, sizeof(mail), " %b %Y %H:%M:%S +0000", &tm) >
                    0);
        timetext_rfc3339(ms, one);
        timetext_rfc5322(ms, two);
        assert_memory_equal(one, day, strlen(day));
        assert_string_equal(strchr(two + 5, ' '), mail);
    }
}

struct amount {
    const char *text;
    int64_t value;     /* UNTOUCHED: refused */
    const char *again; /* as it is written; NULL: as it was */
};

static void durations_have_units(void **state)
{
    static const struct amount table[] = {
        {"0", 0, NULL},
        {"0s", 0, "0"},
        {"250ms", 250, NULL},
        {"1000ms", 1000, "1s"},
        {"30s", 30000, NULL},
        {"90s", 90000, NULL},
        {"120s", 120000, "2m"},
        {"5m", 300000, NULL},
        {"4h", 14400000, NULL},
        {"24h", 86400000, "1d"},
        {"5d", 432000000, NULL},
        {"3650d", 315360000000, NULL},
        {"3651d", UNTOUCHED, NULL},
        {"9007199254740992d", UNTOUCHED, NULL},
        {"99999999999999999999s", UNTOUCHED, NULL},
        {"30", UNTOUCHED, NULL},
        {"00", UNTOUCHED, NULL},
        {"s", UNTOUCHED, NULL},
        {"", UNTOUCHED, NULL},
        {"-5s", UNTOUCHED, NULL},
        {"1.5s", UNTOUCHED, NULL},
        {"5 s", UNTOUCHED, NULL},
        {" 5s", UNTOUCHED, NULL},
        {"5S", UNTOUCHED, NULL},
        {"5sec", UNTOUCHED, NULL},
        {"1h30m", UNTOUCHED, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const struct amount *t = &table[i];
        struct err err = {.code = ERR_NONE};
        struct buf b;
        int64_t value = UNTOUCHED;
        enum err_code code =
            timetext_parse_duration(str_from(t->text), &value, &err);
        if (value != t->value || (code == ERR_NONE) != (value != UNTOUCHED))
            fail_msg("\"%s\" gave %lld", t->text, (long long)value);
        assert_int_equal(code, err.code);
        if (code != ERR_NONE)
            continue;
        buf_init(&b, 64);
        timetext_add_duration(&b, value);
        buf_add_char(&b, '\0');
        assert_string_equal(b.data, t->again != NULL ? t->again : t->text);
        buf_fini(&b);
    }
}

static void sizes_count_by_1024(void **state)
{
    static const struct amount table[] = {
        {"0", 0, NULL},
        {"1", 1, NULL},
        {"1023", 1023, NULL},
        {"1024", 1024, "1K"},
        {"64K", 65536, NULL},
        {"1025K", 1049600, NULL},
        {"256M", 268435456, NULL},
        {"8G", 8589934592, NULL},
        {"8388608G", 9007199254740992, NULL},
        {"9007199254740992", 9007199254740992, "8388608G"},
        {"9007199254740993", UNTOUCHED, NULL},
        {"8388609G", UNTOUCHED, NULL},
        {"", UNTOUCHED, NULL},
        {"K", UNTOUCHED, NULL},
        {"-1K", UNTOUCHED, NULL},
        {"1k", UNTOUCHED, NULL},
        {"1KB", UNTOUCHED, NULL},
        {"1 K", UNTOUCHED, NULL},
        {"1.5G", UNTOUCHED, NULL},
        {"1T", UNTOUCHED, NULL},
        {"5s", UNTOUCHED, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const struct amount *t = &table[i];
        struct buf b;
        int64_t value = UNTOUCHED;
        enum err_code code =
            timetext_parse_size(str_from(t->text), &value, NULL);
        if (value != t->value || (code == ERR_NONE) != (value != UNTOUCHED))
            fail_msg("\"%s\" gave %lld", t->text, (long long)value);
        if (code != ERR_NONE)
            continue;
        buf_init(&b, 64);
        timetext_add_size(&b, value);
        buf_add_char(&b, '\0');
        assert_string_equal(b.data, t->again != NULL ? t->again : t->text);
        buf_fini(&b);
    }
}

static void rates_are_numbers_in_a_time(void **state)
{
    static const struct {
        const char *text;
        double per_s;      /* 0: refused */
        const char *again; /* as it is written; NULL: as it was */
    } table[] = {
        {"14/s", 14.0, NULL},
        {"0.5/s", 0.5, "30/m"},
        {"2.5/s", 2.5, NULL},
        {"0014.250/s", 14.25, "14.25/s"},
        {"600/m", 10.0, "10/s"},
        {"30/m", 0.5, NULL},
        {"59.9/m", 59.9 / 60, NULL},
        {"50000/h", 50000.0 / 3600, "13.889/s"},
        {"1/h", 1.0 / 3600, NULL},
        {"0.25/h", 0.25 / 3600, NULL},
        {"1000000/s", 1e6, NULL},
        {"1000000000000/s", 1e12, NULL},
        {"0.000000001/s", 1e-9, "0/h"},
        {"0.9999/s", 0.9999, "1/s"},
        {"1000000000001/s", 0, NULL},
        {"99999999999999999999/s", 0, NULL},
        {"0.0000000001/s", 0, NULL},
        {"0/s", 0, NULL},
        {"0.0/s", 0, NULL},
        {"-1/s", 0, NULL},
        {"+1/s", 0, NULL},
        {"1e3/s", 0, NULL},
        {"nan/s", 0, NULL},
        {"14", 0, NULL},
        {"14/", 0, NULL},
        {"/s", 0, NULL},
        {"", 0, NULL},
        {"14/d", 0, NULL},
        {"14/ms", 0, NULL},
        {"14/S", 0, NULL},
        {"14 /s", 0, NULL},
        {"14/s ", 0, NULL},
        {"14s", 0, NULL},
        {"14./s", 0, NULL},
        {".5/s", 0, NULL},
        {"1.5.5/s", 0, NULL},
        {"1,5/s", 0, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct err err = {.code = ERR_NONE};
        struct buf b;
        double value = 0;
        enum err_code code =
            timetext_parse_rate(str_from(table[i].text), &value, &err);
        double off = value - table[i].per_s;
        if (off > table[i].per_s * 1e-12 || -off > table[i].per_s * 1e-12 ||
            (code == ERR_NONE) != (table[i].per_s > 0))
            fail_msg("\"%s\" gave %g", table[i].text, value);
        assert_int_equal(code, err.code);
        if (code != ERR_NONE)
            continue;
        buf_init(&b, 64);
        timetext_add_rate(&b, value);
        buf_add_char(&b, '\0');
        assert_string_equal(b.data, table[i].again != NULL ? table[i].again
                                                           : table[i].text);
        buf_fini(&b);
    }
}

static void nothing_at_all_is_refused(void **state)
{
    const struct str nothing = {NULL, 0};
    int64_t value = UNTOUCHED;
    (void)state;
    assert_int_equal(timetext_parse_duration(nothing, &value, NULL),
                     ERR_INVALID);
    assert_int_equal(timetext_parse_size(nothing, &value, NULL), ERR_INVALID);
    double rate;
    assert_int_equal(timetext_parse_rate(nothing, &rate, NULL), ERR_INVALID);
    assert_int_equal(timetext_parse_rfc3339(nothing, &value), ERR_INVALID);
    assert_int_equal(value, UNTOUCHED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc3339_is_read),
        cmocka_unit_test(times_are_written_in_both_forms),
        cmocka_unit_test(times_are_written_as_the_system_does),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(sizes_count_by_1024),
        cmocka_unit_test(rates_are_numbers_in_a_time),
        cmocka_unit_test(nothing_at_all_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
