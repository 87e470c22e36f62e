#include "smtp/outcome.h"

#include "core/panic.h"

/* What a table cell can say: each is a verdict in full. */
enum rule {
    RULE_GO_ON,
    RULE_DELIVERED,
    RULE_DEFER,        /* the message; the session is as it was */
    RULE_DEFER_RESET,  /* the message; its transaction is still open */
    RULE_DEFER_CLOSE,  /* the message; the session is of no use */
    RULE_REJECT,       /* the message */
    RULE_REJECT_RESET, /* the message */
    RULE_REJECT_CLOSE, /* the message */
    RULE_DEFER_ONE,    /* this recipient */
    RULE_REJECT_ONE,   /* this recipient */
    RULE_AGAIN_ONE,    /* this recipient and those behind it */
    RULE_SLOWER,       /* as RULE_DEFER and the next three, but it was only */
    RULE_SLOWER_RESET, /* too fast */
    RULE_SLOWER_CLOSE,
    RULE_SLOWER_ONE,
    RULE_UNTRIED,      /* the session is of no use, the job is untouched */
    RULE_RELAY_FAILED, /* as untried, and the relay must back off */
    RULE_UNKNOWN,
    RULE_CLOSE, /* no mail is under way */
    RULE_COUNT
};

static const struct outcome_verdict verdicts[RULE_COUNT] = {
    [RULE_GO_ON] = {OUTCOME_NONE, OUTCOME_SCOPE_MESSAGE, OUTCOME_SESSION_KEEP,
                    false},
    [RULE_DELIVERED] = {OUTCOME_DELIVERED, OUTCOME_SCOPE_MESSAGE,
                        OUTCOME_SESSION_KEEP, false},
    [RULE_DEFER] = {OUTCOME_DEFERRED, OUTCOME_SCOPE_MESSAGE,
                    OUTCOME_SESSION_KEEP, false},
    [RULE_DEFER_RESET] = {OUTCOME_DEFERRED, OUTCOME_SCOPE_MESSAGE,
                          OUTCOME_SESSION_RESET, false},
    [RULE_DEFER_CLOSE] = {OUTCOME_DEFERRED, OUTCOME_SCOPE_MESSAGE,
                          OUTCOME_SESSION_CLOSE, false},
    [RULE_REJECT] = {OUTCOME_REJECTED, OUTCOME_SCOPE_MESSAGE,
                     OUTCOME_SESSION_KEEP, false},
    [RULE_REJECT_RESET] = {OUTCOME_REJECTED, OUTCOME_SCOPE_MESSAGE,
                           OUTCOME_SESSION_RESET, false},
    [RULE_REJECT_CLOSE] = {OUTCOME_REJECTED, OUTCOME_SCOPE_MESSAGE,
                           OUTCOME_SESSION_CLOSE, false},
    [RULE_DEFER_ONE] = {OUTCOME_DEFERRED, OUTCOME_SCOPE_RECIPIENT,
                        OUTCOME_SESSION_KEEP, false},
    [RULE_REJECT_ONE] = {OUTCOME_REJECTED, OUTCOME_SCOPE_RECIPIENT,
                         OUTCOME_SESSION_KEEP, false},
    [RULE_AGAIN_ONE] = {OUTCOME_AGAIN, OUTCOME_SCOPE_RECIPIENT,
                        OUTCOME_SESSION_KEEP, false},
    [RULE_SLOWER] = {OUTCOME_THROTTLED, OUTCOME_SCOPE_MESSAGE,
                     OUTCOME_SESSION_KEEP, false},
    [RULE_SLOWER_RESET] = {OUTCOME_THROTTLED, OUTCOME_SCOPE_MESSAGE,
                           OUTCOME_SESSION_RESET, false},
    [RULE_SLOWER_CLOSE] = {OUTCOME_THROTTLED, OUTCOME_SCOPE_MESSAGE,
                           OUTCOME_SESSION_CLOSE, false},
    [RULE_SLOWER_ONE] = {OUTCOME_THROTTLED, OUTCOME_SCOPE_RECIPIENT,
                         OUTCOME_SESSION_KEEP, false},
    [RULE_UNTRIED] = {OUTCOME_UNTRIED, OUTCOME_SCOPE_MESSAGE,
                      OUTCOME_SESSION_CLOSE, false},
    [RULE_RELAY_FAILED] = {OUTCOME_UNTRIED, OUTCOME_SCOPE_MESSAGE,
                           OUTCOME_SESSION_CLOSE, true},
    [RULE_UNKNOWN] = {OUTCOME_UNKNOWN, OUTCOME_SCOPE_MESSAGE,
                      OUTCOME_SESSION_CLOSE, false},
    [RULE_CLOSE] = {OUTCOME_NONE, OUTCOME_SCOPE_MESSAGE, OUTCOME_SESSION_CLOSE,
                    false},
};

enum answer {
    ANSWER_YES,     /* the reply that lets the dialogue go on */
    ANSWER_LATER,   /* 4yz */
    ANSWER_NEVER,   /* 5yz */
    ANSWER_CLOSING, /* 421 */
    ANSWER_AUTH,    /* 530 534 535 538 */
    ANSWER_NONE,    /* lost, too late, or not the right thing */
    ANSWER_COUNT
};

/* columns: yes, later, never, closing, auth, none */
static const enum rule rules[SMTP_STAGE_COUNT][ANSWER_COUNT] = {
    [SMTP_STAGE_CONNECT] = {RULE_GO_ON, RULE_RELAY_FAILED, RULE_RELAY_FAILED,
                            RULE_RELAY_FAILED, RULE_RELAY_FAILED,
                            RULE_RELAY_FAILED},
    [SMTP_STAGE_MAIL] = {RULE_GO_ON, RULE_DEFER, RULE_REJECT, RULE_DEFER_CLOSE,
                         RULE_RELAY_FAILED, RULE_DEFER_CLOSE},
    [SMTP_STAGE_RCPT] = {RULE_GO_ON, RULE_DEFER_ONE, RULE_REJECT_ONE,
                         RULE_DEFER_CLOSE, RULE_RELAY_FAILED, RULE_DEFER_CLOSE},
    [SMTP_STAGE_DATA] = {RULE_GO_ON, RULE_DEFER_RESET, RULE_REJECT_RESET,
                         RULE_DEFER_CLOSE, RULE_RELAY_FAILED, RULE_DEFER_CLOSE},
    [SMTP_STAGE_BODY] = {RULE_DEFER_CLOSE, RULE_DEFER_CLOSE, RULE_REJECT_CLOSE,
                         RULE_DEFER_CLOSE, RULE_RELAY_FAILED, RULE_DEFER_CLOSE},
    [SMTP_STAGE_FINAL] = {RULE_DELIVERED, RULE_DEFER, RULE_REJECT,
                          RULE_DEFER_CLOSE, RULE_RELAY_FAILED, RULE_UNKNOWN},
    [SMTP_STAGE_RSET] = {RULE_GO_ON, RULE_UNTRIED, RULE_UNTRIED, RULE_UNTRIED,
                         RULE_RELAY_FAILED, RULE_UNTRIED},
    [SMTP_STAGE_IDLE] = {RULE_CLOSE, RULE_CLOSE, RULE_CLOSE, RULE_CLOSE,
                         RULE_CLOSE, RULE_CLOSE},
    [SMTP_STAGE_QUIT] = {RULE_CLOSE, RULE_CLOSE, RULE_CLOSE, RULE_CLOSE,
                         RULE_CLOSE, RULE_CLOSE},
};

/* 2yz everywhere but for DATA (354) and AUTH's challenges (334). */
static bool is_expected(enum smtp_stage stage, int code)
{
    if (stage == SMTP_STAGE_DATA)
        return code == 354;
    if (stage == SMTP_STAGE_CONNECT && code >= 300 && code <= 399)
        return true;
    return code >= 200 && code <= 299;
}

static enum answer answer_of(const struct outcome_input *input)
{
    int code = input->code;
    if (input->event != SMTP_EVENT_REPLY)
        return ANSWER_NONE;
    if (is_expected(input->stage, code))
        return ANSWER_YES;
    if (code == 421)
        return ANSWER_CLOSING;
    if (code == 530 || code == 534 || code == 535 || code == 538)
        return ANSWER_AUTH;
    if (code >= 400 && code <= 499)
        return ANSWER_LATER;
    if (code >= 500 && code <= 599)
        return ANSWER_NEVER;
    return ANSWER_NONE;
}

/*
 * What a rule of the table becomes when the relay only wants it slower; rules
 * that have nothing to do with the mail stay.
 */
static enum rule slower(enum rule rule)
{
    static const enum rule instead[RULE_COUNT] = {
        [RULE_DEFER] = RULE_SLOWER,
        [RULE_DEFER_RESET] = RULE_SLOWER_RESET,
        [RULE_DEFER_CLOSE] = RULE_SLOWER_CLOSE,
        [RULE_DEFER_ONE] = RULE_SLOWER_ONE,
    };
    return instead[rule] != RULE_GO_ON ? instead[rule] : rule;
}

/* What the table cannot know: what was said, and what came before. */
static enum rule refine(enum rule rule, enum answer answer,
                        const struct outcome_input *input)
{
    if (input->too_fast && (answer == ANSWER_LATER || answer == ANSWER_CLOSING))
        return slower(rule);
    /*
     * A relay may end a session between two mails whenever it likes. To the
     * first mail of a session it is an answer to that mail, which must not
     * take the relay down: else it comes back, and does it again.
     */
    if (input->stage == SMTP_STAGE_MAIL && input->reused &&
        (answer == ANSWER_CLOSING || answer == ANSWER_NONE))
        return RULE_UNTRIED;
    /* It and we do not agree on where we are: the mail is as good as any. */
    if (input->stage == SMTP_STAGE_MAIL && input->code == 503)
        return input->reused ? RULE_UNTRIED : RULE_DEFER_CLOSE;
    /* RFC 5321 section 4.5.3.1.10: too many recipients, take the rest later */
    if (input->stage == SMTP_STAGE_RCPT && input->rcpt_accepted &&
        (answer == ANSWER_LATER || answer == ANSWER_NEVER) &&
        (input->code == 452 || input->code == 552))
        return RULE_AGAIN_ONE;
    return rule;
}

struct outcome_verdict outcome_of(const struct outcome_input *input)
{
    PANIC_IF((unsigned)input->stage >= SMTP_STAGE_COUNT);
    enum answer answer = answer_of(input);
    return verdicts[refine(rules[input->stage][answer], answer, input)];
}

const char *outcome_name(enum outcome outcome)
{
    static const char *const names[OUTCOME_COUNT] = {
        [OUTCOME_NONE] = "none",         [OUTCOME_DELIVERED] = "delivered",
        [OUTCOME_DEFERRED] = "deferred", [OUTCOME_REJECTED] = "rejected",
        [OUTCOME_UNKNOWN] = "unknown",   [OUTCOME_UNTRIED] = "untried",
        [OUTCOME_AGAIN] = "again",       [OUTCOME_THROTTLED] = "throttled",
    };
    PANIC_IF((unsigned)outcome >= OUTCOME_COUNT);
    return names[outcome];
}

const char *smtp_stage_name(enum smtp_stage stage)
{
    static const char *const names[SMTP_STAGE_COUNT] = {
        [SMTP_STAGE_CONNECT] = "connect", [SMTP_STAGE_MAIL] = "mail",
        [SMTP_STAGE_RCPT] = "rcpt",       [SMTP_STAGE_DATA] = "data",
        [SMTP_STAGE_BODY] = "body",       [SMTP_STAGE_FINAL] = "final",
        [SMTP_STAGE_RSET] = "rset",       [SMTP_STAGE_IDLE] = "idle",
        [SMTP_STAGE_QUIT] = "quit",
    };
    PANIC_IF((unsigned)stage >= SMTP_STAGE_COUNT);
    return names[stage];
}
