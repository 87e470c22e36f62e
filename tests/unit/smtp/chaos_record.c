#include "tests/unit/smtp/chaos_record.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"

void chaos_record_init(struct chaos_record *r)
{
    memset(r, 0, sizeof(*r));
    r->lie = CHAOS_NONE;
    r->in_body = UINT64_MAX;
}

void chaos_record_fini(struct chaos_record *r)
{
    mem_free(r->writes);
    r->writes = NULL;
}

void chaos_complain(struct chaos_record *r, const char *format, ...)
{
    va_list args;
    if (r->complaint[0] != '\0')
        return;
    va_start(args, format);
    (void)vsnprintf(r->complaint, sizeof(r->complaint), format, args);
    va_end(args);
}

void chaos_record_accept(struct chaos_record *r, size_t n)
{
    struct chaos_write *last =
        r->write_count > 0 ? &r->writes[r->write_count - 1] : NULL;
    r->accepted += n;
    if (last != NULL && last->read_yet == r->heard) {
        last->end = r->accepted;
        return;
    }
    if (r->write_count == r->write_capacity) {
        r->write_capacity = r->write_capacity * 2 + 64;
        r->writes =
            mem_realloc(r->writes, r->write_capacity * sizeof(*r->writes));
    }
    r->writes[r->write_count++] =
        (struct chaos_write){.end = r->accepted, .read_yet = r->heard};
}

void chaos_record_hear(struct chaos_record *r, size_t n)
{
    uint64_t before = r->heard;
    r->heard += n;
    for (size_t i = r->reply_count; i > 0; i--) {
        struct chaos_reply *reply = &r->replies[i - 1];
        if (reply->end <= before)
            return;
        if (reply->start >= before && reply->start < r->heard)
            reply->taken_yet = r->accepted;
        if (reply->end <= r->heard)
            reply->taken_then = r->accepted;
    }
}

uint64_t chaos_record_read_before(const struct chaos_record *r, uint64_t place)
{
    for (size_t i = 0; i < r->write_count; i++)
        if (place < r->writes[i].end)
            return r->writes[i].read_yet;
    return r->heard;
}

const char *chaos_kind_name(enum chaos_kind kind)
{
    static const char *const names[] = {
        [CHAOS_RSET] = "RSET", [CHAOS_MAIL] = "MAIL",   [CHAOS_RCPT] = "RCPT",
        [CHAOS_DATA] = "DATA", [CHAOS_FINAL] = "FINAL", [CHAOS_QUIT] = "QUIT",
    };
    return names[kind];
}

static void print_mail(const struct chaos_record *r, size_t k)
{
    const struct chaos_result *result = &r->results[k];
    printf("  mail %zu:%s", k, r->taken[k].whole ? " the relay has it;" : "");
    for (size_t i = 0; i < CHAOS_RECIPIENTS && result->came; i++)
        if (result->of[i].outcome != OUTCOME_NONE)
            printf(" %s (%d %.60s)", outcome_name(result->of[i].outcome),
                   result->of[i].reply.code, result->of[i].reply.text);
    printf("\n");
}

void chaos_record_print(const struct chaos_record *r)
{
    for (size_t i = 0; i < r->command_count; i++) {
        const struct chaos_command *c = &r->commands[i];
        printf("  command %zu: %s of mail %zu, recipient %zu, %" PRIu64
               " to %" PRIu64 "%s\n",
               i, chaos_kind_name(c->kind), c->mail, c->recipient, c->start,
               c->end, c->end > r->accepted ? " (not taken)" : "");
    }
    for (size_t i = 0; i < r->reply_count; i++) {
        const struct chaos_reply *y = &r->replies[i];
        printf("  reply %zu: %d%s to command %zd, %" PRIu64 " to %" PRIu64
               ", read at %" PRIu64 "%s\n",
               i, y->code, y->fast ? " (too fast)" : "", (ssize_t)y->answers,
               y->start, y->end, y->taken_yet,
               y->end > r->heard ? " (not read)" : "");
    }
    for (size_t k = 0; k < r->sent; k++)
        print_mail(r, k);
    printf("  taken of ours %" PRIu64 ", read %" PRIu64 " of %" PRIu64 "%s%s"
           "%s%s%s\n",
           r->accepted, r->heard, r->replied, r->reset ? ", RST" : "",
           r->aborted ? ", aborted" : "", r->quit ? ", quit wanted" : "",
           r->write_refused ? ", a write failed" : "",
           r->closing.relay_failed ? ", relay failed" : "");
    printf("  closed while %s%s: %s\n", smtp_stage_name(r->closing.stage),
           r->closing.by_us ? " by us" : "", r->closing.err.text);
}
