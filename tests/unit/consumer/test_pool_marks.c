#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/thread.h"
#include "queue/spool_backend.h"
#include "tests/unit/consumer/rig.h"

/*
 * Jobs with on_unknown "hold": their message leaves only when the spool has
 * recorded that it will. The memory spool, but its answer to spool_mark() is
 * given by the test.
 */
#define HELD_MAX 16

struct held_settlement {
    spool_settle_fn fn;
    void *ctx;
    struct spool_settled settled;
};

struct desk {
    struct rig rig;
    struct spool_ops ops;
    const struct spool_ops *inner;
    struct mutex lock; /* guards all below */
    spool_mark_fn fn;  /* NULL: nobody asked */
    void *ctx;
    unsigned asked;
    bool holds; /* answers to spool_settle() */
    struct held_settlement held[HELD_MAX];
    unsigned held_count;
};

static struct desk *the_desk; /* spool_ops have no place for it */

static void mark(struct spool *spool, struct claim *claim, struct str relay,
                 spool_mark_fn fn, void *ctx)
{
    (void)spool;
    (void)claim;
    (void)relay;
    mutex_lock(&the_desk->lock);
    the_desk->fn = fn;
    the_desk->ctx = ctx;
    the_desk->asked++;
    mutex_unlock(&the_desk->lock);
}

struct settling {
    spool_settle_fn fn;
    void *ctx;
};

static void on_settled(void *ctx, const struct spool_settled *settled)
{
    struct settling *s = ctx;
    mutex_lock(&the_desk->lock);
    bool held = the_desk->holds && the_desk->held_count < HELD_MAX;
    if (held)
        the_desk->held[the_desk->held_count++] =
            (struct held_settlement){s->fn, s->ctx, *settled};
    mutex_unlock(&the_desk->lock);
    if (!held)
        s->fn(s->ctx, settled);
    mem_free(s);
}

static void settle(struct spool *spool, struct claim *claim,
                   const struct settlement *settlement, spool_settle_fn fn,
                   void *ctx)
{
    struct settling *s;
    MEM_NEW(s);
    s->fn = fn;
    s->ctx = ctx;
    the_desk->inner->settle(spool, claim, settlement, on_settled, s);
}

static bool is_asked(void *ctx)
{
    struct desk *d = ctx;
    mutex_lock(&d->lock);
    bool asked = d->fn != NULL;
    mutex_unlock(&d->lock);
    return asked;
}

static void answer(struct desk *d, enum err_code code)
{
    struct err err = {0};
    if (code != ERR_NONE)
        (void)err_set(&err, code, "the disk is full");
    mutex_lock(&d->lock);
    spool_mark_fn fn = d->fn;
    d->fn = NULL;
    mutex_unlock(&d->lock);
    assert_non_null(fn);
    fn(d->ctx, &err);
}

static void open_desk(struct desk *d, size_t connections)
{
    *d = (struct desk){.asked = 0};
    the_desk = d;
    mutex_init(&d->lock);
    rig_init(&d->rig, 1);
    d->rig.relays[0].connections = connections;
    d->rig.relays[0].smtp.pipelining = true;
    d->rig.relays[0].smtp.chunking = true;
    d->rig.relays[0].smtp.unconfirmed = 1;
    rig_open(&d->rig);
    d->inner = d->rig.spool->ops;
    d->ops = *d->inner;
    d->ops.mark = mark;
    d->ops.settle = settle;
    d->rig.spool->ops = &d->ops;
    rig_start(&d->rig);
}

static struct id open_with_held_job(struct desk *d)
{
    struct rig_job held = {.on_unknown = JOB_ON_UNKNOWN_HOLD};
    open_desk(d, 4);
    struct id id = rig_put(&d->rig, &held);
    rig_wait("the question", is_asked, d);
    return id;
}

static void leave(struct desk *d)
{
    rig_close(&d->rig);
    mutex_fini(&d->lock);
}

static void nothing_is_sent_before_the_mark_is_recorded(void **state)
{
    (void)state;
    struct desk d;
    struct id id = open_with_held_job(&d);
    struct rig_job other = {0};
    /* Other jobs go their way meanwhile. */
    struct id other_id = rig_put(&d.rig, &other);
    rig_wait_state(&d.rig, &other_id, JOB_DELIVERED);
    assert_int_equal(mini_relay_mails(d.rig.mini[0]), 1);
    answer(&d, ERR_NONE);
    rig_wait_state(&d.rig, &id, JOB_DELIVERED);
    assert_int_equal(mini_relay_mails(d.rig.mini[0]), 2);
    assert_int_equal(d.asked, 1);
    leave(&d);
}

static void what_cannot_be_recorded_waits_and_costs_no_attempt(void **state)
{
    (void)state;
    struct desk d;
    struct id id = open_with_held_job(&d);
    answer(&d, ERR_FULL);
    rig_wait("the next question", is_asked, &d);
    struct spool_status *status = rig_find(&d.rig, &id);
    assert_int_equal(status->attempts, 0);
    assert_string_equal(status->note, "the disk is full");
    spool_status_destroy(status);
    assert_int_equal(mini_relay_mails(d.rig.mini[0]), 0);
    answer(&d, ERR_NONE);
    rig_wait_state(&d.rig, &id, JOB_DELIVERED);
    leave(&d);
}

static void give_answer(void *ctx)
{
    answer(ctx, ERR_NONE);
}

static void a_stop_waits_for_the_answer_and_gives_the_job_back(void **state)
{
    (void)state;
    struct desk d;
    struct err err;
    struct thread thread = {.started = false};
    struct id id = open_with_held_job(&d);
    assert_int_equal(thread_start(&thread, "answer", give_answer, &d, &err),
                     ERR_NONE);
    rig_stop(&d.rig, 0);
    thread_join(&thread);
    /* Sent or not: it is the spool's again, and nobody has it. */
    struct spool_status *status = rig_find(&d.rig, &id);
    assert_int_not_equal(status->state, JOB_ACTIVE);
    spool_status_destroy(status);
    leave(&d);
}

static bool held_enough(void *ctx)
{
    struct desk *d = ctx;
    mutex_lock(&d->lock);
    bool enough = d->held_count >= 4;
    mutex_unlock(&d->lock);
    return enough;
}

static void answer_held(struct desk *d, bool hold_more)
{
    mutex_lock(&d->lock);
    unsigned count = d->held_count;
    d->held_count = 0;
    d->holds = hold_more;
    mutex_unlock(&d->lock);
    for (unsigned i = 0; i < count; i++)
        d->held[i].fn(d->held[i].ctx, &d->held[i].settled);
}

/* A crash would send those again: their number is bounded. */
static void check_four_mails(const char *extensions)
{
    struct desk d;
    struct rig_job job = {0};
    struct id last;
    open_desk(&d, 1);
    mini_relay_offer(d.rig.mini[0], extensions);
    d.holds = true;
    for (unsigned i = 0; i < 9; i++)
        last = rig_put(&d.rig, &job);
    rig_wait("four settlements", held_enough, &d);
    /* The relay has answered four mails, and no fifth comes to it. */
    assert_int_equal(mini_relay_mails(d.rig.mini[0]), 4);
    struct spool_status *status = rig_find(&d.rig, &last);
    assert_int_equal(status->state, JOB_QUEUED);
    spool_status_destroy(status);
    assert_int_equal(mini_relay_mails(d.rig.mini[0]), 4);
    answer_held(&d, false);
    rig_wait_state(&d.rig, &last, JOB_DELIVERED);
    assert_int_equal(mini_relay_mails(d.rig.mini[0]), 9);
    leave(&d);
}

static void a_session_waits_for_the_disk_after_four_mails(void **state)
{
    (void)state;
    check_four_mails("");
    check_four_mails("250-PIPELINING\r\n");
    check_four_mails("250-PIPELINING\r\n250-CHUNKING\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_sent_before_the_mark_is_recorded),
        cmocka_unit_test(what_cannot_be_recorded_waits_and_costs_no_attempt),
        cmocka_unit_test(a_stop_waits_for_the_answer_and_gives_the_job_back),
        cmocka_unit_test(a_session_waits_for_the_disk_after_four_mails),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
