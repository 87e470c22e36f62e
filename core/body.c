#include "core/body.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/panic.h"

/* Bytes looked at in one go, on the stack. */
#define SCAN_BYTES 16384

enum bits {
    BITS_NOT_KNOWN,
    BITS_SEVEN,
    BITS_EIGHT,
};

struct body {
    atomic_uint references;
    atomic_int bits; /* enum bits; once it is known it stays */
    uint64_t size_bytes;
    char *data; /* NULL: in the file */
    int fd;
};

static struct body *new_body(char *data, int fd, uint64_t size_bytes)
{
    struct body *body;
    MEM_NEW(body);
    atomic_init(&body->references, 1);
    atomic_init(&body->bits, BITS_NOT_KNOWN);
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

static bool has_high_bit(const char *data, size_t len)
{
    uint64_t bits = 0;
    size_t at = 0;
    for (; at + 8 <= len; at += 8) {
        uint64_t word;
        memcpy(&word, data + at, 8);
        bits |= word;
    }
    for (; at < len; at++)
        bits |= (unsigned char)data[at];
    return (bits & 0x8080808080808080U) != 0;
}

static enum err_code scan_file(const struct body *body, bool *is_8bit)
{
    char bytes[SCAN_BYTES];
    size_t got = 0;
    *is_8bit = false;
    for (uint64_t at = 0; at < body->size_bytes && !*is_8bit; at += got) {
        enum err_code rc = body_read(body, at, bytes, sizeof(bytes), &got);
        if (rc != ERR_NONE)
            return rc;
        *is_8bit = has_high_bit(bytes, got);
    }
    return ERR_NONE;
}

enum err_code body_is_8bit(struct body *body, bool *is_8bit)
{
    int bits = atomic_load_explicit(&body->bits, memory_order_relaxed);
    enum err_code rc = ERR_NONE;
    if (bits != BITS_NOT_KNOWN) {
        *is_8bit = bits == BITS_EIGHT;
        return ERR_NONE;
    }
    if (body->data != NULL)
        *is_8bit = has_high_bit(body->data, (size_t)body->size_bytes);
    else
        rc = scan_file(body, is_8bit);
    if (rc == ERR_NONE)
        atomic_store_explicit(&body->bits, *is_8bit ? BITS_EIGHT : BITS_SEVEN,
                              memory_order_relaxed);
    return rc;
}
