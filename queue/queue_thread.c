/*
 * The queue between threads of one process: one lock, lists of claims, and
 * hand-over. Whoever brings a record or makes a place gives it to somebody who
 * waits, under the lock, so that it cannot be snatched away and no wake-up is
 * spent for nothing. That keeps two things true whenever the lock is free:
 *
 *   - a lane that a blocked getter waits for is empty;
 *   - the first putter blocked at a lane does not fit in.
 *
 * Waiters (descriptors) are told, not given. For each lane with items, or with
 * room, that an armed waiter wants, some other waiter is woken and has not
 * armed again: he sees to the lane, or passes it on when he arms.
 */
#include <sys/queue.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/panic.h"
#include "core/thread.h"
#include "core/wake.h"
#include "queue/queue_backend.h"

/* A blocked thread, on its stack. All guarded by the queue's lock. */
struct sleeper {
    TAILQ_ENTRY(sleeper) next;
    struct cond cond;
    uint64_t lanes;
    struct claim *claim; /* brought by a putter, or given to a getter */
    uint64_t bytes;      /* of a putter's claim */
    enum err_code result;
    bool done;
};

TAILQ_HEAD(sleeper_list, sleeper);

struct lane {
    struct claim_list claims;
    size_t count;
    uint64_t bytes;
    uint64_t refused_bytes; /* least that an at-once put was refused for */
    uint64_t served;        /* number of the last get from it */
    struct sleeper_list putters;
};

struct waiter {
    struct queue_waiter base;
    struct wake wake;
    enum queue_wait kind;
    uint64_t lanes;
    TAILQ_ENTRY(waiter) next; /* in armed */
    bool armed;
    bool raised;
};

TAILQ_HEAD(waiter_list, waiter);

struct queue_thread {
    struct queue base;
    size_t lane_capacity;
    uint64_t lane_max_bytes;

    struct mutex lock; /* guards all below */
    bool closed;
    size_t count;
    uint64_t filled; /* lanes that are not empty */
    uint64_t gets;
    uint64_t emptied; /* how often count became 0 */
    struct sleeper_list getters;
    struct waiter_list armed[2]; /* by kind */
    unsigned waiters;            /* that exist */
    unsigned drainers;
    struct cond drained;
    struct lane lanes[];
};

static struct queue_thread *from_base(struct queue *q)
{
    return CONTAINER_OF(q, struct queue_thread, base);
}

/* ---- sleepers ---- */

static void hand_over(struct sleeper_list *list, struct sleeper *s,
                      enum err_code result)
{
    TAILQ_REMOVE(list, s, next);
    s->result = result;
    s->done = true;
    cond_signal(&s->cond);
}

/* With the lock held; s->result says how it ended. */
static void sleep_until(struct queue_thread *t, struct sleeper_list *list,
                        struct sleeper *s, int64_t until_ms)
{
    s->done = false;
    cond_init(&s->cond);
    TAILQ_INSERT_TAIL(list, s, next);
    while (!s->done) {
        if (until_ms == QUEUE_FOREVER) {
            cond_wait(&s->cond, &t->lock);
        } else if (until_ms <= 0 ||
                   !cond_wait_until(&s->cond, &t->lock, until_ms)) {
            break;
        }
    }
    if (!s->done) {
        TAILQ_REMOVE(list, s, next);
        s->result = ERR_TIMEOUT;
    }
    cond_fini(&s->cond);
}

/* ---- waiters ---- */

static void raise_waiter(struct queue_thread *t, struct waiter *w)
{
    if (w->armed)
        TAILQ_REMOVE(&t->armed[w->kind], w, next);
    w->armed = false;
    if (!w->raised)
        wake_raise(&w->wake);
    w->raised = true;
}

/* Each of these lanes gets one armed waiter who sees to it, if there is one. */
static void tell(struct queue_thread *t, enum queue_wait kind, uint64_t lanes)
{
    struct waiter *w = TAILQ_FIRST(&t->armed[kind]);
    while (w != NULL && lanes != 0) {
        struct waiter *next = TAILQ_NEXT(w, next);
        if ((w->lanes & lanes) != 0) {
            lanes &= ~w->lanes;
            raise_waiter(t, w);
        }
        w = next;
    }
}

/* ---- lanes ---- */

static bool fits(const struct queue_thread *t, const struct lane *lane,
                 uint64_t bytes)
{
    if (lane->count == 0)
        return true;
    return lane->count < t->lane_capacity && bytes <= t->lane_max_bytes &&
           lane->bytes <= t->lane_max_bytes - bytes;
}

static bool has_room(const struct queue_thread *t, const struct lane *lane)
{
    uint64_t bytes = lane->refused_bytes > 0 ? lane->refused_bytes : 1;
    return TAILQ_EMPTY(&lane->putters) && fits(t, lane, bytes);
}

static uint64_t with_room(const struct queue_thread *t)
{
    uint64_t set = 0;
    if (t->closed)
        return 0;
    for (unsigned i = 0; i < t->base.lane_count; i++)
        if (has_room(t, &t->lanes[i]))
            set |= QUEUE_LANE(i);
    return set;
}

static uint64_t present(const struct queue_thread *t, enum queue_wait kind)
{
    return kind == QUEUE_WAIT_ITEMS ? t->filled : with_room(t);
}

static void insert(struct queue_thread *t, unsigned at, struct claim *claim,
                   uint64_t bytes)
{
    struct lane *lane = &t->lanes[at];
    claim->queued_bytes = bytes;
    STAILQ_INSERT_TAIL(&lane->claims, claim, next);
    lane->count++;
    lane->bytes += bytes;
    if (bytes >= lane->refused_bytes)
        lane->refused_bytes = 0;
    t->count++;
    t->filled |= QUEUE_LANE(at);
}

/* ---- put ---- */

static struct sleeper *getter_for(struct queue_thread *t, unsigned at)
{
    struct sleeper *s;
    TAILQ_FOREACH (s, &t->getters, next) {
        if ((s->lanes & QUEUE_LANE(at)) != 0)
            return s;
    }
    return NULL;
}

static enum err_code refuse(struct lane *lane, uint64_t bytes)
{
    if (lane->refused_bytes == 0 || bytes < lane->refused_bytes)
        lane->refused_bytes = bytes;
    return ERR_AGAIN;
}

static enum err_code put_locked(struct queue_thread *t, unsigned at,
                                struct sleeper *putter, int64_t until_ms)
{
    struct lane *lane = &t->lanes[at];
    if (t->closed)
        return ERR_CLOSED;
    struct sleeper *getter = getter_for(t, at);
    if (getter != NULL) {
        getter->claim = putter->claim;
        lane->served = ++t->gets;
        hand_over(&t->getters, getter, ERR_NONE);
        return ERR_NONE;
    }
    if (TAILQ_EMPTY(&lane->putters) && fits(t, lane, putter->bytes)) {
        insert(t, at, putter->claim, putter->bytes);
        tell(t, QUEUE_WAIT_ITEMS, QUEUE_LANE(at));
        return ERR_NONE;
    }
    if (until_ms == QUEUE_AT_ONCE)
        return refuse(lane, putter->bytes);
    sleep_until(t, &lane->putters, putter, until_ms);
    return putter->result;
}

/* Those blocked at the lane, in order, as long as they fit. */
static void admit(struct queue_thread *t, unsigned at)
{
    struct lane *lane = &t->lanes[at];
    struct sleeper *s = TAILQ_FIRST(&lane->putters);
    while (s != NULL && fits(t, lane, s->bytes)) {
        insert(t, at, s->claim, s->bytes);
        hand_over(&lane->putters, s, ERR_NONE);
        tell(t, QUEUE_WAIT_ITEMS, QUEUE_LANE(at));
        s = TAILQ_FIRST(&lane->putters);
    }
}

static void tell_of_room(struct queue_thread *t, unsigned at)
{
    struct lane *lane = &t->lanes[at];
    if (lane->refused_bytes > 0 && fits(t, lane, lane->refused_bytes))
        lane->refused_bytes = 0;
    if (!t->closed && has_room(t, lane))
        tell(t, QUEUE_WAIT_ROOM, QUEUE_LANE(at));
}

static enum err_code put(struct queue *q, unsigned lane, struct claim *claim,
                         int64_t until_ms)
{
    struct queue_thread *t = from_base(q);
    struct sleeper putter = {.claim = claim, .bytes = claim_size_bytes(claim)};
    mutex_lock(&t->lock);
    enum err_code code = put_locked(t, lane, &putter, until_ms);
    if (code == ERR_TIMEOUT) {
        /* The one behind may be smaller. */
        admit(t, lane);
        tell_of_room(t, lane);
    }
    mutex_unlock(&t->lock);
    return code;
}

/* ---- get ---- */

/* The one of these lanes, none of them empty, that waited longest. */
static unsigned choose(const struct queue_thread *t, uint64_t lanes)
{
    unsigned best = (unsigned)__builtin_ctzll(lanes);
    for (lanes &= lanes - 1; lanes != 0; lanes &= lanes - 1) {
        unsigned at = (unsigned)__builtin_ctzll(lanes);
        if (t->lanes[at].served < t->lanes[best].served)
            best = at;
    }
    return best;
}

static struct claim *take(struct queue_thread *t, unsigned at)
{
    struct lane *lane = &t->lanes[at];
    struct claim *claim = STAILQ_FIRST(&lane->claims);
    STAILQ_REMOVE_HEAD(&lane->claims, next);
    lane->count--;
    lane->bytes -= claim->queued_bytes;
    lane->served = ++t->gets;
    t->count--;
    if (lane->count == 0)
        t->filled &= ~QUEUE_LANE(at);
    admit(t, at);
    tell_of_room(t, at);
    if (t->count == 0) {
        t->emptied++;
        if (t->drainers > 0)
            cond_broadcast(&t->drained);
    }
    return claim;
}

static enum err_code get(struct queue *q, uint64_t lanes, struct claim **claim,
                         int64_t until_ms)
{
    struct queue_thread *t = from_base(q);
    enum err_code code = ERR_NONE;
    mutex_lock(&t->lock);
    if ((t->filled & lanes) != 0) {
        *claim = take(t, choose(t, t->filled & lanes));
    } else if (t->closed) {
        code = ERR_CLOSED;
    } else if (until_ms == QUEUE_AT_ONCE) {
        code = ERR_AGAIN;
    } else {
        struct sleeper getter = {.lanes = lanes};
        sleep_until(t, &t->getters, &getter, until_ms);
        code = getter.result;
        if (code == ERR_NONE)
            *claim = getter.claim;
    }
    mutex_unlock(&t->lock);
    return code;
}

/* ---- numbers ---- */

static size_t size(struct queue *q, uint64_t lanes)
{
    struct queue_thread *t = from_base(q);
    size_t sum = 0;
    mutex_lock(&t->lock);
    for (uint64_t left = lanes & t->filled; left != 0; left &= left - 1)
        sum += t->lanes[__builtin_ctzll(left)].count;
    mutex_unlock(&t->lock);
    return sum;
}

static uint64_t lanes_with_room(struct queue *q)
{
    struct queue_thread *t = from_base(q);
    mutex_lock(&t->lock);
    uint64_t set = with_room(t);
    mutex_unlock(&t->lock);
    return set;
}

/* ---- closing ---- */

static void close_all(struct queue *q)
{
    struct queue_thread *t = from_base(q);
    struct sleeper *s;
    mutex_lock(&t->lock);
    t->closed = true;
    while ((s = TAILQ_FIRST(&t->getters)) != NULL)
        hand_over(&t->getters, s, ERR_CLOSED);
    for (unsigned i = 0; i < t->base.lane_count; i++)
        while ((s = TAILQ_FIRST(&t->lanes[i].putters)) != NULL)
            hand_over(&t->lanes[i].putters, s, ERR_CLOSED);
    for (unsigned kind = 0; kind < 2; kind++) {
        struct waiter *w;
        while ((w = TAILQ_FIRST(&t->armed[kind])) != NULL)
            raise_waiter(t, w);
    }
    mutex_unlock(&t->lock);
}

static bool is_closed(struct queue *q)
{
    struct queue_thread *t = from_base(q);
    mutex_lock(&t->lock);
    bool closed = t->closed;
    mutex_unlock(&t->lock);
    return closed;
}

static enum err_code drain(struct queue *q, int64_t until_ms)
{
    struct queue_thread *t = from_base(q);
    enum err_code code = ERR_NONE;
    mutex_lock(&t->lock);
    uint64_t emptied = t->emptied;
    t->drainers++;
    while (t->count > 0 && t->emptied == emptied && code == ERR_NONE) {
        if (until_ms == QUEUE_FOREVER)
            cond_wait(&t->drained, &t->lock);
        else if (until_ms <= 0 ||
                 !cond_wait_until(&t->drained, &t->lock, until_ms))
            code = ERR_TIMEOUT;
    }
    if (t->count == 0 || t->emptied != emptied)
        code = ERR_NONE;
    t->drainers--;
    mutex_unlock(&t->lock);
    return code;
}

/* ---- waiters, from outside ---- */

static struct waiter *waiter_from_base(struct queue_waiter *w)
{
    return CONTAINER_OF(w, struct waiter, base);
}

static enum err_code waiter_create(struct queue_waiter **out, struct queue *q,
                                   enum queue_wait kind, struct err *err)
{
    struct queue_thread *t = from_base(q);
    struct waiter *w;
    MEM_NEW(w);
    enum err_code code = wake_init(&w->wake, err);
    if (code != ERR_NONE) {
        mem_free(w);
        return code;
    }
    w->base.queue = q;
    w->base.fd = w->wake.fd;
    w->kind = kind;
    mutex_lock(&t->lock);
    t->waiters++;
    mutex_unlock(&t->lock);
    *out = &w->base;
    return ERR_NONE;
}

static void waiter_destroy(struct queue_waiter *base)
{
    struct waiter *w = waiter_from_base(base);
    struct queue_thread *t = from_base(base->queue);
    mutex_lock(&t->lock);
    if (w->armed)
        TAILQ_REMOVE(&t->armed[w->kind], w, next);
    else
        tell(t, w->kind, present(t, w->kind));
    t->waiters--;
    mutex_unlock(&t->lock);
    wake_fini(&w->wake);
    mem_free(w);
}

static void waiter_arm(struct queue_waiter *base, uint64_t lanes)
{
    struct waiter *w = waiter_from_base(base);
    struct queue_thread *t = from_base(base->queue);
    mutex_lock(&t->lock);
    if (w->armed)
        TAILQ_REMOVE(&t->armed[w->kind], w, next);
    w->armed = false;
    if (w->raised)
        wake_clear(&w->wake);
    w->raised = false;
    w->lanes = lanes;
    uint64_t there = present(t, w->kind);
    if (t->closed || (there & lanes) != 0) {
        raise_waiter(t, w);
    } else {
        TAILQ_INSERT_TAIL(&t->armed[w->kind], w, next);
        w->armed = true;
    }
    tell(t, w->kind, there & ~lanes);
    mutex_unlock(&t->lock);
}

/* ---- making ---- */

static void destroy(struct queue *q)
{
    struct queue_thread *t = from_base(q);
    PANIC_IF(t->count > 0 || t->waiters > 0 || !TAILQ_EMPTY(&t->getters));
    cond_fini(&t->drained);
    mutex_fini(&t->lock);
    mem_free(t);
}

static const struct queue_ops ops = {
    .destroy = destroy,
    .put = put,
    .get = get,
    .size = size,
    .lanes_with_room = lanes_with_room,
    .close = close_all,
    .is_closed = is_closed,
    .drain = drain,
    .waiter_create = waiter_create,
    .waiter_destroy = waiter_destroy,
    .waiter_arm = waiter_arm,
};

struct queue *queue_thread_create(const struct queue_options *options)
{
    struct queue_thread *t =
        mem_calloc(1, sizeof(*t) + options->lanes * sizeof(struct lane));
    t->base.ops = &ops;
    t->base.lane_count = options->lanes;
    t->lane_capacity = options->capacity / options->lanes;
    t->lane_max_bytes = options->max_bytes / options->lanes;
    mutex_init(&t->lock);
    cond_init(&t->drained);
    TAILQ_INIT(&t->getters);
    TAILQ_INIT(&t->armed[QUEUE_WAIT_ITEMS]);
    TAILQ_INIT(&t->armed[QUEUE_WAIT_ROOM]);
    for (unsigned i = 0; i < options->lanes; i++) {
        STAILQ_INIT(&t->lanes[i].claims);
        TAILQ_INIT(&t->lanes[i].putters);
    }
    return &t->base;
}
