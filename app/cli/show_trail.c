#include "app/cli/show_trail.h"

#include <stdbool.h>
#include <time.h>

#include "app/cli/show.h"
#include "core/str.h"
#include "core/timetext.h"

#define TIME_MAX 32

struct event_words {
    const char *event;
    const char *words;
};

/* The event's own text follows behind a colon. */
static const struct event_words event_words[] = {
    {"accepted", "accepted"},
    {"released", "put back without an attempt"},
    {"held", "held, waits for a person"},
    {"retried", "a person asked to try it again"},
    {"cancelled", "cancelled by its client"},
    {"dropped", "dropped by a person"},
    {"expired", "its time to be delivered (expires_at) was over"},
    {"given_up", "given up: not delivered in the time allowed (retry.give_up)"},
};

/*
 * How the text of an attempt begins, for one recipient, and what that means.
 * Of several the daemon counts: "deferred 2, delivered to 3: 451 Busy".
 */
static const struct event_words outcome_words[] = {
    {"delivered", "delivered"},
    {"deferred: 4", "refused for now: 4"},
    {"deferred", "not delivered yet"},
    {"refused", "refused for good"},
    {"answer lost", "the relay's answer was lost after the whole message was "
                    "sent: it may have been delivered"},
    {"not tried", "not tried"},
};

/* ---- times ---- */

static bool time_of(const struct json_node *event, struct tm *out)
{
    int64_t ms;
    if (timetext_parse_rfc3339(jsontree_text(event, "at"), &ms) != ERR_NONE)
        return false;
    time_t seconds = (time_t)(ms / 1000);
    return localtime_r(&seconds, out) != NULL;
}

static bool is_all_today(const struct json_node *trail, int64_t now_ms)
{
    struct tm today;
    struct tm at;
    time_t seconds = (time_t)(now_ms / 1000);
    if (localtime_r(&seconds, &today) == NULL)
        return false;
    for (const struct json_node *n = trail->first; n != NULL; n = n->next)
        if (time_of(n, &at) &&
            (at.tm_yday != today.tm_yday || at.tm_year != today.tm_year))
            return false;
    return true;
}

static void show_at(FILE *out, const struct json_node *event, bool today)
{
    char text[TIME_MAX] = "";
    struct tm at;
    if (time_of(event, &at))
        (void)strftime(text, sizeof(text),
                       today ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &at);
    (void)fprintf(out, "    %-*s  ", today ? 8 : 19, text);
}

/* ---- events ---- */

/* What the text begins with ends where a word does. */
static bool begins(struct str text, struct str with)
{
    if (!str_starts(text, with))
        return false;
    return text.len == with.len || text.data[with.len] == ':' ||
           ascii_is_digit(with.data[with.len - 1]);
}

static void show_outcome(FILE *out, struct str text)
{
    for (size_t i = 0; i < sizeof(outcome_words) / sizeof(outcome_words[0]);
         i++) {
        struct str begin = str_from(outcome_words[i].event);
        if (!begins(text, begin))
            continue;
        (void)fputs(outcome_words[i].words, out);
        show_text(out, str_after(text, begin.len));
        return;
    }
    show_text(out, text);
    if (str_contains(text, STR("answer lost for ")))
        (void)fputs(" (where the relay's answer was lost the whole message "
                    "was sent: it may have been delivered)",
                    out);
}

static int64_t attempt_of(const struct json_node *event)
{
    int64_t number = 0;
    (void)jsontree_int(jsontree_get(event, "attempt", JSON_NUMBER), &number);
    return number;
}

static void show_attempt_at(FILE *out, const struct json_node *event)
{
    struct str relay = jsontree_text(event, "relay");
    (void)fprintf(out, "attempt %lld", (long long)attempt_of(event));
    if (relay.len > 0) {
        (void)fputs(" at relay ", out);
        show_text(out, relay);
    }
}

static void show_interrupted(FILE *out, const struct json_node *event)
{
    show_attempt_at(out, event);
    (void)fputs(" was interrupted: the daemon ended before the relay's answer, "
                "it may have been delivered",
                out);
}

static void show_attempt(FILE *out, const struct json_node *event)
{
    struct str text = jsontree_text(event, "text");
    show_attempt_at(out, event);
    if (text.len > 0) {
        (void)fputs(": ", out);
        show_outcome(out, text);
    }
}

/* An event that this program does not know is shown by its name. */
static void show_other(FILE *out, const struct json_node *event)
{
    struct str name = jsontree_text(event, "event");
    struct str text = jsontree_text(event, "text");
    struct str relay = jsontree_text(event, "relay");
    struct str words = name;
    for (size_t i = 0; i < sizeof(event_words) / sizeof(event_words[0]); i++)
        if (str_equal(name, str_from(event_words[i].event)))
            words = str_from(event_words[i].words);
    if (attempt_of(event) > 0)
        (void)fprintf(out, "attempt %lld: ", (long long)attempt_of(event));
    show_text(out, words);
    if (relay.len > 0) {
        (void)fputs(" (relay ", out);
        show_text(out, relay);
        (void)fputc(')', out);
    }
    if (text.len > 0) {
        (void)fputs(": ", out);
        show_text(out, text);
    }
}

void show_trail(FILE *out, const struct json_node *trail, int64_t now_ms)
{
    bool today = is_all_today(trail, now_ms);
    int64_t before = 0;
    (void)fputs("  what happened\n", out);
    for (const struct json_node *n = trail->first; n != NULL; n = n->next) {
        int64_t attempt = attempt_of(n);
        if (attempt > before + 1)
            (void)fprintf(out, "    (%lld more attempt%s, not kept)\n",
                          (long long)(attempt - before - 1),
                          attempt == before + 2 ? "" : "s");
        if (attempt > before)
            before = attempt;
        show_at(out, n, today);
        if (str_equal(jsontree_text(n, "event"), STR("attempt")))
            show_attempt(out, n);
        else if (str_equal(jsontree_text(n, "event"), STR("interrupted")))
            show_interrupted(out, n);
        else
            show_other(out, n);
        (void)fputc('\n', out);
    }
}

/* ---- what to do ---- */

static void advise(FILE *out, const char *what, const char *command,
                   struct str id)
{
    (void)fprintf(out, "    %-40s  postrider %s ", what, command);
    show_text(out, id);
    (void)fputc('\n', out);
}

void show_trail_advice(FILE *out, const struct json_node *job)
{
    struct str state = jsontree_text(job, "state");
    struct str id = jsontree_text(job, "id");
    bool held = str_equal(state, STR("held"));
    bool failed =
        str_equal(state, STR("failed")) || str_equal(state, STR("expired"));
    const struct json_node *body = jsontree_get(job, "body", JSON_BOOL);
    if (held) {
        (void)fputs("  what to do\n", out);
        advise(out, "send it again (it may arrive twice):", "retry", id);
        advise(out, "leave it at that:", "drop", id);
    } else if (failed && body != NULL && body->truth) {
        (void)fputs("  what to do\n", out);
        advise(out, "try again for those who do not have it:", "retry", id);
        advise(out, "forget it:", "drop", id);
    } else if (failed && body != NULL) {
        (void)fputs("  its message is no longer kept, so it cannot be tried "
                    "again\n",
                    out);
    }
}
