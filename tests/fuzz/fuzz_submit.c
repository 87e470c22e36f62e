/*
 * From the bytes of a stream to the bytes of mails: framing, JSON, draft,
 * compose. What comes out must be a mail that no field of the request can
 * have written a header, a line or an address into.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/utf8.h"
#include "message/compose.h"
#include "producer/framing.h"
#include "producer/submission.h"

#define FRAME_MAX_BYTES   65536
#define MESSAGE_MAX_BYTES ((size_t)1 << 20)
#define VALUES_MAX        2000
#define RECIPIENTS_MAX    50
#define LINE_MAX_BYTES    998

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* abort(), but with a name in the trace. */
static void must(bool holds)
{
    if (!holds)
        abort();
}

/* ---- what holds for every mail ---- */

static const char *const own_names[] = {
    "Date",
    "From",
    "To",
    "Cc",
    "Reply-To",
    "Subject",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-ID",
    "Content-Transfer-Encoding",
    "Content-Disposition",
};

#define OWN_NAMES (sizeof(own_names) / sizeof(own_names[0]))

static void check_bytes(struct str message)
{
    size_t line = 0;
    must(message.len >= 2);
    must(memcmp(message.data + message.len - 2, "\r\n", 2) == 0);
    for (size_t i = 0; i < message.len; i++) {
        unsigned char c = (unsigned char)message.data[i];
        must(c > 0 && c < 0x80);
        if (c == '\r') {
            must(i + 1 < message.len && message.data[i + 1] == '\n');
            must(line <= LINE_MAX_BYTES);
        } else if (c == '\n') {
            must(i > 0 && message.data[i - 1] == '\r');
            line = 0;
        } else {
            line++;
        }
    }
}

static bool is_of_draft(const struct draft *draft, struct str name)
{
    for (size_t i = 0; i < draft->header_count; i++)
        if (str_equal(draft->headers[i].name, name))
            return true;
    return false;
}

/* Each header once, and only those that the draft or the mail asks for. */
static void check_headers(const struct draft *draft, struct str message)
{
    bool seen[OWN_NAMES] = {false};
    size_t extra = 0;
    for (;;) {
        size_t end = str_find(message, '\r');
        struct str line = str_of(message.data, end);
        must(message.len >= end + 2);
        message = str_after(message, end + 2);
        if (line.len == 0)
            break;
        if (line.data[0] == ' ' || line.data[0] == '\t')
            continue;
        struct str name = str_of(line.data, str_find(line, ':'));
        must(name.len > 0 && name.len < line.len);
        size_t i = 0;
        while (i < OWN_NAMES && !str_equal(name, str_from(own_names[i])))
            i++;
        if (i < OWN_NAMES) {
            must(!seen[i]);
            seen[i] = true;
        } else {
            must(is_of_draft(draft, name));
            must(!str_equal_nocase(name, STR("Bcc")));
            extra++;
        }
    }
    must(extra == draft->header_count);
    must(seen[0] && seen[1] && seen[6] && seen[7]);
}

static void check_address(const char *address)
{
    must(strchr(address, '@') != NULL);
    for (; *address != '\0'; address++)
        must(*address > ' ' && *address < 0x7f && *address != '<' &&
             *address != '>');
}

static void check_envelope(const struct envelope *envelope)
{
    must(envelope->count >= 1 && envelope->count <= RECIPIENTS_MAX);
    check_address(envelope->sender);
    for (size_t i = 0; i < envelope->count; i++)
        check_address(envelope->recipients[i]);
}

static void check_refusal(const struct refusal *refusal)
{
    must(refusal->word > REFUSAL_NONE && refusal->word < REFUSAL_COUNT);
    must(refusal->text[0] != '\0');
    must(utf8_is_valid(str_from(refusal->text)));
    must(utf8_is_valid(str_from(refusal->field)));
}

/* ---- one request ---- */

static void compose_draft(const struct draft *draft)
{
    const struct compose_options options = {
        .date_ms = 1763640000000,
        .id = "01hqzzzzzzzzzzzzzzzzzzzzzz",
        .hostname = "mail.example.org",
        .max_recipients = RECIPIENTS_MAX,
    };
    struct envelope envelope;
    struct problem problem;
    struct buf out;
    envelope_init(&envelope);
    buf_init(&out, MESSAGE_MAX_BYTES);
    if (compose(draft, &options, &envelope, &out, &problem) == PROBLEM_NONE) {
        check_bytes(buf_str(&out));
        check_headers(draft, buf_str(&out));
        check_envelope(&envelope);
    } else {
        struct refusal refusal;
        (void)refusal_from_problem(&refusal, &problem);
        check_refusal(&refusal);
    }
    buf_fini(&out);
    envelope_fini(&envelope);
}

static void run_request(struct arena *arena, struct str text)
{
    static const char *const routes[] = {"default", "bulk"};
    const struct submission_options options = {
        .routes = routes, .route_count = 2, .now_ms = 1763640000000};
    struct refusal refusal = {.word = REFUSAL_NONE};
    struct submission submission;
    struct json_value *value = NULL;
    arena_reset(arena);
    if (!json_parse(text, VALUES_MAX, arena, &value, &refusal)) {
        check_refusal(&refusal);
        return;
    }
    must(utf8_is_valid(text));
    if (value->type != JSON_OBJECT)
        return;
    if (submission_decode(value, &options, arena, &submission, &refusal))
        compose_draft(&submission.draft);
    else
        check_refusal(&refusal);
}

/* ---- framing: the same frames however the bytes are cut ---- */

struct frames {
    struct framing framing;
    size_t at;
    size_t count;
    size_t bytes;
    enum framing_result last;
};

static void take(struct frames *f, struct str input, struct arena *arena)
{
    for (;;) {
        struct str frame = {NULL, 0};
        size_t used;
        f->last =
            framing_next(&f->framing, str_after(input, f->at), &frame, &used);
        f->at += used;
        must(f->at <= input.len);
        if (f->last != FRAMING_FRAME)
            return;
        must(frame.len > 0 && frame.len <= FRAME_MAX_BYTES);
        f->count++;
        f->bytes += frame.len;
        if (arena != NULL)
            run_request(arena, frame);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = str_of((const char *)data, size);
    struct frames whole = {.at = 0};
    struct frames cut = {.at = 0};
    struct arena arena;
    arena_init(&arena);
    framing_init(&whole.framing, FRAME_MAX_BYTES);
    framing_init(&cut.framing, FRAME_MAX_BYTES);
    take(&whole, input, &arena);
    take(&cut, str_of(input.data, size / 3), NULL);
    if (cut.last == FRAMING_MORE)
        take(&cut, input, NULL);
    must(cut.count == whole.count && cut.bytes == whole.bytes);
    must(cut.last == whole.last);
    arena_fini(&arena);
    return 0;
}
