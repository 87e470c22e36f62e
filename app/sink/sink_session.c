#include "app/sink/sink_session.h"

#include <string.h>

#include "app/sink/sink_auth.h"
#include "app/sink/sink_content.h"
#include "app/sink/sink_handlers.h"
#include "app/sink/sink_reply.h"

#define OUT_MAX_BYTES  (1U << 20)
#define NAME_MAX_BYTES 512U
#define AUTH_LINE_MAX  12288U /* RFC 4954 section 4 */

static const struct sink_refusal bad_line = {
    500, "5.5.2", "A line ends in CRLF and has no other CR, LF or NUL"};
static const struct sink_refusal long_line = {500, "5.5.2", "Line too long"};

void sink_session_init(struct sink_session *s, struct sink *sink,
                       enum sink_listener_kind kind, uint64_t number)
{
    *s = (struct sink_session){.sink = sink,
                               .number = number,
                               .kind = kind,
                               .mode = SINK_MODE_COMMAND,
                               .want = SINK_WANT_INPUT,
                               .hold_ms = -1,
                               .input_cut = UINT64_MAX};
    buf_init(&s->out, OUT_MAX_BYTES);
    buf_init(&s->user, NAME_MAX_BYTES);
    buf_init(&s->auth_name, NAME_MAX_BYTES);
    sink_envelope_init(&s->envelope);
    sink_content_init(&s->content);
    if (sink_faults_any(&sink->options->faults, SINK_STAGE_INPUT))
        s->input_cut =
            sink_faults_next_after(&sink->options->faults, SINK_STAGE_INPUT, 0);
}

void sink_session_fini(struct sink_session *s)
{
    if (s->content.started)
        sink_counts_add(&s->sink->counts, SINK_COUNT_MESSAGES_CUT, 1);
    sink_content_drop(s);
    sink_content_fini(&s->content);
    sink_envelope_fini(&s->envelope);
    buf_fini(&s->auth_name);
    buf_fini(&s->user);
    buf_fini(&s->out);
}

bool sink_session_offers(const struct sink_session *s,
                         enum sink_extension extension)
{
    return (s->sink->options->extensions & (unsigned)extension) != 0;
}

struct sink_who sink_session_who(const struct sink_session *s)
{
    return (struct sink_who){
        .connection = s->number,
        .listener = str_from(sink_options_kind_name(s->kind)),
        .tls = str_from(s->tls_version),
        .user = s->user.len > 0 ? buf_str(&s->user) : (struct str){NULL, 0},
    };
}

void sink_session_count_error(struct sink_session *s)
{
    int64_t limit = s->sink->options->max_errors;
    s->errors++;
    sink_counts_add(&s->sink->counts, SINK_COUNT_ERRORS, 1);
    if (limit == 0 || s->errors < (uint64_t)limit || s->want != SINK_WANT_INPUT)
        return;
    sink_reply(s, 421, "4.7.0", "Too many errors");
    s->want = SINK_WANT_CLOSE;
}

void sink_session_greet(struct sink_session *s)
{
    if (s->refused) {
        sink_reply(s, 421, "4.3.2", "Too many connections");
        s->want = SINK_WANT_CLOSE;
        return;
    }
    if (sink_reply_fault(s, SINK_STAGE_CONNECT, (struct str){NULL, 0})) {
        bool end = s->fault->end == SINK_END_NONE;
        sink_reply(s, 554, "", "Refused");
        if (end)
            s->want = SINK_WANT_CLOSE;
        return;
    }
    struct buf line;
    buf_init(&line, NAME_MAX_BYTES);
    buf_add_format(&line, "220 %s ESMTP postrider-sink\r\n",
                   s->sink->options->hostname);
    sink_reply_lines(s, buf_str(&line));
    buf_fini(&line);
}

void sink_session_release(struct sink_session *s)
{
    s->hold_ms = -1;
}

void sink_session_tls_started(struct sink_session *s, const char *version)
{
    s->tls_version = version;
    s->want = SINK_WANT_INPUT;
    s->helloed = s->extended = false;
    s->last_verb = SINK_VERB_UNKNOWN;
    buf_truncate(&s->user, 0);
    sink_envelope_clear(&s->envelope);
}

void sink_session_idle(struct sink_session *s)
{
    s->fault = NULL;
    s->hold_ms = -1;
    sink_counts_add(&s->sink->counts, SINK_COUNT_CONNECTIONS_IDLE, 1);
    sink_reply(s, 421, "4.4.2", "Idle for too long");
    s->want = SINK_WANT_CLOSE;
}

/* RFC 2920 section 3.1: these must be the last command in a group. */
static bool must_be_last(enum sink_verb verb)
{
    return verb == SINK_VERB_EHLO || verb == SINK_VERB_HELO ||
           verb == SINK_VERB_DATA || verb == SINK_VERB_VRFY ||
           verb == SINK_VERB_EXPN || verb == SINK_VERB_NOOP ||
           verb == SINK_VERB_AUTH || verb == SINK_VERB_STARTTLS;
}

/* More came before the client can have read the reply before. */
static void check_pipelining(struct sink_session *s)
{
    bool allowed = s->extended &&
                   sink_session_offers(s, SINK_EXTENSION_PIPELINING) &&
                   !must_be_last(s->last_verb);
    if (s->out.len > 0 && !allowed)
        sink_counts_add(&s->sink->counts, SINK_COUNT_PIPELINING_ERRORS, 1);
}

static bool is_clean(struct str line)
{
    return line.len == 0 || (memchr(line.data, '\r', line.len) == NULL &&
                             memchr(line.data, '\0', line.len) == NULL);
}

/* A whole line, its LF included. */
static void take_line(struct sink_session *s, struct str line)
{
    size_t limit = s->mode == SINK_MODE_AUTH
                       ? AUTH_LINE_MAX
                       : (size_t)s->sink->options->max_line_bytes;
    bool crlf = line.len >= 2 && line.data[line.len - 2] == '\r';
    enum sink_mode mode = s->mode;
    s->fault = NULL;
    check_pipelining(s);
    sink_counts_add(&s->sink->counts, SINK_COUNT_COMMANDS, 1);
    if (line.len > limit || !crlf || !is_clean(str_of(line.data, line.len - 2)))
        s->mode = SINK_MODE_COMMAND;
    if (line.len > limit) {
        sink_reply_refusal(s, &long_line);
        return;
    }
    if (!crlf || !is_clean(str_of(line.data, line.len - 2))) {
        sink_reply_refusal(s, &bad_line);
        return;
    }
    line.len -= 2;
    if (mode == SINK_MODE_AUTH)
        sink_auth_line(s, line);
    else
        sink_handlers_run(s, line);
}

/* The longest beginning of a line that is kept. */
static size_t line_limit(const struct sink_session *s)
{
    size_t limit = (size_t)s->sink->options->max_line_bytes;
    return s->mode == SINK_MODE_AUTH && limit < AUTH_LINE_MAX ? AUTH_LINE_MAX
                                                              : limit;
}

static size_t step_line(struct sink_session *s, struct str in)
{
    const char *lf = memchr(in.data, '\n', in.len);
    if (lf == NULL) {
        if (in.len <= line_limit(s))
            return 0;
        s->mode = SINK_MODE_OVERLONG;
        return in.len;
    }
    size_t len = (size_t)(lf - in.data) + 1;
    s->more = in.len > len;
    take_line(s, str_of(in.data, len));
    return len;
}

static size_t step_overlong(struct sink_session *s, struct str in)
{
    const char *lf = memchr(in.data, '\n', in.len);
    if (lf == NULL)
        return in.len;
    s->mode = SINK_MODE_COMMAND;
    s->fault = NULL;
    sink_reply_refusal(s, &long_line);
    return (size_t)(lf - in.data) + 1;
}

static size_t step_data(struct sink_session *s, struct str in)
{
    struct str rest = in;
    struct str piece;
    if (s->last_verb == SINK_VERB_DATA) {
        check_pipelining(s);
        s->last_verb = SINK_VERB_UNKNOWN;
    }
    for (;;) {
        switch (sink_data_next(&s->content.data, &rest, &piece)) {
        case SINK_DATA_PIECE:
            sink_content_add(s, piece);
            break;
        case SINK_DATA_END:
            s->mode = SINK_MODE_COMMAND;
            s->content.wire_bytes += in.len - rest.len;
            sink_content_finish(s);
            return in.len - rest.len;
        case SINK_DATA_MORE:
        default:
            s->content.wire_bytes += in.len;
            return in.len;
        }
    }
}

static size_t step_chunk(struct sink_session *s, struct str in)
{
    size_t len = s->chunk_left < in.len ? (size_t)s->chunk_left : in.len;
    if (s->chunk_refusal == NULL)
        sink_content_add(s, str_of(in.data, len));
    s->content.wire_bytes += len;
    s->chunk_left -= len;
    if (s->chunk_left == 0)
        sink_handlers_chunk_end(s);
    return len;
}

/* Content, at most up to where a fault of stage body looks. */
static size_t step_content(struct sink_session *s, struct str in)
{
    struct sink_content *c = &s->content;
    while (c->cut_bytes == c->wire_bytes) {
        c->cut_bytes = sink_faults_next_after(
            &s->sink->options->faults, SINK_STAGE_BODY, c->wire_bytes + 1);
        sink_reply_cut(s, SINK_STAGE_BODY, c->wire_bytes);
        if (!sink_session_takes_input(s))
            return 0;
    }
    if (in.len > c->cut_bytes - c->wire_bytes)
        in.len = (size_t)(c->cut_bytes - c->wire_bytes);
    return s->mode == SINK_MODE_DATA ? step_data(s, in) : step_chunk(s, in);
}

static size_t step(struct sink_session *s, struct str in)
{
    switch (s->mode) {
    case SINK_MODE_DATA:
    case SINK_MODE_CHUNK:
        return step_content(s, in);
    case SINK_MODE_OVERLONG:
        return step_overlong(s, in);
    case SINK_MODE_COMMAND:
    case SINK_MODE_AUTH:
    default:
        return step_line(s, in);
    }
}

static size_t run(struct sink_session *s, struct str in)
{
    size_t used = 0;
    while (used < in.len && sink_session_takes_input(s) &&
           !sink_session_is_full(s)) {
        size_t n = step(s, str_after(in, used));
        if (n == 0)
            break;
        used += n;
    }
    return used;
}

size_t sink_session_feed(struct sink_session *s, struct str in)
{
    size_t used = 0;
    for (;;) {
        struct str part = str_after(in, used);
        bool cut = s->input_cut - s->input_bytes <= part.len;
        if (cut)
            part.len = (size_t)(s->input_cut - s->input_bytes);
        size_t n = run(s, part);
        used += n;
        s->input_bytes += n;
        if (!cut || !sink_session_takes_input(s))
            return used;
        uint64_t at = s->input_cut;
        s->input_cut = sink_faults_next_after(&s->sink->options->faults,
                                              SINK_STAGE_INPUT, at + 1);
        sink_reply_cut(s, SINK_STAGE_INPUT, at);
        if (!sink_session_takes_input(s))
            return used;
    }
}
