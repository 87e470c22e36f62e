#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consumer/attempt.h"
#include "core/mem.h"
#include "core/random.h"

#define MANY 2000U

/* A job with recipients "r0", "r1", ..., and a claim on some of them. */
struct fixture {
    struct job job;
    struct claim claim;
    char names[MANY][8];
    char *recipients[MANY];
    uint32_t pending[MANY];
};

static struct fixture *fixture_new(size_t recipients)
{
    struct fixture *f;
    MEM_NEW(f);
    for (uint32_t i = 0; i < MANY; i++) {
        (void)snprintf(f->names[i], sizeof(f->names[i]), "r%u", i);
        f->recipients[i] = f->names[i];
        f->pending[i] = i;
    }
    f->job.recipients = f->recipients;
    f->job.recipient_count = recipients;
    f->job.sender = f->names[0];
    f->claim.job = &f->job;
    f->claim.pending = f->pending;
    f->claim.pending_count = recipients;
    return f;
}

static void set(struct smtp_recipient_result *r, enum outcome outcome, int code)
{
    *r = (struct smtp_recipient_result){.outcome = outcome,
                                        .reply = {.code = code}};
    (void)snprintf(r->reply.text, sizeof(r->reply.text), "said %d", code);
}

static void answer(struct attempt *a, const enum outcome *outcomes,
                   size_t count)
{
    struct smtp_recipient_result results[16];
    assert_true(count <= 16);
    for (size_t i = 0; i < count; i++)
        set(&results[i], outcomes[i], 200 + (int)outcomes[i]);
    struct smtp_result result = {.recipients = results, .count = count};
    attempt_result(a, &result);
}

static void only_pending_recipients_are_sent_to(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(3);
    struct attempt a;
    struct smtp_mail mail;
    f->pending[0] = 4;
    f->pending[1] = 1;
    f->pending[2] = 9;
    attempt_init(&a);
    attempt_begin(&a, &f->claim, 100);
    assert_true(attempt_next(&a, &mail));
    assert_int_equal(mail.recipient_count, 3);
    assert_string_equal(mail.recipients[0], "r4");
    assert_string_equal(mail.recipients[1], "r1");
    assert_string_equal(mail.recipients[2], "r9");
    const enum outcome outcomes[] = {OUTCOME_DELIVERED, OUTCOME_REJECTED,
                                     OUTCOME_DEFERRED};
    answer(&a, outcomes, 3);
    assert_false(attempt_next(&a, &mail));
    size_t count;
    const struct settle_recipient *r = attempt_decided(&a, &count);
    assert_int_equal(count, 3);
    assert_int_equal(r[0].index, 4);
    assert_int_equal(r[0].state, RECIPIENT_DELIVERED);
    assert_int_equal(r[1].index, 1);
    assert_int_equal(r[1].state, RECIPIENT_FAILED);
    assert_true(str_equal(r[1].reply, STR("203 said 203")));
    assert_int_equal(r[2].index, 9);
    assert_int_equal(r[2].state, RECIPIENT_DEFERRED);
    attempt_fini(&a);
    mem_free(f);
}

static void those_to_be_said_again_come_first(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(6);
    struct attempt a;
    struct smtp_mail mail;
    attempt_init(&a);
    attempt_begin(&a, &f->claim, 4);
    assert_true(attempt_next(&a, &mail));
    assert_int_equal(mail.recipient_count, 4);
    const enum outcome first[] = {OUTCOME_DELIVERED, OUTCOME_REJECTED,
                                  OUTCOME_AGAIN, OUTCOME_AGAIN};
    answer(&a, first, 4);
    assert_int_equal(attempt_untried(&a), 4);
    assert_true(attempt_next(&a, &mail));
    assert_int_equal(mail.recipient_count, 4);
    assert_string_equal(mail.recipients[0], "r2");
    assert_string_equal(mail.recipients[1], "r3");
    assert_string_equal(mail.recipients[2], "r4");
    assert_string_equal(mail.recipients[3], "r5");
    /* None got further: they wait for the next attempt, no endless round. */
    const enum outcome stuck[] = {OUTCOME_AGAIN, OUTCOME_AGAIN, OUTCOME_AGAIN,
                                  OUTCOME_AGAIN};
    answer(&a, stuck, 4);
    assert_false(attempt_has_next(&a));
    assert_int_equal(a.counts[OUTCOME_DEFERRED], 4);
    attempt_fini(&a);
    mem_free(f);
}

static void an_untried_recipient_ends_the_attempt(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(5);
    struct attempt a;
    struct smtp_mail mail;
    attempt_init(&a);
    attempt_begin(&a, &f->claim, 3);
    assert_true(attempt_next(&a, &mail));
    const enum outcome outcomes[] = {OUTCOME_REJECTED, OUTCOME_UNTRIED,
                                     OUTCOME_UNTRIED};
    answer(&a, outcomes, 3);
    assert_false(attempt_next(&a, &mail));
    assert_int_equal(attempt_untried(&a), 4);
    assert_int_equal(a.decided_count, 1);
    attempt_fini(&a);
    mem_free(f);
}

static void what_is_not_sent_is_decided_with_all_that_is_left(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(4);
    struct attempt a;
    struct smtp_mail mail;
    size_t count;
    attempt_init(&a);
    attempt_begin(&a, &f->claim, 1);
    const enum outcome delivered[] = {OUTCOME_DELIVERED};
    assert_true(attempt_next(&a, &mail));
    answer(&a, delivered, 1);
    assert_true(attempt_next(&a, &mail));
    attempt_unsent(&a, OUTCOME_DEFERRED, "no such bytes");
    assert_false(attempt_next(&a, &mail));
    const struct settle_recipient *r = attempt_decided(&a, &count);
    assert_int_equal(count, 4);
    assert_int_equal(r[0].state, RECIPIENT_DELIVERED);
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(r[i].state, RECIPIENT_DEFERRED);
        assert_true(str_equal(r[i].reply, STR("no such bytes")));
    }
    assert_int_equal(attempt_untried(&a), 0);
    attempt_fini(&a);
    mem_free(f);
}

static enum outcome random_outcome(struct random *random, size_t at)
{
    static const enum outcome usual[] = {OUTCOME_DELIVERED, OUTCOME_DEFERRED,
                                         OUTCOME_REJECTED, OUTCOME_UNKNOWN};
    if (at > 0 && random_below(random, 4) == 0)
        return OUTCOME_AGAIN;
    if (random_below(random, 4000) == 0)
        return OUTCOME_UNTRIED;
    return usual[random_below(random, 4)];
}

/* One attempt against a model that remembers what each was told. */
static void run_model(struct attempt *a, struct fixture *f,
                      struct random *random, size_t per_message)
{
    static struct smtp_recipient_result results[MANY];
    enum outcome told[MANY] = {OUTCOME_NONE};
    struct smtp_mail mail;
    size_t decided = 0;
    bool stopped = false;
    attempt_begin(a, &f->claim, per_message);
    while (attempt_next(a, &mail)) {
        assert_false(stopped);
        assert_true(mail.recipient_count >= 1);
        assert_true(mail.recipient_count <= per_message);
        for (size_t i = 0; i < mail.recipient_count; i++) {
            unsigned who = 0;
            assert_int_equal(sscanf(mail.recipients[i], "r%u", &who), 1);
            assert_true(told[who] == OUTCOME_NONE ||
                        told[who] == OUTCOME_AGAIN);
            told[who] = random_outcome(random, i);
            set(&results[i], told[who], 200 + (int)told[who]);
            stopped = stopped || told[who] == OUTCOME_UNTRIED;
            decided +=
                told[who] != OUTCOME_AGAIN && told[who] != OUTCOME_UNTRIED;
        }
        struct smtp_result result = {results, mail.recipient_count};
        attempt_result(a, &result);
        assert_int_equal(a->decided_count, decided);
    }
    size_t count;
    const struct settle_recipient *r = attempt_decided(a, &count);
    assert_int_equal(count + attempt_untried(a), f->claim.pending_count);
    if (!stopped)
        assert_int_equal(count, f->claim.pending_count);
    for (size_t i = 0; i < count; i++) {
        char reply[32];
        (void)snprintf(reply, sizeof(reply), "%d said %d",
                       200 + (int)told[r[i].index],
                       200 + (int)told[r[i].index]);
        assert_true(str_equal(r[i].reply, str_from(reply)));
    }
}

static void random_answers_decide_each_recipient_once(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(1);
    struct attempt a;
    struct random random;
    random_init(&random, 2026);
    attempt_init(&a);
    for (unsigned i = 0; i < 400; i++) {
        bool large = i % 20 == 0;
        f->claim.pending_count = 1 + random_below(&random, large ? MANY : 30);
        run_model(&a, f, &random, 1 + random_below(&random, 20));
    }
    attempt_fini(&a);
    mem_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_pending_recipients_are_sent_to),
        cmocka_unit_test(those_to_be_said_again_come_first),
        cmocka_unit_test(an_untried_recipient_ends_the_attempt),
        cmocka_unit_test(what_is_not_sent_is_decided_with_all_that_is_left),
        cmocka_unit_test(random_answers_decide_each_recipient_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
