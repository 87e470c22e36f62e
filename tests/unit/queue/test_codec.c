#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/random.h"
#include "queue/codec.h"

#define ROUNDS  2000
#define DAMAGES 20000

struct sample {
    struct job *job;
    struct progress progress;
    struct buf bytes;
};

static void sample_fini(struct sample *s)
{
    buf_fini(&s->bytes);
    progress_fini(&s->progress);
    job_unref(s->job);
}

static void put(struct sample *s)
{
    buf_init(&s->bytes, 1 << 20);
    codec_put(s->job, &s->progress, &s->bytes);
    assert_true(buf_ok(&s->bytes));
}

/* ---- random ones ---- */

static char *random_text(struct random *r, size_t max)
{
    if (random_below(r, 4) == 0)
        return NULL;
    size_t len = random_below(r, max + 1);
    char *text = mem_alloc(len + 1);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(1 + random_below(r, 255));
    text[len] = '\0';
    return text;
}

static char *random_name(struct random *r)
{
    char *text = random_text(r, 30);
    return text == NULL ? mem_strdup(STR("")) : text;
}

static int64_t random_time(struct random *r)
{
    return random_below(r, 8) == 0 ? 0 : (int64_t)random_next(r);
}

static struct job *random_job(struct random *r)
{
    struct job *job = job_new();
    id_new(&job->id, (int64_t)random_below(r, UINT64_C(1) << 47));
    job->client = random_text(r, 30);
    job->route = random_text(r, 30);
    job->priority = (enum job_priority)random_below(r, JOB_PRIORITY_COUNT);
    job->on_unknown = (enum job_on_unknown)random_below(r, 2);
    job->created_ms = random_time(r);
    job->send_at_ms = random_time(r);
    job->expires_at_ms = random_time(r);
    job->give_up_at_ms = random_time(r);
    job->tag = random_text(r, 100);
    job->metadata_count = random_below(r, 4);
    job->metadata = mem_calloc(job->metadata_count, sizeof(*job->metadata));
    for (size_t i = 0; i < job->metadata_count; i++) {
        job->metadata[i].name = random_name(r);
        job->metadata[i].value = random_name(r);
    }
    job->key = random_text(r, 256);
    if (job->key != NULL)
        for (size_t i = 0; i < JOB_DIGEST_LEN; i++)
            job->digest[i] = (unsigned char)random_next(r);
    job->sender = random_name(r);
    job->recipient_count = random_below(r, 5);
    job->recipients = mem_calloc(job->recipient_count, sizeof(char *));
    for (size_t i = 0; i < job->recipient_count; i++)
        job->recipients[i] = random_name(r);
    job->size_bytes = random_next(r);
    return job;
}

static void random_progress(struct random *r, const struct job *job,
                            struct progress *p)
{
    progress_init(p, job, random_time(r));
    do
        p->state = (enum job_state)random_below(r, JOB_STATE_COUNT);
    while (p->state == JOB_ACTIVE);
    p->attempts = (unsigned)random_next(r);
    p->due_ms = random_time(r);
    p->settled_ms = random_time(r);
    p->expires_at_ms = random_time(r);
    p->give_up_at_ms = random_time(r);
    p->marked = random_below(r, 2) == 0;
    p->note = random_text(r, SPOOL_TEXT_MAX);
    p->relay = random_text(r, 30);
    for (size_t i = 0; i < p->recipient_count; i++) {
        struct progress_recipient *to = &p->recipients[i];
        to->state =
            (enum recipient_state)random_below(r, RECIPIENT_STATE_COUNT);
        to->attempts = (unsigned)random_next(r);
        to->reply = random_text(r, 300);
        to->relay = random_text(r, 30);
    }
    mem_free(p->events);
    p->event_count = random_below(r, SPOOL_EVENTS_MAX + 1);
    p->events = mem_calloc(p->event_count, sizeof(*p->events));
    for (size_t i = 0; i < p->event_count; i++) {
        struct progress_event *e = &p->events[i];
        e->at_ms = random_time(r);
        e->kind = (enum spool_event_kind)random_below(r, SPOOL_EVENT_COUNT);
        e->attempt = (unsigned)random_next(r);
        e->relay = random_text(r, 30);
        e->text = random_text(r, 400);
    }
}

/* ---- comparing ---- */

static void same_text(const char *a, const char *b)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a != NULL)
        assert_string_equal(a, b);
}

static void same_job(const struct job *a, const struct job *b)
{
    assert_string_equal(a->id.text, b->id.text);
    same_text(a->client, b->client);
    same_text(a->route, b->route);
    assert_int_equal(a->priority, b->priority);
    assert_int_equal(a->on_unknown, b->on_unknown);
    assert_int_equal(a->created_ms, b->created_ms);
    assert_int_equal(a->send_at_ms, b->send_at_ms);
    assert_int_equal(a->expires_at_ms, b->expires_at_ms);
    assert_int_equal(a->give_up_at_ms, b->give_up_at_ms);
    same_text(a->tag, b->tag);
    assert_int_equal(a->metadata_count, b->metadata_count);
    for (size_t i = 0; i < a->metadata_count; i++) {
        same_text(a->metadata[i].name, b->metadata[i].name);
        same_text(a->metadata[i].value, b->metadata[i].value);
    }
    same_text(a->key, b->key);
    assert_memory_equal(a->digest, b->digest, JOB_DIGEST_LEN);
    same_text(a->sender, b->sender);
    assert_int_equal(a->recipient_count, b->recipient_count);
    for (size_t i = 0; i < a->recipient_count; i++)
        same_text(a->recipients[i], b->recipients[i]);
    assert_int_equal(a->size_bytes, b->size_bytes);
    assert_null(b->body);
}

static void same_progress(const struct progress *a, const struct progress *b)
{
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->attempts, b->attempts);
    assert_int_equal(a->due_ms, b->due_ms);
    assert_int_equal(a->settled_ms, b->settled_ms);
    assert_int_equal(a->expires_at_ms, b->expires_at_ms);
    assert_int_equal(a->give_up_at_ms, b->give_up_at_ms);
    assert_int_equal(a->marked, b->marked);
    same_text(a->note, b->note);
    same_text(a->relay, b->relay);
    assert_int_equal(a->recipient_count, b->recipient_count);
    for (size_t i = 0; i < a->recipient_count; i++) {
        assert_int_equal(a->recipients[i].state, b->recipients[i].state);
        assert_int_equal(a->recipients[i].attempts, b->recipients[i].attempts);
        same_text(a->recipients[i].reply, b->recipients[i].reply);
        same_text(a->recipients[i].relay, b->recipients[i].relay);
    }
    assert_int_equal(a->event_count, b->event_count);
    for (size_t i = 0; i < a->event_count; i++) {
        assert_int_equal(a->events[i].at_ms, b->events[i].at_ms);
        assert_int_equal(a->events[i].kind, b->events[i].kind);
        assert_int_equal(a->events[i].attempt, b->events[i].attempt);
        same_text(a->events[i].relay, b->events[i].relay);
        same_text(a->events[i].text, b->events[i].text);
    }
}

static void comes_back(struct sample *s)
{
    struct job *job = NULL;
    struct progress p;
    put(s);
    assert_int_equal(codec_get(buf_str(&s->bytes), &job, &p), ERR_NONE);
    same_job(s->job, job);
    same_progress(&s->progress, &p);
    progress_fini(&p);
    job_unref(job);
}

static void a_random_sample(struct sample *s, struct random *r)
{
    s->job = random_job(r);
    random_progress(r, s->job, &s->progress);
}

/* One of each kind of thing, and short. */
static void a_full_sample(struct sample *s)
{
    static const struct settle_recipient said = {
        0, RECIPIENT_DEFERRED, {"450 no", 6}};
    const struct settlement settlement = {.recipients = &said,
                                          .count = 1,
                                          .relay = STR("main"),
                                          .at_ms = 1700000000123,
                                          .rest = SETTLE_REST_RETRY,
                                          .next_attempt_ms = 1700000030123,
                                          .note = STR("note")};
    struct random r;
    random_init(&r, 1);
    do {
        if (s->job != NULL)
            job_unref(s->job);
        s->job = random_job(&r);
    } while (s->job->recipient_count < 2 || s->job->metadata_count < 1 ||
             s->job->key == NULL || s->job->tag == NULL);
    progress_init(&s->progress, s->job, 1700000000000);
    progress_settle(&s->progress, &settlement);
}

/* ---- tests ---- */

static void what_was_put_comes_back(void **state)
{
    struct random r;
    (void)state;
    random_init(&r, 7);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct sample s;
        a_random_sample(&s, &r);
        comes_back(&s);
        sample_fini(&s);
    }
}

/* The same with another number, and what version 2 has more behind it. */
static void is_version_2_with_a_relay(struct sample *s)
{
    static const char more[] = "\x04\x00\x00\x00"
                               "main";
    struct buf plain = s->bytes;
    s->progress.relay = mem_strdup(STR("main"));
    comes_back(s);
    assert_int_equal(s->bytes.len, plain.len + sizeof(more) - 1);
    assert_int_equal(s->bytes.data[0], 2);
    assert_memory_equal(s->bytes.data + 1, plain.data + 1, plain.len - 1);
    assert_memory_equal(s->bytes.data + plain.len, more, sizeof(more) - 1);
    buf_fini(&plain);
}

/* Files outlive programs: these bytes must be read for ever. */
static void the_bytes_are_those_of_version_1(void **state)
{
    static const unsigned char expected[] = "\x01"
                                            "01hf7yat00aaaaaaaaaaaaaaaa"
                                            "\x02\x01"
                                            "\x04\x03\x02\x01\x00\x00\x00\x00"
                                            "\x05\x00\x00\x00\x00\x00\x00\x00"
                                            "\xff\xff\xff\xff\xff\xff\xff\x7f"
                                            "\xff\xff\xff\xff\xff\xff\xff\xff"
                                            "\x00\x08\x00\x00\x00\x00\x00\x00"
                                            "\x03\x00\x00\x00"
                                            "app"
                                            "\x01\x00\x00\x00"
                                            "r"
                                            "\xff\xff\xff\xff"
                                            "\x00\x00\x00\x00"
                                            "\x01\x00\x00\x00"
                                            "\x01\x00\x00\x00"
                                            "n"
                                            "\x01\x00\x00\x00"
                                            "v"
                                            "\x01\x00\x00\x00"
                                            "k"
                                            "dddddddddddddddddddddddddddddddd"
                                            "\x01\x00\x00\x00"
                                            "\x03\x00\x00\x00"
                                            "t@x"
                                            "\x00\x00\x00\x00\x00"
                                            "\xff\xff\xff\xff"
                                            "\xff\xff\xff\xff"
                                            "\x00\x01"
                                            "\x00\x00\x00\x00"
                                            "\x05\x00\x00\x00\x00\x00\x00\x00"
                                            "\x00\x00\x00\x00\x00\x00\x00\x00"
                                            "\xff\xff\xff\xff\xff\xff\xff\x7f"
                                            "\xff\xff\xff\xff\xff\xff\xff\xff"
                                            "\xff\xff\xff\xff"
                                            "\x01"
                                            "\x09\x00\x00\x00\x00\x00\x00\x00"
                                            "\x00"
                                            "\x00\x00\x00\x00"
                                            "\xff\xff\xff\xff"
                                            "\xff\xff\xff\xff";
    struct sample s = {.job = job_new()};
    struct job *job = s.job;
    (void)state;
    memcpy(job->id.text, "01hf7yat00aaaaaaaaaaaaaaaa", ID_LEN + 1);
    job->priority = JOB_PRIORITY_LOW;
    job->on_unknown = JOB_ON_UNKNOWN_HOLD;
    job->created_ms = 0x01020304;
    job->send_at_ms = 5;
    job->expires_at_ms = INT64_MAX;
    job->give_up_at_ms = -1;
    job->size_bytes = 2048;
    job->client = mem_strdup(STR("app"));
    job->route = mem_strdup(STR("r"));
    job->sender = mem_strdup(STR(""));
    job->metadata = mem_calloc(1, sizeof(*job->metadata));
    job->metadata_count = 1;
    job->metadata[0].name = mem_strdup(STR("n"));
    job->metadata[0].value = mem_strdup(STR("v"));
    job->key = mem_strdup(STR("k"));
    memset(job->digest, 'd', sizeof(job->digest));
    job->recipients = mem_calloc(1, sizeof(char *));
    job->recipient_count = 1;
    job->recipients[0] = mem_strdup(STR("t@x"));
    progress_init(&s.progress, job, 9);
    s.progress.marked = true;
    comes_back(&s);
    assert_int_equal(s.bytes.len, sizeof(expected) - 1);
    assert_memory_equal(s.bytes.data, expected, sizeof(expected) - 1);
    is_version_2_with_a_relay(&s);
    sample_fini(&s);
}

/* What reads outside of it is found by the sanitizer: nothing lies behind. */
static enum err_code get_exactly(const char *data, size_t len)
{
    struct job *job = NULL;
    struct progress p;
    char *copy = mem_alloc(len);
    if (len > 0)
        memcpy(copy, data, len);
    enum err_code code = codec_get(str_of(copy, len), &job, &p);
    if (code == ERR_NONE) {
        struct buf again;
        buf_init(&again, 1 << 20);
        codec_put(job, &p, &again);
        assert_int_equal(again.len, len);
        assert_memory_equal(again.data, copy, len);
        buf_fini(&again);
        progress_fini(&p);
        job_unref(job);
    } else {
        assert_int_equal(code, ERR_INVALID);
        assert_null(job);
    }
    mem_free(copy);
    return code;
}

static void whatever_is_cut_off_is_missed(void **state)
{
    struct sample s = {.job = NULL};
    (void)state;
    a_full_sample(&s);
    put(&s);
    for (size_t len = 0; len < s.bytes.len; len++)
        assert_int_equal(get_exactly(s.bytes.data, len), ERR_INVALID);
    assert_int_equal(get_exactly(s.bytes.data, s.bytes.len), ERR_NONE);
    buf_add_char(&s.bytes, '\0');
    assert_int_equal(get_exactly(s.bytes.data, s.bytes.len), ERR_INVALID);
    sample_fini(&s);
}

/* What is taken all the same is what codec_put() would have written. */
static void damage_is_refused_or_harmless(void **state)
{
    struct sample s = {.job = NULL};
    struct random r;
    unsigned refused = 0;
    (void)state;
    a_full_sample(&s);
    put(&s);
    random_init(&r, 3);
    for (unsigned i = 0; i < DAMAGES; i++) {
        char *data = mem_alloc(s.bytes.len);
        memcpy(data, s.bytes.data, s.bytes.len);
        for (uint64_t n = 1 + random_below(&r, 3); n > 0; n--) {
            static const unsigned char odd[] = {0, 1, 0x7f, 0x80, 0xff};
            size_t at = random_below(&r, s.bytes.len);
            data[at] = random_below(&r, 2) == 0
                           ? (char)random_next(&r)
                           : (char)odd[random_below(&r, sizeof(odd))];
        }
        refused += get_exactly(data, s.bytes.len) != ERR_NONE;
        mem_free(data);
    }
    assert_in_range(refused, DAMAGES / 4, DAMAGES - 1);
    sample_fini(&s);
}

static void no_value_out_of_range_is_taken(void **state)
{
    static const struct {
        size_t at;
        unsigned char value;
    } table[] = {
        {0, 0},   {0, CODEC_VERSION_RELAY + 1}, {1, '8'},
        {5, 'u'}, {27, JOB_PRIORITY_COUNT},     {28, 2},
    };
    struct sample s = {.job = NULL};
    (void)state;
    a_full_sample(&s);
    put(&s);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char old = s.bytes.data[table[i].at];
        s.bytes.data[table[i].at] = (char)table[i].value;
        assert_int_equal(get_exactly(s.bytes.data, s.bytes.len), ERR_INVALID);
        s.bytes.data[table[i].at] = old;
    }
    sample_fini(&s);
}

static void version_2_has_a_relay(void **state)
{
    struct sample s = {.job = NULL};
    (void)state;
    a_full_sample(&s);
    mem_free(s.progress.relay);
    s.progress.relay = mem_strdup(STR(""));
    put(&s);
    assert_int_equal(get_exactly(s.bytes.data, s.bytes.len), ERR_NONE);
    memset(s.bytes.data + s.bytes.len - 4, 0xff, 4);
    assert_int_equal(get_exactly(s.bytes.data, s.bytes.len), ERR_INVALID);
    sample_fini(&s);
}

static void states_that_are_none_are_refused(void **state)
{
    struct sample s = {.job = NULL};
    (void)state;
    a_full_sample(&s);
    s.progress.state = JOB_ACTIVE;
    put(&s);
    assert_int_equal(get_exactly(s.bytes.data, s.bytes.len), ERR_INVALID);
    buf_fini(&s.bytes);
    s.progress.state = JOB_STATE_COUNT;
    put(&s);
    assert_int_equal(get_exactly(s.bytes.data, s.bytes.len), ERR_INVALID);
    buf_fini(&s.bytes);
    s.progress.state = JOB_HELD;
    s.progress.recipients[1].state = RECIPIENT_STATE_COUNT;
    put(&s);
    assert_int_equal(get_exactly(s.bytes.data, s.bytes.len), ERR_INVALID);
    buf_fini(&s.bytes);
    s.progress.recipients[1].state = RECIPIENT_PENDING;
    s.progress.events[1].kind = SPOOL_EVENT_COUNT;
    put(&s);
    assert_int_equal(get_exactly(s.bytes.data, s.bytes.len), ERR_INVALID);
    sample_fini(&s);
}

static void a_cap_that_is_too_small_is_seen_by_the_caller(void **state)
{
    struct sample s = {.job = NULL};
    (void)state;
    a_full_sample(&s);
    buf_init(&s.bytes, 100);
    codec_put(s.job, &s.progress, &s.bytes);
    assert_false(buf_ok(&s.bytes));
    sample_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_comes_back),
        cmocka_unit_test(the_bytes_are_those_of_version_1),
        cmocka_unit_test(whatever_is_cut_off_is_missed),
        cmocka_unit_test(damage_is_refused_or_harmless),
        cmocka_unit_test(no_value_out_of_range_is_taken),
        cmocka_unit_test(version_2_has_a_relay),
        cmocka_unit_test(states_that_are_none_are_refused),
        cmocka_unit_test(a_cap_that_is_too_small_is_seen_by_the_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
