/*
 * Rows of a spool file, which disks and people damage: whatever is taken is
 * what would be written again, byte for byte, and can be worked with.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "queue/codec.h"

#define RECORD_MAX_BYTES ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* abort(), but with a name in the trace. */
static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_same(const struct job *job, const struct progress *p,
                       struct str input)
{
    struct buf again;
    buf_init(&again, RECORD_MAX_BYTES);
    codec_put(job, p, &again);
    must(buf_ok(&again));
    must(again.len == input.len);
    must(memcmp(again.data, input.data, input.len) == 0);
    buf_fini(&again);
}

static void check_usable(struct job *job, struct progress *p)
{
    uint32_t *pending = mem_calloc(job->recipient_count, sizeof(*pending));
    struct claim claim = {.pending = pending};
    must(p->recipient_count == job->recipient_count);
    must(p->event_count <= SPOOL_EVENTS_MAX);
    must(p->state != JOB_ACTIVE && p->state < JOB_STATE_COUNT);
    progress_claim(p, &claim);
    must(claim.pending_count <= job->recipient_count);
    spool_status_destroy(progress_status(p, job, p->state, false));
    progress_interrupt(p, 1);
    must(progress_retry(p, 2, 3));
    must(progress_is_waiting(p));
    progress_cancel(p, 4);
    must(p->event_count <= SPOOL_EVENTS_MAX);
    mem_free(pending);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = str_of((const char *)data, size);
    struct job *job;
    struct progress p;
    if (codec_get(input, &job, &p) != ERR_NONE)
        return 0;
    check_same(job, &p, input);
    check_usable(job, &p);
    progress_fini(&p);
    job_unref(job);
    return 0;
}
