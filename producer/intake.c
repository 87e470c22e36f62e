#include "producer/intake.h"

#include <errno.h>
#include <sys/socket.h>

#include "core/mem.h"
#include "core/panic.h"

#define READ_BYTES       INTAKE_SMALL_BYTES
#define BLOCK_BYTES      (INTAKE_SMALL_BYTES + READ_BYTES)
#define LARGE_READ_BYTES ((size_t)1 << 20)
#define KEPT_BYTES       ((size_t)4 << 10) /* of memory while nothing is kept */

void intake_pool_init(struct intake_pool *pool, size_t frame_bytes)
{
    *pool = (struct intake_pool){.frame_bytes = frame_bytes};
    TAILQ_INIT(&pool->large);
    pool->block = mem_alloc(BLOCK_BYTES);
    pool->budget_bytes = INTAKE_BUDGET_BYTES;
    if (frame_bytes > INTAKE_BUDGET_BYTES / INTAKE_FRAMES)
        pool->budget_bytes = frame_bytes * INTAKE_FRAMES;
}

void intake_pool_fini(struct intake_pool *pool)
{
    mem_free(pool->block);
    pool->block = NULL;
}

void *intake_pool_first(const struct intake_pool *pool)
{
    const struct intake *first = TAILQ_FIRST(&pool->large);
    return first == NULL ? NULL : first->owner;
}

void *intake_pool_victim(const struct intake_pool *pool)
{
    size_t most = pool->budget_bytes + pool->frame_bytes + LARGE_READ_BYTES;
    return pool->used_bytes <= most ? NULL : intake_pool_first(pool);
}

bool intake_must_wait(const struct intake *in)
{
    const struct intake_pool *pool = in->pool;
    return in->charged_bytes > 0 && pool->used_bytes >= pool->budget_bytes &&
           TAILQ_FIRST(&pool->large) != in;
}

void intake_init(struct intake *in, struct intake_pool *pool, void *owner)
{
    *in = (struct intake){.pool = pool, .owner = owner};
    /* A whole frame with its framing, and what one read brings behind it. */
    buf_init(&in->rest, pool->frame_bytes + 16 + LARGE_READ_BYTES);
}

static void charge(struct intake *in)
{
    struct intake_pool *pool = in->pool;
    /* What a large block has beyond its bytes was never touched. */
    size_t bytes = in->rest.capacity > INTAKE_SMALL_BYTES ? in->rest.len : 0;
    if (bytes > 0 && in->charged_bytes == 0) {
        TAILQ_INSERT_TAIL(&pool->large, in, in_large);
    } else if (bytes == 0 && in->charged_bytes > 0) {
        TAILQ_REMOVE(&pool->large, in, in_large);
        pool->ended++;
    }
    pool->used_bytes += bytes;
    pool->used_bytes -= in->charged_bytes;
    in->charged_bytes = bytes;
}

void intake_fini(struct intake *in)
{
    buf_fini(&in->rest);
    in->in_block = false;
    charge(in);
}

static ssize_t receive(int fd, char *room, size_t len)
{
    ssize_t n;
    do
        n = recv(fd, room, len, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n;
}

ssize_t intake_read(struct intake *in, int fd)
{
    struct buf *rest = &in->rest;
    if (rest->len <= INTAKE_SMALL_BYTES) {
        /* Most often there is no rest, and nothing is copied at all. */
        char *block = in->pool->block;
        if (rest->len > 0)
            memcpy(block, rest->data, rest->len);
        ssize_t n = receive(fd, block + rest->len, READ_BYTES);
        in->in_block = n > 0;
        in->block_len = rest->len + (n > 0 ? (size_t)n : 0);
        return n;
    }
    size_t room = rest->len < LARGE_READ_BYTES ? rest->len : LARGE_READ_BYTES;
    char *at = buf_reserve(rest, room);
    if (at == NULL) {
        errno = ENOMEM;
        return -1;
    }
    ssize_t n = receive(fd, at, room);
    if (n > 0)
        rest->len += (size_t)n;
    charge(in);
    return n;
}

/* Something was taken: what it lay in goes too, because it was touched. */
static void shrink(struct buf *rest)
{
    bool small = rest->len <= INTAKE_SMALL_BYTES;
    if (rest->len == 0 && rest->capacity > KEPT_BYTES) {
        buf_fini(rest);
    } else if (rest->len > 0 && rest->capacity > INTAKE_SMALL_BYTES &&
               (small || rest->capacity / 4 > rest->len)) {
        rest->data = mem_realloc(rest->data, rest->len);
        rest->capacity = rest->len;
    }
}

void intake_taken(struct intake *in, size_t len)
{
    struct buf *rest = &in->rest;
    if (in->in_block) {
        struct str left =
            str_after(str_of(in->pool->block, in->block_len), len);
        in->in_block = false;
        buf_truncate(rest, 0);
        buf_add_str(rest, left);
        PANIC_IF(!buf_ok(rest));
    } else {
        buf_consume(rest, len);
    }
    if (len > 0 || rest->len <= INTAKE_SMALL_BYTES)
        shrink(rest);
    charge(in);
}

ssize_t intake_discard(struct intake_pool *pool, int fd)
{
    return receive(fd, pool->block, BLOCK_BYTES);
}
