#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/log.h"
#include "tests/unit/consumer/rig.h"

/* The log of a run, as one string. */
struct record {
    int fd;
    char text[65536];
};

static void start_record(struct record *r, enum log_level level)
{
    r->fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(r->fd >= 0);
    log_setup(r->fd, level);
}

static void end_record(struct record *r)
{
    log_setup(2, LOG_LEVEL_ERROR);
    ssize_t got = pread(r->fd, r->text, sizeof(r->text) - 1, 0);
    assert_true(got >= 0);
    r->text[got] = '\0';
    (void)close(r->fd);
}

/* The one line of this event and job, without its end; fails if not one. */
static void line_of(const struct record *r, const char *event, const char *job,
                    char line[1024])
{
    char wanted[128];
    unsigned count = 0;
    (void)snprintf(wanted, sizeof(wanted), "event=%s job=%s ", event, job);
    for (const char *at = r->text; (at = strstr(at, wanted)) != NULL; at++) {
        const char *start = at;
        while (start > r->text && start[-1] != '\n')
            start--;
        (void)snprintf(line, 1024, "%.*s", (int)strcspn(start, "\n"), start);
        count++;
    }
    if (count != 1)
        fail_msg("%u lines with %s", count, wanted);
}

static void expect(const struct record *r, const char *event,
                   const struct id *id, const char *part)
{
    char line[1024];
    line_of(r, event, id->text, line);
    if (strstr(line, part) == NULL)
        fail_msg("no %s in: %s", part, line);
}

static void each_end_of_a_job_has_its_line(void **state)
{
    (void)state;
    static struct record r;
    struct rig rig;
    struct rig_job good = {0};
    struct rig_job refused = {.recipients = "a 550-gone"};
    struct rig_job later = {.recipients = "451-later"};
    struct rig_job held = {.sender = "drop-dot",
                           .on_unknown = JOB_ON_UNKNOWN_HOLD};
    struct rig_job expiring = {.send_in_ms = 60000, .expires_in_ms = 50};
    start_record(&r, LOG_LEVEL_INFO);
    rig_init(&rig, 1);
    rig.options.retry.first_ms = 60000;
    rig.options.retry.longest_ms = 60000;
    rig_open(&rig);
    rig_start(&rig);
    struct id good_id = rig_put(&rig, &good);
    struct id refused_id = rig_put(&rig, &refused);
    struct id later_id = rig_put(&rig, &later);
    struct id held_id = rig_put(&rig, &held);
    struct id expired_id = rig_put(&rig, &expiring);
    rig_wait_state(&rig, &good_id, JOB_DELIVERED);
    rig_wait_state(&rig, &refused_id, JOB_FAILED);
    rig_wait_state(&rig, &later_id, JOB_DEFERRED);
    rig_wait_state(&rig, &held_id, JOB_HELD);
    rig_wait_state(&rig, &expired_id, JOB_EXPIRED);
    rig_stop(&rig, 5000);
    end_record(&r);
    expect(&r, "job.delivered", &good_id, "relay=first attempt=1");
    expect(&r, "job.failed", &refused_id, "reply=\"550 as you wish\"");
    expect(&r, "recipient.failed", &refused_id,
           "recipient=550-gone@example.org relay=first "
           "reply=\"550 as you wish\"");
    expect(&r, "job.deferred", &later_id, "reply=\"451 as you wish\"");
    expect(&r, "job.deferred", &later_id, "next_in_ms=");
    expect(&r, "recipient.deferred", &later_id, "recipient=451-later@");
    expect(&r, "job.held", &held_id, "attempt=1");
    expect(&r, "recipient.unknown", &held_id, " warning ");
    expect(&r, "job.expired", &expired_id, "reason=");
    /* Nothing of a message, and nothing about each step. */
    assert_null(strstr(r.text, "hello"));
    assert_null(strstr(r.text, "session."));
    rig_close(&rig);
}

static void relay_says_when_it_backs_off_and_is_back(void **state)
{
    (void)state;
    static struct record r;
    struct rig rig;
    struct rig_job job = {0};
    start_record(&r, LOG_LEVEL_DEBUG);
    rig_init(&rig, 1);
    rig_open(&rig);
    mini_relay_limit_sessions(rig.mini[0], 0);
    rig_start(&rig);
    struct id id = rig_put(&rig, &job);
    rig_wait_number(rig.mini[0], mini_relay_refused, 1, "a refusal");
    mini_relay_limit_sessions(rig.mini[0], 4);
    rig_wait_state(&rig, &id, JOB_DELIVERED);
    rig_stop(&rig, 5000);
    end_record(&r);
    assert_non_null(strstr(
        r.text, " warning event=relay.backing_off relay=first retry_in_ms="));
    assert_non_null(strstr(r.text, "event=relay.ready relay=first"));
    assert_non_null(strstr(r.text, "event=session.opened relay=first"));
    assert_non_null(strstr(r.text, "event=session.closed relay=first"));
    expect(&r, "job.attempt", &id, "attempt=1");
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_end_of_a_job_has_its_line),
        cmocka_unit_test(relay_says_when_it_backs_off_and_is_back),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
