#include "core/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/timetext.h"
#include "core/utf8.h"

#define LINE_MAX_BYTES  4096
#define LONGEST_ESCAPED 12 /* three bytes as \\xHH */

static atomic_int log_fd = STDERR_FILENO;
static atomic_int log_level = LOG_LEVEL_INFO;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

struct line {
    char text[LINE_MAX_BYTES];
    size_t len;
};

void log_setup(int fd, enum log_level level)
{
    atomic_store(&log_fd, fd);
    atomic_store(&log_level, (int)level);
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

bool log_level_parse(struct str word, enum log_level *level)
{
    for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
        if (str_equal(word, str_from(level_names[i]))) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* The last byte of the line is kept for its newline. */
static void add(struct line *line, const char *data, size_t len)
{
    size_t room = sizeof(line->text) - 1 - line->len;
    if (len > room)
        len = room;
    memcpy(line->text + line->len, data, len);
    line->len += len;
}

static void add_text(struct line *line, const char *text)
{
    add(line, text, strlen(text));
}

static bool is_plain(struct str s)
{
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (c <= ' ' || c > '~' || c == '"' || c == '\\' || c == '=')
            return false;
    }
    return true;
}

/*
 * UTF-8 goes through as it is; quotes, backslashes, what some reader takes for
 * a control or the end of a line, and bytes that are no UTF-8 do not.
 */
static bool goes_through(uint32_t c)
{
    return c >= 0xa0 ? c != 0x2028 && c != 0x2029
                     : c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

static void add_escaped(struct line *line, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    if (c == '"' || c == '\\')
        add(line, (char[]){'\\', (char)c}, 2);
    else if (c == '\n')
        add(line, "\\n", 2);
    else if (c == '\r')
        add(line, "\\r", 2);
    else
        add(line, (char[]){'\\', 'x', hex[c >> 4], hex[c & 15]}, 4);
}

/* Ends with its quote also when the line is full. */
static void add_quoted(struct line *line, struct str s)
{
    size_t last = sizeof(line->text) - 1 - LONGEST_ESCAPED - 1;
    add(line, "\"", 1);
    for (size_t i = 0; i < s.len && line->len <= last;) {
        uint32_t c;
        size_t len = utf8_next(s, i, &c);
        if (len > 0 && goes_through(c)) {
            add(line, &s.data[i], len);
        } else {
            len = len > 0 ? len : 1;
            for (size_t k = 0; k < len; k++)
                add_escaped(line, (unsigned char)s.data[i + k]);
        }
        i += len;
    }
    add(line, "\"", 1);
}

static void add_field(struct line *line, const struct log_field *field)
{
    add(line, " ", 1);
    add_text(line, field->key);
    add(line, "=", 1);
    if (field->is_number) {
        char digits[24];
        (void)snprintf(digits, sizeof(digits), "%lld",
                       (long long)field->number);
        add_text(line, digits);
    } else if (is_plain(field->text)) {
        add(line, field->text.data, field->text.len);
    } else {
        add_quoted(line, field->text);
    }
}

void log_write(enum log_level level, const char *event,
               const struct log_field *fields, size_t count)
{
    struct line line;
    line.len = 0;
    char now[TIMETEXT_RFC3339_MAX];
    int saved = errno;
    timetext_rfc3339(clock_real_ms(clock_system()), now);
    add_text(&line, now);
    add(&line, " ", 1);
    add_text(&line, level_names[level]);
    add(&line, " event=", 7);
    add_text(&line, event);
    for (size_t i = 0; i < count; i++)
        add_field(&line, &fields[i]);
    line.text[line.len++] = '\n';
    ssize_t written;
    do
        written = write(atomic_load(&log_fd), line.text, line.len);
    while (written < 0 && errno == EINTR);
    errno = saved;
}
