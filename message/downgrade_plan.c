#include "message/downgrade_plan.h"

#include "core/mem.h"
#include "message/lines.h"
#include "message/mime_head.h"
#include "message/transfer.h"

#define LINE_MAX_7BIT 998

#define ENCODING(name) STR("Content-Transfer-Encoding: " name "\r\n")
#define VERSION        "MIME-Version: 1.0\r\n"
#define UNKNOWN_TEXT   "Content-Type: text/plain; charset=unknown-8bit\r\n"

/* An open multipart, or an open message in a message. */
struct level {
    size_t boundary_len; /* 0: a message */
    char boundary[MIME_BOUNDARY_MAX];
    bool is_digest;
    size_t version_edit; /* to be done if something in it is encoded; 0: no,
                            else its index + 1 */
};

/* What is being read: the content of a part, or what surrounds parts. */
struct part {
    const char *refusal; /* for bytes over 0x7f; NULL: they can be encoded */
    bool is_message;     /* it has the header of a message */
    bool is_text;
    uint64_t head_end; /* of the empty line */
    uint64_t content_at;
    size_t unsafe;
    size_t high;
    size_t equals;
    size_t bare_breaks;
    size_t longest; /* line, with its end */
    size_t line;    /* of that line so far */
    bool has_nul;
};

struct planner {
    struct downgrade_plan *plan;
    struct level levels[DOWNGRADE_DEPTH_MAX];
    size_t depth;
    bool in_head;
    struct mime_head head;
    struct part part;
    size_t last_end_len; /* of the line before */
    struct lines lines;
};

static enum err_code refuse(const char *where, struct err *err)
{
    return err_set(err, ERR_INVALID,
                   "the message cannot be converted to 7 bits: it has bytes "
                   "over 0x7f %s",
                   where);
}

/* ---- edits ---- */

static enum err_code add_edit(struct planner *p, enum downgrade_action action,
                              uint64_t at, uint64_t len, struct str text,
                              struct err *err)
{
    struct downgrade_plan *plan = p->plan;
    if (plan->count == DOWNGRADE_EDITS_MAX)
        return refuse("in too many parts", err);
    if ((plan->count & (plan->count - 1)) == 0)
        plan->edits =
            mem_realloc(plan->edits, (plan->count == 0 ? 1 : plan->count * 2) *
                                         sizeof(plan->edits[0]));
    plan->edits[plan->count++] = (struct downgrade_edit){
        .action = action, .at = at, .len = len, .text = text};
    return ERR_NONE;
}

static enum err_code replace_encoding(struct planner *p, struct str text,
                                      struct err *err)
{
    return add_edit(p, DOWNGRADE_REPLACE, p->head.encoding_at,
                    p->head.encoding_len, text, err);
}

static bool is_wider(enum mime_encoding encoding)
{
    return encoding == MIME_ENCODING_8BIT || encoding == MIME_ENCODING_BINARY;
}

/* ---- the end of a part ---- */

static enum transfer choose(const struct part *part, uint64_t len)
{
    if (!part->is_text || part->bare_breaks > 0)
        return TRANSFER_BASE64;
    return transfer_shorter((size_t)len, part->unsafe + part->equals);
}

/* Those around it are MIME from now on, if they did not say so already. */
static void turn_on_versions(struct planner *p)
{
    for (size_t i = 0; i < p->depth; i++)
        if (p->levels[i].version_edit > 0)
            p->plan->edits[p->levels[i].version_edit - 1].action =
                DOWNGRADE_REPLACE;
}

static enum err_code add_field(struct planner *p, struct str field,
                               struct err *err)
{
    return add_edit(p, DOWNGRADE_REPLACE, p->part.head_end, 0, field, err);
}

static enum err_code encode(struct planner *p, uint64_t end, struct err *err)
{
    const struct mime_head *h = &p->head;
    const struct part *part = &p->part;
    uint64_t len = end - part->content_at;
    bool is_qp = choose(part, len) == TRANSFER_QUOTED_PRINTABLE;
    struct str encoding =
        is_qp ? ENCODING("quoted-printable") : ENCODING("base64");
    bool has_encoding = h->encoding != MIME_ENCODING_NONE;
    enum err_code rc = ERR_NONE;
    turn_on_versions(p);
    if (has_encoding)
        rc = replace_encoding(p, encoding, err);
    if (rc == ERR_NONE && part->is_message && h->count[MIME_FIELD_VERSION] == 0)
        rc =
            add_field(p,
                      h->count[MIME_FIELD_TYPE] == 0 ? STR(VERSION UNKNOWN_TEXT)
                                                     : STR(VERSION),
                      err);
    if (rc == ERR_NONE && !has_encoding)
        rc = add_field(p, encoding, err);
    if (rc != ERR_NONE)
        return rc;
    return add_edit(p, is_qp ? DOWNGRADE_QUOTED_PRINTABLE : DOWNGRADE_BASE64,
                    part->content_at, len, STR(""), err);
}

static enum err_code end_content(struct planner *p, uint64_t end,
                                 struct err *err)
{
    const struct part *part = &p->part;
    bool is_wide = is_wider(p->head.encoding);
    if (part->refusal != NULL || (part->high == 0 && !is_wide))
        return ERR_NONE;
    if (end < part->content_at)
        end = part->content_at;
    if (part->high == 0 && part->bare_breaks == 0 && !part->has_nul &&
        part->longest <= LINE_MAX_7BIT + 2)
        return replace_encoding(p, ENCODING("7bit"), err);
    return encode(p, end, err);
}

/* ---- the end of a header ---- */

static void begin_head(struct planner *p, bool is_message)
{
    p->in_head = true;
    mime_head_begin(&p->head);
    p->part = (struct part){.is_message = is_message};
}

enum kind {
    KIND_TEXT,
    KIND_BYTES,
    KIND_MULTIPART,
    KIND_MESSAGE,
    KIND_FIXED, /* 7bit, whatever it holds */
};

/* message/global and those that came with it may be encoded as any part. */
static enum kind kind_of_message(const struct mime_type *type)
{
    if (mime_type_is(type, STR("message"), STR("rfc822")) ||
        mime_type_is(type, STR("message"), STR("news")))
        return KIND_MESSAGE;
    if (str_starts_nocase(type->subtype, STR("global")))
        return KIND_TEXT;
    return KIND_FIXED;
}

static enum kind kind_of(const struct planner *p)
{
    const struct mime_head *h = &p->head;
    bool is_in_digest = p->depth > 0 && p->levels[p->depth - 1].is_digest;
    if (!h->has_type)
        return is_in_digest && h->count[MIME_FIELD_TYPE] == 0 ? KIND_MESSAGE
                                                              : KIND_TEXT;
    if (str_equal_nocase(h->type.type, STR("multipart")))
        return KIND_MULTIPART;
    if (str_equal_nocase(h->type.type, STR("message")))
        return kind_of_message(&h->type);
    return str_equal_nocase(h->type.type, STR("text")) ? KIND_TEXT : KIND_BYTES;
}

/* Why nothing in the content can be encoded, or NULL. */
static const char *refusal_for(const struct planner *p, enum kind kind)
{
    const struct mime_head *h = &p->head;
    if (h->is_malformed)
        return "under a header with a line that is no field, or with a field "
               "twice that says how to read what follows";
    if (h->encoding == MIME_ENCODING_ENCODED)
        return "in a part that is said to be encoded already";
    if (h->encoding == MIME_ENCODING_UNKNOWN)
        return "in a part whose Content-Transfer-Encoding is not known";
    if (kind == KIND_TEXT || kind == KIND_BYTES)
        return NULL;
    if (kind == KIND_FIXED)
        return "in a part of a message type that has to be 7bit";
    if (p->depth == DOWNGRADE_DEPTH_MAX)
        return "in parts that are nested too deeply";
    if (kind == KIND_MESSAGE)
        return NULL;
    if (mime_type_is(&h->type, STR("multipart"), STR("signed")))
        return "in a multipart/signed, which must not be altered";
    if (h->type.boundary_len == 0)
        return "in a multipart without a usable boundary";
    return NULL;
}

/* Goes into a multipart or a message. */
static enum err_code enter(struct planner *p, enum kind kind, struct err *err)
{
    const struct mime_head *h = &p->head;
    struct level *level = &p->levels[p->depth];
    enum err_code rc = ERR_NONE;
    level->boundary_len = 0;
    level->is_digest = false;
    level->version_edit = 0;
    if (kind == KIND_MULTIPART) {
        level->boundary_len = h->type.boundary_len;
        memcpy(level->boundary, h->type.boundary, level->boundary_len);
        level->is_digest = str_equal_nocase(h->type.subtype, STR("digest"));
    }
    if (p->part.is_message && h->count[MIME_FIELD_VERSION] == 0) {
        rc = add_edit(p, DOWNGRADE_NOTHING, p->part.head_end, 0, STR(VERSION),
                      err);
        level->version_edit = p->plan->count;
    }
    p->depth++;
    if (kind == KIND_MULTIPART)
        p->part.refusal = "before the first part of a multipart";
    else
        begin_head(p, true);
    return rc;
}

static enum err_code end_head(struct planner *p, uint64_t head_end,
                              uint64_t content_at, struct err *err)
{
    struct part *part = &p->part;
    enum err_code rc = ERR_NONE;
    mime_head_end(&p->head, head_end);
    p->in_head = false;
    enum kind kind = kind_of(p);
    part->head_end = head_end;
    part->content_at = content_at;
    part->is_text = kind == KIND_TEXT;
    part->refusal = refusal_for(p, kind);
    if (kind == KIND_TEXT || kind == KIND_BYTES || p->head.is_malformed)
        return ERR_NONE;
    if (is_wider(p->head.encoding))
        rc = replace_encoding(p, ENCODING("7bit"), err);
    if (rc == ERR_NONE && part->refusal == NULL)
        rc = enter(p, kind, err);
    return rc;
}

/* ---- lines ---- */

static bool is_boundary(const struct level *level, struct str line,
                        bool *closes)
{
    struct str boundary = str_of(level->boundary, level->boundary_len);
    line = str_after(line, 2);
    if (boundary.len == 0 || !str_starts(line, boundary))
        return false;
    line = str_after(line, boundary.len);
    *closes = str_starts(line, STR("--"));
    return str_trim(str_after(line, *closes ? 2 : 0)).len == 0;
}

/* Whether the line ends what is being read, at which level. */
static bool find_boundary(const struct planner *p, const struct line *line,
                          size_t *index, bool *closes)
{
    if (!line->starts || !line->ends || !str_starts(line->bytes, STR("--")))
        return false;
    for (size_t i = p->depth; i > 0; i--)
        if (is_boundary(&p->levels[i - 1], line->bytes, closes)) {
            *index = i - 1;
            return true;
        }
    return false;
}

/* What is being read goes up to end; what comes next begins at `at`. */
static enum err_code end_part(struct planner *p, uint64_t end, uint64_t at,
                              struct err *err)
{
    if (p->in_head) {
        enum err_code rc = end_head(p, at, at, err);
        if (rc != ERR_NONE)
            return rc;
    }
    return end_content(p, end, err);
}

static enum err_code take_boundary(struct planner *p, const struct line *line,
                                   size_t index, bool closes, struct err *err)
{
    enum err_code rc = end_part(p, line->at - p->last_end_len, line->at, err);
    if (closes) {
        p->depth = index;
        p->in_head = false;
        p->part =
            (struct part){.refusal = "behind the last part of a multipart"};
    } else {
        p->depth = index + 1;
        begin_head(p, false);
    }
    return rc;
}

static enum err_code take_head(struct planner *p, const struct line *line,
                               struct err *err)
{
    struct transfer_facts facts;
    transfer_look(line->bytes, &facts);
    if (facts.high > 0)
        return refuse("in a header, which takes a relay with SMTPUTF8", err);
    if (line->starts && line->end_len == line->bytes.len)
        return end_head(p, line->at, line->at + line->bytes.len, err);
    mime_head_line(&p->head, line);
    return ERR_NONE;
}

static size_t count(struct str s, char c)
{
    size_t found = 0;
    for (size_t i = 0; i < s.len; i++)
        found += s.data[i] == c;
    return found;
}

static enum err_code take_content(struct planner *p, const struct line *line,
                                  struct err *err)
{
    struct part *part = &p->part;
    struct transfer_facts facts;
    transfer_look(line->bytes, &facts);
    if (part->refusal != NULL)
        return facts.high > 0 ? refuse(part->refusal, err) : ERR_NONE;
    part->unsafe += facts.unsafe;
    part->high += facts.high;
    part->equals += count(line->bytes, '=');
    part->bare_breaks += facts.bare_breaks;
    part->line = (line->starts ? 0 : part->line) + line->bytes.len;
    if (part->line > part->longest)
        part->longest = part->line;
    part->has_nul = part->has_nul ||
                    memchr(line->bytes.data, '\0', line->bytes.len) != NULL;
    return ERR_NONE;
}

static enum err_code take(struct planner *p, const struct line *line,
                          struct err *err)
{
    size_t index;
    bool closes;
    if (find_boundary(p, line, &index, &closes))
        return take_boundary(p, line, index, closes, err);
    return p->in_head ? take_head(p, line, err) : take_content(p, line, err);
}

static enum err_code read_all(struct planner *p, struct err *err)
{
    struct line line;
    enum err_code rc = lines_next(&p->lines, &line, err);
    while (rc == ERR_NONE && line.bytes.len > 0) {
        rc = take(p, &line, err);
        p->last_end_len = line.end_len;
        if (rc == ERR_NONE)
            rc = lines_next(&p->lines, &line, err);
    }
    uint64_t end = body_size(p->lines.body);
    return rc == ERR_NONE ? end_part(p, end, end, err) : rc;
}

enum err_code downgrade_plan_make(struct downgrade_plan *plan,
                                  const struct body *in, struct err *err)
{
    struct planner *p;
    MEM_NEW(p);
    *plan = (struct downgrade_plan){.edits = NULL};
    p->plan = plan;
    lines_begin(&p->lines, in);
    mime_head_init(&p->head);
    begin_head(p, true);
    enum err_code rc = read_all(p, err);
    mime_head_fini(&p->head);
    mem_free(p);
    return rc;
}

void downgrade_plan_fini(struct downgrade_plan *plan)
{
    mem_free(plan->edits);
    plan->edits = NULL;
    plan->count = 0;
}
