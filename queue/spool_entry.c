#include "queue/spool_entry.h"

#include <string.h>

#include "core/mem.h"

static struct str cut(struct str s)
{
    return str_of(s.data, s.len > SPOOL_TEXT_MAX ? SPOOL_TEXT_MAX : s.len);
}

/* Returns the byte behind the NUL. */
static char *add_text(char *to, const char *data, size_t len)
{
    if (len > 0)
        memcpy(to, data, len);
    to[len] = '\0';
    return to + len + 1;
}

struct spool_words *spool_words_new(struct str reply, struct str relay)
{
    reply = cut(reply);
    relay = cut(relay);
    struct spool_words *words =
        mem_alloc(sizeof(*words) + reply.len + relay.len + 2);
    words->reply_len = reply.len;
    words->relay_len = relay.len;
    char *end = add_text(words->text, reply.data, reply.len);
    (void)add_text(end, relay.data, relay.len);
    return words;
}

static int64_t limit_of(const struct job *job)
{
    int64_t limit = SPOOL_NEVER;
    if (job->give_up_at_ms != 0)
        limit = job->give_up_at_ms;
    if (job->expires_at_ms != 0 && job->expires_at_ms < limit)
        limit = job->expires_at_ms;
    return limit;
}

struct spool_entry *spool_entry_new(struct job *job, unsigned lane)
{
    size_t n = job->recipient_count;
    size_t entry_bytes =
        sizeof(struct spool_entry) + n * sizeof(struct spool_record);
    size_t live_bytes = sizeof(struct spool_live) + n * sizeof(uint32_t);
    struct spool_entry *entry = mem_calloc(1, entry_bytes);
    struct spool_live *live = mem_calloc(1, live_bytes);
    entry->job = job_ref(job);
    entry->live = live;
    live->entry = entry;
    live->lane = lane;
    live->cost_bytes =
        (int64_t)(job_cost_bytes(job) + entry_bytes + live_bytes);
    heap_item_init(&live->due);
    heap_item_init(&live->limit);
    live->limit.key = limit_of(job);
    TAILQ_INIT(&live->watches);
    atomic_init(&live->gate, CLAIM_GATE_OPEN);
    live->claim.job = job_ref(job);
    live->claim.gate = &live->gate;
    live->claim.pending = live->pending;
    return entry;
}

void spool_entry_free(struct spool_entry *entry)
{
    for (size_t i = 0; i < entry->job->recipient_count; i++)
        mem_free(entry->records[i].words);
    mem_free(entry->note);
    job_unref(entry->job);
    mem_free(entry);
}

void spool_live_free(struct spool_live *live)
{
    body_unref(live->body);
    job_unref(live->claim.job);
    mem_free(live);
}

void spool_live_take_body(struct spool_live *live)
{
    live->body = live->claim.job->body;
    live->claim.job->body = NULL;
}

struct claim *spool_live_claim(struct spool_live *live)
{
    struct spool_entry *entry = live->entry;
    struct claim *claim = &live->claim;
    claim->attempt = entry->attempts + 1;
    claim->relay = 0;
    claim->pending_count = 0;
    for (uint32_t i = 0; i < entry->job->recipient_count; i++) {
        enum recipient_state state = entry->records[i].state;
        if (state != RECIPIENT_DELIVERED && state != RECIPIENT_FAILED)
            claim->pending[claim->pending_count++] = i;
    }
    atomic_store(&live->gate, CLAIM_GATE_OPEN);
    return claim;
}

/* ---- what the world is told ---- */

enum job_state spool_entry_state(const struct spool_entry *entry)
{
    const struct spool_live *live = entry->live;
    if (live != NULL && live->claimed && !job_state_is_settled(entry->state) &&
        atomic_load(&live->gate) == CLAIM_GATE_STARTED)
        return JOB_ACTIVE;
    return entry->state;
}

static size_t text_bytes(const struct spool_entry *entry)
{
    size_t bytes = entry->note == NULL ? 0 : strlen(entry->note) + 1;
    for (size_t i = 0; i < entry->job->recipient_count; i++) {
        const struct spool_words *words = entry->records[i].words;
        if (words != NULL)
            bytes += words->reply_len + words->relay_len + 2;
    }
    return bytes;
}

/* Returns the byte behind what it copied to text. */
static char *copy_recipient(struct spool_recipient *to, const char *address,
                            const struct spool_record *from, char *text)
{
    const struct spool_words *words = from->words;
    to->address = address;
    to->state = from->state;
    to->attempts = from->attempts;
    if (words == NULL)
        return text;
    if (words->reply_len > 0) {
        to->reply = text;
        text = add_text(text, words->text, words->reply_len);
    }
    if (words->relay_len > 0) {
        to->relay = text;
        text = add_text(text, words->text + words->reply_len + 1,
                        words->relay_len);
    }
    return text;
}

struct spool_status *spool_entry_status(const struct spool_entry *entry)
{
    size_t n = entry->job->recipient_count;
    struct spool_status *status =
        mem_calloc(1, sizeof(*status) + n * sizeof(struct spool_recipient) +
                          text_bytes(entry));
    status->job = job_ref(entry->job);
    status->state = spool_entry_state(entry);
    status->attempts = entry->attempts;
    status->settled_ms = entry->settled_ms;
    if (status->state == JOB_QUEUED || status->state == JOB_DEFERRED)
        status->next_attempt_ms = entry->live->due.key;
    status->recipients = (struct spool_recipient *)(status + 1);
    status->recipient_count = n;
    char *text = (char *)(status->recipients + n);
    for (size_t i = 0; i < n; i++)
        text = copy_recipient(&status->recipients[i], entry->job->recipients[i],
                              &entry->records[i], text);
    if (entry->note != NULL) {
        status->note = text;
        (void)add_text(text, entry->note, strlen(entry->note));
    }
    return status;
}
