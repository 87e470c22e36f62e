#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app/cli/show_list.h"
#include "app/cli/show_stats.h"
#include "app/cli/show_trail.h"

/* What became of jobs, in words: trails, advice, lists, troubles. */
#define NOW_MS   1795173600000 /* 2026-11-20T11:20:00Z */
#define TODAY    "\"at\":\"2026-11-20T11:02:03.456Z\""
#define ID       "01kadp2v4tq8w3zr5m6n7b9c0d"
#define OF_TODAY "    11:02:03  "

typedef void (*show_fn)(FILE *out, const struct json_node *node);

/* What fn writes for json; the caller frees it. */
static char *shown(const char *json, show_fn fn)
{
    struct json_node *root;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    assert_int_equal(jsontree_parse(str_from(json), &root, NULL), ERR_NONE);
    fn(out, root);
    assert_int_equal(fclose(out), 0);
    jsontree_destroy(root);
    return text;
}

static void trail(FILE *out, const struct json_node *node)
{
    show_trail(out, node, NOW_MS);
}

static void list(FILE *out, const struct json_node *node)
{
    show_list(out, node, NOW_MS);
}

static void stats(FILE *out, const struct json_node *node)
{
    show_stats(out, node, NOW_MS);
}

static void expect(const char *json, show_fn fn, const char *expected)
{
    char *text = shown(json, fn);
    assert_string_equal(text, expected);
    free(text);
}

static void test_every_event_has_words(void **state)
{
    (void)state;
    static const struct {
        const char *event;
        const char *words;
    } rows[] = {
        {"\"accepted\"", "accepted"},
        {"\"released\",\"text\":\"no route\"",
         "put back without an attempt: no route"},
        {"\"released\",\"relay\":\"main\",\"text\":\"refused\"",
         "put back without an attempt (relay main): refused"},
        {"\"interrupted\",\"attempt\":1",
         "attempt 1 was interrupted: the daemon ended before the relay's "
         "answer, it may have been delivered"},
        {"\"interrupted\",\"attempt\":1,\"relay\":\"main\"",
         "attempt 1 at relay main was interrupted: the daemon ended before the "
         "relay's answer, it may have been delivered"},
        {"\"held\",\"text\":\"why\"", "held, waits for a person: why"},
        {"\"retried\"", "a person asked to try it again"},
        {"\"cancelled\"", "cancelled by its client"},
        {"\"dropped\"", "dropped by a person"},
        {"\"expired\"", "its time to be delivered (expires_at) was over"},
        {"\"given_up\"",
         "given up: not delivered in the time allowed (retry.give_up)"},
        {"\"made_up\",\"text\":\"x\\n\"", "made_up: x\\n"},
        {"\"attempt\"", "attempt 0"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char json[256];
        char expected[256];
        (void)snprintf(json, sizeof(json), "[{" TODAY ",\"event\":%s}]",
                       rows[i].event);
        (void)snprintf(expected, sizeof(expected),
                       "  what happened\n" OF_TODAY "%s\n", rows[i].words);
        expect(json, trail, expected);
    }
}

static void test_outcomes_of_attempts_have_words(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *words;
    } rows[] = {
        {"deferred: 451 4.7.1 Greylisting",
         "refused for now: 451 4.7.1 Greylisting"},
        {"deferred: connection lost", "not delivered yet: connection lost"},
        {"deferred", "not delivered yet"},
        {"refused: 550 5.1.1 No", "refused for good: 550 5.1.1 No"},
        {"delivered: 250 ok", "delivered: 250 ok"},
        {"not tried", "not tried"},
        {"answer lost",
         "the relay's answer was lost after the whole message was sent: it may "
         "have been delivered"},
        {"answer lost: timeout",
         "the relay's answer was lost after the whole message was sent: it may "
         "have been delivered: timeout"},
        /* Of several recipients: as the daemon counts them. */
        {"refused 1, delivered to 3: 550 No", "refused 1, delivered to 3: 550 "
                                              "No"},
        {"deferred 4", "deferred 4"},
        {"answer lost for 2: timeout",
         "answer lost for 2: timeout (where the relay's answer was lost the "
         "whole message was sent: it may have been delivered)"},
        {"deferredly", "deferredly"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char json[256];
        char expected[300];
        (void)snprintf(json, sizeof(json),
                       "[{" TODAY ",\"event\":\"attempt\",\"attempt\":1,"
                       "\"relay\":\"main\",\"text\":\"%s\"}]",
                       rows[i].text);
        (void)snprintf(expected, sizeof(expected),
                       "  what happened\n" OF_TODAY
                       "attempt 1 at relay main: %s\n",
                       rows[i].words);
        expect(json, trail, expected);
    }
}

static void test_a_trail_of_days_has_dates(void **state)
{
    (void)state;
    expect("[{\"at\":\"2026-11-19T23:59:59Z\",\"event\":\"accepted\"},"
           "{" TODAY ",\"event\":\"retried\"},"
           "{\"at\":\"no time\",\"event\":\"dropped\"}]",
           trail,
           "  what happened\n"
           "    2026-11-19 23:59:59  accepted\n"
           "    2026-11-20 11:02:03  a person asked to try it again\n"
           "                         dropped by a person\n");
}

static void test_a_trail_says_what_is_left_out(void **state)
{
    (void)state;
    expect("[{" TODAY ",\"event\":\"accepted\"},"
           "{" TODAY ",\"event\":\"attempt\",\"attempt\":7},"
           "{" TODAY ",\"event\":\"attempt\",\"attempt\":8},"
           "{" TODAY ",\"event\":\"attempt\",\"attempt\":10},"
           "{" TODAY ",\"event\":\"held\"}]",
           trail,
           "  what happened\n" OF_TODAY "accepted\n"
           "    (6 more attempts, not kept)\n" OF_TODAY "attempt 7\n" OF_TODAY
           "attempt 8\n"
           "    (1 more attempt, not kept)\n" OF_TODAY "attempt 10\n" OF_TODAY
           "held, waits for a person\n");
}

static void test_advice_is_for_those_who_can_take_it(void **state)
{
    (void)state;
    static const struct {
        const char *job;
        const char *part; /* NULL: nothing at all is said */
        bool retry;
        bool drop;
    } rows[] = {
        {"\"held\",\"body\":true", "may arrive twice", true, true},
        {"\"held\"", "may arrive twice", true, true},
        {"\"failed\",\"body\":true", "do not have it", true, true},
        {"\"expired\",\"body\":true", "do not have it", true, true},
        {"\"failed\",\"body\":false", "no longer kept", false, false},
        {"\"failed\"", NULL, false, false},
        {"\"delivered\",\"body\":false", NULL, false, false},
        {"\"cancelled\",\"body\":false", NULL, false, false},
        {"\"deferred\",\"body\":true", NULL, false, false},
        {"\"queued\",\"body\":true", NULL, false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char json[128];
        (void)snprintf(json, sizeof(json), "{\"id\":\"" ID "\",\"state\":%s}",
                       rows[i].job);
        char *text = shown(json, show_trail_advice);
        assert_int_equal(strlen(text) > 0, rows[i].part != NULL);
        if (rows[i].part != NULL)
            assert_non_null(strstr(text, rows[i].part));
        assert_int_equal(strstr(text, "postrider retry " ID "\n") != NULL,
                         rows[i].retry);
        assert_int_equal(strstr(text, "postrider drop " ID "\n") != NULL,
                         rows[i].drop);
        free(text);
    }
}

#define JOB "{\"id\":\"" ID "\",\"created_at\":\"2026-11-20T11:03:20Z\","

static void test_a_list_is_a_line_each(void **state)
{
    (void)state;
    static const struct {
        const char *rest;
        const char *line; /* behind the id */
    } rows[] = {
        {"\"state\":\"queued\",\"attempts\":0,\"recipients\":["
         "{\"address\":\"ann@example.net\",\"state\":\"pending\"}]}",
         "  queued      16m      0  -           "
         "ann@example.net                   -\n"},
        {"\"state\":\"deferred\",\"attempts\":12,"
         "\"next_attempt_at\":\"2026-11-20T11:25:00Z\",\"recipients\":["
         "{\"address\":\"a@x.org\",\"state\":\"delivered\",\"reply\":\"250\"},"
         "{\"address\":\"b@x.org\",\"state\":\"deferred\",\"reply\":\"451\"},"
         "{\"address\":\"c@x.org\",\"state\":\"deferred\",\"reply\":\"452\"}]}",
         "  deferred    16m     12  in 5 min    "
         "a@x.org +2                        451\n"},
        /* Due since long: now. */
        {"\"state\":\"queued\",\"attempts\":1,"
         "\"next_attempt_at\":\"2026-11-20T10:00:00Z\",\"recipients\":["
         "{\"address\":\"a@x.org\",\"state\":\"pending\"}],"
         "\"recipients_left_out\":900,\"note\":\"relay main: \\u001b[1m\"}",
         "  queued      16m      1  now         "
         "a@x.org +900                      relay main: \\x1b[1m\n"},
        {"\"state\":\"failed\",\"attempts\":1,\"recipients\":["
         "{\"address\":\"0123456789012345678901234567890@example.org\","
         "\"state\":\"failed\",\"reply\":\"550 "
         "x123456789x123456789x123456789x123456789x123456789x123456789\"}]}",
         "  failed      16m      1  -           "
         "01234567890123456789012345678...  550 "
         "x123456789x123456789x123456789x123456789x123456789x12...\n"},
        {"\"state\":\"delivered\"}", "  delivered   16m      0  -           "
                                     "                                  -\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char json[700];
        char expected[300];
        (void)snprintf(json, sizeof(json), "[" JOB "%s]", rows[i].rest);
        (void)snprintf(expected, sizeof(expected), ID "%s", rows[i].line);
        expect(json, list, expected);
    }
}

static void test_ages_are_short(void **state)
{
    (void)state;
    static const struct {
        const char *created;
        const char *age;
    } rows[] = {
        {"2026-11-20T11:20:00Z", "   0s"}, {"2026-11-20T11:18:01Z", " 119s"},
        {"2026-11-20T11:18:00Z", "   2m"}, {"2026-11-20T09:20:00Z", "   2h"},
        {"2026-11-18T11:20:00Z", "   2d"}, {"2026-11-20T12:00:00Z", "   0s"},
        {"2024-02-25T11:20:00Z", " 999d"}, {"x", "    -"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char json[128];
        (void)snprintf(json, sizeof(json),
                       "[{\"state\":\"failed\",\"created_at\":\"%s\"}]",
                       rows[i].created);
        char *text = shown(json, list);
        const char *behind = strstr(text, "failed");
        assert_non_null(behind);
        if (strncmp(behind + 10, rows[i].age, 5) != 0)
            fail_msg("%s gives %s", rows[i].created, text);
        free(text);
    }
}

static void test_a_spool_in_trouble_is_told(void **state)
{
    (void)state;
    char *text = shown("{\"ok\":true,\"spool\":{\"jobs\":1,\"unrecorded\":2,"
                       "\"disk_error\":\"No space left\"}}",
                       stats);
    assert_non_null(strstr(text, "disk error              No space left\n"));
    assert_non_null(strstr(text, "CANNOT BE WRITTEN"));
    assert_non_null(strstr(text, "wait for the disk"));
    free(text);
    text = shown("{\"ok\":true,\"spool\":{\"jobs\":1,\"commits\":1234,"
                 "\"unrecorded\":0}}",
                 stats);
    assert_non_null(strstr(text, "commits                 1,234\n"));
    assert_null(strstr(text, "("));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_event_has_words),
        cmocka_unit_test(test_outcomes_of_attempts_have_words),
        cmocka_unit_test(test_a_trail_of_days_has_dates),
        cmocka_unit_test(test_a_trail_says_what_is_left_out),
        cmocka_unit_test(test_advice_is_for_those_who_can_take_it),
        cmocka_unit_test(test_a_list_is_a_line_each),
        cmocka_unit_test(test_ages_are_short),
        cmocka_unit_test(test_a_spool_in_trouble_is_told),
    };
    (void)setenv("TZ", "UTC", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
