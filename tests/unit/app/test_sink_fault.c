#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/sink/sink_fault.h"

static struct sink_faults faults_of(const char *first, const char *second)
{
    struct sink_faults f;
    struct err err;
    sink_faults_init(&f);
    if (sink_faults_add(&f, str_from(first), &err) != ERR_NONE)
        fail_msg("%s: %s", first, err.text);
    if (second != NULL &&
        sink_faults_add(&f, str_from(second), &err) != ERR_NONE)
        fail_msg("%s: %s", second, err.text);
    return f;
}

static const struct sink_fault *pick(struct sink_faults *f,
                                     enum sink_stage stage, const char *subject)
{
    struct sink_facts facts = {.subject = str_from(subject)};
    return sink_faults_pick(f, stage, &facts);
}

static void globs_match_text(void **state)
{
    static const struct {
        const char *glob;
        const char *text;
        bool matches;
    } rows[] = {
        {"*", "", true},
        {"*", "abc", true},
        {"", "", true},
        {"", "a", false},
        {"abc", "ABC", true},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"*@bad.test", "x@bad.test", true},
        {"*@bad.test", "x@bad.test.org", false},
        {"a*b*c", "aXbYbZc", true},
        {"a*b*c", "aXbYbZ", false},
        {"**a", "bca", true},
        {"*ab", "aab", true},
        {"?", "", false},
        {"*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (sink_glob(str_from(rows[i].glob), str_from(rows[i].text)) !=
            rows[i].matches)
            fail_msg("%s %s", rows[i].glob, rows[i].text);
}

static void wrong_rules_are_refused_with_a_reason(void **state)
{
    static const struct {
        const char *rule;
        const char *word; /* in the reason */
    } rows[] = {
        {"", "stage"},
        {"nowhere:drop", "nowhere"},
        {"rcpt", "nothing happens"},
        {"rcpt:", "nothing happens"},
        {"rcpt:count=1", "nothing happens"},
        {"rcpt:explode", "explode"},
        {"rcpt:drop=1", "no value"},
        {"rcpt:drop,stall", "only one"},
        {"rcpt:rate=2,drop", "0 to 1"},
        {"rcpt:rate=1.5,drop", "0 to 1"},
        {"rcpt:rate=x,drop", "0 to 1"},
        {"rcpt:rate=.,drop", "0 to 1"},
        {"rcpt:rate=-1,drop", "0 to 1"},
        {"rcpt:rate,drop", "needs a value"},
        {"rcpt:rate=,drop", "needs a value"},
        {"rcpt:count=0,drop", "1 or more"},
        {"rcpt:count=x,drop", "whole number"},
        {"rcpt:delay=soon", "delay"},
        {"rcpt:reply=", "needs a value"},
        {"rcpt:reply=no", "200..599"},
        {"rcpt:reply=199 x", "200..599"},
        {"rcpt:reply=600 x", "200..599"},
        {"rcpt:reply=550x", "200..599"},
        {"rcpt:reply=550 a\nb", "control"},
        {"rcpt:half", "follow"},
        {"rcpt:half=0,drop", "1 or more"},
        {"rcpt:after=5,drop", "no meaning"},
        {"rset:match=a,drop", "no meaning"},
        {"mail:from=a,drop", "no meaning"},
        {"rcpt:discard", "no meaning"},
        {"rcpt:cert=expired", "no meaning"},
        {"tls:cert=rusty", "expired"},
        {"tls:reply=550 x", "no meaning"},
        {"accept:delay=1", "no meaning"},
        {"body:reply=421 x", NULL}, /* 421 closes, so something follows */
        {"body:reply=451 x", "follow"},
        {"rcpt:,drop", "none of"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sink_faults f;
        struct err err = {.text = ""};
        sink_faults_init(&f);
        enum err_code code = sink_faults_add(&f, str_from(rows[i].rule), &err);
        if (rows[i].word == NULL
                ? code != ERR_NONE
                : code != ERR_INVALID ||
                      !str_contains(str_from(err.text), str_from(rows[i].word)))
            fail_msg("%s: %s", rows[i].rule, err.text);
        sink_faults_fini(&f);
    }
}

static void replies_become_lines(void **state)
{
    static const struct {
        const char *rule;
        const char *reply;
    } rows[] = {
        {"rcpt:reply=550 5.1.1 no such user", "550 5.1.1 no such user\r\n"},
        {"rcpt:reply=550 a, b, drop", "550 a, b, drop\r\n"},
        {"rcpt:reply=550", "550\r\n"},
        {"rcpt:reply=550 ", "550\r\n"},
        {"rcpt:reply=550 a\\nb\\nc", "550-a\r\n550-b\r\n550 c\r\n"},
        {"rcpt:reply=550 a\\n", "550-a\r\n550\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sink_faults f = faults_of(rows[i].rule, NULL);
        assert_string_equal(f.rules[0].reply, rows[i].reply);
        sink_faults_fini(&f);
    }
}

static void items_are_read(void **state)
{
    struct sink_faults f = faults_of(
        "rcpt:match=a*,from=b*,rate=0.25,skip=3,count=2,delay=2s,half=7,stall",
        NULL);
    const struct sink_fault *r = &f.rules[0];
    (void)state;
    assert_true(str_equal(r->match, STR("a*")));
    assert_true(str_equal(r->from, STR("b*")));
    assert_true(r->rate > 0.2499 && r->rate < 0.2501);
    assert_int_equal(r->skip, 3);
    assert_int_equal(r->count, 2);
    assert_int_equal(r->delay_ms, 2000);
    assert_true(r->half);
    assert_int_equal(r->half_bytes, 7);
    assert_int_equal(r->end, SINK_END_STALL);
    sink_faults_fini(&f);
}

static void skip_and_count_bound_how_often(void **state)
{
    struct sink_faults f = faults_of("mail:skip=1,count=2,drop", NULL);
    (void)state;
    assert_null(pick(&f, SINK_STAGE_MAIL, "a"));
    assert_non_null(pick(&f, SINK_STAGE_MAIL, "a"));
    assert_null(pick(&f, SINK_STAGE_RCPT, "a"));
    assert_non_null(pick(&f, SINK_STAGE_MAIL, "a"));
    assert_null(pick(&f, SINK_STAGE_MAIL, "a"));
    assert_int_equal(f.rules[0].fired, 2);
    sink_faults_fini(&f);
}

static void the_first_rule_that_fires_decides(void **state)
{
    struct sink_faults f =
        faults_of("rcpt:match=*@bad,count=1,reply=550 x", "rcpt:reply=450 y");
    (void)state;
    assert_int_equal(pick(&f, SINK_STAGE_RCPT, "a@good")->code, 450);
    assert_int_equal(pick(&f, SINK_STAGE_RCPT, "a@BAD")->code, 550);
    assert_int_equal(pick(&f, SINK_STAGE_RCPT, "a@bad")->code, 450);
    sink_faults_fini(&f);
}

static void rate_follows_the_seed(void **state)
{
    unsigned fired[3] = {0, 0, 0};
    (void)state;
    for (unsigned run = 0; run < 3; run++) {
        struct sink_faults f = faults_of("final:rate=0.3,drop", NULL);
        unsigned pattern = 0;
        sink_faults_seed(&f, run == 2 ? 8 : 7);
        for (int i = 0; i < 1000; i++) {
            bool hit = pick(&f, SINK_STAGE_FINAL, NULL) != NULL;
            pattern = pattern * 31 + (hit ? 1 : 0);
        }
        assert_in_range(f.rules[0].fired, 220, 380);
        fired[run] = pattern;
        sink_faults_fini(&f);
    }
    assert_int_equal(fired[0], fired[1]);
    assert_int_not_equal(fired[0], fired[2]);
}

static void later_stages_match_sender_and_any_recipient(void **state)
{
    struct sink_faults f =
        faults_of("final:match=*@bad,from=boss@*,reply=554 x", NULL);
    struct sink_envelope e;
    struct sink_facts facts = {.envelope = &e};
    (void)state;
    sink_envelope_init(&e);
    sink_envelope_begin(&e, STR("boss@x"));
    sink_envelope_add(&e, STR("a@good"));
    assert_null(sink_faults_pick(&f, SINK_STAGE_FINAL, &facts));
    sink_envelope_add(&e, STR("b@bad"));
    assert_non_null(sink_faults_pick(&f, SINK_STAGE_FINAL, &facts));
    sink_envelope_begin(&e, STR("clerk@x"));
    sink_envelope_add(&e, STR("b@bad"));
    assert_null(sink_faults_pick(&f, SINK_STAGE_FINAL, &facts));
    sink_envelope_fini(&e);
    sink_faults_fini(&f);
}

static void after_is_the_place_in_the_stream(void **state)
{
    struct sink_faults f =
        faults_of("body:after=100,drop", "body:after=20,count=1,delay=5");
    struct sink_facts facts = {.bytes = 20};
    (void)state;
    assert_int_equal(sink_faults_next_after(&f, SINK_STAGE_BODY, 0), 20);
    assert_int_equal(sink_faults_next_after(&f, SINK_STAGE_BODY, 20), 20);
    assert_int_equal(sink_faults_next_after(&f, SINK_STAGE_BODY, 21), 100);
    assert_true(sink_faults_next_after(&f, SINK_STAGE_BODY, 101) == UINT64_MAX);
    assert_true(sink_faults_next_after(&f, SINK_STAGE_INPUT, 0) == UINT64_MAX);
    assert_int_equal(sink_faults_pick(&f, SINK_STAGE_BODY, &facts)->delay_ms,
                     5);
    assert_null(sink_faults_pick(&f, SINK_STAGE_BODY, &facts));
    facts.bytes = 100;
    assert_int_equal(sink_faults_pick(&f, SINK_STAGE_BODY, &facts)->end,
                     SINK_END_DROP);
    sink_faults_fini(&f);
}

static void only_refusals_and_silence_have_no_effect(void **state)
{
    static const struct {
        const char *rule;
        bool refuses;
    } rows[] = {
        {"rcpt:reply=550 x", true},
        {"rcpt:reply=450 x", true},
        {"rcpt:reply=250 x", false},
        {"rcpt:delay=1", false},
        {"rcpt:drop", true},
        {"rcpt:stall", true},
        {"rcpt:half,drop", false},
        {"rcpt:reply=250 x,drop", false},
        {"rcpt:drop,reply=550 x", true},
    };
    (void)state;
    assert_false(sink_fault_refuses(NULL));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sink_faults f = faults_of(rows[i].rule, NULL);
        if (sink_fault_refuses(&f.rules[0]) != rows[i].refuses)
            fail_msg("%s", rows[i].rule);
        sink_faults_fini(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(globs_match_text),
        cmocka_unit_test(wrong_rules_are_refused_with_a_reason),
        cmocka_unit_test(replies_become_lines),
        cmocka_unit_test(items_are_read),
        cmocka_unit_test(skip_and_count_bound_how_often),
        cmocka_unit_test(the_first_rule_that_fires_decides),
        cmocka_unit_test(rate_follows_the_seed),
        cmocka_unit_test(later_stages_match_sender_and_any_recipient),
        cmocka_unit_test(after_is_the_place_in_the_stream),
        cmocka_unit_test(only_refusals_and_silence_have_no_effect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
