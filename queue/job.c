#include "queue/job.h"

#include <string.h>

#include "core/mem.h"
#include "core/panic.h"

struct job *job_new(void)
{
    struct job *job;
    MEM_NEW(job);
    atomic_init(&job->references, 1);
    return job;
}

struct job *job_ref(struct job *job)
{
    atomic_fetch_add_explicit(&job->references, 1, memory_order_relaxed);
    return job;
}

static void job_free(struct job *job)
{
    mem_free(job->client);
    mem_free(job->route);
    mem_free(job->tag);
    for (size_t i = 0; i < job->metadata_count; i++) {
        mem_free(job->metadata[i].name);
        mem_free(job->metadata[i].value);
    }
    mem_free(job->metadata);
    mem_free(job->key);
    mem_free(job->sender);
    for (size_t i = 0; i < job->recipient_count; i++)
        mem_free(job->recipients[i]);
    mem_free(job->recipients);
    body_unref(job->body);
    mem_free(job);
}

void job_unref(struct job *job)
{
    if (job == NULL)
        return;
    unsigned before =
        atomic_fetch_sub_explicit(&job->references, 1, memory_order_acq_rel);
    PANIC_IF(before == 0);
    if (before == 1)
        job_free(job);
}

static uint64_t text_bytes(const char *text)
{
    return text == NULL ? 0 : mem_block_bytes(strlen(text) + 1);
}

uint64_t job_cost_bytes(const struct job *job)
{
    uint64_t cost = mem_block_bytes(sizeof(*job));
    cost += text_bytes(job->client) + text_bytes(job->route);
    cost += text_bytes(job->tag) + text_bytes(job->key);
    cost += text_bytes(job->sender);
    if (job->metadata_count > 0)
        cost += mem_block_bytes(job->metadata_count * sizeof(*job->metadata));
    for (size_t i = 0; i < job->metadata_count; i++) {
        cost += text_bytes(job->metadata[i].name);
        cost += text_bytes(job->metadata[i].value);
    }
    if (job->recipient_count > 0)
        cost +=
            mem_block_bytes(job->recipient_count * sizeof(*job->recipients));
    for (size_t i = 0; i < job->recipient_count; i++)
        cost += text_bytes(job->recipients[i]);
    if (job->body != NULL)
        cost += mem_block_bytes(body_size(job->body)) + mem_block_bytes(32);
    return cost;
}

const char *job_state_name(enum job_state state)
{
    static const char *const names[JOB_STATE_COUNT] = {
        [JOB_QUEUED] = "queued",       [JOB_ACTIVE] = "active",
        [JOB_DEFERRED] = "deferred",   [JOB_DELIVERED] = "delivered",
        [JOB_FAILED] = "failed",       [JOB_EXPIRED] = "expired",
        [JOB_CANCELLED] = "cancelled", [JOB_HELD] = "held",
    };
    PANIC_IF((unsigned)state >= JOB_STATE_COUNT);
    return names[state];
}

const char *job_priority_name(enum job_priority priority)
{
    static const char *const names[JOB_PRIORITY_COUNT] = {
        [JOB_PRIORITY_HIGH] = "high",
        [JOB_PRIORITY_NORMAL] = "normal",
        [JOB_PRIORITY_LOW] = "low",
    };
    PANIC_IF((unsigned)priority >= JOB_PRIORITY_COUNT);
    return names[priority];
}

const char *recipient_state_name(enum recipient_state state)
{
    static const char *const names[RECIPIENT_STATE_COUNT] = {
        [RECIPIENT_PENDING] = "pending",   [RECIPIENT_DELIVERED] = "delivered",
        [RECIPIENT_DEFERRED] = "deferred", [RECIPIENT_FAILED] = "failed",
        [RECIPIENT_UNKNOWN] = "unknown",
    };
    PANIC_IF((unsigned)state >= RECIPIENT_STATE_COUNT);
    return names[state];
}

bool job_state_is_settled(enum job_state state)
{
    return state == JOB_DELIVERED || state == JOB_FAILED ||
           state == JOB_EXPIRED || state == JOB_CANCELLED;
}
