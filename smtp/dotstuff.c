#include "smtp/dotstuff.h"

#define STEP_MAX 4 /* CRLF for a CR held back, and two dots */

void dotstuff_init(struct dotstuff *d)
{
    d->line_start = true;
    d->after_cr = false;
}

static void end_line(struct dotstuff *d, struct buf *out)
{
    buf_add(out, "\r\n", 2);
    d->line_start = true;
    d->after_cr = false;
}

/* Bytes up to the next CR or LF. */
static size_t run_of(struct str input, size_t max)
{
    size_t len = input.len < max ? input.len : max;
    const char *cr = memchr(input.data, '\r', len);
    if (cr != NULL)
        len = (size_t)(cr - input.data);
    const char *lf = memchr(input.data, '\n', len);
    return lf == NULL ? len : (size_t)(lf - input.data);
}

static size_t add_run(struct dotstuff *d, struct str input, struct buf *out,
                      size_t limit)
{
    if (d->line_start && input.data[0] == '.')
        buf_add_char(out, '.');
    size_t run = run_of(input, limit - out->len);
    buf_add(out, input.data, run);
    d->line_start = false;
    return run;
}

void dotstuff_add(struct dotstuff *d, struct str *input, struct buf *out,
                  size_t limit)
{
    while (input->len > 0 && out->len + STEP_MAX <= limit) {
        char c = input->data[0];
        size_t taken = 1;
        if (d->after_cr) {
            end_line(d, out);
            taken = c == '\n' ? 1 : 0;
        } else if (c == '\r') {
            d->after_cr = true;
        } else if (c == '\n') {
            end_line(d, out);
        } else {
            taken = add_run(d, *input, out, limit);
        }
        *input = str_after(*input, taken);
    }
}

void dotstuff_end(struct dotstuff *d, struct buf *out)
{
    if (d->after_cr || !d->line_start)
        end_line(d, out);
    buf_add(out, ".\r\n", 3);
}
