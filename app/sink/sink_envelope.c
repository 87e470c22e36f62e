#include "app/sink/sink_envelope.h"

#include <stdint.h>

#include "core/mem.h"

/* More than any command line, so that buf never overflows here. */
#define TEXT_MAX_BYTES SIZE_MAX

void sink_envelope_init(struct sink_envelope *e)
{
    *e = (struct sink_envelope){.open = false};
    buf_init(&e->text, TEXT_MAX_BYTES);
}

void sink_envelope_fini(struct sink_envelope *e)
{
    buf_fini(&e->text);
    mem_free(e->recipients);
    e->recipients = NULL;
    e->count = e->capacity = 0;
}

static struct sink_place put(struct sink_envelope *e, struct str s)
{
    struct sink_place place = {.at = e->text.len, .len = s.len};
    buf_add_str(&e->text, s);
    return place;
}

void sink_envelope_clear(struct sink_envelope *e)
{
    e->open = false;
    e->count = 0;
    e->sender = (struct sink_place){0, 0};
    buf_truncate(&e->text, 0);
}

void sink_envelope_begin(struct sink_envelope *e, struct str sender)
{
    sink_envelope_clear(e);
    e->open = true;
    e->sender = put(e, sender);
}

void sink_envelope_add(struct sink_envelope *e, struct str recipient)
{
    if (e->count == e->capacity) {
        e->capacity = e->capacity == 0 ? 4 : e->capacity * 2;
        e->recipients =
            mem_realloc(e->recipients, e->capacity * sizeof(*e->recipients));
    }
    e->recipients[e->count++] = put(e, recipient);
}

static struct str view(const struct sink_envelope *e, struct sink_place place)
{
    if (place.len == 0)
        return (struct str){NULL, 0};
    return str_of(e->text.data + place.at, place.len);
}

struct str sink_envelope_sender(const struct sink_envelope *e)
{
    return view(e, e->sender);
}

struct str sink_envelope_recipient(const struct sink_envelope *e, size_t i)
{
    return i < e->count ? view(e, e->recipients[i]) : (struct str){NULL, 0};
}
