/*
 * Messages as others make them, in 7 bits: what comes out has no byte over
 * 0x7f, is the same each time, and needs no converting any more. What is
 * refused had such a byte.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "message/downgrade.h"

/* Shorter ones cannot have too many parts. */
#define MANY_PARTS_BYTES 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* abort(), but with a name in the trace. */
static void must(bool holds)
{
    if (!holds)
        abort();
}

static struct body *body_of(const uint8_t *data, size_t size)
{
    char *copy = mem_alloc(size + 1);
    if (size > 0)
        memcpy(copy, data, size);
    return body_from_memory(copy, size);
}

static bool is_8bit(struct body *body)
{
    bool is = false;
    must(body_is_8bit(body, &is) == ERR_NONE);
    return is;
}

static bool is_same(const struct body *a, const struct body *b)
{
    size_t len = (size_t)body_size(a);
    size_t got;
    if (body_size(b) != len)
        return false;
    char *bytes = mem_alloc(2 * len + 1);
    must(body_read(a, 0, bytes, len, &got) == ERR_NONE && got == len);
    must(body_read(b, 0, bytes + len, len, &got) == ERR_NONE && got == len);
    bool same = memcmp(bytes, bytes + len, len) == 0;
    mem_free(bytes);
    return same;
}

static void must_give(const struct body *in, const struct body *wanted)
{
    struct body *out = NULL;
    must(message_to_7bit(in, &out, NULL) == ERR_NONE);
    must(is_same(out, wanted));
    body_unref(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct body *in = body_of(data, size);
    struct body *out = NULL;
    struct err err = {.text = ""};
    enum err_code rc = message_to_7bit(in, &out, &err);
    if (rc == ERR_NONE) {
        must(!is_8bit(out));
        must_give(in, out);
        must_give(out, out);
    } else {
        must(rc == ERR_INVALID && err.code == rc && err.text[0] != '\0');
        must(is_8bit(in) || size > MANY_PARTS_BYTES);
        must(out == NULL);
    }
    body_unref(out);
    body_unref(in);
    return 0;
}
