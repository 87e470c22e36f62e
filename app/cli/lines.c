#include "app/cli/lines.h"

#include <errno.h>
#include <unistd.h>

#define READ_BYTES 65536U

void lines_init(struct lines *l, int fd, size_t max_bytes)
{
    *l = (struct lines){.fd = fd, .max_bytes = max_bytes};
    buf_init(&l->in, max_bytes + READ_BYTES);
}

void lines_fini(struct lines *l)
{
    buf_fini(&l->in);
}

static void take(struct lines *l, size_t len)
{
    l->taken += len;
    l->scanned = 0;
}

/* The rest of a line that was too long. */
static bool skip(struct lines *l)
{
    struct str rest = str_after(buf_str(&l->in), l->taken);
    size_t end = str_find(rest, '\n');
    l->skipping = end == rest.len;
    take(l, l->skipping ? end : end + 1);
    return !l->skipping;
}

static enum lines_result unfinished(struct lines *l, struct str rest,
                                    struct str *line)
{
    if (rest.len > l->max_bytes) {
        l->number++;
        l->skipping = true;
        take(l, rest.len);
        return LINES_TOO_LONG;
    }
    if (!l->ended)
        return LINES_NEED_MORE;
    if (rest.len == 0)
        return LINES_END;
    l->number++;
    take(l, rest.len);
    *line = rest;
    return LINES_READY;
}

enum lines_result lines_next(struct lines *l, struct str *line)
{
    if (l->skipping && !skip(l))
        return l->ended ? LINES_END : LINES_NEED_MORE;
    struct str rest = str_after(buf_str(&l->in), l->taken);
    l->scanned += str_find(str_after(rest, l->scanned), '\n');
    if (l->scanned >= rest.len)
        return unfinished(l, rest, line);
    struct str found = str_of(rest.data, l->scanned);
    l->number++;
    take(l, found.len + 1);
    if (found.len > l->max_bytes)
        return LINES_TOO_LONG;
    *line = found;
    return LINES_READY;
}

enum err_code lines_fill(struct lines *l, struct err *err)
{
    buf_consume(&l->in, l->taken);
    l->taken = 0;
    char *room = buf_reserve(&l->in, READ_BYTES);
    if (room == NULL)
        return err_set(err, ERR_TOO_LARGE, "no memory for the next line");
    ssize_t n = read(l->fd, room, READ_BYTES);
    if (n > 0)
        l->in.len += (size_t)n;
    else if (n == 0)
        l->ended = true;
    else if (errno != EINTR && errno != EAGAIN)
        return err_system(err, errno, "cannot read the jobs");
    return ERR_NONE;
}
