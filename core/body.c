#include "core/body.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/panic.h"

struct body {
    atomic_uint references;
    uint64_t size_bytes;
    char *data; /* NULL: in the file */
    int fd;
};

static struct body *new_body(char *data, int fd, uint64_t size_bytes)
{
    struct body *body;
    MEM_NEW(body);
    atomic_init(&body->references, 1);
    body->size_bytes = size_bytes;
    body->data = data;
    body->fd = fd;
    return body;
}

struct body *body_from_memory(char *data, size_t size_bytes)
{
    PANIC_IF(data == NULL && size_bytes > 0);
    if (data == NULL)
        data = mem_alloc(1);
    return new_body(data, -1, size_bytes);
}

struct body *body_from_file(int fd, uint64_t size_bytes)
{
    PANIC_IF(fd < 0);
    return new_body(NULL, fd, size_bytes);
}

struct body *body_ref(struct body *body)
{
    atomic_fetch_add_explicit(&body->references, 1, memory_order_relaxed);
    return body;
}

void body_unref(struct body *body)
{
    if (body == NULL)
        return;
    unsigned before =
        atomic_fetch_sub_explicit(&body->references, 1, memory_order_acq_rel);
    PANIC_IF(before == 0);
    if (before > 1)
        return;
    if (body->fd >= 0)
        (void)close(body->fd);
    mem_free(body->data);
    mem_free(body);
}

uint64_t body_size(const struct body *body)
{
    return body->size_bytes;
}

static enum err_code read_file(const struct body *body, uint64_t offset,
                               char *out, size_t len, size_t *got)
{
    *got = 0;
    while (*got < len) {
        ssize_t n =
            pread(body->fd, out + *got, len - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ERR_SYSTEM; /* a file shorter than it was is damage too */
        *got += (size_t)n;
    }
    return ERR_NONE;
}

enum err_code body_read(const struct body *body, uint64_t offset, void *out,
                        size_t len, size_t *got)
{
    *got = 0;
    if (offset >= body->size_bytes)
        return ERR_NONE;
    if (len > body->size_bytes - offset)
        len = (size_t)(body->size_bytes - offset);
    if (body->data == NULL)
        return read_file(body, offset, out, len, got);
    memcpy(out, body->data + offset, len);
    *got = len;
    return ERR_NONE;
}
