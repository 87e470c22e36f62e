#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "producer/submission.h"

static const char *const routes[] = {"default", "bulk"};

struct decoded {
    struct arena arena;
    struct submission s;
};

static void decode(struct decoded *d, const char *json)
{
    const struct submission_options options = {
        .routes = routes, .route_count = 2, .now_ms = 1000};
    struct refusal refusal;
    struct json_value *object;
    arena_init(&d->arena);
    if (!json_parse(str_from(json), 1000, &d->arena, &object, &refusal) ||
        !submission_decode(object, &options, &d->arena, &d->s, &refusal))
        fail_msg("%s: %s %s: %s", json, refusal_name(refusal.word),
                 refusal.field, refusal.text);
}

static void expect_text(struct str got, const char *expected)
{
    if (!str_equal(got, str_from(expected)))
        fail_msg("\"%.*s\" is not \"%s\"", STR_ARG(got), expected);
}

static void an_empty_object_has_defaults(void **state)
{
    struct decoded d;
    (void)state;
    decode(&d, "{\"op\":\"submit\",\"ref\":1}");
    assert_false(d.s.draft.has_from);
    assert_false(d.s.draft.has_subject);
    assert_false(d.s.draft.has_text);
    assert_false(d.s.draft.has_html);
    assert_int_equal(d.s.draft.to.count, 0);
    assert_int_equal(d.s.draft.header_count, 0);
    assert_int_equal(d.s.draft.attachment_count, 0);
    assert_int_equal(d.s.priority, JOB_PRIORITY_NORMAL);
    assert_int_equal(d.s.on_unknown, JOB_ON_UNKNOWN_RETRY);
    assert_int_equal(d.s.send_at_ms, 0);
    assert_int_equal(d.s.expires_at_ms, 0);
    expect_text(d.s.route, "default");
    assert_false(d.s.has_tag);
    assert_false(d.s.has_key);
    assert_int_equal(d.s.metadata_count, 0);
    arena_fini(&d.arena);
}

static void each_field_gets_its_place(void **state)
{
    struct decoded d;
    (void)state;
    decode(&d, "{\"from\":\"A <a@x.org>\",\"to\":\"b@x.org, c@x.org\","
               "\"cc\":[\"d@x.org\",\"e\\u0040x.org\"],\"bcc\":[],"
               "\"reply_to\":\"r@x.org\",\"subject\":\"S\\u00fc\","
               "\"text\":\"t\\n\",\"html\":\"\","
               "\"headers\":{\"X-A\":\"1\",\"X-B\":\"2\"},"
               "\"idempotency_key\":\"k\",\"priority\":\"low\","
               "\"send_at\":\"1970-01-01T00:00:02Z\","
               "\"expires_at\":\"1970-01-01T00:00:03.5Z\","
               "\"route\":\"bulk\",\"on_unknown\":\"hold\",\"tag\":\"T\","
               "\"metadata\":{\"m\":\"1\",\"n\":\"\"}}");
    const struct draft *draft = &d.s.draft;
    assert_true(draft->has_from && draft->has_subject);
    assert_true(draft->has_text && draft->has_html);
    expect_text(draft->from, "A <a@x.org>");
    assert_int_equal(draft->to.count, 1);
    assert_false(draft->to.is_array);
    expect_text(draft->to.items[0], "b@x.org, c@x.org");
    assert_int_equal(draft->cc.count, 2);
    assert_true(draft->cc.is_array);
    expect_text(draft->cc.items[0], "d@x.org");
    expect_text(draft->cc.items[1], "e@x.org");
    assert_int_equal(draft->bcc.count, 0);
    expect_text(draft->reply_to.items[0], "r@x.org");
    expect_text(draft->subject, "S\xc3\xbc");
    expect_text(draft->text, "t\n");
    expect_text(draft->html, "");
    assert_int_equal(draft->header_count, 2);
    expect_text(draft->headers[1].name, "X-B");
    expect_text(draft->headers[1].value, "2");
    expect_text(d.s.key, "k");
    assert_int_equal(d.s.priority, JOB_PRIORITY_LOW);
    assert_int_equal(d.s.on_unknown, JOB_ON_UNKNOWN_HOLD);
    assert_int_equal(d.s.send_at_ms, 2000);
    assert_int_equal(d.s.expires_at_ms, 3500);
    expect_text(d.s.route, "bulk");
    expect_text(d.s.tag, "T");
    assert_int_equal(d.s.metadata_count, 2);
    expect_text(d.s.metadata[0].name, "m");
    expect_text(d.s.metadata[1].value, "");
    arena_fini(&d.arena);
}

static void words_of_priority_are_known(void **state)
{
    struct decoded d;
    (void)state;
    decode(&d, "{\"priority\":\"high\",\"on_unknown\":\"retry\"}");
    assert_int_equal(d.s.priority, JOB_PRIORITY_HIGH);
    assert_int_equal(d.s.on_unknown, JOB_ON_UNKNOWN_RETRY);
    arena_fini(&d.arena);
    decode(&d, "{\"priority\":\"normal\"}");
    assert_int_equal(d.s.priority, JOB_PRIORITY_NORMAL);
    arena_fini(&d.arena);
}

static void attachments_are_decoded(void **state)
{
    struct decoded d;
    (void)state;
    decode(&d, "{\"attachments\":["
               "{\"filename\":\"a.bin\",\"content\":\"AAEC/w==\"},"
               "{\"content\":\"eHh4\",\"filename\":\"\",\"content_type\":"
               "\"image\\/png\",\"content_id\":\"logo\"},"
               "{\"filename\":\"empty\",\"content\":\"\"},"
               "{\"filename\":\"slash\",\"content\":\"\\/\\/8=\"}]}");
    const struct draft_attachment *a = d.s.draft.attachments;
    assert_int_equal(d.s.draft.attachment_count, 4);
    expect_text(a[0].filename, "a.bin");
    assert_int_equal(a[0].content.len, 4);
    assert_memory_equal(a[0].content.data, "\0\1\2\xff", 4);
    assert_false(a[0].has_content_id);
    assert_int_equal(a[0].content_type.len, 0);
    expect_text(a[1].content, "xxx");
    expect_text(a[1].content_type, "image/png");
    assert_true(a[1].has_content_id);
    expect_text(a[1].content_id, "logo");
    assert_int_equal(a[2].content.len, 0);
    expect_text(a[3].content, "\xff\xff");
    arena_fini(&d.arena);
}

static void send_at_may_be_past(void **state)
{
    struct decoded d;
    (void)state;
    decode(&d, "{\"send_at\":\"1970-01-01T00:00:00Z\","
               "\"expires_at\":\"1970-01-01T00:00:01.001Z\"}");
    assert_int_equal(d.s.expires_at_ms, 1001);
    arena_fini(&d.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_object_has_defaults),
        cmocka_unit_test(each_field_gets_its_place),
        cmocka_unit_test(words_of_priority_are_known),
        cmocka_unit_test(attachments_are_decoded),
        cmocka_unit_test(send_at_may_be_past),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
