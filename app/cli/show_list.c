#include "app/cli/show_list.h"

#include "app/cli/show.h"
#include "core/str.h"
#include "core/timetext.h"

#define ID_COLUMN        26
#define STATE_COLUMN     9
#define NEXT_COLUMN      10
#define ADDRESS_COLUMN   32
#define REPLY_CHARACTERS 60

#define AGE_MAX 24

static void cell(FILE *out, struct str text, size_t width)
{
    show_text(out, text);
    if (text.len < width)
        (void)fprintf(out, "%*s", (int)(width - text.len), "");
    (void)fputs("  ", out);
}

/* "42s", "17m", "5h", "12d"; "-" when it is not known. */
static void format_age(const struct json_node *job, int64_t now_ms,
                       char out[AGE_MAX])
{
    int64_t created_ms;
    (void)snprintf(out, AGE_MAX, "-");
    if (timetext_parse_rfc3339(jsontree_text(job, "created_at"), &created_ms) !=
        ERR_NONE)
        return;
    long long s = now_ms > created_ms ? (now_ms - created_ms) / 1000 : 0;
    if (s < 120)
        (void)snprintf(out, AGE_MAX, "%llds", s);
    else if (s < 7200)
        (void)snprintf(out, AGE_MAX, "%lldm", s / 60);
    else if (s < 172800)
        (void)snprintf(out, AGE_MAX, "%lldh", s / 3600);
    else
        (void)snprintf(out, AGE_MAX, "%lldd", s / 86400);
}

static void format_next(const struct json_node *job, int64_t now_ms,
                        char out[SHOW_RELATIVE_MAX])
{
    int64_t next_ms;
    (void)snprintf(out, SHOW_RELATIVE_MAX, "-");
    if (timetext_parse_rfc3339(jsontree_text(job, "next_attempt_at"),
                               &next_ms) == ERR_NONE)
        show_relative(next_ms > now_ms ? next_ms : now_ms, now_ms, out);
}

static long long number(const struct json_node *job, const char *name)
{
    int64_t value = 0;
    (void)jsontree_int(jsontree_get(job, name, JSON_NUMBER), &value);
    return value;
}

/* The first one's address, and how many more there are. */
static void show_recipients(FILE *out, const struct json_node *job)
{
    const struct json_node *list = jsontree_get(job, "recipients", JSON_ARRAY);
    const struct json_node *r = list == NULL ? NULL : list->first;
    long long more = number(job, "recipients_left_out");
    char plus[32] = "";
    struct str address = jsontree_text(r, "address");
    for (; r != NULL && r->next != NULL; r = r->next)
        more++;
    if (more > 0)
        (void)snprintf(plus, sizeof(plus), " +%lld", more);
    size_t width = ADDRESS_COLUMN - strlen(plus);
    show_text_cut(out, address, width);
    size_t len = (address.len < width ? address.len : width) + strlen(plus);
    (void)fprintf(out, "%s%*s  ", plus, (int)(ADDRESS_COLUMN - len), "");
}

/* Of the first who does not have it, else of the first who does, else why. */
static struct str last_reply(const struct json_node *job)
{
    const struct json_node *list = jsontree_get(job, "recipients", JSON_ARRAY);
    struct str found = {NULL, 0};
    for (const struct json_node *r = list == NULL ? NULL : list->first;
         r != NULL; r = r->next) {
        struct str reply = jsontree_text(r, "reply");
        bool has_it = str_equal(jsontree_text(r, "state"), STR("delivered"));
        if (reply.len > 0 && !has_it)
            return reply;
        if (found.len == 0)
            found = reply;
    }
    return found.len > 0 ? found : jsontree_text(job, "note");
}

void show_list_head(FILE *out)
{
    (void)fprintf(out, "%-*s  %-*s  %4s  %5s  %-*s  %-*s  %s\n", ID_COLUMN,
                  "ID", STATE_COLUMN, "STATE", "AGE", "TRIES", NEXT_COLUMN,
                  "NEXT TRY", ADDRESS_COLUMN, "RECIPIENT", "LAST REPLY");
}

void show_list(FILE *out, const struct json_node *jobs, int64_t now_ms)
{
    for (const struct json_node *job = jobs->first; job; job = job->next) {
        char age[AGE_MAX];
        char next[SHOW_RELATIVE_MAX];
        struct str reply = last_reply(job);
        format_age(job, now_ms, age);
        format_next(job, now_ms, next);
        cell(out, jsontree_text(job, "id"), ID_COLUMN);
        cell(out, jsontree_text(job, "state"), STATE_COLUMN);
        (void)fprintf(out, "%4s  %5lld  %-*s  ", age, number(job, "attempts"),
                      NEXT_COLUMN, next);
        show_recipients(out, job);
        show_text_cut(out, reply.len > 0 ? reply : STR("-"), REPLY_CHARACTERS);
        (void)fputc('\n', out);
    }
}
