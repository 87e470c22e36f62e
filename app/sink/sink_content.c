#include "app/sink/sink_content.h"

#include <stdio.h>

#include "app/sink/sink_reply.h"

void sink_content_init(struct sink_content *c)
{
    c->started = false;
    sink_data_start(&c->data);
    sink_header_start(&c->header);
    sink_file_init(&c->file);
}

void sink_content_fini(struct sink_content *c)
{
    sink_file_fini(&c->file);
}

static bool has_store(const struct sink_session *s)
{
    return s->sink->store.tmp_fd >= 0;
}

static void store(struct sink_content *c, struct str bytes)
{
    if (!c->failed && sink_file_add(&c->file, bytes) != ERR_NONE)
        c->failed = true;
}

/* A header line of ours before the message's own bytes. */
static void store_line(struct sink_content *c, const char *name,
                       struct str value)
{
    store(c, str_from(name));
    store(c, value);
    store(c, STR("\r\n"));
}

static void open_file(struct sink_session *s)
{
    struct sink_content *c = &s->content;
    char number[24];
    if (sink_file_open(&c->file, &s->sink->store) != ERR_NONE) {
        c->failed = true;
        return;
    }
    store_line(c, "X-Envelope-From: ", sink_envelope_sender(&s->envelope));
    for (size_t i = 0; i < s->envelope.count; i++)
        store_line(c,
                   "X-Envelope-To: ", sink_envelope_recipient(&s->envelope, i));
    (void)snprintf(number, sizeof(number), "%llu",
                   (unsigned long long)s->number);
    store_line(c, "X-Envelope-Connection: ", str_from(number));
}

void sink_content_start(struct sink_session *s)
{
    struct sink_content *c = &s->content;
    sink_data_start(&c->data);
    sink_header_start(&c->header);
    c->size_bytes = c->wire_bytes = 0;
    c->cut_bytes = sink_faults_any(&s->sink->options->faults, SINK_STAGE_BODY)
                       ? sink_faults_next_after(&s->sink->options->faults,
                                                SINK_STAGE_BODY, 0)
                       : UINT64_MAX;
    c->started = true;
    c->too_large = c->failed = false;
    if (has_store(s))
        open_file(s);
}

void sink_content_add(struct sink_session *s, struct str piece)
{
    struct sink_content *c = &s->content;
    c->size_bytes += piece.len;
    if (c->size_bytes > (uint64_t)s->sink->options->max_size_bytes)
        c->too_large = true;
    if (c->too_large)
        return;
    if (c->header.state != SINK_HEADER_STATE_DONE)
        sink_header_feed(&c->header, piece);
    if (has_store(s))
        store(c, piece);
}

void sink_content_drop(struct sink_session *s)
{
    struct sink_content *c = &s->content;
    if (!c->started)
        return;
    c->started = false;
    if (has_store(s))
        sink_file_abandon(&c->file, &s->sink->store);
}

/* Who of the recipients had this message already. */
static uint64_t count_duplicates(struct sink_session *s, struct str id)
{
    uint64_t duplicates = 0;
    if (id.len == 0) {
        sink_counts_add(&s->sink->counts, SINK_COUNT_NO_MESSAGE_ID, 1);
        return 0;
    }
    for (size_t i = 0; i < s->envelope.count; i++)
        if (sink_tally_add(&s->sink->tally, id,
                           sink_envelope_recipient(&s->envelope, i)))
            duplicates++;
    return duplicates;
}

static void take(struct sink_session *s)
{
    struct sink *sink = s->sink;
    struct sink_content *c = &s->content;
    struct str id = sink_header_id(&c->header);
    c->started = false;
    s->messages++;
    sink_counts_add(&sink->counts, SINK_COUNT_MESSAGES, 1);
    sink_counts_add(&sink->counts, SINK_COUNT_RECIPIENTS, s->envelope.count);
    sink_counts_add(&sink->counts, SINK_COUNT_BYTES, c->size_bytes);
    uint64_t duplicates = count_duplicates(s, id);
    if (sink->log.fd < 0)
        return;
    struct sink_arrival arrival = {
        .who = sink_session_who(s),
        .envelope = &s->envelope,
        .message_id = id.len > 0 ? id : (struct str){NULL, 0},
        .size_bytes = c->size_bytes,
        .number = sink->counts.values[SINK_COUNT_MESSAGES],
        .duplicates = duplicates,
        .command = s->chunked ? "BDAT" : "DATA",
        .file = {NULL, 0},
    };
    if (has_store(s))
        arrival.file = str_from(c->file.name);
    sink_log_message(&sink->log, &arrival);
}

static void end_transaction(struct sink_session *s)
{
    sink_envelope_clear(&s->envelope);
    s->chunked = s->chunk_failed = false;
}

static void refuse(struct sink_session *s, unsigned code, const char *enhanced,
                   const char *text)
{
    sink_content_drop(s);
    if (s->chunked && s->sink->options->keep_transaction)
        s->chunked = s->chunk_failed = false;
    else
        end_transaction(s);
    sink_counts_add(&s->sink->counts, SINK_COUNT_MESSAGES_REFUSED, 1);
    sink_reply(s, code, enhanced, text);
}

void sink_content_finish(struct sink_session *s)
{
    struct sink_content *c = &s->content;
    char text[64];
    (void)sink_reply_fault(s, SINK_STAGE_FINAL, (struct str){NULL, 0});
    bool unwanted =
        s->fault != NULL && (s->fault->discard || s->fault->code >= 400);
    if (unwanted) {
        refuse(s, 451, "4.3.0", "Not taken");
    } else if (c->too_large) {
        refuse(s, 552, "5.3.4", "Message too large");
    } else if (c->failed ||
               (has_store(s) &&
                sink_file_commit(&c->file, &s->sink->store) != ERR_NONE)) {
        refuse(s, 452, "4.3.1", "The message could not be stored");
    } else {
        take(s);
        (void)snprintf(
            text, sizeof(text), "Ok: message %llu",
            (unsigned long long)s->sink->counts.values[SINK_COUNT_MESSAGES]);
        end_transaction(s);
        sink_reply(s, 250, "2.0.0", text);
    }
}
