#include "app/sink/sink_auth.h"

#include "app/sink/sink_reply.h"
#include "core/base64.h"

#define SECRET_MAX_BYTES 12288

static const struct sink_refusal bad_base64 = {501, "5.5.2",
                                               "Not valid base64"};
static const struct sink_refusal bad_plain = {
    501, "5.5.2", "PLAIN is [authzid] NUL name NUL password"};

/* With --auth only those; otherwise any name that is not empty. */
static bool is_known(const struct sink_session *s, struct str name,
                     struct str password)
{
    const struct sink_options *o = s->sink->options;
    if (o->user_count == 0)
        return name.len > 0;
    for (size_t i = 0; i < o->user_count; i++)
        if (str_equal(o->users[i].name, name) &&
            str_equal(o->users[i].password, password))
            return true;
    return false;
}

static void settle(struct sink_session *s, struct str name, struct str password)
{
    if (sink_reply_fault(s, SINK_STAGE_AUTH, name)) {
        sink_counts_add(&s->sink->counts, SINK_COUNT_AUTH_FAILED, 1);
        sink_reply(s, 454, "4.7.0", "Refused");
        return;
    }
    if (!is_known(s, name, password)) {
        sink_counts_add(&s->sink->counts, SINK_COUNT_AUTH_FAILED, 1);
        sink_reply(s, 535, "5.7.8", "Authentication credentials invalid");
        sink_session_count_error(s);
        return;
    }
    sink_counts_add(&s->sink->counts, SINK_COUNT_AUTH, 1);
    buf_truncate(&s->user, 0);
    buf_add_str(&s->user, name);
    sink_reply(s, 235, "2.7.0", "Authentication succeeded");
}

static void settle_plain(struct sink_session *s, struct str secret)
{
    struct str rest = str_after(secret, str_find(secret, '\0') + 1);
    size_t end = str_find(rest, '\0');
    struct str name = str_of(rest.data, end);
    struct str password = str_after(rest, end + 1);
    if (str_find(secret, '\0') == secret.len || end == rest.len ||
        name.len == 0 || str_find(password, '\0') != password.len) {
        sink_reply_refusal(s, &bad_plain);
        return;
    }
    settle(s, name, password);
}

static void prompt(struct sink_session *s, enum sink_auth_step step,
                   const char *challenge)
{
    s->mode = SINK_MODE_AUTH;
    s->auth_step = step;
    sink_reply(s, 334, "", challenge);
}

static void ask_password(struct sink_session *s, struct str name)
{
    buf_truncate(&s->auth_name, 0);
    buf_add_str(&s->auth_name, name);
    prompt(s, SINK_AUTH_STEP_LOGIN_PASSWORD, "UGFzc3dvcmQ6");
}

/* text: base64, of the exchange's present step. */
static void respond(struct sink_session *s, struct str text)
{
    struct buf secret;
    buf_init(&secret, SECRET_MAX_BYTES);
    if (base64_decode(text, &secret) != ERR_NONE) {
        buf_fini(&secret);
        sink_reply_refusal(s, &bad_base64);
        return;
    }
    switch (s->auth_step) {
    case SINK_AUTH_STEP_PLAIN:
        settle_plain(s, buf_str(&secret));
        break;
    case SINK_AUTH_STEP_LOGIN_NAME:
        ask_password(s, buf_str(&secret));
        break;
    case SINK_AUTH_STEP_LOGIN_PASSWORD:
    default:
        settle(s, buf_str(&s->auth_name), buf_str(&secret));
        break;
    }
    buf_fini(&secret);
}

void sink_auth_command(struct sink_session *s, struct str argument)
{
    size_t blank = str_find(argument, ' ');
    struct str mechanism = str_of(argument.data, blank);
    struct str initial = str_trim(str_after(argument, blank + 1));
    bool plain = str_equal_nocase(mechanism, STR("PLAIN"));
    if (!plain && !str_equal_nocase(mechanism, STR("LOGIN"))) {
        sink_reply_refusal(
            s, &(struct sink_refusal){504, "5.5.4",
                                      "Authentication mechanism unknown"});
        return;
    }
    s->auth_step = plain ? SINK_AUTH_STEP_PLAIN : SINK_AUTH_STEP_LOGIN_NAME;
    if (initial.len == 0)
        prompt(s, s->auth_step, plain ? "" : "VXNlcm5hbWU6");
    else if (str_equal(initial, STR("=")))
        respond(s, (struct str){NULL, 0});
    else
        respond(s, initial);
}

void sink_auth_line(struct sink_session *s, struct str line)
{
    s->mode = SINK_MODE_COMMAND;
    if (str_equal(line, STR("*"))) {
        sink_reply_refusal(s, &(struct sink_refusal){
                                  501, "5.7.0", "Authentication cancelled"});
        return;
    }
    respond(s, line);
}
