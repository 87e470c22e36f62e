#include "app/cli/show_job.h"

#include <stdbool.h>

#include "app/cli/show.h"
#include "app/cli/show_trail.h"
#include "app/cli/show_value.h"
#include "core/str.h"

#define ADDRESS_COLUMN_MAX 40

struct state_words {
    const char *state;
    const char *words;
};

static const struct state_words job_words[] = {
    {"queued", "waits for its first attempt"},
    {"active", "is being sent now"},
    {"deferred", "not all have it yet, it will be tried again"},
    {"delivered", "the relay took it for every recipient"},
    {"failed", "settled, but not every recipient has it"},
    {"expired", "its time to be delivered was over"},
    {"cancelled", "will not be sent"},
    {"held", "waits for a person: it may have been delivered, or its message "
             "is lost"},
};

static const char *words_for(struct str state)
{
    for (size_t i = 0; i < sizeof(job_words) / sizeof(job_words[0]); i++)
        if (str_equal(state, str_from(job_words[i].state)))
            return job_words[i].words;
    return "";
}

/* Members that have a place of their own. */
static bool is_shown_elsewhere(struct str name)
{
    return str_equal(name, STR("id")) || str_equal(name, STR("state")) ||
           str_equal(name, STR("recipients")) ||
           str_equal(name, STR("trail")) || str_equal(name, STR("body"));
}

static size_t address_width(const struct json_node *recipients)
{
    size_t width = 0;
    for (const struct json_node *r = recipients->first; r; r = r->next) {
        size_t len = jsontree_text(r, "address").len;
        if (len > width && len <= ADDRESS_COLUMN_MAX)
            width = len;
    }
    return width;
}

static void pad(FILE *out, size_t len, size_t width)
{
    if (len < width)
        (void)fprintf(out, "%*s", (int)(width - len), "");
}

static void show_recipient(FILE *out, const struct json_node *r, size_t width)
{
    struct str address = jsontree_text(r, "address");
    struct str state = jsontree_text(r, "state");
    struct str relay = jsontree_text(r, "relay");
    struct str reply = jsontree_text(r, "reply");
    int64_t attempts = 0;
    (void)fputs("    ", out);
    show_text(out, address);
    pad(out, address.len, width);
    (void)fputs("  ", out);
    show_text(out, state);
    if (relay.len + reply.len > 0)
        pad(out, state.len, sizeof("delivered") - 1);
    if (relay.len > 0) {
        (void)fputs("  by ", out);
        show_text(out, relay);
    }
    if (jsontree_int(jsontree_get(r, "attempts", JSON_NUMBER), &attempts) &&
        attempts > 1)
        (void)fprintf(out, ", attempt %lld", (long long)attempts);
    if (reply.len > 0) {
        (void)fputs(relay.len > 0 ? ": " : "  ", out);
        show_text(out, reply);
    }
    (void)fputc('\n', out);
}

static void show_recipients(FILE *out, const struct json_node *recipients)
{
    size_t width = address_width(recipients);
    (void)fputs("  recipients\n", out);
    for (const struct json_node *r = recipients->first; r; r = r->next)
        show_recipient(out, r, width);
}

void show_job(FILE *out, const struct json_node *job, int64_t now_ms)
{
    const struct json_node *recipients =
        jsontree_get(job, "recipients", JSON_ARRAY);
    const struct json_node *trail = jsontree_get(job, "trail", JSON_ARRAY);
    struct str state = jsontree_text(job, "state");
    if (job == NULL)
        return;
    (void)fputs("job ", out);
    show_text(out, jsontree_text(job, "id"));
    (void)fputs(": ", out);
    show_text(out, state);
    if (*words_for(state) != '\0')
        (void)fprintf(out, " - %s", words_for(state));
    (void)fputc('\n', out);
    for (const struct json_node *n = job->first; n != NULL; n = n->next)
        if (!is_shown_elsewhere(n->name))
            show_member(out, n, 2, now_ms);
    if (recipients != NULL)
        show_recipients(out, recipients);
    if (trail != NULL && trail->first != NULL)
        show_trail(out, trail, now_ms);
    show_trail_advice(out, job);
}
