#include "app/sink/sink_fault_parse.h"

#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/timetext.h"

#define REPLY_MAX_BYTES 4096
#define BYTES_MAX       (1ULL << 53)

/* Which stages an item makes sense in. */
#define BIT(stage) (1U << (stage))
#define ALL        (BIT(SINK_STAGE_COUNT) - 1U)
#define SILENT     (BIT(SINK_STAGE_ACCEPT) | BIT(SINK_STAGE_TLS))
#define CUTTING    (BIT(SINK_STAGE_BODY) | BIT(SINK_STAGE_INPUT))
#define ADDRESSED                                                              \
    (BIT(SINK_STAGE_EHLO) | BIT(SINK_STAGE_AUTH) | BIT(SINK_STAGE_MAIL) |      \
     BIT(SINK_STAGE_RCPT) | WITH_BODY)
#define WITH_BODY                                                              \
    (BIT(SINK_STAGE_DATA) | BIT(SINK_STAGE_BDAT) | BIT(SINK_STAGE_BODY) |      \
     BIT(SINK_STAGE_FINAL))

struct item {
    const char *name;
    bool needs_value;
    bool takes_value;
    unsigned stages; /* bits */
    enum err_code (*set)(struct sink_fault *rule, struct str value,
                         struct err *err);
};

static enum err_code bad(struct err *err, const char *what, struct str value)
{
    return err_set(err, ERR_INVALID, "%s, not \"%.*s\"", what, STR_ARG(value));
}

static enum err_code set_number(uint64_t *out, struct str value,
                                struct err *err)
{
    unsigned long long number;
    if (!str_to_u64(value, BYTES_MAX, &number))
        return bad(err, "it must be a whole number", value);
    *out = number;
    return ERR_NONE;
}

static enum err_code set_match(struct sink_fault *rule, struct str value,
                               struct err *err)
{
    (void)err;
    rule->match = value;
    return ERR_NONE;
}

static enum err_code set_from(struct sink_fault *rule, struct str value,
                              struct err *err)
{
    (void)err;
    rule->from = value;
    return ERR_NONE;
}

/* "1", "0.25", ".5": digits, a point, at most nine digits. */
static enum err_code set_rate(struct sink_fault *rule, struct str value,
                              struct err *err)
{
    unsigned long long number = 0;
    size_t point = str_find(value, '.');
    struct str part = str_after(value, point + 1);
    struct str whole = str_of(value.data, point);
    double rate = 0;
    if ((whole.len > 0 && !str_to_u64(whole, 1, &number)) || part.len > 9 ||
        (whole.len == 0 && part.len == 0))
        return bad(err, "it must be a number from 0 to 1", value);
    rate = (double)number;
    if (part.len > 0) {
        double scale = 1;
        if (!str_to_u64(part, 999999999ULL, &number))
            return bad(err, "it must be a number from 0 to 1", value);
        for (size_t i = 0; i < part.len; i++)
            scale *= 10;
        rate += (double)number / scale;
    }
    if (rate > 1)
        return bad(err, "it must be a number from 0 to 1", value);
    rule->rate = rate;
    return ERR_NONE;
}

static enum err_code set_skip(struct sink_fault *rule, struct str value,
                              struct err *err)
{
    return set_number(&rule->skip, value, err);
}

static enum err_code set_count(struct sink_fault *rule, struct str value,
                               struct err *err)
{
    enum err_code code = set_number(&rule->count, value, err);
    if (code == ERR_NONE && rule->count == 0)
        return bad(err, "it must be 1 or more", value);
    return code;
}

static enum err_code set_after(struct sink_fault *rule, struct str value,
                               struct err *err)
{
    return set_number(&rule->after_bytes, value, err);
}

/* Milliseconds, or a duration with its unit. */
static enum err_code set_delay(struct sink_fault *rule, struct str value,
                               struct err *err)
{
    unsigned long long number;
    if (str_to_u64(value, 86400000ULL, &number)) {
        rule->delay_ms = (int64_t)number;
        return ERR_NONE;
    }
    return timetext_parse_duration(value, &rule->delay_ms, err);
}

static enum err_code set_half(struct sink_fault *rule, struct str value,
                              struct err *err)
{
    rule->half = true;
    if (value.data == NULL)
        return ERR_NONE;
    enum err_code code = set_number(&rule->half_bytes, value, err);
    if (code == ERR_NONE && rule->half_bytes == 0)
        return bad(err, "it must be 1 or more bytes", value);
    return code;
}

static enum err_code set_end(struct sink_fault *rule, enum sink_end end,
                             struct err *err)
{
    if (rule->end != SINK_END_NONE)
        return err_set(err, ERR_INVALID,
                       "only one of drop, reset and stall can happen");
    rule->end = end;
    return ERR_NONE;
}

static enum err_code set_drop(struct sink_fault *rule, struct str value,
                              struct err *err)
{
    (void)value;
    return set_end(rule, SINK_END_DROP, err);
}

static enum err_code set_reset(struct sink_fault *rule, struct str value,
                               struct err *err)
{
    (void)value;
    return set_end(rule, SINK_END_RESET, err);
}

static enum err_code set_stall(struct sink_fault *rule, struct str value,
                               struct err *err)
{
    (void)value;
    return set_end(rule, SINK_END_STALL, err);
}

static enum err_code set_discard(struct sink_fault *rule, struct str value,
                                 struct err *err)
{
    (void)value;
    (void)err;
    rule->discard = true;
    return ERR_NONE;
}

static enum err_code set_cert(struct sink_fault *rule, struct str value,
                              struct err *err)
{
    if (!sink_cert_kind_parse(value, &rule->cert))
        return bad(err, "it must be expired, wrong-host or untrusted", value);
    return ERR_NONE;
}

/* Each line of a reply has the code; all but the last a hyphen behind it. */
static void add_reply_lines(struct buf *out, struct str code, struct str text)
{
    for (;;) {
        size_t end = 0;
        while (end + 1 < text.len &&
               !(text.data[end] == '\\' && text.data[end + 1] == 'n'))
            end++;
        bool last = end + 1 >= text.len;
        if (last)
            end = text.len;
        buf_add_str(out, code);
        if (!last || end > 0)
            buf_add_char(out, last ? ' ' : '-');
        buf_add(out, text.data, end);
        buf_add_text(out, "\r\n");
        if (last)
            return;
        text = str_after(text, end + 2);
    }
}

static enum err_code set_reply(struct sink_fault *rule, struct str value,
                               struct err *err)
{
    unsigned long long number;
    struct buf lines;
    size_t len;
    struct str code = str_of(value.data, value.len < 3 ? value.len : 3);
    if (code.len != 3 || !str_to_u64(code, 599, &number) || number < 200 ||
        (value.len > 3 && value.data[3] != ' '))
        return bad(err, "a reply is a code 200..599, a blank and text", value);
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.data[i] < ' ')
            return err_set(err, ERR_INVALID,
                           "a reply has no control characters; \\n begins a "
                           "new line");
    buf_init(&lines, REPLY_MAX_BYTES);
    add_reply_lines(&lines, code, str_after(value, 4));
    buf_add_char(&lines, '\0');
    if (!buf_ok(&lines)) {
        buf_fini(&lines);
        return err_set(err, ERR_INVALID, "a reply has at most %d bytes",
                       REPLY_MAX_BYTES);
    }
    mem_free(rule->reply);
    rule->code = (unsigned)number;
    rule->reply = buf_take(&lines, &len);
    return ERR_NONE;
}

static const struct item items[] = {
    {"match", true, true, ADDRESSED, set_match},
    {"from", true, true, BIT(SINK_STAGE_RCPT) | WITH_BODY, set_from},
    {"rate", true, true, ALL, set_rate},
    {"skip", true, true, ALL, set_skip},
    {"count", true, true, ALL, set_count},
    {"after", true, true, CUTTING, set_after},
    {"delay", true, true, ALL & ~SILENT, set_delay},
    {"half", false, true, ALL & ~(SILENT | CUTTING), set_half},
    {"drop", false, false, ALL, set_drop},
    {"reset", false, false, ALL, set_reset},
    {"stall", false, false, ALL, set_stall},
    {"discard", false, false, BIT(SINK_STAGE_FINAL), set_discard},
    {"cert", true, true, BIT(SINK_STAGE_TLS), set_cert},
    {"reply", true, true, ALL & ~SILENT, set_reply},
};

static const struct item *find_item(struct str name)
{
    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
        if (str_equal(name, str_from(items[i].name)))
            return &items[i];
    return NULL;
}

/* Up to the next comma; reply= takes all that is left. Moves *rest on. */
static struct str next_item(struct str *rest)
{
    struct str one = *rest;
    if (!str_starts(one, STR("reply=")))
        one.len = str_find(*rest, ',');
    *rest = str_after(*rest, one.len + 1);
    return one;
}

static enum err_code apply_item(struct sink_fault *rule, struct str text,
                                struct err *err)
{
    size_t equals = str_find(text, '=');
    struct str name = str_of(text.data, equals);
    struct str value = {NULL, 0};
    const struct item *item = find_item(name);
    if (item == NULL)
        return err_set(err, ERR_INVALID,
                       "\"%.*s\" is none of match from rate skip count after "
                       "delay half drop reset stall discard cert reply",
                       STR_ARG(name));
    if ((item->stages & BIT(rule->stage)) == 0)
        return err_set(err, ERR_INVALID, "%s has no meaning at stage %s",
                       item->name, sink_stage_name(rule->stage));
    if (equals < text.len)
        value = str_of(text.data + equals + 1, text.len - equals - 1);
    if (value.data != NULL && !item->takes_value)
        return err_set(err, ERR_INVALID, "%s takes no value", item->name);
    if ((value.len == 0 && item->needs_value) ||
        (value.data != NULL && value.len == 0))
        return err_set(err, ERR_INVALID, "%s needs a value: %s=...", item->name,
                       item->name);
    enum err_code code = item->set(rule, value, err);
    return code == ERR_NONE ? code : err_prefix(err, "%s", item->name);
}

/* What only the whole rule shows. */
static enum err_code check_rule(struct sink_fault *rule, struct err *err)
{
    bool cuts = (BIT(rule->stage) & CUTTING) != 0;
    if (rule->code == 421 && rule->end == SINK_END_NONE)
        rule->end = SINK_END_CLOSE;
    if (rule->reply != NULL && rule->end == SINK_END_DROP && !rule->half)
        rule->end = SINK_END_CLOSE;
    if (rule->half && (rule->end == SINK_END_NONE || rule->code == 421))
        return err_set(err, ERR_INVALID,
                       "half needs drop, reset or stall to follow");
    if (rule->reply == NULL && rule->end == SINK_END_NONE &&
        rule->delay_ms == 0 && !rule->discard && rule->cert == SINK_CERT_GOOD)
        return err_set(err, ERR_INVALID,
                       "nothing happens: add reply, drop, reset, stall, half, "
                       "delay, discard or cert");
    if (cuts && rule->reply != NULL && rule->end == SINK_END_NONE)
        return err_set(err, ERR_INVALID,
                       "a reply in the middle needs drop, reset or stall to "
                       "follow");
    return ERR_NONE;
}

static enum err_code parse_stage(struct str name, enum sink_stage *stage,
                                 struct err *err)
{
    for (int i = 0; i < SINK_STAGE_COUNT; i++) {
        if (str_equal(name, str_from(sink_stage_name((enum sink_stage)i)))) {
            *stage = (enum sink_stage)i;
            return ERR_NONE;
        }
    }
    return err_set(err, ERR_INVALID,
                   "the stage \"%.*s\" is none of accept tls connect ehlo "
                   "starttls auth mail rcpt data bdat body final rset noop "
                   "quit input",
                   STR_ARG(name));
}

enum err_code sink_fault_parse(struct str text, struct sink_fault *out,
                               struct err *err)
{
    struct sink_fault rule = {.text = text, .rate = 1, .count = UINT64_MAX};
    size_t colon = str_find(text, ':');
    struct str rest = str_after(text, colon + 1);
    enum err_code code =
        parse_stage(str_of(text.data, colon), &rule.stage, err);
    while (code == ERR_NONE && rest.len > 0)
        code = apply_item(&rule, next_item(&rest), err);
    if (code == ERR_NONE)
        code = check_rule(&rule, err);
    if (code == ERR_NONE)
        *out = rule;
    else
        mem_free(rule.reply);
    return code;
}
