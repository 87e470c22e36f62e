#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "queue/progress.h"

#define T0      INT64_C(1000000)
#define GIVE_UP INT64_C(500000)

struct case_of {
    struct job *job;
    struct progress p;
};

static void begin(struct case_of *c, size_t recipients)
{
    c->job = job_new();
    id_new(&c->job->id, T0);
    c->job->created_ms = T0;
    c->job->tag = mem_strdup(STR("bills"));
    c->job->recipient_count = recipients;
    c->job->recipients = mem_calloc(recipients, sizeof(char *));
    for (size_t i = 0; i < recipients; i++)
        c->job->recipients[i] = mem_strdup(STR("to@example.org"));
    progress_init(&c->p, c->job, T0);
}

static void end(struct case_of *c)
{
    progress_fini(&c->p);
    job_unref(c->job);
}

struct said {
    enum recipient_state state;
    const char *reply;
};

static void settle(struct case_of *c, const struct said *said, size_t count,
                   enum settle_rest rest, const char *note)
{
    struct settle_recipient recipients[8];
    for (uint32_t i = 0; i < count; i++)
        recipients[i] = (struct settle_recipient){i, said[i].state,
                                                  str_from(said[i].reply)};
    const struct settlement settlement = {
        .recipients = recipients,
        .count = count,
        .relay = STR("main"),
        .at_ms = T0 + 10,
        .rest = rest,
        .next_attempt_ms = T0 + 500,
        .note = str_from(note),
    };
    progress_settle(&c->p, &settlement);
}

static void settle_one(struct case_of *c, enum recipient_state state,
                       const char *reply, enum settle_rest rest)
{
    const struct said said = {state, reply};
    settle(c, &said, 1, rest, NULL);
}

static const struct progress_event *event_at(const struct case_of *c, size_t i)
{
    assert_true(i < c->p.event_count);
    return &c->p.events[i];
}

static const struct progress_event *last_event(const struct case_of *c)
{
    return event_at(c, c->p.event_count - 1);
}

/* Of the last event. */
static void says(const struct case_of *c, enum spool_event_kind kind,
                 const char *text)
{
    const struct progress_event *event = last_event(c);
    assert_string_equal(spool_event_name(event->kind), spool_event_name(kind));
    if (text == NULL)
        assert_null(event->text);
    else
        assert_string_equal(event->text, text);
}

/* ---- the trail ---- */

static void it_begins_as_accepted_and_due(void **state)
{
    struct case_of c;
    (void)state;
    begin(&c, 2);
    assert_int_equal(c.p.state, JOB_QUEUED);
    assert_int_equal(c.p.due_ms, T0);
    assert_int_equal(c.p.event_count, 1);
    assert_int_equal(event_at(&c, 0)->kind, SPOOL_EVENT_ACCEPTED);
    assert_int_equal(event_at(&c, 0)->at_ms, T0);
    assert_int_equal(progress_limit_ms(&c.p), SPOOL_NEVER);
    progress_fini(&c.p);
    c.job->send_at_ms = T0 + 7;
    c.job->expires_at_ms = T0 + 100;
    c.job->give_up_at_ms = T0 + 90;
    progress_init(&c.p, c.job, T0);
    assert_int_equal(c.p.due_ms, T0 + 7);
    assert_int_equal(progress_limit_ms(&c.p), T0 + 90);
    end(&c);
}

static void an_attempt_is_told_in_words(void **state)
{
    static const struct {
        size_t recipients; /* of the job; those said are the first */
        size_t count;
        struct said said[4];
        const char *note;
        const char *text;
    } table[] = {
        {1,
         1,
         {{RECIPIENT_DELIVERED, "250 2.0.0 Ok: queued as 4F2"}},
         NULL,
         "delivered: 250 2.0.0 Ok: queued as 4F2"},
        {1,
         1,
         {{RECIPIENT_DEFERRED, "451 4.7.1 Greylisted"}},
         NULL,
         "deferred: 451 4.7.1 Greylisted"},
        {1,
         1,
         {{RECIPIENT_FAILED, "550 5.1.1 No such user"}},
         NULL,
         "refused: 550 5.1.1 No such user"},
        {1,
         1,
         {{RECIPIENT_UNKNOWN, "connection lost"}},
         NULL,
         "answer lost: connection lost"},
        {1, 1, {{RECIPIENT_DELIVERED, ""}}, NULL, "delivered"},
        {1,
         1,
         {{RECIPIENT_DEFERRED, ""}},
         "no answer to EHLO",
         "deferred: no answer to EHLO"},
        {1,
         1,
         {{RECIPIENT_DEFERRED, "450-one\r\n450 two"}},
         NULL,
         "deferred: 450-one  450 two"},
        {4,
         4,
         {{RECIPIENT_DELIVERED, "250 ok"},
          {RECIPIENT_DELIVERED, "250 ok"},
          {RECIPIENT_FAILED, "550 5.1.1 No such user"},
          {RECIPIENT_DELIVERED, "250 ok"}},
         NULL,
         "refused 1, delivered to 3: 550 5.1.1 No such user"},
        {4,
         4,
         {{RECIPIENT_DEFERRED, "452 later"},
          {RECIPIENT_UNKNOWN, "lost"},
          {RECIPIENT_DELIVERED, "250 ok"},
          {RECIPIENT_PENDING, ""}},
         NULL,
         "answer lost for 1, deferred 1, delivered to 1, not tried 1: lost"},
        {3,
         2,
         {{RECIPIENT_DELIVERED, "250 a"}, {RECIPIENT_DELIVERED, "250 b"}},
         NULL,
         "delivered to 2: 250 a"},
        {1, 0, {{RECIPIENT_PENDING, ""}}, "nothing done", "nothing done"},
        {1, 0, {{RECIPIENT_PENDING, ""}}, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct case_of c;
        begin(&c, table[i].recipients);
        settle(&c, table[i].said, table[i].count, SETTLE_REST_RETRY,
               table[i].note);
        says(&c, SPOOL_EVENT_ATTEMPT, table[i].text);
        assert_int_equal(last_event(&c)->attempt, 1);
        assert_string_equal(last_event(&c)->relay, "main");
        assert_int_equal(last_event(&c)->at_ms, T0 + 10);
        end(&c);
    }
}

static void how_it_ended_is_told(void **state)
{
    static const struct {
        enum settle_rest rest;
        enum job_state state;
        enum recipient_state recipient;
        enum spool_event_kind kind;
        const char *text;
    } table[] = {
        {SETTLE_REST_RETRY, JOB_DEFERRED, RECIPIENT_DEFERRED,
         SPOOL_EVENT_ATTEMPT, "deferred: 450 no"},
        {SETTLE_REST_HOLD, JOB_HELD, RECIPIENT_DEFERRED, SPOOL_EVENT_HELD,
         "because"},
        {SETTLE_REST_FAIL, JOB_FAILED, RECIPIENT_FAILED, SPOOL_EVENT_GIVEN_UP,
         NULL},
        {SETTLE_REST_EXPIRE, JOB_EXPIRED, RECIPIENT_FAILED, SPOOL_EVENT_EXPIRED,
         NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const struct said said = {RECIPIENT_DEFERRED, "450 no"};
        struct case_of c;
        begin(&c, 1);
        settle(&c, &said, 1, table[i].rest, "because");
        assert_int_equal(c.p.state, table[i].state);
        assert_int_equal(c.p.recipients[0].state, table[i].recipient);
        says(&c, table[i].kind, table[i].text);
        assert_string_equal(c.p.note, "because");
        end(&c);
    }
}

static void a_long_trail_keeps_its_first_and_its_latest(void **state)
{
    struct case_of c;
    (void)state;
    begin(&c, 1);
    for (unsigned i = 1; i <= 100; i++) {
        settle_one(&c, RECIPIENT_DEFERRED, "450 no", SETTLE_REST_RETRY);
        assert_int_equal(c.p.event_count,
                         i < SPOOL_EVENTS_MAX ? i + 1 : SPOOL_EVENTS_MAX);
    }
    assert_int_equal(event_at(&c, 0)->kind, SPOOL_EVENT_ACCEPTED);
    for (unsigned i = 1; i < SPOOL_EVENTS_MAX; i++)
        assert_int_equal(event_at(&c, i)->attempt,
                         100 - SPOOL_EVENTS_MAX + 1 + i);
    end(&c);
}

static void a_note_is_in_the_trail_once_between_attempts(void **state)
{
    struct case_of c;
    (void)state;
    begin(&c, 1);
    for (unsigned i = 0; i < 5; i++) {
        progress_release(&c.p, 0, STR(""), STR("main is down"), T0 + i);
        progress_release(&c.p, 0, STR(""), STR(""), T0 + i);
        progress_release(&c.p, 0, STR(""), STR("spare is down"), T0 + i);
    }
    assert_int_equal(c.p.event_count, 3);
    says(&c, SPOOL_EVENT_RELEASED, "spare is down");
    assert_int_equal(last_event(&c)->at_ms, T0);
    assert_string_equal(c.p.note, "spare is down");
    assert_int_equal(c.p.attempts, 0);
    settle_one(&c, RECIPIENT_DEFERRED, "450 no", SETTLE_REST_RETRY);
    assert_null(c.p.note);
    progress_release(&c.p, 0, STR(""), STR("main is down"), T0 + 9);
    assert_int_equal(c.p.event_count, 5);
    says(&c, SPOOL_EVENT_RELEASED, "main is down");
    end(&c);
}

static bool is_listed(const struct case_of *c, const char *relay)
{
    const struct spool_filter filter = {.relay = relay};
    return progress_passes(&c->p, c->job, c->p.state, &filter);
}

static void a_release_tells_which_relay_could_not_take_it(void **state)
{
    struct case_of c;
    (void)state;
    begin(&c, 1);
    progress_release(&c.p, 0, STR("main"), STR(""), T0);
    assert_false(is_listed(&c, "main"));
    progress_release(&c.p, 0, STR("main"), STR("refused"), T0);
    assert_true(is_listed(&c, "main"));
    assert_false(is_listed(&c, "spare"));
    says(&c, SPOOL_EVENT_RELEASED, "refused");
    assert_string_equal(last_event(&c)->relay, "main");
    /* The same words of another relay are news. */
    progress_release(&c.p, 0, STR("spare"), STR("refused"), T0);
    progress_release(&c.p, 0, STR("main"), STR("refused"), T0);
    assert_int_equal(c.p.event_count, 3);
    assert_string_equal(last_event(&c)->relay, "spare");
    assert_true(is_listed(&c, "main"));
    assert_false(is_listed(&c, "spare"));
    /* An attempt says it better. */
    settle_one(&c, RECIPIENT_DEFERRED, "450 no", SETTLE_REST_RETRY);
    assert_null(c.p.relay);
    end(&c);
}

static void a_release_waits_until_then_or_keeps_its_time(void **state)
{
    struct case_of c;
    (void)state;
    begin(&c, 1);
    progress_release(&c.p, T0 + 50, STR(""), STR(""), T0 + 20);
    assert_int_equal(c.p.due_ms, T0 + 50);
    progress_release(&c.p, T0 + 60, STR(""), STR(""), T0 + 60);
    assert_int_equal(c.p.due_ms, T0 + 50);
    assert_int_equal(c.p.event_count, 1);
    end(&c);
}

static void long_and_odd_texts_are_cut(void **state)
{
    static char words[SPOOL_TEXT_MAX + 100];
    struct case_of c;
    (void)state;
    memset(words, 'w', sizeof(words) - 1);
    begin(&c, 1);
    settle_one(&c, RECIPIENT_DEFERRED, words, SETTLE_REST_RETRY);
    assert_int_equal(strlen(c.p.recipients[0].reply), SPOOL_TEXT_MAX);
    assert_in_range(strlen(last_event(&c)->text), 300, 500);
    progress_release(&c.p, 0, STR(""), str_of("ab\0cd", 5), T0);
    assert_string_equal(c.p.note, "ab");
    progress_release(&c.p, 0, STR(""), str_of("\0cd", 3), T0);
    assert_null(c.p.note);
    end(&c);
}

/* ---- a person ---- */

static void retry_begins_again_with_who_has_it_not(void **state)
{
    static const struct said first[] = {{RECIPIENT_DELIVERED, "250 ok"},
                                        {RECIPIENT_FAILED, "550 no"},
                                        {RECIPIENT_UNKNOWN, "lost"},
                                        {RECIPIENT_DEFERRED, "450 no"}};
    struct case_of c;
    uint32_t pending[8];
    struct claim claim = {.pending = pending};
    (void)state;
    begin(&c, 5);
    c.p.expires_at_ms = T0 + 15;
    settle(&c, first, 4, SETTLE_REST_EXPIRE, "too late");
    assert_int_equal(c.p.state, JOB_EXPIRED);
    assert_int_equal(c.p.recipients[2].state, RECIPIENT_UNKNOWN);
    assert_true(progress_keeps_body(&c.p));
    assert_true(progress_retry(&c.p, T0 + 20, GIVE_UP));
    assert_int_equal(c.p.state, JOB_DEFERRED);
    assert_int_equal(c.p.due_ms, T0 + 20);
    assert_int_equal(c.p.settled_ms, 0);
    assert_int_equal(c.p.expires_at_ms, 0);
    assert_int_equal(c.p.give_up_at_ms, T0 + 20 + GIVE_UP);
    assert_null(c.p.note);
    says(&c, SPOOL_EVENT_RETRIED, NULL);
    assert_string_equal(c.p.recipients[1].reply, "550 no");
    progress_claim(&c.p, &claim);
    assert_int_equal(claim.attempt, 2);
    assert_int_equal(claim.give_up_at_ms, T0 + 20 + GIVE_UP);
    assert_int_equal(claim.expires_at_ms, 0);
    assert_int_equal(claim.pending_count, 4);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(pending[i], i + 1);
    assert_int_equal(c.p.recipients[4].state, RECIPIENT_PENDING);
    end(&c);
}

static void what_can_be_retried(void **state)
{
    static const struct {
        enum job_state state;
        bool can;
        bool keeps_body;
    } table[] = {
        {JOB_QUEUED, false, true},     {JOB_DEFERRED, true, true},
        {JOB_DELIVERED, false, false}, {JOB_FAILED, true, true},
        {JOB_EXPIRED, true, true},     {JOB_CANCELLED, true, false},
        {JOB_HELD, true, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct case_of c;
        begin(&c, 1);
        c.p.state = table[i].state;
        c.p.expires_at_ms = T0 + 1000;
        assert_int_equal(progress_keeps_body(&c.p), table[i].keeps_body);
        assert_int_equal(progress_retry(&c.p, T0 + 5, 0), table[i].can);
        assert_int_equal(c.p.event_count, table[i].can ? 2 : 1);
        assert_int_equal(c.p.state, table[i].can ? JOB_QUEUED : table[i].state);
        if (table[i].can) {
            assert_int_equal(c.p.give_up_at_ms, 0);
            assert_int_equal(c.p.expires_at_ms, T0 + 1000);
        }
        end(&c);
    }
}

static void cancel_and_drop_say_who(void **state)
{
    struct case_of c;
    (void)state;
    begin(&c, 1);
    c.p.marked = true;
    progress_cancel(&c.p, T0 + 3);
    assert_int_equal(c.p.state, JOB_CANCELLED);
    assert_int_equal(c.p.settled_ms, T0 + 3);
    assert_int_equal(c.p.recipients[0].state, RECIPIENT_PENDING);
    assert_false(c.p.marked);
    says(&c, SPOOL_EVENT_CANCELLED, NULL);
    end(&c);
    begin(&c, 1);
    progress_drop(&c.p, T0 + 3);
    assert_int_equal(c.p.state, JOB_CANCELLED);
    says(&c, SPOOL_EVENT_DROPPED, NULL);
    end(&c);
}

/* ---- time, crashes ---- */

static void its_time_ends_as_the_first_limit_says(void **state)
{
    static const struct {
        int64_t expires_at_ms;
        int64_t give_up_at_ms;
        enum job_state expected;
    } table[] = {
        {T0 + 10, 0, JOB_EXPIRED},       {0, T0 + 10, JOB_FAILED},
        {T0 + 10, T0 + 10, JOB_EXPIRED}, {T0 + 10, T0 + 9, JOB_FAILED},
        {T0 + 9, T0 + 10, JOB_EXPIRED},  {T0 + 90, T0 + 10, JOB_FAILED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        bool expires = table[i].expected == JOB_EXPIRED;
        struct case_of c;
        begin(&c, 1);
        c.p.expires_at_ms = table[i].expires_at_ms;
        c.p.give_up_at_ms = table[i].give_up_at_ms;
        progress_expire(&c.p, T0 + 20);
        assert_int_equal(c.p.state, table[i].expected);
        assert_int_equal(c.p.recipients[0].state, RECIPIENT_FAILED);
        assert_int_equal(c.p.settled_ms, T0 + 20);
        assert_non_null(c.p.note);
        says(&c, expires ? SPOOL_EVENT_EXPIRED : SPOOL_EVENT_GIVEN_UP, NULL);
        end(&c);
    }
}

static void an_interrupted_attempt_is_held(void **state)
{
    static const struct said first[] = {{RECIPIENT_DELIVERED, "250 ok"},
                                        {RECIPIENT_FAILED, "550 no"},
                                        {RECIPIENT_DEFERRED, "450 no"}};
    struct case_of c;
    (void)state;
    begin(&c, 4);
    settle(&c, first, 3, SETTLE_REST_RETRY, NULL);
    progress_mark(&c.p, STR("spare"));
    assert_true(c.p.marked);
    assert_true(is_listed(&c, "spare"));
    progress_interrupt(&c.p, T0 + 30);
    assert_int_equal(c.p.state, JOB_HELD);
    assert_true(is_listed(&c, "spare"));
    assert_false(c.p.marked);
    assert_int_equal(c.p.attempts, 2);
    assert_non_null(c.p.note);
    assert_int_equal(c.p.recipients[0].state, RECIPIENT_DELIVERED);
    assert_int_equal(c.p.recipients[0].attempts, 1);
    assert_int_equal(c.p.recipients[1].state, RECIPIENT_FAILED);
    assert_int_equal(c.p.recipients[2].state, RECIPIENT_UNKNOWN);
    assert_int_equal(c.p.recipients[2].attempts, 2);
    assert_int_equal(c.p.recipients[3].state, RECIPIENT_UNKNOWN);
    assert_int_equal(event_at(&c, 2)->kind, SPOOL_EVENT_INTERRUPTED);
    assert_int_equal(event_at(&c, 2)->attempt, 2);
    assert_string_equal(event_at(&c, 2)->relay, "spare");
    assert_string_equal(c.p.recipients[2].relay, "spare");
    assert_string_equal(c.p.recipients[3].relay, "spare");
    says(&c, SPOOL_EVENT_HELD, c.p.note);
    assert_true(progress_retry(&c.p, T0 + 40, GIVE_UP));
    assert_int_equal(c.p.recipients[3].state, RECIPIENT_UNKNOWN);
    end(&c);
}

static void an_end_of_the_attempt_takes_the_mark(void **state)
{
    struct case_of c;
    (void)state;
    begin(&c, 1);
    c.p.marked = true;
    progress_release(&c.p, 0, STR(""), STR(""), T0);
    assert_false(c.p.marked);
    c.p.marked = true;
    settle_one(&c, RECIPIENT_UNKNOWN, "lost", SETTLE_REST_HOLD);
    assert_false(c.p.marked);
    end(&c);
}

/* ---- snapshots, lists ---- */

static void a_snapshot_has_it_all(void **state)
{
    static const struct said said[] = {{RECIPIENT_DELIVERED, "250 ok"},
                                       {RECIPIENT_DEFERRED, ""}};
    struct case_of c;
    (void)state;
    begin(&c, 3);
    settle(&c, said, 2, SETTLE_REST_RETRY, "slow today");
    struct spool_status *s = progress_status(&c.p, c.job, c.p.state, true);
    end(&c); /* the snapshot must not need it any more */
    assert_int_equal(s->state, JOB_DEFERRED);
    assert_int_equal(s->attempts, 1);
    assert_int_equal(s->next_attempt_ms, T0 + 500);
    assert_true(s->has_body);
    assert_string_equal(s->note, "slow today");
    assert_int_equal(s->recipient_count, 3);
    assert_string_equal(s->recipients[0].address, "to@example.org");
    assert_string_equal(s->recipients[0].reply, "250 ok");
    assert_string_equal(s->recipients[1].relay, "main");
    assert_null(s->recipients[1].reply);
    assert_null(s->recipients[2].relay);
    assert_int_equal(s->event_count, 2);
    assert_int_equal(s->events[0].kind, SPOOL_EVENT_ACCEPTED);
    assert_null(s->events[0].relay);
    assert_null(s->events[0].text);
    assert_int_equal(s->events[1].kind, SPOOL_EVENT_ATTEMPT);
    assert_int_equal(s->events[1].attempt, 1);
    assert_string_equal(s->events[1].relay, "main");
    assert_string_equal(s->events[1].text,
                        "deferred 1, delivered to 1: slow today");
    spool_status_destroy(s);
}

static void an_active_job_has_no_next_attempt(void **state)
{
    struct case_of c;
    (void)state;
    begin(&c, 1);
    struct spool_status *s = progress_status(&c.p, c.job, JOB_ACTIVE, false);
    assert_int_equal(s->state, JOB_ACTIVE);
    assert_int_equal(s->next_attempt_ms, 0);
    assert_false(s->has_body);
    spool_status_destroy(s);
    end(&c);
}

static void a_filter_lets_through_what_it_names(void **state)
{
    static const struct {
        struct spool_filter filter;
        enum job_state state;
        bool passes;
    } table[] = {
        {{.states = 0}, JOB_DEFERRED, true},
        {{.states = 1U << JOB_DEFERRED}, JOB_DEFERRED, true},
        {{.states = 1U << JOB_DEFERRED}, JOB_ACTIVE, false},
        {{.states = 1U << JOB_QUEUED | 1U << JOB_ACTIVE}, JOB_ACTIVE, true},
        {{.relay = "main"}, JOB_DEFERRED, true},
        {{.relay = "mai"}, JOB_DEFERRED, false},
        {{.tag = "bills"}, JOB_DEFERRED, true},
        {{.tag = "bill"}, JOB_DEFERRED, false},
        {{.created_before_ms = T0}, JOB_DEFERRED, false},
        {{.created_before_ms = T0 + 1}, JOB_DEFERRED, true},
        {{.created_before_ms = T0 + 1, .tag = "bills", .relay = "spare"},
         JOB_DEFERRED,
         false},
    };
    struct case_of c;
    (void)state;
    begin(&c, 2);
    settle_one(&c, RECIPIENT_DEFERRED, "450 no", SETTLE_REST_RETRY);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        assert_int_equal(
            progress_passes(&c.p, c.job, table[i].state, &table[i].filter),
            table[i].passes);
    mem_free(c.job->tag);
    c.job->tag = NULL;
    assert_false(progress_passes(&c.p, c.job, JOB_QUEUED,
                                 &(const struct spool_filter){.tag = "bills"}));
    end(&c);
}

static void its_size_grows_with_what_was_said(void **state)
{
    struct case_of c;
    (void)state;
    begin(&c, 1);
    size_t before = progress_size_bytes(&c.p);
    assert_in_range(before, 32, 100);
    settle_one(&c, RECIPIENT_DEFERRED,
               "450 a reply of some length, as is usual", SETTLE_REST_RETRY);
    assert_in_range(progress_size_bytes(&c.p), before + 150, before + 350);
    end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_begins_as_accepted_and_due),
        cmocka_unit_test(an_attempt_is_told_in_words),
        cmocka_unit_test(how_it_ended_is_told),
        cmocka_unit_test(a_long_trail_keeps_its_first_and_its_latest),
        cmocka_unit_test(a_note_is_in_the_trail_once_between_attempts),
        cmocka_unit_test(a_release_waits_until_then_or_keeps_its_time),
        cmocka_unit_test(long_and_odd_texts_are_cut),
        cmocka_unit_test(retry_begins_again_with_who_has_it_not),
        cmocka_unit_test(what_can_be_retried),
        cmocka_unit_test(cancel_and_drop_say_who),
        cmocka_unit_test(its_time_ends_as_the_first_limit_says),
        cmocka_unit_test(an_interrupted_attempt_is_held),
        cmocka_unit_test(a_release_tells_which_relay_could_not_take_it),
        cmocka_unit_test(an_end_of_the_attempt_takes_the_mark),
        cmocka_unit_test(a_snapshot_has_it_all),
        cmocka_unit_test(an_active_job_has_no_next_attempt),
        cmocka_unit_test(a_filter_lets_through_what_it_names),
        cmocka_unit_test(its_size_grows_with_what_was_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
