#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/mem.h"
#include "queue/claim.h"
#include "queue/job.h"

static struct job *job_with_body(size_t body_bytes)
{
    struct job *job = job_new();
    job->client = mem_strdup(STR("anonymous"));
    job->sender = mem_strdup(STR("a@example.org"));
    job->recipients = mem_calloc(2, sizeof(char *));
    job->recipients[0] = mem_strdup(STR("b@example.org"));
    job->recipients[1] = mem_strdup(STR("c@example.org"));
    job->recipient_count = 2;
    job->body = body_from_memory(mem_calloc(1, body_bytes), body_bytes);
    return job;
}

static void a_job_lives_until_its_last_reference(void **state)
{
    struct job *job = job_with_body(10);
    struct body *body = body_ref(job->body);
    unsigned char byte;
    size_t got;
    (void)state;
    assert_ptr_equal(job_ref(job), job);
    job_unref(job);
    assert_string_equal(job->recipients[1], "c@example.org");
    job_unref(job);
    job_unref(NULL);
    assert_int_equal(body_read(body, 9, &byte, 1, &got), ERR_NONE);
    body_unref(body);
}

static void the_cost_counts_body_strings_and_structures(void **state)
{
    struct job *small = job_with_body(100);
    struct job *large = job_with_body(100 + 4096);
    struct job *tagged = job_with_body(100);
    (void)state;
    tagged->tag = mem_calloc(1, 1001);
    for (unsigned i = 0; i < 1000; i++)
        tagged->tag[i] = 't';
    tagged->metadata = mem_calloc(1, sizeof(*tagged->metadata));
    tagged->metadata_count = 1;
    tagged->metadata[0].name = mem_strdup(STR("name"));
    tagged->metadata[0].value = mem_strdup(STR("value"));
    uint64_t cost = job_cost_bytes(small);
    assert_true(cost > 100 + sizeof(struct job) + 4 * sizeof("a@example.org"));
    assert_true(cost < 100 + sizeof(struct job) + 500);
    assert_int_equal(job_cost_bytes(large) - cost, 4096);
    assert_in_range(job_cost_bytes(tagged) - cost, 1001 + 3 * 16, 1200);
    job_unref(small);
    job_unref(large);
    job_unref(tagged);
}

static void names_are_the_protocols_words(void **state)
{
    static const char *const states[] = {"queued",    "active", "deferred",
                                         "delivered", "failed", "expired",
                                         "cancelled", "held"};
    static const char *const recipients[] = {"pending", "delivered", "deferred",
                                             "failed", "unknown"};
    static const char *const priorities[] = {"high", "normal", "low"};
    (void)state;
    for (unsigned i = 0; i < JOB_STATE_COUNT; i++)
        assert_string_equal(job_state_name((enum job_state)i), states[i]);
    for (unsigned i = 0; i < RECIPIENT_STATE_COUNT; i++)
        assert_string_equal(recipient_state_name((enum recipient_state)i),
                            recipients[i]);
    for (unsigned i = 0; i < JOB_PRIORITY_COUNT; i++)
        assert_string_equal(job_priority_name((enum job_priority)i),
                            priorities[i]);
}

static void four_states_are_settled(void **state)
{
    (void)state;
    assert_false(job_state_is_settled(JOB_QUEUED));
    assert_false(job_state_is_settled(JOB_ACTIVE));
    assert_false(job_state_is_settled(JOB_DEFERRED));
    assert_false(job_state_is_settled(JOB_HELD));
    assert_true(job_state_is_settled(JOB_DELIVERED));
    assert_true(job_state_is_settled(JOB_FAILED));
    assert_true(job_state_is_settled(JOB_EXPIRED));
    assert_true(job_state_is_settled(JOB_CANCELLED));
}

static void the_gate_lets_one_through(void **state)
{
    atomic_uint gate = CLAIM_GATE_OPEN;
    struct claim claim = {.gate = &gate};
    (void)state;
    assert_true(claim_start(&claim));
    assert_false(claim_start(&claim));
    atomic_store(&gate, CLAIM_GATE_CANCELLED);
    assert_false(claim_start(&claim));
    assert_int_equal(atomic_load(&gate), CLAIM_GATE_CANCELLED);
}

static void a_claim_counts_its_addresses_and_a_small_body(void **state)
{
    struct job *job = job_with_body(2000);
    struct job *large = job_with_body(CLAIM_BODY_INLINE_MAX);
    uint32_t pending[2] = {0, 1};
    struct claim both = {.job = job, .pending = pending, .pending_count = 2};
    struct claim one = {.job = job, .pending = pending, .pending_count = 1};
    struct claim file = {.job = large, .pending = pending, .pending_count = 1};
    (void)state;
    assert_int_equal(claim_size_bytes(&both) - claim_size_bytes(&one),
                     sizeof(uint32_t) + sizeof("c@example.org"));
    assert_in_range(claim_size_bytes(&one), 2000, 2200);
    assert_in_range(claim_size_bytes(&file), 1, 200);
    job_unref(job);
    job_unref(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_lives_until_its_last_reference),
        cmocka_unit_test(the_cost_counts_body_strings_and_structures),
        cmocka_unit_test(names_are_the_protocols_words),
        cmocka_unit_test(four_states_are_settled),
        cmocka_unit_test(the_gate_lets_one_through),
        cmocka_unit_test(a_claim_counts_its_addresses_and_a_small_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
