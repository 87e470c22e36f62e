#include "app/sink/sink_reply.h"

#include <string.h>

static bool pick(struct sink_session *s, enum sink_stage stage,
                 const struct sink_facts *facts)
{
    struct sink *sink = s->sink;
    s->fault = sink_faults_pick(&sink->options->faults, stage, facts);
    if (s->fault == NULL)
        return false;
    struct sink_who who = sink_session_who(s);
    sink_counts_add(&sink->counts, SINK_COUNT_FAULTS, 1);
    sink_log_fault(&sink->log, &who, s->fault, facts);
    return true;
}

bool sink_reply_fault(struct sink_session *s, enum sink_stage stage,
                      struct str subject)
{
    s->fault = NULL;
    if (!sink_faults_any(&s->sink->options->faults, stage))
        return false;
    struct sink_facts facts = {.subject = subject, .envelope = &s->envelope};
    return pick(s, stage, &facts) && sink_fault_refuses(s->fault);
}

const struct sink_fault *sink_reply_silent_fault(struct sink_session *s,
                                                 enum sink_stage stage)
{
    (void)sink_reply_fault(s, stage, (struct str){NULL, 0});
    const struct sink_fault *fault = s->fault;
    s->fault = NULL;
    return fault;
}

/* The reply is in out from start on: cut it, hold it, end behind it. */
static void finish_fault(struct sink_session *s, size_t start)
{
    static const enum sink_want wants[] = {
        [SINK_END_NONE] = SINK_WANT_INPUT,  [SINK_END_CLOSE] = SINK_WANT_CLOSE,
        [SINK_END_DROP] = SINK_WANT_DROP,   [SINK_END_RESET] = SINK_WANT_RESET,
        [SINK_END_STALL] = SINK_WANT_STALL,
    };
    const struct sink_fault *fault = s->fault;
    size_t len = s->out.len - start;
    s->fault = NULL;
    if (fault->half) {
        size_t keep =
            fault->half_bytes != 0 ? (size_t)fault->half_bytes : len / 2;
        buf_truncate(&s->out, start + (keep < len ? keep : len));
    }
    if (fault->delay_ms > 0) {
        s->hold_ms = fault->delay_ms;
        s->hold_at = start;
    }
    if (fault->end != SINK_END_NONE)
        s->want = wants[fault->end];
}

/* Writes what a fault says instead of the usual reply; false if nothing. */
static bool say_instead(struct sink_session *s)
{
    const struct sink_fault *fault = s->fault;
    if (fault->reply != NULL) {
        buf_add(&s->out, fault->reply, strlen(fault->reply));
        return true;
    }
    return fault->end != SINK_END_NONE && !fault->half;
}

static void write_reply(struct sink_session *s, unsigned code,
                        const char *enhanced, const char *text)
{
    char digits[4] = {(char)('0' + code / 100), (char)('0' + code / 10 % 10),
                      (char)('0' + code % 10), ' '};
    buf_add(&s->out, digits, sizeof(digits));
    if (enhanced[0] != '\0' &&
        sink_session_offers(s, SINK_EXTENSION_ENHANCED)) {
        buf_add_text(&s->out, enhanced);
        buf_add_char(&s->out, ' ');
    }
    buf_add_text(&s->out, text);
    buf_add(&s->out, "\r\n", 2);
}

void sink_reply(struct sink_session *s, unsigned code, const char *enhanced,
                const char *text)
{
    size_t start = s->out.len;
    if (s->fault == NULL) {
        write_reply(s, code, enhanced, text);
        return;
    }
    if (!say_instead(s))
        write_reply(s, code, enhanced, text);
    finish_fault(s, start);
}

void sink_reply_lines(struct sink_session *s, struct str lines)
{
    size_t start = s->out.len;
    if (s->fault == NULL || !say_instead(s))
        buf_add_str(&s->out, lines);
    if (s->fault != NULL)
        finish_fault(s, start);
}

void sink_reply_refusal(struct sink_session *s,
                        const struct sink_refusal *refusal)
{
    sink_reply(s, refusal->code, refusal->enhanced, refusal->text);
    sink_session_count_error(s);
}

void sink_reply_cut(struct sink_session *s, enum sink_stage stage,
                    uint64_t bytes)
{
    size_t start = s->out.len;
    struct sink_facts facts = {.envelope = &s->envelope, .bytes = bytes};
    if (!pick(s, stage, &facts))
        return;
    (void)say_instead(s);
    finish_fault(s, start);
}
