#include "queue/codec.h"

#include <stdint.h>
#include <string.h>

#include "core/mem.h"

/*
 * The layout, all numbers little-endian. A text is its length (4) and bytes
 * without NUL; length NO_TEXT is NULL.
 *
 *   version (1)
 *   id (26), priority (1), on_unknown (1), created, send_at, expires_at,
 *     give_up_at, size_bytes (8 each), client, route, tag, sender
 *   number (4) of metadata, each: name, value
 *   key; if there is one, digest (32)
 *   number (4) of recipients, each: address, state (1), attempts (4), reply,
 *     relay
 *   state (1), marked (1), attempts (4), due, settled, expires_at, give_up_at
 *     (8 each), note
 *   number (1) of events, each: at (8), kind (1), attempt (4), relay, text
 *   of version 2: relay, which is not NULL
 */
#define NO_TEXT UINT32_MAX

/* ---- put ---- */

static char *put_number(char *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = (char)(value >> (8 * i) & 0xff);
    return to + bytes;
}

static char *put_byte(char *to, unsigned value)
{
    *to = (char)value;
    return to + 1;
}

static char *put_u32(char *to, size_t value)
{
    return put_number(to, value, 4);
}

static char *put_i64(char *to, int64_t value)
{
    return put_number(to, (uint64_t)value, 8);
}

static void add_text(struct buf *out, const char *text)
{
    size_t len = text == NULL ? 0 : strlen(text);
    char *to = buf_reserve(out, 4 + len);
    if (to == NULL)
        return;
    to = put_u32(to, text == NULL ? NO_TEXT : len);
    if (len > 0)
        memcpy(to, text, len);
    out->len += 4 + len;
}

static void add_count(struct buf *out, size_t count)
{
    char number[4];
    (void)put_u32(number, count);
    buf_add(out, number, sizeof(number));
}

#define JOB_HEAD 69

static void add_job(const struct job *job, unsigned version, struct buf *out)
{
    char head[JOB_HEAD];
    char *to = put_byte(head, version);
    memcpy(to, job->id.text, ID_LEN);
    to = put_byte(to + ID_LEN, (unsigned)job->priority);
    to = put_byte(to, (unsigned)job->on_unknown);
    to = put_i64(to, job->created_ms);
    to = put_i64(to, job->send_at_ms);
    to = put_i64(to, job->expires_at_ms);
    to = put_i64(to, job->give_up_at_ms);
    (void)put_number(to, job->size_bytes, 8);
    buf_add(out, head, sizeof(head));
    add_text(out, job->client);
    add_text(out, job->route);
    add_text(out, job->tag);
    add_text(out, job->sender);
    add_count(out, job->metadata_count);
    for (size_t i = 0; i < job->metadata_count; i++) {
        add_text(out, job->metadata[i].name);
        add_text(out, job->metadata[i].value);
    }
    add_text(out, job->key);
    if (job->key != NULL)
        buf_add(out, job->digest, sizeof(job->digest));
}

#define RECIPIENT_HEAD 5

static void add_recipients(const struct job *job, const struct progress *p,
                           struct buf *out)
{
    add_count(out, p->recipient_count);
    for (size_t i = 0; i < p->recipient_count; i++) {
        const struct progress_recipient *r = &p->recipients[i];
        char head[RECIPIENT_HEAD];
        char *to = put_byte(head, (unsigned)r->state);
        (void)put_u32(to, r->attempts);
        add_text(out, job->recipients[i]);
        buf_add(out, head, sizeof(head));
        add_text(out, r->reply);
        add_text(out, r->relay);
    }
}

#define PROGRESS_HEAD 38
#define EVENT_HEAD    13

static void add_progress(const struct progress *p, struct buf *out)
{
    char head[PROGRESS_HEAD];
    char *to = put_byte(head, (unsigned)p->state);
    to = put_byte(to, p->marked);
    to = put_u32(to, p->attempts);
    to = put_i64(to, p->due_ms);
    to = put_i64(to, p->settled_ms);
    to = put_i64(to, p->expires_at_ms);
    (void)put_i64(to, p->give_up_at_ms);
    buf_add(out, head, sizeof(head));
    add_text(out, p->note);
    buf_add_char(out, (char)p->event_count);
    for (size_t i = 0; i < p->event_count; i++) {
        const struct progress_event *e = &p->events[i];
        to = put_i64(head, e->at_ms);
        to = put_byte(to, (unsigned)e->kind);
        (void)put_u32(to, e->attempt);
        buf_add(out, head, EVENT_HEAD);
        add_text(out, e->relay);
        add_text(out, e->text);
    }
}

void codec_put(const struct job *job, const struct progress *progress,
               struct buf *out)
{
    bool has_relay = progress->relay != NULL;
    add_job(job, has_relay ? CODEC_VERSION_RELAY : CODEC_VERSION_PLAIN, out);
    add_recipients(job, progress, out);
    add_progress(progress, out);
    if (has_relay)
        add_text(out, progress->relay);
}

/* ---- get ---- */

/* Of what is damaged or short nothing more is read. */
struct reader {
    struct str rest;
    bool bad;
};

static const char *take(struct reader *r, size_t len)
{
    if (r->bad || r->rest.len < len) {
        r->bad = true;
        return NULL;
    }
    const char *data = r->rest.data;
    r->rest.data += len;
    r->rest.len -= len;
    return data;
}

static uint64_t get_number(struct reader *r, unsigned bytes)
{
    const char *from = take(r, bytes);
    uint64_t value = 0;
    for (unsigned i = 0; from != NULL && i < bytes; i++)
        value |= (uint64_t)(unsigned char)from[i] << (8 * i);
    return value;
}

static uint32_t get_u32(struct reader *r)
{
    return (uint32_t)get_number(r, 4);
}

static int64_t get_i64(struct reader *r)
{
    return (int64_t)get_number(r, 8);
}

/* A number below bound, which is at most 256. */
static unsigned get_below(struct reader *r, unsigned bound)
{
    unsigned value = (unsigned)get_number(r, 1);
    if (value < bound)
        return value;
    r->bad = true;
    return 0;
}

static char *get_text(struct reader *r)
{
    uint32_t len = get_u32(r);
    if (len == NO_TEXT)
        return NULL;
    const char *data = take(r, len);
    if (data == NULL || memchr(data, '\0', len) != NULL) {
        r->bad = true;
        return NULL;
    }
    return mem_strdup(str_of(data, len));
}

/* How many there are, each of at least so many bytes: 0 if they cannot be. */
static size_t get_count(struct reader *r, size_t least_bytes)
{
    size_t count = get_u32(r);
    if (count <= r->rest.len / least_bytes)
        return count;
    r->bad = true;
    return 0;
}

static void get_id(struct reader *r, struct id *id)
{
    const char *text = take(r, ID_LEN);
    if (text != NULL && !id_parse(str_of(text, ID_LEN), id))
        r->bad = true;
}

static void get_job(struct reader *r, struct job *job)
{
    get_id(r, &job->id);
    job->priority = (enum job_priority)get_below(r, JOB_PRIORITY_COUNT);
    job->on_unknown =
        (enum job_on_unknown)get_below(r, JOB_ON_UNKNOWN_HOLD + 1);
    job->created_ms = get_i64(r);
    job->send_at_ms = get_i64(r);
    job->expires_at_ms = get_i64(r);
    job->give_up_at_ms = get_i64(r);
    job->size_bytes = get_number(r, 8);
    job->client = get_text(r);
    job->route = get_text(r);
    job->tag = get_text(r);
    job->sender = get_text(r);
    size_t pairs = get_count(r, 8);
    if (pairs > 0)
        job->metadata = mem_calloc(pairs, sizeof(*job->metadata));
    for (job->metadata_count = 0; job->metadata_count < pairs && !r->bad;) {
        struct job_pair *pair = &job->metadata[job->metadata_count++];
        pair->name = get_text(r);
        pair->value = get_text(r);
    }
    job->key = get_text(r);
    if (job->key == NULL)
        return;
    const char *digest = take(r, sizeof(job->digest));
    if (digest != NULL)
        memcpy(job->digest, digest, sizeof(job->digest));
}

static void get_recipients(struct reader *r, struct job *job,
                           struct progress *p)
{
    size_t count = get_count(r, RECIPIENT_HEAD + 12);
    job->recipients = mem_calloc(count, sizeof(*job->recipients));
    p->recipients = mem_calloc(count, sizeof(*p->recipients));
    job->recipient_count = p->recipient_count = count;
    for (size_t i = 0; i < count && !r->bad; i++) {
        struct progress_recipient *to = &p->recipients[i];
        job->recipients[i] = get_text(r);
        if (job->recipients[i] == NULL)
            r->bad = true;
        to->state = (enum recipient_state)get_below(r, RECIPIENT_STATE_COUNT);
        to->attempts = get_u32(r);
        to->reply = get_text(r);
        to->relay = get_text(r);
    }
}

static void get_relay(struct reader *r, struct progress *p)
{
    p->relay = get_text(r);
    if (p->relay == NULL)
        r->bad = true;
}

static void get_progress(struct reader *r, struct progress *p)
{
    p->state = (enum job_state)get_below(r, JOB_STATE_COUNT);
    if (p->state == JOB_ACTIVE)
        r->bad = true;
    p->marked = get_below(r, 2) != 0;
    p->attempts = get_u32(r);
    p->due_ms = get_i64(r);
    p->settled_ms = get_i64(r);
    p->expires_at_ms = get_i64(r);
    p->give_up_at_ms = get_i64(r);
    p->note = get_text(r);
    size_t count = get_below(r, SPOOL_EVENTS_MAX + 1);
    if (count > 0)
        p->events = mem_calloc(count, sizeof(*p->events));
    for (p->event_count = 0; p->event_count < count && !r->bad;) {
        struct progress_event *e = &p->events[p->event_count++];
        e->at_ms = get_i64(r);
        e->kind = (enum spool_event_kind)get_below(r, SPOOL_EVENT_COUNT);
        e->attempt = get_u32(r);
        e->relay = get_text(r);
        e->text = get_text(r);
    }
}

enum err_code codec_get(struct str bytes, struct job **job,
                        struct progress *progress)
{
    struct reader r = {.rest = bytes};
    struct job *new = job_new();
    struct progress p = {.state = JOB_QUEUED};
    uint64_t version = get_number(&r, 1);
    if (version != CODEC_VERSION_PLAIN && version != CODEC_VERSION_RELAY)
        r.bad = true;
    get_job(&r, new);
    get_recipients(&r, new, &p);
    get_progress(&r, &p);
    if (version == CODEC_VERSION_RELAY)
        get_relay(&r, &p);
    if (r.bad || r.rest.len > 0) {
        progress_fini(&p);
        job_unref(new);
        return ERR_INVALID;
    }
    *job = new;
    *progress = p;
    return ERR_NONE;
}
