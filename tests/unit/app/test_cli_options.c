#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "app/cli/options.h"

/* Options from tables: where values go, what is left, what is refused. */
struct values {
    bool flag;
    const char *text;
    struct text_list list;
    int64_t wait_ms;
    int64_t time_ms;
    int64_t count;
};

static const struct option_spec table[] = {
    {.name = "flag",
     .letter = 'f',
     .kind = OPTION_FLAG,
     .offset = offsetof(struct values, flag),
     .help = "a flag"},
    {.name = "text",
     .letter = 't',
     .kind = OPTION_TEXT,
     .offset = offsetof(struct values, text),
     .argument = "WORD",
     .help = "a text"},
    {.name = "list",
     .kind = OPTION_LIST,
     .offset = offsetof(struct values, list),
     .argument = "WORD",
     .help = "a list"},
    {.name = "wait",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct values, wait_ms),
     .min = 1,
     .max = 60000,
     .argument = "TIME",
     .when_alone = "7s",
     .help = "a duration that may stand alone"},
    {.name = "time",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct values, time_ms),
     .max = 60000,
     .argument = "TIME",
     .by_default = "3s",
     .help = "a duration"},
    {.name = "count",
     .kind = OPTION_COUNT,
     .offset = offsetof(struct values, count),
     .min = 2,
     .max = 9,
     .argument = "N",
     .by_default = "4",
     .help = "a number"},
};

#define WORDS_MAX 8

struct parsed {
    struct values values;
    struct option_words words;
    char *argv[WORDS_MAX];
    enum err_code code;
    struct err err;
};

/* words are split at blanks; "_" stands for an empty one. */
static void parse(struct parsed *p, char *words, bool until_operand)
{
    char *save = NULL;
    const struct option_set set = {table, sizeof(table) / sizeof(table[0]),
                                   &p->values};
    memset(p, 0, sizeof(*p));
    for (char *w = strtok_r(words, " ", &save); w != NULL;
         w = strtok_r(NULL, " ", &save)) {
        assert_true(p->words.argc < WORDS_MAX);
        p->argv[p->words.argc++] = strcmp(w, "_") == 0 ? w + 1 : w;
    }
    options_defaults(&set);
    p->words.argv = p->argv;
    p->code = options_parse(&set, 1, until_operand, &p->words, &p->err);
}

static void done(struct parsed *p)
{
    const struct option_set set = {table, sizeof(table) / sizeof(table[0]),
                                   &p->values};
    options_fini(&set);
    assert_null(p->values.list.items);
}

static void test_defaults_hold_when_nothing_is_given(void **state)
{
    (void)state;
    char words[] = "";
    struct parsed p;
    parse(&p, words, false);
    assert_int_equal(p.code, ERR_NONE);
    assert_int_equal(p.words.operands, 0);
    assert_false(p.values.flag);
    assert_null(p.values.text);
    assert_int_equal(p.values.wait_ms, 0);
    assert_int_equal(p.values.time_ms, 3000);
    assert_int_equal(p.values.count, 4);
    done(&p);
}

static void test_all_ways_to_write_a_value(void **state)
{
    (void)state;
    static const char *const ways[] = {"--text abc", "--text=abc", "-t abc",
                                       "-tabc", "--text xyz --text=abc"};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        char words[64];
        struct parsed p;
        (void)snprintf(words, sizeof(words), "%s", ways[i]);
        parse(&p, words, false);
        assert_int_equal(p.code, ERR_NONE);
        assert_string_equal(p.values.text, "abc");
        assert_int_equal(p.words.operands, 0);
        done(&p);
    }
}

static void test_values_may_be_empty_or_look_like_options(void **state)
{
    (void)state;
    char words[] = "--text --flag --list= --list _ --list -";
    struct parsed p;
    parse(&p, words, false);
    assert_int_equal(p.code, ERR_NONE);
    assert_string_equal(p.values.text, "--flag");
    assert_false(p.values.flag);
    assert_int_equal(p.values.list.count, 3);
    assert_string_equal(p.values.list.items[0], "");
    assert_string_equal(p.values.list.items[1], "");
    assert_string_equal(p.values.list.items[2], "-");
    done(&p);
}

static void test_operands_come_to_the_front_in_order(void **state)
{
    (void)state;
    char words[] = "one --flag - --count 9 two -- --text";
    struct parsed p;
    parse(&p, words, false);
    assert_int_equal(p.code, ERR_NONE);
    assert_int_equal(p.words.operands, 4);
    assert_string_equal(p.argv[0], "one");
    assert_string_equal(p.argv[1], "-");
    assert_string_equal(p.argv[2], "two");
    assert_string_equal(p.argv[3], "--text");
    assert_int_equal(p.values.count, 9);
    done(&p);
}

static void test_reading_until_the_first_operand(void **state)
{
    (void)state;
    char words[] = "-t abc command --flag";
    struct parsed p;
    parse(&p, words, true);
    assert_int_equal(p.code, ERR_NONE);
    assert_int_equal(p.words.operands, 2);
    assert_string_equal(p.argv[p.words.operands], "command");
    assert_false(p.values.flag);
    done(&p);
}

static void test_a_duration_may_stand_alone(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        int64_t ms;
        int operands;
    } rows[] = {
        {"--wait", 7000, 0},      {"--wait --flag", 7000, 0},
        {"--wait word", 7000, 1}, {"--wait 2s", 2000, 0},
        {"--wait=250ms", 250, 0}, {"--wait 2s word", 2000, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char words[64];
        struct parsed p;
        (void)snprintf(words, sizeof(words), "%s", rows[i].words);
        parse(&p, words, false);
        assert_int_equal(p.code, ERR_NONE);
        assert_int_equal(p.values.wait_ms, rows[i].ms);
        assert_int_equal(p.words.operands, rows[i].operands);
        done(&p);
    }
}

static void test_what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        const char *named;
    } rows[] = {
        {"--nosuch", "--nosuch"},    {"-x", "-x"},
        {"--flag=1", "--flag"},      {"-fx", "--flag"},
        {"--text", "WORD"},          {"-t", "WORD"},
        {"--time 5", "--time 5"},    {"--time 5 s", "--time 5"},
        {"--time 61s", "--time"},    {"--time -1s", "--time"},
        {"--wait=0", "--wait"},      {"--wait=", "--wait"},
        {"--count 1", "2 to 9"},     {"--count 10", "2 to 9"},
        {"--count 4x", "2 to 9"},    {"--count _", "2 to 9"},
        {"--tex abc", "--tex"},      {"--=x", "--=x"},
        {"--list a --list", "WORD"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char words[64];
        struct parsed p;
        (void)snprintf(words, sizeof(words), "%s", rows[i].words);
        parse(&p, words, false);
        assert_int_equal(p.code, ERR_INVALID);
        assert_non_null(strstr(p.err.text, rows[i].named));
        done(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_hold_when_nothing_is_given),
        cmocka_unit_test(test_all_ways_to_write_a_value),
        cmocka_unit_test(test_values_may_be_empty_or_look_like_options),
        cmocka_unit_test(test_operands_come_to_the_front_in_order),
        cmocka_unit_test(test_reading_until_the_first_operand),
        cmocka_unit_test(test_a_duration_may_stand_alone),
        cmocka_unit_test(test_what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
