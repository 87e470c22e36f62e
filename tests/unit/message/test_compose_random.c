/*
 * Mails made from a seed: each must keep the rules that hold for every
 * message, and be read back by GMime as what it was made of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <gmime/gmime.h>

#include "core/buf.h"
#include "message/compose.h"
#include "tests/unit/message/reader.h"
#include "tests/unit/message/sample.h"

#define ROUNDS 4000

static const struct compose_options options = {
    .date_ms = 1795000000000,
    .id = "sample-1.id",
    .hostname = "mail.example.com",
    .max_recipients = 100,
};

static void assert_message(struct str message)
{
    bool in_head = true;
    assert_true(str_starts(message, STR("Date: ")));
    assert_true(message.len > 2);
    assert_memory_equal(message.data + message.len - 2, "\r\n", 2);
    while (message.len > 0) {
        size_t len = str_find(message, '\n');
        assert_true(len > 0 && len < message.len);
        struct str line = str_of(message.data, len - 1);
        assert_int_equal(message.data[len - 1], '\r');
        assert_true(line.len <= 998);
        for (size_t i = 0; i < line.len; i++) {
            assert_true((unsigned char)line.data[i] < 0x7f);
            assert_true(line.data[i] >= ' ' || line.data[i] == '\t');
        }
        assert_false(str_starts_nocase(line, STR("bcc")));
        if (in_head && line.len > 0)
            assert_true(str_trim(line).len > 0);
        if (in_head)
            assert_false(str_contains(line, STR("hidden.example")));
        if (in_head && str_contains(line, STR("=?UTF-8?")))
            assert_true(line.len <= 76);
        in_head = in_head && line.len > 0;
        message = str_after(message, len + 1);
    }
}

static void assert_recipients(const struct envelope *e, const struct sample *s)
{
    const struct sample_list *const lists[] = {&s->to, &s->cc, &s->bcc};
    size_t at = 0;
    assert_true(str_equal(str_from(e->sender), s->from.boxes[0].mailbox));
    for (size_t l = 0; l < 3; l++)
        for (size_t i = 0; i < lists[l]->count; i++) {
            assert_true(at < e->count);
            assert_true(str_equal(str_from(e->recipients[at++]),
                                  lists[l]->boxes[i].mailbox));
        }
    assert_int_equal(at, e->count);
}

static void all_samples_are_read_back(void **state)
{
    uint64_t *seed_shown = *state;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        *seed_shown = seed;
        struct sample s;
        struct random r;
        struct envelope envelope;
        struct buf out;
        struct problem problem = {0};
        random_init(&r, seed);
        sample_make(&s, &r);
        envelope_init(&envelope);
        buf_init(&out, 1 << 24);
        if (compose(&s.draft, &options, &envelope, &out, &problem) !=
            PROBLEM_NONE)
            fail_msg("seed %llu: %s: %s", (unsigned long long)seed,
                     problem.field, problem.text);
        assert_message(buf_str(&out));
        assert_recipients(&envelope, &s);
        reader_check(&s, buf_str(&out));
        envelope_fini(&envelope);
        buf_fini(&out);
        sample_fini(&s);
    }
}

static int show_seed(void **state)
{
    const uint64_t *seed = *state;
    if (*seed != ROUNDS)
        print_message("stopped at seed %llu\n", (unsigned long long)*seed);
    return 0;
}

int main(void)
{
    uint64_t seed = 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(all_samples_are_read_back,
                                                 NULL, show_seed, &seed),
    };
    g_mime_init();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    g_mime_shutdown();
    return failed;
}
