#include <stdio.h>
#include <string.h>

#include "queue/spool_sqlite.h"

/* Of one group, with SPOOL_GROUP_MAX. */
#define GROUP_BYTES (8U << 20)

/* Of what could not be recorded: less on a disk that has little room. */
#define KEPT_REQUESTS 64

/* How often what could not be recorded is tried again. */
#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 1000

/* So long without a failure, and the disk is said to work again. */
#define OUTAGE_QUIET_MS 1000

/* Bytes of working memory that stay after a large record. */
#define SCRATCH_KEEP (2U << 20)

/* How often an idle spool looks for what it may forget, and how much goes. */
#define HOUSE_EVERY_MS 5000
#define HOUSE_BITE     256
#define GROUP_BITE     4

/* ---- requests in ---- */

void spool_sqlite_post_locked(struct spool_sqlite *s, struct spool_request *r)
{
    STAILQ_INSERT_TAIL(&s->requests, r, next);
    if (s->writer_sleeps)
        cond_signal(&s->work);
}

void spool_sqlite_post(struct spool_sqlite *s, struct spool_request *r)
{
    mutex_lock(&s->lock);
    spool_sqlite_post_locked(s, r);
    mutex_unlock(&s->lock);
}

/* When there is something to do though nobody asks. */
static int64_t wake_at_ms(const struct spool_sqlite *s)
{
    if (!s->started || !STAILQ_EMPTY(&s->unrecorded))
        return s->retry_at_ms;
    return spool_sqlite_is_failing(s) ? s->probe_at_ms : s->house_at_ms;
}

/* False: there is nothing to do and never will be. */
static bool wait_locked(struct spool_sqlite *s)
{
    while (STAILQ_EMPTY(&s->requests)) {
        if (s->stopping)
            return false;
        s->writer_sleeps = true;
        bool woken = cond_wait_until(&s->work, &s->lock, wake_at_ms(s));
        s->writer_sleeps = false;
        if (!woken)
            break;
    }
    return true;
}

static void append(struct spool_request_list *to,
                   struct spool_request_list *from)
{
    STAILQ_CONCAT(to, from);
}

/* The first of them, up to count and GROUP_BYTES. */
static void move_some(struct spool_request_list *to,
                      struct spool_request_list *from, size_t count)
{
    size_t bytes = 0;
    struct spool_request *r;
    STAILQ_INIT(to);
    while ((r = STAILQ_FIRST(from)) != NULL && count-- > 0 &&
           bytes < GROUP_BYTES) {
        STAILQ_REMOVE_HEAD(from, next);
        STAILQ_INSERT_TAIL(to, r, next);
        bytes += r->size_bytes;
    }
}

static bool take(struct spool_sqlite *s, struct spool_request_list *group)
{
    mutex_lock(&s->lock);
    bool goes_on = wait_locked(s);
    move_some(group, &s->requests, s->group_max);
    mutex_unlock(&s->lock);
    return goes_on;
}

/* ---- the transaction ---- */

enum err_code spool_sqlite_begin(struct spool_sqlite *s, struct err *err)
{
    if (s->in_transaction)
        return ERR_NONE;
    enum err_code code = store_begin(s->store, err);
    s->in_transaction = code == ERR_NONE;
    return code;
}

static enum err_code write_all(struct spool_sqlite *s,
                               struct spool_request_list *group,
                               struct err *err)
{
    enum err_code code = ERR_NONE;
    struct spool_request *r;
    STAILQ_FOREACH (r, group, next) {
        r->then = SPOOL_REQUEST_DONE;
        if (r->kind->write != NULL)
            code = r->kind->write(s, r, err);
        if (code != ERR_NONE)
            return code;
    }
    code = spool_sqlite_forget(s, err);
    if (code != ERR_NONE || !s->in_transaction)
        return code;
    if (memcmp(&s->numbers, &s->next_numbers, sizeof(s->numbers)) != 0)
        code = store_numbers_put(s->store, &s->next_numbers, err);
    return code;
}

static void disk_works(struct spool_sqlite *s)
{
    s->numbers = s->next_numbers;
    s->numbers.commits++;
    s->numbers.disk_error[0] = '\0';
    s->retry_pause_ms = 0;
    atomic_store(&s->base.disk_fails, false);
}

static void disk_fails(struct spool_sqlite *s, const struct err *err)
{
    int64_t now_ms = clock_mono_ms(clock_system());
    char *why = s->numbers.disk_error;
    bool is_news = !spool_sqlite_is_failing(s);
    size_t len = strnlen(err->text, sizeof(s->numbers.disk_error) - 1);
    memcpy(why, err->text, len);
    why[len] = '\0';
    s->failure = *err;
    s->failed_at_ms = now_ms;
    s->failed = true;
    /* At once first: what was large in the group is not tried again. */
    s->retry_at_ms = now_ms + s->retry_pause_ms;
    s->retry_pause_ms *= 2;
    if (s->retry_pause_ms < PAUSE_MIN_MS)
        s->retry_pause_ms = PAUSE_MIN_MS;
    if (s->retry_pause_ms > PAUSE_MAX_MS)
        s->retry_pause_ms = PAUSE_MAX_MS;
    /* Not later with each request that fails. */
    if (is_news || now_ms >= s->probe_at_ms)
        s->probe_at_ms = now_ms + s->retry_pause_ms;
    atomic_store(&s->base.disk_fails, true);
}

static void fail_all(struct spool_sqlite *s, struct spool_request_list *group,
                     const struct err *err)
{
    struct spool_request *r;
    STAILQ_FOREACH (r, group, next) {
        r->then = SPOOL_REQUEST_DONE;
        if (r->kind->failed != NULL)
            r->kind->failed(s, r, err);
    }
}

/* All that the group changes, or nothing. */
static enum err_code run_group(struct spool_sqlite *s,
                               struct spool_request_list *group,
                               struct err *err)
{
    struct spool_request *r;
    s->next_numbers = s->numbers;
    s->in_transaction = false;
    enum err_code code = write_all(s, group, err);
    if (s->in_transaction && code == ERR_NONE) {
        code = s->disk.commit(s->store, err);
        if (code == ERR_NONE)
            disk_works(s);
    } else if (s->in_transaction) {
        store_rollback(s->store);
    }
    s->in_transaction = false;
    if (code != ERR_NONE) {
        spool_sqlite_keep_files(s);
        s->forget_at_ms[0] = s->forget_at_ms[1] = 0;
        disk_fails(s, err);
        fail_all(s, group, err);
        return code;
    }
    STAILQ_FOREACH (r, group, next) {
        if (r->kind->committed != NULL)
            r->kind->committed(s, r);
    }
    return ERR_NONE;
}

/* ---- after it ---- */

static void look_for_room(struct spool_sqlite *s)
{
    s->room =
        s->room_wanted && spool_sqlite_fits(s, &s->numbers, s->room_bytes);
    if (s->room)
        s->room_wanted = false;
}

static void publish(struct spool_sqlite *s)
{
    const char *why = spool_sqlite_unreadable(s);
    mutex_lock(&s->lock);
    s->stats = s->numbers;
    s->stats.waiting -= s->active;
    s->stats.active = s->active;
    s->stats.unrecorded = s->unrecorded_count;
    if (why != NULL && s->stats.disk_error[0] == '\0')
        (void)snprintf(s->stats.disk_error, sizeof(s->stats.disk_error), "%s",
                       why);
    mutex_unlock(&s->lock);
}

/* One that fails now and then makes one outage of it. */
static void tell_disk(struct spool_sqlite *s)
{
    const struct err none = {.code = ERR_NONE};
    const struct err *news = NULL;
    if (s->failed && !s->outage)
        news = &s->failure;
    else if (s->outage && s->numbers.disk_error[0] == '\0' &&
             clock_mono_ms(clock_system()) >= s->failed_at_ms + OUTAGE_QUIET_MS)
        news = &none;
    s->failed = false;
    if (news == NULL)
        return;
    s->outage = news == &s->failure;
    if (s->base.on_disk != NULL)
        s->base.on_disk(s->base.on_disk_ctx, news);
}

static void tell_due(struct spool_sqlite *s)
{
    for (unsigned i = 0; i < s->route_count * JOB_PRIORITY_COUNT; i++) {
        struct spool_sqlite_lane *lane = &s->lanes[i];
        int64_t due_ms = lane->due_ms;
        lane->due_ms = SPOOL_NEVER;
        if (due_ms >= lane->known_ms)
            continue;
        lane->known_ms = due_ms;
        if (s->base.on_due != NULL)
            s->base.on_due(s->base.on_due_ctx,
                           (struct spool_lane){
                               i / JOB_PRIORITY_COUNT,
                               (enum job_priority)(i % JOB_PRIORITY_COUNT)},
                           due_ms);
    }
}

static void tell_watches(struct spool_sqlite *s)
{
    const struct err none = {.code = ERR_NONE};
    struct spool_watch_node *node;
    while ((node = STAILQ_FIRST(&s->tells)) != NULL) {
        /* Once called, the watch is its owner's again. */
        struct spool_watch *watch = node->watch;
        STAILQ_REMOVE_HEAD(&s->tells, next);
        mem_free(node);
        watch->fn(watch->ctx, watch->status, false, &none);
    }
}

/* The group is over: each of its requests goes where it is to go. */
static void finish(struct spool_sqlite *s, struct spool_request_list *group)
{
    struct spool_request_list again = STAILQ_HEAD_INITIALIZER(again);
    struct spool_request *r;
    while ((r = STAILQ_FIRST(group)) != NULL) {
        STAILQ_REMOVE_HEAD(group, next);
        switch (r->then) {
        case SPOOL_REQUEST_DONE:
            r->kind->destroy(r);
            break;
        case SPOOL_REQUEST_KEEP:
            STAILQ_INSERT_TAIL(&s->unrecorded, r, next);
            break;
        case SPOOL_REQUEST_AGAIN:
            STAILQ_INSERT_TAIL(&again, r, next);
            break;
        case SPOOL_REQUEST_FILE:
            STAILQ_INSERT_TAIL(&s->files_after, r, next);
            break;
        }
    }
    spool_sqlite_post_files(s, &s->files_after);
    if (STAILQ_EMPTY(&again))
        return;
    mutex_lock(&s->lock);
    append(&again, &s->requests);
    append(&s->requests, &again);
    mutex_unlock(&s->lock);
}

static void keep_house(struct spool_sqlite *s)
{
    int64_t now_ms = clock_mono_ms(clock_system());
    s->keeps_house = now_ms >= s->house_at_ms;
    s->forget_max = GROUP_BITE;
    if (!s->keeps_house)
        return;
    s->house_at_ms = now_ms + HOUSE_EVERY_MS;
    s->forget_max = HOUSE_BITE;
}

static void count_unrecorded(struct spool_sqlite *s,
                             struct spool_request_list *group)
{
    struct spool_request *r;
    s->unrecorded_count = 0;
    STAILQ_FOREACH (r, group, next)
        s->unrecorded_count += r->then == SPOOL_REQUEST_KEEP;
}

/*
 * What could not be recorded, a few at a time: that is enough to see whether
 * the disk works. All of it goes into *out.
 */
static enum err_code run_kept(struct spool_sqlite *s,
                              struct spool_request_list *out, struct err *err)
{
    enum err_code code = ERR_NONE;
    while (code == ERR_NONE && !STAILQ_EMPTY(&s->unrecorded)) {
        struct spool_request_list few;
        move_some(&few, &s->unrecorded, s->kept_bite);
        code = run_group(s, &few, err);
        append(out, &few);
        s->kept_bite = code == ERR_NONE ? s->kept_bite * 2 : s->kept_bite / 4;
        if (s->kept_bite > KEPT_REQUESTS)
            s->kept_bite = KEPT_REQUESTS;
        if (s->kept_bite < 1)
            s->kept_bite = 1;
    }
    append(out, &s->unrecorded);
    return code;
}

/*
 * A disk that failed, with nothing left that must be written: the numbers are,
 * so that jobs are given out again.
 */
static enum err_code probe(struct spool_sqlite *s, struct err *err)
{
    if (!spool_sqlite_is_failing(s) ||
        clock_mono_ms(clock_system()) < s->probe_at_ms)
        return ERR_NONE;
    s->next_numbers = s->numbers;
    enum err_code code = store_begin(s->store, err);
    if (code == ERR_NONE) {
        code = store_numbers_put(s->store, &s->next_numbers, err);
        if (code == ERR_NONE)
            code = s->disk.commit(s->store, err);
        else
            store_rollback(s->store);
    }
    if (code == ERR_NONE)
        disk_works(s);
    else
        disk_fails(s, err);
    return code;
}

/* Not with each request: it may write much before it fails. */
static enum err_code start_late(struct spool_sqlite *s, struct err *err)
{
    if (s->started)
        return ERR_NONE;
    if (clock_mono_ms(clock_system()) < s->retry_at_ms) {
        *err = s->failure;
        return err->code;
    }
    enum err_code code = spool_sqlite_start(s, err);
    if (code != ERR_NONE) {
        disk_fails(s, err);
        return code;
    }
    s->next_numbers = s->numbers;
    disk_works(s);
    return ERR_NONE;
}

static void process(struct spool_sqlite *s, struct spool_request_list *group)
{
    struct spool_request_list all = STAILQ_HEAD_INITIALIZER(all);
    struct err err = {.code = ERR_NONE};
    struct spool_request *r;
    s->now_ms = clock_real_ms(s->clock);
    keep_house(s);
    enum err_code code = start_late(s, &err);
    if (code == ERR_NONE)
        code = run_kept(s, &all, &err);
    if (code == ERR_NONE)
        code = probe(s, &err);
    spool_sqlite_look_at_disk(s);
    if (code != ERR_NONE)
        fail_all(s, group, &err);
    else
        (void)run_group(s, group, &err);
    append(&all, group);
    count_unrecorded(s, &all);
    spool_sqlite_stalled(s);
    STAILQ_FOREACH (r, &all, next) {
        if (r->kind->read != NULL)
            r->kind->read(s, r);
    }
    look_for_room(s);
    publish(s);
    tell_disk(s);
    spool_sqlite_tell_reads(s);
    tell_due(s);
    if (s->room && s->base.on_room != NULL)
        s->base.on_room(s->base.on_room_ctx);
    mailbox_round_begin(&s->base.round);
    STAILQ_FOREACH (r, &all, next) {
        if (r->kind->answer != NULL)
            r->kind->answer(s, r);
    }
    tell_watches(s);
    mailbox_round_end(&s->base.round);
    finish(s, &all);
    if (s->scratch.capacity > SCRATCH_KEEP)
        buf_fini(&s->scratch);
}

void spool_sqlite_write(void *arg)
{
    struct spool_sqlite *s = arg;
    struct spool_request_list group;
    while (take(s, &group))
        process(s, &group);
    /* A last time; what cannot be recorded now will be attempted again. */
    if (!STAILQ_EMPTY(&s->unrecorded))
        process(s, &group);
}
