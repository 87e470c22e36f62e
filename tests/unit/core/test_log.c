#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/log.h"

/* A pipe that the log goes to while the test runs. */
struct tap {
    int ends[2];
    char text[8192];
};

static int open_tap(void **state)
{
    static struct tap tap;
    assert_int_equal(pipe(tap.ends), 0);
    log_setup(tap.ends[1], LOG_LEVEL_INFO);
    *state = &tap;
    return 0;
}

static int close_tap(void **state)
{
    struct tap *tap = *state;
    log_setup(STDERR_FILENO, LOG_LEVEL_INFO);
    (void)close(tap->ends[0]);
    (void)close(tap->ends[1]);
    return 0;
}

/* What has been written since; a mark behind it keeps read(2) from waiting. */
static const char *written(struct tap *tap)
{
    assert_int_equal(write(tap->ends[1], "", 1), 1);
    ssize_t n = read(tap->ends[0], tap->text, sizeof(tap->text));
    assert_true(n >= 1);
    assert_int_equal(tap->text[n - 1], '\0');
    return tap->text;
}

/* What stands behind the time. */
static const char *behind_time(const char *line)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ ";
    for (size_t i = 0; form[i] != '\0'; i++) {
        if (form[i] == 'd')
            assert_in_range(line[i], '0', '9');
        else
            assert_int_equal(line[i], form[i]);
    }
    return line + strlen(form);
}

static void event_is_one_line_of_keys_and_values(void **state)
{
    log_event(LOG_LEVEL_INFO, "job.delivered", LOG_TEXT("job", "01k"),
              LOG_INT("attempts", 3), LOG_STR("relay", STR("main")),
              LOG_INT("least", INT64_MIN));
    assert_string_equal(behind_time(written(*state)),
                        "info event=job.delivered job=01k attempts=3 "
                        "relay=main least=-9223372036854775808\n");
}

static void values_cannot_break_the_line(void **state)
{
    static const struct {
        const char *value;
        const char *shown;
    } table[] = {
        {"plain!#%&'()*+,-./:;<>?@[]^_`{|}~", NULL},
        {"", "\"\""},
        {NULL, "\"\""},
        {"a b", "\"a b\""},
        {"a=b", "\"a=b\""},
        {"a\"b", "\"a\\\"b\""},
        {"a\\b", "\"a\\\\b\""},
        {"a\nb", "\"a\\nb\""},
        {"a\r\nb", "\"a\\r\\nb\""},
        {"a\tb", "\"a\\x09b\""},
        {"\x1b[31m", "\"\\x1b[31m\""},
        {"\x7f", "\"\\x7f\""},
        {"\xc3\xa4\xe2\x82\xac", "\"\xc3\xa4\xe2\x82\xac\""},
        {"\xc2\x85", "\"\\xc2\\x85\""},          /* NEL ends lines */
        {"\xc2\x9b", "\"\\xc2\\x9b\""},          /* CSI moves cursors */
        {"\xe2\x80\xa8", "\"\\xe2\\x80\\xa8\""}, /* line separator */
        {"\xff\xc3", "\"\\xff\\xc3\""},          /* no UTF-8 */
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const char *shown =
            table[i].shown != NULL ? table[i].shown : table[i].value;
        log_event(LOG_LEVEL_ERROR, "e", LOG_TEXT("v", table[i].value));
        const char *line = behind_time(written(*state));
        const char *value = strstr(line, " v=") + 3;
        if (strncmp(value, shown, strlen(shown)) != 0 ||
            strcmp(value + strlen(shown), "\n") != 0)
            fail_msg("row %zu: %s", i, value);
    }
    log_event(LOG_LEVEL_ERROR, "e", LOG_STR("v", STR("a\0b")));
    assert_non_null(strstr(written(*state), "v=\"a\\x00b\"\n"));
}

static void levels_below_the_set_one_are_not_written(void **state)
{
    struct tap *tap = *state;
    log_event(LOG_LEVEL_DEBUG, "no", LOG_INT("n", 1));
    assert_string_equal(written(tap), "");
    log_setup(tap->ends[1], LOG_LEVEL_DEBUG);
    log_event(LOG_LEVEL_DEBUG, "yes", LOG_INT("n", 1));
    assert_string_equal(behind_time(written(tap)), "debug event=yes n=1\n");
    log_setup(tap->ends[1], LOG_LEVEL_ERROR);
    log_event(LOG_LEVEL_WARNING, "no", LOG_INT("n", 1));
    assert_string_equal(written(tap), "");
    assert_false(log_enabled(LOG_LEVEL_WARNING));
    assert_true(log_enabled(LOG_LEVEL_ERROR));
    log_event(LOG_LEVEL_ERROR, "yes", LOG_INT("n", 1));
    assert_string_equal(behind_time(written(tap)), "error event=yes n=1\n");
    log_setup(tap->ends[1], LOG_LEVEL_INFO);
}

static void long_line_is_cut_and_still_one_line(void **state)
{
    static char value[10000];
    static const char fills[] = {'x', ' ', '\x01', '\xc3'};
    for (size_t i = 0; i < sizeof(fills); i++) {
        memset(value, fills[i], sizeof(value) - 1);
        log_event(LOG_LEVEL_ERROR, "long", LOG_TEXT("v", value),
                  LOG_INT("behind", 5));
        const char *line = written(*state);
        size_t len = strlen(line);
        assert_in_range(len, 4000, 4096);
        assert_ptr_equal(strchr(line, '\n'), line + len - 1);
        if (fills[i] != 'x')
            assert_ptr_not_equal(strrchr(line, '"'), strchr(line, '"'));
    }
}

static void line_nobody_reads_is_dropped(void **state)
{
    struct tap *tap = *state;
    log_setup(-1, LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_ERROR, "lost", LOG_INT("n", 1));
    log_setup(tap->ends[1], LOG_LEVEL_INFO);
    assert_string_equal(written(tap), "");
}

static void level_names_are_read(void **state)
{
    enum log_level level = LOG_LEVEL_INFO;
    (void)state;
    assert_true(log_level_parse(STR("debug"), &level));
    assert_int_equal(level, LOG_LEVEL_DEBUG);
    assert_true(log_level_parse(STR("error"), &level));
    assert_int_equal(level, LOG_LEVEL_ERROR);
    assert_false(log_level_parse(STR("Warning"), &level));
    assert_false(log_level_parse(STR(""), &level));
    assert_int_equal(level, LOG_LEVEL_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event_is_one_line_of_keys_and_values),
        cmocka_unit_test(values_cannot_break_the_line),
        cmocka_unit_test(levels_below_the_set_one_are_not_written),
        cmocka_unit_test(long_line_is_cut_and_still_one_line),
        cmocka_unit_test(line_nobody_reads_is_dropped),
        cmocka_unit_test(level_names_are_read),
    };
    return cmocka_run_group_tests(tests, open_tap, close_tap);
}
