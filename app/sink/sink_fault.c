#include "app/sink/sink_fault.h"

#include <string.h>

#include "app/sink/sink_fault_parse.h"
#include "core/mem.h"

static const char *const stage_names[SINK_STAGE_COUNT] = {
    [SINK_STAGE_ACCEPT] = "accept",     [SINK_STAGE_TLS] = "tls",
    [SINK_STAGE_CONNECT] = "connect",   [SINK_STAGE_EHLO] = "ehlo",
    [SINK_STAGE_STARTTLS] = "starttls", [SINK_STAGE_AUTH] = "auth",
    [SINK_STAGE_MAIL] = "mail",         [SINK_STAGE_RCPT] = "rcpt",
    [SINK_STAGE_DATA] = "data",         [SINK_STAGE_BDAT] = "bdat",
    [SINK_STAGE_BODY] = "body",         [SINK_STAGE_FINAL] = "final",
    [SINK_STAGE_RSET] = "rset",         [SINK_STAGE_NOOP] = "noop",
    [SINK_STAGE_QUIT] = "quit",         [SINK_STAGE_INPUT] = "input",
};

const char *sink_stage_name(enum sink_stage stage)
{
    return stage_names[stage];
}

bool sink_cert_kind_parse(struct str word, enum sink_cert_kind *kind)
{
    if (str_equal(word, STR("expired")))
        *kind = SINK_CERT_EXPIRED;
    else if (str_equal(word, STR("wrong-host")))
        *kind = SINK_CERT_WRONG_HOST;
    else if (str_equal(word, STR("untrusted")))
        *kind = SINK_CERT_UNTRUSTED;
    else
        return false;
    return true;
}

bool sink_glob(struct str pattern, struct str text)
{
    size_t p = 0;
    size_t t = 0;
    size_t star = pattern.len; /* of the last '*' passed; len: none */
    size_t kept = 0;           /* what that '*' has eaten up to */
    while (t < text.len) {
        if (p < pattern.len && pattern.data[p] == '*') {
            star = p++;
            kept = t;
        } else if (p < pattern.len &&
                   (pattern.data[p] == '?' || ascii_lower(pattern.data[p]) ==
                                                  ascii_lower(text.data[t]))) {
            p++;
            t++;
        } else if (star < pattern.len) {
            p = star + 1;
            t = ++kept;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.data[p] == '*')
        p++;
    return p == pattern.len;
}

void sink_faults_init(struct sink_faults *f)
{
    *f = (struct sink_faults){.count = 0};
    random_init(&f->random, 1);
}

void sink_faults_fini(struct sink_faults *f)
{
    for (size_t i = 0; i < f->count; i++)
        mem_free(f->rules[i].reply);
    mem_free(f->rules);
    f->rules = NULL;
    f->count = 0;
}

enum err_code sink_faults_add(struct sink_faults *f, struct str text,
                              struct err *err)
{
    struct sink_fault rule;
    enum err_code code = sink_fault_parse(text, &rule, err);
    if (code != ERR_NONE)
        return code;
    f->rules = mem_realloc(f->rules, (f->count + 1) * sizeof(*f->rules));
    f->rules[f->count++] = rule;
    f->per_stage[rule.stage]++;
    return ERR_NONE;
}

void sink_faults_seed(struct sink_faults *f, uint64_t seed)
{
    random_init(&f->random, seed);
}

static bool match_recipients(struct str glob, const struct sink_envelope *e)
{
    for (size_t i = 0; e != NULL && i < e->count; i++)
        if (sink_glob(glob, sink_envelope_recipient(e, i)))
            return true;
    return false;
}

static bool stage_has_recipients(enum sink_stage stage)
{
    return stage == SINK_STAGE_DATA || stage == SINK_STAGE_BDAT ||
           stage == SINK_STAGE_BODY || stage == SINK_STAGE_FINAL;
}

static bool matches(const struct sink_fault *rule,
                    const struct sink_facts *facts)
{
    if (rule->after_bytes != facts->bytes)
        return false;
    if (rule->match.data != NULL) {
        bool found = stage_has_recipients(rule->stage)
                         ? match_recipients(rule->match, facts->envelope)
                         : sink_glob(rule->match, facts->subject);
        if (!found)
            return false;
    }
    if (rule->from.data == NULL)
        return true;
    return facts->envelope != NULL &&
           sink_glob(rule->from, sink_envelope_sender(facts->envelope));
}

static bool fires(struct sink_fault *rule, struct random *random)
{
    if (rule->fired >= rule->count || rule->matched++ < rule->skip)
        return false;
    if (rule->rate < 1.0 && random_unit(random) >= rule->rate)
        return false;
    rule->fired++;
    return true;
}

const struct sink_fault *sink_faults_pick(struct sink_faults *f,
                                          enum sink_stage stage,
                                          const struct sink_facts *facts)
{
    if (!sink_faults_any(f, stage))
        return NULL;
    for (size_t i = 0; i < f->count; i++) {
        struct sink_fault *rule = &f->rules[i];
        if (rule->stage == stage && matches(rule, facts) &&
            fires(rule, &f->random))
            return rule;
    }
    return NULL;
}

uint64_t sink_faults_next_after(const struct sink_faults *f,
                                enum sink_stage stage, uint64_t bytes)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < f->count; i++) {
        const struct sink_fault *rule = &f->rules[i];
        if (rule->stage == stage && rule->after_bytes >= bytes &&
            rule->after_bytes < least)
            least = rule->after_bytes;
    }
    return least;
}

bool sink_fault_refuses(const struct sink_fault *fault)
{
    if (fault == NULL)
        return false;
    if (fault->reply != NULL)
        return fault->code >= 400;
    return fault->end != SINK_END_NONE && !fault->half;
}
