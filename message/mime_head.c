#include "message/mime_head.h"

#include "message/chars.h"

void mime_head_init(struct mime_head *h)
{
    buf_init(&h->value, MIME_FIELD_MAX);
    buf_init(&h->type_value, MIME_FIELD_MAX);
    mime_head_begin(h);
}

void mime_head_fini(struct mime_head *h)
{
    buf_fini(&h->value);
    buf_fini(&h->type_value);
}

void mime_head_begin(struct mime_head *h)
{
    memset(h->count, 0, sizeof(h->count));
    h->has_field = false;
    h->is_malformed = false;
    h->has_type = false;
    h->encoding = MIME_ENCODING_NONE;
    h->encoding_at = 0;
    h->encoding_len = 0;
    h->field = MIME_FIELD_OTHER;
    h->field_at = 0;
    buf_truncate(&h->value, 0);
    buf_truncate(&h->type_value, 0);
}

static void end_field(struct mime_head *h, uint64_t at)
{
    struct str value = buf_str(&h->value);
    if (h->field == MIME_FIELD_ENCODING) {
        h->encoding = buf_ok(&h->value) ? mime_encoding_parse(value)
                                        : MIME_ENCODING_UNKNOWN;
        h->encoding_at = h->field_at;
        h->encoding_len = at - h->field_at;
    } else if (h->field == MIME_FIELD_TYPE) {
        buf_truncate(&h->type_value, 0);
        buf_add_str(&h->type_value, value);
        h->is_malformed = h->is_malformed || !buf_ok(&h->value);
        h->has_type = mime_type_parse(buf_str(&h->type_value), &h->type);
    }
    h->field = MIME_FIELD_OTHER;
    buf_truncate(&h->value, 0);
}

static enum mime_field field_of(struct str name)
{
    if (str_equal_nocase(name, STR("Content-Type")))
        return MIME_FIELD_TYPE;
    if (str_equal_nocase(name, STR("Content-Transfer-Encoding")))
        return MIME_FIELD_ENCODING;
    if (str_equal_nocase(name, STR("MIME-Version")))
        return MIME_FIELD_VERSION;
    return MIME_FIELD_OTHER;
}

/* Length of the name before the colon, or 0: that is no field. */
static size_t name_len(struct str line)
{
    size_t len = 0;
    while (len < line.len && chars_is_ftext(line.data[len]))
        len++;
    size_t colon = len;
    while (colon < line.len &&
           (line.data[colon] == ' ' || line.data[colon] == '\t'))
        colon++;
    return colon < line.len && line.data[colon] == ':' ? len : 0;
}

static void begin_field(struct mime_head *h, const struct line *line)
{
    size_t len = name_len(line->bytes);
    if (len == 0) {
        h->is_malformed = true;
        return;
    }
    h->field = field_of(str_of(line->bytes.data, len));
    h->field_at = line->at;
    h->has_field = true;
    h->count[h->field]++;
    if (h->field != MIME_FIELD_OTHER) {
        size_t colon = str_find(line->bytes, ':');
        buf_add_str(&h->value, str_after(line->bytes, colon + 1));
        h->is_malformed = h->is_malformed || h->count[h->field] > 1;
    }
}

void mime_head_line(struct mime_head *h, const struct line *line)
{
    char first = line->bytes.data[0];
    bool goes_on = !line->starts || first == ' ' || first == '\t';
    if (!goes_on) {
        end_field(h, line->at);
        begin_field(h, line);
    } else if (h->field != MIME_FIELD_OTHER) {
        buf_add_str(&h->value, line->bytes);
    } else if (line->starts && !h->has_field) {
        h->is_malformed = true; /* goes on from nothing */
    }
}

void mime_head_end(struct mime_head *h, uint64_t at)
{
    end_field(h, at);
}
