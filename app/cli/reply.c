#include "app/cli/reply.h"

#include <sysexits.h>

#include "app/cli/show.h"

struct error_word {
    const char *word;
    int exit_code;  /* when the reply does not say "retry" */
    bool temporary; /* for a daemon that does not say */
    const char *hint;
};

static const struct error_word words[] = {
    {"queue_full", EX_DATAERR, true,
     "the daemon has too much to do now: try again"},
    {"spool_full", EX_DATAERR, true,
     "as many jobs wait as the daemon may keep: look at 'postrider stats'"},
    {"rate_limited", EX_DATAERR, true, "try again later"},
    {"shutting_down", EX_DATAERR, true, "the daemon is stopping: try again"},
    {"auth_required", EX_NOPERM, false,
     "this address wants clients to say who they are"},
    {"auth_failed", EX_NOPERM, false, NULL},
    {"forbidden", EX_NOPERM, false, NULL},
    {"not_found", EX_DATAERR, false,
     "ids are 26 characters; settled jobs are forgotten after a while, and "
     "clients see their own jobs only"},
    {"not_cancellable", EX_DATAERR, false,
     "it can be done while no attempt runs: look at 'postrider status'"},
    {"key_conflict", EX_DATAERR, false,
     "another mail was accepted under this key: give each mail its own"},
    {"too_large", EX_DATAERR, false, NULL},
    {"internal", EX_DATAERR, false, "the daemon's log says more"},
};

static const struct error_word *find_word(struct str error)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (str_equal(error, str_from(words[i].word)))
            return &words[i];
    return NULL;
}

enum err_code reply_parse(struct str line, struct reply *out, struct err *err)
{
    struct json_node *root = NULL;
    struct err why = {0};
    enum err_code code = jsontree_parse(line, &root, &why);
    const struct json_node *ok = jsontree_get(root, "ok", JSON_BOOL);
    if (code != ERR_NONE || ok == NULL) {
        char excerpt[SHOW_EXCERPT_MAX];
        show_excerpt(line, excerpt);
        jsontree_destroy(root);
        return err_set(err, ERR_INVALID,
                       "the answer is no reply of protocol version 1 (%s): %s",
                       code == ERR_NONE ? "it has no \"ok\"" : why.text,
                       excerpt);
    }
    *out = (struct reply){
        .root = root,
        .ok = ok->truth,
        .duplicate = jsontree_true(root, "duplicate"),
        .retry_after_ms = -1,
        .id = jsontree_text(root, "id"),
        .state = jsontree_text(root, "state"),
        .durable = jsontree_text(root, "durable"),
        .error = jsontree_text(root, "error"),
        .field = jsontree_text(root, "field"),
        .message = jsontree_text(root, "message"),
    };
    const struct error_word *w = find_word(out->error);
    const struct json_node *retry = jsontree_get(root, "retry", JSON_BOOL);
    out->retry = retry != NULL ? retry->truth : w != NULL && w->temporary;
    const struct json_node *after =
        jsontree_get(root, "retry_after_ms", JSON_NUMBER);
    if (!jsontree_int(after, &out->retry_after_ms) || out->retry_after_ms < 0)
        out->retry_after_ms = -1;
    return ERR_NONE;
}

void reply_fini(struct reply *r)
{
    jsontree_destroy(r->root);
    *r = (struct reply){0};
}

int reply_exit_code(const struct reply *r)
{
    const struct error_word *w = find_word(r->error);
    if (r->ok)
        return EX_OK;
    if (r->retry)
        return EX_TEMPFAIL;
    return w != NULL ? w->exit_code : EX_DATAERR;
}

const char *reply_hint(const struct reply *r)
{
    const struct error_word *w = find_word(r->error);
    return w == NULL ? NULL : w->hint;
}

void reply_print_error(FILE *out, const struct reply *r)
{
    show_text(out, r->error.len > 0 ? r->error : STR("refused"));
    if (r->field.len > 0) {
        (void)fputs(" in ", out);
        show_text(out, r->field);
    }
    if (r->message.len > 0) {
        (void)fputs(": ", out);
        show_text(out, r->message);
    }
}

bool reply_state_is_final(struct str state)
{
    return str_equal(state, STR("delivered")) ||
           str_equal(state, STR("failed")) ||
           str_equal(state, STR("expired")) ||
           str_equal(state, STR("cancelled")) || str_equal(state, STR("held"));
}

int reply_state_exit_code(struct str state)
{
    if (str_equal(state, STR("delivered")))
        return EX_OK;
    if (reply_state_is_final(state) && !str_equal(state, STR("held")))
        return EX_DATAERR;
    return EX_TEMPFAIL;
}
