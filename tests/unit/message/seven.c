#include "tests/unit/message/seven.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/mem.h"
#include "message/downgrade.h"

static struct body *body_of(struct str message)
{
    char *data = mem_alloc(message.len + 1);
    if (message.len > 0)
        memcpy(data, message.data, message.len);
    return body_from_memory(data, message.len);
}

static void read_all(const struct body *body, struct buf *out)
{
    size_t len = (size_t)body_size(body);
    size_t got;
    char *room = buf_reserve(out, len + 1);
    assert_non_null(room);
    assert_int_equal(body_read(body, 0, room, len, &got), ERR_NONE);
    assert_int_equal(got, len);
    out->len += len;
}

static void convert_once(struct str message, struct buf *out)
{
    struct body *in = body_of(message);
    struct body *seven = NULL;
    struct err err = {.text = ""};
    bool is_8bit = true;
    if (message_to_7bit(in, &seven, &err) != ERR_NONE)
        fail_msg("%s: \"%.*s\"", err.text, STR_ARG(message));
    assert_int_equal(body_is_8bit(seven, &is_8bit), ERR_NONE);
    assert_false(is_8bit);
    read_all(seven, out);
    body_unref(seven);
    body_unref(in);
}

static void assert_gives(struct str message, struct str wanted)
{
    struct buf out;
    buf_init(&out, 1 << 26);
    convert_once(message, &out);
    assert_true(str_equal(buf_str(&out), wanted));
    buf_fini(&out);
}

void seven_convert(struct str message, struct buf *out)
{
    convert_once(message, out);
    assert_gives(message, buf_str(out));
    assert_gives(buf_str(out), buf_str(out));
}

enum err_code seven_refuse(struct str message, struct err *err)
{
    struct body *in = body_of(message);
    struct body *seven = NULL;
    enum err_code rc = message_to_7bit(in, &seven, err);
    assert_null(seven);
    body_unref(in);
    return rc;
}

void seven_check_lines(struct str message, size_t longest)
{
    while (message.len > 0) {
        size_t len = str_find(message, '\n');
        if (len > longest + 1)
            fail_msg("a line of %zu: \"%.*s\"", len, (int)len, message.data);
        message = str_after(message, len + 1);
    }
}
