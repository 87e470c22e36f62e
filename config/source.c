#include "config/source.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/report.h"
#include "core/err.h"
#include "core/file.h"
#include "core/mem.h"

#define NAME_MAX_SHOWN 64

/* One file being copied into the text. */
struct scan {
    struct source *source;
    struct report *report;
    const char *file;
    struct str data;
    size_t at;
    unsigned line;         /* of data */
    unsigned depth;        /* 0: the main file */
    bool fit;              /* for the parser */
    struct str setting;    /* the last name seen: whose value comes */
    unsigned setting_line; /* of the text */
};

void source_init(struct source *s)
{
    *s = (struct source){0};
    buf_init(&s->text, SOURCE_MAX_BYTES);
}

void source_fini(struct source *s)
{
    buf_fini(&s->text);
    mem_free(s->lines);
    for (size_t i = 0; i < s->file_count; i++)
        mem_free(s->files[i]);
    mem_free(s->files);
    source_init(s);
}

const struct source_line *source_at(const struct source *s, unsigned line)
{
    size_t index = line == 0 ? 0 : line - 1;
    if (index >= s->line_count)
        index = s->line_count - 1;
    return &s->lines[index];
}

char *source_beside(const char *file, struct str name)
{
    const char *slash = strrchr(file, '/');
    if (slash == NULL || str_starts(name, STR("/")))
        return mem_strdup(name);
    struct buf path;
    size_t len = (size_t)(slash - file) + 1;
    buf_init(&path, len + name.len + 1);
    buf_add(&path, file, len);
    buf_add_str(&path, name);
    buf_add_char(&path, '\0');
    return buf_take(&path, &len);
}

static const char *keep_file_name(struct source *s, char *name)
{
    s->files = mem_realloc(s->files, (s->file_count + 1) * sizeof(s->files[0]));
    s->files[s->file_count++] = name;
    return name;
}

static void begin_line(struct source *s, const char *file, unsigned number)
{
    if (s->line_count == s->line_capacity) {
        s->line_capacity = s->line_capacity == 0 ? 64 : s->line_capacity * 2;
        s->lines =
            mem_realloc(s->lines, s->line_capacity * sizeof(s->lines[0]));
    }
    s->lines[s->line_count++] = (struct source_line){file, number, false};
}

/* The line of the text that is being written. */
static unsigned here(const struct scan *c)
{
    return (unsigned)c->source->line_count;
}

static char peek(const struct scan *c, size_t ahead)
{
    size_t at = c->at + ahead;
    if (at >= c->data.len)
        return '\0';
    return c->data.data[at];
}

/* Copies len bytes to the text, keeping the list of lines in step. */
static void copy(struct scan *c, size_t len)
{
    for (size_t i = 0; i < len && c->at < c->data.len; i++) {
        char ch = c->data.data[c->at++];
        buf_add_char(&c->source->text, ch);
        if (ch == '\n')
            begin_line(c->source, c->file, ++c->line);
    }
}

static bool is_name_start(char c)
{
    return ascii_is_alpha(c) || c == '*';
}

static bool is_name(char c)
{
    return is_name_start(c) || ascii_is_digit(c) || c == '-' || c == '_';
}

static void unfit(struct scan *c, unsigned line, const char *sentence)
{
    c->fit = false;
    report_problem(c->report, line, "%s", sentence);
}

/* From the opening quote to behind the closing one. */
static void scan_string(struct scan *c)
{
    unsigned first = here(c);
    copy(c, 1);
    while (c->at < c->data.len && peek(c, 0) != '"') {
        if (peek(c, 0) != '\\') {
            copy(c, 1);
            continue;
        }
        if (ascii_lower(peek(c, 1)) == 'x' && peek(c, 2) == '0' &&
            peek(c, 3) == '0')
            unfit(c, here(c), "\\x00 in a string would end it: take it out");
        copy(c, 2);
    }
    if (c->at >= c->data.len)
        unfit(c, first, "the string that begins here has no closing quote");
    copy(c, 1);
}

static void scan_line_comment(struct scan *c)
{
    while (c->at < c->data.len && peek(c, 0) != '\n')
        copy(c, 1);
}

static void scan_block_comment(struct scan *c)
{
    unsigned first = here(c);
    copy(c, 2);
    while (c->at < c->data.len && !(peek(c, 0) == '*' && peek(c, 1) == '/'))
        copy(c, 1);
    if (c->at >= c->data.len)
        unfit(c, first, "the comment that begins here has no closing */");
    copy(c, 2);
}

static void scan_name(struct scan *c)
{
    size_t first = c->at;
    while (is_name(peek(c, 0)))
        copy(c, 1);
    struct str name = str_of(c->data.data + first, c->at - first);
    if (name.len > NAME_MAX_SHOWN)
        name.len = NAME_MAX_SHOWN;
    if (!str_equal_nocase(name, STR("true")) &&
        !str_equal_nocase(name, STR("false"))) {
        c->setting = name;
        c->setting_line = here(c);
    }
}

/* Stands a 0 in for the value, so that the parser can go on. */
static void bad_value(struct scan *c, const char *sentence)
{
    struct str name = c->setting.len > 0 ? c->setting : STR("a value");
    c->source->lines[here(c) - 1].bad_value = true;
    if (c->setting_line > 0)
        c->source->lines[c->setting_line - 1].bad_value = true;
    report_problem(c->report, here(c), "%.*s: %s", STR_ARG(name), sentence);
    buf_add_char(&c->source->text, '0');
}

/* Value of the digits of s in that base; false when it passes max. */
static bool in_range(struct str s, unsigned base, unsigned long long max)
{
    unsigned long long value = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)ascii_hex(s.data[i]);
        if (value > (max - digit) / base)
            return false;
        value = value * base + digit;
    }
    return true;
}

/* Bytes of the digits, point and exponent ahead, from `at` on. */
static size_t float_len(const struct scan *c, size_t at, bool *is_float)
{
    while (ascii_is_digit(peek(c, at)))
        at++;
    if (peek(c, at) == '.') {
        *is_float = true;
        for (at++; ascii_is_digit(peek(c, at)); at++)
            continue;
    }
    size_t sign = peek(c, at + 1) == '-' || peek(c, at + 1) == '+' ? 1 : 0;
    if (ascii_lower(peek(c, at)) == 'e' &&
        ascii_is_digit(peek(c, at + 1 + sign))) {
        *is_float = true;
        for (at += 2 + sign; ascii_is_digit(peek(c, at)); at++)
            continue;
    }
    return at;
}

/*
 * libconfig takes what does not fit modulo 2^32 (2^64 with L) without a word.
 * The value is not shown: it might be a password in the wrong place.
 */
static void scan_number(struct scan *c)
{
    bool is_float = false;
    size_t sign = peek(c, 0) == '-' || peek(c, 0) == '+' ? 1 : 0;
    bool is_hex = peek(c, 0) == '0' && ascii_lower(peek(c, 1)) == 'x' &&
                  ascii_hex(peek(c, 2)) >= 0;
    size_t first = is_hex ? 2 : sign;
    size_t end = first;
    if (is_hex)
        while (ascii_hex(peek(c, end)) >= 0)
            end++;
    else
        end = float_len(c, sign, &is_float);
    struct str digits = str_of(c->data.data + c->at + first, end - first);
    bool is_long = !is_float && peek(c, end) == 'L';
    bool is_minus = peek(c, 0) == '-';
    unsigned long long max = is_long ? INT64_MAX : INT32_MAX;
    while (is_long && peek(c, end) == 'L')
        end++;
    if (is_name_start(peek(c, end))) {
        while (is_name(peek(c, end)))
            end++;
        c->at += end;
        bad_value(c, "a number is followed by letters; an amount with a unit "
                     "is written in quotes, for example \"30s\" or \"64K\"");
    } else if (!is_float &&
               !in_range(digits, is_hex ? 16 : 10, max + (is_minus ? 1 : 0))) {
        c->at += end;
        bad_value(c, is_long ? "the number needs more than 64 bits"
                             : "the number is outside -2147483648 to "
                               "2147483647; sizes and durations are written "
                               "in quotes, for example \"5G\" or \"5d\"");
    } else {
        copy(c, end);
    }
}

static void load_file(struct source *s, struct report *report, char *path,
                      unsigned depth, bool *fit);

static bool is_line_start(const struct scan *c)
{
    size_t at = c->at;
    while (at > 0 &&
           (c->data.data[at - 1] == ' ' || c->data.data[at - 1] == '\t'))
        at--;
    return at == 0 || c->data.data[at - 1] == '\n';
}

/* At '@': an include, or something that the parser will refuse. */
static void scan_include(struct scan *c)
{
    static const struct str word = {"@include", 8};
    struct str rest = str_after(c->data, c->at);
    size_t open = word.len;
    if (!str_starts(rest, word)) {
        copy(c, 1);
        return;
    }
    while (open < rest.len &&
           (rest.data[open] == ' ' || rest.data[open] == '\t'))
        open++;
    struct str name = str_after(rest, open + 1);
    name.len = str_find(name, '"');
    if (!is_line_start(c) || open >= rest.len || rest.data[open] != '"' ||
        open + 1 + name.len >= rest.len || name.len == 0 ||
        str_find(name, '\n') < name.len) {
        unfit(c, here(c), "write @include \"FILE\" on a line of its own");
        copy(c, word.len);
        return;
    }
    if (c->depth + 1 >= SOURCE_MAX_DEPTH ||
        c->source->file_count >= SOURCE_MAX_FILES) {
        unfit(c, here(c),
              "files are included more than 10 deep, or more than "
              "256 in all: does a file include itself?");
        c->at = c->data.len;
        return;
    }
    c->at += open + 1 + name.len + 1;
    load_file(c->source, c->report, source_beside(c->file, name), c->depth + 1,
              &c->fit);
    struct source *s = c->source;
    if (s->text.len > 0 && s->text.data[s->text.len - 1] != '\n') {
        buf_add_char(&s->text, '\n');
        begin_line(s, c->file, c->line);
    }
    s->lines[s->line_count - 1].file = c->file;
    s->lines[s->line_count - 1].number = c->line;
}

static void scan_next(struct scan *c)
{
    char first = peek(c, 0);
    char second = peek(c, 1);
    bool is_signed = (first == '-' || first == '+') &&
                     (ascii_is_digit(second) || second == '.');
    if (first == '"')
        scan_string(c);
    else if (first == '#' || (first == '/' && second == '/'))
        scan_line_comment(c);
    else if (first == '/' && second == '*')
        scan_block_comment(c);
    else if (first == '@')
        scan_include(c);
    else if (is_name_start(first))
        scan_name(c);
    else if (ascii_is_digit(first) || first == '.' || is_signed)
        scan_number(c);
    else
        copy(c, 1);
}

/* The line of the text stays the one that the complaint is about. */
static void no_text(struct scan *c, unsigned line, const char *sentence)
{
    c->source->lines[here(c) - 1].number = line;
    unfit(c, here(c), sentence);
    buf_add_char(&c->source->text, '\n');
    begin_line(c->source, c->file, line);
}

static bool is_text(struct scan *c)
{
    unsigned line = 1;
    if (str_starts(c->data, STR("\xef\xbb\xbf"))) {
        no_text(c, 1,
                "the file begins with a byte order mark: save it as "
                "UTF-8 without one");
        return false;
    }
    for (size_t i = 0; i < c->data.len; i++) {
        if (c->data.data[i] == '\0') {
            no_text(c, line, "the file has a NUL byte: it is no text file");
            return false;
        }
        line += c->data.data[i] == '\n' ? 1 : 0;
    }
    return true;
}

/* The main file may be a pipe; an included one would block unexpected. */
static enum err_code read_file(const char *path, unsigned depth,
                               struct buf *data, struct err *err)
{
    struct stat st;
    if (depth > 0 && stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "%s is no plain file", path);
    if (depth == 0 && access(path, R_OK) != 0)
        return err_system(err, errno, "cannot open");
    return file_read(path, data, err);
}

/* Takes path. The main file begins line 1, another the line it is named in. */
static void load_file(struct source *s, struct report *report, char *path,
                      unsigned depth, bool *fit)
{
    struct err err;
    struct buf data;
    const char *file = keep_file_name(s, path);
    struct scan c = {.source = s,
                     .report = report,
                     .file = file,
                     .line = 1,
                     .depth = depth,
                     .fit = true};
    buf_init(&data, SOURCE_MAX_BYTES - s->text.len);
    if (depth == 0)
        begin_line(s, file, 1);
    if (read_file(file, depth, &data, &err) != ERR_NONE) {
        c.fit = false;
        if (depth == 0)
            report_file_problem(report, err.text);
        else
            report_problem(report, here(&c), "%s", err.text);
    } else {
        s->lines[s->line_count - 1].file = file;
        s->lines[s->line_count - 1].number = 1;
        c.data = buf_str(&data);
        if (is_text(&c))
            while (c.at < c.data.len && buf_ok(&s->text))
                scan_next(&c);
    }
    buf_fini(&data);
    *fit = *fit && c.fit;
}

bool source_load(struct source *s, const char *path, struct report *report)
{
    bool fit = true;
    load_file(s, report, mem_strdup(str_from(path)), 0, &fit);
    buf_add_char(&s->text, '\0');
    if (fit && !buf_ok(&s->text)) {
        report_problem(report, 1, "the config is larger than %zu bytes",
                       SOURCE_MAX_BYTES);
        fit = false;
    }
    return fit;
}
