#include "app/sink/sink_line.h"

#include <string.h>

#include "core/mem.h"
#include "core/panic.h"

void sink_line_init(struct sink_line *l)
{
    *l = (struct sink_line){.bytes = 0};
    STAILQ_INIT(&l->pieces);
}

static void drop_first(struct sink_line *l)
{
    struct sink_piece *piece = STAILQ_FIRST(&l->pieces);
    STAILQ_REMOVE_HEAD(&l->pieces, next);
    mem_free(piece);
}

void sink_line_fini(struct sink_line *l)
{
    while (!STAILQ_EMPTY(&l->pieces))
        drop_first(l);
    l->bytes = 0;
}

void sink_line_put(struct sink_line *l, struct str data, int64_t due_ns)
{
    if (data.len == 0)
        return;
    struct sink_piece *piece = mem_alloc(sizeof(*piece) + data.len);
    piece->due_ns = due_ns;
    piece->at = 0;
    piece->len = data.len;
    memcpy(piece->data, data.data, data.len);
    STAILQ_INSERT_TAIL(&l->pieces, piece, next);
    l->bytes += data.len;
}

void sink_line_end(struct sink_line *l, int64_t due_ns)
{
    if (l->ended)
        return;
    l->ended = true;
    l->end_ns = due_ns;
}

struct str sink_line_ready(const struct sink_line *l, int64_t now_ns)
{
    const struct sink_piece *piece = STAILQ_FIRST(&l->pieces);
    if (piece == NULL || piece->due_ns > now_ns)
        return (struct str){NULL, 0};
    return str_of(piece->data + piece->at, piece->len - piece->at);
}

void sink_line_take(struct sink_line *l, size_t len)
{
    struct sink_piece *piece = STAILQ_FIRST(&l->pieces);
    if (len == 0)
        return;
    PANIC_IF(piece == NULL || len > piece->len - piece->at);
    piece->at += len;
    l->bytes -= len;
    if (piece->at == piece->len)
        drop_first(l);
}

bool sink_line_is_over(const struct sink_line *l, int64_t now_ns)
{
    return l->bytes == 0 && l->ended && l->end_ns <= now_ns;
}

int64_t sink_line_next_ns(const struct sink_line *l)
{
    const struct sink_piece *piece = STAILQ_FIRST(&l->pieces);
    if (piece != NULL)
        return piece->due_ns;
    return l->ended ? l->end_ns : INT64_MAX;
}
