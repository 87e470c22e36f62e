/*
 * Messages made from a seed, in 7 bits: GMime must find in them all that it
 * finds in what they were, and the contents that they were made of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <gmime/gmime.h>

#include "tests/unit/message/mixture.h"
#include "tests/unit/message/portrait.h"
#include "tests/unit/message/seven.h"

#define ROUNDS    1000
#define MAX_BYTES ((size_t)1 << 26)

static size_t first_difference(struct str a, struct str b)
{
    size_t at = 0;
    while (at < a.len && at < b.len && a.data[at] == b.data[at])
        at++;
    return at;
}

static void assert_same(const char *what, struct str got, struct str wanted)
{
    if (str_equal(got, wanted))
        return;
    size_t at = first_difference(got, wanted);
    size_t from = at < 100 ? 0 : at - 100;
    struct str a = str_after(got, from);
    struct str b = str_after(wanted, from);
    a.len = a.len < 300 ? a.len : 300;
    b.len = b.len < 300 ? b.len : 300;
    fail_msg("%s differ at %zu:\n\"%.*s\"\n----\n\"%.*s\"", what, at,
             STR_ARG(a), STR_ARG(b));
}

static void check(uint64_t seed)
{
    struct random r;
    struct mixture m;
    struct portrait before;
    struct portrait after;
    struct buf out;
    random_init(&r, seed);
    mixture_make(&m, &r);
    assert_true(buf_ok(&m.message) && buf_ok(&m.contents));
    buf_init(&out, MAX_BYTES);
    seven_convert(buf_str(&m.message), &out);
    portrait_make(&before, buf_str(&m.message), false);
    portrait_make(&after, buf_str(&out), true);
    assert_same("contents", buf_str(&after.contents), buf_str(&m.contents));
    assert_same("portraits", buf_str(&after.all), buf_str(&before.all));
    portrait_fini(&before);
    portrait_fini(&after);
    mixture_fini(&m);
    buf_fini(&out);
}

static void all_contents_are_read_back(void **state)
{
    uint64_t *seed_shown = *state;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        *seed_shown = seed;
        check(seed);
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
        cmocka_unit_test_prestate_setup_teardown(all_contents_are_read_back,
                                                 NULL, show_seed, &seed),
    };
    g_mime_init();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    g_mime_shutdown();
    return failed;
}
